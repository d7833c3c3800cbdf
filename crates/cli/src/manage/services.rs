//! `service`: which trust models may decide for a service, and which have.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::Remote;
use super::client::Client;
use super::table::{Column, members, table};
use super::{gravest, list_of, path, pretty, read, segment, tell_removed};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::output;

const IN_LIST: [Column; 5] = [
    ("SERVICE", "name"),
    ("AUDIENCES", "audiences"),
    ("MAY DECIDE", "models"),
    ("OTHERS", "across"),
    ("FINDINGS", "found"),
];

const ALONE: [Column; 4] = [
    ("SERVICE", "name"),
    ("AUDIENCES", "audiences"),
    ("MAY DECIDE", "models"),
    ("OTHERS", "across"),
];

const SEEN: [Column; 4] = [
    ("DECIDED", "model"),
    ("FIRST", "first"),
    ("FOR", "identity"),
    ("REFUSED", "refused"),
];

const FINDINGS: [Column; 4] = [
    ("ACROSS THE BOUNDARY", "model"),
    ("FIRST", "first"),
    ("FOR", "identity"),
    ("SEVERITY", "severity"),
];

/// The arguments of `service`.
#[derive(Args, Debug)]
pub struct ServiceArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ServiceCommand,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// Commands on services.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Let any trust model decide for a service again, and forget what was seen of it
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  avouch service delete db --tenant demo"
    )]
    Delete {
        /// Its name
        name: String,
    },
    /// All services, and what was decided across their boundaries: ends with 12 or 13 if anything was
    #[command(after_help = "Examples:\n  avouch service list --tenant demo")]
    List,
    /// Say which trust models may decide for a service
    #[command(after_help = PUT_EXAMPLES)]
    Put {
        /// A name for it
        name: String,
        /// What is wanted.
        #[command(flatten)]
        members: ServiceMembers,
    },
    /// One service, which models decided for it, and since when
    #[command(after_help = "Examples:\n  avouch service show db --tenant demo")]
    Show {
        /// Its name
        name: String,
    },
}

const PUT_EXAMPLES: &str = "Examples:
  avouch service put db --audience https://db.example.com --model pki --owner 'the database team' \\
    --reason 'certificates only' --tenant demo
  avouch service put db --audience https://db.example.com --model pki --across flag --tenant demo
  avouch service put db -f db.yaml --tenant demo";

/// What may decide for a service: by a file, or here.
#[derive(Args, Debug)]
pub struct ServiceMembers {
    /// Read it from FILE, JSON or YAML (`-` for standard input)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["audience", "model"])]
    file: Option<PathBuf>,
    /// As whom it asks, and for whom something is given. May be repeated
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    audience: Vec<String>,
    /// A trust model that may decide for it: pki, federation or shared_secret. May be repeated
    #[arg(long, value_name = "MODEL", required_unless_present = "file")]
    model: Vec<String>,
    /// What becomes of what another model decides: refuse or flag [default: refuse]
    #[arg(long, value_name = "WHAT", conflicts_with = "file")]
    across: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "WHO", conflicts_with = "file")]
    owner: Option<String>,
    /// Why it is so
    #[arg(long, value_name = "WHY", conflicts_with = "file")]
    reason: Option<String>,
}

impl ServiceMembers {
    fn document(&self) -> Result<Value, Fault> {
        if let Some(file) = &self.file {
            return read(file);
        }
        let mut document = json!({"audiences": self.audience, "models": self.model});
        let more = [
            ("across", &self.across),
            ("owner", &self.owner),
            ("reason", &self.reason),
        ];
        if let Some(members) = document.as_object_mut() {
            for (name, value) in more {
                members.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
            }
        }
        Ok(document)
    }
}

/// `service`.
pub fn service(arguments: &ServiceArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("services/{}", segment(name)?));
    match &arguments.command {
        ServiceCommand::Delete { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
        ServiceCommand::List => {
            let answer = client.get(&path(common, "services")?)?;
            output::formatted(common.output, || all(&answer), || pretty(&answer))?;
            let services = list_of(&answer, "services").iter();
            Ok(gravest(services.flat_map(|one| list_of(one, "findings"))))
        }
        ServiceCommand::Put { name, members } => {
            let answer = client.put(&at(name)?, &members.document()?)?;
            output::formatted(common.output, || one(&answer), || pretty(&answer))?;
            Ok(Exit::Accepted)
        }
        ServiceCommand::Show { name } => {
            let answer = client.get(&at(name)?)?;
            output::formatted(common.output, || one(&answer), || pretty(&answer))?;
            Ok(gravest(list_of(&answer, "findings").iter()))
        }
    }
}

fn all(answer: &Value) -> String {
    let services = list_of(answer, "services").iter().map(|service| {
        let mut service = service.clone();
        let found = list_of(&service, "findings").iter();
        let found: Vec<String> = found.map(in_words).collect();
        if let Some(members) = service.as_object_mut() {
            members.insert("found".to_owned(), json!(found));
        }
        service
    });
    table(&IN_LIST, &services.collect::<Vec<_>>())
}

/// `federation since 2026-11-29T15:00:00Z`.
fn in_words(finding: &Value) -> String {
    let text = |name: &str| {
        finding
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{} since {}", text("model"), text("first"))
}

fn one(answer: &Value) -> String {
    let mut parts = vec![members(&ALONE, answer)];
    let seen = [("seen", false), ("refused", true)];
    let seen = seen.into_iter().flat_map(|(name, is_refused)| {
        let firsts = answer.get(name).and_then(Value::as_object);
        firsts.into_iter().flatten().map(move |(model, first)| {
            let mut first = first.clone();
            if let Some(members) = first.as_object_mut() {
                members.insert("model".to_owned(), json!(model));
                members.insert("refused".to_owned(), json!(is_refused));
            }
            first
        })
    });
    let seen: Vec<Value> = seen.collect();
    for (columns, list) in [
        (&SEEN[..], seen.as_slice()),
        (&FINDINGS[..], list_of(answer, "findings")),
    ] {
        if !list.is_empty() {
            parts.push(table(columns, list));
        }
    }
    parts.join("\n")
}
