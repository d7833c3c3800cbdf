//! What a bundle endpoint has answered, judged: whoever answers for a foreign trust domain may be
//! hostile, and is believed for its own trust domain only.

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::reason::Reason;
use serde_json::{Map, Value, json};

/// The most keys of a bundle: every node is told of each. SPIRE has one CA and one key a server,
/// and keeps each for two lives.
const MOST_KEYS: usize = 512;

/// The members of a key that mean something to a reader (RFC 7517 4, RFC 7518 6, X.509-SVID 6.2).
const MEMBERS: [&str; 10] = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "x5c", "y"];

/// The uses of keys that mean something to a reader.
const USES: [&str; 3] = ["x509-svid", "jwt-svid", "wit-svid"];

/// A bundle that was found good.
#[derive(Debug)]
pub(super) struct Received {
    /// What is kept of it: nothing that a reader would ignore.
    pub(super) document: Value,
    pub(super) bundle: Bundle,
}

impl Received {
    /// Reads a bundle of `trust_domain`.
    ///
    /// # Errors
    ///
    /// `input.bundle_malformed`, `input.jwks_private_key`, `federation.key_duplicate`,
    /// `fetch.bundle_large`, `fetch.bundle_foreign`.
    pub(super) fn read(trust_domain: &TrustDomain, body: &[u8]) -> Result<Self, Reason> {
        let malformed = |detail: &str| Reason::BundleMalformed {
            trust_domain: trust_domain.to_string(),
            detail: detail.to_owned(),
        };
        let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
        match text.trim_start().chars().next() {
            Some('{') => {}
            Some('<') => {
                return Err(malformed(
                    "it is a page, such as a form to sign in, and no JSON",
                ));
            }
            Some(_) | None => return Err(malformed("it is no JSON object")),
        }
        let read = avouch_api::read_value(text)
            .map_err(|avouch_api::NotAValue(why)| malformed(&format!("it is no JSON: {why}")))?;
        Self::of(trust_domain, read)
    }

    /// As [`Received::read`], for what is JSON already.
    pub(super) fn of(trust_domain: &TrustDomain, read: Value) -> Result<Self, Reason> {
        let keys = read.get("keys").and_then(Value::as_array);
        let count = keys.map_or(0, Vec::len);
        if count > MOST_KEYS {
            return Err(Reason::FetchBundleLarge {
                trust_domain: trust_domain.to_string(),
                keys: count,
                allowed: MOST_KEYS,
            });
        }
        let bundle = Bundle::read(trust_domain.as_str(), &read)?;
        check_home(&bundle)?;
        Ok(Self {
            document: kept(&read),
            bundle,
        })
    }
}

/// A CA that calls itself another trust domain's (X.509-SVID 3.2) is none of this one.
fn check_home(bundle: &Bundle) -> Result<(), Reason> {
    for certificate in &bundle.x509_authorities {
        for uri in certificate.uris() {
            let named = SpiffeId::parse(uri).ok();
            let named = named.map(|id| id.trust_domain().clone());
            if named.is_some_and(|named| named != bundle.trust_domain) {
                return Err(Reason::FetchBundleForeign {
                    trust_domain: bundle.trust_domain.to_string(),
                    found: uri.chars().take(256).collect(),
                });
            }
        }
    }
    Ok(())
}

fn kept(read: &Value) -> Value {
    let keys = read.get("keys").and_then(Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(kept_key);
    let mut document = Map::from_iter([("keys".to_owned(), json!(keys.collect::<Vec<Value>>()))]);
    for name in ["spiffe_sequence", "spiffe_refresh_hint"] {
        if let Some(value) = read.get(name) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(document)
}

fn kept_key(key: &Value) -> Option<Value> {
    let members = key.as_object()?;
    let of_use = members.get("use")?.as_str()?;
    if !USES.contains(&of_use) {
        return None;
    }
    let mut kept = Map::new();
    for name in MEMBERS {
        if let Some(value) = members.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    // X.509-SVID 6.2: what stands behind the first is ignored.
    if let Some(Value::Array(certificates)) = kept.get_mut("x5c") {
        certificates.truncate(1);
    }
    Some(Value::Object(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Received, Reason> {
        Received::read(&TrustDomain::parse("b.test").unwrap(), body.as_bytes())
    }

    #[test]
    fn b_01_b_05_b_07_what_a_reader_ignores_is_not_kept() {
        let received = read(
            r#"{"keys": [
                {"kty": "EC", "use": "new-svid", "x": "y"},
                {"kty": "EC"},
                {"kty": "new", "use": "x509-svid", "pad": "ding", "x5c": ["QQ==", "Qg=="]}
            ], "spiffe_sequence": 7, "unheard": {"of": 1}}"#,
        );
        let expected = json!({
            "keys": [{"kty": "new", "use": "x509-svid", "x5c": ["QQ=="]}],
            "spiffe_sequence": 7,
        });
        assert_eq!(received.unwrap().document, expected);
    }

    #[test]
    fn b_04_b_06_a_bundle_without_keys_is_one_that_takes_everything_back() {
        let received = read(r#"{"keys": []}"#).unwrap();
        assert_eq!(received.document, json!({"keys": []}));
        assert!(received.bundle.x509_authorities.is_empty());
        let refused = read("{}").unwrap_err();
        assert_eq!(refused.code(), "input.bundle_malformed");
    }

    #[test]
    fn b_02_b_03_numbers_are_whole_and_may_need_64_bits() {
        let largest = read(r#"{"keys": [], "spiffe_sequence": 18446744073709551615}"#).unwrap();
        assert_eq!(largest.bundle.sequence(), Some(u64::MAX));
        for body in [
            r#"{"keys": [], "spiffe_sequence": 1.5}"#,
            r#"{"keys": [], "spiffe_sequence": "7"}"#,
            r#"{"keys": [], "spiffe_sequence": -1}"#,
            r#"{"keys": [], "spiffe_refresh_hint": 0.1}"#,
        ] {
            assert_eq!(read(body).unwrap_err().code(), "input.bundle_malformed");
        }
    }

    #[test]
    fn hostile_answers_are_refused_by_name() {
        let many = vec![r#"{"kty": "EC", "use": "x509-svid"}"#; MOST_KEYS + 1].join(",");
        for (body, code) in [
            ("<!DOCTYPE html><html>", "input.bundle_malformed"),
            ("", "input.bundle_malformed"),
            ("[]", "input.bundle_malformed"),
            (r#"{"keys": [], "keys": []}"#, "input.bundle_malformed"),
            (
                r#"{"keys": [{"kty": "EC", "use": "jwt-svid", "kid": "a", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}]}"#,
                "input.jwks_private_key",
            ),
            (&format!(r#"{{"keys": [{many}]}}"#), "fetch.bundle_large"),
        ] {
            assert_eq!(read(body).unwrap_err().code(), code, "{body:.80}");
        }
        let deep = format!(r#"{{"keys": {}"#, "[".repeat(100_000));
        assert_eq!(read(&deep).unwrap_err().code(), "input.bundle_malformed");
    }
}
