//! Requests after the status of certificates (OCSP), as DER. What is read keeps its bounds, and what an
//! answer repeats of it is a part of it.

#![no_main]

use avouch_core::credential::x509::{CertificateId, IssuerHash, StatusRequest};
use avouch_testkit::asn1;
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
        if let Some(hash) = id.hash() {
            assert_eq!(written(id, hash), id.der());
        }
    }
    if let Some(nonce) = request.nonce() {
        assert!((1..=128).contains(&nonce.len()) && is_part(nonce));
    }
});

/// A name written anew from what was read of it. There is one way to write it, so that an answer that is
/// kept by what was read is kept once.
fn written(id: &CertificateId, hash: IssuerHash) -> Vec<u8> {
    let oid = asn1::oid(match hash {
        IssuerHash::Sha1 => "1.3.14.3.2.26",
        IssuerHash::Sha256 => "2.16.840.1.101.3.4.2.1",
        IssuerHash::Sha384 => "2.16.840.1.101.3.4.2.2",
        IssuerHash::Sha512 => "2.16.840.1.101.3.4.2.3",
    });
    let algorithm = match id.has_null() {
        true => asn1::sequence([oid, asn1::null()]),
        false => asn1::sequence([oid]),
    };
    let mut serial = id.serial().to_vec();
    if serial.first().is_some_and(|first| first & 0x80 != 0) {
        serial.insert(0, 0);
    }
    asn1::sequence([
        algorithm,
        asn1::octet_string(id.issuer_name()),
        asn1::octet_string(id.issuer_key()),
        asn1::integer(&serial),
    ])
}
