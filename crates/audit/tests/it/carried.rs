//! What is carried over can be read here, admits what is meant, and says what is missing.

use avouch_audit::{Carried, System, carried};
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use serde_json::{Value, json};

const GITHUB: &str = "token.actions.githubusercontent.com";

fn carry(system: System, document: &Value, claims: Option<&Value>) -> Carried {
    let configuration = system.read(document).unwrap();
    let admission = &configuration.admissions[0];
    let carried = carried(admission, claims.and_then(Value::as_object));
    if let Some(draft) = &carried.draft {
        let facts = &draft.rule["from"]["facts"];
        let preset = Preset::of_issuer(admission.issuer());
        let read = Rule::read(&json!({"name": "r", "facts": facts}), 1, preset);
        assert!(read.is_ok(), "{facts}: {:?}", read.unwrap_err().sentence());
    }
    carried
}

fn rule(system: System, document: &Value, claims: Option<&Value>) -> (Value, Vec<String>) {
    let carried = carry(system, document, claims);
    let draft = carried.draft.expect("all of it is said");
    (draft.rule["from"]["facts"].clone(), carried.left)
}

/// Nothing stands there, and the reason is said.
fn refused(system: System, document: &Value, part: &str) {
    let claims = json!({"repository_id": "74", "repository_owner_id": "65"});
    let carried = carry(system, document, Some(&claims));
    assert_eq!(carried.draft, None, "{:?}", carried.left);
    let is_said = carried.left.iter().any(|one| one.contains(part));
    assert!(is_said, "{part}: {:?}", carried.left);
}

fn aws(subject: &str) -> Value {
    aws_with("StringLike", &json!(subject))
}

fn aws_with(operator: &str, subject: &Value) -> Value {
    let mut conditions = json!({"StringEquals": {format!("{GITHUB}:aud"): "sts.amazonaws.com"}});
    conditions[operator][format!("{GITHUB}:sub")] = subject.clone();
    statement(GITHUB, &conditions)
}

/// A trust policy of AWS that believes this provider under these conditions.
pub(crate) fn statement(provider: &str, conditions: &Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::1:oidc-provider/{provider}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": conditions,
    }]})
}

fn google(condition: &str) -> Value {
    json!({
        "name": "p",
        "attributeMapping": {
            "google.subject": "assertion.sub",
            "attribute.repository": "assertion.repository",
            "attribute.env": "assertion.sub.extract('environment:{env}')",
        },
        "attributeCondition": condition,
        "oidc": {"issuerUri": format!("https://{GITHUB}"), "allowedAudiences": ["sts.amazonaws.com"]},
    })
}

fn kubernetes(rules: &Value) -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": format!("https://{GITHUB}"), "audiences": ["sts.amazonaws.com"]},
            "claimValidationRules": rules,
            "claimMappings": {"username": {"claim": "sub", "prefix": "github:"}},
        }],
    })
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
            "subject": "repo:octo-org/octo-repo:environment:prod",
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
fn a_wildcard_inside_a_name_is_left_and_there_is_no_rule() {
    let policy = aws("repo:octo-org/octo-*:ref:refs/heads/main");
    refused(System::Aws, &policy, "octo-org/octo-*");
}

#[test]
fn expressions_become_facts_where_they_compare() {
    let provider = google(
        "assertion.repository_id == '74' && assertion.ref in ['refs/heads/main', 'refs/heads/next']",
    );
    let (facts, left) = rule(System::Gcp, &provider, None);
    assert_eq!(
        facts,
        json!({
            "github.ref": ["refs/heads/main", "refs/heads/next"],
            "github.repository_id": "74",
        })
    );
    assert!(left.is_empty(), "{left:?}");
    let alternatives = google(
        "assertion.repository_id == '74' && (assertion.ref == 'refs/heads/main' || 'refs/heads/next' == assertion.ref)",
    );
    assert_eq!(rule(System::Gcp, &alternatives, None).0, facts);
    let negation = google("assertion.repository_id == '74' && assertion.actor != 'mallory'");
    refused(System::Gcp, &negation, "mallory");
}

#[test]
fn what_stands_for_itself_never_becomes_a_wildcard() {
    // Such a policy admits no one.
    let equals = aws_with("StringEquals", &json!("repo:octo-org/octo-repo:*"));
    refused(System::Aws, &equals, "stand for themselves");
    let escaped = aws("repo:octo-org/octo-repo:${*}");
    refused(System::Aws, &escaped, "stand for themselves");
    refused(System::Aws, &aws("repo:octo-org/${*}/*"), "whole segments");
    let google = google("assertion.sub == 'repo:octo-org/octo-repo:*'");
    refused(System::Gcp, &google, "stand for themselves");
    let branch = json!([
        {"claim": "repository_id", "requiredValue": "74"},
        {"claim": "ref", "requiredValue": "refs/heads/*"},
    ]);
    refused(System::Kubernetes, &kubernetes(&branch), "github.ref");
}

#[test]
fn two_conditions_on_a_fact_hold_both() {
    let facts = |condition: &str| rule(System::Gcp, &google(condition), None).0;
    let narrow = facts(
        "assertion.repository_id == '74' && assertion.ref == 'refs/heads/main' \
         && assertion.ref.startsWith('refs/heads/')",
    );
    assert_eq!(narrow["github.ref"], json!("refs/heads/main"));
    let both = facts(
        "assertion.repository_id in ['74', '75'] && assertion.ref.startsWith('refs/heads/') \
         && assertion.ref.startsWith('refs/heads/release/') && assertion.repository_id in ['73', '74']",
    );
    assert_eq!(
        both["github.ref"],
        json!({"pattern": "refs/heads/release/**"})
    );
    assert_eq!(both["github.repository_id"], json!("74"));
    let nothing = google("assertion.repository_id == '74' && assertion.repository_id == '75'");
    refused(System::Gcp, &nothing, "twice");
}

#[test]
fn what_may_be_anything_must_still_be_there() {
    let policy = aws("repo:octo-org/octo-repo:environment:*");
    let claims = json!({"repository_id": "74"});
    let (facts, left) = rule(System::Aws, &policy, Some(&claims));
    assert_eq!(facts["github.environment"], json!({"pattern": "*"}));
    assert!(
        left.iter()
            .any(|one| one.contains("github.environment = *")),
        "{left:?}"
    );
    // Every job has a ref.
    let policy = statement(
        GITHUB,
        &json!({"StringEquals": {format!("{GITHUB}:repository_id"): "74"},
            "StringLike": {format!("{GITHUB}:ref"): "*"}}),
    );
    let (facts, left) = rule(System::Aws, &policy, None);
    assert_eq!(facts, json!({"github.repository_id": "74"}));
    assert!(left.is_empty(), "{left:?}");
    // A mapping without its claim refuses the token.
    let mut provider = google("assertion.repository_id == '74'");
    provider["attributeMapping"]["attribute.environment"] = json!("assertion.environment");
    let (facts, _) = rule(System::Gcp, &provider, None);
    assert_eq!(facts["github.environment"], json!({"pattern": "*"}));
}

#[test]
fn what_is_reckoned_from_claims_is_left() {
    let provider = google("assertion.repository_id == '74' && attribute.env == 'prod'");
    refused(System::Gcp, &provider, "attribute.env == 'prod'");
    let (facts, _) = rule(
        System::Gcp,
        &google("assertion.repository_id == '74' && attribute.repository == 'octo-org/octo-repo'"),
        None,
    );
    assert_eq!(facts["github.repository"], json!("octo-org/octo-repo"));
}

#[test]
fn alternatives_of_several_claims_are_left() {
    let provider = google(
        "(assertion.repository_id == '74' && assertion.ref == 'refs/heads/main') || \
         (assertion.repository_id == '75' && assertion.ref == 'refs/heads/dev')",
    );
    refused(System::Gcp, &provider, "refs/heads/dev");
}

#[test]
fn a_branch_is_not_the_environments_on_it() {
    let claims = json!({"repository_id": "74"});
    let branch = aws("repo:octo-org/octo-repo:ref:refs/heads/main");
    let (facts, _) = rule(System::Aws, &branch, Some(&claims));
    assert_eq!(
        facts["subject"],
        json!("repo:octo-org/octo-repo:ref:refs/heads/main")
    );
    let branches = aws("repo:octo-org/octo-repo:ref:refs/heads/*");
    let (facts, _) = rule(System::Aws, &branches, Some(&claims));
    assert_eq!(
        facts["subject"],
        json!({"pattern": "repo:octo-org/octo-repo:ref:refs/heads/**"})
    );
    // No pattern of segments says this one.
    refused(
        System::Aws,
        &aws("repo:octo-org/octo-repo:ref:*"),
        "octo-repo:ref:*",
    );
    refused(System::Aws, &aws("repo:octo-org/octo-repo:*/main"), "main");
}

#[test]
fn an_audience_without_a_name_is_left() {
    let policy = statement(
        GITHUB,
        &json!({"StringEquals": {format!("{GITHUB}:repository_id"): "74"},
            "StringLike": {format!("{GITHUB}:aud"): "sts.*"}}),
    );
    refused(System::Aws, &policy, "the audience");
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
        json!({
            "k8s.namespace": "payments",
            "k8s.service_account": "api-server",
            "subject": "system:serviceaccount:payments:api-server",
        })
    );
    assert!(left.is_empty(), "{left:?}");
}

/// AWS holds the audience against `azp` where a token has one, so a token for the same audience that was given
/// to another client is none of those.
#[test]
fn a_token_that_was_given_to_another_client_is_not_carried_over_with_its_audience() {
    let provider = "login.example.com";
    let conditions = json!({"StringEquals": {
        format!("{provider}:aud"): ["one", "two"], format!("{provider}:sub"): "job",
    }});
    let carried = carry(System::Aws, &statement(provider, &conditions), None);
    let anchor = &carried.draft.unwrap().anchor["anchors"][0];
    assert_eq!(anchor["audiences"], json!(["one", "two"]));
    assert_eq!(anchor["authorized_parties"], json!(["one", "two"]));
    let is_said = carried
        .left
        .iter()
        .any(|one| one.contains("authorized_parties"));
    assert!(is_said, "{:?}", carried.left);
    // Tokens of GitHub have none.
    let github = carry(System::Aws, &aws("repo:octo-org/octo-repo:*"), None);
    let anchor = &github.draft.unwrap().anchor["anchors"][0];
    assert_eq!(anchor.get("authorized_parties"), None);
}

#[test]
fn a_list_in_which_texts_are_looked_for_is_asked_for_what_it_has() {
    let facts_of = |system: System, document: &Value| rule(system, document, None).0;
    let id = "assertion.repository_id == '74'";
    for (condition, groups) in [
        ("'a' in assertion.groups", json!({"has": "a"})),
        (
            "'a' in assertion.groups || 'b' in assertion.groups",
            json!({"has": ["a", "b"]}),
        ),
        (
            "'a' in assertion.groups && 'b' in assertion.groups",
            json!({"has_all": ["a", "b"]}),
        ),
        (
            "assertion.groups.exists(g, g == 'a' || g in ['b', 'c'])",
            json!({"has": ["a", "b", "c"]}),
        ),
    ] {
        let provider = google(&format!("{id} && ({condition})"));
        let facts = facts_of(System::Gcp, &provider);
        assert_eq!(facts["claims.groups"], groups, "{condition}");
        let rules = json!([{"expression": format!("{id} && ({condition})").replace("assertion.", "claims.")}]);
        let facts = facts_of(System::Kubernetes, &kubernetes(&rules));
        assert_eq!(facts["claims.groups"], groups, "{condition}");
    }
    let optional = json!([
        {"claim": "repository_id", "requiredValue": "74"},
        {"expression": "'a' in claims.?groups.orValue([])"},
    ]);
    let facts = facts_of(System::Kubernetes, &kubernetes(&optional));
    assert_eq!(facts["claims.groups"], json!({"has": "a"}));
    let mut conditions = json!({"StringEquals": {
        format!("{GITHUB}:aud"): "sts.amazonaws.com", format!("{GITHUB}:repository_id"): "74",
    }});
    conditions["ForAnyValue:StringEquals"] = json!({format!("{GITHUB}:amr"): ["mfa", "hwk"]});
    let facts = facts_of(System::Aws, &statement(GITHUB, &conditions));
    assert_eq!(facts["claims.amr"], json!({"has": ["hwk", "mfa"]}));
    // What the groups of the pool are made of is there, then.
    let mut provider = google(&format!("{id} && 'a' in google.groups"));
    provider["attributeMapping"]["google.groups"] = json!("assertion.groups");
    let facts = facts_of(System::Gcp, &provider);
    assert_eq!(facts["claims.groups"], json!({"has": "a"}));
}

#[test]
fn what_else_is_asked_of_a_list_is_said_and_there_is_no_rule() {
    let id = "assertion.repository_id == '74'";
    for condition in [
        "assertion.groups.all(g, g == 'a')",
        "assertion.groups.exists_one(g, g == 'a')",
        "assertion.groups.exists(g, g.startsWith('a'))",
        "assertion.groups.exists(g, g != 'a')",
        "!('a' in assertion.groups)",
        "assertion.actor in assertion.groups",
        "'a' in (has(assertion.actor) ? assertion.groups : ['a'])",
        "'a' in assertion.groups.map(g, g.lowerAscii())",
    ] {
        refused(
            System::Gcp,
            &google(&format!("{id} && {condition}")),
            "looked for by",
        );
    }
    let both = google(&format!(
        "{id} && ('a' in assertion.groups || assertion.groups == 'a')"
    ));
    refused(System::Gcp, &both, "two rules");
    let nested = google(&format!("{id} && 'a' in assertion.realm_access.roles"));
    refused(System::Gcp, &nested, "is no list that is a fact here");
    let wildcard = google(&format!("{id} && 'a*' in assertion.groups"));
    refused(System::Gcp, &wildcard, "compared exactly");
    // A name that is a list is none.
    let mut provider = google(&format!("{id} && 'a' in assertion.groups"));
    provider["attributeMapping"]["attribute.team"] = json!("assertion.groups");
    refused(System::Gcp, &provider, "a list is no value of it");
    // Nobody looks whether the groups of the pool are a list.
    let mut provider = google(id);
    provider["attributeMapping"]["google.groups"] = json!("assertion.groups");
    refused(System::Gcp, &provider, "it must be a list");
    for operator in [
        "ForAllValues:StringEquals",
        "StringEquals",
        "ForAnyValue:StringLike",
    ] {
        let mut conditions = json!({"StringEquals": {format!("{GITHUB}:repository_id"): "74"}});
        conditions[operator][format!("{GITHUB}:amr")] = json!("m*");
        let carried = carry(System::Aws, &statement(GITHUB, &conditions), None);
        assert_eq!(carried.draft, None, "{operator}: {:?}", carried.left);
    }
}

/// Of alternatives that are several rules the one stands there that admits the token that was given.
#[test]
fn of_several_patterns_the_one_of_the_claims_is_carried_over() {
    let of = |context: &str| format!("repo:octo-org@65/octo-repo@74:{context}");
    let subjects = json!([
        of("environment:prod"),
        of("ref:refs/heads/*"),
        of("ref:refs/tags/*")
    ]);
    let policy = aws_with("StringLike", &subjects);
    let subject_for = |context: &str| {
        let claims = json!({
            "sub": of(context), "repository_id": "74", "repository_owner_id": "65",
        });
        let (facts, left) = rule(System::Aws, &policy, Some(&claims));
        let stands = facts["subject"].to_string();
        assert!(left.iter().any(|one| one.contains(&stands)), "{left:?}");
        facts["subject"].clone()
    };
    assert_eq!(subject_for("environment:prod"), of("environment:prod"));
    let tags = json!({"pattern": of("ref:refs/tags/**")});
    assert_eq!(subject_for("ref:refs/tags/v1"), tags);
}
