//! JWT-SVIDs that were issued a moment ago, so that a workload that asks for each of its requests
//! does not ask the server for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::time::Time;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use super::holdings::{Entry, EntryKey, Holdings};
use crate::identities::Token;

/// How many bytes are held of all entries together; the tokens that expire first make room.
const MOST_BYTES: usize = 32 << 20;

/// How many of them one entry may hold, so that a workload that asks for another audience each time
/// takes nothing from others: some three hundred tokens of ordinary length.
const MOST_BYTES_OF_ENTRY: usize = 512 << 10;

/// What one token costs beside its text and its audiences: places in three maps, and its names.
const BYTES_BESIDE: usize = 512;

/// Tokens by entry and audiences.
pub(super) struct Tokens {
    held: Mutex<Held>,
    room: Room,
}

/// How many bytes may be held.
#[derive(Clone, Copy)]
struct Room {
    of_all: usize,
    of_entry: usize,
}

/// Whose token, and for whom.
type Key = (EntryKey, Vec<String>);

#[derive(Default)]
struct Held {
    tokens: BTreeMap<Arc<Key>, HeldToken>,
    /// The same, the one that expires first before the others.
    by_end: BTreeSet<(Time, Arc<Key>)>,
    of_entries: BTreeMap<EntryKey, usize>,
    of_all: usize,
}

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
    bytes: usize,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::with_room(Room {
            of_all: MOST_BYTES,
            of_entry: MOST_BYTES_OF_ENTRY,
        })
    }
}

impl Tokens {
    fn with_room(room: Room) -> Self {
        Self {
            held: Mutex::default(),
            room,
        }
    }

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
        let held = self.lock().tokens.get(&key).cloned()?;
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
        let told: usize = audiences.iter().map(String::len).sum();
        let facts: usize = entry.key.facts.iter().map(String::len).sum();
        let bytes = BYTES_BESIDE + token.expose().len() + told + facts;
        let token = HeldToken {
            token: token.clone(),
            revision: entry.revision,
            key: key_of(token).unwrap_or_default(),
            id: id_of(token),
            issued,
            expires,
            bytes,
        };
        let key = Arc::new((entry.key.clone(), audiences.to_vec()));
        self.lock().keep(key, token, self.room);
    }

    /// Forgets those whose signer is not to be trusted any more.
    pub(super) fn forget_distrusted(&self, holdings: &Holdings) {
        let mut held = self.lock();
        let distrusted = held
            .tokens
            .iter()
            .filter(|(key, held)| holdings.distrusts_signer(&key.0, &held.key));
        let distrusted: Vec<Arc<Key>> = distrusted.map(|(key, _)| Arc::clone(key)).collect();
        for key in distrusted {
            held.forget(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn keep(&mut self, key: Arc<Key>, token: HeldToken, room: Room) {
        self.forget(&key);
        while self.of_entry(&key.0) + token.bytes > room.of_entry {
            match self.first_to_expire_of(&key.0) {
                Some(first) => self.forget(&first),
                // It is alone larger than all that its entry may hold.
                None => return,
            }
        }
        while self.of_all + token.bytes > room.of_all {
            match self.by_end.first().map(|(_, first)| Arc::clone(first)) {
                Some(first) => self.forget(&first),
                None => return,
            }
        }
        self.of_all += token.bytes;
        *self.of_entries.entry(key.0.clone()).or_default() += token.bytes;
        self.by_end.insert((token.expires, Arc::clone(&key)));
        self.tokens.insert(key, token);
    }

    fn forget(&mut self, key: &Arc<Key>) {
        let Some(token) = self.tokens.remove(key) else {
            return;
        };
        self.by_end.remove(&(token.expires, Arc::clone(key)));
        self.of_all = self.of_all.saturating_sub(token.bytes);
        match self.of_entries.get_mut(&key.0) {
            Some(bytes) if *bytes > token.bytes => *bytes -= token.bytes,
            _ => drop(self.of_entries.remove(&key.0)),
        }
    }

    fn of_entry(&self, entry: &EntryKey) -> usize {
        self.of_entries.get(entry).copied().unwrap_or_default()
    }

    fn first_to_expire_of(&self, entry: &EntryKey) -> Option<Arc<Key>> {
        // No audiences come before any.
        let from = (entry.clone(), Vec::new());
        let of_entry = self.tokens.range(from..);
        let of_entry = of_entry.take_while(|(key, _)| key.0 == *entry);
        let first = of_entry.min_by_key(|(_, token)| token.expires);
        first.map(|(key, _)| Arc::clone(key))
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

#[cfg(test)]
mod tests {
    use avouch_core::id::{SpiffeId, TenantId};

    use super::*;

    const TOKEN: &str = "eyJraWQiOiJhIn0.e30.c2ln";

    fn entry(id: &str) -> Entry {
        Entry {
            key: EntryKey {
                tenant: TenantId::parse("demo").unwrap(),
                id: id.to_owned(),
                facts: Vec::new(),
            },
            spiffe_id: SpiffeId::parse("spiffe://demo.avouch.test/web").unwrap(),
            federates_with: Vec::new(),
            hint: None,
            created: 0,
            revision: 1,
        }
    }

    /// Room for so many tokens of one entry and of all.
    fn tokens(of_entry: usize, of_all: usize) -> Tokens {
        // One more byte for the audience, which has one.
        let one = BYTES_BESIDE + TOKEN.len() + 1;
        Tokens::with_room(Room {
            of_all: of_all * one,
            of_entry: of_entry * one,
        })
    }

    fn keep(tokens: &Tokens, entry: &Entry, audience: &str, expires: i64) {
        let (issued, expires) = (Time::from_unix(0), Time::from_unix(expires));
        let token = Token::new(TOKEN);
        tokens.keep(entry, &[audience.to_owned()], &token, issued, expires);
    }

    fn has(tokens: &Tokens, entry: &Entry, audience: &str) -> bool {
        let at = Time::from_unix(0);
        tokens.usable(entry, &[audience.to_owned()], at).is_some()
    }

    #[test]
    fn an_entry_with_many_audiences_takes_nothing_from_another() {
        let tokens = tokens(2, 10);
        let (greedy, modest) = (entry("greedy"), entry("modest"));
        keep(&tokens, &modest, "a", 10);
        for (audience, expires) in [("a", 300), ("b", 200), ("c", 400)] {
            keep(&tokens, &greedy, audience, expires);
        }
        let held = ["a", "b", "c"].map(|audience| has(&tokens, &greedy, audience));
        assert_eq!(held, [true, false, true], "the first to expire makes room");
        assert!(has(&tokens, &modest, "a"));
    }

    #[test]
    fn when_all_is_full_the_first_to_expire_makes_room_and_no_more() {
        let tokens = tokens(2, 3);
        for (id, expires) in [("a", 300), ("b", 100), ("c", 200), ("d", 50)] {
            keep(&tokens, &entry(id), "x", expires);
        }
        let held = ["a", "b", "c", "d"].map(|id| has(&tokens, &entry(id), "x"));
        assert_eq!(held, [true, false, true, true]);
    }

    #[test]
    fn what_is_counted_is_what_is_held() {
        let tokens = tokens(2, 3);
        for round in 0..5 {
            keep(&tokens, &entry("a"), "x", 100 + round);
        }
        let long = Token::new("x".repeat(1 << 20));
        let (issued, expires) = (Time::from_unix(0), Time::from_unix(9));
        tokens.keep(&entry("b"), &["x".to_owned()], &long, issued, expires);
        let held = tokens.lock();
        assert_eq!((held.tokens.len(), held.by_end.len()), (1, 1));
        assert_eq!(held.of_all, BYTES_BESIDE + TOKEN.len() + 1);
        assert_eq!(held.of_entries.values().sum::<usize>(), held.of_all);
    }
}
