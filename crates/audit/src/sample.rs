//! Claims as issuers of each kind make them up, of which one part can be changed and the rest
//! follows: a witness must be a token that its issuer could sign.

use std::collections::BTreeMap;

use avouch_core::policy::presets::Preset;
use serde_json::{Map, Value, json};

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

/// A part of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The repository, with the ids of both names or without.
    Repository { ids: bool },
    /// Where a job runs: an environment, a pull request or a ref.
    Context,
    /// A label, and the claim that follows it.
    Claim(String, String),
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

/// A subject taken apart: the parts, and what each claim is by it.
pub(crate) type Reading = (Vec<Part>, Vec<(String, String)>);

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

fn usual_claims(preset: Option<Preset>) -> &'static [(&'static str, &'static str)] {
    match preset {
        Some(Preset::GitHub) => GITHUB,
        Some(Preset::GitLab) => GITLAB,
        Some(Preset::Buildkite) => BUILDKITE,
        Some(Preset::HcpTerraform) => HCP_TERRAFORM,
        Some(Preset::Kubernetes) => KUBERNETES,
        Some(Preset::CircleCi) => CIRCLECI,
        Some(Preset::Entra) => ENTRA,
        Some(Preset::Google | Preset::GoogleIap) => GOOGLE,
        _ => PLAIN,
    }
}

/// Whether a claim is a text in every token of this kind that has it: numbers are, as far as they are ids.
pub(crate) fn is_always_text(preset: Option<Preset>, path: &[String]) -> bool {
    let [claim] = path else { return false };
    let of_kind = preset.map_or(&[][..], |preset| usual_claims(Some(preset)));
    let mut known = of_kind.iter().filter(|(name, _)| name == claim);
    claim == "sub" || known.any(|(name, value)| typed(name, value).is_string())
}

/// The parts of a subject of which nothing else is said.
fn usual_form(preset: Option<Preset>) -> Vec<Part> {
    match preset {
        Some(Preset::GitHub) => vec![Part::Repository { ids: false }, Part::Context],
        Some(preset) => labels(preset)
            .iter()
            .map(|(label, claim)| Part::Claim((*label).to_owned(), (*claim).to_owned()))
            .collect(),
        None => Vec::new(),
    }
}

/// The labels in subjects of a kind, and the claims that follow them.
fn labels(preset: Preset) -> &'static [(&'static str, &'static str)] {
    match preset {
        Preset::GitLab => &[
            ("project_path", "project_path"),
            ("ref_type", "ref_type"),
            ("ref", "ref"),
        ],
        Preset::Buildkite => &[
            ("organization", "organization_slug"),
            ("pipeline", "pipeline_slug"),
            ("ref", "ref"),
            ("commit", "build_commit"),
            ("step", "step_key"),
        ],
        Preset::HcpTerraform => &[
            ("organization", "terraform_organization_name"),
            ("project", "terraform_project_name"),
            ("workspace", "terraform_workspace_name"),
            ("run_phase", "terraform_run_phase"),
        ],
        _ => &[],
    }
}

/// Whether every token of this kind has the claim, so that who asks that it be there asks nothing.
pub(crate) fn is_always_there(preset: Option<Preset>, path: &[&str]) -> bool {
    const OF_GITHUB: [&str; 10] = [
        "actor",
        "actor_id",
        "event_name",
        "ref",
        "ref_type",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "workflow",
    ];
    match (preset, path) {
        (_, ["aud" | "exp" | "iat" | "iss" | "sub"]) => true,
        (Some(Preset::GitHub), [claim]) => OF_GITHUB.contains(claim),
        (Some(Preset::Kubernetes), ["kubernetes.io", rest @ ..]) => {
            matches!(rest, ["namespace"] | ["serviceaccount", "name" | "uid"])
        }
        _ => false,
    }
}

/// What claims say when subjects have this pattern, if claims that say so make subjects of this
/// pattern: `repo:o/r:*` is every job of `o/r`, whatever else stands in its subject.
pub(crate) fn said_by_claims(
    preset: Option<Preset>,
    pattern: &str,
) -> Option<Vec<(String, String)>> {
    let preset = preset?;
    let read = |text: &str| read_subject(Some(preset), text);
    match preset {
        Preset::GitHub => {
            let (_, context) = pattern.strip_prefix("repo:")?.split_once(':')?;
            // A ref is in the subject only where there is no environment, and no fact says that.
            let is_said = context == "*"
                || context
                    .strip_prefix("environment:")
                    .is_some_and(|name| !name.contains(':'));
            read(pattern).filter(|_| is_said).map(|(_, claims)| claims)
        }
        Preset::Kubernetes => read(pattern).map(|(_, claims)| claims),
        Preset::Buildkite | Preset::GitLab | Preset::HcpTerraform => {
            let usual = usual_form(Some(preset));
            let whole = read(pattern).filter(|(form, _)| *form == usual);
            let head = || {
                let (form, claims) = read(pattern.strip_suffix(":*")?)?;
                (usual.starts_with(&form) && form.len() < usual.len()).then_some((form, claims))
            };
            whole.or_else(head).map(|(_, claims)| claims)
        }
        _ => None,
    }
}

/// Takes a subject apart, or a pattern of subjects: what is not said stays open.
pub(crate) fn read_subject(preset: Option<Preset>, text: &str) -> Option<Reading> {
    match preset? {
        Preset::GitHub => read_github(text),
        preset @ (Preset::GitLab | Preset::Buildkite | Preset::HcpTerraform) => {
            read_labels(labels(preset), text)
        }
        Preset::Kubernetes => {
            let rest = text.strip_prefix("system:serviceaccount:")?;
            let (namespace, name) = rest.split_once(':').unwrap_or((rest, "*"));
            let claims = [("namespace", namespace), ("service_account", name)];
            let is_one_name = !name.contains(':') && !name.is_empty() && !namespace.is_empty();
            is_one_name.then_some(())?;
            Some((Vec::new(), owned(&claims)))
        }
        Preset::CircleCi => {
            let mut segments = text.split('/');
            let mut claims = Vec::new();
            while let (Some(label), Some(value)) = (segments.next(), segments.next()) {
                match label {
                    "org" => claims.push(("organization", value)),
                    "project" => claims.push(("oidc.circleci.com/project-id", value)),
                    "user" => claims.push(("user", value)),
                    _ => break,
                }
            }
            (!claims.is_empty()).then(|| (Vec::new(), owned(&claims)))
        }
        _ => None,
    }
}

fn owned(claims: &[(&str, &str)]) -> Vec<(String, String)> {
    let claims = claims.iter();
    claims
        .map(|(claim, value)| ((*claim).to_owned(), (*value).to_owned()))
        .collect()
}

fn read_labels(labels: &[(&str, &str)], text: &str) -> Option<Reading> {
    let mut form = Vec::new();
    let mut claims = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (label, after) = rest.split_once(':')?;
        let (_, claim) = labels.iter().find(|(known, _)| *known == label)?;
        let (value, after) = after.split_once(':').unwrap_or((after, ""));
        form.push(Part::Claim(label.to_owned(), (*claim).to_owned()));
        claims.push(((*claim).to_owned(), value.replace("%3A", ":")));
        rest = after;
    }
    Some((form, claims))
}

fn read_github(text: &str) -> Option<Reading> {
    let mut form = Vec::new();
    let mut claims: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (label, after) = rest.split_once(':').unwrap_or((rest, ""));
        if label == "pull_request" {
            form.push(Part::Context);
            claims.extend(owned(&[
                ("event_name", "pull_request"),
                ("ref", "refs/pull/7/merge"),
            ]));
            rest = after;
            continue;
        }
        if label.is_empty() || label == "*" && form.is_empty() {
            return None;
        }
        if label.contains(['*', '?', '/']) {
            // A wildcard that stands for all that may follow.
            break;
        }
        let (value, after) = after.split_once(':').unwrap_or((after, ""));
        match label {
            "repo" if !may_be_a_repository(value) => return None,
            "repo" => {
                let ids = value.contains('@');
                form.push(Part::Repository { ids });
                claims.extend(github_repository(value));
            }
            "environment" | "ref" => {
                form.push(Part::Context);
                claims.push((label.to_owned(), value.replace("%3A", ":")));
            }
            claim => {
                form.push(Part::Claim(claim.to_owned(), claim.to_owned()));
                claims.push((claim.to_owned(), value.replace("%3A", ":")));
            }
        }
        rest = after;
    }
    (!form.is_empty()).then_some((form, claims))
}

/// Whether it is `O/R`, with ids or without, or a pattern of such.
fn may_be_a_repository(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        !name.is_empty() && name.bytes().all(is_of_name)
    };
    let is_repository = text
        .split_once('/')
        .is_some_and(|(owner, name)| is_name(owner) && is_name(name));
    is_repository || text.contains(['*', '?'])
}

fn github_repository(text: &str) -> Vec<(String, String)> {
    let split = |text: &str| match text.split_once('@') {
        Some((name, id)) => (name.to_owned(), Some(id.to_owned())),
        None => (text.to_owned(), None),
    };
    let Some((owner, name)) = text.split_once('/') else {
        let (owner, id) = split(text);
        let mut claims = vec![("repository_owner".to_owned(), owner)];
        claims.extend(id.map(|id| ("repository_owner_id".to_owned(), id)));
        return claims;
    };
    let ((owner, owner_id), (name, id)) = (split(owner), split(name));
    let mut claims = vec![("repository".to_owned(), format!("{owner}/{name}"))];
    claims.extend(owner_id.map(|id| ("repository_owner_id".to_owned(), id)));
    claims.extend(id.map(|id| ("repository_id".to_owned(), id)));
    claims
}

/// Claims that are numbers or flags where everything here is a text.
fn typed(claim: &str, value: &str) -> Value {
    match (claim, value) {
        ("email_verified", flag) => Value::Bool(flag == "true"),
        ("exp" | "iat" | "nbf", number) => number.parse::<i64>().map_or(Value::Null, Value::from),
        _ => Value::String(value.to_owned()),
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

const GITHUB: &[(&str, &str)] = &[
    ("nbf", "1632493567"),
    ("actor", "octocat"),
    ("actor_id", "12"),
    ("enterprise", "avocado-corp"),
    ("enterprise_id", "2"),
    ("event_name", "push"),
    ("exp", "1632493867"),
    ("iat", "1632493567"),
    (
        "job_workflow_ref",
        "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
    ),
    ("ref", "refs/heads/main"),
    ("ref_type", "branch"),
    ("repository", "octo-org/octo-repo"),
    ("repository_id", "74"),
    ("repository_owner", "octo-org"),
    ("repository_owner_id", "65"),
    ("repository_visibility", "private"),
    ("runner_environment", "github-hosted"),
    ("workflow", "deploy"),
    (
        "workflow_ref",
        "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
    ),
];

const GITLAB: &[(&str, &str)] = &[
    ("nbf", "1632493567"),
    ("exp", "1681398793"),
    ("iat", "1681395193"),
    ("namespace_id", "72"),
    ("namespace_path", "my-group"),
    ("pipeline_source", "push"),
    ("project_id", "20"),
    ("project_path", "my-group/my-project"),
    ("ref", "main"),
    ("ref_protected", "true"),
    ("ref_type", "branch"),
    ("user_email", "sample-user@example.com"),
    ("user_id", "1"),
    ("user_login", "sample-user"),
];

const BUILDKITE: &[(&str, &str)] = &[
    ("build_branch", "main"),
    ("build_commit", "9f3182061f1e2cca4702c368cbc039b7dc9d4485"),
    ("organization_id", "0184990a-477b-4fa8-9968-496074483cee"),
    ("organization_slug", "acme-inc"),
    ("pipeline_id", "0184990a-4782-42b5-afc1-16715b10b8ff"),
    ("pipeline_slug", "deploy"),
    ("ref", "refs/heads/main"),
    ("step_key", "deploy"),
];

const HCP_TERRAFORM: &[(&str, &str)] = &[
    ("terraform_organization_id", "org-GRNbCjYNpBB6NEBV"),
    ("terraform_organization_name", "acme-inc"),
    ("terraform_project_id", "prj-vegSA59s1XPwMr2t"),
    ("terraform_project_name", "platform"),
    ("terraform_run_phase", "apply"),
    ("terraform_workspace_id", "ws-mbsd5E3Ktt5Rg2Xm"),
    ("terraform_workspace_name", "production"),
];

const KUBERNETES: &[(&str, &str)] = &[
    ("nbf", "1632493567"),
    ("exp", "1717675355"),
    ("iat", "1717671355"),
    ("namespace", "payments"),
    ("service_account", "api-server"),
    (
        "service_account_uid",
        "e6a8680e-7bd1-4f2a-9d3f-0f9f3d6b9c11",
    ),
];

const CIRCLECI: &[(&str, &str)] = &[
    (
        "oidc.circleci.com/project-id",
        "8d2a8d1c-3f6b-4f0e-9a58-0d6fd0b5c001",
    ),
    ("user", "5f0b6d2e-6f9b-4a06-8d52-3f6e2e0a7002"),
];

const ENTRA: &[(&str, &str)] = &[
    ("azp", "11111111-2222-3333-4444-555555555555"),
    ("oid", "66666666-7777-8888-9999-000000000000"),
    ("sub", "66666666-7777-8888-9999-000000000000"),
    ("tid", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
];

const GOOGLE: &[(&str, &str)] = &[
    ("nbf", "1632493567"),
    ("email", "mia@example.com"),
    ("email_verified", "true"),
    ("exp", "1717675355"),
    ("hd", "example.com"),
    ("iat", "1717671355"),
    ("sub", "110169484474386276334"),
];

const PLAIN: &[(&str, &str)] = &[
    ("nbf", "1717671355"),
    ("email", "mia@example.com"),
    ("email_verified", "true"),
    ("exp", "1717675355"),
    ("iat", "1717671355"),
    ("sub", "subject-1"),
];
