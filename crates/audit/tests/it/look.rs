//! Reading, judging, and checking that what is reported is so.

use avouch_audit::{Code, Configuration, Finding, Severity, System, judge};
use serde_json::{Map, Value};

/// What is found, as `code` or `code=severity` where that is not the usual one.
pub(crate) fn found(system: System, document: &Value) -> Vec<String> {
    let configuration = system.read(document).unwrap();
    let findings = judge(&configuration);
    for finding in &findings {
        check_witness(&configuration, finding);
        assert!(finding.sentence.ends_with('.'), "{}", finding.sentence);
        assert!(!finding.fix.is_empty());
    }
    let mut found: Vec<String> = findings.iter().map(shown).collect();
    found.sort();
    found
}

fn shown(finding: &Finding) -> String {
    let name = finding.code.name();
    if finding.severity == finding.code.severity() {
        name.to_owned()
    } else {
        format!("{name}={}", finding.severity.name())
    }
}

/// A finding is proved by claims that are admitted as it says.
fn check_witness(configuration: &Configuration, finding: &Finding) {
    let Some(witness) = &finding.witness else {
        return;
    };
    let here = configuration
        .admissions
        .iter()
        .filter(|admission| finding.place.starts_with(admission.place()));
    let admitted = here.map(|one| one.trace(&witness.claims).admitted);
    assert!(
        admitted
            .into_iter()
            .any(|admitted| admitted == witness.admitted),
        "{} is not proved by {:?}",
        finding.code.name(),
        witness.claims
    );
}

/// The claims that prove a finding.
pub(crate) fn witness(system: System, document: &Value, code: &str) -> Map<String, Value> {
    let configuration = system.read(document).unwrap();
    let code = Code::parse(code).unwrap();
    let findings = judge(&configuration);
    let finding = findings.iter().find(|finding| finding.code == code);
    let witness = finding.and_then(|finding| finding.witness.clone());
    witness.expect("it is found, and proved").claims
}

/// The text of a claim of a witness.
pub(crate) fn said<'a>(claims: &'a Map<String, Value>, claim: &str) -> &'a str {
    claims
        .get(claim)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The gravest that is found.
pub(crate) fn gravest(system: System, document: &Value) -> Option<Severity> {
    let configuration = system.read(document).unwrap();
    judge(&configuration)
        .iter()
        .map(|finding| finding.severity)
        .max()
}

/// Why it is not read.
pub(crate) fn refused(system: System, document: &Value) -> String {
    let reason = system.read(document).unwrap_err();
    assert_eq!(reason.code(), "input.trust_document_malformed");
    let sentence = reason.sentence();
    let named = format!("The {} cannot be read: ", system.document());
    assert!(sentence.starts_with(&named), "{sentence}");
    sentence
}
