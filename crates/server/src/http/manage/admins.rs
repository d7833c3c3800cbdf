//! Administrators.

use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_store::{AdminId, AdminRecord};
use serde_json::{Value, json};

use crate::fault::unknown;
use crate::given_already::Giver;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

/// The most entries and rules that are told by name.
const MOST_TOLD: usize = 100;

pub(in crate::http) fn list(_: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let admins: Vec<Value> =
        tenant.read(|snapshot| snapshot.admins.values().map(to_json).collect());
    Ok(Answer::json(&json!({ "admins": admins })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("admin");
    let admin = AdminId::parse(name)
        .and_then(|id| tenant.read(|snapshot| snapshot.admins.get(&id).map(to_json)));
    Ok(Answer::json(
        &admin.ok_or_else(|| unknown("administrator", name))?,
    ))
}

pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("administrator")?;
    let subject = members.required_text("subject")?;
    let role = members.required_text("role")?;
    members.finish()?;
    let subject = SpiffeId::parse(&subject)?;
    let name = call.name("admin");
    let (record, givers) = call
        .plane()
        .appoint(&call.caller()?, tenant, name, subject, &role)?;
    let mut answer = to_json(&record);
    let told = givers.iter().take(MOST_TOLD).map(giver_to_json);
    if let Some(members) = answer.as_object_mut() {
        members.insert("given_already".to_owned(), told.collect());
        members.insert("given_already_count".to_owned(), givers.len().into());
    }
    Ok(Answer::json(&answer))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane()
        .dismiss(&call.caller()?, tenant, call.name("admin"))?;
    Ok(Answer::done())
}

fn giver_to_json(giver: &Giver) -> Value {
    json!({
        "what": giver.what,
        "tenant": giver.tenant.as_str(),
        "name": giver.name,
        "gives": giver.gives,
    })
}

fn to_json(record: &AdminRecord) -> Value {
    json!({
        "name": record.id.as_str(),
        "subject": record.subject.as_str(),
        "role": record.role,
        "created": record.created.to_string(),
    })
}
