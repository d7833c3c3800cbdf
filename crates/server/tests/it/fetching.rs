//! What is fetched from elsewhere, over real sockets, from servers that are good or hostile.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avouch_core::id::TenantId;
use avouch_core::reason::{CATALOGUE, Family};
use avouch_server::Refused;
use avouch_server::fetch::{Fetched, Fetcher, Limits, Permitted, Request, Resolve, Trust};
use avouch_testkit::https::{HttpsServer, Shown, pause, response, root};
use avouch_testkit::world::Authority;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use rustls::pki_types::CertificateDer;

const MILLISECOND: Duration = Duration::from_millis(1);

/// Loopback is permitted, since that is where the servers of tests are.
fn fetcher() -> Fetcher {
    Fetcher::new(Permitted::read(["127.0.0.0/8"]).unwrap())
}

fn tenant() -> TenantId {
    TenantId::parse("one").unwrap()
}

fn quick() -> Limits {
    Limits {
        connect: 1000 * MILLISECOND,
        first_byte: 400 * MILLISECOND,
        whole: 1500 * MILLISECOND,
        body: 1_000,
        head: 8_192,
        redirects: 0,
    }
}

fn believing(root: &Authority, url: &str) -> Request {
    let root = CertificateDer::from(root.certificate.clone());
    let request = Request::get(url).unwrap();
    request.trusting(Trust::Only(vec![root])).within(quick())
}

fn run(fetcher: &Fetcher, request: &Request) -> Result<Fetched, &'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let fetched = runtime.block_on(fetcher.fetch(&tenant(), request));
    runtime.shutdown_background();
    match fetched {
        Ok(fetched) => Ok(fetched),
        Err(Refused::Reason(reason)) => Err(reason.code()),
        Err(Refused::Fault(fault)) => panic!("{fault}"),
    }
}

fn code(fetcher: &Fetcher, request: &Request) -> &'static str {
    match run(fetcher, request) {
        Ok(fetched) => match fetched.when_ok() {
            Ok(_) => "ok",
            Err(reason) => reason.code(),
        },
        Err(code) => code,
    }
}

/// Resolves a name to one list after another; the last stays.
struct Script {
    lists: Mutex<Vec<Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn of(lists: Vec<Vec<SocketAddr>>) -> Arc<Self> {
        Arc::new(Self {
            lists: Mutex::new(lists),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Script {
    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut lists = self.lists.lock().unwrap();
        match lists.len() {
            0 => Err(io::Error::other("no such name")),
            1 => Ok(lists[0].clone()),
            _ => Ok(lists.remove(0)),
        }
    }
}

#[test]
fn what_is_there_is_fetched_as_a_whole_with_what_was_shown() {
    let root = root("Fetch Root");
    let shown = Shown::under(&root, &["localhost"]);
    let fields = [
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=600"),
    ];
    let server = HttpsServer::always(&shown, 200, &fields, "{\"keys\":[]}");
    let request = believing(&root, &server.url("/keys?a=b")).header(AUTHORIZATION, "Bearer x");
    let fetched = run(&fetcher(), &request).unwrap().when_ok().unwrap();
    assert_eq!(fetched.body(), b"{\"keys\":[]}");
    assert_eq!(fetched.header(CONTENT_TYPE), Some("application/json"));
    assert_eq!(fetched.fresh_for(), Some(Duration::from_secs(600)));
    assert_eq!(fetched.address(), server.address());
    assert_eq!(fetched.certificates()[0].as_ref(), shown.chain[0]);
    let received = server.received();
    assert_eq!(received[0].path, "/keys?a=b");
    assert_eq!(
        received[0].headers["host"],
        format!("localhost:{}", server.port())
    );
    assert_eq!(received[0].headers["accept-encoding"], "identity");
    assert_eq!(received[0].headers["authorization"], "Bearer x");
    assert!(!format!("{request:?}").contains("Bearer"));
}

#[test]
fn something_is_sent_and_its_answer_read() {
    let root = root("Fetch Root");
    let shown = Shown::under(&root, &["localhost"]);
    let server = HttpsServer::start(&shown, |received, wire| {
        let body = received.body.clone();
        wire.write_all(&response(200, &[], &body))
    });
    let url = server.url("/introspect");
    let request = Request::post(
        &url,
        "application/x-www-form-urlencoded",
        b"token=t".to_vec(),
    );
    let root = CertificateDer::from(root.certificate.clone());
    let request = request.unwrap().trusting(Trust::Only(vec![root]));
    assert_eq!(run(&fetcher(), &request).unwrap().body(), b"token=t");
    assert_eq!(server.received()[0].method, "POST");
}

#[test]
fn hostile_22_the_own_machine_is_not_called_unless_it_is_permitted() {
    let root = root("Fetch Root");
    let server = HttpsServer::always(
        &Shown::under(&root, &["localhost", "127.0.0.1"]),
        200,
        &[],
        "x",
    );
    let port = server.port();
    let closed = Fetcher::new(Permitted::default());
    for url in [
        server.url("/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://[fd00:ec2::254]/".to_owned(),
    ] {
        assert_eq!(
            code(&closed, &believing(&root, &url)),
            "fetch.address_forbidden",
            "{url}"
        );
    }
    assert_eq!(server.connections(), 0);
    // What is permitted is that block, and not its IPv4-mapped form.
    for (url, expected) in [
        (server.url("/"), "ok"),
        (format!("https://127.0.0.1:{port}/"), "ok"),
        (
            format!("https://[::ffff:127.0.0.1]:{port}/"),
            "fetch.address_forbidden",
        ),
    ] {
        let permitted = Fetcher::resolving_with(
            Permitted::read(["127.0.0.0/8"]).unwrap(),
            Script::of(vec![vec![server.address()]]),
        );
        assert_eq!(code(&permitted, &believing(&root, &url)), expected, "{url}");
    }
    let by_name = Fetcher::resolving_with(
        Permitted::read(["localhost"]).unwrap(),
        Script::of(vec![vec![server.address()]]),
    );
    assert_eq!(code(&by_name, &believing(&root, &server.url("/"))), "ok");
}

#[test]
fn hostile_22_a_name_that_changes_between_the_check_and_the_call_gains_nothing() {
    let root = root("Fetch Root");
    let shown = Shown::under(&root, &["rebinding.test"]);
    let meant = HttpsServer::always(&shown, 200, &[], "meant");
    let secret = HttpsServer::always(&shown, 200, &[], "secret");
    let script = Script::of(vec![vec![meant.address()], vec![secret.address()]]);
    let permitted = Permitted::read(["127.0.0.0/8"]).unwrap();
    let fetcher = Fetcher::resolving_with(permitted, script.clone());
    let url = format!("https://rebinding.test:{}/", meant.port());
    let fetched = run(&fetcher, &believing(&root, &url)).unwrap();
    assert_eq!(fetched.body(), b"meant");
    // One look-up for one call: there is no second one to answer differently.
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    assert_eq!(secret.connections(), 0);
}

#[test]
fn hostile_22_one_forbidden_address_among_permitted_ones_is_enough() {
    let root = root("Fetch Root");
    let server = HttpsServer::always(&Shown::under(&root, &["mixed.test"]), 200, &[], "x");
    let url = format!("https://mixed.test:{}/", server.port());
    let internal: SocketAddr = "10.0.0.1:443".parse().unwrap();
    for list in [
        vec![server.address(), internal],
        vec![internal, server.address()],
        vec![server.address(), "169.254.169.254:443".parse().unwrap()],
    ] {
        let permitted = Permitted::read(["127.0.0.0/8"]).unwrap();
        let fetcher = Fetcher::resolving_with(permitted, Script::of(vec![list]));
        assert_eq!(
            code(&fetcher, &believing(&root, &url)),
            "fetch.address_forbidden"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn hostile_22_a_redirect_leads_nowhere_else() {
    let root = root("Fetch Root");
    let shown = Shown::under(&root, &["localhost"]);
    let other = HttpsServer::always(&shown, 200, &[], "other");
    let elsewhere = other.url("/");
    let server = HttpsServer::start(&shown, move |received, wire| {
        let location = match received.path.as_str() {
            "/loop" => "/loop",
            "/here" => "/there",
            "/elsewhere" => elsewhere.as_str(),
            "/metadata" => "http://169.254.169.254/latest/",
            _ => return wire.write_all(&response(200, &[], b"there")),
        };
        wire.write_all(&response(302, &[("location", location)], b""))
    });
    for (path, redirects, expected) in [
        ("/here", 0, "fetch.redirect_refused"),
        ("/here", 1, "ok"),
        ("/loop", 2, "fetch.redirect_refused"),
        ("/elsewhere", 2, "fetch.redirect_refused"),
        ("/metadata", 2, "fetch.redirect_refused"),
    ] {
        let limits = Limits {
            redirects,
            ..quick()
        };
        let request = believing(&root, &server.url(path)).within(limits);
        assert_eq!(code(&fetcher(), &request), expected, "{path}");
    }
    assert_eq!(other.connections(), 0);
    let url = server.url("/here");
    let posted = Request::post(&url, "text/plain", b"secret".to_vec()).unwrap();
    let own = CertificateDer::from(root.certificate.clone());
    let limits = Limits {
        redirects: 5,
        ..quick()
    };
    let posted = posted.trusting(Trust::Only(vec![own])).within(limits);
    assert_eq!(code(&fetcher(), &posted), "fetch.redirect_refused");
}

#[test]
fn hostile_23_whoever_does_not_show_who_it_is_is_not_listened_to() {
    let (root, other) = (root("Fetch Root"), root("Other Root"));
    let server = HttpsServer::always(&Shown::under(&root, &["localhost"]), 200, &[], "x");
    let request = believing(&root, &server.url("/"));
    assert_eq!(code(&fetcher(), &request), "ok");
    for (what, shown) in [
        ("another CA", Shown::under(&other, &["localhost"])),
        ("another name", Shown::under(&root, &["other.test"])),
        (
            "expired",
            Shown::valid(
                &root,
                &["localhost"],
                "2020-01-01T00:00:00Z",
                "2021-01-01T00:00:00Z",
            ),
        ),
        (
            "not yet valid",
            Shown::valid(
                &root,
                &["localhost"],
                "2048-01-01T00:00:00Z",
                "2049-01-01T00:00:00Z",
            ),
        ),
    ] {
        server.show(&shown);
        assert_eq!(code(&fetcher(), &request), "fetch.tls_failed", "{what}");
    }
    // A private CA is believed for the request that brings it, and for no other.
    server.show(&Shown::under(&root, &["localhost"]));
    let system = Request::get(&server.url("/")).unwrap().within(quick());
    assert_eq!(code(&fetcher(), &system), "fetch.tls_failed");
    let more = vec![CertificateDer::from(root.certificate.clone())];
    let with_more = system.trusting(Trust::SystemAnd(more));
    assert_eq!(code(&fetcher(), &with_more), "ok");
}

#[test]
fn hostile_23_what_is_no_modern_tls_is_not_spoken() {
    let root = root("Fetch Root");
    // The head of a ServerHello of TLS 1.0, and HTTP without TLS.
    let mut old = vec![0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    old.extend([7; 32]);
    old.extend([0, 0, 0x2f, 0]);
    for answer in [old, response(200, &[], b"plain")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            io::Read::read(&mut socket, &mut [0; 64]).unwrap();
            drop(io::Write::write_all(&mut socket, &answer));
        });
        let url = format!("https://localhost:{port}/");
        assert_eq!(
            code(&fetcher(), &believing(&root, &url)),
            "fetch.tls_failed"
        );
        serving.join().unwrap();
    }
}

#[test]
fn hostile_24_an_answer_without_end_is_ended() {
    let root = root("Fetch Root");
    let shown = Shown::under(&root, &["localhost"]);
    let server = HttpsServer::start(&shown, |received, wire| {
        let part = [b'a'; 500];
        match received.path.as_str() {
            "/announced" => {
                wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
            }
            "/exact" => wire.write_all(&response(200, &[], &[b'a'; 1_000])),
            "/one-more" => wire.write_all(&response(200, &[], &[b'a'; 1_001])),
            "/chunked" => {
                wire.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
                loop {
                    wire.write_all(b"1f4\r\n")?;
                    wire.write_all(&part)?;
                    wire.write_all(b"\r\n")?;
                }
            }
            "/until-closed" => {
                wire.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    wire.write_all(&part)?;
                }
            }
            "/head" => {
                wire.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    wire.write_all(b"x-more: ")?;
                    wire.write_all(&part)?;
                    wire.write_all(b"\r\n")?;
                }
            }
            "/fields" => {
                wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n")?;
                for _ in 0..200 {
                    wire.write_all(b"a: b\r\n")?;
                }
                wire.write_all(b"\r\n")
            }
            "/gzip" => wire.write_all(&response(200, &[("content-encoding", "gzip")], b"\x1f\x8b")),
            "/identity" => {
                wire.write_all(&response(200, &[("content-encoding", "identity")], b"x"))
            }
            "/cut" => wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
            "/no-http" => wire.write_all(b"SSH-2.0-OpenSSH_9.9\r\n"),
            _ => wire.write_all(&response(404, &[], b"none")),
        }
    });
    for (path, expected) in [
        ("/exact", "ok"),
        ("/one-more", "fetch.too_large"),
        ("/announced", "fetch.too_large"),
        ("/chunked", "fetch.too_large"),
        ("/until-closed", "fetch.too_large"),
        ("/head", "fetch.too_large"),
        ("/fields", "fetch.too_large"),
        ("/gzip", "fetch.encoding_refused"),
        ("/identity", "ok"),
        ("/cut", "fetch.answer_broken"),
        ("/no-http", "fetch.answer_broken"),
        ("/nowhere", "fetch.status"),
    ] {
        assert_eq!(
            code(&fetcher(), &believing(&root, &server.url(path))),
            expected,
            "{path}"
        );
    }
}

#[test]
fn hostile_24_who_takes_its_time_is_not_waited_for() {
    let root = root("Fetch Root");
    let shown = Shown::under(&root, &["localhost"]);
    let server = HttpsServer::start(&shown, |received, wire| match received.path.as_str() {
        "/silent" => {
            pause(Duration::from_secs(3));
            Ok(())
        }
        "/dripping-head" => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: yyyyyyyyyyyyyyyyyyyyyy" {
                wire.write_all(&[*byte])?;
                wire.flush()?;
                pause(50 * MILLISECOND);
            }
            Ok(())
        }
        _ => {
            wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")?;
            for _ in 0..100 {
                wire.write_all(b"a")?;
                wire.flush()?;
                pause(100 * MILLISECOND);
            }
            Ok(())
        }
    });
    // Someone who accepts and says nothing, not even TLS.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_url = format!("https://localhost:{}/", mute.local_addr().unwrap().port());
    for url in [
        server.url("/silent"),
        server.url("/dripping-head"),
        server.url("/drip"),
        mute_url,
    ] {
        assert_eq!(
            code(&fetcher(), &believing(&root, &url)),
            "fetch.too_slow",
            "{url}"
        );
    }
}

#[test]
fn a_name_server_that_hangs_holds_no_one_up() {
    struct Hanging;
    impl Resolve for Hanging {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            pause(Duration::from_secs(2));
            Err(io::Error::other("late"))
        }
    }
    let root = root("Fetch Root");
    let fetcher = Fetcher::resolving_with(Permitted::default(), Arc::new(Hanging));
    let limits = Limits {
        connect: 100 * MILLISECOND,
        ..quick()
    };
    let request = believing(&root, "https://slow.test/").within(limits);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let code_of = |tenant: &str| {
        let tenant = TenantId::parse(tenant).unwrap();
        match runtime.block_on(fetcher.fetch(&tenant, &request)) {
            Err(Refused::Reason(reason)) => reason.code(),
            other => panic!("{other:?}"),
        }
    };
    // The look-ups that hang are paid by who asked for them; another has its own.
    for _ in 0..8 {
        assert_eq!(code_of("one"), "fetch.too_slow");
    }
    assert_eq!(code_of("one"), "fetch.budget_spent");
    assert_eq!(code_of("two"), "fetch.too_slow");
    runtime.shutdown_background();
}

#[test]
fn every_refusal_of_fetching_is_provoked_here() {
    let text = concat!(
        include_str!("fetching.rs"),
        include_str!("federating.rs"),
        include_str!("issuers.rs"),
        include_str!("pins.rs"),
        include_str!("status_lists.rs"),
        include_str!("trust_chains.rs")
    );
    let family = CATALOGUE
        .iter()
        .filter(|entry| entry.family == Family::Fetch);
    let codes: BTreeSet<&str> = family.map(|entry| entry.code).collect();
    let root = root("Fetch Root");
    let nowhere = Fetcher::resolving_with(Permitted::default(), Script::of(Vec::new()));
    let request = believing(&root, "https://nowhere.test/");
    assert_eq!(code(&nowhere, &request), "fetch.name_unresolved");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let request = believing(&root, &format!("https://localhost:{port}/"));
    assert_eq!(code(&fetcher(), &request), "fetch.unreachable");
    assert_eq!(
        Request::get("http://idp.test/").unwrap_err().code(),
        "fetch.url_refused"
    );
    for code in codes {
        assert!(text.contains(&format!("\"{code}\"")), "{code}");
    }
}
