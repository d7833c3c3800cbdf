//! Status lists (draft-ietf-oauth-status-list, sections 4 and 5): what an issuer says of all its
//! tokens at once, one entry for each. Read strictly, not yet believed.

use std::fmt;

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use serde_json::{Map, Value};

use super::base64url;
use super::json::kind_of;
use super::jws::{Jws, Kept};
use crate::budget::{Budget, Limits};
use crate::crypto::{PublicKey, Verifier};
use crate::id::Digest;
use crate::model::federation::claims::{Rounded, seconds, text};
use crate::reason::{Reason, printable};
use crate::stop::Stop;
use crate::time::Time;

/// The type of every list (section 5.1).
const TYPE: &str = "statuslist+jwt";

/// The most bytes of a list as it comes: a million entries that nothing makes shorter are 170 KiB.
pub const LIST_BYTES: usize = 1 << 20;

/// The most bytes of a list when it is unpacked: sixteen million tokens at one bit each.
pub const UNPACKED_BYTES: usize = 2 << 20;

/// How long a list holds that does not say so, in seconds: a day from when it was made.
const USUAL_LIFE: i64 = 86_400;

/// A status list and, if it was fetched, when and from where.
#[derive(Clone)]
pub struct StatusList {
    token: Kept,
    /// The digest of the list as it came.
    digest: Digest,
    issuer: Option<String>,
    subject: String,
    issued_at: Time,
    expires: Option<Time>,
    time_to_live: Option<i64>,
    bits: u8,
    statuses: Vec<u8>,
    fetched: Option<Fetched>,
}

/// When a list was fetched, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The address under which it was found.
    pub uri: String,
    /// When it was fetched.
    pub as_of: Time,
    /// When the next one is due.
    pub next: Time,
    /// From when on it is too old to be used.
    pub usable_until: Time,
}

/// What a list says of a token (section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenStatus(u8);

impl TokenStatus {
    /// Whether the token holds.
    pub fn is_valid(self) -> bool {
        self.0 == 0
    }

    /// Its number.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for TokenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("VALID"),
            1 => f.write_str("INVALID"),
            2 => f.write_str("SUSPENDED"),
            other => write!(f, "status {other}"),
        }
    }
}

impl fmt::Debug for StatusList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusList")
            .field("subject", &self.subject)
            .field("issued_at", &self.issued_at)
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}

impl StatusList {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// `revocation.status_list_malformed`, `limit.status_list_size`, and those of reading a token.
    pub fn read(token: &str) -> Result<Self, Reason> {
        let limits = Limits {
            token_bytes: LIST_BYTES,
            ..Limits::default()
        };
        if token.len() > LIST_BYTES {
            return Err(Reason::StatusListSize {
                allowed: LIST_BYTES,
            });
        }
        let jws = Jws::read(token, &limits)?;
        let header = jws.header();
        if !header.is_of_type(TYPE) {
            let found = header.token_type().unwrap_or("(none)");
            return Err(malformed(format!(
                "its type is {}, not {TYPE}",
                printable(found)
            )));
        }
        let (token_parts, claims) = jws.keep();
        let (bits, statuses) = entries(&claims)?;
        let time_to_live = match claims.get("ttl") {
            None => None,
            Some(value) => Some(whole_above_zero(value)?),
        };
        let issued_at = seconds(&claims, "iat", Rounded::Up)?;
        Ok(Self {
            digest: Digest::of(token.as_bytes()),
            issuer: text(&claims, "iss")?.map(str::to_owned),
            subject: text(&claims, "sub")?
                .ok_or_else(|| malformed("it does not say which list it is (`sub`)"))?
                .to_owned(),
            issued_at: issued_at
                .ok_or_else(|| malformed("it does not say when it was made (`iat`)"))?,
            expires: seconds(&claims, "exp", Rounded::Down)?,
            time_to_live,
            token: token_parts,
            bits,
            statuses,
            fetched: None,
        })
    }

    /// The same list, fetched.
    #[must_use]
    pub fn fetched(self, fetched: Fetched) -> Self {
        Self {
            fetched: Some(fetched),
            ..self
        }
    }

    /// Under which address tokens name it: where it was found, or else what it says it is.
    pub fn uri(&self) -> &str {
        self.fetched
            .as_ref()
            .map_or(&self.subject, |fetched| &fetched.uri)
    }

    /// What it says it is (`sub`).
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whose it says it is.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// When it was made.
    pub fn issued_at(&self) -> Time {
        self.issued_at
    }

    /// For how many seconds it may be kept before it is fetched again, if it says so.
    pub fn time_to_live(&self) -> Option<i64> {
        self.time_to_live
    }

    /// When it ends, if it says so.
    pub fn expires(&self) -> Option<Time> {
        self.expires
    }

    /// Since when it is known, and when the next one is due.
    pub(crate) fn dates(&self) -> (Time, Option<Time>) {
        match &self.fetched {
            Some(fetched) => (fetched.as_of, Some(fetched.next)),
            None => {
                let due = self.time_to_live.map(|life| self.issued_at.plus(life));
                (self.issued_at, due.into_iter().chain(self.expires).min())
            }
        }
    }

    /// From when on it tells nothing any more.
    pub fn end(&self) -> Time {
        let usual = || {
            let life = self.time_to_live.unwrap_or(USUAL_LIFE).max(USUAL_LIFE);
            self.issued_at.plus(life)
        };
        match (&self.fetched, self.expires) {
            (Some(fetched), expires) => {
                expires.map_or(fetched.usable_until, |end| end.min(fetched.usable_until))
            }
            (None, Some(expires)) => expires,
            (None, None) => usual(),
        }
    }

    /// How many tokens it has entries for.
    pub fn entries(&self) -> usize {
        self.statuses
            .len()
            .saturating_mul(8 / usize::from(self.bits.max(1)))
    }

    /// What it says of the token with this number, if it has an entry for it.
    pub fn status(&self, index: u64) -> Option<TokenStatus> {
        let in_a_byte = u64::from(8 / self.bits.max(1));
        let byte = usize::try_from(index / in_a_byte).ok()?;
        let byte = *self.statuses.get(byte)?;
        // Section 4.1: from the least significant bit on.
        let place = u8::try_from(index % in_a_byte).ok()?;
        let mask = u8::MAX >> (8 - self.bits);
        Some(TokenStatus((byte >> (place * self.bits)) & mask))
    }

    /// Who may have signed it.
    pub(crate) fn token(&self) -> &Kept {
        &self.token
    }

    /// Whether `key` signed it.
    pub(crate) fn is_signed_by(
        &self,
        key: &PublicKey,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        self.token.is_signed_by(key, crypto, budget)
    }

    /// A digest of the list and of when it was fetched.
    pub fn digest(&self) -> Digest {
        let fetched = self.fetched.as_ref().map(|fetched| {
            let Fetched {
                uri,
                as_of,
                next,
                usable_until,
            } = fetched;
            let times = [as_of.unix(), next.unix(), usable_until.unix()];
            format!("{uri} {times:?}")
        });
        let fetched = fetched.unwrap_or_default();
        Digest::of_list([self.digest.as_bytes().as_slice(), fetched.as_bytes()])
    }
}

/// Packs entries as lists have them (section 4.1: at the highest level).
pub fn pack(statuses: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(statuses, 9)
}

fn malformed(detail: impl Into<String>) -> Reason {
    Reason::StatusListMalformed {
        detail: detail.into(),
    }
}

fn whole_above_zero(value: &Value) -> Result<i64, Reason> {
    let seconds = value.as_i64().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| {
        malformed(format!(
            "`ttl` must be a whole number of seconds above zero, but is {}",
            kind_of(value)
        ))
    })
}

/// The entries, unpacked (section 4.2).
fn entries(claims: &Map<String, Value>) -> Result<(u8, Vec<u8>), Reason> {
    let list = match claims.get("status_list") {
        Some(Value::Object(list)) => list,
        Some(other) => {
            let found = kind_of(other);
            return Err(malformed(format!(
                "`status_list` must be an object, but is {found}"
            )));
        }
        None => return Err(malformed("it has no `status_list`")),
    };
    let bits = list.get("bits").and_then(Value::as_u64);
    let bits = bits
        .and_then(|bits| u8::try_from(bits).ok())
        .filter(|bits| matches!(bits, 1 | 2 | 4 | 8))
        .ok_or_else(|| malformed("`bits` must be 1, 2, 4 or 8"))?;
    let packed = list.get("lst").and_then(Value::as_str);
    let packed = packed
        .and_then(base64url::decode)
        .ok_or_else(|| malformed("`lst` is no base64url in its one canonical form"))?;
    let statuses = unpacked(&packed)?;
    match statuses.is_empty() {
        true => Err(malformed("`lst` has no entries")),
        false => Ok((bits, statuses)),
    }
}

/// Unpacks what is in the form of zlib, and nothing behind it.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Reason> {
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let mut rest = packed;
    let mut unpacked = vec![0; packed.len().saturating_mul(2).min(UNPACKED_BYTES)];
    let mut length = 0;
    loop {
        let (status, read, written) = decompress(&mut state, rest, &mut unpacked, length, flags);
        rest = rest.get(read..).unwrap_or_default();
        length += written;
        match status {
            TINFLStatus::Done if rest.is_empty() => {
                unpacked.truncate(length);
                return Ok(unpacked);
            }
            TINFLStatus::Done => {
                return Err(malformed("`lst` goes on behind the end of what was packed"));
            }
            TINFLStatus::HasMoreOutput if unpacked.len() < UNPACKED_BYTES => {
                let more = unpacked.len().saturating_mul(2).min(UNPACKED_BYTES);
                unpacked.resize(more, 0);
            }
            TINFLStatus::HasMoreOutput => {
                return Err(Reason::StatusListSize {
                    allowed: UNPACKED_BYTES,
                });
            }
            TINFLStatus::FailedCannotMakeProgress => {
                return Err(malformed("`lst` ends before what was packed does"));
            }
            TINFLStatus::Adler32Mismatch => return Err(malformed("`lst` is not what was packed")),
            _ => return Err(malformed("`lst` is not in the form of zlib (RFC 1950)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bits: u8, statuses: &[u8]) -> StatusList {
        StatusList {
            token: Kept::of_nothing(),
            digest: Digest::of(b""),
            issuer: None,
            subject: "https://issuer.test/status/1".to_owned(),
            issued_at: Time::from_unix(1_000),
            expires: None,
            time_to_live: None,
            bits,
            statuses: statuses.to_vec(),
            fetched: None,
        }
    }

    fn all(list: &StatusList) -> Vec<u8> {
        (0..list.entries() as u64)
            .map(|index| list.status(index).unwrap().0)
            .collect()
    }

    /// The examples of section 4.1.
    #[test]
    fn entries_are_counted_from_the_least_bit_on() {
        let one = list(1, &[0xb9, 0xa3]);
        assert_eq!(all(&one), [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
        let two = list(2, &[0xc9, 0x44, 0xf9]);
        assert_eq!(all(&two), [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
        assert_eq!(all(&list(4, &[0x21])), [1, 2]);
        assert_eq!(all(&list(8, &[2, 255])), [2, 255]);
        assert_eq!(one.status(16), None);
        assert_eq!(one.status(u64::MAX), None);
    }

    #[test]
    fn a_list_that_does_not_say_when_it_ends_ends_all_the_same() {
        let mut list = list(1, &[0]);
        assert_eq!(list.end().unix(), 1_000 + 86_400);
        list.time_to_live = Some(200_000);
        assert_eq!(list.end().unix(), 201_000);
        list.expires = Some(Time::from_unix(5_000));
        assert_eq!(list.end().unix(), 5_000);
        let fetched = Fetched {
            uri: "https://issuer.test/status/1".to_owned(),
            as_of: Time::from_unix(2_000),
            next: Time::from_unix(2_060),
            usable_until: Time::from_unix(3_000),
        };
        assert_eq!(list.fetched(fetched).end().unix(), 3_000);
    }
}
