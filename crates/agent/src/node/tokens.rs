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
    issued: Time,
    expires: Time,
}

impl Tokens {
    /// One of whose life less than half is over; whoever is given it can still use it for a while.
    pub(super) fn fresh(&self, entry: &Entry, audiences: &[String], now: Time) -> Option<Token> {
        let held = self.get(entry, audiences)?;
        let half = held.expires.since(held.issued) / 2;
        (now.since(held.issued) < half).then_some(held.token)
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
    let header = token.expose().split('.').next()?;
    let header = Base64UrlUnpadded::decode_vec(header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Some(header.get("kid")?.as_str()?.to_owned())
}
