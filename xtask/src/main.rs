//! Runs every check of the project, and writes what is generated from the code.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of developers talks to its terminal"
)]

mod bettertls;
mod command;
mod findings;
mod fixtures;
mod fuzz;
mod protocols;
mod reasons;
mod suites;
mod tally;
mod tidy;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
cargo xtask COMMAND

  test       run every check: format, lints, documentation, tests, tidiness, fuzzing, benchmarks
  tidy       run only the checks of tidiness, which build nothing else
  fuzz N     run each fuzz target for N seconds; with its name only that one
  docs       write docs/reasons.md from the catalogue of reasons, docs/findings.md from the codes of
             findings and docs/facts.md from the presets of issuers
  fixtures   write the worked examples of reasons that are missing; with `--bless CODE` that
             one anew
  protocols  write crates/api/src/grpc from crates/api/proto";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find();
    let done = match arguments.as_slice() {
        ["test"] => return suites::all(&workspace).report(),
        ["tidy"] => return tidy::run(&workspace).report(),
        ["fuzz", seconds, only @ ..] if only.len() < 2 => match seconds.parse() {
            Ok(seconds) => {
                return fuzz::run(&workspace, seconds, only.first().copied()).report();
            }
            Err(_) => Err(format!("`{seconds}` is not a number of seconds")),
        },
        ["docs"] => reasons::write(&workspace).and_then(|()| findings::write(&workspace)),
        ["fixtures"] => fixtures::write(&workspace, None),
        ["fixtures", "--bless", code] => fixtures::write(&workspace, Some(code)),
        ["protocols"] => protocols::write(&workspace),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
