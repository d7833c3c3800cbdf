//! What is carried over can be read here, admits what is meant, and says what is missing.

use avouch_audit::{System, carried};
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use serde_json::{Value, json};

fn rule(system: System, document: &Value, claims: Option<&Value>) -> (Value, Vec<String>) {
    let configuration = system.read(document).unwrap();
    let admission = &configuration.admissions[0];
    let carried = carried(admission, claims.and_then(Value::as_object));
    let facts = carried.rule["from"]["facts"].clone();
    let preset = Preset::of_issuer(admission.issuer());
    let read = Rule::read(&json!({"name": "r", "facts": facts}), 1, preset);
    assert!(read.is_ok(), "{facts}: {:?}", read.unwrap_err().sentence());
    (facts, carried.left)
}

fn aws(subject: &str) -> Value {
    let key = "token.actions.githubusercontent.com";
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::1:oidc-provider/{key}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringLike": {format!("{key}:sub"): subject, format!("{key}:aud"): "sts.amazonaws.com"}},
    }]})
}

#[test]
fn a_subject_becomes_facts_and_the_id_comes_from_a_token() {
    let claims = json!({"repository_id": "74", "repository_owner_id": "65"});
    let (facts, left) = rule(
        System::Aws,
        &aws("repo:octo-org/octo-repo:environment:prod"),
        Some(&claims),
    );
    assert_eq!(
        facts,
        json!({
            "github.environment": "prod",
            "github.repository": "octo-org/octo-repo",
            "github.repository_id": "74",
        })
    );
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn without_a_token_the_id_is_asked_for() {
    let (facts, left) = rule(System::Aws, &aws("repo:octo-org/*"), None);
    assert_eq!(facts["github.repository"], json!({"pattern": "octo-org/*"}));
    assert_eq!(facts["github.repository_id"], json!("THE-ID-OF-IT"));
    assert!(left[0].contains("--claims"), "{left:?}");
}

#[test]
fn a_wildcard_inside_a_name_is_left_and_said_to_be() {
    let (facts, left) = rule(
        System::Aws,
        &aws("repo:octo-org/octo-*:ref:refs/heads/main"),
        None,
    );
    assert_eq!(facts.get("github.repository"), None);
    assert_eq!(facts["github.ref"], json!("refs/heads/main"));
    assert!(
        left.iter().any(|one| one.contains("octo-org/octo-*")),
        "{left:?}"
    );
}

#[test]
fn expressions_become_facts_where_they_compare() {
    let provider = json!({
        "name": "p", "attributeMapping": {"google.subject": "assertion.sub"},
        "attributeCondition":
            "assertion.repository_id == '74' && assertion.ref in ['refs/heads/main', 'refs/heads/next'] \
             && assertion.actor != 'mallory'",
        "oidc": {"issuerUri": "https://token.actions.githubusercontent.com"},
    });
    let (facts, left) = rule(System::Gcp, &provider, None);
    assert_eq!(
        facts,
        json!({
            "github.ref": ["refs/heads/main", "refs/heads/next"],
            "github.repository_id": "74",
        })
    );
    assert!(left[0].contains("mallory"), "{left:?}");
}

#[test]
fn pods_are_carried_over_by_their_names() {
    let document = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": "https://kubernetes.default.svc.cluster.local", "audiences": ["vault"]},
            "claimValidationRules": [
                {"claim": "sub", "requiredValue": "system:serviceaccount:payments:api-server"},
            ],
            "claimMappings": {"username": {"claim": "sub", "prefix": "other:"}},
        }],
    });
    let (facts, left) = rule(System::Kubernetes, &document, None);
    assert_eq!(
        facts,
        json!({"k8s.namespace": "payments", "k8s.service_account": "api-server"})
    );
    assert!(left.is_empty(), "{left:?}");
}
