//! The operators and functions that conditions use: those of the language itself, of its library
//! of texts, and `extract` of Google Cloud.

use std::cmp::Ordering;
use std::sync::Arc;

use cel::common::ast::operators;

use super::evaluate::{Run, member_of, wrong};
use super::value::{Failure, Value};

/// What a regular expression costs for each byte of its text, in steps.
const MATCHING: u64 = 4;

const OPERATORS: [&str; 15] = [
    operators::ADD,
    operators::DIVIDE,
    operators::EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::IN,
    operators::INDEX,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::MODULO,
    operators::MULTIPLY,
    operators::NEGATE,
    operators::NOT_EQUALS,
    operators::NOT_STRICTLY_FALSE,
    operators::SUBSTRACT,
];

const METHODS: [&str; 16] = [
    "charAt",
    "contains",
    "endsWith",
    "extract",
    "indexOf",
    "join",
    "lowerAscii",
    "matches",
    "replace",
    "size",
    "split",
    "startsWith",
    "substring",
    "trim",
    "upperAscii",
    "lastIndexOf",
];

const FUNCTIONS: [&str; 7] = ["bool", "double", "dyn", "int", "matches", "size", "string"];

/// Whether something of this name can be called.
pub(super) fn is_known(name: &str, is_method: bool) -> bool {
    if is_method {
        METHODS.contains(&name)
    } else {
        OPERATORS.contains(&name) || FUNCTIONS.contains(&name)
    }
}

pub(super) fn call(run: &mut Run<'_>, name: &str, values: &[Value]) -> Result<Value, Failure> {
    match (name, values) {
        (operators::EQUALS, [one, other]) => same(run, one, other).map(Value::Bool),
        (operators::NOT_EQUALS, [one, other]) => {
            same(run, one, other).map(|same| Value::Bool(!same))
        }
        (operators::LESS, [one, other]) => compared(one, other, Ordering::is_lt),
        (operators::LESS_EQUALS, [one, other]) => compared(one, other, Ordering::is_le),
        (operators::GREATER, [one, other]) => compared(one, other, Ordering::is_gt),
        (operators::GREATER_EQUALS, [one, other]) => compared(one, other, Ordering::is_ge),
        (operators::IN, [one, Value::List(elements)]) => {
            for element in elements.iter() {
                if same(run, element, one)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        (operators::IN, [Value::Text(key), Value::Map(members)]) => {
            Ok(Value::Bool(members.contains_key(&**key)))
        }
        (operators::IN, [_, Value::Map(_)]) => Ok(Value::Bool(false)),
        (operators::INDEX, [Value::List(elements), Value::Int(index)]) => usize::try_from(*index)
            .ok()
            .and_then(|index| elements.get(index))
            .cloned()
            .ok_or_else(|| Failure::MissingKey(index.to_string())),
        (operators::INDEX, [of, Value::Text(member)]) => member_of(of, member),
        (operators::NEGATE, [Value::Double(number)]) => Ok(Value::Double(-number)),
        (operators::NEGATE, [Value::Int(number)]) => {
            number.checked_neg().map(Value::Int).ok_or_else(overflow)
        }
        (operators::ADD, [one, other]) => added(one, other),
        (
            operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
            [one, other],
        ) => reckoned(name, one, other),
        ("size", [of]) => size(of),
        ("dyn", [of]) => Ok(of.clone()),
        ("string", [of]) => text_of(of),
        ("int", [of]) => int_of(of),
        ("double", [of]) => double_of(of),
        ("bool", [of]) => bool_of(of),
        ("split", [Value::Text(text), Value::Text(by)]) => {
            let parts: Vec<Value> = text
                .split(&**by)
                .map(|part| Value::Text(part.into()))
                .collect();
            run.spend(u64::try_from(parts.len()).unwrap_or(u64::MAX))?;
            Ok(Value::List(parts.into()))
        }
        ("join", [Value::List(elements), rest @ ..]) => joined(elements, rest),
        ("matches", [Value::Text(text), Value::Text(pattern)]) => {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            run.spend(length.saturating_mul(MATCHING))?;
            // It may match anywhere in the text, as with RE2.
            Ok(Value::Bool(run.regex(pattern)?.is_match(text)))
        }
        (name, [Value::Text(text), rest @ ..]) => of_text(name, text, rest),
        (name, [first, ..]) => Err(wrong(&format!("`{name}`"), first)),
        (name, []) => Err(Failure::Other(format!("`{name}` is given nothing"))),
    }
}

/// Whether both are the same. Lists may hold one list many times, so each comparison is paid for.
fn same(run: &mut Run<'_>, one: &Value, other: &Value) -> Result<bool, Failure> {
    run.spend(1)?;
    match (one, other) {
        (Value::List(one), Value::List(other)) if one.len() == other.len() => {
            for (one, other) in one.iter().zip(other.iter()) {
                if !same(run, one, other)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Map(one), Value::Map(other)) if one.len() == other.len() => {
            for (key, value) in one.iter() {
                let Some(other) = other.get(key) else {
                    return Ok(false);
                };
                if !same(run, value, other)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => Ok(false),
        (one, other) => Ok(one.equals(other)),
    }
}

fn of_text(name: &str, text: &Arc<str>, rest: &[Value]) -> Result<Value, Failure> {
    let said = |text: String| Ok(Value::Text(text.into()));
    match (name, rest) {
        ("startsWith", [Value::Text(other)]) => Ok(Value::Bool(text.starts_with(&**other))),
        ("endsWith", [Value::Text(other)]) => Ok(Value::Bool(text.ends_with(&**other))),
        ("contains", [Value::Text(other)]) => Ok(Value::Bool(text.contains(&**other))),
        ("lowerAscii", []) => said(text.to_ascii_lowercase()),
        ("upperAscii", []) => said(text.to_ascii_uppercase()),
        ("trim", []) => said(text.trim().to_owned()),
        ("replace", [Value::Text(from), Value::Text(to)]) => replaced(text, from, to),
        ("indexOf", [Value::Text(part)]) => Ok(index(text, text.find(&**part))),
        ("lastIndexOf", [Value::Text(part)]) => Ok(index(text, text.rfind(&**part))),
        ("charAt", [Value::Int(at)]) => {
            let at = usize::try_from(*at).map_err(|_| overflow())?;
            said(text.chars().skip(at).take(1).collect())
        }
        ("substring", [Value::Int(from)]) => substring(text, *from, None),
        ("substring", [Value::Int(from), Value::Int(to)]) => substring(text, *from, Some(*to)),
        ("extract", [Value::Text(template)]) => said(extracted(text, template)?),
        _ => Err(Failure::Other(format!(
            "`{name}` of a string is given something else than it takes"
        ))),
    }
}

/// What a replacement may grow to, in bytes.
const LONGEST_TEXT: usize = 1 << 20;

fn replaced(text: &str, from: &str, to: &str) -> Result<Value, Failure> {
    let places = text.matches(from).count();
    if places.saturating_mul(to.len()).saturating_add(text.len()) > LONGEST_TEXT {
        return Err(Failure::OutOfFuel);
    }
    Ok(Value::Text(text.replace(from, to).into()))
}

/// Positions are counted in characters.
fn index(text: &str, at: Option<usize>) -> Value {
    let characters = at
        .and_then(|at| text.get(..at))
        .map(|head| head.chars().count());
    Value::Int(characters.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX)))
}

fn substring(text: &str, from: i64, to: Option<i64>) -> Result<Value, Failure> {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let to = to.unwrap_or(length);
    if from < 0 || to < from || to > length {
        return Err(Failure::Other(
            "a part of a text is out of its range".to_owned(),
        ));
    }
    let skip = usize::try_from(from).map_err(|_| overflow())?;
    let take = usize::try_from(to - from).map_err(|_| overflow())?;
    let part: String = text.chars().skip(skip).take(take).collect();
    Ok(Value::Text(part.into()))
}

/// `extract` of Google Cloud: what stands in the text where the template has `{name}`, and nothing
/// when the rest of the template is not there.
fn extracted(text: &str, template: &str) -> Result<String, Failure> {
    let parts = template
        .split_once('{')
        .and_then(|(head, rest)| Some((head, rest.split_once('}')?.1)));
    let Some((head, tail)) = parts else {
        return Err(Failure::Other("a template has no `{name}`".to_owned()));
    };
    let Some((_, rest)) = text.split_once(head) else {
        return Ok(String::new());
    };
    if tail.is_empty() {
        return Ok(rest.to_owned());
    }
    Ok(rest
        .split_once(tail)
        .map(|(value, _)| value.to_owned())
        .unwrap_or_default())
}

fn compared(one: &Value, other: &Value, holds: fn(Ordering) -> bool) -> Result<Value, Failure> {
    let ordering = match (one, other) {
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (one, other) => match (one.number(), other.number()) {
            (Some(one), Some(other)) => one.partial_cmp(&other),
            _ => return Err(wrong("an order", one)),
        },
    };
    Ok(Value::Bool(ordering.is_some_and(holds)))
}

fn added(one: &Value, other: &Value) -> Result<Value, Failure> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => {
            one.checked_add(*other).map(Value::Int).ok_or_else(overflow)
        }
        (Value::Unsigned(one), Value::Unsigned(other)) => one
            .checked_add(*other)
            .map(Value::Unsigned)
            .ok_or_else(overflow),
        (Value::Double(one), Value::Double(other)) => Ok(Value::Double(one + other)),
        (Value::Text(one), Value::Text(other)) => {
            if one.len().saturating_add(other.len()) > LONGEST_TEXT {
                return Err(Failure::OutOfFuel);
            }
            Ok(Value::Text(format!("{one}{other}").into()))
        }
        (Value::List(one), Value::List(other)) => Ok(Value::List(
            one.iter().chain(other.iter()).cloned().collect(),
        )),
        (one, _) => Err(wrong("a sum", one)),
    }
}

fn reckoned(operator: &str, one: &Value, other: &Value) -> Result<Value, Failure> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => match operator {
            operators::SUBSTRACT => one.checked_sub(*other),
            operators::MULTIPLY => one.checked_mul(*other),
            operators::DIVIDE => one.checked_div(*other),
            _ => one.checked_rem(*other),
        }
        .map(Value::Int)
        .ok_or_else(overflow),
        (Value::Unsigned(one), Value::Unsigned(other)) => match operator {
            operators::SUBSTRACT => one.checked_sub(*other),
            operators::MULTIPLY => one.checked_mul(*other),
            operators::DIVIDE => one.checked_div(*other),
            _ => one.checked_rem(*other),
        }
        .map(Value::Unsigned)
        .ok_or_else(overflow),
        (Value::Double(one), Value::Double(other)) => match operator {
            operators::SUBSTRACT => Ok(Value::Double(one - other)),
            operators::MULTIPLY => Ok(Value::Double(one * other)),
            operators::DIVIDE => Ok(Value::Double(one / other)),
            _ => Err(overflow()),
        },
        (one, _) => Err(wrong("arithmetic", one)),
    }
}

fn overflow() -> Failure {
    Failure::Other("a number is out of its range".to_owned())
}

fn size(of: &Value) -> Result<Value, Failure> {
    let size = match of {
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(elements) => elements.len(),
        Value::Map(members) => members.len(),
        other => return Err(wrong("`size`", other)),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn joined(elements: &[Value], rest: &[Value]) -> Result<Value, Failure> {
    let by = match rest {
        [] => "",
        [Value::Text(by)] => by,
        _ => return Err(Failure::Other("`join` takes one string".to_owned())),
    };
    let texts = elements.iter().map(|element| match element {
        Value::Text(text) => Ok(&**text),
        other => Err(wrong("`join`", other)),
    });
    let texts = texts.collect::<Result<Vec<&str>, _>>()?;
    let length: usize = texts.iter().map(|text| text.len() + by.len()).sum();
    if length > LONGEST_TEXT {
        return Err(Failure::OutOfFuel);
    }
    Ok(Value::Text(texts.join(by).into()))
}

fn text_of(of: &Value) -> Result<Value, Failure> {
    let text = match of {
        Value::Text(text) => return Ok(Value::Text(text.clone())),
        Value::Bool(flag) => flag.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        other => return Err(wrong("`string`", other)),
    };
    Ok(Value::Text(text.into()))
}

fn int_of(of: &Value) -> Result<Value, Failure> {
    let number = match of {
        Value::Int(number) => Some(*number),
        Value::Unsigned(number) => i64::try_from(*number).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range is checked, and fractions are cut off by definition"
        )]
        Value::Double(number) if number.abs() < 9.2e18 => Some(*number as i64),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    number.map(Value::Int).ok_or_else(overflow)
}

fn double_of(of: &Value) -> Result<Value, Failure> {
    let number = match of {
        Value::Text(text) => text.parse().ok(),
        other => other.number(),
    };
    number.map(Value::Double).ok_or_else(overflow)
}

fn bool_of(of: &Value) -> Result<Value, Failure> {
    match of {
        Value::Bool(flag) => Ok(Value::Bool(*flag)),
        Value::Text(text) if &**text == "true" => Ok(Value::Bool(true)),
        Value::Text(text) if &**text == "false" => Ok(Value::Bool(false)),
        other => Err(wrong("`bool`", other)),
    }
}
