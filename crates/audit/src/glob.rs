//! Wildcards as IAM has them: `*` stands for any text, also for none and across every divider, and
//! `?` for exactly one character. There is no escape but `${*}`, `${?}` and `${$}`.

use std::collections::BTreeSet;

/// A text with wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glob {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Character(char),
    AnyOne,
    AnyText,
}

/// The most texts that one pattern is filled to.
const MOST_FILLED: usize = 2_048;

impl Glob {
    /// A pattern in which every `*` and `?` is a wildcard.
    pub(crate) fn parse(text: &str) -> Self {
        let pieces = text.chars().map(|character| match character {
            '*' => Piece::AnyText,
            '?' => Piece::AnyOne,
            other => Piece::Character(other),
        });
        Self {
            pieces: pieces.collect(),
        }
    }

    /// A text in which nothing is a wildcard.
    pub(crate) fn literal(text: &str) -> Self {
        Self {
            pieces: text.chars().map(Piece::Character).collect(),
        }
    }

    /// This text, with anything before it or after it or not.
    pub(crate) fn around(before: bool, text: &str, after: bool) -> Self {
        let mut pieces = Self::literal(text).pieces;
        if before {
            pieces.insert(0, Piece::AnyText);
        }
        if after {
            pieces.push(Piece::AnyText);
        }
        Self { pieces }
    }

    /// Reads a value of a policy of the version with variables: `${*}` and the like stand for the
    /// character, and any other variable is none of the token's.
    pub(crate) fn with_variables(text: &str, wildcards: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("${") {
                let (name, tail) = after
                    .split_once('}')
                    .ok_or_else(|| "it has `${` without `}`".to_owned())?;
                match name {
                    "*" | "?" | "$" => pieces.extend(name.chars().map(Piece::Character)),
                    other => return Err(format!("it has the variable `${{{other}}}`")),
                }
                rest = tail;
                continue;
            }
            pieces.push(match character {
                '*' if wildcards => Piece::AnyText,
                '?' if wildcards => Piece::AnyOne,
                other => Piece::Character(other),
            });
            rest = rest.strip_prefix(character).unwrap_or_default();
        }
        Ok(Self { pieces })
    }

    /// Whether the text has this pattern. Linear but for one retry at the last `*`, so no pattern
    /// is dear (each text is compared in at most its length times that of the pattern).
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match (self.pieces.get(piece), text.get(at)) {
                (Some(Piece::AnyText), _) => {
                    retry = Some((piece, at));
                    piece += 1;
                }
                (Some(Piece::AnyOne), Some(_)) => {
                    piece += 1;
                    at += 1;
                }
                (Some(Piece::Character(expected)), Some(seen)) if expected == seen => {
                    piece += 1;
                    at += 1;
                }
                _ => {
                    let Some((star, from)) = retry else {
                        return false;
                    };
                    retry = Some((star, from + 1));
                    piece = star + 1;
                    at = from + 1;
                }
            }
        }
        self.pieces
            .iter()
            .skip(piece)
            .all(|piece| *piece == Piece::AnyText)
    }

    /// Where reading a text begins: the places in the pattern that may come next.
    pub(crate) fn start(&self) -> BTreeSet<usize> {
        self.reached([0])
    }

    /// The places that may come next after one more character.
    pub(crate) fn step(&self, places: &BTreeSet<usize>, character: char) -> BTreeSet<usize> {
        let next = places.iter().filter_map(|at| match self.pieces.get(*at)? {
            Piece::AnyText => Some(*at),
            Piece::AnyOne => Some(at + 1),
            Piece::Character(expected) => (*expected == character).then_some(at + 1),
        });
        self.reached(next)
    }

    /// Whether a text that was read so far has the pattern.
    pub(crate) fn is_through(&self, places: &BTreeSet<usize>) -> bool {
        places.contains(&self.pieces.len())
    }

    /// These places, and those behind each `*` there.
    fn reached(&self, places: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        for mut at in places {
            while reached.insert(at) && self.pieces.get(at) == Some(&Piece::AnyText) {
                at += 1;
            }
        }
        reached
    }

    /// The characters that it has as themselves.
    pub(crate) fn characters(&self) -> impl Iterator<Item = char> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Character(character) => Some(*character),
            Piece::AnyOne | Piece::AnyText => None,
        })
    }

    /// Whether it has wildcards.
    pub(crate) fn is_literal(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Character(_)))
    }

    /// Whether every text has this pattern.
    pub(crate) fn is_anything(&self) -> bool {
        !self.pieces.is_empty() && self.pieces.iter().all(|piece| *piece == Piece::AnyText)
    }

    /// Whether it has this character as itself.
    pub(crate) fn has_character(&self, character: char) -> bool {
        self.pieces.contains(&Piece::Character(character))
    }

    /// Whether it has a wildcard for one character.
    pub(crate) fn has_question_mark(&self) -> bool {
        self.pieces.contains(&Piece::AnyOne)
    }

    /// The text up to the first wildcard.
    pub(crate) fn literal_head(&self) -> String {
        let characters = self.pieces.iter().map_while(|piece| match piece {
            Piece::Character(character) => Some(*character),
            Piece::AnyOne | Piece::AnyText => None,
        });
        characters.collect()
    }

    /// As it would be written, wildcards as themselves.
    pub(crate) fn text(&self) -> String {
        let characters = self.pieces.iter().map(|piece| match piece {
            Piece::Character(character) => *character,
            Piece::AnyOne => '?',
            Piece::AnyText => '*',
        });
        characters.collect()
    }

    /// Texts that match, made by putting each of `fillers` for the first and the last `*`, and
    /// nothing or the first filler for those between.
    pub(crate) fn filled(&self, fillers: &[&str]) -> Vec<String> {
        let stars = self
            .pieces
            .iter()
            .filter(|piece| **piece == Piece::AnyText)
            .count();
        let mut texts = Vec::new();
        let first = fillers.first().copied().unwrap_or("x");
        for one in fillers {
            let others: &[&str] = if stars > 1 { fillers } else { &[""] };
            for other in others {
                if texts.len() >= MOST_FILLED {
                    return texts;
                }
                texts.push(self.fill(stars, one, other, first));
            }
        }
        texts
    }

    fn fill(&self, stars: usize, head: &str, tail: &str, between: &str) -> String {
        let mut text = String::new();
        let mut star = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Character(character) => text.push(*character),
                Piece::AnyOne => text.push('X'),
                Piece::AnyText => {
                    star += 1;
                    text.push_str(match star {
                        1 => head,
                        last if last == stars => tail,
                        _ => between,
                    });
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_iam_says() {
        for (pattern, text, expected) in [
            ("repo:o/r:*", "repo:o/r:ref:refs/heads/main", true),
            ("repo:o/r:*", "repo:o/r", false),
            ("repo:o/*", "repo:o/", true),
            ("repo:o*", "repo:o-evil/x:y", true),
            ("*", "", true),
            ("**", "x", true),
            ("?", "", false),
            ("?", "ß", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*abc", "ababc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("", "", true),
            ("", "x", false),
            ("repo:O/r", "repo:o/r", false),
            ("[a-z]", "b", false),
        ] {
            assert_eq!(
                Glob::parse(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn matching_agrees_with_every_short_pattern_and_text() {
        fn naive(pattern: &[char], text: &[char]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (None, Some(_)) => false,
                (Some(('*', rest)), None) => naive(rest, text),
                (Some(('*', rest)), Some((_, tail))) => naive(rest, text) || naive(pattern, tail),
                (Some(('?', rest)), Some((_, tail))) => naive(rest, tail),
                (Some((one, rest)), Some((other, tail))) => one == other && naive(rest, tail),
                (Some(_), None) => false,
            }
        }
        fn all(letters: &[char], most: usize) -> Vec<Vec<char>> {
            let mut texts = vec![Vec::new()];
            let mut last = texts.clone();
            for _ in 0..most {
                last = last
                    .iter()
                    .flat_map(|text| {
                        letters.iter().map(move |letter| {
                            let mut longer: Vec<char> = text.clone();
                            longer.push(*letter);
                            longer
                        })
                    })
                    .collect();
                texts.extend(last.clone());
            }
            texts
        }
        for pattern in all(&['a', 'b', '*', '?'], 4) {
            let written: String = pattern.iter().collect();
            let glob = Glob::parse(&written);
            for text in all(&['a', 'b'], 4) {
                let said: String = text.iter().collect();
                assert_eq!(
                    glob.matches(&said),
                    naive(&pattern, &text),
                    "{written} {said}"
                );
            }
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_cheap() {
        let pattern = Glob::parse(&"a*".repeat(2_000));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(1_999))));
    }

    #[test]
    fn variables_are_refused_but_for_the_three_that_are_characters() {
        let star = Glob::with_variables("a${*}b${$}${?}*", true);
        assert!(star.as_ref().is_ok_and(|glob| glob.matches("a*b$?x")));
        assert!(star.is_ok_and(|glob| !glob.matches("axb$?")));
        assert!(Glob::with_variables("${aws:PrincipalTag/team}", true).is_err());
        assert!(Glob::with_variables("${open", true).is_err());
        assert!(Glob::with_variables("a*", false).is_ok_and(|glob| glob.is_literal()));
    }
}
