//! Structured authentication configuration of a Kubernetes API server
//! (`AuthenticationConfiguration` of `apiserver.config.k8s.io`).

mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::policy::presets::Preset;
use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value as Json};

use crate::cel::{Budget, Expression, FUEL, Inspection, Scope, Value, contradiction, nested};
use crate::configuration::{Admission, Asks, Configuration, Gate, Hints, System};
use crate::finding::Finding;
use crate::gcp::{audience_step, parse, steps_of};
use crate::glob::Glob;
use crate::members::{list, malformed, object, only, required_text, text, texts};
use crate::trace::{Held, Step, Trace};
use crate::wish::{Want, Wish};
use cel::common::ast::operators;

/// The longest expression that is read here; the API server bounds their cost instead.
const LONGEST: usize = 16_384;

/// Reads a configuration.
pub(crate) fn read(document: &Json) -> Result<Configuration, Reason> {
    let members = object("configuration", document)?;
    only(
        "configuration",
        members,
        &["anonymous", "apiVersion", "jwt", "kind"],
    )?;
    let version = required_text("configuration", members, "apiVersion")?;
    let known = ["v1", "v1beta1", "v1alpha1"].map(|one| format!("apiserver.config.k8s.io/{one}"));
    if !known.iter().any(|one| one == version)
        || text("configuration", members, "kind")? != Some("AuthenticationConfiguration")
    {
        return Err(malformed(format!(
            "it is no `AuthenticationConfiguration` of {}",
            known.join(", ")
        )));
    }
    let mut configuration = Configuration {
        system: System::Kubernetes,
        admissions: Vec::new(),
        found: Vec::new(),
    };
    for (index, value) in list("configuration", members, "jwt")?.iter().enumerate() {
        let place = format!("jwt[{index}]");
        let admission = read_authenticator(&place, value, &mut configuration.found)?;
        configuration.admissions.push(admission);
    }
    if configuration.admissions.is_empty() {
        return Err(malformed("it names no issuer in `jwt`"));
    }
    refused::check_issuers(&refused::issuers(members)?)?;
    Ok(configuration)
}

fn read_authenticator(
    place: &str,
    value: &Json,
    found: &mut Vec<Finding>,
) -> Result<Admission, Reason> {
    const KNOWN: [&str; 4] = [
        "claimMappings",
        "claimValidationRules",
        "issuer",
        "userValidationRules",
    ];
    const OF_ISSUER: [&str; 6] = [
        "audienceMatchPolicy",
        "audiences",
        "certificateAuthority",
        "discoveryURL",
        "egressSelectorType",
        "url",
    ];
    let members = object(place, value)?;
    only(place, members, &KNOWN)?;
    let issuer_place = format!("{place}.issuer");
    let Some(issuer) = members.get("issuer") else {
        return Err(malformed(format!("`{issuer_place}` is missing")));
    };
    let issuer = object(&issuer_place, issuer)?;
    only(&issuer_place, issuer, &OF_ISSUER)?;
    let url = required_text(&issuer_place, issuer, "url")?.to_owned();
    let audiences = list(&issuer_place, issuer, "audiences")?;
    let audiences = texts(
        &format!("{issuer_place}.audiences"),
        &Json::Array(audiences.to_vec()),
    )?;
    if audiences.is_empty() {
        return Err(malformed(format!("`{issuer_place}.audiences` is missing")));
    }
    refused::check_issuer(&issuer_place, issuer, &audiences)?;
    let authenticator = Authenticator {
        audiences,
        claims: read_claim_rules(place, members)?,
        mappings: Mappings::read(&format!("{place}.claimMappings"), members)?,
        users: read_user_rules(place, members)?,
    };
    authenticator.check_whole(place)?;
    authenticator.check(place, &url, found);
    let expressions = authenticator.inspect(place);
    Ok(Admission {
        place: place.to_owned(),
        preset: Preset::of_issuer(&url),
        issuer: url,
        conditions: authenticator.in_words(),
        wishes: authenticator.wishes(&expressions),
        hints: Hints {
            avoided: expressions
                .iter()
                .flat_map(|(_, inspection)| inspection.avoided.clone())
                .collect(),
            more: Vec::new(),
            texts: expressions
                .iter()
                .flat_map(|(_, inspection)| inspection.texts.clone())
                .collect(),
        },
        asks: authenticator.asks(),
        expressions,
        parties: Vec::new(),
        audiences: authenticator.audiences.clone(),
        gate: Box::new(authenticator),
    })
}

/// Who comes in under which name.
#[derive(Debug)]
struct Authenticator {
    audiences: Vec<String>,
    claims: Vec<ClaimRule>,
    mappings: Mappings,
    users: Vec<(String, Expression)>,
}

#[derive(Debug)]
enum ClaimRule {
    Equals {
        claim: String,
        value: String,
    },
    Expression {
        place: String,
        expression: Expression,
    },
}

#[derive(Debug)]
struct Mappings {
    username: Mapping,
    groups: Option<Mapping>,
    uid: Option<Mapping>,
    extra: Vec<(String, Expression)>,
}

#[derive(Debug)]
enum Mapping {
    Claim { claim: String, prefix: String },
    Expression(Expression),
}

fn read_claim_rules(place: &str, members: &Map<String, Json>) -> Result<Vec<ClaimRule>, Reason> {
    let rules = list(place, members, "claimValidationRules")?.iter();
    rules
        .enumerate()
        .map(|(index, rule)| {
            let place = format!("{place}.claimValidationRules[{index}]");
            let members = object(&place, rule)?;
            only(
                &place,
                members,
                &["claim", "expression", "message", "requiredValue"],
            )?;
            match (
                text(&place, members, "claim")?,
                text(&place, members, "expression")?,
            ) {
                (Some(claim), None) => Ok(ClaimRule::Equals {
                    claim: claim.to_owned(),
                    value: text(&place, members, "requiredValue")?
                        .unwrap_or_default()
                        .to_owned(),
                }),
                (None, Some(written)) => Ok(ClaimRule::Expression {
                    expression: parse(&format!("{place}.expression"), written, LONGEST)?,
                    place,
                }),
                _ => Err(malformed(format!(
                    "`{place}` needs `claim` or `expression`, and not both"
                ))),
            }
        })
        .collect()
}

fn read_user_rules(
    place: &str,
    members: &Map<String, Json>,
) -> Result<Vec<(String, Expression)>, Reason> {
    let rules = list(place, members, "userValidationRules")?.iter();
    rules
        .enumerate()
        .map(|(index, rule)| {
            let place = format!("{place}.userValidationRules[{index}]");
            let members = object(&place, rule)?;
            only(&place, members, &["expression", "message"])?;
            let written = required_text(&place, members, "expression")?;
            let expression = parse(&format!("{place}.expression"), written, LONGEST)?;
            Ok((place, expression))
        })
        .collect()
}

impl Mappings {
    fn read(place: &str, members: &Map<String, Json>) -> Result<Self, Reason> {
        let Some(value) = members.get("claimMappings") else {
            return Err(malformed(format!("`{place}` is missing")));
        };
        let members = object(place, value)?;
        only(place, members, &["extra", "groups", "uid", "username"])?;
        let one = |name: &str| match members.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => Mapping::read(&format!("{place}.{name}"), value),
        };
        let extra = list(place, members, "extra")?.iter().enumerate();
        let extra = extra.map(|(index, value)| {
            let place = format!("{place}.extra[{index}]");
            let members = object(&place, value)?;
            only(&place, members, &["key", "valueExpression"])?;
            let key = required_text(&place, members, "key")?.to_owned();
            let written = required_text(&place, members, "valueExpression")?;
            Ok((
                key,
                parse(&format!("{place}.valueExpression"), written, LONGEST)?,
            ))
        });
        let extra: Vec<(String, Expression)> = extra.collect::<Result<_, Reason>>()?;
        refused::check_extra(place, &extra)?;
        Ok(Self {
            username: one("username")?
                .ok_or_else(|| malformed(format!("`{place}.username` is missing")))?,
            groups: one("groups")?,
            uid: one("uid")?,
            extra,
        })
    }
}

impl Mappings {
    /// The expressions, each with what becomes of it.
    fn expressions(&self) -> impl Iterator<Item = (&str, &Expression)> {
        let mapped = [
            ("username", Some(&self.username)),
            ("groups", self.groups.as_ref()),
            ("uid", self.uid.as_ref()),
        ];
        let mapped = mapped
            .into_iter()
            .filter_map(|(name, mapping)| match mapping {
                Some(Mapping::Expression(expression)) => Some((name, expression)),
                Some(Mapping::Claim { .. }) | None => None,
            });
        let extra = self.extra.iter();
        mapped.chain(extra.map(|(key, expression)| (key.as_str(), expression)))
    }

    /// What must be one text, and the claims that it is made of.
    fn texts(&self) -> impl Iterator<Item = (&'static str, String, Vec<Vec<String>>)> {
        let texts = [
            ("username", Some(&self.username)),
            ("uid", self.uid.as_ref()),
        ];
        texts.into_iter().filter_map(|(name, mapping)| {
            let mapping = mapping?;
            let needed = match mapping {
                Mapping::Claim { claim, .. } => vec![vec![claim.clone()]],
                Mapping::Expression(expression) => expression.needs(&claim_of),
            };
            Some((name, mapping.in_words(), needed))
        })
    }

    /// The claims without which there is no user.
    fn needs(&self) -> Vec<Vec<String>> {
        let mut needed = match &self.username {
            Mapping::Claim { claim, .. } => vec![vec![claim.clone()]],
            Mapping::Expression(expression) => expression.needs(&claim_of),
        };
        for mapping in [&self.groups, &self.uid].into_iter().flatten() {
            if let Mapping::Expression(expression) = mapping {
                needed.extend(expression.needs(&claim_of));
            }
        }
        // Groups may be missing.
        if let Some(Mapping::Claim { claim, .. }) = &self.uid {
            needed.push(vec![claim.clone()]);
        }
        for (_, expression) in &self.extra {
            needed.extend(expression.needs(&claim_of));
        }
        needed
    }
}

impl Mapping {
    fn read(place: &str, value: &Json) -> Result<Option<Self>, Reason> {
        let members = object(place, value)?;
        only(place, members, &["claim", "expression", "prefix"])?;
        let claim = text(place, members, "claim")?.filter(|text| !text.is_empty());
        let written = text(place, members, "expression")?.filter(|text| !text.is_empty());
        match (claim, written) {
            (Some(claim), None) => {
                let prefix = text(place, members, "prefix")?;
                let is_name = place.ends_with(".username") || place.ends_with(".groups");
                if prefix.is_none() && is_name {
                    return Err(malformed(format!(
                        "`{place}.prefix` is missing; it may be empty, but must be said"
                    )));
                }
                Ok(Some(Self::Claim {
                    claim: claim.to_owned(),
                    prefix: prefix.unwrap_or_default().to_owned(),
                }))
            }
            (None, Some(written)) => {
                let expression = parse(&format!("{place}.expression"), written, LONGEST)?;
                Ok(Some(Self::Expression(expression)))
            }
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(malformed(format!(
                "`{place}` needs `claim` or `expression`, and not both"
            ))),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Claim { claim, prefix } => format!("'{prefix}' + claims.{claim}"),
            Self::Expression(expression) => expression.to_string(),
        }
    }

    /// The value, or why there is none.
    fn value(
        &self,
        scope: &Scope,
        claims: &Map<String, Json>,
        budget: &mut Budget,
    ) -> Result<Option<Value>, String> {
        match self {
            Self::Expression(expression) => {
                let value = expression.evaluate_within(scope, budget);
                value.map(Some).map_err(|why| why.to_string())
            }
            Self::Claim { claim, prefix } => match claims.get(claim) {
                None => Ok(None),
                Some(Json::String(text)) => Ok(Some(Value::Text(format!("{prefix}{text}").into()))),
                Some(Json::Null) => Ok(Some(Value::Null)),
                Some(Json::Array(elements)) => {
                    let texts = elements.iter().map(|element| match element {
                        Json::String(text) => Ok(Value::Text(format!("{prefix}{text}").into())),
                        // Read into a text, it is the empty one there.
                        Json::Null => Ok(Value::Text(prefix.as_str().into())),
                        _ => Err(format!("the list `{claim}` has what is no text")),
                    });
                    Ok(Some(Value::List(texts.collect::<Result<_, _>>()?)))
                }
                Some(_) => Err(format!("the claim `{claim}` is no text")),
            },
        }
    }

    /// What becomes of a value that is mapped to `groups` or `uid`. Groups that are not there are none; a
    /// UID that is not there refuses whoever lacks it, and so does what is no text.
    fn fitting(&self, member: &str, value: Option<Value>) -> Result<Option<Value>, String> {
        match value {
            value if member == "groups" => value.map_or(Ok(None), fitting_texts),
            None => Err("the claim is missing".to_owned()),
            Some(Value::Text(text)) => Ok(Some(Value::Text(text))),
            // Read into a text, it is the empty one there; as the value of an expression it is none.
            Some(Value::Null) if matches!(self, Self::Claim { .. }) => Ok(None),
            Some(_) => Err("it is no text".to_owned()),
        }
    }

    fn claim(&self) -> Option<String> {
        match self {
            Self::Claim { claim, .. } => Some(claim.clone()),
            Self::Expression(expression) => {
                let mut paths = Vec::new();
                paths_in(expression, &mut paths);
                paths.into_iter().next()
            }
        }
    }
}

/// Texts, or one of them: what is something else refuses whoever has it. Nothing, which JSON calls null, is
/// none.
fn fitting_texts(value: Value) -> Result<Option<Value>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(Value::List(Arc::from([Value::Text(text)])))),
        Value::List(texts) if texts.iter().all(|one| matches!(one, Value::Text(_))) => {
            Ok(Some(Value::List(texts)))
        }
        _ => Err("it is neither a text nor a list of texts".to_owned()),
    }
}

/// A rule on one claim, as the expression that says the same.
fn written_out(claim: &str, value: &str) -> Expression {
    let root = Box::new(Expression::Name("claims".to_owned()));
    Expression::Call {
        name: operators::EQUALS.to_owned(),
        target: None,
        arguments: vec![
            Expression::Member(root, claim.to_owned()),
            Expression::Value(Value::Text(value.into())),
        ],
    }
}

fn equality(claim: &str, value: &str) -> Wish {
    Wish::new(&[claim], vec![Want::Glob(Glob::literal(value))])
}

fn paths_in(expression: &Expression, found: &mut Vec<String>) {
    if let Some(path) = expression.path() {
        if let [root, claim] = path.as_slice()
            && root == "claims"
        {
            found.push(claim.clone());
        }
        return;
    }
    for part in expression.parts() {
        paths_in(part, found);
    }
}

fn claim_of(path: &[String]) -> Option<Vec<String>> {
    match path {
        [root, rest @ ..] if root == "claims" && !rest.is_empty() => Some(rest.to_vec()),
        _ => None,
    }
}

impl Authenticator {
    fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for rule in &self.claims {
            match rule {
                ClaimRule::Equals { claim, value } => words.push(format!("{claim} = {value}")),
                ClaimRule::Expression { expression, .. } => {
                    words.extend(expression.conjuncts().into_iter().map(ToString::to_string));
                }
            }
        }
        let users = self.users.iter();
        words.extend(users.map(|(_, expression)| expression.to_string()));
        words.push(format!("audience = {}", self.audiences.join(" or ")));
        words.push(format!("username = {}", self.mappings.username.in_words()));
        words
    }

    /// What must hold, as far as facts can say it. Who has no name is refused, and so is whoever
    /// lacks a claim that another mapping reads.
    fn asks(&self) -> Asks {
        let mut asks = Asks::default();
        for rule in &self.claims {
            match rule {
                ClaimRule::Equals { claim, value } => asks.said.push(equality(claim, value)),
                ClaimRule::Expression { expression, .. } => asks.condition(expression, &claim_of),
            }
        }
        for (_, rule) in &self.users {
            let words = printable(&rule.to_string());
            asks.unsaid
                .push(format!("`{words}`: identities here have no such names"));
        }
        for (name, expression) in self.mappings.expressions() {
            let may_fail = !expression.has_value(&claim_of)
                || name == "username" && !expression.is_never_empty();
            if may_fail {
                let words = printable(&expression.to_string());
                asks.unsaid.push(format!(
                    "`{name} = {words}`: what it has no value for is refused there"
                ));
            }
        }
        for (name, words, needed) in self.mappings.texts() {
            asks.refuse_list(name, &printable(&words), &needed);
        }
        let others = [
            ("groups", &self.mappings.groups, "a text or a list of texts"),
            ("uid", &self.mappings.uid, "a text"),
        ];
        for (member, mapping, fitting) in others {
            if let Some(Mapping::Claim { claim, .. }) = mapping {
                let claim = printable(claim);
                asks.narrowed.push(format!(
                    "`{member}` is made of the claim `{claim}`: who has something else in it than {fitting} is \
                     refused there, and is not for that here"
                ));
            }
        }
        let needed = self.mappings.needs().into_iter();
        asks.said.extend(needed.map(Wish::present));
        if let Mapping::Claim { claim, .. } = &self.mappings.username {
            let any = vec![Want::Present, Want::Glob(Glob::parse("*"))];
            asks.said.push(Wish::new(&[claim], any));
        }
        asks
    }

    /// What each expression looks for, by its place.
    fn inspect(&self, place: &str) -> Vec<(String, Inspection)> {
        let mut inspections = Vec::new();
        for rule in &self.claims {
            if let ClaimRule::Expression { place, expression } = rule {
                let inspection = Inspection::of(expression, &claim_of);
                inspections.push((format!("{place}.expression"), inspection));
            }
        }
        for (place, expression) in &self.users {
            let inspection = Inspection::of(expression, &|path| self.claim_of_user(path));
            inspections.push((format!("{place}.expression"), inspection));
        }
        if let Mapping::Expression(expression) = &self.mappings.username {
            let mut inspection = Inspection::of(expression, &claim_of);
            // A name is no condition.
            inspection.wishes.clear();
            inspections.push((
                format!("{place}.claimMappings.username.expression"),
                inspection,
            ));
        }
        inspections
    }

    fn wishes(&self, expressions: &[(String, Inspection)]) -> Vec<Wish> {
        let rules = self.claims.iter().filter_map(|rule| match rule {
            ClaimRule::Equals { claim, value } => Some(equality(claim, value)),
            ClaimRule::Expression { .. } => None,
        });
        let inspected = expressions.iter().flat_map(|(_, one)| one.wishes.clone());
        // Who lacks a claim that becomes the name is nobody.
        let needed = self.mappings.needs().into_iter().map(Wish::present);
        rules.chain(inspected).chain(needed).collect()
    }

    /// The claim behind a name of the user, if it is that claim as it is.
    fn claim_of_user(&self, path: &[String]) -> Option<Vec<String>> {
        match path {
            [root, name] if root == "user" && name == "username" => match &self.mappings.username {
                Mapping::Claim { claim, prefix } if prefix.is_empty() => Some(vec![claim.clone()]),
                Mapping::Expression(expression) => claim_of(&expression.path()?),
                Mapping::Claim { .. } => None,
            },
            _ => None,
        }
    }

    /// What is wrong with the names, whatever the claims are.
    fn check(&self, place: &str, issuer: &str, found: &mut Vec<Finding>) {
        let Some(claim) = self.mappings.username.claim() else {
            return;
        };
        let place = format!("{place}.claimMappings.username");
        found.extend(Finding::of_subject(place, &claim, issuer, "claims"));
    }

    /// The user that claims become, and the steps that lead there.
    fn user(
        &self,
        scope: &Scope,
        claims: &Map<String, Json>,
        budget: &mut Budget,
    ) -> (Vec<Step>, Value) {
        let mut steps = Vec::new();
        let mut user = BTreeMap::new();
        let name = self.mappings.username.value(scope, claims, budget);
        let held = match &name {
            Ok(Some(Value::Text(name))) if !name.is_empty() => Held::Yes,
            Ok(Some(_)) => Held::Failed("it is empty, or no text".to_owned()),
            Ok(None) => Held::Failed("the claim is missing".to_owned()),
            Err(why) => Held::Failed(why.clone()),
        };
        steps.push(Step {
            condition: format!("username = {}", self.mappings.username.in_words()),
            seen: name
                .as_ref()
                .ok()
                .and_then(Option::as_ref)
                .and_then(|name| match name {
                    Value::Text(text) => Some(text.to_string()),
                    _ => None,
                }),
            held,
        });
        if let Ok(Some(name)) = name {
            user.insert("username".to_owned(), name);
        }
        let others = [
            ("groups", &self.mappings.groups),
            ("uid", &self.mappings.uid),
        ];
        for (member, mapping) in others {
            let Some(mapping) = mapping else { continue };
            let value = mapping.value(scope, claims, budget);
            match value.and_then(|value| mapping.fitting(member, value)) {
                Ok(value) => user.extend(value.map(|value| (member.to_owned(), value))),
                Err(why) => steps.push(Step {
                    condition: format!("{member} = {}", mapping.in_words()),
                    seen: None,
                    held: Held::Failed(why),
                }),
            }
        }
        for (key, expression) in &self.mappings.extra {
            let value = expression.evaluate_within(scope, budget);
            let value = value.map_err(|why| why.to_string());
            if let Err(why) = value.and_then(fitting_texts) {
                steps.push(Step {
                    condition: format!("extra {key} = {expression}"),
                    seen: None,
                    held: Held::Failed(why),
                });
            }
        }
        (steps, Value::Map(Arc::new(user)))
    }
}

impl Gate for Authenticator {
    fn contradiction(&self, names_are_plain: bool) -> Option<String> {
        // Names are not looked at here.
        if names_are_plain {
            return None;
        }
        let rules = self.claims.iter().filter_map(|rule| match rule {
            ClaimRule::Equals { claim, value } => Some(written_out(claim, value)),
            ClaimRule::Expression { .. } => None,
        });
        let rules: Vec<Expression> = rules.collect();
        let expressions = self.claims.iter().filter_map(|rule| match rule {
            ClaimRule::Equals { .. } => None,
            ClaimRule::Expression { expression, .. } => Some(expression.conjuncts()),
        });
        let parts: Vec<&Expression> = rules.iter().chain(expressions.flatten()).collect();
        let scope = |claim: &[String], value: &Json| {
            Scope::default().with("claims", Value::of_json(&nested(claim, value)))
        };
        contradiction(&parts, &claim_of, &scope)
    }

    fn trace(&self, claims: &Map<String, Json>, budget: &mut Budget) -> Trace {
        let mut steps = vec![audience_step(&self.audiences, claims)];
        let scope = Scope::default().with("claims", Value::of_json(&Json::Object(claims.clone())));
        for rule in &self.claims {
            match rule {
                ClaimRule::Equals { claim, value } => steps.push(Step {
                    condition: format!("{claim} = {value}"),
                    seen: claims.get(claim).and_then(Json::as_str).map(str::to_owned),
                    held: Held::of(claims.get(claim).and_then(Json::as_str) == Some(value)),
                }),
                ClaimRule::Expression { expression, .. } => {
                    let part = Some(expression);
                    steps.extend(steps_of(part, &scope, claims, &claim_of, budget));
                }
            }
        }
        let (of_user, user) = self.user(&scope, claims, budget);
        steps.extend(of_user);
        let scope = Scope::default().with("user", user);
        for (_, expression) in &self.users {
            let paths = |path: &[String]| self.claim_of_user(path);
            let part = Some(expression);
            steps.extend(steps_of(part, &scope, claims, &paths, budget));
        }
        Trace::all_of(steps)
    }

    fn cost(&self, claims: &Map<String, Json>) -> u64 {
        let scope = Scope::default().with("claims", Value::of_json(&Json::Object(claims.clone())));
        let mut budget = Budget::of(FUEL);
        for rule in &self.claims {
            if let ClaimRule::Expression { expression, .. } = rule {
                // It is only about what that takes.
                let _ = expression.evaluate_within(&scope, &mut budget);
            }
        }
        let (_, user) = self.user(&scope, claims, &mut budget);
        let of_user = Scope::default().with("user", user);
        for (_, expression) in &self.users {
            let _ = expression.evaluate_within(&of_user, &mut budget);
        }
        FUEL - budget.left()
    }

    fn names_reserved(&self, claims: &Map<String, Json>, budget: &mut Budget) -> Option<String> {
        let scope = Scope::default().with("claims", Value::of_json(&Json::Object(claims.clone())));
        budget.begin();
        let (_, user) = self.user(&scope, claims, budget);
        let Value::Map(user) = user else { return None };
        let is_reserved = |value: &Value| match value {
            Value::Text(text) if text.starts_with("system:") => Some(text.to_string()),
            _ => None,
        };
        match user.get("groups") {
            Some(Value::List(groups)) => groups.iter().find_map(is_reserved),
            _ => None,
        }
        .or_else(|| user.get("username").and_then(is_reserved))
        .map(|name| printable(&name))
    }

    fn reserving_claims(&self) -> Vec<String> {
        let mappings = [Some(&self.mappings.username), self.mappings.groups.as_ref()];
        mappings
            .into_iter()
            .flatten()
            .filter_map(Mapping::claim)
            .collect()
    }
}
