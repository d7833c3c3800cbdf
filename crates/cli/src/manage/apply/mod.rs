//! `plan`, `apply` and `export`: everything that is configured, from files and into files.

pub mod arguments;
mod asking;
mod carry_out;
mod documents;
mod kind;
mod plan;
mod there;

use avouch_core::reason::printable;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::{named, pretty};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::output;
use arguments::{ApplyArguments, ExportArguments, FileArguments, PlanArguments};
use carry_out::Way;
use documents::{Problem, Wanted};
use kind::Kind;
use plan::{Action, Outcome, Step};

/// `plan`.
pub fn plan(arguments: &PlanArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let mut steps = match planned(&client, &arguments.files, common)? {
        Ok(steps) => steps,
        Err(problems) => return tell_problems(common, &problems),
    };
    let asked = asking::ask(&client, &mut steps);
    tell(common, &steps, Telling::Plan)?;
    asked?;
    if steps.iter().any(is_refused) {
        return Ok(Exit::Rejected);
    }
    let is_clean = steps.iter().all(|step| step.action == Action::Leave);
    Ok(match arguments.check && !is_clean {
        true => Exit::FindingInfo,
        false => Exit::Accepted,
    })
}

/// `apply`.
pub fn apply(arguments: &ApplyArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let mut steps = match planned(&client, &arguments.files, common)? {
        Ok(steps) => steps,
        Err(problems) => return tell_problems(common, &problems),
    };
    let carried = carry_out::carry_out(&client, &mut steps, Way::Done);
    tell(common, &steps, Telling::Done)?;
    carried?;
    Ok(match steps.iter().any(is_refused) {
        true => Exit::Rejected,
        false => Exit::Accepted,
    })
}

fn is_refused(step: &Step) -> bool {
    matches!(step.outcome, Outcome::Refused(_))
}

/// `export`.
pub fn export(arguments: &ExportArguments, common: &Common) -> Result<Exit, Fault> {
    let tenant = named(common)?;
    let client = Client::open(&arguments.remote)?;
    let mut documents = Vec::new();
    for kind in Kind::ALL {
        if arguments.kind.is_some_and(|only| only.0 != kind) {
            continue;
        }
        for (name, spec) in there::all(&client, kind, tenant)? {
            // The root is there before anything is applied.
            if kind == Kind::Tenant && !spec.contains_key("parent") {
                continue;
            }
            documents.push(document(kind, tenant, &name, spec));
        }
    }
    output::formatted(
        common.output,
        || {
            let documents = documents.iter().map(avouch_api::write_yaml);
            let documents = documents.map(|text| format!("---\n{text}"));
            documents.collect()
        },
        || pretty(&json!(documents)),
    )?;
    Ok(Exit::Accepted)
}

fn document(kind: Kind, tenant: &str, name: &str, spec: Map<String, Value>) -> Value {
    let mut members = Map::from_iter([("kind".to_owned(), json!(kind.name()))]);
    if kind != Kind::Tenant {
        members.insert("tenant".to_owned(), json!(tenant));
    }
    if kind != Kind::Quota {
        members.insert("name".to_owned(), json!(name));
    }
    if !spec.is_empty() {
        members.insert("spec".to_owned(), Value::Object(spec));
    }
    Value::Object(members)
}

/// A kind as it is typed.
#[derive(Clone, Copy, Debug)]
pub struct KindName(Kind);

impl std::str::FromStr for KindName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        kind.map(Self).ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name);
            format!("a kind is one of {}", names.join(", "))
        })
    }
}

fn planned(
    client: &Client,
    files: &FileArguments,
    common: &Common,
) -> Result<Result<Vec<Step>, Vec<Problem>>, Fault> {
    let wanted: Vec<Wanted> = match documents::read(&files.file, &common.tenant)? {
        Ok(wanted) => wanted,
        Err(problems) => return Ok(Err(problems)),
    };
    let prune = files.owner.as_deref().filter(|_| files.prune);
    plan::plan(client, wanted, prune)
}

/// Nothing was done: all that is wrong with the files is told at once.
fn tell_problems(common: &Common, problems: &[Problem]) -> Result<Exit, Fault> {
    match common.output {
        Format::Human => problems
            .iter()
            .for_each(|problem| output::refused(&problem.to_string())),
        _ => {
            let problems: Vec<Value> = problems.iter().map(Problem::to_json).collect();
            output::data(&pretty(&json!({ "problems": problems })))?;
        }
    }
    Ok(Exit::Rejected)
}

/// Whether it is told what would be done, or what was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Plan,
    Done,
}

fn tell(common: &Common, steps: &[Step], telling: Telling) -> Result<(), Fault> {
    output::formatted(
        common.output,
        || drawn(steps, telling),
        || {
            let objects: Vec<Value> = steps.iter().map(to_json).collect();
            pretty(&json!({ "objects": objects, "summary": counts(steps, telling) }))
        },
    )?;
    if common.output == Format::Human {
        for step in steps {
            if let Outcome::Refused(problem) = &step.outcome {
                output::refused(&problem.to_string());
            }
        }
    }
    Ok(())
}

fn to_json(step: &Step) -> Value {
    let mut members = Map::from_iter([
        ("kind".to_owned(), json!(step.name.kind.name())),
        ("tenant".to_owned(), json!(step.name.tenant)),
        ("action".to_owned(), json!(infinitive(&step.action))),
    ]);
    if step.name.kind != Kind::Quota {
        members.insert("name".to_owned(), json!(step.name.name));
    }
    if let Some(place) = &step.place {
        members.insert("place".to_owned(), json!(place.to_string()));
    }
    if let Action::Change(differences) = &step.action {
        let differences = differences.iter().map(plan::Difference::to_json);
        let differences: Vec<Value> = differences.collect();
        members.insert("differences".to_owned(), json!(differences));
    }
    let outcome = match &step.outcome {
        Outcome::Pending if step.action == Action::Leave => "left",
        Outcome::Pending | Outcome::WouldBeDone => "not_done",
        Outcome::NotKnown { .. } => "not_known",
        Outcome::Done => "done",
        Outcome::Refused(_) => "refused",
        Outcome::Unsure => "unsure",
    };
    members.insert("outcome".to_owned(), json!(outcome));
    let (problem, until) = match &step.outcome {
        Outcome::Refused(problem) => (Some(problem), None),
        Outcome::NotKnown { until, now } => (now.as_ref(), Some(until)),
        Outcome::Pending | Outcome::WouldBeDone | Outcome::Done | Outcome::Unsure => (None, None),
    };
    let problem = problem.map(|problem| ("problem".to_owned(), problem.to_json()));
    let until = until.map(|name| ("until".to_owned(), json!(name.to_string())));
    members.extend(problem.into_iter().chain(until));
    Value::Object(members)
}

fn infinitive(action: &Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Change(_) => "change",
        Action::Leave => "leave",
        Action::Remove => "remove",
    }
}

/// What is said of a step: its action, as far as it was carried out.
fn word(step: &Step, telling: Telling) -> &'static str {
    match (&step.outcome, telling, &step.action) {
        (_, Telling::Plan, action) => infinitive(action),
        (_, Telling::Done, Action::Leave) => "left",
        (Outcome::Pending | Outcome::WouldBeDone | Outcome::NotKnown { .. }, Telling::Done, _) => {
            "not done"
        }
        (Outcome::Refused(_), Telling::Done, _) => "refused",
        (Outcome::Unsure, Telling::Done, _) => "unsure",
        (Outcome::Done, Telling::Done, Action::Create) => "created",
        (Outcome::Done, Telling::Done, Action::Change(_)) => "changed",
        (Outcome::Done, Telling::Done, Action::Remove) => "removed",
    }
}

fn counts(steps: &[Step], telling: Telling) -> Value {
    let mut counts = Map::new();
    for step in steps {
        let word = word(step, telling).replace(' ', "_");
        count(&mut counts, word);
        match (telling, &step.outcome) {
            (Telling::Plan, Outcome::Refused(_)) => count(&mut counts, REFUSED.to_owned()),
            (Telling::Plan, Outcome::NotKnown { .. }) => count(&mut counts, NOT_KNOWN.to_owned()),
            _ => {}
        }
    }
    Value::Object(counts)
}

/// What a plan counts besides what would be done.
const REFUSED: &str = "refused";
const NOT_KNOWN: &str = "not_known";

fn count(counts: &mut Map<String, Value>, word: String) {
    let count = counts.get(&word).and_then(Value::as_u64).unwrap_or(0);
    counts.insert(word, count.saturating_add(1).into());
}

/// What is left as it is is only counted.
fn drawn(steps: &[Step], telling: Telling) -> String {
    let mut text = String::new();
    for step in steps {
        if step.action == Action::Leave {
            continue;
        }
        let word = word(step, telling);
        let said = match (&step.outcome, telling) {
            (Outcome::Refused(_), Telling::Plan) => " (would be refused)".to_owned(),
            (Outcome::NotKnown { until, .. }, _) => format!(" (to be known after {until})"),
            _ => String::new(),
        };
        text.push_str(&format!("{word:<9} {}{said}\n", step.name));
        if let Action::Change(differences) = &step.action {
            for difference in differences {
                let member = printable(&difference.member);
                let (from, to) = (shown(&difference.from), shown(&difference.to));
                text.push_str(&format!("          {member}: {from} → {to}\n"));
            }
        }
    }
    let counts = counts(steps, telling);
    let counts = counts.as_object().into_iter().flatten();
    let counts = counts.map(|(word, count)| match (word.as_str(), telling) {
        (REFUSED, Telling::Plan) => format!("{count} would be refused"),
        (NOT_KNOWN, Telling::Plan) => format!("{count} not known yet"),
        (word, _) => format!("{count} to {word}").replace('_', " "),
    });
    let counts: Vec<String> = counts.collect();
    let counts = match telling {
        Telling::Plan => counts.join(", "),
        Telling::Done => counts.join(", ").replace(" to ", " "),
    };
    match counts.as_str() {
        "" => text.push_str("nothing is wanted\n"),
        counts => text.push_str(&format!("{counts}\n")),
    }
    text
}

fn shown(value: &Option<Value>) -> String {
    match value {
        None => "(nothing)".to_owned(),
        Some(value) => printable(&value.to_string()),
    }
}
