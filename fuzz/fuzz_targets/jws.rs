//! Compact tokens: an ID token or JWT-SVID, or, after a blank, a workload token with its proof, or
//! an API key.

#![no_main]

use avouch_core::credential::Credential;
use avouch_core::question::Profile;
use avouch_fuzz::{check, fixtures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let tokens: Vec<&str> = text.splitn(3, ' ').collect();
    let credential = match tokens.as_slice() {
        [token] => Credential::Jwt((*token).to_owned()),
        ["key", key] => Credential::ApiKey((*key).to_owned()),
        [token, proof] => Credential::Wit {
            token: (*token).to_owned(),
            proof: Some((*proof).to_owned()).filter(|proof| !proof.is_empty()),
        },
        _ => return,
    };
    let profile = if text.len() % 2 == 0 {
        Profile::Spiffe
    } else {
        Profile::Private
    };
    let question = fixtures::question(credential, profile, Vec::new());
    check(&question, fixtures::view(), fixtures::limits());
});
