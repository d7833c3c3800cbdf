//! What an issuer answered when it was asked about a token: evidence, given with when that was.

use std::fmt;

use serde_json::{Map, Value};

use crate::budget::Limits;
use crate::credential::jose::json::read_object;
use crate::credential::jose::jws::Jws;
use crate::id::Digest;
use crate::model::federation::review::Reviewed;
use crate::reason::Reason;
use crate::time::Time;

/// The most bytes of an answer: as those of a token.
pub const ANSWER_BYTES: usize = 16 << 10;

/// What an issuer answered about a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Introspected {
    pub(super) issuer: String,
    token: Digest,
    pub(super) at: Time,
    pub(super) is_active: bool,
    /// Why what it says is not said of this very token, for whom it is: an answer, and no yes.
    pub(super) misfit: Option<String>,
    pub(super) claims: Map<String, Value>,
    digest: Digest,
    size: usize,
}

impl fmt::Debug for Introspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspected")
            .field("issuer", &self.issuer)
            .field("token", &self.token.short())
            .field("at", &self.at)
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}

impl Introspected {
    /// Reads what `issuer` answered at a time about the token with this digest (RFC 7662 2.2).
    ///
    /// # Errors
    ///
    /// `federation.introspection_malformed`.
    pub fn read(issuer: &str, token: Digest, at: Time, answer: &[u8]) -> Result<Self, Reason> {
        let malformed = |detail: String| Reason::IntrospectionMalformed {
            issuer: issuer.to_owned(),
            detail,
        };
        if answer.len() > ANSWER_BYTES {
            return Err(malformed(format!("it has more than {ANSWER_BYTES} bytes")));
        }
        let read = read_object(answer, "answer", &Limits::default());
        let mut claims =
            read.map_err(|reason| malformed(reason.sentence().trim_end_matches('.').to_owned()))?;
        let is_active = match claims.remove("active") {
            Some(Value::Bool(is_active)) => is_active,
            Some(_) | None => {
                return Err(malformed("`active` is neither true nor false".to_owned()));
            }
        };
        // RFC 7662 2.2: what is said beside that of a token that does not hold, means nothing.
        if !is_active {
            claims.clear();
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            token,
            at,
            is_active,
            misfit: None,
            claims,
            digest: Digest::of(answer),
            size: answer.len(),
        })
    }

    /// Reads what the cluster `issuer` answered at a time about a token, when it was asked whether it is
    /// for one of these audiences.
    ///
    /// # Errors
    ///
    /// `federation.introspection_malformed`, and those of reading the token.
    pub fn of_review(
        issuer: &str,
        (token, audiences): (&str, &[String]),
        at: Time,
        answer: &[u8],
    ) -> Result<Self, Reason> {
        let malformed = |detail: String| Reason::IntrospectionMalformed {
            issuer: issuer.to_owned(),
            detail,
        };
        if answer.len() > ANSWER_BYTES {
            return Err(malformed(format!("it has more than {ANSWER_BYTES} bytes")));
        }
        let own = Jws::claims_of_believed(token, &Limits::default())?;
        let reviewed = Reviewed::read(answer).map_err(malformed)?;
        let claims = reviewed.map(|reviewed| reviewed.claims(&own, audiences));
        let (is_active, (claims, misfit)) = match claims {
            Some(Ok(claims)) => (true, (claims, None)),
            Some(Err(detail)) => (true, (Map::new(), Some(detail))),
            None => (false, (Map::new(), None)),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            token: Digest::of(token.as_bytes()),
            at,
            is_active,
            misfit,
            claims,
            digest: Digest::of(answer),
            size: answer.len(),
        })
    }

    /// Who answered.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// About which token: the digest of its text.
    pub fn token(&self) -> Digest {
        self.token
    }

    /// When.
    pub fn at(&self) -> Time {
        self.at
    }

    /// How many bytes were answered.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Until when it may be used again: for so many seconds, and never beyond the end of the token.
    pub fn usable_until(&self, age_max: i64) -> Time {
        let end = self.claims.get("exp").and_then(Value::as_i64);
        let end = end.map(Time::from_unix);
        end.into_iter().fold(self.at.plus(age_max), Time::min)
    }

    /// What the token says.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub(crate) fn digest(&self) -> Digest {
        let issuer = self.issuer.as_bytes();
        let at = self.at.unix().to_be_bytes();
        let parts = [issuer, self.token.as_bytes(), &at, self.digest.as_bytes()];
        Digest::of_list(parts)
    }
}
