//! The token of a job of GitHub Actions.

use std::env;
use std::fmt::Write;

use serde_json::Value;
use ureq::http::Uri;
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::manage::arguments::Remote;
use crate::manage::client::{agent, is_this_machine};
use crate::manage::secured::Secured;

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// The longest answer in bytes.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Asks the runner for a token of its job for an audience. The runner is believed by what the system
/// believes, whatever is said of our own server.
pub(super) fn token(remote: &Remote, audience: &str) -> Result<Zeroizing<String>, Fault> {
    let url = variable(URL)?;
    let bearer = Zeroizing::new(variable(TOKEN)?);
    let failed = |why: &str| Fault::Run(format!("the token of the job cannot be had: {why}"));
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let secured = match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") => Some(Secured::of(&Remote {
            ca: None,
            ..remote.clone()
        })?),
        Some("http") if is_this_machine(host) => None,
        _ => return Err(failed(&format!("{URL} is no address of HTTPS"))),
    };
    // The address has a query already, to which the audience is added.
    let address = format!("{url}&audience={}", escaped(audience));
    let answer = agent(secured)
        .get(&address)
        .header("authorization", format!("Bearer {}", bearer.as_str()))
        .header("accept", "application/json")
        .call();
    let mut answer = answer.map_err(|error| failed(&error.to_string()))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(failed(&format!("the runner answers {status}")));
    }
    let text = answer
        .body_mut()
        .with_config()
        .limit(LONGEST_ANSWER)
        .read_to_string()
        .map_err(|error| failed(&error.to_string()))?;
    let text = Zeroizing::new(text);
    let answer: Option<Value> = serde_json::from_str(&text).ok();
    let token = answer
        .as_ref()
        .and_then(|answer| answer.get("value")?.as_str());
    match token {
        Some(token) => Ok(Zeroizing::new(token.to_owned())),
        None => Err(failed("the answer of the runner has no `value`")),
    }
}

fn variable(name: &str) -> Result<String, Fault> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        Fault::Usage(format!(
            "--github-actions: {name} is not set; this is no job of GitHub Actions, or the job lacks \
             `permissions: {{ id-token: write }}`, as those of pull requests from forks do"
        ))
    })
}

/// With everything escaped that means something in a query (RFC 3986 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            // Writing to a string does not fail.
            other => drop(write!(escaped, "%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn an_audience_stays_one_member_of_a_query() {
        assert_eq!(
            escaped("https://a.test/t/x&y"),
            "https%3A%2F%2Fa.test%2Ft%2Fx%26y"
        );
        assert_eq!(escaped("é-._~"), "%C3%A9-._~");
    }
}
