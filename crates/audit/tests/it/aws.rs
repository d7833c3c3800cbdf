//! Trust policies of AWS roles (mission M45), hostile 32 and 33 among them.

use avouch_audit::{Severity, System};
use serde_json::{Value, json};

use crate::look::{found, gravest, refused, said, witness};

const GITHUB: &str = "token.actions.githubusercontent.com";

fn of(provider: &str, condition: &Value) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{provider}")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition,
        }],
    })
}

fn github(subject_operator: &str, subject: &Value) -> Value {
    let mut condition = json!({"StringEquals": {format!("{GITHUB}:aud"): "sts.amazonaws.com"}});
    condition[subject_operator][format!("{GITHUB}:sub")] = subject.clone();
    of(GITHUB, &condition)
}

fn check(document: &Value, expected: &[&str]) {
    assert_eq!(found(System::Aws, document), expected, "{document:#}");
}

#[test]
fn the_policy_of_2023_that_names_no_subject_admits_every_repository() {
    // The class that Datadog Security Labs found in 2023, a government's role among them.
    let policy = of(
        GITHUB,
        &json!({"StringEquals": {format!("{GITHUB}:aud"): "sts.amazonaws.com"}}),
    );
    check(&policy, &["issuer-only-trust"]);
    assert_eq!(gravest(System::Aws, &policy), Some(Severity::Critical));
    let claims = witness(System::Aws, &policy, "issuer-only-trust");
    assert_eq!(
        said(&claims, "sub"),
        "repo:evil-org/evil:ref:refs/heads/main"
    );
}

#[test]
fn a_policy_without_conditions_admits_everyone_with_any_audience() {
    let policy = json!({"Statement": {
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::1:oidc-provider/{GITHUB}")},
        "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
    }});
    check(
        &policy,
        &["audience-missing-or-shared=medium", "issuer-only-trust"],
    );
}

#[test]
fn hostile_32_an_organization_whose_name_begins_alike() {
    let policy = github("StringLike", &json!("repo:octo-org*"));
    let claims = witness(System::Aws, &policy, "wildcard-subject");
    assert_eq!(said(&claims, "repository_owner"), "octo-org-evil");
    check(
        &policy,
        &[
            "mutable-name-subject",
            "untrusted-trigger-context",
            "wildcard-subject",
        ],
    );
}

#[test]
fn hostile_32_a_repository_whose_name_begins_alike() {
    let policy = github("StringLike", &json!("repo:octo-org/octo-repo*"));
    let claims = witness(System::Aws, &policy, "wildcard-subject");
    assert_eq!(said(&claims, "repository"), "octo-org/octo-repo-evil");
}

#[test]
fn hostile_32_a_whole_organization() {
    let policy = github("StringLike", &json!("repo:octo-org/*"));
    check(
        &policy,
        &[
            "mutable-name-subject",
            "old-subject-format",
            "untrusted-trigger-context",
            "wildcard-subject",
        ],
    );
}

#[test]
fn hostile_32_any_owner_of_a_repository_of_this_name() {
    let policy = github("StringLike", &json!("repo:*/octo-repo:ref:refs/heads/main"));
    let claims = witness(System::Aws, &policy, "wildcard-subject");
    assert_eq!(said(&claims, "repository"), "evil-org/octo-repo");
}

#[test]
fn hostile_32_a_wildcard_before_the_name() {
    let policy = github(
        "StringLike",
        &json!("*octo-org/octo-repo:ref:refs/heads/main"),
    );
    let claims = witness(System::Aws, &policy, "wildcard-subject");
    assert!(
        said(&claims, "repository_owner").starts_with("evil"),
        "{claims:?}"
    );
}

#[test]
fn hostile_32_a_branch_called_like_the_repository() {
    let policy = github("StringLike", &json!("*octo-org/octo-repo*"));
    let claims = witness(System::Aws, &policy, "wildcard-subject");
    assert!(
        said(&claims, "repository_owner").starts_with("evil"),
        "{claims:?}"
    );
}

#[test]
fn hostile_32_a_wildcard_reaches_over_the_divider() {
    let policy = github("StringLike", &json!("repo:octo-org/*:ref:refs/heads/main"));
    let claims = witness(System::Aws, &policy, "wildcard-crosses-delimiter");
    assert_eq!(
        said(&claims, "sub"),
        "repo:octo-org/x:environment:y:ref:refs/heads/main"
    );
}

#[test]
fn hostile_32_a_question_mark_stands_for_any_character() {
    let policy = github(
        "StringLike",
        &json!("repo:octo-org/octo?repo:environment:prod"),
    );
    let claims = witness(System::Aws, &policy, "single-character-wildcard");
    assert_eq!(
        said(&claims, "sub"),
        "repo:octo-org/octoXrepo:environment:prod"
    );
}

#[test]
fn hostile_33_for_all_values_holds_when_there_is_none() {
    let policy = of(
        GITHUB,
        &json!({
            "StringEquals": {format!("{GITHUB}:aud"): "sts.amazonaws.com"},
            "ForAllValues:StringEquals": {
                format!("{GITHUB}:sub"): "repo:octo-org@65/octo-repo@74:environment:prod"
            },
        }),
    );
    check(&policy, &["vacuous-condition"]);
    let claims = witness(System::Aws, &policy, "vacuous-condition");
    assert!(!claims.contains_key("sub"));
}

#[test]
fn hostile_33_if_exists_holds_when_it_does_not() {
    let policy = of(
        GITHUB,
        &json!({
            "StringEquals": {
                format!("{GITHUB}:aud"): "sts.amazonaws.com",
                format!("{GITHUB}:sub"): "repo:octo-org@65/octo-repo@74:environment:prod",
            },
            "StringEqualsIfExists": {format!("{GITHUB}:repository_id"): "74"},
        }),
    );
    check(&policy, &["vacuous-condition"]);
    let claims = witness(System::Aws, &policy, "vacuous-condition");
    assert!(!claims.contains_key("repository_id"));
}

#[test]
fn one_branch_by_name_is_trust_in_whoever_has_the_name() {
    let policy = github(
        "StringEquals",
        &json!("repo:octo-org/octo-repo:ref:refs/heads/main"),
    );
    check(
        &policy,
        &[
            "base-ref-trigger-admitted",
            "mutable-name-subject",
            "old-subject-format",
        ],
    );
}

#[test]
fn every_context_of_a_repository_is_also_its_pull_requests() {
    let policy = github("StringLike", &json!("repo:octo-org/octo-repo:*"));
    let claims = witness(System::Aws, &policy, "untrusted-trigger-context");
    assert_eq!(said(&claims, "sub"), "repo:octo-org/octo-repo:pull_request");
}

#[test]
fn the_form_announced_first_can_be_a_name() {
    let policy = github(
        "StringEquals",
        &json!("repo:octo-org-65/octo-repo-74:environment:prod"),
    );
    check(
        &policy,
        &[
            "ambiguous-subject-format",
            "mutable-name-subject",
            "old-subject-format",
        ],
    );
}

#[test]
fn names_compared_without_regard_to_case() {
    let policy = github(
        "StringEqualsIgnoreCase",
        &json!("repo:octo-org@65/octo-repo@74:environment:prod"),
    );
    check(&policy, &["case-folded-subject"]);
}

#[test]
fn a_missing_audience_is_reported_by_itself() {
    let policy = of(
        GITHUB,
        &json!({"StringEquals": {
            format!("{GITHUB}:sub"): "repo:octo-org@65/octo-repo@74:environment:prod"
        }}),
    );
    check(&policy, &["audience-missing-or-shared=medium"]);
}

#[test]
fn everyone_as_the_principal() {
    let anyone = |principal: &Value| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": principal, "Action": "sts:*",
        }]})
    };
    check(&anyone(&json!("*")), &["anyone-principal"]);
    check(&anyone(&json!({"AWS": "*"})), &["anyone-principal"]);
    check(&anyone(&json!({"Federated": ["*"]})), &["anyone-principal"]);
    let others = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "sts:AssumeRoleWithWebIdentity",
    }]});
    check(&others, &["not-principal"]);
}

#[test]
fn a_condition_on_a_claim_of_another_issuer_never_holds() {
    // Misspelt as found in the wild.
    let policy = of(
        GITHUB,
        &json!({"StringEquals": {"token.actions.githubuser.content.com:aud": "sts.amazonaws.com"}}),
    );
    check(&policy, &["condition-key-foreign", "nothing-admitted"]);
}

#[test]
fn aws_hands_on_no_ids_of_gitlab() {
    let policy = of(
        "gitlab.com",
        &json!({"StringEquals": {
            "gitlab.com:aud": "sts.amazonaws.com",
            "gitlab.com:sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
        }}),
    );
    check(&policy, &["mutable-name-subject=medium"]);
    let pinned = of(
        "gitlab.com",
        &json!({"StringEquals": {"gitlab.com:namespace_id": "72"}}),
    );
    check(&pinned, &["condition-key-unknown", "nothing-admitted"]);
}

#[test]
fn a_group_whose_name_begins_alike_on_gitlab() {
    let policy = of(
        "gitlab.com",
        &json!({"StringEquals": {"gitlab.com:aud": "x"}, "StringLike": {
            "gitlab.com:sub": "project_path:my-group*",
        }}),
    );
    let claims = witness(System::Aws, &policy, "wildcard-subject");
    assert_eq!(said(&claims, "namespace_path"), "my-group-evil");
}

#[test]
fn plans_of_terraform_are_admitted_as_applies_are() {
    let policy = of(
        "app.terraform.io",
        &json!({
            "StringEquals": {"app.terraform.io:aud": "aws.workload.identity"},
            "StringLike": {
                "app.terraform.io:sub": "organization:acme-inc:project:platform:workspace:production:run_phase:*"
            },
        }),
    );
    check(
        &policy,
        &["mutable-name-subject=medium", "plan-phase-admitted"],
    );
}

#[test]
fn a_cluster_of_ones_own_without_a_subject_admits_every_pod() {
    let provider = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E";
    let policy = of(
        provider,
        &json!({"StringEquals": {format!("{provider}:aud"): "sts.amazonaws.com"}}),
    );
    check(&policy, &["issuer-only-trust=high"]);
    let one = of(
        provider,
        &json!({"StringEquals": {
            format!("{provider}:aud"): "sts.amazonaws.com",
            format!("{provider}:sub"): "system:serviceaccount:payments:api-server",
        }}),
    );
    check(&one, &["mutable-name-subject=low"]);
    let twin = of(
        provider,
        &json!({
            "StringEquals": {format!("{provider}:aud"): "sts.amazonaws.com"},
            "StringLike": {format!("{provider}:sub"): "system:serviceaccount:payments*:api-server"},
        }),
    );
    let claims = witness(System::Aws, &twin, "wildcard-subject");
    assert_eq!(
        said(&claims, "sub"),
        "system:serviceaccount:payments-evil:api-server"
    );
}

#[test]
fn a_reusable_workflow_is_called_by_whoever_likes() {
    // Hostile 44: the claim is ours, and the repository theirs.
    let policy = of(
        GITHUB,
        &json!({"StringEquals": {
            format!("{GITHUB}:aud"): "sts.amazonaws.com",
            format!("{GITHUB}:job_workflow_ref"):
                "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        }}),
    );
    let claims = witness(System::Aws, &policy, "issuer-only-trust");
    assert_eq!(said(&claims, "repository"), "evil-org/evil");
}

#[test]
fn near_misses_are_clean() {
    let subject = "repo:octo-org@65/octo-repo@74:environment:prod";
    check(&github("StringEquals", &json!(subject)), &[]);
    // `StringLike` without a wildcard is an equality.
    check(&github("StringLike", &json!(subject)), &[]);
    // Both forms, with the id beside them.
    let both = of(
        GITHUB,
        &json!({"StringEquals": {
            format!("{GITHUB}:aud"): "sts.amazonaws.com",
            format!("{GITHUB}:repository_id"): "74",
            format!("{GITHUB}:sub"): ["repo:octo-org/octo-repo:environment:prod", subject],
        }}),
    );
    check(&both, &[]);
    // By id and environment alone.
    let by_id = of(
        GITHUB,
        &json!({"StringEquals": {
            format!("{GITHUB}:aud"): "sts.amazonaws.com",
            format!("{GITHUB}:repository_id"): "74",
            format!("{GITHUB}:environment"): "prod",
        }}),
    );
    check(&by_id, &[]);
    // What the request must be beside is not ours to judge, and takes nothing away.
    let mut also = github("StringEquals", &json!(subject));
    also["Statement"][0]["Condition"]["IpAddress"] = json!({"aws:SourceIp": "192.0.2.0/24"});
    check(&also, &[]);
}

#[test]
fn a_denial_takes_away_what_was_admitted() {
    let mut policy = github("StringLike", &json!("repo:octo-org@65/octo-repo@74:*"));
    check(&policy, &["untrusted-trigger-context"]);
    let deny = json!({
        "Effect": "Deny",
        "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{GITHUB}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringLike": {format!("{GITHUB}:sub"): "*:pull_request"}},
    });
    policy["Statement"].as_array_mut().unwrap().push(deny);
    check(&policy, &["base-ref-trigger-admitted"]);
}

#[test]
fn a_denial_of_others_takes_nothing_away() {
    let admitted = github("StringLike", &json!("repo:octo-org@65/octo-repo@74:*"));
    let with = |principal: (&str, Value)| {
        let mut policy = admitted.clone();
        let mut deny = json!({"Effect": "Deny", "Action": "sts:*"});
        deny[principal.0] = principal.1;
        policy["Statement"].as_array_mut().unwrap().push(deny);
        policy
    };
    let ours = format!("arn:aws:iam::123456789012:oidc-provider/{GITHUB}");
    let theirs = "arn:aws:iam::123456789012:oidc-provider/gitlab.com";
    let saml = "arn:aws:iam::123456789012:saml-provider/okta";
    for others in [
        (
            "Principal",
            json!({"AWS": "arn:aws:iam::123456789012:root"}),
        ),
        ("Principal", json!({"Service": "ec2.amazonaws.com"})),
        ("Principal", json!({"Federated": [saml, theirs]})),
        ("NotPrincipal", json!({"Federated": [saml, ours]})),
        ("NotPrincipal", json!("*")),
    ] {
        let document = with(others);
        check(&document, &["untrusted-trigger-context"]);
    }
    for everyone in [
        ("Principal", json!("*")),
        ("Principal", json!({"AWS": ["*"]})),
        ("Principal", json!({"Federated": [saml, ours]})),
        (
            "NotPrincipal",
            json!({"AWS": "arn:aws:iam::123456789012:root"}),
        ),
        ("NotPrincipal", json!({"Federated": [saml, theirs]})),
    ] {
        let document = with(everyone);
        check(&document, &["nothing-admitted"]);
    }
}

#[test]
fn what_get_role_prints_is_read_too() {
    let policy = github("StringLike", &json!("repo:octo-org*"));
    let role = json!({"Role": {"RoleName": "deploy", "AssumeRolePolicyDocument": policy}});
    assert_eq!(found(System::Aws, &role), found(System::Aws, &policy));
}

#[test]
fn what_cannot_be_evaluated_is_refused_by_name() {
    let variable = github("StringLike", &json!("repo:${aws:PrincipalTag/team}/*"));
    assert!(refused(System::Aws, &variable).contains("aws:PrincipalTag/team"));
    let operator = github("StringMatches", &json!("x"));
    assert!(refused(System::Aws, &operator).contains("StringMatches"));
    let mut misspelt = github("StringEquals", &json!("x"));
    misspelt["Statement"][0]["Condtion"] = json!({});
    assert!(refused(System::Aws, &misspelt).contains("Condtion"));
    let saml = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": "arn:aws:iam::123456789012:saml-provider/okta"},
        "Action": "sts:AssumeRoleWithSAML",
    }]});
    assert!(refused(System::Aws, &saml).contains("OIDC"));
    assert!(refused(System::Aws, &json!([])).contains("object"));
}

#[test]
fn claims_are_held_against_each_condition() {
    let policy = github("StringLike", &json!("repo:octo-org/octo-repo:*"));
    let configuration = System::Aws.read(&policy).unwrap();
    let admission = &configuration.admissions[0];
    assert_eq!(
        admission.population(),
        "every repository on github.com with token.actions.githubusercontent.com:aud StringEquals \
         sts.amazonaws.com and token.actions.githubusercontent.com:sub StringLike \
         repo:octo-org/octo-repo:*"
    );
    let claims = json!({
        "iss": format!("https://{GITHUB}"), "aud": "sts.amazonaws.com",
        "sub": "repo:mallory/octo-repo:ref:refs/heads/main",
    });
    let trace = admission.trace(claims.as_object().unwrap());
    assert!(!trace.admitted);
    let held: Vec<String> = trace
        .steps
        .iter()
        .map(|step| step.held.to_string())
        .collect();
    assert_eq!(held, ["holds", "does not hold"]);
    let elsewhere = json!({"iss": "https://gitlab.com", "sub": "repo:octo-org/octo-repo:x"});
    assert!(!admission.trace(elsewhere.as_object().unwrap()).admitted);
}

/// People write a pattern where none is read; no repository has such a name.
#[test]
fn a_wildcard_that_stands_for_itself_admits_nobody() {
    for subject in [
        "repo:octo-org/*",
        "repo:octo-org/octo-rep?:environment:prod",
    ] {
        check(
            &github("StringEquals", &json!(subject)),
            &["nothing-admitted"],
        );
    }
    // The near miss: the same as a pattern, and one whole name beside it.
    assert!(
        found(
            System::Aws,
            &github("StringLike", &json!("repo:octo-org/*"))
        )
        .len()
            > 1
    );
    let both = json!([
        "repo:octo-org/*",
        "repo:octo-org/octo-repo:environment:prod"
    ]);
    let found = found(System::Aws, &github("StringEquals", &both));
    assert!(!found.contains(&"nothing-admitted".to_owned()), "{found:?}");
}

/// Claims of a witness that say two things at once prove nothing.
#[test]
fn an_owner_who_is_named_by_the_id_is_no_one_else() {
    let gravest_of = |subject: &str| {
        let policy = github("StringLike", &json!(subject));
        let found = found(System::Aws, &policy);
        (found, gravest(System::Aws, &policy))
    };
    let (found, gravest) = gravest_of("repo:octo-org@65/*:ref:refs/heads/main");
    let expected = [
        "base-ref-trigger-admitted",
        "wildcard-crosses-delimiter",
        "wildcard-subject=medium",
    ];
    assert_eq!(found, expected);
    assert_eq!(gravest, Some(Severity::Medium));
    let (found, _) = gravest_of("repo:*/*@74:environment:prod");
    assert_eq!(found, ["wildcard-crosses-delimiter"]);
}

/// GitHub makes an environment that is not there when a job names it, and protects it with nothing.
#[test]
fn any_environment_is_one_that_a_pull_request_brings() {
    let of = |context: &str| {
        let subject = format!("repo:octo-org@65/octo-repo@74:{context}");
        github("StringLike", &json!(subject))
    };
    let any = of("environment:*");
    check(&any, &["untrusted-trigger-context"]);
    let claims = witness(System::Aws, &any, "untrusted-trigger-context");
    assert_eq!(said(&claims, "event_name"), "pull_request");
    assert!(said(&claims, "sub").ends_with(":environment:zz-nobody"));
    let alike = of("environment:prod*");
    check(&alike, &["wildcard-subject"]);
    let claims = witness(System::Aws, &alike, "wildcard-subject");
    assert!(said(&claims, "environment").starts_with("prod"));
    assert!(said(&claims, "environment").ends_with("-evil"));
    // The near misses: one whole name, and two.
    check(&of("environment:prod"), &[]);
    let two = ["environment:prod", "environment:stage"];
    let two = two.map(|one| format!("repo:octo-org@65/octo-repo@74:{one}"));
    check(&github("StringLike", &json!(two)), &[]);
}
