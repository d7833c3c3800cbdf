//! Which nodes follow now, and what each of them holds already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::{SpiffeId, TenantId};
use avouch_store::{Followers, Sequence};
use tokio::sync::Notify;

/// Which nodes follow now, and what of each tenant they hold.
#[derive(Default)]
pub(crate) struct Presences(Mutex<BTreeMap<(SpiffeId, u64), Presence>>);

/// A node that follows.
#[derive(Default)]
struct Presence {
    progress: BTreeMap<TenantId, Progress>,
    /// Tells it that there is something for it.
    wakes: Arc<Notify>,
}

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
    /// Notes a node that follows from now on, and gives what wakes it.
    pub(crate) fn enter(&self, node: &SpiffeId, stream: u64) -> Arc<Notify> {
        let mut all = self.lock();
        let presence = all.entry((node.clone(), stream)).or_default();
        Arc::clone(&presence.wakes)
    }

    /// Wakes those of the nodes that follow now.
    pub(crate) fn wake(&self, nodes: &BTreeSet<SpiffeId>) {
        let all = self.lock();
        for node in nodes {
            let streams = all.range((node.clone(), u64::MIN)..=(node.clone(), u64::MAX));
            for (_, presence) in streams {
                presence.wakes.notify_one();
            }
        }
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
        if let Some(presence) = self.lock().get_mut(&(node.clone(), stream)) {
            note(presence.progress.entry(tenant.clone()).or_default());
        }
    }

    /// What a node says it holds; of tenants of which it was told something, and of no others:
    /// nobody waits for a node that is told nothing.
    pub(crate) fn arrived(&self, node: &SpiffeId, stream: u64, tenant: &TenantId, sequence: u64) {
        if let Some(presence) = self.lock().get_mut(&(node.clone(), stream))
            && let Some(progress) = presence.progress.get_mut(tenant)
        {
            progress.arrived = progress.arrived.max(sequence);
        }
    }

    /// Nobody holds anything of a tenant any more.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        for presence in self.lock().values_mut() {
            presence.progress.remove(tenant);
        }
    }

    /// How many nodes follow now.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The nodes that follow a tenant now, and up to which number they hold it: on all of their streams,
    /// since two agents may be one node.
    pub(crate) fn of(&self, tenant: &TenantId) -> BTreeMap<SpiffeId, u64> {
        let mut of_tenant: BTreeMap<SpiffeId, u64> = BTreeMap::new();
        for ((node, _), presence) in self.lock().iter() {
            if let Some(progress) = presence.progress.get(tenant) {
                let holds = progress.holds();
                let held = of_tenant.entry(node.clone()).or_insert(holds);
                *held = holds.min(*held);
            }
        }
        of_tenant
    }

    /// How far the nodes have come that follow now, by tenant.
    pub(crate) fn summary(&self) -> BTreeMap<TenantId, Followers> {
        let mut all: BTreeMap<TenantId, Followers> = BTreeMap::new();
        for ((node, _), presence) in self.lock().iter() {
            for (tenant, progress) in &presence.progress {
                let holds = Sequence::of(progress.holds());
                let of_tenant = all.entry(tenant.clone()).or_insert_with(|| Followers {
                    tenant: tenant.clone(),
                    count: 0,
                    least: holds,
                    slowest: node.clone(),
                });
                of_tenant.count += 1;
                if holds < of_tenant.least {
                    of_tenant.least = holds;
                    of_tenant.slowest = node.clone();
                }
            }
        }
        all
    }

    pub(crate) fn behind(&self, tenant: &TenantId, sequence: Sequence) -> Vec<SpiffeId> {
        let of_tenant = self.of(tenant).into_iter();
        of_tenant
            .filter(|(_, holds)| *holds < sequence.number())
            .map(|(node, _)| node)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SpiffeId, u64), Presence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_two_streams_holds_what_both_do() {
        let node = SpiffeId::parse("spiffe://one.test/avouch/node/a").unwrap();
        let one = TenantId::parse("one").unwrap();
        for slow in [1, 2] {
            let presences = Presences::default();
            for stream in [1, 2] {
                presences.enter(&node, stream);
                presences.note(&node, stream, &one, |progress| progress.sent = 7);
                presences.arrived(&node, stream, &one, if stream == slow { 3 } else { 7 });
            }
            assert_eq!(presences.of(&one), BTreeMap::from([(node.clone(), 3)]));
            let behind = presences.behind(&one, Sequence::of(7));
            assert_eq!(behind.as_slice(), std::slice::from_ref(&node));
            presences.leave(&node, slow);
            assert!(presences.behind(&one, Sequence::of(7)).is_empty());
        }
    }

    #[test]
    fn nobody_waits_for_a_node_that_speaks_of_tenants_it_is_told_nothing_of() {
        let presences = Presences::default();
        let node = SpiffeId::parse("spiffe://one.test/avouch/node/a").unwrap();
        let (one, two) = (
            TenantId::parse("one").unwrap(),
            TenantId::parse("two").unwrap(),
        );
        presences.enter(&node, 1);
        presences.note(&node, 1, &one, |progress| progress.sent = 7);
        presences.arrived(&node, 1, &one, 7);
        presences.arrived(&node, 1, &two, 0);
        assert!(presences.behind(&one, Sequence::of(7)).is_empty());
        assert!(presences.of(&two).is_empty());
        assert!(presences.behind(&two, Sequence::of(7)).is_empty());
    }
}
