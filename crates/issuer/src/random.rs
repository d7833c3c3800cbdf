//! Where serial numbers and token identifiers come from.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::fault::Fault;

/// Gives random bytes. A test gives its own, so that what it issues reads the same each time.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    ///
    /// [`Fault::NoRandomness`].
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Milliseconds since 1970, or nothing but 0. Names begin with it, so that those of what is
    /// issued together stand together in an index: a batch then touches a page of it, and not a
    /// page for each.
    fn moment(&self) -> u64 {
        0
    }
}

/// The random numbers of AWS-LC, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        rand::fill(bytes).map_err(|_| Fault::NoRandomness)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it orders names and decides nothing"
    )]
    fn moment(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or_default()
        })
    }
}

/// 16 bytes that no one has had before: 6 of the moment and 10 random ones, as in a UUID of version
/// 7 (RFC 9562 5.7).
fn unique(random: &dyn Random) -> Result<[u8; 16], Fault> {
    let mut name = [0; 16];
    let [_, _, moment @ ..] = random.moment().to_be_bytes();
    let (head, rest) = name.split_at_mut(moment.len());
    head.copy_from_slice(&moment);
    random.fill(rest)?;
    Ok(name)
}

/// A serial number of 16 bytes, 80 of whose bits are random; CA/B BR 7.1 asks for 64. The two
/// bits at its head make it positive and its length always the same (RFC 5280 4.1.2.2).
pub(crate) fn serial_number(random: &dyn Random) -> Result<[u8; 16], Fault> {
    let mut serial = unique(random)?;
    let [head, ..] = &mut serial;
    *head = *head & 0x3f | 0x40;
    Ok(serial)
}

/// What the serial numbers of all certificates of one holder of a name end with, so that they can be told
/// from those of whoever had the name before, however soon after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; MARK]);

/// Nobody who has the name after someone has the same mark by chance.
const MARK: usize = 8;

/// The longest serial number (RFC 5280 4.1.2.2).
const MARKED: usize = 20;

impl Mark {
    /// One that no one has had before.
    ///
    /// # Errors
    ///
    /// [`Fault::NoRandomness`].
    pub fn new(random: &dyn Random) -> Result<Self, Fault> {
        let mut mark = [0; MARK];
        random.fill(&mut mark)?;
        Ok(Self(mark))
    }

    /// That of the holder of a certificate with this serial number, if it has one.
    pub fn of_serial_number(serial: &[u8]) -> Option<Self> {
        if serial.len() != MARKED || !is_serial_number(serial) {
            return None;
        }
        serial.last_chunk().copied().map(Self)
    }

    /// The mark that was this number.
    pub fn from_number(number: u64) -> Self {
        Self(number.to_be_bytes())
    }

    /// It as a number.
    pub fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    /// A serial number of its holder: 6 bytes of the moment, 6 random ones, and the mark. That is random to
    /// all others; to the holder 48 bits are, beside a moment that it does not choose. What a serial number
    /// must not be foreseen for (CA/B BR 7.1 asks for 64 bits) is a collision of the digest that is signed,
    /// and none of those that sign here has any known.
    pub(crate) fn serial_number(self, random: &dyn Random) -> Result<[u8; MARKED], Fault> {
        let mut serial = [0; MARKED];
        let (head, mark) = serial.split_at_mut(MARKED - MARK);
        mark.copy_from_slice(&self.0);
        let own = serial_number(random)?;
        head.iter_mut().zip(own).for_each(|(byte, own)| *byte = own);
        Ok(serial)
    }
}

/// Whether bytes have the form of the serial numbers that are made here.
pub fn is_serial_number(bytes: &[u8]) -> bool {
    matches!(bytes, [0x40..=0x7f, rest @ ..] if rest.len() == 15 || rest.len() + 1 == MARKED)
}

/// A token identifier (`jti`) with 80 random bits, as base64url.
pub(crate) fn token_id(random: &dyn Random) -> Result<String, Fault> {
    Ok(Base64UrlUnpadded::encode_string(&unique(random)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), Fault> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn a_serial_number_is_positive_and_always_as_long() {
        let serial = serial_number(&Always(0xff)).unwrap();
        assert_eq!(serial[..6], [0x40, 0, 0, 0, 0, 0]);
        assert_eq!(serial[6..], [0xff; 10]);
        let head = serial_number(&SystemRandom).unwrap()[0];
        assert!((0x40..0x80).contains(&head), "{head}");
        assert!(is_serial_number(&serial));
        for other in [
            &serial[..15],
            &[serial.as_slice(), &[0]].concat(),
            &[0x3f; 16],
            &[0x80; 16],
            &[],
        ] {
            assert!(!is_serial_number(other), "{other:?}");
        }
    }

    #[test]
    fn the_certificates_of_one_holder_are_told_from_those_of_another() {
        let [own, other] = [(); 2].map(|()| Mark::new(&SystemRandom).unwrap());
        let serials = [(); 2].map(|()| own.serial_number(&SystemRandom).unwrap());
        assert_ne!(serials[0], serials[1]);
        for serial in serials {
            assert!(is_serial_number(&serial));
            let found = Mark::of_serial_number(&serial);
            assert_eq!(found, Some(Mark::from_number(own.number())));
            assert_ne!(found, Some(other));
            assert_eq!(Mark::of_serial_number(&serial[..19]), None);
        }
        let unmarked = serial_number(&SystemRandom).unwrap();
        assert_eq!(Mark::of_serial_number(&unmarked), None);
        assert_eq!(Mark::of_serial_number(&[0xff; MARKED]), None);
    }

    #[test]
    fn what_is_named_later_stands_later() {
        let first = serial_number(&SystemRandom).unwrap();
        let moment = SystemRandom.moment();
        while SystemRandom.moment() == moment {}
        assert!(serial_number(&SystemRandom).unwrap() > first);
    }

    #[test]
    fn two_identifiers_of_the_system_differ() {
        let id = || token_id(&SystemRandom).unwrap();
        assert_eq!(id().len(), 22);
        assert_ne!(id(), id());
    }
}
