//! A short run of every fuzz target, to see that each still works.

use crate::command::{cargo, succeeds, succeeds_quietly};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Runs each target for so many seconds, or only the one that is asked for.
pub(crate) fn run(workspace: &Workspace, seconds: u32, only: Option<&str>) -> Tally {
    let mut tally = Tally::default();
    let mut targets = targets(&workspace.read("fuzz/Cargo.toml"));
    targets.retain(|target| only.is_none_or(|only| only == target));
    if targets.is_empty() {
        tally.fail("fuzz/Cargo.toml lists no such target");
        return tally;
    }
    if let Err(why) = ready(workspace) {
        for target in targets {
            tally.skip(&format!("fuzz target {target}"), &why);
        }
        return tally;
    }
    let limit = format!("-max_total_time={seconds}");
    for target in targets {
        // What is found is kept beside the seeds, in a directory that is not committed.
        let found = format!("fuzz/corpus/{target}");
        let seeds = format!("fuzz/seeds/{target}");
        if let Err(why) = std::fs::create_dir_all(workspace.path(&found)) {
            tally.fail(format!("fuzz target {target}: {found}: {why}"));
            continue;
        }
        let arguments = ["fuzz", "run", "--sanitizer", "none", &target];
        let inputs = [&found, &seeds, "--", &limit];
        // cargo-fuzz asks for unstable flags, which the pinned compiler allows on request only.
        let mut command = cargo(workspace, &arguments);
        command.args(inputs).env("RUSTC_BOOTSTRAP", "1");
        if succeeds(&mut command) {
            tally.pass(1);
        } else {
            tally.fail(format!("fuzz target {target}"));
        }
    }
    tally
}

/// Installs cargo-fuzz if it is not there.
fn ready(workspace: &Workspace) -> Result<(), String> {
    if succeeds_quietly(&mut cargo(workspace, &["fuzz", "--version"])) {
        return Ok(());
    }
    if succeeds(&mut cargo(
        workspace,
        &["install", "--locked", "cargo-fuzz"],
    )) {
        return Ok(());
    }
    Err("cargo-fuzz is not installed and could not be installed".to_owned())
}

/// The names of the binaries in the manifest of the fuzz targets.
fn targets(manifest: &str) -> Vec<String> {
    let mut in_binary = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_binary = line == "[[bin]]";
        }
        let name = line
            .strip_prefix("name = \"")
            .and_then(|rest| rest.split('"').next());
        if let (true, Some(name)) = (in_binary, name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_binaries_of_the_manifest() {
        let manifest = "[package]\nname = \"fuzz\"\n[[bin]]\nname = \"crl\"\npath = \"a.rs\"\n\n\
                        [[bin]]\nname = \"decide\"\n";
        assert_eq!(targets(manifest), ["crl", "decide"]);
    }
}
