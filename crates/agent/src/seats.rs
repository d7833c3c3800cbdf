//! How many connections each user may hold at once, and all of them together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::endpoint::Limits;

/// Counts the connections of each user, so that none of them can use up the agent for the others, and
/// those of all, so that they cannot use it up together for what else it does.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    of_each: usize,
    of_all: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    of_each: BTreeMap<u32, usize>,
    of_all: usize,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    user: u32,
    seats: Seats,
}

impl Seats {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            of_each: limits.connections_per_user,
            of_all: limits.connections,
            taken: Arc::default(),
        }
    }

    /// A place for one more connection of `user`, if there is one left.
    pub(crate) fn take(&self, user: u32) -> Option<Seat> {
        let mut taken = self.lock();
        let count = taken.of_each.get(&user).copied().unwrap_or_default();
        if count >= self.of_each || taken.of_all >= self.of_all {
            return None;
        }
        taken.of_each.insert(user, count + 1);
        taken.of_all += 1;
        drop(taken);
        Some(Seat {
            user,
            seats: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.of_all = taken.of_all.saturating_sub(1);
        match taken.of_each.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.of_each.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(connections_per_user: usize, connections: usize) -> Seats {
        Seats::new(Limits {
            connections_per_user,
            connections,
            ..Limits::default()
        })
    }

    #[test]
    fn all_users_together_leave_files_for_what_else_the_agent_does() {
        let seats = seats(2, 3);
        let _first = seats.take(1000).unwrap();
        let second = seats.take(1000).unwrap();
        let _third = seats.take(1001).unwrap();
        assert!(seats.take(1002).is_none());
        drop(second);
        assert!(seats.take(1002).is_some());
    }

    #[test]
    fn a_user_who_has_taken_all_its_seats_does_not_stand_in_the_way_of_another() {
        let seats = seats(2, 100);
        let first = seats.take(1000).unwrap();
        let _second = seats.take(1000).unwrap();
        assert!(seats.take(1000).is_none());
        let _other = seats.take(1001).unwrap();
        drop(first);
        assert!(seats.take(1000).is_some());
    }

    #[test]
    fn a_user_without_connections_leaves_nothing_behind() {
        let seats = seats(2, 100);
        drop(seats.take(1000));
        assert!(seats.lock().of_each.is_empty());
        assert_eq!(seats.lock().of_all, 0);
    }
}
