//! Objects as rows: a kind, a name, and the content as JSON.
//!
//! What is written once is read for years, by older and by newer programs on one database. So a
//! member is added with a default, is never given another meaning, and members that are not known
//! are skipped. What cannot be read as what it was is damage, not a default.

mod authority;
mod federation;
mod join_token;
mod quota;
mod registration;
mod signal;

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::change::{Change, Key, Object};
use crate::fault::Fault;
use crate::keyring::Sealed;
use crate::names::{
    AdminId, AnchorId, AttestorId, AuthorityId, EgressId, EntryId, IssuerId, JoinTokenId, NameId,
    NodeId, RuleId, ServiceId, SignalId, TallyId,
};
use crate::outline::Appointed;
use crate::record::{
    AdminRecord, AnchorRecord, AttestorRecord, EgressRecord, IssuerKeysRecord, IssuerPinsRecord,
    IssuerRecord, NameRecord, RuleRecord, ServiceRecord, TallyRecord, TrustDomainRecord, Upstream,
};
use crate::signal::{SignalKey, SignalKind};
use authority::StoredAuthority;
pub(crate) use authority::key_text;
use federation::StoredFederation;
use join_token::StoredJoinToken;
use quota::StoredQuota;
use registration::{StoredEntry, StoredNode};
use signal::StoredSignal;

/// One object of a tenant as it is stored; without a body it was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) trust_domain: Option<String>,
    pub(crate) body: Option<String>,
    /// The sealed private key of an authority.
    pub(crate) secret: Option<Vec<u8>>,
    /// The public key of an authority whose private key was made or taken in here, as it stands in the
    /// body. It is written, and not read again.
    pub(crate) public_key: Option<String>,
}

impl Row {
    pub(crate) fn of(change: &Change) -> Result<Self, Fault> {
        let key = change.key();
        let (kind, id) = (kind_of(&key), name_of(&key).to_owned());
        let Change::Put(object) = change else {
            return Ok(Self::removed(kind, id));
        };
        Ok(Self {
            kind: kind.to_owned(),
            id,
            trust_domain: object.needs().map(ToString::to_string),
            body: Some(body_of(object)?),
            secret: match object {
                Object::Attestor(attestor) => attestor
                    .secret
                    .as_ref()
                    .map(|sealed| sealed.bytes().to_vec()),
                Object::Egress(egress) => Some(egress.secret.bytes().to_vec()),
                Object::Authority(authority) => authority
                    .private_key
                    .as_ref()
                    .map(|sealed| sealed.bytes().to_vec()),
                Object::TrustDomain(_)
                | Object::Anchor(_)
                | Object::Federation(_)
                | Object::Entry(_)
                | Object::Node(_)
                | Object::JoinToken(_)
                | Object::Admin(_)
                | Object::Name(_)
                | Object::Tally(_)
                | Object::Quota(_)
                | Object::Rule(_)
                | Object::Issuer(_)
                | Object::IssuerKeys(_)
                | Object::IssuerPins(_)
                | Object::Service(_) => None,
                Object::Signal(signal) => {
                    signal.secret.as_ref().map(|sealed| sealed.bytes().to_vec())
                }
            },
            public_key: match object {
                Object::Authority(authority) if authority.has_own_key() => {
                    Some(key_text(&authority.public_key))
                }
                _ => None,
            },
        })
    }

    /// What was removed.
    pub(crate) fn removed(kind: &str, id: String) -> Self {
        Self {
            kind: kind.to_owned(),
            id,
            trust_domain: None,
            body: None,
            secret: None,
            public_key: None,
        }
    }

    pub(crate) fn into_change(self) -> Result<Change, Fault> {
        let damaged = format!("the {} `{}` cannot be read", self.kind, self.id);
        self.read().ok_or(Fault::Corrupt(damaged))
    }

    /// What it is, unless it was removed.
    pub(crate) fn into_object(self) -> Result<Option<Object>, Fault> {
        match self.into_change()? {
            Change::Put(object) => Ok(Some(object)),
            Change::Remove(_) => Ok(None),
        }
    }

    /// Who administers by it. Of what is damaged, that is who stands where the subject does.
    pub(crate) fn into_appointed(self) -> Result<Appointed, Fault> {
        let subject = self.body.as_deref().and_then(subject_in);
        match (self.into_object(), subject) {
            (Ok(Some(Object::Admin(admin))), _) => Ok(Appointed {
                subject: admin.subject,
                role: Some(admin.role),
            }),
            (Err(Fault::Corrupt(_)), Some(subject)) => Ok(Appointed {
                subject,
                role: None,
            }),
            (Err(fault), _) => Err(fault),
            (Ok(_), _) => Err(Fault::Bug("an administrator is something else".to_owned())),
        }
    }

    /// Where the key is of an authority of a tenant, if it is kept elsewhere and goes with it.
    pub(crate) fn key_kept_elsewhere(self, tenant: &str) -> Option<(TenantId, String)> {
        // What cannot be read names no key, and keeps nothing else from being cleared away.
        let Some(Change::Put(Object::Authority(record))) = self.read() else {
            return None;
        };
        Some((
            TenantId::parse(tenant)?,
            record.own_key_address()?.to_owned(),
        ))
    }

    fn read(self) -> Option<Change> {
        let key = key_from(&self.kind, &self.id)?;
        let Some(body) = self.body else {
            return Some(Change::Remove(key));
        };
        let object = match key {
            Key::TrustDomain(name) => Object::TrustDomain(StoredTrustDomain::read(&body, name)?),
            Key::Authority(id) => Object::Authority(StoredAuthority::read(&body, id, self.secret)?),
            Key::Federation(name) => Object::Federation(StoredFederation::read(&body, name)?),
            Key::Anchor(id) => Object::Anchor(AnchorRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::Entry(id) => Object::Entry(StoredEntry::read(&body, id)?),
            Key::Node(id) => Object::Node(StoredNode::read(&body, id)?),
            Key::JoinToken(id) => Object::JoinToken(StoredJoinToken::read(&body, id)?),
            Key::Admin(id) => Object::Admin(StoredAdmin::read(&body, id)?),
            Key::Attestor(id) => Object::Attestor(AttestorRecord {
                id,
                document: StoredDocument::read(&body)?,
                secret: self.secret.map(Sealed::from_stored),
            }),
            Key::Service(id) => Object::Service(ServiceRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::Egress(id) => Object::Egress(EgressRecord {
                id,
                document: StoredDocument::read(&body)?,
                secret: Sealed::from_stored(self.secret?),
            }),
            Key::Rule(id) => Object::Rule(StoredRule::read(&body, id)?),
            Key::Issuer(id) => Object::Issuer(IssuerRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::IssuerKeys(id) => Object::IssuerKeys(IssuerKeysRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::IssuerPins(id) => Object::IssuerPins(IssuerPinsRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::Name(id) => Object::Name(NameRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::Tally(id) => Object::Tally(TallyRecord {
                id,
                document: StoredDocument::read(&body)?,
            }),
            Key::Quota => Object::Quota(StoredQuota::read(&body)?),
            Key::Signal(key) => Object::Signal(StoredSignal::read(&body, key, self.secret)?),
        };
        Some(Change::Put(object))
    }
}

/// The kind of trust domains, which statements look for by name.
pub(crate) const TRUST_DOMAIN: &str = "trust_domain";

/// The kind of authorities, likewise.
pub(crate) const AUTHORITY: &str = "authority";

/// The kind and the name of what a tenant may have and do, of which there is one.
const QUOTA: &str = "quota";

/// The kind and the name of the row of an object.
pub(crate) fn row_of(key: &Key) -> (&'static str, &str) {
    (kind_of(key), name_of(key))
}

fn kind_of(key: &Key) -> &'static str {
    match key {
        Key::TrustDomain(_) => TRUST_DOMAIN,
        Key::Authority(_) => AUTHORITY,
        Key::Anchor(_) => "anchor",
        Key::Federation(_) => "federation",
        Key::Entry(_) => "entry",
        Key::Node(_) => "node",
        Key::JoinToken(_) => "join_token",
        Key::Admin(_) => "admin",
        Key::Attestor(_) => "attestor",
        Key::Egress(_) => "egress",
        Key::Service(_) => "service",
        Key::Rule(_) => "rule",
        Key::Issuer(_) => "issuer",
        Key::IssuerKeys(_) => "issuer_keys",
        Key::IssuerPins(_) => "issuer_pins",
        Key::Name(_) => "name",
        Key::Tally(_) => "tally",
        Key::Quota => QUOTA,
        Key::Signal(key) => key.kind.name(),
    }
}

fn name_of(key: &Key) -> &str {
    match key {
        Key::TrustDomain(name) => name.as_str(),
        Key::Authority(id) => id.as_str(),
        Key::Anchor(id) => id.as_str(),
        Key::Federation(name) => name.as_str(),
        Key::Entry(id) => id.as_str(),
        Key::Node(id) => id.as_str(),
        Key::JoinToken(id) => id.as_str(),
        Key::Admin(id) => id.as_str(),
        Key::Attestor(id) => id.as_str(),
        Key::Egress(id) => id.as_str(),
        Key::Service(id) => id.as_str(),
        Key::Rule(id) => id.as_str(),
        Key::Issuer(id) | Key::IssuerKeys(id) | Key::IssuerPins(id) => id.as_str(),
        Key::Name(id) => id.as_str(),
        Key::Tally(id) => id.as_str(),
        Key::Quota => QUOTA,
        Key::Signal(key) => key.id.as_str(),
    }
}

fn key_from(kind: &str, id: &str) -> Option<Key> {
    match kind {
        TRUST_DOMAIN => TrustDomain::parse(id).ok().map(Key::TrustDomain),
        AUTHORITY => AuthorityId::parse(id).map(Key::Authority),
        "anchor" => AnchorId::parse(id).map(Key::Anchor),
        "federation" => TrustDomain::parse(id).ok().map(Key::Federation),
        "entry" => EntryId::parse(id).map(Key::Entry),
        "node" => NodeId::parse(id).map(Key::Node),
        "join_token" => JoinTokenId::parse(id).map(Key::JoinToken),
        "admin" => AdminId::parse(id).map(Key::Admin),
        "attestor" => AttestorId::parse(id).map(Key::Attestor),
        "egress" => EgressId::parse(id).map(Key::Egress),
        "service" => ServiceId::parse(id).map(Key::Service),
        "rule" => RuleId::parse(id).map(Key::Rule),
        "issuer" => IssuerId::parse(id).map(Key::Issuer),
        "issuer_keys" => IssuerId::parse(id).map(Key::IssuerKeys),
        "issuer_pins" => IssuerId::parse(id).map(Key::IssuerPins),
        "name" => NameId::parse(id).map(Key::Name),
        "tally" => TallyId::parse(id).map(Key::Tally),
        QUOTA => (id == QUOTA).then_some(Key::Quota),
        kind => SignalKind::parse(kind)
            .zip(SignalId::parse(id))
            .map(|(kind, id)| Key::Signal(SignalKey { kind, id })),
    }
}

fn body_of(object: &Object) -> Result<String, Fault> {
    let body = match object {
        Object::TrustDomain(record) => serde_json::to_string(&StoredTrustDomain::of(record)),
        Object::Authority(record) => serde_json::to_string(&StoredAuthority::of(record)),
        Object::Federation(relation) => serde_json::to_string(&StoredFederation::of(relation)),
        Object::Anchor(record) => serde_json::to_string(&StoredDocument::of(&record.document)),
        Object::Entry(entry) => serde_json::to_string(&StoredEntry::of(entry)),
        Object::Node(node) => serde_json::to_string(&StoredNode::of(node)),
        Object::JoinToken(token) => serde_json::to_string(&StoredJoinToken::of(token)),
        Object::Admin(admin) => serde_json::to_string(&StoredAdmin::of(admin)),
        Object::Attestor(attestor) => {
            serde_json::to_string(&StoredDocument::of(&attestor.document))
        }
        Object::Service(service) => serde_json::to_string(&StoredDocument::of(&service.document)),
        Object::Egress(egress) => serde_json::to_string(&StoredDocument::of(&egress.document)),
        Object::Rule(rule) => serde_json::to_string(&StoredRule::of(rule)),
        Object::Issuer(issuer) => serde_json::to_string(&StoredDocument::of(&issuer.document)),
        Object::IssuerKeys(keys) => serde_json::to_string(&StoredDocument::of(&keys.document)),
        Object::IssuerPins(pins) => serde_json::to_string(&StoredDocument::of(&pins.document)),
        Object::Name(name) => serde_json::to_string(&StoredDocument::of(&name.document)),
        Object::Tally(tally) => serde_json::to_string(&StoredDocument::of(&tally.document)),
        Object::Quota(quota) => serde_json::to_string(&StoredQuota::of(quota)),
        Object::Signal(signal) => serde_json::to_string(&StoredSignal::of(signal)),
    };
    body.map_err(|error| Fault::Bug(error.to_string()))
}

#[derive(Serialize, Deserialize)]
struct StoredTrustDomain {
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
}

impl StoredTrustDomain {
    fn of(record: &TrustDomainRecord) -> Self {
        let upstream =
            (record.upstream != Upstream::Own).then(|| record.upstream.name().to_owned());
        Self {
            created: record.created.unix(),
            upstream,
        }
    }

    fn read(body: &str, name: TrustDomain) -> Option<TrustDomainRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(TrustDomainRecord {
            name,
            created: Time::from_unix(stored.created),
            upstream: match stored.upstream {
                Some(upstream) => Upstream::parse(&upstream)?,
                None => Upstream::Own,
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredDocument {
    document: String,
}

impl StoredDocument {
    fn of(document: &str) -> Self {
        Self {
            document: document.to_owned(),
        }
    }

    fn read(body: &str) -> Option<String> {
        let Self { document } = serde_json::from_str(body).ok()?;
        Some(document)
    }
}

/// Who stands in the body of an administrator that need not be whole. No ID needs an escape.
fn subject_in(body: &str) -> Option<SpiffeId> {
    let (_, rest) = body.split_once("\"subject\":\"")?;
    let (subject, _) = rest.split_once('"')?;
    SpiffeId::parse(subject).ok()
}

#[derive(Serialize, Deserialize)]
struct StoredAdmin {
    subject: String,
    role: String,
    created: i64,
}

impl StoredAdmin {
    fn of(admin: &AdminRecord) -> Self {
        Self {
            subject: admin.subject.to_string(),
            role: admin.role.clone(),
            created: admin.created.unix(),
        }
    }

    fn read(body: &str, id: AdminId) -> Option<AdminRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(AdminRecord {
            id,
            subject: SpiffeId::parse(&stored.subject).ok()?,
            role: stored.role,
            created: Time::from_unix(stored.created),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRule {
    document: String,
    created: i64,
}

impl StoredRule {
    fn of(rule: &RuleRecord) -> Self {
        Self {
            document: rule.document.clone(),
            created: rule.created.unix(),
        }
    }

    fn read(body: &str, id: RuleId) -> Option<RuleRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(RuleRecord {
            id,
            document: stored.document,
            created: Time::from_unix(stored.created),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, id: &str, body: &str) -> Row {
        Row {
            kind: kind.to_owned(),
            id: id.to_owned(),
            trust_domain: None,
            body: Some(body.to_owned()),
            secret: None,
            public_key: None,
        }
    }

    #[test]
    fn an_entry_written_by_an_older_or_newer_program_is_read() {
        let body = r#"{"spiffe_id":"spiffe://a.test/x","created":7,"from_the_future":[1]}"#;
        let Ok(Change::Put(Object::Entry(entry))) = row("entry", "e", body).into_change() else {
            panic!("not an entry");
        };
        assert_eq!(entry.spiffe_id.as_str(), "spiffe://a.test/x");
        assert_eq!(entry.created, Time::from_unix(7));
        assert_eq!(
            (entry.extras.hint.as_str(), entry.extras.x509_ttl),
            ("", None)
        );
    }

    #[test]
    fn of_a_damaged_administrator_it_is_told_who_that_is_or_nothing_at_all() {
        let told = |body| row("admin", "boss", body).into_appointed();
        let boss = SpiffeId::parse("spiffe://a/boss").unwrap();
        let whole = r#"{"subject":"spiffe://a/boss","role":"auditor","created":7}"#;
        let (subject, role) = (boss, Some("auditor".to_owned()));
        let expected = Appointed { subject, role };
        assert_eq!(told(whole), Ok(expected.clone()));
        let unread = Appointed {
            role: None,
            ..expected
        };
        let start = whole.find("boss").unwrap() + "boss".len();
        for end in start + 1..whole.len() {
            assert_eq!(
                told(whole.get(..end).unwrap()).as_ref(),
                Ok(&unread),
                "{end}"
            );
        }
        for body in [
            whole.get(..start).unwrap(),
            r#"{"subject":"","created":7}"#,
            "{",
            "",
        ] {
            assert!(matches!(told(body), Err(Fault::Corrupt(_))), "{body}");
        }
    }

    #[test]
    fn what_cannot_have_been_stored_is_damage_and_is_not_shown() {
        for (kind, id, body) in [
            ("entry", "e", r#"{"spiffe_id":"spiffe://A/x","created":7}"#),
            ("entry", "e", r#"{"spiffe_id":"spiffe://a/x"}"#),
            (
                "entry",
                "e/e",
                r#"{"spiffe_id":"spiffe://a/x","created":7}"#,
            ),
            (
                "entry",
                "e",
                r#"{"spiffe_id":"spiffe://a/x","created":7,"selectors":["x"]}"#,
            ),
            ("surprise", "e", "{}"),
            ("trust_domain", "UPPER", r#"{"created":7}"#),
            ("anchor", "a", "{"),
            (
                "authority",
                "a",
                r#"{"trust_domain":"a","kind":"x509","role":"root","state":"unheard","since":0,"not_before":0,"not_after":0,"public_key":""}"#,
            ),
        ] {
            let fault = row(kind, id, body).into_change().unwrap_err();
            let expected = format!("the {kind} `{id}` cannot be read");
            assert_eq!(fault, Fault::Corrupt(expected), "{body}");
        }
    }
}
