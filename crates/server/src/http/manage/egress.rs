//! APIs of others that workloads may use. Keys go in, and never out.

use std::sync::Arc;

use avouch_core::reason::Reason;
use avouch_store::EgressRecord;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::egress;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let records: Vec<EgressRecord> =
        tenant.read(|snapshot| snapshot.egresses.values().cloned().collect());
    let records = records.iter().map(|record| to_json(call, tenant, record));
    let records = records.collect::<Result<Vec<Value>, Stop>>()?;
    Ok(Answer::json(&json!({ "egress": records })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let record = egress::find(tenant, call.name("egress"))?;
    Ok(Answer::json(&to_json(call, tenant, &record)?))
}

/// All but the key is kept as it was sent.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("egress")?;
    let key = members.text("key")?.map(Zeroizing::new);
    let document = Value::Object(members.rest());
    let name = call.name("egress");
    let record = call.plane().put_egress(tenant, name, &document, key)?;
    Ok(Answer::json(&to_json(call, tenant, &record)?))
}

pub(in crate::http) fn rotate(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    egress::find(tenant, call.name("egress"))?;
    let mut members = call.members("key")?;
    let key = Zeroizing::new(members.required_text("key")?);
    members.finish()?;
    let record = call
        .plane()
        .rotate_egress(tenant, call.name("egress"), key)?;
    Ok(Answer::json(&to_json(call, tenant, &record)?))
}

pub(in crate::http) fn promote(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let record = call.plane().promote_egress(tenant, call.name("egress"))?;
    Ok(Answer::json(&to_json(call, tenant, &record)?))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_egress(tenant, call.name("egress"))?;
    Ok(Answer::done())
}

fn to_json(call: &Call, tenant: &Arc<Tenant>, record: &EgressRecord) -> Result<Value, Stop> {
    let document: Value = serde_json::from_str(&record.document).map_err(|_| {
        let detail = "what is kept cannot be read".to_owned();
        Reason::IssueConflict { detail }
    })?;
    Ok(json!({
        "name": record.id.as_str(),
        "egress": document,
        "keys": call.plane().keys_of_egress(tenant, record)?,
    }))
}
