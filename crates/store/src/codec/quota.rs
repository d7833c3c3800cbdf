//! Quotas as they are stored.

use serde::{Deserialize, Serialize};

use crate::record::{QuotaRecord, Selector};

#[derive(Serialize, Deserialize)]
pub(super) struct StoredQuota {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trust_domains: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuances_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    workloads: Vec<String>,
}

impl StoredQuota {
    pub(super) fn of(quota: &QuotaRecord) -> Self {
        Self {
            entries: quota.entries,
            nodes: quota.nodes,
            trust_domains: quota.trust_domains,
            issuances_per_minute: quota.issuances_per_minute,
            workloads: quota.workloads.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn read(body: &str) -> Option<QuotaRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        let workloads = stored.workloads.iter();
        Some(QuotaRecord {
            entries: stored.entries,
            nodes: stored.nodes,
            trust_domains: stored.trust_domains,
            issuances_per_minute: stored.issuances_per_minute,
            workloads: workloads
                .map(|text| Selector::parse(text))
                .collect::<Option<_>>()?,
        })
    }
}
