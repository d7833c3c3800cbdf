//! What many entries say in the same words, kept once.

use std::collections::HashSet;
use std::hash::Hash;

use avouch_core::id::{SpiffeId, TrustDomain};

use crate::record::{Entry, Selector};

/// How many different words of a kind are remembered. Sharing only saves memory, so when there are
/// more, all are forgotten and remembered anew.
const MOST_REMEMBERED: usize = 1 << 16;

/// The words of the entries of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    domains: HashSet<TrustDomain>,
    parents: HashSet<SpiffeId>,
    selectors: HashSet<Selector>,
}

impl Shared {
    /// The same entry, in words that are kept already where there are any.
    pub(crate) fn entry(&mut self, entry: Entry) -> Entry {
        let domain = kept(&mut self.domains, entry.spiffe_id.trust_domain().clone());
        let mut selectors = entry.selectors;
        for selector in &mut selectors {
            *selector = kept(&mut self.selectors, selector.clone());
        }
        Entry {
            spiffe_id: entry.spiffe_id.sharing(&domain),
            parent: entry.parent.map(|parent| kept(&mut self.parents, parent)),
            selectors,
            ..entry
        }
    }
}

/// Says nothing of what a tenant owns.
impl PartialEq for Shared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Shared {}

fn kept<T: Clone + Eq + Hash>(all: &mut HashSet<T>, word: T) -> T {
    if let Some(kept) = all.get(&word) {
        return kept.clone();
    }
    if all.len() >= MOST_REMEMBERED {
        all.clear();
    }
    all.insert(word.clone());
    word
}
