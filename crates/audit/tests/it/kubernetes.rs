//! Structured authentication configuration of Kubernetes.

use avouch_audit::System;
use serde_json::{Value, json};

use crate::look::{found, refused, said, witness};

fn with(authenticator: &Value) -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "AuthenticationConfiguration",
        "jwt": [authenticator],
    })
}

fn github(rules: &Value) -> Value {
    with(&json!({
        "issuer": {
            "url": "https://token.actions.githubusercontent.com",
            "audiences": ["https://kubernetes.example.com"],
        },
        "claimValidationRules": rules,
        "claimMappings": {"username": {"claim": "sub", "prefix": "github:"}},
    }))
}

fn company(mappings: &Value, users: &Value) -> Value {
    with(&json!({
        "issuer": {"url": "https://login.example.com", "audiences": ["kubernetes"]},
        "claimMappings": mappings,
        "userValidationRules": users,
    }))
}

fn check(document: &Value, expected: &[&str]) {
    assert_eq!(
        found(System::Kubernetes, document),
        expected,
        "{document:#}"
    );
}

#[test]
fn a_shared_issuer_without_rules_admits_everyone() {
    check(&github(&json!([])), &["issuer-only-trust"]);
}

#[test]
fn an_owner_by_name_is_trust_in_whoever_has_the_name() {
    check(
        &github(&json!([{"claim": "repository_owner", "requiredValue": "octo-org"}])),
        &[
            "mutable-name-subject",
            "untrusted-trigger-context",
            "wildcard-subject",
        ],
    );
}

#[test]
fn one_repository_by_its_id_and_event_is_clean() {
    check(
        &github(&json!([
            {"claim": "repository_id", "requiredValue": "74"},
            {"expression": "claims.event_name == 'push'", "message": "only pushes"},
        ])),
        &[],
    );
}

#[test]
fn hostile_33_a_guard_that_passes_what_is_missing() {
    let document = github(&json!([
        {"claim": "repository_id", "requiredValue": "74"},
        {"expression": "!has(claims.environment) || claims.environment == 'prod'"},
    ]));
    let claims = witness(System::Kubernetes, &document, "vacuous-condition");
    assert!(!claims.contains_key("environment"));
}

#[test]
fn hostile_32_an_expression_that_is_not_anchored() {
    let document = github(&json!([
        {"expression": "claims.repository.matches('octo-org/octo-repo')"},
    ]));
    let claims = witness(System::Kubernetes, &document, "unanchored-regex");
    assert!(said(&claims, "repository").contains("octo-org/octo-repo"));
}

#[test]
fn groups_of_an_issuer_outside_may_be_those_of_the_cluster() {
    let document = company(
        &json!({
            "username": {"claim": "sub", "prefix": "company:"},
            "groups": {"claim": "groups", "prefix": ""},
        }),
        &json!([]),
    );
    let claims = witness(System::Kubernetes, &document, "reserved-name-reachable");
    assert_eq!(claims["groups"], json!(["system:masters"]));
}

#[test]
fn a_user_rule_keeps_names_of_the_cluster_out() {
    let document = company(
        &json!({
            "username": {"claim": "sub", "prefix": ""},
            "groups": {"claim": "groups", "prefix": ""},
        }),
        &json!([
            {"expression": "!user.username.startsWith('system:')", "message": "reserved"},
            {"expression": "user.groups.all(group, !group.startsWith('system:'))", "message": "reserved"},
        ]),
    );
    let found = found(System::Kubernetes, &document);
    assert!(
        !found.contains(&"reserved-name-reachable".to_owned()),
        "{found:?}"
    );
}

#[test]
fn users_by_a_name_that_they_may_change() {
    for (claim, code) in [
        ("preferred_username", "mutable-name-subject"),
        ("email", "mutable-name-subject=medium"),
    ] {
        let document = company(
            &json!({"username": {"claim": claim, "prefix": "company:"}}),
            &json!([]),
        );
        let found = found(System::Kubernetes, &document);
        assert!(found.contains(&code.to_owned()), "{found:?}");
    }
}

/// Where the prefix is empty, such a name may also be one of the cluster's own.
#[test]
fn users_of_entra_by_a_name_that_may_pass_to_others_are_found_whatever_the_prefix() {
    for prefix in ["", "entra:"] {
        let document = with(&json!({
            "issuer": {
                "url": "https://login.microsoftonline.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/v2.0",
                "audiences": ["kubernetes"],
            },
            "claimMappings": {"username": {"claim": "upn", "prefix": prefix}},
        }));
        let found = found(System::Kubernetes, &document);
        let has = |code: &str| found.iter().any(|one| one.starts_with(code));
        assert!(has("mutable-name-subject"), "{found:?}");
        assert!(has("issuer-only-trust"), "{found:?}");
        assert!(!has("nothing-admitted"), "{found:?}");
        assert_eq!(
            has("reserved-name-reachable"),
            prefix.is_empty(),
            "{found:?}"
        );
    }
}

#[test]
fn the_issuer_of_a_company_with_a_prefix_is_worth_no_more_than_a_note() {
    let document = company(
        &json!({"username": {"claim": "sub", "prefix": "company:"}}),
        &json!([]),
    );
    check(&document, &["issuer-only-trust=info"]);
}

#[test]
fn a_life_time_may_be_asked_for() {
    let document = github(&json!([
        {"claim": "repository_id", "requiredValue": "74"},
        {"claim": "environment", "requiredValue": "prod"},
        {"expression": "claims.exp - claims.nbf <= 86400"},
    ]));
    check(&document, &[]);
}

#[test]
fn hostile_62_a_list_within_a_list() {
    let document = with(&json!({
        "issuer": {"url": "https://login.example.com", "audiences": ["kubernetes"]},
        "claimValidationRules": [{
            "expression": "claims.groups.all(a, claims.groups.all(b, claims.groups.exists(c, a + b == c)))"
        }],
        "claimMappings": {"username": {"claim": "sub", "prefix": "company:"}},
    }));
    let found = found(System::Kubernetes, &document);
    assert!(found.contains(&"cel-cost".to_owned()), "{found:?}");
}

#[test]
fn what_is_misspelt_is_refused() {
    for (document, part) in [
        (
            json!({"apiVersion": "v1", "kind": "Config"}),
            "AuthenticationConfiguration",
        ),
        (
            with(&json!({"issuer": {"url": "https://a.example"}, "claimMappings": {}})),
            "audiences",
        ),
        (
            with(&json!({
                "issuer": {"url": "https://a.example", "audiences": ["k"]},
                "claimValidationRule": [],
            })),
            "claimValidationRule",
        ),
        (
            company(&json!({"username": {"claim": "sub"}}), &json!([])),
            "prefix",
        ),
        (
            github(&json!([{"claim": "a", "expression": "true"}])),
            "not both",
        ),
    ] {
        assert!(
            refused(System::Kubernetes, &document).contains(part),
            "{document}"
        );
    }
}

#[test]
fn claims_are_traced_to_the_user() {
    let document = company(
        &json!({"username": {"claim": "sub", "prefix": "company:"}}),
        &json!([{"expression": "user.username != 'company:mallory'"}]),
    );
    let configuration = System::Kubernetes.read(&document).unwrap();
    let admission = &configuration.admissions[0];
    let trace = |subject: &str| {
        let claims =
            json!({"iss": "https://login.example.com", "aud": ["kubernetes"], "sub": subject});
        admission.trace(claims.as_object().unwrap())
    };
    assert!(trace("mia").admitted);
    let refused = trace("mallory");
    assert!(!refused.admitted);
    assert_eq!(refused.steps[1].seen.as_deref(), Some("company:mallory"));
}

/// The condition on `email_verified` that Kubernetes documents, and the one that refuses what is missing.
#[test]
fn claims_may_be_optional_in_conditions_and_mappings() {
    let by_email = |rule: &str| {
        with(&json!({
            "issuer": {"url": "https://login.example.com", "audiences": ["kubernetes"]},
            "claimValidationRules": [{"expression": rule, "message": "not verified"}],
            "claimMappings": {
                "username": {"expression": "'company:' + claims.email"},
                "groups": {"expression": "claims.?roles.orValue([])"},
            },
        }))
    };
    let lax = found(
        System::Kubernetes,
        &by_email("claims.?email_verified.orValue(true) == true"),
    );
    let strict = found(
        System::Kubernetes,
        &by_email("claims.?email_verified.orValue(false)"),
    );
    let vacuous = "vacuous-condition".to_owned();
    assert!(lax.contains(&vacuous), "{lax:?}");
    assert!(!strict.contains(&vacuous), "{strict:?}");
    for found in [lax, strict] {
        assert!(!found.contains(&"nothing-admitted".to_owned()), "{found:?}");
    }
}

/// As the API server reads them: groups are a text or texts, a UID is a text, and null is nothing.
#[test]
fn claims_of_another_type_than_what_they_become_are_refused() {
    let admits = |mapped: &str, mapping: &Value, value: &Value| {
        let mut mappings = json!({"username": {"claim": "sub", "prefix": "company:"}});
        mappings[mapped] = mapping.clone();
        let configuration = System::Kubernetes
            .read(&company(&mappings, &json!([])))
            .unwrap();
        let claims = json!({
            "iss": "https://login.example.com", "aud": ["kubernetes"], "sub": "mia", "roles": value,
        });
        configuration.admissions[0]
            .trace(claims.as_object().unwrap())
            .admitted
    };
    let by_claim = json!({"claim": "roles", "prefix": ""});
    let uid_by_claim = json!({"claim": "roles"});
    let by_expression = json!({"expression": "claims.roles"});
    for (value, groups, uid) in [
        (json!("a"), true, true),
        (json!(["a", "b"]), true, false),
        (json!([]), true, false),
        (json!(7), false, false),
        (json!(true), false, false),
        (json!({"a": "b"}), false, false),
        (json!(["a", 7]), false, false),
        (json!([["a"]]), false, false),
    ] {
        for mapping in [&by_claim, &by_expression] {
            assert_eq!(
                admits("groups", mapping, &value),
                groups,
                "{mapping} {value}"
            );
        }
        for mapping in [&uid_by_claim, &by_expression] {
            assert_eq!(admits("uid", mapping, &value), uid, "{mapping} {value}");
        }
    }
    let elsewhere = json!({"claim": "other", "prefix": ""});
    assert!(admits("groups", &elsewhere, &json!("a")));
    assert!(!admits("uid", &json!({"claim": "other"}), &json!("a")));
    assert!(admits("groups", &by_expression, &Value::Null));
    let extra = json!([{"key": "example.com/roles", "valueExpression": "claims.roles"}]);
    assert!(admits("extra", &extra, &json!(["a"])));
    assert!(!admits("extra", &extra, &json!(7)));
    assert!(admits("groups", &by_claim, &Value::Null));
    assert!(admits("groups", &by_claim, &json!(["a", null])));
    assert!(admits("uid", &uid_by_claim, &Value::Null));
    assert!(!admits("uid", &by_expression, &Value::Null));
}

#[test]
fn an_owner_by_the_id_in_the_subject_is_no_one_else() {
    let document = github(&json!([
        {"expression": "claims.sub.startsWith('repo:octo-org@65/')"},
    ]));
    check(
        &document,
        &["untrusted-trigger-context", "wildcard-subject=medium"],
    );
}

/// To make groups of a claim is no condition on it, and lists are tried where lists are read.
#[test]
fn groups_that_an_expression_makes_ask_for_nothing() {
    let of = |groups: &str| {
        let username = json!({"claim": "sub", "prefix": "o:"});
        let mappings = json!({"username": username, "groups": {"expression": groups}});
        company(&mappings, &json!([]))
    };
    for groups in [
        "claims.?groups.orValue([]).map(g, 'okta:' + g)",
        "claims.groups.map(g, 'okta:' + g)",
        "claims.groups.filter(g, g != 'x').map(g, 'okta:' + g)",
        "claims.groups",
    ] {
        let found = found(System::Kubernetes, &of(groups));
        assert!(
            found.iter().all(|one| one == "issuer-only-trust=info"
                || one == "missing-claim-fails"
                || one == "reserved-name-reachable" && groups == "claims.groups"),
            "{groups}: {found:?}"
        );
        assert!(found.contains(&"issuer-only-trust=info".to_owned()));
    }
    // The near miss: a condition that a list passes by not being there.
    let mut document = of("claims.?groups.orValue([])");
    document["jwt"][0]["claimValidationRules"] =
        json!([{"expression": "!has(claims.groups) || 'admins' in claims.groups"}]);
    let claims = witness(System::Kubernetes, &document, "vacuous-condition");
    assert!(!claims.contains_key("groups"));
}

/// What the API server does not start with admits nobody.
#[test]
fn what_an_api_server_refuses_is_refused_here() {
    let good = company(
        &json!({"username": {"claim": "sub", "prefix": "o:"}}),
        &json!([]),
    );
    assert!(!found(System::Kubernetes, &good).is_empty());
    let with = |path: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(path).unwrap() = value;
        refused(System::Kubernetes, &document)
    };
    let one = good["jwt"][0].clone();
    let twice = with("/jwt", json!([one.clone(), one.clone()]));
    assert!(twice.contains("jwt[1].issuer.url"), "{twice}");
    for url in [
        "http://login.example.com",
        "https://u@login.example.com",
        "https://login.example.com?x",
    ] {
        let told = with("/jwt/0/issuer/url", json!(url));
        assert!(told.contains("issuer.url"), "{told}");
    }
    let two = json!(["kubernetes", "other"]);
    let told = with("/jwt/0/issuer/audiences", two.clone());
    assert!(told.contains("audienceMatchPolicy"), "{told}");
    let mut any = good.clone();
    any["jwt"][0]["issuer"]["audiences"] = two;
    any["jwt"][0]["issuer"]["audienceMatchPolicy"] = json!("MatchAny");
    assert!(!found(System::Kubernetes, &any).is_empty());
    let mappings = |extra: &str, username: Value| {
        json!({
            "username": username,
            "extra": [{"key": extra, "valueExpression": "claims.sub"}],
        })
    };
    let name = json!({"claim": "sub", "prefix": "o:"});
    for key in [
        "authentication.kubernetes.io/x",
        "k8s.io/x",
        "plain",
        "example.com/X",
    ] {
        let told = with("/jwt/0/claimMappings", mappings(key, name.clone()));
        assert!(told.contains(key), "{told}");
    }
    let mail = json!({"expression": "claims.email"});
    let told = with(
        "/jwt/0/claimMappings",
        mappings("example.com/x", mail.clone()),
    );
    assert!(told.contains("email_verified"), "{told}");
    let mut asked = good.clone();
    asked["jwt"][0]["claimMappings"] = mappings("notkubernetes.io/x", mail);
    asked["jwt"][0]["claimValidationRules"] =
        json!([{"expression": "claims.?email_verified.orValue(true) == true"}]);
    assert!(!found(System::Kubernetes, &asked).is_empty());
}
