//! What tokens of issuers of each kind usually say.

use avouch_core::policy::presets::Preset;
use serde_json::Value;

pub(super) fn usual_claims(preset: Option<Preset>) -> &'static [(&'static str, &'static str)] {
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

/// Claims that are numbers or flags where everything here is a text.
pub(super) fn typed(claim: &str, value: &str) -> Value {
    match (claim, value) {
        ("email_verified", flag) => Value::Bool(flag == "true"),
        ("exp" | "iat" | "nbf", number) => number.parse::<i64>().map_or(Value::Null, Value::from),
        _ => Value::String(value.to_owned()),
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
