//! The trust models: which vouches there may be, and what each must pass.

mod description;
pub mod federation;
pub mod pki;
mod proved;
pub mod ssh;

use crate::budget::Budget;
use crate::credential::Credential;
use crate::crypto::Verifier;
use crate::path::Attempts;
use crate::question::Question;
use crate::reason::Reason;
use crate::service;
use crate::verdict::{Refusal, TrustModel, Verdict};
use crate::view::View;

/// Decides one question in one view. Total: it always answers, and never panics.
pub fn decide(
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let mut verdict = match decide_by_kind(question, view, crypto, budget) {
        Verdict::Accept(sealed) => service::within(question, view, sealed),
        other => other,
    };
    // What could not be read may be just what was missing, so every refusal shows it.
    if let Verdict::Reject(refusal) = &mut verdict {
        let attempts = &mut refusal.attempts;
        for piece in view.set_aside().kept() {
            attempts.and_unusable(piece.what.clone(), piece.reason.clone());
        }
        attempts.leave_out(view.set_aside().left_out());
    }
    verdict
}

fn decide_by_kind(
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    match &question.credential {
        Credential::X509(chain) => pki::decide(chain, question, view, crypto, budget),
        Credential::Jwt(token) => federation::decide_jwt(token, question, view, crypto, budget),
        Credential::Wit { token, proof } => {
            federation::decide_wit(token, proof.as_deref(), question, view, crypto, budget)
        }
        Credential::Saml(text) => federation::decide_saml(text, question, view, crypto, budget),
        Credential::Opaque(token) => {
            federation::decide_opaque(token, question, view, crypto, budget)
        }
        Credential::Ssh { key, proof } => {
            ssh::decide_ssh(key, proof.as_deref(), question, view, crypto, budget)
        }
        Credential::ApiKey(key) => federation::decide_api_key(key, question, view, budget),
        Credential::Unsupported(kind) => Verdict::Reject(Refusal {
            model: TrustModel::SharedSecret,
            attempts: Attempts::before_search(
                "the credential",
                Reason::Unsupported { kind: kind.clone() },
            ),
            legs: Vec::new(),
        }),
    }
}
