//! What may be used once, in SQLite. The one thread that writes is what makes one of many the
//! first; the key of the table keeps other processes to it.

use avouch_core::id::{Digest, TenantId};
use avouch_core::time::Time;
use rusqlite::{Connection, OptionalExtension, params};

use super::statements::{head, head_of, record_intents};
use crate::change::Sequence;
use crate::fault::Fault;
use crate::intent::IntentRow;
use crate::single_use::{SingleUse, UseKind, Used};
use crate::store::MOST_FORGOTTEN;

fn use_once(
    connection: &Connection,
    tenant: &TenantId,
    uses: &[SingleUse],
) -> Result<Vec<Used>, Fault> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO single_use (tenant, kind, digest, attempt, used, until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, kind, digest) DO NOTHING",
    )?;
    let mut told = Vec::with_capacity(uses.len());
    for one in uses {
        let (kind, digest) = (one.kind.name(), one.digest.as_bytes().as_slice());
        let inserted = insert.execute(params![
            tenant.as_str(),
            kind,
            digest,
            one.attempt.bytes(),
            one.at.unix(),
            one.until.unix(),
        ])?;
        if inserted == 1 {
            told.push(Used::First);
            continue;
        }
        let (first, at): (Vec<u8>, i64) = connection
            .prepare_cached(
                "SELECT attempt, used FROM single_use
                 WHERE tenant = ?1 AND kind = ?2 AND digest = ?3",
            )?
            .query_row(params![tenant.as_str(), kind, digest], |row| {
                Ok((row.get("attempt")?, row.get("used")?))
            })?;
        told.push(Used::told(one.attempt, &first, Time::from_unix(at)));
    }
    Ok(told)
}

pub(super) fn used(
    connection: &Connection,
    tenant: &TenantId,
    kind: UseKind,
    digest: &Digest,
) -> Result<Option<Time>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(None);
    }
    let used: Option<i64> = connection
        .prepare_cached(
            "SELECT used FROM single_use WHERE tenant = ?1 AND kind = ?2 AND digest = ?3",
        )?
        .query_row(
            params![tenant.as_str(), kind.name(), digest.as_bytes().as_slice()],
            |row| row.get("used"),
        )
        .optional()?;
    Ok(used.map(Time::from_unix))
}

pub(super) fn use_and_record(
    connection: &Connection,
    tenant: &TenantId,
    held: Sequence,
    uses: &[SingleUse],
    intents: &[IntentRow],
) -> Result<Vec<Used>, Fault> {
    head_of(connection, tenant, held)?;
    let told = use_once(connection, tenant, uses)?;
    if Used::are_first(&told) {
        record_intents(connection, tenant, intents)?;
    }
    Ok(told)
}

pub(super) fn forget_uses(connection: &Connection, before: Time) -> Result<u64, Fault> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM single_use WHERE rowid IN (
                 SELECT rowid FROM single_use WHERE until < ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute(params![before.unix(), MOST_FORGOTTEN])?;
    Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
}
