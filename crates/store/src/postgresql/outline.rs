//! What is known of tenants of which nothing else is read, in PostgreSQL.

use std::collections::BTreeMap;

use avouch_core::id::{TenantId, TrustDomain};

use super::session::Session;
use super::statements::{head, read_object, sequence_of};
use crate::change::{Key, Object, Sequence};
use crate::codec::row_of;
use crate::fault::Fault;
use crate::outline::{Appointed, Counts, OUTLINED, Outline};
use crate::within::{BoundedKind, Standing, Within, tops};

pub(super) fn trust_domains(
    session: &mut Session,
) -> Result<BTreeMap<TrustDomain, TenantId>, Fault> {
    // A name stays its owner's for ever, and what counts is whether the owner has it now.
    let rows = session.query(
        "SELECT name, trust_domain.tenant FROM trust_domain
         JOIN tenant ON tenant.id = trust_domain.tenant AND NOT tenant.removed
         WHERE EXISTS (
             SELECT 1 FROM object
             WHERE object.tenant = trust_domain.tenant AND kind = 'trust_domain'
                 AND object.id = trust_domain.name AND body IS NOT NULL
         )",
        &[],
    )?;
    let mut owners = BTreeMap::new();
    for row in rows {
        let (name, owner): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        // What cannot be read is nobody's, and keeps no other from being found.
        if let (Ok(name), Some(owner)) = (TrustDomain::parse(&name), TenantId::parse(&owner)) {
            owners.insert(name, owner);
        }
    }
    Ok(owners)
}

pub(super) fn outline(session: &mut Session, tenant: &TenantId) -> Result<Outline, Fault> {
    let Some(head) = head(session, tenant)? else {
        return Ok(Outline::at(Sequence::START));
    };
    let mut outline = Outline::at(head);
    let rows = session.query(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = $1 AND kind = ANY ($2) AND body IS NOT NULL ORDER BY id COLLATE \"C\"",
        &[&tenant.as_str(), &OUTLINED.as_slice()],
    )?;
    for row in &rows {
        outline.add(read_object(row)?.into_change()?);
    }
    let found = session.query(
        "SELECT
             EXISTS (
                 SELECT 1 FROM object
                 WHERE tenant = $1 AND kind = 'entry' AND body IS NOT NULL
             ),
             EXISTS (
                 SELECT 1 FROM object
                 WHERE tenant = $1 AND kind IN ('federation', 'issuer', 'receiver', 'signal')
                     AND body IS NOT NULL
             )",
        &[&tenant.as_str()],
    )?;
    if let Some(row) = found.first() {
        outline.has_entries = row.try_get(0)?;
        outline.works_by_itself = row.try_get(1)?;
    }
    Ok(outline)
}

pub(super) fn appointed(session: &mut Session, tenant: &TenantId) -> Result<Vec<Appointed>, Fault> {
    let rows = session.query(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = $1 AND kind = 'admin' AND body IS NOT NULL ORDER BY id COLLATE \"C\"",
        &[&tenant.as_str()],
    )?;
    let appointed = rows.iter();
    appointed
        .map(|row| read_object(row)?.into_appointed())
        .collect()
}

pub(super) fn object(
    session: &mut Session,
    tenant: &TenantId,
    key: &Key,
) -> Result<Option<(Sequence, Object)>, Fault> {
    let (kind, name) = row_of(key);
    let rows = session.query(
        "SELECT tenant.sequence, object.kind, object.id, body, secret
         FROM tenant JOIN object ON object.tenant = tenant.id
         WHERE tenant.id = $1 AND NOT tenant.removed
             AND object.kind = $2 AND object.id = $3 AND body IS NOT NULL",
        &[&tenant.as_str(), &kind, &name],
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let head = sequence_of(row)?;
    let object = read_object(row)?.into_object()?;
    Ok(object.map(|object| (head, object)))
}

pub(super) fn counts(session: &mut Session, tenant: &TenantId) -> Result<Counts, Fault> {
    Ok(Counts {
        entries: count(session, &[tenant], BoundedKind::Entry)?,
        nodes: count(session, &[tenant], BoundedKind::Node)?,
    })
}

/// How much there is of something in these tenants together.
fn count(session: &mut Session, tenants: &[&TenantId], kind: BoundedKind) -> Result<usize, Fault> {
    let tenants: Vec<&str> = tenants.iter().map(|one| one.as_str()).collect();
    let rows = session.query(
        "SELECT COUNT(*) FROM object WHERE tenant = ANY($1) AND kind = $2 AND body IS NOT NULL",
        &[&tenants, &kind.name()],
    )?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Has whoever else keeps to one of these bounds, or changes the tenant, wait until this transaction is
/// over. Whoever takes the rows of several tenants takes them in the order of their names, so nobody waits
/// for ever.
pub(super) fn hold_tops(
    session: &mut Session,
    tenant: &TenantId,
    within: &[Within],
) -> Result<(), Fault> {
    if within.is_empty() {
        return Ok(());
    }
    let mut held = tops(within);
    held.insert(tenant);
    let held: Vec<&str> = held.into_iter().map(TenantId::as_str).collect();
    session.query(
        "SELECT 1 FROM tenant WHERE id = ANY($1) ORDER BY id COLLATE \"C\" FOR NO KEY UPDATE",
        &[&held],
    )?;
    Ok(())
}

/// Whether bounds are kept to. Each statement sees what was committed before it.
pub(super) fn check_within(session: &mut Session, within: &[Within]) -> Result<(), Fault> {
    if within.is_empty() {
        return Ok(());
    }
    // Not all that there are: others wait for this.
    let tops: Vec<&str> = tops(within).into_iter().map(TenantId::as_str).collect();
    let rows = session.query(
        "WITH RECURSIVE below AS (
             SELECT id, parent, sequence FROM tenant WHERE id = ANY($1) AND NOT removed
             UNION
             SELECT tenant.id, tenant.parent, tenant.sequence
             FROM below JOIN tenant ON tenant.parent = below.id AND NOT tenant.removed
         )
         SELECT id, parent, sequence FROM below",
        &[&tops],
    )?;
    let mut all: Vec<Standing> = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, parent): (String, Option<String>) = (row.try_get("id")?, row.try_get("parent")?);
        let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
        let tenant = TenantId::parse(&id).ok_or_else(damaged)?;
        all.push((
            tenant,
            parent.and_then(|parent| TenantId::parse(&parent)),
            sequence_of(row)?,
        ));
    }
    for one in within {
        one.check(&all, |tenants, kind| count(session, tenants, kind))?;
    }
    Ok(())
}
