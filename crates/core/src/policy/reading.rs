//! Reading rules as a trust document has them. What could mean something else than it says is
//! refused, since a rule that never matches and a rule that matches too much look alike on paper.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::facts::{CLAIMS, SUBJECT, may_be_a_fact};
use super::matcher::Matcher;
use super::pattern::Pattern;
use super::presets::Preset;
use super::rules::{Rule, invalid};
use crate::credential::jose::json::kind_of;
use crate::credential::members::Members;
use crate::reason::Reason;

impl Rule {
    /// Reads `{"name": …, "facts": {"<fact>": "<exact text>" | ["<any of>", …] |
    /// {"pattern": "a/*/**"} | {"has": "<one of a list>"} | {"has_all": ["<each of a list>", …]}}}`. `number` is its place among its issuer's rules, and its name if
    /// it has no other; a fact must be one that tokens of `preset` can have.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid`.
    pub fn read(value: &Value, number: usize, preset: Option<Preset>) -> Result<Self, Reason> {
        Self::read_in(value, number, Vocabulary::Token(preset))
    }

    /// Reads the list `rules` of an anchor, which has none where it has no such member.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid`, or the refusal of the anchor for what is no list, or an empty one: it could
    /// mean all or none.
    pub(crate) fn read_list(
        members: &Members<'_>,
        vocabulary: Vocabulary,
    ) -> Result<Vec<Self>, Reason> {
        match members.get("rules") {
            None => Ok(Vec::new()),
            Some(Value::Array(rules)) if rules.is_empty() => Err(members.empty("rules")),
            Some(Value::Array(rules)) => rules
                .iter()
                .enumerate()
                .map(|(index, rule)| Self::read_in(rule, index + 1, vocabulary))
                .collect(),
            Some(other) => Err(members.mistyped("rules", "a list of rules", other)),
        }
    }

    /// The same with the facts of `vocabulary`.
    pub(crate) fn read_in(
        value: &Value,
        number: usize,
        vocabulary: Vocabulary,
    ) -> Result<Self, Reason> {
        let fallback = format!("rule {number}");
        let Value::Object(members) = value else {
            return Err(invalid(&fallback, format!("it is {}", kind_of(value))));
        };
        let name = match members.get("name") {
            None => fallback,
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            Some(other) => {
                let detail = format!("its `name` must be a text, but is {}", kind_of(other));
                return Err(invalid(&fallback, detail));
            }
        };
        if let Some(unknown) = members
            .keys()
            .find(|key| !matches!(key.as_str(), "name" | "facts"))
        {
            return Err(invalid(
                &name,
                format!("it has no member `{unknown}`; it may have name, facts"),
            ));
        }
        let Some(Value::Object(facts)) = members.get("facts") else {
            return Err(invalid(&name, "it needs an object `facts`"));
        };
        Self::of_facts(name, facts, vocabulary)
    }

    /// Reads `{"<fact>": …}` as conditions on facts of these names, beside the subject.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid`.
    pub fn of_named_facts(
        name: String,
        facts: &Map<String, Value>,
        names: &'static [&'static str],
    ) -> Result<Self, Reason> {
        Self::of_facts(name, facts, Vocabulary::Named(names))
    }

    /// Reads `{"<fact>": …}` as the conditions of a rule.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid`.
    pub(crate) fn of_facts(
        name: String,
        facts: &Map<String, Value>,
        vocabulary: Vocabulary,
    ) -> Result<Self, Reason> {
        let conditions = read_conditions(&name, facts, vocabulary)?;
        Self::new(name, conditions)
    }
}

/// Which facts there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vocabulary {
    /// These, beside the subject and whatever is called `claims.`.
    Assertion(&'static [&'static str]),
    /// Those of tokens of an issuer.
    Token(Option<Preset>),
    /// These, beside the subject.
    Named(&'static [&'static str]),
}

impl Vocabulary {
    /// Whether a credential can have this fact; says why not.
    pub(crate) fn check(self, rule: &str, fact: &str) -> Result<(), Reason> {
        match self {
            Self::Token(preset) => check_fact_name(rule, fact, preset),
            Self::Assertion(names) if names.contains(&fact) => Ok(()),
            Self::Assertion(_) => check_fact_name(rule, fact, None),
            Self::Named(names) if fact == SUBJECT || names.contains(&fact) => Ok(()),
            Self::Named(names) => Err(invalid(
                rule,
                format!(
                    "there is no fact `{fact}`; there are {SUBJECT}, {}",
                    names.join(", ")
                ),
            )),
        }
    }
}

fn read_conditions(
    rule: &str,
    facts: &Map<String, Value>,
    vocabulary: Vocabulary,
) -> Result<BTreeMap<String, Matcher>, Reason> {
    let mut conditions = BTreeMap::new();
    for (fact, value) in facts {
        vocabulary.check(rule, fact)?;
        let matcher = read_matcher(rule, fact, value)?;
        if matcher.asks_list() && !fact.starts_with(CLAIMS) {
            let detail = format!("`{fact}` is never a list, so it would never have a value");
            return Err(invalid(rule, detail));
        }
        conditions.insert(fact.clone(), matcher);
    }
    Ok(conditions)
}

/// A misspelt fact would never match, and its author would not know why.
fn check_fact_name(rule: &str, fact: &str, preset: Option<Preset>) -> Result<(), Reason> {
    if let Some(claim) = fact.strip_prefix(CLAIMS) {
        return if may_be_a_fact(claim) {
            Ok(())
        } else if claim == "sub" {
            let detail = "`claims.sub` is the fact `subject`: write that".to_owned();
            Err(invalid(rule, detail))
        } else {
            let detail = format!("`{claim}` is a claim that does not name its subject for long");
            Err(invalid(rule, detail))
        };
    }
    let is_known = fact == SUBJECT || preset.is_some_and(|preset| preset.has_fact(fact));
    if is_known {
        return Ok(());
    }
    let place = match preset {
        Some(preset) => format!(
            "tokens of {} have no fact `{fact}`; the nearest are {} (`avouch issuer presets` lists all)",
            preset.name(),
            nearest(fact, preset)
        ),
        None => format!("there is no fact `{fact}`; claims are called `{CLAIMS}<name>`"),
    };
    Err(invalid(rule, place))
}

/// How many facts are named that may be meant.
const MOST_NAMED: usize = 4;

/// The facts of a preset that are most like this name, the most alike first.
fn nearest(name: &str, preset: Preset) -> String {
    let short = |fact: &str| fact.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = short(name);
    let mut facts: Vec<(usize, &str)> = std::iter::once(SUBJECT)
        .chain(preset.facts().into_iter().map(|(fact, _)| fact))
        .map(|fact| (distance(&wanted, &short(fact)), fact))
        .collect();
    facts.sort_unstable();
    let named = facts.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(|(_, fact)| format!("`{fact}`")).collect();
    named.join(", ")
}

/// How unlike two names are. One that begins alike is most often an abbreviation of the other, which counts for
/// more than its length.
fn distance(one: &str, other: &str) -> usize {
    const WEIGHT: usize = 2;
    const MOST: usize = 32;
    let alike = one.chars().zip(other.chars()).take(MOST);
    let alike = alike.take_while(|(one, other)| one == other).count();
    differences(one, other) + WEIGHT * (MOST - alike)
}

/// How many letters must be put in, taken out or replaced to make one text of the other. Of long names
/// only the beginning is compared.
fn differences(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let other: Vec<char> = other.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(LONGEST).enumerate() {
        let mut next = vec![at + 1];
        for ((expected, above), corner) in other.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            let replaced = corner + usize::from(*expected != letter);
            next.push(replaced.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

pub(crate) fn read_matcher(rule: &str, fact: &str, value: &Value) -> Result<Matcher, Reason> {
    match value {
        Value::String(text) => {
            let text = read_exact(rule, fact, text)?;
            Ok(Matcher::exactly(text))
        }
        Value::Array(elements) => read_texts(rule, fact, elements).map(Matcher::AnyOf),
        Value::Object(members) if members.len() == 1 => {
            let asked = ["pattern", "has", "has_all"].into_iter();
            let mut asked = asked.filter_map(|name| Some((name, members.get(name)?)));
            match asked.next() {
                Some(("pattern", Value::String(pattern))) => Pattern::parse(pattern)
                    .map(Matcher::Pattern)
                    .map_err(|detail| invalid(rule, format!("`{fact}`: {detail}"))),
                Some(("has", Value::String(text))) => {
                    let text = read_exact(rule, fact, text)?.to_owned();
                    Ok(Matcher::Has(BTreeSet::from([text])))
                }
                Some(("has", Value::Array(elements))) => {
                    read_texts(rule, fact, elements).map(Matcher::Has)
                }
                Some(("has_all", Value::Array(elements))) => {
                    read_texts(rule, fact, elements).map(Matcher::HasAll)
                }
                _ => Err(one_member(rule, fact)),
            }
        }
        Value::Object(_) => Err(one_member(rule, fact)),
        other => Err(invalid(
            rule,
            format!(
                "`{fact}` must be a text, a list of texts, a pattern or what a list `has`, but is {}",
                kind_of(other)
            ),
        )),
    }
}

fn one_member(rule: &str, fact: &str) -> Reason {
    let detail = format!(
        "`{fact}` needs the one member `pattern`, a text, `has`, a text or a list of texts of which one is enough, \
         or `has_all`, a list of texts"
    );
    invalid(rule, detail)
}

fn read_texts(rule: &str, fact: &str, elements: &[Value]) -> Result<BTreeSet<String>, Reason> {
    let mut texts = BTreeSet::new();
    for element in elements {
        let Value::String(text) = element else {
            return Err(invalid(
                rule,
                format!("a value of `{fact}` is {}", kind_of(element)),
            ));
        };
        texts.insert(read_exact(rule, fact, text)?.to_owned());
    }
    Ok(texts)
}

/// A star in an exact text is what someone wrote who meant a pattern.
fn read_exact<'a>(rule: &str, fact: &str, text: &'a str) -> Result<&'a str, Reason> {
    if text.is_empty() {
        return Err(invalid(rule, format!("a value of `{fact}` is empty")));
    }
    if text.contains('*') {
        let detail = format!(
            "`{fact}` is compared exactly, so its `*` would stand for itself; write {{\"pattern\": …}}"
        );
        return Err(invalid(rule, detail));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_that_there_is_not_is_refused_with_the_nearest() {
        let refused = |fact: &str, preset| {
            check_fact_name("r", fact, Some(preset))
                .map_err(|reason| reason.sentence())
                .unwrap_err()
        };
        let said = refused("buildkite.organisation", Preset::Buildkite);
        assert!(
            said.contains("the nearest are `buildkite.organization"),
            "{said}"
        );
        let said = refused("github.repo_id", Preset::GitHub);
        assert!(said.contains("`github.repository_id`"), "{said}");
        assert!(said.contains("avouch issuer presets"), "{said}");
        for preset in Preset::ALL {
            for (fact, _) in preset.facts() {
                let read = check_fact_name("r", &fact.replace("<name>", "team"), Some(preset));
                assert!(read.is_ok(), "{fact}");
            }
        }
    }

    #[test]
    fn differences_are_counted_in_letters() {
        for (one, other, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("organisation", "organization", 1),
        ] {
            assert_eq!(differences(one, other), expected, "{one} {other}");
        }
    }
}
