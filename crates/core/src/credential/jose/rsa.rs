//! RSA keys as JSON Web Keys write them: two numbers, checked and put into DER.

use der::asn1::UintRef;
use der::{Encode, Sequence};

use crate::crypto::{KeyKind, PublicKey};

/// The shortest modulus, in bits (RFC 7518 3.3).
const MODULUS_BITS_MIN: usize = 2048;
/// The longest modulus, in bits: the longest that AWS-LC checks with.
const MODULUS_BITS_MAX: usize = 8192;
/// The longest public exponent, in bits: the longest that AWS-LC checks with.
const EXPONENT_BITS_MAX: usize = 33;

/// What is said of a modulus of which [`looks_like_roca`] holds.
pub(in crate::credential) const ROCA: &str =
    "its modulus has the mark of keys that can be factored (ROCA, CVE-2017-15361)";

/// `RSAPublicKey` (RFC 8017 A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// Why two numbers are not a key to be used.
pub(in crate::credential) enum NotAKey {
    /// They are not written as numbers should be.
    Malformed(&'static str),
    /// They are a key that can be broken.
    Weak(String),
}

/// Makes a key of a modulus and an exponent, each big-endian without leading zeros.
pub(in crate::credential) fn public_key(
    modulus: &[u8],
    exponent: &[u8],
) -> Result<PublicKey, NotAKey> {
    let modulus_bits =
        bits(modulus).ok_or(NotAKey::Malformed("`n` is empty or begins with zero"))?;
    let exponent_bits =
        bits(exponent).ok_or(NotAKey::Malformed("`e` is empty or begins with zero"))?;
    if modulus_bits < MODULUS_BITS_MIN {
        return Err(NotAKey::Weak(format!(
            "its modulus has {modulus_bits} bits; at least {MODULUS_BITS_MIN} are needed"
        )));
    }
    if modulus_bits > MODULUS_BITS_MAX {
        return Err(NotAKey::Malformed("its modulus has more than 8192 bits"));
    }
    if is_even(modulus) {
        return Err(NotAKey::Weak("its modulus is even".to_owned()));
    }
    if is_even(exponent) || exponent == [1] {
        return Err(NotAKey::Weak("its exponent is even or 1".to_owned()));
    }
    if exponent_bits > EXPONENT_BITS_MAX {
        return Err(NotAKey::Malformed("its exponent has more than 33 bits"));
    }
    if looks_like_roca(modulus) {
        return Err(NotAKey::Weak(ROCA.to_owned()));
    }
    let unusable = || NotAKey::Malformed("its numbers cannot be used");
    let der = UintRef::new(modulus)
        .and_then(|modulus| {
            RsaPublicKey {
                modulus,
                public_exponent: UintRef::new(exponent)?,
            }
            .to_der()
        })
        .map_err(|_| unusable())?;
    let modulus_bits = u32::try_from(modulus_bits).map_err(|_| unusable())?;
    let key = PublicKey::new(KeyKind::Rsa(modulus_bits), der);
    if key.is_well_formed() {
        Ok(key)
    } else {
        Err(unusable())
    }
}

/// The length of a big-endian number in bits; `None` when it is empty or has a leading zero
/// (RFC 7518 2, Base64urlUInt).
fn bits(number: &[u8]) -> Option<usize> {
    match number.first()? {
        0 => None,
        first => Some(number.len() * 8 - first.leading_zeros() as usize),
    }
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|last| last % 2 == 0)
}

/// The fingerprint of keys made by the library of CVE-2017-15361: their primes are powers of 65537
/// modulo many small primes, and so is the modulus. A random modulus passes for one about once in
/// 2^27.
pub(in crate::credential) fn looks_like_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES
        .iter()
        .all(|prime| is_power_of_65537(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |remainder, byte| {
        (remainder * 256 + u32::from(*byte)) % prime
    })
}

fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_number_is_told_in_bits() {
        assert_eq!(bits(&[1, 0, 1]), Some(17));
        assert_eq!(bits(&[0x80]), Some(8));
        assert_eq!(bits(&[0, 1]), None);
        assert_eq!(bits(&[]), None);
    }

    #[test]
    fn powers_of_65537_are_told_from_other_residues() {
        // 65537 is 10 modulo 11, and its powers are 1 and 10.
        assert!(is_power_of_65537(10, 11));
        assert!(!is_power_of_65537(2, 11));
        assert!(!is_power_of_65537(0, 11));
        // 65537^3, big-endian, is a power modulo every prime.
        assert!(looks_like_roca(&65_537_u64.pow(3).to_be_bytes()));
        assert!(!looks_like_roca(&[0x02]));
    }
}
