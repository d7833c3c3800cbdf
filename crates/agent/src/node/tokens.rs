//! JWT-SVIDs that were issued a moment ago, so that a workload that asks for each of its requests
//! does not ask the server for each of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::time::Time;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use super::holdings::{Entry, EntryKey, Holdings};
use crate::identities::Token;

/// How many are held; the ones that expire first make room.
const MOST_HELD: usize = 10_000;

/// Tokens by entry and audiences.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<(EntryKey, Vec<String>), HeldToken>>);

#[derive(Clone)]
struct HeldToken {
    token: Token,
    revision: u64,
    /// The key that signed it.
    key: String,
    /// Its name (`jti`).
    id: Option<String>,
    issued: Time,
    expires: Time,
}

impl Tokens {
    /// One of whose life less than half is over, and that has not ended before; whoever is given it can
    /// still use it for a while.
    pub(super) fn fresh(
        &self,
        entry: &Entry,
        audiences: &[String],
        holdings: &Holdings,
        now: Time,
    ) -> Option<Token> {
        let held = self.get(entry, audiences)?;
        let half = held.expires.since(held.issued) / 2;
        let named = (held.id.as_deref(), held.issued);
        let has_ended = holdings.has_ended(&entry.key, &entry.spiffe_id, named, now);
        (now.since(held.issued) < half && !has_ended).then_some(held.token)
    }

    /// One that has not expired, for when the server is away.
    pub(super) fn usable(&self, entry: &Entry, audiences: &[String], now: Time) -> Option<Token> {
        let held = self.get(entry, audiences)?;
        (now < held.expires).then_some(held.token)
    }

    fn get(&self, entry: &Entry, audiences: &[String]) -> Option<HeldToken> {
        let key = (entry.key.clone(), audiences.to_vec());
        let held = self.lock().get(&key).cloned()?;
        (held.revision == entry.revision).then_some(held)
    }

    pub(super) fn keep(
        &self,
        entry: &Entry,
        audiences: &[String],
        token: &Token,
        issued: Time,
        expires: Time,
    ) {
        let mut held = self.lock();
        if held.len() >= MOST_HELD {
            held.retain(|_, held| held.expires > issued);
        }
        if held.len() >= MOST_HELD {
            held.clear();
        }
        held.insert(
            (entry.key.clone(), audiences.to_vec()),
            HeldToken {
                token: token.clone(),
                revision: entry.revision,
                key: key_of(token).unwrap_or_default(),
                id: id_of(token),
                issued,
                expires,
            },
        );
    }

    pub(super) fn forget_distrusted(&self, holdings: &Holdings) {
        self.lock()
            .retain(|(entry, _), held| !holdings.distrusts(&entry.tenant, &held.key));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(EntryKey, Vec<String>), HeldToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `kid` of a token.
pub(super) fn key_of(token: &Token) -> Option<String> {
    text_in(token, 0, "kid")
}

/// The `jti` of a token.
pub(super) fn id_of(token: &Token) -> Option<String> {
    text_in(token, 1, "jti")
}

/// What a part of a token says under a name.
fn text_in(token: &Token, part: usize, name: &str) -> Option<String> {
    let part = token.expose().split('.').nth(part)?;
    let part = Base64UrlUnpadded::decode_vec(part).ok()?;
    let part: Value = serde_json::from_slice(&part).ok()?;
    Some(part.get(name)?.as_str()?.to_owned())
}
