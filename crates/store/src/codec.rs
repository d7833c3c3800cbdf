//! Objects as rows: a kind, a name, and the content as JSON.
//!
//! What is written once is read for years, by older and by newer programs on one database. So a
//! member is added with a default, is never given another meaning, and members that are not known
//! are skipped. What cannot be read as what it was is damage, not a default.

mod federation;
mod join_token;

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::change::{Change, Key, Object};
use crate::fault::Fault;
use crate::keyring::Sealed;
use crate::names::{
    AdminId, AnchorId, AttestorId, AuthorityId, EgressId, EntryId, IssuerId, JoinTokenId, NameId,
    NodeId, RuleId, SignalId,
};
use crate::record::{
    AdminRecord, AnchorRecord, AttestorRecord, AuthorityKind, AuthorityRecord, AuthorityRole,
    AuthorityState, AuthorityUse, EgressRecord, Entry, EntryExtras, IssuerKeysRecord,
    IssuerPinsRecord, IssuerRecord, NameRecord, NodeRecord, QuotaRecord, RevocationListRecord,
    RevokedCertificate, RuleRecord, Selector, TrustDomainRecord, Upstream,
};
use crate::signal::{SignalKey, SignalKind, SignalRecord};
use federation::StoredFederation;
use join_token::StoredJoinToken;

/// One object of a tenant as it is stored; without a body it was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) trust_domain: Option<String>,
    pub(crate) body: Option<String>,
    /// The sealed private key of an authority.
    pub(crate) secret: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn of(change: &Change) -> Result<Self, Fault> {
        let key = change.key();
        let kind = kind_of(&key).to_owned();
        let id = name_of(&key).to_owned();
        let Change::Put(object) = change else {
            return Ok(Self {
                kind,
                id,
                trust_domain: None,
                body: None,
                secret: None,
            });
        };
        Ok(Self {
            kind,
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
                | Object::Quota(_)
                | Object::Rule(_)
                | Object::Issuer(_)
                | Object::IssuerKeys(_)
                | Object::IssuerPins(_) => None,
                Object::Signal(signal) => {
                    signal.secret.as_ref().map(|sealed| sealed.bytes().to_vec())
                }
            },
        })
    }

    pub(crate) fn into_change(self) -> Result<Change, Fault> {
        let damaged = format!("the {} `{}` cannot be read", self.kind, self.id);
        self.read().ok_or(Fault::Corrupt(damaged))
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
            Key::Quota => Object::Quota(StoredQuota::read(&body)?),
            Key::Signal(key) => Object::Signal(SignalRecord {
                key,
                document: StoredDocument::read(&body)?,
                secret: self.secret.map(Sealed::from_stored),
            }),
        };
        Some(Change::Put(object))
    }
}

/// The kind of trust domains, which statements look for by name.
pub(crate) const TRUST_DOMAIN: &str = "trust_domain";

/// The kind and the name of what a tenant may have and do, of which there is one.
const QUOTA: &str = "quota";

fn kind_of(key: &Key) -> &'static str {
    match key {
        Key::TrustDomain(_) => TRUST_DOMAIN,
        Key::Authority(_) => "authority",
        Key::Anchor(_) => "anchor",
        Key::Federation(_) => "federation",
        Key::Entry(_) => "entry",
        Key::Node(_) => "node",
        Key::JoinToken(_) => "join_token",
        Key::Admin(_) => "admin",
        Key::Attestor(_) => "attestor",
        Key::Egress(_) => "egress",
        Key::Rule(_) => "rule",
        Key::Issuer(_) => "issuer",
        Key::IssuerKeys(_) => "issuer_keys",
        Key::IssuerPins(_) => "issuer_pins",
        Key::Name(_) => "name",
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
        Key::Rule(id) => id.as_str(),
        Key::Issuer(id) | Key::IssuerKeys(id) | Key::IssuerPins(id) => id.as_str(),
        Key::Name(id) => id.as_str(),
        Key::Quota => QUOTA,
        Key::Signal(key) => key.id.as_str(),
    }
}

fn key_from(kind: &str, id: &str) -> Option<Key> {
    match kind {
        TRUST_DOMAIN => TrustDomain::parse(id).ok().map(Key::TrustDomain),
        "authority" => AuthorityId::parse(id).map(Key::Authority),
        "anchor" => AnchorId::parse(id).map(Key::Anchor),
        "federation" => TrustDomain::parse(id).ok().map(Key::Federation),
        "entry" => EntryId::parse(id).map(Key::Entry),
        "node" => NodeId::parse(id).map(Key::Node),
        "join_token" => JoinTokenId::parse(id).map(Key::JoinToken),
        "admin" => AdminId::parse(id).map(Key::Admin),
        "attestor" => AttestorId::parse(id).map(Key::Attestor),
        "egress" => EgressId::parse(id).map(Key::Egress),
        "rule" => RuleId::parse(id).map(Key::Rule),
        "issuer" => IssuerId::parse(id).map(Key::Issuer),
        "issuer_keys" => IssuerId::parse(id).map(Key::IssuerKeys),
        "issuer_pins" => IssuerId::parse(id).map(Key::IssuerPins),
        "name" => NameId::parse(id).map(Key::Name),
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
        Object::Egress(egress) => serde_json::to_string(&StoredDocument::of(&egress.document)),
        Object::Rule(rule) => serde_json::to_string(&StoredRule::of(rule)),
        Object::Issuer(issuer) => serde_json::to_string(&StoredDocument::of(&issuer.document)),
        Object::IssuerKeys(keys) => serde_json::to_string(&StoredDocument::of(&keys.document)),
        Object::IssuerPins(pins) => serde_json::to_string(&StoredDocument::of(&pins.document)),
        Object::Name(name) => serde_json::to_string(&StoredDocument::of(&name.document)),
        Object::Quota(quota) => serde_json::to_string(&StoredQuota::of(quota)),
        Object::Signal(signal) => serde_json::to_string(&StoredDocument::of(&signal.document)),
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
struct StoredQuota {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trust_domains: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuances_per_minute: Option<u32>,
}

impl StoredQuota {
    fn of(quota: &QuotaRecord) -> Self {
        Self {
            entries: quota.entries,
            nodes: quota.nodes,
            trust_domains: quota.trust_domains,
            issuances_per_minute: quota.issuances_per_minute,
        }
    }

    fn read(body: &str) -> Option<QuotaRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(QuotaRecord {
            entries: stored.entries,
            nodes: stored.nodes,
            trust_domains: stored.trust_domains,
            issuances_per_minute: stored.issuances_per_minute,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredAuthority {
    trust_domain: String,
    kind: String,
    role: String,
    state: String,
    since: i64,
    not_before: i64,
    not_after: i64,
    public_key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_for: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<StoredRevocation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation_list: Option<StoredRevocationList>,
}

#[derive(Serialize, Deserialize)]
struct StoredRevocation {
    serial: String,
    at: i64,
    reason: u8,
    not_after: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredRevocationList {
    number: u64,
    this_update: i64,
    next_update: i64,
    der: String,
}

impl StoredAuthority {
    fn of(record: &AuthorityRecord) -> Self {
        let certificates = record.certificates.iter();
        Self {
            trust_domain: record.trust_domain.to_string(),
            kind: record.kind.name().to_owned(),
            role: record.role.name().to_owned(),
            state: record.state.name().to_owned(),
            since: record.since.unix(),
            not_before: record.not_before.unix(),
            not_after: record.not_after.unix(),
            public_key: Base64::encode_string(&record.public_key),
            certificates: certificates.map(|der| Base64::encode_string(der)).collect(),
            key_address: record.key_address.clone(),
            used_for: (record.used_for != AuthorityUse::Services)
                .then(|| record.used_for.name().to_owned()),
            revoked: record.revoked.iter().map(StoredRevocation::of).collect(),
            revocation_list: record
                .revocation_list
                .as_deref()
                .map(StoredRevocationList::of),
        }
    }

    fn read(body: &str, id: AuthorityId, secret: Option<Vec<u8>>) -> Option<AuthorityRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        let certificates = stored.certificates.iter();
        Some(AuthorityRecord {
            id,
            trust_domain: TrustDomain::parse(&stored.trust_domain).ok()?,
            kind: AuthorityKind::parse(&stored.kind)?,
            role: AuthorityRole::parse(&stored.role)?,
            state: AuthorityState::parse(&stored.state)?,
            since: Time::from_unix(stored.since),
            not_before: Time::from_unix(stored.not_before),
            not_after: Time::from_unix(stored.not_after),
            public_key: Base64::decode_vec(&stored.public_key).ok()?,
            certificates: certificates
                .map(|text| Base64::decode_vec(text).ok())
                .collect::<Option<_>>()?,
            private_key: secret.map(Sealed::from_stored),
            key_address: stored.key_address,
            used_for: match stored.used_for {
                Some(used_for) => AuthorityUse::parse(&used_for)?,
                None => AuthorityUse::Services,
            },
            revoked: stored
                .revoked
                .into_iter()
                .map(StoredRevocation::read)
                .collect(),
            revocation_list: match stored.revocation_list {
                Some(list) => Some(Box::new(list.read()?)),
                None => None,
            },
        })
    }
}

impl StoredRevocation {
    fn of(revoked: &RevokedCertificate) -> Self {
        Self {
            serial: revoked.serial.clone(),
            at: revoked.at.unix(),
            reason: revoked.reason,
            not_after: revoked.not_after.unix(),
        }
    }

    fn read(self) -> RevokedCertificate {
        RevokedCertificate {
            serial: self.serial,
            at: Time::from_unix(self.at),
            reason: self.reason,
            not_after: Time::from_unix(self.not_after),
        }
    }
}

impl StoredRevocationList {
    fn of(list: &RevocationListRecord) -> Self {
        Self {
            number: list.number,
            this_update: list.this_update.unix(),
            next_update: list.next_update.unix(),
            der: Base64::encode_string(&list.der),
        }
    }

    fn read(self) -> Option<RevocationListRecord> {
        Some(RevocationListRecord {
            number: self.number,
            this_update: Time::from_unix(self.this_update),
            next_update: Time::from_unix(self.next_update),
            der: Base64::decode_vec(&self.der).ok()?,
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

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    spiffe_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    node_selectors: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    selectors: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dns_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    federates_with: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwt_ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}

impl StoredEntry {
    fn of(entry: &Entry) -> Self {
        let extras = &entry.extras;
        Self {
            spiffe_id: entry.spiffe_id.to_string(),
            parent: entry.parent.as_ref().map(ToString::to_string),
            node_selectors: extras
                .node_selectors
                .iter()
                .map(ToString::to_string)
                .collect(),
            selectors: entry.selectors.iter().map(ToString::to_string).collect(),
            dns_names: extras.dns_names.clone(),
            federates_with: extras
                .federates_with
                .iter()
                .map(ToString::to_string)
                .collect(),
            hint: extras.hint.clone(),
            x509_ttl: extras.x509_ttl,
            jwt_ttl: extras.jwt_ttl,
            owner: extras.owner.clone(),
            purpose: extras.purpose.clone(),
            created: entry.created.unix(),
            expires: extras.expires.map(Time::unix),
        }
    }

    fn read(body: &str, id: EntryId) -> Option<Entry> {
        let stored: Self = serde_json::from_str(body).ok()?;
        let parent = match stored.parent {
            Some(parent) => Some(SpiffeId::parse(&parent).ok()?),
            None => None,
        };
        let node_selectors = stored.node_selectors.iter();
        let selectors = stored.selectors.iter();
        let federates_with = stored.federates_with.iter();
        let extras = EntryExtras {
            node_selectors: node_selectors
                .map(|text| Selector::parse(text))
                .collect::<Option<_>>()?,
            dns_names: stored.dns_names,
            federates_with: federates_with
                .map(|name| TrustDomain::parse(name).ok())
                .collect::<Option<_>>()?,
            hint: stored.hint,
            x509_ttl: stored.x509_ttl,
            jwt_ttl: stored.jwt_ttl,
            owner: stored.owner,
            purpose: stored.purpose,
            expires: stored.expires.map(Time::from_unix),
        };
        Some(Entry {
            id,
            spiffe_id: IdTemplate::parse(&stored.spiffe_id).ok()?,
            parent,
            selectors: selectors
                .map(|text| Selector::parse(text))
                .collect::<Option<_>>()?,
            created: Time::from_unix(stored.created),
            extras: extras.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredNode {
    spiffe_id: String,
    attested_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attestor: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    facts: Vec<String>,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attested: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence_made: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    banned: Option<i64>,
}

impl StoredNode {
    fn of(node: &NodeRecord) -> Self {
        Self {
            spiffe_id: node.spiffe_id.to_string(),
            attested_by: node.attested_by.clone(),
            attestor: node.attestor.as_ref().map(ToString::to_string),
            facts: node.facts.iter().map(ToString::to_string).collect(),
            created: node.created.unix(),
            attested: Some(node.attested.unix()),
            evidence_made: node.evidence_made.map(Time::unix),
            banned: node.banned.map(Time::unix),
        }
    }

    fn read(body: &str, id: NodeId) -> Option<NodeRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        let facts = stored.facts.iter();
        let attestor = match stored.attestor {
            Some(attestor) => Some(AttestorId::parse(&attestor)?),
            None => None,
        };
        Some(NodeRecord {
            id,
            spiffe_id: SpiffeId::parse(&stored.spiffe_id).ok()?,
            attested_by: stored.attested_by,
            attestor,
            facts: facts
                .map(|text| Selector::parse(text))
                .collect::<Option<_>>()?,
            created: Time::from_unix(stored.created),
            attested: Time::from_unix(stored.attested.unwrap_or(stored.created)),
            evidence_made: stored.evidence_made.map(Time::from_unix),
            banned: stored.banned.map(Time::from_unix),
        })
    }
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

    #[test]
    fn an_authority_keeps_its_private_key_out_of_its_body() {
        let record = AuthorityRecord {
            id: AuthorityId::parse("k").unwrap(),
            trust_domain: TrustDomain::parse("a.test").unwrap(),
            kind: AuthorityKind::Jwt,
            role: AuthorityRole::Root,
            state: AuthorityState::Prepared,
            since: Time::from_unix(1),
            not_before: Time::from_unix(2),
            not_after: Time::from_unix(3),
            public_key: vec![1, 2, 3],
            certificates: vec![vec![4], vec![5, 6]],
            private_key: Some(Sealed::from_stored(vec![7; 40])),
            key_address: None,
            used_for: AuthorityUse::Services,
            revoked: Vec::new(),
            revocation_list: None,
        };
        let change = Change::Put(Object::Authority(record));
        let row = Row::of(&change).unwrap();
        assert_eq!(
            row.body.as_deref(),
            Some(
                r#"{"trust_domain":"a.test","kind":"jwt","role":"root","state":"prepared","since":1,"not_before":2,"not_after":3,"public_key":"AQID","certificates":["BA==","BQY="]}"#
            )
        );
        assert_eq!(row.secret, Some(vec![7; 40]));
        assert_eq!(row.into_change(), Ok(change));
    }
}
