//! Values of expressions, and the names that stand for them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A value. Copies share what they hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A number with a fraction.
    Double(f64),
    /// A whole number.
    Int(i64),
    /// A list.
    List(Arc<[Self]>),
    /// A map whose keys are texts; others do not occur in claims.
    Map(Arc<BTreeMap<String, Self>>),
    /// Nothing.
    Null,
    /// A text.
    Text(Arc<str>),
    /// A whole number without a sign.
    Unsigned(u64),
}

impl Value {
    /// The value of JSON, as an expression sees it.
    pub fn of_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(*flag),
            serde_json::Value::Number(number) => number.as_i64().map_or_else(
                || Self::Double(number.as_f64().unwrap_or(f64::NAN)),
                Self::Int,
            ),
            serde_json::Value::String(text) => Self::Text(text.as_str().into()),
            serde_json::Value::Array(elements) => {
                Self::List(elements.iter().map(Self::of_json).collect())
            }
            serde_json::Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::of_json(value)));
                Self::Map(Arc::new(members.collect()))
            }
        }
    }

    /// What kind of value it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Bytes(_) => "bytes",
            Self::Double(_) => "double",
            Self::Int(_) => "int",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Null => "null",
            Self::Text(_) => "string",
            Self::Unsigned(_) => "uint",
        }
    }

    /// Whether both are the same, numbers by what they count, and values of other kinds never. What
    /// lists and maps hold is compared by whoever pays for it.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self == other,
            _ => false,
        }
    }

    /// A number wide enough for every kind but the largest whole numbers.
    pub(crate) fn number(&self) -> Option<f64> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "whole numbers above 2^53 occur in no claim that is compared with a fraction"
        )]
        match self {
            Self::Double(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            Self::Unsigned(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// What it takes to look at all of it.
    pub(crate) fn weight(&self) -> u64 {
        let weight = match self {
            Self::Text(text) => text.len() / 16,
            Self::Bytes(bytes) => bytes.len() / 16,
            Self::List(elements) => elements.len(),
            Self::Map(members) => members.len(),
            _ => 0,
        };
        u64::try_from(weight).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It took too many steps.
    OutOfFuel,
    /// A member is not there.
    MissingKey(String),
    /// It is something that is not evaluated here, and that its system may well evaluate.
    NotEvaluated(String),
    /// Something else, in words.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfFuel => f.write_str("it takes more steps than are allowed"),
            Self::MissingKey(key) => write!(f, "there is no `{key}`"),
            Self::NotEvaluated(what) => write!(f, "{what} is not evaluated here"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// Names and what they stand for.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    names: BTreeMap<String, Value>,
}

impl Scope {
    /// With one more name.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.names.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.names.get(name)
    }
}
