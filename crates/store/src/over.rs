//! What ends by itself, and is then in the way of what counts it.

use avouch_core::time::Time;

/// Objects of a kind that were over at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// What they are.
    pub kind: OverKind,
    /// By when they were over.
    pub by: Time,
}

/// What may end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverKind {
    /// Registration entries, as they say.
    Entry,
    /// Join tokens: when they were used, or else as they say.
    JoinToken,
    /// What ended before its time, as its record says.
    Ended,
    /// What is to be told of, likewise.
    Notice,
}

impl OverKind {
    /// The name, which is that of the rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::JoinToken => "join_token",
            Self::Ended => "ended",
            Self::Notice => "notice",
        }
    }
}
