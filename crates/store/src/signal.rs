//! What is kept of signals: what ended, who tells us, and whom we tell.

use avouch_core::time::Time;

use crate::keyring::Sealed;
use crate::names::SignalId;

/// The kind and the name of something that is kept of signals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKey {
    /// What it is.
    pub kind: SignalKind,
    /// Its name among those of its kind.
    pub id: SignalId,
}

impl SignalKey {
    /// What comes before all names of a kind.
    pub(crate) fn first_of(kind: SignalKind) -> Self {
        let id = SignalId::before_all();
        Self { kind, id }
    }
}

/// What is kept of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalKind {
    /// What ended before its time, by its mark.
    Ended,
    /// A stream of events that the tenant takes, as an administrator wants it.
    Signal,
    /// What is known of such a stream.
    SignalState,
    /// Someone whom the tenant tells of what ended, as an administrator wants it.
    Receiver,
    /// What is known of them: what they asked for, and what they have been told.
    ReceiverState,
    /// What is to be told of.
    Notice,
}

impl SignalKind {
    const ALL: [Self; 6] = [
        Self::Ended,
        Self::Signal,
        Self::SignalState,
        Self::Receiver,
        Self::ReceiverState,
        Self::Notice,
    ];

    /// The name, which is that of the rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Signal => "signal",
            Self::SignalState => "signal_state",
            Self::Receiver => "receiver",
            Self::ReceiverState => "receiver_state",
            Self::Notice => "notice",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// Something that is kept of signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRecord {
    /// What it is.
    pub key: SignalKey,
    /// What is kept, as JSON. It holds no secret.
    pub document: String,
    /// From when on nobody needs it, if that is known.
    pub ends: Option<Time>,
    /// With what the other side is called, under seal.
    pub secret: Option<Sealed>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back_from_their_names() {
        for kind in SignalKind::ALL {
            assert_eq!(SignalKind::parse(kind.name()), Some(kind));
        }
    }
}
