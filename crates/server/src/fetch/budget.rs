//! How much each tenant may fetch, so that no tenant and no one it trusts can take it from another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many fetches of one tenant are under way at once.
const AT_ONCE: usize = 8;

/// How many fetches a tenant may begin at one moment: all of these at once, after a start.
const BURST: u32 = 240;

/// How many it may begin each second, on and on: 240 issuers and bundles looked at every two
/// minutes.
const PER_SECOND: u32 = 2;

/// What each tenant has left.
#[derive(Debug, Default)]
pub(super) struct Budgets(Mutex<BTreeMap<TenantId, Budget>>);

#[derive(Debug)]
struct Budget {
    at_once: Arc<Semaphore>,
    left: f64,
    since: Instant,
}

/// A place among the fetches of a tenant, given back when all clones of it are gone.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

impl Budgets {
    /// Takes one fetch from what the tenant has left.
    pub(super) fn take(&self, tenant: &TenantId, now: Instant) -> Result<Place, Reason> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(tenant.clone()).or_insert_with(|| Budget {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            left: f64::from(BURST),
            since: now,
        });
        let passed = now.saturating_duration_since(budget.since).as_secs_f64();
        budget.since = now;
        budget.left = f64::from(BURST).min(budget.left + passed * f64::from(PER_SECOND));
        let spent = |detail: String| Reason::FetchBudget { detail };
        if budget.left < 1.0 {
            return Err(spent(format!(
                "{PER_SECOND} each second, at most {BURST} saved up"
            )));
        }
        let place = Arc::clone(&budget.at_once)
            .try_acquire_owned()
            .map_err(|_| spent(format!("{AT_ONCE} at once")))?;
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
        let budgets = Budgets::default();
        let now = Instant::now();
        let (one, two) = (tenant("one"), tenant("two"));
        for _ in 0..BURST {
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
        let budgets = Budgets::default();
        let now = Instant::now();
        let (one, two) = (tenant("one"), tenant("two"));
        let mut hanging: Vec<Place> = (0..AT_ONCE)
            .map(|_| budgets.take(&one, now).unwrap())
            .collect();
        assert!(budgets.take(&one, now).is_err());
        assert!(budgets.take(&two, now).is_ok());
        hanging.pop();
        assert!(budgets.take(&one, now).is_ok());
    }
}
