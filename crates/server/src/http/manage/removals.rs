//! What goes with a tenant or a trust domain, and that it goes.

use std::sync::Arc;

use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use serde_json::{Value, json};

use crate::access::{Noun, Verb};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::removal::Going;
use crate::tenant::Tenant;

pub(in crate::http) fn of_tenant(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let going = call.plane().going_with(tenant)?;
    Ok(Answer::json(&to_json(call, &going)?))
}

pub(in crate::http) fn tenant(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let plane = call.plane();
    plane.permit_removal(&call.caller()?, tenant)?;
    let going = plane.remove_tenant(tenant, call.asked("confirm"))?;
    Ok(Answer::json(&to_json(call, &going)?))
}

pub(in crate::http) fn of_trust_domain(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let going = call.plane().going_with_domain(tenant, &named(call)?)?;
    Ok(Answer::json(&to_json(call, &going)?))
}

pub(in crate::http) fn trust_domain(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let confirmed = call.asked("confirm");
    let going = call
        .plane()
        .remove_trust_domain(tenant, &named(call)?, confirmed)?;
    Ok(Answer::json(&to_json(call, &going)?))
}

/// The trust domain of the address.
fn named(call: &Call) -> Result<TrustDomain, Reason> {
    let name = call.name("trust_domain");
    TrustDomain::parse(name).map_err(|_| Reason::IssueObjectUnknown {
        object: "trust domain",
        name: name.chars().take(256).collect(),
    })
}

fn to_json(call: &Call, going: &Going) -> Result<Value, Stop> {
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
    let believed = believed_by(call, going)?;
    goes.extend(believed.iter().cloned());
    Ok(json!({ "goes": goes, "confirm": going.confirmation() }))
}

/// The relations of others to what goes, of tenants in which the caller may see them.
fn believed_by(call: &Call, going: &Going) -> Result<Vec<Value>, Stop> {
    let plane = call.plane();
    let caller = call.caller()?;
    let mut believed = Vec::new();
    for known in plane.all_known() {
        let is_gone = going.tenants.contains(known.id());
        let roles = plane.roles_in(&caller, &known);
        let may = roles.iter().any(|role| role.may(Verb::Read, Noun::Anchor));
        if is_gone || !may {
            continue;
        }
        let Some(other) = plane.open_known(&known)? else {
            continue;
        };
        let names = |document: &str| -> Option<String> {
            let document: Value = serde_json::from_str(document).ok()?;
            Some(document.get("trust_domain")?.as_str()?.to_owned())
        };
        other.read(|snapshot| {
            let anchors = snapshot.anchors.values();
            let anchored = anchors.filter_map(|anchor| names(&anchor.document));
            let related = snapshot.federations.keys().map(ToString::to_string);
            for name in anchored.chain(related) {
                if going.trust_domains.iter().any(|gone| gone.as_str() == name) {
                    let what = format!("believed by the tenant {}", other.id());
                    believed.push(json!({ "what": what, "name": name }));
                }
            }
        });
    }
    believed.dedup();
    Ok(believed)
}
