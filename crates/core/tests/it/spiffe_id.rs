//! SPIFFE IDs, clause by clause: ID-01 to ID-18, in the order of the standard.

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, bundle};
use serde_json::json;

use crate::token_ask::{
    AUDIENCE, Ask, TRUST_DOMAIN, WORKLOAD, ask_svid, good_svid, jwt_authority, trust_domain,
    wit_authority,
};

fn is_id(text: &str) -> bool {
    SpiffeId::parse(text).is_ok()
}

#[track_caller]
fn refused(text: &str) {
    let reason = SpiffeId::parse(text).unwrap_err();
    assert_eq!(reason.code(), "spiffe.id_invalid", "{text}");
}

#[test]
fn id_01_the_scheme_is_spiffe_in_any_case() {
    assert!(is_id("spiffe://example.org/a"));
    assert_eq!(
        SpiffeId::parse("SPIFFE://example.org/a").unwrap().as_str(),
        "spiffe://example.org/a"
    );
    for text in [
        "https://example.org/a",
        "spiffe:/example.org/a",
        "spiffe:example.org",
        "//example.org/a",
        "",
    ] {
        refused(text);
    }
}

#[test]
fn id_02_the_trust_domain_is_not_empty() {
    refused("spiffe:///a");
    refused("spiffe://");
    assert!(is_id("spiffe://a"));
}

#[test]
fn id_03_there_is_no_query() {
    refused("spiffe://example.org/a?b=c");
    refused("spiffe://example.org?");
    assert!(is_id("spiffe://example.org/a"));
}

#[test]
fn id_04_there_is_no_fragment() {
    refused("spiffe://example.org/a#b");
    refused("spiffe://example.org#");
    assert!(is_id("spiffe://example.org/a"));
}

#[test]
fn id_05_there_is_no_user_and_no_port() {
    refused("spiffe://user@example.org/a");
    refused("spiffe://user:secret@example.org/a");
    refused("spiffe://example.org:443/a");
    refused("spiffe://example.org:/a");
    assert!(is_id("spiffe://example.org/user"));
}

#[test]
fn id_06_the_trust_domain_is_in_lower_case() {
    refused("spiffe://Example.org/a");
    refused("spiffe://EXAMPLE.ORG");
    assert!(is_id("spiffe://example.org/A"));
}

#[test]
fn id_07_the_trust_domain_has_letters_digits_dots_dashes_and_underscores_only() {
    for text in [
        "spiffe://exam%70le.org/a",
        "spiffe://exämple.org/a",
        "spiffe://[2001:db8::1]/a",
        "spiffe://2001:db8::1/a",
        "spiffe://example org/a",
        "spiffe://example!org/a",
    ] {
        refused(text);
    }
    for text in ["spiffe://10.0.0.1/a", "spiffe://a-b_c.0/a"] {
        assert!(is_id(text), "{text}");
    }
}

#[test]
fn id_08_a_trust_domain_that_looks_like_something_else_is_nothing_special() {
    for name in ["127.0.0.1", "localhost", "example.org", "..", "-", "1"] {
        assert_eq!(TrustDomain::parse(name).unwrap().as_str(), name);
    }
    // One that looks like a host below another is not below it.
    let token = good_svid().claim("sub", format!("spiffe://sub.{TRUST_DOMAIN}/a").into());
    ask_svid(&token).is_refused("spiffe.trust_domain_unknown");
}

#[test]
fn id_09_the_path_has_no_percent_encoding() {
    refused("spiffe://example.org/a%2fb");
    refused("spiffe://example.org/%41");
    assert!(is_id("spiffe://example.org/a/b"));
}

#[test]
fn id_10_the_path_has_no_empty_or_dotted_segments() {
    for text in ["//a", "/a//b", "/.", "/..", "/a/./b", "/a/../b"] {
        refused(&format!("spiffe://example.org{text}"));
    }
    for text in ["/...", "/.a", "/a..b"] {
        assert!(is_id(&format!("spiffe://example.org{text}")), "{text}");
    }
}

#[test]
fn id_11_the_path_does_not_end_in_a_slash() {
    refused("spiffe://example.org/");
    refused("spiffe://example.org/a/");
    assert!(is_id("spiffe://example.org"));
    assert!(is_id("spiffe://example.org/a"));
}

#[test]
fn id_12_a_segment_has_letters_digits_dots_dashes_and_underscores_only() {
    for text in ["/a b", "/a:b", "/a@b", "/ä", "/a*", "/a\u{0}", "/a\\b"] {
        refused(&format!("spiffe://example.org{text}"));
    }
    let upper = SpiffeId::parse("spiffe://example.org/Az09.-_").unwrap();
    let lower = SpiffeId::parse("spiffe://example.org/az09.-_").unwrap();
    assert_ne!(upper, lower);
}

#[test]
fn id_13_ids_of_2048_bytes_and_trust_domains_of_255_are_read() {
    let start = "spiffe://example.org/";
    assert!(is_id(&format!("{start}{}", "a".repeat(2048 - start.len()))));
    assert!(is_id(&format!("spiffe://{}/a", "a".repeat(255))));
    refused(&format!("spiffe://{}/a", "a".repeat(256)));
}

#[test]
fn id_14_no_id_over_2048_bytes_can_be_made() {
    let start = "spiffe://example.org/";
    refused(&format!("{start}{}", "a".repeat(2049 - start.len())));
    // The limit is on the whole ID: the same path below a shorter trust domain fits.
    assert!(is_id(&format!(
        "spiffe://example/{}",
        "a".repeat(2049 - start.len())
    )));
}

#[test]
fn id_15_a_trust_domain_without_a_signing_authority_has_no_identities() {
    let empty = json!({"trust_domain": TRUST_DOMAIN, "bundle": {"keys": []}});
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    Ask::jwt(token.clone())
        .trust(&empty)
        .is_refused("spiffe.bundle_has_no_keys");
    Ask::jwt(token).trust(&trust_domain()).is_accepted();
}

#[test]
fn id_16_the_id_of_an_authority_is_its_trust_domain_without_a_path() {
    let authority = SpiffeId::parse("spiffe://prod.example.com").unwrap();
    assert_eq!(authority.path(), "");
    assert_eq!(authority.trust_domain().as_str(), TRUST_DOMAIN);
    assert_ne!(SpiffeId::parse(WORKLOAD).unwrap().path(), "");
}

#[test]
fn id_17_the_id_is_under_the_signature() {
    let signed = good_svid().sign(&jwt_authority(), "jwt-1");
    let forged = good_svid()
        .claim("sub", "spiffe://prod.example.com/admin".into())
        .header("kid", "jwt-1".into());
    let signature = signed.rsplit_once('.').unwrap().1;
    let other = forged.sign_as(&jwt_authority(), "ES256");
    let (body, _) = other.rsplit_once('.').unwrap();
    Ask::jwt(format!("{body}.{signature}"))
        .trust(&trust_domain())
        .is_refused("federation.signature_invalid");
    Ask::jwt(signed).trust(&trust_domain()).is_accepted();
}

#[test]
fn id_18_an_svid_is_signed_by_an_authority_of_its_own_trust_domain() {
    let other = Key::p256("other domain");
    let theirs =
        json!({"trust_domain": "other.example", "bundle": bundle(&other, &wit_authority())});
    let trusting = |token: String| Ask::jwt(token).trust(&trust_domain()).trust(&theirs);
    let of = |id: &str| TokenForge::jwt_svid(id, AUDIENCE).untyped();
    trusting(of(WORKLOAD).sign(&other, "jwt-1")).is_refused("federation.signature_invalid");
    trusting(of("spiffe://other.example/a").sign(&jwt_authority(), "jwt-1"))
        .is_refused("federation.signature_invalid");
    trusting(of("spiffe://other.example/a").sign(&other, "jwt-1")).is_accepted();
    trusting(of(WORKLOAD).sign(&jwt_authority(), "jwt-1")).is_accepted();
    trusting(of("spiffe://third.example/a").sign(&other, "jwt-1"))
        .is_refused("spiffe.trust_domain_unknown");
}
