//! Signatures checked by AWS-LC.

use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use super::{Hash, KeyKind, NotSigned, PublicKey, Scheme, Verifier};

/// Checks signatures with AWS-LC.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Verifier for AwsLc {
    fn verify(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), NotSigned> {
        let algorithm = algorithm(key.kind(), scheme).ok_or(NotSigned)?;
        UnparsedPublicKey::new(algorithm, key.bytes())
            .verify(message, signature)
            .map_err(|_| NotSigned)
    }
}

/// Whether AWS-LC takes the bytes for a key of this kind: a point on its curve, a modulus of a
/// length and an exponent that it checks with.
pub(super) fn is_key(kind: KeyKind, bytes: &[u8]) -> bool {
    let scheme = match kind {
        KeyKind::Ed25519 => Scheme::Ed25519,
        KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => Scheme::MlDsa,
        KeyKind::P256 => Scheme::EcdsaFixed(Hash::Sha256),
        KeyKind::P384 => Scheme::EcdsaFixed(Hash::Sha384),
        KeyKind::P521 => Scheme::EcdsaFixed(Hash::Sha512),
        KeyKind::Rsa(_) => Scheme::RsaPkcs1(Hash::Sha256),
    };
    algorithm(kind, scheme).is_some_and(|algorithm| ParsedPublicKey::new(algorithm, bytes).is_ok())
}

/// What AWS-LC calls the scheme for a kind of key; `None` where the two do not go together.
fn algorithm(kind: KeyKind, scheme: Scheme) -> Option<&'static dyn VerificationAlgorithm> {
    use Hash::{Sha256, Sha384, Sha512};
    use KeyKind::{Ed25519, MlDsa44, MlDsa65, MlDsa87, P256, P384, P521, Rsa};
    use Scheme::{EcdsaDer, EcdsaFixed, MlDsa, RsaPkcs1, RsaPss};
    Some(match (kind, scheme) {
        (P256, EcdsaDer(Sha256)) => &signature::ECDSA_P256_SHA256_ASN1,
        (P256, EcdsaDer(Sha384)) => &signature::ECDSA_P256_SHA384_ASN1,
        (P256, EcdsaDer(Sha512)) => &signature::ECDSA_P256_SHA512_ASN1,
        (P384, EcdsaDer(Sha256)) => &signature::ECDSA_P384_SHA256_ASN1,
        (P384, EcdsaDer(Sha384)) => &signature::ECDSA_P384_SHA384_ASN1,
        (P384, EcdsaDer(Sha512)) => &signature::ECDSA_P384_SHA512_ASN1,
        (P521, EcdsaDer(Sha256)) => &signature::ECDSA_P521_SHA256_ASN1,
        (P521, EcdsaDer(Sha384)) => &signature::ECDSA_P521_SHA384_ASN1,
        (P521, EcdsaDer(Sha512)) => &signature::ECDSA_P521_SHA512_ASN1,
        (P256, EcdsaFixed(Sha256)) => &signature::ECDSA_P256_SHA256_FIXED,
        (P384, EcdsaFixed(Sha384)) => &signature::ECDSA_P384_SHA384_FIXED,
        (P521, EcdsaFixed(Sha512)) => &signature::ECDSA_P521_SHA512_FIXED,
        (Ed25519, Scheme::Ed25519) => &signature::ED25519,
        (MlDsa44, MlDsa) => &signature::ML_DSA_44,
        (MlDsa65, MlDsa) => &signature::ML_DSA_65,
        (MlDsa87, MlDsa) => &signature::ML_DSA_87,
        (Rsa(_), RsaPkcs1(Sha256)) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (Rsa(_), RsaPkcs1(Sha384)) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Rsa(_), RsaPkcs1(Sha512)) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (Rsa(_), RsaPss(Sha256)) => &signature::RSA_PSS_2048_8192_SHA256,
        (Rsa(_), RsaPss(Sha384)) => &signature::RSA_PSS_2048_8192_SHA384,
        (Rsa(_), RsaPss(Sha512)) => &signature::RSA_PSS_2048_8192_SHA512,
        (P256 | P384 | P521, EcdsaFixed(_) | Scheme::Ed25519 | MlDsa | RsaPkcs1(_) | RsaPss(_))
        | (Ed25519, EcdsaDer(_) | EcdsaFixed(_) | MlDsa | RsaPkcs1(_) | RsaPss(_))
        | (
            MlDsa44 | MlDsa65 | MlDsa87,
            EcdsaDer(_) | EcdsaFixed(_) | Scheme::Ed25519 | RsaPkcs1(_) | RsaPss(_),
        )
        | (Rsa(_), EcdsaDer(_) | EcdsaFixed(_) | Scheme::Ed25519 | MlDsa) => return None,
    })
}
