//! Subjects that their issuer could sign, of a pattern that a condition has.

use avouch_core::policy::presets::Preset;

use crate::glob::Glob;
use crate::sample::{Part, Sample, read_subject};

/// Subjects of this pattern, put together from claims: what the pattern says of each, and of the rest what
/// is usual.
pub(super) fn signable(usual: &Sample, preset: Option<Preset>, pattern: &Glob) -> Vec<String> {
    let Some((form, claims)) = read_subject(preset, &pattern.text()) else {
        return Vec::new();
    };
    let mut sample = usual.clone();
    for (claim, said) in &claims {
        let is_usually = usual.value(claim).unwrap_or("x");
        sample.set_text(claim, &filled(said, is_usually));
    }
    let mut forms = vec![form.clone()];
    if !form.contains(&Part::Context) {
        // What follows is left open.
        forms.push(form.iter().cloned().chain([Part::Context]).collect());
    }
    let subjects = forms.into_iter().map(|form| {
        sample.set_form(form);
        let claims = sample.claims();
        let subject = claims.get("sub").and_then(|subject| subject.as_str());
        subject.unwrap_or_default().to_owned()
    });
    let subjects: Vec<String> = subjects.collect();
    let of_pattern = subjects
        .into_iter()
        .filter(|subject| pattern.matches(subject));
    of_pattern.collect()
}

/// What is said, with what is usual for its wildcards: each part of a path by itself.
fn filled(said: &str, is_usually: &str) -> String {
    let mut usual = is_usually.split('/');
    let parts: Vec<String> = match said.split('/').count() == is_usually.split('/').count() {
        true => said
            .split('/')
            .map(|part| one_filled(part, usual.next().unwrap_or("x")))
            .collect(),
        false => vec![one_filled(said, is_usually)],
    };
    parts.join("/")
}

fn one_filled(said: &str, is_usually: &str) -> String {
    let glob = Glob::parse(said);
    if glob.is_literal() {
        return said.to_owned();
    }
    if glob.matches(is_usually) {
        return is_usually.to_owned();
    }
    let fillers = ["", is_usually, "x"];
    glob.filled(&fillers).into_iter().next().unwrap_or_default()
}
