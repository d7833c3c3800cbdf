//! A tenant of which something is stored that no server can read: it may be that someone gets nothing
//! any more, so nothing is given.

use std::path::Path;

use avouch_core::id::TenantId;
use avouch_server::entries::EntryDraft;
use avouch_server::{Fault, Refused};
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    Change, Key as StoreKey, Object, SignalId, SignalKey, SignalKind, SignalRecord, Store,
};
use avouch_testkit::key::Key;
use serde_json::json;

use crate::registry::{AUDIENCE, Registry, token, trusted};
use crate::world::signing_request;

/// Stores what ended in a form that cannot be read; what is given back takes it away again.
pub(crate) fn damage(folder: &Path, tenant: &str) -> impl FnOnce() + use<> {
    let key = SignalKey {
        kind: SignalKind::Ended,
        id: SignalId::parse(&"a".repeat(64)).unwrap(),
    };
    let record = SignalRecord {
        key: key.clone(),
        document: "{".to_owned(),
        ends: None,
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
    assert_eq!((put.status, put.code().as_str()), (503, "server.damaged"));
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

#[test]
fn a_node_gets_nothing_for_it_and_is_not_admitted_where_its_own_tenant_cannot_be_read() {
    let registry = Registry::new();
    let _issuer = trusted(&registry);
    registry.exchanges_jobs_of("ci");
    let plane = &registry.plane;
    let root = plane.root().unwrap();
    let join = plane.new_join_token(&root, "node-1", 600).unwrap();
    let request = signing_request(&Key::p256("node-1"));
    let caller = plane.join(&join.token, &request).unwrap().certificates;
    let caller = plane.identify_client(caller).unwrap();
    let node = plane.admit(&caller).unwrap();
    let one = plane.tenant_named("one").unwrap().unwrap();
    let draft = EntryDraft {
        id: Some("web".to_owned()),
        spiffe_id: "spiffe://one.test/web".to_owned(),
        selectors: vec!["unix:uid:0".to_owned()],
        ..EntryDraft::default()
    };
    let put = plane.put_entries(&one, vec![draft]).unwrap();
    put.into_iter().next().unwrap().unwrap();
    let issue = || plane.issue_jwt(&node, "one", "web", &[], vec![AUDIENCE.to_owned()]);
    issue().unwrap();

    let mend = damage(registry.folder(), "one");
    plane.follow_store().unwrap();
    assert!(issue().is_err());
    plane.admit(&caller).unwrap();
    mend();
    plane.follow_store().unwrap();
    issue().unwrap();

    // What is above is of it, too.
    drop(damage(registry.folder(), "top"));
    plane.follow_store().unwrap();
    assert!(issue().is_err());
    assert!(plane.admit(&caller).is_err());
    assert!(plane.renew(&node, &request).is_err());
}

#[test]
fn its_last_revocation_list_is_served_until_it_ends_and_none_comes_after_it() {
    let mut registry = Registry::new();
    let _issuer = trusted(&registry);
    registry.exchanges_jobs_of("ci");
    let one = registry.plane.tenant_named("one").unwrap().unwrap();
    let (authority, ends) = one.read(|snapshot| {
        let mut all = snapshot.authorities.values();
        let listed = all.find_map(|one| Some((one.id.clone(), one.revocation_list.clone()?)));
        let (id, list) = listed.unwrap();
        (id, list.next_update.unix())
    });
    drop(damage(registry.folder(), "one"));
    registry.plane.follow_store().unwrap();
    registry.pass(ends - registry.now());
    registry.plane.tend_all().unwrap();
    let list = |registry: &Registry| registry.plane.revocation_list(&one, authority.as_str());
    assert_eq!(list(&registry).unwrap().next_update.unix(), ends);
    registry.pass(1);
    let is_behind = |refused| matches!(refused, Refused::Fault(Fault::Behind(_)));
    assert!(list(&registry).is_err_and(is_behind));
}
