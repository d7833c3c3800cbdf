//! Revocation lists: whose they are, what they cover, when they count (RFC 5280 5, 6.3.3).

use avouch_core::credential::x509::Crl;
use avouch_core::question::{Profile, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_testkit::asn1;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::{CrlForge, Entry, serial_of};
use avouch_testkit::extension::{
    self, Extension, IssuingDistributionPoint, KeyUsage, certificate_issuer,
    crl_distribution_points, crl_number,
};
use avouch_testkit::key::Key;
use avouch_testkit::moment::Moment;
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::world::Authority;

use crate::ask::Ask;

const LIST: &str = "http://crl.example.com/1.crl";
const OTHER_LIST: &str = "http://crl.example.com/2.crl";

/// A root, and a server below it.
struct World {
    root: Authority,
    leaf: Vec<u8>,
}

impl World {
    fn new() -> Self {
        Self::with(|leaf| leaf)
    }

    fn with(change: impl FnOnce(CertificateForge) -> CertificateForge) -> Self {
        let root = Authority::root("Root");
        let leaf = root.issue(change(CertificateForge::server("db.example.com")));
        Self { root, leaf }
    }

    fn ask(&self) -> Ask {
        Ask::about([&self.leaf]).anchor(&self.root.certificate)
    }

    /// What is decided with these lists of the root.
    fn outcome(&self, lists: impl IntoIterator<Item = CrlForge>) -> String {
        lists
            .into_iter()
            .fold(self.ask(), |ask, list| ask.crl(&self.root.crl(list)))
            .outcome()
    }

    fn revoking(&self) -> CrlForge {
        CrlForge::complete().revoke_certificate(&self.leaf)
    }
}

#[test]
fn a_certificate_on_the_list_of_its_issuer_is_revoked_and_told_why() {
    let world = World::new();
    let ask = world.ask().crl(&world.root.crl(world.revoking()));
    let Verdict::Reject(refusal) = ask.decide() else {
        panic!("accepted");
    };
    assert_eq!(refusal.reason().code(), "revocation.revoked");
    let sentence = refusal.reason().sentence();
    assert!(
        sentence.contains("its private key was compromised"),
        "{sentence}"
    );
    assert!(sentence.contains("2024-05-30T00:00:00Z"), "{sentence}");
}

#[test]
fn a_list_that_clears_a_certificate_is_named_in_the_verdict() {
    let world = World::new();
    let ask = world.ask().crl(&world.root.crl(CrlForge::complete()));
    let Verdict::Accept(sealed) = ask.decide() else {
        panic!("refused");
    };
    let [source] = sealed.preview().revocation() else {
        panic!("not one source");
    };
    assert_eq!(source.issuer, "CN=Root");
    assert_eq!(source.as_of.to_string(), "2024-05-31T00:00:00Z");
    assert_eq!(source.next.unwrap().to_string(), "2024-06-07T00:00:00Z");
}

#[test]
fn without_a_list_of_the_issuer_status_is_told_only_where_it_is_required() {
    let world = World::new();
    let other = Authority::root("Other").crl(world.revoking());
    assert_eq!(world.ask().crl(&other).outcome(), "accept");
    let asked = world.ask().crl(&other).require_revocation();
    assert_eq!(asked.outcome(), "revocation.status_unknown");
}

#[test]
fn every_certificate_below_the_anchor_is_looked_up() {
    let root = Authority::root("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.server("db.example.com");
    let ask = || Ask::about([&leaf, &issuing.certificate]).anchor(&root.certificate);
    let revoked = root.crl(CrlForge::complete().revoke_certificate(&issuing.certificate));
    assert_eq!(ask().crl(&revoked).outcome(), "revocation.revoked");

    let clear = ask()
        .crl(&root.crl(CrlForge::complete()))
        .require_revocation();
    assert_eq!(clear.outcome(), "revocation.status_unknown");
    let both = clear.crl(&issuing.crl(CrlForge::complete()));
    assert_eq!(both.outcome(), "accept");
}

#[test]
fn a_list_signed_by_another_key_is_not_believed() {
    let world = World::new();
    let impostor = Authority::root_with("Root", Key::ed25519("impostor"), |forge| forge);
    let ask = world.ask().crl(&impostor.crl(CrlForge::complete()));
    assert_eq!(ask.outcome(), "revocation.crl_signature_invalid");
    assert_eq!(
        world.outcome([CrlForge::complete().wrong_signature()]),
        "revocation.crl_signature_invalid"
    );
}

#[test]
fn a_good_list_beside_a_bad_one_counts() {
    let world = World::new();
    let bad = || CrlForge::complete().wrong_signature();
    assert_eq!(world.outcome([bad(), CrlForge::complete()]), "accept");
    assert_eq!(
        world.outcome([bad(), world.revoking()]),
        "revocation.revoked"
    );
    assert_eq!(
        world.outcome([CrlForge::complete(), world.revoking()]),
        "revocation.revoked"
    );
}

#[test]
fn a_list_counts_through_the_last_second_before_the_next_is_due() {
    let world = World::new();
    let list = world.root.crl(CrlForge::complete());
    let at = |time: &str| {
        let ask = world.ask().crl(&list).at(Time::parse(time).unwrap());
        ask.outcome()
    };
    assert_eq!(at("2024-05-30T23:59:59Z"), "revocation.crl_not_yet_valid");
    assert_eq!(at("2024-05-31T00:00:00Z"), "accept");
    assert_eq!(at("2024-06-07T00:00:00Z"), "accept");
    assert_eq!(at("2024-06-07T00:00:01Z"), "revocation.crl_expired");
}

#[test]
fn a_revocation_dated_in_the_future_revokes_now() {
    let world = World::new();
    let entry = Entry::new(&serial_of(&world.leaf), "2025-01-01T00:00:00Z");
    let list = CrlForge::complete().revoke(entry);
    assert_eq!(world.outcome([list]), "revocation.revoked");
}

#[test]
fn a_hold_revokes_until_it_is_lifted() {
    let world = World::new();
    let entry = |reason| Entry::new(&serial_of(&world.leaf), "2024-05-30T00:00:00Z").reason(reason);
    let held = || CrlForge::complete().revoke(entry(6));
    assert_eq!(world.outcome([held()]), "revocation.revoked");
    let lifted = CrlForge::complete().number(2).delta(1).revoke(entry(8));
    assert_eq!(world.outcome([held(), lifted]), "accept");
    // Only a delta list may lift a hold.
    let nonsense = CrlForge::complete().revoke(entry(8));
    assert_eq!(world.outcome([nonsense]), "revocation.revoked");
}

#[test]
fn a_delta_list_adds_to_the_complete_list_it_builds_on() {
    let world = World::new();
    let complete = || CrlForge::complete().number(5);
    let delta = |base, number| world.revoking().number(number).delta(base);
    assert_eq!(
        world.outcome([complete(), delta(5, 6)]),
        "revocation.revoked"
    );
    assert_eq!(
        world.outcome([complete(), delta(3, 6)]),
        "revocation.revoked"
    );
    let silent = || CrlForge::complete().number(6).delta(5);
    assert_eq!(world.outcome([complete(), silent()]), "accept");
    assert_eq!(
        world.outcome([silent()]),
        "revocation.crl_delta_without_base"
    );
}

#[test]
fn whom_a_delta_list_names_is_revoked_also_where_it_builds_on_no_list_that_is_there() {
    let world = World::new();
    let complete = || CrlForge::complete().number(5);
    let delta = |base, number| world.revoking().number(number).delta(base);
    // It starts after the complete list, is older than it, or stands alone.
    for lists in [
        vec![complete(), delta(6, 7)],
        vec![complete(), delta(3, 5)],
        vec![delta(5, 6)],
    ] {
        assert_eq!(world.outcome(lists), "revocation.revoked");
    }
    // One that could not be used as a complete list is not used as a delta either.
    let ended = delta(5, 6).dates("2024-05-01T00:00:00Z", Some("2024-05-31T00:00:00Z".into()));
    assert_eq!(world.outcome([complete(), ended]), "accept");
}

#[test]
fn nothing_but_a_hold_is_taken_back() {
    let world = World::new();
    let serial = serial_of(&world.leaf);
    let entry = |reason| Entry::new(&serial, "2024-05-30T00:00:00Z").reason(reason);
    let base = |reason| CrlForge::complete().number(1).revoke(entry(reason));
    let lifted = |number| {
        CrlForge::complete()
            .number(number)
            .delta(1)
            .revoke(entry(8))
    };
    let stolen = || CrlForge::complete().number(2).delta(1).revoke(entry(1));
    assert_eq!(world.outcome([base(6), lifted(3)]), "accept");
    for reason in [0, 1, 2, 3, 4, 5, 9, 10] {
        let outcome = world.outcome([base(reason), lifted(3)]);
        assert_eq!(outcome, "revocation.revoked", "{reason}");
    }
    assert_eq!(
        world.outcome([base(6), stolen(), lifted(3)]),
        "revocation.revoked"
    );
    // A later complete list takes a hold back by its silence, an earlier one does not.
    let silent = |number| CrlForge::complete().number(number);
    for (number, outcome) in [
        (0, "revocation.revoked"),
        (1, "revocation.revoked"),
        (2, "accept"),
    ] {
        assert_eq!(world.outcome([base(6), silent(number)]), outcome);
        assert_eq!(world.outcome([silent(number), base(6)]), outcome);
    }
    assert_eq!(world.outcome([base(1), silent(2)]), "revocation.revoked");
}

#[test]
fn the_newest_delta_list_counts_and_a_serial_it_names_twice_stays_revoked() {
    let world = World::new();
    let serial = serial_of(&world.leaf);
    let entry = |reason| Entry::new(&serial, "2024-05-30T00:00:00Z").reason(reason);
    let held = || CrlForge::complete().number(1).revoke(entry(6));
    let still = || CrlForge::complete().number(2).delta(1).revoke(entry(6));
    let lifted = || CrlForge::complete().number(3).delta(1).revoke(entry(8));
    for lists in [[held(), still(), lifted()], [held(), lifted(), still()]] {
        assert_eq!(world.outcome(lists), "accept");
    }
    let both = lifted().revoke(entry(1));
    assert_eq!(world.outcome([held(), both]), "revocation.revoked");
}

#[test]
fn a_list_that_one_key_signed_is_not_that_of_another_of_the_same_name() {
    let one = Authority::root("Root");
    let other = Authority::root_with("Root", Key::ed25519("other"), |forge| forge);
    let view = World::new()
        .ask()
        .anchor(&other.certificate)
        .crl(&one.crl(CrlForge::complete()))
        .view();
    let crypto = Counting::default();
    let decided = |leaf: &[u8]| {
        let question = Ask::about([leaf]).question;
        crate::ask::outcome(&decide(&question, &view, &crypto))
    };
    // The signature is remembered with the list.
    assert_eq!(decided(&one.server("db.example.com")), "accept");
    assert_eq!(
        decided(&other.server("db.example.com")),
        "revocation.crl_signature_invalid"
    );
}

#[test]
fn a_delta_list_of_another_scope_is_not_combined() {
    let world = World::new();
    let point = IssuingDistributionPoint {
        only_user: true,
        ..IssuingDistributionPoint::default()
    };
    let entry = |reason| Entry::new(&serial_of(&world.leaf), "2024-05-30T00:00:00Z").reason(reason);
    let held = || CrlForge::complete().number(1).revoke(entry(6));
    let lifted = || CrlForge::complete().number(2).delta(1).revoke(entry(8));
    assert_eq!(world.outcome([held(), lifted()]), "accept");
    assert_eq!(
        world.outcome([held(), lifted().distribution_point(&point)]),
        "revocation.revoked"
    );
}

#[test]
fn a_list_of_user_or_ca_certificates_does_not_clear_the_others() {
    let root = Authority::root("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.server("db.example.com");
    let outcome = |of: &Authority, point: IssuingDistributionPoint| {
        let list = of.crl(CrlForge::complete().distribution_point(&point));
        Ask::about([&leaf, &issuing.certificate])
            .anchor(&root.certificate)
            .crl(&list)
            .outcome()
    };
    let only_user = IssuingDistributionPoint {
        only_user: true,
        ..IssuingDistributionPoint::default()
    };
    let only_ca = IssuingDistributionPoint {
        only_ca: true,
        ..IssuingDistributionPoint::default()
    };
    let only_attribute = IssuingDistributionPoint {
        only_attribute: true,
        ..IssuingDistributionPoint::default()
    };
    assert_eq!(outcome(&root, only_ca.clone()), "accept");
    assert_eq!(
        outcome(&root, only_user.clone()),
        "revocation.crl_out_of_scope"
    );
    assert_eq!(outcome(&issuing, only_user), "accept");
    assert_eq!(outcome(&issuing, only_ca), "revocation.crl_out_of_scope");
    assert_eq!(
        outcome(&issuing, only_attribute),
        "revocation.crl_out_of_scope"
    );
}

#[test]
fn a_list_of_a_distribution_point_covers_the_certificates_that_name_it() {
    let named = |url: &str| {
        let url = GeneralName::uri(url);
        CrlForge::complete().distribution_point(&IssuingDistributionPoint {
            names: vec![url],
            ..IssuingDistributionPoint::default()
        })
    };
    let world = World::with(|leaf| leaf.with(crl_distribution_points(&[OTHER_LIST, LIST])));
    assert_eq!(world.outcome([named(LIST)]), "accept");
    assert_eq!(
        world.outcome([named("http://crl.example.com/%31.crl")]),
        "revocation.crl_out_of_scope"
    );
    let silent = World::new();
    assert_eq!(silent.outcome([named(LIST)]), "revocation.crl_out_of_scope");
}

#[test]
fn a_point_named_as_the_issuer_covers_all_of_its_certificates() {
    let world = World::new();
    let point = |name: &str| IssuingDistributionPoint {
        names: vec![GeneralName::directory(name)],
        ..IssuingDistributionPoint::default()
    };
    let list = |name| CrlForge::complete().distribution_point(&point(name));
    assert_eq!(world.outcome([list("Root")]), "accept");
    assert_eq!(
        world.outcome([list("Other")]),
        "revocation.crl_out_of_scope"
    );
}

#[test]
fn under_webpki_a_distribution_point_is_named_by_uris_alone() {
    let point = IssuingDistributionPoint {
        names: vec![GeneralName::uri(LIST), GeneralName::dns("example.com")],
        ..IssuingDistributionPoint::default()
    };
    let world = World::with(|leaf| leaf.with(crl_distribution_points(&[LIST])));
    let list = world
        .root
        .crl(CrlForge::complete().distribution_point(&point));
    assert_eq!(world.ask().crl(&list).outcome(), "accept");
    let webpki = world.ask().crl(&list).profile(Profile::WebPki);
    assert_eq!(webpki.outcome(), "revocation.crl_out_of_scope");
}

#[test]
fn lists_of_some_reasons_clear_only_together() {
    let world = World::new();
    let of = |bits: &[u8]| {
        CrlForge::complete().distribution_point(&IssuingDistributionPoint {
            only_some_reasons: Some(bits.to_vec()),
            ..IssuingDistributionPoint::default()
        })
    };
    // keyCompromise and cACompromise; the six others.
    let (compromise, others) = (|| of(&[5, 0x60]), || of(&[7, 0x1f, 0x80]));
    assert_eq!(world.outcome([compromise()]), "revocation.crl_out_of_scope");
    assert_eq!(world.outcome([others()]), "revocation.crl_out_of_scope");
    assert_eq!(world.outcome([compromise(), others()]), "accept");
    let revoking = others().revoke_certificate(&world.leaf);
    assert_eq!(world.outcome([revoking]), "revocation.revoked");
}

#[test]
fn an_indirect_list_is_refused_by_name() {
    let world = World::new();
    let indirect = CrlForge::complete().distribution_point(&IssuingDistributionPoint {
        indirect: true,
        ..IssuingDistributionPoint::default()
    });
    assert_eq!(
        world.outcome([indirect.clone()]),
        "revocation.crl_indirect_unsupported"
    );
    assert_eq!(world.outcome([indirect, CrlForge::complete()]), "accept");
    let entry = Entry::new(&[1], "2024-05-30T00:00:00Z")
        .with(certificate_issuer(&Name::common_name("Other")));
    assert_eq!(
        world.outcome([CrlForge::complete().revoke(entry)]),
        "revocation.crl_indirect_unsupported"
    );
}

#[test]
fn a_certificate_whose_status_another_signs_is_not_cleared_by_silence() {
    let other = Authority::root("Status");
    let point = asn1::sequence([asn1::constructed(
        2,
        &GeneralName::directory("Status").to_der(),
    )]);
    let points = Extension::raw("2.5.29.31", asn1::sequence([point]));
    let world = World::with(|leaf| leaf.with(points));
    assert_eq!(world.ask().outcome(), "accept");
    let ask = world.ask().crl(&other.crl(CrlForge::complete()));
    assert_eq!(ask.outcome(), "revocation.crl_indirect_unsupported");
}

#[test]
fn a_point_at_which_another_speaks_is_not_one_of_the_issuer() {
    let uri = GeneralName::uri(LIST).to_der();
    let name = asn1::constructed(0, &asn1::constructed(0, &uri));
    let other = asn1::constructed(2, &GeneralName::directory("Status").to_der());
    let point =
        |parts: Vec<Vec<u8>>| Extension::raw("2.5.29.31", asn1::sequence([asn1::sequence(parts)]));
    let list = || {
        CrlForge::complete().distribution_point(&IssuingDistributionPoint {
            names: vec![GeneralName::uri(LIST)],
            ..IssuingDistributionPoint::default()
        })
    };
    let own = World::with(|leaf| leaf.with(point(vec![name.clone()])));
    assert_eq!(own.outcome([list()]), "accept");
    let others = World::with(|leaf| leaf.with(point(vec![name.clone(), other.clone()])));
    assert_eq!(others.outcome([list()]), "revocation.crl_out_of_scope");
}

#[test]
fn an_unknown_critical_extension_of_a_list_or_an_entry_refuses_the_list() {
    let world = World::new();
    let unknown = || Extension::raw("1.3.6.1.4.1.55738.666.1", vec![5, 0]);
    let code = "revocation.crl_critical_extension_unknown";
    let list = CrlForge::complete();
    assert_eq!(
        world.outcome([list.clone().with(unknown().critical())]),
        code
    );
    assert_eq!(world.outcome([list.with(unknown())]), "accept");
    let entry = |extension| {
        CrlForge::complete().revoke(Entry::new(&[1], "2024-05-30T00:00:00Z").with(extension))
    };
    assert_eq!(world.outcome([entry(unknown().critical())]), code);
    assert_eq!(world.outcome([entry(unknown())]), "accept");
}

#[test]
fn a_list_that_does_not_follow_its_standard_is_refused() {
    let world = World::new();
    let next = || Some(Moment::at("2024-06-07T00:00:00Z"));
    let made = "2024-05-31T00:00:00Z";
    let entry = |reason| Entry::new(&[1], made).reason(reason);
    for (what, list) in [
        ("no number", CrlForge::complete().without("2.5.29.20")),
        (
            "a critical number",
            CrlForge::complete().with(crl_number(1).critical()),
        ),
        ("a version 3", CrlForge::complete().version(Some(2))),
        (
            "version 1 with extensions",
            CrlForge::complete().version(None),
        ),
        ("no next update", CrlForge::complete().dates(made, None)),
        (
            "a date in another form",
            CrlForge::complete().dates(Moment::generalized_time("20240531000000Z"), next()),
        ),
        ("an unknown reason", CrlForge::complete().revoke(entry(7))),
        (
            "two algorithms",
            CrlForge::complete()
                .inner_algorithm(asn1::sequence([asn1::oid("1.2.840.10045.4.3.2")])),
        ),
        (
            "a number that is no number",
            CrlForge::complete().with(Extension::raw("2.5.29.20", asn1::null())),
        ),
        (
            "a point that says nothing",
            CrlForge::complete().distribution_point(&IssuingDistributionPoint::default()),
        ),
    ] {
        assert_eq!(world.outcome([list]), "revocation.crl_invalid", "{what}");
    }
}

#[test]
fn a_serial_that_stands_twice_refuses_the_list_under_webpki_only() {
    let world = World::new();
    let entry = || Entry::new(&[1], "2024-05-30T00:00:00Z");
    let list = world
        .root
        .crl(CrlForge::complete().revoke(entry()).revoke(entry()));
    assert_eq!(world.ask().crl(&list).outcome(), "accept");
    let webpki = world.ask().crl(&list).profile(Profile::WebPki);
    assert_eq!(webpki.outcome(), "revocation.crl_invalid");
}

#[test]
fn a_ca_without_crl_sign_does_not_sign_lists() {
    let root = |usage: Option<&[KeyUsage]>| {
        Authority::root_with("Root", Key::ed25519("Root"), |forge| match usage {
            Some(usage) => forge.with(extension::key_usage(usage)),
            None => forge.without("2.5.29.15"),
        })
    };
    let outcome = |root: &Authority| {
        let leaf = root.server("db.example.com");
        Ask::about([&leaf])
            .anchor(&root.certificate)
            .profile(Profile::Private)
            .crl(&root.crl(CrlForge::complete()))
            .outcome()
    };
    let signs_certificates = root(Some(&[KeyUsage::KeyCertSign]));
    assert_eq!(
        outcome(&signs_certificates),
        "revocation.crl_signing_forbidden"
    );
    assert_eq!(outcome(&root(None)), "accept");
}

#[test]
fn after_a_change_of_key_either_key_of_the_path_speaks_for_the_ca() {
    let old = Authority::root("Root");
    let new = Authority::root_with("Root", Key::ed25519("new"), |forge| forge);
    let new_with_old = old.cross_certify(&new);
    let leaf = new.server("db.example.com");
    let ask = || {
        Ask::about([&leaf, &new_with_old])
            .anchor(&old.certificate)
            .profile(Profile::Private)
            .require_revocation()
    };
    assert_eq!(
        ask().crl(&old.crl(CrlForge::complete())).outcome(),
        "accept"
    );
    assert_eq!(
        ask().crl(&new.crl(CrlForge::complete())).outcome(),
        "accept"
    );
    let revoking = old.crl(CrlForge::complete().revoke_certificate(&leaf));
    assert_eq!(ask().crl(&revoking).outcome(), "revocation.revoked");
}

#[test]
fn a_ca_may_certify_another_key_for_its_lists_alone() {
    let root = Authority::root("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.server("db.example.com");
    let forge = || {
        let usage = extension::key_usage(&[KeyUsage::CrlSign]);
        let named = crl_distribution_points(&[LIST]);
        CertificateForge::bare("Issuing", &Key::ed25519("lists"))
            .with(usage)
            .with(named)
    };
    let signs_lists = |issuer: &Authority| issuer.issue(forge());
    let list = CrlForge::complete().sign(&Name::common_name("Issuing"), &Key::ed25519("lists"));
    let outcome = |signer: &[u8], lists: &[&[u8]]| {
        let chain = [&leaf[..], &issuing.certificate, signer];
        let ask = Ask::about(chain)
            .anchor(&root.certificate)
            .profile(Profile::Private)
            .crl(&list);
        lists.iter().fold(ask, |ask, list| ask.crl(list)).outcome()
    };
    // Certified by the CA itself, or by the one above it.
    let certified = signs_lists(&root);
    assert_eq!(outcome(&certified, &[]), "accept");
    let self_issued = signs_lists(&issuing);
    // Its own status is told where only it looks, by the key that certified it.
    let only_there = IssuingDistributionPoint {
        names: vec![GeneralName::uri(LIST)],
        ..IssuingDistributionPoint::default()
    };
    let own = issuing.crl(CrlForge::complete().distribution_point(&only_there));
    assert_eq!(outcome(&self_issued, &[&own]), "accept");
    assert_eq!(
        outcome(&self_issued, &[]),
        "revocation.crl_signature_invalid"
    );

    let stranger = Authority::root("Stranger");
    let invalid = "revocation.crl_signature_invalid";
    assert_eq!(outcome(&signs_lists(&stranger), &[]), invalid);
    let revoked = root.crl(CrlForge::complete().revoke_certificate(&certified));
    assert_eq!(outcome(&certified, &[&revoked]), invalid);
    let expired = root.issue(forge().valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"));
    assert_eq!(outcome(&expired, &[]), invalid);
    let leaf_key = root.issue(CertificateForge::bare("Issuing", &Key::ed25519("lists")));
    assert_eq!(outcome(&leaf_key, &[]), invalid);
}

#[test]
fn a_list_signed_with_sha_1_is_refused_for_it() {
    let world = World::new();
    let sha_1 = asn1::sequence([asn1::oid("1.2.840.113549.1.1.5"), asn1::null()]);
    let list = CrlForge::complete().algorithm(sha_1);
    assert_eq!(
        world.outcome([list]),
        "revocation.crl_signature_algorithm_forbidden"
    );
}

#[test]
fn a_long_list_is_searched_and_its_signature_checked_once() {
    let world = World::new();
    let serials = (0..10_000_u32).map(|number| [&[0x40][..], &number.to_be_bytes()].concat());
    let list = serials.fold(CrlForge::complete(), |list, serial| {
        list.revoke(Entry::new(&serial, "2024-05-30T00:00:00Z"))
    });
    let der = world.root.crl(list);
    assert_eq!(Crl::parse(&der).unwrap().len(), 10_000);
    let clear = world.ask().crl(&der);
    let view = clear.view();
    let counting = Counting::default();
    for _ in 0..3 {
        let verdict = decide(&clear.question, &view, &counting);
        assert!(matches!(verdict, Verdict::Accept(_)));
    }
    assert_eq!(counting.long_messages(), 1);
}

#[test]
fn a_signature_that_failed_is_not_remembered_as_one_that_held() {
    let world = World::new();
    let ask = world
        .ask()
        .crl(&world.root.crl(CrlForge::complete().wrong_signature()));
    let view = ask.view();
    let counting = Counting::default();
    for _ in 0..2 {
        let verdict = decide(&ask.question, &view, &counting);
        assert!(matches!(verdict, Verdict::Reject(_)));
    }
}

#[test]
fn bytes_that_are_no_list_are_an_error_and_no_panic() {
    let list = Authority::root("Root").crl(CrlForge::complete());
    for length in 0..list.len() {
        assert!(Crl::parse(&list[..length]).is_err());
    }
    for index in 0..list.len() {
        let mut damaged = list.clone();
        damaged[index] ^= 0x55;
        // Most are unreadable, some are another list; none may panic.
        let _ = Crl::parse(&damaged).map(|list| (list.len(), list.sha256()));
    }
    assert!(Crl::parse(&[list.as_slice(), &[0]].concat()).is_err());
}

fn decide(question: &Question, view: &avouch_core::view::View, crypto: &Counting) -> Verdict {
    avouch_core::decide(question, view, crypto, &mut Default::default())
}

/// Counts the checks of signatures over long messages.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicUsize);

impl Counting {
    fn long_messages(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl avouch_core::crypto::Verifier for Counting {
    fn verify(
        &self,
        key: &avouch_core::crypto::PublicKey,
        scheme: avouch_core::crypto::Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), avouch_core::crypto::NotSigned> {
        if message.len() > 100_000 {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        avouch_core::crypto::AwsLc.verify(key, scheme, message, signature)
    }
}
