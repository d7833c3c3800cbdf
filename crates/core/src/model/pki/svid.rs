//! X.509-SVID: what SPIFFE asks of a certificate beyond RFC 5280.

use crate::credential::x509::{CLIENT_AUTH, Certificate, SERVER_AUTH};
use crate::id::SpiffeId;
use crate::reason::Reason;
use crate::view::AnchorCertificate;

/// Checks the end entity and the CAs above it (anchor first); gives the SPIFFE ID.
pub(super) fn check(
    end_entity: &Certificate,
    cas: &[&Certificate],
    source: &AnchorCertificate,
) -> Result<SpiffeId, Reason> {
    let id = id_of(end_entity)?;
    if id.path().is_empty() {
        return Err(Reason::LeafIdWithoutPath { id: id.to_string() });
    }
    leaf(end_entity)?;
    for ca in cas {
        signing(ca, &id)?;
    }
    match &source.trust_domain {
        Some(trust_domain) if trust_domain != id.trust_domain() => {
            Err(Reason::TrustDomainMismatch {
                id: id.to_string(),
                trust_domain: trust_domain.to_string(),
            })
        }
        _ => Ok(id),
    }
}

/// X.509-SVID 2: exactly one URI name, and it is a SPIFFE ID.
fn id_of(certificate: &Certificate) -> Result<SpiffeId, Reason> {
    let mut uris = certificate.uris();
    match (uris.next(), uris.next()) {
        (Some(uri), None) => SpiffeId::parse(uri),
        _ => Err(Reason::UriSanCount {
            subject: certificate.title().to_string(),
            count: certificate.uris().count(),
        }),
    }
}

/// X.509-SVID 4: a leaf is no CA, may sign what it says but no certificates, and serves both ends
/// of a connection.
fn leaf(certificate: &Certificate) -> Result<(), Reason> {
    let subject = || certificate.title().to_string();
    if certificate.is_ca() {
        let detail = "its basic constraints say that it is a CA";
        return Err(Reason::EndEntityIsCa {
            subject: subject(),
            detail,
        });
    }
    key_usage(certificate, |usage| {
        if usage.key_cert_sign() || usage.crl_sign() {
            return Some("a leaf must not have `keyCertSign` or `cRLSign`");
        }
        (!usage.digital_signature()).then_some("a leaf must have `digitalSignature`")
    })?;
    let names = certificate.extensions().subject_alternative_names.as_ref();
    if certificate.subject().is_empty() && names.is_some_and(|names| !names.critical) {
        return Err(Reason::SanCriticality {
            subject: subject(),
            required: "critical, since its subject is empty",
        });
    }
    let Some(usage) = &certificate.extensions().extended_key_usage else {
        return Ok(());
    };
    for (oid, purpose) in [(SERVER_AUTH, "serverAuth"), (CLIENT_AUTH, "clientAuth")] {
        if !usage.value.usages.contains(&oid) {
            return Err(Reason::ExtendedKeyUsageNotPermitted {
                subject: subject(),
                purpose: purpose.to_owned(),
                usages: usage.value.names(),
            });
        }
    }
    Ok(())
}

/// X.509-SVID 2, 4: a signing certificate may have the ID of its trust domain, without a path.
fn signing(ca: &Certificate, leaf: &SpiffeId) -> Result<(), Reason> {
    key_usage(ca, |usage| {
        (!usage.key_cert_sign()).then_some("a signing certificate must have `keyCertSign`")
    })?;
    if ca.uris().next().is_none() {
        return Ok(());
    }
    let id = id_of(ca)?;
    if !id.path().is_empty() {
        return Err(Reason::SigningIdWithPath { id: id.to_string() });
    }
    if id.trust_domain() != leaf.trust_domain() {
        return Err(Reason::TrustDomainMismatch {
            id: leaf.to_string(),
            trust_domain: id.trust_domain().to_string(),
        });
    }
    Ok(())
}

/// X.509-SVID 4.3: key usage is there, critical, and passes `problem`.
fn key_usage(
    certificate: &Certificate,
    problem: impl Fn(crate::credential::x509::KeyUsage) -> Option<&'static str>,
) -> Result<(), Reason> {
    let refuse = |detail| {
        Err(Reason::KeyUsageMissing {
            subject: certificate.title().to_string(),
            detail,
        })
    };
    match &certificate.extensions().key_usage {
        None => refuse("it must be there"),
        Some(usage) if !usage.critical => refuse("it must be critical"),
        Some(usage) => problem(usage.value).map_or(Ok(()), refuse),
    }
}
