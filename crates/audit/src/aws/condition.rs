//! Conditions of IAM, evaluated as IAM does: several values of one key are alternatives, several
//! keys must all hold, and what a missing key means depends on the operator.

use avouch_core::policy::presets::Preset;
use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value};

use crate::configuration::Asks;
use crate::finding::{Code, Finding};
use crate::glob::Glob;
use crate::language::Language;
use crate::members::malformed;
use crate::trace::Held;
use crate::wish::{Want, Wish};

/// What a condition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Allow,
    Deny,
}

/// What is asked of the texts under one key.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    /// What they must be.
    pub(super) language: Language,
    /// Whether each of several must be so, and not only one.
    pub(super) of_all: bool,
    /// Whether there need be none.
    pub(super) may_be_absent: bool,
}

/// One operator on one key.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    place: String,
    operator: String,
    set: Option<Set>,
    if_exists: bool,
    test: Test,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    AllValues,
    AnyValue,
}

#[derive(Clone, Debug)]
enum Test {
    /// Texts.
    Texts {
        any: Vec<Glob>,
        negated: bool,
        folds_case: bool,
    },
    /// Whether the key is absent.
    Null { absent: Vec<bool> },
    /// Numbers.
    Numbers { compare: Compare, any: Vec<f64> },
    /// What no claim of a token is compared by.
    NotOfClaims,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What the system hands on of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is about the request, not about the token.
    Elsewhere,
    /// Nothing.
    Absent,
    /// One text.
    One(String),
    /// A list of texts.
    Many(Vec<String>),
}

impl Seen {
    pub(super) fn in_words(&self) -> Option<String> {
        match self {
            Self::Elsewhere | Self::Absent => None,
            Self::One(text) => Some(text.clone()),
            Self::Many(texts) => Some(texts.join(", ")),
        }
    }
}

/// The claims that AWS hands on for every issuer.
const OF_EVERY_ISSUER: [&str; 6] = ["amr", "aud", "azp", "email", "oaud", "sub"];

/// Those that it announced for GitHub in January 2026.
const OF_GITHUB: [&str; 9] = [
    "actor",
    "actor_id",
    "enterprise_id",
    "environment",
    "job_workflow_ref",
    "ref",
    "repository",
    "repository_id",
    "workflow",
];

/// What is there under a key of a condition.
pub(super) fn handed_on(
    provider: &str,
    preset: Option<Preset>,
    key: &str,
    claims: &Map<String, Value>,
) -> Seen {
    let Some(name) = claim_of(provider, key) else {
        return if is_of_the_request(key) {
            Seen::Elsewhere
        } else {
            Seen::Absent
        };
    };
    if !may_be_handed_on(preset, &name) {
        return Seen::Absent;
    }
    let find = |name: &str| {
        let mut members = claims.iter();
        members
            .find(|(claim, _)| claim.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    // With `azp` in a token, `aud` is that, and the audience itself is `oaud`.
    let value = match name.as_str() {
        "aud" => find("azp").or_else(|| find("aud")),
        "oaud" => find("azp").and_then(|_| find("aud")),
        other => find(other),
    };
    match value {
        Some(Value::String(text)) => Seen::One(text.clone()),
        Some(Value::Bool(flag)) => Seen::One(flag.to_string()),
        Some(Value::Number(number)) => Seen::One(number.to_string()),
        Some(Value::Array(elements)) => {
            let texts = elements.iter().filter_map(Value::as_str);
            Seen::Many(texts.map(str::to_owned).collect())
        }
        Some(Value::Null | Value::Object(_)) | None => Seen::Absent,
    }
}

/// The claim that a key names, if it is one of tokens of this provider. Names of keys are compared
/// without regard to case.
fn claim_of(provider: &str, key: &str) -> Option<String> {
    let head = key.get(..provider.len())?;
    let rest = key.get(provider.len()..)?;
    let is_of_provider = head.eq_ignore_ascii_case(provider);
    let claim = rest.strip_prefix(':').filter(|_| is_of_provider)?;
    Some(claim.to_ascii_lowercase())
}

/// Keys of every request, whoever makes it.
fn is_of_the_request(key: &str) -> bool {
    let head = key.split(':').next().unwrap_or_default();
    matches!(head.to_ascii_lowercase().as_str(), "aws" | "sts" | "iam")
}

/// Whether tokens of such an issuer may have been given to another than they are for (`azp`), which no
/// fact says.
pub(super) fn may_have_another_party(preset: Option<Preset>) -> bool {
    let never = matches!(
        preset,
        Some(
            Preset::Buildkite
                | Preset::CircleCi
                | Preset::GitHub
                | Preset::GitLab
                | Preset::HcpTerraform
                | Preset::Kubernetes
        )
    );
    let is_fact = preset.and_then(|preset| preset.fact_of_claim(&["azp"]));
    !never && is_fact.is_none()
}

/// Whether AWS may hand the claim on. For some issuers it hands on more than for others, and which
/// these are for GitHub may grow; for those it has announced nothing for it has never been more.
fn may_be_handed_on(preset: Option<Preset>, claim: &str) -> bool {
    match preset {
        Some(Preset::GitHub | Preset::Google | Preset::CircleCi) => true,
        _ => OF_EVERY_ISSUER.contains(&claim),
    }
}

/// Whether the claim is a list in tokens of such an issuer, among those that AWS hands on.
fn is_list(preset: Option<Preset>, claim: &str) -> bool {
    claim == "amr" || preset == Some(Preset::CircleCi) && claim == "oidc.circleci.com/context-ids"
}

impl Condition {
    pub(super) fn read(
        place: &str,
        written: &str,
        key: &str,
        values: &Value,
        variables: bool,
    ) -> Result<Self, Reason> {
        let (set, name) = match written.split_once(':') {
            None => (None, written),
            Some(("ForAllValues", rest)) => (Some(Set::AllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::AnyValue), rest),
            Some(_) => return Err(no_operator(place, written)),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let values = read_values(&format!("{place}.{key}"), values)?;
        let test = read_test(place, written, name, &values, variables)?;
        if if_exists && matches!(test, Test::Null { .. }) {
            return Err(no_operator(place, written));
        }
        Ok(Self {
            place: format!("{place}.{key}"),
            operator: written.to_owned(),
            set,
            if_exists,
            test,
            key: key.to_owned(),
            values,
        })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn in_words(&self) -> String {
        let values = self.values.join(" or ");
        format!("{} {} {values}", self.key, self.operator)
    }

    /// Whether it holds for what is there.
    pub(super) fn held(&self, seen: &Seen) -> Held {
        let values: &[String] = match seen {
            Seen::Elsewhere => return Held::Open,
            Seen::Absent => &[],
            Seen::One(text) => std::slice::from_ref(text),
            Seen::Many(texts) => texts,
        };
        if let Test::Null { absent } = &self.test {
            return Held::of(absent.contains(&values.is_empty()));
        }
        if values.is_empty() {
            return Held::of(self.holds_when_absent());
        }
        Held::of(match self.set {
            Some(Set::AllValues) => values.iter().all(|value| self.holds_for(value)),
            Some(Set::AnyValue) => values.iter().any(|value| self.holds_for(value)),
            // Without a set operator one value of several is enough, and for a negation none may
            // be among those that are named.
            None if self.is_negated() => values.iter().all(|value| self.holds_for(value)),
            None => values.iter().any(|value| self.holds_for(value)),
        })
    }

    fn holds_when_absent(&self) -> bool {
        match self.set {
            Some(Set::AllValues) => true,
            Some(Set::AnyValue) => self.if_exists,
            None => self.if_exists || self.is_negated(),
        }
    }

    fn is_negated(&self) -> bool {
        match &self.test {
            Test::Texts { negated, .. } => *negated,
            Test::Numbers { compare, .. } => *compare == Compare::NotEqual,
            Test::Null { .. } | Test::NotOfClaims => false,
        }
    }

    fn holds_for(&self, value: &str) -> bool {
        match &self.test {
            Test::Texts {
                any,
                negated,
                folds_case,
            } => {
                let folded = if *folds_case {
                    value.to_lowercase()
                } else {
                    value.to_owned()
                };
                any.iter().any(|glob| glob.matches(&folded)) != *negated
            }
            Test::Numbers { compare, any } => value.parse::<f64>().is_ok_and(|number| {
                let holds = |other: &f64| match compare {
                    Compare::Equal | Compare::NotEqual => number == *other,
                    Compare::Less => number < *other,
                    Compare::LessOrEqual => number <= *other,
                    Compare::Greater => number > *other,
                    Compare::GreaterOrEqual => number >= *other,
                };
                any.iter().any(holds) != (*compare == Compare::NotEqual)
            }),
            Test::Null { .. } | Test::NotOfClaims => false,
        }
    }

    /// What claims should be so that it holds, if it asks for something that is there.
    pub(super) fn wish(&self, provider: &str, preset: Option<Preset>) -> Option<Wish> {
        self.wanted(provider, preset, Meaning::Allow)
    }

    /// What claims should be so that it does not hold, if all others are excluded by it: a denial of all
    /// but one asks for that one.
    pub(super) fn spared(&self, provider: &str, preset: Option<Preset>) -> Option<Wish> {
        self.wanted(provider, preset, Meaning::Deny)
    }

    fn wanted(&self, provider: &str, preset: Option<Preset>, meaning: Meaning) -> Option<Wish> {
        let claim = self.claim(provider, preset)?;
        let is_denied = meaning == Meaning::Deny;
        let any = match &self.test {
            Test::Texts { any, negated, .. } if *negated == is_denied => {
                any.iter().cloned().map(Want::Glob).collect()
            }
            Test::Null { .. } if self.presence(meaning) == (true, false) => vec![Want::Present],
            Test::Null { absent } if !is_denied && absent.contains(&false) => vec![Want::Present],
            Test::Texts { .. } | Test::Null { .. } | Test::Numbers { .. } | Test::NotOfClaims => {
                return None;
            }
        };
        // Of a list one element is enough, and only a list has several.
        let any = match is_list(preset, &claim) {
            true => any
                .into_iter()
                .map(|want| match want {
                    Want::Glob(glob) => Want::ListWith(glob),
                    other => other,
                })
                .collect(),
            false => any,
        };
        Some(Wish::new(&[&claim], any))
    }

    /// The claim that it is about, if the system hands that on.
    pub(super) fn claim(&self, provider: &str, preset: Option<Preset>) -> Option<String> {
        let claim = claim_of(provider, &self.key)?;
        may_be_handed_on(preset, &claim).then_some(claim)
    }

    /// The claim of which it excludes values, or takes some numbers only: what is tried elsewhere there
    /// may not be tried here.
    pub(super) fn avoided(&self, provider: &str, preset: Option<Preset>) -> Option<String> {
        let is_positive = matches!(&self.test, Test::Texts { negated: false, .. });
        self.claim(provider, preset).filter(|_| !is_positive)
    }

    /// Numbers near those that it compares with.
    pub(super) fn numbers(&self, provider: &str, preset: Option<Preset>) -> Option<Wish> {
        let claim = self.claim(provider, preset)?;
        let Test::Numbers { any, .. } = &self.test else {
            return None;
        };
        let near = any
            .iter()
            .flat_map(|number| [*number, number - 1.0, number + 1.0]);
        let near = near.map(|number| Want::Value(serde_json::json!(number)));
        Some(Wish::new(&[&claim], near.collect()))
    }

    /// Whether it is about the request, so that it may hold or not.
    pub(super) fn is_elsewhere(&self, provider: &str) -> bool {
        claim_of(provider, &self.key).is_none() && is_of_the_request(&self.key)
    }

    /// Whether it asks that its key be there, and whether that it be away.
    pub(super) fn presence(&self, meaning: Meaning) -> (bool, bool) {
        let Test::Null { absent } = &self.test else {
            return (false, false);
        };
        let holds = |is_absent: bool| absent.contains(&is_absent) != (meaning == Meaning::Deny);
        (!holds(true), !holds(false))
    }

    /// What it asks of texts under its key, `meaning` for an allowance or against a denial; nothing where
    /// that cannot be told from the texts alone.
    pub(super) fn constraint(&self, meaning: Meaning) -> Option<Constraint> {
        let Test::Texts {
            any,
            negated,
            folds_case,
        } = &self.test
        else {
            return None;
        };
        let is_denied = meaning == Meaning::Deny;
        let of_all = match self.set {
            Some(Set::AllValues) => true,
            Some(Set::AnyValue) => false,
            None => *negated,
        };
        Some(Constraint {
            language: Language {
                any: any.clone(),
                is_negated: *negated != is_denied,
                folds_case: *folds_case,
            },
            of_all: of_all != is_denied,
            may_be_absent: self.holds_when_absent() != is_denied,
        })
    }

    /// Takes down what it asks for, as far as facts can say it.
    pub(super) fn ask(&self, provider: &str, preset: Option<Preset>, asks: &mut Asks) {
        let words = printable(&self.in_words());
        let wish = self.wish(provider, preset);
        let Some(wish) = wish.filter(|wish| !wish.any.is_empty() && !wish.is_about("oaud")) else {
            asks.unsaid.push(format!(
                "`{words}`: it is no fact of the token, or a negation"
            ));
            return;
        };
        if wish.is_of_list() && self.set != Some(Set::AnyValue) {
            asks.unsaid.push(format!(
                "`{words}`: it is a list, of which a fact says what is asked by `ForAnyValue:` and nothing else"
            ));
            return;
        }
        if self.if_exists || self.set == Some(Set::AllValues) {
            asks.narrowed.push(format!(
                "`{words}`: a fact that is missing never matches here"
            ));
        }
        if self.operator.contains("IgnoreCase") {
            asks.narrowed.push(format!(
                "`{words}`: facts are compared exactly, and here in small letters"
            ));
        }
        if wish.is_about("aud") {
            let azp = preset.and_then(|preset| preset.fact_of_claim(&["azp"]));
            // What AWS calls `aud` is `azp` where there is one.
            if azp.is_some() {
                asks.said.push(Wish::new(&["azp"], wish.any.clone()));
            } else if may_have_another_party(preset) {
                asks.narrowed.push(format!(
                    "`{words}`: AWS compares `azp` where a token has one, and here `aud`; so that nobody \
                     else's token is taken, `authorized_parties` asks for an `azp` too: take it out only if \
                     no token of this issuer has one"
                ));
            }
        }
        asks.said.push(wish);
    }

    /// What is wrong with it for tokens of this provider, whatever they say.
    pub(super) fn check(
        &self,
        provider: &str,
        preset: Option<Preset>,
        found: &mut Vec<Finding>,
    ) -> Result<(), Reason> {
        let Some(claim) = claim_of(provider, &self.key) else {
            if !is_of_the_request(&self.key) {
                found.push(self.foreign(provider));
            }
            return Ok(());
        };
        if matches!(self.test, Test::NotOfClaims) {
            return Err(malformed(format!(
                "`{}`: `{}` compares no claim of a token",
                printable(&self.place),
                printable(&self.operator)
            )));
        }
        let is_announced = OF_EVERY_ISSUER.contains(&claim.as_str())
            || preset == Some(Preset::GitHub) && OF_GITHUB.contains(&claim.as_str())
            || matches!(preset, Some(Preset::Google | Preset::CircleCi));
        if !is_announced {
            found.push(self.unknown(preset, &claim));
        }
        Ok(())
    }

    fn foreign(&self, provider: &str) -> Finding {
        let outcome = if self.holds_when_absent() {
            "so it always holds"
        } else {
            "so it never holds"
        };
        Finding::new(
            Code::ConditionKeyForeign,
            &self.place,
            format!(
                "`{}` is no claim of tokens of {}, {outcome}.",
                printable(&self.key),
                printable(provider)
            ),
            format!("Name the key as `{}:…`.", printable(provider)),
        )
    }

    fn unknown(&self, preset: Option<Preset>, claim: &str) -> Finding {
        let handed = if preset == Some(Preset::GitHub) {
            OF_GITHUB.as_slice()
        } else {
            &OF_EVERY_ISSUER
        };
        let outcome = match (preset, self.holds_when_absent()) {
            (Some(Preset::GitHub), _) => "it may never be there",
            (_, true) => "so the condition always holds",
            (_, false) => "so the condition never holds",
        };
        Finding::new(
            Code::ConditionKeyUnknown,
            &self.place,
            format!(
                "AWS is not known to hand on the claim `{}` of this issuer; {outcome}.",
                printable(claim)
            ),
            format!("Use one of {}.", handed.join(", ")),
        )
    }
}

fn no_operator(place: &str, written: &str) -> Reason {
    malformed(format!(
        "`{place}`: there is no operator `{}`",
        printable(written)
    ))
}

fn read_values(place: &str, value: &Value) -> Result<Vec<String>, Reason> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(malformed(format!(
            "`{}` must be a text or a list of texts",
            printable(place)
        ))),
    };
    match value {
        Value::Array(elements) => elements.iter().map(one).collect(),
        other => Ok(vec![one(other)?]),
    }
}

fn read_test(
    place: &str,
    written: &str,
    name: &str,
    values: &[String],
    variables: bool,
) -> Result<Test, Reason> {
    let texts = |wildcards: bool, negated: bool, folds_case: bool| {
        let any = values.iter().map(|value| {
            let value = if folds_case {
                value.to_lowercase()
            } else {
                value.clone()
            };
            if variables {
                Glob::with_variables(&value, wildcards).map_err(|why| {
                    malformed(format!(
                        "`{place}` cannot be evaluated: {}",
                        printable(&why)
                    ))
                })
            } else if wildcards {
                Ok(Glob::parse(&value))
            } else {
                Ok(Glob::literal(&value))
            }
        });
        Ok(Test::Texts {
            any: any.collect::<Result<_, _>>()?,
            negated,
            folds_case,
        })
    };
    let numbers = |compare: Compare| {
        let any = values.iter().map(|value| {
            let number = value.parse::<f64>();
            number.map_err(|_| malformed(format!("`{place}`: a value is no number")))
        });
        Ok(Test::Numbers {
            compare,
            any: any.collect::<Result<_, _>>()?,
        })
    };
    match name {
        "StringEquals" | "Bool" => texts(false, false, name == "Bool"),
        "StringNotEquals" => texts(false, true, false),
        "StringEqualsIgnoreCase" => texts(false, false, true),
        "StringNotEqualsIgnoreCase" => texts(false, true, true),
        "StringLike" => texts(true, false, false),
        "StringNotLike" => texts(true, true, false),
        "NumericEquals" => numbers(Compare::Equal),
        "NumericNotEquals" => numbers(Compare::NotEqual),
        "NumericLessThan" => numbers(Compare::Less),
        "NumericLessThanEquals" => numbers(Compare::LessOrEqual),
        "NumericGreaterThan" => numbers(Compare::Greater),
        "NumericGreaterThanEquals" => numbers(Compare::GreaterOrEqual),
        "Null" => read_null(place, values),
        "ArnEquals"
        | "ArnLike"
        | "ArnNotEquals"
        | "ArnNotLike"
        | "BinaryEquals"
        | "DateEquals"
        | "DateNotEquals"
        | "DateLessThan"
        | "DateLessThanEquals"
        | "DateGreaterThan"
        | "DateGreaterThanEquals"
        | "IpAddress"
        | "NotIpAddress" => Ok(Test::NotOfClaims),
        _ => Err(no_operator(place, written)),
    }
}

fn read_null(place: &str, values: &[String]) -> Result<Test, Reason> {
    let absent = values.iter().map(|value| match value.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(malformed(format!(
            "`{place}`: a value is not true or false"
        ))),
    });
    Ok(Test::Null {
        absent: absent.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GITHUB: &str = "token.actions.githubusercontent.com";

    fn held(operator: &str, values: &Value, claims: &Value) -> Held {
        let key = format!("{GITHUB}:claim");
        let condition = Condition::read("c", operator, &key, values, true).unwrap();
        let claims = claims.as_object().unwrap();
        condition.held(&handed_on(GITHUB, Some(Preset::GitHub), &key, claims))
    }

    #[test]
    fn each_operator_does_with_a_missing_claim_what_iam_says() {
        let absent = json!({});
        for (operator, holds) in [
            ("StringEquals", false),
            ("StringLike", false),
            ("StringNotEquals", true),
            ("StringNotLike", true),
            ("StringEqualsIfExists", true),
            ("StringLikeIfExists", true),
            ("ForAllValues:StringEquals", true),
            ("ForAllValues:StringLike", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringLike", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ] {
            let found = held(operator, &json!("x"), &absent);
            assert_eq!(found, Held::of(holds), "{operator}");
        }
        assert_eq!(held("Null", &json!("true"), &absent), Held::Yes);
        assert_eq!(held("Null", &json!("false"), &absent), Held::No);
        assert_eq!(held("Bool", &json!("true"), &absent), Held::No);
    }

    #[test]
    fn several_values_are_alternatives_and_a_negation_excludes_all() {
        let claims = json!({"claim": "b"});
        for (operator, values, holds) in [
            ("StringEquals", json!(["a", "b"]), true),
            ("StringEquals", json!(["a", "c"]), false),
            ("StringNotEquals", json!(["a", "b"]), false),
            ("StringNotEquals", json!(["a", "c"]), true),
            ("StringEquals", json!("B"), false),
            ("StringEqualsIgnoreCase", json!("B"), true),
            ("StringLike", json!("?"), true),
            ("StringEquals", json!("?"), false),
            ("StringNotLike", json!("*"), false),
            ("StringEquals", json!([]), false),
        ] {
            assert_eq!(
                held(operator, &values, &claims),
                Held::of(holds),
                "{operator} {values}"
            );
        }
        assert_eq!(
            held("NumericLessThan", &json!("10"), &json!({"claim": 9})),
            Held::Yes
        );
        assert_eq!(
            held("Bool", &json!(true), &json!({"claim": true})),
            Held::Yes
        );
    }

    #[test]
    fn lists_are_compared_as_the_set_operator_says() {
        let claims = json!({"claim": ["mfa", "pwd"]});
        for (operator, values, holds) in [
            ("ForAnyValue:StringEquals", json!(["mfa"]), true),
            ("ForAllValues:StringEquals", json!(["mfa"]), false),
            (
                "ForAllValues:StringEquals",
                json!(["mfa", "pwd", "otp"]),
                true,
            ),
            ("ForAnyValue:StringNotEquals", json!(["mfa"]), true),
            ("ForAllValues:StringNotEquals", json!(["mfa"]), false),
            ("StringEquals", json!(["pwd"]), true),
        ] {
            assert_eq!(
                held(operator, &values, &claims),
                Held::of(holds),
                "{operator}"
            );
        }
    }

    #[test]
    fn the_audience_is_the_authorized_party_where_there_is_one() {
        let claims = json!({"aud": "a", "azp": "p"});
        let claims = claims.as_object().unwrap();
        let seen = |key: &str| handed_on("accounts.google.com", Some(Preset::Google), key, claims);
        assert_eq!(seen("accounts.google.com:aud"), Seen::One("p".to_owned()));
        assert_eq!(seen("Accounts.Google.com:OAUD"), Seen::One("a".to_owned()));
        assert_eq!(seen("aws:SourceIp"), Seen::Elsewhere);
        assert_eq!(seen("gitlab.com:sub"), Seen::Absent);
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        for operator in [
            "StringMatches",
            "ForSomeValues:StringEquals",
            "NullIfExists",
        ] {
            let read = Condition::read("c", operator, "k:sub", &json!("true"), true);
            assert!(read.is_err(), "{operator}");
        }
        let variable = json!("repo:${aws:PrincipalTag/team}/*");
        assert!(Condition::read("c", "StringLike", "k:sub", &variable, true).is_err());
        // Before 2012 it was plain text.
        assert!(Condition::read("c", "StringLike", "k:sub", &variable, false).is_ok());
    }
}
