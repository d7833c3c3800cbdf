//! The public area of a key (`TPMT_PUBLIC`, TPM 2.0 Library Part 2, 12.2.4).

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Encode, Sequence};
use tpm2_protocol::TpmUnmarshal;
use tpm2_protocol::data::{
    TpmAlgId, TpmEccCurve, TpmaObject, TpmsEccPoint, TpmtPublic, TpmtSymDefObject, TpmuPublicId,
    TpmuPublicParms, TpmuSymKeyBits, TpmuSymMode,
};

use super::LONGEST_STRUCTURE;
use crate::credential::x509::read_public_key;
use crate::crypto::PublicKey;
use crate::id::Digest;

/// The exponent where a public area says 0 (Part 2, 12.2.3.5).
const USUAL_EXPONENT: u32 = 65_537;

/// The bits of AES with which an endorsement key protects what is sent to it.
const AES_BITS: u16 = 128;

/// A key of a TPM, as the TPM describes it.
#[derive(Clone, Debug)]
pub struct PublicArea {
    key: PublicKey,
    info: Vec<u8>,
    name: [u8; 34],
    attributes: TpmaObject,
    protects: bool,
}

/// What a key of a TPM is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It tells one TPM from all others, and what is sent to it only this TPM can read.
    Endorsement,
    /// It signs what the TPM says, and nothing else.
    Attestation,
    /// It signs for whoever uses the TPM.
    Signing,
}

impl Role {
    /// How a person calls such a key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Endorsement => "endorsement key",
            Self::Attestation => "attestation key",
            Self::Signing => "key of the node",
        }
    }
}

impl PublicArea {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LONGEST_STRUCTURE {
            return Err(format!(
                "a public area of {} bytes is too long",
                bytes.len()
            ));
        }
        let (area, rest) =
            TpmtPublic::unmarshal(bytes).map_err(|_| "it is no public area".to_owned())?;
        if !rest.is_empty() {
            return Err("something follows the public area".to_owned());
        }
        if area.name_alg != TpmAlgId::Sha256 {
            return Err("its name is not made with SHA-256".to_owned());
        }
        let info =
            key_info(&area).ok_or("its key is neither RSA nor on the curve P-256 or P-384")?;
        let key = read_public_key(&info).map_err(|_| "its key is not accepted".to_owned())?;
        let mut name = [0; 34];
        // A name is the algorithm of its digest, and the digest (Part 1, 16).
        let (algorithm, digest) = name.split_at_mut(2);
        algorithm.copy_from_slice(&TpmAlgId::Sha256.value().to_be_bytes());
        digest.copy_from_slice(Digest::of(bytes).as_bytes());
        Ok(Self {
            key,
            info,
            name,
            attributes: area.object_attributes,
            protects: symmetric(&area.parameters).is_some_and(|one| is_aes(&one)),
        })
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key as a DER `SubjectPublicKeyInfo`.
    pub fn key_info(&self) -> &[u8] {
        &self.info
    }

    /// By what the TPM knows the key: a digest over all that the public area says.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Why the key is not fit for its role, as the end of a sentence; `None` if it is.
    pub fn unfit(&self, role: Role) -> Option<&'static str> {
        let has = |attribute| self.attributes.contains(attribute);
        if !has(TpmaObject::FIXED_TPM) || !has(TpmaObject::FIXED_PARENT) {
            return Some("may be taken out of the TPM");
        }
        if !has(TpmaObject::SENSITIVE_DATA_ORIGIN) {
            return Some("was not made by the TPM");
        }
        let is_restricted = has(TpmaObject::RESTRICTED);
        let (signs, decrypts) = (has(TpmaObject::SIGN_ENCRYPT), has(TpmaObject::DECRYPT));
        match role {
            Role::Endorsement if !is_restricted || !decrypts || signs || !self.protects => {
                Some("is not restricted to protecting what is sent to the TPM with AES of 128 bits")
            }
            Role::Attestation if !is_restricted || !signs || decrypts => {
                Some("is not restricted to signing what the TPM says itself")
            }
            Role::Signing if !signs => Some("does not sign"),
            Role::Endorsement | Role::Attestation | Role::Signing => None,
        }
    }
}

/// `AlgorithmIdentifier` (RFC 5280 4.1.1.2).
#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: AnyRef<'a>,
}

/// `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7).
#[derive(Sequence)]
struct KeyInfo<'a> {
    algorithm: Algorithm<'a>,
    key: BitStringRef<'a>,
}

/// `RSAPublicKey` (RFC 8017 A.1.1).
#[derive(Sequence)]
struct RsaKey<'a> {
    modulus: UintRef<'a>,
    exponent: u32,
}

/// The key as a DER `SubjectPublicKeyInfo`, if it is of a kind that TPMs of the profile have.
fn key_info(area: &TpmtPublic) -> Option<Vec<u8>> {
    match (&area.parameters, &area.unique) {
        (TpmuPublicParms::Rsa(parameters), TpmuPublicId::Rsa(modulus)) => {
            let exponent = match parameters.exponent.value() {
                0 => USUAL_EXPONENT,
                other => other,
            };
            let key = RsaKey {
                modulus: UintRef::new(modulus).ok()?,
                exponent,
            };
            let key = key.to_der().ok()?;
            info(rfc5912::RSA_ENCRYPTION, AnyRef::NULL, &key)
        }
        (TpmuPublicParms::Ecc(parameters), TpmuPublicId::Ecc(point)) => {
            let (curve, size) = match parameters.curve_id {
                TpmEccCurve::NistP256 => (rfc5912::SECP_256_R_1, 32),
                TpmEccCurve::NistP384 => (rfc5912::SECP_384_R_1, 48),
                _ => return None,
            };
            let point = uncompressed(point, size)?;
            info(rfc5912::ID_EC_PUBLIC_KEY, AnyRef::from(&curve), &point)
        }
        _ => None,
    }
}

fn info(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let info = KeyInfo {
        algorithm: Algorithm { oid, parameters },
        key: BitStringRef::from_bytes(key).ok()?,
    };
    info.to_der().ok()
}

/// A point as SEC 1 2.3.3 writes it. A TPM may leave out zeros in front of a coordinate.
fn uncompressed(point: &TpmsEccPoint, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![4];
    for coordinate in [&point.x, &point.y] {
        bytes.extend(padded(coordinate, size)?);
    }
    Some(bytes)
}

/// A number of fixed length, if it is no longer.
pub(super) fn padded(number: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size.checked_sub(number.len())?];
    bytes.extend_from_slice(number);
    Some(bytes)
}

fn symmetric(parameters: &TpmuPublicParms) -> Option<TpmtSymDefObject> {
    match parameters {
        TpmuPublicParms::Rsa(rsa) => Some(rsa.symmetric),
        TpmuPublicParms::Ecc(ecc) => Some(ecc.symmetric),
        TpmuPublicParms::KeyedHash(_) | TpmuPublicParms::SymCipher(_) | TpmuPublicParms::Null => {
            None
        }
    }
}

fn is_aes(symmetric: &TpmtSymDefObject) -> bool {
    matches!(symmetric.key_bits, TpmuSymKeyBits::Aes(bits) if bits.value() == AES_BITS)
        && symmetric.mode == TpmuSymMode::Aes(TpmAlgId::Cfb)
}
