//! What is worth remembering between decisions: a bounded memory by digest, shared by threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::id::Digest;

/// How many parts the memory has, each with a lock of its own, so that threads seldom wait for one
/// another. A digest says which part is its own by its first byte.
const PARTS: usize = 16;

/// A bounded memory. What it holds never decides anything: it is what was worked out before.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    parts: [Mutex<Generations<T>>; PARTS],
    /// The most that one generation of one part holds.
    most: usize,
}

/// When the young generation is full it becomes the old one, and the old one is forgotten. What is
/// used keeps moving to the young one.
#[derive(Debug)]
struct Generations<T> {
    young: BTreeMap<Digest, T>,
    old: BTreeMap<Digest, T>,
}

impl<T: Clone> Kept<T> {
    /// Keeps at least the last `capacity` things that are spread over its parts as digests are, and
    /// never more than twice as many.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            most: capacity.div_ceil(PARTS).max(1),
        }
    }

    /// What is kept under `digest`.
    pub(crate) fn get(&self, digest: &Digest) -> Option<T> {
        let mut part = self.part(digest)?;
        if let Some(known) = part.young.get(digest) {
            return Some(known.clone());
        }
        let known = part.old.get(digest)?.clone();
        part.keep(*digest, known.clone(), self.most);
        Some(known)
    }

    /// Keeps `thing`, in the place of what was kept under the same digest.
    pub(crate) fn put(&self, digest: Digest, thing: T) {
        if let Some(mut part) = self.part(&digest) {
            part.keep(digest, thing, self.most);
        }
    }

    fn part(&self, digest: &Digest) -> Option<std::sync::MutexGuard<'_, Generations<T>>> {
        let [first, ..] = digest.as_bytes();
        let part = self.parts.get(usize::from(*first) % PARTS)?;
        // A panic elsewhere cannot leave a map half-written, so it stays usable.
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Generations<T> {
    fn keep(&mut self, digest: Digest, thing: T, most: usize) {
        if self.young.len() >= most && !self.young.contains_key(&digest) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, thing);
    }
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self {
            young: BTreeMap::new(),
            old: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn never_more_than_twice_the_capacity_is_kept() {
        let kept = Kept::new(64);
        for number in 0..10_000 {
            kept.put(digest(number), number);
        }
        let known = (0..10_000).filter(|number| kept.get(&digest(*number)).is_some());
        assert!(known.count() <= 128);
    }

    #[test]
    fn what_is_used_is_not_forgotten() {
        let kept = Kept::new(64);
        kept.put(digest(0), 0);
        for number in 1..10_000 {
            kept.put(digest(number), number);
            assert_eq!(kept.get(&digest(0)), Some(0), "after {number}");
        }
    }

    #[test]
    fn what_is_put_again_replaces_what_was_there() {
        let kept = Kept::new(1);
        kept.put(digest(1), "old");
        kept.put(digest(1), "new");
        assert_eq!(kept.get(&digest(1)), Some("new"));
    }
}
