//! What a trust domain publishes: its SPIFFE bundle and its key set.

use std::collections::BTreeSet;

use avouch_core::time::Time;
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use crate::authority::X509Authority;
use crate::fault::Fault;
use crate::key::PublicHalf;
use crate::token::{TokenAuthority, TokenKind};

/// The SPIFFE bundle of a trust domain (SPIFFE Trust Domain and Bundle 4): the certificate of every
/// root, and the key of every token authority, that is believed at `now`. Of an intermediate the root
/// above it counts, which may be kept elsewhere. `sequence` must grow with every change; `refresh_hint` says how often to look for one, in
/// seconds.
///
/// # Errors
///
/// [`Fault::Bug`].
pub fn spiffe_bundle<'a>(
    x509: impl IntoIterator<Item = &'a X509Authority>,
    tokens: impl IntoIterator<Item = &'a TokenAuthority>,
    sequence: u64,
    refresh_hint: u32,
    now: Time,
) -> Result<Value, Fault> {
    let mut keys = Vec::new();
    let mut known = BTreeSet::new();
    for authority in x509 {
        if authority.life().is_published(now) {
            let root = authority.root();
            if known.insert(root.sha256()) {
                let public = PublicHalf::from_info(root.public_key_info())
                    .map_err(|_| Fault::Bug("the key of a root cannot be read"))?;
                keys.push(x509_key(&public, root.der())?);
            }
        }
    }
    for authority in tokens {
        if authority.life().is_published(now) && known.insert(authority.key_digest()) {
            let public = authority.signer().public_half();
            keys.push(token_key(public, authority.kind(), authority.id())?);
        }
    }
    Ok(json!({
        "keys": keys,
        "spiffe_sequence": sequence,
        "spiffe_refresh_hint": refresh_hint,
    }))
}

/// The JWK Set (RFC 7517 5) of the authorities that sign JWT-SVIDs and are believed at `now`, for
/// verifiers of OIDC that know nothing of SPIFFE.
///
/// # Errors
///
/// [`Fault::Bug`].
pub fn jwks<'a>(
    tokens: impl IntoIterator<Item = &'a TokenAuthority>,
    now: Time,
) -> Result<Value, Fault> {
    let mut keys = Vec::new();
    for authority in tokens {
        if authority.kind() == TokenKind::Jwt && authority.life().is_published(now) {
            let mut key = members(authority.signer().public_half())?;
            key.insert("use".to_owned(), "sig".into());
            key.insert("alg".to_owned(), "ES256".into());
            key.insert("kid".to_owned(), authority.id().into());
            keys.push(key);
        }
    }
    Ok(json!({ "keys": keys }))
}

/// X.509-SVID 6.2: one certificate, and no `kid`.
fn x509_key(public: &PublicHalf, certificate: &[u8]) -> Result<Map<String, Value>, Fault> {
    let mut key = members(public)?;
    key.insert("use".to_owned(), "x509-svid".into());
    let certificate = Base64::encode_string(certificate);
    key.insert("x5c".to_owned(), json!([certificate]));
    Ok(key)
}

/// JWT-SVID 4.1, WIT-SVID 6: the key and its name.
pub(crate) fn token_key(
    public: &PublicHalf,
    kind: TokenKind,
    id: &str,
) -> Result<Map<String, Value>, Fault> {
    let mut key = members(public)?;
    key.insert("use".to_owned(), kind.key_use().into());
    key.insert("kid".to_owned(), id.into());
    Ok(key)
}

fn members(public: &PublicHalf) -> Result<Map<String, Value>, Fault> {
    public
        .jwk()
        .ok_or(Fault::Bug("an authority has a key that is no JSON Web Key"))
}
