//! What may be done with an API of others: as it is written and read. The key stands in no document.

use std::collections::BTreeSet;

use avouch_api::members::{Document, Members};
use avouch_core::id::SpiffeId;
use avouch_core::policy::rules::Rule as Conditions;
use avouch_core::reason::Reason;
use avouch_store::Selector;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::facts::{self, Known};
use super::webhook::{Scheme, TOLERANCE_MOST, TOLERANCE_USUAL};
use crate::fault::Refused;
use crate::fetch::{Target, certificates};

/// What is read.
const OBJECT: Document = Document::Request("egress");

/// The most rules of one API, and the most values of one member.
const MOST_RULES: usize = 64;
const MOST_VALUES: usize = 256;

/// Where the key stands in the value of a header.
const PLACE: &str = "{key}";

/// Methods that change nothing (RFC 9110 9.2.1), and those that may.
const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];

/// Headers that are about one connection or one proxy (RFC 9110 7.6.1), that say who asks or whom,
/// or how long a body is: nobody passes them on.
const NEVER_PASSED: [&str; 20] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
];

/// An API that workloads of a tenant may use.
#[derive(Debug)]
pub(crate) struct Egress {
    /// Where it is; paths of calls follow this one.
    pub(super) base: String,
    /// The header that carries the key.
    pub(super) header: HeaderName,
    /// What stands before and after the key.
    around: (String, String),
    /// Whom its certificate is under; the trust store of the system, if nobody is named.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// The headers that are passed on beside `Accept` and `Content-Type`.
    pub(super) passes: Vec<HeaderName>,
    /// Whether a token that anyone could have sent says who asks.
    pub(super) bearer: bool,
    /// What it sends by itself, if that is checked here.
    pub(super) webhook: Option<Webhook>,
    rules: Vec<Rule>,
}

/// How what an API sends by itself is signed, and for whom it is.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) scheme: Scheme,
    /// How old a signature may be, in seconds.
    pub(super) tolerance: u32,
    ids: Vec<Whom>,
}

impl Webhook {
    fn read(mut members: Members) -> Result<Self, Reason> {
        let scheme = members.choice("scheme", &Scheme::ALL)?;
        let scheme = scheme.ok_or_else(|| members.refuse("scheme", "is missing"))?;
        let tolerance = members.count("tolerance")?.unwrap_or(TOLERANCE_USUAL);
        if !(1..=TOLERANCE_MOST).contains(&tolerance) {
            return Err(members.refuse("tolerance", "must be 1 to 3600 seconds"));
        }
        let ids = whom(&mut members)?;
        members.finish()?;
        Ok(Self {
            scheme,
            tolerance,
            ids,
        })
    }

    /// Whether webhooks are for someone.
    pub(super) fn is_for(&self, id: &SpiffeId) -> bool {
        self.ids.iter().any(|whom| whom.includes(id))
    }
}

/// Who may do what.
#[derive(Debug)]
struct Rule {
    ids: Vec<Whom>,
    methods: BTreeSet<String>,
    paths: Vec<String>,
    per_minute: Option<u32>,
    /// What must be known of them beside their names.
    facts: Option<Conditions>,
    /// What must have been attested of them.
    attested: Vec<Selector>,
}

/// One identity, or all below it.
#[derive(Debug)]
struct Whom {
    id: SpiffeId,
    and_below: bool,
}

/// What a rule lets someone do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permitted {
    /// The number of the rule.
    pub(super) rule: usize,
    /// How often in a minute.
    pub(super) per_minute: Option<u32>,
}

impl Egress {
    pub(super) fn read(text: &str) -> Result<Self, Reason> {
        let mut members = Members::read(OBJECT, text)?;
        let base = base(&mut members)?;
        let (header, around) = header(&mut members)?;
        let authorities = match members.text("ca")? {
            Some(pem) => certificates(&pem)?,
            None => Vec::new(),
        };
        let passes = passes(&mut members, &header)?;
        let bearer = members.flag("bearer")?.unwrap_or(false);
        let webhook = members.members("webhook")?;
        let webhook = webhook.map(Webhook::read).transpose()?;
        let rules = members.list("rules")?.unwrap_or_default();
        if rules.is_empty() {
            return Err(members.refuse("rules", "names none, so nobody could use it"));
        }
        if rules.len() > MOST_RULES {
            return Err(members.refuse("rules", "names too many"));
        }
        let rules = rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::read(&format!("rules[{index}]"), rule));
        let rules = rules.collect::<Result<_, _>>()?;
        members.finish()?;
        Ok(Self {
            base,
            header,
            around,
            authorities,
            passes,
            bearer,
            webhook,
            rules,
        })
    }

    /// Whether someone may use a method on a path; the first rule that says so counts. What is known
    /// of them is looked up where a rule asks for it.
    ///
    /// # Errors
    ///
    /// Why it cannot be looked up.
    pub(super) fn permits(
        &self,
        id: &SpiffeId,
        method: &str,
        path: &str,
        look_up: impl Fn() -> Result<Known, Refused>,
    ) -> Result<Option<Permitted>, Refused> {
        let mut known = None;
        for (number, rule) in self.rules.iter().enumerate() {
            if !rule.covers(id, method, path) {
                continue;
            }
            if rule.asks_for_more() {
                let known = match &known {
                    Some(known) => known,
                    None => known.insert(look_up()?),
                };
                if !rule.is_met_by(known) {
                    continue;
                }
            }
            return Ok(Some(Permitted {
                rule: number,
                per_minute: rule.per_minute,
            }));
        }
        Ok(None)
    }

    /// The header with a key in it.
    pub(super) fn header_with(&self, key: &str) -> Option<HeaderValue> {
        let (before, after) = &self.around;
        let mut value = HeaderValue::from_str(&format!("{before}{key}{after}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Rule {
    fn read(path: &str, rule: Value) -> Result<Self, Reason> {
        let mut members = Members::of(OBJECT, path, rule)?;
        let ids = whom(&mut members)?;
        let methods = members.text_list("methods")?;
        let methods = bounded(&members, "methods", methods)?;
        if methods.iter().any(|one| !METHODS.contains(&one.as_str())) {
            let detail = "must be of DELETE, GET, PATCH, POST and PUT";
            return Err(members.refuse("methods", detail));
        }
        let paths = members.text_list("paths")?;
        let paths = bounded(&members, "paths", paths)?;
        if paths
            .iter()
            .any(|one| !one.starts_with('/') || plain_path(one).is_none())
        {
            let detail = "must be paths such as `/v1/charges`, without escapes";
            return Err(members.refuse("paths", detail));
        }
        let read = Self {
            ids,
            methods: methods.into_iter().collect(),
            paths,
            per_minute: members.count("per_minute")?,
            facts: conditions(path, &mut members)?,
            attested: attested(&mut members)?,
        };
        members.finish()?;
        Ok(read)
    }

    fn covers(&self, id: &SpiffeId, method: &str, path: &str) -> bool {
        self.methods.contains(method)
            && self.ids.iter().any(|whom| whom.includes(id))
            && self.paths.iter().any(|prefix| lies_below(path, prefix))
    }

    fn asks_for_more(&self) -> bool {
        self.facts.is_some() || !self.attested.is_empty()
    }

    /// What is not known does not match.
    fn is_met_by(&self, known: &Known) -> bool {
        let mut attested = self.attested.iter();
        attested.all(|one| known.attested.contains(one))
            && self
                .facts
                .as_ref()
                .is_none_or(|facts| facts.admits(&known.facts))
    }
}

impl Whom {
    fn parse(text: &str) -> Option<Self> {
        let (id, and_below) = match text.strip_suffix("/*") {
            Some(id) => (id, true),
            None => (text, false),
        };
        let id = SpiffeId::parse(id).ok()?;
        Some(Self { id, and_below })
    }

    fn includes(&self, id: &SpiffeId) -> bool {
        if !self.and_below {
            return *id == self.id;
        }
        let below = id.as_str().strip_prefix(self.id.as_str());
        below.is_some_and(|rest| rest.starts_with('/'))
    }
}

fn whom(members: &mut Members) -> Result<Vec<Whom>, Reason> {
    let ids = members.text_list("ids")?;
    let ids = bounded(members, "ids", ids)?;
    let ids = ids.iter().map(|text| {
        let detail = "must be SPIFFE IDs, each for itself or with `/*` for all below it";
        Whom::parse(text).ok_or_else(|| members.refuse("ids", detail))
    });
    ids.collect()
}

fn bounded(
    members: &Members,
    name: &'static str,
    values: Vec<String>,
) -> Result<Vec<String>, Reason> {
    match values.len() {
        0 => Err(members.refuse(name, "names none, so the rule would let nobody do anything")),
        1..=MOST_VALUES => Ok(values),
        _ => Err(members.refuse(name, "names too many")),
    }
}

fn conditions(rule: &str, members: &mut Members) -> Result<Option<Conditions>, Reason> {
    match members.take("facts") {
        None => Ok(None),
        Some(Value::Object(facts)) => {
            Conditions::of_named_facts(rule.to_owned(), &facts, facts::NAMES).map(Some)
        }
        Some(_) => Err(members.refuse("facts", "must be an object of facts and what they must be")),
    }
}

fn attested(members: &mut Members) -> Result<Vec<Selector>, Reason> {
    let texts = members.text_list("attested")?;
    if texts.len() > MOST_VALUES {
        return Err(members.refuse("attested", "names too many"));
    }
    let texts = texts.iter().map(|text| {
        let detail = "must be selectors, such as `k8s:ns:billing`";
        Selector::parse(text).ok_or_else(|| members.refuse("attested", detail))
    });
    texts.collect()
}

fn base(members: &mut Members) -> Result<String, Reason> {
    let url = members.required_text("url")?;
    let target = Target::parse(&url)?;
    if target.path().contains('?') || plain_path(target.path()).is_none() {
        return Err(members.refuse(
            "url",
            "must be an address without a question mark or escapes",
        ));
    }
    Ok(target.to_string().trim_end_matches('/').to_owned())
}

fn header(members: &mut Members) -> Result<(HeaderName, (String, String)), Reason> {
    let text = members.text("header")?;
    let text = text.unwrap_or_else(|| format!("Authorization: Bearer {PLACE}"));
    let detail =
        "must be a name and a value with one `{key}`, such as `Authorization: Bearer {key}`";
    let refuse = |members: &Members| members.refuse("header", detail);
    let (name, value) = text.split_once(':').ok_or_else(|| refuse(members))?;
    let parts: Vec<&str> = value.trim().split(PLACE).collect();
    let [before, after] = parts.as_slice() else {
        return Err(refuse(members));
    };
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| refuse(members))?;
    // The one that usually carries a key is nobody's to pass on, and ours to write.
    let is_ours = name.as_str() == "authorization" || !NEVER_PASSED.contains(&name.as_str());
    let is_value = HeaderValue::from_str(&format!("{before}{after}")).is_ok();
    if !is_ours || !is_value {
        return Err(refuse(members));
    }
    Ok((name, ((*before).to_owned(), (*after).to_owned())))
}

fn passes(members: &mut Members, key: &HeaderName) -> Result<Vec<HeaderName>, Reason> {
    let names = members.text_list("passes")?;
    if names.len() > MOST_VALUES {
        return Err(members.refuse("passes", "names too many"));
    }
    let names = names.iter().map(|name| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        let name = name.filter(|name| name != key && !NEVER_PASSED.contains(&name.as_str()));
        let detail = "names a header that cannot be passed on";
        name.ok_or_else(|| members.refuse("passes", detail))
    });
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    // These are passed on anyway.
    names.retain(|name| *name != ACCEPT && *name != CONTENT_TYPE);
    Ok(names)
}

/// A path that everyone reads alike (RFC 3986 3.3): no escapes of what separates or climbs, no
/// empty segments, no parameters of segments.
pub(super) fn plain_path(path: &str) -> Option<&str> {
    let lower = path.to_ascii_lowercase();
    let hides = ["%2f", "%5c", "%2e", "%00", "%25", "%3b", "\\", ";"];
    // An escape of what needs none is read as what it escapes by some, and not by others
    // (RFC 3986 2.3).
    let needs_none = |escape: &str| {
        let digits = escape.get(..2).unwrap_or_default();
        let byte = u8::from_str_radix(digits, 16).unwrap_or(b'x');
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
    };
    if path.split('%').skip(1).any(needs_none) {
        return None;
    }
    let is_visible = path.bytes().all(|byte| byte.is_ascii_graphic());
    let segments = path.strip_prefix('/')?;
    let climbs = |segment: &str| matches!(segment, "." | "..");
    // The last segment may be empty: some addresses end in a slash.
    let (last, before) = match segments.rsplit_once('/') {
        Some((before, last)) => (last, before),
        None => (segments, "x"),
    };
    let is_plain = !before.split('/').any(|one| one.is_empty() || climbs(one)) && !climbs(last);
    (is_visible && is_plain && !hides.iter().any(|one| lower.contains(one))).then_some(path)
}

/// Whether a path lies at or below another, by whole segments.
fn lies_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_two_readers_could_read_differently_is_none() {
        for path in [
            "",
            "v1",
            "//v1",
            "/v1//charges",
            "/v1/../keys",
            "/v1/./x",
            "/..",
            "/v1/..",
            "/v1/%2e%2e/keys",
            "/v1%2Fkeys",
            "/v1/%5ckeys",
            "/v1\\keys",
            "/v1/a;b",
            "/v1/a b",
            "/v1/%252e",
            "/v1/é",
            "/v1/\r\nx",
            "/v1/%00",
            "/v1/%63harges",
            "/v1/%7Emia",
            "/v1/%4",
        ] {
            assert_eq!(plain_path(path), None, "{path}");
        }
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/charges/ch_1",
            "/v1/a%20b",
            "/v1/...",
            "/.well-known",
        ] {
            assert_eq!(plain_path(path), Some(path));
        }
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        assert!(lies_below("/v1/charges", "/v1/charges"));
        assert!(lies_below("/v1/charges/ch_1", "/v1/charges/"));
        assert!(lies_below("/v1", "/"));
        assert!(!lies_below("/v1/charges_of_others", "/v1/charges"));
        assert!(!lies_below("/v1", "/v1/charges"));
    }
}
