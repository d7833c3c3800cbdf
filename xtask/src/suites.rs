//! Every check there is, in the order in which a failure is cheapest to find.

use crate::command::{cargo, follow, succeeds, succeeds_quietly};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{bettertls, fuzz, protocols, tidy};

/// Seconds each fuzz target runs as part of the tests: enough to see that it still works.
const FUZZ_SECONDS: u32 = 10;

/// Where the public conformance suites are, from the root of the project, when `AVOUCH_VECTORS`
/// does not say otherwise.
const DEFAULT_VECTORS: &str = "../shared/conformance";

pub(crate) fn all(workspace: &Workspace) -> Tally {
    let mut tally = Tally::default();
    format(workspace, &mut tally);
    tally.add(tidy::run(workspace));
    lints(workspace, &mut tally);
    generated(workspace, &mut tally);
    documentation(workspace, &mut tally);
    tests(workspace, &mut tally);
    benchmarks(workspace, &mut tally);
    tally.add(fuzz::run(workspace, FUZZ_SECONDS, None));
    advisories(workspace, &mut tally);
    tally
}

fn format(workspace: &Workspace, tally: &mut Tally) {
    let mut command = cargo(workspace, &["fmt", "--all", "--check"]);
    one(tally, "format", succeeds(&mut command));
    // The fuzz targets are a workspace of their own.
    let fuzz = "fuzz/Cargo.toml";
    if workspace.path(fuzz).is_file() {
        let arguments = ["fmt", "--manifest-path", fuzz, "--check"];
        let succeeded = succeeds(&mut cargo(workspace, &arguments));
        one(tally, "format of the fuzz targets", succeeded);
    }
}

fn lints(workspace: &Workspace, tally: &mut Tally) {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked"];
    let mut command = cargo(workspace, &arguments);
    command.args(["--", "-D", "warnings"]);
    one(tally, "lints", succeeds(&mut command));
}

/// What is made of the protocols is what is committed.
fn generated(workspace: &Workspace, tally: &mut Tally) {
    let findings = protocols::up_to_date(workspace);
    if findings.is_empty() {
        tally.pass(1);
    }
    for finding in findings {
        tally.fail(finding);
    }
}

fn documentation(workspace: &Workspace, tally: &mut Tally) {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
    let mut command = cargo(workspace, &arguments);
    command.arg("--document-private-items");
    // Written for those who work on the crates, so it may link to what is private.
    let flags = "-D warnings -A rustdoc::private-intra-doc-links";
    command.env("RUSTDOCFLAGS", flags);
    one(tally, "documentation", succeeds(&mut command));
}

/// Runs the tests of the workspace and counts them by what they print. A test that cannot run here
/// is `#[ignore]`d with a reason, or prints a line `skipped: SUITE: WHY` and ends.
fn tests(workspace: &Workspace, tally: &mut Tally) {
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
    let mut command = cargo(workspace, &arguments);
    command.args(["--", "--show-output"]);
    if std::env::var_os("AVOUCH_VECTORS").is_none() {
        let vectors = workspace.path(DEFAULT_VECTORS);
        if let Ok(vectors) = vectors.canonicalize() {
            command.env("AVOUCH_VECTORS", vectors);
        }
    }
    if std::env::var_os("AVOUCH_BETTERTLS").is_none()
        && let Some(cases) = bettertls::cases(workspace)
    {
        command.env("AVOUCH_BETTERTLS", cases);
    }
    let mut counted = Counted::default();
    let succeeded = follow(&mut command, |line| {
        counted.read(line);
        counted.is_worth_showing(line)
    });
    let failed = !counted.failed.is_empty();
    tally.add(counted.into_tally());
    if !succeeded && !failed {
        tally.fail("tests: cargo test ended before it could count them");
    }
}

/// Benchmarks are built but not run: how long they take is no test.
fn benchmarks(workspace: &Workspace, tally: &mut Tally) {
    let arguments = ["bench", "--workspace", "--locked", "--no-run"];
    let mut command = cargo(workspace, &arguments);
    // The profile of the tests, since building everything once more optimised shows nothing new.
    command.args(["--profile", "dev"]);
    one(tally, "benchmarks are built", succeeds(&mut command));
}

fn advisories(workspace: &Workspace, tally: &mut Tally) {
    if !succeeds_quietly(&mut cargo(workspace, &["deny", "--version"])) {
        let why = "cargo-deny is not installed (`cargo install --locked cargo-deny`)";
        return tally.skip("advisories and bans of deny.toml", why);
    }
    let mut fetch = cargo(workspace, &["deny", "fetch", "db"]);
    let checks: &[&str] = if succeeds_quietly(&mut fetch) {
        &["deny", "check"]
    } else {
        tally.skip("advisories", "the advisory database cannot be fetched");
        &["deny", "check", "bans", "licenses", "sources"]
    };
    one(tally, "deny.toml", succeeds(&mut cargo(workspace, checks)));
}

fn one(tally: &mut Tally, what: &str, succeeded: bool) {
    if succeeded {
        tally.pass(1);
    } else {
        tally.fail(what);
    }
}

/// What the lines of `cargo test` say.
#[derive(Default)]
struct Counted {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<(String, String)>,
    skipped_inside: Vec<(String, String)>,
    /// Whether the lines are about tests that passed, of which only what they skipped matters.
    among_successes: bool,
}

impl Counted {
    fn read(&mut self, line: &str) {
        if let Some(said) = line.strip_prefix("skipped: ") {
            let (what, why) = said.split_once(": ").unwrap_or((said, "no reason given"));
            return self.skipped_inside.push((what.to_owned(), why.to_owned()));
        }
        let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.rsplit_once(" ... "))
        else {
            return;
        };
        match outcome.split_once(", ").unwrap_or((outcome, "")) {
            ("ok", _) => self.passed += 1,
            ("FAILED", _) => self.failed.push(name.to_owned()),
            ("ignored", why) => self.skipped.push((name.to_owned(), why.to_owned())),
            _ => {}
        }
    }

    /// Whether a person wants to see the line.
    fn is_worth_showing(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.among_successes = true,
            "failures:" => self.among_successes = false,
            _ if line.starts_with("test result:") => self.among_successes = false,
            _ => {}
        }
        !self.among_successes || line.starts_with("skipped: ")
    }

    fn into_tally(self) -> Tally {
        let mut tally = Tally::default();
        // A test that skipped itself was printed as passed.
        tally.pass(self.passed.saturating_sub(self.skipped_inside.len()));
        for name in self.failed {
            tally.fail(name);
        }
        for (what, why) in self.skipped.iter().chain(&self.skipped_inside) {
            tally.skip(what, why);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_skipped_itself_is_not_counted_as_passed() {
        let mut counted = Counted::default();
        for line in [
            "running 4 tests",
            "test a::b ... ok",
            "test c ... ok",
            "test d ... FAILED",
            "test e ... ignored, needs a network",
            "skipped: x509-limbo: AVOUCH_VECTORS is not set",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured",
        ] {
            counted.read(line);
        }
        assert_eq!((counted.passed, counted.skipped_inside.len()), (2, 1));
        assert_eq!(counted.failed, ["d"]);
        assert_eq!(
            counted.skipped,
            [("e".to_owned(), "needs a network".to_owned())]
        );
    }
}
