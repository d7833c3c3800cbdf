//! A trust domain with its authorities, and a log that remembers in memory.

use std::sync::{Arc, Mutex, OnceLock};

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_issuer::authority::{AuthorityPlan, Use, X509Authority};
use avouch_issuer::fault::{Fault, NotIssued};
use avouch_issuer::intent::{Intent, IntentLog};
use avouch_issuer::key::PublicHalf;
use avouch_issuer::key_manager::{FileKeys, KeyManager, MemoryKeys};
use avouch_issuer::life_cycle::LifeCycle;
use avouch_issuer::pkcs11::{Pkcs11Keys, TokenAddress};
use avouch_issuer::profile::{JwtProfile, WitProfile, X509Profile};
use avouch_issuer::random::SystemRandom;
use avouch_issuer::signer::{Origin, Signer, SigningKind, SoftwareKey};
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::{JwtRequest, TokenAuthority, TokenKind, TokenSvid, WitRequest};
use avouch_issuer::x509_svid::{X509Request, X509Svid};
use avouch_testkit::key::Key;

pub(crate) const ID: &str = "spiffe://demo.avouch.test/ns/payments/api";

/// Remembers intents in memory, or refuses to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) calls: Mutex<Vec<Vec<Intent>>>,
    pub(crate) is_full: bool,
}

impl IntentLog for Log {
    fn record(&self, intents: &[&Intent]) -> Result<(), Fault> {
        if self.is_full {
            return Err(Fault::NotRecorded {
                detail: "the disk is full".to_owned(),
                retryable: true,
            });
        }
        self.calls
            .lock()
            .unwrap()
            .push(intents.iter().copied().cloned().collect());
        Ok(())
    }
}

impl Log {
    pub(crate) fn all(&self) -> Vec<Intent> {
        self.calls.lock().unwrap().concat()
    }
}

pub(crate) struct World {
    pub(crate) root: Arc<X509Authority>,
    pub(crate) intermediate: Arc<X509Authority>,
    pub(crate) jwt: Arc<TokenAuthority>,
    pub(crate) wit: Arc<TokenAuthority>,
    pub(crate) log: Log,
    pub(crate) now: Time,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("demo").unwrap()
}

pub(crate) fn trust_domain() -> TrustDomain {
    TrustDomain::parse("demo.avouch.test").unwrap()
}

pub(crate) fn now() -> Time {
    Time::parse("2026-11-22T09:00:00Z").unwrap()
}

/// What the suite keeps its keys in: memory, unless a run is told otherwise.
pub(crate) fn keys() -> &'static dyn KeyManager {
    static KEYS: OnceLock<Box<dyn KeyManager>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| match std::env::var(KEYS_IN).as_deref() {
        Ok("file") => Box::new(FileKeys),
        Ok(token) => Box::new(Pkcs11Keys::open(TokenAddress::parse(token).unwrap()).unwrap()),
        Err(_) => Box::new(MemoryKeys::default()),
    });
    keys.as_ref()
}

/// Says where a run of the suite keeps its keys: `file`, or the address of a token.
pub(crate) const KEYS_IN: &str = "AVOUCH_TEST_KEYS";

pub(crate) fn signer(kind: SigningKind) -> Arc<dyn Signer> {
    // Tokens make P-256 keys only.
    if kind != SigningKind::P256 && keys().origin() == Origin::Pkcs11 {
        return Arc::new(SoftwareKey::generate(kind).unwrap());
    }
    let name = |_: &PublicHalf| "test".to_owned();
    let made = keys().generate(&tenant(), kind, &name).unwrap();
    // As a server does that was started again.
    keys().open(&made.kept).unwrap()
}

pub(crate) fn plan() -> AuthorityPlan {
    AuthorityPlan {
        tenant: tenant(),
        trust_domain: trust_domain(),
        lifetime: 86_400,
        constrain_names: false,
        used_for: Use::Services,
        permit_dns: Vec::new(),
    }
}

/// Issues and activates a root.
pub(crate) fn root(plan: &AuthorityPlan, kind: SigningKind, log: &Log, now: Time) -> X509Authority {
    let prepared = plan.prepare_root(signer(kind), now, &SystemRandom);
    active(issue_one(prepared.unwrap(), log).unwrap())
}

/// Issues and activates an intermediate.
pub(crate) fn intermediate(
    plan: &AuthorityPlan,
    root: &Arc<X509Authority>,
    kind: SigningKind,
    log: &Log,
    now: Time,
) -> X509Authority {
    let prepared = plan.prepare_intermediate(root, signer(kind), now, &SystemRandom);
    active(issue_one(prepared.unwrap(), log).unwrap())
}

fn active(authority: X509Authority) -> X509Authority {
    let life = authority.life().activate(authority.id()).unwrap();
    authority.with_life(life)
}

pub(crate) fn token_authority(kind: TokenKind, now: Time) -> TokenAuthority {
    let life = LifeCycle::prepared(now, now.plus(86_400));
    let signer = signer(SigningKind::P256);
    TokenAuthority::open(
        tenant(),
        trust_domain(),
        kind,
        signer,
        life.activate("new").unwrap(),
    )
    .unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::planned(&plan(), SigningKind::P256, now())
    }

    pub(crate) fn planned(plan: &AuthorityPlan, kind: SigningKind, now: Time) -> Self {
        let log = Log::default();
        let root = Arc::new(root(plan, kind, &log, now));
        let intermediate = Arc::new(intermediate(plan, &root, kind, &log, now));
        log.calls.lock().unwrap().clear();
        Self {
            root,
            intermediate,
            jwt: Arc::new(token_authority(TokenKind::Jwt, now)),
            wit: Arc::new(token_authority(TokenKind::Wit, now)),
            log,
            now,
        }
    }

    pub(crate) fn x509(&self, request: X509Request) -> Result<X509Svid, NotIssued> {
        let profile = X509Profile::default();
        let prepared = profile.prepare(&self.intermediate, request, self.now, &SystemRandom)?;
        issue_one(prepared, &self.log)
    }

    pub(crate) fn jwt(&self, request: JwtRequest) -> Result<TokenSvid, NotIssued> {
        let profile = JwtProfile::default();
        let prepared = profile.prepare(&self.jwt, request, self.now, &SystemRandom)?;
        issue_one(prepared, &self.log)
    }

    pub(crate) fn wit(&self, request: WitRequest) -> Result<TokenSvid, NotIssued> {
        let profile = WitProfile::default();
        let prepared = profile.prepare(&self.wit, request, self.now, &SystemRandom)?;
        issue_one(prepared, &self.log)
    }
}

pub(crate) fn half(key: &Key) -> PublicHalf {
    PublicHalf::from_info(&key.public_key_info()).unwrap()
}

pub(crate) fn workload() -> X509Request {
    X509Request {
        id: SpiffeId::parse(ID).unwrap(),
        public_half: half(&Key::p256("workload")),
        ttl: None,
        dns_names: Vec::new(),
        mark: None,
    }
}

pub(crate) fn bearer() -> JwtRequest {
    JwtRequest {
        id: SpiffeId::parse(ID).unwrap(),
        audiences: vec!["vault".to_owned()],
        ttl: None,
        issuer: None,
    }
}

pub(crate) fn holder(key: &Key) -> WitRequest {
    WitRequest {
        id: SpiffeId::parse(ID).unwrap(),
        public_half: half(key),
        ttl: None,
    }
}
