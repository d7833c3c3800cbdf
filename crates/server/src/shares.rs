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

    /// All that whoever has this network may have: one site is given up to the first 48 bits (RFC 6177),
    /// which are 65,536 networks. Of IPv4 it is the address.
    pub(crate) fn site(self) -> Self {
        match self.0 {
            IpAddr::V6(address) => {
                let first = address.to_bits() & (u128::MAX << 80);
                Self(Ipv6Addr::from_bits(first).into())
            }
            IpAddr::V4(_) => self,
        }
    }
}

/// How much each network has, and each site. Those of whom no address is known are one.
#[derive(Default)]
pub(crate) struct Counts {
    of_network: BTreeMap<Option<Network>, usize>,
    of_site: BTreeMap<Option<Network>, usize>,
}

impl Counts {
    /// Whether a network may have one more, if each has so many at most: of several of one site, so that
    /// a neighbour is left something, all together have twice as many.
    pub(crate) fn has_room(&self, network: Option<Network>, each: usize) -> bool {
        let has = |of: &BTreeMap<_, usize>, key| of.get(&key).copied().unwrap_or_default();
        has(&self.of_network, network) < each
            && has(&self.of_site, network.map(Network::site)) < each.saturating_mul(2)
    }

    pub(crate) fn add(&mut self, network: Option<Network>) {
        *self.of_network.entry(network).or_default() += 1;
        *self.of_site.entry(network.map(Network::site)).or_default() += 1;
    }

    fn remove(&mut self, network: Option<Network>) {
        one_less(&mut self.of_network, network);
        one_less(&mut self.of_site, network.map(Network::site));
    }
}

fn one_less(of: &mut BTreeMap<Option<Network>, usize>, key: Option<Network>) {
    match of.get_mut(&key) {
        Some(has) if *has > 1 => *has -= 1,
        Some(_) | None => drop(of.remove(&key)),
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
    by: Counts,
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

    /// A place for who calls from an address, until it is dropped; nothing where that address, its
    /// site, or all together have as many as they may.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Share> {
        let network = address.map(Network::of);
        let mut taken = self.lock();
        if taken.in_all >= self.in_all || !taken.by.has_room(network, self.each) {
            return None;
        }
        taken.in_all += 1;
        taken.by.add(network);
        drop(taken);
        Some(Share {
            shares: Arc::clone(self),
            network,
        })
    }

    fn give_back(&self, network: Option<Network>) {
        let mut taken = self.lock();
        taken.in_all = taken.in_all.saturating_sub(1);
        taken.by.remove(network);
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
        assert!(shares.lock().by.of_network.is_empty());
        assert!(shares.lock().by.of_site.is_empty());
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

    #[test]
    fn hostile_24_whoever_has_many_networks_has_no_more_than_two() {
        let shares = Shares::of(100, 3);
        let of_site = |site: u16| {
            let all = (0..200_u16).map(move |n| format!("2001:db8:{site:x}:{n:x}::1"));
            all.filter_map(|one| shares.take(address(&one)))
                .collect::<Vec<Share>>()
        };
        let hostile = of_site(1);
        assert_eq!(hostile.len(), 6);
        assert!(shares.take(address("2001:db8:1:ffff::1")).is_none());
        assert_eq!(of_site(2).len(), 6, "another site has its own");
        drop(hostile);
        assert!(shares.take(address("2001:db8:1:ffff::1")).is_some());
        // Addresses of IPv4 that begin alike are of nobody in particular.
        let near = (1..9).map(|n| shares.take(address(&format!("192.0.2.{n}"))));
        assert!(near.collect::<Vec<_>>().iter().all(Option::is_some));
    }
}
