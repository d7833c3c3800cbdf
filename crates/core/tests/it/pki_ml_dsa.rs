//! ML-DSA in certificates (RFC 9881).

use avouch_core::question::{ExpectedName, Profile, Purpose};
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{KeyUsage, key_usage};
use avouch_testkit::key::Key;
use avouch_testkit::world::Authority;

use crate::ask::Ask;

type MakeKey = fn(&str) -> Key;

const STRENGTHS: [(&str, MakeKey); 3] = [
    ("ML-DSA-44", Key::ml_dsa_44),
    ("ML-DSA-65", Key::ml_dsa_65),
    ("ML-DSA-87", Key::ml_dsa_87),
];

fn ask(root: &Authority, leaf: &[u8]) -> Ask {
    Ask::about([leaf])
        .anchor(&root.certificate)
        .profile(Profile::Rfc5280)
        .purpose(Purpose::Server)
        .expect(ExpectedName::Dns("example.com".to_owned()))
}

#[test]
fn a_chain_of_each_strength_is_accepted() {
    for (name, make) in STRENGTHS {
        let root = Authority::root_with("Root", make("Root"), |forge| forge);
        let leaf = root.issue(CertificateForge::server_with("example.com", &make("leaf")));
        assert_eq!(ask(&root, &leaf).outcome(), "accept", "{name}");
    }
}

#[test]
fn a_certificate_signed_by_another_key_is_refused() {
    for (name, make) in STRENGTHS {
        let root = Authority::root_with("Root", make("Root"), |forge| forge);
        let impostor = Authority::root_with("Root", make("impostor"), |forge| forge);
        let leaf = impostor.issue(
            CertificateForge::server_with("example.com", &make("leaf")).with(
                avouch_testkit::extension::authority_key_id(&root.key.identifier()),
            ),
        );
        assert_eq!(
            ask(&root, &leaf).outcome(),
            "pki.signature_invalid",
            "{name}"
        );
    }
}

#[test]
fn a_signature_of_another_strength_is_refused() {
    let root = Authority::root_with("Root", Key::ml_dsa_65("Root"), |forge| forge);
    let weaker = Authority::root_with("Root", Key::ml_dsa_44("Root"), |forge| forge);
    let leaf = weaker.issue(CertificateForge::server_with(
        "example.com",
        &Key::ml_dsa_44("leaf"),
    ));
    assert_eq!(ask(&root, &leaf).outcome(), "pki.signature_invalid");
}

/// RFC 9881 5: these keys sign and nothing else.
#[test]
fn a_key_that_cannot_encrypt_does_not_say_that_it_may() {
    let root = Authority::root_with("Root", Key::ml_dsa_44("Root"), |forge| forge);
    for usage in [
        KeyUsage::KeyEncipherment,
        KeyUsage::DataEncipherment,
        KeyUsage::KeyAgreement,
    ] {
        let leaf = root.issue(
            CertificateForge::server_with("example.com", &Key::ml_dsa_44("leaf"))
                .with(key_usage(&[KeyUsage::DigitalSignature, usage])),
        );
        assert_eq!(
            ask(&root, &leaf).outcome(),
            "pki.key_usage_not_for_key",
            "{usage:?}"
        );
    }
}
