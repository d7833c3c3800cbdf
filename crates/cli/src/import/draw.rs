//! Findings, traces and rules for a person.

use avouch_audit::trace::{Held, Trace};
use avouch_audit::{Admission, Carried, Configuration, Finding, Severity};
use avouch_core::reason::printable;
use serde_json::{Map, Value};

use crate::render::{Page, Style, count};

/// What is admitted, and what is found, the gravest first.
pub(super) fn findings(configuration: &Configuration, found: &[Finding], style: Style) -> String {
    let mut page = Page::new(style);
    for admission in &configuration.admissions {
        let word = format!("admits ({})", admission.place());
        let painted = page.style.strong(&word);
        page.headline(&word, &painted, &admission.population());
    }
    for finding in found {
        page.gap();
        let word = format!("{}[{}]", finding.severity.name(), finding.code.name());
        let painted = match finding.severity {
            Severity::High | Severity::Critical => style.bad(&word),
            Severity::Medium => style.unsure(&word),
            Severity::Info | Severity::Low => style.strong(&word),
        };
        page.headline(&word, &painted, &finding.sentence);
        page.remark("at", &printable(&finding.place));
        if let Some(witness) = &finding.witness {
            let name = if witness.admitted {
                "admitted"
            } else {
                "refused"
            };
            page.remark(name, &in_words(&witness.claims));
        }
        page.remark("fix", &finding.fix);
    }
    page.gap();
    page.line(&if found.is_empty() {
        "nothing is found".to_owned()
    } else {
        count(found.len(), "finding", "findings")
    });
    page.finish()
}

/// Claims in a line, each made safe to print.
fn in_words(claims: &Map<String, Value>) -> String {
    let claims = claims.iter().map(|(claim, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{} = {}", printable(claim), printable(&value))
    });
    claims.collect::<Vec<_>>().join(", ")
}

/// What comes of each condition.
pub(super) fn traces(traces: &[(&Admission, Trace)], style: Style) -> String {
    let mut page = Page::new(style);
    for (admission, trace) in traces {
        let (word, painted) = match (trace.admitted, trace.is_certain()) {
            (true, _) => ("admitted", style.good("admitted")),
            (false, true) => ("not admitted", style.bad("not admitted")),
            (false, false) => ("not known", style.unsure("not known")),
        };
        let whose = format!("{} ({})", admission.issuer(), admission.place());
        page.headline(word, &painted, &printable(&whose));
        for step in &trace.steps {
            let sign = match step.held {
                Held::Yes => "✓",
                Held::No | Held::Failed(_) => "✗",
                Held::NotKnown(_) | Held::Open => "?",
            };
            let seen = match &step.seen {
                Some(seen) => format!(", and it is {}", printable(seen)),
                None => String::new(),
            };
            let held = match &step.held {
                Held::Yes | Held::No => String::new(),
                other => format!(" ({other})"),
            };
            page.field(
                2,
                1,
                sign,
                &format!("{}{seen}{}", printable(&step.condition), printable(&held)),
            );
        }
    }
    page.line("this says what that system would do; nothing in Avouch rests on it");
    page.finish()
}

/// Documents to be filled in and applied; what they lack stands in comments.
pub(super) fn carried(all: &[Carried]) -> String {
    let mut text = String::new();
    for one in all {
        for left in &one.left {
            text.push_str(&format!("# not carried over: {left}\n"));
        }
        let Some(draft) = &one.draft else {
            text.push_str(
                "# no rule stands here: without that it would admit more than is meant\n",
            );
            continue;
        };
        for (title, document) in [
            ("a trust document", &draft.anchor),
            ("an exchange rule", &draft.rule),
        ] {
            let json = serde_json::to_string_pretty(document).unwrap_or_default();
            text.push_str(&format!("# {title}\n---\n{json}\n"));
        }
    }
    text
}
