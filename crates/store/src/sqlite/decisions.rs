//! Decisions that are kept, in SQLite.

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::statements::{head, head_of};
use crate::change::Sequence;
use crate::decision::{DecisionRow, WantedDecisions};
use crate::fault::Fault;
use crate::names::DecisionId;
use crate::store::MOST_FORGOTTEN;

pub(super) fn keep(
    connection: &Connection,
    tenant: &TenantId,
    held: Sequence,
    decisions: &[DecisionRow],
    most: u32,
) -> Result<(), Fault> {
    head_of(connection, tenant, held)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO decision (tenant, id, at, verdict, code, document)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, id) DO NOTHING",
    )?;
    for one in decisions {
        insert.execute(params![
            tenant.as_str(),
            one.id.as_str(),
            one.at.unix(),
            one.verdict,
            one.code,
            one.document,
        ])?;
    }
    connection
        .prepare_cached(
            "DELETE FROM decision WHERE tenant = ?1 AND id <= (
                 SELECT id FROM decision WHERE tenant = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![tenant.as_str(), most])?;
    Ok(())
}

pub(super) fn find(
    connection: &Connection,
    tenant: &TenantId,
    id: &DecisionId,
) -> Result<Option<DecisionRow>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "SELECT id, at, verdict, code, document FROM decision WHERE tenant = ?1 AND id = ?2",
        )?
        .query_row([tenant.as_str(), id.as_str()], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

pub(super) fn latest(
    connection: &Connection,
    tenant: &TenantId,
    wanted: &WantedDecisions,
) -> Result<Vec<DecisionRow>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT id, at, verdict, code, document FROM decision
         WHERE tenant = ?1 AND (?2 IS NULL OR id < ?2) AND (?3 IS NULL OR verdict = ?3)
             AND (?4 IS NULL OR code = ?4)
         ORDER BY id DESC LIMIT ?5",
    )?;
    let before = wanted.before.as_ref().map(DecisionId::as_str);
    let mut rows = statement.query(params![
        tenant.as_str(),
        before,
        wanted.verdict,
        wanted.code,
        wanted.limit,
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<DecisionRow, Fault> {
    let id: String = row.get("id")?;
    Ok(DecisionRow {
        id: DecisionId::parse(&id).ok_or_else(|| Fault::Corrupt(format!("decision `{id}`")))?,
        at: Time::from_unix(row.get("at")?),
        verdict: row.get("verdict")?,
        code: row.get("code")?,
        document: row.get("document")?,
    })
}

pub(super) fn forget(connection: &Connection, before: Time) -> Result<u64, Fault> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM decision WHERE rowid IN (
                 SELECT rowid FROM decision WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![before.unix(), MOST_FORGOTTEN])?;
    Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
}
