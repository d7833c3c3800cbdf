//! What one stream cannot do to another, nor to administrators.

use std::collections::BTreeMap;

use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use super::{
    REVOKED, RISC, SUBJECT, cloud, event, exchange, post, shown, signal, subject, told, workflow,
};
use crate::exchange::{Cloud, GITHUB};

/// An event about a subject by eight names.
fn by_eight_names(cloud: &Cloud, name: &str) -> String {
    let names = (0..8).map(|number| json!({"format": "opaque", "id": format!("{name}-{number}")}));
    let aliases = json!({"format": "aliases", "identifiers": names.collect::<Vec<_>>()});
    event(cloud, REVOKED, &aliases, 0).sign(&cloud.issuer, "k1")
}

fn end(cloud: &Cloud, body: &Value) -> (u16, Value) {
    let answer = cloud.manage("POST", "/v1/tenants/one/ended", body);
    (answer.status, answer.json())
}

#[test]
fn hostile_59_a_stream_that_has_ended_all_it_may_keeps_nobody_else_from_ending() {
    let cloud = cloud();
    let bounded = |most: u32| {
        let wanted = json!({"issuer": GITHUB, "most_ended": most});
        signal(&cloud, "github", &wanted);
    };
    bounded(8);
    assert_eq!(post(&cloud, &by_eight_names(&cloud, "a")).status, 202);
    let beyond = by_eight_names(&cloud, "b");
    let refused = post(&cloud, &beyond);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "issue.endings_exceeded")
    );
    // What has ended may end again.
    assert_eq!(post(&cloud, &by_eight_names(&cloud, "a")).status, 202);
    let stream = shown(&cloud, "github");
    assert_eq!(
        (&stream["holds"], &stream["most_ended"]),
        (&json!(8), &json!(8))
    );
    // Others end what is theirs, and administrators anything.
    let other = Key::p256("other");
    let keys = json!({"issuer": "https://other.test", "jwks": jwks(&[jwk(&other, "k1")])});
    signal(&cloud, "other", &keys);
    let of_other = event(&cloud, REVOKED, &json!({"format": "opaque", "id": "x"}), 0)
        .claim("iss", json!("https://other.test"));
    assert_eq!(post(&cloud, &of_other.sign(&other, "k1")).status, 202);
    let named = json!({"issuer": GITHUB, "subject": "someone", "reason": "a test"});
    assert_eq!(end(&cloud, &named).0, 200);
    // Near miss: with more room the same event is taken.
    bounded(16);
    assert_eq!(post(&cloud, &beyond).status, 202);
}

#[test]
fn the_shares_of_streams_are_no_more_than_there_is() {
    let cloud = cloud();
    let put = |name: &str, most: u32| {
        let wanted = json!({"issuer": format!("https://{name}.test"), "most_ended": most});
        let path = format!("/v1/tenants/one/signals/{name}");
        cloud.manage("PUT", &path, &wanted).status
    };
    // The stream `github` has 10,000 by default.
    assert_eq!(put("a", 80_001), 400);
    assert_eq!(put("a", 80_000), 201);
    assert_eq!(put("b", 1), 400);
    // The same stream again takes nothing twice, and with less for one there is some for another.
    assert_eq!(put("a", 79_999), 200);
    assert_eq!(put("b", 1), 201);
}

#[test]
fn what_an_administrator_has_closed_a_stream_does_not_open() {
    let cloud = cloud();
    let account = |turn: &str, ago: i64| {
        let name = format!("{RISC}/account-{turn}");
        told(&cloud, &event(&cloud, &name, &subject(SUBJECT), ago));
    };
    let said = |turn: &str| {
        let body = json!({"issuer": GITHUB, "subject": SUBJECT, "turn": turn, "reason": "a look"});
        assert_eq!(end(&cloud, &body).0, 200);
    };
    let is_open = || exchange(&cloud, &workflow(&cloud, -5, &json!({}))).status == 200;
    let ended = || {
        let told = cloud
            .manage("GET", "/v1/tenants/one/ended", &json!({}))
            .json();
        told["ended"][0].clone()
    };
    // What the stream has closed itself it opens.
    account("disabled", 30);
    assert_eq!(
        (is_open(), &ended()["closed_by"]),
        (false, &json!("transmitter"))
    );
    account("enabled", 20);
    assert!(is_open());
    said("closed");
    account("disabled", 10);
    account("enabled", -2);
    assert!(!is_open());
    let one = ended();
    assert_eq!(
        (&one["closed"], &one["closed_by"], &one["event"]),
        (&json!(true), &json!("administrator"), &json!("a look"))
    );
    assert_eq!(
        shown(&cloud, "github")["events"][0]["outcome"],
        "kept_closed"
    );
    // Near misses: the administrator opens it, also what a stream has closed. Of what is said in one second
    // the careful holds, so that is a second later.
    cloud.world.pass(1);
    said("opened");
    assert!(is_open());
    account("disabled", -4);
    assert!(!is_open());
    let counts: BTreeMap<String, Value> = serde_json::from_value(shown(&cloud, "github")).unwrap();
    assert_eq!((&counts["ended"], &counts["noted"]), (&json!(4), &json!(1)));
}
