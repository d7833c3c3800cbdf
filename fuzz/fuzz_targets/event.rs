//! Security events: the header and the claims as JSON, a line each; or the compact text as it is sent.
//! An event that is believed names only what its issuer may end, and is judged the same again.

#![no_main]

use avouch_core::budget::{Budget, Limits};
use avouch_core::signal::{Place, Set, Stream};
use avouch_fuzz::{LaxVerifier, check_reason, fixtures, now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let token = match text.split_once('\n') {
        Some((header, claims)) => fixtures::token_of(header, claims),
        None => text.to_owned(),
    };
    let set = match Set::read(&token, &Limits::default()) {
        Ok(set) => set,
        Err(reason) => return check_reason(&reason),
    };
    let issuer = set.issuer().to_owned();
    let audiences = ["vault".to_owned()];
    let stream = Stream {
        issuer: &issuer,
        of: &issuer,
        audiences: &audiences,
        keys: None,
    };
    let verifier = LaxVerifier::default();
    let place = Place {
        view: fixtures::view(),
        now: now(),
        crypto: &verifier,
    };
    let judged = set.judge(stream, place, &mut Budget::default());
    let again = set.judge(stream, place, &mut Budget::default());
    assert_eq!(judged, again, "the same event is judged the same");
    match judged {
        Ok(event) => {
            assert_eq!(event.id, set.id());
            let ends = event.kind.turn().is_some();
            let marks = event.subject.map_or(0, |subject| subject.marks.len());
            assert!(!ends || marks > 0, "what ends has a mark");
        }
        Err(reason) => check_reason(&reason),
    }
});
