//! What holds for every token, however it is bent.

use avouch_testkit::key::Key;
use avouch_testkit::token::{NOW_SECONDS, TokenForge, jwk, jwks};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::token_ask::{
    AUDIENCE, Ask, ISSUER, good, issuer, issuer_key, issuer_with, outcome, trust_domain,
};

/// Any anchor that may stand beside the right one.
fn any_anchor() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(issuer()),
        Just(trust_domain()),
        Just(json!({"issuer": ISSUER})),
        Just(json!({"issuer": ISSUER, "audiences": ["db"],
            "jwks": jwks(&[jwk(&issuer_key(), "key-1")])})),
        Just(
            json!({"issuer": ISSUER, "jwks": jwks(&[jwk(&issuer_key(), "key-1")]),
            "rules": [{"facts": {"subject": "no one"}}]})
        ),
        (0..3_u8).prop_map(|n| issuer_with(ISSUER, &Key::p256(&n.to_string()))),
        (0..3_u8).prop_map(|n| issuer_with(&format!("https://{n}.example"), &issuer_key())),
    ]
}

/// Any token that is good or nearly so.
fn any_token() -> impl Strategy<Value = TokenForge> {
    let audience = prop_oneof![
        Just(json!(AUDIENCE)),
        Just(json!("db")),
        Just(json!([AUDIENCE, "db"]))
    ];
    let subject = prop_oneof![Just("job-7"), Just("spiffe://prod.example.com/a")];
    (audience, subject, -60..700_i64).prop_map(|(audience, subject, expires)| {
        good()
            .claim("aud", audience)
            .claim("sub", subject.into())
            .claim("exp", (NOW_SECONDS + expires).into())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn another_anchor_never_turns_an_accepted_token_away(
        token in any_token(),
        named in any::<bool>(),
        anchors in prop::collection::vec(any_anchor(), 0..4),
        more in any_anchor(),
        first in any::<bool>(),
    ) {
        let token = if named {
            token.sign(&issuer_key(), "key-1")
        } else {
            token.sign_nameless(&issuer_key())
        };
        let trusting = |anchors: &[&Value]| {
            anchors.iter().fold(Ask::jwt(token.clone()), |ask, anchor| ask.trust(anchor))
        };
        let few: Vec<&Value> = anchors.iter().collect();
        let many: Vec<&Value> = if first {
            std::iter::once(&more).chain(few.iter().copied()).collect()
        } else {
            few.iter().copied().chain(std::iter::once(&more)).collect()
        };
        let before = outcome(&trusting(&few).decide());
        if before == "accept" {
            prop_assert_eq!(outcome(&trusting(&many).decide()), "accept");
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(token in any_token(), anchors in prop::collection::vec(any_anchor(), 0..4)) {
        let token = token.sign(&issuer_key(), "key-1");
        let asked = anchors.iter().fold(Ask::jwt(token), |ask, anchor| ask.trust(anchor));
        prop_assert_eq!(format!("{:?}", asked.decide()), format!("{:?}", asked.decide()));
    }

    #[test]
    fn no_change_of_one_character_leaves_a_token_good(place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=+/-]") {
        let token = good().sign(&Key::ed25519("issuer"), "key-1");
        let place = place.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(place..=place, &to);
        prop_assume!(changed != token);
        let asked = Ask::jwt(changed).trust(&issuer_with(ISSUER, &Key::ed25519("issuer")));
        prop_assert_ne!(outcome(&asked.decide()), "accept");
    }

    #[test]
    fn no_bytes_at_all_end_otherwise_than_in_a_verdict(text in "\\PC{0,200}", parts in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
        for text in [text, parts] {
            let asked = Ask::jwt(text.clone()).trust(&issuer()).trust(&trust_domain());
            prop_assert_ne!(outcome(&asked.decide()), "accept");
            let asked = Ask::wit(&text, Some(&text)).trust(&trust_domain());
            prop_assert_ne!(outcome(&asked.decide()), "accept");
        }
    }
}
