//! What a node shows to join without a token: one file for each method.

mod k8s_psat;
mod sshpop;
mod tpm;
mod x509pop;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use avouch_api::grpc::node::TpmSealed;
use avouch_api::grpc::node::evidence::Shown;
use avouch_core::words::counted;
use zeroize::Zeroizing;

use super::LinkFault;
use super::key::{MemberKey, NodeKey};

/// The longest file that is read.
const LONGEST_FILE: u64 = 1 << 20;

/// To whom a node shows who it is, and how.
#[derive(Clone, Debug)]
pub struct Attesting {
    /// The tenant whose node it is.
    pub tenant: String,
    /// The attestor of that tenant.
    pub attestor: String,
    /// What is shown.
    pub evidence: Evidence,
}

/// What a node can show. Files are read each time, since others renew them.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// A token that Kubernetes projects into the pod of the agent.
    K8sPsat {
        /// The file of the token.
        token: PathBuf,
    },
    /// The certificate of a host of SSH and its key.
    SshPop {
        /// The certificate, as in a file `-cert.pub`.
        certificate: PathBuf,
        /// The key, in the form of OpenSSH.
        key: PathBuf,
    },
    /// Keys of a TPM.
    Tpm {
        /// The device, or the socket of a TPM in software.
        device: PathBuf,
        /// The certificate of its endorsement key and the intermediates above it, in PEM, if it is
        /// not in the TPM itself.
        certificate: Option<PathBuf>,
    },
    /// A certificate and its key.
    X509Pop {
        /// The certificate of the node and the intermediates above it, in PEM.
        certificate: PathBuf,
        /// The key, in PEM.
        key: PathBuf,
    },
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct EvidenceFault {
    /// In which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Evidence {
    /// The name of the method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::K8sPsat { .. } => "k8s_psat",
            Self::SshPop { .. } => "sshpop",
            Self::Tpm { .. } => "tpm",
            Self::X509Pop { .. } => "x509pop",
        }
    }

    /// Does what takes time, before a server waits for it.
    ///
    /// # Errors
    ///
    /// If there is nothing to show.
    pub fn prepare(&self) -> Result<Preparation, EvidenceFault> {
        let tpm = match self {
            Self::Tpm {
                device,
                certificate,
            } => Some(tpm::Keys::make(device, certificate.as_deref())?),
            Self::K8sPsat { .. } | Self::SshPop { .. } | Self::X509Pop { .. } => None,
        };
        Ok(Preparation {
            evidence: self.clone(),
            tpm,
        })
    }
}

/// What a node is about to show to one server, once.
pub struct Preparation {
    evidence: Evidence,
    tpm: Option<tpm::Keys>,
}

impl Preparation {
    /// The key that the identity is for, where a TPM is shown, in that TPM; and the request for it.
    ///
    /// # Errors
    ///
    /// If it cannot be made or used.
    pub fn key_and_request(&mut self) -> Result<(MemberKey, Vec<u8>), LinkFault> {
        if let Some(keys) = &mut self.tpm {
            let (key, request) = keys.key_and_request()?;
            return Ok((MemberKey::InTpm(key), request));
        }
        let key = NodeKey::generate()?;
        let request = key.signing_request()?;
        Ok((MemberKey::Kept(key), request))
    }

    /// What is shown for a statement.
    ///
    /// # Errors
    ///
    /// If there is nothing to show.
    pub fn shown(&mut self, statement: &[u8]) -> Result<Shown, EvidenceFault> {
        match (&self.evidence, &mut self.tpm) {
            (Evidence::K8sPsat { token }, _) => k8s_psat::shown(token),
            (Evidence::SshPop { certificate, key }, _) => {
                sshpop::shown(certificate, key, statement)
            }
            (Evidence::X509Pop { certificate, key }, _) => {
                x509pop::shown(certificate, key, statement)
            }
            (Evidence::Tpm { .. }, Some(keys)) => keys.shown(statement),
            (Evidence::Tpm { device, .. }, None) => Err(unusable(device, "it has no keys")),
        }
    }

    /// What was sealed for the TPM that is shown.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn open(&mut self, sealed: &TpmSealed) -> Result<Vec<u8>, EvidenceFault> {
        match &mut self.tpm {
            Some(keys) => keys.open(sealed),
            None => Err(unusable(Path::new("TPM"), "none is shown")),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, EvidenceFault> {
    let fault = |error: io::Error| unusable(path, error.to_string());
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > LONGEST_FILE {
        return Err(unusable(
            path,
            format!("it is {} long", counted(length, "byte", "bytes")),
        ));
    }
    fs::read(path).map(Zeroizing::new).map_err(fault)
}

fn unusable(path: &Path, why: impl Into<String>) -> EvidenceFault {
    EvidenceFault {
        path: path.to_owned(),
        why: why.into(),
    }
}
