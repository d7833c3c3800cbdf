//! Workload identity providers of Google Cloud, as
//! `gcloud iam workload-identity-pools providers describe --format=json` prints them.

use std::collections::BTreeMap;

use avouch_core::policy::presets::Preset;
use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value as Json};

use crate::cel::{
    Budget, Expression, FUEL, Failure, Inspection, Scope, Value, contradiction, nested,
};
use crate::configuration::{Admission, Asks, Configuration, Gate, Hints, System};
use crate::finding::Finding;
use crate::members::{list, malformed, object, required_text, text, texts};
use crate::trace::{Held, Step, Trace};
use crate::wish::Wish;

/// The longest condition and the longest mapping that Google Cloud takes, in characters.
const LONGEST_CONDITION: usize = 4_096;
const LONGEST_MAPPING: usize = 2_048;

/// Reads one provider, or a list of them. A pool by itself admits nobody.
pub(crate) fn read(document: &Json) -> Result<Configuration, Reason> {
    let providers: Vec<(String, &Json)> = match document {
        Json::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(index, element)| (format!("provider[{index}]"), element))
            .collect(),
        one => vec![("provider".to_owned(), one)],
    };
    let mut configuration = Configuration {
        system: System::Gcp,
        admissions: Vec::new(),
        found: Vec::new(),
    };
    for (place, provider) in providers {
        let admission = read_provider(&place, provider, &mut configuration.found)?;
        configuration.admissions.extend(admission);
    }
    if configuration.admissions.is_empty() {
        return Err(malformed("no provider in it is enabled"));
    }
    Ok(configuration)
}

fn read_provider(
    place: &str,
    value: &Json,
    found: &mut Vec<Finding>,
) -> Result<Option<Admission>, Reason> {
    let members = object(place, value)?;
    let Some(oidc) = members.get("oidc") else {
        let is_other = ["aws", "saml", "x509"]
            .iter()
            .any(|kind| members.contains_key(*kind));
        let is_pool = !is_other
            && members
                .get("name")
                .and_then(Json::as_str)
                .is_some_and(|name| !name.contains("/providers/"));
        return Err(malformed(if is_pool {
            format!("`{place}` is a pool, which admits nobody by itself; describe its providers")
        } else {
            format!("`{place}.oidc` is missing; providers of SAML, X.509 and AWS are not read")
        }));
    };
    let is_off = members.get("disabled") == Some(&Json::Bool(true))
        || members.get("state").is_some_and(|state| state != "ACTIVE");
    if is_off {
        return Ok(None);
    }
    let oidc_place = format!("{place}.oidc");
    let oidc = object(&oidc_place, oidc)?;
    let issuer = required_text(&oidc_place, oidc, "issuerUri")?.to_owned();
    let allowed = list(&oidc_place, oidc, "allowedAudiences")?;
    let allowed = texts(
        &format!("{oidc_place}.allowedAudiences"),
        &Json::Array(allowed.to_vec()),
    )?;
    let name = text(place, members, "name")?.unwrap_or_default();
    let provider = Provider {
        audiences: if allowed.is_empty() {
            vec![
                format!("https://iam.googleapis.com/{name}"),
                format!("//iam.googleapis.com/{name}"),
            ]
        } else {
            allowed
        },
        mapping: read_mapping(place, members)?,
        condition: read_condition(place, members)?,
    };
    let preset = Preset::of_issuer(&issuer);
    if let Some(claim) = provider.subject_claim() {
        let place = format!("{place}.attributeMapping.google.subject");
        found.extend(Finding::of_subject(place, &claim, &issuer, "assertion"));
    }
    let inspection = provider.inspect();
    Ok(Some(Admission {
        place: place.to_owned(),
        issuer,
        preset,
        conditions: provider.in_words(),
        wishes: provider.wishes(&inspection),
        hints: Hints {
            avoided: inspection.avoided.clone(),
            more: Vec::new(),
            texts: inspection.texts.clone(),
        },
        asks: provider.asks(),
        expressions: vec![(format!("{place}.attributeCondition"), inspection)],
        audiences: provider.audiences.clone(),
        parties: Vec::new(),
        gate: Box::new(provider),
    }))
}

fn read_condition(place: &str, members: &Map<String, Json>) -> Result<Option<Expression>, Reason> {
    let written = text(place, members, "attributeCondition")?;
    let Some(written) = written.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let place = format!("{place}.attributeCondition");
    parse(&place, written, LONGEST_CONDITION).map(Some)
}

fn read_mapping(
    place: &str,
    members: &Map<String, Json>,
) -> Result<BTreeMap<String, Expression>, Reason> {
    let place = format!("{place}.attributeMapping");
    let Some(value) = members.get("attributeMapping") else {
        return Err(malformed(format!("`{place}` is missing")));
    };
    let mapping = object(&place, value)?.iter().map(|(target, written)| {
        let place = format!("{place}.{target}");
        let written = written
            .as_str()
            .ok_or_else(|| malformed(format!("`{place}` must be a text")))?;
        let is_known = matches!(target.as_str(), "google.subject" | "google.groups")
            || target.starts_with("google.")
            || target.starts_with("attribute.");
        if !is_known {
            return Err(malformed(format!(
                "`{}` is no attribute; they begin with `google.` or `attribute.`",
                printable(&place)
            )));
        }
        Ok((target.clone(), parse(&place, written, LONGEST_MAPPING)?))
    });
    let mapping: BTreeMap<String, Expression> = mapping.collect::<Result<_, _>>()?;
    if mapping.contains_key("google.subject") {
        Ok(mapping)
    } else {
        Err(malformed(format!("`{place}.google.subject` is missing")))
    }
}

pub(crate) fn parse(place: &str, text: &str, longest: usize) -> Result<Expression, Reason> {
    if text.chars().count() > longest {
        return Err(malformed(format!(
            "`{place}` is over {longest} characters long, and is not evaluated"
        )));
    }
    Expression::parse(text)
        .map_err(|why| malformed(format!("`{}`: {}", printable(place), printable(&why))))
}

#[derive(Debug)]
struct Provider {
    audiences: Vec<String>,
    mapping: BTreeMap<String, Expression>,
    condition: Option<Expression>,
}

impl Provider {
    fn in_words(&self) -> Vec<String> {
        let condition = self.condition.iter().flat_map(Expression::conjuncts);
        let mut words: Vec<String> = condition.map(ToString::to_string).collect();
        words.push(format!("audience = {}", self.audiences.join(" or ")));
        words
    }

    fn inspect(&self) -> Inspection {
        let Some(condition) = &self.condition else {
            return Inspection::default();
        };
        Inspection::of(condition, &|path| self.claim_of(path))
    }

    /// What is tried: what the condition looks for, and what the mappings read, without which they fail.
    fn wishes(&self, inspection: &Inspection) -> Vec<Wish> {
        let paths = |path: &[String]| self.claim_of(path);
        let read = self.mapping.values();
        let needed = read.flat_map(|expression| expression.needs(&paths));
        let needed = needed.map(Wish::present);
        inspection.wishes.iter().cloned().chain(needed).collect()
    }

    /// The claim by which subjects are called, if it is one as it is.
    fn subject_claim(&self) -> Option<String> {
        let subject = ["google", "subject"].map(str::to_owned);
        match self.claim_of(&subject)?.as_slice() {
            [claim] => Some(claim.clone()),
            _ => None,
        }
    }

    /// What must hold, as far as facts can say it. A mapping whose claim is missing fails, and that
    /// refuses the token.
    fn asks(&self) -> Asks {
        let paths = |path: &[String]| self.claim_of(path);
        let mut asks = Asks::default();
        if let Some(condition) = &self.condition {
            asks.condition(condition, &paths);
        }
        for (target, expression) in &self.mapping {
            let may_fail = !expression.has_value(&paths)
                || target == "google.subject" && !expression.is_never_empty();
            if may_fail {
                let words = printable(&expression.to_string());
                asks.unsaid.push(format!(
                    "`{target} = {words}`: what it has no value for is refused there"
                ));
            }
            let words = printable(&expression.to_string());
            let needed = expression.needs(&paths);
            if target != "google.groups" {
                asks.refuse_list(target, &words, &needed);
                asks.said.extend(needed.into_iter().map(Wish::present));
                continue;
            }
            let list = expression.path().and_then(|path| paths(&path));
            // Whoever has a list with what is asked for has one.
            let is_asked = list.is_some_and(|list| asks.asks_list(&list));
            if !is_asked && !needed.is_empty() {
                asks.unsaid.push(format!(
                    "`{target} = {words}`: it must be a list, and no condition asks what the claim has"
                ));
            }
        }
        asks
    }

    /// The claim that a name of the condition comes from: `assertion.x` itself, and an attribute
    /// if it is mapped from one claim as it is.
    fn claim_of(&self, path: &[String]) -> Option<Vec<String>> {
        match path {
            [root, rest @ ..] if root == "assertion" && !rest.is_empty() => Some(rest.to_vec()),
            [root, name] if matches!(root.as_str(), "attribute" | "google") => {
                let from = self.mapping.get(&format!("{root}.{name}"))?;
                match from.path()?.as_slice() {
                    [root, rest @ ..] if root == "assertion" => Some(rest.to_vec()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The names of the condition, or what cannot be mapped and why.
    fn scope(
        &self,
        claims: &Map<String, Json>,
        budget: &mut Budget,
    ) -> Result<Scope, (String, Failure)> {
        let assertion = Value::of_json(&Json::Object(claims.clone()));
        let scope = Scope::default().with("assertion", assertion);
        let mut groups: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
        for (target, expression) in &self.mapping {
            let value = expression.evaluate_within(&scope, budget);
            let value = value.map_err(|why| (format!("{target} = {expression}"), why))?;
            if let Some((root, name)) = target.split_once('.') {
                let members = groups.entry(root).or_default();
                members.insert(name.to_owned(), value);
            }
        }
        let mapped = |root: &str| {
            let members = groups.get(root).cloned().unwrap_or_default();
            Value::Map(std::sync::Arc::new(members))
        };
        Ok(scope
            .clone()
            .with("attribute", mapped("attribute"))
            .with("google", mapped("google")))
    }
}

impl Gate for Provider {
    fn contradiction(&self, names_are_plain: bool) -> Option<String> {
        // Names are not looked at here.
        if names_are_plain {
            return None;
        }
        let parts = self.condition.iter().flat_map(Expression::conjuncts);
        let paths = |path: &[String]| self.claim_of(path);
        // The condition sees the claim itself, and what is mapped from it as it is.
        let scope = |claim: &[String], value: &Json| {
            let assertion = Value::of_json(&nested(claim, value));
            let mut scope = Scope::default().with("assertion", assertion);
            for root in ["attribute", "google"] {
                let members = self.mapping.keys().filter_map(|target| {
                    let name = target.strip_prefix(root)?.strip_prefix('.')?;
                    let from = self.claim_of(&[root.to_owned(), name.to_owned()])?;
                    (from == claim).then(|| (name.to_owned(), Value::of_json(value)))
                });
                let members: BTreeMap<String, Value> = members.collect();
                scope = scope.with(root, Value::Map(std::sync::Arc::new(members)));
            }
            scope
        };
        contradiction(&parts.collect::<Vec<_>>(), &paths, &scope)
    }

    fn trace(&self, claims: &Map<String, Json>, budget: &mut Budget) -> Trace {
        let audience = audience_step(&self.audiences, claims);
        let scope = match self.scope(claims, budget) {
            Ok(scope) => scope,
            Err((condition, why)) => {
                return Trace::all_of(vec![
                    audience,
                    Step {
                        condition,
                        seen: None,
                        held: Held::of_failure(&why),
                    },
                ]);
            }
        };
        let mut steps = vec![audience];
        let paths = |path: &[String]| self.claim_of(path);
        let condition = self.condition.as_ref();
        steps.extend(steps_of(condition, &scope, claims, &paths, budget));
        Trace::all_of(steps)
    }

    fn cost(&self, claims: &Map<String, Json>) -> u64 {
        let mut budget = Budget::of(FUEL);
        if let (Ok(scope), Some(condition)) = (self.scope(claims, &mut budget), &self.condition) {
            // It is only about what that takes.
            let _ = condition.evaluate_within(&scope, &mut budget);
        }
        FUEL - budget.left()
    }
}

/// Whether a token is for one of these.
pub(crate) fn audience_step(audiences: &[String], claims: &Map<String, Json>) -> Step {
    let said = match claims.get("aud") {
        Some(Json::String(text)) => vec![text.clone()],
        Some(Json::Array(elements)) => elements
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    Step {
        condition: format!("audience = {}", audiences.join(" or ")),
        seen: (!said.is_empty()).then(|| said.join(", ")),
        held: Held::of(said.iter().any(|one| audiences.contains(one))),
    }
}

/// What comes of each part of a condition that must hold.
pub(crate) fn steps_of(
    condition: Option<&Expression>,
    scope: &Scope,
    claims: &Map<String, Json>,
    paths: &dyn Fn(&[String]) -> Option<Vec<String>>,
    budget: &mut Budget,
) -> Vec<Step> {
    let parts = condition.into_iter().flat_map(Expression::conjuncts);
    parts
        .map(|part| {
            let value = part.evaluate_within(scope, budget);
            Step {
                condition: part.to_string(),
                seen: seen(part, claims, paths),
                held: match value {
                    Ok(Value::Bool(flag)) => Held::of(flag),
                    Ok(other) => {
                        Held::Failed(format!("it is a {}, not true or false", other.kind()))
                    }
                    Err(why) => Held::of_failure(&why),
                },
            }
        })
        .collect()
}

/// What the claims have where a part of a condition looks.
fn seen(
    part: &Expression,
    claims: &Map<String, Json>,
    paths: &dyn Fn(&[String]) -> Option<Vec<String>>,
) -> Option<String> {
    if let Some(claim) = part.path().and_then(|path| paths(&path)) {
        let (first, rest) = claim.split_first()?;
        let value = rest
            .iter()
            .try_fold(claims.get(first)?, |value, member| value.get(member))?;
        return Some(match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        });
    }
    part.parts()
        .into_iter()
        .find_map(|inner| seen(inner, claims, paths))
}
