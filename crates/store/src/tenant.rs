//! The tree of tenants.

use avouch_core::id::TenantId;
use avouch_core::time::Time;

use crate::keyring::WrappedKey;

/// A tenant and its place in the tree. Its name, place and key never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its name.
    pub id: TenantId,
    /// The tenant above it; none for a root only.
    pub parent: Option<TenantId>,
    /// What it is.
    pub kind: TenantKind,
    /// Since when it is here.
    pub created: Time,
    /// The key that seals its secrets, wrapped by the root key of the deployment.
    pub key: WrappedKey,
}

/// What a tenant is. A tenant stands below one of an earlier kind, so the tree has no circles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TenantKind {
    /// The deployment itself.
    Root,
    /// A customer, or a department.
    Organisation,
    /// A team, or a product.
    Tenant,
    /// A stage such as production.
    Environment,
}

impl TenantKind {
    const ALL: [Self; 4] = [
        Self::Root,
        Self::Organisation,
        Self::Tenant,
        Self::Environment,
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Organisation => "organisation",
            Self::Tenant => "tenant",
            Self::Environment => "environment",
        }
    }

    /// Whether one of this kind may stand below `parent`, or at the top if there is none.
    pub(crate) fn may_stand_below(self, parent: Option<Self>) -> bool {
        match parent {
            None => self == Self::Root,
            Some(parent) => parent < self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back_from_their_names() {
        for kind in TenantKind::ALL {
            assert_eq!(TenantKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(TenantKind::parse("Root"), None);
    }

    #[test]
    fn a_tree_has_its_root_above_and_no_circles() {
        for kind in TenantKind::ALL {
            assert_eq!(kind.may_stand_below(None), kind == TenantKind::Root);
            assert!(!kind.may_stand_below(Some(kind)));
            assert!(!TenantKind::Root.may_stand_below(Some(kind)));
        }
        assert!(TenantKind::Environment.may_stand_below(Some(TenantKind::Root)));
    }
}
