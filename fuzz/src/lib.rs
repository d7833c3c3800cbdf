//! What the fuzz targets share: a verifier that walks past signatures, and what must hold of every
//! decision.

pub mod fixtures;
pub mod pieces;
pub mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use avouch_api::{Answer, Outcome};
use avouch_core::budget::{Budget, Limits};
use avouch_core::crypto::{NotSigned, PublicKey, Scheme, Verifier};
use avouch_core::decide;
use avouch_core::question::Question;
use avouch_core::reason::{CATALOGUE, Reason};
use avouch_core::time::Time;
use avouch_core::verdict::{Identity, Refusal, Verdict};
use avouch_core::view::View;

/// The cheapest signature check, in nominal microseconds (RSA 2048): what bounds how many checks a
/// budget can pay for.
const CHEAPEST_CHECK: u32 = 18;

/// The time at which fuzzed questions are asked.
pub fn now() -> Time {
    Time::parse(avouch_testkit::NOW).expect("the frozen time is a time")
}

/// Accepts a signature unless the highest bit of its last octet is set, and counts how often it was
/// asked. So the code behind signatures is reached, without a key and without any time spent; that
/// bit is never set in a real Ed25519 signature (RFC 8032 5.1.7), so what the testkit signs holds.
#[derive(Debug, Default)]
pub struct LaxVerifier {
    asked: AtomicU32,
}

impl Verifier for LaxVerifier {
    fn verify(
        &self,
        _: &PublicKey,
        _: Scheme,
        _: &[u8],
        signature: &[u8],
    ) -> Result<(), NotSigned> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match signature.last() {
            Some(last) if last & 0x80 == 0 => Ok(()),
            Some(_) | None => Err(NotSigned),
        }
    }
}

/// Decides, and checks what must hold whatever was asked.
pub fn check(question: &Question, view: &View, limits: Limits) {
    let verifier = LaxVerifier::default();
    let verdict = decide(question, view, &verifier, &mut Budget::new(limits));
    let asked = verifier.asked.load(Ordering::Relaxed);
    assert!(
        u64::from(asked) * u64::from(CHEAPEST_CHECK) <= u64::from(limits.signature_work),
        "{asked} signature checks are more than the budget pays for"
    );
    match &verdict {
        Verdict::Accept(sealed) => check_identity(sealed.preview(), question, view),
        Verdict::Reject(refusal) => check_refusal(refusal, limits),
        Verdict::Undetermined(needs) => {
            assert!(!needs.is_empty(), "something must be missing");
            assert!(needs.iter().all(|need| !need.sentence().is_empty()));
        }
    }
    let again = decide(
        question,
        view,
        &LaxVerifier::default(),
        &mut Budget::new(limits),
    );
    assert_eq!(
        line(&verdict, question, view),
        line(&again, question, view),
        "the same question has the same answer"
    );
}

/// An accepted path goes from vouch to vouch and ends at an anchor of the view.
fn check_identity(identity: &Identity, question: &Question, view: &View) {
    let reached = identity.anchor();
    assert!(
        view.anchors()
            .iter()
            .any(|anchor| Arc::ptr_eq(anchor, &reached.anchor)),
        "the anchor is one of the view"
    );
    assert_eq!(*identity.tenant(), reached.anchor.tenant);
    assert_eq!(*identity.tenant(), question.tenant);
    let path = identity.path();
    let last = path.last().expect("a path has a vouch");
    assert_eq!(
        last.key(),
        reached.key,
        "the last vouch is by the anchor's key"
    );
    for (lower, upper) in path.iter().zip(path.iter().skip(1)) {
        assert_eq!(lower.by(), upper.vouches_for(), "vouches join");
    }
    assert!(!identity.checks().is_empty());
    assert!(identity.valid_from() <= question.now && question.now <= identity.valid_until());
}

/// A refusal says why, in words that a terminal survives.
fn check_refusal(refusal: &Refusal, limits: Limits) {
    let attempts: Vec<_> = refusal.attempts().iter().collect();
    assert!(!attempts.is_empty(), "a refusal has an attempt");
    for attempt in attempts.iter().take(2 * limits.attempts_kept) {
        check_reason(attempt.reason());
        // Both validators agree, or differ in a way that is known and explained.
        if let Reason::ValidatorsDisagree { second } = attempt.reason() {
            panic!("the second validator refuses what the first accepts: {second}");
        }
    }
}

/// What must hold of every reason.
pub fn check_reason(reason: &Reason) {
    assert!(CATALOGUE.iter().any(|entry| entry.code == reason.code()));
    for text in [reason.sentence(), reason.hint()] {
        assert!(!text.is_empty());
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

/// The verdict as its reader sees it.
fn line(verdict: &Verdict, question: &Question, view: &View) -> String {
    Answer {
        id: None,
        decision: "fuzz",
        outcome: Outcome::Decided {
            question,
            view,
            verdict,
        },
    }
    .to_line()
}
