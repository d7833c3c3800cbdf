//! How long it takes from a security event to the last of a thousand connected verifiers that refuses
//! what was exchanged for its subject: each was shown the token, believed it, and decides on it anew when
//! it hears.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use avouch_core::ended::Mark;
use avouch_core::id::TrustDomain;
use avouch_testkit::key::Key;
use avouch_testkit::token::TokenForge;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::agents::{ENTRIES_EACH, now};
use crate::client::Client;
use crate::deployment::{self, TENANT};
use crate::exchange::{AUDIENCE, ISSUER, OURSELVES, serve, trust};
use crate::exchanger::send;
use crate::measure::percentile;

/// How many verifiers are connected, each over a connection of its own with mutual TLS.
const VERIFIERS: usize = 1_000;

/// How many events come one after another, in each round.
const EVENTS: usize = 40;
const ROUNDS: usize = 5;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    let mut identities = tempfile::NamedTempFile::new().unwrap();
    for number in 0..VERIFIERS {
        let identity = deployment::enrol(&plane, &format!("node-{number}"));
        writeln!(identities, "{}", identity.to_json()).unwrap();
        let (from, to) = (number * ENTRIES_EACH, (number + 1) * ENTRIES_EACH);
        deployment::write_entries(&plane, from, to, &format!("node-{number}"));
    }
    let runtime = Runtime::new().unwrap();
    let (nodes, _stop) = runtime.block_on(deployment::serve(&plane));
    let (address, _stop_http) = runtime.block_on(serve(&plane));
    trust(&plane, &address);
    let operator = plane.operator_token().unwrap().token;
    let signal = json!({ "issuer": ISSUER, "most_per_minute": 1_000_000 }).to_string();
    let path = format!("/v1/tenants/{TENANT}/signals/ci");
    assert_eq!(send(&address, "PUT", &path, &operator, &signal), 200);
    let first = deployment::enrol(&plane, "first");
    let mut client = Client::start(&nodes, &first);
    client.order(&format!("fleet {}", identities.path().display()));
    let domain = TrustDomain::parse("bench.avouch.test").unwrap();
    let bundle = plane.bundle(&deployment::tenant(&plane), &domain).unwrap();
    println!(
        "{VERIFIERS} verifiers follow one server, simulated in a process beside it; {EVENTS} events one after another, {ROUNDS} rounds"
    );
    let issuer = Key::p256("issuer");
    let file = folder.path().join("shown.json");
    let (mut worst, mut answered) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut times = Vec::new();
        for number in 0..EVENTS {
            let who = format!("subject-{round}-{number}");
            let shown = json!({
                "trust_domain": domain.as_str(), "bundle": bundle, "audience": AUDIENCE,
                "token": exchanged(&address, &issuer, &who), "now": seconds(),
            });
            std::fs::write(&file, shown.to_string()).unwrap();
            client.order(&format!("show {}", file.display()));
            client.begin(&format!("arrival {VERIFIERS}"));
            let began = now();
            let (path, media) = ("events", "application/secevent+jwt");
            let (status, _) = post(&address, path, media, &event(&issuer, &who));
            assert_eq!(status, 202);
            answered.push(Duration::from_secs_f64(now() - began));
            let arrived = client.await_end();
            let mark = Mark::subject(ISSUER, &who).digest().to_string();
            for one in arrived["answer"].as_array().unwrap() {
                assert_eq!(one[0].as_str(), Some(mark.as_str()));
                times.push(Duration::from_secs_f64(one[1].as_f64().unwrap() - began));
            }
        }
        worst.push(percentile(&mut times, 0.99));
        println!(
            "  event sent until a verifier refuses: median {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            percentile(&mut times, 1.0),
        );
    }
    worst.sort_by(f64::total_cmp);
    println!(
        "  p99 of the rounds: {:.1} ms ({:.1} to {:.1}); the transmitter is answered after {:.1} ms (median), {:.1} ms (p99); wanted p99 1,000 ms",
        worst[ROUNDS / 2],
        worst[0],
        worst[ROUNDS - 1],
        percentile(&mut answered, 0.5),
        percentile(&mut answered, 0.99),
    );
}

fn event(issuer: &Key, subject: &str) -> String {
    let at = seconds();
    TokenForge::saying(json!({
        "iss": ISSUER, "aud": OURSELVES, "iat": at, "jti": format!("event-{subject}"),
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": subject},
        "events": { REVOKED: {"event_timestamp": at} },
    }))
    .header("typ", json!("secevent+jwt"))
    .sign(issuer, "key-1")
}

fn seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

/// What is given for a token of this subject.
fn exchanged(address: &str, issuer: &Key, subject: &str) -> String {
    let at = seconds();
    let token = TokenForge::saying(json!({
        "iss": ISSUER, "sub": subject, "aud": OURSELVES, "iat": at, "exp": at + 600,
        "jti": format!("token-{subject}"), "environment": "production",
    }))
    .sign(issuer, "key-1");
    let asked = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}&subject_token_type=urn:ietf:params:oauth:token-type:jwt"
    );
    let media = "application/x-www-form-urlencoded";
    let (status, body) = post(address, "token", media, &asked);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Sends something to the tenant over a connection of its own, and gives the status and the body.
fn post(address: &str, path: &str, media: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let sent = format!(
        "POST /t/{TENANT}/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(sent.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}
