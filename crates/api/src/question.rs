//! A question: one JSON object.

use std::fmt;
use std::net::IpAddr;

use avouch_core::budget::{Budget, Limits};
use avouch_core::credential::Credential;
use avouch_core::exchange::dpop::ShownProof;
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{Context, ExpectedName, InitialPolicies, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use const_oid::ObjectIdentifier;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::members::{Document, MOST_VALUES_OF_STRANGERS, Members};
use crate::strict::{Room, StrictIn, insert_once};
use crate::text;

/// A question that could be read, with its trust document still as text, so that a caller who has
/// read the same text before need not read it again.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    id: Option<String>,
    at: Option<Time>,
    profile: Profile,
    purpose: Purpose,
    context: Context,
    credential: Credential,
    dpop: Option<ShownProof>,
    limits: Limits,
    trust: Option<&'a str>,
}

/// A question that could not be read: a refusal, with the `id` it carried if that much was legible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The `id` of the question.
    pub id: Option<String>,
    /// Why, an `input.*`.
    pub reason: Reason,
}

impl<'a> Asked<'a> {
    /// Reads one JSON object.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, with its `id` as far as that could be.
    pub fn read(json: &'a str) -> Result<Self, Box<Unreadable>> {
        let unreadable = |reason| Box::new(Unreadable { id: None, reason });
        // Said here, because a general reader would quote what it found, and it may be a secret.
        if !json.trim_start().starts_with('{') {
            let reason = Document::Question.refuse("it is not a JSON object");
            return Err(unreadable(reason));
        }
        let room = Room::of(MOST_VALUES_OF_STRANGERS);
        let raw = Raw::read(json, &room).map_err(|error| {
            unreadable(Document::Question.unread(&room, MOST_VALUES_OF_STRANGERS, &error))
        })?;
        let id = match raw.members.get("id") {
            Some(Value::String(id)) => Some(id.clone()),
            _ => None,
        };
        let trust = raw.trust.map(RawValue::get);
        Self::take_apart(raw.members, trust).map_err(|reason| Box::new(Unreadable { id, reason }))
    }

    fn take_apart(members: Map<String, Value>, trust: Option<&'a str>) -> Result<Self, Reason> {
        let members = Members::of(Document::Question, "", Value::Object(members))?;
        let mut members = members.without_nulls(MAY_BE_NULL);
        // It was set aside as text; taken here so that a refusal lists it among what is known.
        members.take("trust");
        let id = members.text("id")?;
        let at = members.time("at")?;
        let profile = members.choice("profile", PROFILES)?;
        let purpose = members.choice("purpose", PURPOSES)?;
        let expected = expect(members.members("expect")?)?;
        let audiences = members.texts("audience")?;
        let nonce = members.text("nonce")?;
        let recipients = members.texts("recipient")?;
        let in_response_to = members.text("in_response_to")?;
        let require_revocation = members.flag("require_revocation")?.unwrap_or(false);
        let policies = policies(members.members("policies")?)?;
        let (max_path_length, limits) = limits(members.members("limits")?)?;
        let Presented {
            credential,
            issuer,
            trust_chain,
            host,
            dpop,
        } = match members.members("credential")? {
            Some(credential) => read_credential(credential)?,
            None => return Err(members.refuse("credential", "is missing")),
        };
        members.finish()?;
        // It is used once, and nobody remembers for long what was used at another time.
        if dpop.is_some() && at.is_some() {
            return Err(Document::Question.refuse("`credential.dpop` is of now: leave `at` out"));
        }
        let mut expected = expected;
        expected.extend(host);
        let profile = profile.unwrap_or_else(|| profile_for(&expected));
        Ok(Self {
            id,
            at,
            profile,
            purpose: purpose.unwrap_or_else(|| purpose_for(profile)),
            context: Context {
                expected,
                audiences,
                nonce,
                max_path_length,
                require_revocation,
                policies,
                recipients,
                in_response_to,
                issuer,
                trust_chain,
                ..Context::default()
            },
            credential,
            dpop,
            limits,
            trust,
        })
    }

    /// The proof that came with its token. Whoever decides has to look at it: the token may be bound to its
    /// key.
    pub fn dpop(&self) -> Option<&ShownProof> {
        self.dpop.as_ref()
    }

    /// What the asker calls the question.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The text of the trust document it brings, JSON.
    pub fn trust(&self) -> Option<&'a str> {
        self.trust
    }

    /// What may be spent on it: the limits of the core, or tighter ones that it asked for.
    pub fn budget(&self) -> Budget {
        Budget::new(self.limits)
    }

    /// The question for the core, asked by `tenant`, at `now` unless it says when.
    pub fn into_question(self, tenant: TenantId, now: Time) -> Question {
        Question {
            tenant,
            credential: self.credential,
            profile: self.profile,
            purpose: self.purpose,
            now: self.at.unwrap_or(now),
            context: self.context,
        }
    }
}

/// The members of a question that may be `null`. Not those that say what is expected or bounded: without
/// them more would be accepted than an asker meant whose variable was empty.
const MAY_BE_NULL: &[&str] = &["at", "id", "profile"];

/// The members of a credential that may be `null`: of the kinds, since one of them must be there, and of
/// what is shown beside, without which nothing more is believed.
const MAY_BE_NULL_OF_CREDENTIALS: &[&str] = &[
    "api_key",
    "dpop",
    "issuer",
    "jwt",
    "openpgp",
    "opaque",
    "saml",
    "ssh",
    "trust_chain",
    "wit",
    "x509",
];

const PROFILES: &[(&str, Profile)] = &[
    ("private", Profile::Private),
    ("rfc5280", Profile::Rfc5280),
    ("spiffe", Profile::Spiffe),
    ("webpki", Profile::WebPki),
];

pub(crate) const PURPOSES: &[(&str, Purpose)] = &[
    ("any", Purpose::Any),
    ("client", Purpose::Client),
    ("server", Purpose::Server),
];

/// The profile when none is named: `spiffe` where a SPIFFE ID is expected, else `webpki`.
pub fn profile_for(expected: &[ExpectedName]) -> Profile {
    let spiffe = expected
        .iter()
        .any(|name| matches!(name, ExpectedName::Spiffe(_) | ExpectedName::TrustDomain(_)));
    if spiffe {
        Profile::Spiffe
    } else {
        Profile::WebPki
    }
}

/// The purpose when none is named: a server's, as in TLS, where the profile speaks of the Web.
pub fn purpose_for(profile: Profile) -> Purpose {
    match profile {
        Profile::Rfc5280 | Profile::WebPki => Purpose::Server,
        Profile::Private | Profile::Spiffe => Purpose::Any,
    }
}

/// A host name, or the address that it spells.
pub fn expected_name(host: &str) -> ExpectedName {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => ExpectedName::Ip(address),
        Err(_) => ExpectedName::Dns(host.to_owned()),
    }
}

/// A SPIFFE ID, or a trust domain: its bare name or the ID of the domain itself, which no workload
/// has.
///
/// # Errors
///
/// What is wrong with anything else, for the detail of a refusal.
pub fn expected_spiffe(text: &str) -> Result<ExpectedName, &'static str> {
    let read = if text.contains("://") {
        SpiffeId::parse(text).map(|id| match id.path() {
            "" => ExpectedName::TrustDomain(id.trust_domain().clone()),
            _ => ExpectedName::Spiffe(id),
        })
    } else {
        TrustDomain::parse(text).map(ExpectedName::TrustDomain)
    };
    read.map_err(|reason| match reason {
        Reason::IdInvalid { detail, .. } => detail,
        _ => "it cannot be read",
    })
}

fn expect(members: Option<Members>) -> Result<Vec<ExpectedName>, Reason> {
    let Some(mut members) = members else {
        return Ok(Vec::new());
    };
    let mut expected = Vec::new();
    expected.extend(members.texts("dns")?.iter().map(|name| expected_name(name)));
    for text in members.texts("ip")? {
        let address = text
            .parse()
            .map_err(|_| members.refuse("ip", "must be an IPv4 or IPv6 address"))?;
        expected.push(ExpectedName::Ip(address));
    }
    expected.extend(members.texts("email")?.into_iter().map(ExpectedName::Email));
    for text in members.texts("spiffe")? {
        let name = expected_spiffe(&text).map_err(|detail| {
            members.refuse(
                "spiffe",
                &format!("is neither a SPIFFE ID nor a trust domain: {detail}"),
            )
        })?;
        expected.push(name);
    }
    if expected.is_empty() && members.names_left().next().is_none() {
        return Err(Document::Question.refuse("`expect` is empty; leave it out instead"));
    }
    members.finish()?;
    Ok(expected)
}

/// The object identifier that a text such as `2.23.140.1.2.1` spells.
pub fn policy_identifier(text: &str) -> Option<ObjectIdentifier> {
    ObjectIdentifier::new(text).ok()
}

fn policies(members: Option<Members>) -> Result<InitialPolicies, Reason> {
    let Some(mut members) = members else {
        return Ok(InitialPolicies::default());
    };
    let accepted = members
        .texts("accepted")?
        .iter()
        .map(|text| {
            policy_identifier(text).ok_or_else(|| {
                members.refuse(
                    "accepted",
                    "must be object identifiers such as `2.23.140.1.2.1`",
                )
            })
        })
        .collect::<Result<_, _>>()?;
    let policies = InitialPolicies {
        accepted,
        require_explicit: members.flag("require_explicit")?.unwrap_or(false),
        inhibit_mapping: members.flag("inhibit_mapping")?.unwrap_or(false),
        inhibit_any: members.flag("inhibit_any")?.unwrap_or(false),
    };
    members.finish()?;
    Ok(policies)
}

/// The path length the asker allows, and the limits of the core made tighter where asked. A
/// question cannot loosen a limit: whoever asks must not choose how much work is done.
fn limits(members: Option<Members>) -> Result<(Option<u32>, Limits), Reason> {
    let mut limits = Limits::default();
    let Some(mut members) = members else {
        return Ok((None, limits));
    };
    let max_path_length = members.count("max_path_length")?;
    for (name, limit) in [
        ("name_comparisons", &mut limits.name_comparisons),
        ("policy_nodes", &mut limits.policy_nodes),
        ("search_steps", &mut limits.search_steps),
        ("signature_work", &mut limits.signature_work),
    ] {
        *limit = members
            .count(name)?
            .map_or(*limit, |asked| asked.min(*limit));
    }
    for (name, limit) in [
        ("certificates", &mut limits.certificates),
        ("input_bytes", &mut limits.input_bytes),
        ("json_depth", &mut limits.json_depth),
        ("json_members", &mut limits.json_members),
        ("token_bytes", &mut limits.token_bytes),
    ] {
        let asked = members
            .count(name)?
            .and_then(|asked| usize::try_from(asked).ok());
        *limit = asked.map_or(*limit, |asked| asked.min(*limit));
    }
    members.finish()?;
    Ok((max_path_length, limits))
}

/// What was presented, and what came with it.
struct Presented {
    credential: Credential,
    /// Who has issued it, if it is a token that only they can read.
    issuer: Option<String>,
    /// The statements of a federation.
    trust_chain: Vec<String>,
    /// The host whose key it is said to be.
    host: Option<ExpectedName>,
    /// The proof that its holder has made for a request.
    dpop: Option<ShownProof>,
}

fn read_credential(members: Members) -> Result<Presented, Reason> {
    let mut members = members.without_nulls(MAY_BE_NULL_OF_CREDENTIALS);
    let mut found = Vec::new();
    if let Some(mut x509) = members.members("x509")? {
        let chain = x509
            .list("chain")?
            .ok_or_else(|| x509.refuse("chain", "is missing"))?;
        x509.finish()?;
        found.push(Credential::X509(read_chain(chain)?));
    }
    let trust_chain = members.text_list("trust_chain")?;
    let issuer = members.text("issuer")?;
    let dpop = members.members("dpop")?.map(read_proof).transpose()?;
    if let Some(token) = members.text("opaque")? {
        found.push(Credential::Opaque(token));
    }
    if let Some(token) = members.text("jwt")? {
        found.push(Credential::Jwt(token));
    }
    if let Some(wit) = members.members("wit")? {
        let mut wit = wit.without_nulls(&["proof"]);
        let token = wit.required_text("token")?;
        let proof = wit.text("proof")?;
        wit.finish()?;
        found.push(Credential::Wit { token, proof });
    }
    if let Some(given) = members.text("saml")? {
        let document = text::saml(&given)
            .ok_or_else(|| members.refuse("saml", "is neither XML nor base64 of it"))?;
        found.push(Credential::Saml(document));
    }
    if let Some(key) = members.text("api_key")? {
        if key.trim().is_empty() {
            return Err(members.refuse(
                "api_key",
                "is empty: the variable that holds it may not be set",
            ));
        }
        found.push(Credential::ApiKey(key));
    }
    let (ssh, host) = ssh(&mut members)?;
    found.extend(ssh);
    // Known by name, not yet decided: whatever it holds is not looked at.
    if members.take("openpgp").is_some() {
        found.push(Credential::Unsupported("openpgp".to_owned()));
    }
    members.finish()?;
    let mut found = found.into_iter();
    let (is_jwt, is_opaque) = match found.as_slice() {
        [one] => (
            matches!(one, Credential::Jwt(_)),
            matches!(one, Credential::Opaque(_)),
        ),
        _ => (false, false),
    };
    match (found.next(), found.next()) {
        (Some(_), None) if !is_jwt && !trust_chain.is_empty() => {
            Err(Document::Question.refuse("`credential.trust_chain` goes with a `jwt`"))
        }
        (Some(_), None) if !is_jwt && dpop.is_some() => {
            Err(Document::Question.refuse("`credential.dpop` goes with a `jwt`"))
        }
        (Some(_), None) if !is_opaque && issuer.is_some() => {
            Err(Document::Question.refuse("`credential.issuer` goes with an `opaque`"))
        }
        (Some(credential), None) => Ok(Presented {
            credential,
            issuer,
            trust_chain,
            host,
            dpop,
        }),
        (None, _) => Err(Document::Question.refuse("`credential` is empty")),
        (Some(_), Some(_)) => Err(Document::Question.refuse("`credential` holds more than one")),
    }
}

/// A DPoP proof, with the request for which it was made.
fn read_proof(mut members: Members) -> Result<ShownProof, Reason> {
    let shown = ShownProof {
        proof: members.required_text("proof")?,
        method: members.required_text("method")?,
        url: members.required_text("url")?,
        nonce: members.text("nonce")?,
    };
    members.finish()?;
    Ok(shown)
}

/// A key or a certificate of SSH, and the proof that whoever shows it holds the key.
fn ssh(members: &mut Members) -> Result<(Option<Credential>, Option<ExpectedName>), Reason> {
    let Some(ssh) = members.members("ssh")? else {
        return Ok((None, None));
    };
    let mut ssh = ssh.without_nulls(&["proof"]);
    // The name alone is certified, whatever the port.
    let host = ssh.text("host")?;
    let host = host.map(|host| expected_name(without_port(&host)));
    let key = ssh.required_text("key")?;
    let proof = ssh.text("proof")?;
    ssh.finish()?;
    Ok((Some(Credential::Ssh { key, proof }), host))
}

/// The name or address of a host that may have a port behind it. An address of IPv6 has colons of its
/// own, so a port goes with brackets there (RFC 3986 3.2.2).
fn without_port(host: &str) -> &str {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((address, "")) => address,
            Some((address, port)) if port.strip_prefix(':').is_some_and(is_port) => address,
            Some(_) | None => host,
        };
    }
    match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) | None => host,
    }
}

fn read_chain(elements: Vec<Value>) -> Result<Vec<Vec<u8>>, Reason> {
    let mut chain = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let path = format!("credential.x509.chain[{index}]");
        let Value::String(element) = element else {
            return Err(Document::Question.refuse(format!("`{path}` must be a string")));
        };
        certificates(Document::Question, &path, &element, &mut chain)?;
    }
    Ok(chain)
}

/// The DER certificates of a text that is PEM, of one or several blocks, or base64 of one.
pub(crate) fn certificates(
    document: Document,
    path: &str,
    element: &str,
    certificates: &mut Vec<Vec<u8>>,
) -> Result<(), Reason> {
    if !text::looks_like_pem(element) {
        let der = text::base64(element)
            .filter(|der| !der.is_empty())
            .ok_or_else(|| document.refuse(format!("`{path}` is neither PEM nor base64")))?;
        certificates.push(der);
        return Ok(());
    }
    for block in text::pem_blocks(element)? {
        if let Some(what) = block.wrapped_certificates() {
            return Err(document.refuse(format!("`{path}`: {what}")));
        }
        if !block.is_certificate() {
            return Err(document.refuse(format!(
                "`{path}` holds a PEM block that is not a certificate"
            )));
        }
        certificates.push(block.decode()?);
    }
    Ok(())
}

/// The members of a question, each once; the trust document is kept as the text it is.
struct Raw<'a> {
    members: Map<String, Value>,
    trust: Option<&'a RawValue>,
}

impl<'a> Raw<'a> {
    fn read(json: &'a str, room: &Room) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let raw = deserializer.deserialize_map(RawVisitor(room))?;
        deserializer.end().map(|()| raw)
    }
}

struct RawVisitor<'a>(&'a Room);

impl<'de> Visitor<'de> for RawVisitor<'_> {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a question, one JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw<'de>, A::Error> {
        let mut members = Map::new();
        let mut trust = None;
        while let Some(name) = access.next_key::<String>()? {
            if name == "trust" {
                let text: &'de RawValue = access.next_value()?;
                if trust.replace(text).is_some() {
                    return Err(serde::de::Error::custom("the member `trust` stands twice"));
                }
                continue;
            }
            let value = access.next_value_seed(StrictIn(self.0))?;
            insert_once(&mut members, name, value)?;
        }
        Ok(Raw { members, trust })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What costs most memory for its length.
    fn hostile(values: usize) -> String {
        format!("[{}0]", "{\"\":0},".repeat(values))
    }

    #[test]
    fn a_question_is_not_read_beyond_the_values_of_an_honest_one() {
        let many = hostile(MOST_VALUES_OF_STRANGERS);
        for json in [
            format!("{{\"x\":{many}}}"),
            format!("{{\"expect\":{{\"dns\":{many}}}}}"),
        ] {
            let refused = Asked::read(&json).unwrap_err();
            let allowed = MOST_VALUES_OF_STRANGERS;
            let part = "question";
            assert_eq!(refused.reason, Reason::JsonMembers { part, allowed });
        }
    }

    #[test]
    fn a_trust_document_takes_no_room_from_its_question() {
        let many = hostile(MOST_VALUES_OF_STRANGERS);
        let json = format!("{{\"credential\":{{\"jwt\":\"x\"}},\"trust\":{{\"anchors\":{many}}}}}");
        assert!(Asked::read(&json).is_ok());
    }

    #[test]
    fn what_an_asker_need_not_say_may_be_null() {
        let json = r#"{"id": null, "at": null, "profile": null,
                       "credential": {"jwt": "x", "x509": null, "trust_chain": null, "dpop": null}}"#;
        let asked = Asked::read(json).unwrap();
        assert_eq!((asked.id(), asked.at), (None, None));
        assert_eq!(asked.profile, Profile::WebPki);
        for unset in ["", " ", "\\n"] {
            let json = format!(r#"{{"credential": {{"api_key": "{unset}"}}}}"#);
            assert!(Asked::read(&json).is_err(), "{unset:?}");
        }
        let nothing = Asked::read(r#"{"credential": {"jwt": null, "x509": null}}"#);
        assert_eq!(
            nothing.unwrap_err().reason,
            Document::Question.refuse("`credential` is empty")
        );
    }

    /// Its variable was empty, and anything would be accepted.
    #[test]
    fn what_is_expected_is_never_null() {
        for members in [
            r#""expect": null"#,
            r#""expect": {"dns": null}"#,
            r#""audience": null"#,
            r#""nonce": null"#,
            r#""recipient": null"#,
            r#""in_response_to": null"#,
            r#""require_revocation": null"#,
            r#""policies": null"#,
            r#""purpose": null"#,
            r#""limits": null"#,
            r#""limits": {"max_path_length": null}"#,
        ] {
            let json = format!(r#"{{{members}, "credential": {{"jwt": "x"}}}}"#);
            assert!(Asked::read(&json).is_err(), "{members}");
        }
        for credential in [
            r#"{"ssh": {"key": "x", "host": null}}"#,
            r#"{"wit": {"token": null}}"#,
            r#"{"x509": {"chain": null}}"#,
            "null",
        ] {
            let json = format!(r#"{{"credential": {credential}}}"#);
            assert!(Asked::read(&json).is_err(), "{credential}");
        }
    }

    #[test]
    fn a_port_is_taken_off_where_it_is_one() {
        for (host, name) in [
            ("db.example.com", "db.example.com"),
            ("db.example.com:22", "db.example.com"),
            ("192.0.2.1:22", "192.0.2.1"),
            ("fe80::1", "fe80::1"),
            ("2001:db8::22", "2001:db8::22"),
            ("::1", "::1"),
            ("[fe80::1]", "fe80::1"),
            ("[fe80::1]:22", "fe80::1"),
            ("[fe80::1]22", "[fe80::1]22"),
            ("[fe80::1]:", "[fe80::1]:"),
            ("[fe80::1", "[fe80::1"),
            ("db.example.com:", "db.example.com:"),
            ("db.example.com:ssh", "db.example.com:ssh"),
        ] {
            assert_eq!(without_port(host), name, "{host}");
        }
    }
}
