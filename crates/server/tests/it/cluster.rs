//! A tenant as the CA of a Kubernetes cluster: what its signers sign, and the first certificate of a
//! kubelet.

use avouch_testkit::extension::{
    KeyUsage, basic_constraints, key_usage, subject_alternative_names,
};
use avouch_testkit::key::Key;
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::world::pem;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::away::Cut;
use crate::http::Answer;
use crate::world::World;

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";

const SIGN: &str = "/v1/tenants/one/signing-requests";
const TOKENS: &str = "/v1/tenants/one/bootstrap-tokens";
const BOOTSTRAP: &str = "/t/one/signing-requests";

/// A world in which `one.test` signs for a cluster.
fn world() -> World {
    let world = World::new();
    let added = world.send(
        &world.operator(),
        "POST",
        "/v1/tenants/one/trust-domains/one.test/authorities",
        &json!({"used_for": "cluster"}),
    );
    assert_eq!(added.status, 200, "{}", added.body);
    world
}

pub(crate) fn node(name: &str) -> Name {
    Name::empty()
        .with("2.5.4.10", "system:nodes")
        .with("2.5.4.3", &format!("system:node:{name}"))
}

/// A certification request (RFC 2986) with names beside its subject.
pub(crate) fn certification_request(key: &Key, subject: &Name, names: &[GeneralName]) -> Vec<u8> {
    let extension = (!names.is_empty()).then(|| subject_alternative_names(names));
    key.signing_request_for(subject, extension.as_slice())
}

fn document(signer: &str, der: &[u8], usages: &[&str]) -> Value {
    let pem = pem("CERTIFICATE REQUEST", der);
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "some"},
        "spec": {
            "request": Base64::encode_string(pem.as_bytes()),
            "signerName": signer,
            "usages": usages,
        },
    })
}

fn sign(world: &World, document: &Value) -> Answer {
    world.send(&world.operator(), "POST", SIGN, document)
}

const CLIENT_USAGES: [&str; 2] = ["digital signature", "client auth"];
const SERVER_USAGES: [&str; 2] = ["digital signature", "server auth"];

/// Who signs, what is asked for, and the code and some words of the refusal; empty if it is signed.
type Case<'a> = (
    &'a str,
    Name,
    Vec<&'a GeneralName>,
    &'a [&'a str],
    &'a str,
    &'a str,
);

#[test]
fn each_signer_signs_what_kubernetes_lets_it_and_nothing_else() {
    let world = world();
    let key = Key::p256("component");
    let (dns, ip) = (GeneralName::dns("node-1.test"), GeneralName::ip("10.0.0.7"));
    let (email, uri) = (
        GeneralName::email("a@one.test"),
        GeneralName::uri("spiffe://one.test/admin"),
    );
    let person = Name::common_name("jane").with("2.5.4.10", "dev");
    let two_groups = node("node-1").with("2.5.4.10", "dev");
    let master = Name::common_name("jane").with("2.5.4.10", "system:masters");
    let twice = Name::common_name("jane").with("2.5.4.3", "root");
    let all = ["digital signature", "key encipherment", "client auth"];
    let serving = ["digital signature", "key encipherment", "server auth"];
    let refused = "issue.cluster_request_refused";
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        (KUBELET, node("node-1"), vec![], &CLIENT_USAGES, "", ""),
        (KUBELET, node("node-1"), vec![], &all, "", ""),
        (KUBELET, node("node-1"), vec![], &["client auth"], refused, "lack `digital signature`"),
        (KUBELET, node("node-1"), vec![], &SERVER_USAGES, refused, "lack `client auth`"),
        (KUBELET, node("node-1"), vec![], &["digital signature", "client auth", "server auth"], refused, "`server auth`"),
        (KUBELET, node("node-1"), vec![&dns], &CLIENT_USAGES, refused, "names of hosts"),
        (KUBELET, node("node-1"), vec![&ip], &CLIENT_USAGES, refused, "names of hosts"),
        (KUBELET, node("node-1"), vec![&email], &CLIENT_USAGES, refused, "mail"),
        (KUBELET, node("node-1"), vec![&uri], &CLIENT_USAGES, refused, "URI"),
        (KUBELET, node(""), vec![], &CLIENT_USAGES, refused, "system:node:"),
        (KUBELET, person.clone(), vec![], &CLIENT_USAGES, refused, "system:nodes"),
        (KUBELET, two_groups, vec![], &CLIENT_USAGES, refused, "nothing else"),
        (SERVING, node("node-1"), vec![&dns, &ip], &SERVER_USAGES, "", ""),
        (SERVING, node("node-1"), vec![&ip], &serving, "", ""),
        (SERVING, node("node-1"), vec![], &SERVER_USAGES, refused, "no DNS name and no IP"),
        (SERVING, node("node-1"), vec![&dns, &uri], &SERVER_USAGES, refused, "URI"),
        (SERVING, node("node-1"), vec![&dns, &email], &SERVER_USAGES, refused, "mail"),
        (SERVING, node("node-1"), vec![&dns], &CLIENT_USAGES, refused, "lack `server auth`"),
        (SERVING, person.clone(), vec![&dns], &SERVER_USAGES, refused, "system:nodes"),
        (CLIENT, person.clone(), vec![], &CLIENT_USAGES, "", ""),
        (CLIENT, person.clone(), vec![&dns, &email], &["client auth"], "", ""),
        (CLIENT, person.clone(), vec![&uri], &CLIENT_USAGES, refused, "SPIFFE ID"),
        (CLIENT, person.clone(), vec![], &SERVER_USAGES, refused, "lack `client auth`"),
        (CLIENT, person.clone(), vec![], &["client auth", "server auth"], refused, "`server auth`"),
        (CLIENT, master, vec![], &CLIENT_USAGES, refused, "system:masters"),
        (CLIENT, Name::empty(), vec![], &CLIENT_USAGES, refused, "no common name"),
        (CLIENT, twice, vec![], &CLIENT_USAGES, "issue.request_malformed", "more than one common name"),
        ("kubernetes.io/legacy-unknown", person.clone(), vec![], &CLIENT_USAGES, "issue.cluster_signer_unknown", "nothing in particular"),
        ("example.com/mine", person.clone(), vec![], &CLIENT_USAGES, "issue.cluster_signer_unknown", "none of those"),
    ];
    for (signer, subject, names, usages, code, words) in cases {
        let names: Vec<GeneralName> = names.into_iter().cloned().collect();
        let request = certification_request(&key, &subject, &names);
        let answer = sign(&world, &document(signer, &request, usages));
        if code.is_empty() {
            assert_eq!(answer.status, 200, "{signer} {usages:?}: {}", answer.body);
            assert_eq!(answer.json()["status"]["conditions"][0]["type"], "Approved");
            continue;
        }
        assert_eq!(answer.code(), code, "{signer} {usages:?}: {}", answer.body);
        assert!(answer.body.contains(words), "{words}: {}", answer.body);
    }
}

#[test]
fn no_component_asks_to_be_a_ca_and_other_extensions_are_passed_over() {
    let world = world();
    let key = Key::p256("component");
    let person = Name::common_name("jane");
    let signing = key_usage(&[KeyUsage::KeyCertSign]);
    for (extension, refused) in [
        (basic_constraints(true, None), true),
        (signing, true),
        (basic_constraints(false, None), false),
        (key_usage(&[KeyUsage::NonRepudiation]), false),
    ] {
        let request = key.signing_request_for(&person, &[extension]);
        let answer = sign(&world, &document(CLIENT, &request, &CLIENT_USAGES));
        let code = if refused { 400 } else { 200 };
        assert_eq!(answer.status, code, "{}", answer.body);
        assert!(!refused || answer.body.contains("asks to be a CA"));
    }
}

#[test]
fn a_document_is_read_as_strictly_as_the_api_of_kubernetes_reads_it() {
    let world = world();
    let key = Key::p256("component");
    let request = certification_request(&key, &node("node-1"), &[]);
    let good = document(KUBELET, &request, &CLIENT_USAGES);
    let with = |path: &str, value: Value| {
        let mut changed = good.clone();
        let (parent, member) = path.rsplit_once('/').unwrap();
        let parent = changed.pointer_mut(parent).unwrap();
        parent[member] = value;
        changed
    };
    // What Kubernetes fills in by itself is passed over, as there.
    let filled = with("/spec/groups", json!(["system:masters"]));
    assert_eq!(sign(&world, &filled).status, 200);
    let malformed = "issue.body_malformed";
    for (path, value, code) in [
        (
            "/apiVersion",
            json!("certificates.k8s.io/v1beta1"),
            malformed,
        ),
        ("/kind", json!("Pod"), malformed),
        ("/spec/expirationSeconds", json!(599), malformed),
        ("/spec/expirationSeconds", json!(-1), malformed),
        (
            "/spec/expirationSeconds",
            json!(40_000_000),
            "issue.ttl_out_of_bounds",
        ),
        ("/spec/usages", json!([]), malformed),
        (
            "/spec/usages",
            json!(["client auth", "client auth"]),
            malformed,
        ),
        ("/spec/usages", json!(["cert sign"]), malformed),
        ("/spec/request", json!("?"), malformed),
        (
            "/spec/request",
            json!(Base64::encode_string(b"none")),
            "issue.request_malformed",
        ),
        ("/spec/signer", json!(KUBELET), malformed),
        ("/extra", json!(1), malformed),
    ] {
        let refused = sign(&world, &with(path, value));
        assert_eq!(refused.code(), code, "{path}: {}", refused.body);
    }
    let stranger = {
        let mut request = request.clone();
        let last = request.last_mut().unwrap();
        *last ^= 1;
        document(KUBELET, &request, &CLIENT_USAGES)
    };
    assert_eq!(sign(&world, &stranger).code(), "issue.request_not_signed");
    let short = sign(&world, &with("/spec/expirationSeconds", json!(600)));
    assert_eq!(short.status, 200, "{}", short.body);
    // Where nothing signs for a cluster, nothing is signed.
    let none = world.send(
        &world.operator(),
        "POST",
        "/v1/tenants/two/signing-requests",
        &good,
    );
    assert_eq!(none.code(), "issue.conflict");
    assert!(
        none.body
            .contains("authority add TRUST-DOMAIN --use cluster"),
        "{}",
        none.body
    );
    let named = format!("{SIGN}?trust_domain=two.test");
    let none = world.send(&world.operator(), "POST", &named, &good);
    assert_eq!(none.code(), "issue.object_unknown");
}

#[test]
fn hostile_no_changed_byte_of_a_request_is_more_than_refused() {
    let world = world();
    let names = [GeneralName::dns("a.test"), GeneralName::ip("10.0.0.7")];
    let request = certification_request(&Key::p256("component"), &node("node-1"), &names);
    for place in 0..request.len() {
        let mut changed = request.clone();
        changed[place] ^= 0x80;
        let answer = sign(&world, &document(SERVING, &changed, &SERVER_USAGES));
        assert_eq!(answer.status, 400, "{place}: {}", answer.body);
        let cut = sign(
            &world,
            &document(SERVING, &request[..place], &SERVER_USAGES),
        );
        assert_eq!(cut.status, 400, "{place}: {}", cut.body);
    }
}

fn token(world: &World, node: &str) -> Value {
    let made = world.send(
        &world.operator(),
        "POST",
        TOKENS,
        &json!({"node": node, "ttl": 600}),
    );
    assert_eq!(made.status, 200, "{}", made.body);
    made.json()
}

fn bootstrapping(request: &[u8], hash: &Value) -> Value {
    json!({
        "ca_cert_hash": hash,
        "signing_request": document(KUBELET, request, &CLIENT_USAGES),
    })
}

#[test]
fn a_bootstrap_token_gives_one_certificate_of_one_node_and_the_decision_shows_its_legs() {
    let world = world();
    let made = token(&world, "node-1");
    let secret = made["token"].as_str().unwrap();
    let (name, rest) = secret.split_once('.').unwrap();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    assert!((name.len(), rest.len()) == (6, 16) && (name.to_owned() + rest).bytes().all(fits));
    let hash = &made["ca_cert_hash"];
    let key = Key::p256("kubelet");
    let request = certification_request(&key, &node("node-1"), &[]);
    let send = |token: &str, body: &Value| world.send(token, "POST", BOOTSTRAP, body);
    let good = bootstrapping(&request, hash);

    // What is wrong with what is asked does not cost the token.
    let other = certification_request(&key, &node("node-2"), &[]);
    let serving = certification_request(&key, &node("node-1"), &[GeneralName::dns("a.test")]);
    let not_pinned = json!({"signing_request": document(KUBELET, &request, &CLIENT_USAGES)});
    let mut both = good.clone();
    both["unsafe_skip_ca_verification"] = json!(true);
    let mut for_serving = good.clone();
    for_serving["signing_request"] = document(SERVING, &serving, &SERVER_USAGES);
    let strange = json!(format!("sha256:{}", "0".repeat(64)));
    for (body, code) in [
        (bootstrapping(&other, hash), "issue.bootstrap_node"),
        (for_serving, "issue.cluster_request_refused"),
        (
            bootstrapping(&request, &strange),
            "issue.bootstrap_ca_mismatch",
        ),
        (not_pinned, "issue.bootstrap_unpinned"),
        (both, "issue.body_malformed"),
    ] {
        let refused = send(secret, &body);
        assert_eq!(refused.code(), code, "{}", refused.body);
    }
    let unknown = send("abcdef.0123456789abcdef", &good);
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (401, "issue.bootstrap_token_unknown")
    );
    // It is of this tenant.
    let foreign = world.send(secret, "POST", "/t/two/signing-requests", &good);
    assert_eq!(foreign.code(), "issue.bootstrap_token_unknown");

    let given = send(secret, &good);
    assert_eq!(given.status, 200, "{}", given.body);
    let given = given.json();
    assert!(given["signing_request"]["status"]["certificate"].is_string());
    assert_eq!(given["warning"], Value::Null);
    let legs: Vec<(&str, &str, &str)> = given["legs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leg| {
            let text = |name: &str| leg[name].as_str().unwrap();
            (text("what"), text("model"), text("verdict"))
        })
        .collect();
    assert_eq!(
        legs,
        [
            ("cluster CA", "tofu", "accept"),
            ("bootstrap token", "tofu", "accept"),
            ("certificate", "pki", "accept"),
        ]
    );
    assert_eq!(given["legs"][0]["ends_at"], *hash);

    // Whoever has not heard the answer asks again, and anyone else learns that someone was first.
    assert_eq!(send(secret, &good).status, 200);
    let other_key = certification_request(&Key::p256("other"), &node("node-1"), &[]);
    let again = send(secret, &bootstrapping(&other_key, hash));
    assert_eq!(
        (again.status, again.code().as_str()),
        (401, "issue.bootstrap_token_used")
    );
    assert!(
        again.body.contains("one certificate only"),
        "{}",
        again.body
    );
    assert!(!again.body.contains(rest));
}

#[test]
fn a_node_that_skips_the_hash_of_the_ca_is_told_what_it_believes() {
    let world = world();
    let made = token(&world, "node-1");
    let request = certification_request(&Key::p256("kubelet"), &node("node-1"), &[]);
    let body = json!({
        "unsafe_skip_ca_verification": true,
        "signing_request": document(KUBELET, &request, &CLIENT_USAGES),
    });
    let given = world.send(made["token"].as_str().unwrap(), "POST", BOOTSTRAP, &body);
    assert_eq!(given.status, 200, "{}", given.body);
    let given = given.json();
    assert_eq!(given["legs"][0]["verdict"], "not_reached");
    assert!(
        given["warning"]
            .as_str()
            .unwrap()
            .contains("unsafe_skip_ca_verification")
    );
    assert_eq!(given["ca_cert_hash"], made["ca_cert_hash"]);
}

/// It stays good, so it could be tried again and again.
#[test]
fn what_is_wrong_with_a_request_costs_neither_the_token_nor_what_the_tenant_may_issue() {
    let world = world();
    let quota = json!({"issuances_per_minute": 1});
    let put = world.send(&world.operator(), "PUT", "/v1/tenants/one/quota", &quota);
    assert!(put.is_put(), "{}", put.body);
    let made = token(&world, "node-1");
    let secret = made["token"].as_str().unwrap();
    let request = certification_request(&Key::p256("kubelet"), &node("node-1"), &[]);
    let good = bootstrapping(&request, &made["ca_cert_hash"]);
    let mut wrong = good.clone();
    wrong["signing_request"] = document(KUBELET, &request, &["client auth"]);
    for _ in 0..3 {
        let refused = world.send(secret, "POST", BOOTSTRAP, &wrong);
        assert_eq!(refused.code(), "issue.cluster_request_refused");
    }
    let given = world.send(secret, "POST", BOOTSTRAP, &good);
    assert_eq!(given.status, 200, "{}", given.body);
}

/// How many certificates of components are on record.
fn on_record(world: &World) -> usize {
    let address = "/v1/tenants/one/issued";
    let told = world.call(&world.operator(), "GET", address, None).json();
    let all = told["issued"].as_array().unwrap().clone();
    all.iter()
        .filter(|one| one["kind"] == "certificate")
        .count()
}

/// A token is used up in the commit that puts its certificate on record, so there is never one of the
/// two alone, wherever it breaks off; and the answer itself may get lost.
#[test]
fn a_bootstrap_token_goes_with_the_record_of_its_certificate_and_may_be_asked_for_again() {
    let world = world();
    let mut expected = on_record(&world);
    for (cut, is_good_for_others) in [(Cut::BeforeStoring, true), (Cut::AfterStoring, false)] {
        let made = token(&world, "node-1");
        let secret = made["token"].as_str().unwrap();
        let with = |key: &str| {
            let request = certification_request(&Key::p256(key), &node("node-1"), &[]);
            let body = bootstrapping(&request, &made["ca_cert_hash"]);
            world.send(secret, "POST", BOOTSTRAP, &body)
        };
        world.cut_next(cut);
        let failed = with("kubelet");
        assert_eq!(failed.status, 503, "{cut:?}: {}", failed.body);
        expected += usize::from(!is_good_for_others);
        assert_eq!(on_record(&world), expected, "{cut:?}");
        expected += 1;
        let other = with("other");
        if is_good_for_others {
            assert_eq!(other.status, 200, "{cut:?}: {}", other.body);
        } else {
            assert_eq!(other.code(), "issue.bootstrap_token_used", "{cut:?}");
            // Whoever asks again changes nothing, so the record of a certificate is all that is cut off.
            world.cut_next(Cut::BeforeStoring);
            let failed = with("kubelet");
            assert_eq!(failed.status, 503, "{cut:?}: {}", failed.body);
            assert_eq!(on_record(&world), expected - 1, "{cut:?}");
            let again = with("kubelet");
            assert_eq!(again.status, 200, "{cut:?}: {}", again.body);
        }
        assert_eq!(on_record(&world), expected, "{cut:?}");
    }
}

#[test]
fn of_many_who_use_a_bootstrap_token_at_once_one_gets_a_certificate() {
    let world = world();
    let before = on_record(&world);
    let made = token(&world, "node-1");
    let secret = made["token"].as_str().unwrap();
    let body = |number: usize| {
        let key = Key::p256(&format!("kubelet-{number}"));
        let request = certification_request(&key, &node("node-1"), &[]);
        bootstrapping(&request, &made["ca_cert_hash"])
    };
    let codes: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..16)
            .map(|number| {
                let (world, body) = (&world, body(number));
                scope.spawn(move || world.send(secret, "POST", BOOTSTRAP, &body).status)
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let given = codes.iter().filter(|code| **code == 200).count();
    assert_eq!(given, 1, "{codes:?}");
    assert_eq!(on_record(&world), before + 1, "there is none of the others");
    assert!(
        codes.iter().all(|code| matches!(code, 200 | 401)),
        "{codes:?}"
    );
}

#[test]
fn a_bootstrap_token_ends_and_what_is_asked_of_it_is_read_strictly() {
    let world = world();
    for (body, code) in [
        (json!({}), "issue.body_malformed"),
        (json!({"node": "a/b"}), "issue.object_malformed"),
        (json!({"node": "a", "ttl": 9}), "issue.body_malformed"),
        (json!({"node": "a", "ttl": 86_401}), "issue.body_malformed"),
        (
            json!({"node": "a", "api_server": "http://a"}),
            "issue.body_malformed",
        ),
        (
            json!({"node": "a", "trust_domain": "two.test"}),
            "issue.object_unknown",
        ),
        (json!({"node": "a", "uses": 2}), "issue.body_malformed"),
    ] {
        let refused = world.send(&world.operator(), "POST", TOKENS, &body);
        assert_eq!(refused.code(), code, "{body}: {}", refused.body);
    }
    let missing = world.get(BOOTSTRAP);
    assert_eq!(missing.status, 405);
}
