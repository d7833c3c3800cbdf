//! What issuing costs beside the bare signature. Each credential is decided on twice by the core
//! and signed once; the log keeps nothing, so its cost is not in here.

use std::sync::Arc;

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_issuer::authority::{AuthorityPlan, Use, X509Authority};
use avouch_issuer::fault::Fault;
use avouch_issuer::intent::{Intent, IntentLog};
use avouch_issuer::life_cycle::{LifeCycle, State};
use avouch_issuer::profile::{JwtProfile, X509Profile};
use avouch_issuer::random::SystemRandom;
use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use avouch_issuer::stages::{issue, issue_one};
use avouch_issuer::token::{JwtRequest, TokenAuthority, TokenKind};
use avouch_issuer::x509_svid::X509Request;
use divan::Bencher;
use divan::counter::ItemsCount;

const BATCH: usize = 50;

struct Forgetful;

impl IntentLog for Forgetful {
    fn record(&self, _intents: &[&Intent]) -> Result<(), Fault> {
        Ok(())
    }
}

fn main() {
    divan::main();
}

fn now() -> Time {
    Time::from_unix(1_795_338_000)
}

fn tenant() -> TenantId {
    TenantId::local()
}

fn trust_domain() -> TrustDomain {
    TrustDomain::parse("bench.avouch.test").unwrap()
}

fn signer() -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::generate(SigningKind::P256).unwrap())
}

fn intermediate() -> Arc<X509Authority> {
    let plan = AuthorityPlan {
        tenant: tenant(),
        trust_domain: trust_domain(),
        lifetime: 86_400,
        constrain_names: false,
        used_for: Use::Services,
        permit_dns: Vec::new(),
    };
    let active = |authority: X509Authority| {
        let life = authority.life().activate(authority.id()).unwrap();
        Arc::new(authority.with_life(life))
    };
    let root = plan.prepare_root(signer(), now(), &SystemRandom).unwrap();
    let root = active(issue_one(root, &Forgetful).unwrap());
    let below = plan.prepare_intermediate(&root, signer(), now(), &SystemRandom);
    active(issue_one(below.unwrap(), &Forgetful).unwrap())
}

fn request() -> X509Request {
    X509Request {
        id: SpiffeId::parse("spiffe://bench.avouch.test/ns/payments/api").unwrap(),
        public_half: signer().public_half().clone(),
        ttl: None,
        dns_names: Vec::new(),
        mark: None,
    }
}

#[divan::bench]
fn bare_signature(bencher: Bencher<'_, '_>) {
    let signer = signer();
    bencher.bench(|| signer.sign(&[7; 300]).unwrap());
}

#[divan::bench]
fn x509_svid(bencher: Bencher<'_, '_>) {
    let (authority, request) = (intermediate(), request());
    let profile = X509Profile::default();
    bencher.bench(|| {
        let prepared = profile.prepare(&authority, request.clone(), now(), &SystemRandom);
        issue_one(prepared.unwrap(), &Forgetful).unwrap()
    });
}

#[divan::bench]
fn x509_svids_in_batches_of_50(bencher: Bencher<'_, '_>) {
    let (authority, request) = (intermediate(), request());
    let profile = X509Profile::default();
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let batch = (0..BATCH)
            .map(|_| profile.prepare(&authority, request.clone(), now(), &SystemRandom))
            .collect();
        issue(batch, &Forgetful).unwrap()
    });
}

#[divan::bench]
fn jwt_svid(bencher: Bencher<'_, '_>) {
    let life = LifeCycle::stored(State::Active, now(), now().plus(86_400));
    let kind = TokenKind::Jwt;
    let opened = TokenAuthority::open(tenant(), trust_domain(), kind, signer(), life);
    let authority = Arc::new(opened.unwrap());
    let profile = JwtProfile::default();
    bencher.bench(|| {
        let request = JwtRequest {
            id: SpiffeId::parse("spiffe://bench.avouch.test/ns/payments/api").unwrap(),
            audiences: vec!["vault".to_owned()],
            ttl: None,
            issuer: None,
        };
        let prepared = profile.prepare(&authority, request, now(), &SystemRandom);
        issue_one(prepared.unwrap(), &Forgetful).unwrap()
    });
}
