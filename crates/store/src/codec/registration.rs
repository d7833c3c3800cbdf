//! Who gets which identity as rows: entries and nodes.

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::names::{AttestorId, EntryId, NodeId};
use crate::record::{Entry, EntryExtras, NodeRecord, Selector};

#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry {
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asks_since: Option<i64>,
}

impl StoredEntry {
    pub(super) fn of(entry: &Entry) -> Self {
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
            asks_since: extras.asks_since.map(Time::unix),
        }
    }

    pub(super) fn read(body: &str, id: EntryId) -> Option<Entry> {
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
            asks_since: stored.asks_since.map(Time::from_unix),
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
pub(super) struct StoredNode {
    spiffe_id: String,
    attested_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attestor: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    facts: Vec<String>,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attested: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence_made: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    banned: Option<i64>,
}

impl StoredNode {
    pub(super) fn of(node: &NodeRecord) -> Self {
        Self {
            spiffe_id: node.spiffe_id.to_string(),
            attested_by: node.attested_by.clone(),
            attestor: node.attestor.as_ref().map(ToString::to_string),
            facts: node.facts.iter().map(ToString::to_string).collect(),
            created: node.created.unix(),
            mark: node.mark,
            since: node.since.map(Time::unix),
            attested: Some(node.attested.unix()),
            evidence_made: node.evidence_made.map(Time::unix),
            banned: node.banned.map(Time::unix),
        }
    }

    pub(super) fn read(body: &str, id: NodeId) -> Option<NodeRecord> {
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
            mark: stored.mark,
            since: stored.since.map(Time::from_unix),
            attested: Time::from_unix(stored.attested.unwrap_or(stored.created)),
            evidence_made: stored.evidence_made.map(Time::from_unix),
            banned: stored.banned.map(Time::from_unix),
        })
    }
}
