//! Whether a rule names someone, or only what everyone has whose tokens an issuer signs, or may have:
//! an issuer by whose rule anyone comes is trusted for all that it signs.

use super::facts::{CLAIMS, MEMBERSHIPS};
use super::matcher::Matcher;
use super::presets::Preset;
use super::rules::Rule;

/// Claims, and facts of SAML, that say how a token came about, or what for, and not whose it is. What it may be
/// used for is asked for by any client, for whoever signs in; which client that is, is one in particular.
const OF_NOBODY: [&str; 13] = [
    "claims.acr",
    "claims.amr",
    "claims.auth_time",
    "claims.email_verified",
    "claims.phone_number_verified",
    "claims.scope",
    "claims.scp",
    "claims.token_use",
    "claims.typ",
    "claims.ver",
    "claims.zoneinfo",
    "saml.authn_context",
    "saml.name_format",
];

impl Preset {
    /// Facts that name nobody in particular: how and where something runs, and on what occasion. Whoever
    /// else the issuer signs for has them, too, or chooses them.
    pub fn facts_of_nobody(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &["aws.region"],
            Self::Bitbucket => &["bitbucket.branch"],
            Self::Buildkite => &[
                "buildkite.build_branch",
                "buildkite.build_source",
                "buildkite.build_tag",
                "buildkite.runner_environment",
                "buildkite.step",
            ],
            Self::CircleCi => &["circleci.ssh_rerun", "circleci.vcs_ref"],
            Self::Dex => &["dex.connector_id"],
            Self::Entra => &["entra.identity_type"],
            Self::GitHub => &[
                "github.base_ref",
                "github.environment",
                "github.event_name",
                "github.head_ref",
                "github.ref",
                "github.ref_protected",
                "github.ref_type",
                "github.repository_visibility",
                "github.runner_environment",
                "github.workflow",
            ],
            Self::GitLab => &[
                "gitlab.deployment_tier",
                "gitlab.environment",
                "gitlab.environment_protected",
                "gitlab.pipeline_source",
                "gitlab.project_visibility",
                "gitlab.ref",
                "gitlab.ref_path",
                "gitlab.ref_protected",
                "gitlab.ref_type",
                "gitlab.runner_environment",
            ],
            Self::GoogleIap => &["iap.identity_source"],
            Self::HcpTerraform => &["hcp_terraform.run_phase"],
            Self::Okta => &["okta.identity_provider"],
            Self::Auth0 | Self::Google | Self::Kubernetes => &[],
        }
    }

    /// Facts that name a customer of the issuer and nobody of theirs. Where the issuer signs for many
    /// customers one of these has to be asked for, and is enough; where it signs for one, all have it.
    pub fn facts_of_customers(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &[
                "aws.account_id",
                "aws.organization_id",
                "aws.organizational_unit",
            ],
            Self::Bitbucket => &["bitbucket.workspace_uuid"],
            Self::Buildkite => &["buildkite.organization", "buildkite.organization_id"],
            Self::CircleCi => &["circleci.organization_id"],
            Self::Entra => &["entra.tenant_id"],
            Self::GitHub => &["github.enterprise", "github.enterprise_id"],
            Self::Google => &["google.hosted_domain"],
            Self::GoogleIap => &["iap.hosted_domain"],
            Self::HcpTerraform => &[
                "hcp_terraform.organization",
                "hcp_terraform.organization_id",
            ],
            // An organization of Auth0 and a group of GitLab are parts of what the issuer signs for.
            Self::Auth0 | Self::Dex | Self::GitLab | Self::Kubernetes | Self::Okta => &[],
        }
    }

    /// Whether the issuer signs for many customers, so that a rule that names one tells them apart.
    fn has_many_customers(self, issuer: &str) -> bool {
        // Those of Identity-Aware Proxy are told apart by the audience, but the domain is not all of it; and
        // a server of Terraform Enterprise has many organizations, as the one of its vendor does.
        matches!(self, Self::GoogleIap | Self::HcpTerraform) || Self::shared_with(issuer).is_some()
    }
}

impl Rule {
    /// Whether it asks for anything that not everyone has, or may have, whose tokens `issuer` signs.
    pub fn names_someone(&self, issuer: &str, preset: Option<Preset>) -> bool {
        self.naming(preset).any(|fact| {
            let of_customers = preset.filter(|preset| preset.facts_of_customers().contains(&fact));
            of_customers.is_none_or(|preset| preset.has_many_customers(issuer))
        })
    }

    /// The facts that nearly all providers send as lists and of which it asks as of a text, which is no mistake
    /// where a provider sends one.
    pub fn lists_asked_as_texts(&self) -> impl Iterator<Item = &str> {
        let conditions = self.conditions().iter();
        conditions.filter_map(|(fact, matcher)| {
            let is_list = MEMBERSHIPS.contains(&fact.strip_prefix(CLAIMS)?);
            (is_list && !matcher.asks_list()).then_some(fact.as_str())
        })
    }

    /// The facts by which it names a customer, where it names nobody of theirs.
    pub fn customer_named(&self, preset: Option<Preset>) -> Option<&str> {
        let of_customers = preset?.facts_of_customers();
        let mut named = self.naming(preset).peekable();
        let first = named.peek().copied()?;
        named
            .all(|fact| of_customers.contains(&fact))
            .then_some(first)
    }

    /// The facts it asks for that name someone, at least a customer, by the names the preset has for them.
    fn naming(&self, preset: Option<Preset>) -> impl Iterator<Item = &str> {
        let conditions = self.conditions().iter();
        let particular = conditions.filter(|(_, matcher)| match matcher {
            // Whoever is in a group is not everyone.
            Matcher::AnyOf(_) | Matcher::Has(_) | Matcher::HasAll(_) => true,
            Matcher::Pattern(pattern) => !pattern.names_nothing(),
        });
        particular
            .map(move |(fact, _)| called(fact, preset))
            .filter(move |fact| {
                let of_nobody = preset.map_or(&[][..], Preset::facts_of_nobody);
                !of_nobody.contains(fact) && !OF_NOBODY.contains(fact)
            })
    }
}

/// What the preset calls a fact, which a rule may also ask for by the name of its claim.
pub(super) fn called(fact: &str, preset: Option<Preset>) -> &str {
    let claim = fact.strip_prefix(CLAIMS);
    let known = claim.and_then(|claim| preset?.fact_of_claim(&[claim]));
    known.unwrap_or(fact)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn names_someone(issuer: &str, preset: Option<Preset>, facts: &Value) -> bool {
        let rule = Rule::read(&json!({"name": "r", "facts": facts}), 1, preset);
        rule.unwrap().names_someone(issuer, preset)
    }

    #[test]
    fn what_names_nobody_is_a_fact_and_no_pin_of_a_part() {
        for preset in Preset::ALL {
            for fact in preset.facts_of_nobody() {
                assert!(preset.has_fact(fact), "{fact}");
                assert!(!preset.pins().contains(fact), "{fact}");
            }
            for fact in preset.facts_of_customers() {
                assert!(preset.has_fact(fact), "{fact}");
            }
        }
    }

    #[test]
    fn what_everyone_has_of_an_issuer_names_nobody() {
        const ENTERPRISE: &str = "https://token.actions.githubusercontent.com/acme";
        const CIRCLE: &str = "https://oidc.circleci.com/org/1";
        const ENTRA: &str = "https://login.microsoftonline.com/t/v2.0";
        const AWS: &str = "https://1.tokens.sts.global.api.aws";
        let other = "https://login.test";
        for (issuer, facts) in [
            (ENTERPRISE, json!({"github.event_name": "push"})),
            (ENTERPRISE, json!({"claims.event_name": "push"})),
            (
                ENTERPRISE,
                json!({"github.enterprise_id": "2", "github.ref": "refs/heads/main"}),
            ),
            (CIRCLE, json!({"circleci.organization_id": "1"})),
            (CIRCLE, json!({"circleci.ssh_rerun": "false"})),
            (
                ENTRA,
                json!({"entra.tenant_id": "t", "entra.identity_type": "app"}),
            ),
            (ENTRA, json!({"claims.tid": "t"})),
            (
                AWS,
                json!({"aws.region": "eu-west-1", "aws.account_id": "1"}),
            ),
            (
                "https://acme.okta.com",
                json!({"okta.identity_provider": "i"}),
            ),
            (
                other,
                json!({"claims.email_verified": "true", "claims.acr": "1"}),
            ),
            (
                other,
                json!({"claims.typ": "Bearer", "claims.token_use": "access"}),
            ),
            (
                other,
                json!({"claims.phone_number_verified": "true", "claims.zoneinfo": "UTC"}),
            ),
            (other, json!({"claims.scope": "deploy"})),
            (other, json!({"claims.scp": {"has": "deploy"}})),
            (
                "https://acme.okta.com",
                json!({"claims.scp": {"has_all": ["read", "deploy"]}}),
            ),
            (other, json!({"claims.team": {"pattern": "*"}})),
        ] {
            assert!(
                !names_someone(issuer, Preset::of_issuer(issuer), &facts),
                "{facts}"
            );
        }
        let dex = json!({"dex.connector_id": "github"});
        assert!(!names_someone(other, Some(Preset::Dex), &dex));
    }

    #[test]
    fn whoever_is_named_in_part_is_named() {
        const GITHUB: &str = "https://token.actions.githubusercontent.com";
        const ENTERPRISE: &str = "https://token.actions.githubusercontent.com/acme";
        for (issuer, facts) in [
            (ENTERPRISE, json!({"github.repository_owner_id": "65"})),
            (
                ENTERPRISE,
                json!({"github.repository_id": "74", "github.event_name": "push"}),
            ),
            (
                ENTERPRISE,
                json!({"github.repository": {"pattern": "octo-org/*"}}),
            ),
            (
                ENTERPRISE,
                json!({"github.repo_property_business_unit": "payments"}),
            ),
            // Of an issuer of many, the customer has to be named, and is enough.
            (GITHUB, json!({"github.enterprise_id": "2"})),
            (
                "https://agent.buildkite.com",
                json!({"buildkite.organization_id": "o"}),
            ),
            (
                "https://accounts.google.com",
                json!({"google.hosted_domain": "a.test"}),
            ),
            (
                "https://cloud.google.com/iap",
                json!({"iap.hosted_domain": "a.test"}),
            ),
            (
                "https://1.tokens.sts.global.api.aws",
                json!({"subject": "arn:aws:iam::1:role/r"}),
            ),
            (
                "https://login.microsoftonline.com/t/v2.0",
                json!({"entra.application_id": "a"}),
            ),
            (
                "https://login.test",
                json!({"claims.groups": {"has": "admins"}}),
            ),
            ("https://login.test", json!({"claims.group": "staff"})),
            ("https://login.test", json!({"claims.client_id": "batch"})),
            (
                "https://login.test",
                json!({"claims.appid": "batch", "claims.scope": "deploy"}),
            ),
            ("https://acme.okta.com", json!({"okta.client_id": "0oa1"})),
            (
                "https://acme.auth0.com",
                json!({"auth0.client_id": "c", "claims.scope": "deploy"}),
            ),
        ] {
            assert!(
                names_someone(issuer, Preset::of_issuer(issuer), &facts),
                "{facts}"
            );
        }
        // A server of one's own has many organizations, too.
        let organization = json!({"hcp_terraform.organization_id": "org-1"});
        let preset = Some(Preset::HcpTerraform);
        assert!(names_someone("https://tfe.test", preset, &organization));
    }
}
