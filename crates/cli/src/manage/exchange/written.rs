//! What was given, told and written to files.

use std::fs;
use std::path::{Path, PathBuf};

use avouch_api::text::pem_blocks;
use avouch_core::credential::x509::Certificate;
use avouch_core::id::SpiffeId;
use base64ct::{Base64, Encoding, LineEnding};
use der::pem;
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::fetch::write_file;
use crate::manage::holder::Holder;
use crate::manage::pretty;
use crate::output;

/// Makes a folder if there is none, and sees that a file can be written there: what is written later
/// cannot be had again.
pub(super) fn make_folder(folder: &Path) -> Result<(), Fault> {
    let tried = fs::create_dir_all(folder).and_then(|()| {
        let probe = folder.join(format!(".avouch-{}", std::process::id()));
        fs::write(&probe, [])?;
        fs::remove_file(&probe)
    });
    tried.map_err(|why| Fault::Folder {
        path: folder.to_owned(),
        why: why.to_string(),
    })
}

/// Tells what was given, or where it was written to.
pub(super) fn tell(
    given: &Value,
    folder: Option<&Path>,
    holder: Option<&Holder>,
    endpoint: &Endpoint,
    common: &Common,
) -> Result<Exit, Fault> {
    let credential = given.get("access_token").and_then(Value::as_str);
    let credential = credential.unwrap_or_default();
    let Some(folder) = folder else {
        output::formatted(common.output, || credential.to_owned(), || pretty(given))?;
        return Ok(Exit::Accepted);
    };
    let mut lines = Vec::new();
    let files = match leaf(credential) {
        Some(leaf) => {
            let id = leaf.uris().find_map(|uri| SpiffeId::parse(uri).ok());
            let id = id.ok_or_else(|| Fault::Run("the certificate has no SPIFFE ID".to_owned()))?;
            lines.push(id.to_string());
            lines.push(format!("  valid from   {}", leaf.not_before()));
            lines.push(format!("  valid until  {}", leaf.not_after()));
            let files = ["svid.pem", "key.pem", "bundle.pem"].map(|name| folder.join(name));
            let [chain, key, bundle] = &files;
            // First what cannot be had again.
            if let Some(holder) = holder {
                write_file(key, &holder.to_pem(), 0o600)?;
            }
            write_file(chain, credential, 0o644)?;
            let roots = endpoint.roots(id.trust_domain().as_str())?;
            write_file(bundle, &in_pem(&roots), 0o644)?;
            files.to_vec()
        }
        None => {
            let file = folder.join("token.jwt");
            write_file(&file, credential, 0o600)?;
            lines.push(format!("valid for      {} s", seconds(given)));
            vec![file]
        }
    };
    let written = |(index, file): (usize, &PathBuf)| match index {
        0 => format!("  written to   {}", file.display()),
        _ => format!("               {}", file.display()),
    };
    lines.extend(files.iter().enumerate().map(written));
    output::formatted(
        common.output,
        || lines.join("\n"),
        || {
            let mut told = given.clone();
            if let Some(members) = told.as_object_mut() {
                // It stands in a file that only its owner reads, and not in what others read.
                members.remove("access_token");
                let names = files.iter().map(|file| file.display().to_string());
                members.insert("files".to_owned(), json!(names.collect::<Vec<_>>()));
            }
            pretty(&told)
        },
    )?;
    Ok(Exit::Accepted)
}

fn leaf(credential: &str) -> Option<Certificate> {
    let blocks = pem_blocks(credential).ok()?;
    let der = blocks.first()?.decode().ok()?;
    Certificate::parse(&der).ok()
}

fn seconds(given: &Value) -> i64 {
    let seconds = given.get("expires_in").and_then(Value::as_i64);
    seconds.unwrap_or_default()
}

/// Certificates in base64, as PEM.
fn in_pem(certificates: &[String]) -> String {
    let texts = certificates.iter().filter_map(|certificate| {
        let der = Base64::decode_vec(certificate).ok()?;
        pem::encode_string("CERTIFICATE", LineEnding::LF, &der).ok()
    });
    texts.collect()
}
