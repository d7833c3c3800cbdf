//! What a TPM says: a key, a statement and its signature, each after its length in two octets. What
//! is read of a key says the same as its bytes, and a statement is read the same again.

#![no_main]

use avouch_core::credential::tpm::{About, PublicArea, REGISTERS, Role, Statement};
use avouch_core::credential::x509::read_public_key;
use avouch_core::id::Digest;
use avouch_fuzz::LaxVerifier;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (area, rest) = piece(data);
    let (said, rest) = piece(rest);
    let (signature, _) = piece(rest);
    let Ok(key) = PublicArea::parse(area) else {
        return;
    };
    assert_eq!(key.name()[2..], *Digest::of(area).as_bytes());
    assert_eq!(read_public_key(key.key_info()).as_ref(), Ok(key.key()));
    let roles = [Role::Endorsement, Role::Attestation, Role::Signing];
    let fit = roles.map(|role| key.unfit(role).is_none());
    assert!(
        !(fit[0] && (fit[1] || fit[2])),
        "what protects does not sign"
    );
    let verifier = LaxVerifier::default();
    let read = Statement::read(said, signature, key.key(), &verifier);
    assert_eq!(read, Statement::read(said, signature, key.key(), &verifier));
    if let Ok(Statement {
        about: About::Registers { numbers, .. },
        ..
    }) = read
    {
        assert!(numbers.iter().all(|number| *number < REGISTERS));
    }
});

/// The octets after a length, as far as there are any, and what follows them.
fn piece(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return (&[], &[]);
    };
    rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()))
}
