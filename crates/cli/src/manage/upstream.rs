//! Authorities from elsewhere, and a drill that is watched.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use avouch_api::text::to_pem;
use avouch_core::reason::printable;
use avouch_core::words::counted;
use base64ct::{Base64, Encoding};
use der::pem;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::client::Client;
use super::table::{Column, table};
use super::{LONGEST_FILE, list_of, path, pretty, tell_one};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::output;

/// How often it is asked who holds the new keys.
const PAUSE: Duration = Duration::from_millis(250);

/// The blocks of PEM that an unencrypted private key stands in: PKCS#8, PKCS#1 and RFC 5915.
const KEYS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// `authority import`.
pub(super) fn import(
    client: &Client,
    address: &str,
    certificates: &Path,
    key: Option<&Path>,
    key_address: Option<&str>,
    common: &Common,
) -> Result<Exit, Fault> {
    const IMPORTED: [Column; 2] = [("AUTHORITY", "authority"), ("WARNING", "warning")];
    let answer = client.post(address, &read(certificates, key, key_address)?)?;
    tell_one(common, &answer, &IMPORTED)
}

/// `authority replace`: what is there then, and if it is waited for, once every node holds the new keys.
pub(super) fn replace(
    client: &Client,
    address: &str,
    trust_domain: &str,
    anyway: bool,
    wait: bool,
    common: &Common,
) -> Result<Value, Fault> {
    let answer = client.post(address, &json!({ "anyway": anyway }))?;
    match wait {
        true => self::wait(client, &path(common, "authorities")?, trust_domain),
        false => Ok(answer),
    }
}

/// What is sent for an import.
fn read(
    certificates: &Path,
    key: Option<&Path>,
    key_address: Option<&str>,
) -> Result<Value, Fault> {
    let text = Zeroizing::new(read_text(certificates)?);
    let mut sent = Map::from_iter([("certificates".to_owned(), json!(text.as_str()))]);
    if let Some(path) = key {
        let text = Zeroizing::new(read_text(path)?);
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| no_key(path))?;
        let der = Zeroizing::new(der);
        if !KEYS.contains(&label) {
            return Err(no_key(path));
        }
        let member = Base64::encode_string(&der);
        sent.insert("private_key".to_owned(), member.into());
    }
    if let Some(at) = key_address {
        sent.insert("key_address".to_owned(), at.into());
    }
    Ok(Value::Object(sent))
}

fn no_key(path: &Path) -> Fault {
    Fault::Usage(format!(
        "{}: it is not one PEM block of an unencrypted private key; `openssl pkcs8 -topk8 -nocrypt` makes one",
        input::name_of(path)
    ))
}

pub(super) fn read_text(path: &Path) -> Result<String, Fault> {
    text_of(path, bytes_of(path)?)
}

/// A request for a certificate as PEM, whether it stands in the file so or as DER: tools write both.
pub(super) fn read_request(path: &Path) -> Result<String, Fault> {
    const SEQUENCE: u8 = 0x30;
    let bytes = bytes_of(path)?;
    match bytes.first() {
        Some(&SEQUENCE) => Ok(to_pem("CERTIFICATE REQUEST", &bytes)),
        _ => text_of(path, bytes),
    }
}

fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes)
        .map_err(|_| Fault::Usage(format!("{}: it is not UTF-8", input::name_of(path))))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, Fault> {
    match input::read(path, "file", LONGEST_FILE) {
        Ok(bytes) => Ok(bytes),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::Refused { reason, .. }) => {
            let why = reason.sentence();
            Err(Fault::Usage(format!("{}: {why}", input::name_of(path))))
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server tells its nodes of changes, and the command asks"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// The request alone, so that it can go into a file.
pub(super) fn tell_request(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    let request = answer.get("signing_request").and_then(Value::as_str);
    output::formatted(
        common.output,
        || request.unwrap_or_default().trim_end().to_owned(),
        || pretty(answer),
    )?;
    Ok(Exit::Accepted)
}

/// Waits until every connected node holds the authorities of a trust domain that sign now, and says
/// how far it is whenever that changes, if somebody watches. Those who read what is published come
/// back when they like and are not waited for: it says who of them has still to.
fn wait(client: &Client, path: &str, trust_domain: &str) -> Result<Value, Fault> {
    let mut told = None;
    loop {
        let answer = client.get(path)?;
        let number = |one: &Value, name: &str| one.get(name).and_then(Value::as_u64).unwrap_or(0);
        let progress = signing(&answer, trust_domain)
            .map(|one| (number(one, "nodes_holding"), number(one, "nodes_connected")))
            .min();
        if progress != told {
            if let Some((holding, connected)) = progress {
                let of_all = counted(connected, "node holds", "nodes hold");
                output::progress(&format!("{holding} of {of_all} the new keys"));
            }
            told = progress;
        }
        if progress.is_none_or(|(holding, connected)| holding >= connected) {
            note_readers(&answer, trust_domain);
            return Ok(answer);
        }
        pause();
    }
}

/// The authorities of a trust domain that sign now.
fn signing<'a>(answer: &'a Value, trust_domain: &'a str) -> impl Iterator<Item = &'a Value> {
    list_of(answer, "authorities").iter().filter(move |one| {
        one.get("trust_domain").and_then(Value::as_str) == Some(trust_domain)
            && one.get("state").and_then(Value::as_str) == Some("active")
    })
}

/// Says which readers of what is published do not know the new keys yet.
fn note_readers(answer: &Value, trust_domain: &str) {
    let behind: BTreeSet<&str> = signing(answer, trust_domain)
        .flat_map(|one| list_of(one, "not_read_by"))
        .filter_map(Value::as_str)
        .collect();
    if !behind.is_empty() {
        let behind: Vec<String> = behind.into_iter().map(printable).collect();
        output::note(&format!(
            "the new keys are not yet read by {}: these read the bundle or the keys from time to time, \
             and refuse what is new until they have (`avouch authority list` shows when)",
            behind.join(", ")
        ));
    }
}

/// `authority list` and its like.
pub(super) fn tell(common: &Common, answer: &Value, columns: &[Column]) -> Result<Exit, Fault> {
    output::formatted(common.output, || drawn(answer, columns), || pretty(answer))?;
    Ok(Exit::Accepted)
}

/// For people: a table, and who is behind by name below it.
fn drawn(answer: &Value, columns: &[Column]) -> String {
    let authorities = list_of(answer, "authorities");
    let mut text = table(columns, authorities);
    for one in authorities {
        let id = one.get("id").and_then(Value::as_str).unwrap_or_default();
        for (member, what) in [
            ("not_held_by", "is not yet held by"),
            ("not_read_by", "is not yet read by"),
        ] {
            let behind = list_of(one, member).iter().filter_map(Value::as_str);
            let behind: Vec<String> = behind.map(printable).collect();
            if !behind.is_empty() {
                let (id, behind) = (printable(id), behind.join(", "));
                text.push_str(&format!("{id} {what} {behind}\n"));
            }
        }
    }
    text
}
