//! SPIFFE bundles, clause by clause: B-01 to B-11, in the order of the standard.

use avouch_core::budget::Limits;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::json;
use avouch_testkit::key::Key;
use avouch_testkit::token::{bundle, jwk};
use avouch_testkit::world::Authority;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::token_ask::{Ask, TRUST_DOMAIN, good_svid, jwt_authority, trust_domain, wit_authority};

fn good() -> Value {
    bundle(&jwt_authority(), &wit_authority())
}

fn read(bundle: &Value) -> Bundle {
    Bundle::read(TRUST_DOMAIN, bundle).unwrap()
}

#[track_caller]
fn refused(bundle: &Value, code: &str) {
    assert_eq!(Bundle::read(TRUST_DOMAIN, bundle).unwrap_err().code(), code);
}

/// A question about a good JWT-SVID under this bundle.
fn ask(bundle: &Value) -> Ask {
    Ask::jwt(good_svid().sign(&jwt_authority(), "jwt-1"))
        .trust(&json!({"trust_domain": TRUST_DOMAIN, "bundle": bundle}))
}

#[test]
fn b_01_a_bundle_is_a_key_set_with_whatever_else() {
    let mut more = good();
    more["custom"] = json!([1]);
    ask(&more).is_accepted();
    for bundle in [json!([]), json!("x"), json!(null)] {
        refused(&bundle, "input.bundle_malformed");
    }
    ask(&json!({"keys": good()["keys"]})).is_accepted();
}

#[test]
fn b_02_the_sequence_is_a_whole_number_of_64_bits() {
    let with = |sequence: Value| {
        let mut bundle = good();
        bundle["spiffe_sequence"] = sequence;
        bundle
    };
    assert_eq!(read(&with(json!(u64::MAX))).sequence(), Some(u64::MAX));
    assert_eq!(read(&json!({"keys": []})).sequence(), None);
    for sequence in [json!("1"), json!(-1), json!(1.5), json!(null)] {
        refused(&with(sequence), "input.bundle_malformed");
    }
}

#[test]
fn b_03_the_refresh_hint_is_a_whole_number_of_seconds() {
    let with = |hint: Value| {
        let mut bundle = good();
        bundle["spiffe_refresh_hint"] = hint;
        bundle
    };
    assert_eq!(read(&with(json!(300))).refresh_hint(), Some(300));
    assert_eq!(read(&json!({"keys": []})).refresh_hint(), None);
    for hint in [json!("300"), json!(-1), json!(0.5)] {
        refused(&with(hint), "input.bundle_malformed");
    }
}

#[test]
fn b_04_keys_must_be_there_and_may_be_none() {
    refused(&json!({}), "input.bundle_malformed");
    refused(&json!({"keys": null}), "input.bundle_malformed");
    refused(&json!({"keys": {}}), "input.bundle_malformed");
    refused(&json!({"keys": [1]}), "input.bundle_malformed");
    ask(&json!({"keys": []})).is_refused("spiffe.bundle_has_no_keys");
}

#[test]
fn b_05_keys_of_unknown_kinds_and_uses_are_ignored() {
    let mut bundle = good();
    let keys = bundle["keys"].as_array_mut().unwrap();
    let mut useless = jwk(&Key::p256("a"), "a");
    useless.as_object_mut().unwrap().remove("use");
    keys.push(useless);
    for key_use in ["sig", "JWT-SVID", "future-svid"] {
        let mut other = jwk(&Key::p256("b"), "b");
        other["use"] = key_use.into();
        keys.push(other);
    }
    keys.push(json!({"kty": "AKP", "use": "jwt-svid", "kid": "future"}));
    ask(&bundle).is_accepted();
    let read = read(&bundle);
    assert_eq!(read.jwt_authorities().keys().len(), 1);
    assert_eq!(read.jwt_authorities().set_aside().len(), 1);
    assert_eq!(read.passed_over().len(), 4);
}

#[test]
fn b_05_what_is_of_an_unknown_kind_or_use_is_ignored_whatever_it_lacks() {
    let mut bundle = good();
    let keys = bundle["keys"].as_array_mut().unwrap();
    for of_use in ["jwt-svid", "wit-svid", "x509-svid"] {
        keys.push(json!({"kty": "future", "use": of_use}));
        keys.push(json!({"kty": "future", "use": of_use, "kid": 7, "d": "whatever that is"}));
    }
    keys.push(json!({"kty": "AKP", "use": "jwt-svid"}));
    keys.push(json!({"kty": "EC", "use": "future-svid", "d": "AA"}));
    keys.push(json!({"use": "future-svid"}));
    ask(&bundle).is_accepted();
    let read = read(&bundle);
    assert_eq!(read.jwt_authorities().set_aside().len(), 3);
    assert_eq!(read.wit_authorities().set_aside().len(), 2);
    assert_eq!(read.passed_over().len(), 4);
    // What is known lacks its name as before, and its secrets are no less secret.
    refused(
        &json!({"keys": [{"kty": "EC", "use": "jwt-svid"}]}),
        "input.bundle_malformed",
    );
    let secret = json!({"keys": [{"kty": "oct", "use": "x509-svid", "k": "AA"}]});
    refused(&secret, "input.jwks_private_key");
}

/// RFC 7517 4.7: what stands in `x5c` first is a certificate of the key itself.
#[test]
fn a_key_with_the_certificate_of_another_is_not_used() {
    let authority = Authority::root("Example SPIFFE Authority");
    let x5c = json!([Base64::encode_string(&authority.certificate)]);
    let mut own = jwk(&authority.key, "x");
    own["use"] = "x509-svid".into();
    own["x5c"] = x5c.clone();
    let mut other = own.clone();
    other["x"] = jwk(&Key::ed25519("other"), "x")["x"].clone();
    let of = |key: &Value| read(&json!({ "keys": [key] }));
    assert_eq!(of(&own).x509_authorities.len(), 1);
    let found = of(&other);
    assert!(found.x509_authorities.is_empty());
    assert!(
        found.passed_over()[0].contains("another key"),
        "{:?}",
        found.passed_over()
    );

    let mut bundle = good();
    bundle["keys"][0]["x5c"] = x5c;
    ask(&bundle).is_refused("input.jwk_malformed");
}

#[test]
fn b_06_a_bundle_without_usable_keys_withdraws_all_svids_of_its_trust_domain() {
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    ask(&json!({"keys": []})).is_refused("spiffe.bundle_has_no_keys");
    let unusable = json!({"keys": [{"kty": "AKP", "use": "jwt-svid", "kid": "jwt-1"}]});
    ask(&unusable).is_refused("federation.key_not_for_signing");
    Ask::jwt(token).trust(&trust_domain()).is_accepted();
}

#[test]
fn b_07_a_key_has_its_kind_and_use_and_may_have_more() {
    let mut bundle = good();
    bundle["keys"][0]["custom"] = json!(1);
    ask(&bundle).is_accepted();
    let mut kindless = good();
    kindless["keys"][0].as_object_mut().unwrap().remove("kty");
    ask(&kindless).is_refused("input.jwk_malformed");
    let mut secret = good();
    secret["keys"][0]["d"] = json!("AA");
    refused(&secret, "input.jwks_private_key");
}

#[test]
fn b_08_a_bundle_is_used_for_its_own_trust_domain_only() {
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    let elsewhere = json!({"trust_domain": "other.example", "bundle": good()});
    Ask::jwt(token.clone())
        .trust(&elsewhere)
        .is_refused("spiffe.trust_domain_unknown");
    Ask::jwt(token)
        .trust(&elsewhere)
        .trust(&trust_domain())
        .is_accepted();
    let reason = Bundle::read("Prod.example.com", &good()).unwrap_err();
    assert_eq!(reason.code(), "spiffe.id_invalid");
}

#[test]
fn b_09_a_map_holds_the_bundles_of_several_trust_domains_or_of_none() {
    let map = json!({"trust_domains": {TRUST_DOMAIN: good(), "other.example": {"keys": []}}});
    let bundles = Bundle::read_map(&map).unwrap();
    let names: Vec<&str> = bundles
        .iter()
        .map(|bundle| bundle.trust_domain.as_str())
        .collect();
    assert_eq!(names, ["other.example", TRUST_DOMAIN]);
    assert!(
        Bundle::read_map(&json!({"trust_domains": {}}))
            .unwrap()
            .is_empty()
    );
    for map in [json!({}), json!({"trust_domains": []}), json!([])] {
        assert_eq!(
            Bundle::read_map(&map).unwrap_err().code(),
            "input.bundle_malformed"
        );
    }
}

#[test]
fn b_10_a_map_that_names_a_trust_domain_twice_is_refused() {
    let twice = format!(r#"{{"trust_domains":{{"a":{0},"a":{0}}}}}"#, good());
    let reason = json::read(twice.as_bytes(), "bundle map", &Limits::default()).unwrap_err();
    assert_eq!(reason.code(), "input.json_duplicate_member");
    let once = format!(r#"{{"trust_domains":{{"a":{0},"b":{0}}}}}"#, good());
    let map = json::read(once.as_bytes(), "bundle map", &Limits::default()).unwrap();
    assert_eq!(Bundle::read_map(&map).unwrap().len(), 2);
}

#[test]
fn b_11_a_hint_inside_a_map_belongs_to_its_bundle_alone() {
    let mut hinted = good();
    hinted["spiffe_refresh_hint"] = json!(10);
    let plain = json!({"keys": []});
    let map = json!({"trust_domains": {"a": hinted, "b": plain}, "spiffe_refresh_hint": 600});
    let hints: Vec<Option<u64>> = Bundle::read_map(&map)
        .unwrap()
        .iter()
        .map(Bundle::refresh_hint)
        .collect();
    assert_eq!(hints, [Some(10), None]);
}

#[test]
fn x509_authorities_are_read_from_their_first_certificate_alone() {
    let authority = Authority::root("Example SPIFFE Authority");
    let encoded = Base64::encode_string(&authority.certificate);
    let with = |x5c: Value| {
        let mut key = jwk(&authority.key, "x");
        key["use"] = "x509-svid".into();
        key["x5c"] = x5c;
        read(&json!({"keys": [key]}))
    };
    assert_eq!(with(json!([encoded, "junk"])).x509_authorities.len(), 1);
    for x5c in [json!([]), json!(null), json!(["junk"]), json!([1])] {
        let bundle = with(x5c);
        assert!(bundle.x509_authorities.is_empty());
        assert_eq!(bundle.passed_over().len(), 1);
    }
}

/// Views that are made of a bundle are told apart by it.
#[test]
fn the_digest_of_a_bundle_is_that_of_whom_it_vouches_for_and_by_which_keys() {
    let digest = |bundle: &Value| read(bundle).digest();
    let mut same = good();
    same["spiffe_sequence"] = json!(7);
    same["custom"] = json!([1]);
    assert_eq!(digest(&same), digest(&good()));

    let other = Bundle::read("other.example.org", &good()).unwrap();
    assert_ne!(other.digest(), digest(&good()));
    for n in 0..good()["keys"].as_array().unwrap().len() {
        let mut fewer = good();
        fewer["keys"].as_array_mut().unwrap().remove(n);
        assert_ne!(digest(&fewer), digest(&good()), "without key {n}");
        let mut renamed = good();
        if renamed["keys"][n]["kid"].is_string() {
            renamed["keys"][n]["kid"] = json!("another-name");
            assert_ne!(digest(&renamed), digest(&good()), "key {n} renamed");
        }
    }
}
