//! The core's own decision on what is about to be signed.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, StatusUse};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::{KeyKind, NotSigned, PublicKey, Scheme, Verifier};
use avouch_core::decide;
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;

use crate::certificate::signature_bytes;
use crate::fault::{Fault, NotIssued};
use crate::signer::{Signature, SigningKind};

/// Believes one throwaway signature, over one message and for one key, and asks another verifier
/// about everything else.
///
/// The throwaway is a digest of the message in the form of a signature. No key can check it, so
/// what carries it is worth nothing, and yet the core can decide on the very bytes that an
/// authority is about to sign, below the authority's real certificates.
pub(crate) struct Throwaway<'a> {
    message: &'a [u8],
    key: &'a PublicKey,
    signature: Signature,
    /// The signature as certificates carry it.
    in_certificates: Vec<u8>,
    others: &'a dyn Verifier,
}

impl<'a> Throwaway<'a> {
    pub(crate) fn over(
        message: &'a [u8],
        key: &'a PublicKey,
        others: &'a dyn Verifier,
    ) -> Result<Self, Fault> {
        Self::made_of(&Digest::of(message), message, key, others)
    }

    /// As [`Throwaway::over`], where the digest of the message is known.
    pub(crate) fn made_of(
        digest: &Digest,
        message: &'a [u8],
        key: &'a PublicKey,
        others: &'a dyn Verifier,
    ) -> Result<Self, Fault> {
        let digest = digest.as_bytes();
        let kind = SigningKind::of(key.kind()).unwrap_or(SigningKind::P256);
        let signature = match (kind, key.kind()) {
            (SigningKind::Rsa, KeyKind::Rsa(bits)) => {
                let length = usize::try_from(bits.div_ceil(8)).unwrap_or_default();
                let bytes = digest.iter().copied().cycle().take(length);
                Signature::of_rsa(bytes.collect::<Vec<u8>>())
            }
            _ => {
                let mut bytes = [0; 64];
                for (to, from) in bytes.iter_mut().zip(digest.iter().cycle()) {
                    *to = *from;
                }
                Signature::new(bytes)
            }
        };
        Ok(Self {
            message,
            key,
            in_certificates: signature_bytes(kind, &signature)?,
            signature,
            others,
        })
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl Verifier for Throwaway<'_> {
    fn verify(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), NotSigned> {
        let is_throwaway =
            signature == self.signature.as_bytes() || signature == self.in_certificates;
        if is_throwaway && message == self.message && key == self.key {
            return Ok(());
        }
        self.others.verify(key, scheme, message, signature)
    }
}

/// A view in which exactly these roots vouch for a trust domain, as far as these lists let them.
pub(crate) fn view_of_roots(
    tenant: &TenantId,
    trust_domain: &TrustDomain,
    roots: &[Arc<Certificate>],
    lists: Vec<Crl>,
) -> View {
    let anchors = roots.iter().map(|root| Anchor {
        constraints: Constraints {
            trust_domains: vec![trust_domain.clone()],
            ..Constraints::default()
        },
        ..anchor(
            tenant,
            trust_domain,
            AnchorKind::Certificate(Arc::clone(root)),
        )
    });
    let certificates = roots.iter().map(|root| root.der());
    let epoch = Digest::of_list(certificates.chain(lists.iter().map(Crl::der)));
    View::new(tenant.clone(), anchors.collect(), lists, Vec::new(), epoch)
}

/// A view in which nobody is trusted.
pub(crate) fn empty_view(tenant: &TenantId) -> View {
    let epoch = Digest::of(b"");
    View::new(tenant.clone(), Vec::new(), Vec::new(), Vec::new(), epoch)
}

/// An anchor of the issuer's own keys.
pub(crate) fn anchor(tenant: &TenantId, trust_domain: &TrustDomain, kind: AnchorKind) -> Anchor {
    Anchor {
        // What it has taken back it knows itself.
        constraints: Constraints {
            status_lists: StatusUse::Ignored,
            ..Constraints::default()
        },
        ..Anchor::bare(trust_domain.to_string(), kind, tenant)
    }
}

/// Whether `credential` shows now, to one who knows `context` of it, that its holder is `id`: for any
/// purpose, unless whoever asks says which.
pub(crate) fn question(
    credential: Credential,
    id: &SpiffeId,
    context: Context,
    now: Time,
    view: &View,
) -> Question {
    Question {
        tenant: view.tenant().clone(),
        credential,
        profile: Profile::Spiffe,
        purpose: Purpose::Any,
        now,
        context: Context {
            expected: vec![ExpectedName::Spiffe(id.clone())],
            ..context
        },
    }
}

/// Asks the core.
pub(crate) fn ask(
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
) -> Result<(), NotIssued> {
    match decide(question, view, crypto, &mut Budget::default()) {
        Verdict::Accept(_) => Ok(()),
        Verdict::Reject(refusal) => Err(refusal.reason().clone().into()),
        Verdict::Undetermined(_) => {
            Err(Fault::Bug("the core lacks a fact about what we issue").into())
        }
    }
}
