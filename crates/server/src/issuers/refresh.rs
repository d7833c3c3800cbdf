//! Fetching the keys of issuers: by schedule, and when a token names a key that nobody knows yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avouch_api::members::{Document, Members};
use avouch_core::id::TenantId;
use avouch_core::question::AwaitedKey;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Need, Verdict};
use avouch_store::{IssuerId, Sequence};
use axum::http::header::ACCEPT;
use serde_json::Value;
use tokio::runtime::Handle;

use super::keys::Keys;
use super::pins::Watched;
use super::rollback::Dated;
use super::schedule::Schedule;
use super::settings::{IssuerSettings, SHORTEST_REFRESH, Source};
use crate::back_off::{BackOff, Waits, seconds_until};
use crate::blocking::blocking;
use crate::fault::Refused;
use crate::fetch::{Fetched, Flights, Limits, Request, Target, Trust, Turn};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many decisions wait for one fetch; the next is decided by what is known.
const MOST_WAITING: usize = 4;

/// How long a decision waits for keys.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How long after keys were fetched for a token that names an unknown one they are fetched again for
/// another such token, in seconds: whoever makes names up causes no more than that.
const UNKNOWN_PERIOD: i64 = 30;

/// How long a name that is not known after a fetch is known to be none, in seconds.
const UNKNOWN_KEPT: i64 = 60;

/// How many such names are kept.
const MOST_UNKNOWN: usize = 256;

/// How long to wait after keys could not be fetched.
const RETRY: Waits = Waits {
    first: 15,
    longest: 600,
};

pub(super) type Id = (TenantId, IssuerId);

/// What this server is doing about the keys of issuers. What it has found out is in the store.
pub(crate) struct Refreshing {
    pub(super) flights: Flights<Id, Option<bool>>,
    pub(super) schedule: Schedule,
    attempts: Mutex<BTreeMap<Id, Attempts>>,
    pub(super) uses: Mutex<BTreeMap<(Id, String), Time>>,
    /// Which keys are known to have been at work, as of which change of what a tenant trusts: asked
    /// with each acceptance.
    at_work: Mutex<BTreeMap<Id, (Sequence, BTreeSet<String>)>>,
    pub(super) watched: Watched,
}

impl Refreshing {
    /// Forgets the issuers of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|(of, _), _| of != tenant);
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.retain(|((of, _), _), _| of != tenant);
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.retain(|(of, _), _| of != tenant);
        self.schedule.forget_tenant(tenant);
        self.watched.forget_tenant(tenant);
    }
}

/// Since when something can be looked for again.
struct PutOff {
    from: Time,
    /// Whether it was looked for a moment ago, and was not there.
    is_none: bool,
}

/// What came of looking for keys.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Whether anything has changed, so that it makes sense to ask again.
    pub(crate) has_changed: bool,
    /// Those that were not looked for, each with whether it was a moment ago.
    awaited: Vec<(AwaitedKey, bool)>,
}

impl Looked {
    /// The keys of which nobody knows whether they are there.
    pub(crate) fn awaited_keys(&self) -> Vec<AwaitedKey> {
        let awaited = self.awaited.iter().filter(|(_, is_none)| !is_none);
        awaited.map(|(key, _)| key.clone()).collect()
    }

    /// In how many seconds keys can be looked for that were not looked for now, if there are any.
    pub(crate) fn again(&self, now: Time) -> Option<u32> {
        let from = self.awaited.iter().map(|(key, _)| key.from).max()?;
        Some(seconds_until(from, now))
    }
}

#[derive(Default)]
struct Attempts {
    back_off: BackOff,
    /// When keys were fetched last because of a token.
    for_token: Option<Time>,
    unknown: BTreeMap<String, Time>,
}

impl Default for Refreshing {
    fn default() -> Self {
        Self {
            flights: Flights::new(MOST_WAITING),
            schedule: Schedule::default(),
            attempts: Mutex::default(),
            uses: Mutex::default(),
            at_work: Mutex::default(),
            watched: Watched::default(),
        }
    }
}

impl Refreshing {
    fn attempts(&self) -> MutexGuard<'_, BTreeMap<Id, Attempts>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token that names this key may cause a fetch now; if so, it has.
    fn ask(&self, id: &Id, key: Option<&str>, now: Time) -> Result<(), PutOff> {
        let mut attempts = self.attempts();
        let attempts = attempts.entry(id.clone()).or_default();
        let none_until = |at: &Time| at.plus(UNKNOWN_KEPT);
        attempts.unknown.retain(|_, at| now < none_until(at));
        let known = key.and_then(|key| attempts.unknown.get(key));
        let again = attempts.for_token.map(|at| at.plus(UNKNOWN_PERIOD));
        let from = [known.map(none_until), again, attempts.back_off.until(now)];
        if let Some(from) = from.into_iter().flatten().filter(|at| now < *at).max() {
            let is_none = known.is_some();
            return Err(PutOff { from, is_none });
        }
        attempts.for_token = Some(now);
        Ok(())
    }

    /// Notes that keys were looked at and this one was none of them, or that they could not be looked
    /// at: then, when that can be done again.
    fn asked(&self, id: &Id, key: Option<&str>, now: Time, has_looked: bool) -> Result<(), PutOff> {
        let mut attempts = self.attempts();
        let attempts = attempts.entry(id.clone()).or_default();
        if !has_looked {
            let from = attempts.back_off.until(now);
            return Err(PutOff {
                from: from.unwrap_or_else(|| now.plus(1)),
                is_none: false,
            });
        }
        if let Some(key) = key
            && attempts.unknown.len() < MOST_UNKNOWN
        {
            attempts
                .unknown
                .insert(key.chars().take(256).collect(), now);
        }
        Ok(())
    }

    fn ended(&self, id: &Id, now: Time, has_failed: bool) {
        let mut attempts = self.attempts();
        let attempts = attempts.entry(id.clone()).or_default();
        match has_failed {
            true => attempts.back_off.failed(RETRY, now),
            false => attempts.back_off.went_well(None),
        }
    }

    pub(super) fn may_try(&self, id: &Id, now: Time) -> bool {
        let attempts = self.attempts();
        attempts.get(id).is_none_or(|one| one.back_off.may_try(now))
    }

    /// Whether a key is known to have been at work, as of this change.
    pub(super) fn is_at_work(&self, id: &Id, key: &str, at: Sequence) -> bool {
        let known = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(id).filter(|(known, _)| *known == at);
        known.is_some_and(|(_, keys)| keys.contains(key))
    }

    /// Notes that a key is known to have been at work, as of this change.
    pub(super) fn note_at_work(&self, id: Id, key: String, at: Sequence) {
        let mut known = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, keys) = known.entry(id).or_default();
        if *known != at {
            keys.clear();
            *known = at;
        }
        keys.insert(key);
    }

    pub(super) fn forget(&self, id: &Id) {
        self.attempts().remove(id);
    }
}

/// Which keys are missing for a verdict: of which issuer, and under which name.
fn missing(verdict: &Verdict) -> Vec<(String, Option<String>)> {
    match verdict {
        Verdict::Accept(_) => Vec::new(),
        Verdict::Undetermined(needs) => needs
            .iter()
            .filter_map(|need| match need {
                Need::KeySet { issuer, .. } => Some((issuer.clone(), None)),
                Need::Audience
                | Need::Challenge
                | Need::Introspection { .. }
                | Need::Key(_)
                | Need::Recipient
                | Need::State
                | Need::StatusList { .. }
                | Need::XmlSignature(_) => None,
            })
            .collect(),
        Verdict::Reject(refusal) => refusal
            .attempts()
            .iter()
            .filter_map(|attempt| match attempt.reason() {
                Reason::KeyUnknown { key, issuer, .. } => Some((issuer.clone(), Some(key.clone()))),
                Reason::KeysStale { issuer, .. } | Reason::PinMissed { issuer, .. } => {
                    Some((issuer.clone(), None))
                }
                _ => None,
            })
            .collect(),
    }
}

impl Plane {
    /// Fetches the keys that a verdict lacks, if someone may wait for it now. Many who lack the same
    /// keys cause one fetch, and who makes names of keys up causes one in a while. It blocks.
    pub(crate) fn fetch_missing_keys(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        verdict: &Verdict,
    ) -> Looked {
        self.fetch_keys_of(tenant, missing(verdict))
    }

    /// As [`Plane::fetch_missing_keys`], of issuers and under names of keys.
    pub(crate) fn fetch_keys_of(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        missing: Vec<(String, Option<String>)>,
    ) -> Looked {
        let mut looked = Looked::default();
        if missing.is_empty() {
            return looked;
        }
        if Handle::try_current().is_err() {
            return looked;
        }
        for (issuer, key) in missing {
            for id in self.fetched_issuers(tenant, &issuer) {
                match self.look_for(tenant, id, key.as_deref()) {
                    Ok(has_changed) => looked.has_changed |= has_changed,
                    Err(PutOff { from, is_none }) => {
                        let awaited = AwaitedKey {
                            issuer: issuer.clone(),
                            key: key.clone().unwrap_or_default(),
                            from,
                        };
                        looked.awaited.push((awaited, is_none));
                    }
                }
            }
        }
        looked
    }

    /// Looks at the keys of an issuer because one is missing; whether they have changed.
    fn look_for(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: IssuerId,
        key: Option<&str>,
    ) -> Result<bool, PutOff> {
        let id = (tenant.id().clone(), id);
        if !self.refreshing.flights.is_under_way(&id) {
            self.refreshing.ask(&id, key, self.now())?;
        }
        let flights = &self.refreshing.flights;
        let told = flights.wait(id.clone(), LONGEST_WAIT, || {
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            refresh(plane, tenant, id.1.clone(), Look::Keys, None)
        });
        let told = told.flatten();
        self.refreshing
            .asked(&id, key, self.now(), told.is_some())?;
        Ok(told == Some(true))
    }

    /// Fetches the keys of an issuer now; whether anything of them has changed.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, why they cannot be fetched or are not taken, or what failed on our
    /// side.
    pub async fn refresh_issuer(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
    ) -> Result<bool, Refused> {
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
        refresh_once(&plane, &tenant, &id, Look::All, None).await
    }
}

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The discovery document and the keys.
    All,
    /// The keys, where they were: someone waits.
    Keys,
}

/// Refreshes, and leaves what went wrong where `avouch issuer show` finds it. What is done by schedule has
/// waited for its turn; what someone causes pays for each fetch.
pub(super) async fn refresh(
    plane: Arc<Plane>,
    tenant: Arc<Tenant>,
    id: IssuerId,
    look: Look,
    turn: Option<Turn>,
) -> Option<bool> {
    match refresh_once(&plane, &tenant, &id, look, turn.as_ref()).await {
        Ok(has_changed) => Some(has_changed),
        Err(Refused::Reason(_)) => None,
        Err(Refused::Fault(fault)) => {
            tracing::error!(tenant = %tenant.id(), issuer = %id, %fault, "keys cannot be refreshed");
            None
        }
    }
}

async fn refresh_once(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    id: &IssuerId,
    look: Look,
    turn: Option<&Turn>,
) -> Result<bool, Refused> {
    let (settings, before) = plane.issuer(tenant, id)?;
    let key = (tenant.id().clone(), id.clone());
    let now = plane.now();
    let of = Of {
        plane,
        tenant,
        id,
        turn,
    };
    let fetched = match &settings.source {
        Source::Metadata | Source::Review | Source::Uploaded(_) => return Ok(false),
        Source::Keys(url) => fetch_keys(of, &settings, url).await,
        Source::Discovery(url) => match where_they_were(&settings, &before, look, now) {
            Some(url) => fetch_keys(of, &settings, url).await,
            None => fetch_discovered(of, &settings, url).await,
        },
    };
    let now = plane.now();
    let reason = match fetched {
        Ok(published) => {
            let (plane, tenant, id) = (Arc::clone(plane), Arc::clone(tenant), id.clone());
            blocking(move || plane.keys_published(&tenant, &id, &settings, &published)).await?
        }
        // We have not asked: that says nothing of the issuer, and hides nothing that is known of it.
        Err(refused) if refused.is_budget_of_fetches() => return Err(refused),
        Err(Refused::Reason(reason)) => {
            let failed = Reason::clone(&reason);
            let (plane, tenant, id) = (Arc::clone(plane), Arc::clone(tenant), id.clone());
            blocking(move || plane.keys_failed(&tenant, &id, &failed)).await?;
            Some(*reason)
        }
        Err(Refused::Fault(fault)) => return Err(fault.into()),
    };
    plane.refreshing.ended(&key, now, reason.is_some());
    if let Some(reason) = reason {
        plane.counters.refused(reason.code());
        tracing::warn!(
            tenant = %tenant.id(), issuer = %id, code = reason.code(),
            "the keys of an issuer were not taken: {}", reason.sentence()
        );
        return Err(reason.into());
    }
    let (_, after) = plane.issuer(tenant, id)?;
    let material = |keys: &Keys| {
        let names = keys.current().map(|key| key.thumbprint.clone());
        (names.collect::<Vec<_>>(), keys.quarantine.is_some())
    };
    Ok(material(&before) != material(&after) || before.failing.is_some())
}

/// Where the keys were, if looking there is enough: someone waits, and the discovery document is
/// not due, which whoever makes names of keys up must not put off. Settings may have changed since,
/// and the keys may be nowhere that these do not allow.
fn where_they_were<'a>(
    settings: &IssuerSettings,
    before: &'a Keys,
    look: Look,
    now: Time,
) -> Option<&'a str> {
    let is_current = |next: i64| now < Time::from_unix(next);
    let is_enough = look == Look::Keys && before.discover_next.is_some_and(is_current);
    let url = before.url.as_deref().filter(|_| is_enough)?;
    let target = Target::parse(url).ok()?;
    settings.allows_keys_at(&target).then_some(url)
}

/// A key set as it was published.
pub(super) struct Published {
    pub(super) set: Value,
    pub(super) url: String,
    pub(super) fresh_for: i64,
    /// Whether the discovery document was read on the way.
    pub(super) is_discovered: bool,
    /// The pin over which it came, if one was enforced.
    pub(super) pinned: Option<String>,
    pub(super) dated: Dated,
}

/// For which issuer of which tenant something is fetched.
#[derive(Clone, Copy)]
struct Of<'a> {
    plane: &'a Plane,
    tenant: &'a Tenant,
    id: &'a IssuerId,
    turn: Option<&'a Turn>,
}

/// The keys, from where the discovery document says that they are now.
async fn fetch_discovered(
    of: Of<'_>,
    settings: &IssuerSettings,
    url: &str,
) -> Result<Published, Refused> {
    let keys = discover(of, settings, url).await?;
    let published = fetch_keys(of, settings, &keys).await?;
    Ok(Published {
        is_discovered: true,
        ..published
    })
}

/// The address of the keys, from the discovery document (OpenID Connect Discovery 4).
async fn discover(of: Of<'_>, settings: &IssuerSettings, url: &str) -> Result<String, Refused> {
    let (_, document) = fetch_json(of, settings, url).await?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let malformed = |detail: &str| Reason::FetchDiscoveryMalformed {
        url: url.to_owned(),
        detail: detail.to_owned(),
    };
    let found = text("issuer").ok_or_else(|| malformed("it has no `issuer`"))?;
    // Not a prefix, not a pattern, not another spelling (CVE-2026-14336 and its kind).
    if found != settings.named {
        return Err(Reason::FetchDiscoveryIssuer {
            url: url.to_owned(),
            configured: settings.named.clone(),
            found: found.chars().take(256).collect(),
        }
        .into());
    }
    let keys = text("jwks_uri").ok_or_else(|| malformed("it has no `jwks_uri`"))?;
    let target = Target::parse(keys)?;
    if !settings.allows_keys_at(&target) {
        return Err(Reason::FetchKeysElsewhere {
            url: url.to_owned(),
            keys: keys.chars().take(256).collect(),
            host: target.authority(),
        }
        .into());
    }
    Ok(keys.to_owned())
}

async fn fetch_keys(
    of: Of<'_>,
    settings: &IssuerSettings,
    url: &str,
) -> Result<Published, Refused> {
    let (fetched, set) = fetch_json(of, settings, url).await?;
    let fresh = fetched.fresh_for().map(|fresh| fresh.as_secs());
    let fresh = fresh.map_or(settings.refresh_every, |seconds| {
        i64::try_from(seconds).unwrap_or(i64::MAX)
    });
    let made = of.plane.now().plus(-fetched.age());
    Ok(Published {
        set,
        url: url.to_owned(),
        fresh_for: fresh
            .min(settings.refresh_every)
            .max(SHORTEST_REFRESH.into()),
        is_discovered: false,
        pinned: fetched.pinned().map(|pinned| pinned.to_string()),
        dated: Dated {
            made: Some(made.unix()),
            modified: fetched.modified().map(Time::unix),
        },
    })
}

/// What is asked of a server of an issuer, and by what it is known.
pub(super) fn request(settings: &IssuerSettings, url: &str) -> Result<Request, Reason> {
    let limits = Limits {
        redirects: 2,
        ..Limits::default()
    };
    let request = Request::get(url)?.header(ACCEPT, "application/json, application/jwk-set+json");
    Ok(request.trusting(trust(settings)).within(limits))
}

/// By what a server of an issuer must show who it is.
pub(super) fn trust(settings: &IssuerSettings) -> Trust {
    match settings.ca.as_slice() {
        [] => Trust::System,
        more => Trust::SystemAnd(more.to_vec()),
    }
}

async fn fetch_json(
    of: Of<'_>,
    settings: &IssuerSettings,
    url: &str,
) -> Result<(Fetched, Value), Refused> {
    let mut request = request(settings, url)?;
    let host = request.target().authority();
    if let Some(pins) = of.plane.pin_check(of.tenant, of.id, &host)? {
        request = request.pinned(pins);
    }
    let (fetcher, tenant) = (of.plane.fetcher(), of.tenant.id());
    let fetched = fetcher.fetch_in(of.turn, tenant, &request).await?;
    let fetched = fetched.when_ok()?;
    let malformed = |detail: String| Reason::FetchDiscoveryMalformed {
        url: url.to_owned(),
        detail,
    };
    let text = std::str::from_utf8(fetched.body());
    let text = text.map_err(|_| malformed("it is not UTF-8".to_owned()))?;
    let members = match Members::read(Document::Request("answer"), text) {
        Ok(members) => members,
        Err(Reason::IssueBodyMalformed { detail, .. }) => return Err(malformed(detail).into()),
        Err(other) => return Err(other.into()),
    };
    Ok((fetched, Value::Object(members.rest())))
}
