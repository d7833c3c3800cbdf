//! The status lists of others that this server has fetched, within bounds. They are found anew after
//! a start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::credential::jose::status_list::StatusList;
use avouch_core::id::TenantId;
use avouch_core::time::Time;

use crate::back_off::{BackOff, Waits};
use crate::fetch::Flights;
use crate::remembered::{Remembered, Room};

/// How many lists are kept of one tenant.
const LISTS: Room = Room {
    entries: 256,
    bytes: 32 << 20,
};

/// Of how many addresses it is remembered that nothing could be had there.
const FAILURES: Room = Room {
    entries: 1_024,
    bytes: usize::MAX,
};

/// How many decisions wait for one list; the next is decided by what is known.
const MOST_WAITING: usize = 4;

/// How long to wait after a list could not be had.
const RETRY: Waits = Waits {
    first: 15,
    longest: 600,
};

/// For how many seconds is remembered how often a list could not be had.
const FAILURES_KEPT: i64 = 2 * RETRY.longest;

/// For how many seconds a list is kept after its end.
const KEPT_AFTER: i64 = 86_400;

/// All lists of all tenants.
pub(crate) struct StatusLists {
    lists: Remembered<String, Kept>,
    failures: Remembered<String, Failure>,
    /// How often what is kept has changed.
    changes: Mutex<BTreeMap<TenantId, u64>>,
    pub(super) flights: Flights<(TenantId, String), bool>,
}

/// That a list could not be had.
#[derive(Clone, Default)]
struct Failure {
    back_off: BackOff,
    why: String,
}

/// A list that was fetched.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) list: Arc<StatusList>,
    /// Whose tokens named it.
    pub(super) issuer: String,
    pub(super) bytes: usize,
    /// When the next one is due.
    pub(super) next: Time,
}

impl Kept {
    /// Whether it is to be fetched again.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.next || now >= self.list.end()
    }
}

impl Default for StatusLists {
    fn default() -> Self {
        Self {
            lists: Remembered::within(LISTS),
            failures: Remembered::within(FAILURES),
            changes: Mutex::default(),
            flights: Flights::new(MOST_WAITING),
        }
    }
}

impl StatusLists {
    /// Forgets the lists of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.lists.forget_tenant(tenant);
        self.failures.forget_tenant(tenant);
        self.counted().remove(tenant);
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<TenantId, u64>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often what is kept for a tenant has changed.
    pub(crate) fn changes(&self, tenant: &TenantId) -> u64 {
        self.counted().get(tenant).copied().unwrap_or_default()
    }

    /// What is kept for a tenant. The core looks at whether a list has ended.
    pub(crate) fn all(&self, tenant: &TenantId) -> Vec<Arc<StatusList>> {
        let lists = self.lists.all(tenant).into_iter();
        lists.map(|kept| Arc::clone(&kept.list)).collect()
    }

    pub(super) fn at(&self, tenant: &TenantId, uri: &str, now: Time) -> Option<Arc<Kept>> {
        self.lists.of(tenant, &uri.to_owned(), now)
    }

    /// Whether a list may be asked for now.
    pub(super) fn may_try(&self, tenant: &TenantId, uri: &str, now: Time) -> bool {
        let failures = self.failures.of(tenant, &uri.to_owned(), now);
        failures.is_none_or(|failures| failures.back_off.may_try(now))
    }

    pub(super) fn failed(&self, tenant: &TenantId, uri: &str, why: String, now: Time) {
        let uri = uri.to_owned();
        let known = self.failures.of(tenant, &uri, now);
        let known = known.as_deref().cloned().unwrap_or_default();
        let mut failure = Failure { why, ..known };
        failure.back_off.failed(RETRY, now);
        let until = now.plus(FAILURES_KEPT);
        self.failures.keep(tenant, uri, (failure, 1), until, now);
    }

    /// Why the last list could not be had that is there at an address, if it could not.
    pub(crate) fn why_none(&self, tenant: &TenantId, uri: &str, now: Time) -> Option<String> {
        let failure = self.failures.of(tenant, &uri.to_owned(), now)?;
        Some(failure.why.clone())
    }

    /// Keeps a list for longer than it holds: whose it was is known when the next is fetched, and that
    /// none of before is taken for a newer one.
    pub(super) fn put(&self, tenant: &TenantId, uri: &str, kept: Kept, now: Time) {
        let (bytes, until) = (kept.bytes, kept.list.end().plus(KEPT_AFTER));
        self.lists
            .keep(tenant, uri.to_owned(), (kept, bytes), until, now);
        self.failures.forget(tenant, &uri.to_owned());
        *self.counted().entry(tenant.clone()).or_default() += 1;
    }
}
