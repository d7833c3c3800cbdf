//! What is known of tenants of which nothing else is read, in SQLite.

use std::collections::BTreeMap;

use avouch_core::id::{TenantId, TrustDomain};
use rusqlite::{Connection, OptionalExtension};

use super::statements::{head, read_object, sequence_of};
use crate::change::{Key, Object, Sequence};
use crate::codec::row_of;
use crate::fault::Fault;
use crate::outline::{Appointed, Counts, OUTLINED, Outline};
use crate::within::{BoundedKind, Standing, Within};

pub(super) fn trust_domains(
    connection: &Connection,
) -> Result<BTreeMap<TrustDomain, TenantId>, Fault> {
    // A name stays its owner's for ever, and what counts is whether the owner has it now.
    let mut statement = connection.prepare_cached(
        "SELECT name, trust_domain.tenant FROM trust_domain
         JOIN tenant ON tenant.id = trust_domain.tenant AND tenant.removed = 0
         WHERE EXISTS (
             SELECT 1 FROM object
             WHERE object.tenant = trust_domain.tenant AND kind = 'trust_domain'
                 AND object.id = trust_domain.name AND body IS NOT NULL
         )",
    )?;
    let mut rows = statement.query([])?;
    let mut owners = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (name, owner): (String, String) = (row.get(0)?, row.get(1)?);
        // What cannot be read is nobody's, and keeps no other from being found.
        if let (Ok(name), Some(owner)) = (TrustDomain::parse(&name), TenantId::parse(&owner)) {
            owners.insert(name, owner);
        }
    }
    Ok(owners)
}

pub(super) fn outline(connection: &Connection, tenant: &TenantId) -> Result<Outline, Fault> {
    let Some(head) = head(connection, tenant)? else {
        return Ok(Outline::at(Sequence::START));
    };
    let mut outline = Outline::at(head);
    let mut statement = connection.prepare_cached(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = ?1 AND kind = ?2 AND body IS NOT NULL ORDER BY id",
    )?;
    for kind in OUTLINED {
        let mut rows = statement.query([tenant.as_str(), kind])?;
        while let Some(row) = rows.next()? {
            outline.add(read_object(row)?.into_change()?);
        }
    }
    (outline.has_entries, outline.works_by_itself) = connection
        .prepare_cached(
            "SELECT
                 EXISTS (
                     SELECT 1 FROM object
                     WHERE tenant = ?1 AND kind = 'entry' AND body IS NOT NULL
                 ),
                 EXISTS (
                     SELECT 1 FROM object
                     WHERE tenant = ?1 AND kind IN ('federation', 'issuer', 'receiver', 'signal')
                         AND body IS NOT NULL
                 )",
        )?
        .query_row([tenant.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(outline)
}

pub(super) fn appointed(
    connection: &Connection,
    tenant: &TenantId,
) -> Result<Vec<Appointed>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = ?1 AND kind = 'admin' AND body IS NOT NULL ORDER BY id",
    )?;
    let mut rows = statement.query([tenant.as_str()])?;
    let mut appointed = Vec::new();
    while let Some(row) = rows.next()? {
        appointed.push(read_object(row)?.into_appointed()?);
    }
    Ok(appointed)
}

pub(super) fn object(
    connection: &Connection,
    tenant: &TenantId,
    key: &Key,
) -> Result<Option<(Sequence, Object)>, Fault> {
    let (kind, name) = row_of(key);
    let found = connection
        .prepare_cached(
            "SELECT tenant.sequence, object.kind, object.id, body, secret
             FROM tenant JOIN object ON object.tenant = tenant.id
             WHERE tenant.id = ?1 AND tenant.removed = 0
                 AND object.kind = ?2 AND object.id = ?3 AND body IS NOT NULL",
        )?
        .query_row([tenant.as_str(), kind, name], |row| {
            Ok((sequence_of(row), read_object(row)?))
        })
        .optional()?;
    let Some((head, row)) = found else {
        return Ok(None);
    };
    let head = head?;
    Ok(row.into_object()?.map(|object| (head, object)))
}

pub(super) fn counts(connection: &Connection, tenant: &TenantId) -> Result<Counts, Fault> {
    Ok(Counts {
        entries: count(connection, tenant, BoundedKind::Entry)?,
        nodes: count(connection, tenant, BoundedKind::Node)?,
    })
}

fn count(connection: &Connection, tenant: &TenantId, kind: BoundedKind) -> Result<usize, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT COUNT(*) FROM object WHERE tenant = ?1 AND kind = ?2 AND body IS NOT NULL",
    )?;
    let count: i64 = statement.query_row([tenant.as_str(), kind.name()], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Whether bounds are kept to. There is one who writes, so nobody else adds anything meanwhile.
pub(super) fn check_within(connection: &Connection, within: &[Within]) -> Result<(), Fault> {
    if within.is_empty() {
        return Ok(());
    }
    let mut statement =
        connection.prepare_cached("SELECT id, parent, sequence FROM tenant WHERE removed = 0")?;
    let mut rows = statement.query([])?;
    let mut all: Vec<Standing> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, parent): (String, Option<String>) = (row.get("id")?, row.get("parent")?);
        let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
        let tenant = TenantId::parse(&id).ok_or_else(damaged)?;
        all.push((
            tenant,
            parent.and_then(|parent| TenantId::parse(&parent)),
            sequence_of(row)?,
        ));
    }
    for one in within {
        one.check(&all, |tenants, kind| {
            let each = tenants.iter().map(|one| count(connection, one, kind));
            each.sum()
        })?;
    }
    Ok(())
}
