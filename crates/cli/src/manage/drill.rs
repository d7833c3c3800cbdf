//! What would come of the worst.

use serde_json::Value;

use super::arguments::{DrillArguments, DrillCommand};
use super::client::Client;
use super::issuers::panel;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, segment};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::output;

/// `drill`.
pub fn drill(arguments: &DrillArguments, common: &Common) -> Result<Exit, Fault> {
    let DrillCommand::Issuer { name } = &arguments.command;
    let client = Client::open(&arguments.remote)?;
    let address = path(common, &format!("issuers/{}/drill", segment(name)?))?;
    let answer = client.get(&address)?;
    output::formatted(common.output, || drawn(&answer), || pretty(&answer))?;
    Ok(match answer.get("passed").and_then(Value::as_bool) {
        Some(true) => Exit::Accepted,
        Some(false) | None => Exit::FindingHigh,
    })
}

/// The answer first, then what it rests on.
fn drawn(answer: &Value) -> String {
    const HEAD: [Column; 2] = [("ISSUER", "issuer"), ("PASSED", "passed")];
    const GETS: [Column; 5] = [
        ("THE THIEF GETS", "becomes"),
        ("UNDER", "rule"),
        ("EXCHANGES", "step"),
        ("FOR SECONDS", "lifetime"),
        ("AS ANY OF", "admits"),
    ];
    const ELSEWHERE: [Column; 4] = [
        ("AND ELSEWHERE", "becomes"),
        ("TENANT", "tenant"),
        ("UNDER", "rule"),
        ("EXCHANGES", "step"),
    ];
    const ADMINISTERS: [Column; 4] = [
        ("AND ADMINISTERS AS", "subject"),
        ("ROLE", "role"),
        ("TENANT", "tenant"),
        ("UNDER", "rule"),
    ];
    const FOR: [Column; 1] = [("FOR RELYING PARTIES", "relying_parties")];
    const BOUNDS: [Column; 3] = [
        ("BOUNDED BY", "anchor"),
        ("TO AT MOST", "grants_at_most"),
        ("NOT IN", "unbounded"),
    ];
    const QUARANTINE: [Column; 2] = [
        ("A QUARANTINE STOPS", "stops"),
        ("IS IN IT ALREADY", "already"),
    ];
    const WHO: [Column; 5] = [
        ("WHO ADMINISTERS", "subject"),
        ("ROLE", "role"),
        ("TENANT", "tenant"),
        ("WITHOUT IT", "independent"),
        ("COMES IN BY", "ways"),
    ];
    let thief = answer.get("thief").unwrap_or(&Value::Null);
    let mut parts = vec![members(&HEAD, answer)];
    let findings = list_of(answer, "findings");
    if !findings.is_empty() {
        parts.push(panel("FINDINGS", findings));
    }
    for (columns, list) in [
        (&GETS[..], list_of(thief, "gets")),
        (&ELSEWHERE[..], list_of(thief, "gets_elsewhere")),
        (&ADMINISTERS[..], list_of(thief, "administers")),
        (&BOUNDS[..], list_of(thief, "believed_through")),
    ] {
        if !list.is_empty() {
            parts.push(table(columns, list));
        }
    }
    if !list_of(answer, "relying_parties").is_empty() {
        parts.push(members(&FOR, answer));
    }
    if let Some(quarantine) = answer.get("quarantine") {
        parts.push(members(&QUARANTINE, quarantine));
    }
    parts.push(table(&WHO, list_of(answer, "administrators")));
    parts.join("\n")
}
