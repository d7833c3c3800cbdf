//! What an operator does with authorities by hand: more intermediates, one that signs now, roots and
//! intermediates whose certificates come from elsewhere.
//!
//! ```text
//! csr ──► requested ──(signed elsewhere)──► import ──► prepared ──► activate ──► active
//! ```

use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::key_manager::{Kept, NewKey};
use avouch_issuer::life_cycle::State;
use avouch_issuer::signer::Signer;
use avouch_issuer::upstream::{Taking, signing_request};
use avouch_store::{
    AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse,
    Change, Object, TrustDomainRecord, Upstream,
};

use crate::authority_record::{self, NameBounds, in_state, life_of};
use crate::fault::{Fault, Refused};
use crate::keeper::{Draft, Group, authority, x509_name};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How long a request waits for its certificate, in seconds.
const REQUEST_TTL: i64 = 90 * 86_400;

/// The part of its life in which an authority from elsewhere is to be renewed by hand.
const REMINDER_PART: i64 = 3;

impl Plane {
    /// Adds an intermediate for a further use, which signs at once. From then on it has successors
    /// like any other.
    ///
    /// # Errors
    ///
    /// `issue.conflict` if there is one, `issue.dns_name_invalid`, or what failed on our side.
    pub fn add_intermediate(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        used_for: AuthorityUse,
        constrain_ids: bool,
        permit_dns: Vec<String>,
    ) -> Result<(), Refused> {
        let mut draft = Draft::of(self, tenant, trust_domain.clone());
        let group = Group::Intermediate(used_for);
        // Services have one from the beginning: theirs is followed by one with these bounds.
        let is_taken = match used_for {
            AuthorityUse::Services => {
                let is_bounded = constrain_ids || !permit_dns.is_empty();
                !is_bounded || draft.has(group, State::Prepared)
            }
            AuthorityUse::People | AuthorityUse::Devices | AuthorityUse::Cluster => {
                draft.records.values().any(|record| group.has(record))
            }
        };
        if is_taken {
            return Err(Reason::IssueConflict {
                detail: format!(
                    "{trust_domain} has an intermediate for {} already",
                    used_for.name()
                ),
            }
            .into());
        }
        draft.bounds = Some(NameBounds {
            ids: constrain_ids,
            dns: permit_dns,
        });
        draft.prepare(group)?;
        draft.work()?;
        draft.store()
    }

    /// Has an authority sign from now on, in the place of the one that does: one that is prepared, or one
    /// that has signed before and ends later.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.authority_state`, `issue.authority_expired`; `issue.authority_not_held` while a node that
    /// follows or a reader of the bundle does not know it, unless `anyway`; or what failed on our side.
    pub fn activate(&self, tenant: &Arc<Tenant>, id: &str, anyway: bool) -> Result<(), Refused> {
        let record = authority(tenant, id)?;
        let life = life_of(&record)?;
        life.check_may_answer("be activated", id, self.now())?;
        let life = life.activate_by_hand(id)?;
        let published = tenant.held().published.get(&record.id).copied();
        if let (Some(since), false) = (published, anyway) {
            let nodes = self.behind(tenant, since)?.len();
            let readers = self.readers_of(tenant, &record, since).behind.len();
            if nodes + readers > 0 {
                return Err(Reason::IssueAuthorityNotHeld {
                    authority: id.to_owned(),
                    nodes,
                    readers,
                }
                .into());
            }
        }
        let mut draft = Draft::of(self, tenant, record.trust_domain.clone());
        let now = draft.now;
        let group = Group::of(&record);
        let signing = draft.records.values().filter(|one| {
            group.is_some_and(|group| group.has(one)) && one.state == AuthorityState::Active
        });
        for one in signing.cloned().collect::<Vec<_>>() {
            let retired = life_of(&one)?.retire(one.id.as_str())?;
            draft.put(in_state(&one, retired.state(), now)?);
        }
        draft.put(in_state(&record, life.state(), now)?);
        if group == Some(Group::SERVICES) {
            draft.set_upstream(&record);
        }
        if group == Some(Group::Root) {
            draft.set_own_upstream();
        }
        draft.work()?;
        draft.store()
    }

    /// Makes a key for an intermediate whose certificate is to come from elsewhere, and a request for
    /// it (PKCS#10) as DER.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn request_intermediate(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
    ) -> Result<(String, Vec<u8>), Refused> {
        let mut draft = Draft::of(self, tenant, trust_domain.clone());
        let key = draft.new_key(&x509_name)?;
        let request = signing_request(key.signer.as_ref(), trust_domain)?;
        let record = self.waiting(tenant, trust_domain, &key)?;
        let id = record.id.to_string();
        draft.put(record);
        draft.store()?;
        Ok((id, request))
    }

    /// Takes the certificate that was signed elsewhere for a request of [`Plane::request_intermediate`],
    /// with those above it up to the root. It is prepared then, and its root in the bundle.
    ///
    /// # Errors
    ///
    /// `issue.upstream_key`, `issue.upstream_malformed`, the core's reason for refusing what it would
    /// sign, or what failed on our side; what `permit_root` answers, if the root is not believed yet.
    pub(crate) fn import_intermediate(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        certificates: &[Vec<u8>],
        permit_root: &dyn Fn() -> Result<(), Refused>,
    ) -> Result<String, Refused> {
        let mut draft = Draft::of(self, tenant, trust_domain.clone());
        let mut waiting = draft.records.values().filter(|record| {
            record.state == AuthorityState::Requested
                && certificates
                    .iter()
                    .any(|der| authority_record::is_for(der, &record.public_key))
        });
        let Some(record) = waiting.next().cloned() else {
            return Err(Reason::IssueUpstreamKey {
                trust_domain: trust_domain.to_string(),
            }
            .into());
        };
        let signer = tenant.keys.open(&record)?;
        let signer = signer.ok_or_else(|| Fault::Stored(format!("{} has no key", record.id)))?;
        let taking = Taking {
            tenant: tenant.id(),
            trust_domain,
            certificates,
            now: draft.now,
        };
        let chain = taking.intermediate(signer, &self.random)?;
        if !draft.believes(&chain) {
            permit_root()?;
        }
        let id = record.id.to_string();
        draft.put(prepared(record, chain, draft.now)?);
        draft.work()?;
        draft.store()?;
        Ok(id)
    }

    /// Takes a root that was made elsewhere, with its key as DER: PKCS#8, or what files of RSA and
    /// ECDSA keys have. Says too whether it may sign revocation lists.
    ///
    /// # Errors
    ///
    /// As for an intermediate; `issue.key_not_accepted` for a key that authorities do not sign with,
    /// `issue.conflict` for a root that is here already.
    pub fn import_root(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        certificates: &[Vec<u8>],
        key: &[u8],
    ) -> Result<(String, bool), Refused> {
        let mut draft = Draft::of(self, tenant, trust_domain.clone());
        let taking = Taking {
            tenant: tenant.id(),
            trust_domain,
            certificates,
            now: draft.now,
        };
        // Looked at before it goes into a token.
        let trial = authority_record::key_of(key)?;
        let pkcs8 = trial.to_pkcs8().map_err(Fault::from)?;
        let trial: Arc<dyn Signer> = Arc::new(trial);
        let chain = taking.root(Arc::clone(&trial), &self.random)?;
        check_new(tenant, trial.public_half())?;
        let key = draft.import_key(&pkcs8, &x509_name)?;
        let record = self.waiting(tenant, trust_domain, &key)?;
        take_root(draft, record, chain)
    }

    /// As [`Plane::import_root`], of a root whose key someone has put into the token of `--keys`. It
    /// stays theirs: it is not destroyed with the authority.
    ///
    /// # Errors
    ///
    /// As there, and `issue.key_address_refused`; `issue.conflict` also for a key that signs for another
    /// tenant.
    pub fn import_root_in_token(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        certificates: &[Vec<u8>],
        address: &str,
    ) -> Result<(String, bool), Refused> {
        let draft = Draft::of(self, tenant, trust_domain.clone());
        let key = tenant.keys.bring(address)?;
        let taking = Taking {
            tenant: tenant.id(),
            trust_domain,
            certificates,
            now: draft.now,
        };
        let chain = taking.root(Arc::clone(&key.signer), &self.random)?;
        check_new(tenant, key.signer.public_half())?;
        let record = AuthorityRecord {
            key_is_brought: true,
            ..self.waiting(tenant, trust_domain, &key)?
        };
        take_root(draft, record, chain)
    }

    /// An authority that has a key and no certificate.
    fn waiting(
        &self,
        tenant: &Tenant,
        trust_domain: &TrustDomain,
        key: &NewKey,
    ) -> Result<AuthorityRecord, Fault> {
        let now = self.now();
        let public = key.signer.public_half();
        let id: AuthorityId = authority_record::name(&x509_name(public))?;
        let place = tenant.keys.place(&id, &key.kept)?;
        Ok(AuthorityRecord {
            id,
            trust_domain: trust_domain.clone(),
            kind: AuthorityKind::X509,
            role: AuthorityRole::Intermediate,
            state: AuthorityState::Requested,
            since: now,
            not_before: now,
            not_after: now.plus(REQUEST_TTL),
            public_key: public.info().to_vec(),
            certificates: Vec::new(),
            private_key: place.sealed,
            key_address: place.address,
            key_is_brought: false,
            used_for: AuthorityUse::Services,
            revoked: Vec::new(),
            revocation_list: None,
        })
    }
}

/// Refuses a key that signs for an authority of the tenant, also in another trust domain.
fn check_new(tenant: &Tenant, key: &PublicHalf) -> Result<(), Refused> {
    let id = authority_record::name(&x509_name(key))?;
    if tenant.read(|snapshot| snapshot.authorities.contains_key(&id)) {
        return Err(Reason::IssueConflict {
            detail: format!("the authority {id} is here already"),
        }
        .into());
    }
    Ok(())
}

/// Has a root prepared that waits for its certificate. Its name, and whether it may sign revocation
/// lists.
fn take_root(
    mut draft: Draft<'_>,
    waiting: AuthorityRecord,
    chain: Vec<Vec<u8>>,
) -> Result<(String, bool), Refused> {
    let waiting = AuthorityRecord {
        role: AuthorityRole::Root,
        ..waiting
    };
    let record = prepared(waiting, chain, draft.now)?;
    let id = record.id.to_string();
    let signs_lists = authority_record::may_sign_lists(&record);
    draft.put(record);
    draft.work()?;
    draft.store()?;
    Ok((id, signs_lists))
}

impl Draft<'_> {
    fn import_key(
        &mut self,
        pkcs8: &[u8],
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        let key = self.tenant.keys.import(self.tenant.id(), pkcs8, name)?;
        if let Kept::Elsewhere(address) = &key.kept {
            self.made(address.clone());
        }
        Ok(key)
    }

    /// Whether the root of a chain is in the bundle of the trust domain, and nobody has said that its key
    /// may be in the wrong hands.
    fn believes(&self, chain: &[Vec<u8>]) -> bool {
        let Some(root) = chain.last() else {
            return false;
        };
        let is_below = |record: &AuthorityRecord| record.certificates.last() == Some(root);
        let is_published = |record: &AuthorityRecord| match record.state {
            AuthorityState::Prepared | AuthorityState::Active | AuthorityState::Retired => true,
            AuthorityState::Requested | AuthorityState::Tainted | AuthorityState::Revoked => false,
        };
        let mut all = self.records.values();
        let is_doubted =
            all.any(|record| record.certificates.first() == Some(root) && !is_published(record));
        let mut all = self.records.values();
        !is_doubted
            && all.any(|record| {
                is_below(record) && is_published(record) && self.now <= record.not_after
            })
    }

    /// Whose root the certificates of the trust domain end at, once `signing` signs.
    fn set_upstream(&mut self, signing: &AuthorityRecord) {
        self.put_upstream(match self.ends_at_own_root(signing) {
            true => Upstream::Own,
            false => Upstream::Elsewhere,
        });
    }

    /// Whether what is above an authority ends at a root of which we have the key.
    pub(crate) fn ends_at_own_root(&self, record: &AuthorityRecord) -> bool {
        let root = record.certificates.last();
        self.records
            .values()
            .any(|record| record.role == AuthorityRole::Root && record.certificates.first() == root)
    }

    pub(crate) fn set_own_upstream(&mut self) {
        self.put_upstream(Upstream::Own);
    }

    fn put_upstream(&mut self, upstream: Upstream) {
        let domain = self.tenant.read(|snapshot| {
            let domain = snapshot.trust_domains.get(&self.trust_domain);
            domain.cloned()
        });
        if let Some(domain) = domain.filter(|domain| domain.upstream != upstream) {
            self.upstream = upstream;
            let domain = TrustDomainRecord { upstream, ..domain };
            self.domain = Some(Change::Put(Object::TrustDomain(domain)));
        }
    }
}

/// By when an authority from elsewhere is to be renewed by hand: `None` for one that is followed by
/// itself.
pub(crate) fn renew_by(record: &AuthorityRecord, upstream: Upstream) -> Option<Time> {
    let is_from_elsewhere = upstream == Upstream::Elsewhere
        && record.role == AuthorityRole::Intermediate
        && record.kind == AuthorityKind::X509
        && record.used_for == AuthorityUse::Services
        && record.state == AuthorityState::Active;
    let length = record.not_after.since(record.not_before).max(0);
    is_from_elsewhere.then(|| record.not_after.plus(-length / REMINDER_PART))
}

/// An authority that has its certificate now.
fn prepared(
    record: AuthorityRecord,
    chain: Vec<Vec<u8>>,
    now: Time,
) -> Result<AuthorityRecord, Refused> {
    let (not_before, not_after) = authority_record::validity_of(&chain)?;
    let life = life_of(&record)?.answer(record.id.as_str(), not_before, not_after)?;
    Ok(AuthorityRecord {
        not_before,
        not_after,
        certificates: chain,
        ..in_state(&record, life.state(), now)?
    })
}
