//! How much each tenant may fetch, so that no tenant and no one it trusts can take it from another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a tenant may begin.
#[derive(Clone, Copy, Debug)]
struct Most {
    /// How many are under way at once.
    at_once: usize,
    /// How many may begin at one moment, after a start.
    burst: u32,
    /// How many may begin each second, on and on.
    per_second: u32,
}

/// 240 issuers and bundles looked at every two minutes.
const FETCHES: Most = Most {
    at_once: 8,
    burst: 240,
    per_second: 2,
};

/// Questions about tokens, each of which someone has presented.
const QUESTIONS: Most = Most {
    at_once: 32,
    burst: 500,
    per_second: 50,
};

/// What workloads ask of APIs of others through us: as much as such an API takes from one customer.
const USES: Most = Most {
    at_once: 64,
    burst: 1_000,
    per_second: 100,
};

/// What each tenant has left.
#[derive(Debug)]
pub(super) struct Budgets {
    most: Most,
    left: Mutex<BTreeMap<TenantId, Budget>>,
}

#[derive(Debug)]
struct Budget {
    at_once: Arc<Semaphore>,
    left: f64,
    since: Instant,
}

/// A place among the fetches of a tenant, given back when all clones of it are gone.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

impl Budgets {
    pub(super) fn of_fetches() -> Self {
        Self::of(FETCHES)
    }

    pub(super) fn of_questions() -> Self {
        Self::of(QUESTIONS)
    }

    pub(super) fn of_uses() -> Self {
        Self::of(USES)
    }

    fn of(most: Most) -> Self {
        Self {
            most,
            left: Mutex::default(),
        }
    }

    /// Forgets what a tenant had left.
    pub(super) fn forget_tenant(&self, tenant: &TenantId) {
        let mut budgets = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.remove(tenant);
    }

    /// Takes one fetch from what the tenant has left.
    pub(super) fn take(&self, tenant: &TenantId, now: Instant) -> Result<Place, Reason> {
        let Most {
            at_once,
            burst,
            per_second,
        } = self.most;
        let mut budgets = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(tenant.clone()).or_insert_with(|| Budget {
            at_once: Arc::new(Semaphore::new(at_once)),
            left: f64::from(burst),
            since: now,
        });
        let passed = now.saturating_duration_since(budget.since).as_secs_f64();
        budget.since = now;
        budget.left = f64::from(burst).min(budget.left + passed * f64::from(per_second));
        let spent = |detail: String| Reason::FetchBudget { detail };
        if budget.left < 1.0 {
            return Err(spent(format!(
                "{per_second} each second, at most {burst} saved up"
            )));
        }
        let place = Arc::clone(&budget.at_once)
            .try_acquire_owned()
            .map_err(|_| spent(format!("{at_once} at once")))?;
        budget.left -= 1.0;
        Ok(Arc::new(place))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn what_one_tenant_has_spent_another_still_has() {
        let budgets = Budgets::of_fetches();
        let now = Instant::now();
        let (one, two) = (tenant("one"), tenant("two"));
        for _ in 0..FETCHES.burst {
            assert!(budgets.take(&one, now).is_ok());
        }
        assert_eq!(
            budgets.take(&one, now).unwrap_err().code(),
            "fetch.budget_spent"
        );
        assert!(budgets.take(&two, now).is_ok());
        assert!(budgets.take(&one, now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn fetches_that_hang_take_the_places_of_their_own_tenant_only() {
        let budgets = Budgets::of_fetches();
        let now = Instant::now();
        let (one, two) = (tenant("one"), tenant("two"));
        let mut hanging: Vec<Place> = (0..FETCHES.at_once)
            .map(|_| budgets.take(&one, now).unwrap())
            .collect();
        assert!(budgets.take(&one, now).is_err());
        assert!(budgets.take(&two, now).is_ok());
        hanging.pop();
        assert!(budgets.take(&one, now).is_ok());
    }
}
