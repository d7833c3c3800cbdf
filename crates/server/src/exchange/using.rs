//! What a request uses, each once: noted while it is found out who asks, and used in the same commit as
//! what is given for it is put on record.

use std::sync::{Arc, OnceLock};

use avouch_core::exchange::statement::Ancestor;
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::fault::Fault as IssuerFault;
use avouch_issuer::intent::{Intent, Recording, WaitingLog};
use avouch_issuer::random::Random;
use avouch_store::{AttemptId, Fault as StoreFault, IntentRow, SingleUse, UseKind, Used};
use tokio::sync::oneshot;

use super::{CLIENT_ASSERTION, Exchange};
use crate::blocking::blocking;
use crate::fault::{Fault, Refused};
use crate::issuance_log;
use crate::issuing::StoreLog;
use crate::names::Naming;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What is used by a request, each once.
#[derive(Debug, Default)]
pub(super) struct Uses {
    uses: Vec<Use>,
}

#[derive(Debug)]
struct Use {
    kind: UseKind,
    /// What a refusal calls it.
    what: &'static str,
    digest: Digest,
    until: Time,
    /// Whether something is given for it.
    is_presented: bool,
}

impl Uses {
    /// What shows who asks, or proves that a key is had: that is used whatever a rule says.
    pub(super) fn of(&mut self, kind: UseKind, what: &'static str, digest: Digest, until: Time) {
        self.uses.push(Use {
            kind,
            what,
            digest,
            until,
            is_presented: false,
        });
    }

    /// What is presented to have something given for it, which a rule may let be presented again.
    pub(super) fn of_presented(&mut self, what: &'static str, digest: Digest, until: Time) {
        self.uses.push(Use {
            kind: UseKind::Token,
            what,
            digest,
            until,
            is_presented: true,
        });
    }

    /// What is used, as it is stored, for whoever signs nothing for it.
    pub(super) fn to_rows(&self, exchange: &Exchange<'_>) -> Result<Vec<SingleUse>, Fault> {
        let mut attempt = [0; 16];
        exchange.plane.random.fill(&mut attempt)?;
        Ok(self.rows(AttemptId::from_bytes(attempt), exchange.now))
    }

    fn rows(&self, attempt: AttemptId, at: Time) -> Vec<SingleUse> {
        let uses = self.uses.iter();
        uses.map(|one| SingleUse {
            kind: one.kind,
            digest: one.digest,
            attempt,
            at,
            until: one.until,
        })
        .collect()
    }

    /// What had been used before, by what the store has told of each.
    pub(super) fn used_before(&self, told: &[Used]) -> Option<Reason> {
        let uses = self.uses.iter().zip(told);
        let mut before = uses.filter_map(|(one, used)| match used {
            Used::Before { at } => Some((one.what, *at)),
            Used::First => None,
        });
        let first = before.next()?;
        // Who asks comes before what is asked for, also where one token is to be both.
        let of_client = before.find(|(what, _)| *what == CLIENT_ASSERTION);
        let (what, at) = of_client.unwrap_or(first);
        Some(Reason::IssueUsed { what, at })
    }

    /// The subject, and who acts for it, may be presented again; what they prove they prove anew.
    pub(super) fn forget_presented(&mut self) {
        self.uses.retain(|one| !one.is_presented);
    }
}

/// Uses what was presented, records what is to be signed for it, and holds the names of the subject:
/// all of it, or nothing.
pub(super) struct UsingLog {
    plane: Arc<Plane>,
    tenant: Arc<Tenant>,
    uses: Uses,
    naming: Naming,
    lineage: Vec<Ancestor>,
    attempt: AttemptId,
    now: Time,
    refused: OnceLock<Reason>,
}

impl UsingLog {
    pub(super) fn of(
        exchange: &Exchange<'_>,
        uses: Uses,
        lineage: Vec<Ancestor>,
        naming: Naming,
    ) -> Result<Self, Fault> {
        let mut attempt = [0; 16];
        exchange.plane.random.fill(&mut attempt)?;
        Ok(Self {
            plane: Arc::clone(exchange.plane),
            tenant: Arc::clone(exchange.tenant),
            uses,
            naming,
            lineage,
            attempt: AttemptId::from_bytes(attempt),
            now: exchange.now,
            refused: OnceLock::new(),
        })
    }

    /// What it descends from.
    pub(super) fn lineage(&self) -> &[Ancestor] {
        &self.lineage
    }

    /// Under which rule it is given.
    pub(super) fn rule(&self) -> &str {
        &self.naming.rule
    }

    /// Why nothing was recorded, if something had been used before.
    pub(super) fn refused(self) -> Option<Reason> {
        self.refused.into_inner()
    }

    fn rows(&self) -> Vec<SingleUse> {
        self.uses.rows(self.attempt, self.now)
    }
}

impl WaitingLog for UsingLog {
    fn record(&self, intents: Vec<Intent>) -> Recording<'_> {
        Recording::of(self.use_and_record(intents))
    }
}

impl UsingLog {
    async fn use_and_record(&self, intents: Vec<Intent>) -> Result<(), IssuerFault> {
        if intents.is_empty() {
            return Ok(());
        }
        let intents: Vec<&Intent> = intents.iter().collect();
        let log = StoreLog::of(&self.plane, &self.tenant);
        let mut rows = log.rows(&intents)?;
        for row in &mut rows {
            row.lineage.clone_from(&self.lineage);
            row.decision = issuance_log::under_rule(&self.naming.rule);
        }
        let told = match self.naming.are_held {
            true => self.use_and_record_later(rows).await.map_err(Refused::from),
            false => self.use_record_and_hold(rows).await,
        };
        let told = match told {
            Ok(told) => Ok(told),
            Err(Refused::Fault(Fault::Store(fault))) => Err(fault),
            Err(Refused::Fault(fault)) => Err(StoreFault::Bug(fault.to_string())),
            // Another server may have removed the tenant.
            Err(Refused::Reason(reason)) => return Err(self.not_recorded(*reason)),
        };
        let told_of = told.as_ref().ok();
        let before = told_of.and_then(|told| self.uses.used_before(told));
        if let Some(reason) = before {
            return Err(self.not_recorded(reason));
        }
        log.count(&intents, told).map(drop)
    }

    async fn use_and_record_later(&self, rows: Vec<IntentRow>) -> Result<Vec<Used>, StoreFault> {
        let (settled, settling) = oneshot::channel();
        // Whoever waited for it may be gone; then it is used and recorded, and nothing is signed.
        let settled = Box::new(move |told| drop(settled.send(told)));
        let store = &self.plane.store;
        let held = self.tenant.read(|snapshot| snapshot.sequence);
        store.use_and_record_later(self.tenant.id(), held, self.rows(), rows, settled);
        let silent = |_| Err(StoreFault::Bug("the store has told nothing".to_owned()));
        settling.await.unwrap_or_else(silent)
    }

    /// A name is seen for the first time, which is rare.
    async fn use_record_and_hold(&self, rows: Vec<IntentRow>) -> Result<Vec<Used>, Refused> {
        let (plane, tenant) = (Arc::clone(&self.plane), Arc::clone(&self.tenant));
        let (uses, naming) = (self.rows(), self.naming.clone());
        blocking(move || plane.use_record_and_hold(&tenant, &uses, &rows, &naming)).await
    }

    fn not_recorded(&self, reason: Reason) -> IssuerFault {
        let detail = reason.sentence();
        drop(self.refused.set(reason));
        IssuerFault::NotRecorded {
            detail,
            retryable: false,
        }
    }
}
