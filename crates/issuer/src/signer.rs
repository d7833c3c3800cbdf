//! What holds an issuing key and signs with it.

use avouch_core::id::hex;
use std::fmt;
use std::ops::RangeInclusive;

use avouch_core::crypto::{AwsLc, Hash, KeyKind, Scheme, Verifier};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::key::PublicHalf;

/// Holds an issuing key and signs with it.
pub trait Signer: Send + Sync {
    /// The public half of the key.
    fn public_half(&self) -> &PublicHalf;

    /// Where the private half is kept.
    fn origin(&self) -> Origin;

    /// Signs a message: with P-256 and RSA it hashes with SHA-256 first.
    ///
    /// # Errors
    ///
    /// [`Fault::SignerFailed`].
    fn sign(&self, message: &[u8]) -> Result<Signature, Fault>;

    /// Whether a signature of this key stands under a message.
    ///
    /// # Errors
    ///
    /// [`Fault::SignedWrongly`] if not.
    fn check(&self, message: &[u8], signature: &Signature) -> Result<(), Fault> {
        let public = self.public_half();
        let scheme = match SigningKind::of(public.kind()) {
            Some(SigningKind::Ed25519) => Scheme::Ed25519,
            Some(SigningKind::P256) => Scheme::EcdsaFixed(Hash::Sha256),
            Some(SigningKind::Rsa) => Scheme::RsaPkcs1(Hash::Sha256),
            None => return Err(Fault::Bug("authorities do not sign with this kind of key")),
        };
        AwsLc
            .verify(public.key(), scheme, message, signature.as_bytes())
            .map_err(|_| Fault::SignedWrongly {
                authority: hex(&public.identifier()),
                code: "pki.signature_invalid",
            })
    }
}

/// Where a private key is kept. An anchor records it, since it says who may have taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// In a file or a database of the deployment, and in memory while it signs.
    File,
    /// In the memory of one process, and gone with it.
    Memory,
    /// In a token that speaks PKCS #11, which it never leaves.
    Pkcs11,
}

impl Origin {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

/// A signature of an issuing key: for P-256 the numbers r and s of 32 bytes each (RFC 7518 3.4),
/// for Ed25519 the 64 bytes of RFC 8032 5.1.6, for RSA as many as its modulus has (RFC 8017 8.2).
///
/// It has no `Debug`: the signature of a token makes it a bearer credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// Of a curve. Kept in place, since every leaf has one.
    Short([u8; 64]),
    Rsa(Box<[u8]>),
}

impl Signature {
    /// A signature of a curve, in the form described above.
    pub fn new(bytes: [u8; 64]) -> Self {
        Self(Form::Short(bytes))
    }

    /// A signature of RSA.
    pub fn of_rsa(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Form::Rsa(bytes.into()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Short(bytes) => bytes,
            Form::Rsa(bytes) => bytes,
        }
    }
}

/// A kind of key that authorities sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SigningKind {
    /// Ed25519; for certificates only, since SPIFFE does not allow it for tokens (JWT-SVID 2.2).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, which every client knows.
    P256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, of 2048 to 4096 bits: for certificates only, of authorities
    /// that were made elsewhere.
    Rsa,
}

/// The sizes of RSA keys that authorities sign with, in bits. Fewer are no longer safe
/// (NIST SP 800-57 part 1, 5.6.1), and more make every check slow.
const RSA_BITS: RangeInclusive<u32> = 2_048..=4_096;

impl SigningKind {
    /// The kinds, as people call them.
    pub const NAMES: [&'static str; 3] = ["ECDSA P-256", "Ed25519", "RSA of 2048 to 4096 bits"];

    /// The kind of a key, if authorities sign with keys of that kind.
    pub(crate) fn of(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::Ed25519 => Some(Self::Ed25519),
            KeyKind::P256 => Some(Self::P256),
            KeyKind::Rsa(bits) if RSA_BITS.contains(&bits) => Some(Self::Rsa),
            KeyKind::MlDsa44
            | KeyKind::MlDsa65
            | KeyKind::MlDsa87
            | KeyKind::P384
            | KeyKind::P521
            | KeyKind::Rsa(_) => None,
        }
    }
}

/// A key in the memory of this process.
pub struct SoftwareKey {
    pair: Pair,
    public: PublicHalf,
    origin: Origin,
}

enum Pair {
    Ed25519(Box<Ed25519KeyPair>),
    P256(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl SoftwareKey {
    /// Makes a new key, with the random numbers of AWS-LC. One of RSA has 2048 bits.
    ///
    /// # Errors
    ///
    /// [`Fault::NoRandomness`].
    pub fn generate(kind: SigningKind) -> Result<Self, Fault> {
        let pair = match kind {
            SigningKind::Ed25519 => Ed25519KeyPair::generate()
                .map(Box::new)
                .map(Pair::Ed25519)
                .map_err(|_| Fault::NoRandomness)?,
            SigningKind::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Box::new)
                .map(Pair::P256)
                .map_err(|_| Fault::NoRandomness)?,
            SigningKind::Rsa => RsaKeyPair::generate(KeySize::Rsa2048)
                .map(Box::new)
                .map(Pair::Rsa)
                .map_err(|_| Fault::NoRandomness)?,
        };
        Self::from_pair(pair, Origin::Memory)
    }

    /// Reads a private key from unencrypted DER PKCS#8 (RFC 5958) that was kept in `origin`.
    ///
    /// # Errors
    ///
    /// [`Fault::KeyUnusable`].
    pub fn from_pkcs8(pkcs8: &[u8], origin: Origin) -> Result<Self, Fault> {
        let ecdsa = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        let pair = ecdsa
            .map(|pair| Pair::P256(Box::new(pair)))
            .or_else(|_| {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
                    .map(Box::new)
                    .map(Pair::Ed25519)
            })
            .or_else(|_| RsaKeyPair::from_pkcs8(pkcs8).map(Box::new).map(Pair::Rsa))
            .map_err(|_| Fault::KeyUnusable("it is no P-256, Ed25519 or RSA key in PKCS#8"))?;
        Self::from_pair(pair, origin)
    }

    /// Reads a private key from unencrypted DER in any of the forms in which files have one: PKCS#8,
    /// `RSAPrivateKey` of PKCS#1 (RFC 8017 A.1.2), `ECPrivateKey` (RFC 5915 3).
    ///
    /// # Errors
    ///
    /// [`Fault::KeyUnusable`].
    pub fn from_der(der: &[u8], origin: Origin) -> Result<Self, Fault> {
        if let Ok(key) = Self::from_pkcs8(der, origin) {
            return Ok(key);
        }
        let pair = RsaKeyPair::from_der(der)
            .map(|pair| Pair::Rsa(Box::new(pair)))
            .or_else(|_| {
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                    .map(Box::new)
                    .map(Pair::P256)
            })
            .map_err(|_| Fault::KeyUnusable("it is no P-256, Ed25519 or RSA key"))?;
        Self::from_pair(pair, origin)
    }

    /// The private key as unencrypted DER PKCS#8, to be sealed and stored, or given to the workload
    /// it was made for. It is wiped when it is dropped.
    ///
    /// # Errors
    ///
    /// [`Fault::Bug`].
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let unwritten = |_| Fault::Bug("a key cannot be written");
        let document = match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::P256(pair) => pair.to_pkcs8v1(),
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(unwritten)?;
                return Ok(Zeroizing::new(der.as_ref().to_vec()));
            }
        };
        Ok(Zeroizing::new(
            document.map_err(unwritten)?.as_ref().to_vec(),
        ))
    }

    fn from_pair(pair: Pair, origin: Origin) -> Result<Self, Fault> {
        let info: Result<PublicKeyX509Der<'_>, _> = match &pair {
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::P256(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        };
        let info = info.map_err(|_| Fault::Bug("a public key cannot be written"))?;
        let unusable = Fault::KeyUnusable("an RSA key has 2048 to 4096 bits and a short exponent");
        let Ok(public) = PublicHalf::from_info(info.as_ref()) else {
            return Err(unusable);
        };
        if SigningKind::of(public.kind()).is_none() {
            return Err(unusable);
        }
        Ok(Self {
            pair,
            public,
            origin,
        })
    }
}

impl Signer for SoftwareKey {
    fn public_half(&self) -> &PublicHalf {
        &self.public
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, Fault> {
        let refused = |_| Fault::SignerFailed("AWS-LC refused");
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(message),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Rsa(pair) => {
                let mut bytes = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut bytes)
                    .map_err(refused)?;
                return Ok(Signature::of_rsa(bytes));
            }
        };
        let bytes = <[u8; 64]>::try_from(signature.map_err(refused)?.as_ref());
        bytes
            .map(Signature::new)
            .map_err(|_| Fault::Bug("a signature is not 64 bytes long"))
    }
}

impl fmt::Debug for SoftwareKey {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKey")
            .field("kind", &self.public.kind())
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use avouch_core::crypto::{AwsLc, Hash, Scheme, Verifier};

    use super::*;

    #[test]
    fn a_key_that_was_stored_signs_for_the_same_public_half() {
        let kinds = [
            (SigningKind::P256, Scheme::EcdsaFixed(Hash::Sha256)),
            (SigningKind::Ed25519, Scheme::Ed25519),
            (SigningKind::Rsa, Scheme::RsaPkcs1(Hash::Sha256)),
        ];
        for (kind, scheme) in kinds {
            let made = SoftwareKey::generate(kind).unwrap();
            let stored = made.to_pkcs8().unwrap();
            let read = SoftwareKey::from_pkcs8(&stored, Origin::File).unwrap();
            assert_eq!(read.public_half(), made.public_half());
            assert_eq!(
                (made.origin(), read.origin()),
                (Origin::Memory, Origin::File)
            );
            let signature = read.sign(b"message").unwrap();
            let key = made.public_half().key();
            let checked = AwsLc.verify(key, scheme, b"message", signature.as_bytes());
            assert_eq!(checked, Ok(()));
        }
    }

    #[test]
    fn what_is_shown_of_a_key_is_not_its_private_half() {
        let key = SoftwareKey::generate(SigningKind::P256).unwrap();
        assert_eq!(
            format!("{key:?}"),
            "SoftwareKey { kind: P256, origin: Memory, .. }"
        );
    }

    #[test]
    fn a_damaged_key_is_a_fault() {
        let mut stored = SoftwareKey::generate(SigningKind::P256)
            .unwrap()
            .to_pkcs8()
            .unwrap();
        stored.truncate(40);
        for bytes in [&stored[..], &[], b"-----BEGIN PRIVATE KEY-----"] {
            assert!(matches!(
                SoftwareKey::from_pkcs8(bytes, Origin::File),
                Err(Fault::KeyUnusable(_))
            ));
        }
    }
}
