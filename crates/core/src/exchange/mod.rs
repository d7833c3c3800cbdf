//! Exchange: what may be had for a credential that was believed (RFC 8693).
//!
//! Deciding who someone is and deciding what they get are two things. The first is
//! [`decide`](crate::decide), under what the tenant trusts; the second is here: a rule of the
//! tenant admits an identity by its typed facts, and gives it one identity of the tenant, for named
//! audiences, never wider and never for longer than what was shown. Nothing here signs anything.

pub mod assurance;
pub mod at_most;
pub mod delegation;
pub mod dpop;
pub mod drift;
mod give;
pub mod introspection;
mod lineage;
mod place;
mod proxying;
mod reading;
pub mod rule;
pub mod statement;
mod template;

pub use give::{Given, NO_ONE, Wanted, give};
pub use lineage::{Before, Granted, still_given};
pub use place::Place;
pub use rule::{ExchangeRule, IssuedKind, Rules};
pub use statement::{Ancestor, Statement};

use crate::id::Digest;
use crate::verdict::Identity;

/// Someone who was believed, and what their token says beside.
#[derive(Clone, Debug)]
pub struct Believed {
    /// Who it is.
    pub identity: Identity,
    /// What the token says, if it was one.
    pub statement: Option<Statement>,
    /// What names what they have shown, among all.
    pub digest: Digest,
    /// What is on record of what it descends from, where it cannot say so itself: of a certificate of the
    /// tenant, or of another one that is known here.
    pub on_record: Vec<Ancestor>,
    /// The serial number of what they have shown, in hexadecimal, if it was a certificate.
    pub serial: Option<String>,
}
