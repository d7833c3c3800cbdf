//! Several servers on one store: each tells the others how far its followers have come, and notices
//! when the store was put back to an earlier state.
//!
//! Numbers of changes are never given twice, not even after that: with each start, and whenever a
//! server notices, they go on from a number made of the time ([`fresh_numbers`]). So what a node
//! holds of a time that is gone never looks like what is there now, and it is told everything anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use avouch_core::id::{SpiffeId, TenantId, hex};
use avouch_core::time::Time;
use avouch_issuer::random::{Random, SystemRandom};
use avouch_store::{Followers, Report, Sequence, ServerId};

use crate::fault::Fault;
use crate::plane::{OPERATOR, Plane};
use crate::tenant::Tenant;

#[cfg(test)]
mod tests;

/// How long a server counts that has not reported, in seconds: some twelve reports, and what clocks
/// may differ. Its nodes will have found another by then, or hold what they hold.
const SILENCE: i64 = 60;

/// Bits below the seconds of a fresh number: room for a million changes in each second that passes.
const BELOW_SECONDS: u32 = 20;

/// What this server has told the others.
pub(crate) struct Sharing {
    server: ServerId,
    is_shared: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// The number of the last report.
    number: u64,
    followers: BTreeMap<TenantId, Followers>,
    /// Tenants of reports that may have been stored or not.
    in_doubt: BTreeSet<TenantId>,
}

impl Sharing {
    /// As a server that was never heard of.
    pub(crate) fn new(random: &SystemRandom) -> Result<Self, Fault> {
        let mut bytes = [0_u8; 16];
        random.fill(&mut bytes)?;
        let server = ServerId::parse(&hex(&bytes));
        Ok(Self {
            server: server.ok_or_else(|| Fault::Bug("a new name is no name".to_owned()))?,
            is_shared: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }
}

impl Sharing {
    /// Whether other servers on the store are told of this one.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }
}

/// Who follows a tenant now, on this server by name and on each other by the slowest.
pub(crate) struct Audience {
    here: BTreeMap<SpiffeId, u64>,
    elsewhere: Vec<Followers>,
}

/// Who of an audience holds a tenant up to some number. Of other servers nobody is counted whose
/// slowest does not, so there may be more than `holding`, and never fewer.
pub(crate) struct Holding<'a> {
    pub(crate) holding: usize,
    /// Those of this server.
    pub(crate) held_by: Vec<&'a SpiffeId>,
    /// Those of this server, and the slowest of each other.
    pub(crate) not_held_by: Vec<&'a SpiffeId>,
}

impl Audience {
    pub(crate) fn count(&self) -> usize {
        let elsewhere = self.elsewhere.iter().map(count_of);
        self.here.len() + elsewhere.sum::<usize>()
    }

    /// Who holds it up to `since`; nobody where nothing was published yet.
    pub(crate) fn holding(&self, since: Option<Sequence>) -> Holding<'_> {
        let is_held = |held: Sequence| since.is_some_and(|since| held >= since);
        let (here, behind): (Vec<_>, Vec<_>) = self
            .here
            .iter()
            .partition(|(_, held)| is_held(Sequence::of(**held)));
        let (elsewhere, slow): (Vec<&Followers>, Vec<&Followers>) =
            self.elsewhere.iter().partition(|one| is_held(one.least));
        let behind = behind.into_iter().map(|(node, _)| node);
        Holding {
            holding: here.len() + elsewhere.into_iter().map(count_of).sum::<usize>(),
            held_by: here.into_iter().map(|(node, _)| node).collect(),
            not_held_by: behind
                .chain(slow.into_iter().map(|one| &one.slowest))
                .collect(),
        }
    }
}

fn count_of(followers: &Followers) -> usize {
    usize::try_from(followers.count).unwrap_or(usize::MAX)
}

/// A number above all that were given before `now`.
pub(crate) fn fresh_numbers(now: Time) -> Sequence {
    let seconds = u64::try_from(now.unix()).unwrap_or_default();
    Sequence::of(seconds << BELOW_SECONDS)
}

impl Plane {
    /// Tells the other servers on this store how far those have come who follow here; from the first
    /// time on, theirs are waited for as well.
    ///
    /// # Errors
    ///
    /// What failed on our side; then the next report says it all.
    pub fn report_followers(&self) -> Result<(), Fault> {
        let sharing = &self.sharing;
        sharing.is_shared.store(true, Ordering::Relaxed);
        let mut told = sharing.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.presences.summary();
        let changed = told.changed(&now);
        let tenants = changed.iter().map(|one| one.tenant.clone());
        told.in_doubt.extend(tenants.collect::<Vec<_>>());
        let report = Report {
            server: sharing.server.clone(),
            number: told.number + 1,
            at: self.now(),
            followers: changed,
        };
        let is_next = self.store.report(&OPERATOR, &report)?;
        told.number = report.number;
        told.in_doubt.clear();
        told.followers = now;
        if is_next {
            return Ok(());
        }
        // The store does not know what it was told last: of followers it knows nothing, either.
        told.in_doubt = told.followers.keys().cloned().collect();
        drop(told);
        self.start_anew()
    }

    /// Who follows a tenant now, on whichever server. While the store does not answer, those of this
    /// one.
    pub(crate) fn audience(&self, tenant: &Tenant) -> Audience {
        let elsewhere = self.followers_elsewhere(tenant);
        Audience {
            here: self.presences.of(tenant.id()),
            elsewhere: elsewhere.unwrap_or_else(|error| {
                tracing::warn!(%error, "it cannot be told who follows on other servers");
                Vec::new()
            }),
        }
    }

    fn followers_elsewhere(&self, tenant: &Tenant) -> Result<Vec<Followers>, Fault> {
        let sharing = &self.sharing;
        if !sharing.is_shared.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let since = self.now().plus(-SILENCE);
        Ok(self.store.followers(tenant.id(), &sharing.server, since)?)
    }

    /// Which nodes that follow a tenant now, here or on another server, do not hold all of it up to
    /// `sequence`; of those elsewhere the slowest of each server stands for all. Just after a start,
    /// nodes that have not come back yet are among them.
    pub(crate) fn behind(
        &self,
        tenant: &Tenant,
        sequence: Sequence,
    ) -> Result<Vec<SpiffeId>, Fault> {
        let mut behind = self.presences.behind(tenant.id(), sequence);
        if self.sharing.is_shared() {
            let elsewhere = self.followers_elsewhere(tenant)?.into_iter();
            let slow = elsewhere.filter(|one| one.least < sequence);
            behind.extend(slow.map(|one| one.slowest));
        } else if self.is_settling() {
            behind.extend(self.not_back(tenant));
        }
        Ok(behind)
    }
}

impl Plane {
    /// Whether those who followed before this server was started may still be on their way back:
    /// readers come at the interval that they are asked to keep, nodes well before.
    pub(crate) fn is_settling(&self) -> bool {
        self.now() < self.settled
    }

    /// The nodes that serve a tenant and do not follow it.
    fn not_back(&self, tenant: &Tenant) -> Vec<SpiffeId> {
        let back = self.presences.of(tenant.id());
        let mut missing = Vec::new();
        let own = self.opened(tenant.id());
        for tenant in own.iter().flat_map(|own| self.with_all_above(own)) {
            tenant.read(|snapshot| {
                let nodes = snapshot.nodes.values().filter(|node| node.banned.is_none());
                let nodes = nodes.map(|node| &node.spiffe_id);
                missing.extend(nodes.filter(|node| !back.contains_key(*node)).cloned());
            });
        }
        missing
    }
}

impl Told {
    /// What must be told so that others know what is so now.
    fn changed(&self, now: &BTreeMap<TenantId, Followers>) -> Vec<Followers> {
        let is_told = |one: &Followers| {
            !self.in_doubt.contains(&one.tenant) && self.followers.get(&one.tenant) == Some(one)
        };
        let mut changed: Vec<Followers> =
            now.values().filter(|one| !is_told(one)).cloned().collect();
        let left = self.followers.values();
        let left = left.filter(|one| !now.contains_key(&one.tenant));
        changed.extend(left.map(|one| Followers {
            count: 0,
            ..one.clone()
        }));
        changed
    }
}
