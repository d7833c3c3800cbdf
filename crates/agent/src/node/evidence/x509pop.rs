//! A certificate, and a signature with its key.

use std::path::Path;

use avouch_api::grpc::node::X509Possession;
use avouch_api::grpc::node::evidence::Shown;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{EvidenceFault, read, unusable};

/// How it is signed, by the kind of the key.
const SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
];

pub(super) fn shown(
    certificate: &Path,
    key: &Path,
    statement: &[u8],
) -> Result<Shown, EvidenceFault> {
    let chain = read(certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|_| unusable(certificate, "it holds no certificate in PEM"))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "it holds no certificate in PEM"));
    }
    let pem = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem);
    let private = private.map_err(|_| unusable(key, "it holds no private key in PEM"))?;
    let kind = "it is a key of a kind that cannot be used";
    let signing = any_supported_type(&private).map_err(|_| unusable(key, kind))?;
    let signer = signing
        .choose_scheme(&SCHEMES)
        .ok_or_else(|| unusable(key, kind))?;
    let signature = signer.sign(statement);
    let signature = signature.map_err(|_| unusable(key, "it does not sign"))?;
    Ok(Shown::X509pop(X509Possession {
        certificates: chain.iter().map(|one| one.to_vec()).collect(),
        scheme: u32::from(u16::from(signer.scheme())),
        signature,
    }))
}
