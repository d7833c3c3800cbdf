//! Clusters of Kubernetes that are believed by their keys.

use avouch_testkit::issuer::{IssuerServer, kubernetes};
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use crate::registry::{AUDIENCE, Registry, document, with};

#[test]
fn a_cluster_is_trusted_by_its_keys_and_the_account_by_its_uid() {
    let registry = Registry::new();
    let issuer = IssuerServer::named("https://kubernetes.default.svc.cluster.local");
    let key = Key::rsa(RsaTestKey::B);
    issuer.publish(&[(&key, "k-k")]);
    let rules = |facts: Value| json!([{"name": "shell", "facts": facts}]);
    let uid = json!({"k8s.service_account_uid": "e6a8680e-0000-4000-8000-000000000003"});
    let wanted = with(
        document(&issuer),
        json!({
            "jwks_url": issuer.server().url("/jwks"), "rules": rules(uid),
        }),
    );
    let told = registry.put("cluster", &wanted).json();
    assert_eq!(
        (&told["state"], &told["preset"]),
        (&json!("ok"), &json!("kubernetes"))
    );
    let pod = issuer
        .token(registry.now(), &kubernetes())
        .sign(&key, "k-k");
    assert_eq!(registry.decide(&pod), "accept");
    // Another cluster calls itself the same, and has other keys.
    let other = issuer
        .token(registry.now(), &kubernetes())
        .sign(&Key::rsa(RsaTestKey::C), "k-k");
    assert_eq!(registry.decide(&other), "federation.signature_invalid");
    // The account was deleted and made anew.
    let mut anew = kubernetes();
    anew["kubernetes.io"]["serviceaccount"]["uid"] = "99999999-0000-4000-8000-000000000003".into();
    let anew = issuer.token(registry.now(), &anew).sign(&key, "k-k");
    assert_eq!(registry.decide(&anew), "policy.rule_not_matched");
}

/// The claims of another account.
fn third_of(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims["sub"] = json!(format!("system:serviceaccount:default:{name}"));
    claims["kubernetes.io"]["serviceaccount"]["name"] = json!(name);
    claims
}

#[test]
fn hostile_40_two_clusters_of_one_name_are_told_apart_by_their_keys_and_are_two_issuers() {
    let registry = Registry::new();
    let named = "https://kubernetes.default.svc.cluster.local";
    let (blue, green) = (IssuerServer::named(named), IssuerServer::named(named));
    // Also where both call their keys the same.
    let keys = [Key::rsa(RsaTestKey::A), Key::rsa(RsaTestKey::B)];
    blue.publish(&[(&keys[0], "k-k")]);
    green.publish(&[(&keys[1], "k-k")]);
    let wanted = |issuer: &IssuerServer, more: Value| {
        let rules = json!([{"name": "shell", "facts": {"k8s.namespace": "default"}}]);
        let found = json!({"jwks_url": issuer.server().url("/jwks"), "rules": rules});
        with(with(document(issuer), found), more)
    };
    assert_eq!(
        registry.put("blue", &wanted(&blue, json!({}))).json()["state"],
        "ok"
    );
    let second = wanted(&green, json!({"cluster": "green"}));
    let unsaid = registry.put("green", &wanted(&green, json!({})));
    assert_eq!(unsaid.code(), "issue.conflict");
    for way in ["`cluster`", "`--service-account-issuer`", "as `blue`"] {
        assert!(unsaid.body.contains(way), "{way}: {}", unsaid.body);
    }
    let told = registry.put("green", &second).json();
    assert_eq!(
        (&told["state"], &told["issuer"]),
        (&json!("ok"), &json!(format!("{named}#green")))
    );
    let token = |issuer: &IssuerServer, key: &Key| {
        issuer.token(registry.now(), &kubernetes()).sign(key, "k-k")
    };
    let (of_blue, of_green) = (token(&blue, &keys[0]), token(&green, &keys[1]));
    let by = |token: &str| {
        let verdict = registry.verdict("one", token);
        assert_eq!(verdict["verdict"], "accept", "{verdict}");
        let (anchor, by) = (&verdict["anchor"]["name"], &verdict["path"][0]["by"]);
        [anchor, by].map(|text| text.as_str().unwrap().to_owned())
    };
    assert_eq!(by(&of_blue), ["blue".to_owned(), named.to_owned()]);
    assert_eq!(
        by(&of_green),
        ["green".to_owned(), format!("{named}#green")]
    );
    let of_neither = token(&blue, &Key::rsa(RsaTestKey::C));
    assert_eq!(registry.decide(&of_neither), "federation.signature_invalid");
    // What is done to one is not done to the other.
    let ended = json!({
        "issuer": format!("{named}#green"), "subject": kubernetes()["sub"], "reason": "a test",
    });
    let end = registry.call("POST", "/v1/tenants/one/ended", Some(&ended));
    assert!(end.status < 300, "{}", end.body);
    assert_ne!(registry.decide(&of_green), "accept");
    assert_eq!(registry.decide(&of_blue), "accept");
    let cause = json!({"reason": "the cluster is lost"});
    let path = "/v1/tenants/one/issuers/blue/quarantine";
    registry.call("POST", path, Some(&cause));
    assert_ne!(registry.decide(&of_blue), "accept");
    let others = json!({"k8s.namespace": "default"});
    let third = third_of(&kubernetes(), "other");
    let third = green.token(registry.now(), &third).sign(&keys[1], "k-k");
    assert_eq!(registry.decide(&third), "accept", "{others}");
    // No other kind of issuer shares its name.
    let wrong = json!({
        "issuer": "https://idp.example.com", "cluster": "green", "audiences": [AUDIENCE],
        "jwks": jwks(&[jwk(&Key::p256("idp"), "k")]),
        "rules": [{"name": "x", "facts": {"subject": "x"}}],
    });
    assert_eq!(registry.put("idp", &wrong).code(), "issue.body_malformed");
    for name in ["", "a b", "a#b", "a/b"] {
        let wrong = wanted(&green, json!({ "cluster": name }));
        assert_eq!(
            registry.put("green", &wrong).code(),
            "issue.body_malformed",
            "{name}"
        );
    }
}

/// Nothing is promised of several that could not be told apart.
#[test]
fn hostile_40_lists_and_events_are_of_one_cluster_that_is_named() {
    let registry = Registry::new();
    let named = "https://kubernetes.default.svc.cluster.local";
    let called = format!("{named}#green");
    let green = IssuerServer::named(named);
    let (key, teller) = (Key::rsa(RsaTestKey::A), Key::p256("teller"));
    green.publish(&[(&key, "k-k")]);
    let rules = json!([{"name": "shell", "facts": {"k8s.namespace": "default"}}]);
    let found = json!({
        "cluster": "green", "jwks_url": green.server().url("/jwks"), "rules": rules,
    });
    let wanted = with(document(&green), found);
    let lists = json!({"status_list_hosts": ["lists.example.com"]});
    let lists = registry.put("green", &with(wanted.clone(), lists));
    assert_eq!(lists.code(), "issue.body_malformed", "{}", lists.body);
    let early = json!({
        "issuer": "https://early.test", "of": named, "jwks": jwks(&[jwk(&teller, "t")]),
        "audience": [AUDIENCE],
    });
    let put = registry.call("PUT", "/v1/tenants/one/signals/early", Some(&early));
    assert!(put.is_put(), "{}", put.body);
    assert_eq!(registry.put("green", &wanted).json()["state"], "ok");
    let stream = |document: Value| {
        let put = registry.call("PUT", "/v1/tenants/one/signals/events", Some(&document));
        (put.status, put.body)
    };
    let (status, said) = stream(json!({"issuer": named}));
    assert_eq!(status, 400, "{said}");
    assert!(said.contains(&called), "{said}");
    let (status, said) = stream(json!({"issuer": named, "of": called}));
    assert_eq!(status, 400, "{said}");
    let (status, said) = stream(json!({
        "issuer": "https://teller.test", "of": called, "jwks": jwks(&[jwk(&teller, "t")]),
        "audience": [AUDIENCE],
    }));
    assert_eq!(status, 201, "{said}");
    // What that tells of the cluster ends.
    let token = green.token(registry.now(), &third_of(&kubernetes(), "last"));
    let token = token.sign(&key, "k-k");
    assert_eq!(registry.decide(&token), "accept");
    let now = registry.now();
    let event = |by: &str, of: &str| {
        let event = TokenForge::saying(json!({
            "iss": by, "aud": AUDIENCE, "iat": now, "jti": "event-1",
            "sub_id": {"format": "iss_sub", "iss": of, "sub": "system:serviceaccount:default:last"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked":
                {"event_timestamp": now}},
        }));
        let event = event.header("typ", json!("secevent+jwt"));
        registry.post_event("one", &event.sign(&teller, "t"))
    };
    // A stream that was there before the clusters is heard no more.
    let unheard = event("https://early.test", named);
    assert_eq!(unheard.status, 400, "{}", unheard.body);
    assert_eq!(registry.decide(&token), "accept");
    let posted = event("https://teller.test", &called);
    assert_eq!(posted.status, 202, "{}", posted.body);
    assert_ne!(registry.decide(&token), "accept");
}
