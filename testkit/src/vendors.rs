//! Simulators of well-known issuers: the claims that each documents, and the same of someone else.
//!
//! Each is served by an [`IssuerServer`](crate::issuer::IssuerServer) that has the name of the vendor
//! and an address on loopback, over real TLS.

use serde_json::{Map, Value, json};

use crate::issuer::{github, gitlab, kubernetes};

/// One issuer as its customers see it.
pub struct Vendor {
    /// The preset that knows it.
    pub preset: &'static str,
    /// What it calls itself.
    pub issuer: &'static str,
    /// Whether its name tells the preset.
    pub known_by_name: bool,
    /// Whether it signs with ES256 rather than RS256.
    pub es256: bool,
    /// The claims of a token, besides those that bound it.
    pub claims: Value,
    /// What someone else's token says instead: of another customer, or of another subject where the
    /// issuer has one customer alone. All that its issuer would change is changed.
    pub others: Value,
    /// The facts that pin the customer for good.
    pub pins: Value,
}

impl Vendor {
    /// The claims of a token of someone else.
    pub fn claims_of_another(&self) -> Value {
        let mut claims = self.claims.as_object().cloned().unwrap_or_default();
        for (name, value) in self.others.as_object().cloned().unwrap_or_default() {
            claims.insert(name, value);
        }
        Value::Object(claims)
    }

    /// The claims without those from which the pins are taken.
    pub fn claims_without(&self, claim: &str) -> Value {
        let mut claims: Map<String, Value> = self.claims.as_object().cloned().unwrap_or_default();
        claims.remove(claim);
        Value::Object(claims)
    }
}

/// All vendors of whom there is a preset.
pub fn vendors() -> Vec<Vendor> {
    let mut all = of_ci();
    all.extend(of_clouds());
    all.extend(of_people());
    all
}

fn of_ci() -> Vec<Vendor> {
    let mut all = vec![
        vendor(
            "gitlab",
            "https://gitlab.com",
            gitlab(),
            gitlab_of_another(),
            json!({
                "gitlab.project_id": "20",
            }),
        ),
        vendor(
            "buildkite",
            "https://agent.buildkite.com",
            json!({
                "sub": "organization:acme-inc:pipeline:deploy:ref:refs/heads/main:commit:9f3182:step:ship",
                "organization_slug": "acme-inc", "organization_id": "0184990a-477b-4fa8-9968-496074483cee",
                "pipeline_slug": "deploy", "pipeline_id": "0184990a-4782-42b5-afc1-16715b10b8ff",
                "build_branch": "main", "build_commit": "9f3182", "step_key": "ship", "build_number": 7,
            }),
            json!({
                "organization_id": "ffffffff-477b-4fa8-9968-496074483cee",
                "pipeline_id": "ffffffff-4782-42b5-afc1-16715b10b8ff",
            }),
            json!({"buildkite.organization_id": "0184990a-477b-4fa8-9968-496074483cee"}),
        ),
        vendor(
            "circleci",
            "https://oidc.circleci.com/org/2f6b9a5e-1c3d-4e8f-9a0b-5c6d7e8f9a0b",
            json!({
                "sub": "org/2f6b9a5e-1c3d-4e8f-9a0b-5c6d7e8f9a0b/project/8d2a8d1c-3f6b-4f0e-9a58-0d6fd0b5c001/user/5f0b6d2e-6f9b-4a06-8d52-3f6e2e0a7002",
                "oidc.circleci.com/project-id": "8d2a8d1c-3f6b-4f0e-9a58-0d6fd0b5c001",
                "oidc.circleci.com/ssh-rerun": false,
                "oidc.circleci.com/vcs-ref": "refs/heads/main",
            }),
            json!({
                "sub": "org/2f6b9a5e-1c3d-4e8f-9a0b-5c6d7e8f9a0b/project/ffffffff-3f6b-4f0e-9a58-0d6fd0b5c001/user/5f0b6d2e-6f9b-4a06-8d52-3f6e2e0a7002",
                "oidc.circleci.com/project-id": "ffffffff-3f6b-4f0e-9a58-0d6fd0b5c001",
            }),
            json!({"circleci.project_id": "8d2a8d1c-3f6b-4f0e-9a58-0d6fd0b5c001"}),
        ),
        vendor(
            "hcp-terraform",
            "https://app.terraform.io",
            json!({
                "sub": "organization:acme-inc:project:platform:workspace:production:run_phase:apply",
                "terraform_organization_id": "org-GRNbCjYNpBB6NEBV", "terraform_organization_name": "acme-inc",
                "terraform_project_id": "prj-vegSA59s1XPwMr2t", "terraform_project_name": "platform",
                "terraform_workspace_id": "ws-mbsd5E3Ktt5Rg2Xm", "terraform_workspace_name": "production",
                "terraform_run_id": "run-W1", "terraform_run_phase": "apply",
                "terraform_full_workspace": "organization:acme-inc:project:platform:workspace:production",
            }),
            json!({"terraform_organization_id": "org-EVILEVILEVILEVIL", "terraform_workspace_id": "ws-evil"}),
            json!({"hcp_terraform.organization_id": "org-GRNbCjYNpBB6NEBV"}),
        ),
        vendor(
            "bitbucket",
            "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
            json!({
                "sub": "{0b1d3e5f-1111-4222-8333-444455556666}:{9c8d7e6f-1111-4222-8333-444455556666}",
                "repositoryUuid": "{0b1d3e5f-1111-4222-8333-444455556666}",
                "stepUuid": "{9c8d7e6f-1111-4222-8333-444455556666}",
                "workspaceUuid": "{1a2b3c4d-1111-4222-8333-444455556666}",
                "pipelineUuid": "{5e6f7a8b-1111-4222-8333-444455556666}", "branchName": "main",
            }),
            json!({"workspaceUuid": "{ffffffff-1111-4222-8333-444455556666}"}),
            json!({"bitbucket.workspace_uuid": "{1a2b3c4d-1111-4222-8333-444455556666}"}),
        ),
    ];
    all.extend(of_github());
    all
}

/// One name for everyone, one for an enterprise, one with data residency, one of a server.
fn of_github() -> Vec<Vendor> {
    let of_another = json!({
        "sub": "repo:octo-org@66/octo-repo@99:environment:prod", "repository_id": "99",
        "repository_owner_id": "66",
    });
    let issuers = [
        "https://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com/avocado-corp",
        "https://token.actions.avocado.ghe.com",
        "https://github.avocado.example/_services/token",
    ];
    let served = issuers.into_iter().map(|issuer| {
        let pins = json!({"github.repository_id": "74"});
        vendor("github", issuer, github(), of_another.clone(), pins)
    });
    served.collect()
}

fn gitlab_of_another() -> Value {
    json!({"namespace_id": "666", "project_id": "667"})
}

fn of_clouds() -> Vec<Vendor> {
    let mut account = kubernetes();
    account["kubernetes.io"]["serviceaccount"]["uid"] =
        "99999999-0000-4000-8000-000000000003".into();
    let cluster = |issuer: &'static str| {
        vendor(
            "kubernetes",
            issuer,
            kubernetes(),
            json!({"kubernetes.io": account["kubernetes.io"]}),
            json!({"k8s.service_account_uid": "e6a8680e-0000-4000-8000-000000000003"}),
        )
    };
    vec![
        cluster("https://kubernetes.default.svc.cluster.local"),
        cluster("https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E"),
        vendor(
            "aws",
            "https://3f2a9c1e-8b7d-4c6a-9e5f-1a2b3c4d5e6f.tokens.sts.global.api.aws",
            json!({
                "sub": "arn:aws:iam::123456789012:role/DataProcessing",
                "https://sts.amazonaws.com/": {
                    "aws_account": "123456789012", "source_region": "eu-west-1", "org_id": "o-abc1234567",
                },
            }),
            json!({
                "sub": "arn:aws:iam::666666666666:role/DataProcessing",
                "https://sts.amazonaws.com/": {
                    "aws_account": "666666666666", "source_region": "eu-west-1", "org_id": "o-evil",
                },
            }),
            json!({
                "aws.account_id": "123456789012",
                "subject": "arn:aws:iam::123456789012:role/DataProcessing",
            }),
        ),
        vendor(
            "google",
            "https://accounts.google.com",
            json!({
                "sub": "110169484474386276334", "azp": "110169484474386276334",
                "email": "deploy@shop.iam.gserviceaccount.com", "email_verified": true,
            }),
            json!({"sub": "999999999999999999999", "azp": "999999999999999999999"}),
            json!({"subject": "110169484474386276334"}),
        ),
        Vendor {
            es256: true,
            ..vendor(
                "google-iap",
                "https://cloud.google.com/iap",
                json!({
                    "sub": "accounts.google.com:110169484474386276334", "email": "mia@example.com",
                    "hd": "example.com",
                }),
                json!({"sub": "accounts.google.com:999999999999999999999", "email": "mallory@example.com"}),
                json!({"subject": "accounts.google.com:110169484474386276334"}),
            )
        },
    ]
}

fn of_people() -> Vec<Vendor> {
    vec![
        vendor(
            "entra",
            "https://login.microsoftonline.com/aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee/v2.0",
            json!({
                "sub": "66666666-7777-4888-8999-000000000000", "oid": "66666666-7777-4888-8999-000000000000",
                "tid": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "azp": "11111111-2222-4333-8444-555555555555",
                "idtyp": "app",
            }),
            // Of another tenant, as in CVE-2025-55241.
            json!({"tid": "ffffffff-bbbb-4ccc-8ddd-eeeeeeeeeeee"}),
            json!({"entra.object_id": "66666666-7777-4888-8999-000000000000"}),
        ),
        vendor(
            "okta",
            "https://acme.okta.com/oauth2/default",
            json!({
                "sub": "mia@example.com", "uid": "00u1abcd2EFGHIJKL3x7", "cid": "0oa1abcd2EFGHIJKL3x7",
                "amr": ["pwd", "otp", "mfa"], "auth_time": 1_700_000_000,
            }),
            // The same address, given to someone else.
            json!({"uid": "00u9zzzz9ZZZZZZZZ9z9"}),
            json!({"okta.user_id": "00u1abcd2EFGHIJKL3x7"}),
        ),
        vendor(
            "auth0",
            "https://acme.eu.auth0.com/",
            json!({
                "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "azp": "my_client_id", "org_id": "org_abc123",
                "amr": ["mfa"],
            }),
            json!({"sub": "auth0|ffffffffffffffffffffffff"}),
            json!({"subject": "auth0|5f7c8ec7c33c6c004bbafe82"}),
        ),
        Vendor {
            known_by_name: false,
            ..vendor(
                "dex",
                "https://dex.example.com",
                json!({
                    "sub": "CgcyMzQyNzQ5EgZnaXRodWI", "email": "mia@example.com", "email_verified": true,
                    "federated_claims": {"connector_id": "github", "user_id": "2342749"},
                }),
                json!({
                    "sub": "CgcxMTExMTExEgZnaXRodWI",
                    "federated_claims": {"connector_id": "github", "user_id": "1111111"},
                }),
                json!({"dex.connector_id": "github", "dex.user_id": "2342749"}),
            )
        },
    ]
}

fn vendor(
    preset: &'static str,
    issuer: &'static str,
    claims: Value,
    others: Value,
    pins: Value,
) -> Vendor {
    Vendor {
        preset,
        issuer,
        known_by_name: true,
        es256: false,
        claims,
        others,
        pins,
    }
}
