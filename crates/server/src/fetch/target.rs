//! What is to be fetched: an `https` address in a form that two readers cannot read differently.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use avouch_core::reason::Reason;

/// The longest address. No honest one of a discovery document is longer.
const LONGEST: usize = 2_048;

/// An `https` address (RFC 3986; RFC 9110 4.2.2) without user information and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: Host,
    port: u16,
    /// The path and what is behind the question mark.
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// `fetch.url_refused`.
    pub fn parse(url: &str) -> Result<Self, Reason> {
        let refuse = |detail: &'static str| Reason::FetchUrl {
            url: url.chars().take(256).collect(),
            detail,
        };
        if url.len() > LONGEST {
            return Err(refuse("it is longer than 2,048 bytes"));
        }
        let rest = url
            .strip_prefix("https://")
            .ok_or_else(|| refuse("it does not begin with `https://`"))?;
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("it has characters that are not visible ASCII"));
        }
        if rest.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(refuse("it has characters that no address has"));
        }
        if rest.contains('#') {
            return Err(refuse("it has a fragment"));
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at_checked(end).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(refuse("it has user information before its host"));
        }
        let (host, port) = authority_of(authority).map_err(refuse)?;
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self { host, port, path })
    }

    /// Where a redirect leads, if it stays at the same host and port.
    pub(super) fn follow(&self, location: &str) -> Option<Self> {
        let next = match location.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => {
                Self::parse(&format!("https://{}{location}", self.authority()))
            }
            Some(_) | None => Self::parse(location),
        };
        next.ok()
            .filter(|next| next.host == self.host && next.port == self.port)
    }

    /// The host as certificates name it, without brackets.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// The address, if the host is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Address(address) => Some(*address),
            Host::Name(_) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path and what is behind the question mark.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host and, unless it is the usual one, the port: what the `Host` field says.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        match self.port {
            443 => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

fn authority_of(text: &str) -> Result<(Host, u16), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest
            .split_once(']')
            .ok_or("its host begins with `[` and does not end with `]`")?;
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| "its host stands in brackets and is no IPv6 address")?;
        (Host::Address(address.into()), port)
    } else {
        let (host, port) = match text.find(':') {
            Some(colon) => text.split_at_checked(colon).unwrap_or((text, "")),
            None => (text, ""),
        };
        (host_of(host)?, port)
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 443,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("its port is not a number from 1 to 65535")?,
        Some(_) | None => return Err("its port is not a number from 1 to 65535"),
    };
    Ok((host, port))
}

/// A host that ends in a number is an IPv4 address in its one usual form, or nothing: resolvers take
/// `0x7f.1` and `2130706433` for `127.0.0.1`.
fn host_of(text: &str) -> Result<Host, &'static str> {
    let last = text.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|first: char| first.is_ascii_digit()) {
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_| "its host ends in a number and is no IPv4 address of four decimals")?;
        return Ok(Host::Address(address.into()));
    }
    host_name(text)
        .map(Host::Name)
        .ok_or("its host is not the name of a host")
}

/// The name of a host in lower case (RFC 1123 2.1), if it is one.
pub(super) fn host_name(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_name = text.len() <= 253 && text.split('.').all(is_label);
    is_name.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_22_an_address_that_deceives_is_not_called() {
        for url in [
            "http://idp.test/",
            "HTTPS://idp.test/",
            "https://",
            "https:///keys",
            "https://idp.test@evil.test/",
            "https://user:secret@idp.test/",
            "https://idp.test#@evil.test/",
            "https://idp.test\\@evil.test/",
            "https://idp.test /",
            "https://idp.test/\r\nHost: evil.test",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://[::1/",
            "https://[127.0.0.1]/",
            "https://[fe80::1%25eth0]/",
            "https://idp.test:0/",
            "https://idp.test:65536/",
            "https://idp.test:+443/",
            "https://idp.test:/",
            "https://idp..test/",
            "https://idp.test./",
            "https://-idp.test/",
            "https://идп.test/",
            "https://127。0。0。1/",
            "https://idp.test:443:443/",
            "file:///etc/passwd",
            "//idp.test/",
        ] {
            let refused = Target::parse(url).map(|target| target.to_string());
            assert_eq!(refused.unwrap_err().code(), "fetch.url_refused", "{url}");
        }
        assert!(Target::parse(&format!("https://a.test/{}", "a".repeat(2_048))).is_err());
    }

    #[test]
    fn hostile_22_near_miss_an_honest_address_is_read() {
        for (url, host, port, path) in [
            ("https://idp.test", "idp.test", 443, "/"),
            ("https://IDP.test/a/b?c=d", "idp.test", 443, "/a/b?c=d"),
            ("https://idp.test?c", "idp.test", 443, "/?c"),
            ("https://idp.test:8443/", "idp.test", 8443, "/"),
            ("https://8.8.8.8/", "8.8.8.8", 443, "/"),
            (
                "https://[2606:4700::1111]:8443/",
                "2606:4700::1111",
                8443,
                "/",
            ),
            ("https://xn--d1ad1a.test/", "xn--d1ad1a.test", 443, "/"),
            ("https://a_b.test/x@y", "a_b.test", 443, "/x@y"),
            ("https://7a.test/", "7a.test", 443, "/"),
        ] {
            let target = Target::parse(url).unwrap();
            let read = (target.host(), target.port(), target.path().to_owned());
            assert_eq!(read, (host.to_owned(), port, path.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_redirect_is_followed_only_at_the_same_host_and_port() {
        let from = Target::parse("https://idp.test:8443/a").unwrap();
        for (location, to) in [
            ("/b", Some("https://idp.test:8443/b")),
            (
                "https://idp.test:8443/c?d",
                Some("https://idp.test:8443/c?d"),
            ),
            ("https://IDP.test:8443/", Some("https://idp.test:8443/")),
            ("https://idp.test/b", None),
            ("http://idp.test:8443/b", None),
            ("//evil.test/b", None),
            ("https://evil.test:8443/b", None),
            ("b", None),
            ("", None),
        ] {
            let next = from.follow(location).map(|target| target.to_string());
            assert_eq!(next.as_deref(), to, "{location}");
        }
    }
}
