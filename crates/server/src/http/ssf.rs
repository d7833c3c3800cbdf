//! The tenant as a transmitter of events: where it is, and what its receivers do with their streams
//! (OpenID SSF 1.0 7, 8).

use std::sync::Arc;

use avouch_api::members::Document;
use avouch_core::reason::Reason;
use avouch_core::signal::StreamStatus;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::{Call, Stop};
use crate::signals::{Poll, Receiver, Step};
use crate::tenant::Tenant;

/// How many events are given to one that asks and names no number.
const USUAL_EVENTS: u32 = 100;

/// Where everything is (SSF 1.0 7.1).
pub(super) fn configuration(call: &Call) -> Result<Answer, Stop> {
    let tenant = call.any_tenant()?;
    let issuer = call.plane().issuer_of(tenant.id());
    let document = json!({
        "spec_version": "1_0",
        "jwks_uri": format!("{issuer}/keys"),
        "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
        "configuration_endpoint": format!("{issuer}/ssf/streams"),
        "status_endpoint": format!("{issuer}/ssf/status"),
        "add_subject_endpoint": format!("{issuer}/ssf/subjects/add"),
        "remove_subject_endpoint": format!("{issuer}/ssf/subjects/remove"),
        "verification_endpoint": format!("{issuer}/ssf/verify"),
        "critical_subject_members": ["user", "session"],
        "default_subjects": "ALL",
        "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
        "issuer": issuer,
    });
    let seconds = call.plane().settings().bundle_refresh_hint;
    Ok(Answer::kept(call, &document, seconds))
}

/// Makes a stream.
pub(super) fn create(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let members = call.members("stream")?;
    let stream = call
        .plane()
        .put_stream(&tenant, &receiver, members, Step::Create)?;
    Ok(Answer::json(&stream).with_status(StatusCode::CREATED))
}

/// Shows a stream by its name, or all there are.
pub(super) fn show(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let stream = call
        .plane()
        .stream_of(&tenant, &receiver, call.asked("stream_id"));
    match (stream, call.asked("stream_id")) {
        (Ok(stream), Some(_)) => Ok(Answer::json(&stream)),
        (Ok(stream), None) => Ok(Answer::json(&json!([stream]))),
        (Err(refused), Some(_)) => Err(refused.into()),
        (Err(_), None) => Ok(Answer::json(&json!([]))),
    }
}

/// Changes what is named of a stream.
pub(super) fn update(call: &Call) -> Result<Answer, Stop> {
    put(call, Step::Update)
}

/// Puts a stream in the place of itself.
pub(super) fn replace(call: &Call) -> Result<Answer, Stop> {
    put(call, Step::Replace)
}

fn put(call: &Call, step: Step) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let members = call.members("stream")?;
    let stream = call.plane().put_stream(&tenant, &receiver, members, step)?;
    Ok(Answer::json(&stream))
}

/// Ends a stream.
pub(super) fn delete(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let name = stream_id(call)?;
    call.plane().delete_stream(&tenant, &receiver, name)?;
    Ok(Answer::done())
}

/// Which stream is meant, where the address must say so.
fn stream_id(call: &Call) -> Result<&str, Reason> {
    let named = call.asked("stream_id").filter(|name| !name.is_empty());
    let missing = || "`stream_id` is missing".to_owned();
    named.ok_or_else(|| Document::Request("query of the address").refuse(missing()))
}

/// How a stream goes on.
pub(super) fn status(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let name = stream_id(call)?;
    Ok(Answer::json(
        &call.plane().status_of(&tenant, &receiver, name)?,
    ))
}

/// Lets a stream go on otherwise.
pub(super) fn put_status(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let mut members = call.members("status")?;
    let name = members.required_text("stream_id")?;
    let statuses = [
        ("enabled", StreamStatus::Enabled),
        ("paused", StreamStatus::Paused),
        ("disabled", StreamStatus::Disabled),
    ];
    let status = members.choice("status", &statuses)?;
    let status = status.ok_or_else(|| members.refuse("status", "is missing"))?;
    let why = members.text("reason")?;
    members.finish()?;
    let plane = call.plane();
    plane.put_status(&tenant, &receiver, &name, status, why.as_deref())?;
    Ok(Answer::json(&plane.status_of(&tenant, &receiver, &name)?))
}

/// Tells a receiver of a subject from now on.
pub(super) fn add_subject(call: &Call) -> Result<Answer, Stop> {
    subject(call, true)?;
    Ok(Answer::json(&json!({})))
}

/// Tells a receiver nothing of a subject any more.
pub(super) fn remove_subject(call: &Call) -> Result<Answer, Stop> {
    subject(call, false)?;
    Ok(Answer::done())
}

fn subject(call: &Call, is_told: bool) -> Result<(), Stop> {
    let (tenant, receiver) = receiver(call)?;
    let mut members = call.members("subject")?;
    let name = members.required_text("stream_id")?;
    let subject = members.take("subject").filter(Value::is_object);
    let subject = subject.ok_or_else(|| members.refuse("subject", "must be an object"))?;
    members.flag("verified")?;
    members.finish()?;
    call.plane()
        .put_subject(&tenant, &receiver, &name, &subject, is_told)?;
    Ok(())
}

/// Has an event sent that says that somebody is here.
pub(super) fn verify(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let mut members = call.members("verification")?;
    let name = members.required_text("stream_id")?;
    let state = members.text("state")?;
    members.finish()?;
    let plane = call.plane();
    plane.ask_verification(&tenant, &receiver, &name, state.as_deref())?;
    Ok(Answer::done())
}

/// Gives events to a receiver that asks for them (RFC 8936).
pub(super) fn poll(call: &Call) -> Result<Answer, Stop> {
    let (tenant, receiver) = receiver(call)?;
    let mut members = call.members_if_any("poll")?;
    let most = members.count("maxEvents")?.unwrap_or(USUAL_EVENTS);
    let at_once = members.flag("returnImmediately")?.unwrap_or(false);
    let taken = members.text_list("ack")?;
    let refused = match members.take("setErrs") {
        None => Vec::new(),
        Some(Value::Object(refused)) => refused.keys().cloned().collect(),
        Some(_) => return Err(members.refuse("setErrs", "must be an object").into()),
    };
    members.finish()?;
    let poll = Poll {
        most: usize::try_from(most).unwrap_or(usize::MAX),
        at_once,
        taken,
        refused,
    };
    let (sets, has_more) = call.plane().answer_poll(&tenant, &receiver, &poll)?;
    let mut answer = json!({ "sets": sets });
    if let (true, Some(members)) = (has_more, answer.as_object_mut()) {
        members.insert("moreAvailable".to_owned(), true.into());
    }
    Ok(Answer::json(&answer))
}

/// Who calls, as a receiver of the tenant in the address.
fn receiver(call: &Call) -> Result<(Arc<Tenant>, Receiver), Stop> {
    let tenant = call.any_tenant()?;
    let caller = call.caller()?;
    let receiver = call.plane().receiver_of(&tenant, &caller)?;
    Ok((tenant, receiver))
}
