//! Tenants that were removed, in SQLite. A row without a key is left of each, so that its name and its
//! trust domains are nobody else's.

use avouch_core::id::TenantId;
use rusqlite::{Connection, OptionalExtension, params};

use super::statements::{read_object, sequence_of};
use crate::change::Sequence;
use crate::codec::AUTHORITY;
use crate::fault::{Conflict, Fault};
use crate::store::MOST_FORGOTTEN;
use crate::tenant::TenantRecord;

/// Where what a tenant owns is, and by what a row of it is found.
const OWNED: [(&str, &str); 5] = [
    ("object", "tenant, kind, id"),
    ("intent", "tenant, id"),
    ("single_use", "tenant, kind, digest"),
    ("follower", "tenant, server"),
    ("decision", "tenant, id"),
];

pub(super) fn remove_tenants(
    connection: &Connection,
    tenants: &[(TenantId, Sequence)],
) -> Result<(), Fault> {
    // What is overwritten here is overwritten in the file, too.
    let overwrites =
        |on: bool| connection.pragma_update_and_check(None, "secure_delete", on, |_| Ok(()));
    overwrites(true)?;
    let removed = tenants
        .iter()
        .try_for_each(|(tenant, at)| remove(connection, tenant, *at));
    overwrites(false)?;
    removed?;
    let mut below =
        connection.prepare_cached("SELECT 1 FROM tenant WHERE parent = ?1 AND removed = 0")?;
    for (tenant, _) in tenants {
        if below.exists([tenant.as_str()])? {
            return Err(Conflict::TenantInUse(tenant.clone()).into());
        }
    }
    Ok(())
}

fn remove(connection: &Connection, tenant: &TenantId, at: Sequence) -> Result<(), Fault> {
    let found = connection
        .prepare_cached("SELECT sequence, removed FROM tenant WHERE id = ?1")?
        .query_row([tenant.as_str()], |row| {
            let is_removed: bool = row.get("removed")?;
            Ok((sequence_of(row), is_removed))
        })
        .optional()?;
    let unknown = || Conflict::UnknownTenant(tenant.clone());
    let (found, is_removed) = found.ok_or_else(unknown)?;
    let found = found?;
    match is_removed {
        // The answer was lost.
        true if found == at.next() => return Ok(()),
        true => return Err(unknown().into()),
        false if found != at => {
            let expected = at;
            return Err(Conflict::Moved { expected, found }.into());
        }
        false => {}
    }
    connection
        .prepare_cached(
            "UPDATE tenant SET removed = 1, wrapped_key = X'', sequence = ?2 WHERE id = ?1",
        )?
        .execute(params![tenant.as_str(), at.next().stored()])?;
    // What the key sealed goes at once; the rest is of no use to anyone, and may be much.
    connection
        .prepare_cached("UPDATE object SET secret = NULL WHERE tenant = ?1 AND secret NOTNULL")?
        .execute([tenant.as_str()])?;
    connection
        .prepare_cached("DELETE FROM brought_key WHERE tenant = ?1")?
        .execute([tenant.as_str()])?;
    Ok(())
}

pub(super) fn keys_of_removed(connection: &Connection) -> Result<Vec<(TenantId, String)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, kind, id, sequence, body, secret FROM object
         WHERE kind = ?1 AND body IS NOT NULL
             AND tenant IN (SELECT id FROM tenant WHERE removed = 1)",
    )?;
    let mut rows = statement.query([AUTHORITY])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let tenant: String = row.get("tenant")?;
        keys.extend(read_object(row)?.key_kept_elsewhere(&tenant));
    }
    Ok(keys)
}

pub(super) fn clear_removed(connection: &Connection) -> Result<u64, Fault> {
    let mut cleared = 0;
    for (table, key) in OWNED {
        let statement = format!(
            "DELETE FROM {table} WHERE ({key}) IN (
                 SELECT {key} FROM {table}
                 WHERE tenant IN (SELECT id FROM tenant WHERE removed = 1) LIMIT ?1)"
        );
        cleared += connection
            .prepare_cached(&statement)?
            .execute([MOST_FORGOTTEN])?;
    }
    Ok(u64::try_from(cleared).unwrap_or(u64::MAX))
}

/// Adds a tenant in the place of one that was removed. Whether there was one there: below the same
/// tenant, or else the name is still that one's.
pub(super) fn add_again(connection: &Connection, tenant: &TenantRecord) -> Result<bool, Fault> {
    let parent: Option<Option<String>> = connection
        .prepare_cached("SELECT parent FROM tenant WHERE id = ?1 AND removed = 1")?
        .query_row([tenant.id.as_str()], |row| row.get("parent"))
        .optional()?;
    let Some(parent) = parent else {
        return Ok(false);
    };
    if parent.as_deref() != tenant.parent.as_ref().map(TenantId::as_str) {
        return Err(Conflict::TenantTaken(tenant.id.clone()).into());
    }
    for (table, _) in OWNED {
        let statement = format!("DELETE FROM {table} WHERE tenant = ?1");
        connection
            .prepare_cached(&statement)?
            .execute([tenant.id.as_str()])?;
    }
    connection
        .prepare_cached(
            "UPDATE tenant SET removed = 0, kind = ?2, created = ?3, wrapped_key = ?4,
                               sequence = sequence + 1, begins = sequence + 1
             WHERE id = ?1",
        )?
        .execute(params![
            tenant.id.as_str(),
            tenant.kind.name(),
            tenant.created.unix(),
            tenant.key.bytes(),
        ])?;
    Ok(true)
}
