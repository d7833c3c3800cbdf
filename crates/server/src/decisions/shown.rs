//! What is kept of a credential: a digest and its public parts, never what lets its bearer in.

use avouch_core::budget::Limits;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::json;
use avouch_core::credential::x509::Certificate;
use avouch_core::id::Digest;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

/// Claims in which other tokens stand (OpenID Connect Core 1.0 5.6.2, RFC 6749 5.1).
const BEARING: [&str; 3] = ["_claim_sources", "access_token", "refresh_token"];

/// A credential that was shown.
pub(crate) struct Shown {
    kind: String,
    digest: Digest,
    public: Public,
}

enum Public {
    /// Whoever has any of it has it all, or only its issuer can read it.
    Nothing,
    /// The chain in DER.
    Certificates(Vec<Vec<u8>>),
    /// A public key or a certificate of SSH, on one line.
    Key(String),
    /// The header and the claims of a compact token.
    Token(String),
}

impl Shown {
    pub(crate) fn of(credential: &Credential) -> Self {
        Self {
            kind: credential.kind().to_owned(),
            digest: credential.digest(),
            public: match credential {
                Credential::Jwt(token) | Credential::Wit { token, .. } => unsigned(token),
                Credential::X509(chain) => Public::Certificates(chain.clone()),
                Credential::Ssh { key, .. } => Public::Key(key.clone()),
                Credential::ApiKey(_)
                | Credential::Opaque(_)
                | Credential::Saml(_)
                | Credential::Unsupported(_) => Public::Nothing,
            },
        }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        match &self.public {
            Public::Nothing => 0,
            Public::Certificates(chain) => chain.iter().map(Vec::len).sum(),
            Public::Key(text) | Public::Token(text) => text.len(),
        }
    }

    /// What can be read of it; of what is not what it was said to be, nothing.
    pub(super) fn to_json(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("kind".to_owned(), self.kind.as_str().into());
        shown.insert("digest".to_owned(), self.digest.to_string().into());
        match &self.public {
            Public::Nothing => {}
            Public::Certificates(chain) => {
                let read = chain.iter().filter(|der| Certificate::parse(der).is_ok());
                let read: Vec<String> = read.map(|der| Base64::encode_string(der)).collect();
                shown.insert("certificates".to_owned(), read.into());
            }
            Public::Key(line) if is_public_key(line) => {
                shown.insert("key".to_owned(), line.trim().into());
            }
            Public::Key(_) => {}
            Public::Token(unsigned) => {
                let parts = ["header", "claims"].into_iter().zip(unsigned.split('.'));
                for (name, part) in parts {
                    shown.insert(name.to_owned(), object(part, name).unwrap_or_default());
                }
            }
        }
        Value::Object(shown)
    }
}

/// A token without its signature, if it is one in which anyone can read.
fn unsigned(token: &str) -> Public {
    let is_compact = token.bytes().filter(|byte| *byte == b'.').count() == 2;
    match token.rsplit_once('.') {
        Some((unsigned, _)) if is_compact => Public::Token(unsigned.to_owned()),
        Some(_) | None => Public::Nothing,
    }
}

fn object(part: &str, name: &'static str) -> Option<Value> {
    let bytes = Base64UrlUnpadded::decode_vec(part).ok()?;
    let read = json::read(&bytes, name, &Limits::default()).ok()?;
    Some(without_bearers(read))
}

/// The same without what would be a credential itself.
fn without_bearers(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members
                .into_iter()
                .filter(|(name, _)| !BEARING.contains(&name.as_str()));
            kept.map(|(name, value)| (name, without_bearers(value)))
                .collect()
        }
        Value::Array(list) => list.into_iter().map(without_bearers).collect(),
        Value::String(text) => match unsigned(&text) {
            Public::Token(unsigned) if is_headed(&unsigned) => format!("{unsigned}.").into(),
            _ => Value::String(text),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Whether it begins with the header of a token, as names with two dots do not.
fn is_headed(text: &str) -> bool {
    let header = text.split('.').next().unwrap_or_default();
    let bytes = Base64UrlUnpadded::decode_vec(header).unwrap_or_default();
    bytes.first() == Some(&b'{')
}

/// Whether it is no more than the name of an algorithm, a key and a comment: who has sent something else
/// may have sent a private key.
fn is_public_key(line: &str) -> bool {
    let line = line.trim();
    let mut parts = line.split(' ');
    let is_named = parts.next().is_some_and(|name| {
        let heads = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "rsa-sha2-"];
        heads.iter().any(|head| name.starts_with(head))
    });
    is_named && parts.next().is_some_and(|key| key.starts_with("AAAA")) && !line.contains('\n')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(credential: &Credential) -> Value {
        Shown::of(credential).to_json()
    }

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        format!("{}.{}.SIGNATURE", part(header), part(claims))
    }

    #[test]
    fn of_a_token_its_header_and_claims_are_kept_and_no_signature() {
        let inner = token("{}", r#"{"a":1}"#);
        let claims = json!({
            "sub": "example.co.uk", "hint": inner, "access_token": "SECRET",
            "list": [{"refresh_token": "SECRET"}], "_claim_sources": {"s": {"JWT": "SECRET"}},
        });
        let text = token(r#"{"alg":"ES256"}"#, &claims.to_string());
        for credential in [
            Credential::Jwt(text.clone()),
            Credential::Wit {
                token: text,
                proof: Some("SECRET".to_owned()),
            },
        ] {
            let shown = shown(&credential);
            assert_eq!(shown["header"], json!({"alg": "ES256"}));
            let hint = inner.strip_suffix("SIGNATURE").unwrap();
            let claims = json!({"sub": "example.co.uk", "hint": hint, "list": [{}]});
            assert_eq!(shown["claims"], claims);
            assert_eq!(shown["digest"], credential.digest().to_string());
            let text = shown.to_string();
            assert!(!text.contains("SIGNATURE") && !text.contains("SECRET"));
        }
    }

    #[test]
    fn of_what_is_a_secret_or_not_what_it_is_said_to_be_a_digest_is_kept() {
        let secret = "SECRET-KEY-0123456789";
        for credential in [
            Credential::ApiKey(secret.to_owned()),
            Credential::Opaque(secret.to_owned()),
            Credential::Saml(secret.to_owned()),
            Credential::Jwt(secret.to_owned()),
            Credential::Jwt(format!("{secret}.{secret}.{secret}")),
            Credential::Jwt(format!("e30.e30.e30.{secret}.e30")),
            Credential::X509(vec![secret.as_bytes().to_vec()]),
            Credential::Ssh {
                key: format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}"),
                proof: Some(secret.to_owned()),
            },
            Credential::Ssh {
                key: format!("ssh-ed25519 AAAA\n{secret}"),
                proof: None,
            },
        ] {
            let text = shown(&credential).to_string();
            assert!(!text.contains(secret), "{text}");
            let encoded = Base64::encode_string(secret.as_bytes());
            assert!(!text.contains(&encoded), "{text}");
            assert!(text.contains(&credential.digest().to_string()));
        }
        let line = "ssh-ed25519 AAAAC3Nza someone";
        let key = Credential::Ssh {
            key: format!("{line}\n"),
            proof: None,
        };
        assert_eq!(shown(&key)["key"], line);
    }
}
