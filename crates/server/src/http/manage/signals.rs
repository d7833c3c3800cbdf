//! Streams of events, and what ended.

use std::sync::Arc;

use avouch_core::ended::{Mark, Turn};
use serde_json::json;

use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::signals::Named;
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let signals = call.plane().tell_signals(tenant)?;
    Ok(Answer::json(&json!({ "signals": signals })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    told(call, tenant)
}

pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = call.text("signal")?;
    call.plane()
        .put_signal(tenant, call.name("signal"), document)?;
    told(call, tenant)
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_signal(tenant, call.name("signal"))?;
    Ok(Answer::done())
}

pub(in crate::http) fn ended(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let ended = call.plane().tell_ended(tenant);
    Ok(Answer::json(&json!({ "ended": ended })))
}

pub(in crate::http) fn end(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("ending")?;
    let issuer = members.required_text("issuer")?;
    let mut names = Vec::new();
    for (kind, marking) in Mark::KINDS {
        names.extend(members.text(kind)?.map(|name| (kind, marking, name)));
    }
    let turn = members.choice("turn", &Named::TURNS)?;
    let why = members.required_text("reason")?;
    let [(kind, marking, name)] = names.as_slice() else {
        let detail = format!(
            "stands beside none or several of {}",
            Mark::KINDS.map(|(kind, _)| kind).join(", ")
        );
        return Err(members.refuse("issuer", &detail).into());
    };
    let named = Named {
        issuer,
        kind,
        marking: *marking,
        name: name.clone(),
        turn: turn.unwrap_or(Turn::Ended),
        why,
    };
    members.finish()?;
    let by = call.caller()?.id.to_string();
    Ok(Answer::json(&call.plane().end_named(tenant, &named, &by)?))
}

pub(in crate::http) fn verify(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("signal")?.finish()?;
    let runtime = tokio::runtime::Handle::current();
    let verifying = call.plane().verify_stream(tenant, call.name("signal"));
    runtime.block_on(verifying)?;
    told(call, tenant)
}

pub(in crate::http) fn receivers(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let receivers = call.plane().tell_receivers(tenant)?;
    Ok(Answer::json(&json!({ "receivers": receivers })))
}

pub(in crate::http) fn show_receiver(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let told = call.plane().tell_receiver(tenant, call.name("receiver"))?;
    Ok(Answer::json(&told))
}

pub(in crate::http) fn put_receiver(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = call.text("receiver")?;
    let name = call.name("receiver");
    call.plane().put_receiver(tenant, name, document)?;
    show_receiver(call, tenant)
}

pub(in crate::http) fn remove_receiver(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane()
        .remove_receiver(tenant, call.name("receiver"))?;
    Ok(Answer::done())
}

fn told(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let told = call.plane().tell_signal(tenant, call.name("signal"))?;
    Ok(Answer::json(&told))
}
