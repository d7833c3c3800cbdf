//! A certificate (RFC 5280 4.1).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use der::asn1::{AnyRef, IntRef};
use der::{Decode, Reader, SliceReader, Tagged};

use super::algorithm::{self, KeyProblem, SignatureAlgorithm};
use super::der_read::{Context, Detail, decode, detail, exactly, inside, time};
use super::extensions::Extensions;
use super::general_name::GeneralName;
use super::name::DistinguishedName;
use super::signed::Signed;
use crate::crypto::PublicKey;
use crate::id::{Digest, hex};
use crate::time::Time;

/// A certificate that could be read. Nothing of it is believed yet.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Range<usize>,
    public_key_info: Range<usize>,
    signature: Vec<u8>,
    signature_algorithm: SignatureAlgorithm,
    inner_signature_algorithm: Option<SignatureAlgorithm>,
    version: u32,
    serial: Vec<u8>,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    not_before: Time,
    not_after: Time,
    public_key: Result<PublicKey, KeyProblem>,
    extensions: Extensions,
    /// Worked out when first asked for; the same every time.
    title: OnceLock<Arc<str>>,
    key_id: OnceLock<Arc<str>>,
}

impl Certificate {
    /// Reads one DER certificate that fills `der`.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, for the detail of a refusal.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let outer = Signed::read(der)?;
        let fields = Fields::parse(outer.content)?;
        let inner_signature_algorithm = if fields.signature_algorithm == outer.algorithm_der {
            None
        } else {
            let inner = AnyRef::from_der(fields.signature_algorithm).map_err(detail)?;
            Some(algorithm::signature_algorithm(inner)?)
        };
        Ok(Self {
            signed: range_of(der, outer.content),
            public_key_info: range_of(der, fields.public_key_info),
            signature: outer.signature.to_vec(),
            signature_algorithm: outer.algorithm,
            inner_signature_algorithm,
            version: fields.version,
            serial: fields.serial,
            issuer: DistinguishedName::parse(fields.issuer)?,
            subject: DistinguishedName::parse(fields.subject)?,
            not_before: fields.not_before,
            not_after: fields.not_after,
            public_key: algorithm::public_key(fields.public_key_info)?,
            extensions: fields.extensions,
            der: der.to_vec(),
            title: OnceLock::new(),
            key_id: OnceLock::new(),
        })
    }

    /// The whole DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The bytes that are signed.
    pub(crate) fn signed(&self) -> &[u8] {
        self.der.get(self.signed.clone()).unwrap_or_default()
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn public_key_info(&self) -> &[u8] {
        self.der
            .get(self.public_key_info.clone())
            .unwrap_or_default()
    }

    /// The signature over [`Certificate::signed`].
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The algorithm that signed it, as named outside of what is signed.
    pub fn signature_algorithm(&self) -> &SignatureAlgorithm {
        &self.signature_algorithm
    }

    /// The algorithm named inside of what is signed, where it is another one.
    pub(crate) fn differing_inner_algorithm(&self) -> Option<&SignatureAlgorithm> {
        self.inner_signature_algorithm.as_ref()
    }

    /// 1, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The serial number as its INTEGER is written, most significant byte first.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Who says it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// Whom it is about.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The first second in which it is valid.
    pub fn not_before(&self) -> Time {
        self.not_before
    }

    /// The last second in which it is valid.
    pub fn not_after(&self) -> Time {
        self.not_after
    }

    /// The key of the subject.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn public_key(&self) -> Result<&PublicKey, &KeyProblem> {
        self.public_key.as_ref()
    }

    /// Whether it has the unique identifiers of RFC 5280 4.1.2.8, which nobody uses. Rarely asked,
    /// so it is read again instead of kept.
    pub(crate) fn has_unique_ids(&self) -> bool {
        let fields = super::der_read::sequence(self.signed()).unwrap_or_default();
        fields
            .into_iter()
            .any(|field| matches!(Context::of(field), Context::Primitive(1 | 2)))
    }

    /// Its extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Its subject alternative names (RFC 5280 4.2.1.6).
    pub fn alternative_names(&self) -> &[GeneralName] {
        self.extensions
            .subject_alternative_names
            .as_ref()
            .map_or(&[], |names| &names.value)
    }

    /// The URIs among its alternative names.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.alternative_names()
            .iter()
            .filter_map(|name| match name {
                GeneralName::Uri(uri) => Some(uri.as_str()),
                _ => None,
            })
    }

    /// Whether its key usage lets it sign revocation lists (RFC 5280 4.2.1.3), as the CA that kubeadm
    /// makes may not.
    pub fn may_sign_lists(&self) -> bool {
        let usage = self.extensions.key_usage.as_ref();
        usage.is_none_or(|usage| usage.value.crl_sign())
    }

    /// Whether its basic constraints say that it is a CA.
    pub fn is_ca(&self) -> bool {
        self.extensions
            .basic_constraints
            .as_ref()
            .is_some_and(|basic| basic.value.is_ca)
    }

    /// The SHA-256 digest of the whole certificate.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Whether issuer and subject are the same name (RFC 5280 6.1, self-issued).
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// How its key is named: the subject key identifier, or the digest of the key where there is
    /// none.
    pub fn key_id(&self) -> Arc<str> {
        let named = || match &self.extensions.subject_key_id {
            Some(id) => hex(&id.value).into(),
            None => Digest::of(self.public_key_info()).short().into(),
        };
        Arc::clone(self.key_id.get_or_init(named))
    }

    /// How the key that signed it is named (RFC 5280 4.2.1.1), if it says so.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        let extension = self.extensions.authority_key_id.as_ref()?;
        extension.value.key_id.as_deref()
    }

    /// How a person knows it: its subject, or its first alternative name where that is empty.
    pub fn title(&self) -> Arc<str> {
        let named = || {
            let first_name = || {
                Some(
                    self.extensions
                        .subject_alternative_names
                        .as_ref()?
                        .value
                        .first()?
                        .to_string(),
                )
            };
            if self.subject.is_empty()
                && let Some(name) = first_name()
            {
                name.into()
            } else {
                self.subject.to_string().into()
            }
        };
        Arc::clone(self.title.get_or_init(named))
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

/// The fields of `TBSCertificate`, not yet judged.
struct Fields<'a> {
    version: u32,
    serial: Vec<u8>,
    signature_algorithm: &'a [u8],
    issuer: &'a [u8],
    not_before: Time,
    not_after: Time,
    subject: &'a [u8],
    public_key_info: &'a [u8],
    extensions: Extensions,
}

impl<'a> Fields<'a> {
    fn parse(signed: &'a [u8]) -> Result<Self, Detail> {
        let mut reader = SliceReader::new(inside(signed)?).map_err(detail)?;
        let mut next = AnyRef::decode(&mut reader).map_err(detail)?;
        let mut version = 1;
        if Context::of(next) == Context::Constructed(0) {
            let number: u8 = decode(AnyRef::from_der(next.value()).map_err(detail)?)?;
            version = u32::from(number) + 1;
            next = AnyRef::decode(&mut reader).map_err(detail)?;
        }
        let serial: IntRef<'_> = decode(next)?;
        let serial = serial.as_bytes().to_vec();
        let signature_algorithm = reader.tlv_bytes().map_err(detail)?;
        let issuer = reader.tlv_bytes().map_err(detail)?;
        let validity = inside(reader.tlv_bytes().map_err(detail)?)?;
        let Some([not_before, not_after]) = exactly(validity)? else {
            return Err("its validity is not two times".to_owned());
        };
        let (not_before, not_after) = (time(not_before)?, time(not_after)?);
        let subject = reader.tlv_bytes().map_err(detail)?;
        let public_key_info = reader.tlv_bytes().map_err(detail)?;
        let extensions = optional_fields(&mut reader)?;
        Ok(Self {
            version,
            serial,
            signature_algorithm,
            issuer,
            not_before,
            not_after,
            subject,
            public_key_info,
            extensions,
        })
    }
}

/// What may follow the public key: two unique identifiers, which nobody uses, and the extensions.
fn optional_fields(reader: &mut SliceReader<'_>) -> Result<Extensions, Detail> {
    let mut extensions = Extensions::default();
    let mut last = 0;
    while !reader.is_finished() {
        let field = AnyRef::decode(reader).map_err(detail)?;
        let number = match Context::of(field) {
            Context::Primitive(number @ (1 | 2)) | Context::Constructed(number @ 3)
                if number > last =>
            {
                number
            }
            _ => return Err(format!("{} stands after its public key", field.tag())),
        };
        if number == 3 {
            extensions = Extensions::parse(field.value())?;
        }
        last = number;
    }
    Ok(extensions)
}

/// Where `part` lies in `whole`, which it is a slice of.
pub(super) fn range_of(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
