//! The one search that all trust models share.
//!
//! A model says which vouches there may be and what each must pass; this search walks them from
//! the credential towards the anchors, depth first, best candidates first, and remembers every
//! path that failed and why. If models had searches of their own there would be as many
//! explainers.

use crate::budget::Budget;
use crate::reason::Reason;
use crate::stop::Stop;
use crate::vouch::Vouch;

/// What a trust model answers so that the search can walk it.
pub(crate) trait Model {
    /// What stands on a path and wants vouching for: a certificate, a token.
    type Statement;
    /// A key of an anchor, at which a path ends.
    type AnchorKey;
    /// What a path that reached an anchor proves.
    type Conclusion;

    /// Who may have vouched for the last statement of the trail, best first. Refused when there is
    /// no one, or when the trail may not grow longer.
    fn candidates(
        &self,
        trail: &[Self::Statement],
        budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop>;

    /// Checks that the candidate really vouched for the last statement of the trail.
    fn vouch(
        &self,
        trail: &[Self::Statement],
        candidate: &Candidate<Self>,
        budget: &mut Budget,
    ) -> Result<Vouch, Stop>;

    /// Whether all that stands on a path that reached an anchor fits together and answers the
    /// question.
    fn conclude(
        &self,
        trail: &[Self::Statement],
        path: &[Vouch],
        anchor: &Self::AnchorKey,
        budget: &mut Budget,
    ) -> Result<Self::Conclusion, Stop>;

    /// How an attempt that stopped at this candidate names the place.
    fn name_of(&self, candidate: &Candidate<Self>) -> String;

    /// How an attempt that reached this anchor and was refused all the same names the place: the
    /// statement at fault rather than the end of the path.
    fn name_of_fault(
        &self,
        trail: &[Self::Statement],
        anchor: &Self::AnchorKey,
        reason: &Reason,
    ) -> String;

    /// How an attempt that found no candidate names the place.
    fn name_of_end(&self, trail: &[Self::Statement]) -> String;
}

/// Someone who may have vouched.
pub(crate) enum Candidate<M: Model + ?Sized> {
    /// A key of an anchor: the path ends.
    Anchor(M::AnchorKey),
    /// Another statement, which wants vouching for in turn.
    Statement(M::Statement),
}

/// A path that did not lead to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    path: Vec<Vouch>,
    stopped_at: String,
    reason: Reason,
    progress: Progress,
}

impl Attempt {
    /// Orders attempts: later is nearer to an anchor.
    fn rank(&self) -> (Progress, usize) {
        (self.progress, self.path.len())
    }

    /// The vouches that held, from the credential upwards.
    pub fn path(&self) -> &[Vouch] {
        &self.path
    }

    /// Where it stopped.
    pub fn stopped_at(&self) -> &str {
        &self.stopped_at
    }

    /// Why it stopped.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// How near an attempt came to an anchor; later is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// The candidate did not vouch.
    NotVouched,
    /// No candidate was left.
    DeadEnd,
    /// An anchor was reached, and the path as a whole refused.
    ReachedAnchor,
    /// The search ended here, because its budget did or because no path can be accepted.
    Ended,
}

/// Beside the nearest: the paths that a search keeps by default, and as much that could not be read.
const OTHERS_MAX: usize = 64;

/// The paths that failed, nearest to an anchor first; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    nearest: Attempt,
    others: Vec<Attempt>,
    left_out: usize,
}

impl Attempts {
    /// A refusal before any path was tried.
    pub(crate) fn before_search(stopped_at: impl Into<String>, reason: Reason) -> Self {
        let nearest = Attempt {
            path: Vec::new(),
            stopped_at: stopped_at.into(),
            reason,
            progress: Progress::DeadEnd,
        };
        Self {
            nearest,
            others: Vec::new(),
            left_out: 0,
        }
    }

    /// A path that reached an anchor, and was refused for what it is to be used for.
    pub(crate) fn of_whole_path(path: Vec<Vouch>, anchor: String, reason: Reason) -> Self {
        let nearest = Attempt {
            path,
            stopped_at: anchor,
            reason,
            progress: Progress::ReachedAnchor,
        };
        Self {
            nearest,
            others: Vec::new(),
            left_out: 0,
        }
    }

    /// Adds a piece of input that could not take part in the search. Where there was nothing to
    /// trust at all, that is the reason of the refusal.
    pub(crate) fn and_unusable(&mut self, what: String, reason: Reason) {
        if self.others.len() >= OTHERS_MAX {
            self.left_out += 1;
            return;
        }
        let attempt = Attempt {
            path: Vec::new(),
            stopped_at: what,
            reason,
            progress: Progress::NotVouched,
        };
        if self.nearest.reason == (Reason::NoAnchors {}) {
            self.others
                .push(std::mem::replace(&mut self.nearest, attempt));
        } else {
            self.others.push(attempt);
        }
    }

    /// Counts what is not told.
    pub(crate) fn leave_out(&mut self, count: usize) {
        self.left_out += count;
    }

    /// The attempt that came nearest to an anchor; its reason is the reason of the refusal.
    pub fn nearest(&self) -> &Attempt {
        &self.nearest
    }

    /// All that were kept, nearest first.
    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        std::iter::once(&self.nearest).chain(&self.others)
    }

    /// How many more there were.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// A path that holds, and what it proves.
pub(crate) struct Found<M: Model> {
    pub(crate) path: Vec<Vouch>,
    pub(crate) anchor: M::AnchorKey,
    pub(crate) conclusion: M::Conclusion,
}

/// Searches from `start` for a path that `model` accepts.
pub(crate) fn search<M: Model>(
    model: &M,
    start: M::Statement,
    budget: &mut Budget,
) -> Result<Found<M>, Attempts> {
    let mut walk = Walk {
        model,
        trail: vec![start],
        path: Vec::new(),
        failed: Vec::new(),
        farthest_kept: None,
        kept: budget.limits().attempts_kept.max(1),
        left_out: 0,
    };
    match walk.try_candidates(budget) {
        Ended::Found(found) => Ok(found),
        Ended::Hopeless | Ended::NotHere => Err(walk.attempts()),
    }
}

struct Walk<'a, M: Model> {
    model: &'a M,
    trail: Vec<M::Statement>,
    path: Vec<Vouch>,
    failed: Vec<Attempt>,
    farthest_kept: Option<(Progress, usize)>,
    kept: usize,
    left_out: usize,
}

enum Ended<M: Model> {
    Hopeless,
    Found(Found<M>),
    NotHere,
}

impl<M: Model> Walk<'_, M> {
    /// Tries every candidate above the last statement of the trail. Each level of this recursion
    /// is one statement on the path, whose length the model bounds.
    fn try_candidates(&mut self, budget: &mut Budget) -> Ended<M> {
        let candidates = match self.model.candidates(&self.trail, budget) {
            Ok(candidates) => candidates,
            Err(stop) => {
                let place = self.model.name_of_end(&self.trail);
                return self.stopped(|| place, stop, Progress::DeadEnd, budget);
            }
        };
        for candidate in candidates {
            match self.try_candidate(candidate, budget) {
                Ended::NotHere => {}
                ended @ (Ended::Hopeless | Ended::Found(_)) => return ended,
            }
        }
        Ended::NotHere
    }

    fn try_candidate(&mut self, candidate: Candidate<M>, budget: &mut Budget) -> Ended<M> {
        let vouched = budget
            .step()
            .and_then(|()| self.model.vouch(&self.trail, &candidate, budget));
        let vouch = match vouched {
            Ok(vouch) => vouch,
            Err(stop) => {
                let model = self.model;
                let place = || model.name_of(&candidate);
                return self.stopped(place, stop, Progress::NotVouched, budget);
            }
        };
        self.path.push(vouch);
        let ended = match candidate {
            Candidate::Statement(statement) => {
                self.trail.push(statement);
                let ended = self.try_candidates(budget);
                self.trail.pop();
                ended
            }
            Candidate::Anchor(anchor) => {
                match self
                    .model
                    .conclude(&self.trail, &self.path, &anchor, budget)
                {
                    Ok(conclusion) => {
                        return Ended::Found(Found {
                            path: std::mem::take(&mut self.path),
                            anchor,
                            conclusion,
                        });
                    }
                    Err(stop) => {
                        let place = self
                            .model
                            .name_of_fault(&self.trail, &anchor, stop.reason());
                        self.stopped(|| place, stop, Progress::ReachedAnchor, budget)
                    }
                }
            }
        };
        self.path.pop();
        ended
    }

    /// Remembers the attempt, unless enough that came nearer are remembered already: a hostile
    /// graph has thousands, and each would cost a copy of its path.
    fn stopped(
        &mut self,
        place: impl FnOnce() -> String,
        stop: Stop,
        progress: Progress,
        budget: &Budget,
    ) -> Ended<M> {
        let (reason, progress, ended) = match stop {
            Stop::Decided(reason) | Stop::Exhausted(reason) => {
                (reason, Progress::Ended, Ended::Hopeless)
            }
            Stop::Refused(reason) => (reason, progress, Ended::NotHere),
        };
        let kept = budget.limits().attempts_kept.max(1);
        let farther = self.failed.len() >= kept
            && self
                .farthest_kept
                .is_some_and(|farthest| (progress, self.path.len()) <= farthest);
        if farther {
            self.left_out += 1;
            return ended;
        }
        let path = self.path.clone();
        self.failed.push(Attempt {
            path,
            stopped_at: place(),
            reason,
            progress,
        });
        if self.failed.len() >= 2 * kept {
            self.keep_nearest(kept);
        }
        ended
    }

    fn keep_nearest(&mut self, kept: usize) {
        // Stable, so among equals the one found first stays first.
        self.failed
            .sort_by_key(|attempt| std::cmp::Reverse(attempt.rank()));
        self.left_out += self.failed.len().saturating_sub(kept);
        self.failed.truncate(kept);
        self.farthest_kept = self.failed.last().map(Attempt::rank);
    }

    fn attempts(mut self) -> Attempts {
        self.keep_nearest(self.kept);
        let mut failed = self.failed.into_iter();
        // A model refuses when it has no candidates, so a search that found nothing has failed
        // somewhere; if not, the model has a bug, and the refusal says so.
        let nearest = failed.next().unwrap_or_else(|| Attempt {
            path: Vec::new(),
            stopped_at: "the search".to_owned(),
            reason: Reason::NoAnchors {},
            progress: Progress::DeadEnd,
        });
        Attempts {
            nearest,
            others: failed.collect(),
            left_out: self.left_out,
        }
    }
}
