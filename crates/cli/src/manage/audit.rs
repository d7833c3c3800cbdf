//! `audit`: what is found when one looks at a tenant as an auditor does.

use avouch_audit::Severity;
use avouch_server::findings::RULES;
use clap::Subcommand;
use serde_json::Value;

use super::arguments::AuditArguments;
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, segment};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::output;
use crate::render::sarif;

/// Commands that look and change nothing.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Whose an identity is, what it is for and until when, and what of that nobody has said
    #[command(after_help = "Examples:\n  avouch audit record web --tenant demo")]
    Record {
        /// The name of the registration entry
        entry: String,
    },
    /// Static credentials that are known of the tenant: how old each is, who uses it, and the step
    /// away from it; ends with 12, 13 or 14 if one is good for too long
    #[command(
        after_help = "Examples:\n  avouch audit secrets --tenant demo\n  avouch audit secrets --tenant demo -o sarif > findings.sarif"
    )]
    Secrets,
    /// What NIST SP 800-207A asks of the identity tier: met, not met or not known, by what is
    /// configured; ends with 13 if something is not met, and with 11 if something is not known
    #[command(after_help = "Examples:\n  avouch audit zero-trust --tenant demo -o json")]
    ZeroTrust,
}

impl AuditCommand {
    /// Whether it has findings, which can be written for code hosts and editors.
    pub fn has_findings(&self) -> bool {
        match self {
            Self::Record { .. } => false,
            Self::Secrets | Self::ZeroTrust => true,
        }
    }
}

/// `audit`.
pub fn audit(arguments: &AuditArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    match &arguments.command {
        AuditCommand::Record { entry } => {
            let answer = client.get(&path(
                common,
                &format!("entries/{}/record", segment(entry)?),
            )?)?;
            output::formatted(
                common.output,
                || members(&RECORD, &answer),
                || pretty(&answer),
            )?;
            Ok(match list_of(&answer, "missing").is_empty() {
                true => Exit::Accepted,
                false => Exit::FindingLow,
            })
        }
        AuditCommand::Secrets => {
            let answer = client.get(&path(common, "audit/secrets")?)?;
            told(&answer, secrets, common)?;
            let severity = answer.get("severity").and_then(Value::as_str);
            Ok(severity.map_or(Exit::Accepted, exit))
        }
        AuditCommand::ZeroTrust => {
            let answer = client.get(&path(common, "audit/zero-trust")?)?;
            told(&answer, checklist, common)?;
            let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
            Ok(match (count("not_met"), count("not_known")) {
                (0, 0) => Exit::Accepted,
                (0, _) => Exit::FindingInfo,
                (_, _) => Exit::FindingMedium,
            })
        }
    }
}

const RECORD: [Column; 9] = [
    ("ENTRY", "entry"),
    ("IDENTITY", "spiffe_id"),
    ("TENANT", "tenant"),
    ("ENVIRONMENT", "environment"),
    ("OWNER", "owner"),
    ("PURPOSE", "purpose"),
    ("CREATED", "created"),
    ("EXPIRES", "expires"),
    ("NOBODY HAS SAID", "missing"),
];

/// All of them, then what is found and the step away from each.
fn secrets(answer: &Value) -> String {
    const ALL: [Column; 6] = [
        ("WHAT", "kind"),
        ("OF", "name"),
        ("DAYS", "age_days"),
        ("EXPIRES", "expires"),
        ("LAST USED", "last_used"),
        ("USED BY", "used_by"),
    ];
    table(&ALL, list_of(answer, "secrets")) + &findings(answer)
}

/// What is found, the gravest first, and the step away from each.
fn findings(answer: &Value) -> String {
    let mut text = String::new();
    for finding in list_of(answer, "findings") {
        let said = |name: &str| {
            finding
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (code, severity) = (said("code"), said("severity"));
        text.push_str(&format!(
            "\n{severity}: {} ({code})\n  fix: {}\n",
            avouch_core::reason::printable_sentence(said("sentence")),
            avouch_core::reason::printable_sentence(said("fix")),
        ));
    }
    text
}

fn checklist(answer: &Value) -> String {
    let mut text = String::new();
    for line in list_of(answer, "lines") {
        let said = |name: &str| {
            let text = line.get(name).and_then(Value::as_str).unwrap_or_default();
            avouch_core::reason::printable(text)
        };
        let word = said("answer").replace('_', " ");
        text.push_str(&format!("{word:<9} {}: {}\n", said("id"), said("asks")));
        text.push_str(&format!("          {}\n", said("why")));
        let by = list_of(line, "by").iter().filter_map(Value::as_str);
        let by: Vec<String> = by.map(avouch_core::reason::printable).collect();
        if !by.is_empty() {
            text.push_str(&format!("          by: {}\n", by.join(", ")));
        }
        if line.get("fix").is_some_and(Value::is_string) {
            text.push_str(&format!("          fix: {}\n", said("fix")));
        }
    }
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    text.push_str(&format!(
        "{} met, {} not met, {} not known\n",
        count("met"),
        count("not_met"),
        count("not_known")
    ));
    text + &findings(answer)
}

/// What is found, in the form that was asked for.
fn told(answer: &Value, drawn: fn(&Value) -> String, common: &Common) -> Result<(), Fault> {
    match common.output {
        Format::Sarif => output::data(&pretty(&as_sarif(answer))),
        format => output::formatted(format, || drawn(answer), || pretty(answer)),
    }
}

/// What is found, for code hosts and editors.
fn as_sarif(answer: &Value) -> Value {
    let findings = list_of(answer, "findings").iter().map(|finding| {
        let said = |name: &str| {
            finding
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let code = said("code");
        // One of a later server is called by its name.
        let rule = RULES.iter().find(|rule| rule.code == code);
        let severity = Severity::named(said("severity")).unwrap_or(Severity::High);
        sarif::Found {
            code,
            title: rule.map_or(code, |rule| rule.title),
            usual: severity,
            severity,
            sentence: said("sentence"),
            fix: said("fix"),
            place: said("place"),
            witness: None,
        }
    });
    let findings: Vec<sarif::Found<'_>> = findings.collect();
    sarif::log(&findings, None)
}

fn exit(severity: &str) -> Exit {
    match severity {
        "info" => Exit::FindingInfo,
        "low" => Exit::FindingLow,
        "medium" => Exit::FindingMedium,
        _ => Exit::FindingHigh,
    }
}
