//! Authorities as their managers meet them.

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_server::Settings;
use avouch_server::access::Role;
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::{Wanted, WantedToken};
use avouch_server::nodes::Admitted;
use avouch_testkit::key::Key;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::superiors::{Root, brought, brought_for};
use crate::world::{World, signing_request};

/// The authority of the root tenant that signs certificates.
fn intermediate(world: &World, token: &str) -> String {
    let list = world
        .call(token, "GET", "/v1/tenants/top/authorities", None)
        .json();
    let all = list["authorities"].as_array().unwrap();
    let signing = |one: &&Value| one["role"] == "intermediate" && one["state"] == "active";
    all.iter().find(signing).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_keys_of_a_tenant_are_opened_when_they_are_needed_and_not_with_the_start() {
    let world = World::new();
    let again = world.opened_again(Settings::default());
    // What is due is known from dates alone.
    again.tend_all().unwrap();
    assert_eq!(again.tenants_that_sign(), 0);
    again.operator_token().unwrap();
    assert_eq!(again.tenants_that_sign(), 1);
    let one = again.tenant_named("one").unwrap().unwrap();
    let published = again.jwks(&one).unwrap();
    assert_eq!(again.tenants_that_sign(), 2);
    assert_eq!(published, world.get("/t/one/keys").json());
    // What changes afterwards is seen, whether they were opened before or are opened later.
    let two = again.tenant_named("two").unwrap().unwrap();
    for (tenant, name) in [(&one, "one"), (&two, "two")] {
        let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
        again.replace_all(tenant, &domain, false).unwrap();
        world.plane.follow_store().unwrap();
        let here = again.jwks(tenant).unwrap();
        assert_eq!(here, world.get(&format!("/t/{name}/keys")).json());
    }
}

#[test]
fn an_authority_whose_certificates_nothing_has_replaced_is_revoked_only_anyway() {
    let world = World::new();
    let token = world.operator();
    let id = intermediate(&world, &token);
    let step = |step: &str, body: &Value| {
        let path = format!("/v1/tenants/top/authorities/{id}/{step}");
        world.send(&token, "POST", &path, body)
    };
    assert_eq!(step("taint", &json!({})).status, 200);
    let refused = step("revoke", &json!({}));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "issue.authority_in_use")
    );
    // The certificate of the node that has joined.
    let told = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(told.contains("would end 1 credential "), "{told}");
    let revoked = step("revoke", &json!({"anyway": true}));
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    let gone = revoked.json()["authorities"].as_array().unwrap().clone();
    let gone = gone
        .iter()
        .find(|one| one["id"] == id.as_str())
        .unwrap()
        .clone();
    assert_eq!(
        (&gone["state"], &gone["key_origin"]),
        (&json!("revoked"), &json!("destroyed"))
    );
    // Its list is not published any more; that of its root names it.
    assert_eq!(world.get(&format!("/t/top/crl/{id}")).status, 404);
    let named = revoked.json()["authorities"].as_array().unwrap().clone();
    let is_root = |one: &&Value| one["role"] == "root" && one["kind"] == "x509";
    let root = named.iter().find(is_root).unwrap();
    assert_eq!(root["revoked_certificates"], 1);
}

#[test]
fn what_is_asked_of_an_authority_is_read_strictly() {
    let world = World::new();
    let token = world.operator();
    let one = "/v1/tenants/one";
    for (path, body, code) in [
        ("revoke-certificates", json!({}), "issue.body_malformed"),
        (
            "revoke-certificates",
            json!({"serial": "ff", "spiffe_id": "spiffe://one.test/a"}),
            "issue.body_malformed",
        ),
        (
            "revoke-certificates",
            json!({"serial": "ff", "reason": "boredom"}),
            "issue.body_malformed",
        ),
        (
            "revoke-certificates",
            json!({"serial": "ff"}),
            "issue.object_unknown",
        ),
        (
            "trust-domains/one.test/authorities",
            json!({"used_for": "cats"}),
            "issue.body_malformed",
        ),
        (
            "trust-domains/one.test/authorities",
            json!({"used_for": "services"}),
            "issue.conflict",
        ),
        (
            "trust-domains/one.test/authorities",
            json!({"used_for": "people", "permit_dns": ["*"]}),
            "issue.dns_name_invalid",
        ),
        (
            "trust-domains/one.test/import",
            json!({"certificates": "x"}),
            "issue.upstream_key",
        ),
        (
            "trust-domains/one.test/import",
            json!({"certificates": "x", "private_key": "?"}),
            "issue.body_malformed",
        ),
        (
            "trust-domains/one.test/import",
            json!({"certificates": "x", "private_key": "AAAA"}),
            "issue.key_not_accepted",
        ),
        (
            "trust-domains/one.test/import",
            json!({"certificates": "x", "private_key": "AAAA", "key_address": "pkcs11:token=t;id=%01"}),
            "issue.body_malformed",
        ),
        // Keys are in no token here.
        (
            "trust-domains/one.test/import",
            json!({"certificates": "x", "key_address": "pkcs11:token=t;id=%01"}),
            "issue.key_address_refused",
        ),
        (
            "trust-domains/two.test/csr",
            json!({}),
            "issue.object_unknown",
        ),
    ] {
        let refused = world.send(&token, "POST", &format!("{one}/{path}"), &body);
        assert_eq!(refused.code(), code, "{path} {body}: {}", refused.body);
    }
}

#[test]
fn what_only_a_root_elsewhere_can_follow_is_tainted_when_its_successor_is_there_or_anyway() {
    let world = World::new();
    let token = world.operator();
    let corporate = Root::of("corporate");
    assert_eq!(brought(&world, &token, &corporate).status, 200);
    let domain = |step: &str, body: &Value| {
        let path = format!("/v1/tenants/one/trust-domains/one.test/{step}");
        world.send(&token, "POST", &path, body)
    };
    let states = || {
        let path = "/v1/tenants/one/authorities";
        world.call(&token, "GET", path, None).json()["authorities"].clone()
    };
    let first = signing(&world, "x509");
    let prepared = in_state(&states(), "prepared");
    assert_eq!(step(&world, &prepared, "activate").status, 200);
    assert_eq!(signing(&world, "x509"), prepared, "and no more {first}");

    let before = states();
    for refused in [
        step(&world, &prepared, "taint"),
        domain("replace", &json!({})),
    ] {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "issue.authority_no_successor"),
            "{}",
            refused.body
        );
    }
    assert_eq!(states(), before, "nothing is changed by what is refused");

    // With the next one there, it signs at once.
    assert_eq!(brought(&world, &token, &corporate).status, 200);
    let next = in_state(&states(), "prepared");
    let replaced = domain("replace", &json!({}));
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_eq!(signing(&world, "x509"), next);

    // In an emergency there may be no time for that.
    let tainted = domain("replace", &json!({"anyway": true}));
    assert_eq!(tainted.status, 200, "{}", tainted.body);
    let states = states();
    let left = states.as_array().unwrap().iter();
    let left = left.filter(|one| one["kind"] == "x509" && one["role"] == "intermediate");
    assert!(left.clone().count() > 0);
    assert!(left.into_iter().all(|one| one["state"] != "active"));
}

#[test]
fn an_intermediate_that_is_for_servers_alone_or_for_clients_alone_is_not_taken() {
    const SERVERS: &str = "1.3.6.1.5.5.7.3.1";
    const CLIENTS: &str = "1.3.6.1.5.5.7.3.2";
    let world = World::new();
    let token = world.operator();
    let corporate = Root::of("corporate");
    let import = |purposes: &[&str]| brought_for(&world, &token, &corporate, Some(purposes));
    for alone in [SERVERS, CLIENTS] {
        let refused = import(&[alone]);
        assert_eq!(
            refused.code(),
            "pki.extended_key_usage_not_permitted",
            "{}",
            refused.body
        );
    }
    let both = import(&[SERVERS, CLIENTS]);
    assert_eq!(both.status, 200, "{}", both.body);
}

#[test]
fn the_way_back_from_a_root_elsewhere_is_an_intermediate_below_the_own_root() {
    let world = World::new();
    let token = world.operator();
    let corporate = Root::of("corporate");
    assert_eq!(brought(&world, &token, &corporate).status, 200);
    let list = || {
        let path = "/v1/tenants/one/authorities";
        world.call(&token, "GET", path, None).json()["authorities"].clone()
    };
    let own = signing(&world, "x509");
    let elsewhere = in_state(&list(), "prepared");
    // There and back, as often as someone likes: both are believed as long as they last.
    for next in [&elsewhere, &own, &elsewhere] {
        let done = step(&world, next, "activate");
        assert!(done.is_put(), "{}", done.body);
        assert_eq!(signing(&world, "x509"), *next);
        // By its own root a trust domain has successors of its own, and asks nobody to renew any.
        let all = list();
        let mut all = all.as_array().unwrap().iter();
        let is_asked = all.any(|one| one["renew_by"].is_string());
        assert_eq!(is_asked, *next == elsewhere);
    }

    // One more is made where someone asks for it, and waits.
    let path = "/v1/tenants/one/trust-domains/one.test/prepare";
    assert_eq!(world.send(&token, "POST", path, &json!({})).status, 200);
    let new = in_state(&list(), "prepared");
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    world.plane.tend(&one).unwrap();
    assert_eq!(signing(&world, "x509"), elsewhere);
    assert_eq!(in_state(&list(), "prepared"), new);
    // It is there when nothing else signs, and is followed by itself from then on.
    let tainted = step(&world, &elsewhere, "taint");
    assert_eq!(tainted.status, 200, "{}", tainted.body);
    assert_eq!(signing(&world, "x509"), new);
    let replaced = world.send(
        &token,
        "POST",
        "/v1/tenants/one/trust-domains/one.test/replace",
        &json!({}),
    );
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_ne!(signing(&world, "x509"), new);
}

#[test]
fn where_nothing_signs_any_more_the_rest_is_not_taken_too() {
    let world = World::new();
    let token = world.operator();
    assert_eq!(brought(&world, &token, &Root::of("corporate")).status, 200);
    let list = || {
        let path = "/v1/tenants/one/authorities";
        world.call(&world.operator(), "GET", path, None).json()["authorities"].clone()
    };
    let elsewhere = in_state(&list(), "prepared");
    assert_eq!(step(&world, &elsewhere, "activate").status, 200);
    let taint = format!("/v1/tenants/one/authorities/{elsewhere}/taint");
    let tainted = world.send(&token, "POST", &taint, &json!({"anyway": true}));
    assert_eq!(tainted.status, 200, "{}", tainted.body);
    let domain = |step: &str| {
        let path = format!("/v1/tenants/one/trust-domains/one.test/{step}");
        world.send(&token, "POST", &path, &json!({}))
    };
    let replaced = domain("replace");
    assert_eq!(
        (replaced.status, replaced.code().as_str()),
        (409, "issue.authority_no_successor"),
        "{}",
        replaced.body
    );
    assert_eq!(domain("prepare").status, 200);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    world.plane.tend(&one).unwrap();
    signing(&world, "x509");
}

#[test]
fn a_clock_that_was_ahead_for_weeks_and_is_right_again_keeps_nothing_from_starting() {
    const AHEAD: i64 = 45 * 86_400;
    let mut world = World::new();
    let tenants = ["top", "one", "two"];
    let tend = |world: &World, name: &str| {
        let tenant = world.plane.tenant_named(name).unwrap().unwrap();
        world.plane.tend(&tenant)
    };
    world.pass(AHEAD);
    for name in tenants {
        tend(&world, name).unwrap();
    }
    // Without a restart, too.
    world.pass(-AHEAD);
    for name in tenants {
        tend(&world, name).unwrap();
    }
    world.pass(AHEAD);
    for name in tenants {
        tend(&world, name).unwrap();
    }
    // From here on by the clock of the machine.
    world.restart();
    for name in tenants {
        tend(&world, name).unwrap();
    }
    register(&world, &["web"]);
    signing(&world, "x509");
}

/// The intermediate of X.509 that is in this state.
fn in_state(authorities: &Value, state: &str) -> String {
    let mut all = authorities.as_array().unwrap().iter();
    let is_meant = |one: &&Value| {
        one["kind"] == "x509" && one["role"] == "intermediate" && one["state"] == state
    };
    let found = all.find(is_meant).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

#[test]
fn only_operators_of_the_deployment_name_a_key_of_the_token() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let id = "spiffe://one.test/admin";
    let subject = SpiffeId::parse(id).unwrap();
    let operator = world
        .plane
        .put_admin(&one, "admin", subject, Role::Operator);
    operator.unwrap();
    let path = "/v1/tenants/one/trust-domains/one.test/import";
    let body = json!({"certificates": "x", "key_address": "pkcs11:token=t;id=%01"});
    let refused = world.send(&world.token(id), "POST", path, &body);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "issue.not_permitted")
    );
    let own = json!({"certificates": "x"});
    let taken = world.send(&world.token(id), "POST", path, &own);
    assert_eq!(taken.code(), "issue.upstream_key");
}

#[test]
fn who_reads_a_bundle_again_and_again_shows_beside_the_authorities_it_has_read_of() {
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/one/authorities";
    let readers = |state: &str| {
        let list = world.call(&token, "GET", path, None).json();
        let all = list["authorities"].as_array().unwrap().clone();
        let root = |one: &&Value| one["role"] == "root" && one["state"] == state;
        let root = all
            .iter()
            .filter(|one| one["kind"] == "x509")
            .find(root)
            .unwrap();
        (
            root["readers_known"].clone(),
            root["readers_holding"].clone(),
            root["not_read_by"].clone(),
        )
    };
    world.get("/t/one/bundle/one.test");
    assert_eq!(readers("active"), (json!(0), json!(0), Value::Null));
    world.get("/t/one/bundle");
    assert_eq!(readers("active"), (json!(1), json!(1), Value::Null));
    let prepare = "/v1/tenants/one/trust-domains/one.test/prepare";
    let prepared = world.send(&token, "POST", prepare, &json!({}));
    assert_eq!(prepared.status, 200, "{}", prepared.body);
    let behind = json!(["127.0.0.1"]);
    assert_eq!(readers("prepared"), (json!(1), json!(0), behind));
    assert_eq!(readers("active"), (json!(1), json!(1), Value::Null));
    world.get("/t/one/bundle/one.test");
    assert_eq!(readers("prepared"), (json!(1), json!(1), Value::Null));
}

/// A node of the root tenant, which serves all tenants.
fn node(world: &World, name: &str) -> Admitted {
    let root = world.plane.root().unwrap();
    let token = world.plane.new_join_token(&root, name, 600).unwrap();
    let request = signing_request(&Key::p256(name));
    let member = world.plane.join(&token.token, &request).unwrap();
    let caller = world.plane.identify_client(member.certificates);
    world.plane.admit(&caller.unwrap()).unwrap()
}

/// The authority of the tenant `one` that signs, of this kind.
fn signing(world: &World, kind: &str) -> String {
    let path = "/v1/tenants/one/authorities";
    let list = world.call(&world.operator(), "GET", path, None).json();
    let all = list["authorities"].as_array().unwrap();
    let is_meant = |one: &&Value| {
        let signs = kind != "x509" || one["role"] == "intermediate";
        one["kind"] == kind && one["state"] == "active" && signs
    };
    let id = &all.iter().find(is_meant).unwrap()["id"];
    id.as_str().unwrap().to_owned()
}

fn step(world: &World, id: &str, step: &str) -> Answer {
    let path = format!("/v1/tenants/one/authorities/{id}/{step}");
    world.send(&world.operator(), "POST", &path, &json!({}))
}

fn register(world: &World, names: &[&str]) {
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let drafts = names.iter().map(|name| EntryDraft {
        id: Some((*name).to_owned()),
        spiffe_id: "spiffe://one.test/web".to_owned(),
        selectors: vec!["unix:uid:1".to_owned()],
        ..EntryDraft::default()
    });
    let stored = world.plane.put_entries(&one, drafts.collect()).unwrap();
    assert!(stored.iter().all(Result::is_ok));
}

fn wanted(entry: &str) -> [Wanted; 1] {
    [Wanted {
        entry: entry.to_owned(),
        public_key: Key::p256(entry).public_key_info(),
        facts: Vec::new(),
    }]
}

fn assert_in_use(refused: &Answer, told: &str) {
    assert_eq!(refused.code(), "issue.authority_in_use", "{}", refused.body);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(told), "{detail}");
}

#[test]
fn one_identity_on_two_nodes_and_of_two_entries_is_as_many_certificates() {
    let world = World::new();
    register(&world, &["web", "other"]);
    let (first, second) = (node(&world, "first"), node(&world, "second"));
    let issue = |node: &Admitted, entry: &str| {
        let issued = world.plane.issue_x509(node, "one", &wanted(entry)).unwrap();
        assert!(issued.iter().all(Result::is_ok));
    };
    let all = [(&first, "web"), (&first, "other"), (&second, "web")];
    for (node, entry) in all {
        issue(node, entry);
    }
    let id = signing(&world, "x509");
    assert_eq!(step(&world, &id, "taint").status, 200);
    // Each is replaced for itself, and none for another.
    for (left, (node, entry)) in (1..=3).rev().zip(all) {
        let told = format!("would end {left} credential");
        assert_in_use(&step(&world, &id, "revoke"), &told);
        issue(node, entry);
    }
    let revoked = step(&world, &id, "revoke");
    assert_eq!(revoked.status, 200, "{}", revoked.body);
}

#[test]
fn tokens_that_live_keep_their_authority_from_being_revoked() {
    let world = World::new();
    register(&world, &["web"]);
    let node = node(&world, "first");
    let token = || WantedToken {
        entry: "web".to_owned(),
        audiences: vec!["vault".to_owned()],
        facts: Vec::new(),
    };
    let issue = || {
        let jwt = world.plane.issue_jwts(&node, "one", vec![token()]).unwrap();
        let wit = world.plane.issue_wit(&node, "one", &wanted("web")).unwrap();
        assert!(jwt[0].is_ok() && wit[0].is_ok());
    };
    issue();
    let (jwt, wit) = (signing(&world, "jwt"), signing(&world, "wit"));
    for id in [&jwt, &wit] {
        assert_eq!(step(&world, id, "taint").status, 200);
        assert_in_use(&step(&world, id, "revoke"), "would end 1 credential ");
    }
    issue();
    // The node has another WIT-SVID now; whoever was shown the JWT-SVID may hold it until it ends.
    assert_eq!(step(&world, &wit, "revoke").status, 200);
    assert_in_use(&step(&world, &jwt, "revoke"), "would end 1 credential ");
}

#[test]
fn who_reads_the_bundle_and_has_not_read_of_a_successor_is_waited_for() {
    let world = World::new();
    let read = || assert_eq!(world.get("/t/one/bundle/one.test").status, 200);
    read();
    read();
    let prepare = "/v1/tenants/one/trust-domains/one.test/prepare";
    let prepared = world.send(&world.operator(), "POST", prepare, &json!({}));
    let list = prepared.json();
    let all = list["authorities"].as_array().unwrap().clone();
    let next = all.iter().find(|one| {
        one["state"] == "prepared" && one["kind"] == "x509" && one["role"] == "intermediate"
    });
    let next = next.unwrap()["id"].as_str().unwrap().to_owned();
    let refused = step(&world, &next, "activate");
    assert_eq!(
        refused.code(),
        "issue.authority_not_held",
        "{}",
        refused.body
    );
    assert!(refused.body.contains("1 reader "), "{}", refused.body);
    read();
    let before = signing(&world, "x509");
    assert_eq!(step(&world, &next, "activate").status, 200);
    read();
    assert_eq!(step(&world, &before, "taint").status, 200);
    assert_in_use(&step(&world, &before, "revoke"), "1 reader ");
    read();
    let revoked = step(&world, &before, "revoke");
    assert_eq!(revoked.status, 200, "{}", revoked.body);
}

#[test]
fn what_was_issued_is_found_by_its_serial_number_and_by_whose_it_is() {
    let world = World::new();
    register(&world, &["web", "other"]);
    let (first, second) = (node(&world, "first"), node(&world, "second"));
    let issue = |node: &Admitted, entry: &str| {
        let issued = world.plane.issue_x509(node, "one", &wanted(entry)).unwrap();
        issued.into_iter().next().unwrap().unwrap().serial
    };
    let serials = [
        issue(&first, "web"),
        issue(&second, "web"),
        issue(&first, "other"),
    ];
    let ask = |query: &str| {
        let path = format!("/v1/tenants/one/issued?{query}");
        world.call(&world.operator(), "GET", &path, None)
    };
    let found = |query: &str| -> Vec<String> {
        let answer = ask(query).json();
        let list = answer["issued"]
            .as_array()
            .unwrap_or_else(|| panic!("{query}: {answer}"));
        let serials = list
            .iter()
            .map(|one| one["serial"].as_str().unwrap().to_owned());
        let mut serials: Vec<String> = serials.collect();
        serials.sort();
        serials
    };
    let sorted = |which: &[usize]| {
        let mut some: Vec<String> = which.iter().map(|place| serials[*place].clone()).collect();
        some.sort();
        some
    };
    let one = ask(&format!("serial={}", serials[1].to_uppercase())).json();
    let one = &one["issued"][0];
    assert_eq!(
        (&one["entry"], &one["node"], &one["kind"]),
        (&json!("web"), &json!(second.id().as_str()), &json!("x509"))
    );
    assert_eq!(found("spiffe_id=spiffe://one.test/web"), sorted(&[0, 1, 2]));
    assert_eq!(found("entry=web"), sorted(&[0, 1]));
    assert_eq!(found(&format!("node={}", first.id())), sorted(&[0, 2]));
    assert_eq!(
        found(&format!("node={}&entry=other", first.id())),
        sorted(&[2])
    );
    assert!(found("entry=web&since=2100-01-01").is_empty());
    // In pages, each one once.
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = ask(&format!("entry=web&limit=1{after}")).json();
        let list = page["issued"].as_array().unwrap();
        all.extend(
            list.iter()
                .map(|one| one["serial"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    all.sort();
    assert_eq!(all, sorted(&[0, 1]));
}

#[test]
fn what_was_issued_is_told_to_its_tenant_alone_and_what_was_taken_back_says_so() {
    let world = World::new();
    register(&world, &["web"]);
    let first = node(&world, "first");
    let issued = world
        .plane
        .issue_x509(&first, "one", &wanted("web"))
        .unwrap();
    let serial = issued.into_iter().next().unwrap().unwrap().serial;
    let ask = |query: &str| {
        let path = format!("/v1/tenants/one/issued?{query}");
        world.call(&world.operator(), "GET", &path, None)
    };
    // Another tenant has none of it.
    let path = format!("/v1/tenants/two/issued?serial={serial}");
    let other = world.call(&world.operator(), "GET", &path, None);
    assert_eq!(other.code(), "issue.object_unknown");
    for wrong in ["since=x", "after=1", "entry=%20", "limit=0"] {
        assert_eq!(ask(wrong).code(), "issue.body_malformed", "{wrong}");
    }
    // What was taken back says so.
    let revoke = json!({ "serial": serial });
    let path = "/v1/tenants/one/revoke-certificates";
    assert_eq!(
        world.send(&world.operator(), "POST", path, &revoke).status,
        200
    );
    let one = ask(&format!("serial={serial}")).json();
    assert!(one["issued"][0]["revoked"].is_string(), "{one}");
}

#[test]
fn services_are_given_an_intermediate_that_is_bound_to_their_names() {
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/one/trust-domains/one.test/authorities";
    let bounded = json!({"used_for": "services", "constrain_ids": true});
    let added = world.send(&token, "POST", path, &bounded);
    assert_eq!(added.status, 200, "{}", added.body);
    // Once: the next is waited for.
    let again = world.send(&token, "POST", path, &bounded);
    assert_eq!(again.code(), "issue.conflict", "{}", again.body);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let prepared = one.read(|snapshot| {
        let mut records = snapshot.authorities.values();
        let prepared =
            records.find(|one| one.role.name() == "intermediate" && one.state.name() == "prepared");
        prepared.map(|record| record.certificates[0].clone())
    });
    let (ids, _) = avouch_issuer::authority::name_bounds(&prepared.unwrap());
    assert!(ids, "its certificate has a constraint on URIs");
}
