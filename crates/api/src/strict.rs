//! JSON and YAML read into one kind of value, in which nothing may stand twice.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is no value: where, and what stands there, without quoting it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAValue(pub String);

/// Reads a file of JSON, or of YAML if it does not begin as an object or a list of JSON does.
///
/// # Errors
///
/// Where it is none, and what stands there.
pub fn read_value(text: &str) -> Result<Value, NotAValue> {
    if text.trim_start().starts_with(['{', '[']) {
        let read = serde_json::from_str(text).map(|Strict(value)| value);
        return read.map_err(|error| NotAValue(error.to_string()));
    }
    let says_nothing =
        |line: &str| line.is_empty() || line.starts_with('#') || matches!(line, "---" | "...");
    if text.lines().map(str::trim).all(says_nothing) {
        return Err(NotAValue("it is empty".to_owned()));
    }
    // The reader's work grows with the square of this depth, and it looks only afterwards.
    if flow_depth(text) > FLOW_DEPTH_MAX {
        return Err(NotAValue(format!(
            "it is nested deeper than {FLOW_DEPTH_MAX} levels of brackets"
        )));
    }
    let read = serde_norway::from_str(text).map(|Strict(value)| value);
    read.map_err(|error| NotAValue(error.to_string()))
}

/// Writes a value as YAML.
pub fn write_yaml(value: &Value) -> String {
    // A value of JSON is one of YAML, whatever is in it.
    serde_norway::to_string(value).unwrap_or_else(|_| format!("{value}\n"))
}

/// Room for so many values. A value takes up to 350 bytes of memory however few bytes say it
/// (`{"":0}` is two), so whoever reads what others send bounds their number, not only their length.
pub(crate) struct Room {
    left: Cell<usize>,
    is_exceeded: Cell<bool>,
}

impl Room {
    pub(crate) fn of(values: usize) -> Self {
        Self {
            left: Cell::new(values),
            is_exceeded: Cell::new(false),
        }
    }

    /// For what is one's own.
    fn unbounded() -> Self {
        Self::of(usize::MAX)
    }

    /// Whether reading stopped because there was none left.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }

    /// Reads all of a text of JSON.
    pub(crate) fn read(&self, json: &str) -> Result<Value, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let value = StrictIn(self).deserialize(&mut deserializer)?;
        deserializer.end().map(|()| value)
    }

    fn take<E: Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.is_exceeded.set(true);
                Err(E::custom("more values than are read"))
            }
        }
    }
}

/// A value whose objects name each member once, at every depth. Two readers could take different
/// values from one that does not.
pub(crate) struct Strict(pub(crate) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictIn(&Room::unbounded())
            .deserialize(deserializer)
            .map(Self)
    }
}

/// Reads a [`Strict`] value for which there is so much room.
#[derive(Clone, Copy)]
pub(crate) struct StrictIn<'a>(pub(crate) &'a Room);

impl<'de> DeserializeSeed<'de> for StrictIn<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictIn<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::from(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number)
            .map(Value::from)
            .ok_or_else(|| E::custom("a number that JSON cannot hold"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::from(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            insert_once(&mut object, name, value)?;
        }
        Ok(Value::from(object))
    }
}

/// Levels of brackets in YAML; a trust document with its key sets has six.
const FLOW_DEPTH_MAX: usize = 64;

/// How deep brackets are nested, counting those in texts too, which are few and balanced.
fn flow_depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Adds a member, or says that it stands twice.
pub(crate) fn insert_once<E: Error>(
    object: &mut Map<String, Value>,
    name: String,
    value: Value,
) -> Result<(), E> {
    if object.contains_key(&name) {
        let name = avouch_core::reason::printable(&name);
        return Err(E::custom(format_args!("the member `{name}` stands twice")));
    }
    object.insert(name, value);
    Ok(())
}
