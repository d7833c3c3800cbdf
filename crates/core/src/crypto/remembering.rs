//! A verifier that remembers which signatures held.
//!
//! A signature that once held for a key and a message holds forever, so remembering it changes no
//! verdict, only its cost. Failures are not remembered: an attacker has no end of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::{NotSigned, PublicKey, Scheme, Verifier};
use crate::id::Digest;

/// Stands in front of another verifier and remembers what held, in bounded memory.
#[derive(Debug)]
pub struct Remembering<V> {
    inner: V,
    capacity: usize,
    held: Mutex<Generations>,
}

/// Two generations: when the young one is full it becomes the old one, and the old one is
/// forgotten. What is used keeps moving to the young one.
#[derive(Debug, Default)]
struct Generations {
    young: BTreeSet<Digest>,
    old: BTreeSet<Digest>,
}

impl<V> Remembering<V> {
    /// Remembers up to twice `capacity` signatures, 32 bytes each and their place in a set.
    pub fn new(inner: V, capacity: usize) -> Self {
        Self {
            inner,
            capacity: capacity.max(1),
            held: Mutex::default(),
        }
    }
}

impl<V: Verifier> Verifier for Remembering<V> {
    fn verify(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), NotSigned> {
        let scheme_name = format!("{scheme:?}");
        let digest = Digest::of_list([scheme_name.as_bytes(), key.bytes(), signature, message]);
        {
            // A panic elsewhere cannot leave a set of digests half-written, so it stays usable.
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.young.contains(&digest) {
                return Ok(());
            }
            if held.old.contains(&digest) {
                held.remember(digest, self.capacity);
                return Ok(());
            }
        }
        self.inner.verify(key, scheme, message, signature)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remember(digest, self.capacity);
        Ok(())
    }
}

impl Generations {
    fn remember(&mut self, digest: Digest, capacity: usize) {
        if self.young.len() >= capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest);
    }
}
