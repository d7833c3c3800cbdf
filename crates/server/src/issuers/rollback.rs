//! Older key sets. A cache on the way may serve one once after a newer one: that neither brings a key back
//! that was removed nor ends at once what newer keys have signed. Each key is judged alone, since to be
//! careful is another thing for one that goes than for one that comes:
//!
//! - One that an older set lacks is believed for [`HELD`] seconds after it was first missed, whatever is
//!   served in between: the issuer may have withdrawn it, and a removed key is a revocation. A set that
//!   only lacks something and does not say that it is older is no older set: what it lacks ends at once.
//!   While nobody can ask it stays in doubt, however long: that nothing was served shows nothing.
//! - One that was removed comes back when nothing without it was served for so long.
//!
//! So whoever serves old and new in turn keeps a stolen key alive no longer, and brings none back.

use avouch_core::id::Digest;
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{Keys, KnownKey};
use super::shown;

/// How long what two answers say differently waits, in seconds.
const HELD: i64 = 300;

/// In how many answers a removed key must stand before it is believed again: a while in which nothing
/// could be fetched shows nothing.
const LEAST_ANSWERS: u32 = 3;

/// How long it is remembered that a key was missed once, in seconds: longer than until the next look at a
/// set that was fresh meanwhile.
const SIGHTED: i64 = 7_200;

/// How long after a key is settled it is looked at least once more, in seconds.
const ONE_MORE_LOOK: i64 = 61;

/// How far clocks and roundings are forgiven, in seconds.
const LEEWAY: i64 = 2;

/// How often the same is told again, in seconds: a cache that goes to and fro must not push out what
/// else has happened.
const TOLD_EVERY: i64 = 3_600;

/// Of when a set is, by the word of whoever has served it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Dated {
    /// When the answer was made, which a cache may have kept since (RFC 9111 5.1).
    pub(super) made: Option<i64>,
    /// When what was answered changed last (RFC 9110 8.8.2).
    pub(super) modified: Option<i64>,
}

/// Since when a key was missed, or offered again, by sets that are not taken as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sighting {
    key: String,
    first: i64,
    last: i64,
    answers: u32,
}

/// Since when an older set is served, and what of it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rollback {
    pub(super) since: i64,
    /// From when on all of it is taken.
    #[serde(default)]
    pub(super) until: i64,
    /// The keys that it lacks and that are believed still.
    pub(super) lacks: Vec<String>,
    /// The removed keys that it has again.
    pub(super) returns: Vec<String>,
    /// The keys that nobody knows yet.
    #[serde(default)]
    pub(super) brings: Vec<String>,
}

impl Rollback {
    /// What is told of it: the same words for the same keys.
    fn sentence(&self) -> String {
        let mut parts = Vec::new();
        for (what, names) in [
            ("without", &self.lacks),
            ("again with", &self.returns),
            ("with", &self.brings),
        ] {
            if !names.is_empty() {
                parts.push(format!("{what} {}", names.join(", ")));
            }
        }
        let parts = parts.join(" and ");
        format!("an older key set is served, {parts}; {HELD} s are waited for a newer one")
    }
}

/// What is taken now of a set.
pub(super) struct Sifted {
    pub(super) keys: Vec<KnownKey>,
    /// What waits, if anything does.
    pub(super) waits: Option<Rollback>,
}

/// Where a set stands beside the one that is known.
struct Standing {
    /// It says itself that it is older.
    is_older: bool,
    /// What it lacks may be newer than it is.
    lacks_newer: bool,
}

impl Dated {
    /// What is known of when it was made, with another answer that has the same set.
    fn latest(self, other: Self) -> Self {
        Self {
            made: self.made.max(other.made),
            modified: self.modified.max(other.modified),
        }
    }

    /// Without what would be in the future: nobody can have changed it then (RFC 9110 8.8.2.1), and
    /// everything later would be older.
    fn until(self, now: Time) -> Self {
        let is_over = |at: &i64| *at <= now.unix() + LEEWAY;
        Self {
            made: self.made.filter(is_over),
            modified: self.modified.filter(is_over),
        }
    }

    /// Whether it is older than what another says of itself: by when they changed, and by when they were
    /// made where that tells nothing.
    fn is_before(self, other: Self) -> bool {
        let is_made_before = self.made.zip(other.made);
        self.is_changed_before(other)
            || !other.is_changed_before(self)
                && is_made_before.is_some_and(|(one, other)| one + LEEWAY < other)
    }

    fn is_changed_before(self, other: Self) -> bool {
        let both = self.modified.zip(other.modified);
        both.is_some_and(|(one, other)| one < other)
    }
}

impl Sighting {
    /// Notes in `all` that a key was sighted; since when it is.
    fn note(all: &mut Vec<Self>, key: &KnownKey, now: Time) -> Self {
        let name = key.whole_name();
        let before = all.iter().position(|one| one.key == name);
        let before = before.map(|place| all.swap_remove(place));
        let (first, answers) = before.map_or((now.unix(), 0), |one| (one.first, one.answers));
        let one = Self {
            key: name,
            first,
            last: now.unix(),
            answers: answers.saturating_add(1),
        };
        all.push(one.clone());
        one
    }

    fn is_over(&self, now: Time) -> bool {
        now.unix() >= self.first + HELD
    }

    /// By when it is known at the latest whether the key was taken out, if it is asked.
    fn known_by(&self) -> i64 {
        self.first + HELD + ONE_MORE_LOOK
    }

    /// Whether it was asked since then, and the key was there: what is known is of `as_of`. It is never of
    /// then where someone has uploaded the keys.
    fn is_settled(&self, as_of: Option<i64>) -> bool {
        as_of.is_none_or(|as_of| as_of >= self.known_by())
    }

    /// Whether it is not known yet what has become of the key.
    fn is_in_doubt(&self, as_of: Option<i64>, now: Time) -> bool {
        now.unix() < self.known_by() || !self.is_settled(as_of)
    }
}

impl Keys {
    /// What is taken now of a set that was fetched.
    pub(super) fn sift(&mut self, published: Vec<KnownKey>, dated: Dated, now: Time) -> Sifted {
        self.dated = self.dated.until(now);
        let dated = dated.until(now);
        self.forget_sightings(&published, now);
        let is_current = digest(self.current()) == digest(published.iter());
        if is_current || self.current().next().is_none() {
            self.dated = match is_current {
                true => dated.latest(self.dated),
                false => dated,
            };
            self.is_whole_again(now);
            return whole(published);
        }
        let standing = self.standing(&published, dated);
        let is_wholly_newer = !standing.lacks_newer && !standing.is_older;
        let (believed, mut waits) = self.missed(&published, &standing, now);
        let (taken, held): (Vec<_>, Vec<_>) = published
            .iter()
            .cloned()
            .partition(|key| self.is_admitted(key, &standing, &mut waits, now));
        let keys: Vec<KnownKey> = believed.into_iter().chain(taken).collect();
        // Nothing of it is taken, and nothing else is left: then what it is must be seen as a whole.
        if keys.is_empty() || waits.is_empty() {
            let returns = published.iter().any(|key| self.was_removed(key));
            match is_wholly_newer && !returns {
                true => self.is_whole_again(now),
                false => self.is_taken_in_the_end(now),
            }
            self.dated = dated;
            return whole(published);
        }
        if digest(self.current()) != digest(keys.iter()) {
            self.dated = dated;
        }
        let of = |is_known: bool| {
            let held = held.iter();
            let held = held.filter(|key| self.was_removed(key) == is_known);
            held.map(KnownKey::name).collect()
        };
        let lacks = |key: &&KnownKey| !published.iter().any(|other| other.is(key));
        let firsts = || waits.iter().map(|one: &Sighting| one.first);
        let waits = Rollback {
            since: firsts().min().unwrap_or(now.unix()),
            until: firsts().max().unwrap_or(now.unix()) + HELD,
            lacks: keys.iter().filter(lacks).map(KnownKey::name).collect(),
            returns: of(true),
            brings: of(false),
        };
        self.tell_now_and_then(now, "rollback", &waits.sentence());
        Sifted {
            keys,
            waits: Some(waits),
        }
    }

    /// Where a set stands: older by its own word, or because it brings back what was removed and nothing
    /// new. One that says that it is newer is believed about what it lacks; and one that only lacks
    /// something, and says nothing of its age, is a removal, though it has stood like that before.
    fn standing(&self, published: &[KnownKey], dated: Dated) -> Standing {
        let is_new = |key: &KnownKey| !self.keys.iter().any(|known| known.is(key));
        let says_newer = self.dated.is_changed_before(dated);
        let returns = published.iter().any(|key| self.was_removed(key));
        let is_older = dated.is_before(self.dated);
        let is_as_before = returns && !published.iter().any(is_new);
        Standing {
            is_older,
            lacks_newer: is_older || is_as_before && !says_newer,
        }
    }

    /// The keys that a set lacks and that are believed still, each with since when it is missed.
    fn missed(
        &mut self,
        published: &[KnownKey],
        standing: &Standing,
        now: Time,
    ) -> (Vec<KnownKey>, Vec<Sighting>) {
        let lacks = |known: &&KnownKey| !published.iter().any(|key| known.is(key));
        let lacking: Vec<KnownKey> = self.current().filter(lacks).cloned().collect();
        let (mut believed, mut since) = (Vec::new(), Vec::new());
        for key in lacking {
            let sighting = Sighting::note(&mut self.lacked, &key, now);
            if standing.lacks_newer && !sighting.is_over(now) {
                since.push(sighting);
                believed.push(key);
            }
        }
        (believed, since)
    }

    /// Whether a key of a set is believed now; if not, it waits.
    fn is_admitted(
        &mut self,
        key: &KnownKey,
        standing: &Standing,
        waits: &mut Vec<Sighting>,
        now: Time,
    ) -> bool {
        let was_removed = self.was_removed(key);
        let is_known = self.keys.iter().any(|known| known.is(key));
        if !was_removed && (is_known || !standing.is_older) {
            return true;
        }
        let sighting = Sighting::note(&mut self.offered, key, now);
        let is_shown = !was_removed || sighting.answers >= LEAST_ANSWERS;
        if is_shown && sighting.is_over(now) {
            return true;
        }
        waits.push(sighting);
        false
    }

    /// What stays known where it may be read from another place now: nothing of how old what was served
    /// there is, nor that it has offered a removed key for a while. That a key was missed stays.
    pub(super) fn read_anew(mut self) -> Self {
        self.discover_next = None;
        self.dated = Dated::default();
        self.offered.clear();
        let is_all = self.quarantine.is_none() && self.contested.is_empty();
        if self.rollback.take().is_some() && is_all {
            self.pending = None;
        }
        self
    }

    /// Forgets what was sighted long ago, and of removed keys that one was offered as soon as a set is
    /// served without it.
    fn forget_sightings(&mut self, published: &[KnownKey], now: Time) {
        let oldest = now.unix() - SIGHTED;
        let as_of = self.as_of;
        self.lacked
            .retain(|one| one.last >= oldest || !one.is_settled(as_of));
        let there: Vec<String> = published.iter().map(KnownKey::whole_name).collect();
        let removed = self.keys.iter().filter(|key| key.removed.is_some());
        let gone: Vec<String> = removed
            .map(KnownKey::whole_name)
            .filter(|name| !there.contains(name))
            .collect();
        self.offered
            .retain(|one| one.last >= oldest && !gone.contains(&one.key));
    }

    /// Forgets what was sighted of keys of which something was decided.
    pub(super) fn settle_sightings(&mut self) {
        let current: Vec<String> = self.current().map(KnownKey::whole_name).collect();
        self.lacked.retain(|one| current.contains(&one.key));
        self.offered.retain(|one| !current.contains(&one.key));
    }

    /// Whether a key was missed a little while ago, or nobody could ask since, so that it is soon looked
    /// again what is served.
    pub(super) fn is_in_doubt(&self, now: Time) -> bool {
        let mut lacked = self.lacked.iter();
        lacked.any(|one| one.is_in_doubt(self.as_of, now))
    }

    /// The keys that are believed and in doubt, as an anchor has them.
    pub(super) fn doubted(&self, now: Time) -> Vec<Value> {
        let doubted = self.current().filter_map(|key| {
            let name = key.whole_name();
            let mut lacked = self.lacked.iter();
            let one = lacked.find(|one| one.key == name && one.is_in_doubt(self.as_of, now))?;
            Some(json!({
                "thumbprint": key.thumbprint,
                "since": shown(one.first),
                "until": shown(one.known_by()),
            }))
        });
        doubted.collect()
    }

    /// Since when a key that is believed is missed by some of what is served.
    pub(super) fn missed_since(&self, key: &KnownKey) -> Option<i64> {
        let name = key.whole_name();
        let mut lacked = self.lacked.iter();
        lacked.find(|one| one.key == name).map(|one| one.first)
    }

    fn was_removed(&self, key: &KnownKey) -> bool {
        let mut known = self.keys.iter();
        known.any(|known| known.is(key) && known.removed.is_some())
    }

    fn is_whole_again(&mut self, now: Time) {
        if self.rollback.take().is_some() {
            self.tell_now_and_then(now, "rollback_over", "a newer key set is served again");
        }
    }

    fn is_taken_in_the_end(&mut self, now: Time) {
        let held = self.rollback.take().map(|held| held.since);
        // One that waits for a person is told of already.
        if self.quarantine.is_some() {
            return;
        }
        let missed = self.lacked.iter().map(|one| one.first).min();
        let since = held.or(missed).unwrap_or(now.unix());
        let detail = format!("an older key set was served since {}", shown(since));
        self.tell(now, "rollback_taken", detail, true);
    }

    /// Tells something, unless the very same was told a little while ago.
    fn tell_now_and_then(&mut self, now: Time, what: &str, detail: &str) {
        let since = now.unix() - TOLD_EVERY;
        let mut events = self.events.iter();
        let is_told = events.any(|event| {
            event.what == what && event.at > since && detail.starts_with(&event.detail)
        });
        if !is_told {
            self.tell(now, what, detail.to_owned(), what == "rollback");
        }
    }
}

fn whole(keys: Vec<KnownKey>) -> Sifted {
    Sifted { keys, waits: None }
}

impl KnownKey {
    /// Whether it is the same key under the same name.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint && self.kid == other.kid
    }

    /// Its thumbprint and its name.
    fn whole_name(&self) -> String {
        format!("{} {}", self.thumbprint, self.kid.as_deref().unwrap_or(""))
    }
}

/// One name for a set of keys, in whatever order they stand.
fn digest<'a>(keys: impl Iterator<Item = &'a KnownKey>) -> String {
    let mut names: Vec<String> = keys.map(KnownKey::whole_name).collect();
    names.sort_unstable();
    Digest::of_list(names.iter().map(String::as_bytes)).to_string()
}
