//! Whether a token of the tenant itself holds, for whoever it was shown to (RFC 7662).

use std::sync::Arc;

use avouch_core::reason::Reason;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::{Call, Stop};
use super::decide::LONGEST_LOOK;
use super::oauth;
use crate::access::{Noun, Verb};
use crate::exchange::request::IntrospectionRequest;
use crate::exchange::{Exchange, Shown};
use crate::fault::Refused;
use crate::tenant::Tenant;

/// Answers `active` and what the token says, or nothing but that it does not hold: why is nobody's
/// business here (2.2).
pub(super) fn answer(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    // Another server may have answered already that the token has ended. While the store does not answer,
    // what is in memory counts.
    call.plane().be_current(&tenant, LONGEST_LOOK);
    let tenant = call.any_tenant()?;
    // What cannot be read may be that the token has ended.
    call.plane().fit(&tenant)?;
    if call.shows_basic() {
        return Err(Stop::OAuth(Box::new(oauth::Refusal::of_basic())));
    }
    let refuse = |reason: Reason| Stop::OAuth(Box::new(oauth::Refusal::of(reason)));
    let sent = call.form("introspection request").map_err(refuse)?;
    let request = IntrospectionRequest::read(sent).map_err(refuse)?;
    let known = call.http.views.known(call, &tenant)?;
    let known_by = (&known, &call.http.views);
    let exchange = Exchange::at(call.plane(), &tenant, known_by, &call.id);
    if !is_administrator(call, &tenant)? {
        let shown = Shown {
            proofs: &[],
            certificates: call.certificates(),
        };
        match exchange.authenticated(&request, shown) {
            Ok(()) => {}
            Err(Refused::Reason(reason)) => return Err(refuse(*reason)),
            Err(Refused::Fault(fault)) => return Err(fault.into()),
        }
    }
    let told = match exchange.introspect(&request.token) {
        Ok(Some(mut claims)) => {
            claims.insert("active".to_owned(), true.into());
            Value::Object(claims)
        }
        Ok(None) => json!({ "active": false }),
        Err(fault) => return Err(fault.into()),
    };
    Ok(Answer::json(&told))
}

/// Whoever may read what the tenant trusts may ask, too.
fn is_administrator(call: &Call, tenant: &Arc<Tenant>) -> Result<bool, Stop> {
    if !call.has_authorization() {
        return Ok(false);
    }
    let Some(caller) = call.caller_if_any()? else {
        return Ok(false);
    };
    let name = tenant.id().as_str();
    let permitted = call.plane().permit(&caller, name, Verb::Read, Noun::Rule);
    Ok(permitted.is_ok())
}
