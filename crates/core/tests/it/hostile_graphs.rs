//! Graphs of certificates made to be expensive. Whoever shows a credential chooses them, so each
//! must end within the budget, and be refused for the limit it ran into or judged as if the rest
//! were not there. Counted is what was spent; how long that takes is for the benchmarks.

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::{Budget, Limits, Spent};
use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{self, Extension};
use avouch_testkit::key::{self, Key};
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::world::Authority;
use std::sync::Arc;

use crate::ask::outcome;

/// A chain to decide on and the anchors it is held against.
struct Graph {
    chain: Vec<Vec<u8>>,
    anchors: Vec<Vec<u8>>,
}

impl Graph {
    fn new(leaf: Vec<u8>, others: Vec<Vec<u8>>, anchors: Vec<Vec<u8>>) -> Self {
        let chain = std::iter::once(leaf).chain(others).collect();
        Self { chain, anchors }
    }

    fn question(&self) -> Question {
        Question {
            tenant: TenantId::local(),
            credential: Credential::X509(self.chain.clone()),
            profile: Profile::Rfc5280,
            purpose: Purpose::Server,
            now: Time::parse(avouch_testkit::NOW).unwrap(),
            context: Context::default(),
        }
    }

    fn view(&self) -> View {
        let anchors = self.anchors.iter().map(|der| Anchor {
            name: "anchor".to_owned(),
            kind: AnchorKind::Certificate(Arc::new(Certificate::parse(der).unwrap())),
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        });
        let epoch = Digest::of_list(self.anchors.iter().map(Vec::as_slice));
        View::new(
            TenantId::local(),
            anchors.collect(),
            Vec::new(),
            Vec::new(),
            epoch,
        )
    }

    /// What came of it, what it cost, and that it costs the same again.
    fn decided(&self) -> (Verdict, Spent) {
        let (question, view) = (self.question(), self.view());
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

    fn outcome(&self) -> (String, Spent) {
        let (verdict, spent) = self.decided();
        if let Verdict::Reject(refusal) = &verdict {
            let kept = Limits::default().attempts_kept;
            assert!(refusal.attempts().iter().count() <= kept);
        }
        (outcome(&verdict), spent)
    }
}

fn authorities(count: usize, name: impl Fn(usize) -> String) -> Vec<Authority> {
    (0..count)
        .map(|number| {
            let key = Key::ed25519(&format!("key {number}"));
            Authority::root_with(Name::common_name(&name(number)), key, |forge| forge)
        })
        .collect()
}

/// Every one of them certifies every other.
fn mutual(authorities: &[Authority]) -> Vec<Vec<u8>> {
    let mut crossed = Vec::new();
    for issuer in authorities {
        for subject in authorities
            .iter()
            .filter(|subject| subject.key != issuer.key)
        {
            crossed.push(issuer.cross_certify(subject));
        }
    }
    crossed
}

/// An authority that no graph leads to.
fn stranger() -> Authority {
    Authority::root("Stranger")
}

#[test]
fn authorities_that_all_certify_each_other_end_in_a_limit() {
    for count in [20, 50] {
        let authorities = authorities(count, |number| format!("CA {number}"));
        let leaf = authorities[0].server("a.example");
        let graph = Graph::new(leaf, mutual(&authorities), vec![stranger().certificate]);
        let (outcome, spent) = graph.outcome();
        assert!(
            ["limit.search_steps", "limit.signature_work"].contains(&outcome.as_str()),
            "{outcome}"
        );
        assert!(spent.search_steps <= Limits::default().search_steps);
    }
}

#[test]
fn authorities_that_all_certify_each_other_hide_no_anchor_next_to_the_leaf() {
    let authorities = authorities(20, |number| format!("CA {number}"));
    let leaf = authorities[0].server("a.example");
    let graph = Graph::new(
        leaf,
        mutual(&authorities),
        vec![authorities[0].certificate.clone()],
    );
    let (outcome, spent) = graph.outcome();
    assert_eq!(outcome, "accept");
    assert!(spent.signature_work < 100, "{spent:?}");
}

#[test]
fn thousands_of_issuers_of_one_name_end_in_a_limit() {
    // The authority key identifier of the leaf fits none of them, so each may have signed it.
    let look_alikes = authorities(3_000, |_| "Look-alike".to_owned());
    let leaf = CertificateForge::server("a.example").without("2.5.29.35");
    let leaf = leaf.sign(&"Look-alike".into(), &Key::ed25519("no one"));
    let others = look_alikes.into_iter().map(|one| one.certificate).collect();
    let graph = Graph::new(leaf, others, vec![stranger().certificate]);
    assert_eq!(graph.outcome().0, "limit.signature_work");
}

#[test]
fn thousands_of_issuers_of_one_name_do_not_hide_the_one_that_signed() {
    let root = stranger();
    let issuing = root.intermediate_with("Look-alike", Key::ed25519("issuing"), |forge| forge);
    let look_alikes = authorities(3_000, |_| "Look-alike".to_owned());
    let others = look_alikes
        .into_iter()
        .map(|one| one.certificate)
        .chain([issuing.certificate.clone()]);
    let graph = Graph::new(
        issuing.server("a.example"),
        others.collect(),
        vec![root.certificate],
    );
    let (outcome, spent) = graph.outcome();
    assert_eq!(outcome, "accept");
    assert!(spent.signature_work < 100, "{spent:?}");
}

#[test]
fn thousands_of_certificates_of_one_key_with_distinct_names_are_each_looked_at_once() {
    let key = Key::ed25519("shared");
    let others = (0..3_000).map(|number| {
        CertificateForge::authority(Name::common_name(&format!("CA {number}")), &key)
            .sign(&Name::common_name(&format!("CA {}", number + 1)), &key)
    });
    let leaf = CertificateForge::server("a.example").sign(&Name::common_name("CA 0"), &key);
    let graph = Graph::new(leaf, others.collect(), vec![stranger().certificate]);
    let (outcome, spent) = graph.outcome();
    assert_eq!(outcome, "limit.path_length");
    assert!(spent.search_steps < 40, "{spent:?}");
}

#[test]
fn issuers_left_out_at_the_greatest_depth_are_paid_for() {
    // Each path down to the depth allowed ends before thousands that would make it too long.
    let levels = usize::try_from(Limits::default().path_length).unwrap();
    let at = |level: usize, number: usize| {
        let name = Name::common_name(&format!("level {level}"));
        Authority::root_with(name, Key::ed25519(&format!("{level} {number}")), |forge| {
            forge
        })
    };
    let mut others = Vec::new();
    for level in 0..levels {
        for (lower, upper) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            others.push(at(level + 1, upper).cross_certify(&at(level, lower)));
        }
    }
    let last = Name::common_name(&format!("level {levels}"));
    let pile = Authority::root("pile");
    for number in 0..2_000 {
        let key = Key::ed25519(&format!("pile {number}"));
        others.push(pile.issue(CertificateForge::authority(last.clone(), &key)));
    }
    let leaf = at(0, 0).server("a.example");
    let graph = Graph::new(leaf, others, vec![stranger().certificate]);
    assert_eq!(graph.outcome().0, "limit.search_steps");
}

#[test]
fn a_chain_of_four_thousand_certificates_ends_at_the_path_length() {
    let limits = Limits::default();
    let links = (0..limits.certificates - 1).map(|number| {
        let name = |number: usize| Name::common_name(&format!("level {number}"));
        let key = |number: usize| Key::ed25519(&format!("level {number}"));
        CertificateForge::authority(name(number), &key(number))
            .sign(&name(number + 1), &key(number + 1))
    });
    let leaf = CertificateForge::server("a.example")
        .sign(&Name::common_name("level 0"), &Key::ed25519("level 0"));
    let graph = Graph::new(leaf, links.collect(), vec![stranger().certificate]);
    let (outcome, spent) = graph.outcome();
    assert_eq!(outcome, "limit.path_length");
    assert!(spent.search_steps <= limits.path_length + 1, "{spent:?}");
}

#[test]
fn more_certificates_than_allowed_are_not_even_read() {
    let limits = Limits::default();
    let graph = Graph::new(
        Vec::new(),
        vec![Vec::new(); limits.certificates],
        vec![stranger().certificate],
    );
    assert_eq!(
        graph.outcome(),
        ("limit.certificates".to_owned(), Spent::default())
    );
}

#[test]
fn self_issued_certificates_that_count_for_no_path_length_do_not_go_deep() {
    let name = Name::common_name("Self");
    let keys: Vec<Key> = (0..1_000)
        .map(|number| Key::ed25519(&format!("self {number}")))
        .collect();
    let links = keys
        .iter()
        .zip(keys.iter().skip(1))
        .map(|(own, next)| CertificateForge::authority(name.clone(), own).sign(&name, next));
    let leaf = CertificateForge::server("a.example").sign(&name, &keys[0]);
    let graph = Graph::new(leaf, links.collect(), vec![stranger().certificate]);
    let (outcome, spent) = graph.outcome();
    assert!(outcome.starts_with("limit."), "{outcome}");
    assert!(spent.search_steps <= Limits::default().search_steps);
}

#[test]
fn ten_thousand_name_constraints_on_many_names_end_in_a_limit() {
    let names: Vec<GeneralName> = (0..1_000)
        .map(|number| GeneralName::dns(&format!("host-{number}.example")))
        .collect();
    let excluded: Vec<GeneralName> = (0..10_000)
        .map(|number| GeneralName::dns(&format!("other-{number}.example")))
        .collect();
    let root = stranger();
    let issuing = root.intermediate_with("Constrained", Key::ed25519("constrained"), |forge| {
        forge.with(extension::name_constraints(&[], &excluded))
    });
    let leaf = issuing.issue(CertificateForge::server("a.example").names(&names));
    let graph = Graph::new(leaf, vec![issuing.certificate], vec![root.certificate]);
    assert_eq!(graph.outcome().0, "limit.name_comparisons");
}

#[test]
fn ten_thousand_name_constraints_on_few_names_are_compared() {
    let excluded: Vec<GeneralName> = (0..10_000)
        .map(|number| GeneralName::dns(&format!("other-{number}.example")))
        .collect();
    let root = stranger();
    let issuing = root.intermediate_with("Constrained", Key::ed25519("constrained"), |forge| {
        forge.with(extension::name_constraints(&[], &excluded))
    });
    let graph = Graph::new(
        issuing.server("a.example"),
        vec![issuing.certificate],
        vec![root.certificate],
    );
    assert_eq!(graph.outcome().0, "accept");
}

#[test]
fn whole_paths_through_long_certificates_cost_what_reading_them_costs() {
    // Every path reaches the anchor and is refused there; each reads ten thousand constraints.
    let excluded: Vec<GeneralName> = (0..10_000)
        .map(|number| GeneralName::dns(&format!("other-{number}.example")))
        .collect();
    let root = stranger();
    let middle = Authority::root("Middle");
    let mut others = Vec::new();
    for number in 0..200 {
        let from = format!("2024-01-01T00:00:{:02}Z", number % 60);
        let forge = CertificateForge::authority(middle.name.clone(), &middle.key)
            .valid(from.as_str(), "2024-02-01T00:00:00Z")
            .path_length(number);
        others.push(root.issue(forge));
    }
    let issuing = middle.intermediate_with("Issuing", Key::ed25519("issuing"), |forge| {
        forge.with(extension::name_constraints(&[], &excluded))
    });
    others.push(issuing.certificate.clone());
    let graph = Graph::new(issuing.server("a.example"), others, vec![root.certificate]);
    assert_eq!(graph.outcome().0, "limit.search_steps");
}

#[test]
fn ten_thousand_anchors_of_one_name_cost_no_more_than_one() {
    let cost_among = |count: usize| {
        let roots = authorities(count, |_| "Root".to_owned());
        let leaf = roots[count / 2].server("a.example");
        let anchors = roots.into_iter().map(|root| root.certificate).collect();
        let (outcome, spent) = Graph::new(leaf, Vec::new(), anchors).outcome();
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
    let root = stranger();
    let middle = authorities(30, |_| "Middle".to_owned());
    let issuing = Authority::root("Issuing");
    let mut others = Vec::new();
    for one in &middle {
        others.push(root.cross_certify(one));
        others.push(one.cross_certify(&issuing));
    }
    let leaf =
        CertificateForge::server("a.example").valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    let graph = Graph::new(issuing.issue(leaf), others, vec![root.certificate]);
    let (verdict, spent) = graph.decided();
    let Verdict::Reject(refusal) = &verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(refusal.reason().code(), "pki.expired");
    assert_eq!(refusal.attempts().iter().count(), 1);
    assert!(spent.search_steps < 200, "{spent:?}");
}

#[test]
fn rsa_keys_too_long_to_check_are_refused_without_a_check() {
    let name = Name::common_name("Huge");
    let signer = Key::ed25519("huge");
    let huge = CertificateForge::authority(name.clone(), &signer)
        .public_key_info(key::rsa_public_key_info(16_384, 65_537))
        .self_sign(&signer);
    let leaf = CertificateForge::server("a.example").sign(&name, &signer);
    let (outcome, spent) = Graph::new(leaf, Vec::new(), vec![huge]).outcome();
    assert_eq!(
        (outcome.as_str(), spent.signature_work),
        ("pki.key_size", 0)
    );
}

#[test]
fn a_pile_of_the_longest_rsa_keys_allowed_ends_in_a_limit() {
    let name = Name::common_name("Long");
    let signer = Key::ed25519("long");
    let others = (0..500_u64).map(|number| {
        let long = key::rsa_public_key_info(8_192, 65_537 + 2 * number);
        CertificateForge::authority(name.clone(), &signer)
            .public_key_info(long)
            .self_sign(&signer)
    });
    let leaf = CertificateForge::server("a.example")
        .without("2.5.29.35")
        .sign(&name, &signer);
    let graph = Graph::new(leaf, others.collect(), vec![stranger().certificate]);
    assert_eq!(graph.outcome().0, "limit.signature_work");
}

#[test]
fn a_certificate_of_very_many_extensions_is_read_once_through() {
    let root = stranger();
    let mut leaf = CertificateForge::server("a.example");
    for number in 0..20_000 {
        let oid = format!("1.3.6.1.4.1.57264.{number}");
        leaf = leaf.with_again(Extension::raw(&oid, vec![5, 0]));
    }
    let graph = Graph::new(root.issue(leaf), Vec::new(), vec![root.certificate]);
    assert_eq!(graph.outcome().0, "accept");
}

#[test]
fn policies_that_multiply_at_every_level_end_in_a_limit_or_a_verdict() {
    let policies: Vec<String> = (0..60)
        .map(|number| format!("1.3.6.1.4.1.57264.{number}"))
        .collect();
    let names: Vec<&str> = policies.iter().map(String::as_str).collect();
    let mappings: Vec<(&str, &str)> = names
        .iter()
        .flat_map(|from| names.iter().map(move |to| (*from, *to)))
        .collect();
    let bomb = |forge: CertificateForge| {
        forge
            .with(extension::certificate_policies(&names))
            .with(extension::policy_mappings(&mappings))
    };
    let root = stranger();
    let mut levels = vec![root.intermediate_with("level 0", Key::ed25519("level 0"), bomb)];
    for level in 1..12 {
        let name = format!("level {level}");
        let next = levels[level - 1].intermediate_with(name.as_str(), Key::ed25519(&name), bomb);
        levels.push(next);
    }
    let leaf = CertificateForge::server("a.example").with(extension::certificate_policies(&names));
    let graph = Graph::new(
        levels[11].issue(leaf),
        levels.into_iter().map(|level| level.certificate).collect(),
        vec![root.certificate],
    );
    let (outcome, spent) = graph.outcome();
    assert!(
        ["accept", "limit.policy_nodes"].contains(&outcome.as_str()),
        "{outcome}"
    );
    assert!(spent.policy_nodes <= Limits::default().policy_nodes);
}
