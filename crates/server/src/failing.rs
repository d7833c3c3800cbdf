//! Since when something fails, and why: kept with what is known of it, and told.

use avouch_core::reason::Reason;
use avouch_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Why something fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failing {
    pub(crate) since: i64,
    pub(crate) code: String,
    pub(crate) sentence: String,
}

impl Failing {
    /// It fails for this reason now; since when it has is kept.
    pub(crate) fn after(known: Option<&Self>, now: Time, reason: &Reason) -> Self {
        Self {
            since: known.map_or(now.unix(), |failing| failing.since),
            code: reason.code().to_owned(),
            sentence: reason.sentence(),
        }
    }

    /// Why, for a sentence in which it stands.
    pub(crate) fn in_words(&self) -> String {
        clause(&self.sentence, &self.code)
    }

    pub(crate) fn told(&self) -> Value {
        json!({
            "since": Time::from_unix(self.since).to_string(),
            "code": self.code,
            "sentence": self.sentence,
        })
    }
}

/// Why something fails, for a sentence in which it stands.
pub(crate) fn in_words(reason: &Reason) -> String {
    clause(&reason.sentence(), reason.code())
}

fn clause(sentence: &str, code: &str) -> String {
    format!("{} ({code})", sentence.trim_end_matches('.'))
}
