//! Tokens, good or wrong in any way one asks for, and the keys that check them.

use aws_lc_rs::{digest, hmac};
use base64ct::{Base64UrlUnpadded, Encoding};
use der::Decode;
use der::asn1::Uint;
use serde_json::{Map, Value, json};

use crate::key::{Key, Kind, Scheme};

/// [`crate::NOW`] in seconds since 1970.
pub const NOW_SECONDS: i64 = 1_717_200_000;

/// A token in the making.
#[derive(Clone, Debug)]
pub struct TokenForge {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<String>,
    raw_claims: Option<String>,
}

impl TokenForge {
    /// A token that says exactly this.
    pub fn saying(claims: Value) -> Self {
        let Value::Object(claims) = claims else {
            panic!("claims are an object");
        };
        let mut header = Map::new();
        header.insert("typ".to_owned(), "JWT".into());
        Self {
            header,
            claims,
            raw_header: None,
            raw_claims: None,
        }
    }

    /// A token that an issuer gave to a subject for an audience at [`crate::NOW`], for ten minutes.
    pub fn oidc(issuer: &str, subject: &str, audience: &str) -> Self {
        Self::saying(json!({
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": NOW_SECONDS,
            "nbf": NOW_SECONDS,
            "exp": NOW_SECONDS + 600,
            "jti": "6f4762ed-0758-4ccb-808d-ee3af5d723a8",
        }))
    }

    /// A JWT-SVID.
    pub fn jwt_svid(id: &str, audience: &str) -> Self {
        Self::saying(json!({
            "sub": id,
            "aud": [audience],
            "iat": NOW_SECONDS,
            "exp": NOW_SECONDS + 300,
        }))
    }

    /// A WIT-SVID for the holder of `key`.
    pub fn wit_svid(id: &str, key: &Key) -> Self {
        let mut confirmation = jwk(key, "holder");
        if let Some(members) = confirmation.as_object_mut() {
            members.remove("kid");
            members.remove("use");
        }
        Self::saying(json!({
            "sub": id,
            "iat": NOW_SECONDS,
            "exp": NOW_SECONDS + 3600,
            "jti": "wit-1",
            "cnf": {"jwk": confirmation},
        }))
        .header("typ", "wit+jwt".into())
    }

    /// The proof that comes with a workload identity token.
    pub fn proof(token: &str, audience: &str) -> Self {
        Self::saying(json!({
            "aud": audience,
            "exp": NOW_SECONDS + 60,
            "jti": "proof-1",
            "wth": hash(token),
        }))
        .header("typ", "wpt+jwt".into())
    }

    /// With a claim.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Without a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// With a member of the header.
    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }

    /// Without a type.
    pub fn untyped(mut self) -> Self {
        self.header.remove("typ");
        self
    }

    /// With this text for claims, whatever it is.
    pub fn raw_claims(mut self, text: &str) -> Self {
        self.raw_claims = Some(text.to_owned());
        self
    }

    /// With this text for a header, whatever it is.
    pub fn raw_header(mut self, text: &str) -> Self {
        self.raw_header = Some(text.to_owned());
        self
    }

    /// The claims as text.
    pub fn claims_text(&self) -> String {
        match &self.raw_claims {
            Some(text) => text.clone(),
            None => Value::Object(self.claims.clone()).to_string(),
        }
    }

    /// Signed with the algorithm that belongs to the key, under the name `kid`.
    pub fn sign(&self, key: &Key, kid: &str) -> String {
        self.clone().header("kid", kid.into()).sign_nameless(key)
    }

    /// Signed with the algorithm that belongs to the key, without saying which key it is.
    pub fn sign_nameless(&self, key: &Key) -> String {
        self.sign_as(key, default_algorithm(key))
    }

    /// Signed with an algorithm, which the header names unless it already names another.
    pub fn sign_as(&self, key: &Key, algorithm: &str) -> String {
        let signed = self.signing_input(algorithm);
        let signature = sign(key, algorithm, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    /// With these bytes for a signature.
    pub fn with_signature(&self, algorithm: &str, signature: &[u8]) -> String {
        format!("{}.{}", self.signing_input(algorithm), encode(signature))
    }

    fn signing_input(&self, algorithm: &str) -> String {
        let mut header = self.header.clone();
        header.entry("alg").or_insert_with(|| algorithm.into());
        let header = match &self.raw_header {
            Some(text) => text.clone(),
            None => Value::Object(header).to_string(),
        };
        let claims = self.claims_text();
        format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        )
    }
}

/// The public half of a key as a JSON Web Key for signatures.
pub fn jwk(key: &Key, kid: &str) -> Value {
    let public = key.public();
    let point = |curve: &str| {
        let (x, y) = public[1..].split_at((public.len() - 1) / 2);
        json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
    };
    let mut jwk = match key.kind() {
        Kind::Ed25519 => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(public)}),
        Kind::P256 => point("P-256"),
        Kind::P384 => point("P-384"),
        Kind::P521 => point("P-521"),
        Kind::Rsa2048 => {
            let numbers = Vec::<Uint>::from_der(public).expect("a DER RSAPublicKey");
            let number = |index| encode(numbers.get(index).map(Uint::as_bytes).unwrap_or_default());
            json!({"kty": "RSA", "n": number(0), "e": number(1)})
        }
        other => panic!("there is no JSON Web Key for {other:?}"),
    };
    jwk["kid"] = kid.into();
    jwk["use"] = "sig".into();
    jwk["alg"] = default_algorithm(key).into();
    jwk
}

/// A JWK Set.
pub fn jwks(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

/// A SPIFFE bundle with one key for JWT-SVIDs and one for WIT-SVIDs.
pub fn bundle(jwt: &Key, wit: &Key) -> Value {
    let mut jwt = jwk(jwt, "jwt-1");
    jwt["use"] = "jwt-svid".into();
    let mut wit = jwk(wit, "wit-1");
    wit["use"] = "wit-svid".into();
    json!({"keys": [jwt, wit], "spiffe_sequence": 1, "spiffe_refresh_hint": 300})
}

/// The hash by which one token speaks of another: SHA-256 in base64url.
pub fn hash(token: &str) -> String {
    encode(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
}

/// The SHA-256 digest of a token in hexadecimal, by which an answer about it names it.
pub fn digest(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// HMAC with SHA-256, as `HS256` has it (RFC 7518 3.2).
pub fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// Base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

fn default_algorithm(key: &Key) -> &'static str {
    match key.kind() {
        Kind::Ed25519 => "EdDSA",
        Kind::P256 => "ES256",
        Kind::P384 => "ES384",
        Kind::P521 => "ES512",
        Kind::Rsa2048 => "RS256",
        other => panic!("tokens are not signed with {other:?}"),
    }
}

fn sign(key: &Key, algorithm: &str, message: &[u8]) -> Vec<u8> {
    match algorithm {
        "ES256" | "ES384" | "ES512" => key.sign_ecdsa_fixed(message),
        "EdDSA" | "Ed25519" => key.sign(Scheme::Ed25519, message),
        "RS256" => key.sign(Scheme::RsaPkcs1Sha256, message),
        "RS384" => key.sign(Scheme::RsaPkcs1Sha384, message),
        "RS512" => key.sign(Scheme::RsaPkcs1Sha512, message),
        "PS256" => key.sign(Scheme::RsaPssSha256, message),
        "PS384" => key.sign(Scheme::RsaPssSha384, message),
        "PS512" => key.sign(Scheme::RsaPssSha512, message),
        other => panic!("no key here signs with {other}"),
    }
}
