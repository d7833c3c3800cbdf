//! Which authorities follow each other.

use avouch_store::{
    AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse, Upstream,
};

/// Authorities of which one signs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// They sign intermediates. The first, since the second needs one of them.
    Root,
    /// They sign certificates for one use.
    Intermediate(AuthorityUse),
    Jwt,
    Wit,
}

impl Group {
    /// Those that sign X.509-SVIDs.
    pub(crate) const SERVICES: Self = Self::Intermediate(AuthorityUse::Services);

    /// Those that every trust domain has.
    pub(super) const ALL: [Self; 4] = [
        Self::Root,
        Self::Intermediate(AuthorityUse::Services),
        Self::Jwt,
        Self::Wit,
    ];

    pub(crate) fn has(self, record: &AuthorityRecord) -> bool {
        Self::of(record) == Some(self)
    }

    /// The group of an authority. What waits for its certificate is none yet.
    pub(crate) fn of(record: &AuthorityRecord) -> Option<Self> {
        if record.state == AuthorityState::Requested {
            return None;
        }
        Some(match (record.kind, record.role) {
            (AuthorityKind::X509, AuthorityRole::Root) => Self::Root,
            (AuthorityKind::X509, AuthorityRole::Intermediate) => {
                Self::Intermediate(record.used_for)
            }
            (AuthorityKind::Jwt, AuthorityRole::Root | AuthorityRole::Intermediate) => Self::Jwt,
            (AuthorityKind::Wit, AuthorityRole::Root | AuthorityRole::Intermediate) => Self::Wit,
        })
    }

    /// Whether its successors are made here, where the certificates of the trust domain end at a
    /// root of `upstream`.
    pub(super) fn has_own_successors(self, upstream: Upstream) -> bool {
        match (self, upstream) {
            (Self::Root | Self::Intermediate(AuthorityUse::Services), Upstream::Elsewhere) => false,
            (Self::Root | Self::Intermediate(_) | Self::Jwt | Self::Wit, _) => true,
        }
    }
}
