//! The command line of Avouch, as a library so that its pictures can be tested and made elsewhere.
//!
//! What it knows comes from files and from its arguments; the time comes from [`clock`] alone.
//! Standard output carries data only.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod advise;
pub mod anchors;
pub mod arguments;
pub mod batch;
pub mod clock;
pub mod credential;
pub mod fault;
pub mod fetch;
pub mod import;
pub mod input;
pub mod manage;
pub mod models;
pub mod order;
pub mod output;
pub mod recognise;
pub mod render;
pub mod trust;
pub mod up;
mod values;
pub mod verify;

use arguments::{
    AgentCommand, AnchorCommand, Arguments, Command, ExplainArguments, Format, ModelCommand,
    ServerCommand,
};
use fault::{Exit, Fault};

/// That the command has what is to be written in the form that was asked for.
fn check_format(arguments: &Arguments) -> Result<(), Fault> {
    let refused = match (arguments.common.output, &arguments.command) {
        (Format::Human | Format::Json, _)
        | (Format::Sarif, Command::Import(_))
        | (Format::Dot | Format::Svg, Command::Explain(ExplainArguments { flow: None, .. })) => {
            None
        }
        (Format::Sarif, Command::Audit(audit)) if audit.command.has_findings() => None,
        (Format::Sarif, _) => Some(
            "`-o sarif` is for findings, which this command has none of; see `avouch import` and `avouch audit`",
        ),
        (Format::Dot | Format::Svg, _) => Some(
            "`-o dot` and `-o svg` draw who vouches for whom, which `avouch explain` tells (without `--flow`)",
        ),
    };
    refused.map_or(Ok(()), |text| Err(Fault::Usage(text.to_owned())))
}

/// Does what the arguments say. What is refused is an answer, not a fault.
pub fn run(arguments: &Arguments) -> Result<Exit, Fault> {
    let common = &arguments.common;
    check_format(arguments)?;
    match &arguments.command {
        Command::Verify(verify) => match &verify.batch {
            Some(_) if verify.remote.server.is_some() => Err(Fault::Usage(
                "a batch is decided here, by the trust of each question or of --trust: leave \
                 --server away (or unset AVOUCH_SERVER)"
                    .to_owned(),
            )),
            Some(questions) => batch::run(questions, verify, common),
            None => {
                let (question, remote) = (&verify.question, &verify.remote);
                verify::verify(&verify.credentials, question, remote, common)
            }
        },
        Command::Explain(explain) => verify::explain(explain, common),
        Command::Admin(admin) => manage::admin(admin, common),
        Command::Apply(apply) => manage::apply::apply(apply, common),
        Command::Export(export) => manage::apply::export(export, common),
        Command::Plan(plan) => manage::apply::plan(plan, common),
        Command::Anchor(AnchorCommand::Delete(delete)) => manage::delete_anchor(delete, common),
        Command::Anchor(AnchorCommand::Import(import)) => manage::import_anchor(import, common),
        Command::Anchor(AnchorCommand::List(list)) if list.trust.is_empty() => {
            manage::list_anchors(&list.remote, common)
        }
        Command::Anchor(AnchorCommand::List(list)) => anchors::list(list, common),
        Command::Anchor(AnchorCommand::Show(show)) => manage::show_anchor(show, common),
        Command::Anchor(AnchorCommand::Put(put)) => manage::put_anchor(put, common),
        Command::Authority(authority) => manage::authority(authority, common),
        Command::Advise(advise) => advise::advise(advise, common),
        Command::Cluster(cluster) => manage::cluster(cluster, common),
        Command::Audit(audit) => manage::audit::audit(audit, common),
        Command::Decision(decision) => manage::decision(decision, common),
        Command::Drill(drill) => manage::drill(drill, common),
        Command::Egress(egress) => manage::egress(egress, common),
        Command::Entry(entry) => manage::entry(entry, common),
        Command::Federation(federation) => manage::federation(federation, common),
        Command::Node(node) => manage::node(node, common),
        Command::Tenant(tenant) => manage::tenant(tenant, common),
        Command::Token(token) => manage::token(token, common),
        Command::TrustDomain(domain) => manage::trust_domain(domain, common),
        Command::Receiver(receiver) => manage::receiver(receiver, common),
        Command::Rule(rule) => manage::rule(rule, common),
        Command::Service(service) => manage::service(service, common),
        Command::Signal(signal) => manage::signal(signal, common),
        Command::WhyNot(why_not) => manage::why_not(why_not, common),
        Command::Anchor(AnchorCommand::Diff(diff)) => anchors::diff(diff, common),
        Command::Import(import) => import::import(import, common),
        Command::Issuer(issuer) => manage::issuer(issuer, common),
        Command::Pin(pin) => manage::pin(pin, common),
        Command::Model(ModelCommand::Show(show)) => models::show(show, common),
        Command::Agent(AgentCommand::Run(agent)) => up::agent(agent, common),
        Command::Fetch(fetch) => fetch::fetch(fetch, common),
        Command::Server(ServerCommand::Run(server)) => up::server(server, common),
        Command::Up(arguments) => up::up(arguments, common),
    }
}
