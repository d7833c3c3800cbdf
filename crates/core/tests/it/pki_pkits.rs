//! The Public Key Interoperability Test Suite of NIST (PKITS 1.0.1), whose certificates and lists
//! are in the public domain and stand in `conformance/pkits`.
//!
//! It tests path validation as RFC 3280 has it, so it is run under the profile that adds nothing
//! to it, and with revocation required, as its section 3 asks.

use avouch_core::question::{InitialPolicies, Profile};
use base64ct::{Base64, Encoding};
use const_oid::ObjectIdentifier;
use serde_json::Value;

use crate::ask::{Ask, outcome};
use crate::suite::{self, Deviations, text, texts};

const SUITE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../conformance/pkits/nist-pkits.json.gz"
));

/// Cases that come out otherwise than the suite expects. It may only shrink.
const KNOWN: &[(&str, &str)] = &[
    ("4.1.4 Valid DSA Signatures Test4", DSA),
    ("4.1.5 Valid DSA Parameter Inheritance Test5", DSA),
    ("4.14.22 Valid IDP with indirectCRL Test22", INDIRECT),
    ("4.14.24 Valid IDP with indirectCRL Test24", INDIRECT),
    ("4.14.25 Valid IDP with indirectCRL Test25", INDIRECT),
    ("4.14.28 Valid cRLIssuer Test28", INDIRECT),
    ("4.14.29 Valid cRLIssuer Test29", INDIRECT),
    ("4.14.30 Valid cRLIssuer Test30", INDIRECT),
    ("4.14.33 Valid cRLIssuer Test33", INDIRECT),
];

const DSA: &str = "DSA is not accepted from anyone";
const INDIRECT: &str = "lists that speak for other issuers are refused by name";

#[test]
fn every_case_of_nist_pkits_comes_out_as_expected() {
    let suite = suite::parse(SUITE);
    let mut deviations = Deviations::default();
    let cases = suite["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 249);
    for case in cases {
        let verdict = ask(&suite, case).decide();
        let expected = case["ShouldValidate"].as_bool().unwrap();
        let outcome = outcome(&verdict);
        if (outcome == "accept") != expected {
            deviations.add(
                text(case, "Name"),
                format!(
                    "{outcome}, not {}",
                    if expected { "accept" } else { "a refusal" }
                ),
            );
        }
    }
    deviations.must_be(KNOWN);
}

fn ask(suite: &Value, case: &Value) -> Ask {
    let mut path: Vec<Vec<u8>> = texts(case, "CertPath")
        .into_iter()
        .map(|name| der(&suite["certificates"], name))
        .collect();
    let anchor = path.remove(0);
    path.reverse();
    let mut ask = Ask::about(path)
        .profile(Profile::Private)
        .anchor(&anchor)
        .require_revocation();
    for name in texts(case, "CRLPath") {
        ask = ask.crl(&der(&suite["crls"], name));
    }
    ask.question.context.policies = InitialPolicies {
        accepted: texts(case, "InitialPolicySet")
            .into_iter()
            .map(policy)
            .collect(),
        require_explicit: flag(case, "InitialExplicitPolicy"),
        inhibit_mapping: flag(case, "InitialPolicyMappingInhibit"),
        inhibit_any: flag(case, "InitialAnyPolicyInhibit"),
    };
    ask
}

fn der(all: &Value, name: &str) -> Vec<u8> {
    Base64::decode_vec(text(all, name)).unwrap()
}

fn flag(case: &Value, name: &str) -> bool {
    case[name].as_bool().unwrap()
}

fn policy(name: &str) -> ObjectIdentifier {
    match name.strip_prefix("NIST-test-policy-") {
        Some(number) => ObjectIdentifier::new_unwrap(&format!("2.16.840.1.101.3.2.1.48.{number}")),
        None => const_oid::db::rfc5280::ANY_POLICY,
    }
}
