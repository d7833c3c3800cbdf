//! API keys: the humblest credential. Whoever holds one is believed, so only its digest is kept.

use std::fmt;

use aws_lc_rs::constant_time;
use serde_json::{Map, Value};

use super::members::{Members, trust_document};
use crate::id::Digest;
use crate::reason::Reason;

/// The digest of an API key and whom it speaks for.
///
/// A key must be drawn at random: its digest is not salted, so a word can be guessed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyAnchor {
    sha256: Digest,
    subject: String,
}

impl ApiKeyAnchor {
    /// Reads `{"sha256": "<64 hexadecimal digits>", "subject": "<whom it speaks for>"}`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, `input.unsafe_text`.
    pub fn read(value: &Value) -> Result<Self, Reason> {
        Self::read_at("api_key", value)
    }

    /// Reads what stands at `place` of its document, which refusals name.
    ///
    /// # Errors
    ///
    /// Those of [`ApiKeyAnchor::read`].
    pub fn read_at(place: &str, value: &Value) -> Result<Self, Reason> {
        let object: &Map<String, Value> = value
            .as_object()
            .ok_or_else(|| trust_document(format!("`{place}` must be an object")))?;
        let members = Members::of(object, place, &["sha256", "subject"])?;
        let sha256 = members
            .text("sha256")?
            .and_then(Digest::from_hex)
            .ok_or_else(|| {
                trust_document(format!(
                    "`{}` must be the 64 hexadecimal digits of a digest",
                    members.place("sha256")
                ))
            })?;
        let subject = members.required_text("subject")?;
        Ok(Self {
            sha256,
            subject: subject.to_owned(),
        })
    }

    /// The digest by which it is known.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// Whom it speaks for.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether this is the digest of the key, in a time that does not depend on where they differ.
    pub(crate) fn is_digest_of(&self, presented: &Digest) -> bool {
        constant_time::verify_slices_are_equal(self.sha256.as_bytes(), presented.as_bytes()).is_ok()
    }
}

impl fmt::Debug for ApiKeyAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ApiKeyAnchor({}, SHA-256 {})",
            self.subject,
            self.sha256.short()
        )
    }
}
