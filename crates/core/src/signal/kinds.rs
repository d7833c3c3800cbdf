//! The events that are known, and what each does.

use serde_json::{Map, Value};

use super::{malformed, text_of};
use crate::ended::Turn;
use crate::reason::Reason;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// What an event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something happened to a subject.
    Turn(Turn),
    /// The transmitter answers that it is there (SSF 1.0 8.1.4.1), with what it was asked with.
    Verification {
        /// What it was asked with.
        state: Option<String>,
    },
    /// The transmitter says how the stream goes on (SSF 1.0 8.1.5).
    Stream {
        /// How.
        status: StreamStatus,
        /// Why.
        why: Option<String>,
    },
    /// It is noted, and does nothing.
    Nothing,
}

/// How a stream goes on (SSF 1.0 8.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// Events are sent.
    Enabled,
    /// Events are kept, and not sent.
    Paused,
    /// Events are neither sent nor kept.
    Disabled,
}

impl StreamStatus {
    const ALL: [Self; 3] = [Self::Enabled, Self::Paused, Self::Disabled];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// What an event of a name does, as far as the name tells.
#[derive(Clone, Copy)]
enum Known {
    Turn(Turn),
    Unless(Turn, &'static str, &'static [&'static str]),
    If(Turn, &'static str, &'static [&'static str]),
    Verification,
    Stream,
    Nothing,
}

/// All that are known (CAEP 1.0 3, RISC 1.0 2). What a member says of an event that gives more than
/// was there before does not end what was there.
const KNOWN: &[(&str, &str, Known)] = &[
    (CAEP, "session-revoked", Known::Turn(Turn::Ended)),
    (CAEP, "token-claims-change", Known::Turn(Turn::Ended)),
    (
        CAEP,
        "credential-change",
        Known::Unless(Turn::Ended, "change_type", &["create"]),
    ),
    (
        CAEP,
        "assurance-level-change",
        Known::Unless(Turn::Ended, "change_direction", &["increase"]),
    ),
    (
        CAEP,
        "device-compliance-change",
        Known::Unless(Turn::Ended, "current_status", &["compliant"]),
    ),
    (
        CAEP,
        "risk-level-change",
        Known::If(Turn::Ended, "current_level", &["HIGH"]),
    ),
    (CAEP, "session-established", Known::Nothing),
    (CAEP, "session-presented", Known::Nothing),
    (
        RISC,
        "account-credential-change-required",
        Known::Turn(Turn::Ended),
    ),
    (RISC, "account-purged", Known::Turn(Turn::Closed)),
    (RISC, "account-disabled", Known::Turn(Turn::Closed)),
    (RISC, "account-enabled", Known::Turn(Turn::Opened)),
    (RISC, "identifier-changed", Known::Turn(Turn::Ended)),
    (RISC, "identifier-recycled", Known::Turn(Turn::Ended)),
    (RISC, "credential-compromise", Known::Turn(Turn::Ended)),
    (RISC, "sessions-revoked", Known::Turn(Turn::Ended)),
    (RISC, "opt-in", Known::Nothing),
    (RISC, "opt-out-cancelled", Known::Nothing),
    (RISC, "opt-out-effective", Known::Nothing),
    (RISC, "opt-out-initiated", Known::Nothing),
    (RISC, "recovery-activated", Known::Nothing),
    (RISC, "recovery-information-changed", Known::Nothing),
    (SSF, "verification", Known::Verification),
    (SSF, "stream-updated", Known::Stream),
];

impl Kind {
    /// The names of all events that do something to a subject.
    pub fn names() -> impl Iterator<Item = String> {
        let turns = KNOWN.iter().filter(|(_, _, known)| {
            matches!(known, Known::Turn(_) | Known::Unless(..) | Known::If(..))
        });
        turns.map(|(family, name, _)| format!("{family}{name}"))
    }

    /// Whether an event of this name is known.
    pub fn is_known(name: &str) -> bool {
        known(name).is_some()
    }

    /// The event in one word: the last segment of its name.
    pub fn word(name: &str) -> &str {
        name.rsplit('/').next().unwrap_or(name)
    }

    /// What it does to its subject.
    pub fn turn(&self) -> Option<Turn> {
        match self {
            Self::Turn(turn) => Some(*turn),
            Self::Verification { .. } | Self::Stream { .. } | Self::Nothing => None,
        }
    }

    pub(super) fn read(name: &str, said: &Map<String, Value>) -> Result<Self, Reason> {
        let holds = |member: &str, values: &[&str]| {
            let text = text_of(said, member)?;
            Ok::<_, Reason>(text.is_some_and(|text| values.contains(&text)))
        };
        Ok(match known(name).unwrap_or(Known::Nothing) {
            Known::Nothing => Self::Nothing,
            Known::Turn(turn) => Self::Turn(turn),
            Known::Unless(turn, member, values) => match holds(member, values)? {
                true => Self::Nothing,
                false => Self::Turn(turn),
            },
            Known::If(turn, member, values) => match holds(member, values)? {
                true => Self::Turn(turn),
                false => Self::Nothing,
            },
            Known::Verification => Self::Verification {
                state: text_of(said, "state")?.map(str::to_owned),
            },
            Known::Stream => {
                let status = text_of(said, "status")?.and_then(StreamStatus::parse);
                Self::Stream {
                    status: status.ok_or_else(|| {
                        malformed(
                            "its `status` is not `enabled`, `paused` or `disabled`".to_owned(),
                        )
                    })?,
                    why: text_of(said, "reason")?.map(str::to_owned),
                }
            }
        })
    }
}

fn known(name: &str) -> Option<Known> {
    let mut all = KNOWN.iter();
    let found = all.find(|(family, last, _)| name.strip_prefix(family) == Some(*last));
    found.map(|(_, _, known)| *known)
}
