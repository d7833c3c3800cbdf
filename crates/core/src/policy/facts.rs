//! Typed facts: what a token says, under names that rules can speak of.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::presets::Preset;
use crate::reason::{Reason, is_unsafe_to_print};

/// The fact that every token has: its `sub`.
pub const SUBJECT: &str = "subject";

/// What the names of claims that no preset knows begin with.
pub const CLAIMS: &str = "claims.";

/// Claims that bound the token itself and say nothing about its subject (RFC 7519 4.1).
const BOUNDS: [&str; 9] = [
    "aud", "azp", "exp", "iat", "iss", "jti", "nbf", "nonce", "sub",
];

/// Claims that the holder of an account may change, or that another may take over after them, and
/// that therefore name no one (the cause of CVE-2023-3128 and of what is called nOAuth).
const CHANGEABLE: [&str; 16] = [
    "address",
    "birthdate",
    "family_name",
    "gender",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "phone_number",
    "picture",
    "preferred_username",
    "profile",
    "unique_name",
    "upn",
    "website",
];

/// The facts of one token. What is not there is not a fact, and never matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    facts: BTreeMap<String, String>,
}

impl Facts {
    /// The facts in `claims`: its subject, those of `preset`, and the claims that rules ask for by
    /// name, or all if there is no preset.
    ///
    /// # Errors
    ///
    /// `input.unsafe_text` when a fact could show a reader something else than is there.
    pub(crate) fn of<'a>(
        claims: &Map<String, Value>,
        preset: Option<Preset>,
        asked: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Reason> {
        let mut facts = Self::default();
        if let Some(Value::String(subject)) = claims.get("sub") {
            facts.insert(SUBJECT.to_owned(), subject.clone())?;
        }
        match preset {
            Some(preset) => {
                preset.for_each_fact(claims, &mut |name, value| facts.insert(name, value))?;
                for name in asked {
                    let claim = name.strip_prefix(CLAIMS).unwrap_or_default();
                    facts.insert_claim(claims, claim)?;
                }
            }
            None => {
                for claim in claims.keys() {
                    facts.insert_claim(claims, claim)?;
                }
            }
        }
        Ok(facts)
    }

    /// A fact by its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    /// The names of all facts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.facts.keys().map(String::as_str)
    }

    /// The facts of whoever was believed.
    pub(crate) fn of_map(facts: BTreeMap<String, String>) -> Self {
        Self { facts }
    }

    /// All facts by name.
    pub(crate) fn into_map(self) -> BTreeMap<String, String> {
        self.facts
    }

    /// Adds a fact, or replaces it.
    ///
    /// # Errors
    ///
    /// `input.unsafe_text` when it could show a reader something else than is there.
    pub fn insert(&mut self, name: String, value: String) -> Result<(), Reason> {
        refuse_unsafe(&name, &value)?;
        self.facts.insert(name, value);
        Ok(())
    }

    /// Adds a claim that is a fact in itself. An e-mail address is one only if it was verified.
    fn insert_claim(&mut self, claims: &Map<String, Value>, claim: &str) -> Result<(), Reason> {
        if !may_be_a_fact(claim) || claim == "email" && !is_email_verified(claims) {
            return Ok(());
        }
        match claims.get(claim).and_then(text_of) {
            Some(value) => self.insert(format!("{CLAIMS}{claim}"), value),
            None => Ok(()),
        }
    }
}

/// Whether a claim says something lasting about the subject.
pub(crate) fn may_be_a_fact(claim: &str) -> bool {
    !BOUNDS.contains(&claim) && !CHANGEABLE.contains(&claim)
}

/// Whether `email` was checked by the issuer (OpenID Connect Core 5.7).
pub(crate) fn is_email_verified(claims: &Map<String, Value>) -> bool {
    claims.get("email_verified") == Some(&Value::Bool(true))
}

/// A claim as the text of a fact: texts as they are, true and false and whole numbers in words;
/// nothing for an empty text, for fractions, lists and objects.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Refuses a text with control characters or characters that reorder or hide others.
pub(crate) fn refuse_unsafe(claim: &str, text: &str) -> Result<(), Reason> {
    // Nearly every text is plain ASCII, and is told to be so at once.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text
        .chars()
        .find(|character| is_unsafe_to_print(*character))
    {
        None => Ok(()),
        Some(character) => Err(Reason::UnsafeText {
            claim: claim.to_owned(),
            character: character.escape_unicode().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(claims: &Value) -> Result<Facts, Reason> {
        Facts::of(claims.as_object().unwrap(), None, std::iter::empty())
    }

    #[test]
    fn claims_of_a_plain_issuer_are_facts_if_they_last() {
        let facts = facts(&json!({
            "sub": "job", "iss": "x", "exp": 1, "project": "p", "protected": true, "id": 7,
            "share": 0.5, "groups": ["a"], "empty": "", "preferred_username": "admin"
        }))
        .unwrap();
        assert_eq!(facts.get("subject"), Some("job"));
        assert_eq!(facts.get("claims.project"), Some("p"));
        assert_eq!(facts.get("claims.protected"), Some("true"));
        assert_eq!(facts.get("claims.id"), Some("7"));
        assert_eq!(facts.names().count(), 4);
    }

    #[test]
    fn an_email_is_a_fact_only_when_it_was_verified() {
        for (verified, expected) in [
            (json!(true), Some("a@b.test")),
            (json!("true"), None),
            (json!(false), None),
            (json!(null), None),
        ] {
            let facts = facts(&json!({"email": "a@b.test", "email_verified": verified})).unwrap();
            assert_eq!(facts.get("claims.email"), expected, "{verified}");
        }
    }

    #[test]
    fn a_fact_that_could_deceive_is_refused() {
        for text in ["a\u{0}b", "a\u{202e}b", "a\nb", "a\u{200b}b"] {
            let reason = facts(&json!({"sub": text})).unwrap_err();
            assert_eq!(reason.code(), "input.unsafe_text", "{text:?}");
        }
        assert!(facts(&json!({"sub": "Zürich, 東京"})).is_ok());
    }
}
