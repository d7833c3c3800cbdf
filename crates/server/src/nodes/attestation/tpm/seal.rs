//! What only one TPM can open, and only for one of its keys (`TPM2_MakeCredential`, TPM 2.0 Library
//! Part 1, 24 and B.10.4, C.6.4).
//!
//! The endorsement key protects a seed; from the seed come a key that hides the secret and a key
//! that binds it to the name of the attestation key. The TPM opens it only where that key is loaded
//! beside the endorsement key. All of the cryptography is AWS-LC's.

use avouch_api::grpc::node::TpmSealed;
use avouch_core::credential::tpm::PublicArea;
use avouch_core::crypto::KeyKind;
use avouch_core::reason::Reason;
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, AES_CFB_IV_LEN, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::kdf::{
    KbkdfCtrHmacAlgorithmId, SskdfDigestAlgorithmId, get_kbkdf_ctr_hmac_algorithm,
    get_sskdf_digest_algorithm, kbkdf_ctr_hmac, sskdf_digest,
};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

/// What the seed is protected for. The zero at the end belongs to it (Part 1, B.4).
const IDENTITY: &[u8] = b"IDENTITY\0";

/// What the keys that come of the seed are for (Part 1, 24.4, 24.5).
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";

/// As long as a digest: what the seed, and the key that binds, have.
const DIGEST: usize = 32;

/// As long as a key of AES with 128 bits.
const AES: usize = 16;

/// A secret that only one TPM can open, for one of its keys.
pub struct Sealing {
    sealed: TpmSealed,
    secret: Zeroizing<[u8; DIGEST]>,
    opened: Opened,
}

/// That a TPM has opened what was sealed for it: both keys are in it.
#[derive(Debug)]
pub struct Opened {
    endorsement: Vec<u8>,
    attestation: Vec<u8>,
}

impl Sealing {
    pub(super) fn of(
        endorsement: &PublicArea,
        attestation: &PublicArea,
    ) -> Result<Self, Unspecified> {
        let mut secret = Zeroizing::new([0; DIGEST]);
        rand::fill(secret.as_mut_slice())?;
        Ok(Self {
            sealed: seal(endorsement, attestation.name(), secret.as_slice())?,
            secret,
            opened: Opened {
                endorsement: endorsement.name().to_vec(),
                attestation: attestation.name().to_vec(),
            },
        })
    }

    /// What the node is sent.
    pub fn sealed(&self) -> &TpmSealed {
        &self.sealed
    }

    /// Takes what was in it.
    ///
    /// # Errors
    ///
    /// `issue.tpm_not_activated` if it is something else.
    pub fn open(self, shown: &[u8]) -> Result<Opened, Reason> {
        let same = constant_time::verify_slices_are_equal(self.secret.as_slice(), shown);
        same.map_err(|_| Reason::IssueTpmNotActivated {})?;
        Ok(self.opened)
    }
}

impl Opened {
    /// Whether it was opened by the TPM with these two keys.
    pub(super) fn is_by(&self, endorsement: &PublicArea, attestation: &PublicArea) -> bool {
        self.endorsement == endorsement.name() && self.attestation == attestation.name()
    }
}

/// Seals a secret of up to 32 bytes for the TPM with this endorsement key, where the key of this
/// name is.
///
/// # Errors
///
/// If the endorsement key is of another kind than TPMs have, or the library fails.
fn seal(endorsement: &PublicArea, name: &[u8], secret: &[u8]) -> Result<TpmSealed, Unspecified> {
    let (seed, protected) = match endorsement.key().kind() {
        KeyKind::Rsa(_) => seed_for_rsa(endorsement)?,
        KeyKind::P256 => seed_for_p256(endorsement)?,
        _ => return Err(Unspecified),
    };
    let hiding: Zeroizing<[u8; AES]> = derived(&seed, STORAGE, name)?;
    let binding: Zeroizing<[u8; DIGEST]> = derived(&seed, INTEGRITY, &[])?;
    let mut hidden = sized(secret)?;
    // The key is used once, so the TPM uses no initialization vector (Part 1, 24.4).
    let key = UnboundCipherKey::new(&AES_128, hiding.as_slice())?;
    let context = EncryptionContext::Iv128(FixedLength::from([0; AES_CFB_IV_LEN]));
    EncryptingKey::cfb128(key)?.less_safe_encrypt(&mut hidden, context)?;
    let mut bound = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, binding.as_slice()));
    bound.update(&hidden);
    bound.update(name);
    Ok(TpmSealed {
        credential: [sized(bound.sign().as_ref())?, hidden].concat(),
        secret: protected,
    })
}

type Seed = Zeroizing<[u8; DIGEST]>;

fn seed_for_rsa(endorsement: &PublicArea) -> Result<(Seed, Vec<u8>), Unspecified> {
    let key = PublicEncryptingKey::from_der(endorsement.key_info()).map_err(|_| Unspecified)?;
    let key = OaepPublicEncryptingKey::new(key)?;
    let mut seed = Zeroizing::new([0; DIGEST]);
    rand::fill(seed.as_mut_slice())?;
    let mut protected = vec![0; key.ciphertext_size()];
    key.encrypt(
        &OAEP_SHA256_MGF1SHA256,
        seed.as_slice(),
        &mut protected,
        Some(IDENTITY),
    )?;
    Ok((seed, protected))
}

fn seed_for_p256(endorsement: &PublicArea) -> Result<(Seed, Vec<u8>), Unspecified> {
    let theirs = endorsement.key().bytes();
    let ours = PrivateKey::generate(&ECDH_P256)?;
    let point = ours.compute_public_key()?;
    let (our_x, our_y) = coordinates(point.as_ref())?;
    let (their_x, _) = coordinates(theirs)?;
    let algorithm = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256);
    let algorithm = algorithm.ok_or(Unspecified)?;
    // Both sides are named by the first coordinate of their point (Part 1, C.6.1).
    let parties = [IDENTITY, our_x, their_x].concat();
    let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
    let seed = agreement::agree(&ours, peer, Unspecified, |shared| {
        let mut seed = Zeroizing::new([0; DIGEST]);
        sskdf_digest(algorithm, shared, &parties, seed.as_mut_slice())?;
        Ok(seed)
    })?;
    Ok((seed, [sized(our_x)?, sized(our_y)?].concat()))
}

/// The coordinates of an uncompressed point (SEC 1 2.3.3).
fn coordinates(point: &[u8]) -> Result<(&[u8], &[u8]), Unspecified> {
    let both = point.get(1..).ok_or(Unspecified)?;
    both.split_at_checked(both.len() / 2).ok_or(Unspecified)
}

/// A key from the seed (`KDFa`, Part 1, 11.4.10.2).
fn derived<const N: usize>(
    seed: &Seed,
    label: &[u8],
    context: &[u8],
) -> Result<Zeroizing<[u8; N]>, Unspecified> {
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256);
    let algorithm = algorithm.ok_or(Unspecified)?;
    let bits = u32::try_from(8 * N).map_err(|_| Unspecified)?;
    let info = [label, context, &bits.to_be_bytes()].concat();
    let mut key = Zeroizing::new([0; N]);
    kbkdf_ctr_hmac(algorithm, seed.as_slice(), &info, key.as_mut_slice())?;
    Ok(key)
}

/// Bytes with their number in front (`TPM2B`, Part 2, 10.4).
fn sized(bytes: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let length = u16::try_from(bytes.len()).map_err(|_| Unspecified)?;
    Ok([&length.to_be_bytes(), bytes].concat())
}
