//! `docs/findings.md` and `docs/facts.md`, made from the codes of findings and from the presets of
//! issuers.

use std::fs;

use avouch_audit::Code;
use avouch_core::policy::presets::Preset;
use avouch_server::findings::RULES;

use crate::workspace::Workspace;

const FINDINGS: &str = "docs/findings.md";
const FACTS: &str = "docs/facts.md";

/// Writes the documents.
pub(crate) fn write(workspace: &Workspace) -> Result<(), String> {
    documents().into_iter().try_for_each(|(path, text)| {
        fs::write(workspace.path(path), text)
            .map_err(|error| format!("{path} cannot be written: {error}"))
    })
}

/// Which documents are not what the code says.
pub(crate) fn up_to_date(workspace: &Workspace) -> Vec<String> {
    let documents = documents().into_iter();
    let stale = documents.filter(|(path, text)| workspace.read(path) != *text);
    stale
        .map(|(path, _)| format!("{path} differs from the code; run `cargo xtask docs`"))
        .collect()
}

fn documents() -> [(&'static str, String); 2] {
    [(FINDINGS, findings()), (FACTS, facts())]
}

fn findings() -> String {
    let mut text = "# Findings\n\n\
         What is found is no refusal: each has a code that is never reused, how grave it is, where, and the \
         smallest fix.\nReasons of refusals are in [reasons.md](reasons.md). Exit codes of the commands: 11 \
         info, 12 low, 13 medium, 14 high\nor critical.\n\n\
         This file is made by `cargo xtask docs` from `crates/audit/src/finding.rs` and \
         `crates/server/src/findings.rs`.\n\n\
         ## In configurations of other systems\n\n\
         [`avouch import`](how-to/import-trust.md) finds these; how grave one is depends on where it is, and \
         this is the\nusual.\n\n\
         | code | usually | what it means |\n|---|---|---|\n"
        .to_owned();
    for code in Code::ALL {
        let (name, severity) = (code.name(), code.severity().name());
        text += &format!("| `{name}` | {severity} | {} |\n", code.title());
    }
    text += "\n## In a tenant\n\n\
             See [how to look at a tenant](how-to/audit.md).\n\n\
             | code | severity | what it means | told by |\n|---|---|---|---|\n";
    for rule in RULES {
        let commands: Vec<String> = rule
            .told_by
            .split(", ")
            .map(|one| format!("`{one}`"))
            .collect();
        text += &format!(
            "| `{}` | {} | {} | {} |\n",
            rule.code,
            rule.severity,
            rule.title,
            commands.join(", ")
        );
    }
    text
}

fn facts() -> String {
    let mut text = "# Facts\n\n\
         What rules may ask of tokens of well-known issuers, and the claim that each fact is taken from; dots \
         divide the\nmembers of claims within claims. Each has `subject` (`sub`) as well, and other claims are \
         `claims.<name>`. The\nsame is printed by `avouch issuer presets`; rules are in \
         [how to write a trust document](how-to/trust-documents.md).\n\n\
         This file is made by `cargo xtask docs` from `crates/core/src/policy/presets.rs`.\n"
        .to_owned();
    for preset in Preset::ALL {
        text += &format!(
            "\n## `{}`\n\nTokens of {}. Pin one of `{}`.\n\n| fact | claim |\n|---|---|\n",
            preset.name(),
            preset.issuers(),
            preset.pins().join("`, `")
        );
        for (fact, claim) in preset.facts() {
            text += &format!("| `{fact}` | `{claim}` |\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_and_every_fact_has_a_row() {
        let text = findings();
        for name in Code::ALL
            .iter()
            .map(|code| code.name())
            .chain(RULES.map(|rule| rule.code))
        {
            assert!(text.contains(&format!("\n| `{name}` | ")), "{name}");
        }
        let text = facts();
        for preset in Preset::ALL {
            for (fact, _) in preset.facts() {
                assert!(text.contains(&format!("\n| `{fact}` | ")), "{fact}");
            }
        }
    }
}
