//! Registration entries whose owner is gone: someone answered for a workload, and their account was
//! closed where they signed in. The workload runs on, and nobody answers for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::ended::{Ending, Mark};
use serde_json::{Value, json};

use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// Whose accounts are closed, as owners of entries are written.
pub(crate) struct Orphans {
    /// Those who may have called someone so.
    issuers: BTreeSet<String>,
    endings: Arc<avouch_core::ended::Endings>,
}

impl Plane {
    /// Who of a tenant is gone; nobody, where no account is closed.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn orphans(&self, tenant: &Arc<Tenant>) -> Result<Orphans, Refused> {
        let endings = Arc::clone(&tenant.held().endings);
        let mut issuers = BTreeSet::new();
        if endings.iter().any(|(_, ending)| ending.is_closed()) {
            for document in self.trust_of(tenant)? {
                for entry in document.entries() {
                    issuers.extend(entry.anchor.kind.issuer_name().map(str::to_owned));
                }
            }
        }
        Ok(Orphans { issuers, endings })
    }
}

impl Orphans {
    /// That the account of an owner is closed: by the name of the subject, or by an address of mail.
    pub(crate) fn of(&self, entry: &str, owner: &str) -> Option<Value> {
        let (issuer, ending) = self.issuers.iter().find_map(|issuer| {
            let marks = [Mark::subject(issuer, owner), Mark::email(issuer, owner)];
            let mut closed = marks.into_iter().filter_map(|mark| self.endings.of(mark));
            let ending: &Ending = closed.find(|ending| ending.is_closed())?;
            Some((issuer, ending))
        })?;
        Some(json!({
            "entry": entry,
            "owner": owner,
            "issuer": issuer,
            "event": ending.event,
            "by": ending.by,
            "since": ending.stands_since().to_string(),
        }))
    }
}
