//! A token is exchanged once, however many try.

use std::time::Duration;

use avouch_testkit::https::pause;
use serde_json::json;

use super::{Cloud, exchange_form, refusal, rule, token};
use crate::http::{request, send_all_at_once};

const AT_ONCE: usize = 1_000;

/// All are with the server before the first can be answered. It works on some hundred at a time and
/// turns the others away for now, so those ask again, all at once.
#[test]
fn hostile_49_of_a_thousand_uses_of_one_token_exactly_one_wins() {
    let cloud = Cloud::new();
    let mut bearer = rule();
    bearer["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &bearer);
    let subject = cloud.workflow(&json!({}));
    let form = exchange_form(&subject, &[]);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let one = request("POST", "/t/one/token", &headers, Some(&form));
    let (mut won, mut refused) = (0, 0);
    while won + refused < AT_ONCE {
        let left = vec![one.clone(); AT_ONCE - won - refused];
        for answer in send_all_at_once(cloud.world.address, &left) {
            match answer.status {
                200 => won += 1,
                400 => {
                    assert_eq!(refusal(&answer).1, "issue.token_used");
                    refused += 1;
                }
                // The server has too much to do just now.
                503 => {}
                other => panic!("{other}: {answer:?}"),
            }
        }
        pause(Duration::from_millis(5));
    }
    assert_eq!((won, refused), (1, AT_ONCE - 1));
}

#[test]
fn hostile_49_a_number_is_used_once_by_its_issuer_and_a_token_without_one_by_itself() {
    let cloud = Cloud::new();
    // The same number under another content is used, too.
    let first = cloud.workflow(&json!({"jti": "same"}));
    let second = cloud.workflow(&json!({"jti": "same", "ref": "refs/heads/other"}));
    token(&cloud.exchange(&first, &[]));
    assert_eq!(refusal(&cloud.exchange(&second, &[])).1, "issue.token_used");
    // Without a number, the token itself: signed anew it is the same.
    let forge = cloud.workflow_forge(&json!({"jti": null}));
    token(&cloud.exchange(&forge.sign(&cloud.issuer, "k1"), &[]));
    let again = forge.sign(&cloud.issuer, "k1");
    assert_eq!(refusal(&cloud.exchange(&again, &[])).1, "issue.token_used");
    let other = cloud.workflow(&json!({"jti": null, "ref": "refs/heads/other"}));
    token(&cloud.exchange(&other, &[]));
}

#[test]
fn hostile_50_what_is_refused_is_not_used() {
    let cloud = Cloud::new();
    let good = cloud.workflow(&json!({"jti": "target"}));
    // Someone who knows the number burns nothing without the key of the issuer.
    let forged = cloud
        .workflow_forge(&json!({"jti": "target"}))
        .sign(&avouch_testkit::key::Key::p256("thief"), "k1");
    assert_eq!(
        refusal(&cloud.exchange(&forged, &[])).1,
        "federation.signature_invalid"
    );
    // Nor does a request of the holder that is refused for something else.
    let wide = cloud.exchange(&good, &[("scope", "admin")]);
    assert_eq!(refusal(&wide).0, "invalid_scope");
    token(&cloud.exchange(&good, &[]));
}

#[test]
fn a_rule_may_let_a_token_be_exchanged_again_for_a_time() {
    let cloud = Cloud::new();
    let mut reusable = rule();
    reusable["reuse"] = json!({"reason": "pods keep theirs", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &reusable);
    let subject = cloud.workflow(&json!({}));
    for _ in 0..2 {
        token(&cloud.exchange(&subject, &[]));
    }
    cloud.rule("deploy", &rule());
    token(&cloud.exchange(&subject, &[]));
    assert_eq!(
        refusal(&cloud.exchange(&subject, &[])).1,
        "issue.token_used"
    );
}

#[test]
fn nothing_is_given_while_the_store_is_away_and_nothing_is_used() {
    let cloud = Cloud::new();
    let subject = cloud.workflow(&json!({}));
    cloud.world.store_away(true);
    let answer = cloud.exchange(&subject, &[]);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    cloud.world.store_away(false);
    token(&cloud.exchange(&subject, &[]));
}

#[test]
fn a_token_is_not_used_up_by_a_tenant_that_is_issued_no_more_for_now() {
    let cloud = Cloud::new();
    let quota = |quota: &serde_json::Value| {
        let put = cloud.manage("PUT", "/v1/tenants/one/quota", quota);
        assert!(put.is_put(), "{}", put.body);
    };
    quota(&json!({"issuances_per_minute": 1}));
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let second = cloud.workflow(&json!({}));
    let refused = cloud.exchange(&second, &[]);
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    let expected = ("slow_down".to_owned(), "issue.rate_exceeded".to_owned());
    assert_eq!(refusal(&refused), expected);
    quota(&json!({}));
    token(&cloud.exchange(&second, &[]));
}

#[test]
fn a_token_that_is_shown_again_and_again_uses_up_no_quota() {
    let cloud = Cloud::new();
    let first = cloud.workflow(&json!({}));
    token(&cloud.exchange(&first, &[]));
    let quota = json!({"issuances_per_minute": 1});
    let put = cloud.manage("PUT", "/v1/tenants/one/quota", &quota);
    assert!(put.is_put(), "{}", put.body);
    for _ in 0..3 {
        assert_eq!(refusal(&cloud.exchange(&first, &[])).1, "issue.token_used");
    }
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let refused = cloud.exchange(&cloud.workflow(&json!({})), &[]);
    assert_eq!(refused.status, 429);
}
