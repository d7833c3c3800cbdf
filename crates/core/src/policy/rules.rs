//! Rules over facts, and what can be computed about them before anyone presents a token.

use std::collections::BTreeMap;

use super::facts::{Facts, List, SUBJECT};
use super::matcher::{Matcher, quoted};
use super::presets::Preset;
use crate::reason::{Reason, printable};

/// A rule: who may come from an issuer. All of its conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    name: String,
    conditions: BTreeMap<String, Matcher>,
}

/// A fact that is not what a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the fact.
    pub fact: String,
    /// What the rule asks for, in words.
    pub expected: String,
    /// What was seen, in words, if anything.
    pub seen: Option<String>,
}

impl Difference {
    fn of(fact: &str, matcher: &Matcher, facts: &Facts) -> Self {
        let seen = match (matcher, facts.get(fact), facts.list(fact)) {
            (_, _, Some(list)) if matcher.asks_list() => Some(has_in_words(list)),
            (_, Some(text), None) if matcher.asks_list() => {
                Some(format!("the text {text}, which is no list"))
            }
            (_, Some(text), _) => Some(text.to_owned()),
            (_, None, Some(List::Of(_))) => {
                Some("a list; ask for one of its values with `has`".to_owned())
            }
            (_, None, Some(list @ List::Unfit(_))) => Some(has_in_words(list)),
            (_, None, None) if facts.is_unverified(fact) => {
                Some("one that `email_verified` does not confirm, which is no fact".to_owned())
            }
            (_, None, None) => None,
        };
        Self {
            fact: fact.to_owned(),
            expected: matcher.in_words(),
            seen,
        }
    }

    /// As one phrase.
    pub fn in_words(&self) -> String {
        let expected = &self.expected;
        match &self.seen {
            Some(seen) => format!("{} (expected {expected}, seen {seen})", self.fact),
            None => format!(
                "{} (expected {expected}, but the token has none)",
                self.fact
            ),
        }
    }
}

/// The most values of a list that are shown to whoever wonders why it does not match.
const SHOWN_MAX: usize = 5;

fn has_in_words(list: &List) -> String {
    let texts = match list {
        List::Unfit(why) => return format!("{why}, which is no fact"),
        List::Of(texts) if texts.is_empty() => return "an empty list".to_owned(),
        List::Of(texts) => texts,
    };
    let shown: Vec<String> = texts
        .iter()
        .take(SHOWN_MAX)
        .map(|text| printable(text))
        .collect();
    let shown = shown.join(", ");
    match texts.len().saturating_sub(SHOWN_MAX) {
        0 => format!("a list of {shown}"),
        more => format!("a list of {shown} and {more} more"),
    }
}

impl Rule {
    /// A rule of these conditions.
    ///
    /// # Errors
    ///
    /// `policy.rule_invalid` when it has no conditions, or one that nothing can meet.
    pub fn new(name: String, conditions: BTreeMap<String, Matcher>) -> Result<Self, Reason> {
        let rule = Self { name, conditions };
        if rule.conditions.is_empty() {
            return Err(rule.invalid("it has no conditions, so it would admit everyone"));
        }
        match rule
            .conditions
            .iter()
            .find(|(_, matcher)| matcher.is_empty())
        {
            Some((fact, _)) => Err(rule.invalid(format!("no value is listed for `{fact}`"))),
            None => Ok(rule),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What each fact must be.
    pub fn conditions(&self) -> &BTreeMap<String, Matcher> {
        &self.conditions
    }

    /// Whether the facts meet all conditions.
    pub fn admits(&self, facts: &Facts) -> bool {
        self.conditions
            .iter()
            .all(|(fact, matcher)| matcher.is_met(fact, facts))
    }

    /// The conditions that the facts do not meet.
    pub fn differences(&self, facts: &Facts) -> Vec<Difference> {
        self.conditions
            .iter()
            .filter(|(fact, matcher)| !matcher.is_met(fact, facts))
            .map(|(fact, matcher)| Difference::of(fact, matcher, facts))
            .collect()
    }

    /// Whether some token could be admitted by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.conditions.iter().all(|(fact, matcher)| {
            other
                .conditions
                .get(fact)
                .is_none_or(|theirs| matcher.overlaps(theirs))
        })
    }

    /// The rule that asks for nothing. None that is read is it.
    pub(crate) fn of_anyone(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            conditions: BTreeMap::new(),
        }
    }

    /// Whether every token that `other` admits is admitted by this too.
    pub fn covers(&self, other: &Self) -> bool {
        self.conditions.iter().all(|(fact, matcher)| {
            other
                .conditions
                .get(fact)
                .is_some_and(|theirs| matcher.covers(theirs))
        })
    }

    /// The tightest change of this rule that admits these facts: what differs, set to what was
    /// seen. `None` when a fact that it asks for is not there at all, or is a list without what it asks for:
    /// which of its values to ask for instead is nobody's guess.
    pub fn adapted_to(&self, facts: &Facts) -> Option<Self> {
        let mut conditions = self.conditions.clone();
        for (fact, matcher) in &mut conditions {
            if matcher.is_met(fact, facts) {
                continue;
            }
            *matcher = match (facts.get(fact), facts.list(fact)) {
                // What is both is asked for as it was.
                (_, Some(list)) if matcher.asks_list() => matcher.of_list(list.texts()?)?,
                (Some(seen), _) => Matcher::exactly(seen),
                (None, list) => matcher.of_list(list?.texts()?)?,
            };
        }
        Some(Self {
            name: self.name.clone(),
            conditions,
        })
    }

    /// Whom it admits, in words, beside those who have exactly `facts`: what it does not ask for
    /// may be anything.
    pub fn population(&self, facts: &Facts) -> String {
        let mut asked = Vec::new();
        let mut has = Vec::new();
        for (fact, matcher) in &self.conditions {
            match matcher {
                Matcher::Has(texts) => has.push(format!("{fact} has {}", quoted(texts, " or "))),
                Matcher::HasAll(texts) => {
                    has.push(format!("{fact} has {}", quoted(texts, " and ")));
                }
                matcher => asked.push(format!("{fact} = {}", matcher.in_words())),
            }
        }
        let parts = [("with", asked), ("whose", has)].into_iter();
        let parts = parts.filter(|(_, conditions)| !conditions.is_empty());
        let asked: Vec<String> = parts
            .map(|(word, conditions)| format!("{word} {}", conditions.join(" and ")))
            .collect();
        let free: Vec<&str> = facts
            .names()
            .filter(|name| *name != SUBJECT && !self.conditions.contains_key(*name))
            .take(4)
            .collect();
        let asked = asked.join(" ");
        if free.is_empty() {
            format!("every token {asked}")
        } else {
            format!("every token {asked}, whatever its {}", free.join(", "))
        }
    }

    /// Its population, and which of `rules` it would leave nothing to decide.
    fn reach_beside(&self, rules: &[Self], facts: &Facts) -> String {
        let population = self.population(facts);
        let covered: Vec<&str> = rules
            .iter()
            .filter(|rule| self.covers(rule))
            .map(Self::name)
            .collect();
        if covered.is_empty() {
            population
        } else {
            format!(
                "{population}; it would do all that {} does",
                covered.join(" and ")
            )
        }
    }

    /// Whether it names a customer of a shared issuer for good.
    pub fn pins(&self, preset: Preset) -> bool {
        self.conditions.iter().any(|(fact, matcher)| {
            let Some(texts) = matcher.texts() else {
                return false;
            };
            if fact == SUBJECT {
                texts.iter().all(|text| preset.is_immutable_subject(text))
            } else {
                preset.pins().contains(&fact.as_str())
            }
        })
    }

    fn invalid(&self, detail: impl Into<String>) -> Reason {
        invalid(&self.name, detail)
    }
}

/// The refusal when no rule admits the facts: the closest rule, and each fact that differs.
pub(crate) fn not_matched(issuer: &str, rules: &[Rule], facts: &Facts) -> Option<Reason> {
    let (closest, differences) = rules
        .iter()
        .map(|rule| (rule, rule.differences(facts)))
        .min_by_key(|(_, differences)| differences.len())?;
    let fix_admits = match closest.adapted_to(facts) {
        Some(adapted) => adapted.reach_beside(rules, facts),
        None => "no one yet, since the token lacks what it asks for".to_owned(),
    };
    Some(Reason::RuleNotMatched {
        issuer: issuer.to_owned(),
        closest: closest.name.clone(),
        differs: differences.iter().map(Difference::in_words).collect(),
        fix_admits,
    })
}

/// Refuses to trust an issuer of many customers without naming one of them for good.
pub(crate) fn require_pins(
    issuer: &str,
    preset: Option<Preset>,
    rules: &[Rule],
) -> Result<(), Reason> {
    let (Some(everyone), Some(preset)) = (Preset::shared_with(issuer), preset) else {
        return Ok(());
    };
    let unpinned = |rule: String, population: String| Reason::SharedIssuerUnpinned {
        issuer: issuer.to_owned(),
        rule,
        population,
        pins: preset.pins().iter().map(|pin| (*pin).to_owned()).collect(),
    };
    if rules.is_empty() {
        return Err(unpinned("(none)".to_owned(), everyone.to_owned()));
    }
    match rules.iter().find(|rule| !rule.pins(preset)) {
        None => Ok(()),
        Some(rule) => {
            let population = rule.population(&Facts::default());
            let conditions = population.trim_start_matches("every token ");
            Err(unpinned(
                rule.name.clone(),
                format!("{everyone} {conditions}"),
            ))
        }
    }
}

pub(crate) fn invalid(rule: &str, detail: impl Into<String>) -> Reason {
    Reason::RuleInvalid {
        rule: rule.to_owned(),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use std::collections::BTreeSet;

    use super::*;

    fn matcher(value: &Value) -> Matcher {
        crate::policy::reading::read_matcher("r", "f", value).unwrap()
    }

    fn rule(facts: &Value) -> Rule {
        Rule::read(&json!({"name": "r", "facts": facts}), 1, None).unwrap()
    }

    #[test]
    fn overlap_and_cover_of_matchers_agree_with_every_text() {
        let texts = ["a", "b", "a/b", "b/b", "a/c"];
        let matchers = [
            json!("a"),
            json!(["a", "b"]),
            json!(["a/b", "b/b"]),
            json!({"pattern": "*"}),
            json!({"pattern": "a/*"}),
            json!({"pattern": "a/b"}),
        ]
        .map(|value| matcher(&value));
        for one in &matchers {
            for two in &matchers {
                let both = texts.iter().any(|t| one.matches(t) && two.matches(t));
                assert_eq!(one.overlaps(two), both, "{one:?} {two:?}");
                if one.covers(two) {
                    assert!(texts.iter().all(|t| one.matches(t) || !two.matches(t)));
                }
            }
        }
        assert!(matcher(&json!({"pattern": "*"})).covers(&matcher(&json!(["a", "b"]))));
        assert!(matcher(&json!("a/b")).covers(&matcher(&json!({"pattern": "a/b"}))));
        assert!(!matcher(&json!(["a", "b"])).covers(&matcher(&json!({"pattern": "*"}))));
        assert!(Matcher::AnyOf(BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_rule_covers_another_that_asks_for_more() {
        let wide = rule(&json!({"claims.a": ["1", "2"]}));
        let narrow = rule(&json!({"claims.a": "1", "claims.b": "x"}));
        let elsewhere = rule(&json!({"claims.a": "3"}));
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
        assert!(!wide.overlaps(&elsewhere) && !wide.covers(&elsewhere));
        // Neither asks for what the other does, so a token may have both.
        assert!(rule(&json!({"claims.b": "y"})).overlaps(&elsewhere));
    }

    #[test]
    fn an_absent_fact_never_matches() {
        let facts = Facts::default();
        let wide = rule(&json!({"claims.a": {"pattern": "*"}}));
        assert!(!wide.admits(&facts));
        assert_eq!(wide.differences(&facts)[0].seen, None);
        assert_eq!(wide.adapted_to(&facts), None);
    }

    #[test]
    fn a_rule_that_means_something_else_than_it_says_is_refused() {
        for facts in [
            json!({}),
            json!({"claims.a": []}),
            json!({"claims.a": ""}),
            json!({"claims.a": "repo-*"}),
            json!({"claims.a": {"pattern": "repo-*"}}),
            json!({"claims.a": {"regex": ".*"}}),
            json!({"claims.a": {"pattern": "a", "not": "b"}}),
            json!({"claims.a": {"has": "a", "pattern": "a"}}),
            json!({"claims.a": {"has": "admin*"}}),
            json!({"claims.a": {"has": ""}}),
            json!({"claims.a": {"has": []}}),
            json!({"claims.a": {"has": ["a", 7]}}),
            json!({"claims.a": {"has": {"pattern": "a"}}}),
            json!({"subject": {"has": "a"}}),
            json!({"subject": {"has_all": ["a"]}}),
            json!({"claims.a": {"has_all": "a"}}),
            json!({"claims.a": {"has_all": []}}),
            json!({"claims.a": {"has_all": ["a*"]}}),
            json!({"claims.a": {"has_all": ["a"], "has": "b"}}),
            json!({"claims.a": 7}),
            json!({"claims.a": true}),
            json!({"claims.preferred_username": "admin"}),
            json!({"claims.exp": "1"}),
            json!({"subjct": "a"}),
            json!({"github.ref": "a"}),
        ] {
            let reason = Rule::read(&json!({"facts": facts}), 1, None).unwrap_err();
            assert_eq!(reason.code(), "policy.rule_invalid", "{facts}");
        }
        for value in [
            json!([]),
            json!({}),
            json!({"facts": {"claims.a": "b"}, "when": 1}),
            json!({"name": 1}),
        ] {
            let reason = Rule::read(&value, 1, None).unwrap_err();
            assert_eq!(reason.code(), "policy.rule_invalid", "{value}");
        }
        let misspelt = json!({"facts": {"github.repositry_id": "1"}});
        assert!(Rule::read(&misspelt, 1, Some(Preset::GitHub)).is_err());
    }

    fn claims(claims: &Value) -> Facts {
        Facts::of(claims.as_object().unwrap(), None, std::iter::empty()).unwrap()
    }

    #[test]
    fn a_list_has_exactly_what_is_asked_for() {
        let asked = rule(&json!({"claims.groups": {"has": "admins"}}));
        for groups in [
            json!(["admins"]),
            json!(["users", "admins"]),
            json!(["admins", "admins"]),
        ] {
            assert!(
                asked.admits(&claims(&json!({ "groups": groups }))),
                "{groups}"
            );
        }
        let many: Vec<String> = (0..10_000).map(|number| format!("g{number}")).collect();
        let many = [&many[..], &["admins".to_owned()]].concat();
        for (groups, seen) in [
            (json!("admins"), "seen the text admins, which is no list"),
            (json!("[\"admins\"]"), "seen the text"),
            (json!("users,admins"), "seen the text"),
            (
                json!([["admins"]]),
                "seen a list of other things than texts",
            ),
            (
                json!(["admins", ["admins"]]),
                "seen a list of other things than texts",
            ),
            (json!({"admins": "admins"}), "but the token has none"),
            (json!(["Admins"]), "seen a list of Admins)"),
            (json!(["admins "]), "seen a list of admins )"),
            (json!(["admins-of-else", "my/admins"]), "seen a list of"),
            (json!(["users,admins"]), "seen a list of users,admins)"),
            (json!([]), "seen an empty list"),
            (
                json!(many),
                "seen a list of more than 256 values, which is no fact",
            ),
            (json!(null), "but the token has none"),
        ] {
            let facts = claims(&json!({ "groups": groups }));
            assert!(!asked.admits(&facts), "{groups}");
            let differences = asked.differences(&facts);
            let words = differences[0].in_words();
            let expected = "claims.groups (expected a list that has `admins`, ";
            assert!(
                words.starts_with(expected) && words.contains(seen),
                "{words}"
            );
        }
        let words = asked.differences(&claims(&json!({"other": ["admins"]})))[0].in_words();
        assert!(words.ends_with("but the token has none)"), "{words}");
        let seven = json!({"groups": ["a", "b", "c", "d", "e", "f", "g"]});
        let words = asked.differences(&claims(&seven))[0].in_words();
        assert!(
            words.ends_with("seen a list of a, b, c, d, e and 2 more)"),
            "{words}"
        );
    }

    #[test]
    fn cover_of_what_lists_have_agrees_with_every_list() {
        let lists = ["", "a", "b", "c", "ab", "ac", "bc", "abc"];
        let rules = [
            json!({"has": "a"}),
            json!({"has": ["a", "b"]}),
            json!({"has_all": ["a"]}),
            json!({"has_all": ["a", "b"]}),
            json!({"has_all": ["a", "b", "c"]}),
        ]
        .map(|matcher| rule(&json!({ "claims.groups": matcher })));
        let admitted = |rule: &Rule| {
            let lists = lists.iter().filter(|list| {
                let texts: Vec<String> = list.chars().map(String::from).collect();
                rule.admits(&claims(&json!({ "groups": texts })))
            });
            lists.copied().collect::<BTreeSet<&str>>()
        };
        for wide in &rules {
            for narrow in &rules {
                let is_covered = admitted(wide).is_superset(&admitted(narrow));
                assert_eq!(wide.covers(narrow), is_covered, "{wide:?} {narrow:?}");
                assert!(wide.overlaps(narrow));
            }
        }
        // A text has nothing.
        let facts = claims(&json!({"groups": "a"}));
        assert!(rules.iter().all(|rule| !rule.admits(&facts)));
    }

    #[test]
    fn a_text_is_never_found_in_a_list() {
        let facts = claims(&json!({"groups": ["admins"]}));
        for matcher in [
            json!("admins"),
            json!(["admins", "ops"]),
            json!({"pattern": "admins"}),
            json!({"pattern": "*"}),
        ] {
            let asked = rule(&json!({ "claims.groups": matcher }));
            assert!(!asked.admits(&facts), "{matcher}");
            let words = asked.differences(&facts)[0].in_words();
            assert!(
                words.contains("seen a list; ask for one of its values with `has`"),
                "{words}"
            );
        }
    }

    #[test]
    fn what_a_list_has_is_told_in_words_and_mended_where_that_is_plain() {
        let both = json!({"claims.a": "1", "claims.groups": {"has": ["ops", "admins"]}});
        let asked = rule(&both);
        assert_eq!(
            asked.population(&Facts::default()),
            "every token with claims.a = 1 whose claims.groups has `admins` or `ops`"
        );
        let alone = rule(&json!({"claims.groups": {"has": "admins"}}));
        assert_eq!(
            alone.population(&claims(&json!({"roles": ["x"]}))),
            "every token whose claims.groups has `admins`, whatever its claims.roles"
        );
        let each = rule(&json!({"claims.groups": {"has_all": ["ops", "admins"]}}));
        assert_eq!(
            each.population(&Facts::default()),
            "every token whose claims.groups has `admins` and `ops`"
        );
        assert!(alone.covers(&each) && !each.covers(&alone) && each.overlaps(&alone));
        let facts = claims(&json!({"groups": ["admins", "users"]}));
        assert!(!each.admits(&facts) && alone.admits(&facts));
        assert_eq!(each.adapted_to(&facts), None);
        assert_eq!(
            each.differences(&facts)[0].in_words(),
            "claims.groups (expected a list that has `admins` and `ops`, seen a list of admins, users)"
        );
        let by_text = rule(&json!({"claims.groups": ["admins", "ops"]}));
        assert_eq!(by_text.adapted_to(&facts), Some(alone.clone()));
        assert_eq!(
            rule(&json!({"claims.groups": "ops"})).adapted_to(&facts),
            None
        );
        let other = rule(&json!({"claims.groups": {"has": "ops"}}));
        assert_eq!(other.adapted_to(&facts), None);
        // Nor is an attribute with one value, which is a text, too.
        let mut single = Facts::default();
        single
            .insert_all("claims.groups", &["users".to_owned()])
            .unwrap();
        assert_eq!(other.adapted_to(&single), None);
        // Someone may be in both.
        assert!(other.overlaps(&alone) && !other.covers(&alone));
        assert!(rule(&both).overlaps(&alone) && !alone.covers(&by_text));
        let either = rule(&json!({"claims.groups": {"has": ["admins", "ops"]}}));
        assert!(either.covers(&each) && !each.covers(&either));
        assert!(either.covers(&alone) && !alone.covers(&either));
    }

    #[test]
    fn the_closest_rule_and_what_its_fix_would_admit_are_named() {
        let rules = [
            rule(&json!({"claims.a": "x", "claims.b": "x"})),
            Rule::read(
                &json!({"name": "near", "facts": {"claims.a": "1", "claims.b": "x"}}),
                2,
                None,
            )
            .unwrap(),
        ];
        let claims = json!({"a": "1", "b": "2", "c": "3"});
        let facts = Facts::of(claims.as_object().unwrap(), None, std::iter::empty()).unwrap();
        assert_eq!(
            not_matched("https://i.test", &rules, &facts),
            Some(Reason::RuleNotMatched {
                issuer: "https://i.test".to_owned(),
                closest: "near".to_owned(),
                differs: vec!["claims.b (expected x, seen 2)".to_owned()],
                fix_admits: "every token with claims.a = 1 and claims.b = 2, whatever its claims.c"
                    .to_owned(),
            })
        );
    }

    #[test]
    fn an_address_that_nobody_verified_is_told_from_none() {
        let differs = |claims: Value, preset: Option<Preset>, fact: &str| {
            let of_issuer = json!({"name": "r", "facts": {fact: "a@b.test"}});
            let rules = [Rule::read(&of_issuer, 1, preset).unwrap()];
            let asked = [fact].into_iter();
            let facts = Facts::of(claims.as_object().unwrap(), preset, asked).unwrap();
            match not_matched("i", &rules, &facts) {
                Some(Reason::RuleNotMatched { differs, .. }) => differs.join("; "),
                other => panic!("{other:?}"),
            }
        };
        let none = "claims.email (expected a@b.test, but the token has none)";
        assert_eq!(differs(json!({}), None, "claims.email"), none);
        let unverified = json!({"email": "a@b.test", "email_verified": false});
        let words = differs(unverified.clone(), None, "claims.email");
        assert!(
            words.contains("`email_verified` does not confirm"),
            "{words}"
        );
        let words = differs(unverified.clone(), Some(Preset::Okta), "okta.email");
        assert!(
            words.contains("`email_verified` does not confirm"),
            "{words}"
        );
        let words = differs(unverified, Some(Preset::Okta), "claims.team");
        assert!(words.contains("the token has none"), "{words}");
    }

    #[test]
    fn a_fix_that_would_swallow_another_rule_says_so() {
        let named = |name: &str, facts: Value| {
            Rule::read(&json!({"name": name, "facts": facts}), 1, None).unwrap()
        };
        let rules = [
            named("main", json!({"claims.a": "main"})),
            named(
                "dev by hand",
                json!({"claims.a": "dev", "claims.b": "hand"}),
            ),
        ];
        let claims = json!({"a": "dev", "b": "robot"});
        let facts = Facts::of(claims.as_object().unwrap(), None, std::iter::empty()).unwrap();
        let Some(Reason::RuleNotMatched { fix_admits, .. }) = not_matched("i", &rules, &facts)
        else {
            panic!("no rule admits this");
        };
        assert_eq!(
            fix_admits,
            "every token with claims.a = dev, whatever its claims.b; it would do all that dev by \
             hand does"
        );
    }

    #[test]
    fn a_shared_issuer_needs_a_pin_in_every_rule() {
        let issuer = "https://token.actions.githubusercontent.com";
        let read = |facts: Value| {
            Rule::read(
                &json!({"name": "r", "facts": facts}),
                1,
                Some(Preset::GitHub),
            )
            .unwrap()
        };
        let pinned = [
            json!({"github.repository_id": "74"}),
            json!({"github.repository_owner_id": ["65", "66"]}),
            json!({"subject": "repo:octo-org@65/octo-repo@74:ref:refs/heads/main"}),
        ];
        for facts in pinned {
            assert_eq!(
                require_pins(issuer, Some(Preset::GitHub), &[read(facts)]),
                Ok(())
            );
        }
        for facts in [
            json!({"github.repository": "octo-org/octo-repo"}),
            json!({"github.repository_id": {"pattern": "*"}}),
            json!({"subject": "repo:octo-org/octo-repo:ref:refs/heads/main"}),
            json!({"subject": ["repo:o@1/r@2:pull_request", "repo:o/r:pull_request"]}),
            json!({"claims.repository_id": "74"}),
        ] {
            let rules = [
                read(json!({"github.repository_id": "74"})),
                read(facts.clone()),
            ];
            let reason = require_pins(issuer, Some(Preset::GitHub), &rules).unwrap_err();
            assert_eq!(reason.code(), "policy.shared_issuer_unpinned", "{facts}");
        }
        // The issuer of one enterprise is its own.
        let issuer_of_one = "https://token.actions.githubusercontent.com/avocado-corp";
        let pinned = require_pins(issuer_of_one, Some(Preset::GitHub), &[]);
        assert_eq!(pinned, Ok(()));
        let reason = require_pins(issuer, Some(Preset::GitHub), &[]).unwrap_err();
        assert!(
            reason.sentence().contains("every repository on github.com"),
            "{}",
            reason.sentence()
        );
    }
}
