//! Names of objects, unique within their tenant and their kind.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes: a SHA-256 digest in hexadecimal fits twice.
const MAX_BYTES: usize = 128;

/// What a name is, for whoever gave something else.
pub const NAME_IN_WORDS: &str = "a name is 1 to 128 letters, digits, `.`, `_` and `-`";

fn is_name(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

macro_rules! names {
    ($($(#[$attribute:meta])* $name:ident;)*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A name of 1 to 128 letters, digits, `.`, `_` and `-` of ASCII.
            pub fn parse(text: &str) -> Option<Self> {
                is_name(text).then(|| Self(text.into()))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of an anchor.
    AnchorId;
    /// The name of an attestor of nodes.
    AttestorId;
    /// The name of an API of others.
    EgressId;
    /// The name of an exchange rule.
    RuleId;
    /// The name of an authority: the identifier of its key, as it stands in certificates and in
    /// the `kid` of tokens.
    AuthorityId;
    /// The name of a registration entry.
    EntryId;
    /// The name of someone who administers a tenant.
    AdminId;
    /// The name of a join token: the SHA-256 digest of the token in hexadecimal.
    JoinTokenId;
    /// The name of a node: one segment of the path of its SPIFFE ID.
    NodeId;
    /// The name of a server: made anew with each start.
    ServerId;
    /// The name of an issuer of tokens.
    IssuerId;
    /// The name of something that is kept of signals.
    SignalId;
    /// The name of what is known of a name of someone else's: its kind and a digest.
    NameId;
    /// The name of a service.
    ServiceId;
    /// The name of a tally: the day it was counted on.
    TallyId;
    /// The name of a decision: a UUID of version 7, as its answer has it.
    DecisionId;
    /// The name of an intent: the serial number of the certificate in hexadecimal, or the `jti` of
    /// the token.
    IntentId;
}

impl SignalId {
    /// What is before all names, and none.
    pub(crate) fn before_all() -> Self {
        Self("".into())
    }
}

impl NameId {
    /// The name of something of this kind, which is letters and hyphens, by a digest of what it is.
    pub fn of_digest(kind: &'static str, digest: &avouch_core::id::Digest) -> Self {
        Self(format!("{kind}{digest}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_path_and_in_a_log() {
        for text in ["a", "Ab-0_.z", &"f".repeat(128)] {
            assert_eq!(
                EntryId::parse(text).map(|id| id.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in ["", "a/b", "a b", "a\n", "é", "a:b", &"f".repeat(129)] {
            assert_eq!(EntryId::parse(text), None, "{text:?}");
        }
    }
}
