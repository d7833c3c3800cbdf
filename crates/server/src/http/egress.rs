//! APIs of others, used with a key that nobody here is shown.

use super::answer::Answer;
use super::call::{Call, Rest, Stop};
use crate::egress::{Asked, begin as begin_use};
use crate::fault::Refused;

/// Finds out who asks and whether it may, and has the API answer.
pub(super) fn begin(call: &Call) -> Result<Rest, Stop> {
    let caller = call.caller()?;
    let tenant = call.any_tenant()?;
    let forwarded = call.forwarded();
    let asked = Asked {
        egress: call.name("egress").to_owned(),
        method: call.route.method.name(),
        path: forwarded.rest(),
        query: forwarded.query.clone(),
        headers: forwarded.headers.clone(),
        body: call.body.clone(),
        is_bearer: call.has_authorization(),
    };
    let decision = call.id.clone();
    let name = tenant.id().to_string();
    let begun = begin_use(call.plane(), &tenant, &caller, asked, decision.clone());
    let begun = begun.inspect_err(|refused| note(&decision, &name, &caller.id, refused))?;
    Ok(Rest::of(async move {
        let used = begun.made().await;
        let used = used.inspect_err(|refused| note(&decision, &name, &caller.id, refused))?;
        Ok(Answer::passed_on(used.status, used.headers, used.body))
    }))
}

fn note(decision: &str, tenant: &str, subject: &avouch_core::id::SpiffeId, refused: &Refused) {
    if let Refused::Reason(reason) = refused {
        tracing::info!(
            decision, tenant, %subject, code = reason.code(),
            "an API of others was not used: {}", reason.sentence()
        );
    }
}
