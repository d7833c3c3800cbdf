//! `rule`: who may exchange what they have for what.

use std::path::Path;

use serde_json::{Value, json};

use super::arguments::{RuleArguments, RuleCommand};
use super::client::Client;
use super::table::Column;
use super::{path, pretty, read, segment, tell_list, tell_one, tell_removed};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::output;

const IN_LIST: [Column; 4] = [
    ("RULE", "name"),
    ("ADMITS", "admits"),
    ("GIVES", "gives"),
    ("REFUSED", "refused"),
];

const ALONE: [Column; 7] = [
    ("RULE", "name"),
    ("ADMITS", "admits"),
    ("GIVES", "gives"),
    ("MIND", "remarks"),
    ("REFUSED", "refused"),
    ("FIX", "hint"),
    ("SINCE", "created"),
];

const DRIFT: [Column; 5] = [
    ("KIND", "kind"),
    ("RULE", "rule"),
    ("TELLS", "tells"),
    ("FIRST SEEN", "first_seen"),
    ("CHANGE", "change"),
];

/// `rule`.
pub fn rule(arguments: &RuleArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("rules/{}", segment(name)?));
    match &arguments.command {
        RuleCommand::Delete { rule } => {
            client.delete(&at(rule)?)?;
            tell_removed(common, rule)
        }
        RuleCommand::Drift => drift(&client, common),
        RuleCommand::Forget { rule, name } => {
            let path = format!("{}/forget-name", at(rule)?);
            client.post(&path, &json!({ "name": name }))?;
            tell_removed(common, name)
        }
        RuleCommand::List => {
            let answer = client.get(&path(common, "rules")?)?;
            if common.output == Format::Json {
                return tell_list(common, &answer, "rules", &IN_LIST);
            }
            let rules = answer.get("rules").and_then(Value::as_array);
            let rules: Vec<Value> = rules.into_iter().flatten().map(with_problem).collect();
            tell_list(common, &json!({ "rules": rules }), "rules", &IN_LIST)
        }
        RuleCommand::Preview { file } => preview(&client, file, common),
        RuleCommand::Put { rule, file } => {
            let answer = client.put(&at(rule)?, &read(file)?)?;
            tell(common, &answer)
        }
        RuleCommand::Show { rule } => {
            let answer = client.get(&at(rule)?)?;
            if common.output == Format::Json {
                // As it was sent, so that it can be changed and sent again.
                let document = answer.get("rule").cloned().unwrap_or_default();
                output::data(&pretty(&document))?;
                return Ok(Exit::Accepted);
            }
            tell(common, &answer)
        }
    }
}

fn preview(client: &Client, file: &Path, common: &Common) -> Result<Exit, Fault> {
    let answer = client.post(&path(common, "preview-rule")?, &read(file)?)?;
    tell(common, &answer)?;
    Ok(match answer.get("problem") {
        Some(_) => Exit::Rejected,
        None => Exit::Accepted,
    })
}

/// What has drifted; how it ends says how grave it is.
fn drift(client: &Client, common: &Common) -> Result<Exit, Fault> {
    let answer = client.get(&path(common, "drift")?)?;
    tell_list(common, &answer, "drift", &DRIFT)?;
    let drift = answer.get("drift").and_then(Value::as_array);
    let is_resurrected = |one: &Value| one["kind"] == "resurrected";
    // What the rule admits under either name needs nobody to change anything.
    let is_admitted = |one: &Value| one["admitted"] == true;
    Ok(match drift.map(Vec::as_slice) {
        None | Some([]) => Exit::Accepted,
        Some(all) if all.iter().any(is_resurrected) => Exit::FindingHigh,
        Some(all) if all.iter().all(is_admitted) => Exit::FindingInfo,
        Some(_) => Exit::FindingMedium,
    })
}

fn tell(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    match common.output {
        Format::Human => tell_one(common, &with_problem(answer), &ALONE),
        _ => tell_one(common, answer, &ALONE),
    }
}

/// The sentence and the fix of a problem, where a column can show them.
fn with_problem(rule: &Value) -> Value {
    let mut shown = rule.clone();
    if let (Some(members), Some(problem)) = (shown.as_object_mut(), rule.get("problem")) {
        for (column, member) in [("refused", "detail"), ("hint", "hint")] {
            let value = problem.get(member).cloned().unwrap_or_default();
            members.insert(column.to_owned(), value);
        }
    }
    shown
}
