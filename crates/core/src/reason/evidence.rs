//! The typed facts behind a refusal: what was expected, what was seen, when.

use std::fmt;

use serde_json::Value;

use crate::time::Time;

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
    /// A count or a size.
    Number(i64),
    /// A text, as it was seen.
    Text(String),
    /// A moment.
    Time(Time),
}

impl Evidence {
    /// As JSON: the text as it was seen, not made safe to print.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Flag(flag) => Value::from(*flag),
            Self::List(list) => Value::from(list.clone()),
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Time(time) => Value::from(time.to_string()),
        }
    }
}

impl fmt::Display for Evidence {
    /// Safe to print: control and direction characters are escaped and long texts cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::List(list) if list.is_empty() => f.write_str("none"),
            Self::List(list) => {
                let shown: Vec<String> = list
                    .iter()
                    .take(SHOWN_TEXTS)
                    .map(|text| printable(text))
                    .collect();
                f.write_str(&shown.join(", "))?;
                if list.len() > SHOWN_TEXTS {
                    write!(f, " and {} more", list.len() - SHOWN_TEXTS)
                } else {
                    Ok(())
                }
            }
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&printable(text)),
            Self::Time(time) => time.fmt(f),
        }
    }
}

/// How much of one text a person is shown.
const SHOWN_CHARACTERS: usize = 300;

/// How many texts of a list a person is shown.
const SHOWN_TEXTS: usize = 10;

/// How much of one sentence, in which several texts may stand.
const SENTENCE_CHARACTERS: usize = 4_000;

/// Makes a text from outside safe to print: what could move the cursor, turn the direction of
/// writing or hide is shown as an escape.
pub fn printable(text: &str) -> String {
    printable_within(text, SHOWN_CHARACTERS)
}

/// The same of a sentence that another program has made, of texts of which none is too long.
pub fn printable_sentence(text: &str) -> String {
    printable_within(text, SENTENCE_CHARACTERS)
}

fn printable_within(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    for (index, character) in text.chars().enumerate() {
        if index == most {
            shown.push('…');
            break;
        }
        if is_unsafe_to_print(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, the format characters that reorder or hide text (Unicode TR 36, 3), and those
/// that no XML may have (XML 1.0, 2.2).
pub(crate) fn is_unsafe_to_print(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

macro_rules! evidence_from {
    ($($from:ty => |$value:ident| $evidence:expr;)*) => {
        $(impl From<$from> for Evidence {
            fn from($value: $from) -> Self { $evidence }
        })*
    };
}

evidence_from! {
    bool => |value| Self::Flag(value);
    Vec<String> => |value| Self::List(value);
    i64 => |value| Self::Number(value);
    u32 => |value| Self::Number(i64::from(value));
    usize => |value| Self::Number(i64::try_from(value).unwrap_or(i64::MAX));
    String => |value| Self::Text(value);
    &'static str => |value| Self::Text(value.to_owned());
    Time => |value| Self::Time(value);
}
