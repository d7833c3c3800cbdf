//! `verify --server`: the tenant of a server decides, by what it trusts.

use serde_json::Value;

use super::arguments::Remote;
use super::client::Client;
use super::{named, pretty};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::render::Detail;
use crate::{output, render};

/// Has the tenant decide on a question, and tells the verdict.
pub(crate) fn decide(
    remote: &Remote,
    question: &Value,
    detail: Detail,
    common: &Common,
) -> Result<Exit, Fault> {
    let (verdict, exit) = decided(remote, question, common)?;
    tell_decided(&verdict, detail, common)?;
    Ok(exit)
}

/// Tells a verdict of a server.
pub(crate) fn tell_decided(verdict: &Value, detail: Detail, common: &Common) -> Result<(), Fault> {
    output::formatted(
        common.output,
        || render::told(verdict, detail, output::style()),
        || pretty(verdict),
    )
}

/// The verdict of a tenant on a question, and how a run ends for it.
pub(crate) fn decided(
    remote: &Remote,
    question: &Value,
    common: &Common,
) -> Result<(Value, Exit), Fault> {
    let client = Client::open_for_anyone(remote)?;
    let verdict = client.post(&format!("/t/{}/decide", named(common)?), question)?;
    let exit = match verdict.get("verdict").and_then(Value::as_str) {
        Some("accept") => Exit::Accepted,
        Some("reject") => Exit::Rejected,
        Some("undetermined") => Exit::Undetermined,
        Some(_) | None => return Err(client.foreign()),
    };
    Ok((verdict, exit))
}
