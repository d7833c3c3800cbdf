//! Tokens that only their issuer can read, and what it answered (RFC 7662).

use std::sync::Arc;

use avouch_core::credential::Credential;
use avouch_core::id::Digest;
use avouch_core::model::federation::Introspected;
use avouch_core::time::Time;
use avouch_core::verdict::Need;
use avouch_testkit::token::NOW_SECONDS;
use serde_json::{Value, json};

use crate::token_ask::{AUDIENCE, Ask, ISSUER, ask, good, issuer_key, issuer_with};

const TOKEN: &str = "an-opaque-token";

fn trusted(asked: &Value) -> Value {
    let mut anchor = issuer_with(ISSUER, &issuer_key());
    anchor["introspection"] = asked.clone();
    anchor
}

fn answer() -> Value {
    json!({
        "active": true, "iss": ISSUER, "sub": "job-7", "aud": AUDIENCE, "client_id": "deploy",
        "iat": NOW_SECONDS - 10, "exp": NOW_SECONDS + 600,
    })
}

fn told(token: &str, at: i64, answer: &Value) -> Arc<Introspected> {
    let (token, at) = (
        Digest::of(token.as_bytes()),
        Time::from_unix(NOW_SECONDS + at),
    );
    let answer = answer.to_string();
    Arc::new(Introspected::read(ISSUER, token, at, answer.as_bytes()).unwrap())
}

fn opaque() -> Ask {
    let mut asked = Ask::jwt("").trust(&trusted(&json!({})));
    asked.question.credential = Credential::Opaque(TOKEN.to_owned());
    asked
}

pub(crate) fn with(changes: &Value) -> Ask {
    let mut answer = answer();
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(answer.as_object_mut().unwrap().remove(name)),
            false => answer[name] = value.clone(),
        }
    }
    opaque().told(told(TOKEN, -5, &answer))
}

#[test]
fn a_token_holds_as_long_as_its_issuer_says_and_the_answer_is_fresh() {
    let identity = with(&json!({})).identity();
    assert_eq!(identity.name(), format!("{ISSUER}#job-7"));
    assert_eq!(identity.facts()["claims.client_id"], "deploy");
    assert_eq!(identity.path()[0].how().name(), "introspection");
    // Asked five seconds ago, and believed for a minute.
    assert_eq!(identity.valid_until().unix(), NOW_SECONDS + 54);
    let source = &identity.revocation()[0];
    assert_eq!(
        (source.source, source.as_of.unix()),
        ("introspection", NOW_SECONDS - 5)
    );
    let soon = with(&json!({"exp": NOW_SECONDS + 7})).identity();
    assert_eq!(soon.valid_until().unix(), NOW_SECONDS + 6);
    with(&json!({"exp": null})).is_accepted();
    // What does not say when it ends says all the same when it begins.
    let endless =
        |claim: &str, seconds: i64| with(&json!({"exp": null, claim: NOW_SECONDS + seconds}));
    endless("nbf", 60).is_accepted();
    endless("nbf", 61).is_refused("federation.token_not_yet_valid");
    endless("iat", 60).is_accepted();
    endless("iat", 61).is_refused("federation.issued_in_future");
}

#[test]
fn without_a_fresh_answer_about_this_very_token_there_is_no_verdict() {
    let need = [Need::Introspection {
        issuer: ISSUER.to_owned(),
        why: None,
    }];
    assert_eq!(opaque().needs(), need);
    assert_eq!(opaque().told(told(TOKEN, -60, &answer())).needs(), need);
    opaque().told(told(TOKEN, -59, &answer())).is_accepted();
    assert_eq!(opaque().told(told(TOKEN, 61, &answer())).needs(), need);
    assert_eq!(
        opaque().told(told("another-token", -5, &answer())).needs(),
        need
    );
}

#[test]
fn what_does_not_hold_or_is_of_someone_else_is_refused() {
    let inactive = "federation.token_inactive";
    opaque()
        .told(told(TOKEN, -5, &json!({"active": false})))
        .is_refused(inactive);
    // What stands beside it means nothing.
    let mut lying = answer();
    lying["active"] = false.into();
    opaque().told(told(TOKEN, -5, &lying)).is_refused(inactive);
    // Of two answers the newer counts.
    opaque()
        .told(told(TOKEN, -5, &answer()))
        .told(told(TOKEN, -4, &json!({"active": false})))
        .is_refused(inactive);
    with(&json!({"iss": "https://other.example.com"}))
        .is_refused("federation.introspection_malformed");
    with(&json!({"iss": null})).is_accepted();
    with(&json!({"sub": null})).is_refused("federation.claim_missing");
    with(&json!({"aud": null})).is_refused("federation.claim_missing");
    with(&json!({"aud": "https://other.example.com"})).is_refused("federation.audience_mismatch");
    with(&json!({"exp": NOW_SECONDS})).is_refused("federation.token_expired");
    with(&json!({"nbf": NOW_SECONDS + 61})).is_refused("federation.token_not_yet_valid");
    with(&json!({"exp": NOW_SECONDS + 90_000, "iat": NOW_SECONDS}))
        .is_refused("federation.lifetime_excessive");
    with(&json!({"cnf": {"jkt": "x"}})).is_refused("federation.proof_missing");
    with(&json!({"sub": 7})).is_refused("federation.claim_mistyped");
}

#[test]
fn an_answer_that_is_none_is_not_read() {
    let read = |text: &str| {
        let token = Digest::of(TOKEN.as_bytes());
        Introspected::read(ISSUER, token, Time::from_unix(NOW_SECONDS), text.as_bytes())
            .map_err(|reason| reason.code())
    };
    for wrong in [
        "",
        "{}",
        "[]",
        "active",
        r#"{"active": "true"}"#,
        r#"{"active": 1}"#,
        r#"{"active": true, "active": false}"#,
        &format!(r#"{{"active": true, "x": "{}"}}"#, "a".repeat(17 << 10)),
    ] {
        assert_eq!(
            read(wrong).err(),
            Some("federation.introspection_malformed"),
            "{wrong:.40}"
        );
    }
    assert!(read(r#"{"active": false}"#).is_ok());
}

#[test]
fn a_token_is_shown_to_no_issuer_but_the_one_that_is_meant() {
    let mut other = trusted(&json!({}));
    other["issuer"] = "https://other.example.com".into();
    let both = || opaque().trust(&other);
    both().is_refused("federation.token_opaque");
    let mut named = both();
    named.question.context.issuer = Some(ISSUER.to_owned());
    assert_eq!(named.needs().len(), 1);
    named.told(told(TOKEN, -5, &answer())).is_accepted();
    let mut unknown = both();
    unknown.question.context.issuer = Some("https://third.example.com".to_owned());
    unknown.is_refused("federation.token_opaque");
    // One that is asked about other tokens is not asked about these.
    let mut not_asked = Ask::jwt("").trust(&trusted(&json!({"tokens": ["jwt"]})));
    not_asked.question.credential = Credential::Opaque(TOKEN.to_owned());
    not_asked.is_refused("federation.token_opaque");
}

#[test]
fn a_token_that_anyone_can_read_is_asked_about_where_the_anchor_wants_it() {
    let token = good().sign(&issuer_key(), "key-1");
    let asked = || Ask::jwt(token.clone()).trust(&trusted(&json!({"tokens": ["jwt"]})));
    assert!(matches!(
        asked().needs().as_slice(),
        [Need::Introspection { .. }]
    ));
    asked().told(told(&token, -5, &answer())).is_accepted();
    asked()
        .told(told(&token, -5, &json!({"active": false})))
        .is_refused("federation.token_inactive");
    // What does not hold by itself is asked about by nobody.
    let forged = good().sign(&avouch_testkit::key::Key::p256("mallory"), "key-1");
    Ask::jwt(forged)
        .trust(&trusted(&json!({"tokens": ["jwt"]})))
        .is_refused("federation.signature_invalid");
    ask(&good()).is_accepted();
}

#[test]
fn an_anchor_may_do_without_an_audience() {
    let mut loose = opaque();
    loose = loose.with_anchor(|anchor| {
        let document = trusted(&json!({"without_audience": true, "max_age": 10}));
        anchor.kind = crate::token_ask::read_anchor(&document).unwrap();
    });
    let mut nobody = answer();
    nobody.as_object_mut().unwrap().remove("aud");
    let identity = loose.clone().told(told(TOKEN, -5, &nobody)).identity();
    assert_eq!(identity.valid_until().unix(), NOW_SECONDS + 4);
    // One that names another is for another all the same.
    nobody["aud"] = "https://other.example.com".into();
    loose
        .told(told(TOKEN, -5, &nobody))
        .is_refused("federation.audience_mismatch");
}
