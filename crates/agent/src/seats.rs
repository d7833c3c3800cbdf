//! How many connections each user may hold at once, and all of them together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Counts the connections of each user, so that none of them can use up the agent for the others, and
/// those of all, so that they cannot use it up together for what else it does. A user is who a `W` says
/// it is, by default the number of one of this machine.
#[derive(Debug)]
pub(crate) struct Seats<W = u32> {
    of_each: usize,
    of_all: usize,
    taken: Arc<Mutex<Taken<W>>>,
}

#[derive(Debug)]
struct Taken<W> {
    of_each: BTreeMap<W, usize>,
    of_all: usize,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat<W: Ord = u32> {
    user: W,
    taken: Arc<Mutex<Taken<W>>>,
}

impl<W: Ord + Clone> Seats<W> {
    pub(crate) fn new(of_each: usize, of_all: usize) -> Self {
        let taken = Taken {
            of_each: BTreeMap::new(),
            of_all: 0,
        };
        Self {
            of_each,
            of_all,
            taken: Arc::new(Mutex::new(taken)),
        }
    }

    /// A place for one more connection of `user`, if there is one left.
    pub(crate) fn take(&self, user: W) -> Option<Seat<W>> {
        let mut taken = lock(&self.taken);
        let count = taken.of_each.get(&user).copied().unwrap_or_default();
        if count >= self.of_each || taken.of_all >= self.of_all {
            return None;
        }
        taken.of_each.insert(user.clone(), count + 1);
        taken.of_all += 1;
        drop(taken);
        Some(Seat {
            user,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl<W: Ord> Drop for Seat<W> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.of_all = taken.of_all.saturating_sub(1);
        match taken.of_each.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.of_each.remove(&self.user)),
        }
    }
}

fn lock<W>(taken: &Mutex<Taken<W>>) -> MutexGuard<'_, Taken<W>> {
    taken
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_users_together_leave_files_for_what_else_the_agent_does() {
        let seats = Seats::new(2, 3);
        let _first = seats.take(1000).unwrap();
        let second = seats.take(1000).unwrap();
        let _third = seats.take(1001).unwrap();
        assert!(seats.take(1002).is_none());
        drop(second);
        assert!(seats.take(1002).is_some());
    }

    #[test]
    fn a_user_who_has_taken_all_its_seats_does_not_stand_in_the_way_of_another() {
        let seats = Seats::new(2, 100);
        let first = seats.take(1000).unwrap();
        let _second = seats.take(1000).unwrap();
        assert!(seats.take(1000).is_none());
        let _other = seats.take(1001).unwrap();
        drop(first);
        assert!(seats.take(1000).is_some());
    }

    #[test]
    fn a_user_without_connections_leaves_nothing_behind() {
        let seats = Seats::new(2, 100);
        drop(seats.take(1000));
        assert!(lock(&seats.taken).of_each.is_empty());
        assert_eq!(lock(&seats.taken).of_all, 0);
    }
}
