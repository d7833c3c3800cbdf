//! Whether the subject of a token agrees with its other claims.
//!
//! Many issuers write the same facts twice: once as claims and once put together in `sub`. An
//! issuer writes both from the same facts, so where they differ one of them was chosen by someone
//! else; and where a name could hold the text that divides the parts, only the claims tell which
//! reading is right.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::claim::{claim_at, text_of};
use super::presets::Preset;
use crate::credential::jose::json::kind_of;
use crate::reason::Reason;

/// Checks the subject of a token of `preset`.
pub(super) fn check(
    preset: Preset,
    issuer: &str,
    claims: &Map<String, Value>,
) -> Result<(), Reason> {
    let subject = Subject {
        text: text(claims, "sub").unwrap_or_default(),
        claims,
    };
    match preset {
        Preset::GitHub => subject.github(),
        Preset::GitLab => subject.gitlab(),
        Preset::Kubernetes => subject.kubernetes(),
        Preset::Buildkite => subject.buildkite(),
        Preset::HcpTerraform => subject.hcp_terraform(),
        Preset::CircleCi => subject.circleci(issuer),
        Preset::Entra => subject.entra(issuer),
        Preset::Aws => subject.aws(),
        Preset::Bitbucket => subject.bitbucket(),
        Preset::Auth0 | Preset::Dex | Preset::Google | Preset::GoogleIap | Preset::Okta => Ok(()),
    }
}

/// Whether a GitHub subject carries the numbers of owner and repository, `repo:o@1/r@2:…`.
pub(super) fn has_github_ids(subject: &str) -> bool {
    let Some(rest) = subject.strip_prefix("repo:") else {
        return false;
    };
    let repository = rest.split(':').next().unwrap_or_default();
    matches!(
        split_repository(repository),
        Some(Repository {
            owner_id: Some(_),
            repository_id: Some(_),
            ..
        })
    )
}

/// The subject as GitHub wrote it before it carried the numbers, if it does.
pub(crate) fn without_github_ids(subject: &str) -> Option<String> {
    let rest = subject.strip_prefix("repo:")?;
    let (repository, context) = rest.split_once(':').unwrap_or((rest, ""));
    let parts = split_repository(repository)?;
    parts.owner_id.and(parts.repository_id)?;
    let divider = if context.is_empty() { "" } else { ":" };
    let (owner, name) = (parts.owner, parts.name);
    Some(format!("repo:{owner}/{name}{divider}{context}"))
}

struct Subject<'a> {
    text: &'a str,
    claims: &'a Map<String, Value>,
}

impl<'a> Subject<'a> {
    /// `repo:O/R:<context>`, `repo:O@1/R@2:<context>`, or what the organization has put together
    /// from names of claims and their values, each `:` in a value written `%3A`.
    fn github(&self) -> Result<(), Reason> {
        let mut rest = self.text;
        while !rest.is_empty() {
            let (key, after) = rest.split_once(':').unwrap_or((rest, ""));
            rest = match key {
                "repo" => self.github_repository(after)?,
                "pull_request" => {
                    self.agree("event_name", "pull_request")?;
                    after
                }
                claim => self.consume(claim, after, claim)?,
            };
        }
        Ok(())
    }

    /// Consumes `O/R` or `O@1/R@2` and gives what follows.
    fn github_repository(&self, text: &'a str) -> Result<&'a str, Reason> {
        let (repository, rest) = text.split_once(':').unwrap_or((text, ""));
        let parts = split_repository(repository).ok_or_else(|| {
            self.disagrees(format!("`{repository}` is not the name of a repository"))
        })?;
        // GitHub compares names without regard to case.
        let name = format!("{}/{}", parts.owner, parts.name);
        let claimed = self.claim("repository")?;
        if !claimed.eq_ignore_ascii_case(&name) {
            return Err(self.disagrees(format!("`repository` is {claimed}, not {name}")));
        }
        if let Some(id) = parts.owner_id {
            self.agree("repository_owner_id", id)?;
        }
        if let Some(id) = parts.repository_id {
            self.agree("repository_id", id)?;
        }
        Ok(rest)
    }

    /// `project_path:G/P:ref_type:branch:ref:B`, or another choice of claims after the first. A
    /// person who signs in with GitLab is a bare number.
    fn gitlab(&self) -> Result<(), Reason> {
        let is_person = self.text.bytes().all(|byte| byte.is_ascii_digit());
        if is_person {
            return Ok(());
        }
        let mut rest = self.text;
        while !rest.is_empty() {
            let (claim, after) = rest.split_once(':').unwrap_or((rest, ""));
            rest = self.consume(claim, after, claim)?;
        }
        Ok(())
    }

    /// `system:serviceaccount:<namespace>:<name>`.
    fn kubernetes(&self) -> Result<(), Reason> {
        let part = |path: &[&str]| {
            claim_at(self.claims, path)
                .and_then(Value::as_str)
                .ok_or_else(|| self.disagrees(format!("the claim `{}` is missing", path.join("."))))
        };
        let namespace = part(&["kubernetes.io", "namespace"])?;
        let name = part(&["kubernetes.io", "serviceaccount", "name"])?;
        let expected = format!("system:serviceaccount:{namespace}:{name}");
        if self.text == expected {
            Ok(())
        } else {
            Err(self.disagrees(format!("the claims say {expected}")))
        }
    }

    /// `organization:O:pipeline:P:ref:R:commit:C:step:S`; what the subject was changed to is left
    /// alone.
    fn buildkite(&self) -> Result<(), Reason> {
        const CLAIMS: [(&str, &str); 4] = [
            ("organization", "organization_slug"),
            ("pipeline", "pipeline_slug"),
            ("commit", "build_commit"),
            ("step", "step_key"),
        ];
        if !self.text.starts_with("organization:") {
            return Ok(());
        }
        let mut rest = self.text;
        while !rest.is_empty() {
            let (key, after) = rest.split_once(':').unwrap_or((rest, ""));
            rest = match CLAIMS.iter().find(|(name, _)| *name == key) {
                Some((_, claim)) => self.consume_if_known(claim, after)?,
                None if key == "ref" => self.buildkite_ref(after)?,
                None => return Err(self.disagrees(format!("`{key}` is not a part of it"))),
            };
        }
        Ok(())
    }

    /// A tag wins over the branch it was built from.
    fn buildkite_ref(&self, text: &'a str) -> Result<&'a str, Reason> {
        let expected = match (
            text_claim(self.claims, "build_tag"),
            text_claim(self.claims, "build_branch"),
        ) {
            (Some(tag), _) => format!("refs/tags/{tag}"),
            (None, Some(branch)) => format!("refs/heads/{branch}"),
            (None, None) => return Ok(after_part(text)),
        };
        strip_part(text, &expected)
            .ok_or_else(|| self.disagrees(format!("the claims say {expected}")))
    }

    /// `organization:O:project:P:workspace:W:run_phase:<plan|apply>`.
    fn hcp_terraform(&self) -> Result<(), Reason> {
        let mut rest = self.text;
        while !rest.is_empty() {
            let (key, after) = rest.split_once(':').unwrap_or((rest, ""));
            let claim = match key {
                "organization" => "terraform_organization_name",
                "project" => "terraform_project_name",
                "workspace" => "terraform_workspace_name",
                "run_phase" => "terraform_run_phase",
                other => return Err(self.disagrees(format!("`{other}` is not a part of it"))),
            };
            rest = self.consume_if_known(claim, after)?;
        }
        Ok(())
    }

    /// `org/<id>/project/<id>/…`, of the organization that the issuer is named after.
    fn circleci(&self, issuer: &str) -> Result<(), Reason> {
        let mut segments = self.text.split('/');
        while let (Some(key), Some(value)) = (segments.next(), segments.next()) {
            match key {
                "org" => {
                    let organization = issuer.rsplit('/').next().unwrap_or_default();
                    if value != organization {
                        return Err(self.disagrees(format!("the issuer is {organization}'s")));
                    }
                }
                "project" => self.agree_if_known("oidc.circleci.com/project-id", value)?,
                // A user, and from here on addresses that hold `/` themselves.
                _ => break,
            }
        }
        Ok(())
    }

    /// The name of a role or a user, in which the account stands.
    fn aws(&self) -> Result<(), Reason> {
        let account = claim_at(self.claims, &["https://sts.amazonaws.com/", "aws_account"]);
        let Some(account) = account.and_then(Value::as_str) else {
            return Ok(());
        };
        let named = self.text.split(':').nth(4).unwrap_or_default();
        if named == account {
            Ok(())
        } else {
            Err(self.disagrees(format!("`aws_account` is {account}, not {named}")))
        }
    }

    /// `{repository}:{environment}:{step}` or `{repository}:{step}`.
    fn bitbucket(&self) -> Result<(), Reason> {
        let repository = self.text.split(':').next().unwrap_or_default();
        self.agree_if_known("repositoryUuid", repository)?;
        let step = self.text.rsplit(':').next().unwrap_or_default();
        self.agree_if_known("stepUuid", step)
    }

    /// The tenant in the name of the issuer is that of `tid`.
    fn entra(&self, issuer: &str) -> Result<(), Reason> {
        let tenant = self.claim("tid")?;
        let named = issuer
            .split('/')
            .nth(3)
            .filter(|tenant| !tenant.is_empty())
            .unwrap_or_default();
        if tenant == named {
            Ok(())
        } else {
            Err(self.disagrees(format!("`tid` is {tenant}, but the issuer is {named}'s")))
        }
    }

    /// Consumes the value of `claim`, each `:` in it written `%3A`, and gives what follows.
    fn consume(&self, claim: &str, text: &'a str, part: &str) -> Result<&'a str, Reason> {
        let value = self.claim(claim)?.replace(':', "%3A");
        strip_part(text, &value)
            .ok_or_else(|| self.disagrees(format!("`{part}` is {value} in the claims")))
    }

    /// As `consume`, but passes over one part when the claim is not there to compare with.
    fn consume_if_known(&self, claim: &str, text: &'a str) -> Result<&'a str, Reason> {
        if self.claims.contains_key(claim) {
            self.consume(claim, text, claim)
        } else {
            Ok(after_part(text))
        }
    }

    fn agree(&self, claim: &str, expected: &str) -> Result<(), Reason> {
        let value = self.claim(claim)?;
        if value == expected {
            Ok(())
        } else {
            Err(self.disagrees(format!("`{claim}` is {value}, not {expected}")))
        }
    }

    fn agree_if_known(&self, claim: &str, expected: &str) -> Result<(), Reason> {
        if self.claims.contains_key(claim) {
            self.agree(claim, expected)
        } else {
            Ok(())
        }
    }

    /// A claim as it would stand in a subject. Some issuers write numbers as numbers, and some as
    /// texts.
    fn claim(&self, claim: &str) -> Result<Cow<'a, str>, Reason> {
        match self.claims.get(claim) {
            // An empty claim agrees with an empty part, so it is not the same as a missing one.
            Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
            Some(value) => text_of(value).map(Cow::Owned).ok_or_else(|| {
                let kind = kind_of(value);
                self.disagrees(format!("the claim `{claim}` is {kind}, and no text"))
            }),
            None => Err(self.disagrees(format!("there is no claim `{claim}` to compare it with"))),
        }
    }

    fn disagrees(&self, detail: String) -> Reason {
        Reason::SubjectNotOfIssuer {
            subject: self.text.to_owned(),
            detail,
        }
    }
}

struct Repository<'a> {
    owner: &'a str,
    owner_id: Option<&'a str>,
    name: &'a str,
    repository_id: Option<&'a str>,
}

/// Splits `O/R` and `O@1/R@2`. Names hold no `@`, so unlike with `-` there is one reading.
fn split_repository(text: &str) -> Option<Repository<'_>> {
    let (owner, name) = text.split_once('/')?;
    let (owner, owner_id) = split_id(owner)?;
    let (name, repository_id) = split_id(name)?;
    if owner_id.is_some() != repository_id.is_some() || name.contains('/') {
        return None;
    }
    Some(Repository {
        owner,
        owner_id,
        name,
        repository_id,
    })
}

fn split_id(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('@') {
        None => Some((text, None)),
        Some((name, id)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((name, Some(id)))
        }
        Some(_) => None,
    }
}

/// What follows `value` and the `:` after it.
fn strip_part<'a>(text: &'a str, value: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(value)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(':')
}

/// What follows the next `:`.
fn after_part(text: &str) -> &str {
    text.split_once(':').map_or("", |(_, rest)| rest)
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a str> {
    claims.get(claim).and_then(Value::as_str)
}

fn text_claim<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a str> {
    text(claims, claim).filter(|text| !text.is_empty())
}
