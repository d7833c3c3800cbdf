//! Issuers of tokens, and how their keys are doing.

use serde_json::{Value, json};

use super::arguments::{IssuerArguments, IssuerCommand};
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, read, segment, tell_list, tell_removed};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::output;

const ISSUER: [Column; 6] = [
    ("NAME", "name"),
    ("ISSUER", "issuer"),
    ("STATE", "state"),
    ("ADMITS", "admits"),
    ("OWNER", "owner"),
    ("EXPIRES", "expires"),
];

const KEY: [Column; 6] = [
    ("KEY", "kid"),
    ("KIND", "kind"),
    ("FIRST SEEN", "first_seen"),
    ("FIRST USED", "first_used"),
    ("LAST SEEN", "last_seen"),
    ("REMOVED", "removed"),
];

const EVENT: [Column; 4] = [
    ("AT", "at"),
    ("WHAT", "what"),
    ("ALARM", "alarm"),
    ("DETAIL", "detail"),
];

const STOPS: [Column; 3] = [
    ("ANCHOR", "anchor"),
    ("RULES", "rules"),
    ("ADMITS", "admits"),
];

/// `issuer`.
pub fn issuer(arguments: &IssuerArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("issuers/{}", segment(name)?));
    let step = |name: &str, step: &str| -> Result<Value, Fault> {
        client.post(&format!("{}/{step}", at(name)?), &json!({}))
    };
    match &arguments.command {
        IssuerCommand::List => {
            let answer = client.get(&path(common, "issuers")?)?;
            tell_list(common, &answer, "issuers", &ISSUER)
        }
        IssuerCommand::Put { name, file } => {
            let answer = client.put(&at(name)?, &read(file)?)?;
            tell(common, &answer)
        }
        IssuerCommand::Quarantine {
            name,
            reason,
            preview,
        } => {
            let answer = match reason {
                Some(reason) if !preview => {
                    let address = format!("{}/quarantine", at(name)?);
                    client.post(&address, &json!({ "reason": reason }))?
                }
                Some(_) | None => client.get(&format!("{}/reliance", at(name)?))?,
            };
            output::formatted(
                common.output,
                || table(&STOPS, list_of(&answer, "stops")),
                || pretty(&answer),
            )?;
            Ok(Exit::Accepted)
        }
        IssuerCommand::Refresh { name } => tell(common, &step(name, "refresh")?),
        IssuerCommand::Release { name } => tell(common, &step(name, "release")?),
        IssuerCommand::Remove { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
        IssuerCommand::Show { name } => tell(common, &client.get(&at(name)?)?),
    }
}

/// One issuer in full: what it lets in first, since that is what was decided.
fn tell(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    output::formatted(common.output, || drawn(answer), || pretty(answer))?;
    Ok(Exit::Accepted)
}

fn drawn(answer: &Value) -> String {
    const ONE: [Column; 10] = [
        ("NAME", "name"),
        ("ISSUER", "issuer"),
        ("PRESET", "preset"),
        ("STATE", "state"),
        ("ADMITS", "admits"),
        ("WARNINGS", "warnings"),
        ("OWNER", "owner"),
        ("REASON", "reason"),
        ("EXPIRES", "expires"),
        ("WAITING FOR RELEASE", "waiting_for_release"),
    ];
    let mut parts = vec![members(&ONE, answer)];
    if let Some(failing) = answer.get("failing").filter(|failing| failing.is_object()) {
        parts.push(members(
            &[("FAILING SINCE", "since"), ("BECAUSE", "sentence")],
            failing,
        ));
    }
    if let Some(fetched) = answer.get("fetched").filter(|fetched| fetched.is_object()) {
        parts.push(members(
            &[
                ("FETCHED FROM", "from"),
                ("ON", "as_of"),
                ("USABLE UNTIL", "usable_until"),
            ],
            fetched,
        ));
    }
    let keys = list_of(answer, "keys");
    if !keys.is_empty() {
        parts.push(table(&KEY, keys));
    }
    let events = list_of(answer, "events");
    if !events.is_empty() {
        parts.push(table(&EVENT, events));
    }
    parts.join("\n")
}
