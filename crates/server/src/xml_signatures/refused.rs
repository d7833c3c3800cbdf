//! What was found not to be signed, so that whoever sends the same again and again has nobody look at it
//! again: each look costs a process, and there are few at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use avouch_core::id::Digest;

/// How many are remembered, of all tenants: whoever makes up more only has them looked at.
const MOST: usize = 4_096;

/// The last of them.
pub(super) struct Refused(Mutex<Last>);

struct Last {
    all: BTreeSet<Digest>,
    in_order: VecDeque<Digest>,
}

impl Refused {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Last {
            all: BTreeSet::new(),
            in_order: VecDeque::new(),
        }))
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.all.contains(digest)
    }

    pub(super) fn note(&self, digest: Digest) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.all.insert(digest) {
            return;
        }
        last.in_order.push_back(digest);
        if last.in_order.len() > MOST
            && let Some(first) = last.in_order.pop_front()
        {
            last.all.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_no_more() {
        let digest = |number: usize| Digest::of(&number.to_be_bytes());
        let refused = Refused::new();
        for number in 0..=MOST {
            assert!(!refused.has(&digest(number)));
            refused.note(digest(number));
            refused.note(digest(number));
            assert!(refused.has(&digest(number)));
        }
        assert!(!refused.has(&digest(0)));
        assert!(refused.has(&digest(1)));
        let last = refused.0.lock().unwrap();
        assert_eq!((last.all.len(), last.in_order.len()), (MOST, MOST));
    }
}
