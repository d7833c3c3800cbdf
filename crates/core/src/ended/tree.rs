//! What ended by its marks, in a tree of which copies share all that they have in common.
//!
//! A mark is a digest, and each of its half-bytes chooses a branch. A subtree with one ending is that
//! ending, so the shape follows from the content alone, and so does the digest of each part, which is
//! made of those below it. One more ending costs the branches above it, however many others there are.

use std::sync::Arc;

use super::{Ending, Mark};
use crate::id::Digest;

/// The values of half a byte.
const BRANCHES: usize = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    root: Option<Arc<Part>>,
    len: usize,
}

#[derive(Debug)]
enum Part {
    One {
        mark: Mark,
        ending: Ending,
        digest: Digest,
    },
    Several {
        branches: Branches,
        digest: Digest,
    },
}

type Branches = [Option<Arc<Part>>; BRANCHES];

impl Tree {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The digest of all that is in it; none where there is nothing.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.root.as_ref().map(|root| root.digest())
    }

    pub(super) fn find(&self, mark: Mark) -> Option<&Ending> {
        let mut part = self.root.as_deref()?;
        for depth in 0.. {
            match part {
                Part::One {
                    mark: found,
                    ending,
                    ..
                } => return (*found == mark).then_some(ending),
                Part::Several { branches, .. } => {
                    part = branches.get(branch(mark, depth))?.as_deref()?;
                }
            }
        }
        None
    }

    pub(super) fn put(&mut self, mark: Mark, ending: Ending) {
        if self.find(mark).is_none() {
            self.len += 1;
        }
        let one = Arc::new(Part::one(mark, ending));
        self.root = Some(match &self.root {
            None => one,
            Some(root) => with(root, mark, one, 0),
        });
    }

    pub(super) fn remove(&mut self, mark: Mark) {
        if self.find(mark).is_none() {
            return;
        }
        self.len -= 1;
        self.root = self.root.as_ref().and_then(|root| without(root, mark, 0));
    }

    /// All that is in it, in the order of the marks.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Mark, &Ending)> {
        let mut waiting: Vec<&Part> = self.root.as_deref().into_iter().collect();
        std::iter::from_fn(move || {
            loop {
                match waiting.pop()? {
                    Part::One { mark, ending, .. } => return Some((*mark, ending)),
                    Part::Several { branches, .. } => {
                        waiting.extend(branches.iter().rev().flatten().map(Arc::as_ref));
                    }
                }
            }
        })
    }
}

impl Part {
    fn one(mark: Mark, ending: Ending) -> Self {
        let digest = ending.digest_under(mark);
        Self::One {
            mark,
            ending,
            digest,
        }
    }

    fn several(branches: Branches) -> Self {
        let below = branches.iter().flatten().map(|part| part.digest());
        let below: Vec<Digest> = below.collect();
        let digests = below.iter().map(|digest| digest.as_bytes().as_slice());
        let digest = Digest::of_list(std::iter::once(b"several".as_slice()).chain(digests));
        Self::Several { branches, digest }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::One { digest, .. } | Self::Several { digest, .. } => *digest,
        }
    }
}

/// The part with one more in it, or with it in the place of the one of the same mark.
fn with(part: &Arc<Part>, mark: Mark, one: Arc<Part>, depth: usize) -> Arc<Part> {
    let branches = match part.as_ref() {
        Part::One { mark: found, .. } if *found == mark => return one,
        Part::One { mark: found, .. } => {
            let mut branches = Branches::default();
            if let Some(place) = branches.get_mut(branch(*found, depth)) {
                *place = Some(Arc::clone(part));
            }
            branches
        }
        Part::Several { branches, .. } => branches.clone(),
    };
    let mut branches = branches;
    if let Some(place) = branches.get_mut(branch(mark, depth)) {
        *place = Some(match place.as_ref() {
            None => one,
            Some(below) => with(below, mark, one, depth + 1),
        });
    }
    Arc::new(Part::several(branches))
}

/// The part without what has this mark, if anything else is in it.
fn without(part: &Arc<Part>, mark: Mark, depth: usize) -> Option<Arc<Part>> {
    let branches = match part.as_ref() {
        Part::One { .. } => return None,
        Part::Several { branches, .. } => branches,
    };
    let mut branches = branches.clone();
    if let Some(place) = branches.get_mut(branch(mark, depth)) {
        *place = place
            .as_ref()
            .and_then(|below| without(below, mark, depth + 1));
    }
    let mut left = branches.iter().flatten();
    match (left.next(), left.next()) {
        (None, _) => None,
        // One ending alone needs no branch above it, whatever was beside it before.
        (Some(only), None) if matches!(only.as_ref(), Part::One { .. }) => Some(Arc::clone(only)),
        (Some(_), _) => Some(Arc::new(Part::several(branches))),
    }
}

/// Which branch a mark takes.
fn branch(mark: Mark, depth: usize) -> usize {
    let digest = mark.digest();
    let byte = digest.as_bytes().get(depth / 2).copied().unwrap_or(0);
    usize::from(if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ended::tests::said;

    /// Marks of which many begin alike.
    fn mark(number: u16) -> Mark {
        let mut bytes = [0; 32];
        bytes[(number % 3) as usize] = (number >> 8) as u8;
        bytes[31] = number as u8;
        Mark::from_digest(Digest::from_bytes(bytes))
    }

    fn ending(at: i64) -> Ending {
        Ending::after(None, &said(at))
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds_and_its_digest_is_that_of_its_content(
            steps in prop::collection::vec((any::<u16>(), 0_i64..4, any::<bool>()), 0..200),
        ) {
            let (mut tree, mut map) = (Tree::default(), BTreeMap::new());
            for (number, at, is_put) in steps {
                let mark = mark(number % 0x0fff);
                if is_put {
                    tree.put(mark, ending(at));
                    map.insert(mark, ending(at));
                } else {
                    tree.remove(mark);
                    map.remove(&mark);
                }
            }
            prop_assert_eq!(tree.len(), map.len());
            let all: Vec<(Mark, Ending)> = tree.iter().map(|(mark, one)| (mark, one.clone())).collect();
            let expected: Vec<(Mark, Ending)> = map.clone().into_iter().collect();
            prop_assert_eq!(all, expected);
            // However it came to be, what is the same has the same digest.
            let mut anew = Tree::default();
            for (mark, one) in map.iter().rev() {
                anew.put(*mark, one.clone());
            }
            prop_assert_eq!(anew.digest(), tree.digest());
            if let Some((mark, one)) = map.first_key_value() {
                anew.put(*mark, ending(one.before.unix() + 1));
                prop_assert_ne!(anew.digest(), tree.digest());
                anew.remove(*mark);
                prop_assert_ne!(anew.digest(), tree.digest());
            }
        }
    }

    #[test]
    fn one_more_leaves_all_that_is_not_above_it_as_it_is() {
        let mut tree = Tree::default();
        for number in 0..20_000_u32 {
            tree.put(Mark::subject("a", &number.to_string()), ending(1));
        }
        let before = tree.clone();
        tree.put(Mark::subject("a", "new"), ending(1));
        let parts = |tree: &Tree| {
            let (mut all, mut waiting) = (Vec::new(), vec![tree.root.clone().unwrap()]);
            while let Some(part) = waiting.pop() {
                if let Part::Several { branches, .. } = part.as_ref() {
                    waiting.extend(branches.iter().flatten().cloned());
                }
                all.push(part);
            }
            all
        };
        let known: std::collections::BTreeSet<*const Part> =
            parts(&before).iter().map(Arc::as_ptr).collect();
        let new = parts(&tree);
        let new = new
            .iter()
            .filter(|part| !known.contains(&Arc::as_ptr(part)));
        assert!(new.count() < 12);
    }
}
