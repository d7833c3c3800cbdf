//! `avouch-agent`: the agent of one node, alone in a small program.

use std::io::{self, Write};
use std::process::ExitCode;

use avouch_agent::command::{AgentArguments, Ending, run, without_empty_variables};
use avouch_agent::{logging, shell};
use clap::{CommandFactory, FromArgMatches, Parser};

/// Serves the SPIFFE Workload API and Envoy's Secret Discovery Service to the workloads of this
/// node, with identities from an Avouch server.
#[derive(Debug, Parser)]
#[command(name = "avouch-agent", version)]
struct Arguments {
    #[command(flatten)]
    agent: AgentArguments,
}

fn main() -> ExitCode {
    let given = without_empty_variables(Arguments::command()).get_matches();
    let Arguments { agent } =
        Arguments::from_arg_matches(&given).unwrap_or_else(|fault| fault.exit());
    logging::start(agent.log);
    // Nobody may read it any more; the agent has its identity by then, and serves all the same.
    let mut written = Ok(());
    let ready = |address: &str| {
        written = writeln!(io::stdout(), "{}", shell::endpoint_socket(address));
    };
    let (code, fault) = match run(&agent, ready) {
        Err(fault) => (fault.ending().code(), fault.to_string()),
        Ok(()) => match written {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (Ending::Fault.code(), format!("standard output: {error}")),
        },
    };
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(io::stderr(), "error: {fault}");
    code.into()
}
