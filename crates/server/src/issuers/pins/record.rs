//! What is pinned of an issuer, and what its servers have shown of that, as it is stored.

use avouch_core::credential::x509::Certificate;
use avouch_core::id::Digest;
use avouch_core::pin::{Judged, Link, Pin, Pinned, Place, ShownPath, judge_key};
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};

use super::super::keys::KnownKey;
use crate::fetch::VerifiedChain;

/// How many pins an issuer has at most. GitHub's two became four in as many years.
pub(super) const MOST_PINS: usize = 32;

/// How many paths are remembered.
const MOST_PATHS: usize = 16;

/// How long a path is remembered after it was seen last, in seconds.
const REMEMBERED: i64 = 90 * 86_400;

/// How exactly is remembered when a path was seen last, in seconds, so that looking does not mean
/// storing.
const LAST_SEEN_EXACT_TO: i64 = 86_400;

/// The pins of an issuer and what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pins {
    pub(super) pins: Vec<StoredPin>,
    pub(super) paths: Vec<SeenPath>,
}

/// One pin as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredPin {
    /// What it names, as [`Pinned`] is written.
    pub(super) pin: String,
    pub(super) place: String,
    pub(super) enforced: bool,
    /// The only host that it is about; all of the issuer's if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    /// Whether what continues it is pinned by itself.
    #[serde(default)]
    pub(super) auto_stage: bool,
    pub(super) owner: String,
    pub(super) reason: String,
    pub(super) added: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<i64>,
    /// The pin that it continues, if it was not put by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) continues: Option<String>,
}

/// A verified path that a server has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenPath {
    pub(super) host: String,
    pub(super) links: Vec<SeenLink>,
    pub(super) anchor: Option<String>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    /// Whether it was shown when the host was looked at last.
    pub(super) shown_last: bool,
}

/// A certificate on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenLink {
    pub(super) sha1: String,
    pub(super) sha256: String,
    pub(super) key: Option<String>,
    pub(super) subject: String,
    pub(super) not_after: i64,
}

impl Pins {
    /// Reads what is stored. A pin that this version does not know is damage: it must not be left
    /// out as if nobody had asked for it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let pins: Self = serde_json::from_str(text).ok()?;
        let are_known = pins.pins.iter().all(|pin| pin.read().is_some());
        are_known.then_some(pins)
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Those for a host, whether they are consulted or not.
    pub(super) fn of_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a StoredPin> {
        self.pins.iter().filter(move |pin| {
            let is_meant = pin.host.as_deref().is_none_or(|only| only == host);
            is_meant && !pin.is_of_tokens()
        })
    }

    /// What is compared when a host is called.
    pub(in super::super) fn for_host(&self, host: &str) -> Vec<Pin> {
        self.of_host(host).filter_map(StoredPin::read).collect()
    }

    /// Those on keys of tokens.
    pub(super) fn of_tokens(&self) -> impl Iterator<Item = &StoredPin> {
        self.pins.iter().filter(|pin| pin.is_of_tokens())
    }

    /// What the enforced pins say of a key of tokens.
    pub(in super::super) fn judge_key(&self, key: &KnownKey, now: Time) -> Judged {
        let pins: Vec<Pin> = self.of_tokens().filter_map(StoredPin::read).collect();
        match key.pinned() {
            Some(Pinned::Jwk(thumbprint)) => judge_key(&pins, thumbprint, now),
            Some(_) | None => judge_key(&pins, Digest::of(b""), now),
        }
    }

    /// Whether any of those that are about TLS is consulted.
    pub(in super::super) fn are_enforced(&self) -> bool {
        let mut of_tls = self.pins.iter().filter(|pin| !pin.is_of_tokens());
        of_tls.any(|pin| pin.enforced)
    }

    /// Those that are consulted.
    pub(in super::super) fn enforced(&self) -> Vec<String> {
        let enforced = self.pins.iter().filter(|pin| pin.enforced);
        enforced.map(StoredPin::in_words).collect()
    }

    /// Those that are there and are not consulted, as verdicts tell them.
    pub(in super::super) fn not_consulted(&self) -> Vec<String> {
        let vestigial = self.pins.iter().filter(|pin| !pin.enforced);
        vestigial.map(StoredPin::in_words).collect()
    }

    pub(super) fn find(&self, pinned: Pinned) -> Option<&StoredPin> {
        let name = pinned.to_string();
        self.pins.iter().find(|pin| pin.pin == name)
    }

    /// Puts a pin in the place of what named the same.
    pub(super) fn put(&mut self, pin: StoredPin) {
        match self.pins.iter_mut().find(|known| known.pin == pin.pin) {
            Some(known) => *known = pin,
            None => self.pins.push(pin),
        }
    }

    /// Remembers the paths that a host has shown at one look.
    pub(super) fn saw<'a>(
        &mut self,
        host: &str,
        chains: impl IntoIterator<Item = &'a VerifiedChain>,
        now: Time,
    ) {
        let mut chains = chains.into_iter().peekable();
        if chains.peek().is_none() {
            return;
        }
        let of_host = self.paths.iter_mut().filter(|path| path.host == host);
        of_host.for_each(|path| path.shown_last = false);
        for chain in chains {
            self.saw_one(SeenPath::of(host, chain, now), now);
        }
    }

    fn saw_one(&mut self, seen: SeenPath, now: Time) {
        let is_same = |known: &&mut SeenPath| {
            known.host == seen.host && known.links == seen.links && known.anchor == seen.anchor
        };
        match self.paths.iter_mut().find(is_same) {
            Some(known) => {
                known.shown_last = true;
                if now.unix() - known.last_seen >= LAST_SEEN_EXACT_TO {
                    known.last_seen = now.unix();
                }
            }
            None => self.paths.push(seen),
        }
        let oldest = now.unix() - REMEMBERED;
        self.paths.retain(|path| path.last_seen > oldest);
        while self.paths.len() > MOST_PATHS {
            let paths = self.paths.iter().enumerate();
            let longest_ago = paths.min_by_key(|(_, path)| path.last_seen);
            let Some((index, _)) = longest_ago else {
                return;
            };
            self.paths.remove(index);
        }
    }

    /// The paths of a host that are shown nowadays.
    pub(super) fn current<'a>(
        &'a self,
        host: &'a str,
        now: Time,
    ) -> impl Iterator<Item = &'a SeenPath> {
        self.paths
            .iter()
            .filter(move |path| path.host == host && path.is_current(now))
    }
}

impl StoredPin {
    pub(super) fn read(&self) -> Option<Pin> {
        Some(Pin {
            pinned: Pinned::parse(&self.pin)?,
            place: Place::parse(&self.place)?,
            enforced: self.enforced,
            expires: self.expires.map(Time::from_unix),
        })
    }

    pub(super) fn is_of_tokens(&self) -> bool {
        Pinned::parse(&self.pin).is_some_and(|pinned| pinned.is_of_tokens())
    }

    pub(super) fn mode(&self) -> &'static str {
        match self.enforced {
            true => "enforced",
            false => "vestigial",
        }
    }

    fn in_words(&self) -> String {
        match self.is_of_tokens() {
            true => self.pin.clone(),
            false => format!("{} ({})", self.pin, self.place),
        }
    }
}

impl SeenPath {
    fn of(host: &str, chain: &VerifiedChain, now: Time) -> Self {
        let links = chain.certificates.iter().map(|der| SeenLink::of(der));
        Self {
            host: host.to_owned(),
            links: links.collect(),
            anchor: chain.shown.anchor.map(|digest| digest.to_string()),
            first_seen: now.unix(),
            last_seen: now.unix(),
            shown_last: true,
        }
    }

    /// Whether it was shown in the last days: what is remembered of longer ago is history.
    fn is_current(&self, now: Time) -> bool {
        now.unix() - self.last_seen <= 2 * LAST_SEEN_EXACT_TO
    }

    /// As it is compared with pins.
    pub(super) fn shown(&self) -> ShownPath {
        ShownPath {
            links: self.links.iter().filter_map(SeenLink::link).collect(),
            anchor: self.anchor.as_deref().and_then(Digest::from_hex),
        }
    }

    /// The certificate at a place, of which there is one.
    pub(super) fn at(&self, place: Place) -> Option<&SeenLink> {
        let shown = self.shown();
        let found = match place {
            Place::Anchor => return None,
            Place::Any => shown.at(Place::Top).first()?,
            place => shown.at(place).first()?,
        };
        let name = found.sha256().to_string();
        self.links.iter().find(|link| link.sha256 == name)
    }
}

impl SeenLink {
    fn of(der: &[u8]) -> Self {
        let link = Link::of(der);
        let mut names = link.names().into_iter().map(|name| name.to_string());
        let mut digest = || {
            let name = names.next().unwrap_or_default();
            name.split_once(':').map(|(_, digest)| digest.to_owned())
        };
        let (sha1, sha256, key) = (digest(), digest(), digest());
        let read = Certificate::parse(der).ok();
        let subject = read.as_ref().map(|one| one.subject().to_string());
        Self {
            sha1: sha1.unwrap_or_default(),
            sha256: sha256.unwrap_or_default(),
            key,
            subject: subject.unwrap_or_default().chars().take(256).collect(),
            not_after: read.map_or(i64::MAX, |one| one.not_after().unix()),
        }
    }

    fn link(&self) -> Option<Link> {
        let Some(Pinned::Sha1(sha1)) = Pinned::parse(&self.sha1) else {
            return None;
        };
        let key = self.key.as_deref().and_then(Digest::from_hex);
        Some(Link::known(sha1, Digest::from_hex(&self.sha256)?, key))
    }

    /// Whether it goes by this name.
    pub(super) fn is_called(&self, pinned: Pinned) -> bool {
        self.link()
            .is_some_and(|link| link.names().contains(&pinned))
    }
}
