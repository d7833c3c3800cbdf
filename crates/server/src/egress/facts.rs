//! What is known of a workload beside its name: how what it shows was had, and what the registration
//! entry says by which it was.

use std::sync::Arc;

use avouch_core::policy::facts::{Facts, SUBJECT};
use avouch_store::{CredentialKind, Entry, IntentRow, Selector};

use crate::caller::Caller;
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// The facts that rules may speak of, beside the subject.
pub(super) const NAMES: &[&str] = &[
    "entry.id",
    "entry.owner",
    "entry.purpose",
    "spiffe.path",
    "spiffe.trust_domain",
];

/// What is known of one workload.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) facts: Facts,
    /// What was attested of it when it got what it shows.
    pub(super) attested: Vec<Selector>,
}

impl Known {
    /// A name alone says nothing of how it was come by: what is shown must be on record.
    pub(super) fn of(plane: &Plane, tenant: &Tenant, caller: &Caller) -> Result<Self, Refused> {
        let id = &caller.id;
        let mut facts = Facts::default();
        facts.insert(SUBJECT.to_owned(), id.to_string())?;
        facts.insert("spiffe.path".to_owned(), id.path().to_owned())?;
        facts.insert(
            "spiffe.trust_domain".to_owned(),
            id.trust_domain().to_string(),
        )?;
        let mut known = Self {
            facts,
            attested: Vec::new(),
        };
        let Some(entry) = attested_for(plane, tenant, caller)? else {
            return Ok(known);
        };
        let said = [
            ("entry.id", Some(entry.id.to_string())),
            ("entry.owner", entry.extras.owner.clone()),
            ("entry.purpose", entry.extras.purpose.clone()),
        ];
        for (name, value) in said {
            if let Some(value) = value {
                known.facts.insert(name.to_owned(), value)?;
            }
        }
        known.attested = entry.selectors.to_vec();
        Ok(known)
    }
}

/// The entry whose selectors were attested of whoever got this credential, if it was had so: through a
/// node, for an entry that asks for the same still, and in exchange for nothing.
fn attested_for(
    plane: &Plane,
    tenant: &Tenant,
    caller: &Caller,
) -> Result<Option<Arc<Entry>>, Refused> {
    let Some(name) = &caller.credential else {
        return Ok(None);
    };
    let Some(intent) = plane.store.intent(tenant.id(), name)? else {
        return Ok(None);
    };
    if !is_of_a_workload(&intent, caller) {
        return Ok(None);
    }
    let entry = intent.entry.as_ref();
    let entry = entry.and_then(|id| tenant.read(|snapshot| snapshot.entries.get(id).cloned()));
    Ok(entry.filter(|entry| {
        let since = entry.extras.asks_since.unwrap_or(entry.created);
        intent.recorded >= since && entry.spiffe_id.admits(&caller.id)
    }))
}

/// A number may be another's, too: what is on record must be for this identity.
fn is_of_a_workload(intent: &IntentRow, caller: &Caller) -> bool {
    let is_svid = matches!(intent.kind, CredentialKind::X509 | CredentialKind::Jwt);
    is_svid && intent.subject == caller.id && intent.node.is_some() && intent.lineage.is_empty()
}
