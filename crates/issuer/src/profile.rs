//! What may be issued: lengths of time and kinds of keys.

use avouch_core::crypto::KeyKind;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::reason::Reason;
use thiserror::Error;

/// For how long credentials of one kind may be valid, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    least: u32,
    usual: u32,
    most: u32,
}

/// Bounds that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a lifetime needs 1 <= least <= usual <= most, but these are {least}, {usual} and {most}")]
pub struct InvalidLifetime {
    least: u32,
    usual: u32,
    most: u32,
}

impl Lifetime {
    /// From `least` to `most` seconds, and `usual` where nothing is asked for.
    ///
    /// # Errors
    ///
    /// [`InvalidLifetime`] unless 1 <= least <= usual <= most.
    pub fn new(least: u32, usual: u32, most: u32) -> Result<Self, InvalidLifetime> {
        if 1 <= least && least <= usual && usual <= most {
            Ok(Self { least, usual, most })
        } else {
            Err(InvalidLifetime { least, usual, most })
        }
    }

    /// Those of the components of a Kubernetes cluster.
    pub(crate) fn of_components() -> Self {
        Self {
            least: 600,
            usual: 86_400,
            most: 365 * 86_400,
        }
    }

    /// The longest, in seconds.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// What to ask for where whoever gets it is entitled to it for `left` seconds more: no more than that, or
    /// the least where that is more still.
    pub fn ending_in(&self, asked: Option<u32>, left: Option<i64>) -> Option<u32> {
        let Some(left) = left else {
            return asked;
        };
        let left = u32::try_from(left.max(0)).unwrap_or(u32::MAX);
        let left = left.max(self.least);
        match asked.unwrap_or(self.usual) > left {
            true => Some(left),
            false => asked,
        }
    }

    /// How long what is asked for is valid, in seconds.
    ///
    /// # Errors
    ///
    /// `issue.ttl_out_of_bounds`: what was asked for is not quietly changed.
    pub fn choose(&self, asked: Option<u32>) -> Result<u32, Reason> {
        match asked {
            None => Ok(self.usual),
            Some(asked) if (self.least..=self.most).contains(&asked) => Ok(asked),
            Some(asked) => Err(Reason::IssueTimeToLive {
                asked,
                least: self.least,
                most: self.most,
            }),
        }
    }
}

/// What X.509-SVIDs may be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Profile {
    /// For how long they are valid.
    pub lifetime: Lifetime,
    /// For keys of which kinds they are issued, of P-256, P-384 and Ed25519.
    pub keys: Vec<KeyKind>,
    /// The address below which revocation lists are published, at `/t/{tenant}/crl/{authority}`;
    /// certificates say nothing of it if there is none.
    pub lists_at: Option<String>,
}

impl Default for X509Profile {
    /// A minute to a day and usually an hour; P-256, P-384 and Ed25519.
    fn default() -> Self {
        Self {
            lifetime: Lifetime {
                least: 60,
                usual: 3_600,
                most: 86_400,
            },
            keys: vec![KeyKind::P256, KeyKind::P384, KeyKind::Ed25519],
            lists_at: None,
        }
    }
}

/// What JWT-SVIDs may be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtProfile {
    /// For how long they are valid.
    pub lifetime: Lifetime,
}

impl Default for JwtProfile {
    /// Half a minute to an hour and usually five minutes: whoever sees one can use it.
    fn default() -> Self {
        Self {
            lifetime: Lifetime {
                least: 30,
                usual: 300,
                most: 3_600,
            },
        }
    }
}

/// What WIT-SVIDs may be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitProfile {
    /// For how long they are valid.
    pub lifetime: Lifetime,
}

impl Default for WitProfile {
    /// A minute to a day and usually an hour: without the key it names, one is worth nothing.
    fn default() -> Self {
        Self {
            lifetime: Lifetime {
                least: 60,
                usual: 3_600,
                most: 86_400,
            },
        }
    }
}

/// Whether an authority of `trust_domain` may vouch for `id` as a workload.
pub(crate) fn check_id(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), Reason> {
    if id.trust_domain() != trust_domain {
        return Err(Reason::IssueIdOutside {
            id: id.to_string(),
            trust_domain: trust_domain.to_string(),
        });
    }
    // X.509-SVID 2: without a path it is the authority's own.
    if id.path().is_empty() {
        return Err(Reason::LeafIdWithoutPath { id: id.to_string() });
    }
    Ok(())
}

/// Whether a certificate may carry a DNS name: the full name of one host (RFC 1123 2.1), in lower
/// case so that it has one spelling.
///
/// # Errors
///
/// `issue.dns_name_invalid`.
pub fn check_dns_name(name: &str) -> Result<(), Reason> {
    let refuse = |detail| {
        Err(Reason::IssueDnsName {
            name: name.to_owned(),
            detail,
        })
    };
    if name.is_empty() || name.len() > 253 {
        return refuse("it must have 1 to 253 characters");
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return refuse("it is an IP address");
    }
    for label in name.split('.') {
        if !(1..=63).contains(&label.len()) {
            return refuse("each part between dots must have 1 to 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return refuse("a part between dots begins or ends with a hyphen");
        }
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !label.bytes().all(is_plain) {
            return refuse("it has characters other than a-z, 0-9, `-` and `.`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_no_lifetime() {
        assert!(Lifetime::new(1, 1, 1).is_ok());
        for (least, usual, most) in [(0, 1, 1), (2, 1, 3), (1, 3, 2)] {
            let invalid = Lifetime::new(least, usual, most).unwrap_err();
            assert_eq!(invalid, InvalidLifetime { least, usual, most });
        }
    }

    #[test]
    fn what_is_asked_for_is_given_or_refused_and_never_changed() {
        let lifetime = Lifetime::new(60, 3_600, 86_400).unwrap();
        assert_eq!(lifetime.choose(None), Ok(3_600));
        for asked in [60, 61, 86_400] {
            assert_eq!(lifetime.choose(Some(asked)), Ok(asked));
        }
        for asked in [0, 59, 86_401, u32::MAX] {
            let reason = lifetime.choose(Some(asked)).unwrap_err();
            assert_eq!(reason.code(), "issue.ttl_out_of_bounds");
        }
    }

    #[test]
    fn a_dns_name_is_the_name_of_one_host() {
        for name in ["db", "db.example.com", "xn--bcher-kva.example", "1.example"] {
            assert_eq!(check_dns_name(name), Ok(()), "{name}");
        }
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["abcdefghi"; 26].join(".");
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "*.example.com",
            "DB.example.com",
            "a_b.example",
            "-a.example",
            "a-.example",
            "10.0.0.1",
            "::1",
            "a b",
            "a\0b",
            "bücher.example",
            &long_label,
            &long_name,
        ] {
            let reason = check_dns_name(name).unwrap_err();
            assert_eq!(reason.code(), "issue.dns_name_invalid", "{name}");
        }
    }
}
