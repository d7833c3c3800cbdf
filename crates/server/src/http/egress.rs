//! APIs of others, used with a key that nobody here is shown.

use serde_json::json;

use super::answer::Answer;
use super::call::{Call, Rest, Stop};
use crate::caller::Caller;
use crate::egress::{Asked, Shown, Webhook, begin as begin_use, check_webhook};
use crate::fault::Refused;

/// Finds out who asks and whether it may, and has the API answer.
pub(super) fn begin(call: &Call) -> Result<Rest, Stop> {
    let (caller, shown) = caller(call, "egress")?;
    let tenant = call.any_tenant()?;
    call.plane().fit(&tenant)?;
    let forwarded = call.forwarded();
    let asked = Asked {
        egress: call.name("egress").to_owned(),
        method: call.route.method.name(),
        path: forwarded.rest(),
        query: forwarded.query.clone(),
        headers: forwarded.headers.clone(),
        body: call.body.clone(),
        shown,
    };
    let decision = call.id.clone();
    let name = tenant.id().to_string();
    let begun = begin_use(call.plane(), &tenant, &caller, asked, decision.clone());
    let begun = begun.inspect_err(|refused| note(&decision, &name, &caller.id, refused))?;
    // It has a place of its own, apart from those of other requests.
    Ok(Rest::elsewhere(async move {
        let used = begun.made().await;
        let used = used.inspect_err(|refused| note(&decision, &name, &caller.id, refused))?;
        Ok(Answer::passed_on(used.status, used.headers, used.body))
    }))
}

/// Tells whoever has received a webhook whether the API has sent it.
pub(super) fn webhook(call: &Call) -> Result<Answer, Stop> {
    let (caller, shown) = caller(call, "webhooks")?;
    let tenant = call.any_tenant()?;
    call.plane().fit(&tenant)?;
    let egress = call.name("egress");
    let asked = Webhook {
        egress,
        headers: &call.forwarded().headers,
        body: &call.body,
        shown,
    };
    let checked = check_webhook(call.plane(), &tenant, &caller, asked);
    let name = tenant.id().as_str();
    let made = checked.inspect_err(|refused| note(&call.id, name, &caller.id, refused))?;
    tracing::info!(
        decision = call.id, tenant = name, egress, subject = %caller.id, "a webhook is one"
    );
    let made = made.map(|made| made.to_string());
    Ok(Answer::json(&json!({ "egress": egress, "made": made })))
}

/// Who asks, by a token and a proof of the key that it is bound to (RFC 9449 7.1), by a token alone,
/// or by the certificate of the connection.
fn caller(call: &Call, what: &str) -> Result<(Caller, Shown), Stop> {
    let Some(token) = call.bound_token()? else {
        let shown = match call.has_authorization() {
            true => Shown::Bearer,
            false => Shown::Certificate,
        };
        return Ok((call.caller()?, shown));
    };
    // Whose API it is says the address; a tenant that is not there is nobody's audience.
    let tenant = call.any_tenant()?;
    let (plane, method) = (call.plane(), call.route.method.name());
    let (issuer, egress) = (plane.issuer_of(tenant.id()), call.name("egress"));
    let audience = format!("{issuer}/egress/{egress}");
    let address = match what {
        "egress" => format!("{audience}{}", call.forwarded().rest()),
        other => format!("{issuer}/{other}/{egress}"),
    };
    let found = plane.identify_holder(token, &call.dpop, method, &address, audience);
    match found {
        Ok((caller, proved)) => Ok((call.is_by(caller), Shown::Proof(Box::new(proved)))),
        Err(Refused::Reason(reason)) => Err(Stop::Unauthenticated(reason)),
        Err(Refused::Fault(fault)) => Err(fault.into()),
    }
}

fn note(decision: &str, tenant: &str, subject: &avouch_core::id::SpiffeId, refused: &Refused) {
    if let Refused::Reason(reason) = refused {
        tracing::info!(
            decision, tenant, %subject, code = reason.code(),
            "nothing of an API of others: {}", reason.sentence()
        );
    }
}
