//! Takes an event: found out whose stream it is of, judged by the core, and carried out as one
//! change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::budget::{Budget, Limits};
use avouch_core::crypto::AwsLc;
use avouch_core::ended::{Speaker, Turn};
use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_core::signal::{AGE_MAX, Event, Kind, Place, Set, Stream, StreamStatus};
use avouch_core::time::Time;
use avouch_core::view::View;
use avouch_issuer::random::Random;
use avouch_store::{AttemptId, SignalId, SignalKind, SingleUse, UseKind, Used};

use super::ending::{Share, ToEnd};
use super::settings::Settings;
use super::state::{Noted, State, state_of};
use super::streams::check_speaks_of_one;
use super::{put, record_of, records_of};
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What this server remembers of streams beside what is stored.
#[derive(Default)]
pub(crate) struct Receiving(Mutex<BTreeMap<(TenantId, SignalId), Came>>);

/// What came of a stream.
#[derive(Default)]
struct Came {
    /// How much it has ended in this minute.
    minute: i64,
    ended: u32,
    /// How many events came again, as far as that is not stored.
    repeated: u64,
}

impl Receiving {
    /// Forgets the streams of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, _), _| of != tenant);
    }

    fn of<T>(&self, tenant: &TenantId, id: &SignalId, look: impl FnOnce(&mut Came) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.entry((tenant.clone(), id.clone())).or_default())
    }

    /// Whether a stream may end one more; if so, it has.
    fn may_end(&self, tenant: &TenantId, id: &SignalId, most: u32, now: Time) -> bool {
        let minute = now.unix() / 60;
        self.of(tenant, id, |came| {
            if came.minute != minute {
                (came.minute, came.ended) = (minute, 0);
            }
            let may = came.ended < most;
            came.ended += u32::from(may);
            may
        })
    }

    /// How many events of a stream came again, as far as that is not stored.
    pub(super) fn repeated(&self, tenant: &TenantId, id: &SignalId) -> u64 {
        self.of(tenant, id, |came| came.repeated)
    }

    fn take_repeated(&self, tenant: &TenantId, id: &SignalId) -> u64 {
        self.of(tenant, id, |came| std::mem::take(&mut came.repeated))
    }

    fn came_again(&self, tenant: &TenantId, id: &SignalId) {
        self.of(tenant, id, |came| came.repeated += 1);
    }
}

/// How events come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// They are sent here, by whoever has one.
    Pushed,
    /// They were asked for, and each is acknowledged.
    Polled,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something ended, or was closed or opened.
    Done,
    /// It would have opened what an administrator keeps closed.
    Kept,
    /// It was noted, and did nothing.
    Noted,
    /// It had come before.
    Repeated,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Kept => "kept_closed",
            Self::Noted => "noted",
            Self::Repeated => "repeated",
        }
    }
}

/// Whether the same event may be taken later: nothing is wrong with it that will stay so.
pub(crate) fn may_come_again(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::IssueConflict { .. }
            | Reason::IssueEndingsExcess { .. }
            | Reason::IssueEventsExcess { .. }
            | Reason::IssueKeyAwaited { .. }
            | Reason::IssuerQuarantined { .. }
            | Reason::KeysStale { .. }
    )
}

impl Plane {
    /// Takes an event that someone has sent. It returns when what it does is durable and holds here.
    /// `view` makes the view of the tenant.
    ///
    /// # Errors
    ///
    /// `issue.event_*`, why it cannot be read or believed, or what failed on our side.
    pub(crate) fn receive_event(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        token: &str,
        view: &dyn Fn() -> Result<Arc<View>, Refused>,
    ) -> Result<Outcome, Refused> {
        self.receive_by(Way::Pushed, tenant, token, view)
    }

    /// As [`Plane::receive_event`], in whichever way it came.
    pub(super) fn receive_by(
        self: &Arc<Self>,
        way: Way,
        tenant: &Arc<Tenant>,
        token: &str,
        view: &dyn Fn() -> Result<Arc<View>, Refused>,
    ) -> Result<Outcome, Refused> {
        let received = self.receive(way, tenant, token, view);
        if let Err(Refused::Reason(reason)) = &received {
            self.counters.refused(reason.code());
            tracing::warn!(
                tenant = %tenant.id(), code = reason.code(),
                "an event was not taken: {}", reason.sentence()
            );
        }
        received
    }

    fn receive(
        self: &Arc<Self>,
        way: Way,
        tenant: &Arc<Tenant>,
        token: &str,
        view: &dyn Fn() -> Result<Arc<View>, Refused>,
    ) -> Result<Outcome, Refused> {
        let set = Set::read(token, &Limits::default())?;
        let mut last = Reason::IssueEventIssuer {
            issuer: set.issuer().chars().take(256).collect(),
        };
        for (id, settings) in self.streams_of(tenant, set.issuer())? {
            // What was put before other clusters took the same name speaks of none of them.
            if let Err(reason) = check_speaks_of_one(tenant, &settings) {
                tracing::warn!(
                    tenant = %tenant.id(), signal = %id, code = reason.code(),
                    "a stream is not heard: {}", reason.sentence()
                );
                continue;
            }
            match self.judge(tenant, &set, &settings, view) {
                Ok(event) => return self.take(way, tenant, &id, &settings, &event),
                Err(Refused::Reason(reason)) => last = *reason,
                Err(fault) => return Err(fault),
            }
        }
        Err(last.into())
    }

    /// The streams of a transmitter.
    fn streams_of(
        &self,
        tenant: &Tenant,
        issuer: &str,
    ) -> Result<Vec<(SignalId, Settings)>, Refused> {
        let usual = self.issuer_of(tenant.id());
        let mut streams = Vec::new();
        for record in records_of(tenant, SignalKind::Signal) {
            let settings = Settings::stored(&record, &usual)?;
            if settings.issuer == issuer {
                streams.push((record.key.id, settings));
            }
        }
        Ok(streams)
    }

    /// Asks the core; once more where keys had to be fetched first.
    fn judge(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        set: &Set<'_>,
        settings: &Settings,
        view: &dyn Fn() -> Result<Arc<View>, Refused>,
    ) -> Result<Event, Refused> {
        let judged = |view: &View| {
            let place = Place {
                view,
                now: self.now(),
                crypto: &AwsLc,
            };
            let stream = Stream {
                issuer: &settings.issuer,
                of: &settings.of,
                audiences: &settings.audiences,
                keys: settings.keys.as_ref(),
            };
            set.judge(stream, place, &mut Budget::default())
        };
        let missing = match judged(view()?.as_ref()) {
            Ok(event) => return Ok(event),
            Err(Reason::KeyUnknown { key, issuer, .. }) => (issuer, Some(key)),
            Err(Reason::KeysStale { issuer, .. }) => (issuer, None),
            Err(reason) => return Err(reason.into()),
        };
        let issuer = missing.0.clone();
        let looked = self.fetch_keys_of(tenant, vec![missing]);
        match judged(view()?.as_ref()) {
            // Whoever makes names of keys up must not have an event refused for good that is signed
            // with a key nobody has looked for yet.
            Err(Reason::KeyUnknown { key, .. }) => match looked.again(self.now()) {
                Some(seconds) => Err(Reason::IssueKeyAwaited {
                    key,
                    issuer,
                    seconds,
                }
                .into()),
                // What is not known after a fetch is a key of nobody.
                None => Err(Reason::IssueEventKey {
                    issuer,
                    detail: format!("it has no key `{key}`"),
                }
                .into()),
            },
            judged => Ok(judged?),
        }
    }

    /// Carries an event out, and notes it. What it does is done before its number is used up: if this
    /// process dies in between, it is done again, which changes nothing.
    fn take(
        &self,
        way: Way,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
        event: &Event,
    ) -> Result<Outcome, Refused> {
        let used = self
            .store
            .used(tenant.id(), UseKind::Token, &event.use_digest)?;
        if used.is_some() {
            return self.take_again(way, tenant, id, event);
        }
        self.check_answer(tenant, id, settings, event)?;
        let outcome = self.carry_out(tenant, id, settings, event)?;
        if !self.use_up(tenant, event)? {
            return self.take_again(way, tenant, id, event);
        }
        self.note_event(tenant, id, event, outcome)?;
        let subject = event.subject.as_ref();
        let name = subject.map_or("", |subject| subject.name.as_str());
        tracing::info!(
            tenant = %tenant.id(), signal = %id, event = Kind::word(&event.name), subject = name,
            outcome = outcome.name(), "an event was taken"
        );
        Ok(outcome)
    }

    /// Takes an event that came before, which has done what it does. Anyone may have kept it, so it
    /// says nothing of whether its transmitter is there, counts for no bound, and is not written down;
    /// only who was asked for events is told again that it is taken.
    fn take_again(
        &self,
        way: Way,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        event: &Event,
    ) -> Result<Outcome, Refused> {
        self.receiving.came_again(tenant.id(), id);
        if way == Way::Polled {
            self.note_stream(tenant, id, |state| state.acknowledge_later(&event.id))?;
        }
        Ok(Outcome::Repeated)
    }

    /// Does what an event does.
    fn carry_out(
        &self,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
        event: &Event,
    ) -> Result<Outcome, Refused> {
        let (Some(turn), Some(subject)) = (event.kind.turn(), event.subject.as_ref()) else {
            return Ok(Outcome::Noted);
        };
        let most = settings.most_a_minute;
        if !self.receiving.may_end(tenant.id(), id, most, self.now()) {
            return Err(Reason::IssueEventsExcess {
                stream: id.to_string(),
                most,
            }
            .into());
        }
        let share = Share {
            stream: id,
            most: settings.most_ended,
            subject: None,
        };
        let ending = ToEnd {
            marks: &subject.marks,
            name: &subject.name,
            turn,
            at: event.at,
            event: Kind::word(&event.name),
            by: &settings.issuer,
            stream: Some(&share),
            kept: None,
        };
        self.end(tenant, &ending, |_| Ok(Vec::new()))?;
        if turn != Turn::Opened {
            return Ok(Outcome::Done);
        }
        let endings = Arc::clone(&tenant.held().endings);
        let mut closed = subject.marks.iter().filter_map(|mark| endings.of(*mark));
        let is_kept = closed.any(|ending| ending.closed_by() == Some(Speaker::Administrator));
        if is_kept {
            tracing::warn!(
                tenant = %tenant.id(), signal = %id, subject = subject.name,
                "a transmitter has opened what an administrator has closed; it stays closed"
            );
            return Ok(Outcome::Kept);
        }
        Ok(Outcome::Done)
    }

    /// A transmitter that was asked whether it is there answers what it was asked with; one that was
    /// not may say so by itself (SSF 1.0 8.1.4.1).
    fn check_answer(
        &self,
        tenant: &Tenant,
        id: &SignalId,
        settings: &Settings,
        event: &Event,
    ) -> Result<(), Reason> {
        let Kind::Verification { state: Some(told) } = &event.kind else {
            return Ok(());
        };
        let asked = state_of(tenant, id).asked;
        match asked {
            Some(asked) if asked.state == *told => Ok(()),
            Some(_) | None => Err(Reason::IssueEventState {
                issuer: settings.issuer.clone(),
            }),
        }
    }

    /// Whether this is the first time that the event came.
    fn use_up(&self, tenant: &Tenant, event: &Event) -> Result<bool, Refused> {
        let mut attempt = [0; 16];
        self.random.fill(&mut attempt)?;
        let used = self.use_once(
            tenant,
            &[SingleUse {
                kind: UseKind::Token,
                digest: event.use_digest,
                attempt: AttemptId::from_bytes(attempt),
                at: self.now(),
                until: event.issued.plus(AGE_MAX),
            }],
        )?;
        Ok(matches!(used.first(), Some(Used::First)))
    }

    fn note_event(
        &self,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        event: &Event,
        outcome: Outcome,
    ) -> Result<(), Refused> {
        let now = self.now();
        let repeated = self.receiving.take_repeated(tenant.id(), id);
        self.note_stream(tenant, id, |state| {
            match outcome {
                Outcome::Done => state.ended += 1,
                Outcome::Kept | Outcome::Noted => state.noted += 1,
                Outcome::Repeated => {}
            }
            state.repeated += repeated;
            state.acknowledge_later(&event.id);
            // One that someone has held back says nothing of how it is now.
            state.heard_at(event.issued.min(now));
            if let Kind::Stream { status, why } = &event.kind {
                state.status = Some(status.name().to_owned());
                state.why.clone_from(why);
                if *status != StreamStatus::Enabled {
                    tracing::warn!(
                        tenant = %tenant.id(), signal = %id, status = status.name(),
                        why = why.as_deref().unwrap_or("(it does not say)"),
                        "a transmitter sends no events any more"
                    );
                }
            }
            state.note(Noted {
                at: now.unix(),
                event: event.name.clone(),
                subject: event.subject.as_ref().map(|subject| subject.name.clone()),
                outcome: outcome.name().to_owned(),
                id: event.id.clone(),
            });
        })
    }

    /// Changes what is known of a stream.
    pub(super) fn note_stream(
        &self,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        mut note: impl FnMut(&mut State),
    ) -> Result<(), Refused> {
        self.change_signals(tenant, || {
            if record_of(tenant, SignalKind::Signal, id).is_none() {
                return Ok(Vec::new());
            }
            let before = state_of(tenant, id);
            let mut after = before.clone();
            note(&mut after);
            if after == before {
                return Ok(Vec::new());
            }
            Ok(vec![put(SignalKind::SignalState, id, after.to_text())])
        })?;
        Ok(())
    }
}
