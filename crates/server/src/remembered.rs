//! What is kept in memory for a while, of what had to be fetched or made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::TenantId;
use avouch_core::time::Time;

/// How much is kept of one tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The most things.
    pub(crate) entries: usize,
    /// The most bytes they take together.
    pub(crate) bytes: usize,
}

/// Things by name, each with its end. Every tenant has a room of its own, so that none makes those of
/// another be forgotten; where it is full, what ends first makes place.
pub(crate) struct Remembered<K, V> {
    room: Room,
    of: Mutex<BTreeMap<TenantId, OfTenant<K, V>>>,
}

struct OfTenant<K, V> {
    all: BTreeMap<K, Entry<V>>,
    ends: BTreeSet<(Time, K)>,
    bytes: usize,
}

struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    until: Time,
}

impl<K: Ord + Clone, V> OfTenant<K, V> {
    fn remove(&mut self, name: &K) {
        if let Some(entry) = self.all.remove(name) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.ends.remove(&(entry.until, name.clone()));
        }
    }

    /// What ends first, but for one that has just come.
    fn first(&self, but: &K) -> Option<(Time, K)> {
        self.ends.iter().find(|(_, name)| name != but).cloned()
    }
}

impl<K: Ord + Clone, V> Remembered<K, V> {
    /// Nothing yet.
    pub(crate) fn within(room: Room) -> Self {
        Self {
            room,
            of: Mutex::default(),
        }
    }

    /// Keeps something of so many bytes until its end, in the place of what had its name.
    pub(crate) fn keep(
        &self,
        tenant: &TenantId,
        name: K,
        kept: (V, usize),
        until: Time,
        now: Time,
    ) {
        let (value, bytes) = kept;
        let mut of = self.lock();
        let held = of.entry(tenant.clone()).or_insert_with(|| OfTenant {
            all: BTreeMap::new(),
            ends: BTreeSet::new(),
            bytes: 0,
        });
        held.remove(&name);
        if now < until && bytes <= self.room.bytes {
            let value = Arc::new(value);
            held.bytes += bytes;
            held.ends.insert((until, name.clone()));
            held.all.insert(
                name.clone(),
                Entry {
                    value,
                    bytes,
                    until,
                },
            );
        }
        while let Some((end, first)) = held.first(&name) {
            let is_full = held.all.len() > self.room.entries || held.bytes > self.room.bytes;
            if now < end && !is_full {
                break;
            }
            held.remove(&first);
        }
        if held.all.is_empty() {
            of.remove(tenant);
        }
    }

    /// Forgets all that is kept of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.lock().remove(tenant);
    }

    /// Keeps nothing of this name any more.
    pub(crate) fn forget(&self, tenant: &TenantId, name: &K) {
        if let Some(held) = self.lock().get_mut(tenant) {
            held.remove(name);
        }
    }

    /// What has this name and has not ended.
    pub(crate) fn of(&self, tenant: &TenantId, name: &K, now: Time) -> Option<Arc<V>> {
        let of = self.lock();
        let entry = of.get(tenant)?.all.get(name)?;
        (now < entry.until).then(|| Arc::clone(&entry.value))
    }

    /// All that is kept of a tenant, by name, whether it has ended or not.
    pub(crate) fn all(&self, tenant: &TenantId) -> Vec<Arc<V>> {
        let of = self.lock();
        let entries = of
            .get(tenant)
            .into_iter()
            .flat_map(|held| held.all.values());
        entries.map(|entry| Arc::clone(&entry.value)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, OfTenant<K, V>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        entries: 3,
        bytes: 100,
    };

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    #[test]
    fn one_tenant_makes_nothing_of_another_be_forgotten() {
        let kept = Remembered::within(ROOM);
        let (one, two) = (tenant("one"), tenant("two"));
        kept.keep(&two, 0, ("its own", 1), at(10), at(0));
        for name in 0..1_000 {
            kept.keep(&one, name, ("a flood", 1), at(1_000), at(0));
        }
        assert_eq!(kept.of(&two, &0, at(9)).as_deref(), Some(&"its own"));
        assert_eq!(kept.all(&one).len(), 3);
    }

    #[test]
    fn what_is_new_is_kept_and_what_ends_first_makes_place() {
        let kept = Remembered::within(ROOM);
        let one = tenant("one");
        for (name, until) in [(1, 50), (2, 30), (3, 40), (4, 5)] {
            kept.keep(&one, name, (name, 10), at(until), at(0));
        }
        // The new one ends before all others, and is there all the same.
        let there = |name| kept.of(&one, &name, at(1)).is_some();
        assert_eq!([1, 2, 3, 4].map(there), [true, false, true, true]);
        // Bytes count as well: what takes all of the room has it alone, what takes more has none.
        kept.keep(&one, 5, (5, 100), at(60), at(1));
        assert_eq!([1, 3, 4, 5].map(there), [false, false, false, true]);
        kept.keep(&one, 6, (6, 101), at(60), at(1));
        assert_eq!([5, 6].map(there), [true, false]);
    }

    #[test]
    fn nothing_is_used_after_its_end_and_its_place_is_given_back() {
        let kept = Remembered::within(ROOM);
        let one = tenant("one");
        kept.keep(&one, 1, ("first", 100), at(10), at(0));
        assert!(kept.of(&one, &1, at(9)).is_some());
        assert!(kept.of(&one, &1, at(10)).is_none());
        kept.keep(&one, 2, ("second", 60), at(20), at(10));
        kept.keep(&one, 2, ("third", 70), at(15), at(10));
        assert_eq!(kept.all(&one).len(), 1);
        assert_eq!(kept.of(&one, &2, at(14)).as_deref(), Some(&"third"));
        // What has ended already is not kept, and takes the old one with it.
        kept.keep(&one, 2, ("fourth", 1), at(12), at(12));
        assert!(kept.all(&one).is_empty());
    }
}
