//! Typed facts: what a token says, under names that rules can speak of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::claim::{is_email_verified, text_of};
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

/// Claims that say to what someone belongs (RFC 9068 2.2.3.1). They are facts whatever the preset, since
/// providers have them by whatever the customer has set up, and exchange rules ask for them, too.
pub(super) const MEMBERSHIPS: [&str; 3] = ["entitlements", "groups", "roles"];

/// The most values a list may have to be a fact. Entra names 200 groups at most, Okta 100.
const LIST_MAX: usize = 256;

/// The facts of one token. What is not there is not a fact, and never matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    texts: BTreeMap<String, String>,
    lists: BTreeMap<String, List>,
    /// The name of an address that is there and is no fact, since nobody has verified it.
    unverified: Option<String>,
}

/// A claim with several values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// What it has, in no order.
    Of(BTreeSet<String>),
    /// It is no fact, for this reason. It never matches, and whoever wonders is told why.
    Unfit(&'static str),
}

impl List {
    /// A list of these values, `None` standing for one that is no text.
    fn of<'a>(values: impl ExactSizeIterator<Item = Option<&'a str>>) -> Self {
        if values.len() > LIST_MAX {
            return Self::Unfit("a list of more than 256 values");
        }
        let mut texts = BTreeSet::new();
        for value in values {
            match value {
                None | Some("") => return Self::Unfit("a list of other things than texts"),
                // Whoever may name a group of theirs must not keep its members from being believed, so
                // this is not refused as it is in a text.
                Some(text) if text.chars().any(is_unsafe_to_print) => {
                    return Self::Unfit("a list with characters that deceive a reader");
                }
                Some(text) => texts.insert(text.to_owned()),
            };
        }
        Self::Of(texts)
    }

    /// What it has; nothing where it is no fact.
    pub fn texts(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Of(texts) => Some(texts),
            Self::Unfit(_) => None,
        }
    }
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
                facts.unverified = preset.unverified_email(claims).map(str::to_owned);
                let asked = asked.map(|name| name.strip_prefix(CLAIMS).unwrap_or_default());
                for claim in asked.chain(MEMBERSHIPS) {
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

    /// Adds claims that others ask for than whoever trusts the issuer. One that could deceive a reader is
    /// no fact then: what one rule asks for must not keep those from being believed whom another admits.
    pub(crate) fn add_claims<'a>(
        &mut self,
        claims: &Map<String, Value>,
        asked: impl Iterator<Item = &'a str>,
    ) {
        for claim in asked {
            let name = format!("{CLAIMS}{claim}");
            if self.get(&name).is_none() && self.list(&name).is_none() {
                // Then it is not added.
                drop(self.insert_claim(claims, claim));
            }
        }
    }

    /// A fact by its name, if it is one text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Whether the token has this, and it is no fact because nobody has verified it.
    pub fn is_unverified(&self, name: &str) -> bool {
        self.unverified.as_deref() == Some(name)
    }

    /// A fact by its name, if it is a list.
    pub fn list(&self, name: &str) -> Option<&List> {
        self.lists.get(name)
    }

    /// The names of all facts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let texts = self.texts.keys().map(String::as_str);
        let all: BTreeSet<&str> = self.lists().map(|(name, _)| name).chain(texts).collect();
        all.into_iter()
    }

    /// All facts that are one text, by name.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// All facts that are lists and nothing else, by name.
    pub fn lists(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        let lists = self.lists.iter();
        lists.filter_map(|(name, list)| match self.texts.contains_key(name) {
            true => None,
            false => Some((name.as_str(), list.texts()?)),
        })
    }

    /// The facts of whoever was believed.
    pub(crate) fn of_map(texts: BTreeMap<String, String>) -> Self {
        Self {
            texts,
            ..Self::default()
        }
    }

    /// Adds a fact, or replaces it.
    ///
    /// # Errors
    ///
    /// `input.unsafe_text` when it could show a reader something else than is there.
    pub fn insert(&mut self, name: String, value: String) -> Result<(), Reason> {
        refuse_unsafe(&name, &value)?;
        self.texts.insert(name, value);
        Ok(())
    }

    /// Adds an attribute that may have several values, as those of SAML do. One that has a single value is
    /// that text, and a list of it, too: who is in one group only is in it all the same.
    ///
    /// # Errors
    ///
    /// `input.unsafe_text` when a single value could show a reader something else than is there.
    pub(crate) fn insert_all(&mut self, name: &str, values: &[String]) -> Result<(), Reason> {
        if let [value] = values {
            self.insert(name.to_owned(), value.clone())?;
        }
        if !values.is_empty() {
            let list = List::of(values.iter().map(|value| Some(value.as_str())));
            self.lists.insert(name.to_owned(), list);
        }
        Ok(())
    }

    /// Adds a claim that is a fact in itself. An e-mail address is one only if it was verified.
    fn insert_claim(&mut self, claims: &Map<String, Value>, claim: &str) -> Result<(), Reason> {
        if !may_be_a_fact(claim) {
            return Ok(());
        }
        let name = || format!("{CLAIMS}{claim}");
        if claim == "email" && !is_email_verified(claims) {
            if claims.contains_key(claim) {
                self.unverified = Some(name());
            }
            return Ok(());
        }
        match claims.get(claim) {
            Some(Value::Array(values)) => {
                let list = List::of(values.iter().map(Value::as_str));
                self.lists.insert(name(), list);
                Ok(())
            }
            Some(value) => match text_of(value) {
                Some(value) => self.insert(name(), value),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }
}

/// Whether a claim says something lasting about the subject.
pub(crate) fn may_be_a_fact(claim: &str) -> bool {
    !BOUNDS.contains(&claim) && !CHANGEABLE.contains(&claim)
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
        assert_eq!(facts.get("claims.groups"), None);
        assert_eq!(facts.lists().count(), 1);
        assert_eq!(facts.names().count(), 5);
    }

    #[test]
    fn a_list_of_texts_is_a_fact_and_no_other_list_is() {
        let list_of = |groups: Value| facts(&json!({ "groups": groups })).unwrap();
        let of_two = list_of(json!(["b", "a", "b"]));
        let all: Vec<_> = of_two.lists().collect();
        let texts = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(all, [("claims.groups", &texts)]);
        let most: Vec<String> = (0..LIST_MAX).map(|number| number.to_string()).collect();
        let one_more: Vec<String> = (0..=LIST_MAX).map(|number| number.to_string()).collect();
        assert_eq!(list_of(json!(most)).lists().count(), 1);
        // The same value often is counted as often as it is said.
        let again = vec!["a"; LIST_MAX + 1];
        for unfit in [
            json!(one_more),
            json!(again),
            json!([["a"]]),
            json!(["a", ["a"]]),
            json!(["a", 7]),
            json!(["a", null]),
            json!(["a", ""]),
            json!([{"a": "a"}]),
            json!(["a", "b\u{202e}c"]),
        ] {
            let facts = list_of(unfit.clone());
            assert_eq!(facts.names().count(), 0, "{unfit}");
            assert!(matches!(facts.list("claims.groups"), Some(List::Unfit(_))));
        }
        let claims = json!({"groups": ["a"], "teams": ["a"], "roles": "one"});
        let claims = claims.as_object().unwrap();
        let facts = Facts::of(claims, Some(Preset::Okta), std::iter::empty()).unwrap();
        let names: Vec<&str> = facts.names().collect();
        assert_eq!(names, ["claims.groups", "claims.roles"]);
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
            let is_unverified = facts.is_unverified("claims.email");
            assert_eq!(is_unverified, expected.is_none(), "{verified}");
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
