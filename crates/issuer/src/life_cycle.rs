//! The life of an authority: prepared, active, retired, tainted, revoked.
//!
//! ```text
//!                                ┌─by hand──┐
//!                                ▼          │
//! (requested) ──► prepared ──► active ──► retired ──► (expired)
//!                     └───────────┴──────────┴──► tainted ──► revoked
//! ```
//!
//! Requested is only what has its certificate from elsewhere.
//!
//! An authority is published as soon as it is prepared, long before it signs, so that whoever
//! trusts the trust domain knows its key when the first credential of it turns up (SPIFFE
//! Federation 5.2.2). Everything here is a pure function of dates.

use avouch_core::reason::Reason;
use avouch_core::time::Time;

const DAY: i64 = 86_400;

/// A successor is prepared when half of the life of the active authority is left, but no sooner
/// than 30 days before its end.
const PREPARE_BEFORE_END_MAX: i64 = 30 * DAY;

/// A successor is activated when a sixth of the life of the active authority is left, but no
/// sooner than 7 days before its end.
const ACTIVATE_BEFORE_END_MAX: i64 = 7 * DAY;

/// By how many seconds the clocks of servers on one store may differ. What begins later than that is of the
/// future; what begins sooner was made a moment ago by a server whose clock is ahead, and lasts.
pub const SKEW: i64 = 60;

/// Where in its life an authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Signs.
    Active,
    /// Published, but does not sign yet.
    Prepared,
    /// Has a key, and waits for a certificate from elsewhere.
    Requested,
    /// Signs no more; what it signed is still believed.
    Retired,
    /// No longer believed, and no longer published.
    Revoked,
    /// Signs no more, and what it signed is to be replaced; still believed until then.
    Tainted,
}

impl State {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Prepared => "prepared",
            Self::Requested => "requested",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
            Self::Tainted => "tainted",
        }
    }

    /// Reads a name as it stands in records.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "active" => Some(Self::Active),
            "prepared" => Some(Self::Prepared),
            "requested" => Some(Self::Requested),
            "retired" => Some(Self::Retired),
            "revoked" => Some(Self::Revoked),
            "tainted" => Some(Self::Tainted),
            _ => None,
        }
    }
}

/// The life of one authority: its state, and the time in which its key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifeCycle {
    state: State,
    not_before: Time,
    not_after: Time,
}

impl LifeCycle {
    /// A new life, prepared, through the whole second of `not_after`.
    pub fn prepared(not_before: Time, not_after: Time) -> Self {
        Self::stored(State::Prepared, not_before, not_after)
    }

    /// A life as it was stored.
    pub fn stored(state: State, not_before: Time, not_after: Time) -> Self {
        Self {
            state,
            not_before,
            not_after,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// The first second.
    pub fn not_before(&self) -> Time {
        self.not_before
    }

    /// The last second.
    pub fn not_after(&self) -> Time {
        self.not_after
    }

    /// The certificate it asked for is here, for so long.
    ///
    /// # Errors
    ///
    /// `issue.authority_state` unless it was requested.
    pub fn answer(
        self,
        authority: &str,
        not_before: Time,
        not_after: Time,
    ) -> Result<Self, Reason> {
        let from = [State::Requested];
        let life = self.step(State::Prepared, &from, "take a certificate", authority)?;
        Ok(Self {
            not_before,
            not_after,
            ..life
        })
    }

    /// It signs from now on. `authority` names it in a refusal, here and below.
    ///
    /// # Errors
    ///
    /// `issue.authority_state` unless it was prepared, as for each step that its state does not
    /// allow.
    pub fn activate(self, authority: &str) -> Result<Self, Reason> {
        self.step(State::Active, &[State::Prepared], "be activated", authority)
    }

    /// It signs from now on because someone wants it to, also where another has followed it meanwhile.
    ///
    /// # Errors
    ///
    /// `issue.authority_state` unless it was prepared or retired.
    pub fn activate_by_hand(self, authority: &str) -> Result<Self, Reason> {
        let from = [State::Prepared, State::Retired];
        self.step(State::Active, &from, "be activated", authority)
    }

    /// It signs no more.
    ///
    /// # Errors
    ///
    /// `issue.authority_state` unless it was active.
    pub fn retire(self, authority: &str) -> Result<Self, Reason> {
        self.step(State::Retired, &[State::Active], "be retired", authority)
    }

    /// It may be in the wrong hands: it signs no more, and what it signed is to be replaced.
    ///
    /// # Errors
    ///
    /// `issue.authority_state` if it was tainted or revoked before.
    pub fn taint(self, authority: &str) -> Result<Self, Reason> {
        let from = [State::Prepared, State::Active, State::Retired];
        self.step(State::Tainted, &from, "be tainted", authority)
    }

    /// It is believed no more. Only what was tainted can be revoked, so that what it signed could
    /// be replaced first.
    ///
    /// # Errors
    ///
    /// `issue.authority_state` unless it was tainted.
    pub fn revoke(self, authority: &str) -> Result<Self, Reason> {
        self.step(State::Revoked, &[State::Tainted], "be revoked", authority)
    }

    /// Whether it begins so late that a clock was ahead when it was made.
    fn is_of_the_future(&self, now: Time) -> bool {
        now.plus(SKEW) < self.not_before
    }

    /// Whether its key belongs in the bundle.
    pub fn is_published(&self, now: Time) -> bool {
        !matches!(self.state, State::Requested | State::Revoked) && now <= self.not_after
    }

    /// Whether it may sign now.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`.
    pub fn check_may_sign(&self, authority: &str, now: Time) -> Result<(), Reason> {
        match self.state {
            State::Active => self.check_not_expired(authority, now),
            State::Requested
            | State::Prepared
            | State::Retired
            | State::Tainted
            | State::Revoked => Err(self.refuse("sign", authority)),
        }
    }

    /// Whether it may say now what became of what it signed, which is the `action`: also one that signs
    /// nothing new any more.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`.
    pub fn check_may_answer(
        &self,
        action: &'static str,
        authority: &str,
        now: Time,
    ) -> Result<(), Reason> {
        match self.state {
            State::Prepared | State::Active | State::Retired | State::Tainted => {
                self.check_not_expired(authority, now)
            }
            State::Requested | State::Revoked => Err(self.refuse(action, authority)),
        }
    }

    fn check_not_expired(&self, authority: &str, now: Time) -> Result<(), Reason> {
        if now > self.not_after {
            return Err(Reason::IssueAuthorityExpired {
                authority: authority.to_owned(),
                not_after: self.not_after,
                at: now,
            });
        }
        Ok(())
    }

    fn step(
        self,
        to: State,
        from: &[State],
        action: &'static str,
        authority: &str,
    ) -> Result<Self, Reason> {
        if from.contains(&self.state) {
            Ok(Self { state: to, ..self })
        } else {
            Err(self.refuse(action, authority))
        }
    }

    pub(crate) fn refuse(&self, action: &'static str, authority: &str) -> Reason {
        Reason::IssueAuthorityState {
            authority: authority.to_owned(),
            state: self.state.name(),
            action,
        }
    }

    /// From when on a successor should be there.
    fn prepare_successor_at(&self) -> Time {
        let before_end = (self.length() / 2).min(PREPARE_BEFORE_END_MAX);
        self.not_after.plus(-before_end)
    }

    /// From when on a successor should sign.
    fn activate_successor_at(&self) -> Time {
        let before_end = (self.length() / 6).min(ACTIVATE_BEFORE_END_MAX);
        self.not_after.plus(-before_end)
    }

    fn length(&self) -> i64 {
        self.not_after.since(self.not_before).max(0)
    }
}

/// What is to be done with the authorities of one kind of one trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Activate the authority in this place of the list.
    Activate(usize),
    /// Forget the authority in this place of the list: it has expired.
    Forget(usize),
    /// Prepare a new authority.
    Prepare,
    /// Retire the authority in this place of the list: another one signs now.
    Retire(usize),
}

/// What is due now for the authorities of one kind of one trust domain. Doing it and asking again
/// ends with nothing to do.
///
/// With no authority that signs, for want of any or because it was tainted, a prepared one is
/// activated at once; there is no use in waiting. One of the future counts as none: a clock was ahead
/// when it was made, and nothing that it signs would be believed until then.
pub fn due(lives: &[LifeCycle], now: Time) -> Vec<Step> {
    let mut steps: Vec<Step> = lives
        .iter()
        .enumerate()
        .filter(|(_, life)| now > life.not_after)
        .map(|(place, _)| Step::Forget(place))
        .collect();
    let in_state = |state: State| {
        let live = lives.iter().enumerate();
        live.filter(move |(_, life)| life.state == state && now <= life.not_after)
    };
    let usable = |state: State| in_state(state).filter(|(_, life)| !life.is_of_the_future(now));
    let active = usable(State::Active).max_by_key(|(_, life)| life.not_after);
    let prepared = usable(State::Prepared).max_by_key(|(_, life)| life.not_after);
    // Until another signs, who is to be retired is of use to those whose clock is ahead, too.
    let others = in_state(State::Active)
        .filter(|(place, _)| active.is_some_and(|(active, _)| active != *place));
    steps.extend(others.map(|(place, _)| Step::Retire(place)));
    match (active, prepared) {
        (None, None) => steps.push(Step::Prepare),
        (None, Some((successor, _))) => steps.push(Step::Activate(successor)),
        (Some((_, life)), None) if now >= life.prepare_successor_at() => steps.push(Step::Prepare),
        (Some((place, life)), Some((successor, _))) if now >= life.activate_successor_at() => {
            steps.push(Step::Activate(successor));
            steps.push(Step::Retire(place));
        }
        (Some(_), None | Some(_)) => {}
    }
    steps
}

/// From when on something is [`due`], if none of the authorities changes until then.
pub fn due_from(lives: &[LifeCycle], now: Time) -> Time {
    if !due(lives, now).is_empty() {
        return now;
    }
    let mut moments: Vec<Time> = lives.iter().map(|life| life.not_after.plus(1)).collect();
    let active = lives.iter().filter(|life| life.state == State::Active);
    for life in active {
        let prepared = lives.iter().filter(|life| life.state == State::Prepared);
        let (prepare, activate) = (life.prepare_successor_at(), life.activate_successor_at());
        let mut is_prepared = false;
        for successor in prepared {
            let usable_from = successor.not_before.plus(-SKEW);
            is_prepared |= usable_from <= prepare.max(now);
            moments.push(usable_from.max(activate));
        }
        if !is_prepared {
            moments.push(prepare);
        }
    }
    moments.into_iter().min().unwrap_or(now).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_before_it_is_said_to_be_and_something_then() {
        let states = [
            State::Active,
            State::Prepared,
            State::Retired,
            State::Tainted,
        ];
        for first in states {
            for second in states {
                for (from, start) in [(0, 0), (0, 7), (0, 40), (90, 0), (90, 80), (130, 150)] {
                    let lives = [
                        life(first, from, from + 60),
                        life(second, start, start + 90),
                    ];
                    for now in 0..300 {
                        let from = due_from(&lives, at(now)).unix();
                        let is_due = |now| !due(&lives, at(now)).is_empty();
                        assert!(is_due(from), "{first:?} {second:?} {start} {now}");
                        assert!(
                            !(now..from).any(is_due),
                            "{first:?} {second:?} {start} {now}"
                        );
                    }
                }
            }
        }
        assert_eq!(due_from(&[], at(5)), at(5));
    }

    const HOUR: i64 = 3_600;

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    fn life(state: State, from: i64, until: i64) -> LifeCycle {
        LifeCycle::stored(state, at(from), at(until))
    }

    #[test]
    fn each_step_is_allowed_from_its_states_and_no_other() {
        use State::{Active, Prepared, Requested, Retired, Revoked, Tainted};
        type Transition = fn(LifeCycle, &str) -> Result<LifeCycle, Reason>;
        let answer: Transition = |life, name| life.answer(name, at(0), at(10));
        let table: [(Transition, State, &[State]); 6] = [
            (answer, Prepared, &[Requested]),
            (LifeCycle::activate, Active, &[Prepared]),
            (LifeCycle::activate_by_hand, Active, &[Prepared, Retired]),
            (LifeCycle::retire, Retired, &[Active]),
            (LifeCycle::taint, Tainted, &[Prepared, Active, Retired]),
            (LifeCycle::revoke, Revoked, &[Tainted]),
        ];
        for (step, to, allowed) in table {
            for from in [Active, Prepared, Requested, Retired, Revoked, Tainted] {
                match step(life(from, 0, 10), "a") {
                    Ok(life) => assert!(allowed.contains(&from) && life.state() == to),
                    Err(reason) => {
                        assert!(!allowed.contains(&from), "{from:?} to {to:?}");
                        assert_eq!(reason.code(), "issue.authority_state");
                    }
                }
            }
        }
    }

    #[test]
    fn an_authority_of_the_future_is_replaced_by_one_of_now_and_then_retired() {
        let ahead = life(State::Active, 45 * DAY, 75 * DAY);
        assert_eq!(due(&[ahead], at(0)), [Step::Prepare]);
        let both = [ahead, life(State::Prepared, 0, 30 * DAY)];
        assert_eq!(due(&both, at(0)), [Step::Activate(1)]);
        let both = [ahead, life(State::Active, 0, 30 * DAY)];
        assert_eq!(due(&both, at(0)), [Step::Retire(0)]);
        let both = [life(State::Retired, 45 * DAY, 75 * DAY), both[1]];
        assert_eq!(due(&both, at(0)), []);
        // One that is prepared and of the future takes over from nobody.
        let both = [both[1], life(State::Prepared, 29 * DAY, 59 * DAY)];
        assert_eq!(due(&both, at(26 * DAY)), [Step::Prepare]);
        assert_eq!(due_from(&both, at(0)), at(15 * DAY));
        // What another server has made a moment ago is not of the future.
        let fresh = life(State::Active, SKEW, 30 * DAY);
        assert_eq!(due(&[fresh], at(0)), []);
        assert_eq!(due(&[fresh], at(-1)), [Step::Prepare]);
    }

    #[test]
    fn only_an_active_authority_signs_and_not_beyond_its_last_second() {
        assert_eq!(
            life(State::Active, 0, 10).check_may_sign("a", at(10)),
            Ok(())
        );
        let code = |life: LifeCycle, now| life.check_may_sign("a", now).unwrap_err().code();
        assert_eq!(
            code(life(State::Active, 0, 10), at(11)),
            "issue.authority_expired"
        );
        for state in [
            State::Prepared,
            State::Requested,
            State::Retired,
            State::Tainted,
            State::Revoked,
        ] {
            assert_eq!(code(life(state, 0, 10), at(5)), "issue.authority_state");
        }
    }

    #[test]
    fn a_successor_is_prepared_at_half_life_and_activated_in_the_last_sixth() {
        let active = life(State::Active, 0, 24 * HOUR);
        assert_eq!(due(&[active], at(12 * HOUR - 1)), []);
        assert_eq!(due(&[active], at(12 * HOUR)), [Step::Prepare]);
        let both = [active, life(State::Prepared, 12 * HOUR, 36 * HOUR)];
        assert_eq!(due(&both, at(20 * HOUR - 1)), []);
        assert_eq!(
            due(&both, at(20 * HOUR)),
            [Step::Activate(1), Step::Retire(0)]
        );
    }

    #[test]
    fn a_long_life_does_not_mean_a_long_time_beside_the_successor() {
        let active = life(State::Active, 0, 3650 * DAY);
        assert_eq!(due(&[active], at(3620 * DAY - 1)), []);
        assert_eq!(due(&[active], at(3620 * DAY)), [Step::Prepare]);
        let both = [active, life(State::Prepared, 3620 * DAY, 7270 * DAY)];
        assert_eq!(due(&both, at(3643 * DAY - 1)), []);
        assert!(due(&both, at(3643 * DAY)).contains(&Step::Activate(1)));
    }

    #[test]
    fn a_tainted_authority_is_replaced_at_once() {
        let tainted = life(State::Tainted, 0, 24 * HOUR);
        assert_eq!(due(&[tainted], at(HOUR)), [Step::Prepare]);
        let both = [tainted, life(State::Prepared, HOUR, 25 * HOUR)];
        assert_eq!(due(&both, at(HOUR)), [Step::Activate(1)]);
    }

    /// Does what is due until nothing is, every minute of `days`, and gives each state it saw.
    fn live(days: i64, length: i64, mut check: impl FnMut(&[LifeCycle], Time)) {
        let mut lives: Vec<LifeCycle> = Vec::new();
        for minute in 0..days * 24 * 60 {
            let now = at(minute * 60);
            for round in 0.. {
                assert!(round < 4, "there is no end of what is due at {now}");
                let steps = due(&lives, now);
                if steps.is_empty() {
                    break;
                }
                let forgotten: Vec<usize> = steps
                    .iter()
                    .filter_map(|step| match step {
                        Step::Forget(place) => Some(*place),
                        _ => None,
                    })
                    .collect();
                for step in steps {
                    match step {
                        Step::Activate(place) => lives[place] = lives[place].activate("a").unwrap(),
                        Step::Retire(place) => lives[place] = lives[place].retire("a").unwrap(),
                        Step::Prepare => lives.push(LifeCycle::prepared(now, now.plus(length))),
                        Step::Forget(_) => {}
                    }
                }
                for place in forgotten.into_iter().rev() {
                    lives.remove(place);
                }
            }
            check(&lives, now);
        }
    }

    #[test]
    fn through_many_lives_exactly_one_authority_signs_and_its_key_was_known_before() {
        let mut first_seen: Vec<(Time, Time)> = Vec::new();
        live(10, 24 * HOUR, |lives, now| {
            for life in lives {
                if !first_seen.iter().any(|(key, _)| *key == life.not_after()) {
                    first_seen.push((life.not_after(), now));
                }
            }
            let signing: Vec<&LifeCycle> = lives
                .iter()
                .filter(|life| life.check_may_sign("a", now).is_ok())
                .collect();
            let [signing] = signing.as_slice() else {
                panic!("{} authorities sign at {now}", signing.len());
            };
            let known = first_seen
                .iter()
                .find(|(key, _)| *key == signing.not_after())
                .map(|(_, seen)| *seen)
                .unwrap();
            let is_first = known == at(0);
            assert!(is_first || now.since(known) >= 8 * HOUR, "{now}");
            // What it signs for an hour ends before it does.
            assert!(signing.not_after().since(now) >= 4 * HOUR);
        });
        assert!(first_seen.len() > 9, "{}", first_seen.len());
    }
}
