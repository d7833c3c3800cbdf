//! What stops with an issuer, by someone's word or because it is away: exactly what was predicted.

use std::sync::Barrier;

use avouch_testkit::https::response;
use avouch_testkit::issuer::{DISCOVERY, IssuerServer};
use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::registry::{AUDIENCE, Registry, document, token, trusted, with};

#[test]
fn a_release_is_for_what_was_looked_at_and_for_nothing_that_came_after() {
    let mut registry = Registry::new();
    let (issuer, _) = trusted(&registry);
    let (moved, thief) = (Key::p256("moved"), Key::p256("thief"));
    registry.pass(601);
    issuer.publish(&[(&moved, "k-m")]);
    registry.tick();
    let looked_at = registry.show("ci");
    assert_eq!(looked_at["waiting_keys"][0]["kid"], "k-m", "{looked_at}");
    let etag = looked_at["etag"].as_str().unwrap().to_owned();
    // Before the word is said, someone else publishes there.
    registry.pass(601);
    issuer.publish(&[(&thief, "k-t")]);
    registry.tick();
    let path = "/v1/tenants/one/issuers/ci/release";
    let released = registry.call("POST", path, Some(&json!({ "etag": etag })));
    assert_eq!(released.status, 409, "{}", released.body);
    assert_eq!(released.code(), "issue.release_stale");
    let of_thief = token(&registry, &issuer, &thief, "k-t");
    assert_eq!(registry.decide(&of_thief), "federation.issuer_quarantined");
    // Without saying what was looked at, nothing is released either.
    for body in [json!({}), json!({"etag": ""})] {
        let released = registry.call("POST", path, Some(&body));
        assert!((400..=409).contains(&released.status), "{}", released.body);
        assert_eq!(registry.show("ci")["state"], "quarantined");
    }
    // The near miss: what waits is looked at again, and is what was meant.
    registry.pass(601);
    issuer.publish(&[(&moved, "k-m")]);
    registry.tick();
    assert_eq!(registry.release("ci").json()["state"], "ok");
    let of_moved = token(&registry, &issuer, &moved, "k-m");
    assert_eq!(registry.decide(&of_moved), "accept");
    assert_eq!(registry.show("ci")["etag"], Value::Null);
}

#[test]
fn another_key_under_a_known_name_is_released_only_as_it_was_looked_at() {
    let mut registry = Registry::new();
    let (issuer, _) = trusted(&registry);
    let (renewed, forged) = (Key::p256("renewed"), Key::p256("forged"));
    registry.pass(601);
    issuer.publish(&[(&renewed, "k-a")]);
    registry.tick();
    let etag = registry.show("ci")["etag"].clone();
    registry.pass(601);
    issuer.publish(&[(&forged, "k-a")]);
    registry.tick();
    let path = "/v1/tenants/one/issuers/ci/release";
    let released = registry.call("POST", path, Some(&json!({ "etag": etag })));
    assert_eq!(released.code(), "issue.release_stale");
    for key in [&renewed, &forged] {
        let token = token(&registry, &issuer, key, "k-a");
        assert_eq!(registry.decide(&token), "federation.key_changed");
    }
}

/// What descends from it would be believed again otherwise, and a thief who may register issuers would have a
/// way around the release.
#[test]
fn a_quarantine_outlives_its_issuer() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let good = || token(&registry, &issuer, &key, "k-a");
    let by_hand = with(
        document(&issuer),
        json!({"jwks": jwks(&[jwk(&key, "k-a")])}),
    );
    let mut by_hand = by_hand;
    for of_issuers in ["ca", "refresh_every", "override"] {
        by_hand.as_object_mut().unwrap().remove(of_issuers);
    }
    let ends = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    by_hand["unpinned"] = ends;
    let cause = json!({"reason": "its key may be stolen"});
    let path = "/v1/tenants/one/issuers/ci/quarantine";
    registry.call("POST", path, Some(&cause));
    let quarantined = "federation.issuer_quarantined";
    assert_eq!(registry.decide(&good()), quarantined);
    let removed = registry.call("DELETE", "/v1/tenants/one/issuers/ci", None);
    assert_eq!(removed.status, 204, "{}", removed.body);
    // By whatever anchor, and by whatever name it comes again.
    let path = "/v1/tenants/one/anchors/by-hand";
    let put = registry.call("PUT", path, Some(&by_hand));
    assert!(put.is_put(), "{}", put.body);
    assert_eq!(registry.decide(&good()), quarantined);
    registry.call("DELETE", path, None);
    let other = with(document(&issuer), json!({"issuer": "https://other.test"}));
    assert_eq!(registry.put("ci", &other).code(), "issue.conflict");
    for name in ["again", "ci"] {
        assert!(registry.put(name, &document(&issuer)).is_put());
        let shown = registry.show(name);
        assert_eq!(shown["state"], "quarantined", "{shown}");
        assert_eq!(registry.decide(&good()), quarantined);
        let path = format!("/v1/tenants/one/issuers/{name}");
        registry.call("DELETE", &path, None);
    }
    // The near miss: it is released, and removed without one.
    assert!(registry.put("ci", &document(&issuer)).is_put());
    assert_eq!(registry.release("ci").json()["state"], "ok");
    assert_eq!(registry.decide(&good()), "accept");
    registry.call("DELETE", "/v1/tenants/one/issuers/ci", None);
    assert!(registry.put("ci", &document(&issuer)).is_put());
    assert_eq!(registry.decide(&good()), "accept");
}

#[test]
fn other_settings_never_end_a_quarantine_that_is_stored_at_the_same_moment() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let good = token(&registry, &issuer, &key, "k-a");
    let tenant = registry.plane.tenant_named("one").unwrap().unwrap();
    let text = document(&issuer).to_string();
    for round in 0..60 {
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                registry.plane.put_issuer(&tenant, "ci", &text).unwrap();
            });
            scope.spawn(|| {
                start.wait();
                let cause = "its signing key may be stolen";
                let put = registry.plane.quarantine_issuer(&tenant, "ci", cause);
                put.unwrap();
            });
        });
        assert_eq!(
            registry.decide(&good),
            "federation.issuer_quarantined",
            "round {round}"
        );
        assert_eq!(registry.release("ci").json()["state"], "ok");
    }
}

#[test]
fn hostile_19_names_that_a_stranger_makes_up_do_not_put_discovery_off() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let asked = |issuer: &IssuerServer| {
        let received = issuer.server().received();
        received.iter().filter(|one| one.path == DISCOVERY).count()
    };
    let before = asked(&issuer);
    // The issuer moves its keys; the old address goes on answering with a key that is withdrawn.
    let next = Key::p256("next");
    let keys = jwks(&[jwk(&key, "k-a"), jwk(&next, "k-n")]);
    let page = response(
        200,
        &[("cache-control", "max-age=600")],
        keys.to_string().as_bytes(),
    );
    issuer.page("/moved", page);
    let moved = json!({"jwks_uri": issuer.server().url("/moved")});
    issuer.discover(&with(issuer.discovery(), moved));
    for round in 0..25 {
        registry.pass(31);
        let made_up = token(&registry, &issuer, &key, &format!("made-up-{round}"));
        registry.decide(&made_up);
        registry.tick();
    }
    let looked = asked(&issuer) - before;
    assert!((1..=3).contains(&looked), "looked {looked} times");
    let fresh = token(&registry, &issuer, &next, "k-n");
    assert_eq!(registry.decide(&fresh), "accept");
}

/// Lets subjects of an anchor of the tenant `one` exchange their tokens.
fn rule(registry: &Registry, name: &str, members: Value) {
    let wanted = with(
        json!({
            "gives": {
                "spiffe_id": format!("spiffe://one.test/{name}"), "kinds": ["jwt-svid"],
                "audiences": ["https://cloud.test"], "lifetime": 600,
            },
            "subject_audiences": [AUDIENCE],
            "bearer": {"reason": "no key at hand", "expires": "2027-12-01T00:00:00Z"},
            "owner": "the platform team", "reason": "jobs",
        }),
        members,
    );
    let put = registry.call(
        "PUT",
        &format!("/v1/tenants/one/rules/{name}"),
        Some(&wanted),
    );
    assert!(put.is_put(), "{}", put.body);
}

/// Three anchors by which two issuers are believed, and three exchange rules.
struct Believed {
    ci: IssuerServer,
    other: IssuerServer,
    key: Key,
}

impl Believed {
    fn new(registry: &Registry) -> Self {
        let (ci, key) = trusted(registry);
        let other = IssuerServer::start();
        other.publish(&[(&key, "k-a")]);
        let put = registry.put("other", &document(&other));
        assert_eq!(put.json()["state"], "ok", "{}", put.body);
        let by_hand = json!({
            "issuer": ci.issuer(), "jwks": jwks(&[jwk(&key, "k-a")]), "audiences": ["by-hand"],
            "rules": [{"name": "jobs", "facts": {"subject": "x"}}],
        });
        registry.call("PUT", "/v1/tenants/one/anchors/by-hand", Some(&by_hand));
        let domain = json!({"name": "one.test"});
        registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
        let from = |anchor: &str, subject: &str| json!({"from": {"anchor": anchor, "facts": {"subject": subject}}});
        rule(registry, "deploy", from("ci", "deploy"));
        rule(registry, "build", from("ci", "build"));
        rule(registry, "report", from("other", "report"));
        Self { ci, other, key }
    }

    fn token(&self, registry: &Registry, issuer: &IssuerServer, subject: &str) -> String {
        let jti = format!("{subject} at {}", registry.plane.now().unix());
        let claims = json!({"sub": subject, "aud": AUDIENCE, "jti": jti});
        issuer.token(registry.now(), &claims).sign(&self.key, "k-a")
    }

    /// What is refused, by the names that a prediction uses, each once.
    fn refused(&self, registry: &Registry, code: &str) -> (Vec<String>, Vec<String>) {
        let mut anchors = Vec::new();
        let by_hand = json!({"sub": "x", "aud": "by-hand"});
        let by_hand = self
            .ci
            .token(registry.now(), &by_hand)
            .sign(&self.key, "k-a");
        let question = json!({"credential": {"jwt": by_hand}, "audience": ["by-hand"]});
        let verdict = registry
            .call("POST", "/t/one/decide", Some(&question))
            .json();
        if verdict["verdict"] != "accept" {
            anchors.push("by-hand".to_owned());
        }
        for (name, issuer) in [("ci", &self.ci), ("other", &self.other)] {
            let verdict = registry.verdict("one", &self.token(registry, issuer, "anyone"));
            if verdict["verdict"] != "accept" {
                // Another anchor of the same issuer has a reason of its own.
                assert!(verdict["attempts"].to_string().contains(code), "{verdict}");
                anchors.push(name.to_owned());
            }
        }
        let mut rules = Vec::new();
        let all = [
            ("build", &self.ci),
            ("deploy", &self.ci),
            ("report", &self.other),
        ];
        for (name, issuer) in all {
            let answer = registry.exchange(&self.token(registry, issuer, name));
            if answer.status != 200 {
                // Where the issuer is believed by hand for another audience, that is said first.
                let found = answer.json()["code"].as_str().unwrap().to_owned();
                assert!(
                    [code, "policy.anchor_audience"].contains(&found.as_str()),
                    "{found}"
                );
                rules.push(name.to_owned());
            }
        }
        (anchors, rules)
    }
}

/// What a prediction says that stops.
fn predicted(answer: &Value) -> (Vec<String>, Vec<String>) {
    let names = |list: &str, member: &str| {
        let list = answer[list].as_array().unwrap().iter();
        let mut names: Vec<String> = list
            .map(|one| one[member].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    (names("stops", "anchor"), names("exchange_rules", "rule"))
}

#[test]
fn a_quarantine_stops_exactly_what_was_predicted() {
    let mut registry = Registry::new();
    let believed = Believed::new(&registry);
    let nothing = (Vec::new(), Vec::new());
    assert_eq!(believed.refused(&registry, "none"), nothing);
    let reliance = registry
        .call("GET", "/v1/tenants/one/issuers/ci/reliance", None)
        .json();
    let stops = predicted(&reliance);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let expected: (Vec<String>, Vec<String>) =
        (names(&["by-hand", "ci"]), names(&["build", "deploy"]));
    assert_eq!(stops, expected);
    // What was exchanged a moment ago has ended by then.
    assert_eq!(
        reliance["exchanged_before"]["ends_by"],
        "2027-01-15T08:10:00Z"
    );
    // Each rule was used just now, and two of the three rest on this issuer.
    let alive = &reliance["alive"];
    assert_eq!(
        (&alive["count"], &alive["is_all"]),
        (&json!(2), &json!(true)),
        "{reliance}"
    );
    let subjects = alive["some"].to_string();
    assert!(subjects.contains("spiffe://one.test/build"), "{subjects}");
    assert!(!subjects.contains("spiffe://one.test/report"), "{subjects}");
    registry.pass(1);
    let cause = json!({"reason": "a drill"});
    let path = "/v1/tenants/one/issuers/ci/quarantine";
    let answer = registry.call("POST", path, Some(&cause)).json();
    assert_eq!(predicted(&answer), stops);
    let observed = believed.refused(&registry, "federation.issuer_quarantined");
    assert_eq!(observed, stops);
    registry.release("ci");
    registry.pass(1);
    assert_eq!(believed.refused(&registry, "none"), nothing);
}

#[test]
fn an_issuer_that_is_away_stops_exactly_what_was_predicted_when_it_was_predicted() {
    let mut registry = Registry::new();
    let believed = Believed::new(&registry);
    let short = with(document(&believed.ci), json!({"stale_for": 3_600}));
    assert_eq!(registry.put("ci", &short).json()["state"], "ok");
    // Both begin anew at this moment, and the one is down from now on.
    registry.call("POST", "/v1/tenants/one/issuers/ci/refresh", None);
    believed.ci.page("/jwks", response(503, &[], b"{}"));
    let impact = |time: &str| {
        let path = format!("/v1/tenants/one/issuers/ci/impact?for={time}");
        registry.call("GET", &path, None).json()
    };
    let (briefly, long) = (impact("1h"), impact("2h"));
    assert_eq!(predicted(&briefly), (Vec::new(), Vec::new()), "{briefly}");
    let stops = predicted(&long);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let expected: (Vec<String>, Vec<String>) = (names(&["ci"]), names(&["build", "deploy"]));
    assert_eq!(stops, expected, "{long}");
    assert_eq!(long["goes_on"][0]["anchor"], "by-hand");
    // Ten minutes until keys are due, and an hour in which old ones may be used.
    assert_eq!(long["stops_at"], "2027-01-15T09:10:00Z");
    registry.pass(3_600);
    registry.tick();
    let observed = believed.refused(&registry, "none");
    assert_eq!(observed, (Vec::new(), Vec::new()));
    // What is issued never outlives the keys that it rests on, and nothing is issued for less than
    // half a minute.
    registry.pass(560);
    registry.tick();
    assert_eq!(
        believed.refused(&registry, "none"),
        (Vec::new(), Vec::new())
    );
    registry.pass(40);
    registry.tick();
    assert_eq!(believed.refused(&registry, "federation.keys_stale"), stops);
    assert_eq!(
        registry
            .call("GET", "/v1/tenants/one/issuers/ci/impact?for=1y", None)
            .status,
        400
    );
}

#[test]
fn no_rule_gives_more_for_an_issuer_than_it_is_bounded_to() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let bounded = |lifetime: u32, below: &str| {
        let at_most = json!({"lifetime": lifetime, "below": [below]});
        let put = registry.put(
            "ci",
            &with(document(&issuer), json!({"grants_at_most": at_most})),
        );
        assert!(put.is_put(), "{}", put.body);
    };
    bounded(600, "spiffe://one.test/ci");
    let wanted = |id: &str, lifetime: u32| {
        json!({
            "from": {"anchor": "ci", "facts": {"subject": "job-7"}},
            "gives": {
                "spiffe_id": id, "kinds": ["jwt-svid"], "audiences": ["https://cloud.test"],
                "lifetime": lifetime,
            },
            "subject_audiences": [AUDIENCE],
            "bearer": {"reason": "no key at hand", "expires": "2027-12-01T00:00:00Z"},
            "owner": "the platform team", "reason": "jobs",
        })
    };
    let put = |wanted: &Value| registry.call("PUT", "/v1/tenants/one/rules/job", Some(wanted));
    for (id, lifetime) in [
        ("spiffe://one.test/ci/job", 601),
        ("spiffe://one.test/admin", 600),
        ("spiffe://one.test/ci-evil/job", 600),
        ("spiffe://one.test/{subject}/job", 600),
    ] {
        let refused = put(&wanted(id, lifetime));
        assert_eq!(refused.code(), "issue.bound_exceeded", "{id} {lifetime}");
    }
    let kept = put(&wanted("spiffe://one.test/ci/{subject}", 600));
    assert!(kept.is_put(), "{}", kept.body);
    let exchanged = registry.exchange(&token(&registry, &issuer, &key, "k-a"));
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    // Bounded more tightly, what gave more gives nothing from the same moment on.
    bounded(600, "spiffe://one.test/ci/other");
    let claims = json!({"sub": "job-7", "aud": AUDIENCE, "jti": "second"});
    let again = issuer.token(registry.now(), &claims).sign(&key, "k-a");
    let refused = registry.exchange(&again);
    assert_eq!(refused.status, 400, "{}", refused.body);
    let listed = registry.call("GET", "/v1/tenants/one/rules", None).json();
    assert_eq!(
        listed["rules"][0]["problem"]["code"], "issue.bound_exceeded",
        "{listed}"
    );
}
