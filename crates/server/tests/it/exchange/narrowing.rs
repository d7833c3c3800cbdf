//! What is had is never more than what it was had for, at whatever remove, and who acts is not hidden.

use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use super::delegation::{PEOPLE, Service};
use super::{ACCESS_TOKEN, CLOUD, Cloud, OURSELVES, claims, refusal, sentence, token};

const X509: &str = "urn:avouch:params:token-type:x509-svid";

/// A rule that takes whoever is below `from` to `to`.
pub(super) fn step(from: &str, to: &str, kinds: &[&str], scopes: &[&str]) -> Value {
    let mut rule = json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": from}},
        "gives": {
            "spiffe_id": format!("spiffe://one.test{to}"), "kinds": kinds,
            "audiences": [OURSELVES],
        },
        "owner": "o", "reason": "r",
    });
    if !scopes.is_empty() {
        rule["gives"]["scopes"] = json!(scopes);
    }
    rule
}

/// Three steps: scopes, none, and the same scopes again.
fn steps() -> Cloud {
    let cloud = Cloud::new();
    let mut first = super::rule();
    first["gives"]["audiences"] = json!([OURSELVES]);
    cloud.rule("deploy", &first);
    let (middle, kinds) = ("/middle", ["access-token", "x509-svid"]);
    cloud.rule("middle", &step("/ci/74/deploy", middle, &kinds, &[]));
    cloud.rule(
        "last",
        &step(middle, "/last", &["access-token"], &["read", "deploy"]),
    );
    cloud
}

fn further(cloud: &Cloud, subject: &str, more: &[(&str, &str)]) -> crate::http::Answer {
    let own = [
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", ACCESS_TOKEN),
    ];
    let is_said = |name: &str| more.iter().any(|(said, _)| *said == name);
    let own = own.into_iter().filter(|(name, _)| !is_said(name));
    let all: Vec<_> = own.chain(more.iter().copied()).collect();
    cloud.exchange(subject, &all)
}

#[test]
fn hostile_52_a_scope_that_was_let_go_is_not_had_again_at_the_next_exchange() {
    let cloud = steps();
    let first = |scope: &str| {
        let more = [("scope", scope), ("requested_token_type", ACCESS_TOKEN)];
        token(&cloud.exchange(&cloud.workflow(&json!({})), &more))
    };
    let middle = token(&further(&cloud, &first("read"), &[]));
    assert!(!claims(&middle).contains_key("scope"));
    let last = claims(&token(&further(&cloud, &middle, &[])));
    assert!(!last.contains_key("scope"), "{last:?}");
    // Nor by asking for it.
    let middle = token(&further(&cloud, &first("read deploy"), &[]));
    let refused = further(&cloud, &middle, &[("scope", "deploy")]);
    assert_eq!(
        refusal(&refused),
        ("invalid_scope".into(), "issue.scope_not_allowed".into())
    );
}

/// A scope is a set of words (RFC 6749 3.3).
#[test]
fn a_scope_that_is_asked_for_twice_is_granted_once() {
    let cloud = steps();
    let asked = [
        ("scope", "deploy read deploy  read"),
        ("requested_token_type", ACCESS_TOKEN),
    ];
    let answer = cloud.exchange(&cloud.workflow(&json!({})), &asked);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(claims(&token(&answer))["scope"], "deploy read");
    // Told only where it is not what was asked for (RFC 6749 5.1), or as it is granted.
    assert!(told.get("scope").is_none_or(|scope| scope == "deploy read"));
}

/// A certificate says nothing of scopes, so the record of it has to.
#[test]
fn hostile_52_a_certificate_gives_no_scope_that_was_let_go_for_it() {
    let cloud = steps();
    let middle = ["access-token", "x509-svid"];
    cloud.rule(
        "middle",
        &step("/ci/74/deploy", "/middle", &middle, &["read", "deploy"]),
    );
    let request = pem(
        "CERTIFICATE REQUEST",
        &crate::world::signing_request(&cloud.holder),
    );
    let certificate = |scope: Option<&str>| {
        let first = [("requested_token_type", ACCESS_TOKEN)];
        let first = token(&cloud.exchange(&cloud.workflow(&json!({})), &first));
        let mut more = vec![
            ("requested_token_type", X509),
            ("certificate_request", request.as_str()),
        ];
        more.extend(scope.map(|scope| ("scope", scope)));
        token(&further(&cloud, &first, &more))
    };
    let scope = |certificate: &str| {
        let more = [("subject_token_type", X509)];
        let last = claims(&token(&further(&cloud, certificate, &more)));
        last["scope"].as_str().unwrap().to_owned()
    };
    assert_eq!(scope(&certificate(Some("read"))), "read");
    assert_eq!(scope(&certificate(None)), "read deploy");
}

/// What someone gets who has not signed in surely enough does not grow at the next exchange.
#[test]
fn hostile_52_a_certificate_gives_no_scope_that_was_capped_for_it() {
    let cloud = Cloud::new();
    let mut first = super::rule();
    first["gives"]["kinds"] = json!(["x509-svid"]);
    first["assurance"] = json!({"multi_factor": true, "otherwise": {"scopes": ["read"]}});
    cloud.rule("deploy", &first);
    let last = step(
        "/ci/74/deploy",
        "/last",
        &["access-token"],
        &["read", "deploy"],
    );
    cloud.rule("last", &last);
    let request = crate::world::signing_request(&cloud.holder);
    let request = pem("CERTIFICATE REQUEST", &request);
    let more = [
        ("requested_token_type", X509),
        ("certificate_request", request.as_str()),
    ];
    let certificate = token(&cloud.exchange(&cloud.workflow(&json!({})), &more));
    let last = further(&cloud, &certificate, &[("subject_token_type", X509)]);
    assert_eq!(claims(&token(&last))["scope"], "read");
}

#[test]
fn hostile_53_whoever_acts_for_an_actor_is_not_hidden_behind_it() {
    let service = Service::new(&[]);
    let people = || service.person(&json!({}));
    let bundle = avouch_testkit::token::bundle(&service.service, &Key::p256("wit"));
    let keys = bundle["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["use"] == "jwt-svid").unwrap();
    let now = service.cloud.now();
    let acted_for = TokenForge::jwt_svid("spiffe://partner.test/svc/shop", OURSELVES)
        .claim("aud", json!([OURSELVES]))
        .claim("iat", json!(now))
        .claim("exp", json!(now + 300))
        .claim("act", json!({"sub": "spiffe://partner.test/svc/hidden"}))
        .sign(&service.service, key["kid"].as_str().unwrap());
    let refused = service.for_person(&people(), Some(&acted_for));
    assert_eq!(refusal(&refused).1, "issue.actor_not_allowed");
    let told = sentence(&refused);
    assert!(told.contains("/svc/hidden acts for it"), "{told}");
    let alone = service.actor("/svc/shop");
    token(&service.for_person(&people(), Some(&alone)));
}

#[test]
fn hostile_53_a_name_that_may_act_is_one_of_whoever_signed_it() {
    let service = Service::new(&[]);
    let cloud = &service.cloud;
    let others = Key::p256("others");
    let anchor = json!({"issuer": "https://others.test", "jwks": jwks(&[jwk(&others, "o")])});
    cloud.anchor("others", &anchor);
    let by = |anchor: &str| json!({"anchor": anchor, "facts": {"subject": "robot"}});
    cloud.rule(
        "people",
        &json!({
            "from": {"anchor": "people", "facts": {"claims.group": "staff"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/people/{subject}", "kinds": ["access-token"],
                "audiences": [CLOUD],
            },
            "actors": [by("people"), by("others")],
            "owner": "o", "reason": "r",
        }),
    );
    let named = || service.person(&json!({"may_act": {"sub": "robot"}}));
    let now = cloud.now();
    let robot = TokenForge::saying(json!({
        "iss": "https://others.test", "sub": "robot", "aud": OURSELVES, "iat": now,
        "exp": now + 300,
    }));
    let refused = service.for_person(&named(), Some(&robot.sign(&others, "o")));
    assert_eq!(refusal(&refused).1, "issue.actor_not_allowed");
    let robot = service.person(&json!({"sub": "robot"}));
    let access = claims(&token(&service.for_person(&named(), Some(&robot))));
    assert_eq!(access["act"], json!({"iss": PEOPLE, "sub": "robot"}));
    assert_eq!(access["may_act"], json!({"iss": PEOPLE, "sub": "robot"}));
    // Nor is a name in an SVID one of whoever has it somewhere; a SPIFFE ID says itself whose it is.
    cloud.rule(
        "partners",
        &json!({
            "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": "/svc/web"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/partner/web", "kinds": ["access-token"],
                "audiences": [CLOUD],
            },
            "actors": [by("people"), {"trust_domain": "partner.test", "facts": {"spiffe.path": "/svc/shop"}}],
            "owner": "o", "reason": "r",
        }),
    );
    let naming = |named: &str| {
        let may_act = json!({"sub": named});
        service.actor_saying("/svc/web", &json!({ "may_act": may_act }))
    };
    let robot = service.person(&json!({"sub": "robot"}));
    let refused = service.for_person(&naming("robot"), Some(&robot));
    assert_eq!(refusal(&refused).1, "issue.actor_not_allowed");
    let shop = service.actor("/svc/shop");
    token(&service.for_person(&naming("spiffe://partner.test/svc/shop"), Some(&shop)));
}

/// Of several rules that admit someone, the one that has what is asked for says what is missing.
#[test]
fn hostile_57_who_asks_for_something_is_asked_to_step_up_for_that() {
    let service = Service::new(&[("assurance", json!({"acr": ["phr"], "max_age": 600}))]);
    let gives = |audience: &str| {
        json!({
            "from": {"anchor": "people", "facts": {"claims.group": "staff"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/other/{subject}", "kinds": ["access-token"],
                "audiences": [audience],
            },
            "assurance": {"acr": ["gold"], "max_age": 60},
            "owner": "o", "reason": "r",
        })
    };
    // By name it comes first.
    let other = gives("https://other.test");
    service.cloud.rule("admin", &other);
    let asked = |audience: &str, scope: &str| {
        let more = [("audience", audience), ("scope", scope)];
        let answer = service.cloud.exchange(&service.person(&json!({})), &more);
        let body = answer.json();
        let acr = body["acr_values"].as_str().map(str::to_owned);
        (refusal(&answer).0, acr, body["max_age"].as_i64())
    };
    let step_up = "insufficient_user_authentication".to_owned();
    let phr = (step_up.clone(), Some("phr".to_owned()), Some(600));
    assert_eq!(asked(CLOUD, ""), phr);
    let gold = (step_up, Some("gold".to_owned()), Some(60));
    assert_eq!(asked("https://other.test", ""), gold);
    // What nobody gets is nothing to sign in again for.
    assert_eq!(asked(CLOUD, "admin").0, "invalid_scope");
    assert_eq!(asked("https://nobody.test", "").0, "invalid_target");
}
