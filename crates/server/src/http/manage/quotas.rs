//! How much a tenant may have and do.

use std::sync::Arc;

use avouch_store::QuotaRecord;
use serde_json::json;

use super::said;
use crate::entries::read_selectors;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::quotas::Bounded;
use crate::tenant::Tenant;

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let quota = tenant.read(|snapshot| snapshot.quota.clone());
    let quota = quota.unwrap_or_default();
    let workloads: Vec<&str> = quota.workloads.iter().map(|one| one.as_str()).collect();
    let used = |what| call.plane().used(tenant, what);
    Ok(Answer::json(&said(json!({
        "entries": quota.entries,
        "entries_used": used(Bounded::Entries)?,
        "nodes": quota.nodes,
        "nodes_used": used(Bounded::Nodes)?,
        "trust_domains": quota.trust_domains,
        "trust_domains_used": used(Bounded::TrustDomains)?,
        "issuances_per_minute": quota.issuances_per_minute,
        "workloads": workloads,
    }))))
}

pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().permit_quota(&call.caller()?, tenant)?;
    let mut members = call.members("quota")?;
    let quota = QuotaRecord {
        entries: members.count("entries")?,
        nodes: members.count("nodes")?,
        trust_domains: members.count("trust_domains")?,
        issuances_per_minute: members.count("issuances_per_minute")?,
        workloads: read_selectors("quota", "workloads", &members.text_list("workloads")?)?,
    };
    members.finish()?;
    call.plane().put_quota(tenant, quota)?;
    show(call, tenant)
}
