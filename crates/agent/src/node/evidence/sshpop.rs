//! The certificate of a host of SSH, and a signature with its key as `ssh-keygen -Y sign` makes one.

use std::path::Path;

use avouch_api::attestation::SSH_NAMESPACE;
use avouch_api::grpc::node::SshPossession;
use avouch_api::grpc::node::evidence::Shown;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64ct::{Base64, Encoding};
use ssh_key::encoding::Encode;
use ssh_key::private::KeypairData;
use ssh_key::{EcdsaCurve, HashAlg, Mpint, PrivateKey, Signature, SshSig};

use super::{EvidenceFault, read, unusable};

pub(super) fn shown(
    certificate: &Path,
    key: &Path,
    statement: &[u8],
) -> Result<Shown, EvidenceFault> {
    // As the authority has signed it, so not read and written anew.
    let text = read(certificate)?;
    let text = str::from_utf8(&text).ok();
    let wire = text.and_then(|text| Base64::decode_vec(text.split_whitespace().nth(1)?).ok());
    let wire = wire.ok_or_else(|| {
        unusable(
            certificate,
            "it is not the certificate of a host, as in a file `-cert.pub`",
        )
    })?;
    let pem = read(key)?;
    let private = PrivateKey::from_openssh(pem.as_slice());
    let private = private.map_err(|_| unusable(key, "it is not a private key of OpenSSH"))?;
    let signature = signature(&private, statement).ok_or_else(|| {
        unusable(
            key,
            "it cannot be used: it must be Ed25519 or ECDSA, without a passphrase",
        )
    })?;
    Ok(Shown::Sshpop(SshPossession {
        certificate: wire,
        signature,
    }))
}

/// A signature in the form of SSH (PROTOCOL.sshsig), as bytes.
fn signature(private: &PrivateKey, statement: &[u8]) -> Option<Vec<u8>> {
    let message = SshSig::signed_data(SSH_NAMESPACE, HashAlg::Sha512, statement).ok()?;
    let plain = match private.key_data() {
        KeypairData::Ed25519(pair) => {
            let (secret, public) = (pair.private.to_bytes(), pair.public.0);
            let pair = Ed25519KeyPair::from_seed_and_public_key(&secret, &public).ok()?;
            pair.sign(&message).as_ref().to_vec()
        }
        KeypairData::Ecdsa(pair) => {
            let algorithm = match pair.curve() {
                EcdsaCurve::NistP256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                EcdsaCurve::NistP384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
                EcdsaCurve::NistP521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
            };
            let (secret, public) = (pair.private_key_bytes(), pair.public_key_bytes());
            let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, secret, public);
            let signed = pair.ok()?.sign(&SystemRandom::new(), &message).ok()?;
            numbers(signed.as_ref())?
        }
        _ => return None,
    };
    let signature = Signature::new(private.algorithm(), plain).ok()?;
    let public = private.public_key().key_data().clone();
    let signed = SshSig::new(public, SSH_NAMESPACE, HashAlg::Sha512, signature).ok()?;
    signed.encode_vec().ok()
}

/// Two numbers of one length as SSH writes them (RFC 5656 3.1.2).
fn numbers(fixed: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = fixed.split_at_checked(fixed.len() / 2)?;
    let mut numbers = Vec::new();
    for number in [r, s] {
        let number = Mpint::from_positive_bytes(number);
        number.encode(&mut numbers).ok()?;
    }
    Some(numbers)
}
