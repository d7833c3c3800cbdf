//! `docs/reasons.md`, made from the catalogue of reasons.

use std::fs;

use avouch_core::reason::{CATALOGUE, Entry, Family};

use crate::workspace::Workspace;

const PATH: &str = "docs/reasons.md";

/// Writes the document.
pub(crate) fn write(workspace: &Workspace) -> Result<(), String> {
    fs::write(workspace.path(PATH), document())
        .map_err(|error| format!("{PATH} cannot be written: {error}"))
}

/// Whether the document is what the catalogue says.
pub(crate) fn up_to_date(workspace: &Workspace) -> Vec<String> {
    if workspace.read(PATH) == document() {
        Vec::new()
    } else {
        vec![format!(
            "{PATH} differs from the catalogue; run `cargo xtask docs`"
        )]
    }
}

fn document() -> String {
    let mut text = format!(
        "# Reasons\n\n\
         Why a credential was not believed: {} reasons, each with a stable code that is never reused\n\
         and never given another meaning. `{{name}}` stands for a piece of evidence. Each has a worked\n\
         example under `conformance/reasons/`, or for issuing and fetching in the tests of `crates/issuer`\n\
         and `crates/server`.\n\n\
         This file is made by `cargo xtask docs` from `crates/core/src/reason/catalogue.rs`.\n",
        CATALOGUE.len()
    );
    let mut family = None;
    for entry in CATALOGUE {
        if family != Some(entry.family) {
            family = Some(entry.family);
            text += &format!(
                "\n## {}\n\n{}\n",
                heading(entry.family),
                about(entry.family)
            );
        }
        text += &section(entry);
    }
    text
}

fn section(entry: &Entry) -> String {
    let evidence: Vec<String> = entry
        .evidence
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    let evidence = if evidence.is_empty() {
        "none".to_owned()
    } else {
        evidence.join(", ")
    };
    format!(
        "\n### `{}`\n\n{}\n\n- Fix: {}\n- Evidence: {evidence}\n- Rests on: {}\n",
        entry.code, entry.sentence, entry.hint, entry.spec
    )
}

fn heading(family: Family) -> &'static str {
    match family {
        Family::Federation => "Federation",
        Family::Fetch => "Fetching",
        Family::Input => "Input",
        Family::Issue => "Issuing",
        Family::Limit => "Limits",
        Family::Pki => "PKI",
        Family::Policy => "Policy",
        Family::Revocation => "Revocation",
        Family::Spiffe => "SPIFFE",
        Family::Ssh => "SSH",
    }
}

fn about(family: Family) -> &'static str {
    match family {
        Family::Federation => "A federated issuer, its keys or its tokens.",
        Family::Fetch => "Something that had to be fetched from elsewhere.",
        Family::Input => "The bytes are not what they claim to be.",
        Family::Issue => "A request for a credential, which is answered with this instead of one.",
        Family::Limit => "The work allowed for one decision ran out.",
        Family::Pki => "A certificate or the path above it.",
        Family::Policy => "A rule of the relying party.",
        Family::Revocation => "A withdrawn credential, or a status that cannot be told.",
        Family::Spiffe => "An identity of the SPIFFE standards.",
        Family::Ssh => "A key or certificate of SSH, or the proof of its holder.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_section() {
        let text = document();
        for entry in CATALOGUE {
            assert!(text.contains(&format!("\n### `{}`\n", entry.code)));
        }
    }
}
