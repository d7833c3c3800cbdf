//! Services of tenants, which trust models may decide for each, and which have.
//!
//! ```text
//! decided, or refused ─► noted ─► waiting ─► stored, once by model and by whether it was refused
//! ```
//!
//! The core keeps the boundary; here is kept when it was first come across. What was seen of a service is
//! stored with it, so that it survives a restart and all servers know it, and is told as a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::id::TenantId;
use avouch_core::question::Question;
use avouch_core::reason::Reason;
use avouch_core::service::{Across, Service, asked_for};
use avouch_core::time::Time;
use avouch_core::verdict::{TrustModel, Verdict};
use avouch_core::view::View;
use avouch_store::{Change, Key, Object, Sequence, ServiceId, ServiceRecord};
use serde_json::{Map, Value, json};

use crate::fault::{Fault, Refused, misnamed, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many services a tenant has at most: each is looked at with every decision.
const MOST_SERVICES: usize = 256;

/// The longest name of an identity that is kept of the first decision.
const LONGEST_NAME: usize = 256;

/// Which model has decided for which service, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    tenant: TenantId,
    service: ServiceId,
    model: &'static str,
    is_refused: bool,
}

impl Seen {
    /// Where it is stored: what was refused is told beside what was not, and hides none of it.
    fn place(&self) -> &'static str {
        match self.is_refused {
            true => REFUSED,
            false => SEEN,
        }
    }
}

/// The members of a record in which is what was seen.
const SEEN: &str = "seen";
const REFUSED: &str = "refused";

/// What was seen of services on this server.
#[derive(Default)]
pub(crate) struct ServiceUses(Mutex<Uses>);

#[derive(Default)]
struct Uses {
    /// What is stored or waits to be.
    noted: BTreeSet<Seen>,
    waiting: BTreeMap<Seen, First>,
    /// As of which change of a tenant what is noted of it is what is stored.
    compared: BTreeMap<TenantId, Sequence>,
}

/// The first decision under a model.
#[derive(Clone, Debug)]
pub(crate) struct First {
    at: Time,
    identity: String,
}

impl ServiceUses {
    fn has_noted(&self, seen: &Seen) -> bool {
        let uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.noted.contains(seen)
    }

    fn note(&self, seen: Seen, first: First) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.noted.insert(seen.clone()) {
            uses.waiting.insert(seen, first);
        }
    }

    /// Forgets what is noted of a tenant as it is at a change, and neither stored nor waits to be: its
    /// service is gone or is another by now, whoever has deleted it.
    fn compare(&self, tenant: &Tenant) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = tenant.held().trust_sequence;
        if uses.compared.insert(tenant.id().clone(), at) == Some(at) {
            return;
        }
        let Uses { noted, waiting, .. } = &mut *uses;
        tenant.read(|snapshot| {
            noted.retain(|seen| {
                let record = || snapshot.services.get(&seen.service);
                let is_stored = || record().is_some_and(|record| is_in(record, seen));
                seen.tenant != *tenant.id() || waiting.contains_key(seen) || is_stored()
            });
        });
    }

    fn tenants(&self) -> BTreeSet<TenantId> {
        let uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.noted.iter().map(|seen| seen.tenant.clone()).collect()
    }

    fn take(&self) -> BTreeMap<Seen, First> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut uses.waiting)
    }

    fn put_back(&self, left: impl IntoIterator<Item = (Seen, First)>) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (seen, first) in left {
            uses.waiting.insert(seen, first);
        }
    }

    /// Forgets what was seen of the services of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.noted.retain(|seen| seen.tenant != *tenant);
        uses.waiting.retain(|seen, _| seen.tenant != *tenant);
        uses.compared.remove(tenant);
    }

    /// What is seen from now on of a service is new.
    fn forget(&self, tenant: &TenantId, id: &ServiceId) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |seen: &Seen| seen.tenant != *tenant || seen.service != *id;
        uses.noted.retain(is_other);
        uses.waiting.retain(|seen, _| is_other(seen));
    }
}

impl Plane {
    /// The services of a tenant, as they stand in a trust document.
    pub(crate) fn services_of(&self, tenant: &Tenant) -> Result<Vec<Value>, Fault> {
        let records: Vec<ServiceRecord> =
            tenant.read(|snapshot| snapshot.services.values().cloned().collect());
        let services = records.iter().map(|record| Ok(wanted_of(record)?.into()));
        services.collect()
    }

    /// Notes which model has decided for which service, and across which boundary.
    pub(crate) fn note_services(
        &self,
        tenant: &Tenant,
        view: &View,
        question: &Question,
        verdict: &Verdict,
    ) {
        if view.services().is_empty() {
            return;
        }
        match verdict {
            Verdict::Accept(sealed) => {
                let identity = sealed.preview();
                let (audiences, model) = (asked_for(question, identity), identity.model());
                self.note_seen(self.news(tenant, view, audiences, &[model], identity.name()));
            }
            Verdict::Reject(refusal) => {
                let (Reason::ServiceModel { service, .. }, Some(model)) =
                    (refusal.reason(), refusal.model())
                else {
                    return;
                };
                let nearest = refusal.attempts().nearest();
                let subject = nearest.path().first().map(|vouch| vouch.vouches_for());
                self.note_service_refused(tenant, service, model, subject.unwrap_or_default());
            }
            Verdict::Undetermined(_) => {}
        }
    }

    /// What is to be noted once something that rests on these models is given for these audiences, and
    /// has not been noted before.
    pub(crate) fn news(
        &self,
        tenant: &Tenant,
        view: &View,
        audiences: &[String],
        models: &[TrustModel],
        name: &str,
    ) -> Vec<(Seen, First)> {
        let services = view.services().iter();
        let services = services.filter(|service| service.is_among(audiences));
        let each = services.flat_map(|one| models.iter().map(|model| (one.name(), *model)));
        each.filter_map(|(service, model)| self.unseen(tenant, service, model, name, false))
            .collect()
    }

    /// Notes it.
    pub(crate) fn note_seen(&self, news: impl IntoIterator<Item = (Seen, First)>) {
        for (seen, first) in news {
            self.service_uses.note(seen, first);
        }
    }

    /// Notes that something was refused, because a model must not decide for a service.
    pub(crate) fn note_service_refused(
        &self,
        tenant: &Tenant,
        service: &str,
        model: TrustModel,
        identity: &str,
    ) {
        self.note_seen(self.unseen(tenant, service, model, identity, true));
    }

    /// What is to be noted, if it has not been.
    fn unseen(
        &self,
        tenant: &Tenant,
        service: &str,
        model: TrustModel,
        identity: &str,
        is_refused: bool,
    ) -> Option<(Seen, First)> {
        let id = ServiceId::parse(service)?;
        // It may be gone since the view was made.
        if !tenant.read(|snapshot| snapshot.services.contains_key(&id)) {
            return None;
        }
        let seen = Seen {
            tenant: tenant.id().clone(),
            service: id,
            model: model.name(),
            is_refused,
        };
        let first = || First {
            at: self.now(),
            identity: identity.chars().take(LONGEST_NAME).collect(),
        };
        (!self.service_uses.has_noted(&seen)).then(|| (seen, first()))
    }

    /// Stores what was seen of services for the first time.
    ///
    /// # Errors
    ///
    /// What failed on our side; then it is tried again with the next. One tenant's failure keeps no
    /// other's from being stored.
    pub fn store_service_uses(&self) -> Result<(), Refused> {
        let mut done = Ok(());
        for (seen, first) in self.service_uses.take() {
            let Some(tenant) = self.opened(&seen.tenant) else {
                continue;
            };
            if let Err(failed) = self.store_first(&tenant, &seen, &first) {
                self.service_uses.put_back([(seen, first)]);
                done = Err(failed);
            }
        }
        for tenant in self.service_uses.tenants() {
            if let Some(tenant) = self.opened(&tenant) {
                self.service_uses.compare(&tenant);
            }
        }
        done
    }

    fn store_first(&self, tenant: &Arc<Tenant>, seen: &Seen, first: &First) -> Result<(), Refused> {
        self.change_service(tenant, &seen.service, |before| {
            // Another server may have seen it first.
            let Some(record) = before.filter(|record| !is_in(record, seen)) else {
                return Ok(None);
            };
            let mut known = Known::of(record);
            known.add(seen, first);
            Ok(Some(record_of(&record.id, &wanted_of(record)?, &known)))
        })
    }

    /// Stores a service in the place of what had its name; what was seen of that stays seen.
    ///
    /// # Errors
    ///
    /// `issue.object_malformed`, `issue.body_malformed`, `issue.quota_exhausted`, or what
    /// failed on our side.
    pub fn put_service(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        document: Map<String, Value>,
    ) -> Result<Value, Refused> {
        let malformed = |member: &str, detail: String| Reason::IssueObjectMalformed {
            object: "service",
            member: member.to_owned(),
            detail,
        };
        let id = ServiceId::parse(name).ok_or_else(|| misnamed("service", "name"))?;
        let mut wanted = document;
        if wanted.insert("name".to_owned(), name.into()).is_some() {
            let detail = "stands in the address".to_owned();
            return Err(malformed("name", detail).into());
        }
        let read = Service::read_at("service", &wanted);
        read.map_err(|reason| reason.of_sent("service"))?;
        let count = tenant.read(|snapshot| {
            let others = snapshot.services.keys().filter(|other| **other != id);
            others.count()
        });
        if count >= MOST_SERVICES {
            let detail = format!("there are {MOST_SERVICES} services already");
            return Err(malformed("name", detail).into());
        }
        self.change_service(tenant, &id, |before| {
            let known = before.map(Known::of).unwrap_or_default();
            Ok(Some(record_of(&id, &wanted, &known)))
        })?;
        self.tell_service(tenant, name)
    }

    /// Lets any model decide for a service again, and forgets what was seen of it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn remove_service(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let record = service_named(tenant, name)?;
        let gone = [Change::Remove(Key::Service(record.id.clone()))];
        self.apply(tenant, &gone)?;
        self.service_uses.forget(tenant.id(), &record.id);
        Ok(())
    }

    fn change_service(
        &self,
        tenant: &Arc<Tenant>,
        id: &ServiceId,
        mut worked_out: impl FnMut(Option<&ServiceRecord>) -> Result<Option<ServiceRecord>, Fault>,
    ) -> Result<(), Refused> {
        self.settle(tenant, || {
            let before = tenant.read(|snapshot| snapshot.services.get(id).cloned());
            let after = worked_out(before.as_ref())?;
            let put = after.map(|after| Change::Put(Object::Service(after)));
            Ok(((), put.into_iter().collect()))
        })
    }

    /// All services of a tenant, with what was found.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn tell_services(&self, tenant: &Tenant) -> Result<Vec<Value>, Refused> {
        let records: Vec<ServiceRecord> =
            tenant.read(|snapshot| snapshot.services.values().cloned().collect());
        let told = records.iter().map(told);
        Ok(told.collect::<Result<_, Fault>>()?)
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn tell_service(&self, tenant: &Tenant, name: &str) -> Result<Value, Refused> {
        Ok(told(&service_named(tenant, name)?)?)
    }
}

fn service_named(tenant: &Tenant, name: &str) -> Result<ServiceRecord, Reason> {
    let id = ServiceId::parse(name);
    let record = id.and_then(|id| tenant.read(|snapshot| snapshot.services.get(&id).cloned()));
    record.ok_or_else(|| unknown("service", name))
}

fn record_of(id: &ServiceId, wanted: &Map<String, Value>, known: &Known) -> ServiceRecord {
    let document = json!({ "wanted": wanted, SEEN: known.seen, REFUSED: known.refused });
    ServiceRecord {
        id: id.clone(),
        document: document.to_string(),
    }
}

/// What was seen of a service, by model: what was decided, and what was refused.
#[derive(Default)]
struct Known {
    seen: Map<String, Value>,
    refused: Map<String, Value>,
}

impl Known {
    fn of(record: &ServiceRecord) -> Self {
        Self {
            seen: member_of(record, SEEN).unwrap_or_default(),
            refused: member_of(record, REFUSED).unwrap_or_default(),
        }
    }

    fn add(&mut self, seen: &Seen, first: &First) {
        let known = match seen.is_refused {
            true => &mut self.refused,
            false => &mut self.seen,
        };
        let first = json!({"first": first.at.to_string(), "identity": first.identity});
        known.insert(seen.model.to_owned(), first);
    }

    /// Each model, what was seen of it, and whether that was refused.
    fn all(&self) -> impl Iterator<Item = (&String, &Value, bool)> {
        let decided = self.seen.iter().map(|(model, first)| (model, first, false));
        let refused = self.refused.iter();
        decided.chain(refused.map(|(model, first)| (model, first, true)))
    }
}

fn is_in(record: &ServiceRecord, seen: &Seen) -> bool {
    member_of(record, seen.place()).is_some_and(|known| known.contains_key(seen.model))
}

fn wanted_of(record: &ServiceRecord) -> Result<Map<String, Value>, Fault> {
    member_of(record, "wanted").ok_or_else(|| {
        let id = &record.id;
        Fault::Stored(format!("the service {id} cannot be read"))
    })
}

fn member_of(record: &ServiceRecord, name: &str) -> Option<Map<String, Value>> {
    let document: Value = serde_json::from_str(&record.document).ok()?;
    document.get(name)?.as_object().cloned()
}

/// A service as it is shown. Which model has decided across its boundary is a finding, with when that
/// was for the first time.
fn told(record: &ServiceRecord) -> Result<Value, Fault> {
    let (wanted, known) = (wanted_of(record)?, Known::of(record));
    let service = Service::read_at("service", &wanted)
        .map_err(|_| Fault::Stored(format!("the service {} cannot be read", record.id)))?;
    let permitted = |model: &str| service.models().iter().any(|one| one.name() == model);
    let crossed = known.all().filter(|(model, ..)| !permitted(model));
    let findings = crossed.map(|(model, first, is_refused)| {
        let severity = match (is_refused, service.across()) {
            (true, Across::Refuse) => "low",
            _ => "medium",
        };
        json!({
            "finding": "cross_model",
            "severity": severity,
            "model": model,
            "first": first.get("first"),
            "identity": first.get("identity"),
            "refused": is_refused,
            "models": service.models().iter().map(|one| one.name()).collect::<Vec<_>>(),
        })
    });
    let findings: Vec<Value> = findings.collect();
    let mut document = wanted;
    document.remove("name");
    Ok(json!({
        "name": record.id.as_str(),
        "audiences": document.get("audiences"),
        "models": document.get("models"),
        "across": service.across().name(),
        "seen": known.seen,
        "refused": known.refused,
        "findings": findings,
        "document": document,
    }))
}
