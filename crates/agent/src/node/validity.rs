//! How long what was issued is good, and when the next is asked for.

use avouch_core::credential::x509::Certificate;
use avouch_core::id::Digest;
use avouch_core::time::Time;

/// The life of an SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_after: Time,
    /// When to ask for the next.
    pub(super) renew_at: Time,
}

impl Validity {
    /// Of a certificate. The next one is asked for when half of its life is over, or up to a tenth
    /// of its life before: `seed` says when, so that a thousand nodes that started together do not
    /// ask together.
    pub(super) fn of(certificate: &Certificate, now: Time, seed: &[u8]) -> Self {
        Self::until(certificate.not_after(), now, seed)
    }

    /// Of what is good until `not_after`.
    pub(super) fn until(not_after: Time, now: Time, seed: &[u8]) -> Self {
        let left = not_after.since(now).max(0);
        let spread = left / 10;
        let digest = Digest::of(seed);
        let lot = digest.as_bytes().iter().take(4);
        let lot = lot.fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
        let earlier = if spread > 0 { lot % spread } else { 0 };
        Self {
            not_after,
            renew_at: now.plus(left / 2 - earlier),
        }
    }
}

#[cfg(test)]
mod tests {
    use avouch_testkit::world::Authority;

    use super::*;

    #[test]
    fn the_next_is_asked_for_around_half_of_the_life_and_not_at_the_same_moment_everywhere() {
        let leaf = Authority::root("Root").server("db.example.com");
        let certificate = Certificate::parse(&leaf).unwrap();
        let now = certificate.not_after().plus(-3_600);
        let asked: Vec<i64> = (0..50_u8)
            .map(|seed| Validity::of(&certificate, now, &[seed]).renew_at.since(now))
            .collect();
        assert!(
            asked.iter().all(|after| (1_440..=1_800).contains(after)),
            "{asked:?}"
        );
        assert!(asked.iter().any(|after| after != asked.first().unwrap()));
    }
}
