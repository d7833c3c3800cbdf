//! What administrators do with a tenant.

use avouch_core::id::Digest;
use avouch_server::Refused;
use avouch_testkit::extension::subject_alternative_names;
use avouch_testkit::key::Key;
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::token::{jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::world::{World, signing_request};

#[test]
fn a_tenant_is_added_with_its_trust_domain_and_serves_at_once() {
    let world = World::new();
    let token = world.operator();
    let new = json!({"name": "three", "trust_domain": "three.test"});
    let made = world.send(&token, "POST", "/v1/tenants", &new);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["trust_domains"], json!(["three.test"]));
    assert_eq!(made.json()["parent"], "top");
    assert_eq!(world.get("/t/three/bundle").status, 200);
    let again = world.send(&token, "POST", "/v1/tenants", &new);
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "issue.conflict")
    );
    // A trust domain that is taken leaves no tenant behind.
    let taken = json!({"name": "four", "trust_domain": "three.test"});
    assert_eq!(
        world.send(&token, "POST", "/v1/tenants", &taken).status,
        409
    );
    assert_eq!(
        world.call(&token, "GET", "/v1/tenants/four", None).status,
        404
    );
}

#[test]
fn what_is_sent_is_read_strictly_and_refused_by_name() {
    let world = World::new();
    let token = world.operator();
    let entries = "/v1/tenants/one/entries";
    for (body, detail) in [
        (
            r#"{"spiffe_id": "spiffe://one.test/a", "selector": []}"#,
            "`selector` is not a member",
        ),
        (
            r#"{"spiffe_id": "a", "spiffe_id": "b"}"#,
            "the member `spiffe_id` stands twice",
        ),
        (
            r#"{"spiffe_id": 7}"#,
            "`spiffe_id` must be a string, not a number",
        ),
        (r#"{}"#, "`spiffe_id` is missing"),
        (r#"["secret"]"#, "it is not a JSON object"),
        ("", "it is not a JSON object"),
    ] {
        let refused = world.call(&token, "POST", entries, Some(body));
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "issue.body_malformed")
        );
        let told = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
    let refused = world.call(&token, "GET", "/v1/tenants/one/entries?page=1", None);
    assert_eq!(refused.code(), "issue.body_malformed");
    let long = " ".repeat((1 << 20) + 1);
    let refused = world.call(&token, "POST", "/v1/tenants", Some(&long));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "limit.input_size")
    );
}

#[test]
fn a_batch_is_answered_one_by_one_and_read_page_by_page() {
    let world = World::new();
    let token = world.operator();
    let entries = "/v1/tenants/one/entries";
    let entry =
        |name: &str, id: &str| json!({"id": name, "spiffe_id": id, "selectors": ["unix:uid:1"]});
    let batch = json!({"entries": [
        entry("a", "spiffe://one.test/a"),
        entry("b", "spiffe://two.test/b"),
        entry("a", "spiffe://one.test/c"),
        {"id": "d"},
        entry("e", "spiffe://one.test/e"),
    ]});
    let answers = world.send(&token, "POST", entries, &batch).json();
    let codes: Vec<Value> = answers["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| match &answer["problem"] {
            Value::Null => answer["entry"]["id"].clone(),
            problem => problem["code"].clone(),
        })
        .collect();
    assert_eq!(
        codes,
        [
            "a",
            "issue.id_outside_trust_domain",
            "issue.conflict",
            "issue.body_malformed",
            "e"
        ]
    );
    let first = world
        .call(&token, "GET", &format!("{entries}?limit=1"), None)
        .json();
    assert_eq!(
        (&first["entries"][0]["id"], &first["next"]),
        (&json!("a"), &json!("a"))
    );
    let path = format!("{entries}?limit=1&after=a");
    let second = world.call(&token, "GET", &path, None).json();
    assert_eq!(
        (&second["entries"][0]["id"], &second["next"]),
        (&json!("e"), &Value::Null)
    );
    let gone = json!({"entries": ["a", "nothing"]});
    let gone = world
        .send(&token, "POST", "/v1/tenants/one/remove-entries", &gone)
        .json();
    assert_eq!(gone["answers"][0], json!({"removed": "a"}));
    assert_eq!(
        gone["answers"][1]["problem"]["code"],
        "issue.object_unknown"
    );
}

#[test]
fn keys_are_replaced_and_what_was_tainted_is_revoked() {
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/one/authorities";
    let state = |list: &Value, id: &str| {
        let all = list["authorities"].as_array().unwrap();
        let one = all.iter().find(|one| one["id"] == id).unwrap();
        one["state"].as_str().unwrap().to_owned()
    };
    let before = world.call(&token, "GET", path, None).json();
    let jwt = before["authorities"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["kind"] == "jwt")
        .unwrap();
    assert_eq!(jwt["state"], "active");
    assert!(jwt["published"].is_u64(), "{jwt}");
    let id = jwt["id"].as_str().unwrap();
    let early = world.call(&token, "POST", &format!("{path}/{id}/revoke"), None);
    assert_eq!(
        (early.status, early.code().as_str()),
        (409, "issue.authority_state")
    );
    let replaced = "/v1/tenants/one/trust-domains/one.test/replace";
    let after = world.call(&token, "POST", replaced, None).json();
    assert_eq!(state(&after, id), "tainted");
    let active = after["authorities"].as_array().unwrap().iter();
    assert_eq!(active.filter(|one| one["state"] == "active").count(), 4);
    let keys = world.get("/t/one/keys").json()["keys"]
        .as_array()
        .unwrap()
        .len();
    let revoked = world.call(&token, "POST", &format!("{path}/{id}/revoke"), None);
    assert_eq!(state(&revoked.json(), id), "revoked");
    assert_eq!(
        world.get("/t/one/keys").json()["keys"]
            .as_array()
            .unwrap()
            .len(),
        keys - 1
    );
    let foreign = "/v1/tenants/one/trust-domains/two.test/replace";
    assert_eq!(world.call(&token, "POST", foreign, None).status, 404);
}

#[test]
fn a_node_is_let_in_with_a_token_and_banned() {
    let world = World::new();
    let token = world.operator();
    let tokens = "/v1/tenants/one/join-tokens";
    let made = world
        .send(&token, "POST", tokens, &json!({"node": "n1", "ttl": 60}))
        .json();
    let secret = made["token"].as_str().unwrap();
    world
        .plane
        .join(secret, &signing_request(&Key::p256("n1")))
        .unwrap();
    let nodes = world
        .call(&token, "GET", "/v1/tenants/one/nodes", None)
        .json();
    assert_eq!(
        nodes["nodes"][0]["spiffe_id"],
        "spiffe://one.test/avouch/node/n1"
    );
    assert_eq!(nodes["nodes"][0]["connected"], false);
    let banned = world
        .call(&token, "POST", "/v1/tenants/one/nodes/n1/ban", None)
        .json();
    assert!(banned["banned"].is_string(), "{banned}");
    let back = world
        .call(&token, "POST", "/v1/tenants/one/nodes/n1/unban", None)
        .json();
    assert!(back["banned"].is_null(), "{back}");
    let long = world.send(&token, "POST", tokens, &json!({"node": "n1", "ttl": 1}));
    assert_eq!(long.code(), "issue.ttl_out_of_bounds");
}

#[test]
fn an_anchor_is_read_before_it_is_stored_and_names_no_other_owner() {
    let world = World::new();
    let token = world.operator();
    let bundle = world.get("/t/two/bundle").json();
    let path = "/v1/tenants/one/anchors/partner";
    let anchor = json!({"trust_domain": "two.test", "bundle": bundle, "reason": "a partner"});
    let stored = world.send(&token, "PUT", path, &anchor);
    assert!(stored.is_put(), "{}", stored.body);
    assert_eq!(stored.json()["anchor"], anchor);
    let mut foreign = anchor.clone();
    foreign["tenant"] = json!("two");
    let refused = world.send(&token, "PUT", path, &foreign);
    assert_eq!(refused.code(), "issue.body_malformed");
    // What is wrong is named, and no trust document, of which there is none.
    let with = |member: &str, value: Value| {
        let mut changed = anchor.clone();
        changed[member] = value;
        changed
    };
    for (wrong, said) in [
        (
            with("resaon", json!("x")),
            "`anchor.resaon` is not a member",
        ),
        (
            with("expires", json!(7)),
            "`anchor.expires` must be a string",
        ),
        (json!({"x509": 7}), "`anchor.x509` must be a string"),
        (json!({"owner": "x"}), "`anchor` says nothing to trust"),
        (
            json!({"issuer": "https://a.test", "audience": "x"}),
            "`anchor` has no member `audience`",
        ),
    ] {
        let refused = world.send(&token, "PUT", path, &wrong);
        assert_eq!(
            (refused.status, refused.code()),
            (400, "issue.body_malformed".to_owned())
        );
        assert!(
            refused.body.contains("The anchor that was sent"),
            "{}",
            refused.body
        );
        assert!(refused.body.contains(said), "{said}: {}", refused.body);
    }
    let own = json!({"trust_domain": "one.test", "bundle": bundle});
    assert_eq!(
        world.send(&token, "PUT", path, &own).code(),
        "issue.conflict"
    );
    assert_eq!(
        world
            .send(&token, "PUT", path, &json!({"x509": "no"}))
            .status,
        400
    );
    let all = world
        .call(&token, "GET", "/v1/tenants/one/anchors", None)
        .json();
    assert_eq!(all["anchors"].as_array().unwrap().len(), 1);
    assert_eq!(world.call(&token, "DELETE", path, None).status, 204);
}

#[test]
fn why_a_workload_gets_nothing_is_told_by_what_is_missing() {
    let world = World::new();
    let token = world.operator();
    let entry = json!({
        "id": "web", "spiffe_id": "spiffe://one.test/web",
        "selectors": ["unix:uid:1", "unix:path:/web"],
    });
    world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
    let path = "/v1/tenants/one/why-not";
    let asked = json!({"selectors": ["unix:uid:1", "unix:gid:1"]});
    let told = world.send(&token, "POST", path, &asked).json();
    assert_eq!(told["matching"], json!([]));
    assert_eq!(told["nearly"][0]["missing"], json!(["unix:path:/web"]));
    let another_user = json!({"selectors": ["unix:uid:2"]});
    let told = world.send(&token, "POST", path, &another_user).json();
    let missing = &told["nearly"][0]["missing"];
    assert_eq!(missing, &json!(["unix:uid:1", "unix:path:/web"]));
    let of_no_kind = json!({"selectors": ["k8s:pod-uid:x"]});
    let told = world.send(&token, "POST", path, &of_no_kind).json();
    assert_eq!(told["nearly"], json!([]));
    let asked = json!({"selectors": ["unix:uid:1", "unix:path:/web"]});
    let told = world.send(&token, "POST", path, &asked).json();
    assert_eq!(told["matching"][0]["entry"], "web");
}

/// Whose an API key is and until when, the tenant says, and not the key.
#[test]
fn whose_a_listed_key_is_a_stranger_is_not_told() {
    let world = World::new();
    let token = world.operator();
    let secret = "a key of many random characters";
    let anchor = json!({
        "api_key": {"sha256": Digest::of(secret.as_bytes()).to_string(), "subject": "old-system"},
        "owner": "o", "reason": "r",
    });
    let put = world.send(&token, "PUT", "/v1/tenants/one/anchors/old", &anchor);
    assert!(put.is_put(), "{}", put.body);
    let question = json!({"credential": {"api_key": secret}});
    let whole = world
        .send(&token, "POST", "/t/one/decide", &question)
        .json();
    assert_eq!(whole["identity"]["name"], "old-system", "{whole}");
    let stranger = crate::http::request("POST", "/t/one/decide", &[], Some(&question.to_string()));
    let told = crate::http::send(world.address, &stranger).json();
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(members, ["decision", "id", "reason", "verdict"]);
    assert_eq!(told["verdict"], "accept");
}

#[test]
fn a_signing_request_is_answered_with_a_chain_that_the_tenant_believes() {
    let world = World::new();
    let token = world.operator();
    let entry = json!({"spiffe_id": "spiffe://one.test/web", "selectors": ["unix:uid:1"]});
    world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
    let request = pem("CERTIFICATE REQUEST", &signing_request(&Key::p256("web")));
    let body = json!({"signing_request": request, "spiffe_id": "spiffe://one.test/web"});
    let path = "/v1/tenants/one/certificates";
    let issued = world.send(&token, "POST", path, &body);
    assert_eq!(issued.status, 200, "{}", issued.body);
    let chain = issued.json()["certificates"].as_str().unwrap().to_owned();
    let question = json!({
        "id": "q", "profile": "spiffe", "expect": {"spiffe": "one.test"},
        "credential": {"x509": {"chain": [chain]}},
    });
    let whole = world
        .send(&token, "POST", "/t/one/decide", &question)
        .json();
    assert_eq!(whole["verdict"], "accept", "{whole}");
    assert_eq!(whole["identity"]["name"], "spiffe://one.test/web");
    assert_eq!(whole["identity"]["tenant"], "one");
    // Whoever presents it is told whose it is, and not by what it is believed.
    let stranger = crate::http::request("POST", "/t/one/decide", &[], Some(&question.to_string()));
    let told = crate::http::send(world.address, &stranger).json();
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    let known = [
        "decision",
        "id",
        "identity",
        "reason",
        "valid_until",
        "verdict",
    ];
    assert_eq!(members, known);
    let identity = json!({"name": "spiffe://one.test/web", "kind": "spiffe", "tenant": "one"});
    assert_eq!(
        (&told["identity"], &told["valid_until"]),
        (&identity, &whole["valid_until"])
    );
    // Another tenant does not believe it, and a stranger is not told why.
    let stranger = crate::http::request("POST", "/t/two/decide", &[], Some(&question.to_string()));
    let told = crate::http::send(world.address, &stranger).json();
    assert_eq!(
        (&told["id"], &told["verdict"]),
        (&json!("q"), &json!("reject"))
    );
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(members, ["decision", "id", "reason", "verdict"]);
    assert!(told["reason"]["code"].is_string());
    assert!(!told.to_string().contains("one.test"), "{told}");
    let unknown = json!({"signing_request": request, "spiffe_id": "spiffe://one.test/none"});
    assert_eq!(
        world.send(&token, "POST", path, &unknown).code(),
        "issue.object_unknown"
    );
}

#[test]
fn a_signing_request_by_hand_may_ask_for_the_names_of_its_entry_and_no_others() {
    let world = World::new();
    let operator = world.operator();
    let entry = json!({
        "spiffe_id": "spiffe://one.test/web",
        "selectors": ["unix:uid:1"],
        "dns_names": ["web.test"],
    });
    world.send(&operator, "POST", "/v1/tenants/one/entries", &entry);
    let asked = |name: &str| {
        let names = subject_alternative_names(&[GeneralName::dns(name)]);
        let request = Key::p256("web").signing_request_for(&Name::common_name("web"), &[names]);
        let body = json!({
            "signing_request": pem("CERTIFICATE REQUEST", &request),
            "spiffe_id": "spiffe://one.test/web",
        });
        world.send(&operator, "POST", "/v1/tenants/one/certificates", &body)
    };
    assert_eq!(asked("web.test").status, 200);
    let refused = asked("other.test");
    assert_eq!(
        (refused.status, refused.code()),
        (400, "issue.request_refused".into())
    );
    assert!(refused.body.contains("other.test"), "{}", refused.body);
    // A node has the name that its token gives, and no token is used up by asking for another.
    let node = operator_join(&world, &[GeneralName::uri("spiffe://one.test/web")]);
    assert_eq!(node, Some("issue.request_refused".to_owned()));
    assert_eq!(operator_join(&world, &[]), None);
}

/// Has a node join with one and the same token; says the code if it may not.
fn operator_join(world: &World, names: &[GeneralName]) -> Option<String> {
    static TOKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let token = TOKEN.get_or_init(|| {
        let made = world.plane.new_join_token(&tenant, "node-7", 600).unwrap();
        made.token.to_string()
    });
    let asked = (!names.is_empty()).then(|| subject_alternative_names(names));
    let request = Key::p256("node-7").signing_request_for(&Name::empty(), asked.as_slice());
    match world.plane.join(token, &request) {
        Ok(_) => None,
        Err(Refused::Reason(reason)) => Some(reason.code().to_owned()),
        Err(fault) => panic!("{fault:?}"),
    }
}

#[test]
fn what_a_question_brings_to_be_trusted_counts_only_for_who_may_see_the_anchors() {
    let world = World::new();
    let token = world.operator();
    let entry = json!({"spiffe_id": "spiffe://two.test/web", "selectors": ["unix:uid:1"]});
    world.send(&token, "POST", "/v1/tenants/two/entries", &entry);
    let request = pem("CERTIFICATE REQUEST", &signing_request(&Key::p256("web")));
    let body = json!({"signing_request": request, "spiffe_id": "spiffe://two.test/web"});
    let issued = world
        .send(&token, "POST", "/v1/tenants/two/certificates", &body)
        .json();
    let bundle = world.get("/t/two/bundle").json();
    let question = json!({
        "expect": {"spiffe": "two.test"},
        "credential": {"x509": {"chain": [issued["certificates"]]}},
        "trust": {"anchors": [{"trust_domain": "two.test", "bundle": bundle}]},
    });
    let told = world
        .send(&token, "POST", "/t/one/decide", &question)
        .json();
    assert_eq!(told["verdict"], "accept", "{told}");
    let text = question.to_string();
    let stranger = crate::http::request("POST", "/t/one/decide", &[], Some(&text));
    let told = crate::http::send(world.address, &stranger).json();
    assert_eq!(told["verdict"], "reject", "{told}");
    // Nobody makes an identity of another tenant by saying so.
    let mut forged = question;
    forged["trust"]["anchors"][0]["tenant"] = json!("two");
    let told = world.send(&token, "POST", "/t/one/decide", &forged).json();
    assert_eq!(
        told["reason"]["code"], "input.trust_document_malformed",
        "{told}"
    );
}

#[test]
fn an_entry_for_a_node_that_could_never_serve_it_is_refused() {
    let world = World::new();
    let token = world.operator();
    let with_parent = |parent: &str| {
        let entry = json!({
            "id": "web", "spiffe_id": "spiffe://one.test/web",
            "selectors": ["unix:uid:1"], "parent": parent,
        });
        world.send(&token, "POST", "/v1/tenants/one/entries", &entry)
    };
    // A foreign tenant's, one that there is not, and names that no node has: all the same.
    for parent in [
        "spiffe://two.test/avouch/node/a",
        "spiffe://nowhere.test/avouch/node/a",
        "spiffe://one.test/node/a",
        "spiffe://one.test/avouch/nodes/a",
        "spiffe://one.test/avouch/node/a/b",
        "spiffe://one.test",
    ] {
        let refused = with_parent(parent);
        assert_eq!(refused.code(), "issue.object_malformed", "{parent}");
        assert!(refused.body.contains("parent"), "{}", refused.body);
    }
    // Its own, and those of the tenants above it.
    for parent in [
        "spiffe://one.test/avouch/node/a",
        "spiffe://top.test/avouch/node/a",
    ] {
        let made = with_parent(parent);
        assert!(
            made.status < 300 || made.code() == "issue.conflict",
            "{}",
            made.body
        );
    }
}

#[test]
fn why_not_says_on_which_nodes_an_entry_matches_if_none_is_named() {
    let world = World::new();
    let token = world.operator();
    let node = "spiffe://one.test/avouch/node/a";
    for entry in [
        json!({"id": "here", "spiffe_id": "spiffe://one.test/here", "selectors": ["unix:uid:1"], "parent": node}),
        json!({"id": "some", "spiffe_id": "spiffe://one.test/some", "selectors": ["unix:uid:1"], "node_selectors": ["x509pop:dns:a.test"]}),
    ] {
        let made = world.send(&token, "POST", "/v1/tenants/one/entries", &entry);
        assert!(made.status < 300, "{}", made.body);
    }
    let ask = |asked: &Value| {
        let told = world.send(&token, "POST", "/v1/tenants/one/why-not", asked);
        told.json()
    };
    let none = json!({"selectors": ["unix:uid:1"], "node": "spiffe://one.test/avouch/node/none"});
    assert_eq!(ask(&none)["node_unknown"], true);
    let told = ask(&json!({"selectors": ["unix:uid:1"]}));
    assert!(told.get("node_unknown").is_none(), "{told}");
    assert_eq!(
        (&told["matching"], &told["nearly"]),
        (&json!([]), &json!([]))
    );
    let depending = &told["depends_on_node"];
    assert_eq!(depending[0]["for_node"], node, "{told}");
    assert_eq!(
        depending[1]["node_missing"],
        json!(["x509pop:dns:a.test"]),
        "{told}"
    );
    let told = ask(&json!({"selectors": ["unix:uid:1"], "node": node}));
    assert_eq!(told["matching"][0]["entry"], "here", "{told}");
    assert_eq!(told["nearly"][0]["entry"], "some", "{told}");
    assert_eq!(told["depends_on_node"], json!([]));
}

#[test]
fn whatever_has_a_name_is_read_by_it_as_it_is_listed() {
    for (method, path) in avouch_server::http::addresses() {
        // What is passed on to others, and what is asked for once.
        let is_one = path.starts_with("/v1/") && path.ends_with('}');
        if is_one && method != "GET" {
            let mut all = avouch_server::http::addresses();
            assert!(all.any(|other| other == ("GET", path)), "{method} {path}");
        }
    }
    let world = World::new();
    let token = world.operator();
    let put = |path: &str, document: &Value| {
        let path = format!("/v1/tenants/one/{path}");
        let done = world.send(&token, "PUT", &path, document);
        assert!(done.is_put(), "{}", done.body);
    };
    let anna = json!({"subject": "spiffe://one.test/anna", "role": "auditor"});
    put("admins/anna", &anna);
    put(
        "anchors/partner",
        &json!({"trust_domain": "partner.test", "bundle": {"keys": []}}),
    );
    let review = json!({"server": "https://127.0.0.1:1", "token": "of nobody"});
    let clusters = json!({
        "method": "k8s_psat", "cluster": "prod", "audiences": ["avouch"], "review": review,
        "service_accounts": ["spire/agent"],
    });
    put("attestors/cluster", &clusters);
    put(
        "issuers/ci",
        &json!({
            "issuer": "https://ci.test", "audiences": ["a"], "jwks": jwks(&[jwk(&Key::p256("ci"), "k")]),
            "rules": [{"name": "x", "facts": {"subject": "x"}}],
        }),
    );
    let digest = "sha1:a031c46782e6e6c662c2c87c76da9aa62ccabd8e";
    let pin = json!({"mode": "vestigial", "owner": "us", "reason": "x", "expires": "2099-01-31"});
    put(&format!("issuers/ci/pins/{digest}"), &pin);
    for (list, member, named, at) in [
        ("admins", "admins", "name", "admins"),
        ("anchors", "anchors", "name", "anchors"),
        ("attestors", "attestors", "name", "attestors"),
        ("authorities", "authorities", "id", "authorities"),
        ("pins", "pins", "pin", "issuers/ci/pins"),
        ("trust-domains", "trust_domains", "name", "trust-domains"),
    ] {
        let get = |path: &str| world.call(&token, "GET", path, None);
        let listed = get(&format!("/v1/tenants/one/{list}")).json();
        let listed = listed[member].as_array().unwrap();
        assert!(!listed.is_empty(), "{list}");
        for one in listed {
            let name = one[named].as_str().unwrap();
            let shown = get(&format!("/v1/tenants/one/{at}/{name}"));
            assert_eq!((shown.status, &shown.json()), (200, one), "{list}");
            assert!(!shown.body.contains("of nobody"), "{list}");
        }
        let none = get(&format!("/v1/tenants/one/{at}/none"));
        assert_eq!(
            (none.status, none.code().as_str()),
            (404, "issue.object_unknown"),
            "{list}"
        );
    }
}

#[test]
fn an_entry_is_put_in_the_place_of_what_was_read_and_of_nothing_that_came_after() {
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/one/entries/web";
    let entry = |owner: &str| json!({"spiffe_id": "spiffe://one.test/web", "selectors": ["unix:uid:1"], "owner": owner});
    let bearer = format!("Bearer {token}");
    let put = |owner: &str, condition: (&str, &str)| {
        let body = entry(owner).to_string();
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            condition,
        ];
        crate::http::send(
            world.address,
            &crate::http::request("PUT", path, &headers, Some(&body)),
        )
    };
    let refused = |answer: &Answer| {
        assert_eq!(answer.status, 412, "{}", answer.body);
        assert_eq!(answer.code(), "issue.precondition_failed");
    };
    // Nothing is there, so nothing matches, and something new may come.
    refused(&put("a", ("if-match", "*")));
    assert_eq!(put("a", ("if-none-match", "*")).status, 201);
    refused(&put("b", ("if-none-match", "*")));

    let read = world.call(&token, "GET", path, None);
    let tag = read.header("etag").unwrap().to_owned();
    refused(&put("b", ("if-match", "\"nonsense\"")));
    let put_b = put("b", ("if-match", &tag));
    assert_eq!(put_b.status, 200, "{}", put_b.body);
    assert_ne!(put_b.header("etag"), Some(tag.as_str()));
    // Who read before that does not know of it.
    refused(&put("c", ("if-match", &tag)));
    let several = format!("\"x\", {}", put_b.header("etag").unwrap());
    assert_eq!(put("c", ("if-match", &several)).status, 200);
    assert_eq!(world.call(&token, "GET", path, None).json()["owner"], "c");
}

/// What is missing of their own question is no secret of the tenant.
#[test]
fn a_stranger_is_told_that_the_question_says_not_for_whom() {
    let world = World::new();
    let svid = world.token("spiffe://one.test/web");
    let ask = |audience: Option<String>| {
        let mut question = json!({"credential": {"jwt": svid}});
        if let Some(audience) = audience {
            question["audience"] = audience.into();
        }
        let text = question.to_string();
        let stranger = crate::http::request("POST", "/t/one/decide", &[], Some(&text));
        crate::http::send(world.address, &stranger).json()
    };
    let told = ask(None);
    assert_eq!(told["verdict"], "undetermined", "{told}");
    assert_eq!(told["needs"][0]["kind"], "audience", "{told}");
    let sentence = told["needs"][0]["sentence"].as_str().unwrap();
    assert!(sentence.contains("`audience`"), "{sentence}");
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(members, ["decision", "id", "needs", "reason", "verdict"]);
    let told = ask(Some(world.plane.server_id().to_string()));
    assert_eq!(told["verdict"], "accept", "{told}");
    assert_eq!(told.get("needs"), None, "{told}");
}
