//! Those for whom there was no place: nobody else learns that they were there.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::time::Time;

use crate::plane::Plane;

/// What there was no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// A connection of an administrator or a verifier.
    Http,
    /// A connection of a node.
    Node,
    /// A node that wants to join.
    Joining,
}

impl Crowd {
    const ALL: [Self; 3] = [Self::Http, Self::Node, Self::Joining];

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Node => "node",
            Self::Joining => "joining",
        }
    }
}

/// How many were turned away of each crowd.
#[derive(Default)]
pub(crate) struct TurnedAway([Mutex<OfOne>; Crowd::ALL.len()]);

#[derive(Default)]
struct OfOne {
    in_all: u64,
    untold: u64,
    /// The minute in which the log told of them last.
    told: Option<i64>,
}

impl TurnedAway {
    /// Counts one more. If the log tells of it, which it does once a minute since whoever calls may do so
    /// without end: how many there were since it did.
    fn one_more(&self, crowd: Crowd, now: Time) -> Option<u64> {
        let mut of_it = self.of(crowd)?;
        of_it.in_all += 1;
        of_it.untold += 1;
        let minute = Some(now.unix().div_euclid(60));
        if of_it.told == minute {
            return None;
        }
        of_it.told = minute;
        Some(std::mem::take(&mut of_it.untold))
    }

    /// How many there were, by the name of their crowd.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = Crowd::ALL.into_iter();
        all.map(|crowd| {
            let count = self.of(crowd).map(|of_it| of_it.in_all);
            (crowd.name(), count.unwrap_or_default())
        })
    }

    fn of(&self, crowd: Crowd) -> Option<MutexGuard<'_, OfOne>> {
        let place = Crowd::ALL.iter().position(|one| *one == crowd)?;
        let of_it = self.0.get(place)?;
        Some(of_it.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Plane {
    /// Someone is turned away who calls from there.
    pub(crate) fn turn_away(&self, crowd: Crowd, address: Option<SocketAddr>) {
        let Some(count) = self.turned_away.one_more(crowd, self.now()) else {
            return;
        };
        tracing::warn!(
            what = crowd.name(),
            address = address.map(|address| address.to_string()),
            since_last_told = count,
            "turned away: there are too many at once, of this address or of all"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_once_a_minute_and_of_how_many() {
        let away = TurnedAway::default();
        let told = |crowd, at| away.one_more(crowd, Time::from_unix(at));
        assert_eq!(told(Crowd::Node, 0), Some(1));
        for at in 0..59 {
            assert_eq!(told(Crowd::Node, at), None);
        }
        assert_eq!(told(Crowd::Joining, 59), Some(1));
        assert_eq!(told(Crowd::Node, 60), Some(60));
        assert_eq!(told(Crowd::Node, 61), None);
        let counts: Vec<_> = away.counts().collect();
        assert_eq!(counts, [("http", 0), ("node", 62), ("joining", 1)]);
    }
}
