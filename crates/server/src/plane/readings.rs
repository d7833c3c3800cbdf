//! Reading tenants for those who have yet to show who they are: so many at once, and all who wait for
//! the same one share its place.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::id::TrustDomain;

/// What is read for whom.
pub(crate) struct Readings {
    most: usize,
    most_waiting: usize,
    /// How many wait for the owner of each trust domain.
    waiting: Mutex<BTreeMap<TrustDomain, usize>>,
}

/// A place among those who wait, until it is dropped.
pub(crate) struct Place<'a> {
    readings: &'a Readings,
    named: &'a TrustDomain,
}

impl Readings {
    /// So many tenants at once, and so many who wait.
    pub(crate) fn new(most: usize, most_waiting: usize) -> Self {
        Self {
            most,
            most_waiting,
            waiting: Mutex::default(),
        }
    }

    /// Lets one wait for the owner of a trust domain, if there is a place.
    pub(crate) fn begin<'a>(&'a self, named: &'a TrustDomain) -> Option<Place<'a>> {
        let mut waiting = self.waiting();
        if waiting.values().sum::<usize>() >= self.most_waiting {
            return None;
        }
        if !waiting.contains_key(named) && waiting.len() >= self.most {
            return None;
        }
        *waiting.entry(named.clone()).or_default() += 1;
        drop(waiting);
        Some(Place {
            readings: self,
            named,
        })
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.waiting().values().sum()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<TrustDomain, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.readings.waiting();
        if let Some(left) = waiting.get_mut(self.named) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                waiting.remove(self.named);
            }
        }
    }
}
