//! HTTP in a few lines: one request a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

/// An answer as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Whether something was put where it was asked for, be it new or not.
    pub(crate) fn is_put(&self) -> bool {
        matches!(self.status, 200 | 201)
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for member in [
            "type", "title", "detail", "instance", "code", "hint", "decision",
        ] {
            assert!(problem[member].is_string(), "{member}: {problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }

    /// What it is called.
    pub(crate) fn decision(&self) -> String {
        let id = self.header("avouch-decision");
        id.unwrap_or_else(|| panic!("it is called nothing: {self:?}"))
            .to_owned()
    }

    /// Everything but what differs from one request to the next.
    pub(crate) fn without_ids(&self) -> String {
        let mut headers = self.headers.clone();
        let differs = ["date", "avouch-decision"];
        headers.retain(|(name, _)| !differs.iter().any(|one| name.eq_ignore_ascii_case(one)));
        let text = format!("{} {headers:?} {}", self.status, self.body);
        match serde_json::from_str::<Value>(&self.body) {
            Ok(body) => match body["decision"].as_str() {
                Some(id) => text.replace(id, "[id]"),
                None => text,
            },
            Err(_) => text,
        }
    }
}

/// Sends one request and reads all of its answer.
pub(crate) fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    read(&text)
}

/// Sends all of the requests at once: each is with the server but for its last byte before the first
/// is whole.
pub(crate) fn send_all_at_once(address: SocketAddr, requests: &[Vec<u8>]) -> Vec<Answer> {
    let begun = requests.iter().map(|request| {
        let (last, before) = request.split_last().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(before).unwrap();
        (stream, *last)
    });
    let mut begun: Vec<(TcpStream, u8)> = begun.collect();
    for (stream, last) in &mut begun {
        stream.write_all(&[*last]).unwrap();
    }
    let answers = begun.into_iter().map(|(mut stream, _)| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        read(&text)
    });
    answers.collect()
}

/// An answer from its text.
pub(crate) fn read(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim().to_owned())
    });
    Answer {
        status: status.parse().unwrap(),
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

/// The bytes of a request.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text.into_bytes()
}
