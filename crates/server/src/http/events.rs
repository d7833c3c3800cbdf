//! Where transmitters send events (RFC 8935).

use avouch_core::reason::Reason;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LANGUAGE;
use serde_json::json;

use super::answer::Answer;
use super::call::{Call, Stop};
use crate::fault::Refused;
use crate::signals::{description_of, may_come_again, word_of};

/// The one type of what is sent (RFC 8935 2.1).
const EVENT: &str = "application/secevent+jwt";

/// Takes an event. Whoever has sent it learns that it is taken, not what came of it.
pub(super) fn receive(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let named = call.content_type.as_deref().unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(EVENT) {
        let detail = format!("its `Content-Type` must be `{EVENT}`");
        return Ok(refused(call, &Reason::IssueEvent { detail }));
    }
    let token = match call.text("event") {
        Ok(token) => token.trim(),
        Err(reason) => return Ok(refused(call, &reason)),
    };
    let view = || call.view(&tenant);
    match call.plane().receive_event(&tenant, token, &view) {
        // RFC 8935 2.2: one that came before is taken like the first.
        Ok(_) => Ok(Answer::accepted()),
        Err(Refused::Reason(reason)) if says_when(&reason) => {
            Err(Stop::Refused(Refused::Reason(reason)))
        }
        // What a transmitter is told is wrong with an event it does not send again.
        Err(Refused::Reason(reason)) if may_come_again(&reason) => {
            Err(Stop::Unready("the event cannot be judged or kept now"))
        }
        Err(Refused::Reason(reason)) => Ok(refused(call, &reason)),
        Err(fault) => Err(fault.into()),
    }
}

/// Whether a refusal tells by itself that the same may be sent again.
fn says_when(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::IssueEndingsExcess { .. }
            | Reason::IssueEventsExcess { .. }
            | Reason::IssueKeyAwaited { .. }
    )
}

/// RFC 8935 2.3: one of a few words, and a sentence that gives away nothing but what was sent; beside
/// them the code, and the number under which the log says why.
fn refused(call: &Call, reason: &Reason) -> Answer {
    let (decision, code) = (&call.id, reason.code());
    tracing::info!(
        decision,
        tenant = call.name("tenant"),
        code,
        "an event was not taken: {}",
        reason.sentence()
    );
    let told = json!({
        "err": word_of(reason), "description": description_of(reason),
        "code": code, "decision": decision,
    });
    // RFC 8935 2.3: in which language the description is.
    Answer::json(&told)
        .with_status(StatusCode::BAD_REQUEST)
        .with(CONTENT_LANGUAGE, "en")
}
