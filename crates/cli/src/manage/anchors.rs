//! `avouch anchor` at a server: what a tenant trusts.

use std::path::Path;

use avouch_api::TrustDocument;
use avouch_core::anchor::AnchorKind;
use avouch_core::reason::printable;
use avouch_core::words::counted;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::arguments::{
    AnchorDeleteArguments, AnchorImportArguments, AnchorPutArguments, AnchorShowArguments, Remote,
};
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, read, refused_file, said, segment, tell_json, tell_removed};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::{clock, output, trust};

/// The members that make an anchor what it is.
const KINDS: [&str; 7] = [
    "trust_domain",
    "issuer",
    "x509",
    "api_key",
    "saml",
    "ssh",
    "openid_federation",
];

const ANCHOR: [Column; 6] = [
    ("NAME", "name"),
    ("KIND", "kind"),
    ("STORE", "store"),
    ("OWNER", "owner"),
    ("REASON", "reason"),
    ("EXPIRES", "expires"),
];

/// `anchor list` without files.
pub fn list_anchors(remote: &Remote, common: &Common) -> Result<Exit, Fault> {
    let path = path(common, "anchors")?;
    let answer = Client::open(remote)?.get(&path)?;
    if common.output == Format::Json {
        return tell_json(&answer);
    }
    let rows = list_of(&answer, "anchors").iter().map(row);
    output::data(&table(&ANCHOR, &rows.collect::<Vec<_>>()))?;
    Ok(Exit::Accepted)
}

/// `anchor show`.
pub fn show_anchor(arguments: &AnchorShowArguments, common: &Common) -> Result<Exit, Fault> {
    let path = path(common, &format!("anchors/{}", segment(&arguments.name)?))?;
    let answer = Client::open(&arguments.remote)?.get(&path)?;
    output::formatted(
        common.output,
        || members(&ANCHOR, &row(&answer)),
        || pretty(&answer),
    )?;
    Ok(Exit::Accepted)
}

/// What is told of an anchor to a person.
fn row(anchor: &Value) -> Value {
    let document = anchor.get("anchor").cloned().unwrap_or_default();
    let kind = KINDS.into_iter().find(|kind| document.get(kind).is_some());
    let shown = |name: &str| document.get(name).cloned().unwrap_or_default();
    json!({
        "name": anchor.get("name"),
        "kind": kind,
        "store": store_in_words(anchor),
        "owner": shown("owner"),
        "reason": shown("reason"),
        "expires": shown("expires"),
    })
}

/// The public store that an anchor is, or that has its key as well.
fn store_in_words(anchor: &Value) -> Option<String> {
    if let Some(store) = anchor.get("store") {
        let text = |name: &str| store.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| store.get(name).and_then(Value::as_i64).unwrap_or_default();
        let (label, source) = (text("label"), text("source"));
        let (days, count) = (number("age") / 86_400, number("certificates"));
        return Some(format!(
            "public store {label}: {} of {source}, {} old",
            counted(count, "certificate", "certificates"),
            counted(days, "day", "days")
        ));
    }
    let also_in = list_of(anchor, "also_in").iter().filter_map(Value::as_str);
    let also_in = also_in.collect::<Vec<_>>().join(", ");
    (!also_in.is_empty()).then(|| format!("its key is in {also_in} too"))
}

/// `anchor put`.
pub fn put_anchor(arguments: &AnchorPutArguments, common: &Common) -> Result<Exit, Fault> {
    let document = read(&arguments.file)?;
    put(&arguments.name, &document, &arguments.remote, common)
}

fn put(name: &str, document: &Value, remote: &Remote, common: &Common) -> Result<Exit, Fault> {
    let path = path(common, &format!("anchors/{}", segment(name)?))?;
    let answer = Client::open(remote)?.put(&path, document)?;
    for store in list_of(&answer, "also_in").iter().filter_map(Value::as_str) {
        output::note(&format!(
            "a key of {} is in the public store {} too: anyone may have a certificate of it",
            printable(name),
            printable(store)
        ));
    }
    for whom in list_of(&answer, "admits").iter().filter_map(Value::as_str) {
        output::note(&format!("it admits {}", printable(whom)));
    }
    match common.output {
        Format::Human => output::data(name)?,
        _ => output::data(&pretty(&answer))?,
    }
    Ok(Exit::Accepted)
}

/// `anchor delete`.
pub fn delete_anchor(arguments: &AnchorDeleteArguments, common: &Common) -> Result<Exit, Fault> {
    let path = path(common, &format!("anchors/{}", segment(&arguments.name)?))?;
    Client::open(&arguments.remote)?.delete(&path)?;
    tell_removed(common, &arguments.name)
}

/// `anchor import`: a public store as one anchor, in the place of what was imported before.
pub fn import_anchor(arguments: &AnchorImportArguments, common: &Common) -> Result<Exit, Fault> {
    let document = match trust::document(&arguments.from, &common.tenant) {
        Ok(document) => document,
        Err(Stop::Fault(fault)) => return Err(fault),
        Err(Stop::Refused { reason, .. }) => return Err(refused_file(&arguments.from, &reason)),
    };
    let certificates = certificates(&document, &arguments.from)?;
    for unusable in document.set_aside().kept() {
        let (what, why) = (printable(&unusable.what), unusable.reason.sentence());
        output::note(&format!("left out: {what}: {why}"));
    }
    if document.set_aside().left_out() > 0 {
        let more = document.set_aside().left_out();
        output::note(&format!("left out: {more} more"));
    }
    let now = clock::now();
    let source = arguments.source.clone().unwrap_or_else(|| {
        if trust::is_system(&arguments.from) {
            trust::SYSTEM_STORE.to_owned()
        } else {
            input::name_of(&arguments.from)
        }
    });
    let label = arguments.store.name();
    let anchor = said([
        (
            "store",
            Some(json!({
                "label": label,
                "source": source,
                "as_of": arguments.as_of.unwrap_or(now).to_string(),
            })),
        ),
        ("owner", arguments.owner.clone().map(Value::from)),
        ("reason", arguments.reason.clone().map(Value::from)),
        ("added", Some(now.to_string().into())),
        (
            "expires",
            arguments.expires.map(|expires| expires.to_string().into()),
        ),
        ("x509", Some(certificates.into())),
    ]);
    let name = arguments.name.as_deref().unwrap_or(label);
    put(name, &anchor, &arguments.remote, common)
}

/// The certificates of a store in PEM, each once.
fn certificates(document: &TrustDocument, from: &Path) -> Result<String, Fault> {
    let mut texts = Vec::new();
    for entry in document.entries() {
        let AnchorKind::Certificate(certificate) = &entry.anchor.kind else {
            return Err(Fault::Usage(format!(
                "{} is a trust document; a public store is certificates and nothing else",
                input::name_of(from)
            )));
        };
        let text = Base64::encode_string(certificate.der());
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let text = lines.collect::<Vec<_>>().join("\n");
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return Err(Fault::Usage(format!(
            "{} holds no certificate that can be read",
            input::name_of(from)
        )));
    }
    Ok(texts.concat())
}
