//! What is kept of a credential: a digest and its public parts, never what lets its bearer in.

use avouch_core::budget::Limits;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::json;
use avouch_core::credential::x509::Certificate;
use avouch_core::id::Digest;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use super::secrets::without_secrets;

/// A credential that was shown.
pub(crate) struct Shown {
    kind: String,
    digest: Digest,
    public: Public,
    /// How long a token was, which may have been read.
    claimed: usize,
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
                Credential::Ssh { key, .. } if is_short(key) => Public::Key(key.clone()),
                Credential::ApiKey(_)
                | Credential::Opaque(_)
                | Credential::Saml(_)
                | Credential::Ssh { .. }
                | Credential::Unsupported(_) => Public::Nothing,
            },
            claimed: match credential {
                Credential::Jwt(token) | Credential::Wit { token, .. } => token.len(),
                _ => 0,
            },
        }
    }

    /// What is known by its digest alone.
    pub(crate) fn named(kind: &str, digest: Digest) -> Self {
        Self {
            kind: kind.to_owned(),
            digest,
            public: Public::Nothing,
            claimed: 0,
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

    /// About how many bytes its claims take where they are read: a member of a few characters takes a
    /// hundred.
    pub(super) fn claims_size(&self) -> usize {
        10 * self.claimed
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
            Public::Key(line) => {
                if let Some(key) = public_key(line) {
                    shown.insert("key".to_owned(), key.into());
                }
            }
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

/// Whether anyone reads it: what is longer is refused unread.
fn is_short(text: &str) -> bool {
    text.len() <= Limits::default().token_bytes
}

/// A token without its signature, if it is one in which anyone can read.
fn unsigned(token: &str) -> Public {
    if !is_short(token) {
        return Public::Nothing;
    }
    let is_compact = token.bytes().filter(|byte| *byte == b'.').count() == 2;
    match token.rsplit_once('.') {
        Some((unsigned, _)) if is_compact => Public::Token(unsigned.to_owned()),
        Some(_) | None => Public::Nothing,
    }
}

fn object(part: &str, name: &'static str) -> Option<Value> {
    let bytes = Base64UrlUnpadded::decode_vec(part).ok()?;
    let read = json::read(&bytes, name, &Limits::default()).ok()?;
    Some(without_secrets(read))
}

/// The algorithm and the key of a line, if it is one of a public key or a certificate: whoever has sent
/// something else may have sent a private key, and so may who has sent more beside it.
fn public_key(line: &str) -> Option<String> {
    if line.trim().contains(['\r', '\n']) {
        return None;
    }
    let mut fields = line.split_ascii_whitespace();
    let (name, key) = (fields.next()?, fields.next()?);
    let blob = Base64::decode_vec(key).ok()?;
    // The key says its own algorithm (RFC 4253 6.6), so that neither is anything else.
    let length = u32::try_from(name.len()).ok()?.to_be_bytes();
    let said = blob.strip_prefix(&length)?;
    let is_named = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|head| name.starts_with(head));
    (is_named && said.starts_with(name.as_bytes())).then(|| format!("{name} {key}"))
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
    }

    #[test]
    fn of_a_key_of_ssh_its_algorithm_and_the_key_are_kept() {
        let key = |line: String| {
            let proof = None;
            shown(&Credential::Ssh { key: line, proof })["key"].take()
        };
        let blob = Base64::encode_string(b"\0\0\0\x0bssh-ed25519\0\0\0\x020123456789");
        let line = format!("ssh-ed25519 {blob}");
        for shown in [
            line.clone(),
            format!("{line}\n"),
            format!("{line} me@here -----BEGIN OPENSSH PRIVATE KEY----- SECRET"),
        ] {
            assert_eq!(key(shown), line);
        }
        for other in [
            "ssh-ed25519 AAAA -----BEGIN OPENSSH PRIVATE KEY----- SECRET".to_owned(),
            format!("{line}\rSECRET"),
            format!("{line}\nSECRET"),
            format!("ssh-SECRET {blob}"),
            format!("{line}SECRET"),
            format!("ssh-ed25519 {}", "A".repeat(1 << 20)),
            format!("{line} {}", "A".repeat(1 << 20)),
        ] {
            assert_eq!(key(other), Value::Null);
        }
    }

    #[test]
    fn of_a_token_that_is_too_long_to_be_read_nothing_is_kept() {
        let long = "x".repeat(700 << 10);
        for text in [
            token(&json!({ "x": long }).to_string(), "{}"),
            token("{}", &json!({ "x": long }).to_string()),
        ] {
            let shown = Shown::of(&Credential::Jwt(text));
            assert_eq!(shown.size(), 0);
            let names = shown.to_json();
            let names: Vec<&str> = names
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(names, ["digest", "kind"]);
        }
    }
}
