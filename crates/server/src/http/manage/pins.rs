//! Pins of issuers.

use std::sync::Arc;

use avouch_store::IssuerId;

use crate::fault::Refused;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::issuers::Staging;
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    Ok(Answer::json(&call.plane().tell_all_pins(tenant)?))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    told(call, tenant)
}

pub(in crate::http) fn show_one(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let (issuer, pin) = (call.name("issuer"), call.name("pin"));
    Ok(Answer::json(&call.plane().tell_pin(tenant, issuer, pin)?))
}

/// Keys are fetched anew under the pins as they are now; that they cannot be is told, and does not
/// keep the pin from being stored: whoever pins before a rotation knows why.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let (issuer, pin) = (call.name("issuer"), call.name("pin"));
    let id = call
        .plane()
        .put_pin(tenant, issuer, pin, call.text("pin")?)?;
    fetch(call, tenant, &id)?;
    told(call, tenant)
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let (issuer, pin) = (call.name("issuer"), call.name("pin"));
    let id = call.plane().remove_pin(tenant, issuer, pin)?;
    fetch(call, tenant, &id)?;
    Ok(Answer::done())
}

pub(in crate::http) fn check(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("check")?.finish()?;
    let issuer = call.name("issuer");
    call.plane().tell_pins(tenant, issuer)?;
    if let Some(id) = IssuerId::parse(issuer) {
        fetch(call, tenant, &id)?;
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(call.plane().check_pins(tenant, &id))?;
    }
    told(call, tenant)
}

pub(in crate::http) fn stage(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let issuer = call.name("issuer");
    call.plane().tell_pins(tenant, issuer)?;
    let staging = Staging::read(call.members("stage")?)?;
    let id = call.plane().stage_pins(tenant, issuer, &staging)?;
    fetch(call, tenant, &id)?;
    told(call, tenant)
}

fn fetch(call: &Call, tenant: &Arc<Tenant>, id: &IssuerId) -> Result<(), Refused> {
    let runtime = tokio::runtime::Handle::current();
    match runtime.block_on(call.plane().refresh_issuer(tenant, id)) {
        Ok(_) | Err(Refused::Reason(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn told(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let told = call.plane().tell_pins(tenant, call.name("issuer"))?;
    Ok(Answer::json(&told))
}
