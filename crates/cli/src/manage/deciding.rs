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
    let client = Client::open_for_anyone(remote)?;
    let verdict = client.post(&format!("/t/{}/decide", named(common)?), question)?;
    let exit = match verdict.get("verdict").and_then(Value::as_str) {
        Some("accept") => Exit::Accepted,
        Some("reject") => Exit::Rejected,
        Some("undetermined") => Exit::Undetermined,
        Some(_) | None => return Err(client.foreign()),
    };
    output::formatted(
        common.output,
        || render::told(&verdict, detail, output::style()),
        || pretty(&verdict),
    )?;
    Ok(exit)
}
