//! Keeps the authorities of every trust domain alive: prepares successors, activates them once
//! everyone knows them, retires those before them, forgets what has expired.
//!
//! What is due is a pure function of dates ([`avouch_issuer::life_cycle::due`]); here it is carried
//! out. All that is due for a tenant becomes one change, which is stored only if nothing else has
//! changed meanwhile, so that of several servers that see the same one acts.

mod group;
mod making;
mod rounds;
mod waking;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::life_cycle::State;
use avouch_store::{
    AuthorityId, AuthorityRecord, AuthorityState, Change, Key, Object, RevokedCertificate,
    Sequence, Upstream,
};

use crate::authority_record::{self, NameBounds, in_state, life_of, with_revoked};
use crate::fault::{Refused, unknown};
use crate::plane::{KnownTenant, Plane};
use crate::tenant::Tenant;
pub(crate) use group::Group;
pub(crate) use making::x509_name;
pub(crate) use waking::wakes_at;

/// `cACompromise` (RFC 5280 5.3.1): an authority is revoked only after it was tainted.
const CA_COMPROMISE: u8 = 2;

/// How often a plan is made anew because something else has changed meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// How long a tenant that nobody has opened is left alone after it was tended, at most, in seconds.
const LONGEST_WAIT: u32 = 300;

impl Plane {
    /// Does what is due for all tenants. A tenant for which it fails does not keep the others from
    /// it.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub fn tend_all(&self) -> Result<(), Refused> {
        let mut first = Ok(());
        for known in self.all_known() {
            let tended = match known.opened() {
                Some(tenant) => self.tend_if_fit(&tenant),
                None => self.tend_unopened(&known),
            };
            if let Err(error) = tended {
                tracing::error!(tenant = %known.id(), %error, "authorities could not be tended");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Does what is due for a tenant, unless it is not acted for: that is told once, when it is found
    /// out, and tried again here.
    pub(crate) fn tend_if_fit(&self, tenant: &Arc<Tenant>) -> Result<(), Refused> {
        if tenant.is_behind()
            && let Err(error) = self.follow_to_store(tenant)
            && !error.is_damage()
        {
            return Err(error.into());
        }
        match self.fit(tenant) {
            Ok(()) => self.tend(tenant),
            Err(_) => Ok(()),
        }
    }

    /// Opens a tenant that could not be read, if it can be by now.
    fn open_if_mended(&self, known: &Arc<KnownTenant>) -> Result<(), Refused> {
        match self.open_known(known) {
            Err(error) if !error.is_damage() => Err(error.into()),
            // What is due was done with that, and what is damaged still is told already.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Does what is due for a tenant that nobody has needed yet, and opens one that works by itself.
    fn tend_unopened(&self, known: &Arc<KnownTenant>) -> Result<(), Refused> {
        if known.is_damaged() {
            return self.open_if_mended(known);
        }
        let sketch = self.sketch(known)?;
        if sketch.works_by_itself {
            return match self.open_known(known)? {
                Some(tenant) => self.tend(&tenant),
                None => Ok(()),
            };
        }
        // What waits for someone stays due, and all of the tenant is read to find that out.
        let lifetimes = &self.settings.authorities;
        let shortest = lifetimes.root.min(lifetimes.intermediate);
        let again = (shortest.min(lifetimes.token) / 100).clamp(1, LONGEST_WAIT);
        let now = self.now();
        if now < sketch.wakes_at || !known.begin_tending(now, again) {
            return Ok(());
        }
        self.with_passing(known, |tenant| self.tend(tenant))
    }

    /// Does what is due for the authorities of one tenant.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn tend(&self, tenant: &Arc<Tenant>) -> Result<(), Refused> {
        let detail = "the tenant changes too fast".to_owned();
        let mut conflict = Refused::from(Reason::IssueConflict { detail });
        for _ in 0..MOST_ATTEMPTS {
            let mut failed = Ok(());
            let (at, domains) = tenant.read(|snapshot| {
                let domains: Vec<TrustDomain> = snapshot.trust_domains.keys().cloned().collect();
                (snapshot.sequence, domains)
            });
            let mut changes = Vec::new();
            let mut made = Vec::new();
            for domain in domains {
                let mut draft = Draft::of(self, tenant, domain);
                // What is damaged of one trust domain is no matter of the others.
                if let Err(refused) = draft.work() {
                    discard(tenant, &draft.made);
                    failed = failed.and(Err(refused));
                    continue;
                }
                made.append(&mut draft.made);
                changes.extend(draft.take_changes());
            }
            if changes.is_empty() {
                return failed;
            }
            match self.apply_at(tenant, at, &changes) {
                Ok(_) => {
                    report(tenant, &changes);
                    return failed;
                }
                Err(refused @ Refused::Reason(_)) => {
                    discard(tenant, &made);
                    // What is refused for another reason is refused again, and its keys made for nothing.
                    if !refused.is_conflict() {
                        return Err(refused);
                    }
                    conflict = refused;
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(conflict)
    }

    /// Lets an authority sign no more and has all that it signed replaced at once: it may be in the
    /// wrong hands. What a root signed goes with it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.authority_state`; `issue.authority_no_successor` where nothing would
    /// sign in its place, unless `anyway`; or what failed on our side.
    pub fn taint(&self, tenant: &Arc<Tenant>, id: &str, anyway: bool) -> Result<(), Refused> {
        unless_moved(|| {
            let trust_domain = authority(tenant, id)?.trust_domain;
            // What is read after the draft is as the draft has it, or the draft is not stored.
            let draft = Draft::of(self, tenant, trust_domain);
            let record = authority(tenant, id)?;
            life_of(&record)?.taint(id)?;
            let mut tainted = signed_by(tenant, &record);
            tainted.push(record);
            draft.taint_all(tainted, anyway)
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
    /// its time; it signs when its predecessor is tainted or ends. What a root elsewhere signs is brought;
    /// below our own root, if it still is there, one is prepared that signs when nothing else does.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn prepare(&self, tenant: &Arc<Tenant>, trust_domain: &TrustDomain) -> Result<(), Refused> {
        unless_moved(|| {
            let mut draft = Draft::of(self, tenant, trust_domain.clone());
            for group in draft.groups() {
                let is_made = draft.makes_successors(group) || draft.has_way_back(group);
                if is_made && !draft.has(group, State::Prepared) {
                    draft.prepare(group)?;
                }
            }
            draft.sign_due_lists()?;
            draft.store()
        })
    }

    /// Replaces every key of a trust domain, as if all of them were in the wrong hands. What was brought from
    /// a root elsewhere to follow signs then.
    ///
    /// # Errors
    ///
    /// `issue.authority_no_successor` where nothing would sign in the place of one, unless `anyway`; or what
    /// failed on our side.
    pub fn replace_all(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        anyway: bool,
    ) -> Result<(), Refused> {
        unless_moved(|| {
            let draft = Draft::of(self, tenant, trust_domain.clone());
            // What was brought to follow is all that can, and has signed nothing yet.
            let is_brought = |record: &AuthorityRecord| {
                record.state == AuthorityState::Prepared
                    && Group::of(record).is_some_and(|group| !draft.makes_successors(group))
            };
            let records = draft.records.values();
            let records = records.filter(|record| !is_brought(record)).cloned();
            let records = records.collect();
            draft.taint_all(records, anyway)
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
    /// moment is there none that signs, unless `anyway`.
    fn taint_all(mut self, records: Vec<AuthorityRecord>, anyway: bool) -> Result<(), Refused> {
        // Where nothing signs just now, what could is as good.
        let could_sign = |record: &&AuthorityRecord| {
            Group::Root.has(record) && record.state == AuthorityState::Active
        };
        let root = self.records.values().find(could_sign);
        let root = root.map(|record| record.id.clone());
        let signed = self.signing_services().or(root);
        for record in records {
            if let Ok(life) = life_of(&record)?.taint(record.id.as_str()) {
                self.put(in_state(&record, life.state(), self.now)?);
            }
        }
        self.work()?;
        if let (Some(last), None, false) = (signed, self.signing_services(), anyway) {
            discard(self.tenant, &self.made);
            return Err(Reason::IssueAuthorityNoSuccessor {
                authority: last.to_string(),
                trust_domain: self.trust_domain.to_string(),
            }
            .into());
        }
        self.store()
    }

    /// The authority that signs X.509-SVIDs, if one does.
    fn signing_services(&self) -> Option<AuthorityId> {
        let mut records = self.records.values();
        let signs = |record: &&AuthorityRecord| {
            Group::SERVICES.has(record) && record.state == AuthorityState::Active
        };
        records.find(signs).map(|record| record.id.clone())
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
            if let Some(address) = record.as_ref().and_then(|record| record.own_key_address()) {
                discard(self.tenant, &[address.to_owned()]);
            }
            let gone = Change::Remove(Key::Authority(id.clone()));
            self.changes.insert(id.clone(), gone);
        }
    }

    pub(crate) fn put(&mut self, record: AuthorityRecord) {
        self.changes.insert(record.id.clone(), put(record.clone()));
        self.records.insert(record.id.clone(), record);
    }
}

pub(crate) fn authority(tenant: &Tenant, id: &str) -> Result<AuthorityRecord, Refused> {
    let found = AuthorityId::parse(id)
        .and_then(|id| tenant.read(|snapshot| snapshot.authorities.get(&id).cloned()));
    found.ok_or_else(|| unknown("authority", id).into())
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
