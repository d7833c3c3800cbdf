//! What anyone may take, shared out: so much of it in all, and so much to whoever calls from one
//! address, so that one caller does not keep it from all others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where someone calls from: an address of IPv4, or the first 64 bits of one of IPv6, since whoever has
/// one there has all that begin like it (RFC 4291 2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let first = address.to_bits() & !u128::from(u64::MAX);
                Self(Ipv6Addr::from_bits(first).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// Places that are taken by those who call.
pub(crate) struct Shares {
    in_all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    in_all: usize,
    by: BTreeMap<Option<Network>, usize>,
}

impl Shares {
    /// So many places in all, and so many of them for each address.
    pub(crate) fn of(in_all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            in_all,
            each,
            taken: Mutex::default(),
        })
    }

    /// A place for who calls from an address, until it is dropped; nothing where that address, or all
    /// together, have as many as they may. Those of whom no address is known are one.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Share> {
        let network = address.map(Network::of);
        let mut taken = self.lock();
        let of_it = taken.by.get(&network).copied().unwrap_or_default();
        if taken.in_all >= self.in_all || of_it >= self.each {
            return None;
        }
        taken.in_all += 1;
        taken.by.insert(network, of_it + 1);
        drop(taken);
        Some(Share {
            shares: Arc::clone(self),
            network,
        })
    }

    fn give_back(&self, network: Option<Network>) {
        let mut taken = self.lock();
        taken.in_all = taken.in_all.saturating_sub(1);
        match taken.by.get_mut(&network) {
            Some(of_it) if *of_it > 1 => *of_it -= 1,
            Some(_) | None => drop(taken.by.remove(&network)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken.
pub(crate) struct Share {
    shares: Arc<Shares>,
    network: Option<Network>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.give_back(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_leaves_places_to_others_and_all_have_no_more_than_there_are() {
        let shares = Shares::of(5, 2);
        let one = address("192.0.2.1");
        let first = shares.take(one).unwrap();
        let second = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        let others = [address("192.0.2.2"), address("192.0.2.3"), None];
        let others: Vec<Share> = others.map(|other| shares.take(other).unwrap()).into();
        assert!(shares.take(address("192.0.2.4")).is_none());
        drop(second);
        assert!(shares.take(one).is_some());
        drop((first, others));
        assert!(shares.lock().by.is_empty());
        assert_eq!(shares.lock().in_all, 0);
    }

    #[test]
    fn addresses_that_one_caller_has_are_one() {
        let shares = Shares::of(5, 1);
        let _one = shares.take(address("2001:db8::1")).unwrap();
        assert!(shares.take(address("2001:db8::ffff:1:2:3")).is_none());
        let _other = shares.take(address("2001:db8:0:1::1")).unwrap();
        let _mapped = shares.take(address("::ffff:192.0.2.1")).unwrap();
        assert!(shares.take(address("192.0.2.1")).is_none());
    }
}
