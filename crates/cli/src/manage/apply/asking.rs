//! Asking a server what it would refuse of a plan, without having any of it done.
//!
//! Each object is looked at beside what is there now. What another object of the same files is needed
//! for cannot be told before that one is there, so a refusal that may come of its absence is none yet.

use serde_json::Value;

use super::super::client::Client;
use super::carry_out::{Way, carry_out};
use super::documents::{Name, Problem};
use super::kind::Kind;
use super::plan::{Action, Outcome, Step};
use crate::fault::Fault;

/// The code of a refusal for want of room.
const NO_ROOM: &str = "issue.quota_exceeded";

/// The members by whose value one object names another, besides its name.
const OTHER_NAMES: [&str; 3] = ["entity", "issuer", "trust_domain"];

/// Notes of each step what a server would refuse of it.
pub(super) fn ask(client: &Client, steps: &mut [Step]) -> Result<(), Fault> {
    let plan = steps.to_vec();
    for step in steps.iter_mut() {
        if let Some(tenant) = new_tenant_of(step, &plan) {
            step.outcome = Outcome::NotKnown {
                until: tenant.clone(),
                now: None,
            };
        }
    }
    let asked = carry_out(client, steps, Way::Asked);
    for (index, step) in steps.iter_mut().enumerate() {
        let before = plan.get(..index).unwrap_or_default();
        if let Outcome::Refused(problem) = &step.outcome
            && let Some(until) = needed(step, problem, before)
        {
            step.outcome = Outcome::NotKnown {
                until: until.clone(),
                now: Some(problem.clone()),
            };
        }
    }
    asked
}

/// The tenant that an object is of, or below, and that is to be made first.
fn new_tenant_of<'a>(step: &Step, plan: &'a [Step]) -> Option<&'a Name> {
    let tenant = match step.name.kind {
        Kind::Tenant => step.spec.get("parent")?.as_str()?,
        _ => step.name.tenant.as_str(),
    };
    let mut tenants = plan.iter().filter(|other| {
        let is_new = other.name.kind == Kind::Tenant && other.action == Action::Create;
        is_new && other.name.name == tenant
    });
    tenants.next().map(|other| &other.name)
}

/// What is to be made or changed before an object, and may be why it is refused now.
fn needed<'a>(step: &Step, problem: &Problem, before: &'a [Step]) -> Option<&'a Name> {
    let mut before = before.iter().filter(|other| {
        let is_to_come = matches!(other.action, Action::Create | Action::Change(_));
        let is_room = other.name.kind == Kind::Quota && problem.code == NO_ROOM;
        is_to_come && (is_room || needs(step, other))
    });
    before.next().map(|other| &other.name)
}

fn needs(step: &Step, other: &Step) -> bool {
    // A trust domain may be of a tenant above.
    if other.name.kind != Kind::TrustDomain && other.name.tenant != step.name.tenant {
        return false;
    }
    let name = other.name.name.as_str();
    let of_pin = step.name.name.split_once('/').map(|(issuer, _)| issuer);
    if other.name.kind == Kind::Issuer && of_pin == Some(name) {
        return true;
    }
    let called = OTHER_NAMES.iter();
    let called = called.filter_map(|name| other.spec.get(*name)?.as_str());
    let mut called = called.chain([name]).filter(|name| !name.is_empty());
    called.any(|name| step.spec.values().any(|value| names(value, name)))
}

/// Whether a value has a name in it, or an identity of the trust domain of that name.
fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => {
            let id = text.strip_prefix("spiffe://");
            let domain = id.and_then(|id| id.split('/').next());
            text == name || domain == Some(name)
        }
        Value::Array(list) => list.iter().any(|one| names(one, name)),
        Value::Object(members) => members.values().any(|one| names(one, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
