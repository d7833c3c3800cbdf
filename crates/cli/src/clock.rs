//! The one place that reads the clock and makes something random: the core does neither.

use std::time::{SystemTime, UNIX_EPOCH};

use avouch_core::time::Time;
use uuid::Uuid;

/// The time, to the second.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this program that reads the clock"
)]
pub fn now() -> Time {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    };
    Time::from_unix(seconds)
}

/// A name for a decision: a UUID of version 7 (RFC 9562 5.7), so that names sort by time.
pub fn decision_id() -> String {
    Uuid::now_v7().to_string()
}

/// Part of a name that nothing else has.
pub fn unique() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Whether a text is the name of a decision.
pub fn is_decision_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.get_version_num() == 7)
}
