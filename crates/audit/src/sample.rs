//! Claims as issuers of each kind make them up, of which one part can be changed and the rest
//! follows: a witness must be a token that its issuer could sign.

mod subject;
mod usual;

use std::collections::BTreeMap;

use avouch_core::policy::presets::Preset;
use serde_json::{Map, Value, json};

pub(crate) use subject::{Part, read_subject, said_by_claims};
use subject::{github_repository, usual_form};
pub(crate) use usual::{is_always_text, is_always_there};
use usual::{typed, usual_claims};

/// Claims of one token.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    preset: Option<Preset>,
    values: BTreeMap<String, String>,
    /// Claims that are no texts, or that no preset knows.
    others: Vec<(Vec<String>, Value)>,
    form: Vec<Part>,
    /// The subject as it is, where it is not put together from claims.
    subject: Option<String>,
    without: Vec<String>,
}

/// Who a token is of: a name that is given, and what it is known by for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) id: Option<&'static str>,
}

/// The customer, and what of theirs a token is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) tenant: Option<Named>,
    pub(crate) object: Named,
}

pub(crate) fn shape(preset: Option<Preset>) -> Shape {
    let named = |name, id| Named { name, id: Some(id) };
    let of = |tenant, object| Shape { tenant, object };
    match preset {
        Some(Preset::GitHub) => of(
            Some(named("repository_owner", "repository_owner_id")),
            named("repository", "repository_id"),
        ),
        Some(Preset::GitLab) => of(
            Some(named("namespace_path", "namespace_id")),
            named("project_path", "project_id"),
        ),
        Some(Preset::Buildkite) => of(
            Some(named("organization_slug", "organization_id")),
            named("pipeline_slug", "pipeline_id"),
        ),
        Some(Preset::HcpTerraform) => of(
            Some(named(
                "terraform_organization_name",
                "terraform_organization_id",
            )),
            named("terraform_workspace_name", "terraform_workspace_id"),
        ),
        Some(Preset::Kubernetes) => of(
            Some(Named {
                name: "namespace",
                id: None,
            }),
            named("service_account", "service_account_uid"),
        ),
        Some(Preset::CircleCi) => of(
            None,
            Named {
                name: "oidc.circleci.com/project-id",
                id: None,
            },
        ),
        _ => of(
            None,
            Named {
                name: "sub",
                id: None,
            },
        ),
    }
}

impl Sample {
    /// Someone from this issuer.
    pub(crate) fn of(preset: Option<Preset>, issuer: &str, audience: &str) -> Self {
        let mut values: BTreeMap<String, String> = usual_claims(preset)
            .iter()
            .map(|(claim, value)| ((*claim).to_owned(), (*value).to_owned()))
            .collect();
        values.insert("iss".to_owned(), issuer.to_owned());
        values.insert("aud".to_owned(), audience.to_owned());
        if preset == Some(Preset::CircleCi) {
            let organization = issuer.rsplit('/').next().unwrap_or_default();
            values.insert("organization".to_owned(), organization.to_owned());
        }
        Self {
            preset,
            values,
            others: Vec::new(),
            form: usual_form(preset),
            subject: None,
            without: Vec::new(),
        }
    }

    /// The value of a claim.
    pub(crate) fn value(&self, claim: &str) -> Option<&str> {
        if claim == "sub" && self.subject.is_some() {
            return self.subject.as_deref();
        }
        self.values.get(claim).map(String::as_str)
    }

    /// Whether its subject says something else than its claims: other ids or names, no name at all, or
    /// another context. No issuer signs such a token, whatever admits it.
    pub(crate) fn contradicts_itself(&self) -> bool {
        let (Some(subject), Some(Preset::GitHub)) = (&self.subject, self.preset) else {
            return false;
        };
        let Some(rest) = subject.strip_prefix("repo:") else {
            return false;
        };
        let (repository, context) = rest.split_once(':').unwrap_or((rest, ""));
        let differs = |claim: &str, said: &str| self.values.get(claim).is_some_and(|is| is != said);
        let mut said = github_repository(repository);
        match context.split_once(':') {
            None if context == "pull_request" => {
                said.push(("event_name".to_owned(), context.to_owned()));
            }
            Some((label @ ("environment" | "ref"), value)) if !value.contains(':') => {
                said.push((label.to_owned(), value.replace("%3A", ":")));
            }
            Some(_) | None => {}
        }
        said.iter().any(|(claim, value)| differs(claim, value))
            || repository.split('/').any(str::is_empty)
    }

    /// Whether its issuer could sign it: no name of a customer or of what is theirs has a wildcard in it,
    /// and what is a text there is one.
    pub(crate) fn can_be_signed(&self) -> bool {
        let is_another_type = |(path, value): &(Vec<String>, Value)| {
            is_always_text(self.preset, path) && !value.is_string()
        };
        if self.others.iter().any(is_another_type) {
            return false;
        }
        let shape = shape(self.preset);
        let names = shape.tenant.iter().chain([&shape.object]);
        let mut names = names.filter_map(|named| self.values.get(named.name));
        self.preset.is_none() || names.all(|name| !name.contains(['*', '?']))
    }

    /// With another value of a claim, and of those that follow from it.
    pub(crate) fn set(&mut self, path: &[String], value: &Value) {
        self.others.retain(|(other, _)| other != path);
        self.restore(path);
        let claim = match path {
            [only] => only.as_str(),
            [first, second] if first == "kubernetes.io" && second == "namespace" => "namespace",
            [first, second, third] if first == "kubernetes.io" && second == "serviceaccount" => {
                match third.as_str() {
                    "name" => "service_account",
                    "uid" => "service_account_uid",
                    _ => return self.others.push((path.to_vec(), value.clone())),
                }
            }
            _ => return self.others.push((path.to_vec(), value.clone())),
        };
        match value {
            Value::String(text) if claim == "sub" => self.set_subject(text),
            Value::String(text) => self.set_text(claim, text),
            other => {
                self.values.remove(claim);
                self.others.push((path.to_vec(), other.clone()));
            }
        }
    }

    /// With another text as the value of a claim.
    pub(crate) fn set_text(&mut self, claim: &str, text: &str) {
        self.values.insert(claim.to_owned(), text.to_owned());
        let shape = shape(self.preset);
        let Some(tenant) = shape.tenant else {
            return;
        };
        let holds_both = matches!(self.preset, Some(Preset::GitHub | Preset::GitLab));
        if holds_both && claim == shape.object.name {
            if let Some((owner, _)) = text.rsplit_once('/') {
                self.values.insert(tenant.name.to_owned(), owner.to_owned());
            }
        } else if holds_both && claim == tenant.name {
            let object = self.values.get(shape.object.name).cloned();
            let name = object.as_deref().and_then(|one| one.rsplit('/').next());
            let whole = format!("{text}/{}", name.unwrap_or("x"));
            self.values.insert(shape.object.name.to_owned(), whole);
        }
    }

    /// With this subject, and the claims that it speaks of.
    pub(crate) fn set_subject(&mut self, text: &str) {
        self.subject = None;
        match read_subject(self.preset, text) {
            Some((form, claims)) => {
                if !claims.iter().any(|(claim, _)| claim == "environment") {
                    self.values.remove("environment");
                }
                for (claim, value) in &claims {
                    self.set_text(claim, value);
                }
                self.form = form;
                if self.composed() != text {
                    self.subject = Some(text.to_owned());
                }
            }
            None => self.subject = Some(text.to_owned()),
        }
    }

    /// With a subject that is not put together from the claims.
    pub(crate) fn set_raw_subject(&mut self, text: String) {
        self.restore(&["sub".to_owned()]);
        self.subject = Some(text);
    }

    /// With the subject put together from these parts.
    pub(crate) fn set_form(&mut self, form: Vec<Part>) {
        self.subject = None;
        self.form = form;
    }

    /// Whether its subject speaks of the ids of both names.
    pub(crate) fn has_ids_in_subject(&self) -> bool {
        self.subject.is_none() && self.form.contains(&Part::Repository { ids: true })
    }

    /// The parts of the subject.
    pub(crate) fn form(&self) -> &[Part] {
        &self.form
    }

    /// Whether its subject is put together from claims.
    pub(crate) fn is_composed(&self) -> bool {
        self.subject.is_none()
    }

    /// With a claim that was taken out.
    fn restore(&mut self, path: &[String]) {
        let path = path.join("\u{1f}");
        self.without.retain(|other| *other != path);
    }

    /// Without an environment, also in its subject.
    pub(crate) fn remove_environment(&mut self) {
        self.values.remove("environment");
    }

    /// Without a claim.
    pub(crate) fn remove(&mut self, path: &[String]) {
        match path {
            [claim] if self.values.contains_key(claim) && claim != "sub" => {
                // Its subject was put together before.
                let subject = self.composed_or_given();
                self.values.remove(claim);
                self.subject = Some(subject);
            }
            _ => self.without.push(path.join("\u{1f}")),
        }
    }

    /// All claims.
    pub(crate) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let subject = self.composed_or_given();
        claims.insert("sub".to_owned(), Value::String(subject));
        let is_nested = self.preset == Some(Preset::Kubernetes);
        for (claim, value) in &self.values {
            let belongs = !matches!(
                claim.as_str(),
                "sub" | "namespace" | "service_account" | "service_account_uid" | "organization"
            );
            if belongs {
                claims.insert(claim.clone(), typed(claim, value));
            }
        }
        if is_nested {
            let part = |name: &str| self.values.get(name).cloned().unwrap_or_default();
            let nested = json!({
                "namespace": part("namespace"),
                "serviceaccount": {
                    "name": part("service_account"),
                    "uid": part("service_account_uid"),
                },
            });
            claims.insert("kubernetes.io".to_owned(), nested);
        }
        for (path, value) in &self.others {
            put(&mut claims, path, value.clone());
        }
        for path in &self.without {
            let path: Vec<&str> = path.split('\u{1f}').collect();
            take(&mut claims, &path);
        }
        claims
    }

    fn composed_or_given(&self) -> String {
        self.subject.clone().unwrap_or_else(|| self.composed())
    }

    fn composed(&self) -> String {
        let value = |claim: &str| self.values.get(claim).map_or("", String::as_str);
        match self.preset {
            Some(Preset::Kubernetes) => format!(
                "system:serviceaccount:{}:{}",
                value("namespace"),
                value("service_account")
            ),
            Some(Preset::CircleCi) => format!(
                "org/{}/project/{}/user/{}",
                value("organization"),
                value("oidc.circleci.com/project-id"),
                value("user")
            ),
            Some(Preset::GitHub | Preset::GitLab | Preset::Buildkite | Preset::HcpTerraform) => {
                let parts: Vec<String> = self.form.iter().map(|part| self.part(part)).collect();
                parts.join(":")
            }
            _ => value("sub").to_owned(),
        }
    }

    fn part(&self, part: &Part) -> String {
        let value = |claim: &str| self.values.get(claim).map_or("", String::as_str);
        match part {
            Part::Repository { ids: false } => format!("repo:{}", value("repository")),
            Part::Repository { ids: true } => {
                let repository = value("repository");
                let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
                format!(
                    "repo:{owner}@{}/{name}@{}",
                    value("repository_owner_id"),
                    value("repository_id")
                )
            }
            Part::Context => match self.values.get("environment") {
                Some(environment) => format!("environment:{}", environment.replace(':', "%3A")),
                None if value("event_name") == "pull_request" => "pull_request".to_owned(),
                None => format!("ref:{}", value("ref")),
            },
            Part::Claim(label, claim) => format!("{label}:{}", value(claim).replace(':', "%3A")),
        }
    }
}

fn put(claims: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [only] => {
            claims.insert(only.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = claims.entry(first.clone()).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn take(claims: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [] => {}
        [only] => {
            claims.remove(*only);
        }
        [first, rest @ ..] => {
            if let Some(Value::Object(inner)) = claims.get_mut(*first) {
                take(inner, rest);
            }
        }
    }
}
