//! Federation: an issuer, its keys, and what its tokens may say.

use crate::budget::Budget;
use crate::crypto::Verifier;
use crate::path::Attempts;
use crate::question::Question;
use crate::reason::Reason;
use crate::verdict::{Refusal, TrustModel, Verdict};
use crate::view::View;

/// An issuer of tokens that a tenant trusts, with its keys and the bounds of that trust.
#[derive(Clone, Debug)]
pub struct IssuerAnchor {}

impl IssuerAnchor {
    /// Reads the members of an anchor that names an `issuer`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed` and the refusals of its keys and rules.
    pub fn read(_members: &serde_json::Map<String, serde_json::Value>) -> Result<Self, Reason> {
        Ok(Self {})
    }
}

/// Decides on a compact JWS.
pub(crate) fn decide_jwt(
    _token: &str,
    _question: &Question,
    _view: &View,
    _crypto: &dyn Verifier,
    _budget: &mut Budget,
) -> Verdict {
    todo_refusal()
}

/// Decides on a workload identity token and its proof.
pub(crate) fn decide_wit(
    _token: &str,
    _proof: Option<&str>,
    _question: &Question,
    _view: &View,
    _crypto: &dyn Verifier,
    _budget: &mut Budget,
) -> Verdict {
    todo_refusal()
}

/// Decides on an API key.
pub(crate) fn decide_api_key(_key: &str, _question: &Question, _view: &View) -> Verdict {
    todo_refusal()
}

fn todo_refusal() -> Verdict {
    Verdict::Reject(Refusal {
        model: TrustModel::Federation,
        attempts: Attempts::before_search("the token", Reason::NoAnchors {}),
        legs: Vec::new(),
    })
}
