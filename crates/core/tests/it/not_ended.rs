//! What every model of what issuers say asks alike: whether what a credential rests on still holds, and
//! how long it will.

use std::sync::Arc;

use avouch_core::budget::Budget;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::ended::{Ending, Endings, Mark, Standing};
use avouch_core::time::Time;
use avouch_testkit::chain::{self, AUDIENCE as CHAINED, ChainForge, LEAF};
use avouch_testkit::token::{NOW_SECONDS, TokenForge};
use serde_json::{Value, json};

use crate::introspection::with;
use crate::token_ask::{Ask, ISSUER, ask, good, issuer_with, outcome};

const STOLEN: &str = "https://stolen.test";

/// One of which something was had that is told to be its ancestor.
fn lineage() -> Value {
    json!([{
        "anchor": "stolen", "iss": STOLEN, "key": "k", "digest": "ab".repeat(32),
        "born": NOW_SECONDS - 20,
    }])
}

fn chained(claims: &[(&str, Value)]) -> Ask {
    let mut forge = TokenForge::oidc(LEAF, "job-7", CHAINED);
    for (name, value) in claims {
        forge = forge.claim(name, value.clone());
    }
    let mut asked = Ask::jwt(forge.sign(&chain::key("token"), "token"))
        .audiences(&[CHAINED])
        .trust(&chain::anchor(&json!({})));
    asked.question.context.trust_chain = ChainForge::default().statements();
    asked
}

/// What comes of a question when this subject ended so many seconds from now.
fn when_ended(asked: &Ask, (issuer, subject): (&str, &str), seconds: i64) -> String {
    let mut endings = Endings::default();
    let before = Time::from_unix(NOW_SECONDS + seconds);
    let (event, by) = ("session-revoked".to_owned(), "issuer".to_owned());
    let ending = Ending::standing(before, Standing::UNSAID, event, by);
    endings.put(Mark::subject(issuer, subject), ending);
    let view = asked.view().with_endings(Arc::new(endings));
    let verdict = decide(&asked.question, &view, &AwsLc, &mut Budget::default());
    outcome(&verdict)
}

#[test]
fn nothing_is_believed_that_descends_from_an_issuer_in_quarantine() {
    let mut stolen = issuer_with(STOLEN, &avouch_testkit::key::Key::p256("stolen"));
    for (quarantined, expected) in [(false, "accept"), (true, "federation.issuer_quarantined")] {
        if quarantined {
            stolen["quarantined"] = json!({"since": "2024-05-31T00:00:00Z", "cause": "a theft"});
        }
        for (model, asked) in [
            ("token", ask(&good().claim("lineage", lineage()))),
            ("introspection", with(&json!({"lineage": lineage()}))),
            ("chain", chained(&[("lineage", lineage())])),
        ] {
            assert_eq!(asked.trust(&stolen).decide_code(), expected, "{model}");
        }
    }
}

#[test]
fn who_says_to_have_signed_in_later_than_now_does_not_outlive_what_ends_before() {
    let introspected = |time: i64| with(&json!({"iat": null, "auth_time": time}));
    let later = introspected(NOW_SECONDS + 600);
    later.is_accepted();
    let ended = when_ended(&later, (ISSUER, "job-7"), -60);
    assert_eq!(ended, "revocation.subject_ended");
    let past = introspected(NOW_SECONDS - 30);
    assert_eq!(when_ended(&past, (ISSUER, "job-7"), -60), "accept");
    assert_eq!(
        when_ended(&past, (ISSUER, "job-7"), -10),
        "revocation.subject_ended"
    );
    let asked = chained(&[]);
    assert_eq!(when_ended(&asked, (LEAF, "job-7"), -7_200), "accept");
    assert_eq!(
        when_ended(&asked, (LEAF, "job-7"), 0),
        "revocation.subject_ended"
    );
}

#[test]
fn a_chain_holds_no_longer_than_its_anchor_is_trusted_without_a_pin() {
    let until = |more: &Value| {
        let mut asked = Ask::jwt(chain::token())
            .audiences(&[CHAINED])
            .trust(&chain::anchor(more));
        asked.question.context.trust_chain = ChainForge::default().statements();
        asked.identity().valid_until().unix() - NOW_SECONDS
    };
    assert!(until(&json!({})) > 30);
    let expires = Time::from_unix(NOW_SECONDS + 30).to_string();
    let unpinned = json!({"unpinned": {"reason": "a pilot", "expires": expires}});
    assert_eq!(until(&unpinned), 29);
}
