//! Tenants that are known to be there, and opened when they are needed first.
//!
//! ```text
//! the tree, whose each trust domain is ─► KnownTenant ─ asked for, or works by itself ─► Tenant
//!                                           └──── its authorities are due ───────► Tenant, and gone again
//! ```
//!
//! Of thousands of tenants most are not used for long. Of those a server knows the names, and once it
//! has looked a [`Sketch`]: who administers them, and from when on something is due. What they own is
//! read when someone asks for them. Only a [`Tenant`] has a snapshot, and only opening makes one, so
//! nothing can be decided by what was not read.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_store::{
    AdminRecord, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, Conflict, Counts,
    Outline, Sequence, TenantKind, TenantRecord,
};

use super::{OPERATOR, Plane, Raised, Tenants};
use crate::access::{Noun, Role, Verb};
use crate::back_off::{BackOff, Waits};
use crate::caller::Caller;
use crate::fault::{Fault, Refused};
use crate::keeper;
use crate::keys::Keys;
use crate::reach::Concerned;
use crate::tenant::Tenant;

/// How often a tenant is read anew because the store was put back meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// How long nobody tries to open a tenant of which something cannot be read, unless it has changed.
const DAMAGE_REMEMBERED: Waits = Waits {
    first: 5,
    longest: 60,
};

/// A tenant that is there.
pub(crate) struct KnownTenant {
    record: TenantRecord,
    raised: Option<Raised>,
    /// Whoever opens it; all others that need it wait for that.
    opening: Mutex<()>,
    opened: OnceLock<Arc<Tenant>>,
    noted: Mutex<Noted>,
}

/// What comes of a number of the store.
pub(super) enum Seen {
    /// All of it is here, and follows.
    Open(Arc<Tenant>),
    /// What is known of it may be over.
    News,
    Nothing,
}

/// The names of the trust domains of a tenant, as of a change.
pub(super) struct Names {
    pub(super) all: Vec<TrustDomain>,
    pub(super) at: Sequence,
    /// Whether the store was looked at for them, and not the tenant itself.
    pub(super) are_sketched: bool,
}

#[derive(Default)]
struct Noted {
    /// The number of the last change that the store was seen to have.
    seen: Sequence,
    /// The number of the last change that nobody need be told of any more.
    told: Sequence,
    /// As of which change the names of its trust domains are noted.
    named: Sequence,
    /// While it is not open.
    sketch: Option<Arc<Sketch>>,
    counts: Option<(Sequence, Counts)>,
    /// When it was tended last without being opened.
    tended: Option<Time>,
    /// What was found that cannot be read.
    damage: Option<Damage>,
}

/// What cannot be read, so that the tenant cannot be opened.
#[derive(Default)]
struct Damage {
    why: String,
    back_off: BackOff,
}

/// What is known of a tenant that is not open.
pub(crate) struct Sketch {
    sequence: Sequence,
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

impl KnownTenant {
    pub(super) fn new(record: TenantRecord, raised: Option<Raised>) -> Self {
        Self {
            record,
            raised,
            opening: Mutex::new(()),
            opened: OnceLock::new(),
            noted: Mutex::new(Noted {
                seen: raised.map(|raised| raised.to).unwrap_or_default(),
                told: raised.map(|raised| raised.to).unwrap_or_default(),
                ..Noted::default()
            }),
        }
    }

    /// Its name.
    pub(crate) fn id(&self) -> &TenantId {
        &self.record.id
    }

    /// The tenant above it.
    pub(crate) fn parent(&self) -> Option<&TenantId> {
        self.record.parent.as_ref()
    }

    /// What it is.
    pub(crate) fn kind(&self) -> TenantKind {
        self.record.kind
    }

    /// Whether it is this one, and not another of the same name.
    pub(crate) fn is(&self, record: &TenantRecord) -> bool {
        self.record.id == record.id && self.record.key == record.key
    }

    /// All of it, if someone has needed it already.
    pub(crate) fn opened(&self) -> Option<Arc<Tenant>> {
        self.opened.get().cloned()
    }

    /// Notes that the store has a change of this number. Whoever opens it now sees that there is more
    /// than was read, unless it is open before that is noted: then it is for the caller to follow.
    pub(super) fn saw(&self, head: Sequence) -> Seen {
        let mut noted = self.noted();
        let is_news = noted.told < head;
        noted.seen = noted.seen.max(head);
        if let Some(damage) = noted.damage.as_mut().filter(|_| is_news) {
            // It may be mended.
            damage.back_off.went_well(None);
        }
        match self.opened() {
            Some(tenant) => Seen::Open(tenant),
            None if is_news => Seen::News,
            None => Seen::Nothing,
        }
    }

    /// Notes that what comes of the change of this number is done: until then it stays news.
    pub(super) fn note_told(&self, head: Sequence) {
        let mut noted = self.noted();
        noted.told = noted.told.max(head);
    }

    /// Notes as of which change its names are known; whether these count. Older ones do not, and of
    /// one that is open only what it says itself.
    pub(super) fn takes(&self, names: &Names) -> bool {
        let mut noted = self.noted();
        let is_over = names.are_sketched && self.opened.get().is_some();
        let takes = !is_over && noted.named <= names.at;
        if takes {
            noted.named = names.at;
        }
        takes
    }

    /// Forgets what was noted, which may be of a time that is gone.
    pub(super) fn forget_noted(&self) {
        *self.noted() = Noted::default();
    }

    fn publish(&self, tenant: &Arc<Tenant>) -> Sequence {
        let mut noted = self.noted();
        // Whoever opens has the turn, so nobody was faster.
        drop(self.opened.set(Arc::clone(tenant)));
        noted.sketch = None;
        noted.counts = None;
        noted.seen
    }

    /// Whether it may be tended now, which counts as done then, and not again within so many seconds.
    pub(crate) fn begin_tending(&self, now: Time, again: u32) -> bool {
        let mut noted = self.noted();
        let is_early = |last: Time| (0..i64::from(again)).contains(&now.since(last));
        let may = !noted.tended.is_some_and(is_early);
        if may {
            noted.tended = Some(now);
        }
        may
    }

    /// Fails for a while after something was found that cannot be read, so that nobody has all of it
    /// read again and again.
    pub(super) fn check_not_damaged(&self, now: Time) -> Result<(), Fault> {
        match &self.noted().damage {
            Some(damage) if !damage.back_off.may_try(now) => Err(Fault::Stored(damage.why.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes what cannot be read; whether that is news.
    pub(super) fn note_damage(&self, error: &Fault, now: Time) -> bool {
        let why = error.to_string();
        let mut noted = self.noted();
        let damage = noted.damage.get_or_insert_default();
        damage.back_off.failed(DAMAGE_REMEMBERED, now);
        let is_news = damage.why != why;
        damage.why = why;
        is_news
    }

    /// Notes that all of it can be read; whether that is news.
    fn note_sound(&self) -> bool {
        self.noted().damage.take().is_some()
    }

    /// Whether something was found that cannot be read.
    pub(crate) fn is_damaged(&self) -> bool {
        let is_behind = self.opened().is_some_and(|tenant| tenant.is_behind());
        is_behind || self.noted().damage.is_some()
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

    /// Whether the owner of a trust domain is found without reading anything.
    pub(crate) fn is_owner_open(&self, trust_domain: &TrustDomain) -> bool {
        let tenants = self.tenants();
        let owner = tenants.by_domain.get(trust_domain);
        let owner = owner.and_then(|owner| tenants.by_id.get(owner));
        owner.is_none_or(|owner| owner.opened().is_some())
    }

    /// Whether the tenant and all below it are open.
    pub(crate) fn are_open_below(&self, top: &TenantId) -> bool {
        let all = self.known_below(top);
        all.iter().all(|known| known.opened().is_some())
    }

    /// Whether a trust domain is someone's here.
    pub(crate) fn is_owned(&self, trust_domain: &TrustDomain) -> bool {
        self.tenants().by_domain.contains_key(trust_domain)
    }

    /// A tenant, if it is open.
    pub(crate) fn opened(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.known(id)?.opened()
    }

    pub(crate) fn known(&self, id: &TenantId) -> Option<Arc<KnownTenant>> {
        self.tenants().by_id.get(id).cloned()
    }

    /// All tenants that are known, by name.
    pub(crate) fn all_known(&self) -> Vec<Arc<KnownTenant>> {
        self.tenants().by_id.values().cloned().collect()
    }

    /// How many there are.
    pub fn count_tenants(&self) -> usize {
        self.tenants().by_id.len()
    }

    /// All that are open, by name: all for which something was asked since the start, and those that
    /// work by themselves.
    pub fn open_tenants(&self) -> Vec<Arc<Tenant>> {
        let tenants = self.tenants();
        let all = tenants.by_id.values();
        all.filter_map(|known| known.opened()).collect()
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

    /// The tenant and all below it, by name.
    pub(crate) fn known_below(&self, top: &TenantId) -> Vec<Arc<KnownTenant>> {
        let tenants = self.tenants();
        let below = |known: &&Arc<KnownTenant>| tenants.is_below(known.id(), top);
        tenants.by_id.values().filter(below).cloned().collect()
    }

    /// Whether a tenant is there, and is this one or below it; it opens none.
    pub(crate) fn is_below(&self, id: &TenantId, top: &TenantId) -> bool {
        let tenants = self.tenants();
        tenants.by_id.contains_key(id) && tenants.is_below(id, top)
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
            // What was due while nobody looked is done before anyone meets it.
            if let Err(error) = self.tend_if_fit(&tenant) {
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
    pub(super) fn read(&self, known: &KnownTenant) -> Result<Option<Arc<Tenant>>, Fault> {
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
        let record = &known.record;
        let key = self.root_key.unwrap(&record.id, &record.key)?;
        let snapshot = self.store.load(&record.id)?;
        // Afterwards, so that what was read is of this one if it is still there.
        let there = self.store.tenant(&OPERATOR, &record.id)?;
        if !there.is_some_and(|there| known.is(&there)) {
            return Ok(None);
        }
        // Unless another server was faster, nothing has changed since the numbers were raised.
        let raised = known
            .raised
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
        let (seen, held) = {
            let noted = known.noted();
            (noted.seen, noted.sketch.clone())
        };
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
        let mut noted = known.noted();
        noted.seen = noted.seen.max(sketch.sequence);
        // Another may have looked later, or all of it is here by now.
        let is_later = |held: &Arc<Sketch>| held.sequence > sketch.sequence;
        if known.opened.get().is_none() && !noted.sketch.as_ref().is_some_and(is_later) {
            noted.sketch = Some(Arc::clone(&sketch));
        }
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
        let counted = known.noted().counts;
        if let Some((_, counts)) = counted.filter(|(at, _)| *at == sequence) {
            return Ok(counts);
        }
        let counts = self.store.counts(known.id())?;
        known.noted().counts = Some((sequence, counts));
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
            created: known.record.created,
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

impl Tenants {
    /// Whether a tenant is this one, or below it.
    fn is_below(&self, id: &TenantId, top: &TenantId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if id == top {
                return true;
            }
            at = self.by_id.get(id).and_then(|known| known.parent());
        }
        false
    }
}

fn note_unread(known: &KnownTenant, error: &Fault) {
    tracing::error!(tenant = %known.id(), %error, "the tenant cannot be read");
}
