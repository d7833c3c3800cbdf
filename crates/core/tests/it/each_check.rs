//! One test for each check whose loss nothing else in this binary would notice, most of them because
//! a larger suite or a worked example does: each is told apart here, at its boundary.

use std::sync::Arc;

use avouch_core::anchor::Anchor;
use avouch_core::budget::{Budget, Limits, Spent};
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::ended::{Ending, Endings, Mark, Standing};
use avouch_core::exchange::at_most::GrantsAtMost;
use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::question::{ExpectedName, Profile, Purpose};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::CrlForge;
use avouch_testkit::extension::{self, CLIENT_AUTH, Extension, KeyUsage, SERVER_AUTH};
use avouch_testkit::key::Key;
use avouch_testkit::name::{self, GeneralName, Name};
use avouch_testkit::world::Authority;
use der::Tag;
use serde_json::json;

use crate::ask::{Ask, outcome};

const HOST: &str = "db.example.com";

fn root() -> Authority {
    Authority::root("Root")
}

/// A chain below [`root`], asked about as loosely as a question can be.
fn below_root<T: AsRef<[u8]>>(chain: impl IntoIterator<Item = T>) -> Ask {
    Ask::about(chain)
        .anchor(&root().certificate)
        .profile(Profile::Private)
        .purpose(Purpose::Server)
}

fn spent(ask: &Ask, limits: Limits) -> (Verdict, Spent) {
    let mut budget = Budget::new(limits);
    let verdict = decide(&ask.question, &ask.view(), &AwsLc, &mut budget);
    (verdict, budget.spent())
}

fn within(ask: &Ask, limits: Limits) -> String {
    outcome(&spent(ask, limits).0)
}

/// What is decided when the anchor is changed.
fn with_anchor(ask: &Ask, change: impl Fn(&mut Anchor)) -> String {
    let view = ask.view();
    let anchors = view.anchors().iter().map(|anchor| {
        let mut anchor = (**anchor).clone();
        change(&mut anchor);
        anchor
    });
    let view = View::new(
        TenantId::local(),
        anchors.collect(),
        Vec::new(),
        Vec::new(),
        view.epoch(),
    );
    outcome(&decide(
        &ask.question,
        &view,
        &AwsLc,
        &mut Budget::default(),
    ))
}

#[test]
fn an_accepted_path_holds_nothing_of_those_that_failed_before_it() {
    let issuing = root().intermediate("Issuing");
    let stray = Authority::root("Nowhere").cross_certify(&issuing);
    let leaf = issuing.server(HOST);
    let ask = below_root([&leaf, &stray, &issuing.certificate]);
    let Verdict::Accept(sealed) = ask.decide() else {
        panic!("refused");
    };
    let path = sealed.preview().path();
    assert_eq!(path.len(), 2);
    for pair in path.windows(2) {
        assert_eq!(pair[0].by(), pair[1].vouches_for());
    }
}

#[test]
fn what_is_not_kept_of_the_attempts_is_counted() {
    let look_alikes: Vec<Authority> = (0..20)
        .map(|number| Authority::root_with("CA", Key::ed25519(&format!("{number}")), |forge| forge))
        .collect();
    let leaf = CertificateForge::server(HOST)
        .without("2.5.29.35")
        .sign(&"CA".into(), &Key::ed25519("no one"));
    let chain = std::iter::once(&leaf).chain(look_alikes.iter().map(|one| &one.certificate));
    for kept in [1, 4, 20, 32] {
        let limits = Limits {
            attempts_kept: kept,
            ..Limits::default()
        };
        let Verdict::Reject(refusal) = spent(&below_root(chain.clone()), limits).0 else {
            panic!("accepted");
        };
        let shown = refusal.attempts().iter().count();
        assert_eq!(shown, kept.min(20));
        assert_eq!(shown + refusal.attempts().left_out(), 20, "{kept}");
    }
}

#[test]
fn names_are_paid_for_once_for_each_constraint() {
    let excluded: Vec<GeneralName> = (0..10)
        .map(|number| GeneralName::dns(&format!("{number}.test")))
        .collect();
    let issuing = root().intermediate_with("Issuing", Key::ed25519("Issuing"), |forge| {
        forge.with(extension::name_constraints(&[], &excluded))
    });
    let leaf = issuing.issue(
        CertificateForge::server(HOST)
            .names(&[GeneralName::dns(HOST), GeneralName::dns("a.example.com")]),
    );
    // Two alternative names and the subject.
    let ask = below_root([&leaf, &issuing.certificate]);
    assert_eq!(spent(&ask, Limits::default()).1.name_comparisons, 30);
}

#[test]
fn a_limit_is_the_last_that_is_allowed() {
    let issuing = root().intermediate("Issuing");
    let leaf = issuing.server(HOST);
    let ask = below_root([&leaf, &issuing.certificate]);
    let bytes = leaf.len() + issuing.certificate.len();
    let limits = |certificates, input_bytes| Limits {
        certificates,
        input_bytes,
        ..Limits::default()
    };
    assert_eq!(within(&ask, limits(2, bytes)), "accept");
    assert_eq!(within(&ask, limits(1, bytes)), "limit.certificates");
    assert_eq!(within(&ask, limits(2, bytes - 1)), "limit.input_size");
}

#[test]
fn only_intermediates_that_are_not_self_issued_count_for_the_length_of_a_path() {
    let asked = |ask: Ask, most: u32| {
        let mut ask = ask;
        ask.question.context.max_path_length = Some(most);
        ask.outcome()
    };
    let direct = root().server(HOST);
    assert_eq!(asked(below_root([&direct]), 0), "accept");
    let old = root().intermediate("Issuing");
    let leaf = old.server(HOST);
    let one = below_root([&leaf, &old.certificate]);
    assert_eq!(asked(one, 0), "limit.path_length");
    let one = below_root([&leaf, &old.certificate]);
    assert_eq!(asked(one, 1), "accept");
    let new = Authority::root_with("Issuing", Key::ed25519("new"), |forge| forge);
    let (leaf, new_with_old) = (new.server(HOST), old.cross_certify(&new));
    let rolled = below_root([&leaf, &new_with_old, &old.certificate]);
    assert_eq!(asked(rolled, 1), "accept");
}

#[test]
fn no_path_is_searched_beyond_what_recursion_may_take() {
    let path = |count: usize| {
        let mut chain = Vec::new();
        let mut issuer = root();
        for depth in 0..count {
            issuer = issuer.intermediate(&format!("CA {depth}"));
            chain.insert(0, issuer.certificate.clone());
        }
        chain.insert(0, issuer.server(HOST));
        let mut ask = below_root(chain);
        ask.question.context.max_path_length = Some(1_000);
        ask.outcome()
    };
    assert_eq!(path(64), "accept");
    assert_eq!(path(65), "limit.path_length");
}

#[test]
fn one_key_under_two_names_is_no_loop() {
    let key = Key::ed25519("shared");
    let upper = root().intermediate_with("Upper", key.clone(), |forge| forge);
    let lower = upper.intermediate_with("Lower", key, |forge| forge);
    let leaf = lower.server(HOST);
    let ask = below_root([&leaf, &lower.certificate, &upper.certificate]);
    assert_eq!(ask.outcome(), "accept");
}

#[test]
fn the_likeliest_issuer_is_tried_first() {
    let issuing = root().intermediate("Issuing");
    let leaf = issuing.server(HOST);
    let alone = below_root([&leaf, &issuing.certificate]);
    let alone = spent(&alone, Limits::default()).1;
    let again = || CertificateForge::authority("Issuing", &Key::ed25519("Issuing"));
    let other_key = Authority::root_with("Issuing", Key::ed25519("other"), |forge| forge);
    let expired = root().issue(again().valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"));
    let not_a_ca = root().issue(again().with(extension::basic_constraints(false, None)));
    for before in [&other_key.certificate, &expired, &not_a_ca] {
        let ask = below_root([&leaf, before, &issuing.certificate]);
        let (verdict, spent) = spent(&ask, Limits::default());
        assert_eq!(outcome(&verdict), "accept");
        assert_eq!(spent, alone);
    }
}

/// Key usage and extended key usage are consistent, or the certificate is for neither (RFC 5280 4.2.1.12).
#[test]
fn a_key_whose_usage_does_not_fit_serves_neither_end() {
    const REFUSED: &str = "pki.extended_key_usage_not_permitted";
    let told = |purpose: Purpose, profile: Profile, usages: &[KeyUsage]| {
        let forge = CertificateForge::server(HOST).with(extension::key_usage(usages));
        let forge = forge.with(extension::extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH]));
        let ask = below_root([&root().issue(forge)]);
        ask.profile(profile).purpose(purpose).outcome()
    };
    let (server, client) = (Purpose::Server, Purpose::Client);
    for purpose in [server, client] {
        for usage in [
            KeyUsage::CrlSign,
            KeyUsage::NonRepudiation,
            KeyUsage::DataEncipherment,
            KeyUsage::KeyCertSign,
        ] {
            let outcome = told(purpose, Profile::Private, &[usage]);
            assert_eq!(outcome, REFUSED, "{usage:?}");
        }
        for profile in [Profile::Private, Profile::Rfc5280] {
            let other = [KeyUsage::CrlSign, KeyUsage::NonRepudiation];
            assert_eq!(told(purpose, profile, &other), REFUSED);
            let fitting = [KeyUsage::CrlSign, KeyUsage::DigitalSignature];
            assert_eq!(told(purpose, profile, &fitting), "accept");
        }
        assert_eq!(
            told(purpose, Profile::Private, &[KeyUsage::KeyAgreement]),
            "accept"
        );
    }
    let enciphers = [KeyUsage::KeyEncipherment];
    assert_eq!(told(server, Profile::Private, &enciphers), "accept");
    assert_eq!(told(client, Profile::Private, &enciphers), REFUSED);
    // Whoever asks for no purpose has none refused.
    let signs_lists = [KeyUsage::CrlSign];
    assert_eq!(told(Purpose::Any, Profile::Private, &signs_lists), "accept");
}

#[test]
fn a_ca_is_held_to_what_an_end_entity_is_held_to() {
    let through = |change: fn(CertificateForge) -> CertificateForge| {
        let issuing = root().intermediate_with("Issuing", Key::ed25519("Issuing"), change);
        let leaf = issuing.server(HOST);
        below_root([&leaf, &issuing.certificate]).outcome()
    };
    let unknown = || Extension::raw("1.2.3.4", vec![5, 0]).critical();
    assert_eq!(through(|ca| ca), "accept");
    assert_eq!(
        through(|ca| ca.valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z")),
        "pki.expired"
    );
    assert_eq!(
        through(|ca| ca.with(extension::extended_key_usage(&[CLIENT_AUTH]))),
        "pki.extended_key_usage_not_permitted"
    );
    assert_eq!(
        through(|ca| ca.with(Extension::raw("1.2.3.4", vec![5, 0]).critical())),
        "pki.critical_extension_unknown"
    );
    let leaf = root().issue(CertificateForge::server(HOST).with(unknown()));
    assert_eq!(
        below_root([&leaf]).outcome(),
        "pki.critical_extension_unknown"
    );
}

#[test]
fn an_anchor_vouches_only_for_what_it_may() {
    let issuing = root().intermediate("Issuing");
    let leaf = issuing.server(HOST);
    let ask = below_root([&leaf, &issuing.certificate]);
    assert_eq!(with_anchor(&ask, |_| ()), "accept");
    assert_eq!(
        with_anchor(&ask, |anchor| anchor.tenant =
            TenantId::parse("other").unwrap()),
        "policy.anchor_tenant"
    );
    let now = Time::parse(avouch_testkit::NOW).unwrap();
    let until = |end: Time| with_anchor(&ask, |anchor| anchor.stewardship.expires = Some(end));
    assert_eq!(until(now.plus(1)), "accept");
    assert_eq!(until(now), "policy.anchor_expired");
    let purpose = |purpose| with_anchor(&ask, |anchor| anchor.constraints.purposes = vec![purpose]);
    assert_eq!(purpose(Purpose::Server), "accept");
    assert_eq!(purpose(Purpose::Client), "policy.anchor_purpose");
    let length = |most| with_anchor(&ask, |anchor| anchor.constraints.path_length = Some(most));
    assert_eq!(length(1), "accept");
    assert_eq!(length(0), "policy.anchor_path_length");
    let dns = |ask: &Ask, name: &str| {
        with_anchor(ask, |anchor| {
            anchor.constraints.dns = vec![name.to_owned()];
        })
    };
    assert_eq!(dns(&ask, "example.com"), "accept");
    assert_eq!(dns(&ask, "example.org"), "policy.anchor_name");
    // A name of a kind of which nothing is said, and no name at all.
    let mixed = [GeneralName::dns(HOST), GeneralName::email("a@example.com")];
    let mixed = issuing.issue(CertificateForge::server(HOST).names(&mixed));
    let mixed = below_root([&mixed, &issuing.certificate]);
    assert_eq!(dns(&mixed, "example.com"), "policy.anchor_name");
    let nameless = issuing.issue(CertificateForge::server(HOST).without("2.5.29.17"));
    let nameless = below_root([&nameless, &issuing.certificate]);
    assert_eq!(dns(&nameless, "example.com"), "policy.anchor_name");
    let trust_domain = |ask: &Ask| {
        with_anchor(ask, |anchor| {
            anchor.constraints.trust_domains = vec![TrustDomain::parse("example.com").unwrap()];
        })
    };
    assert_eq!(trust_domain(&ask), "policy.anchor_trust_domain");
}

#[test]
fn what_an_anchor_may_say_bounds_the_subjects_of_its_certificates() {
    let ask = below_root([root().server(HOST)]);
    let Verdict::Accept(sealed) = ask.decide() else {
        panic!("refused");
    };
    let subject = sealed.preview().facts()["x509.subject"].clone();
    let bounded = |subject: &str| {
        let most = json!({"claims": {"x509.subject": [subject]}});
        let most = GrantsAtMost::read_at("anchor.grants_at_most", &most).unwrap();
        with_anchor(&ask, |anchor| {
            anchor.constraints.grants_at_most = most.clone();
        })
    };
    assert_eq!(bounded("CN=another"), "policy.claim_beyond_bound");
    assert_eq!(bounded(&subject), "accept");
}

/// What is above a certificate, and the lists that clear it, are made anew after it; it is as old as it is.
#[test]
fn hostile_61_what_ended_is_not_believed_again_under_a_newer_list_or_authority() {
    const ID: &str = "spiffe://example.org/api";
    let root = root();
    let leaf = root.issue(CertificateForge::svid(ID, &Key::ed25519("workload")));
    let began = Certificate::parse(&leaf).unwrap().not_before();
    let ended = began.plus(3_600);
    let ask = Ask::about([&leaf]).anchor(&root.certificate);
    let ask = ask.profile(Profile::Spiffe);
    let outcome = |ask: &Ask, before: Time| {
        let mut endings = Endings::default();
        let (event, by) = ("session-revoked".to_owned(), "issuer".to_owned());
        let ending = Ending::standing(before, Standing::UNSAID, event, by);
        endings.put(Mark::subject("spiffe://example.org", ID), ending);
        let view = ask.view().with_endings(Arc::new(endings));
        outcome(&decide(
            &ask.question,
            &view,
            &AwsLc,
            &mut Budget::default(),
        ))
    };
    assert_eq!(outcome(&ask, began.plus(-1)), "accept");
    assert_eq!(outcome(&ask, ended), "revocation.subject_ended");
    let ask = ask.crl(&root.crl(CrlForge::complete()));
    assert_eq!(outcome(&ask, began.plus(-1)), "accept");
    assert_eq!(outcome(&ask, ended), "revocation.subject_ended");
}

/// Whoever may choose their common name must not choose the rest of their name with it.
#[test]
fn hostile_34_no_name_of_a_certificate_is_written_like_another() {
    let subject = |name: Name| {
        let forge = CertificateForge::server(HOST).subject(name);
        let ask = below_root([root().issue(forge)]);
        let Verdict::Accept(sealed) = ask.decide() else {
            panic!("refused");
        };
        sealed.preview().facts()["x509.subject"].clone()
    };
    let (organization, common) = ("2.5.4.10", "2.5.4.3");
    let named = Name::empty()
        .with(organization, "Partner")
        .with(common, "client");
    assert_eq!(subject(named), "CN=client, O=Partner");
    for (text, written) in [
        ("client, O=Partner", r"CN=client\, O=Partner"),
        ("client+O=Partner", r"CN=client\+O=Partner"),
        (r"client\, O=Partner", r"CN=client\\\, O=Partner"),
        ("#04", r"CN=\#04"),
        (" a ", r"CN=\ a\ "),
    ] {
        assert_eq!(subject(Name::common_name(text)), written, "{text}");
    }
    let both: [(&str, Tag, &[u8]); 2] = [
        (common, Tag::Utf8String, b"client"),
        (organization, Tag::Utf8String, b"Partner"),
    ];
    let together = subject(Name::empty().with_several(&both));
    assert!(together.contains('+'), "{together}");
}

#[test]
fn what_no_path_can_mend_is_refused_on_the_first() {
    let issuing = root().intermediate("Issuing");
    let again = root().issue(
        CertificateForge::authority("Issuing", &issuing.key)
            .valid("2024-02-01T00:00:00Z", "2030-01-01T00:00:00Z"),
    );
    let leaf = issuing.server(HOST);
    let other = ExpectedName::Dns("other.example.com".to_owned());
    let ask = below_root([&leaf, &issuing.certificate, &again]).expect(other);
    let Verdict::Reject(refusal) = ask.decide() else {
        panic!("accepted");
    };
    assert_eq!(refusal.reason().code(), "pki.name_mismatch");
    assert_eq!(refusal.attempts().iter().count(), 1);
}

#[test]
fn constraints_hold_for_every_name_but_those_of_self_issued_cas() {
    let constrained = |excluded: &[GeneralName]| {
        let names = extension::name_constraints(&[], excluded);
        root().intermediate_with("Issuing", Key::ed25519("Issuing"), |ca| ca.with(names))
    };
    let outcome = |excluded: &[GeneralName], leaf: CertificateForge| {
        let issuing = constrained(excluded);
        below_root([&issuing.issue(leaf), &issuing.certificate]).outcome()
    };
    let server = || CertificateForge::server(HOST);
    let itself = [GeneralName::directory("Issuing")];
    assert_eq!(
        outcome(&itself, server().subject("Issuing")),
        "pki.name_excluded"
    );
    let issuing = constrained(&itself);
    let new = Authority::root_with("Issuing", Key::ed25519("new"), |ca| ca);
    let rolled = issuing.cross_certify(&new);
    let leaf = new.issue(server());
    let ask = below_root([&leaf, &rolled, &issuing.certificate]);
    assert_eq!(ask.outcome(), "accept");
    let mail = [GeneralName::email("example.com")];
    let with_mail = Name::common_name("a").with(name::EMAIL_ADDRESS, "a@example.com");
    assert_eq!(
        outcome(&mail, server().subject(with_mail)),
        "pki.name_excluded"
    );
    let wrong = [GeneralName::dns("*.example.org")];
    assert_eq!(outcome(&wrong, server()), "pki.name_constraint_malformed");
}

#[test]
fn issuers_that_no_one_tries_are_paid_for() {
    // Copies of one root, each of which would close a loop.
    let copies: Vec<Vec<u8>> = (0..30)
        .map(|second| {
            let from = format!("2024-01-01T00:00:{second:02}Z");
            let key = Key::ed25519("Other");
            CertificateForge::authority("Other", &key)
                .valid(from.as_str(), "2030-01-01T00:00:00Z")
                .sign(&"Other".into(), &key)
        })
        .collect();
    let leaf = Authority::root("Other").server(HOST);
    let ask = below_root(std::iter::once(&leaf).chain(&copies));
    assert_eq!(spent(&ask, Limits::default()).1.search_steps, 30 * (1 + 30));
    // Issuers that would make the path too long.
    let lower = Authority::root("Upper").intermediate("Lower");
    let uppers: Vec<Vec<u8>> = (0..30)
        .map(|number| {
            let key = Key::ed25519(&format!("{number}"));
            root().issue(CertificateForge::authority("Upper", &key))
        })
        .collect();
    let leaf = lower.server(HOST);
    let chain = [&leaf, &lower.certificate].into_iter().chain(&uppers);
    let mut ask = below_root(chain);
    ask.question.context.max_path_length = Some(1);
    let (verdict, spent) = spent(&ask, Limits::default());
    assert_eq!(outcome(&verdict), "limit.path_length");
    assert_eq!(spent.search_steps, 1 + 30);
}

#[test]
fn an_anchor_that_another_issued_is_not_counted_among_the_intermediates() {
    let issuing = root().intermediate("Issuing");
    let leaf = issuing.server(HOST);
    let ask = Ask::about([&leaf])
        .anchor(&issuing.certificate)
        .profile(Profile::Private);
    let outcome = with_anchor(&ask, |anchor| anchor.constraints.path_length = Some(0));
    assert_eq!(outcome, "accept");
}

#[test]
fn a_ca_that_may_issue_is_no_end_entity_of_the_public_web() {
    let with_length = |most: u64| {
        let issuing = root().intermediate_with("Issuing", Key::ed25519("Issuing"), |ca| {
            ca.path_length(most)
        });
        let ca = extension::basic_constraints(true, None);
        let leaf = issuing.issue(CertificateForge::server(HOST).with(ca));
        below_root([&leaf, &issuing.certificate])
            .profile(Profile::WebPki)
            .outcome()
    };
    assert_eq!(with_length(1), "pki.end_entity_is_ca");
    assert_eq!(with_length(0), "accept");
}

#[test]
fn an_end_entity_may_ask_for_a_policy_that_it_does_not_have() {
    let asking = |policies: &[&str]| {
        let policies = extension::certificate_policies(policies);
        let explicit = extension::policy_constraints(Some(0), None).critical();
        let issuing = root().intermediate_with("Issuing", Key::ed25519("Issuing"), |ca| {
            ca.with(policies.clone())
        });
        let leaf = CertificateForge::server(HOST).with(explicit);
        let leaf = issuing.issue(leaf.with(extension::certificate_policies(&["1.2.3.4"])));
        below_root([&leaf, &issuing.certificate]).outcome()
    };
    assert_eq!(asking(&["1.2.3.4"]), "accept");
    assert_eq!(asking(&["1.2.3.5"]), "pki.policy_not_permitted");
}
