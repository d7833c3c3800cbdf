//! Conditions that say who may not come, and so name nobody in particular.

use avouch_audit::{Severity, System};
use serde_json::{Value, json};

use crate::look::{found, gravest, said, witness};

const GITHUB: &str = "token.actions.githubusercontent.com";

/// A policy that admits under the first conditions, and denies under each of the others.
fn policy(allowed: &Value, denied: &[Value]) -> Value {
    let statement = |effect: &str, condition: &Value| {
        json!({
            "Effect": effect,
            "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{GITHUB}")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition,
        })
    };
    let mut statements = vec![statement("Allow", allowed)];
    statements.extend(denied.iter().map(|one| statement("Deny", one)));
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn key(claim: &str) -> String {
    format!("{GITHUB}:{claim}")
}

fn with_audience(operator: &str, subject: &Value) -> Value {
    let mut conditions = json!({"StringEquals": {key("aud"): "sts.amazonaws.com"}});
    conditions[operator][key("sub")] = subject.clone();
    conditions
}

fn google(condition: &str) -> Value {
    json!({
        "name": "projects/1/locations/global/workloadIdentityPools/ci/providers/main",
        "state": "ACTIVE",
        "attributeMapping": {"google.subject": "assertion.sub"},
        "attributeCondition": condition,
        "oidc": {"issuerUri": format!("https://{GITHUB}"), "allowedAudiences": ["https://ci.example.com"]},
    })
}

#[track_caller]
fn check(system: System, document: &Value, expected: &[&str]) {
    assert_eq!(found(system, document), expected, "{document:#}");
}

#[test]
fn to_exclude_some_of_aws_is_to_admit_everyone_else() {
    for (operator, subject) in [
        ("StringNotLike", "repo:octo-org/*"),
        (
            "StringNotEquals",
            "repo:octo-org/octo-repo:ref:refs/heads/main",
        ),
        ("StringNotLike", "repo:evil-org/*"),
        (
            "StringNotEqualsIgnoreCase",
            "repo:octo-org/octo-repo:pull_request",
        ),
        ("ForAllValues:StringNotLike", "repo:octo-org*"),
        ("ForAnyValue:StringNotLike", "repo:octo-org*"),
    ] {
        let document = policy(&with_audience(operator, &json!(subject)), &[]);
        check(System::Aws, &document, &["issuer-only-trust"]);
        assert_eq!(gravest(System::Aws, &document), Some(Severity::Critical));
        let claims = witness(System::Aws, &document, "issuer-only-trust");
        assert!(!said(&claims, "repository").starts_with("octo-org"));
    }
}

#[test]
fn to_exclude_some_of_google_cloud_is_to_admit_everyone_else() {
    for condition in [
        "assertion.repository_owner != 'octo-org'",
        "!(assertion.repository.startsWith('octo-org/'))",
        "!(assertion.repository_owner == 'octo-org')",
        "!(assertion.repository_owner in ['octo-org', 'evil-org'])",
        "assertion.repository_owner != 'octo-org' && assertion.ref != 'refs/heads/main'",
        "!(assertion.repository == 'octo-org/octo-repo' || assertion.event_name == 'pull_request')",
        "assertion.repository_owner == 'octo-org' ? false : true",
    ] {
        check(System::Gcp, &google(condition), &["issuer-only-trust"]);
    }
}

#[test]
fn to_deny_all_but_one_is_to_admit_that_one() {
    let audience = json!({"StringEquals": {key("aud"): "sts.amazonaws.com"}});
    let all_but = |pattern: &str| json!({"StringNotLike": {key("sub"): pattern}});
    let document = policy(&audience, &[all_but("repo:octo-org/octo-repo:*")]);
    let as_allowed = policy(
        &with_audience("StringLike", &json!("repo:octo-org/octo-repo:*")),
        &[],
    );
    check(
        System::Aws,
        &document,
        &[
            "mutable-name-subject",
            "old-subject-format",
            "untrusted-trigger-context",
        ],
    );
    assert_eq!(
        found(System::Aws, &document),
        found(System::Aws, &as_allowed)
    );
    let claims = witness(System::Aws, &document, "untrusted-trigger-context");
    assert_eq!(said(&claims, "sub"), "repo:octo-org/octo-repo:pull_request");
    // Said twice over, it is the same in expressions.
    let twice = google("!(assertion.repository != 'octo-org/octo-repo')");
    let once = google("assertion.repository == 'octo-org/octo-repo'");
    assert_eq!(found(System::Gcp, &twice), found(System::Gcp, &once));
    // The near miss: a denial of others leaves everyone else.
    let document = policy(
        &audience,
        &[json!({"StringLike": {key("sub"): "repo:octo-org/*"}})],
    );
    check(System::Aws, &document, &["issuer-only-trust"]);
}

#[test]
fn a_pattern_that_is_a_name_and_holds_without_one() {
    for (operator, subject) in [
        ("StringEqualsIfExists", "repo:octo-org/*"),
        (
            "StringEqualsIfExists",
            "repo:octo-org@65/octo-repo@74:environment:prod",
        ),
        ("ForAllValues:StringEquals", "repo:octo-org/*"),
    ] {
        let document = policy(&with_audience(operator, &json!(subject)), &[]);
        check(System::Aws, &document, &["vacuous-condition"]);
        assert_eq!(gravest(System::Aws, &document), Some(Severity::Critical));
        let claims = witness(System::Aws, &document, "vacuous-condition");
        assert!(!claims.contains_key("sub"));
    }
}

#[test]
fn an_alternative_that_holds_for_everyone_admits_everyone() {
    for condition in [
        "assertion.repository == 'octo-org/octo-repo' || true",
        "assertion.repository_id == '74' || true",
        "assertion.repository_owner == 'octo-org' || assertion.repository != 'x/y'",
    ] {
        check(System::Gcp, &google(condition), &["issuer-only-trust"]);
    }
    let subjects = json!(["repo:octo-org/octo-repo:*", "*"]);
    let document = policy(&with_audience("StringLike", &subjects), &[]);
    check(System::Aws, &document, &["issuer-only-trust"]);
    // The near miss: a pattern that a stranger may have, and others may not.
    let document = policy(&with_audience("StringLike", &json!("repo:e*")), &[]);
    let found = found(System::Aws, &document);
    assert!(found.contains(&"wildcard-subject".to_owned()), "{found:?}");
}

#[test]
fn nobody_is_admitted_where_that_is_proved() {
    let subject = "repo:octo-org@65/octo-repo@74:environment:prod";
    let mut both = with_audience("StringEquals", &json!(subject));
    both["StringNotLike"] = json!({key("sub"): "repo:octo-org*"});
    check(System::Aws, &policy(&both, &[]), &["nothing-admitted"]);
    let allowed = with_audience("StringLike", &json!("repo:octo-org@65/*"));
    let denied = json!({"StringNotLike": {key("sub"): "repo:other-org@66/*"}});
    check(
        System::Aws,
        &policy(&allowed, &[denied]),
        &["nothing-admitted"],
    );
    let denied = json!({"StringLike": {key("sub"): "*"}});
    check(
        System::Aws,
        &policy(&allowed, &[denied]),
        &["nothing-admitted"],
    );
    let absent = json!({"Null": {key("sub"): "false"}});
    check(
        System::Aws,
        &policy(&allowed, &[absent]),
        &["nothing-admitted"],
    );
    for condition in [
        "false",
        "assertion.repository_id == '74' && assertion.repository_id == '75'",
        "assertion.repository_id == '74' && assertion.repository_id != '74'",
        "assertion.sub.startsWith('a') && assertion.sub.startsWith('b')",
    ] {
        check(System::Gcp, &google(condition), &["nothing-admitted"]);
    }
}

#[test]
fn what_cannot_be_told_is_not_said_to_be_nobody() {
    // A hash, as it were: no claims are found, and there may be some.
    let document = google("assertion.sub.split(':').size() == 17 && assertion.sub.size() == 42");
    check(System::Gcp, &document, &["population-not-known"]);
}

#[test]
fn everyone_as_the_principal_of_other_calls() {
    let statement = |action: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": action,
        }]})
    };
    for action in ["sts:AssumeRole", "sts:assumerole", "sts:AssumeRoleWithSAML"] {
        check(System::Aws, &statement(action), &["anyone-principal"]);
    }
    let mut bound = statement("sts:AssumeRole");
    bound["Statement"][0]["Condition"] = json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}});
    check(System::Aws, &bound, &["anyone-principal=high"]);
    assert!(System::Aws.read(&statement("sts:TagSession")).is_err());
    let mut ours = statement("sts:AssumeRole");
    ours["Statement"][0]["Principal"] = json!({"AWS": "arn:aws:iam::123456789012:root"});
    assert!(System::Aws.read(&ours).is_err());
}
