//! Base64url in its one canonical form (RFC 7515 2): no padding, no line breaks, no stray bits.
//!
//! A second spelling of the same bytes would pass a signature check and slip past whatever
//! remembers tokens by their text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Decodes the canonical form; `None` for every other spelling.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    // The library takes neither padding here nor trailing bits that are not zero.
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes to the canonical form.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_decoded() {
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode(""), Some(Vec::new()));
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn every_other_spelling_is_not() {
        for text in [
            "-_8=", "+/8", "-_9", "-", "-_ 8", "-_8\n", "\n-_8", "-_\u{e9}",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
