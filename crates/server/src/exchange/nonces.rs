//! Nonces of DPoP proofs (RFC 9449 8), and challenges of proofs of SSH: a proof that answers one was made after it was given out, so
//! none was made in advance by someone who had the key for a while.
//!
//! They are remembered nowhere: a nonce is a minute and a tag on it by the key of the tenant, so every
//! server on the store knows it again, before and after a restart.

use avouch_core::time::Time;
use avouch_issuer::random::{Random, SystemRandom};
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::fault::Fault;
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

/// What the tags of challenges are for.
const CHALLENGE: &str = "challenge of ssh";

/// How many bytes of a challenge are drawn, so that each is another.
const DRAWN: usize = 16;

/// How many bytes of it say in which period it was given out.
const OF_PERIOD: usize = 8;

/// A challenge like no other. Whoever answers it uses it up, so it must not be that of a minute.
pub(super) fn challenge(keys: &Keys, random: &SystemRandom, now: Time) -> Result<String, Fault> {
    let mut drawn = [0; DRAWN];
    random.fill(&mut drawn)?;
    let period = now.unix().div_euclid(PERIOD).to_be_bytes();
    let head = [&period[..], &drawn].concat();
    let tag = tag_of_challenge(keys, &head);
    Ok(Base64UrlUnpadded::encode_string(&[head, tag].concat()))
}

/// Whether this challenge was given out here within the last minutes.
pub(super) fn is_challenge(keys: &Keys, challenge: &str, now: Time) -> bool {
    let read = || {
        let bytes = Base64UrlUnpadded::decode_vec(challenge).ok()?;
        let (head, tag) = bytes.split_at_checked(OF_PERIOD + DRAWN)?;
        let period = i64::from_be_bytes(*head.first_chunk()?);
        let age = now.unix().div_euclid(PERIOD).checked_sub(period)?;
        Some((0..TAKEN).contains(&age) && tag == tag_of_challenge(keys, head))
    };
    read().unwrap_or(false)
}

fn tag_of_challenge(keys: &Keys, head: &[u8]) -> Vec<u8> {
    let tag = keys.sealing().tag(CHALLENGE, head);
    let (tag, _) = tag.split_at(TAG);
    tag.to_vec()
}
