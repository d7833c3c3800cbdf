//! Every reason has a worked example, and every worked example a reason.

use std::collections::BTreeSet;

use avouch_core::reason::CATALOGUE;

use crate::workspace::Workspace;

const FOLDER: &str = "conformance/reasons";

/// What each example consists of.
const PARTS: [&str; 3] = ["question.json", "verdict.json", "human.txt"];

pub(crate) fn missing(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    let codes: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.code).collect();
    for code in &codes {
        for part in PARTS {
            let path = format!("{FOLDER}/{code}/{part}");
            if !workspace.path(&path).is_file() {
                findings.push(format!("{path} is missing; run `cargo xtask fixtures`"));
            }
        }
    }
    for folder in workspace.folders(FOLDER) {
        if !codes.contains(folder.as_str()) {
            findings.push(format!("{FOLDER}/{folder} is for no reason there is"));
        }
    }
    findings
}
