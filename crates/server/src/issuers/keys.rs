//! The keys of an issuer through their life: a pure function from what was known and what is
//! published now to what is known now.

use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::id::Digest;
use avouch_core::pin::{Judged, Pinned};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::pins::Pins;
use super::rollback::{Dated, Rollback, Sifted, Sighting};
use super::saving::no_key_of;
use super::settings::IssuerSettings;
use crate::failing::Failing;

/// How long a key that was removed is remembered, in seconds, so that what it signed is refused for
/// the right reason.
const REMEMBERED: i64 = 30 * 86_400;

/// How many events are remembered.
const MOST_EVENTS: usize = 100;

/// The members of a key that are kept (RFC 7517 4; RFC 7518 6.2, 6.3; RFC 8037 2).
const PUBLIC_MEMBERS: [&str; 10] = [
    "alg", "crv", "e", "key_ops", "kid", "kty", "n", "use", "x", "y",
];

/// What is known of the keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Keys {
    pub(super) keys: Vec<KnownKey>,
    /// When they were fetched last.
    pub(super) as_of: Option<i64>,
    /// When they are to be fetched next.
    pub(super) next: Option<i64>,
    /// When the discovery document is to be read next. Whoever has keys fetched by a token moves
    /// `next` and never this.
    pub(super) discover_next: Option<i64>,
    /// Where they were.
    pub(super) url: Option<String>,
    /// Since when they cannot be fetched, and why.
    pub(super) failing: Option<Failing>,
    /// Since when nothing of the issuer is believed, and why.
    pub(super) quarantine: Option<Quarantine>,
    /// The key set that waits for someone to release it.
    pub(super) pending: Option<Value>,
    /// Names under which other key material was published, each with when that was.
    pub(super) contested: Vec<(String, i64)>,
    /// The pin over which they came, if one was enforced.
    pub(super) held: Option<String>,
    /// Since when its server shows nothing that is pinned.
    pub(super) missed: Option<MissedPins>,
    pub(super) events: Vec<Event>,
    /// Of when the set is that is known.
    pub(super) dated: Dated,
    /// What of an older set that is served waits.
    pub(super) rollback: Option<Rollback>,
    /// The keys that are believed and that some of what was served lacks.
    pub(super) lacked: Vec<Sighting>,
    /// The keys that are not believed and that some of what was served has.
    pub(super) offered: Vec<Sighting>,
}

/// How a key set has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Came {
    /// It was fetched, and is of this time; whether one is taken that has nothing in common with the last.
    Fetched { dated: Dated, takes_new_keys: bool },
    /// Someone has looked at it and uploaded it.
    Uploaded,
}

/// What became of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is an older one, and lacks what is believed still.
    Held,
    /// All that is believed is in it, and something that it has waits.
    Partly,
    /// It is what is known now, or waits in quarantine.
    Whole,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownKey {
    /// Its thumbprint (RFC 7638), in base64url.
    pub(super) thumbprint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    pub(super) kind: String,
    pub(super) jwk: Value,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_used: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Quarantine {
    pub(super) since: i64,
    pub(super) cause: String,
    /// Of which issuer, where that is not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
}

/// What was expected of a server by pins, and what it has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MissedPins {
    pub(super) since: i64,
    pub(super) expected: Vec<String>,
    pub(super) seen: Vec<String>,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) what: String,
    pub(super) detail: String,
    /// Whether someone should look at it.
    #[serde(default)]
    pub(super) alarm: bool,
}

/// The cause of a quarantine that a key set causes.
pub(super) const DISCONTINUITY: &str = "the key set it publishes has no key in common with the last one, as after its domain or its \
     server was taken over";

impl Keys {
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The keys that are published.
    pub(super) fn current(&self) -> impl Iterator<Item = &KnownKey> {
        self.keys.iter().filter(|key| key.removed.is_none())
    }

    /// Takes a key set that is published now, as a whole: what is not in it was removed. A set that
    /// cannot be used, or that gives a name to another key, is not taken, and what was known stays.
    pub(super) fn take(
        &mut self,
        issuer: &str,
        set: &Value,
        now: Time,
        came: Came,
    ) -> Result<Taken, Reason> {
        let published = read_keys(issuer, set, now).inspect_err(|reason| {
            if matches!(reason, Reason::JwksPrivateKey { .. }) {
                self.tell(now, "private_key_published", reason.sentence(), true);
            }
        })?;
        self.refuse_changed(issuer, set, &published, now)?;
        let (sifted, takes_new_keys) = match came {
            Came::Fetched {
                dated,
                takes_new_keys,
            } => (self.sift(published, dated, now), takes_new_keys),
            Came::Uploaded => {
                let (keys, waits) = (published, None);
                (Sifted { keys, waits }, true)
            }
        };
        let (published, waits) = (sifted.keys, sifted.waits);
        let is_continuous = published.iter().any(|key| {
            self.current()
                .any(|known| known.thumbprint == key.thumbprint)
        });
        let knows_any = self.current().next().is_some();
        if knows_any && !is_continuous && !takes_new_keys {
            self.pending = Some(set.clone());
            if self.quarantine.is_none() {
                self.quarantine = Some(Quarantine {
                    since: now.unix(),
                    cause: DISCONTINUITY.to_owned(),
                    of: None,
                });
                self.tell(now, "quarantined", DISCONTINUITY.to_owned(), true);
            }
            return Ok(Taken::Whole);
        }
        self.replace(published, now);
        let Some(waits) = waits else {
            return Ok(Taken::Whole);
        };
        let taken = match waits.lacks.is_empty() {
            true => Taken::Partly,
            false => Taken::Held,
        };
        (self.rollback, self.pending) = (Some(waits), Some(set.clone()));
        Ok(taken)
    }

    /// Other material under a name that is known: whoever made it could sign in its place.
    fn refuse_changed(
        &mut self,
        issuer: &str,
        set: &Value,
        published: &[KnownKey],
        now: Time,
    ) -> Result<(), Reason> {
        let changed = published.iter().find_map(|key| {
            let kid = key.kid.as_ref()?;
            let known = self
                .keys
                .iter()
                .find(|known| known.kid.as_ref() == Some(kid))?;
            (known.thumbprint != key.thumbprint).then(|| kid.clone())
        });
        let Some(kid) = changed else {
            return Ok(());
        };
        self.pending = Some(set.clone());
        let since = match self.contested.iter().find(|(known, _)| *known == kid) {
            Some((_, since)) => *since,
            None => {
                self.contested.push((kid.clone(), now.unix()));
                let detail = format!("another key was published under the name {kid}");
                self.tell(now, "key_changed", detail, true);
                now.unix()
            }
        };
        Err(Reason::KeyChanged {
            key: kid,
            issuer: issuer.to_owned(),
            since: Time::from_unix(since),
        })
    }

    fn replace(&mut self, published: Vec<KnownKey>, now: Time) {
        let mut removed = Vec::new();
        for known in &mut self.keys {
            let is_there = published.iter().any(|key| known.is(key));
            if !is_there && known.removed.is_none() {
                known.removed = Some(now.unix());
                removed.push(known.name());
            }
        }
        for name in removed {
            self.tell(now, "key_removed", name, false);
        }
        for key in published {
            match self.keys.iter_mut().find(|known| known.is(&key)) {
                Some(known) => {
                    let name = known.name();
                    let returned = known.removed.take().is_some();
                    known.last_seen = key.last_seen;
                    known.jwk = key.jwk;
                    if returned {
                        self.tell(now, "key_returned", name, true);
                    }
                }
                None => {
                    self.tell(now, "key_published", key.name(), false);
                    self.keys.push(key);
                }
            }
        }
        let oldest = now.unix() - REMEMBERED;
        self.keys
            .retain(|key| key.removed.is_none_or(|at| at > oldest));
        self.settle_sightings();
        self.contested.clear();
        self.pending = None;
        self.rollback = None;
    }

    /// What waits for someone's word, as one digest: the quarantine with its cause, the names that
    /// are contested, the key set that would be taken, and the keys that would be believed again.
    /// `None` if nothing waits.
    pub(super) fn etag(&self) -> Option<String> {
        if self.quarantine.is_none() && self.contested.is_empty() && self.pending.is_none() {
            return None;
        }
        let known: Vec<&str> = self.current().map(|key| key.thumbprint.as_str()).collect();
        let waits = json!([self.quarantine, self.contested, self.pending, known]);
        Some(Digest::of(waits.to_string().as_bytes()).to_string())
    }

    /// The keys of the set that would be taken, as whoever releases it should have looked at them.
    pub(super) fn waiting(&self, issuer: &str, now: Time) -> Vec<Value> {
        let Some(pending) = &self.pending else {
            return Vec::new();
        };
        let keys = read_keys(issuer, pending, now).unwrap_or_default();
        let told = keys
            .iter()
            .map(|key| json!({"kid": key.kid, "thumbprint": key.thumbprint, "kind": key.kind}));
        told.collect()
    }

    /// Has someone's word that what they looked at is right: what waits must still be that.
    pub(super) fn release(
        &mut self,
        issuer: &str,
        etag: &str,
        now: Time,
        by: &str,
    ) -> Result<(), Reason> {
        let found = self.etag().unwrap_or_else(|| "nothing".to_owned());
        if found != etag {
            return Err(Reason::IssueReleaseStale {
                issuer: issuer.to_owned(),
                named: etag.chars().take(128).collect(),
                found,
            });
        }
        let was_held = self.rollback.take().is_some();
        self.lacked.clear();
        self.offered.clear();
        if self.quarantine.take().is_some() || !self.contested.is_empty() || was_held {
            self.tell(now, "released", format!("by {by}"), false);
        }
        // The names that are contested mean, from now on, what was looked at.
        let contested = std::mem::take(&mut self.contested);
        self.keys.retain(|key| {
            let name = key.kid.as_ref();
            !contested.iter().any(|(kid, _)| Some(kid) == name)
        });
        if let Some(pending) = self.pending.take() {
            let published = read_keys(issuer, &pending, now)?;
            self.replace(published, now);
        }
        Ok(())
    }

    /// Puts the issuer into quarantine.
    pub(super) fn quarantine(&mut self, now: Time, cause: String) {
        if self.quarantine.is_none() {
            self.tell(now, "quarantined", cause.clone(), true);
            self.quarantine = Some(Quarantine {
                since: now.unix(),
                cause,
                of: None,
            });
        }
    }

    /// Notes that a key was seen at work; whether that is news.
    pub(super) fn used(&mut self, name: &str, at: Time) -> bool {
        let found = self.keys.iter_mut().find(|key| key.name() == name);
        match found {
            Some(key) if key.first_used.is_none() => {
                key.first_used = Some(at.unix());
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether there never were keys, and need be none: an issuer that is asked about each token may publish
    /// none.
    pub(super) fn need_not_be(&self, settings: &IssuerSettings) -> bool {
        self.keys.is_empty() && settings.may_have_no_keys()
    }

    /// Notes that the keys cannot be fetched, which is an alarm if there should be some.
    pub(super) fn failed(&mut self, now: Time, reason: &Reason, alarm: bool) {
        let is_new = self
            .failing
            .as_ref()
            .is_none_or(|failing| failing.code != reason.code());
        if is_new {
            self.tell(now, "refresh_failed", reason.sentence(), alarm);
        }
        self.failing = Some(Failing::after(self.failing.as_ref(), now, reason));
        if let Reason::FetchPinMissed { expected, seen, .. } = reason {
            let since = self.missed.as_ref().map(|missed| missed.since);
            self.missed = Some(MissedPins {
                since: since.unwrap_or(now.unix()),
                expected: expected.clone(),
                seen: seen.clone(),
            });
        }
    }

    pub(super) fn tell(&mut self, now: Time, what: &str, detail: String, alarm: bool) {
        self.events.push(Event {
            at: now.unix(),
            what: what.to_owned(),
            detail: detail.chars().take(512).collect(),
            alarm,
        });
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    /// The members of an anchor that say what is known here.
    pub(super) fn into_anchor(
        self,
        stale_for: i64,
        pins: &Pins,
        now: Time,
        anchor: &mut Map<String, Value>,
    ) {
        let contested = |key: &KnownKey| {
            let name = key.kid.as_ref();
            self.contested.iter().any(|(kid, _)| Some(kid) == name)
        };
        let unpinned = self.unpinned(pins, now);
        let is_unpinned = |key: &KnownKey| {
            let mut unpinned = unpinned.iter();
            unpinned.any(|(thumbprint, _)| *thumbprint == key.thumbprint)
        };
        let current = self
            .current()
            .filter(|key| !contested(key) && !is_unpinned(key));
        let keys: Vec<Value> = current.map(|key| key.jwk.clone()).collect();
        if !keys.is_empty() {
            anchor.insert("jwks".to_owned(), json!({ "keys": keys }));
        }
        let withheld = |kid: &str, why: &str, since: i64| json!({"kid": kid, "why": why, "since": Time::from_unix(since).to_string()});
        let mut all: Vec<Value> = self
            .contested
            .iter()
            .map(|(kid, since)| withheld(kid, "changed", *since))
            .collect();
        for key in self
            .current()
            .filter(|key| is_unpinned(key) && !contested(key))
        {
            let pinned = unpinned
                .iter()
                .find(|(thumbprint, _)| *thumbprint == key.thumbprint);
            if let (Some(kid), Some((_, pinned))) = (&key.kid, pinned) {
                let mut withheld = withheld(kid, "unpinned", key.first_seen);
                if let Some(members) = withheld.as_object_mut() {
                    members.insert("pinned".to_owned(), pinned.clone().into());
                }
                all.push(withheld);
            }
        }
        for key in &self.keys {
            let is_taken = self.current().any(|other| other.kid == key.kid) || contested(key);
            if let (Some(removed), Some(kid), false) = (key.removed, &key.kid, is_taken) {
                all.push(withheld(kid, "removed", removed));
            }
        }
        if !all.is_empty() {
            anchor.insert("withheld_keys".to_owned(), all.into());
        }
        let doubted = self.doubted(now);
        if !doubted.is_empty() {
            anchor.insert("doubted_keys".to_owned(), doubted.into());
        }
        if let (Some(as_of), Some(next)) = (self.as_of, self.next) {
            let fetched = json!({
                "as_of": Time::from_unix(as_of).to_string(),
                "next": Time::from_unix(next).to_string(),
                "usable_until": Time::from_unix(next).plus(stale_for).to_string(),
            });
            anchor.insert("keys_fetched".to_owned(), fetched);
        }
        if let Some(quarantine) = &self.quarantine {
            anchor.insert("quarantined".to_owned(), quarantine.to_json());
        }
        let said = self.pins_said(pins);
        if !said.is_empty() {
            anchor.insert("pins".to_owned(), said.into());
        }
    }

    /// What its pins were good for; a list without elements is left out.
    fn pins_said(&self, pins: &Pins) -> Map<String, Value> {
        let mut said = Map::new();
        if let Some(held) = self.held.as_ref().filter(|_| pins.are_enforced()) {
            said.insert("held".to_owned(), held.as_str().into());
        }
        let not_consulted = pins.not_consulted();
        if !not_consulted.is_empty() {
            said.insert("not_consulted".to_owned(), not_consulted.into());
        }
        if let Some(missed) = self.missed.as_ref().filter(|_| pins.are_enforced()) {
            let mut told = Map::from_iter([(
                "since".to_owned(),
                Value::from(Time::from_unix(missed.since).to_string()),
            )]);
            for (name, list) in [("expected", &missed.expected), ("seen", &missed.seen)] {
                if !list.is_empty() {
                    told.insert(name.to_owned(), list.clone().into());
                }
            }
            said.insert("missed".to_owned(), told.into());
        }
        said
    }

    /// The published keys that no enforced pin holds, by their thumbprints, each with what is pinned.
    pub(super) fn unpinned(&self, pins: &Pins, now: Time) -> Vec<(String, Vec<String>)> {
        let judged = self.current().map(|key| (key, pins.judge_key(key, now)));
        judged
            .filter_map(|(key, judged)| match judged {
                Judged::Missed { expected, .. } => Some((key.thumbprint.clone(), expected)),
                Judged::Held(_) | Judged::NotPinned => None,
            })
            .collect()
    }
}

impl Quarantine {
    pub(super) fn to_json(&self) -> Value {
        json!({"since": Time::from_unix(self.since).to_string(), "cause": self.cause})
    }
}

impl KnownKey {
    /// As verdicts name it.
    pub(super) fn name(&self) -> String {
        match &self.kid {
            Some(kid) => kid.clone(),
            None => format!("thumbprint {}", self.thumbprint),
        }
    }

    /// What a pin on it would name.
    pub(super) fn pinned(&self) -> Option<Pinned> {
        Pinned::parse(&format!("jwk:{}", self.thumbprint))
    }

    /// How long it was published before it was seen at work, in seconds.
    pub(super) fn published_before_use(&self) -> Option<i64> {
        self.first_used.map(|used| used - self.first_seen)
    }
}

/// The keys of a set that can check signatures, if it has any.
fn read_keys(issuer: &str, set: &Value, now: Time) -> Result<Vec<KnownKey>, Reason> {
    let read = KeySet::read(issuer, set)?;
    let entries = set.get("keys").and_then(Value::as_array);
    let mut known = Vec::new();
    for entry in entries.into_iter().flatten() {
        let alone = KeySet::read(issuer, &json!({ "keys": [entry] }))?;
        let Some(key) = alone.keys().first() else {
            continue;
        };
        let thumbprint = Base64UrlUnpadded::encode_string(key.thumbprint().as_bytes());
        let is_twice = known.iter().any(|other: &KnownKey| {
            other.thumbprint == thumbprint && other.kid.as_deref() == key.id()
        });
        if is_twice {
            continue;
        }
        let members = entry.as_object().into_iter().flatten();
        let public = members.filter(|(name, _)| PUBLIC_MEMBERS.contains(&name.as_str()));
        known.push(KnownKey {
            thumbprint,
            kid: key.id().map(str::to_owned),
            kind: key.key().kind().name(),
            jwk: public
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<Map<String, Value>>()
                .into(),
            first_seen: now.unix(),
            last_seen: now.unix(),
            first_used: None,
            removed: None,
        });
    }
    if known.is_empty() {
        return Err(no_key_of(issuer, &read));
    }
    Ok(known)
}
