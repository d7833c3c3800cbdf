//! Entity statements of OpenID Federation (1.0, section 3): what an entity says of itself, or a
//! superior of a subordinate. Read strictly, not yet believed.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::json::kind_of;
use super::jwk::KeySet;
use super::jws::Jws;
use crate::budget::Limits;
use crate::credential::x509::host::is_host;
use crate::model::federation::claims::{Rounded, seconds, text};
use crate::policy::facts::refuse_unsafe;
use crate::reason::{Reason, printable};
use crate::time::Time;

/// The type of every statement (section 3.1).
const TYPE: &str = "entity-statement+jwt";

/// Claims that only a superior may write, and that only an entity may write of itself.
const OF_SUPERIORS: [&str; 4] = [
    "constraints",
    "metadata_policy",
    "metadata_policy_crit",
    "source_endpoint",
];
const OF_ITSELF: [&str; 4] = [
    "authority_hints",
    "trust_mark_issuers",
    "trust_mark_owners",
    "trust_marks",
];

/// The operators of policies that the standard has (section 6.1.3.1), all of which are understood.
const OPERATORS: [&str; 7] = [
    "add",
    "default",
    "essential",
    "one_of",
    "subset_of",
    "superset_of",
    "value",
];

/// A statement.
pub(crate) struct EntityStatement<'a> {
    pub(crate) jws: Jws<'a>,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) issued_at: Time,
    pub(crate) expires: Time,
    /// The keys with which the subject signs statements.
    pub(crate) keys: KeySet,
    /// What the subject is, by the type of entity.
    pub(crate) metadata: Map<String, Value>,
    pub(crate) metadata_policy: Map<String, Value>,
    pub(crate) constraints: PathConstraints,
    /// By type, each a token of whoever gave it.
    pub(crate) trust_marks: Vec<(String, String)>,
}

/// What a superior asks of everyone below (section 6.2).
#[derive(Debug, Default)]
pub(crate) struct PathConstraints {
    pub(crate) max_path_length: Option<u64>,
    pub(crate) permitted: Option<Vec<String>>,
    pub(crate) excluded: Vec<String>,
    pub(crate) entity_types: Option<Vec<String>>,
}

impl<'a> EntityStatement<'a> {
    /// Reads the statement that stands at `position` of what was presented.
    pub(crate) fn read(token: &'a str, position: usize, limits: &Limits) -> Result<Self, Reason> {
        let jws = Jws::read(token, limits)?;
        let place = Place { position };
        jws.header().expect_type(TYPE)?;
        if jws.header().key_id.is_none() {
            return Err(place.refuse("its header names no key (`kid`)"));
        }
        let claims = &jws.claims;
        if let Some(critical) = claims.get("crit") {
            return Err(place.critical(critical));
        }
        place.check_operators(claims)?;
        let issuer = place.entity(claims, "iss")?;
        let subject = place.entity(claims, "sub")?;
        let forbidden = if issuer == subject {
            OF_SUPERIORS
        } else {
            OF_ITSELF
        };
        if let Some(name) = forbidden.iter().find(|name| claims.contains_key(**name)) {
            return Err(place.refuse(format!("it cannot have `{name}`")));
        }
        let moment = |claim, rounded| {
            let read = seconds(claims, claim, rounded)?;
            read.ok_or_else(|| place.refuse(format!("it has no `{claim}`")))
        };
        let keys = claims
            .get("jwks")
            .ok_or_else(|| place.refuse("it has no `jwks`"))?;
        Ok(Self {
            issued_at: moment("iat", Rounded::Up)?,
            expires: moment("exp", Rounded::Down)?,
            keys: KeySet::read(&subject, keys)?,
            metadata: place.metadata(claims)?,
            metadata_policy: place.object(claims, "metadata_policy")?,
            constraints: place.constraints(claims)?,
            trust_marks: place.trust_marks(claims)?,
            issuer,
            subject,
            jws,
        })
    }

    /// Whether an entity says it of itself.
    pub(crate) fn is_configuration(&self) -> bool {
        self.issuer == self.subject
    }
}

/// Which statement is read.
struct Place {
    position: usize,
}

impl Place {
    fn refuse(&self, detail: impl Into<String>) -> Reason {
        Reason::EntityStatementMalformed {
            position: self.position,
            detail: detail.into(),
        }
    }

    fn entity(&self, claims: &Map<String, Value>, claim: &str) -> Result<String, Reason> {
        let name =
            text(claims, claim)?.ok_or_else(|| self.refuse(format!("it has no `{claim}`")))?;
        refuse_unsafe(claim, name)?;
        match host_of(name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(self.refuse(format!(
                "`{claim}` is no entity, which is an `https` URL: {}",
                printable(name)
            ))),
        }
    }

    fn critical(&self, critical: &Value) -> Reason {
        let names = critical.as_array().map(|names| {
            let names = names.iter().filter_map(Value::as_str);
            names.map(printable).collect::<Vec<_>>()
        });
        match names {
            Some(names) if !names.is_empty() => Reason::StatementCritical { names },
            _ => self.refuse("its `crit` is no list of names"),
        }
    }

    /// No operator but those of the standard is understood, so a statement that asks for another
    /// cannot be used, wherever that operator is (section 3.1.3).
    fn check_operators(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let claim = "metadata_policy_crit";
        let Some(names) = self.texts(claims, claim)? else {
            return Ok(());
        };
        let standard = names.iter().find(|name| OPERATORS.contains(&name.as_str()));
        match standard {
            Some(name) => Err(self.refuse(format!("`{claim}` names `{name}`, which all know"))),
            None if names.is_empty() => Err(self.refuse(format!("`{claim}` names nothing"))),
            None => Err(Reason::StatementCritical {
                names: names.iter().map(|name| printable(name)).collect(),
            }),
        }
    }

    fn object(
        &self,
        claims: &Map<String, Value>,
        claim: &str,
    ) -> Result<Map<String, Value>, Reason> {
        match claims.get(claim) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(other) => Err(self.refuse(format!(
                "`{claim}` must be an object, but is {}",
                kind_of(other)
            ))),
        }
    }

    /// Metadata by type of entity, each an object without `null` (section 5).
    fn metadata(&self, claims: &Map<String, Value>) -> Result<Map<String, Value>, Reason> {
        let metadata = self.object(claims, "metadata")?;
        let is_wrong = |value: &Value| match value {
            Value::Object(members) => members.values().any(Value::is_null),
            _ => true,
        };
        match metadata.iter().find(|(_, value)| is_wrong(value)) {
            None => Ok(metadata),
            Some((name, _)) => Err(self.refuse(format!(
                "its metadata of `{}` is no object of values",
                printable(name)
            ))),
        }
    }

    fn texts(
        &self,
        claims: &Map<String, Value>,
        claim: &str,
    ) -> Result<Option<Vec<String>>, Reason> {
        let Some(value) = claims.get(claim) else {
            return Ok(None);
        };
        let list = value.as_array().map(|list| {
            let texts = list.iter().map(|one| one.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>()
        });
        match list.flatten() {
            Some(texts) => Ok(Some(texts)),
            None => Err(self.refuse(format!("`{claim}` must be a list of texts"))),
        }
    }

    fn constraints(&self, claims: &Map<String, Value>) -> Result<PathConstraints, Reason> {
        let object = self.object(claims, "constraints")?;
        let naming = self.object(&object, "naming_constraints")?;
        let max_path_length = match object.get("max_path_length") {
            None => None,
            Some(value) => Some(value.as_u64().ok_or_else(|| {
                self.refuse("`max_path_length` must be a whole number, zero or more")
            })?),
        };
        Ok(PathConstraints {
            max_path_length,
            permitted: self.texts(&naming, "permitted")?,
            excluded: self.texts(&naming, "excluded")?.unwrap_or_default(),
            entity_types: self.texts(&object, "allowed_entity_types")?,
        })
    }

    fn trust_marks(&self, claims: &Map<String, Value>) -> Result<Vec<(String, String)>, Reason> {
        let refuse = || self.refuse("`trust_marks` must be a list of marks, each with its type");
        let list = match claims.get("trust_marks") {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(refuse()),
        };
        list.iter()
            .map(|mark| {
                let name = mark.get("trust_mark_type").and_then(Value::as_str);
                let token = mark.get("trust_mark").and_then(Value::as_str);
                match (name, token) {
                    (Some(name), Some(token)) => Ok((name.to_owned(), token.to_owned())),
                    _ => Err(refuse()),
                }
            })
            .collect()
    }
}

/// The host in the name of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntityHost<'a> {
    /// The name of a host.
    Name(&'a str),
    /// An address, which lies in no domain.
    Address,
}

/// The host in the name of an entity, which is an `https` URL without query, fragment and user
/// (section 1.2). Another spelling of a host (`op%2eexample`, `op.example.`, `2130706433`) would
/// slip by those who compare names, and is none.
pub(crate) fn host_of(entity: &str) -> Option<EntityHost<'_>> {
    let rest = entity.strip_prefix("https://")?;
    if rest.contains(['?', '#', '@', ' ', '\\', '*']) {
        return None;
    }
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (EntityHost::Address, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at_checked(end)?;
            (named_host(host)?, port)
        }
    };
    let is_port = |digits: &str| digits.parse::<u16>().is_ok_and(|port| port != 0);
    let is_plain = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && is_port(digits),
        None => port.is_empty(),
    };
    is_plain.then_some(host)
}

/// What ends in a number is an IPv4 address of four decimals, or no host.
fn named_host(host: &str) -> Option<EntityHost<'_>> {
    let last = host.rsplit('.').next()?;
    if last.starts_with(|first: char| first.is_ascii_digit()) {
        let address = host.parse::<Ipv4Addr>();
        return address.ok().map(|_| EntityHost::Address);
    }
    is_host(host).then_some(EntityHost::Name(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_56_a_host_has_one_spelling() {
        for (entity, host) in [
            ("https://op.example.net", EntityHost::Name("op.example.net")),
            (
                "https://OP.example.net:8443/a",
                EntityHost::Name("OP.example.net"),
            ),
            ("https://7a.example.net", EntityHost::Name("7a.example.net")),
            ("https://203.0.113.5:1", EntityHost::Address),
            ("https://[2001:db8::1]/", EntityHost::Address),
        ] {
            assert_eq!(host_of(entity), Some(host), "{entity}");
        }
        for entity in [
            "http://op.example.net",
            "https://",
            "https://op.example.net.",
            "https://op..example.net",
            "https://op%2eexample.net",
            "https://op\u{3002}example.net",
            "https://op.example.net:",
            "https://op.example.net:x",
            "https://op.example.net:+1",
            "https://op.example.net:65536",
            "https://2130706433",
            "https://0x7f.1",
            "https://[203.0.113.5]",
            "https://[2001:db8::1",
            "https://[2001:db8::1]x",
            "https://u@op.example.net",
        ] {
            assert_eq!(host_of(entity), None, "{entity}");
        }
    }
}
