//! Anchors.

use std::sync::Arc;

use avouch_core::time::Time;
use serde_json::{Map, Value, json};

use crate::anchors::AnchorTold;
use crate::fault::unknown;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::issuers::admits;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let now = call.plane().now();
    let anchors = Plane::anchors(tenant);
    let anchors: Vec<Value> = anchors.iter().map(|told| to_json(told, now)).collect();
    Ok(Answer::json(&json!({ "anchors": anchors })))
}

/// With all others in view: which public stores have its key too is told of it.
pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("anchor");
    let mut anchors = Plane::anchors(tenant).into_iter();
    let told = anchors.find(|told| told.record.id.as_str() == name);
    let told = told.ok_or_else(|| unknown("anchor", name))?;
    Ok(Answer::json(&to_json(&told, call.plane().now())))
}

/// The anchor is kept as it was sent: it is the document that is read when something is decided.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = Value::Object(call.members("anchor")?.rest());
    let name = call.name("anchor");
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    Plane::check_vouches_for_no(&superiors, tenant, name, &document)?;
    let record = call.plane().put_anchor(tenant, name, &document)?;
    let now = call.plane().now();
    let anchors = Plane::anchors(tenant);
    let told = anchors.into_iter().find(|told| told.record.id == record.id);
    // Someone may have removed it already.
    let told = told.unwrap_or(AnchorTold {
        record,
        store: None,
        also_in: Vec::new(),
    });
    let mut answer = to_json(&told, now);
    let admits: Vec<String> = views::read_sent("anchor", document, tenant)?
        .entries()
        .iter()
        .flat_map(|entry| admits(&entry.anchor.kind))
        .collect();
    if let (Some(members), false) = (answer.as_object_mut(), admits.is_empty()) {
        members.insert("admits".to_owned(), json!(admits));
    }
    Ok(Answer::json(&answer))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_anchor(tenant, call.name("anchor"))?;
    Ok(Answer::done())
}

fn to_json(told: &AnchorTold, now: Time) -> Value {
    let record = &told.record;
    // What was stored was read before; what cannot be read is shown as the text it is.
    let document = serde_json::from_str(&record.document);
    let mut anchor = Map::from_iter([
        ("name".to_owned(), record.id.as_str().into()),
        (
            "anchor".to_owned(),
            document.unwrap_or_else(|_| Value::from(record.document.as_str())),
        ),
    ]);
    if let Some((store, certificates)) = &told.store {
        let age = store.as_of.map(|as_of| now.since(as_of).max(0));
        let told = json!({
            "label": store.label.name(),
            "source": store.source,
            "as_of": store.as_of.map(|as_of| as_of.to_string()),
            "age": age,
            "certificates": certificates,
        });
        anchor.insert("store".to_owned(), told);
    }
    if !told.also_in.is_empty() {
        anchor.insert("also_in".to_owned(), json!(told.also_in));
    }
    Value::Object(anchor)
}
