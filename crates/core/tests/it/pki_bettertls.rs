//! BetterTLS (<https://github.com/Netflix/bettertls>): path building and name constraints.
//!
//! Its cases are made anew by its own tool, so they are not among the vectors of the project:
//! `cargo xtask test` makes them where there is Go, and names their file in `AVOUCH_BETTERTLS`.

use avouch_core::credential::x509::Certificate;
use avouch_core::question::{ExpectedName, Profile, Purpose};
use base64ct::{Base64, Encoding};

use crate::ask::{Ask, outcome};
use crate::suite::{self, Deviations, text, texts};

#[test]
fn every_case_of_bettertls_comes_out_as_expected() {
    let Some(file) = std::env::var_os("AVOUCH_BETTERTLS") else {
        println!("skipped: BetterTLS: AVOUCH_BETTERTLS does not name the file of its cases");
        return;
    };
    let exported = suite::parse(&std::fs::read(file).unwrap());
    let root = Base64::decode_vec(text(&exported, "trustRoot")).unwrap();
    let mut deviations = Deviations::default();
    let mut count = 0;
    for (name, suite) in exported["suites"].as_object().unwrap() {
        for case in suite["testCases"].as_array().unwrap() {
            count += 1;
            let certificates: Vec<Vec<u8>> = texts(case, "certificates")
                .into_iter()
                .map(|certificate| Base64::decode_vec(certificate).unwrap())
                .collect();
            let leaf = Certificate::parse(&certificates[0]).unwrap();
            let hostname = text(case, "hostname");
            let expected_name = match hostname.parse() {
                Ok(address) => ExpectedName::Ip(address),
                Err(_) => ExpectedName::Dns(hostname.to_owned()),
            };
            // The end entity is valid from one day before its tool ran.
            let ask = Ask::about(&certificates)
                .profile(Profile::WebPki)
                .purpose(Purpose::Server)
                .anchor(&root)
                .at(leaf.not_before().plus(86_400))
                .expect(expected_name);
            let outcome = outcome(&ask.decide());
            let expected = text(case, "expected");
            if (outcome == "accept") != (expected == "ACCEPT") {
                let id = format!("{name}::{}", case["id"]);
                deviations.add(&id, format!("{outcome}, not {expected}"));
            }
        }
    }
    assert!(count >= 9_500, "{count} cases");
    deviations.must_be(&[]);
}
