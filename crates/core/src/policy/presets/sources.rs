//! From which claim each fact of each kind of issuer is taken.

use super::Preset;

/// A fact and the claim it is taken from, as a path of members.
type Source = (&'static str, &'static [&'static str]);

impl Preset {
    pub(super) fn sources(self) -> &'static [Source] {
        match self {
            Self::Auth0 => AUTH0,
            Self::Aws => AWS,
            Self::Bitbucket => BITBUCKET,
            Self::Buildkite => BUILDKITE,
            Self::CircleCi => CIRCLECI,
            Self::Dex => DEX,
            Self::Entra => ENTRA,
            Self::GitHub => GITHUB,
            Self::GitLab => GITLAB,
            Self::Google => GOOGLE,
            Self::GoogleIap => GOOGLE_IAP,
            Self::HcpTerraform => HCP_TERRAFORM,
            Self::Kubernetes => KUBERNETES,
            Self::Okta => OKTA,
        }
    }
}

/// Custom properties of a repository, each a claim of its own.
pub(super) const REPOSITORY_PROPERTY_FACT: &str = "github.repo_property_";
pub(super) const OF_PROPERTY: &str = "github.repo_property_<name>";

const GITHUB: &[Source] = &[
    ("github.actor", &["actor"]),
    ("github.actor_id", &["actor_id"]),
    ("github.base_ref", &["base_ref"]),
    ("github.enterprise", &["enterprise"]),
    ("github.enterprise_id", &["enterprise_id"]),
    ("github.environment", &["environment"]),
    ("github.event_name", &["event_name"]),
    ("github.head_ref", &["head_ref"]),
    ("github.job_workflow_ref", &["job_workflow_ref"]),
    ("github.job_workflow_sha", &["job_workflow_sha"]),
    ("github.ref", &["ref"]),
    ("github.ref_protected", &["ref_protected"]),
    ("github.ref_type", &["ref_type"]),
    ("github.repository", &["repository"]),
    ("github.repository_id", &["repository_id"]),
    ("github.repository_owner", &["repository_owner"]),
    ("github.repository_owner_id", &["repository_owner_id"]),
    ("github.repository_visibility", &["repository_visibility"]),
    ("github.run_id", &["run_id"]),
    ("github.runner_environment", &["runner_environment"]),
    ("github.sha", &["sha"]),
    ("github.workflow", &["workflow"]),
    ("github.workflow_ref", &["workflow_ref"]),
    ("github.workflow_sha", &["workflow_sha"]),
];

const GITLAB: &[Source] = &[
    ("gitlab.ci_config_ref_uri", &["ci_config_ref_uri"]),
    ("gitlab.ci_config_sha", &["ci_config_sha"]),
    ("gitlab.deployment_tier", &["deployment_tier"]),
    ("gitlab.environment", &["environment"]),
    ("gitlab.environment_protected", &["environment_protected"]),
    ("gitlab.job_id", &["job_id"]),
    ("gitlab.namespace_id", &["namespace_id"]),
    ("gitlab.namespace_path", &["namespace_path"]),
    ("gitlab.pipeline_id", &["pipeline_id"]),
    ("gitlab.pipeline_source", &["pipeline_source"]),
    ("gitlab.project_id", &["project_id"]),
    ("gitlab.project_path", &["project_path"]),
    ("gitlab.project_visibility", &["project_visibility"]),
    ("gitlab.ref", &["ref"]),
    ("gitlab.ref_path", &["ref_path"]),
    ("gitlab.ref_protected", &["ref_protected"]),
    ("gitlab.ref_type", &["ref_type"]),
    ("gitlab.runner_environment", &["runner_environment"]),
    ("gitlab.runner_id", &["runner_id"]),
    ("gitlab.sha", &["sha"]),
    ("gitlab.user_id", &["user_id"]),
    ("gitlab.user_login", &["user_login"]),
];

const KUBERNETES: &[Source] = &[
    ("k8s.namespace", &["kubernetes.io", "namespace"]),
    ("k8s.node", &["kubernetes.io", "node", "name"]),
    ("k8s.node_uid", &["kubernetes.io", "node", "uid"]),
    ("k8s.pod", &["kubernetes.io", "pod", "name"]),
    ("k8s.pod_uid", &["kubernetes.io", "pod", "uid"]),
    (
        "k8s.service_account",
        &["kubernetes.io", "serviceaccount", "name"],
    ),
    (
        "k8s.service_account_uid",
        &["kubernetes.io", "serviceaccount", "uid"],
    ),
];

const BUILDKITE: &[Source] = &[
    ("buildkite.agent_id", &["agent_id"]),
    ("buildkite.build_branch", &["build_branch"]),
    ("buildkite.build_commit", &["build_commit"]),
    ("buildkite.build_number", &["build_number"]),
    ("buildkite.build_source", &["build_source"]),
    ("buildkite.build_tag", &["build_tag"]),
    ("buildkite.job_id", &["job_id"]),
    ("buildkite.organization", &["organization_slug"]),
    ("buildkite.organization_id", &["organization_id"]),
    ("buildkite.pipeline", &["pipeline_slug"]),
    ("buildkite.pipeline_id", &["pipeline_id"]),
    ("buildkite.runner_environment", &["runner_environment"]),
    ("buildkite.step", &["step_key"]),
];

const CIRCLECI: &[Source] = &[
    ("circleci.job_id", &["oidc.circleci.com/job-id"]),
    ("circleci.organization_id", &["oidc.circleci.com/org-id"]),
    ("circleci.pipeline_id", &["oidc.circleci.com/pipeline-id"]),
    ("circleci.project_id", &["oidc.circleci.com/project-id"]),
    ("circleci.ssh_rerun", &["oidc.circleci.com/ssh-rerun"]),
    ("circleci.vcs_origin", &["oidc.circleci.com/vcs-origin"]),
    ("circleci.vcs_ref", &["oidc.circleci.com/vcs-ref"]),
    ("circleci.workflow_id", &["oidc.circleci.com/workflow-id"]),
];

const HCP_TERRAFORM: &[Source] = &[
    (
        "hcp_terraform.organization",
        &["terraform_organization_name"],
    ),
    (
        "hcp_terraform.organization_id",
        &["terraform_organization_id"],
    ),
    ("hcp_terraform.project", &["terraform_project_name"]),
    ("hcp_terraform.project_id", &["terraform_project_id"]),
    ("hcp_terraform.run_id", &["terraform_run_id"]),
    ("hcp_terraform.run_phase", &["terraform_run_phase"]),
    ("hcp_terraform.workspace", &["terraform_workspace_name"]),
    ("hcp_terraform.workspace_id", &["terraform_workspace_id"]),
];

const BITBUCKET: &[Source] = &[
    ("bitbucket.branch", &["branchName"]),
    (
        "bitbucket.deployment_environment_uuid",
        &["deploymentEnvironmentUuid"],
    ),
    ("bitbucket.pipeline_uuid", &["pipelineUuid"]),
    ("bitbucket.repository_uuid", &["repositoryUuid"]),
    ("bitbucket.step_uuid", &["stepUuid"]),
    ("bitbucket.workspace_uuid", &["workspaceUuid"]),
];

const AWS: &[Source] = &[
    ("aws.account_id", &[AWS_CLAIMS, "aws_account"]),
    ("aws.organization_id", &[AWS_CLAIMS, "org_id"]),
    ("aws.organizational_unit", &[AWS_CLAIMS, "ou_path"]),
    ("aws.region", &[AWS_CLAIMS, "source_region"]),
];

/// The claim in which all of AWS's own claims are.
const AWS_CLAIMS: &str = "https://sts.amazonaws.com/";

const OKTA: &[Source] = &[
    ("okta.client_id", &["cid"]),
    ("okta.email", &["email"]),
    ("okta.identity_provider", &["idp"]),
    ("okta.user_id", &["uid"]),
];

const AUTH0: &[Source] = &[
    ("auth0.client_id", &["azp"]),
    ("auth0.email", &["email"]),
    ("auth0.organization", &["org_name"]),
    ("auth0.organization_id", &["org_id"]),
];

const DEX: &[Source] = &[
    ("dex.connector_id", &["federated_claims", "connector_id"]),
    ("dex.email", &["email"]),
    ("dex.user_id", &["federated_claims", "user_id"]),
];

const GOOGLE: &[Source] = &[
    ("google.authorized_party", &["azp"]),
    ("google.email", &["email"]),
    ("google.hosted_domain", &["hd"]),
];

const GOOGLE_IAP: &[Source] = &[
    ("iap.email", &["email"]),
    ("iap.hosted_domain", &["hd"]),
    ("iap.identity_source", &["identity_source"]),
];

const ENTRA: &[Source] = &[
    ("entra.application_id", &["azp"]),
    ("entra.identity_type", &["idtyp"]),
    ("entra.object_id", &["oid"]),
    ("entra.tenant_id", &["tid"]),
];
