//! Graphs of certificates made to be expensive. Whoever shows a credential chooses them, so each
//! must end within the budget, and be refused for the limit it ran into or judged as if the rest
//! were not there. Counted is what was spent; `benches/hostile.rs` takes the time of the same
//! graphs.

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::{Budget, Limits, Spent};
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::graphs::{self, Graph};
use std::sync::Arc;

use crate::ask::outcome;

fn question(graph: &Graph) -> Question {
    Question {
        tenant: TenantId::local(),
        credential: Credential::X509(graph.chain.clone()),
        profile: Profile::Rfc5280,
        purpose: Purpose::Server,
        now: Time::parse(avouch_testkit::NOW).unwrap(),
        context: Context::default(),
    }
}

fn view(graph: &Graph) -> View {
    let anchors = graph.anchors.iter().map(|der| Anchor {
        name: "anchor".to_owned(),
        kind: AnchorKind::Certificate(Arc::new(Certificate::parse(der).unwrap())),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    });
    let epoch = Digest::of_list(graph.anchors.iter().map(Vec::as_slice));
    View::new(
        TenantId::local(),
        anchors.collect(),
        Vec::new(),
        Vec::new(),
        epoch,
    )
}

/// What came of it, what it cost, and that it costs the same again.
fn decided(graph: &Graph) -> (Verdict, Spent) {
    let (question, view) = (question(graph), view(graph));
    let decide = || {
        let mut budget = Budget::default();
        let verdict = avouch_core::decide(&question, &view, &AwsLc, &mut budget);
        (verdict, budget.spent())
    };
    let (verdict, spent) = decide();
    let (again, spent_again) = decide();
    assert_eq!(outcome(&verdict), outcome(&again));
    assert_eq!(spent, spent_again);
    (verdict, spent)
}

fn outcome_of(graph: &Graph) -> (String, Spent) {
    let (verdict, spent) = decided(graph);
    if let Verdict::Reject(refusal) = &verdict {
        let kept = Limits::default().attempts_kept;
        assert!(refusal.attempts().iter().count() <= kept);
    }
    (outcome(&verdict), spent)
}

#[test]
fn authorities_that_all_certify_each_other_end_in_a_limit() {
    for count in [20, 50] {
        let (outcome, spent) = outcome_of(&graphs::all_certify_each_other(count));
        assert!(
            ["limit.search_steps", "limit.signature_work"].contains(&outcome.as_str()),
            "{outcome}"
        );
        assert!(spent.search_steps <= Limits::default().search_steps);
    }
}

#[test]
fn authorities_that_all_certify_each_other_hide_no_anchor_next_to_the_leaf() {
    let graph = graphs::all_certify_each_other_next_to_an_anchor(20);
    let (outcome, spent) = outcome_of(&graph);
    assert_eq!(outcome, "accept");
    assert!(spent.signature_work < 100, "{spent:?}");
}

#[test]
fn thousands_of_issuers_of_one_name_end_in_a_limit() {
    assert_eq!(
        outcome_of(&graphs::look_alikes(3_000)).0,
        "limit.signature_work"
    );
}

#[test]
fn thousands_of_issuers_of_one_name_do_not_hide_the_one_that_signed() {
    let graph = graphs::look_alikes_before_the_one_that_signed(3_000);
    let (outcome, spent) = outcome_of(&graph);
    assert_eq!(outcome, "accept");
    assert!(spent.signature_work < 100, "{spent:?}");
}

#[test]
fn thousands_of_certificates_of_one_key_with_distinct_names_are_each_looked_at_once() {
    let (outcome, spent) = outcome_of(&graphs::one_key_with_many_names(3_000));
    assert_eq!(outcome, "limit.path_length");
    assert!(spent.search_steps < 40, "{spent:?}");
}

#[test]
fn issuers_left_out_at_the_greatest_depth_are_paid_for() {
    let levels = usize::try_from(Limits::default().path_length).unwrap();
    let graph = graphs::a_pile_below_the_greatest_depth(levels, 2_000);
    assert_eq!(outcome_of(&graph).0, "limit.search_steps");
}

#[test]
fn a_chain_of_four_thousand_certificates_ends_at_the_path_length() {
    let limits = Limits::default();
    let (outcome, spent) = outcome_of(&graphs::a_long_chain(limits.certificates));
    assert_eq!(outcome, "limit.path_length");
    assert!(spent.search_steps <= limits.path_length + 1, "{spent:?}");
}

#[test]
fn more_certificates_than_allowed_are_not_even_read() {
    let graph = graphs::empty_certificates(Limits::default().certificates + 1);
    assert_eq!(
        outcome_of(&graph),
        ("limit.certificates".to_owned(), Spent::default())
    );
}

#[test]
fn self_issued_certificates_that_count_for_no_path_length_do_not_go_deep() {
    let (outcome, spent) = outcome_of(&graphs::self_issued(1_000));
    assert!(outcome.starts_with("limit."), "{outcome}");
    assert!(spent.search_steps <= Limits::default().search_steps);
}

#[test]
fn ten_thousand_name_constraints_on_many_names_end_in_a_limit() {
    let graph = graphs::name_constraints(10_000, 1_000);
    assert_eq!(outcome_of(&graph).0, "limit.name_comparisons");
}

#[test]
fn ten_thousand_name_constraints_on_few_names_are_compared() {
    let graph = graphs::name_constraints(10_000, 1);
    assert_eq!(outcome_of(&graph).0, "accept");
}

#[test]
fn whole_paths_through_long_certificates_cost_what_reading_them_costs() {
    // Every path reaches the anchor and is refused there; each reads ten thousand constraints.
    let graph = graphs::whole_paths_through_a_long_certificate(200, 10_000);
    assert_eq!(outcome_of(&graph).0, "limit.search_steps");
}

#[test]
fn ten_thousand_anchors_of_one_name_cost_no_more_than_one() {
    let cost_among = |count: usize| {
        let (outcome, spent) = outcome_of(&graphs::anchors_of_one_name(count));
        assert_eq!(outcome, "accept", "among {count}");
        spent
    };
    let alone = cost_among(1);
    for count in [10, 1_000, 10_000] {
        assert_eq!(cost_among(count), alone, "among {count}");
    }
}

#[test]
fn an_expired_end_entity_is_refused_once_however_many_paths_there_are() {
    let (verdict, spent) = decided(&graphs::an_expired_end_entity(30));
    let Verdict::Reject(refusal) = &verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(refusal.reason().code(), "pki.expired");
    assert_eq!(refusal.attempts().iter().count(), 1);
    assert!(spent.search_steps < 200, "{spent:?}");
}

#[test]
fn rsa_keys_too_long_to_check_are_refused_without_a_check() {
    let (outcome, spent) = outcome_of(&graphs::an_rsa_key(16_384));
    assert_eq!(
        (outcome.as_str(), spent.signature_work),
        ("pki.key_size", 0)
    );
}

#[test]
fn a_pile_of_the_longest_rsa_keys_allowed_ends_in_a_limit() {
    assert_eq!(
        outcome_of(&graphs::rsa_keys(500, 8_192)).0,
        "limit.signature_work"
    );
}

#[test]
fn a_long_leaf_costs_its_hashing_with_every_issuer_tried() {
    let graph = graphs::a_long_leaf_below_look_alikes(1 << 20, 1_000);
    let (outcome, spent) = outcome_of(&graph);
    assert_eq!(outcome, "limit.signature_work");
    // Two milliseconds for each.
    assert!(spent.search_steps < 4_200, "{spent:?}");
    let short = outcome_of(&graphs::a_long_leaf_below_look_alikes(1, 1_000)).1;
    assert!(short.search_steps > 600, "{short:?}");
}

#[test]
fn long_names_cost_steps_wherever_they_are_compared_or_told() {
    let outcome = outcome_of(&graphs::long_dead_ends(14, 200_000)).0;
    assert_eq!(outcome, "limit.search_steps");
    let (_, spent) = outcome_of(&graphs::long_names(6, 30_000));
    assert!(spent.search_steps > 5_000, "{spent:?}");
}

#[test]
fn many_common_names_among_many_names_end_in_a_limit() {
    let graph = graphs::common_names(1_000, 10_000);
    let mut question = question(&graph);
    question.profile = Profile::WebPki;
    let verdict = avouch_core::decide(&question, &view(&graph), &AwsLc, &mut Budget::default());
    assert_eq!(outcome(&verdict), "limit.name_comparisons");
}

#[test]
fn mappings_that_do_not_count_leave_no_policy() {
    // Looked for in steps, not in squares of them: the benchmark tells the time.
    let (outcome, spent) = outcome_of(&graphs::mappings_that_do_not_count(1_900));
    assert_eq!(outcome, "accept");
    assert_eq!(spent.policy_nodes, 3_800);
}

#[test]
fn signers_of_lists_are_paid_for_on_every_path() {
    let (graph, list) = graphs::list_signers(900, 3_000);
    let list = Crl::parse(&list).unwrap();
    let view = view(&graph);
    let anchors = view.anchors().iter().map(|anchor| (**anchor).clone());
    let view = View::new(
        TenantId::local(),
        anchors.collect(),
        vec![list],
        Vec::new(),
        view.epoch(),
    );
    let mut budget = Budget::default();
    let verdict = avouch_core::decide(&question(&graph), &view, &AwsLc, &mut budget);
    assert_eq!(outcome(&verdict), "limit.search_steps");
}

#[test]
fn more_bytes_than_allowed_are_not_even_read() {
    let graph = graphs::a_subject_outside_ascii(Limits::default().input_bytes / 2);
    assert_eq!(
        outcome_of(&graph),
        ("limit.input_size".to_owned(), Spent::default())
    );
}

#[test]
fn a_certificate_of_very_many_extensions_is_read_once_through() {
    assert_eq!(outcome_of(&graphs::extensions(20_000)).0, "accept");
}

#[test]
fn policies_that_multiply_at_every_level_end_in_a_limit_or_a_verdict() {
    let (outcome, spent) = outcome_of(&graphs::policies_that_multiply(12, 60));
    assert!(
        ["accept", "limit.policy_nodes"].contains(&outcome.as_str()),
        "{outcome}"
    );
    assert!(spent.policy_nodes <= Limits::default().policy_nodes);
}
