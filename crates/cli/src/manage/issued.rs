//! `authority issued`: what is on record.

use avouch_core::id::SpiffeId;
use serde_json::{Value, json};

use super::arguments::IssuedArguments;
use super::client::Client;
use super::table::{Column, table};
use super::{list_of, path, pretty, segment};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::output;

/// How many are read at once.
const PAGE: usize = 1_000;

const ROW: [Column; 8] = [
    ("SERIAL", "serial"),
    ("KIND", "kind"),
    ("SPIFFE ID", "spiffe_id"),
    ("ENTRY", "entry"),
    ("NODE", "node"),
    ("ISSUED", "issued"),
    ("ENDS", "not_after"),
    ("REVOKED", "revoked"),
];

/// What stands behind the question mark for what is asked about.
fn query(asked: &IssuedArguments) -> Result<String, Fault> {
    let mut query = String::new();
    let serial = asked.serial.as_ref().map(|serial| serial.replace(':', ""));
    let since = asked.since.map(|since| since.to_string());
    for (name, text) in [
        ("serial", serial.as_deref()),
        ("spiffe_id", asked.spiffe_id.as_ref().map(SpiffeId::as_str)),
        ("entry", asked.entry.as_deref()),
        ("node", asked.node.as_ref().map(SpiffeId::as_str)),
        ("since", since.as_deref()),
    ] {
        let Some(text) = text else {
            continue;
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
        if !text.bytes().all(fits) {
            let option = name.replace('_', "-");
            return Err(Fault::Usage(format!("--{option} is no such name")));
        }
        query.push_str(&format!("&{name}={text}"));
    }
    Ok(query)
}

/// All that is on record of it, page by page.
pub(super) fn issued(
    client: &Client,
    asked: &IssuedArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let (path, query) = (path(common, "issued")?, query(asked)?);
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = client.get(&format!("{path}?limit={PAGE}{query}{after}"))?;
        all.extend_from_slice(list_of(&page, "issued"));
        let Some(next) = page.get("next").and_then(Value::as_str) else {
            break;
        };
        after = format!("&after={}", segment(next)?);
    }
    output::formatted(
        common.output,
        || table(&ROW, &all),
        || pretty(&json!({ "issued": all })),
    )?;
    Ok(Exit::Accepted)
}
