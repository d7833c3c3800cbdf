//! Name constraints (RFC 5280 4.2.1.10, 6.1.3 (b) and (c), 6.1.4 (g)).
//!
//! A name must lie in a permitted subtree of its kind of every CA above it that permits any of
//! that kind, and in no excluded one. Checking against each CA in turn is the same as intersecting
//! the permitted subtrees on the way down, and says which CA forbids.

use const_oid::db::rfc3280::EMAIL_ADDRESS;

use crate::budget::Budget;
use crate::credential::x509::host::{
    dns_covers, dns_within, host_matches, is_host, mailbox, uri_host,
};
use crate::credential::x509::{Certificate, GeneralName, IpSubtree, NameConstraints, Subtree};
use crate::question::Profile;
use crate::reason::Reason;
use crate::stop::Stop;

/// Checks every certificate of `path`, which goes from the anchor down to the end entity, against
/// the name constraints of all above it.
pub(super) fn check(
    path: &[&Certificate],
    profile: Profile,
    budget: &mut Budget,
) -> Result<(), Stop> {
    for (depth, ca) in path.iter().enumerate() {
        let Some(constraints) = &ca.extensions().name_constraints else {
            continue;
        };
        let below = path.get(depth + 1..).unwrap_or_default();
        if below.is_empty() {
            continue;
        }
        well_formed(ca, &constraints.value, profile)?;
        for (index, certificate) in below.iter().enumerate() {
            let is_end_entity = index + 1 == below.len();
            if certificate.is_self_issued() && !is_end_entity {
                continue;
            }
            check_one(certificate, ca, &constraints.value, budget)?;
        }
    }
    Ok(())
}

fn check_one(
    certificate: &Certificate,
    ca: &Certificate,
    constraints: &NameConstraints,
    budget: &mut Budget,
) -> Result<(), Stop> {
    let names = names_of(certificate);
    let subtrees = constraints.permitted.len() + constraints.excluded.len();
    budget.name_comparisons(names.len().saturating_mul(subtrees))?;
    for name in &names {
        let kind = Kind::of(name);
        if kind == Kind::Uncomparable {
            let constrains = |subtree: &Subtree| subtree.base.kind() == name.kind();
            if constraints
                .permitted
                .iter()
                .chain(&constraints.excluded)
                .any(constrains)
            {
                let (subject, kind) = (ca.title().to_string(), name.kind());
                return Err(Reason::NameConstraintUnsupported { subject, kind }.into());
            }
            continue;
        }
        if let Some(excluded) = constraints
            .excluded
            .iter()
            .find(|subtree| excludes(&subtree.base, name))
        {
            return Err(Reason::NameExcluded {
                subject: certificate.title().to_string(),
                name: name.to_string(),
                by: ca.title().to_string(),
                constraint: shown(&excluded.base),
            }
            .into());
        }
        let mut permitted = constraints
            .permitted
            .iter()
            .filter(|subtree| Kind::of(&subtree.base) == kind)
            .peekable();
        if permitted.peek().is_some() && !permitted.any(|subtree| permits(&subtree.base, name)) {
            return Err(Reason::NameNotPermitted {
                subject: certificate.title().to_string(),
                name: name.to_string(),
                by: ca.title().to_string(),
                permitted: constraints
                    .permitted
                    .iter()
                    .filter(|subtree| Kind::of(&subtree.base) == kind)
                    .map(|subtree| shown(&subtree.base))
                    .collect(),
            }
            .into());
        }
    }
    Ok(())
}

/// The names that constraints apply to: the alternative names, the subject unless it is empty, and
/// its e-mail addresses where no alternative name is one.
fn names_of(certificate: &Certificate) -> Vec<GeneralName> {
    let mut names = certificate.alternative_names().to_vec();
    let has_email = names
        .iter()
        .any(|name| matches!(name, GeneralName::Email(_)));
    if !has_email {
        names.extend(
            certificate
                .subject()
                .values_of(EMAIL_ADDRESS)
                .into_iter()
                .map(GeneralName::Email),
        );
    }
    if !certificate.subject().is_empty() {
        names.push(GeneralName::Directory(certificate.subject().clone()));
    }
    names
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Dns,
    Email,
    Ip,
    Uncomparable,
    Uri,
}

impl Kind {
    fn of(name: &GeneralName) -> Self {
        match name {
            GeneralName::Directory(_) => Self::Directory,
            GeneralName::Dns(_) => Self::Dns,
            GeneralName::Email(_) => Self::Email,
            GeneralName::Ip(_) => Self::Ip,
            GeneralName::Other(_) | GeneralName::Rare(_) => Self::Uncomparable,
            GeneralName::Uri(_) => Self::Uri,
        }
    }
}

/// Whether all that `name` may stand for lies in the subtree.
fn permits(base: &GeneralName, name: &GeneralName) -> bool {
    match (base, name) {
        (GeneralName::Dns(base), GeneralName::Dns(name)) => dns_covers(base, name),
        (
            GeneralName::Directory(_)
            | GeneralName::Email(_)
            | GeneralName::Ip(_)
            | GeneralName::Uri(_),
            _,
        ) => matches(base, name) == Some(true),
        _ => false,
    }
}

/// Whether something that `name` may stand for lies in the subtree; a name that cannot be compared
/// might.
fn excludes(base: &GeneralName, name: &GeneralName) -> bool {
    match (base, name) {
        (GeneralName::Dns(_), GeneralName::Dns(name))
            if !is_host(name.strip_prefix("*.").unwrap_or(name)) =>
        {
            true
        }
        (GeneralName::Dns(base), GeneralName::Dns(name)) => match name.strip_prefix("*.") {
            // `*.example.com` may stand for any one label below, so also for an excluded one.
            Some(host) => {
                let one_label_below = base
                    .split_once('.')
                    .is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(host));
                dns_within(base, host) || one_label_below
            }
            None => dns_within(base, name),
        },
        _ if Kind::of(base) == Kind::of(name) => matches(base, name).unwrap_or(true),
        _ => false,
    }
}

/// Whether a name other than a DNS name lies in a subtree of its kind; `None` where the name is
/// not one that can be compared.
fn matches(base: &GeneralName, name: &GeneralName) -> Option<bool> {
    match (base, name) {
        (GeneralName::Directory(base), GeneralName::Directory(name)) => Some(name.is_within(base)),
        (GeneralName::Email(base), GeneralName::Email(name)) => {
            let (local, host) = mailbox(name)?;
            Some(match mailbox(base) {
                Some((base_local, base_host)) => {
                    base_local == local && base_host.eq_ignore_ascii_case(host)
                }
                None => host_matches(base, host),
            })
        }
        (GeneralName::Ip(base), GeneralName::Ip(address)) => {
            if !matches!(address.len(), 4 | 16) {
                return None;
            }
            Some(IpSubtree::parse(base)?.contains(address))
        }
        (GeneralName::Uri(base), GeneralName::Uri(uri)) => Some(host_matches(base, uri_host(uri)?)),
        _ => Some(false),
    }
}

/// The constraints of a CA can be applied at all.
fn well_formed(
    ca: &Certificate,
    constraints: &NameConstraints,
    profile: Profile,
) -> Result<(), Reason> {
    for subtree in constraints.permitted.iter().chain(&constraints.excluded) {
        if let Some(detail) = malformed(subtree, profile) {
            return Err(Reason::NameConstraintMalformed {
                subject: ca.title().to_string(),
                constraint: shown(&subtree.base),
                detail,
            });
        }
    }
    Ok(())
}

fn malformed(subtree: &Subtree, profile: Profile) -> Option<&'static str> {
    if subtree.has_distance {
        return Some("it has a minimum or maximum, which RFC 5280 does not use");
    }
    match &subtree.base {
        GeneralName::Dns(base) if base.contains('*') => Some("a wildcard stands in it"),
        GeneralName::Dns(base) if base.starts_with('.') && profile.is_strict_on_form() => {
            Some("a DNS constraint does not begin with a dot")
        }
        GeneralName::Dns(base) => {
            let host = base.strip_prefix('.').unwrap_or(base);
            (!base.is_empty() && !is_host(host)).then_some("it is not a domain name")
        }
        GeneralName::Email(base) => {
            let host = base.strip_prefix('.').unwrap_or(base);
            let fine = base.is_empty() || is_host(host) || mailbox(base).is_some();
            (!fine).then_some("it is neither a mailbox nor a host nor a domain")
        }
        GeneralName::Uri(base) => {
            let host = base.strip_prefix('.').unwrap_or(base);
            (!base.is_empty() && !is_host(host)).then_some("it is not a host or a domain")
        }
        GeneralName::Ip(bytes) => IpSubtree::parse(bytes)
            .is_none()
            .then_some("it is not an address and a mask"),
        GeneralName::Directory(_) | GeneralName::Other(_) | GeneralName::Rare(_) => None,
    }
}

fn shown(base: &GeneralName) -> String {
    match base {
        GeneralName::Dns(text) | GeneralName::Email(text) | GeneralName::Uri(text)
            if text.is_empty() =>
        {
            format!("every {}", base.kind())
        }
        GeneralName::Directory(_)
        | GeneralName::Dns(_)
        | GeneralName::Email(_)
        | GeneralName::Ip(_)
        | GeneralName::Other(_)
        | GeneralName::Rare(_)
        | GeneralName::Uri(_) => base.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(text: &str) -> GeneralName {
        GeneralName::Dns(text.to_owned())
    }

    fn uri(text: &str) -> GeneralName {
        GeneralName::Uri(text.to_owned())
    }

    fn email(text: &str) -> GeneralName {
        GeneralName::Email(text.to_owned())
    }

    #[test]
    fn a_dns_constraint_covers_itself_and_all_below_it() {
        for name in [
            "example.com",
            "EXAMPLE.com",
            "a.example.com",
            "a.b.example.com",
            "*.example.com",
        ] {
            assert!(permits(&dns("example.com"), &dns(name)), "{name}");
        }
        for name in [
            "notexample.com",
            "example.com.evil",
            "com",
            "*.com",
            ".example.com",
            "a..example.com",
        ] {
            assert!(!permits(&dns("example.com"), &dns(name)), "{name}");
        }
        assert!(permits(&dns(""), &dns("anything.test")));
    }

    #[test]
    fn a_wildcard_is_excluded_with_any_name_it_may_stand_for() {
        assert!(excludes(&dns("bar.example.com"), &dns("*.example.com")));
        assert!(excludes(&dns("example.com"), &dns("*.example.com")));
        assert!(!excludes(&dns("a.bar.example.com"), &dns("*.example.com")));
        // What is no host name cannot be compared, so it might be any.
        for name in ["\0\0\0", "", "a..test", "*", "a.test.", "*.*.test"] {
            assert!(excludes(&dns("example.com"), &dns(name)), "{name:?}");
        }
        assert!(!permits(&dns("foo.example.com"), &dns("*.example.com")));
    }

    #[test]
    fn a_uri_constraint_is_a_host_or_what_lies_below_a_dot() {
        assert!(permits(
            &uri("prod.example.com"),
            &uri("spiffe://prod.example.com/ns/a")
        ));
        assert!(!permits(
            &uri("prod.example.com"),
            &uri("spiffe://x.prod.example.com/ns/a")
        ));
        assert!(permits(
            &uri(".example.com"),
            &uri("spiffe://prod.example.com/ns/a")
        ));
        assert!(!permits(
            &uri(".example.com"),
            &uri("spiffe://example.com/ns/a")
        ));
        assert!(!permits(&uri("example.com"), &uri("urn:example.com")));
        assert!(excludes(&uri("example.com"), &uri("urn:example.com")));
        assert!(!permits(&uri("10.0.0.1"), &uri("https://10.0.0.1/")));
        assert!(!permits(
            &uri("good.test"),
            &uri("https://good.test@evil.test/")
        ));
    }

    #[test]
    fn a_mailbox_constraint_is_literal_and_a_host_covers_its_mailboxes() {
        assert!(permits(&email("*@example.com"), &email("*@EXAMPLE.com")));
        assert!(!permits(
            &email("*@example.com"),
            &email("user@example.com")
        ));
        assert!(permits(&email("example.com"), &email("user@example.com")));
        assert!(!permits(
            &email("example.com"),
            &email("user@a.example.com")
        ));
        assert!(permits(
            &email(".example.com"),
            &email("user@a.example.com")
        ));
        assert!(!permits(&email("example.com"), &email("a@b@example.com")));
    }
}
