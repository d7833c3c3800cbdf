//! Events that come again, and events that can be taken only later: neither hides anything, and none is
//! lost.

use avouch_core::ended::Mark;
use avouch_core::id::TenantId;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{Change, Object, SignalId, SignalKey, SignalKind, SignalRecord, Store};
use avouch_testkit::https::response;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use super::{REVOKED, SUBJECT, cloud, event, subject, thief, told, word_of, workflow};
use crate::exchange::{GITHUB, exchange_form, token};
use crate::http::Answer;
use crate::registry::{Registry, document, token as token_of, trusted};
use crate::world::signing_request;

const IDP: &str = "https://idp.test";

/// An event that was made `ago` seconds ago.
fn made(registry: &Registry, issuer: &str, number: u32, ago: i64) -> TokenForge {
    TokenForge::saying(json!({
        "iss": issuer, "aud": "here", "jti": format!("e{number}"), "iat": registry.now() - ago,
        "sub_id": {"format": "opaque", "id": format!("s{number}")}, "events": {REVOKED: {}},
    }))
    .header("typ", json!("secevent+jwt"))
}

fn put_signal(registry: &Registry, wanted: &Value) {
    let put = registry.call("PUT", "/v1/tenants/one/signals/idp", Some(wanted));
    assert!(put.is_put(), "{}", put.body);
}

fn stream(registry: &Registry) -> Value {
    registry
        .call("GET", "/v1/tenants/one/signals/idp", None)
        .json()
}

#[test]
fn hostile_59_an_event_that_comes_again_is_no_sign_of_life_and_takes_nothing_from_others() {
    let mut registry = Registry::new();
    let key = Key::p256("idp");
    put_signal(
        &registry,
        &json!({
            "issuer": IDP, "audience": "here", "jwks": jwks(&[jwk(&key, "k1")]), "heartbeat": 60,
            "most_per_minute": 1,
        }),
    );
    let first = made(&registry, IDP, 1, 0).sign(&key, "k1");
    assert_eq!(registry.post_event("one", &first).status, 202);
    let known = stream(&registry);
    assert_eq!(known["state"], "ok");
    registry.pass(100);
    assert_eq!(stream(&registry)["state"], "silent");
    let sequence = || {
        let one = registry.plane.tenant_named("one").unwrap().unwrap();
        one.read(|held| held.sequence)
    };
    let before = sequence();
    for _ in 0..5 {
        assert_eq!(registry.post_event("one", &first).status, 202);
    }
    let silent = stream(&registry);
    assert_eq!(
        (&silent["state"], &silent["heard"]),
        (&json!("silent"), &known["heard"])
    );
    assert_eq!(
        (&silent["ended"], &silent["repeated"]),
        (&json!(1), &json!(5))
    );
    assert_eq!(sequence(), before, "nothing is written down of it");
    // One that somebody has held back says that the transmitter was there when it was made.
    let late = made(&registry, IDP, 2, 90).sign(&key, "k1");
    assert_eq!(registry.post_event("one", &late).status, 202);
    assert_eq!(stream(&registry)["state"], "silent");
    // Near miss: a new one, for which there is room, since the others took none.
    registry.pass(60);
    assert_eq!(registry.post_event("one", &first).status, 202);
    let new = made(&registry, IDP, 3, 0).sign(&key, "k1");
    assert_eq!(registry.post_event("one", &new).status, 202);
    let heard = stream(&registry);
    assert_eq!(
        (&heard["state"], &heard["repeated"]),
        (&json!("ok"), &json!(6))
    );
    let beyond = made(&registry, IDP, 4, 0).sign(&key, "k1");
    assert_eq!(registry.post_event("one", &beyond).status, 429);
}

fn seconds(answer: &Answer) -> i64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn hostile_59_names_of_keys_that_are_made_up_cost_no_event_of_a_new_key() {
    let mut registry = Registry::new();
    let (issuer, old) = trusted(&registry);
    put_signal(
        &registry,
        &json!({"issuer": issuer.issuer(), "audience": "here"}),
    );
    let send = |registry: &Registry, key: &Key, kid: &str, number: u32| {
        let event = made(registry, issuer.issuer(), number, 0).sign(key, kid);
        registry.post_event("one", &event)
    };
    assert_eq!(send(&registry, &old, "k-a", 1).status, 202);
    registry.pass(120);
    // What was looked for and is not there is refused for good.
    assert_eq!(send(&registry, &thief(), "made-up", 2).status, 400);
    let new = Key::p256("new");
    issuer.publish(&[(&old, "k-a"), (&new, "k-new")]);
    let put_off = send(&registry, &new, "k-new", 3);
    assert_eq!(
        (put_off.status, put_off.code().as_str()),
        (503, "issue.key_awaited")
    );
    let wait = seconds(&put_off);
    assert!((1..=60).contains(&wait), "{wait}");
    registry.pass(wait);
    assert_eq!(send(&registry, &new, "k-new", 3).status, 202);
    // Nor when the keys cannot be had at all.
    let newest = Key::p256("newest");
    registry.pass(120);
    issuer.page("/jwks", response(503, &[], b""));
    let put_off = send(&registry, &newest, "k-newest", 4);
    assert_eq!(put_off.status, 503, "{}", put_off.body);
    issuer.publish(&[(&new, "k-new"), (&newest, "k-newest")]);
    registry.pass(seconds(&put_off).max(60));
    assert_eq!(send(&registry, &newest, "k-newest", 4).status, 202);
}

#[test]
fn hostile_19_names_of_keys_that_are_made_up_refuse_no_token_of_a_new_key() {
    let mut registry = Registry::new();
    let (issuer, old) = trusted(&registry);
    registry.pass(120);
    let made_up = token_of(&registry, &issuer, &thief(), "made-up");
    assert_eq!(registry.decide(&made_up), "federation.key_unknown");
    let new = Key::p256("new");
    issuer.publish(&[(&old, "k-a"), (&new, "k-new")]);
    let genuine = token_of(&registry, &issuer, &new, "k-new");
    let question = json!({"credential": {"jwt": genuine}, "audience": [crate::registry::AUDIENCE]});
    let answer = registry.call("POST", "/t/one/decide", Some(&question));
    let verdict = answer.json();
    assert_eq!(verdict["verdict"], "undetermined", "{verdict}");
    assert_eq!(
        (&verdict["needs"][0]["kind"], &verdict["needs"][0]["key"]),
        (&json!("key"), &json!("k-new"))
    );
    assert!(verdict["needs"][0]["from"].is_string(), "{verdict}");
    let wait = seconds(&answer);
    assert!((1..=30).contains(&wait), "{wait}");
    let exchanged = registry.exchange(&genuine);
    let told = exchanged.json();
    assert_eq!(
        (exchanged.status, &told["code"], &told["error"]),
        (
            503,
            &json!("issue.key_awaited"),
            &json!("temporarily_unavailable")
        )
    );
    assert!(seconds(&exchanged) <= 30);
    // What was looked for a moment ago is still refused, and what nobody may decide on otherwise, too.
    assert_eq!(registry.decide(&made_up), "federation.key_unknown");
    let over = issuer
        .token(
            registry.now() - 7_200,
            &json!({"sub": "job-7", "aud": crate::registry::AUDIENCE}),
        )
        .sign(&new, "k-new");
    assert_ne!(registry.decide(&over), "undetermined");
    registry.pass(wait);
    let genuine = token_of(&registry, &issuer, &new, "k-new");
    assert_eq!(registry.decide(&genuine), "accept");
}

#[test]
fn an_event_that_cannot_be_judged_now_is_asked_for_again() {
    let mut registry = Registry::new();
    let issuer = IssuerServer::start();
    let key = Key::p256("a");
    issuer.publish(&[(&key, "k-a")]);
    assert!(registry.put("ci", &document(&issuer)).is_put());
    put_signal(
        &registry,
        &json!({"issuer": issuer.issuer(), "audience": "here"}),
    );
    let send = |registry: &Registry, number: u32| {
        let event = made(registry, issuer.issuer(), number, 0).sign(&key, "k-a");
        registry.post_event("one", &event)
    };
    // Its keys are too old.
    issuer.page("/jwks", response(503, &[], b""));
    registry.pass(2 * 86_400);
    let stale = send(&registry, 1);
    assert_eq!(stale.status, 503, "{}", stale.body);
    assert!(seconds(&stale) >= 1);
    issuer.publish(&[(&key, "k-a")]);
    registry.pass(700);
    registry.tick();
    assert_eq!(send(&registry, 1).status, 202);
    // It is in quarantine until someone has looked.
    let path = "/v1/tenants/one/issuers/ci/quarantine";
    let cause = json!({"reason": "a look"});
    assert_eq!(registry.call("POST", path, Some(&cause)).status, 200);
    let held_back = send(&registry, 2);
    assert_eq!(held_back.status, 503, "{}", held_back.body);
    let released = registry.release("ci");
    assert!(released.status < 300, "{}", released.body);
    assert_eq!(send(&registry, 2).status, 202);
    // Near miss: what stays wrong is refused for good.
    let wrong = made(&registry, issuer.issuer(), 3, 0).claim("aud", json!("there"));
    assert_eq!(
        registry.post_event("one", &wrong.sign(&key, "k-a")).status,
        400
    );
}

/// A server has died after what ended was stored and before it had put the certificates on the list.
#[test]
fn an_ending_that_was_cut_short_is_carried_out_when_the_event_comes_again() {
    let cloud = cloud();
    let request = pem("CERTIFICATE REQUEST", &signing_request(&Key::p256("a")));
    let form = exchange_form(
        &workflow(&cloud, 20, &json!({})),
        &[
            (
                "requested_token_type",
                "urn:avouch:params:token-type:x509-svid",
            ),
            ("certificate_request", &request),
        ],
    );
    let chain = token(&cloud.send(&form, &[]));
    let decided = || {
        let question = json!({"profile": "spiffe", "purpose": "client",
            "credential": {"x509": {"chain": [chain]}}});
        word_of(&cloud.manage("POST", "/t/one/decide", &question))
    };
    assert_eq!(decided(), "accept");
    let at = cloud.now() - 10;
    let ended = SignalRecord {
        key: SignalKey {
            kind: SignalKind::Ended,
            id: SignalId::parse(&Mark::subject(GITHUB, SUBJECT).digest().to_string()).unwrap(),
        },
        document: json!({
            "before": at, "standing": i64::MIN, "closed": false, "event": "session-revoked",
            "by": GITHUB, "name": SUBJECT, "stream": "github",
        })
        .to_string(),
        ends: None,
        secret: None,
    };
    let store = SqliteStore::open(cloud.world.folder()).unwrap();
    let one = TenantId::parse("one").unwrap();
    store
        .apply(&one, &[Change::Put(Object::Signal(ended))])
        .unwrap();
    cloud.world.plane.follow_store().unwrap();
    let revoked = event(&cloud, REVOKED, &subject(SUBJECT), 0)
        .claim("events", json!({REVOKED: {"event_timestamp": at}}));
    told(&cloud, &revoked);
    assert_eq!(decided(), "revocation.revoked");
}
