//! Tells receivers: each event signed by the tenant, sent to those who want it sent (RFC 8935), kept
//! for those who ask (RFC 8936).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::event::EventRequest;
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::TokenKind;
use avouch_store::{SignalId, SignalKind};
use axum::http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::notices::{Notice, notices_of};
use super::receivers::{PUSH, ReceiverSettings, receiver_state};
use super::state::Failing;
use super::{record_of, records_of};
use crate::fault::{Fault, Refused};
use crate::fetch::{Request, Trust};
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many events are sent to a receiver before it is looked anew what it wants.
const AT_ONCE: usize = 50;

/// How many are given to one that asks, at most.
const MOST_ASKED: usize = 100;

/// How long is waited after a failure, in seconds, twice as long after each.
const FIRST_RETRY: i64 = 1;
const LONGEST_RETRY: i64 = 300;

/// After how long a receiver that takes nothing is told nothing any more, in seconds: until it says
/// so, or an administrator puts it anew.
const PATIENCE: i64 = 86_400;

/// How long one that asks may wait for something to be told.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What this server is doing about receivers.
#[derive(Default)]
pub(crate) struct Sending(Mutex<BTreeMap<(TenantId, SignalId), Attempts>>);

#[derive(Default)]
struct Attempts {
    is_under_way: bool,
    failures: u32,
    not_before: Option<Time>,
}

impl Sending {
    fn may_begin(&self, key: &(TenantId, SignalId), now: Time) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = all.entry(key.clone()).or_default();
        if attempts.is_under_way || attempts.not_before.is_some_and(|at| now < at) {
            return false;
        }
        attempts.is_under_way = true;
        true
    }

    fn ended(&self, key: &(TenantId, SignalId), now: Time, has_failed: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = all.entry(key.clone()).or_default();
        attempts.is_under_way = false;
        if has_failed {
            let pause = (FIRST_RETRY << attempts.failures.min(10)).min(LONGEST_RETRY);
            attempts.failures = attempts.failures.saturating_add(1);
            attempts.not_before = Some(now.plus(pause));
        } else {
            attempts.failures = 0;
            attempts.not_before = None;
        }
    }
}

/// What came of sending one event.
enum Sent {
    Taken,
    /// The receiver does not want it, whatever it is; sending it again would change nothing.
    Refused(String),
}

impl Plane {
    /// Sends what is due to the receivers of a tenant.
    pub(super) fn send_notices(self: &Arc<Self>, tenant: &Arc<Tenant>) {
        let records = records_of(tenant, SignalKind::Receiver);
        if records.is_empty() {
            return;
        }
        let notices = notices_of(tenant);
        for record in records {
            let Ok(settings) = ReceiverSettings::stored(&record) else {
                continue;
            };
            let state = receiver_state(tenant, &record.key.id);
            let is_pushed = state
                .stream
                .as_ref()
                .is_some_and(|stream| stream.method == PUSH);
            if !is_pushed {
                continue;
            }
            let mut pending = state.pending(&settings, &notices, &settings.subject);
            let key = (tenant.id().clone(), record.key.id.clone());
            if pending.is_empty() || !self.sending.may_begin(&key, self.now()) {
                continue;
            }
            pending.truncate(AT_ONCE);
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            tokio::spawn(async move {
                let outcome = plane.push_all(&tenant, &key.1, &settings, pending).await;
                if let Err(refused) = &outcome {
                    let told = plane.not_sent(&tenant, &key.1, refused).await;
                    drop(told);
                }
                plane.sending.ended(&key, plane.now(), outcome.is_err());
            });
        }
    }

    async fn push_all(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &ReceiverSettings,
        pending: Vec<Notice>,
    ) -> Result<(), Refused> {
        for notice in pending {
            let name = notice.id.to_string();
            let sent = self.push(tenant, id, settings, notice).await?;
            if let Sent::Refused(why) = &sent {
                tracing::warn!(
                    tenant = %tenant.id(), receiver = %id, event = name, why,
                    "a receiver refused an event"
                );
            }
            let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
            let is_taken = matches!(sent, Sent::Taken);
            blocking(move || plane.note_told(&tenant, &id, &[name], is_taken)).await?;
        }
        Ok(())
    }

    async fn push(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &ReceiverSettings,
        notice: Notice,
    ) -> Result<Sent, Refused> {
        let state = receiver_state(tenant, id);
        let url = state
            .stream
            .and_then(|stream| stream.url)
            .unwrap_or_default();
        let token = {
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            let audience = settings.audience.clone();
            blocking(move || plane.sign_event(&tenant, &audience, &notice)).await?
        };
        let mut request = Request::post(&url, "application/secevent+jwt", token.into_bytes())?
            .header(ACCEPT, "application/json")
            .trusting(match settings.ca.as_slice() {
                [] => Trust::System,
                more => Trust::SystemAnd(more.to_vec()),
            });
        if let Some(authorization) = self.authorization_for(tenant, id)? {
            request = request.header(AUTHORIZATION, &authorization);
        }
        let fetched = self.fetcher().fetch(tenant.id(), &request).await?;
        match fetched.status() {
            200 | 202 => Ok(Sent::Taken),
            // RFC 8935 2.3: what is wrong is the event itself.
            400 => {
                let told: Option<Map<String, Value>> = serde_json::from_slice(fetched.body()).ok();
                let word = told.and_then(|told| Some(told.get("err")?.as_str()?.to_owned()));
                Ok(Sent::Refused(
                    word.unwrap_or_default().chars().take(64).collect(),
                ))
            }
            status => Err(Reason::FetchStatus {
                url: url.chars().take(256).collect(),
                status: u32::from(status),
            }
            .into()),
        }
    }

    fn authorization_for(
        &self,
        tenant: &Tenant,
        id: &SignalId,
    ) -> Result<Option<Zeroizing<String>>, Refused> {
        let record = record_of(tenant, SignalKind::ReceiverState, id);
        let Some(sealed) = record.and_then(|record| record.secret) else {
            return Ok(None);
        };
        let secret = tenant
            .keys
            .sealing()
            .open(&super::sealed_as(id)?, &sealed)?;
        let text = String::from_utf8(secret.to_vec());
        let text = text.map_err(|_| Fault::Stored("a credential is no text".to_owned()))?;
        Ok(Some(Zeroizing::new(text)))
    }

    /// An event as it is sent, signed by the tenant.
    fn sign_event(
        &self,
        tenant: &Tenant,
        audience: &str,
        notice: &Notice,
    ) -> Result<String, Refused> {
        let now = self.now();
        let domain = signing_domain(tenant, &notice.about)?;
        let authority = tenant
            .held()
            .authorities
            .signing_token(TokenKind::Jwt, domain.trust_domain(), now)
            .cloned()?;
        let request = EventRequest {
            issuer: self.issuer_of(tenant.id()),
            audience: audience.to_owned(),
            id: notice.id.to_string(),
            subject: domain,
            subject_id: notice.subject.clone(),
            name: notice.name.clone(),
            said: notice.said.clone(),
            at: notice.at,
        };
        let prepared = authority.prepare_event(request, now, &self.random)?;
        Ok(issue_one(prepared, &StoreLog::of(self))?)
    }

    fn note_told(
        &self,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        told: &[String],
        is_taken: bool,
    ) -> Result<(), Refused> {
        let now = self.now();
        self.note_receiver(tenant, id, |state| {
            let count = u64::try_from(told.len()).unwrap_or(u64::MAX);
            match is_taken {
                true => state.sent += count,
                false => state.refused += count,
            }
            state.failing = None;
            state.taken(told, &notices_of(tenant), now);
            Ok(())
        })
    }

    /// Notes that a receiver could not be told; after a day it is told nothing any more.
    async fn not_sent(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        refused: &Refused,
    ) -> Result<(), Refused> {
        let Refused::Reason(reason) = refused else {
            tracing::error!(tenant = %tenant.id(), receiver = %id, error = %refused, "an event could not be sent");
            return Ok(());
        };
        let now = self.now().unix();
        let (code, sentence) = (reason.code().to_owned(), reason.sentence());
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
        blocking(move || {
            plane.note_receiver(&tenant, &id, |state| {
                let since = state.failing.as_ref().map_or(now, |failing| failing.since);
                if state.failing.is_none() {
                    tracing::warn!(tenant = %tenant.id(), receiver = %id, code, "a receiver takes no events: {sentence}");
                }
                if now - since > PATIENCE {
                    state.status = "paused".to_owned();
                    state.why = Some("it took no event for a day".to_owned());
                }
                state.failing = Some(Failing {
                    since,
                    code: code.clone(),
                    sentence: sentence.clone(),
                });
                Ok(())
            })
        })
        .await
    }

    /// Gives a receiver that asks what it was not told yet, and takes what it acknowledges (RFC 8936
    /// 2.4). Unless it wants an answer at once, it waits for a while until there is something.
    pub(crate) fn answer_poll(
        &self,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        poll: &Poll,
    ) -> Result<(Map<String, Value>, bool), Refused> {
        if !poll.taken.is_empty() {
            self.note_told(tenant, id, &poll.taken, true)?;
        }
        if !poll.refused.is_empty() {
            self.note_told(tenant, id, &poll.refused, false)?;
        }
        let mut news = tenant.notices.subscribe();
        let most = poll.most.min(MOST_ASKED);
        let mut pending = self.pending_of(tenant, id)?;
        let may_wait = pending.is_empty() && !poll.at_once && most > 0;
        if let Some(_waiting) = may_wait.then(Waiting::enter).flatten() {
            let runtime = tokio::runtime::Handle::current();
            let waited = async { tokio::time::timeout(LONGEST_WAIT, news.changed()).await };
            drop(runtime.block_on(waited));
            pending = self.pending_of(tenant, id)?;
        }
        let has_more = pending.len() > most;
        let record = record_of(tenant, SignalKind::Receiver, id);
        let record = record.ok_or_else(|| Fault::Bug("a receiver went away".to_owned()))?;
        let settings = ReceiverSettings::stored(&record)?;
        let mut sets = Map::new();
        for notice in pending.iter().take(most) {
            let token = self.sign_event(tenant, &settings.audience, notice)?;
            sets.insert(notice.id.to_string(), token.into());
        }
        Ok((sets, has_more))
    }

    fn pending_of(&self, tenant: &Tenant, id: &SignalId) -> Result<Vec<Notice>, Refused> {
        let record = record_of(tenant, SignalKind::Receiver, id);
        let record = record.ok_or_else(|| Fault::Bug("a receiver went away".to_owned()))?;
        let settings = ReceiverSettings::stored(&record)?;
        let state = receiver_state(tenant, id);
        Ok(state.pending(&settings, &notices_of(tenant), &settings.subject))
    }
}

/// How many receivers of all tenants wait at once for something to be told. Each holds a thread that
/// others need; the others are answered at once.
const MOST_WAITING: usize = 32;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// One receiver that waits.
struct Waiting;

impl Waiting {
    fn enter() -> Option<Self> {
        let entered = WAITING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
            (waiting < MOST_WAITING).then_some(waiting + 1)
        });
        entered.ok().map(|_| Self)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a receiver asks with (RFC 8936 2.2).
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) most: usize,
    pub(crate) at_once: bool,
    pub(crate) taken: Vec<String>,
    pub(crate) refused: Vec<String>,
}

/// For whom it is on record: whom it is about if that is the tenant's own, or else its first trust
/// domain.
fn signing_domain(tenant: &Tenant, about: &SpiffeId) -> Result<SpiffeId, Refused> {
    let is_own = tenant.read(|held| held.trust_domains.contains_key(about.trust_domain()));
    if is_own {
        return Ok(about.clone());
    }
    let first = tenant.first_trust_domain();
    let first = first.ok_or_else(|| Reason::IssueObjectUnknown {
        object: "trust domain",
        name: format!("of {}", tenant.id()),
    })?;
    Ok(SpiffeId::parse(&format!("spiffe://{first}"))?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Fault::Bug(error.to_string()).into()))
}
