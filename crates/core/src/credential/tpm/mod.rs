//! What a TPM 2.0 says of itself and of its keys, read but not believed.
//!
//! ```text
//! certificate of the endorsement key ── a maker says: this key is in a TPM of mine
//! public area of a key ──────────────── what it is for, and whether it could ever leave
//! statement, signed by a key of the TPM ─ that another key is beside it, or what was measured
//! ```
//!
//! Structures are read by `tpm2-protocol`. Signatures are checked over the bytes as they came. All
//! names and digests are SHA-256, which every TPM 2.0 of the PC Client profile has.

mod endorsement;
mod public_area;
mod statement;
#[cfg(test)]
mod tests;

pub use endorsement::{Maker, is_endorsement};
pub use public_area::{PublicArea, Role};
pub use statement::{About, Statement, StatementProblem, registers_digest};

/// The longest structure that is read, in bytes: a public area with a key of RSA with 4096 bits has
/// 600.
pub const LONGEST_STRUCTURE: usize = 2 << 10;

/// How many registers (PCRs) there are in one bank of a platform (PC Client Platform TPM Profile).
pub const REGISTERS: u8 = 24;

/// The registers from 0 that hold what was started since the machine was: only its restart sets them
/// back. Those from here on are set back while it runs, by software (16 and 23) or by what the
/// processor starts late (17 to 22), and say nothing for sure (PC Client Platform TPM Profile, 4.7).
pub const STATIC_REGISTERS: u8 = 16;
