//! Tokens of nodes as rows.

use avouch_core::id::{Digest, SpiffeId};
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::names::{JoinTokenId, NodeId};
use crate::record::JoinTokenRecord;

#[derive(Serialize, Deserialize)]
pub(super) struct StoredJoinToken {
    node: String,
    spiffe_id: String,
    created: i64,
    expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_for: Option<String>,
}

impl StoredJoinToken {
    pub(super) fn of(token: &JoinTokenRecord) -> Self {
        Self {
            node: token.node.to_string(),
            spiffe_id: token.spiffe_id.to_string(),
            created: token.created.unix(),
            expires: token.expires.unix(),
            used: token.used.map(Time::unix),
            used_for: token.used_for.map(|key| key.to_string()),
        }
    }

    pub(super) fn read(body: &str, id: JoinTokenId) -> Option<JoinTokenRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(JoinTokenRecord {
            id,
            node: NodeId::parse(&stored.node)?,
            spiffe_id: SpiffeId::parse(&stored.spiffe_id).ok()?,
            created: Time::from_unix(stored.created),
            expires: Time::from_unix(stored.expires),
            used: stored.used.map(Time::from_unix),
            used_for: match stored.used_for {
                Some(key) => Some(Digest::from_hex(&key)?),
                None => None,
            },
        })
    }
}
