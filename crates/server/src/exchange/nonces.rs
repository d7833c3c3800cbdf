//! Nonces of DPoP proofs (RFC 9449 8): a proof that answers one was made after it was given out, so
//! none was made in advance by someone who had the key for a while.
//!
//! They are remembered nowhere: a nonce is a minute and a tag on it by the key of the tenant, so every
//! server on the store knows it again, before and after a restart.

use avouch_core::time::Time;
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::keys::Keys;

/// What the tags are for.
const PURPOSE: &str = "dpop nonce";

/// How long one is given out, in seconds.
const PERIOD: i64 = 60;

/// How many periods one is taken for, its own among them: five minutes at most, four at least.
const TAKEN: i64 = 5;

/// How many bytes of a tag stand in a nonce: too many to guess within five minutes.
const TAG: usize = 16;

/// The nonce that is given out now.
pub(super) fn current(keys: &Keys, now: Time) -> String {
    of(keys, now.unix().div_euclid(PERIOD))
}

/// Whether this was given out within the last minutes.
pub(super) fn is_current(keys: &Keys, nonce: &str, now: Time) -> bool {
    let period = now.unix().div_euclid(PERIOD);
    (0..TAKEN).any(|before| of(keys, period - before) == nonce)
}

fn of(keys: &Keys, period: i64) -> String {
    let tag = keys.sealing().tag(PURPOSE, &period.to_be_bytes());
    let (head, _) = tag.split_at(TAG);
    Base64UrlUnpadded::encode_string(head)
}
