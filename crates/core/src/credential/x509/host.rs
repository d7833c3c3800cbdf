//! The texts inside names: hosts, mailboxes and URIs, and when one lies within another (RFC 5280
//! 4.2.1.6, 4.2.1.10).

/// Whether all DNS names that `name` may stand for are `base` or lie below it.
pub(crate) fn dns_covers(base: &str, name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    is_host(host) && dns_within(base, host)
}

/// RFC 5280 4.2.1.10 for DNS: any name made by adding labels to the left lies within.
pub(crate) fn dns_within(base: &str, name: &str) -> bool {
    let base_bytes = base.as_bytes();
    let name = name.as_bytes();
    if base_bytes.is_empty() {
        return true;
    }
    // A base with a leading dot, outside of the RFC but common, means names below it only.
    let (base_bytes, below_only) = match base_bytes {
        [b'.', rest @ ..] => (rest, true),
        _ => (base_bytes, false),
    };
    let Some(start) = name.len().checked_sub(base_bytes.len()) else {
        return false;
    };
    let (prefix, suffix) = name.split_at(start);
    suffix.eq_ignore_ascii_case(base_bytes)
        && if prefix.is_empty() {
            !below_only
        } else {
            prefix.ends_with(b".")
        }
}

/// RFC 5280 4.2.1.10 for the host of a mailbox or URI: `.example.com` is all below it,
/// `example.com` that host alone.
pub(crate) fn host_matches(base: &str, host: &str) -> bool {
    if base.starts_with('.') {
        return host.len() > base.len()
            && host
                .get(host.len() - base.len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(base));
    }
    base.is_empty() || base.eq_ignore_ascii_case(host)
}

/// The two parts of a mailbox with exactly one `@` and a host after it.
pub(crate) fn mailbox(text: &str) -> Option<(&str, &str)> {
    let (local, host) = text.split_once('@')?;
    (!local.is_empty() && is_host(host)).then_some((local, host))
}

/// The host of a URI that has one by name: RFC 5280 4.2.1.10 refuses a URI without one where URIs
/// are constrained.
pub(crate) fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            name
        } else {
            host
        }
    });
    let is_name =
        !host.is_empty() && !host.starts_with('[') && host.parse::<std::net::Ipv4Addr>().is_err();
    is_name.then_some(host)
}

/// Whether a text has the shape of a host name: labels of letters, digits, hyphens and underscores
/// that are not empty.
pub(crate) fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}
