//! What is kept of signals as rows.

use avouch_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::keyring::Sealed;
use crate::signal::{SignalKey, SignalRecord};

#[derive(Serialize, Deserialize)]
pub(super) struct StoredSignal {
    document: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<i64>,
}

impl StoredSignal {
    pub(super) fn of(signal: &SignalRecord) -> Self {
        Self {
            document: signal.document.clone(),
            ends: signal.ends.map(Time::unix),
        }
    }

    pub(super) fn read(
        body: &str,
        key: SignalKey,
        secret: Option<Vec<u8>>,
    ) -> Option<SignalRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        Some(SignalRecord {
            key,
            document: stored.document,
            ends: stored.ends.map(Time::from_unix),
            secret: secret.map(Sealed::from_stored),
        })
    }
}
