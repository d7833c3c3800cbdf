//! Workload identity providers of Google Cloud.

use avouch_audit::System;
use serde_json::{Value, json};

use crate::look::{found, refused, said, witness};

fn provider(issuer: &str, condition: &str) -> Value {
    json!({
        "name": "projects/1/locations/global/workloadIdentityPools/ci/providers/main",
        "state": "ACTIVE",
        "attributeMapping": {
            "google.subject": "assertion.sub",
            "attribute.repository": "assertion.repository",
            "attribute.owner_id": "assertion.repository_owner_id",
        },
        "attributeCondition": condition,
        "oidc": {"issuerUri": issuer, "allowedAudiences": ["https://ci.example.com"]},
    })
}

fn github(condition: &str) -> Value {
    provider("https://token.actions.githubusercontent.com", condition)
}

fn check(document: &Value, expected: &[&str]) {
    assert_eq!(found(System::Gcp, document), expected, "{document:#}");
}

#[test]
fn no_condition_admits_every_repository() {
    check(&github(""), &["issuer-only-trust"]);
}

#[test]
fn a_condition_that_names_no_one_admits_every_repository() {
    check(
        &github("assertion.ref == 'refs/heads/main'"),
        &["issuer-only-trust"],
    );
}

#[test]
fn an_owner_by_name() {
    check(
        &github("assertion.repository_owner == 'octo-org'"),
        &[
            "mutable-name-subject",
            "untrusted-trigger-context",
            "wildcard-subject",
        ],
    );
}

#[test]
fn hostile_32_a_prefix_without_its_divider() {
    let document = github("assertion.repository.startsWith('octo-org')");
    let claims = witness(System::Gcp, &document, "wildcard-subject");
    assert_eq!(said(&claims, "repository_owner"), "octo-org-evil");
    // With it, it is the organization.
    let whole = github("assertion.repository.startsWith('octo-org/')");
    let claims = witness(System::Gcp, &whole, "wildcard-subject");
    assert_eq!(said(&claims, "repository_owner"), "octo-org");
}

#[test]
fn hostile_32_what_is_contained_may_be_a_branch() {
    let document = github("assertion.sub.contains('octo-org/octo-repo')");
    let claims = witness(System::Gcp, &document, "wildcard-subject");
    assert!(
        said(&claims, "repository_owner").starts_with("evil"),
        "{claims:?}"
    );
}

#[test]
fn hostile_33_matches_is_not_anchored() {
    let document = github("assertion.sub.matches('repo:octo-org/octo-repo')");
    let claims = witness(System::Gcp, &document, "unanchored-regex");
    assert!(said(&claims, "sub").starts_with("xrepo:"), "{claims:?}");
    assert!(said(&claims, "sub").ends_with("-evil"), "{claims:?}");
    let half = github("assertion.repository.matches('^octo-org/octo-repo|octo-org/other$')");
    assert!(
        found(System::Gcp, &half)
            .iter()
            .any(|code| code.starts_with("unanchored-regex"))
    );
}

#[test]
fn hostile_33_a_guard_that_passes_what_is_missing() {
    let document = github(
        "assertion.repository_id == '74' && (!has(assertion.environment) || assertion.environment == 'prod')",
    );
    let claims = witness(System::Gcp, &document, "vacuous-condition");
    assert!(!claims.contains_key("environment"));
}

#[test]
fn hostile_33_a_missing_claim_fails_and_refuses() {
    let document = github("assertion.repository_id == '74' && assertion.environment == 'prod'");
    check(&document, &["missing-claim-fails"]);
    let configuration = System::Gcp.read(&document).unwrap();
    let claims = json!({
        "aud": "https://ci.example.com", "sub": "s", "repository": "o/r",
        "repository_owner_id": "65", "repository_id": "74",
    });
    let trace = configuration.admissions[0].trace(claims.as_object().unwrap());
    assert!(!trace.admitted);
    assert_eq!(
        trace.steps[2].held.to_string(),
        "fails: there is no `environment`"
    );
}

#[test]
fn the_event_is_seen_here() {
    check(
        &github("assertion.repository_id == '74' && assertion.event_name == 'push'"),
        &[],
    );
    check(
        &github("assertion.repository_id == '74' && assertion.ref == 'refs/heads/main'"),
        &["base-ref-trigger-admitted"],
    );
}

#[test]
fn attributes_are_followed_to_their_claims() {
    check(
        &github("attribute.owner_id == '65' && assertion.event_name == 'push'"),
        &["wildcard-subject=medium"],
    );
}

#[test]
fn alternatives_are_no_missing_claims() {
    let document = github(
        "assertion.repository_id == '74' && assertion.event_name in ['push', 'workflow_dispatch'] \
         && (assertion.ref == 'refs/heads/main' || assertion.ref == 'refs/heads/next')",
    );
    check(&document, &[]);
}

#[test]
fn an_issuer_of_ones_own_is_judged_more_mildly() {
    let own = provider("https://gitlab.example.com", "");
    let own = {
        let mut own = own;
        own["attributeMapping"] = json!({"google.subject": "assertion.sub"});
        own
    };
    check(&own, &["issuer-only-trust=medium"]);
}

#[test]
fn hostile_62_expressions_that_cost_too_much_end_in_bounded_time() {
    let list = format!("[{}]", vec!["1"; 200].join(","));
    let bomb = format!(
        "{list}.all(a, {list}.all(b, {list}.all(c, a + b + c > 0))) && assertion.repository_id == '74'"
    );
    let document = github(&bomb);
    let found = found(System::Gcp, &document);
    assert!(found.contains(&"cel-cost".to_owned()), "{found:?}");
    let deep = format!("{}true{}", "(".repeat(60), ")".repeat(60));
    assert!(refused(System::Gcp, &github(&deep)).contains("nested"));
    let long = "true && ".repeat(600) + "true";
    assert!(refused(System::Gcp, &github(&long)).contains("4096"));
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a bound on time is what is tested"
)]
fn hostile_62_a_file_full_of_bombs_ends_in_bounded_time() {
    let list = format!("[{}]", vec!["1"; 100].join(","));
    let bomb = format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c > 0)))");
    // Each alone stays in its budget, and what is asked of the subject makes thousands of tries.
    let condition = format!("assertion.sub.contains('a') && {bomb} && {bomb} && {bomb}");
    let mut provider = github(&condition);
    for n in 0..20 {
        provider["attributeMapping"][format!("attribute.bomb{n}")] = json!(bomb.clone());
    }
    let document = Value::Array(vec![provider; 20]);
    let began = std::time::Instant::now();
    let configuration = System::Gcp.read(&document).unwrap();
    let read = began.elapsed();
    let findings = avouch_audit::judge(&configuration);
    let judged = began.elapsed() - read;
    let dear = findings
        .iter()
        .filter(|one| one.code == avouch_audit::Code::CelCost);
    assert!(dear.clone().count() == 20, "{findings:?}");
    for finding in dear {
        assert!(finding.sentence.contains("not everything"), "{finding:?}");
    }
    assert!(judged < std::time::Duration::from_secs(60), "{judged:?}");
}

#[test]
fn what_is_no_provider_is_refused() {
    let pool =
        json!({"name": "projects/1/locations/global/workloadIdentityPools/ci", "state": "ACTIVE"});
    assert!(refused(System::Gcp, &pool).contains("a pool"));
    let mut aws = github("");
    aws.as_object_mut().unwrap().remove("oidc");
    aws["aws"] = json!({"accountId": "123456789012"});
    assert!(refused(System::Gcp, &aws).contains("AWS"));
    let unknown = github("assertion.sub.isReal()");
    assert!(refused(System::Gcp, &unknown).contains("isReal"));
    let mut off = github("");
    off["disabled"] = json!(true);
    assert!(refused(System::Gcp, &off).contains("enabled"));
    let broken = github("assertion.sub ==");
    assert!(refused(System::Gcp, &broken).contains("cannot be read"));
}

#[test]
fn a_provider_of_another_kind_is_called_what_it_is() {
    for kind in ["aws", "saml", "x509"] {
        let told = refused(
            System::Gcp,
            &json!({"name": "projects/1/providers", kind: {}}),
        );
        assert!(told.contains("AWS are not read"), "{told}");
    }
}

#[test]
fn subjects_by_a_name_that_may_pass_to_others_are_found() {
    let issuer = "https://login.microsoftonline.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/v2.0";
    for (claim, code) in [
        ("upn", "mutable-name-subject"),
        ("email", "mutable-name-subject=medium"),
    ] {
        let mut document = provider(
            issuer,
            "assertion.groups.exists(group, group == 'deployers')",
        );
        document["attributeMapping"] = json!({"google.subject": format!("assertion.{claim}")});
        let found = found(System::Gcp, &document);
        assert!(found.contains(&code.to_owned()), "{found:?}");
        assert!(
            !found.iter().any(|one| one.starts_with("nothing-admitted")),
            "{found:?}"
        );
    }
}

/// The slug of an enterprise is a name, and its issuer signs for no other enterprise meanwhile.
#[test]
fn hostile_37_the_issuer_of_an_enterprise_is_as_lasting_as_its_name() {
    let issuer = "https://token.actions.githubusercontent.com/avocado-corp";
    check(&provider(issuer, ""), &["issuer-only-trust=medium"]);
    let by_id = "assertion.repository_id == '74' && assertion.event_name == 'push' && \
                 assertion.ref == 'refs/heads/main'";
    check(&provider(issuer, by_id), &[]);
}

/// Ids are texts in tokens of CI systems, so that a number is none of them.
#[test]
fn an_id_that_is_compared_as_a_number_is_nobodys() {
    check(
        &github("assertion.repository_owner_id == 65"),
        &["nothing-admitted"],
    );
    check(
        &github("assertion.repository_id in [74, 75] && assertion.ref == 'refs/heads/main'"),
        &["nothing-admitted"],
    );
    // The near misses: in quotes, and beside something else.
    let quoted = found(
        System::Gcp,
        &github("assertion.repository_owner_id == '65'"),
    );
    assert!(
        !quoted.contains(&"nothing-admitted".to_owned()),
        "{quoted:?}"
    );
    let either = github("assertion.repository_owner_id == 65 || assertion.repository_id == '74'");
    let claims = witness(System::Gcp, &either, "untrusted-trigger-context");
    assert!(claims["repository_owner_id"].is_string(), "{claims:?}");
}

/// A group of the issuer is named, as in a rule of ours.
#[test]
fn a_group_that_is_asked_for_is_not_everyone() {
    let with_group = |condition: &str| {
        let mut provider = provider("https://acme.okta.com", condition);
        provider["attributeMapping"] = json!({"google.subject": "assertion.sub"});
        provider
    };
    for condition in [
        "'admins' in assertion.groups",
        "assertion.groups.exists(g, g == 'admins')",
    ] {
        let found = found(System::Gcp, &with_group(condition));
        assert!(
            found.iter().all(|one| one == "missing-claim-fails"),
            "{found:?}"
        );
    }
    check(&with_group(""), &["issuer-only-trust=medium"]);
    let any = with_group("size(assertion.groups) > 0 || 'admins' in assertion.groups");
    let found = found(System::Gcp, &any);
    assert!(
        found.contains(&"issuer-only-trust=medium".to_owned()),
        "{found:?}"
    );
}

/// Names of GitHub are the same in large letters, so people ask for them with `(?i)`.
#[test]
fn expressions_are_matched_as_re2_matches_them() {
    let trace = |condition: &str, repository: &str| {
        let configuration = System::Gcp.read(&github(condition)).unwrap();
        let claims = json!({
            "iss": "https://token.actions.githubusercontent.com", "aud": "https://ci.example.com",
            "sub": "repo:o/r:ref:refs/heads/main", "repository": repository, "repository_owner_id": "65",
        });
        let trace = configuration.admissions[0].trace(claims.as_object().unwrap());
        (trace.admitted, trace.is_certain())
    };
    for (pattern, repository, admitted) in [
        ("(?i)^octo-org/octo-repo$", "Octo-Org/octo-repo", true),
        ("(?i)^octo-org/octo-repo$", "Octo-Org/other", false),
        (r"^\\p{L}+/\\p{Greek}$", "octo/ω", true),
        (r"^\\Qocto.org\\E/r$", "octo.org/r", true),
        (r"^\\Qocto.org\\E/r$", "octoxorg/r", false),
    ] {
        let condition = format!("assertion.repository.matches('{pattern}')");
        assert_eq!(trace(&condition, repository), (admitted, true), "{pattern}");
    }
    // What this does not read its system may; what does not hold beside it is certain.
    let unread = r"assertion.repository.matches('^o\\Cto$')";
    assert_eq!(trace(unread, "octo"), (false, false));
    let beside = format!("{unread} && assertion.repository == 'other'");
    assert_eq!(trace(&beside, "octo"), (false, true));
}
