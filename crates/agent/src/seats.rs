//! How many connections each user may hold at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Counts the connections of each user, so that none of them can use up the agent for the others.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    of_each: usize,
    taken: Arc<Mutex<BTreeMap<u32, usize>>>,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    user: u32,
    seats: Seats,
}

impl Seats {
    pub(crate) fn new(of_each: usize) -> Self {
        Self {
            of_each,
            taken: Arc::default(),
        }
    }

    /// A place for one more connection of `user`, if there is one left.
    pub(crate) fn take(&self, user: u32) -> Option<Seat> {
        let mut taken = self.lock();
        let count = taken.entry(user).or_default();
        if *count >= self.of_each {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Seat {
            user,
            seats: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, usize>> {
        self.taken
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        match taken.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_has_taken_all_its_seats_does_not_stand_in_the_way_of_another() {
        let seats = Seats::new(2);
        let first = seats.take(1000).unwrap();
        let _second = seats.take(1000).unwrap();
        assert!(seats.take(1000).is_none());
        let _other = seats.take(1001).unwrap();
        drop(first);
        assert!(seats.take(1000).is_some());
    }

    #[test]
    fn a_user_without_connections_leaves_nothing_behind() {
        let seats = Seats::new(2);
        drop(seats.take(1000));
        assert!(seats.lock().is_empty());
    }
}
