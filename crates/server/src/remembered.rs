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

impl<K, V> Default for OfTenant<K, V> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            ends: BTreeSet::new(),
            bytes: 0,
        }
    }
}

impl<K: Ord + Clone, V> OfTenant<K, V> {
    /// Puts something in the place of what had its name, and makes room for it.
    fn put(&mut self, room: Room, name: K, entry: Entry<V>, now: Time) {
        self.remove(&name);
        if now < entry.until && entry.bytes <= room.bytes {
            self.bytes += entry.bytes;
            self.ends.insert((entry.until, name.clone()));
            self.all.insert(name.clone(), entry);
        }
        while let Some((end, first)) = self.first(&name) {
            let is_full = self.all.len() > room.entries || self.bytes > room.bytes;
            if now < end && !is_full {
                break;
            }
            self.remove(&first);
        }
    }

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
        let entry = Entry {
            value: Arc::new(value),
            bytes,
            until,
        };
        let mut of = self.lock();
        let held = of.entry(tenant.clone()).or_default();
        held.put(self.room, name, entry, now);
        if held.all.is_empty() {
            of.remove(tenant);
        }
    }

    /// What has this name, which is kept until a later end from now on; a new one, which takes no bytes,
    /// if there is none.
    pub(crate) fn held(&self, tenant: &TenantId, name: K, until: Time, now: Time) -> Arc<V>
    where
        V: Default,
    {
        let mut of = self.lock();
        let held = of.entry(tenant.clone()).or_default();
        let there = held.all.get(&name).filter(|there| now < there.until);
        let (value, bytes) = there.map_or_else(
            || (Arc::default(), 0),
            |there| (Arc::clone(&there.value), there.bytes),
        );
        let entry = Entry {
            value: Arc::clone(&value),
            bytes,
            until,
        };
        held.put(self.room, name, entry, now);
        value
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

    #[test]
    fn what_is_held_is_one_thing_until_nobody_has_asked_for_it_for_long() {
        let kept: Remembered<u32, Mutex<u32>> = Remembered::within(Room {
            entries: 3,
            bytes: 0,
        });
        let (one, two) = (tenant("one"), tenant("two"));
        let count = |tenant: &TenantId, name: u32, now: i64| {
            let held = kept.held(tenant, name, at(now + 60), at(now));
            let mut count = held.lock().unwrap();
            *count += 1;
            *count
        };
        assert_eq!([count(&one, 1, 0), count(&one, 1, 50)], [1, 2]);
        // Its end has moved with its use.
        assert_eq!([count(&one, 1, 100), count(&one, 1, 160)], [3, 1]);
        // A flood of another tenant takes nothing of it, and its own flood what was used least lately.
        for name in 0..1_000 {
            count(&two, name, 161);
        }
        assert_eq!(count(&one, 1, 170), 2);
        for (name, now) in [(2, 171), (3, 172), (4, 173)] {
            count(&one, name, now);
        }
        assert_eq!(count(&one, 4, 174), 2);
        assert_eq!(kept.all(&one).len(), 3);
        // What is over makes room by itself.
        count(&one, 9, 1_000);
        assert_eq!(kept.all(&one).len(), 1);
    }
}
