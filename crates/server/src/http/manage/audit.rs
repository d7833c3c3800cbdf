//! What is found when one looks at a tenant as an auditor does. Nothing is changed by it.

use std::sync::Arc;

use avouch_store::{EntryExtras, EntryId, TenantKind};
use serde_json::{Value, json};

use crate::fault::unknown;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::tenant::Tenant;

/// The static credentials that are known of the tenant, without what is secret.
pub(in crate::http) fn secrets(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    Ok(Answer::json(&call.plane().secrets(tenant)?))
}

/// The checklist of the identity tier.
pub(in crate::http) fn zero_trust(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    Ok(Answer::json(&call.plane().zero_trust(tenant)?))
}

/// The identity record of a registration entry: whose it is, where it stands, what it is for and until
/// when, and what of that nobody has said.
pub(in crate::http) fn record(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.name("entry");
    let entry = EntryId::parse(name)
        .and_then(|id| tenant.read(|snapshot| snapshot.entries.get(&id).cloned()));
    let entry = entry.ok_or_else(|| unknown("registration entry", name))?;
    let is_stage = tenant.kind() == TenantKind::Environment;
    let own = tenant.id().to_string();
    let above = tenant.parent().map(ToString::to_string);
    let (of, environment) = match is_stage {
        true => (above.unwrap_or_else(|| own.clone()), Some(own)),
        false => (own, None),
    };
    let extras = &entry.extras;
    let mut missing = unsaid(extras);
    if extras.expires.is_none() {
        missing.push("expires".into());
    }
    Ok(Answer::json(&json!({
        "entry": entry.id.as_str(),
        "spiffe_id": entry.spiffe_id.as_str(),
        "tenant": of,
        "environment": environment,
        "owner": extras.owner,
        "purpose": extras.purpose,
        "created": entry.created.to_string(),
        "expires": extras.expires.map(|end| end.to_string()),
        "missing": missing,
    })))
}

/// What nobody has said of an identity for which someone is to answer: who, and what it is for.
pub(super) fn unsaid(extras: &EntryExtras) -> Vec<Value> {
    let parts = [("owner", &extras.owner), ("purpose", &extras.purpose)];
    let unsaid = parts.into_iter().filter(|(_, said)| said.is_none());
    unsaid.map(|(name, _)| name.into()).collect()
}
