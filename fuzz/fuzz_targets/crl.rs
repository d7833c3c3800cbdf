//! Revocation lists one after another, as DER: read, then held against a certificate.

#![no_main]

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::Profile;
use avouch_core::view::View;
use avouch_fuzz::{check, fixtures, pieces};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static CHAIN: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let issuing = fixtures::issuing();
    let leaf = issuing.server("a.example");
    [leaf, issuing.certificate, fixtures::root().certificate]
});

fuzz_target!(|data: &[u8]| {
    let lists: Vec<Crl> = pieces::of_der(data)
        .filter_map(|der| Crl::parse(der).ok())
        .collect();
    for list in &lists {
        assert!(list.is_empty() == (list.len() == 0));
        let _ = (
            list.this_update(),
            list.next_update(),
            list.issuer().to_string(),
        );
    }
    let [leaf, issuing, root] = &*CHAIN;
    let root = Certificate::parse(root).expect("the fixture can be read");
    let anchor = Anchor {
        name: "root".to_owned(),
        kind: AnchorKind::Certificate(Arc::new(root)),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    };
    let view = View::new(
        TenantId::local(),
        vec![anchor],
        lists,
        Vec::new(),
        Digest::of(data),
    );
    let chain = Credential::X509(vec![leaf.clone(), issuing.clone()]);
    let mut question = fixtures::question(chain, Profile::Rfc5280, Vec::new());
    question.context.require_revocation = data.len() % 2 == 1;
    check(&question, &view, fixtures::limits());
});
