//! A projected service account token: three mechanisms in one verdict, and the CA of the cluster
//! only where it took part.

use avouch_core::verdict::{Leg, TrustModel};
use avouch_testkit::key::Key;
use avouch_testkit::token::{NOW_SECONDS, TokenForge, jwk, jwks};
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::token_ask::{AUDIENCE, Ask};

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";

fn token() -> TokenForge {
    TokenForge::oidc(CLUSTER, "system:serviceaccount:payments:api", AUDIENCE)
        .claim("aud", json!([AUDIENCE]))
        .claim("exp", (NOW_SECONDS + 3600).into())
        .claim(
            "kubernetes.io",
            json!({"namespace": "payments", "serviceaccount": {"name": "api", "uid": "e6a8680e"}}),
        )
}

fn service_account_key() -> Key {
    Key::rsa(avouch_testkit::key::RsaTestKey::A)
}

fn cluster() -> Value {
    json!({"issuer": CLUSTER, "jwks": jwks(&[jwk(&service_account_key(), "sa-1")]),
        "rules": [{"name": "payments", "facts": {"k8s.namespace": "payments"}}]})
}

fn ask(token: &TokenForge) -> Ask {
    Ask::jwt(token.sign(&service_account_key(), "sa-1")).trust(&cluster())
}

/// Each leg as a person sees it: what, where it ends, and how it came out.
fn told(legs: &[Leg]) -> Vec<String> {
    legs.iter()
        .map(|leg| {
            let outcome = match (&leg.reason, leg.decided) {
                (Some(reason), _) => reason.code(),
                (None, true) => "held",
                (None, false) => "not reached",
            };
            format!("{}: {} ({outcome})", leg.what, leg.ends_at)
        })
        .collect()
}

#[test]
fn an_accepted_token_shows_three_legs() {
    let question = ask(&token());
    question.is_accepted();
    assert_eq!(
        told(&question.legs()),
        [
            "issuer key: SA issuer key kid=sa-1 (held)",
            "federation: https://kubernetes.default.svc.cluster.local, payments (held)",
            "audience: vault (held)",
        ]
    );
    let identity = question.identity();
    assert_eq!(identity.facts()["k8s.service_account"], "api");
    assert_eq!(identity.anchor().key, "sa-1");
}

#[test]
fn a_token_for_vault_shown_to_a_database_fails_in_the_audience_alone() {
    let question = ask(&token()).audiences(&["db"]);
    question.is_refused("federation.audience_mismatch");
    assert_eq!(
        told(&question.legs()),
        [
            "issuer key: SA issuer key kid=sa-1 (held)",
            "federation: https://kubernetes.default.svc.cluster.local, payments (held)",
            "audience: the audience of the token (federation.audience_mismatch)",
        ]
    );
    assert_eq!(
        question.reason().sentence(),
        "The token is for vault, not for db; it was meant for someone else."
    );
}

#[test]
fn each_leg_fails_for_itself() {
    let elsewhere = token()
        .claim("sub", "system:serviceaccount:dev:api".into())
        .claim(
            "kubernetes.io",
            json!({"namespace": "dev", "serviceaccount": {"name": "api"}}),
        );
    let outcomes = |question: &Ask| {
        let told = told(&question.legs());
        let outcome = |leg: &String| {
            leg.rsplit_once(" (")
                .unwrap()
                .1
                .trim_end_matches(')')
                .to_owned()
        };
        told.iter().map(outcome).collect::<Vec<_>>()
    };
    assert_eq!(
        outcomes(&ask(&elsewhere)),
        ["held", "policy.rule_not_matched", "held"]
    );
    assert_eq!(
        outcomes(&ask(&elsewhere).audiences(&["db"])),
        [
            "held",
            "policy.rule_not_matched",
            "federation.audience_mismatch"
        ]
    );
    assert_eq!(
        outcomes(&ask(&token()).at(NOW_SECONDS + 3600)),
        ["federation.token_expired", "held", "held"]
    );
    // Nothing that a token says is looked at until its signature holds.
    let forged = Ask::jwt(token().sign(&Key::p256("x"), "sa-1")).trust(&cluster());
    assert_eq!(
        outcomes(&forged),
        [
            "federation.key_algorithm_mismatch",
            "not reached",
            "not reached"
        ]
    );
    let foreign = token().claim("iss", "https://kubernetes.default.svc.other".into());
    assert_eq!(
        outcomes(&ask(&foreign)),
        ["not reached", "federation.issuer_unknown", "not reached"]
    );
    assert_eq!(
        outcomes(&ask(&token().without("aud"))),
        ["not reached", "not reached", "federation.claim_missing"]
    );
    assert_eq!(
        outcomes(&ask(&token().without("exp"))),
        ["not reached", "not reached", "not reached"]
    );
}

#[test]
fn the_cluster_ca_is_named_only_where_the_keys_were_fetched_under_it() {
    let ca = Authority::root("Cluster CA");
    let mut anchor = cluster();
    anchor["fetched_under"] = pem("CERTIFICATE", &ca.certificate).into();
    let signed = token().sign(&service_account_key(), "sa-1");
    for audience in [AUDIENCE, "db"] {
        let legs = Ask::jwt(signed.clone())
            .trust(&anchor)
            .audiences(&[audience])
            .legs();
        assert_eq!(legs.len(), 4);
        assert_eq!(legs[3].model, TrustModel::Pki);
        assert_eq!(legs[3].what, "cluster CA");
        assert!(
            legs[3].ends_at.contains("Cluster CA"),
            "{}",
            legs[3].ends_at
        );
    }
    // What ended before, or is no CA, has vouched for no connection.
    let over = Authority::root_with("Cluster CA", Key::ed25519("over"), |forge| {
        forge.valid("2024-01-01T00:00:00Z", "2024-01-11T00:00:00Z")
    });
    let leaf = ca.server("kubernetes.default.svc");
    for (certificate, is_known) in [
        (&ca.certificate, true),
        (&over.certificate, false),
        (&leaf, false),
    ] {
        anchor["fetched_under"] = pem("CERTIFICATE", certificate).into();
        let legs = Ask::jwt(signed.clone())
            .trust(&anchor)
            .audiences(&[AUDIENCE])
            .legs();
        assert_eq!(legs[3].decided, is_known);
    }
    assert!(
        told(&ask(&token()).legs())
            .iter()
            .all(|leg| !leg.contains("CA"))
    );
}

#[test]
fn a_token_that_is_not_of_kubernetes_has_no_legs() {
    let plain = crate::token_ask::ask(&crate::token_ask::good());
    assert!(plain.legs().is_empty());
    assert!(plain.audiences(&["db"]).legs().is_empty());
}

#[test]
fn an_issuer_that_is_not_known_for_it_may_still_be_a_clusters() {
    let key = Key::p256("private cluster");
    let issuer = "https://oidc.cluster.example.com";
    let anchor = json!({"issuer": issuer, "jwks": jwks(&[jwk(&key, "sa-9")])});
    let signed = token().claim("iss", issuer.into()).sign(&key, "sa-9");
    let question = Ask::jwt(signed).trust(&anchor);
    assert_eq!(
        told(&question.legs())[0],
        "issuer key: SA issuer key kid=sa-9 (held)"
    );
    assert_eq!(question.identity().facts()["k8s.namespace"], "payments");
}
