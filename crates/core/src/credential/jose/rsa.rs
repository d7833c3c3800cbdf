//! RSA keys as JSON Web Keys write them: two numbers, checked and put into DER.

use der::asn1::UintRef;
use der::{Encode, Sequence};

use crate::credential::weak_rsa;
use crate::crypto::{KeyKind, PublicKey};

/// The shortest modulus, in bits (RFC 7518 3.3).
const MODULUS_BITS_MIN: usize = 2048;
/// The longest modulus, in bits: the longest that AWS-LC checks with.
const MODULUS_BITS_MAX: usize = 8192;
/// The longest public exponent, in bits: the longest that AWS-LC checks with.
const EXPONENT_BITS_MAX: usize = 33;

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
    if let Some(weakness) = weak_rsa::weakness(modulus) {
        return Err(NotAKey::Weak(weakness.to_owned()));
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
}
