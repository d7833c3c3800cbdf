//! A deployment that follows the keys of issuers, with a clock that is set by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_server::clock::Clock;
use avouch_server::fetch::Permitted;
use avouch_server::plane::Founding;
use avouch_server::tls::Shown;
use avouch_server::{Plane, Settings, http};
use avouch_store::TenantKind;
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::exchange::exchange_form;
use crate::http::{Answer, request, send};

/// When it begins.
pub(crate) const START: i64 = 1_800_000_000;

/// For whom tokens are.
pub(crate) const AUDIENCE: &str = "https://vault.example.com";

#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time::from_unix(START + self.0.load(Ordering::SeqCst))
    }
}

/// A deployment with the tenants `one` and `two`.
pub(crate) struct Registry {
    pub(crate) plane: Arc<Plane>,
    address: SocketAddr,
    clock: Arc<SetClock>,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
    folder: Arc<TempDir>,
    operator: String,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), Arc::default())
    }

    /// One that begins now by the clock of the machine, for what is compared with certificates of
    /// TLS.
    pub(crate) fn today() -> Self {
        Self::at(avouch_server::clock::SystemClock.now().unix())
    }

    /// One that begins at this second.
    pub(crate) fn at(now: i64) -> Self {
        let clock = SetClock(AtomicI64::new(now - START));
        Self::open(Arc::new(tempfile::tempdir().unwrap()), Arc::new(clock))
    }

    fn open(folder: Arc<TempDir>, clock: Arc<SetClock>) -> Self {
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let path = folder.path().to_owned();
        let founding = Founding {
            tenant: TenantId::parse("top").unwrap(),
            trust_domain: TrustDomain::parse("top.test").unwrap(),
        };
        let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&path, tenants)?);
        let settings = Settings {
            fetch: Permitted::read(["127.0.0.0/8"]).unwrap(),
            ..Settings::default()
        };
        let plane = Plane::open(store, key, &founding, settings, clock.clone()).unwrap();
        for name in ["one", "two"] {
            let id = TenantId::parse(name).unwrap();
            // One of which something cannot be read is there, too.
            if plane.listed(usize::MAX).iter().all(|one| one.id != id) {
                plane
                    .add_tenant(&id, Some(&founding.tenant), TenantKind::Tenant)
                    .unwrap();
            }
        }
        let runtime = Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(http::serve(
            listener,
            Shown::Nothing,
            Arc::clone(&plane),
            stopping,
        ));
        let operator = plane.operator_token().unwrap().token;
        Self {
            plane,
            address,
            clock,
            stop,
            runtime: Some(runtime),
            folder,
            operator,
        }
    }

    /// Another server of the same deployment.
    pub(crate) fn beside(&self) -> Self {
        Self::open(Arc::clone(&self.folder), Arc::clone(&self.clock))
    }

    /// The same deployment in a process of its own, as after a restart.
    pub(crate) fn restarted(self) -> Self {
        let (folder, clock) = (Arc::clone(&self.folder), Arc::clone(&self.clock));
        drop(self);
        Self::open(folder, clock)
    }

    /// Where the database is.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn now(&self) -> i64 {
        self.plane.now().unix()
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
        self.operator = self.plane.operator_token().unwrap().token;
    }

    /// Does what the server does each second.
    pub(crate) fn tick(&self) {
        self.block_on(self.plane.refresh_due_issuers());
        self.plane.store_issuer_uses().unwrap();
    }

    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(work)
    }

    /// Calls as the operator.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.operator);
        let headers = [("authorization", bearer.as_str())];
        let body = body.map(Value::to_string);
        send(
            self.address,
            &request(method, path, &headers, body.as_deref()),
        )
    }

    /// Calls as someone of whom nothing is known, with these headers.
    pub(crate) fn as_stranger(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        send(self.address, &request(method, path, headers, body))
    }

    /// Exchanges a token at the tenant `one`, without any proof.
    pub(crate) fn exchange(&self, token: &str) -> Answer {
        self.exchange_form(&exchange_form(token, &[]))
    }

    /// Asks the token endpoint of the tenant `one`.
    pub(crate) fn exchange_form(&self, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        send(
            self.address,
            &request("POST", "/t/one/token", &headers, Some(form)),
        )
    }

    /// Lets the job 7 of an issuer have an identity of the tenant `one`, in a trust domain of its own.
    pub(crate) fn exchanges_jobs_of(&self, issuer: &str) {
        let domain = json!({"name": "one.test"});
        let added = self.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
        assert_eq!(added.status, 201, "{}", added.body);
        let rule = json!({
            "from": {"anchor": issuer, "facts": {"subject": "job-7"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/job/7", "kinds": ["jwt-svid"],
                "audiences": ["https://cloud.test"],
            },
            "subject_audiences": [AUDIENCE],
            "bearer": {"reason": "no key at hand", "expires": "2027-02-01T00:00:00Z"},
            "owner": "the platform team", "reason": "jobs",
        });
        let put = self.call("PUT", "/v1/tenants/one/rules/job", Some(&rule));
        assert!(put.is_put(), "{}", put.body);
    }

    /// Sends a security event to a tenant.
    pub(crate) fn post_event(&self, tenant: &str, event: &str) -> Answer {
        let headers = [("content-type", "application/secevent+jwt")];
        let path = format!("/t/{tenant}/events");
        send(self.address, &request("POST", &path, &headers, Some(event)))
    }

    /// Calls as nobody in particular.
    pub(crate) fn as_anyone(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        send(self.address, &request("POST", path, &[], Some(&body)))
    }

    /// Trusts an issuer in the tenant `one`.
    pub(crate) fn put(&self, name: &str, document: &Value) -> Answer {
        self.call(
            "PUT",
            &format!("/v1/tenants/one/issuers/{name}"),
            Some(document),
        )
    }

    /// Releases an issuer of the tenant `one`, as whoever has just looked at it.
    pub(crate) fn release(&self, name: &str) -> Answer {
        let etag = self.show(name)["etag"].clone();
        let path = format!("/v1/tenants/one/issuers/{name}/release");
        self.call("POST", &path, Some(&json!({ "etag": etag })))
    }

    /// What is told of an issuer of the tenant `one`.
    pub(crate) fn show(&self, name: &str) -> Value {
        let answer = self.call("GET", &format!("/v1/tenants/one/issuers/{name}"), None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Decides on a token for a tenant: `accept`, `undetermined`, or the code of the refusal.
    pub(crate) fn decide_in(&self, tenant: &str, token: &str) -> String {
        let verdict = self.verdict(tenant, token);
        match verdict["verdict"].as_str().unwrap() {
            "reject" => verdict["reason"]["code"].as_str().unwrap().to_owned(),
            other => other.to_owned(),
        }
    }

    pub(crate) fn decide(&self, token: &str) -> String {
        self.decide_in("one", token)
    }

    pub(crate) fn verdict(&self, tenant: &str, token: &str) -> Value {
        let question = json!({"credential": {"jwt": token}, "audience": [AUDIENCE]});
        let answer = self.call("POST", &format!("/t/{tenant}/decide"), Some(&question));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whom tests mean by the subjects of an issuer.
const SUBJECTS: [&str; 6] = ["anyone", "bot", "build", "deploy", "job-7", "report"];

/// What is wanted of an issuer on loopback.
pub(crate) fn document(issuer: &IssuerServer) -> Value {
    json!({
        "issuer": issuer.issuer(), "ca": issuer.ca(), "audiences": [AUDIENCE],
        "rules": [{"name": "jobs", "facts": {"subject": SUBJECTS}}],
    })
}

/// The document with these members more.
pub(crate) fn with(mut document: Value, more: Value) -> Value {
    let members = document.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    document
}

/// A token of a nameless subject, signed by the key of this name.
pub(crate) fn token(registry: &Registry, issuer: &IssuerServer, key: &Key, kid: &str) -> String {
    let claims = json!({"sub": "job-7", "aud": AUDIENCE});
    issuer.token(registry.now(), &claims).sign(key, kid)
}

/// An issuer that is trusted by the tenant `one` as `ci`, with one key `a` of the name `k-a`.
pub(crate) fn trusted(registry: &Registry) -> (IssuerServer, Key) {
    let issuer = IssuerServer::start();
    let key = Key::p256("a");
    issuer.publish(&[(&key, "k-a")]);
    let answer = registry.put("ci", &document(&issuer));
    assert!(answer.is_put(), "{}", answer.body);
    assert_eq!(answer.json()["state"], "ok", "{}", answer.body);
    (issuer, key)
}
