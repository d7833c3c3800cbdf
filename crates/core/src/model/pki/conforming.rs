//! How a conforming CA writes certificates (RFC 5280 4).
//!
//! Path validation (RFC 5280 6) does not ask for these; the profiles `rfc5280` and `webpki` do,
//! since a CA that writes them wrong gets other things wrong too.

use crate::credential::x509::host::{is_host, mailbox};
use crate::credential::x509::{Certificate, Critical, GeneralName};
use crate::crypto::KeyKind;
use crate::question::Profile;
use crate::reason::Reason;

/// A CA certificate.
pub(super) fn authority(ca: &Certificate, is_anchor: bool, profile: Profile) -> Result<(), Reason> {
    let subject = || ca.title().to_string();
    let extensions = ca.extensions();
    if ca.subject().is_empty() {
        let position = if is_anchor {
            "trust anchor"
        } else {
            "intermediate"
        };
        return Err(Reason::SubjectEmpty {
            position: position.to_owned(),
        });
    }
    // Anchors in wide use have the serial number 0, and no list can revoke an anchor by it.
    if !is_anchor {
        serial(ca)?;
    }
    common(ca)?;
    // RFC 5280 4.2.1.1: only a self-signed certificate may leave out which key signed it.
    // CA/B BR 7.1.2.1.3 does not ask it of an anchor, cross-signed or not.
    let exempt = is_anchor && (ca.is_self_issued() || profile == Profile::WebPki);
    if !exempt {
        names_its_issuing_key(ca)?;
    }
    if extensions.subject_key_id.is_none() {
        return Err(Reason::SubjectKeyIdMissing { subject: subject() });
    }
    must_be_critical(
        ca,
        extensions.basic_constraints.as_ref(),
        "basicConstraints",
    )?;
    must_be_critical(
        ca,
        extensions.policy_constraints.as_ref(),
        "policyConstraints",
    )?;
    must_be_critical(
        ca,
        extensions.inhibit_any_policy.as_ref(),
        "inhibitAnyPolicy",
    )?;
    if let Some(constraints) = &extensions.name_constraints {
        // CA/B BR 7.1.2.5.2 makes this one exception.
        if profile == Profile::Rfc5280 {
            must_be_critical(ca, Some(constraints), "nameConstraints")?;
        }
        if constraints.value.permitted.is_empty() && constraints.value.excluded.is_empty() {
            return Err(Reason::NameConstraintsEmpty { subject: subject() });
        }
    }
    Ok(())
}

/// An end-entity certificate.
pub(super) fn end_entity(certificate: &Certificate, profile: Profile) -> Result<(), Reason> {
    let subject = || certificate.title().to_string();
    let extensions = certificate.extensions();
    if profile == Profile::WebPki && certificate.version() != 3 {
        let version = certificate.version();
        return Err(Reason::VersionUnsupported {
            subject: subject(),
            version,
        });
    }
    common(certificate)?;
    serial(certificate)?;
    names_its_issuing_key(certificate)?;
    if certificate.is_ca() {
        return Ok(());
    }
    if extensions
        .key_usage
        .as_ref()
        .is_some_and(|usage| usage.value.key_cert_sign())
    {
        return Err(Reason::KeyUsageCertSignForbidden { subject: subject() });
    }
    if extensions.name_constraints.is_some() {
        return Err(Reason::NameConstraintsInEndEntity { subject: subject() });
    }
    if extensions
        .basic_constraints
        .as_ref()
        .is_some_and(|basic| basic.value.path_length.is_some())
    {
        return Err(Reason::PathLengthWithoutCertSign { subject: subject() });
    }
    Ok(())
}

fn common(certificate: &Certificate) -> Result<(), Reason> {
    let subject = || certificate.title().to_string();
    let extensions = certificate.extensions();
    if certificate.issuer().is_empty() {
        return Err(Reason::IssuerEmpty { subject: subject() });
    }
    if extensions
        .key_usage
        .as_ref()
        .is_some_and(|usage| usage.value.is_empty())
    {
        let (extension, detail) = ("keyUsage".to_owned(), "it allows no usage".to_owned());
        return Err(Reason::ExtensionMalformed {
            subject: subject(),
            extension,
            detail,
        });
    }
    usage_fits_key(certificate)?;
    must_not_be_critical(
        certificate,
        extensions.authority_key_id.as_ref(),
        "authorityKeyIdentifier",
    )?;
    must_not_be_critical(
        certificate,
        extensions.subject_key_id.as_ref(),
        "subjectKeyIdentifier",
    )?;
    must_not_be_critical(
        certificate,
        extensions.authority_information_access.as_ref(),
        "authorityInfoAccess",
    )?;
    if let Some(names) = &extensions.subject_alternative_names {
        if certificate.subject().is_empty() && !names.critical {
            return Err(Reason::SanCriticality {
                subject: subject(),
                required: "critical, since its subject is empty",
            });
        }
        for name in &names.value {
            if let Some(detail) = malformed_name(name) {
                return Err(Reason::NameMalformed {
                    subject: subject(),
                    name: name.to_string(),
                    detail,
                });
            }
        }
    }
    Ok(())
}

/// RFC 9295 3, RFC 9881 5: a key that can only sign does not say that it may encrypt.
fn usage_fits_key(certificate: &Certificate) -> Result<(), Reason> {
    let Ok(key) = certificate.public_key() else {
        return Ok(());
    };
    let usage = certificate.extensions().key_usage.as_ref();
    let only_signs = match key.kind() {
        KeyKind::Ed25519 | KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => true,
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Rsa(_) => false,
    };
    if only_signs && usage.is_some_and(|usage| usage.value.encrypts_or_agrees()) {
        return Err(Reason::KeyUsageNotForKey {
            subject: certificate.title().to_string(),
            algorithm: key.kind().name(),
        });
    }
    Ok(())
}

/// RFC 5280 4.1.2.2.
fn serial(certificate: &Certificate) -> Result<(), Reason> {
    let serial = certificate.serial();
    let detail = match serial {
        [] | [0] => "is zero",
        [first, ..] if *first >= 0x80 => "is negative",
        // A leading zero octet only keeps the number positive.
        [0, rest @ ..] if rest.len() > 20 => "is longer than 20 octets",
        [first, ..] if *first != 0 && serial.len() > 20 => "is longer than 20 octets",
        _ => return Ok(()),
    };
    Err(Reason::SerialInvalid {
        subject: certificate.title().to_string(),
        serial: crate::id::hex(serial),
        detail,
    })
}

/// RFC 5280 4.2.1.1.
fn names_its_issuing_key(certificate: &Certificate) -> Result<(), Reason> {
    let names_key = certificate
        .extensions()
        .authority_key_id
        .as_ref()
        .is_some_and(|id| id.value.key_id.is_some());
    if names_key {
        return Ok(());
    }
    Err(Reason::AuthorityKeyIdMissing {
        subject: certificate.title().to_string(),
    })
}

fn must_be_critical<T>(
    certificate: &Certificate,
    extension: Option<&Critical<T>>,
    name: &'static str,
) -> Result<(), Reason> {
    criticality(certificate, extension, name, true)
}

fn must_not_be_critical<T>(
    certificate: &Certificate,
    extension: Option<&Critical<T>>,
    name: &'static str,
) -> Result<(), Reason> {
    criticality(certificate, extension, name, false)
}

fn criticality<T>(
    certificate: &Certificate,
    extension: Option<&Critical<T>>,
    name: &'static str,
    critical: bool,
) -> Result<(), Reason> {
    if extension.is_none_or(|extension| extension.critical == critical) {
        return Ok(());
    }
    Err(Reason::ExtensionCriticality {
        subject: certificate.title().to_string(),
        extension: name,
        required: if critical { "critical" } else { "non-critical" },
    })
}

/// RFC 5280 4.2.1.6 for each kind of name.
fn malformed_name(name: &GeneralName) -> Option<&'static str> {
    match name {
        GeneralName::Dns(name) => malformed_dns_name(name),
        GeneralName::Email(name) => mailbox(name).is_none().then_some("it is not a mailbox"),
        GeneralName::Ip(_) => name
            .ip()
            .is_none()
            .then_some("an address has 4 or 16 bytes"),
        GeneralName::Uri(uri) => {
            let has_scheme = uri.split_once(':').is_some_and(|(scheme, rest)| {
                !rest.is_empty()
                    && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                    && scheme
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            });
            (!has_scheme).then_some("it is not an absolute URI")
        }
        GeneralName::Directory(_) | GeneralName::Other(_) | GeneralName::Rare(_) => None,
    }
}

/// The preferred name syntax of RFC 1034 3.5 as RFC 5280 4.2.1.6 asks, with a wildcard as the
/// whole leftmost label (RFC 9525 6.3).
fn malformed_dns_name(name: &str) -> Option<&'static str> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    if host.contains('*') {
        return Some("a wildcard may only be its whole leftmost label");
    }
    if host.contains('_') {
        return Some("an underscore is not allowed in a host name");
    }
    if !is_host(host)
        || host
            .split('.')
            .any(|label| label.starts_with('-') || label.ends_with('-'))
    {
        return Some("it is not a host name");
    }
    None
}
