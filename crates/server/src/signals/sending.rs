//! Tells receivers: each event signed by the tenant, sent to those who want it sent (RFC 8935), kept
//! for those who ask (RFC 8936).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_issuer::event::EventRequest;
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::TokenKind;
use avouch_store::SignalKind;
use avouch_store::keyring::SecretOf;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::attempts::Attempts;
use super::notices::{Notice, notices_of};
use super::receivers::{PUSH, Receiver, ReceiverSettings, ReceiverState, receiver_state};
use super::{record_of, records_of};
use crate::blocking::blocking;
use crate::failing::Failing;
use crate::fault::{Fault, Refused};
use crate::fetch::{Request, Trust};
use crate::issuing::StoreLog;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many events are sent to a receiver before it is looked anew what it wants.
const AT_ONCE: usize = 50;

/// How many are given to one that asks, at most.
const MOST_ASKED: usize = 100;

/// How long is waited after a first failure, in seconds.
const FIRST_RETRY: i64 = 1;

/// After how long a receiver that takes nothing is told nothing any more, in seconds: until it says
/// so, or an administrator puts it anew.
const PATIENCE: i64 = 86_400;

/// How long one that asks may wait for something to be told.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What this server is doing about receivers.
pub(crate) fn sending() -> Attempts {
    Attempts::retried_after(FIRST_RETRY)
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
            let pushed = state.stream.as_ref().filter(|stream| stream.method == PUSH);
            let Some(stream) = pushed.map(|stream| stream.id.clone()) else {
                continue;
            };
            let mut pending = state.pending(&settings, &notices, &settings.subject);
            let key = (tenant.id().clone(), record.key.id.clone());
            if pending.is_empty() || !self.sending.may_begin(&key, self.now()) {
                continue;
            }
            pending.truncate(AT_ONCE);
            let to = To {
                receiver: Receiver {
                    id: record.key.id,
                    subject: settings.subject.clone(),
                },
                stream,
                settings,
            };
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            tokio::spawn(async move {
                let outcome = plane.push_all(&tenant, &to, pending).await;
                if let Err(refused) = &outcome {
                    let told = plane.not_sent(&tenant, &to, refused).await;
                    drop(told);
                }
                let pause = outcome.is_ok().then_some(0);
                plane.sending.ended(&key, plane.now(), pause);
            });
        }
    }

    async fn push_all(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        to: &To,
        pending: Vec<Notice>,
    ) -> Result<(), Refused> {
        for notice in pending {
            let name = notice.id.to_string();
            let Some(sent) = self.push(tenant, to, notice).await? else {
                return Ok(());
            };
            if let Sent::Refused(why) = &sent {
                tracing::warn!(
                    tenant = %tenant.id(), receiver = %to.receiver.id, event = name, why,
                    "a receiver refused an event"
                );
            }
            let (plane, tenant, to) = (Arc::clone(self), Arc::clone(tenant), to.clone());
            let is_taken = matches!(sent, Sent::Taken);
            let told =
                move || plane.note_told(&tenant, &to.receiver, Some(&to.stream), &[name], is_taken);
            blocking(told).await?;
        }
        Ok(())
    }

    /// Sends one event; nothing where the stream is not there any more, or is someone else's.
    async fn push(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        to: &To,
        notice: Notice,
    ) -> Result<Option<Sent>, Refused> {
        let Some((url, authorization)) = self.address_of(tenant, to)? else {
            return Ok(None);
        };
        let settings = &to.settings;
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
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, &authorization);
        }
        let fetched = self.fetcher().send(tenant.id(), &request).await?;
        match fetched.status() {
            200 | 202 => Ok(Some(Sent::Taken)),
            // RFC 8935 2.3: what is wrong is the event itself.
            400 => {
                let told: Option<Map<String, Value>> = serde_json::from_slice(fetched.body()).ok();
                let word = told.and_then(|told| Some(told.get("err")?.as_str()?.to_owned()));
                let word = word.unwrap_or_default().chars().take(64).collect();
                Ok(Some(Sent::Refused(word)))
            }
            status => Err(Reason::FetchStatus {
                url: url.chars().take(256).collect(),
                status: u32::from(status),
            }
            .into()),
        }
    }

    /// Where a stream is told things and with what, of one moment.
    fn address_of(&self, tenant: &Tenant, to: &To) -> Result<Option<Address>, Refused> {
        let id = &to.receiver.id;
        if to.receiver.settings(tenant).is_err() {
            return Ok(None);
        }
        let Some(record) = record_of(tenant, SignalKind::ReceiverState, id) else {
            return Ok(None);
        };
        let stream = ReceiverState::read(Some(&record.document)).stream;
        let url = stream
            .filter(|stream| stream.id == to.stream && stream.method == PUSH)
            .and_then(|stream| stream.url);
        let Some(url) = url else {
            return Ok(None);
        };
        let Some(sealed) = record.secret else {
            return Ok(Some((url, None)));
        };
        let sealing = tenant.keys.sealing();
        let secret = sealing.open(SecretOf::Signal(id), &sealed)?;
        let text = String::from_utf8(secret.to_vec());
        let text = text.map_err(|_| Fault::Stored("a credential is no text".to_owned()))?;
        Ok(Some((url, Some(Zeroizing::new(text)))))
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
            .authorities()?
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
        Ok(issue_one(prepared, &StoreLog::of(self, tenant))?)
    }

    /// Notes what came of events; of those of a stream that is not there any more, nothing.
    fn note_told(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        of: Option<&str>,
        told: &[String],
        is_taken: bool,
    ) -> Result<(), Refused> {
        let now = self.now();
        self.note_receiver(tenant, receiver, |state| {
            let stream = state.stream.as_ref().map(|stream| stream.id.as_str());
            if of.is_some() && of != stream {
                return Ok(());
            }
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
        to: &To,
        refused: &Refused,
    ) -> Result<(), Refused> {
        let id = &to.receiver.id;
        let Refused::Reason(reason) = refused else {
            tracing::error!(tenant = %tenant.id(), receiver = %id, error = %refused, "an event could not be sent");
            return Ok(());
        };
        let now = self.now();
        let reason = reason.clone();
        let (plane, tenant, to) = (Arc::clone(self), Arc::clone(tenant), to.clone());
        blocking(move || {
            plane.note_receiver(&tenant, &to.receiver, |state| {
                let stream = state.stream.as_ref().map(|stream| &stream.id);
                if stream != Some(&to.stream) {
                    return Ok(());
                }
                if state.failing.is_none() {
                    tracing::warn!(
                        tenant = %tenant.id(), receiver = %to.receiver.id, code = reason.code(),
                        "a receiver takes no events: {}", reason.sentence()
                    );
                }
                let failing = Failing::after(state.failing.as_ref(), now, &reason);
                if now.unix() - failing.since > PATIENCE {
                    state.status = "paused".to_owned();
                    state.why = Some("it took no event for a day".to_owned());
                }
                state.failing = Some(failing);
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
        receiver: &Receiver,
        poll: &Poll,
    ) -> Result<(Map<String, Value>, bool), Refused> {
        if !poll.taken.is_empty() {
            self.note_told(tenant, receiver, None, &poll.taken, true)?;
        }
        if !poll.refused.is_empty() {
            self.note_told(tenant, receiver, None, &poll.refused, false)?;
        }
        let mut news = tenant.notices.subscribe();
        let most = poll.most.min(MOST_ASKED);
        let mut pending = pending_of(tenant, receiver)?;
        let may_wait = pending.1.is_empty() && !poll.at_once && most > 0;
        if let Some(_waiting) = may_wait.then(Waiting::enter).flatten() {
            let runtime = tokio::runtime::Handle::current();
            let waited = async { tokio::time::timeout(LONGEST_WAIT, news.changed()).await };
            drop(runtime.block_on(waited));
            // Someone else may have the name of the receiver by now.
            pending = pending_of(tenant, receiver)?;
        }
        let (settings, pending) = pending;
        let has_more = pending.len() > most;
        let mut sets = Map::new();
        for notice in pending.iter().take(most) {
            let token = self.sign_event(tenant, &settings.audience, notice)?;
            sets.insert(notice.id.to_string(), token.into());
        }
        Ok((sets, has_more))
    }
}

/// Where a stream is told things, and with what it is called.
type Address = (String, Option<Zeroizing<String>>);

/// Whom a stream goes to, and what of.
#[derive(Clone)]
struct To {
    receiver: Receiver,
    stream: String,
    settings: ReceiverSettings,
}

/// What a receiver was not told yet.
fn pending_of(
    tenant: &Tenant,
    receiver: &Receiver,
) -> Result<(ReceiverSettings, Vec<Notice>), Refused> {
    let settings = receiver.settings(tenant)?;
    let state = receiver_state(tenant, &receiver.id);
    let pending = state.pending(&settings, &notices_of(tenant), &settings.subject);
    Ok((settings, pending))
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
    let first = tenant.require_trust_domain()?;
    Ok(SpiffeId::parse(&format!("spiffe://{first}"))?)
}
