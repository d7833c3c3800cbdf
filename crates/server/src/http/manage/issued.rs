//! What was issued.

use std::sync::Arc;

use avouch_api::members::Document;
use avouch_core::exchange::statement::Ancestor;
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{EntryId, IntentRow};
use serde_json::{Value, json};

use super::{entries, said};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::issued::{Asked, Place};
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let plane = call.plane();
    if let Some(serial) = call.asked("serial") {
        let found = plane.issued_as(tenant, serial)?;
        let one = to_json(tenant, &found);
        return Ok(Answer::json(&json!({ "issued": [one] })));
    }
    let id = |name| call.asked(name).map(SpiffeId::parse).transpose();
    let asked = Asked {
        subject: id("spiffe_id")?,
        entry: read(call, "entry", "is no name of an entry", EntryId::parse)?,
        node: id("node")?,
        since: read(call, "since", "is no time", avouch_api::text::time)?,
        after: read(call, "after", "is no `next` of an answer", Place::parse)?,
        limit: entries::limit(call)?,
        all: false,
    };
    let (found, next) = plane.issued_since(tenant, &asked)?;
    let found: Vec<Value> = found.iter().map(|one| to_json(tenant, one)).collect();
    let mut answer = json!({ "issued": found });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("next".to_owned(), next.to_string().into());
    }
    Ok(Answer::json(&answer))
}

pub(super) fn read<T>(
    call: &Call,
    name: &'static str,
    wrong: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Reason> {
    let Some(text) = call.asked(name) else {
        return Ok(None);
    };
    let read = read(text).ok_or_else(|| {
        Document::Request("query of the address").refuse(format!("`{name}` {wrong}"))
    })?;
    Ok(Some(read))
}

fn to_json(tenant: &Tenant, intent: &IntentRow) -> Value {
    let revoked = tenant.read(|snapshot| {
        let authority = snapshot.authorities.get(&intent.authority)?;
        let mut revoked = authority.revoked.iter();
        let found = revoked.find(|one| one.serial == intent.id.as_str())?;
        Some(found.at)
    });
    let lineage: Vec<Value> = intent.lineage.iter().map(Ancestor::to_claim).collect();
    said(json!({
        "serial": intent.id.as_str(),
        "kind": intent.kind.name(),
        "spiffe_id": intent.subject.as_str(),
        "entry": intent.entry.as_ref().map(|entry| entry.as_str()),
        "node": intent.node.as_ref().map(|node| node.as_str()),
        "authority": intent.authority.as_str(),
        "issued": intent.recorded.to_string(),
        "not_before": intent.not_before.to_string(),
        "not_after": intent.not_after.to_string(),
        "revoked": revoked.map(|at: Time| at.to_string()),
        "lineage": lineage,
    }))
}
