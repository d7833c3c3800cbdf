//! Services that say which trust models may decide for them, and what is found where another has.

use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::NOW_SECONDS;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::exchange::OURSELVES;
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
        assert_eq!(put.status, 200, "{}", put.body);
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
    assert_eq!(house.service("db", &flagged).status, 200);
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
    assert_eq!(house.service("db", &flagged).status, 200);
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
    assert_eq!(house.service("db", &certificates).status, 200);
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
    assert_eq!(house.service("db", &other).status, 200);
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
    assert_eq!(put.status, 200, "{}", put.body);
    let cloud = |across: &str| json!({"audiences": [CLOUD], "models": ["pki"], "across": across});
    assert_eq!(house.service("cloud", &cloud("refuse")).status, 200);
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
    assert_eq!(house.service("cloud", &cloud("flag")).status, 200);
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
    ] {
        let put = house.service("db", &wrong);
        assert_eq!(put.status, 400, "{wrong}: {}", put.body);
    }
    let list = house
        .registry
        .call("GET", "/v1/tenants/one/services", None)
        .json();
    assert_eq!(list["services"], json!([]));
}
