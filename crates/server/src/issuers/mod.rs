//! Issuers of tokens that tenants trust, and their keys through their life.
//!
//! ```text
//! administrator ─► IssuerRecord     what is wanted   ┐
//!                                                    ├─► anchor ─► view ─► decide
//! schedule, token ─► fetch ─► keys: a pure function ─► IssuerKeysRecord ┘
//! ```
//!
//! What was found out is stored, so that it survives a restart and other servers know it. A key set
//! replaces the last one as a whole; one that cannot be used leaves it as it was. A key that is not
//! published any more has signed for the last time. A set that has nothing in common with the last
//! one, and another key under a known name, wait for a person.

mod drill;
mod keys;
mod left;
mod missing;
mod panels;
mod pins;
mod ranking;
mod refresh;
mod reliance;
mod rollback;
pub(crate) mod saving;
mod schedule;
mod secrets;
mod settings;
mod telling;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_store::{Change, IssuerId, IssuerKeysRecord, IssuerRecord, Key, Object};
use serde_json::{Map, Value, json};

use crate::blocking::blocking;
use crate::fault::{Fault, Refused, misnamed, unknown};
use crate::fetch::{Target, Trust};
use crate::introspection::Ask;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;
use keys::{Came, Keys, Quarantine, Taken};
use pins::Pins;
pub(crate) use pins::Staging;
use refresh::Published;
pub(crate) use refresh::{Looked, Refreshing};
use settings::{IssuerSettings, SHORTEST_REFRESH, Source};
pub(crate) use telling::admits;

/// How a status list is fetched.
pub(crate) struct ListsAllowed {
    /// By what its server must show who it is.
    pub(crate) trust: Trust,
    /// For how long it may be used after the next one was due, in seconds.
    pub(crate) stale_for: i64,
}

impl Plane {
    /// Stores what is wanted of an issuer in the place of what had its name. It is read first, as it
    /// will be when something is decided. The same issuer under the same name keeps its keys.
    ///
    /// # Errors
    ///
    /// Why it cannot be read; `policy.shared_issuer_unpinned`, `issue.trust_unconditional`,
    /// `issue.trust_mutable`;
    /// `issue.conflict` where another name has the issuer; or what failed on our side.
    pub fn put_issuer(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        document: &str,
    ) -> Result<IssuerId, Refused> {
        let id = IssuerId::parse(name).ok_or_else(|| misnamed("issuer", "name"))?;
        // Worked out in its turn: a quarantine must not be written over.
        let put = self.settle(tenant, || {
            // Each time anew: the secret that is kept may be another one meanwhile.
            let document = self.with_sealed_secrets(tenant, &id, document)?;
            let settings = IssuerSettings::read(&document)?;
            self.check_issuer(tenant, &id, &settings)?;
            let mut keys = self.keys_under(tenant, &id, &settings)?;
            let mut changes = left::taken_up(tenant, &id, &settings, &mut keys)?;
            let record = IssuerRecord {
                id: id.clone(),
                document,
            };
            changes.extend([Change::Put(Object::Issuer(record)), put_keys(&id, &keys)]);
            Ok((id.clone(), changes))
        })?;
        self.refreshing.forget(&(tenant.id().clone(), id));
        Ok(put)
    }

    /// What stays known of the keys of an issuer whose settings become these.
    fn keys_under(
        &self,
        tenant: &Tenant,
        id: &IssuerId,
        settings: &IssuerSettings,
    ) -> Result<Keys, Refused> {
        let mut keys = match self.issuer(tenant, id) {
            Ok((before, keys)) if before.issuer == settings.issuer => keys.read_anew(),
            Ok(_) | Err(_) => Keys::default(),
        };
        if let Source::Uploaded(set) = &settings.source {
            // Whoever uploads a set has seen it: it is continuous with what they know.
            keys.take(&settings.issuer, set, self.now(), Came::Uploaded)?;
            (keys.as_of, keys.next, keys.failing) = (None, None, None);
        }
        Ok(keys)
    }

    /// Reads it as an anchor, as when something is decided, and looks at whom it lets in.
    fn check_issuer(
        &self,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
        settings: &IssuerSettings,
    ) -> Result<(), Refused> {
        if let Some((_, expires)) = &settings.overridden
            && *expires <= self.now()
        {
            return Err(Reason::IssueObjectMalformed {
                object: "issuer",
                member: "override.expires".to_owned(),
                detail: "it is over".to_owned(),
            }
            .into());
        }
        let anchor = bare_anchor(id, settings);
        // Whoever replaces a stolen key changes nothing of whom it is believed about.
        let stored = self.issuer(tenant, id).ok();
        let is_as_stored = stored.is_some_and(|(stored, _)| bare_anchor(id, &stored) == anchor);
        let read = views::read_sent("issuer", anchor.into(), tenant)?;
        for entry in read.entries() {
            if !is_as_stored {
                saving::check(&entry.anchor.kind)?;
                saving::check_usable("issuer", &entry.anchor, self.now())?;
            }
            self.check_not_itself(tenant, &entry.anchor.kind)?;
        }
        check_alone(tenant, id, settings)
    }

    /// Trusts an issuer no more, and forgets its keys, but not that it is in quarantine.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn remove_issuer(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let id = self.issuer_named(tenant, name)?;
        // Worked out in its turn: what is put into quarantine meanwhile is removed in it.
        self.settle(tenant, || {
            let left = match self.issuer(tenant, &id) {
                Ok((settings, keys)) => left::removed(&id, &settings, &keys),
                // What cannot be read can be removed all the same.
                Err(_) => Change::Remove(Key::IssuerKeys(id.clone())),
            };
            let gone = vec![
                Change::Remove(Key::Issuer(id.clone())),
                left,
                Change::Remove(Key::IssuerPins(id.clone())),
            ];
            Ok(((), gone))
        })?;
        self.refreshing.forget(&(tenant.id().clone(), id));
        Ok(())
    }

    /// Believes nothing of an issuer any more, by whatever anchor, until someone releases it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn quarantine_issuer(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        cause: &str,
    ) -> Result<(), Refused> {
        let id = self.issuer_named(tenant, name)?;
        let now = self.now();
        self.note_keys(tenant, &id, |_, keys| {
            keys.quarantine(now, cause.to_owned());
            Ok(())
        })?;
        tracing::warn!(tenant = %tenant.id(), issuer = %id, "an issuer was put into quarantine");
        Ok(())
    }

    /// Believes an issuer again, and the key set that waits for it, if what waits is still what
    /// `etag` names.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.release_stale`, or what failed on our side.
    pub fn release_issuer(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        etag: &str,
        by: &str,
    ) -> Result<(), Refused> {
        let id = self.issuer_named(tenant, name)?;
        let now = self.now();
        self.note_keys(tenant, &id, |settings, keys| {
            keys.release(&settings.issuer, etag, now, by)
        })?;
        self.refreshing.forget(&(tenant.id().clone(), id));
        Ok(())
    }

    /// Notes which keys are at work, for an acceptance.
    pub fn note_issuer_use(&self, tenant: &Tenant, verdict: &Verdict) {
        let Verdict::Accept(sealed) = verdict else {
            return;
        };
        let anchor = sealed.preview().anchor();
        let Some(id) = IssuerId::parse(&anchor.anchor.name) else {
            return;
        };
        let known = tenant.held().trust_sequence;
        let place = (tenant.id().clone(), id);
        if self.refreshing.is_at_work(&place, &anchor.key, known) {
            return;
        }
        let is_new = self
            .issuer(tenant, &place.1)
            .is_ok_and(|(_, mut keys)| keys.used(&anchor.key, self.now()));
        let key = anchor.key.clone();
        if is_new {
            let uses = &self.refreshing.uses;
            let mut uses = uses.lock().unwrap_or_else(PoisonError::into_inner);
            let use_of = (place.clone(), key.clone());
            uses.entry(use_of).or_insert_with(|| self.now());
        }
        // Until something changes, and storing that use does.
        self.refreshing.note_at_work(place, key, known);
    }

    /// Stores which keys were seen at work for the first time.
    ///
    /// # Errors
    ///
    /// What failed on our side; then it is tried again with the next.
    pub fn store_issuer_uses(&self) -> Result<(), Refused> {
        let uses = {
            let uses = &self.refreshing.uses;
            std::mem::take(&mut *uses.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let mut uses = uses.into_iter();
        while let Some((((tenant, id), key), at)) = uses.next() {
            let Some(tenant) = self.opened(&tenant) else {
                continue;
            };
            if !tenant.read(|snapshot| snapshot.issuers.contains_key(&id)) {
                continue;
            }
            let noted = self.note_keys(&tenant, &id, |_, keys| {
                keys.used(&key, at);
                Ok(())
            });
            if noted.is_err() {
                let left = &self.refreshing.uses;
                let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                left.insert(((tenant.id().clone(), id), key), at);
                left.extend(uses);
                return noted;
            }
        }
        Ok(())
    }

    /// The issuer of this name, as it is wanted and as its keys are known.
    fn issuer(&self, tenant: &Tenant, id: &IssuerId) -> Result<(IssuerSettings, Keys), Refused> {
        let found = tenant.read(|snapshot| {
            let record = snapshot.issuers.get(id)?.document.clone();
            let keys = snapshot
                .issuer_keys
                .get(id)
                .map(|keys| keys.document.clone());
            Some((record, keys))
        });
        let (document, keys) = found.ok_or_else(|| no_issuer(id.as_str()))?;
        read(id, &document, keys.as_deref())
    }

    fn issuer_named(&self, tenant: &Tenant, name: &str) -> Result<IssuerId, Refused> {
        let id = IssuerId::parse(name);
        let there = id.filter(|id| tenant.read(|snapshot| snapshot.issuers.contains_key(id)));
        Ok(there.ok_or_else(|| no_issuer(name))?)
    }

    /// The issuers whose tokens carry this name and whose keys are fetched.
    fn fetched_issuers(&self, tenant: &Tenant, issuer: &str) -> Vec<IssuerId> {
        let names: Vec<IssuerId> =
            tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        let is_meant = |id: &IssuerId| {
            self.issuer(tenant, id)
                .is_ok_and(|(settings, _)| settings.issuer == issuer && settings.is_fetched())
        };
        names.into_iter().filter(is_meant).collect()
    }

    /// How an issuer is asked about its tokens, wherever it is registered with that.
    pub(crate) fn introspections(
        &self,
        tenant: &Tenant,
        issuer: &str,
    ) -> Result<Vec<Ask>, Refused> {
        let ids: Vec<IssuerId> = tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        let mut all = Vec::new();
        for id in ids {
            let (settings, _) = self.issuer(tenant, &id)?;
            let trust = refresh::trust(&settings);
            let asked_again = settings.asked_again();
            let Some(endpoint) = settings.endpoint.filter(|_| settings.issuer == issuer) else {
                continue;
            };
            all.push(Ask {
                id,
                issuer: settings.issuer,
                age_max: asked_again.unwrap_or(endpoint.age_usual()),
                endpoint,
                trust,
            });
        }
        Ok(all)
    }

    /// How a status list at an address is fetched that tokens of an issuer name, if it may be there.
    pub(crate) fn lists_allowed(
        &self,
        tenant: &Tenant,
        issuer: &str,
        list: &Target,
    ) -> Result<ListsAllowed, Refused> {
        let ids: Vec<IssuerId> = tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        for id in ids {
            let (settings, _) = self.issuer(tenant, &id)?;
            if settings.issuer == issuer && settings.allows_lists_at(list) {
                return Ok(ListsAllowed {
                    trust: refresh::trust(&settings),
                    stale_for: settings.status_stale_for,
                });
            }
        }
        if let Some(allowed) = self.federation_lists_allowed(tenant, issuer, list) {
            return Ok(allowed);
        }
        Err(Reason::FetchStatusListElsewhere {
            url: list.to_string(),
            issuer: issuer.to_owned(),
            host: list.authority(),
        }
        .into())
    }

    /// Takes what is published. What is refused of it is noted, and told.
    fn keys_published(
        &self,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
        wanted: &IssuerSettings,
        published: &Published,
    ) -> Result<Option<Reason>, Refused> {
        let now = self.now();
        let mut refused = None;
        self.note_keys(tenant, id, |settings, keys| {
            if settings.issuer != wanted.issuer || !settings.is_fetched() {
                return Ok(());
            }
            let came = Came::Fetched {
                dated: published.dated,
                takes_new_keys: settings.takes_new_keys,
            };
            match keys.take(&settings.issuer, &published.set, now, came) {
                Ok(taken) => {
                    if taken != Taken::Held {
                        keys.as_of = Some(now.unix());
                        keys.url = Some(published.url.clone());
                        keys.held = published.pinned.clone();
                    }
                    // Soon the newer one is served again, or this is what it publishes.
                    let is_looked_at_soon = taken != Taken::Whole || keys.is_in_doubt(now);
                    let next = match is_looked_at_soon {
                        true => SHORTEST_REFRESH.into(),
                        false => published.fresh_for,
                    };
                    keys.next = Some(now.plus(next).unix());
                    if published.is_discovered {
                        keys.discover_next = Some(now.plus(published.fresh_for).unix());
                    }
                    (keys.failing, keys.missed, refused) = (None, None, None);
                }
                Err(reason) => {
                    keys.failed(now, &reason, true);
                    refused = Some(reason);
                }
            }
            Ok(())
        })?;
        Ok(refused)
    }

    fn keys_failed(
        &self,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
        reason: &Reason,
    ) -> Result<(), Refused> {
        let now = self.now();
        self.note_keys(tenant, id, |settings, keys| {
            let alarm = !keys.need_not_be(settings);
            keys.failed(now, reason, alarm);
            Ok(())
        })
    }

    /// Changes what is known of the keys of an issuer: worked out from what is stored, and stored if
    /// nothing has changed meanwhile, on whichever server.
    fn note_keys(
        &self,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
        mut note: impl FnMut(&IssuerSettings, &mut Keys) -> Result<(), Reason>,
    ) -> Result<(), Refused> {
        let quarantined = self.settle(tenant, || {
            let (settings, before) = self.issuer(tenant, id)?;
            let mut after = before.clone();
            note(&settings, &mut after)?;
            if after == before {
                return Ok((None, Vec::new()));
            }
            let is_new = before.quarantine.is_none() && after.quarantine.is_some();
            let changes = vec![put_keys(id, &after)];
            Ok((is_new.then_some(settings.issuer), changes))
        })?;
        if let Some(issuer) = quarantined {
            self.revoke_descended(tenant, &issuer);
        }
        Ok(())
    }

    /// The issuers of a tenant of which nothing is believed for now, by their names, with why.
    ///
    /// # Errors
    ///
    /// What failed on our side: of whom that cannot be told, nothing is assumed.
    pub(crate) fn quarantined(&self, tenant: &Tenant) -> Result<BTreeMap<String, Value>, Refused> {
        let ids: Vec<IssuerId> = tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        let mut quarantined = BTreeMap::new();
        for id in ids {
            let (settings, keys) = self.issuer(tenant, &id)?;
            let why = keys.quarantine.as_ref().map(Quarantine::to_json);
            quarantined.extend(why.map(|why| (settings.issuer, why)));
        }
        quarantined.extend(left_in_quarantine(tenant)?);
        Ok(quarantined)
    }

    /// The anchors that issuers come to, and the issuers in quarantine with why.
    pub(crate) fn issuer_anchors(
        &self,
        tenant: &Tenant,
    ) -> Result<(Vec<Value>, BTreeMap<String, Value>), Refused> {
        let ids: Vec<IssuerId> = tenant.read(|snapshot| snapshot.issuers.keys().cloned().collect());
        let mut anchors = Vec::new();
        let mut quarantined: BTreeMap<String, Value> = left_in_quarantine(tenant)?.collect();
        for id in ids {
            let (settings, keys) = self.issuer(tenant, &id)?;
            if let Some(quarantine) = &keys.quarantine {
                quarantined.insert(settings.issuer.clone(), Quarantine::to_json(quarantine));
            }
            let pins = self.pins(tenant, &id)?;
            let anchor = anchor_of(&id, &settings, keys, &pins, self.now());
            anchors.push(Value::Object(anchor));
        }
        Ok((anchors, quarantined))
    }
}

/// The issuers that were removed in quarantine, with why.
fn left_in_quarantine(
    tenant: &Tenant,
) -> Result<impl Iterator<Item = (String, Value)> + use<>, Refused> {
    let left = left::all(tenant)?.into_iter();
    Ok(left.map(|one| (one.issuer, one.quarantine.to_json())))
}

/// Refuses an issuer whose tokens could be taken for those of another of the tenant.
fn check_alone(tenant: &Tenant, id: &IssuerId, settings: &IssuerSettings) -> Result<(), Refused> {
    let others: Vec<(IssuerId, String)> = tenant.read(|snapshot| {
        let others = snapshot.issuers.values().filter(|other| other.id != *id);
        let others = others.map(|other| (other.id.clone(), other.document.clone()));
        others.collect()
    });
    for (other, document) in others {
        let Ok(there) = IssuerSettings::read(&document) else {
            continue;
        };
        let name = &settings.named;
        // Evidence is short: what helps has to stand in it.
        let detail = if there.issuer != settings.issuer {
            if !settings.is_taken_for(&there) {
                continue;
            }
            format!(
                "`{id}` and `{other}` are both called `{name}`, and a token may be shown to one alone: \
                 each needs `audiences` that the other has not"
            )
        } else if settings.is_cluster() {
            format!(
                "`{name}` is here already, as `{other}`; put another cluster of that name with a `cluster` \
                 of its own, or name it anew (`--service-account-issuer`)"
            )
        } else {
            format!("the issuer `{name}` is here already, as `{other}`")
        };
        return Err(Reason::IssueConflict { detail }.into());
    }
    Ok(())
}

/// Fetches keys that are due, and stores which were seen at work, for as long as the server runs.
pub(crate) async fn keep(plane: Arc<Plane>) {
    /// How often is looked.
    const PERIOD: std::time::Duration = std::time::Duration::from_secs(1);
    loop {
        tokio::time::sleep(PERIOD).await;
        // Nobody's keys wait for a server that lets those wait who look at it.
        let refreshing = Arc::clone(&plane);
        tokio::spawn(async move { refreshing.refresh_due_issuers().await });
        let watching = Arc::clone(&plane);
        tokio::spawn(async move { watching.watch_due_pins().await });
        let storing = Arc::clone(&plane);
        if let Err(error) = blocking(move || storing.store_issuer_uses()).await {
            tracing::error!(%error, "the first use of a key could not be stored");
        }
        let storing = Arc::clone(&plane);
        if let Err(error) = blocking(move || storing.store_service_uses()).await {
            tracing::error!(%error, "what was seen of a service could not be stored");
        }
    }
}

fn read(
    id: &IssuerId,
    document: &str,
    keys: Option<&str>,
) -> Result<(IssuerSettings, Keys), Refused> {
    let damaged = || Fault::Stored(format!("the issuer {id} cannot be read"));
    let settings = IssuerSettings::read(document).map_err(|_| damaged())?;
    let keys = match keys {
        Some(text) => Keys::read(text).ok_or_else(damaged)?,
        None => Keys::default(),
    };
    Ok((settings, keys))
}

fn anchor_of(
    id: &IssuerId,
    settings: &IssuerSettings,
    keys: Keys,
    pins: &Pins,
    now: Time,
) -> Map<String, Value> {
    let mut anchor = settings.anchor.clone();
    anchor.insert("name".to_owned(), id.as_str().into());
    if let Some((reason, expires)) = &settings.overridden {
        let unpinned = json!({"reason": reason, "expires": expires.to_string()});
        anchor.insert("unpinned".to_owned(), unpinned);
    }
    if !settings.has_keys() {
        let quarantine = keys.quarantine.as_ref().map(Quarantine::to_json);
        anchor.extend(quarantine.map(|why| ("quarantined".to_owned(), why)));
        return anchor;
    }
    keys.into_anchor(settings.stale_for, pins, now, &mut anchor);
    anchor
}

/// The anchor that it would be if nothing were known of its keys.
fn bare_anchor(id: &IssuerId, settings: &IssuerSettings) -> Map<String, Value> {
    let (keys, pins) = (Keys::default(), Pins::default());
    anchor_of(id, settings, keys, &pins, Time::from_unix(0))
}

fn put_keys(id: &IssuerId, keys: &Keys) -> Change {
    Change::Put(Object::IssuerKeys(IssuerKeysRecord {
        id: id.clone(),
        document: keys.to_text(),
    }))
}

fn no_issuer(name: &str) -> Reason {
    unknown("issuer", name)
}

/// A time as it is shown.
fn shown(at: i64) -> String {
    Time::from_unix(at).to_string()
}
