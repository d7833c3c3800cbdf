//! The tightest trust in Avouch that covers what a configuration means, and what it cannot say.

use std::collections::{BTreeMap, BTreeSet};

use avouch_core::policy::pattern::Pattern;
use avouch_core::policy::presets::Preset;
use avouch_core::reason::printable;
use serde_json::{Map, Value, json};

use crate::configuration::Admission;
use crate::glob::Glob;
use crate::sample::{read_subject, shape};
use crate::wish::{Want, Wish};

/// Trust in Avouch, in the place of an admission elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// A trust document with the issuer.
    pub anchor: Value,
    /// An exchange rule on it.
    pub rule: Value,
    /// What it does not say, or says otherwise, one sentence each.
    pub left: Vec<String>,
}

/// Carries an admission over. `claims` are those of a token that should be admitted: ids are taken
/// from them, since names alone are not enough.
pub fn carried(admission: &Admission, claims: Option<&Map<String, Value>>) -> Carried {
    let mut carrier = Carrier {
        preset: admission.preset,
        facts: BTreeMap::new(),
        left: admission.uncarried.clone(),
    };
    for wish in &admission.wishes {
        carrier.wish(wish);
    }
    carrier.pin(&admission.issuer, claims);
    let facts = Value::Object(carrier.facts.clone().into_iter().collect());
    let name = admission.preset.map_or("imported", Preset::name);
    let reason = format!("carried over from {}", admission.place);
    let anchor = json!({
        "anchors": [{
            "name": name,
            "issuer": admission.issuer,
            "audiences": admission.audiences,
            "rules": [{"name": "imported", "facts": facts}],
            "owner": "WHO-ANSWERS-FOR-IT",
            "reason": reason,
        }],
    });
    let rule = json!({
        "from": {"anchor": name, "facts": facts},
        "gives": {
            "spiffe_id": format!("spiffe://YOUR-TRUST-DOMAIN/imported/{name}"),
            "audiences": ["WHERE-IT-IS-USED"],
        },
        "subject_audiences": admission.audiences,
        "owner": "WHO-ANSWERS-FOR-IT",
        "reason": reason,
    });
    if carrier.facts.is_empty() {
        carrier
            .left
            .push("it names nobody, and nothing is given to everybody here".to_owned());
    }
    Carried {
        anchor,
        rule,
        left: carrier.left,
    }
}

struct Carrier {
    preset: Option<Preset>,
    facts: BTreeMap<String, Value>,
    left: Vec<String>,
}

impl Carrier {
    fn wish(&mut self, wish: &Wish) {
        if wish.is_about("aud") {
            return;
        }
        if wish.is_about("sub") {
            return self.subject(wish);
        }
        let path: Vec<&str> = wish.path.iter().map(String::as_str).collect();
        let texts: Vec<String> = wish
            .any
            .iter()
            .filter_map(|want| match want {
                Want::Glob(glob) => Some(glob.text()),
                Want::Value(Value::Bool(flag)) => Some(flag.to_string()),
                Want::Value(Value::Number(number)) => Some(number.to_string()),
                Want::ListWith(_) | Want::Present | Want::Value(_) => None,
            })
            .collect();
        if texts.len() < wish.any.len() {
            self.left.push(format!(
                "what is asked of `{}`: lists and bare presence are no facts",
                printable(&path.join("."))
            ));
            return;
        }
        self.fact_of(&path, &texts);
    }

    fn fact_of(&mut self, path: &[&str], texts: &[String]) {
        let known = self.preset.and_then(|preset| preset.fact_of_claim(path));
        let name = match (known, path) {
            (Some(fact), _) => fact.to_owned(),
            (None, [claim]) => format!("claims.{claim}"),
            (None, _) => {
                self.left
                    .push(format!("`{}` is no fact here", printable(&path.join("."))));
                return;
            }
        };
        self.fact(&name, texts);
    }

    fn subject(&mut self, wish: &Wish) {
        let globs: Vec<&Glob> = wish.globs().collect();
        if let [one] = globs.as_slice()
            && let Some((_, claims)) = read_subject(self.preset, &one.text())
        {
            for (claim, value) in claims {
                let path: &[&str] = match claim.as_str() {
                    "namespace" => &["kubernetes.io", "namespace"],
                    "service_account" => &["kubernetes.io", "serviceaccount", "name"],
                    "organization" => continue,
                    other => &[other],
                };
                // A pull request is known by its event; its ref is its number.
                if claim == "ref" && value == "refs/pull/7/merge" {
                    continue;
                }
                self.fact_of(path, &[value]);
            }
            return;
        }
        let texts: Vec<String> = globs.iter().map(|glob| glob.text()).collect();
        self.fact("subject", &texts);
    }

    fn fact(&mut self, name: &str, texts: &[String]) {
        let mut exact = BTreeSet::new();
        let mut patterns = Vec::new();
        for text in texts {
            match matcher(text) {
                Some(Matched::Anything) => return,
                Some(Matched::Exactly) => {
                    exact.insert(text.clone());
                }
                Some(Matched::Pattern(pattern)) => patterns.push(pattern),
                None => self.left.push(format!(
                    "`{name} = {}`: a wildcard stands for whole segments here, never inside a name",
                    printable(text)
                )),
            }
        }
        let value = match (exact.len(), patterns.as_slice()) {
            (0, []) => return,
            (1, []) => exact.into_iter().next().map_or(Value::Null, Value::String),
            (_, []) => Value::from(exact.into_iter().collect::<Vec<_>>()),
            (0, [one]) => json!({ "pattern": one }),
            _ => {
                self.left.push(format!(
                    "`{name}`: several patterns are several rules; only the first stands here"
                ));
                patterns
                    .first()
                    .map_or(Value::Null, |one| json!({ "pattern": one }))
            }
        };
        self.facts.insert(name.to_owned(), value);
    }

    /// Adds the ids by which what is named is known for good.
    fn pin(&mut self, issuer: &str, claims: Option<&Map<String, Value>>) {
        let Some(preset) = self.preset else { return };
        let shape = shape(self.preset);
        let named = [Some(shape.object), shape.tenant];
        let is_pinned = self
            .facts
            .iter()
            .any(|(fact, value)| preset.pins().contains(&fact.as_str()) && !value.is_object());
        for named in named.into_iter().flatten() {
            let Some(id) = named.id else { continue };
            let Some(fact) = preset.fact_of_claim(&[id]) else {
                continue;
            };
            if self.facts.contains_key(fact) {
                continue;
            }
            let seen = claims
                .and_then(|claims| claims.get(id))
                .and_then(Value::as_str);
            if let Some(seen) = seen {
                self.facts.insert(fact.to_owned(), json!(seen));
                return;
            }
        }
        if is_pinned || Preset::shared_with(issuer).is_none() {
            return;
        }
        let id = shape.object.id.and_then(|id| preset.fact_of_claim(&[id]));
        if let Some(fact) = id {
            self.facts.insert(fact.to_owned(), json!("THE-ID-OF-IT"));
            self.left.push(format!(
                "names alone pass to others, so `{fact}` must be named: give claims of a token with \
                 --claims, or put it in the place of THE-ID-OF-IT"
            ));
        }
    }
}

enum Matched {
    Anything,
    Exactly,
    Pattern(String),
}

/// What a text with wildcards is in a rule; the narrowest that it could mean.
fn matcher(text: &str) -> Option<Matched> {
    let glob = Glob::parse(text);
    if glob.is_literal() {
        return Some(Matched::Exactly);
    }
    if text == "*" {
        return Some(Matched::Anything);
    }
    let pattern = match text.strip_suffix("/*") {
        // A repository is one segment, a branch may be several.
        Some(head) if head.contains('/') => format!("{head}/**"),
        _ => text.to_owned(),
    };
    let has_question_mark = glob.has_question_mark();
    (!has_question_mark && Pattern::parse(&pattern).is_ok()).then_some(Matched::Pattern(pattern))
}
