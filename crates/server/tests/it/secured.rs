//! HTTP over TLS: for verifiers and peers (SPIFFE Federation), and for administrators.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_server::access::{Role, Verb};
use avouch_server::clock::SystemClock;
use avouch_server::tls::{Shown, SpiffeEndpoint, SpiffePeer, WebCertificate, WebFiles};
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use avouch_testkit::world::pem;
use serde_json::json;
use tempfile::TempDir;

use crate::http::request;
use crate::roles::CELLS;
use crate::tls::{Caller, Identity, pkcs8, root, server};
use crate::world::World;

pub(crate) const HOST: &str = "avouch.test";

/// Writes a certificate with its key; the second file last, as whoever replaces them may.
fn write(files: &WebFiles, identity: &Identity) {
    let chain = identity.chain.iter().map(|der| pem("CERTIFICATE", der));
    fs::write(&files.certificate, chain.collect::<String>()).unwrap();
    fs::write(&files.key, pem("PRIVATE KEY", &pkcs8(&identity.key))).unwrap();
}

fn files(folder: &TempDir) -> WebFiles {
    WebFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    }
}

/// An address with a certificate for [`HOST`], and who believes it.
pub(crate) fn web(world: &World) -> (SocketAddr, Caller) {
    let root = root("Web");
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    write(&files, &server(&root, HOST, "web"));
    let certificate = WebCertificate::read(files).unwrap();
    (
        world.serve(Shown::Web(certificate)),
        Caller::believing(&root),
    )
}

fn endpoint(world: &World, otherwise: Option<&str>) -> SocketAddr {
    let otherwise = otherwise.map(|name| TrustDomain::parse(name).unwrap());
    let endpoint = SpiffeEndpoint::new(Arc::clone(&world.plane), otherwise);
    world.serve(Shown::Spiffe(Arc::new(endpoint)))
}

/// Who expects the server of a trust domain, under the bundle that the tenant `owner` publishes.
fn peer(world: &World, owner: &str, trust_domain: &str) -> Caller {
    let document = world
        .get(&format!("/t/{owner}/bundle/{trust_domain}"))
        .json();
    let bundle = Bundle::read(trust_domain, &document).unwrap();
    let expected = SpiffeId::parse(&format!("spiffe://{trust_domain}/avouch/server")).unwrap();
    Caller::verifying(Arc::new(SpiffePeer::new(
        expected,
        bundle,
        Arc::new(SystemClock),
    )))
}

fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[], None)
}

#[test]
fn f_07_f_13_f_15_a_bundle_is_served_by_https_web_as_json() {
    let world = World::new();
    let (address, caller) = web(&world);
    let answer = caller.send(address, HOST, &get("/t/one/bundle"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, world.get("/t/one/bundle").body);
    // Under another name it is not believed.
    assert!(caller.connect(address, "other.test").is_err());
}

#[test]
fn b_02_b_03_b_04_b_07_what_is_published_is_a_bundle_as_the_standard_has_it() {
    let world = World::new();
    let address = endpoint(&world, Some("one.test"));
    let caller = peer(&world, "one", "one.test");
    let bundle = caller
        .send(address, "one.test", &get("/t/one/bundle"))
        .json();
    assert!(bundle["spiffe_sequence"].is_u64(), "{bundle}");
    assert_eq!(bundle["spiffe_refresh_hint"], 300);
    let keys = bundle["keys"].as_array().unwrap();
    assert!(keys.len() >= 3, "{bundle}");
    for key in keys {
        assert!(key["kty"].is_string(), "{key}");
        let is_x509 = match key["use"].as_str().unwrap() {
            "x509-svid" => true,
            "jwt-svid" | "wit-svid" => false,
            other => panic!("{other}"),
        };
        assert_eq!(key.get("kid").is_none(), is_x509, "{key}");
        let certificates = key.get("x5c").and_then(|all| all.as_array()).map(Vec::len);
        assert_eq!(certificates, is_x509.then_some(1), "{key}");
    }
}

#[test]
fn f_01_f_15_what_will_sign_is_published_to_who_asks_next() {
    let world = World::new();
    let address = endpoint(&world, Some("one.test"));
    let caller = peer(&world, "one", "one.test");
    let before = caller.send(address, "one.test", &get("/t/one/bundle"));
    let tag = [("if-none-match", before.header("etag").unwrap())];
    let asked = request("GET", "/t/one/bundle", &tag, None);
    assert_eq!(caller.send(address, "one.test", &asked).status, 304);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let domain = TrustDomain::parse("one.test").unwrap();
    world.plane.prepare(&one, &domain).unwrap();
    let after = caller.send(address, "one.test", &asked);
    assert_eq!(after.status, 200);
    let of = |answer: &crate::http::Answer, member: &str| answer.json()[member].clone();
    let number = |answer| of(answer, "spiffe_sequence").as_u64().unwrap();
    assert!(number(&after) > number(&before));
    let count = |answer| of(answer, "keys").as_array().unwrap().len();
    assert!(count(&after) > count(&before));
}

#[test]
fn f_08_tls_1_2_with_forward_secrecy_is_the_least_that_is_spoken() {
    let world = World::new();
    let (address, caller) = web(&world);
    let caller = caller.with_version(&rustls::version::TLS12);
    let connection = caller.connect(address, HOST).unwrap();
    let suite = connection.conn.negotiated_cipher_suite().unwrap();
    let suite = format!("{:?}", suite.suite());
    assert!(suite.contains("ECDHE"), "{suite}");
    // A hello of TLS 1.1 (RFC 4346 7.4.1.2) that offers AES-CBC with SHA-1.
    let mut hello = vec![1, 0, 0, 45, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0, 0, 0]);
    hello[3] = u8::try_from(hello.len() - 4).unwrap();
    let mut record = vec![22, 3, 1, 0, u8::try_from(hello.len()).unwrap()];
    record.extend(hello);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&record).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // An alert, and no handshake.
    assert_eq!(answer.first(), Some(&21), "{answer:?}");
}

#[test]
fn f_14_nobody_needs_a_certificate_and_a_foreign_one_harms_nobody() {
    let world = World::new();
    let (address, caller) = web(&world);
    assert_eq!(
        caller.send(address, HOST, &get("/t/one/bundle")).status,
        200
    );
    let key = Key::ed25519("stranger");
    let svid = CertificateForge::svid("spiffe://elsewhere.test/x", &key);
    let stranger = Identity {
        chain: vec![root("Elsewhere").issue(svid)],
        key,
    };
    let caller = caller.showing(stranger);
    for path in ["/t/one/bundle", "/healthz"] {
        assert_eq!(caller.send(address, HOST, &get(path)).status, 200, "{path}");
    }
    let question = request("POST", "/t/one/decide", &[], Some("{}"));
    assert_eq!(caller.send(address, HOST, &question).status, 200);
    // Where it matters who calls, it does not count.
    let refused = caller.send(address, HOST, &get("/v1/tenants"));
    assert_eq!(refused.status, 401, "{}", refused.body);
}

#[test]
fn f_14_who_shows_a_certificate_holds_its_key() {
    let world = World::new();
    let (address, caller) = web(&world);
    let mut thief = world.svid("spiffe://one.test/boss");
    thief.key = Key::ed25519("thief");
    let caller = caller.showing(thief);
    let sent = caller.connect(address, HOST).and_then(|mut stream| {
        stream.write_all(&get("/healthz"))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)
    });
    assert!(sent.is_err(), "{sent:?}");
}

#[test]
fn f_19_f_21_an_endpoint_shows_an_x509_svid_of_the_trust_domain_that_is_asked_for() {
    let world = World::new();
    let address = endpoint(&world, None);
    for (owner, name) in [
        ("one", "one.test"),
        ("two", "two.test"),
        ("top", "top.test"),
    ] {
        let caller = peer(&world, owner, name);
        let path = format!("/t/{owner}/bundle/{name}");
        let answer = caller.send(address, name, &get(&path));
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.body, world.get(&path).body);
    }
    // Who names none of the trust domains, or none at all, is shown that of the root.
    let caller = peer(&world, "top", "top.test");
    for name in ["nobody.test", "127.0.0.1"] {
        assert_eq!(caller.send(address, name, &get("/healthz")).status, 200);
    }
    // Or that of the trust domain that the address is for.
    let address = endpoint(&world, Some("two.test"));
    let caller = peer(&world, "two", "two.test");
    assert_eq!(
        caller.send(address, "127.0.0.1", &get("/healthz")).status,
        200
    );
}

#[test]
fn f_22_a_valid_x509_svid_of_another_id_is_not_the_endpoint() {
    let world = World::new();
    let address = endpoint(&world, Some("two.test"));
    let caller = peer(&world, "one", "one.test");
    assert!(caller.connect(address, "two.test").is_err());
    let document = world.get("/t/two/bundle").json();
    let expected = SpiffeId::parse("spiffe://two.test/other").unwrap();
    let verifier = Arc::new(SpiffePeer::new(
        expected,
        Bundle::read("two.test", &document).unwrap(),
        Arc::new(SystemClock),
    ));
    let caller = Caller::verifying(verifier.clone());
    assert!(caller.connect(address, "two.test").is_err());
    assert_eq!(verifier.refused().unwrap().code(), "spiffe.id_mismatch");
}

#[test]
fn what_an_endpoint_shows_follows_its_authorities() {
    let world = World::new();
    let address = endpoint(&world, Some("one.test"));
    let caller = peer(&world, "one", "one.test");
    let shown = |caller: &Caller| {
        let stream = caller.connect(address, "one.test").unwrap();
        stream.conn.peer_certificates().unwrap().to_vec()
    };
    let before = shown(&caller);
    assert_eq!(shown(&caller), before);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let domain = TrustDomain::parse("one.test").unwrap();
    world.plane.replace_all(&one, &domain, false).unwrap();
    // Who knows the new keys believes what comes after.
    let caller = peer(&world, "one", "one.test");
    assert_ne!(shown(&caller), before);
    // While the store is away, what is held is shown on.
    world.store_away(true);
    shown(&caller);
}

#[test]
fn a_certificate_that_is_replaced_is_shown_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    let root = root("Web");
    write(&files, &server(&root, "old.test", "old"));
    let world = World::new();
    let certificate = WebCertificate::read(files.clone()).unwrap();
    let address = world.serve(Shown::Web(Arc::clone(&certificate)));
    let caller = Caller::believing(&root);
    let shows = |name: &str| {
        certificate.follow();
        caller.connect(address, name).is_ok()
    };
    assert!(shows("old.test"));
    // Half written, or away: the one before is shown on.
    fs::write(&files.key, pem("PRIVATE KEY", &pkcs8(&Key::ed25519("new")))).unwrap();
    assert!(shows("old.test"));
    fs::remove_file(&files.key).unwrap();
    assert!(shows("old.test"));
    write(&files, &server(&root, "new.test", "new"));
    assert!(shows("new.test"));
    assert!(!shows("old.test"));
}

#[test]
fn a_certificate_is_as_good_as_a_token_for_each_role() {
    let world = World::new();
    let (address, _) = web(&world);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    for role in Role::ALL {
        let name = role.name();
        let id = format!("spiffe://one.test/{name}");
        let subject = SpiffeId::parse(&id).unwrap();
        world.plane.put_admin(&one, name, subject, role).unwrap();
        let caller = Caller::believing(&root("Web")).showing(world.svid(&id));
        for (noun, verb, method, path) in CELLS {
            let path = format!("/v1/tenants/one/{path}");
            let answer = caller.send(address, HOST, &request(method, &path, &[], None));
            let expected = match (role.may(verb, noun), verb) {
                (false, _) => 403,
                (true, Verb::Read) => 200,
                // It may, and there is nothing of that name.
                (true, Verb::Write) => 404,
            };
            assert_eq!(answer.status, expected, "{name} {method} {path}");
        }
    }
}

#[test]
fn a_certificate_says_nothing_of_who_wants_what_a_page_asks_for() {
    let world = World::new();
    let (address, caller) = web(&world);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let id = "spiffe://one.test/boss";
    let subject = SpiffeId::parse(id).unwrap();
    world
        .plane
        .put_admin(&one, "boss", subject, Role::Operator)
        .unwrap();
    let caller = caller.showing(world.svid(id));
    let path = "/v1/tenants/one/join-tokens";
    let body = json!({"node": "evil"}).to_string();
    let origin = [("origin", "https://evil.test")];
    let refused = caller.send(address, HOST, &request("POST", path, &origin, Some(&body)));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "issue.credential_missing")
    );
    let made = caller.send(address, HOST, &request("POST", path, &[], Some(&body)));
    assert_eq!(made.status, 200, "{}", made.body);
}

#[test]
fn an_administrator_whose_authority_is_revoked_is_one_no_more_on_the_same_connection() {
    let world = World::new();
    let (address, caller) = web(&world);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let id = "spiffe://one.test/boss";
    let subject = SpiffeId::parse(id).unwrap();
    world
        .plane
        .put_admin(&one, "boss", subject, Role::Operator)
        .unwrap();
    let caller = caller.showing(world.svid(id));
    let mut stream = caller.connect(address, HOST).unwrap();
    let mut ask = || {
        let ask = b"GET /v1/tenants HTTP/1.1\r\nhost: test\r\n\r\n";
        stream.write_all(ask).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        let mut rest = vec![0; 16 << 10];
        let _ = stream.read(&mut rest).unwrap();
        String::from_utf8(head[9..].to_vec()).unwrap()
    };
    assert_eq!(ask(), "200");
    let domain = TrustDomain::parse("one.test").unwrap();
    world.plane.replace_all(&one, &domain, false).unwrap();
    let tainted: Vec<String> = one.read(|held| {
        let all = held.authorities.values();
        let tainted = all.filter(|record| record.state.name() == "tainted");
        tainted.map(|record| record.id.to_string()).collect()
    });
    assert_eq!(tainted.len(), 4);
    for id in &tainted {
        match world.plane.revoke(&one, id, true) {
            Ok(()) => {}
            // What a root signed goes with it.
            Err(refused) => assert_eq!(refused.to_string(), "refused: issue.authority_state"),
        }
    }
    let left = one.read(|held| {
        let mut all = held.authorities.values();
        all.any(|record| record.state.name() == "tainted")
    });
    assert!(!left);
    assert_eq!(ask(), "401");
}
