//! Services that say which trust models may decide for them, and what is found where another has.

use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::NOW_SECONDS;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::exchange::{OURSELVES, exchange_form};
use crate::registry::{AUDIENCE, Registry, trusted};

const CLOUD: &str = "https://cloud.test";

/// A tenant that believes certificates below a root of its own, and tokens of an issuer.
struct House {
    registry: Registry,
    issuer: IssuerServer,
    key: Key,
    root: Authority,
}

impl House {
    fn new() -> Self {
        let registry = Registry::at(NOW_SECONDS);
        let (issuer, key) = trusted(&registry);
        let root = Authority::root("machines");
        let anchor = json!({"x509": pem("CERTIFICATE", &root.certificate)});
        let put = registry.call("PUT", "/v1/tenants/one/anchors/machines", Some(&anchor));
        assert!(put.is_put(), "{}", put.body);
        Self {
            registry,
            issuer,
            key,
            root,
        }
    }

    fn service(&self, name: &str, document: &Value) -> crate::http::Answer {
        let path = format!("/v1/tenants/one/services/{name}");
        self.registry.call("PUT", &path, Some(document))
    }

    fn shown(&self, name: &str) -> Value {
        self.registry.plane.store_service_uses().unwrap();
        let path = format!("/v1/tenants/one/services/{name}");
        let answer = self.registry.call("GET", &path, None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    fn token(&self, jti: &str, audience: &str) -> String {
        let said = json!({"sub": "job-7", "team": "red", "aud": audience, "jti": jti});
        self.issuer
            .token(self.registry.now(), &said)
            .sign(&self.key, "k-a")
    }

    fn decided(&self, credential: &Value, audience: &str) -> Value {
        let question = json!({
            "credential": credential, "audience": [audience], "profile": "private",
            "purpose": "any",
        });
        let answer = self.registry.call("POST", "/t/one/decide", Some(&question));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    fn by_certificate(&self, audience: &str) -> Value {
        let leaf = pem("CERTIFICATE", &self.root.server("db.example.com"));
        self.decided(&json!({"x509": {"chain": [leaf]}}), audience)
    }

    fn by_token(&self, jti: &str, audience: &str) -> Value {
        self.decided(&json!({"jwt": self.token(jti, audience)}), audience)
    }
}

#[test]
fn a_service_that_is_seen_with_both_models_is_a_finding_with_its_first_timestamp() {
    let mut house = House::new();
    let flagged = json!({
        "audiences": [AUDIENCE], "models": ["pki"], "across": "flag", "owner": "the database team",
    });
    assert!(house.service("db", &flagged).is_put());
    let verdict = house.by_certificate(AUDIENCE);
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    let shown = house.shown("db");
    assert!(shown["seen"]["pki"]["first"].is_string(), "{shown}");
    assert_eq!(shown["findings"], json!([]));
    house.registry.pass(100);
    let first = house.registry.plane.now().to_string();
    let verdict = house.by_token("t-1", AUDIENCE);
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    let checks = verdict["checks"].as_array().unwrap();
    let boundary = checks
        .iter()
        .find(|check| check["what"] == "boundary")
        .unwrap();
    assert_eq!(
        boundary["compared"],
        "across the boundary of db: decided by federation"
    );
    let found = |house: &House| house.shown("db")["findings"].clone();
    let told = found(&house);
    assert_eq!(told[0]["finding"], "cross_model", "{told}");
    assert_eq!(
        (&told[0]["model"], &told[0]["first"]),
        (&json!("federation"), &json!(first))
    );
    assert_eq!(
        (&told[0]["severity"], &told[0]["refused"]),
        (&json!("medium"), &json!(false))
    );
    assert!(
        told[0]["identity"].as_str().unwrap().ends_with("#job-7"),
        "{told}"
    );
    // The first stays the first, also after a restart and when the service is put again.
    house.registry.pass(100);
    house.by_token("t-2", AUDIENCE);
    assert_eq!(found(&house)[0]["first"], json!(first));
    house.registry = house.registry.restarted();
    house.by_token("t-3", AUDIENCE);
    assert!(house.service("db", &flagged).is_put());
    assert_eq!(found(&house)[0]["first"], json!(first));
    // Where both may decide, nothing is found.
    let both = json!({"audiences": [AUDIENCE], "models": ["pki", "federation"]});
    assert_eq!(house.service("db", &both).json()["findings"], json!([]));
    let list = house
        .registry
        .call("GET", "/v1/tenants/one/services", None)
        .json();
    assert_eq!(list["services"][0]["name"], "db");
    assert_eq!(list["services"][0]["document"], both);
}

#[test]
fn what_another_model_decides_is_refused_and_found_too() {
    let house = House::new();
    let certificates = json!({"audiences": [AUDIENCE], "models": ["pki"]});
    assert!(house.service("db", &certificates).is_put());
    let verdict = house.by_token("t-1", AUDIENCE);
    assert_eq!(verdict["verdict"], "reject", "{verdict}");
    assert_eq!(verdict["reason"]["code"], "policy.service_model");
    assert_eq!(house.by_certificate(AUDIENCE)["verdict"], "accept");
    let told = &house.shown("db")["findings"][0];
    assert_eq!(
        (&told["refused"], &told["severity"]),
        (&json!(true), &json!("low")),
        "{told}"
    );
    assert_eq!(told["identity"], "job-7");
    // Whoever does not say who they are is whom the anchor names, so silence leads around nothing.
    let silent = json!({"credential": {"jwt": house.token("t-2", AUDIENCE)}});
    let verdict = house
        .registry
        .call("POST", "/t/one/decide", Some(&silent))
        .json();
    assert_eq!(
        verdict["reason"]["code"], "policy.service_model",
        "{verdict}"
    );
    // Whoever is told no more than a code is told that one.
    let peer = json!({"credential": {"jwt": house.token("t-3", AUDIENCE)}, "audience": [AUDIENCE]});
    let peer = house.registry.as_anyone("/t/one/decide", &peer).json();
    assert_eq!(peer["reason"]["code"], "policy.service_model", "{peer}");
    // Another service is not bounded by it.
    let other = json!({"audiences": ["https://other.test"], "models": ["pki"]});
    assert!(house.service("db", &other).is_put());
    assert_eq!(house.by_token("t-4", AUDIENCE)["verdict"], "accept");
    let gone = house
        .registry
        .call("DELETE", "/v1/tenants/one/services/db", None);
    assert!(gone.status < 300, "{}", gone.body);
    let gone = house
        .registry
        .call("GET", "/v1/tenants/one/services/db", None);
    assert_eq!(gone.code(), "issue.object_unknown");
}

#[test]
fn nothing_is_given_in_exchange_for_a_service_across_its_boundary() {
    let house = House::new();
    let domain = json!({"name": "one.test"});
    house
        .registry
        .call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let rule = json!({
        "from": {"anchor": "ci", "facts": {"claims.team": "red"}},
        "gives": {
            "spiffe_id": "spiffe://one.test/ci", "kinds": ["jwt-svid"], "audiences": [CLOUD],
            "lifetime": 300,
        },
        "subject_audiences": [AUDIENCE, OURSELVES],
        "bearer": {"reason": "no key at hand", "expires": "2024-12-01T00:00:00Z"},
        "owner": "the platform team", "reason": "jobs",
    });
    let put = house
        .registry
        .call("PUT", "/v1/tenants/one/rules/jobs", Some(&rule));
    assert!(put.is_put(), "{}", put.body);
    let cloud = |across: &str| json!({"audiences": [CLOUD], "models": ["pki"], "across": across});
    assert!(house.service("cloud", &cloud("refuse")).is_put());
    let refused = house.registry.exchange(&house.token("t-1", AUDIENCE));
    let told = refused.json();
    assert_eq!(
        (refused.status, &told["code"]),
        (400, &json!("policy.service_model")),
        "{told}"
    );
    assert_eq!(house.shown("cloud")["findings"][0]["refused"], true);
    let gone = house
        .registry
        .call("DELETE", "/v1/tenants/one/services/cloud", None);
    assert!(gone.status < 300);
    assert!(house.service("cloud", &cloud("flag")).is_put());
    assert_eq!(
        house.shown("cloud")["findings"],
        json!([]),
        "what was seen went with it"
    );
    // What was refused is not used up.
    let given = house.registry.exchange(&house.token("t-1", AUDIENCE));
    assert_eq!(given.status, 200, "{}", given.body);
    let told = &house.shown("cloud")["findings"][0];
    assert_eq!(
        (&told["refused"], &told["model"]),
        (&json!(false), &json!("federation"))
    );
}

const BEARER: &str = "2024-12-01T00:00:00Z";
const KEY: &str = "a key of many random characters";
const AS_KEY: &str = "urn:avouch:params:token-type:api-key";

impl House {
    fn rule(&self, name: &str, document: &Value) {
        let path = format!("/v1/tenants/one/rules/{name}");
        let put = self.registry.call("PUT", &path, Some(document));
        assert!(put.is_put(), "{}", put.body);
    }

    /// A rule of jobs, for `audience`, given to bearers.
    fn jobs(audience: &str) -> Value {
        json!({
            "from": {"anchor": "ci", "facts": {"claims.team": "red"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/ci", "kinds": ["jwt-svid"], "audiences": [audience],
                "lifetime": 300,
            },
            "bearer": {"reason": "no key at hand", "expires": BEARER},
            "owner": "the platform team", "reason": "jobs",
        })
    }

    /// One with a trust domain, and an old system that has an API key.
    fn with_an_old_system() -> Self {
        let house = Self::new();
        let domain = json!({"name": "one.test"});
        let domains = "/v1/tenants/one/trust-domains";
        house.registry.call("POST", domains, Some(&domain));
        let sha256 = avouch_core::id::Digest::of(KEY.as_bytes()).to_string();
        let anchor = json!({"api_key": {"sha256": sha256, "subject": "old-system"}});
        let anchors = "/v1/tenants/one/anchors/old";
        let put = house.registry.call("PUT", anchors, Some(&anchor));
        assert!(put.is_put(), "{}", put.body);
        house
    }

    fn cloud(&self, models: &[&str]) {
        let document = json!({"audiences": [CLOUD], "models": models});
        assert!(self.service("cloud", &document).is_put());
    }
}

#[test]
fn an_api_key_is_no_token_of_an_issuer_after_two_exchanges() {
    let house = House::with_an_old_system();
    let mut old = House::jobs(OURSELVES);
    old["from"] = json!({"anchor": "old"});
    old["gives"]["spiffe_id"] = "spiffe://one.test/old".into();
    house.rule("old", &old);
    let mut again = House::jobs(CLOUD);
    again["from"] = json!({"trust_domain": "one.test", "facts": {"spiffe.path": "/old"}});
    house.rule("again", &again);
    house.cloud(&["federation"]);
    let as_key = exchange_form(KEY, &[("subject_token_type", AS_KEY)]);
    let first = house.registry.exchange_form(&as_key);
    assert_eq!(first.status, 200, "{}", first.body);
    let first = first.json()["access_token"].as_str().unwrap().to_owned();
    let second = house.registry.exchange(&first);
    assert_eq!(
        second.json()["code"],
        "policy.service_model",
        "{}",
        second.body
    );
    let found = &house.shown("cloud")["findings"][0];
    assert_eq!(found["model"], "shared_secret", "{found}");
    // The near misses: both may decide, and only one of them.
    house.cloud(&["shared_secret"]);
    assert_eq!(
        house.registry.exchange(&first).json()["code"],
        "policy.service_model"
    );
    house.cloud(&["federation", "shared_secret"]);
    let given = house.registry.exchange(&first);
    assert_eq!(given.status, 200, "{}", given.body);
    let seen = &house.shown("cloud")["seen"];
    assert!(seen["shared_secret"].is_object(), "{seen}");
    assert!(seen["federation"].is_object(), "{seen}");
}

#[test]
fn whoever_acts_is_within_the_boundary_of_a_service_too() {
    let house = House::with_an_old_system();
    let mut rule = House::jobs(CLOUD);
    rule["subject_audiences"] = json!([AUDIENCE]);
    rule["actors"] = json!([{"anchor": "old"}]);
    house.rule("jobs", &rule);
    house.cloud(&["federation"]);
    let acting = |jti: &str| {
        let token = house.token(jti, AUDIENCE);
        let actor = [("actor_token", KEY), ("actor_token_type", AS_KEY)];
        house.registry.exchange_form(&exchange_form(&token, &actor))
    };
    let refused = acting("t-1");
    assert_eq!(
        refused.json()["code"],
        "policy.service_model",
        "{}",
        refused.body
    );
    house.cloud(&["federation", "shared_secret"]);
    let given = acting("t-1");
    assert_eq!(given.status, 200, "{}", given.body);
}

#[test]
fn what_a_question_brings_itself_and_what_is_only_tried_are_no_findings() {
    let house = House::with_an_old_system();
    let certificates = json!({"audiences": [AUDIENCE, CLOUD], "models": ["pki"]});
    assert!(house.service("db", &certificates).is_put());
    let other = Authority::root("brought along");
    let question = json!({
        "credential": {"jwt": house.token("t-1", AUDIENCE)}, "audience": [AUDIENCE],
        "trust": {"anchors": [{"x509": pem("CERTIFICATE", &other.certificate)}]},
    });
    let decide = |question: &Value| house.registry.call("POST", "/t/one/decide", Some(question));
    let verdict = decide(&question).json();
    assert_eq!(
        verdict["reason"]["code"], "policy.service_model",
        "{verdict}"
    );
    let mut rule = House::jobs(CLOUD);
    rule["subject_audiences"] = json!([AUDIENCE]);
    house.rule("jobs", &rule);
    let tried = json!({"subject_token": house.token("t-1", AUDIENCE)});
    let path = "/v1/tenants/one/try-exchange";
    let tried = house.registry.call("POST", path, Some(&tried));
    assert!(
        tried.body.contains("policy.service_model"),
        "{}",
        tried.body
    );
    assert_eq!(house.shown("db")["findings"], json!([]));
    // The near miss: the same without what is brought along.
    let verdict = house.by_token("t-1", AUDIENCE);
    assert_eq!(verdict["reason"]["code"], "policy.service_model");
    assert_eq!(house.shown("db")["findings"][0]["refused"], true);
}

#[test]
fn an_exchange_is_seen_when_something_was_given() {
    let house = House::with_an_old_system();
    let mut rule = House::jobs(CLOUD);
    rule["subject_audiences"] = json!([AUDIENCE]);
    rule.as_object_mut().unwrap().remove("bearer");
    house.rule("jobs", &rule);
    house.cloud(&["pki", "federation"]);
    let refused = house.registry.exchange(&house.token("t-1", AUDIENCE));
    assert_eq!(refused.json()["code"], "issue.proof_required");
    assert_eq!(house.shown("cloud")["seen"], json!({}));
    rule["bearer"] = json!({"reason": "no key at hand", "expires": BEARER});
    house.rule("jobs", &rule);
    let given = house.registry.exchange(&house.token("t-1", AUDIENCE));
    assert_eq!(given.status, 200, "{}", given.body);
    assert!(house.shown("cloud")["seen"]["federation"].is_object());
}

#[test]
fn what_was_refused_once_hides_nothing_that_is_let_in_later() {
    let mut house = House::new();
    let service =
        |across: &str| json!({"audiences": [AUDIENCE], "models": ["pki"], "across": across});
    assert!(house.service("db", &service("refuse")).is_put());
    house.by_token("t-1", AUDIENCE);
    house.shown("db");
    assert!(house.service("db", &service("flag")).is_put());
    house.registry.pass(100);
    let first = house.registry.plane.now().to_string();
    assert_eq!(house.by_token("t-2", AUDIENCE)["verdict"], "accept");
    let shown = house.shown("db");
    assert_eq!(shown["seen"]["federation"]["first"], json!(first));
    let refused: Vec<&Value> = shown["findings"].as_array().unwrap().iter().collect();
    let refused: Vec<&Value> = refused.iter().map(|one| &one["refused"]).collect();
    assert_eq!(refused, [&json!(false), &json!(true)], "{shown}");
}

#[test]
fn what_another_server_has_deleted_is_seen_anew() {
    let mut house = House::new();
    let flagged = json!({"audiences": [AUDIENCE], "models": ["pki"], "across": "flag"});
    assert!(house.service("db", &flagged).is_put());
    house.by_token("t-1", AUDIENCE);
    assert_eq!(house.shown("db")["findings"][0]["model"], "federation");
    let other = house.registry.beside();
    let path = "/v1/tenants/one/services/db";
    assert!(other.call("DELETE", path, None).status < 300);
    assert!(other.call("PUT", path, Some(&flagged)).is_put());
    house.registry.plane.follow_store().unwrap();
    assert_eq!(house.shown("db")["findings"], json!([]));
    house.registry.pass(100);
    let first = house.registry.plane.now().to_string();
    house.by_token("t-2", AUDIENCE);
    let found = &house.shown("db")["findings"][0];
    assert_eq!(found["first"], json!(first), "{found}");
}

#[test]
fn what_is_wanted_of_a_service_is_read_strictly() {
    let house = House::new();
    for wrong in [
        json!({"audiences": [AUDIENCE]}),
        json!({"models": ["pki"]}),
        json!({"audiences": [], "models": ["pki"]}),
        json!({"audiences": [AUDIENCE], "models": []}),
        json!({"audiences": [AUDIENCE], "models": ["PKI"]}),
        json!({"audiences": [AUDIENCE], "models": ["pki"], "across": "ignore"}),
        json!({"audiences": [AUDIENCE], "models": ["pki"], "name": "another"}),
        json!({"audiences": [AUDIENCE], "models": ["pki"], "model": "pki"}),
        json!({"audiences": [AUDIENCE], "models": ["pki"], "owner": 7}),
        json!({"audiences": vec![AUDIENCE; 65], "models": ["pki"]}),
    ] {
        let put = house.service("db", &wrong);
        assert_eq!(put.status, 400, "{wrong}: {}", put.body);
        assert!(put.code().starts_with("issue."), "{wrong}: {}", put.body);
        let named = "The service ";
        assert!(put.body.contains(named), "{wrong}: {}", put.body);
    }
    let list = house
        .registry
        .call("GET", "/v1/tenants/one/services", None)
        .json();
    assert_eq!(list["services"], json!([]));
}
