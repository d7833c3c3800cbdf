//! `avouch fetch x509`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use avouch_api::grpc::workload::{X509svid, X509svidRequest, X509svidResponse};
use avouch_core::credential::x509::Certificate;
use base64ct::LineEnding;
use der::pem;
use der::{Reader, SliceReader};
use serde_json::{Value, json};
use tonic::{Code, Status, Streaming};
use zeroize::Zeroizing;

use super::files::{Staged, remove_files, write_file};
use super::{Client, denied, federated, first, patiently};
use crate::arguments::{Common, FetchX509Arguments};
use crate::fault::{Exit, Fault};
use crate::output;

pub(super) async fn fetch(
    client: Client,
    arguments: &FetchX509Arguments,
    common: &Common,
) -> Result<Exit, Fault> {
    if arguments.watch {
        return watch(client, arguments, common).await;
    }
    let fetched = patiently(|| {
        let mut client = client.clone();
        async move { client.fetch_x509svid(X509svidRequest {}).await }
    });
    let mut stream = fetched
        .await
        .map_err(|status| denied(&status))?
        .into_inner();
    let fetched = first(&mut stream).await?;
    take(fetched, arguments, common)?;
    Ok(Exit::Accepted)
}

/// How long to wait before an agent that has gone is called again.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes what there is and whatever comes after it, until a signal ends the command. An agent that
/// restarts is waited for; who has no identity any more is told so.
async fn watch(
    mut client: Client,
    arguments: &FetchX509Arguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let mut files = Watched::default();
    loop {
        let mut stream = match client.fetch_x509svid(X509svidRequest {}).await {
            Ok(stream) => stream.into_inner(),
            Err(status) if status.code() == Code::Unavailable => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(status) => return Err(denied(&status)),
        };
        loop {
            match files.next(&mut stream).await {
                Ok(Some(fetched)) => files.take(fetched, arguments, common).await?,
                Err(status) if status.code() == Code::PermissionDenied => {
                    return Err(denied(&status));
                }
                Ok(None) | Err(_) => break,
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a watch is still to write.
#[derive(Default)]
struct Watched {
    unwritten: Option<X509svidResponse>,
    /// Why, so that it is said once.
    told: Option<String>,
}

impl Watched {
    /// What comes next, or what could not be written before if nothing comes for a while.
    async fn next(
        &mut self,
        stream: &mut Streaming<X509svidResponse>,
    ) -> Result<Option<X509svidResponse>, Status> {
        let Some(unwritten) = self.unwritten.take() else {
            return stream.message().await;
        };
        let next = tokio::time::timeout(PAUSE, stream.message()).await;
        next.unwrap_or(Ok(Some(unwritten)))
    }

    /// Writes it. A disk that is full has room again one day, and nobody may be there to begin anew then.
    async fn take(
        &mut self,
        fetched: X509svidResponse,
        arguments: &FetchX509Arguments,
        common: &Common,
    ) -> Result<(), Fault> {
        match take(fetched.clone(), arguments, common) {
            Ok(()) => self.told = None,
            Err(fault @ Fault::Folder { .. }) => {
                let why = fault.to_string();
                if self.told.as_ref() != Some(&why) {
                    output::warn(&format!("{why}; it is tried again"));
                }
                self.told = Some(why);
                self.unwritten = Some(fetched);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        }
        match &arguments.run {
            Some(command) => run(command).await,
            None => Ok(()),
        }
    }
}

/// Runs a command. That it failed is said, and does not end the watch: the next certificate may
/// come through.
async fn run(command: &str) -> Result<(), Fault> {
    let mut shell = tokio::process::Command::new("/bin/sh");
    let ended = shell.arg("-c").arg(command).status().await;
    let ended = ended.map_err(|error| Fault::Run(format!("/bin/sh: {error}")))?;
    if !ended.success() {
        output::warn(&format!("`{command}` ended with {ended}"));
    }
    Ok(())
}

fn take(
    mut fetched: X509svidResponse,
    arguments: &FetchX509Arguments,
    common: &Common,
) -> Result<(), Fault> {
    if let Some(wanted) = &arguments.spiffe_id {
        fetched
            .svids
            .retain(|svid| svid.spiffe_id == wanted.as_str());
        if fetched.svids.is_empty() {
            return Err(Fault::NotThis(wanted.clone()));
        }
    }
    let fetched = &fetched;
    if let Some(folder) = &arguments.write {
        write(folder, fetched)?;
    }
    let human = || human(fetched, arguments.write.as_deref());
    output::formatted(common.output, human, || {
        let svids: Vec<Value> = fetched.svids.iter().map(as_json).collect();
        let federated = fetched.federated_bundles.iter();
        let federated: serde_json::Map<String, Value> = federated
            .map(|(name, bundle)| (name.clone(), pem_of_all(bundle).into()))
            .collect();
        let lists: Vec<String> = fetched.crl.iter().map(|der| pem_of_list(der)).collect();
        format!(
            "{:#}",
            json!({
                "svids": svids,
                "federated_bundles": federated,
                "revocation_lists": lists,
            })
        )
    })
}

fn human(fetched: &X509svidResponse, folder: Option<&Path>) -> String {
    let mut lines = Vec::new();
    for (number, svid) in fetched.svids.iter().enumerate() {
        let certificates = certificates(&svid.x509_svid);
        lines.push(svid.spiffe_id.clone());
        if !svid.hint.is_empty() {
            lines.push(format!("  hint         {}", svid.hint));
        }
        if let Some(own) = certificates
            .first()
            .and_then(|own| Certificate::parse(own).ok())
        {
            lines.push(format!("  valid from   {}", own.not_before()));
            lines.push(format!("  valid until  {}", own.not_after()));
        }
        let above = certificates.len().saturating_sub(1);
        lines.push(format!("  certificates 1 and {above} above it"));
        if let Some(folder) = folder {
            let [chain, key, bundle] = files(folder, number);
            lines.push(format!("  written to   {}", chain.display()));
            lines.push(format!("               {}", key.display()));
            lines.push(format!("               {}", bundle.display()));
        }
    }
    for (trust_domain, _) in federated::bundles(fetched) {
        lines.push(format!("federates with {trust_domain}"));
        if let Some(folder) = folder {
            let file = federated::file(folder, &trust_domain);
            lines.push(format!("  written to   {}", file.display()));
        }
    }
    if folder.is_none() {
        lines.push(String::new());
        lines.push("The private key is not shown; --write DIR writes it to a file.".to_owned());
    }
    lines.join("\n")
}

fn as_json(svid: &X509svid) -> Value {
    json!({
        "spiffe_id": svid.spiffe_id,
        "hint": svid.hint,
        "x509_svid": pem_of_all(&svid.x509_svid),
        "bundle": pem_of_all(&svid.bundle),
    })
}

/// The chain, the key and the bundle of an SVID. The first has the plain names.
fn files(folder: &Path, number: usize) -> [PathBuf; 3] {
    let number = match number {
        0 => String::new(),
        number => format!(".{number}"),
    };
    ["svid", "key", "bundle"].map(|name| folder.join(format!("{name}{number}.pem")))
}

fn write(folder: &Path, fetched: &X509svidResponse) -> Result<(), Fault> {
    let mut staged = Vec::new();
    for (number, svid) in fetched.svids.iter().enumerate() {
        let [chain, key, bundle] = files(folder, number);
        let pkcs8 = pem::encode_string("PRIVATE KEY", LineEnding::LF, &svid.x509_svid_key);
        let pkcs8 = Zeroizing::new(pkcs8.unwrap_or_default());
        for (path, text, mode) in [
            (&chain, pem_of_all(&svid.x509_svid).as_str(), 0o644),
            (&key, pkcs8.as_str(), 0o600),
            (&bundle, pem_of_all(&svid.bundle).as_str(), 0o644),
        ] {
            staged.push(Staged::write(path, text, mode)?);
        }
    }
    // Where there is no room for all of them, none is replaced: a certificate without its key is of no use.
    staged.into_iter().try_for_each(Staged::put)?;
    federated::write(folder, fetched)?;
    if !fetched.crl.is_empty() {
        let lists: String = fetched.crl.iter().map(|der| pem_of_list(der)).collect();
        write_file(&folder.join("crl.pem"), &lists, 0o644)?;
    }
    // The first stays, also if there is none any more: what runs with it may have to start again, and
    // an agent that cannot tell yet must not take it from there.
    let former = (fetched.svids.len().max(1)..).map(|number| {
        let [chain, key, bundle] = files(folder, number);
        [key, bundle, chain]
    });
    remove_files(former)
}

fn pem_of_list(der: &[u8]) -> String {
    pem::encode_string("X509 CRL", LineEnding::LF, der).unwrap_or_default()
}

/// Certificates as DER one after the other, as PEM.
pub(super) fn pem_of_all(der: &[u8]) -> String {
    let all = certificates(der);
    let texts = all
        .iter()
        .filter_map(|der| pem::encode_string("CERTIFICATE", LineEnding::LF, der).ok());
    texts.collect()
}

/// Certificates as DER one after the other, apart.
pub(crate) fn certificates(der: &[u8]) -> Vec<Vec<u8>> {
    let mut certificates = Vec::new();
    let Ok(mut reader) = SliceReader::new(der) else {
        return certificates;
    };
    while !reader.is_finished() {
        match reader.tlv_bytes() {
            Ok(certificate) => certificates.push(certificate.to_vec()),
            Err(_) => break,
        }
    }
    certificates
}
