//! The registered claims of a token (RFC 7519 4.1), each of its type or refused.
//!
//! A claim of the wrong type is never treated as absent, and one that is there twice was refused
//! with the JSON: a check that is skipped is how tokens of others have been accepted elsewhere.

use serde_json::{Map, Value};

use crate::credential::jose::json::kind_of;
use crate::policy::facts::refuse_unsafe;
use crate::reason::Reason;
use crate::time::{Time, duration_in_words};

/// By how much the clock of an issuer may be ahead of ours, in seconds: a token may be this much
/// too young. Expiry knows no such leeway: what has expired is refused to the second.
pub const CLOCK_LEEWAY: i64 = 60;

/// The longest life of a token unless its issuer is allowed more, in seconds: a day. Tokens of
/// workloads live for minutes or hours.
pub const LIFETIME_MAX: i64 = 86_400;

/// The registered claims, typed.
pub(crate) struct Claims<'a> {
    pub(crate) all: &'a Map<String, Value>,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    /// Empty when the claim is missing; the claim itself is never empty.
    pub(crate) audiences: Vec<&'a str>,
    pub(crate) expires: Option<Time>,
    pub(crate) not_before: Option<Time>,
    pub(crate) issued_at: Option<Time>,
    pub(crate) id: Option<&'a str>,
    pub(crate) authorized_party: Option<&'a str>,
    pub(crate) nonce: Option<&'a str>,
}

impl<'a> Claims<'a> {
    /// Types the claims. What names someone must be safe to show.
    pub(crate) fn read(all: &'a Map<String, Value>) -> Result<Self, Reason> {
        let claims = Self {
            all,
            issuer: text(all, "iss")?,
            subject: text(all, "sub")?,
            audiences: audiences(all)?,
            expires: seconds(all, "exp", Rounded::Down)?,
            not_before: seconds(all, "nbf", Rounded::Up)?,
            issued_at: seconds(all, "iat", Rounded::Up)?,
            id: text(all, "jti")?,
            authorized_party: text(all, "azp")?,
            nonce: text(all, "nonce")?,
        };
        let client = all.get("client_id").and_then(Value::as_str);
        for (claim, text) in [
            ("iss", claims.issuer),
            ("sub", claims.subject),
            ("jti", claims.id),
            ("azp", claims.authorized_party),
            ("client_id", client),
        ] {
            refuse_unsafe(claim, text.unwrap_or_default())?;
        }
        for audience in &claims.audiences {
            refuse_unsafe("aud", audience)?;
        }
        Ok(claims)
    }

    /// The expiry, which every token must have.
    pub(crate) fn required_expiry(&self) -> Result<Time, Reason> {
        self.expires.ok_or(Reason::ClaimMissing { claim: "exp" })
    }

    /// The subject, which every token that names someone must have.
    pub(crate) fn required_subject(&self) -> Result<&'a str, Reason> {
        self.subject.ok_or(Reason::ClaimMissing { claim: "sub" })
    }

    /// From when the token says it holds.
    pub(crate) fn valid_from(&self, now: Time) -> Time {
        self.not_before.max(self.issued_at).unwrap_or(now).min(now)
    }

    /// Whether the token holds at `now`, and does not live longer than `lifetime_max` seconds. A
    /// token that does not say when it was issued is counted from `nbf`, or from now.
    pub(crate) fn check_times(&self, now: Time, lifetime_max: i64) -> Result<Time, Reason> {
        let expires = self.check_not_expired(now)?;
        self.check_begun(now)?;
        let born = self.issued_at.or(self.not_before).unwrap_or(now);
        check_lifetime(born, expires, lifetime_max)?;
        Ok(expires)
    }

    /// The same of a workload identity token, from when on which holds `nbf` alone says: `iat` must
    /// not be asked (SPIFFE WIT-SVID 3.6). So it cannot make a life look shorter, either.
    pub(crate) fn check_times_of_wit(&self, now: Time, lifetime_max: i64) -> Result<Time, Reason> {
        let expires = self.check_not_expired(now)?;
        self.check_not_before(now)?;
        let latest = now.plus(CLOCK_LEEWAY);
        let issued_at = self.issued_at.filter(|issued_at| *issued_at <= latest);
        let born = issued_at.or(self.not_before).unwrap_or(now);
        check_lifetime(born, expires, lifetime_max)?;
        Ok(expires)
    }

    fn check_not_expired(&self, now: Time) -> Result<Time, Reason> {
        let expires = self.required_expiry()?;
        // RFC 7519 4.1.4: "on or after" is too late.
        if now >= expires {
            return Err(Reason::TokenExpired {
                expired: expires,
                at: now,
                ago: duration_in_words(now.since(expires)),
            });
        }
        Ok(expires)
    }

    fn check_not_before(&self, now: Time) -> Result<(), Reason> {
        match self.not_before {
            Some(not_before) if not_before > now.plus(CLOCK_LEEWAY) => {
                Err(Reason::TokenNotYetValid {
                    not_before,
                    at: now,
                    ahead: duration_in_words(not_before.since(now)),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the token holds already at `now`.
    pub(crate) fn check_begun(&self, now: Time) -> Result<(), Reason> {
        self.check_not_before(now)?;
        let latest = now.plus(CLOCK_LEEWAY);
        if let Some(issued_at) = self.issued_at
            && issued_at > latest
        {
            return Err(Reason::IssuedInFuture {
                issued_at,
                at: now,
                ahead: duration_in_words(issued_at.since(now)),
            });
        }
        Ok(())
    }
}

fn check_lifetime(born: Time, expires: Time, lifetime_max: i64) -> Result<(), Reason> {
    let lifetime = expires.since(born);
    if lifetime > lifetime_max {
        return Err(Reason::LifetimeExcessive {
            lifetime: duration_in_words(lifetime),
            allowed: duration_in_words(lifetime_max),
        });
    }
    Ok(())
}

/// A claim that is a text and says something, if it is there.
pub(crate) fn text<'a>(
    claims: &'a Map<String, Value>,
    claim: &str,
) -> Result<Option<&'a str>, Reason> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => {
            Err(mistyped(claim, "a text that is not empty", "an empty text"))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(mistyped(claim, "a text", kind_of(other))),
    }
}

/// `aud` is a text or a list of texts (RFC 7519 4.1.3).
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, Reason> {
    const EXPECTED: &str = "a text or a list of texts, none of them empty";
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(audience)) if !audience.is_empty() => Ok(vec![audience]),
        Some(Value::String(_)) => Err(mistyped("aud", EXPECTED, "an empty text")),
        Some(Value::Array(elements)) if elements.is_empty() => {
            Err(mistyped("aud", EXPECTED, "an empty list"))
        }
        Some(Value::Array(elements)) => elements
            .iter()
            .map(|element| match element {
                Value::String(audience) if !audience.is_empty() => Ok(audience.as_str()),
                Value::String(_) => Err(mistyped("aud", EXPECTED, "a list with an empty text")),
                _ => Err(mistyped("aud", EXPECTED, "a list of other things")),
            })
            .collect(),
        Some(other) => Err(mistyped("aud", EXPECTED, kind_of(other))),
    }
}

/// Which way a fraction of a second is rounded, so that a token never holds longer than it says.
#[derive(Clone, Copy)]
pub(crate) enum Rounded {
    Down,
    Up,
}

/// A moment in seconds since 1970, to the second: RFC 7519 2 allows fractions, which few issuers
/// write.
pub(crate) fn seconds(
    claims: &Map<String, Value>,
    claim: &str,
    rounded: Rounded,
) -> Result<Option<Time>, Reason> {
    const EXPECTED: &str = "a number of seconds since 1970";
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let Value::Number(number) = value else {
        return Err(mistyped(claim, EXPECTED, kind_of(value)));
    };
    let seconds = match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Some(whole),
        (None, Some(fraction)) => match rounded {
            Rounded::Down => whole(fraction.floor()),
            Rounded::Up => whole(fraction.ceil()),
        },
        (None, None) => None,
    };
    match seconds {
        None => Err(mistyped(claim, EXPECTED, "a number beyond all time")),
        Some(..0) => Err(mistyped(claim, EXPECTED, "a negative number")),
        Some(seconds) => Ok(Some(Time::from_unix(seconds))),
    }
}

/// A number that has no fraction as one that cannot have any; `None` where it is so large that it
/// could have had one.
fn whole(number: f64) -> Option<i64> {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it fits, and has no fraction"
    )]
    let whole = number as i64;
    (number.abs() <= LARGEST).then_some(whole)
}

fn mistyped(claim: &str, expected: &'static str, found: &'static str) -> Reason {
    Reason::ClaimMistyped {
        claim: claim.to_owned(),
        expected,
        found,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(claims: &Value, now: i64) -> Result<Time, Reason> {
        let claims = claims.as_object().unwrap();
        Claims::read(claims)
            .and_then(|claims| claims.check_times(Time::from_unix(now), LIFETIME_MAX))
    }

    #[test]
    fn times_hold_to_the_second() {
        let token = json!({"exp": 2000, "nbf": 1000, "iat": 1000});
        assert_eq!(check(&token, 1999), Ok(Time::from_unix(2000)));
        assert_eq!(
            check(&token, 2000).unwrap_err().code(),
            "federation.token_expired"
        );
        assert!(check(&token, 1000 - CLOCK_LEEWAY).is_ok());
        let early = check(&token, 1000 - CLOCK_LEEWAY - 1).unwrap_err();
        assert_eq!(early.code(), "federation.token_not_yet_valid");
        let unborn = json!({"exp": 2000, "iat": 1000});
        assert!(check(&unborn, 1000 - CLOCK_LEEWAY).is_ok());
        let early = check(&unborn, 1000 - CLOCK_LEEWAY - 1).unwrap_err();
        assert_eq!(early.code(), "federation.issued_in_future");
    }

    #[test]
    fn a_fraction_of_a_second_never_makes_a_token_hold_longer() {
        let token = json!({"exp": 2000.9, "nbf": 1000.1, "iat": 1000.1});
        assert_eq!(check(&token, 1999), Ok(Time::from_unix(2000)));
        let late = check(&token, 2000).unwrap_err();
        assert_eq!(late.code(), "federation.token_expired");
        assert!(check(&token, 1001 - CLOCK_LEEWAY).is_ok());
        let early = check(&token, 1000 - CLOCK_LEEWAY).unwrap_err();
        assert_eq!(early.code(), "federation.token_not_yet_valid");
        let unborn = json!({"exp": 2000.9, "iat": 1000.1});
        assert!(check(&unborn, 1001 - CLOCK_LEEWAY).is_ok());
        let early = check(&unborn, 1000 - CLOCK_LEEWAY).unwrap_err();
        assert_eq!(early.code(), "federation.issued_in_future");
    }

    #[test]
    fn a_number_that_is_no_moment_is_refused() {
        for expires in [json!(-1), json!(-0.5), json!(1e300), json!(u64::MAX)] {
            let reason = check(&json!({"exp": expires}), 1000).unwrap_err();
            assert_eq!(reason.code(), "federation.claim_mistyped", "{expires}");
        }
        assert_eq!(
            check(&json!({"exp": 1.5e3}), 1000),
            Ok(Time::from_unix(1500))
        );
    }

    #[test]
    fn a_lifetime_is_counted_from_where_it_began() {
        let day = LIFETIME_MAX;
        for (token, ok) in [
            (json!({"exp": 1000 + day, "iat": 1000}), true),
            (json!({"exp": 1001 + day, "iat": 1000}), false),
            (json!({"exp": 1001 + day, "nbf": 1000}), false),
            (json!({"exp": 1010 + day}), true),
            (json!({"exp": 1011 + day}), false),
        ] {
            let checked = check(&token, 1010);
            assert_eq!(checked.is_ok(), ok, "{token}");
            if let Err(reason) = checked {
                assert_eq!(reason.code(), "federation.lifetime_excessive", "{token}");
            }
        }
    }
}
