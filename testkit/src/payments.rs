//! An API of payments as others have it: it knows no identities, only secret keys (after the manner
//! of Stripe), over real TLS.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::https::{HttpsServer, Received, Shown, Wire, response};

/// An API that takes some keys.
pub struct Payments {
    server: HttpsServer,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl Payments {
    /// One that shows this and takes one key.
    #[must_use]
    pub fn start(shown: &Shown, key: &str) -> Self {
        let keys = Arc::new(Mutex::new(BTreeSet::from([key.to_owned()])));
        let taken = Arc::clone(&keys);
        let server =
            HttpsServer::start(shown, move |received, wire| answer(&taken, received, wire));
        Self { server, keys }
    }

    /// Takes another key, too.
    pub fn take(&self, key: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.to_owned());
    }

    /// Takes a key no more.
    pub fn refuse(&self, key: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(key);
    }

    /// Where it is, by the name `localhost`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// What has been asked so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.server.received()
    }
}

fn answer(
    keys: &Mutex<BTreeSet<String>>,
    received: &Received,
    wire: &mut dyn Wire,
) -> io::Result<()> {
    let shown = received
        .headers
        .get("authorization")
        .cloned()
        .unwrap_or_default();
    let key = shown.strip_prefix("Bearer ").unwrap_or_default();
    let json_fields = [
        ("content-type", "application/json"),
        ("request-id", "req_1"),
        ("set-cookie", "session=1"),
        ("server", "nginx"),
    ];
    let keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, body) = if !keys.contains(key) {
        (
            401,
            json!({"error": {"type": "invalid_request_error"}}).to_string(),
        )
    } else {
        let path = received.path.split('?').next().unwrap_or_default();
        match (received.method.as_str(), path) {
            ("GET", "/v1/charges") => (200, json!({"object": "list", "data": []}).to_string()),
            ("POST", "/v1/charges") => (200, json!({"id": "ch_1", "paid": true}).to_string()),
            ("GET", "/v1/echo") => (200, json!(received.headers).to_string()),
            ("GET", "/v1/moved") => {
                let location = format!("https://localhost:1/elsewhere?key={key}");
                let fields = [("location", location.as_str())];
                return wire.write_all(&response(302, &fields, b""));
            }
            ("GET", "/v1/page") => {
                let fields = [
                    ("content-type", "text/html"),
                    ("content-security-policy", "default-src *"),
                    ("access-control-allow-origin", "*"),
                    ("refresh", "0; url=https://evil.test"),
                    ("location", "https://evil.test"),
                    ("set-cookie", "session=1"),
                    ("cache-control", "public, max-age=60"),
                ];
                let page = b"<script>fetch('/v1/tenants')</script>";
                return wire.write_all(&response(200, &fields, page));
            }
            _ => (404, json!({"error": {"type": "not_found"}}).to_string()),
        }
    };
    wire.write_all(&response(status, &json_fields, body.as_bytes()))
}
