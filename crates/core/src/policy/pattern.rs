//! Patterns over texts that are made of segments: SPIFFE paths, refs, repository names.
//!
//! `*` stands for exactly one segment and a last `**` for one or more, so nothing can cross a `/`
//! by accident: `org/*` is not `org-evil/x`, and `org/repo` is not `org/repo-evil`.

use std::fmt;

/// A pattern of segments divided by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    segments: Vec<Segment>,
    /// Whether one or more further segments of any kind follow.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    /// Exactly one segment, whatever it is.
    Any,
    /// Exactly this.
    Exact(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the detail of a refusal.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the pattern is empty");
        }
        let (body, open) = match text.strip_suffix("/**") {
            Some(body) => (body, true),
            None => (text, false),
        };
        let mut segments = Vec::new();
        for (index, segment) in body.split('/').enumerate() {
            segments.push(match segment {
                "*" => Segment::Any,
                "." | ".." => return Err("the pattern has the segment `.` or `..`"),
                // Only a leading `/` makes an empty segment that means something.
                "" if index > 0 || body.is_empty() && !open => {
                    return Err("the pattern has an empty segment");
                }
                exact if exact.contains('*') => {
                    return Err("`*` stands for a whole segment, and `**` only for the last ones");
                }
                exact => Segment::Exact(exact.to_owned()),
            });
        }
        Ok(Self { segments, open })
    }

    /// Whether the text has this pattern.
    pub fn matches(&self, text: &str) -> bool {
        let mut pieces = text.split('/');
        for segment in &self.segments {
            let Some(piece) = pieces.next() else {
                return false;
            };
            let fits = match segment {
                Segment::Any => is_name(piece),
                Segment::Exact(exact) => piece == exact,
            };
            if !fits {
                return false;
            }
        }
        let mut rest = pieces.peekable();
        rest.peek().is_some() == self.open && rest.all(is_name)
    }

    /// Whether some text has both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let lengths_meet = match (self.open, other.open) {
            (true, true) => true,
            (true, false) => self.segments.len() < other.segments.len(),
            (false, true) => other.segments.len() < self.segments.len(),
            (false, false) => self.segments.len() == other.segments.len(),
        };
        // What `**` stands for is a name, never the empty segment before a leading `/`; the
        // patterns are compared up to the shorter, and the first segment is in both.
        lengths_meet
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(one, two)| match (one, two) {
                    (Segment::Any, Segment::Any) => true,
                    (Segment::Any, Segment::Exact(exact))
                    | (Segment::Exact(exact), Segment::Any) => is_name(exact),
                    (Segment::Exact(one), Segment::Exact(two)) => one == two,
                })
    }

    /// Whether every text that has the pattern `other` has this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let lengths_fit = match (self.open, other.open) {
            (true, true) => self.segments.len() <= other.segments.len(),
            (true, false) => self.segments.len() < other.segments.len(),
            (false, true) => false,
            (false, false) => self.segments.len() == other.segments.len(),
        };
        lengths_fit
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(wide, narrow)| match (wide, narrow) {
                    (Segment::Any, Segment::Any) => true,
                    (Segment::Any, Segment::Exact(exact)) => is_name(exact),
                    (Segment::Exact(_), Segment::Any) => false,
                    (Segment::Exact(one), Segment::Exact(two)) => one == two,
                })
    }

    /// Whether it asks for no segment in particular, so that it names nobody.
    pub fn names_nothing(&self) -> bool {
        let mut segments = self.segments.iter();
        segments.all(|segment| matches!(segment, Segment::Any))
    }

    /// The one text that has it, if there is only one.
    pub fn only_text(&self) -> Option<String> {
        if self.open || self.segments.contains(&Segment::Any) {
            return None;
        }
        Some(self.to_string())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            match segment {
                Segment::Any => f.write_str("*")?,
                Segment::Exact(exact) => f.write_str(exact)?,
            }
        }
        if self.open {
            f.write_str("/**")
        } else {
            Ok(())
        }
    }
}

/// Whether a wildcard may stand for this segment: a name, not nothing and not a step elsewhere.
fn is_name(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_is_one_segment_and_two_are_one_or_more() {
        for (text, yes, no) in [
            (
                "/ns/*/sa/*",
                vec!["/ns/a/sa/b"],
                vec![
                    "/ns/a/sa",
                    "/ns/a/sa/b/c",
                    "ns/a/sa/b",
                    "/ns//sa/b",
                    "/ns/../sa/b",
                ],
            ),
            (
                "/ns/**",
                vec!["/ns/a", "/ns/a/b"],
                vec!["/ns", "/ns/", "/nsx/a", "/ns/a/", "/ns/a/../b"],
            ),
            (
                "org/*",
                vec!["org/repo"],
                vec!["org-evil/repo", "org/repo/x", "org/", "Org/repo"],
            ),
            (
                "org/repo",
                vec!["org/repo"],
                vec!["org/repo-evil", "org/rep", "org/repo/"],
            ),
            ("/**", vec!["/a", "/a/b"], vec!["/", "a"]),
            ("*", vec!["a"], vec!["", "a/b"]),
        ] {
            for value in yes {
                assert!(pattern(text).matches(value), "{text} should match {value}");
            }
            for value in no {
                assert!(
                    !pattern(text).matches(value),
                    "{text} should not match {value}"
                );
            }
        }
    }

    #[test]
    fn what_would_be_read_two_ways_is_refused() {
        for text in [
            "", "/", "a//b", "a/", "repo-*", "a/**/b", "**", "***", "a/../b", "./a",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn overlap_and_cover_agree_with_every_short_text() {
        // All texts of up to four segments over a small alphabet, with and without leading `/`.
        let names = ["a", "b", ""];
        let mut texts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut longest = texts.clone();
        for _ in 0..3 {
            longest = longest
                .iter()
                .flat_map(|text| names.iter().map(move |name| format!("{text}/{name}")))
                .collect();
            texts.extend(longest.clone());
        }
        let patterns: Vec<Pattern> = [
            "a", "*", "a/b", "*/b", "a/*", "*/*", "a/**", "*/**", "/a", "/*", "/**", "/a/*",
            "/*/b", "/a/**", "*/b/**", "a/*/b", "/*/**",
        ]
        .map(pattern)
        .to_vec();
        for one in &patterns {
            for two in &patterns {
                let both = texts
                    .iter()
                    .any(|text| one.matches(text) && two.matches(text));
                assert_eq!(one.overlaps(two), both, "overlap of {one} and {two}");
                let within = texts
                    .iter()
                    .all(|text| one.matches(text) || !two.matches(text));
                assert_eq!(one.covers(two), within, "{one} covers {two}");
            }
        }
    }

    #[test]
    fn a_pattern_is_printed_as_it_was_read() {
        for text in ["/ns/*/sa/**", "a", "*/b", "/**"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("a/b").only_text().as_deref(), Some("a/b"));
        assert_eq!(pattern("a/*").only_text(), None);
    }
}
