//! Ends what was had, durably and everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::ended::{Ending, Endings, Mark, Turn};
use avouch_core::id::{Digest, SpiffeId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{
    Change, CredentialKind, IntentRow, SignalId, SignalKey, SignalKind, SignalRecord, Snapshot,
};
use serde_json::{Value, json};

use super::{notices, put};
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// The most that may have ended for a tenant at once. Whoever could have more remembered could fill
/// the memory of every node.
const MOST_ENDINGS: usize = 100_000;

/// How long an ending is remembered, in seconds: longer than the longest token that is believed
/// anywhere (a leap year), so what it ended has ended by itself.
pub(super) const KEPT: i64 = 400 * 86_400;

/// `privilegeWithdrawn` (RFC 5280 5.3.1).
const PRIVILEGE_WITHDRAWN: u8 = 9;

/// The most single credentials that receivers are told of because of one event.
const MOST_TOLD: usize = 1_000;

/// What is to end.
#[derive(Clone, Debug)]
pub(super) struct ToEnd<'a> {
    pub(super) marks: &'a [Mark],
    /// What a person calls it.
    pub(super) name: &'a str,
    pub(super) turn: Turn,
    pub(super) at: Time,
    /// What happened, in one word.
    pub(super) event: &'a str,
    /// Who says so.
    pub(super) by: &'a str,
}

impl Plane {
    /// Ends what is named, with `more` in the same change; whether anything has ended by that. Of two
    /// servers that are told at once, the later one is held: an ending only ever grows.
    pub(super) fn end(
        &self,
        tenant: &Arc<Tenant>,
        ending: &ToEnd<'_>,
        mut more: impl FnMut(bool) -> Result<Vec<Change>, Refused>,
    ) -> Result<bool, Refused> {
        let mut is_news = false;
        self.change_signals(tenant, || {
            let next = next(tenant, ending)?;
            is_news = !next.is_empty();
            let mut changes: Vec<Change> = next
                .iter()
                .map(|(mark, next)| put_ending(*mark, next, ending.name))
                .collect::<Result<_, _>>()?;
            if is_news {
                changes.extend(self.notices_of_ended(tenant, &next, ending)?);
            }
            changes.extend(more(is_news)?);
            Ok(changes)
        })?;
        // Also when it was known: whoever was told before may have died before this was done.
        if ending.turn != Turn::Opened {
            self.revoke_descendants(tenant, ending)?;
        }
        Ok(is_news)
    }

    /// Puts the certificates that were exchanged for what ended on the list of their authority.
    fn revoke_descendants(&self, tenant: &Arc<Tenant>, ending: &ToEnd<'_>) -> Result<(), Refused> {
        let endings = Arc::clone(&tenant.held().endings);
        let issued = self.issued_for(tenant, |intent| {
            ending
                .marks
                .iter()
                .any(|mark| descends(intent, *mark, &endings))
        })?;
        if !issued.is_empty() {
            self.revoke_until_stored(tenant, &issued, PRIVILEGE_WITHDRAWN)?;
        }
        Ok(())
    }

    /// What receivers are told: that each credential ended which was exchanged for it.
    fn notices_of_ended(
        &self,
        tenant: &Tenant,
        next: &[(Mark, Ending)],
        ending: &ToEnd<'_>,
    ) -> Result<Vec<Change>, Refused> {
        if ending.turn == Turn::Opened || !notices::has_receivers(tenant) {
            return Ok(Vec::new());
        }
        let mut endings = Endings::default();
        for (mark, ending) in next {
            endings.put(*mark, ending.clone());
        }
        let now = self.now();
        let longest = i64::from(self.settings.jwt.lifetime.most());
        let issued = self
            .store
            .intents(tenant.id(), now.plus(-longest), u32::MAX)?;
        let ended = issued.into_iter().filter(|intent| {
            let is_token = intent.kind == CredentialKind::Jwt && intent.not_after > now;
            is_token
                && next
                    .iter()
                    .any(|(mark, _)| descends(intent, *mark, &endings))
        });
        let issuer = self.issuer_of(tenant.id());
        let mut told: Vec<Change> = Vec::new();
        if let Some(own) = self.own_subject(tenant, ending) {
            told.push(notices::subject_ended(self, &own, ending.event, now)?);
        }
        for intent in ended.take(MOST_TOLD) {
            let credential = json!({
                "format": "jwt_id", "iss": issuer, "jti": intent.id.as_str(),
            });
            told.push(notices::session_revoked(
                self,
                &intent.subject,
                credential,
                now,
            )?);
        }
        Ok(told)
    }

    /// The subject, if it is one of the tenant's own.
    fn own_subject(&self, tenant: &Tenant, ending: &ToEnd<'_>) -> Option<SpiffeId> {
        let id = SpiffeId::parse(ending.name).ok()?;
        let domain = id.trust_domain();
        let is_own = tenant.read(|snapshot| snapshot.trust_domains.contains_key(domain));
        let mark = Mark::subject(&format!("spiffe://{domain}"), id.as_str());
        (is_own && ending.marks.contains(&mark)).then_some(id)
    }

    /// Forgets endings that end nothing any more.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_endings(&self) -> Result<(), Refused> {
        let before = self.now().plus(-KEPT);
        for tenant in self.all_tenants() {
            let endings = Arc::clone(&tenant.held().endings);
            let over = endings.iter().filter(|(_, ending)| {
                let last = ending.before.max(ending.standing);
                !ending.is_closed && last < before
            });
            let gone: Vec<Change> = over
                .filter_map(|(mark, _)| SignalId::parse(&mark.digest().to_string()))
                .map(|id| super::remove(SignalKind::Ended, &id))
                .collect();
            if !gone.is_empty() {
                self.apply(&tenant, &gone)?;
            }
        }
        Ok(())
    }
}

/// Whether a credential descends from what has ended.
fn descends(intent: &IntentRow, mark: Mark, endings: &Endings) -> bool {
    let Some(ending) = endings.of(mark) else {
        return false;
    };
    let mut lineage = intent.lineage.iter();
    lineage.any(|one| one.birth.marks.contains(&mark) && ending.ends(one.birth.at))
}

/// What the marks come to, as far as that is news.
fn next(tenant: &Tenant, ending: &ToEnd<'_>) -> Result<Vec<(Mark, Ending)>, Refused> {
    let endings = Arc::clone(&tenant.held().endings);
    let mut all = Vec::new();
    for mark in ending.marks {
        let known = endings.of(*mark);
        let next = Ending::after(known, ending.turn, ending.at, ending.event, ending.by);
        if known != Some(&next) {
            all.push((*mark, next));
        }
    }
    let new = all.iter().filter(|(mark, _)| endings.of(*mark).is_none());
    if endings.len() + new.count() > MOST_ENDINGS {
        return Err(Reason::IssueEventsExcess {
            stream: ending.by.to_owned(),
            most: u32::try_from(MOST_ENDINGS).unwrap_or(u32::MAX),
        }
        .into());
    }
    Ok(all)
}

fn put_ending(mark: Mark, ending: &Ending, name: &str) -> Result<Change, Refused> {
    let id = SignalId::parse(&mark.digest().to_string());
    let id = id.ok_or_else(|| Fault::Bug("a mark has no name".to_owned()))?;
    let document = json!({
        "before": ending.before.unix(),
        "standing": ending.standing.unix(),
        "closed": ending.is_closed,
        "event": ending.event,
        "by": ending.by,
        "name": name,
    });
    Ok(put(SignalKind::Ended, &id, document.to_string()))
}

/// All that ended, as it is stored.
pub(crate) fn endings_of(snapshot: &Snapshot) -> Result<Endings, Fault> {
    let mut endings = Endings::default();
    for record in snapshot.signals.values() {
        if record.key.kind == SignalKind::Ended {
            let (mark, ending) = read_ending(record)?;
            endings.put(mark, ending);
        }
    }
    Ok(endings)
}

/// One that ended, as it is stored.
pub(crate) fn read_ending(record: &SignalRecord) -> Result<(Mark, Ending), Fault> {
    let damaged = || Fault::Stored(format!("what ended as {} cannot be read", record.key.id));
    let mark = mark_of(&record.key).ok_or_else(damaged)?;
    let document: Value = serde_json::from_str(&record.document).map_err(|_| damaged())?;
    let time = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_i64)
            .map(Time::from_unix)
    };
    let text = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let ending = Ending {
        before: time("before").ok_or_else(damaged)?,
        standing: time("standing").ok_or_else(damaged)?,
        is_closed: document
            .get("closed")
            .and_then(Value::as_bool)
            .ok_or_else(damaged)?,
        event: text("event").ok_or_else(damaged)?,
        by: text("by").ok_or_else(damaged)?,
    };
    Ok((mark, ending))
}

/// The mark under whose name something ended.
pub(crate) fn mark_of(key: &SignalKey) -> Option<Mark> {
    Digest::from_hex(key.id.as_str()).map(Mark::from_digest)
}

/// What ended, as administrators see it, the latest first.
pub(super) fn tell_endings(tenant: &Tenant) -> Vec<Value> {
    let mut told: BTreeMap<(i64, String), Value> = BTreeMap::new();
    for record in super::records_of(tenant, SignalKind::Ended) {
        let Ok((mark, ending)) = read_ending(&record) else {
            continue;
        };
        let document: Value = serde_json::from_str(&record.document).unwrap_or_default();
        let since = ending.before.max(ending.standing);
        let shown = json!({
            "mark": mark.digest().to_string(),
            "name": document.get("name"),
            "before": shown(ending.before),
            "closed": ending.is_closed,
            "event": ending.event,
            "by": ending.by,
        });
        told.insert((-since.unix(), mark.digest().to_string()), shown);
    }
    told.into_values().collect()
}

/// What was closed and never ended has ended at no time.
fn shown(at: Time) -> Option<String> {
    (at.unix() > i64::MIN).then(|| at.to_string())
}
