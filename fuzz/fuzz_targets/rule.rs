//! Exchange rules, as JSON. One that can be read is read the same again.

#![no_main]

use avouch_core::budget::Limits;
use avouch_core::credential::jose::json;
use avouch_core::exchange::ExchangeRule;
use avouch_fuzz::{check_reason, fixtures, now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let value = match json::read(data, "rule", &Limits::default()) {
        Ok(value) => value,
        Err(reason) => return check_reason(&reason),
    };
    let Some(members) = value.as_object() else {
        return;
    };
    let read = || ExchangeRule::read("rule", members, fixtures::view(), now());
    match read() {
        Ok(rule) => {
            assert_eq!(rule.name(), "rule");
            let again = read().expect("it was read before");
            assert_eq!(format!("{rule:?}"), format!("{again:?}"));
        }
        Err(reason) => check_reason(&reason),
    }
});
