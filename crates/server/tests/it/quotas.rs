//! Quotas: what one tenant has and does takes nothing from another.

use std::sync::atomic::{AtomicBool, Ordering};

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_server::access::Role;
use avouch_server::issuing::{Wanted, WantedToken};
use avouch_testkit::key::Key;
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::world::{World, signing_request};

fn put(world: &World, tenant: &str, quota: &Value) -> Answer {
    let path = format!("/v1/tenants/{tenant}/quota");
    world.send(&world.operator(), "PUT", &path, quota)
}

fn create(world: &World, tenant: &str, names: &[&str]) -> Answer {
    let entries: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "id": name,
                "spiffe_id": format!("spiffe://{tenant}.test/{name}"),
                "selectors": ["unix:uid:1"],
            })
        })
        .collect();
    let path = format!("/v1/tenants/{tenant}/entries");
    world.send(
        &world.operator(),
        "POST",
        &path,
        &json!({ "entries": entries }),
    )
}

/// A certificate for the entry `a` of a tenant.
fn certificate(world: &World, tenant: &str) -> Answer {
    let request = pem("CERTIFICATE REQUEST", &signing_request(&Key::p256("new")));
    let body = json!({
        "signing_request": request,
        "spiffe_id": format!("spiffe://{tenant}.test/a"),
    });
    let path = format!("/v1/tenants/{tenant}/certificates");
    world.send(&world.operator(), "POST", &path, &body)
}

fn codes(answer: &Answer) -> Vec<String> {
    let told = answer.json();
    let answers = told["answers"].as_array().unwrap().iter();
    answers
        .map(|one| {
            one["problem"]["code"]
                .as_str()
                .unwrap_or("stored")
                .to_owned()
        })
        .collect()
}

#[test]
fn a_tenant_has_no_more_than_its_quota_and_each_element_is_told() {
    let world = World::new();
    let answer = put(&world, "one", &json!({ "entries": 3 }));
    assert_eq!(answer.status, 200, "{answer:?}");
    let stored = create(&world, "one", &["a", "b"]);
    assert_eq!(codes(&stored), ["stored", "stored"]);
    // Only what is new needs room.
    let full = "issue.quota_exceeded";
    let stored = create(&world, "one", &["c", "d", "e"]);
    assert_eq!(codes(&stored), ["stored", full, full]);
    let path = "/v1/tenants/one/entries/a";
    let same = json!({"spiffe_id": "spiffe://one.test/a2", "selectors": ["unix:uid:1"]});
    let replaced = world.send(&world.operator(), "PUT", path, &same);
    assert_eq!(replaced.status, 200, "{replaced:?}");
    let other = create(&world, "two", &["a", "b", "c", "d", "e"]);
    assert!(codes(&other).iter().all(|code| code == "stored"));

    let shown = world
        .call(&world.operator(), "GET", "/v1/tenants/one/quota", None)
        .json();
    assert_eq!(
        (&shown["entries"], &shown["entries_used"]),
        (&json!(3), &json!(3))
    );
    // Without bounds again, and after one was removed.
    put(&world, "one", &json!({}));
    assert_eq!(codes(&create(&world, "one", &["d"])), ["stored"]);
}

#[test]
fn a_quota_holds_for_all_below_together() {
    let world = World::new();
    put(&world, "top", &json!({ "entries": 3, "trust_domains": 3 }));
    assert_eq!(
        codes(&create(&world, "one", &["a", "b"])),
        ["stored", "stored"]
    );
    let two = codes(&create(&world, "two", &["a", "b"]));
    assert_eq!(two, ["stored", "issue.quota_exceeded"]);
    let path = "/v1/tenants/two/trust-domains";
    let refused = world.send(
        &world.operator(),
        "POST",
        path,
        &json!({"name": "more.test"}),
    );
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.json()["code"], "issue.quota_exceeded");
    let free = TrustDomain::parse("more.test").unwrap();
    assert!(world.plane.owner_of(&free).unwrap().is_none());
}

#[test]
fn a_noisy_tenant_is_told_when_to_come_back_and_others_are_served() {
    let world = World::new();
    create(&world, "one", &["a"]);
    create(&world, "two", &["a"]);
    put(&world, "one", &json!({ "issuances_per_minute": 3 }));
    for _ in 0..3 {
        assert_eq!(certificate(&world, "one").status, 200);
    }
    for _ in 0..50 {
        let refused = certificate(&world, "one");
        if refused.status == 200 {
            // Some seconds have passed, which bring one more.
            continue;
        }
        assert_eq!(refused.status, 429, "{refused:?}");
        assert_eq!(refused.json()["code"], "issue.rate_exceeded");
        let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&seconds), "{seconds}");
        assert_eq!(certificate(&world, "two").status, 200);
    }
}

#[test]
fn of_a_batch_as_many_are_issued_as_there_is_room_for() {
    let world = World::new();
    create(&world, "one", &["a"]);
    put(&world, "top", &json!({ "issuances_per_minute": 5 }));
    put(&world, "one", &json!({ "issuances_per_minute": 100 }));
    let wanted: Vec<Wanted> = (0..20)
        .map(|n| Wanted {
            entry: "a".to_owned(),
            public_key: Key::p256(&format!("k{n}")).public_key_info(),
            facts: Vec::new(),
        })
        .collect();
    let answers = world
        .plane
        .issue_x509(world.node(), "one", &wanted)
        .unwrap();
    let issued = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(issued, 5);
    assert!(
        answers[..5].iter().all(Result::is_ok),
        "those who stand first"
    );
    let codes = answers[5..]
        .iter()
        .map(|answer| answer.as_ref().unwrap_err().code());
    assert!(codes.into_iter().all(|code| code == "issue.rate_exceeded"));
}

#[test]
fn nobody_raises_their_own_quota() {
    let world = World::new();
    put(&world, "one", &json!({ "entries": 5 }));
    let id = SpiffeId::parse("spiffe://one.test/chief").unwrap();
    let token = world.token(id.as_str());
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let role = |role| {
        world
            .plane
            .put_admin(&one, "chief", id.clone(), role)
            .unwrap()
    };
    for held in [Role::Operator, Role::Administrator] {
        role(held);
        let path = "/v1/tenants/one/quota";
        let refused = world.send(&token, "PUT", path, &json!({ "entries": 500 }));
        assert_eq!(refused.status, 403, "{refused:?}");
        assert_eq!(refused.json()["code"], "issue.not_permitted");
        assert_eq!(world.call(&token, "GET", path, None).json()["entries"], 5);
    }
}

#[test]
fn what_is_refused_costs_a_tenant_nothing_of_its_minute() {
    let world = World::new();
    create(&world, "one", &["a"]);
    put(&world, "one", &json!({ "issuances_per_minute": 2 }));
    let key = Key::p256("workload").public_key_info();
    let wanted = |entry: &str, public_key: &[u8]| Wanted {
        entry: entry.to_owned(),
        public_key: public_key.to_vec(),
        facts: Vec::new(),
    };
    let token = |entry: &str| WantedToken {
        entry: entry.to_owned(),
        audiences: vec!["vault".to_owned()],
        facts: Vec::new(),
    };
    let (plane, node) = (&world.plane, world.node());
    for _ in 0..3 {
        let unknown = [wanted("none", &key), wanted("a", b"no key")];
        let x509 = plane.issue_x509(node, "one", &unknown).unwrap();
        let wit = plane.issue_wit(node, "one", &unknown).unwrap();
        let jwt = plane.issue_jwts(node, "one", vec![token("none")]).unwrap();
        assert!(x509.iter().all(|one| one.is_err()));
        assert!(wit.iter().all(|one| one.is_err()) && jwt[0].is_err());
    }
    let good: Vec<Wanted> = (0..3).map(|_| wanted("a", &key)).collect();
    let issued = plane.issue_x509(node, "one", &good).unwrap();
    let codes = issued
        .iter()
        .map(|one| one.as_ref().err().map_or("issued", |why| why.code()));
    assert_eq!(
        codes.collect::<Vec<_>>(),
        ["issued", "issued", "issue.rate_exceeded"]
    );
}

#[test]
fn a_tenant_below_gives_identities_to_the_workloads_that_it_may_and_to_no_others() {
    let world = World::new();
    // `b` was there before anyone said so.
    create(&world, "one", &["b"]);
    let bounded = json!({ "workloads": ["unix:uid:7", "k8s:ns:one"] });
    let put_there = put(&world, "one", &bounded);
    assert_eq!(put_there.json()["workloads"], bounded["workloads"]);
    let path = "/v1/tenants/one/entries";
    let entry = |id: &str, selectors: &[&str]| {
        let entry = json!({"id": id, "spiffe_id": "spiffe://one.test/a", "selectors": selectors});
        world.send(&world.operator(), "POST", path, &entry)
    };
    let refused = entry("a", &["unix:uid:1", "unix:gid:7"]);
    assert_eq!(refused.code(), "issue.object_malformed", "{}", refused.body);
    assert!(
        refused.body.contains("one of `unix:uid:7`, `k8s:ns:one`"),
        "{}",
        refused.body
    );
    assert!(entry("a", &["unix:gid:1", "k8s:ns:one"]).status < 300);
    // What was there gives nothing any more, and it is said why.
    let wanted = ["a", "b"].map(|name| Wanted {
        entry: name.to_owned(),
        public_key: Key::p256(name).public_key_info(),
        facts: Vec::new(),
    });
    let issue = || {
        world
            .plane
            .issue_x509(world.node(), "one", &wanted)
            .unwrap()
    };
    let issued = issue();
    assert!(issued[0].is_ok());
    assert_eq!(
        issued[1].as_ref().unwrap_err().code(),
        "issue.object_unknown"
    );
    let asked = json!({"selectors": ["unix:uid:1"]});
    let told = world.send(&world.operator(), "POST", "/v1/tenants/one/why-not", &asked);
    assert_eq!(told.json()["matching"], json!([]));
    assert_eq!(told.json()["nearly"][0]["barred"], true, "{}", told.body);
    // What is said of a tenant above holds too, and the other tenant is not concerned.
    assert!(codes(&create(&world, "two", &["b"]))[0] == "stored");
    put(&world, "top", &json!({ "workloads": ["unix:gid:1"] }));
    assert!(issue()[0].is_ok());
    put(&world, "top", &json!({ "workloads": ["unix:gid:2"] }));
    assert!(issue()[0].is_err());
    put(&world, "top", &json!({}));
    put(&world, "one", &json!({}));
    assert!(
        issue().iter().all(Result::is_ok),
        "nobody says anything any more"
    );
    // Nobody widens their own.
    let path = "/v1/tenants/one/quota";
    let id = SpiffeId::parse("spiffe://one.test/chief").unwrap();
    let token = world.token(id.as_str());
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    world
        .plane
        .put_admin(&one, "chief", id, Role::Operator)
        .unwrap();
    let refused = world.send(&token, "PUT", path, &json!({}));
    assert_eq!(refused.code(), "issue.not_permitted", "{}", refused.body);
}

#[test]
fn who_bounds_the_tenants_below_undoes_nothing_that_is_said_of_them_meanwhile() {
    let world = World::new();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=40 {
                let workloads = json!([format!("unix:uid:{number}")]);
                let answer = put(&world, "top", &json!({ "workloads": workloads }));
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let path = "/v1/tenants/one/quota";
        let mut last = Value::Null;
        for number in (1..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
            let said = world.call(&world.operator(), "GET", path, None).json();
            assert_eq!(said["entries"], last);
            let answer = put(&world, "one", &json!({ "entries": number }));
            // It may have come in between so often that it is told so.
            match answer.status {
                200 => last = number.into(),
                _ => assert_eq!(answer.status, 409, "{}", answer.body),
            }
        }
    });
}
