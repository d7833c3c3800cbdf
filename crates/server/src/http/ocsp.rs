//! Where verifiers ask about one certificate (RFC 6960 A, RFC 5019).

use avouch_issuer::status_response::Unanswered;
use axum::http::header::CACHE_CONTROL;
use base64ct::{Base64, Encoding};

use super::answer::Answer;
use super::call::{Call, Stop};
use crate::certificate_status::StatusAnswer;
use crate::fault::Refused;

/// The type of what is answered (RFC 6960 A.2).
const RESPONSE: &str = "application/ocsp-response";

/// The longest request. One about 32 certificates has some 3 kB.
pub(super) const LONGEST: usize = 16 << 10;

/// A request in the body, whatever its `Content-Type` says: it is read strictly and changes nothing.
pub(super) fn posted(call: &Call) -> Result<Answer, Stop> {
    Ok(match answered(call, &call.body)? {
        StatusAnswer::Signed { der, .. } => Answer::bytes(RESPONSE, der),
        StatusAnswer::Not(why) => Answer::bytes(RESPONSE, why.to_der()),
    })
}

/// A request in the address, whose answer may be kept in between (RFC 5019 5 and 6).
pub(super) fn fetched(call: &Call) -> Result<Answer, Stop> {
    let asked = call.name("request");
    let request = Some(asked).filter(|asked| asked.len() <= LONGEST);
    let Some(request) = request.and_then(|asked| Base64::decode_vec(asked).ok()) else {
        return Ok(Answer::bytes(RESPONSE, Unanswered::Malformed.to_der()));
    };
    let (der, until) = match answered(call, &request)? {
        StatusAnswer::Signed { der, until } => (der, until),
        StatusAnswer::Not(why) => return Ok(Answer::bytes(RESPONSE, why.to_der())),
    };
    let left = u32::try_from(until.since(call.plane().now())).unwrap_or_default();
    let seconds = call.plane().settings().bundle_refresh_hint.min(left);
    let kept = format!("public, max-age={seconds}, no-transform, must-revalidate");
    Ok(Answer::kept_bytes(call, RESPONSE, der, seconds).with(CACHE_CONTROL, &kept))
}

/// What is answered. What passes is told as OCSP tells it (RFC 6960 4.2.1), so that who asks asks again.
fn answered(call: &Call, request: &[u8]) -> Result<StatusAnswer, Stop> {
    let tenant = call.any_tenant();
    let answer = tenant.and_then(|tenant| call.plane().certificate_status(&tenant, request));
    match answer {
        Err(Refused::Fault(fault)) if fault.retryable() => {
            tracing::warn!(%fault, "a question about certificates has to wait");
            Ok(StatusAnswer::Not(Unanswered::TryLater))
        }
        other => Ok(other?),
    }
}
