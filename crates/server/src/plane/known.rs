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

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_store::{BoundedKind, Counts, Sequence, TenantKind, TenantRecord};

use super::sketch::Sketch;
use super::{OPERATOR, Plane, Raised, Tenants};
use crate::back_off::{BackOff, Waits};
use crate::fault::Fault;
use crate::tenant::Tenant;

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

    /// What the store says of it, which never changes.
    pub(super) fn record(&self) -> &TenantRecord {
        &self.record
    }

    /// By how much its numbers were raised when this server started, if they were.
    pub(super) fn raised(&self) -> Option<Raised> {
        self.raised
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

    /// Has whoever needs it find all of it from now on. The number of the last change that was seen.
    pub(super) fn publish(&self, tenant: &Arc<Tenant>) -> Sequence {
        let mut noted = self.noted();
        // Whoever opens has the turn, so nobody was faster.
        drop(self.opened.set(Arc::clone(tenant)));
        noted.sketch = None;
        noted.counts = None;
        noted.seen
    }

    /// What was sketched of it last, and the number of the last change that was seen since.
    pub(super) fn sketched(&self) -> (Option<Arc<Sketch>>, Sequence) {
        let noted = self.noted();
        (noted.sketch.clone(), noted.seen)
    }

    /// Notes what was sketched; not if another has looked later, or all of it is here by now.
    pub(super) fn note_sketch(&self, sketch: &Arc<Sketch>) {
        let mut noted = self.noted();
        noted.seen = noted.seen.max(sketch.sequence);
        let is_later = |held: &Arc<Sketch>| held.sequence > sketch.sequence;
        if self.opened.get().is_none() && !noted.sketch.as_ref().is_some_and(is_later) {
            noted.sketch = Some(Arc::clone(sketch));
        }
    }

    /// How much it owned as of a change, if that was counted.
    pub(super) fn counted(&self, at: Sequence) -> Option<Counts> {
        let counted = self.noted().counts;
        counted
            .filter(|(then, _)| *then == at)
            .map(|(_, counts)| counts)
    }

    /// How much of something it had as of which change, by what was found out last.
    pub(crate) fn counted_last(&self, kind: BoundedKind) -> Option<(Sequence, usize)> {
        let noted = self.noted();
        let counted = |count: fn(&Counts) -> usize| {
            let (at, counts) = noted.counts.as_ref()?;
            Some((*at, count(counts)))
        };
        match kind {
            BoundedKind::Entry => counted(|counts| counts.entries),
            BoundedKind::Node => counted(|counts| counts.nodes),
            BoundedKind::TrustDomain => {
                let sketch = noted.sketch.as_ref()?;
                Some((sketch.sequence, sketch.trust_domains.len()))
            }
        }
    }

    /// Notes how much it owned as of a change.
    pub(super) fn note_counts(&self, at: Sequence, counts: Counts) {
        self.noted().counts = Some((at, counts));
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
    pub(super) fn note_sound(&self) -> bool {
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
    /// Knows of the tenants that the store has and this server does not know yet.
    pub(crate) fn know_new_tenants(&self) -> Result<(), Fault> {
        for record in self.store.tenants(&OPERATOR)? {
            if self.known(&record.id).is_some() {
                continue;
            }
            let known = self.know(record, None);
            // Whose its trust domains are is known from now on.
            if let Err(error) = self.look_at(&known) {
                tracing::error!(tenant = %known.id(), %error, "the tenant cannot be read");
            }
            self.tell_above([known.as_ref()]);
        }
        Ok(())
    }

    pub(super) fn know(&self, record: TenantRecord, raised: Option<Raised>) -> Arc<KnownTenant> {
        let mut tenants = self.tenants_mut();
        let known = tenants.by_id.entry(record.id.clone());
        Arc::clone(known.or_insert_with(|| Arc::new(KnownTenant::new(record, raised))))
    }

    pub(super) fn note_domains(&self, tenant: &Tenant) {
        let names = tenant.read(|snapshot| Names {
            all: snapshot.trust_domains.keys().cloned().collect(),
            at: snapshot.sequence,
            are_sketched: false,
        });
        let known = self.known(tenant.id());
        let is_held = |known: &Arc<KnownTenant>| {
            let opened = known.opened();
            opened.is_some_and(|opened| std::ptr::eq(opened.as_ref(), tenant))
        };
        if let Some(known) = known.filter(is_held) {
            let noted = tenant
                .noted_domains
                .swap(names.all.len(), Ordering::Relaxed);
            if noted != names.all.len() || !self.are_noted(&known, &names) {
                self.put_names(&known, &names);
            }
        }
    }

    /// Notes whose the trust domains are that a tenant has which is not open.
    pub(super) fn note_names(&self, known: &KnownTenant, names: &Names) {
        if !self.are_noted(known, names) {
            self.put_names(known, names);
        }
    }

    /// Whether nothing is to be changed for these names to be noted.
    fn are_noted(&self, known: &KnownTenant, names: &Names) -> bool {
        // For as long as nobody can note others.
        let tenants = self.tenants();
        let is_noted = |name: &TrustDomain| tenants.by_domain.get(name) == Some(known.id());
        names.all.iter().all(is_noted) && known.takes(names)
    }

    pub(super) fn put_names(&self, known: &KnownTenant, names: &Names) {
        let mut tenants = self.tenants_mut();
        let held = tenants.by_id.get(known.id());
        if !held.is_some_and(|held| std::ptr::eq(held.as_ref(), known)) || !known.takes(names) {
            return;
        }
        tenants
            .by_domain
            .retain(|name, owner| owner != known.id() || names.all.contains(name));
        let owned = names
            .all
            .iter()
            .map(|name| (name.clone(), known.id().clone()));
        tenants.by_domain.extend(owned);
    }

    /// Knows of a tenant no more.
    pub(crate) fn take_out(&self, known: &Arc<KnownTenant>) {
        let mut tenants = self.tenants_mut();
        let held = tenants.by_id.get(known.id());
        if held.is_some_and(|held| Arc::ptr_eq(held, known)) {
            tenants.by_id.remove(known.id());
            tenants.by_domain.retain(|_, owner| owner != known.id());
            tenants.taken_out += 1;
            drop(tenants);
            self.decisions.forget(known.id());
        }
    }

    /// Whether this tenant is held, and not another of its name.
    pub(crate) fn holds(&self, tenant: &Arc<Tenant>) -> bool {
        let held = self.opened(tenant.id());
        held.is_some_and(|held| Arc::ptr_eq(&held, tenant))
    }

    /// How many tenants were held once and are no more.
    pub(crate) fn taken_out(&self) -> u64 {
        self.tenants().taken_out
    }

    /// Whether the owner of a trust domain is found without reading anything.
    pub(crate) fn is_owner_open(&self, trust_domain: &TrustDomain) -> bool {
        let tenants = self.tenants();
        let owner = tenants.by_domain.get(trust_domain);
        let owner = owner.and_then(|owner| tenants.by_id.get(owner));
        owner.is_none_or(|owner| owner.opened().is_some())
    }

    /// Whose a trust domain is known to be; it opens none.
    pub(crate) fn known_owner(&self, trust_domain: &TrustDomain) -> Option<Arc<KnownTenant>> {
        let tenants = self.tenants();
        tenants
            .by_id
            .get(tenants.by_domain.get(trust_domain)?)
            .cloned()
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

    /// The trust domains that are known to be a tenant's, by name.
    pub(crate) fn domains_owned(&self, id: &TenantId) -> Vec<TrustDomain> {
        let tenants = self.tenants();
        let own = tenants.by_domain.iter().filter(|(_, owner)| *owner == id);
        own.map(|(name, _)| name.clone()).collect()
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
