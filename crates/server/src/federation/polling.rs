//! Asks bundle endpoints, each as often as its bundle says.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_store::{
    AnchorRecord, Change, FederationCourse, FederationFailure, FederationRecord, Object,
};
use serde_json::Value;

use super::received::Received;
use super::relation::Relation;
use super::state::{WORDS, after, failure_of, word};
use super::{anchor_document, anchor_id, known_bundle};
use crate::fault::Refused;
use crate::fetch::{Fetched, Turn};
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

/// Within how many seconds of a start is asked what fell due before; less where all are asked more
/// often.
const SPREAD: u32 = 60;

/// Asks those that are due, for as long as it is polled.
pub async fn follow(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        for tenant in plane.open_tenants() {
            for name in plane.due_federations(&tenant) {
                let (plane, tenant) = (Arc::clone(&plane), Arc::clone(&tenant));
                tokio::spawn(async move {
                    let turn = plane.fetcher().turn(tenant.id()).await;
                    // Why it failed is kept with the relation.
                    drop(plane.fetch_bundle_in(Some(&turn), &tenant, &name).await);
                });
            }
        }
    }
}

impl Plane {
    /// How many relations are in which state, for whoever watches the server.
    pub(crate) fn federation_states(&self) -> [(&'static str, u64); 3] {
        let mut states = WORDS.map(|word| (word, 0));
        for tenant in self.open_tenants() {
            for record in relations(&tenant) {
                let word = word(self.federations.of(tenant.id(), &record).as_ref());
                for (_, count) in states.iter_mut().filter(|(state, _)| *state == word) {
                    *count += 1;
                }
            }
        }
        states
    }

    fn due_federations(&self, tenant: &Tenant) -> Vec<TrustDomain> {
        let records = relations(tenant);
        if records.is_empty() {
            return Vec::new();
        }
        let spread = self.settings.federation_interval.min(SPREAD);
        self.federations
            .take_due(tenant.id(), &records, self.now(), spread)
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
        self.fetch_bundle_in(None, tenant, name).await
    }

    async fn fetch_bundle_in(
        self: &Arc<Self>,
        turn: Option<&Turn>,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
    ) -> Result<(), Refused> {
        let fetched = self.fetch_and_keep(turn, tenant, name).await;
        // We have not asked: that says nothing of the endpoint, and hides nothing that is known of it.
        if fetched.as_ref().is_err_and(Refused::is_budget_of_fetches) {
            return fetched;
        }
        let failure = fetched.as_ref().err().map(failure_of);
        if let Some(failure) = &failure {
            tracing::warn!(
                tenant = %tenant.id(), trust_domain = %name, code = failure.code,
                sentence = failure.sentence, "there is no newer bundle of a trust domain"
            );
        }
        let (plane, of, name) = (Arc::clone(self), Arc::clone(tenant), name.clone());
        let noted =
            tokio::task::spawn_blocking(move || plane.note_course(&of, &name, failure)).await;
        noted.map_err(|error| crate::Fault::Bug(error.to_string()))?;
        fetched
    }

    /// Puts on record how it went. What cannot be stored is held until it can.
    fn note_course(
        &self,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
        failure: Option<FederationFailure>,
    ) {
        let now = self.now();
        let next = now.plus(i64::from(self.interval(tenant, name)));
        let noted = self.settle(tenant, || {
            let Some(record) = tenant.read(|snapshot| snapshot.federations.get(name).cloned())
            else {
                return Ok((None, Vec::new()));
            };
            let before = self.federations.of(tenant.id(), &record);
            let course = after(before.as_ref(), now, next, failure.clone());
            let noted = FederationRecord {
                course: Some(course),
                ..record
            };
            Ok((None, vec![Change::Put(Object::Federation(noted))]))
        });
        let held: Option<FederationCourse> = match noted {
            Ok(held) => held,
            Err(_) => tenant.read(|snapshot| {
                let record = snapshot.federations.get(name)?;
                let before = self.federations.of(tenant.id(), record);
                Some(after(before.as_ref(), now, next, failure))
            }),
        };
        match held {
            Some(course) => self.federations.hold(tenant.id(), name, course),
            None => self.federations.forget(tenant.id(), name),
        }
        self.federations.done(tenant.id(), name);
    }

    async fn fetch_and_keep(
        self: &Arc<Self>,
        turn: Option<&Turn>,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
    ) -> Result<(), Refused> {
        let record = self.federation(tenant, name)?;
        let relation = Relation::read(&record)?;
        let bundle = match relation.endpoint_domain() {
            Some(endpoint) => self.endpoint_bundle(tenant, endpoint)?,
            None => None,
        };
        let fetched = self.ask(turn, tenant, &relation, bundle.as_ref()).await?;
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
        turn: Option<&Turn>,
        tenant: &Tenant,
        relation: &Relation,
        bundle: Option<&Value>,
    ) -> Result<Fetched, Refused> {
        let mut url = relation.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let (request, peer) = relation.request(&url, bundle, Arc::clone(&self.clock))?;
            let fetched = match self.fetcher().fetch_in(turn, tenant.id(), &request).await {
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
        let is_new = self.settle(tenant, || {
            let (held, relation) = tenant.read(|snapshot| {
                let anchor = snapshot.anchors.get(&id);
                let held = anchor.map(|anchor| anchor.document.clone());
                (held, snapshot.federations.get(name).cloned())
            });
            // It is another now, or gone: what was fetched for the one before means nothing.
            let is_same = relation.is_some_and(|relation| {
                (relation.document, relation.created) == (record.document.clone(), record.created)
            });
            if !is_same {
                return Ok((false, Vec::new()));
            }
            let document = anchor_document(record, &Relation::read(record)?, &received.document);
            if held.as_ref() == Some(&document) {
                return Ok((false, Vec::new()));
            }
            if let Some(held) = held
                && !is_later(name, &held, received)?
            {
                return Ok((false, Vec::new()));
            }
            let id = id.clone();
            let put = Change::Put(Object::Anchor(AnchorRecord { id, document }));
            Ok((true, vec![put]))
        })?;
        if is_new {
            tracing::info!(
                tenant = %tenant.id(), trust_domain = %name,
                sequence = received.bundle.sequence(), "the bundle of a trust domain is new"
            );
        }
        Ok(())
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

fn relations(tenant: &Tenant) -> Vec<FederationRecord> {
    tenant.read(|snapshot| snapshot.federations.values().cloned().collect())
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
