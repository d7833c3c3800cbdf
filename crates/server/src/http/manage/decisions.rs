//! What was decided: what whoever was refused is not told, the tenant reads here.

use std::sync::Arc;

use avouch_store::{DecisionId, WantedDecisions};
use serde_json::json;
use uuid::Uuid;

use super::entries;
use super::issued::read;
use crate::fault::unknown;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

const VERDICTS: [&str; 3] = ["accept", "reject", "undetermined"];

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let verdict = |text: &str| VERDICTS.contains(&text).then(|| text.to_owned());
    let code = |text: &str| {
        let is_code =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
        text.bytes().all(is_code).then(|| text.to_owned())
    };
    let after = |text: &str| DecisionId::parse(&Uuid::try_parse(text).ok()?.to_string());
    let wanted = WantedDecisions {
        verdict: read(
            call,
            "verdict",
            "is accept, reject or undetermined",
            verdict,
        )?,
        code: read(call, "code", "is no code of a reason", code)?,
        before: read(call, "after", "is no `next` of an answer", after)?,
        limit: u32::try_from(entries::limit(call)?).unwrap_or(u32::MAX),
    };
    let (decisions, next) = call.plane().kept_decisions(tenant, &wanted)?;
    let mut answer = json!({ "decisions": decisions });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("next".to_owned(), next.into());
    }
    Ok(Answer::json(&answer))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("decision");
    let id = Uuid::try_parse(name).map(|id| id.to_string()).ok();
    let found = match id {
        Some(id) => call.plane().kept_decision(tenant, &id)?,
        None => None,
    };
    Ok(Answer::json(
        &found.ok_or_else(|| unknown("decision", name))?,
    ))
}
