//! Our status lists: the exchanged tokens that ended before their time.
//!
//! A token has its number from this server alone, and its `jti` says which: so no two tokens have
//! one number, whatever other servers do, and nothing more is stored than the intent that is stored
//! anyway. What the lists say is worked out of the intents and of what ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::ended::{Birth, Mark};
use avouch_core::exchange::statement::descends_from;
use avouch_core::id::{TenantId, TrustDomain, hex};
use avouch_core::time::Time;
use avouch_issuer::random::Random;
use avouch_issuer::stages::issue_one;
use avouch_issuer::status_list::StatusListRequest;
use avouch_issuer::token::TokenKind;
use avouch_store::{CredentialKind, IntentRow, Sequence};
use serde_json::{Value, json};

use crate::fault::{Fault, Refused, unknown};
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;

/// How many tokens have their number in one list: 16 KiB of bits, and some hundred bytes as long as
/// few have ended.
const ENTRIES: u32 = 1 << 17;

/// For how many seconds whoever fetched a list may keep it, which is how long it takes at most until
/// an ending is seen there.
pub(crate) const TIME_TO_LIVE: i64 = 60;

/// For how many seconds a list holds.
const LIFE: i64 = 3_600;

/// After how many seconds a list is signed anew.
const SIGNED_ANEW: i64 = 30;

/// How many signed lists are kept of one tenant.
const SIGNED: Room = Room {
    entries: 256,
    bytes: 8 << 20,
};

/// What this server does about the lists that it publishes.
pub(crate) struct Publishing {
    /// The list that is being filled, by the trust domain of its tokens.
    filling: Mutex<BTreeMap<(TenantId, TrustDomain), Filling>>,
    signed: Remembered<String, Signed>,
}

impl Default for Publishing {
    fn default() -> Self {
        Self {
            filling: Mutex::default(),
            signed: Remembered::within(SIGNED),
        }
    }
}

struct Filling {
    list: [u8; 8],
    next: u32,
    /// What the numbers are mixed with, so that they do not tell the order.
    turn: u32,
}

#[derive(Clone)]
struct Signed {
    token: String,
    /// When something ended last before it was made.
    ended: u64,
    /// As what the tenant was when it was looked at last, and who was in quarantine then.
    at: Sequence,
    quarantined: BTreeSet<String>,
    /// Until when it is given out.
    until: Time,
}

/// The number of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// What the token is called (`jti`).
    pub(crate) token_id: String,
    /// Where its status is told (`status`).
    pub(crate) status: Value,
}

impl Publishing {
    /// Forgets the lists of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        filling.retain(|(of, _), _| of != tenant);
        self.signed.forget_tenant(tenant);
    }

    /// Gives a token a number.
    fn number(
        &self,
        tenant: &TenantId,
        domain: &TrustDomain,
        random: &dyn Random,
    ) -> Result<([u8; 8], u32), Fault> {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), domain.clone());
        if filling.get(&key).is_none_or(|known| known.next >= ENTRIES) {
            let mut bytes = [0; 12];
            random.fill(&mut bytes)?;
            let [list @ .., a, b, c, d] = bytes;
            let fresh = Filling {
                list,
                next: 0,
                turn: u32::from_be_bytes([a, b, c, d]),
            };
            filling.insert(key.clone(), fresh);
        }
        let known = filling.get_mut(&key);
        let known = known.ok_or_else(|| Fault::Bug("a list is gone".to_owned()))?;
        let count = known.next;
        known.next += 1;
        // An odd factor and a summand permute the numbers of a list, whose count is a power of two.
        let factor = known.turn | 1;
        let index = count.wrapping_mul(factor).wrapping_add(known.turn >> 8) % ENTRIES;
        Ok((known.list, index))
    }

    fn keep(&self, tenant: &TenantId, list: &str, signed: Signed, now: Time) {
        let (until, size) = (signed.until, signed.token.len());
        self.signed
            .keep(tenant, list.to_owned(), (signed, size), until, now);
    }
}

impl Plane {
    /// Gives a token of a trust domain of the tenant a number in a list.
    pub(crate) fn number_token(
        &self,
        tenant: &Tenant,
        domain: &TrustDomain,
    ) -> Result<Numbered, Fault> {
        let (list, index) = self.publishing.number(tenant.id(), domain, &self.random)?;
        let mut rest = [0; 4];
        self.random.fill(&mut rest)?;
        let name = hex(&list);
        let uri = format!("{}/status/{name}", self.issuer_of(tenant.id()));
        Ok(Numbered {
            token_id: format!("{name}{index:08x}{}", hex(&rest)),
            status: json!({"status_list": {"idx": index, "uri": uri}}),
        })
    }

    /// A status list of the tenant, signed.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn status_list(&self, tenant: &Arc<Tenant>, name: &str) -> Result<String, Refused> {
        let unknown = || unknown("status list", name);
        let is_name = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if name.len() != 16 || !name.bytes().all(is_name) {
            return Err(unknown().into());
        }
        let now = self.now();
        let (at, ended, endings) = {
            let held = tenant.held();
            let ended = held.ended_sequence.number();
            (held.snapshot.sequence, ended, Arc::clone(&held.endings))
        };
        let known = self
            .publishing
            .signed
            .of(tenant.id(), &name.to_owned(), now);
        let known = known.filter(|known| known.ended == ended);
        if let Some(known) = known.as_ref().filter(|known| known.at == at) {
            return Ok(known.token.clone());
        }
        let quarantined: BTreeSet<String> = self.quarantined(tenant)?.into_keys().collect();
        if let Some(known) = known.filter(|known| known.quarantined == quarantined) {
            let token = known.token.clone();
            let seen = Signed {
                at,
                ..Signed::clone(&known)
            };
            self.publishing.keep(tenant.id(), name, seen, now);
            return Ok(token);
        }
        // Where nothing ended, it is enough that there is one.
        let is_empty = endings.is_empty() && quarantined.is_empty();
        let most = if is_empty { 1 } else { ENTRIES };
        let intents = self.store.intents_called(tenant.id(), name, most)?;
        let tokens = || intents.iter().filter(|one| one.kind == CredentialKind::Jwt);
        let first = tokens().next().ok_or_else(unknown)?;
        let domain = first.subject.trust_domain().clone();
        let mut statuses = vec![0_u8; usize::try_from(ENTRIES / 8).unwrap_or_default()];
        for intent in tokens().filter(|intent| intent.not_after > now) {
            let (birth, lineage) = (birth_of(intent), &intent.lineage);
            let mut held = quarantined.iter();
            let is_held = held.any(|issuer| descends_from(lineage, issuer));
            if (is_held || endings.is_ended(&birth, lineage))
                && let Some(index) = index_of(intent)
                && let Some(byte) = statuses.get_mut(index / 8)
            {
                *byte |= 1 << (index % 8);
            }
        }
        let issuer = self.issuer_of(tenant.id());
        let request = StatusListRequest {
            uri: format!("{issuer}/status/{name}"),
            issuer,
            time_to_live: TIME_TO_LIVE,
            life: LIFE,
            statuses,
        };
        let authority = tenant
            .held()
            .authorities()?
            .signing_token(TokenKind::Jwt, &domain, now)
            .cloned()?;
        let prepared = authority.prepare_status_list(request, now, &self.random)?;
        let token = issue_one(prepared, &StoreLog::of(self, tenant))?;
        let made = Signed {
            token: token.clone(),
            ended,
            at,
            quarantined,
            until: now.plus(SIGNED_ANEW),
        };
        self.publishing.keep(tenant.id(), name, made, now);
        Ok(token)
    }
}

/// When a token was had, and by which marks it can be ended: as when it is presented.
fn birth_of(intent: &IntentRow) -> Birth {
    let issuer = format!("spiffe://{}", intent.subject.trust_domain());
    Birth {
        at: Some(intent.not_before),
        marks: vec![
            Mark::subject(&issuer, intent.subject.as_str()),
            Mark::token(&issuer, intent.id.as_str()),
        ],
    }
}

/// The number of a token, as its name says.
fn index_of(intent: &IntentRow) -> Option<usize> {
    let digits = intent.id.as_str().get(16..24)?;
    usize::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use avouch_issuer::random::SystemRandom;

    use super::*;

    #[test]
    fn no_two_tokens_have_one_number() {
        let publishing = Publishing::default();
        let tenant = TenantId::parse("acme").unwrap();
        let domain = TrustDomain::parse("acme.test").unwrap();
        let mut seen = BTreeSet::new();
        for _ in 0..ENTRIES + 10 {
            let number = publishing.number(&tenant, &domain, &SystemRandom).unwrap();
            assert!(number.1 < ENTRIES);
            assert!(seen.insert(number));
        }
        let lists: BTreeSet<[u8; 8]> = seen.iter().map(|(list, _)| *list).collect();
        assert_eq!(lists.len(), 2);
    }
}
