//! One tenant in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use avouch_core::ended::Endings;
use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::signer::Origin;
use avouch_store::{
    AnchorId, AuthorityId, AuthorityState, Change, Feed, Key, Object, Sequence, SignalKey,
    SignalKind, SignalRecord, Snapshot, TenantKind, TenantRecord, Upstream,
};
use tokio::sync::watch;

use crate::authorities::{Authorities, Lazily};
use crate::bundles;
use crate::fault::{Fault, unknown};
use crate::keys::{Keys, origin_of};
use crate::names;
use crate::nodes::Renewals;
use crate::quotas::Rate;
use crate::reach::{ByNode, Concerned, Reach};
use crate::readers::Readers;
use crate::signals;
use crate::tallies::Tallies;

/// How many calls that changed a tenant are remembered, so that an agent that was away for a while
/// is told what it missed instead of everything.
const REMEMBERED_CHANGES: usize = 4_096;

/// How many objects these calls may have changed together: a few calls may change a million.
const REMEMBERED_OBJECTS: usize = 1 << 16;

/// A tenant, as the store remembers it, with its authorities opened.
pub struct Tenant {
    id: TenantId,
    parent: Option<TenantId>,
    kind: TenantKind,
    created: Time,
    /// How many of its trust domains were noted as its own.
    pub(crate) noted_domains: AtomicUsize,
    pub(crate) keys: Arc<Keys>,
    held: RwLock<Held>,
    /// Whether something that is stored of it cannot be followed.
    is_behind: AtomicBool,
    /// Whether what is held is of a time that is gone, since the store was put back.
    is_outdated: AtomicBool,
    /// Whoever changes the tenant holds it until memory has followed the store.
    changing: Mutex<()>,
    /// What is left of its quota of issuances.
    pub(crate) rate: Rate,
    /// How often its nodes may renew their own identities still.
    pub(crate) renewals: Renewals,
    /// Who reads what it publishes.
    pub(crate) readers: Readers,
    /// How often each who vouches was relied on, and is not stored yet.
    pub(crate) tallies: Tallies,
    /// Counts the changes of this tenant and of those below it.
    pub(crate) news: watch::Sender<u64>,
    /// Counts what its receivers are to be told.
    pub(crate) notices: watch::Sender<u64>,
}

/// What is known of a tenant at one moment.
pub(crate) struct Held {
    pub(crate) snapshot: Snapshot,
    authorities: Lazily,
    /// Since when each authority is published.
    pub(crate) published: BTreeMap<AuthorityId, Sequence>,
    /// Since when each anchor is as it is.
    pub(crate) anchored: BTreeMap<AnchorId, Sequence>,
    /// When each anchor that nodes are told of ends, of those that end.
    anchor_ends: BTreeMap<AnchorId, Time>,
    /// When the authorities changed last: the number of the bundles that the tenant publishes.
    pub(crate) bundle_sequence: Sequence,
    /// When the exchange rules changed last.
    pub(crate) rules_sequence: Sequence,
    /// When the authorities or the anchors changed last.
    pub(crate) trust_sequence: Sequence,
    /// What ended before its time.
    pub(crate) endings: Arc<Endings>,
    /// How much of that by which stream.
    pub(crate) shares: signals::Shares,
    /// When that changed last.
    pub(crate) ended_sequence: Sequence,
    /// How many names of others are held to ids.
    pub(crate) names: names::Count,
    /// The entries by the nodes that they are for.
    pub(crate) by_node: ByNode,
    recent: VecDeque<(Sequence, Vec<Changed>)>,
    /// How many objects `recent` names.
    remembered: usize,
    /// What is older than this is not remembered in `recent`.
    forgotten: Sequence,
}

/// An object that has changed.
pub(crate) struct Changed {
    pub(crate) key: Key,
    /// Whom it was for before, if it is an entry.
    pub(crate) was_for: Reach,
}

impl Tenant {
    /// Opens a tenant that was loaded. `before` is the number that its last change had before it was
    /// given a fresh one, if nothing has changed since.
    pub(crate) fn open(
        record: TenantRecord,
        keys: Keys,
        snapshot: Snapshot,
        before: Option<Sequence>,
    ) -> Result<Self, Fault> {
        let keys = Arc::new(keys);
        let held = Held::open(&record.id, &keys, snapshot, before)?;
        Ok(Self {
            id: record.id,
            parent: record.parent,
            kind: record.kind,
            created: record.created,
            noted_domains: AtomicUsize::new(0),
            keys,
            held: RwLock::new(held),
            is_behind: AtomicBool::new(false),
            is_outdated: AtomicBool::new(false),
            changing: Mutex::new(()),
            rate: Rate::default(),
            renewals: Renewals::default(),
            readers: Readers::default(),
            tallies: Tallies::default(),
            news: watch::Sender::new(0),
            notices: watch::Sender::new(0),
        })
    }

    /// Its name.
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// The tenant above it.
    pub fn parent(&self) -> Option<&TenantId> {
        self.parent.as_ref()
    }

    /// What it is.
    pub fn kind(&self) -> TenantKind {
        self.kind
    }

    /// Since when it is here.
    pub fn created(&self) -> Time {
        self.created
    }

    /// The trust domain that it had first: what stands for the tenant stays so when more are added.
    pub(crate) fn first_trust_domain(&self) -> Option<TrustDomain> {
        self.read(|snapshot| {
            let domains = snapshot.trust_domains.values();
            let first = domains.min_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
            first.map(|domain| domain.name.clone())
        })
    }

    /// As [`Tenant::first_trust_domain`], where nothing can be done without one.
    pub(crate) fn require_trust_domain(&self) -> Result<TrustDomain, Reason> {
        let first = self.first_trust_domain();
        first.ok_or_else(|| unknown("trust domain of", self.id().as_str()))
    }

    /// Reads what is stored of it.
    pub fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.held().snapshot)
    }

    pub(crate) fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something that is stored of it cannot be followed, so that what is held is not all.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    /// Notes that; whether it was otherwise before.
    pub(crate) fn note_behind(&self, is_behind: bool) -> bool {
        self.is_behind.swap(is_behind, Ordering::AcqRel) != is_behind
    }

    /// Whether it is to be loaded anew, since what is held may be gone.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }

    /// Notes that.
    pub(crate) fn note_outdated(&self, is_outdated: bool) {
        self.is_outdated.store(is_outdated, Ordering::Release);
    }

    /// Follows changes that this process has stored as `sequence`, if it has seen all before, and
    /// tells whom they concern.
    pub(crate) fn follow_own(
        &self,
        sequence: Sequence,
        changes: &[Change],
    ) -> Result<Option<Concerned>, Fault> {
        let mut held = self.held_mut();
        let is_next = held.snapshot.sequence.number().checked_add(1) == Some(sequence.number());
        if !is_next {
            return Ok(None);
        }
        let concerned = held.follow(sequence, changes.to_vec())?;
        drop(held);
        self.wake_receivers(changes.iter());
        Ok(Some(concerned))
    }

    /// Follows what the store has after what is held, and tells whom that concerns.
    pub(crate) fn follow(&self, feed: Feed) -> Result<Concerned, Fault> {
        let mut held = self.held_mut();
        if feed.head <= held.snapshot.sequence {
            return Ok(Concerned::default());
        }
        let mut concerned = Concerned::default();
        self.wake_receivers(feed.changes.iter().map(|(_, change)| change));
        let mut changes = feed.changes.into_iter().peekable();
        // Number by number, so that a follower that is at any of them is told only what came after.
        while let Some((number, first)) = changes.next() {
            let mut of_number = vec![first];
            while let Some((_, change)) = changes.next_if(|(next, _)| *next == number) {
                of_number.push(change);
            }
            concerned.extend(held.follow(number, of_number)?);
        }
        if held.snapshot.sequence < feed.head {
            held.follow(feed.head, Vec::new())?;
        }
        Ok(concerned)
    }

    /// Wakes receivers that wait, if there is something to tell; they look when this is followed.
    fn wake_receivers<'a>(&self, mut changes: impl Iterator<Item = &'a Change>) {
        let is_notice = |change: &Change| matches!(change, Change::Put(Object::Signal(record)) if record.key.kind == SignalKind::Notice);
        if changes.any(is_notice) {
            self.notices.send_modify(|count| *count += 1);
        }
    }

    /// Holds what was loaded in the place of all that was held, which may be gone.
    pub(crate) fn hold_anew(&self, snapshot: Snapshot) -> Result<(), Fault> {
        let held = Held::open(&self.id, &self.keys, snapshot, None)?;
        *self.held_mut() = held;
        Ok(())
    }
}

impl Held {
    fn open(
        tenant: &TenantId,
        keys: &Arc<Keys>,
        snapshot: Snapshot,
        before: Option<Sequence>,
    ) -> Result<Self, Fault> {
        let sequence = snapshot.sequence;
        let there = snapshot.authorities.values();
        let there = there.filter(|record| record.state != AuthorityState::Requested);
        let published = there.map(|record| (record.id.clone(), sequence)).collect();
        let ids = snapshot.anchors.keys();
        let anchored = ids.map(|id| (id.clone(), sequence)).collect();
        let ends = snapshot.anchors.iter();
        let anchor_ends = ends
            .filter_map(|(id, record)| Some((id.clone(), bundles::end_of(&record.document)?)))
            .collect();
        let raised = before.map(|_| (sequence, Vec::new()));
        Ok(Self {
            by_node: ByNode::of_all(&snapshot),
            names: names::Count::of(&snapshot),
            endings: Arc::new(signals::endings_of(&snapshot)?),
            shares: signals::Shares::of(&snapshot),
            ended_sequence: sequence,
            snapshot,
            authorities: Lazily::new(tenant.clone(), Arc::clone(keys)),
            published,
            anchored,
            anchor_ends,
            bundle_sequence: sequence,
            rules_sequence: sequence,
            trust_sequence: sequence,
            recent: raised.into_iter().collect(),
            remembered: 0,
            forgotten: before.unwrap_or(sequence),
        })
    }

    fn follow(&mut self, sequence: Sequence, changes: Vec<Change>) -> Result<Concerned, Fault> {
        let mut concerned = Concerned::default();
        let mut changed = Vec::with_capacity(changes.len());
        for change in changes {
            changed.push(Changed {
                key: change.key(),
                was_for: concerned.add(&self.snapshot, &change),
            });
            self.by_node.follow(&self.snapshot, &change);
            match &change {
                Change::Put(Object::Authority(record)) => {
                    self.authorities.put(record);
                    // What waits for its certificate is published with that.
                    if record.state != AuthorityState::Requested {
                        self.published.entry(record.id.clone()).or_insert(sequence);
                    }
                    self.bundle_sequence = sequence;
                    self.trust_sequence = sequence;
                }
                Change::Remove(Key::Authority(id)) => {
                    self.authorities.remove(id);
                    self.published.remove(id);
                    self.bundle_sequence = sequence;
                    self.trust_sequence = sequence;
                }
                Change::Put(Object::Anchor(record)) => {
                    self.anchored.insert(record.id.clone(), sequence);
                    match bundles::end_of(&record.document) {
                        Some(end) => self.anchor_ends.insert(record.id.clone(), end),
                        None => self.anchor_ends.remove(&record.id),
                    };
                    self.trust_sequence = sequence;
                }
                Change::Remove(Key::Anchor(id)) => {
                    self.anchored.remove(id);
                    self.anchor_ends.remove(id);
                    self.trust_sequence = sequence;
                }
                Change::Put(Object::Rule(_)) | Change::Remove(Key::Rule(_)) => {
                    self.rules_sequence = sequence;
                }
                other if is_of_view(&other.key()) => self.trust_sequence = sequence,
                Change::Put(Object::Signal(record)) if record.key.kind == SignalKind::Ended => {
                    self.follow_ending(&record.key, Some(record))?;
                    self.ended_sequence = sequence;
                }
                Change::Remove(Key::Signal(key)) if key.kind == SignalKind::Ended => {
                    self.follow_ending(key, None)?;
                    self.ended_sequence = sequence;
                }
                Change::Put(Object::Name(record)) => {
                    let before = self.snapshot.names.get(&record.id);
                    self.names.follow(before, Some(record));
                }
                Change::Remove(Key::Name(id)) => {
                    self.names.follow(self.snapshot.names.get(id), None);
                }
                Change::Put(_) | Change::Remove(_) => {}
            }
            self.snapshot.change(change);
        }
        self.snapshot.sequence = sequence;
        self.remembered += changed.len();
        self.recent.push_back((sequence, changed));
        while self.recent.len() > REMEMBERED_CHANGES || self.remembered > REMEMBERED_OBJECTS {
            let Some((oldest, changed)) = self.recent.pop_front() else {
                break;
            };
            self.forgotten = oldest;
            self.remembered -= changed.len();
        }
        Ok(concerned)
    }

    /// Follows that something ended, ended otherwise, or is forgotten.
    fn follow_ending(
        &mut self,
        key: &SignalKey,
        record: Option<&SignalRecord>,
    ) -> Result<(), Fault> {
        self.shares.follow(self.snapshot.signals.get(key), record);
        let endings = Arc::make_mut(&mut self.endings);
        if let Some(record) = record {
            let (mark, ending) = signals::read_ending(record)?;
            endings.put(mark, ending);
        } else if let Some(mark) = signals::mark_of(key) {
            endings.remove(mark);
        }
        Ok(())
    }

    /// What has changed after `after`, if that is a number that is still remembered. One that was
    /// never seen here may be of a time that is gone, since the store was put back.
    pub(crate) fn changed_after(&self, after: Sequence) -> Option<impl Iterator<Item = &Changed>> {
        let is_known = self
            .recent
            .binary_search_by_key(&after, |(number, _)| *number)
            .is_ok();
        if !is_known && after != self.forgotten {
            return None;
        }
        let start = self.recent.partition_point(|(number, _)| *number <= after);
        Some(self.recent.range(start..).flat_map(|(_, changed)| changed))
    }

    /// How many of the anchors that nodes are told of have ended by `now`.
    pub(crate) fn ended_anchors(&self, now: Time) -> usize {
        self.anchor_ends.values().filter(|end| **end <= now).count()
    }

    /// Where the keys are kept that vouch for a trust domain: for all of them, the place from which
    /// a key is taken the most easily. `None` if there are none, and where the root is elsewhere: where its
    /// key is, nobody here knows.
    pub(crate) fn key_origin(&self, trust_domain: &TrustDomain) -> Option<&'static str> {
        let domain = self.snapshot.trust_domains.get(trust_domain)?;
        if domain.upstream == Upstream::Elsewhere {
            return None;
        }
        let records = self.snapshot.authorities.values();
        let own = records.filter(|record| record.trust_domain == *trust_domain);
        let origins: Vec<&str> = own.filter_map(origin_of).collect();
        let known = [Origin::File, Origin::Memory, Origin::Pkcs11].map(Origin::name);
        known.into_iter().find(|name| origins.contains(name))
    }

    /// What signs for the tenant, opened now if it is not yet.
    pub(crate) fn authorities(&self) -> Result<&Authorities, Fault> {
        self.authorities.of(&self.snapshot.authorities)
    }

    /// Whether that is opened.
    pub(crate) fn is_open(&self) -> bool {
        self.authorities.is_open()
    }

    /// Authorities whose signatures are to be replaced: key identifiers of certificates and of tokens.
    pub(crate) fn distrusted(&self) -> Vec<String> {
        let records = self.snapshot.authorities.values();
        let tainted = records.filter(|record| record.state == AuthorityState::Tainted);
        tainted.map(|record| record.id.to_string()).collect()
    }

    /// The trust domains of the tenant.
    pub(crate) fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.snapshot.trust_domains.keys()
    }
}

/// Whether something beside anchors and authorities is part of what a tenant decides by.
fn is_of_view(key: &Key) -> bool {
    matches!(
        key,
        Key::Issuer(_) | Key::IssuerKeys(_) | Key::IssuerPins(_) | Key::Service(_)
    )
}
