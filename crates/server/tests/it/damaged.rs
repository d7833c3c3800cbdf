//! A tenant of which something is stored that no server can read: it may be that someone gets nothing
//! any more, so nothing is given.

use std::path::Path;

use avouch_core::id::TenantId;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    Change, Key as StoreKey, Object, SignalId, SignalKey, SignalKind, SignalRecord, Store,
};
use serde_json::json;

use crate::registry::{Registry, token, trusted};

/// Stores what ended in a form that cannot be read; what is given back takes it away again.
pub(crate) fn damage(folder: &Path, tenant: &str) -> impl FnOnce() + use<> {
    let key = SignalKey {
        kind: SignalKind::Ended,
        id: SignalId::parse(&"a".repeat(64)).unwrap(),
    };
    let record = SignalRecord {
        key: key.clone(),
        document: "{".to_owned(),
        secret: None,
    };
    let (folder, tenant) = (folder.to_owned(), TenantId::parse(tenant).unwrap());
    let apply = move |change| {
        let store = SqliteStore::open(&folder).unwrap();
        store.apply(&tenant, &[change]).unwrap();
    };
    apply(Change::Put(Object::Signal(record)));
    move || apply(Change::Remove(StoreKey::Signal(key)))
}

#[test]
fn nothing_is_given_for_a_tenant_of_which_something_cannot_be_read() {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    registry.exchanges_jobs_of("ci");
    let job = token(&registry, &issuer, &key, "k-a");
    assert_eq!(registry.decide(&job), "accept");
    let exchanged = registry.exchange(&job);
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    let given = exchanged.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let domain = json!({"name": "two.test"});
    let path = "/v1/tenants/two/trust-domains";
    assert_eq!(registry.call("POST", path, Some(&domain)).status, 201);
    let operator = registry.plane.operator_token().unwrap().token;
    let introspected = || {
        let headers = [
            ("authorization", format!("Bearer {}", operator)),
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let form = format!("token={given}");
        registry.as_stranger("POST", "/t/one/introspect", &headers, Some(&form))
    };
    assert_eq!(introspected().json()["active"], true);

    let mend = damage(registry.folder(), "one");
    registry.plane.follow_store().unwrap();
    let verdict = registry.verdict("one", &job);
    assert_eq!(verdict["verdict"], "undetermined", "{verdict}");
    assert_eq!(verdict["needs"][0]["kind"], "state", "{verdict}");
    let exchanged = registry.exchange(&job);
    assert_eq!(exchanged.status, 503, "{}", exchanged.body);
    assert_eq!(introspected().status, 503);
    let role = json!({"subject": "spiffe://one.test/a", "role": "auditor"});
    let put = registry.call("PUT", "/v1/tenants/one/admins/a", Some(&role));
    assert_eq!(
        (put.status, put.code().as_str()),
        (503, "server.unavailable")
    );
    // What is there is told, and what is published stays so.
    assert_eq!(
        registry.call("GET", "/v1/tenants/one/admins", None).status,
        200
    );
    assert_eq!(
        registry.call("GET", "/t/one/bundle/one.test", None).status,
        200
    );
    let metrics = registry.call("GET", "/metrics", None).body;
    assert!(
        metrics.contains("\navouch_tenants_damaged 1\n"),
        "{metrics}"
    );
    let put = registry.call(
        "PUT",
        "/v1/tenants/two/admins/a",
        Some(&json!({
            "subject": "spiffe://two.test/a", "role": "auditor",
        })),
    );
    assert_eq!(put.status, 200, "{}", put.body);

    mend();
    registry.plane.follow_store().unwrap();
    assert_eq!(registry.decide(&job), "accept");
    assert_eq!(introspected().json()["active"], true);
    let metrics = registry.call("GET", "/metrics", None).body;
    assert!(
        metrics.contains("\navouch_tenants_damaged 0\n"),
        "{metrics}"
    );
}
