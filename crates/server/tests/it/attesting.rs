//! Nodes that show who they are instead of bringing a token.

use std::thread;

use avouch_api::attestation::statement;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::{Evidence, Intention, X509Possession};
use avouch_core::reason::Reason;
use avouch_server::Refused;
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::Wanted;
use avouch_server::nodes::{Admitted, Membership};
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::{Authority, pem};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::away::Cut;
use crate::world::{World, signing_request};

const CHALLENGE: [u8; 32] = [7; 32];

/// The number of Ed25519 among the signature schemes of TLS (RFC 8446 4.2.3).
const ED25519: u32 = 0x0807;

pub(crate) fn by(method: &str) -> Intention {
    Intention {
        tenant: "one".to_owned(),
        attestor: method.to_owned(),
        method: method.to_owned(),
    }
}

pub(crate) fn put(world: &World, name: &str, document: &Value) {
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    world.plane.put_attestor(&tenant, name, document).unwrap();
}

pub(crate) fn machines() -> Authority {
    Authority::root("machines")
}

pub(crate) fn x509pop() -> Value {
    let root = pem("CERTIFICATE", &machines().certificate);
    json!({"method": "x509pop", "trust": {"anchors": [{"x509": root}]}})
}

/// A certificate with a common name and a DNS name, and its key.
pub(crate) fn machine(authority: &Authority, name: &str) -> (Vec<Vec<u8>>, Key) {
    let key = Key::ed25519(name);
    let forge = CertificateForge::server_with(name, &key);
    let leaf = authority.issue(forge.valid("2020-01-01T00:00:00Z", "2045-01-01T00:00:00Z"));
    (vec![leaf], key)
}

/// What a node signs, and what it sends.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) intention: Intention,
    pub(crate) challenge: [u8; 32],
    pub(crate) request: Vec<u8>,
}

impl Asked {
    pub(crate) fn new(intention: Intention) -> Self {
        Self {
            intention,
            challenge: CHALLENGE,
            request: signing_request(&Key::p256("node key")),
        }
    }

    pub(crate) fn statement(&self) -> Vec<u8> {
        statement("top.test", &self.intention, &self.challenge, &self.request)
    }

    /// Shows a certificate with the signature of a key.
    pub(crate) fn possession(&self, chain: &[Vec<u8>], key: &Key) -> Shown {
        Shown::X509pop(X509Possession {
            certificates: chain.to_vec(),
            scheme: ED25519,
            signature: key.sign(key.scheme(), &self.statement()),
        })
    }

    pub(crate) fn send(&self, world: &World, shown: Shown) -> Result<Membership, Refused> {
        let evidence = Evidence {
            signing_request: self.request.clone(),
            shown: Some(shown),
        };
        world
            .plane
            .attest(&self.intention, &self.challenge, &evidence, None, None)
    }
}

pub(crate) fn show(
    world: &World,
    intention: Intention,
    shown: Shown,
) -> Result<Membership, Refused> {
    Asked::new(intention).send(world, shown)
}

pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, Refused>) -> &'static str {
    match answer {
        Err(Refused::Reason(reason)) => {
            let (sentence, hint) = (reason.sentence(), reason.hint());
            assert!(!sentence.contains(['{', '}']), "{sentence}");
            assert!(!hint.contains(['{', '}']), "{hint}");
            reason.code()
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn admitted(world: &World, member: Membership) -> Admitted {
    let caller = world.plane.identify_client(member.certificates).unwrap();
    world.plane.admit(&caller).unwrap()
}

fn issue(world: &World, node: &Admitted, entry: &str) -> Result<(), Reason> {
    let wanted = [Wanted {
        entry: entry.to_owned(),
        public_key: Key::p256("workload").public_key_info(),
        facts: Vec::new(),
    }];
    let answers = world.plane.issue_x509(node, "one", &wanted).unwrap();
    answers.into_iter().next().unwrap().map(drop)
}

fn entry(world: &World, id: &str, node_selector: &str) {
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let draft = EntryDraft {
        id: Some(id.to_owned()),
        spiffe_id: format!("spiffe://one.test/{id}"),
        node_selectors: vec![node_selector.to_owned()],
        selectors: vec!["unix:uid:1000".to_owned()],
        ..EntryDraft::default()
    };
    let answers = world.plane.put_entries(&tenant, vec![draft]).unwrap();
    answers.into_iter().next().unwrap().unwrap();
}

#[test]
fn a_machine_with_a_certificate_joins_and_what_was_attested_of_it_selects_entries() {
    let world = World::new();
    put(&world, "x509pop", &x509pop());
    let (chain, key) = machine(&machines(), "web-1.example.com");
    let asked = Asked::new(by("x509pop"));
    let member = asked.send(&world, asked.possession(&chain, &key)).unwrap();
    let id = member.id.to_string();
    assert!(
        id.starts_with("spiffe://one.test/avouch/node/x509pop-"),
        "{id}"
    );
    let node = admitted(&world, member);
    entry(&world, "web", "x509pop:subject:cn:web-1.example.com");
    entry(&world, "db", "x509pop:subject:cn:db-1.example.com");
    issue(&world, &node, "web").unwrap();
    assert_eq!(
        issue(&world, &node, "db").unwrap_err().code(),
        "issue.object_unknown"
    );
    let token = world.operator();
    let name = id.rsplit('/').next().unwrap();
    let shown = world.call(
        &token,
        "GET",
        &format!("/v1/tenants/one/nodes/{name}"),
        None,
    );
    let shown = shown.json();
    assert_eq!(
        (&shown["attested_by"], &shown["attestor"]),
        (&json!("x509pop"), &json!("x509pop"))
    );
    let facts = shown["facts"].as_array().unwrap();
    assert!(
        facts.contains(&json!("x509pop:dns:web-1.example.com")),
        "{facts:?}"
    );
    // The one that the node may not serve is near, and it is said what the node lacks.
    let asked = json!({"selectors": ["unix:uid:1000"], "node": id});
    let told = world.send(&token, "POST", "/v1/tenants/one/why-not", &asked);
    let told = told.json();
    assert_eq!(told["matching"][0]["entry"], "web");
    assert_eq!(
        told["nearly"][0]["node_missing"],
        json!(["x509pop:subject:cn:db-1.example.com"])
    );
    // Forgotten, it is not admitted until it joins again.
    let path = format!("/v1/tenants/one/nodes/{name}");
    assert_eq!(world.call(&token, "DELETE", &path, None).status, 204);
    assert_eq!(world.call(&token, "GET", &path, None).status, 404);
}

#[test]
fn keys_of_other_kinds_show_possession_by_the_schemes_of_tls() {
    let world = World::new();
    put(&world, "x509pop", &x509pop());
    for (key, scheme, number) in [
        (Key::p256("a"), Key::p256("a").scheme(), 0x0403),
        (Key::p384("b"), Key::p384("b").scheme(), 0x0503),
        (Key::p521("c"), Key::p521("c").scheme(), 0x0603),
        (
            Key::rsa(RsaTestKey::A),
            avouch_testkit::key::Scheme::RsaPssSha256,
            0x0804,
        ),
    ] {
        let forge = CertificateForge::server_with("a.example.com", &key);
        let leaf = machines().issue(forge.valid("2020-01-01T00:00:00Z", "2045-01-01T00:00:00Z"));
        let asked = Asked::new(by("x509pop"));
        let with = |number| {
            Shown::X509pop(X509Possession {
                certificates: vec![leaf.clone()],
                scheme: number,
                signature: key.sign(scheme, &asked.statement()),
            })
        };
        asked.send(&world, with(number)).unwrap();
        // PKCS#1 v1.5 (0x0401) and what does not belong to the key are not taken.
        for other in [0x0401, ED25519, number + 1, 1 << 20] {
            assert_eq!(
                code(asked.send(&world, with(other))),
                "issue.attestation_not_proven"
            );
        }
    }
}

#[test]
fn whoever_has_not_the_key_or_is_not_vouched_for_is_refused() {
    let world = World::new();
    put(&world, "x509pop", &x509pop());
    put(&world, "other", &x509pop());
    let (chain, key) = machine(&machines(), "web-1.example.com");
    let asked = Asked::new(by("x509pop"));
    let signed = asked.possession(&chain, &key);
    let not_proven = "issue.attestation_not_proven";
    let refused = |asked: &Asked, shown: &Shown| code(asked.send(&world, shown.clone()));

    // What was signed for one call is worth nothing in another: another challenge, another key to
    // be certified, another attestor.
    let challenged = Asked {
        challenge: [8; 32],
        ..asked.clone()
    };
    assert_eq!(refused(&challenged, &signed), not_proven);
    let relayed = Asked {
        request: signing_request(&Key::p256("of the attacker")),
        ..asked.clone()
    };
    assert_eq!(refused(&relayed, &signed), not_proven);
    let mut elsewhere = asked.clone();
    elsewhere.intention.attestor = "other".to_owned();
    assert_eq!(refused(&elsewhere, &signed), not_proven);
    let thief = asked.possession(&chain, &Key::ed25519("thief"));
    assert_eq!(refused(&asked, &thief), not_proven);

    let stranger = machine(&Authority::root("strangers"), "web-1.example.com");
    let stranger = asked.possession(&stranger.0, &stranger.1);
    assert!(refused(&asked, &stranger).starts_with("pki."));
    let forge = CertificateForge::server_with("old.example.com", &Key::ed25519("old"));
    let old = machines().issue(forge.valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"));
    let old = asked.possession(&[old], &Key::ed25519("old"));
    assert_eq!(refused(&asked, &old), "pki.expired");
    let authority = machines();
    let as_host = asked.possession(std::slice::from_ref(&authority.certificate), &authority.key);
    assert_eq!(refused(&asked, &as_host), "issue.attestation_malformed");
    for (certificates, expected) in [
        (Vec::new(), "issue.attestation_malformed"),
        (
            vec![b"no certificate".to_vec()],
            "input.certificate_malformed",
        ),
        (vec![chain[0].clone(); 11], "limit.certificates"),
        (vec![vec![0x30; 70_000]], "limit.input_size"),
    ] {
        let shown = asked.possession(&certificates, &key);
        assert_eq!(refused(&asked, &shown), expected);
    }
    let of_another_method = Shown::K8sPsat("a.b.c".to_owned());
    assert_eq!(
        refused(&asked, &of_another_method),
        "issue.attestation_malformed"
    );
    let mut long = asked.clone();
    long.request = vec![0x30; 5_000];
    assert_eq!(refused(&long, &signed), "limit.input_size");
    // Nobody learns which tenants there are.
    for (tenant, attestor, method) in [
        ("none", "x509pop", "x509pop"),
        ("two", "x509pop", "x509pop"),
        ("one", "none", "x509pop"),
        ("one", "x509pop", "k8s_psat"),
    ] {
        let mut unknown = asked.clone();
        unknown.intention.tenant = tenant.to_owned();
        unknown.intention.attestor = attestor.to_owned();
        unknown.intention.method = method.to_owned();
        assert_eq!(refused(&unknown, &signed), "issue.attestor_unknown");
        let intention = world.plane.check_intention(&unknown.intention);
        assert_eq!(code(intention), "issue.attestor_unknown");
    }
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    assert!(tenant.read(|held| held.nodes.is_empty()), "a node is known");
}

#[test]
fn a_name_that_two_attestors_could_give_stays_with_the_node_that_has_it() {
    let world = World::new();
    let (eastern, western) = (Authority::root("eastern"), Authority::root("western"));
    for (name, authority) in [("prod-east", &eastern), ("prod", &western)] {
        let root = pem("CERTIFICATE", &authority.certificate);
        let document = json!({
            "method": "x509pop", "name": "common_name", "trust": {"anchors": [{"x509": root}]},
        });
        put(&world, name, &document);
    }
    let asked = |attestor: &str| {
        Asked::new(Intention {
            attestor: attestor.to_owned(),
            ..by("x509pop")
        })
    };
    let (chain, key) = machine(&eastern, "web");
    let honest = asked("prod-east");
    let joined = honest.send(&world, honest.possession(&chain, &key));
    assert!(joined.unwrap().id.as_str().ends_with("/prod-east-web"));
    let (chain, key) = machine(&western, "east-web");
    let thief = asked("prod");
    let refused = thief.send(&world, thief.possession(&chain, &key));
    assert_eq!(code(refused), "issue.node_name_taken");
    // The near miss: another name, of the same attestor.
    let (chain, key) = machine(&western, "west-web");
    let other = asked("prod");
    other.send(&world, other.possession(&chain, &key)).unwrap();
}

#[test]
fn a_node_joins_again_as_far_as_its_attestor_and_the_tenant_let_it() {
    let world = World::new();
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let mut document = x509pop();
    document["name"] = json!("common_name");
    put(&world, "x509pop", &document);
    let (chain, key) = machine(&machines(), "web-1");
    let asked = Asked::new(by("x509pop"));
    let join = || asked.send(&world, asked.possession(&chain, &key));
    let first = join().unwrap();
    assert_eq!(
        first.id.to_string(),
        "spiffe://one.test/avouch/node/x509pop-web-1"
    );
    // Its next certificate has another key and the same name.
    let other = Key::ed25519("the next key");
    let forge = CertificateForge::server_with("web-1", &other);
    let renewed = machines().issue(forge.valid("2020-01-01T00:00:00Z", "2045-01-01T00:00:00Z"));
    let renewed = asked.possession(&[renewed], &other);
    let renewed = asked.send(&world, renewed).unwrap();
    assert_eq!(renewed.id, first.id);

    world
        .plane
        .set_banned(&tenant, "x509pop-web-1", true)
        .unwrap();
    assert_eq!(code(join()), "issue.node_not_admitted");
    world
        .plane
        .set_banned(&tenant, "x509pop-web-1", false)
        .unwrap();
    document["rejoin"] = json!("never");
    put(&world, "x509pop", &document);
    assert_eq!(code(join()), "issue.node_joined_already");
    let caller = |member: Membership| world.plane.identify_client(member.certificates).unwrap();
    let (first, renewed) = (caller(first), caller(renewed));
    assert!(world.plane.admit(&first).is_ok());
    assert!(world.plane.admit(&renewed).is_ok());
    world.plane.evict(&tenant, "x509pop-web-1").unwrap();
    // Certificates tell seconds.
    let then = world.plane.now();
    while world.plane.now() <= then {
        thread::yield_now();
    }
    let anew = caller(join().unwrap());
    // What it was given before is no more of this node.
    assert!(world.plane.admit(&anew).is_ok());
    assert!(world.plane.admit(&first).is_err());
    assert!(world.plane.admit(&renewed).is_err());
    world.plane.evict(&tenant, "x509pop-web-1").unwrap();
    // The name of a node that has another way to join is not taken over.
    let token = world.plane.new_join_token(&tenant, "x509pop-web-1", 60);
    let request = signing_request(&Key::p256("token"));
    world.plane.join(&token.unwrap().token, &request).unwrap();
    assert_eq!(code(join()), "issue.node_name_taken");
    // A common name that cannot be the name of a node is none.
    let (chain, key) = machine(&machines(), "a b/../c");
    let asked = Asked::new(by("x509pop"));
    let shown = asked.possession(&chain, &key);
    assert_eq!(
        code(asked.send(&world, shown)),
        "issue.attestation_malformed"
    );
}

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";

fn k8s_psat() -> Value {
    let keys = jwks(&[jwk(&Key::p256("cluster"), "sa")]);
    json!({
        "method": "k8s_psat",
        "cluster": "prod",
        "audiences": ["avouch"],
        "trust": {"anchors": [{
            "issuer": CLUSTER,
            "jwks": keys,
            "rules": [{"name": "the agent", "facts": {
                "k8s.namespace": "avouch", "k8s.service_account": "agent",
            }}],
        }]},
    })
}

/// A token as a cluster of version 1.32 projects it into a pod.
fn pod(world: &World, age: i64) -> TokenForge {
    let issued = world.plane.now().unix() - age;
    TokenForge::saying(json!({
        "iss": CLUSTER,
        "aud": ["avouch"],
        "iat": issued,
        "nbf": issued,
        "exp": issued + 3_600,
        "jti": format!("8f1b6a4e-{issued}"),
        "sub": "system:serviceaccount:avouch:agent",
        "kubernetes.io": {
            "namespace": "avouch",
            "node": {"name": "worker-1", "uid": "5e0f5b0a-1111-4222-8333-444455556666"},
            "pod": {"name": "agent-x7", "uid": "0d9f3c1e-1111-4222-8333-444455556666"},
            "serviceaccount": {"name": "agent", "uid": "77778888-9999-4aaa-8bbb-ccccddddeeee"},
        },
    }))
}

fn sign(forge: &TokenForge) -> String {
    forge.sign(&Key::p256("cluster"), "sa")
}

fn bring(world: &World, token: &str) -> Result<Membership, Refused> {
    show(world, by("k8s_psat"), Shown::K8sPsat(token.to_owned()))
}

#[test]
fn an_agent_in_a_pod_joins_as_the_node_that_its_token_names_and_each_token_is_taken_once() {
    let world = World::new();
    put(&world, "k8s_psat", &k8s_psat());
    let token = sign(&pod(&world, 60));
    let member = bring(&world, &token).unwrap();
    assert_eq!(
        member.id.to_string(),
        "spiffe://one.test/avouch/node/k8s_psat-5e0f5b0a-1111-4222-8333-444455556666"
    );
    let node = admitted(&world, member);
    entry(&world, "web", "k8s_psat:agent_node_name:worker-1");
    entry(&world, "db", "k8s_psat:cluster:prod");
    issue(&world, &node, "web").unwrap();
    issue(&world, &node, "db").unwrap();
    // Whoever has read the token may show it too; and an older one may have been read before.
    assert_eq!(code(bring(&world, &token)), "issue.node_joined_already");
    let older = sign(&pod(&world, 120));
    assert_eq!(code(bring(&world, &older)), "issue.node_joined_already");
    bring(&world, &sign(&pod(&world, 30))).unwrap();
    let mut lenient = k8s_psat();
    lenient["rejoin"] = json!("always");
    put(&world, "k8s_psat", &lenient);
    bring(&world, &token).unwrap();
    // What was once taken stays the newest.
    put(&world, "k8s_psat", &k8s_psat());
    assert_eq!(code(bring(&world, &token)), "issue.node_joined_already");
    // And taken, whatever is known of the node.
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let name = "k8s_psat-5e0f5b0a-1111-4222-8333-444455556666";
    world.plane.evict(&tenant, name).unwrap();
    assert_eq!(code(bring(&world, &token)), "issue.node_joined_already");
    bring(&world, &sign(&pod(&world, 20))).unwrap();
}

/// The order of the base point of P-256 (SEC 2 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same token with the other signature that is good for it: (r, n - s).
fn with_other_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let mut borrow = 0;
    for (byte, of_order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let left = i16::from(of_order) - i16::from(*byte) - borrow;
        borrow = i16::from(left < 0);
        *byte = u8::try_from(left.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
}

#[test]
fn a_token_that_was_taken_is_taken_however_it_is_written() {
    let world = World::new();
    put(&world, "k8s_psat", &k8s_psat());
    let token = sign(&pod(&world, 60));
    let other = with_other_signature(&token);
    assert_ne!(token, other);
    bring(&world, &token).unwrap();
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let name = "k8s_psat-5e0f5b0a-1111-4222-8333-444455556666";
    world.plane.evict(&tenant, name).unwrap();
    assert_eq!(code(bring(&world, &other)), "issue.node_joined_already");
    // That is remembered for as long as it holds.
    world.pass(1_800);
    world.plane.forget_uses().unwrap();
    assert_eq!(code(bring(&world, &token)), "issue.node_joined_already");
    // It would have been good otherwise.
    let first = with_other_signature(&sign(&pod(&world, 30)));
    bring(&world, &first).unwrap();
}

#[test]
fn a_token_is_good_still_where_the_node_that_shows_it_could_not_be_stored() {
    let world = World::new();
    put(&world, "k8s_psat", &k8s_psat());
    let token = sign(&pod(&world, 60));
    world.cut_next(Cut::BeforeStoring);
    assert!(matches!(bring(&world, &token), Err(Refused::Fault(_))));
    let member = bring(&world, &token).unwrap();
    admitted(&world, member);
    assert_eq!(code(bring(&world, &token)), "issue.node_joined_already");
}

#[test]
fn a_token_that_is_not_for_us_or_not_of_an_agent_lets_no_node_join() {
    let world = World::new();
    put(&world, "k8s_psat", &k8s_psat());
    let good = pod(&world, 60);
    let claim = |name: &str, value: Value| sign(&good.clone().claim(name, value));
    let forged = good.sign(&Key::p256("another cluster"), "sa");
    let mut other: Value = serde_json::from_str(&good.claims_text()).unwrap();
    other["kubernetes.io"]["serviceaccount"]["name"] = json!("web");
    other["sub"] = json!("system:serviceaccount:avouch:web");
    let other = sign(&TokenForge::saying(other));
    let mut old: Value = serde_json::from_str(&good.claims_text()).unwrap();
    old["kubernetes.io"].as_object_mut().unwrap().remove("node");
    let old = sign(&TokenForge::saying(old));
    for (token, expected) in [
        (
            claim("aud", json!(["vault"])),
            "federation.audience_mismatch",
        ),
        (
            claim("exp", json!(1_000_000_000)),
            "federation.token_expired",
        ),
        (
            claim("iss", json!("https://other.example.com")),
            "federation.issuer_unknown",
        ),
        (forged, "federation.signature_invalid"),
        (other, "policy.rule_not_matched"),
        (old, "issue.attestation_fact_missing"),
        ("x".repeat(20_000), "limit.input_size"),
    ] {
        assert_eq!(code(bring(&world, &token)), expected);
    }
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    assert!(tenant.read(|held| held.nodes.is_empty()), "a node is known");
}

#[test]
fn of_many_who_show_the_same_token_at_once_one_joins() {
    let world = World::new();
    put(&world, "k8s_psat", &k8s_psat());
    let token = sign(&pod(&world, 60));
    let joined = thread::scope(|scope| {
        let tries: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| bring(&world, &token).is_ok()))
            .collect();
        let joined = tries.into_iter().map(|one| one.join().unwrap());
        joined.filter(|joined| *joined).count()
    });
    assert_eq!(joined, 1);
}

#[test]
fn an_attestor_that_would_believe_nobody_or_anybody_is_not_stored() {
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/one/attestors/machines";
    let stored = world.send(&token, "PUT", path, &x509pop());
    assert!(stored.is_put(), "{}", stored.body);
    let list = world.call(&token, "GET", "/v1/tenants/one/attestors", None);
    assert_eq!(list.json()["attestors"][0]["attestor"], x509pop());
    let changed = |member: &str, value: Value| {
        let mut document = x509pop();
        document[member] = value;
        document
    };
    let issuer = k8s_psat()["trust"].clone();
    let mut of_anyone = k8s_psat();
    let anchor = of_anyone["trust"]["anchors"][0].as_object_mut().unwrap();
    anchor.remove("rules");
    let mut for_anyone = k8s_psat();
    for_anyone["audiences"] = json!([]);
    for document in [
        json!({}),
        changed("method", json!("by word of honour")),
        changed("rejoin", json!("maybe")),
        changed("trusts", json!([])),
        changed("trust", json!({"anchors": []})),
        changed("trust", json!({"anchors": [{"x509": "no"}]})),
        changed("trust", issuer),
        for_anyone,
        of_anyone,
    ] {
        let refused = world.send(&token, "PUT", path, &document);
        assert_eq!(refused.status, 400, "{document}: {}", refused.body);
    }
    let long = format!("/v1/tenants/one/attestors/{}", "a".repeat(49));
    assert_eq!(
        world.send(&token, "PUT", &long, &x509pop()).code(),
        "issue.object_malformed"
    );
    assert_eq!(world.call(&token, "DELETE", path, None).status, 204);
    assert_eq!(world.call(&token, "DELETE", path, None).status, 404);
}
