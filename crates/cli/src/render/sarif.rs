//! Findings as SARIF 2.1.0, which code hosts and editors show.

use std::collections::BTreeMap;

use avouch_audit::Severity;
use serde_json::{Value, json};

/// A finding of any command.
pub(crate) struct Found<'a> {
    /// The rule it is of.
    pub(crate) code: &'a str,
    /// What the rule finds, in a few words.
    pub(crate) title: &'a str,
    /// How grave findings of the rule are if nothing else is known.
    pub(crate) usual: Severity,
    /// How grave this one is.
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) sentence: &'a str,
    /// What mends it.
    pub(crate) fix: &'a str,
    /// What it is about: a path of members in the file, or an object of a tenant.
    pub(crate) place: &'a str,
    /// What else is known, as SARIF's readers show it.
    pub(crate) witness: Option<Value>,
}

/// One run with its findings. A finding stands in the file as a whole, because what it is about is
/// a path of members, which is named; lines are not kept when a file is read. What is found in a
/// tenant stands in no file.
pub(crate) fn log(found: &[Found<'_>], file: Option<&str>) -> Value {
    let rules: BTreeMap<&str, &Found<'_>> = found.iter().map(|one| (one.code, one)).collect();
    let rules: Vec<Value> = rules
        .values()
        .map(|rule| {
            json!({
                "id": rule.code,
                "shortDescription": {"text": plain(rule.title)},
                "defaultConfiguration": {"level": level(rule.usual)},
                "properties": {"security-severity": score(rule.usual)},
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

fn result(finding: &Found<'_>, file: Option<&str>) -> Value {
    let mut location = json!({ "logicalLocations": [{"fullyQualifiedName": finding.place}] });
    if let (Some(file), Some(members)) = (file, location.as_object_mut()) {
        let in_file = json!({ "artifactLocation": {"uri": file}, "region": {"startLine": 1} });
        members.insert("physicalLocation".to_owned(), in_file);
    }
    json!({
        "ruleId": finding.code,
        "level": level(finding.severity),
        "message": {"text": plain(&format!("{} Fix: {}", finding.sentence, finding.fix))},
        "locations": [location],
        "properties": {"severity": finding.severity.name(), "witness": finding.witness},
    })
}

/// A text as a message in which no name means anything: SARIF has links (`[text](address)`) and places to
/// be filled (`{0}`) in those (3.11.5, 3.11.6).
fn plain(text: &str) -> String {
    let mut message = String::new();
    for character in text.chars() {
        match character {
            '\\' | '[' | ']' => message.push('\\'),
            '{' | '}' => message.push(character),
            _ => {}
        }
        message.push(character);
    }
    message
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

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_make_no_links_and_no_places_to_be_filled() {
        assert_eq!(plain(r"[a](https://x) {0} \"), r"\[a\](https://x) {{0}} \\");
    }
}
