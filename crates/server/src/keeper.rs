//! Keeps the authorities of every trust domain alive: prepares successors, activates them once
//! everyone knows them, retires those before them, forgets what has expired.
//!
//! What is due is a pure function of dates ([`due`]); here it is carried out. All that is due for a
//! tenant becomes one change, which is stored only if nothing else has changed meanwhile, so that
//! of several servers that see the same one acts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::authority::{self, AuthorityPlan, X509Authority};
use avouch_issuer::key::PublicHalf;
use avouch_issuer::key_manager::{Kept, NewKey};
use avouch_issuer::life_cycle::{LifeCycle, State, Step, due};
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::{self, TokenAuthority, TokenKind};
use avouch_store::{
    AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse,
    Change, Key, Object, RevokedCertificate, Sequence, Upstream,
};

use crate::authority_record::{self, NameBounds, Opened, in_state, life_of};
use crate::fault::{Fault, Refused};
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::revocations::{CA_COMPROMISE, with_revoked};
use crate::tenant::Tenant;

/// How often a plan is made anew because something else has changed meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// How often what is due is asked for one group of authorities; three rounds make a new one sign.
const MOST_ROUNDS: usize = 8;

/// Authorities of which one signs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// They sign intermediates. The first, since the second needs one of them.
    Root,
    /// They sign certificates for one use.
    Intermediate(AuthorityUse),
    Jwt,
    Wit,
}

impl Group {
    /// Those that every trust domain has.
    const ALL: [Self; 4] = [
        Self::Root,
        Self::Intermediate(AuthorityUse::Services),
        Self::Jwt,
        Self::Wit,
    ];

    pub(crate) fn has(self, record: &AuthorityRecord) -> bool {
        Self::of(record) == Some(self)
    }

    /// The group of an authority. What waits for its certificate is none yet.
    pub(crate) fn of(record: &AuthorityRecord) -> Option<Self> {
        if record.state == AuthorityState::Requested {
            return None;
        }
        Some(match (record.kind, record.role) {
            (AuthorityKind::X509, AuthorityRole::Root) => Self::Root,
            (AuthorityKind::X509, AuthorityRole::Intermediate) => {
                Self::Intermediate(record.used_for)
            }
            (AuthorityKind::Jwt, AuthorityRole::Root | AuthorityRole::Intermediate) => Self::Jwt,
            (AuthorityKind::Wit, AuthorityRole::Root | AuthorityRole::Intermediate) => Self::Wit,
        })
    }

    /// Whether its successors are made here, where the certificates of the trust domain end at a
    /// root of `upstream`.
    fn has_own_successors(self, upstream: Upstream) -> bool {
        match (self, upstream) {
            (Self::Root | Self::Intermediate(AuthorityUse::Services), Upstream::Elsewhere) => false,
            (Self::Root | Self::Intermediate(_) | Self::Jwt | Self::Wit, _) => true,
        }
    }
}

impl Plane {
    /// Does what is due for all tenants. A tenant for which it fails does not keep the others from
    /// it.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub fn tend_all(&self) -> Result<(), Refused> {
        let mut first = Ok(());
        for tenant in self.all_tenants() {
            if let Err(error) = self.tend(&tenant) {
                tracing::error!(tenant = %tenant.id(), %error, "authorities could not be tended");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Does what is due for the authorities of one tenant.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn tend(&self, tenant: &Arc<Tenant>) -> Result<(), Refused> {
        let mut conflict = None;
        for _ in 0..MOST_ATTEMPTS {
            let (at, domains) = tenant.read(|snapshot| {
                let domains: Vec<TrustDomain> = snapshot.trust_domains.keys().cloned().collect();
                (snapshot.sequence, domains)
            });
            let mut changes = Vec::new();
            let mut made = Vec::new();
            for domain in domains {
                let mut draft = Draft::of(self, tenant, domain);
                let worked = draft.work();
                made.append(&mut draft.made);
                if let Err(refused) = worked {
                    discard(tenant, &made);
                    return Err(refused);
                }
                changes.extend(draft.take_changes());
            }
            if changes.is_empty() {
                return Ok(());
            }
            match self.apply_at(tenant, at, &changes) {
                Ok(_) => {
                    report(tenant, &changes);
                    return Ok(());
                }
                Err(Refused::Reason(reason)) => {
                    discard(tenant, &made);
                    conflict = Some(reason);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(conflict.map_or_else(
            || Fault::Bug("nothing was tried".to_owned()).into(),
            Refused::Reason,
        ))
    }

    /// Lets an authority sign no more and has all that it signed replaced at once: it may be in the
    /// wrong hands. What a root signed goes with it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.authority_state`, or what failed on our side.
    pub fn taint(&self, tenant: &Arc<Tenant>, id: &str) -> Result<(), Refused> {
        unless_moved(|| {
            let trust_domain = authority(tenant, id)?.trust_domain;
            // What is read after the draft is as the draft has it, or the draft is not stored.
            let draft = Draft::of(self, tenant, trust_domain);
            let record = authority(tenant, id)?;
            life_of(&record)?.taint(id)?;
            let mut tainted = signed_by(tenant, &record);
            tainted.push(record);
            draft.taint_all(tainted)
        })
    }

    /// Takes a tainted authority out of the bundle: what it signed is believed no more. Its key is
    /// destroyed.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.authority_state`; `issue.authority_in_use` while something that
    /// it signed is in use, and `issue.revocation_untold` where no list can say so, unless `anyway`; or what failed on our side.
    pub fn revoke(&self, tenant: &Arc<Tenant>, id: &str, anyway: bool) -> Result<(), Refused> {
        unless_moved(|| self.try_revoke(tenant, id, anyway))?;
        // The key is destroyed once it is on record that it signs no more.
        self.tend(tenant)
    }

    fn try_revoke(&self, tenant: &Arc<Tenant>, id: &str, anyway: bool) -> Result<(), Refused> {
        let trust_domain = authority(tenant, id)?.trust_domain;
        let mut draft = Draft::of(self, tenant, trust_domain);
        let record = authority(tenant, id)?;
        let life = life_of(&record)?.revoke(id)?;
        let below = signed_by(tenant, &record);
        if !anyway {
            draft.check_revocation_is_told(&record)?;
            let mut ended: Vec<&AuthorityId> = below.iter().map(|one| &one.id).collect();
            ended.push(&record.id);
            let credentials = self.not_replaced(tenant, &ended)?;
            // Whoever knows of the last change of the authorities knows that this one is tainted.
            let known = tenant.held().bundle_sequence;
            let nodes = self.behind(tenant, known)?.len();
            let readers = self.readers_of(tenant, &record, known).behind.len();
            if credentials + nodes + readers > 0 {
                return Err(Reason::IssueAuthorityInUse {
                    authority: id.to_owned(),
                    credentials,
                    nodes,
                    readers,
                }
                .into());
            }
        }
        draft.revoke(&record, life.state())?;
        for below in below {
            if let Ok(life) = life_of(&below)?.revoke(below.id.as_str()) {
                draft.revoke(&below, life.state())?;
            }
        }
        draft.sign_changed_lists()?;
        draft.store()
    }

    /// Prepares a successor for each authority of a trust domain that signs, without waiting for
    /// its time; it signs when its predecessor is tainted or ends.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn prepare(&self, tenant: &Arc<Tenant>, trust_domain: &TrustDomain) -> Result<(), Refused> {
        unless_moved(|| {
            let mut draft = Draft::of(self, tenant, trust_domain.clone());
            for group in draft.groups() {
                if !draft.has(group, State::Prepared) {
                    draft.prepare(group)?;
                }
            }
            draft.sign_due_lists()?;
            draft.store()
        })
    }

    /// Replaces every key of a trust domain, as if all of them were in the wrong hands.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn replace_all(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
    ) -> Result<(), Refused> {
        unless_moved(|| {
            let draft = Draft::of(self, tenant, trust_domain.clone());
            let records = draft.records.values().cloned().collect();
            draft.taint_all(records)
        })
    }
}

/// Works it out anew where other authorities were stored meanwhile: what was read then may be worse
/// than old, since it may bring back what was taken back.
fn unless_moved(work: impl Fn() -> Result<(), Refused>) -> Result<(), Refused> {
    let mut last = work();
    for _ in 1..MOST_ATTEMPTS {
        match &last {
            Err(Refused::Reason(reason)) if matches!(**reason, Reason::IssueConflict { .. }) => {
                last = work();
            }
            Ok(()) | Err(_) => return last,
        }
    }
    last
}

/// Destroys keys that were made elsewhere for what was not stored.
fn discard(tenant: &Tenant, made: &[String]) {
    for address in made {
        if let Err(error) = tenant.keys.destroy(address) {
            tracing::error!(tenant = %tenant.id(), %error, "a key that nothing uses is left");
        }
    }
}

/// How the authority of a key that signs certificates is called.
pub(crate) fn x509_name(key: &PublicHalf) -> String {
    authority::name_of(key)
}

fn token_name(key: &PublicHalf) -> String {
    token::name_of(key)
}

/// The authorities of one trust domain while what is due is worked out.
pub(crate) struct Draft<'a> {
    pub(crate) plane: &'a Plane,
    pub(crate) tenant: &'a Arc<Tenant>,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) now: Time,
    pub(crate) records: BTreeMap<AuthorityId, AuthorityRecord>,
    /// The number of the last change of authorities that it knows.
    known: Sequence,
    changes: BTreeMap<AuthorityId, Change>,
    /// Where the keys are that were made elsewhere.
    made: Vec<String>,
    /// Whose root the certificates end at.
    pub(crate) upstream: Upstream,
    /// The trust domain, where it changes.
    pub(crate) domain: Option<Change>,
    /// What new intermediates may vouch for, where it is not what their predecessors may.
    pub(crate) bounds: Option<NameBounds>,
}

impl<'a> Draft<'a> {
    pub(crate) fn of(plane: &'a Plane, tenant: &'a Arc<Tenant>, trust_domain: TrustDomain) -> Self {
        let (known, records) = {
            let held = tenant.held();
            let all = held.snapshot.authorities.iter();
            let own = all.filter(|(_, record)| record.trust_domain == trust_domain);
            let own = own.map(|(id, record)| (id.clone(), record.clone()));
            (held.bundle_sequence, own.collect())
        };
        Self {
            known,
            now: plane.now(),
            changes: BTreeMap::new(),
            made: Vec::new(),
            upstream: tenant.read(|snapshot| {
                let domain = snapshot.trust_domains.get(&trust_domain);
                domain.map(|domain| domain.upstream).unwrap_or_default()
            }),
            domain: None,
            bounds: None,
            plane,
            tenant,
            trust_domain,
            records,
        }
    }

    /// Works out all that is due.
    pub(crate) fn work(&mut self) -> Result<(), Refused> {
        for group in self.groups() {
            for _ in 0..MOST_ROUNDS {
                if !self.round(group)? {
                    break;
                }
            }
        }
        let ended = self.records.values().filter(|record| {
            record.state == AuthorityState::Requested && record.not_after < self.now
        });
        for id in ended.map(|record| record.id.clone()).collect::<Vec<_>>() {
            self.forget(Some(&id));
        }
        self.destroy_keys();
        self.sign_due_lists()
    }

    /// The groups that the trust domain has: those that each has, and those for further uses of
    /// which there is an authority.
    fn groups(&self) -> Vec<Group> {
        let mut groups = Group::ALL.to_vec();
        for used_for in AuthorityUse::ALL {
            let group = Group::Intermediate(used_for);
            if !groups.contains(&group) && self.records.values().any(|record| group.has(record)) {
                groups.push(group);
            }
        }
        groups
    }

    /// Destroys the keys of revoked authorities that are kept elsewhere. What fails is tried again.
    fn destroy_keys(&mut self) {
        let revoked = self.records.values().filter(|record| {
            record.state == AuthorityState::Revoked && record.key_address.is_some()
        });
        for record in revoked.cloned().collect::<Vec<_>>() {
            let address = record.key_address.as_deref().unwrap_or_default();
            match self.tenant.keys.destroy(address) {
                Ok(()) => self.put(AuthorityRecord {
                    key_address: None,
                    ..record
                }),
                Err(error) => tracing::error!(
                    tenant = %self.tenant.id(), authority = %record.id, %error,
                    "the key of a revoked authority could not be destroyed; it is tried again"
                ),
            }
        }
    }

    /// A key was made at this address, which is destroyed again unless the change is stored.
    pub(crate) fn made(&mut self, address: String) {
        self.made.push(address);
    }

    /// The authorities that have changed so far.
    pub(crate) fn changed_records(&self) -> BTreeSet<AuthorityId> {
        self.changes.keys().cloned().collect()
    }

    /// The changes so far; none are left.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let changes = std::mem::take(&mut self.changes).into_values();
        self.domain.take().into_iter().chain(changes).collect()
    }

    /// Taints those of the authorities that can be, and has others sign with the same change: at no
    /// moment is there none that signs.
    fn taint_all(mut self, records: Vec<AuthorityRecord>) -> Result<(), Refused> {
        for record in records {
            if let Ok(life) = life_of(&record)?.taint(record.id.as_str()) {
                self.put(in_state(&record, life.state(), self.now)?);
            }
        }
        self.work()?;
        self.store()
    }

    /// Stores what was worked out, if no authority has changed meanwhile. Otherwise the keys that were
    /// made for it are destroyed.
    pub(crate) fn store(mut self) -> Result<(), Refused> {
        let changes = self.take_changes();
        let stored = self
            .plane
            .apply_to_authorities(self.tenant, self.known, &changes);
        match stored {
            Ok(_) => {
                report(self.tenant, &changes);
                Ok(())
            }
            Err(refused) => {
                // After a fault the change may have been stored, and then the keys are in use.
                if matches!(refused, Refused::Reason(_)) {
                    discard(self.tenant, &self.made);
                }
                Err(refused)
            }
        }
    }

    /// Does what is due for one group; whether there was anything to do.
    fn round(&mut self, group: Group) -> Result<bool, Refused> {
        let of_group = self.records.values().filter(|record| group.has(record));
        let ids: Vec<AuthorityId> = of_group.map(|record| record.id.clone()).collect();
        let lives = ids
            .iter()
            .filter_map(|id| self.records.get(id))
            .map(life_of)
            .collect::<Result<Vec<LifeCycle>, Fault>>()?;
        let mut steps = self.allowed(group, &ids, due(&lives, self.now))?;
        if !group.has_own_successors(self.upstream) && !self.is_needed_below(group) {
            steps.retain(|step| !matches!(step, Step::Prepare));
        }
        if group == Group::Intermediate(AuthorityUse::Services) && steps.is_empty() {
            steps = self.after_a_new_root(&ids)?;
        }
        for step in &steps {
            match step {
                Step::Activate(place) => self.step(ids.get(*place), LifeCycle::activate)?,
                Step::Retire(place) => self.step(ids.get(*place), LifeCycle::retire)?,
                Step::Forget(place) => self.forget(ids.get(*place)),
                Step::Prepare => self.prepare(group)?,
            }
        }
        Ok(!steps.is_empty())
    }

    /// Whether intermediates that are always ours need a root of ours.
    fn is_needed_below(&self, group: Group) -> bool {
        group == Group::Root
            && self.records.values().any(|record| {
                matches!(Group::of(record), Some(Group::Intermediate(used)) if used != AuthorityUse::Services)
            })
    }

    /// What is due where the root that signs now is not that of the intermediate that does: another
    /// intermediate, below that root.
    fn after_a_new_root(&self, ids: &[AuthorityId]) -> Result<Vec<Step>, Refused> {
        let group = Group::Intermediate(AuthorityUse::Services);
        if self.upstream == Upstream::Elsewhere || !self.has(group, State::Active) {
            return Ok(Vec::new());
        }
        let root = self.signing_root()?;
        let place = |state: AuthorityState, is_below: bool| {
            ids.iter().position(|id| {
                self.records.get(id).is_some_and(|record| {
                    let ends_there = record
                        .certificates
                        .last()
                        .is_some_and(|last| last == root.certificate().der());
                    record.state == state && ends_there == is_below
                })
            })
        };
        let Some(active) = place(AuthorityState::Active, false) else {
            return Ok(Vec::new());
        };
        Ok(match place(AuthorityState::Prepared, true) {
            None => vec![Step::Prepare],
            Some(successor) => {
                let steps = vec![Step::Activate(successor), Step::Retire(active)];
                self.allowed(group, ids, steps)?
            }
        })
    }

    /// Leaves out the handing over to a successor that someone has not heard of yet: they would be
    /// given what they could not check. Where none signs there is nothing to wait for.
    fn allowed(
        &self,
        group: Group,
        ids: &[AuthorityId],
        steps: Vec<Step>,
    ) -> Result<Vec<Step>, Fault> {
        let successor = steps.iter().find_map(|step| match step {
            Step::Activate(place) => ids.get(*place),
            Step::Forget(_) | Step::Prepare | Step::Retire(_) => None,
        });
        let Some(successor) = successor else {
            return Ok(steps);
        };
        if !self.has(group, State::Active) {
            return Ok(steps);
        }
        // Who read and followed before this start is not known until they have come back.
        if !self.plane.is_settling() && self.is_known(successor)? {
            return Ok(steps);
        }
        let keeps = |step: &Step| matches!(step, Step::Forget(_) | Step::Prepare);
        Ok(steps.into_iter().filter(keeps).collect())
    }

    /// Whether everyone who should has heard of an authority: the nodes, and those who read what is
    /// published as they are asked to.
    fn is_known(&self, successor: &AuthorityId) -> Result<bool, Fault> {
        let published = self.tenant.held().published.get(successor).copied();
        let (Some(published), Some(record)) = (published, self.records.get(successor)) else {
            // It was prepared a moment ago; it is published when this is stored.
            return Ok(false);
        };
        let nodes = self.plane.behind(self.tenant, published)?.len();
        let plane = self.plane;
        let readers = plane.readers_to_wait_for(self.tenant, record, published);
        if nodes + readers == 0 {
            return Ok(true);
        }
        tracing::warn!(
            tenant = %self.tenant.id(), authority = %successor, nodes, readers,
            "a successor waits for those who do not know it yet"
        );
        Ok(false)
    }

    pub(crate) fn has(&self, group: Group, state: State) -> bool {
        let mut of_group = self.records.values().filter(|record| group.has(record));
        of_group.any(|record| record.state.name() == state.name() && self.now <= record.not_after)
    }

    fn step(
        &mut self,
        id: Option<&AuthorityId>,
        step: fn(LifeCycle, &str) -> Result<LifeCycle, Reason>,
    ) -> Result<(), Refused> {
        let Some(record) = id.and_then(|id| self.records.get(id)) else {
            return Ok(());
        };
        let life = step(life_of(record)?, record.id.as_str())?;
        let record = in_state(record, life.state(), self.now)?;
        self.put(record);
        Ok(())
    }

    /// The authority above another, as long as it is believed.
    fn issuer_of(&self, record: &AuthorityRecord) -> Option<&AuthorityRecord> {
        let above = record.certificates.get(1)?;
        self.records.values().find(|one| {
            one.certificates.first() == Some(above) && one.state != AuthorityState::Revoked
        })
    }

    /// Refuses a revocation that no list could tell, because the one above may sign none.
    fn check_revocation_is_told(&self, record: &AuthorityRecord) -> Result<(), Reason> {
        match self.issuer_of(record) {
            Some(issuer) if !authority_record::may_sign_lists(issuer) => {
                Err(Reason::IssueRevocationUntold {
                    authority: record.id.to_string(),
                    issuer: issuer.id.to_string(),
                    not_after: record.not_after,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Revokes an authority; the list of the one above it names it from now on.
    fn revoke(&mut self, record: &AuthorityRecord, state: State) -> Result<(), Refused> {
        self.put(in_state(record, state, self.now)?);
        let issuer = self.issuer_of(record);
        if let (Some(issuer), Some(own)) = (issuer.cloned(), record.certificates.first()) {
            let revoked = RevokedCertificate {
                serial: authority_record::serial_of(own)?,
                at: self.now,
                reason: CA_COMPROMISE,
                not_after: record.not_after,
            };
            self.put(with_revoked(issuer, [revoked]));
        }
        Ok(())
    }

    fn forget(&mut self, id: Option<&AuthorityId>) {
        if let Some(id) = id {
            let record = self.records.remove(id);
            // It has ended, so nothing is lost if the change is not stored.
            if let Some(address) = record.and_then(|record| record.key_address) {
                discard(self.tenant, &[address]);
            }
            let gone = Change::Remove(Key::Authority(id.clone()));
            self.changes.insert(id.clone(), gone);
        }
    }

    pub(crate) fn put(&mut self, record: AuthorityRecord) {
        self.changes.insert(record.id.clone(), put(record.clone()));
        self.records.insert(record.id.clone(), record);
    }

    pub(crate) fn prepare(&mut self, group: Group) -> Result<(), Refused> {
        let record = match group {
            Group::Root => self.new_x509(AuthorityRole::Root, AuthorityUse::Services)?,
            Group::Intermediate(used_for) => {
                self.new_x509(AuthorityRole::Intermediate, used_for)?
            }
            Group::Jwt => self.new_token(TokenKind::Jwt)?,
            Group::Wit => self.new_token(TokenKind::Wit)?,
        };
        self.put(record);
        Ok(())
    }

    /// A new key, which is destroyed again unless the change is stored.
    pub(crate) fn new_key(
        &mut self,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        let key = self.tenant.keys.generate(self.tenant.id(), name)?;
        if let Kept::Elsewhere(address) = &key.kept {
            self.made.push(address.clone());
        }
        Ok(key)
    }

    fn new_x509(
        &mut self,
        role: AuthorityRole,
        used_for: AuthorityUse,
    ) -> Result<AuthorityRecord, Refused> {
        let key = self.new_key(&x509_name)?;
        let lifetimes = self.plane.settings.authorities;
        let plan = AuthorityPlan {
            lifetime: match role {
                AuthorityRole::Root => lifetimes.root,
                AuthorityRole::Intermediate => lifetimes.intermediate,
            },
            ..self.plan_of(used_for)
        };
        let signer = Arc::clone(&key.signer);
        let random = &self.plane.random;
        let prepared = match role {
            AuthorityRole::Root => plan.prepare_root(signer, self.now, random)?,
            AuthorityRole::Intermediate => {
                let root = self.signing_root()?;
                plan.prepare_intermediate(&root, signer, self.now, random)?
            }
        };
        let authority = issue_one(prepared, &StoreLog::of(self.plane, self.tenant))?;
        let place = |id: &AuthorityId| self.tenant.keys.place(id, &key.kept);
        let record = authority_record::of_x509(&authority, role, used_for, place, self.now)?;
        Ok(record)
    }

    /// What a new authority for this use is to be like: as its predecessor, where there is one.
    fn plan_of(&self, used_for: AuthorityUse) -> AuthorityPlan {
        let bounds = self.bounds.clone().unwrap_or_else(|| {
            let last = self.records.values().filter(|record| {
                Group::Intermediate(used_for).has(record)
                    && record.state != AuthorityState::Requested
            });
            let last = last.max_by_key(|record| record.not_before);
            last.map(authority_record::name_bounds).unwrap_or_default()
        });
        AuthorityPlan {
            tenant: self.tenant.id().clone(),
            trust_domain: self.trust_domain.clone(),
            lifetime: self.plane.settings.authorities.intermediate,
            constrain_names: bounds.ids,
            permit_dns: bounds.dns,
            used_for: authority_record::use_of(used_for),
        }
    }

    fn new_token(&mut self, kind: TokenKind) -> Result<AuthorityRecord, Refused> {
        let key = self.new_key(&token_name)?;
        let lifetime = i64::from(self.plane.settings.authorities.token);
        let authority = TokenAuthority::open(
            self.tenant.id().clone(),
            self.trust_domain.clone(),
            kind,
            Arc::clone(&key.signer),
            LifeCycle::prepared(self.now, self.now.plus(lifetime)),
        )?;
        let place = |id: &AuthorityId| self.tenant.keys.place(id, &key.kept);
        let record = authority_record::of_token(&authority, place, self.now)?;
        Ok(record)
    }

    pub(crate) fn signing_root(&self) -> Result<Arc<X509Authority>, Refused> {
        let roots = self.records.values().filter(|record| {
            Group::Root.has(record)
                && record.state == AuthorityState::Active
                && self.now <= record.not_after
        });
        let Some(root) = roots.max_by_key(|record| record.not_after) else {
            return Err(Fault::Bug("there is no root to sign with".to_owned()).into());
        };
        match authority_record::open(self.tenant.id(), &self.tenant.keys, root)? {
            Some(Opened::X509(root)) => Ok(root),
            Some(Opened::Token(_)) | None => {
                Err(Fault::Stored(format!("the root {} has no key", root.id)).into())
            }
        }
    }
}

pub(crate) fn authority(tenant: &Tenant, id: &str) -> Result<AuthorityRecord, Refused> {
    let found = AuthorityId::parse(id)
        .and_then(|id| tenant.read(|snapshot| snapshot.authorities.get(&id).cloned()));
    found.ok_or_else(|| {
        Reason::IssueObjectUnknown {
            object: "authority",
            name: id.chars().take(128).collect(),
        }
        .into()
    })
}

/// The intermediates that a root has signed.
fn signed_by(tenant: &Tenant, root: &AuthorityRecord) -> Vec<AuthorityRecord> {
    let Some(own) = root.certificates.first() else {
        return Vec::new();
    };
    tenant.read(|snapshot| {
        let all = snapshot.authorities.values();
        all.filter(|record| record.id != root.id && record.certificates.last() == Some(own))
            .cloned()
            .collect()
    })
}

fn put(record: AuthorityRecord) -> Change {
    Change::Put(Object::Authority(record))
}

fn report(tenant: &Tenant, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put(Object::Authority(record)) => tracing::info!(
                tenant = %tenant.id(), trust_domain = %record.trust_domain,
                authority = %record.id, kind = record.kind.name(), role = record.role.name(),
                state = record.state.name(), "an authority has changed"
            ),
            Change::Remove(Key::Authority(id)) => {
                tracing::info!(tenant = %tenant.id(), authority = %id, "an authority has expired");
            }
            Change::Put(_) | Change::Remove(_) => {}
        }
    }
}
