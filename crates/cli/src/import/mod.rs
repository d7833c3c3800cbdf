//! `import`: what other systems trust, read, judged and carried over. For audit only: nothing that
//! is evaluated here decides anything in Avouch.

pub mod arguments;
mod draw;

use std::path::Path;

use avouch_audit::{Carried, Configuration, Finding, Severity, carried, judge};
use avouch_core::reason::Reason;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};

use crate::anchors::refused;
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::output;
use crate::render::sarif;
use arguments::{ImportArguments, ImportFile};

/// The most that is read of one configuration: many times what each of these systems takes.
const CONFIGURATION_BYTES: usize = 4 << 20;

/// `import`.
pub fn import(arguments: &ImportArguments, common: &Common) -> Result<Exit, Fault> {
    let (system, file) = arguments.what.parts();
    let read = || -> Result<(Configuration, Option<Map<String, Value>>), Stop> {
        let document = value_in(&file.file, system.document())?;
        let configuration = system
            .read(&document)
            .map_err(|reason| Stop::refused(&file.file, reason))?;
        Ok((configuration, claims(file)?))
    };
    match read() {
        Err(stop) => refused(stop, common),
        Ok((configuration, claims)) => match claims {
            _ if file.as_rules => as_rules(&configuration, claims.as_ref(), common),
            Some(claims) => held_against(&configuration, &claims, common),
            None => findings(&configuration, &file.file, common),
        },
    }
}

fn findings(configuration: &Configuration, file: &Path, common: &Common) -> Result<Exit, Fault> {
    let found = judge(configuration);
    match common.output {
        Format::Human => output::data(&draw::findings(configuration, &found, output::style()))?,
        Format::Sarif => {
            let shown: Vec<sarif::Found<'_>> = found.iter().map(shown).collect();
            output::data(&pretty(&sarif::log(&shown, Some(&input::name_of(file)))))?;
        }
        _ => output::data(&pretty(&findings_json(configuration, &found)))?,
    }
    let gravest = found.iter().map(|finding| finding.severity).max();
    Ok(gravest.map_or(Exit::Accepted, exit))
}

fn shown(finding: &Finding) -> sarif::Found<'_> {
    let witness = finding
        .witness
        .as_ref()
        .map(|witness| json!({ "admitted": witness.admitted, "claims": witness.claims }));
    sarif::Found {
        code: finding.code.name(),
        title: finding.code.title(),
        usual: finding.code.severity(),
        severity: finding.severity,
        sentence: &finding.sentence,
        fix: &finding.fix,
        place: &finding.place,
        witness,
    }
}

fn held_against(
    configuration: &Configuration,
    claims: &Map<String, Value>,
    common: &Common,
) -> Result<Exit, Fault> {
    let traces: Vec<_> = configuration
        .admissions
        .iter()
        .map(|admission| (admission, admission.trace(claims)))
        .collect();
    let admitted = traces.iter().any(|(_, trace)| trace.admitted);
    let is_certain = admitted || traces.iter().all(|(_, trace)| trace.is_certain());
    let told = |admitted: bool, is_certain: bool| is_certain.then_some(admitted);
    if common.output == Format::Human {
        output::data(&draw::traces(&traces, output::style()))?;
    } else {
        let traces: Vec<Value> = traces
            .iter()
            .map(|(admission, trace)| {
                let steps = trace.steps.iter().map(|step| {
                    json!({
                        "condition": step.condition,
                        "seen": step.seen,
                        "held": step.held.to_string(),
                    })
                });
                json!({
                    "place": admission.place(),
                    "issuer": admission.issuer(),
                    "admitted": told(trace.admitted, trace.is_certain()),
                    "steps": steps.collect::<Vec<_>>(),
                })
            })
            .collect();
        let admitted = told(admitted, is_certain);
        output::data(&pretty(&json!({ "admitted": admitted, "traces": traces })))?;
    }
    Ok(match (admitted, is_certain) {
        (true, _) => Exit::Accepted,
        (false, true) => Exit::Rejected,
        (false, false) => Exit::Undetermined,
    })
}

fn as_rules(
    configuration: &Configuration,
    claims: Option<&Map<String, Value>>,
    common: &Common,
) -> Result<Exit, Fault> {
    let admissions = configuration.admissions.iter();
    let all: Vec<Carried> = admissions
        .map(|admission| carried(admission, claims))
        .collect();
    let is_whole = all.iter().all(|carried| carried.left.is_empty());
    if common.output == Format::Human {
        output::data(&draw::carried(&all))?;
    } else {
        let all: Vec<Value> = all
            .iter()
            .map(|one| {
                json!({
                    "trust_document": one.draft.as_ref().map(|draft| &draft.anchor),
                    "rule": one.draft.as_ref().map(|draft| &draft.rule),
                    "not_carried_over": one.left,
                })
            })
            .collect();
        output::data(&pretty(&json!({ "carried": all })))?;
    }
    Ok(if is_whole {
        Exit::Accepted
    } else {
        Exit::FindingInfo
    })
}

fn findings_json(configuration: &Configuration, found: &[Finding]) -> Value {
    let admissions = configuration.admissions.iter().map(|admission| {
        json!({
            "place": admission.place(),
            "issuer": admission.issuer(),
            "population": admission.population(),
        })
    });
    let gravest = found.iter().map(|finding| finding.severity).max();
    json!({
        "system": configuration.system.name(),
        "admits": admissions.collect::<Vec<_>>(),
        "findings": found.iter().map(finding_json).collect::<Vec<_>>(),
        "severity": gravest.map(Severity::name),
    })
}

fn finding_json(finding: &Finding) -> Value {
    let witness = finding.witness.as_ref().map(|witness| {
        json!({
            "admitted": witness.admitted,
            "claims": witness.claims,
        })
    });
    json!({
        "code": finding.code.name(),
        "severity": finding.severity.name(),
        "place": finding.place,
        "sentence": finding.sentence,
        "fix": finding.fix,
        "witness": witness,
    })
}

fn exit(severity: Severity) -> Exit {
    match severity {
        Severity::Info => Exit::FindingInfo,
        Severity::Low => Exit::FindingLow,
        Severity::Medium => Exit::FindingMedium,
        Severity::High | Severity::Critical => Exit::FindingHigh,
    }
}

/// The claims that were given, if any were.
fn claims(file: &ImportFile) -> Result<Option<Map<String, Value>>, Stop> {
    const CLAIMS: &str = "file of claims";
    let (path, value) = match (&file.claims, &file.token) {
        (Some(path), _) => (path, value_in(path, CLAIMS)?),
        (None, Some(path)) => (path, payload_in(path)?),
        (None, None) => return Ok(None),
    };
    match value {
        Value::Object(claims) => Ok(Some(claims)),
        _ => Err(malformed(path, CLAIMS, "the claims are no object")),
    }
}

/// The value in a file that is `what`.
fn value_in(path: &Path, what: &'static str) -> Result<Value, Stop> {
    let text = text_in(path, what)?;
    avouch_api::read_value(&text).map_err(|why| malformed(path, what, &why.0))
}

/// What a token says; its signature is for whoever is shown it.
fn payload_in(path: &Path) -> Result<Value, Stop> {
    const TOKEN: &str = "token";
    let text = text_in(path, TOKEN)?;
    let refuse = |detail: &str| malformed(path, TOKEN, detail);
    let payload = text.trim().split('.').nth(1);
    let payload = payload.ok_or_else(|| refuse("it is no compact JWT"))?;
    let bytes = Base64UrlUnpadded::decode_vec(payload)
        .map_err(|_| refuse("the claims of the token are no base64url"))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("the claims are no text"))?;
    avouch_api::read_value(&text).map_err(|why| refuse(&why.0))
}

fn text_in(path: &Path, what: &'static str) -> Result<String, Stop> {
    let bytes = input::read(path, what, CONFIGURATION_BYTES)?;
    String::from_utf8(bytes).map_err(|_| malformed(path, what, "it is not UTF-8"))
}

fn malformed(path: &Path, what: &'static str, detail: &str) -> Stop {
    let detail = detail.to_owned();
    Stop::refused(path, Reason::TrustDocumentMalformed { what, detail })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
