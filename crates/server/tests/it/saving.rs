//! What a trust in an issuer must say before it is saved.

use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::registry::{AUDIENCE, Registry, with};

/// Whoever saves a trust says whom it believes, or why not and until when.
#[test]
fn an_issuer_alone_is_not_trusted_without_a_reason_and_an_end() {
    let registry = Registry::new();
    let key = jwks(&[jwk(&Key::p256("people"), "k")]);
    let bare = json!({
        "issuer": "https://login.example.com", "audiences": [AUDIENCE], "jwks": key,
    });
    let anchor =
        |document: &Value| registry.call("PUT", "/v1/tenants/one/anchors/by-hand", Some(document));
    let ruled = |facts: Value| {
        with(
            bare.clone(),
            json!({"rules": [{"name": "r", "facts": facts}]}),
        )
    };
    for document in [
        bare.clone(),
        ruled(json!({"subject": {"pattern": "*"}})),
        ruled(json!({"subject": {"pattern": "*/**"}})),
    ] {
        for refused in [registry.put("people", &document), anchor(&document)] {
            assert_eq!(refused.status, 400, "{document}: {}", refused.body);
            assert_eq!(refused.code(), "issue.trust_unconditional", "{document}");
        }
    }
    let told = registry.put("people", &bare).json()["detail"].clone();
    let told = told.as_str().unwrap();
    assert!(
        told.contains("everyone whose tokens https://login.example.com signs"),
        "{told}"
    );
    // Nothing of it was kept.
    let shown = registry.call("GET", "/v1/tenants/one/issuers/people", None);
    assert_eq!(shown.status, 404);
    let ends = json!({"reason": "a pilot", "expires": "2027-01-16T00:00:00Z"});
    for document in [
        ruled(json!({"claims.group": "staff"})),
        ruled(json!({"subject": {"pattern": "staff/*"}})),
        with(bare.clone(), json!({ "override": ends })),
    ] {
        let saved = registry.put("people", &document);
        assert_eq!(saved.status, 200, "{document}: {}", saved.body);
    }
    registry.call("DELETE", "/v1/tenants/one/issuers/people", None);
    for document in [
        ruled(json!({"claims.group": "staff"})),
        with(bare.clone(), json!({ "unpinned": ends })),
    ] {
        let saved = anchor(&document);
        assert_eq!(saved.status, 200, "{document}: {}", saved.body);
    }
    // A cluster is its owner's, whoever comes out of it.
    let cluster = json!({
        "issuer": "https://kubernetes.default.svc.cluster.local", "jwks": key,
    });
    assert_eq!(registry.put("cluster", &cluster).status, 200);
}

/// What is refused as an issuer is not saved as an anchor either.
#[test]
fn an_anchor_put_by_hand_trusts_no_name_alone() {
    let registry = Registry::new();
    let anchor = |facts: Value, more: Value| {
        let document = json!({
            "issuer": "https://gitlab.example.com", "preset": "gitlab",
            "jwks": jwks(&[jwk(&Key::p256("gitlab"), "k")]),
            "rules": [{"name": "build", "facts": facts}],
        });
        let document = with(document, more);
        registry.call("PUT", "/v1/tenants/one/anchors/gitlab", Some(&document))
    };
    let name = json!({"gitlab.project_path": "my-group/my-project"});
    let refused = anchor(name.clone(), json!({}));
    assert_eq!(refused.code(), "issue.trust_mutable", "{}", refused.body);
    let listed = registry.call("GET", "/v1/tenants/one/anchors", None).json();
    assert_eq!(listed["anchors"], json!([]));
    let ends = json!({"reason": "until the id is known", "expires": "2027-01-16T00:00:00Z"});
    assert_eq!(anchor(name, json!({ "unpinned": ends })).status, 200);
    let by_id = json!({"gitlab.project_id": "20", "gitlab.project_path": "my-group/my-project"});
    assert_eq!(anchor(by_id, json!({})).status, 200);
}

/// The subject has a name of its own, whoever writes a rule.
#[test]
fn every_rule_on_the_claim_sub_says_what_to_write() {
    let registry = Registry::new();
    let issuer = |facts: Value| {
        json!({
            "issuer": "https://login.example.com", "audiences": [AUDIENCE],
            "jwks": jwks(&[jwk(&Key::p256("people"), "k")]),
            "rules": [{"name": "r", "facts": facts}],
        })
    };
    let saved = registry.put("people", &issuer(json!({"subject": "alice"})));
    assert_eq!(saved.status, 200, "{}", saved.body);
    let exchange = json!({
        "from": {"anchor": "people", "facts": {"claims.sub": "alice"}},
        "gives": {"spiffe_id": "spiffe://one.test/a", "audiences": ["https://cloud.test"]},
        "owner": "o", "reason": "r",
    });
    for refused in [
        registry.put("people", &issuer(json!({"claims.sub": "alice"}))),
        registry.call("PUT", "/v1/tenants/one/rules/people", Some(&exchange)),
    ] {
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(
            refused.body.contains("is the fact `subject`: write that"),
            "{}",
            refused.body
        );
    }
}
