//! What is known of a tenant without opening it: enough for lists, sums, roles and what is due.

use std::sync::Arc;

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_store::{
    AdminRecord, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, Conflict, Counts,
    Outline, Sequence, TenantKind,
};

use super::known::Names;
use super::{KnownTenant, OPERATOR, Plane};
use crate::access::{Noun, Role, Verb};
use crate::caller::Caller;
use crate::fault::Fault;
use crate::keeper;
use crate::tenant::Tenant;

/// What is known of a tenant that is not open.
pub(crate) struct Sketch {
    pub(super) sequence: Sequence,
    pub(crate) trust_domains: Vec<TrustDomain>,
    admins: Vec<AdminRecord>,
    lives: Vec<Life>,
    /// From when on something is due for its authorities.
    pub(crate) wakes_at: Time,
    /// Whether nodes may have something to do for it.
    pub(crate) has_entries: bool,
    /// Whether it asks or tells others without being asked itself.
    pub(crate) works_by_itself: bool,
}

/// One authority, for who counts them.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) kind: AuthorityKind,
    pub(crate) role: AuthorityRole,
    pub(crate) state: AuthorityState,
    pub(crate) not_after: Time,
}

/// What a list says of a tenant.
pub struct Listed {
    /// Its name.
    pub id: TenantId,
    /// The tenant above it.
    pub parent: Option<TenantId>,
    /// What it is.
    pub kind: TenantKind,
    /// Since when it is here.
    pub created: Time,
    /// Its trust domains, by name.
    pub trust_domains: Vec<TrustDomain>,
}

impl Listed {
    /// What it says of one that is open.
    pub(crate) fn of(tenant: &Tenant) -> Self {
        Self {
            id: tenant.id().clone(),
            parent: tenant.parent().cloned(),
            kind: tenant.kind(),
            created: tenant.created(),
            trust_domains: tenant.read(|snapshot| snapshot.trust_domains.keys().cloned().collect()),
        }
    }
}

impl Life {
    fn of(record: &AuthorityRecord) -> Self {
        Self {
            trust_domain: record.trust_domain.clone(),
            kind: record.kind,
            role: record.role,
            state: record.state,
            not_after: record.not_after,
        }
    }
}

impl Sketch {
    fn of(outline: Outline, now: Time) -> Self {
        let (domains, records) = (&outline.trust_domains, &outline.authorities);
        Self {
            sequence: outline.sequence,
            wakes_at: keeper::wakes_at(domains, records, now),
            trust_domains: domains.iter().map(|domain| domain.name.clone()).collect(),
            lives: records.iter().map(Life::of).collect(),
            admins: outline.admins,
            has_entries: outline.has_entries,
            works_by_itself: outline.works_by_itself,
        }
    }

    pub(super) fn names(&self) -> Names {
        Names {
            all: self.trust_domains.clone(),
            at: self.sequence,
            are_sketched: true,
        }
    }
}

impl Plane {
    /// What is known of a tenant that is not open, read anew if it has changed.
    pub(crate) fn sketch(&self, known: &KnownTenant) -> Result<Arc<Sketch>, Fault> {
        if let Some(sketch) = self.look_at(known)? {
            return Ok(sketch);
        }
        self.forget_gone()?;
        let gone = Conflict::UnknownTenant(known.id().clone());
        Err(avouch_store::Fault::from(gone).into())
    }

    /// Likewise; `None` if it is gone, also where another has its name.
    pub(super) fn look_at(&self, known: &KnownTenant) -> Result<Option<Arc<Sketch>>, Fault> {
        let (held, seen) = known.sketched();
        if let Some(sketch) = held.as_ref().filter(|sketch| sketch.sequence >= seen) {
            return Ok(Some(Arc::clone(sketch)));
        }
        let outline = self.store.outline(known.id())?;
        // Afterwards, as where all of it is read.
        let there = self.store.tenant(&OPERATOR, known.id())?;
        if !there.is_some_and(|there| known.is(&there)) {
            return Ok(None);
        }
        let sketch = Arc::new(Sketch::of(outline, self.now()));
        match held {
            // Some may be gone.
            Some(held) if held.trust_domains != sketch.trust_domains => {
                self.put_names(known, &sketch.names());
            }
            Some(_) | None => self.note_names(known, &sketch.names()),
        }
        known.note_sketch(&sketch);
        Ok(Some(sketch))
    }

    /// How much a tenant owns.
    pub(crate) fn counts(&self, known: &KnownTenant) -> Result<Counts, Fault> {
        if let Some(tenant) = known.opened() {
            return Ok(tenant.read(|snapshot| Counts {
                entries: snapshot.entries.len(),
                nodes: snapshot.nodes.len(),
            }));
        }
        let sequence = self.sketch(known)?.sequence;
        if let Some(counts) = known.counted(sequence) {
            return Ok(counts);
        }
        let counts = self.store.counts(known.id())?;
        known.note_counts(sequence, counts);
        Ok(counts)
    }

    /// The authorities of a tenant, for who counts them.
    pub(crate) fn lives(&self, known: &KnownTenant) -> Result<Vec<Life>, Fault> {
        Ok(match known.opened() {
            Some(tenant) => tenant.read(|snapshot| {
                let records = snapshot.authorities.values();
                records.map(Life::of).collect()
            }),
            None => self.sketch(known)?.lives.clone(),
        })
    }

    /// The names of the trust domains of a tenant.
    pub(crate) fn domains_of(&self, known: &KnownTenant) -> Result<Vec<TrustDomain>, Fault> {
        Ok(match known.opened() {
            Some(tenant) => {
                tenant.read(|snapshot| snapshot.trust_domains.keys().cloned().collect())
            }
            None => self.sketch(known)?.trust_domains.clone(),
        })
    }

    /// What a list says of each tenant, by name, at most so many; it opens none. Of one that cannot be
    /// read it says no trust domains, and the log says so.
    pub fn listed(&self, at_most: usize) -> Vec<Listed> {
        let all = self.all_known();
        let first = all.iter().take(at_most);
        first.map(|known| self.listed_one(known).0).collect()
    }

    /// Likewise of one, and what kept its trust domains from being read.
    pub(crate) fn listed_one(&self, known: &KnownTenant) -> (Listed, Option<Fault>) {
        let (trust_domains, fault) = match self.domains_of(known) {
            Ok(trust_domains) => (trust_domains, None),
            Err(fault) => {
                note_unread(known, &fault);
                (Vec::new(), Some(fault))
            }
        };
        let listed = Listed {
            id: known.id().clone(),
            parent: known.parent().cloned(),
            kind: known.kind(),
            created: known.record().created,
            trust_domains,
        };
        (listed, fault)
    }

    /// How many registration entries a tenant has.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn count_entries(&self, tenant: &TenantId) -> Result<usize, Fault> {
        match self.known(tenant) {
            Some(known) => Ok(self.counts(&known)?.entries),
            None => Ok(0),
        }
    }

    /// Looks at each who administers a tenant, which is not opened for that.
    pub(crate) fn each_admin(
        &self,
        known: &KnownTenant,
        look: &mut dyn FnMut(&AdminRecord),
    ) -> Result<(), Fault> {
        match known.opened() {
            Some(tenant) => tenant.read(|snapshot| snapshot.admins.values().for_each(look)),
            None => self.sketch(known)?.admins.iter().for_each(look),
        }
        Ok(())
    }

    /// Looks at each who has a role in a tenant, which is not opened for that, also where something of it
    /// cannot be read: without a role where only who it is can be. Of one that is gone there is nobody.
    /// Whether nothing is known to be damaged.
    ///
    /// # Errors
    ///
    /// Of someone not even that can be read: then nobody knows who it is not. Or the store is away.
    pub(crate) fn each_appointed(
        &self,
        known: &KnownTenant,
        look: &mut dyn FnMut(&SpiffeId, Option<&str>),
    ) -> Result<bool, Fault> {
        let mut look_at = |admin: &AdminRecord| look(&admin.subject, Some(&admin.role));
        if !known.is_damaged() {
            if let Some(tenant) = known.opened() {
                tenant.read(|snapshot| snapshot.admins.values().for_each(&mut look_at));
                return Ok(true);
            }
            match self.look_at(known) {
                Ok(sketch) => {
                    let admins = sketch.iter().flat_map(|sketch| &sketch.admins);
                    admins.for_each(look_at);
                    return Ok(true);
                }
                Err(fault) if fault.is_damage() => note_unread(known, &fault),
                Err(fault) => return Err(fault),
            }
        }
        // What is held may be of before it was damaged.
        for one in self.store.appointed(known.id())? {
            look(&one.subject, one.role.as_deref());
        }
        Ok(false)
    }

    /// What `caller` is in a tenant, which is not opened for that, as far as that can be read: what is
    /// damaged gives nobody a role, and takes none that is given elsewhere. With it comes what could not
    /// be read.
    ///
    /// # Errors
    ///
    /// That the store is away: then nobody knows.
    pub(crate) fn roles_in(
        &self,
        caller: &Caller,
        known: &Arc<KnownTenant>,
    ) -> Result<(Vec<Role>, Option<Fault>), Fault> {
        if !self.may_have_roles(caller)? {
            return Ok((Vec::new(), None));
        }
        let above = |known: &Arc<KnownTenant>| self.known(known.parent()?);
        let chain = std::iter::successors(Some(Arc::clone(known)), above);
        let (mut roles, mut unread) = (Vec::new(), None);
        for known in chain {
            let looked = self.each_admin(&known, &mut |admin| {
                if admin.subject == caller.id {
                    // A role that this program does not know gives nothing.
                    roles.extend(Role::parse(&admin.role));
                }
            });
            if let Err(fault) = looked {
                if !fault.is_damage() {
                    return Err(fault);
                }
                note_unread(&known, &fault);
                unread = Some(fault);
            }
        }
        Ok((roles, unread))
    }

    /// Whether `caller` may do this in a tenant, by [`Plane::roles_in`].
    ///
    /// # Errors
    ///
    /// That the store is away: then nobody knows.
    pub(crate) fn may_in(
        &self,
        caller: &Caller,
        known: &Arc<KnownTenant>,
        verb: Verb,
        noun: Noun,
    ) -> Result<bool, Fault> {
        let (roles, _) = self.roles_in(caller, known)?;
        Ok(roles.iter().any(|role| role.may(verb, noun)))
    }
}

fn note_unread(known: &KnownTenant, error: &Fault) {
    tracing::error!(tenant = %known.id(), %error, "the tenant cannot be read");
}
