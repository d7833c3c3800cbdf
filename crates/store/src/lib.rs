//! Remembers what tenants own. The only crate with SQL.
//!
//! ```text
//!                    Change ──► Store::apply ──► Sequence     all or nothing, durable on return
//! server (memory) ◄─ Snapshot ─ Store::load                   once, when it is needed first
//!                 ◄─ Feed ───── Store::changes_after          ever after
//! issuer ── IntentRow ────────► Store::record_intents         before anything is signed
//! exchange ─ SingleUse ───────► Store::use_once               before anything used is believed
//! server ── DecisionRow ──────► Store::keep_decisions         in batches, after the answer
//! ```
//!
//! Servers answer from memory, so a database has one thing to do: keep every object of a tenant as
//! it was last, with the number of the change that made it so. An object is one row with its
//! content as JSON; a removed one keeps its row without content until
//! [`Store::forget_removals`]. The change feed is that same table read in the order of those numbers,
//! which is why it needs no table of its own; whoever was away for longer than removals are kept loads
//! anew. Only what is asked for by SQL (tenants, owners of trust domains, intents,
//! single uses, decisions) has columns.
//!
//! One trait ([`Store`]), two engines: [`sqlite`] in a file, which needs nothing, and
//! [`postgresql`] for several servers on one database. The same suite of tests runs on both. Calls
//! block; asynchronous callers put them on a thread that may.
//!
//! Private keys are sealed before they come here: see [`keyring`].

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

mod change;
mod codec;
mod decision;
mod fault;
mod follower;
mod intent;
pub mod keyring;
mod lifetime;
mod names;
mod outline;
mod over;
mod plan;
pub mod postgresql;
mod record;
mod shared;
mod signal;
mod single_use;
pub mod sqlite;
mod store;
mod tenant;
mod within;

pub use change::{Change, Feed, Key, Object, Sequence, Snapshot};
pub use decision::{DecisionRow, WantedDecisions};
pub use fault::{Conflict, Fault};
pub use follower::{Followers, Report};
pub use intent::{CredentialKind, IntentRow};
pub use keyring::WrappedKey;
pub use lifetime::{Lasting, Lifetime, LifetimeKind, Living};
pub use names::{
    AdminId, AnchorId, AttestorId, AuthorityId, DecisionId, EgressId, EntryId, IntentId, IssuerId,
    JoinTokenId, NAME_IN_WORDS, NameId, NodeId, RuleId, ServerId, ServiceId, SignalId, TallyId,
};
pub use outline::{Appointed, Counts, Outline};
pub use over::{Over, OverKind};
pub use record::{
    AdminRecord, AnchorRecord, AttestorRecord, AuthorityKind, AuthorityRecord, AuthorityRole,
    AuthorityState, AuthorityUse, EgressRecord, Entry, EntryExtras, Extras, FederationCourse,
    FederationFailure, FederationRecord, IssuerKeysRecord, IssuerPinsRecord, IssuerRecord,
    JoinTokenRecord, NameRecord, NodeRecord, QuotaRecord, RevocationListRecord, RevokedCertificate,
    RuleRecord, Selector, ServiceRecord, TallyRecord, TrustDomainRecord, Upstream,
};
pub use signal::{SignalKey, SignalKind, SignalRecord};
pub use single_use::{AttemptId, SingleUse, UseKind, Used};
pub use store::{Operator, Store};
pub use tenant::{TenantKind, TenantRecord};
pub use within::{BoundedKind, Within};
