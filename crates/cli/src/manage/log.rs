//! `authority log` and `authority replay`: every decision, and what they come to.

use std::path::Path;

use avouch_core::id::Digest;
use avouch_core::time::Time;
use avouch_server::issuance_log::State;
use serde_json::{Value, json};

use super::client::Client;
use super::table::Column;
use super::upstream::read_text;
use super::{list_of, members, path, pretty, segment};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::input;
use crate::output;

/// How many are read at once.
const PAGE: usize = 1_000;

/// How often it is read anew because something was decided meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// `authority log`.
pub(super) fn log(client: &Client, common: &Common) -> Result<Exit, Fault> {
    let address = path(common, "log/state")?;
    for _ in 0..MOST_ATTEMPTS {
        let state = client.get(&address)?;
        let at = state.get("at").and_then(Value::as_str).unwrap_or_default();
        let log = entries(client, common)?;
        // What was decided meanwhile may be about what is told.
        let after = client.get(&format!("{address}?at={at}"))?;
        if after == state {
            return write(&log, &state);
        }
    }
    let why = "more was decided each time while the log was read; try again".to_owned();
    Err(Fault::Run(why))
}

fn entries(client: &Client, common: &Common) -> Result<Vec<Value>, Fault> {
    let address = path(common, "log")?;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{address}?limit={PAGE}{after}"))?;
        all.extend_from_slice(list_of(&page, "log"));
        let Some(next) = page.get("next").and_then(Value::as_str) else {
            return Ok(all);
        };
        after = format!("&after={}", segment(next)?);
    }
}

/// Each line has the digest of the line before, so that none can be taken out or put in unseen.
fn write(log: &[Value], state: &Value) -> Result<Exit, Fault> {
    let mut lines: Vec<String> = Vec::with_capacity(log.len() + 1);
    let entries = log.iter().map(|entry| ("entry", entry));
    for (name, said) in entries.chain([("state", state)]) {
        let before = lines.last().map(|line| Digest::of(line.as_bytes()));
        let before = before.map(|digest| digest.to_string());
        lines.push(json!({ "before": before, name: said }).to_string());
    }
    output::data(&lines.join("\n"))?;
    Ok(Exit::Accepted)
}

/// What came of reading a log.
struct Replayed {
    entries: usize,
    state: State,
    at: Time,
    /// What the server said that it held.
    held: String,
}

/// `authority replay`.
pub(super) fn replay(file: &Path, common: &Common) -> Result<Exit, Fault> {
    const REPLAYED: [Column; 6] = [
        ("IDENTICAL", "identical"),
        ("DECISIONS", "decisions"),
        ("LIVING", "living"),
        ("AUTHORITIES", "authorities"),
        ("AT", "at"),
        ("DIGEST", "digest"),
    ];
    let text = read_text(file)?;
    let read = read(&text).map_err(|why| {
        let name = input::name_of(file);
        Fault::Run(format!("{name}: {why}"))
    })?;
    let digest = read.state.digest(read.at).to_string();
    let identical = digest == read.held;
    let answer = json!({
        "identical": identical,
        "decisions": read.entries,
        "living": read.state.count(read.at),
        "authorities": read.state.authorities(read.at),
        "at": read.at.to_string(),
        "digest": digest,
        "held": read.held,
    });
    output::formatted(
        common.output,
        || members(&REPLAYED, &answer),
        || pretty(&answer),
    )?;
    Ok(match identical {
        true => Exit::Accepted,
        false => Exit::Rejected,
    })
}

/// Reads a log from its end, which says up to when, and then from its beginning.
fn read(text: &str) -> Result<Replayed, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut parsed = Vec::with_capacity(lines.len());
    let mut before: Option<String> = None;
    for (number, line) in (1..).zip(&lines) {
        let said: Value =
            serde_json::from_str(line).map_err(|_| format!("line {number} is no JSON"))?;
        if said.get("before").and_then(Value::as_str) != before.as_deref() {
            return Err(format!(
                "line {number} does not follow the line before: something was changed, put in or taken out"
            ));
        }
        before = Some(Digest::of(line.as_bytes()).to_string());
        parsed.push(said);
    }
    let last = parsed.pop().and_then(|last| last.get("state").cloned());
    let last = last.ok_or("its last line does not say what the server held")?;
    let text = |name: &str| last.get(name).and_then(Value::as_str).unwrap_or_default();
    let at = avouch_api::text::time(text("at")).ok_or("its last line has no time")?;
    let mut state = State::default();
    for (number, said) in (1..).zip(&parsed) {
        let entry = said.get("entry").unwrap_or(&Value::Null);
        let followed = state.follow(entry, at);
        followed.map_err(|why| format!("line {number}: {why}"))?;
    }
    Ok(Replayed {
        entries: parsed.len(),
        state,
        at,
        held: text("digest").to_owned(),
    })
}
