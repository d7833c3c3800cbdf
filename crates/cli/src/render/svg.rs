//! What pictures have in common: each stands alone, with no script, no style from elsewhere and nothing
//! fetched, and what came from outside means nothing in it.

use avouch_core::reason::printable;

/// The head of each arrow, to which `marker-end="url(#to)"` refers.
pub(super) const ARROW: &str = "<defs><marker id=\"to\" markerWidth=\"8\" markerHeight=\"8\" refX=\"7\" \
    refY=\"4\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n";

/// The head and the end of what is too long: names differ at both.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most / 2).collect();
    let end: String = text.chars().skip(count - (most / 2 - 1)).collect();
    format!("{head}…{end}")
}

/// As text in XML, with nothing left that means something there.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for character in printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            other => safe.push(other),
        }
    }
    safe
}
