//! One checked statement: this key says that.

use std::sync::Arc;

use crate::time::Time;

/// A statement whose maker has been checked: the signature held, or the digest was known.
///
/// Only the core makes one, and only after the check, so a list of vouches is a list of facts.
/// Cheap to clone, because a search copies the path so far into every attempt that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    pub(crate) vouches_for: Arc<str>,
    pub(crate) by: Arc<str>,
    pub(crate) how: How,
    pub(crate) key: Arc<str>,
    pub(crate) valid: Option<(Time, Time)>,
}

impl Vouch {
    /// Whom or what the statement is about.
    pub fn vouches_for(&self) -> &str {
        &self.vouches_for
    }

    /// Who made it.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// What kind of statement it is.
    pub fn how(&self) -> How {
        self.how
    }

    /// The key it was made with: a key identifier, a `kid` or a digest.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// From when to when it says it holds.
    pub fn valid(&self) -> Option<(Time, Time)> {
        self.valid
    }
}

/// What kind of statement a vouch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A known digest of a secret.
    ApiKey,
    /// What an entity of a federation says of itself or of a subordinate.
    EntityStatement,
    /// What an issuer says of its token when it is asked.
    Introspection,
    /// A signed token.
    Jwt,
    /// A signed assertion of SAML.
    Saml,
    /// A certified or listed key of SSH.
    Ssh,
    /// The same together with proof of possession of the key.
    SshProved,
    /// What a cluster says of its token when it is asked by TokenReview.
    TokenReview,
    /// A signed token together with proof of possession of the key it names.
    Wit,
    /// A signed certificate.
    X509,
}

impl How {
    /// The name in a verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::EntityStatement => "entity_statement",
            Self::Introspection => "introspection",
            Self::Jwt => "jwt",
            Self::Saml => "saml",
            Self::Ssh => "ssh",
            Self::SshProved => "ssh_proved",
            Self::TokenReview => "token_review",
            Self::Wit => "wit",
            Self::X509 => "x509",
        }
    }
}
