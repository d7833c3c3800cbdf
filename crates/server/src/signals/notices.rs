//! What a tenant has to tell its receivers, worked out from what changes: an entry that goes, a node
//! that is banned, an authority that is revoked, a credential that ended.

use std::borrow::Cow;
use std::collections::BTreeSet;

use avouch_core::id::{Digest, SpiffeId};
use avouch_core::time::Time;
use avouch_issuer::random::Random;
use avouch_store::{
    AuthorityState, Change, Key, Object, SignalId, SignalKind, SignalRecord, Snapshot,
};
use serde_json::{Map, Value, json};

use super::put_until;
use super::registrations::unregistered;
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How long a notice is kept for receivers that have not taken it yet, in seconds.
pub(super) const KEPT: i64 = 7 * 86_400;

/// The most notices that are kept: receivers that are away for longer have lost the oldest.
pub(super) const MOST_KEPT: usize = 10_000;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";

/// The events that are sent.
pub(super) const SENT: [&str; 2] = [
    "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
];

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    pub(super) id: SignalId,
    pub(super) at: Time,
    /// Whom it is about, for the record.
    pub(super) about: SpiffeId,
    /// Whom it is about, as receivers read it.
    pub(super) subject: Value,
    pub(super) name: String,
    pub(super) said: Map<String, Value>,
}

impl Notice {
    pub(super) fn read(record: &SignalRecord) -> Option<Self> {
        let mut document: Map<String, Value> = serde_json::from_str(&record.document).ok()?;
        let at = document.get("at")?.as_i64()?;
        let about = SpiffeId::parse(document.get("about")?.as_str()?).ok()?;
        let name = document.get("name")?.as_str()?.to_owned();
        Some(Self {
            id: record.key.id.clone(),
            at: Time::from_unix(at),
            about,
            subject: document.remove("subject")?,
            name,
            said: document.remove("said")?.as_object()?.clone(),
        })
    }
}

/// Whether anybody is to be told anything.
pub(super) fn has_receivers(tenant: &Tenant) -> bool {
    tenant.read(has_receivers_in)
}

fn has_receivers_in(snapshot: &Snapshot) -> bool {
    snapshot.signals_of(SignalKind::Receiver).next().is_some()
}

/// The changes, and what receivers are told of because of them: one change, so that neither is ever
/// there alone.
pub(crate) fn with_notices<'a>(
    plane: &Plane,
    tenant: &Tenant,
    changes: &'a [Change],
) -> Result<Cow<'a, [Change]>, Refused> {
    if !has_receivers(tenant) {
        return Ok(Cow::Borrowed(changes));
    }
    let told: Vec<(SpiffeId, &'static str, Value)> = tenant.read(|snapshot| {
        let removed = changes.iter().filter_map(|change| match change {
            Change::Remove(Key::Entry(id)) => Some(id),
            Change::Put(_) | Change::Remove(_) => None,
        });
        let mut removed = removed.peekable();
        let unregistered = match removed.peek() {
            Some(_) => unregistered(snapshot, removed),
            None => BTreeSet::new(),
        };
        let told = changes
            .iter()
            .filter_map(|change| told_of(snapshot, &unregistered, change));
        told.collect()
    });
    if told.is_empty() {
        return Ok(Cow::Borrowed(changes));
    }
    let now = plane.now();
    let mut all = changes.to_vec();
    for (about, name, said) in told.into_iter().take(MOST_KEPT) {
        let subject = json!({ "format": "uri", "uri": about.as_str() });
        all.push(notice(plane, &about, subject, name, said, now)?);
    }
    Ok(Cow::Owned(all))
}

/// Whom a change is about, and what is told of it.
fn told_of(
    snapshot: &Snapshot,
    unregistered: &BTreeSet<SpiffeId>,
    change: &Change,
) -> Option<(SpiffeId, &'static str, Value)> {
    let by_admin = |why: &str| json!({ "initiating_entity": "admin", "reason_admin": {"en": why} });
    match change {
        Change::Remove(Key::Entry(id)) => {
            let entry = snapshot.entries.get(id)?;
            let about = entry.spiffe_id.fixed()?.clone();
            // Whoever is registered otherwise, too, goes on.
            if !unregistered.contains(&about) {
                return None;
            }
            Some((
                about,
                "session-revoked",
                by_admin("its registration was removed"),
            ))
        }
        Change::Remove(Key::Node(id)) => {
            let about = snapshot.nodes.get(id)?.spiffe_id.clone();
            Some((about, "session-revoked", by_admin("the node was evicted")))
        }
        Change::Put(Object::Node(node)) => {
            let before = snapshot.nodes.get(&node.id)?;
            let is_banned = before.banned.is_none() && node.banned.is_some();
            let about = is_banned.then(|| node.spiffe_id.clone())?;
            Some((about, "session-revoked", by_admin("the node was banned")))
        }
        Change::Put(Object::Authority(record)) => {
            let before = snapshot.authorities.get(&record.id)?;
            let is_revoked =
                before.state != AuthorityState::Revoked && record.state == AuthorityState::Revoked;
            let name = format!("spiffe://{}", record.trust_domain);
            let about = SpiffeId::parse(&name).ok().filter(|_| is_revoked)?;
            let said = json!({
                "initiating_entity": "admin",
                "reason_admin": {"en": "an authority was revoked"},
                "change_type": "revoke",
                "credential_type": record.kind.name(),
                "friendly_name": record.id.as_str(),
            });
            Some((about, "credential-change", said))
        }
        Change::Put(_) | Change::Remove(_) => None,
    }
}

/// That one credential ended.
pub(super) fn session_revoked(
    plane: &Plane,
    about: &SpiffeId,
    subject: Value,
    now: Time,
) -> Result<Change, Refused> {
    let why = "what it was exchanged for ended";
    let said = json!({ "initiating_entity": "policy", "reason_admin": {"en": why} });
    notice(plane, about, subject, "session-revoked", said, now)
}

/// That a subject of the tenant's own ended.
pub(super) fn subject_ended(
    plane: &Plane,
    about: &SpiffeId,
    why: &str,
    now: Time,
) -> Result<Change, Refused> {
    let subject = json!({ "format": "uri", "uri": about.as_str() });
    let said = json!({ "initiating_entity": "admin", "reason_admin": {"en": why} });
    notice(plane, about, subject, "session-revoked", said, now)
}

fn notice(
    plane: &Plane,
    about: &SpiffeId,
    subject: Value,
    name: &str,
    said: Value,
    now: Time,
) -> Result<Change, Refused> {
    let mut said = said;
    if let Some(members) = said.as_object_mut() {
        members.insert("event_timestamp".to_owned(), now.unix().into());
    }
    let mut random = [0; 16];
    plane.random.fill(&mut random)?;
    // In the order of their names they are in the order of time.
    let id = format!("{:012}-{}", now.unix(), Digest::of(&random).short());
    let id = SignalId::parse(&id).ok_or_else(|| Fault::Bug("a notice has no name".to_owned()))?;
    let document = json!({
        "at": now.unix(),
        "about": about.as_str(),
        "subject": subject,
        "name": format!("{CAEP}{name}"),
        "said": said,
    });
    let (document, ends) = (document.to_string(), now.plus(KEPT));
    Ok(put_until(SignalKind::Notice, &id, document, ends))
}

/// All notices, the earliest first.
pub(super) fn notices_of(tenant: &Tenant) -> Vec<Notice> {
    let records = super::records_of(tenant, SignalKind::Notice);
    records.iter().filter_map(Notice::read).collect()
}

impl Plane {
    /// Forgets what was to be told long ago.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_notices(&self) -> Result<(), Refused> {
        let before = self.now().plus(-KEPT);
        for tenant in self.open_tenants() {
            let notices = notices_of(&tenant);
            let beyond = notices.len().saturating_sub(MOST_KEPT);
            let over = notices.iter().enumerate();
            let over = over.filter(|(place, notice)| *place < beyond || notice.at < before);
            let gone: Vec<Change> = over
                .map(|(_, notice)| super::remove(SignalKind::Notice, &notice.id))
                .collect();
            if !gone.is_empty() {
                self.apply(&tenant, &gone)?;
            }
        }
        Ok(())
    }
}
