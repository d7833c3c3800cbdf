//! `node`: who serves the workloads of a tenant, and how they join.

use serde_json::{Value, json};

use super::arguments::{AttestorCommand, NodeArguments, NodeCommand};
use super::client::Client;
use super::table::Column;
use super::{
    list_of, members, path, pretty, read, said, segment, table, tell_list, tell_one, tell_removed,
};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::output;

const NODE: [Column; 6] = [
    ("NODE", "name"),
    ("SPIFFE ID", "spiffe_id"),
    ("ATTESTED BY", "attested_by"),
    ("CONNECTED", "connected"),
    ("BANNED", "banned"),
    ("SINCE", "created"),
];

const ALL: [Column; 10] = [
    ("node", "name"),
    ("SPIFFE ID", "spiffe_id"),
    ("attested by", "attested_by"),
    ("attestor", "attestor"),
    ("last on", "attested"),
    ("facts", "facts"),
    ("connected", "connected"),
    ("holds", "holds"),
    ("banned", "banned"),
    ("since", "created"),
];

const JOIN_TOKEN: [Column; 4] = [
    ("TOKEN", "token"),
    ("NODE", "node"),
    ("SPIFFE ID", "spiffe_id"),
    ("UNTIL", "expires"),
];

const REFUSED: [Column; 6] = [
    ("DECISION", "decision"),
    ("AT", "at"),
    ("FROM", "address"),
    ("METHOD", "method"),
    ("ATTESTOR", "attestor"),
    ("CODE", "code"),
];

const WHY: [Column; 8] = [
    ("decision", "decision"),
    ("at", "at"),
    ("from", "address"),
    ("method", "method"),
    ("attestor", "attestor"),
    ("code", "code"),
    ("why", "detail"),
    ("fix", "hint"),
];

/// `node`.
pub fn node(arguments: &NodeArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |node: &str| path(common, &format!("nodes/{}", segment(node)?));
    let step = |node: &str, step: &str| client.post(&format!("{}/{step}", at(node)?), &json!({}));
    match &arguments.command {
        NodeCommand::Attestor(attestor) => self::attestor(&client, &attestor.command, common),
        NodeCommand::List => {
            let answer = client.get(&path(common, "nodes")?)?;
            tell_list(common, &answer, "nodes", &NODE)
        }
        NodeCommand::Show { node } => tell_one(common, &client.get(&at(node)?)?, &ALL),
        NodeCommand::Ban { node } => tell_one(common, &step(node, "ban")?, &NODE),
        NodeCommand::Unban { node } => tell_one(common, &step(node, "unban")?, &NODE),
        NodeCommand::Evict { node } => {
            client.delete(&at(node)?)?;
            tell_removed(common, node)
        }
        NodeCommand::Refused { decision } => refused(&client, decision.as_deref(), common),
        NodeCommand::Token { node, ttl } => {
            let new = said([
                ("node", Some(json!(node))),
                ("ttl", ttl.map(|ttl| json!(ttl))),
            ]);
            let answer = client.post(&path(common, "join-tokens")?, &new)?;
            tell_one(common, &answer, &JOIN_TOKEN)
        }
    }
}

/// All that were refused, or why one was.
fn refused(client: &Client, decision: Option<&str>, common: &Common) -> Result<Exit, Fault> {
    let answer = client.get(&path(common, "refused-nodes")?)?;
    let Some(decision) = decision else {
        return tell_list(common, &answer, "refused", &REFUSED);
    };
    let is_asked = |one: &&Value| one.get("decision").and_then(Value::as_str) == Some(decision);
    let found = list_of(&answer, "refused").iter().find(is_asked);
    let Some(found) = found else {
        return Err(Fault::Run(
            "this server does not remember that decision; its log does, and so may another server"
                .to_owned(),
        ));
    };
    tell_one(common, found, &WHY)
}

/// `node attestor`.
fn attestor(client: &Client, command: &AttestorCommand, common: &Common) -> Result<Exit, Fault> {
    const ATTESTOR: [Column; 3] = [("NAME", "name"), ("METHOD", "method"), ("REJOIN", "rejoin")];
    let at = |name: &str| path(common, &format!("attestors/{}", segment(name)?));
    let row = |attestor: &Value| {
        let document = attestor.get("attestor").cloned().unwrap_or_default();
        let shown = |name: &str| document.get(name).cloned().unwrap_or_default();
        json!({
            "name": attestor.get("name"),
            "method": shown("method"),
            "rejoin": shown("rejoin"),
        })
    };
    match command {
        AttestorCommand::Show { name } => {
            let answer = client.get(&at(name)?)?;
            output::formatted(
                common.output,
                || members(&ATTESTOR, &row(&answer)),
                || pretty(&answer),
            )?;
            Ok(Exit::Accepted)
        }
        AttestorCommand::List => {
            let answer = client.get(&path(common, "attestors")?)?;
            let rows = list_of(&answer, "attestors").iter().map(row);
            output::formatted(
                common.output,
                || table(&ATTESTOR, &rows.collect::<Vec<_>>()),
                || pretty(&answer),
            )?;
            Ok(Exit::Accepted)
        }
        AttestorCommand::Put { name, file } => {
            let answer = client.put(&at(name)?, &read(file)?)?;
            match common.output {
                Format::Human => output::data(name)?,
                _ => output::data(&pretty(&answer))?,
            }
            Ok(Exit::Accepted)
        }
        AttestorCommand::Delete { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
    }
}
