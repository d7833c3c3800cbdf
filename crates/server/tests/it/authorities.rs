//! Authorities as their managers meet them.

use serde_json::{Value, json};

use crate::world::World;

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
    assert!(told.contains("would end 1 certificates"), "{told}");
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
