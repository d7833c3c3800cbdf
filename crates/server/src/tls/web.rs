//! The certificate of the Web PKI that the server shows, from files that others replace.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use avouch_core::id::Digest;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::config;
use crate::fault::Fault;

/// The longest file in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// Where a certificate and its key are, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebFiles {
    /// The certificate, the end entity first, with the intermediates above it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate that is read anew when its files change.
pub struct WebCertificate {
    files: WebFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// The digest of what was read last, also if it was of no use.
    seen: Mutex<Digest>,
}

impl WebCertificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`Fault::Certificate`].
    pub fn read(files: WebFiles) -> Result<Arc<Self>, Fault> {
        let (digest, read) = read(&files)?;
        Ok(Arc::new(Self {
            config: RwLock::new(read?),
            seen: Mutex::new(digest),
            files,
        }))
    }

    /// Takes what the files hold now, if that is something else than before. What is of no use,
    /// such as a certificate whose key is yet to be written, is told once, and the certificate
    /// before it is shown on.
    pub fn follow(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match read(&self.files) {
            Ok((digest, _)) if digest == *seen => return,
            Ok((digest, read)) => {
                *seen = digest;
                read
            }
            Err(fault) => {
                let digest = Digest::of(fault.to_string().as_bytes());
                if digest == *seen {
                    return;
                }
                *seen = digest;
                Err(fault)
            }
        };
        match read {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!(
                    file = %self.files.certificate.display(),
                    "the certificate was read anew"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be read; the one before is shown on");
            }
        }
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }
}

impl fmt::Debug for WebCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebCertificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// What is in the files, and what it is good for.
fn read(files: &WebFiles) -> Result<(Digest, Result<Arc<ServerConfig>, Fault>), Fault> {
    let certificate = content(&files.certificate)?;
    let key = content(&files.key)?;
    let digest = Digest::of_list([certificate.as_slice(), key.as_slice()]);
    Ok((digest, usable(files, &certificate, &key)))
}

fn usable(files: &WebFiles, certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, Fault> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| fault(&files.certificate, "it holds no certificate in PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| fault(&files.key, "it holds no private key in PEM"))?;
    let provider = aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
        fault(
            &files.key,
            &format!("it is of no use with the certificate: {error}"),
        )
    })?;
    config(Arc::new(key))
}

fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let failed = |error: std::io::Error| fault(path, &error.to_string());
    let mut content = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    let read = file.take(LONGEST_FILE).read_to_end(&mut content);
    read.map_err(failed)?;
    Ok(content)
}

fn fault(path: &Path, why: &str) -> Fault {
    Fault::Certificate {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
