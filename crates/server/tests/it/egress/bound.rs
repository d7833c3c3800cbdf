//! Who may use an API beside those who show a certificate: holders of tokens that are bound to a key,
//! and those of whom more is known than their name.

use std::time::Duration;

use avouch_api::text::pem_blocks;
use avouch_server::entries::EntryDraft;
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, hash};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use super::{BILLING, Scene};
use crate::exchange::{OURSELVES, exchange_form, public};
use crate::http::{Answer, request, send};
use crate::tls::{Caller, Identity};

const WHERE: &str = "http://127.0.0.1:8080/t/one/egress/payments";

/// A workload that cannot do mutual TLS.
struct Holder<'a> {
    scene: &'a Scene,
    key: Key,
    token: String,
}

impl Holder<'_> {
    fn proof(&self, number: u32, changed: &[(&str, Value)]) -> String {
        let mut forge = TokenForge::saying(json!({
            "jti": format!("use-{number}"), "htm": "GET", "htu": format!("{WHERE}/v1/charges"),
            "iat": self.scene.world.plane.now().unix(), "ath": hash(&self.token),
        }));
        for (name, value) in changed {
            forge = forge.claim(name, value.clone());
        }
        let forge = forge.header("typ", json!("dpop+jwt"));
        forge
            .header("jwk", public(&self.key))
            .sign_nameless(&self.key)
    }

    fn call(&self, scheme: &str, proofs: &[&str]) -> Answer {
        let shown = format!("{scheme} {}", self.token);
        let mut headers = vec![("authorization", shown.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        let path = "/t/one/egress/payments/v1/charges?limit=3";
        send(
            self.scene.world.address,
            &request("GET", path, &headers, None),
        )
    }
}

/// Exchanges the JWT-SVID of a workload for one that is bound to a key and for this API alone.
fn holder(scene: &Scene) -> Holder<'_> {
    let server = scene.world.plane.server_id().to_string();
    let rule = json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": "/batch"}},
        "subject_audiences": [server],
        "gives": {"spiffe_id": "spiffe://one.test/jobs/bound", "kinds": ["jwt-svid"],
                  "audiences": [WHERE]},
        "owner": "payments", "reason": "batches cannot do mutual TLS",
    });
    let operator = scene.world.operator();
    let put = scene
        .world
        .send(&operator, "PUT", "/v1/tenants/one/rules/bound", &rule);
    assert!(put.is_put(), "{}", put.body);
    let key = Key::p256("batch");
    let proof = TokenForge::saying(json!({
        "jti": "exchange", "htm": "POST", "htu": format!("{OURSELVES}/token"),
        "iat": scene.world.plane.now().unix(),
    }));
    let proof = proof
        .header("typ", json!("dpop+jwt"))
        .header("jwk", public(&key));
    let proof = proof.sign_nameless(&key);
    let form = exchange_form(&scene.world.token("spiffe://one.test/batch"), &[]);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("dpop", proof.as_str()),
    ];
    let answer = send(
        scene.world.address,
        &request("POST", "/t/one/token", &headers, Some(&form)),
    );
    Holder {
        scene,
        key,
        token: crate::exchange::token(&answer),
    }
}

#[test]
fn who_holds_the_key_of_a_token_uses_an_api_with_a_proof_for_each_request() {
    let scene = Scene::new();
    let holder = holder(&scene);
    let proof = holder.proof(1, &[]);
    let used = holder.call("DPoP", &[&proof]);
    assert_eq!(used.status, 200, "{}", used.body);
    let received = scene.api.received().pop().unwrap();
    assert!(!received.headers.contains_key("dpop"), "{received:?}");
    assert!(!format!("{received:?}").contains(&holder.token));
    let again = holder.call("DPoP", &[&proof]);
    assert_eq!(
        (again.status, again.code().as_str()),
        (400, "issue.token_used")
    );
    // Whoever has the token and not the key has nothing, however they show it.
    let refused = |scheme: &str, proofs: &[&str]| {
        let answer = holder.call(scheme, proofs);
        (answer.status, answer.code())
    };
    let bearer = refused("Bearer", &[]);
    assert_eq!(bearer, (401, "federation.proof_missing".to_owned()));
    let other = Holder {
        key: Key::p256("thief"),
        token: holder.token.clone(),
        scene: &scene,
    };
    for (number, proofs) in [
        vec![],
        vec![holder.proof(2, &[]), holder.proof(3, &[])],
        vec![holder.proof(4, &[("htm", json!("POST"))])],
        vec![holder.proof(5, &[("htu", json!(format!("{WHERE}/v1/refunds")))])],
        vec![holder.proof(
            6,
            &[("htu", json!(format!("{OURSELVES}/egress/other/v1/charges")))],
        )],
        vec![holder.proof(7, &[("ath", json!(hash("another")))])],
        vec![holder.proof(8, &[("iat", json!(1_000_000))])],
        vec!["x.y.z".to_owned()],
    ]
    .into_iter()
    .enumerate()
    {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let found = refused("DPoP", &proofs);
        assert_eq!(found, (401, "issue.proof_invalid".to_owned()), "{number}");
    }
    let stolen = refused("DPoP", &[&other.proof(9, &[])]);
    assert_eq!(stolen, (401, "federation.proof_missing".to_owned()));
    // One that is bound to nothing is anyone's, whatever key is shown beside it.
    let unbound = Holder {
        key: Key::p256("batch"),
        token: scene.world.token(BILLING),
        scene: &scene,
    };
    let answer = unbound.call("DPoP", &[&unbound.proof(10, &[])]);
    assert_eq!(answer.code(), "issue.proof_invalid");
    assert_eq!(scene.api.received().len(), 1);
}

/// Puts the first rule of an API with these members.
fn ask(scene: &Scene, rule: &Value) {
    let mut document = scene.document.clone();
    for (name, value) in rule.as_object().unwrap() {
        document["rules"][0][name] = value.clone();
    }
    let put = scene.put(&document);
    assert!(put.is_put(), "{}", put.body);
}

fn entry(scene: &Scene, (name, id): (&str, &str), owner: Option<&str>, selectors: &[&str]) {
    let tenant = scene.world.plane.tenant_named("one").unwrap().unwrap();
    let draft = EntryDraft {
        id: Some(name.to_owned()),
        spiffe_id: id.to_owned(),
        selectors: selectors.iter().map(|one| (*one).to_owned()).collect(),
        owner: owner.map(str::to_owned),
        ..EntryDraft::default()
    };
    let put = scene.world.plane.put_entries(&tenant, vec![draft]).unwrap();
    put[0].as_ref().unwrap();
}

/// What whoever shows this gets of the API.
fn status(scene: &Scene, shown: &Identity) -> u16 {
    let caller = Caller::believing(&crate::tls::root("Web")).showing(shown.clone());
    let get = request("GET", "/t/one/egress/payments/v1/charges", &[], None);
    let answer = caller.send(scene.address, crate::secured::HOST, &get);
    answer.status
}

/// Waits until it is another second: what is on record is so to the second.
fn later(scene: &Scene) {
    let before = scene.world.plane.now();
    let (_keep, nothing) = std::sync::mpsc::channel::<()>();
    while scene.world.plane.now() == before {
        let _ = nothing.recv_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_rule_can_ask_for_what_was_attested_of_a_workload_when_it_got_what_it_shows() {
    let scene = Scene::new();
    let billing = ("billing", BILLING);
    let ours = ["k8s:ns:billing", "k8s:sa:main"];
    let weak = scene.world.svid(BILLING);
    ask(
        &scene,
        &json!({"facts": {"entry.owner": "payments"}, "attested": ["k8s:ns:billing"]}),
    );
    // The entry says nothing of an owner, and a fact that is not there never matches.
    assert_eq!(status(&scene, &weak), 403);
    later(&scene);
    entry(&scene, billing, Some("payments"), &ours);
    // What was had for less is not made better by what the entry asks for now.
    assert_eq!(status(&scene, &weak), 403);
    let strong = scene.world.svid_of("billing", BILLING);
    assert_eq!(status(&scene, &strong), 200);
    // Who answers for it, and for what it is, is said of it as it stands.
    entry(&scene, billing, Some("web"), &ours);
    assert_eq!(status(&scene, &strong), 403);
    entry(&scene, billing, Some("payments"), &ours);
    assert_eq!(status(&scene, &strong), 200);
    // Another way to the same name is told apart from it.
    entry(
        &scene,
        ("second", BILLING),
        Some("payments"),
        &["unix:uid:0"],
    );
    assert_eq!(status(&scene, &strong), 200);
    let second = scene.world.svid_of("second", BILLING);
    assert_eq!(status(&scene, &second), 403);
    later(&scene);
    entry(&scene, billing, Some("payments"), &["k8s:sa:main"]);
    entry(&scene, billing, Some("payments"), &ours);
    assert_eq!(status(&scene, &strong), 403);
    assert_eq!(
        status(&scene, &scene.world.svid_of("billing", BILLING)),
        200
    );
}

#[test]
fn nothing_was_attested_of_who_brings_a_request_by_hand_or_exchanges() {
    let scene = Scene::new();
    let selectors = ["k8s:ns:billing"];
    entry(&scene, ("billing", BILLING), None, &selectors);
    ask(&scene, &json!({"attested": selectors}));
    assert_eq!(
        status(&scene, &scene.world.svid_of("billing", BILLING)),
        200
    );
    let key = Key::ed25519("by hand");
    let body = json!({
        "signing_request": pem("CERTIFICATE REQUEST", &crate::world::signing_request(&key)),
        "spiffe_id": BILLING,
    });
    let path = "/v1/tenants/one/certificates";
    let signed = scene
        .world
        .send(&scene.world.operator(), "POST", path, &body);
    assert_eq!(signed.status, 200, "{}", signed.body);
    let chain = signed.json()["certificates"].as_str().unwrap().to_owned();
    let blocks = pem_blocks(&chain).unwrap();
    let chain = blocks.iter().map(|block| block.decode().unwrap()).collect();
    assert_eq!(status(&scene, &Identity { chain, key }), 403);
    // What was given in exchange is of no entry, also once nothing says so any more.
    let holder = holder(&scene);
    entry(
        &scene,
        ("bound", "spiffe://one.test/jobs/bound"),
        None,
        &selectors,
    );
    let used = |number| holder.call("DPoP", &[&holder.proof(number, &[])]).status;
    assert_eq!(used(20), 403);
    let rule = "/v1/tenants/one/rules/bound";
    let operator = scene.world.operator();
    let gone = scene.world.call(&operator, "DELETE", rule, None);
    assert!(gone.status < 300, "{}", gone.body);
    assert_eq!(used(21), 403);
    // A name alone is known of whoever has it.
    ask(&scene, &json!({"facts": {"spiffe.path": "/jobs/bound"}}));
    assert_eq!(used(22), 200);
}

#[test]
fn what_a_rule_asks_for_is_read_strictly() {
    let scene = Scene::new();
    let asks = |rule: Value| {
        let mut document = scene.document.clone();
        for (name, value) in rule.as_object().unwrap() {
            document["rules"][0][name] = value.clone();
        }
        scene.put(&document)
    };
    for wrong in [
        json!({"facts": {}}),
        json!({"facts": []}),
        json!({"facts": {"entry.owner": "pay*"}}),
        json!({"facts": {"owner": "payments"}}),
        json!({"attested": ["billing"]}),
    ] {
        assert_eq!(asks(wrong.clone()).status, 400, "{wrong}");
    }
}
