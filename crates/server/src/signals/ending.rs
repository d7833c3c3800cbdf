//! Ends what was had, durably and everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::ended::{Ending, Endings, Mark, Said, Speaker, Standing, Turn};
use avouch_core::id::{Digest, SpiffeId, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{
    Change, CredentialKind, IntentRow, SignalId, SignalKey, SignalKind, SignalRecord, Snapshot,
};
use serde_json::{Value, json};

use super::{notices, put, put_until};
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;

/// The most that may have ended for a tenant at once. Whoever could have more remembered could fill
/// the memory of every node.
const MOST_ENDINGS: usize = 120_000;

/// The most of these that streams may come to together. What neither they nor holders may have is kept for
/// administrators: whoever has taken transmitters over must not keep them from ending anything.
pub(super) const MOST_OF_STREAMS: usize = 90_000;

/// How long an ending is remembered, in seconds: longer than the longest token that is believed
/// anywhere (a leap year), so what it ended has ended by itself.
pub(super) const KEPT: i64 = 400 * 86_400;

/// As whose it counts what holders of tokens have ended: no stream may be called so.
pub(super) const HOLDERS: &str = "_holders_";

/// The most that may have ended by holders at once, beside what streams may come to.
const MOST_OF_HOLDERS: u32 = 20_000;

/// The most of these that may be of one subject.
const MOST_OF_SUBJECT: usize = 2_000;

/// How long it is remembered that a holder has ended a token, in seconds: longer than what descends from it
/// can live, each of sixteen generations for a day.
const KEPT_FOR_HOLDERS: i64 = 40 * 86_400;

/// `privilegeWithdrawn` (RFC 5280 5.3.1).
const PRIVILEGE_WITHDRAWN: u8 = 9;

/// The most single credentials that receivers are told of because of one event.
const MOST_TOLD: usize = 1_000;

/// For how many seconds nothing is looked through again for what a holder has ended.
const LOOKED_THROUGH_FOR: i64 = 60;

/// For how much of one tenant that is remembered: for all that its holders may have ended at once.
const LOOKED_THROUGH: Room = Room {
    entries: 20_000,
    bytes: usize::MAX,
};

/// For what all that was issued was looked through lately.
pub(crate) struct LookedThrough(Remembered<Mark, ()>);

impl Default for LookedThrough {
    fn default() -> Self {
        Self(Remembered::within(LOOKED_THROUGH))
    }
}

impl LookedThrough {
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.0.forget_tenant(tenant);
    }
}

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
    /// From which stream it comes; none where an administrator says it.
    pub(super) stream: Option<&'a Share<'a>>,
}

impl ToEnd<'_> {
    /// How long it is remembered, in seconds.
    fn kept(&self) -> i64 {
        match self.is_by_holder() {
            true => KEPT_FOR_HOLDERS,
            false => KEPT,
        }
    }

    fn is_by_holder(&self) -> bool {
        let share = self.stream;
        share.is_some_and(|share| share.stream.as_str() == HOLDERS)
    }

    fn said(&self) -> Said<'_> {
        Said {
            turn: self.turn,
            at: self.at,
            event: self.event,
            by: self.by,
            speaker: match self.stream {
                Some(_) => Speaker::Transmitter,
                None => Speaker::Administrator,
            },
        }
    }
}

/// A stream, and how much may have ended by it at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share<'a> {
    pub(super) stream: &'a SignalId,
    pub(super) most: u32,
    /// Whose token it is, where its holder has ended it.
    pub(super) subject: Option<&'a str>,
}

/// How much has ended by which stream. What an administrator was the first to end is nobody's.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    all: usize,
    by_stream: BTreeMap<SignalId, usize>,
    /// Of what holders have ended, how much is whose.
    by_subject: BTreeMap<String, usize>,
}

impl Shares {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut shares = Self::default();
        for record in snapshot.signals_of(SignalKind::Ended) {
            shares.follow(None, Some(record));
        }
        shares
    }

    /// Follows that something ended, ended otherwise, or is forgotten.
    pub(crate) fn follow(&mut self, before: Option<&SignalRecord>, after: Option<&SignalRecord>) {
        if let Some(before) = before {
            self.all = self.all.saturating_sub(1);
            let stream = stream_of(before);
            if let Some(held) = stream.and_then(|stream| self.by_stream.get_mut(&stream)) {
                *held = held.saturating_sub(1);
            }
            if let Some(subject) = text_of(before, "subject") {
                let held = self.by_subject.get(&subject).copied().unwrap_or(0);
                match held {
                    0 | 1 => self.by_subject.remove(&subject),
                    more => self.by_subject.insert(subject, more - 1),
                };
            }
        }
        if let Some(after) = after {
            self.all += 1;
            if let Some(stream) = stream_of(after) {
                *self.by_stream.entry(stream).or_default() += 1;
            }
            if let Some(subject) = text_of(after, "subject") {
                *self.by_subject.entry(subject).or_default() += 1;
            }
        }
    }

    /// How much has ended by a stream.
    pub(super) fn held_by(&self, stream: &SignalId) -> usize {
        self.by_stream.get(stream).copied().unwrap_or(0)
    }

    /// How much is taken of what streams may come to: what each may have, or has, and what has ended
    /// by those that are gone. What holders may have is beside that.
    pub(super) fn taken(&self, mosts: &BTreeMap<SignalId, u32>) -> usize {
        let is_gone =
            |held: &(&SignalId, &usize)| !mosts.contains_key(held.0) && held.0.as_str() != HOLDERS;
        let gone: usize = self
            .by_stream
            .iter()
            .filter(is_gone)
            .map(|(_, held)| held)
            .sum();
        let there = mosts.iter().map(|(stream, most)| {
            let most = usize::try_from(*most).unwrap_or(usize::MAX);
            most.max(self.held_by(stream))
        });
        there.fold(gone, usize::saturating_add)
    }

    /// Whether so much more may end.
    fn admit(&self, new: usize, share: Option<&Share<'_>>) -> Result<(), Reason> {
        let bound = |what: &str, most: usize, held: usize| match held.saturating_add(new) > most {
            false => Ok(()),
            true => Err(Reason::IssueEndingsExcess {
                what: what.to_owned(),
                most: u32::try_from(most).unwrap_or(u32::MAX),
            }),
        };
        let Some(share) = share else {
            return bound("the tenant", MOST_ENDINGS, self.all);
        };
        let most = usize::try_from(share.most).unwrap_or(usize::MAX);
        if share.stream.as_str() == HOLDERS {
            let subject = share.subject.unwrap_or_default();
            let held = self.by_subject.get(subject).copied().unwrap_or(0);
            bound(
                &format!("holders of tokens of {subject}"),
                MOST_OF_SUBJECT,
                held,
            )?;
            return bound("holders of tokens", most, self.held_by(share.stream));
        }
        let what = format!("the stream {}", share.stream);
        bound(&what, most, self.held_by(share.stream))?;
        let by_stream = self.by_stream.iter();
        let holders = by_stream.filter(|(stream, _)| stream.as_str() == HOLDERS);
        let by_holders: usize = holders.map(|(_, held)| held).sum();
        let all = self.all.saturating_sub(by_holders);
        bound("all streams of the tenant", MOST_OF_STREAMS, all)
    }
}

/// The stream by which something ended first.
fn stream_of(record: &SignalRecord) -> Option<SignalId> {
    SignalId::parse(&text_of(record, "stream")?)
}

fn text_of(record: &SignalRecord, member: &str) -> Option<String> {
    let document: Value = serde_json::from_str(&record.document).ok()?;
    Some(document.get(member)?.as_str()?.to_owned())
}

/// A token that the tenant has given itself.
#[derive(Clone, Copy)]
pub(crate) struct OwnToken<'a> {
    /// Whose it is.
    pub(crate) subject: &'a SpiffeId,
    /// Its `jti`.
    pub(crate) id: &'a str,
    /// Whether it was ended itself before.
    pub(crate) has_ended: bool,
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
                .map(|(mark, next)| put_ending(tenant, *mark, next, ending))
                .collect::<Result<_, _>>()?;
            if is_news {
                changes.extend(self.notices_of_ended(tenant, &next, ending)?);
            }
            changes.extend(more(is_news)?);
            Ok(changes)
        })?;
        if ending.turn != Turn::Opened {
            // Also when it was known: whoever was told before may have died before this was done.
            self.look_through(tenant, ending, is_news)?;
        }
        Ok(is_news)
    }

    /// Revokes what descends from what has ended, unless all was just looked through for that.
    fn look_through(
        &self,
        tenant: &Arc<Tenant>,
        ending: &ToEnd<'_>,
        is_news: bool,
    ) -> Result<(), Refused> {
        if is_news || !self.was_just_looked_through(tenant, ending) {
            self.revoke_descendants(tenant, ending)?;
            self.note_looked_through(tenant, ending);
        }
        Ok(())
    }

    /// Whether all that was issued was just looked through for what a holder has ended. It takes a walk
    /// over all of it, and whoever has one token in hand can ask for it as often as they like.
    fn was_just_looked_through(&self, tenant: &Tenant, ending: &ToEnd<'_>) -> bool {
        let now = self.now();
        let looked = |mark| self.looked_through.0.of(tenant.id(), mark, now).is_some();
        ending.is_by_holder() && ending.marks.iter().all(looked)
    }

    fn note_looked_through(&self, tenant: &Tenant, ending: &ToEnd<'_>) {
        let now = self.now();
        if ending.is_by_holder() {
            for mark in ending.marks {
                let until = now.plus(LOOKED_THROUGH_FOR);
                self.looked_through
                    .0
                    .keep(tenant.id(), *mark, ((), 0), until, now);
            }
        }
    }

    /// Ends one token of the tenant's own and what was exchanged for it: because an administrator says so, or
    /// whoever has it in hand. What such a one shows that has ended before is not ended anew each time,
    /// which would be written and told: only what descends from it is looked for once more.
    pub(crate) fn end_own_token(
        &self,
        tenant: &Arc<Tenant>,
        token: OwnToken<'_>,
        by: Option<String>,
    ) -> Result<(), Refused> {
        let OwnToken { subject, id, .. } = token;
        let holders = SignalId::parse(HOLDERS);
        let holders = holders.ok_or_else(|| Fault::Bug("holders have no name".to_owned()))?;
        let share = Share {
            stream: &holders,
            most: MOST_OF_HOLDERS,
            subject: Some(subject.as_str()),
        };
        let ending = ToEnd {
            marks: &[Mark::token(&issuer_of(subject), id)],
            name: id,
            turn: Turn::Ended,
            at: self.now(),
            event: "token-revoked",
            by: by.as_deref().unwrap_or("whoever had it in hand"),
            stream: by.is_none().then_some(&share),
        };
        if token.has_ended && ending.is_by_holder() {
            return self.look_through(tenant, &ending, false);
        }
        self.end(tenant, &ending, |_| Ok(Vec::new()))?;
        Ok(())
    }

    /// Ends what was exchanged for certificates of the tenant's own, each by its serial number: on the list of
    /// its authority stands the certificate alone.
    pub(crate) fn end_certificates(
        &self,
        tenant: &Arc<Tenant>,
        certificates: &[(&SpiffeId, &str)],
        by: &str,
    ) -> Result<(), Refused> {
        let marks = certificates.iter();
        let marks = marks.map(|(subject, serial)| Mark::token(&issuer_of(subject), serial));
        let ending = ToEnd {
            marks: &marks.collect::<Vec<_>>(),
            name: certificates.first().map_or("", |(_, serial)| *serial),
            turn: Turn::Ended,
            at: self.now(),
            event: "certificate-revoked",
            by,
            stream: None,
        };
        self.end(tenant, &ending, |_| Ok(Vec::new()))?;
        Ok(())
    }

    /// Whether a token of the tenant's own was ended itself.
    pub(crate) fn has_ended_own_token(
        &self,
        tenant: &Tenant,
        subject: &SpiffeId,
        id: &str,
    ) -> bool {
        let mark = Mark::token(&issuer_of(subject), id);
        tenant.held().endings.of(mark).is_some()
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
        // As far back as any token may have lived, also where they live shorter now.
        let ended = self.live(tenant, |intent| {
            let is_token = intent.kind == CredentialKind::Jwt && intent.not_after > now;
            let mut marks = next.iter().map(|(mark, _)| *mark);
            let is_itself = intent.id.as_str() == ending.name && {
                let mark = Mark::token(&issuer_of(&intent.subject), ending.name);
                ending.marks.contains(&mark)
            };
            is_token && (is_itself || marks.any(|mark| descends(intent, mark, &endings)))
        })?;
        let issuer = self.issuer_of(tenant.id());
        let mut told: Vec<Change> = Vec::new();
        if let Some(own) = self.own_subject(tenant, ending) {
            told.push(notices::subject_ended(self, &own, ending.event, now)?);
        }
        for intent in ended.into_iter().take(MOST_TOLD) {
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
        let now = self.now();
        for tenant in self.open_tenants() {
            let endings = Arc::clone(&tenant.held().endings);
            let records = super::records_of(&tenant, SignalKind::Ended);
            let over = records.into_iter().filter(|record| {
                let ending = mark_of(&record.key).and_then(|mark| endings.of(mark));
                ending.is_some_and(|ending| {
                    let ends = record.ends.unwrap_or(ending.since().plus(KEPT));
                    !ending.is_closed() && ends < now
                })
            });
            let gone: Vec<Change> = over
                .map(|record| super::remove(SignalKind::Ended, &record.key.id))
                .collect();
            if !gone.is_empty() {
                self.apply(&tenant, &gone)?;
            }
        }
        Ok(())
    }
}

/// What the tenant is called as the issuer of what is a subject's of its own.
fn issuer_of(subject: &SpiffeId) -> String {
    format!("spiffe://{}", subject.trust_domain())
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
    let held = tenant.held();
    let said = ending.said();
    let mut all: BTreeMap<Mark, Ending> = BTreeMap::new();
    for mark in ending.marks {
        let known = held.endings.of(*mark);
        let next = Ending::after(known, &after_all(known, said));
        if known != Some(&next) {
            all.insert(*mark, next);
        }
    }
    let new = all.keys().filter(|mark| held.endings.of(**mark).is_none());
    let new = new.count();
    if new > 0 {
        held.shares.admit(new, ending.stream)?;
    }
    Ok(all.into_iter().collect())
}

/// What an administrator says comes after all that was said before, also in the same second.
fn after_all<'a>(known: Option<&Ending>, said: Said<'a>) -> Said<'a> {
    let before = known.map(Ending::stands_since);
    let at = match (said.speaker, said.turn, before) {
        (Speaker::Administrator, Turn::Opened, Some(before)) => said.at.max(before.plus(1)),
        (Speaker::Administrator, Turn::Closed, Some(before)) => said.at.max(before),
        _ => said.at,
    };
    Said { at, ..said }
}

fn put_ending(
    tenant: &Tenant,
    mark: Mark,
    next: &Ending,
    ending: &ToEnd<'_>,
) -> Result<Change, Refused> {
    let id = SignalId::parse(&mark.digest().to_string());
    let id = id.ok_or_else(|| Fault::Bug("a mark has no name".to_owned()))?;
    // It stays with the stream that was the first to end it.
    let known = super::record_of(tenant, SignalKind::Ended, &id);
    let ends = next.since().plus(ending.kept());
    let ends = ends.max(known.as_ref().and_then(|known| known.ends).unwrap_or(ends));
    let (stream, subject) = match known {
        Some(known) => (stream_of(&known), text_of(&known, "subject")),
        None => {
            let subject = ending.stream.and_then(|share| share.subject);
            let stream = ending.stream.map(|share| share.stream.clone());
            (stream, subject.map(str::to_owned))
        }
    };
    let document = json!({
        "before": next.before.unix(),
        "standing": next.told.at.unix(),
        "closed": next.told.is_closed,
        "ordered": { "at": next.ordered.at.unix(), "closed": next.ordered.is_closed },
        "event": next.event,
        "by": next.by,
        "name": ending.name,
        "stream": stream.as_ref().map(SignalId::as_str),
        "subject": subject,
    });
    let document = document.to_string();
    Ok(match next.is_closed() {
        true => put(SignalKind::Ended, &id, document),
        false => put_until(SignalKind::Ended, &id, document, ends),
    })
}

/// All that ended, as it is stored.
pub(crate) fn endings_of(snapshot: &Snapshot) -> Result<Endings, Fault> {
    let mut endings = Endings::default();
    for record in snapshot.signals_of(SignalKind::Ended) {
        let (mark, ending) = read_ending(record)?;
        endings.put(mark, ending);
    }
    Ok(endings)
}

/// One that ended, as it is stored.
pub(crate) fn read_ending(record: &SignalRecord) -> Result<(Mark, Ending), Fault> {
    let read = || {
        let document: Value = serde_json::from_str(&record.document).ok()?;
        let text = |name: &str| Some(document.get(name)?.as_str()?.to_owned());
        let ending = Ending {
            before: Time::from_unix(document.get("before")?.as_i64()?),
            told: standing(document.get("standing")?, document.get("closed")?)?,
            ordered: match document.get("ordered") {
                Some(ordered) => standing(ordered.get("at")?, ordered.get("closed")?)?,
                None => Standing::UNSAID,
            },
            event: text("event")?,
            by: text("by")?,
        };
        Some((mark_of(&record.key)?, ending))
    };
    read().ok_or_else(|| Fault::Stored(format!("what ended as {} cannot be read", record.key.id)))
}

fn standing(at: &Value, is_closed: &Value) -> Option<Standing> {
    Some(Standing {
        at: Time::from_unix(at.as_i64()?),
        is_closed: is_closed.as_bool()?,
    })
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
        let since = ending.since();
        let shown = json!({
            "mark": mark.digest().to_string(),
            "name": document.get("name"),
            "before": shown(ending.before),
            "closed": ending.is_closed(),
            "closed_by": ending.closed_by().map(Speaker::name),
            "stream": document.get("stream"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: usize, by: Option<&str>) -> SignalRecord {
        let mark = Mark::subject("issuer", &number.to_string());
        SignalRecord {
            key: SignalKey {
                kind: SignalKind::Ended,
                id: SignalId::parse(&mark.digest().to_string()).unwrap(),
            },
            document: json!({ "stream": by }).to_string(),
            ends: None,
            secret: None,
        }
    }

    fn shares(by_stream: usize, by_administrators: usize) -> Shares {
        let mut shares = Shares::default();
        let streams = (0..by_stream).map(|number| ended(number, Some("full")));
        let others = (0..by_administrators).map(|number| ended(number, None));
        for record in streams.chain(others) {
            shares.follow(None, Some(&record));
        }
        shares
    }

    #[test]
    fn hostile_59_what_all_streams_may_end_leaves_room_for_administrators() {
        let shares = shares(MOST_OF_STREAMS, 9_999);
        let stream = SignalId::parse("other").unwrap();
        let share = Share {
            stream: &stream,
            most: 10,
            subject: None,
        };
        assert!(shares.admit(1, Some(&share)).is_err());
        let left = MOST_ENDINGS - MOST_OF_STREAMS - 9_999;
        assert!(shares.admit(left, None).is_ok());
        assert!(shares.admit(left + 1, None).is_err());
        // None of it is promised to another stream.
        let mosts = BTreeMap::from([(stream, 10)]);
        assert_eq!(shares.taken(&mosts), MOST_OF_STREAMS + 10);
    }

    #[test]
    fn what_holders_end_takes_nothing_of_what_streams_were_promised_nor_one_subject_all_of_it() {
        let mut shares = Shares::default();
        let most = usize::try_from(MOST_OF_HOLDERS).unwrap();
        let whose = |number: usize| format!("spiffe://one.test/{}", number / MOST_OF_SUBJECT);
        let record = |number: usize| SignalRecord {
            document: json!({ "stream": HOLDERS, "subject": whose(number) }).to_string(),
            ..ended(number, None)
        };
        let holders = SignalId::parse(HOLDERS).unwrap();
        let admits = |shares: &Shares, subject: &str| {
            let share = Share {
                stream: &holders,
                most: MOST_OF_HOLDERS,
                subject: Some(subject),
            };
            shares.admit(1, Some(&share)).is_ok()
        };
        for number in 0..MOST_OF_SUBJECT {
            shares.follow(None, Some(&record(number)));
        }
        assert!(!admits(&shares, &whose(0)) && admits(&shares, "spiffe://one.test/other"));
        shares.follow(Some(&record(0)), None);
        assert!(admits(&shares, &whose(0)));
        shares.follow(None, Some(&record(0)));
        for number in MOST_OF_SUBJECT..most {
            shares.follow(None, Some(&record(number)));
        }
        assert!(!admits(&shares, "spiffe://one.test/other"));
        let stream = SignalId::parse("full").unwrap();
        assert_eq!(
            shares.taken(&BTreeMap::from([(stream.clone(), 90_000)])),
            MOST_OF_STREAMS
        );
        let share = Share {
            stream: &stream,
            most: 90_000,
            subject: None,
        };
        assert!(shares.admit(MOST_OF_STREAMS, Some(&share)).is_ok());
        assert!(shares.admit(MOST_OF_STREAMS + 1, Some(&share)).is_err());
    }

    #[test]
    fn what_is_forgotten_or_ends_again_is_counted_once() {
        let mut shares = shares(3, 1);
        let full = SignalId::parse("full").unwrap();
        assert_eq!((shares.all, shares.held_by(&full)), (4, 3));
        let known = ended(0, Some("full"));
        shares.follow(Some(&known), Some(&known));
        assert_eq!((shares.all, shares.held_by(&full)), (4, 3));
        shares.follow(Some(&known), None);
        assert_eq!((shares.all, shares.held_by(&full)), (3, 2));
        let share = |most| Share {
            stream: &full,
            most,
            subject: None,
        };
        assert!(shares.admit(1, Some(&share(3))).is_ok());
        assert!(shares.admit(1, Some(&share(2))).is_err());
    }
}
