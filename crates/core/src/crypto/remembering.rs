//! A verifier that remembers which signatures held.
//!
//! A signature that once held for a key and a message holds forever, so remembering it changes no
//! verdict, only its cost. Failures are not remembered: an attacker has no end of them.

use super::{NotSigned, PublicKey, Scheme, Verifier};
use crate::id::Digest;
use crate::kept::Kept;

/// Stands in front of another verifier and remembers what held, in bounded memory.
#[derive(Debug)]
pub struct Remembering<V> {
    inner: V,
    held: Kept<()>,
}

impl<V> Remembering<V> {
    /// Remembers up to twice `capacity` signatures, 32 bytes each and their place in a map.
    pub fn new(inner: V, capacity: usize) -> Self {
        Self {
            inner,
            held: Kept::new(capacity),
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
        // The kind of key goes in as well: the same bytes may be a key of two kinds.
        let how = [key.kind().code(), scheme.code()].map(u32::to_be_bytes);
        let digest = Digest::of_list([how.as_flattened(), key.bytes(), signature, message]);
        if self.held.get(&digest).is_some() {
            return Ok(());
        }
        self.inner.verify(key, scheme, message, signature)?;
        self.held.put(digest, ());
        Ok(())
    }
}
