//! Takes an event: found out whose stream it is of, judged by the core, and carried out as one
//! change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::budget::{Budget, Limits};
use avouch_core::crypto::AwsLc;
use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_core::signal::{AGE_MAX, Event, Kind, Place, Set, Stream, StreamStatus};
use avouch_core::time::Time;
use avouch_core::view::View;
use avouch_issuer::random::Random;
use avouch_store::{AttemptId, SignalId, SignalKind, SingleUse, UseKind, Used};

use super::ending::ToEnd;
use super::settings::Settings;
use super::state::{Noted, State};
use super::{put, record_of, records_of};
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What this server remembers of streams beside what is stored.
#[derive(Default)]
pub(crate) struct Receiving {
    rates: Mutex<BTreeMap<(TenantId, SignalId), (i64, u32)>>,
}

impl Receiving {
    /// Whether a stream may end one more; if so, it has.
    fn may_end(&self, tenant: &TenantId, id: &SignalId, most: u32, now: Time) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.unix() / 60;
        let rate = rates.entry((tenant.clone(), id.clone())).or_default();
        if rate.0 != minute {
            *rate = (minute, 0);
        }
        rate.1 = rate.1.saturating_add(1);
        rate.1 <= most
    }
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something ended, or was closed or opened.
    Done,
    /// It was noted, and did nothing.
    Noted,
    /// It had come before.
    Repeated,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Noted => "noted",
            Self::Repeated => "repeated",
        }
    }
}

/// Whether the same event may be taken later: nothing is wrong with it that will stay so.
pub(crate) fn may_come_again(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::IssueConflict { .. } | Reason::IssueEventsExcess { .. } | Reason::KeysStale { .. }
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
        let received = self.receive(tenant, token, view);
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
        tenant: &Arc<Tenant>,
        token: &str,
        view: &dyn Fn() -> Result<Arc<View>, Refused>,
    ) -> Result<Outcome, Refused> {
        let set = Set::read(token, &Limits::default())?;
        let mut last = Reason::IssueEventIssuer {
            issuer: set.issuer().chars().take(256).collect(),
        };
        for (id, settings) in self.streams_of(tenant, set.issuer())? {
            match self.judge(tenant, &set, &settings, view) {
                Ok(event) => return self.take(tenant, &id, &settings, &event),
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
        self.fetch_keys_of(tenant, vec![missing]);
        match judged(view()?.as_ref()) {
            // What is not known after a fetch is a key of nobody.
            Err(Reason::KeyUnknown { key, .. }) => Err(Reason::IssueEventKey {
                issuer,
                detail: format!("it has no key `{key}`"),
            }
            .into()),
            judged => Ok(judged?),
        }
    }

    /// Carries an event out, and notes it. What it does is done before its number is used up: if this
    /// process dies in between, it is done again, which changes nothing.
    fn take(
        &self,
        tenant: &Arc<Tenant>,
        id: &SignalId,
        settings: &Settings,
        event: &Event,
    ) -> Result<Outcome, Refused> {
        self.check_answer(tenant, id, settings, event)?;
        let word = Kind::word(&event.name);
        let subject = event.subject.as_ref();
        let outcome = match (event.kind.turn(), subject) {
            (Some(turn), Some(subject)) => {
                let most = settings.most_a_minute;
                if !self.receiving.may_end(tenant.id(), id, most, self.now()) {
                    return Err(Reason::IssueEventsExcess {
                        stream: id.to_string(),
                        most,
                    }
                    .into());
                }
                let ending = ToEnd {
                    marks: &subject.marks,
                    name: &subject.name,
                    turn,
                    at: event.at,
                    event: word,
                    by: &settings.issuer,
                };
                self.end(tenant, &ending, |_| Ok(Vec::new()))?;
                Outcome::Done
            }
            (Some(_) | None, _) => Outcome::Noted,
        };
        let outcome = match self.use_up(tenant, event)? {
            true => outcome,
            false => Outcome::Repeated,
        };
        self.note_event(tenant, id, event, outcome)?;
        let name = subject.map_or("", |subject| subject.name.as_str());
        tracing::info!(
            tenant = %tenant.id(), signal = %id, event = word, subject = name,
            outcome = outcome.name(), "an event was taken"
        );
        Ok(outcome)
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
        let used = self.store.use_once(
            tenant.id(),
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
        self.note_stream(tenant, id, |state| {
            match outcome {
                Outcome::Done => state.ended += 1,
                Outcome::Noted => state.noted += 1,
                Outcome::Repeated => state.repeated += 1,
            }
            state.acknowledge_later(&event.id);
            if let (Kind::Stream { status, why }, false) =
                (&event.kind, outcome == Outcome::Repeated)
            {
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

pub(super) fn state_of(tenant: &Tenant, id: &SignalId) -> State {
    let record = record_of(tenant, SignalKind::SignalState, id);
    State::read(record.map(|record| record.document).as_deref())
}
