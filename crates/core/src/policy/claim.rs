//! One claim, as facts are made of it.

use serde_json::{Map, Value};

/// The claim at a path of members.
pub(super) fn claim_at<'a>(claims: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(*first)?, |value, member| value.get(member))
}

/// Whether `email` was checked by the issuer (OpenID Connect Core 5.7).
pub(crate) fn is_email_verified(claims: &Map<String, Value>) -> bool {
    claims.get("email_verified") == Some(&Value::Bool(true))
}

/// A claim as the text of a fact: texts as they are, true and false and whole numbers in words;
/// nothing for an empty text, for fractions and objects, nor for lists, which are no one text.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
