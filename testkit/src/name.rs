//! Distinguished names and general names (RFC 5280 4.1.2.4, 4.2.1.6).

use std::net::IpAddr;

use der::Tag;

use crate::asn1;

/// `id-at-commonName`.
pub const COMMON_NAME: &str = "2.5.4.3";
/// `id-at-countryName`.
pub const COUNTRY: &str = "2.5.4.6";
/// `id-at-organizationName`.
pub const ORGANIZATION: &str = "2.5.4.10";
/// `id-at-organizationalUnitName`.
pub const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
/// `id-domainComponent`.
pub const DOMAIN_COMPONENT: &str = "0.9.2342.19200300.100.1.25";
/// `id-emailAddress` of PKCS#9.
pub const EMAIL_ADDRESS: &str = "1.2.840.113549.1.9.1";

/// A distinguished name, the most general attribute first, as it is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    relative: Vec<Vec<u8>>,
    raw: Option<Vec<u8>>,
}

impl Name {
    /// The empty name.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A name of one common name, as a `UTF8String`.
    pub fn common_name(text: &str) -> Self {
        Self::empty().with(COMMON_NAME, text)
    }

    /// Exactly these octets in place of a name.
    pub fn raw(der: Vec<u8>) -> Self {
        Self {
            relative: Vec::new(),
            raw: Some(der),
        }
    }

    /// Adds an attribute as a `UTF8String`.
    pub fn with(self, attribute: &str, text: &str) -> Self {
        self.with_string(attribute, Tag::Utf8String, text.as_bytes())
    }

    /// Adds an attribute as a `PrintableString`.
    pub fn with_printable(self, attribute: &str, text: &str) -> Self {
        self.with_string(attribute, Tag::PrintableString, text.as_bytes())
    }

    /// Adds an attribute with any tag and octets.
    pub fn with_string(self, attribute: &str, tag: Tag, octets: &[u8]) -> Self {
        self.with_several(&[(attribute, tag, octets)])
    }

    /// Adds one relative name of several attributes, sorted as DER asks for.
    pub fn with_several(mut self, attributes: &[(&str, Tag, &[u8])]) -> Self {
        let mut encoded: Vec<Vec<u8>> = attributes
            .iter()
            .map(|(attribute, tag, octets)| {
                asn1::sequence([asn1::oid(attribute), asn1::element(*tag, octets)])
            })
            .collect();
        encoded.sort();
        self.relative.push(asn1::set(encoded));
        self
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.raw.is_none() && self.relative.is_empty()
    }

    /// As DER.
    pub fn to_der(&self) -> Vec<u8> {
        match &self.raw {
            Some(raw) => raw.clone(),
            None => asn1::sequence(&self.relative),
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::common_name(text)
    }
}

/// A general name, well formed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// `directoryName`.
    Directory(Name),
    /// `dNSName`, any octets.
    Dns(Vec<u8>),
    /// `rfc822Name`, any octets.
    Email(Vec<u8>),
    /// `iPAddress`, any octets: 4 or 16 for an address, 8 or 32 for a range in a constraint.
    Ip(Vec<u8>),
    /// `otherName`: its type, dotted, and its value as a whole element.
    Other(String, Vec<u8>),
    /// A whole element of any kind.
    Raw(Vec<u8>),
    /// `registeredID`, dotted.
    RegisteredId(String),
    /// `uniformResourceIdentifier`, any octets.
    Uri(Vec<u8>),
}

impl GeneralName {
    /// A DNS name.
    pub fn dns(text: &str) -> Self {
        Self::Dns(text.as_bytes().to_vec())
    }

    /// A mailbox, or the host or domain of a constraint.
    pub fn email(text: &str) -> Self {
        Self::Email(text.as_bytes().to_vec())
    }

    /// A URI.
    pub fn uri(text: &str) -> Self {
        Self::Uri(text.as_bytes().to_vec())
    }

    /// An address such as `192.0.2.1` or `2001:db8::1`.
    pub fn ip(text: &str) -> Self {
        Self::Ip(address(text))
    }

    /// A range such as `192.0.2.0/24`, as name constraints write it: address and mask.
    pub fn ip_range(text: &str) -> Self {
        let (base, bits) = text.split_once('/').expect("a range has a `/`");
        let base = address(base);
        let bits: usize = bits.parse().expect("a range ends in a number of bits");
        let mask = (0..base.len()).map(|octet| {
            let ones = bits.saturating_sub(octet * 8).min(8) as u32;
            0xff_u8.checked_shl(8 - ones).unwrap_or(0)
        });
        let mask: Vec<u8> = mask.collect();
        Self::Ip(asn1::concatenated([base, mask]))
    }

    /// A directory name.
    pub fn directory(name: impl Into<Name>) -> Self {
        Self::Directory(name.into())
    }

    /// As DER.
    pub fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Other(kind, value) => {
                let value = asn1::constructed(0, value);
                asn1::constructed(0, &asn1::concatenated([asn1::oid(kind), value]))
            }
            Self::Email(octets) => asn1::primitive(1, octets),
            Self::Dns(octets) => asn1::primitive(2, octets),
            // A choice cannot be tagged implicitly, so the name keeps its own tag (X.680 31.2.7).
            Self::Directory(name) => asn1::constructed(4, &name.to_der()),
            Self::Uri(octets) => asn1::primitive(6, octets),
            Self::Ip(octets) => asn1::primitive(7, octets),
            // The content of the object identifier without its tag and its one octet of length.
            Self::RegisteredId(dotted) => asn1::primitive(8, &asn1::oid(dotted)[2..]),
            Self::Raw(der) => der.clone(),
        }
    }
}

fn address(text: &str) -> Vec<u8> {
    match text.parse().expect("an address of a test is well formed") {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_an_address_and_a_mask() {
        assert_eq!(
            GeneralName::ip_range("192.0.2.0/20"),
            GeneralName::Ip(vec![192, 0, 2, 0, 255, 255, 240, 0])
        );
        assert_eq!(
            GeneralName::ip_range("0.0.0.0/0"),
            GeneralName::Ip(vec![0; 8])
        );
        let GeneralName::Ip(octets) = GeneralName::ip_range("2001:db8::/32") else {
            panic!("a range is an address");
        };
        assert_eq!(octets.len(), 32);
        assert_eq!(octets[16..21], [255, 255, 255, 255, 0]);
    }
}
