//! What administrators do: objects read from what they send, and written as what they see.

pub(super) mod admins;
pub(super) mod anchors;
pub(super) mod attestors;
pub(super) mod audit;
pub(super) mod authorities;
pub(super) mod bounds;
pub(super) mod certificates;
pub(super) mod clusters;
pub(super) mod decisions;
pub(super) mod egress;
pub(super) mod entries;
pub(super) mod federations;
pub(super) mod issued;
pub(super) mod issuers;
pub(super) mod log;
pub(super) mod nodes;
pub(super) mod pins;
pub(super) mod quotas;
pub(super) mod removals;
pub(super) mod rules;
pub(super) mod services;
pub(super) mod signals;
pub(super) mod tenants;
pub(super) mod why_not;

use avouch_core::reason::Reason;
use serde_json::{Map, Value, json};

/// A refusal of one element of a batch.
pub(super) fn refusal(reason: &Reason) -> Value {
    json!({ "problem": {
        "code": reason.code(),
        "detail": reason.sentence(),
        "hint": reason.hint(),
    }})
}

/// An object without the members that say nothing, so that what is read can be sent again.
fn said(members: Value) -> Value {
    let Value::Object(members) = members else {
        return members;
    };
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    };
    let said: Map<String, Value> = members
        .into_iter()
        .filter(|(_, value)| is_said(value))
        .collect();
    Value::Object(said)
}
