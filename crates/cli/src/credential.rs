//! Putting the presented credential together from files.

use std::path::{Path, PathBuf};

use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;

use crate::fault::Fault;
use crate::input::{self, CREDENTIAL_BYTES, Stop};
use crate::recognise::{Recognised, recognise};

/// Reads what was presented. Several files make one chain of certificates, to which
/// `intermediates` are added; `proof` goes with a token.
pub fn from_files(
    files: &[PathBuf],
    intermediates: &[PathBuf],
    proof: Option<&Path>,
) -> Result<Credential, Stop> {
    let mut found = Vec::with_capacity(files.len());
    for path in files {
        found.push((path.as_path(), read(path)?));
    }
    let takes_proof = matches!(
        found.as_slice(),
        [(_, Recognised::Ssh(_) | Recognised::Token { .. })]
    );
    if proof.is_some() && !takes_proof {
        return Err(usage("`--proof` goes with a token or a key of SSH"));
    }
    if found.len() > 1 {
        return chain_of_files(found, intermediates);
    }
    match found.pop() {
        Some((_, Recognised::ApiKey(key))) => Ok(Credential::ApiKey(key)),
        Some((_, Recognised::Certificates(chain))) => with_intermediates(chain, intermediates),
        Some((_, Recognised::Other(kind))) => Ok(Credential::Unsupported(kind.to_owned())),
        Some((_, Recognised::Saml(text))) => Ok(Credential::Saml(text)),
        Some((_, Recognised::Ssh(key))) => {
            let proof = proof.map(read_signature).transpose()?;
            Ok(Credential::Ssh { key, proof })
        }
        Some((_, Recognised::Token { text, is_wit })) => token(text, is_wit, proof),
        None => Err(usage("no credential was named")),
    }
}

fn chain_of_files(
    found: Vec<(&Path, Recognised)>,
    intermediates: &[PathBuf],
) -> Result<Credential, Stop> {
    let mut chains = Vec::with_capacity(found.len());
    for (path, file) in found {
        let Recognised::Certificates(chain) = file else {
            return Err(usage(&format!(
                "several files make one chain of certificates, and {} is not one",
                input::name_of(path)
            )));
        };
        chains.push(chain);
    }
    // Files may come in any order: the end entity is the first that is no CA. Within a file the
    // order is the holder's, as in TLS.
    let end_entity = chains.iter().position(|chain| !begins_with_ca(chain));
    chains.swap(0, end_entity.unwrap_or(0));
    with_intermediates(chains.into_iter().flatten().collect(), intermediates)
}

fn begins_with_ca(chain: &[Vec<u8>]) -> bool {
    let first = chain.first().map(|der| Certificate::parse(der));
    matches!(first, Some(Ok(certificate)) if certificate.is_ca())
}

fn with_intermediates(
    mut chain: Vec<Vec<u8>>,
    intermediates: &[PathBuf],
) -> Result<Credential, Stop> {
    for path in intermediates {
        let Recognised::Certificates(certificates) = read(path)? else {
            return Err(usage(&format!(
                "{} holds no certificates, so none that could be intermediates",
                input::name_of(path)
            )));
        };
        chain.extend(certificates);
    }
    Ok(Credential::X509(chain))
}

fn token(text: String, is_wit: bool, proof: Option<&Path>) -> Result<Credential, Stop> {
    let proof = proof.map(read_proof).transpose()?;
    if is_wit || proof.is_some() {
        return Ok(Credential::Wit { token: text, proof });
    }
    Ok(Credential::Jwt(text))
}

/// A signature as `ssh-keygen -Y sign` writes it; what is wrong with it is for the core to say.
fn read_signature(path: &Path) -> Result<String, Stop> {
    let bytes = input::read(path, "proof", CREDENTIAL_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_proof(path: &Path) -> Result<String, Stop> {
    let Recognised::Token { text, .. } = read(path)? else {
        return Err(usage(&format!(
            "{} holds no proof of possession, which is a compact token",
            input::name_of(path)
        )));
    };
    Ok(text)
}

fn read(path: &Path) -> Result<Recognised, Stop> {
    let bytes = input::read(path, "credential", CREDENTIAL_BYTES)?;
    recognise(&bytes).map_err(|reason| Stop::refused(path, reason))
}

fn usage(message: &str) -> Stop {
    Stop::Fault(Fault::Usage(message.to_owned()))
}
