//! APIs of others that workloads may use. Keys go in, and never out.

use std::sync::Arc;

use avouch_core::reason::Reason;
use avouch_store::EgressRecord;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::egress::uses::Uses;
use crate::egress::{self, Given};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let records: Vec<EgressRecord> =
        tenant.read(|snapshot| snapshot.egresses.values().cloned().collect());
    let uses = Uses::of(tenant, call.plane().now());
    let records = records
        .iter()
        .map(|record| to_json(call, tenant, &uses, record));
    let records = records.collect::<Result<Vec<Value>, Stop>>()?;
    Ok(Answer::json(&json!({ "egress": records })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let record = egress::find(tenant, call.name("egress"))?;
    let uses = Uses::of(tenant, call.plane().now());
    let mut shown = to_json(call, tenant, &uses, &record)?;
    if let Some(members) = shown.as_object_mut() {
        let rows = uses.rows(record.id.as_str());
        members.insert("uses".to_owned(), Value::Array(rows));
    }
    Ok(Answer::json(&shown))
}

/// All but the key is kept as it was sent.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("egress")?;
    let key = members.text("key")?.map(Zeroizing::new);
    let secrets = members.list("webhook_secrets")?.map(|secrets| {
        let texts = secrets.into_iter().map(|secret| match secret {
            Value::String(text) => Ok(Zeroizing::new(text)),
            _ => Err(members.refuse("webhook_secrets", "must be a list of texts")),
        });
        texts.collect::<Result<Vec<_>, Reason>>()
    });
    let given = Given {
        key,
        webhook_secrets: secrets.transpose()?,
    };
    let document = Value::Object(members.rest());
    let name = call.name("egress");
    let record = call.plane().put_egress(tenant, name, &document, given)?;
    Ok(Answer::json(&changed(call, tenant, &record)?))
}

pub(in crate::http) fn rotate(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    egress::find(tenant, call.name("egress"))?;
    let mut members = call.members("key")?;
    let key = Zeroizing::new(members.required_text("key")?);
    let is_forced = members.flag("force")?.unwrap_or(false);
    members.finish()?;
    let plane = call.plane();
    let record = plane.rotate_egress(tenant, call.name("egress"), key, is_forced)?;
    Ok(Answer::json(&changed(call, tenant, &record)?))
}

pub(in crate::http) fn promote(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let record = call.plane().promote_egress(tenant, call.name("egress"))?;
    Ok(Answer::json(&changed(call, tenant, &record)?))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_egress(tenant, call.name("egress"))?;
    Ok(Answer::done())
}

/// One that has just changed.
fn changed(call: &Call, tenant: &Arc<Tenant>, record: &EgressRecord) -> Result<Value, Stop> {
    let uses = Uses::of(tenant, call.plane().now());
    to_json(call, tenant, &uses, record)
}

fn to_json(
    call: &Call,
    tenant: &Arc<Tenant>,
    uses: &Uses,
    record: &EgressRecord,
) -> Result<Value, Stop> {
    let document: Value = serde_json::from_str(&record.document).map_err(|_| {
        let detail = "what is kept cannot be read".to_owned();
        Reason::IssueConflict { detail }
    })?;
    Ok(json!({
        "name": record.id.as_str(),
        "egress": document,
        "keys": call.plane().keys_of_egress(tenant, record)?,
        "webhook_secrets": call.plane().webhook_secrets_of_egress(tenant, record)?,
        "last_used": uses.last_day(record.id.as_str()),
    }))
}
