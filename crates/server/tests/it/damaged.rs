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
    assert!(put.is_put(), "{}", put.body);

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

#[test]
fn a_damaged_tenant_is_removed_once_whoever_asks_has_named_that_too() {
    for restarts in [false, true] {
        let mut registry = Registry::new();
        let _issuer = trusted(&registry);
        registry.exchanges_jobs_of("ci");
        drop(damage(registry.folder(), "one"));
        if restarts {
            registry = registry.restarted();
        }
        let elsewhere = registry.beside();
        registry.plane.follow_store().unwrap();
        let told = registry.call("GET", "/v1/tenants/one/removal", None);
        assert_eq!(told.status, 200, "{}", told.body);
        assert!(
            told.body.contains("unread of the tenant one"),
            "{}",
            told.body
        );
        assert_eq!(told.json()["confirm"], "one,one.test,unread:one");
        for unconfirmed in ["", "?confirm=one,one.test", "?confirm=one,unread:one"] {
            let path = format!("/v1/tenants/one{unconfirmed}");
            let refused = registry.call("DELETE", &path, None);
            assert_eq!(refused.code(), "issue.removal_unconfirmed", "{path}");
            assert!(refused.body.contains("PKCS #11"), "{}", refused.body);
        }
        let path = "/v1/tenants/one?confirm=one,one.test,unread:one";
        let removed = registry.call("DELETE", path, None);
        assert_eq!(removed.status, 200, "{}", removed.body);
        assert_eq!(registry.call("GET", "/v1/tenants/one", None).status, 404);
        let bundle = registry.call("GET", "/t/one/bundle/one.test", None);
        assert_eq!(bundle.status, 404, "{}", bundle.body);
        elsewhere.plane.follow_store().unwrap();
        assert!(elsewhere.plane.tenant_named("one").unwrap().is_none());
        // The name can be used again, and has nothing of what was damaged.
        let again = json!({"name": "one", "trust_domain": "one.test"});
        let made = registry.call("POST", "/v1/tenants", Some(&again));
        assert_eq!(made.status, 201, "{}", made.body);
        let ended = registry.call("GET", "/v1/tenants/one/ended", None);
        assert_eq!(ended.json()["ended"], json!([]));
    }
}

/// Gives the tenant `one` a trust domain.
fn has_its_domain(registry: &Registry) {
    let domain = json!({"name": "one.test"});
    let path = "/v1/tenants/one/trust-domains";
    assert_eq!(registry.call("POST", path, Some(&domain)).status, 201);
}

#[test]
fn a_tenant_below_a_damaged_one_goes_with_it_and_is_not_called_damaged() {
    let registry = Registry::new();
    has_its_domain(&registry);
    let below = json!({"name": "below", "parent": "one", "kind": "environment"});
    let made = registry.call("POST", "/v1/tenants", Some(&below));
    assert_eq!(made.status, 201, "{}", made.body);
    drop(damage(registry.folder(), "one"));
    let registry = registry.restarted();
    let told = registry.call("GET", "/v1/tenants/one/removal", None).json();
    assert_eq!(told["confirm"], "below,one,one.test,unread:one", "{told}");
    // Only that one may go, too.
    let removed = registry.call("DELETE", "/v1/tenants/below?confirm=below", None);
    assert_eq!(removed.status, 200, "{}", removed.body);
    assert!(registry.plane.tenant_named("below").unwrap().is_none());
}

#[test]
fn a_node_of_a_damaged_tenant_is_banned_and_stays_so_once_it_can_be_read() {
    for restarts in [false, true] {
        let mut registry = Registry::new();
        has_its_domain(&registry);
        let one = registry.plane.tenant_named("one").unwrap().unwrap();
        let join = registry.plane.new_join_token(&one, "node-1", 600).unwrap();
        let request = signing_request(&Key::p256("node-1"));
        let chain = registry.plane.join(&join.token, &request).unwrap();
        let chain = chain.certificates;
        drop(one);
        let mend = damage(registry.folder(), "one");
        if restarts {
            registry = registry.restarted();
        }
        registry.plane.follow_store().unwrap();
        let call = |path: &str| {
            let path = format!("/v1/tenants/one/nodes/{path}");
            registry.call("POST", &path, None)
        };
        let banned = call("node-1/ban");
        assert_eq!(banned.status, 200, "{}", banned.body);
        assert!(banned.json()["banned"].is_string(), "{}", banned.body);
        assert_eq!(call("node-1/ban").json()["banned"], banned.json()["banned"]);
        assert_eq!(call("node-2/ban").code(), "issue.object_unknown");
        // What gives something back waits until all can be read.
        let unbanned = call("node-1/unban");
        assert_eq!(unbanned.code(), "server.damaged", "{}", unbanned.body);
        assert!(unbanned.body.contains("can be banned"), "{}", unbanned.body);
        mend();
        registry.plane.follow_store().unwrap();
        registry.pass(61);
        let caller = registry.plane.identify_client(chain).unwrap();
        let refused = registry.plane.admit(&caller).err().unwrap();
        assert_eq!(refused.to_string(), "refused: issue.node_not_admitted");
    }
}
