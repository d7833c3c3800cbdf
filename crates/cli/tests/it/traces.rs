//! Traces, as a collector gets them: a small receiver of OTLP/HTTP made for these tests, which reads
//! the messages of the protocol and keeps them, and the collector of OpenTelemetry itself.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::outside::{Missing, free_port, go};
use crate::plane::Plane;

/// A receiver of spans on this machine.
struct Receiver {
    address: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                let stream = stream.unwrap();
                thread::spawn(move || receive(stream, &kept));
            }
        });
        Self { address, bodies }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.bodies() {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            for resource in request.resource_spans {
                for scope in resource.scope_spans {
                    spans.extend(scope.spans);
                }
            }
        }
        spans
    }
}

fn receive(stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert!(line.starts_with("POST /v1/traces "), "{line}");
        let mut length = 0;
        let mut protobuf = false;
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            protobuf |= lower.starts_with("content-type: application/x-protobuf");
        }
        assert!(protobuf, "OTLP/HTTP names its encoding");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        kept.lock().unwrap().push(body);
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let mut stream = &stream;
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&answer).unwrap();
    }
}

fn text(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key == name)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn named<'spans>(spans: &'spans [Span], name: &str) -> Vec<&'spans Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A question over HTTP that is a part of someone's trace, with a credential and a part behind the
/// question mark that are nobody's business.
fn ask(plane: &Plane, token: &str) {
    let address = plane.http();
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!(
        "GET /v1/tenants/demo/entries?limit=7 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn spans_of_a_request_belong_to_the_trace_of_its_caller_and_hold_no_secret() {
    let receiver = Receiver::start();
    let variable = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        PathBuf::from(&receiver.address),
    );
    let mut plane = Plane::start_with("traces", &[], variable);
    let fetched = plane.run(&["fetch", "x509"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let credential = plane.folder.path().join("avouch-data/operator.jwt");
    wait(|| credential.exists());
    let token = std::fs::read_to_string(&credential)
        .unwrap()
        .trim()
        .to_owned();
    ask(&plane, &token);
    tokens_of_all_identities(&plane);
    // What is left is sent at the end.
    assert_eq!(plane.signal(Signal::SIGTERM), Some(0), "{}", plane.log());

    let spans = receiver.spans();
    let asked = "GET /v1/tenants/{tenant}/entries";
    let request = spans.iter().find(|span| span.name == asked).unwrap();
    assert_eq!(hex(&request.trace_id), TRACE);
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(request.kind, 2, "it is a server's");
    assert_eq!(
        text(request, "http.response.status_code").as_deref(),
        Some("200")
    );
    assert!(text(request, "avouch.request").is_some());
    let is_in = |span: &Span, parent: &Span| {
        span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id
    };
    // A call of the node, in it the issuing, and in that the store.
    let recorded = named(&spans, "store.record_intents");
    let issued = named(&spans, "issue");
    let is_call = |call: &&Span| {
        let within = issued.iter().filter(|issue| is_in(issue, call));
        let mut within = within.flat_map(|issue| recorded.iter().map(move |one| (one, issue)));
        call.name.starts_with("Node/Issue") && within.any(|(record, issue)| is_in(record, issue))
    };
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert!(spans.iter().any(|span| is_call(&span)), "{names:?}");
    assert!(!named(&spans, "store.apply").is_empty());

    // The tokens of all identities of a workload were asked for with one call.
    assert!(named(&spans, "Node/IssueJwt").is_empty(), "{names:?}");
    let batches = named(&spans, "Node/IssueJwts");
    let is_of_two = |issue: &&&Span| {
        let count = text(issue, "avouch.count");
        count.as_deref() == Some("2") && batches.iter().any(|batch| is_in(issue, batch))
    };
    assert!(issued.iter().any(|issue| is_of_two(&issue)), "{names:?}");

    let sent: Vec<u8> = receiver.bodies().concat();
    let holds = |secret: &str| {
        sent.windows(secret.len())
            .any(|part| part == secret.as_bytes())
    };
    for secret in [
        token.as_str(),
        token.rsplit('.').next().unwrap(),
        "limit=7",
        "Bearer",
    ] {
        assert!(!holds(secret), "{secret}");
    }
    assert!(holds("service.name") && holds("avouch"));
}

/// Has a workload of two identities fetch its tokens.
fn tokens_of_all_identities(plane: &Plane) {
    let user = Command::new("id").arg("-u").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let selector = format!("unix:uid:{}", user.trim());
    let second = "spiffe://demo.avouch.test/second";
    let create = [
        "entry",
        "create",
        "--spiffe-id",
        second,
        "--selector",
        &selector,
    ];
    let made = plane.run(&[&create[..], &["--tenant", "demo"]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    let mut round = 0;
    wait(|| {
        round += 1;
        let audience = format!("audience-{round}");
        let fetched = plane.run(&["fetch", "jwt", "--audience", &audience, "-o", "json"]);
        fetched.out.contains(second)
    });
}

/// The collector of OpenTelemetry, which writes what it has received to a file.
struct Collector {
    address: String,
    file: PathBuf,
    child: Child,
}

impl Collector {
    fn start(folder: &Path) -> Result<Self, Missing> {
        let program = go("collector", ".")?;
        let address = format!("127.0.0.1:{}", free_port());
        let file = folder.join("traces.json");
        let configuration = serde_json::json!({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": address}}}},
            "exporters": {"file": {"path": file}},
            "service": {
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            },
        });
        // JSON is YAML.
        let path = folder.join("collector.yaml");
        std::fs::write(&path, configuration.to_string()).unwrap();
        let log = folder.join("collector.log");
        let mut command = Command::new(program);
        command.arg("--config").arg(&path);
        let mut child = command
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        wait(|| {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the collector ended: {}", said());
            TcpStream::connect(&address).is_ok()
        });
        let address = format!("http://{address}");
        Ok(Self {
            address,
            file,
            child,
        })
    }

    /// Ends it, and gives what it has written: an object of OTLP in JSON a line.
    fn spans(mut self) -> (String, Vec<serde_json::Value>) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        let text = std::fs::read_to_string(&self.file).unwrap();
        let mut spans = Vec::new();
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            for resource in list(&line["resourceSpans"]) {
                for scope in list(&resource["scopeSpans"]) {
                    spans.extend(list(&scope["spans"]));
                }
            }
        }
        (text, spans)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_collector_of_opentelemetry_takes_our_spans_under_the_names_that_are_documented() {
    let folder = tempfile::tempdir().unwrap();
    let collector = match Collector::start(folder.path()) {
        Ok(collector) => collector,
        Err(why) => return println!("skipped: the collector of OpenTelemetry: {why}"),
    };
    let variable = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        PathBuf::from(&collector.address),
    );
    let mut plane = Plane::start_with("traces-collector", &[], variable);
    let fetched = plane.run(&["fetch", "x509"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let credential = plane.folder.path().join("avouch-data/operator.jwt");
    wait(|| credential.exists());
    let token = std::fs::read_to_string(&credential).unwrap();
    let token = token.trim();
    ask(&plane, token);
    plane.folder.file("key", "sk_live_51H8dOpQ2eZvKYlo2C");
    let server = plane.http();
    let decide = ["verify", "key", "--server", &server, "--tenant", "demo"];
    assert_eq!(plane.run(&decide).code, 3);
    assert_eq!(plane.signal(Signal::SIGTERM), Some(0), "{}", plane.log());

    let (text, spans) = collector.spans();
    let name = |span: &serde_json::Value| span["name"].as_str().unwrap().to_owned();
    let names: BTreeSet<String> = spans.iter().map(name).collect();
    // Those of the table in docs/how-to/run.md.
    let asked = "GET /v1/tenants/{tenant}/entries";
    for documented in [
        asked,
        "decide",
        "issue",
        "store.record_intents",
        "store.apply",
    ] {
        assert!(names.contains(documented), "{documented}: {names:?}");
    }
    let is_call = |name: &String| name.starts_with("Node/IssueX509");
    assert!(names.iter().any(is_call), "{names:?}");
    let request = spans.iter().find(|span| name(span) == asked).unwrap();
    assert_eq!(request["traceId"], TRACE);
    assert_eq!(request["parentSpanId"], PARENT);
    let holds = |attribute: &str| {
        let all = spans.iter().flat_map(|span| span["attributes"].as_array());
        all.flatten().any(|one| one["key"] == attribute)
    };
    for attribute in ["avouch.request", "avouch.verdict", "avouch.count"] {
        assert!(holds(attribute), "{attribute}");
    }
    assert!(!text.contains(token) && !text.contains("sk_live") && !text.contains("limit=7"));
}

#[test]
fn a_collector_that_is_away_stops_nobody() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", away.local_addr().unwrap());
    drop(away);
    let variable = ("OTEL_EXPORTER_OTLP_ENDPOINT", PathBuf::from(address));
    let mut plane = Plane::start_with("traces-away", &[], variable);
    let fetched = plane.run(&["fetch", "x509"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    assert_eq!(plane.signal(Signal::SIGTERM), Some(0), "{}", plane.log());
}

#[expect(
    clippy::disallowed_methods,
    reason = "a limit on how long something may take to come about"
)]
fn wait(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it does not come about"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
