//! Asks bundle endpoints, each as often as its bundle says.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_store::{AnchorRecord, Change, FederationRecord, Object};
use serde_json::Value;

use super::received::Received;
use super::relation::Relation;
use super::state::{Failure, State};
use super::{anchor_document, anchor_id, known_bundle};
use crate::fault::Refused;
use crate::fetch::Fetched;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How often it is looked which are due.
const PERIOD: Duration = Duration::from_millis(500);

/// How often an endpoint is asked that does not say how often, in seconds (SPIFFE Federation 4.4).
const USUAL_INTERVAL: u32 = 300;

/// The longest that any is left alone, in seconds: whatever it says, a key that is withdrawn there
/// is believed here no longer than this.
const LONGEST_INTERVAL: u32 = 86_400;

/// How many redirects are followed (SPIFFE Federation 5.2.3).
const MOST_REDIRECTS: usize = 3;

/// How often a bundle is stored anew because something else has changed meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// Asks those that are due, for as long as it is polled.
pub async fn follow(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        for tenant in plane.all_tenants() {
            for name in plane.due_federations(&tenant) {
                let (plane, tenant) = (Arc::clone(&plane), Arc::clone(&tenant));
                tokio::spawn(async move {
                    // Why it failed is kept with the relation.
                    drop(plane.fetch_bundle(&tenant, &name).await);
                });
            }
        }
    }
}

impl Plane {
    /// How many relations are in which state, for whoever watches the server.
    pub(crate) fn federation_states(&self) -> [(&'static str, u64); 3] {
        let mut states = State::WORDS.map(|word| (word, 0));
        for tenant in self.all_tenants() {
            let names: Vec<TrustDomain> =
                tenant.read(|snapshot| snapshot.federations.keys().cloned().collect());
            for name in names {
                let word = self.federations.of(tenant.id(), &name).word();
                for (_, count) in states.iter_mut().filter(|(state, _)| *state == word) {
                    *count += 1;
                }
            }
        }
        states
    }

    fn due_federations(&self, tenant: &Tenant) -> Vec<TrustDomain> {
        let names: Vec<TrustDomain> =
            tenant.read(|snapshot| snapshot.federations.keys().cloned().collect());
        if names.is_empty() {
            return names;
        }
        self.federations.take_due(tenant.id(), names, self.now())
    }

    /// Asks the endpoint of a relation now, and keeps the bundle if it is good. The next time is
    /// after an interval in any case (SPIFFE Federation 5.2.3).
    ///
    /// # Errors
    ///
    /// Why there is no newer bundle; then the one before stays.
    pub async fn fetch_bundle(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
    ) -> Result<(), Refused> {
        let fetched = self.fetch_and_keep(tenant, name).await;
        let now = self.now();
        let next = now.plus(i64::from(self.interval(tenant, name)));
        let outcome = match &fetched {
            Ok(()) => Ok(()),
            Err(refused) => Err(Failure::of(refused)),
        };
        if let Err(failure) = &outcome {
            tracing::warn!(
                tenant = %tenant.id(), trust_domain = %name, code = failure.code,
                sentence = failure.sentence, "there is no newer bundle of a trust domain"
            );
        }
        let is_there = tenant.read(|snapshot| snapshot.federations.contains_key(name));
        match is_there {
            true => self.federations.note(tenant.id(), name, now, next, outcome),
            false => self.federations.forget(tenant.id(), name),
        }
        fetched
    }

    async fn fetch_and_keep(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
    ) -> Result<(), Refused> {
        let record = self.federation(tenant, name)?;
        let relation = Relation::read(&record)?;
        let bundle = match relation.endpoint_domain() {
            Some(endpoint) => self.endpoint_bundle(tenant, endpoint)?,
            None => None,
        };
        let fetched = self.ask(tenant, &relation, bundle.as_ref()).await?;
        let received = Received::read(name, fetched.body())?;
        let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
        let kept =
            tokio::task::spawn_blocking(move || plane.keep_bundle(&tenant, &record, &received));
        kept.await
            .map_err(|error| crate::Fault::Bug(error.to_string()))?
    }

    /// Each hop is called as the first was: under the same trust, at an address that may be called;
    /// and the next poll begins at the beginning.
    async fn ask(
        &self,
        tenant: &Tenant,
        relation: &Relation,
        bundle: Option<&Value>,
    ) -> Result<Fetched, Refused> {
        let mut url = relation.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let (request, peer) = relation.request(&url, bundle, Arc::clone(&self.clock))?;
            let fetched = match self.fetcher().fetch(tenant.id(), &request).await {
                Err(Refused::Reason(reason)) => match *reason {
                    Reason::FetchRedirect { location, .. } => {
                        url = redirected(&url, &location)?;
                        continue;
                    }
                    // The core's own reason says more than that TLS failed.
                    Reason::FetchTls { .. } => {
                        let refused = peer.and_then(|peer| peer.refused());
                        return Err(refused.unwrap_or(*reason).into());
                    }
                    reason => return Err(reason.into()),
                },
                fetched => fetched?,
            };
            return Ok(fetched.when_ok()?);
        }
        Err(Reason::FetchRedirect {
            location: url,
            url: relation.url.clone(),
        }
        .into())
    }

    /// Makes the bundle an anchor, unless a later one is there.
    fn keep_bundle(
        &self,
        tenant: &Arc<Tenant>,
        record: &FederationRecord,
        received: &Received,
    ) -> Result<(), Refused> {
        let name = &record.trust_domain;
        let id = anchor_id(name)?;
        let mut conflict = None;
        for _ in 0..MOST_ATTEMPTS {
            let (at, held, relation) = tenant.read(|snapshot| {
                let anchor = snapshot.anchors.get(&id);
                let held = anchor.map(|anchor| anchor.document.clone());
                let relation = snapshot.federations.get(name).cloned();
                (snapshot.sequence, held, relation)
            });
            // It is another now, or gone: what was fetched for the one before means nothing.
            if relation.as_ref() != Some(record) {
                return Ok(());
            }
            let document = anchor_document(record, &Relation::read(record)?, &received.document);
            if held.as_ref() == Some(&document) {
                return Ok(());
            }
            if let Some(held) = held
                && !is_later(name, &held, received)?
            {
                return Ok(());
            }
            let put = Change::Put(Object::Anchor(AnchorRecord {
                id: id.clone(),
                document,
            }));
            match self.apply_at(tenant, at, &[put]) {
                Ok(_) => {
                    tracing::info!(
                        tenant = %tenant.id(), trust_domain = %name,
                        sequence = received.bundle.sequence(), "the bundle of a trust domain is new"
                    );
                    return Ok(());
                }
                Err(Refused::Reason(reason)) => conflict = Some(reason),
                Err(fault) => return Err(fault),
            }
        }
        Err(conflict.map_or_else(
            || crate::Fault::Bug("nothing was tried".to_owned()).into(),
            Refused::Reason,
        ))
    }

    /// How long to wait until it is asked again, in seconds: what its bundle says, within bounds.
    fn interval(&self, tenant: &Tenant, name: &TrustDomain) -> u32 {
        let bundle = known_bundle(tenant, name);
        let hint = bundle
            .as_ref()
            .and_then(|bundle| bundle.get("spiffe_refresh_hint"));
        let hint = hint
            .and_then(Value::as_u64)
            .unwrap_or(u64::from(USUAL_INTERVAL));
        let shortest = self.settings.federation_interval.min(LONGEST_INTERVAL);
        u32::try_from(hint)
            .unwrap_or(u32::MAX)
            .clamp(shortest, LONGEST_INTERVAL)
    }
}

/// Whether what was received is to take the place of what is held (SPIFFE Federation 4.4): a higher
/// number is later; where either has none, and where both are the same, the last that came is. The
/// same keys under a lower number come from a server beside.
fn is_later(name: &TrustDomain, held: &str, received: &Received) -> Result<bool, Reason> {
    let Some(document) = super::relation::bundle_in(held, name) else {
        return Ok(true);
    };
    let held = Bundle::read(name.as_str(), &document)?;
    match (held.sequence(), received.bundle.sequence()) {
        (Some(held), Some(seen)) if seen < held => {
            if document.get("keys") == received.document.get("keys") {
                return Ok(false);
            }
            Err(Reason::FetchBundleOlder {
                trust_domain: name.to_string(),
                held: held.to_string(),
                seen: seen.to_string(),
            })
        }
        (_, _) => Ok(true),
    }
}

/// Where a redirect leads: an absolute address, or a path at the same host (RFC 9110 10.2.2). It is
/// read as strictly as one that an administrator gives.
fn redirected(from: &str, location: &str) -> Result<String, Reason> {
    let refuse = || Reason::FetchRedirect {
        url: from.to_owned(),
        location: location.to_owned(),
    };
    if location.starts_with("https://") {
        return Ok(location.to_owned());
    }
    if !location.starts_with('/') || location.starts_with("//") {
        return Err(refuse());
    }
    let (scheme, rest) = from.split_once("://").ok_or_else(refuse)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}{location}"))
}
