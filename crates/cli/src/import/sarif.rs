//! Findings as SARIF 2.1.0, which code hosts and editors show beside the file.

use avouch_audit::{Code, Finding, Severity};
use serde_json::{Value, json};

/// One run with its findings. A finding stands in the file as a whole, because what it is about is
/// a path of members, which is named; lines are not kept when a file is read.
pub(super) fn log(found: &[Finding], file: &str) -> Value {
    let mut codes: Vec<Code> = found.iter().map(|finding| finding.code).collect();
    codes.sort();
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.name(),
                "shortDescription": {"text": code.title()},
                "defaultConfiguration": {"level": level(code.severity())},
                "properties": {"security-severity": score(code.severity())},
            })
        })
        .collect();
    let results: Vec<Value> = found.iter().map(|finding| result(finding, file)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "avouch",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(finding: &Finding, file: &str) -> Value {
    let witness = finding
        .witness
        .as_ref()
        .map(|witness| json!({ "admitted": witness.admitted, "claims": witness.claims }));
    json!({
        "ruleId": finding.code.name(),
        "level": level(finding.severity),
        "message": {"text": format!("{} Fix: {}", finding.sentence, finding.fix)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": file},
                "region": {"startLine": 1},
            },
            "logicalLocations": [{"fullyQualifiedName": finding.place}],
        }],
        "properties": {"severity": finding.severity.name(), "witness": witness},
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

/// The scale of CVSS, by which code hosts sort.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "0.0",
        Severity::Low => "3.0",
        Severity::Medium => "5.5",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}
