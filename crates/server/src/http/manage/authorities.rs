//! Authorities: what signs, who knows it, and what to do when a key may be in the wrong hands.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_store::{AuthorityRecord, AuthorityState, Sequence};
use serde_json::{Value, json};

use super::said;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

/// The most nodes that are named; the others are only counted.
const MOST_NAMED: usize = 100;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let followers = call.plane().presences.of(tenant.id());
    let held = tenant.held();
    let authorities = held.snapshot.authorities.values();
    let authorities: Vec<Value> = authorities
        .map(|record| to_json(record, held.published.get(&record.id), &followers))
        .collect();
    Ok(Answer::json(&json!({ "authorities": authorities })))
}

pub(in crate::http) fn taint(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("authority")?.finish()?;
    call.plane().taint(tenant, call.name("authority"))?;
    list(call, tenant)
}

pub(in crate::http) fn revoke(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members_if_any("authority")?;
    let anyway = members.flag("anyway")?.unwrap_or(false);
    members.finish()?;
    call.plane()
        .revoke(tenant, call.name("authority"), anyway)?;
    list(call, tenant)
}

pub(in crate::http) fn prepare(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("trust domain")?.finish()?;
    let name = call.own_trust_domain(tenant)?;
    call.plane().prepare(tenant, &name)?;
    list(call, tenant)
}

pub(in crate::http) fn replace_all(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("trust domain")?.finish()?;
    let name = call.own_trust_domain(tenant)?;
    call.plane().replace_all(tenant, &name)?;
    list(call, tenant)
}

fn to_json(
    record: &AuthorityRecord,
    published: Option<&Sequence>,
    followers: &BTreeMap<SpiffeId, u64>,
) -> Value {
    let holds = |node: &&SpiffeId| {
        let held = followers.get(*node).copied().unwrap_or_default();
        published.is_some_and(|since| held >= since.number())
    };
    let (holding, behind): (Vec<&SpiffeId>, Vec<&SpiffeId>) = followers.keys().partition(holds);
    let named = |nodes: &[&SpiffeId]| -> Vec<Value> {
        let nodes = nodes.iter().take(MOST_NAMED);
        nodes.map(|node| node.as_str().into()).collect()
    };
    let key = match (&record.private_key, record.state) {
        (Some(_), _) => "sealed in the store",
        (None, AuthorityState::Revoked) => "destroyed",
        (None, _) => "kept elsewhere",
    };
    said(json!({
        "id": record.id.as_str(),
        "trust_domain": record.trust_domain.as_str(),
        "kind": record.kind.name(),
        "role": record.role.name(),
        "state": record.state.name(),
        "since": record.since.to_string(),
        "not_before": record.not_before.to_string(),
        "not_after": record.not_after.to_string(),
        "key_origin": key,
        "published": published.map(|sequence| sequence.number()),
        "nodes_connected": followers.len(),
        "nodes_holding": holding.len(),
        "held_by": named(&holding),
        "not_held_by": named(&behind),
    }))
}
