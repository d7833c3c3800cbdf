//! Issuers of tokens.

use std::sync::Arc;

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_store::IssuerId;
use serde_json::json;

use crate::access::{Noun, Verb};
use crate::fault::Refused;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let issuers = call.plane().tell_issuers(tenant)?;
    Ok(Answer::json(&json!({ "issuers": issuers })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    told(call, tenant)
}

/// What was sent is kept as it was sent. That its keys cannot be fetched is told with it, and does
/// not keep it from being stored: an issuer that is down today may be up tomorrow.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = call.text("issuer")?;
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    superiors.check_anchor(call.name("issuer"))?;
    let id = call
        .plane()
        .put_issuer(tenant, call.name("issuer"), document)?;
    match fetch(call, tenant, &id) {
        Ok(()) | Err(Refused::Reason(_)) => told(call, tenant),
        Err(fault) => Err(fault.into()),
    }
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_issuer(tenant, call.name("issuer"))?;
    Ok(Answer::done())
}

pub(in crate::http) fn refresh(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("issuer")?.finish()?;
    call.plane().tell_issuer(tenant, call.name("issuer"))?;
    if let Some(id) = IssuerId::parse(call.name("issuer")) {
        fetch(call, tenant, &id)?;
    }
    told(call, tenant)
}

pub(in crate::http) fn quarantine(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("issuer");
    let reliance = call.plane().reliance_on_issuer(tenant, name)?;
    let mut members = call.members("cause")?;
    let cause = members.required_text("reason")?;
    members.finish()?;
    call.plane().quarantine_issuer(tenant, name, &cause)?;
    Ok(Answer::json(&reliance))
}

pub(in crate::http) fn release(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("issuer");
    call.plane().tell_issuer(tenant, name)?;
    let mut members = call.members_if_any("release")?;
    let etag = members.required_text("etag")?;
    members.finish()?;
    let by = call.caller()?.id.to_string();
    call.plane().release_issuer(tenant, name, &etag, &by)?;
    if let Some(id) = IssuerId::parse(name) {
        // What is published now is looked at once more; whatever is wrong with it is told below.
        drop(fetch(call, tenant, &id));
    }
    told(call, tenant)
}

pub(in crate::http) fn reliance(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let reliance = call
        .plane()
        .reliance_on_issuer(tenant, call.name("issuer"))?;
    Ok(Answer::json(&reliance))
}

pub(in crate::http) fn by_reliance(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let ranking = call.plane().issuers_by_reliance(tenant)?;
    Ok(Answer::json(&ranking))
}

/// Changes nothing.
pub(in crate::http) fn drill(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let (plane, caller) = (call.plane(), call.caller()?);
    let sees = |id: &TenantId| match plane.known(id) {
        _ if id == tenant.id() => Ok(true),
        Some(known) => plane.may_in(&caller, &known, Verb::Read, Noun::Admin),
        None => Ok(false),
    };
    let drill = plane.drill_issuer(tenant, call.name("issuer"), &sees)?;
    Ok(Answer::json(&drill))
}

/// For how long it is down stands behind the question mark, such as `for=2h`.
pub(in crate::http) fn impact(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let seconds = match call.asked("for") {
        None => A_DAY,
        Some(text) => duration(text).ok_or_else(|| Reason::IssueObjectMalformed {
            object: "question",
            member: "for".to_owned(),
            detail: "a duration is a number with `s`, `m`, `h` or `d` behind it, up to a year"
                .to_owned(),
        })?,
    };
    let name = call.name("issuer");
    let impact = call.plane().impact_of_issuer(tenant, name, seconds)?;
    Ok(Answer::json(&impact))
}

const A_DAY: i64 = 86_400;

fn duration(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => A_DAY,
        _ => return None,
    };
    let seconds = i64::from(digits.parse::<u32>().ok()?).checked_mul(unit)?;
    (seconds <= 366 * A_DAY).then_some(seconds)
}

fn fetch(call: &Call, tenant: &Arc<Tenant>, id: &IssuerId) -> Result<(), Refused> {
    let runtime = tokio::runtime::Handle::current();
    let refreshing = call.plane().refresh_issuer(tenant, id);
    runtime.block_on(refreshing).map(drop)
}

fn told(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let told = call.plane().tell_issuer(tenant, call.name("issuer"))?;
    Ok(Answer::json(&told))
}
