//! What is edited or removed while an exchange is under way, on a server that is alone.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_store::TenantKind;
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::request::TokenRequest;
use super::{Exchange, Pending, Shown};
use crate::Settings;
use crate::administrators::Superiors;
use crate::clock::SystemClock;
use crate::fault::Refused;
use crate::plane::{Founding, Plane};
use crate::tenant::Tenant;
use crate::views::Views;

const CLOUD: &str = "https://cloud.test";

/// A tenant that gives something to the jobs of an anchor `by-hand` and of an issuer `registered`.
struct Desk {
    plane: Arc<Plane>,
    tenant: Arc<Tenant>,
    views: Arc<Views>,
    key: Key,
    runtime: Runtime,
    _folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let founding = Founding {
            tenant: TenantId::parse("one").unwrap(),
            trust_domain: TrustDomain::parse("one.test").unwrap(),
        };
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let root = move |tenants: &[_]| Ok(RootKey::open_or_create(&path, tenants)?);
        let clock = Arc::new(SystemClock);
        let plane = Plane::open(store, root, &founding, Settings::default(), clock).unwrap();
        let below = TenantId::parse("desk").unwrap();
        let tenant = plane
            .add_tenant(&below, Some(&founding.tenant), TenantKind::Tenant)
            .unwrap();
        let domain = TrustDomain::parse("desk.test").unwrap();
        plane.add_trust_domain(&tenant, &domain).unwrap();
        let desk = Self {
            plane,
            tenant,
            views: Arc::default(),
            key: Key::p256("jobs"),
            runtime: Runtime::new().unwrap(),
            _folder: folder,
        };
        desk.put_anchor(&desk.anchor());
        desk.put_issuer(&desk.issuer());
        for name in ["by-hand", "registered"] {
            desk.put_rule(name, &rule(name));
        }
        desk
    }

    fn anchor(&self) -> Value {
        json!({
            "issuer": "https://by-hand.test", "jwks": jwks(&[jwk(&self.key, "k")]),
            "rules": [{"name": "jobs", "facts": {"subject": ["job"]}}],
        })
    }

    fn issuer(&self) -> Value {
        json!({
            "issuer": "https://registered.test", "jwks": jwks(&[jwk(&self.key, "k")]),
            "audiences": [self.plane.issuer_of(self.tenant.id())],
            "rules": [{"name": "jobs", "facts": {"subject": ["job"]}}],
        })
    }

    fn put_anchor(&self, document: &Value) {
        let put = self.plane.put_anchor(&self.tenant, "by-hand", document);
        put.unwrap();
    }

    fn put_issuer(&self, document: &Value) {
        let text = document.to_string();
        let put = self.plane.put_issuer(&self.tenant, "registered", &text);
        put.unwrap();
    }

    fn put_rule(&self, name: &str, document: &Value) {
        let document = document.as_object().unwrap();
        let put = self
            .plane
            .put_rule(&self.tenant, &Superiors::default(), name, document);
        put.unwrap();
    }

    /// An exchange for a job of an issuer, settled but for its record and its signature.
    fn begun(&self, name: &str) -> Result<Pending, Refused> {
        self.begun_with(self.token(name))
    }

    fn token(&self, name: &str) -> String {
        let now = self.plane.now().unix();
        let token = TokenForge::saying(json!({
            "iss": format!("https://{name}.test"), "sub": "job", "iat": now, "exp": now + 300,
            "aud": self.plane.issuer_of(self.tenant.id()),
            "jti": uuid::Uuid::now_v7().to_string(),
        }));
        token.sign(&self.key, "k")
    }

    fn begun_with(&self, token: String) -> Result<Pending, Refused> {
        let request = TokenRequest::trial(token, None, None, None, Vec::new(), None)?;
        let known = self.views.known(&self.plane, &self.tenant)?;
        let at = Exchange::at(&self.plane, &self.tenant, (&known, &self.views), "decision");
        at.exchange(&request, Shown::default())
    }
}

fn rule(anchor: &str) -> Value {
    json!({
        "from": {"anchor": anchor, "facts": {"subject": "job"}},
        "gives": {
            "spiffe_id": "spiffe://desk.test/job", "audiences": [CLOUD],
            "scopes": ["read", "deploy"],
        },
        "bearer": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
        "owner": "o", "reason": "r",
    })
}

fn code(refused: Refused) -> &'static str {
    match refused {
        Refused::Reason(reason) => reason.code(),
        Refused::Fault(fault) => panic!("{fault}"),
    }
}

/// A document with something else in one place.
fn narrowed(mut document: Value, place: &str, by: Value) -> Value {
    *document.pointer_mut(place).unwrap() = by;
    document
}

impl Desk {
    /// What comes of an exchange that has begun before something was edited.
    fn edited(&self, name: &str, edit: impl FnOnce()) -> Option<&'static str> {
        let begun = self.begun(name).unwrap();
        edit();
        self.runtime.block_on(begun.issued).err().map(code)
    }
}

impl Desk {
    /// As [`Desk::edited`], where it is edited while the intent is written down. One that is written down
    /// before anyone waits for it says nothing of that, so another is begun.
    fn edited_in_record(&self, name: &str, edit: impl FnOnce()) -> Option<&'static str> {
        for _ in 0..100 {
            let mut issued = Box::pin(self.begun(name).unwrap().issued);
            let first = poll_fn(|context| Poll::Ready(issued.as_mut().poll(context)));
            match self.runtime.block_on(first) {
                Poll::Pending => {
                    edit();
                    return self.runtime.block_on(issued).err().map(code);
                }
                Poll::Ready(issued) => assert!(issued.is_ok()),
            }
        }
        panic!("nothing is waited for")
    }
}

const NOT_ADMITTED: Option<&str> = Some("issue.exchange_not_admitted");

#[test]
fn hostile_61_nothing_is_given_by_a_rule_that_was_edited_or_removed_before_it_was_signed() {
    let desk = Desk::new();
    let narrow = narrowed(rule("by-hand"), "/gives/scopes", json!(["read"]));
    let edited = desk.edited("by-hand", || desk.put_rule("by-hand", &narrow));
    assert_eq!(edited, NOT_ADMITTED);
    // What is put anew as it was holds, and so does what another rule gives.
    let same = desk.edited("by-hand", || desk.put_rule("by-hand", &narrow));
    assert_eq!(same, None);
    let other = desk.edited("by-hand", || desk.put_rule("other", &rule("registered")));
    assert_eq!(other, None);
    let removed = desk.edited("by-hand", || {
        desk.plane.remove_rule(&desk.tenant, "by-hand").unwrap();
    });
    assert_eq!(removed, NOT_ADMITTED);
}

#[test]
fn hostile_61_nothing_is_given_by_a_rule_that_was_edited_while_it_was_written_down() {
    let desk = Desk::new();
    // Whose names are known is written down together with others.
    assert_eq!(desk.edited("by-hand", || ()), None);
    let narrow = narrowed(rule("by-hand"), "/gives/scopes", json!(["read"]));
    let edited = desk.edited_in_record("by-hand", || desk.put_rule("by-hand", &narrow));
    assert_eq!(edited, NOT_ADMITTED);
    let same = desk.edited_in_record("by-hand", || desk.put_rule("by-hand", &narrow));
    assert_eq!(same, None);
}

#[test]
fn what_was_refused_because_of_an_edit_can_be_shown_again() {
    let desk = Desk::new();
    let token = desk.token("by-hand");
    let begun = desk.begun_with(token.clone()).unwrap();
    let narrow = narrowed(rule("by-hand"), "/gives/scopes", json!(["read"]));
    desk.put_rule("by-hand", &narrow);
    let refused = desk.runtime.block_on(begun.issued).err().map(code);
    assert_eq!(refused, NOT_ADMITTED);
    let again = desk.begun_with(token.clone()).unwrap();
    assert_eq!(desk.runtime.block_on(again.issued).err().map(code), None);
    let third = desk.begun_with(token);
    let third = third.and_then(|begun| desk.runtime.block_on(begun.issued));
    assert_eq!(third.err().map(code), Some("issue.token_used"));
}

#[test]
fn hostile_61_nothing_is_given_through_an_anchor_that_was_edited_or_removed_before_it_was_signed() {
    let desk = Desk::new();
    let others = narrowed(
        desk.anchor(),
        "/rules/0/facts/subject",
        json!(["job", "it"]),
    );
    let mut short = others.clone();
    short["max_lifetime"] = json!(1_200);
    for edition in [&others, &short, &desk.anchor()] {
        let edited = desk.edited("by-hand", || desk.put_anchor(edition));
        assert_eq!(edited, NOT_ADMITTED, "{edition}");
    }
    // Another key beside its own takes nothing back.
    let mut more = desk.anchor();
    more["jwks"] = jwks(&[jwk(&desk.key, "k"), jwk(&Key::p256("next"), "n")]);
    assert_eq!(desk.edited("by-hand", || desk.put_anchor(&more)), None);
    let removed = desk.edited("by-hand", || {
        desk.plane.remove_rule(&desk.tenant, "by-hand").unwrap();
        desk.plane.remove_anchor(&desk.tenant, "by-hand").unwrap();
    });
    assert_eq!(removed, NOT_ADMITTED);
}

#[test]
fn hostile_61_nothing_is_given_for_an_issuer_that_was_edited_or_removed_before_it_was_signed() {
    let desk = Desk::new();
    let (plane, tenant) = (&desk.plane, &desk.tenant);
    let others = narrowed(
        desk.issuer(),
        "/rules/0/facts/subject",
        json!(["job", "it"]),
    );
    let edited = desk.edited("registered", || desk.put_issuer(&others));
    assert_eq!(edited, NOT_ADMITTED);
    let stopped = desk.edited("registered", || {
        let cause = "its key may be stolen";
        let put = plane.quarantine_issuer(tenant, "registered", cause);
        put.unwrap();
    });
    assert_eq!(stopped, Some("issue.lineage_broken"));
    let told = plane.tell_issuer(tenant, "registered").unwrap();
    let etag = told["etag"].as_str().unwrap().to_owned();
    let released = plane.release_issuer(tenant, "registered", &etag, "me");
    released.unwrap();
    let removed = desk.edited("registered", || {
        plane.remove_issuer(tenant, "registered").unwrap();
    });
    assert_eq!(removed, NOT_ADMITTED);
}
