//! Tokens that are exchanged by servers that run, and that are killed: each is used once, for ever and
//! everywhere.

#![expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is chosen by time, and tokens are of now"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use avouch_testkit::key::Key;
use avouch_testkit::postgresql::Cluster;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::plane::Plane;

const ISSUER: &str = "https://ci.example.com";
pub(crate) const PUBLIC: &str = "https://avouch.example.com";

/// Has the tenant `demo` trust an issuer, and give to whoever it calls a job.
pub(crate) fn trusting(plane: &Plane) {
    let issuer = json!({
        "issuer": ISSUER, "jwks": jwks(&[jwk(&Key::p256("ci"), "k1")]),
        "rules": [{"name": "ours", "facts": {"claims.environment": ["prod", "stage", "dev"]}}],
        "owner": "the platform team",
    });
    let rule = json!({
        "from": {"anchor": "ci", "facts": {"claims.environment": "prod"}},
        "gives": {
            "spiffe_id": "spiffe://demo.avouch.test/job", "audiences": ["https://cloud.test"],
        },
        "bearer": {"reason": "no key at hand", "expires": "2100-01-01T00:00:00Z"},
        "owner": "the platform team", "reason": "jobs",
    });
    plane.folder.file("ci.yaml", issuer.to_string());
    plane.folder.file("job.yaml", rule.to_string());
    for (noun, name, file) in [("anchor", "ci", "ci.yaml"), ("rule", "job", "job.yaml")] {
        let put = plane.run(&[noun, "put", name, "--tenant", "demo", "-f", file]);
        assert_eq!(put.code, 0, "{}", put.err);
    }
}

/// The token of a job of this name.
fn token(job: &str) -> String {
    token_of(job, "prod")
}

/// The token of a job of this name, for an environment.
pub(crate) fn token_of(job: &str, environment: &str) -> String {
    let now = now();
    TokenForge::saying(json!({
        "iss": ISSUER, "sub": "job", "aud": format!("{PUBLIC}/t/demo"), "environment": environment,
        "jti": job, "iat": now, "exp": now + 600,
    }))
    .sign(&Key::p256("ci"), "k1")
}

/// The seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

/// What came of an exchange: `given`, or the code of the refusal; nothing if there was no answer.
pub(crate) fn exchange(plane: &Plane, token: &str) -> Option<String> {
    Exchange::begin(plane, token)?.told()
}

/// An exchange that is with its server but for the last byte.
struct Exchange {
    stream: TcpStream,
    last: u8,
}

impl Exchange {
    fn begin(plane: &Plane, token: &str) -> Option<Self> {
        let http = plane.http();
        let address = http.strip_prefix("http://").unwrap();
        let body = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
             &subject_token_type=urn:ietf:params:oauth:token-type:jwt"
        );
        let request = format!(
            "POST /t/demo/token HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (last, before) = request.as_bytes().split_last().unwrap();
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(before).ok()?;
        Some(Self {
            stream,
            last: *last,
        })
    }

    fn finish(&mut self) -> Option<()> {
        self.stream.write_all(&[self.last]).ok()
    }

    fn told(mut self) -> Option<String> {
        self.finish()?;
        self.read()
    }

    fn read(&mut self) -> Option<String> {
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).ok()?;
        match (head.split(' ').nth(1), body["code"].as_str()) {
            (Some("503"), _) => Some("busy".to_owned()),
            (_, Some(code)) => Some(code.to_owned()),
            (_, None) => body["access_token"].as_str().map(|_| "given".to_owned()),
        }
    }
}

/// What came of as many uses of one token, by turns at two servers, which have all of them but for the
/// last byte of each before the first is whole. Who is told to come again comes with all others.
fn exchange_all_at_once(servers: [&Plane; 2], token: &str, uses: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < uses {
        let begun = (told.len()..uses).map(|number| Exchange::begin(servers[number % 2], token));
        let mut begun: Vec<Exchange> = begun.map(Option::unwrap).collect();
        for one in &mut begun {
            one.finish().unwrap();
        }
        let answers = begun.iter_mut().map(|one| one.read().unwrap());
        told.extend(answers.filter(|answer| answer != "busy"));
    }
    told
}

fn was_given(plane: &Plane, token: &str) -> bool {
    exchange(plane, token).as_deref() == Some("given")
}

fn is_used(plane: &Plane, token: &str) -> bool {
    exchange(plane, token).as_deref() == Some("issue.token_used")
}

/// Exchanges one new token after the other until the server is gone; those for which it gave
/// something.
fn exchange_until_killed(
    plane: &Plane,
    name: &str,
    (killed, count): (&AtomicBool, &AtomicU32),
) -> Vec<String> {
    let mut given = Vec::new();
    for number in 0.. {
        let token = token(&format!("{name}-{number}"));
        match exchange(plane, &token) {
            Some(told) => assert_eq!(told, "given"),
            None => {
                assert!(killed.load(Ordering::SeqCst), "no answer without a kill");
                break;
            }
        }
        given.push(token);
        count.fetch_add(1, Ordering::SeqCst);
    }
    given
}

/// Exchanges tokens, several at once, until the server is killed; those for which it gave something.
fn given_until_killed(plane: &Plane, run: &str) -> Vec<String> {
    let (killed, count) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let exchanging: Vec<_> = (0..4)
            .map(|number| {
                let told = (&killed, &count);
                scope.spawn(move || exchange_until_killed(plane, &format!("{run}-{number}"), told))
            })
            .collect();
        // It is at work by then, however busy the machine is.
        for _ in 0..600 {
            thread::sleep(Duration::from_millis(50));
            if count.load(Ordering::SeqCst) >= 8 {
                break;
            }
        }
        killed.store(true, Ordering::SeqCst);
        plane.send(Signal::SIGKILL);
        let given = exchanging.into_iter().map(|one| one.join().unwrap());
        given.collect::<Vec<_>>().concat()
    })
}

#[test]
fn hostile_49_a_token_stays_used_when_its_server_is_killed() {
    let more = ["--public-url", PUBLIC];
    let mut plane = Plane::start("exchanged-killed", &more);
    trusting(&plane);
    for round in 0..2 {
        let given = given_until_killed(&plane, &format!("r{round}"));
        plane = plane.again(Signal::SIGKILL, &more);
        assert!(!given.is_empty());
        for token in &given {
            assert!(
                is_used(&plane, token),
                "one of {} is used again",
                given.len()
            );
        }
        assert!(was_given(&plane, &token(&format!("after-{round}"))));
    }
}

#[test]
fn hostile_49_of_a_thousand_uses_on_two_servers_exactly_one_wins_and_a_kill_changes_nothing() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: exchange by two servers on one PostgreSQL: {why}");
            return;
        }
    };
    let database = cluster.new_database();
    let more = ["--public-url", PUBLIC, "--store", &database];
    let first = Plane::start("exchanged-first", &more);
    trusting(&first);
    let second = first.beside("exchanged-second", &more);
    // What the one was told the other knows.
    assert!(was_given(&second, &token("near-miss")));
    let wanted = token("wanted-by-all");
    let told = exchange_all_at_once([&first, &second], &wanted, 1_000);
    let (won, refused): (Vec<_>, Vec<_>) = told.iter().partition(|told| *told == "given");
    assert!(
        refused.iter().all(|told| *told == "issue.token_used"),
        "{refused:?}"
    );
    let won = won.len();
    assert_eq!(won, 1);
    let given = given_until_killed(&first, "killed");
    assert!(!given.is_empty());
    for token in given.iter().chain([&wanted]) {
        assert!(is_used(&second, token), "the other server gives once more");
    }
    let first = first.again(Signal::SIGKILL, &more);
    for token in given.iter().chain([&wanted]) {
        assert!(is_used(&first, token), "it gives once more after a kill");
    }
    assert!(was_given(&first, &token("near-miss-after")));
}
