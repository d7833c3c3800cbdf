//! SPIFFE bundles, alone and as a map of them.

#![no_main]

use avouch_core::budget::Limits;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::json;
use avouch_fuzz::{check_reason, fixtures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let value = match json::read(data, "bundle", &Limits::default()) {
        Ok(value) => value,
        Err(reason) => return check_reason(&reason),
    };
    match Bundle::read(fixtures::TRUST_DOMAIN, &value) {
        Ok(bundle) => assert_eq!(bundle.trust_domain.as_str(), fixtures::TRUST_DOMAIN),
        Err(reason) => check_reason(&reason),
    }
    if let Err(reason) = Bundle::read_map(&value) {
        check_reason(&reason);
    }
});
