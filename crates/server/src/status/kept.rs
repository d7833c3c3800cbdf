//! The status lists of others that this server has fetched, within bounds. They are found anew after
//! a start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::credential::jose::status_list::StatusList;
use avouch_core::id::TenantId;
use avouch_core::time::Time;

use crate::fetch::Flights;

/// The most lists that are kept for a tenant, and the most bytes they take together.
const MOST_LISTS: usize = 256;
const MOST_BYTES: usize = 32 << 20;

/// How many decisions wait for one list; the next is decided by what is known.
const MOST_WAITING: usize = 4;

/// How long to wait after a list could not be had, in seconds, twice as long after each failure.
const FIRST_RETRY: i64 = 15;
const LONGEST_RETRY: i64 = 600;

/// The most addresses of which it is remembered that nothing could be had there.
const MOST_FAILURES: usize = 1_024;

/// All lists of all tenants.
pub(crate) struct StatusLists {
    of: Mutex<BTreeMap<TenantId, OfTenant>>,
    pub(super) flights: Flights<(TenantId, String), bool>,
}

#[derive(Default)]
struct OfTenant {
    lists: BTreeMap<String, Kept>,
    failures: BTreeMap<String, Failure>,
    /// Counts changes of what is kept.
    changes: u64,
}

/// A list that was fetched.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) list: Arc<StatusList>,
    /// Whose tokens named it.
    pub(super) issuer: String,
    pub(super) bytes: usize,
    pub(super) as_of: Time,
    /// When the next one is due.
    pub(super) next: Time,
}

impl Kept {
    /// Whether it is to be fetched again.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.next || now >= self.list.end()
    }
}

struct Failure {
    count: u32,
    not_before: Time,
}

impl Default for StatusLists {
    fn default() -> Self {
        Self {
            of: Mutex::default(),
            flights: Flights::new(MOST_WAITING),
        }
    }
}

impl StatusLists {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, OfTenant>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often what is kept for a tenant has changed.
    pub(crate) fn changes(&self, tenant: &TenantId) -> u64 {
        self.lock().get(tenant).map_or(0, |known| known.changes)
    }

    /// What is kept for a tenant.
    pub(crate) fn all(&self, tenant: &TenantId) -> Vec<Arc<StatusList>> {
        let known = self.lock();
        let lists = known.get(tenant).map(|known| known.lists.values());
        let lists = lists.into_iter().flatten();
        lists.map(|kept| Arc::clone(&kept.list)).collect()
    }

    pub(super) fn at(&self, tenant: &TenantId, uri: &str) -> Option<Kept> {
        self.lock().get(tenant)?.lists.get(uri).cloned()
    }

    /// Whether a list may be asked for now.
    pub(super) fn may_try(&self, tenant: &TenantId, uri: &str, now: Time) -> bool {
        let known = self.lock();
        let failure = known.get(tenant).and_then(|known| known.failures.get(uri));
        failure.is_none_or(|failure| now >= failure.not_before)
    }

    pub(super) fn failed(&self, tenant: &TenantId, uri: &str, now: Time) {
        let mut known = self.lock();
        let failures = &mut known.entry(tenant.clone()).or_default().failures;
        if failures.len() >= MOST_FAILURES {
            failures.retain(|_, failure| now < failure.not_before);
        }
        if failures.len() >= MOST_FAILURES {
            return;
        }
        let failure = failures.entry(uri.to_owned()).or_insert(Failure {
            count: 0,
            not_before: now,
        });
        let wait = (FIRST_RETRY << failure.count.min(10)).min(LONGEST_RETRY);
        failure.count = failure.count.saturating_add(1);
        failure.not_before = now.plus(wait);
    }

    /// Keeps a list, and forgets those that are over and, where there are too many, the oldest.
    pub(super) fn put(&self, tenant: &TenantId, uri: &str, kept: Kept, now: Time) {
        let mut known = self.lock();
        let known = known.entry(tenant.clone()).or_default();
        known.changes += 1;
        known.failures.remove(uri);
        known.lists.insert(uri.to_owned(), kept);
        known.lists.retain(|_, kept| now < kept.list.end());
        let bytes = |known: &OfTenant| known.lists.values().map(|kept| kept.bytes).sum::<usize>();
        while known.lists.len() > MOST_LISTS || bytes(known) > MOST_BYTES {
            let others = known.lists.iter().filter(|(name, _)| *name != uri);
            let oldest = others.min_by_key(|(_, kept)| kept.as_of);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            known.lists.remove(&oldest);
        }
    }
}
