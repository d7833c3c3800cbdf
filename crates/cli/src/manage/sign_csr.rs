//! `authority sign-csr`: a certificate for a request that is brought by hand.

use serde_json::{Value, json};

use super::arguments::SignCsrArguments;
use super::client::Client;
use super::upstream::read_request;
use super::{path, pretty, said};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::output;

/// A person gets the certificates as PEM, a program what they are as well.
pub(super) fn sign_csr(
    client: &Client,
    asked: &SignCsrArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let request = read_request(&asked.request)?;
    let sent = said([
        ("signing_request", Some(json!(request))),
        ("spiffe_id", Some(json!(asked.spiffe_id.as_str()))),
        ("ttl", asked.ttl.map(|ttl| json!(ttl))),
        ("used_for", asked.used_for.as_ref().map(|one| json!(one))),
    ]);
    let answer = client.post(&path(common, "certificates")?, &sent)?;
    let pem = answer.get("certificates").and_then(Value::as_str);
    let pem = pem.unwrap_or_default().trim_end();
    output::formatted(common.output, || pem.to_owned(), || pretty(&answer))?;
    Ok(Exit::Accepted)
}
