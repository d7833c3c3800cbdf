//! What goes wrong on our side while issuing, and what keeps a credential from being issued.

use avouch_core::reason::Reason;
use thiserror::Error;

/// Our own side failed. Nothing that a requester sends can cause one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// What cannot happen; please report it.
    #[error("a bug in issuing, please report it: {0}")]
    Bug(&'static str),
    /// The stored form of a private key is damaged or is of a kind that does not sign here.
    #[error("a stored private key cannot be used: {0}")]
    KeyUnusable(&'static str),
    /// The token with the keys has no such key, or none there that signs.
    #[error("the PKCS #11 token has no such key: {0}")]
    NoSuchKey(String),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
    /// The intent could not be recorded, so nothing was signed.
    #[error("the intent could not be recorded, so nothing was signed: {detail}")]
    NotRecorded {
        /// What the log said.
        detail: String,
        /// Whether it may go better next time.
        retryable: bool,
    },
    /// A credential that passed the lint was refused after it was signed: the signer does not sign
    /// with the key it says. The credential is not released.
    #[error("what the signer of {authority} signed is refused ({code}), so it is not released")]
    SignedWrongly {
        /// The authority.
        authority: String,
        /// The code of the reason.
        code: &'static str,
    },
    /// The token with the keys failed.
    #[error("the PKCS #11 token failed: {0}")]
    TokenFailed(String),
    /// The token with the keys is not there, does not let us in, or is not what it should be.
    #[error("the PKCS #11 token cannot be used: {0}")]
    TokenUnusable(String),
    /// The signer did not sign.
    #[error("the signer did not sign: {0}")]
    SignerFailed(&'static str),
    /// A stored authority is not what its certificate or trust domain says.
    #[error("a stored authority cannot be used: {0}")]
    AuthorityUnusable(String),
}

impl Fault {
    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::NoRandomness | Self::SignerFailed(_) | Self::TokenFailed(_) => true,
            Self::NotRecorded { retryable, .. } => *retryable,
            Self::AuthorityUnusable(_)
            | Self::Bug(_)
            | Self::KeyUnusable(_)
            | Self::NoSuchKey(_)
            | Self::SignedWrongly { .. }
            | Self::TokenUnusable(_) => false,
        }
    }
}

/// Why a credential was not issued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotIssued {
    /// Our own side failed.
    #[error(transparent)]
    Failed(#[from] Fault),
    /// The request is refused.
    #[error("refused: {}", .0.code())]
    Refused(Reason),
}

impl From<Reason> for NotIssued {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}
