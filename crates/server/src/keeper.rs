//! Keeps the authorities of every trust domain alive: prepares successors, activates them once
//! everyone knows them, retires those before them, forgets what has expired.
//!
//! What is due is a pure function of dates ([`due`]); here it is carried out. All that is due for a
//! tenant becomes one change, which is stored only if nothing else has changed meanwhile, so that
//! of several servers that see the same one acts.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::authority::{AuthorityPlan, X509Authority};
use avouch_issuer::life_cycle::{LifeCycle, State, Step, due};
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::{TokenAuthority, TokenKind};
use avouch_store::{
    AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, Change, Key, Object,
};

use crate::authority_record::{self, NewKey, Opened, in_state, life_of};
use crate::fault::{Fault, Refused};
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How often a plan is made anew because something else has changed meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// How often what is due is asked for one group of authorities; three rounds make a new one sign.
const MOST_ROUNDS: usize = 8;

/// Authorities of which one signs at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// They sign intermediates. The first, since the second needs one of them.
    Root,
    /// They sign X.509-SVIDs.
    Intermediate,
    Jwt,
    Wit,
}

impl Group {
    const ALL: [Self; 4] = [Self::Root, Self::Intermediate, Self::Jwt, Self::Wit];

    fn has(self, record: &AuthorityRecord) -> bool {
        let own = match (record.kind, record.role) {
            (AuthorityKind::X509, AuthorityRole::Root) => Self::Root,
            (AuthorityKind::X509, AuthorityRole::Intermediate) => Self::Intermediate,
            (AuthorityKind::Jwt, AuthorityRole::Root | AuthorityRole::Intermediate) => Self::Jwt,
            (AuthorityKind::Wit, AuthorityRole::Root | AuthorityRole::Intermediate) => Self::Wit,
        };
        own == self
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
            for domain in domains {
                changes.extend(Draft::of(self, tenant, domain).work()?);
            }
            if changes.is_empty() {
                return Ok(());
            }
            match self.apply_at(tenant, at, &changes) {
                Ok(_) => {
                    report(tenant, &changes);
                    return Ok(());
                }
                Err(Refused::Reason(reason)) => conflict = Some(reason),
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
        let record = authority(tenant, id)?;
        life_of(&record)?.taint(id)?;
        let mut tainted = signed_by(tenant, &record);
        let trust_domain = record.trust_domain.clone();
        tainted.push(record);
        self.taint_all(tenant, trust_domain, tainted)
    }

    /// Takes a tainted authority out of the bundle: what it signed is believed no more. Its key is
    /// destroyed.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.authority_state`; `issue.conflict` while nodes still hold
    /// what it signed, unless `anyway`; or what failed on our side.
    pub fn revoke(&self, tenant: &Arc<Tenant>, id: &str, anyway: bool) -> Result<(), Refused> {
        let now = self.now();
        let record = authority(tenant, id)?;
        let life = life_of(&record)?.revoke(id)?;
        let behind = self.behind(tenant, tenant.read(|snapshot| snapshot.sequence));
        if !behind.is_empty() && !anyway {
            let nodes: Vec<&str> = behind.iter().map(|node| node.as_str()).take(5).collect();
            return Err(Reason::IssueConflict {
                detail: format!(
                    "{} nodes may still hold what the authority signed, such as {}",
                    behind.len(),
                    nodes.join(", ")
                ),
            }
            .into());
        }
        let mut changes = vec![put(in_state(&record, life.state(), now)?)];
        for below in signed_by(tenant, &record) {
            if let Ok(life) = life_of(&below)?.revoke(below.id.as_str()) {
                changes.push(put(in_state(&below, life.state(), now)?));
            }
        }
        self.apply(tenant, &changes)?;
        report(tenant, &changes);
        Ok(())
    }

    /// Prepares a successor for each authority of a trust domain that signs, without waiting for
    /// its time; it signs when its predecessor is tainted or ends.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn prepare(&self, tenant: &Arc<Tenant>, trust_domain: &TrustDomain) -> Result<(), Refused> {
        let mut draft = Draft::of(self, tenant, trust_domain.clone());
        for group in Group::ALL {
            if !draft.has(group, State::Prepared) {
                draft.prepare(group)?;
            }
        }
        let changes = draft.into_changes();
        self.apply(tenant, &changes)?;
        report(tenant, &changes);
        Ok(())
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
        let records: Vec<AuthorityRecord> = tenant.read(|snapshot| {
            let all = snapshot.authorities.values();
            all.filter(|record| record.trust_domain == *trust_domain)
                .cloned()
                .collect()
        });
        self.taint_all(tenant, trust_domain.clone(), records)
    }

    /// Taints those of the authorities that can be, and has others sign with the same change: at no
    /// moment is there none that signs.
    fn taint_all(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: TrustDomain,
        records: Vec<AuthorityRecord>,
    ) -> Result<(), Refused> {
        let mut draft = Draft::of(self, tenant, trust_domain);
        for record in records {
            if let Ok(life) = life_of(&record)?.taint(record.id.as_str()) {
                draft.put(in_state(&record, life.state(), draft.now)?);
            }
        }
        let changes = draft.work()?;
        self.apply(tenant, &changes)?;
        report(tenant, &changes);
        Ok(())
    }
}

/// The authorities of one trust domain while what is due is worked out.
struct Draft<'a> {
    plane: &'a Plane,
    tenant: &'a Arc<Tenant>,
    trust_domain: TrustDomain,
    now: Time,
    records: BTreeMap<AuthorityId, AuthorityRecord>,
    changes: BTreeMap<AuthorityId, Change>,
}

impl<'a> Draft<'a> {
    fn of(plane: &'a Plane, tenant: &'a Arc<Tenant>, trust_domain: TrustDomain) -> Self {
        let records = tenant.read(|snapshot| {
            let all = snapshot.authorities.iter();
            all.filter(|(_, record)| record.trust_domain == trust_domain)
                .map(|(id, record)| (id.clone(), record.clone()))
                .collect()
        });
        Self {
            now: plane.now(),
            changes: BTreeMap::new(),
            plane,
            tenant,
            trust_domain,
            records,
        }
    }

    fn work(mut self) -> Result<Vec<Change>, Refused> {
        for group in Group::ALL {
            for _ in 0..MOST_ROUNDS {
                if !self.round(group)? {
                    break;
                }
            }
        }
        Ok(self.into_changes())
    }

    fn into_changes(self) -> Vec<Change> {
        self.changes.into_values().collect()
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
        let steps = self.allowed(group, &ids, due(&lives, self.now));
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

    /// Leaves out the handing over to a successor that some node has not heard of yet: it would be
    /// given what it could not check. Where none signs there is nothing to wait for.
    fn allowed(&self, group: Group, ids: &[AuthorityId], steps: Vec<Step>) -> Vec<Step> {
        let successor = steps.iter().find_map(|step| match step {
            Step::Activate(place) => ids.get(*place),
            Step::Forget(_) | Step::Prepare | Step::Retire(_) => None,
        });
        let Some(successor) = successor else {
            return steps;
        };
        if !self.has(group, State::Active) {
            return steps;
        }
        let published = self.tenant.held().published.get(successor).copied();
        let behind = published.map(|since| self.plane.behind(self.tenant, since));
        match behind {
            Some(behind) if behind.is_empty() => steps,
            Some(behind) => {
                tracing::warn!(
                    tenant = %self.tenant.id(), authority = %successor, nodes = behind.len(),
                    "a successor waits for nodes that do not know it yet"
                );
                let keeps = |step: &Step| matches!(step, Step::Forget(_) | Step::Prepare);
                steps.into_iter().filter(keeps).collect()
            }
            // It was prepared a moment ago; it is published when this is stored.
            None => steps
                .into_iter()
                .filter(|step| matches!(step, Step::Forget(_) | Step::Prepare))
                .collect(),
        }
    }

    fn has(&self, group: Group, state: State) -> bool {
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

    fn forget(&mut self, id: Option<&AuthorityId>) {
        if let Some(id) = id {
            self.records.remove(id);
            let gone = Change::Remove(Key::Authority(id.clone()));
            self.changes.insert(id.clone(), gone);
        }
    }

    fn put(&mut self, record: AuthorityRecord) {
        self.changes.insert(record.id.clone(), put(record.clone()));
        self.records.insert(record.id.clone(), record);
    }

    fn prepare(&mut self, group: Group) -> Result<(), Refused> {
        let key = NewKey::generate()?;
        let record = match group {
            Group::Root => self.new_x509(AuthorityRole::Root, &key)?,
            Group::Intermediate => self.new_x509(AuthorityRole::Intermediate, &key)?,
            Group::Jwt => self.new_token(TokenKind::Jwt, &key)?,
            Group::Wit => self.new_token(TokenKind::Wit, &key)?,
        };
        self.put(record);
        Ok(())
    }

    fn new_x509(&self, role: AuthorityRole, key: &NewKey) -> Result<AuthorityRecord, Refused> {
        let lifetimes = self.plane.settings.authorities;
        let plan = AuthorityPlan {
            tenant: self.tenant.id().clone(),
            trust_domain: self.trust_domain.clone(),
            lifetime: match role {
                AuthorityRole::Root => lifetimes.root,
                AuthorityRole::Intermediate => lifetimes.intermediate,
            },
            constrain_names: false,
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
        let authority = issue_one(prepared, &StoreLog::of(self.plane))?;
        let record =
            authority_record::of_x509(&authority, role, &self.tenant.key, &key.pkcs8, self.now)?;
        Ok(record)
    }

    fn new_token(&self, kind: TokenKind, key: &NewKey) -> Result<AuthorityRecord, Refused> {
        let lifetime = i64::from(self.plane.settings.authorities.token);
        let authority = TokenAuthority::open(
            self.tenant.id().clone(),
            self.trust_domain.clone(),
            kind,
            Arc::clone(&key.signer),
            LifeCycle::prepared(self.now, self.now.plus(lifetime)),
        )?;
        let sealing = &self.tenant.key;
        let record = authority_record::of_token(&authority, sealing, &key.pkcs8, self.now)?;
        Ok(record)
    }

    fn signing_root(&self) -> Result<Arc<X509Authority>, Refused> {
        let roots = self.records.values().filter(|record| {
            Group::Root.has(record)
                && record.state == AuthorityState::Active
                && self.now <= record.not_after
        });
        let Some(root) = roots.max_by_key(|record| record.not_after) else {
            return Err(Fault::Bug("there is no root to sign with".to_owned()).into());
        };
        match authority_record::open(self.tenant.id(), &self.tenant.key, root)? {
            Some(Opened::X509(root)) => Ok(root),
            Some(Opened::Token(_)) | None => {
                Err(Fault::Stored(format!("the root {} has no key", root.id)).into())
            }
        }
    }
}

fn authority(tenant: &Tenant, id: &str) -> Result<AuthorityRecord, Refused> {
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
