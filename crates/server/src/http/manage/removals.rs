//! What goes with a tenant or a trust domain, and that it goes.

use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use serde_json::{Value, json};

use super::said;
use crate::access::{Noun, Verb};
use crate::fault::unknown;
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::plane::KnownTenant;
use crate::removal::Going;
use crate::tenant::Tenant;

pub(in crate::http) fn of_tenant(call: &Call, tenant: &Arc<KnownTenant>) -> Result<Answer, Stop> {
    let going = call.plane().going_with(tenant)?;
    Ok(Answer::json(&to_json(&going, &Believers::seen_by(call)?)))
}

pub(in crate::http) fn tenant(call: &Call, tenant: &Arc<KnownTenant>) -> Result<Answer, Stop> {
    let plane = call.plane();
    plane.permit_removal(&call.caller()?, tenant)?;
    let believers = Believers::seen_by(call)?;
    let going = plane.remove_tenant(tenant, call.asked("confirm"))?;
    Ok(Answer::json(&to_json(&going, &believers)))
}

pub(in crate::http) fn of_trust_domain(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let going = call.plane().going_with_domain(tenant, &named(call)?)?;
    Ok(Answer::json(&to_json(&going, &Believers::seen_by(call)?)))
}

pub(in crate::http) fn trust_domain(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let confirmed = call.asked("confirm");
    let believers = Believers::seen_by(call)?;
    let going = call
        .plane()
        .remove_trust_domain(tenant, &named(call)?, confirmed)?;
    Ok(Answer::json(&to_json(&going, &believers)))
}

/// The trust domain of the address.
fn named(call: &Call) -> Result<TrustDomain, Reason> {
    let name = call.name("trust_domain");
    TrustDomain::parse(name).map_err(|_| unknown("trust domain", name))
}

/// The relations of tenants to trust domains, of those tenants in which the caller may see them. They
/// are read before anything goes, so that nothing fails after.
#[derive(Default)]
struct Believers {
    relations: Vec<(TenantId, String)>,
    /// Those that cannot be read.
    unread: Vec<TenantId>,
}

impl Believers {
    fn seen_by(call: &Call) -> Result<Self, Stop> {
        let plane = call.plane();
        let caller = call.caller()?;
        let mut seen = Self::default();
        for known in plane.all_known() {
            if !plane.may_in(&caller, &known, Verb::Read, Noun::Anchor)? {
                continue;
            }
            match plane.open_known(&known) {
                Ok(Some(tenant)) => seen.add(&tenant),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(tenant = %known.id(), %error, "whom it believes cannot be read");
                    seen.unread.push(known.id().clone());
                }
            }
        }
        Ok(seen)
    }

    fn add(&mut self, tenant: &Tenant) {
        let names = |document: &str| -> Option<String> {
            let document: Value = serde_json::from_str(document).ok()?;
            Some(document.get("trust_domain")?.as_str()?.to_owned())
        };
        tenant.read(|snapshot| {
            let anchors = snapshot.anchors.values();
            let anchored = anchors.filter_map(|anchor| names(&anchor.document));
            let related = snapshot.federations.keys().map(ToString::to_string);
            let all = anchored.chain(related);
            self.relations
                .extend(all.map(|name| (tenant.id().clone(), name)));
        });
    }

    /// Those to what goes, of others.
    fn of(&self, going: &Going) -> Vec<Value> {
        let mut believed = Vec::new();
        for (tenant, name) in &self.relations {
            let goes = |gone: &TrustDomain| gone.as_str() == name;
            if !going.tenants.contains(tenant) && going.trust_domains.iter().any(goes) {
                let what = format!("believed by the tenant {tenant}");
                believed.push(json!({ "what": what, "name": name }));
            }
        }
        believed.dedup();
        believed
    }

    fn unread(&self, going: &Going) -> Vec<&str> {
        let unread = self.unread.iter();
        let others = unread.filter(|tenant| !going.tenants.contains(tenant));
        others.map(TenantId::as_str).collect()
    }
}

fn to_json(going: &Going, believers: &Believers) -> Value {
    let mut goes = Vec::new();
    for name in &going.tenants {
        goes.push(json!({ "what": "tenant", "name": name.as_str() }));
    }
    for name in &going.trust_domains {
        goes.push(json!({ "what": "trust domain", "name": name.as_str() }));
    }
    for (what, count) in &going.objects {
        goes.push(json!({ "what": what, "count": count }));
    }
    for (what, living) in &going.living {
        let until = living.until.to_string();
        goes.push(json!({ "what": what, "count": living.count, "until": until }));
    }
    let damaged = going.damaged.iter().map(|one| one.to_json());
    goes.extend(damaged);
    goes.extend(believers.of(going));
    said(json!({
        "goes": goes,
        "confirm": going.confirmation(),
        // Whom these believe is not known.
        "unread": believers.unread(going),
    }))
}
