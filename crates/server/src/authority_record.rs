//! Authorities as they are stored, and as they sign.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::credential::x509::Certificate;
use avouch_core::id::{TenantId, hex};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::authority::{self, Use, X509Authority};
use avouch_issuer::fault::Fault as IssuerFault;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::life_cycle::{LifeCycle, State};
use avouch_issuer::signer::{Origin, Signature, Signer, SigningKind, SoftwareKey};
use avouch_issuer::token::{TokenAuthority, TokenKind};
use avouch_store::{
    AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse,
    RevokedCertificate,
};

use crate::fault::Fault;
use crate::keys::{Keys, Place};

/// An authority that can sign.
#[derive(Clone)]
pub(crate) enum Opened {
    X509(Arc<X509Authority>),
    Token(Arc<TokenAuthority>),
}

/// Whether it signs, or has signed what is believed on.
fn is_opened(record: &AuthorityRecord) -> bool {
    !matches!(
        record.state,
        AuthorityState::Requested | AuthorityState::Revoked
    )
}

/// Opens what was stored. An authority without a private key, or without the certificate it asked
/// for, is not opened: it signs nothing.
pub(crate) fn open(
    tenant: &TenantId,
    keys: &Keys,
    record: &AuthorityRecord,
) -> Result<Option<Opened>, Fault> {
    if !is_opened(record) {
        return Ok(None);
    }
    let Some(signer) = keys.open(record)? else {
        return Ok(None);
    };
    Ok(Some(open_with(tenant, record, signer)?))
}

/// Opens what was stored without its private key, which is damaged: it signs nothing, and what it
/// signed is believed on.
pub(crate) fn open_public(
    tenant: &TenantId,
    record: &AuthorityRecord,
) -> Result<Option<Opened>, Fault> {
    if !is_opened(record) {
        return Ok(None);
    }
    let public = PublicHalf::from_info(&record.public_key);
    let public = public.map_err(|reason| Fault::Stored(reason.sentence()))?;
    let signer = Arc::new(DamagedKey(public));
    Ok(Some(open_with(tenant, record, signer)?))
}

/// A key whose private half cannot be read.
struct DamagedKey(PublicHalf);

impl Signer for DamagedKey {
    fn public_half(&self) -> &PublicHalf {
        &self.0
    }

    fn origin(&self) -> Origin {
        Origin::File
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, IssuerFault> {
        let why = "its private key is damaged".to_owned();
        Err(IssuerFault::AuthorityUnusable(why))
    }
}

fn open_with(
    tenant: &TenantId,
    record: &AuthorityRecord,
    signer: Arc<dyn Signer>,
) -> Result<Opened, Fault> {
    let life = life_of(record)?;
    let token = |kind| {
        let domain = record.trust_domain.clone();
        TokenAuthority::open(tenant.clone(), domain, kind, Arc::clone(&signer), life)
            .map(|authority| Opened::Token(Arc::new(authority)))
    };
    Ok(match record.kind {
        AuthorityKind::Jwt => token(TokenKind::Jwt)?,
        AuthorityKind::Wit => token(TokenKind::Wit)?,
        AuthorityKind::X509 => Opened::X509(Arc::new(X509Authority::open(
            tenant.clone(),
            record.trust_domain.clone(),
            &record.certificates,
            signer,
            life,
        )?)),
    })
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
        // A revoked authority never signs again, and a key that is gone cannot be stolen. One that
        // is kept elsewhere is destroyed there, and its address is forgotten after that.
        private_key: match state {
            AuthorityState::Revoked => None,
            AuthorityState::Requested
            | AuthorityState::Prepared
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
    used_for: AuthorityUse,
    place: impl FnOnce(&AuthorityId) -> Result<Place, Fault>,
    now: Time,
) -> Result<AuthorityRecord, Fault> {
    let id = name(authority.id())?;
    let Place { sealed, address } = place(&id)?;
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
        private_key: sealed,
        key_address: address,
        key_is_brought: false,
        used_for,
        revoked: Vec::new(),
        revocation_list: None,
        id,
    })
}

/// A new authority for tokens as it is stored.
pub(crate) fn of_token(
    authority: &TokenAuthority,
    place: impl FnOnce(&AuthorityId) -> Result<Place, Fault>,
    now: Time,
) -> Result<AuthorityRecord, Fault> {
    let id = name(authority.id())?;
    let Place { sealed, address } = place(&id)?;
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
        private_key: sealed,
        key_address: address,
        key_is_brought: false,
        used_for: AuthorityUse::Services,
        revoked: Vec::new(),
        revocation_list: None,
        id,
    })
}

/// What certificates below an intermediate may have names of, as its own certificate says.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameBounds {
    /// Only SPIFFE IDs of the trust domain.
    pub(crate) ids: bool,
    /// These DNS subtrees; all if empty.
    pub(crate) dns: Vec<String>,
}

/// The bounds of an intermediate, which its successor has too.
pub(crate) fn name_bounds(record: &AuthorityRecord) -> NameBounds {
    let own = record.certificates.first();
    let (ids, dns) = own.map_or_else(Default::default, |own| authority::name_bounds(own));
    NameBounds { ids, dns }
}

/// A use as the issuer knows it.
pub(crate) fn use_of(used_for: AuthorityUse) -> Use {
    match used_for {
        AuthorityUse::Services => Use::Services,
        AuthorityUse::People => Use::People,
        AuthorityUse::Devices => Use::Devices,
        AuthorityUse::Cluster => Use::Cluster,
    }
}

/// A key that was made elsewhere, to try it out.
pub(crate) fn key_of(der: &[u8]) -> Result<SoftwareKey, Reason> {
    SoftwareKey::from_der(der, Origin::Memory).map_err(|_| Reason::IssueKeyKind {
        found: "another one, or no unencrypted private key".to_owned(),
        accepted: SigningKind::NAMES.map(str::to_owned).to_vec(),
    })
}

/// An authority that has revoked these certificates, too.
pub(crate) fn with_revoked(
    mut record: AuthorityRecord,
    revoked: impl IntoIterator<Item = RevokedCertificate>,
) -> AuthorityRecord {
    let known = record.revoked.iter().map(|known| known.serial.clone());
    let mut known: BTreeSet<String> = known.collect();
    // The first revocation says since when.
    let new = revoked
        .into_iter()
        .filter(|one| known.insert(one.serial.clone()));
    record.revoked.extend(new);
    record
}

/// From when on the list of an authority is to be signed anew; `None` if it has none. One of the future,
/// from when a clock was ahead, tells nobody anything: it is due at once.
pub(crate) fn list_due_from(record: &AuthorityRecord, now: Time) -> Option<Time> {
    let list = record.revocation_list.as_ref()?;
    if list.this_update > now {
        return Some(now);
    }
    let half = list.next_update.since(list.this_update) / 2;
    Some(list.this_update.plus(half))
}

/// Whether an authority signs revocation lists at this moment.
pub(crate) fn signs_lists(record: &AuthorityRecord, now: Time) -> bool {
    may_answer(record, now) && may_sign_lists(record)
}

/// Whether an authority of certificates may still tell which of its certificates hold.
pub(crate) fn may_answer(record: &AuthorityRecord, now: Time) -> bool {
    let is_there = match record.state {
        AuthorityState::Prepared
        | AuthorityState::Active
        | AuthorityState::Retired
        | AuthorityState::Tainted => true,
        AuthorityState::Requested | AuthorityState::Revoked => false,
    };
    // What one of the future signs, from when a clock was ahead, is worth nothing until then.
    let lasts = record.not_before <= now && now <= record.not_after;
    record.kind == AuthorityKind::X509 && is_there && lasts
}

/// Whether a stored authority may sign revocation lists.
pub(crate) fn may_sign_lists(record: &AuthorityRecord) -> bool {
    let own = record.certificates.first();
    own.and_then(|own| Certificate::parse(own).ok())
        .is_some_and(|own| own.may_sign_lists())
}

/// Whether a certificate is for a key.
pub(crate) fn is_for(certificate: &[u8], public_key: &[u8]) -> bool {
    Certificate::parse(certificate).is_ok_and(|read| read.public_key_info() == public_key)
}

/// From when until when an authority may sign: as long as its own certificate and all above it are
/// valid.
pub(crate) fn validity_of(chain: &[Vec<u8>]) -> Result<(Time, Time), Fault> {
    let mut bounds: Option<(Time, Time)> = None;
    for der in chain {
        let read = Certificate::parse(der).map_err(Fault::Stored)?;
        let (from, until) = bounds.unwrap_or((read.not_before(), read.not_after()));
        bounds = Some((from.max(read.not_before()), until.min(read.not_after())));
    }
    bounds.ok_or_else(|| Fault::Bug("a chain has no certificate".to_owned()))
}

/// The serial number of a stored certificate, in hexadecimal.
pub(crate) fn serial_of(certificate: &[u8]) -> Result<String, Fault> {
    let read = Certificate::parse(certificate).map_err(Fault::Stored)?;
    Ok(hex(read.serial()))
}

pub(crate) fn name(id: &str) -> Result<AuthorityId, Fault> {
    AuthorityId::parse(id).ok_or_else(|| Fault::Bug("an authority has no name".to_owned()))
}
