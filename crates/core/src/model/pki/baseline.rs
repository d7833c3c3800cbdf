//! What the CA/Browser Forum Baseline Requirements ask of certificates of the public Web.

use std::net::{IpAddr, Ipv4Addr};

use const_oid::db::rfc4519::CN;

use crate::budget::Budget;
use crate::credential::x509::{Certificate, GeneralName, SERVER_AUTH};
use crate::crypto::KeyKind;
use crate::question::Purpose;
use crate::reason::Reason;
use crate::stop::Stop;

/// A CA certificate.
pub(super) fn authority(ca: &Certificate, is_anchor: bool) -> Result<(), Reason> {
    key(ca)?;
    if !is_anchor || !ca.is_self_issued() {
        return Ok(());
    }
    let subject = || ca.title().to_string();
    if ca.extensions().extended_key_usage.is_some() {
        return Err(Reason::ExtendedKeyUsageInRoot { subject: subject() });
    }
    // BR 7.1.2.1.3: the authority key identifier of a root names its own key and nothing else.
    let Some(authority) = &ca.extensions().authority_key_id else {
        return Ok(());
    };
    if authority.value.has_issuer {
        return Err(Reason::AuthorityKeyIdForm {
            subject: subject(),
            field: "authorityCertIssuer",
        });
    }
    if authority.value.has_serial {
        let field = "authorityCertSerialNumber";
        return Err(Reason::AuthorityKeyIdForm {
            subject: subject(),
            field,
        });
    }
    let own = ca.extensions().subject_key_id.as_ref().map(|id| &id.value);
    match &authority.value.key_id {
        None => Err(Reason::AuthorityKeyIdMissing { subject: subject() }),
        Some(named) if Some(named) != own => Err(Reason::AuthorityKeyIdMismatch {
            subject: subject(),
            authority_key_id: crate::id::hex(named),
            subject_key_id: ca.key_id().to_string(),
        }),
        Some(_) => Ok(()),
    }
}

/// An end-entity certificate. `may_issue` says whether the CAs above it would let it issue.
pub(super) fn end_entity(
    certificate: &Certificate,
    may_issue: bool,
    purpose: Purpose,
    budget: &mut Budget,
) -> Result<(), Stop> {
    let subject = || certificate.title().to_string();
    let extensions = certificate.extensions();
    key(certificate)?;
    let Some(names) = &extensions.subject_alternative_names else {
        return Err(Reason::SanMissing { subject: subject() }.into());
    };
    if names.critical && !certificate.subject().is_empty() {
        return Err(Reason::SanCriticality {
            subject: subject(),
            required: "non-critical, since it has a subject",
        }
        .into());
    }
    if certificate.is_ca() {
        // A path length of zero above it takes all effect from its being a CA (RFC 5280 4.2.1.9),
        // so it is an end entity in fact, though not one a public CA would issue.
        let detail = "its basic constraints say that it is a CA";
        let refusal = Reason::EndEntityIsCa {
            subject: subject(),
            detail,
        };
        return if may_issue {
            Err(refusal.into())
        } else {
            Ok(())
        };
    }
    extended_key_usage(certificate, purpose)?;
    if purpose == Purpose::Client {
        return Ok(());
    }
    common_names(certificate, &names.value, budget)
}

/// BR 7.1.2.7.6, 7.1.2.7.10.
fn extended_key_usage(certificate: &Certificate, purpose: Purpose) -> Result<(), Reason> {
    let subject = || certificate.title().to_string();
    let Some(usage) = &certificate.extensions().extended_key_usage else {
        let purpose = purpose.extended_key_usage().to_owned();
        return Err(Reason::ExtendedKeyUsageMissing {
            subject: subject(),
            purpose,
        });
    };
    if usage.critical {
        return Err(Reason::ExtendedKeyUsageCritical { subject: subject() });
    }
    let server = purpose == Purpose::Server || usage.value.usages.contains(&SERVER_AUTH);
    if usage.value.any() && (server || purpose != Purpose::Client) {
        return Err(Reason::ExtendedKeyUsageAny { subject: subject() });
    }
    Ok(())
}

/// BR 6.1.5: an RSA modulus is a whole number of octets.
fn key(certificate: &Certificate) -> Result<(), Reason> {
    match certificate.public_key().map(|key| key.kind()) {
        Ok(KeyKind::Rsa(bits)) if bits % 8 != 0 => Err(Reason::KeySize {
            subject: certificate.title().to_string(),
            bits,
            required: "the number must be divisible by 8",
        }),
        Ok(_) => Ok(()),
        Err(problem) => Err(super::alone::key_refused(certificate, problem)),
    }
}

/// BR 3.2.2.6: the public suffix that a wildcard covers as a whole, if it does. Whoever owns a
/// suffix of the private section may well have such a wildcard among its names, so it is never
/// matched, but refuses no other name of the certificate.
pub(super) fn public_suffix_of_wildcard(name: &str) -> Option<String> {
    let parent = name.strip_prefix("*.")?.to_ascii_lowercase();
    let suffix = psl::suffix(parent.as_bytes())?;
    let is_whole = suffix.as_bytes() == parent.as_bytes();
    (is_whole && (suffix.is_known() || !parent.contains('.'))).then_some(parent)
}

/// BR 7.1.4.3: a common name is a character-for-character copy of one of the alternative names.
///
/// A certificate for an internal name or a reserved address cannot be one of the public Web at all
/// (BR 4.2.2, 7.1.2.7.12), so only the form of its common name is judged.
fn common_names(
    certificate: &Certificate,
    names: &[GeneralName],
    budget: &mut Budget,
) -> Result<(), Stop> {
    for common_name in certificate.subject().values_of(CN) {
        budget.name_comparisons(names.len())?;
        if names.iter().any(|name| is_copy(&common_name, name)) {
            continue;
        }
        // Looked through twice more.
        budget.name_comparisons(names.len().saturating_mul(2))?;
        if let Some(detail) = names
            .iter()
            .find_map(|name| loosely_the_same(&common_name, name))
        {
            return Err(Reason::CommonNameForm {
                common_name,
                detail,
            }
            .into());
        }
        if names.iter().all(is_public) {
            let names = names.iter().map(ToString::to_string).collect();
            return Err(Reason::CommonNameNotInSan { common_name, names }.into());
        }
    }
    Ok(())
}

fn is_copy(common_name: &str, name: &GeneralName) -> bool {
    match name {
        GeneralName::Dns(name) => {
            name.strip_prefix("*.").unwrap_or(name) == common_name || name == common_name
        }
        GeneralName::Ip(_) => name
            .ip()
            .is_some_and(|address| address.to_string() == common_name),
        _ => false,
    }
}

/// How a common name that means `name` is not written like it.
fn loosely_the_same(common_name: &str, name: &GeneralName) -> Option<&'static str> {
    match name {
        GeneralName::Dns(name) if name.eq_ignore_ascii_case(common_name) => {
            Some("it differs from the alternative name in case")
        }
        GeneralName::Ip(_)
            if loose_address(common_name).is_some_and(|written| Some(written) == name.ip()) =>
        {
            Some("an address is written in dotted decimals or as in RFC 5952")
        }
        _ => None,
    }
}

/// An address in any of the ways people write one: hexadecimal or octal-looking parts (as
/// `inet_aton` takes them), upper case, uncompressed.
fn loose_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    let number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => part.parse().ok(),
    };
    let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
    match parts?.as_slice() {
        [whole] => Some(IpAddr::V4(Ipv4Addr::from(*whole))),
        [a, b, c, d] => {
            let octets = [
                u8::try_from(*a).ok()?,
                u8::try_from(*b).ok()?,
                u8::try_from(*c).ok()?,
                u8::try_from(*d).ok()?,
            ];
            Some(IpAddr::V4(Ipv4Addr::from(octets)))
        }
        _ => None,
    }
}

/// Whether a public CA could vouch for the name: a domain below a suffix that is registered, or an
/// address that is not reserved (BR 1.6.1 "Internal Name", "Reserved IP Address").
fn is_public(name: &GeneralName) -> bool {
    match name {
        GeneralName::Dns(name) => psl::suffix(name.to_ascii_lowercase().as_bytes())
            .is_some_and(|suffix| suffix.is_known()),
        GeneralName::Ip(_) => match name.ip() {
            Some(IpAddr::V4(address)) => {
                !(address.is_private()
                    || address.is_loopback()
                    || address.is_link_local()
                    || address.is_documentation()
                    || address.is_unspecified())
            }
            Some(IpAddr::V6(address)) => {
                !(address.is_loopback()
                    || address.is_unicast_link_local()
                    || address.is_unique_local()
                    || address.is_unspecified())
            }
            None => false,
        },
        _ => false,
    }
}
