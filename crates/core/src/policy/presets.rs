//! Issuers that many people use: how to know them, what their claims mean, and which claim names
//! the customer that never passes to another.

mod sources;

use serde_json::{Map, Value};

use super::claim::{claim_at, is_email_verified, text_of};
use super::subject;
use crate::credential::jose::algorithm::Algorithm;
use crate::reason::Reason;
use sources::{OF_PROPERTY, REPOSITORY_PROPERTY_FACT};

/// A kind of issuer whose claims are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Users of an Auth0 tenant.
    Auth0,
    /// Roles and users of an AWS account (`sts:GetWebIdentityToken`).
    Aws,
    /// Steps of Bitbucket Pipelines.
    Bitbucket,
    /// Buildkite agents.
    Buildkite,
    /// CircleCI jobs.
    CircleCi,
    /// Users that Dex has signed in elsewhere.
    Dex,
    /// Microsoft Entra ID.
    Entra,
    /// GitHub Actions jobs, on github.com, with data residency, or on a server of one's own.
    GitHub,
    /// GitLab CI jobs.
    GitLab,
    /// Sign in with Google, and Google service accounts.
    Google,
    /// The assertion that Google Identity-Aware Proxy signs for the service behind it.
    GoogleIap,
    /// HCP Terraform runs.
    HcpTerraform,
    /// Kubernetes service accounts.
    Kubernetes,
    /// Users and clients of an Okta organization.
    Okta,
}

impl Preset {
    /// All there are.
    pub const ALL: [Self; 14] = [
        Self::Auth0,
        Self::Aws,
        Self::Bitbucket,
        Self::Buildkite,
        Self::CircleCi,
        Self::Dex,
        Self::Entra,
        Self::GitHub,
        Self::GitLab,
        Self::Google,
        Self::GoogleIap,
        Self::HcpTerraform,
        Self::Kubernetes,
        Self::Okta,
    ];

    /// The name in a trust document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0",
            Self::Aws => "aws",
            Self::Bitbucket => "bitbucket",
            Self::Buildkite => "buildkite",
            Self::CircleCi => "circleci",
            Self::Dex => "dex",
            Self::Entra => "entra",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Google => "google",
            Self::GoogleIap => "google-iap",
            Self::HcpTerraform => "hcp-terraform",
            Self::Kubernetes => "kubernetes",
            Self::Okta => "okta",
        }
    }

    /// The names that its issuers have.
    pub fn issuers(self) -> &'static str {
        match self {
            Self::Auth0 => "https://TENANT[.REGION].auth0.com/",
            Self::Aws => "https://ID.tokens.sts.global.api.aws",
            Self::Bitbucket => {
                "https://api.bitbucket.org/2.0/workspaces/NAME/pipelines-config/identity/oidc"
            }
            Self::Buildkite => "https://agent.buildkite.com",
            Self::CircleCi => "https://oidc.circleci.com/org/ID",
            Self::Dex => "(any; say `preset: dex`)",
            Self::Entra => "https://login.microsoftonline.com/TENANT/v2.0",
            Self::GitHub => {
                "https://token.actions.githubusercontent.com[/ENTERPRISE], \
                 https://token.actions.NAME.ghe.com, https://HOST/_services/token"
            }
            Self::GitLab => "https://gitlab.com (others: say `preset: gitlab`)",
            Self::Google => "https://accounts.google.com",
            Self::GoogleIap => "https://cloud.google.com/iap",
            Self::HcpTerraform => "https://app.terraform.io",
            Self::Kubernetes => {
                "https://kubernetes.default.svc[.cluster.local], those of EKS, GKE and AKS (others: \
                 say `preset: kubernetes`)"
            }
            Self::Okta => "https://NAME.okta.com[/oauth2/SERVER]",
        }
    }

    /// Reads a name of a trust document.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The preset of an issuer that is known by its name. Others, such as a GitLab server of one's
    /// own, are told by the trust document.
    pub fn of_issuer(issuer: &str) -> Option<Self> {
        let rest = issuer.strip_prefix("https://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        match (host, path) {
            ("agent.buildkite.com", "") => Some(Self::Buildkite),
            ("api.bitbucket.org", path) if is_bitbucket(path) => Some(Self::Bitbucket),
            (host, "") if is_below(host, ".tokens.sts.global.api.aws") => Some(Self::Aws),
            (host, "") if host.ends_with(".auth0.com") => Some(Self::Auth0),
            (host, _) if is_below(host, ".okta.com") || is_below(host, ".oktapreview.com") => {
                Some(Self::Okta)
            }
            ("oidc.circleci.com", path) if path.starts_with("org/") => Some(Self::CircleCi),
            ("login.microsoftonline.com" | "sts.windows.net", _) => Some(Self::Entra),
            ("token.actions.githubusercontent.com", _) | (_, "_services/token") => {
                Some(Self::GitHub)
            }
            (host, "") if is_github_data_residency(host) => Some(Self::GitHub),
            ("gitlab.com", "") => Some(Self::GitLab),
            ("accounts.google.com", "") => Some(Self::Google),
            ("cloud.google.com", "iap") => Some(Self::GoogleIap),
            ("app.terraform.io", "") => Some(Self::HcpTerraform),
            (host, _) if is_kubernetes(host, path) => Some(Self::Kubernetes),
            _ => None,
        }
    }

    /// Whose tokens the issuer signs, in words, when it signs those of many customers under one
    /// name; `None` when the name is one customer's own.
    pub fn shared_with(issuer: &str) -> Option<&'static str> {
        match issuer {
            "https://token.actions.githubusercontent.com" => Some("every repository on github.com"),
            "https://gitlab.com" => Some("every project on gitlab.com"),
            "https://agent.buildkite.com" => Some("every pipeline of every Buildkite organization"),
            "https://app.terraform.io" => {
                Some("every workspace of every HCP Terraform organization")
            }
            "https://accounts.google.com" => {
                Some("every Google account and every Google service account")
            }
            // The tenant of all personal Microsoft accounts.
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" => {
                Some("every personal Microsoft account")
            }
            _ => Self::named_by(issuer),
        }
    }

    /// Whose tokens the issuer signs, in words, when its name holds one of a customer that may give it up,
    /// so that it passes to another. A GitHub enterprise that has asked for an issuer of its own counts as
    /// one issuer for one customer.
    pub fn named_by(issuer: &str) -> Option<&'static str> {
        match Self::of_issuer(issuer) {
            Some(Self::Bitbucket) => {
                Some("every repository of whoever has the Bitbucket workspace of this name")
            }
            _ => None,
        }
    }

    /// Other spellings of an issuer that its tokens may carry. Google documents one.
    pub(crate) fn alias(issuer: &str) -> Option<&'static str> {
        (issuer == "https://accounts.google.com").then_some("accounts.google.com")
    }

    /// The facts that name a customer for good: no name that is given up and taken again, and
    /// nothing its holder may change. Google has no such claim for a Workspace domain; `hd` is the
    /// nearest, and follows the domain when it is sold.
    pub fn pins(self) -> &'static [&'static str] {
        match self {
            Self::Auth0 => &["subject", "auth0.organization_id", "auth0.client_id"],
            Self::Aws => &["aws.account_id"],
            Self::Bitbucket => &["bitbucket.repository_uuid", "bitbucket.workspace_uuid"],
            Self::Buildkite => &["buildkite.organization_id", "buildkite.pipeline_id"],
            Self::CircleCi => &["circleci.organization_id", "circleci.project_id"],
            Self::Dex => &["subject", "dex.user_id"],
            Self::Entra => &["entra.object_id"],
            Self::GitHub => &[
                "github.repository_id",
                "github.repository_owner_id",
                "github.enterprise_id",
            ],
            Self::GitLab => &["gitlab.project_id", "gitlab.namespace_id"],
            Self::Google => &["subject", "google.hosted_domain"],
            Self::GoogleIap => &["subject"],
            Self::HcpTerraform => &[
                "hcp_terraform.organization_id",
                "hcp_terraform.project_id",
                "hcp_terraform.workspace_id",
            ],
            Self::Kubernetes => &["k8s.service_account_uid"],
            Self::Okta => &["okta.user_id", "okta.client_id"],
        }
    }

    /// Facts that rules often leave open, and whom that admits; one fact of each list is enough.
    pub fn often_forgotten(self) -> &'static [(&'static [&'static str], &'static str)] {
        match self {
            Self::GitHub => &[
                (
                    &["github.event_name", "github.environment"],
                    "jobs of `pull_request`, `pull_request_target` and `workflow_run` too, which \
                     run for what others propose",
                ),
                (
                    &["github.ref", "github.environment", "github.ref_protected"],
                    "every branch and tag, whoever may push it",
                ),
                (
                    &[
                        "github.job_workflow_ref",
                        "github.workflow_ref",
                        "github.environment",
                    ],
                    "every workflow file, whoever may write one",
                ),
            ],
            Self::GitLab => &[
                (
                    &["gitlab.ref_protected", "gitlab.environment_protected"],
                    "branches that are not protected too, which whoever may push can write",
                ),
                (
                    &["gitlab.pipeline_source"],
                    "pipelines of merge requests too, which run for what others propose",
                ),
            ],
            Self::Buildkite => &[(
                &["buildkite.build_branch", "buildkite.step"],
                "every branch and step",
            )],
            Self::CircleCi => &[
                (&["circleci.vcs_ref"], "every branch"),
                (
                    &["circleci.ssh_rerun"],
                    "jobs that someone has run again to look into over SSH",
                ),
            ],
            Self::HcpTerraform => &[(
                &["hcp_terraform.run_phase"],
                "plans too, not only what was confirmed to be applied",
            )],
            Self::Kubernetes => &[(
                &["k8s.service_account_uid"],
                "a service account that was made anew under the same name",
            )],
            Self::Bitbucket => &[(
                &["bitbucket.branch", "bitbucket.deployment_environment_uuid"],
                "every branch, also those of pull requests",
            )],
            Self::Aws => &[(
                &["subject"],
                "every role and user of the account that may ask for tokens",
            )],
            Self::Auth0 | Self::Dex | Self::Entra | Self::Google | Self::GoogleIap | Self::Okta => {
                &[]
            }
        }
    }

    /// Whether its tokens may say how their subject has signed in (`acr`, `amr`, `auth_time`).
    /// Those of jobs and of workloads cannot: nobody has.
    pub fn tells_how_one_signed_in(self) -> bool {
        match self {
            Self::Auth0 | Self::Entra | Self::Okta => true,
            // Google documents none of the claims, the proxy leaves them out, and Dex hands none on of
            // what it was told elsewhere.
            Self::Google
            | Self::GoogleIap
            | Self::Aws
            | Self::Bitbucket
            | Self::Buildkite
            | Self::Dex
            | Self::CircleCi
            | Self::GitHub
            | Self::GitLab
            | Self::HcpTerraform
            | Self::Kubernetes => false,
        }
    }

    /// Whether this text of a `sub` itself names the customer for good.
    pub(crate) fn is_immutable_subject(self, text: &str) -> bool {
        match self {
            Self::GitHub => subject::has_github_ids(text),
            Self::Google | Self::GoogleIap | Self::Auth0 | Self::Dex => true,
            // Users may be called by their address in access tokens; their numbers begin like this.
            Self::Okta => text.starts_with("00u") || text.starts_with("0oa"),
            Self::Bitbucket => text.starts_with('{'),
            // A role that is made anew has the name of the one before.
            Self::Aws
            | Self::Buildkite
            | Self::CircleCi
            | Self::Entra
            | Self::GitLab
            | Self::HcpTerraform
            | Self::Kubernetes => false,
        }
    }

    /// What all names of its facts begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0.",
            Self::Aws => "aws.",
            Self::Bitbucket => "bitbucket.",
            Self::Buildkite => "buildkite.",
            Self::CircleCi => "circleci.",
            Self::Dex => "dex.",
            Self::Entra => "entra.",
            Self::GitHub => "github.",
            Self::GitLab => "gitlab.",
            Self::Google => "google.",
            Self::GoogleIap => "iap.",
            Self::HcpTerraform => "hcp_terraform.",
            Self::Kubernetes => "k8s.",
            Self::Okta => "okta.",
        }
    }

    /// The fact that is taken from a claim, given as a path of members.
    pub fn fact_of_claim(self, path: &[&str]) -> Option<&'static str> {
        let mut sources = self.sources().iter();
        let source = sources.find(|(_, claim)| *claim == path);
        source.map(|(fact, _)| *fact)
    }

    /// All facts of its tokens beside the subject, each with the claim that it is taken from; members of
    /// claims within claims are divided by dots. GitHub has another for each property of a repository.
    pub fn facts(self) -> Vec<(&'static str, String)> {
        let sources = self.sources().iter();
        let mut facts: Vec<_> = sources
            .map(|(fact, claim)| (*fact, claim.join(".")))
            .collect();
        if self == Self::GitHub {
            facts.push((OF_PROPERTY, "repo_property_<name>".to_owned()));
        }
        facts
    }

    /// Whether tokens of this kind have a fact of this name.
    pub fn has_fact(self, name: &str) -> bool {
        self.sources().iter().any(|(fact, _)| *fact == name)
            || self == Self::GitHub && name.starts_with(REPOSITORY_PROPERTY_FACT)
    }

    /// The only algorithms its tokens are signed with, when that is part of what makes them
    /// believable. The headers that Identity-Aware Proxy adds without a signature prove nothing.
    pub(crate) fn algorithms(self) -> Option<&'static [Algorithm]> {
        match self {
            Self::GoogleIap => Some(&[Algorithm::Es256]),
            Self::Auth0
            | Self::Aws
            | Self::Bitbucket
            | Self::Dex
            | Self::Okta
            | Self::Buildkite
            | Self::CircleCi
            | Self::Entra
            | Self::GitHub
            | Self::GitLab
            | Self::Google
            | Self::HcpTerraform
            | Self::Kubernetes => None,
        }
    }

    /// Whether the subject, and what else is said twice, agrees with the other claims.
    pub(crate) fn check_subject(
        self,
        issuer: &str,
        claims: &Map<String, Value>,
    ) -> Result<(), Reason> {
        subject::check(self, issuer, claims)
    }

    /// Gives each fact in `claims` to `take`.
    pub(crate) fn for_each_fact(
        self,
        claims: &Map<String, Value>,
        take: &mut dyn FnMut(String, String) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        for (fact, path) in self.sources() {
            let is_unverified_email = *path == ["email"] && !self.verifies_email(claims);
            if is_unverified_email {
                continue;
            }
            if let Some(value) = claim_at(claims, path).and_then(text_of) {
                take((*fact).to_owned(), value)?;
            }
        }
        if self == Self::GitHub {
            for (claim, value) in claims {
                if let Some(property) = claim.strip_prefix("repo_property_")
                    && let Some(value) = text_of(value)
                {
                    take(format!("{REPOSITORY_PROPERTY_FACT}{property}"), value)?;
                }
            }
        }
        Ok(())
    }

    /// The fact that an address in these claims would be if anyone had verified it.
    pub(crate) fn unverified_email(self, claims: &Map<String, Value>) -> Option<&'static str> {
        if self.verifies_email(claims) || !claims.contains_key("email") {
            return None;
        }
        let mut sources = self.sources().iter();
        let found = sources.find(|(_, path)| *path == ["email"]);
        found.map(|(fact, _)| *fact)
    }

    fn verifies_email(self, claims: &Map<String, Value>) -> bool {
        // The proxy has signed the user in itself, and sends no `email_verified`.
        self == Self::GoogleIap || is_email_verified(claims)
    }
}

/// One name before this end, and no more.
fn is_below(host: &str, end: &str) -> bool {
    host.strip_suffix(end)
        .is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

fn is_bitbucket(path: &str) -> bool {
    path.strip_prefix("2.0/workspaces/")
        .and_then(|rest| rest.strip_suffix("/pipelines-config/identity/oidc"))
        .is_some_and(|workspace| !workspace.is_empty() && !workspace.contains('/'))
}

fn is_github_data_residency(host: &str) -> bool {
    host.strip_prefix("token.actions.")
        .and_then(|rest| rest.strip_suffix(".ghe.com"))
        .is_some_and(|enterprise| !enterprise.is_empty() && !enterprise.contains('.'))
}

/// The default name inside a cluster, and those of the large hosted offerings.
fn is_kubernetes(host: &str, path: &str) -> bool {
    host.starts_with("kubernetes.default.svc")
        || host == "kubernetes.default"
        || host.starts_with("oidc.eks.")
            && host.ends_with(".amazonaws.com")
            && path.starts_with("id/")
        || host == "container.googleapis.com" && path.contains("/clusters/")
        || host.ends_with(".oic.prod-aks.azure.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_known_by_their_whole_name() {
        for (issuer, preset) in [
            (
                "https://token.actions.githubusercontent.com",
                Some(Preset::GitHub),
            ),
            (
                "https://token.actions.githubusercontent.com/avocado-corp",
                Some(Preset::GitHub),
            ),
            ("https://token.actions.octo.ghe.com", Some(Preset::GitHub)),
            (
                "https://ghes.example.com/_services/token",
                Some(Preset::GitHub),
            ),
            ("https://gitlab.com", Some(Preset::GitLab)),
            (
                "https://kubernetes.default.svc.cluster.local",
                Some(Preset::Kubernetes),
            ),
            (
                "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",
                Some(Preset::Kubernetes),
            ),
            ("https://oidc.circleci.com/org/1", Some(Preset::CircleCi)),
            ("https://cloud.google.com/iap", Some(Preset::GoogleIap)),
            (
                "https://token.actions.githubusercontent.com@evil.test",
                None,
            ),
            (
                "https://token.actions.githubusercontent.com.evil.test",
                None,
            ),
            ("https://gitlab.com.evil.test", None),
            ("https://gitlab.com/evil", None),
            ("http://gitlab.com", None),
            ("https://token.actions.a.b.ghe.com", None),
        ] {
            assert_eq!(Preset::of_issuer(issuer), preset, "{issuer}");
        }
    }

    #[test]
    fn only_issuers_of_many_customers_are_shared() {
        assert!(Preset::shared_with("https://token.actions.githubusercontent.com").is_some());
        assert!(Preset::shared_with("https://token.actions.githubusercontent.com/corp").is_none());
        assert!(Preset::shared_with("https://gitlab.example.com").is_none());
    }

    #[test]
    fn every_pin_is_a_fact_of_its_preset() {
        for preset in Preset::ALL {
            assert_eq!(Preset::parse(preset.name()), Some(preset));
            for (fact, _) in preset.sources() {
                assert!(fact.starts_with(preset.prefix()), "{fact}");
            }
            for pin in preset.pins() {
                assert!(*pin == "subject" || preset.has_fact(pin), "{pin}");
            }
        }
    }
}
