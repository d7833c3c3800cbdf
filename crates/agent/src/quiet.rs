//! How often the log tells of the same user: whoever asks again and again may not fill the disk, nor
//! hide among its lines what others do. What goes wrong again and again by itself may not either.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long lines are counted.
const PERIOD: Duration = Duration::from_secs(10);

/// How many lines about one user are written in that time.
const MOST_LINES: u32 = 20;

/// How many users are told apart; with more, all begin anew.
const MOST_USERS: usize = 1_024;

/// Whom a line is counted for that is about no user: the number that no user has (`setuid(2)`).
const NOBODY: u32 = u32::MAX;

/// Counts lines about each user.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<BTreeMap<u32, Period>>);

#[derive(Debug)]
struct Period {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Quiet {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Writes a line that is about no user in particular, if one is to be written now; it is told how
    /// many have been left out since the last.
    pub(crate) fn tell(&self, write: impl FnOnce(u64)) {
        if let Some(left_out) = self.admit(NOBODY, Instant::now()) {
            write(left_out);
        }
    }

    /// Whether a line about this user is to be written at this moment, and how many have been left
    /// out since the last.
    pub(crate) fn admit(&self, user: u32, now: Instant) -> Option<u64> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= MOST_USERS && !users.contains_key(&user) {
            users.clear();
        }
        let period = users.entry(user).or_insert(Period {
            since: now,
            lines: 0,
            left_out: 0,
        });
        if now.duration_since(period.since) >= PERIOD {
            period.since = now;
            period.lines = 0;
        }
        if period.lines >= MOST_LINES {
            period.left_out += 1;
            return None;
        }
        period.lines += 1;
        Some(std::mem::take(&mut period.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_asks_again_and_again_is_told_of_now_and_then_and_others_as_before() {
        let quiet = Quiet::new();
        let start = Instant::now();
        let written = (0..1_000).filter(|_| quiet.admit(7, start).is_some());
        assert_eq!(written.count(), 20);
        assert_eq!(quiet.admit(8, start), Some(0));
        assert_eq!(quiet.admit(7, start + PERIOD), Some(980));
        assert_eq!(quiet.admit(7, start + PERIOD), Some(0));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let quiet = Quiet::new();
        let now = Instant::now();
        for user in 0..5_000 {
            assert_eq!(quiet.admit(user, now), Some(0));
        }
        assert!(quiet.0.lock().unwrap().len() <= MOST_USERS);
    }
}
