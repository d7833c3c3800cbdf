//! Hostile tokens 1 to 13: parsing and cryptography. Each is refused for what is wrong with it,
//! and its nearest honest neighbour is believed.

use avouch_core::budget::Limits;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{NOW_SECONDS, TokenForge, encode, jwk, jwks};
use serde_json::{Value, json};

use crate::token_ask::{
    AUDIENCE, Ask, ISSUER, ask, good, issuer, issuer_key, issuer_with, outcome,
};

/// A token whose header says what `header` says, with this signature.
fn with_header(header: &Value, signature: &[u8]) -> Ask {
    let token = good()
        .raw_header(&header.to_string())
        .with_signature("", signature);
    Ask::jwt(token).trust(&issuer())
}

#[test]
fn hostile_01_an_unsigned_token_is_refused_however_none_is_spelt() {
    for algorithm in ["none", "None", "nOnE", "NONE", ""] {
        for signature in [&b""[..], b"x"] {
            let header = json!({"alg": algorithm, "kid": "key-1"});
            let code = match algorithm {
                "" => "input.header_malformed",
                _ => "federation.algorithm_forbidden",
            };
            with_header(&header, signature).is_refused(code);
        }
    }
    with_header(&json!({"kid": "key-1"}), b"").is_refused("input.header_malformed");
    with_header(&json!({"alg": "ES256", "kid": "key-1"}), b"")
        .is_refused("federation.signature_invalid");
    ask(&good()).is_accepted();
}

#[test]
fn hostile_02_a_public_key_is_never_a_shared_secret() {
    let key = Key::rsa(RsaTestKey::A);
    let anchor = issuer_with(ISSUER, &key);
    for algorithm in ["HS256", "HS384", "HS512"] {
        let token = good()
            .header("kid", "key-1".into())
            .with_signature(algorithm, &[7; 32]);
        Ask::jwt(token)
            .trust(&anchor)
            .is_refused("federation.algorithm_forbidden");
    }
    Ask::jwt(good().sign(&key, "key-1"))
        .trust(&anchor)
        .is_accepted();
}

#[test]
fn hostile_03_an_algorithm_outside_the_list_of_its_issuer_or_key_is_refused() {
    let rsa = Key::rsa(RsaTestKey::A);
    let mut open_key = jwk(&rsa, "key-1");
    open_key.as_object_mut().unwrap().remove("alg");
    let anchor = |key: &Value, algorithms: &[&str]| {
        let keys = jwks(std::slice::from_ref(key));
        json!({"issuer": ISSUER, "jwks": keys, "algorithms": algorithms})
    };
    let signed_as = |algorithm| {
        good()
            .header("kid", "key-1".into())
            .sign_as(&rsa, algorithm)
    };
    Ask::jwt(signed_as("PS256"))
        .trust(&anchor(&open_key, &["RS256"]))
        .is_refused("federation.algorithm_not_allowed");
    Ask::jwt(signed_as("PS256"))
        .trust(&anchor(&jwk(&rsa, "key-1"), &["RS256", "PS256"]))
        .is_refused("federation.key_algorithm_mismatch");
    Ask::jwt(signed_as("PS256"))
        .trust(&anchor(&open_key, &["PS256"]))
        .is_accepted();
    Ask::jwt(signed_as("RS256"))
        .trust(&anchor(&jwk(&rsa, "key-1"), &["RS256"]))
        .is_accepted();
}

#[test]
fn hostile_03_a_key_for_another_use_is_refused() {
    for (member, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt", "wrapKey"])),
        ("alg", json!("ECDH-ES")),
    ] {
        let mut key = jwk(&issuer_key(), "key-1");
        key[member] = value;
        let anchor = json!({"issuer": ISSUER, "jwks": jwks(&[key])});
        Ask::jwt(good().sign(&issuer_key(), "key-1"))
            .trust(&anchor)
            .is_refused("federation.key_not_for_signing");
    }
    let mut key = jwk(&issuer_key(), "key-1");
    key.as_object_mut().unwrap().remove("use");
    key["key_ops"] = json!(["verify"]);
    Ask::jwt(good().sign(&issuer_key(), "key-1"))
        .trust(&json!({"issuer": ISSUER, "jwks": jwks(&[key])}))
        .is_accepted();
}

#[test]
fn hostile_04_a_key_of_another_kind_than_the_algorithm_is_refused() {
    let header = json!({"alg": "ES384", "kid": "key-1"});
    with_header(&header, &[1; 96]).is_refused("federation.key_algorithm_mismatch");
    let header = json!({"alg": "RS256", "kid": "key-1"});
    with_header(&header, &[1; 256]).is_refused("federation.key_algorithm_mismatch");
    let header = json!({"alg": "EdDSA", "kid": "key-1"});
    with_header(&header, &[1; 64]).is_refused("federation.key_algorithm_mismatch");
    for key in [
        Key::p256("a"),
        Key::p384("a"),
        Key::p521("a"),
        Key::ed25519("a"),
        Key::rsa(RsaTestKey::B),
    ] {
        Ask::jwt(good().sign(&key, "key-1"))
            .trust(&issuer_with(ISSUER, &key))
            .is_accepted();
    }
}

#[test]
fn hostile_04_a_signature_of_zeros_is_refused() {
    let header = json!({"alg": "ES256", "kid": "key-1"});
    with_header(&header, &[0; 64]).is_refused("federation.signature_invalid");
    // Right, but as DER instead of two numbers.
    let key = issuer_key();
    let forge = good().header("kid", "key-1".into());
    let token = forge.sign_as(&key, "ES256");
    let (signed, _) = token.rsplit_once('.').unwrap();
    let der = key.sign(avouch_testkit::key::Scheme::EcdsaSha256, signed.as_bytes());
    Ask::jwt(format!("{signed}.{}", encode(&der)))
        .trust(&issuer())
        .is_refused("federation.signature_invalid");
    Ask::jwt(token).trust(&issuer()).is_accepted();
}

#[test]
fn hostile_04_a_key_that_can_be_broken_is_refused_and_named() {
    let ask_with = |key: Value| {
        let anchor = json!({"issuer": ISSUER, "jwks": jwks(&[key])});
        let token = good()
            .header("kid", "key-1".into())
            .with_signature("RS256", &[1; 128]);
        Ask::jwt(token).trust(&anchor)
    };
    let modulus = |bytes: usize| encode(&vec![0xa5; bytes]);
    let rsa = |n: String, e: &str| json!({"kty": "RSA", "kid": "key-1", "n": n, "e": e});
    ask_with(rsa(modulus(128), "AQAB")).is_refused("federation.key_weak");
    ask_with(rsa(modulus(255), "AQAB")).is_refused("federation.key_weak");
    ask_with(rsa(modulus(256), "AQ")).is_refused("federation.key_weak");
    ask_with(rsa(modulus(256), "Ag")).is_refused("federation.key_weak");
    ask_with(rsa(encode(&[0xa4; 256]), "AQAB")).is_refused("federation.key_weak");
    ask_with(rsa(modulus(1025), "AQAB")).is_refused("input.jwk_malformed");
    ask_with(rsa(modulus(256), "AAEAAQ")).is_refused("input.jwk_malformed");
    ask_with(rsa(modulus(256), "AQAB")).is_refused("federation.signature_invalid");
}

#[test]
fn hostile_05_what_must_be_understood_and_is_not_refuses() {
    for critical in [
        json!(["http://example.com/unknown"]),
        json!(["b64"]),
        json!(["exp"]),
    ] {
        let header = json!({"alg": "ES256", "kid": "key-1", "crit": critical, "b64": false});
        with_header(&header, &[1; 64]).is_refused("federation.critical_header_unsupported");
    }
    for critical in [
        json!([]),
        json!(["a", "a"]),
        json!("b64"),
        json!([1]),
        json!(null),
    ] {
        let header = json!({"alg": "ES256", "kid": "key-1", "crit": critical});
        with_header(&header, &[1; 64]).is_refused("input.header_malformed");
    }
    for name in ["b64", "zip", "enc"] {
        let header = json!({"alg": "ES256", "kid": "key-1", name: true});
        with_header(&header, &[1; 64]).is_refused("federation.header_unexpected");
    }
    // What is not critical may be passed over; GitHub sends `x5t`.
    ask(&good().header("x5t", "eHh4".into())).is_accepted();
}

#[test]
fn hostile_06_a_token_of_another_type_proves_something_else() {
    for found in [
        "at+jwt",
        "application/at+jwt",
        "secevent+jwt",
        "logout+jwt",
        "dpop+jwt",
        "oauth-id-jag+jwt",
        "wpt+jwt",
        "JOSE+JSON",
    ] {
        ask(&good().header("typ", found.into())).is_refused("federation.type_unexpected");
    }
    for found in ["JOSE", "jose", "application/jose"] {
        ask(&good().header("typ", found.into())).is_refused("federation.type_unexpected");
    }
    ask(&good().header("typ", "wit+jwt".into())).is_refused("federation.proof_missing");
    ask(&good().header("typ", 1.into())).is_refused("input.header_malformed");
    for found in ["JWT", "jwt", "application/jwt"] {
        ask(&good().header("typ", found.into())).is_accepted();
    }
    ask(&good().untyped()).is_accepted();
}

#[test]
fn hostile_07_a_member_twice_is_refused_wherever_it_stands() {
    let claims = good().claims_text();
    let open = claims.trim_end_matches('}');
    for twice in [
        format!("{open},\"sub\":\"job-8\"}}"),
        format!("{open},\"aud\":\"vault\"}}"),
        format!("{open},\"role\":\"a\",\"role\":\"b\"}}"),
        format!("{open},\"role\":\"a\",\"\\u0072ole\":\"b\"}}"),
        format!("{open},\"nested\":{{\"a\":1,\"a\":2}}}}"),
    ] {
        ask(&good().raw_claims(&twice)).is_refused("input.json_duplicate_member");
    }
    let token = good()
        .raw_header(r#"{"alg":"ES256","kid":"key-1","kid":"key-2"}"#)
        .sign_as(&issuer_key(), "ES256");
    Ask::jwt(token)
        .trust(&issuer())
        .is_refused("input.json_duplicate_member");
    let once = format!("{open},\"role\":\"a\",\"Role\":\"b\"}}");
    ask(&good().raw_claims(&once)).is_accepted();
}

#[test]
fn hostile_08_a_claim_of_the_wrong_type_is_not_an_absent_claim() {
    let now = NOW_SECONDS;
    let mistyped = [
        ("exp", json!("1717200600")),
        ("exp", json!(-0.5)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!(true)),
        ("exp", json!(null)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!("1717200000")),
        ("iat", json!([now])),
        ("aud", json!(null)),
        ("aud", json!(7)),
        ("aud", json!({"a": "vault"})),
        ("aud", json!([])),
        ("aud", json!("")),
        ("aud", json!(["vault", 7])),
        ("aud", json!(["vault", ""])),
        ("iss", json!([ISSUER, "https://evil.example"])),
        ("iss", json!({"iss": ISSUER})),
        ("iss", json!("")),
        ("sub", json!(7)),
        ("sub", json!("")),
        ("jti", json!(7)),
        ("azp", json!(["a"])),
        ("nonce", json!(1)),
    ];
    for (claim, value) in mistyped {
        let verdict = ask(&good().claim(claim, value.clone())).decide();
        assert_eq!(
            outcome(&verdict),
            "federation.claim_mistyped",
            "{claim} {value}"
        );
    }
    ask(&good().claim("aud", json!(["vault"]))).is_accepted();
    ask(&good().claim("exp", json!(now + 1))).is_accepted();
}

#[test]
fn hostile_09_a_claim_that_bounds_the_token_may_not_be_missing() {
    for claim in ["aud", "iss", "exp", "sub", "iat"] {
        let verdict = ask(&good().without(claim)).decide();
        assert_eq!(outcome(&verdict), "federation.claim_missing", "{claim}");
    }
    // `nbf` and `jti` bound nothing that `iat` and `exp` do not.
    ask(&good().without("nbf").without("jti")).is_accepted();
}

#[test]
fn hostile_10_a_second_spelling_of_a_token_is_refused() {
    let token = good().sign(&issuer_key(), "key-1");
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        panic!("three parts");
    };
    // 64 octets leave four bits over in the last character: set one of them.
    let loose = {
        let last = signature.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let index = alphabet.find(last).unwrap();
        let other = alphabet.chars().nth(index + 1).unwrap();
        format!("{}{other}", signature.strip_suffix(last).unwrap())
    };
    for respelt in [
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}=="),
        format!("{header}.{claims}.{loose}"),
        format!("{header}.{claims}.{signature}\n"),
        format!(" {header}.{claims}.{signature}"),
        format!("{header}.{claims} .{signature}"),
        format!("{header}=.{claims}.{signature}"),
    ] {
        Ask::jwt(respelt)
            .trust(&issuer())
            .is_refused("input.base64url_not_canonical");
    }
    let standard = encode(&[0xfb; 64]).replace('-', "+").replace('_', "/");
    Ask::jwt(format!("{header}.{claims}.{standard}"))
        .trust(&issuer())
        .is_refused("input.base64url_not_canonical");
    Ask::jwt(token).trust(&issuer()).is_accepted();
}

#[test]
fn hostile_11_what_is_not_three_parts_is_refused_cheaply() {
    let token = good().sign(&issuer_key(), "key-1");
    let asked = |token: String| Ask::jwt(token).trust(&issuer());
    let (without_signature, _) = token.rsplit_once('.').unwrap();
    asked(without_signature.to_owned()).is_refused("input.token_not_compact");
    asked(format!("{token}.x")).is_refused("input.token_not_compact");
    asked(format!("{token}.x.y")).is_refused("input.token_encrypted");
    asked(String::new()).is_refused("input.token_not_compact");
    asked(".".repeat(1_000)).is_refused("input.token_not_compact");
    asked(".".repeat(1_000_000)).is_refused("limit.input_size");
    asked("..".to_owned()).is_refused("input.json_malformed");
    asked(r#"{"payload":"e30","signatures":[]}"#.to_owned()).is_refused("input.token_not_compact");
    // A token inside a token.
    ask(&good().header("cty", "JWT".into())).is_refused("federation.header_unexpected");
    ask(&good().raw_claims("\"e30.e30.e30\"")).is_refused("input.json_malformed");
    asked(token).is_accepted();
}

#[test]
fn hostile_12_size_depth_and_count_are_bounded() {
    let text = |length: usize| ask(&good().claim("filler", "x".repeat(length).into()));
    text(1 << 20).is_refused("limit.input_size");
    text(8 << 10).is_accepted();
    let nested = |depth: usize| {
        let value = (1..depth).fold(json!(1), |inner, _| json!([inner]));
        ask(&good().claim("nested", value))
    };
    let depth = Limits::default().json_depth;
    nested(depth + 1).is_refused("limit.json_depth");
    nested(depth).is_accepted();
    let members = |count: usize| ask(&good().claim("list", vec![1; count].into()));
    let count = Limits::default().json_members;
    members(count).is_refused("limit.json_members");
    members(count - 8).is_accepted();
    let bomb = format!("{{\"a\":{}", "[".repeat(9_000));
    ask(&good().raw_claims(&bomb)).is_refused("limit.json_depth");
}

#[test]
fn hostile_13_text_that_could_deceive_a_reader_is_refused_where_it_names_someone() {
    for text in [
        "job-7\u{0}",
        "job\n-7",
        "job-\u{202e}7",
        "job\u{200b}-7",
        "job\u{1b}[2J-7",
        "\u{feff}job-7",
    ] {
        ask(&good().claim("sub", text.into())).is_refused("input.unsafe_text");
        ask(&good().claim("role", text.into())).is_refused("input.unsafe_text");
        for claim in ["jti", "azp", "client_id"] {
            ask(&good().claim(claim, text.into())).is_refused("input.unsafe_text");
        }
        ask(&good().claim("aud", json!([AUDIENCE, text]))).is_refused("input.unsafe_text");
        // Whoever may name a group must not lock its members out, so that there it is no fact at all;
        // and a name that is shown is no name that anyone is known by.
        ask(&good().claim("groups", json!(["a", text]))).is_accepted();
        ask(&good().claim("given_name", text.into())).is_accepted();
    }
    // Letters of any script are letters, and another normal form is another name.
    let anchor = json!({"issuer": ISSUER, "jwks": jwks(&[jwk(&issuer_key(), "key-1")]),
        "rules": [{"facts": {"subject": "caf\u{e9}"}}]});
    let asked = |subject: &str| {
        let token = good().claim("sub", subject.into());
        Ask::jwt(token.sign(&issuer_key(), "key-1")).trust(&anchor)
    };
    asked("caf\u{e9}").is_accepted();
    asked("cafe\u{301}").is_refused("policy.rule_not_matched");
    asked("c\u{430}f\u{e9}").is_refused("policy.rule_not_matched");
}

#[test]
fn nothing_of_a_refused_token_is_shown_but_its_public_parts() {
    let token = TokenForge::oidc(ISSUER, "job-7", AUDIENCE).sign(&Key::p256("other"), "key-1");
    let signature = token.rsplit_once('.').unwrap().1;
    let asked = Ask::jwt(token.clone()).trust(&issuer());
    let shown = format!("{:?} {:?}", asked.question, asked.decide());
    assert!(!shown.contains(signature) && !shown.contains(&token));
}

#[test]
fn a_token_may_have_all_the_bytes_allowed_and_pays_for_hashing_them() {
    let token = good()
        .claim("padding", "a".repeat(8_000).into())
        .sign(&issuer_key(), "key-1");
    let asked = Ask::jwt(token.clone()).trust(&issuer());
    let outcome_of = |token_bytes, signature_work| {
        let limits = Limits {
            token_bytes,
            signature_work,
            ..Limits::default()
        };
        outcome(&asked.decide_within(limits))
    };
    // 43 microseconds for the check and one for each 1,500 bytes.
    assert_eq!(outcome_of(token.len(), 50), "accept");
    assert_eq!(outcome_of(token.len() - 1, 50), "limit.input_size");
    assert_eq!(outcome_of(token.len(), 49), "limit.signature_work");
}
