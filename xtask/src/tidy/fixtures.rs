//! Every reason has a worked example, and every worked example a reason.

use std::collections::BTreeSet;

use crate::fixtures::{FOLDER, PRESENTED, SHOWN, decided};
use crate::workspace::Workspace;

pub(crate) fn missing(workspace: &Workspace) -> Vec<String> {
    let codes: BTreeSet<&str> = decided().map(|entry| entry.code).collect();
    let is_there = |code: &str, part: &str| {
        let path = format!("{FOLDER}/{code}/{part}");
        workspace.path(&path).is_file()
    };
    let mut findings = Vec::new();
    for code in &codes {
        let presented = PRESENTED.iter().any(|part| is_there(code, part));
        if !presented || !SHOWN.iter().all(|part| is_there(code, part)) {
            findings.push(format!(
                "{FOLDER}/{code} is not complete; run `cargo xtask fixtures`"
            ));
        }
    }
    for folder in workspace.folders(FOLDER) {
        if !codes.contains(folder.as_str()) {
            findings.push(format!("{FOLDER}/{folder} is for no reason there is"));
        }
    }
    findings
}
