//! What one fact must be, and how two such conditions compare.

use std::collections::BTreeSet;

use super::facts::{Facts, List};
use super::pattern::Pattern;
use crate::reason::printable;

/// What one fact must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// One of these texts, exactly.
    AnyOf(BTreeSet<String>),
    /// A text of this pattern.
    Pattern(Pattern),
    /// A list that has one of these texts, exactly.
    Has(BTreeSet<String>),
    /// A list that has each of these texts, exactly.
    HasAll(BTreeSet<String>),
}

impl Matcher {
    /// Exactly this text.
    pub fn exactly(text: impl Into<String>) -> Self {
        Self::AnyOf(BTreeSet::from([text.into()]))
    }

    /// Whether the text matches. A list is asked for its values, each of which is one.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::AnyOf(texts) | Self::Has(texts) | Self::HasAll(texts) => texts.contains(text),
            Self::Pattern(pattern) => pattern.matches(text),
        }
    }

    /// Whether it asks of a list what it has.
    pub fn asks_list(&self) -> bool {
        match self {
            Self::Has(_) | Self::HasAll(_) => true,
            Self::AnyOf(_) | Self::Pattern(_) => false,
        }
    }

    /// Whether the fact of this name is what is asked for. A text is never taken for a list of one, nor a
    /// list for any of its texts: who wrote the rule has not thought of it.
    pub(super) fn is_met(&self, fact: &str, facts: &Facts) -> bool {
        match self {
            Self::AnyOf(_) | Self::Pattern(_) => {
                facts.get(fact).is_some_and(|text| self.matches(text))
            }
            Self::Has(texts) | Self::HasAll(texts) => {
                let has = facts.list(fact).and_then(List::texts);
                has.is_some_and(|has| match self {
                    Self::HasAll(_) => has.is_superset(texts),
                    _ => !has.is_disjoint(texts),
                })
            }
        }
    }

    /// Whether no text matches.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::AnyOf(texts) | Self::Has(texts) | Self::HasAll(texts) => texts.is_empty(),
            Self::Pattern(_) => false,
        }
    }

    /// Whether something matches both. A list may have what either asks for; and an attribute with a
    /// single value is a text and a list.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (one, two) if one.asks_list() && two.asks_list() => true,
            (Self::AnyOf(texts) | Self::Has(texts) | Self::HasAll(texts), matcher)
            | (matcher, Self::AnyOf(texts) | Self::Has(texts) | Self::HasAll(texts)) => {
                texts.iter().any(|text| matcher.matches(text))
            }
            (Self::Pattern(one), Self::Pattern(two)) => one.overlaps(two),
        }
    }

    /// Whether all that matches `other` matches this too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Has(wide), Self::Has(narrow)) => wide.is_superset(narrow),
            (Self::Has(wide), Self::HasAll(narrow)) => !wide.is_disjoint(narrow),
            (Self::HasAll(wide), Self::HasAll(narrow)) => wide.is_subset(narrow),
            // One of them is enough for it, whichever it is.
            (Self::HasAll(wide), Self::Has(narrow)) => {
                wide.len() == 1 && !narrow.is_empty() && narrow.is_subset(wide)
            }
            (Self::Has(_) | Self::HasAll(_), _) | (_, Self::Has(_) | Self::HasAll(_)) => false,
            (matcher, Self::AnyOf(texts)) => texts.iter().all(|text| matcher.matches(text)),
            (Self::AnyOf(texts), Self::Pattern(pattern)) => pattern
                .only_text()
                .is_some_and(|only| texts.contains(&only)),
            (Self::Pattern(wide), Self::Pattern(narrow)) => wide.covers(narrow),
        }
    }

    /// The texts that match, if they can be counted. Of a list, they say nothing of what else it has.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::AnyOf(texts) => Some(texts.iter().cloned().collect()),
            Self::Pattern(pattern) => pattern.only_text().map(|only| vec![only]),
            Self::Has(_) | Self::HasAll(_) => None,
        }
    }

    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::AnyOf(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| printable(text)).collect();
                texts.join(" or ")
            }
            Self::Pattern(pattern) => printable(&pattern.to_string()),
            Self::Has(texts) => format!("a list that has {}", quoted(texts, " or ")),
            Self::HasAll(texts) => format!("a list that has {}", quoted(texts, " and ")),
        }
    }

    /// The one that asks of a list what this asks of a text.
    pub(super) fn of_list(&self, has: &BTreeSet<String>) -> Option<Self> {
        let texts: BTreeSet<String> = match self {
            Self::AnyOf(texts) => texts.intersection(has).cloned().collect(),
            Self::Pattern(_) | Self::Has(_) | Self::HasAll(_) => BTreeSet::new(),
        };
        (!texts.is_empty()).then_some(Self::Has(texts))
    }
}

/// Texts of a list, of which one is enough, or each is needed.
pub(super) fn quoted(texts: &BTreeSet<String>, between: &str) -> String {
    let texts: Vec<String> = texts
        .iter()
        .map(|text| format!("`{}`", printable(text)))
        .collect();
    texts.join(between)
}
