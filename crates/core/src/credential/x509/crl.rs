//! A certificate revocation list (RFC 5280 5.1).

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::asn1::{AnyRef, IntRef, UintRef};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

use super::algorithm::{self, SignatureAlgorithm};
use super::certificate::range_of;
use super::der_read::{Context, Detail, decode_all, detail, expect, sequence, time};
use super::distribution_point::{IssuingDistributionPoint, issuing_distribution_point};
use super::extensions::{AuthorityKeyId, Critical, Extension, authority_key_id};
use super::name::DistinguishedName;
use super::signed::Signed;
use crate::crypto::{NotSigned, PublicKey, Verifier};
use crate::id::Digest;
use crate::time::Time;

/// A certificate revocation list that could be read. Nothing of it is believed yet.
#[derive(Clone)]
pub struct Crl {
    der: Vec<u8>,
    signed: Range<usize>,
    signature: Vec<u8>,
    signature_algorithm: SignatureAlgorithm,
    issuer: DistinguishedName,
    this_update: Time,
    next_update: Option<Time>,
    /// In the order of their serial numbers.
    entries: Vec<Entry>,
    extensions: CrlExtensions,
    names_a_serial_twice: bool,
    defect: Option<Defect>,
    /// The key under which the signature once held. It holds for that key forever, so remembering
    /// it changes no verdict, only the cost of hashing a long list again.
    signed_by: OnceLock<PublicKey>,
}

/// What makes a list unfit for use: the field and what is wrong with it. Kept instead of refusing
/// the list, so that it can be said whose list is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Defect {
    pub(crate) field: String,
    pub(crate) detail: Detail,
}

/// The extensions of a list that tell how to use it (RFC 5280 5.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct CrlExtensions {
    pub(crate) authority_key_id: Option<Critical<AuthorityKeyId>>,
    pub(crate) number: Option<Critical<CrlNumber>>,
    pub(crate) base_number: Option<Critical<CrlNumber>>,
    pub(crate) issuing_distribution_point: Option<Critical<IssuingDistributionPoint>>,
    /// The first critical extension, of the list or of an entry, that is not known here.
    pub(crate) unknown_critical: Option<ObjectIdentifier>,
    /// Whether an entry names the issuer of its certificate, so that the list is indirect.
    pub(crate) names_certificate_issuers: bool,
}

/// `CRLNumber` (RFC 5280 5.2.3): a number of up to 20 octets that grows with each list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrlNumber(Vec<u8>);

impl Ord for CrlNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        // Big-endian without leading zeros: the longer is the larger.
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for CrlNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A revoked certificate.
#[derive(Clone, Debug)]
struct Entry {
    serial: Range<u32>,
    revocation: Revocation,
}

/// When a certificate was revoked and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub(crate) at: Time,
    pub(crate) reason: RevocationReason,
}

/// `CRLReason` (RFC 5280 5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each has a sentence in `in_words`")]
pub enum RevocationReason {
    AaCompromise,
    AffiliationChanged,
    CaCompromise,
    CertificateHold,
    CessationOfOperation,
    KeyCompromise,
    PrivilegeWithdrawn,
    /// The certificate was on hold and is so no longer; only a delta list says so.
    RemoveFromCrl,
    Superseded,
    #[default]
    Unspecified,
}

impl RevocationReason {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => return None,
        })
    }

    /// Words that can end a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::AaCompromise => "the authority behind its attributes was compromised",
            Self::AffiliationChanged => "its holder changed affiliation",
            Self::CaCompromise => "the CA's own key was compromised",
            Self::CertificateHold => "it is on hold, which may be lifted",
            Self::CessationOfOperation => "its holder ceased to operate",
            Self::KeyCompromise => "its private key was compromised",
            Self::PrivilegeWithdrawn => "a privilege in it was withdrawn",
            Self::RemoveFromCrl => "the list says it is to be removed, which only a delta list may",
            Self::Superseded => "it was replaced",
            Self::Unspecified => "no reason was given",
        }
    }
}

impl Crl {
    /// Reads one DER list that fills `der`. What is wrong with a list whose shape can be read is kept,
    /// and refuses it where it would be used.
    ///
    /// # Errors
    ///
    /// Why its shape cannot be read, for the detail of a refusal.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let outer = Signed::read(der)?;
        let mut reading = Reading::default();
        let fields = Fields::parse(outer.content, &mut reading)?;
        if fields.signature_algorithm != outer.algorithm_der {
            reading.defect("signature", "names two different algorithms");
        }
        let mut entries = match fields.revoked {
            Some(revoked) => reading.entries(der, revoked)?,
            None => Vec::new(),
        };
        if let Some(extensions) = fields.extensions {
            reading.extensions(extensions)?;
        }
        let serial = |entry: &Entry| slice(der, &entry.serial);
        entries.sort_by(|one, other| serial(one).cmp(serial(other)));
        let names_a_serial_twice = entries
            .windows(2)
            .any(|pair| matches!(pair, [one, other] if serial(one) == serial(other)));
        Ok(Self {
            signed: range_of(der, outer.content),
            signature: outer.signature.to_vec(),
            signature_algorithm: outer.algorithm,
            issuer: DistinguishedName::parse(fields.issuer)?,
            this_update: fields.this_update,
            next_update: fields.next_update,
            entries,
            extensions: reading.extensions,
            names_a_serial_twice,
            defect: reading.defect,
            signed_by: OnceLock::new(),
            der: der.to_vec(),
        })
    }

    /// The whole DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 digest of the whole list.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Whose list it is.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> Time {
        self.this_update
    }

    /// The last second before the next list is due; a list without it is unfit for use.
    pub fn next_update(&self) -> Option<Time> {
        self.next_update
    }

    /// How many revoked certificates it names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it names no certificate.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it says anything of a serial number, written as [`Certificate::serial`] is; whose
    /// certificate that is and whether the list can be used, is not looked at.
    ///
    /// [`Certificate::serial`]: super::Certificate::serial
    pub fn names(&self, serial: &[u8]) -> bool {
        self.find(serial).is_some()
    }

    /// The algorithm that signed it.
    pub fn signature_algorithm(&self) -> &SignatureAlgorithm {
        &self.signature_algorithm
    }

    /// What it says of a serial number, written as [`Certificate::serial`] is. Where it names one
    /// twice, the entry that does not lift the revocation counts.
    ///
    /// [`Certificate::serial`]: super::Certificate::serial
    pub(crate) fn find(&self, serial: &[u8]) -> Option<Revocation> {
        let first = self
            .entries
            .partition_point(|entry| slice(&self.der, &entry.serial) < serial);
        self.entries
            .iter()
            .skip(first)
            .take_while(|entry| slice(&self.der, &entry.serial) == serial)
            .map(|entry| entry.revocation)
            .max_by_key(|revocation| revocation.reason != RevocationReason::RemoveFromCrl)
    }

    pub(crate) fn extensions(&self) -> &CrlExtensions {
        &self.extensions
    }

    pub(crate) fn defect(&self) -> Option<&Defect> {
        self.defect.as_ref()
    }

    pub(crate) fn names_a_serial_twice(&self) -> bool {
        self.names_a_serial_twice
    }

    /// How many bytes are signed.
    pub(crate) fn signed_length(&self) -> usize {
        self.signed.len()
    }

    /// Whether it was signed with the private half of `key`. Once that held it is remembered.
    pub(crate) fn verify(&self, key: &PublicKey, crypto: &dyn Verifier) -> Result<(), NotSigned> {
        if self.signed_by.get() == Some(key) {
            return Ok(());
        }
        let SignatureAlgorithm::Known(scheme) = self.signature_algorithm else {
            return Err(NotSigned);
        };
        let signed = self.der.get(self.signed.clone()).unwrap_or_default();
        crypto.verify(key, scheme, signed, &self.signature)?;
        // If another thread was first, it found the same: a signature holds for one key.
        let _ = self.signed_by.set(key.clone());
        Ok(())
    }
}

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Crl({}, {}, {} entries)",
            self.issuer,
            self.this_update,
            self.len()
        )
    }
}

fn slice<'a>(der: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    der.get(range.start as usize..range.end as usize)
        .unwrap_or_default()
}

/// The fields of `TBSCertList`, not yet judged.
struct Fields<'a> {
    signature_algorithm: &'a [u8],
    issuer: &'a [u8],
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<AnyRef<'a>>,
    extensions: Option<AnyRef<'a>>,
}

impl<'a> Fields<'a> {
    fn parse(signed: &'a [u8], reading: &mut Reading) -> Result<Self, Detail> {
        let content = expect(AnyRef::from_der(signed).map_err(detail)?, Tag::Sequence)?;
        let mut reader = SliceReader::new(content).map_err(detail)?;
        let mut is_version_2 = false;
        if reader.peek_byte() == Some(INTEGER) {
            let version: IntRef<'_> = reader.decode().map_err(detail)?;
            is_version_2 = version.as_bytes() == [1];
            if !is_version_2 {
                reading.defect("version", "is not 2");
            }
        }
        let signature_algorithm = reader.tlv_bytes().map_err(detail)?;
        let issuer = reader.tlv_bytes().map_err(detail)?;
        let this_update =
            reading.update("thisUpdate", AnyRef::decode(&mut reader).map_err(detail)?)?;
        let (mut next_update, mut revoked, mut extensions) = (None, None, None);
        while !reader.is_finished() {
            let field = AnyRef::decode(&mut reader).map_err(detail)?;
            match field.tag() {
                Tag::UtcTime | Tag::GeneralizedTime
                    if next_update.is_none() && revoked.is_none() && extensions.is_none() =>
                {
                    next_update = Some(reading.update("nextUpdate", field)?);
                }
                Tag::Sequence if revoked.is_none() && extensions.is_none() => revoked = Some(field),
                _ if Context::of(field) == Context::Constructed(0) && extensions.is_none() => {
                    extensions = Some(field);
                }
                tag => return Err(format!("{tag} stands after its issuer")),
            }
        }
        if next_update.is_none() {
            reading.defect("nextUpdate", "is missing");
        }
        if extensions.is_some() && !is_version_2 {
            reading.defect("version", "is not 2, as extensions require");
        }
        Ok(Self {
            signature_algorithm,
            issuer,
            this_update,
            next_update,
            revoked,
            extensions,
        })
    }
}

/// The identifier octet of an INTEGER.
const INTEGER: u8 = 0x02;

/// What has been found while reading a list.
#[derive(Default)]
struct Reading {
    extensions: CrlExtensions,
    defect: Option<Defect>,
}

impl Reading {
    fn defect(&mut self, field: &str, detail: impl Into<Detail>) {
        self.defect.get_or_insert_with(|| Defect {
            field: field.to_owned(),
            detail: detail.into(),
        });
    }

    /// RFC 5280 5.1.2.4: UTCTime through 2049.
    fn update(&mut self, field: &str, value: AnyRef<'_>) -> Result<Time, Detail> {
        let moment = time(value)?;
        if value.tag() == Tag::GeneralizedTime && value.value() < b"2050".as_slice() {
            self.defect(field, "is written as GeneralizedTime before 2050");
        }
        Ok(moment)
    }

    fn entries(&mut self, der: &[u8], revoked: AnyRef<'_>) -> Result<Vec<Entry>, Detail> {
        let mut reader = SliceReader::new(revoked.value()).map_err(detail)?;
        let mut entries = Vec::new();
        while !reader.is_finished() {
            let content = expect(AnyRef::decode(&mut reader).map_err(detail)?, Tag::Sequence)?;
            let mut fields = SliceReader::new(content).map_err(detail)?;
            let serial: IntRef<'_> = fields.decode().map_err(detail)?;
            let range = range_of(der, serial.as_bytes());
            let (Ok(start), Ok(end)) = (u32::try_from(range.start), u32::try_from(range.end))
            else {
                return Err("it is longer than 4 GiB".to_owned());
            };
            let at = time(AnyRef::decode(&mut fields).map_err(detail)?)?;
            let mut reason = RevocationReason::Unspecified;
            if !fields.is_finished() {
                let extensions = AnyRef::decode(&mut fields).map_err(detail)?;
                reason = self.entry_extensions(extensions)?;
            }
            fields.finish().map_err(detail)?;
            entries.push(Entry {
                serial: start..end,
                revocation: Revocation { at, reason },
            });
        }
        Ok(entries)
    }

    /// The extensions of one entry (RFC 5280 5.3).
    fn entry_extensions(&mut self, list: AnyRef<'_>) -> Result<RevocationReason, Detail> {
        let mut reason = RevocationReason::Unspecified;
        let mut reader = SliceReader::new(expect(list, Tag::Sequence)?).map_err(detail)?;
        while !reader.is_finished() {
            let extension = Extension::parse(AnyRef::decode(&mut reader).map_err(detail)?)?;
            match extension.oid {
                rfc5280::ID_CE_CRL_REASONS => match crl_reason(extension.content) {
                    Ok(known) => reason = known,
                    Err(detail) => self.defect("reasonCode", detail),
                },
                rfc5280::ID_CE_CERTIFICATE_ISSUER => {
                    self.extensions.names_certificate_issuers = true;
                }
                rfc5280::ID_CE_INVALIDITY_DATE => {}
                unknown if extension.critical => {
                    self.extensions.unknown_critical.get_or_insert(unknown);
                }
                _ => {}
            }
        }
        Ok(reason)
    }

    /// The extensions of the list, given under their explicit tag (RFC 5280 5.2).
    fn extensions(&mut self, field: AnyRef<'_>) -> Result<(), Detail> {
        let mut seen = BTreeSet::new();
        for value in sequence(field.value())? {
            let extension = Extension::parse(value)?;
            let name = algorithm::oid_name(&extension.oid);
            if !seen.insert(extension.oid) {
                self.defect(&name, "is there twice");
                continue;
            }
            if let Err(detail) = self.extension(&extension) {
                self.defect(&name, format!("cannot be read: {detail}"));
            }
        }
        Ok(())
    }

    fn extension(&mut self, extension: &Extension<'_>) -> Result<(), Detail> {
        let critical = extension.critical;
        let known = &mut self.extensions;
        match extension.oid {
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                let value = authority_key_id(extension.content)?;
                known.authority_key_id = Some(Critical { critical, value });
            }
            rfc5280::ID_CE_CRL_NUMBER => {
                let value = crl_number(extension.content)?;
                known.number = Some(Critical { critical, value });
            }
            rfc5280::ID_CE_DELTA_CRL_INDICATOR => {
                let value = crl_number(extension.content)?;
                known.base_number = Some(Critical { critical, value });
            }
            rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT => {
                let value = issuing_distribution_point(extension.content)?;
                known.issuing_distribution_point = Some(Critical { critical, value });
            }
            unknown if critical => {
                known.unknown_critical.get_or_insert(unknown);
            }
            _ => {}
        }
        Ok(())
    }
}

fn crl_reason(content: &[u8]) -> Result<RevocationReason, Detail> {
    let code = expect(AnyRef::from_der(content).map_err(detail)?, Tag::Enumerated)?;
    match code {
        [code] => RevocationReason::from_code(*code)
            .ok_or_else(|| format!("names the reason {code}, which is not known")),
        _ => Err("is not one number".to_owned()),
    }
}

fn crl_number(content: &[u8]) -> Result<CrlNumber, Detail> {
    let number: UintRef<'_> = decode_all(content)?;
    let bytes = number.as_bytes();
    if bytes.len() > 20 {
        return Err("it is longer than 20 octets".to_owned());
    }
    Ok(CrlNumber(bytes.to_vec()))
}
