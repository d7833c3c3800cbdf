//! Status lists of tokens over the wire, both ways: hostile input 60 over real TLS, and our own lists.

use avouch_core::credential::jose::status_list::StatusList;
use avouch_testkit::https::response;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::status_list::{StatusListForge, pack, status};
use serde_json::{Value, json};

use crate::exchange::{Cloud, claims, exchange_form, rule, token as issued_token};
use crate::registry::{AUDIENCE, Registry, document, trusted, with};
use crate::signals::{decided, workflow};

const REVOKED: &str = "revocation.token_status";

/// A list at a path of the issuer, as of now, to be kept for five minutes.
fn list(registry: &Registry, issuer: &IssuerServer) -> StatusListForge {
    let now = registry.now();
    StatusListForge::at(&uri(issuer), 64)
        .claim("iat", now.into())
        .claim("exp", (now + 86_400).into())
}

fn uri(issuer: &IssuerServer) -> String {
    issuer.server().url("/status/1")
}

fn publish(issuer: &IssuerServer, list: &str) {
    let fields = [("content-type", "application/statuslist+jwt")];
    issuer.page("/status/1", response(200, &fields, list.as_bytes()));
}

/// The token with number 5 of a list.
fn five(registry: &Registry, issuer: &IssuerServer, key: &Key, uri: &str) -> String {
    let claims = json!({"sub": "job-7", "aud": AUDIENCE, "status": status(5, uri)});
    issuer.token(registry.now(), &claims).sign(key, "k-a")
}

fn asked(issuer: &IssuerServer) -> usize {
    let received = issuer.server().received();
    received
        .iter()
        .filter(|one| one.path == "/status/1")
        .count()
}

/// Whether something was refused with this code.
fn told(registry: &Registry, code: &str) -> bool {
    let metrics = registry.call("GET", "/metrics", None).body;
    metrics.contains(&format!("avouch_refusals_total{{code=\"{code}\"}}"))
}

#[test]
fn hostile_60_what_an_issuer_takes_back_is_refused_when_its_list_is_due() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let fresh = |registry: &Registry| five(registry, &issuer, &key, &uri(&issuer));
    publish(&issuer, &list(&registry, &issuer).sign(&key, "k-a"));
    let verdict = registry.verdict("one", &fresh(&registry));
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    let sources = verdict["revocation"].as_array().unwrap();
    let source = sources.iter().find(|one| one["source"] == "status_list");
    assert_eq!(source.unwrap()["issuer"], uri(&issuer));
    assert_eq!(source.unwrap()["next"], "2027-01-15T08:05:00Z");
    assert_eq!(registry.decide(&fresh(&registry)), "accept");
    assert_eq!(asked(&issuer), 1, "a list is kept for as long as it says");
    publish(
        &issuer,
        &list(&registry, &issuer).status(5, 1).sign(&key, "k-a"),
    );
    assert_eq!(registry.decide(&fresh(&registry)), "accept");
    registry.pass(301);
    assert_eq!(registry.decide(&fresh(&registry)), REVOKED);
    assert_eq!(asked(&issuer), 2);
    // What was only suspended holds again when the next list says so.
    publish(&issuer, &list(&registry, &issuer).sign(&key, "k-a"));
    assert_eq!(registry.decide(&fresh(&registry)), REVOKED);
    registry.pass(301);
    assert_eq!(registry.decide(&fresh(&registry)), "accept");
    // The near miss: its neighbours hold.
    let claims = json!({"sub": "job-7", "aud": AUDIENCE, "status": status(6, &uri(&issuer))});
    let neighbour = issuer.token(registry.now(), &claims).sign(&key, "k-a");
    assert_eq!(registry.decide(&neighbour), "accept");
}

#[test]
fn hostile_60_a_list_that_cannot_be_had_is_used_for_a_while_and_then_no_more() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let fresh = |registry: &Registry| five(registry, &issuer, &key, &uri(&issuer));
    // Without any list nothing is believed, and nobody asks again at once.
    assert_eq!(registry.decide(&fresh(&registry)), "undetermined");
    assert_eq!(registry.decide(&fresh(&registry)), "undetermined");
    assert_eq!(asked(&issuer), 1);
    assert!(told(&registry, "fetch.status"));
    publish(&issuer, &list(&registry, &issuer).sign(&key, "k-a"));
    registry.pass(16);
    assert_eq!(registry.decide(&fresh(&registry)), "accept");
    issuer.page("/status/1", response(503, &[], b"not now"));
    registry.pass(400);
    let verdict = registry.verdict("one", &fresh(&registry));
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    let sources = verdict["revocation"].as_array().unwrap().clone();
    let source = sources
        .iter()
        .find(|one| one["source"] == "status_list")
        .unwrap();
    assert_eq!(
        source["as_of"], "2027-01-15T08:00:16Z",
        "how old it is, is told"
    );
    assert_eq!(source["next"], "2027-01-15T08:05:16Z");
    registry.pass(3_600);
    registry.tick();
    assert_eq!(
        registry.decide(&fresh(&registry)),
        "revocation.status_list_expired"
    );
    // Who wants no list that is late is given none.
    let strict = with(document(&issuer), json!({"status_stale_for": 0}));
    assert!(registry.put("ci", &strict).is_put());
    publish(&issuer, &list(&registry, &issuer).sign(&key, "k-a"));
    registry.pass(601);
    assert_eq!(registry.decide(&fresh(&registry)), "accept");
    issuer.page("/status/1", response(503, &[], b"not now"));
    registry.pass(301);
    assert_eq!(
        registry.decide(&fresh(&registry)),
        "revocation.status_list_expired"
    );
}

#[test]
fn hostile_60_a_list_is_fetched_only_where_it_may_be() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let other = IssuerServer::start();
    let elsewhere = other.server().url("/status/1");
    let good = StatusListForge::at(&elsewhere, 64)
        .claim("iat", registry.now().into())
        .claim("exp", (registry.now() + 600).into());
    publish(&other, &good.sign(&key, "k-a"));
    let token = five(&registry, &issuer, &key, &elsewhere);
    let verdict = registry.verdict("one", &token);
    assert_eq!(verdict["verdict"], "undetermined", "{verdict}");
    let need = verdict["needs"][0]["sentence"].as_str().unwrap();
    assert!(need.contains("`status_list_hosts`"), "{need}");
    assert_eq!(asked(&other), 0);
    assert!(told(&registry, "fetch.status_list_elsewhere"));
    for uri in [
        "http://localhost/status/1",
        "file:///etc/passwd",
        "https://169.254.169.254/",
    ] {
        let token = five(&registry, &issuer, &key, uri);
        assert_eq!(registry.decide(&token), "undetermined", "{uri}");
    }
    // The near miss: whoever runs the issuer has said that its lists are there.
    let registry = Registry::new();
    issuer.publish(&[(&key, "k-a")]);
    let host = elsewhere
        .strip_prefix("https://")
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let allowed = with(document(&issuer), json!({"status_list_hosts": [host]}));
    assert!(registry.put("ci", &allowed).is_put());
    let token = five(&registry, &issuer, &key, &elsewhere);
    assert_eq!(registry.decide(&token), "accept");
}

#[test]
fn hostile_60_what_is_no_list_of_the_issuer_is_not_taken() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let mallory = Key::p256("mallory");
    let made = list(&registry, &issuer);
    let three = json!({"bits": 3, "lst": "eJxjAAAAAQAB"});
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("revocation.status_list_subject", {
            made.clone()
                .claim("sub", "https://localhost/other".into())
                .sign(&key, "k-a")
                .into()
        }),
        (
            "revocation.status_list_signature_invalid",
            made.sign(&mallory, "k-a").into(),
        ),
        (
            "revocation.status_list_malformed",
            made.sign_saying(three, &key, "k-a").into(),
        ),
        ("limit.status_list_size", {
            made.clone()
                .packed(pack(&vec![0; 8 << 20]))
                .sign(&key, "k-a")
                .into()
        }),
        ("revocation.status_list_malformed", {
            let entries = made.entries();
            made.clone()
                .packed(entries[..entries.len() - 1].to_vec())
                .sign(&key, "k-a")
                .into()
        }),
        ("revocation.status_list_malformed", {
            let more = [made.entries(), vec![0]].concat();
            made.clone().packed(more).sign(&key, "k-a").into()
        }),
        ("revocation.status_list_expired", {
            made.clone()
                .claim("exp", (registry.now() - 1).into())
                .sign(&key, "k-a")
                .into()
        }),
        ("input.token_not_compact", b"<html>".to_vec()),
        ("fetch.too_large", vec![b'a'; (1 << 20) + 1]),
    ];
    for (code, body) in cases {
        issuer.page("/status/1", response(200, &[], &body));
        let token = five(&registry, &issuer, &key, &uri(&issuer));
        let verdict = registry.verdict("one", &token);
        assert_eq!(verdict["verdict"], "undetermined", "{code}");
        let need = verdict["needs"][0]["sentence"].as_str().unwrap();
        assert!(need.contains(&format!("({code})")), "{need}");
        assert!(told(&registry, code), "{code}");
        registry.pass(601);
    }
    let fields = [("location", "http://localhost/status/1")];
    issuer.page("/status/1", response(302, &fields, b""));
    let token = five(&registry, &issuer, &key, &uri(&issuer));
    assert_eq!(registry.decide(&token), "undetermined");
    assert!(told(&registry, "fetch.redirect_refused"));
    registry.pass(601);
    // The near miss.
    publish(&issuer, &list(&registry, &issuer).sign(&key, "k-a"));
    let token = five(&registry, &issuer, &key, &uri(&issuer));
    assert_eq!(registry.decide(&token), "accept");
}

#[test]
fn hostile_60_an_older_list_takes_nothing_back_of_what_a_newer_one_said() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let older = list(&registry, &issuer).sign(&key, "k-a");
    registry.pass(10);
    publish(
        &issuer,
        &list(&registry, &issuer).status(5, 1).sign(&key, "k-a"),
    );
    let fresh = |registry: &Registry| five(registry, &issuer, &key, &uri(&issuer));
    assert_eq!(registry.decide(&fresh(&registry)), REVOKED);
    publish(&issuer, &older);
    registry.pass(3_000);
    assert_eq!(registry.decide(&fresh(&registry)), REVOKED);
    assert!(told(&registry, "fetch.status_list_older"));
    registry.pass(700);
    assert_eq!(registry.decide(&fresh(&registry)), REVOKED);
}

#[test]
fn hostile_60_what_was_taken_back_is_exchanged_for_nothing() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    registry.exchanges_jobs_of("ci");
    let mut number = 0;
    let mut fresh = |registry: &Registry| {
        number += 1;
        let claims = json!({
            "sub": "job-7", "aud": AUDIENCE, "status": status(5, &uri(&issuer)),
            "jti": format!("job-{number}"),
        });
        issuer.token(registry.now(), &claims).sign(&key, "k-a")
    };
    let refused = registry.exchange(&fresh(&registry)).json();
    assert_eq!(refused["code"], "issue.undecided");
    publish(&issuer, &list(&registry, &issuer).sign(&key, "k-a"));
    registry.pass(16);
    let exchanged = registry.exchange(&fresh(&registry));
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    publish(
        &issuer,
        &list(&registry, &issuer).status(5, 1).sign(&key, "k-a"),
    );
    // The list is due: the first who comes has it fetched, and is judged by the new one.
    registry.pass(301);
    let refused = registry.exchange(&fresh(&registry)).json();
    assert_eq!(refused["code"], REVOKED);
}

/// A deployment whose tenant `one` gives workflows tokens that name a status list.
fn telling() -> Cloud {
    let cloud = crate::signals::cloud();
    let mut telling = rule();
    telling["gives"]["status"] = true.into();
    telling["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &telling);
    cloud
}

fn place(token: &str) -> (u64, String) {
    let claims = Value::Object(claims(token));
    let list = &claims["status"]["status_list"];
    let uri = list["uri"].as_str().unwrap();
    (list["idx"].as_u64().unwrap(), uri.to_owned())
}

fn published(cloud: &Cloud, uri: &str) -> StatusList {
    let path = uri.strip_prefix("http://127.0.0.1:8080").unwrap();
    let answer = cloud.world.get(path);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        Some("application/statuslist+jwt")
    );
    let list = StatusList::read(&answer.body).unwrap();
    assert_eq!(list.subject(), uri);
    list
}

#[test]
fn hostile_61_what_was_given_for_the_word_of_an_issuer_in_quarantine_holds_no_more() {
    let cloud = telling();
    let form = exchange_form(&workflow(&cloud, 20, &json!({})), &[]);
    let ours = issued_token(&cloud.send(&form, &[]));
    let (index, uri) = place(&ours);
    let is_active = || {
        let bearer = format!("Bearer {}", cloud.world.operator());
        let fields = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let asked = crate::exchange::form(&[("token", &ours)]);
        let asked = crate::http::request("POST", "/t/one/introspect", &fields, Some(&asked));
        crate::http::send(cloud.world.address, &asked).json()["active"] == true
    };
    let says = || {
        let is_valid = published(&cloud, &uri).status(index).unwrap().is_valid();
        (decided(&cloud, &ours), is_active(), is_valid)
    };
    assert_eq!(says(), ("accept".to_owned(), true, true));
    let mut uploaded = cloud.github_anchor();
    uploaded["audiences"] = json!([crate::exchange::OURSELVES]);
    let issuer = "/v1/tenants/one/issuers/gh";
    let put = cloud.manage("PUT", issuer, &uploaded);
    assert!(put.status < 300, "{}", put.body);
    let cause = json!({"reason": "its key may be stolen"});
    let stopped = cloud.manage("POST", &format!("{issuer}/quarantine"), &cause);
    assert!(stopped.status < 300, "{}", stopped.body);
    let refused = "federation.issuer_quarantined".to_owned();
    assert_eq!(says(), (refused, false, false));
    // Nothing was stolen after all.
    let shown = cloud.manage("GET", issuer, &json!({})).json();
    let looked_at = json!({ "etag": shown["etag"] });
    let released = cloud.manage("POST", &format!("{issuer}/release"), &looked_at);
    assert!(released.status < 300, "{}", released.body);
    assert_eq!(says(), ("accept".to_owned(), true, true));
}

#[test]
fn what_ended_shows_in_the_list_that_its_token_names() {
    let cloud = telling();
    let exchanged = |changed: &Value| {
        let form = exchange_form(&workflow(&cloud, 20, changed), &[]);
        issued_token(&cloud.send(&form, &[]))
    };
    let other = crate::signals::someone("other");
    let (ours, theirs) = (exchanged(&json!({})), exchanged(&other));
    let ((index, uri), (other_index, other_uri)) = (place(&ours), place(&theirs));
    assert_eq!(uri, other_uri);
    assert_ne!(index, other_index);
    // Here it is known without a list.
    assert_eq!(decided(&cloud, &ours), "accept");
    let before = published(&cloud, &uri);
    assert!(before.status(index).unwrap().is_valid());
    let ended = json!({
        "issuer": crate::exchange::GITHUB, "subject": crate::signals::SUBJECT, "reason": "a test",
    });
    let answer = cloud.manage("POST", "/v1/tenants/one/ended", &ended);
    assert!(answer.status < 300, "{}", answer.body);
    assert_eq!(decided(&cloud, &ours), "revocation.subject_ended");
    let after = published(&cloud, &uri);
    assert!(!after.status(index).unwrap().is_valid());
    assert!(after.status(other_index).unwrap().is_valid());
    // A list that nobody has, and one of another tenant.
    let name = uri.rsplit('/').next().unwrap();
    for path in [
        "/t/one/status/0000000000000000".to_owned(),
        "/t/one/status/..".to_owned(),
        format!("/t/one/status/{}", &name[..15]),
        format!("/t/two/status/{name}"),
    ] {
        assert_eq!(cloud.world.get(&path).status, 404, "{path}");
    }
}

#[test]
fn a_list_of_ours_is_believed_by_whoever_believes_our_tokens() {
    let cloud = telling();
    let form = exchange_form(&workflow(&cloud, 20, &json!({})), &[]);
    let token = issued_token(&cloud.send(&form, &[]));
    let (_, uri) = place(&token);
    let path = uri.strip_prefix("http://127.0.0.1:8080").unwrap();
    let list = cloud.world.get(path).body;
    let bundle = cloud.world.get("/t/one/bundle").json();
    let anchor = json!({"trust_domain": "one.test", "bundle": bundle});
    let asked = |lists: Value| {
        let question = json!({
            "profile": "spiffe", "audience": [crate::exchange::CLOUD],
            "credential": {"jwt": token},
            "trust": {"anchors": [anchor], "status_lists": lists},
        });
        // As someone else, who trusts nothing but what the question brings.
        cloud.manage("POST", "/t/top/decide", &question).json()
    };
    assert_eq!(asked(json!([list]))["verdict"], "accept");
    let without = asked(json!([]));
    assert_eq!(without["verdict"], "undetermined", "{without}");
}
