//! Whether any text is what several conditions ask for at once. Patterns of wildcards and their
//! negations are regular, so this can be told for certain, within a bound.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::glob::Glob;

/// The most states that are looked at; a condition with whole names takes some hundred.
const MOST_STATES: usize = 4_000;

/// Texts that have one of these patterns, or none of them.
#[derive(Clone, Debug)]
pub(crate) struct Language {
    pub(crate) any: Vec<Glob>,
    pub(crate) is_negated: bool,
    /// Whether patterns are in small letters, and so is what is compared with them.
    pub(crate) folds_case: bool,
}

/// What is known of a text that is what all ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Common {
    /// This is one.
    Text(String),
    /// There is none.
    None,
    /// It takes too much to tell.
    NotKnown,
}

/// For each pattern the places that it may have come to.
type State = Vec<BTreeSet<usize>>;

/// The shortest text that is in all of these, made of characters that are not `excluded`.
pub(crate) fn common(languages: &[Language], excluded: &[char]) -> Common {
    let patterns: Vec<(&Glob, bool)> = languages
        .iter()
        .flat_map(|language| language.any.iter().map(|glob| (glob, language.folds_case)))
        .collect();
    let alphabet = alphabet(&patterns, excluded);
    let start: State = patterns.iter().map(|(glob, _)| glob.start()).collect();
    let mut came_from: BTreeMap<State, Option<(State, char)>> = BTreeMap::new();
    let mut waiting = VecDeque::from([start.clone()]);
    came_from.insert(start, None);
    while let Some(state) = waiting.pop_front() {
        if is_in_all(languages, &patterns, &state) {
            return Common::Text(spelt(&came_from, state));
        }
        if came_from.len() > MOST_STATES {
            return Common::NotKnown;
        }
        for character in &alphabet {
            let next: State = patterns
                .iter()
                .zip(&state)
                .map(|((glob, folds_case), places)| {
                    let folded = character.to_lowercase().next().filter(|_| *folds_case);
                    glob.step(places, folded.unwrap_or(*character))
                })
                .collect();
            if !came_from.contains_key(&next) {
                came_from.insert(next.clone(), Some((state.clone(), *character)));
                waiting.push_back(next);
            }
        }
    }
    Common::None
}

/// The characters that patterns tell from others, and one that they do not.
fn alphabet(patterns: &[(&Glob, bool)], excluded: &[char]) -> BTreeSet<char> {
    let mut alphabet: BTreeSet<char> = patterns
        .iter()
        .flat_map(|(glob, _)| glob.characters())
        .collect();
    if patterns.iter().any(|(_, folds_case)| *folds_case) {
        let large = alphabet.iter().flat_map(|one| one.to_uppercase());
        let large: Vec<char> = large.collect();
        alphabet.extend(large);
        // The sign of Kelvin is the one that becomes a letter of ASCII.
        alphabet.insert('\u{212a}');
    }
    let others = ('a'..='z').chain('\u{4e00}'..);
    alphabet.extend(others.into_iter().find(|one| !alphabet.contains(one)));
    alphabet.retain(|one| !excluded.contains(one));
    alphabet
}

fn is_in_all(languages: &[Language], patterns: &[(&Glob, bool)], state: &State) -> bool {
    let mut matched = patterns
        .iter()
        .zip(state)
        .map(|((glob, _), places)| glob.is_through(places));
    languages.iter().all(|language| {
        let here = matched.by_ref().take(language.any.len());
        let is_any = here.fold(false, |any, one| any | one);
        is_any != language.is_negated
    })
}

fn spelt(came_from: &BTreeMap<State, Option<(State, char)>>, end: State) -> String {
    let mut text = Vec::new();
    let mut state = &end;
    while let Some(Some((before, character))) = came_from.get(state) {
        text.push(*character);
        state = before;
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(patterns: &[&str], is_negated: bool) -> Language {
        Language {
            any: patterns.iter().map(|one| Glob::parse(one)).collect(),
            is_negated,
            folds_case: false,
        }
    }

    fn common_of(asked: &[&[&str]], refused: &[&[&str]]) -> Common {
        let asked = asked.iter().map(|one| language(one, false));
        let refused = refused.iter().map(|one| language(one, true));
        common(&asked.chain(refused).collect::<Vec<_>>(), &['*', '?'])
    }

    #[test]
    fn a_text_is_found_or_there_is_none() {
        let text = |text: &str| Common::Text(text.to_owned());
        assert_eq!(common_of(&[&["a*"], &["*b"]], &[]), text("ab"));
        assert_eq!(common_of(&[&["a*"], &["b*"]], &[]), Common::None);
        assert_eq!(common_of(&[&["a", "b"]], &[&["a"]]), text("b"));
        assert_eq!(common_of(&[&["a"]], &[&["a*"]]), Common::None);
        assert_eq!(common_of(&[&["repo:o/*"]], &[&["repo:*"]]), Common::None);
        assert_eq!(common_of(&[], &[&["*"]]), Common::None);
        assert_eq!(common_of(&[&["?"]], &[&["?"]]), Common::None);
        assert_eq!(common_of(&[&["?"]], &[&["a"]]), text("b"));
        assert_eq!(common_of(&[&[]], &[]), Common::None);
        let literal = Language {
            any: vec![Glob::literal("a*")],
            is_negated: false,
            folds_case: false,
        };
        assert_eq!(common(std::slice::from_ref(&literal), &['*']), Common::None);
        assert_eq!(common(&[literal], &[]), text("a*"));
    }

    #[test]
    fn letters_may_be_large_or_small() {
        let folded = Language {
            any: vec![Glob::parse("ab")],
            is_negated: false,
            folds_case: true,
        };
        let exact = |text: &str| language(&[text], false);
        let found = common(&[folded.clone(), exact("Ab")], &[]);
        assert_eq!(found, Common::Text("Ab".to_owned()));
        assert_eq!(common(&[folded, exact("ac")], &[]), Common::None);
    }

    #[test]
    fn what_takes_too_much_is_not_known() {
        let many: Vec<Language> = (0..12)
            .map(|n| language(&[&format!("*{}?????????{}", n % 7, n % 3)], false))
            .collect();
        assert_eq!(common(&many, &[]), Common::NotKnown);
    }
}
