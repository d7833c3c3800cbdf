//! The extensions of certificates and revocation lists, each well formed unless made by hand.

use crate::asn1;
use crate::moment::Moment;
use crate::name::{GeneralName, Name};

/// `id-kp-serverAuth`.
pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
/// `id-kp-clientAuth`.
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
/// `id-kp-codeSigning`.
pub const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
/// `anyExtendedKeyUsage`.
pub const ANY_EXTENDED_KEY_USAGE: &str = "2.5.29.37.0";
/// `anyPolicy`.
pub const ANY_POLICY: &str = "2.5.29.32.0";

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    pub(crate) oid: String,
    criticality: Criticality,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Criticality {
    Critical,
    NotCritical,
    /// `FALSE` written out, which DER forbids since it is the default.
    NotCriticalSpelledOut,
}

/// A bit of the key usage (RFC 5280 4.2.1.3); its number is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyUsage {
    /// `digitalSignature`.
    DigitalSignature = 0,
    /// `nonRepudiation`.
    NonRepudiation = 1,
    /// `keyEncipherment`.
    KeyEncipherment = 2,
    /// `dataEncipherment`.
    DataEncipherment = 3,
    /// `keyAgreement`.
    KeyAgreement = 4,
    /// `keyCertSign`.
    KeyCertSign = 5,
    /// `cRLSign`.
    CrlSign = 6,
    /// `encipherOnly`.
    EncipherOnly = 7,
    /// `decipherOnly`.
    DecipherOnly = 8,
}

impl Extension {
    /// An extension with any object identifier and any octets as its value, not critical.
    pub fn raw(oid: &str, value: Vec<u8>) -> Self {
        Self {
            oid: oid.to_owned(),
            criticality: Criticality::NotCritical,
            value,
        }
    }

    /// The same, critical.
    pub fn critical(mut self) -> Self {
        self.criticality = Criticality::Critical;
        self
    }

    /// The same, not critical.
    pub fn not_critical(mut self) -> Self {
        self.criticality = Criticality::NotCritical;
        self
    }

    /// The same, not critical and saying so, which is BER but not DER.
    pub fn not_critical_spelled_out(mut self) -> Self {
        self.criticality = Criticality::NotCriticalSpelledOut;
        self
    }

    /// Its object identifier, dotted.
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// As DER.
    pub fn to_der(&self) -> Vec<u8> {
        let criticality = match self.criticality {
            Criticality::Critical => asn1::boolean(true),
            Criticality::NotCritical => Vec::new(),
            Criticality::NotCriticalSpelledOut => asn1::boolean(false),
        };
        asn1::sequence([
            asn1::oid(&self.oid),
            criticality,
            asn1::octet_string(&self.value),
        ])
    }
}

/// Basic constraints (RFC 5280 4.2.1.9), critical.
pub fn basic_constraints(ca: bool, path_length: Option<u64>) -> Extension {
    let ca = if ca { asn1::boolean(true) } else { Vec::new() };
    let path_length = path_length.map(asn1::number).unwrap_or_default();
    Extension::raw("2.5.29.19", asn1::sequence([ca, path_length])).critical()
}

/// Key usage (RFC 5280 4.2.1.3), critical.
pub fn key_usage(usages: &[KeyUsage]) -> Extension {
    let Some(last) = usages.iter().map(|usage| *usage as usize).max() else {
        return Extension::raw("2.5.29.15", asn1::bit_string(0, &[])).critical();
    };
    let mut octets = vec![0_u8; last / 8 + 1];
    for usage in usages {
        let place = *usage as usize;
        octets[place / 8] |= 0x80 >> (place % 8);
    }
    // DER leaves trailing zero bits of a named bit list out (X.690 11.2.2).
    let unused_bits = 7 - (last % 8) as u8;
    Extension::raw("2.5.29.15", asn1::bit_string(unused_bits, &octets)).critical()
}

/// Extended key usage (RFC 5280 4.2.1.12) with dotted object identifiers.
pub fn extended_key_usage(usages: &[&str]) -> Extension {
    let usages = usages.iter().map(|usage| asn1::oid(usage));
    Extension::raw("2.5.29.37", asn1::sequence(usages))
}

/// Subject alternative names (RFC 5280 4.2.1.6).
pub fn subject_alternative_names(names: &[GeneralName]) -> Extension {
    let names = names.iter().map(GeneralName::to_der);
    Extension::raw("2.5.29.17", asn1::sequence(names))
}

/// Issuer alternative names (RFC 5280 4.2.1.7).
pub fn issuer_alternative_names(names: &[GeneralName]) -> Extension {
    let names = names.iter().map(GeneralName::to_der);
    Extension::raw("2.5.29.18", asn1::sequence(names))
}

/// Subject key identifier (RFC 5280 4.2.1.2).
pub fn subject_key_id(identifier: &[u8]) -> Extension {
    Extension::raw("2.5.29.14", asn1::octet_string(identifier))
}

/// Authority key identifier (RFC 5280 4.2.1.1) with a key identifier alone.
pub fn authority_key_id(identifier: &[u8]) -> Extension {
    authority_key_id_full(Some(identifier), None)
}

/// Authority key identifier with any of its parts: the key identifier, and issuer with serial
/// number.
pub fn authority_key_id_full(
    identifier: Option<&[u8]>,
    issuer_and_serial: Option<(&Name, &[u8])>,
) -> Extension {
    let identifier = identifier.map(|octets| asn1::primitive(0, octets));
    let issuer = issuer_and_serial.map(|(issuer, serial)| {
        let names = GeneralName::Directory(issuer.clone()).to_der();
        asn1::concatenated([asn1::constructed(1, &names), asn1::primitive(2, serial)])
    });
    let parts = [identifier.unwrap_or_default(), issuer.unwrap_or_default()];
    Extension::raw("2.5.29.35", asn1::sequence(parts))
}

/// Name constraints (RFC 5280 4.2.1.10), critical.
pub fn name_constraints(permitted: &[GeneralName], excluded: &[GeneralName]) -> Extension {
    let subtrees = |number: u32, names: &[GeneralName]| {
        let bases: Vec<_> = names
            .iter()
            .map(|name| asn1::sequence([name.to_der()]))
            .collect();
        if bases.is_empty() {
            Vec::new()
        } else {
            asn1::constructed(number, &asn1::concatenated(bases))
        }
    };
    let parts = [subtrees(0, permitted), subtrees(1, excluded)];
    Extension::raw("2.5.29.30", asn1::sequence(parts)).critical()
}

/// Certificate policies (RFC 5280 4.2.1.4) without qualifiers.
pub fn certificate_policies(policies: &[&str]) -> Extension {
    let policies = policies
        .iter()
        .map(|policy| asn1::sequence([asn1::oid(policy)]));
    Extension::raw("2.5.29.32", asn1::sequence(policies))
}

/// Policy mappings (RFC 5280 4.2.1.5), critical: policies of the issuer and their equals in the
/// subject's domain.
pub fn policy_mappings(mappings: &[(&str, &str)]) -> Extension {
    let mappings = mappings
        .iter()
        .map(|(issuer, subject)| asn1::sequence([asn1::oid(issuer), asn1::oid(subject)]));
    Extension::raw("2.5.29.33", asn1::sequence(mappings)).critical()
}

/// Policy constraints (RFC 5280 4.2.1.11), critical: after how many certificates a policy is
/// required and mapping is inhibited.
pub fn policy_constraints(
    require_explicit_policy: Option<u8>,
    inhibit_policy_mapping: Option<u8>,
) -> Extension {
    let skip = |number: u32, count: Option<u8>| {
        count
            .map(|count| asn1::primitive(number, &[count]))
            .unwrap_or_default()
    };
    let parts = [
        skip(0, require_explicit_policy),
        skip(1, inhibit_policy_mapping),
    ];
    Extension::raw("2.5.29.36", asn1::sequence(parts)).critical()
}

/// Inhibit any-policy (RFC 5280 4.2.1.14), critical.
pub fn inhibit_any_policy(skip: u64) -> Extension {
    Extension::raw("2.5.29.54", asn1::number(skip)).critical()
}

/// Authority information access (RFC 5280 4.2.2.1): where OCSP is answered and where the issuer's
/// certificate is.
pub fn authority_information_access(ocsp: &[&str], ca_issuers: &[&str]) -> Extension {
    let entry = |method: &str, url: &str| {
        asn1::sequence([asn1::oid(method), GeneralName::uri(url).to_der()])
    };
    let ocsp = ocsp.iter().map(|url| entry("1.3.6.1.5.5.7.48.1", url));
    let ca_issuers = ca_issuers
        .iter()
        .map(|url| entry("1.3.6.1.5.5.7.48.2", url));
    Extension::raw("1.3.6.1.5.5.7.1.1", asn1::sequence(ocsp.chain(ca_issuers)))
}

/// CRL distribution points (RFC 5280 4.2.1.13), one for each URL.
pub fn crl_distribution_points(urls: &[&str]) -> Extension {
    let points = urls
        .iter()
        .map(|url| asn1::sequence([asn1::constructed(0, &full_name(&[GeneralName::uri(url)]))]));
    Extension::raw("2.5.29.31", asn1::sequence(points))
}

/// CRL number (RFC 5280 5.2.3).
pub fn crl_number(number: u64) -> Extension {
    Extension::raw("2.5.29.20", asn1::number(number))
}

/// Delta CRL indicator (RFC 5280 5.2.4), critical.
pub fn delta_crl_indicator(base: u64) -> Extension {
    Extension::raw("2.5.29.27", asn1::number(base)).critical()
}

/// What an issuing distribution point may say (RFC 5280 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuingDistributionPoint {
    /// `distributionPoint`, as full names.
    pub names: Vec<GeneralName>,
    /// `onlyContainsUserCerts`.
    pub only_user: bool,
    /// `onlyContainsCACerts`.
    pub only_ca: bool,
    /// `onlySomeReasons`, as the content of a bit string: unused bits, then octets.
    pub only_some_reasons: Option<Vec<u8>>,
    /// `indirectCRL`.
    pub indirect: bool,
    /// `onlyContainsAttributeCerts`.
    pub only_attribute: bool,
}

/// Issuing distribution point (RFC 5280 5.2.5), critical.
pub fn issuing_distribution_point(point: &IssuingDistributionPoint) -> Extension {
    let flag = |number: u32, set: bool| {
        if set {
            asn1::primitive(number, &[0xff])
        } else {
            Vec::new()
        }
    };
    let names = if point.names.is_empty() {
        Vec::new()
    } else {
        asn1::constructed(0, &full_name(&point.names))
    };
    let reasons = point.only_some_reasons.as_ref();
    let parts = [
        names,
        flag(1, point.only_user),
        flag(2, point.only_ca),
        reasons
            .map(|bits| asn1::primitive(3, bits))
            .unwrap_or_default(),
        flag(4, point.indirect),
        flag(5, point.only_attribute),
    ];
    Extension::raw("2.5.29.28", asn1::sequence(parts)).critical()
}

/// Reason code of an entry (RFC 5280 5.3.1).
pub fn crl_reason(code: u8) -> Extension {
    let code = asn1::element(der::Tag::Enumerated, &[code]);
    Extension::raw("2.5.29.21", code)
}

/// Invalidity date of an entry (RFC 5280 5.3.2), a `GeneralizedTime` such as `20240601000000Z`.
pub fn invalidity_date(generalized_time: &str) -> Extension {
    let date = Moment::generalized_time(generalized_time);
    Extension::raw("2.5.29.24", date.to_der().to_vec())
}

/// Certificate issuer of an entry (RFC 5280 5.3.3), critical.
pub fn certificate_issuer(issuer: &Name) -> Extension {
    let issuer = GeneralName::Directory(issuer.clone()).to_der();
    Extension::raw("2.5.29.29", asn1::sequence([issuer])).critical()
}

/// The `fullName` of a distribution point.
fn full_name(names: &[GeneralName]) -> Vec<u8> {
    asn1::constructed(
        0,
        &asn1::concatenated(names.iter().map(GeneralName::to_der)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zero_bits_of_a_key_usage_are_left_out() {
        let usage = key_usage(&[KeyUsage::KeyCertSign, KeyUsage::CrlSign]);
        assert_eq!(usage.value, [0x03, 0x02, 0x01, 0x06]);
        let usage = key_usage(&[KeyUsage::DecipherOnly]);
        assert_eq!(usage.value, [0x03, 0x03, 0x07, 0x00, 0x80]);
    }

    #[test]
    fn criticality_is_written_only_when_it_should_be() {
        let extension = Extension::raw("2.5.29.14", vec![]);
        assert_eq!(extension.to_der(), [0x30, 7, 6, 3, 0x55, 0x1d, 14, 4, 0]);
        assert_eq!(
            extension.not_critical_spelled_out().to_der(),
            [0x30, 10, 6, 3, 0x55, 0x1d, 14, 1, 1, 0, 4, 0]
        );
    }
}
