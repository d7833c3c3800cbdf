//! `anchor list` and `anchor diff`: what is trusted, and what has changed in it.

mod changes;

pub use changes::{Change, Difference, Severity, changes};

use avouch_api::TrustDocument;
use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::credential::x509::Crl;
use avouch_core::question::Purpose;
use avouch_core::set_aside::{SetAside, Unusable};
use serde_json::{Map, Value, json};

use crate::arguments::{Common, DiffArguments, ListArguments};
use crate::fault::{Exit, Fault};
use crate::input::Stop;
use crate::{clock, output, render, trust, verify};

/// Lists the anchors of trust documents.
pub fn list(arguments: &ListArguments, common: &Common) -> Result<Exit, Fault> {
    let mut documents = Vec::with_capacity(arguments.trust.len());
    for path in &arguments.trust {
        match trust::document(path, &common.tenant) {
            Ok(document) => documents.push(document),
            Err(stop) => return refused(stop, common),
        }
    }
    let usable = documents
        .iter()
        .all(|document| document.set_aside().count() == 0);
    output::formatted(
        common.output,
        || render::anchor_list(&documents, clock::now(), output::style()),
        || pretty(&list_json(&documents)),
    )?;
    Ok(if usable {
        Exit::Accepted
    } else {
        Exit::FindingMedium
    })
}

/// Tells what has changed from one trust document to another.
pub fn diff(arguments: &DiffArguments, common: &Common) -> Result<Exit, Fault> {
    let read = |path| trust::document(path, &common.tenant);
    let (old, new) = match (read(&arguments.old), read(&arguments.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(stop), _) | (_, Err(stop)) => return refused(stop, common),
    };
    let changes = changes(&old, &new);
    output::formatted(
        common.output,
        || render::anchor_diff(&changes, output::style()),
        || pretty(&changes::to_json(&changes)),
    )?;
    Ok(changes
        .iter()
        .map(|change| change.severity())
        .max()
        .map_or(Exit::Accepted, Severity::exit))
}

pub(crate) fn refused(stop: Stop, common: &Common) -> Result<Exit, Fault> {
    match stop {
        Stop::Fault(fault) => Err(fault),
        Stop::Refused { place, reason } => verify::tell_unreadable(&place, &reason, common),
    }
}

fn list_json(documents: &[TrustDocument]) -> Value {
    let entries = documents.iter().flat_map(TrustDocument::entries);
    let set_aside = || documents.iter().map(TrustDocument::set_aside);
    let unusable = set_aside().flat_map(SetAside::kept);
    let left_out: usize = set_aside().map(SetAside::left_out).sum();
    let crls = documents.iter().flat_map(TrustDocument::crls);
    let mut listed = Map::new();
    let anchors = entries.map(|entry| anchor_json(&entry.anchor)).collect();
    listed.insert("anchors".to_owned(), anchors);
    listed.insert("crls".to_owned(), crls.map(crl_json).collect());
    listed.insert("unusable".to_owned(), unusable.map(unusable_json).collect());
    if left_out > 0 {
        listed.insert("unusable_left_out".to_owned(), left_out.into());
    }
    Value::Object(listed)
}

fn anchor_json(anchor: &Anchor) -> Value {
    let stewardship = &anchor.stewardship;
    let constraints = &anchor.constraints;
    let purposes: Vec<&str> = constraints
        .purposes
        .iter()
        .map(|p: &Purpose| p.name())
        .collect();
    let domains: Vec<&str> = constraints
        .trust_domains
        .iter()
        .map(|name| name.as_str())
        .collect();
    let certificate = match &anchor.kind {
        AnchorKind::Certificate(certificate) => json!({
            "subject": certificate.subject().to_string(),
            "sha256": certificate.sha256().to_string(),
            "not_before": certificate.not_before().to_string(),
            "not_after": certificate.not_after().to_string(),
        }),
        AnchorKind::ApiKey(_)
        | AnchorKind::Issuer(_)
        | AnchorKind::Federation(_)
        | AnchorKind::Saml(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => Value::Null,
    };
    let mut told = json!({
        "name": anchor.name,
        "kind": anchor.kind.name(),
        "key": changes::key_of(anchor),
        "certificate": certificate,
        "tenant": anchor.tenant.as_str(),
        "owner": stewardship.owner,
        "reason": stewardship.reason,
        "added": stewardship.added.map(|time| time.to_string()),
        "expires": stewardship.expires.map(|time| time.to_string()),
        "key_origin": stewardship.key_origin.map(|origin| origin.name()),
        "constraints": {
            "trust_domains": domains,
            "dns": constraints.dns,
            "purposes": purposes,
            "path_length": constraints.path_length,
        },
        "source": anchor.source,
    });
    if let (Some(store), Some(members)) = (&stewardship.public_store, told.as_object_mut()) {
        let store = json!({
            "label": store.label.name(),
            "source": store.source,
            "as_of": store.as_of.map(|time| time.to_string()),
        });
        members.insert("store".to_owned(), store);
    }
    told
}

fn crl_json(crl: &Crl) -> Value {
    json!({
        "issuer": crl.issuer().to_string(),
        "sha256": crl.sha256().to_string(),
        "as_of": crl.this_update().to_string(),
        "next": crl.next_update().map(|time| time.to_string()),
        "entries": crl.len(),
    })
}

fn unusable_json(unusable: &Unusable) -> Value {
    json!({
        "what": unusable.what,
        "code": unusable.reason.code(),
        "sentence": unusable.reason.sentence(),
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
