//! Exchange rules.

use std::sync::Arc;

use avouch_core::exchange::{ExchangeRule, Rules};
use avouch_core::time::Time;
use avouch_store::{RuleId, RuleRecord};
use serde_json::{Value, json};

use super::refusal;
use crate::fault::{Refused, unknown};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::names;
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let rules = call.plane().rules(tenant)?;
    let records: Vec<RuleRecord> =
        tenant.read(|snapshot| snapshot.rules.values().cloned().collect());
    let now = call.plane().now();
    let shown = records.iter().map(|record| to_json(record, &rules, now));
    Ok(Answer::json(&json!({ "rules": shown.collect::<Vec<_>>() })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("rule");
    let found =
        RuleId::parse(name).and_then(|id| tenant.read(|snapshot| snapshot.rules.get(&id).cloned()));
    let record = found.ok_or_else(|| unknown("rule", name))?;
    let rules = call.plane().rules(tenant)?;
    Ok(Answer::json(&to_json(&record, &rules, call.plane().now())))
}

/// The rule is kept as it was sent: it is the document that is read when something is exchanged.
pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = call.members("rule")?.rest();
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    let record = call
        .plane()
        .put_rule(tenant, &superiors, call.name("rule"), &document)?;
    let rules = call.plane().rules(tenant)?;
    Ok(Answer::json(&to_json(&record, &rules, call.plane().now())))
}

pub(in crate::http) fn preview(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let document = call.members("rule")?.rest();
    let name = document.get("name").and_then(Value::as_str);
    let name = name.unwrap_or("(new)").to_owned();
    match call.plane().preview_rule(tenant, &name, &document) {
        Ok(rule) => Ok(Answer::json(&in_words(&rule, call.plane().now()))),
        Err(Refused::Reason(reason)) => Ok(Answer::json(&refusal(&reason))),
        Err(Refused::Fault(fault)) => Err(fault.into()),
    }
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_rule(tenant, call.name("rule"))?;
    Ok(Answer::done())
}

/// Names that rules hold to ids, and what has drifted since.
pub(in crate::http) fn drift(_: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let (names, drift) = names::all(tenant);
    Ok(Answer::json(&json!({ "names": names, "drift": drift })))
}

/// Lets a rule hold a name anew.
pub(in crate::http) fn forget(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let rule = call.name("rule");
    let id = RuleId::parse(rule);
    let is_there = id.is_some_and(|id| tenant.read(|snapshot| snapshot.rules.contains_key(&id)));
    if !is_there {
        return Err(unknown("rule", rule).into());
    }
    let mut members = call.members("name")?;
    let name = members.required_text("name")?;
    members.finish()?;
    call.plane().forget_name(tenant, rule, &name)?;
    Ok(Answer::done())
}

fn in_words(rule: &ExchangeRule, now: Time) -> Value {
    json!({
        "admits": rule.population(),
        "gives": rule.grant_in_words(),
        "remarks": rule.remarks(now),
    })
}

fn to_json(record: &RuleRecord, rules: &Rules, now: Time) -> Value {
    let name = record.id.as_str();
    let usable = rules.usable.iter().find(|rule| rule.name() == name);
    let unusable = rules.unusable.iter().find(|(unusable, _)| unusable == name);
    let mut shown = match (usable, unusable) {
        (Some(rule), _) => match rule.check_bounds() {
            Ok(()) => in_words(rule, now),
            Err(reason) => refusal(&reason),
        },
        (None, Some((_, reason))) => refusal(reason),
        (None, None) => json!({}),
    };
    if let Some(members) = shown.as_object_mut() {
        // What was stored was read before; what cannot be read is shown as the text it is.
        let document = serde_json::from_str(&record.document);
        let document = document.unwrap_or_else(|_| Value::from(record.document.as_str()));
        members.insert("name".to_owned(), name.into());
        members.insert("rule".to_owned(), document);
        members.insert("created".to_owned(), record.created.to_string().into());
    }
    shown
}
