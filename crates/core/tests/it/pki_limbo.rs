//! x509-limbo (<https://x509-limbo.com>): all cases but those taken from other suites.

use avouch_core::question::{ExpectedName, Profile, Purpose};
use avouch_core::time::Time;
use serde_json::Value;

use crate::ask::{Ask, from_pem, outcome};
use crate::suite::{self, Deviations, text, texts};

/// The time of the check where a case leaves it open.
const NOW: &str = "2026-01-01T00:00:00Z";

/// Cases that come out otherwise than the suite expects. It may only shrink.
const KNOWN: &[(&str, &str)] = &[];

#[test]
fn every_case_of_x509_limbo_comes_out_as_expected() {
    let Some(suite) = suite::read("x509-limbo", "x509-limbo.json.gz") else {
        return;
    };
    let cases = suite["testcases"].as_array().unwrap();
    assert!(cases.len() >= 208, "{} cases", cases.len());
    let mut deviations = Deviations::default();
    for case in cases {
        let verdict = ask(case).decide();
        let expected = text(case, "expected_result");
        let outcome = outcome(&verdict);
        if (outcome == "accept") != (expected == "SUCCESS") {
            deviations.add(text(case, "id"), format!("{outcome}, not {expected}"));
        }
    }
    deviations.must_be(KNOWN);
}

pub(crate) fn ask(case: &Value) -> Ask {
    let id = text(case, "id");
    let chain = std::iter::once(text(case, "peer_certificate"))
        .chain(texts(case, "untrusted_intermediates"))
        .map(from_pem);
    let profile = if id.starts_with("rfc5280::") {
        Profile::Rfc5280
    } else {
        Profile::WebPki
    };
    let time = case["validation_time"].as_str().unwrap_or(NOW);
    let usages = texts(case, "extended_key_usage");
    let purpose = match (usages.as_slice(), text(case, "validation_kind")) {
        (["clientAuth"], _) | ([], "CLIENT") => Purpose::Client,
        _ => Purpose::Server,
    };
    let mut ask = Ask::about(chain)
        .profile(profile)
        .purpose(purpose)
        .at(Time::parse(time).unwrap());
    for anchor in texts(case, "trusted_certs") {
        ask = ask.anchor(&from_pem(anchor));
    }
    for crl in texts(case, "crls") {
        ask = ask.crl(&from_pem(crl));
    }
    let names = case["expected_peer_names"].as_array().unwrap().iter();
    for name in names.chain(
        case["expected_peer_name"]
            .as_object()
            .map(|_| &case["expected_peer_name"]),
    ) {
        ask = ask.expect(expected(name));
    }
    ask.question.context.max_path_length = case["max_chain_depth"]
        .as_u64()
        .map(|depth| u32::try_from(depth).unwrap());
    ask
}

fn expected(name: &Value) -> ExpectedName {
    let value = text(name, "value");
    match text(name, "kind") {
        "DNS" => ExpectedName::Dns(value.to_owned()),
        "IP" => ExpectedName::Ip(value.parse().unwrap()),
        "RFC822" => ExpectedName::Email(value.to_owned()),
        kind => panic!("there is no name of the kind {kind}"),
    }
}
