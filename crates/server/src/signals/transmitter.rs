//! Streams at their transmitters: set up, asked for events, asked whether anybody is there
//! (SSF 1.0 7, 8; RFC 8936).

use avouch_core::id::hex;
use std::sync::Arc;
use std::time::Duration;

use avouch_api::members::{Document, Members};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::random::Random;
use avouch_store::keyring::SecretOf;
use avouch_store::{SignalId, SignalKind, SignalRecord};
use axum::http::Method;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::attempts::{Attempts, Place};
use super::receiving::{Way, may_come_again};
use super::refused::{description_of, word_of};
use super::settings::{Delivery, Settings};
use super::state::{Asked, Remote, State, state_of};
use super::{record_of, records_of};
use crate::blocking::blocking;
use crate::fault::{Fault, Refused};
use crate::fetch::{Fetched, Limits, Request, Target, Trust};
use crate::plane::{Plane, reserved};
use crate::tenant::Tenant;
use crate::views;

/// How many events are asked for at a time.
const EVENTS: usize = 100;

/// How long a transmitter may hold a question for events until there are some.
const LONGEST_POLL: Duration = Duration::from_secs(20);

/// How long is waited after an answer without events, in seconds: some answer at once.
const PAUSE: i64 = 1;

/// How long is waited after a first failure, in seconds.
const FIRST_RETRY: i64 = 2;

/// What this server is doing about streams.
pub(crate) fn following() -> Attempts {
    Attempts::retried_after(FIRST_RETRY)
}

impl Plane {
    /// Does what is due for the streams of a tenant.
    pub(super) fn tend_streams(self: &Arc<Self>, tenant: &Arc<Tenant>) {
        let usual = self.issuer_of(tenant.id());
        for record in records_of(tenant, SignalKind::Signal) {
            let id = record.key.id.clone();
            let Ok(settings) = Settings::stored(&record, &usual) else {
                continue;
            };
            let state = state_of(tenant, &id);
            let now = self.now();
            if state.word(settings.heartbeat, now) == "silent" && state.silent.is_none() {
                self.tell_silence(tenant, &id, settings.heartbeat);
            }
            let key = (tenant.id().clone(), id);
            if !is_due(&settings, &record, &state, now) || !self.following.may_begin(&key, now) {
                continue;
            }
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            tokio::spawn(async move {
                let followed = plane.follow_stream(&tenant, &key.1, &settings).await;
                plane.followed(&tenant, &key, followed).await;
            });
        }
    }

    /// Sets a stream up anew now, if that is due, and asks its transmitter whether it is there.
    pub(crate) async fn verify_stream(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: &str,
    ) -> Result<(), Refused> {
        let id = super::named(tenant, SignalKind::Signal, "signal", name)?;
        let record = record_of(tenant, SignalKind::Signal, &id);
        let record = record.ok_or_else(|| Fault::Bug("a signal went away".to_owned()))?;
        let settings = Settings::stored(&record, &self.issuer_of(tenant.id()))?;
        if settings.delivery == Delivery::Manual {
            return Err(Reason::IssueConflict {
                detail: format!(
                    "the stream {id} is set up by hand (`delivery: manual`), so its transmitter is not \
                     called; have it send a verification event itself"
                ),
            }
            .into());
        }
        let remote = self.set_up(tenant, &id, &settings, &record).await?;
        self.ask_whether_there(tenant, &id, &settings, &record, &remote)
            .await
    }

    async fn followed(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        key: &Place,
        followed: Result<bool, Refused>,
    ) {
        let now = self.now();
        let pause = match &followed {
            Ok(true) => Some(0),
            Ok(false) => Some(PAUSE),
            Err(_) => None,
        };
        let failed = match followed {
            Ok(_) => None,
            Err(Refused::Reason(reason)) => Some(*reason),
            Err(Refused::Fault(fault)) => {
                tracing::error!(tenant = %tenant.id(), signal = %key.1, %fault, "a stream of events cannot be followed");
                self.following.ended(key, now, pause);
                return;
            }
        };
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), key.1.clone());
        let noted = blocking(move || {
            plane.note_stream(&tenant, &id, |state| match &failed {
                Some(reason) => {
                    if state.failing.is_none() {
                        tracing::warn!(
                            tenant = %tenant.id(), signal = %id, code = reason.code(),
                            "a stream of events cannot be followed: {}", reason.sentence()
                        );
                    }
                    state.failed(now, reason);
                }
                None => state.failing = None,
            })
        });
        drop(noted.await);
        self.following.ended(key, now, pause);
    }

    fn tell_silence(self: &Arc<Self>, tenant: &Arc<Tenant>, id: &SignalId, heartbeat: i64) {
        tracing::warn!(
            tenant = %tenant.id(), signal = %id,
            "nothing was heard of a transmitter for {heartbeat} seconds"
        );
        let now = self.now().unix();
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
        tokio::task::spawn_blocking(move || {
            // It is noted with the next look if it could not be.
            drop(plane.note_stream(&tenant, &id, |state| state.silent = Some(now)));
        });
    }

    /// Sets the stream up if that is due, asks whether anybody is there if that is, and asks for
    /// events; whether there may be more.
    async fn follow_stream(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
    ) -> Result<bool, Refused> {
        let Some(record) = record_of(tenant, SignalKind::Signal, id) else {
            return Ok(false);
        };
        let remote = self.set_up(tenant, id, settings, &record).await?;
        if is_to_be_asked(settings, &state_of(tenant, id), self.now()) {
            self.ask_whether_there(tenant, id, settings, &record, &remote)
                .await?;
        }
        match &remote.poll {
            Some(url) => self.poll(tenant, id, settings, &record, url).await,
            None => Ok(false),
        }
    }

    /// How the stream is set up, as the administrator wants it.
    async fn set_up(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
        record: &SignalRecord,
    ) -> Result<Remote, Refused> {
        let known = state_of(tenant, id).remote;
        if let Some(remote) = known
            .as_ref()
            .filter(|remote| remote.wanted == record.document)
        {
            return Ok(remote.clone());
        }
        let caller = Caller::of(self, tenant, settings, record)?;
        let (management, verification) = caller.discover().await?;
        let known = known.filter(|remote| remote.management == management);
        let mut wanted = self.wanted(tenant, id, settings);
        let method = match known {
            Some(remote) => {
                wanted.insert("stream_id".to_owned(), remote.stream.into());
                Method::PATCH
            }
            None => Method::POST,
        };
        let wanted = Value::Object(wanted);
        let mut stream = caller.json(method, &management, Some(&wanted)).await?;
        let name = text(&mut stream, "stream_id");
        let remote = Remote {
            stream: name.ok_or_else(|| caller.malformed("a stream has no `stream_id`"))?,
            poll: match settings.delivery {
                Delivery::Poll => {
                    let endpoint = stream
                        .get("delivery")
                        .and_then(|one| one.get("endpoint_url"));
                    let endpoint = endpoint.and_then(Value::as_str).map(str::to_owned);
                    Some(endpoint.ok_or_else(|| {
                        caller.malformed("a stream says no address to ask for events")
                    })?)
                }
                Delivery::Manual | Delivery::Push => None,
            },
            management,
            verification,
            wanted: record.document.clone(),
        };
        for url in [
            Some(&remote.management),
            remote.verification.as_ref(),
            remote.poll.as_ref(),
        ] {
            caller.check_host(url.map_or("", String::as_str))?;
        }
        let noted = remote.clone();
        self.note(tenant, id, move |state| state.remote = Some(noted.clone()))
            .await?;
        Ok(remote)
    }

    /// What the transmitter is asked for (SSF 1.0 8.1.1).
    fn wanted(&self, tenant: &Tenant, id: &SignalId, settings: &Settings) -> Map<String, Value> {
        let here = format!("{}/events", self.issuer_of(tenant.id()));
        let method = settings.delivery.method();
        let delivery = match settings.delivery {
            Delivery::Push => json!({ "method": method, "endpoint_url": here }),
            Delivery::Manual | Delivery::Poll => json!({ "method": method }),
        };
        let description = format!("Avouch, {id} of {}", tenant.id());
        Map::from_iter([
            ("delivery".to_owned(), delivery),
            (
                "events_requested".to_owned(),
                settings.events.clone().into(),
            ),
            ("description".to_owned(), description.into()),
        ])
    }

    async fn ask_whether_there(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
        record: &SignalRecord,
        remote: &Remote,
    ) -> Result<(), Refused> {
        let Some(url) = &remote.verification else {
            return Ok(());
        };
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        let state = hex(&bytes);
        let asked = Asked {
            at: self.now().unix(),
            state: state.clone(),
        };
        // Before it is asked, since it may answer before the call returns.
        self.note(tenant, id, move |known| known.asked = Some(asked.clone()))
            .await?;
        let caller = Caller::of(self, tenant, settings, record)?;
        let question = json!({ "stream_id": remote.stream, "state": state });
        caller.call(Method::POST, url, Some(&question)).await?;
        Ok(())
    }

    /// Asks for events, takes them, and acknowledges those that were taken before (RFC 8936 2.4).
    async fn poll(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
        record: &SignalRecord,
        url: &str,
    ) -> Result<bool, Refused> {
        let caller = Caller::of(self, tenant, settings, record)?;
        let state = state_of(tenant, id);
        let refused: Map<String, Value> = state
            .refused
            .iter()
            .map(|(id, word, why)| (id.clone(), json!({ "err": word, "description": why })))
            .collect();
        let has_to_say = !state.unacknowledged.is_empty() || !refused.is_empty();
        let question = json!({
            "maxEvents": EVENTS, "returnImmediately": has_to_say, "ack": state.unacknowledged,
            "setErrs": refused,
        });
        let answer = caller.json(Method::POST, url, Some(&question)).await?;
        let sets: Vec<(String, String)> = match answer.get("sets") {
            Some(Value::Object(sets)) => sets
                .iter()
                .take(EVENTS)
                .filter_map(|(id, set)| Some((id.clone(), set.as_str()?.to_owned())))
                .collect(),
            Some(_) => return Err(caller.malformed("its `sets` is no object").into()),
            None => Vec::new(),
        };
        let more = answer.get("moreAvailable").and_then(Value::as_bool);
        let is_busy = !sets.is_empty() || more == Some(true) || has_to_say;
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
        blocking(move || plane.take_polled(&tenant, &id, &state, sets)).await?;
        Ok(is_busy)
    }

    fn take_polled(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        told: &State,
        sets: Vec<(String, String)>,
    ) -> Result<(), Refused> {
        let now = self.now();
        self.note_stream(tenant, id, |state| {
            // What was said with the question needs not be said again.
            state
                .unacknowledged
                .retain(|id| !told.unacknowledged.contains(id));
            state.refused.retain(|one| !told.refused.contains(one));
            if state.heard.is_some() {
                state.heard_at(now);
            }
        })?;
        let view = || Ok(Arc::new(views::view(tenant, self.trust_of(tenant)?)));
        for (name, set) in sets {
            match self.receive_by(Way::Polled, tenant, &set, &view) {
                Ok(_) => {}
                // It comes again with a later question.
                Err(Refused::Reason(reason)) if may_come_again(&reason) => {}
                Err(Refused::Reason(reason)) => {
                    let word = word_of(&reason).to_owned();
                    let why = description_of(&reason);
                    self.note_stream(tenant, id, |state| {
                        state.refuse_later((name.clone(), word.clone(), why.clone()));
                    })?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    async fn note(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        note: impl Fn(&mut State) + Send + 'static,
    ) -> Result<(), Refused> {
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
        blocking(move || plane.note_stream(&tenant, &id, note)).await
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        Some(_) | None => None,
    }
}

/// Whether something is to be done at the transmitter now.
fn is_due(settings: &Settings, record: &SignalRecord, state: &State, now: Time) -> bool {
    let is_set_up = |remote: &Remote| remote.wanted == record.document;
    match settings.delivery {
        Delivery::Manual => false,
        Delivery::Poll => true,
        Delivery::Push => {
            !state.remote.as_ref().is_some_and(is_set_up) || is_to_be_asked(settings, state, now)
        }
    }
}

/// Whether the transmitter is to be asked whether it is there: when it has been silent for half as
/// long as it may be, and was not asked since.
fn is_to_be_asked(settings: &Settings, state: &State, now: Time) -> bool {
    let half = settings.heartbeat / 2;
    let is_over = |at: Option<i64>| at.is_none_or(|at| now.unix() - at >= half);
    is_over(state.heard) && is_over(state.asked.as_ref().map(|asked| asked.at))
}

/// Calls one transmitter.
struct Caller<'a> {
    plane: &'a Arc<Plane>,
    tenant: &'a Arc<Tenant>,
    settings: &'a Settings,
    credential: Zeroizing<String>,
}

impl<'a> Caller<'a> {
    /// With what the administrator has given for it; or else as the server of the tenant, by a
    /// JWT-SVID for this transmitter and nobody else.
    fn of(
        plane: &'a Arc<Plane>,
        tenant: &'a Arc<Tenant>,
        settings: &'a Settings,
        record: &SignalRecord,
    ) -> Result<Self, Refused> {
        let credential = match &record.secret {
            Some(sealed) => {
                let owner = SecretOf::Signal(&record.key.id);
                let secret = tenant.keys.sealing().open(owner, sealed)?;
                let text = String::from_utf8(secret.to_vec());
                Zeroizing::new(
                    text.map_err(|_| Fault::Stored("a credential is no text".to_owned()))?,
                )
            }
            None => {
                let domain = tenant.require_trust_domain()?;
                let server = reserved(&domain, "server")?;
                let audience = vec![settings.issuer.clone()];
                Zeroizing::new(plane.sign_jwt(tenant, server, audience, None)?.token)
            }
        };
        Ok(Self {
            plane,
            tenant,
            settings,
            credential,
        })
    }

    /// Where streams are managed, and where it is asked whether anybody is there.
    async fn discover(&self) -> Result<(String, Option<String>), Refused> {
        let url = &self.settings.configuration;
        let mut configuration = self.json(Method::GET, url, None).await?;
        let found = text(&mut configuration, "issuer").unwrap_or_default();
        if found != self.settings.issuer {
            return Err(Reason::FetchDiscoveryIssuer {
                url: url.clone(),
                configured: self.settings.issuer.clone(),
                found: found.chars().take(256).collect(),
            }
            .into());
        }
        let management = text(&mut configuration, "configuration_endpoint");
        let management =
            management.ok_or_else(|| self.malformed("it has no `configuration_endpoint`"))?;
        Ok((
            management,
            text(&mut configuration, "verification_endpoint"),
        ))
    }

    /// The credential goes to the host that the administrator has named, and to no other.
    fn check_host(&self, url: &str) -> Result<(), Reason> {
        if url.is_empty() {
            return Ok(());
        }
        let configured = Target::parse(&self.settings.configuration)?;
        if Target::parse(url)?.authority() == configured.authority() {
            return Ok(());
        }
        Err(Reason::FetchUrl {
            url: url.chars().take(256).collect(),
            detail: "it is at another host than the configuration of the transmitter",
        })
    }

    async fn json(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Map<String, Value>, Refused> {
        let fetched = self.call(method, url, body).await?;
        let text = std::str::from_utf8(fetched.body());
        let text = text.map_err(|_| self.malformed("it is not UTF-8"))?;
        match Members::read(Document::Request("answer"), text) {
            Ok(members) => Ok(members.rest()),
            Err(Reason::IssueBodyMalformed { detail, .. }) => Err(self.malformed(&detail).into()),
            Err(other) => Err(other.into()),
        }
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Fetched, Refused> {
        self.check_host(url)?;
        let limits = Limits {
            first_byte: LONGEST_POLL + Duration::from_secs(5),
            whole: LONGEST_POLL + Duration::from_secs(10),
            body: 2 << 20,
            ..Limits::default()
        };
        let trust = match self.settings.ca.as_slice() {
            [] => Trust::System,
            more => Trust::SystemAnd(more.to_vec()),
        };
        let request = match body {
            None => Request::get(url)?,
            Some(body) => Request::post(url, "application/json", body.to_string().into_bytes())?,
        };
        let request = request
            .by(method)
            .header(ACCEPT, "application/json")
            .header(
                AUTHORIZATION,
                &format!("Bearer {}", self.credential.as_str()),
            )
            .trusting(trust)
            .within(limits);
        let fetched = self
            .plane
            .fetcher()
            .fetch(self.tenant.id(), &request)
            .await?;
        match fetched.status() {
            200..=204 => Ok(fetched),
            status => Err(Reason::FetchStatus {
                url: url.chars().take(256).collect(),
                status: u32::from(status),
            }
            .into()),
        }
    }

    fn malformed(&self, detail: &str) -> Reason {
        Reason::FetchDiscoveryMalformed {
            url: self.settings.configuration.clone(),
            detail: detail.to_owned(),
        }
    }
}
