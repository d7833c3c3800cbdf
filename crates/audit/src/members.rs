//! Reading JSON that others wrote: strict where a misread member would change who is admitted.

use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value};

/// Refuses a file, with what is wrong in it. [`System::read`](crate::System::read) says of which system
/// the file is.
pub(crate) fn malformed(detail: impl Into<String>) -> Reason {
    Reason::TrustDocumentMalformed {
        what: "configuration",
        detail: detail.into(),
    }
}

/// The object at a place.
pub(crate) fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Reason> {
    value
        .as_object()
        .ok_or_else(|| malformed(format!("`{place}` must be an object")))
}

/// The text of a member, if it is there.
pub(crate) fn text<'a>(
    place: &str,
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, Reason> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed(format!("`{place}.{name}` must be a text"))),
    }
}

/// The text of a member that must be there.
pub(crate) fn required_text<'a>(
    place: &str,
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<&'a str, Reason> {
    text(place, object, name)?.ok_or_else(|| malformed(format!("`{place}.{name}` is missing")))
}

/// The elements of a member, none if it is not there.
pub(crate) fn list<'a>(
    place: &str,
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<&'a [Value], Reason> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(elements)) => Ok(elements),
        Some(_) => Err(malformed(format!("`{place}.{name}` must be a list"))),
    }
}

/// The texts of a member that is one text or a list of texts.
pub(crate) fn texts(place: &str, value: &Value) -> Result<Vec<String>, Reason> {
    let refuse = || malformed(format!("`{place}` must be a text or a list of texts"));
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(elements) => elements
            .iter()
            .map(|element| element.as_str().map(str::to_owned).ok_or_else(refuse))
            .collect(),
        _ => Err(refuse()),
    }
}

/// Refuses members that are not known: one that is misspelt would be taken for absent.
pub(crate) fn only(place: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Reason> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(malformed(format!(
            "`{place}` has a member `{}`; it may have {}",
            printable(unknown),
            known.join(", ")
        ))),
    }
}
