//! Entries whose identity has places for facts, and what they can ever give.

use avouch_core::reason::Reason;
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::Wanted;
use avouch_server::nodes::Admitted;
use avouch_testkit::key::Key;
use serde_json::{Value, json};

use crate::refusals::{Deployment, draft};
use crate::world::World;

const POD: &str = "spiffe://shop.test/node/{node.name}/ns/{k8s.ns}/sa/{k8s.sa}";

fn entry(id: &str, spiffe_id: &str, selectors: &[&str]) -> EntryDraft {
    EntryDraft {
        spiffe_id: spiffe_id.to_owned(),
        selectors: selectors.iter().map(|one| (*one).to_owned()).collect(),
        ..draft(id)
    }
}

/// The identity that a node is given for an entry when it says this of a workload.
fn issued(
    world: &Deployment,
    node: &Admitted,
    entry: &str,
    facts: &[&str],
) -> Result<String, Reason> {
    let facts: Vec<String> = facts.iter().map(|fact| (*fact).to_owned()).collect();
    let wanted = [Wanted {
        entry: entry.to_owned(),
        public_key: Key::p256("workload").public_key_info(),
        facts: facts.clone(),
    }];
    let x509 = world.plane.issue_x509(node, "shop", &wanted).unwrap();
    let x509 = x509.into_iter().next().unwrap().map(|svid| svid.id);
    let wit = world.plane.issue_wit(node, "shop", &wanted).unwrap();
    let wit = wit.into_iter().next().unwrap().map(|svid| svid.id);
    let audience = vec!["vault".to_owned()];
    let jwt = world
        .plane
        .issue_jwt(node, "shop", entry, &facts, audience)
        .map(|svid| svid.id)
        .map_err(|refused| match refused {
            avouch_server::Refused::Reason(reason) => *reason,
            avouch_server::Refused::Fault(fault) => panic!("{fault}"),
        });
    assert_eq!(x509, wit);
    assert_eq!(x509, jwt);
    x509.map(|id| id.to_string())
}

#[test]
fn the_server_makes_the_identity_of_the_facts_and_not_of_what_a_node_would_like() {
    let world = Deployment::new();
    let (_, node) = world.join("node-1");
    world.put(entry("pods", POD, &["k8s:ns:web"])).unwrap();
    let facts = ["k8s:ns:web", "k8s:sa:front"];
    assert_eq!(
        issued(&world, &node, "pods", &facts).unwrap(),
        "spiffe://shop.test/node/node-1/ns/web/sa/front"
    );
    // A node in the wrong hands says that it is another, and that a workload is more than one.
    let lies = ["k8s:ns:web", "k8s:sa:front", "name:node-2"];
    let id = issued(&world, &node, "pods", &lies).unwrap();
    assert!(id.contains("/node/node-1/"), "{id}");
    for (facts, why) in [
        (vec!["k8s:ns:web"], "k8s.sa has no value"),
        (
            vec!["k8s:ns:evil", "k8s:sa:front"],
            "k8s:ns:web was not attested",
        ),
        (
            vec!["k8s:ns:web", "k8s:ns:evil", "k8s:sa:front"],
            "k8s.ns has several values",
        ),
        (
            vec!["k8s:ns:web", "k8s:sa:../../x"],
            "k8s.sa is `../../x`, which is not one segment of a SPIFFE ID",
        ),
        (
            vec!["k8s:ns:web", "k8s:sa:a/b"],
            "k8s.sa is `a/b`, which is not one segment of a SPIFFE ID",
        ),
    ] {
        let reason = issued(&world, &node, "pods", &facts).unwrap_err();
        assert_eq!(reason.code(), "issue.entry_unfilled", "{facts:?}");
        assert!(reason.sentence().contains(why), "{}", reason.sentence());
    }
}

#[test]
fn where_only_the_node_fills_places_no_fact_of_a_workload_is_asked_for() {
    let world = Deployment::new();
    let (_, node) = world.join("node-1");
    let here = entry("here", "spiffe://shop.test/on/{node.name}", &["unix:uid:0"]);
    world.put(here).unwrap();
    // A node is told no place then, so it sends nothing.
    let id = issued(&world, &node, "here", &[]).unwrap();
    assert_eq!(id, "spiffe://shop.test/on/node-1");
}

#[test]
fn no_fact_makes_an_identity_of_a_node_or_of_a_server() {
    let world = Deployment::new();
    let (_, node) = world.join("node-1");
    let any = entry("any", "spiffe://shop.test/{unix.user}/{unix.group}", &[]);
    world.put(any).unwrap();
    let facts = ["unix:user:avouch", "unix:group:server"];
    let reason = issued(&world, &node, "any", &facts).unwrap_err();
    assert_eq!(reason.code(), "issue.id_reserved");
    let fixed = entry("fixed", "spiffe://shop.test/avouch/{unix.user}", &[]);
    assert_eq!(world.put(fixed).unwrap_err().code(), "issue.id_reserved");
}

#[test]
fn names_of_certificates_have_places_too() {
    let world = Deployment::new();
    let (_, node) = world.join("node-1");
    let named = EntryDraft {
        dns_names: vec!["{k8s.sa}.{k8s.ns}.svc.shop.test".to_owned()],
        ..entry("pods", "spiffe://shop.test/sa/{k8s.sa}", &[])
    };
    world.put(named).unwrap();
    let facts = ["k8s:ns:web", "k8s:sa:front"];
    let wanted = [Wanted {
        entry: "pods".to_owned(),
        public_key: Key::p256("workload").public_key_info(),
        facts: facts.map(str::to_owned).to_vec(),
    }];
    let issued_one = world.plane.issue_x509(&node, "shop", &wanted).unwrap();
    let svid = issued_one.into_iter().next().unwrap().unwrap();
    let name = b"front.web.svc.shop.test";
    assert!(svid.chain[0].windows(name.len()).any(|part| part == name));
    let facts = ["k8s:ns:web", "k8s:sa:Front"];
    let reason = issued(&world, &node, "pods", &facts).unwrap_err();
    assert!(reason.sentence().contains("not one label"), "{reason:?}");
}

#[test]
fn a_text_with_places_that_cannot_be_filled_is_refused_when_it_is_written() {
    let world = Deployment::new();
    for (spiffe_id, part) in [
        ("spiffe://shop.test/{k8s.namespace}", "known are"),
        (
            "spiffe://shop.test/a-{k8s.ns}",
            "neither text nor one place",
        ),
        ("spiffe://{k8s.ns}/a", "trust domain"),
    ] {
        let reason = world.put(entry("x", spiffe_id, &[])).unwrap_err();
        assert_eq!(reason.code(), "issue.object_malformed", "{spiffe_id}");
        assert!(reason.sentence().contains(part), "{}", reason.sentence());
    }
    let other = world.put(entry("x", "spiffe://top.test/{k8s.ns}", &[]));
    assert_eq!(other.unwrap_err().code(), "issue.id_outside_trust_domain");
    // A fact of the node is no condition on a workload.
    let nobody = world.put(entry("x", "spiffe://shop.test/{node.name}", &[]));
    assert_eq!(nobody.unwrap_err().code(), "issue.object_malformed");
    let name = EntryDraft {
        dns_names: vec!["*.{k8s.ns}".to_owned()],
        ..entry("x", "spiffe://shop.test/{k8s.ns}", &[])
    };
    assert_eq!(
        world.put(name).unwrap_err().code(),
        "issue.dns_name_invalid"
    );
}

fn get(world: &World, path: &str) -> Value {
    let answer = world.call(&world.operator(), "GET", path, None);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn register(world: &World, entry: &Value) {
    let path = "/v1/tenants/one/entries";
    let answer = world.send(&world.operator(), "POST", path, entry);
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[test]
fn which_identities_a_node_could_ever_get_is_shown() {
    let world = World::new();
    register(
        &world,
        &json!({"id": "a-fixed", "spiffe_id": "spiffe://one.test/web",
        "selectors": ["unix:uid:1"]}),
    );
    register(
        &world,
        &json!({"id": "b-pods", "selectors": ["k8s:ns:pay"],
        "spiffe_id": "spiffe://one.test/ns/{k8s.ns}/sa/{k8s.sa}"}),
    );
    register(
        &world,
        &json!({"id": "c-other", "selectors": ["unix:uid:1"],
        "parent": "spiffe://one.test/avouch/node/other", "spiffe_id": "spiffe://one.test/other"}),
    );
    register(
        &world,
        &json!({"id": "d-node", "spiffe_id":
        "spiffe://one.test/on/{node.name}/{unix.user}"}),
    );
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let token = world.plane.new_join_token(&one, "n1", 600).unwrap();
    let request = crate::world::signing_request(&Key::p256("n1"));
    world.plane.join(&token.token, &request).unwrap();

    let bounds = |asked: &str| {
        let answer = get(&world, &format!("/v1/tenants/one/bounds{asked}"));
        let bounds = answer["bounds"].as_array().unwrap().clone();
        let ids = bounds
            .iter()
            .map(|one| one["ids"].as_str().unwrap().to_owned());
        ids.collect::<Vec<String>>()
    };
    let node = "?node=spiffe://one.test/avouch/node/n1";
    assert_eq!(
        bounds(node),
        [
            "spiffe://one.test/web",
            "spiffe://one.test/ns/pay/sa/*",
            "spiffe://one.test/on/n1/*",
        ]
    );
    assert_eq!(bounds("").last().unwrap(), "spiffe://one.test/on/*/*");
    let could = |id: &str| bounds(&format!("{node}&could={id}")).len();
    assert_eq!(could("spiffe://one.test/ns/pay/sa/x"), 1);
    assert_eq!(could("spiffe://one.test/ns/other/sa/x"), 0);
    assert_eq!(could("spiffe://one.test/on/n2/root"), 0);
    assert_eq!(could("spiffe://one.test/other"), 0);
    let page = get(&world, "/v1/tenants/one/bounds?limit=2");
    assert_eq!(page["next"], "b-pods");
    assert_eq!(bounds("?limit=2&after=b-pods").len(), 2);
    let open = get(&world, "/v1/tenants/one/bounds?after=a-fixed&limit=1");
    assert_eq!(open["bounds"][0]["open"], json!(["k8s.sa"]));
}

#[test]
fn why_not_shows_an_entry_whose_only_fact_does_not_fit() {
    let world = World::new();
    register(
        &world,
        &json!({"id": "users", "spiffe_id": "spiffe://one.test/user/{unix.user}"}),
    );
    let ask = |selectors: &[&str]| {
        let body = json!({"selectors": selectors});
        let answer = world.send(&world.operator(), "POST", "/v1/tenants/one/why-not", &body);
        serde_json::from_str::<Value>(&answer.body).unwrap()["nearly"].clone()
    };
    let nearly = ask(&["unix:user:Ann Other"]);
    assert_eq!(nearly[0]["entry"], "users", "{nearly}");
    let unfilled = nearly[0]["unfilled"][0].as_str().unwrap();
    assert!(unfilled.starts_with("unix.user"), "{unfilled}");
    let several = ask(&["unix:user:ann", "unix:user:bob"]);
    assert_eq!(
        several[0]["unfilled"],
        json!(["unix.user has several values"])
    );
    // Nothing of it was attested.
    assert_eq!(ask(&["unix:uid:1"]), json!([]));
}

#[test]
fn why_not_says_which_place_stays_open() {
    let world = World::new();
    register(
        &world,
        &json!({"id": "pods", "selectors": ["k8s:ns:pay"],
        "spiffe_id": "spiffe://one.test/ns/{k8s.ns}/sa/{k8s.sa}"}),
    );
    let ask = |selectors: &[&str]| {
        let body = json!({"selectors": selectors});
        let answer = world.send(&world.operator(), "POST", "/v1/tenants/one/why-not", &body);
        serde_json::from_str::<Value>(&answer.body).unwrap()
    };
    let nearly = ask(&["k8s:ns:pay"]);
    assert_eq!(
        nearly["nearly"][0]["unfilled"],
        json!(["k8s.sa has no value"])
    );
    assert_eq!(
        nearly["nearly"][0]["spiffe_id"],
        "spiffe://one.test/ns/pay/sa/{k8s.sa}"
    );
    let matching = ask(&["k8s:ns:pay", "k8s:sa:api"]);
    assert_eq!(
        matching["matching"][0]["spiffe_id"],
        "spiffe://one.test/ns/pay/sa/api"
    );
}
