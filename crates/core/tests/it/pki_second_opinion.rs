//! The second opinion: what rustls-webpki is known to refuse, and that it is said.

use avouch_core::question::{ExpectedName, Profile, Purpose};
use avouch_core::verdict::Verdict;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{self, ANY_EXTENDED_KEY_USAGE, certificate_policies};
use avouch_testkit::key::Key;
use avouch_testkit::name::GeneralName;
use avouch_testkit::world::Authority;

use crate::ask::Ask;

const HOST: &str = "db.example.com";

/// What was said of the second opinion on a path that was accepted.
fn opinion(ask: &Ask) -> String {
    match ask.decide() {
        Verdict::Accept(sealed) => {
            let mut checks = sealed.preview().checks().iter();
            let check = checks.find(|check| check.what == "second opinion");
            check.unwrap().compared.to_string()
        }
        Verdict::Reject(refusal) => panic!("{:?}", refusal.reason()),
        Verdict::Undetermined(needs) => panic!("{needs:?}"),
    }
}

fn below(issuer: &Authority, change: impl FnOnce(CertificateForge) -> CertificateForge) -> Ask {
    let leaf = issuer.issue(change(CertificateForge::server(HOST)));
    Ask::about([&leaf, &issuer.certificate])
        .anchor(&Authority::root("Root").certificate)
        .profile(Profile::Private)
        .purpose(Purpose::Server)
}

fn issuing(change: impl FnOnce(CertificateForge) -> CertificateForge) -> Authority {
    Authority::root("Root").intermediate_with("Issuing", Key::ed25519("Issuing"), change)
}

#[test]
fn both_accept_a_plain_path() {
    let expected = ExpectedName::Dns(HOST.to_owned());
    let ask = below(&issuing(|ca| ca), |leaf| leaf).expect(expected);
    assert_eq!(opinion(&ask), "rustls-webpki accepts the same path");
}

#[test]
fn what_it_is_known_to_refuse_is_accepted_and_said() {
    let plain = issuing(|ca| ca);
    let any = extension::extended_key_usage(&[ANY_EXTENDED_KEY_USAGE]);
    let permitted = [GeneralName::uri("example.com")];
    let uris = extension::name_constraints(&permitted, &[]);
    let id = [GeneralName::uri("spiffe://example.com/db")];
    let policies = certificate_policies(&["2.5.29.32.0"]).critical();
    let excluded = [GeneralName::dns("example.org")];
    let constrained = issuing(|ca| ca.with(extension::name_constraints(&[], &excluded)));
    let wide = below(&plain, |leaf| leaf.names(&[GeneralName::dns("*.internal")]))
        .expect(ExpectedName::Dns("db.internal".to_owned()));
    for (ask, why) in [
        (below(&plain, |leaf| leaf.with(any)), "anyExtendedKeyUsage"),
        (
            below(&plain, |leaf| leaf.with(policies)),
            "critical extension",
        ),
        (
            below(&issuing(|ca| ca.with(uris)), |leaf| leaf.names(&id)),
            "constraints it does not compare",
        ),
        (
            below(&issuing(|ca| ca.path_length(300)), |leaf| leaf),
            "over 255",
        ),
        (wide, "below a top-level domain"),
        (
            below(&constrained, |leaf| {
                leaf.names(&[GeneralName::dns("10.0.0.1")])
            }),
            "ends in a number",
        ),
        (
            below(&constrained, |leaf| {
                leaf.names(&[GeneralName::dns("a-.example.net")])
            }),
            "hyphen at an end",
        ),
    ] {
        let said = opinion(&ask);
        assert!(said.starts_with("rustls-webpki would not: "), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn it_follows_six_intermediates_and_we_follow_more() {
    let root = Authority::root("Root");
    let path = |count: usize| {
        let mut chain = Vec::new();
        let mut issuer = Authority::root("Root");
        for depth in 0..count {
            issuer = issuer.intermediate(&format!("CA {depth}"));
            chain.insert(0, issuer.certificate.clone());
        }
        chain.insert(0, issuer.server(HOST));
        Ask::about(chain).anchor(&root.certificate)
    };
    assert_eq!(opinion(&path(6)), "rustls-webpki accepts the same path");
    assert!(opinion(&path(7)).contains("at most six"));
}

#[test]
fn a_self_issued_certificate_is_counted_by_it_and_not_by_us() {
    let old = issuing(|ca| ca.path_length(0));
    let new = Authority::root_with("Issuing", Key::ed25519("new"), |ca| ca);
    let new_with_old = old.cross_certify(&new);
    let leaf = new.server(HOST);
    let ask = Ask::about([&leaf, &new_with_old, &old.certificate])
        .anchor(&Authority::root("Root").certificate);
    assert!(opinion(&ask).contains("self-issued"));
}

#[test]
fn a_name_that_differs_in_case_only_is_the_same_to_us() {
    let root = Authority::root("Root");
    let leaf = root.issue(CertificateForge::server(HOST).issuer("ROOT"));
    let ask = Ask::about([&leaf]).anchor(&root.certificate);
    assert!(opinion(&ask).contains("byte by byte"));
}
