//! Hostile input 59: events that are not what they have to be, each beside one that is.

use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::json;

use super::{
    CAEP, REVOKED, RISC, SSF, SUBJECT, cloud, decided, event, exchange, exchanged, post, refused,
    refused_of, shown, signal, subject, thief, told, workflow,
};
use crate::exchange::{GITHUB, refusal};

#[test]
fn hostile_59_an_event_is_no_token_of_its_subject_and_the_other_way_round() {
    let cloud = cloud();
    let revoked = event(&cloud, REVOKED, &subject(SUBJECT), 0);
    let as_token = exchange(&cloud, &revoked.sign(&cloud.issuer, "k1"));
    assert_eq!(refusal(&as_token).1, "federation.type_unexpected");
    assert_eq!(
        refused(&cloud, &workflow(&cloud, 0, &json!({}))),
        "invalid_request"
    );
    for disguise in ["JWT", "at+jwt", "logout+jwt", "secevent"] {
        let disguised = revoked.clone().header("typ", json!(disguise));
        assert_eq!(
            refused_of(&cloud, &disguised),
            "invalid_request",
            "{disguise}"
        );
    }
    // Near misses: with and without the head of the media type.
    told(&cloud, &revoked);
    let long = event(&cloud, REVOKED, &subject(SUBJECT), 0);
    told(
        &cloud,
        &long.header("typ", json!("application/secevent+jwt")),
    );
}

#[test]
fn hostile_59_only_what_its_issuer_signed_for_this_receiver_is_an_event() {
    let cloud = cloud();
    let good = || event(&cloud, REVOKED, &subject(SUBJECT), 0);
    let before = exchanged(&cloud, 20, &json!({}));
    let unsigned = good()
        .header("alg", json!("none"))
        .with_signature("none", b"");
    assert_eq!(refused(&cloud, &unsigned), "invalid_key");
    assert_eq!(refused(&cloud, &good().sign(&thief(), "k1")), "invalid_key");
    assert_eq!(refused(&cloud, &good().sign(&thief(), "k2")), "invalid_key");
    let shared = good()
        .header("alg", json!("HS256"))
        .with_signature("HS256", b"x");
    assert_eq!(refused(&cloud, &shared), "invalid_key");
    for audience in [
        json!("https://other.test"),
        json!([]),
        json!([7]),
        json!(null),
    ] {
        let other = good().claim("aud", audience.clone());
        let word = refused_of(&cloud, &other);
        assert!(
            ["invalid_audience", "invalid_request"].contains(&word.as_str()),
            "{audience}"
        );
    }
    let elsewhere = good().claim("aud", json!("https://other.test"));
    assert_eq!(refused_of(&cloud, &elsewhere), "invalid_audience");
    let unknown = good().claim("iss", json!("https://unknown.test"));
    assert_eq!(refused_of(&cloud, &unknown), "invalid_issuer");
    assert_eq!(decided(&cloud, &before), "accept");
    // Near miss: it may be for others, too.
    told(
        &cloud,
        &good().claim(
            "aud",
            json!(["https://other.test", crate::exchange::OURSELVES]),
        ),
    );
    assert_eq!(decided(&cloud, &before), "revocation.subject_ended");
}

#[test]
fn hostile_59_an_event_has_the_claims_that_it_must_and_none_that_it_must_not() {
    let cloud = cloud();
    let good = || event(&cloud, REVOKED, &subject(SUBJECT), 0);
    let now = cloud.now();
    for (claim, value) in [
        ("exp", json!(now + 600)),
        ("exp", json!(null)),
        ("sub", json!(SUBJECT)),
        ("events", json!({})),
        ("events", json!([REVOKED])),
        ("events", json!({REVOKED: "yes"})),
        ("iat", json!("now")),
        ("iat", json!(now + 3_600)),
        ("iat", json!(now - 31 * 86_400)),
        ("jti", json!("")),
        ("jti", json!("x".repeat(300))),
        ("sub_id", json!("me")),
    ] {
        let word = refused_of(&cloud, &good().claim(claim, value.clone()));
        assert_eq!(word, "invalid_request", "{claim}: {value}");
    }
    for claim in ["jti", "iat", "events", "sub_id", "aud"] {
        let word = refused_of(&cloud, &good().without(claim));
        assert_eq!(word, "invalid_request", "{claim}");
    }
    let later = good().claim("events", json!({REVOKED: {"event_timestamp": now + 3_600}}));
    assert_eq!(refused_of(&cloud, &later), "invalid_request");
    let sent = crate::http::request(
        "POST",
        "/t/one/events",
        &[("content-type", "application/jwt")],
        Some("x"),
    );
    assert_eq!(crate::http::send(cloud.world.address, &sent).status, 400);
    // Near miss: two names of one event, and a claim that nobody knows.
    let two = json!({REVOKED: {}, "https://example.test/session-revoked": {}});
    told(
        &cloud,
        &good().claim("events", two).claim("txn", json!("8675309")),
    );
}

#[test]
fn hostile_59_an_issuer_ends_nothing_that_another_has_vouched_for() {
    let cloud = cloud();
    let other = Key::p256("other");
    cloud.anchor(
        "other",
        &json!({"issuer": "https://other.test", "jwks": jwks(&[jwk(&other, "k1")])}),
    );
    signal(&cloud, "other", &json!({"issuer": "https://other.test"}));
    let before = exchanged(&cloud, 20, &json!({}));
    let by_other = |named: serde_json::Value| {
        let event = event(&cloud, REVOKED, &named, 0);
        event
            .claim("iss", json!("https://other.test"))
            .sign(&other, "k1")
    };
    assert_eq!(
        refused(&cloud, &by_other(subject(SUBJECT))),
        "access_denied"
    );
    let aliases = json!({"format": "aliases", "identifiers": [
        {"format": "opaque", "id": "x"}, subject(SUBJECT),
    ]});
    assert_eq!(refused(&cloud, &by_other(aliases)), "access_denied");
    for almost in [
        "https://token.actions.githubusercontent.com/",
        "HTTPS://token.actions.githubusercontent.com",
    ] {
        let named = json!({"format": "iss_sub", "iss": almost, "sub": SUBJECT});
        let word = refused_of(&cloud, &event(&cloud, REVOKED, &named, 0));
        assert_eq!(word, "access_denied", "{almost}");
    }
    // In its own name it may say the same name; that is someone else.
    let opaque = json!({"format": "opaque", "id": SUBJECT});
    assert_eq!(post(&cloud, &by_other(opaque.clone())).status, 202);
    assert_eq!(decided(&cloud, &before), "accept");
    // Near miss: the issuer itself.
    told(&cloud, &event(&cloud, REVOKED, &opaque, 0));
    assert_eq!(decided(&cloud, &before), "revocation.subject_ended");
}

#[test]
fn hostile_59_a_subject_of_an_unknown_format_is_refused_and_those_of_the_standard_are_known() {
    let cloud = cloud();
    for unknown in [
        json!({"format": "ip-addresses", "ip-addresses": ["10.0.0.1"]}),
        json!({"format": "complex", "device": {"format": "opaque", "id": "d"}}),
        json!({"format": "complex", "session": {"format": "email", "email": "a@b.test"}}),
    ] {
        let word = refused_of(&cloud, &event(&cloud, REVOKED, &unknown, 0));
        assert_eq!(word, "access_denied", "{unknown}");
    }
    for malformed in [
        json!({}),
        json!({"format": "opaque"}),
        json!({"format": "opaque", "id": 7}),
        json!({"format": "iss_sub", "sub": "x"}),
        json!({"format": "opaque", "id": "a\u{202e}b"}),
        json!({"format": "aliases", "identifiers": []}),
        json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]}),
    ] {
        let event = event(&cloud, REVOKED, &malformed, 0);
        let answer = post(&cloud, &event.sign(&cloud.issuer, "k1"));
        assert_eq!(answer.status, 400, "{malformed}");
    }
    for known in [
        json!({"format": "opaque", "id": "x"}),
        json!({"format": "account", "uri": "acct:x@example.test"}),
        json!({"format": "uri", "uri": "https://example.test/x"}),
        json!({"format": "did", "url": "did:example:123456"}),
        json!({"format": "email", "email": "x@example.test"}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "jwt_id", "iss": GITHUB, "jti": "job-x"}),
        json!({"format": "aliases", "identifiers": [
            {"format": "opaque", "id": "x"}, {"format": "email", "email": "x@example.test"},
        ]}),
        json!({"format": "complex", "user": {"format": "opaque", "id": "x"},
               "device": {"format": "opaque", "id": "d"}}),
        json!({"format": "complex", "session": {"format": "opaque", "id": "s"}}),
    ] {
        told(&cloud, &event(&cloud, REVOKED, &known, 0));
    }
}

#[test]
fn hostile_59_an_event_that_comes_again_or_late_does_what_it_did_and_no_more() {
    let cloud = cloud();
    let disabled = event(
        &cloud,
        &format!("{RISC}/account-disabled"),
        &subject(SUBJECT),
        30,
    );
    let enabled = event(
        &cloud,
        &format!("{RISC}/account-enabled"),
        &subject(SUBJECT),
        20,
    );
    let before = workflow(&cloud, 40, &json!({}));
    // The later one first: the earlier one closes nothing any more, and what was had before is over.
    told(&cloud, &enabled);
    told(&cloud, &disabled);
    assert_eq!(
        refusal(&exchange(&cloud, &before)).1,
        "revocation.subject_ended"
    );
    let after = exchanged(&cloud, 10, &json!({}));
    for _ in 0..3 {
        told(&cloud, &disabled);
    }
    assert_eq!(decided(&cloud, &after), "accept");
    let stream = shown(&cloud, "github");
    assert_eq!(
        (&stream["ended"], &stream["repeated"]),
        (&json!(2), &json!(3))
    );
    // Near miss: a new number is a new event.
    told(
        &cloud,
        &event(
            &cloud,
            &format!("{RISC}/account-disabled"),
            &subject(SUBJECT),
            5,
        ),
    );
    assert_eq!(decided(&cloud, &after), "revocation.subject_ended");
}

#[test]
fn hostile_59_an_answer_to_a_question_that_was_not_asked_is_refused() {
    let cloud = cloud();
    let stream = json!({"format": "opaque", "id": "stream-1"});
    let verification = |said: serde_json::Value| {
        let name = format!("{SSF}/verification");
        event(&cloud, &name, &stream, 0).claim("events", json!({ name: said }))
    };
    assert_eq!(
        refused_of(&cloud, &verification(json!({"state": "guess"}))),
        "invalid_state"
    );
    assert_eq!(shown(&cloud, "github")["state"], "waiting");
    // Near miss: a transmitter may say by itself that it is there.
    told(&cloud, &verification(json!({})));
    assert_eq!(shown(&cloud, "github")["state"], "ok");
}

#[test]
fn hostile_59_a_stream_that_is_paused_is_seen() {
    let cloud = cloud();
    let name = format!("{SSF}/stream-updated");
    let stream = json!({"format": "opaque", "id": "stream-1"});
    let paused = event(&cloud, &name, &stream, 0);
    let said = json!({ &name: {"status": "paused", "reason": "maintenance"} });
    told(&cloud, &paused.claim("events", said));
    let stream_now = shown(&cloud, "github");
    assert_eq!(stream_now["state"], "paused", "{stream_now}");
    assert_eq!(stream_now["why"], "maintenance");
    let metrics = cloud.world.get("/metrics").body;
    assert!(
        metrics.contains("avouch_signals{state=\"paused\"} 1"),
        "{metrics}"
    );
    let strange =
        event(&cloud, &name, &stream, 0).claim("events", json!({ &name: {"status": "off"} }));
    assert_eq!(refused_of(&cloud, &strange), "invalid_request");
    let enabled = event(&cloud, &name, &stream, 0);
    told(
        &cloud,
        &enabled.claim("events", json!({ &name: {"status": "enabled"} })),
    );
    assert_eq!(shown(&cloud, "github")["state"], "ok");
}

#[test]
fn hostile_59_a_transmitter_changes_its_key_and_a_removed_one_signs_no_more() {
    let mut registry = crate::registry::Registry::new();
    let issuer = IssuerServer::start();
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    issuer.publish(&[(&old, "old")]);
    let document = json!({
        "issuer": issuer.issuer(), "ca": issuer.ca(),
        "rules": [{"name": "jobs", "facts": {"subject": "job-7"}}],
    });
    assert!(registry.put("idp", &document).is_put());
    let stream = json!({"issuer": issuer.issuer(), "audience": "here"});
    let put = registry.call("PUT", "/v1/tenants/one/signals/idp", Some(&stream));
    assert!(put.is_put(), "{}", put.body);
    let send = |registry: &crate::registry::Registry, key: &Key, kid: &str, number: u32| {
        let event = avouch_testkit::token::TokenForge::saying(json!({
            "iss": issuer.issuer(), "aud": "here", "jti": format!("e{number}"),
            "iat": registry.now(),
            "sub_id": {"format": "opaque", "id": "x"}, "events": {REVOKED: {}},
        }));
        let event = event.header("typ", json!("secevent+jwt")).sign(key, kid);
        registry.post_event("one", &event).status
    };
    assert_eq!(send(&registry, &old, "old", 1), 202);
    // A key that nobody has seen yet is fetched when the first event comes that it signed.
    registry.pass(120);
    issuer.publish(&[(&old, "old"), (&new, "new")]);
    assert_eq!(send(&registry, &new, "new", 2), 202);
    registry.pass(7_200);
    issuer.publish(&[(&new, "new")]);
    registry.tick();
    assert_eq!(send(&registry, &old, "old", 3), 400);
    assert_eq!(send(&registry, &new, "new", 4), 202);
}

#[test]
fn hostile_59_a_flood_of_events_ends_no_more_than_the_stream_may() {
    let cloud = cloud();
    signal(
        &cloud,
        "github",
        &json!({"issuer": GITHUB, "most_per_minute": 3}),
    );
    let statuses: Vec<u16> = (0..8)
        .map(|number| {
            let event = event(&cloud, REVOKED, &subject(&format!("s-{number}")), 0);
            post(&cloud, &event.sign(&cloud.issuer, "k1")).status
        })
        .collect();
    // A minute may begin in between.
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 202).count() <= 6);
    let last = event(&cloud, REVOKED, &subject("s-x"), 0).sign(&cloud.issuer, "k1");
    let answer = post(&cloud, &last);
    if answer.status == 429 {
        assert_eq!(answer.code(), "issue.events_exceeded");
    }
    // Near miss: what does nothing is bounded by nothing but the work it makes.
    told(
        &cloud,
        &event(
            &cloud,
            &format!("{CAEP}/session-presented"),
            &subject("s"),
            0,
        ),
    );
}
