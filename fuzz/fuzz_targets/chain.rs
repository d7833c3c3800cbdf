//! Certificates one after another, as DER: read, then decided on. The first byte says how.

#![no_main]

use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::question::ExpectedName;
use avouch_fuzz::{check, fixtures, pieces, world};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((how, ders)) = data.split_first() else {
        return;
    };
    let chain: Vec<Vec<u8>> = pieces::of_der(ders).map(<[u8]>::to_vec).collect();
    for der in &chain {
        if let Ok(certificate) = Certificate::parse(der) {
            assert_eq!(certificate.der(), der);
            assert!(!certificate.title().is_empty() || !certificate.subject().is_empty());
            assert!(certificate.not_before().to_string().len() >= "1950-01-01".len());
        }
    }
    let expected = ExpectedName::Dns("a.example".to_owned());
    let mut question = fixtures::question(
        Credential::X509(chain),
        world::profile(*how),
        if how & 64 == 0 {
            Vec::new()
        } else {
            vec![expected]
        },
    );
    question.purpose = world::purpose(how >> 2);
    check(&question, fixtures::view(), fixtures::limits());
});
