//! What trust domains publish, and which foreign ones a tenant knows.

use std::sync::Arc;

use avouch_api::grpc::node::Bundle;
use avouch_core::id::TrustDomain;
use avouch_core::time::Time;
use serde_json::{Map, Value};

use crate::fault::{Fault, Refused, unknown};
use crate::plane::Plane;
use crate::tenant::{Held, Tenant};

impl Plane {
    /// The SPIFFE bundle of a trust domain of the tenant.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn bundle(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
    ) -> Result<Value, Refused> {
        let held = tenant.held();
        if !held.snapshot.trust_domains.contains_key(trust_domain) {
            return Err(unknown("trust domain", trust_domain.as_str()).into());
        }
        Ok(self.own_bundle(&held, trust_domain)?)
    }

    /// The keys that sign JWT-SVIDs of the tenant, for verifiers of OIDC.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn jwks(&self, tenant: &Tenant) -> Result<Value, Fault> {
        tenant.held().authorities()?.jwks(self.now())
    }

    /// All bundles that the tenant's workloads may rely on: those of its own trust domains, and those
    /// of foreign ones among its anchors.
    pub(crate) fn bundles_known(&self, held: &Held) -> Result<Vec<Bundle>, Fault> {
        let mut bundles = Vec::new();
        for trust_domain in held.trust_domains() {
            bundles.push(Bundle {
                trust_domain: trust_domain.to_string(),
                document: self.own_bundle(held, trust_domain)?.to_string(),
                revocation_lists: held
                    .revocation_lists(trust_domain, self.now())
                    .map(<[u8]>::to_vec)
                    .collect(),
                own: true,
            });
        }
        let anchors = held.snapshot.anchors.values();
        let now = self.now();
        let foreign = anchors.filter_map(|anchor| foreign_bundle(&anchor.document, now));
        // What a tenant says of a name that has become its own counts no more.
        let is_own = |name: &str| held.trust_domains().any(|own| own.as_str() == name);
        bundles.extend(foreign.filter(|bundle| !is_own(&bundle.trust_domain)));
        Ok(bundles)
    }

    pub(crate) fn own_bundle(
        &self,
        held: &Held,
        trust_domain: &TrustDomain,
    ) -> Result<Value, Fault> {
        held.authorities()?.bundle(
            trust_domain,
            held.bundle_sequence.number(),
            self.settings.bundle_refresh_hint,
            self.now(),
        )
    }
}

/// The bundle in an anchor, if it is one of a trust domain and workloads may have it: it has not
/// ended, and nothing constrains it. A workload has bundles and no constraints, so what is believed
/// within bounds only is believed here and not there.
fn foreign_bundle(document: &str, now: Time) -> Option<Bundle> {
    let anchor = read(document)?;
    if end_of_anchor(&anchor).is_some_and(|end| end <= now) || is_constrained(&anchor) {
        return None;
    }
    let trust_domain = anchor.get("trust_domain")?.as_str()?;
    Some(Bundle {
        trust_domain: TrustDomain::parse(trust_domain).ok()?.to_string(),
        document: anchor.get("bundle")?.to_string(),
        revocation_lists: Vec::new(),
        own: false,
    })
}

/// When the anchor in a document ends, if it has a bundle and an end.
pub(crate) fn end_of(document: &str) -> Option<Time> {
    // Most have none, and need not be read for it.
    if !document.contains("\"expires\"") {
        return None;
    }
    let anchor = read(document)?;
    anchor.get("bundle")?;
    end_of_anchor(&anchor)
}

fn read(document: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(document).ok()? {
        Value::Object(anchor) => Some(anchor),
        _ => None,
    }
}

/// The end of an anchor. One that cannot be read was refused when it was given; it counts as past.
fn end_of_anchor(anchor: &Map<String, Value>) -> Option<Time> {
    let text = anchor.get("expires").filter(|end| !end.is_null())?.as_str();
    let end = text.and_then(avouch_api::text::time);
    Some(end.unwrap_or(Time::from_unix(i64::MIN)))
}

fn is_constrained(anchor: &Map<String, Value>) -> bool {
    match anchor.get("constraints") {
        None | Some(Value::Null) => false,
        Some(Value::Object(members)) => !members.is_empty(),
        Some(_) => true,
    }
}
