//! What ended before its time: a subject, a session, one token, and all that descends from it.
//!
//! Whoever vouches for someone may take that back. From then on what was had before is believed no
//! more, nor what was exchanged for it, until the subject has signed in anew. What ended is named by
//! a [`Mark`], a digest under the name of its issuer: an issuer can end what is its own and nothing
//! else, and a list of marks tells nobody who it is about.

mod tree;

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

use crate::credential::saml::assertion::Assertion;
use crate::exchange::statement::{Ancestor, read_lineage};
use crate::id::Digest;
use crate::model::federation::claims::{Claims, Rounded, seconds};
use crate::reason::Reason;
use crate::time::Time;
use tree::Tree;

/// By what something can be ended: a name that its issuer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Mark(Digest);

/// How a mark is made of the name of an issuer and of a name that it gave.
pub type Marking = fn(&str, &str) -> Mark;

impl Mark {
    /// The kinds of names, as documents call them.
    pub const KINDS: [(&'static str, Marking); 5] = [
        ("email", Self::email),
        ("phone_number", Self::phone),
        ("session", Self::session),
        ("subject", Self::subject),
        ("token", Self::token),
    ];

    /// The subject that `issuer` calls `subject` (`sub`).
    pub fn subject(issuer: &str, subject: &str) -> Self {
        Self::of("sub", issuer, subject)
    }

    /// A session (`sid`).
    pub fn session(issuer: &str, session: &str) -> Self {
        Self::of("sid", issuer, session)
    }

    /// An address of mail. Whether its letters are large or small makes no difference here: who ends
    /// one of both means the other, too.
    pub fn email(issuer: &str, address: &str) -> Self {
        Self::of("email", issuer, &address.to_lowercase())
    }

    /// A telephone number (E.164).
    pub fn phone(issuer: &str, number: &str) -> Self {
        Self::of("phone", issuer, number)
    }

    /// One token by its number (`jti`): the same digest that is used up when it is exchanged.
    pub fn token(issuer: &str, id: &str) -> Self {
        Self::of("jti", issuer, id)
    }

    fn of(kind: &str, issuer: &str, name: &str) -> Self {
        let parts = [kind.as_bytes(), issuer.as_bytes(), name.as_bytes()];
        Self(Digest::of_list(parts))
    }

    /// As it was written.
    pub fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// What is written of it.
    pub fn digest(self) -> Digest {
        self.0
    }
}

/// What may have ended since it was had.
pub(crate) enum Begun<'a> {
    /// A token, or what its issuer says of one.
    Token {
        /// Who vouches for it.
        issuer: &'a str,
        /// What it says.
        claims: &'a Claims<'a>,
        /// Whether it is an SVID, whose time is not that of a sign-in.
        is_svid: bool,
    },
    /// An assertion of SAML.
    Assertion(&'a Assertion),
}

impl Begun<'_> {
    /// When it was had, as it says itself.
    pub(crate) fn birth(&self) -> Birth {
        match self {
            Self::Token {
                issuer,
                claims,
                is_svid,
            } => Birth::of_token(issuer, claims, *is_svid),
            Self::Assertion(assertion) => assertion.birth(),
        }
    }
}

/// When something was had, and by which marks it can be ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// When the subject signed in for it, or else when it was issued; before all time if nothing
    /// says when.
    pub at: Option<Time>,
    /// Its marks.
    pub marks: Vec<Mark>,
}

impl Birth {
    /// That of a token of `issuer`. A session that goes on is as old as its sign-in (`auth_time`),
    /// however new the token is; a tenant's own tokens count from when they were issued, since what
    /// they descend from is told with them.
    pub(crate) fn of_token(issuer: &str, claims: &Claims<'_>, is_svid: bool) -> Self {
        let text = |name: &str| claims.all.get(name).and_then(Value::as_str);
        let marks = [
            claims.subject.map(|subject| Mark::subject(issuer, subject)),
            claims.id.map(|id| Mark::token(issuer, id)),
            text("sid").map(|session| Mark::session(issuer, session)),
            text("email").map(|address| Mark::email(issuer, address)),
            text("phone_number").map(|number| Mark::phone(issuer, number)),
        ];
        // With a fraction, as some write it, it says the same; what is no time at all is before all time.
        let issued = claims.issued_at.or(claims.not_before);
        let at = match claims.all.get("auth_time").filter(|_| !is_svid) {
            None => issued,
            Some(_) => match seconds(claims.all, "auth_time", Rounded::Down) {
                Ok(Some(signed_in)) => Some(issued.map_or(signed_in, |at| at.min(signed_in))),
                Ok(None) | Err(_) => None,
            },
        };
        Self {
            at,
            marks: marks.into_iter().flatten().collect(),
        }
    }

    /// The same, but before all time where it claims one after `latest`: whoever's clock is that wrong
    /// has not said when, and must not outlive what ends in between.
    #[must_use]
    pub(crate) fn unless_after(self, latest: Time) -> Self {
        Self {
            at: self.at.filter(|at| *at <= latest),
            ..self
        }
    }

    /// The same, but had by `seen` at the latest, when it was there.
    #[must_use]
    pub(crate) fn seen_at(self, seen: Time) -> Self {
        Self {
            at: self.at.map(|at| at.min(seen)),
            ..self
        }
    }

    /// That of a certificate whose subject `issuer` vouches for.
    pub(crate) fn of_certificate(issuer: &str, subject: &str, at: Time) -> Self {
        Self {
            at: Some(at),
            marks: vec![Mark::subject(issuer, subject)],
        }
    }
}

/// That something ended, and how far that reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What was had at this time or before is believed no more.
    pub before: Time,
    /// How it stands by what those say who send events.
    pub told: Standing,
    /// How it stands by what administrators say.
    pub ordered: Standing,
    /// What happened, in one word.
    pub event: String,
    /// Who said so.
    pub by: String,
}

/// Whether something is closed, so that nothing at all is believed, however new, until it is opened
/// again; and since when that is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was closed or opened last.
    pub at: Time,
    /// Whether it was closed.
    pub is_closed: bool,
}

impl Standing {
    /// Nobody has closed or opened it.
    pub const UNSAID: Self = Self {
        at: Time::from_unix(i64::MIN),
        is_closed: false,
    };
}

impl Standing {
    /// The later of two; of the same second, the careful one.
    fn later(self, other: Self) -> Self {
        match self.at.cmp(&other.at) {
            Ordering::Less => other,
            Ordering::Greater => self,
            Ordering::Equal => Self {
                is_closed: self.is_closed || other.is_closed,
                ..self
            },
        }
    }
}

/// What an event does to its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// What was had before ends.
    Ended,
    /// It is closed: nothing of it is believed until it is opened.
    Closed,
    /// It is opened again; what was had before it was closed stays ended.
    Opened,
}

/// Who speaks of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// A transmitter of events, for the issuer of the subject.
    Transmitter,
    /// An administrator of the tenant.
    Administrator,
}

impl Speaker {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transmitter => "transmitter",
            Self::Administrator => "administrator",
        }
    }
}

/// What someone says of a subject.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// What it does.
    pub turn: Turn,
    /// When it happened.
    pub at: Time,
    /// What happened, in one word.
    pub event: &'a str,
    /// Who says so.
    pub by: &'a str,
    /// What they are.
    pub speaker: Speaker,
}

impl Ending {
    /// Something that ended and stands like this, as someone else has worked it out.
    pub fn standing(before: Time, standing: Standing, event: String, by: String) -> Self {
        Self {
            before,
            told: Standing::UNSAID,
            ordered: standing,
            event,
            by,
        }
    }

    /// What is said comes to, after what was known. Whichever order it is said in, it comes to the
    /// same.
    #[must_use]
    pub fn after(known: Option<&Self>, said: &Said<'_>) -> Self {
        let nothing = Self {
            before: Time::from_unix(i64::MIN),
            told: Standing::UNSAID,
            ordered: Standing::UNSAID,
            event: said.event.to_owned(),
            by: said.by.to_owned(),
        };
        let known = known.unwrap_or(&nothing);
        let mut next = known.clone();
        let standing = match said.speaker {
            Speaker::Transmitter => &mut next.told,
            Speaker::Administrator => &mut next.ordered,
        };
        let is_news = match said.turn {
            Turn::Ended => said.at >= known.before,
            Turn::Closed | Turn::Opened => said.at >= standing.at,
        };
        // Of two in the same second, the careful one holds.
        match said.turn {
            Turn::Closed if said.at >= standing.at => {
                (standing.at, standing.is_closed) = (said.at, true);
            }
            Turn::Opened if said.at > standing.at => {
                (standing.at, standing.is_closed) = (said.at, false);
            }
            Turn::Ended | Turn::Closed | Turn::Opened => {}
        }
        // What an administrator has closed is closed for their reason.
        let is_theirs = known.ordered.is_closed && said.speaker == Speaker::Transmitter;
        if is_news && said.turn != Turn::Opened && !is_theirs {
            (next.event, next.by) = (said.event.to_owned(), said.by.to_owned());
        }
        if said.turn != Turn::Opened {
            next.before = known.before.max(said.at);
        }
        next
    }

    /// What two come to that are known of the same: neither takes anything back of the other but what it
    /// has opened since.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let latest = if self.since() >= other.since() {
            self
        } else {
            other
        };
        Self {
            before: self.before.max(other.before),
            told: self.told.later(other.told),
            ordered: self.ordered.later(other.ordered),
            event: latest.event.clone(),
            by: latest.by.clone(),
        }
    }

    /// Who keeps it closed, if it is. What an administrator has closed no transmitter opens; what a
    /// transmitter has closed both open.
    pub fn closed_by(&self) -> Option<Speaker> {
        if self.ordered.is_closed {
            return Some(Speaker::Administrator);
        }
        let is_closed = self.told.is_closed && self.told.at >= self.ordered.at;
        is_closed.then_some(Speaker::Transmitter)
    }

    /// Whether nothing at all is believed, however new, until it is opened again.
    pub fn is_closed(&self) -> bool {
        self.closed_by().is_some()
    }

    /// When it was closed or opened last, by whomever.
    pub fn stands_since(&self) -> Time {
        self.told.at.max(self.ordered.at)
    }

    /// When anything happened to it last.
    pub fn since(&self) -> Time {
        self.before.max(self.stands_since())
    }

    /// Whether what was had at a time, or nobody knows when, is believed no more.
    pub fn ends(&self, born: Option<Time>) -> bool {
        self.is_closed() || born.is_none_or(|born| born <= self.before)
    }

    /// The digest of that this holds for a mark.
    fn digest_under(&self, mark: Mark) -> Digest {
        let numbers = [
            self.before.unix(),
            self.told.at.unix(),
            i64::from(self.told.is_closed),
            self.ordered.at.unix(),
            i64::from(self.ordered.is_closed),
        ];
        let numbers = numbers.map(i64::to_be_bytes);
        let texts = [self.event.as_bytes(), self.by.as_bytes()];
        let parts = [b"one".as_slice(), mark.0.as_bytes()].into_iter();
        let parts = parts.chain(numbers.iter().map(<[u8; 8]>::as_slice));
        Digest::of_list(parts.chain(texts))
    }
}

/// All that ended for a tenant. A copy shares with it what they have in common, so that one more
/// costs the same however many there are.
#[derive(Clone, Debug, Default)]
pub struct Endings {
    by_mark: Tree,
}

impl Endings {
    /// Knows one more, or one otherwise.
    pub fn put(&mut self, mark: Mark, ending: Ending) {
        self.by_mark.put(mark, ending);
    }

    /// Forgets one.
    pub fn remove(&mut self, mark: Mark) {
        self.by_mark.remove(mark);
    }

    /// What is known of a mark.
    pub fn of(&self, mark: Mark) -> Option<&Ending> {
        self.by_mark.find(mark)
    }

    /// All of them, in the order of the marks.
    pub fn iter(&self) -> impl Iterator<Item = (Mark, &Ending)> {
        self.by_mark.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_mark.len()
    }

    /// Whether nothing ended.
    pub fn is_empty(&self) -> bool {
        self.by_mark.len() == 0
    }

    /// A digest of all of them; none where there is nothing.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.by_mark.digest()
    }

    /// Whether something that was born like this still holds; `what` is what a person calls it.
    pub(crate) fn check(&self, birth: &Birth, what: &str) -> Result<(), Reason> {
        self.check_each(birth, |_| what.to_owned())
    }

    /// As [`Endings::check`], where what a person calls it depends on what ended.
    fn check_each(&self, birth: &Birth, what: impl Fn(Mark) -> String) -> Result<(), Reason> {
        let marks = birth.marks.iter();
        let mut known = marks.filter_map(|mark| Some((*mark, self.of(*mark)?)));
        match known.find(|(_, ending)| ending.ends(birth.at)) {
            None => Ok(()),
            Some((mark, ending)) => Err(Reason::SubjectEnded {
                what: what(mark),
                by: ending.by.clone(),
                event: ending.event.clone(),
                at: ending.since(),
            }),
        }
    }

    /// Whether something that was born like this has ended, or something that it descends from.
    pub fn is_ended(&self, birth: &Birth, lineage: &[Ancestor]) -> bool {
        let mut marks = birth.marks.iter().filter_map(|mark| self.of(*mark));
        marks.any(|ending| ending.ends(birth.at)) || self.check_lineage(lineage).is_err()
    }

    /// Whether a token of `issuer` still holds, and all that it says it descends from. That it may say so
    /// of itself does not matter here: it only ever costs it something. Where that one token ended and its
    /// subject did not, it is named, since whatever else the subject has still holds.
    pub(crate) fn check_token(
        &self,
        birth: &Birth,
        issuer: &str,
        claims: &Claims<'_>,
    ) -> Result<(), Reason> {
        if self.is_empty() {
            return Ok(());
        }
        let subject = claims.subject.unwrap_or_default();
        let token = claims.id.map(|id| (Mark::token(issuer, id), id));
        self.check_each(birth, |ended| match token {
            Some((mark, id)) if mark == ended => format!("the token `{id}` of {subject}"),
            _ => subject.to_owned(),
        })?;
        self.check_lineage(&read_lineage(claims.all))
    }

    /// Whether all that something descends from still holds.
    ///
    /// # Errors
    ///
    /// `revocation.subject_ended`.
    pub fn check_lineage(&self, lineage: &[Ancestor]) -> Result<(), Reason> {
        let mut ancestors = lineage.iter();
        ancestors.try_for_each(|ancestor| self.check_ancestor(ancestor))
    }

    fn check_ancestor(&self, ancestor: &Ancestor) -> Result<(), Reason> {
        let what = format!("what this descends from at {}", ancestor.issuer);
        self.check(&ancestor.birth, &what)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    /// An event of a transmitter.
    pub(super) fn said(seconds: i64) -> Said<'static> {
        Said {
            turn: Turn::Ended,
            at: at(seconds),
            event: "event",
            by: "issuer",
            speaker: Speaker::Transmitter,
        }
    }

    fn after(events: &[(Turn, i64)]) -> Ending {
        let events: Vec<(Speaker, Turn, i64)> = events
            .iter()
            .map(|(turn, seconds)| (Speaker::Transmitter, *turn, *seconds))
            .collect();
        after_all(&events)
    }

    fn after_all(events: &[(Speaker, Turn, i64)]) -> Ending {
        let mut known = None;
        for (speaker, turn, seconds) in events {
            let said = Said {
                turn: *turn,
                speaker: *speaker,
                ..said(*seconds)
            };
            known = Some(Ending::after(known.as_ref(), &said));
        }
        known.unwrap()
    }

    #[test]
    fn what_an_administrator_has_closed_no_transmitter_opens_whichever_comes_first() {
        use Speaker::{Administrator, Transmitter};
        let events = [
            (Administrator, Turn::Closed, 10),
            (Transmitter, Turn::Closed, 20),
            (Transmitter, Turn::Opened, 30),
        ];
        for turned in 0..events.len() {
            let mut other = events;
            other.rotate_left(turned);
            assert_eq!(after_all(&other).closed_by(), Some(Administrator));
            other.reverse();
            assert_eq!(after_all(&other).closed_by(), Some(Administrator));
        }
        let mut opened = events.to_vec();
        opened.push((Administrator, Turn::Opened, 40));
        assert_eq!(after_all(&opened).closed_by(), None);
        // What the transmitter closes anew is closed again.
        opened.push((Transmitter, Turn::Closed, 50));
        assert_eq!(after_all(&opened).closed_by(), Some(Transmitter));
    }

    #[test]
    fn what_a_transmitter_has_closed_both_open() {
        use Speaker::{Administrator, Transmitter};
        let closed = (Transmitter, Turn::Closed, 10);
        for speaker in [Administrator, Transmitter] {
            let opened = after_all(&[closed, (speaker, Turn::Opened, 20)]);
            assert!(!opened.is_closed());
            let late = after_all(&[(speaker, Turn::Opened, 20), closed]);
            assert!(!late.is_closed());
            // In the same second, the careful one holds.
            assert!(after_all(&[closed, (speaker, Turn::Opened, 10)]).is_closed());
        }
    }

    #[test]
    fn of_a_token_that_ended_alone_it_is_said_and_not_of_its_subject() {
        let said_of = |marks: &[Mark]| {
            let mut endings = Endings::default();
            for mark in marks {
                endings.put(*mark, Ending::after(None, &said(10)));
            }
            let claims = json!({"iss": "a", "jti": "one", "iat": 5, "sub": "b"});
            let claims = Claims::read(claims.as_object().unwrap()).unwrap();
            let birth = Birth::of_token("a", &claims, false);
            let ended = endings.check_token(&birth, "a", &claims);
            match ended.unwrap_err() {
                Reason::SubjectEnded { what, .. } => what,
                other => panic!("{other:?}"),
            }
        };
        let (token, subject) = (Mark::token("a", "one"), Mark::subject("a", "b"));
        assert_eq!(said_of(&[token]), "the token `one` of b");
        assert_eq!(said_of(&[subject]), "b");
        assert_eq!(said_of(&[token, subject]), "b");
    }

    #[test]
    fn hostile_59_events_out_of_order_come_to_the_same() {
        let events = [
            (Turn::Ended, 10),
            (Turn::Closed, 20),
            (Turn::Opened, 30),
            (Turn::Ended, 25),
            (Turn::Closed, 15),
        ];
        let whole = after(&events);
        assert!(!whole.is_closed());
        assert_eq!(whole.before, at(25));
        for turned in 0..events.len() {
            let mut other = events;
            other.rotate_left(turned);
            let other = after(&other);
            assert_eq!((other.before, other.is_closed()), (whole.before, false));
            other_way(&events, turned);
        }
    }

    fn other_way(events: &[(Turn, i64)], turned: usize) {
        let mut other = events.to_vec();
        other.rotate_left(turned);
        other.reverse();
        assert_eq!(after(&other).before, at(25));
        assert!(!after(&other).is_closed());
    }

    #[test]
    fn what_was_had_in_the_second_of_the_event_ends_and_what_comes_after_does_not() {
        let ended = after(&[(Turn::Ended, 10)]);
        assert!(ended.ends(Some(at(9))));
        assert!(ended.ends(Some(at(10))));
        assert!(!ended.ends(Some(at(11))));
        assert!(ended.ends(None));
    }

    #[test]
    fn what_is_closed_stays_closed_until_it_is_opened_later() {
        let closed = after(&[(Turn::Closed, 10)]);
        assert!(closed.ends(Some(at(1_000))));
        assert!(after(&[(Turn::Closed, 10), (Turn::Opened, 10)]).is_closed());
        let opened = after(&[(Turn::Closed, 10), (Turn::Opened, 11)]);
        assert!(opened.ends(Some(at(10))));
        assert!(!opened.ends(Some(at(12))));
    }

    #[test]
    fn of_two_that_are_known_of_the_same_neither_takes_the_other_back() {
        let (early, late) = (after(&[(Turn::Ended, 10)]), after(&[(Turn::Ended, 20)]));
        let (closed, opened) = (
            after(&[(Turn::Closed, 15)]),
            after(&[(Turn::Closed, 15), (Turn::Opened, 16)]),
        );
        for (one, other, ends, is_closed) in [
            (&early, &late, 20, false),
            (&early, &closed, 15, true),
            (&closed, &opened, 15, false),
        ] {
            for both in [one.joined(other), other.joined(one)] {
                assert!(both.ends(Some(at(ends))) && both.is_closed() == is_closed);
                assert_eq!(both.ends(Some(at(ends + 1))), is_closed);
            }
        }
    }

    #[test]
    fn no_issuer_has_the_mark_of_another() {
        let all = [
            Mark::subject("a", "x"),
            Mark::subject("b", "x"),
            Mark::subject("", "ax"),
            Mark::session("a", "x"),
            Mark::token("a", "x"),
            Mark::email("a", "x"),
            Mark::phone("a", "x"),
        ];
        let different: std::collections::BTreeSet<Mark> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(Mark::email("a", "A@b.test"), Mark::email("a", "a@B.test"));
    }
}
