//! Tokens as the JSON in them, a line each: the header and the claims of an ID token or JWT-SVID,
//! or those of a workload token and then of its proof. Without a line break, the compact text as it
//! is presented: a token, a token and its proof after a blank, or an API key after `key`.

#![no_main]

use avouch_core::credential::Credential;
use avouch_core::question::Profile;
use avouch_fuzz::{check, fixtures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(credential) = of_json(text).or_else(|| of_compact(text)) else {
        return;
    };
    let profile = if text.len().is_multiple_of(2) {
        Profile::Spiffe
    } else {
        Profile::Private
    };
    let question = fixtures::question(credential, profile, Vec::new());
    check(&question, fixtures::view(), fixtures::limits());
});

fn of_json(text: &str) -> Option<Credential> {
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [header, claims] => Some(Credential::Jwt(fixtures::token_of(header, claims))),
        [header, claims, rest @ ..] => Some(Credential::Wit {
            token: fixtures::token_of(header, claims),
            proof: match rest {
                [header, claims, ..] => Some(fixtures::token_of(header, claims)),
                _ => None,
            },
        }),
        _ => None,
    }
}

fn of_compact(text: &str) -> Option<Credential> {
    let tokens: Vec<&str> = text.splitn(3, ' ').collect();
    match tokens.as_slice() {
        [token] => Some(Credential::Jwt((*token).to_owned())),
        ["key", key] => Some(Credential::ApiKey((*key).to_owned())),
        [token, proof] => Some(Credential::Wit {
            token: (*token).to_owned(),
            proof: Some((*proof).to_owned()),
        }),
        _ => None,
    }
}
