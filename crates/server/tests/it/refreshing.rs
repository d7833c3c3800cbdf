//! Keys of many issuers of one tenant, fetched by schedule, beside what callers have fetched.

use avouch_testkit::https::response;
use avouch_testkit::issuer::{DISCOVERY, IssuerServer};
use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::registry::{Registry, document, trusted, with};

/// As many issuers at paths of one server, each with a key of its own name, asked every minute.
fn trust_many(registry: &Registry, server: &IssuerServer, many: usize) {
    let key = Key::p256("a");
    for number in 0..many {
        let issuer = server.server().url(&format!("/{number}"));
        let keys = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")});
        let set = jwks(&[jwk(&key, "k-a")]);
        let pages = [(DISCOVERY, keys), ("/jwks", set)];
        for (path, page) in pages {
            let answer = response(200, &[], page.to_string().as_bytes());
            server.page(&format!("/{number}{path}"), answer);
        }
        let more = json!({"issuer": issuer, "refresh_every": 60});
        let put = registry.put(&format!("ci-{number}"), &with(document(server), more));
        assert_eq!(put.json()["state"], "ok", "{}", put.body);
    }
}

#[test]
fn many_issuers_that_are_due_at_once_wait_for_their_turn_and_none_fails_for_it() {
    const MANY: usize = 40;
    let mut registry = Registry::new();
    let server = IssuerServer::start();
    trust_many(&registry, &server, MANY);
    let before = server.server().received().len();
    registry.pass(61);
    registry.tick();
    for number in 0..MANY {
        let told = registry.show(&format!("ci-{number}"));
        assert_eq!(told["state"], "ok", "{told}");
        let events = told["events"].as_array().unwrap();
        assert!(events.iter().all(|one| one["alarm"] == false), "{told}");
    }
    // Each was asked for both documents, and none twice.
    assert_eq!(server.server().received().len() - before, 2 * MANY);
}

#[test]
fn what_is_wrong_with_an_issuer_is_told_still_when_a_tenant_has_fetched_enough() {
    let mut registry = Registry::new();
    let (issuer, _) = trusted(&registry);
    let elsewhere = with(issuer.discovery(), json!({"issuer": "https://evil.test"}));
    issuer.discover(&elsewhere);
    let refresh = || {
        let path = "/v1/tenants/one/issuers/ci/refresh";
        registry.call("POST", path, Some(&json!({}))).json()["code"].clone()
    };
    assert_eq!(refresh(), "fetch.discovery_issuer_mismatch");
    let told = registry.show("ci");
    let spent = (0..2_000).map(|_| refresh());
    let spent = spent.take_while(|code| *code != "fetch.budget_spent");
    assert!(spent.count() < 1_000);
    let after = registry.show("ci");
    let known = |told: &Value| [told["failing"].clone(), told["events"].clone()];
    assert_eq!(known(&after), known(&told));
    // What callers have used up, the schedule has still.
    issuer.discover(&issuer.discovery());
    registry.pass(600);
    registry.tick();
    assert_eq!(registry.show("ci")["state"], "ok");
}
