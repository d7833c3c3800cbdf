//! Which registration entries would give a workload an identity, which nearly, and what is missing.

use std::collections::BTreeSet;

use avouch_core::id::SpiffeId;
use avouch_core::template::{IdTemplate, Unfilled, Whose};
use avouch_core::time::Time;
use avouch_store::{Entry, EntryId, Selector};

use crate::grants::texts_of_node;
use crate::tenant::Tenant;

/// The most entries that nearly match, nearest first: a person reads no more.
const MOST_NEAR: usize = 10;

/// The most entries that match: a workload has few identities.
const MOST_MATCHING: usize = 100;

/// What is known of a workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workload {
    /// What was attested of it.
    pub(crate) selectors: BTreeSet<Selector>,
    /// On which node it runs; any if none.
    pub(crate) node: Option<SpiffeId>,
    /// What was attested of that node; not known if none.
    pub(crate) node_facts: Option<BTreeSet<Selector>>,
}

/// An entry and what keeps it from a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nearly {
    /// The entry.
    pub(crate) id: EntryId,
    /// Its identity, with all places filled that can be.
    pub(crate) spiffe_id: IdTemplate,
    /// Selectors that the entry asks for and the workload has not.
    pub(crate) missing: Vec<Selector>,
    /// Selectors of nodes that the entry asks for and the node of the workload has not.
    pub(crate) node_missing: Vec<Selector>,
    /// Places of the identity that cannot be filled, and why.
    pub(crate) unfilled: Vec<Unfilled>,
    /// The other node that it is for.
    pub(crate) for_node: Option<SpiffeId>,
    /// When it ended.
    pub(crate) ended: Option<Time>,
}

impl Workload {
    /// What an identity becomes for it, and which of its places stay open.
    fn identity(&self, identity: &IdTemplate) -> (IdTemplate, Vec<Unfilled>) {
        if identity.fixed().is_some() {
            return (identity.clone(), Vec::new());
        }
        let facts: Vec<&str> = self.selectors.iter().map(Selector::as_str).collect();
        let node = self.node.as_ref().zip(self.node_facts.as_ref());
        let node = node.map(|(node, known)| texts_of_node(node, known));
        let narrowed = match &node {
            Some(node) => identity.narrowed(Whose::Node, node),
            None => identity.clone(),
        };
        let narrowed = narrowed.narrowed(Whose::Workload, &facts);
        let unfilled = narrowed.places().filter_map(|place| match place.whose() {
            Whose::Node => place.check(node.as_ref()?).err(),
            Whose::Workload => place.check(&facts).err(),
        });
        let unfilled = unfilled.collect();
        (narrowed, unfilled)
    }

    /// Whether it has a fact for a place that stays open: one that cannot be a part of an identity,
    /// or one of several.
    fn has_unfit(&self, left: &IdTemplate) -> bool {
        let mut open = left
            .places()
            .filter(|place| place.whose() == Whose::Workload);
        open.any(|place| {
            let is_of = |held: &Selector| {
                let rest = held.as_str().strip_prefix(place.kind());
                rest.is_some_and(|rest| rest.starts_with(':'))
            };
            self.selectors.iter().any(is_of)
        })
    }

    /// Whether something of the kind of a selector is known of it, such as another `unix:uid`.
    fn has_of_kind(&self, selector: &Selector) -> bool {
        let kind = kind_of(selector);
        kind.is_some() && self.selectors.iter().any(|held| kind_of(held) == kind)
    }
}

/// The head of a selector up to its second colon.
fn kind_of(selector: &Selector) -> Option<&str> {
    let (end, _) = selector.as_str().match_indices(':').nth(1)?;
    selector.as_str().get(..end)
}

impl Nearly {
    fn of(entry: &Entry, workload: &Workload, now: Time) -> Self {
        let (spiffe_id, unfilled) = workload.identity(&entry.spiffe_id);
        let missing = entry.selectors.iter();
        let missing = missing.filter(|selector| !workload.selectors.contains(selector));
        let elsewhere = |parent: &&SpiffeId| {
            let node = workload.node.as_ref();
            node.is_some_and(|node| node != *parent)
        };
        let node_missing = match &workload.node_facts {
            Some(facts) => {
                let asked = entry.extras.node_selectors.iter();
                asked.filter(|one| !facts.contains(one)).cloned().collect()
            }
            None => Vec::new(),
        };
        Self {
            id: entry.id.clone(),
            spiffe_id,
            missing: missing.cloned().collect(),
            node_missing,
            unfilled,
            for_node: entry.parent.as_ref().filter(elsewhere).cloned(),
            ended: entry.extras.expires.filter(|end| *end <= now),
        }
    }

    fn distance(&self) -> usize {
        let others = usize::from(self.for_node.is_some()) + usize::from(self.ended.is_some());
        let of_node = self.node_missing.len();
        self.missing.len() + self.unfilled.len() + of_node + others
    }
}

/// The entries that match a workload, and those that nearly do: at least one of their selectors was
/// attested, or one of the same kind with another value, or a fact that cannot fill its place in the
/// identity, or nothing but the node or the end of the entry is in the way.
pub(crate) fn why_not(
    tenant: &Tenant,
    workload: &Workload,
    now: Time,
) -> (Vec<Nearly>, Vec<Nearly>) {
    let mut matching = Vec::new();
    let mut near: Vec<(usize, Nearly)> = Vec::new();
    tenant.read(|snapshot| {
        for entry in snapshot.entries.values() {
            let nearly = Nearly::of(entry, workload, now);
            let distance = nearly.distance();
            if distance == 0 {
                if matching.len() < MOST_MATCHING {
                    matching.push(nearly);
                }
                continue;
            }
            let has_filled = nearly.spiffe_id != entry.spiffe_id;
            let has_any = nearly.missing.len() < entry.selectors.len() || has_filled;
            let has_other = nearly.missing.iter().any(|one| workload.has_of_kind(one));
            if !has_any && !has_other && !workload.has_unfit(&nearly.spiffe_id) {
                continue;
            }
            let place = near.partition_point(|(other, _)| *other <= distance);
            if place < MOST_NEAR {
                near.insert(place, (distance, nearly));
                near.truncate(MOST_NEAR);
            }
        }
    });
    let near = near.into_iter().map(|(_, nearly)| nearly).collect();
    (matching, near)
}
