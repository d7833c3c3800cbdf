//! Names that customers of an issuer give up and others take, so that trust in one alone may come
//! to mean somebody else.

use super::presets::Preset;

impl Preset {
    /// The facts that name someone for now: whoever renames, transfers or deletes what has the name
    /// leaves it to the next. Names of Kubernetes are the business of whoever runs the cluster.
    pub fn names_that_are_given_up(self) -> &'static [&'static str] {
        match self {
            Self::Buildkite => &["buildkite.organization", "buildkite.pipeline"],
            Self::GitHub => &[
                "github.enterprise",
                "github.job_workflow_ref",
                "github.repository",
                "github.repository_owner",
                "github.workflow_ref",
            ],
            Self::GitLab => &[
                "gitlab.ci_config_ref_uri",
                "gitlab.namespace_path",
                "gitlab.project_path",
                "gitlab.user_login",
            ],
            Self::HcpTerraform => &[
                "hcp_terraform.organization",
                "hcp_terraform.project",
                "hcp_terraform.workspace",
            ],
            Self::Auth0 => &["auth0.organization"],
            Self::Aws
            | Self::Bitbucket
            | Self::CircleCi
            | Self::Dex
            | Self::Entra
            | Self::Google
            | Self::GoogleIap
            | Self::Kubernetes
            | Self::Okta => &[],
        }
    }

    /// For each of these names, the fact by which whoever has it is known for good.
    pub fn bound_names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Buildkite => &[("buildkite.organization", "buildkite.organization_id")],
            Self::GitHub => &[
                ("github.enterprise", "github.enterprise_id"),
                ("github.repository", "github.repository_id"),
                ("github.repository_owner", "github.repository_owner_id"),
            ],
            Self::GitLab => &[
                ("gitlab.namespace_path", "gitlab.namespace_id"),
                ("gitlab.project_path", "gitlab.project_id"),
            ],
            Self::HcpTerraform => &[(
                "hcp_terraform.organization",
                "hcp_terraform.organization_id",
            )],
            Self::Auth0 => &[("auth0.organization", "auth0.organization_id")],
            // Their names are unique only below another, or are not given up.
            Self::Aws
            | Self::Bitbucket
            | Self::CircleCi
            | Self::Dex
            | Self::Entra
            | Self::Google
            | Self::GoogleIap
            | Self::Kubernetes
            | Self::Okta => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_fact_and_is_known_for_good_by_another() {
        for preset in Preset::ALL {
            for name in preset.names_that_are_given_up() {
                assert!(preset.has_fact(name), "{name}");
            }
            for (name, id) in preset.bound_names() {
                assert!(preset.has_fact(name), "{name}");
                assert!(preset.pins().contains(id), "{id}");
            }
        }
    }
}
