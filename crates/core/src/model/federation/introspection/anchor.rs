//! What an issuer is asked about its tokens, as an anchor says it.

use serde_json::Value;

use crate::credential::members::{Members, trust_document};
use crate::reason::Reason;
use crate::vouch::How;

/// For how many seconds an answer is believed unless something else is said, and the most.
pub const ANSWER_AGE_USUAL: i64 = 60;
const AGE_MAX: i64 = 3_600;

/// The same of a cluster: it says at once when a pod and its tokens are gone, so little is kept.
pub const REVIEW_AGE_USUAL: i64 = 10;
const REVIEW_AGE_MAX: i64 = 60;

/// What an issuer is asked about its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    asks: Asks,
    age_max: i64,
}

/// By what it is asked, and about which tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asks {
    /// RFC 7662.
    Introspection {
        opaque: bool,
        jwt: bool,
        without_audience: bool,
    },
    /// TokenReview, about tokens of which nothing else is believed.
    Review,
}

impl Introspection {
    /// Reads `introspection` of an issuer: `tokens` (`opaque`, `jwt`), `max_age` in seconds, and
    /// `without_audience`.
    pub(in crate::model::federation) fn read(
        members: &Members<'_>,
    ) -> Result<Option<Self>, Reason> {
        let Some(value) = members.get("introspection") else {
            return Ok(None);
        };
        let place = members.place("introspection");
        let Value::Object(object) = value else {
            return Err(members.mistyped("introspection", "an object", value));
        };
        let members = Members::of(object, &place, &["max_age", "tokens", "without_audience"])?;
        let tokens = members.texts("tokens")?;
        let has = |name: &str| tokens.iter().any(|one| one == name);
        if tokens.iter().any(|name| name != "jwt" && name != "opaque") {
            return Err(trust_document(format!(
                "`{}` names the tokens that it is asked about: `opaque`, `jwt`",
                members.place("tokens")
            )));
        }
        let age_max = members.seconds("max_age")?.unwrap_or(ANSWER_AGE_USUAL);
        if age_max > AGE_MAX {
            return Err(trust_document(format!(
                "`{}` is over an hour ({AGE_MAX} s)",
                members.place("max_age")
            )));
        }
        Ok(Some(Self {
            asks: Asks::Introspection {
                opaque: tokens.is_empty() || has("opaque"),
                jwt: has("jwt"),
                without_audience: members.flag("without_audience")?,
            },
            age_max,
        }))
    }

    /// Reads `review` of an issuer: `max_age` in seconds.
    pub(in crate::model::federation) fn read_review(
        members: &Members<'_>,
    ) -> Result<Option<Self>, Reason> {
        let Some(value) = members.get("review") else {
            return Ok(None);
        };
        let place = members.place("review");
        let Value::Object(object) = value else {
            return Err(members.mistyped("review", "an object", value));
        };
        let members = Members::of(object, &place, &["max_age"])?;
        let age_max = members.seconds("max_age")?.unwrap_or(REVIEW_AGE_USUAL);
        if age_max > REVIEW_AGE_MAX {
            return Err(trust_document(format!(
                "`{}` is over a minute ({REVIEW_AGE_MAX} s)",
                members.place("max_age")
            )));
        }
        Ok(Some(Self {
            asks: Asks::Review,
            age_max,
        }))
    }

    /// Whether a cluster is asked, by TokenReview.
    pub fn is_review(&self) -> bool {
        self.asks == Asks::Review
    }

    /// Whether it is asked about tokens that only the issuer can read.
    pub(super) fn is_of_opaque(&self) -> bool {
        matches!(self.asks, Asks::Introspection { opaque: true, .. })
    }

    /// Whether it is asked about tokens that are believed by a key, too.
    pub(super) fn is_of_jwt(&self) -> bool {
        matches!(self.asks, Asks::Introspection { jwt: true, .. })
    }

    /// Whether a token may be for nobody in particular.
    pub(super) fn lets_audience_out(&self) -> bool {
        matches!(
            self.asks,
            Asks::Introspection {
                without_audience: true,
                ..
            }
        )
    }

    /// How it is asked, in a verdict: also what its key is called, which has told something itself.
    pub(crate) fn name(&self) -> &'static str {
        match self.asks {
            Asks::Introspection { .. } => "introspection",
            Asks::Review => "token_review",
        }
    }

    /// How an answer vouches.
    pub(super) fn how(&self) -> How {
        match self.asks {
            Asks::Introspection { .. } => How::Introspection,
            Asks::Review => How::TokenReview,
        }
    }

    /// Where it stands what an answer is.
    pub(super) fn spec(&self) -> &'static str {
        match self.asks {
            Asks::Introspection { .. } => "RFC 7662 2.2",
            Asks::Review => "authentication.k8s.io/v1 TokenReview",
        }
    }

    /// For how many seconds an answer is believed.
    pub fn age_max(&self) -> i64 {
        self.age_max
    }
}
