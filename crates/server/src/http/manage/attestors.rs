//! Attestors: what the tenant accepts from nodes that join without a token.

use std::sync::Arc;

use avouch_store::{AttestorId, AttestorRecord};
use serde_json::{Value, json};

use crate::fault::unknown;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn list(_: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let attestors: Vec<Value> =
        tenant.read(|snapshot| snapshot.attestors.values().map(to_json).collect());
    Ok(Answer::json(&json!({ "attestors": attestors })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("attestor");
    let attestor = AttestorId::parse(name)
        .and_then(|id| tenant.read(|snapshot| snapshot.attestors.get(&id).map(to_json)));
    Ok(Answer::json(
        &attestor.ok_or_else(|| unknown("attestor", name))?,
    ))
}

/// The attestor is kept as it was sent: it is the document that is read when a node shows something.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = Value::Object(call.members("attestor")?.rest());
    let name = call.name("attestor");
    let record = call.plane().put_attestor(tenant, name, &document)?;
    Ok(Answer::json(&to_json(&record)))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane()
        .remove_attestor(tenant, call.name("attestor"))?;
    Ok(Answer::done())
}

fn to_json(record: &AttestorRecord) -> Value {
    // What was stored was read before; what cannot be read is shown as the text it is.
    let document = serde_json::from_str(&record.document);
    json!({
        "name": record.id.as_str(),
        "attestor": document.unwrap_or_else(|_| Value::from(record.document.as_str())),
    })
}
