//! Services and which trust models may decide for them.

use std::sync::Arc;

use serde_json::json;

use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let services = call.plane().tell_services(tenant)?;
    Ok(Answer::json(&json!({ "services": services })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let service = call.plane().tell_service(tenant, call.name("service"))?;
    Ok(Answer::json(&service))
}

pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = call.members("service")?.rest();
    let name = call.name("service");
    let service = call.plane().put_service(tenant, name, document)?;
    Ok(Answer::json(&service))
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_service(tenant, call.name("service"))?;
    Ok(Answer::done())
}
