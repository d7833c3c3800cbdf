//! Turns of those who keep to the same bounds, on this server.
//!
//! They take turns in the database, where whoever waits keeps a connection, of which there are few. So of
//! those that one server has for the same tenant above, one waits there and the others here.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avouch_core::id::TenantId;

use crate::fault::Fault;

/// How long someone waits for a turn. Others have the store tried again later, too.
const LONGEST: Duration = Duration::from_secs(10);

/// Whose bounds someone keeps to just now.
#[derive(Default)]
pub(super) struct Turns {
    taken: Mutex<BTreeSet<TenantId>>,
    given_back: Condvar,
}

/// Has the others wait until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    tops: BTreeSet<TenantId>,
}

impl Turns {
    /// Waits until nobody else keeps to a bound of one of these. All of them are taken at once, so nobody
    /// waits for ever.
    pub(super) fn take(&self, tops: BTreeSet<&TenantId>) -> Result<Turn<'_>, Fault> {
        self.take_within(tops, LONGEST)
    }

    fn take_within(&self, tops: BTreeSet<&TenantId>, longest: Duration) -> Result<Turn<'_>, Fault> {
        let is_taken = |taken: &mut BTreeSet<TenantId>| tops.iter().any(|top| taken.contains(*top));
        let waited = self
            .given_back
            .wait_timeout_while(self.taken(), longest, is_taken);
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let why = "too many add to what a quota bounds at once".to_owned();
            return Err(Fault::Busy(why));
        }
        let tops: BTreeSet<TenantId> = tops.into_iter().cloned().collect();
        taken.extend(tops.iter().cloned());
        Ok(Turn { turns: self, tops })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<TenantId>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken().retain(|one| !self.tops.contains(one));
        self.turns.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_keeps_to_the_same_bound_waits_and_nobody_else() {
        let [top, org, other] = ["top", "org", "other"].map(|name| TenantId::parse(name).unwrap());
        let turns = Turns::default();
        let short = Duration::from_millis(10);
        let both = turns.take(BTreeSet::from([&top, &org])).unwrap();
        drop(turns.take_within(BTreeSet::from([&other]), short).unwrap());
        drop(turns.take_within(BTreeSet::new(), short).unwrap());
        for one in [&top, &org] {
            let waited = turns.take_within(BTreeSet::from([one, &other]), short);
            assert!(matches!(waited, Err(Fault::Busy(_))));
        }
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turns.take(BTreeSet::from([&org, &other])).is_ok());
            drop(both);
            assert!(next.join().unwrap());
        });
        assert!(turns.taken().is_empty());
    }
}
