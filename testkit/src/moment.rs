//! Times as certificates write them.

use der::Tag;

use crate::asn1;

/// A time in the encoding that a certificate or a list carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(Vec<u8>);

impl Moment {
    /// A time such as `2024-06-01T00:00:00Z` in the form that RFC 5280 4.1.2.5 asks for: `UTCTime`
    /// from 1950 to 2049, `GeneralizedTime` otherwise.
    pub fn at(text: &str) -> Self {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        assert!(
            digits.len() == 14 && text.ends_with('Z'),
            "`{text}` is not a time such as 2024-06-01T00:00:00Z"
        );
        if ("1950".."2050").contains(&&digits[..4]) {
            Self::utc_time(&format!("{}Z", &digits[2..]))
        } else {
            Self::generalized_time(&format!("{digits}Z"))
        }
    }

    /// A `UTCTime` with exactly this text, such as `240601000000Z`.
    pub fn utc_time(text: &str) -> Self {
        Self(asn1::element(Tag::UtcTime, text.as_bytes()))
    }

    /// A `GeneralizedTime` with exactly this text, such as `20240601000000Z`.
    pub fn generalized_time(text: &str) -> Self {
        Self(asn1::element(Tag::GeneralizedTime, text.as_bytes()))
    }

    /// As DER.
    pub fn to_der(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Moment {
    fn from(text: &str) -> Self {
        Self::at(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_changes_in_2050_and_before_1950() {
        assert_eq!(
            Moment::at("2049-12-31T23:59:59Z"),
            Moment::utc_time("491231235959Z")
        );
        assert_eq!(
            Moment::at("2050-01-01T00:00:00Z"),
            Moment::generalized_time("20500101000000Z")
        );
        assert_eq!(
            Moment::at("1949-12-31T23:59:59Z"),
            Moment::generalized_time("19491231235959Z")
        );
    }
}
