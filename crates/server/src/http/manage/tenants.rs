//! Tenants and their trust domains.

use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_store::{TenantKind, TrustDomainRecord};
use serde_json::{Value, json};

use super::said;
use crate::access::{Noun, Role, Verb};
use crate::caller::Caller;
use crate::fault::{Refused, unknown};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::plane::Listed;
use crate::quotas::Bounded;
use crate::tenant::Tenant;

pub(in crate::http) fn list(call: &Call, caller: &Caller) -> Result<Answer, Stop> {
    let plane = call.plane();
    let (mut tenants, mut unread) = (Vec::new(), Vec::new());
    // A list opens none.
    for known in plane.all_known() {
        let (roles, damage) = plane.roles_in(caller, &known)?;
        if !roles.iter().any(|role| role.may(Verb::Read, Noun::Tenant)) {
            continue;
        }
        let (listed, fault) = plane.listed_one(&known);
        match fault {
            Some(fault) if !fault.is_damage() => return Err(Refused::from(fault).into()),
            None if damage.is_none() => {}
            Some(_) | None => unread.push(known.id().to_string()),
        }
        tenants.push(to_json(listed, &roles));
    }
    let mut told = json!({ "tenants": tenants });
    // Of these not all is told.
    if let Some(members) = told.as_object_mut()
        && !unread.is_empty()
    {
        members.insert("unread".to_owned(), unread.into());
    }
    Ok(Answer::json(&told))
}

pub(in crate::http) fn create(call: &Call, caller: &Caller) -> Result<Answer, Stop> {
    let plane = call.plane();
    let mut members = call.members("tenant")?;
    let name = members.required_text("name")?;
    let parent = members.text("parent")?;
    let kind = members.choice("kind", &KINDS)?;
    let trust_domain = members.text("trust_domain")?;
    members.finish()?;
    let parent = match parent {
        Some(parent) => parent,
        None => plane.root()?.id().to_string(),
    };
    // Before anything is said of what was sent, so that nothing is learned of a foreign tree.
    let parent = plane.permit(caller, &parent, Verb::Write, Noun::Tenant)?;
    let id = TenantId::parse(&name).ok_or_else(|| Reason::IssueObjectMalformed {
        object: "tenant",
        member: "name".to_owned(),
        detail: "a name is 1 to 63 lower-case letters, digits and hyphens".to_owned(),
    })?;
    let trust_domain = trust_domain
        .as_deref()
        .map(TrustDomain::parse)
        .transpose()?;
    // Looked at before, so that a name that is taken does not leave half of what was asked for, nor a
    // bound that is reached.
    if trust_domain.is_some() {
        plane.check_room(&parent, Bounded::TrustDomains)?;
    }
    if let Some(name) = &trust_domain
        && plane.is_owned(name)
    {
        return Err(Reason::IssueConflict {
            detail: format!(
                "the trust domain `{name}` belongs, or once belonged, to another tenant"
            ),
        }
        .into());
    }
    let kind = kind.unwrap_or_else(|| kind_below(parent.kind()));
    let tenant = plane.add_tenant(&id, Some(parent.id()), kind)?;
    if let Some(name) = &trust_domain {
        plane.add_trust_domain(&tenant, name)?;
    }
    let roles = plane.roles(caller, &tenant);
    let location = format!("/v1/tenants/{id}");
    let made = to_json(Listed::of(&tenant), &roles);
    Ok(Answer::created(&made, &location))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let roles = call.plane().roles(&call.caller()?, tenant);
    Ok(Answer::json(&to_json(Listed::of(tenant), &roles)))
}

pub(in crate::http) fn trust_domains(_: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let domains: Vec<Value> = tenant.read(|snapshot| {
        let records = snapshot.trust_domains.values();
        records.map(domain_to_json).collect()
    });
    Ok(Answer::json(&json!({ "trust_domains": domains })))
}

pub(in crate::http) fn trust_domain(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.own_trust_domain(tenant)?;
    let record = tenant.read(|snapshot| snapshot.trust_domains.get(&name).map(domain_to_json));
    // Someone may have removed it just now.
    let record = record.ok_or_else(|| unknown("trust domain", name.as_str()))?;
    Ok(Answer::json(&record))
}

fn domain_to_json(record: &TrustDomainRecord) -> Value {
    json!({
        "name": record.name.as_str(),
        "created": record.created.to_string(),
    })
}

pub(in crate::http) fn add_trust_domain(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("trust domain")?;
    let name = members.required_text("name")?;
    members.finish()?;
    let name = TrustDomain::parse(&name)?;
    if tenant.read(|snapshot| snapshot.trust_domains.contains_key(&name)) {
        return Err(Reason::IssueConflict {
            detail: format!("the tenant has the trust domain `{name}` already"),
        }
        .into());
    }
    call.plane().add_trust_domain(tenant, &name)?;
    let created = tenant.read(|snapshot| {
        let record = snapshot.trust_domains.get(&name);
        record.map(|record| record.created.to_string())
    });
    let location = format!("/t/{}/bundle/{name}", tenant.id());
    let made = json!({ "name": name.as_str(), "created": created });
    Ok(Answer::created(&made, &location))
}

const KINDS: [(&str, TenantKind); 3] = [
    ("environment", TenantKind::Environment),
    ("organisation", TenantKind::Organisation),
    ("tenant", TenantKind::Tenant),
];

/// What stands below one of this kind if nobody says.
fn kind_below(parent: TenantKind) -> TenantKind {
    match parent {
        TenantKind::Root | TenantKind::Organisation => TenantKind::Tenant,
        TenantKind::Tenant | TenantKind::Environment => TenantKind::Environment,
    }
}

fn to_json(tenant: Listed, roles: &[Role]) -> Value {
    let mut roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    roles.sort_unstable();
    roles.dedup();
    let domains = tenant.trust_domains.iter().map(ToString::to_string);
    let domains: Vec<String> = domains.collect();
    said(json!({
        "name": tenant.id.as_str(),
        "kind": tenant.kind.name(),
        "parent": tenant.parent.as_ref().map(TenantId::as_str),
        "created": tenant.created.to_string(),
        "trust_domains": domains,
        "roles": roles,
    }))
}
