//! Those whom a tenant tells of what ended: who may ask for it, and what they asked for
//! (SSF 1.0 8.1).

use std::sync::Arc;

use avouch_api::members::{Document, Members};
use avouch_core::id::{SpiffeId, hex};
use avouch_core::reason::Reason;
use avouch_core::signal::StreamStatus;
use avouch_core::time::Time;
use avouch_issuer::random::Random;
use avouch_store::keyring::{Sealed, SecretOf};
use avouch_store::{Change, Object, SignalId, SignalKind, SignalRecord};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::notices::{Notice, SENT, notices_of};
use super::settings::document_of;
use super::{key_of, named, new_name, record_of, records_of, remove};
use crate::caller::Caller;
use crate::failing::Failing;
use crate::fault::{Fault, Refused, unknown};
use crate::fetch::{Target, certificates};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// Events are pushed (RFC 8935), or asked for (RFC 8936).
pub(super) const PUSH: &str = "urn:ietf:rfc:8935";
pub(super) const POLL: &str = "urn:ietf:rfc:8936";

/// That a receiver asked whether anybody is there.
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// How far the clocks of servers may be apart that share a store, in seconds: what is older has been
/// seen by all.
const MARGIN: i64 = 120;

/// The most subjects that a receiver may not want to hear of.
const MOST_SUBJECTS: usize = 1_000;

/// The most questions whether anybody is there that wait for their answer.
const MOST_QUESTIONS: usize = 16;

/// A receiver as an administrator wants it.
#[derive(Clone, Debug)]
pub(super) struct ReceiverSettings {
    /// Who calls as it.
    pub(super) subject: SpiffeId,
    /// What it is called in events.
    pub(super) audience: String,
    /// The events that it may have.
    pub(super) events: Vec<String>,
    /// What its TLS certificate may end at besides the trust store of the system.
    pub(super) ca: Vec<CertificateDer<'static>>,
}

impl ReceiverSettings {
    fn read(text: &str) -> Result<Self, Reason> {
        let mut members = Members::read(Document::Request("receiver"), text)?;
        let subject = members.required_text("subject")?;
        let subject = SpiffeId::parse(&subject)?;
        let audience = members.required_text("audience")?;
        if audience.is_empty() {
            return Err(members.refuse("audience", "is empty"));
        }
        let events = members.texts("events")?;
        if let Some(unknown) = events.iter().find(|name| !SENT.contains(&name.as_str())) {
            let detail = format!("names {unknown}; sent are {}", SENT.join(", "));
            return Err(members.refuse("events", &detail));
        }
        let ca = match members.text("ca")? {
            Some(pem) => certificates(&pem)?,
            None => Vec::new(),
        };
        for name in ["owner", "reason"] {
            members.text(name)?;
        }
        members.finish()?;
        Ok(Self {
            ca,
            subject,
            audience,
            events: match events.is_empty() {
                true => SENT.map(str::to_owned).to_vec(),
                false => events,
            },
        })
    }

    pub(super) fn stored(record: &SignalRecord) -> Result<Self, Fault> {
        let damaged = || Fault::Stored(format!("the receiver {} cannot be read", record.key.id));
        Self::read(&record.document).map_err(|_| damaged())
    }
}

/// A receiver, as someone calls or is called: who has its name by now may be someone else.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(super) id: SignalId,
    pub(super) subject: SpiffeId,
}

/// What is known of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ReceiverState {
    pub(super) stream: Option<Stream>,
    /// How the stream goes on, and why.
    pub(super) status: String,
    pub(super) why: Option<String>,
    /// Subjects that it does not want to hear of.
    removed: Vec<Value>,
    /// Everything before this was told, and of what came since, these.
    through: i64,
    told: Vec<String>,
    /// What it asked whether anybody is there with.
    questions: Vec<Question>,
    pub(super) failing: Option<Failing>,
    pub(super) sent: u64,
    pub(super) refused: u64,
}

/// What a receiver asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) url: Option<String>,
    pub(super) requested: Vec<String>,
    pub(super) description: Option<String>,
    pub(super) created: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Question {
    id: String,
    state: Option<String>,
    at: i64,
}

impl ReceiverState {
    pub(super) fn read(text: Option<&str>) -> Self {
        let read = text.and_then(|text| serde_json::from_str(text).ok());
        read.unwrap_or_default()
    }

    /// What is still to be told, the earliest first: answers to its questions, and notices.
    pub(super) fn pending(
        &self,
        settings: &ReceiverSettings,
        notices: &[Notice],
        about: &SpiffeId,
    ) -> Vec<Notice> {
        let Some(stream) = self.stream.as_ref().filter(|_| self.status == "enabled") else {
            return Vec::new();
        };
        let wants = |name: &String| {
            settings.events.contains(name)
                && (stream.requested.is_empty() || stream.requested.contains(name))
        };
        let is_new = |notice: &&Notice| {
            let at = notice.at.unix();
            at >= stream.created
                && at >= self.through
                && wants(&notice.name)
                && !self.told.iter().any(|id| id == notice.id.as_str())
                && !self.removed.contains(&notice.subject)
        };
        let answers = self.questions.iter().filter_map(|question| {
            let mut said = Map::new();
            if let Some(state) = &question.state {
                said.insert("state".to_owned(), state.as_str().into());
            }
            Some(Notice {
                id: SignalId::parse(&question.id)?,
                at: Time::from_unix(question.at),
                about: about.clone(),
                subject: json!({ "format": "opaque", "id": stream.id }),
                name: VERIFICATION.to_owned(),
                said,
            })
        });
        answers
            .chain(notices.iter().filter(is_new).cloned())
            .collect()
    }

    /// These were taken. What all servers have seen for long is forgotten one by one.
    pub(super) fn taken(&mut self, ids: &[String], notices: &[Notice], now: Time) {
        self.questions
            .retain(|question| !ids.contains(&question.id));
        let is_notice = |id: &&String| notices.iter().any(|notice| notice.id.as_str() == *id);
        for id in ids.iter().filter(is_notice) {
            if !self.told.contains(id) {
                self.told.push(id.clone());
            }
        }
        let settled = now.unix() - MARGIN;
        let created = self.stream.as_ref().map_or(0, |stream| stream.created);
        let open = notices.iter().filter(|notice| {
            let at = notice.at.unix();
            at >= self.through.max(created) && !self.told.iter().any(|id| id == notice.id.as_str())
        });
        let first_open = open.map(|notice| notice.at.unix()).min();
        let through = first_open.map_or(settled, |at| at.min(settled));
        self.through = self.through.max(through);
        let through = self.through;
        self.told.retain(|id| {
            let notice = notices.iter().find(|notice| notice.id.as_str() == id);
            notice.is_some_and(|notice| notice.at.unix() >= through)
        });
    }
}

impl Plane {
    /// Lets someone ask for events of the tenant, in the place of who had this name.
    pub(crate) fn put_receiver(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        text: &str,
    ) -> Result<SignalId, Refused> {
        let id = new_name("receiver", name)?;
        let settings = ReceiverSettings::read(text)?;
        self.change_signals(tenant, || {
            for other in records_of(tenant, SignalKind::Receiver) {
                let is_same = ReceiverSettings::stored(&other)
                    .is_ok_and(|other| other.subject == settings.subject);
                if other.key.id != id && is_same {
                    return Err(Reason::IssueConflict {
                        detail: format!(
                            "{} is here already, as `{}`",
                            settings.subject, other.key.id
                        ),
                    }
                    .into());
                }
            }
            let before = record_of(tenant, SignalKind::Receiver, &id);
            let before = before.and_then(|record| ReceiverSettings::stored(&record).ok());
            let is_another = |before: &ReceiverSettings| {
                before.subject != settings.subject || before.audience != settings.audience
            };
            let mut changes = vec![super::put(SignalKind::Receiver, &id, text.to_owned())];
            if before.as_ref().is_none_or(is_another) {
                // Where the one before is told things, and with what, is nothing of this one.
                changes.push(remove(SignalKind::ReceiverState, &id));
            }
            Ok(changes)
        })?;
        Ok(id)
    }

    /// Tells someone nothing any more.
    pub(crate) fn remove_receiver(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let id = named(tenant, SignalKind::Receiver, "receiver", name)?;
        let gone = [
            remove(SignalKind::Receiver, &id),
            remove(SignalKind::ReceiverState, &id),
        ];
        self.apply(tenant, &gone)?;
        Ok(())
    }

    pub(crate) fn tell_receivers(&self, tenant: &Tenant) -> Result<Vec<Value>, Refused> {
        let records = records_of(tenant, SignalKind::Receiver);
        records
            .iter()
            .map(|record| self.told_receiver(tenant, record))
            .collect()
    }

    pub(crate) fn tell_receiver(&self, tenant: &Tenant, name: &str) -> Result<Value, Refused> {
        let id = named(tenant, SignalKind::Receiver, "receiver", name)?;
        let record = record_of(tenant, SignalKind::Receiver, &id);
        let record = record.ok_or_else(|| Fault::Bug("a receiver went away".to_owned()))?;
        self.told_receiver(tenant, &record)
    }

    fn told_receiver(&self, tenant: &Tenant, record: &SignalRecord) -> Result<Value, Refused> {
        let settings = ReceiverSettings::stored(record)?;
        let state = receiver_state(tenant, &record.key.id);
        let about = settings.subject.clone();
        let waiting = state.pending(&settings, &notices_of(tenant), &about).len();
        let stream = state.stream.as_ref();
        Ok(json!({
            "name": record.key.id.as_str(),
            "subject": settings.subject.as_str(),
            "audience": settings.audience,
            "state": match (stream, state.failing.is_some()) {
                (None, _) => "none",
                (Some(_), true) => "failing",
                (Some(_), false) => state.status.as_str(),
            },
            "why": state.why,
            "delivery": stream.map(|stream| match stream.method.as_str() {
                PUSH => "push",
                _ => "poll",
            }),
            "url": stream.and_then(|stream| stream.url.as_ref()),
            "waiting": waiting,
            "sent": state.sent,
            "refused": state.refused,
            "failing": state.failing.as_ref().map(Failing::told),
            "document": document_of(record),
        }))
    }

    /// As which receiver someone calls.
    pub(crate) fn receiver_of(
        &self,
        tenant: &Tenant,
        caller: &Caller,
    ) -> Result<Receiver, Refused> {
        for record in records_of(tenant, SignalKind::Receiver) {
            let subject = ReceiverSettings::stored(&record)?.subject;
            if subject == caller.id {
                let id = record.key.id;
                return Ok(Receiver { id, subject });
            }
        }
        Err(Reason::IssueNotPermitted {
            subject: caller.id.to_string(),
            verb: "read",
            noun: "signals",
        }
        .into())
    }

    /// Changes what is known of a receiver; the credential for it stays.
    pub(super) fn note_receiver(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        mut note: impl FnMut(&mut ReceiverState) -> Result<(), Reason>,
    ) -> Result<(), Refused> {
        self.change_receiver(tenant, receiver, |state, _| note(state))
    }

    /// Changes what is known of a receiver and the credential for it, as one change.
    fn change_receiver(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        mut note: impl FnMut(&mut ReceiverState, &mut Option<Sealed>) -> Result<(), Reason>,
    ) -> Result<(), Refused> {
        let id = &receiver.id;
        self.change_signals(tenant, || {
            receiver.settings(tenant)?;
            let record = record_of(tenant, SignalKind::ReceiverState, id);
            let text = record.as_ref().map(|record| record.document.as_str());
            let before = ReceiverState::read(text);
            let secret_before = record.and_then(|record| record.secret);
            let (mut after, mut secret) = (before.clone(), secret_before.clone());
            note(&mut after, &mut secret)?;
            if (&after, &secret) == (&before, &secret_before) {
                return Ok(Vec::new());
            }
            let document = serde_json::to_value(&after).unwrap_or_default().to_string();
            Ok(vec![Change::Put(Object::Signal(SignalRecord {
                key: key_of(SignalKind::ReceiverState, id),
                document,
                ends: None,
                secret,
            }))])
        })?;
        Ok(())
    }

    /// Makes the stream of a receiver (SSF 1.0 8.1.1.1), or changes what it asked for: all of it, or
    /// what is named.
    pub(crate) fn put_stream(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        members: Members,
        step: Step,
    ) -> Result<Value, Refused> {
        let asked = Asked::read(members)?;
        if step != Step::Create && asked.id.is_none() {
            let detail = "`stream_id` is missing".to_owned();
            return Err(Document::Request("stream").refuse(detail).into());
        }
        if step != Step::Create {
            asked.check_said(&self.stream_of(tenant, receiver, asked.id.as_deref())?)?;
        }
        let now = self.now().unix();
        let mut name = [0; 16];
        self.random.fill(&mut name)?;
        let name = hex(&name);
        let authorization = match &asked.authorization {
            Some(text) => {
                let sealing = tenant.keys.sealing();
                Some(sealing.seal(SecretOf::Signal(&receiver.id), text.as_bytes())?)
            }
            None => None,
        };
        // Where it is called and with what is one change: a header for one address never goes to
        // another.
        self.change_receiver(tenant, receiver, |state, secret| {
            let known = state.stream.clone();
            let stream = match (step, known) {
                (Step::Create, Some(_)) => {
                    return Err(Reason::IssueConflict {
                        detail: "the receiver has its stream already".to_owned(),
                    });
                }
                (Step::Create, None) => Stream {
                    id: name.clone(),
                    method: POLL.to_owned(),
                    created: now,
                    ..Stream::default()
                },
                (Step::Replace | Step::Update, None) => return Err(no_stream(asked.id.as_deref())),
                (Step::Replace, Some(known)) => Stream {
                    method: POLL.to_owned(),
                    url: None,
                    requested: Vec::new(),
                    description: None,
                    ..known
                },
                (Step::Update, Some(known)) => known,
            };
            if step != Step::Create && asked.id.as_deref() != Some(stream.id.as_str()) {
                return Err(no_stream(asked.id.as_deref()));
            }
            if step == Step::Create {
                state.status = StreamStatus::Enabled.name().to_owned();
                state.through = now;
            }
            if asked.method.is_some() {
                secret.clone_from(&authorization);
            }
            state.stream = Some(asked.clone().over(stream));
            state.failing = None;
            Ok(())
        })?;
        self.stream_of(tenant, receiver, None)
    }

    /// The stream of a receiver, as it is configured.
    pub(crate) fn stream_of(
        &self,
        tenant: &Tenant,
        receiver: &Receiver,
        name: Option<&str>,
    ) -> Result<Value, Refused> {
        let state = receiver_state(tenant, &receiver.id);
        let stream = state.stream.as_ref();
        let stream = stream.filter(|stream| name.is_none_or(|name| name == stream.id));
        let stream = stream.ok_or_else(|| no_stream(name))?;
        let settings = receiver.settings(tenant)?;
        let delivered = settings
            .events
            .iter()
            .filter(|name| stream.requested.is_empty() || stream.requested.contains(name));
        // Whoever asks for none in particular asks for all (SSF 1.0 8.1.1: what is delivered was requested).
        let requested = match stream.requested.is_empty() {
            true => &settings.events,
            false => &stream.requested,
        };
        let issuer = self.issuer_of(tenant.id());
        let url = match stream.method.as_str() {
            PUSH => stream.url.clone().unwrap_or_default(),
            _ => format!("{issuer}/ssf/poll"),
        };
        let mut told = json!({
            "stream_id": stream.id,
            "iss": issuer,
            "aud": settings.audience,
            "delivery": { "method": stream.method, "endpoint_url": url },
            "events_supported": settings.events,
            "events_requested": requested,
            "events_delivered": delivered.collect::<Vec<_>>(),
        });
        if let (Some(text), Some(members)) = (&stream.description, told.as_object_mut()) {
            members.insert("description".to_owned(), text.as_str().into());
        }
        Ok(told)
    }

    /// Ends the stream of a receiver.
    pub(crate) fn delete_stream(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        name: &str,
    ) -> Result<(), Refused> {
        self.change_receiver(tenant, receiver, |state, secret| {
            check_stream(state, name)?;
            (*state, *secret) = (ReceiverState::default(), None);
            Ok(())
        })
    }

    /// How the stream of a receiver goes on.
    pub(crate) fn status_of(
        &self,
        tenant: &Tenant,
        receiver: &Receiver,
        name: &str,
    ) -> Result<Value, Refused> {
        let state = receiver_state(tenant, &receiver.id);
        check_stream(&state, name)?;
        let mut told = json!({ "stream_id": name, "status": state.status });
        if let (Some(why), Some(members)) = (state.why, told.as_object_mut()) {
            members.insert("reason".to_owned(), why.into());
        }
        Ok(told)
    }

    /// Lets the stream of a receiver go on otherwise. While it is paused what happens is kept; while it
    /// is disabled it is not.
    pub(crate) fn put_status(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        name: &str,
        status: StreamStatus,
        why: Option<&str>,
    ) -> Result<(), Refused> {
        let now = self.now().unix();
        self.note_receiver(tenant, receiver, |state| {
            check_stream(state, name)?;
            if state.status == StreamStatus::Disabled.name() {
                state.through = now;
            }
            state.status = status.name().to_owned();
            state.why = why.map(str::to_owned);
            state.failing = None;
            Ok(())
        })
    }

    /// Has an event sent that says that somebody is here.
    pub(crate) fn ask_verification(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        name: &str,
        said: Option<&str>,
    ) -> Result<(), Refused> {
        let mut random = [0; 16];
        self.random.fill(&mut random)?;
        let number = hex(&random);
        let at = self.now().unix();
        self.note_receiver(tenant, receiver, |state| {
            check_stream(state, name)?;
            if state.questions.len() >= MOST_QUESTIONS {
                return Err(Reason::IssueEventsExcess {
                    stream: name.to_owned(),
                    most: u32::try_from(MOST_QUESTIONS).unwrap_or(u32::MAX),
                });
            }
            state.questions.push(Question {
                id: format!("verify-{number}"),
                state: said.map(str::to_owned),
                at,
            });
            Ok(())
        })?;
        tenant.notices.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Tells a receiver of a subject, or tells it nothing of it any more.
    pub(crate) fn put_subject(
        &self,
        tenant: &Arc<Tenant>,
        receiver: &Receiver,
        name: &str,
        subject: &Value,
        is_told: bool,
    ) -> Result<(), Refused> {
        self.note_receiver(tenant, receiver, |state| {
            check_stream(state, name)?;
            state.removed.retain(|other| other != subject);
            if is_told {
                return Ok(());
            }
            if state.removed.len() >= MOST_SUBJECTS {
                return Err(Reason::IssueEventsExcess {
                    stream: name.to_owned(),
                    most: u32::try_from(MOST_SUBJECTS).unwrap_or(u32::MAX),
                });
            }
            state.removed.push(subject.clone());
            Ok(())
        })
    }
}

impl Receiver {
    /// What an administrator wants of it, if it is still there.
    pub(super) fn settings(&self, tenant: &Tenant) -> Result<ReceiverSettings, Refused> {
        let record = record_of(tenant, SignalKind::Receiver, &self.id);
        let settings = record.as_ref().map(ReceiverSettings::stored).transpose()?;
        let same = settings.filter(|settings| settings.subject == self.subject);
        let gone = || unknown("receiver", self.id.as_str());
        Ok(same.ok_or_else(gone)?)
    }
}

/// What is done with what a receiver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Replace,
    Update,
}

/// What of a stream the transmitter alone says. What was asked for decides what is delivered, so that
/// is not compared.
const SAID: [&str; 5] = [
    "iss",
    "aud",
    "events_supported",
    "min_verification_interval",
    "inactivity_timeout",
];

/// What a receiver asks for.
#[derive(Clone, Default)]
struct Asked {
    /// What it says of what the transmitter alone says.
    said: Vec<(&'static str, Value)>,
    id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    authorization: Option<Zeroizing<String>>,
    requested: Option<Vec<String>>,
    description: Option<String>,
}

impl Asked {
    fn read(mut members: Members) -> Result<Self, Reason> {
        let mut asked = Self {
            id: members.text("stream_id")?,
            description: members.text("description")?,
            ..Self::default()
        };
        if let Some(list) = members.list("events_requested")? {
            let texts = list.into_iter().map(|one| match one {
                Value::String(text) => Ok(text),
                _ => Err(members.refuse("events_requested", "must be a list of strings")),
            });
            asked.requested = Some(texts.collect::<Result<_, _>>()?);
        }
        if let Some(mut delivery) = members.members("delivery")? {
            let methods = [(PUSH, PUSH), (POLL, POLL)];
            let method = delivery.choice("method", &methods)?;
            let method = method.ok_or_else(|| delivery.refuse("method", "is missing"))?;
            let url = delivery.text("endpoint_url")?;
            asked.authorization = delivery.text("authorization_header")?.map(Zeroizing::new);
            delivery.finish()?;
            if method == PUSH {
                let url = url.ok_or_else(|| members.refuse("delivery", "has no `endpoint_url`"))?;
                Target::parse(&url)?;
                asked.url = Some(url);
            }
            asked.method = Some(method.to_owned());
        }
        members.take("events_delivered");
        for name in SAID {
            if let Some(value) = members.take(name) {
                asked.said.push((name, value));
            }
        }
        members.finish()?;
        Ok(asked)
    }

    /// What the transmitter says itself may come back, as it was and not otherwise (SSF 1.0 8.1.1.3,
    /// 8.1.1.4): who changed it and is not refused would believe that it is so.
    fn check_said(&self, is: &Value) -> Result<(), Reason> {
        let other = self
            .said
            .iter()
            .find(|(name, said)| is.get(name) != Some(said));
        match other {
            None => Ok(()),
            Some((name, _)) => Err(Document::Request("stream").refuse(format!(
                "`{name}` is said by the transmitter alone, and is not what it says"
            ))),
        }
    }

    fn over(self, stream: Stream) -> Stream {
        let has_method = self.method.is_some();
        Stream {
            method: self.method.unwrap_or(stream.method),
            url: if has_method { self.url } else { stream.url },
            requested: self.requested.unwrap_or(stream.requested),
            description: self.description.or(stream.description),
            ..Stream {
                id: stream.id,
                created: stream.created,
                ..Stream::default()
            }
        }
    }
}

pub(super) fn receiver_state(tenant: &Tenant, id: &SignalId) -> ReceiverState {
    let record = record_of(tenant, SignalKind::ReceiverState, id);
    ReceiverState::read(record.map(|record| record.document).as_deref())
}

fn check_stream(state: &ReceiverState, name: &str) -> Result<(), Reason> {
    match &state.stream {
        Some(stream) if stream.id == name => Ok(()),
        Some(_) | None => Err(no_stream(Some(name))),
    }
}

fn no_stream(name: Option<&str>) -> Reason {
    unknown("stream", name.unwrap_or("(not named)"))
}
