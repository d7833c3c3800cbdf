//! What the tenant tells others, as those see it.

use std::collections::BTreeSet;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_server::fetch::Permitted;
use avouch_server::{Settings, entries::EntryDraft};
use avouch_store::sqlite::SqliteStore;
use avouch_store::{IntentId, IntentRow, Lifetime, LifetimeKind, Operator, Store};
use avouch_testkit::https::{HttpsServer, Shown, root};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use super::{REVOKED, SUBJECT, cloud, event, exchanged, subject, told};
use crate::exchange::{OURSELVES, claims, part};
use crate::http::Answer;
use crate::world::World;

const BILLING: &str = "spiffe://one.test/billing";

/// A receiver of the tenant `one` and what it calls with.
fn receiver(world: &World, more: &Value) -> String {
    let mut document = json!({"subject": BILLING, "audience": "https://billing.test"});
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    let path = "/v1/tenants/one/receivers/billing";
    let put = world.send(&world.operator(), "PUT", path, &document);
    assert!(put.is_put(), "{}", put.body);
    world.token(BILLING)
}

fn create(world: &World, token: &str, delivery: &Value) -> Value {
    let asked = json!({"delivery": delivery, "events_requested": [REVOKED]});
    let made = world.send(token, "POST", "/t/one/ssf/streams", &asked);
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()
}

fn poll(world: &World, token: &str, asked: &Value) -> Value {
    let answer = world.send(token, "POST", "/t/one/ssf/poll", asked);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn entry(world: &World, name: &str) {
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let draft = EntryDraft {
        id: Some(name.to_owned()),
        spiffe_id: format!("spiffe://one.test/{name}"),
        selectors: vec!["unix:uid:0".to_owned()],
        ..EntryDraft::default()
    };
    world
        .plane
        .put_entries(&one, vec![draft])
        .unwrap()
        .remove(0)
        .unwrap();
}

fn remove(world: &World, name: &str) -> Answer {
    world.call(
        &world.operator(),
        "DELETE",
        &format!("/v1/tenants/one/entries/{name}"),
        None,
    )
}

/// Receivers end all that a workload has when they are told that it is over; it is told when nothing registers
/// it any more. Here it is given nothing from then on, and what it was given holds until it ends.
#[test]
fn a_registration_that_is_removed_is_told_when_it_was_the_last_of_its_identity() {
    let world = World::new();
    let token = receiver(&world, &json!({}));
    create(&world, &token, &json!({"method": "urn:ietf:rfc:8936"}));
    let web = world.token("spiffe://one.test/web");
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let draft = EntryDraft {
        id: Some("also-web".to_owned()),
        spiffe_id: "spiffe://one.test/web".to_owned(),
        selectors: vec!["unix:uid:1".to_owned()],
        ..EntryDraft::default()
    };
    let put = world.plane.put_entries(&one, vec![draft]);
    put.unwrap().remove(0).unwrap();
    let called = || {
        let answer = world.call(&web, "GET", "/v1/tenants/one/rules", None);
        (answer.status, answer.code())
    };
    let told = || {
        let answer = poll(&world, &token, &json!({"returnImmediately": true}));
        answer["sets"].as_object().unwrap().len()
    };
    // It is who it was, and may see nothing.
    let known = (404, "issue.object_unknown".to_owned());
    assert_eq!((called(), told()), (known.clone(), 0));
    assert_eq!(remove(&world, "also-web").status, 204);
    assert_eq!((called(), told()), (known.clone(), 0));
    assert_eq!(remove(&world, "web").status, 204);
    assert_eq!((called(), told()), (known, 1));
}

/// A member that is missing is no stream that is not there (SSF 1.0 8.1.1.3, 8.1.2.1).
#[test]
fn what_is_delivered_was_requested_and_a_stream_that_is_meant_is_named() {
    let world = World::new();
    let token = receiver(&world, &json!({}));
    let asked = json!({"delivery": {"method": "urn:ietf:rfc:8936"}});
    let made = world.send(&token, "POST", "/t/one/ssf/streams", &asked);
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    assert_eq!(made["events_requested"], made["events_delivered"], "{made}");
    for (method, path, body) in [
        ("PATCH", "streams", Some("{}")),
        ("PUT", "streams", Some("{}")),
        ("DELETE", "streams", None),
        ("GET", "status", None),
    ] {
        let path = format!("/t/one/ssf/{path}");
        let refused = world.call(&token, method, &path, body);
        let told = (refused.status, refused.body.contains("stream_id"));
        assert_eq!(told, (400, true), "{method}: {}", refused.body);
    }
}

/// Where the one before wants to be told is nothing of whoever takes its name.
#[test]
fn who_takes_the_name_of_a_receiver_has_no_stream_yet() {
    let world = World::new();
    let token = receiver(&world, &json!({}));
    let by_poll = json!({"method": "urn:ietf:rfc:8936"});
    create(&world, &token, &by_poll);
    // The same one with something else about it keeps its stream.
    let token = receiver(&world, &json!({"owner": "billing team"}));
    let asked = json!({"delivery": by_poll, "events_requested": [REVOKED]});
    let again = world.send(&token, "POST", "/t/one/ssf/streams", &asked);
    assert_eq!(again.status, 409, "{}", again.body);
    let token = receiver(&world, &json!({"audience": "https://new.test"}));
    create(&world, &token, &by_poll);
}

#[test]
fn a_receiver_asks_for_what_ended_and_another_tenant_believes_it() {
    let world = World::new();
    let token = receiver(&world, &json!({}));
    let stream = create(&world, &token, &json!({"method": "urn:ietf:rfc:8936"}));
    assert_eq!(
        stream["delivery"]["endpoint_url"],
        format!("{OURSELVES}/ssf/poll")
    );
    assert_eq!(stream["events_delivered"], json!([REVOKED]));
    entry(&world, "web");
    assert_eq!(remove(&world, "web").status, 204);
    let answer = poll(&world, &token, &json!({}));
    let sets = answer["sets"].as_object().unwrap();
    assert_eq!(sets.len(), 1, "{answer}");
    let (id, set) = sets.iter().next().unwrap();
    let set = set.as_str().unwrap();
    assert_eq!(part(set, 0)["typ"], "secevent+jwt");
    let said = claims(set);
    assert_eq!(
        (&said["iss"], &said["aud"]),
        (&json!(OURSELVES), &json!("https://billing.test"))
    );
    assert_eq!(
        said["sub_id"],
        json!({"format": "uri", "uri": "spiffe://one.test/web"})
    );
    assert!(
        !said.contains_key("exp") && !said.contains_key("sub"),
        "{said:?}"
    );
    // It comes again until it is acknowledged, and then no more.
    assert_eq!(
        poll(&world, &token, &json!({}))["sets"]
            .as_object()
            .unwrap()
            .len(),
        1
    );
    let acknowledged = json!({"ack": [id], "returnImmediately": true});
    assert_eq!(poll(&world, &token, &acknowledged)["sets"], json!({}));
    // The tenant `two` takes it by the keys that the tenant `one` publishes.
    let keys = world.get("/t/one/keys").json();
    let signal = json!({"issuer": OURSELVES, "audience": "https://billing.test", "jwks": keys});
    let put = world.send(
        &world.operator(),
        "PUT",
        "/v1/tenants/two/signals/one",
        &signal,
    );
    assert!(put.is_put(), "{}", put.body);
    let headers = [("content-type", "application/secevent+jwt")];
    let sent = crate::http::request("POST", "/t/two/events", &headers, Some(set));
    assert_eq!(crate::http::send(world.address, &sent).status, 202);
    let ended = world
        .call(&world.operator(), "GET", "/v1/tenants/two/ended", None)
        .json();
    assert_eq!(
        ended["ended"][0]["name"], "spiffe://one.test/web",
        "{ended}"
    );
}

#[test]
fn what_was_exchanged_and_ended_is_told_by_the_number_of_each_token() {
    let cloud = cloud();
    let token = receiver(&cloud.world, &json!({}));
    create(
        &cloud.world,
        &token,
        &json!({"method": "urn:ietf:rfc:8936"}),
    );
    let given = exchanged(&cloud, 20, &json!({}));
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 10));
    let answer = poll(&cloud.world, &token, &json!({}));
    let sets = answer["sets"].as_object().unwrap();
    let told: Vec<Value> = sets
        .values()
        .map(|set| claims(set.as_str().unwrap())["sub_id"].clone())
        .collect();
    let expected = json!({"format": "jwt_id", "iss": OURSELVES, "jti": claims(&given)["jti"]});
    assert_eq!(told, [expected]);
}

#[test]
fn what_was_exchanged_when_tokens_lived_longer_is_told_of_too() {
    let cloud = cloud();
    let token = receiver(&cloud.world, &json!({}));
    let by_poll = json!({"method": "urn:ietf:rfc:8936"});
    create(&cloud.world, &token, &by_poll);
    let given = exchanged(&cloud, 20, &json!({}));
    let given = claims(&given)["jti"].as_str().unwrap().to_owned();
    let store = SqliteStore::open(cloud.world.folder()).unwrap();
    let one = TenantId::parse("one").unwrap();
    // As one that was given ten days ago, when they could live for twenty.
    let long_ago = Time::from_unix(cloud.now() - 10 * 86_400);
    let id = IntentId::parse(&given).unwrap();
    let intent = store.intent(&one, &id).unwrap().unwrap();
    let older = IntentRow {
        id: IntentId::parse("older").unwrap(),
        not_before: long_ago,
        recorded: long_ago,
        ..intent
    };
    store.record_intents(&one, &[older]).unwrap();
    let lifetime = Lifetime {
        kind: LifetimeKind::Svid,
        seconds: 20 * 86_400,
        last: long_ago,
    };
    let operator = Operator::of_this_deployment();
    store.keep_lifetimes(&operator, &[lifetime]).unwrap();
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 10));
    let answer = poll(&cloud.world, &token, &json!({}));
    let sets = answer["sets"].as_object().unwrap().values();
    let told = sets.map(|set| claims(set.as_str().unwrap())["sub_id"]["jti"].clone());
    let told: BTreeSet<String> = told.map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(told, [given, "older".to_owned()].into());
}

#[test]
fn a_receiver_manages_its_stream_and_nobody_else_does() {
    let world = World::new();
    let token = receiver(&world, &json!({}));
    let configuration = world.get("/t/one/.well-known/ssf-configuration").json();
    assert_eq!(configuration["issuer"], OURSELVES);
    assert_eq!(
        configuration["configuration_endpoint"],
        format!("{OURSELVES}/ssf/streams")
    );
    assert_eq!(
        world.call(&token, "GET", "/t/one/ssf/streams", None).json(),
        json!([])
    );
    let stream = create(&world, &token, &json!({"method": "urn:ietf:rfc:8936"}));
    let id = stream["stream_id"].as_str().unwrap();
    let second = world.send(&token, "POST", "/t/one/ssf/streams", &json!({}));
    assert_eq!(second.status, 409, "{}", second.body);
    let stranger = world.token("spiffe://one.test/stranger");
    for (method, path) in [("GET", "/t/one/ssf/streams"), ("POST", "/t/one/ssf/poll")] {
        assert_eq!(
            world.call(&stranger, method, path, None).status,
            403,
            "{path}"
        );
        let nobody = crate::http::request(method, path, &[], None);
        assert_eq!(
            crate::http::send(world.address, &nobody).status,
            401,
            "{path}"
        );
    }
    let changed = json!({"stream_id": id, "description": "ours"});
    let changed = world.send(&token, "PATCH", "/t/one/ssf/streams", &changed);
    assert_eq!(changed.json()["description"], "ours", "{}", changed.body);
    assert_eq!(changed.json()["events_requested"], json!([REVOKED]));
    // What the transmitter alone says comes back as it was, and not otherwise.
    let mut whole = stream.clone();
    let same = world.send(&token, "PUT", "/t/one/ssf/streams", &whole);
    assert!(same.is_put(), "{}", same.body);
    assert!(same.json().get("description").is_none(), "{}", same.body);
    for (name, other) in [
        ("iss", json!("https://evil.test")),
        ("aud", json!("https://evil.test")),
        ("events_supported", json!([])),
        ("inactivity_timeout", json!(5)),
    ] {
        whole[name] = other;
        for method in ["PATCH", "PUT"] {
            let refused = world.send(&token, method, "/t/one/ssf/streams", &whole);
            assert_eq!(refused.status, 400, "{method} {name}: {}", refused.body);
        }
        whole = stream.clone();
    }
    let status = format!("/t/one/ssf/status?stream_id={id}");
    let status = world.call(&token, "GET", &status, None).json();
    assert!(status.get("reason").is_none(), "{status}");
    let replaced = world.send(
        &token,
        "PUT",
        "/t/one/ssf/streams",
        &json!({"stream_id": id}),
    );
    assert_eq!(replaced.json()["description"], Value::Null);
    let unknown = world.send(
        &token,
        "PATCH",
        "/t/one/ssf/streams",
        &json!({"stream_id": "x"}),
    );
    assert_eq!(unknown.status, 404);
    let path = format!("/t/one/ssf/streams?stream_id={id}");
    assert_eq!(world.call(&token, "DELETE", &path, None).status, 204);
    assert_eq!(world.call(&token, "GET", &path, None).status, 404);
}

#[test]
fn a_stream_that_is_paused_keeps_what_happens_and_tells_nothing_of_who_is_not_wanted() {
    let world = World::new();
    let token = receiver(&world, &json!({}));
    let stream = create(&world, &token, &json!({"method": "urn:ietf:rfc:8936"}));
    let id = stream["stream_id"].as_str().unwrap();
    let status = |status: &str| {
        let asked = json!({"stream_id": id, "status": status, "reason": "a test"});
        let put = world.send(&token, "POST", "/t/one/ssf/status", &asked);
        assert_eq!(put.json()["status"], status, "{}", put.body);
    };
    status("paused");
    for name in ["a", "b"] {
        entry(&world, name);
        remove(&world, name);
    }
    let at_once = json!({"returnImmediately": true});
    assert_eq!(poll(&world, &token, &at_once)["sets"], json!({}));
    let unwanted =
        json!({"stream_id": id, "subject": {"format": "uri", "uri": "spiffe://one.test/a"}});
    let removed = world.send(&token, "POST", "/t/one/ssf/subjects/remove", &unwanted);
    assert_eq!(removed.status, 204, "{}", removed.body);
    status("enabled");
    assert_eq!(
        poll(&world, &token, &at_once)["sets"]
            .as_object()
            .unwrap()
            .len(),
        1
    );
    world.send(&token, "POST", "/t/one/ssf/subjects/add", &unwanted);
    assert_eq!(
        poll(&world, &token, &at_once)["sets"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    let asked = json!({"stream_id": id, "state": "VGhpcyBpcyBh"});
    assert_eq!(
        world
            .send(&token, "POST", "/t/one/ssf/verify", &asked)
            .status,
        204
    );
    let answer = poll(&world, &token, &at_once);
    let mut sets = answer["sets"].as_object().unwrap().values();
    let answers = sets.any(|set| {
        let said = claims(set.as_str().unwrap());
        said["events"].to_string().contains("VGhpcyBpcyBh")
    });
    assert!(answers, "{answer}");
}

#[test]
fn events_are_sent_to_who_wants_them_sent_and_again_when_that_failed() {
    let settings = Settings {
        fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
        ..Settings::default()
    };
    let world = World::with(settings);
    let root = root("Receivers Root");
    let failures = std::sync::atomic::AtomicU32::new(0);
    let server = HttpsServer::start(&Shown::under(&root, &["localhost"]), move |_, wire| {
        let is_first = failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let status = if is_first { 503 } else { 202 };
        wire.write_all(&avouch_testkit::https::response(status, &[], b""))
    });
    let token = receiver(
        &world,
        &json!({"ca": pem("CERTIFICATE", &root.certificate)}),
    );
    create(
        &world,
        &token,
        &json!({
            "method": "urn:ietf:rfc:8935", "endpoint_url": server.url("/events"),
            "authorization_header": "Bearer secret-of-billing",
        }),
    );
    entry(&world, "web");
    remove(&world, "web");
    let shown = || {
        let path = "/v1/tenants/one/receivers/billing";
        world.call(&world.operator(), "GET", path, None).json()
    };
    for _ in 0..400 {
        if shown()["sent"] == 1 {
            break;
        }
        let _entered = world.runtime().enter();
        world.plane.tend_signals();
        avouch_testkit::https::pause(std::time::Duration::from_millis(50));
    }
    assert_eq!(shown()["sent"], 1, "{}", shown());
    assert_eq!(shown()["waiting"], 0);
    assert!(!shown().to_string().contains("secret-of-billing"));
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        received[1].headers["content-type"],
        "application/secevent+jwt"
    );
    assert_eq!(
        received[1].headers["authorization"],
        "Bearer secret-of-billing"
    );
    let set = String::from_utf8(received[1].body.clone()).unwrap();
    assert_eq!(claims(&set)["sub_id"]["uri"], "spiffe://one.test/web");
}

/// A deployment that may call servers of this machine.
fn calling() -> World {
    World::with(Settings {
        fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
        ..Settings::default()
    })
}

/// Does what the server does in time until something is so, and whether it came to be.
fn comes(world: &World, mut is_so: impl FnMut() -> bool) -> bool {
    (0..200).any(|_| {
        if is_so() {
            return true;
        }
        let _entered = world.runtime().enter();
        world.plane.tend_signals();
        avouch_testkit::https::pause(std::time::Duration::from_millis(50));
        false
    })
}

#[test]
fn where_a_receiver_is_called_and_with_what_is_one_change() {
    let world = calling();
    let token = receiver(&world, &json!({}));
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let sequence = || one.read(|held| held.sequence.number());
    let before = sequence();
    let delivery = |url: &str, header: &str| {
        json!({
            "method": "urn:ietf:rfc:8935", "endpoint_url": url, "authorization_header": header,
        })
    };
    let stream = create(
        &world,
        &token,
        &delivery("https://127.0.0.1:1/a", "Bearer a"),
    );
    assert_eq!(sequence(), before + 1);
    let changed = json!({
        "stream_id": stream["stream_id"], "delivery": delivery("https://127.0.0.1:1/b", "Bearer b"),
    });
    let answer = world.send(&token, "PATCH", "/t/one/ssf/streams", &changed);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(sequence(), before + 2);
}

#[test]
fn who_takes_the_name_of_a_receiver_is_told_at_its_own_address_and_the_one_before_nothing() {
    let world = calling();
    let root = root("Receivers Root");
    let server = || {
        HttpsServer::start(&Shown::under(&root, &["localhost"]), move |_, wire| {
            wire.write_all(&avouch_testkit::https::response(202, &[], b""))
        })
    };
    let (before, after) = (server(), server());
    let ca = pem("CERTIFICATE", &root.certificate);
    let push = |server: &HttpsServer, header: &str| {
        json!({
            "method": "urn:ietf:rfc:8935", "endpoint_url": server.url("/events"),
            "authorization_header": header,
        })
    };
    let token = receiver(&world, &json!({"ca": ca}));
    create(&world, &token, &push(&before, "Bearer of-before"));
    entry(&world, "a");
    remove(&world, "a");
    assert!(comes(&world, || before.received().len() == 1));
    let other = "spiffe://one.test/invoices";
    receiver(&world, &json!({"ca": ca, "subject": other}));
    entry(&world, "b");
    remove(&world, "b");
    let token = world.token(other);
    create(&world, &token, &push(&after, "Bearer of-after"));
    entry(&world, "c");
    remove(&world, "c");
    assert!(comes(&world, || !after.received().is_empty()));
    let told = after.received();
    assert!(
        told.iter()
            .all(|one| one.headers["authorization"] == "Bearer of-after")
    );
    assert_eq!(before.received().len(), 1);
}

#[test]
fn who_waits_as_a_receiver_is_told_nothing_of_who_has_its_name_by_then() {
    let world = World::new();
    let by_poll = json!({"method": "urn:ietf:rfc:8936"});
    let token = receiver(&world, &json!({}));
    create(&world, &token, &by_poll);
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.send(&token, "POST", "/t/one/ssf/poll", &json!({})));
        avouch_testkit::https::pause(std::time::Duration::from_millis(300));
        let other = "spiffe://one.test/invoices";
        receiver(&world, &json!({"subject": other}));
        create(&world, &world.token(other), &by_poll);
        entry(&world, "a");
        remove(&world, "a");
        waiting.join().unwrap()
    });
    assert_eq!(answer.status, 404, "{}", answer.body);
}

/// Each that waits holds a thread that others need.
#[test]
fn no_more_receivers_wait_at_once_than_there_are_threads_to_spare() {
    const ASKING: usize = 44;
    const WAITING: usize = 32;
    let world = World::new();
    let token = receiver(&world, &json!({}));
    create(&world, &token, &json!({"method": "urn:ietf:rfc:8936"}));
    let answered = std::sync::atomic::AtomicUsize::new(0);
    let count = || answered.load(std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING)
            .map(|_| {
                scope.spawn(|| {
                    let answer = poll(&world, &token, &json!({}));
                    answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    answer["sets"].as_object().unwrap().len()
                })
            })
            .collect();
        // Far less than they would wait.
        for _ in 0..160 {
            if count() >= ASKING - WAITING {
                break;
            }
            avouch_testkit::https::pause(std::time::Duration::from_millis(50));
        }
        let at_once = count();
        entry(&world, "a");
        remove(&world, "a");
        let sets: Vec<usize> = asking.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(at_once >= ASKING - WAITING, "{at_once}");
        // Near miss: those that waited are told as soon as there is something to tell.
        assert!(sets.iter().filter(|sets| **sets == 1).count() >= WAITING / 2);
    });
}
