//! API keys: the humblest credential.

use crate::id::Digest;

/// The digest of an API key and whom it speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyAnchor {
    /// The SHA-256 digest of the key.
    pub sha256: Digest,
    /// Whom it speaks for.
    pub subject: String,
}
