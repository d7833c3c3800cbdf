//! Who has tokens to exchange, in a process of its own: it makes them, so that nothing of that is
//! counted as the server's. It does what it reads from its input, one order a line. One thread has all
//! connections, as gateways do: to wake a thread for each answer would be counted as the server's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use crate::deployment::TENANT;
use crate::exchange::{OURSELVES, token};

/// The other process, seen from the server's.
pub(crate) struct Exchanger {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Exchanger {
    /// Starts it for the server at this address.
    pub(crate) fn start(address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--bench", "exchanger", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            orders,
            answers,
        }
    }

    /// Has it do something, and waits until it has.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "the exchanger ended");
    }
}

impl Drop for Exchanger {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Numbers of tokens and proofs, each once.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// The process itself.
pub(crate) fn run(address: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for order in std::io::stdin().lines().map(Result::unwrap) {
        let words: Vec<&str> = order.split(' ').collect();
        let (count, at_once): (usize, usize) =
            (words[1].parse().unwrap(), words[2].parse().unwrap());
        let proves = words[0] == "dpop";
        runtime.block_on(async {
            let all = (0..at_once).map(|_| exchange(address.to_owned(), count / at_once, proves));
            for one in all.map(tokio::spawn).collect::<Vec<_>>() {
                one.await.unwrap();
            }
        });
        println!("done");
    }
}

/// Exchanges so many tokens one after the other on one connection.
async fn exchange(address: String, count: usize, proves: bool) {
    let (issuer, holder) = (Key::p256("issuer"), Key::p256("holder"));
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut received = Vec::with_capacity(8_192);
    for _ in 0..count {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let subject = token(&issuer, number, now());
        let body = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={subject}&subject_token_type=urn:ietf:params:oauth:token-type:jwt"
        );
        let proof = match proves {
            true => format!("dpop: {}\r\n", proof(&holder, number)),
            false => String::new(),
        };
        let request = format!(
            "POST /t/{TENANT}/token HTTP/1.1\r\nhost: {address}\r\n{proof}content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        received.clear();
        let status = loop {
            assert_ne!(
                stream.read_buf(&mut received).await.unwrap(),
                0,
                "the server ended"
            );
            if let Some(status) = status_of_whole(&received) {
                break status;
            }
        };
        let text = String::from_utf8_lossy(&received);
        assert_eq!(status, 200, "{text}");
    }
}

fn proof(holder: &Key, number: usize) -> String {
    let mut public = jwk(holder, "x");
    for member in ["kid", "use", "alg"] {
        public.as_object_mut().unwrap().remove(member);
    }
    TokenForge::saying(json!({
        "jti": format!("{}-{number}", std::process::id()), "htm": "POST",
        "htu": format!("{OURSELVES}/token"), "iat": now(),
    }))
    .header("typ", Value::from("dpop+jwt"))
    .header("jwk", public)
    .sign_nameless(holder)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The status of an answer that has arrived to its end.
fn status_of_whole(received: &[u8]) -> Option<u16> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.parse::<usize>().unwrap())
    });
    let is_whole = received.len() >= end + 4 + length.unwrap_or_default();
    is_whole.then(|| head.split(' ').nth(1).unwrap().parse().unwrap())
}

/// Sends one request of an administrator, and tells the status of its answer.
pub(crate) fn send(address: &str, method: &str, path: &str, token: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut received, mut buffer) = (Vec::new(), [0; 8_192]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the server ended the connection");
        received.extend_from_slice(&buffer[..read]);
        if let Some(status) = status_of_whole(&received) {
            return status;
        }
    }
}
