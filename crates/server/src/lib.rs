//! Serves: tenants, their authorities and registration entries from memory, for many tenants from
//! one process.
//!
//! ```text
//!  administrators ── HTTP ──┐                    ┌──► store    durable first
//!  verifiers ────── HTTP ───┤                    │
//!  agents ───────── gRPC ───┴──► Plane ──► Tenant ──► issuer   signs
//!                                  │          │
//!                                  └─ keeper ─┘ authorities follow each other in time
//! ```
//!
//! The [`Plane`] holds what the store remembers of every tenant and answers from memory. A change
//! is durable before it is seen; whoever follows a tenant is told of it at once. Who calls is found
//! out by the core: an X.509-SVID of a node, or a JWT-SVID of an administrator, each under the
//! bundle of the trust domain it names, and its tenant is the owner of that trust domain.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod access;
mod administrators;
mod anchors;
mod authorities;
mod authority_record;
mod back_off;
mod blocking;
mod bundles;
pub mod caller;
mod certificate_status;
pub mod clock;
pub mod cluster;
mod counters;
mod currency;
pub mod decisions;
mod dry_run;
mod egress;
pub mod entries;
mod exchange;
mod failing;
pub mod fault;
pub mod federation;
pub mod fetch;
mod files;
pub mod findings;
mod given_already;
mod grants;
pub mod http;
mod introspection;
pub mod issuance_log;
mod issued;
mod issuers;
pub mod issuing;
pub mod keeper;
pub mod keys;
mod names;
pub mod node_api;
pub mod nodes;
mod orphans;
mod plain_http;
pub mod plane;
mod quotas;
mod reach;
mod readers;
mod remembered;
mod removal;
pub mod revocations;
pub mod run;
mod secrets;
mod services;
pub mod settings;
mod shares;
mod sharing;
mod signals;
mod status;
mod tallies;
pub mod tenant;
pub mod tls;
mod token_review;
pub mod traces;
mod trust_chains;
mod turned_away;
mod upstream;
mod views;
mod ways;
mod why_not;
pub mod xml_signatures;
mod zero_trust;

pub use fault::{Fault, Refused};
pub use plane::Plane;
pub use settings::Settings;
