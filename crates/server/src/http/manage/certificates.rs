//! A certificate for a signing request that someone brings by hand.

use std::sync::Arc;

use avouch_api::text::{pem_signing_request, to_pem};
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::template::IdTemplate;
use avouch_issuer::signing_request::SigningRequest;
use avouch_issuer::x509_svid::X509Request;
use avouch_store::{AuthorityUse, Entry};
use serde_json::json;

use super::authorities;
use crate::fault::unknown;
use crate::grants::Granted;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

pub(in crate::http) fn issue(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("certification request")?;
    let request = members.required_text("signing_request")?;
    let id = members.required_text("spiffe_id")?;
    let used_for = authorities::used_for(&mut members)?;
    let ttl = members.count("ttl")?;
    // What is below the intermediate of a cluster is no one's SPIFFE ID.
    if used_for == AuthorityUse::Cluster {
        let detail = "must be services, people or devices: what a cluster believes is signed by \
                      `avouch authority sign`";
        return Err(members.refuse("used_for", detail).into());
    }
    members.finish()?;
    let id = SpiffeId::parse(&id)?;
    // Whoever brings the key is who has the identity from then on.
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    superiors.check(&IdTemplate::from(id.clone()))?;
    // Nothing was attested of who brings a request by hand.
    let entry = entry_of(call, tenant, &id)?;
    let granted = Granted::of(&entry, &[], &[])?;
    let asked = SigningRequest::read(&pem_signing_request(&request)?)?;
    let request = X509Request {
        public_half: asked.for_svid(&granted.id, &granted.dns_names)?,
        ttl: shorter(ttl, granted.x509_ttl),
        dns_names: granted.dns_names,
        id: granted.id,
        mark: None,
    };
    call.plane().admit_issuance(tenant)?;
    let svid = call
        .plane()
        .sign_x509_for(tenant, used_for, &entry.id, request)?;
    let blocks = svid.chain.iter().map(|der| to_pem("CERTIFICATE", der));
    Ok(Answer::json(&json!({
        "spiffe_id": svid.id.as_str(),
        "serial": svid.serial,
        "expires": svid.not_after.to_string(),
        "certificates": blocks.collect::<String>(),
    })))
}

/// What is asked for, unless the entry gives less.
fn shorter(asked: Option<u32>, given: Option<u32>) -> Option<u32> {
    match (asked, given) {
        (Some(asked), Some(given)) => Some(asked.min(given)),
        (asked, given) => asked.or(given),
    }
}

/// An entry of this identity that has not ended.
fn entry_of(call: &Call, tenant: &Tenant, id: &SpiffeId) -> Result<Arc<Entry>, Reason> {
    let now = call.plane().now();
    let found = tenant.read(|snapshot| {
        let entries = snapshot.entries.values();
        let mut of_id: Vec<&Arc<Entry>> = entries
            .filter(|entry| entry.spiffe_id.fixed() == Some(id))
            .collect();
        of_id.sort_by_key(|entry| entry.extras.expires.is_some_and(|end| end <= now));
        of_id.first().map(|entry| Arc::clone(entry))
    });
    let entry = found.ok_or_else(|| unknown("registration entry", id.as_str()))?;
    match entry.extras.expires {
        Some(expires) if expires <= now => Err(Reason::IssueEntryExpired {
            entry: entry.id.to_string(),
            expires,
            at: now,
        }),
        Some(_) | None => Ok(entry),
    }
}
