//! The log of issuance and revocation.

use std::sync::Arc;

use avouch_core::exchange::statement::Ancestor;
use avouch_store::{CredentialKind, IntentRow};
use serde_json::{Value, json};

use super::issued::read;
use super::{entries, said};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::issuance_log::what_is;
use crate::issued::{Asked, Place};
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let asked = Asked {
        since: read(call, "since", "is no time", avouch_api::text::time)?,
        after: read(call, "after", "is no `next` of an answer", Place::parse)?,
        limit: entries::limit(call)?,
        all: true,
        ..Asked::default()
    };
    let (found, next) = call.plane().issued_since(tenant, &asked)?;
    // That the certificate of an authority was signed is told by what became of the authority.
    let told = found
        .iter()
        .filter(|one| one.kind != CredentialKind::Authority);
    let log: Vec<Value> = told.map(to_json).collect();
    let mut answer = json!({ "log": log });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("next".to_owned(), next.to_string().into());
    }
    Ok(Answer::json(&answer))
}

pub(in crate::http) fn state(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let asked = read(call, "at", "is no time", avouch_api::text::time)?;
    let (at, state) = call.plane().issuance_state(tenant, asked)?;
    Ok(Answer::json(&json!({
        "at": at.to_string(),
        "digest": state.digest(at).to_string(),
        "living": state.count(at),
        "authorities": state.authorities(at),
        "kept": call.plane().settings.intents_kept,
    })))
}

fn to_json(intent: &IntentRow) -> Value {
    let decision = intent.decision.as_deref();
    let decision: Option<Value> = decision.and_then(|text| serde_json::from_str(text).ok());
    let lineage: Vec<Value> = intent.lineage.iter().map(Ancestor::to_claim).collect();
    said(json!({
        "id": intent.id.as_str(),
        "what": what_is(intent.kind),
        "kind": intent.kind.name(),
        "spiffe_id": intent.subject.as_str(),
        "authority": intent.authority.as_str(),
        "entry": intent.entry.as_ref().map(|entry| entry.as_str()),
        "node": intent.node.as_ref().map(|node| node.as_str()),
        "decision": decision,
        "content": intent.content.to_string(),
        "at": intent.recorded.to_string(),
        "not_before": intent.not_before.to_string(),
        "not_after": intent.not_after.to_string(),
        "lineage": lineage,
    }))
}
