//! Watching what pinned servers show: by schedule and by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::TenantId;
use avouch_core::pin::{Link, Pin, Pinned, Place, continues};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::IssuerId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::keys::Keys;
use super::super::refresh::{Id, request};
use super::super::settings::{IssuerSettings, Source};
use super::record::{MOST_PINS, Pins, StoredPin};
use super::warnings::{Warning, warnings};
use crate::blocking::blocking;
use crate::fault::Refused;
use crate::fetch::{Look, Target, Turn};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How often is looked at each pinned server, in seconds.
const PERIOD: i64 = 3_600;

/// How many connections are made at each look: machines behind one name show different certificates
/// while a rotation is under way.
const CONNECTIONS: usize = 4;

/// How many issuers are looked at at once, one of each tenant: what one tenant has to wait for, no
/// other waits for.
const AT_ONCE: usize = 64;

/// How many pins there are of each mode, and how many warnings of each kind.
pub(crate) struct PinStates {
    pub(crate) modes: Vec<(&'static str, u64)>,
    pub(crate) kinds: Vec<(&'static str, u64)>,
}

/// When each issuer was looked at last, by this server, and what could not be seen then.
pub(crate) struct Watched {
    watches: Mutex<BTreeMap<Id, Watch>>,
    /// The tenants whose issuers are being looked at.
    busy: Mutex<BTreeSet<TenantId>>,
    at_once: Semaphore,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            watches: Mutex::default(),
            busy: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Watch {
    pub(super) at: Option<Time>,
    pub(super) unseen: Vec<(String, Reason)>,
}

impl Watched {
    /// Forgets the issuers of a tenant.
    pub(in crate::issuers) fn forget_tenant(&self, tenant: &TenantId) {
        let mut all = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, _), _| of != tenant);
    }

    pub(super) fn of(&self, id: &Id) -> Watch {
        let all = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).cloned().unwrap_or_default()
    }

    fn note(&self, id: Id, watch: Watch) {
        let mut all = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, watch);
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<TenantId>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plane {
    /// Looks at what all pinned servers show that are due: those of one tenant one after another,
    /// and those of no tenant that is being looked at already.
    pub async fn watch_due_pins(self: &Arc<Self>) {
        let mut watching = JoinSet::new();
        for tenant in self.open_tenants() {
            let due = self.due_pins(&tenant);
            if due.is_empty() || !self.refreshing.watched.busy().insert(tenant.id().clone()) {
                continue;
            }
            let plane = Arc::clone(self);
            watching.spawn(async move {
                for id in due {
                    plane.watch(&tenant, &id).await;
                }
                plane.refreshing.watched.busy().remove(tenant.id());
            });
        }
        while watching.join_next().await.is_some() {}
    }

    async fn watch(self: &Arc<Self>, tenant: &Arc<Tenant>, id: &IssuerId) {
        let Ok(_place) = self.refreshing.watched.at_once.acquire().await else {
            return;
        };
        let turn = self.fetcher().turn(tenant.id()).await;
        if let Err(error) = self.check_pins_in(Some(&turn), tenant, id).await {
            tracing::error!(tenant = %tenant.id(), issuer = %id, %error, "pins are not watched");
        }
    }

    fn due_pins(&self, tenant: &Tenant) -> Vec<IssuerId> {
        let now = self.now();
        let ids: Vec<IssuerId> =
            tenant.read(|snapshot| snapshot.issuer_pins.keys().cloned().collect());
        let is_due = |id: &IssuerId| {
            let watched = &self.refreshing.watched;
            let last = watched.of(&(tenant.id().clone(), id.clone())).at;
            let is_over = last.is_none_or(|last| now.since(last) >= PERIOD);
            is_over
                && self
                    .pins(tenant, id)
                    .is_ok_and(|pins| !pins.pins.is_empty())
        };
        ids.into_iter().filter(is_due).collect()
    }

    /// Looks at what the servers of an issuer show now, remembers it, and pins what continues a pin
    /// that lets it.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) async fn check_pins(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
    ) -> Result<(), Refused> {
        self.check_pins_in(None, tenant, id).await
    }

    async fn check_pins_in(
        self: &Arc<Self>,
        turn: Option<&Turn>,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
    ) -> Result<(), Refused> {
        let (settings, keys) = self.issuer(tenant, id)?;
        let key = (tenant.id().clone(), id.clone());
        let mut watch = Watch {
            at: Some(self.now()),
            unseen: Vec::new(),
        };
        self.refreshing.watched.note(key.clone(), watch.clone());
        let mut looks = Vec::new();
        for (host, url) in endpoints(&settings, &keys) {
            let looked = match request(&settings, &url) {
                Ok(request) => {
                    self.fetcher()
                        .look_in(turn, tenant.id(), &request, CONNECTIONS)
                        .await
                }
                Err(reason) => Err(reason.into()),
            };
            match looked {
                Ok(seen) => {
                    let failed = seen.iter().find_map(|look| look.paths.as_ref().err());
                    if let Some(reason) = failed {
                        watch.unseen.push((host.clone(), reason.clone()));
                    }
                    looks.push((host, seen));
                }
                Err(Refused::Reason(reason)) => watch.unseen.push((host, *reason)),
                Err(fault) => return Err(fault),
            }
        }
        self.refreshing.watched.note(key, watch);
        let (plane, tenant, id) = (Arc::clone(self), Arc::clone(tenant), id.clone());
        blocking(move || plane.note_looks(&tenant, &id, &looks)).await
    }

    fn note_looks(
        &self,
        tenant: &Arc<Tenant>,
        id: &IssuerId,
        looks: &[(String, Vec<Look>)],
    ) -> Result<(), Refused> {
        let now = self.now();
        let mut news: Vec<Warning> = Vec::new();
        self.note_pins(tenant, id, |settings, pins, keys| {
            let hosts = hosts(settings, keys);
            let before = warnings(pins, keys, &settings.issuer, &hosts, now);
            for (host, seen) in looks {
                let chains = seen.iter().flat_map(|look| look.paths.iter().flatten());
                pins.saw(host, chains, now);
                for staged in continuing(pins, host, now) {
                    let detail = format!(
                        "{}, since it continues {}",
                        staged.pin,
                        staged.continues.as_deref().unwrap_or_default()
                    );
                    pins.put(staged);
                    keys.tell(now, "pin_staged", detail, true);
                }
            }
            let after = warnings(pins, keys, &settings.issuer, &hosts, now);
            let is_new = |warning: &&Warning| {
                let mut known = before.iter();
                warning.severity() != "info"
                    && !known.any(|one| one.kind == warning.kind && one.about == warning.about)
            };
            news = after.iter().filter(is_new).cloned().collect();
            for warning in &news {
                let detail = format!("{}: {}", warning.kind, warning.sentence);
                keys.tell(now, "pin_warning", detail, true);
            }
            Ok(())
        })?;
        for warning in news {
            tracing::warn!(
                tenant = %tenant.id(), issuer = %id, kind = warning.kind, about = warning.about,
                "a pin is about to break: {}", warning.sentence
            );
        }
        Ok(())
    }

    /// How many warnings of each kind there are, for whoever watches the server.
    pub(crate) fn pin_states(&self) -> PinStates {
        let now = self.now();
        let mut modes = vec![("enforced", 0), ("vestigial", 0)];
        let mut kinds: Vec<(&'static str, u64)> =
            super::KINDS.iter().map(|(kind, _)| (*kind, 0)).collect();
        for tenant in self.open_tenants() {
            let ids: Vec<IssuerId> =
                tenant.read(|snapshot| snapshot.issuer_pins.keys().cloned().collect());
            for id in ids {
                let known = self.issuer(&tenant, &id).and_then(|known| {
                    let pins = self.pins(&tenant, &id)?;
                    Ok((known, pins))
                });
                let Ok(((settings, keys), pins)) = known else {
                    continue;
                };
                for pin in &pins.pins {
                    count(&mut modes, pin.mode());
                }
                let hosts = hosts(&settings, &keys);
                for warning in warnings(&pins, &keys, &settings.issuer, &hosts, now) {
                    count(&mut kinds, warning.kind);
                }
            }
        }
        PinStates { modes, kinds }
    }
}

fn count(counts: &mut [(&'static str, u64)], name: &str) {
    if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == name) {
        *count += 1;
    }
}

/// The servers of an issuer that keys come from: each host with an address on it.
fn endpoints(settings: &IssuerSettings, keys: &Keys) -> Vec<(String, String)> {
    let configured = match &settings.source {
        Source::Discovery(url) | Source::Keys(url) => Some(url.clone()),
        Source::Metadata | Source::Review | Source::Uploaded(_) => None,
    };
    let found = keys.url.clone().filter(|_| settings.is_fetched());
    let mut endpoints: Vec<(String, String)> = Vec::new();
    for url in configured.into_iter().chain(found) {
        let Ok(target) = Target::parse(&url) else {
            continue;
        };
        if !endpoints
            .iter()
            .any(|(host, _)| *host == target.authority())
        {
            endpoints.push((target.authority(), url));
        }
    }
    endpoints
}

/// The hosts of an issuer that keys come from.
pub(super) fn hosts(settings: &IssuerSettings, keys: &Keys) -> Vec<String> {
    let endpoints = endpoints(settings, keys).into_iter();
    endpoints.map(|(host, _)| host).collect()
}

/// The pins that what a host shows now continues by itself; see [`continues`] for what proves that.
fn continuing(pins: &Pins, host: &str, now: Time) -> Vec<StoredPin> {
    let held_before: Vec<Link> = pins
        .paths
        .iter()
        .flat_map(|path| path.shown().links)
        .collect();
    let mut staged: Vec<StoredPin> = Vec::new();
    for from in pins.of_host(host).filter(|pin| pin.auto_stage) {
        let Some(pin) = from.read().filter(|pin| pin.is_live(now)) else {
            continue;
        };
        for path in pins.current(host, now) {
            let shown = path.shown();
            if pin.holds(&shown) {
                continue;
            }
            let new = next(&pin, &held_before, path);
            let Some(pinned) = new.filter(|new| pins.find(*new).is_none()) else {
                continue;
            };
            let is_room = pins.pins.len() + staged.len() < MOST_PINS;
            let name = pinned.to_string();
            if is_room && !staged.iter().any(|one| one.pin == name) {
                staged.push(StoredPin {
                    pin: name,
                    reason: format!("what {host} shows continues the pin {}", from.pin),
                    added: now.unix(),
                    continues: Some(from.pin.clone()),
                    ..from.clone()
                });
            }
        }
    }
    staged
}

/// The certificate at the place of a pin that continues it, if one does.
fn next(pin: &Pin, held_before: &[Link], path: &super::record::SeenPath) -> Option<Pinned> {
    let shown = path.shown();
    let mut links = shown.at(pin.place).iter();
    let found = links.find(|link| continues(pin, link, &shown, held_before))?;
    Some(Pinned::Sha256(found.sha256()))
}

/// All that was seen and that no pin holds.
pub(super) fn unheld(
    settings: &IssuerSettings,
    pins: &Pins,
    keys: &Keys,
    now: Time,
) -> Vec<Pinned> {
    let hosts = hosts(settings, keys);
    let found = warnings(pins, keys, &settings.issuer, &hosts, now).into_iter();
    let is_meant =
        |warning: &Warning| matches!(warning.kind, "missed" | "second_path" | "key_unpinned");
    let names = found.filter(is_meant);
    names
        .filter_map(|warning| Pinned::parse(&warning.about))
        .collect()
}

/// Whether something of this name was seen.
pub(super) fn was_seen(pins: &Pins, keys: &Keys, pinned: Pinned, now: Time) -> bool {
    if pinned.is_of_tokens() {
        return keys.current().any(|key| key.pinned() == Some(pinned));
    }
    let mut links = pins.paths.iter().flat_map(|path| &path.links);
    let is_anchor = || {
        let mut paths = pins.paths.iter().map(super::record::SeenPath::shown);
        paths.any(|path| {
            let pin = Pin {
                pinned,
                place: Place::Anchor,
                enforced: true,
                expires: None,
            };
            pin.is_live(now) && pin.holds(&path)
        })
    };
    links.any(|link| link.is_called(pinned)) || is_anchor()
}
