//! The pattern of workflows and clouds: a workflow token in, a credential for a quarter of an hour
//! out.

use serde_json::{Value, json};

use avouch_testkit::extension::subject_alternative_names;
use avouch_testkit::key::Key;
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::token::{TokenForge, jwk, jwks};

use super::{
    ACCESS_TOKEN, CLOUD, Cloud, OURSELVES, claims, exchange_form, form, part, refusal, rule,
    sentence, thumbprint, token,
};

#[test]
fn a_workflow_token_becomes_a_credential_for_a_quarter_of_an_hour() {
    let cloud = Cloud::new();
    let answer = cloud.exchange(&cloud.workflow(&json!({})), &[]);
    let svid = token(&answer);
    let body = answer.json();
    assert_eq!(body["token_type"], "N_A");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["scope"], "read deploy");
    let said = claims(&svid);
    assert_eq!(said["sub"], "spiffe://one.test/ci/74/deploy");
    assert_eq!(said["iss"], OURSELVES);
    assert_eq!(said["aud"], CLOUD);
    assert_eq!(said["cnf"]["jkt"], thumbprint(&cloud.holder));
    assert_eq!(
        said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(),
        900
    );
    let lineage = &said["lineage"][0];
    assert_eq!(lineage["anchor"], "github");
    assert_eq!(lineage["iss"], super::GITHUB);
    assert_eq!(lineage["key"], "k1");
    assert!(!said.contains_key("act"));
    assert_eq!(part(&svid, 0)["typ"], "JWT");
}

#[test]
fn an_access_token_is_one_of_its_own_type() {
    let cloud = Cloud::new();
    let asked = [("requested_token_type", ACCESS_TOKEN), ("scope", "read")];
    let answer = cloud.exchange(&cloud.workflow(&json!({})), &asked);
    let access = token(&answer);
    let body = answer.json();
    assert_eq!(body["token_type"], "DPoP");
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN);
    assert_eq!(body["scope"], "read");
    assert_eq!(part(&access, 0)["typ"], "at+jwt");
    let said = claims(&access);
    assert_eq!(said["scope"], "read");
    assert_eq!(said["client_id"], "spiffe://one.test/ci/74/deploy");
    // RFC 9068 2.2: it is required.
    for member in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(said.contains_key(member), "{member}");
    }
}

#[test]
fn a_certificate_is_given_for_a_signing_request_that_proves_its_key() {
    let cloud = Cloud::new();
    let request = crate::world::signing_request(&Key::p256("new"));
    let request = avouch_testkit::world::pem("CERTIFICATE REQUEST", &request);
    let wanted = "urn:avouch:params:token-type:x509-svid";
    let body = exchange_form(
        &cloud.workflow(&json!({})),
        &[
            ("requested_token_type", wanted),
            ("certificate_request", &request),
        ],
    );
    let answer = cloud.send(&body, &[]);
    assert!(token(&answer).starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(answer.json()["issued_token_type"], wanted);
    assert_eq!(answer.json()["expires_in"], 900);
    let without = exchange_form(
        &cloud.workflow(&json!({})),
        &[("requested_token_type", wanted)],
    );
    let (error, code) = refusal(&cloud.send(&without, &[]));
    assert_eq!(
        (error.as_str(), code.as_str()),
        ("invalid_request", "issue.body_malformed")
    );
}

#[test]
fn a_signing_request_for_more_than_is_given_gets_nothing_and_uses_nothing_up() {
    let cloud = Cloud::new();
    let subject = cloud.workflow(&json!({}));
    let asked = |label: &str, uri: &str| {
        let names = subject_alternative_names(&[GeneralName::uri(uri)]);
        let request = Key::p256("new").signing_request_for(&Name::empty(), &[names]);
        let request = avouch_testkit::world::pem(label, &request);
        let body = exchange_form(
            &subject,
            &[
                (
                    "requested_token_type",
                    "urn:avouch:params:token-type:x509-svid",
                ),
                ("certificate_request", &request),
            ],
        );
        cloud.send(&body, &[])
    };
    let refused = asked("CERTIFICATE REQUEST", "spiffe://one.test/admin");
    let (error, code) = refusal(&refused);
    assert_eq!(
        (error.as_str(), code.as_str()),
        ("invalid_request", "issue.request_refused"),
        "{}",
        refused.body
    );
    // As older programs write it (RFC 7468 7).
    let answer = asked("NEW CERTIFICATE REQUEST", "spiffe://one.test/ci/74/deploy");
    assert!(token(&answer).starts_with("-----BEGIN CERTIFICATE-----"));
}

/// What it is, the token, the code of its refusal, and what only the owner is told.
type Refused = (&'static str, String, &'static str, &'static str);

/// Tokens of others, which their issuer has really signed.
fn tokens_of_others(cloud: &Cloud) -> Vec<Refused> {
    vec![
        (
            "a fork",
            cloud.workflow(&json!({
                "sub": "repo:mallory@66/octo-repo@99:environment:prod",
                "repository": "mallory/octo-repo", "repository_id": "99",
                "repository_owner": "mallory", "repository_owner_id": "66",
            })),
            "issue.exchange_not_admitted",
            "github.repository_id (expected 74, seen 99)",
        ),
        (
            "a pull request",
            cloud.workflow(&json!({
                "sub": "repo:octo-org@65/octo-repo@74:pull_request",
                "event_name": "pull_request", "environment": null,
            })),
            "issue.exchange_not_admitted",
            "seen pull_request",
        ),
        (
            "a pull request that says where it wants to go",
            cloud.workflow(&json!({"event_name": "pull_request_target"})),
            "issue.exchange_not_admitted",
            "seen pull_request_target",
        ),
        (
            "another repository of the owner",
            cloud.workflow(&json!({
                "sub": "repo:octo-org@65/other@75:environment:prod",
                "repository": "octo-org/other", "repository_id": "75",
            })),
            "issue.exchange_not_admitted",
            "seen 75",
        ),
        (
            "another environment",
            cloud.workflow(&json!({
                "sub": "repo:octo-org@65/octo-repo@74:environment:dev", "environment": "dev",
            })),
            "issue.exchange_not_admitted",
            "seen dev",
        ),
        (
            "another owner altogether",
            cloud.workflow(&json!({
                "sub": "repo:eve@67/x@1:environment:prod", "repository": "eve/x",
                "repository_id": "1", "repository_owner": "eve", "repository_owner_id": "67",
            })),
            "policy.rule_not_matched",
            "seen 67",
        ),
    ]
}

/// Tokens that are for others, of another time, or signed otherwise.
fn tokens_out_of_order(cloud: &Cloud) -> Vec<Refused> {
    let now = cloud.now();
    let used = cloud.workflow(&json!({}));
    token(&cloud.exchange(&used, &[]));
    let other_key = Key::p256("somebody");
    vec![
        (
            "another audience",
            cloud.workflow(&json!({"aud": "https://github.com/octo-org"})),
            "federation.audience_mismatch",
            "https://github.com/octo-org",
        ),
        (
            "one more audience",
            cloud.workflow(&json!({"aud": [OURSELVES, "https://other.test"]})),
            "issue.exchange_not_admitted",
            "https://other.test",
        ),
        (
            "a token that was used",
            used,
            "issue.token_used",
            "was used on",
        ),
        (
            "an expired token",
            cloud.workflow(&json!({"iat": now - 900, "nbf": now - 900, "exp": now - 1})),
            "federation.token_expired",
            "expired",
        ),
        (
            "a token of the future",
            cloud.workflow(&json!({"iat": now + 120, "nbf": now + 120, "exp": now + 300})),
            "federation.token_not_yet_valid",
            "after the time of the check",
        ),
        (
            "another algorithm",
            cloud
                .workflow_forge(&json!({}))
                .sign_as(&cloud.issuer, "ES384"),
            "federation.key_algorithm_mismatch",
            "ES384",
        ),
        (
            "no signature",
            cloud.workflow_forge(&json!({})).with_signature("none", b""),
            "federation.algorithm_forbidden",
            "none",
        ),
        (
            "another key under the same name",
            cloud.workflow_forge(&json!({})).sign(&other_key, "k1"),
            "federation.signature_invalid",
            "was not signed by the key k1",
        ),
        (
            "another issuer",
            cloud
                .workflow(&json!({"iss": "https://token.actions.githubusercontent.com.evil.test"})),
            "federation.issuer_unknown",
            "evil.test",
        ),
    ]
}

#[test]
fn hostile_42_to_49_every_other_token_is_refused_with_a_sentence_of_its_own() {
    let cloud = Cloud::new();
    let mut sentences = Vec::new();
    let all = [tokens_of_others(&cloud), tokens_out_of_order(&cloud)].concat();
    for (what, token, code, told) in all {
        let stranger = cloud.exchange(&token, &[]);
        assert_eq!(
            refusal(&stranger),
            ("invalid_request".into(), code.into()),
            "{what}: {stranger:?}"
        );
        let owner = cloud.exchange_as_operator(&token, &[]);
        assert_eq!(refusal(&owner).1, code, "{what}");
        let sentence = sentence(&owner);
        assert!(!told.is_empty(), "{what}");
        assert!(sentence.contains(told), "{what}: {sentence}");
        // Hostile 64: a stranger learns nothing of the rules.
        for secret in ["deploy", "74", "environment", "k1", "octo-org"] {
            assert!(
                !stranger.json()["detail"].as_str().unwrap().contains(secret),
                "{what}: {stranger:?}"
            );
        }
        sentences.push(sentence);
    }
    let count = sentences.len();
    sentences.sort();
    sentences.dedup();
    assert_eq!(
        sentences.len(),
        count,
        "two are told the same: {sentences:#?}"
    );
    // And the near-miss beside each: a token that differs in nothing that counts.
    for near in [
        json!({"event_name": "workflow_dispatch"}),
        json!({"ref": "refs/heads/release"}),
        json!({"jti": null}),
    ] {
        token(&cloud.exchange(&cloud.workflow(&near), &[]));
    }
}

#[test]
fn a_trial_tells_why_without_using_the_token() {
    let cloud = Cloud::new();
    let subject = cloud.workflow(&json!({}));
    let trial = |token: &str| {
        let body = json!({"subject_token": token, "audience": CLOUD});
        let answer = cloud.manage("POST", "/v1/tenants/one/try-exchange", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    for _ in 0..2 {
        let told = trial(&subject);
        assert_eq!(told["rule"], "deploy");
        assert_eq!(told["spiffe_id"], "spiffe://one.test/ci/74/deploy");
        assert_eq!(told["facts"]["github.repository_id"], "74");
    }
    token(&cloud.exchange(&subject, &[]));
    let fork = cloud.workflow(&json!({
        "sub": "repo:octo-org@65/octo-repo@99:environment:prod", "repository_id": "99",
    }));
    let told = trial(&fork);
    assert_eq!(told["problem"]["code"], "issue.exchange_not_admitted");
    assert!(
        told["problem"]["detail"]
            .as_str()
            .unwrap()
            .contains("seen 99")
    );
}

#[test]
fn hostile_38_names_that_are_taken_again_are_another_repository() {
    let cloud = Cloud::new();
    // The same names, and ids of someone else.
    let again = cloud.workflow(&json!({
        "sub": "repo:octo-org@65/octo-repo@7400:environment:prod", "repository_id": "7400",
    }));
    assert_eq!(
        refusal(&cloud.exchange(&again, &[])).1,
        "issue.exchange_not_admitted"
    );
    // The format that was announced first is ambiguous, and is not believed.
    let announced = cloud.workflow(&json!({
        "sub": "repo:octo-org-65/octo-repo-74:environment:prod",
    }));
    assert_eq!(
        refusal(&cloud.exchange(&announced, &[])).0,
        "invalid_request"
    );
    let renamed = cloud.workflow(&json!({
        "sub": "repo:octo-org@65/renamed@74:environment:prod", "repository": "octo-org/renamed",
    }));
    token(&cloud.exchange(&renamed, &[]));
}

#[test]
fn hostile_52_nothing_is_had_that_is_wider_than_the_rule() {
    let cloud = Cloud::new();
    let fresh = || cloud.workflow(&json!({}));
    let refused = |more: &[(&str, &str)]| refusal(&cloud.exchange(&fresh(), more));
    assert_eq!(
        refused(&[("audience", "https://other.test")]),
        ("invalid_target".into(), "issue.target_not_allowed".into())
    );
    assert_eq!(
        refused(&[("resource", "https://cloud.test.evil.test")]).0,
        "invalid_target"
    );
    // Where there are several, one has to be named, and a stranger may know that.
    let mut several = rule();
    let audiences = json!(["https://one.test", "https://two.test"]);
    several["gives"]["audiences"] = audiences;
    cloud.rule("deploy", &several);
    let unsaid = cloud.exchange(&fresh(), &[]);
    assert_eq!(refusal(&unsaid).0, "invalid_target");
    let detail = unsaid.json()["detail"].to_string();
    assert!(detail.contains("not said for whom"), "{detail}");
    assert!(unsaid.json()["hint"].to_string().contains("`audience`"));
    cloud.rule("deploy", &rule());
    assert_eq!(
        refused(&[("scope", "deploy admin")]),
        ("invalid_scope".into(), "issue.scope_not_allowed".into())
    );
    token(&cloud.exchange(&fresh(), &[("audience", CLOUD), ("scope", "deploy")]));
    // A subject that may do less gets less.
    let less = cloud.workflow(&json!({"scope": "read"}));
    assert_eq!(cloud.exchange(&less, &[]).json()["scope"], "read");
    let less = cloud.workflow(&json!({"scope": "read"}));
    assert_eq!(
        refusal(&cloud.exchange(&less, &[("scope", "deploy")])).0,
        "invalid_scope"
    );
}

#[test]
fn hostile_52_nothing_lives_longer_than_what_it_was_had_for_unless_a_rule_says_so() {
    let cloud = Cloud::new();
    let mut strict = rule();
    strict["gives"]["outlives"] = json!(false);
    cloud.rule("deploy", &strict);
    let now = cloud.now();
    let answer = cloud.exchange(&cloud.workflow(&json!({"exp": now + 120})), &[]);
    assert!(claims(&token(&answer))["exp"].as_i64().unwrap() <= now + 120);
    let short = cloud.workflow(&json!({"exp": now + 20}));
    assert_eq!(
        refusal(&cloud.exchange(&short, &[])).1,
        "issue.subject_ends_soon"
    );
}

#[test]
fn hostile_27_and_61_one_tenant_neither_believes_nor_gives_what_is_anothers() {
    let cloud = Cloud::new();
    let to_two = |token: &str| cloud.send_to("two", &exchange_form(token, &[]), &[]);
    // Another tenant trusts nobody, whatever this one trusts.
    let code = refusal(&to_two(&cloud.workflow(&json!({})))).1;
    assert_eq!(code, "federation.issuer_unknown");
    // A rule gives identities of its own tenant only.
    let mut foreign = rule();
    foreign["gives"]["spiffe_id"] = json!("spiffe://two.test/ci");
    let put = cloud.manage("PUT", "/v1/tenants/one/rules/foreign", &foreign);
    assert_eq!(put.code(), "issue.object_unknown");
    // Another tenant gives under its own rule, for tokens made for it alone.
    let put = cloud.manage(
        "PUT",
        "/v1/tenants/two/anchors/github",
        &cloud.github_anchor(),
    );
    assert!(put.is_put(), "{}", put.body);
    let mut own = rule();
    own["gives"]["spiffe_id"] = json!("spiffe://two.test/guest/{github.repository_id}");
    own["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule_of("two", "guests", &own);
    let code = refusal(&to_two(&cloud.workflow(&json!({})))).1;
    assert_eq!(
        code, "federation.audience_mismatch",
        "a token for one is not for two"
    );
    let there = "http://127.0.0.1:8080/t/two";
    let answer = to_two(&cloud.workflow(&json!({"aud": there})));
    let guest = claims(&token(&answer));
    assert_eq!(
        (guest["sub"].as_str(), guest["iss"].as_str()),
        (Some("spiffe://two.test/guest/74"), Some(there))
    );
    // What two has given is nothing to one.
    let code = refusal(&cloud.exchange(
        &token(&to_two(&cloud.workflow(&json!({"aud": there})))),
        &[],
    ))
    .1;
    assert_eq!(code, "spiffe.trust_domain_unknown");
    assert_eq!(
        cloud.send_to("zzz", &exchange_form("x", &[]), &[]).status,
        404
    );
}

#[test]
fn the_same_subject_of_two_issuers_is_two() {
    let cloud = Cloud::new();
    let (first, second) = (Key::p256("first"), Key::p256("second"));
    // Every cluster calls itself this; only its keys tell it apart.
    let issuer = "https://kubernetes.default.svc.cluster.local";
    for (name, key) in [("cluster-1", &first), ("cluster-2", &second)] {
        cloud.anchor(
            name,
            &json!({"issuer": issuer, "jwks": jwks(&[jwk(key, name)])}),
        );
        cloud.rule(name, &json!({
            "from": {"anchor": name, "facts": {"k8s.namespace": "shop", "k8s.service_account": "api"}},
            "gives": {"spiffe_id": format!("spiffe://one.test/{name}/api"), "audiences": [CLOUD]},
            "owner": "o", "reason": "r",
        }));
    }
    let pod = |key: &Key, name: &str| {
        let now = cloud.now();
        TokenForge::saying(json!({
            "iss": issuer, "aud": [OURSELVES], "sub": "system:serviceaccount:shop:api",
            "iat": now, "nbf": now, "exp": now + 600, "jti": format!("{name}-{now}"),
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "api", "uid": "u"}},
        }))
        .sign(key, name)
    };
    for (name, key) in [("cluster-1", &first), ("cluster-2", &second)] {
        let answer = cloud.exchange(&pod(key, name), &[]);
        assert_eq!(
            claims(&token(&answer))["sub"],
            format!("spiffe://one.test/{name}/api")
        );
    }
    let confused = cloud.exchange(&pod(&second, "cluster-1"), &[]);
    assert_eq!(refusal(&confused).1, "federation.signature_invalid");
}

#[test]
fn what_is_no_form_is_refused_as_oauth_refuses() {
    let cloud = Cloud::new();
    let headers = [("content-type", "application/json")];
    let body = Value::from("x").to_string();
    let bytes = crate::http::request("POST", "/t/one/token", &headers, Some(&body));
    let answer = crate::http::send(cloud.world.address, &bytes);
    assert_eq!(refusal(&answer).0, "invalid_request");
    for (body, error) in [
        (
            form(&[("grant_type", "password")]),
            "unsupported_grant_type",
        ),
        (
            form(&[("grant_type", "client_credentials")]),
            "invalid_client",
        ),
        (
            form(&[("grant_type", "client_credentials"), ("client_secret", "s")]),
            "invalid_client",
        ),
        ("grant_type=%".to_owned(), "invalid_request"),
    ] {
        let answer = cloud.send(&body, &[]);
        assert_eq!(refusal(&answer).0, error, "{body}");
    }
    assert_eq!(cloud.send(&"a".repeat(200_000), &[]).status, 413);
}
