//! Fetching the keys of issuers by schedule: those of each tenant one after another, as they fell due.
//!
//! There is time, since keys are believed for long after they were due. So what is due waits for its turn
//! where there is much of it, and is never refused for being much.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::{Digest, TenantId};
use avouch_core::time::Time;
use avouch_store::IssuerId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::refresh::{Look, refresh};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many issuers of one tenant are fetched from at once.
const MOST_OF_A_TENANT: usize = 8;

/// How many of all tenants.
const MOST_OF_ALL: usize = 64;

/// What is due and waits for its turn, and what has it.
pub(crate) struct Schedule {
    queues: Mutex<BTreeMap<TenantId, Queue>>,
    at_once: Semaphore,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
            at_once: Semaphore::new(MOST_OF_ALL),
        }
    }
}

/// The issuers of one tenant.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<IssuerId>,
    under_way: BTreeSet<IssuerId>,
}

impl Queue {
    /// Lets those wait that do not yet, and are not under way.
    fn join(&mut self, due: Vec<IssuerId>) {
        let known: BTreeSet<&IssuerId> = self.waiting.iter().chain(&self.under_way).collect();
        let new = due.into_iter().filter(|id| !known.contains(id));
        let new: Vec<IssuerId> = new.collect();
        self.waiting.extend(new);
    }

    /// Whose turn it is, if there is room for one more.
    fn next(&mut self) -> Option<IssuerId> {
        if self.under_way.len() >= MOST_OF_A_TENANT {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.under_way.insert(next.clone());
        Some(next)
    }
}

impl Schedule {
    pub(super) fn forget_tenant(&self, tenant: &TenantId) {
        self.queues().remove(tenant);
    }

    /// Lets those wait that are due; those whose turn it is at once.
    fn begin(&self, tenant: &TenantId, due: Vec<IssuerId>) -> Vec<IssuerId> {
        let mut queues = self.queues();
        let queue = queues.entry(tenant.clone()).or_default();
        queue.join(due);
        std::iter::from_fn(|| queue.next()).collect()
    }

    /// This one is done; whose turn it is after it.
    fn after(&self, tenant: &TenantId, done: &IssuerId) -> Option<IssuerId> {
        let mut queues = self.queues();
        let queue = queues.get_mut(tenant)?;
        queue.under_way.remove(done);
        queue.next()
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<TenantId, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plane {
    /// Fetches all keys that are due. What another round has begun is left to it.
    pub async fn refresh_due_issuers(self: &Arc<Self>) {
        let mut refreshing = JoinSet::new();
        for tenant in self.open_tenants() {
            let due = self.due_issuers(&tenant);
            for first in self.refreshing.schedule.begin(tenant.id(), due) {
                let (plane, tenant) = (Arc::clone(self), Arc::clone(&tenant));
                refreshing.spawn(async move { plane.refresh_from(&tenant, first).await });
            }
        }
        while refreshing.join_next().await.is_some() {}
    }

    /// Fetches the keys of an issuer, and then of those whose turn it is, until there are none.
    async fn refresh_from(self: &Arc<Self>, tenant: &Arc<Tenant>, first: IssuerId) {
        let mut next = Some(first);
        while let Some(id) = next {
            // A token may have had them fetched while they waited.
            if self.is_due(tenant, &id, self.now()) {
                self.refresh_in_turn(tenant, &id).await;
            }
            next = self.refreshing.schedule.after(tenant.id(), &id);
        }
    }

    async fn refresh_in_turn(self: &Arc<Self>, tenant: &Arc<Tenant>, id: &IssuerId) {
        let turn = self.fetcher().turn(tenant.id()).await;
        let Ok(_place) = self.refreshing.schedule.at_once.acquire().await else {
            return;
        };
        let flights = &self.refreshing.flights;
        let key = (tenant.id().clone(), id.clone());
        let begun = (Arc::clone(self), Arc::clone(tenant), id.clone());
        flights
            .share(key, || {
                refresh(begun.0, begun.1, begun.2, Look::All, Some(turn))
            })
            .await;
    }

    fn due_issuers(&self, tenant: &Tenant) -> Vec<IssuerId> {
        let now = self.now();
        let mut names: Vec<IssuerId> =
            tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        names.retain(|id| self.is_due(tenant, id, now));
        names
    }

    fn is_due(&self, tenant: &Tenant, id: &IssuerId, now: Time) -> bool {
        if !self
            .refreshing
            .may_try(&(tenant.id().clone(), id.clone()), now)
        {
            return false;
        }
        let Ok((settings, keys)) = self.issuer(tenant, id) else {
            return false;
        };
        let is_over = |at: i64| now >= Time::from_unix(at).plus(-early(tenant, id));
        settings.is_fetched()
            && (keys.next.is_none_or(is_over)
                || settings.is_discovered() && keys.discover_next.is_none_or(is_over))
    }
}

/// Issuers are not all asked in the same second: each is asked up to 6 s earlier.
fn early(tenant: &Tenant, id: &IssuerId) -> i64 {
    let name = format!("{}/{id}", tenant.id());
    let digest = Digest::of(name.as_bytes());
    i64::from(digest.as_bytes().first().copied().unwrap_or(0)) * 6 / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> IssuerId {
        IssuerId::parse(&format!("i-{number:02}")).unwrap()
    }

    #[test]
    fn what_is_due_has_its_turn_once_and_in_order() {
        let schedule = Schedule::default();
        let tenant = TenantId::parse("t").unwrap();
        let all: Vec<IssuerId> = (0..20).map(id).collect();
        assert_eq!(schedule.begin(&tenant, all.clone()), all[..8]);
        // It is looked again, and they are due still.
        assert!(schedule.begin(&tenant, all.clone()).is_empty());
        assert_eq!(schedule.after(&tenant, &id(3)), Some(id(8)));
        // One that has failed comes after those that have waited.
        assert!(schedule.begin(&tenant, vec![id(3)]).is_empty());
        for number in 9..20 {
            assert_eq!(schedule.after(&tenant, &id(number - 1)), Some(id(number)));
        }
        assert_eq!(schedule.after(&tenant, &id(0)), Some(id(3)));
        assert_eq!(schedule.after(&tenant, &id(1)), None);
        // No tenant waits for another.
        let other = TenantId::parse("u").unwrap();
        assert_eq!(schedule.begin(&other, vec![id(0)]), [id(0)]);
    }
}
