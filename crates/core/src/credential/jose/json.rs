//! JSON that two readers cannot read differently: no member twice, bounded depth and count.
//!
//! RFC 8259 leaves open what a repeated member means, so a checker and a user of the same token
//! could act on different values (RFC 8725 2.4).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::budget::Limits;
use crate::reason::Reason;

/// Reads one JSON text. `part` names it in refusals: `header`, `claims`, `trust document`.
///
/// # Errors
///
/// `input.json_malformed`, `input.json_duplicate_member`, `limit.json_depth`,
/// `limit.json_members`.
pub fn read(bytes: &[u8], part: &'static str, limits: &Limits) -> Result<Value, Reason> {
    let watch = Watch {
        part,
        limits,
        members: Cell::new(0),
        stopped: Cell::new(None),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict {
        watch: &watch,
        depth: 0,
    }
    .deserialize(&mut deserializer)
    .and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        watch
            .stopped
            .take()
            .unwrap_or_else(|| Reason::JsonMalformed {
                part,
                detail: place_of(&error),
            })
    })
}

/// Reads one JSON text that must be an object.
///
/// # Errors
///
/// As [`read`], and `input.json_malformed` for anything but an object.
pub fn read_object(
    bytes: &[u8],
    part: &'static str,
    limits: &Limits,
) -> Result<Map<String, Value>, Reason> {
    match read(bytes, part, limits)? {
        Value::Object(object) => Ok(object),
        other => Err(Reason::JsonMalformed {
            part,
            detail: format!("it is {}", kind_of(&other)),
        }),
    }
}

/// What kind of JSON a value is, with its article, as a sentence needs it.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction or exponent",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Where and why reading stopped, without a word of the text itself: it may be a secret.
fn place_of(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Data => "its syntax is wrong",
    };
    format!("{kind} (line {}, column {})", error.line(), error.column())
}

/// What is shared by all levels of one reading.
struct Watch<'a> {
    part: &'static str,
    limits: &'a Limits,
    members: Cell<usize>,
    stopped: Cell<Option<Reason>>,
}

impl Watch<'_> {
    fn stop<E: serde::de::Error>(&self, reason: Reason) -> E {
        self.stopped.set(Some(reason));
        E::custom("stopped")
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let allowed = self.limits.json_members;
        let members = self.members.get() + 1;
        self.members.set(members);
        if members > allowed {
            return Err(self.stop(Reason::JsonMembers {
                part: self.part,
                allowed,
            }));
        }
        Ok(())
    }
}

/// Reads one value at `depth`.
#[derive(Clone, Copy)]
struct Strict<'a> {
    watch: &'a Watch<'a>,
    depth: usize,
}

impl Strict<'_> {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        let allowed = self.watch.limits.json_depth;
        let depth = self.depth + 1;
        if depth > allowed {
            return Err(self.watch.stop(Reason::JsonDepth {
                part: self.watch.part,
                allowed,
            }));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(below)? {
            self.watch.count()?;
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.watch.count()?;
            match object.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(members.next_value_seed(below)?);
                }
                Entry::Occupied(taken) => {
                    return Err(self.watch.stop(Reason::JsonDuplicateMember {
                        part: self.watch.part,
                        member: taken.key().clone(),
                    }));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Value, Reason> {
        let limits = Limits {
            json_depth: 3,
            json_members: 5,
            ..Limits::default()
        };
        read(text.as_bytes(), "claims set", &limits)
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,2.5,null,true],"b":"\u00e9"}"#;
        let read = read(text.as_bytes(), "claims set", &Limits::default());
        assert_eq!(read, Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn a_member_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for (text, member) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"\u0061":1}"#, "a"),
            (r#"{"x":{"b":1,"b":2}}"#, "b"),
            (r#"[{"c":1,"c":2}]"#, "c"),
        ] {
            let expected = Reason::JsonDuplicateMember {
                part: "claims set",
                member: member.to_owned(),
            };
            assert_eq!(read_text(text), Err(expected), "{text}");
        }
        assert!(read_text(r#"{"a":{"a":1},"A":2}"#).is_ok());
    }

    #[test]
    fn depth_and_count_are_bounded_exactly() {
        assert!(read_text("[[[1]]]").is_ok());
        assert_eq!(
            read_text("[[[[1]]]]").unwrap_err().code(),
            "limit.json_depth"
        );
        assert!(read_text("[1,2,3,4,5]").is_ok());
        assert_eq!(
            read_text("[1,2,3,4,5,6]").unwrap_err().code(),
            "limit.json_members"
        );
        let bomb = "[".repeat(100_000);
        assert_eq!(read_text(&bomb).unwrap_err().code(), "limit.json_depth");
    }

    #[test]
    fn what_is_not_json_is_refused_without_being_quoted() {
        for text in [
            "",
            "{",
            "{\"a\":}",
            "{} {}",
            "\u{feff}{}",
            "{\"s\":\"\\ud800\"}",
            "1e999",
            "NaN",
        ] {
            let reason = read_text(text).unwrap_err();
            assert_eq!(reason.code(), "input.json_malformed", "{text}");
        }
        let reason = read(b"{\"a\": secret}", "claims set", &Limits::default()).unwrap_err();
        assert!(!reason.sentence().contains("secret"));
        assert_eq!(
            read(&[b'"', 0xff, b'"'], "claims set", &Limits::default())
                .unwrap_err()
                .code(),
            "input.json_malformed"
        );
    }

    #[test]
    fn an_object_is_asked_for_by_name() {
        let reason = read_object(b"[1]", "claims set", &Limits::default()).unwrap_err();
        assert_eq!(reason.code(), "input.json_malformed");
        assert!(read_object(b"{}", "claims set", &Limits::default()).is_ok());
    }
}
