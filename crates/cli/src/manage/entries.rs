//! `entry`: which workloads get which identity.

use std::collections::BTreeSet;

use avouch_agent::Selector;
use avouch_core::id::SpiffeId;
use avouch_core::reason::printable;
use serde_json::{Value, json};

use super::arguments::{EntryArguments, EntryCommand, EntryMembers};
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, read, segment, tell_one};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::output;

/// How many entries are read at once.
const PAGE: usize = 1_000;

/// How many entries are sent at once.
const BATCH: usize = 5_000;

/// How often an entry is read again that others have changed meanwhile.
const MOST_ATTEMPTS: usize = 64;

const ROW: [Column; 6] = [
    ("ENTRY", "id"),
    ("SPIFFE ID", "spiffe_id"),
    ("SELECTORS", "selectors"),
    ("FOR NODE", "parent"),
    ("OWNER", "owner"),
    ("EXPIRES", "expires"),
];

const ORPHAN: [Column; 5] = [
    ("ORPHANED", "entry"),
    ("ITS OWNER", "owner"),
    ("OF", "issuer"),
    ("SINCE", "since"),
    ("EVENT", "event"),
];

const BOUND: [Column; 5] = [
    ("ENTRY", "entry"),
    ("IDS", "ids"),
    ("OPEN", "open"),
    ("FOR NODE", "for_node"),
    ("ENDS", "ends"),
];

const ALL: [Column; 14] = [
    ("entry", "id"),
    ("SPIFFE ID", "spiffe_id"),
    ("selectors", "selectors"),
    ("for node", "parent"),
    ("for nodes with", "node_selectors"),
    ("DNS names", "dns_names"),
    ("federates with", "federates_with"),
    ("hint", "hint"),
    ("X.509 seconds", "x509_ttl"),
    ("JWT seconds", "jwt_ttl"),
    ("owner", "owner"),
    ("purpose", "purpose"),
    ("since", "created"),
    ("expires", "expires"),
];

/// `entry`.
pub fn entry(arguments: &EntryArguments, common: &Common) -> Result<Exit, Fault> {
    let asking = Asking {
        path: path(common, "entries")?,
        client: Client::open(&arguments.remote)?,
        common,
    };
    match &arguments.command {
        EntryCommand::List => asking.list(),
        EntryCommand::Bounds { node, could } => asking.bounds(node.as_ref(), could.as_ref()),
        EntryCommand::Create(members) => asking.create(members),
        EntryCommand::Show { entry } => {
            let answer = asking.client.get(&asking.at(entry)?)?;
            tell_one(common, &answer, &ALL)
        }
        EntryCommand::Update { entry, members } => asking.update(entry, members),
        EntryCommand::Delete { entries } => asking.delete(entries),
    }
}

/// The elements of a list over all its pages.
fn all(pages: &[Value], name: &str) -> Vec<Value> {
    let lists = pages.iter().map(|page| list_of(page, name));
    lists.flatten().cloned().collect()
}

struct Asking<'a> {
    client: Client,
    path: String,
    common: &'a Common,
}

impl Asking<'_> {
    fn at(&self, entry: &str) -> Result<String, Fault> {
        Ok(format!("{}/{}", self.path, segment(entry)?))
    }

    fn list(&self) -> Result<Exit, Fault> {
        let pages = self.pages(&self.path, "")?;
        let (entries, orphaned) = (all(&pages, "entries"), all(&pages, "orphaned"));
        output::formatted(
            self.common.output,
            || match orphaned.is_empty() {
                true => table(&ROW, &entries),
                false => format!("{}\n{}", table(&ROW, &entries), table(&ORPHAN, &orphaned)),
            },
            || pretty(&json!({ "entries": entries, "orphaned": orphaned })),
        )?;
        Ok(Exit::Accepted)
    }

    fn bounds(&self, node: Option<&SpiffeId>, could: Option<&SpiffeId>) -> Result<Exit, Fault> {
        let asked = [("node", node), ("could", could)];
        let asked = asked.map(|(name, id)| id.map(|id| format!("&{name}={id}")));
        let asked: String = asked.into_iter().flatten().collect();
        let pages = self.pages(&path(self.common, "bounds")?, &asked)?;
        let bounds = all(&pages, "bounds");
        output::formatted(
            self.common.output,
            || table(&BOUND, &bounds),
            || pretty(&json!({ "bounds": bounds })),
        )?;
        Ok(match (could, bounds.as_slice()) {
            (Some(_), []) => Exit::Rejected,
            _ => Exit::Accepted,
        })
    }

    /// The pages in which a list comes.
    fn pages(&self, path: &str, asked: &str) -> Result<Vec<Value>, Fault> {
        let mut pages = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .client
                .get(&format!("{path}?limit={PAGE}{asked}{after}"))?;
            let next = page.get("next").and_then(Value::as_str);
            let next = next.map(segment).transpose()?.map(str::to_owned);
            pages.push(page);
            let Some(next) = next else {
                return Ok(pages);
            };
            after = format!("&after={next}");
        }
    }

    fn create(&self, members: &EntryMembers) -> Result<Exit, Fault> {
        let Some(file) = &members.file else {
            let unheard_of = Unheard::of(members.selector.iter().map(String::as_str));
            let answer = self.client.post(&self.path, &named(members))?;
            return tell_one(self.common, &unheard_of.beside(answer), &ALL);
        };
        let list = match read(file)? {
            Value::Array(list) => list,
            Value::Object(mut one) => match one.remove("entries") {
                Some(Value::Array(list)) if one.is_empty() => list,
                Some(_) => {
                    return Err(Fault::Usage(
                        "`entries` must be a list, and stand alone".to_owned(),
                    ));
                }
                None => {
                    let one = as_shown(Value::Object(one));
                    let unheard_of = Unheard::of(selectors_of(&one));
                    let answer = self.client.post(&self.path, &one)?;
                    return tell_one(self.common, &unheard_of.beside(answer), &ALL);
                }
            },
            _ => return Err(Fault::Usage("a file holds an entry or many".to_owned())),
        };
        let unheard_of = Unheard::of(list.iter().flat_map(selectors_of));
        let mut answers = Vec::with_capacity(list.len());
        for batch in list.chunks(BATCH) {
            let answer = self.client.post(&self.path, &json!({ "entries": batch }))?;
            answers.extend_from_slice(list_of(&answer, "answers"));
        }
        self.tell_answers(&answers, "entry", &unheard_of)
    }

    /// What is named is changed and the rest stays; a file takes the place of all.
    fn update(&self, entry: &str, members: &EntryMembers) -> Result<Exit, Fault> {
        let path = self.at(entry)?;
        let (next, answer) = match &members.file {
            Some(file) => {
                let next = as_shown(read(file)?);
                let answer = self.client.put(&path, &next)?;
                (next, answer)
            }
            None => self.change(&path, members)?,
        };
        let unheard_of = Unheard::of(selectors_of(&next));
        tell_one(self.common, &unheard_of.beside(answer), &ALL)
    }

    /// Changes what is named of what is there. Who changes something else of it meanwhile loses nothing: it is
    /// read again then.
    fn change(&self, path: &str, members: &EntryMembers) -> Result<(Value, Value), Fault> {
        let Value::Object(changed) = named(members) else {
            return Err(Fault::Usage(
                "nothing is named that is to change".to_owned(),
            ));
        };
        if changed.is_empty() {
            return Err(Fault::Usage(
                "nothing is named that is to change".to_owned(),
            ));
        }
        let mut attempts = 0;
        loop {
            let (mut next, tag) = self.client.get_tagged(path)?;
            if let Some(there) = next.as_object_mut() {
                there.extend(changed.clone());
            }
            attempts += 1;
            match self.client.put_if(path, &next, &tag) {
                Err(Fault::Refused(refusal))
                    if refusal.code == "issue.precondition_failed" && attempts < MOST_ATTEMPTS => {}
                answer => return Ok((next, answer?)),
            }
        }
    }

    fn delete(&self, entries: &[String]) -> Result<Exit, Fault> {
        let path = path(self.common, "remove-entries")?;
        let mut answers = Vec::with_capacity(entries.len());
        for batch in entries.chunks(BATCH) {
            let answer = self.client.post(&path, &json!({ "entries": batch }))?;
            answers.extend_from_slice(list_of(&answer, "answers"));
        }
        self.tell_answers(&answers, "removed", &Unheard::default())
    }

    /// What was done is data; what was refused is told beside it, by its place in what was sent.
    fn tell_answers(
        &self,
        answers: &[Value],
        done: &str,
        unheard_of: &Unheard,
    ) -> Result<Exit, Fault> {
        let is_refused = |answer: &&Value| answer.get("problem").is_some();
        let refused = answers.iter().filter(is_refused).count();
        match self.common.output {
            Format::Human => {
                unheard_of.warn();
                let rows = answers.iter().filter_map(|answer| answer.get(done));
                let rows: Vec<Value> = rows.cloned().collect();
                if !rows.is_empty() {
                    output::data(&drawn(&rows))?;
                }
                for (place, answer) in (1..).zip(answers) {
                    if let Some(problem) = answer.get("problem") {
                        output::refused(&in_words(place, problem));
                    }
                }
            }
            _ => {
                let answer = unheard_of.beside(json!({ "answers": answers }));
                output::data(&pretty(&answer))?;
            }
        }
        Ok(if refused == 0 {
            Exit::Accepted
        } else {
            Exit::Rejected
        })
    }
}

/// The selectors that an entry asks of workloads, as far as it is one.
fn selectors_of(entry: &Value) -> impl Iterator<Item = &str> {
    let selectors = entry.get("selectors").and_then(Value::as_array);
    selectors.into_iter().flatten().filter_map(Value::as_str)
}

/// An entry as a command has shown it, to be sent again: without what it warned of then.
fn as_shown(mut entry: Value) -> Value {
    if let Some(members) = entry.as_object_mut() {
        members.remove(WARNINGS);
    }
    entry
}

/// The member of an answer in JSON that tells what the lines `warning:` tell a person.
const WARNINGS: &str = "warnings";

/// Of which selectors no agent of this version ever hears, the same once. The server takes them: an agent
/// of a later one may. What has not the form of a selector it refuses itself.
#[derive(Default)]
pub(super) struct Unheard(Vec<String>);

impl Unheard {
    pub(super) fn of<'a>(selectors: impl Iterator<Item = &'a str>) -> Self {
        let all: BTreeSet<&str> = selectors.filter(|one| one.contains(':')).collect();
        let unheard_of = all.into_iter().filter_map(|one| Selector::parse(one).err());
        Self(
            unheard_of
                .map(|error| format!("no workload will have it: {error}"))
                .collect(),
        )
    }

    pub(super) fn warn(&self) {
        for warning in &self.0 {
            output::warn(warning);
        }
    }

    /// Warns of them beside an answer, once it is there: of what was refused it is not worth it.
    fn beside(&self, mut answer: Value) -> Value {
        self.warn();
        if let (false, Some(members)) = (self.0.is_empty(), answer.as_object_mut()) {
            members.insert(WARNINGS.to_owned(), json!(self.0));
        }
        answer
    }
}

fn drawn(rows: &[Value]) -> String {
    match rows {
        [] => String::new(),
        [one] if one.is_object() => members(&ALL, one),
        rows if rows.iter().all(Value::is_string) => rows
            .iter()
            .filter_map(Value::as_str)
            .map(|name| format!("{}\n", printable(name)))
            .collect(),
        rows => table(&ROW, rows),
    }
}

fn in_words(place: usize, problem: &Value) -> String {
    let member = |name: &str| {
        let text = problem.get(name).and_then(Value::as_str);
        printable(text.unwrap_or_default())
    };
    format!(
        "number {place}: {} ({})\n  fix: {}",
        member("detail"),
        member("code"),
        member("hint")
    )
}

/// The members that the arguments name.
fn named(members: &EntryMembers) -> Value {
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let list = |list: &[String]| (!list.is_empty()).then(|| json!(list));
    let federates_with = members.federates_with.iter().map(ToString::to_string);
    let federates_with: Vec<String> = federates_with.collect();
    super::said([
        ("id", text(&members.id)),
        ("spiffe_id", text(&members.spiffe_id)),
        (
            "parent",
            members.node.as_ref().map(|node| json!(node.as_str())),
        ),
        ("node_selectors", list(&members.node_selector)),
        ("selectors", list(&members.selector)),
        ("dns_names", list(&members.dns)),
        ("federates_with", list(&federates_with)),
        ("hint", text(&members.hint)),
        ("x509_ttl", members.x509_ttl.map(|ttl| json!(ttl))),
        ("jwt_ttl", members.jwt_ttl.map(|ttl| json!(ttl))),
        ("owner", text(&members.owner)),
        ("purpose", text(&members.purpose)),
        (
            "expires",
            members.expires.map(|time| json!(time.to_string())),
        ),
    ])
}
