//! What a trust domain publishes, read back by the core.

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::jwk::KeySet;
use avouch_issuer::bundle::{jwks, spiffe_bundle};
use avouch_issuer::signer::SigningKind;
use serde_json::{Value, json};

use crate::world::{World, now, plan};

fn bundle(world: &World) -> Value {
    let x509 = [world.root.as_ref(), world.intermediate.as_ref()];
    let tokens = [world.jwt.as_ref(), world.wit.as_ref()];
    spiffe_bundle(x509, tokens, 7, 300, now()).unwrap()
}

#[test]
fn b_02_b_03_b_04_b_07_a_bundle_is_read_back_as_it_was_meant() {
    for kind in [SigningKind::P256, SigningKind::Ed25519, SigningKind::Rsa] {
        let world = World::planned(&plan(), kind, now());
        let read = Bundle::read("demo.avouch.test", &bundle(&world)).unwrap();
        assert_eq!((read.sequence(), read.refresh_hint()), (Some(7), Some(300)));
        assert_eq!(read.x509_authorities.len(), 1);
        assert_eq!(
            read.x509_authorities[0].der(),
            world.root.certificate().der()
        );
        assert_eq!(read.jwt_authorities().names(), [world.jwt.id()]);
        assert_eq!(read.wit_authorities().names(), [world.wit.id()]);
        assert!(read.passed_over().is_empty());
    }
}

#[test]
fn x_21_x_22_x_23_an_x509_key_has_one_certificate_and_no_name() {
    let bundle = bundle(&World::new());
    let key = &bundle["keys"][0];
    assert_eq!(key["use"], "x509-svid");
    assert!(key.get("kid").is_none());
    assert_eq!(key["x5c"].as_array().unwrap().len(), 1);
}

#[test]
fn j_14_w_23_token_keys_have_names_that_are_unique_in_the_bundle() {
    let world = World::new();
    let bundle = bundle(&world);
    let name = |key: usize| bundle["keys"][key]["kid"].as_str().unwrap().to_owned();
    assert_eq!(bundle["keys"][1]["use"], "jwt-svid");
    assert_eq!(bundle["keys"][2]["use"], "wit-svid");
    assert_ne!(name(1), name(2));
}

#[test]
fn what_is_revoked_or_expired_is_not_published_and_all_else_is() {
    let world = World::new();
    let root = world.root.as_ref().clone();
    let tainted = root.life().taint(root.id()).unwrap();
    let count = |life, now| {
        let root = root.clone().with_life(life);
        let bundle = spiffe_bundle([&root], [], 1, 300, now).unwrap();
        bundle["keys"].as_array().unwrap().len()
    };
    assert_eq!(count(root.life(), now()), 1);
    assert_eq!(count(root.life(), now().plus(86_401)), 0);
    assert_eq!(count(tainted, now()), 1);
    assert_eq!(count(tainted.revoke(root.id()).unwrap(), now()), 0);
}

#[test]
fn the_key_set_for_others_has_the_keys_of_jwt_svids_only() {
    let world = World::new();
    let set = jwks([world.jwt.as_ref(), world.wit.as_ref()], now()).unwrap();
    let keys = KeySet::read("https://demo.avouch.test", &set).unwrap();
    assert_eq!(keys.names(), [world.jwt.id()]);
    assert_eq!(set["keys"][0]["alg"], json!("ES256"));
}
