//! What trust domains publish, and which foreign ones a tenant knows.

use std::sync::Arc;

use avouch_api::grpc::node::Bundle;
use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use serde_json::Value;

use crate::fault::{Fault, Refused};
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
            return Err(Reason::IssueObjectUnknown {
                object: "trust domain",
                name: trust_domain.to_string(),
            }
            .into());
        }
        Ok(self.own_bundle(&held, trust_domain)?)
    }

    /// The keys that sign JWT-SVIDs of the tenant, for verifiers of OIDC.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn jwks(&self, tenant: &Tenant) -> Result<Value, Fault> {
        tenant.held().authorities.jwks(self.now())
    }

    /// All bundles that the tenant knows: those of its own trust domains, and those of foreign ones
    /// among its anchors.
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
        let foreign = anchors.filter_map(|anchor| foreign_bundle(&anchor.document));
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
        held.authorities.bundle(
            trust_domain,
            held.bundle_sequence.number(),
            self.settings.bundle_refresh_hint,
            self.now(),
        )
    }
}

/// The bundle in an anchor, if it is one of a trust domain.
fn foreign_bundle(document: &str) -> Option<Bundle> {
    let anchor: Value = serde_json::from_str(document).ok()?;
    let trust_domain = anchor.get("trust_domain")?.as_str()?;
    Some(Bundle {
        trust_domain: TrustDomain::parse(trust_domain).ok()?.to_string(),
        document: anchor.get("bundle")?.to_string(),
        revocation_lists: Vec::new(),
        own: false,
    })
}
