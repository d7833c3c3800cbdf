//! How surely someone has signed in.

use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use super::delegation::{PEOPLE, Service};
use super::{CLOUD, OURSELVES, claims, refusal, sentence, token};

#[test]
fn hostile_57_who_has_not_signed_in_surely_enough_is_asked_to_step_up() {
    let asked = json!({"acr": ["phr"], "multi_factor": true, "max_age": 600});
    let service = Service::new(&[("assurance", asked)]);
    let now = service.cloud.now();
    let refused = service.for_person(
        &service.person(&json!({"amr": ["pwd"], "acr": "phr"})),
        None,
    );
    assert_eq!(
        refusal(&refused),
        (
            "insufficient_user_authentication".into(),
            "issue.assurance_insufficient".into()
        )
    );
    let body = refused.json();
    assert_eq!(
        (body["acr_values"].as_str(), body["max_age"].as_i64()),
        (Some("phr"), Some(600))
    );
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("acr_values=\"phr\", max_age=\"600\""),
        "{challenge}"
    );
    let sure = json!({"amr": ["pwd", "hwk"], "acr": "phr", "auth_time": now - 60});
    let access = claims(&token(&service.for_person(&service.person(&sure), None)));
    assert_eq!(access["amr"], json!(["hwk", "pwd"]));
    assert_eq!(access["auth_time"], now - 60);
}

/// Whoever trusts an issuer says what its words mean, or that it cannot say it.
#[test]
fn hostile_57_an_issuer_is_believed_about_factors_as_it_is_registered() {
    let asked = json!({"multi_factor": true});
    let service = Service::new(&[("assurance", asked.clone())]);
    let cloud = &service.cloud;
    let trust = |assurance: Value| {
        let keys = jwks(&[jwk(&service.people, "p")]);
        let anchor = json!({"issuer": PEOPLE, "jwks": keys, "assurance": assurance});
        cloud.anchor("people", &anchor);
    };
    let given = |claims: Value| cloud.exchange_as_operator(&service.person(&claims), &[]);
    let refused = |claims: Value| {
        let answer = given(claims);
        let expected = "insufficient_user_authentication".to_owned();
        let told = refusal(&answer);
        assert_eq!(told, (expected, "issue.assurance_insufficient".to_owned()));
        sentence(&answer)
    };
    let signed_in = |claims: &Value| {
        let question = json!({
            "profile": "spiffe", "audience": [OURSELVES],
            "credential": {"jwt": service.person(claims)},
        });
        let verdict = cloud.manage("POST", "/t/one/decide", &question).json();
        verdict["identity"]["signed_in"].clone()
    };
    // That someone was there is no factor.
    for methods in [
        json!(["pwd", "user"]),
        json!(["hwk", "user"]),
        json!(["pwd"]),
    ] {
        assert!(refused(json!({ "amr": methods })).contains("one factor"));
    }
    let both = json!({"amr": ["pwd", "hwk"]});
    token(&given(both.clone()));
    assert_eq!(signed_in(&both)["multi_factor"], true);
    assert_eq!(signed_in(&json!({})), Value::Null);
    // A class of its own counts where it is said what it means, and is told on in the words of all.
    refused(json!({"acr": "gold"}));
    trust(json!({"multi_factor_acr": ["gold"]}));
    refused(json!({"acr": "silver"}));
    let access = claims(&token(&given(json!({"acr": "gold"}))));
    assert_eq!(
        (&access["acr"], &access["amr"]),
        (&json!("gold"), &json!(["mfa"]))
    );
    // One that cannot is not believed, whatever its tokens say, and that is said.
    trust(json!({"multi_factor": false}));
    let told = refused(json!({"acr": "gold", "amr": ["mfa", "pwd", "hwk"]}));
    assert!(
        told.contains("its issuer cannot say which factors were used"),
        "{told}"
    );
    assert_eq!(signed_in(&both), Value::Null);
    let with_class = signed_in(&json!({"acr": "gold", "amr": ["mfa"]}));
    assert_eq!(
        (&with_class["multi_factor"], &with_class["amr"]),
        (&Value::Null, &json!([]))
    );
    // Nor is a rule kept that would give nothing to anyone; one that says what they get is.
    let mut rule = json!({
        "from": {"anchor": "people", "facts": {"claims.group": "staff"}},
        "gives": {"spiffe_id": "spiffe://one.test/staff", "audiences": [CLOUD]},
        "assurance": asked, "owner": "o", "reason": "r",
    });
    let path = "/v1/tenants/one/rules/staff";
    assert_eq!(
        cloud.manage("PUT", path, &rule).code(),
        "policy.rule_invalid"
    );
    rule["assurance"]["otherwise"] = json!({"lifetime": 60});
    assert!(cloud.manage("PUT", path, &rule).is_put());
}

/// RFC 9470 3: a client that signs the subject in again must know that it takes another factor, and how to
/// ask the issuer for that.
#[test]
fn a_challenge_names_the_classes_that_mean_several_factors_to_the_issuer() {
    let service = Service::new(&[("assurance", json!({"multi_factor": true}))]);
    let keys = jwks(&[jwk(&service.people, "p")]);
    let anchor = json!({
        "issuer": PEOPLE, "jwks": keys, "assurance": {"multi_factor_acr": ["gold"]},
    });
    service.cloud.anchor("people", &anchor);
    let answer = service.for_person(
        &service.person(&json!({"acr": "silver", "amr": ["pwd"]})),
        None,
    );
    assert_eq!(answer.json()["acr_values"], "gold", "{}", answer.body);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("acr_values=\"gold\""), "{challenge}");
    let description = answer.json()["error_description"].to_string();
    assert!(description.contains("several factors"), "{description}");
}

#[test]
fn an_issuer_that_cannot_tell_gets_less() {
    let asked = json!({
        "multi_factor": true, "otherwise": {"lifetime": 60, "scopes": ["read"]},
    });
    let service = Service::new(&[("assurance", asked)]);
    let answer = service.for_person(&service.person(&json!({})), None);
    token(&answer);
    let body = answer.json();
    assert_eq!(
        (body["scope"].as_str(), body["expires_in"].as_i64()),
        (Some("read"), Some(60))
    );
    let answer = service.for_person(&service.person(&json!({"amr": ["mfa"]})), None);
    assert_eq!(answer.json()["scope"], "read write");
}
