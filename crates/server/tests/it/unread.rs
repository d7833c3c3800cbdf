//! What cannot be read of some tenants, since it is damaged or the store is away, is not taken for what
//! is not there.

use avouch_core::id::TenantId;
use avouch_server::issuing::Wanted;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    Change, Object, Operator, Sequence, SignalId, SignalKey, SignalKind, SignalRecord, Store,
};
use avouch_testkit::key::Key;
use serde_json::{Value, json};

use crate::world::{World, joined_to};

/// Puts something into a tenant that keeps it from being opened; who administers it can be read.
fn damage(world: &World, tenant: &str) {
    let record = SignalRecord {
        key: SignalKey {
            kind: SignalKind::Ended,
            id: SignalId::parse(&"a".repeat(64)).unwrap(),
        },
        document: "{".to_owned(),
        ends: None,
        secret: None,
    };
    let store = SqliteStore::open(world.folder()).unwrap();
    let tenant = TenantId::parse(tenant).unwrap();
    let put = Change::Put(Object::Signal(record));
    store.apply(&tenant, &[put]).unwrap();
}

#[test]
fn a_removal_is_answered_though_another_tenant_is_damaged_and_that_one_is_named() {
    let mut world = World::new();
    damage(&world, "two");
    world.restart();
    let operator = world.operator();
    let call = |method: &str, path: &str| world.call(&operator, method, path, None);
    let told = call("GET", "/v1/tenants/two");
    assert_eq!(told.status, 503, "{}", told.body);
    assert_eq!(told.json()["code"], "server.damaged");
    let told = call("GET", "/v1/tenants/one/removal");
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.json()["unread"], json!(["two"]));
    let told = call("DELETE", "/v1/tenants/one?confirm=one,one.test");
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.json()["unread"], json!(["two"]));
    assert_eq!(call("GET", "/v1/tenants/one").status, 404);
}

#[test]
fn workloads_are_not_bounded_where_a_tenant_below_would_not_hear_of_it() {
    let mut world = World::new();
    damage(&world, "two");
    world.restart();
    let operator = world.operator();
    let path = "/v1/tenants/top/quota";
    let before = world.call(&operator, "GET", path, None).json();
    let bound = json!({"workloads": ["unix:uid:7"]});
    let put = world.send(&operator, "PUT", path, &bound);
    assert_eq!(put.status, 503, "{}", put.body);
    assert_eq!(put.json()["code"], "server.damaged");
    let after = world.call(&operator, "GET", path, None).json();
    assert_eq!(after["workloads"], before["workloads"]);
    // What concerns none below is set all the same.
    let put = world.send(&operator, "PUT", path, &json!({"entries": 1_000}));
    assert!(put.is_put(), "{}", put.body);
}

#[test]
fn a_node_learns_nothing_of_a_damaged_tenant_that_it_does_not_serve() {
    let mut world = World::new();
    damage(&world, "two");
    world.restart();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let node = joined_to(&world.plane, &one);
    let wanted = Wanted {
        entry: "web".to_owned(),
        public_key: Key::p256("web").public_key_info(),
        facts: Vec::new(),
    };
    let ask = |tenant: &str| {
        let refused = world
            .plane
            .issue_x509(&node, tenant, std::slice::from_ref(&wanted));
        refused.err().unwrap().to_string()
    };
    assert_eq!(ask("two"), "refused: issue.object_unknown");
    assert_eq!(ask("two"), ask("nobody"));
}

#[test]
fn while_the_store_is_away_no_name_of_a_tenant_is_told_from_another_and_no_list_is_short() {
    let mut world = World::new();
    let stranger = world.token("spiffe://two.test/web");
    let operator = world.operator();
    world.restart();
    let ask = |token: &str, name: &str| {
        let answer = world.call(token, "GET", &format!("/v1/tenants/{name}/entries"), None);
        let mut said: Value = answer.json();
        let said = said.as_object_mut().unwrap();
        for own in ["instance", "decision"] {
            said.remove(own);
        }
        let said = json!(said).to_string().replace(name, "NAME");
        (answer.status, said)
    };
    // Of these `one` is not open, and `two` is since its identity was believed.
    let names = ["two", "nobody"];
    for name in names {
        assert_eq!(ask(&stranger, name).0, 404, "{name}");
        assert_eq!(ask(&operator, "top").0, 200);
    }
    world.store_away(true);
    let closed = ask(&stranger, "one");
    assert_eq!(closed.0, 503, "{closed:?}");
    for name in names {
        assert_eq!(ask(&stranger, name), closed, "{name}");
    }
    let list = world.call(&operator, "GET", "/v1/tenants", None);
    assert_eq!(list.status, 503, "{}", list.body);
    let metrics = world.get("/metrics").body;
    assert!(metrics.contains("\navouch_tenants_unread 1\n"), "{metrics}");
    for sum in ["avouch_entries", "avouch_authorities{"] {
        assert!(!metrics.contains(&format!("\n{sum}")), "{metrics}");
    }
    world.store_away(false);
    let list = world.call(&operator, "GET", "/v1/tenants", None).json();
    assert_eq!(list["tenants"].as_array().unwrap().len(), 3, "{list}");
    let metrics = world.get("/metrics").body;
    assert!(metrics.contains("\navouch_tenants_unread 0\n"), "{metrics}");
    assert!(metrics.contains("\navouch_entries 1\n"), "{metrics}");
}

#[test]
fn whoever_has_no_role_learns_nothing_of_a_damaged_tenant_and_removes_and_bans_nothing() {
    let mut world = World::new();
    let stranger = world.token("spiffe://two.test/web");
    damage(&world, "one");
    world.restart();
    for (method, rest) in [
        ("GET", "/removal"),
        ("DELETE", "?confirm=one,one.test,unread:one"),
        ("POST", "/nodes/node-1/ban"),
    ] {
        let ask = |name: &str| {
            let path = format!("/v1/tenants/{name}{rest}");
            let answer = world.call(&stranger, method, &path, None);
            (answer.status, answer.code())
        };
        let expected = (404, "issue.object_unknown".to_owned());
        assert_eq!(ask("one"), expected, "{method} {rest}");
        assert_eq!(ask("nobody"), expected, "{method} {rest}");
    }
    let listed = world.call(&world.operator(), "GET", "/v1/tenants", None);
    assert!(listed.body.contains("one.test"), "{}", listed.body);
}

#[test]
fn after_another_server_has_started_tenants_are_looked_at_several_at_a_time() {
    let mut world = World::new();
    for number in 0..20 {
        let new = json!({"name": format!("idle-{number}")});
        let made = world.send(&world.operator(), "POST", "/v1/tenants", &new);
        assert_eq!(made.status, 201, "{}", made.body);
    }
    world.restart();
    world.plane.follow_store().unwrap();
    // As when another server has started, and takes numbers of its own for all of them.
    let store = SqliteStore::open(world.folder()).unwrap();
    store
        .raise(&Operator::of_this_deployment(), Sequence::of(1 << 60))
        .unwrap();
    let looking = world.looking();
    looking.lock().unwrap().clear();
    world.plane.follow_store().unwrap();
    assert!(looking.lock().unwrap().len() > 1);
    assert_eq!(world.plane.open_tenants().len(), 1);
}
