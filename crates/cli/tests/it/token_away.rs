//! A token with the keys that is away for a while.

#![expect(
    clippy::disallowed_methods,
    reason = "it is waited for until a server has noticed, and no longer than it may take"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use avouch_testkit::softhsm::SoftHsm;

use crate::plane::Plane;
use crate::run::Ran;

/// The whole answer of an address that anybody may read.
fn get(plane: &Plane, path: &str) -> String {
    let http = plane.http();
    let mut stream = TcpStream::connect(http.trim_start_matches("http://")).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_token_that_was_away_is_used_again_without_a_restart() {
    let token = match SoftHsm::make(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(token) => token,
        Err(why) => {
            println!("skipped: a PKCS #11 token that is away for a while: {why}");
            return;
        }
    };
    let address = token.address();
    let more = ["--keys", address.as_str(), "--root-key", "token"];
    let plane = Plane::start_with("token-away", &more, token.variable());
    let is_ready = || get(&plane, "/readyz").starts_with("HTTP/1.1 200");
    let fetched = || plane.run(&["fetch", "jwt", "--audience", "a"]);
    let tenant = ["--tenant", "demo"];
    let replaced = || -> Ran {
        let command = ["authority", "replace", "demo.avouch.test"];
        plane.run(&[&command[..], &tenant].concat())
    };
    assert_eq!(fetched().code, 0);
    assert!(is_ready());

    token.take_away();
    let refused = replaced();
    assert_eq!(refused.code, 1, "{}", refused.out);
    for told in [
        "The token with the keys does not answer",
        "server.unavailable",
    ] {
        assert!(refused.err.contains(told), "{}", refused.err);
    }
    until("it says that it is ready", || !is_ready());
    let unready = get(&plane, "/readyz");
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    assert!(unready.contains("token with the keys"), "{unready}");
    // What is in memory is served on.
    let listed = plane.run(&[["entry", "list"], tenant].concat());
    assert_eq!(listed.code, 0, "{}", listed.err);

    token.put_back();
    until("nothing is signed again", || fetched().code == 0);
    until("it does not say that it is ready", is_ready);
    let done = replaced();
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(!plane.log().contains("a secret of 20 bytes"));
}
