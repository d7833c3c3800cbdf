//! How an issuer stands with whoever trusts it: when its keys were fetched, which of them are
//! withheld, whether it is in quarantine, and until when it is trusted without a pin.
//!
//! These are facts about the keys, found out by whoever fetches them and written into the anchor,
//! so that a decision rests on them and can be repeated.

use serde_json::Value;

use crate::credential::jose::base64url;
use crate::credential::jose::jwk::{Jwk, KeySet};
use crate::credential::members::{Members, trust_document};
use crate::reason::Reason;
use crate::time::Time;
use crate::verdict::{Compared, Fact, StatusSource};

/// How an issuer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    doubted: Vec<Doubted>,
    fetched: Option<Fetched>,
    quarantined: Option<Quarantined>,
    unpinned: Option<Unpinned>,
    /// Most issuers have none.
    pins: Box<Pins>,
}

/// What its pins were good for when its keys were fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pins {
    /// The one over which they came.
    held: Option<String>,
    /// Those that are there and are not consulted.
    not_consulted: Vec<String>,
    missed: Option<Missed>,
}

/// Since when its server shows nothing that is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Missed {
    since: Time,
    expected: Vec<String>,
    seen: Vec<String>,
}

/// A key that an older key set lacks: nobody knows yet whether it was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubted {
    thumbprint: String,
    since: Time,
    /// By when it is known, if it could be asked.
    until: Time,
}

/// When its keys were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fetched {
    as_of: Time,
    next: Option<Time>,
    /// From when on they are too old to be used.
    usable_until: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Quarantined {
    since: Time,
    cause: String,
}

/// Trust without a pin, which ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unpinned {
    reason: String,
    expires: Time,
}

/// The members that are read here.
pub(super) const MEMBERS: [&str; 6] = [
    "doubted_keys",
    "keys_fetched",
    "pins",
    "quarantined",
    "unpinned",
    "withheld_keys",
];

impl Standing {
    /// Reads `doubted_keys` (`thumbprint`, `since`, `until`), `keys_fetched` (`as_of`, `next`, `usable_until`), `pins` (`held`, `not_consulted`,
    /// `missed`), `quarantined` (`since`, `cause`) and `unpinned` (`reason`, `expires`).
    pub(super) fn read(members: &Members<'_>) -> Result<Self, Reason> {
        let mut standing = Self {
            doubted: Doubted::read(members)?,
            ..Self::default()
        };
        if let Some((place, value)) = part(members, "keys_fetched") {
            let part = object(value, &place, &["as_of", "next", "usable_until"])?;
            standing.fetched = Some(Fetched {
                as_of: required_time(&part, "as_of")?,
                next: time(&part, "next")?,
                usable_until: required_time(&part, "usable_until")?,
            });
        }
        if let Some((place, value)) = part(members, "pins") {
            *standing.pins = Pins::read(value, &place)?;
        }
        if let Some((place, value)) = part(members, "quarantined") {
            let part = object(value, &place, &["cause", "since"])?;
            standing.quarantined = Some(Quarantined {
                since: required_time(&part, "since")?,
                cause: part.required_text("cause")?.to_owned(),
            });
        }
        if let Some((place, value)) = part(members, "unpinned") {
            let part = object(value, &place, &["expires", "reason"])?;
            standing.unpinned = Some(Unpinned {
                reason: part.required_text("reason")?.to_owned(),
                expires: required_time(&part, "expires")?,
            });
        }
        Ok(standing)
    }

    /// Whether someone has said, with a reason and for a time, that it is trusted without a pin.
    pub(super) fn is_unpinned(&self) -> bool {
        self.unpinned.is_some()
    }

    /// Whether what it said before still counts at `now`: its keys need not be fresh for that.
    pub(crate) fn counts(&self, now: Time) -> bool {
        let has_ended = |unpinned: &Unpinned| now >= unpinned.expires;
        self.quarantined.is_none() && !self.unpinned.as_ref().is_some_and(has_ended)
    }

    /// Why it is trusted without a pin, if it is.
    pub fn unpinned_reason(&self) -> Option<&str> {
        self.unpinned.as_ref().map(|one| one.reason.as_str())
    }

    /// That it is in quarantine, if it is.
    pub(crate) fn quarantine(&self, issuer: &str) -> Option<Reason> {
        let Quarantined { since, cause } = self.quarantined.as_ref()?;
        Some(Reason::IssuerQuarantined {
            issuer: issuer.to_owned(),
            since: *since,
            cause: cause.clone(),
        })
    }

    /// Whether its tokens may be believed at `now`, whatever they say.
    pub(crate) fn admits(&self, issuer: &str, anchor: &str, now: Time) -> Result<(), Reason> {
        if let Some(reason) = self.quarantine(issuer) {
            return Err(reason);
        }
        if let Some(Unpinned { expires, .. }) = &self.unpinned
            && now >= *expires
        {
            return Err(Reason::AnchorExpired {
                anchor: anchor.to_owned(),
                expires: *expires,
                at: now,
            });
        }
        match &self.fetched {
            Some(fetched) if now >= fetched.usable_until => Err(match &self.pins.missed {
                Some(missed) => Reason::PinMissed {
                    issuer: issuer.to_owned(),
                    since: missed.since,
                    expected: missed.expected.clone(),
                    seen: missed.seen.clone(),
                },
                None => Reason::KeysStale {
                    issuer: issuer.to_owned(),
                    as_of: fetched.as_of,
                    usable_until: fetched.usable_until,
                },
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// That a key is in doubt at `now`, in words, if it is: it is believed for the time being, and whoever
    /// reads on what a decision rests must not take that for more.
    pub(super) fn doubt_in_words(&self, key: &Jwk, now: Time) -> Option<Compared> {
        let thumbprint = base64url::encode(key.thumbprint().as_bytes());
        let mut doubted = self.doubted.iter();
        let doubted = doubted.find(|one| one.thumbprint == thumbprint)?;
        let (name, since) = (Fact::Text(key.name()), Fact::Time(doubted.since));
        if now < doubted.until {
            return Some(Compared::with(
                "{} is in doubt: it is missing from an older key set that was served on {}, and is refused by {} if \
                 it is missing still",
                vec![name, since, Fact::Time(doubted.until)],
            ));
        }
        // That nobody could ask meanwhile makes no key good again.
        let fetched = self.fetched.filter(|one| one.as_of < doubted.until)?;
        Some(Compared::with(
            "{} is in doubt: it is missing from an older key set that was served on {}, and nobody could ask since \
             {} whether it was taken out",
            vec![name, since, Fact::Time(fetched.as_of)],
        ))
    }

    /// What its pins were good for, in words, if it has any: a pin that is there and was not looked
    /// at must not be taken for one that was.
    pub(super) fn pins_in_words(&self) -> Option<String> {
        let Pins {
            held,
            not_consulted,
            ..
        } = &*self.pins;
        let held = held
            .as_ref()
            .map(|held| format!("its keys came over the pinned {held}"));
        let present = (!not_consulted.is_empty())
            .then(|| format!("present but not consulted: {}", not_consulted.join(", ")));
        match (held, present) {
            (Some(held), Some(present)) => Some(format!("{held}; {present}")),
            (one, other) => one.or(other),
        }
    }

    /// Until when it stays like this by itself, if that is known.
    pub(super) fn end(&self) -> Option<Time> {
        let stale = self.fetched.map(|fetched| fetched.usable_until);
        let unpinned = self.unpinned.as_ref().map(|unpinned| unpinned.expires);
        stale.into_iter().chain(unpinned).min()
    }

    /// Where its keys came from and how old they are, for the verdict.
    pub(super) fn source(&self, issuer: &str) -> Option<StatusSource> {
        self.fetched.map(|fetched| StatusSource {
            source: "jwks",
            issuer: issuer.to_owned(),
            as_of: fetched.as_of,
            next: fetched.next,
        })
    }
}

impl Doubted {
    fn read(members: &Members<'_>) -> Result<Vec<Self>, Reason> {
        let elements = match members.get("doubted_keys") {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(value) => return Err(members.mistyped("doubted_keys", "a list of keys", value)),
        };
        let doubted = elements.iter().enumerate().map(|(index, element)| {
            let place = format!("{}[{index}]", members.place("doubted_keys"));
            let part = object(element, &place, &["since", "thumbprint", "until"])?;
            Ok(Self {
                thumbprint: part.required_text("thumbprint")?.to_owned(),
                since: required_time(&part, "since")?,
                until: required_time(&part, "until")?,
            })
        });
        doubted.collect()
    }
}

impl Pins {
    fn read(value: &Value, place: &str) -> Result<Self, Reason> {
        let part = object(value, place, &["held", "missed", "not_consulted"])?;
        let missed = match self::part(&part, "missed") {
            None => None,
            Some((place, value)) => {
                let part = object(value, &place, &["expected", "seen", "since"])?;
                Some(Missed {
                    since: required_time(&part, "since")?,
                    expected: part.texts("expected")?,
                    seen: part.texts("seen")?,
                })
            }
        };
        Ok(Self {
            held: part.text("held")?.map(str::to_owned),
            not_consulted: part.texts("not_consulted")?,
            missed,
        })
    }
}

/// Reads `withheld_keys` (`kid`, `why`, `since`, and `pinned` for those that are not), and has the set say why it has not these keys.
pub(super) fn withhold(
    members: &Members<'_>,
    issuer: &str,
    keys: Option<KeySet>,
) -> Result<Option<KeySet>, Reason> {
    let Some(value) = members.get("withheld_keys") else {
        return Ok(keys);
    };
    let Value::Array(elements) = value else {
        return Err(members.mistyped("withheld_keys", "a list of keys", value));
    };
    let mut keys = keys.unwrap_or_default();
    for (index, element) in elements.iter().enumerate() {
        let place = format!("{}[{index}]", members.place("withheld_keys"));
        let part = object(element, &place, &["kid", "pinned", "since", "why"])?;
        let key = part.required_text("kid")?.to_owned();
        let since = required_time(&part, "since")?;
        let issuer = issuer.to_owned();
        let reason = match part.required_text("why")? {
            "removed" => Reason::KeyRemoved {
                key: key.clone(),
                issuer,
                since,
            },
            "changed" => Reason::KeyChanged {
                key: key.clone(),
                issuer,
                since,
            },
            "unpinned" => Reason::KeyUnpinned {
                key: key.clone(),
                issuer,
                since,
                pinned: part.texts("pinned")?,
            },
            other => {
                return Err(trust_document(format!(
                    "`{place}.why` must be `removed`, `changed` or `unpinned`, but is `{other}`"
                )));
            }
        };
        keys.withhold(key, reason);
    }
    Ok(Some(keys))
}

fn part<'a>(members: &Members<'a>, name: &str) -> Option<(String, &'a Value)> {
    Some((members.place(name), members.get(name)?))
}

fn object<'a>(value: &'a Value, place: &'a str, known: &[&str]) -> Result<Members<'a>, Reason> {
    match value {
        Value::Object(object) => Members::of(object, place, known),
        _ => Err(trust_document(format!("`{place}` must be an object"))),
    }
}

fn time(part: &Members<'_>, name: &str) -> Result<Option<Time>, Reason> {
    match part.text(name)? {
        None => Ok(None),
        Some(text) => Time::parse_or_day(text).map(Some).map_err(|_| {
            trust_document(format!(
                "`{}` must be a time such as 2026-01-31T12:00:00Z or a day such as 2026-01-31",
                part.place(name)
            ))
        }),
    }
}

fn required_time(part: &Members<'_>, name: &str) -> Result<Time, Reason> {
    part.required_text(name)?;
    time(part, name)?.ok_or_else(|| trust_document(format!("`{}` is missing", part.place(name))))
}
