//! The cases of BetterTLS, which its own tool makes anew with certificates of the day.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{succeeds, succeeds_quietly};
use crate::workspace::Workspace;

/// The tool, at the version whose cases are known.
const TOOL: &str =
    "github.com/Netflix/bettertls/test-suites/cmd/bettertls@v0.0.0-20250909192348-e1e99e353074";

/// The file with the cases, made once by Go where there is Go; `None` where it cannot be made.
pub(crate) fn cases(workspace: &Workspace) -> Option<PathBuf> {
    let file = workspace.path("target/bettertls.json");
    if file.is_file() {
        return Some(file);
    }
    if !succeeds_quietly(Command::new("go").arg("version")) {
        return None;
    }
    // `target` is not there where cargo builds into another directory.
    fs::create_dir_all(file.parent()?).ok()?;
    // Under another name until it is whole.
    let unfinished = file.with_extension("unfinished");
    let mut export = Command::new("go");
    export.args(["run", TOOL, "export-tests", "--out"]);
    export.arg(&unfinished).current_dir(workspace.root());
    if !succeeds(&mut export) {
        return None;
    }
    fs::rename(&unfinished, &file).ok()?;
    Some(file)
}
