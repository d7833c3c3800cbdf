//! Security events: what a transmitter says happened to a subject of its own (RFC 8417, OpenID
//! Shared Signals Framework 1.0).
//!
//! ```text
//! token ──► Set ──► stream of its issuer ──► judged ──► Event ──► Turn of a Mark
//!   read: form only    whom to ask           keys, audience, times, subject
//! ```
//!
//! An event is believed about what its issuer vouched for and about nothing else: its subject
//! becomes marks under the name of that issuer. What is not known is noted and does nothing.

mod kinds;
mod subject;

use serde_json::{Map, Value};

pub use kinds::{Kind, StreamStatus};
pub use subject::Subject;

use crate::anchor::AnchorKind;
use crate::budget::{Budget, Limits};
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::jwk::{Jwk, KeySet};
use crate::credential::jose::jws::Jws;
use crate::crypto::Verifier;
use crate::id::{Digest, TrustDomain};
use crate::model::federation::CLOCK_LEEWAY;
use crate::model::federation::claims::{Claims, Rounded, seconds, text};
use crate::reason::Reason;
use crate::time::Time;
use crate::view::View;

/// The type of an event as a token says it (RFC 8417 2.3).
pub const TYPE: &str = "secevent+jwt";

/// How long an event may have been on its way, in seconds: a receiver that was away for a month has
/// lost more than events.
pub const AGE_MAX: i64 = 30 * 86_400;

/// The longest number of an event, in bytes.
const ID_BYTES_MAX: usize = 256;

/// An event as it was read, of which nothing is believed yet.
pub struct Set<'a> {
    token: Jws<'a>,
}

/// From whom events are taken, for whom, and about whom.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// What the transmitter calls itself (`iss`).
    pub issuer: &'a str,
    /// The issuer whose subjects it speaks of: itself, unless an administrator has said otherwise.
    pub of: &'a str,
    /// What this receiver is called there (`aud`), one of these.
    pub audiences: &'a [String],
    /// The keys that it signs with, where they are not those of an issuer in the view.
    pub keys: Option<&'a KeySet>,
}

/// What is known when an event is judged.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// What the tenant trusts.
    pub view: &'a View,
    /// Now.
    pub now: Time,
    /// How signatures are checked.
    pub crypto: &'a dyn Verifier,
}

/// An event that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number (`jti`).
    pub id: String,
    /// What may be used once of it: its issuer and its number.
    pub use_digest: Digest,
    /// When it was made.
    pub issued: Time,
    /// When it happened.
    pub at: Time,
    /// The name of its type, an address.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Whom it is about; what is about a stream itself is about nobody.
    pub subject: Option<Subject>,
}

impl<'a> Set<'a> {
    /// Reads an event. Its form alone tells it from every other token (RFC 8417 4.5, 4.6).
    ///
    /// # Errors
    ///
    /// `issue.event_malformed`, or why the token cannot be read.
    pub fn read(token: &'a str, limits: &Limits) -> Result<Self, Reason> {
        let token = Jws::read(token, limits)?;
        if !token.header().is_of_type(TYPE) {
            let found = token.header().token_type().unwrap_or("(none)");
            return Err(malformed(format!("its `typ` is {found}")));
        }
        // SSF 1.0 4.1.2, 4.1.7: with these, it could be taken for a token of its subject.
        for claim in ["exp", "sub"] {
            if token.claims.contains_key(claim) {
                return Err(malformed(format!("it has `{claim}`")));
            }
        }
        for claim in ["iss", "iat", "jti", "aud", "events"] {
            if !token.claims.contains_key(claim) {
                return Err(malformed(format!("it has no `{claim}`")));
            }
        }
        Claims::read(&token.claims)?;
        Ok(Self { token })
    }

    /// What it says its issuer is.
    pub fn issuer(&self) -> &str {
        let issuer = self.token.claims.get("iss").and_then(Value::as_str);
        issuer.unwrap_or_default()
    }

    /// What it says its number is.
    pub fn id(&self) -> &str {
        let id = self.token.claims.get("jti").and_then(Value::as_str);
        id.unwrap_or_default()
    }

    /// Finds out whether it is to be believed.
    ///
    /// # Errors
    ///
    /// `issue.event_*`; `federation.key_unknown` where fetching the keys anew may help.
    pub fn judge(
        &self,
        stream: Stream<'_>,
        place: Place<'_>,
        budget: &mut Budget,
    ) -> Result<Event, Reason> {
        let claims = Claims::read(&self.token.claims)?;
        if claims.issuer != Some(stream.issuer) {
            return Err(Reason::IssueEventIssuer {
                issuer: self.issuer().to_owned(),
            });
        }
        self.check_signature(stream, place, budget)?;
        let is_ours = |audience: &&str| stream.audiences.iter().any(|ours| ours == audience);
        if !claims.audiences.iter().any(is_ours) {
            let audiences = claims.audiences.iter().map(ToString::to_string);
            return Err(Reason::IssueEventAudience {
                audiences: audiences.collect(),
                expected: stream.audiences.to_vec(),
            });
        }
        let id = claims.id.unwrap_or_default();
        if id.len() > ID_BYTES_MAX {
            return Err(malformed(format!(
                "its `jti` is longer than {ID_BYTES_MAX} bytes"
            )));
        }
        let issued = claims
            .issued_at
            .ok_or_else(|| malformed("it has no `iat`".to_owned()))?;
        check_age(issued, place.now)?;
        let (name, said) = self.event()?;
        let kind = Kind::read(name, said)?;
        Ok(Event {
            use_digest: Digest::of_list([b"set", stream.issuer.as_bytes(), id.as_bytes()]),
            id: id.to_owned(),
            issued,
            at: self.time_of(said, issued)?,
            name: name.to_owned(),
            subject: self.subject(stream, said, &kind)?,
            kind,
        })
    }

    /// Its one event. Several names are for one event by several names (SSF 1.0 4.1.1), so the first
    /// that is known tells it.
    fn event(&self) -> Result<(&str, &Map<String, Value>), Reason> {
        let Some(Value::Object(events)) = self.token.claims.get("events") else {
            return Err(malformed("its `events` is no object".to_owned()));
        };
        let known = events.iter().find(|(name, _)| Kind::is_known(name));
        let first = known.or_else(|| events.iter().next());
        match first {
            None => Err(malformed("its `events` is empty".to_owned())),
            Some((name, Value::Object(said))) => Ok((name, said)),
            Some((name, _)) => Err(malformed(format!("its event `{name}` is no object"))),
        }
    }

    /// When it happened: as the event says (CAEP 1.0 2), or as the token does (RFC 8417 2.2).
    fn time_of(&self, said: &Map<String, Value>, issued: Time) -> Result<Time, Reason> {
        let told = seconds(said, "event_timestamp", Rounded::Up)?;
        let told = match told {
            Some(told) => Some(told),
            None => seconds(&self.token.claims, "toe", Rounded::Up)?,
        };
        let at = told.unwrap_or(issued);
        // It would end what is had only after it was said.
        if at > issued.plus(CLOCK_LEEWAY) {
            return Err(Reason::IssueEventTime {
                detail: format!("it happened on {at}, and was told of on {issued}, before that"),
            });
        }
        Ok(at)
    }

    /// Whom it is about: as the token says, or as events of before SSF 1.0 do (`subject`).
    fn subject(
        &self,
        stream: Stream<'_>,
        said: &Map<String, Value>,
        kind: &Kind,
    ) -> Result<Option<Subject>, Reason> {
        let named = match (self.token.claims.get("sub_id"), said.get("subject")) {
            (Some(named), _) | (None, Some(named)) => named,
            (None, None) if kind.turn().is_none() => return Ok(None),
            (None, None) => return Err(malformed("it has no `sub_id`".to_owned())),
        };
        match kind {
            // RFC 9493 is not asked who a stream is (SSF 1.0 8.1.4.1).
            Kind::Verification { .. } | Kind::Stream { .. } => Ok(None),
            Kind::Turn(_) | Kind::Nothing => match Subject::read(named, stream.issuer, stream.of) {
                Err(_) if kind.turn().is_none() => Ok(None),
                read => read.map(Some),
            },
        }
    }

    fn check_signature(
        &self,
        stream: Stream<'_>,
        place: Place<'_>,
        budget: &mut Budget,
    ) -> Result<(), Reason> {
        let keys = Keys::of(stream, place)?;
        let header = self.token.header();
        let refuse = |detail: String| Reason::IssueEventKey {
            issuer: stream.issuer.to_owned(),
            detail,
        };
        if !keys.algorithms.contains(&header.algorithm) {
            return Err(refuse(format!("{} is not allowed", header.algorithm)));
        }
        let named = |key: &&&Jwk| header.key_id.is_none() || key.id() == header.key_id.as_deref();
        let candidates = keys.keys.iter().filter(named);
        let fitting: Vec<&&Jwk> = candidates
            .filter(|key| key.admits(header.algorithm).is_ok())
            .take(KEYS_TRIED)
            .collect();
        if fitting.is_empty() {
            return Err(Reason::KeyUnknown {
                key: header.key_id.clone().unwrap_or_else(|| "(none)".to_owned()),
                issuer: stream.issuer.to_owned(),
                known: keys.keys.iter().map(|key| key.name()).collect(),
            });
        }
        for key in fitting {
            let is_signed = self.token.is_signed_by(key.key(), place.crypto, budget);
            if is_signed.map_err(|stop| stop.reason().clone())? {
                return Ok(());
            }
        }
        Err(refuse("none of its keys signed it".to_owned()))
    }
}

/// How many keys are tried for an event that names none.
const KEYS_TRIED: usize = 4;

/// The keys of a transmitter.
struct Keys<'a> {
    keys: Vec<&'a Jwk>,
    algorithms: Vec<Algorithm>,
}

impl<'a> Keys<'a> {
    /// Those that the stream has itself, or those of the issuers in the view that are called so and
    /// stand; of a trust domain, those of its bundle.
    fn of(stream: Stream<'a>, place: Place<'a>) -> Result<Self, Reason> {
        if let Some(set) = stream.keys {
            return Ok(Self {
                keys: set.keys().iter().collect(),
                algorithms: Algorithm::ALL.to_vec(),
            });
        }
        let (view, now) = (place.view, place.now);
        let mut found = Self {
            keys: Vec::new(),
            algorithms: Vec::new(),
        };
        let mut refused = None;
        let named = view.issuers_named(stream.issuer);
        // A cluster that shares its name says nothing of subjects of another.
        for (anchor, issuer) in named.filter(|(_, issuer)| !issuer.shares_its_name()) {
            let stands = issuer.standing().admits(stream.issuer, &anchor.name, now);
            match stands.and_then(|()| anchor.admits(view.tenant(), now)) {
                Ok(()) => {
                    let keys = issuer.keys().map_or(&[][..], KeySet::keys);
                    found.keys.extend(keys);
                    found.algorithms.extend(issuer.algorithms());
                }
                Err(reason) => refused = Some(reason),
            }
        }
        let domain = stream.of.strip_prefix("spiffe://");
        if let Some(domain) = domain.and_then(|name| TrustDomain::parse(name).ok()) {
            for (anchor, bundle) in view.bundles_of(&domain) {
                if !matches!(anchor.kind, AnchorKind::TrustDomain(_)) {
                    continue;
                }
                anchor.admits(view.tenant(), now)?;
                found.keys.extend(bundle.jwt_authorities().keys());
                found.algorithms.extend(Algorithm::SPIFFE);
            }
        }
        match (found.keys.is_empty(), refused) {
            (true, Some(reason)) => Err(reason),
            (true, None) => Err(Reason::KeyUnknown {
                key: "(none)".to_owned(),
                issuer: stream.issuer.to_owned(),
                known: Vec::new(),
            }),
            (false, _) => Ok(found),
        }
    }
}

fn check_age(issued: Time, now: Time) -> Result<(), Reason> {
    if issued > now.plus(CLOCK_LEEWAY) {
        return Err(Reason::IssueEventTime {
            detail: format!("it says that it was made on {issued}, and it is {now}"),
        });
    }
    if now.since(issued) > AGE_MAX {
        return Err(Reason::IssueEventTime {
            detail: format!("it was made on {issued}, more than 30 days ago"),
        });
    }
    Ok(())
}

/// A text of an object, of its type or refused.
fn text_of<'a>(said: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Reason> {
    text(said, name)
}

fn malformed(detail: String) -> Reason {
    Reason::IssueEvent { detail }
}
