//! Whether a certificate is for who was expected (RFC 9525, RFC 5280 4.2.1.6).

use std::net::IpAddr;

use crate::credential::x509::host::{is_host, mailbox};
use crate::credential::x509::{Certificate, GeneralName};
use crate::id::SpiffeId;
use crate::question::{ExpectedName, Profile};
use crate::reason::Reason;

use super::baseline::public_suffix_of_wildcard;

/// Checks that the certificate is for all that was expected; the common name is never looked at.
pub(super) fn check(
    certificate: &Certificate,
    expected: &[ExpectedName],
    profile: Profile,
) -> Result<(), Reason> {
    let names = certificate.alternative_names();
    for expected in expected {
        if names.is_empty() {
            return Err(Reason::SanMissing {
                subject: certificate.title().to_string(),
            });
        }
        let fitting = names.iter().filter(|name| is_for(name, expected));
        let suffixes = fitting.map(|name| Some((name, public_suffix(name, profile)?)));
        // `None` among them is a name that fits and does not cover a whole public suffix.
        let mut suffixes: Vec<Option<(&GeneralName, String)>> = suffixes.collect();
        match suffixes.pop() {
            None => return Err(mismatch(names, expected)),
            Some(Some((name, suffix))) if suffixes.iter().all(Option::is_some) => {
                return Err(Reason::PublicSuffixWildcard {
                    name: name.to_string(),
                    suffix,
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The public suffix that a name covers as a whole, where the profile minds.
fn public_suffix(name: &GeneralName, profile: Profile) -> Option<String> {
    match name {
        GeneralName::Dns(name) if profile == Profile::WebPki => public_suffix_of_wildcard(name),
        _ => None,
    }
}

fn mismatch(names: &[GeneralName], expected: &ExpectedName) -> Reason {
    if let ExpectedName::Spiffe(_) | ExpectedName::TrustDomain(_) = expected
        && let Some(GeneralName::Uri(id)) = names
            .iter()
            .find(|name| matches!(name, GeneralName::Uri(_)))
    {
        return Reason::IdMismatch {
            expected: expected.to_string(),
            id: id.clone(),
        };
    }
    Reason::NameMismatch {
        expected: expected.to_string(),
        names: names.iter().map(shown).collect(),
    }
}

/// A name as a person would tell it from one of another kind that looks the same.
fn shown(name: &GeneralName) -> String {
    match name {
        GeneralName::Dns(text) if text.parse::<IpAddr>().is_ok() => {
            format!("the host called {text}")
        }
        GeneralName::Ip(_) => format!("the address {name}"),
        _ => name.to_string(),
    }
}

fn is_for(name: &GeneralName, expected: &ExpectedName) -> bool {
    match (name, expected) {
        (GeneralName::Dns(name), ExpectedName::Dns(host)) => dns_matches(name, host),
        (GeneralName::Email(name), ExpectedName::Email(expected)) => {
            match (mailbox(name), mailbox(expected)) {
                (Some((local, host)), Some((expected_local, expected_host))) => {
                    local == expected_local && host.eq_ignore_ascii_case(expected_host)
                }
                _ => false,
            }
        }
        (GeneralName::Ip(_), ExpectedName::Ip(address)) => name.ip() == Some(*address),
        (GeneralName::Uri(uri), ExpectedName::Spiffe(id)) => {
            SpiffeId::parse(uri).is_ok_and(|seen| seen == *id)
        }
        (GeneralName::Uri(uri), ExpectedName::TrustDomain(trust_domain)) => {
            SpiffeId::parse(uri).is_ok_and(|seen| seen.trust_domain() == trust_domain)
        }
        _ => false,
    }
}

/// RFC 9525 6.3: label by label without regard to case; `*` is the whole leftmost label and stands
/// for exactly one label.
fn dns_matches(presented: &str, reference: &str) -> bool {
    let reference = reference.strip_suffix('.').unwrap_or(reference);
    if !is_host(reference) {
        return false;
    }
    match presented.strip_prefix("*.") {
        None => is_host(presented) && presented.eq_ignore_ascii_case(reference),
        Some(parent) => {
            is_host(parent)
                && reference
                    .split_once('.')
                    .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_exactly_one_whole_label() {
        assert!(dns_matches("*.example.com", "a.example.com"));
        assert!(dns_matches("EXAMPLE.com", "example.com."));
        for (presented, reference) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("a*.example.com", "ab.example.com"),
            ("a.*.example.com", "a.b.example.com"),
            ("*", "com"),
            ("example.com", "*.example.com"),
            (
                "xn--*-1b3c148a.example.com",
                "xn--bliss-1b3c148a.example.com",
            ),
        ] {
            assert!(
                !dns_matches(presented, reference),
                "{presented} {reference}"
            );
        }
    }
}
