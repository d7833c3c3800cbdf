//! Trust rules: who may be believed, in terms of typed facts.
//!
//! No regular expressions. Every matcher can be compared with every other, so "what else would
//! this admit" is computed, not guessed; and a fact that is absent never matches.

mod claim;
pub mod facts;
pub mod given_up;
pub mod matcher;
mod naming;
pub mod pattern;
pub mod presets;
pub(crate) mod reading;
pub mod rules;
pub(crate) mod subject;
