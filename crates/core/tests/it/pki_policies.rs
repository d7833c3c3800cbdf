//! Certificate policies, beside the NIST suite: what a question may ask, and hostile graphs.

use avouch_core::question::Profile;
use avouch_core::verdict::Verdict;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{
    certificate_policies, inhibit_any_policy, policy_constraints, policy_mappings,
};
use avouch_testkit::key::Key;
use avouch_testkit::world::Authority;
use const_oid::ObjectIdentifier;

use crate::ask::Ask;

const GOLD: &str = "1.3.6.1.4.1.55738.1";
const SILVER: &str = "1.3.6.1.4.1.55738.2";
const ANY: &str = "2.5.29.32.0";

/// A root, an intermediate and a server, each with what a test adds to it.
fn ask(
    root: impl FnOnce(CertificateForge) -> CertificateForge,
    issuing: impl FnOnce(CertificateForge) -> CertificateForge,
    leaf: impl FnOnce(CertificateForge) -> CertificateForge,
) -> Ask {
    let root = Authority::root_with("Root", Key::ed25519("Root"), root);
    let issuing = root.intermediate_with("Issuing", Key::ed25519("Issuing"), issuing);
    let leaf = issuing.issue(leaf(CertificateForge::server("db.example.com")));
    Ask::about([&leaf, &issuing.certificate])
        .anchor(&root.certificate)
        .profile(Profile::Private)
}

fn as_is(forge: CertificateForge) -> CertificateForge {
    forge
}

fn under(policies: &'static [&str]) -> impl Fn(CertificateForge) -> CertificateForge {
    move |forge| forge.with(certificate_policies(policies))
}

fn accepting(mut ask: Ask, policies: &[&str]) -> Ask {
    ask.question.context.policies.require_explicit = true;
    ask.question.context.policies.accepted = policies
        .iter()
        .map(|policy| ObjectIdentifier::new_unwrap(policy))
        .collect();
    ask
}

#[test]
fn without_being_asked_for_no_policy_is_needed() {
    assert_eq!(ask(as_is, as_is, as_is).outcome(), "accept");
    let differing = ask(as_is, under(&[GOLD]), under(&[SILVER]));
    assert_eq!(differing.outcome(), "accept");
}

#[test]
fn a_required_policy_must_hold_for_the_whole_path() {
    let asked = |ask| accepting(ask, &[GOLD]).outcome();
    assert_eq!(
        asked(ask(as_is, under(&[GOLD]), under(&[GOLD, SILVER]))),
        "accept"
    );
    assert_eq!(asked(ask(as_is, under(&[ANY]), under(&[GOLD]))), "accept");
    assert_eq!(
        asked(ask(as_is, under(&[SILVER]), under(&[GOLD]))),
        "pki.policy_not_permitted"
    );
    assert_eq!(
        asked(ask(as_is, as_is, under(&[GOLD]))),
        "pki.policy_not_permitted"
    );
    assert_eq!(
        asked(ask(as_is, under(&[SILVER]), under(&[SILVER]))),
        "pki.policy_not_accepted"
    );
}

#[test]
fn the_policies_that_held_are_told() {
    let Verdict::Accept(sealed) = ask(as_is, under(&[GOLD]), under(&[GOLD])).decide() else {
        panic!("refused");
    };
    let mut checks = sealed.preview().checks().iter();
    let policies = checks.find(|check| check.what == "policies").unwrap();
    assert!(
        policies.compared.to_string().contains(GOLD),
        "{}",
        policies.compared
    );
}

#[test]
fn a_mapped_policy_is_told_in_the_words_of_the_anchor() {
    let mapped =
        |forge: CertificateForge| under(&[GOLD])(forge).with(policy_mappings(&[(GOLD, SILVER)]));
    let ask = || ask(as_is, mapped, under(&[SILVER]));
    assert_eq!(accepting(ask(), &[GOLD]).outcome(), "accept");
    assert_eq!(
        accepting(ask(), &[SILVER]).outcome(),
        "pki.policy_not_accepted"
    );
    let mut inhibited = accepting(ask(), &[GOLD]);
    inhibited.question.context.policies.inhibit_mapping = true;
    assert_eq!(inhibited.outcome(), "pki.policy_not_permitted");
}

#[test]
fn a_ca_may_not_map_every_policy() {
    let mapped =
        |forge: CertificateForge| under(&[ANY])(forge).with(policy_mappings(&[(ANY, SILVER)]));
    let ask = ask(as_is, mapped, under(&[SILVER]));
    assert_eq!(ask.outcome(), "pki.policy_mapping_of_any");
}

#[test]
fn an_anchor_certificate_is_held_to_the_constraints_it_states() {
    let requiring = |forge: CertificateForge| forge.with(policy_constraints(Some(0), None));
    assert_eq!(
        ask(requiring, as_is, as_is).outcome(),
        "pki.policy_not_permitted"
    );
    assert_eq!(
        ask(requiring, under(&[GOLD]), under(&[GOLD])).outcome(),
        "accept"
    );
    let no_any = |forge: CertificateForge| requiring(forge).with(inhibit_any_policy(0));
    assert_eq!(
        ask(no_any, under(&[ANY]), under(&[GOLD])).outcome(),
        "pki.policy_not_permitted"
    );
}

/// Each CA maps each of its policies to each of the next: the policy tree of RFC 5280 would have
/// ten to the power of eight leaves.
#[test]
fn a_graph_of_mappings_that_would_be_an_endless_tree_is_decided_within_the_budget() {
    let policies: Vec<String> = (0..10).map(|number| format!("{GOLD}.{number}")).collect();
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    let mappings: Vec<(&str, &str)> = policies
        .iter()
        .flat_map(|from| policies.iter().map(|to| (*from, *to)))
        .collect();
    let root = Authority::root("Root");
    let mut chain = Vec::new();
    let mut issuer = Authority::root("Root");
    for depth in 0..8 {
        let name = format!("CA {depth}");
        issuer = issuer.intermediate_with(name.as_str(), Key::ed25519(&name), |forge| {
            forge
                .with(certificate_policies(&policies))
                .with(policy_mappings(&mappings))
        });
        chain.push(issuer.certificate.clone());
    }
    chain.push(issuer.issue(under_all(&policies)));
    chain.reverse();
    let ask = Ask::about(chain)
        .anchor(&root.certificate)
        .profile(Profile::Private);
    let wanted = policies[3];
    assert_eq!(accepting(ask, &[wanted]).outcome(), "accept");
}

#[test]
fn more_policies_than_the_budget_allows_end_the_decision() {
    let policies: Vec<String> = (0..3_000)
        .map(|number| format!("{GOLD}.{number}"))
        .collect();
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    let issuing = |forge: CertificateForge| forge.with(certificate_policies(&policies));
    let leaf = |forge: CertificateForge| forge.with(certificate_policies(&policies));
    assert_eq!(ask(as_is, issuing, leaf).outcome(), "limit.policy_nodes");
}

fn under_all(policies: &[&str]) -> CertificateForge {
    CertificateForge::server("db.example.com").with(certificate_policies(policies))
}
