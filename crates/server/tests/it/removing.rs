//! Tenants and trust domains that go.

use std::sync::Arc;

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_issuer::key_manager::MemoryKeys;
use avouch_server::Settings;
use avouch_server::access::Role;
use avouch_server::http::addresses;
use avouch_server::issuing::Wanted;
use avouch_store::sqlite::{DATABASE_FILE, SqliteStore};
use avouch_store::{AuthorityKind, Change, Object, Operator, Store, TenantKind};
use avouch_testkit::key::Key;
use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::away::Cut;
use crate::exchange::exchange_form;
use crate::http::Answer;
use crate::signals::{cloud, workflow};
use crate::world::World;

const ONE: &str = "/v1/tenants/one";

fn delete(world: &World, path: &str) -> Answer {
    world.call(&world.operator(), "DELETE", path, None)
}

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

#[test]
fn a_tenant_goes_with_all_that_is_its_own_once_that_is_named() {
    let world = World::new();
    let elsewhere = world.opened_again(Settings::default());
    assert!(elsewhere.tenant_named("one").unwrap().is_some());
    let svid = world.token("spiffe://one.test/web");
    let operator = world.operator();
    let told = world.call(&operator, "GET", &format!("{ONE}/removal"), None);
    let goes = told.json()["goes"].clone();
    for part in [
        json!({"what": "tenant", "name": "one"}),
        json!({"what": "trust domain", "name": "one.test"}),
        json!({"what": "registration entries", "count": 1}),
    ] {
        assert!(goes.as_array().unwrap().contains(&part), "{goes}");
    }
    let token = goes
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["what"] == "JWT-SVIDs");
    assert!(token.unwrap()["until"].is_string(), "{goes}");
    assert_eq!(told.json()["confirm"], "one,one.test");
    for unconfirmed in [
        ONE.to_owned(),
        format!("{ONE}?confirm=one"),
        format!("{ONE}?confirm=one,two.test"),
        format!("{ONE}?confirm=one,one.test,two"),
    ] {
        let refused = delete(&world, &unconfirmed);
        let code = (refused.status, refused.code());
        assert_eq!(code, (409, "issue.removal_unconfirmed".to_owned()));
        assert!(
            refused.body.contains("1 registration entry, "),
            "{}",
            refused.body
        );
    }
    let removed = delete(&world, &format!("{ONE}?confirm=one.test,one"));
    assert_eq!(removed.status, 200, "{}", removed.body);
    assert_eq!(removed.json()["goes"], goes);

    answers_as_none(&world, &operator);
    assert!(world.plane.owner_of(&domain("one.test")).unwrap().is_none());
    let shown = world.call(&svid, "GET", "/v1/tenants", None);
    assert_eq!(shown.status, 401, "{}", shown.body);
    // On the other server, too, as soon as it looks.
    assert!(elsewhere.tenant_named("one").unwrap().is_some());
    elsewhere.follow_store().unwrap();
    assert!(elsewhere.tenant_named("one").unwrap().is_none());
    assert!(elsewhere.owner_of(&domain("one.test")).unwrap().is_none());
    assert!(elsewhere.tenant_named("two").unwrap().is_some());
}

/// Every address of the tenant answers as that of one that never was.
fn answers_as_none(world: &World, token: &str) {
    let mut seen = 0;
    let of_tenant = |path: &&str| path.contains("{tenant}") && !path.contains("{*");
    for (method, path) in addresses() {
        if !of_tenant(&path) || !["GET", "DELETE"].contains(&method) {
            continue;
        }
        let path = path
            .replace("{trust_domain}", "one.test")
            .replace("{entry}", "web");
        let ask = |tenant: &str| {
            let path = path.replace("{tenant}", tenant).replace(['{', '}'], "");
            world.call(token, method, &path, None)
        };
        let (gone, none) = (ask("one"), ask("zzz"));
        assert!(gone.status >= 400, "{method} {path}: {}", gone.body);
        let gone = gone.without_ids();
        assert_eq!(
            gone.replace("one", "zzz"),
            none.without_ids().replace("one", "zzz"),
            "{method} {path}"
        );
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn a_tenant_that_is_made_again_has_nothing_of_the_one_before() {
    let world = World::new();
    let elsewhere = world.opened_again(Settings::default());
    let old = world.token("spiffe://one.test/web");
    let keys = world.get("/t/one/keys").json();
    let path = format!("{ONE}?confirm=one,one.test");
    assert_eq!(delete(&world, &path).status, 200);
    // Not elsewhere in the tree, and its trust domain not by another.
    let operator = world.operator();
    let moved = json!({"name": "one", "parent": "two"});
    let moved = world.send(&operator, "POST", "/v1/tenants", &moved);
    assert_eq!(moved.code(), "issue.conflict", "{}", moved.body);
    let taken = json!({"name": "one.test"});
    let taken = world.send(&operator, "POST", "/v1/tenants/two/trust-domains", &taken);
    assert_eq!(taken.code(), "issue.conflict", "{}", taken.body);

    let again = json!({"name": "one", "trust_domain": "one.test"});
    let again = world.send(&operator, "POST", "/v1/tenants", &again);
    assert_eq!(again.status, 201, "{}", again.body);
    let entries = world.call(&operator, "GET", &format!("{ONE}/entries"), None);
    assert_eq!(entries.json()["entries"], json!([]));
    let issued = world.call(
        &operator,
        "GET",
        &format!("{ONE}/issued?spiffe_id=spiffe://one.test/web"),
        None,
    );
    assert_eq!(issued.json()["issued"], json!([]), "{}", issued.body);
    assert_ne!(world.get("/t/one/keys").json(), keys);
    assert_eq!(world.call(&old, "GET", "/v1/tenants", None).status, 401);
    // A server that has seen neither takes the one for what it is.
    elsewhere.follow_store().unwrap();
    let one = elsewhere.tenant_named("one").unwrap().unwrap();
    assert_eq!(
        elsewhere.jwks(&one).unwrap(),
        world.get("/t/one/keys").json()
    );
    assert!(one.read(|snapshot| snapshot.entries.is_empty()));
}

#[test]
fn who_stands_above_a_tenant_removes_it_and_nobody_removes_the_deployment() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let chief = "spiffe://one.test/chief";
    let token = world.token(chief);
    let chief = SpiffeId::parse(chief).unwrap();
    world
        .plane
        .put_admin(&one, "chief", chief, Role::Operator)
        .unwrap();
    let path = format!("{ONE}?confirm=one,one.test");
    let refused = world.call(&token, "DELETE", &path, None);
    assert_eq!(refused.code(), "issue.not_permitted", "{}", refused.body);
    let root = delete(
        &world,
        "/v1/tenants/top?confirm=one,one.test,top,top.test,two,two.test",
    );
    assert_eq!(root.code(), "issue.conflict", "{}", root.body);
    let own = delete(
        &world,
        "/v1/tenants/top/trust-domains/top.test?confirm=top.test",
    );
    assert_eq!(own.code(), "issue.conflict", "{}", own.body);
    assert_eq!(world.get("/t/one/bundle").status, 200);
    // What nobody uses goes without a word.
    let operator = world.operator();
    let new = json!({"name": "idle", "trust_domain": "idle.test", "parent": "one"});
    assert_eq!(
        world.send(&operator, "POST", "/v1/tenants", &new).status,
        201
    );
    let with_below = delete(&world, &path);
    assert_eq!(with_below.code(), "issue.removal_unconfirmed");
    assert!(
        with_below.body.contains("the tenant idle"),
        "{}",
        with_below.body
    );
    assert_eq!(delete(&world, "/v1/tenants/idle").status, 200);
    assert_eq!(delete(&world, &path).status, 200);
}

#[test]
fn a_trust_domain_goes_with_all_that_is_in_it_and_nothing_else() {
    let world = World::new();
    let operator = world.operator();
    let new = json!({"name": "more.test"});
    let path = format!("{ONE}/trust-domains");
    assert_eq!(world.send(&operator, "POST", &path, &new).status, 201);
    let elsewhere = world.opened_again(Settings::default());
    let old = world.token("spiffe://more.test/web");
    world.token("spiffe://one.test/kept");
    let bundle = world.get("/t/one/bundle/one.test").json();
    let more = format!("{ONE}/trust-domains/more.test");
    let refused = delete(&world, &more);
    assert_eq!(
        refused.code(),
        "issue.removal_unconfirmed",
        "{}",
        refused.body
    );
    let told = world.call(&operator, "GET", &format!("{more}/removal"), None);
    assert_eq!(told.json()["confirm"], "more.test");
    let removed = delete(&world, &format!("{more}?confirm=more.test"));
    assert_eq!(
        (removed.status, removed.json()["goes"].clone()),
        (200, told.json()["goes"].clone())
    );
    assert_eq!(delete(&world, &more).code(), "issue.object_unknown");
    for (path, status) in [
        ("/t/one/bundle/more.test", 404),
        ("/t/one/bundle/one.test", 200),
    ] {
        assert_eq!(world.get(path).status, status, "{path}");
    }
    assert_eq!(
        world.get("/t/one/bundle/one.test").json()["keys"],
        bundle["keys"]
    );
    assert_eq!(world.call(&old, "GET", "/v1/tenants", None).status, 401);
    let entries = world.call(&operator, "GET", &format!("{ONE}/entries"), None);
    assert_eq!(
        entries.json()["entries"].as_array().unwrap().len(),
        1,
        "{}",
        entries.body
    );
    elsewhere.follow_store().unwrap();
    for plane in [&world.plane, &elsewhere] {
        assert!(plane.owner_of(&domain("more.test")).unwrap().is_none());
        assert!(plane.owner_of(&domain("one.test")).unwrap().is_some());
    }
    // Again, with other keys.
    assert_eq!(world.send(&operator, "POST", &path, &new).status, 201);
    assert_eq!(world.call(&old, "GET", "/v1/tenants", None).status, 401);
}

#[test]
fn a_removal_that_breaks_off_leaves_a_tenant_whole_or_gone() {
    for (cut, is_gone) in [(Cut::BeforeStoring, false), (Cut::AfterStoring, true)] {
        let world = World::new();
        world.token("spiffe://one.test/web");
        world.cut_next(cut);
        let path = format!("{ONE}?confirm=one,one.test");
        let failed = delete(&world, &path);
        assert_eq!(failed.status, 503, "{}", failed.body);
        let found = world.get("/t/one/bundle").status;
        assert_eq!(found, if is_gone { 404 } else { 200 });
        // And so it is found by whoever starts then.
        let again = world.opened_again(Settings::default());
        assert_eq!(again.tenant_named("one").unwrap().is_none(), is_gone);
        let expected = if is_gone { 404 } else { 200 };
        assert_eq!(delete(&world, &path).status, expected);
    }
}

#[test]
fn what_a_tenant_sealed_is_not_in_the_database_after_it_was_removed() {
    let operator = Operator::of_this_deployment();
    let world = World::new();
    let issue = Wanted {
        entry: "web".to_owned(),
        public_key: Key::p256("web").public_key_info(),
        facts: Vec::new(),
    };
    world.token("spiffe://one.test/web");
    world
        .plane
        .issue_x509(world.node(), "one", &[issue])
        .unwrap();
    let store = SqliteStore::open(world.folder()).unwrap();
    let records = store.tenants(&operator).unwrap();
    let record = records.iter().find(|one| one.id.as_str() == "one").unwrap();
    let sealed: Vec<Vec<u8>> = store
        .load(&record.id)
        .unwrap()
        .authorities
        .into_values()
        .filter_map(|one| one.private_key)
        .map(|sealed| Base64::decode_vec(&sealed.to_text()).unwrap())
        .collect();
    assert!(!sealed.is_empty());
    drop(store);
    for secret in &sealed {
        assert!(is_in_database(&world, secret), "it is looked for elsewhere");
    }
    let path = format!("{ONE}?confirm=one,one.test");
    assert_eq!(delete(&world, &path).status, 200);
    let store = SqliteStore::open(world.folder()).unwrap();
    let left = store.load(&record.id).unwrap();
    assert!(left.authorities.is_empty());
    for secret in &sealed {
        assert!(!is_in_database(&world, secret), "a sealed key is left");
    }
}

/// Whether something is in the database, or in the log beside it.
fn is_in_database(world: &World, secret: &[u8]) -> bool {
    ["", "-wal"].iter().any(|end| {
        let file = world.folder().join(format!("{DATABASE_FILE}{end}"));
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(secret.len()).any(|window| window == secret)
    })
}

#[test]
fn what_is_meant_for_a_tenant_that_was_removed_is_not_for_another_of_its_name() {
    let world = World::new();
    let elsewhere = world.opened_again(Settings::default());
    let third = world.opened_again(Settings::default());
    let old = world.plane.tenant_named("one").unwrap().unwrap();
    let old_there = elsewhere.tenant_named("one").unwrap().unwrap();
    let operator = world.operator();
    let path = format!("{ONE}?confirm=one,one.test");
    assert_eq!(delete(&world, &path).status, 200);
    // Also where the one before is held still.
    let (id, top) = (old.id().clone(), world.plane.root().unwrap());
    let made = third
        .add_tenant(&id, Some(top.id()), TenantKind::Tenant)
        .unwrap();
    assert!(made.read(|snapshot| snapshot.trust_domains.is_empty()));
    assert!(third.owner_of(&domain("one.test")).unwrap().is_none());
    world.plane.follow_store().unwrap();

    let late = SpiffeId::parse("spiffe://one.test/late").unwrap();
    for (plane, old) in [(&world.plane, &old), (&elsewhere, &old_there)] {
        let put = plane.put_admin(old, "late", late.clone(), Role::Operator);
        let refused = put.unwrap_err().to_string();
        assert!(refused.contains("issue.object_unknown"), "{refused}");
        assert!(plane.add_trust_domain(old, &domain("late.test")).is_err());
    }
    let admins = world.call(&operator, "GET", &format!("{ONE}/admins"), None);
    assert_eq!(admins.json()["admins"], json!([]), "{}", admins.body);
    let there = elsewhere.tenant_named("one").unwrap().unwrap();
    assert!(!Arc::ptr_eq(&there, &old_there));
}

/// Removes a tenant as another server on the store does.
fn remove_elsewhere(world: &World, name: &str) {
    let store = SqliteStore::open(world.folder()).unwrap();
    let tenant = world.plane.tenant_named(name).unwrap().unwrap();
    let at = store.load(tenant.id()).unwrap().sequence;
    let removing = Operator::of_this_deployment();
    store
        .remove_tenants(&removing, &[(tenant.id().clone(), at)])
        .unwrap();
}

#[test]
fn a_tenant_that_another_server_has_removed_is_not_decided_for() {
    let world = World::new();
    let svid = world.token("spiffe://one.test/web");
    let operator = world.operator();
    world.plane.report_followers().unwrap();
    let audience = world.plane.server_id().to_string();
    let question = json!({"credential": {"jwt": svid}, "audience": [audience]});
    let decide = || world.send(&operator, "POST", "/t/one/decide", &question);
    let before = decide();
    assert_eq!(before.json()["verdict"], "accept", "{}", before.body);
    remove_elsewhere(&world, "one");
    let after = decide();
    assert_eq!(after.status, 404, "{}", after.body);
}

#[test]
fn keys_that_are_kept_elsewhere_go_also_where_the_answer_of_the_removal_is_lost() {
    let keys = Arc::new(MemoryKeys::default());
    let kept = || {
        let told = format!("{keys:?}");
        let count = told.trim_matches(|one: char| !one.is_ascii_digit());
        count.parse::<usize>().unwrap()
    };
    let world = World::with(Settings {
        keys: Arc::<MemoryKeys>::clone(&keys),
        ..Settings::default()
    });
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let own = one.read(|snapshot| {
        let records = snapshot.authorities.values();
        records.filter(|one| one.key_address.is_some()).count()
    });
    let before = kept();
    assert!(own > 0 && before > own, "{own} of {before}");
    world.cut_next(Cut::AfterStoring);
    assert_eq!(
        delete(&world, &format!("{ONE}?confirm=one,one.test")).status,
        503
    );
    assert_eq!(kept(), before);
    world.plane.clear_removed().unwrap();
    assert_eq!(kept(), before - own);
}

#[test]
fn a_damaged_key_stops_what_it_signs_and_nothing_else() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    world
        .plane
        .add_trust_domain(&one, &domain("more.test"))
        .unwrap();
    let store = SqliteStore::open(world.folder()).unwrap();
    let records = store.load(one.id()).unwrap().authorities;
    let in_domain = |name: &str| {
        let found = records.values().find(|record| {
            record.trust_domain == domain(name) && record.kind == AuthorityKind::X509
        });
        found.unwrap().clone()
    };
    let before = world.plane.bundle(&one, &domain("one.test")).unwrap();
    // What another key sealed is not opened by its name.
    let mut damaged = in_domain("one.test");
    damaged.private_key = in_domain("more.test").private_key;
    let put = Change::Put(Object::Authority(damaged));
    store.apply(one.id(), &[put]).unwrap();
    let again = world.opened_again(Settings::default());
    let (one, two) = ["one", "two"]
        .map(|name| again.tenant_named(name).unwrap().unwrap())
        .into();
    // What it signed is believed on, since for that its public half is enough.
    let published = again.bundle(&one, &domain("one.test")).unwrap();
    assert_eq!(published["keys"], before["keys"]);
    again.bundle(&one, &domain("more.test")).unwrap();
    again.jwks(&one).unwrap();
    again.bundle(&two, &domain("two.test")).unwrap();
    // Also at a server that had opened them, and for what comes after.
    world.plane.follow_store().unwrap();
    world.plane.bundle(&one, &domain("more.test")).unwrap();
}

#[test]
fn nothing_is_exchanged_at_a_tenant_that_another_server_has_removed() {
    let cloud = cloud();
    let world = &cloud.world;
    let exchanged = || {
        let token = workflow(&cloud, 20, &json!({}));
        cloud.send(&exchange_form(&token, &[]), &[])
    };
    let before = exchanged();
    assert_eq!(before.status, 200, "{}", before.body);
    world.plane.report_followers().unwrap();
    let again = exchanged();
    assert_eq!(again.status, 200, "{}", again.body);
    remove_elsewhere(world, "one");
    // Neither before this server has learnt of it nor after.
    for _ in 0..2 {
        let after = exchanged();
        assert_eq!(
            after.json()["code"],
            "issue.object_unknown",
            "{}",
            after.body
        );
        assert!(!after.body.contains("access_token"), "{}", after.body);
        world.plane.follow_store().unwrap();
    }
}
