//! Federation relations: where bundles of foreign trust domains come from, and how it goes.

use std::sync::Arc;

use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::TrustDomain;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{FederationCourse, FederationRecord, Sequence};
use serde_json::{Map, Value, json};

use super::said;
use crate::fault::{Refused, unknown};
use crate::federation::{Profile, Relation, anchor_id, known_bundle, word};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::sharing::Audience;
use crate::tenant::Tenant;

/// The most nodes that are named; the others are only counted.
const MOST_NAMED: usize = 100;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let records: Vec<FederationRecord> =
        tenant.read(|snapshot| snapshot.federations.values().cloned().collect());
    let audience = call.plane().audience(tenant);
    let relations = records
        .iter()
        .map(|record| to_json(call, tenant, record, &audience));
    let relations = relations.collect::<Result<Vec<Value>, Refused>>()?;
    Ok(Answer::json(&json!({ "federations": relations })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let record = call.plane().federation(tenant, &name(call)?)?;
    Ok(shown(call, tenant, &record)?)
}

pub(in crate::http) fn put(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = TrustDomain::parse(call.name("federation"))?;
    let superiors = call.plane().superiors(&call.caller()?, tenant)?;
    superiors.check_bundle(&name)?;
    let mut members = call.members("federation relation")?;
    let url = members.required_text("url")?;
    let profile = members.required_text("profile")?;
    let endpoint = members.text("endpoint_spiffe_id")?;
    let roots = members.text_list("roots")?;
    let owner = members.text("owner")?;
    let reason = members.text("reason")?;
    let bundle = members.take("bundle");
    members.finish()?;
    let relation = Relation {
        url,
        profile: Profile::of(&profile, endpoint.as_deref(), roots)?,
        owner,
        reason,
    };
    let record = call
        .plane()
        .put_federation(tenant, &name, &relation, bundle)?;
    Ok(shown(call, tenant, &record)?)
}

pub(in crate::http) fn remove(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.plane().remove_federation(tenant, &name(call)?)?;
    Ok(Answer::done())
}

/// Asks the endpoint now. That it did not give a bundle is an answer like any other: it stands in
/// the relation.
pub(in crate::http) fn refresh(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("federation relation")?.finish()?;
    let name = name(call)?;
    call.plane().federation(tenant, &name)?;
    // This is a thread that may block.
    let asked = call.plane().fetch_bundle(tenant, &name);
    match tokio::runtime::Handle::current().block_on(asked) {
        Err(refused) if refused.is_budget_of_fetches() => Err(refused.into()),
        Ok(()) | Err(Refused::Reason(_)) => show(call, tenant),
        Err(Refused::Fault(fault)) => Err(fault.into()),
    }
}

/// The trust domain in the address. What is no name of one is the name of no relation.
fn name(call: &Call) -> Result<TrustDomain, Reason> {
    let name = call.name("federation");
    TrustDomain::parse(name).map_err(|_| unknown("federation relation", name))
}

fn shown(call: &Call, tenant: &Tenant, record: &FederationRecord) -> Result<Answer, Refused> {
    let audience = call.plane().audience(tenant);
    Ok(Answer::json(&to_json(call, tenant, record, &audience)?))
}

fn to_json(
    call: &Call,
    tenant: &Tenant,
    record: &FederationRecord,
    audience: &Audience,
) -> Result<Value, Refused> {
    let name = &record.trust_domain;
    let now = call.plane().now();
    let course = call.plane().federations.of(tenant.id(), record);
    let document = known_bundle(tenant, name);
    let bundle = document
        .as_ref()
        .and_then(|document| Bundle::read(name.as_str(), document).ok());
    let mut members = Map::from_iter([("trust_domain".to_owned(), json!(name.as_str()))]);
    members.extend(Relation::read(record)?.members());
    members.insert("created".to_owned(), json!(record.created.to_string()));
    let id = anchor_id(name)?;
    let since = tenant.held().anchored.get(&id).copied();
    members.extend(of_course(course.as_ref(), now));
    members.extend(of_bundle(bundle.as_ref()));
    members.extend(of_nodes(since, audience));
    if bundle.is_some() {
        members.insert("anchor".to_owned(), json!(id.as_str()));
    }
    Ok(said(Value::Object(members)))
}

fn of_course(course: Option<&FederationCourse>, now: Time) -> Map<String, Value> {
    let failure = course.and_then(|course| course.failure.as_ref());
    let failure = failure.map(
        |failure| json!({"code": failure.code, "detail": failure.sentence, "hint": failure.hint}),
    );
    let text = |time: Option<Time>| json!(time.map(|time| time.to_string()));
    let succeeded = course.and_then(|course| course.succeeded);
    Map::from_iter([
        ("state".to_owned(), json!(word(course))),
        (
            "last_attempt".to_owned(),
            text(course.map(|course| course.tried)),
        ),
        ("last_success".to_owned(), text(succeeded)),
        (
            "age".to_owned(),
            json!(succeeded.map(|time| now.since(time))),
        ),
        (
            "next_attempt".to_owned(),
            text(course.map(|course| course.next)),
        ),
        (
            "failures".to_owned(),
            json!(course.map_or(0, |course| course.failures)),
        ),
        ("failure".to_owned(), json!(failure)),
    ])
}

fn of_bundle(bundle: Option<&Bundle>) -> Map<String, Value> {
    let Some(bundle) = bundle else {
        return Map::new();
    };
    Map::from_iter([
        ("sequence".to_owned(), json!(bundle.sequence())),
        ("refresh_hint".to_owned(), json!(bundle.refresh_hint())),
        (
            "keys".to_owned(),
            json!({
                "x509": bundle.x509_authorities.len(),
                "jwt": bundle.jwt_authorities().keys().len(),
                "wit": bundle.wit_authorities().keys().len(),
            }),
        ),
    ])
}

/// Which connected nodes hold what was fetched last.
fn of_nodes(since: Option<Sequence>, audience: &Audience) -> Map<String, Value> {
    if since.is_none() {
        return Map::new();
    }
    let holding = audience.holding(since);
    let behind = holding.not_held_by.iter().take(MOST_NAMED);
    let behind: Vec<&str> = behind.map(|node| node.as_str()).collect();
    Map::from_iter([
        ("nodes_connected".to_owned(), json!(audience.count())),
        ("nodes_holding".to_owned(), json!(holding.holding)),
        ("not_held_by".to_owned(), json!(behind)),
    ])
}
