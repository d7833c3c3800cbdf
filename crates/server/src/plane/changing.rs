//! How a change becomes durable, and then is seen: stored first, then followed in memory, then told to
//! whoever follows the tenant or one above it.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_store::{Change, Conflict, IntentRow, Sequence, SingleUse, Store, Used};

use super::{KnownTenant, Plane};
use crate::fault::{Fault, Refused};
use crate::issuance_log;
use crate::preconditions;
use crate::reach::Concerned;
use crate::signals;
use crate::tenant::Tenant;

/// How often a change is worked out anew because another server was faster: where several write to one
/// tenant without a pause, one of them may be slower many times over.
const MOST_ATTEMPTS: usize = 512;

impl Plane {
    /// Stores changes, and shows them once they are durable.
    pub(crate) fn apply(
        &self,
        tenant: &Arc<Tenant>,
        changes: &[Change],
    ) -> Result<Sequence, Refused> {
        let changes = signals::with_notices(self, tenant, changes)?;
        // What is expected to be there must be there up to the commit, also on other servers.
        if preconditions::are_asked(tenant, &changes) {
            self.settle(tenant, || Ok(((), changes.to_vec())))?;
            return Ok(tenant.read(|snapshot| snapshot.sequence));
        }
        // Of another that has the name by now nothing is changed.
        let held = tenant.read(|snapshot| snapshot.sequence);
        let stored = |store: &dyn Store| store.apply_held(tenant.id(), held, &changes);
        self.change(tenant, &changes, stored)
    }

    /// Stores changes if nothing has changed since `at`.
    pub(crate) fn apply_at(
        &self,
        tenant: &Arc<Tenant>,
        at: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Refused> {
        let changes = signals::with_notices(self, tenant, changes)?;
        let decisions = issuance_log::decisions(tenant, &changes, self.now())?;
        let within = self.bounds_of(tenant, &changes);
        let stored = |store: &dyn Store| {
            issuance_log::store(store, tenant, at, &changes, &decisions, &within)
        };
        self.change(tenant, &changes, stored)
    }

    /// Uses what may be used once, and says of each whether this was the first time.
    pub(crate) fn use_once(
        &self,
        tenant: &Tenant,
        uses: &[SingleUse],
    ) -> Result<Vec<Used>, avouch_store::Fault> {
        let held = tenant.read(|snapshot| snapshot.sequence);
        self.store.use_and_record_held(tenant.id(), held, uses, &[])
    }

    /// Makes a change that is worked out from what is held, which should be quick. Nothing else of the
    /// tenant is stored from here meanwhile, so only another server can be faster; then it is worked
    /// out anew. Where nothing is to be changed, nothing is.
    pub(crate) fn settle<T>(
        &self,
        tenant: &Arc<Tenant>,
        worked_out: impl FnMut() -> Result<(T, Vec<Change>), Refused>,
    ) -> Result<T, Refused> {
        self.settle_and_record(tenant, &[], worked_out)
    }

    /// As [`Plane::settle`], with intents on record in the same commit: neither is there alone.
    pub(crate) fn settle_and_record<T>(
        &self,
        tenant: &Arc<Tenant>,
        intents: &[IntentRow],
        worked_out: impl FnMut() -> Result<(T, Vec<Change>), Refused>,
    ) -> Result<T, Refused> {
        let settled = self.settle_all(tenant, &[], intents, worked_out);
        settled.map(|(done, _)| done)
    }

    /// As [`Plane::settle`], using what may be used once in the same commit: if anything of it was used
    /// before, nothing is changed.
    pub(crate) fn settle_and_use<T>(
        &self,
        tenant: &Arc<Tenant>,
        uses: &[SingleUse],
        worked_out: impl FnMut() -> Result<(T, Vec<Change>), Refused>,
    ) -> Result<(T, Vec<Used>), Refused> {
        self.settle_all(tenant, uses, &[], worked_out)
    }

    /// As [`Plane::settle`], with all of this in the same commit: what may be used once, and intents on
    /// record.
    pub(crate) fn settle_all<T>(
        &self,
        tenant: &Arc<Tenant>,
        uses: &[SingleUse],
        intents: &[IntentRow],
        mut worked_out: impl FnMut() -> Result<(T, Vec<Change>), Refused>,
    ) -> Result<(T, Vec<Used>), Refused> {
        let detail = "the tenant changes too fast".to_owned();
        let mut conflict = Refused::from(Reason::IssueConflict { detail });
        for _ in 0..MOST_ATTEMPTS {
            let changing = tenant.changing();
            let at = tenant.read(|snapshot| snapshot.sequence);
            let (done, changes) = worked_out()?;
            if changes.is_empty() && intents.is_empty() && uses.is_empty() {
                return Ok((done, Vec::new()));
            }
            let changes = signals::with_notices(self, tenant, &changes)?;
            let mut decisions = issuance_log::decisions(tenant, &changes, self.now())?;
            decisions.extend_from_slice(intents);
            let within = self.bounds_of(tenant, &changes);
            let mut told = Vec::new();
            let stored = |store: &dyn Store| {
                if uses.is_empty() {
                    return issuance_log::store(store, tenant, at, &changes, &decisions, &within);
                }
                let id = tenant.id();
                let (used, number) =
                    store.apply_within(id, uses, &decisions, at, &changes, &within)?;
                told = used;
                Ok(number)
            };
            match self.change_while(tenant, changing, &changes, stored) {
                Ok(_) => return Ok((done, told)),
                Err(refused) if refused.is_conflict() => conflict = refused,
                Err(other) => return Err(other),
            }
        }
        Err(conflict)
    }

    /// Stores changes if no authority has changed since `known`, the number of the last change of any.
    /// Other things of the tenant may have.
    pub(crate) fn apply_to_authorities(
        &self,
        tenant: &Arc<Tenant>,
        known: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Refused> {
        let changes = signals::with_notices(self, tenant, changes)?;
        let decisions = issuance_log::decisions(tenant, &changes, self.now())?;
        // Nothing else is stored from here meanwhile, and what other servers store moves the number.
        let stored = |store: &dyn Store| {
            let (found, at) = {
                let held = tenant.held();
                (held.bundle_sequence, held.snapshot.sequence)
            };
            if found != known {
                let expected = known;
                return Err(Conflict::Moved { expected, found }.into());
            }
            issuance_log::store(store, tenant, at, &changes, &decisions, &[])
        };
        self.change(tenant, &changes, stored)
    }

    fn change(
        &self,
        tenant: &Arc<Tenant>,
        changes: &[Change],
        stored: impl FnOnce(&dyn Store) -> Result<Sequence, avouch_store::Fault>,
    ) -> Result<Sequence, Refused> {
        self.change_while(tenant, tenant.changing(), changes, stored)
    }

    /// As [`Plane::change`], by who has the turn to change the tenant.
    pub(crate) fn change_while(
        &self,
        tenant: &Arc<Tenant>,
        changing: MutexGuard<'_, ()>,
        changes: &[Change],
        stored: impl FnOnce(&dyn Store) -> Result<Sequence, avouch_store::Fault>,
    ) -> Result<Sequence, Refused> {
        self.fit(tenant)?;
        preconditions::check(tenant, changes)?;
        let was_there = preconditions::before(tenant, changes);
        self.rehearse_if_asked(tenant, changes)?;
        let held = tenant.read(|snapshot| snapshot.sequence);
        let storing = crate::traces::part("store.apply");
        let sequence = storing.in_scope(|| stored(self.store.as_ref()));
        if sequence.as_ref().is_ok_and(|sequence| *sequence < held) {
            drop(changing);
            self.start_anew()?;
            return Ok(sequence?);
        }
        if sequence.is_ok() {
            preconditions::note(tenant, changes, was_there);
        }
        if let Err(fault) = &sequence
            && !matches!(fault, avouch_store::Fault::Conflict(_))
        {
            self.counters.store_failed();
        }
        let followed = match &sequence {
            Ok(sequence) => {
                let followed = tenant.follow_own(*sequence, changes);
                if followed.is_err() {
                    Self::note_followed(tenant, &followed);
                }
                followed?
            }
            Err(_) => None,
        };
        // Also after a fault: the change may have been stored, and then it is seen.
        let concerned = match (followed, &sequence) {
            (Some(concerned), _) => concerned,
            (None, Ok(_)) => self.catch_up(tenant)?,
            (None, Err(_)) => self.catch_up(tenant).unwrap_or_default(),
        };
        self.note_domains(tenant);
        drop(changing);
        self.tell(tenant, &concerned);
        Ok(sequence?)
    }

    pub(super) fn catch_up(&self, tenant: &Tenant) -> Result<Concerned, Fault> {
        let followed = self.read_on(tenant);
        Self::note_followed(tenant, &followed);
        followed
    }

    fn read_on(&self, tenant: &Tenant) -> Result<Concerned, Fault> {
        let held = tenant.read(|snapshot| snapshot.sequence);
        let feed = match tenant.is_outdated() {
            true => None,
            false => self.store.changes_after(tenant.id(), held)?,
        };
        let Some(feed) = feed else {
            tenant.hold_anew(self.store.load(tenant.id())?)?;
            tenant.note_outdated(false);
            return Ok(Concerned::everyone());
        };
        let is_none = feed.head == Sequence::START && held > feed.head;
        if is_none || feed.begins > held {
            self.forget_gone()?;
            return Ok(Concerned::default());
        }
        tenant.follow(feed)
    }

    /// Wakes all nodes that follow the tenant, or one above it.
    pub(crate) fn tell_everyone(&self, tenant: &Tenant) {
        self.tell(tenant, &Concerned::everyone());
    }

    /// Wakes those whom a change concerns among the nodes that follow the tenant, or one above it.
    pub(super) fn tell(&self, tenant: &Tenant, concerned: &Concerned) {
        if !concerned.everyone {
            self.presences.wake(&concerned.nodes);
            return;
        }
        tenant.news.send_modify(|count| *count += 1);
        self.tell_all_from(tenant.parent());
    }

    /// Wakes all nodes that follow a tenant above one of these, each once.
    pub(crate) fn tell_above<'a>(&self, all: impl IntoIterator<Item = &'a KnownTenant>) {
        self.tell_all_from(all.into_iter().filter_map(KnownTenant::parent));
    }

    /// Wakes those that follow one of these tenants or one above it, each once; none follows one that
    /// is not open.
    fn tell_all_from<'a>(&self, all: impl IntoIterator<Item = &'a TenantId>) {
        let mut told = BTreeSet::new();
        for first in all {
            self.tell_from(first, &mut told);
        }
    }

    fn tell_from(&self, first: &TenantId, told: &mut BTreeSet<TenantId>) {
        let mut at = self.known(first);
        while let Some(known) = at {
            // So is all above it.
            if !told.insert(known.id().clone()) {
                return;
            }
            if let Some(tenant) = known.opened() {
                tenant.news.send_modify(|count| *count += 1);
            }
            at = known.parent().and_then(|parent| self.known(parent));
        }
    }
}
