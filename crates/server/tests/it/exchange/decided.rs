//! Tokens that are bound to a key, decided on for whoever holds the request with which they came.

use serde_json::{Value, json};

use avouch_testkit::key::Key;
use avouch_testkit::token::encode;

use super::{ACCESS_TOKEN, CLOUD, Cloud, public, rule, token};

const METHOD: &str = "GET";

fn url() -> String {
    format!("{CLOUD}/orders")
}

impl Cloud {
    fn access_token(&self) -> String {
        let asked = [("requested_token_type", ACCESS_TOKEN)];
        token(&self.exchange(&self.workflow(&json!({})), &asked))
    }

    /// A proof for a request to the cloud with this token.
    fn proof_with(&self, token: &str, changed: &Value, key: &Key) -> String {
        let mut forge = self
            .proof()
            .claim("htm", json!(METHOD))
            .claim("htu", json!(url()))
            .claim("ath", json!(hash_of(token)))
            .header("jwk", public(key));
        for (name, value) in changed.as_object().unwrap() {
            forge = match value {
                Value::Null => forge.without(name),
                value => forge.claim(name, value.clone()),
            };
        }
        forge.sign_nameless(key)
    }

    /// What is decided for the operator, who sees why; the same for anyone.
    fn decide(&self, question: &Value) -> Value {
        self.manage("POST", "/t/one/decide", question).json()
    }

    fn code(&self, question: &Value) -> String {
        let told = self.decide(question);
        match told["verdict"].as_str().unwrap() {
            "reject" => told["reason"]["code"].as_str().unwrap().to_owned(),
            other => other.to_owned(),
        }
    }
}

fn hash_of(token: &str) -> String {
    encode(avouch_core::id::Digest::of(token.as_bytes()).as_bytes())
}

fn question(token: &str, proof: &str) -> Value {
    json!({
        "audience": [CLOUD],
        "credential": {
            "jwt": token, "dpop": {"proof": proof, "method": METHOD, "url": url()},
        },
    })
}

#[test]
fn a_token_is_decided_on_with_the_proof_that_came_with_it_and_each_proof_once() {
    let cloud = Cloud::new();
    for shown in [
        cloud.access_token(),
        token(&cloud.exchange(&cloud.workflow(&json!({})), &[])),
    ] {
        let proof = cloud.proof_with(&shown, &json!({}), &cloud.holder);
        let asked = question(&shown, &proof);
        // For another it is not believed, and that uses nothing up.
        let mut elsewhere = asked.clone();
        elsewhere["audience"] = json!(["https://other.test"]);
        assert_eq!(cloud.code(&elsewhere), "federation.audience_mismatch");
        let told = cloud.decide(&asked);
        assert_eq!(told["verdict"], "accept", "{told}");
        assert_eq!(
            told["identity"]["name"], "spiffe://one.test/ci/74/deploy",
            "{told}"
        );
        let mut checks = told["checks"].as_array().unwrap().iter();
        assert!(checks.any(|check| check["what"] == "possession"), "{told}");
        assert_eq!(cloud.code(&asked), "issue.token_used");
        let anew = cloud.proof_with(&shown, &json!({}), &cloud.holder);
        assert_eq!(cloud.code(&question(&shown, &anew)), "accept");
        // Without it, the token is nothing.
        let mut alone = asked;
        alone["credential"].as_object_mut().unwrap().remove("dpop");
        assert_ne!(cloud.code(&alone), "accept");
    }
}

#[test]
fn a_proof_of_something_else_proves_nothing_where_it_is_decided() {
    let cloud = Cloud::new();
    let shown = cloud.access_token();
    // Two that are no address are not the same one.
    let proof = cloud.proof_with(&shown, &json!({"htu": "/balance"}), &cloud.holder);
    let mut nowhere = question(&shown, &proof);
    nowhere["credential"]["dpop"]["url"] = json!("/pay");
    assert_eq!(cloud.code(&nowhere), "issue.proof_invalid");
    let other = cloud.access_token();
    let refused = "issue.proof_invalid";
    for changed in [
        json!({"htm": "POST"}),
        json!({"htu": format!("{CLOUD}/others")}),
        json!({"htu": null}),
        json!({"ath": null}),
        json!({"ath": hash_of(&other)}),
        json!({"iat": cloud.now() - 120}),
        json!({"jti": null}),
    ] {
        let proof = cloud.proof_with(&shown, &changed, &cloud.holder);
        assert_eq!(cloud.code(&question(&shown, &proof)), refused, "{changed}");
    }
    // By the key of somebody else.
    let proof = cloud.proof_with(&shown, &json!({}), &Key::p256("thief"));
    let by_thief = cloud.code(&question(&shown, &proof));
    assert_eq!(by_thief, "federation.proof_missing");
    // Whoever gave a nonce out is answered it.
    let asked = |proof: &str, nonce: &str| {
        let mut asked = question(&shown, proof);
        asked["credential"]["dpop"]["nonce"] = json!(nonce);
        cloud.code(&asked)
    };
    let proof = cloud.proof_with(&shown, &json!({"nonce": "n-1"}), &cloud.holder);
    assert_eq!(asked(&proof, "n-2"), refused);
    assert_eq!(asked(&proof, "n-1"), "accept");
    let silent = cloud.proof_with(&shown, &json!({}), &cloud.holder);
    assert_eq!(asked(&silent, "n-1"), refused);
    // It is of now, and of a token that is bound to a key.
    let mut earlier = question(&shown, &silent);
    earlier["at"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(cloud.code(&earlier), "input.malformed");
    let mut of_none = question(&shown, &silent);
    of_none["credential"] = json!({"api_key": "k", "dpop": of_none["credential"]["dpop"].clone()});
    assert_eq!(cloud.code(&of_none), "input.malformed");
    let mut bearer = rule();
    bearer["bearer"] = json!({"reason": "an old client", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &bearer);
    let form = super::exchange_form(&cloud.workflow(&json!({})), &[]);
    let anyones = token(&cloud.send(&form, &[]));
    let proof = cloud.proof_with(&anyones, &json!({}), &cloud.holder);
    assert_eq!(cloud.code(&question(&anyones, &proof)), refused);
}
