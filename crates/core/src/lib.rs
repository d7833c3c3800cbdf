//! Decides whether a credential is to be believed, and says why.
//!
//! ```text
//! Credential ──► Claims ──► Vouch ──► Path ──► Identity
//! what is        what it     one        vouches    what may be
//! presented      says        checked    that reach acted on
//!                            statement  an anchor
//! ```
//!
//! Every trust model is a rule for which vouches exist and what each must pass
//! ([`model`]); one search over vouches serves all of them and remembers everything it tried
//! ([`path`]). [`decide`] is total: it never fails and never panics, and a refusal is data
//! ([`reason`]).
//!
//! This crate is pure. It has no clock, no randomness, no network and no disk: the same question
//! in the same view gives the same verdict, byte for byte, so that a stored decision can be
//! derived again years later.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod anchor;
pub mod budget;
pub mod cache;
pub mod credential;
pub mod crypto;
pub mod ended;
pub mod exchange;
pub mod explain;
pub mod id;
mod kept;
pub mod model;
pub mod path;
pub mod pin;
pub mod policy;
pub mod question;
pub mod reason;
pub mod service;
pub mod set_aside;
pub mod signal;
mod stop;
pub mod template;
pub mod time;
pub mod verdict;
pub mod view;
pub mod vouch;
pub mod words;

pub use model::decide;
