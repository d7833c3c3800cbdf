//! How much each tenant may fetch, so that no tenant and no one it trusts can take it from another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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
    burst: f64,
    /// How many may begin each second, on and on.
    per_second: f64,
}

impl Most {
    /// The part of each of so many, which is never nothing. One alone has half: who comes next finds its
    /// own.
    fn divided(self, among: usize) -> Self {
        let among = among.max(2);
        let parts = u32::try_from(among).map_or(f64::MAX, f64::from);
        Self {
            at_once: (self.at_once / among).max(1),
            burst: (self.burst / parts).max(1.0),
            per_second: self.per_second / parts,
        }
    }
}

/// 240 issuers and bundles looked at every two minutes.
const FETCHES: Most = Most {
    at_once: 8,
    burst: 240.0,
    per_second: 2.0,
};

/// Questions about tokens, each of which someone has presented: no more than this, whoever is asked and
/// however many are.
const QUESTIONS: Most = Most {
    at_once: 32,
    burst: 500.0,
    per_second: 50.0,
};

/// Half of them: this much anyone takes who comes first, and as much is divided among those who are
/// asked.
const HALF: Most = Most {
    at_once: QUESTIONS.at_once / 2,
    burst: QUESTIONS.burst / 2.0,
    per_second: QUESTIONS.per_second / 2.0,
};

/// Who was not asked for so long has no part of what is divided.
const PART_KEPT: Duration = Duration::from_secs(60);

/// What workloads ask of APIs of others through us: as much as such an API takes from one customer.
const USES: Most = Most {
    at_once: 64,
    burst: 1_000.0,
    per_second: 100.0,
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

/// A place among the fetches of a tenant, and in a part of them if there are parts. It is given back when
/// all clones of it are gone.
pub(super) type Place = Arc<Vec<OwnedSemaphorePermit>>;

impl Budget {
    fn full(most: Most, now: Instant) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(most.at_once)),
            left: most.burst,
            since: now,
        }
    }

    /// What is left by now, if no more than this may be taken.
    fn left(&self, most: Most, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        most.burst.min(self.left + passed * most.per_second)
    }

    /// Takes one, if no more than this may be taken; it may be less than when there was nothing taken.
    fn take(&mut self, most: Most, now: Instant) -> Result<OwnedSemaphorePermit, Reason> {
        let Most {
            at_once,
            burst,
            per_second,
        } = most;
        self.left = self.left(most, now);
        self.since = now;
        let spent = |detail: String| Reason::FetchBudget { detail };
        if self.left < 1.0 {
            return Err(spent(format!(
                "{per_second} each second, at most {burst} saved up"
            )));
        }
        let too_many = || spent(format!("{at_once} at once"));
        // Each place taken has one more that holds this.
        if Arc::strong_count(&self.at_once) > at_once {
            return Err(too_many());
        }
        let place = Arc::clone(&self.at_once).try_acquire_owned();
        let place = place.map_err(|_| too_many())?;
        self.left -= 1.0;
        Ok(place)
    }

    fn is_in_use(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.since);
        idle < PART_KEPT || Arc::strong_count(&self.at_once) > 1
    }
}

impl Budgets {
    pub(super) fn of_fetches() -> Self {
        Self::of(FETCHES)
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
        Ok(Arc::new(vec![self.permit(tenant, now)?]))
    }

    fn permit(&self, tenant: &TenantId, now: Instant) -> Result<OwnedSemaphorePermit, Reason> {
        let mut budgets = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(tenant.clone());
        let budget = budget.or_insert_with(|| Budget::full(self.most, now));
        budget.take(self.most, now)
    }

    /// Gives back one that was taken and for which nothing was begun.
    fn give_back(&self, tenant: &TenantId) {
        let mut budgets = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = budgets.get_mut(tenant) {
            budget.left = self.most.burst.min(budget.left + 1.0);
        }
    }
}

/// What each tenant may ask others about tokens. Whoever floods one of those with made-up tokens spends
/// its part and what is for all, and leaves each other one its own, as far as there are so many.
#[derive(Debug)]
pub(super) struct Questions {
    whole: Budgets,
    for_all: Budgets,
    parts: Mutex<BTreeMap<TenantId, BTreeMap<String, Budget>>>,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            whole: Budgets::of(QUESTIONS),
            for_all: Budgets::of(HALF),
            parts: Mutex::default(),
        }
    }
}

impl Questions {
    pub(super) fn forget_tenant(&self, tenant: &TenantId) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.remove(tenant);
        self.for_all.forget_tenant(tenant);
        self.whole.forget_tenant(tenant);
    }

    /// Takes one question that the tenant asks `whom`.
    pub(super) fn take(
        &self,
        tenant: &TenantId,
        whom: &str,
        now: Instant,
    ) -> Result<Place, Reason> {
        let of_whole = self.whole.permit(tenant, now)?;
        let of_half = self.of_part(tenant, whom, now);
        let of_half = of_half.or_else(|_| self.for_all.permit(tenant, now));
        let of_half = of_half.inspect_err(|_| self.whole.give_back(tenant))?;
        Ok(Arc::new(vec![of_whole, of_half]))
    }

    /// Takes one of the part of those who are asked.
    fn of_part(
        &self,
        tenant: &TenantId,
        whom: &str,
        now: Instant,
    ) -> Result<OwnedSemaphorePermit, Reason> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = parts.entry(tenant.clone()).or_default();
        let is_other = |name: &str, part: &Budget| name != whom && part.is_in_use(now);
        let others = parts.iter().filter(|(name, part)| is_other(name, part));
        let most = HALF.divided(others.count() + 1);
        // Who is asked no more takes no part from others. What it has spent is remembered until it
        // would be there again.
        parts.retain(|name, part| {
            name == whom || part.is_in_use(now) || part.left(most, now) < most.burst
        });
        let part = parts.entry(whom.to_owned());
        let part = part.or_insert_with(|| Budget {
            left: most.burst,
            ..Budget::full(HALF, now)
        });
        part.take(most, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn what_one_tenant_has_spent_another_still_has() {
        let budgets = Budgets::of_fetches();
        let now = Instant::now();
        let (one, two) = (tenant("one"), tenant("two"));
        for _ in 0..240 {
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

    /// Asks until there is nothing left; how often that was.
    fn flood(questions: &Questions, tenant: &TenantId, whom: &str, now: Instant) -> usize {
        let asked = (0..2_000).take_while(|_| questions.take(tenant, whom, now).is_ok());
        asked.count()
    }

    #[test]
    fn who_is_asked_without_end_leaves_each_other_its_part() {
        let questions = Questions::default();
        let start = Instant::now();
        let (one, two) = (tenant("one"), tenant("two"));
        assert_eq!(flood(&questions, &one, "flooded", start), 375);
        // Nothing is left for all, and a part of its own for whoever comes.
        assert_eq!(flood(&questions, &one, "second", start), 125);
        assert_eq!(flood(&questions, &two, "flooded", start), 375);
        // All three are asked on and on: the one takes what is for all, and no more.
        for second in 1..10 {
            let now = start + Duration::from_secs(second);
            let flooded = flood(&questions, &one, "flooded", now);
            let others = ["second", "third"].map(|whom| flood(&questions, &one, whom, now));
            assert_eq!(flooded + others[0] + others[1], 50);
            if second > 1 {
                assert!((32..=34).contains(&flooded), "{flooded}");
                assert!(others.iter().all(|one| (7..=9).contains(one)), "{others:?}");
            }
        }
        // Who is asked no more leaves its part to the others.
        let later = start + Duration::from_secs(3_600);
        assert_eq!(flood(&questions, &one, "second", later), 375);
    }

    #[test]
    fn questions_that_hang_leave_each_other_its_places() {
        let questions = Questions::default();
        let now = Instant::now();
        let one = tenant("one");
        let hang = |whom: &str| -> Vec<Place> {
            let taken = (0..100).map_while(|_| questions.take(&one, whom, now).ok());
            taken.collect()
        };
        let hanging = hang("hanging");
        assert_eq!(hanging.len(), 24);
        assert_eq!(hang("second").len(), 8);
        drop(hanging);
        assert_eq!(hang("hanging").len(), 24);
    }

    #[test]
    fn however_many_are_asked_a_tenant_asks_no_more_than_it_may() {
        let questions = Questions::default();
        let start = Instant::now();
        let one = tenant("one");
        let name = |number: usize| format!("issuer-{number}");
        let hanging: Vec<Place> = (0..1_000)
            .filter_map(|number| questions.take(&one, &name(number), start).ok())
            .collect();
        assert_eq!(hanging.len(), 32);
        drop(hanging);
        let flood_all = |now: Instant| -> usize {
            let each = (0..1_000).map(|number| flood(&questions, &one, &name(number), now));
            each.sum()
        };
        assert_eq!(flood_all(start), 500 - 32);
        assert_eq!(flood_all(start), 0);
        assert_eq!(flood_all(start + Duration::from_secs(1)), 50);
        // A part of nothing much is still one: each of so many is asked in its turn.
        let later = start + Duration::from_secs(60);
        let of_each = (0..400).filter(|number| questions.take(&one, &name(*number), later).is_ok());
        assert_eq!(of_each.count(), 400);
    }

    #[test]
    fn who_is_asked_again_has_what_it_would_have_had() {
        const MANY: usize = 2_000;
        let questions = Questions::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let one = tenant("one");
        let ask = |number: usize, now| {
            let asked = questions.of_part(&one, &format!("issuer-{number}"), now);
            asked.is_ok()
        };
        for number in 0..MANY {
            assert!(ask(number, start));
        }
        let last = MANY - 1;
        assert!(!ask(last, start));
        // Of 25 a second, less than one has come to each of so many after a minute, also to one that
        // was not asked for so long.
        for number in 0..last {
            ask(number, after(59));
        }
        ask(0, after(61));
        assert!(!ask(last, after(61)));
        assert!(ask(last, after(600)));
    }

    #[test]
    fn what_is_refused_costs_nothing_of_what_others_have() {
        let questions = Questions::default();
        let start = Instant::now();
        let one = tenant("one");
        assert_eq!(flood(&questions, &one, "flooded", start), 375);
        for _ in 0..1_000 {
            assert!(questions.take(&one, "flooded", start).is_err());
        }
        assert_eq!(flood(&questions, &one, "second", start), 125);
    }
}
