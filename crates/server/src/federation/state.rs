//! How it goes with each relation, on this server. It is found out anew after a start.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;

use crate::fault::Refused;

/// How many bundles of one tenant are fetched at once.
const MOST_OF_A_TENANT: usize = 4;

/// How it goes with all relations.
#[derive(Default)]
pub(crate) struct States(Mutex<BTreeMap<(TenantId, TrustDomain), State>>);

/// How it goes with one relation.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// When it was asked last.
    pub(crate) tried: Option<Time>,
    /// When it last gave a bundle that was good.
    pub(crate) succeeded: Option<Time>,
    /// When it is asked next.
    pub(crate) next: Option<Time>,
    /// How often it has failed since.
    pub(crate) failures: u32,
    /// Why it failed last, if it did.
    pub(crate) failure: Option<Failure>,
    /// Whether it is being asked now.
    is_asked: bool,
}

/// Why there was no bundle.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) sentence: String,
    pub(crate) hint: String,
}

impl Failure {
    pub(super) fn of(refused: &Refused) -> Self {
        match refused {
            Refused::Reason(reason) => Self::of_reason(reason),
            Refused::Fault(_) => Self {
                code: "server.failed",
                sentence: "The server failed.".to_owned(),
                hint: "The log of the server says why.".to_owned(),
            },
        }
    }

    fn of_reason(reason: &Reason) -> Self {
        Self {
            code: reason.code(),
            sentence: reason.sentence(),
            hint: reason.hint(),
        }
    }
}

impl State {
    /// One word for it, of [`State::WORDS`].
    pub(crate) fn word(&self) -> &'static str {
        match (&self.failure, self.succeeded) {
            (Some(_), _) => "failing",
            (None, Some(_)) => "fetched",
            (None, None) => "waiting",
        }
    }

    pub(crate) const WORDS: [&str; 3] = ["failing", "fetched", "waiting"];
}

impl States {
    /// How it goes with a relation.
    pub(crate) fn of(&self, tenant: &TenantId, name: &TrustDomain) -> State {
        let key = (tenant.clone(), name.clone());
        self.lock().get(&key).cloned().unwrap_or_default()
    }

    /// Those of a tenant that are due, which count as being asked from now on.
    pub(super) fn take_due(
        &self,
        tenant: &TenantId,
        names: Vec<TrustDomain>,
        now: Time,
    ) -> Vec<TrustDomain> {
        let mut states = self.lock();
        let key = |name: &TrustDomain| (tenant.clone(), name.clone());
        let is_asked = |name: &&TrustDomain| states.get(&key(name)).is_some_and(|one| one.is_asked);
        let free = MOST_OF_A_TENANT.saturating_sub(names.iter().filter(is_asked).count());
        let mut due = Vec::new();
        for name in names {
            let state = states.entry(key(&name)).or_default();
            let is_due = state.next.is_none_or(|next| next <= now);
            if is_due && !state.is_asked && due.len() < free {
                state.is_asked = true;
                due.push(name);
            }
        }
        due
    }

    /// What came of asking.
    pub(super) fn note(
        &self,
        tenant: &TenantId,
        name: &TrustDomain,
        now: Time,
        next: Time,
        outcome: Result<(), Failure>,
    ) {
        let mut states = self.lock();
        let state = states.entry((tenant.clone(), name.clone())).or_default();
        state.tried = Some(now);
        state.next = Some(next);
        state.is_asked = false;
        match outcome {
            Ok(()) => {
                state.succeeded = Some(now);
                state.failures = 0;
                state.failure = None;
            }
            Err(failure) => {
                state.failures = state.failures.saturating_add(1);
                state.failure = Some(failure);
            }
        }
    }

    /// Forgets how it went: the relation is another now, or is gone.
    pub(super) fn forget(&self, tenant: &TenantId, name: &TrustDomain) {
        self.lock().remove(&(tenant.clone(), name.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TenantId, TrustDomain), State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
