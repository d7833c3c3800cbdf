//! The bundles of foreign trust domains, each in a file of its own.
//!
//! A certificate of a bundle is a root to whoever reads it from a file, and speaks there for every
//! name. In one file with the bundle of the own trust domain, the CA of a partner could vouch for
//! workloads of ours: bundles of different trust domains are never merged (SPIFFE Federation).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use avouch_api::grpc::workload::X509svidResponse;
use avouch_core::id::TrustDomain;

use super::files::write_file;
use super::x509::pem_of_all;
use crate::fault::Fault;
use crate::output;

/// The folder of these files, in that of the others.
const FOLDER: &str = "federated";

/// The ending of these files.
const ENDING: &str = ".pem";

/// The longest name of a file in bytes, with room for `.new` behind it while it is written
/// (`NAME_MAX`, `limits.h(0p)`).
const LONGEST_NAME: usize = 255 - ".new".len();

/// The bundles of the foreign trust domains that were fetched, as PEM, and none without certificates:
/// nobody of those trust domains is to be believed.
pub(super) fn bundles(fetched: &X509svidResponse) -> BTreeMap<TrustDomain, String> {
    let bundles = fetched.federated_bundles.iter();
    let bundles = bundles.filter_map(|(id, bundle)| {
        let name = id.strip_prefix("spiffe://").unwrap_or(id);
        let trust_domain = TrustDomain::parse(name).ok()?;
        Some((trust_domain, pem_of_all(bundle)))
    });
    bundles.filter(|(_, pem)| !pem.is_empty()).collect()
}

/// The file of a trust domain, whose name has no character that means something in a path.
pub(super) fn file(folder: &Path, trust_domain: &TrustDomain) -> PathBuf {
    folder.join(FOLDER).join(format!("{trust_domain}{ENDING}"))
}

/// Writes each bundle, and removes those of trust domains that nobody federates with any more.
pub(super) fn write(folder: &Path, fetched: &X509svidResponse) -> Result<(), Fault> {
    let bundles = bundles(fetched);
    remove_former(&folder.join(FOLDER), &bundles)?;
    for (trust_domain, pem) in bundles {
        let name = trust_domain.as_str();
        if name.len() + ENDING.len() > LONGEST_NAME {
            output::warn(&format!("the name {name} is too long for a file"));
            continue;
        }
        write_file(&file(folder, &trust_domain), &pem, 0o644)?;
    }
    Ok(())
}

/// Takes back the bundles that are there no more, before anything new is believed. Other files that
/// someone has put into the folder stay.
fn remove_former(folder: &Path, bundles: &BTreeMap<TrustDomain, String>) -> Result<(), Fault> {
    let fault = |error: std::io::Error| Fault::Folder {
        path: folder.to_owned(),
        why: error.to_string(),
    };
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
    };
    for entry in files {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        let former = name.and_then(|name| TrustDomain::parse(name).ok());
        if former.is_some_and(|former| !bundles.contains_key(&former)) {
            fs::remove_file(entry.path()).map_err(fault)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `der` says is a certificate: the shortest text that can be told from the next.
    const CERTIFICATE: &[u8] = &[0x30, 0x00];

    fn fetched(of: &[(&str, &[u8])]) -> X509svidResponse {
        let bundles = of.iter();
        let bundles = bundles.map(|(name, der)| ((*name).to_owned(), der.to_vec()));
        X509svidResponse {
            federated_bundles: bundles.collect(),
            ..X509svidResponse::default()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder.join(FOLDER)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn b_08_each_foreign_trust_domain_has_a_file_for_as_long_as_it_has_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("spiffe://{}", "a".repeat(250));
        let all = fetched(&[
            ("spiffe://a.test", CERTIFICATE),
            ("spiffe://b.test", CERTIFICATE),
            ("spiffe://withdrawn.test", &[]),
            ("spiffe://../../outside", CERTIFICATE),
            (&long, CERTIFICATE),
        ]);
        write(folder.path(), &all).unwrap();
        fs::write(folder.path().join(FOLDER).join("README"), "mine").unwrap();
        assert_eq!(names(folder.path()), ["README", "a.test.pem", "b.test.pem"]);
        write(
            folder.path(),
            &fetched(&[("spiffe://b.test", CERTIFICATE), ("spiffe://a.test", &[])]),
        )
        .unwrap();
        assert_eq!(names(folder.path()), ["README", "b.test.pem"]);
        write(folder.path(), &fetched(&[])).unwrap();
        assert_eq!(names(folder.path()), ["README"]);
    }
}
