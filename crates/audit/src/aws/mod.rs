//! Trust policies of AWS roles: who may assume a role with a token (`AssumeRoleWithWebIdentity`).

mod condition;
mod empty;

use avouch_core::policy::presets::Preset;
use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value};

use crate::cel::Budget;
use crate::configuration::{Admission, Asks, Configuration, Gate, Hints, System};
use crate::finding::{Code, Finding, Severity};
use crate::glob::Glob;
use crate::members::{malformed, object, only, text, texts};
use crate::trace::{Held, Step, Trace};
use crate::wish::Wish;
use condition::{Condition, Meaning, handed_on, may_have_another_party};

/// The call by which a role is assumed with a token.
const WITH_A_TOKEN: &str = "sts:AssumeRoleWithWebIdentity";

/// The calls by which it is assumed in another way.
const OTHERWISE: [&str; 2] = ["sts:AssumeRole", "sts:AssumeRoleWithSAML"];

/// The version of the language in which variables stand in values; the one before is plain.
const WITH_VARIABLES: &str = "2012-10-17";

/// Reads a trust policy: the document itself, or what `aws iam get-role` prints.
pub(crate) fn read(document: &Value) -> Result<Configuration, Reason> {
    let policy = policy_in(document);
    let members = object("policy", policy)?;
    only("policy", members, &["Id", "Statement", "Version"])?;
    let version = text("policy", members, "Version")?.unwrap_or("2008-10-17");
    if !matches!(version, WITH_VARIABLES | "2008-10-17") {
        return Err(malformed(format!(
            "the version `{}` is none of IAM's",
            printable(version)
        )));
    }
    let statements: Vec<&Value> = match members.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(malformed("`policy.Statement` is missing")),
    };
    let mut reader = Reader {
        variables: version == WITH_VARIABLES,
        found: Vec::new(),
        allows: Vec::new(),
        denies: Vec::new(),
    };
    for (index, statement) in statements.iter().enumerate() {
        reader.statement(&format!("Statement[{index}]"), statement)?;
    }
    reader.configuration()
}

fn policy_in(document: &Value) -> &Value {
    let role = document.get("Role").unwrap_or(document);
    role.get("AssumeRolePolicyDocument").unwrap_or(document)
}

struct Reader {
    variables: bool,
    found: Vec<Finding>,
    allows: Vec<Statement>,
    denies: Vec<Statement>,
}

struct Statement {
    place: String,
    principals: Principals,
    conditions: Vec<Condition>,
}

/// Whom a statement is about.
struct Principals {
    reach: Reach,
    /// The providers that are named, by what stands after `oidc-provider/`.
    providers: Vec<String>,
}

#[derive(Clone, Copy)]
enum Reach {
    Everyone,
    /// Those that are named; accounts and services never come with a token.
    Named,
    /// All but those.
    Others,
}

impl Principals {
    fn include(&self, provider: &String) -> bool {
        match self.reach {
            Reach::Everyone => true,
            Reach::Named => self.providers.contains(provider),
            Reach::Others => !self.providers.contains(provider),
        }
    }
}

impl Statement {
    /// The providers whose tokens it admits. Everyone else that it may admit is reported as such.
    fn admitted(&self) -> &[String] {
        match self.principals.reach {
            Reach::Everyone | Reach::Named => &self.principals.providers,
            Reach::Others => &[],
        }
    }
}

impl Reader {
    fn statement(&mut self, place: &str, value: &Value) -> Result<(), Reason> {
        const KNOWN: [&str; 7] = [
            "Action",
            "Condition",
            "Effect",
            "NotAction",
            "NotPrincipal",
            "Principal",
            "Sid",
        ];
        let members = object(place, value)?;
        only(place, members, &KNOWN)?;
        let allows = match text(place, members, "Effect")? {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(malformed(format!("`{place}.Effect` is Allow or Deny"))),
        };
        if !is_about(WITH_A_TOKEN, place, members)? {
            return self.without_tokens(place, members, allows);
        }
        let conditions = self.conditions(place, members)?;
        let principals = self.principals(place, members, allows, conditions.is_empty())?;
        let statement = Statement {
            place: place.to_owned(),
            principals,
            conditions,
        };
        if allows {
            self.allows.push(statement);
        } else {
            self.denies.push(statement);
        }
        Ok(())
    }

    /// Whoever may assume the role in another way; only everyone is of interest here.
    fn without_tokens(
        &mut self,
        place: &str,
        members: &Map<String, Value>,
        allows: bool,
    ) -> Result<(), Reason> {
        let mut is_about_roles = false;
        for call in OTHERWISE {
            is_about_roles |= is_about(call, place, members)?;
        }
        if allows && is_about_roles {
            let is_free = !members.contains_key("Condition");
            self.principals(place, members, allows, is_free)?;
        }
        Ok(())
    }

    fn principals(
        &mut self,
        place: &str,
        members: &Map<String, Value>,
        allows: bool,
        is_free: bool,
    ) -> Result<Principals, Reason> {
        if let Some(others) = members.get("NotPrincipal") {
            let place = format!("{place}.NotPrincipal");
            let (is_anyone, providers) = read_principals(&place, others)?;
            if allows {
                self.found.push(Finding::new(
                    Code::NotPrincipal,
                    place,
                    "It admits everyone who is not named, in every account and of every issuer.",
                    "Name who is admitted, in `Principal`.",
                ));
            }
            return Ok(if is_anyone {
                // All but everyone is no one.
                Principals {
                    reach: Reach::Named,
                    providers: Vec::new(),
                }
            } else {
                Principals {
                    reach: Reach::Others,
                    providers,
                }
            });
        }
        let Some(principal) = members.get("Principal") else {
            return Err(malformed(format!("`{place}.Principal` is missing")));
        };
        let place = format!("{place}.Principal");
        let (is_anyone, providers) = read_principals(&place, principal)?;
        if is_anyone && allows {
            let finding = Finding::new(
                Code::AnyonePrincipal,
                place,
                "The principal is `*`: every account and every issuer that AWS knows may come.",
                "Name the identity provider, as `{\"Federated\": \"arn:aws:iam::…:oidc-provider/…\"}`.",
            );
            self.found.push(if is_free {
                finding
            } else {
                finding.as_grave_as(Severity::High)
            });
        }
        let reach = if is_anyone {
            Reach::Everyone
        } else {
            Reach::Named
        };
        Ok(Principals { reach, providers })
    }

    fn conditions(
        &mut self,
        place: &str,
        members: &Map<String, Value>,
    ) -> Result<Vec<Condition>, Reason> {
        let Some(value) = members.get("Condition") else {
            return Ok(Vec::new());
        };
        let mut conditions = Vec::new();
        for (operator, keys) in object(&format!("{place}.Condition"), value)? {
            let place = format!("{place}.Condition.{operator}");
            for (key, values) in object(&place, keys)? {
                conditions.push(Condition::read(
                    &place,
                    operator,
                    key,
                    values,
                    self.variables,
                )?);
            }
        }
        Ok(conditions)
    }

    fn configuration(mut self) -> Result<Configuration, Reason> {
        let mut admissions = Vec::new();
        for statement in &self.allows {
            for provider in statement.admitted() {
                let issuer = format!("https://{provider}");
                let preset = Preset::of_issuer(&issuer);
                for condition in &statement.conditions {
                    condition.check(provider, preset, &mut self.found)?;
                }
                let denies = self.denies.iter();
                let denies = denies
                    .filter(|deny| deny.principals.include(provider))
                    .map(|deny| deny.conditions.clone());
                let gate = Statements {
                    provider: provider.clone(),
                    preset,
                    allows: statement.conditions.clone(),
                    denies: denies.collect(),
                };
                admissions.push(Admission {
                    place: statement.place.clone(),
                    conditions: statement
                        .conditions
                        .iter()
                        .map(Condition::in_words)
                        .collect(),
                    wishes: gate.wishes(),
                    hints: gate.hints(),
                    expressions: Vec::new(),
                    asks: gate.asks(),
                    audiences: gate.audiences(),
                    parties: gate.parties(),
                    gate: Box::new(gate),
                    issuer,
                    preset,
                });
            }
        }
        if admissions.is_empty() && self.found.is_empty() {
            return Err(malformed(
                "no statement lets anyone assume the role with a token of an OIDC provider",
            ));
        }
        Ok(Configuration {
            system: System::Aws,
            admissions,
            found: self.found,
        })
    }
}

/// Whether it is everyone, and the providers that are named.
fn read_principals(place: &str, principal: &Value) -> Result<(bool, Vec<String>), Reason> {
    let kinds = match principal {
        Value::String(everyone) if everyone == "*" => return Ok((true, Vec::new())),
        Value::Object(kinds) => kinds,
        _ => return Err(malformed(format!("`{place}` must be an object or `*`"))),
    };
    only(
        place,
        kinds,
        &["AWS", "CanonicalUser", "Federated", "Service"],
    )?;
    let mut is_anyone = false;
    let mut providers = Vec::new();
    for (kind, value) in kinds {
        let names = texts(&format!("{place}.{kind}"), value)?;
        // `{"AWS": "*"}` is everyone, not every account.
        let may_be_anyone = matches!(kind.as_str(), "AWS" | "Federated");
        is_anyone |= may_be_anyone && names.iter().any(|name| name == "*");
        if kind == "Federated" {
            providers.extend(names.iter().filter_map(|name| provider(name)));
        }
    }
    Ok((is_anyone, providers))
}

/// Whether a statement is about this call.
fn is_about(call: &str, place: &str, members: &Map<String, Value>) -> Result<bool, Reason> {
    let call = call.to_ascii_lowercase();
    let matches = |name: &str| -> Result<Option<bool>, Reason> {
        let Some(value) = members.get(name) else {
            return Ok(None);
        };
        let actions = texts(&format!("{place}.{name}"), value)?;
        let covers = |action: &String| Glob::parse(&action.to_ascii_lowercase()).matches(&call);
        Ok(Some(actions.iter().any(covers)))
    };
    match (matches("Action")?, matches("NotAction")?) {
        (Some(covered), None) => Ok(covered),
        (None, Some(excluded)) => Ok(!excluded),
        _ => Err(malformed(format!(
            "`{place}` needs `Action` or `NotAction`, and not both"
        ))),
    }
}

/// The name of an OIDC provider: what follows `oidc-provider/` of its ARN, or the name of one that
/// every account knows.
fn provider(principal: &str) -> Option<String> {
    const KNOWN_TO_ALL: [&str; 4] = [
        "accounts.google.com",
        "cognito-identity.amazonaws.com",
        "graph.facebook.com",
        "www.amazon.com",
    ];
    if KNOWN_TO_ALL.contains(&principal) {
        return Some(principal.to_owned());
    }
    let resource = principal.splitn(6, ':').nth(5)?;
    let name = resource.strip_prefix("oidc-provider/")?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The conditions of one statement and those of the denials that may undo it.
#[derive(Debug)]
struct Statements {
    provider: String,
    preset: Option<Preset>,
    allows: Vec<Condition>,
    denies: Vec<Vec<Condition>>,
}

impl Statements {
    fn wishes(&self) -> Vec<Wish> {
        let (provider, preset) = (&self.provider, self.preset);
        let allowed = self
            .allows
            .iter()
            .filter_map(|one| one.wish(provider, preset));
        // Who denies all but one means that one.
        let spared = self.denies.iter().filter_map(|deny| match deny.as_slice() {
            [only] => only.spared(provider, preset),
            _ => None,
        });
        allowed.chain(spared).collect()
    }

    /// What else may be looked for: what one of several conditions of a denial spares, and numbers.
    fn hints(&self) -> Hints {
        let (provider, preset) = (&self.provider, self.preset);
        let several = self.denies.iter().filter(|deny| deny.len() > 1).flatten();
        let spared = several.filter_map(|one| one.spared(provider, preset));
        let numbers = self
            .allows
            .iter()
            .filter_map(|one| one.numbers(provider, preset));
        let avoided = self
            .allows
            .iter()
            .filter_map(|one| one.avoided(provider, preset));
        let denied = self.denies.iter().flatten();
        let denied = denied.filter_map(|one| one.claim(provider, preset));
        Hints {
            avoided: avoided.chain(denied).map(|claim| vec![claim]).collect(),
            more: spared.chain(numbers).collect(),
            texts: Vec::new(),
        }
    }

    /// What must hold, as far as facts can say it.
    fn asks(&self) -> Asks {
        let mut asks = Asks::default();
        for condition in &self.allows {
            condition.ask(&self.provider, self.preset, &mut asks);
        }
        for deny in &self.denies {
            let words: Vec<String> = deny.iter().map(Condition::in_words).collect();
            let words = printable(&words.join(" and "));
            asks.unsaid
                .push(format!("the denial if {words}: rules only admit"));
        }
        asks
    }

    /// The audiences that are named, each of which meets every condition on the audience.
    fn audiences(&self) -> Vec<String> {
        let wishes = self.wishes();
        let about: Vec<_> = wishes.iter().filter(|wish| wish.is_about("aud")).collect();
        let named = about.iter().flat_map(|wish| wish.globs());
        let named = named.filter(|glob| glob.is_literal()).map(Glob::text);
        let mut audiences = Vec::new();
        for text in named {
            let meets = |wish: &&Wish| wish.globs().any(|glob| glob.matches(&text));
            if about.iter().all(meets) && !audiences.contains(&text) {
                audiences.push(text);
            }
        }
        audiences
    }
}

impl Statements {
    /// To whom tokens must have been given, where the audience that AWS compares may be that and no fact
    /// says it.
    fn parties(&self) -> Vec<String> {
        match may_have_another_party(self.preset) {
            true => self.audiences(),
            false => Vec::new(),
        }
    }
}

impl Gate for Statements {
    fn contradiction(&self, names_are_plain: bool) -> Option<String> {
        Self::contradiction(self, names_are_plain)
    }

    fn trace(&self, claims: &Map<String, Value>, _budget: &mut Budget) -> Trace {
        let step = |condition: &Condition, meaning: Meaning| {
            let seen = handed_on(&self.provider, self.preset, condition.key(), claims);
            Step {
                condition: match meaning {
                    Meaning::Allow => condition.in_words(),
                    Meaning::Deny => format!("denied if {}", condition.in_words()),
                },
                seen: seen.in_words(),
                held: condition.held(&seen),
            }
        };
        let steps = self.allows.iter().map(|one| step(one, Meaning::Allow));
        let mut trace = Trace::all_of(steps.collect());
        for deny in &self.denies {
            let steps: Vec<Step> = deny.iter().map(|one| step(one, Meaning::Deny)).collect();
            // A denial that rests on something else than the token may hold or not.
            trace.admitted &= !steps.iter().all(|step| step.held == Held::Yes);
            trace.steps.extend(steps);
        }
        trace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_known_by_their_arn() {
        for (principal, expected) in [
            (
                "arn:aws:iam::123456789012:oidc-provider/gitlab.example.com/x",
                Some("gitlab.example.com/x"),
            ),
            (
                "arn:aws-cn:iam::123456789012:oidc-provider/gitlab.com",
                Some("gitlab.com"),
            ),
            ("accounts.google.com", Some("accounts.google.com")),
            ("arn:aws:iam::123456789012:saml-provider/okta", None),
            ("arn:aws:iam::123456789012:oidc-provider/", None),
            ("gitlab.com", None),
        ] {
            assert_eq!(provider(principal).as_deref(), expected, "{principal}");
        }
    }
}
