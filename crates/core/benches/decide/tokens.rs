//! An ID token signed with ES256.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::IssuerAnchor;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::key::Key;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64ct::{Base64UrlUnpadded, Encoding};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::contest::Row;
use crate::worlds::{now, turns};

const TOKENS: usize = 64;
const ISSUER: &str = "https://issuer.example.com";
const AUDIENCE: &str = "vault";

/// What nothing can go below: one signature.
pub(crate) fn es256() -> Row {
    let key = Key::p256("issuer");
    let tokens: Arc<[String]> = (0..TOKENS).map(|number| token(&key, number)).collect();
    Row::new("JWT with ES256: an ID token of 9 claims", 1, Some(0.85))
        .with("* aws-lc-rs: one ES256 verification", raw(&key, &tokens))
        .with("avouch", avouch(&key, &tokens))
        .with("jsonwebtoken", jsonwebtoken(&key, &tokens))
}

fn token(key: &Key, number: usize) -> String {
    let encoded = |value: Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let issued = now().unix();
    let header = encoded(json!({"alg": "ES256", "kid": "key-1", "typ": "JWT"}));
    let claims = encoded(json!({
        "iss": ISSUER, "sub": format!("workload-{number}"), "aud": AUDIENCE, "iat": issued,
        "nbf": issued, "exp": issued + 600, "jti": format!("{number:032}"),
        "environment": "production", "repository": "example/payments",
    }));
    let signed = format!("{header}.{claims}");
    let signature = key.sign_ecdsa_fixed(signed.as_bytes());
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
}

fn raw(key: &Key, tokens: &[String]) -> impl FnMut() + use<> {
    let public = key.public().to_vec();
    let signed: Vec<(Vec<u8>, Vec<u8>)> = tokens
        .iter()
        .map(|token| {
            let (signed, signature) = token.rsplit_once('.').expect("a token");
            let signature = Base64UrlUnpadded::decode_vec(signature).expect("base64url");
            (signed.as_bytes().to_vec(), signature)
        })
        .collect();
    let mut next = turns();
    move || {
        let (message, signature) = &signed[next() % TOKENS];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
            .verify(message, signature)
            .expect("the signature holds");
    }
}

fn avouch(key: &Key, tokens: &[String]) -> impl FnMut() -> Verdict + use<> {
    let view = view(key);
    let questions: Vec<Question> = tokens.iter().map(|token| question(token)).collect();
    let mut next = turns();
    move || {
        let question = &questions[next() % TOKENS];
        let verdict = decide(question, &view, &AwsLc, &mut Budget::default());
        assert!(matches!(verdict, Verdict::Accept(_)), "{verdict:?}");
        verdict
    }
}

fn question(token: &str) -> Question {
    Question {
        tenant: TenantId::local(),
        credential: Credential::Jwt(token.to_owned()),
        profile: Profile::WebPki,
        purpose: Purpose::Any,
        now: now(),
        context: Context {
            audiences: vec![AUDIENCE.to_owned()],
            ..Context::default()
        },
    }
}

fn view(key: &Key) -> View {
    let members = json!({"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": {"keys": [jwk(key)]}});
    let issuer = IssuerAnchor::read(members.as_object().expect("an object")).expect("an issuer");
    let anchor = Anchor {
        name: "Example issuer".to_owned(),
        kind: AnchorKind::Issuer(issuer),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    };
    let epoch = Digest::of(members.to_string().as_bytes());
    View::new(
        TenantId::local(),
        vec![anchor],
        Vec::new(),
        Vec::new(),
        epoch,
    )
}

fn jwk(key: &Key) -> Value {
    let (x, y) = key.public()[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "kid": "key-1", "use": "sig", "alg": "ES256",
        "x": Base64UrlUnpadded::encode_string(x), "y": Base64UrlUnpadded::encode_string(y)})
}

fn jsonwebtoken(key: &Key, tokens: &[String]) -> impl FnMut() -> Value + use<> {
    let tokens = tokens.to_vec();
    let (x, y) = key.public()[1..].split_at(32);
    let key = DecodingKey::from_ec_components(
        &Base64UrlUnpadded::encode_string(x),
        &Base64UrlUnpadded::encode_string(y),
    )
    .expect("a key");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    // It reads the clock itself, and the tokens are of another day.
    validation.validate_exp = false;
    let mut next = turns();
    move || {
        let token = &tokens[next() % TOKENS];
        jsonwebtoken::decode::<Value>(token, &key, &validation)
            .expect("the token holds")
            .claims
    }
}
