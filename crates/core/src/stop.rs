//! Why a step of a decision was not taken, and what that means for the others.

use crate::reason::Reason;

/// Why a step was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// No path can be accepted, whatever it is: no other is tried.
    Decided(Reason),
    /// The budget of the whole decision is used up: no other path is tried.
    Exhausted(Reason),
    /// This path is no good; another may be.
    Refused(Reason),
}

impl Stop {
    /// Why, for whoever tries no other path.
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Self::Decided(reason) | Self::Exhausted(reason) | Self::Refused(reason) => reason,
        }
    }

    /// Why, whatever it means for other paths.
    pub(crate) fn reason(&self) -> &Reason {
        match self {
            Self::Decided(reason) | Self::Exhausted(reason) | Self::Refused(reason) => reason,
        }
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}
