//! Waiting after failures: twice as long after each, up to a longest.

use avouch_core::time::Time;

/// How long is waited, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// After the first failure.
    pub(crate) first: i64,
    /// At most.
    pub(crate) longest: i64,
}

/// How something went lately that may be tried again.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackOff {
    failures: u32,
    not_before: Option<Time>,
}

impl BackOff {
    /// It has failed.
    pub(crate) fn failed(&mut self, waits: Waits, now: Time) {
        // Ten times twice as long is over any longest.
        let wait = waits.first << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now.plus(wait.min(waits.longest)));
    }

    /// It asks to be left alone until then, too.
    pub(crate) fn rest_until(&mut self, at: Time) {
        self.not_before = self.not_before.max(Some(at));
    }

    /// It has not failed, and may be tried again from then on, or at once.
    pub(crate) fn went_well(&mut self, again: Option<Time>) {
        *self = Self {
            failures: 0,
            not_before: again,
        };
    }

    /// Until when it is waited, if it is.
    pub(crate) fn until(&self, now: Time) -> Option<Time> {
        self.not_before.filter(|at| now < *at)
    }

    /// Whether it may be tried now.
    pub(crate) fn may_try(&self, now: Time) -> bool {
        self.until(now).is_none()
    }
}

/// How many seconds are left, at least one.
pub(crate) fn seconds_until(at: Time, now: Time) -> u32 {
    u32::try_from(at.since(now)).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_waited_twice_as_long_after_each_failure_and_no_longer_than_that() {
        let waits = Waits {
            first: 15,
            longest: 600,
        };
        let mut back_off = BackOff::default();
        let mut now = Time::from_unix(0);
        for wait in [15, 30, 60, 120, 240, 480, 600, 600] {
            assert!(back_off.may_try(now));
            back_off.failed(waits, now);
            assert_eq!(back_off.until(now), Some(now.plus(wait)));
            assert!(!back_off.may_try(now.plus(wait - 1)));
            now = now.plus(wait);
        }
        back_off.went_well(None);
        assert!(back_off.may_try(now));
        back_off.failed(waits, now);
        assert_eq!(back_off.until(now), Some(now.plus(15)));
        for _ in 0..100 {
            back_off.failed(waits, now);
        }
        assert_eq!(back_off.until(now), Some(now.plus(600)));
    }
}
