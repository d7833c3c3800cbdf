//! `decision`, and `explain` of one: what a server has decided, for whoever administers the tenant.

use avouch_server::decisions::{MOST_ACCEPTED, MOST_REFUSED, REFUSED_DAYS};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::arguments::Remote;
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, named, path, pretty, segment};
use crate::arguments::Common;
use crate::fault::{Exit, Fault, Refusal};
use crate::output;
use crate::render::{self, Detail};

/// How many are read at once.
const PAGE: usize = 100;

const ROW: [Column; 7] = [
    ("DECISION", "decision"),
    ("AT", "at"),
    ("REQUEST", "request"),
    ("VERDICT", "verdict"),
    ("CODE", "code"),
    ("CREDENTIAL", "credential"),
    ("SUBJECT", "subject"),
];

const RECORD: [Column; 7] = [
    ("REQUEST", "request"),
    ("CREDENTIAL", "kind"),
    ("SHA-256", "digest"),
    ("GIVEN", "spiffe_id"),
    ("RULE", "rule"),
    ("REFUSED", "refused"),
    ("LEFT OUT", "left_out"),
];

const EXAMPLES: &str = "\
Examples:
  avouch decision list --tenant demo --verdict reject
  avouch decision list --tenant demo --code federation.expired -o json
  avouch decision show 01a22c9f-1ca2-7660-8663-908e332769be --tenant demo -o json
  avouch explain 01a22c9f-1ca2-7660-8663-908e332769be --tenant demo";

/// The arguments of `decision`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DecisionArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: DecisionCommand,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// Commands on decisions.
#[derive(Debug, Subcommand)]
pub enum DecisionCommand {
    /// The decisions that are kept, the latest first
    List {
        /// Those of which this came
        #[arg(long, value_enum)]
        verdict: Option<Verdict>,
        /// Those that were refused for this reason
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = PAGE)]
        most: usize,
    },
    /// All that is kept of a decision; `avouch explain` draws its verdict
    Show {
        /// What the decision is called: `decision` of a verdict or a problem, `avouch-decision` of any
        /// answer
        decision: String,
    },
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// It was believed, and what was asked for given.
    Accept,
    /// It was refused.
    Reject,
    /// A fact was missing.
    Undetermined,
}

/// `decision`.
pub fn decision(arguments: &DecisionArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    match &arguments.command {
        DecisionCommand::List {
            verdict,
            code,
            most,
        } => {
            let all = latest(&client, *verdict, code.as_deref(), *most, common)?;
            output::formatted(
                common.output,
                || table(&ROW, &all),
                || pretty(&json!({ "decisions": all })),
            )?;
        }
        DecisionCommand::Show { decision } => {
            let record = kept(&client, decision, common)?;
            output::formatted(common.output, || drawn(&record), || pretty(&record))?;
        }
    }
    Ok(Exit::Accepted)
}

fn latest(
    client: &Client,
    verdict: Option<Verdict>,
    code: Option<&str>,
    most: usize,
    common: &Common,
) -> Result<Vec<Value>, Fault> {
    let address = path(common, "decisions")?;
    let mut query = String::new();
    if let Some(verdict) = verdict.as_ref().and_then(ValueEnum::to_possible_value) {
        query.push_str(&format!("&verdict={}", verdict.get_name()));
    }
    if let Some(code) = code {
        query.push_str(&format!("&code={}", segment(code)?));
    }
    let (mut all, mut after) = (Vec::new(), String::new());
    while all.len() < most {
        let limit = PAGE.min(most - all.len());
        let page = client.get(&format!("{address}?limit={limit}{query}{after}"))?;
        all.extend_from_slice(list_of(&page, "decisions"));
        let Some(next) = page.get("next").and_then(Value::as_str) else {
            break;
        };
        after = format!("&after={}", segment(next)?);
    }
    Ok(all)
}

/// The record of a decision, for `explain`.
pub(crate) fn decision_kept(remote: &Remote, id: &str, common: &Common) -> Result<Value, Fault> {
    // Whoever names no tenant is told so first, wherever the server is.
    named(common)?;
    kept(&Client::open(remote)?, id, common)
}

/// How a run ends that tells a verdict.
pub(crate) fn exit_of(verdict: &Value) -> Exit {
    match verdict.get("verdict").and_then(Value::as_str) {
        Some("accept") => Exit::Accepted,
        Some("undetermined") => Exit::Undetermined,
        Some(_) | None => Exit::Rejected,
    }
}

/// The verdict of a record in full, and what came of it besides.
pub(crate) fn drawn(record: &Value) -> String {
    let verdict = record.get("verdict").cloned().unwrap_or_default();
    let told = render::told(&verdict, Detail::Full, output::style());
    format!("{told}\n{}", members(&RECORD, &in_short(record)))
}

/// What is in a record beside its verdict.
fn in_short(record: &Value) -> Value {
    let said = |pointer: &str| record.pointer(pointer).filter(|said| !said.is_null());
    // A client that has not shown who it is was told so, and not why its credential was refused.
    let (told, of_core) = (said("/refused/code"), said("/verdict/reason/code"));
    let refused = told.filter(|told| Some(*told) != of_core);
    let parts = [
        ("request", said("/request")),
        ("kind", said("/credential/kind")),
        ("digest", said("/credential/digest")),
        ("spiffe_id", said("/given/spiffe_id")),
        ("rule", said("/given/rule")),
        ("refused", refused),
        ("left_out", said("/left_out")),
    ];
    let said = parts.into_iter();
    let said = said.filter_map(|(name, said)| Some((name.to_owned(), said?.clone())));
    Value::Object(said.collect())
}

fn kept(client: &Client, id: &str, common: &Common) -> Result<Value, Fault> {
    let address = path(common, &format!("decisions/{}", segment(id)?))?;
    client.get(&address).map_err(|fault| match fault {
        Fault::Refused(refusal) if is_of_decision(&refusal, id) => {
            let hint = format!(
                "Refusals are kept for {REFUSED_DAYS} days, the latest {MOST_REFUSED} of a tenant, and what was \
                 accepted by the server that decided, the last {MOST_ACCEPTED} of a tenant until it ends; if it is \
                 of another tenant than {}, name that with --tenant.",
                common.tenant.as_str()
            );
            Refusal { hint, ..*refusal }.into()
        }
        other => other,
    })
}

/// Whether it is the decision that is not there, and not the tenant.
fn is_of_decision(refusal: &Refusal, id: &str) -> bool {
    refusal.code == "issue.object_unknown" && refusal.sentence.contains(id)
}
