//! What is to be looked at before a rotation breaks a pin: a pure function of the pins, of what was
//! seen and of the time.

use avouch_core::pin::{Judged, Pin, Pinned, Place, judge};
use avouch_core::time::Time;
use serde_json::{Value, json};

use super::super::keys::Keys;
use super::record::{Pins, SeenPath, StoredPin};

/// How long before a pinned certificate ends that is told, in seconds.
const ENDS_SOON: i64 = 30 * 86_400;

/// How long before the certificate of a server ends its renewal is expected, in seconds: CAs and
/// clouds renew a month to a week before.
const RENEWED_SOON: i64 = 21 * 86_400;

/// How long before a pin itself ends that is told, in seconds.
const PIN_ENDS_SOON: i64 = 14 * 86_400;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Warning {
    /// What kind of thing: one of [`KINDS`].
    pub(in super::super) kind: &'static str,
    /// The pin, certificate or key that it is about.
    pub(in super::super) about: String,
    pub(in super::super) sentence: String,
    pub(in super::super) fix: String,
}

/// The kinds, each with how much it matters.
pub(super) const KINDS: [(&str, &str); 9] = [
    ("missed", "high"),
    ("second_path", "medium"),
    ("key_unpinned", "medium"),
    ("renewal_near", "medium"),
    ("pin_ended", "medium"),
    ("certificate_ends", "medium"),
    ("pin_ends", "low"),
    ("no_backup", "info"),
    ("unseen", "info"),
];

impl Warning {
    pub(super) fn severity(&self) -> &'static str {
        let found = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        found.map_or("info", |(_, severity)| *severity)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "severity": self.severity(),
            "about": self.about,
            "sentence": self.sentence,
            "fix": self.fix,
        })
    }
}

/// All there is to look at, what matters most first.
pub(super) fn warnings(
    pins: &Pins,
    keys: &Keys,
    issuer: &str,
    hosts: &[String],
    now: Time,
) -> Vec<Warning> {
    let mut all = Vec::new();
    for host in hosts {
        of_host(pins, host, now, &mut all);
    }
    of_keys(pins, keys, issuer, now, &mut all);
    for pin in &pins.pins {
        of_pin(pin, now, &mut all);
    }
    let rank = |warning: &Warning| KINDS.iter().position(|(kind, _)| *kind == warning.kind);
    all.sort_by_key(rank);
    all.dedup();
    all
}

fn of_host(pins: &Pins, host: &str, now: Time, all: &mut Vec<Warning>) {
    let given: Vec<&StoredPin> = pins.of_host(host).collect();
    if given.is_empty() {
        return;
    }
    // What is not consulted here is judged as if it were, where nothing else is: somewhere it may be.
    let consulted = given.iter().any(|pin| pin.enforced);
    let judged: Vec<Pin> = given
        .iter()
        .filter(|pin| pin.enforced == consulted)
        .filter_map(|pin| pin.read())
        .map(|pin| Pin {
            enforced: true,
            ..pin
        })
        .collect();
    let paths: Vec<&SeenPath> = pins.current(host, now).collect();
    let is_held = |path: &&SeenPath| matches!(judge(&judged, &path.shown(), now), Judged::Held(_));
    let (held, missed): (Vec<&SeenPath>, Vec<&SeenPath>) =
        paths.iter().partition(|path| is_held(path));
    let is_held_now = held.iter().any(|path| path.shown_last);
    for path in missed {
        all.push(unheld(host, path, &judged, is_held_now, consulted));
    }
    for path in &held {
        of_held(host, path, &judged, now, all);
    }
    let live: Vec<&Pin> = judged.iter().filter(|pin| pin.is_live(now)).collect();
    if let ([only], true) = (live.as_slice(), consulted) {
        all.push(Warning {
            kind: "no_backup",
            about: only.pinned.to_string(),
            sentence: format!("it is the only pin of {host}; the next rotation there breaks it"),
            fix: "pin what comes next as soon as it is known, or the key of the CA (spki-sha256)"
                .to_owned(),
        });
    }
    for pin in live.iter().filter(|_| !paths.is_empty()) {
        if !paths.iter().any(|path| pin.holds(&path.shown())) {
            all.push(Warning {
                kind: "unseen",
                about: pin.pinned.to_string(),
                sentence: format!("{host} shows nothing that it names"),
                fix: "keep it if it is to come; remove it if it is gone".to_owned(),
            });
        }
    }
}

/// A path that is shown and that no pin holds.
fn unheld(
    host: &str,
    path: &SeenPath,
    judged: &[Pin],
    has_other: bool,
    consulted: bool,
) -> Warning {
    let place = judged.first().map_or(Place::Top, |pin| pin.place);
    let shown = path.at(place).or_else(|| path.at(Place::Top));
    let (about, called) = match shown {
        Some(link) => (
            format!("sha256:{}", link.sha256),
            format!(
                "{} (sha1:{}, sha256:{})",
                link.subject, link.sha1, link.sha256
            ),
        ),
        None => (
            String::new(),
            "a certificate that cannot be read".to_owned(),
        ),
    };
    let consequence = match consulted {
        true => "its keys are not fetched over that",
        false => "whoever consults these pins refuses it; here they are not consulted",
    };
    let (kind, sentence) = match has_other {
        true => (
            "second_path",
            format!(
                "{host} shows a second path, by {called}, which no pin holds: when it shows only \
                 that, {consequence}"
            ),
        ),
        false => (
            "missed",
            format!("{host} shows {called}, and no pin holds that: {consequence}"),
        ),
    };
    Warning {
        kind,
        about,
        sentence,
        fix: "ask whoever runs it, by another way than its address, whether it is meant; then pin \
              it with `avouch pin stage`"
            .to_owned(),
    }
}

/// What may end on a path that a pin holds.
fn of_held(host: &str, path: &SeenPath, judged: &[Pin], now: Time, all: &mut Vec<Warning>) {
    let live = || judged.iter().filter(|pin| pin.is_live(now));
    for pin in live() {
        for link in path.links.iter().filter(|link| link.is_called(pin.pinned)) {
            if link.not_after - now.unix() < ENDS_SOON {
                all.push(Warning {
                    kind: "certificate_ends",
                    about: pin.pinned.to_string(),
                    sentence: format!(
                        "the pinned certificate {} ends on {}, and {host} shows another before then",
                        link.subject,
                        Time::from_unix(link.not_after)
                    ),
                    fix: "ask whoever runs it which comes next, and pin that as well".to_owned(),
                });
            }
        }
    }
    let Some(own) = path.links.first() else {
        return;
    };
    // With a second pin, or with one on the anchor, a renewal under another CA may still be held.
    let of_one_ca = live().count() == 1 && live().all(|pin| pin.place != Place::Anchor);
    if of_one_ca && own.not_after - now.unix() < RENEWED_SOON {
        let called = path.at(Place::Top).map_or("", |link| link.subject.as_str());
        all.push(Warning {
            kind: "renewal_near",
            about: format!("sha256:{}", own.sha256),
            sentence: format!(
                "the certificate of {host} ends on {} and is renewed before; the only pin holds \
                 no CA but {called}, and the next certificate may come from another",
                Time::from_unix(own.not_after)
            ),
            fix: "ask whoever runs it by which CA it will be renewed, and pin that as well"
                .to_owned(),
        });
    }
}

fn of_keys(pins: &Pins, keys: &Keys, issuer: &str, now: Time, all: &mut Vec<Warning>) {
    let given: Vec<&StoredPin> = pins.of_tokens().collect();
    if given.is_empty() {
        return;
    }
    let consulted = given.iter().any(|pin| pin.enforced);
    let live: Vec<Pinned> = given
        .iter()
        .filter(|pin| pin.enforced == consulted)
        .filter_map(|pin| pin.read())
        .filter(|pin| pin.is_live(now))
        .map(|pin| pin.pinned)
        .collect();
    let consequence = match consulted {
        true => "what it signs is refused",
        false => "here that is not consulted",
    };
    for key in keys.current() {
        let Some(pinned) = key.pinned().filter(|pinned| !live.contains(pinned)) else {
            continue;
        };
        all.push(Warning {
            kind: "key_unpinned",
            about: pinned.to_string(),
            sentence: format!(
                "{issuer} publishes the key {} since {}, which no pin holds: {consequence}",
                key.name(),
                Time::from_unix(key.first_seen)
            ),
            fix:
                "ask the issuer, by another way than its address, whether it is its own; then pin \
                  it with `avouch pin stage`"
                    .to_owned(),
        });
    }
    for pinned in live {
        if keys.as_of.is_some() && !keys.current().any(|key| key.pinned() == Some(pinned)) {
            all.push(Warning {
                kind: "unseen",
                about: pinned.to_string(),
                sentence: format!("{issuer} does not publish the key that it names"),
                fix: "keep it if it is to come; remove it if it is gone".to_owned(),
            });
        }
    }
}

fn of_pin(pin: &StoredPin, now: Time, all: &mut Vec<Warning>) {
    let Some(ends) = pin.expires else {
        return;
    };
    let when = Time::from_unix(ends);
    let fix = "look at it again, and put it anew with another end, or remove it".to_owned();
    if now.unix() >= ends {
        all.push(Warning {
            kind: "pin_ended",
            about: pin.pin.clone(),
            sentence: format!("the pin has ended on {when} and holds nothing any more"),
            fix,
        });
    } else if ends - now.unix() < PIN_ENDS_SOON {
        all.push(Warning {
            kind: "pin_ends",
            about: pin.pin.clone(),
            sentence: format!("the pin ends on {when} and holds nothing from then on"),
            fix,
        });
    }
}
