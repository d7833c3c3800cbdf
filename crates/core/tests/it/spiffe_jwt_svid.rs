//! JWT-SVID, clause by clause: J-01 to J-16, in the order of the standard.

use avouch_core::id::SpiffeId;
use avouch_core::question::ExpectedName;
use avouch_core::verdict::{IdentityKind, Need};
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{NOW_SECONDS, jwk};
use serde_json::{Value, json};

use crate::token_ask::{
    AUDIENCE, Ask, TRUST_DOMAIN, WORKLOAD, ask_svid, good_svid, issuer_with, jwt_authority,
    read_anchor, trust_domain,
};

/// An anchor whose bundle has this key for JWT-SVIDs.
fn domain_of(key: &Key, change: impl FnOnce(&mut Value)) -> Value {
    let mut entry = jwk(key, "jwt-1");
    entry["use"] = "jwt-svid".into();
    change(&mut entry);
    json!({"trust_domain": TRUST_DOMAIN, "bundle": {"keys": [entry]}})
}

#[test]
fn j_01_the_token_is_a_compact_jws() {
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    let parts: Vec<&str> = token.split('.').collect();
    let json = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
    Ask::jwt(json.to_string())
        .trust(&trust_domain())
        .is_refused("input.token_not_compact");
    Ask::jwt(token).trust(&trust_domain()).is_accepted();
}

#[test]
fn j_02_the_header_has_no_members_but_alg_kid_and_typ() {
    for member in ["cty", "x5t", "custom"] {
        ask_svid(&good_svid().header(member, "x".into()))
            .is_refused("federation.header_unexpected");
    }
    ask_svid(&good_svid().header("typ", "JWT".into())).is_accepted();
}

#[test]
fn j_03_the_nine_algorithms_are_accepted() {
    let rsa = Key::rsa(RsaTestKey::A);
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = good_svid()
            .header("kid", "jwt-1".into())
            .sign_as(&rsa, algorithm);
        let open = domain_of(&rsa, |key| {
            key.as_object_mut().unwrap().remove("alg");
        });
        Ask::jwt(token).trust(&open).is_accepted();
    }
    for key in [Key::p256("j"), Key::p384("j"), Key::p521("j")] {
        let token = good_svid().sign(&key, "jwt-1");
        Ask::jwt(token)
            .trust(&domain_of(&key, |_| ()))
            .is_accepted();
    }
}

#[test]
fn j_04_every_other_algorithm_is_refused_before_anything_is_processed() {
    let key = Key::ed25519("j");
    Ask::jwt(good_svid().sign(&key, "jwt-1"))
        .trust(&domain_of(&key, |_| ()))
        .is_refused("federation.algorithm_not_allowed");
    for algorithm in ["none", "HS256", "ES256K"] {
        // What follows the header is not even base64url.
        let header = json!({"alg": algorithm, "kid": "jwt-1"}).to_string();
        let token = format!("{}.!.!", avouch_testkit::token::encode(header.as_bytes()));
        Ask::jwt(token)
            .trust(&trust_domain())
            .is_refused("federation.algorithm_forbidden");
    }
    ask_svid(&good_svid()).is_accepted();
}

#[test]
fn j_05_the_name_of_the_key_is_optional() {
    let token = good_svid().sign_nameless(&jwt_authority());
    Ask::jwt(token).trust(&trust_domain()).is_accepted();
    let token = good_svid().sign(&jwt_authority(), "jwt-2");
    Ask::jwt(token)
        .trust(&trust_domain())
        .is_refused("federation.key_unknown");
}

#[test]
fn j_06_the_type_if_set_is_jwt_or_jose() {
    // Media types, in whichever letters and with or without what may be left out (RFC 7515 4.1.9).
    for found in [
        "JWT",
        "JOSE",
        "jwt",
        "application/jwt",
        "jose",
        "application/JOSE",
    ] {
        ask_svid(&good_svid().header("typ", found.into())).is_accepted();
    }
    for found in ["at+jwt", "text/jwt", "application/application/jwt", "JWT "] {
        ask_svid(&good_svid().header("typ", found.into())).is_refused("federation.type_unexpected");
    }
}

#[test]
fn j_07_the_subject_is_a_spiffe_id() {
    let of = |subject: &str| ask_svid(&good_svid().claim("sub", subject.into()));
    of("spiffe://prod.example.com/a//b").is_refused("spiffe.id_invalid");
    of("spiffe://Prod.example.com/a").is_refused("spiffe.id_invalid");
    ask_svid(&good_svid().without("sub")).is_refused("federation.claim_missing");
    // A subject that is no SPIFFE ID is some issuer's, and this token names none.
    of("payments").is_refused("federation.claim_missing");
    let identity = of(WORKLOAD).identity();
    assert_eq!(
        (identity.name(), identity.kind()),
        (WORKLOAD, IdentityKind::Spiffe)
    );
    assert_eq!(identity.facts()["spiffe.path"], "/ns/payments/sa/api");
}

#[test]
fn j_08_there_is_at_least_one_audience() {
    ask_svid(&good_svid().claim("aud", json!([]))).is_refused("federation.claim_mistyped");
    ask_svid(&good_svid().claim("aud", json!(["vault", "db"]))).is_accepted();
    ask_svid(&good_svid().claim("aud", "vault".into())).is_accepted();
}

#[test]
fn j_09_a_token_without_an_audience_or_for_another_is_refused() {
    ask_svid(&good_svid().without("aud")).is_refused("federation.claim_missing");
    ask_svid(&good_svid())
        .audiences(&["db"])
        .is_refused("federation.audience_mismatch");
    assert_eq!(
        ask_svid(&good_svid()).audiences(&[]).needs(),
        [Need::Audience]
    );
    ask_svid(&good_svid())
        .audiences(&["db", AUDIENCE])
        .is_accepted();
}

#[test]
fn j_10_there_is_an_expiry() {
    ask_svid(&good_svid().without("exp")).is_refused("federation.claim_missing");
    ask_svid(&good_svid().without("iat")).is_accepted();
}

#[test]
fn j_11_an_expired_token_is_refused() {
    ask_svid(&good_svid()).at(NOW_SECONDS + 299).is_accepted();
    ask_svid(&good_svid())
        .at(NOW_SECONDS + 300)
        .is_refused("federation.token_expired");
}

#[test]
fn j_12_audience_and_expiry_are_read_as_rfc_7519_has_them() {
    for (claim, value) in [("aud", json!("VAULT")), ("aud", json!("vault "))] {
        ask_svid(&good_svid().claim(claim, value)).is_refused("federation.audience_mismatch");
    }
    for (claim, value) in [
        ("exp", json!("never")),
        ("exp", json!(null)),
        ("aud", json!({"vault": true})),
    ] {
        ask_svid(&good_svid().claim(claim, value)).is_refused("federation.claim_mistyped");
    }
    ask_svid(&good_svid().claim("exp", (NOW_SECONDS + 1).into())).is_accepted();
}

#[test]
fn j_13_the_token_is_taken_without_the_scheme_it_travels_under() {
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    Ask::jwt(format!("Bearer {token}"))
        .trust(&trust_domain())
        .is_refused("input.base64url_not_canonical");
    Ask::jwt(token).trust(&trust_domain()).is_accepted();
}

#[test]
fn j_14_a_key_in_the_bundle_has_its_use_and_a_name() {
    let nameless = domain_of(&jwt_authority(), |key| {
        key.as_object_mut().unwrap().remove("kid");
    });
    assert_eq!(
        read_anchor(&nameless).unwrap_err().code(),
        "input.bundle_malformed"
    );
    let useless = domain_of(&jwt_authority(), |key| {
        key.as_object_mut().unwrap().remove("use");
    });
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    Ask::jwt(token.clone())
        .trust(&useless)
        .is_refused("spiffe.bundle_has_no_keys");
    Ask::jwt(token)
        .trust(&domain_of(&jwt_authority(), |_| ()))
        .is_accepted();
}

#[test]
fn j_15_only_keys_for_jwt_svids_check_them() {
    let token = good_svid().sign(&jwt_authority(), "jwt-1");
    for key_use in ["wit-svid", "x509-svid", "sig", "JWT-SVID"] {
        let other = domain_of(&jwt_authority(), |key| key["use"] = key_use.into());
        Ask::jwt(token.clone())
            .trust(&other)
            .is_refused("spiffe.bundle_has_no_keys");
    }
    Ask::jwt(token)
        .trust(&domain_of(&jwt_authority(), |_| ()))
        .is_accepted();
}

#[test]
fn j_16_other_claims_may_be_there_and_a_replay_is_not_looked_for() {
    let token = good_svid()
        .claim("jti", "1".into())
        .claim("iss", "https://spire.example.com".into())
        .claim("custom", json!({"a": [1]}));
    let asked = ask_svid(&token);
    asked.is_accepted();
    assert!(asked.effects().is_empty());
    ask_svid(&token.claim("jti", 1.into())).is_refused("federation.claim_mistyped");
}

#[test]
fn an_svid_is_the_workload_one_expects() {
    let expecting = |id: &str| {
        let id = SpiffeId::parse(id).unwrap();
        ask_svid(&good_svid()).expect(ExpectedName::Spiffe(id))
    };
    expecting(WORKLOAD).is_accepted();
    expecting("spiffe://prod.example.com/ns/payments/sa/ap").is_refused("spiffe.id_mismatch");
    let of_domain = |name: &str| {
        let name = avouch_core::id::TrustDomain::parse(name).unwrap();
        ask_svid(&good_svid()).expect(ExpectedName::TrustDomain(name))
    };
    of_domain(TRUST_DOMAIN).is_accepted();
    of_domain("example.com").is_refused("spiffe.id_mismatch");
}

#[test]
fn a_bundle_may_be_trusted_for_fewer_trust_domains_than_it_is_of() {
    let bound_to = |name: &str| {
        ask_svid(&good_svid()).with_anchor(|anchor| {
            let name = avouch_core::id::TrustDomain::parse(name).unwrap();
            anchor.constraints.trust_domains = vec![name];
        })
    };
    bound_to("other.example").is_refused("policy.anchor_trust_domain");
    bound_to(TRUST_DOMAIN).is_accepted();
}

#[test]
fn an_issuer_may_have_subjects_that_are_spiffe_ids_without_speaking_for_their_domain() {
    // SPIRE publishes its JWT-SVIDs through OpenID Connect too.
    let oidc = Key::p256("oidc");
    let token = good_svid()
        .claim("iss", "https://oidc.example.com".into())
        .sign(&oidc, "key-1");
    let anchor = issuer_with("https://oidc.example.com", &oidc);
    let identity = Ask::jwt(token.clone()).trust(&anchor).identity();
    assert_eq!(identity.kind(), IdentityKind::Token);
    assert_eq!(
        identity.name(),
        format!("https://oidc.example.com#{WORKLOAD}")
    );
    // A bundle of the domain beside it changes nothing for the better or the worse.
    Ask::jwt(token.clone())
        .trust(&anchor)
        .trust(&trust_domain())
        .is_accepted();
    let id = SpiffeId::parse(WORKLOAD).unwrap();
    Ask::jwt(token)
        .trust(&anchor)
        .expect(ExpectedName::Spiffe(id))
        .is_refused("federation.subject_mismatch");
}
