//! What is taken out of what a credential says: whatever would itself let its bearer in.

use std::borrow::Cow;

use avouch_core::budget::Limits;
use avouch_core::credential::jose::json;
use base64ct::{Base64Unpadded, Encoding};
use serde_json::Value;

/// Claims in which other tokens stand (OpenID Connect Core 1.0 5.6.2, RFC 6749 5.1).
const BEARING: [&str; 3] = ["_claim_sources", "access_token", "refresh_token"];

/// Members of a JSON Web Key that only its holder knows (RFC 7518 6.2.2, 6.3.2, 6.4; `priv` of keys
/// after quantum computers).
const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// What makes a JWS in JSON out of its payload (RFC 7515 7.2).
const SIGNING: [&str; 2] = ["signature", "signatures"];

/// What a JWE in JSON cannot be opened without (RFC 7516 7.2).
const SEALED: [&str; 4] = ["ciphertext", "tag", "encrypted_key", "recipients"];

/// How often something is opened that is encoded in what was encoded. What is so beyond that is left out:
/// who nests without end would make us read without end.
const MOST_OPENED: usize = 4;

/// What is shorter has no room for a secret.
const SHORTEST: usize = 16;

/// How many places of a text are tried as the beginning of a token.
const MOST_BEGINNINGS: usize = 16;

/// The same without what would be a credential itself.
pub(super) fn without_secrets(value: Value) -> Value {
    without_any(value, MOST_OPENED)
}

fn without_any(value: Value, depth: usize) -> Value {
    match value {
        Value::Object(members) => {
            let left_out: Vec<&str> = [
                ("kty", PRIVATE.as_slice()),
                ("payload", SIGNING.as_slice()),
                ("ciphertext", SEALED.as_slice()),
            ]
            .into_iter()
            .filter(|(beside, _)| members.contains_key(*beside))
            .flat_map(|(_, names)| names)
            .chain(&BEARING)
            .copied()
            .collect();
            let kept = members
                .into_iter()
                .filter(|(name, _)| !left_out.contains(&name.as_str()));
            kept.filter_map(|(name, value)| {
                Some((public_text(&name, depth)?, without_any(value, depth)))
            })
            .collect()
        }
        Value::Array(list) => {
            let kept = list.into_iter().map(|one| without_any(one, depth));
            kept.collect()
        }
        Value::String(text) => public_text(&text, depth).map_or(Value::Null, Value::String),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// The same with no signature of a token in any text.
pub(super) fn without_signatures(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(without_signatures),
        Value::Array(list) => list.iter_mut().for_each(without_signatures),
        Value::String(text) => {
            if let Cow::Owned(unsigned) = unsigned(text) {
                *text = unsigned;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without the signatures of the tokens in it; nothing where it has another secret.
fn public_text(text: &str, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let is_private = text.contains("PRIVATE KEY-----");
    if is_private || has_assertion(text) || has_secret_members(text, depth) {
        return None;
    }
    let unsigned = unsigned(text);
    // What is encoded once more is opened, and not mended.
    let is_secret = |text: &str| {
        text.len() >= SHORTEST && public_text(text, depth).is_none_or(|public| public != text)
    };
    if runs(&unsigned, is_of_base64).any(|(run, _)| is_secret(&opened(run))) {
        return None;
    }
    // Long texts in Base64 are written on lines.
    let joined = unsigned.replace(['\r', '\n'], "");
    let is_wrapped = joined.len() < unsigned.len();
    (!is_wrapped || !is_secret(&joined)).then(|| unsigned.into_owned())
}

/// Whether it looks like an assertion of SAML.
fn has_assertion(text: &str) -> bool {
    let is_xml = ["<", "&lt;", "%3C", "%3c"]
        .iter()
        .any(|open| text.contains(open));
    is_xml && text.contains("Assertion")
}

/// Whether it is JSON in which there is a secret.
fn has_secret_members(text: &str, depth: usize) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    let read = json::read(text.trim().as_bytes(), "text", &Limits::default());
    read.is_ok_and(|value| without_any(value.clone(), depth) != value)
}

/// What stands in Base64 of either alphabet, if that is a text.
fn opened(run: &str) -> String {
    let run = run.replace('-', "+").replace('_', "/");
    let whole = run.get(..run.len() / 4 * 4).unwrap_or_default();
    let bytes = Base64Unpadded::decode_vec(&run).or_else(|_| Base64Unpadded::decode_vec(whole));
    String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

/// A text without the signatures of the tokens in it.
fn unsigned(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    for (run, between) in runs(text, is_of_token) {
        kept.push_str(&cut(run));
        kept.push_str(between);
    }
    match kept == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(kept),
    }
}

/// A text in runs of such characters, each with what follows it up to the next. The first may be empty.
fn runs(text: &str, is_of: fn(char) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|one| !is_of(one)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let (between, after) = after.split_at(after.find(is_of).unwrap_or(after.len()));
        rest = after;
        Some((run, between))
    })
}

/// Some pad the parts of their tokens.
fn is_of_token(one: char) -> bool {
    one.is_ascii_alphanumeric() || "_.~-=".contains(one)
}

fn is_of_base64(one: char) -> bool {
    one.is_ascii_alphanumeric() || "+/_-".contains(one)
}

/// What anyone may see of a token that begins somewhere in it: the header and the claims of a JWS; of one
/// in more parts, as a JWE and an SD-JWT with a proof of its holder, the header.
fn cut(run: &str) -> Cow<'_, str> {
    let parts: Vec<&str> = run.split('.').collect();
    let begins = parts
        .iter()
        .enumerate()
        .take(parts.len().saturating_sub(2))
        .find(|(_, part)| has_header(part));
    let Some((at, _)) = begins else {
        return Cow::Borrowed(run);
    };
    let count = if parts.len() - at == 3 { 2 } else { 1 };
    let kept = parts.get(..at + count).unwrap_or_default();
    Cow::Owned(format!("{}.", kept.join(".")))
}

/// Whether it ends with the header of a token, as names with dots do not.
fn has_header(part: &str) -> bool {
    let part = part.trim_end_matches('=');
    let part = part.rsplit(['~', '=']).next().unwrap_or_default();
    if is_open(&opened(part)) {
        return true;
    }
    // It may stand directly behind something else. An object begins with these in Base64.
    let begins = |at: usize| {
        part.get(at..)
            .filter(|end| ["ey", "ew", "e3"].iter().any(|head| end.starts_with(head)))
    };
    let ends = part.match_indices('e').filter_map(|(at, _)| begins(at));
    ends.take(MOST_BEGINNINGS).any(|end| {
        let text = opened(end);
        is_open(&text) && text.trim_end().ends_with('}')
    })
}

/// Whether it begins as an object.
fn is_open(text: &str) -> bool {
    let members = text.trim_start().strip_prefix('{').map(str::trim_start);
    members.is_some_and(|members| members.starts_with(['"', '}']))
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Base64UrlUnpadded};
    use serde_json::json;

    use super::*;

    fn part(text: &str) -> String {
        Base64UrlUnpadded::encode_string(text.as_bytes())
    }

    fn public(text: &str) -> Value {
        without_secrets(json!({ "claim": text }))["claim"].take()
    }

    #[test]
    fn what_is_private_of_a_key_is_left_out_wherever_the_key_stands() {
        let mut key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let public_part = key.clone();
        for name in PRIVATE {
            key[name] = "SECRET".into();
        }
        let claims = json!({"cnf": {"jwk": key}, "list": [{"keys": [key]}], "d": "a day", "k": 1});
        let kept = json!({
            "cnf": {"jwk": public_part}, "list": [{"keys": [public_part]}], "d": "a day", "k": 1,
        });
        assert_eq!(without_secrets(claims), kept);
        let text = key.to_string();
        for hidden in [text.clone(), format!(" [{text}]"), part(&text)] {
            assert_eq!(public(&hidden), Value::Null);
        }
        assert_eq!(public(&public_part.to_string()), public_part.to_string());
        let pem = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----";
        assert_eq!(public(pem), Value::Null);
        assert_eq!(public(&Base64::encode_string(pem.as_bytes())), Value::Null);
    }

    #[test]
    fn of_a_token_in_a_text_there_is_no_signature() {
        let (header, claims) = (part(r#"{"alg":"ES256"}"#), part(r#"{"sub":"me"}"#));
        let jws = format!("{header}.{claims}.SIGNATURE-1_x");
        let kept = format!("{header}.{claims}.");
        let spaced = part(" \n{ \"alg\":\"ES256\"}");
        for (text, public_text) in [
            (jws.clone(), kept.clone()),
            (format!("Bearer {jws}"), format!("Bearer {kept}")),
            (
                format!("see https://a.test/x?token={jws}&a=b.c.d, or {jws}!"),
                format!("see https://a.test/x?token={kept}&a=b.c.d, or {kept}!"),
            ),
            (format!("v1.token-{jws}"), format!("v1.token-{kept}")),
            (
                format!("{spaced}.{claims}.SIGNATURE"),
                format!("{spaced}.{claims}."),
            ),
            (
                format!("{header}==.{claims}=.SIGNATURE=="),
                format!("{header}==.{claims}=."),
            ),
            // A JWE, and an SD-JWT without and with the proof of its holder.
            (
                format!("{header}.SIGNATURE.IV.SIGNATURE.TAG"),
                format!("{header}."),
            ),
            (format!("{jws}~WyJz~"), kept.clone()),
            (
                format!("{jws}~WyJz~{header}.{claims}.SIGNATURE"),
                format!("{header}."),
            ),
        ] {
            assert_eq!(public(&text), public_text, "{text}");
            let mut told = json!([{ "evidence": text }]);
            without_signatures(&mut told);
            assert_eq!(told, json!([{ "evidence": public_text }]));
        }
        // A token in a token, and as the name of a member.
        let inner = part(&json!({ "hint": jws }).to_string());
        for nested in [inner, part(&jws)] {
            assert_eq!(public(&format!("{header}.{nested}.S")), Value::Null);
        }
        let named = without_secrets(json!({ jws.as_str(): 1 }));
        assert_eq!(named, json!({ kept.as_str(): 1 }));
        let (start, end) = jws.split_at(9);
        let lines = format!("{start}\n{end}");
        assert_eq!(public(&lines), Value::Null);

        let object = json!({"payload": claims, "protected": header, "signature": "SIGNATURE"});
        let list = json!({"payload": claims, "signatures": [{"signature": "SIGNATURE"}]});
        let sealed = json!({"ciphertext": "SIGNATURE", "tag": "SIGNATURE", "protected": header});
        let kept = json!([
            {"payload": claims, "protected": header}, {"payload": claims}, {"protected": header},
        ]);
        assert_eq!(without_secrets(json!([object.clone(), list, sealed])), kept);
        assert_eq!(public(&object.to_string()), Value::Null);
    }

    #[test]
    fn no_assertion_is_kept() {
        let xml = "<saml:Assertion ID=\"a\">0123456789 0123456789 0123456789</saml:Assertion>";
        let encoded = Base64::encode_string(xml.as_bytes());
        let (start, end) = encoded.split_at(10);
        let lines = format!("{start}\r\n{end}");
        for text in [
            xml.to_owned(),
            format!("https://a.test/?SAMLResponse={encoded}"),
            part(xml),
            encoded,
            lines,
        ] {
            assert_eq!(public(&text), Value::Null, "{text}");
        }
    }

    #[test]
    fn what_is_encoded_without_end_is_not_opened_without_end() {
        let mut text = "0123456789".repeat(10);
        for _ in 0..20 {
            text = format!("{}\n", Base64::encode_string(text.as_bytes()));
        }
        assert_eq!(public(&text), Value::Null);
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "",
            "example.co.uk",
            "keys.eyes.example.com",
            "repo:octo/keycloak:ref:refs/heads/main",
            "https://login.example.test/0193d6a0/v2.0",
            "monkey.money.honey",
            "an Assertion",
            "a < b",
            "[admin] {x} ümlaut … 1.2.3",
            "spiffe://one.test/ci/74/deploy",
            "two\nlines",
        ] {
            assert_eq!(public(text), text);
        }
    }
}
