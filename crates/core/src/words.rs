//! Counts, as a person reads them.

use std::fmt::Display;

/// A count and its noun: `1 node`, `3 nodes`.
pub fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let noun = if count == "1" { one } else { many };
    format!("{count} {noun}")
}

/// What is counted in the sentences of the catalogue of reasons: many, and one.
const NOUNS: [(&str, &str); 6] = [
    ("certificates", "certificate"),
    ("credentials", "credential"),
    ("nodes", "node"),
    ("readers", "reader"),
    ("seconds", "second"),
    ("times", "time"),
];

/// Where the text after the count 1 goes on with the noun for many: the noun for one, and what follows.
pub(crate) fn of_one(after: &str) -> Option<(&'static str, &str)> {
    let after = after.strip_prefix(' ')?;
    let (one, rest) = NOUNS
        .iter()
        .find_map(|(many, one)| Some((*one, after.strip_prefix(many)?)))?;
    let is_whole = !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    is_whole.then_some((one, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_else_is_many() {
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(counted(0_usize, "entry", "entries"), "0 entries");
        assert_eq!(counted(21_i64, "entry", "entries"), "21 entries");
    }

    #[test]
    fn a_noun_is_a_whole_word() {
        assert_eq!(of_one(" seconds."), Some(("second", ".")));
        assert_eq!(of_one(" nodes and"), Some(("node", " and")));
        for other in [" secondsafter", "seconds", " second", " and seconds", ""] {
            assert_eq!(of_one(other), None, "{other}");
        }
    }
}
