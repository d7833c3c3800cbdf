//! A moment, to the second.
//!
//! X.509 and JWT both speak in whole seconds (RFC 5280 4.1.2.5, RFC 7519 2), so a fraction that a
//! caller gives is dropped, not rounded: a certificate is valid through the whole of its last
//! second. The core never reads a clock; every moment arrives as an argument.

use std::fmt;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

/// 1970-01-01T00:00:00 in UTC. Moments are told by the calendar from here and not as timestamps,
/// which end a day before `99991231235959Z`, the way to say "never" (RFC 5280 4.1.2.5).
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Seconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A text that is not a moment in the form of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATime;

impl Time {
    /// From seconds since 1970-01-01T00:00:00Z.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Reads RFC 3339 with any offset; a fraction of a second is dropped.
    ///
    /// # Errors
    ///
    /// [`NotATime`], which says what one is.
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        let Ok(moment) = text.parse::<Timestamp>() else {
            return Self::parse_last_day(text).ok_or(NotATime);
        };
        // Floor, so that a fraction before 1970 is dropped in the same direction as after it.
        let negative_fraction = moment.subsec_nanosecond() < 0;
        Ok(Self(moment.as_second() - i64::from(negative_fraction)))
    }

    /// Reads a moment (RFC 3339), or a day, which stands for its first second in UTC: as people write
    /// until when something is to hold.
    ///
    /// # Errors
    ///
    /// [`NotATime`], which says what one is.
    pub fn parse_or_day(text: &str) -> Result<Self, NotATime> {
        if text.len() == "2026-01-31".len() {
            return Self::parse(&format!("{text}T00:00:00Z"));
        }
        Self::parse(text)
    }

    /// Reads a moment as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
    pub fn parse_http(text: &str) -> Option<Self> {
        let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
        Some(Self(moment.ok()?.as_second()))
    }

    /// The last day of the calendar, on which there are no timestamps any more.
    fn parse_last_day(text: &str) -> Option<Self> {
        let is_last_day =
            text.starts_with("9999-12-3") && text.len() == "9999-12-31T23:59:59Z".len();
        let civil: DateTime = text
            .strip_suffix('Z')
            .filter(|_| is_last_day)?
            .parse()
            .ok()?;
        Some(Self(civil.duration_since(EPOCH).as_secs()))
    }

    /// From a calendar date and time in UTC; `None` where there is no such moment.
    pub fn from_utc(
        year: i16,
        month: i8,
        day: i8,
        hour: i8,
        minute: i8,
        second: i8,
    ) -> Option<Self> {
        let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        Some(Self(civil.duration_since(EPOCH).as_secs()))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// This moment moved by `seconds`, held at the ends of what can be told.
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this moment, negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, or the bare seconds where the calendar ends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_secs(self.0)) {
            Ok(civil) => write!(f, "{civil}Z"),
            Err(_) => write!(f, "{} s after 1970-01-01T00:00:00Z", self.0),
        }
    }
}

/// Tells a length of time the way a person would: the two largest units that are not zero.
pub(crate) fn duration_in_words(seconds: i64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let mut left = seconds.unsigned_abs();
    let mut words = Vec::new();
    for (size, name) in UNITS {
        let count = left / size;
        left %= size;
        if count > 0 && words.len() < 2 {
            words.push(format!(
                "{count} {name}{}",
                if count == 1 { "" } else { "s" }
            ));
        }
    }
    if words.is_empty() {
        "0 seconds".to_owned()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_dropped() {
        assert_eq!(
            Time::parse("2024-04-01T00:00:00.999Z"),
            Time::parse("2024-04-01T00:00:00Z")
        );
        assert_eq!(
            Time::parse("1969-12-31T23:59:59.5Z"),
            Ok(Time::from_unix(-1))
        );
    }

    #[test]
    fn an_offset_is_honoured_and_printed_as_utc() {
        let time = Time::parse("1970-01-01T01:00:03+01:00").unwrap();
        assert_eq!(time.to_string(), "1970-01-01T00:00:03Z");
        assert_eq!(time.unix(), 3);
    }

    #[test]
    fn a_date_that_does_not_exist_is_none() {
        assert_eq!(Time::from_utc(2023, 2, 29, 0, 0, 0), None);
        assert_eq!(
            Time::from_utc(1950, 1, 1, 0, 0, 0).unwrap().unix(),
            -631_152_000
        );
    }

    #[test]
    fn never_is_a_moment_and_is_printed_as_one() {
        let never = Time::from_utc(9999, 12, 31, 23, 59, 59).unwrap();
        assert_eq!(never.unix(), 253_402_300_799);
        assert_eq!(never.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Time::parse("9999-12-31T23:59:59Z"), Ok(never));
        assert_eq!(Time::parse("9999-12-31 23:59:59Z"), Ok(never));
        assert_eq!(Time::parse("9999-12-32T23:59:59Z"), Err(NotATime));
        assert!(
            never
                .plus(1)
                .to_string()
                .ends_with("after 1970-01-01T00:00:00Z")
        );
    }

    #[test]
    fn durations_are_told_in_two_units() {
        assert_eq!(duration_in_words(90_061), "1 day 1 hour");
        assert_eq!(duration_in_words(-59), "59 seconds");
        assert_eq!(duration_in_words(0), "0 seconds");
    }
}
