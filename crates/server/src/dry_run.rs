//! What is asked for and not to be done: all of it is looked at as if it were, up to the commit.

use std::cell::Cell;

use crate::fault::{Fault, Refused};

thread_local! {
    /// Whether what this thread does is not to be stored. Like who asked for it, it goes with the call,
    /// and no function on the way can forget to pass it on.
    static IS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Does something of which nothing is stored, nor anything done that would come after: where it comes
/// to the commit, it ends with [`Fault::DryRun`].
pub(crate) fn rehearsed<T>(work: impl FnOnce() -> T) -> T {
    with(true, work)
}

/// Does for good what is due whoever comes by, and no part of what is only asked for.
pub(crate) fn suspended<T>(work: impl FnOnce() -> T) -> T {
    with(false, work)
}

fn with<T>(is_on: bool, work: impl FnOnce() -> T) -> T {
    let before = Before(IS_ON.replace(is_on));
    let done = work();
    drop(before);
    done
}

/// Whether nothing is to be stored.
pub(crate) fn is_on() -> bool {
    IS_ON.get()
}

/// The end of what would have been stored now, if nothing is to be.
pub(crate) fn stop() -> Result<(), Fault> {
    match is_on() {
        true => Err(Fault::DryRun),
        false => Ok(()),
    }
}

/// Whether it came to the commit, and everything until there was in order.
pub(crate) fn has_ended_well(refused: &Refused) -> bool {
    matches!(refused, Refused::Fault(Fault::DryRun))
}

/// Put back also where the work panics: the thread does something else next.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        IS_ON.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_leaves_no_dry_run_behind() {
        let panicked = std::panic::catch_unwind(|| rehearsed(|| panic!("in a dry run")));
        assert!(panicked.is_err());
        assert!(!is_on());
        assert!(rehearsed(is_on));
        let within = rehearsed(|| (suspended(is_on), is_on()));
        assert_eq!(within, (false, true));
    }
}
