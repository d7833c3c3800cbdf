//! Whether tokens were taken back, both ways: the status lists of others are fetched and kept, and
//! ours are published (draft-ietf-oauth-status-list).
//!
//! ```text
//! verdict lacks a list ─► whose, and may it be there? ─► fetch ─► read, signed by the issuer?
//!                                                                      │
//!                                  view ◄─ kept until it is too old ◄──┘
//!
//! exchange ─► number in a list ─► `jti`, `status` ─► intent on record ─► signed
//! something ends ─► intents of a list looked through ─► list, signed ─► verifiers
//! ```

mod kept;
mod publishing;
mod receiving;

pub(crate) use kept::StatusLists;
pub(crate) use publishing::Publishing;
