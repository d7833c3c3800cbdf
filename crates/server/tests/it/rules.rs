//! Exchange rules: what may be stored, and what a reader is told of it.

use serde_json::{Value, json};

use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{jwk, jwks};

use crate::http::Answer;
use crate::world::World;

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// A world in which the tenant `one` trusts GitHub for one owner.
fn world() -> World {
    let world = World::new();
    let keys = jwks(&[jwk(&Key::rsa(RsaTestKey::A), "k1")]);
    let anchor = json!({
        "issuer": GITHUB, "jwks": keys,
        "rules": [{"name": "ours", "facts": {"github.repository_owner_id": "65"}}],
    });
    let put = world.send(
        &world.operator(),
        "PUT",
        "/v1/tenants/one/anchors/github",
        &anchor,
    );
    assert!(put.is_put(), "{}", put.body);
    world
}

fn rule() -> Value {
    json!({
        "from": {"anchor": "github", "facts": {
            "github.repository_id": "74", "github.environment": "prod",
        }},
        "gives": {
            "spiffe_id": "spiffe://one.test/ci/{github.repository_id}",
            "audiences": ["https://cloud.test"],
        },
        "owner": "the platform team", "reason": "deploys",
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut rule = rule();
    let (parents, last) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = &mut rule;
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        at = at.get_mut(part).unwrap();
    }
    let members = at.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(last);
    } else {
        members.insert(last.to_owned(), value);
    }
    rule
}

fn put(world: &World, rule: &Value) -> Answer {
    let path = "/v1/tenants/one/rules/deploy";
    world.send(&world.operator(), "PUT", path, rule)
}

#[test]
fn a_rule_says_whom_it_admits_and_what_it_gives() {
    let world = world();
    let stored = put(&world, &rule());
    assert!(stored.is_put(), "{}", stored.body);
    let shown = stored.json();
    let admits = shown["admits"].as_str().unwrap();
    assert!(
        admits.starts_with("every repository on github.com with"),
        "{admits}"
    );
    assert!(admits.contains("github.repository_id = 74"), "{admits}");
    let gives = shown["gives"].as_str().unwrap();
    assert!(gives.contains("https://cloud.test, 900 s"), "{gives}");
    assert_eq!(shown["rule"], rule());
    let operator = world.operator();
    let list = world.call(&operator, "GET", "/v1/tenants/one/rules", None);
    assert_eq!(list.json()["rules"][0]["name"], "deploy");
    // Nobody else sees it.
    let list = world.call(&operator, "GET", "/v1/tenants/two/rules", None);
    assert_eq!(list.json()["rules"], json!([]));
    let path = "/v1/tenants/one/rules/deploy";
    assert_eq!(world.call(&operator, "DELETE", path, None).status, 204);
    assert_eq!(world.call(&operator, "GET", path, None).status, 404);
    assert_eq!(world.call(&operator, "DELETE", path, None).status, 404);
}

#[test]
fn a_day_will_do_wherever_something_ends() {
    let world = world();
    let until = json!({"reason": "until then", "expires": "2099-01-31"});
    let mut rule = rule();
    rule["expires"] = json!("2099-01-31");
    rule["bearer"] = until.clone();
    let stored = put(&world, &rule);
    assert!(stored.is_put(), "{}", stored.body);
    rule["expires"] = json!("2099-02-31");
    let refused = put(&world, &rule);
    assert!(
        refused.body.contains("no day such as 2026-01-31"),
        "{}",
        refused.body
    );
    let keys = jwks(&[jwk(&Key::p256("issuer"), "k1")]);
    let anchor = json!({
        "issuer": "https://issuer.test", "audiences": ["x"], "jwks": keys,
        "unpinned": until, "owner": "ops", "reason": "a test", "expires": "2099-01-31",
    });
    let path = "/v1/tenants/one/anchors/days";
    let stored = world.send(&world.operator(), "PUT", path, &anchor);
    assert!(stored.is_put(), "{}", stored.body);
}

#[test]
fn hostile_37_a_shared_issuer_is_not_exchanged_without_an_id_that_lasts() {
    let world = world();
    for facts in [
        json!({"github.repository": "octo-org/octo-repo"}),
        json!({"github.repository_owner": "octo-org", "github.environment": "prod"}),
        json!({"subject": "repo:octo-org/octo-repo:environment:prod"}),
        json!({"github.repository_id": {"pattern": "*"}}),
    ] {
        let rule = with("from/facts", facts.clone());
        let refused = put(&world, &rule);
        assert_eq!(refused.code(), "policy.shared_issuer_unpinned", "{facts}");
        assert!(refused.body.contains("every repository on github.com"));
        let mut excused = rule.clone();
        let until = json!({"reason": "until the ids are known", "expires": "2100-01-01T00:00:00Z"});
        excused["unpinned"] = until;
        excused["gives"]["spiffe_id"] = json!("spiffe://one.test/ci/deploy");
        assert!(put(&world, &excused).is_put(), "{facts}");
        excused["unpinned"]["expires"] = json!("2020-01-01T00:00:00Z");
        assert_eq!(
            put(&world, &excused).code(),
            "policy.shared_issuer_unpinned"
        );
    }
    assert_eq!(
        put(&world, &with("from/facts", Value::Null)).code(),
        "policy.shared_issuer_unpinned"
    );
}

#[test]
fn hostile_38_an_identity_is_not_made_of_a_name_that_can_pass_to_another() {
    let world = world();
    let of = |fact: &str| {
        with(
            "gives/spiffe_id",
            json!(format!("spiffe://one.test/ci/{{{fact}}}")),
        )
    };
    let refused = put(&world, &of("github.repository_owner"));
    assert_eq!(refused.code(), "policy.rule_invalid");
    assert!(
        refused.body.contains("can pass to another"),
        "{}",
        refused.body
    );
    assert!(put(&world, &of("github.repository_owner_id")).is_put());
    // A name that the rule itself fixes is one value.
    assert!(put(&world, &of("github.environment")).is_put());
}

#[test]
fn hostile_63_what_could_mean_something_else_is_refused() {
    let world = world();
    let exception = json!({"reason": "x"});
    for (path, value) in [
        ("fromm", json!({})),
        ("from/fact", json!({})),
        ("from/facts/github.repositry", json!("x")),
        ("from/facts/github.repository_id", json!("7*")),
        ("from/facts/github.repository_id", json!([])),
        ("from/anchor", json!("none")),
        ("from/trust_domain", json!("one.test")),
        ("from/client", json!("me")),
        ("from", json!({})),
        ("from", json!({"client": "me"})),
        ("from", json!({"trust_domain": "one.test"})),
        (
            "from",
            json!({"trust_domain": "two.test", "facts": {"spiffe.path": "/x"}}),
        ),
        (
            "from",
            json!({"trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": "/**"}}}),
        ),
        ("gives/spiffe_id", json!("spiffe://one.test/a-{subject}")),
        ("gives/spiffe_id", json!("spiffe://one.test/{nothing}")),
        ("gives/kinds", json!(["password"])),
        ("gives/audiences", Value::Null),
        ("gives/audiences", json!([])),
        ("gives/lifetime", json!(0)),
        ("gives/lifetime", json!(86_401)),
        ("gives/scopes", json!(["a b"])),
        ("gives/outlives", json!("yes")),
        ("actors", json!([])),
        ("assurance", json!({})),
        ("assurance", json!({"multi_factor": true})),
        ("bearer", exception.clone()),
        ("bearer", json!(true)),
        ("reuse", exception.clone()),
        ("owner", Value::Null),
        ("reason", Value::Null),
        ("expires", json!("tomorrow")),
    ] {
        let refused = put(&world, &with(path, value.clone()));
        assert_eq!(refused.status, 400, "{path} {value}: {}", refused.body);
        assert_eq!(refused.code(), "policy.rule_invalid", "{path} {value}");
    }
    let nowhere = with("gives/spiffe_id", json!("spiffe://two.test/ci"));
    assert_eq!(put(&world, &nowhere).code(), "issue.object_unknown");
    let ours = with(
        "gives/spiffe_id",
        json!("spiffe://one.test/avouch/operator"),
    );
    assert_eq!(put(&world, &ours).code(), "issue.id_reserved");
    assert!(put(&world, &rule()).is_put());
}

#[test]
fn a_preview_stores_nothing_and_tells_what_may_be_forgotten() {
    let world = world();
    let preview = |rule: &Value| {
        let path = "/v1/tenants/one/preview-rule";
        let answer = world.send(&world.operator(), "POST", path, rule);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    assert_eq!(preview(&rule())["remarks"], json!([]));
    let mut over = rule();
    over["expires"] = json!("2020-01-01");
    let remarks = preview(&over)["remarks"].to_string();
    assert!(remarks.contains("gives nothing any more"), "{remarks}");
    let of_workloads =
        json!({"trust_domain": "one.test", "facts": {"subject": "spiffe://one.test/web"}});
    let mut named = with("from", of_workloads);
    named["gives"]["spiffe_id"] = json!("spiffe://one.test/db");
    let named = preview(&named)["remarks"].to_string();
    assert!(named.contains("ask for `spiffe.path`"), "{named}");
    let open = preview(&with("from/facts", json!({"github.repository_id": "74"})));
    let remarks = open["remarks"].to_string();
    for words in [
        "pull_request_target",
        "every branch and tag",
        "every workflow file",
    ] {
        assert!(remarks.contains(words), "{words}: {remarks}");
    }
    let wide = preview(&with("from/facts", json!({"github.repository": "o/r"})));
    assert_eq!(wide["problem"]["code"], "policy.shared_issuer_unpinned");
    let list = world.call(&world.operator(), "GET", "/v1/tenants/one/rules", None);
    assert_eq!(list.json()["rules"], json!([]));
}

#[test]
fn a_rule_whose_anchor_is_gone_gives_nothing_and_says_why() {
    let world = world();
    assert!(put(&world, &rule()).is_put());
    let operator = world.operator();
    let anchor = "/v1/tenants/one/anchors/github";
    assert_eq!(world.call(&operator, "DELETE", anchor, None).status, 204);
    let shown = world.call(&operator, "GET", "/v1/tenants/one/rules/deploy", None);
    assert_eq!(shown.json()["problem"]["code"], "policy.rule_invalid");
}
