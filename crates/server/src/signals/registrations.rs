//! Who is registered no more once entries are removed: whom receivers are told of.

use std::collections::BTreeSet;

use avouch_core::id::SpiffeId;
use avouch_store::{EntryId, Snapshot};

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
