//! What passed, what failed, and what was skipped and why.

use std::process::ExitCode;

/// A count of checks. A skipped check is never a passed one.
#[derive(Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    pub(crate) fn pass(&mut self, count: usize) {
        self.passed += count;
    }

    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failed.push(what.into());
    }

    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        self.skipped.push(format!("{what}: {why}"));
    }

    /// One check that names what it found wrong; nothing found is a pass.
    pub(crate) fn check(&mut self, what: &str, findings: &[String]) {
        if findings.is_empty() {
            println!("{what}: ok");
            return self.pass(1);
        }
        println!("{what}: {} found", findings.len());
        for finding in findings {
            println!("  {finding}");
        }
        self.fail(what);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// The last lines of a run: what was skipped, what failed, and how many of each.
    pub(crate) fn report(self) -> ExitCode {
        println!();
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for failed in &self.failed {
            println!("failed: {failed}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        );
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
