//! Which identities registration entries can ever give.

use std::sync::Arc;

use avouch_api::members::Document;
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::template::Place;
use avouch_store::EntryId;
use serde_json::{Value, json};

use super::{entries, said};
use crate::grants::{Asked, EntryBound, bounds};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn answer(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let id = |name| call.asked(name).map(SpiffeId::parse).transpose();
    let asked = Asked {
        node: id("node")?,
        could: id("could")?,
        after: after(call)?,
        limit: entries::limit(call)?,
    };
    let (bounds, has_more) = bounds(tenant, &asked);
    let next = bounds.last().filter(|_| has_more);
    let mut answer = json!({ "bounds": bounds.iter().map(to_json).collect::<Vec<_>>() });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("next".to_owned(), next.entry.as_str().into());
    }
    Ok(Answer::json(&answer))
}

fn after(call: &Call) -> Result<Option<EntryId>, Reason> {
    let Some(name) = call.asked("after") else {
        return Ok(None);
    };
    let name = EntryId::parse(name).ok_or_else(|| {
        Document::Request("query of the address").refuse("`after` is no name of an entry")
    })?;
    Ok(Some(name))
}

fn to_json(bound: &EntryBound) -> Value {
    let open: Vec<&str> = bound.identity.places().map(Place::name).collect();
    said(json!({
        "entry": bound.entry.as_str(),
        "ids": bound.identity.bound(),
        "open": open,
        "for_node": bound.for_node.as_ref().map(|node| node.as_str()),
        "ends": bound.ends.map(|end| end.to_string()),
    }))
}
