//! APIs of others that know only a key: workloads use them by who they are, and never see the key.

mod bound;
mod hanging;
mod webhooks;

use avouch_server::Settings;
use avouch_server::fetch::Permitted;
use avouch_testkit::https::{Shown, root};
use avouch_testkit::payments::Payments;
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use crate::http::{Answer, request};
use crate::secured::{HOST, web};
use crate::tls::Caller;
use crate::world::World;

const FIRST: &str = "rk_test_the_first_key_of_all";
const SECOND: &str = "rk_test_the_second_key_of_all";
const BILLING: &str = "spiffe://one.test/billing";

struct Scene {
    world: World,
    api: Payments,
    document: Value,
    address: std::net::SocketAddr,
    caller: Caller,
}

impl Scene {
    fn new() -> Self {
        let world = World::with(Settings {
            fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
            ..Settings::default()
        });
        let authority = root("Payments");
        let api = Payments::start(&Shown::under(&authority, &["localhost"]), FIRST);
        let document = json!({
            "url": api.url(),
            "ca": pem("CERTIFICATE", &authority.certificate),
            "passes": ["Idempotency-Key"],
            "rules": [
                {"ids": [BILLING, "spiffe://one.test/jobs/*"], "methods": ["GET", "POST"],
                 "paths": ["/v1/charges", "/v1/echo", "/v1/moved", "/v1/page"]},
            ],
            "key": FIRST,
        });
        let (address, caller) = web(&world);
        let scene = Self {
            world,
            api,
            document,
            address,
            caller,
        };
        assert!(scene.put(&scene.document).is_put());
        scene
    }

    fn manage(&self, method: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/v1/tenants/one/egress{path}");
        self.world.send(&self.world.operator(), method, &path, body)
    }

    fn put(&self, document: &Value) -> Answer {
        self.manage("PUT", "/payments", document)
    }

    /// A call over mutual TLS, as whoever has this ID.
    fn call(&self, id: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let caller = Caller::believing(&crate::tls::root("Web")).showing(self.world.svid(id));
        let path = format!("/t/one/egress/payments{path}");
        let body = (method == "POST").then_some("amount=100");
        caller.send(self.address, HOST, &request(method, &path, headers, body))
    }

    fn get(&self, path: &str) -> Answer {
        self.call(BILLING, "GET", path, &[])
    }
}

#[test]
fn a_workload_uses_an_api_by_who_it_is_and_sees_no_key() {
    let scene = Scene::new();
    let listed = scene.call(
        BILLING,
        "GET",
        "/v1/charges?limit=3&created%5Bgte%5D=1",
        &[
            ("accept", "application/json"),
            ("idempotency-key", "a"),
            ("authorization-x", "b"),
            ("cookie", "c=d"),
            ("x-forwarded-for", "192.0.2.1"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic e"),
        ],
    );
    assert_eq!(listed.status, 200, "{}", listed.body);
    assert!(listed.body.contains("\"list\""), "{}", listed.body);
    assert_eq!(listed.header("request-id"), Some("req_1"));
    for kept_back in ["set-cookie", "server"] {
        assert_eq!(listed.header(kept_back), None);
    }
    let received = scene.api.received().pop().unwrap();
    assert_eq!(received.path, "/v1/charges?limit=3&created%5Bgte%5D=1");
    assert_eq!(received.headers["authorization"], format!("Bearer {FIRST}"));
    assert_eq!(received.headers["idempotency-key"], "a");
    let mut passed: Vec<&str> = received.headers.keys().map(String::as_str).collect();
    passed.retain(|name| {
        let ours = [
            "accept",
            "accept-encoding",
            "authorization",
            "connection",
            "host",
        ];
        !ours.contains(name) && !["idempotency-key", "user-agent", "content-length"].contains(name)
    });
    assert_eq!(passed, [""; 0], "{received:?}");
    // What it sends arrives, and what is not there is told as the API tells it.
    let made = scene.call(
        "spiffe://one.test/jobs/nightly",
        "POST",
        "/v1/charges",
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    assert_eq!(made.status, 200, "{}", made.body);
    let received = scene.api.received().pop().unwrap();
    assert_eq!(received.body, b"amount=100");
    assert_eq!(
        received.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(scene.get("/v1/charges/none").status, 404);
    // Who administers it sees everything but the key.
    for path in ["", "/payments"] {
        let shown = scene.manage("GET", path, &Value::Null);
        assert_eq!(shown.status, 200);
        assert!(shown.body.contains("/v1/charges"), "{}", shown.body);
        assert!(!shown.body.contains(FIRST), "{}", shown.body);
    }
}

#[test]
fn who_may_not_learns_nothing_and_the_api_hears_nothing() {
    let scene = Scene::new();
    let refused = |id: &str, method: &str, path: &str| {
        let answer = scene.call(id, method, path, &[]);
        assert!(!answer.body.contains(FIRST));
        (answer.status, answer.code())
    };
    let not_permitted = (403, "issue.egress_not_permitted".to_owned());
    for (id, method, path) in [
        ("spiffe://one.test/web", "GET", "/v1/charges"),
        ("spiffe://one.test/jobs", "GET", "/v1/charges"),
        ("spiffe://one.test/billing/x", "GET", "/v1/charges"),
        (BILLING, "DELETE", "/v1/charges"),
        (BILLING, "GET", "/v1/balance"),
        (BILLING, "GET", "/v1/charges_of_others"),
    ] {
        assert_eq!(
            refused(id, method, path),
            not_permitted,
            "{id} {method} {path}"
        );
    }
    for path in [
        "/v1/charges/../balance",
        "/v1/charges/%2e%2e/balance",
        "/v1/charges/..%2fbalance",
        "/v1/charges%2f..%2fbalance",
        "/v1//charges",
        "/v1/charges;x",
        "//evil.test/v1/charges",
        "/v1/charges/%252e%252e/balance",
    ] {
        let found = refused(BILLING, "GET", path);
        assert_eq!(found, (400, "issue.egress_path".to_owned()), "{path}");
    }
    // Of another tenant, or nobody at all.
    let other = refused("spiffe://two.test/billing", "GET", "/v1/charges");
    assert_eq!(other, (404, "issue.object_unknown".to_owned()));
    let path = "/t/one/egress/payments/v1/charges";
    let nobody = scene
        .caller
        .send(scene.address, HOST, &request("GET", path, &[], None));
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (401, "issue.credential_missing")
    );
    // A token could be anyone's, unless whoever administers it says that it does.
    let token = scene.world.token(BILLING);
    let with_token = || scene.world.call(&token, "GET", path, None);
    assert_eq!(with_token().code(), "issue.egress_bearer");
    assert_eq!(scene.api.received().len(), 0);
    let mut document = scene.document.clone();
    document["bearer"] = json!(true);
    scene.put(&document);
    assert_eq!(with_token().status, 200);
}

#[test]
fn an_answer_that_gives_the_key_away_or_leads_elsewhere_is_kept_back() {
    let scene = Scene::new();
    let echoed = scene.get("/v1/echo");
    assert_eq!(
        (echoed.status, echoed.code().as_str()),
        (502, "issue.egress_leak")
    );
    assert!(!echoed.body.contains(FIRST), "{}", echoed.body);
    let moved = scene.get("/v1/moved?card=4242");
    assert_eq!(moved.code(), "fetch.redirect_refused");
    assert!(!moved.body.contains(FIRST), "{}", moved.body);
    assert!(!moved.body.contains("4242"), "{}", moved.body);
}

#[test]
fn what_an_api_answers_runs_nowhere_and_is_of_no_origin() {
    let scene = Scene::new();
    let page = scene.get("/v1/page");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let policies = page
        .headers
        .iter()
        .filter(|(name, _)| name == "content-security-policy");
    let policies: Vec<&str> = policies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(policies, ["sandbox; default-src 'none'"]);
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for kept_back in [
        "set-cookie",
        "access-control-allow-origin",
        "location",
        "refresh",
    ] {
        assert_eq!(page.header(kept_back), None, "{kept_back}");
    }
}

#[test]
fn uses_are_on_record_by_workload_and_day() {
    let scene = Scene::new();
    scene.get("/v1/charges");
    scene.get("/v1/charges");
    scene.get("/v1/charges/none");
    scene.get("/v1/echo");
    scene.call("spiffe://one.test/web", "GET", "/v1/charges", &[]);
    let uses = |scene: &Scene| {
        let shown = scene.manage("GET", "/payments", &Value::Null).json();
        let mut uses = shown["uses"].as_array().unwrap().clone();
        for one in &mut uses {
            let day = one.as_object_mut().unwrap().remove("day").unwrap();
            let today = scene.world.plane.now().to_string();
            assert!(today.starts_with(day.as_str().unwrap()), "{day}");
        }
        uses
    };
    let expected = json!([
        {"workload": BILLING, "done": 2, "refused": 1, "failed": 1, "denied": 0},
        {"workload": "spiffe://one.test/web", "done": 0, "refused": 0, "failed": 0, "denied": 1},
    ]);
    assert_eq!(json!(uses(&scene)), expected);
    // They are stored each minute, and what is counted on is added.
    scene.world.plane.store_tallies().unwrap();
    assert_eq!(json!(uses(&scene)), expected);
    scene.get("/v1/charges");
    assert_eq!(uses(&scene)[0]["done"], 3);
    // They are no decisions about who vouches.
    let issuers = scene.world.send(
        &scene.world.operator(),
        "GET",
        "/v1/tenants/one/issuers",
        &Value::Null,
    );
    assert!(!issuers.body.contains("billing"), "{}", issuers.body);
    let again = scene.world.opened_again(Settings::default());
    let tenant = again.tenant_named("one").unwrap().unwrap();
    let stored = tenant.read(|snapshot| snapshot.tallies.len());
    // One of the day, and one that says since when the key is there.
    assert_eq!(stored, 2);
}

#[test]
fn a_key_that_waits_is_not_taken_away_from_whoever_may_use_it() {
    let scene = Scene::new();
    let rotate = |key: &str, force: bool| {
        let body = json!({"key": key, "force": force});
        scene.manage("POST", "/payments/rotate", &body)
    };
    let keys = || scene.manage("GET", "/payments", &Value::Null).json()["keys"].clone();
    assert_eq!(rotate(SECOND, false).status, 200);
    let both = keys();
    let third = "rk_test_the_third_key_of_all";
    let refused = rotate(third, false);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "issue.egress_key_waits")
    );
    assert!(!refused.body.contains(third), "{}", refused.body);
    assert_eq!(keys(), both);
    // Who knows that it is of no use says so, or promotes it.
    assert_eq!(rotate(third, true).status, 200);
    assert_ne!(keys(), both);
    assert_eq!(
        scene.manage("POST", "/payments/promote", &json!({})).status,
        200
    );
    assert_eq!(rotate(SECOND, false).status, 200);
    // Rules may change while a key waits, and which one the API takes stays known.
    scene.api.take(SECOND);
    scene.api.refuse(FIRST);
    scene.api.refuse(third);
    assert_eq!(scene.get("/v1/charges").status, 200);
    let mut document = scene.document.clone();
    document.as_object_mut().unwrap().remove("key");
    document["rules"][0]["per_minute"] = json!(100);
    assert!(scene.put(&document).is_put());
    let before = scene.api.received().len();
    assert_eq!(scene.call(BILLING, "POST", "/v1/charges", &[]).status, 200);
    assert_eq!(scene.api.received().len(), before + 1);
}

#[test]
fn a_key_is_replaced_while_it_is_used() {
    let scene = Scene::new();
    let rotated = scene.manage("POST", "/payments/rotate", &json!({"key": SECOND}));
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    assert!(!rotated.body.contains(SECOND), "{}", rotated.body);
    assert_eq!(scene.get("/v1/charges").status, 200);
    let used = |scene: &Scene| {
        let received = scene.api.received().pop().unwrap();
        received.headers["authorization"].replace("Bearer ", "")
    };
    assert_eq!(used(&scene), FIRST);
    // The API ends the first: what only reads is asked again with the second.
    scene.api.take(SECOND);
    scene.api.refuse(FIRST);
    assert_eq!(scene.get("/v1/charges").status, 200);
    assert_eq!(used(&scene), SECOND);
    // And from then on the second is shown at once.
    let before = scene.api.received().len();
    assert_eq!(scene.call(BILLING, "POST", "/v1/charges", &[]).status, 200);
    assert_eq!(scene.api.received().len(), before + 1);
    let promoted = scene.manage("POST", "/payments/promote", &json!({}));
    assert_eq!(promoted.json()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(scene.get("/v1/charges").status, 200);
    let again = scene.manage("POST", "/payments/promote", &json!({}));
    assert_eq!(again.code(), "issue.conflict");
    // What may have done something is not done twice.
    let third = "rk_test_the_third_key_of_all";
    scene.manage("POST", "/payments/rotate", &json!({"key": third}));
    scene.api.take(third);
    scene.api.refuse(SECOND);
    let before = scene.api.received().len();
    assert_eq!(scene.call(BILLING, "POST", "/v1/charges", &[]).status, 401);
    assert_eq!(scene.api.received().len(), before + 1);
    assert_eq!(scene.call(BILLING, "POST", "/v1/charges", &[]).status, 200);
}

#[test]
fn a_key_goes_nowhere_but_where_it_was_given_for() {
    let scene = Scene::new();
    let mut document = scene.document.clone();
    document.as_object_mut().unwrap().remove("key");
    // The rules may change without it.
    document["rules"][0]["per_minute"] = json!(2);
    assert!(scene.put(&document).is_put());
    let statuses: Vec<u16> = (0..3).map(|_| scene.get("/v1/charges").status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    let too_often = scene.get("/v1/charges");
    assert_eq!(too_often.code(), "issue.egress_rate_exceeded");
    assert!(too_often.header("retry-after").is_some());
    let nightly = scene.call("spiffe://one.test/jobs/nightly", "GET", "/v1/charges", &[]);
    assert_eq!(nightly.status, 200, "each is counted alone");
    // The address, the authority and the header may not.
    for (member, value) in [
        ("url", json!("https://evil.test")),
        ("ca", json!(pem("CERTIFICATE", &root("Evil").certificate))),
        ("header", json!("X-Key: {key}")),
        ("header", json!("Authorization: Basic {key}")),
    ] {
        let mut moved = document.clone();
        moved[member] = value;
        let answer = scene.put(&moved);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "issue.object_malformed")
        );
    }
    for wrong in [
        json!({"url": "http://localhost"}),
        json!({"url": "https://localhost/a?b"}),
        json!({"header": "Authorization: Bearer"}),
        json!({"header": "Host: {key}"}),
        json!({"header": "X: {key}{key}"}),
        json!({"passes": ["Authorization"]}),
        json!({"passes": ["Transfer-Encoding"]}),
        json!({"rules": []}),
        json!({"rules": [{"ids": ["billing"], "methods": ["GET"], "paths": ["/"]}]}),
        json!({"rules": [{"ids": [BILLING], "methods": ["HEAD"], "paths": ["/"]}]}),
        json!({"rules": [{"ids": [BILLING], "methods": ["GET"], "paths": ["v1"]}]}),
        json!({"rules": [{"ids": [BILLING], "methods": ["GET"], "paths": []}]}),
        json!({"key": "short"}),
        json!({"key": "with a\r\nheader: x"}),
        json!({"unknown": 1}),
    ] {
        let mut document = scene.document.clone();
        for (member, value) in wrong.as_object().unwrap() {
            document[member] = value.clone();
        }
        assert_eq!(scene.put(&document).status, 400, "{wrong}");
    }
    // An address that no one permitted is not called.
    let mut inside = scene.document.clone();
    inside["url"] = json!("https://169.254.169.254");
    assert!(scene.put(&inside).is_put());
    assert_eq!(scene.get("/v1/charges").code(), "fetch.address_forbidden");
    assert_eq!(
        scene.manage("DELETE", "/payments", &Value::Null).status,
        204
    );
    assert_eq!(scene.get("/v1/charges").code(), "issue.object_unknown");
}
