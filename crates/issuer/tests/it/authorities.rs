//! Roots and intermediates: made, stored, opened again.

use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_issuer::authority::{AuthorityPlan, X509Authority};
use avouch_issuer::fault::{Fault, NotIssued};
use avouch_issuer::intent::CredentialKind;
use avouch_issuer::life_cycle::{LifeCycle, State};
use avouch_issuer::profile::X509Profile;
use avouch_issuer::random::SystemRandom;
use avouch_issuer::signer::{Origin, Signer, SigningKind, SoftwareKey};
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::{TokenAuthority, TokenKind};

use crate::world::{
    Log, World, intermediate, now, plan, root, signer, tenant, trust_domain, workload,
};

#[test]
fn an_authority_is_recorded_like_everything_else_that_is_signed() {
    let log = Log::default();
    let root = Arc::new(root(&plan(), SigningKind::P256, &log, now()));
    let below = intermediate(&plan(), &root, SigningKind::P256, &log, now());
    let intents = log.all();
    assert_eq!(intents.len(), 2);
    for intent in &intents {
        assert_eq!(intent.kind, CredentialKind::Authority);
        assert_eq!(intent.subject.as_str(), "spiffe://demo.avouch.test");
        assert_eq!(intent.authority, root.id());
    }
    assert!(root.is_root() && !below.is_root());
    assert_eq!(below.root().der(), root.certificate().der());
}

#[test]
fn a_new_authority_is_prepared_and_does_not_sign_yet() {
    let log = Log::default();
    let prepared = plan().prepare_root(signer(SigningKind::P256), now(), &SystemRandom);
    let root = issue_one(prepared.unwrap(), &log).unwrap();
    assert_eq!(root.life().state(), State::Prepared);
    let below = plan().prepare_intermediate(
        &Arc::new(root),
        signer(SigningKind::P256),
        now(),
        &SystemRandom,
    );
    let Err(NotIssued::Refused(reason)) = below else {
        panic!("a prepared root signs");
    };
    assert_eq!(reason.code(), "issue.authority_state");
}

#[test]
fn an_intermediate_ends_with_its_root_at_the_latest() {
    let log = Log::default();
    let root = Arc::new(root(&plan(), SigningKind::P256, &log, now()));
    let later = now().plus(80_000);
    let below = intermediate(&plan(), &root, SigningKind::P256, &log, later);
    assert_eq!(below.certificate().not_after(), root.life().not_after());
}

#[test]
fn an_authority_that_was_stored_signs_again() {
    let log = Log::default();
    let root = Arc::new(root(&plan(), SigningKind::P256, &log, now()));
    let key = Arc::new(SoftwareKey::generate(SigningKind::P256).unwrap());
    let stored_key = key.to_pkcs8().unwrap();
    let prepared = plan().prepare_intermediate(&root, key, now(), &SystemRandom);
    let made = issue_one(prepared.unwrap(), &log).unwrap();
    let stored_chain = made.chain();
    drop(made);

    let key = SoftwareKey::from_pkcs8(&stored_key, Origin::File).unwrap();
    let life = LifeCycle::stored(State::Active, now(), now().plus(86_400));
    let opened =
        X509Authority::open(tenant(), trust_domain(), &stored_chain, Arc::new(key), life).unwrap();
    let mut world = World::new();
    world.intermediate = Arc::new(opened);
    let svid = world.x509(workload()).unwrap();
    assert_eq!(svid.chain[1], stored_chain[0]);
}

#[test]
fn an_authority_whose_key_does_not_belong_to_its_certificate_is_not_opened() {
    let world = World::new();
    let open = |chain: &[Vec<u8>], signer: Arc<dyn Signer>| {
        let life = world.root.life();
        X509Authority::open(tenant(), trust_domain(), chain, signer, life)
    };
    let own = || Arc::clone(world.root.signer());
    assert!(open(&world.root.chain(), own()).is_ok());
    for outcome in [
        open(&world.root.chain(), signer(SigningKind::P256)),
        open(&[], own()),
        open(&[b"no certificate".to_vec()], own()),
    ] {
        let fault = outcome.unwrap_err();
        assert!(matches!(fault, Fault::AuthorityUnusable(_)) && !fault.retryable());
    }
}

#[test]
fn an_authority_vouches_for_its_own_trust_domain_only_even_if_asked_for_another() {
    // The root of one trust domain, stored under the name of another by mistake.
    let world = World::new();
    let other = TrustDomain::parse("other.test").unwrap();
    let mixed_up = X509Authority::open(
        tenant(),
        other,
        &world.intermediate.chain(),
        Arc::clone(world.intermediate.signer()),
        world.intermediate.life(),
    );
    let mut request = workload();
    request.id = avouch_core::id::SpiffeId::parse("spiffe://other.test/api").unwrap();
    let prepared =
        X509Profile::default().prepare(&Arc::new(mixed_up.unwrap()), request, now(), &SystemRandom);
    let Err(NotIssued::Refused(reason)) = issue_one(prepared.unwrap(), &world.log) else {
        panic!("an authority vouches for a trust domain that is not its own");
    };
    assert_eq!(reason.code(), "spiffe.trust_domain_mismatch");
    assert!(world.log.all().is_empty());
}

#[test]
fn tokens_are_not_signed_with_ed25519() {
    let life = LifeCycle::prepared(now(), now().plus(60));
    let signer = signer(SigningKind::Ed25519);
    let opened = TokenAuthority::open(tenant(), trust_domain(), TokenKind::Jwt, signer, life);
    assert!(matches!(opened, Err(Fault::AuthorityUnusable(_))));
}

#[test]
fn every_trust_domain_there_may_be_has_authorities() {
    let long = format!("{}.example", "a".repeat(247));
    for name in ["a", "10.0.0.1", "under_score.test", "-.-", &long] {
        let plan = AuthorityPlan {
            trust_domain: TrustDomain::parse(name).unwrap(),
            ..plan()
        };
        let log = Log::default();
        let root = Arc::new(root(&plan, SigningKind::P256, &log, now()));
        let below = intermediate(&plan, &root, SigningKind::P256, &log, now());
        assert_eq!(below.trust_domain().as_str(), name);
    }
}

#[test]
fn a_lifetime_that_reaches_past_2049_can_be_written() {
    let plan = AuthorityPlan {
        lifetime: 30 * 365 * 86_400,
        ..plan()
    };
    let root = root(&plan, SigningKind::P256, &Log::default(), now());
    assert_eq!(root.certificate().not_after(), root.life().not_after());
    assert!(root.life().not_after().to_string().starts_with("2056-"));
}
