//! Taking an object apart, member by member, until nothing is left.

use avouch_core::reason::{Reason, printable};
use avouch_core::time::Time;
use serde_json::{Map, Value};

use crate::strict::Room;

/// The most values of an object that is sent: what fits into 1 MiB of the densest key set that is
/// honest, one of Ed25519, where a value takes 20 bytes.
pub const MOST_VALUES: usize = 65_536;

/// The most values of a question, without its trust document, and of what is sent by whoever has
/// shown nothing: a certificate each for more than are ever looked at
/// ([`Limits::certificates`](avouch_core::budget::Limits)).
pub const MOST_VALUES_OF_STRANGERS: usize = 10_000;

/// Which document is being read; it decides the code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// A question.
    Question,
    /// What is sent to a server to be done; the name is of the object it is about.
    Request(&'static str),
    /// What is trusted.
    Trust,
}

impl Document {
    /// The refusal of this document for `detail`, which never holds a value.
    pub fn refuse(self, detail: impl Into<String>) -> Reason {
        let detail = detail.into();
        let what = self.name();
        match self {
            Self::Question => Reason::Malformed { detail },
            Self::Request(object) => Reason::IssueBodyMalformed { object, detail },
            Self::Trust => Reason::TrustDocumentMalformed { what, detail },
        }
    }

    /// The refusal of a text that could not be read with so much room for its values.
    pub(crate) fn unread(self, room: &Room, most: usize, error: &serde_json::Error) -> Reason {
        if !room.is_exceeded() {
            return self.refuse(error.to_string());
        }
        Reason::JsonMembers {
            part: self.name(),
            allowed: most,
        }
    }

    /// What it is, in words.
    fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Request(object) => object,
            Self::Trust => "trust document",
        }
    }
}

/// An object whose members are taken one by one. Whoever has taken all that is known calls
/// [`Members::finish`], which refuses what is left by its name.
///
/// What is wrong is refused as the document is: `input.malformed`, `issue.object_malformed` or
/// `input.trust_document_malformed` name the member by its path, and never its value.
#[derive(Debug)]
pub struct Members {
    document: Document,
    path: String,
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Members {
    /// Of a text that is one JSON object, in which nothing stands twice.
    ///
    /// # Errors
    ///
    /// The refusal of the document, as for every reading below; `limit.json_members`.
    pub fn read(document: Document, json: &str) -> Result<Self, Reason> {
        Self::read_at(document, "", json, MOST_VALUES)
    }

    /// As [`Members::read`], of at most so many values, for the object that stands at `path`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read_at(
        document: Document,
        path: &str,
        json: &str,
        most: usize,
    ) -> Result<Self, Reason> {
        // Said here, because a general reader would quote what it found, and it may be a secret.
        if path.is_empty() && !json.trim_start().starts_with('{') {
            return Err(document.refuse("it is not a JSON object"));
        }
        let room = Room::of(most);
        let value = room
            .read(json)
            .map_err(|error| document.unread(&room, most, &error))?;
        Self::of(document, path, value)
    }

    /// Of the object `value` that stands at `path`, which is empty for the whole document.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is no object.
    pub fn of(document: Document, path: &str, value: Value) -> Result<Self, Reason> {
        match value {
            Value::Object(left) => Ok(Self {
                document,
                path: path.to_owned(),
                left,
                known: Vec::new(),
            }),
            other => Err(mistyped(document, path, "an object", &other)),
        }
    }

    /// Leaves out which of these members are `null`, as documents have them that a program has written.
    /// To be named here is what lets nothing more in by being absent: elsewhere `null` is refused, since
    /// nobody knows whether its author meant all or has forgotten to say what.
    #[must_use]
    pub fn without_nulls(mut self, names: &[&str]) -> Self {
        self.left
            .retain(|name, value| !(value.is_null() && names.contains(&name.as_str())));
        self
    }

    /// Where a member stands in the document.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The refusal of a member.
    pub fn refuse(&self, name: &str, detail: &str) -> Reason {
        self.document
            .refuse(format!("`{}` {detail}", self.path_of(name)))
    }

    /// Takes a member of any type.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name)
    }

    /// Takes an object.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is no object.
    pub fn members(&mut self, name: &'static str) -> Result<Option<Self>, Reason> {
        let path = self.path_of(name);
        self.take(name)
            .map(|value| Self::of(self.document, &path, value))
            .transpose()
    }

    /// Takes a list.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is no list.
    pub fn list(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, Reason> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.mistyped(name, "a list", &other)),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is no text.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Reason> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mistyped(name, "a string", &other)),
        }
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is not there or no text.
    pub fn required_text(&mut self, name: &'static str) -> Result<String, Reason> {
        self.text(name)?
            .ok_or_else(|| self.refuse(name, "is missing"))
    }

    /// Takes a text or a list of texts. An empty list is refused: it could mean all or none.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of anything else.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Reason> {
        let list = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => return Ok(vec![text]),
            Some(Value::Array(list)) if list.is_empty() => {
                return Err(self.refuse(name, "is an empty list; leave it out instead"));
            }
            Some(Value::Array(list)) => list,
            Some(other) => {
                return Err(self.mistyped(name, "a string or a list of strings", &other));
            }
        };
        list.into_iter()
            .map(|element| match element {
                Value::String(text) => Ok(text),
                other => Err(self.mistyped(name, "a list of strings", &other)),
            })
            .collect()
    }

    /// Takes a list of texts, which may be empty.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of anything else.
    pub fn text_list(&mut self, name: &'static str) -> Result<Vec<String>, Reason> {
        let list = self.list(name)?.unwrap_or_default();
        list.into_iter()
            .map(|element| match element {
                Value::String(text) => Ok(text),
                other => Err(self.mistyped(name, "a list of strings", &other)),
            })
            .collect()
    }

    /// Takes yes or no.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is neither `true` nor `false`.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Reason> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.mistyped(name, "true or false", &other)),
        }
    }

    /// Takes a count.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is no whole number of 32 bits.
    pub fn count(&mut self, name: &'static str) -> Result<Option<u32>, Reason> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_u64().map(u32::try_from) {
            Some(Ok(count)) => Ok(Some(count)),
            _ => Err(self.refuse(name, "must be a whole number from 0 to 4294967295")),
        }
    }

    /// Takes a moment (RFC 3339), or a day, which stands for its first second in UTC.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of what is neither.
    pub fn time(&mut self, name: &'static str) -> Result<Option<Time>, Reason> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        crate::text::time(&text).map(Some).ok_or_else(|| {
            self.refuse(
                name,
                "must be a time such as `2026-01-31T09:30:00Z` or a day such as `2026-01-31`",
            )
        })
    }

    /// Takes one of a few names.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of any other name; it tells these.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Reason> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        self.chosen(name, &text, choices).map(Some)
    }

    /// Takes any number of a few names.
    ///
    /// # Errors
    ///
    /// The refusal of the document, of any other name; it tells these. An empty list is refused as by
    /// [`Members::texts`].
    pub fn choices<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Vec<T>, Reason> {
        self.texts(name)?
            .iter()
            .map(|text| self.chosen(name, text, choices))
            .collect()
    }

    /// What is left, for a reader elsewhere that refuses what it does not know.
    pub fn rest(self) -> Map<String, Value> {
        self.left
    }

    /// The names of what has not been taken.
    pub fn names_left(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }

    /// Refuses what is left.
    ///
    /// # Errors
    ///
    /// The refusal of the document, with the name of a member that was not taken, and those that are known.
    pub fn finish(self) -> Result<(), Reason> {
        let Some(name) = self.left.keys().next() else {
            return Ok(());
        };
        // Those first that begin alike: it may be long, and most mistakes are misspellings.
        let mut known = self.known.clone();
        known.sort_by_key(|known| std::cmp::Reverse(alike(known, name)));
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        Err(self.refuse(
            &printable(name),
            &format!(
                "is not a member that is known here; these are: {}",
                known.join(", ")
            ),
        ))
    }

    fn chosen<T: Copy>(&self, name: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Reason> {
        if let Some((_, value)) = choices.iter().find(|(choice, _)| *choice == text) {
            return Ok(*value);
        }
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        Err(self.refuse(name, &format!("must be one of {}", names.join(", "))))
    }

    fn mistyped(&self, name: &str, expected: &str, found: &Value) -> Reason {
        mistyped(self.document, &self.path_of(name), expected, found)
    }
}

/// How many characters two names have in common at their beginning.
fn alike(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    pairs.take_while(|(one, other)| one == other).count()
}

fn mistyped(document: Document, path: &str, expected: &str, found: &Value) -> Reason {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    if path.is_empty() {
        document.refuse(format!("it must be {expected}, not {found}"))
    } else {
        document.refuse(format!("`{path}` must be {expected}, not {found}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_values_are_read_than_an_honest_object_has() {
        let read = |values: usize| {
            let json = format!("{{\"list\":[{}0]}}", "0,".repeat(values - 3));
            Members::read_at(Document::Request("anchor"), "", &json, 100).map(|_| ())
        };
        assert_eq!(read(100), Ok(()));
        assert_eq!(
            read(101),
            Err(Reason::JsonMembers {
                part: "anchor",
                allowed: 100
            })
        );
    }

    #[test]
    fn a_key_set_as_large_as_it_may_be_is_read() {
        let key = r#"{"kty":"OKP","crv":"Ed25519","kid":"0000","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let keys = vec![key; 10_000].join(",");
        let json = format!("{{\"jwks\":{{\"keys\":[{keys}]}}}}");
        assert!(Members::read(Document::Request("anchor"), &json).is_ok());
    }
}
