//! What every target trusts: one CA, one trust domain and one issuer of tokens, so that mutated
//! credentials meet anchors that they nearly fit.

use std::sync::LazyLock;

use avouch_api::TrustDocument;
use avouch_core::budget::Limits;
use avouch_core::credential::Credential;
use avouch_core::id::TenantId;
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::view::View;
use avouch_testkit::key::Key;
use avouch_testkit::world::{Authority, pem};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

/// The issuer of tokens that is trusted.
pub const ISSUER: &str = "https://issuer.example";
/// The audience that the relying party is.
pub const AUDIENCE: &str = "vault";
/// The trust domain that is trusted.
pub const TRUST_DOMAIN: &str = "example.org";

/// The root that is trusted.
pub fn root() -> Authority {
    Authority::root("Root")
}

/// The CA below it.
pub fn issuing() -> Authority {
    root().intermediate("Issuing")
}

/// The key of the issuer and of the trust domain, for tokens.
pub fn token_key() -> Key {
    Key::p256("issuer")
}

/// The key set of the issuer.
pub fn key_set() -> Value {
    json!({"keys": [jwk("k1", "sig"), {"kty": "OKP", "crv": "Ed25519", "kid": "k2", "use": "sig",
        "alg": "EdDSA", "x": Base64UrlUnpadded::encode_string(Key::ed25519("k2").public())}]})
}

/// The bundle of the trust domain.
pub fn bundle() -> Value {
    use base64ct::Base64;
    let certificate = Base64::encode_string(&root().certificate);
    json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 60, "keys": [
        jwk("j1", "jwt-svid"), jwk("w1", "wit-svid"),
        {"kty": "EC", "crv": "P-256", "use": "x509-svid", "x5c": [certificate],
         "x": jwk("", "")["x"], "y": jwk("", "")["y"]}]})
}

fn jwk(id: &str, usage: &str) -> Value {
    let key = token_key();
    let point = key.public();
    let (x, y) = point[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "kid": id, "use": usage,
        "x": Base64UrlUnpadded::encode_string(x), "y": Base64UrlUnpadded::encode_string(y)})
}

/// A compact token over these, not really signed, but one that holds.
pub fn token(header: &Value, claims: &Value) -> String {
    token_of(&header.to_string(), &claims.to_string())
}

/// A compact token over these texts, whatever they are.
pub fn token_of(header: &str, claims: &str) -> String {
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let signature = Base64UrlUnpadded::encode_string(&[1; 64]);
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// The trust document.
pub fn trust_document() -> Value {
    json!({"anchors": [
        {"x509": pem("CERTIFICATE", &root().certificate)},
        {"trust_domain": TRUST_DOMAIN, "bundle": bundle()},
        {"issuer": ISSUER, "jwks": key_set(), "audiences": [AUDIENCE]},
    ]})
}

/// What is known.
pub fn view() -> &'static View {
    static VIEW: LazyLock<View> = LazyLock::new(|| {
        let text = trust_document().to_string();
        let document = TrustDocument::read(text.as_bytes(), &TenantId::local(), "fuzz")
            .expect("the fixture can be read");
        TrustDocument::view(TenantId::local(), vec![document])
    });
    &VIEW
}

/// A question about a credential.
pub fn question(credential: Credential, profile: Profile, expected: Vec<ExpectedName>) -> Question {
    Question {
        tenant: TenantId::local(),
        credential,
        profile,
        purpose: Purpose::Any,
        now: crate::now(),
        context: Context {
            expected,
            audiences: vec![AUDIENCE.to_owned()],
            ..Context::default()
        },
    }
}

/// Limits that keep each run short.
pub fn limits() -> Limits {
    Limits {
        search_steps: 2_000,
        ..Limits::default()
    }
}
