//! What has an owner who is gone: someone answered for a workload, or for a trust by which others come
//! in, and their account was closed where they signed in. It goes on, and nobody answers for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::ended::{Ending, Mark};
use avouch_core::reason::printable;
use serde_json::{Value, json};

use crate::fault::Refused;
use crate::findings::ORPHANED;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// Whose accounts are closed, as owners are written.
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
    /// That the account of an owner is closed: who said so, and how.
    fn gone(&self, owner: &str) -> Option<(&str, &Ending)> {
        self.issuers.iter().find_map(|issuer| {
            // By the name of the subject, or by an address of mail.
            let marks = [Mark::subject(issuer, owner), Mark::email(issuer, owner)];
            let mut closed = marks.into_iter().filter_map(|mark| self.endings.of(mark));
            let ending = closed.find(|ending| ending.is_closed())?;
            Some((issuer.as_str(), ending))
        })
    }

    /// The entry as an orphan, if its owner is gone.
    pub(crate) fn of(&self, entry: &str, owner: &str) -> Option<Value> {
        let (issuer, ending) = self.gone(owner)?;
        Some(json!({
            "entry": entry,
            "owner": owner,
            "issuer": issuer,
            "event": ending.event,
            "by": ending.by,
            "since": ending.stands_since().to_string(),
        }))
    }

    /// What an audit finds of anything that has an owner, if they are gone. `place` is its kind and its
    /// name.
    pub(crate) fn finding(&self, place: &str, owner: &str) -> Option<Value> {
        let (issuer, ending) = self.gone(owner)?;
        let (said, since) = (printable(issuer), ending.stands_since());
        Some(json!({
            "code": ORPHANED.code,
            "severity": ORPHANED.severity,
            "sentence": format!(
                "Nobody answers for {place} any more: the account of its owner {} is closed since {since}, \
                 as {said} says.",
                printable(owner),
            ),
            "place": place,
            "fix": "give it an owner who is there, or remove it",
        }))
    }
}
