//! What a call to `apply` comes to, worked out once for every engine.

use std::collections::{BTreeMap, BTreeSet};

use avouch_core::id::{Digest, TrustDomain};

use crate::change::{Change, Feed, Key, Object, Sequence};
use crate::codec::{Row, key_text};
use crate::fault::Fault;
use crate::names::AuthorityId;
use crate::record::AuthorityRecord;

/// The rows to write and what must hold for them. Names are in order, so that two calls that want
/// the same rows take them in the same order and never wait for each other.
pub(crate) struct Plan {
    /// The last change of each object.
    pub(crate) rows: Vec<Row>,
    /// Trust domains that must be nobody else's: those that are put.
    pub(crate) claimed: BTreeSet<TrustDomain>,
    /// Trust domains that the tenant must have afterwards.
    pub(crate) needed: BTreeSet<TrustDomain>,
    /// Trust domains that nothing may need afterwards: those that are removed.
    pub(crate) dropped: BTreeSet<TrustDomain>,
    /// Authorities that hold no key any more that was brought along.
    pub(crate) without: BTreeSet<AuthorityId>,
    /// Keys that were brought along, by their digest, which must be no other authority's.
    pub(crate) brought: BTreeMap<Digest, Brought>,
}

/// A key that was brought along.
pub(crate) struct Brought {
    /// Which authority signs with it.
    pub(crate) authority: AuthorityId,
    /// Its public half, as it stands in a body.
    pub(crate) public_key: String,
}

impl Plan {
    pub(crate) fn of(changes: &[Change]) -> Result<Self, Fault> {
        let last: BTreeMap<Key, &Change> = changes
            .iter()
            .map(|change| (change.key(), change))
            .collect();
        let mut plan = Self {
            rows: Vec::with_capacity(last.len()),
            claimed: BTreeSet::new(),
            needed: BTreeSet::new(),
            dropped: BTreeSet::new(),
            without: BTreeSet::new(),
            brought: BTreeMap::new(),
        };
        for change in last.into_values() {
            plan.rows.push(Row::of(change)?);
            plan.note(change);
        }
        Ok(plan)
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::Put(Object::TrustDomain(record)) => {
                self.claimed.insert(record.name.clone());
            }
            Change::Put(object) => {
                self.needed.extend(object.needs().cloned());
                if let Object::Authority(record) = object {
                    self.note_key(record);
                }
            }
            Change::Remove(Key::Authority(id)) => {
                self.without.insert(id.clone());
            }
            Change::Remove(Key::TrustDomain(name)) => {
                self.dropped.insert(name.clone());
            }
            Change::Remove(
                Key::Anchor(_)
                | Key::Federation(_)
                | Key::Entry(_)
                | Key::Node(_)
                | Key::JoinToken(_)
                | Key::Admin(_)
                | Key::Attestor(_)
                | Key::Egress(_)
                | Key::Service(_)
                | Key::Rule(_)
                | Key::Issuer(_)
                | Key::IssuerKeys(_)
                | Key::IssuerPins(_)
                | Key::Name(_)
                | Key::Tally(_)
                | Key::Quota
                | Key::Signal(_),
            ) => {}
        }
    }

    fn note_key(&mut self, record: &AuthorityRecord) {
        let id = record.id.clone();
        if record.key_is_brought {
            let brought = Brought {
                authority: id,
                public_key: key_text(&record.public_key),
            };
            self.brought.insert(Digest::of(&record.public_key), brought);
        } else {
            self.without.insert(id);
        }
    }
}

/// The rows that have changed, as an engine finds them.
#[derive(Default)]
pub(crate) struct Changed {
    /// The number of the last change of the tenant.
    pub(crate) head: Sequence,
    /// The number with which it began.
    pub(crate) begins: Sequence,
    /// Each row and the number of its last change.
    pub(crate) rows: Vec<(Sequence, Row)>,
}

/// Puts the rows of a feed into an order in which they can be followed: by number, and within one
/// what others need is put first and removed last.
pub(crate) fn feed(changed: Changed) -> Result<Feed, Fault> {
    let Changed { head, begins, rows } = changed;
    let mut puts = BTreeMap::new();
    let mut removals = BTreeMap::new();
    for (sequence, row) in rows {
        let change = row.into_change()?;
        let key = change.key();
        match change {
            Change::Put(_) => puts.insert((sequence, key), change),
            Change::Remove(_) => removals.insert((sequence, key), change),
        };
    }
    let mut changes: Vec<(Sequence, Change)> = puts
        .into_iter()
        .chain(removals.into_iter().rev())
        .map(|((sequence, _), change)| (sequence, change))
        .collect();
    changes.sort_by_key(|(sequence, _)| *sequence);
    Ok(Feed {
        head,
        begins,
        changes,
    })
}
