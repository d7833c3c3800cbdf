//! How many files the system lets this process have open; a connection is one.

use rustix::process::{Resource, getrlimit};

/// As many as are wanted, but at most such a part of all: those of the store and the connections to
/// others need some too, and whoever takes all of one kind must not keep out the others.
pub(crate) fn part_of_all(wanted: usize, part: usize) -> usize {
    let all = getrlimit(Resource::Nofile).current;
    let all = all.and_then(|all| usize::try_from(all).ok());
    all.map_or(wanted, |all| wanted.min(all / part))
}
