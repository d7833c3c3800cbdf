//! Requests that expect something to be there (RFC 9110 13.1). What has a name of its own and is put by it
//! has an `ETag`, and its PUT and DELETE look at `If-Match` and `If-None-Match`; what has none meets no
//! tag. No request is done as if it had expected nothing.

use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_store::{
    AdminId, AnchorId, AttestorId, EgressId, EntryId, IssuerId, Key, RuleId, ServiceId, SignalId,
    SignalKey, SignalKind,
};
use axum::http::StatusCode;
use axum::http::header::{ETAG, LOCATION};

use super::answer::Answer;
use super::call::{Call, Stop};
use super::route::{Method, Route};
use crate::preconditions::{Conditions, Target, tag_of, targeting};
use crate::tenant::Tenant;

/// Does what is asked for of a tenant, if that is what the request expects to be there.
pub(super) fn run(
    call: &Call,
    tenant: &Arc<Tenant>,
    work: impl FnOnce() -> Result<Answer, Stop>,
) -> Result<Answer, Stop> {
    let Some((object, key)) = target(call) else {
        refuse_blindly(call)?;
        return work();
    };
    let tag = tenant.read(|snapshot| tag_of(snapshot, &key));
    if call.route.method == Method::Get {
        let answer = work()?;
        // If it has changed since, whoever names this tag is refused, and reads it again.
        return Ok(answer.with(ETAG, tag.as_deref().unwrap_or_default()));
    }
    let conditions = conditions(call);
    let name = call.name(last_name(call.route)).to_owned();
    if !conditions.meet(tag.is_some(), tag.as_deref()) {
        return Err(Conditions::refuse(object, &name).into());
    }
    let target = Target {
        tenant: tenant.id().clone(),
        key,
        object,
        name,
        conditions,
        done: None,
    };
    let (answer, done) = targeting(target, work);
    let answer = answer?;
    if call.route.method == Method::Delete || answer.is_of_dry_run {
        return Ok(answer);
    }
    let is_new = done.as_ref().is_some_and(|done| done.is_new);
    // Where nothing was to be changed, it is as it was.
    let tag = done.map_or(tag, |done| done.tag);
    let answer = answer.with(ETAG, tag.as_deref().unwrap_or_default());
    Ok(match is_new {
        // RFC 9110 9.3.4.
        true => answer
            .with_status(StatusCode::CREATED)
            .with(LOCATION, &path(call)),
        false => answer,
    })
}

/// Refuses what expects something of what has no tag, where something is changed.
///
/// # Errors
///
/// `issue.precondition_failed`.
pub(super) fn refuse_blindly(call: &Call) -> Result<(), Stop> {
    if call.route.method == Method::Get || !call.route.path.starts_with("/v1/") {
        return Ok(());
    }
    let conditions = conditions(call);
    // Nor is it known here whether anything is there, which `*` asks.
    let names_any = |names: &String| names.split(',').any(|name| name.trim() == "*");
    match conditions.if_match.is_none() && !conditions.if_none_match.as_ref().is_some_and(names_any)
    {
        true => Ok(()),
        false => Err(Conditions::refuse("resource", call.route.path).into()),
    }
}

fn conditions(call: &Call) -> Conditions {
    Conditions {
        if_match: call.if_match.clone(),
        if_none_match: call.if_none_match.clone(),
    }
}

/// What a request is about, if it has a tag.
fn target(call: &Call) -> Option<(&'static str, Key)> {
    let of = call.route.tagged()?;
    let name = call.name(last_name(call.route));
    let signal = |kind| {
        let id = SignalId::parse(name)?;
        Some(Key::Signal(SignalKey { kind, id }))
    };
    let key = match of {
        "administrator" => AdminId::parse(name).map(Key::Admin),
        "anchor" => AnchorId::parse(name).map(Key::Anchor),
        "attestor" => AttestorId::parse(name).map(Key::Attestor),
        "egress" => EgressId::parse(name).map(Key::Egress),
        "registration entry" => EntryId::parse(name).map(Key::Entry),
        "federation relation" => TrustDomain::parse(name).ok().map(Key::Federation),
        "issuer" => IssuerId::parse(name).map(Key::Issuer),
        "quota" => Some(Key::Quota),
        "receiver" => signal(SignalKind::Receiver),
        "rule" => RuleId::parse(name).map(Key::Rule),
        "service" => ServiceId::parse(name).map(Key::Service),
        "signal" => signal(SignalKind::Signal),
        _ => None,
    };
    Some((of, key?))
}

/// The last name in an address.
fn last_name(route: &Route) -> &'static str {
    let last = route.path.rsplit('{').next().unwrap_or_default();
    last.split('}').next().unwrap_or_default()
}

/// The address of what was put. All names of ours can stand in one as they are.
fn path(call: &Call) -> String {
    let parts = call.route.path.split('/').map(|part| {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        name.map_or(part, |name| call.name(name))
    });
    parts.collect::<Vec<_>>().join("/")
}
