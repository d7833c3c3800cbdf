//! Key sets: read as JSON, then as keys.

#![no_main]

use avouch_core::budget::Limits;
use avouch_core::credential::jose::json;
use avouch_core::credential::jose::jwk::KeySet;
use avouch_fuzz::{check_reason, fixtures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let value = match json::read(data, "key set", &Limits::default()) {
        Ok(value) => value,
        Err(reason) => return check_reason(&reason),
    };
    match KeySet::read(fixtures::ISSUER, &value) {
        Ok(set) => {
            assert_eq!(set.names().len(), set.keys().len());
            for key in set.keys() {
                assert!(!key.name().is_empty());
                let _ = (key.thumbprint(), key.key().kind().name());
            }
            for aside in set.set_aside() {
                check_reason(aside.reason());
            }
        }
        Err(reason) => check_reason(&reason),
    }
});
