//! Records in the order in which they came, for each tenant by itself, in bounded room. Where there is no
//! more, the oldest of whoever has the most goes first: nobody takes the room of the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use avouch_core::id::TenantId;

use super::record::Record;

/// How much room there is.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// How many records a tenant may have.
    pub(super) most_of_one: usize,
    /// How many bytes there are for all.
    pub(super) bytes: usize,
}

pub(super) struct Shelf {
    room: Room,
    bytes: usize,
    places: BTreeMap<TenantId, Place>,
    /// Who has how much.
    sizes: BTreeSet<(usize, TenantId)>,
    /// Of whom the last batch was.
    last: Option<TenantId>,
}

#[derive(Default)]
struct Place {
    bytes: usize,
    records: VecDeque<Arc<Record>>,
}

impl Shelf {
    pub(super) fn of(room: Room) -> Self {
        Self {
            room,
            bytes: 0,
            places: BTreeMap::new(),
            sizes: BTreeSet::new(),
            last: None,
        }
    }

    /// Adds a record; how many had to go for it.
    pub(super) fn put(&mut self, tenant: &TenantId, record: Arc<Record>) -> usize {
        self.change(tenant, |place| {
            place.bytes += record.size();
            place.records.push_back(record);
        });
        let mut gone = 0;
        if self.count(tenant) > self.room.most_of_one {
            self.change(tenant, Place::drop_oldest);
            gone += 1;
        }
        while self.bytes > self.room.bytes {
            let Some((_, fullest)) = self.sizes.last().cloned() else {
                break;
            };
            self.change(&fullest, Place::drop_oldest);
            gone += 1;
        }
        gone
    }

    /// The records of a tenant, the oldest first.
    pub(super) fn all(&self, tenant: &TenantId) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        let place = self.places.get(tenant);
        place.into_iter().flat_map(|place| &place.records)
    }

    pub(super) fn find(&self, tenant: &TenantId, id: &str) -> Option<Arc<Record>> {
        self.all(tenant).rev().find(|one| one.id == id).cloned()
    }

    /// The oldest of some tenant that were decided on the same state of it, at most `most`. It is each
    /// tenant's turn, so that nobody waits for one who has more and more; `but` are left out.
    pub(super) fn batch(
        &mut self,
        most: usize,
        but: &BTreeSet<TenantId>,
    ) -> Option<(TenantId, Vec<Arc<Record>>)> {
        let above = match &self.last {
            Some(last) => (Bound::Excluded(last), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let from_there = self.places.range::<TenantId, _>(above);
        let mut in_turn = from_there.chain(&self.places);
        let (tenant, place) = in_turn.find(|(tenant, _)| !but.contains(tenant))?;
        let first = place.records.front()?.held;
        let alike = place.records.iter().take_while(|one| one.held == first);
        let batch = alike.take(most).cloned().collect();
        let tenant = tenant.clone();
        self.last = Some(tenant.clone());
        Some((tenant, batch))
    }

    /// Takes away those of a batch that are still there.
    pub(super) fn take(&mut self, tenant: &TenantId, batch: &[Arc<Record>]) {
        self.change(tenant, |place| {
            for done in batch {
                let is_first = |one: &Arc<Record>| Arc::ptr_eq(one, done);
                if place.records.front().is_some_and(is_first) {
                    place.drop_oldest();
                }
            }
        });
    }

    /// Takes a record away again that was put last or nearly so.
    pub(super) fn take_back(&mut self, tenant: &TenantId, record: &Arc<Record>) {
        self.change(tenant, |place| {
            let found = place.records.iter();
            let found = found.rev().position(|one| Arc::ptr_eq(one, record));
            if let Some(from_end) = found {
                let at = place.records.len() - 1 - from_end;
                place.records.remove(at);
                place.bytes -= record.size();
            }
        });
    }

    pub(super) fn forget(&mut self, tenant: &TenantId) {
        self.change(tenant, |place| *place = Place::default());
    }

    fn count(&self, tenant: &TenantId) -> usize {
        self.places
            .get(tenant)
            .map_or(0, |place| place.records.len())
    }

    fn change(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Place)) {
        let mut place = self.places.remove(tenant).unwrap_or_default();
        let before = (place.bytes, tenant.clone());
        self.sizes.remove(&before);
        change(&mut place);
        self.bytes = self.bytes + place.bytes - before.0;
        if !place.records.is_empty() {
            self.sizes.insert((place.bytes, tenant.clone()));
            self.places.insert(tenant.clone(), place);
        }
    }
}

impl Place {
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.records.pop_front() {
            self.bytes -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn names(shelf: &Shelf, of: &str) -> Vec<String> {
        shelf.all(&tenant(of)).map(|one| one.id.clone()).collect()
    }

    #[test]
    fn of_one_tenant_only_so_many_are_kept_and_the_oldest_go_first() {
        let room = Room {
            most_of_one: 2,
            bytes: usize::MAX,
        };
        let mut shelf = Shelf::of(room);
        let gone = ["1", "2", "3"].map(|id| shelf.put(&tenant("a"), Record::example(id, 1, 10)));
        assert_eq!(gone, [0, 0, 1]);
        shelf.put(&tenant("b"), Record::example("4", 1, 10));
        assert_eq!(names(&shelf, "a"), ["2", "3"]);
        assert!(shelf.find(&tenant("a"), "3").is_some());
        assert!(shelf.find(&tenant("a"), "1").is_none());
        assert!(shelf.find(&tenant("a"), "4").is_none());
        shelf.forget(&tenant("a"));
        assert_eq!(names(&shelf, "a"), Vec::<String>::new());
        assert_eq!(shelf.bytes, Record::example("4", 1, 10).size());
    }

    #[test]
    fn whoever_has_the_most_makes_room_for_all() {
        let size = Record::example("x", 1, 10).size();
        let room = Room {
            most_of_one: 100,
            bytes: 4 * size,
        };
        let mut shelf = Shelf::of(room);
        shelf.put(&tenant("a"), Record::example("quiet", 1, 10));
        for number in 0..50 {
            let id = format!("{number:02}");
            shelf.put(&tenant("loud"), Record::example(&id, 1, 10));
        }
        assert_eq!(names(&shelf, "a"), ["quiet"]);
        assert_eq!(names(&shelf, "loud"), ["47", "48", "49"]);
        assert_eq!(shelf.bytes, 4 * size);
    }

    #[test]
    fn a_batch_is_of_one_tenant_as_it_was_at_one_time() {
        let room = Room {
            most_of_one: 3,
            bytes: usize::MAX,
        };
        let mut shelf = Shelf::of(room);
        for (id, held) in [("1", 1), ("2", 1), ("3", 2)] {
            shelf.put(&tenant("a"), Record::example(id, held, 10));
        }
        let (of, batch) = shelf.batch(10, &BTreeSet::new()).unwrap();
        assert_eq!((of, batch.len()), (tenant("a"), 2));
        // Meanwhile another comes, and the first has to go.
        shelf.put(&tenant("a"), Record::example("4", 2, 10));
        shelf.take(&tenant("a"), &batch);
        assert_eq!(names(&shelf, "a"), ["3", "4"]);
    }

    #[test]
    fn who_has_more_and_more_keeps_nobody_waiting() {
        const MOST: usize = 64;
        let room = Room {
            most_of_one: 1_000,
            bytes: usize::MAX,
        };
        let mut shelf = Shelf::of(room);
        let put = |shelf: &mut Shelf, of: &str, count: usize| {
            for number in 0..count {
                shelf.put(&tenant(of), Record::example(&number.to_string(), 1, 10));
            }
        };
        put(&mut shelf, "a", 200);
        put(&mut shelf, "b", 1);
        let none = BTreeSet::new();
        let mut served = Vec::new();
        for _ in 0..3 {
            let (of, batch) = shelf.batch(MOST, &none).unwrap();
            shelf.take(&of, &batch);
            served.push(of);
            put(&mut shelf, "a", MOST);
        }
        assert_eq!(served, [tenant("a"), tenant("b"), tenant("a")]);
        // Whose cannot be stored is passed over.
        put(&mut shelf, "c", 1);
        let mut but = none;
        for next in ["c", "a"] {
            let (of, _) = shelf.batch(MOST, &but).unwrap();
            assert_eq!(of, tenant(next));
            but.insert(of);
        }
        assert!(shelf.batch(MOST, &but).is_none());
    }
}
