//! `avouch-agent`: the agent of one node, alone in a small program.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it says where workloads find it, and why it does not run"
)]

use std::process::ExitCode;

use avouch_agent::command::{AgentArguments, run};
use avouch_agent::{logging, shell};
use clap::Parser;

/// Serves the SPIFFE Workload API and Envoy's Secret Discovery Service to the workloads of this
/// node, with identities from an Avouch server.
#[derive(Debug, Parser)]
#[command(name = "avouch-agent", version)]
struct Arguments {
    #[command(flatten)]
    agent: AgentArguments,
}

fn main() -> ExitCode {
    let Arguments { agent } = Arguments::parse();
    logging::start(agent.log);
    let ready = |address: &str| println!("{}", shell::endpoint_socket(address));
    match run(&agent, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}
