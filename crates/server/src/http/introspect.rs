//! Whether a token of the tenant itself holds, for whoever it was shown to (RFC 7662), and its end before its
//! time, for whoever has it in hand (RFC 7009).

use std::sync::Arc;

use avouch_core::reason::Reason;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::{Call, Stop};
use super::decide::LONGEST_LOOK;
use super::oauth;
use crate::access::{Noun, Verb};
use crate::decisions::Record;
use crate::exchange::request::IntrospectionRequest;
use crate::exchange::{Exchange, Revoking, Shown};
use crate::fault::Refused;
use crate::tenant::Tenant;

/// Answers `active` and what the token says, or nothing but that it does not hold: why is nobody's
/// business here (2.2).
pub(super) fn answer(call: &Call) -> Result<Answer, Stop> {
    let (tenant, request) = asked(call, "introspection request")?;
    let known = call.known(&tenant)?;
    let known_by = (&known, &call.http.views);
    let exchange = Exchange::at(call.plane(), &tenant, known_by, &call.id);
    if administrator(call, &tenant, Verb::Read, Noun::Rule)?.is_none() {
        let shown = Shown {
            proofs: &[],
            certificates: call.certificates(),
        };
        exchange
            .authenticated(&request, shown)
            .map_err(|refused| stopped(call, &tenant, "introspect", &exchange, refused))?;
    }
    let told = exchange.introspect(&request.token);
    let (place, course) = (call.decided("introspect"), exchange.course());
    let (told, record) = match told {
        Ok(mut claims) => {
            claims.insert("active".to_owned(), true.into());
            let record = Record::of(place, "accept", course);
            (Value::Object(claims), Some(record))
        }
        Err(reason) => {
            let record = reason.map(|reason| Record::refused(place, course, &reason));
            (json!({ "active": false }), record)
        }
    };
    if let Some(record) = record {
        call.plane().keep_decision(&tenant, record);
    }
    Ok(Answer::json(&told))
}

/// Ends a token, and what was exchanged for it, for whoever has it in hand (RFC 7009). What is no token of
/// the tenant, or was over, is answered like what has been ended (2.2).
pub(super) fn revoke(call: &Call) -> Result<Answer, Stop> {
    let (tenant, request) = asked(call, "revocation request")?;
    let known = call.known(&tenant)?;
    let known_by = (&known, &call.http.views);
    let exchange = Exchange::at(call.plane(), &tenant, known_by, &call.id);
    let revoking = match administrator(call, &tenant, Verb::Write, Noun::Signal)? {
        Some(name) => Revoking::Administrator(name),
        None => Revoking::Holder(Shown {
            proofs: &call.dpop,
            certificates: call.certificates(),
        }),
    };
    exchange
        .revoke(&request, revoking)
        .map_err(|refused| stopped(call, &tenant, "revoke", &exchange, refused))?;
    Ok(Answer::json(&json!({})))
}

/// About which token of which tenant something is asked.
fn asked(call: &Call, what: &'static str) -> Result<(Arc<Tenant>, IntrospectionRequest), Stop> {
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
    let sent = call.form(what).map_err(refuse)?;
    let request = IntrospectionRequest::read(sent).map_err(refuse)?;
    Ok((tenant, request))
}

/// A refusal, which is kept for the tenant.
fn stopped(
    call: &Call,
    tenant: &Arc<Tenant>,
    request: &'static str,
    exchange: &Exchange<'_>,
    refused: Refused,
) -> Stop {
    match refused {
        Refused::Reason(reason) => {
            let (place, course) = (call.decided(request), exchange.course());
            let record = Record::refused(place, course, &reason);
            call.plane().keep_decision(tenant, record);
            Stop::OAuth(Box::new(oauth::Refusal::of(*reason)))
        }
        Refused::Fault(fault) => fault.into(),
    }
}

/// Who asks as someone who may do this to the tenant anyway.
fn administrator(
    call: &Call,
    tenant: &Arc<Tenant>,
    verb: Verb,
    noun: Noun,
) -> Result<Option<String>, Stop> {
    if !call.has_authorization() {
        return Ok(None);
    }
    let Some(caller) = call.caller_if_any()? else {
        return Ok(None);
    };
    let name = tenant.id().as_str();
    let permitted = call.plane().permit(&caller, name, verb, noun);
    Ok(permitted.is_ok().then(|| caller.id.to_string()))
}
