//! What is proved of a credential that an anchor vouches for, and the verdict on it.

use crate::budget::Budget;
use crate::path::{self, Model};
use crate::policy::rules::Rule;
use crate::time::Time;
use crate::verdict::{Check, Effect, Identity, Need, Refusal, Sealed, TrustModel, Verdict};

/// What was shown.
pub(crate) enum Proved {
    /// Who holds the credential.
    Identity(Box<Identity>, Vec<Effect>),
    /// Everything but what only whoever asks can know or find out.
    AllBut(Need),
}

impl Proved {
    /// The verdict that this is.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Identity(identity, effects) => Verdict::Accept(Sealed::new(*identity, effects)),
            Self::AllBut(need) => Verdict::Undetermined(vec![need]),
        }
    }
}

/// The last second in which something holds that expires then, or with one of `ends` if that is earlier: in
/// the second in which one of them expires it is too late.
pub(crate) fn last_second(expires: Time, ends: impl IntoIterator<Item = Option<Time>>) -> Time {
    ends.into_iter().flatten().fold(expires, Time::min).plus(-1)
}

/// The check that a rule of the anchor has passed.
pub(crate) fn by_rule(rule: &Rule) -> Check {
    Check {
        what: "rule",
        compared: rule.name().to_owned().into(),
        spec: "docs/how-to/trust-documents.md",
    }
}

/// Searches from `start`; where no path holds, every one that failed is the refusal.
pub(crate) fn decide<M: Model<Conclusion = Proved>>(
    model: &M,
    start: M::Statement,
    of: TrustModel,
    budget: &mut Budget,
) -> Verdict {
    match path::search(model, start, budget) {
        Ok(found) => found.conclusion.verdict(),
        Err(attempts) => Verdict::Reject(Refusal {
            model: of,
            attempts,
            legs: Vec::new(),
        }),
    }
}
