//! What the removal of registrations ends. Receivers are told that its subject is over, and end all that it has;
//! what is told to others is believed here, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::ended::{Mark, Turn};
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_store::{Change, EntryId, Key, Snapshot};

use super::ending::{REGISTRATION_REMOVED, ToEnd, issuer_of};
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// For how many seconds a token may outlive what it was exchanged for. Nothing that is exchanged for that
/// outlives it in turn.
const OUTLIVED_BY: i64 = 86_400;

/// The identities for which there is no registration any more without these.
pub(super) fn unregistered<'a>(
    snapshot: &Snapshot,
    removed: impl Iterator<Item = &'a EntryId>,
) -> BTreeSet<SpiffeId> {
    let removed: BTreeSet<&EntryId> = removed.collect();
    let entries = removed.iter().filter_map(|id| snapshot.entries.get(*id));
    let fixed = entries.filter_map(|entry| entry.spiffe_id.fixed());
    let mut gone: BTreeSet<SpiffeId> = fixed.cloned().collect();
    let left = snapshot.entries.values();
    for entry in left.filter(|entry| !removed.contains(&entry.id)) {
        match entry.spiffe_id.fixed() {
            Some(id) => drop(gone.remove(id)),
            None => gone.retain(|id| !entry.spiffe_id.admits(id)),
        }
    }
    gone
}

impl Plane {
    /// Removes registrations, and ends what was had by each identity that has none any more, in one change.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn remove_registrations(
        &self,
        tenant: &Arc<Tenant>,
        removed: &[EntryId],
    ) -> Result<(), Refused> {
        let gone = tenant.read(|snapshot| unregistered(snapshot, removed.iter()));
        let removals = || {
            removed
                .iter()
                .map(|id| Change::Remove(Key::Entry(id.clone())))
        };
        if !gone.is_empty() {
            match self.end_unregistered(tenant, &gone, || removals().collect()) {
                Err(Refused::Reason(reason))
                    if matches!(*reason, Reason::IssueEndingsExcess { .. }) =>
                {
                    // Whoever must go goes: more is not asked of who removes them.
                    tracing::error!(
                        tenant = %tenant.id(),
                        "what those had whose registrations were removed holds until it ends by itself: {}",
                        reason.sentence()
                    );
                }
                ended => return ended,
            }
        }
        self.apply(tenant, &removals().collect::<Vec<_>>())?;
        Ok(())
    }

    fn end_unregistered(
        &self,
        tenant: &Arc<Tenant>,
        gone: &BTreeSet<SpiffeId>,
        removals: impl Fn() -> Vec<Change>,
    ) -> Result<(), Refused> {
        let now = self.now();
        let marks = gone
            .iter()
            .map(|id| Mark::subject(&issuer_of(id), id.as_str()));
        let marks: Vec<Mark> = marks.collect();
        let name = match gone.first() {
            Some(id) if gone.len() == 1 => id.to_string(),
            Some(_) | None => format!("{} registrations", gone.len()),
        };
        // Workloads come and go all the time; it is remembered no longer than anything of theirs can live.
        let longest = now.since(self.earliest_living(tenant, now)?);
        let ending = ToEnd {
            marks: &marks,
            name: &name,
            turn: Turn::Ended,
            at: now,
            event: REGISTRATION_REMOVED,
            by: "an administrator",
            stream: None,
            kept: Some(longest + OUTLIVED_BY),
        };
        self.end(tenant, &ending, |_| Ok(removals()))?;
        Ok(())
    }
}
