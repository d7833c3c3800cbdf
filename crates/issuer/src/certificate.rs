//! Certificates as DER (RFC 5280 4.1): what is to be signed, and what was.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use avouch_core::crypto::fixed_to_der;
use avouch_core::id::{TrustDomain, hex};
use avouch_core::time::Time;
use der::DateTime;
use der::asn1::{
    Any, AnyRef, BitStringRef, Ia5String, OctetString, SetOfVec, Uint, UintRef, UtcTime,
};
use der::asn1::{GeneralizedTime, ObjectIdentifier};
use der::flagset::FlagSet;
use der::oid::AssociatedOid;
use der::{Decode, Encode, Sequence};
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CrlDistributionPoints, CrlNumber, CrlReason, ExtendedKeyUsage, KeyUsage, KeyUsages,
    NameConstraints, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::Validity;

use crate::cluster::{ComponentRequest, Usage, octets};
use crate::fault::Fault;
use crate::key::PublicHalf;
use crate::revocation_list::Revoked;
use crate::signer::{Signature, SigningKind};

const ECDSA_WITH_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// `sha256WithRSAEncryption` (RFC 4055 5).
const SHA_256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// `anyExtendedKeyUsage` (RFC 5280 4.2.1.12).
pub(crate) const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
pub(crate) const EMAIL_PROTECTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4");
pub(crate) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
pub(crate) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// `id-ad-ocsp` (RFC 5280 4.2.2.1).
const AD_OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");

/// The longest common name (RFC 5280 A.1, `ub-common-name`).
const COMMON_NAME_MAX: usize = 64;

/// What a certificate will say.
pub(crate) struct Content<'a> {
    pub(crate) serial: &'a [u8],
    /// How its issuer signs.
    pub(crate) signed_with: SigningKind,
    /// A DER `Name`.
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Time,
    pub(crate) not_after: Time,
    /// A DER `Name`.
    pub(crate) subject: &'a [u8],
    pub(crate) public_half: &'a PublicHalf,
    pub(crate) extensions: Vec<Extension>,
}

/// `TBSCertificate` (RFC 5280 4.1) of version 3.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    #[asn1(context_specific = "0")]
    version: u8,
    serial: UintRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "3")]
    extensions: Vec<Extension>,
}

/// What a revocation list will say.
pub(crate) struct ListContent<'a> {
    /// How its issuer signs.
    pub(crate) signed_with: SigningKind,
    /// A DER `Name`.
    pub(crate) issuer: &'a [u8],
    pub(crate) this_update: Time,
    pub(crate) next_update: Time,
    pub(crate) entries: Vec<ListEntry>,
    pub(crate) number: u64,
    /// The key identifier of the issuer.
    pub(crate) issuer_key: &'a [u8],
}

/// A certificate that a revocation list names.
pub(crate) struct ListEntry {
    serial: Vec<u8>,
    at: Time,
    reason: u8,
}

impl ListEntry {
    /// `None` if its serial number is not in hexadecimal.
    pub(crate) fn of(revoked: &Revoked) -> Option<Self> {
        Some(Self {
            serial: from_hex(&revoked.serial)?,
            at: revoked.at,
            reason: revoked.reason,
        })
    }

    pub(crate) fn serial(&self) -> &[u8] {
        &self.serial
    }
}

/// `TBSCertList` (RFC 5280 5.1) of version 2.
#[derive(Sequence)]
struct ListToBeSigned<'a> {
    version: u8,
    algorithm: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    this_update: x509_cert::time::Time,
    next_update: x509_cert::time::Time,
    /// Absent where there are none (RFC 5280 5.1.2.6).
    revoked: Option<Vec<RevokedCertificate<'a>>>,
    #[asn1(context_specific = "0")]
    extensions: Vec<Extension>,
}

/// An element of `revokedCertificates` (RFC 5280 5.1).
#[derive(Sequence)]
struct RevokedCertificate<'a> {
    serial: UintRef<'a>,
    at: x509_cert::time::Time,
    extensions: Option<Vec<Extension>>,
}

impl ListContent<'_> {
    /// The bytes to be signed.
    pub(crate) fn to_der(&self) -> Result<Vec<u8>, Fault> {
        self.encode()
            .map_err(|_| Fault::Bug("the content of a revocation list cannot be written"))
    }

    fn encode(&self) -> der::Result<Vec<u8>> {
        let revoked = self.entries.iter().map(|entry| {
            Ok(RevokedCertificate {
                serial: UintRef::new(&entry.serial)?,
                at: moment(entry.at)?,
                extensions: reason_extension(entry.reason)?,
            })
        });
        let revoked = revoked.collect::<der::Result<Vec<_>>>()?;
        let number = CrlNumber(Uint::new(&self.number.to_be_bytes())?);
        ListToBeSigned {
            version: 1,
            algorithm: algorithm(self.signed_with),
            issuer: AnyRef::from_der(self.issuer)?,
            this_update: moment(self.this_update)?,
            next_update: moment(self.next_update)?,
            revoked: (!revoked.is_empty()).then_some(revoked),
            extensions: vec![
                authority_key_id(self.issuer_key)?,
                extension(false, &number)?,
            ],
        }
        .to_der()
    }
}

/// RFC 5280 5.3.1: no reason is said by leaving it away.
fn reason_extension(reason: u8) -> der::Result<Option<Vec<Extension>>> {
    const ENUMERATED: u8 = 0x0a;
    if reason == 0 {
        return Ok(None);
    }
    Ok(Some(vec![Extension {
        extn_id: CrlReason::OID,
        critical: false,
        extn_value: OctetString::new([ENUMERATED, 1, reason])?,
    }]))
}

/// `Certificate` (RFC 5280 4.1), and what has the same shape: `CertificateList` (RFC 5280 5.1) and
/// `BasicOCSPResponse` (RFC 6960 4.2.1).
#[derive(Sequence)]
struct Signed<'a> {
    to_be_signed: AnyRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

impl Content<'_> {
    /// The bytes to be signed.
    pub(crate) fn into_der(self) -> Result<Vec<u8>, Fault> {
        self.encode()
            .map_err(|_| Fault::Bug("the content of a certificate cannot be written"))
    }

    fn encode(self) -> der::Result<Vec<u8>> {
        ToBeSigned {
            version: 2,
            serial: UintRef::new(self.serial)?,
            algorithm: algorithm(self.signed_with),
            issuer: AnyRef::from_der(self.issuer)?,
            validity: Validity::new(moment(self.not_before)?, moment(self.not_after)?),
            subject: AnyRef::from_der(self.subject)?,
            public_key: AnyRef::from_der(self.public_half.info())?,
            extensions: self.extensions,
        }
        .to_der()
    }
}

/// The whole certificate or revocation list, from the bytes that were signed.
pub(crate) fn assemble(
    to_be_signed: &[u8],
    kind: SigningKind,
    signature: &Signature,
) -> Result<Vec<u8>, Fault> {
    let signature = signature_bytes(kind, signature)?;
    let encode = || {
        Signed {
            to_be_signed: AnyRef::from_der(to_be_signed)?,
            algorithm: algorithm(kind),
            signature: BitStringRef::from_bytes(&signature)?,
        }
        .to_der()
    };
    encode().map_err(|_| Fault::Bug("a certificate cannot be written"))
}

/// A signature as certificates carry it: two numbers in DER for ECDSA, the bytes for the others.
pub(crate) fn signature_bytes(kind: SigningKind, signature: &Signature) -> Result<Vec<u8>, Fault> {
    let bytes = signature.as_bytes();
    match kind {
        SigningKind::Ed25519 | SigningKind::Rsa => Ok(bytes.to_vec()),
        SigningKind::P256 => fixed_to_der(bytes).ok_or(Fault::Bug("a signature cannot be written")),
    }
}

/// RFC 5758 3.2, RFC 8410 3: without parameters. RFC 4055 5: RSA with NULL.
fn algorithm(kind: SigningKind) -> AlgorithmIdentifierRef<'static> {
    let (oid, parameters) = match kind {
        SigningKind::Ed25519 => (ED25519, None),
        SigningKind::P256 => (ECDSA_WITH_SHA_256, None),
        SigningKind::Rsa => (SHA_256_WITH_RSA, Some(AnyRef::NULL)),
    };
    AlgorithmIdentifierRef { oid, parameters }
}

/// RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
fn moment(time: Time) -> der::Result<x509_cert::time::Time> {
    let seconds = u64::try_from(time.unix()).map_err(|_| der::ErrorKind::DateTime)?;
    let moment = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    Ok(match UtcTime::from_date_time(moment) {
        Ok(moment) => moment.into(),
        Err(_) => GeneralizedTime::from_date_time(moment).into(),
    })
}

/// The subject of an authority: what it is, and its key identifier, so that no two authorities
/// have one name.
pub(crate) fn authority_name(
    trust_domain: &TrustDomain,
    role: &str,
    key: &PublicHalf,
) -> Result<Vec<u8>, Fault> {
    let mut common_name = format!("{trust_domain} {role}");
    if common_name.len() > COMMON_NAME_MAX {
        role.clone_into(&mut common_name);
    }
    let identifier = hex(&key.identifier());
    // Nothing in a trust domain or in hexadecimal digits means anything in RFC 4514.
    let encode =
        || Name::from_str(&format!("serialNumber={identifier},CN={common_name}"))?.to_der();
    encode().map_err(|_: der::Error| Fault::Bug("the name of an authority cannot be written"))
}

/// A `Name` without any part.
pub(crate) const NO_NAME: &[u8] = &[0x30, 0];

/// What a signing certificate says in its extensions (X.509-SVID 4, RFC 5280 4.2.1).
pub(crate) struct AuthorityContent<'a> {
    /// Its SPIFFE ID.
    pub(crate) trust_domain: &'a TrustDomain,
    /// How many further signing certificates may be below it.
    pub(crate) further: u8,
    /// Whether it may vouch for URIs of the trust domain only.
    pub(crate) constrain_uris: bool,
    /// The DNS subtrees that it may vouch for; all if empty.
    pub(crate) permit_dns: &'a [String],
    /// What certificates below it may be for; anything if empty.
    pub(crate) purposes: &'a [ObjectIdentifier],
    pub(crate) key: &'a PublicHalf,
    /// The key identifier of the issuer; `None` for a root.
    pub(crate) issuer: Option<&'a [u8]>,
}

impl AuthorityContent<'_> {
    pub(crate) fn extensions(&self) -> Result<Vec<Extension>, Fault> {
        authority_extensions(self)
    }
}

/// What a certification request will say (RFC 2986 4.1).
pub(crate) struct RequestContent<'a> {
    /// A DER `Name`.
    pub(crate) subject: &'a [u8],
    pub(crate) public_half: &'a PublicHalf,
    /// Those that the certificate is to have.
    pub(crate) extensions: Vec<Extension>,
}

/// `CertificationRequestInfo` (RFC 2986 4.1) of version 1.
#[derive(Sequence)]
struct RequestToBeSigned<'a> {
    version: u8,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    attributes: SetOfVec<Attribute>,
}

/// `extensionRequest` (RFC 2985 5.4.2).
pub(crate) const EXTENSION_REQUEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

impl RequestContent<'_> {
    /// The bytes to be signed.
    pub(crate) fn to_der(&self) -> Result<Vec<u8>, Fault> {
        let encode = || {
            let wanted = Attribute {
                oid: EXTENSION_REQUEST,
                values: SetOfVec::try_from(vec![Any::encode_from(&self.extensions)?])?,
            };
            RequestToBeSigned {
                version: 0,
                subject: AnyRef::from_der(self.subject)?,
                public_key: AnyRef::from_der(self.public_half.info())?,
                attributes: SetOfVec::try_from(vec![wanted])?,
            }
            .to_der()
        };
        encode().map_err(|_: der::Error| Fault::Bug("a certification request cannot be written"))
    }
}

/// The extensions of a signing certificate.
pub(crate) fn authority_extensions(
    content: &AuthorityContent<'_>,
) -> Result<Vec<Extension>, Fault> {
    let encode = || {
        let id = uri(&format!("spiffe://{}", content.trust_domain))?;
        let basic = BasicConstraints {
            ca: true,
            path_len_constraint: Some(content.further),
        };
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        let mut extensions = vec![
            extension(true, &basic)?,
            extension(true, &usage)?,
            extension(false, &SubjectAltName(vec![id]))?,
            subject_key_id(content.key)?,
        ];
        if let Some(issuer) = content.issuer {
            extensions.push(authority_key_id(issuer)?);
        }
        if !content.purposes.is_empty() {
            let purposes = ExtendedKeyUsage(content.purposes.to_vec());
            extensions.push(extension(false, &purposes)?);
        }
        let mut permitted = Vec::new();
        if content.constrain_uris {
            permitted.push(subtree(uri(content.trust_domain.as_str())?));
        }
        for name in content.permit_dns {
            permitted.push(subtree(GeneralName::DnsName(Ia5String::new(name)?)));
        }
        if !permitted.is_empty() {
            let constraints = NameConstraints {
                permitted_subtrees: Some(permitted),
                excluded_subtrees: None,
            };
            extensions.push(extension(true, &constraints)?);
        }
        Ok(extensions)
    };
    encode().map_err(|_: der::Error| Fault::Bug("the extensions of an authority cannot be written"))
}

fn subtree(base: GeneralName) -> GeneralSubtree {
    GeneralSubtree {
        base,
        minimum: 0,
        maximum: None,
    }
}

/// The extensions that every leaf of an authority has in common (X.509-SVID 4): no CA, signs what
/// it says. An SVID says that it is for both ends of a connection, or does not say what it is for
/// (X.509-SVID 4.4): where `purposes` are others, those of the authority alone bound it.
pub(crate) fn leaf_extensions(
    issuer_key: &[u8],
    purposes: &[ObjectIdentifier],
) -> Result<Vec<Extension>, Fault> {
    let encode = || {
        let basic = BasicConstraints {
            ca: false,
            path_len_constraint: None,
        };
        let usage = KeyUsage(FlagSet::from(KeyUsages::DigitalSignature));
        let mut extensions = vec![extension(true, &basic)?, extension(true, &usage)?];
        if purposes == [SERVER_AUTH, CLIENT_AUTH] {
            extensions.push(extension(false, &ExtendedKeyUsage(purposes.to_vec()))?);
        }
        extensions.push(authority_key_id(issuer_key)?);
        Ok(extensions)
    };
    encode().map_err(|_: der::Error| Fault::Bug("the extensions of a leaf cannot be written"))
}

/// The extensions that make a leaf the leaf of someone: its key, and its names, which are critical
/// because its subject is empty (X.509-SVID 2, RFC 5280 4.2.1.6).
pub(crate) fn leaf_names(
    id: &str,
    dns_names: &[String],
    key: &PublicHalf,
) -> Result<[Extension; 2], Fault> {
    let encode = || {
        let mut names = vec![uri(id)?];
        for name in dns_names {
            names.push(GeneralName::DnsName(Ia5String::new(name)?));
        }
        Ok([
            subject_key_id(key)?,
            extension(true, &SubjectAltName(names))?,
        ])
    };
    encode().map_err(|_: der::Error| Fault::Bug("the names of a leaf cannot be written"))
}

/// The extensions of the certificate of a component of a cluster: what Kubernetes lets it say.
pub(crate) fn component_extensions(
    issuer_key: &[u8],
    request: &ComponentRequest,
    usages: &BTreeSet<Usage>,
) -> Result<Vec<Extension>, Fault> {
    let encode = || {
        let basic = BasicConstraints {
            ca: false,
            path_len_constraint: None,
        };
        let mut extensions = vec![extension(true, &basic)?];
        let mut bits: FlagSet<KeyUsages> = FlagSet::default();
        let mut purposes = Vec::new();
        for usage in usages {
            match usage {
                Usage::DigitalSignature => bits |= KeyUsages::DigitalSignature,
                Usage::KeyEncipherment => bits |= KeyUsages::KeyEncipherment,
                Usage::ClientAuth => purposes.push(CLIENT_AUTH),
                Usage::ServerAuth => purposes.push(SERVER_AUTH),
            }
        }
        if !bits.is_empty() {
            extensions.push(extension(true, &KeyUsage(bits))?);
        }
        extensions.push(extension(false, &ExtendedKeyUsage(purposes))?);
        extensions.push(authority_key_id(issuer_key)?);
        extensions.push(subject_key_id(request.public_half())?);
        let mut names = Vec::new();
        for name in request.dns_names() {
            names.push(GeneralName::DnsName(Ia5String::new(name)?));
        }
        for name in request.emails() {
            names.push(GeneralName::Rfc822Name(Ia5String::new(name)?));
        }
        for ip in request.ips() {
            names.push(GeneralName::IpAddress(OctetString::new(octets(*ip))?));
        }
        if !names.is_empty() {
            extensions.push(extension(false, &SubjectAltName(names))?);
        }
        Ok(extensions)
    };
    encode().map_err(|_: der::Error| Fault::Bug("the extensions of a component cannot be written"))
}

/// Where the revocation list of the issuer is (RFC 5280 4.2.1.13).
pub(crate) fn distribution_point(url: &str) -> Result<Extension, Fault> {
    let encode = || {
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri(url)?])),
            reasons: None,
            crl_issuer: None,
        };
        extension(false, &CrlDistributionPoints(vec![point]))
    };
    encode().map_err(|_: der::Error| Fault::Bug("the address of a list cannot be written"))
}

/// Where to ask about the certificate (RFC 5280 4.2.2.1, RFC 6960 3.1).
pub(crate) fn status_responder(url: &str) -> Result<Extension, Fault> {
    let encode = || {
        let access = AccessDescription {
            access_method: AD_OCSP,
            access_location: uri(url)?,
        };
        extension(false, &AuthorityInfoAccessSyntax(vec![access]))
    };
    encode().map_err(|_: der::Error| Fault::Bug("the address of a responder cannot be written"))
}

fn uri(text: &str) -> der::Result<GeneralName> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(
        text,
    )?))
}

fn subject_key_id(key: &PublicHalf) -> der::Result<Extension> {
    let identifier = OctetString::new(key.identifier())?;
    extension(false, &SubjectKeyIdentifier(identifier))
}

/// RFC 5280 4.2.1.1: the identifier is that of the issuer's own certificate, which whoever made that
/// has chosen.
fn authority_key_id(issuer_key: &[u8]) -> der::Result<Extension> {
    let identifier = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer_key)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    extension(false, &identifier)
}

fn extension<T: AssociatedOid + Encode>(critical: bool, value: &T) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

/// Reads hexadecimal of whole bytes.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|one| one.to_digit(16)).collect();
    let pairs = digits?;
    if pairs.is_empty() || pairs.len() % 2 != 0 {
        return None;
    }
    let bytes = pairs.chunks_exact(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_from_2050_is_written_with_four_digits_of_the_year() {
        let text = |time: &str| {
            let moment = moment(Time::parse(time).unwrap())
                .unwrap()
                .to_der()
                .unwrap();
            String::from_utf8(moment[2..].to_vec()).unwrap()
        };
        assert_eq!(text("2049-12-31T23:59:59Z"), "491231235959Z");
        assert_eq!(text("2050-01-01T00:00:00Z"), "20500101000000Z");
    }

    #[test]
    fn the_numbers_of_an_ecdsa_signature_are_written_minimally() {
        let mut bytes = [0; 64];
        bytes[31] = 0x80;
        bytes[63] = 1;
        let der = signature_bytes(SigningKind::P256, &Signature::new(bytes)).unwrap();
        assert_eq!(der, [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
    }
}
