//! Issuers of tokens as anchors: their keys, and the bounds within which they are believed.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use der::Document;
use serde_json::{Map, Value};

use super::claims::LIFETIME_MAX;
use super::introspection::Introspection;
use super::signed_in::SignInReading;
use super::standing::{self, Standing};
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::jwk::KeySet;
use crate::credential::members::{Members, trust_document};
use crate::credential::x509::Certificate;
use crate::policy::presets::Preset;
use crate::policy::reading::Vocabulary;
use crate::policy::rules::{Rule, require_pins};
use crate::reason::Reason;

/// The longest `max_lifetime`, in seconds: a leap year, which is what default tokens of Kubernetes
/// pods live.
const LIFETIME_ALLOWED_MAX: i64 = 366 * 86_400;

/// The longest life of an assertion of a client, in seconds: an hour. It is made for one request.
const ASSERTION_LIFETIME_MAX: i64 = 3_600;

/// An issuer of tokens that a tenant trusts, with its keys and the bounds of that trust.
#[derive(Clone, Debug)]
pub struct IssuerAnchor {
    issuer: String,
    /// What its tokens call it, where several clusters call themselves the same.
    shared_name: Option<String>,
    preset: Option<Preset>,
    keys: Option<KeySet>,
    audiences: Vec<String>,
    rules: Vec<Rule>,
    algorithms: Vec<Algorithm>,
    lifetime_max: i64,
    /// Whether each of its tokens says when it was issued.
    says_when_issued: bool,
    single_audience: bool,
    authorized_parties: Vec<String>,
    fetched_under: Option<Arc<Certificate>>,
    introspection: Option<Introspection>,
    sign_in: SignInReading,
    standing: Standing,
}

impl IssuerAnchor {
    /// Reads the members of an anchor that names an `issuer`: `issuer`, and optionally `cluster` (which
    /// of several that call themselves the same: [`IssuerAnchor::called`]), `jwks` (a JWK Set), `audiences`, `rules`, `preset`, `algorithms`, `max_lifetime` (seconds),
    /// `single_audience`, `authorized_parties`, `fetched_under` (a certificate in PEM, or DER in
    /// base64: the CA of the TLS connection over which the keys came), `introspection` (`tokens`,
    /// `max_age`, `without_audience`) or `review` (`max_age`), `assurance` (how its `acr` and `amr` read: [`SignInReading`]),
    /// and how it stands:
    /// `keys_fetched`, `withheld_keys`, `quarantined` and `unpinned`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, the refusals of [`KeySet::read`] and [`Rule::read`], and
    /// `policy.shared_issuer_unpinned`.
    pub fn read(members: &Map<String, Value>) -> Result<Self, Reason> {
        Self::read_at("anchor", members)
    }

    /// Reads the members of the anchor that stands at `place` of its document, which refusals
    /// name.
    ///
    /// # Errors
    ///
    /// Those of [`IssuerAnchor::read`].
    pub fn read_at(place: &str, members: &Map<String, Value>) -> Result<Self, Reason> {
        let known = [KNOWN_MEMBERS.as_slice(), standing::MEMBERS.as_slice()].concat();
        let members = Members::of(members, place, &known)?;
        let issuer = members.required_text("issuer")?;
        check_issuer(issuer)?;
        let preset = read_preset(&members, issuer)?;
        let (preset, introspection) = read_asked(&members, preset)?;
        let cluster = read_cluster(&members, preset)?;
        let called = Self::called(issuer, cluster);
        let keys = match members.get("jwks") {
            Some(set) => Some(KeySet::read(&called, set)?),
            None => None,
        };
        let keys = standing::withhold(&members, &called, keys)?;
        let standing = Standing::read(&members)?;
        let rules = Rule::read_list(&members, Vocabulary::Token(preset))?;
        if !standing.is_unpinned() {
            require_pins(issuer, preset, &rules)?;
        }
        Ok(Self {
            shared_name: cluster.map(|_| issuer.to_owned()),
            issuer: called,
            preset,
            keys,
            audiences: members.texts("audiences")?,
            rules,
            algorithms: read_algorithms(&members, preset)?,
            lifetime_max: lifetime_max(&members, LIFETIME_MAX)?,
            says_when_issued: true,
            single_audience: members.flag("single_audience")?,
            authorized_parties: members.texts("authorized_parties")?,
            fetched_under: read_certificate(&members)?,
            introspection,
            sign_in: SignInReading::read(&members, preset)?,
            standing,
        })
    }

    /// A client that signs its own assertions (RFC 7523 2.2), which are for `audience` alone.
    pub fn of_client(id: &str, keys: KeySet, audience: &str) -> Self {
        Self {
            issuer: id.to_owned(),
            shared_name: None,
            preset: None,
            keys: Some(keys),
            audiences: vec![audience.to_owned()],
            rules: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            lifetime_max: ASSERTION_LIFETIME_MAX,
            // RFC 7523 3 (6): a client may leave it out.
            says_when_issued: false,
            single_audience: true,
            authorized_parties: Vec::new(),
            fetched_under: None,
            introspection: None,
            sign_in: SignInReading::default(),
            standing: Standing::default(),
        }
    }

    /// What an issuer is called everywhere but in its tokens: by its name, and of several clusters that
    /// share one, by that and which it is. No name of an issuer has a `#`, so none is taken for another's.
    pub fn called(issuer: &str, cluster: Option<&str>) -> String {
        match cluster {
            None => issuer.to_owned(),
            Some(cluster) => format!("{issuer}#{cluster}"),
        }
    }

    /// Its name: as its tokens carry it, and of a cluster that shares that with others, which it is, too.
    /// Subjects, marks and what was used are of this name, so that nothing of one cluster is another's.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether each of its tokens says when it was issued.
    pub(crate) fn says_when_issued(&self) -> bool {
        self.says_when_issued
    }

    /// Whether others may carry the name that its tokens do.
    pub(crate) fn shares_its_name(&self) -> bool {
        self.shared_name.is_some()
    }

    /// What kind of issuer it is, if that is known.
    pub fn preset(&self) -> Option<Preset> {
        self.preset
    }

    /// Its keys, if they are known.
    pub fn keys(&self) -> Option<&KeySet> {
        self.keys.as_ref()
    }

    /// For whom its tokens may be; anyone whom the question names when empty.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Who may come from it; anyone when empty.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The algorithms that its tokens may be signed with.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The longest life of its tokens, in seconds.
    pub fn lifetime_max(&self) -> i64 {
        self.lifetime_max
    }

    /// Whether a token must be for one audience alone.
    pub fn single_audience(&self) -> bool {
        self.single_audience
    }

    /// To whom its tokens may have been issued (`azp`); anyone when empty.
    pub fn authorized_parties(&self) -> &[String] {
        &self.authorized_parties
    }

    /// The CA of the TLS connection over which its keys came.
    pub fn fetched_under(&self) -> Option<&Arc<Certificate>> {
        self.fetched_under.as_ref()
    }

    /// What it is asked about its tokens, if it is.
    pub fn introspection(&self) -> Option<&Introspection> {
        self.introspection.as_ref()
    }

    /// How what it says of signing in is to be read.
    pub fn sign_in(&self) -> &SignInReading {
        &self.sign_in
    }

    /// How it stands with whoever trusts it.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it asks of its tokens what another does, whichever keys each has.
    pub(crate) fn has_terms_of(&self, other: &Self) -> bool {
        self.terms() == other.terms()
    }

    fn terms(&self) -> impl PartialEq + '_ {
        let lists = (&self.audiences, &self.authorized_parties, &self.rules);
        let read = (self.preset, &self.sign_in, &self.introspection);
        let bounds = (&self.algorithms, self.lifetime_max, self.single_audience);
        (lists, read, bounds)
    }

    /// What its tokens may call it. Names are compared exactly (RFC 7519 4.1.1), but for one second
    /// spelling that Google documents.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let named = self.shared_name.as_deref().unwrap_or(&self.issuer);
        std::iter::once(named).chain(Preset::alias(named))
    }
}

const KNOWN_MEMBERS: [&str; 14] = [
    "algorithms",
    "assurance",
    "audiences",
    "authorized_parties",
    "cluster",
    "fetched_under",
    "introspection",
    "issuer",
    "jwks",
    "max_lifetime",
    "preset",
    "review",
    "rules",
    "single_audience",
];

/// An issuer is an `https` URL without query and fragment (OpenID Connect Core 2), and here
/// without user information, which only serves to deceive.
fn check_issuer(issuer: &str) -> Result<(), Reason> {
    let refuse = |detail: &str| Err(trust_document(format!("the issuer `{issuer}` {detail}")));
    let Some(rest) = issuer.strip_prefix("https://") else {
        return refuse("does not begin with `https://`");
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return refuse("has no host");
    }
    if host.contains('@') {
        return refuse("has user information before its host");
    }
    if rest.contains(['?', '#', ' ', '\\', '*']) {
        return refuse("has characters that the name of an issuer cannot have");
    }
    // The number is Microsoft's for the personal accounts of everyone.
    let names_no_tenant = [
        "/common/",
        "/organizations/",
        "/consumers/",
        "/{tenantid}/",
        "/9188040d-6c67-4c5b-b112-36a304b66dad/",
    ];
    let is_microsoft = ["login.microsoftonline.com", "sts.windows.net"].contains(&host);
    if is_microsoft && names_no_tenant.iter().any(|part| rest.contains(part)) {
        return refuse("is no tenant's; write the one with the number of your tenant");
    }
    Ok(())
}

fn read_preset(members: &Members<'_>, issuer: &str) -> Result<Option<Preset>, Reason> {
    let known = Preset::of_issuer(issuer);
    let Some(name) = members.text("preset")? else {
        return Ok(known);
    };
    let Some(preset) = Preset::parse(name) else {
        let names = Preset::ALL.map(Preset::name).join(", ");
        return Err(trust_document(format!(
            "there is no preset `{name}`; there are {names}"
        )));
    };
    match known {
        Some(known) if known != preset => Err(trust_document(format!(
            "the issuer `{issuer}` is of the preset `{}`, not `{name}`",
            known.name()
        ))),
        Some(_) | None => Ok(Some(preset)),
    }
}

/// Which of the clusters it is that call themselves the same, as those do that nobody has told another
/// name: `https://kubernetes.default.svc.cluster.local` is the name of thousands.
fn read_cluster<'a>(
    members: &Members<'a>,
    preset: Option<Preset>,
) -> Result<Option<&'a str>, Reason> {
    let Some(cluster) = members.text("cluster")? else {
        return Ok(None);
    };
    let place = members.place("cluster");
    if preset != Some(Preset::Kubernetes) {
        return Err(trust_document(format!(
            "`{place}` is for clusters of Kubernetes (`preset: kubernetes`)"
        )));
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if cluster.is_empty() || cluster.len() > 64 || !cluster.chars().all(is_plain) {
        return Err(trust_document(format!(
            "`{place}` must be 1 to 64 letters, digits, `.`, `_` and `-`"
        )));
    }
    Ok(Some(cluster))
}

/// What the issuer is asked about its tokens. One that is asked by TokenReview is a cluster, and has to
/// be told for whom the tokens must be: it takes those for itself otherwise.
fn read_asked(
    members: &Members<'_>,
    preset: Option<Preset>,
) -> Result<(Option<Preset>, Option<Introspection>), Reason> {
    let Some(review) = Introspection::read_review(members)? else {
        return Ok((preset, Introspection::read(members)?));
    };
    let place = members.place("review");
    for name in ["introspection", "jwks", "fetched_under"] {
        if members.get(name).is_some() {
            return Err(trust_document(format!(
                "`{place}` stands beside `{name}`, and only one of them can vouch"
            )));
        }
    }
    if preset.is_some_and(|preset| preset != Preset::Kubernetes) {
        return Err(trust_document(format!(
            "`{place}` is for clusters of Kubernetes"
        )));
    }
    if members.texts("audiences")?.is_empty() {
        return Err(trust_document(format!(
            "`{place}` needs `audiences` beside it: a cluster that is told none takes tokens for itself"
        )));
    }
    Ok((Some(Preset::Kubernetes), Some(review)))
}

fn read_algorithms(
    members: &Members<'_>,
    preset: Option<Preset>,
) -> Result<Vec<Algorithm>, Reason> {
    let possible = preset
        .and_then(Preset::algorithms)
        .unwrap_or(&Algorithm::ALL);
    if members.get("algorithms").is_none() {
        return Ok(possible.to_vec());
    }
    let names = members.texts("algorithms")?;
    names
        .iter()
        .map(|name| {
            Algorithm::parse(name)
                .ok()
                .filter(|algorithm| possible.contains(algorithm))
                .ok_or_else(|| {
                    let possible = possible.iter().map(|algorithm| algorithm.name());
                    trust_document(format!(
                        "`{}` names `{name}`; possible are {}",
                        members.place("algorithms"),
                        possible.collect::<Vec<_>>().join(", ")
                    ))
                })
        })
        .collect()
}

/// The member `max_lifetime`, or `otherwise`.
pub(super) fn lifetime_max(members: &Members<'_>, otherwise: i64) -> Result<i64, Reason> {
    match members.seconds("max_lifetime")? {
        None => Ok(otherwise),
        Some(seconds) if seconds <= LIFETIME_ALLOWED_MAX => Ok(seconds),
        Some(_) => Err(trust_document(format!(
            "`{}` is over a year ({LIFETIME_ALLOWED_MAX} s)",
            members.place("max_lifetime")
        ))),
    }
}

fn read_certificate(members: &Members<'_>) -> Result<Option<Arc<Certificate>>, Reason> {
    let place = members.place("fetched_under");
    members
        .get("fetched_under")
        .map(|value| certificate_of(value, &place))
        .transpose()
}

/// One certificate in PEM, or DER in base64, which stands at `place`.
pub(super) fn certificate_of(value: &Value, place: &str) -> Result<Arc<Certificate>, Reason> {
    let refuse = |detail: &str| trust_document(format!("`{place}` {detail}"));
    let Value::String(text) = value else {
        return Err(refuse("must be one certificate in PEM"));
    };
    let text = text.trim();
    let der = if text.starts_with("-----BEGIN") {
        let (label, document) =
            Document::from_pem(text).map_err(|_| refuse("cannot be read as PEM"))?;
        if label != "CERTIFICATE" {
            return Err(refuse("must be one certificate in PEM"));
        }
        document.into_vec()
    } else {
        Base64::decode_vec(text).map_err(|_| refuse("must be one certificate in PEM"))?
    };
    Certificate::parse(&der)
        .map(Arc::new)
        .map_err(|detail| refuse(&format!("cannot be read: {detail}")))
}
