//! `authority log` and `authority replay`: every decision, and what they come to.

use std::collections::BTreeMap;
use std::path::Path;

use avouch_core::id::Digest;
use avouch_core::time::Time;
use avouch_server::issuance_log::State;
use serde_json::{Value, json};

use super::arguments::ReplayArguments;
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

/// A log as it was written down.
struct Log {
    entries: Vec<Value>,
    /// What they come to.
    state: State,
    at: Time,
    /// What the server said that it held.
    held: String,
    /// For how many seconds it keeps what has ended, if it says so.
    kept: Option<i64>,
}

/// `authority replay`.
pub(super) fn replay(asked: &ReplayArguments, common: &Common) -> Result<Exit, Fault> {
    const REPLAYED: [Column; 10] = [
        ("IDENTICAL", "identical"),
        ("DECISIONS", "decisions"),
        ("LIVING", "living"),
        ("AUTHORITIES", "authorities"),
        ("AT", "at"),
        ("DIGEST", "digest"),
        ("COMPARED", "compared"),
        ("FORGOTTEN", "forgotten"),
        ("LATE", "late"),
        ("TAMPERED", "tampered"),
    ];
    let log = match read_log(&asked.log)? {
        Ok(log) => log,
        Err(broken) => return rejected(&broken, common),
    };
    let digest = log.state.digest(log.at).to_string();
    let mut identical = digest == log.held;
    let mut answer = json!({
        "identical": identical,
        "decisions": log.entries.len(),
        "living": log.state.count(log.at),
        "authorities": log.state.authorities(log.at),
        "at": log.at.to_string(),
        "digest": digest,
        "held": log.held,
    });
    if let (Some(earlier), Some(answer)) = (&asked.against, answer.as_object_mut()) {
        let earlier = match read_log(earlier)? {
            Ok(earlier) => earlier,
            Err(broken) => return rejected(&broken, common),
        };
        let compared = compare(&earlier, &log).ok_or_else(|| {
            let name = input::name_of(&asked.log);
            let why = "its last line does not say for how long it is kept, so nobody knows what may \
                       have gone";
            Fault::Run(format!("{name}: {why}"))
        })?;
        identical &= compared.tampered.is_empty();
        answer.insert("compared".to_owned(), compared.same.into());
        answer.insert("forgotten".to_owned(), compared.forgotten.into());
        answer.insert("late".to_owned(), compared.late.into());
        answer.insert("tampered".to_owned(), compared.tampered.into());
        answer.insert("identical".to_owned(), identical.into());
    }
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

/// Tells that a file is no log as a server wrote it, which is what was asked about it.
fn rejected(broken: &str, common: &Common) -> Result<Exit, Fault> {
    const BROKEN: [Column; 2] = [("IDENTICAL", "identical"), ("BROKEN", "broken")];
    let answer = json!({ "identical": false, "broken": broken });
    output::formatted(
        common.output,
        || members(&BROKEN, &answer),
        || pretty(&answer),
    )?;
    Ok(Exit::Rejected)
}

/// What a later log says of what an earlier one says.
#[derive(Default)]
struct Compared {
    same: usize,
    /// Ended for so long that it is kept no more.
    forgotten: usize,
    /// Decided just before the earlier was made, and written after.
    late: usize,
    /// What was changed, taken out or put in, in words.
    tampered: Vec<String>,
}

/// How long after its time something may be forgotten, or before it while a log is read, in seconds.
const FORGETTING: i64 = 900;

/// How long answers about certificates are kept after their end at most, in seconds.
const ANSWERS_KEPT: i64 = 3_600;

/// How long something is on its way from its decision to the record at most, in seconds.
const ON_ITS_WAY: i64 = 60;

/// Compares a log with a copy that was made before and kept elsewhere; `None` if the later one does not
/// say how long it keeps what has ended.
fn compare(earlier: &Log, later: &Log) -> Option<Compared> {
    let name = |entry: &Value| {
        let name = entry.get("id").and_then(Value::as_str);
        name.unwrap_or_default().to_owned()
    };
    let time = |entry: &Value, member: &str| {
        let text = entry.get(member).and_then(Value::as_str);
        text.and_then(avouch_api::text::time)
    };
    let mut left: BTreeMap<String, &Value> =
        later.entries.iter().map(|one| (name(one), one)).collect();
    let mut compared = Compared::default();
    let later_keeps = later.kept?;
    let forgotten_before = |entry: &Value| {
        let is_answer = entry.get("kind").and_then(Value::as_str) == Some("status_response");
        let kept = match is_answer {
            true => later_keeps.min(ANSWERS_KEPT),
            false => later_keeps,
        };
        later.at.plus(FORGETTING - kept)
    };
    for entry in &earlier.entries {
        let name = name(entry);
        match left.remove(&name) {
            Some(there) if there == entry => compared.same += 1,
            Some(_) => compared.tampered.push(format!("{name} was changed")),
            None if time(entry, "not_after").is_some_and(|end| end < forgotten_before(entry)) => {
                compared.forgotten += 1;
            }
            None => compared.tampered.push(format!("{name} was taken out")),
        }
    }
    let on_record = earlier.at.plus(-ON_ITS_WAY);
    for (name, entry) in left {
        match time(entry, "at") {
            Some(at) if at > earlier.at => {}
            Some(at) if at >= on_record => compared.late += 1,
            // All that was decided by then was on record when the copy was made.
            Some(_) | None => compared.tampered.push(format!("{name} was put in")),
        }
    }
    Some(compared)
}

/// The log in a file, or where and how it is broken.
fn read_log(file: &Path) -> Result<Result<Log, String>, Fault> {
    let text = read_text(file)?;
    Ok(read(&text).map_err(|why| format!("{}: {why}", input::name_of(file))))
}

/// Reads a log from its end, which says up to when, and then from its beginning.
fn read(text: &str) -> Result<Log, String> {
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
    let mut entries = Vec::with_capacity(parsed.len());
    for (number, mut said) in (1..).zip(parsed) {
        let entry = said.get_mut("entry").map(Value::take).unwrap_or_default();
        let followed = state.follow(&entry, at);
        followed.map_err(|why| format!("line {number}: {why}"))?;
        entries.push(entry);
    }
    Ok(Log {
        entries,
        state,
        at,
        held: text("digest").to_owned(),
        kept: last.get("kept").and_then(Value::as_i64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry that was made at a time and ends at another, in seconds.
    fn entry(name: &str, at: i64, end: i64) -> Value {
        let text = |seconds| Time::from_unix(seconds).to_string();
        json!({ "id": name, "spiffe_id": "spiffe://a.test/x", "at": text(at), "not_after": text(end) })
    }

    fn log(at: i64, entries: &[Value]) -> Log {
        Log {
            entries: entries.to_vec(),
            state: State::default(),
            at: Time::from_unix(at),
            held: String::new(),
            kept: Some(10_000),
        }
    }

    #[test]
    fn a_later_log_has_all_that_an_earlier_one_has_but_what_is_forgotten() {
        let (old, young) = (entry("old", 50, 100), entry("young", 60, 90_000));
        let earlier = log(100, &[old, young.clone()]);
        let later = log(20_000, &[young, entry("new", 101, 500)]);
        let compared = compare(&earlier, &later).unwrap();
        assert_eq!((compared.same, compared.forgotten), (1, 1));
        assert!(compared.tampered.is_empty(), "{:?}", compared.tampered);
    }

    #[test]
    fn answers_about_certificates_are_forgotten_sooner() {
        let mut answer = entry("ocsp-1", 50, 3_650);
        answer["kind"] = "status_response".into();
        let other = entry("other", 50, 3_650);
        let earlier = log(100, &[answer, other]);
        let compared = compare(&earlier, &log(8_000, &[])).unwrap();
        assert_eq!(compared.forgotten, 1);
        assert_eq!(compared.tampered, ["other was taken out"]);
        assert_eq!(compare(&earlier, &log(6_000, &[])).unwrap().forgotten, 0);
    }

    #[test]
    fn what_was_changed_taken_out_or_put_in_is_told() {
        let (one, two) = (entry("one", 50, 90_000), entry("two", 60, 19_000));
        let earlier = log(200, &[one.clone(), two]);
        let mut changed = one;
        changed["spiffe_id"] = "spiffe://a.test/y".into();
        let later = log(20_000, &[changed, entry("three", 100, 90_000)]);
        let mut told = compare(&earlier, &later).unwrap().tampered;
        told.sort();
        assert_eq!(
            told,
            ["one was changed", "three was put in", "two was taken out"]
        );
    }

    #[test]
    fn what_was_on_its_way_when_the_copy_was_made_is_late_and_not_put_in() {
        let earlier = log(1_000, &[]);
        let later = |at| log(20_000, &[entry("one", at, 90_000)]);
        let compared = compare(&earlier, &later(940)).unwrap();
        assert_eq!((compared.late, compared.tampered.len()), (1, 0));
        let compared = compare(&earlier, &later(939)).unwrap();
        assert_eq!(compared.late, 0);
        assert_eq!(compared.tampered, ["one was put in"]);
    }

    #[test]
    fn a_log_that_does_not_say_how_long_it_is_kept_is_compared_with_nothing() {
        let earlier = log(100, &[entry("gone", 50, 90_000)]);
        let silent = Log {
            kept: None,
            ..log(20_000, &[])
        };
        assert!(compare(&earlier, &silent).is_none());
    }
}
