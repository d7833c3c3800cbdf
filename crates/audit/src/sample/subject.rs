//! Subjects as issuers of each kind put them together from claims, and taken apart again.

use avouch_core::policy::presets::Preset;

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

/// A subject taken apart: the parts, and what each claim is by it.
pub(crate) type Reading = (Vec<Part>, Vec<(String, String)>);

/// The parts of a subject of which nothing else is said.
pub(super) fn usual_form(preset: Option<Preset>) -> Vec<Part> {
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

pub(super) fn github_repository(text: &str) -> Vec<(String, String)> {
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
