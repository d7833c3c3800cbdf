//! The key of a node that is in its TPM: it is made anew whenever it signs, always the same.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_core::credential::tpm::PublicArea;
use aws_lc_rs::digest;
use der::asn1::UintRef;
use der::{Encode, Sequence};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use tpm2_protocol::data::{TpmtSignature, TpmuSignature};

use super::{Loaded, Tpm, TpmFault};

/// A P-256 key in the TPM at a path.
#[derive(Clone)]
pub struct TpmKey {
    device: PathBuf,
    unique: [u8; 32],
    public_key: Vec<u8>,
}

impl fmt::Debug for TpmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpmKey")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// `ECDSA-Sig-Value` (RFC 3279 2.2.3).
#[derive(Sequence)]
struct Numbers<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl TpmKey {
    /// The key that was made with this number and is in the TPM at the moment.
    pub(crate) fn of(device: &Path, unique: [u8; 32], loaded: &Loaded) -> Result<Self, TpmFault> {
        let area = PublicArea::parse(&loaded.public).map_err(|_| TpmFault::Unreadable)?;
        Ok(Self {
            device: device.to_owned(),
            unique,
            public_key: area.key_info().to_vec(),
        })
    }

    /// The key that was kept.
    pub(crate) fn kept(device: PathBuf, unique: [u8; 32], public_key: Vec<u8>) -> Self {
        Self {
            device,
            unique,
            public_key,
        }
    }

    /// Where the TPM is.
    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    /// The number that it is made of.
    pub(crate) fn unique(&self) -> &[u8; 32] {
        &self.unique
    }

    /// As a DER `SubjectPublicKeyInfo`.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// A signature by ECDSA with SHA-256, in DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TpmFault> {
        let mut tpm = Tpm::open(&self.device)?;
        let loaded = tpm.node_key(&self.unique)?;
        tpm.signature(&loaded, message)
    }
}

impl Tpm {
    /// As [`TpmKey::sign`], with a key that is in the TPM at the moment.
    pub(crate) fn signature(&mut self, key: &Loaded, message: &[u8]) -> Result<Vec<u8>, TpmFault> {
        let digest = digest::digest(&digest::SHA256, message);
        let signature = self.sign(key, digest.as_ref())?;
        numbers(&signature).ok_or(TpmFault::Unreadable)
    }
}

fn numbers(signature: &TpmtSignature) -> Option<Vec<u8>> {
    let TpmuSignature::Ecdsa(numbers) = &signature.signature else {
        return None;
    };
    let numbers = Numbers {
        r: UintRef::new(&numbers.signature_r).ok()?,
        s: UintRef::new(&numbers.signature_s).ok()?,
    };
    numbers.to_der().ok()
}

impl SigningKey for TpmKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let offered = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for TpmKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Self::sign(self, message).map_err(|fault| {
            tracing::error!(%fault, "the key of the node cannot be used");
            Error::General(fault.to_string())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl TpmKey {
    /// For TLS.
    pub(crate) fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::new(self.clone())
    }
}
