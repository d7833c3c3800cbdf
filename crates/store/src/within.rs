//! Bounds on how much a tenant has together with all below it, which a change keeps to or is not made.
//!
//! Whoever counts has counted what it held a moment ago, and others write meanwhile, also on other
//! servers. So a change that adds something names what was counted of which tenant and as of which of its
//! changes. In the transaction, where nobody else who keeps to the same bound writes, that counts where it
//! is so still, and what has changed since is counted anew.

use std::collections::{BTreeMap, BTreeSet};

use avouch_core::id::TenantId;

use crate::change::Sequence;
use crate::codec::TRUST_DOMAIN;
use crate::fault::{Conflict, Fault};

/// A bound that a change keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// It holds for this tenant and all below it together.
    pub top: TenantId,
    /// What is bounded.
    pub kind: BoundedKind,
    /// How much there may be of it.
    pub most: u32,
    /// How much the change adds.
    pub added: usize,
    /// How much each tenant had, after which of its changes. What is wrong or missing in it costs a count.
    pub counted: BTreeMap<TenantId, (Sequence, usize)>,
}

/// What there may be a bound of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundedKind {
    /// Registration entries.
    Entry,
    /// Nodes.
    Node,
    /// Trust domains.
    TrustDomain,
}

impl BoundedKind {
    /// What there may be so many of, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Entry => "registration entries",
            Self::Node => "nodes",
            Self::TrustDomain => "trust domains",
        }
    }

    /// The name, which is that of the rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Node => "node",
            Self::TrustDomain => TRUST_DOMAIN,
        }
    }
}

/// A tenant as it stands in the tree: its name, what it is below, and the number of its last change.
pub(crate) type Standing = (TenantId, Option<TenantId>, Sequence);

impl Within {
    /// Whether the change keeps to it, by the tenants that there are, at least all from its top down, and
    /// by how much `count` finds in several of them together. That is asked once, since others wait.
    pub(crate) fn check(
        &self,
        all: &[Standing],
        count: impl FnOnce(&[&TenantId], BoundedKind) -> Result<usize, Fault>,
    ) -> Result<(), Fault> {
        let mut there = self.added;
        let mut anew = Vec::new();
        for (id, head) in below(all, &self.top) {
            match self.counted.get(id) {
                Some((at, counted)) if *at == head => there += *counted,
                Some(_) | None => anew.push(id),
            }
        }
        if !anew.is_empty() {
            there += count(&anew, self.kind)?;
        }
        if there <= usize::try_from(self.most).unwrap_or(usize::MAX) {
            return Ok(());
        }
        Err(Conflict::Full {
            kind: self.kind,
            most: self.most,
        }
        .into())
    }
}

/// A tenant and all below it.
fn below<'a>(all: &'a [Standing], top: &'a TenantId) -> Vec<(&'a TenantId, Sequence)> {
    let mut children: BTreeMap<&TenantId, Vec<&TenantId>> = BTreeMap::new();
    for (id, parent, _) in all {
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(id);
        }
    }
    let (mut meant, mut waiting) = (BTreeSet::new(), vec![top]);
    while let Some(next) = waiting.pop() {
        if meant.insert(next) {
            waiting.extend(children.get(next).into_iter().flatten());
        }
    }
    let of_it = all.iter().filter(|(id, _, _)| meant.contains(id));
    of_it.map(|(id, _, head)| (id, *head)).collect()
}

/// The tenants whose bounds a change keeps to.
pub(crate) fn tops(within: &[Within]) -> BTreeSet<&TenantId> {
    within.iter().map(|one| &one.top).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn what_has_changed_since_it_was_counted_is_counted_anew_and_nothing_else() {
        let standing = |name: &str, parent: &str, head| {
            let parent = (!parent.is_empty()).then(|| id(parent));
            (id(name), parent, Sequence::of(head))
        };
        let all = [
            standing("top", "", 1),
            standing("org", "top", 2),
            standing("a", "org", 3),
            standing("b", "org", 4),
            standing("new", "a", 5),
            standing("beside", "top", 6),
        ];
        let counted = [("org", 2, 10), ("a", 3, 20), ("b", 1, 5)];
        let within = Within {
            top: id("org"),
            kind: BoundedKind::Entry,
            most: 100,
            added: 3,
            counted: counted
                .into_iter()
                .map(|(name, at, count)| (id(name), (Sequence::of(at), count)))
                .collect(),
        };
        let check = |found: usize| {
            let mut asked = Vec::new();
            let checked = within.check(&all, |tenants, _| {
                asked.extend(tenants.iter().map(ToString::to_string));
                Ok(found)
            });
            (checked, asked)
        };
        let anew = ["b", "new"].map(str::to_owned).to_vec();
        assert_eq!(check(67), (Ok(()), anew.clone()));
        let full = Conflict::Full {
            kind: BoundedKind::Entry,
            most: 100,
        };
        assert_eq!(check(68), (Err(full.into()), anew));
    }
}
