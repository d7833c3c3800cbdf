//! Following what other servers on the same store have changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_store::{Conflict, Sequence};

use super::known::Seen;
use super::{KnownTenant, OPERATOR, Plane};
use crate::fault::{Fault, Refused};
use crate::reach::Concerned;
use crate::tenant::Tenant;

/// How many tenants are looked at at once: half of what the store carries out at once.
const LOOKING_AT_ONCE: usize = 4;

/// How many seconds lie between two looks at the store for nodes that would be refused otherwise. Anyone
/// can have it asked.
const LOOKED_AGAIN_EACH: i64 = 1;

/// When the store was asked last on behalf of a node that would be refused otherwise.
pub(super) struct LookedAgain(AtomicI64);

/// What was followed.
enum Followed {
    Tenant,
    /// What is not open, and what those who serve it are to be told of.
    News(Arc<KnownTenant>),
    /// The store was put back to an earlier state.
    Everything,
}

impl LookedAgain {
    /// Whether it may be asked now.
    fn may_look(&self, now: Time) -> bool {
        is_long_ago(self.0.load(Ordering::Relaxed), now)
    }

    /// Notes that it is asked now. Of several who would ask at once, one is told to.
    fn look(&self, now: Time) -> bool {
        let asked = |looked| is_long_ago(looked, now).then_some(now.unix());
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, asked)
            .is_ok()
    }
}

impl Default for LookedAgain {
    /// It was never asked; half of all, so that the time since then is a number still.
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN / 2))
    }
}

impl Plane {
    /// Follows what other servers have stored.
    ///
    /// # Errors
    ///
    /// What failed on our side; then what is held stays as it is.
    pub fn follow_store(&self) -> Result<(), Fault> {
        // In this order: what is added meanwhile is not taken for gone.
        let held: Vec<TenantId> = self.tenants().by_id.keys().cloned().collect();
        let heads = self.store.heads(&OPERATOR)?;
        let is_gone = held.iter().any(|id| !heads.contains_key(id));
        let followed = self.follow_heads(heads);
        let forgotten = match is_gone {
            true => self.forget_gone(),
            false => Ok(()),
        };
        followed.and(forgotten)
    }

    /// Whether the store may be asked now for what is not heard of yet, before a node is refused.
    pub(crate) fn may_look_again(&self) -> bool {
        self.looked_again.may_look(self.now())
    }

    /// Asks it. Whether it was asked, and has answered.
    pub(crate) fn look_again(&self) -> bool {
        self.looked_again.look(self.now()) && self.follow_store().is_ok()
    }

    /// Follows what other servers store as soon as they have, for as long as `at_most`.
    ///
    /// # Errors
    ///
    /// What failed on our side; then what is held stays as it is.
    pub fn follow_news(&self, at_most: Duration) -> Result<(), Fault> {
        self.follow_heads(self.store.wait_for_change(&OPERATOR, at_most)?)
    }

    /// What fails for one tenant keeps nobody from following the others. What is damaged of one is
    /// told by that one alone; of what else fails, the first is told.
    pub(super) fn follow_heads(&self, heads: BTreeMap<TenantId, Sequence>) -> Result<(), Fault> {
        // Those in use first: what was taken back in them counts now.
        let (open, others): (Vec<_>, Vec<_>) = heads
            .into_iter()
            .partition(|(id, _)| self.opened(id).is_some());
        self.look_ahead(&others);
        let (mut first, mut news) = (Ok(()), Vec::new());
        for (id, head) in open.into_iter().chain(others) {
            match self.follow_head(&id, head) {
                Ok(Followed::Tenant) => {}
                Ok(Followed::News(known)) => news.push(known),
                // Then everyone was told.
                Ok(Followed::Everything) => return Ok(()),
                Err(error) => {
                    // What was found of one that is open is told already.
                    if self.opened(&id).is_none() {
                        tracing::error!(tenant = %id, %error, "the tenant cannot be followed");
                    }
                    if !error.is_damage() {
                        first = first.and(Err(error));
                    }
                }
            }
        }
        // Once, however many there are.
        self.tell_above(news.iter().map(AsRef::as_ref));
        first
    }

    /// Looks at those of which there is news, several at a time: when another server has started there is
    /// news of all, and each look waits for the store. What fails is found again when they are followed.
    fn look_ahead(&self, heads: &[(TenantId, Sequence)]) {
        let all = heads.iter().filter_map(|(id, head)| {
            let known = self.known(id)?;
            matches!(known.saw(*head), Seen::News).then_some(known)
        });
        let all: Vec<Arc<KnownTenant>> = all.collect();
        if all.len() < LOOKING_AT_ONCE {
            return;
        }
        std::thread::scope(|scope| {
            for some in all.chunks(all.len().div_ceil(LOOKING_AT_ONCE)) {
                scope.spawn(move || {
                    let is_away =
                        |known| self.look_at(known).is_err_and(|fault| !fault.is_damage());
                    // The rest would fail as well.
                    some.iter().any(|known| is_away(known))
                });
            }
        });
    }

    /// Whether a tenant may be acted for now: nothing is known to be stored of it, or of one above it,
    /// that cannot be read. What cannot be read may be that someone gets nothing any more, so nothing
    /// new is given until it can be. That the store does not answer is another matter: what was held
    /// then was all.
    ///
    /// # Errors
    ///
    /// [`Fault::Behind`], or `issue.object_unknown` if it is gone.
    pub(crate) fn fit(&self, tenant: &Tenant) -> Result<(), Refused> {
        check_all_is_read(tenant)?;
        let mut above = tenant.parent().cloned();
        while let Some(id) = above {
            // None is opened before all above it are, and none is removed before all below it.
            let Some(next) = self.opened(&id) else {
                return Err(Conflict::UnknownTenant(tenant.id().clone()).into());
            };
            check_all_is_read(&next)?;
            above = next.parent().cloned();
        }
        Ok(())
    }

    /// Notes what came of following a tenant.
    pub(super) fn note_followed<T>(tenant: &Tenant, followed: &Result<T, Fault>) {
        let id = tenant.id();
        match followed {
            Ok(_) if tenant.note_behind(false) => {
                tracing::info!(tenant = %id, "the tenant is followed again");
            }
            Err(error) if error.is_damage() && tenant.note_behind(true) => {
                tracing::error!(
                    tenant = %id, %error,
                    "the tenant cannot be followed, so nothing is given for it; it is tried again"
                );
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn follow_head(&self, id: &TenantId, head: Sequence) -> Result<Followed, Fault> {
        let Some(known) = self.known(id) else {
            self.know_new_tenants()?;
            return Ok(Followed::Tenant);
        };
        match known.saw(head) {
            Seen::Open(tenant) if tenant.is_outdated() => self.follow_to_store(&tenant)?,
            Seen::Open(tenant) if tenant.read(|snapshot| snapshot.sequence) > head => {
                // Perhaps this server has changed it since that number was read.
                let held = tenant.read(|snapshot| snapshot.sequence);
                match self.store.heads(&OPERATOR)?.get(id) {
                    None => self.forget_gone()?,
                    Some(head) if *head < held => {
                        self.start_anew()?;
                        return Ok(Followed::Everything);
                    }
                    Some(_) => {}
                }
            }
            Seen::Open(tenant) if tenant.read(|snapshot| snapshot.sequence) < head => {
                self.follow_to_store(&tenant)?;
            }
            // Whoever serves what is below may have something to do for it from now on.
            Seen::News => {
                if self.look_at(&known)?.is_none() {
                    self.forget_gone()?;
                    return Ok(Followed::Tenant);
                }
                // Only now, so that it is looked at again if that fails.
                known.note_told(head);
                return Ok(Followed::News(known));
            }
            Seen::Open(_) | Seen::Nothing => {}
        }
        Ok(Followed::Tenant)
    }

    /// Follows a tenant to what the store has of it.
    pub(crate) fn follow_to_store(&self, tenant: &Tenant) -> Result<(), Fault> {
        let changing = tenant.changing();
        let concerned = self.catch_up(tenant)?;
        self.note_domains(tenant);
        drop(changing);
        self.tell(tenant, &concerned);
        Ok(())
    }

    /// Takes up the store as it is in the place of all that is held: it was put back to an earlier
    /// state, so what is held may be gone. Whoever follows is told everything anew.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn start_anew(&self) -> Result<(), Fault> {
        tracing::warn!("the store was put back to an earlier state; everything is loaded anew");
        self.take_fresh_numbers()?;
        // Who reads a tenant meanwhile reads it once more.
        self.tenants_mut().anew += 1;
        let owners = self.store.trust_domains(&OPERATOR)?;
        self.tenants_mut().by_domain = owners;
        self.forget_gone()?;
        let mut first = Ok(());
        for known in self.all_known() {
            known.forget_noted();
            let Some(tenant) = &known.opened() else {
                continue;
            };
            if let Err(error) = self.hold_anew(tenant)
                && !error.is_damage()
            {
                first = first.and(Err(error));
            }
        }
        first
    }

    fn hold_anew(&self, tenant: &Tenant) -> Result<(), Fault> {
        let changing = tenant.changing();
        let loaded = self.store.load(tenant.id());
        let held = loaded
            .map_err(Fault::from)
            .and_then(|all| tenant.hold_anew(all));
        tenant.note_outdated(held.is_err());
        Self::note_followed(tenant, &held);
        // Also of one that cannot be read: whose the trust domains are that it has is known.
        self.note_domains(tenant);
        drop(changing);
        held?;
        self.tell(tenant, &Concerned::everyone());
        Ok(())
    }
}

/// Whether enough seconds lie between two looks. After a clock was put back it is so, too.
fn is_long_ago(looked: i64, now: Time) -> bool {
    !(0..LOOKED_AGAIN_EACH).contains(&(now.unix() - looked))
}

fn check_all_is_read(tenant: &Tenant) -> Result<(), Fault> {
    match tenant.is_behind() {
        true => Err(Fault::Behind(tenant.id().clone())),
        false => Ok(()),
    }
}
