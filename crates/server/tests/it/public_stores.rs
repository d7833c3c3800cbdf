//! Public stores of authorities: labelled wherever they count, and for servers only.

use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{self, KeyUsage};
use avouch_testkit::https::VALID;
use avouch_testkit::key::Key;
use avouch_testkit::name::GeneralName;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::registry::{Registry, with};

const HOST: &str = "db.example.com";
const STORE: &str = "/v1/tenants/one/anchors/web-pki";

/// A store of two, of which one signs.
fn store(registry: &Registry) -> Authority {
    let roots = [
        Authority::root("Public Root"),
        Authority::root("Public Root 2"),
    ];
    let texts = roots.iter().map(|root| certificate(&root.certificate));
    let document = json!({
        "store": {"label": "web-pki", "source": "roots of a browser", "as_of": "2024-01-01T00:00:00Z"},
        "x509": texts.collect::<String>(), "owner": "platform team",
    });
    let put = registry.call("PUT", STORE, Some(&document));
    assert!(put.is_put(), "{}", put.body);
    assert_eq!(put.json()["store"]["certificates"], 2, "{}", put.body);
    let [first, _] = roots;
    first
}

/// A machine that may be both ends of TLS, as far as its certificate says.
fn machine(root: &Authority) -> Vec<u8> {
    let key = Key::ed25519(HOST);
    let usages = [extension::SERVER_AUTH, extension::CLIENT_AUTH];
    let forge = CertificateForge::bare(HOST, &key)
        .valid(VALID.0, VALID.1)
        .with(extension::key_usage(&[KeyUsage::DigitalSignature]))
        .with(extension::extended_key_usage(&usages))
        .with(extension::subject_alternative_names(&[GeneralName::dns(
            HOST,
        )]));
    root.issue(forge)
}

/// A workload of the tenant, as far as its certificate says.
fn workload(root: &Authority) -> Vec<u8> {
    let key = Key::ed25519("workload");
    let forge = CertificateForge::svid("spiffe://one.test/db", &key);
    root.issue(forge.valid(VALID.0, VALID.1))
}

fn certificate(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// What is answered to someone who may read the anchors of the tenant.
fn asked(registry: &Registry, leaf: &[u8], more: Value) -> Value {
    let question = with(
        json!({"credential": {"x509": {"chain": [certificate(leaf)]}}}),
        more,
    );
    let answer = registry.call("POST", "/t/one/decide", Some(&question));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn of_server(registry: &Registry, root: &Authority) -> Value {
    let more = json!({"profile": "webpki", "purpose": "server", "expect": {"dns": HOST}});
    let leaf = CertificateForge::server(HOST).valid(VALID.0, VALID.1);
    asked(registry, &root.issue(leaf), more)
}

fn listed(registry: &Registry) -> Value {
    let path = "/v1/tenants/one/anchors";
    registry.call("GET", path, None).json()["anchors"].clone()
}

#[test]
fn a_verdict_that_rests_on_a_public_store_says_so_and_how_old_that_is() {
    let registry = Registry::new();
    let root = store(&registry);
    let verdict = of_server(&registry, &root);
    assert_eq!(verdict["verdict"], "accept", "{verdict:#}");
    let expected = json!({
        "label": "web-pki", "source": "roots of a browser", "as_of": "2024-01-01T00:00:00Z",
    });
    assert_eq!(verdict["anchor"]["store"], expected);
    let told = &listed(&registry)[0]["store"];
    let age = told["age"].as_i64().unwrap();
    let since = 1_704_067_200;
    assert_eq!(age, registry.now() - since, "{told}");
    assert_eq!(told["source"], "roots of a browser");
}

#[test]
fn a_public_store_vouches_neither_for_clients_nor_for_workloads() {
    let registry = Registry::new();
    let root = store(&registry);
    let machine = machine(&root);
    let svid = workload(&root);
    for (leaf, more) in [
        (&machine, json!({"profile": "private", "purpose": "client"})),
        (&machine, json!({"profile": "private", "purpose": "any"})),
        (&machine, json!({"profile": "private"})),
        (&svid, json!({"profile": "spiffe", "purpose": "server"})),
        (&svid, json!({"profile": "spiffe"})),
    ] {
        let verdict = asked(&registry, leaf, more.clone());
        let code = &verdict["reason"]["code"];
        assert_eq!(code, "policy.public_store", "{more}: {verdict:#}");
    }
    let server = json!({"profile": "private", "purpose": "server"});
    let verdict = asked(&registry, &machine, server);
    assert_eq!(verdict["verdict"], "accept", "{verdict:#}");
    // An anchor of one's own with the same key may, and is told to be public as well.
    let own = json!({"x509": certificate(&root.certificate), "owner": "me"});
    let put = registry.call("PUT", "/v1/tenants/one/anchors/own", Some(&own));
    assert_eq!(put.json()["also_in"], json!(["web-pki"]), "{}", put.body);
    let verdict = asked(&registry, &svid, json!({"profile": "spiffe"}));
    assert_eq!(verdict["verdict"], "accept", "{verdict:#}");
    assert_eq!(verdict["anchor"]["name"], "own");
    assert_eq!(verdict["anchor"]["store"], Value::Null);
    let anchors = listed(&registry);
    let names = |member: &str| {
        let all = anchors.as_array().unwrap().iter();
        let with = all.filter(|anchor| !anchor[member].is_null());
        with.map(|anchor| anchor["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("store"), ["web-pki"]);
    assert_eq!(names("also_in"), ["own"]);
    // Whoever says so in as many words has clients, too.
    registry.call("DELETE", "/v1/tenants/one/anchors/own", None);
    let document = json!({
        "store": {"label": "web-pki", "source": "roots of a browser", "as_of": "2024-01-01"},
        "x509": certificate(&root.certificate), "constraints": {"purposes": ["server", "client"]},
    });
    registry.call("PUT", STORE, Some(&document));
    let client = json!({"profile": "private", "purpose": "client"});
    let verdict = asked(&registry, &machine, client);
    assert_eq!(verdict["verdict"], "accept", "{verdict:#}");
}

#[test]
fn what_is_no_store_is_not_labelled_as_one() {
    let registry = Registry::new();
    let root = certificate(&Authority::root("Public Root").certificate);
    let good = json!({"label": "web-pki", "source": "roots", "as_of": "2024-01-01"});
    for (store, body) in [
        (
            with(good.clone(), json!({"label": "private"})),
            json!({ "x509": root }),
        ),
        (
            with(good.clone(), json!({"as_of": "soon"})),
            json!({ "x509": root }),
        ),
        (
            with(good.clone(), json!({"maker": "me"})),
            json!({ "x509": root }),
        ),
        (
            json!({"label": "web-pki", "source": "roots"}),
            json!({ "x509": root }),
        ),
        (json!("web-pki"), json!({ "x509": root })),
        (
            good,
            json!({"issuer": "https://issuer.test", "jwks": {"keys": []}}),
        ),
    ] {
        let document = with(body, json!({ "store": store }));
        let refused = registry.call("PUT", STORE, Some(&document));
        assert_eq!(refused.status, 400, "{document}: {}", refused.body);
        assert!(!refused.code().is_empty());
    }
    assert_eq!(listed(&registry), json!([]));
}
