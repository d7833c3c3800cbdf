//! Quotas: how much a tenant may have and do, together with all below it. Who administers a tenant
//! above sets them, so nobody raises their own.
//!
//! What a tenant has is counted in what is held of it; what it is issued, in a bucket that fills
//! again ([`Rate`]), on each server for itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{
    BoundedKind, Change, Key, Object, QuotaRecord, Selector, Sequence, Snapshot, Within,
};

use crate::access::{Noun, Verb};
use crate::caller::Caller;
use crate::fault::{Fault, Refused};
use crate::plane::{KnownTenant, Plane};
use crate::tenant::Tenant;

/// What a tenant has that may be bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounded {
    /// Registration entries.
    Entries,
    /// Nodes.
    Nodes,
    /// Trust domains.
    TrustDomains,
}

impl Bounded {
    const ALL: [Self; 3] = [Self::Entries, Self::Nodes, Self::TrustDomains];

    /// What the store calls this.
    fn kind(self) -> BoundedKind {
        match self {
            Self::Entries => BoundedKind::Entry,
            Self::Nodes => BoundedKind::Node,
            Self::TrustDomains => BoundedKind::TrustDomain,
        }
    }

    /// How many of these changes add that are not there yet. What they remove is not taken off: no change
    /// puts one in the place of another.
    fn added(self, snapshot: &Snapshot, changes: &[Change]) -> usize {
        let put = changes.iter().filter_map(|change| match change {
            Change::Put(object) => Some(object.key()),
            Change::Remove(_) => None,
        });
        let is_new = |key: &Key| match (self, key) {
            (Self::Entries, Key::Entry(id)) => !snapshot.entries.contains_key(id),
            (Self::Nodes, Key::Node(id)) => !snapshot.nodes.contains_key(id),
            (Self::TrustDomains, Key::TrustDomain(name)) => {
                !snapshot.trust_domains.contains_key(name)
            }
            _ => false,
        };
        put.filter(is_new).collect::<BTreeSet<Key>>().len()
    }

    fn held(self, snapshot: &Snapshot) -> usize {
        match self {
            Self::Entries => snapshot.entries.len(),
            Self::Nodes => snapshot.nodes.len(),
            Self::TrustDomains => snapshot.trust_domains.len(),
        }
    }

    /// How much of it there is, after which change, if that is at hand: nobody waits for the store.
    fn counted(self, known: &KnownTenant) -> Option<(Sequence, usize)> {
        if let Some(tenant) = known.opened() {
            return Some(tenant.read(|snapshot| (snapshot.sequence, self.held(snapshot))));
        }
        known.counted_last(self.kind())
    }

    fn name(self) -> &'static str {
        self.kind().in_words()
    }

    fn most(self, quota: &QuotaRecord) -> Option<u32> {
        match self {
            Self::Entries => quota.entries,
            Self::Nodes => quota.nodes,
            Self::TrustDomains => quota.trust_domains,
        }
    }

    fn count(self, plane: &Plane, known: &KnownTenant) -> Result<usize, Fault> {
        Ok(match self {
            Self::Entries => plane.counts(known)?.entries,
            Self::Nodes => plane.counts(known)?.nodes,
            Self::TrustDomains => plane.domains_of(known)?.len(),
        })
    }
}

/// How much more there may be of something.
pub(crate) struct Room {
    what: Bounded,
    most: u32,
    left: usize,
}

impl Room {
    /// Takes the place of one, if there is any.
    pub(crate) fn take(&mut self) -> Result<(), Reason> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Reason::IssueQuota {
                what: self.what.name(),
                most: self.most,
            }),
        }
    }
}

/// For which workloads entries of a tenant may be. Nodes serve their tenant and all below it, so without
/// this each of those may give any workload of a shared node an identity of its own, which becomes the
/// default one if its entry is the oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workloads(Vec<Vec<Selector>>);

impl Workloads {
    /// Whether entries may be for any.
    pub(crate) fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an entry may select workloads by these.
    pub(crate) fn admit(&self, selectors: &[Selector]) -> bool {
        let mut said = self.0.iter();
        said.all(|some| some.iter().any(|one| selectors.contains(one)))
    }

    /// What tells it from any other.
    pub(crate) fn digest(&self) -> Digest {
        let said = self.0.iter().map(|some| {
            let some: Vec<String> = some.iter().map(ToString::to_string).collect();
            Digest::of_list(some.iter().map(String::as_bytes))
        });
        let said: Vec<Digest> = said.collect();
        Digest::of_list(said.iter().map(|one| one.as_bytes().as_slice()))
    }

    /// The first of those who have said something that an entry must keep to, in their words.
    pub(crate) fn named(&self) -> String {
        let said = self.0.iter().map(|some| {
            let some: Vec<String> = some.iter().map(|one| format!("`{one}`")).collect();
            format!("one of {}", some.join(", "))
        });
        said.collect::<Vec<_>>().join(", and ")
    }
}

/// How many credentials may be issued now.
pub(crate) struct Admission {
    left: u64,
    most: u32,
    seconds: u32,
}

impl Admission {
    /// Lets one be issued, if that may be.
    pub(crate) fn take(&mut self) -> Result<(), Reason> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Reason::IssueRate {
                most: self.most,
                seconds: self.seconds,
            }),
        }
    }
}

impl Plane {
    /// What a tenant may have and do; nothing that is not named is bounded.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn put_quota(
        &self,
        tenant: &Arc<Tenant>,
        quota: QuotaRecord,
    ) -> Result<(), Refused> {
        let before = tenant.read(|snapshot| snapshot.quota.clone());
        let before = before.unwrap_or_default().workloads;
        // Nodes are told anew of each tenant below, too: of one that has changed, in which other
        // entries count now, also if they are away. Where one cannot be read nothing is changed, since
        // its nodes would not hear of it, and nobody would say it to them later.
        let all = match before != quota.workloads {
            true => self.with_all_below(tenant.id())?,
            false => Vec::new(),
        };
        self.apply(tenant, &[stored(quota)])?;
        for below in all {
            if below.id() != tenant.id() {
                // Only as it is now: whoever changes it meanwhile is not undone.
                self.settle(&below, || {
                    let own = below.read(|snapshot| snapshot.quota.clone());
                    Ok(((), vec![stored(own.unwrap_or_default())]))
                })?;
            }
        }
        Ok(())
    }

    /// Whether `caller` may set the quota of a tenant: who may change tenants where it stands.
    ///
    /// # Errors
    ///
    /// `issue.not_permitted`.
    pub(crate) fn permit_quota(&self, caller: &Caller, tenant: &Tenant) -> Result<(), Reason> {
        self.permit_above(caller, tenant, "quota")
    }

    /// Whether `caller` may change `what` of a tenant: who may change tenants where it stands.
    pub(crate) fn permit_above(
        &self,
        caller: &Caller,
        tenant: &Tenant,
        what: &'static str,
    ) -> Result<(), Reason> {
        let above = tenant.parent().and_then(|parent| self.opened(parent));
        // Above the root there is nobody.
        let is_root = tenant.parent().is_none();
        let roles = above
            .map(|above| self.roles(caller, &above))
            .unwrap_or_default();
        let may = roles.iter().any(|role| role.may(Verb::Write, Noun::Tenant));
        if is_root || may {
            return Ok(());
        }
        Err(Reason::IssueNotPermitted {
            subject: caller.id.to_string(),
            verb: Verb::Write.name(),
            noun: what,
        })
    }

    /// Refuses who may not change tenants below the root: what it asks for belongs to the deployment.
    ///
    /// # Errors
    ///
    /// `issue.not_permitted`, or what failed on our side.
    pub(crate) fn permit_at_root(
        &self,
        caller: &Caller,
        what: &'static str,
    ) -> Result<(), Refused> {
        let roles = self.roles(caller, &self.root()?);
        if roles.iter().any(|role| role.may(Verb::Write, Noun::Tenant)) {
            return Ok(());
        }
        Err(Reason::IssueNotPermitted {
            subject: caller.id.to_string(),
            verb: Verb::Write.name(),
            noun: what,
        }
        .into())
    }

    /// For which workloads entries of a tenant may be: what has been said of it and of all above it.
    pub(crate) fn workloads_of(&self, tenant: &Arc<Tenant>) -> Workloads {
        let own = tenant.read(|snapshot| snapshot.quota.clone());
        self.workloads_under(tenant, own.as_ref())
    }

    /// As [`Plane::workloads_of`], for who has looked at the quota of the tenant itself.
    pub(crate) fn workloads_under(
        &self,
        tenant: &Arc<Tenant>,
        own: Option<&QuotaRecord>,
    ) -> Workloads {
        let own = own.map(|quota| quota.workloads.clone());
        let above = tenant.parent().and_then(|parent| self.opened(parent));
        let above = above.map(|above| self.quotas(&above)).unwrap_or_default();
        let above = above.into_iter().map(|(_, quota)| quota.workloads);
        let said = own.into_iter().chain(above);
        Workloads(said.filter(|some| !some.is_empty()).collect())
    }

    /// How many there are of something in a tenant and all below it.
    pub(crate) fn used(&self, tenant: &Tenant, what: Bounded) -> Result<usize, Fault> {
        let all = self.known_below(tenant.id());
        all.iter().map(|known| what.count(self, known)).sum()
    }

    /// How many more of something a tenant may have, if anyone has said: the least of what it and
    /// all above it have left.
    pub(crate) fn room(&self, tenant: &Arc<Tenant>, what: Bounded) -> Result<Option<Room>, Fault> {
        let mut least: Option<Room> = None;
        for (tenant, quota) in self.quotas(tenant) {
            let Some(most) = what.most(&quota) else {
                continue;
            };
            let bound = usize::try_from(most).unwrap_or(usize::MAX);
            let left = bound.saturating_sub(self.used(&tenant, what)?);
            if least.as_ref().is_none_or(|least| left < least.left) {
                least = Some(Room { what, most, left });
            }
        }
        Ok(least)
    }

    /// The bounds that changes have to keep to, those of the root first, as far as it is counted here.
    /// What is not, and where others write at once, the store counts.
    pub(crate) fn bounds_of(&self, tenant: &Arc<Tenant>, changes: &[Change]) -> Vec<Within> {
        let mut bounds = Vec::new();
        for (top, quota) in self.quotas(tenant).into_iter().rev() {
            for what in Bounded::ALL {
                let Some(most) = what.most(&quota) else {
                    continue;
                };
                let added = tenant.read(|snapshot| what.added(snapshot, changes));
                if added == 0 {
                    continue;
                }
                let all = self.known_below(top.id());
                let counted = all
                    .iter()
                    .filter_map(|known| Some((known.id().clone(), what.counted(known)?)));
                bounds.push(Within {
                    top: top.id().clone(),
                    kind: what.kind(),
                    most,
                    added,
                    counted: counted.collect(),
                });
            }
        }
        bounds
    }

    /// Whether a tenant may have one more of something.
    pub(crate) fn check_room(&self, tenant: &Arc<Tenant>, what: Bounded) -> Result<(), Refused> {
        match self.room(tenant, what)? {
            Some(mut room) => Ok(room.take()?),
            None => Ok(()),
        }
    }

    /// Admits as many of `wanted` issuances as the tenant and all above it have left, which are used
    /// up then.
    pub(crate) fn admit_issuances(&self, tenant: &Arc<Tenant>, wanted: usize) -> Admission {
        let now = self.now();
        let mut admission = Admission {
            left: u64::try_from(wanted).unwrap_or(u64::MAX),
            most: 0,
            seconds: 0,
        };
        let mut taken: Vec<(Arc<Tenant>, u64)> = Vec::new();
        for (tenant, quota) in self.quotas(tenant) {
            let Some(most) = quota.issuances_per_minute else {
                continue;
            };
            let (granted, seconds) = tenant.rate.take(most, admission.left, now);
            if granted < admission.left {
                (admission.most, admission.seconds) = (most, seconds);
                // What one above has not left is not taken from those below.
                for (below, before) in &mut taken {
                    below.rate.give_back(before.saturating_sub(granted));
                    *before = granted;
                }
                admission.left = granted;
            }
            taken.push((tenant, granted));
        }
        admission
    }

    /// Whether one credential may be issued for a tenant now.
    pub(crate) fn admit_issuance(&self, tenant: &Arc<Tenant>) -> Result<(), Reason> {
        self.admit_issuances(tenant, 1).take()
    }

    /// Gives an issuance back that was admitted and is not made.
    pub(crate) fn give_back_issuance(&self, tenant: &Arc<Tenant>) {
        for (tenant, quota) in self.quotas(tenant) {
            if quota.issuances_per_minute.is_some() {
                tenant.rate.give_back(1);
            }
        }
    }

    /// The quotas that hold for a tenant: its own, then those above it.
    fn quotas(&self, tenant: &Arc<Tenant>) -> Vec<(Arc<Tenant>, QuotaRecord)> {
        let own = |tenant: Arc<Tenant>| {
            let quota = tenant.read(|snapshot| snapshot.quota.clone())?;
            Some((tenant, quota))
        };
        self.with_all_above(tenant).filter_map(own).collect()
    }
}

fn stored(quota: QuotaRecord) -> Change {
    match quota == QuotaRecord::default() {
        true => Change::Remove(Key::Quota),
        false => Change::Put(Object::Quota(quota)),
    }
}

/// Seconds of a minute: one issuance costs as much as a minute brings for a bound of one.
const MINUTE: u64 = 60;

/// What is left of a bound per minute: full at first, and filled again as time passes.
#[derive(Debug, Default)]
pub(crate) struct Rate(Mutex<Option<Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In sixtieths of an issuance, of which each second brings as many as the bound has.
    sixtieths: u64,
    at: Time,
}

impl Rate {
    /// Takes as many of `wanted` as there are, and says in how many seconds there is the next.
    pub(crate) fn take(&self, most: u32, wanted: u64, now: Time) -> (u64, u32) {
        let most = u64::from(most);
        let full = most * MINUTE;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = held.unwrap_or(Bucket {
            sixtieths: full,
            at: now,
        });
        let passed = u64::try_from(now.unix() - bucket.at.unix()).unwrap_or_default();
        let brought = passed.min(MINUTE) * most;
        let there = (bucket.sixtieths + brought).min(full);
        let granted = (there / MINUTE).min(wanted);
        let left = there - granted * MINUTE;
        // A clock that was far ahead for a while is not waited for.
        let was_ahead = bucket.at.since(now) > MINUTE.cast_signed();
        *held = Some(Bucket {
            sixtieths: left,
            at: if was_ahead { now } else { now.max(bucket.at) },
        });
        let missing = MINUTE.saturating_sub(left);
        let seconds = if most == 0 {
            MINUTE
        } else {
            missing.div_ceil(most)
        };
        (granted, u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
    }

    fn give_back(&self, count: u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = held.as_mut() {
            bucket.sixtieths += count * MINUTE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    #[test]
    fn a_bound_per_minute_is_full_at_first_and_fills_as_time_passes() {
        let rate = Rate::default();
        assert_eq!(rate.take(30, 20, at(0)).0, 20);
        assert_eq!(rate.take(30, 20, at(0)), (10, 2));
        assert_eq!(rate.take(30, 1, at(1)), (0, 1));
        assert_eq!(rate.take(30, 5, at(2)).0, 1);
        assert_eq!(rate.take(30, 100, at(32)).0, 15);
        assert_eq!(
            rate.take(30, 100, at(10_000)).0,
            30,
            "never more than a minute's"
        );
        // A clock that goes back brings nothing, and takes nothing.
        assert_eq!(rate.take(30, 100, at(9_970)).0, 0);
        assert_eq!(rate.take(30, 100, at(10_010)).0, 5);
        // Nor is one waited for that was far ahead for a while.
        assert_eq!(rate.take(30, 100, at(1_000)).0, 0);
        assert_eq!(rate.take(30, 100, at(1_010)).0, 5);
    }

    #[test]
    fn bounds_of_workloads_are_told_apart_by_their_digests() {
        let digest = |said: &[&[&str]]| {
            let some = |some: &&[&str]| {
                let all = some.iter().map(|one| Selector::parse(one).unwrap());
                all.collect::<Vec<_>>()
            };
            Workloads(said.iter().map(some).collect()).digest()
        };
        let all = [
            digest(&[]),
            digest(&[&["unix:uid:1"]]),
            digest(&[&["unix:uid:2"]]),
            digest(&[&["unix:uid:1", "unix:uid:2"]]),
            digest(&[&["unix:uid:1"], &["unix:uid:2"]]),
            digest(&[&["unix:uid:2"], &["unix:uid:1"]]),
        ];
        let different: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(digest(&[&["unix:uid:1"]]), all[1]);
    }

    #[test]
    fn a_bound_of_nothing_lets_nothing_through() {
        let rate = Rate::default();
        assert_eq!(rate.take(0, 5, at(0)), (0, 60));
        assert_eq!(rate.take(0, 5, at(600)), (0, 60));
    }
}
