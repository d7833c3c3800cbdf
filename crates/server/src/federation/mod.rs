//! Federation: bundles of foreign trust domains, fetched where an administrator says (SPIFFE
//! Federation).
//!
//! ```text
//! relation ──► polling ──► fetch ──► received ──► anchor of the tenant ──► nodes, decisions
//!  URL, profile   │ as often as      judged        one for each trust domain,
//!  said, never    │ the bundle says                never merged with another
//!  inferred       └► course, on record: last, next, why not
//! ```
//!
//! A relation is the tenant's own and goes one way. What is fetched becomes an anchor of the tenant
//! with the owner and the reason of the relation, so that everything that speaks of anchors speaks of
//! it too. When the relation goes, its anchor goes with the same change.

mod polling;
mod received;
mod relation;
mod state;

use std::sync::Arc;

use avouch_core::id::{Digest, SpiffeId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_store::{AnchorId, AnchorRecord, Change, FederationRecord, Key, Object};
use serde_json::{Map, Value};

use crate::clock::SystemClock;
use crate::fault::{Fault, Refused, unknown};
use crate::fetch::{Target, Trust, certificates};
use crate::issuers::ListsAllowed;
use crate::plane::Plane;
use crate::tenant::Tenant;

pub use polling::follow;
pub use relation::{Profile, Relation};
pub(crate) use state::{States, word};

use received::Received;

/// The head of the names of anchors that relations keep.
const ANCHOR: &str = "federation-";

impl Plane {
    /// Stores the relation of a tenant to a foreign trust domain, in the place of what was there.
    /// `bundle` is what is believed of the trust domain until its endpoint is asked, which is at
    /// once.
    ///
    /// # Errors
    ///
    /// `issue.object_malformed`, `issue.conflict` for a trust domain of the tenant itself and for
    /// one of which another anchor has the bundle, `fetch.url_refused`, what is wrong with the
    /// bundle, or what failed on our side.
    pub fn put_federation(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        relation: &Relation,
        bundle: Option<Value>,
    ) -> Result<FederationRecord, Refused> {
        let given = match bundle {
            Some(bundle) => Some(Received::of(trust_domain, bundle)?.document),
            None => None,
        };
        let record = self.settle(tenant, || {
            self.federation_changes(tenant, trust_domain, relation, given.clone())
        })?;
        self.federations.forget(tenant.id(), trust_domain);
        Ok(record)
    }

    fn federation_changes(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
        relation: &Relation,
        given: Option<Value>,
    ) -> Result<(FederationRecord, Vec<Change>), Refused> {
        self.check_foreign(tenant, trust_domain)?;
        let id = anchor_id(trust_domain)?;
        let before = tenant.read(|snapshot| snapshot.federations.get(trust_domain).cloned());
        let record = FederationRecord {
            trust_domain: trust_domain.clone(),
            document: Value::Object(relation.members()).to_string(),
            created: before.map_or_else(|| self.now(), |before| before.created),
            // It is another now, so it is asked at once.
            course: None,
        };
        let bundle = given.or_else(|| known_bundle(tenant, trust_domain));
        // All that a poll needs is looked at now, where someone reads what is wrong.
        let of_endpoint = match relation.endpoint_domain() {
            Some(endpoint) if endpoint == trust_domain => bundle.clone(),
            Some(endpoint) => self.endpoint_bundle(tenant, endpoint)?,
            None => None,
        };
        relation.request(&relation.url, of_endpoint.as_ref(), Arc::new(SystemClock))?;
        let mut changes = vec![Change::Put(Object::Federation(record.clone()))];
        if let Some(bundle) = bundle {
            let document = anchor_document(&record, relation, &bundle);
            let anchor = AnchorRecord { id, document };
            changes.push(Change::Put(Object::Anchor(anchor)));
        }
        Ok((record, changes))
    }

    /// Ends a relation, and takes back what came of it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn remove_federation(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
    ) -> Result<(), Refused> {
        let record = self.federation(tenant, trust_domain)?;
        let changes = [
            Change::Remove(Key::Anchor(anchor_id(trust_domain)?)),
            Change::Remove(Key::Federation(record.trust_domain)),
        ];
        self.apply(tenant, &changes)?;
        self.federations.forget(tenant.id(), trust_domain);
        Ok(())
    }

    /// The relation to a trust domain.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`.
    pub fn federation(
        &self,
        tenant: &Tenant,
        trust_domain: &TrustDomain,
    ) -> Result<FederationRecord, Reason> {
        let found = tenant.read(|snapshot| snapshot.federations.get(trust_domain).cloned());
        found.ok_or_else(|| unknown("federation relation", trust_domain.as_str()))
    }

    /// How a status list is fetched that JWT-SVIDs of a foreign trust domain name: from the host of
    /// its bundle, if that is known by its certificate.
    pub(crate) fn federation_lists_allowed(
        &self,
        tenant: &Tenant,
        issuer: &str,
        list: &Target,
    ) -> Option<ListsAllowed> {
        /// As for issuers, where nothing else is said.
        const STALE_FOR: i64 = 3_600;
        let id = SpiffeId::parse(issuer).ok()?;
        let record = self.federation(tenant, id.trust_domain()).ok()?;
        let relation = Relation::read(&record).ok()?;
        let endpoint = Target::parse(&relation.url).ok()?;
        let Profile::Web { roots } = &relation.profile else {
            return None;
        };
        let mut all = Vec::new();
        for root in roots {
            all.extend(certificates(root).ok()?);
        }
        (endpoint.authority() == list.authority()).then(|| ListsAllowed {
            trust: match all.is_empty() {
                true => Trust::System,
                false => Trust::Only(all),
            },
            stale_for: STALE_FOR,
        })
    }

    /// The bundle by which an endpoint is known whose trust domain the tenant knows: its own, or
    /// that of an anchor.
    fn endpoint_bundle(
        &self,
        tenant: &Tenant,
        endpoint: &TrustDomain,
    ) -> Result<Option<Value>, Fault> {
        let held = tenant.held();
        if held.snapshot.trust_domains.contains_key(endpoint) {
            return self.own_bundle(&held, endpoint).map(Some);
        }
        let now = self.now();
        let mut anchors = held.snapshot.anchors.values().filter(|anchor| {
            let end = crate::bundles::end_of(&anchor.document);
            end.is_none_or(|end| now < end)
        });
        Ok(anchors.find_map(|anchor| relation::bundle_in(&anchor.document, endpoint)))
    }

    /// There is one bundle of a trust domain: bundles are never merged.
    fn check_foreign(&self, tenant: &Tenant, trust_domain: &TrustDomain) -> Result<(), Refused> {
        let id = anchor_id(trust_domain)?;
        let detail = tenant.read(|snapshot| {
            if snapshot.trust_domains.contains_key(trust_domain) {
                return Some(format!(
                    "`{trust_domain}` is a trust domain of the tenant itself"
                ));
            }
            let mut anchors = snapshot.anchors.iter();
            let (other, _) = anchors.find(|(other, anchor)| {
                **other != id && relation::bundle_in(&anchor.document, trust_domain).is_some()
            })?;
            Some(format!(
                "the anchor `{other}` has a bundle of `{trust_domain}` already; remove that first"
            ))
        });
        match detail {
            Some(detail) => Err(Reason::IssueConflict { detail }.into()),
            None => Ok(()),
        }
    }
}

/// The name of the anchor that the relation to a trust domain keeps. Names of trust domains may be
/// longer than those of anchors.
pub(crate) fn anchor_id(trust_domain: &TrustDomain) -> Result<AnchorId, Fault> {
    let plain = AnchorId::parse(&format!("{ANCHOR}{trust_domain}"));
    let id = plain.or_else(|| {
        let digest = Digest::of(trust_domain.as_str().as_bytes());
        AnchorId::parse(&format!("{ANCHOR}{digest}"))
    });
    id.ok_or_else(|| Fault::Bug("a trust domain has no anchor".to_owned()))
}

/// Whether the name is one that relations give to anchors.
pub(crate) fn keeps(id: &AnchorId) -> bool {
    id.as_str().starts_with(ANCHOR)
}

/// The bundle that a relation keeps.
pub(crate) fn known_bundle(tenant: &Tenant, trust_domain: &TrustDomain) -> Option<Value> {
    let id = anchor_id(trust_domain).ok()?;
    tenant.read(|snapshot| {
        let anchor = snapshot.anchors.get(&id)?;
        relation::bundle_in(&anchor.document, trust_domain)
    })
}

/// The trust domain and the bundle of an anchor that has them.
fn parsed(document: &str) -> Option<(String, Value)> {
    let Value::Object(mut anchor) = serde_json::from_str(document).ok()? else {
        return None;
    };
    let name = anchor.get("trust_domain")?.as_str()?.to_owned();
    Some((name, anchor.remove("bundle")?))
}

/// An anchor for a bundle: who answers for the relation answers for it.
fn anchor_document(record: &FederationRecord, relation: &Relation, bundle: &Value) -> String {
    let name = record.trust_domain.as_str();
    let reason = relation.reason.clone();
    let reason = reason.unwrap_or_else(|| format!("federation with {}", relation.url));
    let members = [
        ("trust_domain", Some(name.into())),
        ("name", Some(name.into())),
        ("bundle", Some(bundle.clone())),
        ("owner", relation.owner.clone().map(Value::from)),
        ("reason", Some(reason.into())),
        ("added", Some(record.created.to_string().into())),
    ];
    let said = members.into_iter();
    let said = said.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect::<Map<String, Value>>()).to_string()
}

fn malformed(member: &str, detail: &str) -> Reason {
    Reason::IssueObjectMalformed {
        object: "federation relation",
        member: member.to_owned(),
        detail: detail.to_owned(),
    }
}
