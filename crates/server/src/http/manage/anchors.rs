//! Anchors.

use std::sync::Arc;

use avouch_store::AnchorRecord;
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn list(_: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let anchors: Vec<Value> =
        tenant.read(|snapshot| snapshot.anchors.values().map(to_json).collect());
    Ok(Answer::json(&json!({ "anchors": anchors })))
}

/// The anchor is kept as it was sent: it is the document that is read when something is decided.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = Value::Object(call.members("anchor")?.rest());
    let name = call.name("anchor");
    let record = call.plane().put_anchor(tenant, name, &document)?;
    Ok(Answer::json(&to_json(&record)))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_anchor(tenant, call.name("anchor"))?;
    Ok(Answer::done())
}

fn to_json(record: &AnchorRecord) -> Value {
    // What was stored was read before; what cannot be read is shown as the text it is.
    let document = serde_json::from_str(&record.document);
    json!({
        "name": record.id.as_str(),
        "anchor": document.unwrap_or_else(|_| Value::from(record.document.as_str())),
    })
}
