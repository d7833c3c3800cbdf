//! Signals: what others tell us happened to subjects of theirs, and what we tell others of ours
//! (OpenID Shared Signals Framework 1.0, CAEP 1.0, RISC 1.0).
//!
//! ```text
//! transmitter ── event ──► judged by the core ──► Ending of a mark ──► every view of the tenant
//!    push (RFC 8935)                                   │  one change     nodes, as a delta
//!    poll (RFC 8936)                                   ├──► revocation lists
//!                                                      └──► notices ──► our receivers
//! ```
//!
//! An ending is an object of the tenant like any other: durable before it is answered for, shared
//! with all servers on the store by the same feed, and seen by the core in the view, so that a
//! decision stays a function of what is known.

mod attempts;
mod ending;
mod notices;
mod receivers;
mod receiving;
mod refused;
mod registrations;
mod sending;
mod settings;
mod state;
mod streams;
mod transmitter;

use std::sync::Arc;
use std::time::Duration;

use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{
    Change, Key, NAME_IN_WORDS, Object, SignalId, SignalKey, SignalKind, SignalRecord,
};

use crate::fault::{Refused, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;

pub(crate) use attempts::Attempts;
pub(crate) use ending::{LookedThrough, OwnToken, Shares, endings_of, mark_of, read_ending};
pub(crate) use notices::with_notices;
pub(crate) use receivers::{Receiver, Step};
pub(crate) use receiving::{Receiving, may_come_again};
pub(crate) use refused::{description_of, word_of};
pub(crate) use sending::{Poll, sending};
pub(crate) use streams::Named;
pub(crate) use transmitter::following;

/// How often is looked what is due: streams to be polled, events to be sent, silence to be told of.
const PERIOD: Duration = Duration::from_millis(250);

/// Takes and sends what is due, for as long as the server runs.
pub(crate) async fn keep(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        plane.tend_signals();
    }
}

fn key_of(kind: SignalKind, id: &SignalId) -> SignalKey {
    let id = id.clone();
    SignalKey { kind, id }
}

fn put(kind: SignalKind, id: &SignalId, document: String) -> Change {
    Change::Put(Object::Signal(SignalRecord {
        key: key_of(kind, id),
        document,
        ends: None,
        secret: None,
    }))
}

/// Likewise, until nobody needs it any more.
fn put_until(kind: SignalKind, id: &SignalId, document: String, ends: Time) -> Change {
    Change::Put(Object::Signal(SignalRecord {
        key: key_of(kind, id),
        document,
        ends: Some(ends),
        secret: None,
    }))
}

fn remove(kind: SignalKind, id: &SignalId) -> Change {
    Change::Remove(Key::Signal(key_of(kind, id)))
}

/// All of a kind, by name.
fn records_of(tenant: &Tenant, kind: SignalKind) -> Vec<SignalRecord> {
    tenant.read(|snapshot| snapshot.signals_of(kind).cloned().collect())
}

fn record_of(tenant: &Tenant, kind: SignalKind, id: &SignalId) -> Option<SignalRecord> {
    tenant.read(|snapshot| snapshot.signals.get(&key_of(kind, id)).cloned())
}

/// The name of something that is there.
fn named(
    tenant: &Tenant,
    kind: SignalKind,
    object: &'static str,
    name: &str,
) -> Result<SignalId, Reason> {
    let id = SignalId::parse(name);
    let there = id.filter(|id| record_of(tenant, kind, id).is_some());
    there.ok_or_else(|| unknown(object, name))
}

fn new_name(object: &'static str, name: &str) -> Result<SignalId, Reason> {
    let id = SignalId::parse(name).filter(|id| id.as_str() != ending::HOLDERS);
    id.ok_or_else(|| Reason::IssueObjectMalformed {
        object,
        member: "name".to_owned(),
        detail: format!("{NAME_IN_WORDS}, and not `{}`", ending::HOLDERS),
    })
}

/// How often a change is worked out anew because something else has changed meanwhile.
const MOST_TRIES: usize = 32;

impl Plane {
    /// Begins what is due for the signals of all tenants. It must be called where tasks can be begun.
    pub fn tend_signals(self: &Arc<Self>) {
        for tenant in self.open_tenants() {
            if tenant.read(|snapshot| snapshot.signals.is_empty()) {
                continue;
            }
            self.tend_streams(&tenant);
            self.send_notices(&tenant);
        }
    }

    /// Makes a change that is worked out from what is there, and stored if nothing has changed since,
    /// on whichever server.
    fn change_signals(
        &self,
        tenant: &Arc<Tenant>,
        mut worked_out: impl FnMut() -> Result<Vec<Change>, Refused>,
    ) -> Result<bool, Refused> {
        let detail = "the tenant changes too fast".to_owned();
        let mut conflict = Refused::from(Reason::IssueConflict { detail });
        for _ in 0..MOST_TRIES {
            let at = tenant.read(|snapshot| snapshot.sequence);
            let changes = worked_out()?;
            if changes.is_empty() {
                return Ok(false);
            }
            match self.apply_at(tenant, at, &changes) {
                Ok(_) => return Ok(true),
                Err(refused) if refused.is_conflict() => conflict = refused,
                Err(other) => return Err(other),
            }
        }
        Err(conflict)
    }
}
