//! Which nodes follow now, and what each of them holds already.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::id::{SpiffeId, TenantId};
use avouch_store::Sequence;

use crate::plane::Plane;
use crate::tenant::Tenant;

impl Plane {
    /// Which nodes that follow a tenant now do not hold all of it up to `sequence`.
    pub(crate) fn behind(&self, tenant: &Tenant, sequence: Sequence) -> Vec<SpiffeId> {
        self.presences.behind(tenant.id(), sequence)
    }
}

/// Which nodes follow now, and what of each tenant they hold.
#[derive(Default)]
pub(crate) struct Presences(Mutex<BTreeMap<(SpiffeId, u64), BTreeMap<TenantId, Progress>>>);

/// How far a node has followed a tenant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The last number for which something was sent.
    pub(crate) sent: u64,
    /// Up to which number there was nothing more to send.
    pub(crate) seen: u64,
    /// The last number that has arrived.
    pub(crate) arrived: u64,
}

impl Progress {
    /// Up to which number the node holds all that concerns it.
    fn holds(self) -> u64 {
        if self.arrived >= self.sent {
            self.seen.max(self.arrived)
        } else {
            self.arrived
        }
    }
}

impl Presences {
    pub(crate) fn enter(&self, node: &SpiffeId, stream: u64) {
        self.lock().entry((node.clone(), stream)).or_default();
    }

    pub(crate) fn leave(&self, node: &SpiffeId, stream: u64) {
        self.lock().remove(&(node.clone(), stream));
    }

    pub(crate) fn note(
        &self,
        node: &SpiffeId,
        stream: u64,
        tenant: &TenantId,
        note: impl FnOnce(&mut Progress),
    ) {
        if let Some(held) = self.lock().get_mut(&(node.clone(), stream)) {
            note(held.entry(tenant.clone()).or_default());
        }
    }

    /// How many nodes follow now.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The nodes that follow a tenant now, and up to which number they hold it.
    pub(crate) fn of(&self, tenant: &TenantId) -> BTreeMap<SpiffeId, u64> {
        let all = self.lock();
        let of_tenant = all.iter().filter_map(|((node, _), held)| {
            let progress = held.get(tenant)?;
            Some((node.clone(), progress.holds()))
        });
        of_tenant.collect()
    }

    fn behind(&self, tenant: &TenantId, sequence: Sequence) -> Vec<SpiffeId> {
        let of_tenant = self.of(tenant).into_iter();
        of_tenant
            .filter(|(_, holds)| *holds < sequence.number())
            .map(|(node, _)| node)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SpiffeId, u64), BTreeMap<TenantId, Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
