//! Checking signatures: what the core needs from cryptography, and nothing else.
//!
//! The core never signs. [`AwsLc`] is the implementation everyone uses; the trait exists so that
//! fuzzing can walk past signatures and so that a verifier that remembers can stand in front.

mod aws_lc;
mod ecdsa;
mod remembering;
#[cfg(test)]
mod wycheproof;

pub use aws_lc::AwsLc;
pub use ecdsa::fixed_to_der;
pub use remembering::Remembering;

/// Checks one signature. Implementations are pure: the same arguments give the same answer.
pub trait Verifier: Sync {
    /// Whether `signature` over `message` was made with the private half of `key`.
    ///
    /// # Errors
    ///
    /// [`NotSigned`], if not, or if `scheme` is none for a key of this kind.
    fn verify(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), NotSigned>;
}

/// The signature does not hold for this key and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSigned;

/// A public key, read and of a kind that can be checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: KeyKind,
    bytes: Box<[u8]>,
    parsed: aws_lc::Parsed,
}

impl PublicKey {
    /// A key of `kind`. `bytes` is an uncompressed point (SEC 1 2.3.3) for the curves of NIST, a
    /// DER `RSAPublicKey` (RFC 8017 A.1.1) for RSA, and the raw key for Ed25519 and ML-DSA.
    pub(crate) fn new(kind: KeyKind, bytes: impl Into<Box<[u8]>>) -> Self {
        Self {
            kind,
            bytes: bytes.into(),
            parsed: aws_lc::Parsed::default(),
        }
    }

    /// Whether it can be a key at all: a point on its curve, a modulus and exponent in bounds.
    pub(crate) fn is_well_formed(&self) -> bool {
        aws_lc::is_key(self.kind, &self.bytes)
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key in the form given to [`PublicKey::new`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The kinds of keys that are accepted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-DSA-87 (FIPS 204).
    MlDsa87,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA with a modulus of so many bits.
    Rsa(u32),
}

impl KeyKind {
    /// The name a person knows it by.
    pub fn name(self) -> String {
        match self {
            Self::Ed25519 => "Ed25519".to_owned(),
            Self::MlDsa44 => "ML-DSA-44".to_owned(),
            Self::MlDsa65 => "ML-DSA-65".to_owned(),
            Self::MlDsa87 => "ML-DSA-87".to_owned(),
            Self::P256 => "ECDSA P-256".to_owned(),
            Self::P384 => "ECDSA P-384".to_owned(),
            Self::P521 => "ECDSA P-521".to_owned(),
            Self::Rsa(bits) => format!("RSA {bits}"),
        }
    }
}

impl KeyKind {
    /// A number of its own, the same in every run.
    fn code(self) -> u32 {
        match self {
            Self::Ed25519 => 0,
            Self::MlDsa44 => 1,
            Self::MlDsa65 => 2,
            Self::MlDsa87 => 3,
            Self::P256 => 4,
            Self::P384 => 5,
            Self::P521 => 6,
            Self::Rsa(bits) => 7_u32.saturating_add(bits),
        }
    }
}

/// A hash function inside a signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The name a person knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }
}

/// How a signature is made from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// ECDSA, the signature as a DER `ECDSA-Sig-Value` (RFC 3279 2.2.3).
    EcdsaDer(Hash),
    /// ECDSA, the signature as two numbers of fixed length (RFC 7518 3.4).
    EcdsaFixed(Hash),
    /// Ed25519.
    Ed25519,
    /// ML-DSA with an empty context, of the strength of the key (RFC 9881).
    MlDsa,
    /// RSASSA-PKCS1-v1_5 (RFC 8017 8.2).
    RsaPkcs1(Hash),
    /// RSASSA-PSS with MGF1 of the same hash and a salt as long as the hash (RFC 8017 8.1).
    RsaPss(Hash),
}

impl Scheme {
    /// The name a person knows it by.
    pub fn name(self) -> String {
        match self {
            Self::EcdsaDer(hash) | Self::EcdsaFixed(hash) => format!("ECDSA with {}", hash.name()),
            Self::Ed25519 => "Ed25519".to_owned(),
            Self::MlDsa => "ML-DSA".to_owned(),
            Self::RsaPkcs1(hash) => format!("RSA PKCS#1 v1.5 with {}", hash.name()),
            Self::RsaPss(hash) => format!("RSASSA-PSS with {}", hash.name()),
        }
    }
}

impl Scheme {
    /// A number of its own, the same in every run.
    fn code(self) -> u32 {
        let of_hash = |hash| match hash {
            Hash::Sha256 => 0,
            Hash::Sha384 => 1,
            Hash::Sha512 => 2,
        };
        match self {
            Self::Ed25519 => 0,
            Self::MlDsa => 1,
            Self::EcdsaDer(hash) => 10 + of_hash(hash),
            Self::EcdsaFixed(hash) => 20 + of_hash(hash),
            Self::RsaPkcs1(hash) => 30 + of_hash(hash),
            Self::RsaPss(hash) => 40 + of_hash(hash),
        }
    }
}

/// Nominal microseconds of hashing so many bytes for one check, which adds to [`cost`]: nothing for
/// a credential of ordinary length, and all there is for one made long so that each check is slow.
pub(crate) fn hashing_cost(scheme: Scheme, bytes: usize) -> u32 {
    let bytes_in_a_microsecond = match scheme {
        Scheme::EcdsaDer(hash)
        | Scheme::EcdsaFixed(hash)
        | Scheme::RsaPkcs1(hash)
        | Scheme::RsaPss(hash) => match hash {
            Hash::Sha256 => 1_500,
            Hash::Sha384 | Hash::Sha512 => 500,
        },
        // SHA-512 (RFC 8032 5.1) and SHAKE256 (FIPS 204).
        Scheme::Ed25519 | Scheme::MlDsa => 500,
    };
    u32::try_from(bytes / bytes_in_a_microsecond).unwrap_or(u32::MAX)
}

/// Nominal microseconds of one check on one core of a server processor, used to bound the work
/// of a search, not to tell how long it takes.
pub(crate) fn cost(kind: KeyKind) -> u32 {
    match kind {
        KeyKind::Ed25519 => 31,
        KeyKind::MlDsa44 => 60,
        KeyKind::MlDsa65 => 90,
        KeyKind::MlDsa87 => 140,
        KeyKind::P256 => 43,
        KeyKind::P384 => 170,
        KeyKind::P521 => 330,
        // Grows with the square of the length: 18 at 2048 bits, 290 at 8192.
        KeyKind::Rsa(bits) => bits.saturating_mul(bits) / 232_000,
    }
}
