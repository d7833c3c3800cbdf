//! The objects of a tenant, as they are remembered.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use avouch_core::id::{Digest, SpiffeId, TrustDomain};
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;

use crate::keyring::Sealed;
use crate::names::{
    AdminId, AnchorId, AttestorId, AuthorityId, EgressId, EntryId, IssuerId, JoinTokenId, NameId,
    NodeId, RuleId, ServiceId, TallyId,
};

/// A trust domain of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomainRecord {
    /// Its name. Whoever has it first keeps it for ever, so that nobody can take over the name of
    /// a tenant that is gone.
    pub name: TrustDomain,
    /// Since when.
    pub created: Time,
    /// Whose root its certificates end at.
    pub upstream: Upstream,
}

/// Whose root the certificates of a trust domain end at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    /// One whose key is kept here.
    #[default]
    Own,
    /// One that is kept elsewhere: it signs our requests, and its certificate is all there is here.
    Elsewhere,
}

impl Upstream {
    const ALL: [Self; 2] = [Self::Own, Self::Elsewhere];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// An authority that signs for a trust domain: its public part, and its private key under seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityRecord {
    /// Its name.
    pub id: AuthorityId,
    /// For which trust domain it signs.
    pub trust_domain: TrustDomain,
    /// What it signs.
    pub kind: AuthorityKind,
    /// Where it stands in its chain.
    pub role: AuthorityRole,
    /// Where it is in its life.
    pub state: AuthorityState,
    /// Since when it is in that state.
    pub since: Time,
    /// From when on it may sign.
    pub not_before: Time,
    /// Until when what it signed can be valid.
    pub not_after: Time,
    /// The public key, a DER `SubjectPublicKeyInfo` (RFC 5280 4.1).
    pub public_key: Vec<u8>,
    /// Its own certificate and those above it up to the root, in DER; none for tokens.
    pub certificates: Vec<Vec<u8>>,
    /// The private key, unless it is kept elsewhere or was destroyed.
    pub private_key: Option<Sealed>,
    /// Where the private key is kept if not here, such as in a token (RFC 7512). There is no secret
    /// in it.
    pub key_address: Option<String>,
    /// The key was there before it signed here: it is forgotten, and not destroyed. No other authority
    /// may sign with it, and none may have done so before.
    pub key_is_brought: bool,
    /// For whom it signs certificates.
    pub used_for: AuthorityUse,
    /// The certificates that it revoked and that have not ended yet.
    pub revoked: Vec<RevokedCertificate>,
    /// The list of them that it signed last; none before the first, and none for tokens.
    pub revocation_list: Option<Box<RevocationListRecord>>,
}

impl AuthorityRecord {
    /// Where a key is kept elsewhere that goes with the authority.
    pub fn own_key_address(&self) -> Option<&str> {
        let address = self.key_address.as_deref();
        address.filter(|_| !self.key_is_brought)
    }

    /// Whether it has a private key that was made or taken in here.
    pub(crate) fn has_own_key(&self) -> bool {
        self.private_key.is_some() || self.own_key_address().is_some()
    }
}

/// For whom an authority signs certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityUse {
    /// Workloads and servers.
    #[default]
    Services,
    /// People.
    People,
    /// Devices.
    Devices,
    /// The components of a Kubernetes cluster.
    Cluster,
}

impl AuthorityUse {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Services, Self::People, Self::Devices, Self::Cluster];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::People => "people",
            Self::Devices => "devices",
            Self::Cluster => "cluster",
        }
    }
}

/// A certificate that is believed no more, before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// Since when.
    pub at: Time,
    /// Why: a `CRLReason` (RFC 5280 5.3.1) by its number.
    pub reason: u8,
    /// When it ends by itself; afterwards no list needs to name it.
    pub not_after: Time,
}

/// A signed list of revoked certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationListRecord {
    /// Its number, which grows with each list of the authority (RFC 5280 5.2.3).
    pub number: u64,
    /// When it was signed.
    pub this_update: Time,
    /// By when the next one is there.
    pub next_update: Time,
    /// The list in DER.
    pub der: Vec<u8>,
}

/// What an authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityKind {
    /// X509-SVIDs.
    X509,
    /// JWT-SVIDs.
    Jwt,
    /// WIT-SVIDs.
    Wit,
}

impl AuthorityKind {
    const ALL: [Self; 3] = [Self::X509, Self::Jwt, Self::Wit];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Jwt => "jwt",
            Self::Wit => "wit",
        }
    }
}

/// Where an authority stands in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityRole {
    /// It is published in the bundle. Every token key is a root.
    Root,
    /// It was signed by a root.
    Intermediate,
}

impl AuthorityRole {
    const ALL: [Self; 2] = [Self::Root, Self::Intermediate];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
        }
    }
}

/// Where an authority is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityState {
    /// It has a key, and waits for a certificate from elsewhere.
    Requested,
    /// Published, but not signing yet.
    Prepared,
    /// Signing.
    Active,
    /// Not signing any more; what it signed is still good.
    Retired,
    /// What it signed is to be replaced at once.
    Tainted,
    /// Out of the bundle.
    Revoked,
}

impl AuthorityState {
    const ALL: [Self; 6] = [
        Self::Requested,
        Self::Prepared,
        Self::Active,
        Self::Retired,
        Self::Tainted,
        Self::Revoked,
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Tainted => "tainted",
            Self::Revoked => "revoked",
        }
    }
}

/// An anchor that a tenant trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorRecord {
    /// Its name.
    pub id: AnchorId,
    /// One element of `trust.anchors` of a question, as JSON. It holds no secret: API keys stand in
    /// it by their digests.
    pub document: String,
}

/// What a tenant accepts from nodes that join without a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestorRecord {
    /// Its name.
    pub id: AttestorId,
    /// Its method and whom that believes, as JSON.
    pub document: String,
    /// What it shows to those whom it asks, under seal.
    pub secret: Option<Sealed>,
}

/// A service of a tenant, and which trust models may decide for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Its name.
    pub id: ServiceId,
    /// Its boundary and what was seen of it, as JSON.
    pub document: String,
}

/// An API of others that a tenant lets its workloads use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRecord {
    /// Its name.
    pub id: EgressId,
    /// Where it is and who may use it, as JSON.
    pub document: String,
    /// Its keys, under seal.
    pub secret: Sealed,
}

/// A rule of a tenant: who may exchange what they have for what (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRecord {
    /// Its name.
    pub id: RuleId,
    /// The rule as it was sent, as JSON. It holds no secret.
    pub document: String,
    /// Since when it is as it is.
    pub created: Time,
}

/// What a tenant knows of a name of someone else's: to which id a rule holds it, or what has drifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// Its name.
    pub id: NameId,
    /// What is known, as JSON. It holds no secret.
    pub document: String,
}

/// How many decisions of a tenant rested on whom, on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallyRecord {
    /// The day.
    pub id: TallyId,
    /// What was counted, as JSON.
    pub document: String,
}

/// A federation relation: where the bundle of a foreign trust domain is fetched. The bundle itself
/// is an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederationRecord {
    /// The foreign trust domain.
    pub trust_domain: TrustDomain,
    /// How it is fetched, as JSON. It holds no secret.
    pub document: String,
    /// Since when.
    pub created: Time,
    /// How it went so far; `None` if its endpoint was never asked.
    pub course: Option<FederationCourse>,
}

/// How it goes with a federation relation, whichever server asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederationCourse {
    /// When its endpoint was asked last.
    pub tried: Time,
    /// When that last gave a bundle that was good.
    pub succeeded: Option<Time>,
    /// When it is asked next.
    pub next: Time,
    /// How often it has failed since.
    pub failures: u32,
    /// Why it failed last, if it did.
    pub failure: Option<FederationFailure>,
}

/// Why there was no bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederationFailure {
    /// The code of the reason.
    pub code: String,
    /// What is wrong.
    pub sentence: String,
    /// The smallest fix.
    pub hint: String,
}

/// An issuer of tokens that a tenant trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRecord {
    /// Its name.
    pub id: IssuerId,
    /// What an administrator wants of it, as JSON.
    pub document: String,
}

/// What is known of the keys of an issuer. It changes with what the issuer publishes, and its
/// [`IssuerRecord`] with what an administrator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKeysRecord {
    /// The name of the issuer.
    pub id: IssuerId,
    /// What is known, as JSON; public halves only.
    pub document: String,
}

/// What is pinned of an issuer, and what its servers have shown of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerPinsRecord {
    /// The name of the issuer.
    pub id: IssuerId,
    /// The pins and what was seen, as JSON; digests and names of certificates only.
    pub document: String,
}

/// A registration entry: which workloads get which identity. A tenant may have a million, so what
/// few of them say is kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// The identity, or what becomes one by the facts of a workload.
    pub spiffe_id: IdTemplate,
    /// The node whose workloads it is for; every node of the tenant if none.
    pub parent: Option<SpiffeId>,
    /// All that must be attested of a workload.
    pub selectors: Box<[Selector]>,
    /// Since when.
    pub created: Time,
    /// What else it says, if anything.
    pub extras: Extras,
}

/// What an entry may say beside who gets which identity. It reads as [`EntryExtras`], and takes no
/// room where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras(Option<Box<EntryExtras>>);

impl From<EntryExtras> for Extras {
    fn from(extras: EntryExtras) -> Self {
        Self((extras != EntryExtras::NONE).then(|| Box::new(extras)))
    }
}

impl Deref for Extras {
    type Target = EntryExtras;

    fn deref(&self) -> &EntryExtras {
        static NONE: EntryExtras = EntryExtras::NONE;
        self.0.as_deref().unwrap_or(&NONE)
    }
}

/// What an entry may say beside who gets which identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryExtras {
    /// All that must have been attested of a node for it to serve the entry; nothing if empty.
    pub node_selectors: Vec<Selector>,
    /// DNS names to put in X509-SVIDs, with places for facts too.
    pub dns_names: Vec<String>,
    /// Trust domains whose bundles the workload gets as well.
    pub federates_with: Vec<TrustDomain>,
    /// What tells several identities of one workload apart (SPIFFE Workload API 5.2.1); may be
    /// empty.
    pub hint: String,
    /// How long X509- and WIT-SVIDs are valid, in seconds; the default of the issuer if none.
    pub x509_ttl: Option<u32>,
    /// How long JWT-SVIDs are valid, in seconds; the default of the issuer if none.
    pub jwt_ttl: Option<u32>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Until when.
    pub expires: Option<Time>,
    /// Since when it asks for what it asks for; since it was made if nothing is said.
    pub asks_since: Option<Time>,
}

impl EntryExtras {
    /// Nothing.
    pub const NONE: Self = Self {
        node_selectors: Vec::new(),
        dns_names: Vec::new(),
        federates_with: Vec::new(),
        hint: String::new(),
        x509_ttl: None,
        jwt_ttl: None,
        owner: None,
        purpose: None,
        expires: None,
        asks_since: None,
    };
}

/// A node whose agent may ask for the identities of its workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name.
    pub id: NodeId,
    /// The identity of its agent.
    pub spiffe_id: SpiffeId,
    /// How it proved who it is, such as `join_token`.
    pub attested_by: String,
    /// The attestor that believed it; none for a join token.
    pub attestor: Option<AttestorId>,
    /// What was told of it then, as selectors.
    pub facts: Vec<Selector>,
    /// Since when.
    pub created: Time,
    /// What its certificates are told by from those of another that had the name. Nodes that joined under
    /// former versions have none.
    pub mark: Option<u64>,
    /// From when on what was issued under its name is its own: what is older is of another that had the
    /// name. Where there are two marks those tell, also where this is another's second. The first versions
    /// had no such bound.
    pub since: Option<Time>,
    /// When it proved who it is last.
    pub attested: Time,
    /// When what it proved that with was made, if the same can be shown again: nothing as old is
    /// taken any more.
    pub evidence_made: Option<Time>,
    /// Since when it gets nothing any more.
    pub banned: Option<Time>,
}

/// A token with which one node may join once. The token itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokenRecord {
    /// Its name.
    pub id: JoinTokenId,
    /// The only node that may join with it.
    pub node: NodeId,
    /// The identity that the node gets.
    pub spiffe_id: SpiffeId,
    /// Since when.
    pub created: Time,
    /// Until when.
    pub expires: Time,
    /// When it was used.
    pub used: Option<Time>,
    /// For which public key: the digest of its DER `SubjectPublicKeyInfo`.
    pub used_for: Option<Digest>,
}

/// How much a tenant may have and do, together with all below it. What is not named is not bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRecord {
    /// Registration entries.
    pub entries: Option<u32>,
    /// Nodes.
    pub nodes: Option<u32>,
    /// Trust domains.
    pub trust_domains: Option<u32>,
    /// Credentials that are issued in a minute.
    pub issuances_per_minute: Option<u32>,
    /// Each entry asks for one of these of a workload; any workload if there is none.
    pub workloads: Vec<Selector>,
}

/// Someone who administers a tenant and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRecord {
    /// Its name.
    pub id: AdminId,
    /// Who it is.
    pub subject: SpiffeId,
    /// What it may do: the name of a role.
    pub role: String,
    /// Since when.
    pub created: Time,
}

/// One attested fact that an entry asks for: a type, a colon and a value, such as `unix:uid:1000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Arc<str>);

impl Selector {
    /// The longest selector, in bytes: a path of Linux (4096) with its type in front fits.
    pub const MAX_BYTES: usize = 4160;

    /// Reads a selector: a type of lower-case letters, digits, `_` and `-`, and a value that is not
    /// empty and has no control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        let well_formed = text.len() <= Self::MAX_BYTES
            && !kind.is_empty()
            && kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            && !value.is_empty()
            && !value.chars().any(char::is_control);
        well_formed.then(|| Self(text.into()))
    }

    /// The whole selector.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_is_is_read_back_from_its_names() {
        for kind in AuthorityKind::ALL {
            assert_eq!(AuthorityKind::parse(kind.name()), Some(kind));
        }
        for role in AuthorityRole::ALL {
            assert_eq!(AuthorityRole::parse(role.name()), Some(role));
        }
        for state in AuthorityState::ALL {
            assert_eq!(AuthorityState::parse(state.name()), Some(state));
        }
        for used_for in AuthorityUse::ALL {
            assert_eq!(AuthorityUse::parse(used_for.name()), Some(used_for));
        }
        for upstream in Upstream::ALL {
            assert_eq!(Upstream::parse(upstream.name()), Some(upstream));
        }
        assert_eq!(AuthorityState::parse("unheard"), None);
    }

    #[test]
    fn a_selector_has_a_type_and_a_value() {
        for text in ["unix:uid:1000", "unix:path:/usr/bin/a b", "k8s:ns:x"] {
            assert_eq!(Selector::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "unix", "unix:", ":uid", "Unix:uid:1", "unix:a\nb"] {
            assert_eq!(Selector::parse(text), None, "{text:?}");
        }
        assert_eq!(Selector::parse(&format!("a:{}", "b".repeat(4160))), None);
    }
}
