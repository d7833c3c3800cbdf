//! Which addresses may be called.
//!
//! Whoever chooses what is fetched must not reach with it what only the server can reach: itself,
//! its neighbours, the metadata of its cloud. So only addresses of the public Internet are called,
//! unless the operator has permitted others by name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses: those that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    length: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, length) = match text.split_once('/') {
            Some((base, length)) => (base, Some(length)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().ok()?;
        let bits = bits_of(base);
        let length = match length {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => bits,
        };
        let network = Self { base, length };
        // What stands behind the prefix would be read over, and is a mistake.
        (length <= bits && network.masked(base) == network.number(base)).then_some(network)
    }

    /// Whether the address lies in it. An IPv4 address in IPv6 form is not its IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        bits_of(address) == bits_of(self.base) && self.masked(address) == self.masked(self.base)
    }

    /// The address as a number, moved to the left so that prefixes of both kinds are its head.
    fn number(self, address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
            IpAddr::V6(address) => u128::from(address),
        }
    }

    fn masked(self, address: IpAddr) -> u128 {
        let mask = match self.length {
            0 => 0,
            length => u128::MAX << (128 - u32::from(length)),
        };
        self.number(address) & mask
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// What the operator has permitted besides the public Internet.
#[derive(Clone, Debug, Default)]
pub struct Permitted {
    networks: Vec<Network>,
    hosts: Vec<String>,
}

impl Permitted {
    /// Reads one of each of what the operator wrote: a block of addresses, an address, or the exact
    /// name of a host.
    ///
    /// # Errors
    ///
    /// The text that is none of these.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut permitted = Self::default();
        for text in texts {
            if let Some(network) = Network::parse(text) {
                permitted.networks.push(network);
            } else if let Some(host) = super::target::host_name(text) {
                permitted.hosts.push(host);
            } else {
                return Err(text.to_owned());
            }
        }
        Ok(permitted)
    }

    /// Why an address that `host` has resolved to may not be called: the name of its range.
    pub(crate) fn forbids(&self, host: &str, address: IpAddr) -> Option<&'static str> {
        if self
            .networks
            .iter()
            .any(|network| network.contains(address))
        {
            return None;
        }
        let range = special(address)?;
        // A permitted name is the operator's, but what it resolves to may be written by others:
        // nobody means the metadata of the cloud by the name of an issuer, nor what hides another
        // address.
        let is_named = self.hosts.iter().any(|known| known == host);
        (!is_named || is_never_meant(address, range)).then_some(range)
    }
}

fn is_never_meant(address: IpAddr, range: &str) -> bool {
    let hides_another = [IN_V6_FORM, TRANSLATED, TUNNELLED].contains(&range);
    hides_another
        || NEVER_MEANT.iter().any(|(base, length)| {
            let (base, length) = (*base, *length);
            Network { base, length }.contains(address)
        })
}

/// The range that makes an address none of the public Internet (RFC 6890 and the registries of
/// special-purpose addresses of IANA), if any does.
pub(crate) fn special(address: IpAddr) -> Option<&'static str> {
    let ranges = match address {
        IpAddr::V4(_) => SPECIAL_V4,
        IpAddr::V6(_) => SPECIAL_V6,
    };
    let found = ranges.iter().find(|(base, length, _)| {
        let (base, length) = (*base, *length);
        Network { base, length }.contains(address)
    });
    if let Some((.., name)) = found {
        return Some(name);
    }
    let public = Network {
        base: v6(0x2000, 0, 0),
        length: 3,
    };
    let is_public = address.is_ipv4() || public.contains(address);
    (!is_public).then_some("not assigned to the public Internet")
}

type Special = (IpAddr, u8, &'static str);

const fn v4(a: u8, b: u8, c: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
}

const fn v6(a: u16, b: u16, c: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
}

/// Link-local addresses, and the one at which a cloud has its metadata among private addresses.
const NEVER_MEANT: [(IpAddr, u8); 3] = [
    (v4(169, 254, 0), 16),
    (v6(0xfe80, 0, 0), 10),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        128,
    ),
];

const IN_V6_FORM: &str = "IPv4 in IPv6 form";
const TRANSLATED: &str = "translated to IPv4";
const TUNNELLED: &str = "tunnelled to IPv4";

const SPECIAL_V4: &[Special] = &[
    (v4(0, 0, 0), 8, "this network"),
    (v4(10, 0, 0), 8, "private"),
    (v4(100, 64, 0), 10, "shared by the customers of a provider"),
    (v4(127, 0, 0), 8, "loopback"),
    (v4(169, 254, 0), 16, "link-local"),
    (v4(172, 16, 0), 12, "private"),
    (v4(192, 0, 0), 24, "of protocols"),
    (v4(192, 0, 2), 24, "for documentation"),
    (v4(192, 88, 99), 24, "of 6to4 relays"),
    (v4(192, 168, 0), 16, "private"),
    (v4(198, 18, 0), 15, "for benchmarks"),
    (v4(198, 51, 100), 24, "for documentation"),
    (v4(203, 0, 113), 24, "for documentation"),
    (v4(224, 0, 0), 4, "multicast"),
    (v4(240, 0, 0), 4, "reserved"),
];

/// What is translated or tunnelled to IPv4 is refused as such: whoever is at the other end of the
/// translation decides where it leads.
const SPECIAL_V6: &[Special] = &[
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128, "unspecified"),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, "loopback"),
    (
        IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)),
        96,
        IN_V6_FORM,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0)),
        96,
        TRANSLATED,
    ),
    (v6(0, 0, 0), 96, IN_V6_FORM),
    (v6(0x64, 0xff9b, 0), 96, TRANSLATED),
    (v6(0x64, 0xff9b, 1), 48, TRANSLATED),
    (v6(0x100, 0, 0), 64, "for discarding"),
    (v6(0x2001, 0, 0), 32, TUNNELLED),
    (v6(0x2001, 0, 0), 23, "of protocols"),
    (v6(0x2001, 0xdb8, 0), 32, "for documentation"),
    (v6(0x2002, 0, 0), 16, TUNNELLED),
    (v6(0x3fff, 0, 0), 20, "for documentation"),
    (v6(0xfc00, 0, 0), 7, "private"),
    (v6(0xfe80, 0, 0), 10, "link-local"),
    (v6(0xfec0, 0, 0), 10, "private"),
    (v6(0xff00, 0, 0), 8, "multicast"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_22_no_address_that_only_the_server_can_reach_is_called() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert!(special(parsed).is_some(), "{address}");
            assert!(Permitted::default().forbids("a.test", parsed).is_some());
        }
    }

    #[test]
    fn hostile_22_near_miss_addresses_of_the_public_internet_are_called() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn a_block_is_read_only_in_its_one_form() {
        for text in ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1", "0.0.0.0/0"] {
            assert!(Network::parse(text).is_some(), "{text}");
        }
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10/8",
            "::1/129",
            "10.0.0.0/",
            "a/8",
            "/8",
            "010.0.0.0/8",
            "10.0.0.0/+8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_operator_permits_a_block_or_a_host_and_nothing_beside_it() {
        let permitted = Permitted::read(["10.1.0.0/16", "idp.internal"]).unwrap();
        let forbids = |host, address: &str| permitted.forbids(host, address.parse().unwrap());
        assert_eq!(forbids("a.test", "10.1.2.3"), None);
        assert_eq!(forbids("a.test", "10.2.2.3"), Some("private"));
        assert_eq!(forbids("idp.internal", "10.2.2.3"), None);
        assert_eq!(forbids("x.idp.internal", "10.2.2.3"), Some("private"));
        assert_eq!(
            forbids("idp.internal", "169.254.169.254"),
            Some("link-local")
        );
        for host in ["a.test", "idp.internal"] {
            assert_eq!(forbids(host, "::ffff:10.1.2.3"), Some(IN_V6_FORM));
        }
        for hidden in [
            "::ffff:169.254.169.254",
            "::ffff:0:10.1.2.3",
            "::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2001::1",
            "2002:a9fe:a9fe::",
            "fe80::1",
            "fd00:ec2::254",
        ] {
            assert!(forbids("idp.internal", hidden).is_some(), "{hidden}");
        }
        for near in ["::1", "fd00:ec2::253", "2001:100::1"] {
            assert_eq!(forbids("idp.internal", near), None, "{near}");
        }
        assert_eq!(Permitted::read(["a b"]).unwrap_err(), "a b");
        assert_eq!(Permitted::read(["*.internal"]).unwrap_err(), "*.internal");
    }
}
