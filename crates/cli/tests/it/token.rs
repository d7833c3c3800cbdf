//! Tokens and key sets for the worlds of these tests.

use avouch_testkit::key::{Key, Kind};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// A compact JWS of these claims.
pub(crate) fn token(key: &Key, kid: &str, claims: &Value) -> String {
    let is_ecdsa = key.kind() == Kind::P256;
    let algorithm = if is_ecdsa { "ES256" } else { "EdDSA" };
    let header = json!({"alg": algorithm, "kid": kid, "typ": "JWT"});
    let signed = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let signature = if is_ecdsa {
        key.sign_ecdsa_fixed(signed.as_bytes())
    } else {
        key.sign(key.scheme(), signed.as_bytes())
    };
    format!("{signed}.{}", encode(&signature))
}

/// The public half as a JSON Web Key.
pub(crate) fn jwk(key: &Key, kid: &str, key_use: &str) -> Value {
    let public = key.public();
    if key.kind() == Kind::P256 {
        // An uncompressed point: a byte that says so, and two coordinates.
        let (x, y) = public[1..].split_at(32);
        return json!({
            "kty": "EC", "crv": "P-256", "kid": kid, "use": key_use, "x": encode(x), "y": encode(y),
        });
    }
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": key_use, "x": encode(public)})
}
