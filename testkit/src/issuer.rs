//! Issuers of other people over real TLS: a discovery document, a key set, and tokens with the
//! claims that each vendor documents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::https::{HttpsServer, Shown, response, root};
use crate::key::Key;
use crate::token::{TokenForge, jwk, jwks};
use crate::world::{Authority, pem};

/// The path of the discovery document (OpenID Connect Discovery 4).
pub const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer on loopback.
pub struct IssuerServer {
    issuer: String,
    server: HttpsServer,
    root: Authority,
    pages: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl IssuerServer {
    /// An issuer that is called as the address it is served at, and publishes nothing yet.
    pub fn start() -> Self {
        Self::called(None)
    }

    /// An issuer of this name, which is served elsewhere than the name says.
    pub fn named(issuer: &str) -> Self {
        Self::called(Some(issuer))
    }

    fn called(issuer: Option<&str>) -> Self {
        let root = root("Issuers Root");
        let pages: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let served = Arc::clone(&pages);
        let shown = Shown::under(&root, &["localhost"]);
        let server = HttpsServer::start(&shown, move |received, wire| {
            let page = lock(&served).get(&received.path).cloned();
            wire.write_all(&page.unwrap_or_else(|| response(404, &[], b"there is nothing")))
        });
        let issuer = issuer.map_or_else(|| server.url(""), str::to_owned);
        let this = Self {
            issuer,
            server,
            root,
            pages,
        };
        this.discover(&this.discovery());
        this
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The server that it is.
    pub fn server(&self) -> &HttpsServer {
        &self.server
    }

    /// The CA of its TLS certificate.
    pub fn ca(&self) -> String {
        pem("CERTIFICATE", &self.root.certificate)
    }

    /// The discovery document of an honest issuer.
    pub fn discovery(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": self.server.url("/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        })
    }

    /// Has this as discovery document.
    pub fn discover(&self, document: &Value) {
        self.page(
            DISCOVERY,
            response(200, &[], document.to_string().as_bytes()),
        );
    }

    /// Publishes these keys, to be kept for ten minutes.
    pub fn publish(&self, keys: &[(&Key, &str)]) {
        let keys: Vec<Value> = keys.iter().map(|(key, kid)| jwk(key, kid)).collect();
        self.publish_set(&jwks(&keys));
    }

    /// Publishes this as key set.
    pub fn publish_set(&self, set: &Value) {
        let fields = [
            ("cache-control", "max-age=600"),
            ("content-type", "application/json"),
        ];
        self.page("/jwks", response(200, &fields, set.to_string().as_bytes()));
    }

    /// Answers a path with these bytes.
    pub fn page(&self, path: &str, answer: Vec<u8>) {
        lock(&self.pages).insert(path.to_owned(), answer);
    }

    /// How often its key set was asked for.
    pub fn key_sets_asked(&self) -> usize {
        let received = self.server.received();
        received.iter().filter(|one| one.path == "/jwks").count()
    }

    /// A token with these claims besides `iss`, issued at `now`, for ten minutes.
    pub fn token(&self, now: i64, claims: &Value) -> TokenForge {
        let mut token = TokenForge::saying(json!({
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        }));
        for (name, value) in claims.as_object().into_iter().flatten() {
            token = token.claim(name, value.clone());
        }
        token
    }
}

/// The claims of a job of GitHub Actions: a deployment from the branch `main` of the repository 74.
pub fn github() -> Value {
    json!({
        "jti": "6f4762ed-0758-4ccb-808d-ee3af5d723a8",
        "sub": "repo:octo-org@65/octo-repo@74:environment:prod",
        "aud": "https://vault.example.com",
        "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
        "sha": "0123456789abcdef0123456789abcdef01234567",
        "repository": "octo-org/octo-repo", "repository_id": "74",
        "repository_owner": "octo-org", "repository_owner_id": "65",
        "repository_visibility": "private",
        "run_id": "8012345678", "run_number": "10", "run_attempt": "2",
        "runner_environment": "github-hosted", "actor": "octocat", "actor_id": "12",
        "workflow": "deploy",
        "workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
        "workflow_sha": "0123456789abcdef0123456789abcdef01234567",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "job_workflow_sha": "0123456789abcdef0123456789abcdef01234567",
        "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "environment": "prod",
        "check_run_id": "123", "enterprise": "avocado-corp", "enterprise_id": "2",
        "repo_property_business_unit": "payments",
    })
}

/// The claims of a job of GitLab CI.
pub fn gitlab() -> Value {
    json!({
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
        "aud": "https://vault.example.com",
        "namespace_id": "72", "namespace_path": "my-group",
        "project_id": "20", "project_path": "my-group/my-project",
        "user_id": "1", "user_login": "sample-user", "user_email": "sample-user@example.com",
        "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
        "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": "feature-branch-1", "ref_type": "branch",
        "ref_path": "refs/heads/feature-branch-1", "ref_protected": "false",
        "environment": "test-environment2", "environment_protected": "false",
        "deployment_tier": "testing", "runner_id": 1, "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "ci_config_ref_uri":
            "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "project_visibility": "public", "user_access_level": "developer",
    })
}

/// The claims of the token of a Kubernetes service account.
pub fn kubernetes() -> Value {
    json!({
        "aud": ["https://vault.example.com"],
        "jti": "e51f1fbc-4733-4b85-a59f-ba80c0523874",
        "kubernetes.io": {
            "namespace": "default",
            "node": {"name": "worker-1", "uid": "517eb86e-0000-4000-8000-000000000001"},
            "pod": {"name": "shell", "uid": "0d8b260e-0000-4000-8000-000000000002"},
            "serviceaccount": {
                "name": "default", "uid": "e6a8680e-0000-4000-8000-000000000003",
            },
            "warnafter": 1_717_674_962,
        },
        "sub": "system:serviceaccount:default:default",
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
