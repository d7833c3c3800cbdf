//! What an administrator wants of an issuer.

use avouch_api::members::{Document, Members};
use avouch_core::model::federation::{IssuerAnchor, SamlAnchor};
use avouch_core::policy::presets::Preset;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value};

use crate::fetch::{Target, certificates};
use crate::introspection::Endpoint;

/// How long keys may be used after a refresh has failed, in seconds, unless something else is said.
const USUAL_STALE: u32 = 86_400;

/// The longest, in seconds.
const LONGEST_STALE: u32 = 7 * 86_400;

/// How often keys are fetched at least, in seconds, whatever the issuer says of how long they may be
/// kept.
const LONGEST_REFRESH: u32 = 3_600;

/// And at most.
pub(super) const SHORTEST_REFRESH: u32 = 60;

/// What is written by whoever fetches the keys, and by nobody else.
const STANDING: [&str; 6] = [
    "doubted_keys",
    "keys_fetched",
    "pins",
    "quarantined",
    "unpinned",
    "withheld_keys",
];

/// An issuer as an administrator wants it.
#[derive(Clone, Debug)]
pub(crate) struct IssuerSettings {
    /// What it is called here.
    pub(super) issuer: String,
    /// What its tokens call it, which several clusters may be called.
    pub(super) named: String,
    pub(super) source: Source,
    /// Hosts besides its own on which its keys may be.
    pub(super) jwks_hosts: Vec<String>,
    /// What its TLS certificate may end at besides the trust store of the system.
    pub(super) ca: Vec<CertificateDer<'static>>,
    pub(super) stale_for: i64,
    pub(super) refresh_every: i64,
    /// Hosts besides its own on which the status lists of its tokens may be.
    pub(super) status_list_hosts: Vec<String>,
    /// For how long a list may be used after the next one should have been fetched, in seconds.
    pub(super) status_stale_for: i64,
    /// Whether keys that have nothing to do with the last ones are taken without asking.
    pub(super) takes_new_keys: bool,
    /// Why and until when it is trusted without a pin.
    pub(super) overridden: Option<(String, Time)>,
    /// Where it is asked about its tokens, if it is.
    pub(super) endpoint: Option<Endpoint>,
    /// What becomes of it in an anchor.
    pub(super) anchor: Map<String, Value>,
}

/// Where its keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From the discovery document at this address.
    Discovery(String),
    /// From this address.
    Keys(String),
    /// From the metadata of an identity provider of SAML, which whoever configured it has given.
    Metadata,
    /// From nowhere: the cluster is asked about each token.
    Review,
    /// From whoever configured it.
    Uploaded(Value),
}

impl Source {
    fn read(members: &mut Members, issuer: &str) -> Result<Self, Reason> {
        let discovery = members.text("discovery_url")?;
        let keys = members.text("jwks_url")?;
        let uploaded = members.take("jwks");
        let is_reviewed = members.names_left().any(|name| name == "review");
        let source = match (discovery, keys, uploaded) {
            (None, None, None) if is_reviewed => Self::Review,
            _ if is_reviewed => {
                let detail = "stands beside keys: a cluster that is asked vouches itself";
                return Err(members.refuse("review", detail));
            }
            (None, None, Some(keys)) => Self::Uploaded(keys),
            (None, Some(url), None) => Self::Keys(url),
            (Some(url), None, None) => Self::Discovery(url),
            (None, None, None) => default_source(issuer),
            _ => {
                let detail = "stands beside `jwks_url` or `jwks`, and the keys have one source";
                return Err(members.refuse("discovery_url", detail));
            }
        };
        if let Self::Discovery(url) | Self::Keys(url) = &source {
            Target::parse(url)?;
        }
        Ok(source)
    }
}

impl IssuerSettings {
    /// Reads what is wanted. What becomes of the anchor is read where anchors are.
    pub(super) fn read(text: &str) -> Result<Self, Reason> {
        let mut members = Members::read(Document::Request("issuer"), text)?;
        for name in STANDING {
            if members.names_left().any(|left| left == name) {
                let detail = "is found out by the server and cannot be given";
                return Err(members.refuse(name, detail));
            }
        }
        if let Some(provider) = members.take("saml") {
            return Self::of_provider(provider, members);
        }
        let named = members.required_text("issuer")?;
        let cluster = members.text("cluster")?;
        let issuer = IssuerAnchor::called(&named, cluster.as_deref());
        let source = Source::read(&mut members, &named)?;
        let ca = match members.text("ca")? {
            Some(pem) => certificates(&pem)?,
            None => Vec::new(),
        };
        let stale_for = bounded(&mut members, "stale_for", USUAL_STALE, 0, LONGEST_STALE)?;
        let refresh_every = bounded(
            &mut members,
            "refresh_every",
            LONGEST_REFRESH,
            SHORTEST_REFRESH,
            LONGEST_STALE,
        )?;
        let overridden = read_override(&mut members)?;
        let jwks_hosts = members.text_list("jwks_hosts")?;
        let status_list_hosts = members.text_list("status_list_hosts")?;
        if cluster.is_some() && !status_list_hosts.is_empty() {
            let detail = "stands beside `cluster`: clusters of Kubernetes publish no status lists, and a list \
                          would be all clusters' that have the name; have tokens reviewed (`review`) instead";
            return Err(members.refuse("status_list_hosts", detail));
        }
        let status_stale_for = bounded(
            &mut members,
            "status_stale_for",
            LONGEST_REFRESH,
            0,
            LONGEST_STALE,
        )?;
        let takes_new_keys = members.flag("accept_new_keys")?.unwrap_or(false);
        let (asked, audiences_named) = read_asked(&mut members)?;
        let mut anchor = members.rest();
        anchor.extend(audiences_named.map(|named| ("audiences".to_owned(), named)));
        let endpoint = asked.map(|(endpoint, asked)| {
            anchor.insert(endpoint.part().to_owned(), asked.into());
            endpoint
        });
        anchor.insert("issuer".to_owned(), named.as_str().into());
        anchor.extend(cluster.map(|cluster| ("cluster".to_owned(), cluster.into())));
        Ok(Self {
            issuer,
            named,
            source,
            jwks_hosts,
            ca,
            stale_for,
            refresh_every,
            status_list_hosts,
            status_stale_for,
            takes_new_keys,
            overridden,
            endpoint,
            anchor,
        })
    }

    /// An identity provider of SAML, by its metadata or its certificates. It is called what these
    /// say.
    fn of_provider(provider: Value, mut members: Members) -> Result<Self, Reason> {
        let overridden = read_override(&mut members)?;
        let mut anchor = Map::from_iter([("saml".to_owned(), provider)]);
        let read = SamlAnchor::read_at("issuer", &anchor);
        let read = read.map_err(|reason| reason.of_sent("issuer"))?;
        anchor.extend(members.rest());
        Ok(Self {
            issuer: read.entity_id().to_owned(),
            named: read.entity_id().to_owned(),
            source: Source::Metadata,
            jwks_hosts: Vec::new(),
            ca: Vec::new(),
            stale_for: 0,
            refresh_every: LONGEST_REFRESH.into(),
            status_list_hosts: Vec::new(),
            status_stale_for: 0,
            takes_new_keys: false,
            overridden,
            endpoint: None,
            anchor,
        })
    }

    /// Whether it is an identity provider of SAML.
    pub(super) fn is_provider(&self) -> bool {
        self.source == Source::Metadata
    }

    /// Whether it has keys that are followed.
    pub(super) fn has_keys(&self) -> bool {
        !matches!(self.source, Source::Metadata | Source::Review)
    }

    /// Whether its keys are fetched.
    pub(super) fn is_fetched(&self) -> bool {
        self.has_keys() && !matches!(self.source, Source::Uploaded(_))
    }

    /// Whether it is asked about tokens that only it can read. It may have none that a key checks, and
    /// publish none.
    pub(super) fn may_have_no_keys(&self) -> bool {
        let asked = self.endpoint.as_ref();
        asked.is_some_and(|endpoint| {
            let asked = self.anchor.get(endpoint.part()).unwrap_or(&Value::Null);
            endpoint.is_of_opaque(asked)
        })
    }

    /// After how many seconds it is asked again about a token, if it is asked at all.
    pub(super) fn asked_again(&self) -> Option<i64> {
        let endpoint = self.endpoint.as_ref()?;
        let asked = self.anchor.get(endpoint.part());
        let said = asked.and_then(|asked| asked.get("max_age")?.as_i64());
        Some(said.unwrap_or(endpoint.age_usual()))
    }

    /// Whether a discovery document says where they are.
    pub(super) fn is_discovered(&self) -> bool {
        matches!(self.source, Source::Discovery(_))
    }

    /// Whether status lists of its tokens may be on this host, with this port behind it or without.
    pub(super) fn allows_lists_at(&self, list: &Target) -> bool {
        // A list is its issuer's by name, and several clusters have this one.
        if self.issuer != self.named {
            return false;
        }
        let (host, authority) = (list.host(), list.authority());
        let own = Target::parse(&self.named).is_ok_and(|own| own.authority() == authority);
        let mut more = self.status_list_hosts.iter();
        own || more.any(|allowed| *allowed == host || *allowed == authority)
    }

    /// Whether it is a cluster of Kubernetes, which may share its name with others.
    pub(super) fn is_cluster(&self) -> bool {
        let said = self.anchor.get("preset").and_then(Value::as_str);
        let said = said.and_then(Preset::parse);
        let known = said.or_else(|| Preset::of_issuer(&self.named));
        known == Some(Preset::Kubernetes) || matches!(self.endpoint, Some(Endpoint::Review { .. }))
    }

    /// Whether nobody could tell tokens of this one from those of the other, which are called alike: a
    /// cluster that is asked is shown no token of another, so its audiences have to tell them apart.
    pub(super) fn is_taken_for(&self, other: &Self) -> bool {
        let is_asked = self.endpoint.is_some() || other.endpoint.is_some();
        let (own, others) = (self.audiences(), other.audiences());
        let is_shared = own.iter().any(|one| others.contains(one));
        let overlap = own.is_empty() || others.is_empty() || is_shared;
        self.named == other.named && is_asked && overlap
    }

    /// For whom its tokens are; for anyone, where there are none.
    fn audiences(&self) -> Vec<&str> {
        let named = self.anchor.get("audiences").and_then(Value::as_array);
        let named = named.into_iter().flatten();
        named.filter_map(Value::as_str).collect()
    }

    /// Whether its keys may be on this host, with this port behind it or without.
    pub(super) fn allows_keys_at(&self, keys: &Target) -> bool {
        let own = Target::parse(&self.named).is_ok_and(|own| own.authority() == keys.authority());
        let (host, authority) = (keys.host(), keys.authority());
        let known = known_hosts(&self.named);
        own || known.contains(&authority.as_str())
            || self
                .jwks_hosts
                .iter()
                .any(|allowed| *allowed == host || *allowed == authority)
    }
}

/// Where an issuer is asked, and what becomes of that in an anchor.
type Asked = (Endpoint, Map<String, Value>);

/// Where it is asked about its tokens; and for whom they are, which
/// bounds both.
fn read_asked(members: &mut Members) -> Result<(Option<Asked>, Option<Value>), Reason> {
    match (
        members.members("introspection")?,
        members.members("review")?,
    ) {
        (None, None) => Ok((None, None)),
        (Some(part), None) => Ok((Some(Endpoint::introspection(part)?), None)),
        (None, Some(part)) => {
            let audiences = members.text_list("audiences")?;
            let named = (!audiences.is_empty()).then(|| audiences.clone().into());
            Ok((Some(Endpoint::review(part, audiences)?), named))
        }
        (Some(_), Some(_)) => {
            let detail = "stands beside `introspection`, and an issuer is asked in one way";
            Err(members.refuse("review", detail))
        }
    }
}

/// Why and until when it is trusted without saying whom.
fn read_override(members: &mut Members) -> Result<Option<(String, Time)>, Reason> {
    let Some(mut part) = members.members("override")? else {
        return Ok(None);
    };
    let reason = part.required_text("reason")?;
    let expires = part.time("expires")?;
    let expires = expires.ok_or_else(|| part.refuse("expires", "is missing"))?;
    part.finish()?;
    Ok(Some((reason, expires)))
}

fn bounded(
    members: &mut Members,
    name: &'static str,
    usual: u32,
    least: u32,
    most: u32,
) -> Result<i64, Reason> {
    match members.count(name)? {
        None => Ok(usual.into()),
        Some(seconds) if (least..=most).contains(&seconds) => Ok(seconds.into()),
        Some(_) => {
            let detail = format!("must be {least} to {most} seconds");
            Err(members.refuse(name, &detail))
        }
    }
}

/// Where the keys of an issuer are unless something else is said (OpenID Connect Discovery 4.1).
/// Identity-Aware Proxy has no discovery document.
fn default_source(issuer: &str) -> Source {
    if issuer == "https://cloud.google.com/iap" {
        return Source::Keys("https://www.gstatic.com/iap/verify/public_key-jwk".to_owned());
    }
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    Source::Discovery(format!("{issuer}/.well-known/openid-configuration"))
}

/// Other hosts on which large issuers keep their keys, as they document.
fn known_hosts(issuer: &str) -> &'static [&'static str] {
    match issuer {
        "https://accounts.google.com" => &["www.googleapis.com"],
        "https://cloud.google.com/iap" => &["www.gstatic.com"],
        _ => &[],
    }
}
