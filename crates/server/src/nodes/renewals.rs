//! How often a node may have its own identity renewed: each costs a signature and a row of the log, and
//! whoever has got hold of a node asks as often as it likes.
//!
//! An agent renews once in half of the life of its identity, once more when a key is not to be trusted any
//! more, and shows itself anew when it starts without what it kept. Whoever has copied what a node shows
//! uses up what both have together; so a certificate past half of its life is renewed once, whatever is
//! left, and the node goes on. That is on credit: no certificate more than those goes on until it is paid,
//! so there are never more than what was left has begun.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::IntentId;

use super::Which;
use crate::caller::Caller;
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

/// From how many nodes, or certificates, on those are looked for that need not be held.
const FEW: usize = 1_024;

/// What each node of a tenant has left, on this server.
#[derive(Debug, Default)]
pub(crate) struct Renewals(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    left: HashMap<Asking, Left>,
    /// How many there were when it was looked last for those that need not be held.
    looked_at: usize,
    /// The certificates that were renewed on credit, until they end.
    followed: HashMap<IntentId, Time>,
    followed_looked_at: usize,
}

/// Who asks, and how: whoever has copied a certificate cannot keep the node from showing itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asking {
    pub(super) node: SpiffeId,
    pub(super) which: Which,
    pub(super) how: How,
}

/// How a node gets its next identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum How {
    /// By the one it has.
    Renews,
    /// By what an attestor accepts.
    ShowsItself,
}

/// A certificate that is shown to be renewed.
#[derive(Clone, Debug)]
pub(super) struct Half {
    name: IntentId,
    from: Time,
    until: Time,
}

impl Half {
    /// What a node calls with.
    pub(super) fn of(caller: &Caller) -> Option<Self> {
        Some(Self {
            name: caller.credential.clone()?,
            from: caller.valid_from?,
            until: caller.valid_until,
        })
    }

    fn is_over(&self, now: Time) -> bool {
        now.since(self.from) >= self.until.since(now)
    }
}

/// In parts, of which each second brings [`IN_A_LIFE`], and a renewal costs as many as a life has seconds.
#[derive(Clone, Copy, Debug)]
struct Left {
    parts: u64,
    /// What was given on credit, at most as much as there may be left.
    owed: u64,
    at: Time,
}

impl Left {
    /// As it is later. A clock that goes back brings nothing; one that was far ahead for a while is not
    /// waited for.
    fn at(self, now: Time, full: u64) -> Self {
        let brought = u64::try_from(now.since(self.at)).unwrap_or_default();
        let brought = brought.saturating_mul(IN_A_LIFE);
        let ahead = u64::try_from(self.at.since(now)).unwrap_or_default();
        let was_ahead = ahead.saturating_mul(IN_A_LIFE) > full;
        let rest = brought.saturating_sub(self.owed);
        Self {
            parts: self.parts.saturating_add(rest).min(full),
            owed: self.owed.saturating_sub(brought),
            at: if was_ahead { now } else { now.max(self.at) },
        }
    }

    /// Whether nothing is lost if it is forgotten, or it is of a time that is not.
    fn is_over(self, now: Time, full: u64) -> bool {
        let later = self.at(now, full);
        later.parts == full || later.at < self.at
    }

    /// Has some taken that need not be there.
    fn lend(&mut self, cost: u64, full: u64) {
        let missing = cost.saturating_sub(self.parts);
        self.parts = self.parts.saturating_sub(cost);
        self.owed = self.owed.saturating_add(missing).min(full);
    }
}

impl Held {
    fn tidy(&mut self, now: Time, full: u64) {
        if self.left.len() >= FEW.max(2 * self.looked_at) {
            self.left.retain(|_, left| !left.is_over(now, full));
            self.looked_at = self.left.len();
        }
        if self.followed.len() >= FEW.max(2 * self.followed_looked_at) {
            self.followed.retain(|_, until| now < *until);
            self.followed_looked_at = self.followed.len();
        }
    }

    /// Whether this is a certificate that goes on now and has not before.
    fn goes_on(&mut self, shown: Option<&Half>, now: Time) -> bool {
        let half = shown.filter(|shown| shown.is_over(now));
        half.is_some_and(|shown| {
            let before = self.followed.insert(shown.name.clone(), shown.until);
            before.is_none()
        })
    }
}

impl Renewals {
    /// Takes one, or says in how many seconds there is one. `life` is that of an identity, in seconds.
    fn take(&self, asking: Asking, shown: Option<&Half>, life: u32, now: Time) -> Result<(), u32> {
        let cost = u64::from(life).clamp(1, LONGEST_LIFE);
        let full = AT_ONCE * cost;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.tidy(now, full);
        let goes_on = held.goes_on(shown, now);
        let left = held.left.entry(asking).or_insert(Left {
            parts: full,
            owed: 0,
            at: now,
        });
        *left = left.at(now, full);
        if goes_on || left.parts >= cost {
            left.lend(cost, full);
            return Ok(());
        }
        let missing = cost.saturating_sub(left.parts).saturating_add(left.owed);
        let seconds = missing.div_ceil(IN_A_LIFE);
        Err(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl Plane {
    /// Refuses a node that has had its identity renewed too often of late.
    pub(super) fn admit_renewal(
        &self,
        tenant: &Tenant,
        asking: Asking,
        shown: Option<&Half>,
    ) -> Result<(), Reason> {
        let node = asking.node.to_string();
        let (life, now) = (self.settings().node_ttl, self.now());
        let taken = tenant.renewals.take(asking, shown, life, now);
        taken.map_err(|seconds| Reason::IssueNodeRenewals { node, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u32 = 3_600;

    fn node(name: u64) -> Asking {
        let node = SpiffeId::parse(&format!("spiffe://one.test/avouch/node/n{name}")).unwrap();
        let which = Which {
            mark: None,
            since: None,
        };
        Asking {
            node,
            which,
            how: How::Renews,
        }
    }

    impl Renewals {
        fn renew(&self, asking: Asking, life: u32, now: Time) -> Result<(), u32> {
            self.take(asking, None, life, now)
        }
    }

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    #[test]
    fn whoever_asks_without_end_is_given_as_many_at_once_and_one_a_minute() {
        let renewals = Renewals::default();
        let granted = |now| {
            let asked = (0..1_000).filter(|_| renewals.renew(node(1), LIFE, at(now)).is_ok());
            asked.count()
        };
        assert_eq!(granted(0), 60);
        assert_eq!(renewals.renew(node(1), LIFE, at(0)), Err(60));
        assert_eq!(renewals.renew(node(1), LIFE, at(50)), Err(10));
        assert_eq!(granted(3_600), 60, "all of them after an hour, and no more");
        assert_eq!(granted(3_000), 0, "a clock that goes back brings nothing");
        assert_eq!(granted(3_720), 2);
        assert_eq!(
            renewals.renew(node(2), LIFE, at(0)),
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
                    let taken = renewals.renew(node(1), life, at(round * half));
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
            renewals.renew(node(number), LIFE, at(now)).unwrap();
        }
        let held = renewals.0.lock().unwrap().left.len();
        assert!(held <= FEW, "{held}");
    }

    /// Certificates that whoever is there has, each of which is followed by what it is renewed for.
    struct Holder {
        certificates: Vec<Half>,
        number: u64,
        name: &'static str,
    }

    impl Holder {
        fn new(name: &'static str) -> Self {
            let mut holder = Self {
                certificates: Vec::new(),
                number: 0,
                name,
            };
            holder.add(0);
            holder
        }

        fn add(&mut self, now: i64) {
            self.number += 1;
            self.certificates.push(Half {
                name: IntentId::parse(&format!("{}-{}", self.name, self.number)).unwrap(),
                from: at(now - 10),
                until: at(now + i64::from(LIFE)),
            });
        }
    }

    #[test]
    fn whoever_has_copied_a_certificate_keeps_no_node_from_going_on_and_is_bounded() {
        let renewals = Renewals::default();
        let (mut own, mut thief) = (Holder::new("own"), Holder::new("thief"));
        let half = i64::from(LIFE / 2);
        let mut in_a_half = Vec::new();
        for round in 1..14 {
            let mut given = 0;
            // First the thief, again and again, with all that it has.
            for second in (0..half).step_by(60) {
                let now = (round - 1) * half + second;
                thief.certificates.retain(|one| at(now) < one.until);
                for shown in thief.certificates.clone() {
                    while renewals.take(node(1), Some(&shown), LIFE, at(now)).is_ok() {
                        thief.add(now);
                        given += 1;
                        assert!(given < 1_000, "round {round}");
                    }
                }
            }
            in_a_half.push(given);
            let shown = own.certificates.pop().unwrap();
            let now = round * half;
            assert_eq!(
                renewals.take(node(1), Some(&shown), LIFE, at(now)),
                Ok(()),
                "round {round}"
            );
            let again = renewals.take(node(1), Some(&shown), LIFE, at(now));
            assert!(again.is_err(), "once");
            own.add(now);
        }
        let most = in_a_half.iter().max().unwrap();
        assert!(*most <= 200, "{in_a_half:?}");
        let shows_itself = Asking {
            how: How::ShowsItself,
            ..node(1)
        };
        assert_eq!(renewals.renew(shows_itself, LIFE, at(14 * half)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_far_ahead_for_a_while_is_not_waited_for() {
        let renewals = Renewals::default();
        let ahead = 30 * 86_400;
        for number in 0..2_000 {
            renewals.renew(node(number), LIFE, at(ahead)).unwrap();
        }
        for _ in 0..59 {
            renewals.renew(node(1), LIFE, at(0)).unwrap();
        }
        assert_eq!(renewals.renew(node(1), LIFE, at(0)), Err(60));
        assert_eq!(renewals.renew(node(1), LIFE, at(60)), Ok(()));
        // Nor is what was left then held until it comes there.
        for number in 2_000..6_000 {
            let now = at(i64::try_from(number).unwrap() * 60);
            renewals.renew(node(number), LIFE, now).unwrap();
        }
        let held = renewals.0.lock().unwrap().left.len();
        assert!(held <= FEW, "{held}");
    }
}
