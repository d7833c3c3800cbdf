//! What can go wrong while remembering.

use avouch_core::id::{TenantId, TrustDomain};

use crate::change::Sequence;
use crate::names::{AuthorityId, IntentId};
use crate::within::BoundedKind;

/// Why a call was not carried out. No text in it comes from what was to be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// What was asked for does not fit to what is stored.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// There is no room left on the disk of the database.
    #[error("the disk of the database is full")]
    Full,
    /// Someone else holds what is needed, or the database has too much to do.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database cannot be reached, or the connection broke. A change may have been stored.
    #[error("the database cannot be reached: {0}")]
    Lost(String),
    /// The disk failed. A change may have been stored.
    #[error("the disk of the database failed: {0}")]
    Disk(String),
    /// What is stored cannot be what was stored.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The database does not let us in, or not write.
    #[error("the database refuses: {0}")]
    Denied(String),
    /// The database was last used by a later version of this program.
    #[error("the database has schema {found}, this program knows {known}; use the later program")]
    Newer {
        /// What the database has.
        found: i64,
        /// What this program can work with.
        known: i64,
    },
    /// The database would forget what it has acknowledged.
    #[error("the database does not keep what it acknowledges: {0}")]
    Forgetful(String),
    /// This cannot happen.
    #[error("a bug in the store, please report it: {0}")]
    Bug(String),
}

impl Fault {
    /// Whether the same call may succeed later without anyone changing it.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Disk(_) | Self::Full | Self::Lost(_) => true,
            Self::Bug(_)
            | Self::Conflict(_)
            | Self::Corrupt(_)
            | Self::Denied(_)
            | Self::Forgetful(_)
            | Self::Newer { .. } => false,
        }
    }
}

/// How what was asked for does not fit to what is stored. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    UnknownTenant(TenantId),
    /// A tenant of this name is there and differs.
    #[error("the name `{0}` is that of another tenant, or was that of one elsewhere")]
    TenantTaken(TenantId),
    /// It cannot stand there in the tree.
    #[error("the tenant `{tenant}` cannot stand {}", below(.parent.as_ref()))]
    Misplaced {
        /// The tenant to be added.
        tenant: TenantId,
        /// Below which tenant.
        parent: Option<TenantId>,
    },
    /// Other tenants stand below it.
    #[error("the tenant `{0}` still has others below it")]
    TenantInUse(TenantId),
    /// The trust domain belongs, or once belonged, to another tenant.
    #[error("the trust domain `{0}` belongs, or once belonged, to another tenant")]
    TrustDomainTaken(TrustDomain),
    /// The tenant does not have the trust domain that an object is in.
    #[error("the tenant has no trust domain `{0}`")]
    UnknownTrustDomain(TrustDomain),
    /// Authorities or registration entries are still in the trust domain.
    #[error("the trust domain `{0}` still has authorities or registration entries")]
    TrustDomainInUse(TrustDomain),
    /// The tenant has changed since.
    #[error("the tenant has changed: it was expected at {expected} and is at {found}")]
    Moved {
        /// Where the caller saw it.
        expected: Sequence,
        /// Where it is.
        found: Sequence,
    },
    /// The key of this authority, which was brought along, signs for another.
    #[error("the key of `{0}` signs for another authority")]
    KeyTaken(AuthorityId),
    /// A tenant has, together with all below it, as much as it may have.
    #[error("the tenant, or one above it, may have {most} {}, and has them", .kind.name())]
    Full {
        /// Of what.
        kind: BoundedKind,
        /// How much.
        most: u32,
    },
    /// Another intent of this name was made.
    #[error("there is another intent `{0}`")]
    IntentTaken(IntentId),
}

fn below(parent: Option<&TenantId>) -> String {
    match parent {
        Some(parent) => format!(
            "below `{parent}`: below a root stand organisations, tenants and environments, below an organisation \
             tenants and environments, and below a tenant environments"
        ),
        None => "at the top: only a root can".to_owned(),
    }
}
