//! Finding claims that a configuration admits, from what its conditions ask for.

use serde_json::Value;

use crate::cel::Budget;
use crate::configuration::Admission;
use crate::glob::Glob;
use crate::sample::{Part, Sample};
use crate::wish::{Want, Wish};

/// How many sets of claims are tried.
const MOST_TRIED: usize = 4_096;

/// How many values are tried of one wish; of patterns of subjects more, because they decide most.
const MOST_OF_ONE: usize = 6;
const MOST_OF_SUBJECT: usize = 2_048;

/// Claims that are admitted, and that their issuer could sign.
pub(super) fn admitted(admission: &Admission, budget: &mut Budget) -> Option<Sample> {
    let audience = admission
        .audiences
        .first()
        .map_or("https://audience.example", String::as_str);
    let usual = Sample::of(admission.preset, &admission.issuer, audience);
    let choices: Vec<(&Wish, Vec<Value>)> = admission
        .wishes
        .iter()
        .map(|wish| (wish, values(wish, &usual)))
        .filter(|(_, values)| !values.is_empty())
        .collect();
    let mut tried = combinations(&usual, &choices);
    tried.retain(Sample::can_be_signed);
    // Subjects that can be signed come before those that are only texts, those that say where a job
    // runs before those that do not, and plain names before those that are put together.
    tried.sort_by_cached_key(|sample| {
        let says_where = is_written_alike(sample.form(), usual.form());
        let length = sample
            .claims()
            .get("sub")
            .map(|subject| subject.to_string().len());
        (!sample.is_composed(), !says_where, length)
    });
    for sample in tried {
        if admission.admits(&sample.claims(), budget) {
            return Some(sample);
        }
        if budget.is_spent() {
            break;
        }
    }
    None
}

/// Whether subjects have the same parts, with ids or without.
fn is_written_alike(one: &[Part], other: &[Part]) -> bool {
    let is_alike = |(one, other): (&Part, &Part)| match (one, other) {
        (Part::Repository { .. }, Part::Repository { .. }) => true,
        (one, other) => one == other,
    };
    one.len() == other.len() && one.iter().zip(other).all(is_alike)
}

fn combinations(usual: &Sample, choices: &[(&Wish, Vec<Value>)]) -> Vec<Sample> {
    let mut samples = vec![usual.clone()];
    // What a subject says comes first, so that what is asked for by name stands in the end.
    let (subjects, others): (Vec<_>, Vec<_>) =
        choices.iter().partition(|(wish, _)| wish.is_about("sub"));
    for (wish, values) in subjects.into_iter().chain(others) {
        let mut next = Vec::new();
        for value in values {
            for sample in &samples {
                if next.len() >= MOST_TRIED {
                    break;
                }
                let mut sample = sample.clone();
                sample.set(&wish.path, value);
                next.push(sample);
            }
        }
        samples = next;
    }
    samples
}

fn values(wish: &Wish, usual: &Sample) -> Vec<Value> {
    let is_subject = wish.is_about("sub");
    let most = if is_subject {
        MOST_OF_SUBJECT
    } else {
        MOST_OF_ONE
    };
    let mut values = Vec::new();
    for want in &wish.any {
        match want {
            Want::Glob(glob) => {
                let claims = usual.claims();
                let name = wish.path.last().map_or("", String::as_str);
                let usual = claims.get(name).and_then(Value::as_str).unwrap_or("x");
                values.extend(texts(glob, usual).into_iter().map(Value::String));
            }
            Want::ListWith(glob) => values.push(Value::Array(vec![Value::String(glob.text())])),
            Want::Present => {
                let is_there = wish
                    .path
                    .first()
                    .is_some_and(|first| usual.claims().contains_key(first));
                if !is_there {
                    values.push(Value::String("x".to_owned()));
                }
            }
            Want::Value(value) => values.push(value.clone()),
        }
        values.truncate(most);
    }
    values
}

/// Texts of a pattern: its wildcards filled with pieces of what the claim usually is.
pub(super) fn texts(glob: &Glob, usual: &str) -> Vec<String> {
    if glob.is_literal() {
        return vec![glob.text()];
    }
    if glob.matches(usual) {
        let mut texts = vec![usual.to_owned()];
        texts.extend(glob.filled(&pieces(usual)));
        return texts;
    }
    glob.filled(&pieces(usual))
}

/// What stands in a text between any two of its dividers, with the first and without, its segments,
/// and nothing.
fn pieces(text: &str) -> Vec<&str> {
    let dividers = text
        .char_indices()
        .filter(|(_, character)| matches!(character, ':' | '/'))
        .map(|(at, _)| at);
    let mut ends: Vec<usize> = dividers.collect();
    ends.push(text.len());
    let mut pieces = Vec::new();
    for (index, start) in ends.iter().enumerate() {
        // The longest first: what stands to the end is most often what a last wildcard is for.
        for end in ends.iter().skip(index + 1).rev() {
            let piece = text.get(*start..*end).unwrap_or_default();
            pieces.push(piece);
            pieces.push(piece.get(1..).unwrap_or_default());
        }
    }
    pieces.push(text);
    pieces.push("");
    pieces.extend(text.split([':', '/']));
    pieces.push("x");
    pieces
}
