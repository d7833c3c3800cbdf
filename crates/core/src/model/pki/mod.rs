//! Hierarchical PKI: certificates below a root.

mod policies;
mod revocation;

use crate::budget::Budget;
use crate::crypto::Verifier;
use crate::path::Attempts;
use crate::question::Question;
use crate::reason::Reason;
use crate::verdict::{Refusal, TrustModel, Verdict};
use crate::view::View;

/// Decides on a certificate chain, end entity first.
pub(crate) fn decide(
    _chain: &[Vec<u8>],
    _question: &Question,
    _view: &View,
    _crypto: &dyn Verifier,
    _budget: &mut Budget,
) -> Verdict {
    Verdict::Reject(Refusal {
        model: TrustModel::Pki,
        attempts: Attempts::before_search("the chain", Reason::CertificatesMissing {}),
        legs: Vec::new(),
    })
}
