//! What ends by itself, in SQLite. The column `ends` is worked out of the body, so it is what the body
//! says, whoever wrote it.

use std::collections::BTreeSet;

use avouch_core::id::TenantId;
use rusqlite::{Connection, params};

use super::statements::{head, write_rows};
use crate::change::Sequence;
use crate::codec::Row;
use crate::fault::Fault;
use crate::over::Over;
use crate::store::MOST_FORGOTTEN;

/// One look for each tenant: what is not over yet may be much more.
pub(super) const TENANTS: &str = "SELECT id FROM tenant WHERE removed = 0 AND EXISTS (
         SELECT 1 FROM object INDEXED BY object_by_end
         WHERE object.kind = ?1 AND object.tenant = tenant.id AND ends <= ?2
     )";

/// Of one tenant, which reads nothing of another.
pub(super) const OF_ONE: &str = "SELECT id FROM object INDEXED BY object_by_end
     WHERE kind = ?2 AND ends <= ?3 AND tenant = ?1 ORDER BY ends LIMIT ?4";

pub(super) fn tenants_with_over(
    connection: &Connection,
    over: &[Over],
) -> Result<BTreeSet<TenantId>, Fault> {
    let mut find = connection.prepare_cached(TENANTS)?;
    let mut tenants = BTreeSet::new();
    for Over { kind, by } in over {
        let mut rows = find.query(params![kind.name(), by.unix()])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
            tenants.insert(TenantId::parse(&id).ok_or_else(damaged)?);
        }
    }
    Ok(tenants)
}

pub(super) fn remove_over(
    connection: &Connection,
    tenant: &TenantId,
    over: &[Over],
) -> Result<Option<Sequence>, Fault> {
    let Some(head) = head(connection, tenant)? else {
        return Ok(None);
    };
    let mut find = connection.prepare_cached(OF_ONE)?;
    let mut gone = Vec::new();
    for Over { kind, by } in over {
        let (kind, by) = (kind.name(), by.unix());
        let mut rows = find.query(params![tenant.as_str(), kind, by, MOST_FORGOTTEN])?;
        while let Some(row) = rows.next()? {
            gone.push(Row::removed(kind, row.get("id")?));
        }
    }
    if gone.is_empty() {
        return Ok(None);
    }
    let next = head.next();
    connection
        .prepare_cached("UPDATE tenant SET sequence = ?2 WHERE id = ?1")?
        .execute(params![tenant.as_str(), next.stored()])?;
    write_rows(connection, tenant, next, &gone)?;
    Ok(Some(next))
}
