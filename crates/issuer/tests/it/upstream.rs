//! What is brought from elsewhere, before it is taken.

use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_issuer::fault::NotIssued;
use avouch_issuer::random::SystemRandom;
use avouch_issuer::signer::{Origin, SoftwareKey};
use avouch_issuer::upstream::Taking;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension;
use avouch_testkit::key::{Key, RsaTestKey};

const HOLDS: (&str, &str) = ("2026-01-01T00:00:00Z", "2034-01-01T00:00:00Z");

fn root(key: &Key) -> CertificateForge {
    CertificateForge::authority("Corporate", key).valid(HOLDS.0, HOLDS.1)
}

/// What is said of these certificates with this key, at a moment.
fn taken(certificates: &[Vec<u8>], key: &Key, now: &str) -> Result<Vec<Vec<u8>>, String> {
    let signer = SoftwareKey::from_der(key.private(), Origin::Memory).unwrap();
    let taking = Taking {
        tenant: &TenantId::parse("demo").unwrap(),
        trust_domain: &TrustDomain::parse("demo.avouch.test").unwrap(),
        certificates,
        now: Time::parse(now).unwrap(),
    };
    let taken = taking.root(Arc::new(signer), &SystemRandom);
    taken.map_err(|refused| match refused {
        NotIssued::Refused(reason) => format!("{}: {}", reason.code(), reason.sentence()),
        NotIssued::Failed(fault) => panic!("{fault}"),
    })
}

const NOW: &str = "2030-01-01T00:00:00Z";

#[test]
fn a_root_vouches_for_servers_and_clients_and_lasts_for_more_than_an_hour() {
    let key = Key::rsa(RsaTestKey::A);
    let of = |usages: &[&str]| {
        vec![
            root(&key)
                .with(extension::extended_key_usage(usages))
                .self_sign(&key),
        ]
    };
    let plain = vec![root(&key).self_sign(&key)];
    assert_eq!(taken(&plain, &key, NOW).unwrap(), plain);
    let both = of(&[extension::SERVER_AUTH, extension::CLIENT_AUTH]);
    assert_eq!(taken(&both, &key, NOW).unwrap(), both);
    for usage in [extension::SERVER_AUTH, extension::CLIENT_AUTH] {
        let refused = taken(&of(&[usage]), &key, NOW).unwrap_err();
        let code = "pki.extended_key_usage_not_permitted";
        assert!(refused.starts_with(code), "{usage}: {refused}");
    }
    let refused = taken(&plain, &key, "2033-12-31T23:30:00Z").unwrap_err();
    assert!(
        refused.starts_with("issue.upstream_malformed") && refused.contains("an hour"),
        "{refused}"
    );
}

#[test]
fn an_intermediate_with_its_key_is_sent_the_way_that_it_can_come() {
    let (key, above) = (Key::rsa(RsaTestKey::A), Key::p256("above"));
    let corporate = root(&above).self_sign(&above);
    let own = CertificateForge::authority("Intermediate", &key).valid(HOLDS.0, HOLDS.1);
    let own = own.sign(&"Corporate".into(), &above);
    for brought in [vec![own.clone(), corporate.clone()], vec![own]] {
        let refused = taken(&brought, &key, NOW).unwrap_err();
        assert!(refused.contains("`avouch authority csr`"), "{refused}");
    }
    let none = taken(&[], &key, NOW).unwrap_err();
    assert!(none.contains("there is no certificate"), "{none}");
    let other = taken(&[corporate], &key, NOW).unwrap_err();
    assert!(
        other.starts_with("issue.upstream_key") && other.contains("given with them"),
        "{other}"
    );
}
