//! Which registration entries would give a workload an identity, which nearly, and what is missing.

use std::collections::BTreeSet;

use avouch_api::WORKLOAD_FACTS;
use avouch_core::id::SpiffeId;
use avouch_core::template::{IdTemplate, Unfilled, Whose};
use avouch_core::time::Time;
use avouch_store::{Entry, EntryId, Selector};

use crate::grants::texts_of_node;
use crate::quotas::Workloads;
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
    /// Selectors of nodes that the entry asks for and the node of the workload has not, or all that it
    /// asks for if it is not said which node that is.
    pub(crate) node_missing: Vec<Selector>,
    /// Places of the identity that cannot be filled, and why.
    pub(crate) unfilled: Vec<Unfilled>,
    /// The node that it is for, unless that is the node of the workload.
    pub(crate) for_node: Option<SpiffeId>,
    /// When it ended.
    pub(crate) ended: Option<Time>,
    /// Whether the tenant may not have entries for such workloads.
    pub(crate) is_barred: bool,
    /// Whether what it asks of a node is open, since it is not said which node that is.
    is_node_open: bool,
}

/// What an entry is to a workload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// They give the workload an identity.
    pub(crate) matching: Vec<Nearly>,
    /// They give it one on some nodes, and it is not said on which it runs.
    pub(crate) depending: Vec<Nearly>,
    /// They give it none, and come near.
    pub(crate) near: Vec<Nearly>,
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

/// Whether no agent tells anything of this kind, so that it was mistyped.
fn is_no_fact(selector: &Selector) -> bool {
    kind_of(selector).is_none_or(|kind| !WORKLOAD_FACTS.contains(&kind))
}

impl Nearly {
    fn of(entry: &Entry, workload: &Workload, bounds: &Workloads, now: Time) -> Self {
        let (spiffe_id, unfilled) = workload.identity(&entry.spiffe_id);
        let missing = entry.selectors.iter();
        let missing = missing.filter(|selector| !workload.selectors.contains(selector));
        let elsewhere = |parent: &&SpiffeId| workload.node.as_ref() != Some(*parent);
        let lacks = |one: &&Selector| {
            let facts = workload.node_facts.as_ref();
            facts.is_none_or(|facts| !facts.contains(*one))
        };
        let node_missing = entry.extras.node_selectors.iter().filter(lacks);
        Self {
            id: entry.id.clone(),
            spiffe_id,
            missing: missing.cloned().collect(),
            node_missing: node_missing.cloned().collect(),
            unfilled,
            for_node: entry.parent.as_ref().filter(elsewhere).cloned(),
            ended: entry.extras.expires.filter(|end| *end <= now),
            is_barred: !bounds.admit(&entry.selectors),
            is_node_open: workload.node.is_none(),
        }
    }

    fn distance(&self) -> usize {
        let of_node = match self.is_node_open {
            true => 0,
            false => self.node_missing.len() + usize::from(self.for_node.is_some()),
        };
        let others = usize::from(self.ended.is_some()) + usize::from(self.is_barred);
        self.missing.len() + self.unfilled.len() + of_node + others
    }

    /// Whether it is for some nodes only, and it is not said which one is meant.
    fn depends_on_node(&self) -> bool {
        self.is_node_open && (self.for_node.is_some() || !self.node_missing.is_empty())
    }
}

/// The entries that match a workload, those that do on some nodes, and those that nearly do: at least
/// one of their selectors was attested, or one of the same kind with another value, or they ask for what
/// is no fact at all, or a fact cannot fill its place in the identity, or nothing but the node or the
/// end of the entry is in the way.
pub(crate) fn why_not(
    tenant: &Tenant,
    workload: &Workload,
    bounds: &Workloads,
    now: Time,
) -> Found {
    let mut found = Found::default();
    let mut near: Vec<(usize, Nearly)> = Vec::new();
    tenant.read(|snapshot| {
        for entry in snapshot.entries.values() {
            let nearly = Nearly::of(entry, workload, bounds, now);
            let distance = nearly.distance();
            if distance == 0 {
                let list = match nearly.depends_on_node() {
                    true => &mut found.depending,
                    false => &mut found.matching,
                };
                if list.len() < MOST_MATCHING {
                    list.push(nearly);
                }
                continue;
            }
            let has_filled = nearly.spiffe_id != entry.spiffe_id;
            let has_any = nearly.missing.len() < entry.selectors.len() || has_filled;
            let has_other = |one| workload.has_of_kind(one) || is_no_fact(one);
            let has_other = nearly.missing.iter().any(has_other);
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
    found.near = near.into_iter().map(|(_, nearly)| nearly).collect();
    found
}
