//! The vectors of Wycheproof (<https://github.com/C2SP/wycheproof>) for signatures of JOSE, read by
//! the same code as tokens; they stand in `conformance/wycheproof`. Their payloads are no claims,
//! so they end before those.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{Compact, Keyed};
use crate::budget::{Budget, Limits};
use crate::credential::jose::jwk::KeySet;
use crate::crypto::AwsLc;

// Why some come out otherwise than they are flagged. A vector that no longer does fails the test
// too.
const SHARED_SECRETS: &str = "valid HS256, HS384 and HS512: a secret that both sides hold lets the \
                              checker forge, so there is no such algorithm here";
const MISNAMED: &str = "valid signatures by keys whose `alg` is `ES521`, a name that is not \
                        registered (RFC 7518 3.1 says ES512)";
const OTHER_ALGORITHM: &str = "PS384 by a key whose `alg` is `PS256` (after RFC 7520 4.2): a key is \
                               for the one algorithm it names (RFC 7517 4.4)";

macro_rules! vectors {
    ($about:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../conformance/wycheproof/json_web_",
            $about,
            "_test.json.gz"
        ))
    };
}

#[test]
fn signatures_come_out_as_flagged() {
    let deviations = run(vectors!("signature"), 401);
    assert_eq!(
        deviations,
        BTreeMap::from([(SHARED_SECRETS, 10), (MISNAMED, 2), (OTHER_ALGORITHM, 2)])
    );
}

#[test]
fn key_sets_come_out_as_flagged() {
    let deviations = run(vectors!("key"), 26);
    assert_eq!(deviations, BTreeMap::from([(SHARED_SECRETS, 4)]));
}

#[test]
fn signatures_among_other_jose_come_out_as_flagged() {
    let deviations = run(vectors!("crypto"), 83);
    assert_eq!(deviations, BTreeMap::from([(SHARED_SECRETS, 2)]));
}

#[test]
fn a_key_with_the_mark_of_roca_is_refused_for_it() {
    let file = read(vectors!("key"));
    let is_roca = |group: &&Value| group["comment"] == "jws_rsa_roca_key";
    let group = file["testGroups"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_roca)
        .unwrap();
    let set = KeySet::read("https://issuer.test", &group["public"]).unwrap();
    assert!(set.keys().is_empty());
    let reason = set.set_aside()[0].reason();
    assert_eq!(reason.code(), "federation.key_weak");
    assert!(reason.sentence().contains("ROCA"), "{}", reason.sentence());
}

fn read(compressed: &[u8]) -> Value {
    let mut text = String::new();
    GzDecoder::new(compressed)
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Asks every signature of a file that has `expected` vectors, and counts those that come out
/// otherwise than flagged, by their reason.
fn run(compressed: &[u8], expected: u64) -> BTreeMap<&'static str, u64> {
    let file = read(compressed);
    assert_eq!(file["numberOfTests"], expected);
    let mut deviations = BTreeMap::new();
    for group in file["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = match key.get("keys") {
            Some(_) => key.clone(),
            None => json!({ "keys": [key] }),
        };
        for test in group["tests"].as_array().unwrap() {
            let token = match &test["jws"] {
                Value::String(token) => token.clone(),
                // In the JSON serialization; or encrypted, which is another kind of token.
                Value::Object(_) => test["jws"].to_string(),
                _ => continue,
            };
            let accepted = is_accepted(&token, &set);
            if accepted == (test["result"] == "valid") {
                continue;
            }
            let id = &test["tcId"];
            let comment = &test["comment"];
            assert!(!accepted, "{id} is accepted: {comment}");
            *deviations.entry(reason(&set, id)).or_default() += 1;
        }
    }
    deviations
}

fn reason(set: &Value, id: &Value) -> &'static str {
    let key = &set["keys"][0];
    match (key["kty"].as_str(), key["alg"].as_str()) {
        (Some("oct"), _) => SHARED_SECRETS,
        (Some("EC"), Some("ES521")) => MISNAMED,
        (Some("RSA"), Some("PS256")) => OTHER_ALGORITHM,
        _ => panic!("{id} is refused without a known reason"),
    }
}

/// Whether a key of the set checks the token, found as for a token of an issuer: by its name if
/// the token names one, else among those that fit.
fn is_accepted(token: &str, set: &Value) -> bool {
    let limits = Limits::default();
    let (Ok(compact), Ok(set)) = (
        Compact::read(token, Keyed::ByTrust, &limits),
        KeySet::read("https://issuer.test", set),
    ) else {
        return false;
    };
    let header = &compact.header;
    set.keys()
        .iter()
        .filter(|key| header.key_id.is_none() || key.id() == header.key_id.as_deref())
        .filter(|key| key.admits(header.algorithm).is_ok())
        .any(|key| {
            let mut budget = Budget::new(limits);
            compact.is_signed_by(key.key(), &AwsLc, &mut budget) == Ok(true)
        })
}
