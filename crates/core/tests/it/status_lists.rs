//! Status lists of tokens: hostile input 60, each with what only looks like it.

use avouch_core::anchor::StatusUse;
use avouch_core::credential::jose::status_list::{Fetched, StatusList, UNPACKED_BYTES};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Need;
use avouch_testkit::key::Key;
use avouch_testkit::status_list::{StatusListForge, pack, status};
use avouch_testkit::token::{NOW_SECONDS, TokenForge, encode};
use serde_json::{Value, json};

use crate::token_ask::{Ask, ISSUER, ask, ask_svid, good, good_svid, issuer_key, jwt_authority};

const LIST: &str = "https://issuer.example.com/status/1";
const REVOKED: &str = "revocation.token_status";

fn list() -> StatusListForge {
    StatusListForge::at(LIST, 4_096)
}

fn signed(list: &StatusListForge) -> String {
    list.sign(&issuer_key(), "key-1")
}

/// About the token with number 5.
fn five() -> Ask {
    ask(&good().claim("status", status(5, LIST)))
}

fn under(list: &StatusListForge) -> Ask {
    five().status_list(&signed(list))
}

fn read(list: &str) -> Result<StatusList, &'static str> {
    StatusList::read(list).map_err(|reason| reason.code())
}

#[test]
fn hostile_60_a_token_that_was_taken_back_is_refused_and_its_neighbours_are_not() {
    under(&list()).is_accepted();
    under(&list().status(5, 1)).is_refused(REVOKED);
    under(&list().status(4, 1).status(6, 1)).is_accepted();
    for bits in [2, 4, 8] {
        under(&list().bits(bits).status(5, 1)).is_refused(REVOKED);
        under(&list().bits(bits).status(5, 2)).is_refused(REVOKED);
        under(&list().bits(bits).status(5, 3)).is_refused(REVOKED);
        under(&list().bits(bits).status(4, 3).status(6, 2)).is_accepted();
    }
    match under(&list().bits(2).status(5, 2)).reason() {
        Reason::TokenStatus { status, index, .. } => {
            assert_eq!((status.as_str(), index), ("SUSPENDED", 5));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn hostile_60_a_list_that_is_not_there_is_no_no_and_no_yes() {
    let missing = Need::StatusList {
        issuer: ISSUER.to_owned(),
        uri: LIST.to_owned(),
        why: None,
    };
    assert_eq!(five().needs(), std::slice::from_ref(&missing));
    // A list of another address is none.
    let other = StatusListForge::at("https://issuer.example.com/status/2", 4_096);
    assert_eq!(five().status_list(&signed(&other)).needs(), [missing]);
    five()
        .with_anchor(|anchor| anchor.constraints.status_lists = StatusUse::Ignored)
        .is_accepted();
    let required = |token: &TokenForge| {
        let asked = ask(token);
        asked.with_anchor(|anchor| anchor.constraints.status_lists = StatusUse::Required)
    };
    required(&good()).is_refused("revocation.token_status_missing");
    required(&good().claim("status", json!({"other": {}})))
        .is_refused("revocation.token_status_missing");
    required(&good().claim("status", status(5, LIST)))
        .status_list(&signed(&list()))
        .is_accepted();
    ask(&good()).is_accepted();
}

#[test]
fn hostile_60_an_index_that_is_none_or_beyond_the_list_refuses() {
    let at = |index: Value| {
        let claim = json!({"status_list": {"idx": index, "uri": LIST}});
        ask(&good().claim("status", claim)).status_list(&signed(&list()))
    };
    at(json!(4_095)).is_accepted();
    at(json!(4_096)).is_refused("revocation.status_index_beyond");
    at(json!(u64::MAX)).is_refused("revocation.status_index_beyond");
    for wrong in [json!(-1), json!("5"), json!(5.0), json!(null), json!([5])] {
        at(wrong).is_refused("federation.claim_mistyped");
    }
    for wrong in [
        json!("active"),
        json!([]),
        json!({"status_list": LIST}),
        json!({"status_list": {"idx": 5}}),
        json!({"status_list": {"idx": 5, "uri": ""}}),
        json!({"status_list": {"idx": 5, "uri": 7}}),
    ] {
        ask(&good().claim("status", wrong))
            .status_list(&signed(&list()))
            .is_refused("federation.claim_mistyped");
    }
}

#[test]
fn hostile_60_a_list_counts_only_with_the_signature_of_who_issued_the_token() {
    let invalid = "revocation.status_list_signature_invalid";
    let with = |list: String| five().status_list(&list);
    with(list().sign(&Key::p256("mallory"), "key-1")).is_refused(invalid);
    with(list().sign(&Key::p256("mallory"), "key-2")).is_refused(invalid);
    with(
        list()
            .claim("iss", "https://other.example.com".into())
            .sign(&issuer_key(), "key-1"),
    )
    .is_refused(invalid);
    with(
        list()
            .claim("iss", ISSUER.into())
            .sign(&issuer_key(), "key-1"),
    )
    .is_accepted();
    let mut bent = signed(&list());
    let last = bent.pop().unwrap();
    bent.push(if last == 'A' { 'Q' } else { 'A' });
    assert!(read(&bent).is_err() || five().status_list(&bent).decide_code() == invalid);
    // Another address in the list than where it was found.
    let found_elsewhere = |subject: &str| {
        let list = StatusList::read(&signed(&list().claim("sub", subject.into()))).unwrap();
        five().fetched_list(list.fetched(Fetched {
            uri: LIST.to_owned(),
            as_of: Time::from_unix(NOW_SECONDS - 1),
            next: Time::from_unix(NOW_SECONDS + 60),
            usable_until: Time::from_unix(NOW_SECONDS + 120),
        }))
    };
    found_elsewhere("https://issuer.example.com/status/2")
        .is_refused("revocation.status_list_subject");
    found_elsewhere(LIST).is_accepted();
}

#[test]
fn hostile_60_a_list_that_is_over_tells_nothing() {
    let expired = "revocation.status_list_expired";
    let until = |exp: i64| under(&list().claim("exp", (NOW_SECONDS + exp).into()));
    until(0).is_refused(expired);
    until(1).is_accepted();
    assert_eq!(until(5).identity().valid_until().unix(), NOW_SECONDS + 4);
    // Before the list was there, nobody could have told.
    let begun = |iat: i64| {
        let list = list().claim("iat", (NOW_SECONDS + iat).into());
        let token = good()
            .without("nbf")
            .claim("iat", (NOW_SECONDS - 60).into());
        let asked = ask(&token.claim("status", status(5, LIST))).status_list(&signed(&list));
        asked.identity().valid_from().unix() - NOW_SECONDS
    };
    assert_eq!([begun(-90), begun(-7), begun(30)], [-60, -7, 0]);
    under(&list().claim("iat", (NOW_SECONDS + 61).into()))
        .is_refused("federation.issued_in_future");
    under(&list().claim("iat", (NOW_SECONDS + 60).into())).is_accepted();
    // Without an end of its own it holds for a day.
    let old = |age: i64| {
        list()
            .claim("exp", Value::Null)
            .claim("iat", (NOW_SECONDS - age).into())
    };
    under(&old(86_399)).is_accepted();
    under(&old(86_400)).is_refused(expired);
    let fetched = |usable: i64| {
        five().fetched_list(
            StatusList::read(&signed(&list()))
                .unwrap()
                .fetched(Fetched {
                    uri: LIST.to_owned(),
                    as_of: Time::from_unix(NOW_SECONDS - 100),
                    next: Time::from_unix(NOW_SECONDS - 50),
                    usable_until: Time::from_unix(NOW_SECONDS + usable),
                }),
        )
    };
    fetched(0).is_refused(expired);
    let source = fetched(1).identity().revocation().to_vec();
    assert_eq!(source[0].source, "status_list");
    assert_eq!(source[0].as_of.unix(), NOW_SECONDS - 100);
    assert_eq!(source[0].next.unwrap().unix(), NOW_SECONDS - 50);
}

#[test]
fn hostile_60_an_older_list_does_not_undo_what_a_newer_one_says() {
    let newer = signed(&list().status(5, 1));
    let older = signed(&list().claim("iat", (NOW_SECONDS - 600).into()));
    five().status_list(&older).is_accepted();
    five()
        .status_list(&older)
        .status_list(&newer)
        .is_refused(REVOKED);
    five()
        .status_list(&newer)
        .status_list(&older)
        .is_refused(REVOKED);
    // One that somebody made up, however new, pushes nothing aside.
    let forged = list()
        .claim("iat", NOW_SECONDS.into())
        .sign(&Key::p256("mallory"), "key-1");
    five()
        .status_list(&forged)
        .status_list(&newer)
        .is_refused(REVOKED);
    five()
        .status_list(&forged)
        .status_list(&older)
        .is_accepted();
}

#[test]
fn hostile_60_a_bomb_is_not_unpacked() {
    let bomb = |bytes: usize| signed(&list().packed(pack(&vec![0; bytes])));
    assert!(bomb(UNPACKED_BYTES + 1).len() < 8_192);
    assert_eq!(
        read(&bomb(UNPACKED_BYTES + 1)).err(),
        Some("limit.status_list_size")
    );
    assert_eq!(read(&bomb(1 << 24)).err(), Some("limit.status_list_size"));
    assert_eq!(
        read(&bomb(UNPACKED_BYTES)).map(|list| list.entries()),
        Ok(8 * UNPACKED_BYTES)
    );
    let long = format!("{}{}", signed(&list()), "A".repeat(1 << 20));
    assert_eq!(read(&long).err(), Some("limit.status_list_size"));
}

#[test]
fn hostile_60_what_is_no_list_is_not_read() {
    let malformed = Some("revocation.status_list_malformed");
    let good = list().entries();
    let saying = |value: Value| read(&list().sign_saying(value, &issuer_key(), "key-1")).err();
    let with = |packed: &[u8]| read(&signed(&list().packed(packed.to_vec()))).err();
    assert_eq!(with(&good), None);
    assert_eq!(with(&good[..good.len() - 1]), malformed, "truncated");
    assert_eq!(with(&good[..2]), malformed);
    assert_eq!(with(&good[2..]), malformed, "deflate without zlib");
    let mut bent = good.clone();
    *bent.last_mut().unwrap() ^= 1;
    assert_eq!(with(&bent), malformed, "its sum is another");
    assert_eq!(with(&pack(&[])), malformed, "empty");
    for bits in [
        json!(0),
        json!(3),
        json!(16),
        json!("1"),
        json!(null),
        json!(1.0),
    ] {
        assert_eq!(
            saying(json!({"bits": bits, "lst": encode(&good)})),
            malformed,
            "{bits}"
        );
    }
    assert_eq!(saying(json!({"bits": 1, "lst": encode(&good)})), None);
    for wrong in [
        json!([]),
        json!({"bits": 1}),
        json!({"bits": 1, "lst": "****"}),
    ] {
        assert_eq!(saying(wrong), malformed);
    }
    let padded = format!("{}=", encode(&good));
    assert_eq!(saying(json!({"bits": 1, "lst": padded})), malformed);
    for claim in ["sub", "iat"] {
        assert_eq!(
            read(&signed(&list().claim(claim, Value::Null))).err(),
            malformed,
            "{claim}"
        );
    }
    for ttl in [json!(0), json!(-1), json!("60"), json!(1.5)] {
        assert_eq!(read(&signed(&list().claim("ttl", ttl))).err(), malformed);
    }
    for name in ["JWT", "at+jwt", "statuslist+cwt"] {
        assert_eq!(
            read(&signed(&list().header("typ", name.into()))).err(),
            malformed,
            "{name}"
        );
    }
    let long_form = list().header("typ", "application/statuslist+jwt".into());
    assert_eq!(read(&signed(&long_form)).err(), None);
    // A list proves nothing of who shows it.
    Ask::jwt(signed(&list())).is_refused("federation.type_unexpected");
}

#[test]
fn a_jwt_svid_is_looked_up_in_the_list_of_its_trust_domain() {
    let uri = "https://prod.example.com/status/1";
    let asked = || ask_svid(&good_svid().claim("status", status(7, uri)));
    let list = |forge: StatusListForge| forge.sign(&jwt_authority(), "jwt-1");
    let good = StatusListForge::at(uri, 16);
    asked().status_list(&list(good.clone())).is_accepted();
    asked()
        .status_list(&list(good.clone().status(7, 1)))
        .is_refused(REVOKED);
    asked()
        .status_list(&good.sign(&issuer_key(), "jwt-1"))
        .is_refused("revocation.status_list_signature_invalid");
    assert!(matches!(
        asked().needs().as_slice(),
        [Need::StatusList { .. }]
    ));
}
