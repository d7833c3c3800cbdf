//! What was given to be trusted and could not be read.
//!
//! It stays visible in every refusal that it may have caused. How much of it is told is bounded: a
//! document of a million pieces that are none would make an answer of a gigabyte.

use crate::reason::Reason;

/// A piece of configuration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Which piece.
    pub what: String,
    /// Why it could not be read.
    pub reason: Reason,
}

/// The first pieces that could not be read, and how many more there are.
#[derive(Clone, Debug, Default)]
pub struct SetAside {
    kept: Vec<Unusable>,
    left_out: usize,
}

/// How much was set aside at one moment, to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    kept: usize,
    left_out: usize,
}

impl SetAside {
    /// How many pieces are told; the others are counted.
    pub const KEPT_MAX: usize = 32;

    /// Sets a piece aside, which is made only where it is kept.
    pub fn push(&mut self, piece: impl FnOnce() -> Unusable) {
        if self.kept.len() < Self::KEPT_MAX {
            self.kept.push(piece());
        } else {
            self.left_out += 1;
        }
    }

    /// Adds what another document set aside, behind what is here.
    pub fn append(&mut self, other: Self) {
        for piece in other.kept {
            self.push(|| piece);
        }
        self.left_out += other.left_out;
    }

    /// The pieces that are told, in the order in which they were set aside; at most
    /// [`Self::KEPT_MAX`].
    pub fn kept(&self) -> &[Unusable] {
        &self.kept
    }

    /// How many more there are.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// How many there are in all.
    pub fn count(&self) -> usize {
        self.kept.len() + self.left_out
    }

    /// What is set aside now.
    pub fn mark(&self) -> Mark {
        Mark {
            kept: self.kept.len(),
            left_out: self.left_out,
        }
    }

    /// Forgets what was set aside since.
    pub fn back_to(&mut self, mark: Mark) {
        self.kept.truncate(mark.kept);
        self.left_out = mark.left_out;
    }
}

impl From<Vec<Unusable>> for SetAside {
    fn from(pieces: Vec<Unusable>) -> Self {
        let mut set_aside = Self::default();
        for piece in pieces {
            set_aside.push(|| piece);
        }
        set_aside
    }
}
