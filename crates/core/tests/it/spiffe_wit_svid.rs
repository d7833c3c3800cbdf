//! WIT-SVID, clause by clause, as one who checks it: W-01 to W-25, in the order of the standard.

use std::sync::Arc;

use avouch_core::budget::Budget;
use avouch_core::crypto::AwsLc;
use avouch_core::ended::{Ending, Endings, Mark, Standing};
use avouch_core::model::federation::CLOCK_LEEWAY;
use avouch_core::time::Time;
use avouch_core::verdict::Effect;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{NOW_SECONDS, TokenForge, jwk};
use serde_json::{Value, json};

use crate::token_ask::{
    AUDIENCE, Ask, TRUST_DOMAIN, WORKLOAD, jwt_authority, outcome, read_anchor, trust_domain,
    wit_authority,
};

fn holder() -> Key {
    Key::p256("holder")
}

fn wit() -> TokenForge {
    TokenForge::wit_svid(WORKLOAD, &holder())
}

/// A question about a WIT, signed by its authority, with a good proof by `holder`.
fn proved_by(token: &str, holder: &Key) -> Ask {
    let proof = TokenForge::proof(token, AUDIENCE).sign_nameless(holder);
    Ask::wit(token, Some(&proof)).trust(&trust_domain())
}

fn ask(forge: &TokenForge) -> Ask {
    proved_by(&forge.sign(&wit_authority(), "wit-1"), &holder())
}

/// An anchor whose bundle has this key for WIT-SVIDs.
fn domain_of(key: &Key, change: impl FnOnce(&mut Value)) -> Value {
    let mut entry = jwk(key, "wit-1");
    entry["use"] = "wit-svid".into();
    change(&mut entry);
    json!({"trust_domain": TRUST_DOMAIN, "bundle": {"keys": [entry]}})
}

fn asked_of(token: &str, domain: &Value) -> Ask {
    let proof = TokenForge::proof(token, AUDIENCE).sign_nameless(&holder());
    Ask::wit(token, Some(&proof)).trust(domain)
}

#[test]
fn w_01_the_token_is_a_compact_jws_that_names_its_key() {
    let nameless = wit().sign_nameless(&wit_authority());
    proved_by(&nameless, &holder()).is_refused("input.header_malformed");
    proved_by("{\"payload\":\"\"}", &holder()).is_refused("input.token_not_compact");
    ask(&wit()).is_accepted();
}

#[test]
fn w_02_the_name_of_the_key_is_a_text_compared_with_regard_to_case() {
    let signed_as = |kid: Value| {
        proved_by(
            &wit().header("kid", kid).sign_nameless(&wit_authority()),
            &holder(),
        )
    };
    signed_as(json!("WIT-1")).is_refused("federation.key_unknown");
    signed_as(json!(1)).is_refused("input.header_malformed");
    signed_as(json!("wit-1")).is_accepted();
    let mut entries = vec![
        jwk(&wit_authority(), "wit-1"),
        jwk(&Key::p256("x"), "wit-1"),
    ];
    for entry in &mut entries {
        entry["use"] = "wit-svid".into();
    }
    let twice = json!({"trust_domain": TRUST_DOMAIN, "bundle": {"keys": entries}});
    assert_eq!(
        read_anchor(&twice).unwrap_err().code(),
        "federation.key_duplicate"
    );
}

#[test]
fn w_03_the_type_is_wit_jwt() {
    for found in ["JWT", "wit", "text/wit+jwt", "application/", "wit+jwt;v=1"] {
        ask(&wit().header("typ", found.into())).is_refused("federation.type_unexpected");
    }
    ask(&wit().untyped()).is_refused("federation.type_unexpected");
    // A media type, in whichever letters and with or without what may be left out (RFC 7515 4.1.9).
    for found in [
        "wit+jwt",
        "WIT+JWT",
        "application/wit+jwt",
        "Application/Wit+Jwt",
    ] {
        ask(&wit().header("typ", found.into())).is_accepted();
    }
}

#[test]
fn w_04_the_nine_algorithms_are_accepted() {
    for key in [
        Key::p256("w"),
        Key::p384("w"),
        Key::p521("w"),
        Key::rsa(RsaTestKey::A),
    ] {
        let token = wit().sign(&key, "wit-1");
        asked_of(&token, &domain_of(&key, |_| ())).is_accepted();
    }
    let rsa = Key::rsa(RsaTestKey::A);
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = wit().header("kid", "wit-1".into()).sign_as(&rsa, algorithm);
        let open = domain_of(&rsa, |key| {
            key.as_object_mut().unwrap().remove("alg");
        });
        asked_of(&token, &open).is_accepted();
    }
}

#[test]
fn w_05_every_other_algorithm_is_refused() {
    let key = Key::ed25519("w");
    let token = wit().sign(&key, "wit-1");
    asked_of(&token, &domain_of(&key, |_| ())).is_refused("federation.algorithm_not_allowed");
    let token = wit()
        .header("kid", "wit-1".into())
        .with_signature("HS256", &[0; 32]);
    proved_by(&token, &holder()).is_refused("federation.algorithm_forbidden");
    ask(&wit()).is_accepted();
}

#[test]
fn w_06_unknown_header_members_are_ignored_but_crit_is_not() {
    ask(&wit().header("custom", "x".into())).is_accepted();
    ask(&wit()
        .header("crit", json!(["custom"]))
        .header("custom", "x".into()))
    .is_refused("federation.critical_header_unsupported");
}

#[test]
fn w_07_the_subject_is_a_spiffe_id() {
    for subject in [
        "payments",
        "https://prod.example.com/a",
        "spiffe://prod.example.com/",
    ] {
        ask(&wit().claim("sub", subject.into())).is_refused("spiffe.id_invalid");
    }
    ask(&wit().without("sub")).is_refused("federation.claim_missing");
    assert_eq!(ask(&wit()).identity().name(), WORKLOAD);
}

#[test]
fn w_08_the_holders_key_stands_in_cnf() {
    for confirmation in [
        json!({}),
        json!({"jkt": "x"}),
        json!({"jwk": "x"}),
        json!("x"),
    ] {
        ask(&wit().claim("cnf", confirmation)).is_refused("federation.claim_missing");
    }
    let private = json!({"jwk": {"kty": "EC", "crv": "P-256", "alg": "ES256", "d": "AA",
        "x": "AA", "y": "AA"}});
    ask(&wit().claim("cnf", private)).is_refused("input.jwks_private_key");
    let malformed =
        json!({"jwk": {"kty": "EC", "crv": "P-256", "alg": "ES256", "x": "AA", "y": "AA"}});
    ask(&wit().claim("cnf", malformed)).is_refused("input.jwk_malformed");
    ask(&wit()).is_accepted();
}

#[test]
fn w_09_a_token_without_cnf_is_refused() {
    ask(&wit().without("cnf")).is_refused("federation.claim_missing");
    ask(&wit()).is_accepted();
}

#[test]
fn w_10_the_holders_key_names_one_of_the_nine_algorithms() {
    let of = |change: &dyn Fn(&mut Value)| {
        let mut key = jwk(&holder(), "holder");
        change(&mut key);
        ask(&wit().claim("cnf", json!({ "jwk": key })))
    };
    of(&|key| {
        key.as_object_mut().unwrap().remove("alg");
    })
    .is_refused("federation.claim_missing");
    of(&|key| key["alg"] = "ES384".into()).is_refused("input.jwk_malformed");
    of(&|_| ()).is_accepted();
    let edwards = Key::ed25519("holder");
    let token = TokenForge::wit_svid(WORKLOAD, &edwards).sign(&wit_authority(), "wit-1");
    proved_by(&token, &edwards).is_refused("federation.algorithm_not_allowed");
}

#[test]
fn w_11_a_token_may_have_an_id_and_need_not() {
    ask(&wit().without("jti")).is_accepted();
    ask(&wit().claim("jti", 7.into())).is_refused("federation.claim_mistyped");
    ask(&wit()).is_accepted();
}

#[test]
fn w_12_the_id_of_the_token_is_not_used_against_replay() {
    let effects = ask(&wit()).effects();
    let [Effect::ConsumeNonce { nonce, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    // Only the proof is used up, so the token can come again with another.
    assert_eq!(nonce, "proof-1");
}

#[test]
fn w_13_the_token_expires() {
    ask(&wit().without("exp")).is_refused("federation.claim_missing");
    ask(&wit().claim("exp", NOW_SECONDS.into())).is_refused("federation.token_expired");
    ask(&wit().claim("exp", (NOW_SECONDS + 1).into())).is_accepted();
}

#[test]
fn w_14_a_token_of_the_future_or_of_a_long_life_is_refused() {
    let from = |seconds: i64| ask(&wit().claim("nbf", (NOW_SECONDS + seconds).into()));
    from(CLOCK_LEEWAY + 1).is_refused("federation.token_not_yet_valid");
    from(CLOCK_LEEWAY).is_accepted();
    ask(&wit().claim("exp", (NOW_SECONDS + 86_401).into()))
        .is_refused("federation.lifetime_excessive");
    ask(&wit().claim("exp", (NOW_SECONDS + 86_400).into())).is_accepted();
}

#[test]
fn w_15_the_time_of_issue_does_not_begin_its_validity() {
    let issued = ask(&wit().claim("iat", (NOW_SECONDS + CLOCK_LEEWAY).into()));
    issued.is_accepted();
    ask(&wit().without("iat")).is_accepted();
    // Not even far in the future, where `nbf` alone would count; nor does it shorten its life.
    let issued = |seconds: i64| wit().claim("iat", (NOW_SECONDS + seconds).into());
    ask(&issued(3_000)).is_accepted();
    let year = 31_536_000;
    ask(&issued(year).claim("exp", (NOW_SECONDS + year + 60).into()))
        .is_refused("federation.lifetime_excessive");
    // Nor does it survive what ended meanwhile.
    let ended_at = |seconds: i64, asked: &Ask| {
        let (event, by) = ("session-revoked".to_owned(), "issuer".to_owned());
        let before = Time::from_unix(NOW_SECONDS + seconds);
        let ending = Ending::standing(before, Standing::UNSAID, event, by);
        let mut endings = Endings::default();
        endings.put(Mark::subject("spiffe://prod.example.com", WORKLOAD), ending);
        let view = asked.view().with_endings(Arc::new(endings));
        let mut budget = Budget::default();
        outcome(&avouch_core::decide(
            &asked.question,
            &view,
            &AwsLc,
            &mut budget,
        ))
    };
    assert_eq!(ended_at(-100, &ask(&issued(-50))), "accept");
    assert_eq!(
        ended_at(-100, &ask(&issued(3_000))),
        "revocation.subject_ended"
    );
}

#[test]
fn w_16_an_issuer_may_be_named_and_chooses_no_keys() {
    ask(&wit().claim("iss", "https://spire.example.com".into())).is_accepted();
    // A trusted issuer of that name does not sign WIT-SVIDs.
    let key = Key::p256("oidc");
    let token = wit()
        .claim("iss", "https://spire.example.com".into())
        .sign(&key, "key-1");
    proved_by(&token, &holder())
        .trust(&crate::token_ask::issuer_with(
            "https://spire.example.com",
            &key,
        ))
        .is_refused("federation.key_unknown");
}

#[test]
fn w_17_there_is_no_audience() {
    ask(&wit().claim("aud", AUDIENCE.into())).is_refused("federation.claim_unexpected");
    ask(&wit()).is_accepted();
}

#[test]
fn w_18_unknown_claims_are_ignored() {
    ask(&wit().claim("custom", json!({"a": [1]}))).is_accepted();
    // Even so, none may stand twice.
    let claims = wit().claims_text();
    let twice = claims.replacen('{', "{\"a\":1,\"a\":2,", 1);
    ask(&wit().raw_claims(&twice)).is_refused("input.json_duplicate_member");
}

#[test]
fn w_19_a_token_is_not_accepted_without_proof_of_possession() {
    let token = wit().sign(&wit_authority(), "wit-1");
    Ask::wit(&token, None)
        .trust(&trust_domain())
        .is_refused("federation.proof_missing");
    proved_by(&token, &Key::p256("thief")).is_refused("federation.proof_invalid");
    proved_by(&token, &holder()).is_accepted();
}

#[test]
fn w_20_a_token_is_no_bearer_token() {
    let token = wit().sign(&wit_authority(), "wit-1");
    Ask::jwt(token.clone())
        .trust(&trust_domain())
        .is_refused("federation.proof_missing");
    // Not even under the type, and by the key, of a JWT-SVID.
    let dressed = wit().untyped().claim("aud", AUDIENCE.into());
    Ask::jwt(dressed.sign(&jwt_authority(), "jwt-1"))
        .trust(&trust_domain())
        .is_refused("federation.proof_missing");
    let plain = wit().untyped().without("cnf").claim("aud", AUDIENCE.into());
    Ask::jwt(plain.sign(&jwt_authority(), "jwt-1"))
        .trust(&trust_domain())
        .is_accepted();
}

#[test]
fn w_21_the_proof_is_a_workload_proof_token() {
    let token = wit().sign(&wit_authority(), "wit-1");
    let with_type = |found: &str| {
        let proof = TokenForge::proof(&token, AUDIENCE).header("typ", found.into());
        Ask::wit(&token, Some(&proof.sign_nameless(&holder()))).trust(&trust_domain())
    };
    with_type("dpop+jwt").is_refused("federation.type_unexpected");
    with_type("wpt+jwt").is_accepted();
}

#[test]
fn w_22_the_life_of_a_proof_is_short() {
    let token = wit().sign(&wit_authority(), "wit-1");
    let living = |seconds: i64| {
        let proof =
            TokenForge::proof(&token, AUDIENCE).claim("exp", (NOW_SECONDS + seconds).into());
        Ask::wit(&token, Some(&proof.sign_nameless(&holder()))).trust(&trust_domain())
    };
    living(0).is_refused("federation.proof_invalid");
    living(301).is_refused("federation.proof_invalid");
    living(300).is_accepted();
    living(1).is_accepted();
    // It is not of the future, but for clocks that differ (RFC 7519 4.1.5).
    for claim in ["nbf", "iat"] {
        let beginning = |seconds: i64| {
            let proof =
                TokenForge::proof(&token, AUDIENCE).claim(claim, (NOW_SECONDS + seconds).into());
            Ask::wit(&token, Some(&proof.sign_nameless(&holder()))).trust(&trust_domain())
        };
        beginning(61).is_refused("federation.proof_invalid");
        beginning(60).is_accepted();
    }
}

#[test]
fn w_23_a_key_in_the_bundle_has_its_use_and_a_name_of_its_own() {
    let nameless = domain_of(&wit_authority(), |key| {
        key.as_object_mut().unwrap().remove("kid");
    });
    assert_eq!(
        read_anchor(&nameless).unwrap_err().code(),
        "input.bundle_malformed"
    );
    let (mut jwt, mut wit) = (jwk(&jwt_authority(), "same"), jwk(&wit_authority(), "same"));
    jwt["use"] = "jwt-svid".into();
    wit["use"] = "wit-svid".into();
    let shared = json!({"trust_domain": TRUST_DOMAIN, "bundle": {"keys": [jwt, wit]}});
    assert_eq!(
        read_anchor(&shared).unwrap_err().code(),
        "federation.key_duplicate"
    );
    assert!(read_anchor(&trust_domain()).is_ok());
}

#[test]
fn w_24_only_keys_for_wit_svids_check_them() {
    let token = wit().sign(&jwt_authority(), "jwt-1");
    proved_by(&token, &holder()).is_refused("federation.key_unknown");
    let token = wit().sign(&wit_authority(), "wit-1");
    let none = domain_of(&wit_authority(), |key| key["use"] = "jwt-svid".into());
    asked_of(&token, &none).is_refused("spiffe.bundle_has_no_keys");
    asked_of(&token, &domain_of(&wit_authority(), |_| ())).is_accepted();
}

#[test]
fn w_25_one_token_and_key_may_come_from_many_instances() {
    let token = wit().sign(&wit_authority(), "wit-1");
    let from = |id: &str| {
        let proof = TokenForge::proof(&token, AUDIENCE).claim("jti", id.into());
        Ask::wit(&token, Some(&proof.sign_nameless(&holder()))).trust(&trust_domain())
    };
    // Both are the workload; neither is an instance.
    assert_eq!(from("a").identity().name(), from("b").identity().name());
    assert_ne!(from("a").effects(), from("b").effects());
}
