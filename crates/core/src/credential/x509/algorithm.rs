//! Which key a certificate carries and which algorithm signed it.

use const_oid::ObjectIdentifier;
use const_oid::db::{fips204, rfc5912, rfc8410};
use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Sequence, Tag};

use super::der_read::{
    Context, Detail, decode, decode_all, detail, each, elements, exactly, expect, inside,
};
use crate::credential::weak_rsa;
use crate::crypto::{Hash, KeyKind, PublicKey, Scheme};

/// Why the key of a certificate cannot be used. The certificate itself can still be read: a path
/// that does not need the key is not refused for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// A kind that is never accepted, by its name or OID.
    Forbidden(String),
    /// Not a key of the kind it says.
    Malformed(String),
    /// An RSA modulus of so many bits, which is too few or too many.
    Size(u32),
}

/// The algorithm that signed a certificate or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// One that is accepted.
    Known(Scheme),
    /// One that is not, by its name or OID.
    Forbidden(String),
}

impl SignatureAlgorithm {
    /// The name a person knows it by.
    pub fn name(&self) -> String {
        match self {
            Self::Known(scheme) => scheme.name(),
            Self::Forbidden(name) => name.clone(),
        }
    }
}

/// `AlgorithmIdentifier` (RFC 5280 4.1.1.2), the type and the parameters apart.
pub(super) fn algorithm_identifier<'a>(
    value: AnyRef<'a>,
) -> Result<(ObjectIdentifier, Option<AnyRef<'a>>), Detail> {
    let mut parts = each(expect(value, Tag::Sequence)?)?;
    match (parts.next(), parts.next(), parts.next()) {
        (Some(oid), parameters, None) => Ok((decode(oid?)?, parameters.transpose()?)),
        _ => Err("an algorithm identifier is not a type with parameters".to_owned()),
    }
}

/// Which scheme an algorithm identifier names (RFC 5912, RFC 4055, RFC 8410, RFC 9881).
pub(super) fn signature_algorithm(value: AnyRef<'_>) -> Result<SignatureAlgorithm, Detail> {
    let (oid, parameters) = algorithm_identifier(value)?;
    let scheme = match oid {
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => Scheme::RsaPkcs1(Hash::Sha256),
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => Scheme::RsaPkcs1(Hash::Sha384),
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => Scheme::RsaPkcs1(Hash::Sha512),
        rfc5912::ECDSA_WITH_SHA_256 => Scheme::EcdsaDer(Hash::Sha256),
        rfc5912::ECDSA_WITH_SHA_384 => Scheme::EcdsaDer(Hash::Sha384),
        rfc5912::ECDSA_WITH_SHA_512 => Scheme::EcdsaDer(Hash::Sha512),
        rfc8410::ID_ED_25519 => Scheme::Ed25519,
        fips204::ID_ML_DSA_44 | fips204::ID_ML_DSA_65 | fips204::ID_ML_DSA_87 => Scheme::MlDsa,
        rfc5912::ID_RSASSA_PSS => return Ok(pss(parameters)),
        other => return Ok(SignatureAlgorithm::Forbidden(oid_name(&other))),
    };
    let absent_or_null = match scheme {
        Scheme::RsaPkcs1(_) => parameters.is_none_or(AnyRef::is_null),
        // RFC 5758 3.2, RFC 8410 3, RFC 9881 2: the parameters must be absent.
        Scheme::EcdsaDer(_) | Scheme::Ed25519 | Scheme::MlDsa => parameters.is_none(),
        Scheme::EcdsaFixed(_) | Scheme::RsaPss(_) => false,
    };
    if !absent_or_null {
        return Ok(SignatureAlgorithm::Forbidden(format!(
            "{} with parameters",
            scheme.name()
        )));
    }
    Ok(SignatureAlgorithm::Known(scheme))
}

/// RSASSA-PSS with the parameters of RFC 4055 3.1: only one hash for both uses, and a salt as long
/// as the hash, are accepted.
fn pss(parameters: Option<AnyRef<'_>>) -> SignatureAlgorithm {
    match parameters.map(pss_hash) {
        Some(Ok(Some(hash))) => SignatureAlgorithm::Known(Scheme::RsaPss(hash)),
        Some(_) => SignatureAlgorithm::Forbidden("RSASSA-PSS with unusual parameters".to_owned()),
        None => SignatureAlgorithm::Forbidden("RSASSA-PSS with SHA-1".to_owned()),
    }
}

fn pss_hash(parameters: AnyRef<'_>) -> Result<Option<Hash>, Detail> {
    let (mut hash, mut mask_hash, mut salt) = (None, None, 20_u32);
    for field in elements(expect(parameters, Tag::Sequence)?)? {
        let inner = AnyRef::from_der(field.value()).map_err(detail)?;
        match Context::of(field) {
            Context::Constructed(0) => hash = hash_of(algorithm_identifier(inner)?.0),
            Context::Constructed(1) => {
                let (oid, mask_parameters) = algorithm_identifier(inner)?;
                if oid == rfc5912::ID_MGF_1
                    && let Some(mask_parameters) = mask_parameters
                {
                    mask_hash = hash_of(algorithm_identifier(mask_parameters)?.0);
                }
            }
            Context::Constructed(2) => salt = decode(inner)?,
            Context::Constructed(3) => {
                if decode::<u32>(inner)? != 1 {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
    }
    let length = match hash {
        Some(Hash::Sha256) => 32,
        Some(Hash::Sha384) => 48,
        Some(Hash::Sha512) => 64,
        None => return Ok(None),
    };
    Ok(hash.filter(|_| hash == mask_hash && salt == length))
}

fn hash_of(oid: ObjectIdentifier) -> Option<Hash> {
    match oid {
        rfc5912::ID_SHA_256 => Some(Hash::Sha256),
        rfc5912::ID_SHA_384 => Some(Hash::Sha384),
        rfc5912::ID_SHA_512 => Some(Hash::Sha512),
        _ => None,
    }
}

/// The key of a `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7), given whole. Refused only when it has
/// not even the shape of one.
pub(super) fn public_key(spki: &[u8]) -> Result<Result<PublicKey, KeyProblem>, Detail> {
    let Some([algorithm, key]) = exactly(inside(spki)?)? else {
        return Err("a public key is not an algorithm and a bit string".to_owned());
    };
    let (oid, parameters) = algorithm_identifier(algorithm)?;
    let bits: BitStringRef<'_> = decode(key)?;
    let bytes = bits
        .as_bytes()
        .ok_or_else(|| "a public key is not whole bytes".to_owned())?;
    Ok(match oid {
        rfc5912::ID_EC_PUBLIC_KEY => elliptic_curve_key(parameters, bytes),
        rfc5912::RSA_ENCRYPTION | rfc5912::ID_RSASSA_PSS => rsa_key(bytes),
        rfc8410::ID_ED_25519 => raw_key(KeyKind::Ed25519, bytes, 32),
        fips204::ID_ML_DSA_44 => raw_key(KeyKind::MlDsa44, bytes, 1312),
        fips204::ID_ML_DSA_65 => raw_key(KeyKind::MlDsa65, bytes, 1952),
        fips204::ID_ML_DSA_87 => raw_key(KeyKind::MlDsa87, bytes, 2592),
        other => Err(KeyProblem::Forbidden(oid_name(&other))),
    })
}

/// RFC 5480 2.1.1: the curve is named, and the point is uncompressed (CA/B BR 7.1.3.1.2).
fn elliptic_curve_key(
    parameters: Option<AnyRef<'_>>,
    point: &[u8],
) -> Result<PublicKey, KeyProblem> {
    let malformed = |detail: &str| Err(KeyProblem::Malformed(detail.to_owned()));
    let Some(Ok(curve)) = parameters.map(|value| value.decode_as::<ObjectIdentifier>()) else {
        return malformed("its curve is spelled out instead of named");
    };
    let (kind, length) = match curve {
        rfc5912::SECP_256_R_1 => (KeyKind::P256, 65),
        rfc5912::SECP_384_R_1 => (KeyKind::P384, 97),
        rfc5912::SECP_521_R_1 => (KeyKind::P521, 133),
        other => return Err(KeyProblem::Forbidden(format!("ECDSA {}", oid_name(&other)))),
    };
    if point.len() != length || point.first() != Some(&4) {
        return malformed("its point is not an uncompressed point of the curve");
    }
    Ok(PublicKey::new(kind, point))
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// RFC 8017 A.1.1, with 2048 to 8192 bits.
fn rsa_key(der: &[u8]) -> Result<PublicKey, KeyProblem> {
    let key: RsaPublicKey<'_> = decode_all(der).map_err(KeyProblem::Malformed)?;
    let modulus = key.modulus.as_bytes();
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = u32::try_from(modulus.len() * 8)
        .unwrap_or(u32::MAX)
        .saturating_sub(unused);
    if !(2048..=8192).contains(&bits) {
        return Err(KeyProblem::Size(bits));
    }
    let malformed = |detail: &str| Err(KeyProblem::Malformed(detail.to_owned()));
    if modulus.last().is_none_or(|byte| byte % 2 == 0) {
        return malformed("its modulus is even");
    }
    // CA/B BR 6.1.1.3; whoever factors the key of a CA makes certificates as they like.
    if let Some(weakness) = weak_rsa::weakness(modulus) {
        return malformed(weakness);
    }
    match key.exponent.as_bytes() {
        [] | [0..=2] => malformed("its exponent is less than 3"),
        exponent if exponent.last().is_none_or(|byte| byte % 2 == 0) => {
            malformed("its exponent is even")
        }
        // AWS-LC takes exponents of up to 33 bits; longer ones only make checks slow.
        exponent if exponent.len() > 4 => malformed("its exponent has more than 32 bits"),
        _ => Ok(PublicKey::new(KeyKind::Rsa(bits), der)),
    }
}

fn raw_key(kind: KeyKind, bytes: &[u8], length: usize) -> Result<PublicKey, KeyProblem> {
    if bytes.len() == length {
        Ok(PublicKey::new(kind, bytes))
    } else {
        let detail = format!(
            "it has {} bytes where {} has {length}",
            bytes.len(),
            kind.name()
        );
        Err(KeyProblem::Malformed(detail))
    }
}

/// The name of an OID in the standards that are known, without the prefix of its arc; otherwise its
/// numbers.
pub(crate) fn oid_name(oid: &ObjectIdentifier) -> String {
    let Some(name) = const_oid::db::DB.by_oid(oid) else {
        return oid.to_string();
    };
    let prefixes = ["id-ce-", "id-pe-", "id-kp-"];
    prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use der::Encode;
    use num_bigint::BigUint;

    use super::*;

    #[test]
    fn a_modulus_that_can_be_factored_is_no_key() {
        let read = |modulus: &BigUint| {
            let modulus = modulus.to_bytes_be();
            let key = RsaPublicKey {
                modulus: UintRef::new(&modulus).unwrap(),
                exponent: UintRef::new(&[1, 0, 1]).unwrap(),
            };
            rsa_key(&key.to_der().unwrap()).map(|key| key.kind())
        };
        let why = |modulus: &BigUint| match read(modulus).unwrap_err() {
            KeyProblem::Malformed(why) => why,
            other => panic!("{other:?}"),
        };
        let marked = BigUint::from(65_537_u32).pow(128);
        assert!(why(&marked).contains("ROCA"));
        // The near miss: no power modulo 11.
        assert!(read(&(&marked * 13_u32)).is_ok());
        let prime = BigUint::from(3_u32).pow(650);
        let close = &prime * (&prime + 1_000_u32);
        assert!(why(&close).contains("Fermat"));
        assert!(read(&(&prime * (&prime * 2_u32 + 1_u32))).is_ok());
    }
}
