//! What is asked with `dry_run=true`: refused as if it were done, and not done.

use avouch_core::id::SpiffeId;
use avouch_server::access::Role;
use avouch_store::Sequence;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::world::World;

/// A public key of nobody.
const KEY: &str = r#"{"kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

type Wanted = (&'static str, String, Value);

fn at(method: &'static str, path: &str, body: Value) -> Wanted {
    (method, format!("/v1/tenants{path}"), body)
}

fn call(world: &World, token: &str, (method, path, body): &Wanted) -> Answer {
    match body {
        Value::Null => world.call(token, method, path, None),
        body => world.send(token, method, path, body),
    }
}

fn asked(world: &World, token: &str, (method, path, body): &Wanted) -> Answer {
    let path = format!("{path}?dry_run=true");
    call(world, token, &(*method, path, body.clone()))
}

/// One of each kind, each after what it needs.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn everything() -> Vec<Wanted> {
    let key: Value = serde_json::from_str(KEY).unwrap();
    let entry =
        json!({"id": "web", "spiffe_id": "spiffe://new.test/web", "selectors": ["unix:uid:7"]});
    let pin = "spki-sha256:0707070707070707070707070707070707070707070707070707070707070707";
    vec![
        at("POST", "", json!({"name": "new"})),
        at("POST", "/new/trust-domains", json!({"name": "new.test"})),
        at("PUT", "/new/quota", json!({"entries": 9})),
        at(
            "PUT",
            "/new/admins/anna",
            json!({"subject": "spiffe://new.test/anna", "role": "registrar"}),
        ),
        at(
            "PUT",
            "/new/anchors/partner",
            json!({"trust_domain": "partner.test", "bundle": {"keys": []}}),
        ),
        at(
            "PUT",
            "/new/federations/far.test",
            json!({"url": "https://far.test/bundle", "profile": "https_web"}),
        ),
        at(
            "PUT",
            "/new/issuers/ci",
            json!({
                "issuer": "https://ci.example.com", "audiences": ["avouch"], "jwks": {"keys": [key]},
                "rules": [{"name": "deploy", "facts": {"subject": "deployer"}}],
            }),
        ),
        at(
            "PUT",
            &format!("/new/issuers/ci/pins/{pin}"),
            json!({
                "mode": "vestigial", "owner": "us", "reason": "told by its operator",
                "expires": "2099-01-31",
            }),
        ),
        at(
            "PUT",
            "/new/services/shop",
            json!({"models": ["pki"], "audiences": ["shop"]}),
        ),
        at(
            "PUT",
            "/new/signals/idp",
            json!({"issuer": "https://idp.example.com", "owner": "us", "reason": "sessions"}),
        ),
        at(
            "PUT",
            "/new/receivers/billing",
            json!({
                "subject": "spiffe://new.test/billing", "audience": "https://billing.new.test",
                "owner": "us", "reason": "it ends its own sessions",
            }),
        ),
        at(
            "PUT",
            "/new/attestors/machines",
            json!({
                "method": "sshpop", "domains": ["machines.test"],
                "authorities": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBX/2ks0OxHHiJvW2LDjcbZGdTbYsbXTHv8oP2KPKCPv"],
            }),
        ),
        at(
            "PUT",
            "/new/egress/stripe",
            json!({
                "url": "https://api.stripe.com", "key": "rk_live_of_the_shop",
                "rules": [{"ids": ["spiffe://new.test/billing"], "methods": ["GET"], "paths": ["/v1"]}],
            }),
        ),
        at(
            "PUT",
            "/new/rules/deploy",
            json!({
                "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": "/deployer"}},
                "gives": {"spiffe_id": "spiffe://new.test/deploy", "audiences": ["vault"]},
                "owner": "us", "reason": "deployments",
            }),
        ),
        at("POST", "/new/entries", entry),
        at(
            "PUT",
            "/new/entries/web",
            json!({"spiffe_id": "spiffe://new.test/web2", "selectors": ["unix:uid:7"]}),
        ),
        at("DELETE", "/new/entries/web", Value::Null),
        at("DELETE", "/new/rules/deploy", Value::Null),
        at("DELETE", "/new/receivers/billing", Value::Null),
        at("DELETE", "/new/signals/idp", Value::Null),
        at("DELETE", "/new/services/shop", Value::Null),
        at("DELETE", "/new/issuers/ci", Value::Null),
        at("DELETE", "/new/federations/far.test", Value::Null),
        at("DELETE", "/new/anchors/partner", Value::Null),
    ]
}

/// The number of the last change of each tenant, which every change of any moves.
fn heads(world: &World) -> Vec<(String, Sequence)> {
    let heads = world.plane.heads().unwrap().into_iter();
    heads.map(|(id, head)| (id.to_string(), head)).collect()
}

#[test]
fn what_is_in_order_is_not_stored_in_a_dry_run_and_is_without() {
    let world = World::new();
    let token = world.operator();
    let described = world.get("/openapi.json").json();
    let mut rehearsed = 0;
    for wanted in everything() {
        let before = heads(&world);
        let answer = asked(&world, &token, &wanted);
        let told = (answer.status, answer.json());
        assert_eq!(told, (200, json!({"dry_run": true})), "{wanted:?}");
        assert_eq!(answer.header("location"), None);
        assert_eq!(heads(&world), before, "{wanted:?}");
        let done = call(&world, &token, &wanted);
        assert!((200..300).contains(&done.status), "{wanted:?}: {done:?}");
        assert_ne!(heads(&world), before, "{wanted:?}");
        rehearsed += 1;
    }
    // These are all that may be asked so.
    let paths = described["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let may =
        operations.filter(|operation| operation["parameters"].to_string().contains("dry_run"));
    assert_eq!(may.count(), rehearsed);
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn what_would_be_refused_is_refused_in_a_dry_run_with_the_same_words() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    for role in [Role::Auditor, Role::Registrar] {
        let id = SpiffeId::parse(&format!("spiffe://one.test/{}", role.name())).unwrap();
        world.plane.put_admin(&one, role.name(), id, role).unwrap();
    }
    let operator = world.operator();
    let own = |role: &str| world.token(&format!("spiffe://one.test/{role}"));
    let (auditor, registrar) = (own("auditor"), own("registrar"));
    let quota = at(
        "PUT",
        "/one/quota",
        json!({"trust_domains": 1, "entries": 3}),
    );
    assert_eq!(call(&world, &operator, &quota).status, 200);
    let entry = |id: &str| json!({"id": id, "spiffe_id": id, "selectors": ["unix:uid:7"]});
    let here = json!({"id": "a", "spiffe_id": "spiffe://one.test/a", "selectors": ["unix:uid:7"]});
    let stored = at("POST", "/one/entries", here.clone());
    assert_eq!(call(&world, &operator, &stored).status, 201);
    let more = json!({"spiffe_id": "spiffe://one.test/b", "selectors": ["unix:uid:7"]});
    let partner = json!({"trust_domain": "one.test", "bundle": {"keys": []}});
    let rule = json!({
        "from": {"anchor": "none", "facts": {"subject": "x"}},
        "gives": {"spiffe_id": "spiffe://one.test/x", "audiences": ["vault"]},
        "owner": "us", "reason": "x",
    });
    let issuer =
        json!({"issuer": "https://token.actions.githubusercontent.com", "audiences": ["a"]});
    let anna =
        |domain: &str| json!({"subject": format!("spiffe://{domain}/anna"), "role": "registrar"});
    let before = heads(&world);
    for (token, wanted, code) in [
        (&auditor, stored.clone(), "issue.not_permitted"),
        (
            &registrar,
            at("PUT", "/one/anchors/x", partner.clone()),
            "issue.not_permitted",
        ),
        (
            &registrar,
            at("PUT", "/two/entries/x", more.clone()),
            "issue.object_unknown",
        ),
        (&operator, stored, "issue.conflict"),
        (
            &operator,
            at("PUT", "/one/entries/b", more.clone()),
            "issue.quota_exceeded",
        ),
        (
            &operator,
            at("POST", "/one/entries", entry("b")),
            "spiffe.id_invalid",
        ),
        (
            &operator,
            at("PUT", "/one/anchors/x", partner),
            "issue.conflict",
        ),
        (
            &operator,
            at("PUT", "/one/rules/x", rule),
            "policy.rule_invalid",
        ),
        (
            &operator,
            at("PUT", "/one/issuers/x", issuer),
            "policy.shared_issuer_unpinned",
        ),
        (
            &operator,
            at("PUT", "/one/admins/x", anna("far.test")),
            "issue.object_unknown",
        ),
        (
            &operator,
            at("PUT", "/one/services/x", json!({"x": 1})),
            "issue.body_malformed",
        ),
        // What is another's only the store knows for certain.
        (
            &operator,
            at("POST", "/two/trust-domains", json!({"name": "one.test"})),
            "issue.conflict",
        ),
        (
            &operator,
            at("POST", "/one/trust-domains", json!({"name": "b.test"})),
            "issue.quota_exceeded",
        ),
        (
            &operator,
            at("POST", "", json!({"name": "one"})),
            "issue.conflict",
        ),
        (
            &operator,
            at(
                "POST",
                "",
                json!({"name": "x", "parent": "one", "trust_domain": "x.test"}),
            ),
            "issue.quota_exceeded",
        ),
    ] {
        let dry = asked(&world, token, &wanted);
        let done = call(&world, token, &wanted);
        assert_eq!(dry.without_ids(), done.without_ids(), "{wanted:?}");
        assert_eq!(dry.status, done.status);
        assert_eq!(done.code(), code, "{wanted:?}: {done:?}");
    }
    assert_eq!(heads(&world), before);
}

#[test]
fn each_of_a_batch_is_answered_and_none_is_stored() {
    let world = World::new();
    let token = world.operator();
    let entry = |id: &str, domain: &str| json!({"id": id, "spiffe_id": format!("spiffe://{domain}/{id}"), "selectors": ["unix:uid:7"]});
    let batch = json!({"entries": [entry("a", "one.test"), entry("b", "far.test"), entry("a", "one.test")]});
    let wanted = at("POST", "/one/entries", batch);
    let before = heads(&world);
    let dry = asked(&world, &token, &wanted).json();
    assert_eq!(heads(&world), before);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(
        dry["answers"][0]["entry"]["spiffe_id"],
        "spiffe://one.test/a"
    );
    let codes = |told: &Value| {
        let answers = told["answers"].as_array().unwrap().iter();
        answers
            .map(|one| one["problem"].clone())
            .collect::<Vec<_>>()
    };
    let done = call(&world, &token, &wanted).json();
    assert_eq!(codes(&dry), codes(&done));
    assert!(codes(&dry)[0].is_null() && !codes(&dry)[1].is_null() && !codes(&dry)[2].is_null());
}

#[test]
fn where_nothing_can_be_asked_without_being_done_a_dry_run_is_refused_and_nothing_done() {
    let world = World::new();
    let token = world.operator();
    let described = world.get("/openapi.json").json();
    let before = heads(&world);
    let mut refused = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            // What is passed on to others is theirs.
            if operation["parameters"].to_string().contains("dry_run")
                || path.contains("{path}")
                || path.contains("webhooks")
            {
                continue;
            }
            let path = path.replace("{tenant}", "one").replace(['{', '}'], "");
            let asked = format!("{path}?dry_run=true");
            let answer = world.call(&token, &method.to_uppercase(), &asked, Some("{}"));
            assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
            assert!(
                answer.body.contains("dry_run"),
                "{method} {path}: {answer:?}"
            );
            refused += 1;
        }
    }
    assert!(refused > 60, "{refused}");
    let odd = world.call(
        &token,
        "DELETE",
        "/v1/tenants/one/rules/x?dry_run=yes",
        None,
    );
    assert_eq!(
        (odd.status, odd.code().as_str()),
        (400, "issue.body_malformed")
    );
    assert_eq!(heads(&world), before);
}
