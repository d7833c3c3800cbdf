//! Names that are checked once and valid ever after: tenants, trust domains, SPIFFE IDs, digests.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};

use crate::reason::Reason;

/// Whose view a decision is made in, and whose anchor vouched for an identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant of someone who works on files, without a server.
    pub const LOCAL: &'static str = "local";

    /// A name of 1 to 63 lower-case letters, digits and hyphens, as in a DNS label (RFC 1123 2.1).
    ///
    /// # Errors
    ///
    /// `spiffe.id_invalid`.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = (1..=63).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        well_formed.then(|| Self(text.into()))
    }

    /// The tenant of someone who works on files.
    pub fn local() -> Self {
        Self(Self::LOCAL.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a SPIFFE trust domain (SPIFFE-ID 2.1): 1 to 255 of `a-z 0-9 . - _`.
///
/// A name that looks like an IP address or a DNS name is nothing special.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The longest name, in bytes (SPIFFE-ID 2.3).
    pub const MAX_BYTES: usize = 255;

    /// Reads a bare name such as `example.org`.
    ///
    /// # Errors
    ///
    /// `spiffe.id_invalid`.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let refuse = |detail| {
            Err(Reason::IdInvalid {
                id: text.to_owned(),
                detail,
            })
        };
        if text.is_empty() {
            return refuse("the trust domain is empty");
        }
        if text.len() > Self::MAX_BYTES {
            return refuse("the trust domain is longer than 255 bytes");
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return refuse("the trust domain has upper-case letters");
        }
        if text.contains('@') {
            return refuse("it has user information before the trust domain");
        }
        let port = text.split_once(':').map(|(_, port)| port);
        if port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit())) {
            return refuse("it has a port after the trust domain");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
        {
            return refuse("the trust domain has characters other than a-z, 0-9, `.`, `-` and `_`");
        }
        Ok(Self(text.into()))
    }

    /// Reads what a person calls a trust domain: its bare name, or the ID of the domain itself, such
    /// as `spiffe://example.org` (SPIFFE-ID 2.1), which no workload has.
    ///
    /// # Errors
    ///
    /// `spiffe.id_invalid`.
    pub fn parse_named(text: &str) -> Result<Self, Reason> {
        if !text.contains("://") {
            return Self::parse(text);
        }
        let id = SpiffeId::parse(text)?;
        if id.path().is_empty() {
            return Ok(id.trust_domain);
        }
        Err(Reason::IdInvalid {
            id: text.to_owned(),
            detail: "it names a workload, and here a trust domain is named: it must have no path",
        })
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SPIFFE ID (SPIFFE-ID 2): a trust domain and a path, which is empty for the trust domain itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// The longest ID, in bytes (SPIFFE-ID 2.3).
    pub const MAX_BYTES: usize = 2048;

    /// Reads an ID in its canonical form. The scheme is compared without regard to case
    /// (SPIFFE-ID 2.4), everything else exactly.
    ///
    /// # Errors
    ///
    /// `spiffe.id_invalid`.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let refuse = |detail| {
            Err(Reason::IdInvalid {
                id: text.to_owned(),
                detail,
            })
        };
        if text.len() > Self::MAX_BYTES {
            return refuse("it is longer than 2048 bytes");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse("it does not begin with `spiffe://`");
        };
        if !scheme.eq_ignore_ascii_case("spiffe") {
            return refuse("it does not begin with `spiffe://`");
        }
        if rest.contains('?') {
            return refuse("it has a query");
        }
        if rest.contains('#') {
            return refuse("it has a fragment");
        }
        if rest.contains('%') {
            return refuse("it has percent-encoding");
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let trust_domain = TrustDomain::parse(authority).map_err(|reason| match reason {
            Reason::IdInvalid { detail, .. } => Reason::IdInvalid {
                id: text.to_owned(),
                detail,
            },
            other => other,
        })?;
        if path == "/" || path.ends_with('/') {
            return refuse("its path ends in `/`");
        }
        for segment in path.split('/').skip(1) {
            if segment.is_empty() {
                return refuse("its path has an empty segment");
            }
            if segment == "." || segment == ".." {
                return refuse("its path has the segment `.` or `..`");
            }
            if !segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            {
                return refuse(
                    "its path has characters other than letters, digits, `.`, `-` and `_`",
                );
            }
        }
        Ok(Self {
            text: format!("spiffe://{authority}{path}").into(),
            trust_domain,
        })
    }

    /// The whole ID in canonical form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path with its leading `/`, or nothing for the ID of a trust domain.
    pub fn path(&self) -> &str {
        self.text
            .get("spiffe://".len() + self.trust_domain.0.len()..)
            .unwrap_or_default()
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').skip(1)
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The same ID, which keeps the name of its trust domain together with others where it is
    /// that of `trust_domain`: a million IDs are mostly of one.
    #[must_use]
    pub fn sharing(self, trust_domain: &TrustDomain) -> Self {
        if self.trust_domain != *trust_domain {
            return self;
        }
        Self {
            trust_domain: trust_domain.clone(),
            ..self
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// The digest of several parts, each with its length, so that no two lists of parts that
    /// differ are hashed alike.
    pub fn of_list<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        Self::from_context(context)
    }

    fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(part);
        }
        Self::from_context(context)
    }

    fn from_context(context: digest::Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// From the 32 bytes of a digest made earlier.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 bytes in hexadecimal: enough for a person to tell two apart.
    pub fn short(&self) -> String {
        hex(self.0.get(..8).unwrap_or_default())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        let (pairs, _) = digits.as_chunks_mut();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = digits_of(byte);
        }
        f.write_str(str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

/// As 64 lower-case hexadecimal digits.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// Lower-case hexadecimal, as serial numbers and identifiers of keys are written.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend(digits_of(*byte).map(char::from));
    }
    text
}

#[expect(
    clippy::indexing_slicing,
    reason = "half an octet is less than the number of digits"
)]
fn digits_of(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_id_is_what_follows_its_trust_domain() {
        let id = SpiffeId::parse("SPIFFE://prod.example.com/ns/payments/sa/api-server").unwrap();
        assert_eq!(
            id.as_str(),
            "spiffe://prod.example.com/ns/payments/sa/api-server"
        );
        assert_eq!(id.path(), "/ns/payments/sa/api-server");
        assert_eq!(
            id.segments().collect::<Vec<_>>(),
            ["ns", "payments", "sa", "api-server"]
        );
        assert_eq!(SpiffeId::parse("spiffe://a").unwrap().path(), "");
        assert_eq!(SpiffeId::parse("spiffe://a").unwrap().segments().count(), 0);
    }

    #[test]
    fn a_list_is_not_hashed_like_its_concatenation() {
        assert_ne!(
            Digest::of_list([&b"ab"[..], b"c"]),
            Digest::of_list([&b"a"[..], b"bc"])
        );
    }

    #[test]
    fn a_digest_is_read_back_from_its_hexadecimal_form() {
        let digest = Digest::of(b"abc");
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(
            Digest::from_hex(&digest.to_string().to_uppercase()),
            Some(digest)
        );
        for text in ["", "00", &"g".repeat(64), &"+1".repeat(32), &"0".repeat(66)] {
            assert_eq!(Digest::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_tenant_is_a_dns_label() {
        assert!(TenantId::parse("demo-1").is_some());
        for text in ["", "-a", "a-", "A", "a.b", "a/b", &"a".repeat(64)] {
            assert!(TenantId::parse(text).is_none(), "{text}");
        }
    }
}
