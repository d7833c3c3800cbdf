//! The keys of a TPM, and what it says of them.

use std::path::{Path, PathBuf};

use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::{TpmPossession, TpmSealed};
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::KeyKind;
use avouch_core::id::Digest;
use aws_lc_rs::rand;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::name::Name;

use super::{EvidenceFault, read, unusable};
use crate::node::key::{KeyFault, signing_request};
use crate::node::tpm::{Loaded, Tpm, TpmFault, TpmKey};

/// A TPM with the keys that are shown. Making them takes time, so it is done before the server is
/// asked.
pub(super) struct Keys {
    device: PathBuf,
    tpm: Tpm,
    certificates: Vec<Vec<u8>>,
    endorsement: Loaded,
    attestation: Loaded,
    node: Loaded,
    key: TpmKey,
}

impl Keys {
    pub(super) fn make(device: &Path, certificate: Option<&Path>) -> Result<Self, EvidenceFault> {
        let mut tpm = Tpm::open(device).map_err(|fault| of_tpm(device, &fault))?;
        let certificates = match certificate {
            Some(path) => chain(path)?,
            None => tpm.certificate().into_iter().collect(),
        };
        let on_curve = certificates.first().is_some_and(|leaf| is_p256(leaf));
        let mut make = || {
            let mut unique = [0; 32];
            rand::fill(&mut unique).map_err(|_| TpmFault::Unreadable)?;
            let node = tpm.node_key(&unique)?;
            let keys = (tpm.endorsement_key(on_curve)?, tpm.attestation_key()?);
            let key = TpmKey::of(device, unique, &node)?;
            Ok((keys, node, key))
        };
        let made = make().map_err(|fault: TpmFault| of_tpm(device, &fault));
        let ((endorsement, attestation), node, key) = made?;
        Ok(Self {
            device: device.to_owned(),
            tpm,
            certificates,
            endorsement,
            attestation,
            node,
            key,
        })
    }

    /// The key that the identity is for, and the request for it. Only one may use a TPM in software
    /// at a time, so it is the connection there is that signs.
    pub(super) fn key_and_request(&mut self) -> Result<(TpmKey, Vec<u8>), EvidenceFault> {
        let mut fault = None;
        let request = signing_request(self.key.public_key(), Name::default(), |message| {
            let signed = self.tpm.signature(&self.node, message);
            signed.map_err(|other| {
                fault = Some(other);
                KeyFault
            })
        });
        let request = request
            .map_err(|KeyFault| of_tpm(&self.device, &fault.unwrap_or(TpmFault::Unreadable)));
        Ok((self.key.clone(), request?))
    }

    pub(super) fn shown(&mut self, statement: &[u8]) -> Result<Shown, EvidenceFault> {
        let nonce = Digest::of(statement);
        let nonce = nonce.as_bytes();
        let said = (self.tpm.certify(&self.node, &self.attestation, nonce))
            .and_then(|certified| Ok((certified, self.tpm.measured(&self.attestation, nonce)?)));
        let (certified, measured) = said.map_err(|fault| of_tpm(&self.device, &fault))?;
        Ok(Shown::Tpm(TpmPossession {
            certificates: self.certificates.clone(),
            endorsement_key: self.endorsement.public.clone(),
            attestation_key: self.attestation.public.clone(),
            node_key: self.node.public.clone(),
            certified: Some(certified),
            quoted: Some(measured.statement),
            registers: measured.registers,
        }))
    }

    pub(super) fn open(&mut self, sealed: &TpmSealed) -> Result<Vec<u8>, EvidenceFault> {
        let opened = self
            .tpm
            .open_sealed(sealed, &self.endorsement, &self.attestation);
        opened.map_err(|fault| of_tpm(&self.device, &fault))
    }
}

fn chain(path: &Path) -> Result<Vec<Vec<u8>>, EvidenceFault> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable(path, "it holds no certificate in PEM"))?;
    Ok(chain.iter().map(|one| one.to_vec()).collect())
}

fn is_p256(certificate: &[u8]) -> bool {
    let certificate = Certificate::parse(certificate).ok();
    certificate.is_some_and(|one| {
        one.public_key()
            .is_ok_and(|key| key.kind() == KeyKind::P256)
    })
}

fn of_tpm(device: &Path, fault: &TpmFault) -> EvidenceFault {
    match fault {
        TpmFault::Unreachable { source, .. } => unusable(device, source.to_string()),
        TpmFault::Refused { .. } | TpmFault::Unreadable => unusable(device, fault.to_string()),
    }
}
