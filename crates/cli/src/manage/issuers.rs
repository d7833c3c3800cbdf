//! Issuers of tokens, and how their keys are doing.

use std::path::Path;

use avouch_core::policy::presets::Preset;
use serde_json::{Value, json};

use super::arguments::{IssuerArguments, IssuerCommand};
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, segment, tell_list, tell_removed, text, value};
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

const KEY: [Column; 8] = [
    ("KEY", "kid"),
    ("KIND", "kind"),
    ("FIRST SEEN", "first_seen"),
    ("FIRST USED", "first_used"),
    ("SECONDS BEFORE USE", "published_before_use"),
    ("MISSED SINCE", "missed_since"),
    ("LAST SEEN", "last_seen"),
    ("REMOVED", "removed"),
];

const WAITING: [Column; 3] = [
    ("WAITING KEY", "kid"),
    ("KIND", "kind"),
    ("THUMBPRINT", "thumbprint"),
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

const EXCHANGE: [Column; 4] = [
    ("EXCHANGE RULE", "rule"),
    ("ADMITS", "admits"),
    ("GIVES", "gives"),
    ("FOR SECONDS", "lifetime"),
];

const ACTORS: [Column; 3] = [
    ("SOME CANNOT ACT UNDER", "rule"),
    ("ADMITS", "admits"),
    ("GIVES", "gives"),
];
const PRESET: [Column; 7] = [
    ("PRESET", "name"),
    ("ISSUER", "issuer"),
    ("SIGNS FOR", "signs_for"),
    ("PIN ONE OF", "pins"),
    ("HELD TO IDS", "held_names"),
    ("TELLS MFA", "tells_how_one_signed_in"),
    ("FACTS", "facts"),
];

/// What is known of well-known issuers, from the program itself.
fn presets(common: &Common) -> Result<Exit, Fault> {
    let presets = Preset::ALL.iter().map(|preset| {
        let held = preset.bound_names().iter().map(|bound| bound.name);
        let issuer = preset.issuers();
        let first = issuer.split([',', ' ', '[']).next().unwrap_or_default();
        json!({
            "name": preset.name(),
            "issuer": issuer,
            "signs_for": Preset::shared_with(first).unwrap_or("one customer"),
            "pins": preset.pins(),
            "held_names": held.collect::<Vec<_>>(),
            "tells_how_one_signed_in": preset.tells_how_one_signed_in(),
            "facts": facts(*preset),
        })
    });
    let presets: Vec<Value> = presets.collect();
    let drawn = || {
        let each = presets.iter().map(|preset| {
            let mut preset = preset.clone();
            if let Some(facts) = preset.get_mut("facts") {
                *facts = in_words(facts);
            }
            members(&PRESET, &preset)
        });
        each.collect::<Vec<_>>().join("\n")
    };
    let answer = json!({ "presets": presets });
    output::formatted(common.output, drawn, || pretty(&answer))?;
    Ok(Exit::Accepted)
}

/// The facts of a preset, and the claim that each is taken from.
fn facts(preset: Preset) -> Value {
    let subject = std::iter::once(("subject", "sub".to_owned()));
    let facts = subject.chain(preset.facts());
    facts
        .map(|(fact, claim)| json!({ "fact": fact, "claim": claim }))
        .collect()
}

/// The same for a person, each in a few words.
fn in_words(facts: &Value) -> Value {
    let text = |fact: &Value, member: &str| {
        fact.get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let facts = facts.as_array().into_iter().flatten();
    facts
        .map(|fact| format!("{} ({})", text(fact, "fact"), text(fact, "claim")))
        .collect()
}

/// `issuer`.
pub fn issuer(arguments: &IssuerArguments, common: &Common) -> Result<Exit, Fault> {
    if matches!(arguments.command, IssuerCommand::Presets) {
        return presets(common);
    }
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("issuers/{}", segment(name)?));
    let step = |name: &str, step: &str| -> Result<Value, Fault> {
        client.post(&format!("{}/{step}", at(name)?), &json!({}))
    };
    match &arguments.command {
        IssuerCommand::Impact { name, duration } => {
            let address = format!("{}/impact?for={}", at(name)?, segment(duration)?);
            let answer = client.get(&address)?;
            output::formatted(common.output, || drawn_impact(&answer), || pretty(&answer))?;
            Ok(Exit::Accepted)
        }
        IssuerCommand::List { by_reliance: true } => {
            let answer = client.get(&path(common, "reliance")?)?;
            output::formatted(common.output, || drawn_ranking(&answer), || pretty(&answer))?;
            Ok(Exit::Accepted)
        }
        IssuerCommand::List { by_reliance: false } => {
            let answer = client.get(&path(common, "issuers")?)?;
            tell_list(common, &answer, "issuers", &ISSUER)
        }
        IssuerCommand::Presets => presets(common),
        IssuerCommand::Put { name, file } => {
            let answer = client.put(&at(name)?, &document(file)?)?;
            warn_of(&answer);
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
            output::formatted(common.output, || drawn_stops(&answer), || pretty(&answer))?;
            Ok(Exit::Accepted)
        }
        IssuerCommand::Refresh { name } => tell(common, &step(name, "refresh")?),
        IssuerCommand::Release { name, etag } => {
            let address = format!("{}/release", at(name)?);
            tell(common, &client.post(&address, &json!({ "etag": etag }))?)
        }
        IssuerCommand::Remove { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
        IssuerCommand::Show { name } => tell(common, &client.get(&at(name)?)?),
    }
}

/// What is wanted of an issuer: a document, or the metadata of an identity provider of SAML as it
/// publishes it.
fn document(file: &Path) -> Result<Value, Fault> {
    let text = text(file)?;
    if text.trim_start().starts_with('<') {
        return Ok(json!({"saml": {"metadata": text.trim()}}));
    }
    value(file, &text)
}

/// What was kept and cannot be used as it is: an issuer that is down today may be up tomorrow.
fn warn_of(answer: &Value) {
    let why = answer
        .get("failing")
        .and_then(|failing| failing.get("sentence"));
    if let Some(why) = why.and_then(Value::as_str) {
        let why = avouch_core::reason::printable(why);
        output::warn(&format!(
            "nothing of it is believed, since its keys could not be fetched: {why}"
        ));
    }
}

/// One issuer in full: what it lets in first, since that is what was decided.
fn tell(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    output::formatted(common.output, || drawn(answer), || pretty(answer))?;
    Ok(Exit::Accepted)
}

/// What stops, the anchors first, since everything else rests on them.
fn drawn_stops(answer: &Value) -> String {
    let lists: [(&str, &[Column]); 3] = [
        ("stops", &STOPS),
        ("exchange_rules", &EXCHANGE),
        ("actors_of_rules", &ACTORS),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (name, columns) in lists {
        let list = list_of(answer, name);
        if name == "stops" || !list.is_empty() {
            parts.push(table(columns, list));
        }
    }
    if let Some(exchanged) = answer.get("exchanged_before")
        && exchanged.get("note").is_some_and(Value::is_string)
    {
        parts.push(members(
            &[("EXCHANGED BEFORE ENDS BY", "ends_by"), ("NOTE", "note")],
            exchanged,
        ));
    }
    parts.extend(drawn_alive(answer));
    parts.join("\n")
}

/// What was exchanged and lives on.
fn drawn_alive(answer: &Value) -> Option<String> {
    const ALIVE: [Column; 3] = [
        ("LIVES ON", "subject"),
        ("KIND", "kind"),
        ("UNTIL", "until"),
    ];
    let alive = answer.get("alive")?;
    let some = list_of(alive, "some");
    if some.is_empty() {
        return None;
    }
    let counts = members(
        &[("EXCHANGED AND ALIVE", "count"), ("ALL", "is_all")],
        alive,
    );
    Some(format!("{counts}\n{}", table(&ALIVE, some)))
}

fn drawn_impact(answer: &Value) -> String {
    const WHEN: [Column; 6] = [
        ("ISSUER", "issuer"),
        ("DOWN UNTIL", "down_until"),
        ("KEYS USABLE UNTIL", "usable_until"),
        ("STOPS ON", "stops_at"),
        ("CODE", "code"),
        ("AT ONCE", "at_once"),
    ];
    let mut parts = vec![members(&WHEN, answer), drawn_stops(answer)];
    let goes_on = list_of(answer, "goes_on");
    if !goes_on.is_empty() {
        parts.push(table(
            &[("GOES ON", "anchor"), ("ADMITS", "admits")],
            goes_on,
        ));
    }
    parts.join("\n")
}

fn drawn(answer: &Value) -> String {
    const ONE: [Column; 12] = [
        ("NAME", "name"),
        ("ISSUER", "issuer"),
        ("PRESET", "preset"),
        ("STATE", "state"),
        ("ADMITS", "admits"),
        ("WARNINGS", "warnings"),
        ("GRANTS AT MOST", "grants_at_most"),
        ("OWNER", "owner"),
        ("REASON", "reason"),
        ("EXPIRES", "expires"),
        ("WAITING FOR RELEASE", "waiting_for_release"),
        ("ETAG", "etag"),
    ];
    let mut parts = vec![members(&ONE, answer)];
    if let Some(failing) = answer.get("failing").filter(|failing| failing.is_object()) {
        parts.push(members(
            &[("FAILING SINCE", "since"), ("BECAUSE", "sentence")],
            failing,
        ));
    }
    if let Some(failing) = answer
        .get("asking_failing")
        .filter(|failing| failing.is_object())
    {
        parts.push(members(
            &[("NO ANSWER SINCE", "since"), ("BECAUSE", "sentence")],
            failing,
        ));
    }
    if let Some(held) = answer.get("rollback").filter(|held| held.is_object()) {
        parts.push(members(
            &[
                ("OLDER SETS SINCE", "since"),
                ("TAKEN FROM", "taken_from"),
                ("WITHOUT", "lacks"),
                ("AGAIN WITH", "returns"),
                ("WITH", "brings"),
            ],
            held,
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
    let waiting = list_of(answer, "waiting_keys");
    if !waiting.is_empty() {
        parts.push(table(&WAITING, waiting));
    }
    let keys = list_of(answer, "keys");
    if !keys.is_empty() {
        parts.push(table(&KEY, keys));
    }
    let events = list_of(answer, "events");
    if !events.is_empty() {
        parts.push(table(&EVENT, events));
    }
    for (head, name) in [("REVOKE", "revoke"), ("MFA", "mfa"), ("AUDIT", "audit")] {
        let said = answer.get("panels").map(|panels| list_of(panels, name));
        parts.extend(said.map(|said| panel(head, said)));
    }
    parts.join("\n")
}

/// A heading, and a sentence a line.
pub(super) fn panel(head: &str, said: &[Value]) -> String {
    let lines = said.iter().filter_map(Value::as_str);
    let lines = lines.map(|line| format!("  {}\n", avouch_core::reason::printable(line)));
    format!("{head}\n{}", lines.collect::<String>())
}

fn drawn_ranking(answer: &Value) -> String {
    const WHOLE: [Column; 5] = [
        ("DECISIONS", "decisions"),
        ("SINCE", "since"),
        ("DAYS KEPT", "days"),
        ("MOST OF THE DECISIONS BY ONE (%)", "most_share"),
        ("MOST RELYING PARTIES BY ONE ALONE (%)", "most_depends"),
    ];
    const ONE: [Column; 7] = [
        ("NAME", "name"),
        ("KIND", "kind"),
        ("RULES", "rules"),
        ("ENTRIES", "entries"),
        ("DEPENDS %", "depends"),
        ("DECISIONS", "decisions"),
        ("SHARE %", "share"),
    ];
    const STATIC: [Column; 2] = [
        ("STATIC KEY", "name"),
        ("COULD BE A TOKEN OF", "replaceable_by"),
    ];
    let note = answer
        .get("note")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let issuers = list_of(answer, "issuers");
    let is_static = |one: &&Value| {
        let by = one.get("replaceable_by").and_then(Value::as_array);
        by.is_some_and(|by| !by.is_empty())
    };
    let keys: Vec<Value> = issuers.iter().filter(is_static).cloned().collect();
    let mut parts = vec![members(&WHOLE, answer), table(&ONE, issuers)];
    if !keys.is_empty() {
        parts.push(table(&STATIC, &keys));
    }
    parts.push(format!("{note}\n"));
    parts.join("\n")
}
