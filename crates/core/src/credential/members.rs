//! Reading the members of an object in a trust document: known names only, each of its type.
//!
//! A misspelt member would otherwise be a bound that silently does not hold.

use serde_json::{Map, Value};

use super::jose::json::kind_of;
use crate::reason::{Reason, is_unsafe_to_print};

/// The members of one object, all of whose names are known.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Members<'a> {
    /// The members of `object`, which stands at `place` and may have the members `known`.
    pub(crate) fn of(
        object: &'a Map<String, Value>,
        place: &'a str,
        known: &[&str],
    ) -> Result<Self, Reason> {
        match object.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(trust_document(format!(
                "`{place}` has no member `{name}`; it may have {}",
                known.join(", ")
            ))),
            None => Ok(Self { object, place }),
        }
    }

    /// A member as it is.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    /// A text, if the member is there; refused when it could deceive a reader.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Reason> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => self.safe(name, text).map(Some),
            Some(other) => Err(self.mistyped(name, "a text", other)),
        }
    }

    /// A text that must be there and not be empty.
    pub(crate) fn required_text(&self, name: &str) -> Result<&'a str, Reason> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| trust_document(format!("`{}` needs a `{name}`", self.place)))
    }

    /// A list of texts; empty when the member is not there. One that is written down empty is
    /// refused: it may have been meant to admit nothing, and would admit everything.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Reason> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let Value::Array(elements) = value else {
            return Err(self.mistyped(name, "a list of texts", value));
        };
        if elements.is_empty() {
            return Err(self.empty(name));
        }
        elements
            .iter()
            .map(|element| match element {
                Value::String(text) if !text.is_empty() => self.safe(name, text).map(str::to_owned),
                other => Err(trust_document(format!(
                    "`{}` must be a list of texts, none of them empty, but has {}",
                    self.place(name),
                    match other {
                        Value::String(_) => "an empty one",
                        _ => kind_of(other),
                    },
                ))),
            })
            .collect()
    }

    /// True or false; false when the member is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Reason> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.mistyped(name, "true or false", other)),
        }
    }

    /// A whole number of seconds greater than zero, if the member is there.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<i64>, Reason> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_i64().filter(|seconds| *seconds > 0) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(self.mistyped(name, "a whole number of seconds above zero", value)),
            },
        }
    }

    fn safe(&self, name: &str, text: &'a str) -> Result<&'a str, Reason> {
        match text
            .chars()
            .find(|character| is_unsafe_to_print(*character))
        {
            None => Ok(text),
            Some(character) => Err(Reason::UnsafeText {
                claim: format!("{}.{name}", self.place),
                character: character.escape_unicode().to_string(),
            }),
        }
    }

    /// The refusal of a list without elements.
    pub(crate) fn empty(&self, name: &str) -> Reason {
        trust_document(format!(
            "`{}.{name}` is empty; leave it out if it is to bound nothing",
            self.place
        ))
    }

    /// Where a member stands.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    /// The refusal of a member of the wrong type.
    pub(crate) fn mistyped(&self, name: &str, expected: &str, found: &Value) -> Reason {
        trust_document(format!(
            "`{}` must be {expected}, but is {}",
            self.place(name),
            kind_of(found)
        ))
    }
}

/// The refusal of a trust document.
pub(crate) fn trust_document(detail: impl Into<String>) -> Reason {
    Reason::TrustDocumentMalformed {
        what: "trust document",
        detail: detail.into(),
    }
}
