//! `GeneralName` (RFC 5280 4.2.1.6), as a subject alternative name and as the base of a subtree.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use const_oid::ObjectIdentifier;
use der::asn1::AnyRef;

use super::der_read::{Context, Detail, detail, each, elements};
use super::name::DistinguishedName;

/// A name of a certificate. What it holds is as written; whether it is well formed is judged where
/// it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// `directoryName`.
    Directory(DistinguishedName),
    /// `dNSName`: ASCII, otherwise anything.
    Dns(String),
    /// `rfc822Name`: ASCII, otherwise anything.
    Email(String),
    /// `iPAddress`: any number of bytes.
    Ip(Vec<u8>),
    /// `otherName`, by its type.
    Other(ObjectIdentifier),
    /// `registeredID`, `x400Address` or `ediPartyName`, by its tag.
    Rare(u32),
    /// `uniformResourceIdentifier`: ASCII, otherwise anything.
    Uri(String),
}

impl GeneralName {
    /// Reads one tagged name.
    pub(crate) fn parse(value: AnyRef<'_>) -> Result<Self, Detail> {
        Ok(match Context::of(value) {
            Context::Constructed(0) => {
                let parts = elements(value.value())?;
                let oid = parts
                    .first()
                    .ok_or_else(|| "an otherName is empty".to_owned())?;
                Self::Other(oid.decode_as().map_err(detail)?)
            }
            Context::Primitive(1) => Self::Email(ascii(value, "rfc822Name")?),
            Context::Primitive(2) => Self::Dns(ascii(value, "dNSName")?),
            // The CHOICE inside makes the tag explicit.
            Context::Constructed(4) => Self::Directory(DistinguishedName::parse(value.value())?),
            Context::Primitive(6) => Self::Uri(ascii(value, "uniformResourceIdentifier")?),
            Context::Primitive(7) => Self::Ip(value.value().to_vec()),
            Context::Constructed(number @ (3 | 5)) | Context::Primitive(number @ 8) => {
                Self::Rare(number)
            }
            Context::Constructed(number) | Context::Primitive(number) => {
                return Err(format!(
                    "there is no kind of name with the tag [{number}] of this form"
                ));
            }
            Context::Not => {
                return Err(format!(
                    "{} stands where a name is expected",
                    der::Tagged::tag(&value)
                ));
            }
        })
    }

    /// Reads a SEQUENCE OF names, given the bytes inside it.
    pub(crate) fn parse_list(content: &[u8]) -> Result<Vec<Self>, Detail> {
        each(content)?.map(|name| Self::parse(name?)).collect()
    }

    /// What kind of name it is, in the words of RFC 5280.
    pub fn kind(&self) -> String {
        match self {
            Self::Directory(_) => "directoryName".to_owned(),
            Self::Dns(_) => "dNSName".to_owned(),
            Self::Email(_) => "rfc822Name".to_owned(),
            Self::Ip(_) => "iPAddress".to_owned(),
            Self::Other(oid) => format!("otherName {oid}"),
            Self::Rare(3) => "x400Address".to_owned(),
            Self::Rare(5) => "ediPartyName".to_owned(),
            Self::Rare(_) => "registeredID".to_owned(),
            Self::Uri(_) => "uniformResourceIdentifier".to_owned(),
        }
    }

    /// The address, if it is one of 4 or 16 bytes.
    pub fn ip(&self) -> Option<IpAddr> {
        let Self::Ip(bytes) = self else { return None };
        if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
            return Some(IpAddr::V4(Ipv4Addr::from(four)));
        }
        <[u8; 16]>::try_from(bytes.as_slice())
            .ok()
            .map(|sixteen| IpAddr::V6(Ipv6Addr::from(sixteen)))
    }
}

impl fmt::Display for GeneralName {
    /// The name alone, without its kind; not escaped for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(name) => name.fmt(f),
            Self::Dns(name) | Self::Email(name) | Self::Uri(name) => f.write_str(name),
            Self::Ip(bytes) => match (self.ip(), IpSubtree::parse(bytes)) {
                (Some(address), _) => address.fmt(f),
                (None, Some(subtree)) => subtree.fmt(f),
                (None, None) => write!(f, "#{}", crate::id::hex(bytes)),
            },
            Self::Other(_) | Self::Rare(_) => f.write_str(&self.kind()),
        }
    }
}

/// An address and a mask, as a name constraint has them (RFC 5280 4.2.1.10, RFC 4632 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpSubtree {
    address: Vec<u8>,
    mask: Vec<u8>,
}

impl IpSubtree {
    /// Reads 8 or 32 bytes: an address and a mask of ones followed by zeros.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if !matches!(bytes.len(), 8 | 32) {
            return None;
        }
        let (address, mask) = bytes.split_at(bytes.len() / 2);
        let ones = mask
            .iter()
            .map(|byte| byte.leading_ones())
            .take_while(|ones| *ones == 8)
            .count();
        let contiguous = mask.iter().skip(ones).enumerate().all(|(index, byte)| {
            if index == 0 {
                byte.leading_ones() + byte.trailing_zeros() >= 8
            } else {
                *byte == 0
            }
        });
        contiguous.then(|| Self {
            address: address.to_vec(),
            mask: mask.to_vec(),
        })
    }

    /// Whether an address of the same version lies in it.
    pub(crate) fn contains(&self, address: &[u8]) -> bool {
        address.len() == self.address.len()
            && address
                .iter()
                .zip(&self.address)
                .zip(&self.mask)
                .all(|((seen, base), mask)| seen & mask == base & mask)
    }
}

impl fmt::Display for IpSubtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits: u32 = self.mask.iter().map(|byte| byte.count_ones()).sum();
        write!(f, "{}/{bits}", GeneralName::Ip(self.address.clone()))
    }
}

fn ascii(value: AnyRef<'_>, kind: &str) -> Result<String, Detail> {
    match std::str::from_utf8(value.value()) {
        Ok(text) if text.is_ascii() => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(format!("a {kind} has characters outside ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_must_be_ones_followed_by_zeros() {
        assert!(IpSubtree::parse(&[192, 0, 2, 0, 255, 255, 255, 0]).is_some());
        assert!(IpSubtree::parse(&[10, 0, 0, 0, 255, 240, 0, 0]).is_some());
        assert!(IpSubtree::parse(&[0, 0, 0, 0, 0, 0, 0, 0]).is_some());
        assert!(IpSubtree::parse(&[10, 0, 0, 0, 255, 0, 255, 0]).is_none());
        assert!(IpSubtree::parse(&[10, 0, 0, 0, 240, 15, 0, 0]).is_none());
        assert!(IpSubtree::parse(&[10, 0, 0, 0]).is_none());
    }

    #[test]
    fn an_address_lies_in_its_network_only() {
        let net = IpSubtree::parse(&[10, 16, 0, 0, 255, 240, 0, 0]).unwrap();
        assert!(net.contains(&[10, 31, 255, 1]));
        assert!(!net.contains(&[10, 32, 0, 0]));
        assert!(!net.contains(&[0; 16]));
        assert_eq!(net.to_string(), "10.16.0.0/12");
    }
}
