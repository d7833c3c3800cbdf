//! How an issuer stands with whoever trusts it: when its keys were fetched, which of them are
//! withheld, whether it is in quarantine, and until when it is trusted without a pin.
//!
//! These are facts about the keys, found out by whoever fetches them and written into the anchor,
//! so that a decision rests on them and can be repeated.

use serde_json::Value;

use crate::credential::jose::jwk::KeySet;
use crate::credential::members::{Members, trust_document};
use crate::reason::Reason;
use crate::time::Time;
use crate::verdict::StatusSource;

/// How an issuer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    fetched: Option<Fetched>,
    quarantined: Option<Quarantined>,
    unpinned: Option<Unpinned>,
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
pub(super) const MEMBERS: [&str; 4] = ["keys_fetched", "quarantined", "unpinned", "withheld_keys"];

impl Standing {
    /// Reads `keys_fetched` (`as_of`, `next`, `usable_until`), `quarantined` (`since`, `cause`) and
    /// `unpinned` (`reason`, `expires`).
    pub(super) fn read(members: &Members<'_>) -> Result<Self, Reason> {
        let mut standing = Self::default();
        if let Some((place, value)) = part(members, "keys_fetched") {
            let part = object(value, &place, &["as_of", "next", "usable_until"])?;
            standing.fetched = Some(Fetched {
                as_of: required_time(&part, "as_of")?,
                next: time(&part, "next")?,
                usable_until: required_time(&part, "usable_until")?,
            });
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

    /// Whether nothing of it is believed for now.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.quarantined.is_some()
    }

    /// Why it is trusted without a pin, if it is.
    pub fn unpinned_reason(&self) -> Option<&str> {
        self.unpinned.as_ref().map(|one| one.reason.as_str())
    }

    /// Whether its tokens may be believed at `now`, whatever they say.
    pub(super) fn admits(&self, issuer: &str, anchor: &str, now: Time) -> Result<(), Reason> {
        if let Some(Quarantined { since, cause }) = &self.quarantined {
            return Err(Reason::IssuerQuarantined {
                issuer: issuer.to_owned(),
                since: *since,
                cause: cause.clone(),
            });
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
            Some(fetched) if now >= fetched.usable_until => Err(Reason::KeysStale {
                issuer: issuer.to_owned(),
                as_of: fetched.as_of,
                usable_until: fetched.usable_until,
            }),
            Some(_) | None => Ok(()),
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

/// Reads `withheld_keys` (`kid`, `why`, `since`), and has the set say why it has not these keys.
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
        let part = object(element, &place, &["kid", "since", "why"])?;
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
            other => {
                return Err(trust_document(format!(
                    "`{place}.why` must be `removed` or `changed`, but is `{other}`"
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
        Some(text) => Time::parse(text).map(Some).map_err(|_| {
            trust_document(format!(
                "`{}` must be a time such as 2026-01-31T12:00:00Z",
                part.place(name)
            ))
        }),
    }
}

fn required_time(part: &Members<'_>, name: &str) -> Result<Time, Reason> {
    part.required_text(name)?;
    time(part, name)?.ok_or_else(|| trust_document(format!("`{}` is missing", part.place(name))))
}
