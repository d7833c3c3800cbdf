//! The order of the stages, and what a failure in each of them leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use avouch_core::id::Digest;
use avouch_issuer::authority::X509Authority;
use avouch_issuer::fault::{Fault, NotIssued};
use avouch_issuer::intent::CredentialKind;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::profile::{JwtProfile, X509Profile};
use avouch_issuer::random::SystemRandom;
use avouch_issuer::signer::{Origin, Signature, Signer, SigningKind, SoftwareKey};
use avouch_issuer::stages::{issue, issue_one};
use avouch_issuer::token::TokenAuthority;
use avouch_testkit::key::Key;

use crate::world::{ID, Log, World, bearer, half, holder, tenant, trust_domain, workload};

/// Says that it has one key, and signs with another; counts how often.
struct Impostor {
    claims: Arc<dyn Signer>,
    uses: SoftwareKey,
    signed: AtomicUsize,
}

impl Impostor {
    fn of(claims: &Arc<dyn Signer>) -> Arc<Self> {
        Arc::new(Self {
            claims: Arc::clone(claims),
            uses: SoftwareKey::generate(SigningKind::P256).unwrap(),
            signed: AtomicUsize::new(0),
        })
    }
}

impl Signer for Impostor {
    fn public_half(&self) -> &PublicHalf {
        self.claims.public_half()
    }

    fn origin(&self) -> Origin {
        Origin::Memory
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, Fault> {
        self.signed.fetch_add(1, Ordering::SeqCst);
        self.uses.sign(message)
    }
}

/// The intermediate of the world, with another signer.
fn signed_by(world: &World, signer: Arc<dyn Signer>) -> Arc<X509Authority> {
    let intermediate = &world.intermediate;
    let opened = X509Authority::open(
        tenant(),
        trust_domain(),
        &intermediate.chain(),
        signer,
        intermediate.life(),
    );
    Arc::new(opened.unwrap())
}

#[test]
fn the_intent_says_what_is_about_to_be_signed_and_for_whom() {
    let world = World::new();
    let svid = world.x509(workload()).unwrap();
    let token = world.jwt(bearer()).unwrap();
    let wit = world.wit(holder(&Key::p256("holder"))).unwrap();
    let intents = world.log.all();
    let kinds: Vec<CredentialKind> = intents.iter().map(|intent| intent.kind).collect();
    assert_eq!(
        kinds,
        [
            CredentialKind::X509Svid,
            CredentialKind::JwtSvid,
            CredentialKind::WitSvid
        ]
    );
    let serials: Vec<&str> = intents.iter().map(|intent| &*intent.serial).collect();
    assert_eq!(serials, [&*svid.serial, &*token.token_id, &*wit.token_id]);
    let authorities: Vec<&str> = intents.iter().map(|intent| &*intent.authority).collect();
    assert_eq!(
        authorities,
        [world.intermediate.id(), world.jwt.id(), world.wit.id()]
    );
    for intent in &intents {
        assert_eq!(intent.subject.as_str(), ID);
        assert_eq!(intent.tenant, tenant());
        assert_eq!(intent.trust_domain, trust_domain());
    }
    let (signed, _) = token.token.rsplit_once('.').unwrap();
    assert_eq!(intents[1].digest, Digest::of(signed.as_bytes()));
}

#[test]
fn nothing_is_signed_whose_intent_is_not_on_record() {
    let world = World::new();
    let impostor = Impostor::of(world.intermediate.signer());
    let authority = signed_by(&world, impostor.clone());
    let full = Log {
        is_full: true,
        ..Log::default()
    };
    let prepared = X509Profile::default()
        .prepare(&authority, workload(), world.now, &SystemRandom)
        .unwrap();
    let NotIssued::Failed(fault) = issue_one(prepared, &full).unwrap_err() else {
        panic!("a full disk is no refusal");
    };
    assert!(matches!(fault, Fault::NotRecorded { .. }) && fault.retryable());
    assert_eq!(impostor.signed.load(Ordering::SeqCst), 0);
}

#[test]
fn what_was_signed_with_another_key_is_not_released() {
    let world = World::new();
    let authority = signed_by(&world, Impostor::of(world.intermediate.signer()));
    let prepared = X509Profile::default()
        .prepare(&authority, workload(), world.now, &SystemRandom)
        .unwrap();
    let expected = Fault::SignedWrongly {
        authority: authority.id().to_owned(),
        code: "pki.signature_invalid",
    };
    assert_eq!(
        issue_one(prepared, &world.log).unwrap_err(),
        NotIssued::Failed(expected)
    );
    assert_eq!(world.log.all().len(), 1);

    let jwt = &world.jwt;
    let impostor = Impostor::of(jwt.signer());
    let authority =
        TokenAuthority::open(tenant(), trust_domain(), jwt.kind(), impostor, jwt.life()).unwrap();
    let prepared = JwtProfile::default()
        .prepare(&Arc::new(authority), bearer(), world.now, &SystemRandom)
        .unwrap();
    assert!(matches!(
        issue_one(prepared, &world.log),
        Err(NotIssued::Failed(Fault::SignedWrongly { .. }))
    ));
}

#[test]
fn what_the_core_would_refuse_is_neither_recorded_nor_signed() {
    // The root of this intermediate is another one than it says, as after a mix-up in a store.
    let world = World::new();
    let other = World::new();
    let mut chain = world.intermediate.chain();
    chain[1] = other.root.chain().remove(0);
    let impostor = Impostor::of(world.intermediate.signer());
    let mixed_up = X509Authority::open(
        tenant(),
        trust_domain(),
        &chain,
        impostor.clone(),
        world.intermediate.life(),
    );
    let prepared = X509Profile::default()
        .prepare(
            &Arc::new(mixed_up.unwrap()),
            workload(),
            world.now,
            &SystemRandom,
        )
        .unwrap();
    let NotIssued::Refused(reason) = issue_one(prepared, &world.log).unwrap_err() else {
        panic!("the core accepts a path without an anchor");
    };
    assert_eq!(reason.code(), "pki.issuer_not_found");
    assert!(world.log.all().is_empty());
    assert_eq!(impostor.signed.load(Ordering::SeqCst), 0);
}

#[test]
fn a_batch_is_recorded_with_one_call_and_refuses_each_element_by_itself() {
    let world = World::new();
    let profile = X509Profile::default();
    let batch = (0..20)
        .map(|index| {
            let mut request = workload();
            request.public_half = half(&Key::p256(&format!("workload {index}")));
            if index % 5 == 0 {
                request.ttl = Some(0);
            }
            profile.prepare(&world.intermediate, request, world.now, &SystemRandom)
        })
        .collect();
    let issued = issue(batch, &world.log).unwrap();
    for (index, outcome) in issued.iter().enumerate() {
        match outcome {
            Ok(svid) => {
                assert_ne!(index % 5, 0);
                let intents = world.log.all();
                assert!(intents.iter().any(|intent| intent.serial == svid.serial));
            }
            Err(NotIssued::Refused(reason)) => {
                assert_eq!(index % 5, 0);
                assert_eq!(reason.code(), "issue.ttl_out_of_bounds");
            }
            Err(NotIssued::Failed(fault)) => panic!("{fault}"),
        }
    }
    assert_eq!(world.log.calls.lock().unwrap().len(), 1);
    assert_eq!(world.log.all().len(), 16);
}

#[test]
fn a_batch_of_nothing_is_not_recorded() {
    let world = World::new();
    let issued = issue::<avouch_issuer::x509_svid::X509Draft>(Vec::new(), &world.log);
    assert!(issued.unwrap().is_empty());
    assert!(world.log.calls.lock().unwrap().is_empty());
}

#[test]
fn no_secret_is_shown() {
    let world = World::new();
    let token = world.jwt(bearer()).unwrap();
    let shown = format!("{token:?} {:?} {:?}", world.jwt, world.intermediate);
    let (_, signature) = token.token.rsplit_once('.').unwrap();
    assert!(!shown.contains(signature));
    assert!(shown.contains(ID));
}
