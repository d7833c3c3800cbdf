//! RSA keys that whoever sees them can factor: of the library of CVE-2017-15361, and of two primes that
//! are close together (CVE-2022-26320). CA/B BR 6.1.1.3 has both refused.

use std::sync::LazyLock;

use num_bigint::BigUint;

use crate::id::Digest;
use crate::kept::Kept;

/// What is said of a modulus of which [`looks_like_roca`] holds.
const ROCA: &str = "its modulus has the mark of keys that can be factored (ROCA, CVE-2017-15361)";

/// What is said of a modulus of which [`has_close_primes`] holds.
const CLOSE: &str =
    "its primes are so close together that it can be factored (Fermat, CVE-2022-26320)";

/// How many steps of Fermat's method a modulus must withstand (CA/B BR 6.1.1.3).
const STEPS: u32 = 100;

/// How many moduli are known not to have close primes, or to have them.
const REMEMBERED: usize = 4_096;

/// What was worked out of moduli before: a root of a number of thousands of bits takes as long as a
/// signature, and the same keys come again and again. It says of each what would be worked out.
static KNOWN: LazyLock<Kept<bool>> = LazyLock::new(|| Kept::new(REMEMBERED));

/// Why a modulus, big-endian, is that of a key that can be factored.
pub(super) fn weakness(modulus: &[u8]) -> Option<&'static str> {
    if looks_like_roca(modulus) {
        return Some(ROCA);
    }
    let digest = Digest::of(modulus);
    let is_close = KNOWN.get(&digest).unwrap_or_else(|| {
        let is_close = has_close_primes(modulus);
        KNOWN.put(digest, is_close);
        is_close
    });
    is_close.then_some(CLOSE)
}

/// Whether Fermat's method factors a modulus within so many steps: whether it is the difference of the
/// square of one of the first numbers over its root, and another square.
fn has_close_primes(modulus: &[u8]) -> bool {
    let modulus = BigUint::from_bytes_be(modulus);
    let mut larger = modulus.sqrt();
    if &larger * &larger < modulus {
        larger += 1_u32;
    }
    let mut difference = &larger * &larger - &modulus;
    for _ in 0..STEPS {
        if is_square(&difference) {
            return true;
        }
        difference += &larger * 2_u32 + 1_u32;
        larger += 1_u32;
    }
    false
}

fn is_square(number: &BigUint) -> bool {
    // Most numbers are told to be none by their remainder: a root takes long.
    let could_be = [64_u32, 63, 65, 11, 17, 19, 23].iter().all(|divisor| {
        let remainder = number % *divisor;
        (0..*divisor).any(|root| BigUint::from(root * root % *divisor) == remainder)
    });
    could_be && {
        let root = number.sqrt();
        &root * &root == *number
    }
}

/// The fingerprint of keys made by the library of CVE-2017-15361: their primes are powers of 65537
/// modulo many small primes, and so is the modulus. A random modulus passes for one about once in
/// 2^27.
fn looks_like_roca(modulus: &[u8]) -> bool {
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
    fn powers_of_65537_are_told_from_other_residues() {
        // 65537 is 10 modulo 11, and its powers are 1 and 10.
        assert!(is_power_of_65537(10, 11));
        assert!(!is_power_of_65537(2, 11));
        assert!(!is_power_of_65537(0, 11));
        // 65537^3, big-endian, is a power modulo every prime.
        assert!(looks_like_roca(&65_537_u64.pow(3).to_be_bytes()));
        assert!(!looks_like_roca(&[0x02]));
    }

    /// A number of so many bits, odd, the same in every run.
    fn number(bits: usize, name: &str) -> BigUint {
        let parts = (0..bits / 256).flat_map(|part| {
            let digest = Digest::of(format!("{name} {part}").as_bytes());
            digest.as_bytes().to_vec()
        });
        let mut bytes: Vec<u8> = parts.collect();
        bytes[0] |= 0xc0;
        *bytes.last_mut().unwrap() |= 1;
        BigUint::from_bytes_be(&bytes)
    }

    /// The product of two numbers as far to both sides of `middle` as this root says.
    fn around(middle: &BigUint, apart: &BigUint) -> Vec<u8> {
        ((middle + apart) * (middle - apart)).to_bytes_be()
    }

    #[test]
    fn primes_that_fermat_finds_in_a_hundred_steps_are_close() {
        for bits in [2_048, 2_304, 3_072, 4_096, 8_192] {
            let middle = number(bits / 2, "middle");
            for apart in [2_u32, 100, 1_000_000] {
                let modulus = around(&middle, &BigUint::from(apart));
                assert!(weakness(&modulus).unwrap().contains("Fermat"), "{bits}");
                // What was remembered says the same.
                assert!(weakness(&modulus).unwrap().contains("Fermat"), "{bits}");
            }
            // The square of half the distance is the number of steps, twice the middle each.
            let steps = |steps: u32| around(&middle, &(&middle * 2_u32 * steps).sqrt());
            assert!(weakness(&steps(99)).is_some(), "{bits}");
            // The near miss, and what honest makers of keys make.
            assert_eq!(weakness(&steps(102)), None, "{bits}");
            let honest = number(bits / 2, "p") * number(bits / 2, "q");
            assert_eq!(weakness(&honest.to_bytes_be()), None, "{bits}");
            assert_eq!(weakness(&honest.to_bytes_be()), None, "{bits}");
        }
    }
}
