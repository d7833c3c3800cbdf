//! Trust documents in JSON or YAML, and stores in PEM or DER.

#![no_main]

use avouch_api::TrustDocument;
use avouch_core::credential::Credential;
use avouch_core::id::TenantId;
use avouch_core::question::Profile;
use avouch_fuzz::{check, check_reason, fixtures};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CHAIN: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let issuing = fixtures::issuing();
    [issuing.server("a.example"), issuing.certificate]
});

fuzz_target!(|data: &[u8]| {
    let document = match TrustDocument::read(data, &TenantId::local(), "fuzz") {
        Ok(document) => document,
        Err(reason) => return check_reason(&reason),
    };
    for piece in document.set_aside().kept() {
        check_reason(&piece.reason);
    }
    let again = TrustDocument::read(data, &TenantId::local(), "fuzz").map(|read| read.digest());
    assert_eq!(again, Ok(document.digest()));
    let view = TrustDocument::view(TenantId::local(), vec![document]);
    let chain = Credential::X509(CHAIN.to_vec());
    let question = fixtures::question(chain, Profile::Private, Vec::new());
    check(&question, &view, fixtures::limits());
});
