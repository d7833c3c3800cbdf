//! What a trust in an issuer must say before it is saved.

use avouch_core::id::TenantId;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{Change, Object, Store};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use crate::registry::{AUDIENCE, Registry, with};
use crate::world::World;

/// Whoever saves a trust says whom it believes, or why not and until when.
#[test]
fn an_issuer_alone_is_not_trusted_without_a_reason_and_an_end() {
    let registry = Registry::new();
    let key = jwks(&[jwk(&Key::p256("people"), "k")]);
    let bare = json!({
        "issuer": "https://login.example.com", "audiences": [AUDIENCE], "jwks": key,
    });
    let anchor =
        |document: &Value| registry.call("PUT", "/v1/tenants/one/anchors/by-hand", Some(document));
    let ruled = |facts: Value| {
        with(
            bare.clone(),
            json!({"rules": [{"name": "r", "facts": facts}]}),
        )
    };
    for document in [
        bare.clone(),
        ruled(json!({"subject": {"pattern": "*"}})),
        ruled(json!({"subject": {"pattern": "*/**"}})),
    ] {
        for refused in [registry.put("people", &document), anchor(&document)] {
            assert_eq!(refused.status, 400, "{document}: {}", refused.body);
            assert_eq!(refused.code(), "issue.trust_unconditional", "{document}");
        }
    }
    let told = registry.put("people", &bare).json()["detail"].clone();
    let told = told.as_str().unwrap();
    assert!(
        told.contains("everyone whose tokens https://login.example.com signs"),
        "{told}"
    );
    // Nothing of it was kept.
    let shown = registry.call("GET", "/v1/tenants/one/issuers/people", None);
    assert_eq!(shown.status, 404);
    let ends = json!({"reason": "a pilot", "expires": "2027-01-16T00:00:00Z"});
    for document in [
        ruled(json!({"claims.group": "staff"})),
        ruled(json!({"subject": {"pattern": "staff/*"}})),
        with(bare.clone(), json!({ "override": ends })),
    ] {
        let saved = registry.put("people", &document);
        assert!(saved.is_put(), "{document}: {}", saved.body);
    }
    registry.call("DELETE", "/v1/tenants/one/issuers/people", None);
    for document in [
        ruled(json!({"claims.group": "staff"})),
        with(bare.clone(), json!({ "unpinned": ends })),
    ] {
        let saved = anchor(&document);
        assert!(saved.is_put(), "{document}: {}", saved.body);
    }
    // A cluster is its owner's, whoever comes out of it.
    let cluster = json!({
        "issuer": "https://kubernetes.default.svc.cluster.local", "jwks": key,
    });
    assert!(registry.put("cluster", &cluster).is_put());
}

/// Okta, Entra and Keycloak send the groups of someone as a list.
#[test]
fn a_group_is_asked_for_by_name_and_what_is_saved_says_so() {
    let registry = Registry::new();
    let key = Key::p256("people");
    let put = |issuer: &str, matcher: Value| {
        let document = json!({
            "issuer": issuer, "audiences": [AUDIENCE], "jwks": jwks(&[jwk(&key, "k")]),
            "rules": [{"name": "admins", "facts": {"claims.groups": matcher}}],
        });
        let put = registry.put("people", &document);
        assert!(put.is_put(), "{}", put.body);
        put.json()
    };
    let of = |issuer: &str, groups: Value| {
        let at = registry.now();
        let claims = json!({
            "iss": issuer, "sub": "00u1", "aud": AUDIENCE, "iat": at, "exp": at + 300,
            "groups": groups,
        });
        TokenForge::saying(claims).sign(&key, "k")
    };
    for issuer in ["https://login.example.com", "https://acme.okta.com"] {
        let saved = put(issuer, json!({"has": "admins"}));
        let admits = "admins: every token whose claims.groups has `admins`";
        assert_eq!(saved["admits"], json!([admits]), "{saved}");
        assert_eq!(saved["warnings"], json!([]), "{saved}");
        let verdict = registry.verdict("one", &of(issuer, json!(["users", "admins"])));
        assert_eq!(verdict["verdict"], "accept", "{verdict}");
        let lists = &verdict["identity"]["lists"];
        assert_eq!(lists["claims.groups"], json!(["admins", "users"]));
        for groups in [
            json!("admins"),
            json!(["Admins"]),
            json!([["admins"]]),
            json!(["admins", 7]),
            json!(vec!["admins"; 1_000]),
            json!([]),
        ] {
            let decided = registry.decide(&of(issuer, groups.clone()));
            assert_eq!(decided, "policy.rule_not_matched", "{groups}");
        }
        // Who asks for a text is told that there is a list, and what it would take.
        let saved = put(issuer, json!("admins"));
        let warned = saved["warnings"][0].as_str().unwrap();
        assert!(
            warned.contains("claims.groups is asked for as one text"),
            "{warned}"
        );
        let verdict = registry.verdict("one", &of(issuer, json!(["admins"])));
        let told = verdict.to_string();
        assert!(
            told.contains("seen a list; ask for one of its values with `has`"),
            "{told}"
        );
        assert!(
            told.contains("every token whose claims.groups has `admins`"),
            "{told}"
        );
    }
}

/// What is refused as an issuer is not saved as an anchor either.
#[test]
fn an_anchor_put_by_hand_trusts_no_name_alone() {
    let registry = Registry::new();
    let anchor = |facts: Value, more: Value| {
        let document = json!({
            "issuer": "https://gitlab.example.com", "preset": "gitlab",
            "jwks": jwks(&[jwk(&Key::p256("gitlab"), "k")]),
            "rules": [{"name": "build", "facts": facts}],
        });
        let document = with(document, more);
        registry.call("PUT", "/v1/tenants/one/anchors/gitlab", Some(&document))
    };
    let name = json!({"gitlab.project_path": "my-group/my-project"});
    let refused = anchor(name.clone(), json!({}));
    assert_eq!(refused.code(), "issue.trust_mutable", "{}", refused.body);
    let listed = registry.call("GET", "/v1/tenants/one/anchors", None).json();
    assert_eq!(listed["anchors"], json!([]));
    let ends = json!({"reason": "until the id is known", "expires": "2027-01-16T00:00:00Z"});
    assert!(anchor(name, json!({ "unpinned": ends })).is_put());
    let by_id = json!({"gitlab.project_id": "20", "gitlab.project_path": "my-group/my-project"});
    assert!(anchor(by_id, json!({})).is_put());
}

/// Who trusts by a name since a time when that was saved can still replace a stolen key.
#[test]
fn what_is_trusted_already_is_saved_with_other_keys_and_no_other_rule() {
    let world = World::new();
    let path = "/v1/tenants/one/issuers/people";
    let document = |key: &str, facts: Value| {
        json!({
            "issuer": "https://login.example.com", "audiences": [AUDIENCE],
            "jwks": jwks(&[jwk(&Key::p256(key), key)]), "rules": [{"name": "r", "facts": facts}],
        })
    };
    let put =
        |world: &World, document: &Value| world.send(&world.operator(), "PUT", path, document);
    let saved = put(
        &world,
        &document("old", json!({"subject": "anna@example.com"})),
    );
    assert!(saved.is_put(), "{}", saved.body);
    let world = trusting_a_mail(world);
    let by_mail = json!({"claims.email": "anna@example.com"});
    let saved = put(&world, &document("new", by_mail));
    assert!(saved.is_put(), "{}", saved.body);
    let other = json!({"claims.email": "bert@example.com"});
    let refused = put(&world, &document("new", other));
    assert_eq!(refused.code(), "issue.trust_mutable", "{}", refused.body);
}

/// The same deployment where the issuer was saved with a rule that is refused today.
fn trusting_a_mail(mut world: World) -> World {
    let one = TenantId::parse("one").unwrap();
    let store = SqliteStore::open(world.folder()).unwrap();
    let mut record = store
        .load(&one)
        .unwrap()
        .issuers
        .into_values()
        .next()
        .unwrap();
    record.document = record.document.replace("\"subject\":", "\"claims.email\":");
    store
        .apply(&one, &[Change::Put(Object::Issuer(record))])
        .unwrap();
    world.restart();
    world
}

/// An exchange rule trusts a name no more than the rule of an issuer does.
#[test]
fn an_exchange_rule_trusts_no_name_alone_that_its_issuer_does_not_pin() {
    let registry = Registry::new();
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let path = "/v1/tenants/one/rules/deploy";
    let issuer = |facts: Value| {
        let document = json!({
            "issuer": "https://gitlab.example.com", "preset": "gitlab", "audiences": [AUDIENCE],
            "jwks": jwks(&[jwk(&Key::p256("gitlab"), "k")]),
            "rules": [{"name": "ours", "facts": facts}],
        });
        let put = registry.put("gitlab", &document);
        assert!(put.is_put(), "{}", put.body);
    };
    let rule = |facts: Value, more: Value| {
        let document = json!({
            "from": {"anchor": "gitlab", "facts": facts},
            "gives": {"spiffe_id": "spiffe://one.test/a", "audiences": ["https://cloud.test"]},
            "owner": "o", "reason": "r",
        });
        with(document, more)
    };
    let put = |rule: &Value| registry.call("PUT", path, Some(rule));
    let name = || json!({"gitlab.project_path": "g/p"});
    let by_name = rule(name(), json!({}));
    issuer(json!({"gitlab.namespace_path": "g", "gitlab.namespace_id": "7"}));
    // Its issuer pins whose projects these are.
    assert!(put(&by_name).is_put());
    registry.call("DELETE", path, None);
    issuer(json!({"claims.groups": {"has": "builders"}}));
    let refused = put(&by_name);
    assert_eq!(refused.code(), "issue.trust_mutable", "{}", refused.body);
    assert!(
        refused.body.contains("gitlab.project_id"),
        "{}",
        refused.body
    );
    let preview = "/v1/tenants/one/preview-rule";
    let told = registry.call("POST", preview, Some(&by_name)).json();
    assert_eq!(told["problem"]["code"], "issue.trust_mutable", "{told}");
    let acting = with(
        rule(json!({"gitlab.project_id": "20"}), json!({})),
        json!({"actors": [{"anchor": "gitlab", "facts": name()}]}),
    );
    assert_eq!(put(&acting).code(), "issue.trust_mutable");
    for pinned in [
        rule(
            json!({"gitlab.project_path": "g/p", "gitlab.project_id": "20"}),
            json!({}),
        ),
        rule(
            name(),
            json!({"unpinned": {"reason": "a pilot", "expires": "2027-01-16T00:00:00Z"}}),
        ),
    ] {
        let saved = put(&pinned);
        assert!(saved.is_put(), "{}", saved.body);
    }
    let names = |told: Value| told["remarks"].to_string();
    let remark = "gitlab.project_path asked for without one of";
    let pinned = rule(json!({"gitlab.project_id": "20"}), json!({}));
    assert!(!names(put(&pinned).json()).contains(remark));
    // What was stored when its issuer pinned more goes on, and may give something else.
    issuer(json!({"gitlab.namespace_path": "g", "gitlab.namespace_id": "7"}));
    assert!(put(&by_name).is_put());
    issuer(json!({"claims.groups": {"has": "builders"}}));
    let mut longer = by_name;
    longer["gives"]["lifetime"] = json!(600);
    let saved = put(&longer);
    assert!(saved.is_put(), "{}", saved.body);
    assert!(names(saved.json()).contains(remark), "{}", saved.body);
    longer["from"]["facts"] = json!({"gitlab.project_path": "g/q"});
    assert_eq!(put(&longer).code(), "issue.trust_mutable");
}

/// Whoever has the mail later would have the identity that is made of it.
#[test]
fn no_identity_is_made_of_a_name_alone_that_somebody_else_may_have_later() {
    let registry = Registry::new();
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let document = json!({
        "issuer": "https://login.test", "audiences": [AUDIENCE],
        "jwks": jwks(&[jwk(&Key::p256("login"), "k")]),
        "rules": [{"name": "ours", "facts": {"claims.groups": {"has": "builders"}}}],
    });
    let put = registry.put("login", &document);
    assert!(put.is_put(), "{}", put.body);
    let rule = |made_of: &str, facts: Value, more: Value| {
        let document = json!({
            "from": {"anchor": "login", "facts": facts},
            "gives": {"spiffe_id": format!("spiffe://one.test/{made_of}"), "audiences": ["https://cloud.test"]},
            "owner": "o", "reason": "r",
        });
        with(document, more)
    };
    let anyone = || json!({"claims.groups": {"has": "builders"}});
    let code = |rule: &Value| {
        let saved = registry.call("PUT", "/v1/tenants/one/rules/people", Some(rule));
        let told = match saved.status {
            200 | 201 => String::new(),
            _ => saved.code(),
        };
        registry.call("DELETE", "/v1/tenants/one/rules/people", None);
        told
    };
    let changeable = "issue.trust_mutable";
    let pattern = json!({"claims.email": {"pattern": "*"}, "claims.groups": {"has": "builders"}});
    let excused = json!({"unpinned": {"reason": "a pilot", "expires": "2027-01-16T00:00:00Z"}});
    for (made_of, facts, more, expected) in [
        ("{claims.email}", anyone(), json!({}), changeable),
        ("{claims.email}", pattern, json!({}), changeable),
        ("people/{claims.username}", anyone(), json!({}), changeable),
        ("{claims.email}", anyone(), excused, ""),
        ("{subject}", anyone(), json!({}), ""),
        ("{subject}/{claims.email}", anyone(), json!({}), ""),
        ("{claims.email}", json!({"subject": "7"}), json!({}), ""),
        ("{claims.department}", anyone(), json!({}), ""),
    ] {
        let rule = rule(made_of, facts, more);
        assert_eq!(code(&rule), expected, "{rule}");
    }
    // What is saved does not come to be made of one unnoticed.
    let path = "/v1/tenants/one/rules/people";
    let put = |rule: &Value| registry.call("PUT", path, Some(rule));
    assert!(put(&rule("{subject}", anyone(), json!({}))).is_put());
    let refused = put(&rule("{claims.email}", anyone(), json!({})));
    assert_eq!(refused.code(), changeable);
    assert!(refused.body.contains("claims.email"), "{}", refused.body);
}

/// The subject has a name of its own, whoever writes a rule.
#[test]
fn every_rule_on_the_claim_sub_says_what_to_write() {
    let registry = Registry::new();
    let issuer = |facts: Value| {
        json!({
            "issuer": "https://login.example.com", "audiences": [AUDIENCE],
            "jwks": jwks(&[jwk(&Key::p256("people"), "k")]),
            "rules": [{"name": "r", "facts": facts}],
        })
    };
    let saved = registry.put("people", &issuer(json!({"subject": "alice"})));
    assert!(saved.is_put(), "{}", saved.body);
    let exchange = json!({
        "from": {"anchor": "people", "facts": {"claims.sub": "alice"}},
        "gives": {"spiffe_id": "spiffe://one.test/a", "audiences": ["https://cloud.test"]},
        "owner": "o", "reason": "r",
    });
    for refused in [
        registry.put("people", &issuer(json!({"claims.sub": "alice"}))),
        registry.call("PUT", "/v1/tenants/one/rules/people", Some(&exchange)),
    ] {
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(
            refused.body.contains("is the fact `subject`: write that"),
            "{}",
            refused.body
        );
    }
}

/// What every subject of an issuer has, or may have, says nothing of who is meant.
#[test]
fn a_rule_that_names_nobody_in_particular_is_not_saved() {
    let registry = Registry::new();
    let put = |issuer: &str, facts: &Value, more: Value| {
        let document = json!({
            "issuer": issuer, "audiences": [AUDIENCE],
            "jwks": jwks(&[jwk(&Key::p256("k"), "k")]),
            "rules": [{"name": "r", "facts": facts}],
        });
        registry.put("i", &with(document, more))
    };
    let nothing = json!({});
    let entra = "https://login.microsoftonline.com/aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee/v2.0";
    let aws = "https://3f2a9c1e-8b7d-4c6a-9e5f-1a2b3c4d5e6f.tokens.sts.global.api.aws";
    let circle = "https://oidc.circleci.com/org/7";
    let enterprise = "https://token.actions.githubusercontent.com/acme";
    let dex = json!({"preset": "dex"});
    for (issuer, facts, more) in [
        (
            entra,
            json!({"entra.tenant_id": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "entra.identity_type": "app"}),
            &nothing,
        ),
        (
            circle,
            json!({"circleci.organization_id": "7", "circleci.ssh_rerun": "false"}),
            &nothing,
        ),
        (aws, json!({"aws.region": "eu-west-1"}), &nothing),
        (aws, json!({"aws.account_id": "123456789012"}), &nothing),
        (enterprise, json!({"github.event_name": "push"}), &nothing),
        (enterprise, json!({"claims.event_name": "push"}), &nothing),
        (
            "https://dex.example.com",
            json!({"dex.connector_id": "github"}),
            &dex,
        ),
    ] {
        let refused = put(issuer, &facts, more.clone());
        assert_eq!(
            refused.code(),
            "issue.trust_unconditional",
            "{facts}: {}",
            refused.body
        );
        let ends = json!({"reason": "a pilot", "expires": "2027-01-16T00:00:00Z"});
        let overridden = put(
            issuer,
            &facts,
            with(more.clone(), json!({ "override": ends })),
        );
        assert!(overridden.is_put(), "{facts}: {}", overridden.body);
        registry.call("DELETE", "/v1/tenants/one/issuers/i", None);
    }
    // The customer of an issuer of many is what has to be named, and the answer says whom that admits.
    let shared = put(
        "https://agent.buildkite.com",
        &json!({"buildkite.organization_id": "o-1"}),
        json!({}),
    );
    assert!(shared.is_put(), "{}", shared.body);
    assert_eq!(
        shared.json()["admits"][0],
        "r: every token with buildkite.organization_id = o-1: everyone of that customer \
         (buildkite.organization_id), whoever it is"
    );
    registry.call("DELETE", "/v1/tenants/one/issuers/i", None);
    let named = json!({"github.repository_id": "74", "github.event_name": "push"});
    let saved = put(enterprise, &named, json!({}));
    assert!(saved.is_put(), "{}", saved.body);
    assert!(
        !saved.body.contains("everyone of that customer"),
        "{}",
        saved.body
    );
}

/// Names that pass to another, by issuer and what else its document says, and an id for each.
fn names_and_ids() -> Vec<(&'static str, Value, Value, Value)> {
    let login = "https://login.example.com";
    let mail = |fact: &str| json!({ fact: "a@b.test" });
    let known = |issuer, name, id| (issuer, json!({}), name, id);
    let subject = || json!({"subject": "7"});
    vec![
        known(login, mail("claims.email"), subject()),
        known(login, json!({"claims.username": "a"}), subject()),
        known(login, json!({"claims.login": "a"}), subject()),
        known(
            login,
            json!({"claims.repository": "o/r"}),
            json!({"claims.repository_id": "74"}),
        ),
        known(
            login,
            json!({"claims.project_path": "g/p"}),
            json!({"claims.project_id": "20"}),
        ),
        known(
            "https://acme.okta.com",
            mail("okta.email"),
            json!({"okta.user_id": "00u1"}),
        ),
        known("https://acme.eu.auth0.com/", mail("auth0.email"), subject()),
        known("https://cloud.google.com/iap", mail("iap.email"), subject()),
        (
            login,
            json!({"preset": "dex"}),
            mail("dex.email"),
            json!({"dex.user_id": "1"}),
        ),
    ]
}

/// Mail is given to the next as names are, whoever has verified it.
#[test]
fn a_mail_or_a_name_alone_is_not_saved_on_whatever_issuer() {
    let registry = Registry::new();
    for (issuer, more, alone, id) in names_and_ids() {
        let put = |facts: &Value, more: Value| {
            let document = json!({
                "issuer": issuer, "audiences": [AUDIENCE],
                "jwks": jwks(&[jwk(&Key::p256("k"), "k")]),
                "rules": [{"name": "r", "facts": facts}],
            });
            registry.put("i", &with(document, more))
        };
        let refused = put(&alone, more.clone());
        assert_eq!(
            refused.code(),
            "issue.trust_mutable",
            "{alone}: {}",
            refused.body
        );
        let saved = put(&with(alone.clone(), id), more.clone());
        assert!(saved.is_put(), "{alone}: {}", saved.body);
        let ends = json!({"reason": "a pilot", "expires": "2027-01-16T00:00:00Z"});
        let overridden = put(&alone, with(more, json!({ "override": ends })));
        assert!(overridden.is_put(), "{alone}: {}", overridden.body);
        registry.call("DELETE", "/v1/tenants/one/issuers/i", None);
    }
}

#[test]
fn what_could_never_be_believed_is_not_saved() {
    let registry = Registry::new();
    let key = jwk(&Key::p256("people"), "k");
    let document = |key: Value, more: Value| {
        let anchor = json!({
            "issuer": "https://login.example.com", "audiences": [AUDIENCE], "jwks": {"keys": [key]},
            "rules": [{"name": "r", "facts": {"claims.group": "staff"}}],
        });
        with(anchor, more)
    };
    let put = |document: &Value| {
        let by_hand = registry.call("PUT", "/v1/tenants/one/anchors/by-hand", Some(document));
        [by_hand, registry.put("people", document)]
    };
    let over = json!({"expires": "2027-01-15T07:59:59Z"});
    for (document, code) in [
        (
            document(with(key.clone(), json!({"use": "enc"})), json!({})),
            "input.jwks_malformed",
        ),
        (document(key.clone(), over), "issue.object_malformed"),
    ] {
        for refused in put(&document) {
            assert_eq!(refused.status, 400, "{document}: {}", refused.body);
            assert_eq!(refused.code(), code, "{document}: {}", refused.body);
        }
    }
    // The digest of nothing, and of a key.
    let digests = [
        (
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            400,
        ),
        (
            "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            201,
        ),
    ];
    for (digest, status) in digests {
        let anchor = json!({"api_key": {"sha256": digest, "subject": "backup"}});
        let answer = registry.call("PUT", "/v1/tenants/one/anchors/key", Some(&anchor));
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    // The near miss.
    let soon = json!({"expires": "2027-01-15T08:00:01Z"});
    for saved in put(&document(key, soon)) {
        assert!(saved.is_put(), "{}", saved.body);
    }
}
