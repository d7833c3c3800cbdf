//! What the core says of something that a node shows.

use avouch_core::budget::{Budget, Limits};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::question::Question;
use avouch_core::reason::Reason;
use avouch_core::verdict::{Identity, Receipt, Verdict};
use avouch_core::view::View;

use super::bug;
use crate::fault::Refused;

/// What one decision may cost for who has shown nothing yet: a tenth of what is spent on others.
/// Chains of machines have two or three certificates.
const LIMITS: Limits = Limits {
    input_bytes: 64 << 10,
    token_bytes: 16 << 10,
    json_depth: 16,
    json_members: 500,
    certificates: 10,
    path_length: 8,
    search_steps: 2_000,
    signature_work: 2_000,
    name_comparisons: 25_000,
    policy_nodes: 400,
    attempts_kept: 8,
};

/// The identity, if the core accepts it.
pub(super) fn identity(question: &Question, view: &View) -> Result<Identity, Refused> {
    match decide(question, view, &AwsLc, &mut Budget::new(LIMITS)) {
        Verdict::Accept(sealed) => {
            // Neither a certificate nor a token of a service account has effects that would have to
            // be stored first.
            if !sealed.effects().is_empty() {
                return Err(bug("what a node shows has effects").into());
            }
            let receipt = Receipt::committed(&[]);
            let opened = sealed.open(&receipt);
            Ok(opened.map_err(|_| bug("an identity does not open"))?)
        }
        Verdict::Reject(refusal) => Err(refusal.reason().clone().into()),
        Verdict::Undetermined(needs) => {
            let missing = needs.first().map(|need| need.sentence());
            Err(Reason::IssueAttestationMalformed {
                method: "a token".to_owned(),
                detail: missing.unwrap_or_default(),
            }
            .into())
        }
    }
}
