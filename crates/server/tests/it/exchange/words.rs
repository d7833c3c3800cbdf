//! What clients of OAuth are told: words, headers and characters that they know.

use avouch_testkit::key::Key;
use serde_json::{Value, json};

use super::delegation::{BY_KEY, BY_SVID, Service, assertion, client};
use super::{CLOUD, Cloud, exchange_form, form, refusal, token};
use crate::http::Answer;

const BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn as_client(cloud: &Cloud, assertion: &str) -> Answer {
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("client_assertion_type", BY_KEY),
        ("client_assertion", assertion),
    ]);
    cloud.send(&body, &[("dpop", &cloud.signed_proof())])
}

#[test]
fn what_is_used_a_second_time_is_called_what_it_is() {
    let cloud = Cloud::new();
    let key = Key::p256("client");
    client(&cloud, &key);
    let used = |answer: &Answer, word: &str| {
        assert_eq!(refusal(answer), (word.into(), "issue.token_used".into()));
    };
    // RFC 9449 5, whichever grant it came with.
    let proof = cloud.signed_proof();
    let exchange = || exchange_form(&cloud.workflow(&json!({})), &[]);
    token(&cloud.send(&exchange(), &[("dpop", &proof)]));
    used(
        &cloud.send(&exchange(), &[("dpop", &proof)]),
        "invalid_dpop_proof",
    );
    let workflow = cloud.workflow(&json!({}));
    let grant = form(&[("grant_type", BEARER_GRANT), ("assertion", &workflow)]);
    used(
        &cloud.send(&grant, &[("dpop", &proof)]),
        "invalid_dpop_proof",
    );
    // RFC 7523 3.2.
    let shown = assertion(&cloud, &json!({})).sign(&key, "c1");
    token(&as_client(&cloud, &shown));
    let again = as_client(&cloud, &shown);
    used(&again, "invalid_client");
    assert_eq!(again.status, 401, "{again:?}");
    let challenge = again.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer error=\"invalid_client\""));
    // RFC 8693 2.2.2.
    let once = cloud.workflow(&json!({}));
    token(&cloud.exchange(&once, &[]));
    used(&cloud.exchange(&once, &[]), "invalid_request");
}

/// RFC 6749 5.2: who asks comes before what is asked for.
#[test]
fn what_shows_who_a_client_is_and_was_used_is_no_client_whatever_else_it_is() {
    let service = Service::new(&[]);
    let cloud = &service.cloud;
    cloud.rule(
        "shops",
        &json!({
            "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": {"pattern": "/svc/*"}}},
            "gives": {
                "spiffe_id": "spiffe://one.test/shop", "kinds": ["access-token"], "audiences": [CLOUD],
            },
            "owner": "o", "reason": "r",
        }),
    );
    let svid = service.actor("/svc/first");
    let both = [
        ("client_assertion_type", BY_SVID),
        ("client_assertion", svid.as_str()),
    ];
    token(&cloud.exchange(&svid, &both));
    let [kind, shown] = both;
    let granted = form(&[
        ("grant_type", BEARER_GRANT),
        ("assertion", &svid),
        kind,
        shown,
    ]);
    let proof = cloud.signed_proof();
    for again in [
        cloud.exchange(&svid, &both),
        cloud.send(&granted, &[("dpop", &proof)]),
    ] {
        assert_eq!(
            (again.status, refusal(&again).0),
            (401, "invalid_client".into())
        );
    }
    // A subject that was used is none of the client's fault.
    let fresh = service.actor("/svc/second");
    let again = cloud.exchange(&svid, &[kind, ("client_assertion", &fresh)]);
    assert_eq!(
        (again.status, refusal(&again).0),
        (400, "invalid_request".into())
    );
}

/// The types of RFC 7523bis, each where it belongs and nowhere else.
#[test]
fn assertions_may_have_the_type_that_is_made_for_them() {
    let cloud = Cloud::new();
    let key = Key::p256("client");
    client(&cloud, &key);
    let typed = |name: &str| {
        let typed = assertion(&cloud, &json!({})).header("typ", json!(name));
        typed.sign(&key, "c1")
    };
    for name in [
        "client-authentication+jwt",
        "application/client-authentication+jwt",
        "JWT",
    ] {
        token(&as_client(&cloud, &typed(name)));
    }
    for name in ["authorization-grant+jwt", "at+jwt", "dpop+jwt"] {
        assert_eq!(
            refusal(&as_client(&cloud, &typed(name))).0,
            "invalid_client"
        );
    }
    let granted = |name: &str| {
        let forge = cloud.workflow_forge(&json!({})).header("typ", json!(name));
        let workflow = forge.sign(&cloud.issuer, "k1");
        let body = form(&[("grant_type", BEARER_GRANT), ("assertion", &workflow)]);
        let answer = cloud.send(&body, &[("dpop", &cloud.signed_proof())]);
        (workflow, answer)
    };
    token(&granted("authorization-grant+jwt").1);
    let (workflow, refused) = granted("client-authentication+jwt");
    assert_eq!(refusal(&refused).1, "federation.type_unexpected");
    let again = cloud.exchange(&workflow, &[]);
    assert_eq!(refusal(&again).1, "federation.type_unexpected");
}

#[test]
fn who_shows_a_secret_is_told_that_none_is_taken_in_the_scheme_they_used() {
    let cloud = Cloud::new();
    let body = form(&[("grant_type", "client_credentials")]);
    for path in ["/t/one/token", "/t/one/introspect"] {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", "Basic YTpi"),
        ];
        let request = crate::http::request("POST", path, &headers, Some(&body));
        let answer = crate::http::send(cloud.world.address, &request);
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(refusal(&answer).0, "invalid_client");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{challenge}");
        assert!(
            answer.body.contains("shared secrets are not taken"),
            "{answer:?}"
        );
    }
    let secret = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", "a"),
        ("client_secret", "b"),
    ]);
    let answer = cloud.send(&secret, &[]);
    assert!(
        answer.body.contains("shared secrets are not taken"),
        "{answer:?}"
    );
    let answer = cloud.send(&body, &[]);
    assert!(
        answer.body.contains("neither `client_assertion`"),
        "{answer:?}"
    );
    let unknown = form(&[
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:other"),
        ("client_assertion", "x"),
    ]);
    let answer = cloud.send(&unknown, &[]);
    assert!(answer.body.contains("jwt-spiffe"), "{answer:?}");
    assert_eq!(
        (answer.status, refusal(&answer).0.as_str()),
        (401, "invalid_client")
    );
}

/// RFC 6749 5.1 and 5.2.
#[test]
fn answers_are_kept_by_nobody_and_say_what_is_wrong_in_plain_characters() {
    let cloud = Cloud::new();
    let given = cloud.exchange(&cloud.workflow(&json!({})), &[]);
    token(&given);
    assert_eq!(given.header("pragma"), Some("no-cache"));
    let odd = "a\"b\\c\u{e9}\u{202e}";
    let answer = cloud.send(&form(&[("grant_type", odd)]), &[]);
    let body = answer.json();
    let described = body["error_description"].as_str().unwrap();
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    assert!(described.bytes().all(is_plain), "{described}");
    assert!(!answer.body.contains('\u{e9}'), "{body}");
}

/// RFC 9449 5.1: who reads the challenge learns of every algorithm that is taken.
#[test]
fn a_challenge_names_the_algorithms_of_the_metadata() {
    let cloud = Cloud::new();
    let bare = cloud.send(&exchange_form(&cloud.workflow(&json!({})), &[]), &[]);
    let path = "/.well-known/oauth-authorization-server/t/one";
    let metadata = cloud.world.get(path).json();
    let named = metadata["dpop_signing_alg_values_supported"].as_array();
    let named: Vec<&str> = named.unwrap().iter().filter_map(Value::as_str).collect();
    let challenge = bare.header("www-authenticate").unwrap();
    let algorithms = format!("algs=\"{}\"", named.join(" "));
    assert!(challenge.contains(&algorithms), "{challenge}");
}

/// Two headers that something in between has made one.
#[test]
fn two_proofs_in_one_header_are_several() {
    let cloud = Cloud::new();
    let two = format!("{}, {}", cloud.signed_proof(), cloud.signed_proof());
    let body = exchange_form(&cloud.workflow(&json!({})), &[]);
    let answer = cloud.send(&body, &[("dpop", &two)]);
    assert_eq!(refusal(&answer).0, "invalid_dpop_proof");
    assert!(answer.body.contains("there are several"), "{answer:?}");
}
