//! Where revocation lists are published, and which part of the certificates each speaks of
//! (RFC 5280 4.2.1.13, 5.2.5).

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Tag};

use super::der_read::{Context, Detail, decode, detail, elements, expect, sequence};
use super::general_name::GeneralName;
use super::name::DistinguishedName;

/// `DistributionPoint` (RFC 5280 4.2.1.13): where a list that covers the certificate is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistributionPoint {
    pub(crate) name: Option<PointName>,
    /// The reasons for which a certificate would stand on the list; all where absent.
    pub(crate) reasons: Option<ReasonFlags>,
    /// Who signs the list, where it is not the issuer of the certificate; otherwise empty.
    pub(crate) list_issuer: Vec<GeneralName>,
}

/// `DistributionPointName` (RFC 5280 4.2.1.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointName {
    /// `fullName`.
    Full(Vec<GeneralName>),
    /// `nameRelativeToCRLIssuer`, the DER of a relative distinguished name.
    Relative(Vec<u8>),
}

impl PointName {
    /// Its names, a relative one completed by the name of the issuer of the list.
    pub(crate) fn complete(&self, list_issuer: &DistinguishedName) -> Vec<GeneralName> {
        match self {
            Self::Full(names) => names.clone(),
            Self::Relative(relative) => list_issuer
                .with_relative(relative)
                .map(|name| vec![GeneralName::Directory(name)])
                .unwrap_or_default(),
        }
    }

    /// Whether it is written as the Baseline Requirements ask, as URIs alone.
    pub(crate) fn is_only_uris(&self) -> bool {
        match self {
            Self::Full(names) => names.iter().all(|name| matches!(name, GeneralName::Uri(_))),
            Self::Relative(_) => false,
        }
    }
}

/// `IssuingDistributionPoint` (RFC 5280 5.2.5): which certificates a list speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuingDistributionPoint {
    pub(crate) name: Option<PointName>,
    pub(crate) only_user_certificates: bool,
    pub(crate) only_ca_certificates: bool,
    pub(crate) only_some_reasons: Option<ReasonFlags>,
    pub(crate) indirect: bool,
    pub(crate) only_attribute_certificates: bool,
}

/// `ReasonFlags` (RFC 5280 4.2.1.13): a set of reasons for revocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonFlags(u16);

impl ReasonFlags {
    /// Every reason: bits 1 (`keyCompromise`) to 8 (`aACompromise`); bit 0 is unused.
    pub(crate) const ALL: Self = Self(0b1_1111_1110);

    pub(crate) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) fn only(self, others: Self) -> Self {
        Self(self.0 & others.0 & Self::ALL.0)
    }

    pub(crate) fn is_all(self) -> bool {
        self.0 & Self::ALL.0 == Self::ALL.0
    }
}

/// `CRLDistributionPoints`, the content of the extension.
pub(super) fn distribution_points(content: &[u8]) -> Result<Vec<DistributionPoint>, Detail> {
    let points = sequence(content)?;
    if points.is_empty() {
        return Err("it names no distribution point".to_owned());
    }
    points.into_iter().map(distribution_point).collect()
}

fn distribution_point(value: AnyRef<'_>) -> Result<DistributionPoint, Detail> {
    let mut point = DistributionPoint::default();
    for field in elements(expect(value, Tag::Sequence)?)? {
        match Context::of(field) {
            Context::Constructed(0) => point.name = Some(point_name(field)?),
            Context::Primitive(1) => point.reasons = Some(reason_flags(field)?),
            Context::Constructed(2) => point.list_issuer = GeneralName::parse_list(field.value())?,
            _ => return Err("a distribution point has a field that is not known".to_owned()),
        }
    }
    if point.name.is_none() && point.list_issuer.is_empty() {
        return Err("a distribution point says neither where nor who".to_owned());
    }
    Ok(point)
}

/// `IssuingDistributionPoint`, the content of the extension.
pub(super) fn issuing_distribution_point(
    content: &[u8],
) -> Result<IssuingDistributionPoint, Detail> {
    let mut point = IssuingDistributionPoint::default();
    let fields = sequence(content)?;
    if fields.is_empty() {
        return Err("it says nothing".to_owned());
    }
    for field in fields {
        match Context::of(field) {
            Context::Constructed(0) => point.name = Some(point_name(field)?),
            Context::Primitive(1) => point.only_user_certificates = truth(field)?,
            Context::Primitive(2) => point.only_ca_certificates = truth(field)?,
            Context::Primitive(3) => point.only_some_reasons = Some(reason_flags(field)?),
            Context::Primitive(4) => point.indirect = truth(field)?,
            Context::Primitive(5) => point.only_attribute_certificates = truth(field)?,
            _ => return Err("it has a field that is not known".to_owned()),
        }
    }
    Ok(point)
}

/// A `DistributionPointName`, given its explicit tag.
fn point_name(field: AnyRef<'_>) -> Result<PointName, Detail> {
    let name = AnyRef::from_der(field.value()).map_err(detail)?;
    match Context::of(name) {
        Context::Constructed(0) => Ok(PointName::Full(GeneralName::parse_list(name.value())?)),
        Context::Constructed(1) => {
            let relative = AnyRef::new(Tag::Set, name.value()).map_err(detail)?;
            Ok(PointName::Relative(relative.to_der().map_err(detail)?))
        }
        _ => Err("a distribution point has a name of no known form".to_owned()),
    }
}

/// A BIT STRING under an implicit tag.
fn reason_flags(field: AnyRef<'_>) -> Result<ReasonFlags, Detail> {
    let bits: BitStringRef<'_> =
        decode(AnyRef::new(Tag::BitString, field.value()).map_err(detail)?)?;
    let mut flags = 0;
    for (bit, set) in bits.bits().enumerate() {
        match (bit, set) {
            (_, false) => {}
            // Bit 0 stands for nothing, and some who mean "all the others" set it.
            (0..=8, true) => flags |= 1 << bit,
            (_, true) => return Err("it names a reason that is not known".to_owned()),
        }
    }
    Ok(ReasonFlags(flags))
}

/// A BOOLEAN DEFAULT FALSE under an implicit tag: DER writes it only when it is true.
fn truth(field: AnyRef<'_>) -> Result<bool, Detail> {
    match field.value() {
        [0xff] => Ok(true),
        _ => Err("a flag is not written as DER asks".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuing_distribution_point_is_read() {
        let point =
            issuing_distribution_point(&[0x30, 0x09, 0x82, 1, 0xff, 0x83, 2, 5, 0x60, 0x84, 0])
                .map(|_| ());
        assert_eq!(point, Err("a flag is not written as DER asks".to_owned()));
        let point =
            issuing_distribution_point(&[0x30, 0x07, 0x82, 1, 0xff, 0x83, 2, 5, 0x60]).unwrap();
        assert!(point.only_ca_certificates);
        assert_eq!(point.only_some_reasons, Some(ReasonFlags(0b110)));
        assert!(!point.only_some_reasons.unwrap().is_all());
    }

    #[test]
    fn an_issuing_distribution_point_that_says_nothing_is_refused() {
        assert!(issuing_distribution_point(&[0x30, 0]).is_err());
        assert!(issuing_distribution_point(&[0x30, 3, 0x81, 1, 0]).is_err());
    }
}
