//! Events of others: what is believed of them, and what they end.

mod between;
mod effects;
mod hostile;
mod later;
mod others;
mod receivers;
mod servers;
mod shares;
mod transmitters;

use std::sync::atomic::{AtomicU64, Ordering};

use avouch_testkit::key::Key;
use avouch_testkit::token::TokenForge;
use serde_json::{Value, json};

use crate::exchange::{CLOUD, Cloud, GITHUB, OURSELVES, exchange_form, rule, token};
use crate::http::{Answer, request, send};

pub(crate) const REVOKED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub(crate) const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";
pub(crate) const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
pub(crate) const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type";
pub(crate) const SUBJECT: &str = "repo:octo-org@65/octo-repo@74:environment:prod";

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A deployment whose tenant `one` exchanges tokens of workflows, also for bearers, and takes events
/// of their issuer.
pub(crate) fn cloud() -> Cloud {
    let cloud = Cloud::new();
    let mut bearer = rule();
    bearer["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &bearer);
    signal(&cloud, "github", &json!({"issuer": GITHUB}));
    cloud
}

/// A deployment in which what is given can be exchanged once more, by bearers too.
pub(crate) fn chained() -> Cloud {
    let cloud = cloud();
    let bearer = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    let mut first = rule();
    first["gives"]["audiences"] = json!([OURSELVES]);
    first["bearer"] = bearer.clone();
    cloud.rule("deploy", &first);
    let last = json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": "/ci/74/deploy"}},
        "gives": {"spiffe_id": "spiffe://one.test/last", "audiences": [CLOUD]},
        "bearer": bearer, "owner": "o", "reason": "r",
    });
    cloud.rule("last", &last);
    cloud
}

pub(crate) fn signal(cloud: &Cloud, name: &str, document: &Value) -> Value {
    let path = format!("/v1/tenants/one/signals/{name}");
    let put = cloud.manage("PUT", &path, document);
    assert!(put.is_put(), "{}", put.body);
    put.json()
}

pub(crate) fn shown(cloud: &Cloud, name: &str) -> Value {
    let path = format!("/v1/tenants/one/signals/{name}");
    cloud.manage("GET", &path, &json!({})).json()
}

pub(crate) fn subject(name: &str) -> Value {
    json!({"format": "iss_sub", "iss": GITHUB, "sub": name})
}

/// An event of the issuer of workflows that happened `ago` seconds ago.
pub(crate) fn event(cloud: &Cloud, name: &str, subject: &Value, ago: i64) -> TokenForge {
    let now = cloud.now();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    TokenForge::saying(json!({
        "iss": GITHUB, "aud": OURSELVES, "iat": now, "jti": format!("event-{number}"),
        "sub_id": subject, "events": {name: {"event_timestamp": now - ago}},
    }))
    .header("typ", json!("secevent+jwt"))
}

pub(crate) fn post(cloud: &Cloud, event: &str) -> Answer {
    let headers = [("content-type", "application/secevent+jwt")];
    let sent = request("POST", "/t/one/events", &headers, Some(event));
    send(cloud.world.address, &sent)
}

/// Sends an event of the issuer, which is taken.
pub(crate) fn told(cloud: &Cloud, event: &TokenForge) {
    let answer = post(cloud, &event.sign(&cloud.issuer, "k1"));
    assert_eq!(answer.status, 202, "{}", answer.body);
}

/// The word of a refusal.
pub(crate) fn refused(cloud: &Cloud, event: &str) -> String {
    let answer = post(cloud, event);
    assert_eq!(answer.status, 400, "{}", answer.body);
    let told = answer.json();
    for member in ["description", "code", "decision"] {
        assert!(told[member].is_string(), "{member}: {told}");
    }
    told["err"].as_str().unwrap().to_owned()
}

pub(crate) fn refused_of(cloud: &Cloud, event: &TokenForge) -> String {
    refused(cloud, &event.sign(&cloud.issuer, "k1"))
}

/// The token of a workflow that began `ago` seconds ago.
pub(crate) fn workflow(cloud: &Cloud, ago: i64, changed: &Value) -> String {
    let mut claims = json!({"iat": cloud.now() - ago});
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    cloud.workflow(&claims)
}

/// What is given for the token of a workflow that began `ago` seconds ago.
pub(crate) fn exchanged(cloud: &Cloud, ago: i64, changed: &Value) -> String {
    token(&exchange(cloud, &workflow(cloud, ago, changed)))
}

pub(crate) fn exchange(cloud: &Cloud, subject: &str) -> Answer {
    cloud.send(&exchange_form(subject, &[]), &[])
}

/// What the tenant decides on a token that it gave: `accept`, or the code.
pub(crate) fn decided(cloud: &Cloud, token: &str) -> String {
    let question = json!({
        "profile": "spiffe", "audience": [CLOUD], "credential": {"jwt": token},
    });
    word_of(&cloud.manage("POST", "/t/one/decide", &question))
}

pub(crate) fn word_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let verdict = answer.json();
    match verdict["verdict"].as_str().unwrap() {
        "accept" => "accept".to_owned(),
        _ => verdict["reason"]["code"].as_str().unwrap().to_owned(),
    }
}

/// The claims of a workflow of someone else.
pub(crate) fn someone(name: &str) -> Value {
    json!({"sub": format!("{SUBJECT}:actor:{name}"), "actor": name})
}

pub(crate) fn thief() -> Key {
    Key::p256("thief")
}
