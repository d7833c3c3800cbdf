//! `avouch`: is this credential to be believed, and why?

use std::process::ExitCode;

use avouch_cli::arguments::Arguments;
use avouch_cli::{order, output};
use clap::Parser;

/// What one thread takes here, another gives back: an answer is made by whoever the commit wakes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(order::behind_the_command(std::env::args_os()));
    match avouch_cli::run(&arguments) {
        Ok(exit) => exit.into(),
        Err(fault) => output::report(&fault, arguments.common.output),
    }
}
