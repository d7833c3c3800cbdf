//! What a tenant knows when something is decided for it: its own trust domains, its anchors, and
//! what it gives for what it believes.

mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_api::TrustDocument;
use avouch_core::exchange::Rules;
use avouch_core::id::TenantId;
use avouch_core::model::federation::{IssuerAnchor, SamlAnchor};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::view::View;
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

pub(crate) use rules::{read_rule, rules_of};

/// Views of tenants, made again when what is in them has changed, and each minute, since keys leave
/// a bundle when they end.
#[derive(Default)]
pub(crate) struct Views(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    made: BTreeMap<TenantId, Made>,
    /// Who makes the view of a tenant; whoever needs the same waits for that one.
    making: BTreeMap<TenantId, Arc<Mutex<()>>>,
    /// How many tenants had been removed when those of the removed were dropped last.
    taken_out: u64,
}

/// What a view is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// When what the tenant trusts changed last.
    trust: u64,
    /// When its exchange rules did.
    rules: u64,
    /// The minute, counted from 1970.
    minute: i64,
}

#[derive(Clone)]
struct Made {
    at: Moment,
    /// When something ended last.
    ended: u64,
    /// How often the status lists that are kept have changed.
    lists: u64,
    /// The view as if nothing had ended and no status list were there: these change more often than
    /// the rest.
    base: Arc<View>,
    known: Arc<Known>,
}

/// What a tenant knows at one moment.
pub(crate) struct Known {
    /// What it trusts.
    pub(crate) view: Arc<View>,
    /// The same without what has ended and what status lists say.
    pub(crate) base: Arc<View>,
    /// What it gives to whom.
    pub(crate) rules: Arc<Rules>,
    /// When what it trusts, and what it gives, changed last.
    pub(crate) since: (u64, u64),
}

impl Views {
    /// What the tenant trusts, and its exchange rules.
    pub(crate) fn known(&self, plane: &Plane, tenant: &Arc<Tenant>) -> Result<Arc<Known>, Refused> {
        if let Some(known) = self.if_known(plane, tenant) {
            return Ok(known);
        }
        // With each minute all callers find it over at once. One makes the next and the others wait for
        // that, since what has ended must not be believed for longer.
        let turn = self.turn(tenant.id());
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.make(plane, tenant)
    }

    fn turn(&self, tenant: &TenantId) -> Arc<Mutex<()>> {
        let mut kept = self.lock();
        Arc::clone(kept.making.entry(tenant.clone()).or_default())
    }

    fn make(&self, plane: &Plane, tenant: &Arc<Tenant>) -> Result<Arc<Known>, Refused> {
        let now = plane.now();
        let (at, ended) = moment(tenant, now);
        let endings = Arc::clone(&tenant.held().endings);
        let lists = plane.status_lists.changes(tenant.id());
        let made = self.made(tenant, at);
        let made = match made {
            Some(made) if made.ended == ended && made.lists == lists => return Ok(made.known),
            Some(made) => {
                let kept = plane.status_lists.all(tenant.id());
                let view = View::clone(&made.base).with_endings(endings);
                let view = view.with_status_lists(&kept);
                let known = Arc::new(Known {
                    view: Arc::new(view),
                    base: Arc::clone(&made.base),
                    rules: Arc::clone(&made.known.rules),
                    since: made.known.since,
                });
                Made {
                    ended,
                    lists,
                    known,
                    ..made
                }
            }
            None => {
                let documents = plane.trust_of(tenant)?;
                let base = TrustDocument::view(tenant.id().clone(), documents);
                let rules = rules_of(tenant, &base, now);
                let kept = plane.status_lists.all(tenant.id());
                let view = base.clone().with_endings(endings).with_status_lists(&kept);
                let base = Arc::new(base);
                let known = Known {
                    view: Arc::new(view),
                    base: Arc::clone(&base),
                    rules: Arc::new(rules),
                    since: (at.trust, at.rules),
                };
                Made {
                    at,
                    ended,
                    lists,
                    base,
                    known: Arc::new(known),
                }
            }
        };
        let known = Arc::clone(&made.known);
        let taken_out = plane.taken_out();
        let mut kept = self.lock();
        kept.made.insert(tenant.id().clone(), made);
        if kept.taken_out != taken_out {
            kept.taken_out = taken_out;
            kept.made.retain(|id, _| plane.known(id).is_some());
            kept.making.retain(|id, _| plane.known(id).is_some());
        }
        Ok(known)
    }

    /// As [`Views::known`], where it is made already.
    pub(crate) fn if_known(&self, plane: &Plane, tenant: &Tenant) -> Option<Arc<Known>> {
        let (at, ended) = moment(tenant, plane.now());
        let made = self.made(tenant, at)?;
        let lists = plane.status_lists.changes(tenant.id());
        (made.ended == ended && made.lists == lists).then_some(made.known)
    }

    fn made(&self, tenant: &Tenant, at: Moment) -> Option<Made> {
        let kept = self.lock();
        kept.made
            .get(tenant.id())
            .filter(|made| made.at == at)
            .cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a view of now is made from, and when something ended last.
fn moment(tenant: &Tenant, now: Time) -> (Moment, u64) {
    let held = tenant.held();
    let at = Moment {
        trust: held.trust_sequence.number(),
        rules: held.rules_sequence.number(),
        minute: now.unix() / 60,
    };
    (at, held.ended_sequence.number())
}

impl Plane {
    /// The documents that make up the view of a tenant: one of its own trust domains, one of the
    /// anchors that were given to it, and one of the issuers whose keys are followed.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn trust_of(&self, tenant: &Arc<Tenant>) -> Result<Vec<TrustDocument>, Refused> {
        let held = tenant.held();
        let mut own = Vec::new();
        let mut lists = Vec::new();
        for trust_domain in held.trust_domains() {
            own.push(json!({
                "trust_domain": trust_domain.as_str(),
                "name": trust_domain.as_str(),
                "bundle": self.own_bundle(&held, trust_domain)?,
                "reason": "a trust domain of the tenant itself",
                "key_origin": held.key_origin(trust_domain),
                // What has ended of its own it knows itself.
                "constraints": {"status_lists": "ignored"},
            }));
            let current = held.revocation_lists(trust_domain, self.now());
            lists.extend(current.map(Base64::encode_string));
        }
        let mut given = Vec::new();
        for (id, record) in &held.snapshot.anchors {
            let mut document: Map<String, Value> = serde_json::from_str(&record.document)
                .map_err(|_| Fault::Stored(format!("the anchor {id} is no object")))?;
            // What a tenant says of a name that has become its own counts no more.
            let named = document.get("trust_domain").and_then(Value::as_str);
            if named.is_some_and(|named| held.trust_domains().any(|own| own.as_str() == named)) {
                continue;
            }
            document.entry("name").or_insert_with(|| id.as_str().into());
            given.push(document);
        }
        drop(held);
        let (issuers, quarantined) = self.issuer_anchors(tenant)?;
        // An issuer in quarantine is believed by no other way either.
        for document in &mut given {
            if quarantined.is_empty() {
                break;
            }
            let text = |name: &str| document.get(name).and_then(Value::as_str);
            let issuer = text("issuer").map(|name| IssuerAnchor::called(name, text("cluster")));
            let issuer = issuer.or_else(|| provider_of(document));
            if let Some(why) = issuer.and_then(|issuer| quarantined.get(&issuer)) {
                document.insert("quarantined".to_owned(), why.clone());
            }
        }
        let mut documents = Vec::new();
        let services = self.services_of(tenant)?;
        if !services.is_empty() {
            let text = json!({ "services": services }).to_string();
            documents.push(read(&text, tenant, "the services of the tenant")?);
        }
        if !own.is_empty() {
            let text = json!({ "anchors": own, "crls": lists }).to_string();
            documents.push(read(&text, tenant, "the trust domains of the tenant")?);
        }
        if !given.is_empty() {
            let text = json!({ "anchors": given }).to_string();
            documents.push(read(&text, tenant, "the anchors of the tenant")?);
        }
        if !issuers.is_empty() {
            let text = json!({ "anchors": issuers }).to_string();
            documents.push(read(&text, tenant, "the issuers of the tenant")?);
        }
        Ok(documents)
    }
}

/// What an identity provider of SAML is called that an anchor names.
fn provider_of(document: &Map<String, Value>) -> Option<String> {
    let (name, provider) = document.get_key_value("saml")?;
    let alone = Map::from_iter([(name.clone(), provider.clone())]);
    let read = SamlAnchor::read_at("anchor", &alone).ok()?;
    Some(read.entity_id().to_owned())
}

/// A view of these documents for a tenant, in which what ended for it has ended.
pub(crate) fn view(tenant: &Tenant, documents: Vec<TrustDocument>) -> View {
    let endings = Arc::clone(&tenant.held().endings);
    TrustDocument::view(tenant.id().clone(), documents).with_endings(endings)
}

/// Reads a trust document that may speak for the tenant only: the tenant of an identity is the
/// owner of the anchor, so nobody may name another as the owner.
pub(crate) fn read(text: &str, tenant: &Tenant, source: &str) -> Result<TrustDocument, Reason> {
    let document = TrustDocument::read_json(text, tenant.id(), source)?;
    check_owner(&document, tenant)?;
    Ok(document)
}

/// As [`read`], what a question brings along.
pub(crate) fn read_brought(
    text: &str,
    tenant: &Tenant,
    source: &str,
) -> Result<TrustDocument, Reason> {
    let document = TrustDocument::read_sent_json(text, tenant.id(), source)?;
    check_owner(&document, tenant)?;
    Ok(document)
}

/// Reads an anchor that is sent to be kept as an `object` of the tenant, as it will be when something
/// is decided.
pub(crate) fn read_sent(
    object: &'static str,
    anchor: Value,
    tenant: &Tenant,
) -> Result<TrustDocument, Reason> {
    let source = format!("the {object}");
    let document = TrustDocument::of_anchor(object, anchor, tenant.id(), &source)?;
    check_owner(&document, tenant).map_err(|reason| reason.of_sent(object))?;
    Ok(document)
}

fn check_owner(document: &TrustDocument, tenant: &Tenant) -> Result<(), Reason> {
    let mut anchors = document.entries().iter().map(|entry| &entry.anchor);
    match anchors.find(|anchor| anchor.tenant != *tenant.id()) {
        None => Ok(()),
        Some(_) => Err(Reason::TrustDocumentMalformed {
            what: "trust document",
            detail: "an anchor names another `tenant` as its owner".to_owned(),
        }),
    }
}
