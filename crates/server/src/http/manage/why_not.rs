//! Why a workload gets no identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_api::members::Document;
use avouch_core::id::SpiffeId;
use avouch_store::Selector;
use serde_json::{Value, json};

use super::said;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;
use crate::why_not::{Nearly, Workload, why_not};

pub(in crate::http) fn answer(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    const OBJECT: &str = "workload";
    let mut members = call.members(OBJECT)?;
    let texts = members.text_list("selectors")?;
    let node = members.text("node")?;
    members.finish()?;
    let mut selectors = BTreeSet::new();
    for text in &texts {
        let selector = Selector::parse(text).ok_or_else(|| {
            Document::Request(OBJECT).refuse(
                "each of `selectors` must be a type, a colon and a value, as `unix:uid:1000`",
            )
        })?;
        selectors.insert(selector);
    }
    let node = node.as_deref().map(SpiffeId::parse).transpose()?;
    let node_facts = node
        .as_ref()
        .map(|node| call.plane().facts_of(tenant, node));
    let is_unknown = matches!(node_facts, Some(None));
    let workload = Workload {
        selectors,
        node_facts: node_facts.map(Option::unwrap_or_default),
        node,
    };
    let bounds = call.plane().workloads_of(tenant);
    let found = why_not(tenant, &workload, &bounds, call.plane().now());
    let list = |found: &[Nearly]| -> Vec<Value> { found.iter().map(to_json).collect() };
    let mut answer = json!({
        "matching": list(&found.matching),
        "depends_on_node": list(&found.depending),
        "nearly": list(&found.near),
    });
    if let (true, Some(members)) = (is_unknown, answer.as_object_mut()) {
        members.insert("node_unknown".to_owned(), true.into());
    }
    Ok(Answer::json(&answer))
}

fn to_json(nearly: &Nearly) -> Value {
    let missing: Vec<&str> = nearly.missing.iter().map(|one| one.as_str()).collect();
    let node_missing: Vec<&str> = nearly.node_missing.iter().map(|one| one.as_str()).collect();
    let unfilled: Vec<String> = nearly.unfilled.iter().map(ToString::to_string).collect();
    said(json!({
        "entry": nearly.id.as_str(),
        "spiffe_id": nearly.spiffe_id.as_str(),
        "missing": missing,
        "node_missing": node_missing,
        "unfilled": unfilled,
        "for_node": nearly.for_node.as_ref().map(|node| node.as_str()),
        "ended": nearly.ended.map(|end| end.to_string()),
        "barred": nearly.is_barred.then_some(true),
    }))
}
