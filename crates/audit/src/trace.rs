//! What came of each condition when a set of claims was held against it.

use std::fmt;

use crate::cel::Failure;

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It could not be evaluated, which every one of these systems takes for a no.
    Failed(String),
    /// It is not evaluated here, so what its system makes of it is not known.
    NotKnown(String),
    /// It is about something else than the token, and may hold or not.
    Open,
}

impl Held {
    /// Holds if the flag does.
    pub fn of(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }

    /// What comes of a condition that has no value.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::NotEvaluated(_) => Self::NotKnown(failure.to_string()),
            Failure::MissingKey(_) | Failure::Other(_) | Failure::OutOfFuel => {
                Self::Failed(failure.to_string())
            }
        }
    }

    /// Whether it may hold.
    pub fn may_hold(&self) -> bool {
        matches!(self, Self::Yes | Self::Open)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("holds"),
            Self::No => f.write_str("does not hold"),
            Self::Failed(why) => write!(f, "fails: {why}"),
            Self::NotKnown(why) => write!(f, "is not known: {why}"),
            Self::Open => f.write_str("is not about the token"),
        }
    }
}

/// One condition and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The condition as it was written.
    pub condition: String,
    /// What the claims have there, if it looks at one claim.
    pub seen: Option<String>,
    /// What came of it.
    pub held: Held,
}

/// What came of all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Whether the claims are admitted, as far as it depends on them.
    pub admitted: bool,
    /// Each condition that was looked at.
    pub steps: Vec<Step>,
}

impl Trace {
    /// Whether that is certain: nothing is left open on which it would depend.
    pub fn is_certain(&self) -> bool {
        let has = |is: fn(&Held) -> bool| self.steps.iter().any(|step| is(&step.held));
        let is_refused = has(|held| matches!(held, Held::No | Held::Failed(_)));
        is_refused || !has(|held| matches!(held, Held::NotKnown(_)))
    }

    /// Admitted if every step may hold.
    pub fn all_of(steps: Vec<Step>) -> Self {
        Self {
            admitted: steps.iter().all(|step| step.held.may_hold()),
            steps,
        }
    }
}
