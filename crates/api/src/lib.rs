//! The shapes that Avouch reads and writes: questions, trust documents, verdicts.
//!
//! No logic: what is written here is turned into the types of the core, and what the core answers
//! is written out. Reading is strict, since what was meant cannot be guessed: a member that is not
//! known, that stands twice or that is of another type is refused by its name, and a refusal never
//! repeats a value, because most of them are secrets.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

mod asking;
#[cfg(feature = "grpc")]
pub mod attestation;
pub mod batch;
mod facts;
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod members;
mod question;
mod strict;
pub mod text;
mod trust;
mod verdict;

pub use asking::{context_to_json, question_to_json};
pub use facts::WORKLOAD_FACTS;
pub use question::{
    Asked, Unreadable, expected_name, expected_spiffe, policy_identifier, profile_for, purpose_for,
};
pub use strict::{NotAValue, read_value, write_yaml};
pub use trust::{Entry, TrustDocument};
pub use verdict::{Answer, Outcome, Sought};
