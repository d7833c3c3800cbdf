//! X.509-SVID, clause by clause. The numbers are those of the clause list of this project's SPIFFE
//! tests, in the order of the standard.

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::budget::Budget;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::question::{ExpectedName, Profile};
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension::{self, KeyUsage};
use avouch_testkit::key::Key;
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::token::jwk;
use avouch_testkit::world::Authority;
use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::ask::Ask;

const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const KEY_USAGE: &str = "2.5.29.15";
const ID: &str = "spiffe://example.org/ns/payments/sa/api";

fn authority() -> Authority {
    signing_authority(&[GeneralName::uri("spiffe://example.org")])
}

fn signing_authority(names: &[GeneralName]) -> Authority {
    let key = Key::ed25519("spiffe authority");
    let names = names.to_vec();
    Authority::root_with("Example SPIFFE Authority", key, move |forge| {
        if names.is_empty() {
            forge
        } else {
            forge.names(&names)
        }
    })
}

fn workload() -> CertificateForge {
    CertificateForge::svid(ID, &Key::ed25519("workload"))
}

fn ask(authority: &Authority, svid: CertificateForge) -> Ask {
    Ask::about([authority.issue(svid)])
        .anchor(&authority.certificate)
        .profile(Profile::Spiffe)
}

fn outcome(svid: CertificateForge) -> String {
    ask(&authority(), svid).outcome()
}

#[test]
fn x_01_an_svid_with_exactly_one_uri_is_accepted_as_that_id() {
    let Verdict::Accept(sealed) = ask(&authority(), workload()).decide() else {
        panic!("a good SVID is refused");
    };
    assert_eq!(sealed.preview().name(), ID);
    assert_eq!(sealed.preview().path().len(), 1);
}

#[test]
fn x_02_two_uris_or_none_are_refused() {
    let two = workload().names(&[
        GeneralName::uri(ID),
        GeneralName::uri("https://example.org/"),
    ]);
    assert_eq!(outcome(two), "spiffe.uri_san_count");
    let twice = workload().names(&[GeneralName::uri(ID), GeneralName::uri(ID)]);
    assert_eq!(outcome(twice), "spiffe.uri_san_count");
    let none = workload().names(&[GeneralName::dns("api.example.org")]);
    assert_eq!(outcome(none), "spiffe.uri_san_count");
}

#[test]
fn x_03_other_kinds_of_names_beside_the_uri_are_tolerated() {
    let names = [
        GeneralName::uri(ID),
        GeneralName::dns("api.example.org"),
        GeneralName::ip("10.0.0.1"),
    ];
    assert_eq!(outcome(workload().names(&names)), "accept");
}

#[test]
fn x_04_the_id_of_a_leaf_has_a_path() {
    let whole_domain = CertificateForge::svid("spiffe://example.org", &Key::ed25519("workload"));
    assert_eq!(outcome(whole_domain), "spiffe.leaf_id_without_path");
}

#[test]
fn x_05_the_name_of_a_leaf_without_a_subject_is_critical() {
    let names = extension::subject_alternative_names(&[GeneralName::uri(ID)]);
    let nameless = workload().subject(Name::empty());
    assert_eq!(
        outcome(nameless.clone().with(names.clone().critical())),
        "accept"
    );
    assert_eq!(
        outcome(nameless.with(names.not_critical())),
        "pki.san_criticality"
    );
}

#[test]
fn x_06_a_signing_certificate_may_be_an_svid_and_need_not_be() {
    assert_eq!(ask(&authority(), workload()).outcome(), "accept");
    assert_eq!(ask(&signing_authority(&[]), workload()).outcome(), "accept");
}

#[test]
fn x_07_the_id_of_a_signing_certificate_has_no_path_and_is_of_the_same_trust_domain() {
    let with_path = signing_authority(&[GeneralName::uri("spiffe://example.org/ca")]);
    assert_eq!(
        ask(&with_path, workload()).outcome(),
        "spiffe.signing_id_with_path"
    );
    let foreign = signing_authority(&[GeneralName::uri("spiffe://other.test")]);
    assert_eq!(
        ask(&foreign, workload()).outcome(),
        "spiffe.trust_domain_mismatch"
    );
}

#[test]
fn x_08_a_signing_certificate_does_not_authenticate() {
    let root = authority();
    let issuing = root.intermediate_with("Issuing", Key::ed25519("issuing"), |forge| {
        forge.names(&[GeneralName::uri("spiffe://example.org")])
    });
    let shown = Ask::about([issuing.certificate])
        .anchor(&root.certificate)
        .profile(Profile::Spiffe);
    assert_eq!(shown.outcome(), "spiffe.leaf_id_without_path");
}

#[test]
fn x_09_a_signing_certificate_is_a_ca_whose_path_length_holds() {
    let root = Authority::root_with("Root", Key::ed25519("root"), |forge| forge.path_length(0));
    let issuing = root.intermediate("Issuing");
    let below = Ask::about([issuing.issue(workload()), issuing.certificate])
        .anchor(&root.certificate)
        .profile(Profile::Spiffe);
    assert_eq!(below.outcome(), "pki.path_length_exceeded");
    let not_a_ca = Authority::root_with("Root", Key::ed25519("root"), |forge| {
        forge.with(extension::basic_constraints(false, None))
    });
    assert_eq!(ask(&not_a_ca, workload()).outcome(), "pki.not_a_ca");
}

#[test]
fn x_10_x_18_a_leaf_is_no_ca() {
    let ca = workload().with(extension::basic_constraints(true, None));
    assert_eq!(outcome(ca), "pki.end_entity_is_ca");
    assert_eq!(outcome(workload().without(BASIC_CONSTRAINTS)), "accept");
}

#[test]
fn x_11_uri_name_constraints_of_a_signing_certificate_are_honoured() {
    let constrained = |host: &str| {
        let permitted = [GeneralName::uri(host)];
        Authority::root_with("Root", Key::ed25519("root"), move |forge| {
            forge.with(extension::name_constraints(&permitted, &[]))
        })
    };
    assert_eq!(
        ask(&constrained("example.org"), workload()).outcome(),
        "accept"
    );
    assert_eq!(
        ask(&constrained("other.test"), workload()).outcome(),
        "pki.name_not_permitted"
    );
    assert_eq!(
        ask(&constrained(".example.org"), workload()).outcome(),
        "pki.name_not_permitted"
    );
    let excluding = Authority::root_with("Root", Key::ed25519("root"), |forge| {
        forge.with(extension::name_constraints(
            &[],
            &[GeneralName::uri("example.org")],
        ))
    });
    assert_eq!(ask(&excluding, workload()).outcome(), "pki.name_excluded");
}

#[test]
fn x_12_key_usage_is_there_and_critical_on_every_certificate() {
    let usage = extension::key_usage(&[KeyUsage::DigitalSignature]);
    assert_eq!(outcome(workload().without(KEY_USAGE)), "spiffe.key_usage");
    assert_eq!(
        outcome(workload().with(usage.not_critical())),
        "spiffe.key_usage"
    );
    let silent = Authority::root_with("Root", Key::ed25519("root"), |forge| {
        forge.without(KEY_USAGE)
    });
    assert_eq!(ask(&silent, workload()).outcome(), "spiffe.key_usage");
}

#[test]
fn x_13_a_signing_certificate_may_sign_certificates() {
    let with_usage = |usages: &[KeyUsage]| {
        let usage = extension::key_usage(usages);
        Authority::root_with("Root", Key::ed25519("root"), move |forge| forge.with(usage))
    };
    let both = with_usage(&[KeyUsage::KeyCertSign, KeyUsage::CrlSign]);
    assert_eq!(ask(&both, workload()).outcome(), "accept");
    assert_eq!(
        ask(&with_usage(&[KeyUsage::KeyCertSign]), workload()).outcome(),
        "accept"
    );
    let neither = with_usage(&[KeyUsage::CrlSign]);
    assert_eq!(
        ask(&neither, workload()).outcome(),
        "pki.key_usage_cert_sign_missing"
    );
}

#[test]
fn x_14_a_leaf_may_sign_and_may_agree_on_keys() {
    let usages = [
        KeyUsage::DigitalSignature,
        KeyUsage::KeyEncipherment,
        KeyUsage::KeyAgreement,
    ];
    assert_eq!(
        outcome(workload().with(extension::key_usage(&usages))),
        "accept"
    );
    let only_agrees = extension::key_usage(&[KeyUsage::KeyAgreement]);
    assert_eq!(outcome(workload().with(only_agrees)), "spiffe.key_usage");
}

#[test]
fn x_15_x_19_a_leaf_signs_neither_certificates_nor_revocation_lists() {
    for forbidden in [KeyUsage::KeyCertSign, KeyUsage::CrlSign] {
        let usage = extension::key_usage(&[KeyUsage::DigitalSignature, forbidden]);
        assert_eq!(outcome(workload().with(usage)), "spiffe.key_usage");
    }
}

#[test]
fn x_16_a_leaf_with_extended_key_usage_serves_both_ends() {
    assert_eq!(outcome(workload().without(EXTENDED_KEY_USAGE)), "accept");
    for only in [extension::SERVER_AUTH, extension::CLIENT_AUTH] {
        let usage = extension::extended_key_usage(&[only]);
        assert_eq!(
            outcome(workload().with(usage)),
            "pki.extended_key_usage_not_permitted"
        );
    }
}

#[test]
fn x_17_the_path_is_validated_as_in_rfc_5280() {
    let expired = workload().valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    assert_eq!(outcome(expired), "pki.expired");
    assert_eq!(
        outcome(workload().wrong_signature()),
        "pki.signature_invalid"
    );
    let stranger = Authority::root("Someone Else");
    let unknown = Ask::about([stranger.issue(workload())])
        .anchor(&authority().certificate)
        .profile(Profile::Spiffe);
    assert_eq!(unknown.outcome(), "pki.issuer_not_found");
}

#[test]
fn x_20_the_scheme_is_spiffe_and_the_id_well_formed() {
    for id in [
        "https://example.org/a",
        "spiffe://example.org/a/",
        "spiffe://EXAMPLE.org/a",
        "spiffe://example.org/a%62",
    ] {
        let svid = CertificateForge::svid(id, &Key::ed25519("workload"));
        assert_eq!(outcome(svid), "spiffe.id_invalid", "{id}");
    }
}

fn bundle_key(members: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let mut key = json!({"kty": "OKP", "crv": "Ed25519", "use": "x509-svid"});
    for (name, value) in members {
        key[*name] = value.clone();
    }
    key
}

fn bundle(keys: &[serde_json::Value]) -> Bundle {
    Bundle::read("example.org", &json!({"keys": keys})).unwrap()
}

fn x5c(certificates: &[&[u8]]) -> serde_json::Value {
    certificates
        .iter()
        .map(|der| Base64::encode_string(der))
        .collect()
}

#[test]
fn x_21_each_x509_svid_key_of_a_bundle_is_one_authority() {
    let (one, other) = (authority(), Authority::root("Second"));
    let keys = [
        bundle_key(&[("x5c", x5c(&[&one.certificate]))]),
        bundle_key(&[("x5c", x5c(&[&other.certificate]))]),
    ];
    assert_eq!(bundle(&keys).x509_authorities.len(), 2);
    let for_tokens = bundle_key(&[
        ("x5c", x5c(&[&one.certificate])),
        ("use", json!("jwt-svid")),
        ("kid", json!("a")),
    ]);
    assert!(bundle(&[for_tokens]).x509_authorities.is_empty());
}

#[test]
fn x_22_a_kid_on_an_x509_svid_key_changes_nothing() {
    let named = bundle_key(&[
        ("x5c", x5c(&[&authority().certificate])),
        ("kid", json!("a")),
    ]);
    assert_eq!(bundle(&[named]).x509_authorities.len(), 1);
}

#[test]
fn x_23_a_key_whose_x5c_is_no_der_certificate_is_passed_over_and_said_so() {
    let broken = bundle_key(&[("x5c", json!(["bm90IGEgY2VydGlmaWNhdGU="]))]);
    let read = bundle(&[broken]);
    assert!(read.x509_authorities.is_empty());
    assert_eq!(read.passed_over().len(), 1);
}

#[test]
fn x_24_an_entry_without_x5c_is_ignored() {
    let good = bundle_key(&[("x5c", x5c(&[&authority().certificate]))]);
    let keys = [bundle_key(&[]), bundle_key(&[("x5c", json!([]))]), good];
    assert_eq!(bundle(&keys).x509_authorities.len(), 1);
}

#[test]
fn x_25_only_the_first_x5c_value_counts_and_no_authority_means_no_svid() {
    let (first, second) = (authority(), Authority::root("Second"));
    let key = bundle_key(&[("x5c", x5c(&[&first.certificate, &second.certificate]))]);
    let read = bundle(&[key]);
    assert_eq!(read.x509_authorities.len(), 1);
    assert_eq!(read.x509_authorities[0].der(), first.certificate);
    let svid = || Ask::about([first.issue(workload())]).profile(Profile::Spiffe);
    assert_eq!(svid().bundle(read).outcome(), "accept");
    assert_eq!(
        svid().bundle(bundle(&[])).outcome(),
        "spiffe.bundle_has_no_keys"
    );
}

#[test]
fn a_bundle_vouches_for_its_own_trust_domain_only() {
    let (own, foreign) = (authority(), Authority::root("Foreign Authority"));
    let bundle_of = |trust_domain: &str, root: &Authority| {
        let keys = [bundle_key(&[("x5c", x5c(&[&root.certificate]))])];
        Bundle::read(trust_domain, &json!({ "keys": keys })).unwrap()
    };
    let shown = |root: &Authority| {
        Ask::about([root.issue(workload())])
            .profile(Profile::Spiffe)
            .bundle(bundle_of("example.org", &own))
            .bundle(bundle_of("other.test", &foreign))
    };
    assert_eq!(shown(&own).outcome(), "accept");
    assert_eq!(shown(&foreign).outcome(), "spiffe.trust_domain_mismatch");
}

/// A bundle is for SVIDs of its trust domain (SPIFFE Trust Domain and Bundle 4), whatever is asked of them.
#[test]
fn a_bundle_vouches_for_nothing_but_its_trust_domain_under_any_profile() {
    let foreign = Authority::root("Foreign Authority");
    let keys = [bundle_key(&[("x5c", x5c(&[&foreign.certificate]))])];
    let read = Bundle::read("other.test", &json!({ "keys": keys })).unwrap();
    let shown = |forge: CertificateForge, profile| {
        let chain = [foreign.issue(forge)];
        let ask = Ask::about(chain).profile(profile).bundle(read.clone());
        ask.bundle(bundle(&[bundle_key(&[(
            "x5c",
            x5c(&[&authority().certificate]),
        )])]))
    };
    let key = Key::ed25519("workload");
    let named = |names: &[GeneralName]| CertificateForge::svid(ID, &key).names(names);
    let own = || CertificateForge::svid("spiffe://other.test/a", &key);
    for profile in [Profile::Private, Profile::Rfc5280] {
        let outcome = |forge| shown(forge, profile).outcome();
        assert_eq!(outcome(own()), "accept", "{profile:?}");
        assert_eq!(outcome(workload()), "spiffe.trust_domain_mismatch");
        let host = named(&[GeneralName::dns("db.example.org")]);
        let asked = shown(host, profile).expect(ExpectedName::Dns("db.example.org".to_owned()));
        assert_eq!(asked.outcome(), "spiffe.uri_san_count", "{profile:?}");
        let two = [
            GeneralName::uri("spiffe://other.test/a"),
            GeneralName::uri(ID),
        ];
        let asked = shown(named(&two), profile);
        let asked = asked.expect(ExpectedName::Spiffe(SpiffeId::parse(ID).unwrap()));
        assert_eq!(asked.outcome(), "spiffe.uri_san_count", "{profile:?}");
    }
}

/// Where the bundle of a trust domain is known, nobody else speaks for it.
#[test]
fn no_other_anchor_vouches_for_a_trust_domain_whose_bundle_is_known() {
    let other = Authority::root("Partner CA");
    let own = bundle_key(&[("x5c", x5c(&[&authority().certificate]))]);
    let asked = |forge: CertificateForge, profile| {
        let ask = Ask::about([other.issue(forge)]).profile(profile);
        ask.anchor(&other.certificate)
            .bundle(bundle(std::slice::from_ref(&own)))
    };
    let key = Key::ed25519("workload");
    for profile in [Profile::Spiffe, Profile::Private] {
        let outcome = asked(workload(), profile).outcome();
        assert_eq!(outcome, "policy.anchor_trust_domain", "{profile:?}");
        let elsewhere = CertificateForge::svid("spiffe://unknown.test/a", &key);
        assert_eq!(asked(elsewhere, profile).outcome(), "accept", "{profile:?}");
    }
    // Evidence names trust domains and nothing else, also where there are none.
    let verdict = asked(workload(), Profile::Private).decide();
    let Verdict::Reject(refusal) = verdict else {
        panic!("it is refused");
    };
    let evidence = refusal.reason().evidence();
    let permitted = evidence.iter().find(|(name, _)| *name == "permitted");
    let permitted = permitted.map(|(_, evidence)| evidence.to_json());
    assert_eq!(permitted, Some(serde_json::json!([])));
    // Nor by a second name, that is looked for.
    let two = [
        GeneralName::uri("spiffe://unknown.test/a"),
        GeneralName::uri(ID),
    ];
    let two = CertificateForge::svid(ID, &key).names(&two);
    let asked = asked(two, Profile::Private);
    let asked = asked.expect(ExpectedName::Spiffe(SpiffeId::parse(ID).unwrap()));
    assert_eq!(asked.outcome(), "policy.anchor_trust_domain");
}

/// A bundle that could vouch for no certificate itself silences nobody who does.
#[test]
fn where_no_bundle_vouches_for_certificates_another_anchor_may() {
    let other = Authority::root("Partner CA");
    let asked = |keys: &[serde_json::Value]| {
        let ask = Ask::about([other.issue(workload())]).profile(Profile::Spiffe);
        ask.anchor(&other.certificate).bundle(bundle(keys))
    };
    let mut signs_tokens = jwk(&Key::p256("jwt"), "jwt-1");
    signs_tokens["use"] = "jwt-svid".into();
    assert_eq!(asked(&[signs_tokens]).outcome(), "accept");
    // Nor does one that is over.
    let asked = asked(&[bundle_key(&[("x5c", x5c(&[&authority().certificate]))])]);
    assert_eq!(asked.outcome(), "policy.anchor_trust_domain");
    let over = asked.question.now;
    let view = asked.view();
    let anchors = view.anchors().iter().map(|anchor| {
        let mut anchor = Anchor::clone(anchor);
        if matches!(anchor.kind, AnchorKind::TrustDomain(_)) {
            anchor.stewardship.expires = Some(over);
        }
        anchor
    });
    let tenant = asked.question.tenant.clone();
    let view = View::new(
        tenant,
        anchors.collect(),
        Vec::new(),
        Vec::new(),
        view.epoch(),
    );
    let verdict = decide(&asked.question, &view, &AwsLc, &mut Budget::default());
    assert_eq!(crate::ask::outcome(&verdict), "accept");
}

#[test]
fn an_unknown_trust_domain_is_named_before_any_path_is_searched() {
    let foreign = CertificateForge::svid("spiffe://unknown.test/a", &Key::ed25519("workload"));
    let root = Authority::root("Unknown");
    let keys = [bundle_key(&[("x5c", x5c(&[&authority().certificate]))])];
    let ask = Ask::about([root.issue(foreign)])
        .profile(Profile::Spiffe)
        .bundle(bundle(&keys));
    assert_eq!(ask.outcome(), "spiffe.trust_domain_unknown");
}

#[test]
fn the_expected_id_or_trust_domain_must_be_the_one_shown() {
    let expect = |name| ask(&authority(), workload()).expect(name).outcome();
    assert_eq!(
        expect(ExpectedName::Spiffe(SpiffeId::parse(ID).unwrap())),
        "accept"
    );
    let other = SpiffeId::parse("spiffe://example.org/ns/payments/sa/other").unwrap();
    assert_eq!(expect(ExpectedName::Spiffe(other)), "spiffe.id_mismatch");
    assert_eq!(
        expect(ExpectedName::TrustDomain(
            TrustDomain::parse("example.org").unwrap()
        )),
        "accept"
    );
    assert_eq!(
        expect(ExpectedName::TrustDomain(
            TrustDomain::parse("example.com").unwrap()
        )),
        "spiffe.id_mismatch"
    );
}
