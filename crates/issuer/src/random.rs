//! Where serial numbers and token identifiers come from.

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
}

/// The random numbers of AWS-LC, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        rand::fill(bytes).map_err(|_| Fault::NoRandomness)
    }
}

/// A serial number of 16 bytes, 126 of whose bits are random; CA/B BR 7.1 asks for 64. The two
/// bits at its head make it positive and its length always the same (RFC 5280 4.1.2.2).
pub(crate) fn serial_number(random: &dyn Random) -> Result<[u8; 16], Fault> {
    let mut serial = [0; 16];
    random.fill(&mut serial)?;
    let [head, ..] = &mut serial;
    *head = *head & 0x3f | 0x40;
    Ok(serial)
}

/// A token identifier (`jti`) of 128 random bits, as base64url.
pub(crate) fn token_id(random: &dyn Random) -> Result<String, Fault> {
    let mut id = [0; 16];
    random.fill(&mut id)?;
    Ok(Base64UrlUnpadded::encode_string(&id))
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
        assert_eq!(serial_number(&Always(0)).unwrap()[..2], [0x40, 0]);
        assert_eq!(serial_number(&Always(0xff)).unwrap()[..2], [0x7f, 0xff]);
    }

    #[test]
    fn two_identifiers_of_the_system_differ() {
        let id = || token_id(&SystemRandom).unwrap();
        assert_eq!(id().len(), 22);
        assert_ne!(id(), id());
    }
}
