//! Hierarchical PKI: certificates below a root.
//!
//! A vouch is a signature by the key of a certificate over another one; [`search`] finds them. A
//! path of vouches that reached an anchor is judged as a whole by [`validate`], from the anchor
//! down as in RFC 5280 6.1, under the rules of a profile.

mod alone;
mod baseline;
mod conforming;
mod expectation;
mod name_constraints;
mod policies;
mod revocation;
mod search;
mod second_opinion;
mod svid;
mod validate;

pub(crate) use alone::key_refused;

use std::sync::Arc;

use crate::budget::Budget;
use crate::credential::x509::Certificate;
use crate::crypto::Verifier;
use crate::id::SpiffeId;
use crate::path::{self, Attempts, Found};
use crate::question::{Profile, Question};
use crate::reason::Reason;
use crate::verdict::{AnchorReached, Identity, IdentityKind, Refusal, Sealed, TrustModel, Verdict};
use crate::view::View;
use search::{Chain, Pki, Unreadable};

/// Decides on a certificate chain, end entity first.
pub(crate) fn decide(
    chain: &[Vec<u8>],
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let chain = match Chain::read(chain, view, budget) {
        Ok(chain) => chain,
        Err((place, reason)) => return refused(Attempts::before_search(place, reason)),
    };
    if let Some(reason) = nothing_to_trust(chain.end_entity(), question, view) {
        let mut attempts = Attempts::before_search(&*chain.end_entity().title(), reason);
        add_unreadable(&mut attempts, &chain.unreadable);
        return refused(attempts);
    }
    let model = Pki::new(&chain, question, view, crypto);
    match path::search(&model, chain.start(), budget) {
        Ok(found) => Verdict::Accept(Sealed::new(identity(found, chain.end_entity()), Vec::new())),
        Err(mut attempts) => {
            add_unreadable(&mut attempts, &chain.unreadable);
            refused(attempts)
        }
    }
}

/// Why no search can find an anchor, if that is clear before any.
fn nothing_to_trust(end_entity: &Certificate, question: &Question, view: &View) -> Option<Reason> {
    let bundles = || view.bundles().map(|bundle| &bundle.trust_domain);
    if view.has_certificates_of_any_name() || bundles().next().is_none() {
        return (!view.has_certificates()).then_some(Reason::NoAnchors {});
    }
    // Only bundles are left, and each vouches for its own trust domain.
    let id = spiffe_id_of(end_entity).filter(|_| question.profile == Profile::Spiffe)?;
    let trust_domain = id.trust_domain();
    let Some(bundle) = view
        .bundles()
        .find(|bundle| bundle.trust_domain == *trust_domain)
    else {
        let known = bundles().map(ToString::to_string).collect();
        return Some(Reason::TrustDomainUnknown {
            trust_domain: trust_domain.to_string(),
            known,
        });
    };
    let trust_domain = trust_domain.to_string();
    let empty = bundle.x509_authorities.is_empty();
    empty.then_some(Reason::BundleHasNoKeys {
        trust_domain,
        key_use: "x509-svid",
    })
}

fn refused(attempts: Attempts) -> Verdict {
    Verdict::Reject(Refusal {
        model: TrustModel::Pki,
        attempts,
        legs: Vec::new(),
    })
}

/// What could not be read may be just what was missing, so a refusal shows it.
fn add_unreadable(attempts: &mut Attempts, unreadable: &[Unreadable]) {
    for piece in unreadable {
        attempts.and_unusable(piece.position.clone(), piece.reason.clone());
    }
}

fn identity(found: Found<Pki<'_>>, end_entity: &Arc<Certificate>) -> Identity {
    let Found {
        path,
        anchor,
        conclusion,
    } = found;
    let (name, kind) = match conclusion.spiffe_id {
        Some(id) => (id.to_string(), IdentityKind::Spiffe),
        None => (conclusion.name, IdentityKind::Certificate),
    };
    debug_assert!(
        path.first()
            .is_some_and(|vouch| *vouch.vouches_for == *end_entity.title())
    );
    Identity {
        name,
        kind,
        model: TrustModel::Pki,
        path,
        anchor: AnchorReached {
            anchor: Arc::clone(&anchor.source.anchor),
            key: anchor.source.certificate.key_id().to_string(),
            thumbprint: None,
            subject: anchor.source.certificate.title().to_string(),
        },
        checks: conclusion.checks,
        legs: Vec::new(),
        facts: conclusion.facts,
        signed_in: None,
        claims: None,
        proxying: None,
        revocation: conclusion.revocation,
        valid_from: conclusion.valid_from,
        valid_until: conclusion.valid_until,
    }
}

/// The SPIFFE ID of a certificate whose only URI name is one.
fn spiffe_id_of(certificate: &Certificate) -> Option<SpiffeId> {
    let mut uris = certificate.uris();
    match (uris.next(), uris.next()) {
        (Some(uri), None) => SpiffeId::parse(uri).ok(),
        _ => None,
    }
}

impl Profile {
    /// Whether the rules on how a conforming CA writes a certificate (RFC 5280 4) are enforced
    /// besides those of path validation (RFC 5280 6).
    fn is_strict_on_form(self) -> bool {
        matches!(self, Self::Rfc5280 | Self::WebPki)
    }
}
