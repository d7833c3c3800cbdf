//! API keys: known by their digest, marked as what they are.

use avouch_core::exchange::at_most::GrantsAtMost;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::ExpectedName;
use avouch_core::time::Time;
use avouch_core::verdict::{IdentityKind, TrustModel, Verdict};
use avouch_testkit::token::NOW_SECONDS;
use serde_json::{Value, json};

use crate::token_ask::{Ask, issuer, read_anchor};

const KEY: &str = "ak_live_7hT5mJ1vQ9";

fn known(key: &str) -> Value {
    let sha256 = Digest::of(key.as_bytes()).to_string();
    json!({"api_key": {"sha256": sha256, "subject": "billing-export"}})
}

#[test]
fn a_known_key_is_its_subject_and_marked_a_shared_secret() {
    let question = Ask::api_key(KEY)
        .trust(&known("another"))
        .trust(&known(KEY));
    let identity = question.identity();
    assert_eq!(identity.name(), "billing-export");
    assert_eq!(identity.kind(), IdentityKind::ApiKey);
    assert_eq!(identity.model(), TrustModel::SharedSecret);
    assert_eq!(identity.path().len(), 1);
}

#[test]
fn a_key_that_is_not_known_is_refused() {
    let asked = |key: &str| Ask::api_key(key).trust(&known(KEY));
    for key in [
        "ak_live_7hT5mJ1vQ8",
        "ak_live_7hT5mJ1vQ9 ",
        "AK_LIVE_7HT5MJ1VQ9",
        "",
    ] {
        asked(key).is_refused("federation.api_key_unknown");
    }
    // The digest is not the key.
    asked(&Digest::of(KEY.as_bytes()).to_string()).is_refused("federation.api_key_unknown");
    // A variable that was not set on either side makes nobody.
    let unset = Ask::api_key("").trust(&known(""));
    unset.is_refused("federation.api_key_unknown");
    Ask::api_key(KEY).is_refused("policy.no_anchors");
    Ask::api_key(KEY)
        .trust(&issuer())
        .is_refused("policy.no_anchors");
    asked(KEY).is_accepted();
}

#[test]
fn a_key_holds_only_as_long_as_its_anchor() {
    let until = |seconds: i64| {
        Ask::api_key(KEY).trust(&known(KEY)).with_anchor(|anchor| {
            anchor.stewardship.expires = Some(Time::from_unix(NOW_SECONDS + seconds));
        })
    };
    until(0).is_refused("policy.anchor_expired");
    until(1).is_accepted();
    Ask::api_key(KEY)
        .trust(&known(KEY))
        .with_anchor(|anchor| anchor.tenant = TenantId::parse("other").unwrap())
        .is_refused("policy.anchor_tenant");
}

#[test]
fn a_key_is_no_name_of_a_host() {
    Ask::api_key(KEY)
        .trust(&known(KEY))
        .expect(ExpectedName::Dns("db.example.com".to_owned()))
        .is_refused("federation.subject_mismatch");
}

#[test]
fn an_anchor_of_names_of_hosts_vouches_for_no_key() {
    Ask::api_key(KEY)
        .trust(&known(KEY))
        .with_anchor(|anchor| anchor.constraints.dns = vec!["example.com".to_owned()])
        .is_refused("policy.anchor_name");
}

#[test]
fn what_an_anchor_may_say_bounds_the_subjects_of_its_keys() {
    let bounded = |subject: &str| {
        let most = json!({"claims": {"subject": [subject]}});
        let most = GrantsAtMost::read_at("anchor.grants_at_most", &most).unwrap();
        Ask::api_key(KEY)
            .trust(&known(KEY))
            .with_anchor(|anchor| anchor.constraints.grants_at_most = most)
    };
    bounded("another").is_refused("policy.claim_beyond_bound");
    bounded("billing-export").is_accepted();
}

#[test]
fn a_key_is_never_shown() {
    let asked = Ask::api_key(KEY).trust(&known("another"));
    let Verdict::Reject(refusal) = asked.decide() else {
        panic!("refused");
    };
    let shown = format!(
        "{:?} {refusal:?} {}",
        asked.question,
        refusal.reason().sentence()
    );
    assert!(!shown.contains(KEY));
}

#[test]
fn a_digest_that_is_none_is_no_anchor() {
    for anchor in [
        json!({"api_key": KEY}),
        json!({"api_key": {"sha256": KEY, "subject": "a"}}),
        json!({"api_key": {"sha256": "00", "subject": "a"}}),
        json!({"api_key": {"sha256": "0".repeat(64)}}),
        json!({"api_key": {"sha256": "0".repeat(64), "subject": ""}}),
        json!({"api_key": {"sha256": "0".repeat(64), "subject": "a", "key": KEY}}),
    ] {
        let reason = read_anchor(&anchor).unwrap_err();
        assert_eq!(reason.code(), "input.trust_document_malformed", "{anchor}");
        assert!(!reason.sentence().contains(KEY));
    }
}
