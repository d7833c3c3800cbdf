//! Authorities: what signs, who knows it, and what to do when a key may be in the wrong hands.

use std::sync::Arc;

use avouch_api::members::{Document, Members};
use avouch_api::text::{pem_blocks, to_pem};
use avouch_core::id::{Digest, SpiffeId};
use avouch_core::reason::Reason;
use avouch_issuer::revocation_list::{reason_names, reason_number};
use avouch_store::{AuthorityId, AuthorityRecord, AuthorityUse, Sequence, Upstream};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::said;
use crate::fault::{Refused, unknown};
use crate::http::answer::Answer;
use crate::http::call::{Call, Stop};
use crate::issued::plain_serial;
use crate::keys::origin_of;
use crate::revocations::Which;
use crate::sharing::Audience;
use crate::tenant::{Held, Tenant};
use crate::upstream::renew_by;

/// The most nodes that are named; the others are only counted.
const MOST_NAMED: usize = 100;

pub(in crate::http) fn list(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let audience = call.plane().audience(tenant);
    let held = tenant.held();
    let authorities = held.snapshot.authorities.values();
    let authorities: Vec<Value> = authorities
        .map(|record| told(call, tenant, &held, record, &audience))
        .collect();
    Ok(Answer::json(&json!({ "authorities": authorities })))
}

pub(in crate::http) fn show(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let audience = call.plane().audience(tenant);
    let name = call.name("authority");
    let held = tenant.held();
    let record = AuthorityId::parse(name).and_then(|id| held.snapshot.authorities.get(&id));
    let record = record.ok_or_else(|| unknown("authority", name))?;
    let told = told(call, tenant, &held, record, &audience);
    Ok(Answer::json(&told))
}

fn told(
    call: &Call,
    tenant: &Tenant,
    held: &Held,
    record: &AuthorityRecord,
    audience: &Audience,
) -> Value {
    let domain = held.snapshot.trust_domains.get(&record.trust_domain);
    let upstream = domain.map(|domain| domain.upstream);
    let published = held.published.get(&record.id).copied();
    let mut members = to_json(record, upstream, published, audience);
    members.extend(of_readers(call, tenant, record, published));
    said(Value::Object(members))
}

pub(in crate::http) fn taint(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members_if_any("authority")?;
    let anyway = members.flag("anyway")?.unwrap_or(false);
    members.finish()?;
    call.plane().taint(tenant, call.name("authority"), anyway)?;
    list(call, tenant)
}

pub(in crate::http) fn revoke(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members_if_any("authority")?;
    let anyway = members.flag("anyway")?.unwrap_or(false);
    members.finish()?;
    call.plane()
        .revoke(tenant, call.name("authority"), anyway)?;
    list(call, tenant)
}

pub(in crate::http) fn prepare(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    call.members_if_any("trust domain")?.finish()?;
    let name = call.own_trust_domain(tenant)?;
    call.plane().prepare(tenant, &name)?;
    list(call, tenant)
}

pub(in crate::http) fn replace_all(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members_if_any("trust domain")?;
    let anyway = members.flag("anyway")?.unwrap_or(false);
    members.finish()?;
    let name = call.own_trust_domain(tenant)?;
    call.plane().replace_all(tenant, &name, anyway)?;
    list(call, tenant)
}

pub(in crate::http) fn activate(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members_if_any("authority")?;
    let anyway = members.flag("anyway")?.unwrap_or(false);
    members.finish()?;
    let id = call.name("authority");
    call.plane().activate(tenant, id, anyway)?;
    list(call, tenant)
}

/// Adds an intermediate for a further use.
pub(in crate::http) fn add(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.own_trust_domain(tenant)?;
    let mut members = call.members("authority")?;
    let used_for = used_for(&mut members)?;
    let constrain_ids = members.flag("constrain_ids")?.unwrap_or(false);
    let permit_dns = members.text_list("permit_dns")?;
    members.finish()?;
    call.plane()
        .add_intermediate(tenant, &name, used_for, constrain_ids, permit_dns)?;
    list(call, tenant)
}

/// Makes a key whose certificate is to come from elsewhere.
pub(in crate::http) fn request(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.own_trust_domain(tenant)?;
    call.members_if_any("trust domain")?.finish()?;
    let (authority, der) = call.plane().request_intermediate(tenant, &name)?;
    Ok(Answer::json(&json!({
        "authority": authority,
        "signing_request": to_pem("CERTIFICATE REQUEST", &der),
    })))
}

/// Takes a certificate that was signed elsewhere, or a root with its key.
pub(in crate::http) fn import(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let name = call.own_trust_domain(tenant)?;
    // Whoever has the key above a trust domain can be everyone in it.
    let caller = call.caller()?;
    let permit = || -> Result<(), Refused> {
        let superiors = call.plane().superiors(&caller, tenant)?;
        superiors.check_root(&name)?;
        Ok(())
    };
    let mut members = call.members("certificates")?;
    let text = members.required_text("certificates")?;
    let key = members.text("private_key")?.map(Zeroizing::new);
    let address = members.text("key_address")?;
    members.finish()?;
    let mut certificates = Vec::new();
    for block in pem_blocks(&text)? {
        if block.is_certificate() {
            certificates.push(block.decode()?);
        }
    }
    let refuse = |detail: &str| Document::Request("certificates").refuse(detail.to_owned());
    let plane = call.plane();
    let (authority, signs_lists) = match (key, address) {
        (None, None) => {
            // The key was made here; below a root that is believed already nobody comes to be anyone by it.
            let authority = plane.import_intermediate(tenant, &name, &certificates, &permit)?;
            return Ok(Answer::json(&json!({ "authority": authority })));
        }
        (Some(key), None) => {
            permit()?;
            let key = Base64::decode_vec(&key).map(Zeroizing::new);
            let key = key.map_err(|_| refuse("`private_key` is not base64"))?;
            plane.import_root(tenant, &name, &certificates, &key)?
        }
        (None, Some(address)) => {
            permit()?;
            // The token is the deployment's, and has keys of all tenants and of others.
            plane.permit_at_root(&caller, "authorities with keys of the token")?;
            plane.import_root_in_token(tenant, &name, &certificates, &address)?
        }
        (Some(_), Some(_)) => {
            return Err(refuse("it takes one of `private_key` and `key_address`").into());
        }
    };
    let warning = (!signs_lists).then_some(
        "this root may not sign revocation lists (its key usage lacks cRLSign): an intermediate below \
         it that is revoked is believed by others until it ends",
    );
    let answer = json!({ "authority": authority, "warning": warning });
    Ok(Answer::json(&said(answer)))
}

/// For whom certificates are; services unless something else is said.
pub(super) fn used_for(members: &mut Members) -> Result<AuthorityUse, Reason> {
    let Some(name) = members.text("used_for")? else {
        return Ok(AuthorityUse::Services);
    };
    AuthorityUse::parse(&name)
        .ok_or_else(|| members.refuse("used_for", "must be services, people, devices or cluster"))
}

/// Revokes certificates before their end.
pub(in crate::http) fn revoke_certificates(
    call: &Call,
    tenant: &Arc<Tenant>,
) -> Result<Answer, Stop> {
    let mut members = call.members("revocation")?;
    let serial = members.text("serial")?;
    let id = members.text("spiffe_id")?;
    let from = members.text("descended_from")?;
    let reason = members.text("reason")?;
    members.finish()?;
    let refuse = |detail: String| Document::Request("revocation").refuse(detail);
    let which = match (serial, id, from) {
        (Some(serial), None, None) => {
            let plain = plain_serial(&serial);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let detail = "`serial` is a number in hexadecimal digits, such as 5c01a9";
                return Err(refuse(detail.to_owned()).into());
            }
            Which::Serial(plain)
        }
        (None, Some(id), None) => Which::Identity(SpiffeId::parse(&id)?),
        (None, None, Some(from)) => Which::Descended(from),
        _ => {
            let one = "it takes one of `serial`, `spiffe_id` and `descended_from`";
            return Err(refuse(one.to_owned()).into());
        }
    };
    let name = reason.as_deref().unwrap_or("unspecified");
    let reason = reason_number(name).ok_or_else(|| {
        let names: Vec<&str> = reason_names().collect();
        refuse(format!("`reason` is one of: {}", names.join(", ")))
    })?;
    let by = call.caller()?.id.to_string();
    let plane = call.plane();
    let revoked = plane.take_certificates_back(tenant, &which, reason, &by)?;
    let revoked = revoked.iter().map(|one| {
        json!({
            "serial": one.serial,
            "spiffe_id": one.subject.as_str(),
            "authority": one.authority.as_str(),
            "not_after": one.not_after.to_string(),
        })
    });
    let revoked: Vec<Value> = revoked.collect();
    Ok(Answer::json(&json!({ "revoked": revoked })))
}

fn to_json(
    record: &AuthorityRecord,
    upstream: Option<Upstream>,
    published: Option<Sequence>,
    audience: &Audience,
) -> Map<String, Value> {
    let holding = audience.holding(published);
    let named = |nodes: &[&SpiffeId]| -> Vec<Value> {
        let nodes = nodes.iter().take(MOST_NAMED);
        nodes.map(|node| node.as_str().into()).collect()
    };
    let list = record.revocation_list.as_ref();
    let members = [
        ("id", json!(record.id.as_str())),
        ("trust_domain", json!(record.trust_domain.as_str())),
        ("kind", json!(record.kind.name())),
        ("role", json!(record.role.name())),
        ("state", json!(record.state.name())),
        ("since", json!(record.since.to_string())),
        ("not_before", json!(record.not_before.to_string())),
        ("not_after", json!(record.not_after.to_string())),
        ("used_for", json!(record.used_for.name())),
        (
            "key_origin",
            json!(origin_of(record).unwrap_or("destroyed")),
        ),
        ("key_address", json!(record.key_address)),
        (
            "key_is_brought",
            json!(record.key_is_brought.then_some(true)),
        ),
        (
            "renew_by",
            json!(
                upstream
                    .and_then(|upstream| renew_by(record, upstream))
                    .map(|at| at.to_string())
            ),
        ),
        (
            "root",
            json!(
                record
                    .certificates
                    .last()
                    .map(|der| Digest::of(der).to_string())
            ),
        ),
        (
            "revoked_certificates",
            json!(list.map(|_| record.revoked.len())),
        ),
        (
            "revocation_list_until",
            json!(list.map(|list| list.next_update.to_string())),
        ),
        (
            "published",
            json!(published.map(|sequence| sequence.number())),
        ),
        ("nodes_connected", json!(audience.count())),
        ("nodes_holding", json!(holding.holding)),
        ("held_by", json!(named(&holding.held_by))),
        ("not_held_by", json!(named(&holding.not_held_by))),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Map::from_iter(members)
}

/// Which of those who read what the tenant publishes have read of an authority.
fn of_readers(
    call: &Call,
    tenant: &Tenant,
    record: &AuthorityRecord,
    published: Option<Sequence>,
) -> Map<String, Value> {
    let Some(published) = published else {
        return Map::new();
    };
    let following = call.plane().readers_of(tenant, record, published);
    let behind = following.behind.iter().take(MOST_NAMED);
    let behind: Vec<String> = behind.map(ToString::to_string).collect();
    let known = following.holding + following.behind.len();
    Map::from_iter([
        ("readers_known".to_owned(), json!(known)),
        ("readers_holding".to_owned(), json!(following.holding)),
        ("not_read_by".to_owned(), json!(behind)),
    ])
}
