//! Older key sets. A cache on the way may serve one once after a newer one: that neither brings a key back
//! that was removed nor ends what newer keys have signed. It is looked at again each minute, and is what the
//! issuer publishes only when nothing newer was served for a while.

use avouch_core::id::Digest;
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys::{Keys, KnownKey, REMEMBERED};
use super::shown;

/// For how long nothing but older sets must be served until one is taken, in seconds. Whoever goes back
/// to an earlier set to withdraw a key waits for so long.
const HELD: i64 = 300;

/// How many earlier sets are remembered.
const MOST_SETS: usize = 32;

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

/// A set that was published before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EarlierSet {
    digest: String,
    /// When it was published no more.
    until: i64,
}

/// Since when nothing but older sets is served, and what the last of them would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rollback {
    pub(super) since: i64,
    /// The keys that it lacks.
    pub(super) lacks: Vec<String>,
    /// The removed keys that it has again.
    pub(super) returns: Vec<String>,
}

impl Rollback {
    /// From when on an older set is taken.
    pub(super) fn taken_from(&self) -> i64 {
        self.since + HELD
    }

    fn sentence(&self) -> String {
        let mut parts = Vec::new();
        for (what, names) in [("without", &self.lacks), ("again with", &self.returns)] {
            if !names.is_empty() {
                parts.push(format!("{what} {}", names.join(", ")));
            }
        }
        format!(
            "an older key set is served, {}; it is taken if nothing newer is until {}",
            parts.join(" and "),
            shown(self.taken_from())
        )
    }
}

impl Dated {
    /// What is known of when it was made, with another answer that has the same set.
    fn latest(self, other: Self) -> Self {
        Self {
            made: self.made.max(other.made),
            modified: self.modified.max(other.modified),
        }
    }

    /// Whether it is older than what another says of itself.
    fn is_before(self, other: Self) -> bool {
        let is_made_before = self.made.zip(other.made);
        self.is_changed_before(other)
            || is_made_before.is_some_and(|(one, other)| one + LEEWAY < other)
    }

    fn is_changed_before(self, other: Self) -> bool {
        let both = self.modified.zip(other.modified);
        both.is_some_and(|(one, other)| one < other)
    }
}

impl Keys {
    /// Whether a set is held because it is an older one; then it waits for a person, for a while or for a
    /// newer one to be served.
    pub(super) fn holds_back(
        &mut self,
        set: &Value,
        published: &[KnownKey],
        dated: Dated,
        now: Time,
    ) -> bool {
        let is_current = digest(self.current()) == digest(published.iter());
        if is_current || !self.is_older(published, dated) {
            if self.rollback.take().is_some() {
                self.tell_now_and_then(now, "rollback_over", "a newer key set is served again");
            }
            self.dated = match is_current {
                true => dated.latest(self.dated),
                false => dated,
            };
            return false;
        }
        let since = self.rollback.as_ref().map(|held| held.since);
        let held = Rollback {
            since: since.unwrap_or(now.unix()),
            lacks: self.lacking(published),
            returns: self.returning(published),
        };
        if now.unix() < held.taken_from() {
            self.tell_now_and_then(now, "rollback", &held.sentence());
            self.rollback = Some(held);
            self.pending = Some(set.clone());
            return true;
        }
        self.rollback = None;
        let detail = format!(
            "nothing but older key sets was served since {}",
            shown(held.since)
        );
        self.tell(now, "rollback_taken", detail, true);
        self.dated = dated;
        false
    }

    /// Whether a set is older than the one that is known: by its own word, because it brings back what was
    /// removed and nothing new, or because it was published before. One that says that it is newer is
    /// believed to take something away, and not to bring anything back.
    fn is_older(&self, published: &[KnownKey], dated: Dated) -> bool {
        if self.current().next().is_none() {
            return false;
        }
        let is_new = |key: &KnownKey| !self.keys.iter().any(|known| known.is(key));
        let says_newer = self.dated.is_changed_before(dated);
        let digest = digest(published.iter());
        let was_published = self.earlier.iter().any(|set| set.digest == digest);
        dated.is_before(self.dated)
            || !self.returning(published).is_empty() && !published.iter().any(is_new)
            || was_published && !says_newer
    }

    fn lacking(&self, published: &[KnownKey]) -> Vec<String> {
        let lacks = |known: &&KnownKey| !published.iter().any(|key| known.is(key));
        self.current().filter(lacks).map(KnownKey::name).collect()
    }

    fn returning(&self, published: &[KnownKey]) -> Vec<String> {
        let is_there = |known: &&KnownKey| published.iter().any(|key| known.is(key));
        let removed = self.keys.iter().filter(|known| known.removed.is_some());
        removed.filter(is_there).map(KnownKey::name).collect()
    }

    /// Remembers the set that is known before another takes its place.
    pub(super) fn remember_set(&mut self, published: &[KnownKey], now: Time) {
        let (before, after) = (digest(self.current()), digest(published.iter()));
        if before == after || self.current().next().is_none() {
            return;
        }
        let oldest = now.unix() - REMEMBERED;
        let earlier = &mut self.earlier;
        earlier.retain(|set| set.until > oldest && set.digest != before && set.digest != after);
        earlier.push(EarlierSet {
            digest: before,
            until: now.unix(),
        });
        let surplus = earlier.len().saturating_sub(MOST_SETS);
        earlier.drain(..surplus);
    }

    /// Tells an alarm, unless the same was told a little while ago.
    fn tell_now_and_then(&mut self, now: Time, what: &str, detail: &str) {
        let since = now.unix() - TOLD_EVERY;
        let mut events = self.events.iter();
        if !events.any(|event| event.what == what && event.at > since) {
            self.tell(now, what, detail.to_owned(), what == "rollback");
        }
    }
}

impl KnownKey {
    /// Whether it is the same key under the same name.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint && self.kid == other.kid
    }
}

/// One name for a set of keys, in whatever order they stand.
fn digest<'a>(keys: impl Iterator<Item = &'a KnownKey>) -> String {
    let mut names: Vec<String> = keys
        .map(|key| format!("{} {}", key.thumbprint, key.kid.as_deref().unwrap_or("")))
        .collect();
    names.sort_unstable();
    Digest::of_list(names.iter().map(String::as_bytes)).to_string()
}
