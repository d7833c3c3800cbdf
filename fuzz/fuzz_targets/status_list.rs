//! Status lists of tokens: a number, a line break, and the JSON in a list, or a list as it is
//! presented. What is read answers for each number, and never for one beyond.

#![no_main]

use avouch_core::credential::jose::status_list::{StatusList, UNPACKED_BYTES};
use avouch_fuzz::{check_reason, fixtures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (number, rest) = text.split_once('\n').unwrap_or(("0", text));
    let claims = rest.lines().next().unwrap_or_default();
    let header = r#"{"alg":"EdDSA","typ":"statuslist+jwt","kid":"k"}"#;
    let of_json = fixtures::token_of(header, claims);
    for token in [of_json.as_str(), rest] {
        match StatusList::read(token) {
            Ok(list) => {
                assert!(list.entries() > 0 && list.entries() <= 8 * UNPACKED_BYTES);
                let number: u64 = number.parse().unwrap_or(list.entries() as u64);
                assert_eq!(
                    list.status(number).is_some(),
                    number < list.entries() as u64
                );
            }
            Err(reason) => check_reason(&reason),
        }
    }
});
