//! Doing what was planned, one after the other, until something is refused.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::client::Client;
use super::super::egress::secret_in;
use super::super::{list_of, note_given_already};
use super::documents::{Name, Problem};
use super::kind::{Kind, SECRETS};
use super::plan::{Action, Outcome, Step};
use super::there::{one, under};
use crate::fault::Fault;

/// How many registration entries are sent at once: one commit each time.
const BATCH: usize = 5_000;

/// Whether something is done, or a server is asked what would come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Done,
    Asked,
}

impl Way {
    /// An address where it is done, or asked.
    fn to(self, path: &str) -> String {
        match self {
            Self::Done => path.to_owned(),
            Self::Asked => format!("{path}?dry_run=true"),
        }
    }

    /// What came of a step that was not refused.
    fn outcome(self) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::Asked => Outcome::WouldBeDone,
        }
    }
}

/// Carries out steps in their order and notes what came of each. It ends at the first that is
/// refused, since what comes after may need it; where they are only asked it goes on. What failed is the
/// error.
pub(super) fn carry_out(client: &Client, steps: &mut [Step], way: Way) -> Result<(), Fault> {
    let mut left = steps;
    while let Some(first) = left.first() {
        let count = match is_new_entry(first, first) {
            true => left
                .iter()
                .take(BATCH)
                .take_while(|step| is_new_entry(step, first))
                .count(),
            false => 1,
        };
        let (now, later) = left.split_at_mut(count.max(1));
        match &mut *now {
            [one] => alone(client, one, way)?,
            many => together(client, many, way)?,
        }
        if way == Way::Done
            && now
                .iter()
                .any(|step| matches!(step.outcome, Outcome::Refused(_)))
        {
            return Ok(());
        }
        left = later;
    }
    Ok(())
}

/// Whether it is a registration entry to be created in the same tenant.
fn is_new_entry(step: &Step, first: &Step) -> bool {
    step.name.kind == Kind::Entry
        && matches!(step.outcome, Outcome::Pending)
        && step.action == Action::Create
        && step.name.tenant == first.name.tenant
}

fn alone(client: &Client, step: &mut Step, way: Way) -> Result<(), Fault> {
    if step.action == Action::Leave || !matches!(step.outcome, Outcome::Pending) {
        return Ok(());
    }
    match send(client, step, way) {
        Ok(()) => step.outcome = way.outcome(),
        Err(Fault::Refused(why)) => {
            step.outcome = Outcome::Refused(problem(step, &why.code, &why.sentence, &why.hint));
        }
        Err(fault) => {
            step.outcome = Outcome::Unsure;
            return Err(fault);
        }
    }
    Ok(())
}

fn send(client: &Client, step: &Step, way: Way) -> Result<(), Fault> {
    let all = way.to(&under(&step.name)?);
    let one = || Ok::<_, Fault>(way.to(&one(&step.name)?));
    let spec = Value::Object(step.spec.clone());
    if step.action == Action::Remove {
        return client.delete(&one()?).map(drop);
    }
    let is_new = step.action == Action::Create;
    let spec = match spec {
        // It counts until the endpoint is asked. Later what was learned there does, which may have
        // lost a key since the file was written.
        Value::Object(mut members) if step.name.kind == Kind::Federation && !is_new => {
            members.remove("bundle");
            Value::Object(members)
        }
        Value::Object(members) if step.name.kind == Kind::Egress => {
            Value::Object(with_secrets(members, &step.action)?)
        }
        spec => spec,
    };
    let answer = match step.name.kind {
        Kind::Tenant => client.post(
            &way.to("/v1/tenants"),
            &with(&step.spec, "name", &step.name),
        ),
        Kind::TrustDomain => client.post(&all, &json!({ "name": step.name.name })),
        Kind::Quota => client.put(&all, &spec),
        Kind::Entry if is_new => client.post(&all, &with(&step.spec, "id", &step.name)),
        Kind::Admin
        | Kind::Anchor
        | Kind::Federation
        | Kind::Issuer
        | Kind::Pin
        | Kind::Service
        | Kind::Signal
        | Kind::Receiver
        | Kind::Attestor
        | Kind::Egress
        | Kind::Rule
        | Kind::Entry => client.put(&one()?, &spec),
    }?;
    if step.name.kind == Kind::Admin && way == Way::Done {
        note_given_already(&answer);
    }
    Ok(())
}

/// A `spec` with the content of the files that it names, where the server needs it; otherwise what it
/// has stays, so that what was rotated is not rotated back.
fn with_secrets(
    mut spec: Map<String, Value>,
    action: &Action,
) -> Result<Map<String, Value>, Fault> {
    for secret in SECRETS {
        let named = spec.remove(secret.of_files);
        let is_asked = match action {
            Action::Change(differences) => differences.iter().any(|one| {
                let member = one.member.split('.').next().unwrap_or_default();
                secret.asked_by.contains(&member)
            }),
            Action::Create | Action::Leave | Action::Remove => true,
        };
        let read = |file: &Value| {
            let file = Path::new(file.as_str().unwrap_or_default());
            secret_in(file).map(|text| json!(text.as_str()))
        };
        let sent = match named.filter(|_| is_asked) {
            None => continue,
            Some(Value::Array(files)) => {
                let secrets = files.iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
                Value::Array(secrets)
            }
            Some(file) => read(&file)?,
        };
        spec.insert(secret.sent.to_owned(), sent);
    }
    Ok(spec)
}

/// A `spec` with the name of its object in a member.
fn with(spec: &Map<String, Value>, member: &str, name: &Name) -> Value {
    let mut spec = spec.clone();
    spec.insert(member.to_owned(), name.name.as_str().into());
    Value::Object(spec)
}

/// New registration entries of one tenant, with an answer for each.
fn together(client: &Client, steps: &mut [Step], way: Way) -> Result<(), Fault> {
    let entries = steps.iter().map(|step| with(&step.spec, "id", &step.name));
    let entries: Vec<Value> = entries.collect();
    let Some(first) = steps.first() else {
        return Ok(());
    };
    let address = way.to(&under(&first.name)?);
    let answer = match client.post(&address, &json!({ "entries": entries })) {
        Ok(answer) => answer,
        // All of them for one reason, such as a missing right. What is done ends there.
        Err(Fault::Refused(why)) => {
            let told = match way {
                Way::Done => 1,
                Way::Asked => steps.len(),
            };
            for step in steps.iter_mut().take(told) {
                let problem = problem(step, &why.code, &why.sentence, &why.hint);
                step.outcome = Outcome::Refused(problem);
            }
            return Ok(());
        }
        Err(fault) => {
            for step in steps {
                step.outcome = Outcome::Unsure;
            }
            return Err(fault);
        }
    };
    let mut answers = list_of(&answer, "answers").iter();
    for step in steps {
        step.outcome = match answers.next() {
            None => Outcome::Unsure,
            Some(answer) => match answer.get("problem") {
                None => way.outcome(),
                Some(told) => {
                    let text = |name: &str| {
                        let text = told.get(name).and_then(Value::as_str);
                        text.unwrap_or_default().to_owned()
                    };
                    let (code, detail, hint) = (text("code"), text("detail"), text("hint"));
                    Outcome::Refused(problem(step, &code, &detail, &hint))
                }
            },
        };
    }
    Ok(())
}

/// The server speaks of the members that it is sent, and whoever wrote the file of those in there.
fn in_words_of_files(step: &Step, told: &str) -> String {
    let mut told = told.to_owned();
    if step.name.kind == Kind::Egress {
        for secret in SECRETS {
            told = told.replace(
                &format!("`{}`", secret.sent),
                &format!("`{}`", secret.of_files),
            );
        }
    }
    told
}

fn problem(step: &Step, code: &str, sentence: &str, hint: &str) -> Problem {
    let (sentence, hint) = (
        &in_words_of_files(step, sentence),
        &in_words_of_files(step, hint),
    );
    match &step.place {
        Some(place) => Problem::told(place, Some(&step.name), code, sentence, hint),
        None => Problem {
            place: "--prune".to_owned(),
            about: Some(step.name.clone()),
            code: code.to_owned(),
            sentence: sentence.to_owned(),
            hint: hint.to_owned(),
        },
    }
}
