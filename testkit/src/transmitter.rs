//! A simulator of a transmitter of security events, written from OpenID SSF 1.0 and RFC 8936: its
//! configuration, one stream, questions whether it is there, and events for who asks for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::https::{HttpsServer, Received, Shown, response, root};
use crate::key::Key;
use crate::token::TokenForge;
use crate::world::pem;

/// The name of its stream.
pub const STREAM: &str = "f67e39a0a4d34d56b3aa1bc4cff0069f";

/// A transmitter on loopback, whose key is called `k1`.
pub struct TransmitterServer {
    server: HttpsServer,
    key: Key,
    ca: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Events that were not acknowledged, by their numbers.
    events: BTreeMap<String, String>,
    /// What it was asked whether it is there with.
    questions: Vec<String>,
    acknowledged: Vec<String>,
    refused: BTreeMap<String, Value>,
    streams: Vec<Value>,
    credentials: Vec<String>,
    answers_with: Option<String>,
}

impl TransmitterServer {
    /// A transmitter that is called as the address it is served at.
    pub fn start() -> Self {
        let root = root("Transmitters Root");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let shown = Shown::under(&root, &["localhost"]);
        let known = Arc::clone(&shared);
        let server = HttpsServer::start(&shown, move |received, wire| {
            let host = received.headers.get("host").cloned().unwrap_or_default();
            let (status, answer) = answer(&mut lock(&known), received, &host);
            let fields = [("content-type", "application/json")];
            wire.write_all(&response(status, &fields, answer.to_string().as_bytes()))
        });
        Self {
            server,
            key: Key::p256("transmitter"),
            ca: pem("CERTIFICATE", &root.certificate),
            shared,
        }
    }

    /// What it calls itself.
    pub fn issuer(&self) -> String {
        self.server.url("").trim_end_matches('/').to_owned()
    }

    /// The key that it signs with.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The CA of its TLS certificate.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// An event of it, made at `now`.
    pub fn event(
        &self,
        id: &str,
        audience: &str,
        now: i64,
        subject: &Value,
        name: &str,
    ) -> TokenForge {
        TokenForge::saying(json!({
            "iss": self.issuer(), "aud": audience, "iat": now, "jti": id, "sub_id": subject,
            "events": { name: {} },
        }))
        .header("typ", json!("secevent+jwt"))
    }

    /// Has an event for who asks.
    pub fn offer(&self, id: &str, event: &str) {
        let events = &mut lock(&self.shared).events;
        events.insert(id.to_owned(), event.to_owned());
    }

    /// The numbers of the events that were acknowledged.
    pub fn acknowledged(&self) -> Vec<String> {
        lock(&self.shared).acknowledged.clone()
    }

    /// The events that were refused, with what was said of them.
    pub fn refused(&self) -> BTreeMap<String, Value> {
        lock(&self.shared).refused.clone()
    }

    /// What it was asked whether it is there with.
    pub fn questions(&self) -> Vec<String> {
        lock(&self.shared).questions.clone()
    }

    /// What streams were asked for, or changed into.
    pub fn streams(&self) -> Vec<Value> {
        lock(&self.shared).streams.clone()
    }

    /// As whom it was called.
    pub fn credentials(&self) -> Vec<String> {
        lock(&self.shared).credentials.clone()
    }

    /// Says from now on that it is someone else.
    pub fn pretend(&self, issuer: &str) {
        lock(&self.shared).answers_with = Some(issuer.to_owned());
    }
}

fn answer(shared: &mut Shared, received: &Received, host: &str) -> (u16, Value) {
    let url = |path: &str| format!("https://{host}{path}");
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let credential = received.headers.get("authorization").cloned();
    shared.credentials.extend(credential);
    match (received.method.as_str(), received.path.as_str()) {
        ("GET", "/.well-known/ssf-configuration") => {
            let issuer = shared.answers_with.clone().unwrap_or_else(|| url(""));
            let document = json!({
                "spec_version": "1_0", "issuer": issuer, "jwks_uri": url("/jwks"),
                "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
                "configuration_endpoint": url("/streams"), "verification_endpoint": url("/verify"),
                "status_endpoint": url("/status"), "default_subjects": "ALL",
            });
            (200, document)
        }
        ("POST" | "PATCH", "/streams") => {
            let mut stream = body.clone();
            shared.streams.push(body);
            stream["stream_id"] = STREAM.into();
            stream["iss"] = url("").into();
            if stream["delivery"]["method"] == "urn:ietf:rfc:8936" {
                stream["delivery"]["endpoint_url"] = url("/poll").into();
            }
            (201, stream)
        }
        ("POST", "/verify") => {
            let state = body["state"].as_str().unwrap_or_default();
            shared.questions.push(state.to_owned());
            (200, json!({}))
        }
        ("POST", "/poll") => (200, poll(shared, &body)),
        _ => (404, json!({})),
    }
}

/// RFC 8936 2.4.
fn poll(shared: &mut Shared, asked: &Value) -> Value {
    for id in asked["ack"].as_array().into_iter().flatten() {
        let id = id.as_str().unwrap_or_default();
        shared.events.remove(id);
        shared.acknowledged.push(id.to_owned());
    }
    for (id, why) in asked["setErrs"].as_object().into_iter().flatten() {
        shared.events.remove(id);
        shared.refused.insert(id.clone(), why.clone());
    }
    let most = asked["maxEvents"].as_u64().unwrap_or(10);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let sets: BTreeMap<&String, &String> = shared.events.iter().take(most).collect();
    json!({ "sets": sets, "moreAvailable": shared.events.len() > most })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
