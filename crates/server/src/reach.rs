//! Which nodes an entry is for, and so which nodes a change of it is news for.
//!
//! A change that concerns one node wakes that node alone: thousands follow, and most changes are
//! nothing to most of them.

use std::collections::{BTreeMap, BTreeSet};

use avouch_core::id::SpiffeId;
use avouch_store::{Change, Entry, EntryId, Key, Object, SignalKind, Snapshot};

/// Which nodes an entry may be for; what must have been attested of them is not looked at here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    None,
    One(SpiffeId),
    Every,
}

impl Reach {
    /// Those of an entry; none if there is no entry.
    pub(crate) fn of(entry: Option<&Entry>) -> Self {
        match entry.map(|entry| &entry.parent) {
            None => Self::None,
            Some(None) => Self::Every,
            Some(Some(node)) => Self::One(node.clone()),
        }
    }

    pub(crate) fn includes(&self, node: &SpiffeId) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => one == node,
            Self::Every => true,
        }
    }
}

/// Which nodes a change is news for.
#[derive(Debug, Default)]
pub(crate) struct Concerned {
    pub(crate) everyone: bool,
    pub(crate) nodes: BTreeSet<SpiffeId>,
}

impl Concerned {
    pub(crate) fn everyone() -> Self {
        Self {
            everyone: true,
            nodes: BTreeSet::new(),
        }
    }

    /// Adds those whom a change concerns that is about to be made. Gives whom the entry was for
    /// until now, if it is one.
    pub(crate) fn add(&mut self, before: &Snapshot, change: &Change) -> Reach {
        let was_for = match change.key() {
            Key::Entry(id) => Reach::of(before.entries.get(&id).map(AsRef::as_ref)),
            Key::Node(id) => {
                // It is banned, may come back, or other things were attested of it.
                let node = before.nodes.get(&id).map(|node| node.spiffe_id.clone());
                self.nodes.extend(node);
                Reach::None
            }
            Key::Anchor(_) | Key::Authority(_) | Key::Quota | Key::TrustDomain(_) => {
                self.everyone = true;
                Reach::None
            }
            // Nodes are told of the anchor that a relation keeps.
            Key::Admin(_)
            | Key::Attestor(_)
            | Key::Egress(_)
            | Key::Federation(_)
            | Key::Issuer(_)
            | Key::IssuerKeys(_)
            | Key::IssuerPins(_)
            | Key::JoinToken(_)
            | Key::Name(_)
            | Key::Tally(_)
            | Key::Rule(_)
            | Key::Service(_) => Reach::None,
            Key::Signal(key) => {
                self.everyone |= key.kind == SignalKind::Ended;
                Reach::None
            }
        };
        self.reach(&was_for);
        if let Change::Put(Object::Entry(entry)) = change {
            self.reach(&Reach::of(Some(entry)));
        }
        was_for
    }

    /// Adds those whom another change concerns.
    pub(crate) fn extend(&mut self, other: Self) {
        self.everyone |= other.everyone;
        self.nodes.extend(other.nodes);
    }

    fn reach(&mut self, reach: &Reach) {
        match reach {
            Reach::None => {}
            Reach::One(node) => {
                self.nodes.insert(node.clone());
            }
            Reach::Every => self.everyone = true,
        }
    }
}

/// The entries of a tenant by the nodes that they are for.
#[derive(Default)]
pub(crate) struct ByNode {
    of_every_node: BTreeSet<EntryId>,
    of_one_node: BTreeMap<SpiffeId, BTreeSet<EntryId>>,
}

impl ByNode {
    pub(crate) fn of_all(snapshot: &Snapshot) -> Self {
        let mut all = Self::default();
        for entry in snapshot.entries.values() {
            all.put(entry);
        }
        all
    }

    /// Brings it to where a change leads that is about to be made.
    pub(crate) fn follow(&mut self, before: &Snapshot, change: &Change) {
        let Key::Entry(id) = change.key() else {
            return;
        };
        if let Some(entry) = before.entries.get(&id) {
            self.remove(entry);
        }
        if let Change::Put(Object::Entry(entry)) = change {
            self.put(entry);
        }
    }

    /// The entries that a node serves, by name.
    pub(crate) fn of(&self, node: &SpiffeId) -> impl Iterator<Item = &EntryId> {
        let own = self.of_one_node.get(node);
        self.of_every_node.iter().chain(own.into_iter().flatten())
    }

    fn put(&mut self, entry: &Entry) {
        let id = entry.id.clone();
        match &entry.parent {
            None => self.of_every_node.insert(id),
            Some(node) => {
                let of_node = self.of_one_node.entry(node.clone());
                of_node.or_default().insert(id)
            }
        };
    }

    fn remove(&mut self, entry: &Entry) {
        let Some(node) = &entry.parent else {
            self.of_every_node.remove(&entry.id);
            return;
        };
        if let Some(own) = self.of_one_node.get_mut(node) {
            own.remove(&entry.id);
            if own.is_empty() {
                self.of_one_node.remove(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use avouch_core::time::Time;
    use avouch_store::Extras;

    use super::*;

    fn node(name: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://a.test/avouch/node/{name}")).unwrap()
    }

    fn put(name: &str, parent: Option<&str>) -> Change {
        Change::Put(Object::Entry(Entry {
            id: EntryId::parse(name).unwrap(),
            spiffe_id: SpiffeId::parse("spiffe://a.test/web").unwrap().into(),
            parent: parent.map(node),
            selectors: Box::default(),
            created: Time::from_unix(0),
            extras: Extras::default(),
        }))
    }

    /// Makes the changes one after another, and tells whom they concern together.
    fn follow(snapshot: &mut Snapshot, all: &mut ByNode, changes: Vec<Change>) -> Concerned {
        let mut concerned = Concerned::default();
        for change in changes {
            concerned.add(snapshot, &change);
            all.follow(snapshot, &change);
            snapshot.change(change);
        }
        concerned
    }

    #[test]
    fn a_change_concerns_whom_the_entry_was_for_and_whom_it_is_for_now() {
        let (mut snapshot, mut all) = (Snapshot::default(), ByNode::default());
        let made = follow(&mut snapshot, &mut all, vec![put("e", Some("one"))]);
        assert_eq!((made.everyone, made.nodes), (false, [node("one")].into()));
        let moved = follow(&mut snapshot, &mut all, vec![put("e", Some("two"))]);
        let both = [node("one"), node("two")].into();
        assert_eq!((moved.everyone, moved.nodes), (false, both));
        let opened = follow(&mut snapshot, &mut all, vec![put("e", None)]);
        assert!(opened.everyone);
        let gone = Change::Remove(Key::Entry(EntryId::parse("e").unwrap()));
        assert!(follow(&mut snapshot, &mut all, vec![gone.clone()]).everyone);
        let again = follow(&mut snapshot, &mut all, vec![gone]);
        assert_eq!((again.everyone, again.nodes), (false, BTreeSet::new()));
    }

    #[test]
    fn the_entries_of_a_node_are_those_that_a_look_at_all_of_them_finds() {
        let (mut snapshot, mut all) = (Snapshot::default(), ByNode::default());
        let parents = [None, Some("one"), Some("two")];
        for step in 0..200_usize {
            let name = format!("e{}", step * 7 % 20);
            let change = if step % 5 == 4 {
                Change::Remove(Key::Entry(EntryId::parse(&name).unwrap()))
            } else {
                put(&name, parents[step / 3 % 3])
            };
            follow(&mut snapshot, &mut all, vec![change]);
            for name in ["one", "two", "three"] {
                let node = node(name);
                let found: BTreeSet<&EntryId> = all.of(&node).collect();
                let entries = snapshot.entries.values();
                let own = entries.filter(|entry| Reach::of(Some(entry)).includes(&node));
                assert_eq!(found, own.map(|entry| &entry.id).collect());
            }
        }
    }
}
