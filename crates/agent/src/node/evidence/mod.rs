//! What a node shows to join without a token: one file for each method.

mod k8s_psat;
mod sshpop;
mod x509pop;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use avouch_api::grpc::node::evidence::Shown;
use zeroize::Zeroizing;

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
            Self::X509Pop { .. } => "x509pop",
        }
    }

    /// What is shown for a statement.
    pub(super) fn shown(&self, statement: &[u8]) -> Result<Shown, EvidenceFault> {
        match self {
            Self::K8sPsat { token } => k8s_psat::shown(token),
            Self::SshPop { certificate, key } => sshpop::shown(certificate, key, statement),
            Self::X509Pop { certificate, key } => x509pop::shown(certificate, key, statement),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, EvidenceFault> {
    let fault = |error: io::Error| unusable(path, error.to_string());
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > LONGEST_FILE {
        return Err(unusable(path, format!("it is {length} bytes long")));
    }
    fs::read(path).map(Zeroizing::new).map_err(fault)
}

fn unusable(path: &Path, why: impl Into<String>) -> EvidenceFault {
    EvidenceFault {
        path: path.to_owned(),
        why: why.into(),
    }
}
