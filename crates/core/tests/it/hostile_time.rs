//! Hostile tokens 28 to 30, 41, 48 and 55: for whom, for how long, and held by whom.

use avouch_core::model::federation::{CLOCK_LEEWAY, LIFETIME_MAX, PROOF_LIFETIME_MAX};
use avouch_core::question::ExpectedName;
use avouch_core::time::Time;
use avouch_core::verdict::{Effect, Verdict};
use avouch_testkit::key::Key;
use avouch_testkit::token::{NOW_SECONDS, TokenForge};
use serde_json::{Value, json};

use crate::token_ask::{
    AUDIENCE, Ask, ISSUER, WORKLOAD, ask, good, issuer, issuer_key, outcome, trust_domain,
    wit_authority,
};

/// A question about a good token of an issuer whose anchor has this member.
fn with_member(token: &TokenForge, member: &str, value: Value) -> Ask {
    let mut anchor = issuer();
    anchor[member] = value;
    Ask::jwt(token.sign(&issuer_key(), "key-1")).trust(&anchor)
}

#[test]
fn hostile_28_a_token_for_another_service_is_refused() {
    ask(&good().claim("aud", "db".into())).is_refused("federation.audience_mismatch");
    ask(&good())
        .audiences(&["db"])
        .is_refused("federation.audience_mismatch");
    for near in [
        "Vault",
        "vault ",
        "vault/",
        "https://vault",
        "vaul",
        "vault-2",
    ] {
        ask(&good().claim("aud", near.into())).is_refused("federation.audience_mismatch");
    }
    ask(&good().claim("aud", json!(["db", "vault"]))).is_accepted();
}

#[test]
fn hostile_28_a_token_with_a_further_audience_can_be_refused() {
    let shared = good().claim("aud", json!(["vault", "db"]));
    with_member(&shared, "single_audience", json!(true)).is_refused("federation.audience_extra");
    with_member(&shared, "single_audience", json!(false)).is_accepted();
    with_member(&good(), "single_audience", json!(true)).is_accepted();
}

#[test]
fn hostile_28_a_token_given_to_another_client_is_refused_where_clients_are_named() {
    let clients = json!(["client-1", "client-2"]);
    let of = |client: &str| good().claim("azp", client.into());
    with_member(&of("client-9"), "authorized_parties", clients.clone())
        .is_refused("federation.authorized_party_mismatch");
    with_member(&good(), "authorized_parties", clients.clone())
        .is_refused("federation.claim_missing");
    with_member(&of("client-2"), "authorized_parties", clients).is_accepted();
    ask(&of("client-9")).is_accepted();
}

#[test]
fn hostile_29_an_audience_is_always_checked() {
    // An issuer's token for any other client is no way in, whatever the question leaves out.
    let elsewhere = good().claim("aud", "some-client-of-the-issuer".into());
    ask(&elsewhere).is_refused("federation.audience_mismatch");
    assert_eq!(
        outcome(&ask(&elsewhere).audiences(&[]).decide()),
        "undetermined"
    );
    with_member(&elsewhere, "audiences", json!([AUDIENCE]))
        .audiences(&[])
        .is_refused("federation.audience_mismatch");
    with_member(&good(), "audiences", json!([AUDIENCE]))
        .audiences(&[])
        .is_accepted();
}

#[test]
fn hostile_30_what_the_anchor_admits_and_what_the_question_names_must_both_hold() {
    let both = good().claim("aud", json!(["vault", "db"]));
    let bound = |audiences: Value| with_member(&both, "audiences", audiences);
    // For us, but tokens of this issuer are not admitted for that name.
    bound(json!(["db"])).is_refused("policy.anchor_audience");
    bound(json!(["vault"]))
        .audiences(&["db"])
        .is_refused("policy.anchor_audience");
    // The token is for us, so that it would contradict itself to say that it is for someone else.
    let Verdict::Reject(refusal) = with_member(&good(), "audiences", json!(["zz"])).decide() else {
        panic!("not refused");
    };
    let reason = refusal.attempts().nearest().reason().clone();
    assert_eq!(reason.code(), "policy.anchor_audience");
    for said in [reason.sentence(), reason.hint()] {
        assert!(said.contains("vault") && said.contains("zz"), "{said}");
        assert!(said.contains("`audiences`"), "{said}");
    }
    bound(json!(["vault"]))
        .audiences(&["db", "vault"])
        .is_accepted();
    bound(json!(["vault"])).is_accepted();
}

#[test]
fn hostile_41_an_old_token_from_a_kubernetes_secret_is_refused_by_name() {
    let old = TokenForge::saying(json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:default",
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/secret.name": "default-token-x",
    }));
    ask(&old).is_refused("federation.legacy_kubernetes_token");
    let renamed = old.claim("iss", ISSUER.into());
    ask(&renamed).is_refused("federation.legacy_kubernetes_token");
    ask(&good().claim("sub", "system:serviceaccount:default:default".into())).is_accepted();
}

#[test]
fn hostile_41_a_token_that_lives_for_a_year_is_refused_unless_its_issuer_may() {
    let year = 31_536_000;
    let token = good().claim("exp", (NOW_SECONDS + year).into());
    ask(&token).is_refused("federation.lifetime_excessive");
    with_member(&token, "max_lifetime", json!(year - 1))
        .is_refused("federation.lifetime_excessive");
    with_member(&token, "max_lifetime", json!(year)).is_accepted();
}

#[test]
fn hostile_48_expiry_holds_to_the_second() {
    let asked = ask(&good());
    asked.clone().at(NOW_SECONDS + 599).is_accepted();
    asked
        .clone()
        .at(NOW_SECONDS + 600)
        .is_refused("federation.token_expired");
    asked
        .at(NOW_SECONDS + 601)
        .is_refused("federation.token_expired");
}

#[test]
fn hostile_48_a_token_may_be_too_young_by_the_leeway_of_clocks_and_no_more() {
    let early = |claim: &str, seconds: i64| {
        let token = good()
            .without("nbf")
            .claim(claim, (NOW_SECONDS + seconds).into());
        ask(&token.claim("exp", (NOW_SECONDS + 600).into()))
    };
    early("nbf", CLOCK_LEEWAY).is_accepted();
    early("nbf", CLOCK_LEEWAY + 1).is_refused("federation.token_not_yet_valid");
    early("iat", CLOCK_LEEWAY).is_accepted();
    early("iat", CLOCK_LEEWAY + 1).is_refused("federation.issued_in_future");
}

#[test]
fn hostile_48_a_life_is_capped_to_the_second() {
    let living = |seconds: i64| ask(&good().claim("exp", (NOW_SECONDS + seconds).into()));
    living(LIFETIME_MAX).is_accepted();
    living(LIFETIME_MAX + 1).is_refused("federation.lifetime_excessive");
    living(100 * 366 * 86_400).is_refused("federation.lifetime_excessive");
    living(i64::MAX - NOW_SECONDS).is_refused("federation.lifetime_excessive");
}

#[test]
fn hostile_55_a_workload_identity_token_without_its_proof_is_nothing() {
    let holder = Key::p256("holder");
    let token = TokenForge::wit_svid(WORKLOAD, &holder).sign(&wit_authority(), "wit-1");
    let proof = TokenForge::proof(&token, AUDIENCE).sign_nameless(&holder);
    let asked = |proof: Option<&str>| Ask::wit(&token, proof).trust(&trust_domain());
    asked(None).is_refused("federation.proof_missing");
    Ask::jwt(token.clone())
        .trust(&trust_domain())
        .is_refused("federation.proof_missing");
    asked(Some(&proof)).is_accepted();
    // A token bound to a key is not a bearer token under any other type either.
    let bound = good().claim("cnf", json!({"jkt": "x"}));
    ask(&bound).is_refused("federation.proof_missing");
}

#[test]
fn hostile_55_a_proof_for_another_token_audience_time_or_key_is_refused() {
    let holder = Key::p256("holder");
    let wit = |id: &str| TokenForge::wit_svid(id, &holder).sign(&wit_authority(), "wit-1");
    let (token, other) = (wit(WORKLOAD), wit("spiffe://prod.example.com/ns/other"));
    let asked = |proof: &str| Ask::wit(&token, Some(proof)).trust(&trust_domain());
    let proof = || TokenForge::proof(&token, AUDIENCE);
    let refused =
        |forge: TokenForge, code: &str| asked(&forge.sign_nameless(&holder)).is_refused(code);

    refused(
        TokenForge::proof(&other, AUDIENCE),
        "federation.proof_invalid",
    );
    refused(
        TokenForge::proof(&token, "db"),
        "federation.audience_mismatch",
    );
    refused(
        proof().claim("exp", NOW_SECONDS.into()),
        "federation.proof_invalid",
    );
    let far = NOW_SECONDS + PROOF_LIFETIME_MAX;
    refused(
        proof().claim("exp", (far + 1).into()),
        "federation.proof_invalid",
    );
    refused(proof().claim("tth", "x".into()), "federation.proof_invalid");
    refused(
        proof().claim("oth", json!({"a": "x"})),
        "federation.proof_invalid",
    );
    for claim in ["aud", "exp", "jti", "wth"] {
        refused(proof().without(claim), "federation.claim_missing");
    }
    refused(
        proof().header("typ", "JWT".into()),
        "federation.type_unexpected",
    );
    refused(proof().untyped(), "federation.type_unexpected");
    asked(&proof().sign_nameless(&Key::p256("thief"))).is_refused("federation.proof_invalid");
    asked(&proof().sign_nameless(&Key::p384("holder")))
        .is_refused("federation.key_algorithm_mismatch");
    asked("not a proof").is_refused("input.token_not_compact");

    asked(&proof().sign_nameless(&holder)).is_accepted();
    asked(&proof().claim("exp", far.into()).sign_nameless(&holder)).is_accepted();
    let typed = proof().header("typ", "application/wpt+jwt".into());
    asked(&typed.sign_nameless(&holder)).is_accepted();
}

#[test]
fn hostile_55_a_proof_may_be_used_once() {
    let holder = Key::p256("holder");
    let token = TokenForge::wit_svid(WORKLOAD, &holder).sign(&wit_authority(), "wit-1");
    let asked = |id: &str| {
        let proof = TokenForge::proof(&token, AUDIENCE).claim("jti", id.into());
        Ask::wit(&token, Some(&proof.sign_nameless(&holder))).trust(&trust_domain())
    };
    let effects = asked("proof-1").effects();
    let [Effect::ConsumeNonce { nonce, until, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(
        (nonce.as_str(), until.unix()),
        ("proof-1", NOW_SECONDS + 60)
    );
    assert_eq!(asked("proof-1").effects(), effects);
    assert_ne!(asked("proof-2").effects(), effects);
}

#[test]
fn a_nonce_must_come_back_and_is_used_up() {
    let token = good().claim("nonce", "n-1".into());
    ask(&token)
        .nonce("n-2")
        .is_refused("federation.nonce_mismatch");
    ask(&good())
        .nonce("n-1")
        .is_refused("federation.nonce_mismatch");
    let asked = ask(&token).nonce("n-1");
    assert_eq!(asked.effects().len(), 1);
    asked.is_accepted();
    // Where none was sent, none is looked for.
    assert!(ask(&token).effects().is_empty());
}

#[test]
fn a_token_is_of_whom_one_expects() {
    let expected = |name| {
        ask(&good()
            .claim("email", "a@example.com".into())
            .claim("email_verified", true.into()))
        .expect(name)
    };
    expected(ExpectedName::Email("a@example.com".to_owned())).is_accepted();
    expected(ExpectedName::Email("b@example.com".to_owned()))
        .is_refused("federation.subject_mismatch");
    expected(ExpectedName::Dns("issuer.example.com".to_owned()))
        .is_refused("federation.subject_mismatch");
    let id = avouch_core::id::SpiffeId::parse(WORKLOAD).unwrap();
    expected(ExpectedName::Spiffe(id)).is_refused("federation.subject_mismatch");
}

#[test]
fn a_verdict_on_a_token_holds_from_the_later_of_its_beginnings() {
    let token = good()
        .claim("iat", (NOW_SECONDS - 100).into())
        .claim("nbf", (NOW_SECONDS - 50).into());
    let identity = ask(&token).identity();
    assert_eq!(identity.valid_from(), Time::from_unix(NOW_SECONDS - 50));
}

#[test]
fn a_nonce_is_remembered_beyond_the_expiry_of_its_token_by_the_leeway_of_clocks() {
    let token = good().claim("nonce", "n".into());
    let effects = ask(&token).nonce("n").effects();
    let [Effect::ConsumeNonce { until, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let expires = Time::from_unix(NOW_SECONDS + 600);
    assert_eq!(*until, expires.plus(CLOCK_LEEWAY));
}
