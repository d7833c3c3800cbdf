//! Requests after the status of certificates (OCSP), as DER. What is read keeps its bounds, and what an
//! answer repeats of it is a part of it.

#![no_main]

use avouch_core::credential::x509::StatusRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    let Ok(request) = StatusRequest::parse(der) else {
        return;
    };
    let is_part = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
    let certificates = request.certificates();
    assert!(!certificates.is_empty() && certificates.len() <= StatusRequest::MOST);
    for id in certificates {
        assert!(is_part(id.der()));
        assert!(!id.serial().is_empty());
    }
    if let Some(nonce) = request.nonce() {
        assert!((1..=128).contains(&nonce.len()) && is_part(nonce));
    }
});
