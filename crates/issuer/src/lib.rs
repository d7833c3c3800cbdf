//! Signs: authorities of SPIFFE trust domains, the X.509-, JWT- and WIT-SVIDs they vouch for, and
//! their revocation lists.
//! The only crate that holds an issuing key.
//!
//! ```text
//! request ──► Prepared ──► Linted ──► Recorded ──► issued
//!    prepare         lint       record        sign
//! ```
//!
//! A profile says what may be issued ([`profile`]); each stage owns the one before ([`stages`]).
//! The lint is the core's own decision on exactly the content that will be signed, the record is
//! durable before anything is signed ([`intent`]), and what was signed is decided on once more
//! before it is released. Bad requests are refusals of the catalogue ([`Reason`]); what fails on
//! our side is a [`Fault`].
//!
//! The clock and randomness are arguments. Keys are made and used through AWS-LC, or in a token
//! that speaks PKCS #11 ([`key_manager`]).
//!
//! [`Reason`]: avouch_core::reason::Reason
//! [`Fault`]: fault::Fault

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod authority;
pub mod bundle;
mod certificate;
pub mod cluster;
pub mod event;
pub mod fault;
pub mod intent;
pub mod key;
pub mod key_manager;
pub mod life_cycle;
mod lint;
pub mod pkcs11;
pub mod profile;
pub mod random;
pub mod revocation_list;
pub mod signer;
pub mod signing_request;
pub mod stages;
pub mod status_list;
pub mod status_response;
pub mod token;
pub mod upstream;
pub mod x509_svid;

use avouch_core::time::Time;

use life_cycle::LifeCycle;

/// How many seconds before it is issued a certificate begins to be valid, so that a verifier whose
/// clock is a little late does not refuse it. Lists of what was revoked and answers about certificates
/// are dated back in the same way: one that is refused as of the future refuses all that it speaks of.
pub const BACKDATE: i64 = 10;

/// From when on something counts that an authority signs now: not from before its own life, and never
/// from later on.
pub(crate) fn counts_from(now: Time, life: &LifeCycle) -> Time {
    now.plus(-BACKDATE).max(life.not_before()).min(now)
}
