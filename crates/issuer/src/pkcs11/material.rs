//! What the keys in a token are made of, as PKCS #11 says it (PKCS #11 3.0 2.1 and 2.3).

use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use cryptoki::object::{Attribute, AttributeType, KeyType};
use der::asn1::{BitStringRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::fault::Fault;
use crate::key::PublicHalf;
use crate::signer::SigningKind;

/// RFC 5480 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// A key that is to be taken into a token.
pub(super) struct Material {
    /// Of both halves.
    pub(super) common: Vec<Attribute>,
    pub(super) public: Vec<Attribute>,
    pub(super) private: Vec<Attribute>,
}

impl Material {
    /// Reads DER PKCS#8 whose public half is known.
    pub(super) fn of(pkcs8: &[u8], public: &PublicHalf) -> Result<Self, Fault> {
        match SigningKind::of(public.kind()) {
            Some(SigningKind::P256) => Self::of_curve(pkcs8, public),
            Some(SigningKind::Rsa) => Self::of_rsa(pkcs8)
                .map_err(|_: der::Error| Fault::KeyUnusable("it is no RSA key in PKCS#8")),
            Some(SigningKind::Ed25519) | None => {
                Err(Fault::KeyUnusable("keys in a token are P-256 or RSA"))
            }
        }
    }

    fn of_curve(pkcs8: &[u8], public: &PublicHalf) -> Result<Self, Fault> {
        let unwritten = Fault::Bug("a key cannot be written");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| Fault::KeyUnusable("it is no P-256 key in PKCS#8"))?;
        let scalar: Result<EcPrivateKeyBin<'_>, _> = pair.private_key().as_be_bytes();
        let point = OctetStringRef::new(public.key().bytes()).and_then(|point| point.to_der());
        let (Ok(scalar), Ok(point)) = (scalar, point) else {
            return Err(unwritten);
        };
        Ok(Self {
            common: vec![
                Attribute::KeyType(KeyType::EC),
                Attribute::EcParams(curve()?),
            ],
            public: vec![Attribute::EcPoint(point)],
            private: vec![Attribute::Value(scalar.as_ref().to_vec())],
        })
    }

    fn of_rsa(pkcs8: &[u8]) -> der::Result<Self> {
        let key = RsaPrivateKey::from_der(PrivateKeyInfo::from_der(pkcs8)?.key.as_bytes())?;
        let bytes = |number: UintRef<'_>| number.as_bytes().to_vec();
        Ok(Self {
            common: vec![
                Attribute::KeyType(KeyType::RSA),
                Attribute::Modulus(bytes(key.modulus)),
                Attribute::PublicExponent(bytes(key.public_exponent)),
            ],
            public: Vec::new(),
            private: vec![
                Attribute::PrivateExponent(bytes(key.private_exponent)),
                Attribute::Prime1(bytes(key.prime_1)),
                Attribute::Prime2(bytes(key.prime_2)),
                Attribute::Exponent1(bytes(key.exponent_1)),
                Attribute::Exponent2(bytes(key.exponent_2)),
                Attribute::Coefficient(bytes(key.coefficient)),
            ],
        })
    }
}

/// `PrivateKeyInfo` (RFC 5208 5).
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifierRef<'a>,
    key: &'a OctetStringRef,
}

/// `RSAPrivateKey` (RFC 8017 A.1.2) of two primes.
#[derive(Sequence)]
struct RsaPrivateKey<'a> {
    version: u8,
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
    private_exponent: UintRef<'a>,
    prime_1: UintRef<'a>,
    prime_2: UintRef<'a>,
    exponent_1: UintRef<'a>,
    exponent_2: UintRef<'a>,
    coefficient: UintRef<'a>,
}

/// What to ask the token about a public key; it answers what its kind has.
pub(super) const PUBLIC: [AttributeType; 3] = [
    AttributeType::EcPoint,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
];

/// The public half from what the token says about it.
pub(super) fn public_half(attributes: &[Attribute]) -> Result<PublicHalf, Fault> {
    let unusable =
        |detail: &str| Fault::TokenUnusable(format!("it has a public key that {detail}"));
    match attributes {
        [Attribute::EcPoint(point)] => {
            of_point(point).ok_or_else(|| unusable("is no point of P-256"))
        }
        [
            Attribute::Modulus(modulus),
            Attribute::PublicExponent(exponent),
        ] => PublicHalf::of_rsa(modulus, exponent).map_err(|_| unusable("is no RSA key of ours")),
        _ => Err(unusable("is neither of P-256 nor of RSA")),
    }
}

/// A point as the token has it: an OCTET STRING around the point (PKCS #11 3.0 2.3.3); some tokens
/// leave the wrapping away.
fn of_point(point: &[u8]) -> Option<PublicHalf> {
    let point = match point {
        [4, 65, rest @ ..] if rest.len() == 65 => rest,
        whole => whole,
    };
    let curve = SECP256R1;
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: EC_PUBLIC_KEY,
            parameters: Some((&curve).into()),
        },
        subject_public_key: BitStringRef::from_bytes(point).ok()?,
    };
    PublicHalf::from_info(&info.to_der().ok()?).ok()
}

/// The name of the curve of all keys that are made in a token.
pub(super) fn curve() -> Result<Vec<u8>, Fault> {
    SECP256R1
        .to_der()
        .map_err(|_| Fault::Bug("the name of a curve cannot be written"))
}
