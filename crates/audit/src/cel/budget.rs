//! What evaluations may take: each set of claims so many steps, and all of them together so many.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::FUEL;
use super::value::Failure;

/// The most that a regular expression may become when it is prepared, in bytes. The engine takes
/// time in proportion to its text, whatever the expression.
const REGEX_SIZE: usize = 1 << 17;

/// What preparing a regular expression costs, in steps; one of the largest takes a millisecond or
/// two.
const PREPARING: u64 = 10_000;

/// How many are kept, which bounds the memory that they take.
const MOST_PREPARED: usize = 64;

/// Steps that are left, and regular expressions that were paid for.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    here: u64,
    prepared: BTreeMap<Arc<str>, Result<Regex, Failure>>,
}

impl Budget {
    pub(crate) fn of(total: u64) -> Self {
        Self {
            total,
            here: total.min(FUEL),
            prepared: BTreeMap::new(),
        }
    }

    /// Begins with other claims.
    pub(crate) fn begin(&mut self) {
        self.here = self.total.min(FUEL);
    }

    /// What is left for these claims.
    pub(crate) fn left(&self) -> u64 {
        self.here
    }

    /// Whether nothing is left for any claims.
    pub(crate) fn is_spent(&self) -> bool {
        self.total == 0
    }

    /// Pays for steps.
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Failure> {
        let paid = steps.min(self.here);
        self.here -= paid;
        self.total -= paid;
        if paid < steps {
            return Err(Failure::OutOfFuel);
        }
        Ok(())
    }

    /// The regular expression, prepared once.
    pub(super) fn regex(&mut self, pattern: &Arc<str>) -> Result<Regex, Failure> {
        if let Some(known) = self.prepared.get(pattern) {
            return known.clone();
        }
        self.spend(PREPARING)?;
        let built = RegexBuilder::new(&without_quotes(pattern))
            .size_limit(REGEX_SIZE)
            .dfa_size_limit(REGEX_SIZE)
            .build();
        let built = built.map_err(|why| {
            let why = why.to_string();
            let line = why.lines().last().unwrap_or_default().trim();
            Failure::NotEvaluated(format!("a regular expression ({line})"))
        });
        if self.prepared.len() >= MOST_PREPARED {
            self.prepared.clear();
        }
        self.prepared.insert(Arc::clone(pattern), built.clone());
        built
    }
}

/// What stands between `\Q` and `\E` in an expression of RE2 is meant as it is.
fn without_quotes(pattern: &str) -> Cow<'_, str> {
    let Some((head, rest)) = quoted(pattern) else {
        return Cow::Borrowed(pattern);
    };
    let (plain, tail) = rest.split_once("\\E").unwrap_or((rest, ""));
    Cow::Owned(format!(
        "{head}{}{}",
        regex::escape(plain),
        without_quotes(tail)
    ))
}

/// What stands before the first `\Q` that is no `Q` after a backslash that stands for itself, and after it.
fn quoted(pattern: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (at, character) in pattern.char_indices() {
        if is_escaped && character == 'Q' {
            let head = pattern.get(..at.checked_sub(1)?)?;
            return Some((head, pattern.get(at + 1..)?));
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_means_itself() {
        for (pattern, expected) in [
            ("a.b", "a.b"),
            ("^\\Qa.b\\E$", "^a\\.b$"),
            ("\\Qa.b", "a\\.b"),
            ("\\\\Q.", "\\\\Q."),
            ("\\Q*\\E.\\Q+\\E", "\\*.\\+"),
        ] {
            assert_eq!(without_quotes(pattern), expected, "{pattern}");
        }
    }
}
