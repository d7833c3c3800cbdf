//! Opening tenants: all of one is read when it is needed first, by one, and is followed from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_store::{Change, Key, Object, Sequence};

use super::{KnownTenant, OPERATOR, Plane};
use crate::dry_run;
use crate::fault::{Fault, Refused};
use crate::keys::Keys;
use crate::reach::Concerned;
use crate::tenant::Tenant;

/// How often a tenant is read anew because the store was put back meanwhile.
const MOST_ATTEMPTS: usize = 8;

impl Plane {
    /// A tenant by its name, opened now if it is not yet.
    ///
    /// # Errors
    ///
    /// What of it cannot be read; other tenants do not depend on that.
    pub fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>, Fault> {
        // Another may have the name of one that is found to be gone.
        for _ in 0..MOST_ATTEMPTS {
            let Some(known) = self.known(id) else {
                break;
            };
            if let Some(tenant) = self.open_known(&known)? {
                return Ok(Some(tenant));
            }
        }
        Ok(None)
    }

    /// A tenant by what may be its name, likewise.
    ///
    /// # Errors
    ///
    /// As [`Plane::tenant`].
    pub fn tenant_named(&self, name: &str) -> Result<Option<Arc<Tenant>>, Fault> {
        match TenantId::parse(name) {
            Some(id) => self.tenant(&id),
            None => Ok(None),
        }
    }

    /// Whose a trust domain is, likewise.
    ///
    /// # Errors
    ///
    /// As [`Plane::tenant`].
    pub fn owner_of(&self, trust_domain: &TrustDomain) -> Result<Option<Arc<Tenant>>, Fault> {
        let owner = self.tenants().by_domain.get(trust_domain).cloned();
        let Some(owner) = owner else {
            return Ok(None);
        };
        let tenant = self.tenant(&owner)?;
        // What was noted before it was opened may be over.
        let has = |one: &Arc<Tenant>| {
            one.read(|snapshot| snapshot.trust_domains.contains_key(trust_domain))
        };
        Ok(tenant.filter(has))
    }

    /// The tenant and all below it, by name, opened now.
    ///
    /// # Errors
    ///
    /// What of one cannot be read: none is left out but those that are gone.
    pub fn with_all_below(&self, top: &TenantId) -> Result<Vec<Arc<Tenant>>, Fault> {
        let all = self.known_below(top);
        let opened = all.iter().map(|known| self.open_known(known));
        opened.filter_map(Result::transpose).collect()
    }

    /// Those of these that nodes are told of: all that are open, all of which a node holds something,
    /// and all that have registration entries. What of one cannot be read is told in the log, and keeps
    /// the others from nothing: nodes hold on to what they have of it.
    pub(crate) fn open_for_nodes(
        &self,
        mut all: Vec<Arc<KnownTenant>>,
        held: &BTreeSet<TenantId>,
    ) -> Vec<Arc<Tenant>> {
        all.retain(|known| {
            known.opened().is_some()
                || held.contains(known.id())
                || self.sketch(known).is_ok_and(|sketch| sketch.has_entries)
        });
        let opened = all.into_iter().map(|known| self.open_known(&known));
        opened.filter_map(|opened| opened.ok().flatten()).collect()
    }

    /// Opens a tenant; `None` if it is gone. One does it, and whoever else needs it waits for that;
    /// who needs another waits for nobody.
    pub(crate) fn open_known(
        &self,
        known: &Arc<KnownTenant>,
    ) -> Result<Option<Arc<Tenant>>, Fault> {
        if let Some(tenant) = known.opened() {
            return Ok(Some(tenant));
        }
        known.check_not_damaged(self.now())?;
        // Whoever has an open tenant finds all above it open, too.
        if let Some(parent) = known.parent()
            && self.tenant(parent)?.is_none()
        {
            return Ok(None);
        }
        let turn = known.turn();
        if let Some(tenant) = known.opened() {
            return Ok(Some(tenant));
        }
        // Whoever had the turn before has found out.
        known.check_not_damaged(self.now())?;
        for _ in 0..MOST_ATTEMPTS {
            let anew = self.tenants().anew;
            let Some(tenant) = self.read(known)? else {
                drop(turn);
                self.forget_gone()?;
                return Ok(None);
            };
            if !self.take_up(known, &tenant, anew) {
                continue;
            }
            drop(turn);
            // What was due while nobody looked is done before anyone meets it, whatever they want.
            if let Err(error) = dry_run::suspended(|| self.tend_if_fit(&tenant)) {
                tracing::error!(tenant = %known.id(), %error, "authorities could not be tended");
            }
            self.tell(&tenant, &Concerned::everyone());
            return Ok(Some(tenant));
        }
        let why = "the store is put back again and again".to_owned();
        Err(avouch_store::Fault::Busy(why).into())
    }

    /// Lets others see what was read, with all that was seen to have changed since; not if the store
    /// was put back since `anew`.
    pub(super) fn take_up(&self, known: &KnownTenant, tenant: &Arc<Tenant>, anew: u64) -> bool {
        let Some(seen) = self.publish(known, tenant, anew) else {
            return false;
        };
        self.note_domains(tenant);
        if seen > tenant.read(|snapshot| snapshot.sequence)
            && let Err(error) = self.follow_to_store(tenant)
        {
            tracing::error!(tenant = %known.id(), %error, "the tenant cannot be followed");
        }
        true
    }

    /// Lets others see what was read, unless the store was put back since `anew`. The number of the
    /// last change that was seen meanwhile.
    fn publish(&self, known: &KnownTenant, tenant: &Arc<Tenant>, anew: u64) -> Option<Sequence> {
        let tenants = self.tenants();
        (tenants.anew == anew).then(|| known.publish(tenant))
    }

    /// Reads all of a tenant; `None` if it is gone, also where another has its name. What cannot be
    /// read is told in the log when that is news.
    pub(crate) fn read(&self, known: &KnownTenant) -> Result<Option<Arc<Tenant>>, Fault> {
        let (read, id) = (self.read_all(known), known.id());
        match &read {
            Ok(_) if known.note_sound() => {
                tracing::info!(tenant = %id, "the tenant can be read again")
            }
            Err(error) if error.is_damage() && known.note_damage(error, self.now()) => {
                tracing::error!(tenant = %id, %error, "the tenant cannot be read");
            }
            Ok(_) | Err(_) => {}
        }
        read
    }

    fn read_all(&self, known: &KnownTenant) -> Result<Option<Arc<Tenant>>, Fault> {
        let record = known.record();
        let key = self.root_key.unwrap(&record.id, &record.key)?;
        let snapshot = self.store.load(&record.id)?;
        // Afterwards, so that what was read is of this one if it is still there.
        let there = self.store.tenant(&OPERATOR, &record.id)?;
        if !there.is_some_and(|there| known.is(&there)) {
            return Ok(None);
        }
        // Unless another server was faster, nothing has changed since the numbers were raised.
        let raised = known
            .raised()
            .filter(|raised| raised.from < raised.to && raised.to == snapshot.sequence);
        let before = raised.map(|raised| raised.from);
        let keys = Keys::of(key, Arc::clone(&self.settings.keys));
        let tenant = Tenant::open(record.clone(), keys, snapshot, before)?;
        Ok(Some(Arc::new(tenant)))
    }

    /// Does something for a tenant that nobody has needed yet, and lets it go again. Who needs it
    /// meanwhile waits.
    pub(crate) fn with_passing(
        &self,
        known: &Arc<KnownTenant>,
        work: impl FnOnce(&Arc<Tenant>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if let Some(parent) = known.parent() {
            match self.tenant(parent) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                // That is told of the one above.
                Err(error) if error.is_damage() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let turn = known.turn();
        if let Some(tenant) = known.opened() {
            drop(turn);
            return work(&tenant);
        }
        let Some(tenant) = self.read(known)? else {
            drop(turn);
            return Ok(self.forget_gone()?);
        };
        let done = work(&tenant);
        // What others have changed is news all the same.
        known.saw(tenant.read(|snapshot| snapshot.sequence));
        done
    }

    /// One object of a tenant of which others may not be readable, and the number of the last change of
    /// that tenant.
    pub(crate) fn stored_object(
        &self,
        known: &KnownTenant,
        key: &Key,
    ) -> Result<Option<(Sequence, Object)>, Fault> {
        let found = self.store.object(known.id(), key)?;
        // Afterwards, as where all of it is read.
        let there = self.store.tenant(&OPERATOR, known.id())?;
        Ok(found.filter(|_| there.is_some_and(|there| known.is(&there))))
    }

    /// Changes a tenant of which something cannot be read, if nothing has changed since `at`.
    pub(crate) fn apply_unread(
        &self,
        known: &KnownTenant,
        at: Sequence,
        changes: &[Change],
    ) -> Result<(), Refused> {
        let head = self.store.apply_at(known.id(), at, changes)?;
        // That it cannot be read is known.
        Ok(self.follow_heads([(known.id().clone(), head)].into())?)
    }
}
