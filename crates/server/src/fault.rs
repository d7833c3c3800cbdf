//! What fails on our side, and what is refused.

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_issuer::fault::{Fault as IssuerFault, NotIssued};
use avouch_store::keyring::KeyringFault;
use avouch_store::{Conflict, NAME_IN_WORDS};

/// The most letters of a name that is not there which are shown: as many as the longest that could be.
const NAME_SHOWN: usize = 256;

/// Our own side failed: the disk, the database, the network.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store failed.
    #[error(transparent)]
    Store(avouch_store::Fault),
    /// A secret is out of reach.
    #[error(transparent)]
    Keyring(#[from] KeyringFault),
    /// The issuer failed.
    #[error(transparent)]
    Issuer(#[from] avouch_issuer::fault::Fault),
    /// What is stored cannot be used.
    #[error("what is stored cannot be used: {0}")]
    Stored(String),
    /// Something that is stored of a tenant cannot be read, so what is held of it is not all.
    #[error("the tenant {0} is not acted for: something that is stored of it cannot be read")]
    Behind(TenantId),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", hint(.source, .flag))]
    Listen {
        /// Which address.
        address: String,
        /// The option that chooses another.
        flag: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate that the server shows, or its key, cannot be used.
    #[error("{}: {why}", .path.display())]
    Certificate {
        /// Which file.
        path: std::path::PathBuf,
        /// Why not.
        why: String,
    },
    /// Serving ended by itself.
    #[error("{what} is not served any more: {why}")]
    Serving {
        /// What was served.
        what: &'static str,
        /// Why it ended.
        why: String,
    },
    /// What a signature in XML covers cannot be found out.
    #[error("signatures in XML cannot be checked: {why}")]
    XmlSignatures {
        /// Why not.
        why: String,
        /// Whether it may be possible later.
        again: bool,
    },
    /// What was asked for is in order, and was to be asked only: it ended before the commit.
    #[error("it would be done, and was only asked for")]
    DryRun,
    /// This cannot happen.
    #[error("a bug in the server, please report it: {0}")]
    Bug(String),
}

fn hint(source: &std::io::Error, flag: &str) -> String {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("; another process has it, so stop that one or choose another with {flag}")
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::AddrNotAvailable => {
            format!("; choose another with {flag}")
        }
        _ => String::new(),
    }
}

impl Fault {
    /// Whether something that is stored is damaged, which gets no better by itself.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Keyring(KeyringFault::Elsewhere(_)) => false,
            Self::Behind(_)
            | Self::Keyring(_)
            | Self::Stored(_)
            | Self::Store(avouch_store::Fault::Corrupt(_)) => true,
            Self::Bug(_)
            | Self::Certificate { .. }
            | Self::DryRun
            | Self::Issuer(_)
            | Self::Listen { .. }
            | Self::Serving { .. }
            | Self::Store(_)
            | Self::XmlSignatures { .. } => false,
        }
    }

    /// What failed, for whoever calls: without the names of machines and folders, which the log has.
    pub(crate) fn in_words(&self) -> &'static str {
        use avouch_store::Fault as Store;
        match self {
            Self::Store(Store::Busy(_)) => "The database is busy.",
            Self::Store(Store::Lost(_)) => "The database cannot be reached.",
            Self::Store(Store::Full) => "The disk of the database is full.",
            Self::Store(Store::Disk(_)) => "The disk of the database failed.",
            Self::Store(Store::Denied(_)) => "The database does not let the server in.",
            Self::Store(Store::Corrupt(_)) => "The database is damaged.",
            Self::Store(Store::Newer { .. }) => "The database was used by a later version.",
            Self::Store(Store::Bug(_) | Store::Conflict(_) | Store::Forgetful(_)) => {
                "The store fails; the log of the server says why."
            }
            Self::Issuer(IssuerFault::TokenFailed(_))
            | Self::Keyring(KeyringFault::Elsewhere(_)) => {
                "The token with the keys does not answer, and nothing is signed without it; the log of the \
                 server says why."
            }
            Self::Issuer(IssuerFault::TokenUnusable(_) | IssuerFault::NoSuchKey(_)) => {
                "The token with the keys cannot be used, or lacks one of them; the log of the server says why."
            }
            Self::Behind(_)
            | Self::Bug(_)
            | Self::Certificate { .. }
            | Self::DryRun
            | Self::Issuer(_)
            | Self::Keyring(_)
            | Self::Listen { .. }
            | Self::Serving { .. }
            | Self::Stored(_)
            | Self::XmlSignatures { .. } => "The server cannot do this now; its log says why.",
        }
    }

    /// What helps against a fault that is over some time.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Store(avouch_store::Fault::Full) => {
                "Make room on it and try again; what is in memory is served on."
            }
            _ => "Try again in a moment.",
        }
    }

    /// Whether the same call may succeed later without anyone changing it.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(fault) => fault.retryable(),
            Self::Issuer(fault) => fault.retryable(),
            Self::Keyring(KeyringFault::Elsewhere(_)) => true,
            Self::XmlSignatures { again, .. } => *again,
            // Another server may hold all of it.
            Self::Behind(_) | Self::Listen { .. } | Self::Serving { .. } => true,
            Self::Bug(_)
            | Self::Certificate { .. }
            | Self::DryRun
            | Self::Keyring(_)
            | Self::Stored(_) => false,
        }
    }
}

/// Why something was not done: a refusal of the catalogue, or a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What was asked for is refused.
    #[error("refused: {}", .0.code())]
    Reason(Box<Reason>),
    /// Our own side failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Refused {
    /// Whether something else was changed meanwhile, or is there: what was worked out from what was there
    /// before may come out otherwise.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Reason(reason) if matches!(**reason, Reason::IssueConflict { .. }))
    }

    /// Whether there is no room for more.
    pub(crate) fn is_quota(&self) -> bool {
        matches!(self, Self::Reason(reason) if matches!(**reason, Reason::IssueQuota { .. }))
    }

    /// Whether nothing was fetched because the tenant has fetched enough for now.
    pub(crate) fn is_budget_of_fetches(&self) -> bool {
        matches!(self, Self::Reason(reason) if matches!(**reason, Reason::FetchBudget { .. }))
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Reason(Box::new(reason))
    }
}

impl From<avouch_store::Fault> for Fault {
    fn from(fault: avouch_store::Fault) -> Self {
        Self::Store(fault)
    }
}

impl From<avouch_store::Fault> for Refused {
    /// A conflict is the fault of who asked; everything else is ours.
    fn from(fault: avouch_store::Fault) -> Self {
        match fault {
            avouch_store::Fault::Conflict(conflict) => conflict.into(),
            fault => Self::Fault(Fault::Store(fault)),
        }
    }
}

impl From<Conflict> for Refused {
    fn from(conflict: Conflict) -> Self {
        let reason = match conflict {
            Conflict::UnknownTenant(tenant) => unknown("tenant", tenant.as_str()),
            Conflict::UnknownTrustDomain(name) => unknown("trust domain", name.as_str()),
            Conflict::Full { kind, most } => Reason::IssueQuota {
                what: kind.in_words(),
                most,
            },
            conflict @ (Conflict::TenantTaken(_)
            | Conflict::Misplaced { .. }
            | Conflict::KeyTaken(_)
            | Conflict::TrustDomainTaken(_)
            | Conflict::TenantInUse(_)
            | Conflict::TrustDomainInUse(_)
            | Conflict::Moved { .. }
            | Conflict::IntentTaken(_)) => Reason::IssueConflict {
                detail: conflict.to_string(),
            },
        };
        reason.into()
    }
}

impl From<NotIssued> for Refused {
    fn from(not_issued: NotIssued) -> Self {
        match not_issued {
            NotIssued::Failed(fault) => Self::Fault(fault.into()),
            NotIssued::Refused(reason) => reason.into(),
        }
    }
}

impl From<avouch_issuer::fault::Fault> for Refused {
    fn from(fault: avouch_issuer::fault::Fault) -> Self {
        Self::Fault(fault.into())
    }
}

impl From<KeyringFault> for Refused {
    fn from(fault: KeyringFault) -> Self {
        Self::Fault(fault.into())
    }
}

/// The refusal for what is not there, or is another's. Whoever asks chooses the name, so it is not
/// repeated whole, however long.
pub(crate) fn unknown(object: &'static str, name: &str) -> Reason {
    Reason::IssueObjectUnknown {
        object,
        name: name.chars().take(NAME_SHOWN).collect(),
    }
}

/// The refusal for a `member` of an object that is to be a name and cannot be one.
pub(crate) fn misnamed(object: &'static str, member: &str) -> Reason {
    Reason::IssueObjectMalformed {
        object,
        member: member.to_owned(),
        detail: NAME_IN_WORDS.to_owned(),
    }
}
