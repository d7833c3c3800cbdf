//! Finding claims that a configuration admits, from what its conditions ask for.

use avouch_core::policy::presets::Preset;
use serde_json::Value;

use super::probes::NOBODY;
use super::strangers::{STRANGERS, stranger};
use super::subjects::signable;
use crate::cel::Budget;
use crate::configuration::Admission;
use crate::glob::Glob;
use crate::sample::{Part, Sample, is_always_there};
use crate::wish::{Want, Wish};

/// How many sets of claims are tried.
const MOST_TRIED: usize = 4_096;

/// How many values are tried of one wish; of patterns of subjects more, because they decide most.
const MOST_OF_ONE: usize = 6;
const MOST_OF_SUBJECT: usize = 2_048;

/// The most sets of claims that are tried in all.
const MOST_IN_ALL: usize = 20_000;

/// Of how many wishes each is left out in turn.
const MOST_LEFT_OUT: usize = 8;

/// Claims that are admitted.
pub(super) struct Start {
    pub(super) sample: Sample,
    /// Whether they lack a claim that every token of their issuer has, so that they show nothing but that
    /// its condition holds without.
    pub(super) lacks_a_claim: bool,
}

/// Claims that are admitted, and that their issuer could sign.
pub(super) fn admitted(admission: &Admission, budget: &mut Budget) -> Option<Start> {
    let mut search = Search {
        admission,
        budget,
        left: MOST_IN_ALL,
    };
    let bases = bases(admission);
    let wishes: Vec<&Wish> = admission.wishes.iter().collect();
    let more: Vec<&Wish> = wishes
        .iter()
        .copied()
        .chain(&admission.hints.more)
        .collect();
    let whole = |sample| Start {
        sample,
        lacks_a_claim: false,
    };
    for base in &bases {
        if let Some(sample) = search.among(base, &wishes) {
            return Some(whole(sample));
        }
    }
    if more.len() > wishes.len() {
        for base in &bases {
            if let Some(sample) = search.among(base, &more) {
                return Some(whole(sample));
            }
        }
    }
    // Of alternatives some stand in each other's way.
    for some in parts_of(&wishes) {
        for base in &bases {
            if let Some(sample) = search.among(base, &some) {
                return Some(whole(sample));
            }
        }
    }
    for base in with_texts(admission, &bases) {
        if let Some(sample) = search.among(&base, &wishes) {
            return Some(whole(sample));
        }
    }
    without_claims(admission, &bases, &wishes, &mut search)
}

/// Parts of what is wished for: nothing, each one left out, each alone.
fn parts_of<'a>(wishes: &[&'a Wish]) -> Vec<Vec<&'a Wish>> {
    let few = wishes.len().min(MOST_LEFT_OUT);
    let but = |at: usize| {
        let others = wishes.iter().enumerate();
        let others = others.filter(|(other, _)| *other != at);
        others.map(|(_, wish)| *wish).collect()
    };
    let alone = wishes.iter().take(few).map(|wish| vec![*wish]);
    let mut parts = vec![Vec::new()];
    parts.extend((0..few).map(but));
    parts.extend(alone);
    parts
}

/// Those of whom a part of a claim is a text that the conditions speak of.
fn with_texts(admission: &Admission, bases: &[Sample]) -> Vec<Sample> {
    let mut all = Vec::new();
    if admission.preset != Some(Preset::GitHub) {
        return all;
    }
    let texts = admission.hints.texts.iter().take(MOST_OF_ONE);
    let texts: Vec<&str> = texts.map(String::as_str).chain(["x/y"]).collect();
    for base in bases {
        for text in &texts {
            let named = [
                ("environment", (*text).to_owned()),
                ("ref", format!("refs/heads/{text}")),
            ];
            for (claim, value) in named {
                let mut sample = base.clone();
                sample.set_text(claim, &value);
                all.push(sample);
            }
        }
    }
    all
}

/// Claims that are admitted because some are not there.
fn without_claims(
    admission: &Admission,
    bases: &[Sample],
    wishes: &[&Wish],
    search: &mut Search<'_>,
) -> Option<Start> {
    let mut paths: Vec<&[String]> = wishes.iter().map(|wish| wish.path.as_slice()).collect();
    paths.extend(admission.hints.avoided.iter().map(Vec::as_slice));
    paths.sort_unstable();
    paths.dedup();
    let mut removals: Vec<Vec<&[String]>> = paths.iter().map(|path| vec![*path]).collect();
    removals.push(paths);
    for removed in &removals {
        let rest = wishes.iter().copied();
        let rest = rest.filter(|wish| !removed.contains(&wish.path.as_slice()));
        let rest: Vec<&Wish> = rest.collect();
        for base in bases {
            let mut base = base.clone();
            for path in removed {
                base.remove(path);
            }
            if let Some(sample) = search.among(&base, &rest) {
                let mut removed = removed.iter();
                return Some(Start {
                    sample,
                    lacks_a_claim: removed.any(|path| {
                        let path: Vec<&str> = path.iter().map(String::as_str).collect();
                        is_always_there(admission.preset, &path)
                    }),
                });
            }
        }
    }
    None
}

struct Search<'a> {
    admission: &'a Admission,
    budget: &'a mut Budget,
    left: usize,
}

impl Search<'_> {
    /// Claims that are admitted, made of these by granting the wishes.
    fn among(&mut self, base: &Sample, wishes: &[&Wish]) -> Option<Sample> {
        if self.left == 0 || self.budget.is_spent() {
            return None;
        }
        let choices: Vec<(&Wish, Vec<Value>)> = wishes
            .iter()
            .map(|wish| (*wish, values(wish, base, self.admission.preset)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        let mut tried = combinations(base, &choices, MOST_TRIED.min(self.left));
        tried.retain(Sample::can_be_signed);
        // Subjects that can be signed come before those that are only texts, those that say where a job
        // runs before those that do not, and plain names before those that are put together.
        tried.sort_by_cached_key(|sample| {
            let says_where = is_written_alike(sample.form(), base.form());
            let length = sample
                .claims()
                .get("sub")
                .map(|subject| subject.to_string().len());
            (!sample.is_composed(), !says_where, length)
        });
        for sample in tried {
            if self.left == 0 || self.budget.is_spent() {
                return None;
            }
            self.left -= 1;
            if self.admission.admits(&sample.claims(), self.budget) {
                return Some(sample);
            }
        }
        None
    }
}

/// Those from whom claims are made: who is usual, and where values are excluded others as well.
fn bases(admission: &Admission) -> Vec<Sample> {
    let audience = admission
        .audiences
        .first()
        .map_or("https://audience.example", String::as_str);
    let usual = Sample::of(admission.preset, &admission.issuer, audience);
    let avoided = &admission.hints.avoided;
    let elsewhere = |of: &Sample, claims: &[Vec<String>]| {
        let mut sample = of.clone();
        for path in claims.iter().filter(|path| *path != &["sub"]) {
            sample.set(path, &Value::String(another(path).to_owned()));
        }
        sample
    };
    let mut bases = vec![usual.clone()];
    let strangers = STRANGERS.map(|name| stranger(admission, &usual, name));
    bases.extend(strangers.clone());
    if avoided.is_empty() {
        return bases;
    }
    bases.push(elsewhere(&usual, avoided));
    bases.extend(strangers.iter().map(|one| elsewhere(one, avoided)));
    for path in avoided.iter().take(MOST_OF_ONE) {
        bases.push(elsewhere(&usual, std::slice::from_ref(path)));
    }
    bases
}

/// Something else than is usual.
fn another(path: &[String]) -> &'static str {
    match path {
        [claim] if claim == "ref" => "refs/heads/zz-nobody",
        [claim] if claim == "ref_type" => "tag",
        [claim] if claim == "event_name" => "workflow_dispatch",
        [claim] if claim == "repository" || claim == "project_path" => "zz-nobody/zz-nobody",
        _ => NOBODY,
    }
}

/// Whether subjects have the same parts, with ids or without.
fn is_written_alike(one: &[Part], other: &[Part]) -> bool {
    let is_alike = |(one, other): (&Part, &Part)| match (one, other) {
        (Part::Repository { .. }, Part::Repository { .. }) => true,
        (one, other) => one == other,
    };
    one.len() == other.len() && one.iter().zip(other).all(is_alike)
}

fn combinations(usual: &Sample, choices: &[(&Wish, Vec<Value>)], most: usize) -> Vec<Sample> {
    let mut samples = vec![usual.clone()];
    // What a subject says comes first, so that what is asked for by name stands in the end.
    let (subjects, others): (Vec<_>, Vec<_>) =
        choices.iter().partition(|(wish, _)| wish.is_about("sub"));
    for (wish, values) in subjects.into_iter().chain(others) {
        let mut next = Vec::new();
        for value in values {
            for sample in &samples {
                if next.len() >= most {
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

fn values(wish: &Wish, usual: &Sample, preset: Option<Preset>) -> Vec<Value> {
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
                if is_subject {
                    let subjects = signable(usual, preset, glob).into_iter();
                    values.extend(subjects.map(Value::String));
                }
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
                    let text = Value::String("x".to_owned());
                    values.extend([text.clone(), Value::Array(vec![text])]);
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
