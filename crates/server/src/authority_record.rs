//! Authorities as they are stored, and as they sign.

use std::sync::Arc;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_issuer::authority::X509Authority;
use avouch_issuer::life_cycle::{LifeCycle, State};
use avouch_issuer::signer::{Origin, Signer, SigningKind, SoftwareKey};
use avouch_issuer::token::{TokenAuthority, TokenKind};
use avouch_store::keyring::TenantKey;
use avouch_store::{AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState};
use zeroize::Zeroizing;

use crate::fault::Fault;

/// An authority that can sign.
#[derive(Clone)]
pub(crate) enum Opened {
    X509(Arc<X509Authority>),
    Token(Arc<TokenAuthority>),
}

/// A new key, and the form in which it is sealed.
pub(crate) struct NewKey {
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
}

impl NewKey {
    /// P-256: every SPIFFE client knows it, and tokens allow no other of our kinds.
    pub(crate) fn generate() -> Result<Self, Fault> {
        let key = SoftwareKey::generate(SigningKind::P256)?;
        let pkcs8 = key.to_pkcs8()?;
        Ok(Self {
            signer: Arc::new(SoftwareKey::from_pkcs8(&pkcs8, Origin::File)?),
            pkcs8,
        })
    }
}

/// Opens what was stored. An authority without its private key is not opened: it signs nothing.
pub(crate) fn open(
    tenant: &TenantId,
    key: &TenantKey,
    record: &AuthorityRecord,
) -> Result<Option<Opened>, Fault> {
    let Some(sealed) = &record.private_key else {
        return Ok(None);
    };
    let pkcs8 = key.open(&record.id, sealed)?;
    let signer: Arc<dyn Signer> = Arc::new(SoftwareKey::from_pkcs8(&pkcs8, Origin::File)?);
    let life = life_of(record)?;
    let token = |kind| {
        let domain = record.trust_domain.clone();
        TokenAuthority::open(tenant.clone(), domain, kind, Arc::clone(&signer), life)
            .map(|authority| Opened::Token(Arc::new(authority)))
    };
    let opened = match record.kind {
        AuthorityKind::Jwt => token(TokenKind::Jwt)?,
        AuthorityKind::Wit => token(TokenKind::Wit)?,
        AuthorityKind::X509 => Opened::X509(Arc::new(X509Authority::open(
            tenant.clone(),
            record.trust_domain.clone(),
            &record.certificates,
            signer,
            life,
        )?)),
    };
    Ok(Some(opened))
}

/// Where a stored authority is in its life.
pub(crate) fn life_of(record: &AuthorityRecord) -> Result<LifeCycle, Fault> {
    let state = State::parse(record.state.name())
        .ok_or_else(|| Fault::Bug("a state has two names".to_owned()))?;
    Ok(LifeCycle::stored(
        state,
        record.not_before,
        record.not_after,
    ))
}

/// A stored authority at another point of its life.
pub(crate) fn in_state(
    record: &AuthorityRecord,
    state: State,
    now: Time,
) -> Result<AuthorityRecord, Fault> {
    let state = AuthorityState::parse(state.name())
        .ok_or_else(|| Fault::Bug("a state has two names".to_owned()))?;
    Ok(AuthorityRecord {
        state,
        since: now,
        // A revoked authority never signs again, and a key that is gone cannot be stolen.
        private_key: match state {
            AuthorityState::Revoked => None,
            AuthorityState::Prepared
            | AuthorityState::Active
            | AuthorityState::Retired
            | AuthorityState::Tainted => record.private_key.clone(),
        },
        ..record.clone()
    })
}

/// A new X.509 authority as it is stored.
pub(crate) fn of_x509(
    authority: &X509Authority,
    role: AuthorityRole,
    key: &TenantKey,
    pkcs8: &[u8],
    now: Time,
) -> Result<AuthorityRecord, Fault> {
    let id = name(authority.id())?;
    Ok(AuthorityRecord {
        trust_domain: authority.trust_domain().clone(),
        kind: AuthorityKind::X509,
        role,
        state: AuthorityState::Prepared,
        since: now,
        not_before: authority.life().not_before(),
        not_after: authority.life().not_after(),
        public_key: authority.signer().public_half().info().to_vec(),
        certificates: authority.chain(),
        private_key: Some(key.seal(&id, pkcs8)?),
        id,
    })
}

/// A new authority for tokens as it is stored.
pub(crate) fn of_token(
    authority: &TokenAuthority,
    key: &TenantKey,
    pkcs8: &[u8],
    now: Time,
) -> Result<AuthorityRecord, Fault> {
    let id = name(authority.id())?;
    Ok(AuthorityRecord {
        trust_domain: authority.trust_domain().clone(),
        kind: match authority.kind() {
            TokenKind::Jwt => AuthorityKind::Jwt,
            TokenKind::Wit => AuthorityKind::Wit,
        },
        role: AuthorityRole::Root,
        state: AuthorityState::Prepared,
        since: now,
        not_before: authority.life().not_before(),
        not_after: authority.life().not_after(),
        public_key: authority.signer().public_half().info().to_vec(),
        certificates: Vec::new(),
        private_key: Some(key.seal(&id, pkcs8)?),
        id,
    })
}

fn name(id: &str) -> Result<AuthorityId, Fault> {
    AuthorityId::parse(id).ok_or_else(|| Fault::Bug("an authority has no name".to_owned()))
}
