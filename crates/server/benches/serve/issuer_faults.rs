//! What one tenant notices of another's issuers: the same calls with those in order and with those
//! down, slow and hostile, in turn.
//!
//! A loud tenant has many issuers, whose tokens name keys that nobody knows, and has their keys
//! fetched again and again. Measured is a quiet tenant beside it, which decides and exchanges.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use avouch_core::id::TenantId;
use avouch_server::fetch::Permitted;
use avouch_server::{Plane, Settings};
use avouch_store::TenantKind;
use avouch_testkit::https::{HttpsServer, Received, Shown, Wire, pause, response, root};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::deployment::{self, TENANT};
use crate::exchange::{self, OURSELVES};
use crate::exchanger::send;
use crate::measure::{ROUNDS, percentile};

/// The tenant whose issuers fail.
const LOUD: &str = "loud";

/// How many issuers it has. A third is down, a third drips, a third sends without end.
const ISSUERS: usize = 24;

/// How many of its callers call at once, and how long each waits between two calls.
const CALLERS: usize = 48;
const BETWEEN: Duration = Duration::from_millis(300);

/// How many of its administrators have keys fetched, one after another.
const REFRESHERS: usize = 4;

/// How long one round takes, and how many callers of the quiet tenant are measured in it.
const ROUND: Duration = Duration::from_secs(12);
const MEASURED: usize = 2;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
        ..Settings::default()
    };
    let plane = deployment::open_with(folder.path(), settings);
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(exchange::serve(&plane));
    exchange::trust(&plane, &address);
    let are_hostile = Arc::new(AtomicBool::new(false));
    let issuers = issuers(&are_hostile);
    trust_all(&plane, &address, &issuers);
    runtime.spawn(keep(Arc::clone(&plane)));
    println!(
        "A quiet tenant beside one with {ISSUERS} issuers, {CALLERS} callers with unknown keys and {REFRESHERS} that refresh; {ROUNDS} rounds of {} s each way, in turn",
        ROUND.as_secs()
    );
    let ended = AtomicBool::new(false);
    let mut pairs = Vec::new();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (address, issuers, ended) = (&address, &issuers, &ended);
            scope.spawn(move || call_loudly(address, issuers, caller, ended));
        }
        for refresher in 0..REFRESHERS {
            let (plane, address, ended) = (&plane, &address, &ended);
            scope.spawn(move || refresh(plane, address, refresher, ended));
        }
        let numbers = AtomicUsize::new(0);
        measure(&address, Duration::from_secs(3), &numbers);
        for _ in 0..ROUNDS {
            let mut pair = Vec::new();
            for hostile in [false, true] {
                are_hostile.store(hostile, Ordering::SeqCst);
                // What was begun before ends meanwhile.
                pause(Duration::from_secs(4));
                pair.push(measure(&address, ROUND, &numbers));
            }
            pairs.push(pair);
        }
        ended.store(true, Ordering::SeqCst);
        are_hostile.store(false, Ordering::SeqCst);
    });
    tell(pairs);
}

/// A server with all issuers, each on a path of its own.
fn issuers(are_hostile: &Arc<AtomicBool>) -> (HttpsServer, String) {
    let root = root("Loud Root");
    let keys = jwks(&[jwk(&Key::p256("loud"), "k-1")]).to_string();
    let hostile = Arc::clone(are_hostile);
    let shown = Shown::under(&root, &["localhost"]);
    let server = HttpsServer::start(&shown, move |received, wire| {
        let number = received.path.split('/').nth(1).unwrap_or_default();
        let number: usize = number.parse().unwrap_or_default();
        if hostile.load(Ordering::SeqCst) {
            return fail(number, wire);
        }
        answer(received, number, &keys, wire)
    });
    (server, pem("CERTIFICATE", &root.certificate))
}

fn answer(received: &Received, number: usize, keys: &str, wire: &mut dyn Wire) -> io::Result<()> {
    let host = received.headers.get("host").cloned().unwrap_or_default();
    let body = match received.path.ends_with("/jwks") {
        true => keys.to_owned(),
        false => json!({
            "issuer": format!("https://{host}/{number}"),
            "jwks_uri": format!("https://{host}/{number}/jwks"),
        })
        .to_string(),
    };
    wire.write_all(&response(
        200,
        &[("cache-control", "max-age=60")],
        body.as_bytes(),
    ))
}

/// Hangs up; sends a byte now and then; sends without end.
fn fail(number: usize, wire: &mut dyn Wire) -> io::Result<()> {
    match number % 3 {
        0 => Err(io::ErrorKind::ConnectionReset.into()),
        1 => {
            wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")?;
            loop {
                wire.write_all(b"{")?;
                wire.flush()?;
                pause(Duration::from_millis(500));
            }
        }
        _ => {
            wire.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                wire.write_all(&[b' '; 16_384])?;
            }
        }
    }
}

fn trust_all(plane: &Plane, address: &str, issuers: &(HttpsServer, String)) {
    let (server, ca) = issuers;
    let root = plane.root().unwrap();
    let loud = TenantId::parse(LOUD).unwrap();
    plane
        .add_tenant(&loud, Some(root.id()), TenantKind::Tenant)
        .unwrap();
    let token = plane.operator_token().unwrap().token;
    for number in 0..ISSUERS {
        let document = json!({
            "issuer": server.url(&format!("/{number}")), "ca": ca, "audiences": [OURSELVES],
            "refresh_every": 60,
            "override": {"reason": "a measurement", "expires": "2100-01-01T00:00:00Z"},
        });
        let path = format!("/v1/tenants/{LOUD}/issuers/issuer-{number}");
        let status = send(address, "PUT", &path, &token, &document.to_string());
        assert_eq!(status, 200, "{path}");
    }
}

/// Fetches what is due, as the server does.
async fn keep(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        plane.refresh_due_issuers().await;
    }
}

fn call_loudly(address: &str, issuers: &(HttpsServer, String), caller: usize, ended: &AtomicBool) {
    let key = Key::p256("loud");
    let mut number = caller;
    while !ended.load(Ordering::SeqCst) {
        let began = Instant::now();
        let issuer = issuers.0.url(&format!("/{}", number % ISSUERS));
        let now = now();
        let token = TokenForge::saying(json!({
            "iss": issuer, "sub": "x", "aud": OURSELVES, "iat": now, "nbf": now, "exp": now + 600,
        }))
        .sign(&key, &format!("made-up-{number}"));
        decide(address, LOUD, &token);
        number += CALLERS;
        pause(BETWEEN.saturating_sub(began.elapsed()));
    }
}

fn refresh(plane: &Plane, address: &str, refresher: usize, ended: &AtomicBool) {
    let mut number = refresher;
    while !ended.load(Ordering::SeqCst) {
        let token = plane.operator_token().unwrap().token;
        let issuer = number % ISSUERS;
        let path = format!("/v1/tenants/{LOUD}/issuers/issuer-{issuer}/refresh");
        send(address, "POST", &path, &token, "{}");
        number += REFRESHERS;
        pause(BETWEEN);
    }
}

/// How long decisions and exchanges of the quiet tenant took.
#[derive(Default)]
struct Times {
    decide: Vec<Duration>,
    exchange: Vec<Duration>,
}

fn measure(address: &str, length: Duration, numbers: &AtomicUsize) -> Times {
    let until = Instant::now() + length;
    let work = || {
        let key = Key::p256("issuer");
        let mut times = Times::default();
        while Instant::now() < until {
            let number = numbers.fetch_add(1, Ordering::SeqCst);
            let token = exchange::token(&key, number, now());
            let began = Instant::now();
            assert_eq!(decide(address, TENANT, &token), 200);
            times.decide.push(began.elapsed());
            let began = Instant::now();
            assert_eq!(exchanged(address, &token), 200);
            times.exchange.push(began.elapsed());
            pause(Duration::from_millis(4));
        }
        times
    };
    let mut all = Times::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..MEASURED).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let times = worker.join().unwrap();
            all.decide.extend(times.decide);
            all.exchange.extend(times.exchange);
        }
    });
    all
}

fn decide(address: &str, tenant: &str, token: &str) -> u16 {
    let question = json!({"credential": {"jwt": token}, "audience": [OURSELVES]});
    let path = format!("/t/{tenant}/decide");
    call(address, &path, "application/json", &question.to_string())
}

fn exchanged(address: &str, token: &str) -> u16 {
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={token}\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
    );
    let path = format!("/t/{TENANT}/token");
    call(address, &path, "application/x-www-form-urlencoded", &form)
}

/// One request on a connection of its own.
fn call(address: &str, path: &str, content_type: &str, body: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Prints percentiles with the issuers in order and not, and how many times as long it took.
fn tell(pairs: Vec<Vec<Times>>) {
    type Of = fn(&mut Times) -> &mut Vec<Duration>;
    let kinds: [(&str, Of); 2] = [
        ("decide", |times| &mut times.decide),
        ("exchange", |times| &mut times.exchange),
    ];
    let mut pairs = pairs;
    for (name, of) in kinds {
        for share in [0.5, 0.99] {
            let mut found: Vec<(f64, f64)> = Vec::new();
            for pair in &mut pairs {
                let [calm, hostile] = pair.as_mut_slice() else {
                    unreachable!("a round is of two")
                };
                let calm = percentile(of(calm), share);
                found.push((calm, percentile(of(hostile), share)));
            }
            let middle = |pick: fn(&(f64, f64)) -> f64| {
                let mut all: Vec<f64> = found.iter().map(pick).collect();
                all.sort_by(f64::total_cmp);
                format!(
                    "{:.2} ({:.2} to {:.2})",
                    all[all.len() / 2],
                    all[0],
                    all[all.len() - 1]
                )
            };
            println!(
                "  {name:<9} p{:<3} {} ms with issuers in order, {} ms with issuers down, slow and hostile: {} times",
                share * 100.0,
                middle(|(calm, _)| *calm),
                middle(|(_, hostile)| *hostile),
                middle(|(calm, hostile)| hostile / calm)
            );
        }
    }
    let count: usize = pairs.iter().flatten().map(|times| times.decide.len()).sum();
    println!("  {count} of each in all");
}
