//! Signatures checked by AWS-LC.

use std::borrow::Cow;
use std::fmt;
use std::hash;
use std::sync::OnceLock;

use aws_lc_rs::digest::{self, Digest, digest};
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use super::{Hash, KeyKind, NotSigned, PublicKey, Scheme, Verifier, fixed_to_der};

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
        let signature = in_der(key.kind(), scheme, signature).ok_or(NotSigned)?;
        let scheme = of_der(scheme);
        let algorithm = algorithm(key.kind(), scheme).ok_or(NotSigned)?;
        let checked = match key.parsed.of(scheme, algorithm, key.bytes()) {
            Some(parsed) => match digest_of(scheme, message) {
                Some(digest) => parsed.verify_digest_sig(&digest, &signature),
                None => parsed.verify_sig(message, &signature),
            },
            None => UnparsedPublicKey::new(algorithm, key.bytes()).verify(message, &signature),
        };
        checked.map_err(|_| NotSigned)
    }
}

/// A signature as AWS-LC checks it. Of the two forms of ECDSA it turns the one into the other itself,
/// by way of its big numbers, which takes longer. `None` where the numbers are not as long as those of
/// the curve, or the hash is not the one that goes with it (RFC 7518 3.4).
fn in_der(kind: KeyKind, scheme: Scheme, signature: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Scheme::EcdsaFixed(hash) = scheme else {
        return Some(Cow::Borrowed(signature));
    };
    let length = match (kind, hash) {
        (KeyKind::P256, Hash::Sha256) => 32,
        (KeyKind::P384, Hash::Sha384) => 48,
        (KeyKind::P521, Hash::Sha512) => 66,
        _ => return None,
    };
    if signature.len() != 2 * length {
        return None;
    }
    fixed_to_der(signature).map(Cow::Owned)
}

/// The scheme of a signature that is in DER now.
fn of_der(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::EcdsaFixed(hash) => Scheme::EcdsaDer(hash),
        other => other,
    }
}

/// What ECDSA signs, which saves AWS-LC a context of both; others need all of the message.
fn digest_of(scheme: Scheme, message: &[u8]) -> Option<Digest> {
    let Scheme::EcdsaDer(hash) = scheme else {
        return None;
    };
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    Some(digest(algorithm, message))
}

/// A key as AWS-LC has parsed it for the scheme it was checked with first. Keys of issuers check many
/// signatures, all of one scheme, and to parse one anew is a tenth of each check.
#[derive(Clone, Default)]
pub(super) struct Parsed(OnceLock<Box<(Scheme, Option<ParsedPublicKey>)>>);

impl Parsed {
    /// The key for this scheme; nothing where it is no key, or is parsed for another.
    fn of(
        &self,
        scheme: Scheme,
        algorithm: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
    ) -> Option<&ParsedPublicKey> {
        let parse = || Box::new((scheme, ParsedPublicKey::new(algorithm, bytes).ok()));
        let (parsed_for, parsed) = &**self.0.get_or_init(parse);
        parsed.as_ref().filter(|_| *parsed_for == scheme)
    }
}

/// Says nothing of which key it is.
impl PartialEq for Parsed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Parsed {}

impl hash::Hash for Parsed {
    fn hash<H: hash::Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Parsed {
    /// The key is shown beside it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed").finish_non_exhaustive()
    }
}

/// Whether AWS-LC takes the bytes for a key of this kind: a point on its curve, a modulus of a
/// length and an exponent that it checks with.
pub(super) fn is_key(kind: KeyKind, bytes: &[u8]) -> bool {
    let scheme = match kind {
        KeyKind::Ed25519 => Scheme::Ed25519,
        KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => Scheme::MlDsa,
        KeyKind::P256 => Scheme::EcdsaDer(Hash::Sha256),
        KeyKind::P384 => Scheme::EcdsaDer(Hash::Sha384),
        KeyKind::P521 => Scheme::EcdsaDer(Hash::Sha512),
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
        ECDSA_P521_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    };

    use super::*;

    #[test]
    fn a_key_that_was_parsed_for_one_scheme_checks_the_others_too() {
        let random = SystemRandom::new();
        let fixed = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let stored = fixed.to_pkcs8v1().unwrap();
        let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, stored.as_ref());
        let der = der.unwrap();
        let key = PublicKey::new(KeyKind::P256, fixed.public_key().as_ref());
        let signed = [
            (
                Scheme::EcdsaFixed(Hash::Sha256),
                fixed.sign(&random, b"a").unwrap(),
            ),
            (
                Scheme::EcdsaDer(Hash::Sha256),
                der.sign(&random, b"a").unwrap(),
            ),
        ];
        for _ in 0..2 {
            for (scheme, signature) in &signed {
                let check = |message| AwsLc.verify(&key, *scheme, message, signature.as_ref());
                assert_eq!(check(b"a"), Ok(()), "{scheme:?}");
                assert_eq!(check(b"b"), Err(NotSigned), "{scheme:?}");
            }
        }
        assert_eq!(
            key,
            PublicKey::new(KeyKind::P256, fixed.public_key().as_ref())
        );
    }

    #[test]
    fn two_numbers_stand_for_the_hash_of_their_curve_alone_and_are_as_long() {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA256_FIXED_SIGNING).unwrap();
        let signed = pair.sign(&random, b"a").unwrap();
        let key = PublicKey::new(KeyKind::P521, pair.public_key().as_ref());
        let in_der = fixed_to_der(signed.as_ref()).unwrap();
        let check = |scheme, signature: &[u8]| AwsLc.verify(&key, scheme, b"a", signature);
        assert_eq!(check(Scheme::EcdsaDer(Hash::Sha256), &in_der), Ok(()));
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let checked = check(Scheme::EcdsaFixed(hash), signed.as_ref());
            assert_eq!(checked, Err(NotSigned), "{hash:?}");
        }

        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let signed = pair.sign(&random, b"a").unwrap();
        let key = PublicKey::new(KeyKind::P256, pair.public_key().as_ref());
        let scheme = Scheme::EcdsaFixed(Hash::Sha256);
        let check = |signature: &[u8]| AwsLc.verify(&key, scheme, b"a", signature);
        let (r, s) = signed.as_ref().split_at(32);
        assert_eq!(check(signed.as_ref()), Ok(()));
        let longer = [&[0][..], r, &[0], s].concat();
        assert_eq!(check(&longer), Err(NotSigned));
        assert_eq!(check(&[0; 64]), Err(NotSigned));
        assert_eq!(check(&[0xff; 64]), Err(NotSigned));
        assert_eq!(check(&[]), Err(NotSigned));
    }

    #[test]
    fn what_is_no_key_checks_nothing_however_often_it_is_asked() {
        let key = PublicKey::new(KeyKind::P256, [4; 65]);
        for _ in 0..2 {
            let scheme = Scheme::EcdsaFixed(Hash::Sha256);
            assert_eq!(AwsLc.verify(&key, scheme, b"a", &[1; 64]), Err(NotSigned));
        }
    }
}
