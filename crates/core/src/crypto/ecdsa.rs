//! The two forms of a signature of ECDSA.

use der::asn1::UintRef;
use der::{Encode, Sequence};

/// `ECDSA-Sig-Value` (RFC 3279 2.2.3).
#[derive(Sequence)]
struct Value<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Two numbers of equal length, as tokens carry them (RFC 7518 3.4), in DER, as certificates do
/// (RFC 3279 2.2.3). `None` for what is not that.
pub fn fixed_to_der(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.is_empty() || !signature.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let (r, s) = (UintRef::new(r).ok()?, UintRef::new(s).ok()?);
    Value { r, s }.to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be_and_positive() {
        let written = fixed_to_der(&[0, 1, 0x80, 0]).unwrap();
        assert_eq!(written, [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]);
        let written = fixed_to_der(&[0, 0]).unwrap();
        assert_eq!(written, [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn what_is_no_pair_has_no_other_form() {
        for signature in [&[][..], &[1], &[1, 2, 3]] {
            assert_eq!(fixed_to_der(signature), None, "{signature:?}");
        }
    }
}
