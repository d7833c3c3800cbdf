//! What this server is doing for streams and receivers: one thing at a time for each, and after a
//! failure later and later.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_store::SignalId;

use crate::back_off::{BackOff, Waits};

/// Which stream or receiver of which tenant.
pub(super) type Place = (TenantId, SignalId);

/// What is under way, and what is to wait.
pub(crate) struct Attempts {
    all: Mutex<BTreeMap<Place, Attempt>>,
    waits: Waits,
}

/// The longest that is waited after a failure, in seconds.
const LONGEST_RETRY: i64 = 300;

#[derive(Default)]
struct Attempt {
    is_under_way: bool,
    back_off: BackOff,
}

impl Attempts {
    /// It is waited so many seconds after the first failure, and twice as long after each.
    pub(super) fn retried_after(first_retry: i64) -> Self {
        Self {
            all: Mutex::default(),
            waits: Waits {
                first: first_retry,
                longest: LONGEST_RETRY,
            },
        }
    }

    /// Whether something may begin now; if so, it has.
    pub(super) fn may_begin(&self, place: &Place, now: Time) -> bool {
        let mut all = self.all();
        let attempt = all.entry(place.clone()).or_default();
        if attempt.is_under_way || !attempt.back_off.may_try(now) {
            return false;
        }
        attempt.is_under_way = true;
        true
    }

    /// It has ended, and the next may begin after so many seconds; or it has failed.
    pub(super) fn ended(&self, place: &Place, now: Time, pause: Option<i64>) {
        let mut all = self.all();
        let attempt = all.entry(place.clone()).or_default();
        attempt.is_under_way = false;
        match pause {
            Some(pause) => attempt.back_off.went_well(Some(now.plus(pause))),
            None => attempt.back_off.failed(self.waits, now),
        }
    }

    /// Forgets the streams or receivers of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.all().retain(|(of, _), _| of != tenant);
    }

    pub(super) fn forget(&self, place: &Place) {
        self.all().remove(place);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Place, Attempt>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
