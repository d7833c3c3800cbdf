//! What is known of a stream of events: when it was heard of, what came of what it sent, and how it
//! is set up at its transmitter.

use std::collections::VecDeque;

use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{SignalId, SignalKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record_of;
use crate::failing::Failing;
use crate::tenant::Tenant;

/// How many of the last events are kept for whoever looks.
const MOST_EVENTS: usize = 50;

/// How many numbers of events are kept that have still to be acknowledged.
const MOST_UNACKNOWLEDGED: usize = 1_000;

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// When the transmitter was heard of last.
    pub(super) heard: Option<i64>,
    /// When it was asked last whether it is there, and with what.
    pub(super) asked: Option<Asked>,
    /// Since when it has been silent for too long, as far as that was told.
    pub(super) silent: Option<i64>,
    /// How the transmitter says the stream goes on, and why.
    pub(super) status: Option<String>,
    pub(super) why: Option<String>,
    /// How it is set up there.
    pub(super) remote: Option<Remote>,
    /// Why it could not be set up or asked.
    pub(super) failing: Option<Failing>,
    /// How many events came that ended something, were noted, came again.
    pub(super) ended: u64,
    pub(super) noted: u64,
    pub(super) repeated: u64,
    /// The numbers of events that were taken and not yet acknowledged.
    pub(super) unacknowledged: Vec<String>,
    /// Events that were refused and of which the transmitter was not told yet: number, word, why.
    pub(super) refused: Vec<(String, String, String)>,
    /// The last events, the newest first.
    pub(super) events: VecDeque<Noted>,
}

/// That the transmitter was asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) at: i64,
    pub(super) state: String,
}

/// How a stream is set up at its transmitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remote {
    pub(super) stream: String,
    /// Where the stream is managed.
    pub(super) management: String,
    /// Where the transmitter is asked whether it is there.
    pub(super) verification: Option<String>,
    /// Where events are asked for.
    pub(super) poll: Option<String>,
    /// For what it was set up: the document of the administrator.
    pub(super) wanted: String,
}

/// One event that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) at: i64,
    pub(super) event: String,
    pub(super) subject: Option<String>,
    pub(super) outcome: String,
    pub(super) id: String,
}

impl State {
    /// As it is stored. What cannot be read is begun anew: it is found out again.
    pub(super) fn read(text: Option<&str>) -> Self {
        let read = text.and_then(|text| serde_json::from_str(text).ok());
        read.unwrap_or_default()
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// Notes that the transmitter was there at this time.
    pub(super) fn heard_at(&mut self, at: Time) {
        let at = at.unix();
        if self.heard.is_none_or(|heard| heard < at) {
            (self.heard, self.silent) = (Some(at), None);
        }
    }

    pub(super) fn note(&mut self, noted: Noted) {
        self.events.push_front(noted);
        self.events.truncate(MOST_EVENTS);
    }

    pub(super) fn acknowledge_later(&mut self, id: &str) {
        let is_known = self.unacknowledged.iter().any(|known| known == id);
        if !is_known && self.unacknowledged.len() < MOST_UNACKNOWLEDGED {
            self.unacknowledged.push(id.to_owned());
        }
    }

    pub(super) fn refuse_later(&mut self, refused: (String, String, String)) {
        if self.refused.len() < MOST_UNACKNOWLEDGED && !self.refused.contains(&refused) {
            self.refused.push(refused);
        }
    }

    pub(super) fn failed(&mut self, now: Time, reason: &Reason) {
        self.failing = Some(Failing::after(self.failing.as_ref(), now, reason));
    }

    /// In one word.
    pub(super) fn word(&self, heartbeat: i64, now: Time) -> &'static str {
        if self.failing.is_some() {
            return "failing";
        }
        match self.status.as_deref() {
            Some("paused") => return "paused",
            Some("disabled") => return "disabled",
            Some(_) | None => {}
        }
        match self.heard {
            None => "waiting",
            Some(heard) if now.unix() - heard > heartbeat => "silent",
            Some(_) => "ok",
        }
    }

    pub(super) fn told(&self, heartbeat: i64, now: Time) -> Value {
        let shown = |at: i64| Time::from_unix(at).to_string();
        let events = self.events.iter().map(|noted| {
            json!({
                "at": shown(noted.at), "event": noted.event, "subject": noted.subject,
                "outcome": noted.outcome, "id": noted.id,
            })
        });
        json!({
            "state": self.word(heartbeat, now),
            "heard": self.heard.map(shown),
            "asked": self.asked.as_ref().map(|asked| shown(asked.at)),
            "status": self.status,
            "why": self.why,
            "stream": self.remote.as_ref().map(|remote| &remote.stream),
            "failing": self.failing.as_ref().map(Failing::told),
            "ended": self.ended,
            "noted": self.noted,
            "repeated": self.repeated,
            "events": events.collect::<Vec<_>>(),
        })
    }
}

/// What is known of a stream of a tenant.
pub(super) fn state_of(tenant: &Tenant, id: &SignalId) -> State {
    let record = record_of(tenant, SignalKind::SignalState, id);
    State::read(record.map(|record| record.document).as_deref())
}
