//! What a workload may hold, and who says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::jwk::{Jwk, KeySet};
use avouch_core::crypto::KeyKind;
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::reason::Reason;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::message::{Known, MOST_KNOWN, without_room};
use crate::nearest::NearMiss;
use crate::selector::Selector;

/// An answer that takes a while.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a workload may hold at the moment, or why it may hold nothing.
pub type Entitlement = Result<Entitled, NotIssued>;

/// The WIT-SVIDs that a workload may hold at the moment, or why it may hold none.
pub type WitEntitlement = Result<WitEntitled, NotIssued>;

/// Whoever knows which workload may hold what. All that it is told of a workload was attested.
pub trait Identities: Send + Sync + 'static {
    /// The X.509-SVIDs and bundles for a workload with these facts, as they are and as they
    /// change. What is not at hand may have to be issued first, so it takes a while; then whoever
    /// subscribed sees a current value at once.
    ///
    /// When the sender goes, the streams that read from it end as `Unavailable`.
    fn subscribe<'a>(
        &'a self,
        selectors: &'a [Selector],
    ) -> Pending<'a, watch::Receiver<Arc<Entitlement>>>;

    /// The WIT-SVIDs and bundles for a workload with these facts, as each identity of it or as
    /// `wanted` alone, as [`Identities::subscribe`] gives the others; `None` where the WIT profile
    /// is not served.
    fn subscribe_wit<'a>(
        &'a self,
        selectors: &'a [Selector],
        wanted: Option<&'a SpiffeId>,
    ) -> Option<Pending<'a, watch::Receiver<Arc<WitEntitlement>>>> {
        let _ = (selectors, wanted);
        None
    }

    /// A JWT-SVID for all of `audiences`, as each identity of the workload, or as `wanted` alone;
    /// the default identity first, never none.
    ///
    /// # Errors
    ///
    /// When the workload has no identity, or not this one, or none can be made now.
    fn jwt_svids<'a>(
        &'a self,
        selectors: &'a [Selector],
        audiences: &'a [String],
        wanted: Option<&'a SpiffeId>,
    ) -> Pending<'a, Result<Vec<JwtSvid>, NotIssued>>;

    /// Whether `token` is a JWT-SVID to be believed for `audience`, by the bundles that a workload
    /// with these facts may rely on. Asked only for workloads that are entitled to something.
    ///
    /// # Errors
    ///
    /// The reason why it is not to be believed.
    fn validate_jwt<'a>(
        &'a self,
        selectors: &'a [Selector],
        audience: &'a str,
        token: &'a Token,
    ) -> Pending<'a, Result<ValidJwt, Box<Reason>>>;
}

/// All that a workload with at least one identity holds, except its JWT-SVIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitled {
    x509_svids: Vec<X509Svid>,
    x509_bundles: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
    crls: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
    jwt_bundles: BTreeMap<TrustDomain, JwtBundle>,
    tenants: Tenants,
}

/// Whose word counts of each trust domain. What has no room in a message is left out by turns of tenants; a
/// trust domain that is not among them takes a turn of its own.
pub type Tenants = BTreeMap<TrustDomain, TenantId>;

/// Why this is not all that a workload needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Not one identity.
    #[error("there is no SVID")]
    NoSvid,
    /// An identity whose peers could not be checked.
    #[error("there is no X.509 bundle of {0}, which an X.509-SVID is from")]
    NoX509Bundle(TrustDomain),
    /// An identity whose tokens could not be checked.
    #[error("there is no JWT bundle of {0}, which an X.509-SVID is from")]
    NoJwtBundle(TrustDomain),
}

impl Entitled {
    /// Takes the X.509-SVIDs, the default identity first; the CA certificates (DER) and the JWT
    /// bundles of each trust domain that the workload may rely on, its own among them; and
    /// revocation lists (DER) of each. Of two identities with the same hint the second loses it.
    ///
    /// What is too long for a message is left out ([`Tenants`]), and what cannot be without it: an
    /// identity whose bundle has no room.
    ///
    /// # Errors
    ///
    /// When a workload could not act on it: SPIFFE Workload API 5.2.1, 5.2.2 and 6.2.2.
    pub fn new(
        x509_svids: Vec<X509Svid>,
        x509_bundles: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
        crls: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
        jwt_bundles: BTreeMap<TrustDomain, JwtBundle>,
        tenants: Tenants,
    ) -> Result<Self, Incomplete> {
        if x509_svids.is_empty() {
            return Err(Incomplete::NoSvid);
        }
        for svid in &x509_svids {
            let trust_domain = svid.spiffe_id.trust_domain();
            if x509_bundles.get(trust_domain).is_none_or(Vec::is_empty) {
                return Err(Incomplete::NoX509Bundle(trust_domain.clone()));
            }
            if !jwt_bundles.contains_key(trust_domain) {
                return Err(Incomplete::NoJwtBundle(trust_domain.clone()));
            }
        }
        let mut all = Self {
            x509_svids,
            x509_bundles,
            crls,
            jwt_bundles,
            tenants,
        };
        all.leave_out_what_is_too_long();
        if all.x509_svids.is_empty() {
            return Err(Incomplete::NoSvid);
        }
        keep_first(all.x509_svids.iter_mut().map(|svid| &mut svid.hint));
        Ok(all)
    }

    fn leave_out_what_is_too_long(&mut self) {
        let own = |name: &TrustDomain| {
            let mut svids = self.x509_svids.iter();
            svids.any(|svid| svid.spiffe_id.trust_domain() == name)
        };
        let of_x509 = too_long(
            &self.x509_bundles,
            |ders| of_ders(ders),
            own,
            &self.tenants,
            NO_BUNDLE,
        );
        let of_jwt = too_long(&self.jwt_bundles, of_keys, own, &self.tenants, NO_BUNDLE);
        let of_lists = too_long(
            &self.crls,
            |ders| of_ders(ders),
            own,
            &self.tenants,
            NO_LISTS,
        );
        self.x509_bundles.retain(|name, _| !of_x509.contains(name));
        self.jwt_bundles.retain(|name, _| !of_jwt.contains(name));
        self.crls.retain(|name, _| !of_lists.contains(name));
        let (x509, jwt) = (&self.x509_bundles, &self.jwt_bundles);
        self.x509_svids.retain(|svid| {
            let name = svid.spiffe_id.trust_domain();
            x509.contains_key(name) && jwt.contains_key(name)
        });
    }

    /// The X.509-SVIDs, at least one, the default identity first.
    pub fn x509_svids(&self) -> &[X509Svid] {
        &self.x509_svids
    }

    /// The CA certificates, as DER, of each trust domain. A foreign one may have none, which means
    /// that nobody of it is to be believed.
    pub fn x509_bundles(&self) -> &BTreeMap<TrustDomain, Vec<Vec<u8>>> {
        &self.x509_bundles
    }

    /// The same, without trust domains that have none: the libraries of workloads refuse all that
    /// they are sent for one bundle without certificates, and believe nobody without a bundle.
    pub(crate) fn x509_roots(&self) -> impl Iterator<Item = (&TrustDomain, &Vec<Vec<u8>>)> {
        self.x509_bundles
            .iter()
            .filter(|(_, bundle)| !bundle.is_empty())
    }

    /// The revocation lists, as DER, of each trust domain.
    pub fn crls(&self) -> &BTreeMap<TrustDomain, Vec<Vec<u8>>> {
        &self.crls
    }

    /// Whose turn it is with an identity of this trust domain.
    pub(crate) fn tenant_of(&self, trust_domain: &TrustDomain) -> String {
        tenant_of(&self.tenants, trust_domain)
    }

    /// The JWT keys of each trust domain.
    pub fn jwt_bundles(&self) -> &BTreeMap<TrustDomain, JwtBundle> {
        &self.jwt_bundles
    }
}

/// What the log says of a bundle without room: nobody is believed by mistake for lack of it.
const NO_BUNDLE: &str = "all bundles that a workload knows are too long for one message of 4 MiB, so that of this \
     trust domain is left out: nobody of it is believed there";

/// The same of revocation lists: there a verifier that does without lists believes what they name.
const NO_LISTS: &str = "the revocation lists of this trust domain are too long for one message of 4 MiB, so they \
     are left out: a verifier that asks for a list refuses all of that trust domain, and one that does not \
     believes what is revoked until it ends; replace the authority that signed it in place of many certificates";

fn too_long<T>(
    known: &BTreeMap<TrustDomain, T>,
    length: fn(&T) -> usize,
    own: impl Fn(&TrustDomain) -> bool,
    tenants: &Tenants,
    words: &'static str,
) -> Vec<TrustDomain> {
    let all: usize = known.values().map(length).sum();
    // As it is nearly always: whose each is need not be looked at.
    if all <= MOST_KNOWN / 2 {
        return Vec::new();
    }
    let known = known.iter().map(|(trust_domain, what)| Known {
        trust_domain,
        tenant: tenant_of(tenants, trust_domain),
        is_own: own(trust_domain),
        length: length(what),
    });
    without_room(known.collect(), words)
}

fn of_ders(ders: &[Vec<u8>]) -> usize {
    ders.iter().map(Vec::len).sum()
}

fn of_keys(bundle: &JwtBundle) -> usize {
    bundle.as_json().len()
}

fn tenant_of(tenants: &Tenants, trust_domain: &TrustDomain) -> String {
    let tenant = tenants.get(trust_domain).map(ToString::to_string);
    // No tenant has a name with a slash.
    tenant.unwrap_or_else(|| format!("/{trust_domain}"))
}

/// Leaves each hint with the first who has it (SPIFFE Workload API 5.2.1: no two are alike).
pub(crate) fn keep_first<'a>(hints: impl Iterator<Item = &'a mut Option<Hint>>) {
    let mut seen = BTreeSet::new();
    for hint in hints {
        let again = hint.as_ref().is_some_and(|hint| !seen.insert(hint.clone()));
        if again {
            *hint = None;
        }
    }
}

/// One X.509-SVID and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Svid {
    /// Its SPIFFE ID.
    pub spiffe_id: SpiffeId,
    /// Its certificate, as DER.
    pub certificate: Vec<u8>,
    /// The certificates between it and the bundle, as DER, the one that issued it first.
    pub intermediates: Vec<Vec<u8>>,
    /// Its private key.
    pub private_key: PrivateKey,
    /// What it is for.
    pub hint: Option<Hint>,
}

/// The WIT-SVIDs of a workload with at least one identity, and the keys that WIT-SVIDs of others are
/// checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitEntitled {
    svids: Vec<WitSvid>,
    bundles: BTreeMap<TrustDomain, JwtBundle>,
    tenants: Tenants,
}

impl WitEntitled {
    /// Takes the WIT-SVIDs, the default identity first, and the WIT bundle of each trust domain
    /// that the workload may rely on. Of two identities with the same hint the second loses it.
    ///
    /// # Errors
    ///
    /// When there is no WIT-SVID.
    pub fn new(
        mut svids: Vec<WitSvid>,
        mut bundles: BTreeMap<TrustDomain, JwtBundle>,
        tenants: Tenants,
    ) -> Result<Self, Incomplete> {
        if svids.is_empty() {
            return Err(Incomplete::NoSvid);
        }
        let own = |name: &TrustDomain| {
            svids
                .iter()
                .any(|svid| svid.spiffe_id.trust_domain() == name)
        };
        let left_out = too_long(&bundles, of_keys, own, &tenants, NO_BUNDLE);
        bundles.retain(|name, _| !left_out.contains(name));
        keep_first(svids.iter_mut().map(|svid| &mut svid.hint));
        Ok(Self {
            svids,
            bundles,
            tenants,
        })
    }

    /// Whose turn it is with an identity of this trust domain.
    pub(crate) fn tenant_of(&self, trust_domain: &TrustDomain) -> String {
        tenant_of(&self.tenants, trust_domain)
    }

    /// The WIT-SVIDs, at least one, the default identity first.
    pub fn svids(&self) -> &[WitSvid] {
        &self.svids
    }

    /// The WIT keys of each trust domain.
    pub fn bundles(&self) -> &BTreeMap<TrustDomain, JwtBundle> {
        &self.bundles
    }
}

/// One WIT-SVID and the key whose possession its holder proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitSvid {
    /// Its SPIFFE ID.
    pub spiffe_id: SpiffeId,
    /// The token.
    pub token: Token,
    /// The private key as a JSON Web Key (RFC 7517).
    pub private_key: Token,
    /// What it is for.
    pub hint: Option<Hint>,
}

/// One JWT-SVID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSvid {
    /// Whose entry gives it.
    pub tenant: TenantId,
    /// Its SPIFFE ID.
    pub spiffe_id: SpiffeId,
    /// The token.
    pub token: Token,
    /// What it is for.
    pub hint: Option<Hint>,
}

/// A JWT-SVID that is to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidJwt {
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// All that it claims.
    pub claims: Map<String, Value>,
}

/// A private key as PKCS#8 DER. It is wiped from memory when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Zeroizing<Vec<u8>>);

impl PrivateKey {
    /// The key with this PKCS#8 DER, which is not looked into.
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Self {
        Self(der)
    }

    /// The key as TLS uses it, if it is of a kind that TLS knows.
    pub fn signing_key(&self) -> Option<Arc<dyn SigningKey>> {
        let der = PrivatePkcs8KeyDer::from(self.0.to_vec());
        any_supported_type(&PrivateKeyDer::Pkcs8(der)).ok()
    }

    /// The key itself: only for the message to the workload it belongs to.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A bearer token in its compact form. It is wiped from memory when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token with this text, which is not looked into.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The token itself: to check it, or for the message to the workload that asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What an identity is for, in the words of its operator: 1 to 1024 bytes (SPIFFE Workload API
/// 5.2.1, 6.2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint(String);

impl Hint {
    /// The longest, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Takes any text that is neither empty nor too long.
    pub fn parse(text: &str) -> Option<Self> {
        (1..=Self::MAX_BYTES)
            .contains(&text.len())
            .then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The keys of a trust domain that sign JWT-SVIDs, or WIT-SVIDs, and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtBundle(String);

/// A text that is no JWK Set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a JSON object with a list `keys`")]
pub struct JwtBundleMalformed;

impl JwtBundle {
    /// Takes the keys for JWT-SVIDs out of the SPIFFE bundle of a trust domain (SPIFFE JWT-SVID 6):
    /// those whose `use` is `jwt-svid`, that have a `kid`, and that can sign one. Keys for other
    /// uses have no place in what a workload gets (SPIFFE Workload API 6.2.2), and members of the
    /// bundle itself are left out.
    ///
    /// A key that cannot be used is left out as well: the libraries of workloads refuse all bundles
    /// for one key that they cannot read, so a partner could switch off its peers.
    ///
    /// # Errors
    ///
    /// When it is no JWK Set.
    pub fn from_spiffe_bundle(
        trust_domain: &TrustDomain,
        text: &str,
    ) -> Result<Self, JwtBundleMalformed> {
        Self::of_use(trust_domain, text, "jwt-svid", Bundle::jwt_authorities)
    }

    /// Takes the keys for WIT-SVIDs out of a SPIFFE bundle (SPIFFE WIT-SVID 6), in the same way.
    ///
    /// # Errors
    ///
    /// When it is no JWK Set.
    pub fn wit_from_spiffe_bundle(
        trust_domain: &TrustDomain,
        text: &str,
    ) -> Result<Self, JwtBundleMalformed> {
        Self::of_use(trust_domain, text, "wit-svid", Bundle::wit_authorities)
    }

    fn of_use(
        trust_domain: &TrustDomain,
        text: &str,
        of_use: &str,
        taken: fn(&Bundle) -> &KeySet,
    ) -> Result<Self, JwtBundleMalformed> {
        let bundle: Value = serde_json::from_str(text).map_err(|_| JwtBundleMalformed)?;
        let keys = bundle.get("keys").and_then(Value::as_array);
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for key in keys.ok_or(JwtBundleMalformed)? {
            if key.get("use").and_then(Value::as_str) != Some(of_use) {
                continue;
            }
            // Each is read as if it were alone: that the core has taken one of its name says nothing
            // of another of the same name.
            let alone = Bundle::read(trust_domain.as_str(), &json!({ "keys": [key] })).ok();
            let read = alone.as_ref().and_then(|alone| taken(alone).keys().first());
            let usable = read.filter(|read| signs_tokens(read.key().kind()));
            if usable
                .and_then(Jwk::id)
                .is_some_and(|name| seen.insert(name.to_owned()))
            {
                kept.push(meaningful(key));
            }
        }
        Ok(Self(json!({ "keys": kept }).to_string()))
    }

    /// As a JWK Set (RFC 7517 5).
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// Whether JWT-SVIDs and WIT-SVIDs are signed with keys of this kind (SPIFFE JWT-SVID 2.2, WIT-SVID 2).
fn signs_tokens(kind: KeyKind) -> bool {
    match kind {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Rsa(_) => true,
        KeyKind::Ed25519 | KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => false,
    }
}

/// A key without members that say nothing to who checks signatures; nobody has looked at those.
fn meaningful(key: &Value) -> Value {
    let of_key = MEMBERS_OF_KEYS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), key.get(*name)?.clone())));
    Value::Object(of_key.collect())
}

/// The members that make a key (RFC 7518 6.2.1, 6.3.1; RFC 8037 2) and say what it is for
/// (RFC 7517 4).
const MEMBERS_OF_KEYS: [&str; 10] = [
    "alg", "crv", "e", "key_ops", "kid", "kty", "n", "use", "x", "y",
];

/// Why a workload gets no identity. The workload is told that much and no more; who runs the agent
/// reads the rest in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// No registration entry selects it.
    NoEntry {
        /// The entries that came closest, the closest first.
        near: Vec<NearMiss>,
    },
    /// It may not speak as the identity it asked for.
    OtherIdentity {
        /// What it asked for.
        wanted: SpiffeId,
        /// What it may speak as.
        entitled: Vec<SpiffeId>,
    },
    /// It is entitled to one, and asks for it in a way that is at fault: asking again does not help.
    Refused {
        /// The code of the reason.
        code: String,
        /// What is at fault, which may be told to who asked.
        sentence: String,
    },
    /// Nobody knows yet what it is entitled to: the node has not heard of its server since it began.
    NotHeard {
        /// Why not, which is about the node and no secret.
        why: String,
    },
    /// It is entitled to one that cannot be made now; asking again later may help.
    Unavailable {
        /// What failed, without secrets.
        why: String,
    },
}

impl fmt::Display for NotIssued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry { near } if near.is_empty() => {
                f.write_str("no registration entry comes near the workload")
            }
            Self::NoEntry { near } => {
                f.write_str("no registration entry selects the workload")?;
                near.iter().try_for_each(|miss| write!(f, "; {miss}"))
            }
            Self::OtherIdentity { wanted, entitled } => {
                write!(f, "the workload asked for {wanted} and may speak as ")?;
                let names: Vec<&str> = entitled.iter().map(SpiffeId::as_str).collect();
                f.write_str(&names.join(", "))
            }
            Self::Refused { code, sentence } => {
                write!(f, "what is asked for is at fault: {code}: {sentence}")
            }
            Self::NotHeard { why } | Self::Unavailable { why } => {
                write!(f, "no identity can be made now: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svid(id: &str, hint: Option<&str>) -> X509Svid {
        X509Svid {
            spiffe_id: SpiffeId::parse(id).unwrap(),
            certificate: vec![1],
            intermediates: Vec::new(),
            private_key: PrivateKey::from_pkcs8(Zeroizing::new(b"secret".to_vec())),
            hint: hint.and_then(Hint::parse),
        }
    }

    fn own() -> TrustDomain {
        TrustDomain::parse("demo.avouch.test").unwrap()
    }

    fn jwt_bundle() -> JwtBundle {
        JwtBundle::from_spiffe_bundle(&own(), r#"{"keys":[]}"#).unwrap()
    }

    #[test]
    fn a08_what_a_workload_could_not_act_on_is_not_sent() {
        let x509 = BTreeMap::from([(own(), vec![vec![1]])]);
        let jwt = BTreeMap::from([(own(), jwt_bundle())]);
        let svids = || vec![svid("spiffe://demo.avouch.test/web", None)];
        let new = |svids, x509: &BTreeMap<_, _>, jwt: &BTreeMap<_, _>| {
            let (x509, jwt) = (x509.clone(), jwt.clone());
            Entitled::new(svids, x509, BTreeMap::new(), jwt, Tenants::new()).map(drop)
        };
        assert_eq!(new(svids(), &x509, &jwt), Ok(()));
        assert_eq!(new(Vec::new(), &x509, &jwt), Err(Incomplete::NoSvid));
        let missing = Err(Incomplete::NoX509Bundle(own()));
        assert_eq!(new(svids(), &BTreeMap::new(), &jwt), missing);
        let empty = BTreeMap::from([(own(), Vec::new())]);
        assert_eq!(new(svids(), &empty, &jwt), missing);
        let missing = Err(Incomplete::NoJwtBundle(own()));
        assert_eq!(new(svids(), &x509, &BTreeMap::new()), missing);
    }

    #[test]
    fn a09_of_two_identities_with_one_hint_the_first_keeps_it() {
        let entitled = Entitled::new(
            vec![
                svid("spiffe://demo.avouch.test/a", Some("internal")),
                svid("spiffe://demo.avouch.test/b", Some("internal")),
                svid("spiffe://demo.avouch.test/c", None),
                svid("spiffe://demo.avouch.test/d", Some("external")),
            ],
            BTreeMap::from([(own(), vec![vec![1]])]),
            BTreeMap::new(),
            BTreeMap::from([(own(), jwt_bundle())]),
            Tenants::new(),
        )
        .unwrap();
        let hints: Vec<Option<&str>> = entitled
            .x509_svids()
            .iter()
            .map(|svid| svid.hint.as_ref().map(Hint::as_str))
            .collect();
        assert_eq!(hints, [Some("internal"), None, None, Some("external")]);
    }

    #[test]
    fn a09_a_hint_has_at_most_1024_bytes() {
        assert!(Hint::parse(&"x".repeat(1024)).is_some());
        assert!(Hint::parse(&"x".repeat(1025)).is_none());
        assert!(Hint::parse("").is_none());
    }

    /// The key of RFC 7517 A.1, for this use and of this name.
    fn key(of_use: &str, name: &str) -> Value {
        json!({"kty": "EC", "crv": "P-256", "use": of_use, "kid": name,
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    }

    fn kept(keys: &[Value]) -> Value {
        let text = json!({"spiffe_sequence": 7, "keys": keys}).to_string();
        let bundle = JwtBundle::from_spiffe_bundle(&own(), &text).unwrap();
        serde_json::from_str(bundle.as_json()).unwrap()
    }

    #[test]
    fn a15_keys_for_other_uses_are_left_out_of_a_jwt_bundle() {
        let mut nameless = key("jwt-svid", "");
        let kept = kept(&[
            json!({"kty": "EC", "use": "x509-svid", "x5c": ["AA=="]}),
            key("jwt-svid", "one"),
            nameless.clone(),
            key("wit-svid", "two"),
            {
                nameless.as_object_mut().unwrap().remove("kid");
                nameless
            },
        ]);
        assert_eq!(kept, json!({"keys": [key("jwt-svid", "one")]}));
        for text in ["", "[]", "{}", r#"{"keys": {}}"#] {
            let refused = JwtBundle::from_spiffe_bundle(&own(), text);
            assert_eq!(refused, Err(JwtBundleMalformed));
        }
    }

    #[test]
    fn b_05_keys_that_nobody_can_use_are_left_out_of_a_jwt_bundle() {
        let with = |member: &str, value: &str| {
            let mut key = key("jwt-svid", member);
            key[member] = value.into();
            key
        };
        let mut adorned = key("jwt-svid", "good");
        // Libraries read what no signature is checked with, and refuse the set for it.
        adorned["x5c"] = json!(["QQ=="]);
        adorned["x5u"] = json!(7);
        let keys = [
            with("x", "AA"),
            with("crv", "P-192"),
            with("kty", "AKP"),
            with("alg", "XX256"),
            json!({"kty": "OKP", "crv": "Ed25519", "use": "jwt-svid", "kid": "ed",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!({"kty": "AKP", "alg": "ML-DSA-44", "use": "jwt-svid", "kid": "ml", "pub": "AA"}),
            {
                // The core takes the second of that name.
                let mut bad = key("jwt-svid", "good");
                bad["y"] = "AA".into();
                bad
            },
            adorned,
        ];
        assert_eq!(kept(&keys), json!({"keys": [key("jwt-svid", "good")]}));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?} {:?}",
            svid("spiffe://demo.avouch.test/web", None),
            Token::new("secret")
        );
        assert!(!shown.contains("secret"), "{shown}");
        assert!(!shown.contains("115, 101"), "{shown}");
    }
}
