//! What stands in a trust document beside its anchors.

use std::sync::Arc;

use avouch_core::credential::jose::status_list::{Fetched, StatusList};
use avouch_core::ended::{Ending, Mark, Standing};
use avouch_core::id::Digest;
use avouch_core::model::federation::Introspected;
use avouch_core::reason::Reason;
use avouch_core::service::Service;
use serde_json::Value;

use crate::members::{Document, Members};

/// One of `status_lists`: a list as it was issued, or with when it was fetched and from where.
pub(super) fn status_list(index: usize, value: Value) -> Result<Arc<StatusList>, Reason> {
    if let Value::String(text) = &value {
        return StatusList::read(text.trim()).map(Arc::new);
    }
    let path = format!("status_lists[{index}]");
    let mut members = Members::of(Document::Trust, &path, value)?;
    let list = StatusList::read(members.required_text("token")?.trim())?;
    let mut time = |name: &'static str| {
        let time = members.time(name)?;
        time.ok_or_else(|| members.refuse(name, "is missing"))
    };
    let (as_of, next, usable_until) = (time("as_of")?, time("next")?, time("usable_until")?);
    let uri = members.required_text("uri")?;
    members.finish()?;
    Ok(Arc::new(list.fetched(Fetched {
        uri,
        as_of,
        next,
        usable_until,
    })))
}

/// One of `introspected`: what an issuer answered about a token.
pub(super) fn introspected(index: usize, value: Value) -> Result<Arc<Introspected>, Reason> {
    let path = format!("introspected[{index}]");
    let mut members = Members::of(Document::Trust, &path, value)?;
    let issuer = members.required_text("issuer")?;
    let token = members.required_text("token_sha256")?;
    let token = Digest::from_hex(&token)
        .ok_or_else(|| members.refuse("token_sha256", "must be 64 digits of hexadecimal"))?;
    let at = members.time("at")?;
    let at = at.ok_or_else(|| members.refuse("at", "is missing"))?;
    let answer = members.take("answer").unwrap_or_default();
    members.finish()?;
    let answer = answer.to_string();
    Introspected::read(&issuer, token, at, answer.as_bytes()).map(Arc::new)
}

/// One of `services`: which trust models may decide for it.
pub(super) fn read_service(index: usize, value: &Value) -> Result<Service, Reason> {
    let place = format!("services[{index}]");
    match value {
        Value::Object(members) => Service::read_at(&place, members),
        _ => Err(Document::Trust.refuse(format!("`{place}` must be an object"))),
    }
}

/// One of `ended`: whose it was, one name of it, and since when it is believed no more.
pub(super) fn ending(index: usize, value: Value) -> Result<(Mark, Ending), Reason> {
    let path = format!("ended[{index}]");
    let mut members = Members::of(Document::Trust, &path, value)?;
    let issuer = members.required_text("issuer")?;
    let mut marks = Vec::new();
    for (name, mark) in Mark::KINDS {
        marks.extend(members.text(name)?.map(|text| mark(&issuer, &text)));
    }
    let before = members.time("before")?;
    let before = before.ok_or_else(|| members.refuse("before", "is missing"))?;
    let is_closed = members.flag("closed")?.unwrap_or(false);
    let event = members.text("event")?;
    let by = members.text("by")?;
    members.finish()?;
    let [mark] = marks.as_slice() else {
        let names = Mark::KINDS.map(|(name, _)| format!("`{name}`")).join(", ");
        return Err(Document::Trust.refuse(format!("`{path}` needs one of {names}")));
    };
    let standing = Standing {
        at: before,
        is_closed,
    };
    let event = event.unwrap_or_else(|| "ended".to_owned());
    let by = by.unwrap_or(issuer);
    Ok((*mark, Ending::standing(before, standing, event, by)))
}
