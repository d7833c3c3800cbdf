//! Entity statements of OpenID Federation (1.0, section 3): what an entity says of itself, or a
//! superior of a subordinate. Read strictly, not yet believed.

use serde_json::{Map, Value};

use super::json::kind_of;
use super::jwk::KeySet;
use super::jws::Jws;
use crate::budget::Limits;
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
    /// Operators of the policy that must be understood.
    pub(crate) critical_operators: Vec<String>,
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
        let found = jws.header().token_type.as_deref();
        if found != Some(TYPE) {
            return Err(Reason::TypeUnexpected {
                found: found.unwrap_or("(none)").to_owned(),
                expected: vec![TYPE.to_owned()],
            });
        }
        if jws.header().key_id.is_none() {
            return Err(place.refuse("its header names no key (`kid`)"));
        }
        let claims = &jws.claims;
        if let Some(critical) = claims.get("crit") {
            return Err(place.critical(critical));
        }
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
            critical_operators: place
                .texts(claims, "metadata_policy_crit")?
                .unwrap_or_default(),
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

/// The host of the name of an entity, which is an `https` URL without query, fragment and user
/// (section 1.2).
pub(crate) fn host_of(entity: &str) -> Option<&str> {
    let rest = entity.strip_prefix("https://")?;
    if rest.contains(['?', '#', '@', ' ', '\\', '*']) {
        return None;
    }
    let authority = rest.split('/').next()?;
    let host = authority.split(':').next()?;
    (!host.is_empty()).then_some(host)
}
