//! Nodes and the tokens with which they join.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_store::NodeRecord;
use serde_json::{Value, json};

use super::said;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::nodes::find;
use crate::plane::KnownTenant;
use crate::tenant::Tenant;

/// How long a join token can be used, in seconds: whoever has it can become the node.
const SHORTEST_TOKEN: u32 = 10;
const USUAL_TOKEN: u32 = 600;
const LONGEST_TOKEN: u32 = 7 * 86_400;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let followers = call.plane().presences.of(tenant.id());
    let nodes: Vec<Value> = tenant.read(|snapshot| {
        let nodes = snapshot.nodes.values();
        nodes.map(|node| to_json(&followers, node)).collect()
    });
    Ok(Answer::json(&json!({ "nodes": nodes })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let node = find(tenant, call.name("node"))?;
    let followers = call.plane().presences.of(tenant.id());
    Ok(Answer::json(&to_json(&followers, &node)))
}

pub(in crate::http) fn evict(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().evict(tenant, call.name("node"))?;
    Ok(Answer::done())
}

pub(in crate::http) fn refused(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let plane = call.plane();
    let is_root = plane.root()?.id() == tenant.id();
    let refused = plane.refused_nodes.of(tenant.id(), is_root);
    let refused: Vec<Value> = refused
        .iter()
        .map(|one| {
            said(json!({
                "decision": one.decision,
                "at": one.at.to_string(),
                "address": one.address.map(|address| address.ip().to_string()),
                "method": one.method,
                "attestor": one.attestor,
                "code": one.reason.code(),
                "detail": one.reason.sentence(),
                "hint": one.reason.hint(),
            }))
        })
        .collect();
    Ok(Answer::json(&json!({ "refused": refused })))
}

pub(in crate::http) fn ban(call: &Call, known: &Arc<KnownTenant>) -> Result<Answer, Stop> {
    call.members_if_any("node")?.finish()?;
    let node = call.plane().ban(known, call.name("node"))?;
    let followers = call.plane().presences.of(known.id());
    Ok(Answer::json(&to_json(&followers, &node)))
}

pub(in crate::http) fn unban(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("node")?.finish()?;
    let node = call.plane().set_banned(tenant, call.name("node"), false)?;
    let followers = call.plane().presences.of(tenant.id());
    Ok(Answer::json(&to_json(&followers, &node)))
}

pub(in crate::http) fn new_token(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("join token")?;
    let node = members.required_text("node")?;
    let ttl = members.count("ttl")?.unwrap_or(USUAL_TOKEN);
    members.finish()?;
    if !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&ttl) {
        return Err(Reason::IssueTimeToLive {
            asked: ttl,
            least: SHORTEST_TOKEN,
            most: LONGEST_TOKEN,
        }
        .into());
    }
    let token = call.plane().new_join_token(tenant, &node, ttl)?;
    Ok(Answer::json(&json!({
        "token": token.token.as_str(),
        "node": node,
        "spiffe_id": token.spiffe_id.as_str(),
        "expires": token.expires.to_string(),
    })))
}

fn to_json(followers: &BTreeMap<SpiffeId, u64>, node: &NodeRecord) -> Value {
    let facts: Vec<&str> = node.facts.iter().map(|fact| fact.as_str()).collect();
    said(json!({
        "name": node.id.as_str(),
        "spiffe_id": node.spiffe_id.as_str(),
        "attested_by": node.attested_by,
        "attestor": node.attestor.as_ref().map(|attestor| attestor.as_str()),
        "attested": node.attested.to_string(),
        "facts": facts,
        "created": node.created.to_string(),
        "banned": node.banned.map(|since| since.to_string()),
        "connected": followers.contains_key(&node.spiffe_id),
        "holds": followers.get(&node.spiffe_id),
    }))
}
