//! What one certificate must pass by itself, on whichever path it stands.

use crate::credential::x509::{Certificate, KeyProblem, SignatureAlgorithm, oid_name};
use crate::reason::Reason;
use crate::time::{Time, duration_in_words};

/// RFC 5280 4.2, 6.1.4 (o), 6.1.5 (f): every extension is read, there once, and known if critical.
pub(super) fn readable(certificate: &Certificate) -> Result<(), Reason> {
    let subject = || certificate.title().to_string();
    let extensions = certificate.extensions();
    if let Some(oid) = &extensions.duplicate {
        return Err(Reason::ExtensionDuplicate {
            subject: subject(),
            oid: oid_name(oid),
        });
    }
    if let Some((extension, detail)) = &extensions.malformed {
        let (extension, detail) = (extension.clone(), detail.clone());
        return Err(Reason::ExtensionMalformed {
            subject: subject(),
            extension,
            detail,
        });
    }
    if let Some(oid) = &extensions.unknown_critical {
        return Err(Reason::CriticalExtensionUnknown {
            subject: subject(),
            oid: oid.to_string(),
        });
    }
    if let Some(inner) = certificate.differing_inner_algorithm() {
        return Err(algorithms_differ(certificate, inner));
    }
    Ok(())
}

/// RFC 5280 6.1.3 (a) (2); the anchor's own dates are enforced too, although the RFC does not ask
/// for it.
pub(super) fn valid_now(certificate: &Certificate, at: Time) -> Result<(), Reason> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if at < not_before {
        return Err(Reason::NotYetValid {
            subject: certificate.title().to_string(),
            not_before,
            at,
            ahead: duration_in_words(not_before.since(at)),
        });
    }
    if at > not_after {
        return Err(Reason::Expired {
            subject: certificate.title().to_string(),
            not_after,
            at,
            ago: duration_in_words(at.since(not_after)),
        });
    }
    Ok(())
}

/// RFC 5280 4.1.1.2: a certificate names the same algorithm outside and inside of what is signed.
pub(super) fn algorithms_differ(certificate: &Certificate, inner: &SignatureAlgorithm) -> Reason {
    Reason::SignatureAlgorithmMismatch {
        subject: certificate.title().to_string(),
        outer: certificate.signature_algorithm().name(),
        inner: inner.name(),
    }
}

/// Why a key cannot be used, as a refusal.
pub(crate) fn key_refused(certificate: &Certificate, problem: &KeyProblem) -> Reason {
    let subject = certificate.title().to_string();
    match problem {
        KeyProblem::Forbidden(algorithm) => Reason::KeyAlgorithmForbidden {
            subject,
            algorithm: algorithm.clone(),
        },
        KeyProblem::Malformed(detail) => Reason::KeyMalformed {
            subject,
            detail: detail.clone(),
        },
        KeyProblem::Size(bits) => Reason::KeySize {
            subject,
            bits: *bits,
            required: "2048 to 8192 are accepted",
        },
    }
}
