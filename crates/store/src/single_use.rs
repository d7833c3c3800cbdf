//! What may be used once, and who used it.

use avouch_core::id::Digest;
use avouch_core::time::Time;

/// An attempt to use something that may be used once.
///
/// What is used is named by its kind and a digest; whoever comes first with that name is told so,
/// for ever after and everywhere, and everyone else is told that it was used. There is nothing
/// secret in it as long as the digest is of something that cannot be guessed or is not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleUse {
    /// What kind of thing is used. The same digest of another kind is another thing.
    pub kind: UseKind,
    /// The digest of what names it: of the whole credential, or of its issuer and its `jti`.
    pub digest: Digest,
    /// Who tries. Whoever asks again because an answer was lost asks with the same name, and is
    /// still the first if it was; nobody else may have it.
    pub attempt: AttemptId,
    /// When it is used.
    pub at: Time,
    /// Until when it is remembered: at least as long as it would be accepted, with the tolerance
    /// for clocks.
    pub until: Time,
}

/// What kind of thing may be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UseKind {
    /// With which a client says who it is (RFC 7523).
    Assertion,
    /// Which was handed out to be given back once.
    Nonce,
    /// Of the possession of a key (RFC 9449 DPoP, WIMSE WPT).
    Proof,
    /// Which is exchanged for something else (RFC 8693).
    Token,
}

impl UseKind {
    #[cfg(test)]
    const ALL: [Self; 4] = [Self::Assertion, Self::Nonce, Self::Proof, Self::Token];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assertion => "assertion",
            Self::Nonce => "nonce",
            Self::Proof => "proof",
            Self::Token => "token",
        }
    }
}

/// Tells one attempt from all others: random bytes, made anew for each attempt and kept for when it
/// is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId([u8; 16]);

impl AttemptId {
    /// A name of random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// This attempt is the first, and the only one that ever will be.
    First,
    /// Another attempt was.
    Before {
        /// When it used it.
        at: Time,
    },
}

impl Used {
    /// Whether all of it was used for the first time.
    pub(crate) fn are_first(told: &[Self]) -> bool {
        told.iter().all(|one| *one == Self::First)
    }

    /// What someone is told who tried as `attempt`, when `first` is stored as having used it `at`.
    pub(crate) fn told(attempt: AttemptId, first: &[u8], at: Time) -> Self {
        if attempt.bytes() == first {
            Self::First
        } else {
            Self::Before { at }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_have_one_name() {
        let names = UseKind::ALL.map(UseKind::name);
        let distinct: std::collections::BTreeSet<&str> = names.into_iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
