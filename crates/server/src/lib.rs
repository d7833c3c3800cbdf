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
//!
//! # Where things are
//!
//! What is held, and how it changes:
//!
//! | module | holds |
//! |---|---|
//! | `plane`, `tenant` | all tenants, and one of them in memory; `plane::changing` is how a change becomes durable and seen |
//! | `sharing`, `currency` | several servers on one store; being as current as the store for who must not act on what is taken back |
//! | `views` | what a tenant knows when something is decided for it |
//! | `remembered` | what is kept in memory for a while, of what had to be fetched or made |
//! | `quotas`, `removal`, `dry_run` | how much a tenant may have; tenants and trust domains that go; what is only asked for |
//!
//! Who calls, and what they may:
//!
//! | module | holds |
//! |---|---|
//! | `caller`, `access`, `administrators` | who calls, what roles may, who has which |
//! | `ways`, `given_already` | rules and entries by which someone could come to a role that nobody gave them |
//! | `shares`, `turned_away` | what anyone may take, shared out; those for whom there was no place |
//!
//! Identities of its own:
//!
//! | module | holds |
//! |---|---|
//! | `keys`, `authorities`, `authority_record` | private keys of a tenant, and its authorities as they sign and as they are stored |
//! | `keeper`, `upstream`, `cluster` | authorities follow each other in time, or by hand; a tenant as the CA of a Kubernetes cluster |
//! | `bundles`, `readers` | what trust domains publish, and how far each who reads it has come |
//! | `nodes`, `node_api` | how nodes join and who they are; what they call |
//! | `entries`, `grants`, `reach`, `why_not` | who gets which identity, what facts make of it, which nodes it concerns, and why one gets none |
//! | `issuing`, `issuance_log`, `issued` | SVIDs in batches, what was decided about them, and what is on record |
//! | `revocations`, `certificate_status` | what ends before its time, by lists and for whoever asks (OCSP) |
//!
//! Identities of others:
//!
//! | module | holds |
//! |---|---|
//! | `anchors`, `issuers`, `federation` | whom a tenant trusts: as it was given, issuers whose keys are followed, foreign trust domains |
//! | `trust_chains`, `introspection`, `token_review` | chains of OpenID Federation that have to be fetched; issuers and clusters that are asked about a token |
//! | `status`, `signals` | what was taken back, and what happened to subjects: told by others, and to them |
//! | `fetch`, `back_off`, `failing` | fetching from elsewhere, waiting after failures, and since when something fails |
//! | `xml_signatures` | signatures in XML, in another process |
//! | `exchange`, `names` | what is given for a credential of someone else's; names that are held to ids |
//! | `egress`, `services` | APIs of others by a key that nobody is shown; which trust models may decide for a service |
//!
//! What is found out about a tenant:
//!
//! | module | holds |
//! |---|---|
//! | `decisions`, `tallies` | what was decided, and who was relied on |
//! | `findings`, `orphans`, `secrets`, `zero_trust` | what should be mended: by a rule with a code, without an owner, good for too long, against a checklist |
//!
//! The process: `run` from start to end, `settings`, `http`, `tls`, `plain_http` for whoever leaves TLS
//! out, `clock`, `files`, `blocking`, `counters`, `traces`, and `fault`, what fails on our side and what
//! is refused.

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
mod preconditions;
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
