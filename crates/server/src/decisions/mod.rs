//! Decisions on credentials that others have shown, kept so that the tenant can look up what whoever was
//! refused was not told.
//!
//! ```text
//! answered ──► refused ──► waits ──► store      in batches, within a second; on any server, after a restart
//!          └─► accepted ─► memory               the last of each tenant, on the server that decided
//! ```
//!
//! Nobody waits for it: a decision is handed over as it is, and written down later. All room is bounded,
//! and what does not fit is counted and told.

mod record;
mod secrets;
mod shelf;
mod shown;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_store::{DecisionId, DecisionRow, WantedDecisions};
use serde_json::Value;
use tokio::sync::Notify;

use crate::fault::{Fault, Refused};
use crate::plane::{OPERATOR, Plane};
use crate::tenant::Tenant;
pub(crate) use record::{Course, Gave, Place, Record, Said};
use shelf::{Room, Shelf};
pub(crate) use shown::Shown;

/// For how many days what was refused is kept.
pub const REFUSED_DAYS: i64 = 7;

/// How many refusals of one tenant are kept: with 16 KiB for each at most, none fills a disk.
pub const MOST_REFUSED: u32 = 5_000;

/// How many acceptances of one tenant are kept.
pub const MOST_ACCEPTED: usize = 256;

/// Room for what was accepted.
const ACCEPTED: Room = Room {
    most_of_one: MOST_ACCEPTED,
    bytes: 32 << 20,
};

/// Room for what has to be stored yet.
const WAITING: Room = Room {
    most_of_one: 2_048,
    bytes: 32 << 20,
};

/// How many are stored at once, so that others who write wait a moment only.
const BATCH: usize = 64;

/// How long is gathered what is stored together.
const GATHERING: Duration = Duration::from_millis(200);

/// How long is waited after the store has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What was decided lately.
pub(crate) struct Decisions {
    accepted: Mutex<Shelf>,
    waiting: Mutex<Shelf>,
    /// Held by whoever stores.
    storing: Mutex<()>,
    there_are: Notify,
    lost: Mutex<Lost>,
}

/// What there was no room for.
#[derive(Default)]
struct Lost {
    in_all: u64,
    untold: u64,
    /// The minute in which the log told of it last.
    told: Option<i64>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self {
            accepted: Mutex::new(Shelf::of(ACCEPTED)),
            waiting: Mutex::new(Shelf::of(WAITING)),
            storing: Mutex::default(),
            there_are: Notify::new(),
            lost: Mutex::default(),
        }
    }
}

impl Decisions {
    /// How many could not be kept.
    pub(crate) fn lost(&self) -> u64 {
        lock(&self.lost).in_all
    }

    /// Those of a tenant that is held no more.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        lock(&self.accepted).forget(tenant);
        lock(&self.waiting).forget(tenant);
    }

    /// Keeps a decision of a tenant while it is held; how many refusals had to go for it. Of one that was
    /// removed nothing is there for another of its name, whose records are not touched.
    fn keep(&self, tenant: &TenantId, record: Arc<Record>, is_held: impl Fn() -> bool) -> usize {
        if !is_held() {
            return 0;
        }
        let is_accepted = record.is_accepted();
        let shelf = match is_accepted {
            true => &self.accepted,
            false => &self.waiting,
        };
        let gone = lock(shelf).put(tenant, Arc::clone(&record));
        // It may have been removed in between.
        if !is_held() {
            lock(shelf).take_back(tenant, &record);
        }
        if is_accepted {
            return 0;
        }
        self.there_are.notify_one();
        gone
    }

    fn find(&self, tenant: &TenantId, id: &str) -> Option<Arc<Record>> {
        let accepted = lock(&self.accepted).find(tenant, id);
        accepted.or_else(|| lock(&self.waiting).find(tenant, id))
    }

    /// Stores all that waits, for each tenant in turn; what failed first.
    fn store(
        &self,
        store: impl Fn(&TenantId, &[Arc<Record>]) -> Result<(), avouch_store::Fault>,
    ) -> Result<(), avouch_store::Fault> {
        let mut failed = BTreeSet::new();
        let mut first = None;
        loop {
            let Some((tenant, batch)) = lock(&self.waiting).batch(BATCH, &failed) else {
                return first.map_or(Ok(()), Err);
            };
            match store(&tenant, &batch) {
                // The tenant is gone.
                Ok(()) | Err(avouch_store::Fault::Conflict(_)) => {
                    lock(&self.waiting).take(&tenant, &batch);
                }
                Err(fault) => {
                    let is_of_all = is_of_the_whole_store(&fault);
                    let fault = first.get_or_insert(fault).clone();
                    if is_of_all {
                        return Err(fault);
                    }
                    failed.insert(tenant);
                }
            }
        }
    }

    /// Counts what is lost; how much, if the log is to tell of it.
    fn lose(&self, count: usize, now: Time) -> Option<u64> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let mut lost = lock(&self.lost);
        lost.in_all += count;
        lost.untold += count;
        let minute = Some(now.unix().div_euclid(60));
        if count == 0 || lost.told == minute {
            return None;
        }
        lost.told = minute;
        Some(std::mem::take(&mut lost.untold))
    }
}

/// Whether what failed for one tenant fails for each.
fn is_of_the_whole_store(fault: &avouch_store::Fault) -> bool {
    use avouch_store::Fault as Of;
    fault.retryable() || matches!(fault, Of::Denied(_) | Of::Forgetful(_) | Of::Newer { .. })
}

/// Whoever panicked meanwhile, what is held is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plane {
    /// Keeps a decision.
    pub(crate) fn keep_decision(&self, tenant: &Arc<Tenant>, record: Record) {
        let held = tenant.read(|snapshot| snapshot.sequence);
        let record = Arc::new(record.at(held));
        let lost = self
            .decisions
            .keep(tenant.id(), record, || self.holds(tenant));
        if let Some(count) = self.decisions.lose(lost, self.now()) {
            tracing::warn!(
                count,
                "refusals were not kept: there are more than can be stored in time"
            );
        }
    }

    /// Stores what waits for it.
    ///
    /// # Errors
    ///
    /// What failed on our side first; then that waits on, and with it all where the whole store fails.
    pub fn store_decisions(&self) -> Result<(), Fault> {
        let decisions = &self.decisions;
        let _turn = lock(&decisions.storing);
        let stored = decisions.store(|tenant, batch| {
            let rows: Vec<DecisionRow> = batch.iter().filter_map(|one| one.to_row()).collect();
            let held = batch.first().map(|first| first.held).unwrap_or_default();
            self.store.keep_decisions(tenant, held, &rows, MOST_REFUSED)
        });
        stored.map_err(|fault| {
            self.counters.store_failed();
            fault.into()
        })
    }

    /// Forgets what was decided too long ago.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_decisions(&self) -> Result<(), Fault> {
        let before = self.now().plus(-REFUSED_DAYS * 86_400);
        while self.store.forget_decisions(&OPERATOR, before)? > 0 {}
        Ok(())
    }

    /// A decision of the tenant, as long as it is kept.
    pub(crate) fn kept_decision(
        &self,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Option<Value>, Refused> {
        if let Some(record) = self.decisions.find(tenant.id(), id) {
            return Ok(Some(record.to_json()));
        }
        let Some(id) = DecisionId::parse(id) else {
            return Ok(None);
        };
        let found = self.store.decision(tenant.id(), &id)?;
        Ok(found.map(|row| document(&row)).transpose()?)
    }

    /// The decisions of the tenant that are wanted, the latest first, in short; and behind which the next
    /// stand, if there are more.
    pub(crate) fn kept_decisions(
        &self,
        tenant: &Tenant,
        wanted: &WantedDecisions,
    ) -> Result<(Vec<Value>, Option<String>), Refused> {
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        // What is stored in between is there twice, and what waits is looked at first.
        let mut found: Vec<(String, Value)> = Vec::new();
        for shelf in [&self.decisions.accepted, &self.decisions.waiting] {
            let fitting: Vec<Arc<Record>> = {
                let shelf = lock(shelf);
                let latest = shelf.all(tenant.id()).rev();
                let fitting = latest.filter(|one| fits(one, wanted));
                fitting.take(limit.saturating_add(1)).cloned().collect()
            };
            found.extend(fitting.iter().map(|one| (one.id.clone(), one.to_json())));
        }
        let one_more = WantedDecisions {
            limit: wanted.limit.saturating_add(1),
            ..wanted.clone()
        };
        for row in self.store.decisions(tenant.id(), &one_more)? {
            found.push((row.id.to_string(), document(&row)?));
        }
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        found.dedup_by(|(one, _), (other, _)| one == other);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more);
        let next = next.map(|(id, _)| id.clone());
        let found = found.iter().map(|(_, record)| record::summary(record));
        Ok((found.collect(), next))
    }
}

fn document(row: &DecisionRow) -> Result<Value, Fault> {
    let read = serde_json::from_str(&row.document);
    read.map_err(|_| Fault::Stored(format!("the decision {} cannot be read", row.id)))
}

fn fits(record: &Record, wanted: &WantedDecisions) -> bool {
    let before = wanted.before.as_ref().map(DecisionId::as_str);
    let (verdict, code) = (wanted.verdict.as_deref(), wanted.code.as_deref());
    before.is_none_or(|before| record.id.as_str() < before)
        && verdict.is_none_or(|verdict| record.verdict() == verdict)
        && (code.is_none() || record.code() == code)
}

/// Stores what is to be kept, as it comes.
pub(crate) async fn store(plane: Arc<Plane>) {
    let mut is_told = false;
    loop {
        plane.decisions.there_are.notified().await;
        tokio::time::sleep(GATHERING).await;
        let storing = Arc::clone(&plane);
        let stored = tokio::task::spawn_blocking(move || storing.store_decisions()).await;
        let stored = stored.unwrap_or_else(|error| Err(Fault::Bug(error.to_string())));
        if let Err(error) = &stored {
            if !is_told {
                tracing::error!(%error, "refusals could not be stored; they are tried again");
            }
            tokio::time::sleep(PAUSE).await;
            plane.decisions.there_are.notify_one();
        }
        is_told = stored.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_once_a_minute_of_what_is_lost() {
        let decisions = Decisions::default();
        let told = |count, at| decisions.lose(count, Time::from_unix(at));
        assert_eq!(told(0, 0), None);
        assert_eq!(told(2, 1), Some(2));
        assert_eq!(told(3, 59), None);
        assert_eq!(told(1, 60), Some(4));
        assert_eq!(decisions.lost(), 6);
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn a_late_record_of_a_removed_tenant_is_not_kept_and_touches_no_other() {
        let decisions = Decisions::default();
        let one = tenant("one");
        let keep = |id: &str, is_held: &[bool]| {
            let answers = std::cell::RefCell::new(is_held.to_vec());
            decisions.keep(&one, Record::example(id, 1, 10), || {
                answers.borrow_mut().remove(0)
            })
        };
        keep("of the new", &[true, true]);
        keep("late", &[false]);
        keep("removed meanwhile", &[true, false]);
        let waiting = lock(&decisions.waiting);
        let ids: Vec<&str> = waiting.all(&one).map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["of the new"]);
    }

    #[test]
    fn what_cannot_be_stored_of_one_tenant_keeps_no_other_waiting() {
        let decisions = Decisions::default();
        for name in ["a", "b", "c"] {
            decisions.keep(&tenant(name), Record::example(name, 1, 10), || true);
        }
        let corrupt = || avouch_store::Fault::Corrupt("a row".to_owned());
        let failed = decisions.store(|of, _| match *of == tenant("a") {
            true => Err(corrupt()),
            false => Ok(()),
        });
        assert_eq!(failed.unwrap_err().to_string(), corrupt().to_string());
        let waits = |name: &str| lock(&decisions.waiting).all(&tenant(name)).count();
        assert_eq!(["a", "b", "c"].map(waits), [1, 0, 0]);
        // What fails for all is tried for one.
        decisions.keep(&tenant("b"), Record::example("b", 1, 10), || true);
        let tried = std::cell::Cell::new(0);
        let failed = decisions.store(|_, _| {
            tried.set(tried.get() + 1);
            Err(avouch_store::Fault::Full)
        });
        assert!(matches!(failed, Err(avouch_store::Fault::Full)));
        assert_eq!((tried.get(), waits("a"), waits("b")), (1, 1, 1));
    }
}
