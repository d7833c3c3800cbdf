//! Who reads what a tenant publishes, and how far each has come: servers of foreign trust domains,
//! which fetch bundles, and verifiers of tokens, which fetch keys.
//!
//! They ask and say nothing of themselves (SPIFFE Federation 5.1, OpenID Connect Discovery 1.0), so
//! a reader is the address that it calls from, and all behind one proxy are one. What a server knows
//! are those who ask that server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::id::TrustDomain;
use avouch_core::time::Time;
use avouch_store::{AuthorityKind, AuthorityRecord, Sequence};

use crate::plane::Plane;
use crate::tenant::Tenant;

/// The most readers of one document that are kept in mind: of more, those that were not heard of for
/// the longest are forgotten.
const MOST_READERS: usize = 1_000;

/// A reader that was not heard of for so many of the intervals that it is asked to keep is none any
/// more.
const INTERVALS: u32 = 3;

/// A successor waits for readers for so many of these intervals: who takes longer does not keep them,
/// and must not keep a tenant from going on.
const PATIENCE: i64 = 2;

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Published {
    /// The bundle of a trust domain.
    Bundle(TrustDomain),
    /// The keys of all trust domains that sign tokens.
    Keys,
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Time,
    /// The last change of the authorities that it has read of.
    holds: Sequence,
    /// Whether it has come back: who asks once follows nothing.
    follows: bool,
}

/// The readers of one tenant.
#[derive(Default)]
pub(crate) struct Readers(Mutex<BTreeMap<Published, BTreeMap<IpAddr, Reading>>>);

/// The readers of a document that follow it now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Following {
    pub(crate) holding: usize,
    /// Those that have not read it since.
    pub(crate) behind: Vec<IpAddr>,
}

impl Readers {
    /// Notes that someone has read a document as it was after a change.
    pub(crate) fn note(&self, what: Published, who: IpAddr, holds: Sequence, now: Time) {
        let mut all = self.lock();
        let readers = all.entry(what).or_default();
        let follows = readers.contains_key(&who);
        let reading = Reading {
            at: now,
            holds,
            follows,
        };
        readers.insert(who, reading);
        if readers.len() > MOST_READERS
            && let Some(quiet) = readers.iter().min_by_key(|(_, reading)| reading.at)
        {
            let quiet = *quiet.0;
            readers.remove(&quiet);
        }
    }

    /// The readers that follow a document now, which are asked to come back every `interval`
    /// seconds, and whether they have read it since a change.
    pub(crate) fn following(
        &self,
        what: &Published,
        since: Sequence,
        interval: u32,
        now: Time,
    ) -> Following {
        let all = self.lock();
        let longest = i64::from(interval) * i64::from(INTERVALS);
        let readers = all.get(what).into_iter().flatten();
        let now_following =
            readers.filter(|(_, reading)| reading.follows && now.since(reading.at) <= longest);
        let (holding, behind): (Vec<_>, Vec<_>) =
            now_following.partition(|(_, reading)| reading.holds >= since);
        Following {
            holding: holding.len(),
            behind: behind.into_iter().map(|(who, _)| *who).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Published, BTreeMap<IpAddr, Reading>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plane {
    /// The readers that follow what an authority is published in, and whether they have read of it.
    /// What signs tokens is published twice; who reads either holds it.
    pub(crate) fn readers_of(
        &self,
        tenant: &Tenant,
        record: &AuthorityRecord,
        published: Sequence,
    ) -> Following {
        let (interval, now) = (self.settings.bundle_refresh_hint, self.now());
        let of = |what: &Published| tenant.readers.following(what, published, interval, now);
        let mut following = of(&Published::Bundle(record.trust_domain.clone()));
        if record.kind == AuthorityKind::Jwt {
            let keys = of(&Published::Keys);
            following.holding += keys.holding;
            following.behind.extend(keys.behind);
        }
        following
    }

    /// How many readers a successor still waits for: those that follow what it is published in and
    /// have not read of it, for as long as they may take if they keep the interval.
    pub(crate) fn readers_to_wait_for(
        &self,
        tenant: &Tenant,
        record: &AuthorityRecord,
        published: Sequence,
    ) -> usize {
        let longest = i64::from(self.settings.bundle_refresh_hint) * PATIENCE;
        if self.now().since(record.since) > longest {
            return 0;
        }
        self.readers_of(tenant, record, published).behind.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn reader(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds)
    }

    #[test]
    fn who_comes_back_follows_until_it_stays_away_for_three_intervals() {
        let readers = Readers::default();
        let following =
            |since, now| readers.following(&Published::Keys, Sequence::of(since), 300, at(now));
        readers.note(Published::Keys, reader(1), Sequence::of(7), at(0));
        readers.note(Published::Keys, reader(2), Sequence::of(7), at(0));
        assert_eq!(following(7, 0).holding, 0, "who asks once follows nothing");
        readers.note(Published::Keys, reader(1), Sequence::of(7), at(300));
        assert_eq!(following(7, 300).holding, 1);
        assert_eq!(following(8, 1_200).behind, [reader(1)]);
        readers.note(Published::Keys, reader(1), Sequence::of(8), at(1_200));
        assert_eq!(following(8, 1_200).holding, 1);
        let nobody = Following {
            holding: 0,
            behind: Vec::new(),
        };
        assert_eq!(following(9, 2_101), nobody);
    }

    #[test]
    fn the_readers_of_one_document_are_none_of_another() {
        let readers = Readers::default();
        let one = Published::Bundle(TrustDomain::parse("one.test").unwrap());
        let two = Published::Bundle(TrustDomain::parse("two.test").unwrap());
        for now in [0, 1] {
            readers.note(one.clone(), reader(1), Sequence::of(1), at(now));
        }
        let following = |what| readers.following(what, Sequence::of(1), 300, at(1));
        assert_eq!(following(&one).holding, 1);
        assert_eq!(following(&two).holding, 0);
    }

    #[test]
    fn so_many_are_kept_in_mind_and_no_more() {
        let readers = Readers::default();
        let most = u32::try_from(MOST_READERS).unwrap();
        for number in 0..=most {
            for _ in 0..2 {
                let now = at(i64::from(number));
                readers.note(Published::Keys, reader(number), Sequence::of(1), now);
            }
        }
        let following = readers.following(&Published::Keys, Sequence::of(2), u32::MAX, at(0));
        assert_eq!(following.behind.len(), MOST_READERS);
        assert!(!following.behind.contains(&reader(0)));
    }
}
