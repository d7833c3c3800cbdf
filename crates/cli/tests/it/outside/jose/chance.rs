//! What chance makes of good tokens, the same at each run.

use avouch_testkit::token::encode;

use super::tokens::{bytes, parts};

/// The characters of base64url (RFC 4648 5).
pub(super) const ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) type Change = fn(&str, &mut Random) -> String;

/// What chance makes of a good token.
pub(super) const CHANGES: &[(&str, Change)] = &[
    ("chance: a character is another", |token, random| {
        // Not the last one, whose last bits some pass over: whether they do would depend on chance.
        let at = random.below(token.len() - 1);
        let own = token.as_bytes()[at];
        let other = ALPHABET[random.below(64)];
        let other = if other == own { b'.' } else { other };
        format!("{}{}{}", &token[..at], char::from(other), &token[at + 1..])
    }),
    ("chance: a character is gone", |token, random| {
        let at = random.below(token.len());
        format!("{}{}", &token[..at], &token[at + 1..])
    }),
    ("chance: a character is added", |token, random| {
        let at = random.below(token.len());
        format!(
            "{}{}{}",
            &token[..at],
            char::from(ALPHABET[random.below(64)]),
            &token[at..]
        )
    }),
    ("chance: it ends early", |token, random| {
        token[..random.below(token.len())].to_owned()
    }),
    ("chance: a byte of a part is another", |token, random| {
        let mut parts = parts(token);
        let part = &mut parts[random.below(3)];
        let mut content = bytes(part);
        let at = random.below(content.len());
        content[at] ^= 1 << random.below(8);
        *part = encode(&content);
        parts.join(".")
    }),
];

/// Chance that is the same at each run (xorshift64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn from(class: &str, alg: &str, number: u64) -> Self {
        let seed = class.bytes().chain(alg.bytes());
        let seed = seed.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self((seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        for _ in 0..3 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
        }
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
