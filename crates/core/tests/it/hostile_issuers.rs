//! Hostile tokens 14 to 18, 20 and 27: which key, and whose.

use avouch_core::budget::Budget;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId};
use avouch_core::reason::Reason;
use avouch_core::set_aside::Unusable;
use avouch_core::time::Time;
use avouch_core::verdict::{Need, Verdict};
use avouch_core::view::View;
use avouch_testkit::key::Key;
use avouch_testkit::token::{NOW_SECONDS, TokenForge, encode, jwk, jwks};
use avouch_testkit::world::Authority;
use serde_json::{Value, json};

use crate::token_ask::{
    AUDIENCE, Ask, ISSUER, ask, good, issuer, issuer_key, issuer_with, outcome, read_anchor,
};

#[test]
fn hostile_14_a_token_that_brings_its_own_key_is_refused() {
    let attacker = Key::p256("attacker");
    for (member, value) in [
        ("jwk", jwk(&attacker, "key-1")),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("http://169.254.169.254/")),
        ("x5c", json!(["MIIB"])),
    ] {
        let forge = good().header(member, value);
        Ask::jwt(forge.sign(&attacker, "key-1"))
            .trust(&issuer())
            .is_refused("federation.key_from_token");
        // Even the right key does not excuse it.
        ask(&forge).is_refused("federation.key_from_token");
    }
    ask(&good().header("x5t#S256", encode(&[1; 32]).into())).is_accepted();
}

#[test]
fn hostile_15_a_key_is_found_by_its_exact_name_or_not_at_all() {
    let signed_by = |kid: &str| Ask::jwt(good().sign(&issuer_key(), kid)).trust(&issuer());
    for kid in [
        "../../../../dev/null",
        "' OR 1=1 --",
        "KEY-1",
        "key-1 ",
        "key-1\u{0}",
        "k\u{435}y-1",
        &"k".repeat(8 << 10),
    ] {
        signed_by(kid).is_refused("federation.key_unknown");
    }
    signed_by(&"k".repeat(1 << 20)).is_refused("limit.input_size");
    signed_by("").is_refused("input.header_malformed");
    signed_by("key-1").is_accepted();
}

#[test]
fn hostile_15_a_token_that_names_no_key_is_believed_only_among_few() {
    let keys = |count: usize| {
        let own = jwk(&issuer_key(), "own");
        let others = (1..count).map(|n| jwk(&Key::p256(&n.to_string()), &n.to_string()));
        jwks(&others.chain([own]).collect::<Vec<_>>())
    };
    let asked = |count| {
        Ask::jwt(good().sign_nameless(&issuer_key()))
            .trust(&json!({"issuer": ISSUER, "jwks": keys(count)}))
    };
    asked(1).is_accepted();
    asked(4).is_accepted();
    asked(5).is_refused("federation.key_ambiguous");
    // A key of another kind is no candidate.
    let mixed = jwks(&[jwk(&Key::ed25519("e"), "e"), jwk(&issuer_key(), "own")]);
    Ask::jwt(good().sign_nameless(&issuer_key()))
        .trust(&json!({"issuer": ISSUER, "jwks": mixed}))
        .is_accepted();
}

#[test]
fn hostile_15_two_keys_of_one_name_are_no_key_set() {
    let anchor = |keys: &[Value]| json!({"issuer": ISSUER, "jwks": jwks(keys)});
    let one = jwk(&issuer_key(), "key-1");
    let other = jwk(&Key::p256("other"), "key-1");
    let reason = read_anchor(&anchor(&[one.clone(), other])).unwrap_err();
    assert_eq!(reason.code(), "federation.key_duplicate");
    Ask::jwt(good().sign(&issuer_key(), "key-1"))
        .trust(&anchor(&[one.clone(), one]))
        .is_accepted();
}

#[test]
fn hostile_15_the_same_name_at_two_issuers_means_two_keys() {
    let (one, two) = (Key::p256("one"), Key::p256("two"));
    let trusting = |token: String| {
        Ask::jwt(token)
            .trust(&issuer_with("https://one.example", &one))
            .trust(&issuer_with("https://two.example", &two))
    };
    let of = |issuer: &str| TokenForge::oidc(issuer, "job", AUDIENCE);
    trusting(of("https://one.example").sign(&one, "key-1")).is_accepted();
    trusting(of("https://two.example").sign(&two, "key-1")).is_accepted();
    trusting(of("https://one.example").sign(&two, "key-1"))
        .is_refused("federation.signature_invalid");
}

#[test]
fn hostile_16_a_key_speaks_for_its_own_issuer_and_tenant_only() {
    let (consumer, enterprise) = (Key::p256("consumer"), Key::p256("enterprise"));
    let trusting = |token: String| {
        Ask::jwt(token)
            .trust(&json!({"issuer": "https://consumer.example",
                "jwks": jwks(&[jwk(&consumer, "consumer-1")])}))
            .trust(&json!({"issuer": "https://enterprise.example",
                "jwks": jwks(&[jwk(&enterprise, "enterprise-1")])}))
    };
    let of = |issuer: &str| TokenForge::oidc(issuer, "admin", AUDIENCE);
    trusting(of("https://enterprise.example").sign(&consumer, "consumer-1"))
        .is_refused("federation.key_unknown");
    trusting(of("https://enterprise.example").sign(&enterprise, "enterprise-1")).is_accepted();

    let of_another =
        |asked: Ask| asked.with_anchor(|anchor| anchor.tenant = TenantId::parse("other").unwrap());
    of_another(ask(&good())).is_refused("policy.anchor_tenant");
    let identity = ask(&good()).identity();
    assert_eq!(identity.tenant(), &TenantId::local());
}

#[test]
fn hostile_17_what_one_token_proved_proves_nothing_for_another() {
    // Same key name and algorithm, same issuer host, another issuer: nothing is shared.
    let (one, two) = (Key::p256("one"), Key::p256("two"));
    let trusting = |token: String| {
        Ask::jwt(token)
            .trust(&issuer_with("https://host.example/a", &one))
            .trust(&issuer_with("https://host.example/b", &two))
    };
    let of = |issuer: &str| TokenForge::oidc(issuer, "job", AUDIENCE);
    trusting(of("https://host.example/a").sign(&one, "key-1")).is_accepted();
    trusting(of("https://host.example/b").sign(&one, "key-1"))
        .is_refused("federation.signature_invalid");
    // The claims of one token under the signature of another.
    let signed = of("https://host.example/a").sign(&one, "key-1");
    let other = of("https://host.example/a")
        .claim("sub", "admin".into())
        .sign(&one, "key-1");
    let (claims, _) = other.rsplit_once('.').unwrap();
    let (_, signature) = signed.rsplit_once('.').unwrap();
    trusting(format!("{claims}.{signature}")).is_refused("federation.signature_invalid");
    trusting(other).is_accepted();
}

#[test]
fn hostile_18_a_key_that_was_removed_no_longer_checks() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let token = good().sign(&old, "old-1");
    let with_keys = |keys: &[Value]| {
        Ask::jwt(token.clone()).trust(&json!({"issuer": ISSUER, "jwks": jwks(keys)}))
    };
    with_keys(&[jwk(&old, "old-1"), jwk(&new, "new-1")]).is_accepted();
    with_keys(&[jwk(&new, "new-1")]).is_refused("federation.key_unknown");
    // The same name with other material is another key, not the old one merged with the new.
    with_keys(&[jwk(&new, "old-1")]).is_refused("federation.signature_invalid");
}

#[test]
fn a_key_that_an_older_set_lacks_is_believed_and_said_to_be_in_doubt() {
    // RFC 7638 3.2, for a key of an elliptic curve.
    let thumbprint = |key: &Key| {
        let jwk = jwk(key, "key-1");
        let members = format!(
            r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#,
            jwk["x"], jwk["y"]
        );
        encode(Digest::of(members.as_bytes()).as_bytes())
    };
    let doubted_as_of = |key: &Key, until: i64, as_of: Option<i64>| {
        let mut anchor = issuer();
        if let Some(as_of) = as_of {
            anchor["keys_fetched"] = json!({
                "as_of": Time::from_unix(as_of).to_string(),
                "usable_until": Time::from_unix(NOW_SECONDS + 3_600).to_string(),
            });
        }
        anchor["doubted_keys"] = json!([{
            "thumbprint": thumbprint(key),
            "since": Time::from_unix(NOW_SECONDS - 60).to_string(),
            "until": Time::from_unix(until).to_string(),
        }]);
        Ask::jwt(good().sign(&issuer_key(), "key-1")).trust(&anchor)
    };
    let doubted = |key: &Key, until: i64| doubted_as_of(key, until, None);
    let said = |ask: Ask| {
        let identity = ask.identity();
        let mut said = identity.checks().iter().map(|one| one.compared.to_string());
        said.find(|text| text.contains("in doubt"))
    };
    assert_eq!(
        said(doubted(&issuer_key(), NOW_SECONDS + 301)).unwrap(),
        format!(
            "key-1 is in doubt: it is missing from an older key set that was served on {}, and is refused by {} if \
             it is missing still",
            Time::from_unix(NOW_SECONDS - 60),
            Time::from_unix(NOW_SECONDS + 301)
        )
    );
    assert_eq!(said(doubted(&issuer_key(), NOW_SECONDS)), None);
    let other = Key::p256("another");
    assert_eq!(said(doubted(&other, NOW_SECONDS + 301)), None);
    // What is known is older than the doubt: nobody could ask.
    let as_of = NOW_SECONDS - 90;
    let asked = |as_of: i64| said(doubted_as_of(&issuer_key(), NOW_SECONDS - 1, Some(as_of)));
    assert_eq!(
        asked(as_of).unwrap(),
        format!(
            "key-1 is in doubt: it is missing from an older key set that was served on {}, and nobody could ask \
             since {} whether it was taken out",
            Time::from_unix(NOW_SECONDS - 60),
            Time::from_unix(as_of)
        )
    );
    assert_eq!(asked(NOW_SECONDS - 1), None);
}

#[test]
fn hostile_20_the_name_of_an_issuer_is_compared_exactly() {
    let tenant = "https://issuer.example.com/tenant";
    for named in [
        "https://issuer.example.com/tenant/",
        "https://ISSUER.example.com/tenant",
        "HTTPS://issuer.example.com/tenant",
        "https://issuer.example.com:443/tenant",
        "https://user@issuer.example.com/tenant",
        "https://issuer.example.com/tenant?",
        "https://issuer.example.com/Tenant",
        "https://issuer.example.com",
        "https://issuer.example.com/tenant@evil.example",
        "https://issuer.ex\u{430}mple.com/tenant",
    ] {
        let token = TokenForge::oidc(named, "job", AUDIENCE).sign(&issuer_key(), "key-1");
        Ask::jwt(token)
            .trust(&issuer_with(tenant, &issuer_key()))
            .is_refused("federation.issuer_unknown");
    }
    let token = TokenForge::oidc(tenant, "job", AUDIENCE).sign(&issuer_key(), "key-1");
    Ask::jwt(token)
        .trust(&issuer_with(tenant, &issuer_key()))
        .is_accepted();
}

#[test]
fn hostile_20_an_issuer_that_cannot_be_meant_is_not_trusted() {
    for named in [
        "http://issuer.example.com",
        "issuer.example.com",
        "https://",
        "https://user@issuer.example.com",
        "https://issuer.example.com?tenant=1",
        "https://issuer.example.com#1",
        "https://*.example.com",
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/",
        "",
    ] {
        let reason = read_anchor(&issuer_with(named, &issuer_key())).unwrap_err();
        assert_eq!(reason.code(), "input.trust_document_malformed", "{named}");
    }
    assert!(read_anchor(&issuer()).is_ok());
}

#[test]
fn hostile_27_two_tenants_with_one_issuer_share_nothing() {
    let (mine, theirs) = (Key::p256("mine"), Key::p256("theirs"));
    let trusting = |token: String, theirs_too: bool| {
        let asked = Ask::jwt(token).trust(&issuer_with(ISSUER, &mine));
        if theirs_too {
            asked
                .trust(&issuer_with(ISSUER, &theirs))
                .with_anchor(|anchor| anchor.tenant = TenantId::parse("theirs").unwrap())
        } else {
            asked
        }
    };
    for theirs_too in [true, false] {
        trusting(good().sign(&mine, "key-1"), theirs_too).is_accepted();
    }
    trusting(good().sign(&theirs, "key-1"), true).is_refused("policy.anchor_tenant");
    trusting(good().sign(&theirs, "key-1"), false).is_refused("federation.signature_invalid");
}

#[test]
fn an_issuer_whose_keys_are_not_known_is_a_question_not_an_answer() {
    let keyless = json!({"issuer": ISSUER});
    let token = good().sign(&issuer_key(), "key-1");
    let asked = Ask::jwt(token.clone()).trust(&keyless);
    let need = Need::KeySet {
        issuer: ISSUER.to_owned(),
        why: None,
    };
    assert_eq!(asked.needs(), [need]);
    // Another anchor may answer it.
    asked.clone().trust(&issuer()).is_accepted();
    // Keys would not help a token that has expired.
    asked
        .at(NOW_SECONDS + 600)
        .is_refused("federation.issuer_unknown");
    // And no one asks for keys of an issuer that is not trusted.
    let other = TokenForge::oidc("https://evil.example", "job", AUDIENCE);
    Ask::jwt(other.sign(&issuer_key(), "key-1"))
        .trust(&keyless)
        .is_refused("federation.issuer_unknown");
    assert!(matches!(
        Ask::jwt(token).decide(),
        Verdict::Reject(refusal) if refusal.reason().code() == "policy.no_anchors"
    ));
}

#[test]
fn a_relying_party_without_a_name_is_a_question_not_an_answer() {
    let nameless = ask(&good()).audiences(&[]);
    assert_eq!(nameless.needs(), [Need::Audience]);
    // What is wrong besides is still refused.
    ask(&good().claim("exp", 1.into()))
        .audiences(&[])
        .is_refused("federation.token_expired");
    let forged = Ask::jwt(good().sign(&Key::p256("x"), "key-1")).trust(&issuer());
    forged
        .audiences(&[])
        .is_refused("federation.signature_invalid");
    // The anchor may say for whom its tokens are.
    let mut anchor = issuer();
    anchor["audiences"] = json!([AUDIENCE]);
    nameless.trust(&anchor).is_accepted();
}

#[test]
fn an_anchor_holds_only_as_its_owner_wants() {
    let expires = |seconds: i64| {
        ask(&good()).with_anchor(|anchor| {
            let end = Time::from_unix(NOW_SECONDS + seconds);
            anchor.stewardship.expires = Some(end);
        })
    };
    expires(0).is_refused("policy.anchor_expired");
    expires(1).is_accepted();
    // The second before it expires is the last.
    let valid_until = expires(1).identity().valid_until();
    assert_eq!(valid_until.unix(), NOW_SECONDS);
    ask(&good())
        .with_anchor(|anchor| anchor.constraints.dns = vec!["example.com".to_owned()])
        .is_refused("policy.anchor_name");
    ask(&good())
        .with_anchor(|anchor| {
            anchor.constraints.trust_domains =
                vec![avouch_core::id::TrustDomain::parse("example.org").unwrap()];
        })
        .is_refused("policy.anchor_name");
    for (purpose, expected) in [
        (
            avouch_core::question::Purpose::Server,
            "policy.anchor_purpose",
        ),
        (avouch_core::question::Purpose::Client, "accept"),
    ] {
        let asked = ask(&good()).with_anchor(|anchor| anchor.constraints.purposes = vec![purpose]);
        assert_eq!(outcome(&asked.decide()), expected);
    }
}

#[test]
fn a_misspelt_member_of_an_anchor_is_refused() {
    for (member, value) in [
        ("audience", json!(["vault"])),
        ("rule", json!(["a"])),
        ("single_audiences", json!(true)),
    ] {
        let mut anchor = issuer();
        anchor[member] = value;
        let reason = read_anchor(&anchor).unwrap_err();
        assert_eq!(reason.code(), "input.trust_document_malformed", "{member}");
    }
    for (member, value) in [
        ("audiences", json!("vault")),
        ("audiences", json!([""])),
        ("audiences", json!([])),
        ("authorized_parties", json!([])),
        ("rules", json!([])),
        ("algorithms", json!([])),
        ("algorithms", json!(["HS256"])),
        ("max_lifetime", json!("1h")),
        ("max_lifetime", json!(0)),
        ("max_lifetime", json!(400 * 86_400)),
        ("single_audience", json!("yes")),
        ("preset", json!("githb")),
        ("rules", json!({})),
        ("fetched_under", json!("MIIB")),
        (
            "fetched_under",
            json!("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
        ),
    ] {
        let mut anchor = issuer();
        anchor[member] = value.clone();
        let reason = read_anchor(&anchor).unwrap_err();
        assert_eq!(
            reason.code(),
            "input.trust_document_malformed",
            "{member} {value}"
        );
    }
}

#[test]
fn a_refusal_tells_a_bounded_number_of_pieces_that_could_not_be_read() {
    let pieces = (0..100_000).map(|number| Unusable {
        what: format!("anchors[{number}]"),
        reason: Reason::NoAnchors {},
    });
    let view = View::new(
        TenantId::local(),
        Vec::new(),
        Vec::new(),
        pieces.collect::<Vec<_>>(),
        Digest::of(b"a view of a test"),
    );
    let question = crate::ask::Ask::about([Authority::root("Root").server("a.example")]).question;
    let verdict = decide(&question, &view, &AwsLc, &mut Budget::default());
    let Verdict::Reject(refusal) = verdict else {
        panic!("believed");
    };
    let told = refusal.attempts().iter().count();
    assert!(told < 100, "{told}");
    // The reason, that there are no anchors, is one of those that are told.
    assert_eq!(told + refusal.attempts().left_out(), 100_001);
}

#[test]
fn what_could_not_be_read_shows_in_every_refusal() {
    let piece = Unusable {
        what: "anchors[0] (vault)".to_owned(),
        reason: Reason::NoAnchors {},
    };
    let view = View::new(
        TenantId::local(),
        Vec::new(),
        Vec::new(),
        vec![piece.clone()],
        Digest::of(b"a view of a test"),
    );
    let asked = |ask: Ask| ask.question;
    let root = Authority::root("Root");
    for question in [
        asked(Ask::jwt("x")),
        asked(Ask::jwt(good().without("sub").sign(&issuer_key(), "key-1"))),
        asked(ask(&good().claim("sub", "spiffe://A/".into()))),
        asked(ask(&good())),
        asked(Ask::wit("x", None)),
        asked(Ask::api_key("x")),
        crate::ask::Ask::about([b"x"]).question,
        crate::ask::Ask::about([root.server("a.example")]).question,
    ] {
        let verdict = decide(&question, &view, &AwsLc, &mut Budget::default());
        let Verdict::Reject(refusal) = verdict else {
            panic!("{question:?}");
        };
        let mut attempts = refusal.attempts().iter();
        assert!(
            attempts.any(|attempt| attempt.stopped_at() == piece.what),
            "{question:?}"
        );
    }
}

#[test]
fn keys_that_are_not_known_are_asked_for_only_where_the_anchor_could_admit_the_token() {
    let keyless = json!({"issuer": ISSUER});
    let token = good().sign(&issuer_key(), "key-1");
    let asked = || Ask::jwt(token.clone()).trust(&keyless);
    assert!(matches!(asked().needs().as_slice(), [Need::KeySet { .. }]));
    let foreign = asked().with_anchor(|anchor| anchor.tenant = TenantId::parse("other").unwrap());
    assert_ne!(outcome(&foreign.decide()), "undetermined");
    let expired = asked().at(NOW_SECONDS + 601);
    assert_ne!(outcome(&expired.decide()), "undetermined");
}

#[test]
fn keys_that_cannot_have_signed_do_not_make_a_nameless_token_ambiguous() {
    let mut keys = vec![jwk(&issuer_key(), "key-1")];
    keys.extend((0..5).map(|number| {
        let name = format!("other {number}");
        jwk(&Key::ed25519(&name), &name)
    }));
    let anchor = json!({"issuer": ISSUER, "jwks": jwks(&keys)});
    let nameless = good().sign_nameless(&issuer_key());
    Ask::jwt(nameless).trust(&anchor).is_accepted();
}

#[test]
fn a_set_of_a_hundred_keys_is_read_and_one_more_is_not() {
    let anchor = |count: usize| {
        let key = jwk(&issuer_key(), "key-1");
        json!({"issuer": ISSUER, "jwks": jwks(&vec![key; count])})
    };
    assert!(read_anchor(&anchor(100)).is_ok());
    let reason = read_anchor(&anchor(101)).unwrap_err();
    assert_eq!(reason.code(), "input.jwks_malformed");
}
