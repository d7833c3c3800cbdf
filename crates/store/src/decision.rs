//! What was decided on credentials that others have shown, as long as it is kept.

use avouch_core::time::Time;

use crate::names::DecisionId;

/// A decision. Nothing in it is a secret: whoever writes it leaves out what a bearer could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// What it is called. The names are in the order of time.
    pub id: DecisionId,
    /// When it was made.
    pub at: Time,
    /// What came of it, in a word.
    pub verdict: String,
    /// Why it is a refusal, if it is one.
    pub code: Option<String>,
    /// All that is known of it, in JSON.
    pub document: String,
}

/// Which decisions are wanted: the latest of those that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedDecisions {
    /// Those of which this came.
    pub verdict: Option<String>,
    /// Those that were refused with this code.
    pub code: Option<String>,
    /// Those before this one.
    pub before: Option<DecisionId>,
    /// At most so many.
    pub limit: u32,
}
