//! Chains of OpenID Federation that the server fetches itself.

use std::net::TcpListener;

use avouch_testkit::chain::key;
use avouch_testkit::federation::{CONFIGURATION, Federation};
use avouch_testkit::https::{response, root};
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::token::{jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::json;

use crate::registry::{AUDIENCE, Registry};

fn trusting(registry: &Registry, federation: &Federation, hosts: &[&str]) {
    let anchor = federation.anchor(hosts);
    let put = registry.call("PUT", "/v1/tenants/one/anchors/edu", Some(&anchor));
    assert!(put.is_put(), "{}", put.body);
}

fn decided(registry: &Registry, federation: &Federation) -> String {
    registry.decide(&federation.token(registry.now(), AUDIENCE))
}

const BROKEN: &str = "federation.chain_broken";

#[test]
fn a_chain_is_fetched_up_to_the_anchor_and_kept() {
    let registry = Registry::new();
    let federation = Federation::start(registry.now());
    trusting(&registry, &federation, &[&federation.authority()]);
    let verdict = registry.verdict("one", &federation.token(registry.now(), AUDIENCE));
    assert_eq!(verdict["verdict"], "accept", "{verdict}");
    assert_eq!(verdict["path"].as_array().unwrap().len(), 4, "{verdict}");
    assert_eq!(verdict["anchor"]["name"], "edu");
    assert_eq!(federation.requests(), 5);
    assert_eq!(decided(&registry, &federation), "accept");
    assert_eq!(federation.requests(), 5, "what was fetched is kept");
}

#[test]
fn hostile_22_only_hosts_that_the_anchor_names_are_called() {
    let registry = Registry::new();
    let federation = Federation::start(registry.now());
    for hosts in [
        vec![],
        vec!["elsewhere.test"],
        vec![".localhost"],
        vec!["localhos"],
    ] {
        if hosts.is_empty() {
            let mut anchor = federation.anchor(&["localhost"]);
            anchor.as_object_mut().unwrap().remove("fetch");
            registry.call("PUT", "/v1/tenants/one/anchors/edu", Some(&anchor));
        } else {
            trusting(&registry, &federation, &hosts);
        }
        assert_eq!(decided(&registry, &federation), BROKEN, "{hosts:?}");
        assert_eq!(federation.requests(), 0, "{hosts:?}");
    }
    trusting(&registry, &federation, &["localhost"]);
    assert_eq!(decided(&registry, &federation), "accept");
}

#[test]
fn hostile_22_neither_a_hint_nor_an_endpoint_leads_elsewhere() {
    let mut registry = Registry::new();
    let federation = Federation::start(registry.now());
    let other = IssuerServer::start();
    trusting(&registry, &federation, &[&federation.authority()]);
    let hint = json!({"authority_hints": [other.server().url("/anchor")]});
    let metadata = json!({"metadata": {"openid_provider": {}}});
    let mut both = hint.clone();
    both["metadata"] = metadata["metadata"].clone();
    federation.publish_configuration("op", Some("edu"), &both);
    assert_eq!(decided(&registry, &federation), BROKEN);
    let endpoint = other.server().url("/fetch");
    let elsewhere = json!({"metadata": {
        "federation_entity": {"federation_fetch_endpoint": endpoint},
    }});
    federation.publish_configuration("op", Some("edu"), &json!({}));
    federation.publish_configuration("edu", Some("anchor"), &elsewhere);
    registry.pass(61);
    assert_eq!(decided(&registry, &federation), BROKEN);
    assert_eq!(other.server().received().len(), 0);
    let metrics = registry.call("GET", "/metrics", None).body;
    assert!(metrics.contains("fetch.entity_elsewhere"), "{metrics}");
}

#[test]
fn hostile_56_what_is_fetched_is_believed_no_more_than_what_is_sent() {
    let mut registry = Registry::new();
    let federation = Federation::start(registry.now());
    trusting(&registry, &federation, &[&federation.authority()]);
    // Somebody in between says that the entity has another key.
    let other = jwks(&[jwk(&key("mallory"), "op")]);
    federation.publish_statement("edu", "op", &json!({ "jwks": other }));
    assert_eq!(
        decided(&registry, &federation),
        "federation.statement_signature_invalid"
    );
    let before = federation.requests();
    assert_eq!(
        decided(&registry, &federation),
        "federation.statement_signature_invalid"
    );
    assert_eq!(
        federation.requests(),
        before,
        "no good is looked up again after a while"
    );
    federation.publish_statement("edu", "op", &json!({}));
    registry.pass(61);
    assert_eq!(decided(&registry, &federation), "accept");
    // A constraint of the anchor holds for what was fetched.
    federation.publish_statement(
        "anchor",
        "edu",
        &json!({"constraints": {"max_path_length": 0}}),
    );
    registry.pass(3_601);
    assert_eq!(
        decided(&registry, &federation),
        "federation.chain_path_length"
    );
}

/// Whoever is in several federations may be refused in one and not in the next.
#[test]
fn a_chain_that_one_federation_refuses_hides_no_other() {
    let mut registry = Registry::new();
    let federation = Federation::start(registry.now());
    let hosts = federation.authority();
    trusting(&registry, &federation, &[&hosts]);
    let mut other = federation.anchor(&[&hosts]);
    other["openid_federation"] = json!({
        "entity_id": federation.entity("research"),
        "jwks": jwks(&[jwk(&key("research"), "research")]),
    });
    let put = registry.call("PUT", "/v1/tenants/one/anchors/research", Some(&other));
    assert!(put.is_put(), "{}", put.body);
    let above = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| federation.entity(name)).collect();
        json!({ "authority_hints": names })
    };
    federation.publish_configuration("research", None, &json!({}));
    federation.publish_configuration("edu", None, &above(&["anchor", "research"]));
    federation.publish_statement("research", "edu", &json!({}));
    let nothing_below = json!({"constraints": {"max_path_length": 0}});
    for (refusing, believed) in [("anchor", "research"), ("research", "edu")] {
        let other = ["anchor", "research"]
            .into_iter()
            .find(|name| *name != refusing);
        federation.publish_statement(refusing, "edu", &nothing_below);
        federation.publish_statement(other.unwrap(), "edu", &json!({}));
        registry.pass(3_601);
        for _ in 0..2 {
            let verdict = registry.verdict("one", &federation.token(registry.now(), AUDIENCE));
            assert_eq!(verdict["verdict"], "accept", "{verdict}");
            assert_eq!(verdict["anchor"]["name"], believed, "{verdict}");
        }
    }
    federation.publish_statement("anchor", "edu", &nothing_below);
    registry.pass(3_601);
    let refused = decided(&registry, &federation);
    assert_eq!(refused, "federation.chain_path_length");
    // What is no good is not looked up again at once.
    let before = federation.requests();
    assert_eq!(decided(&registry, &federation), refused);
    assert_eq!(federation.requests(), before);
}

/// Has one federation not answer any more, of which an entity is that is in another, too.
fn beside_one_that_hangs(registry: &Registry, federation: &Federation) -> TcpListener {
    // It takes calls and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("localhost:{}", silent.local_addr().unwrap().port());
    let mut anchor = federation.anchor(&[&federation.authority(), &host]);
    let entity = format!("https://{host}/anchor");
    anchor["openid_federation"]["entity_id"] = json!(entity);
    // Before `edu`, the one that answers.
    let put = registry.call("PUT", "/v1/tenants/one/anchors/away", Some(&anchor));
    assert!(put.is_put(), "{}", put.body);
    let hints = json!({"authority_hints": [entity, federation.entity("anchor")]});
    federation.publish_configuration("edu", None, &hints);
    silent
}

#[test]
fn hostile_56_a_federation_that_hangs_hides_no_other() {
    let mut registry = Registry::new();
    let federation = Federation::start(registry.now());
    trusting(&registry, &federation, &[&federation.authority()]);
    let _silent = beside_one_that_hangs(&registry, &federation);
    // The first is waited for, for as long as a decision waits; the next is begun all the same.
    let first = decided(&registry, &federation);
    assert!(["accept", BROKEN].contains(&first.as_str()), "{first}");
    assert_eq!(decided(&registry, &federation), "accept");
    registry.pass(61);
    let before = federation.requests();
    assert_eq!(decided(&registry, &federation), "accept");
    assert_eq!(
        federation.requests(),
        before,
        "a chain that is known is used first"
    );
}

#[test]
fn a_federation_that_has_gone_away_is_not_waited_for_where_another_chain_is_known() {
    let mut registry = Registry::new();
    let federation = Federation::start(registry.now());
    trusting(&registry, &federation, &[&federation.authority()]);
    assert_eq!(decided(&registry, &federation), "accept");
    let silent = beside_one_that_hangs(&registry, &federation);
    silent.set_nonblocking(true).unwrap();
    for _ in 0..3 {
        assert_eq!(decided(&registry, &federation), "accept");
        registry.pass(61);
    }
    assert!(silent.accept().is_err(), "nobody called it");
}

/// What one may not call says nothing of what another may.
#[test]
fn two_anchors_of_one_federation_have_each_their_own_chains() {
    let registry = Registry::new();
    let federation = Federation::start(registry.now());
    // Every server of issuers here is under one root: this is another.
    let others = pem("CERTIFICATE", &root("Others").certificate);
    let mut without = federation.anchor(&[&federation.authority()]);
    assert_ne!(without["fetch"]["ca"], json!(others));
    without["fetch"]["ca"] = json!(others);
    // The first in turn trusts no certificate of the federation.
    for (name, anchor) in [
        ("a", without),
        ("b", federation.anchor(&[&federation.authority()])),
    ] {
        let path = format!("/v1/tenants/one/anchors/{name}");
        let put = registry.call("PUT", &path, Some(&anchor));
        assert!(put.is_put(), "{}", put.body);
    }
    assert_eq!(decided(&registry, &federation), "accept");
}

#[test]
fn hostile_56_entities_that_point_at_each_other_or_at_many_cost_a_bounded_number_of_fetches() {
    let registry = Registry::new();
    let federation = Federation::start(registry.now());
    trusting(&registry, &federation, &[&federation.authority()]);
    // Each names the other and forty more, none of which is there.
    let many: Vec<String> = (0..40)
        .map(|n| federation.entity(&format!("e{n}")))
        .collect();
    let hints = |first: &str| {
        let mut hints = vec![federation.entity(first)];
        hints.extend(many.iter().cloned());
        json!({ "authority_hints": hints })
    };
    federation.publish_configuration("op", None, &hints("edu"));
    federation.publish_configuration("edu", None, &hints("op"));
    assert_eq!(decided(&registry, &federation), BROKEN);
    assert!(federation.requests() <= 17, "{}", federation.requests());
    let before = federation.requests();
    assert_eq!(decided(&registry, &federation), BROKEN);
    assert_eq!(federation.requests(), before);
}

#[test]
fn a_federation_that_is_away_stops_only_what_is_not_kept() {
    let mut registry = Registry::new();
    let federation = Federation::start(registry.now());
    trusting(&registry, &federation, &[&federation.authority()]);
    assert_eq!(decided(&registry, &federation), "accept");
    for name in ["anchor", "edu", "op"] {
        let page = response(503, &[], b"not now");
        federation
            .server()
            .page(&format!("/{name}{CONFIGURATION}"), page);
    }
    assert_eq!(decided(&registry, &federation), "accept");
    registry.pass(3_601);
    assert_eq!(decided(&registry, &federation), BROKEN);
}
