//! `avouch`: is this credential to be believed, and why?

use std::process::ExitCode;

use avouch_agent::command::without_empty_variables;
use avouch_cli::arguments::Arguments;
use avouch_cli::{order, output};
use clap::{CommandFactory, FromArgMatches};

/// What one thread takes here, another gives back: an answer is made by whoever the commit wakes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = without_empty_variables(Arguments::command());
    let given = command.get_matches_from(order::behind_the_command(std::env::args_os()));
    let arguments = Arguments::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    match avouch_cli::run(&arguments) {
        Ok(exit) => exit.into(),
        Err(fault) => output::report(&fault, arguments.common.output),
    }
}
