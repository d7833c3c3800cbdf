//! The authorities of one tenant: opened when something is to be signed or published, since of
//! thousands of tenants most do neither for long. What is due for them needs their dates only, which
//! their records have.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::authority::X509Authority;
use avouch_issuer::bundle;
use avouch_issuer::token::{TokenAuthority, TokenKind};
use avouch_store::{AuthorityId, AuthorityKind, AuthorityRecord, AuthorityUse};
use serde_json::Value;

use crate::authority_record::{self, Opened};
use crate::fault::{Fault, Refused};
use crate::keys::Keys;

/// The authorities of a tenant, opened or not yet.
pub(crate) struct Lazily {
    tenant: TenantId,
    keys: Arc<Keys>,
    opened: OnceLock<Authorities>,
}

impl Lazily {
    pub(crate) fn new(tenant: TenantId, keys: Arc<Keys>) -> Self {
        Self {
            tenant,
            keys,
            opened: OnceLock::new(),
        }
    }

    /// The authorities that these records are of, which are all there are.
    pub(crate) fn of(
        &self,
        records: &BTreeMap<AuthorityId, AuthorityRecord>,
    ) -> Result<&Authorities, Fault> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let mut opened = Authorities::default();
        for record in records.values() {
            opened.put(&self.tenant, &self.keys, record)?;
        }
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Whether they are opened.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    /// Another record is in the place of what had its name.
    pub(crate) fn put(&mut self, record: &AuthorityRecord) {
        if let Some(opened) = self.opened.get_mut()
            && let Err(error) = opened.put(&self.tenant, &self.keys, record)
        {
            // They are opened anew when something is to be signed, and then whoever asks is told.
            tracing::error!(tenant = %self.tenant, authority = %record.id, %error, "an authority could not be opened");
            self.opened = OnceLock::new();
        }
    }

    pub(crate) fn remove(&mut self, id: &AuthorityId) {
        if let Some(opened) = self.opened.get_mut() {
            opened.remove(id);
        }
    }
}

/// What signs for the trust domains of a tenant.
#[derive(Default)]
pub(crate) struct Authorities {
    x509: BTreeMap<AuthorityId, Arc<X509Authority>>,
    tokens: BTreeMap<AuthorityId, Arc<TokenAuthority>>,
    /// For whom those sign that do not sign for services.
    uses: BTreeMap<AuthorityId, AuthorityUse>,
    /// Whose keys, sealed here, cannot be read: that gets no better by itself. What they signed is
    /// believed on, since for that their public halves are enough.
    damaged: BTreeMap<AuthorityId, Damaged>,
}

/// An authority that signs no more.
struct Damaged {
    trust_domain: TrustDomain,
    kind: AuthorityKind,
    why: String,
    /// Whether not even its public half can be read.
    is_unknown: bool,
}

impl Authorities {
    /// Opens a stored authority in the place of what had its name.
    fn put(
        &mut self,
        tenant: &TenantId,
        keys: &Keys,
        record: &AuthorityRecord,
    ) -> Result<(), Fault> {
        self.remove(&record.id);
        let opened = match authority_record::open(tenant, keys, record) {
            Ok(opened) => opened,
            Err(error) if record.private_key.is_some() => {
                tracing::error!(%tenant, authority = %record.id, %error, "the key of an authority is damaged");
                let public = authority_record::open_public(tenant, record);
                let damaged = Damaged {
                    trust_domain: record.trust_domain.clone(),
                    kind: record.kind,
                    why: error.to_string(),
                    is_unknown: public.is_err(),
                };
                self.damaged.insert(record.id.clone(), damaged);
                public.unwrap_or_default()
            }
            Err(error) => return Err(error),
        };
        match opened {
            Some(Opened::X509(authority)) => {
                self.x509.insert(record.id.clone(), authority);
                if record.used_for != AuthorityUse::Services {
                    self.uses.insert(record.id.clone(), record.used_for);
                }
            }
            Some(Opened::Token(authority)) => {
                self.tokens.insert(record.id.clone(), authority);
            }
            None => {}
        }
        Ok(())
    }

    fn remove(&mut self, id: &AuthorityId) {
        self.x509.remove(id);
        self.uses.remove(id);
        self.tokens.remove(id);
        self.damaged.remove(id);
    }

    /// Fails if one is damaged that would be among these.
    fn check_none_damaged(&self, is_meant: impl Fn(&Damaged) -> bool) -> Result<(), Fault> {
        match self.damaged.iter().find(|(_, damaged)| is_meant(damaged)) {
            Some((id, damaged)) => {
                let why = &damaged.why;
                Err(Fault::Stored(format!("the authority {id}: {why}")))
            }
            None => Ok(()),
        }
    }

    fn used_for(&self, id: &AuthorityId) -> AuthorityUse {
        self.uses.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn x509_of(
        &self,
        trust_domain: &TrustDomain,
    ) -> impl Iterator<Item = &Arc<X509Authority>> {
        let all = self.x509.values();
        all.filter(move |authority| authority.trust_domain() == trust_domain)
    }

    pub(crate) fn tokens_of(
        &self,
        trust_domain: &TrustDomain,
    ) -> impl Iterator<Item = &Arc<TokenAuthority>> {
        let all = self.tokens.values();
        all.filter(move |authority| authority.trust_domain() == trust_domain)
    }

    /// The intermediate that signs certificates for a use now.
    pub(crate) fn signing_x509(
        &self,
        trust_domain: &TrustDomain,
        used_for: AuthorityUse,
        now: Time,
    ) -> Result<&Arc<X509Authority>, Refused> {
        let intermediates = self.x509.iter().filter(|(id, one)| {
            one.trust_domain() == trust_domain
                && !one.is_root()
                && self.used_for(id) == used_for
                && !self.damaged.contains_key(*id)
        });
        let intermediates = intermediates.map(|(_, one)| one);
        let signing = intermediates
            .filter(|one| one.life().check_may_sign(one.id(), now).is_ok())
            .max_by_key(|one| one.life().not_after());
        if signing.is_none() {
            let is_x509 = |one: &Damaged| one.kind == AuthorityKind::X509;
            self.check_none_damaged(|one| is_x509(one) && one.trust_domain == *trust_domain)?;
        }
        signing.ok_or_else(|| match used_for {
            AuthorityUse::Services => none_signs("X.509", trust_domain),
            AuthorityUse::People | AuthorityUse::Devices | AuthorityUse::Cluster => {
                none_signs(&format!("X.509 for {}", used_for.name()), trust_domain)
            }
        })
    }

    /// The key that signs tokens of a kind now.
    pub(crate) fn signing_token(
        &self,
        kind: TokenKind,
        trust_domain: &TrustDomain,
        now: Time,
    ) -> Result<&Arc<TokenAuthority>, Refused> {
        let of_kind = self.tokens.iter().filter(|(id, one)| {
            one.trust_domain() == trust_domain
                && one.kind() == kind
                && !self.damaged.contains_key(*id)
        });
        let signing = of_kind
            .map(|(_, one)| one)
            .filter(|one| one.life().check_may_sign(one.id(), now).is_ok())
            .max_by_key(|one| one.life().not_after());
        if signing.is_none() {
            let is_token = |one: &Damaged| one.kind != AuthorityKind::X509;
            self.check_none_damaged(|one| is_token(one) && one.trust_domain == *trust_domain)?;
        }
        signing.ok_or_else(|| none_signs("token", trust_domain))
    }

    /// The SPIFFE bundle of a trust domain.
    pub(crate) fn bundle(
        &self,
        trust_domain: &TrustDomain,
        sequence: u64,
        refresh_hint: u32,
        now: Time,
    ) -> Result<Value, Fault> {
        // Without one of them, what it signed would be believed no more.
        self.check_none_damaged(|one| one.is_unknown && one.trust_domain == *trust_domain)?;
        let x509 = self.x509_of(trust_domain).map(AsRef::as_ref);
        let tokens = self.tokens_of(trust_domain).map(AsRef::as_ref);
        Ok(bundle::spiffe_bundle(
            x509,
            tokens,
            sequence,
            refresh_hint,
            now,
        )?)
    }

    /// The keys that sign JWT-SVIDs, for verifiers of OIDC.
    pub(crate) fn jwks(&self, now: Time) -> Result<Value, Fault> {
        self.check_none_damaged(|one| one.is_unknown && one.kind == AuthorityKind::Jwt)?;
        Ok(bundle::jwks(self.tokens.values().map(AsRef::as_ref), now)?)
    }
}

fn none_signs(kind: &str, trust_domain: &TrustDomain) -> Refused {
    Reason::IssueAuthorityState {
        authority: format!("{kind} of {trust_domain}"),
        state: "not there",
        action: "sign",
    }
    .into()
}
