//! The tightest trust in Avouch that covers what a configuration means, and what it cannot say.
//!
//! Whoever a rule admits that stands here, the configuration admits, but for what an issuer writes in a claim
//! that becomes a group or a UID there and is of the wrong type. What no fact says is said in
//! words, and then there is no rule: one without it would admit more.

use std::collections::{BTreeMap, BTreeSet};

use avouch_core::policy::facts::{CLAIMS, SUBJECT};
use avouch_core::policy::matcher::Matcher;
use avouch_core::policy::pattern::Pattern;
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use avouch_core::reason::printable;
use serde_json::{Map, Value, json};

use crate::configuration::Admission;
use crate::glob::Glob;
use crate::sample::{Sample, is_always_there, read_subject, said_by_claims, shape};
use crate::wish::{Want, Wish};

/// Trust in Avouch, in the place of an admission elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// What says it here; nothing if a part that must hold could not be said.
    pub draft: Option<Draft>,
    /// What it does not say, or says otherwise, one sentence each.
    pub left: Vec<String>,
}

/// Documents to be completed and applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// A trust document with the issuer.
    pub anchor: Value,
    /// An exchange rule on it.
    pub rule: Value,
}

/// Carries an admission over. `claims` are those of a token that should be admitted: ids are taken
/// from them, since names alone are not enough.
pub fn carried(admission: &Admission, claims: Option<&Map<String, Value>>) -> Carried {
    let mut carrier = Carrier {
        preset: admission.preset,
        facts: BTreeMap::new(),
        left: admission.asks.unsaid.clone(),
        is_whole: admission.asks.unsaid.is_empty(),
        subject: None,
        audiences: admission.audiences.clone(),
        usual: Sample::of(admission.preset, &admission.issuer, "x").claims(),
        values: BTreeMap::new(),
        claims: claims.cloned().unwrap_or_default(),
    };
    carrier.left.extend(admission.asks.narrowed.iter().cloned());
    let (bare, said): (Vec<_>, Vec<_>) =
        admission.asks.said.iter().partition(|wish| wish.is_bare());
    for wish in said {
        carrier.wish(wish);
    }
    // What is asked for by its value is there.
    for wish in bare {
        carrier.presence(wish);
    }
    carrier.pin(&admission.issuer, claims);
    if carrier.facts.is_empty() {
        carrier.refuse("it names nobody, and nothing is given to everybody here".to_owned());
    }
    Carried {
        draft: carrier.is_whole.then(|| carrier.draft(admission)),
        left: carrier.left,
    }
}

struct Carrier {
    preset: Option<Preset>,
    facts: BTreeMap<String, Matcher>,
    left: Vec<String>,
    /// Whether everything that must hold is said.
    is_whole: bool,
    /// How the subject was said, if anything was asked of it.
    subject: Option<Said>,
    /// For whom tokens may be, as far as all that is asked of it is met.
    audiences: Vec<String>,
    /// Claims as its issuer writes them.
    usual: Map<String, Value>,
    /// Whether each claim is asked to be a flag or a number.
    values: BTreeMap<String, bool>,
    /// The claims of a token that should be admitted, if there are any.
    claims: Map<String, Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Itself,
    ByItsParts,
}

impl Carrier {
    fn draft(&self, admission: &Admission) -> Draft {
        let facts = self.facts.iter();
        let facts: Map<String, Value> = facts
            .map(|(fact, matcher)| (fact.clone(), written(matcher)))
            .collect();
        let name = admission.preset.map_or("imported", Preset::name);
        let reason = format!("carried over from {}", admission.place);
        let mut issuer = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("issuer".to_owned(), json!(admission.issuer)),
            ("audiences".to_owned(), json!(self.audiences)),
            (
                "rules".to_owned(),
                json!([{"name": "imported", "facts": facts}]),
            ),
            ("owner".to_owned(), json!("WHO-ANSWERS-FOR-IT")),
            ("reason".to_owned(), json!(reason)),
        ]);
        if !admission.parties.is_empty() {
            issuer.insert("authorized_parties".to_owned(), json!(admission.parties));
        }
        let anchor = json!({ "anchors": [issuer] });
        let rule = json!({
            "from": {"anchor": name, "facts": facts},
            "gives": {
                "spiffe_id": format!("spiffe://YOUR-TRUST-DOMAIN/imported/{name}"),
                "audiences": ["WHERE-IT-IS-USED"],
            },
            "subject_audiences": self.audiences,
            "owner": "WHO-ANSWERS-FOR-IT",
            "reason": reason,
        });
        Draft { anchor, rule }
    }

    /// Says what no fact says, without which there is no rule.
    fn refuse(&mut self, why: String) {
        self.left.push(why);
        self.is_whole = false;
    }

    fn wish(&mut self, wish: &Wish) {
        let claim = printable(&wish.path.join("."));
        let globs: Vec<Glob> = wish.any.iter().filter_map(text_asked_for).collect();
        if wish.is_of_list() {
            self.list(wish, &claim);
        } else if globs.len() < wish.any.len() {
            self.refuse(format!(
                "what is asked of `{claim}`: objects and bare presence are no facts"
            ));
        } else if wish.is_about("sub") {
            self.subject(&globs);
        } else if wish.is_about("aud") {
            self.audience(&globs);
        } else {
            self.check_kind(wish, &claim);
            self.claim(&wish.path, &globs);
        }
    }

    /// Asks a list for one of these. A list of other things than texts is no fact, so this admits fewer.
    fn list(&mut self, wish: &Wish, claim: &str) {
        let of_list = wish.any.iter().filter_map(|want| match want {
            Want::ListWith(glob) => Some(glob),
            Want::Glob(_) | Want::Present | Want::Value(_) => None,
        });
        let of_list: Vec<&Glob> = of_list.collect();
        if of_list.len() < wish.any.len() {
            return self.refuse(format!(
                "`{claim}`: it may be a list or something else, which are two rules"
            ));
        }
        if let Some(glob) = of_list.iter().find(|glob| !glob.is_literal()) {
            return self.refuse(format!(
                "`{claim}` has `{}`: values of lists are compared exactly here",
                printable(&glob.text())
            ));
        }
        let path: Vec<&str> = wish.path.iter().map(String::as_str).collect();
        let Some(fact) = self.fact_of(&path).filter(|fact| fact.starts_with(CLAIMS)) else {
            return self.refuse(format!("`{claim}` is no list that is a fact here"));
        };
        let narrowed = format!(
            "`{claim}`: a list with anything else than texts, or with over 256 values, is no fact here"
        );
        if !self.left.contains(&narrowed) {
            self.left.push(narrowed);
        }
        let texts = of_list.into_iter().map(Glob::text).collect();
        self.require(&fact, Matcher::Has(texts));
    }

    /// Of the audiences, those that are asked for once more.
    fn audience(&mut self, globs: &[Glob]) {
        let is_asked_for = |audience: &String| globs.iter().any(|glob| glob.matches(audience));
        self.audiences.retain(is_asked_for);
        if self.audiences.is_empty() {
            self.refuse("the audience: one must be named here, without wildcards".to_owned());
        }
    }

    /// Facts are texts, also where a claim is a flag or a number. Where its issuer writes another kind than
    /// is asked for, nobody is meant; where that is not known, a token that writes it otherwise comes in.
    fn check_kind(&mut self, wish: &Wish, claim: &str) {
        let of_text = |glob: &Glob| match glob.is_anything() {
            true => Kind::Ambiguous,
            false => Kind::of_text(&glob.text()),
        };
        let asked: Vec<Kind> = wish
            .any
            .iter()
            .filter_map(|want| match want {
                Want::Glob(glob) => Some(of_text(glob)),
                Want::Value(value) => Kind::of(value),
                Want::ListWith(_) | Want::Present => None,
            })
            .collect();
        let (first, rest) = match wish.path.split_first() {
            Some((first, rest)) => (self.usual.get(first), rest),
            None => (None, &[][..]),
        };
        let usual = rest
            .iter()
            .try_fold(first, |value, member| value.map(|value| value.get(member)));
        let usual = self.preset.and(usual.flatten().and_then(Kind::of));
        let is_text = |kind: &Kind| *kind != Kind::Value;
        match usual {
            Some(Kind::Value) if asked.iter().all(is_text) => self.refuse(format!(
                "`{claim}`: it is no text in tokens of this issuer, so nobody is meant"
            )),
            Some(Kind::Ambiguous | Kind::Text) if asked.contains(&Kind::Value) => self.refuse(format!(
                "`{claim}`: it is a text in tokens of this issuer, so nobody is meant"
            )),
            None if asked.iter().any(|kind| *kind != Kind::Text) => self.left.push(format!(
                "`{claim}`: facts are texts, so a token that says the same in another form, as a text or as a \
                 flag or a number, is admitted too"
            )),
            Some(_) | None => {}
        }
        let is_value = asked.contains(&Kind::Value);
        match self.values.get(claim) {
            Some(before) if *before != is_value => self.refuse(format!(
                "`{claim}`: it is asked to be a text and to be none"
            )),
            _ => {
                self.values.insert(claim.to_owned(), is_value);
            }
        }
    }

    fn claim(&mut self, path: &[String], globs: &[Glob]) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match self.fact_of(&path) {
            Some(fact) => self.fact(&fact, globs, is_always_there(self.preset, &path)),
            None => self.refuse(format!("`{}` is no fact here", printable(&path.join(".")))),
        }
    }

    fn fact_of(&self, path: &[&str]) -> Option<String> {
        let known = self.preset.and_then(|preset| preset.fact_of_claim(path));
        match (known, path) {
            (Some(fact), _) => Some(fact.to_owned()),
            (None, [claim]) => Some(format!("{CLAIMS}{claim}")),
            (None, _) => None,
        }
    }

    /// Asks that a claim be there. The widest pattern is one segment.
    fn presence(&mut self, wish: &Wish) {
        let path = wish.path.as_slice();
        // What becomes a name is a text.
        if wish.globs().next().is_some() {
            self.check_kind(wish, &printable(&path.join(".")));
        }
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let fact = self.fact_of(&names);
        let is_said = fact.is_some_and(|fact| self.facts.contains_key(&fact));
        if !is_said && !is_always_there(self.preset, &names) {
            self.claim(path, &[Glob::parse("*")]);
        }
    }

    fn subject(&mut self, globs: &[Glob]) {
        let is_odd = |glob: &&Glob| glob.is_literal() && glob.text().contains(['*', '?']);
        if let Some(odd) = globs.iter().find(is_odd) {
            return self.refuse(format!(
                "`{SUBJECT} = {}`: its `*` and `?` stand for themselves, and no subject has them",
                printable(&odd.text())
            ));
        }
        let before = self.subject;
        let Some(one) = globs.first() else { return };
        let is_itself = globs.len() > 1 || matcher(SUBJECT, one).is_some();
        let said = if is_itself {
            Said::Itself
        } else {
            Said::ByItsParts
        };
        self.subject = Some(said);
        // Its parts say nothing of its form, so no other condition on it can be held against them.
        if before.is_some() && (before, said) != (Some(Said::Itself), Said::Itself) {
            return self.refuse(format!("`{SUBJECT}`: what is asked of it twice"));
        }
        if is_itself {
            self.fact(SUBJECT, globs, true);
            if globs.len() == 1 {
                self.also(one);
            }
            return;
        }
        let is_plain = !one.has_question_mark() && !one.has_character('*');
        let claims = said_by_claims(self.preset, &one.text()).filter(|_| is_plain);
        let Some(claims) = claims else {
            return self.refuse(unsaid(SUBJECT, one));
        };
        self.instead(claims);
    }

    /// Adds what a subject that stands in the rule says of claims.
    fn also(&mut self, subject: &Glob) {
        let Some((_, claims)) = read_subject(self.preset, &subject.text()) else {
            return;
        };
        for (claim, value) in claims {
            let known = self
                .preset
                .and_then(|one| one.fact_of_claim(&path_of(&claim)));
            // A pull request is known by its event; its ref is its number.
            let Some(fact) = known.filter(|_| value != "refs/pull/7/merge") else {
                continue;
            };
            let glob = if subject.is_literal() {
                Glob::literal(&value)
            } else {
                Glob::parse(&value)
            };
            if matches!(
                matcher(fact, &glob),
                Some(Matched::Exactly(_) | Matched::Pattern(_))
            ) {
                self.fact(fact, &[glob], true);
            }
        }
    }

    /// Says by claims what a pattern of subjects says.
    fn instead(&mut self, claims: Vec<(String, String)>) {
        // Who puts the subject together otherwise is the same all the same.
        if self.preset != Some(Preset::Kubernetes) {
            self.left.push(format!(
                "`{SUBJECT}`: facts stand for its parts, so a token that says the same in a subject of \
                 another form is admitted too"
            ));
        }
        for (claim, value) in claims {
            let path = path_of(&claim);
            let known = self.preset.and_then(|preset| preset.fact_of_claim(&path));
            match known {
                // Each part is in the subject, whatever it is, but for the environment.
                Some(fact) => self.fact(fact, &[Glob::parse(&value)], claim != "environment"),
                None => self.refuse(format!("`{}` is no fact here", printable(&claim))),
            }
        }
    }

    /// Asks for one of these; `is_there` if the fact always is.
    fn fact(&mut self, name: &str, any: &[Glob], is_there: bool) {
        let mut exact = BTreeSet::new();
        let mut patterns = Vec::new();
        let mut others = Vec::new();
        for glob in any {
            match matcher(name, glob) {
                Some(Matched::Anything) if is_there => return,
                Some(Matched::Anything) => {
                    others.push(format!("`{name} = *`: here it is one segment, without `/`"));
                    patterns.extend(Pattern::parse("*"));
                }
                Some(Matched::Exactly(text)) => {
                    exact.insert(text);
                }
                Some(Matched::Pattern(pattern)) => patterns.push(pattern),
                None => others.push(unsaid(name, glob)),
            }
        }
        self.is_whole &= !(exact.is_empty() && patterns.is_empty());
        self.left.append(&mut others);
        let exact = (!exact.is_empty()).then_some(Matcher::AnyOf(exact));
        let patterns = patterns.into_iter().map(Matcher::Pattern);
        let several: Vec<Matcher> = patterns.chain(exact).collect();
        let is_one = several.len() == 1;
        let Some(chosen) = self.chosen(name, several) else {
            return;
        };
        if !is_one {
            let stands = printable(&written(&chosen).to_string());
            self.left.push(format!(
                "`{name}`: several patterns are several rules; only `{stands}` stands here"
            ));
        }
        self.require(name, chosen);
    }

    /// The one of several that admits the token that should be admitted; the first, where none is given.
    fn chosen(&self, name: &str, several: Vec<Matcher>) -> Option<Matcher> {
        let is_it = |claim: &str| match name {
            SUBJECT => claim == "sub",
            _ => {
                let fact = self
                    .preset
                    .and_then(|preset| preset.fact_of_claim(&[claim]));
                fact == Some(name) || name.strip_prefix("claims.") == Some(claim)
            }
        };
        let mut claims = self.claims.iter();
        let seen = claims.find_map(|(claim, value)| value.as_str().filter(|_| is_it(claim)));
        let mut matching = several.iter();
        let at = seen.and_then(|seen| matching.position(|one| one.matches(seen)));
        several.into_iter().nth(at.unwrap_or(0))
    }

    /// Asks for this beside what is asked for already.
    fn require(&mut self, name: &str, matcher: Matcher) {
        let alone = json!({"name": name, "facts": {name: written(&matcher)}});
        if let Err(reason) = Rule::read(&alone, 1, self.preset) {
            return self.refuse(reason.sentence());
        }
        let both = match self.facts.remove(name) {
            None => Some(matcher),
            Some(known) => both(known, matcher),
        };
        match both.filter(|both| !both.is_empty()) {
            Some(both) => {
                self.facts.insert(name.to_owned(), both);
            }
            None => self.refuse(format!(
                "`{name}`: what is asked of it twice is nothing that one fact says"
            )),
        }
    }

    /// Adds the ids by which what is named is known for good.
    fn pin(&mut self, issuer: &str, claims: Option<&Map<String, Value>>) {
        let Some(preset) = self.preset else { return };
        let shape = shape(self.preset);
        let named = [Some(shape.object), shape.tenant];
        let is_pinned = self.facts.iter().any(|(fact, matcher)| {
            preset.pins().contains(&fact.as_str()) && matches!(matcher, Matcher::AnyOf(_))
        });
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
                return self.require(fact, Matcher::exactly(seen));
            }
        }
        if is_pinned || Preset::shared_with(issuer).is_none() {
            return;
        }
        let id = shape.object.id.and_then(|id| preset.fact_of_claim(&[id]));
        if let Some(fact) = id {
            self.require(fact, Matcher::exactly("THE-ID-OF-IT"));
            self.left.push(format!(
                "names alone pass to others, so `{fact}` must be named: give claims of a token with \
                 --claims, or put it in the place of THE-ID-OF-IT"
            ));
        }
    }
}

/// What a claim is in a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text that reads like a flag or a number.
    Ambiguous,
    Text,
    /// A flag or a number.
    Value,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(_) => Some(Self::Text),
            Value::Bool(_) | Value::Number(_) => Some(Self::Value),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn of_text(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(Value::Bool(_) | Value::Number(_)) => Self::Ambiguous,
            _ => Self::Text,
        }
    }
}

/// The text that a claim must be, if it is one.
fn text_asked_for(want: &Want) -> Option<Glob> {
    match want {
        Want::Glob(glob) => Some(glob.clone()),
        Want::Value(Value::Bool(flag)) => Some(Glob::literal(&flag.to_string())),
        Want::Value(Value::Number(number)) => Some(Glob::literal(&number.to_string())),
        Want::ListWith(_) | Want::Present | Want::Value(_) => None,
    }
}

/// Where the claim is that a part of a subject speaks of.
fn path_of(claim: &str) -> Vec<&str> {
    match claim {
        "namespace" => vec!["kubernetes.io", "namespace"],
        "service_account" => vec!["kubernetes.io", "serviceaccount", "name"],
        other => vec![other],
    }
}

fn unsaid(name: &str, glob: &Glob) -> String {
    format!(
        "`{name} = {}`: a wildcard stands for whole segments here, never inside a name",
        printable(&glob.text())
    )
}

fn written(matcher: &Matcher) -> Value {
    match matcher {
        Matcher::AnyOf(texts) => match texts.first() {
            Some(only) if texts.len() == 1 => json!(only),
            _ => json!(texts),
        },
        Matcher::Pattern(pattern) => json!({ "pattern": pattern.to_string() }),
        Matcher::Has(texts) => match texts.first() {
            Some(only) if texts.len() == 1 => json!({ "has": only }),
            _ => json!({ "has": texts }),
        },
        Matcher::HasAll(texts) => json!({ "has_all": texts }),
    }
}

/// What matches both, if one matcher says so.
fn both(one: Matcher, other: Matcher) -> Option<Matcher> {
    match (one, other) {
        (Matcher::Has(one), Matcher::Has(other)) if one.is_subset(&other) => {
            Some(Matcher::Has(one))
        }
        (Matcher::Has(one), Matcher::Has(other)) if other.is_subset(&one) => {
            Some(Matcher::Has(other))
        }
        (Matcher::Has(one), Matcher::Has(other)) if one.len() == 1 && other.len() == 1 => {
            Some(Matcher::HasAll(one.into_iter().chain(other).collect()))
        }
        (Matcher::Has(some), Matcher::HasAll(all)) | (Matcher::HasAll(all), Matcher::Has(some)) => {
            match (some.is_disjoint(&all), some.len()) {
                (false, _) => Some(Matcher::HasAll(all)),
                (true, 1) => Some(Matcher::HasAll(all.into_iter().chain(some).collect())),
                (true, _) => None,
            }
        }
        (Matcher::HasAll(one), Matcher::HasAll(other)) => {
            Some(Matcher::HasAll(one.into_iter().chain(other).collect()))
        }
        (Matcher::Has(_) | Matcher::HasAll(_), _) | (_, Matcher::Has(_) | Matcher::HasAll(_)) => {
            None
        }
        (Matcher::AnyOf(texts), other) | (other, Matcher::AnyOf(texts)) => {
            let texts = texts.into_iter().filter(|text| other.matches(text));
            Some(Matcher::AnyOf(texts.collect()))
        }
        (Matcher::Pattern(one), Matcher::Pattern(other)) if one.covers(&other) => {
            Some(Matcher::Pattern(other))
        }
        (Matcher::Pattern(one), Matcher::Pattern(other)) if other.covers(&one) => {
            Some(Matcher::Pattern(one))
        }
        (Matcher::Pattern(_), Matcher::Pattern(_)) => None,
    }
}

enum Matched {
    Anything,
    Exactly(String),
    Pattern(Pattern),
}

/// What a text with wildcards is in a rule; the narrowest that it could mean.
fn matcher(fact: &str, glob: &Glob) -> Option<Matched> {
    let text = glob.text();
    if glob.is_literal() {
        return Some(Matched::Exactly(text));
    }
    if glob.is_anything() {
        return Some(Matched::Anything);
    }
    // In a pattern every `*` is a wildcard.
    if glob.has_question_mark() || glob.has_character('*') {
        return None;
    }
    let pattern = match text.strip_suffix("/*") {
        // A repository is one segment, a branch may be several, and so may the rest of a subject.
        Some(head) if head.contains('/') || fact == SUBJECT => format!("{head}/**"),
        _ => text,
    };
    Pattern::parse(&pattern).ok().map(Matched::Pattern)
}
