//! What must hold in every world.

use avouch_core::verdict::Verdict;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::small_world::{CrlPlan, anchor_plan, crl_plan, small_world};

fn accepts(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Accept(_))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_naive_search_over_all_simple_paths_agrees(world in small_world()) {
        let verdict = world.decide(&world.anchors, &[]);
        prop_assert_eq!(accepts(&verdict), world.is_believed(), "{:#?}", verdict);
    }

    #[test]
    fn replay_is_byte_identical(world in small_world(), crls in crls()) {
        let first = format!("{:?}", world.decide(&world.anchors, &crls));
        let again = format!("{:?}", world.decide(&world.anchors, &crls));
        prop_assert_eq!(first, again);
    }

    #[test]
    fn adding_an_anchor_never_turns_accept_into_reject(
        world in small_world(),
        crls in crls(),
        added in anchor_plan(),
        added_first: bool,
    ) {
        let accepted = accepts(&world.decide(&world.anchors, &crls));
        let mut anchors = world.anchors.clone();
        anchors.insert(if added_first { 0 } else { anchors.len() }, added);
        let verdict = world.decide(&anchors, &crls);
        prop_assert!(!accepted || accepts(&verdict), "{:#?}", verdict);
    }

    #[test]
    fn adding_a_revocation_list_never_turns_reject_into_accept(
        world in small_world(),
        crls in crls(),
    ) {
        let accepted = accepts(&world.decide(&world.anchors, &crls));
        prop_assert!(!accepted || accepts(&world.decide(&world.anchors, &[])));
    }

    #[test]
    fn revoking_more_never_turns_reject_into_accept(world in small_world(), crls in crls()) {
        let more: Vec<CrlPlan> = crls.iter().map(CrlPlan::revoking_all).collect();
        let accepted = accepts(&world.decide(&world.anchors, &more));
        prop_assert!(!accepted || accepts(&world.decide(&world.anchors, &crls)));
    }

    #[test]
    fn an_identity_belongs_to_the_owner_of_the_anchor_it_ends_at(world in small_world()) {
        if let Verdict::Accept(sealed) = world.decide(&world.anchors, &[]) {
            let identity = sealed.preview();
            prop_assert_eq!(identity.tenant(), &identity.anchor().anchor.tenant);
            prop_assert!(!identity.path().is_empty());
        }
    }

    #[test]
    fn a_refusal_always_shows_what_was_tried(world in small_world()) {
        if let Verdict::Reject(refusal) = world.decide(&world.anchors, &[]) {
            prop_assert!(refusal.attempts().iter().count() > 0);
            prop_assert_eq!(refusal.reason(), refusal.attempts().nearest().reason());
        }
    }
}

/// A property says nothing where all worlds are alike.
#[test]
fn worlds_differ_enough_to_show_something() {
    let mut runner = TestRunner::deterministic();
    let worlds = (0..400).map(|_| small_world().new_tree(&mut runner).unwrap().current());
    let (mut direct, mut through_intermediates, mut refused) = (0, 0, 0);
    for world in worlds {
        match world.decide(&world.anchors, &[]) {
            Verdict::Accept(sealed) if sealed.preview().path().len() > 1 => {
                through_intermediates += 1;
            }
            Verdict::Accept(_) => direct += 1,
            Verdict::Reject(_) | Verdict::Undetermined(_) => refused += 1,
        }
    }
    assert!(direct >= 40, "{direct}");
    assert!(through_intermediates >= 40, "{through_intermediates}");
    assert!(refused >= 100, "{refused}");
}

/// A few lists, of any CAs.
fn crls() -> impl Strategy<Value = Vec<CrlPlan>> {
    prop::collection::vec(crl_plan(), 0..3)
}
