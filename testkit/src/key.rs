//! Key pairs that are derived from their names, and the ways they sign.

use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, PqdsaKeyPair,
    PqdsaSigningAlgorithm, RsaKeyPair,
};
use aws_lc_rs::{agreement, digest, rand};

use crate::asn1;
use crate::extension::Extension;
use crate::name::Name;

/// A key pair of a test. Whoever knows its name knows its private half.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    kind: Kind,
    seed: Vec<u8>,
    public: Vec<u8>,
}

/// The kinds of keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ed25519.
    Ed25519,
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// The RSA keys there are; see `testkit/keys/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaTestKey {
    /// The first.
    A,
    /// The second.
    B,
    /// The third.
    C,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// Ed25519.
    Ed25519,
    /// ML-DSA of the strength of the key.
    MlDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256 and a salt as long.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384 and a salt as long.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512 and a salt as long.
    RsaPssSha512,
}

impl Key {
    /// A PKCS#10 request (RFC 2986) that names nobody, signed with the key.
    pub fn signing_request(&self) -> Vec<u8> {
        self.signing_request_for(&Name::empty(), &[])
    }

    /// A PKCS#10 request of this subject, which asks for these extensions (RFC 2985 5.4.2).
    pub fn signing_request_for(&self, subject: &Name, extensions: &[Extension]) -> Vec<u8> {
        let attributes = if extensions.is_empty() {
            Vec::new()
        } else {
            let list = asn1::sequence(extensions.iter().map(Extension::to_der));
            asn1::sequence([asn1::oid("1.2.840.113549.1.9.14"), asn1::set([list])])
        };
        let info = asn1::sequence([
            asn1::number(0),
            subject.to_der(),
            self.public_key_info(),
            asn1::constructed(0, &attributes),
        ]);
        let signature = self.sign(self.scheme(), &info);
        let algorithm = self.scheme().identifier_for(self.kind());
        asn1::sequence([info, algorithm, asn1::bit_string(0, &signature)])
    }

    /// An Ed25519 key: its seed is the SHA-256 digest of the name.
    pub fn ed25519(name: &str) -> Self {
        Self::derived(Kind::Ed25519, sha256(name))
    }

    /// A P-256 key: its scalar is the SHA-256 digest of the name.
    pub fn p256(name: &str) -> Self {
        Self::derived(Kind::P256, sha256(name))
    }

    /// A P-384 key: its scalar is the SHA-384 digest of the name.
    pub fn p384(name: &str) -> Self {
        let scalar = digest::digest(&digest::SHA384, name.as_bytes());
        Self::derived(Kind::P384, scalar.as_ref().to_vec())
    }

    /// A P-521 key: its scalar is the SHA-512 digest of the name.
    pub fn p521(name: &str) -> Self {
        let scalar = digest::digest(&digest::SHA512, name.as_bytes());
        Self::derived(Kind::P521, asn1::concatenated([&[0, 0], scalar.as_ref()]))
    }

    /// An ML-DSA-44 key: its seed is the SHA-256 digest of the name.
    pub fn ml_dsa_44(name: &str) -> Self {
        Self::derived(Kind::MlDsa44, sha256(name))
    }

    /// An ML-DSA-65 key: its seed is the SHA-256 digest of the name.
    pub fn ml_dsa_65(name: &str) -> Self {
        Self::derived(Kind::MlDsa65, sha256(name))
    }

    /// An ML-DSA-87 key: its seed is the SHA-256 digest of the name.
    pub fn ml_dsa_87(name: &str) -> Self {
        Self::derived(Kind::MlDsa87, sha256(name))
    }

    /// One of the RSA keys of 2048 bits.
    pub fn rsa(which: RsaTestKey) -> Self {
        let pkcs8: &[u8] = match which {
            RsaTestKey::A => include_bytes!("../keys/rsa-2048-a.test-key.pkcs8.der"),
            RsaTestKey::B => include_bytes!("../keys/rsa-2048-b.test-key.pkcs8.der"),
            RsaTestKey::C => include_bytes!("../keys/rsa-2048-c.test-key.pkcs8.der"),
        };
        Self::derived(Kind::Rsa2048, pkcs8.to_vec())
    }

    fn derived(kind: Kind, seed: Vec<u8>) -> Self {
        let public = match kind {
            Kind::Ed25519 => ed25519_pair(&seed).public_key().as_ref().to_vec(),
            Kind::MlDsa44 | Kind::MlDsa65 | Kind::MlDsa87 => {
                ml_dsa_pair(kind, &seed).public_key().as_ref().to_vec()
            }
            Kind::P256 => point(&agreement::ECDH_P256, &seed),
            Kind::P384 => point(&agreement::ECDH_P384, &seed),
            Kind::P521 => point(&agreement::ECDH_P521, &seed),
            Kind::Rsa2048 => rsa_pair(&seed).public_key().as_ref().to_vec(),
        };
        Self { kind, seed, public }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The public half as it stands in the bit string of a `SubjectPublicKeyInfo`: a raw key, an
    /// uncompressed point or a DER `RSAPublicKey`.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The private half: a seed, a scalar in big-endian octets, or PKCS#8 DER for RSA.
    pub fn private(&self) -> &[u8] {
        &self.seed
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn public_key_info(&self) -> Vec<u8> {
        let algorithm = match self.kind {
            Kind::P256 => elliptic("1.2.840.10045.3.1.7"),
            Kind::P384 => elliptic("1.3.132.0.34"),
            Kind::P521 => elliptic("1.3.132.0.35"),
            Kind::Rsa2048 => asn1::sequence([asn1::oid("1.2.840.113549.1.1.1"), asn1::null()]),
            Kind::Ed25519 | Kind::MlDsa44 | Kind::MlDsa65 | Kind::MlDsa87 => {
                self.scheme().identifier_for(self.kind)
            }
        };
        asn1::sequence([algorithm, asn1::bit_string(0, &self.public)])
    }

    /// The key identifier: the leftmost 160 bits of the SHA-256 digest of the public key (RFC 7093
    /// 2 (1)).
    pub fn identifier(&self) -> Vec<u8> {
        let whole = digest::digest(&digest::SHA256, &self.public);
        whole.as_ref()[..20].to_vec()
    }

    /// How it signs when nothing else is asked for.
    pub fn scheme(&self) -> Scheme {
        match self.kind {
            Kind::Ed25519 => Scheme::Ed25519,
            Kind::MlDsa44 | Kind::MlDsa65 | Kind::MlDsa87 => Scheme::MlDsa,
            Kind::P256 => Scheme::EcdsaSha256,
            Kind::P384 => Scheme::EcdsaSha384,
            Kind::P521 => Scheme::EcdsaSha512,
            Kind::Rsa2048 => Scheme::RsaPkcs1Sha256,
        }
    }

    /// Signs as X.509 does: an ECDSA signature is DER.
    pub fn sign(&self, scheme: Scheme, message: &[u8]) -> Vec<u8> {
        match scheme {
            Scheme::Ed25519 => ed25519_pair(&self.seed).sign(message).as_ref().to_vec(),
            Scheme::MlDsa => self.sign_ml_dsa(message),
            Scheme::EcdsaSha256 | Scheme::EcdsaSha384 | Scheme::EcdsaSha512 => {
                self.sign_ecdsa(ecdsa_der(self.kind, scheme), message)
            }
            Scheme::RsaPkcs1Sha256 => self.sign_rsa(&signature::RSA_PKCS1_SHA256, message),
            Scheme::RsaPkcs1Sha384 => self.sign_rsa(&signature::RSA_PKCS1_SHA384, message),
            Scheme::RsaPkcs1Sha512 => self.sign_rsa(&signature::RSA_PKCS1_SHA512, message),
            Scheme::RsaPssSha256 => self.sign_rsa(&signature::RSA_PSS_SHA256, message),
            Scheme::RsaPssSha384 => self.sign_rsa(&signature::RSA_PSS_SHA384, message),
            Scheme::RsaPssSha512 => self.sign_rsa(&signature::RSA_PSS_SHA512, message),
        }
    }

    /// Signs with ECDSA as JOSE does: two numbers of fixed length (RFC 7518 3.4), with the hash
    /// that belongs to the curve.
    pub fn sign_ecdsa_fixed(&self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self.kind {
            Kind::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Kind::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            Kind::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
            other => panic!("a key of the kind {other:?} does not sign with ECDSA"),
        };
        self.sign_ecdsa(algorithm, message)
    }

    fn sign_ecdsa(&self, algorithm: &'static EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, &self.seed, &self.public)
                .expect("the halves of a derived key belong together");
        let signed = pair.sign(&rand::SystemRandom::new(), message);
        signed.expect("a key can sign").as_ref().to_vec()
    }

    fn sign_ml_dsa(&self, message: &[u8]) -> Vec<u8> {
        let pair = ml_dsa_pair(self.kind, &self.seed);
        let mut signed = vec![0; pair.algorithm().signature_len()];
        let length = pair.sign(message, &mut signed).expect("a key can sign");
        signed.truncate(length);
        signed
    }

    fn sign_rsa(&self, padding: &'static dyn signature::RsaEncoding, message: &[u8]) -> Vec<u8> {
        let pair = rsa_pair(&self.seed);
        let mut signed = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &rand::SystemRandom::new(), message, &mut signed)
            .expect("a key can sign");
        signed
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.kind)
    }
}

impl Scheme {
    /// The DER `AlgorithmIdentifier` of a signature made this way by a key of `kind`.
    pub fn identifier_for(self, kind: Kind) -> Vec<u8> {
        let plain = |dotted: &str| asn1::sequence([asn1::oid(dotted)]);
        let with_null = |dotted: &str| asn1::sequence([asn1::oid(dotted), asn1::null()]);
        match self {
            Self::EcdsaSha256 => plain("1.2.840.10045.4.3.2"),
            Self::EcdsaSha384 => plain("1.2.840.10045.4.3.3"),
            Self::EcdsaSha512 => plain("1.2.840.10045.4.3.4"),
            Self::Ed25519 => plain("1.3.101.112"),
            Self::MlDsa => match kind {
                Kind::MlDsa65 => plain("2.16.840.1.101.3.4.3.18"),
                Kind::MlDsa87 => plain("2.16.840.1.101.3.4.3.19"),
                _ => plain("2.16.840.1.101.3.4.3.17"),
            },
            Self::RsaPkcs1Sha256 => with_null("1.2.840.113549.1.1.11"),
            Self::RsaPkcs1Sha384 => with_null("1.2.840.113549.1.1.12"),
            Self::RsaPkcs1Sha512 => with_null("1.2.840.113549.1.1.13"),
            Self::RsaPssSha256 => pss("2.16.840.1.101.3.4.2.1", 32),
            Self::RsaPssSha384 => pss("2.16.840.1.101.3.4.2.2", 48),
            Self::RsaPssSha512 => pss("2.16.840.1.101.3.4.2.3", 64),
        }
    }
}

/// A DER `AlgorithmIdentifier` with any object identifier and any parameters, for what no key here
/// signs with.
pub fn algorithm_identifier(dotted: &str, parameters: Option<Vec<u8>>) -> Vec<u8> {
    asn1::sequence([asn1::oid(dotted), parameters.unwrap_or_default()])
}

/// The DER `SubjectPublicKeyInfo` of an RSA key with a modulus of so many bits and this exponent.
/// No one has its private half.
pub fn rsa_public_key_info(bits: usize, exponent: u64) -> Vec<u8> {
    let mut modulus = vec![0xa5; bits.div_ceil(8)];
    modulus[0] = 0xff >> (modulus.len() * 8 - bits);
    if modulus[0] & 0x80 != 0 {
        modulus.insert(0, 0);
    }
    let key = asn1::sequence([asn1::integer(&modulus), asn1::number(exponent)]);
    let algorithm = algorithm_identifier("1.2.840.113549.1.1.1", Some(asn1::null()));
    asn1::sequence([algorithm, asn1::bit_string(0, &key)])
}

fn elliptic(curve: &str) -> Vec<u8> {
    asn1::sequence([asn1::oid("1.2.840.10045.2.1"), asn1::oid(curve)])
}

/// RFC 4055 3.1: hash, mask generation with the same hash, length of the salt.
fn pss(hash: &str, salt: u64) -> Vec<u8> {
    let hash = asn1::sequence([asn1::oid(hash), asn1::null()]);
    let mask = asn1::sequence([asn1::oid("1.2.840.113549.1.1.8"), hash.clone()]);
    let parameters = asn1::sequence([
        asn1::constructed(0, &hash),
        asn1::constructed(1, &mask),
        asn1::constructed(2, &asn1::number(salt)),
    ]);
    asn1::sequence([asn1::oid("1.2.840.113549.1.1.10"), parameters])
}

fn ecdsa_der(kind: Kind, scheme: Scheme) -> &'static EcdsaSigningAlgorithm {
    match (kind, scheme) {
        (Kind::P256, Scheme::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        (Kind::P384, Scheme::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        (Kind::P521, Scheme::EcdsaSha256) => &signature::ECDSA_P521_SHA256_ASN1_SIGNING,
        (Kind::P521, Scheme::EcdsaSha384) => &signature::ECDSA_P521_SHA384_ASN1_SIGNING,
        (Kind::P521, Scheme::EcdsaSha512) => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        (kind, scheme) => panic!("a key of the kind {kind:?} does not sign with {scheme:?}"),
    }
}

fn ed25519_pair(seed: &[u8]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 octets are a seed")
}

fn ml_dsa_pair(kind: Kind, seed: &[u8]) -> PqdsaKeyPair {
    let algorithm: &'static PqdsaSigningAlgorithm = match kind {
        Kind::MlDsa65 => &signature::ML_DSA_65_SIGNING,
        Kind::MlDsa87 => &signature::ML_DSA_87_SIGNING,
        _ => &signature::ML_DSA_44_SIGNING,
    };
    PqdsaKeyPair::from_seed(algorithm, seed).expect("any 32 octets are a seed")
}

fn rsa_pair(pkcs8: &[u8]) -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(pkcs8).expect("the stored keys are keys")
}

fn point(curve: &'static agreement::Algorithm, scalar: &[u8]) -> Vec<u8> {
    let key = agreement::PrivateKey::from_private_key(curve, scalar)
        .expect("a digest is a scalar of its curve");
    let public = key.compute_public_key();
    public.expect("a scalar has a point").as_ref().to_vec()
}

fn sha256(name: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, name.as_bytes())
        .as_ref()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_from_its_name() {
        assert_eq!(Key::ed25519("a"), Key::ed25519("a"));
        assert_ne!(Key::ed25519("a").public(), Key::ed25519("b").public());
        assert_eq!(Key::p521("a").public().len(), 133);
    }

    #[test]
    fn signatures_that_can_be_repeated_are() {
        for key in [Key::ed25519("a"), Key::rsa(RsaTestKey::A)] {
            let scheme = key.scheme();
            assert_eq!(key.sign(scheme, b"message"), key.sign(scheme, b"message"));
        }
    }

    #[test]
    fn every_kind_of_key_signs_what_its_public_half_accepts() {
        let checks: [(Key, &dyn signature::VerificationAlgorithm); 8] = [
            (Key::ed25519("a"), &signature::ED25519),
            (Key::ml_dsa_44("a"), &signature::ML_DSA_44),
            (Key::ml_dsa_65("a"), &signature::ML_DSA_65),
            (Key::ml_dsa_87("a"), &signature::ML_DSA_87),
            (Key::p256("a"), &signature::ECDSA_P256_SHA256_ASN1),
            (Key::p384("a"), &signature::ECDSA_P384_SHA384_ASN1),
            (Key::p521("a"), &signature::ECDSA_P521_SHA512_ASN1),
            (
                Key::rsa(RsaTestKey::B),
                &signature::RSA_PKCS1_2048_8192_SHA256,
            ),
        ];
        for (key, algorithm) in checks {
            let signed = key.sign(key.scheme(), b"message");
            let public = signature::UnparsedPublicKey::new(algorithm, key.public());
            assert!(public.verify(b"message", &signed).is_ok(), "{key:?}");
        }
    }
}
