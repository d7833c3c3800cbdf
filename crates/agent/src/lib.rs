//! Tells which workload is at the other end of a socket, and serves it the SPIFFE Workload API.
//!
//! ```text
//! Peer ──► Attested ──► Entitlement ──► messages
//! who      what the     what it may     on a stream,
//! called   kernel says  hold            all of it each time
//!          of it
//! ```
//!
//! The agent asks a workload for nothing: what it needs to know it asks the kernel
//! ([`attest()`]), holding on to the process so that a recycled process number cannot speak for
//! another (SPIFFE Workload Endpoint 4). What a workload may hold comes from whoever implements
//! [`Identities`]. Facts are the user, the group and the executable of the process, and, from the
//! control groups that root put it into, its systemd unit, its container and its pod. This crate
//! has no key of an authority. [`node`] is who implements it for a server of Avouch.
//!
//! Served are the X.509, JWT and WIT profiles, and server reflection. On the same socket Envoy finds
//! its Secret Discovery Service, with the names of secrets that SPIRE made known: a SPIFFE ID or
//! `default` for a certificate, a trust domain, `ROOTCA` or `ALL` for what peers are checked with.
//! An Envoy of 1.18 or newer is told which roots are whose, so that no trust domain can vouch for
//! another; its operator may do without by `disable_spiffe_cert_validation: true` in the metadata
//! of the node. Revocation lists are not passed on, as Envoy then asks for one of every issuer.
//!
//! On a socket of its own ([`AdminEndpoint`]) programs that act for every workload of the machine
//! find SPIRE's Delegated Identity API. They are known as any workload is, and must be on the list
//! of delegates. The bundles that a delegate gets are those that it may rely on itself: to check
//! peers of a foreign trust domain it needs an entry that federates with it.

//!
//! Brokers, programs that prove by mutual TLS who they are, find the SPIFFE Broker API on a socket of
//! its own ([`BrokerEndpoint`]).

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

mod admin;
mod attest;
mod authority;
mod broker;
mod caller;
mod cgroup;
pub mod command;
mod delegated;
mod endpoint;
mod executable;
mod identities;
mod kubelet;
pub mod logging;
mod message;
mod nearest;
pub mod node;
pub mod open_files;
mod peer;
mod profile;
mod push;
mod quiet;
mod sds;
mod seats;
mod secrets;
mod selector;
pub mod shell;
mod socket;
pub mod told;
mod workload;

pub use admin::AdminEndpoint;
pub use attest::{Absent, Attested, NotAttested, attest};
pub use broker::{
    BrokerEndpoint, BrokerMalformed, BrokerRule, Credentials, OwnSvid, ReferenceKind,
};
pub use endpoint::{Endpoint, Limits};
pub use executable::Executables;
pub use identities::{
    Entitled, Entitlement, Hint, Identities, Incomplete, JwtBundle, JwtBundleMalformed, JwtSvid,
    NotIssued, Pending, PrivateKey, Tenants, Token, ValidJwt, WitEntitled, WitEntitlement, WitSvid,
    X509Svid,
};
pub use kubelet::{Kubelet, KubeletAccess, KubeletFault};
pub use nearest::{Missing, NearMiss};
pub use peer::{Peer, Unidentified};
pub use selector::{PodFact, Selector, SelectorMalformed};
pub use socket::Fault;
