//! Loading what is trusted: documents, stores of certificates, the system's own store.

use std::path::{Path, PathBuf};

use avouch_api::TrustDocument;
use avouch_core::anchor::{PublicStore, Stewardship, StoreLabel};
use avouch_core::id::TenantId;
use avouch_core::view::View;

use crate::fault::Fault;
use crate::input::{self, Stop, TRUST_BYTES};

/// The name of the system's own store among the arguments; a file of that name is `./system`.
const SYSTEM: &str = "system";

/// What it is called for a reader.
pub const SYSTEM_STORE: &str = "the system's store (public Web PKI)";

/// Reads what is trusted, and the revocation lists, into one view.
pub fn view(tenant: &TenantId, trust: &[PathBuf], crls: &[PathBuf]) -> Result<View, Stop> {
    let mut documents = Vec::with_capacity(trust.len() + crls.len());
    for path in trust {
        documents.push(document(path, tenant)?);
    }
    for path in crls {
        documents.push(revocation_lists(path, tenant)?);
    }
    Ok(TrustDocument::view(tenant.clone(), documents))
}

/// Whether an argument names the system's own store.
pub fn is_system(path: &Path) -> bool {
    path.as_os_str() == SYSTEM
}

/// Reads one document, or the system's store.
pub fn document(path: &Path, tenant: &TenantId) -> Result<TrustDocument, Stop> {
    if is_system(path) {
        return Ok(system(tenant)?);
    }
    let bytes = input::read(path, "trust document", TRUST_BYTES)?;
    TrustDocument::read(&bytes, tenant, &input::name_of(path))
        .map_err(|reason| Stop::refused(path, reason))
}

/// Reads revocation lists, and no anchor by mistake: naming a file with `--crl` trusts no one.
fn revocation_lists(path: &Path, tenant: &TenantId) -> Result<TrustDocument, Stop> {
    let document = document(path, tenant)?;
    if !document.entries().is_empty() || document.set_aside().count() > 0 {
        return Err(Stop::Fault(Fault::Usage(format!(
            "{} holds more than revocation lists; give what is to be trusted with `--trust`",
            input::name_of(path)
        ))));
    }
    Ok(document)
}

/// The store that the maker of the system, or its administrator, chose: the public Web PKI.
fn system(tenant: &TenantId) -> Result<TrustDocument, Fault> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found
            .errors
            .first()
            .map_or_else(|| "it is empty".to_owned(), ToString::to_string);
        return Err(Fault::SystemStore(why));
    }
    let mut certificates: Vec<Vec<u8>> = found.certs.iter().map(|der| der.to_vec()).collect();
    // A folder is listed in no order, and the same store must be the same view.
    certificates.sort();
    certificates.dedup();
    let stewardship = Stewardship {
        owner: Some("the maker of this system".to_owned()),
        reason: Some("public Web PKI: trusted by default, for any name".to_owned()),
        public_store: Some(PublicStore {
            label: StoreLabel::WebPki,
            source: SYSTEM_STORE.to_owned(),
            as_of: None,
        }),
        ..Stewardship::default()
    };
    Ok(TrustDocument::of_store(
        &certificates,
        tenant,
        SYSTEM_STORE,
        &stewardship,
    ))
}
