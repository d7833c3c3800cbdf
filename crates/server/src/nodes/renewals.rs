//! How often a node may have its own identity renewed: each costs a signature and a row of the log, and
//! whoever has got hold of a node asks as often as it likes.
//!
//! An agent renews once in half of the life of its identity, once more when a key is not to be trusted any
//! more, and shows itself anew when it starts without what it kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::time::Time;

use super::Which;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many a node may have at once: more than anyone restarts an agent, and than keys are replaced, while
/// an identity lives.
const AT_ONCE: u64 = 60;

/// How many more a node may have while an identity lives: twice of two agents that are one node, each of
/// which needs two.
const IN_A_LIFE: u64 = 8;

/// How long a life counts at most, in seconds, so that there is one more each minute.
const LONGEST_LIFE: u64 = 60 * IN_A_LIFE;

/// From how many nodes on those are looked for that have had none for long.
const FEW: usize = 1_024;

/// What each node of a tenant has left, on this server.
#[derive(Debug, Default)]
pub(crate) struct Renewals(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    left: HashMap<(SpiffeId, Which), Left>,
    /// How many there were when it was looked last for those that need not be held.
    looked_at: usize,
}

/// In parts, of which each second brings [`IN_A_LIFE`], and a renewal costs as many as a life has seconds.
#[derive(Clone, Copy, Debug)]
struct Left {
    parts: u64,
    at: Time,
}

impl Left {
    fn at(self, now: Time, full: u64) -> u64 {
        let passed = u64::try_from(now.since(self.at)).unwrap_or_default();
        let brought = passed.saturating_mul(IN_A_LIFE);
        self.parts.saturating_add(brought).min(full)
    }
}

impl Renewals {
    /// Takes one, or says in how many seconds there is one. `life` is that of an identity, in seconds.
    fn take(&self, node: (SpiffeId, Which), life: u32, now: Time) -> Result<(), u32> {
        let cost = u64::from(life).clamp(1, LONGEST_LIFE);
        let full = AT_ONCE * cost;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.left.len() >= FEW.max(2 * held.looked_at) {
            held.left.retain(|_, left| left.at(now, full) < full);
            held.looked_at = held.left.len();
        }
        let left = held.left.entry(node).or_insert(Left {
            parts: full,
            at: now,
        });
        let parts = left.at(now, full);
        let (taken, granted) = match parts.checked_sub(cost) {
            Some(rest) => (rest, Ok(())),
            None => {
                let seconds = cost.saturating_sub(parts).div_ceil(IN_A_LIFE);
                (parts, Err(u32::try_from(seconds).unwrap_or(u32::MAX)))
            }
        };
        // A clock that goes back brings nothing.
        *left = Left {
            parts: taken,
            at: now.max(left.at),
        };
        granted
    }
}

impl Plane {
    /// Refuses a node that has had its identity renewed too often of late.
    pub(super) fn admit_renewal(
        &self,
        tenant: &Tenant,
        node: &SpiffeId,
        which: Which,
    ) -> Result<(), Reason> {
        let taken =
            tenant
                .renewals
                .take((node.clone(), which), self.settings().node_ttl, self.now());
        taken.map_err(|seconds| Reason::IssueNodeRenewals {
            node: node.to_string(),
            seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u32 = 3_600;

    fn node(name: u64) -> (SpiffeId, Which) {
        let id = SpiffeId::parse(&format!("spiffe://one.test/avouch/node/n{name}")).unwrap();
        let which = Which {
            mark: None,
            since: None,
        };
        (id, which)
    }

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    #[test]
    fn whoever_asks_without_end_is_given_as_many_at_once_and_one_a_minute() {
        let renewals = Renewals::default();
        let granted = |now| {
            let asked = (0..1_000).filter(|_| renewals.take(node(1), LIFE, at(now)).is_ok());
            asked.count()
        };
        assert_eq!(granted(0), 60);
        assert_eq!(renewals.take(node(1), LIFE, at(0)), Err(60));
        assert_eq!(renewals.take(node(1), LIFE, at(50)), Err(10));
        assert_eq!(granted(3_600), 60, "all of them after an hour, and no more");
        assert_eq!(granted(3_000), 0, "a clock that goes back brings nothing");
        assert_eq!(granted(3_720), 2);
        assert_eq!(
            renewals.take(node(2), LIFE, at(0)),
            Ok(()),
            "others have their own"
        );
    }

    #[test]
    fn two_agents_that_are_one_node_renew_for_ever_however_short_lives_are() {
        for life in [1, 2, 5, 60, 300, 3_600, 86_400] {
            let renewals = Renewals::default();
            let half = i64::from(life / 2).max(1);
            for round in 0..2_000 {
                for _ in 0..2 {
                    let taken = renewals.take(node(1), life, at(round * half));
                    assert_eq!(taken, Ok(()), "{life} s, round {round}");
                }
            }
        }
    }

    #[test]
    fn nodes_that_have_all_left_are_not_held() {
        let renewals = Renewals::default();
        for number in 0..5_000 {
            let now = i64::try_from(number).unwrap() * 60;
            renewals.take(node(number), LIFE, at(now)).unwrap();
        }
        let held = renewals.0.lock().unwrap().left.len();
        assert!(held <= FEW, "{held}");
    }
}
