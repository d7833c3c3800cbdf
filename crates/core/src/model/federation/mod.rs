//! Federation: an issuer, its keys, and what its tokens may say.
//!
//! A token is one statement, and the keys that may have signed it are the ends of its paths: those
//! of the trusted issuer that it names, or of the bundle of the trust domain that its subject
//! names. Which of the two it is decides what it must look like. API keys stand here too, the
//! humblest of all: no one vouches for them but whoever holds them.

mod api_key;
mod audience;
mod bearer;
mod chain;
pub(crate) mod claims;
mod introspection;
mod issuer;
mod keys;
mod legs;
mod proof;
mod review;
mod saml;
mod signed_in;
mod standing;
mod status;
mod subject;
mod token;

pub use chain::{ChainsFetched, FederationAnchor};
pub use claims::{CLOCK_LEEWAY, LIFETIME_MAX};
pub use introspection::{
    ANSWER_AGE_USUAL, ANSWER_BYTES, Introspected, Introspection, REVIEW_AGE_USUAL,
};
pub use issuer::IssuerAnchor;
pub use proof::PROOF_LIFETIME_MAX;
pub use review::Reviewed;
pub use saml::{Answers, SamlAnchor};
pub use signed_in::{SignInReading, SignedIn};
pub use standing::Standing;
pub use status::check_status_list;

pub(crate) use api_key::decide_api_key;
pub(crate) use bearer::is_spiffe;
pub(crate) use chain::FACTS as CHAIN_FACTS;
pub(crate) use introspection::decide_opaque;
pub(crate) use saml::{FACTS as SAML_FACTS, decide_saml};
pub(crate) use subject::check_constraints;

use claims::Claims;
use proof::Proof;
use token::{Form, TokenModel};

use crate::budget::Budget;
use crate::credential::jose::jws::Jws;
use crate::crypto::Verifier;
use crate::path::Attempts;
use crate::question::Question;
use crate::reason::Reason;
use crate::verdict::{Leg, Refusal, TrustModel, Verdict};
use crate::view::View;

/// Decides on a compact JWS that its bearer needs nothing but to show.
pub(crate) fn decide_jwt(
    token: &str,
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let asked = Asked {
        question,
        view,
        crypto,
    };
    let jws = match Jws::read(token, budget.limits()) {
        Ok(jws) => jws,
        Err(reason) => return refused("the token", reason),
    };
    let context = &question.context;
    let read = bearer::check_bearer_type(&jws, context)
        .and_then(|()| Claims::read(&jws.claims))
        .and_then(|claims| bearer::check_bearer_claims(&claims, context).map(|()| claims));
    match read {
        Ok(claims) => {
            let brought = &question.context.trust_chain;
            let chain = if brought.is_empty() {
                &jws.header().trust_chain
            } else {
                brought
            };
            // Only the trust domain that a JWT-SVID names vouches for it.
            if context.jwt_svid {
                let verdict = TokenModel::decide(asked, &jws, &claims, Form::Bearer, budget);
                return with_claims(verdict, jws);
            }
            // Only the cluster itself can say anything of its tokens.
            if introspection::is_reviewed(&claims, view) {
                return introspection::decide_reviewed(token, &claims, asked, budget);
            }
            // Who is trusted by name needs nobody above.
            let is_named = claims
                .issuer
                .is_some_and(|name| view.issuers_named(name).next().is_some());
            let is_svid = is_spiffe(claims.subject.unwrap_or_default());
            if !is_named && view.has_federations() && !(is_svid && chain.is_empty()) {
                let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
                return chain::decide_chain(asked, &jws, &claims, &chain, budget);
            }
            let verdict = TokenModel::decide(asked, &jws, &claims, Form::Bearer, budget);
            with_claims(verdict, jws)
        }
        Err(reason) => {
            let legs = legs::of_unread(&jws.claims, &reason);
            refused_with("the token", reason, legs)
        }
    }
}

/// Decides on a workload identity token and the proof that its holder has the key it names.
pub(crate) fn decide_wit(
    token: &str,
    proof: Option<&str>,
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let asked = Asked {
        question,
        view,
        crypto,
    };
    let jws = match Jws::read(token, budget.limits()) {
        Ok(jws) => jws,
        Err(reason) => return refused("the token", reason),
    };
    let read = proof::check_wit_type(&jws)
        .and_then(|()| Claims::read(&jws.claims))
        .and_then(|claims| proof::check_wit_claims(&claims).map(|key| (claims, key)));
    let (claims, key) = match read {
        Ok(read) => read,
        Err(reason) => return refused("the token", reason),
    };
    let Some(proof) = proof else {
        return refused("the token", Reason::ProofMissing {});
    };
    match Proof::read(proof, token, key, budget.limits()) {
        Ok(proof) => {
            let verdict = TokenModel::decide(asked, &jws, &claims, Form::Wit(&proof), budget);
            with_claims(verdict, jws)
        }
        Err(reason) => refused("the proof", reason),
    }
}

/// Hands on what a token says that is believed, so that nobody reads it again.
fn with_claims(verdict: Verdict, token: Jws<'_>) -> Verdict {
    match verdict {
        Verdict::Accept(sealed) => Verdict::Accept(sealed.with_claims(token.claims)),
        Verdict::Reject(_) | Verdict::Undetermined(_) => verdict,
    }
}

/// What is asked, in which view, and how signatures are checked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    question: &'a Question,
    view: &'a View,
    crypto: &'a dyn Verifier,
}

/// A refusal before any path was tried.
fn refused(stopped_at: &str, reason: Reason) -> Verdict {
    refused_with(stopped_at, reason, Vec::new())
}

fn refused_with(stopped_at: &str, reason: Reason, legs: Vec<Leg>) -> Verdict {
    Verdict::Reject(Refusal {
        model: TrustModel::Federation,
        attempts: Attempts::before_search(stopped_at, reason),
        legs,
    })
}
