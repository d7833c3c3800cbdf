//! Federation with foreign trust domains, good and hostile, over real sockets (SPIFFE Federation).

mod course;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avouch_core::id::TrustDomain;
use avouch_server::fetch::Permitted;
use avouch_server::tenant::Tenant;
use avouch_server::tls::{Shown as Showing, SpiffeEndpoint};
use avouch_server::{Refused, Settings, federation};
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension;
use avouch_testkit::https::{HttpsServer, Shown, VALID, pause, response, root};
use avouch_testkit::key::Key;
use avouch_testkit::name::GeneralName;
use avouch_testkit::world::{Authority, pem};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::http::Answer;
use crate::tls::Identity;
use crate::world::World;

const FOREIGN: &str = "b.test";
const RELATION: &str = "/v1/tenants/one/federations/b.test";

/// Loopback is permitted, since that is where the servers of tests are.
fn world() -> World {
    World::with(Settings {
        fetch: Permitted::read(["127.0.0.0/8", "localhost"]).unwrap(),
        federation_interval: 1,
        bundle_refresh_hint: 1,
        ..Settings::default()
    })
}

/// The CA of a trust domain.
fn authority(trust_domain: &str, name: &str) -> Authority {
    let own = GeneralName::uri(&format!("spiffe://{trust_domain}"));
    Authority::root_with(name, Key::ed25519(name), |forge| {
        forge
            .valid(VALID.0, VALID.1)
            .with(extension::subject_alternative_names(&[own]))
    })
}

fn key_of(authority: &Authority) -> Value {
    json!({"kty": "OKP", "use": "x509-svid", "x5c": [Base64::encode_string(&authority.certificate)]})
}

fn bundle(sequence: u64, authorities: &[&Authority]) -> Value {
    let keys: Vec<Value> = authorities.iter().map(|one| key_of(one)).collect();
    json!({"keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": 1})
}

/// An X.509-SVID of an endpoint.
fn svid(authority: &Authority, id: &str) -> Shown {
    let key = Key::ed25519(id);
    let forge = CertificateForge::svid(id, &key).valid(VALID.0, VALID.1);
    Shown {
        chain: vec![authority.issue(forge)],
        key,
    }
}

/// An endpoint that answers what it is told to.
struct Endpoint {
    server: HttpsServer,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Endpoint {
    fn showing(shown: &Shown) -> Self {
        let answer = Arc::new(Mutex::new(response(404, &[], b"")));
        let told = Arc::clone(&answer);
        let server = HttpsServer::start(shown, move |_, wire| {
            let answer = told.lock().unwrap().clone();
            wire.write_all(&answer)
        });
        Self { server, answer }
    }

    fn web(root: &Authority) -> Self {
        Self::showing(&Shown::under(root, &["localhost"]))
    }

    fn tell(&self, status: u16, fields: &[(&str, &str)], body: &str) -> &Self {
        *self.answer.lock().unwrap() = response(status, fields, body.as_bytes());
        self
    }

    fn publish(&self, bundle: &Value) -> &Self {
        self.tell(
            200,
            &[("content-type", "application/json")],
            &bundle.to_string(),
        )
    }

    fn asked(&self) -> usize {
        self.server.received().len()
    }
}

/// A world with a relation to an endpoint of `https_web`, which has not been asked yet.
fn with_web() -> (World, Endpoint) {
    let world = world();
    let root = root("Web");
    let endpoint = Endpoint::web(&root);
    let put = put(&world, &web(&endpoint, &root));
    assert!(put.is_put(), "{}", put.body);
    assert_eq!(put.json()["state"], "waiting");
    (world, endpoint)
}

fn web(endpoint: &Endpoint, root: &Authority) -> Value {
    json!({
        "url": endpoint.server.url("/bundle"),
        "profile": "https_web",
        "roots": [pem("CERTIFICATE", &root.certificate)],
        "owner": "partners",
        "reason": "orders",
    })
}

fn put(world: &World, relation: &Value) -> Answer {
    world.send(&world.operator(), "PUT", RELATION, relation)
}

/// Asks now; what the relation says then.
fn refresh(world: &World) -> Value {
    let path = format!("{RELATION}/refresh");
    let answer = world.call(&world.operator(), "POST", &path, None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// The code for which there is no newer bundle.
fn failure(world: &World) -> String {
    let shown = refresh(world);
    assert_eq!(shown["state"], "failing", "{shown}");
    for member in ["detail", "hint"] {
        assert!(shown["failure"][member].is_string(), "{shown}");
    }
    shown["failure"]["code"].as_str().unwrap().to_owned()
}

/// The anchors of the tenant, each with its bundle's CAs.
fn anchors(world: &World) -> Vec<(String, Value)> {
    let answer = world.call(&world.operator(), "GET", "/v1/tenants/one/anchors", None);
    let anchors = answer.json()["anchors"].as_array().unwrap().clone();
    let anchors = anchors.into_iter().map(|one| {
        let name = one["name"].as_str().unwrap().to_owned();
        (name, one["anchor"].clone())
    });
    anchors.collect()
}

/// Whether the tenant believes who shows an X.509-SVID of `b.test`.
fn believes(world: &World, authority: &Authority) -> bool {
    let id = "spiffe://b.test/web";
    let forge = CertificateForge::svid(id, &Key::ed25519(id)).valid(VALID.0, VALID.1);
    let chain = [Base64::encode_string(&authority.issue(forge))];
    let question = json!({"credential": {"x509": {"chain": chain}}, "expect": {"spiffe": id}});
    let answer = world.send(&world.operator(), "POST", "/t/one/decide", &question);
    answer.json()["verdict"] == "accept"
}

#[test]
fn f_04_f_05_f_10_what_is_fetched_becomes_an_anchor_of_the_tenant() {
    let (world, endpoint) = with_web();
    let (first, second) = (authority(FOREIGN, "First"), authority(FOREIGN, "Second"));
    endpoint.publish(&bundle(7, &[&first]));
    assert!(!believes(&world, &first));
    let shown = refresh(&world);
    assert_eq!(
        (&shown["state"], &shown["sequence"]),
        (&json!("fetched"), &json!(7))
    );
    assert_eq!(shown["keys"], json!({"x509": 1, "jwt": 0, "wit": 0}));
    assert!(believes(&world, &first));
    let held = anchors(&world);
    let [(name, anchor)] = held.as_slice() else {
        panic!("{held:?}");
    };
    assert_eq!(shown["anchor"], name.as_str());
    assert_eq!(anchor["trust_domain"], FOREIGN);
    assert_eq!(
        (&anchor["owner"], &anchor["reason"]),
        (&json!("partners"), &json!("orders"))
    );
    assert_eq!(anchor["added"], shown["created"]);
    // The latest takes the place of the one before.
    endpoint.publish(&bundle(8, &[&second]));
    refresh(&world);
    assert!(believes(&world, &second));
    assert!(!believes(&world, &first));
    // F-05: what an administrator says holds until the endpoint is asked again.
    let relation = world.call(&world.operator(), "GET", RELATION, None).json();
    let mut local = json!({"bundle": bundle(1, &[&first])});
    for member in ["url", "profile", "roots", "owner", "reason"] {
        local[member] = relation[member].clone();
    }
    assert!(put(&world, &local).is_put());
    assert!(believes(&world, &first));
    refresh(&world);
    assert!(believes(&world, &second));
}

#[test]
fn f_04_an_older_bundle_never_takes_the_place_of_a_later_one() {
    let (world, endpoint) = with_web();
    let (first, second) = (authority(FOREIGN, "First"), authority(FOREIGN, "Second"));
    endpoint.publish(&bundle(8, &[&second]));
    refresh(&world);
    endpoint.publish(&bundle(7, &[&first]));
    assert_eq!(failure(&world), "fetch.bundle_older");
    assert!(believes(&world, &second));
    // The same keys under a lower number are those of a server beside.
    endpoint.publish(&bundle(7, &[&second]));
    assert_eq!(refresh(&world)["state"], "fetched");
    assert_eq!(refresh(&world)["sequence"], 8);
    // Without a number the last that came is the latest.
    endpoint.publish(&json!({"keys": [key_of(&first)]}));
    assert_eq!(refresh(&world)["state"], "fetched");
    assert!(believes(&world, &first));
}

#[test]
fn b_01_b_05_what_a_reader_does_not_know_is_ignored_as_it_arrives() {
    let (world, endpoint) = with_web();
    let [good, for_later, nameless] =
        ["good", "for later", "nameless"].map(|name| authority(FOREIGN, name));
    let mut published = bundle(1, &[&good, &for_later, &nameless]);
    published["published_by"] = json!({"some": ["one", 1]});
    // Both are told apart by case, and a key without a use is for nothing.
    published["keys"][0]["alg_of_tomorrow"] = json!(true);
    published["keys"][1]["use"] = json!("X509-SVID");
    published["keys"][2].as_object_mut().unwrap().remove("use");
    let keys = published["keys"].as_array_mut().unwrap();
    keys.push(json!({"kty": "LATTICE", "use": "x509-svid", "pub": "AQAB"}));
    keys.push(json!({"kty": "OKP", "use": "tomorrow-svid", "crv": "Ed448"}));
    endpoint.publish(&published);
    let relation = refresh(&world);
    assert_eq!(relation["state"], "fetched", "{relation}");
    assert!(believes(&world, &good));
    assert!(!believes(&world, &for_later) && !believes(&world, &nameless));
}

#[test]
fn b_04_b_06_an_empty_bundle_takes_everything_back() {
    let (world, endpoint) = with_web();
    let first = authority(FOREIGN, "First");
    endpoint.publish(&bundle(1, &[&first]));
    refresh(&world);
    assert!(believes(&world, &first));
    endpoint.publish(&json!({"keys": [], "spiffe_sequence": 2}));
    assert_eq!(refresh(&world)["keys"]["x509"], 0);
    assert!(!believes(&world, &first));
}

#[test]
fn f_06_bundles_of_one_trust_domain_and_of_two_are_never_merged() {
    let (world, endpoint) = with_web();
    let first = authority(FOREIGN, "First");
    endpoint.publish(&bundle(1, &[&first]));
    refresh(&world);
    let token = world.operator();
    let anchor = json!({"trust_domain": FOREIGN, "bundle": bundle(1, &[&first])});
    let beside = world.send(&token, "PUT", "/v1/tenants/one/anchors/beside", &anchor);
    assert_eq!(beside.code(), "issue.conflict");
    let name = anchors(&world)[0].0.clone();
    let path = format!("/v1/tenants/one/anchors/{name}");
    assert_eq!(
        world.send(&token, "PUT", &path, &anchor).code(),
        "issue.conflict"
    );
    assert_eq!(
        world.call(&token, "DELETE", &path, None).code(),
        "issue.conflict"
    );
    // And the other way about.
    let other = json!({"trust_domain": "c.test", "bundle": bundle(1, &[])});
    let put = world.send(&token, "PUT", "/v1/tenants/one/anchors/c", &other);
    assert!(put.is_put(), "{}", put.body);
    let relation = json!({"url": "https://localhost/", "profile": "https_web"});
    for name in ["c.test", "one.test"] {
        let path = format!("/v1/tenants/one/federations/{name}");
        let refused = world.send(&token, "PUT", &path, &relation);
        assert_eq!(refused.code(), "issue.conflict", "{name}");
    }
    // A CA that says it is another trust domain's is none of this one.
    let foreign = authority("victim.test", "Victim");
    endpoint.publish(&bundle(2, &[&first, &foreign]));
    assert_eq!(failure(&world), "fetch.bundle_foreign");
    assert_eq!(
        world.get("/t/one/bundle").json()["keys"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn f_09_f_11_f_12_f_19_what_a_relation_needs_is_said_and_never_inferred() {
    let world = world();
    let spiffe = "spiffe://b.test/spire/server";
    let first = authority(FOREIGN, "First");
    let good = bundle(1, &[&first]);
    for (relation, code) in [
        (json!({"profile": "https_web"}), "issue.body_malformed"),
        (json!({"url": "https://b.test/"}), "issue.body_malformed"),
        (
            json!({"url": "https://b.test/", "profile": "https"}),
            "issue.object_malformed",
        ),
        (
            json!({"url": "http://b.test/", "profile": "https_web"}),
            "fetch.url_refused",
        ),
        (
            json!({"url": "https://u:p@b.test/", "profile": "https_web"}),
            "fetch.url_refused",
        ),
        (
            json!({"url": "https://b.test/", "profile": "https_web", "endpoint_spiffe_id": spiffe}),
            "issue.object_malformed",
        ),
        (
            json!({"url": "https://b.test/", "profile": "https_spiffe"}),
            "issue.object_malformed",
        ),
        (
            json!({"url": "https://b.test/", "profile": "https_spiffe", "endpoint_spiffe_id": spiffe}),
            "issue.object_malformed",
        ),
        (
            json!({"url": "https://u@b.test/", "profile": "https_spiffe",
                   "endpoint_spiffe_id": spiffe, "bundle": good}),
            "fetch.url_refused",
        ),
        (
            json!({"url": "https://b.test/", "profile": "https_spiffe",
                   "endpoint_spiffe_id": "b.test", "bundle": good}),
            "spiffe.id_invalid",
        ),
        (
            json!({"url": "https://b.test/", "profile": "https_web", "new": 1}),
            "issue.body_malformed",
        ),
        (
            json!({"url": "https://b.test/", "profile": "https_web", "bundle": {"keys": 1}}),
            "input.bundle_malformed",
        ),
    ] {
        let refused = put(&world, &relation);
        assert_eq!(refused.code(), code, "{relation}: {}", refused.body);
    }
    let web = json!({"url": "https://b.test/", "profile": "https_web"});
    assert!(put(&world, &web).is_put());
}

#[test]
fn f_16_f_18_a_redirect_is_followed_under_the_same_trust_and_not_remembered() {
    let (world, endpoint) = with_web();
    let first = authority(FOREIGN, "First");
    let beside = Endpoint::web(&root("Web"));
    beside.publish(&bundle(3, &[&first]));
    let to = beside.server.url("/there");
    endpoint.tell(307, &[("location", &to)], "");
    assert_eq!(refresh(&world)["sequence"], 3);
    assert_eq!(beside.server.received()[0].path, "/there");
    // The next begins at the address that was said.
    endpoint.publish(&bundle(4, &[&first]));
    assert_eq!(refresh(&world)["sequence"], 4);
    assert_eq!(beside.asked(), 1);
    for location in [
        "http://localhost/",
        "ftp://localhost/",
        "//localhost/",
        "",
        "https://u@localhost/",
    ] {
        endpoint.tell(302, &[("location", location)], "");
        let code = failure(&world);
        assert!(
            ["fetch.redirect_refused", "fetch.url_refused"].contains(&code.as_str()),
            "{code}"
        );
    }
    // Who is not believed at the other end is not believed because the first said so.
    let stranger = Endpoint::web(&root("Stranger"));
    stranger.publish(&bundle(9, &[&first]));
    endpoint.tell(302, &[("location", &stranger.server.url("/"))], "");
    assert_eq!(failure(&world), "fetch.tls_failed");
    // Round and round.
    let own = endpoint.server.url("/bundle");
    endpoint.tell(302, &[("location", &own)], "");
    let before = endpoint.asked();
    assert_eq!(failure(&world), "fetch.redirect_refused");
    assert_eq!(endpoint.asked() - before, 4);
}

#[test]
fn f_17_an_endpoint_of_https_web_is_known_by_its_name() {
    let (world, endpoint) = with_web();
    endpoint.publish(&bundle(1, &[]));
    assert_eq!(refresh(&world)["state"], "fetched");
    endpoint
        .server
        .show(&Shown::under(&root("Web"), &["other.test"]));
    assert_eq!(failure(&world), "fetch.tls_failed");
    endpoint
        .server
        .show(&Shown::under(&root("Other"), &["localhost"]));
    assert_eq!(failure(&world), "fetch.tls_failed");
    let past = Shown::valid(
        &root("Web"),
        &["localhost"],
        "2020-01-01T00:00:00Z",
        "2021-01-01T00:00:00Z",
    );
    endpoint.server.show(&past);
    assert_eq!(failure(&world), "fetch.tls_failed");
}

fn spiffe(endpoint: &Endpoint, id: &str, bundle: Option<Value>) -> Value {
    let mut relation = json!({
        "url": endpoint.server.url("/"),
        "profile": "https_spiffe",
        "endpoint_spiffe_id": id,
    });
    if let Some(bundle) = bundle {
        relation["bundle"] = bundle;
    }
    relation
}

#[test]
fn f_21_f_22_f_23_an_endpoint_of_https_spiffe_is_known_by_its_latest_bundle() {
    let world = world();
    let id = "spiffe://b.test/spire/server";
    let (first, second) = (authority(FOREIGN, "First"), authority(FOREIGN, "Second"));
    let endpoint = Endpoint::showing(&svid(&first, id));
    let put = put(&world, &spiffe(&endpoint, id, Some(bundle(1, &[&first]))));
    assert!(put.is_put(), "{}", put.body);
    endpoint.publish(&bundle(2, &[&first, &second]));
    assert_eq!(refresh(&world)["sequence"], 2);
    // The keys follow each other, and what was configured in the beginning is long gone.
    endpoint.server.show(&svid(&second, id));
    endpoint.publish(&bundle(3, &[&second]));
    assert_eq!(refresh(&world)["sequence"], 3);
    endpoint.publish(&bundle(4, &[&second]));
    assert_eq!(refresh(&world)["sequence"], 4);
    endpoint.server.show(&svid(&first, id));
    assert_eq!(failure(&world), "pki.issuer_not_found");
    let hint = refresh(&world)["failure"]["hint"].to_string();
    assert!(hint.contains("avouch federation put --bundle"), "{hint}");
    // A valid one of another workload there is not the endpoint, and no Web certificate is one.
    endpoint
        .server
        .show(&svid(&second, "spiffe://b.test/other"));
    assert_eq!(failure(&world), "spiffe.id_mismatch");
    endpoint.server.show(&Shown::under(&second, &["localhost"]));
    let code = failure(&world);
    assert!(code.starts_with("spiffe."), "{code}");
    // Also behind a redirect.
    let beside = Endpoint::showing(&svid(&second, "spiffe://b.test/other"));
    beside.publish(&bundle(9, &[&second]));
    endpoint.server.show(&svid(&second, id));
    endpoint.tell(302, &[("location", &beside.server.url("/"))], "");
    assert_eq!(failure(&world), "spiffe.id_mismatch");
}

#[test]
fn f_20_an_endpoint_of_another_trust_domain_is_known_by_what_is_known_of_that() {
    let world = world();
    let id = "spiffe://c.test/endpoint";
    let (host, first) = (authority("c.test", "Host"), authority(FOREIGN, "First"));
    let endpoint = Endpoint::showing(&svid(&host, id));
    let relation = spiffe(&endpoint, id, Some(bundle(1, &[&first])));
    let refused = put(&world, &relation);
    assert_eq!(refused.code(), "issue.object_malformed");
    let anchor = json!({"trust_domain": "c.test", "bundle": bundle(1, &[&host])});
    let token = world.operator();
    let known = world.send(&token, "PUT", "/v1/tenants/one/anchors/c", &anchor);
    assert!(known.is_put(), "{}", known.body);
    assert!(put(&world, &relation).is_put());
    endpoint.publish(&bundle(2, &[&first]));
    assert_eq!(refresh(&world)["sequence"], 2);
}

#[test]
fn f_25_what_came_of_a_relation_goes_with_it() {
    let (world, endpoint) = with_web();
    let first = authority(FOREIGN, "First");
    endpoint.publish(&bundle(1, &[&first]));
    refresh(&world);
    assert!(believes(&world, &first));
    let token = world.operator();
    assert_eq!(world.call(&token, "DELETE", RELATION, None).status, 204);
    assert!(!believes(&world, &first));
    assert!(anchors(&world).is_empty());
    assert_eq!(world.call(&token, "GET", RELATION, None).status, 404);
    assert_eq!(world.call(&token, "DELETE", RELATION, None).status, 404);
    let answer = world.call(&token, "GET", "/v1/tenants/one/federations", None);
    assert_eq!(answer.json(), json!({"federations": []}));
}

#[test]
fn f_03_f_24_an_endpoint_is_asked_as_often_as_its_bundle_says_and_no_more_when_it_fails() {
    let (world, endpoint) = with_web();
    let first = authority(FOREIGN, "First");
    endpoint.publish(&bundle(1, &[&first]));
    world
        .runtime()
        .spawn(federation::follow(Arc::clone(&world.plane)));
    let until = |what: &dyn Fn() -> bool| {
        for _ in 0..100 {
            if what() {
                return;
            }
            pause(Duration::from_millis(100));
        }
        panic!("it never came");
    };
    // At once, and then each second.
    until(&|| endpoint.asked() >= 3);
    assert!(believes(&world, &first));
    endpoint.tell(503, &[("retry-after", "0")], "");
    let shown = || world.call(&world.operator(), "GET", RELATION, None).json();
    until(&|| shown()["failures"].as_u64().unwrap() >= 1);
    let (before, failures) = (endpoint.asked(), shown()["failures"].as_u64().unwrap());
    pause(Duration::from_millis(3_000));
    let asked = endpoint.asked() - before;
    assert!((1..=4).contains(&asked), "{asked} times in three seconds");
    let shown = shown();
    assert_eq!(shown["failure"]["code"], "fetch.status");
    assert!(shown["failures"].as_u64().unwrap() > failures);
    assert!(shown["age"].as_i64().unwrap() >= 2, "{shown}");
    // What was there before is believed on.
    assert!(believes(&world, &first));
    // Who says nothing is asked every five minutes, and who says a year, every day.
    for (hint, seconds) in [(json!(null), 300), (json!(31_536_000), 86_400)] {
        let mut bundle = bundle(2, &[&first]);
        match hint.is_null() {
            true => drop(
                bundle
                    .as_object_mut()
                    .unwrap()
                    .remove("spiffe_refresh_hint"),
            ),
            false => bundle["spiffe_refresh_hint"] = hint,
        }
        endpoint.publish(&bundle);
        let shown = refresh(&world);
        let next = shown["next_attempt"].as_str().unwrap().to_owned();
        let next = avouch_api::text::time(&next).unwrap();
        let left = next.since(world.plane.now());
        assert!((seconds - 5..=seconds).contains(&left), "{left}");
    }
}

#[test]
fn hostile_endpoints_are_refused_by_name_and_what_was_there_stays() {
    let (world, endpoint) = with_web();
    let first = authority(FOREIGN, "First");
    endpoint.publish(&bundle(5, &[&first]));
    refresh(&world);
    let key = json!({"kty": "EC", "use": "x509-svid"});
    let many = json!({"keys": vec![key; 10_000], "spiffe_sequence": 6}).to_string();
    let private = json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "jwt-svid", "kid": "k",
                                   "x": "AA", "y": "AA", "d": "AA"}]});
    for (status, body, code) in [
        (404, String::new(), "fetch.status"),
        (500, bundle(6, &[]).to_string(), "fetch.status"),
        (204, String::new(), "fetch.status"),
        (200, String::new(), "input.bundle_malformed"),
        (200, "<html><form>".to_owned(), "input.bundle_malformed"),
        (
            200,
            "{\"keys\": [], \"keys\": []}".to_owned(),
            "input.bundle_malformed",
        ),
        (
            200,
            "{\"spiffe_sequence\": 6}".to_owned(),
            "input.bundle_malformed",
        ),
        (200, "{\"keys\": {}}".to_owned(), "input.bundle_malformed"),
        (
            200,
            "{\"keys\": [], \"spiffe_sequence\": \"6\"}".to_owned(),
            "input.bundle_malformed",
        ),
        (200, private.to_string(), "input.jwks_private_key"),
        (200, bundle(4, &[]).to_string(), "fetch.bundle_older"),
        (200, many, "fetch.too_large"),
        (
            200,
            json!({"keys": vec![json!({"use": "x"}); 600]}).to_string(),
            "fetch.bundle_large",
        ),
        (200, " ".repeat(1 << 20), "fetch.too_large"),
    ] {
        endpoint.tell(status, &[], &body);
        assert_eq!(failure(&world), code, "{status} {body:.60}");
        assert!(believes(&world, &first));
    }
    endpoint.publish(&bundle(6, &[&first]));
    let shown = refresh(&world);
    assert_eq!(
        (&shown["state"], &shown["failures"]),
        (&json!("fetched"), &json!(0))
    );
    assert!(shown.get("failure").is_none(), "{shown}");
}

#[test]
fn hostile_endpoints_that_drip_hold_nobody_up() {
    let world = world();
    let root = root("Web");
    let shown = Shown::under(&root, &["localhost"]);
    let server = HttpsServer::start(&shown, |_, wire| {
        wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
        for _ in 0..1_000 {
            wire.write_all(b" ")?;
            wire.flush()?;
            pause(Duration::from_millis(200));
        }
        Ok(())
    });
    let relation = json!({
        "url": server.url("/"),
        "profile": "https_web",
        "roots": [pem("CERTIFICATE", &root.certificate)],
    });
    assert!(put(&world, &relation).is_put());
    assert_eq!(failure(&world), "fetch.too_slow");
}

#[test]
fn an_address_that_only_the_server_can_reach_is_not_called_for_a_tenant() {
    let world = World::new();
    for url in [
        "https://127.0.0.1:1/",
        "https://localhost:1/",
        "https://169.254.169.254/latest",
    ] {
        let relation = json!({"url": url, "profile": "https_web"});
        assert!(put(&world, &relation).is_put());
        assert_eq!(failure(&world), "fetch.address_forbidden", "{url}");
    }
}

/// It is done, or was already: what a root signed goes with the root.
fn settled(step: Result<(), Refused>) {
    match step {
        Ok(()) => {}
        Err(Refused::Reason(reason)) => assert_eq!(reason.code(), "issue.authority_state"),
        Err(fault) => panic!("{fault}"),
    }
}

/// The authorities of a tenant that are in this state.
fn in_state(tenant: &Tenant, state: &str) -> Vec<String> {
    tenant.read(|held| {
        let all = held.authorities.values();
        let of_state = all.filter(|record| record.state.name() == state);
        of_state.map(|record| record.id.to_string()).collect()
    })
}

#[test]
fn f01_f02_b02_two_deployments_federate_by_https_spiffe_through_a_change_of_all_keys() {
    let (here, there) = (world(), world());
    let domain = TrustDomain::parse("two.test").unwrap();
    let endpoint = SpiffeEndpoint::new(Arc::clone(&there.plane), Some(domain.clone()));
    let address = there.serve(Showing::Spiffe(Arc::new(endpoint)));
    // Two deployments with trust domains of the same names: here `two.test` is foreign to `one`.
    let token = here.operator();
    let path = "/v1/tenants/one/federations/two.test";
    let relation = json!({
        "url": format!("https://localhost:{}/t/two/bundle/two.test", address.port()),
        "endpoint_spiffe_id": "spiffe://two.test/avouch/server",
        "profile": "https_spiffe",
        "bundle": there.get("/t/two/bundle").json(),
    });
    let put = here.send(&token, "PUT", path, &relation);
    assert!(put.is_put(), "{}", put.body);
    let refresh = || {
        let answer = here.call(&token, "POST", &format!("{path}/refresh"), None);
        let shown = answer.json();
        assert_eq!(shown["state"], "fetched", "{shown}");
    };
    let verdict_on = |svid: &Identity| {
        let chain = svid.chain.iter().map(|der| Base64::encode_string(der));
        let chain: Vec<String> = chain.collect();
        let question = json!({
            "credential": {"x509": {"chain": chain}},
            "expect": {"spiffe": "spiffe://two.test/web"},
        });
        here.send(&token, "POST", "/t/one/decide", &question).json()["verdict"].clone()
    };
    let verdict = || verdict_on(&there.svid("spiffe://two.test/web"));
    refresh();
    let kept = there.svid("spiffe://two.test/web");
    assert_eq!(verdict_on(&kept), "accept");
    let two = there.plane.tenant_named("two").unwrap().unwrap();
    // F-01: what will sign is in the bundle before it does.
    let before = there.get("/t/two/bundle").json();
    there.plane.prepare(&two, &domain).unwrap();
    let prepared = there.get("/t/two/bundle").json();
    let keys = |bundle: &Value| bundle["keys"].as_array().unwrap().clone();
    assert_eq!((keys(&before).len(), keys(&prepared).len()), (3, 6));
    // B-02: and the number is another.
    let number = |bundle: &Value| bundle["spiffe_sequence"].as_u64().unwrap();
    assert!(number(&prepared) > number(&before));
    refresh();
    let first = in_state(&two, "active");
    first
        .iter()
        .for_each(|id| settled(there.plane.taint(&two, id, false)));
    let tainted = in_state(&two, "tainted");
    // With the successor that the old root had signed.
    assert!(
        first.iter().all(|id| tainted.contains(id)) && tainted.len() == 5,
        "{tainted:?}"
    );
    assert_eq!(verdict(), "accept", "what signs now was known before");
    refresh();
    assert_eq!(verdict(), "accept");
    assert_eq!(
        verdict_on(&kept),
        "accept",
        "what was signed before is believed until it is revoked"
    );
    // F-02: what is revoked is out of the bundle, and out of what is believed here.
    first
        .iter()
        .for_each(|id| settled(there.plane.revoke(&two, id, true)));
    assert_eq!(
        (in_state(&two, "revoked"), in_state(&two, "tainted")),
        (tainted, Vec::new())
    );
    let after = keys(&there.get("/t/two/bundle").json());
    assert!(keys(&before).iter().all(|key| !after.contains(key)));
    let known = keys(&prepared);
    assert_eq!(
        after.iter().filter(|key| known.contains(key)).count(),
        3,
        "all that was prepared"
    );
    refresh();
    assert_eq!([verdict(), verdict_on(&kept)], ["accept", "reject"]);
}

#[test]
fn what_a_peer_publishes_does_not_change_the_number_of_what_is_published_here() {
    let (world, endpoint) = with_web();
    let number = || world.get("/t/one/bundle").json()["spiffe_sequence"].clone();
    let before = number();
    endpoint.publish(&bundle(1, &[&authority(FOREIGN, "First")]));
    refresh(&world);
    assert_eq!(
        number(),
        before,
        "two that federate would never come to rest"
    );
}
