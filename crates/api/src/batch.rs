//! Many objects in one text. What such a text may be long for is their number, so they are counted
//! before any is read, and read one by one: all at once would take many times as much memory as
//! their text.

use std::fmt;

use avouch_core::reason::{Reason, printable};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::members::{Document, Members};
use crate::strict::Room;

/// The most values of a batch: fifty for each of 20,000 objects. What is kept of one is a short text.
const MOST_VALUES_OF_A_BATCH: usize = 1_000_000;

/// The elements of a list, not yet read.
pub struct Batch<'a> {
    document: Document,
    name: &'static str,
    elements: Vec<&'a str>,
    room: Room,
}

impl<'a> Batch<'a> {
    /// The list `name`, of at most so many elements, of a text that is one JSON object and has no
    /// other member; nothing where there is no such list.
    ///
    /// # Errors
    ///
    /// The refusal of the document.
    pub fn read(
        document: Document,
        json: &'a str,
        name: &'static str,
        most: usize,
    ) -> Result<Option<Self>, Reason> {
        let refuse = |error: serde_json::Error| document.refuse(error.to_string());
        // Said here, because a general reader would quote what it found, and it may be a secret.
        if !json.trim_start().starts_with('{') {
            return Err(document.refuse("it is not a JSON object"));
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let found = deserializer
            .deserialize_map(MembersVisitor(name))
            .and_then(|found| deserializer.end().map(|()| found));
        let (list, other) = found.map_err(refuse)?;
        let Some(list) = list.map(RawValue::get) else {
            return Ok(None);
        };
        if let Some(other) = other {
            return Err(document.refuse(format!(
                "`{}` is not a member that is known here; these are: `{name}`",
                printable(&other)
            )));
        }
        if !list.starts_with('[') {
            return Err(document.refuse(format!("`{name}` must be a list")));
        }
        let (elements, count) = serde_json::Deserializer::from_str(list)
            .deserialize_seq(ElementsVisitor(most))
            .map_err(refuse)?;
        if count > most {
            return Err(document.refuse(format!(
                "`{name}` holds {count}, and at most {most} are taken at once"
            )));
        }
        Ok(Some(Self {
            document,
            name,
            elements,
            room: Room::of(MOST_VALUES_OF_A_BATCH),
        }))
    }

    /// Each as what `read` makes of its members. One that cannot be read is refused by itself.
    ///
    /// # Errors
    ///
    /// `limit.json_members` for all of them, when they are too much together.
    pub fn each<T>(
        &self,
        read: impl Fn(Members) -> Result<T, Reason>,
    ) -> Result<Vec<Result<T, Reason>>, Reason> {
        let elements = self.elements.iter().enumerate();
        let read = elements.map(|(place, text)| {
            let path = format!("{}[{place}]", self.name);
            let value = match self.value(&path, text) {
                Err(reason) if self.room.is_exceeded() => return Err(reason),
                value => value,
            };
            let members = value.and_then(|value| Members::of(self.document, &path, value));
            Ok(members.and_then(&read))
        });
        read.collect()
    }

    /// All of them, where they are texts.
    ///
    /// # Errors
    ///
    /// The refusal of the document.
    pub fn texts(&self) -> Result<Vec<String>, Reason> {
        let elements = self.elements.iter().enumerate();
        let texts = elements.map(|(place, text)| {
            match self.value(&format!("{}[{place}]", self.name), text)? {
                Value::String(text) => Ok(text),
                _ => Err(self
                    .document
                    .refuse(format!("`{}` must be a list of strings", self.name))),
            }
        });
        texts.collect()
    }

    fn value(&self, path: &str, text: &str) -> Result<Value, Reason> {
        let value = self.room.read(text);
        value.map_err(|error| {
            if self.room.is_exceeded() {
                return self
                    .document
                    .unread(&self.room, MOST_VALUES_OF_A_BATCH, &error);
            }
            // Lines and columns are counted from the beginning of the element.
            let detail = format!("{error} of `{path}`");
            self.document.refuse(detail)
        })
    }
}

/// Finds one member, and the name of another if there is one.
struct MembersVisitor(&'static str);

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = (Option<&'de RawValue>, Option<String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut list, mut other) = (None, None);
        while let Some(name) = access.next_key::<String>()? {
            if name != self.0 {
                access.next_value::<IgnoredAny>()?;
                other.get_or_insert(name);
            } else if list.replace(access.next_value()?).is_some() {
                let twice = format_args!("the member `{name}` stands twice");
                return Err(A::Error::custom(twice));
            }
        }
        Ok((list, other))
    }
}

/// Keeps so many elements as texts, and counts all.
struct ElementsVisitor(usize);

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = (Vec<&'de str>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.0 {
            match list.next_element::<&'de RawValue>()? {
                Some(element) => elements.push(element.get()),
                None => break,
            }
        }
        let mut count = elements.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((elements, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: Document = Document::Request("registration entry");

    fn read(json: &str) -> Result<Option<Batch<'_>>, Reason> {
        Batch::read(DOCUMENT, json, "entries", 3)
    }

    fn detail(read: Result<Option<Batch<'_>>, Reason>) -> String {
        match read {
            Err(Reason::IssueBodyMalformed { detail, .. }) => detail,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was read"),
        }
    }

    #[test]
    fn elements_are_counted_before_one_is_read() {
        let many = format!("{{\"entries\":[{}0]}}", "{\"\":0},".repeat(1_000));
        assert_eq!(
            detail(read(&many)),
            "`entries` holds 1001, and at most 3 are taken at once"
        );
    }

    #[test]
    fn values_of_all_elements_are_counted_together() {
        let half = format!("[{}0]", "0,".repeat(MOST_VALUES_OF_A_BATCH / 2));
        let json = format!("{{\"entries\":[{{\"a\":{half}}},{{\"a\":{half}}}]}}");
        let batch = read(&json).unwrap().unwrap();
        let each = batch.each(|_| Ok(()));
        assert_eq!(
            each,
            Err(Reason::JsonMembers {
                part: "registration entry",
                allowed: MOST_VALUES_OF_A_BATCH
            })
        );
    }

    #[test]
    fn each_is_read_or_refused_by_itself() {
        let batch = read(r#"{"entries":[{"hint":"a"},{"hint":"a","hint":"b"},7]}"#);
        let batch = batch.unwrap().unwrap();
        let each = batch.each(|mut members| members.text("hint")).unwrap();
        let [one, twice, number] = each.as_slice() else {
            panic!("{each:?}")
        };
        assert_eq!(one, &Ok(Some("a".to_owned())));
        let sentence = |one: &Result<_, Reason>| one.as_ref().unwrap_err().sentence();
        let where_it_stands = "`hint` stands twice at line 1 column 23 of `entries[1]`";
        assert!(sentence(twice).contains(where_it_stands), "{twice:?}");
        assert!(
            sentence(number).contains("`entries[2]` must be an object, not a number"),
            "{number:?}"
        );
    }

    #[test]
    fn only_the_list_stands_in_the_object() {
        assert!(read(r#"{"spiffe_id":"x"}"#).unwrap().is_none());
        assert_eq!(
            detail(read(r#"{"entries":[],"entry":1}"#)),
            "`entry` is not a member that is known here; these are: `entries`"
        );
        assert_eq!(
            detail(read(r#"{"entries":"x"}"#)),
            "`entries` must be a list"
        );
        assert!(detail(read(r#"{"entries":[],"entries":[]}"#)).contains("stands twice"));
        assert_eq!(detail(read("[]")), "it is not a JSON object");
    }
}
