//! What servers tell each other, in SQLite.

use std::collections::BTreeMap;

use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::time::Time;
use rusqlite::{Connection, params};

use super::statements::heads;
use crate::change::Sequence;
use crate::fault::Fault;
use crate::follower::{Followers, Report};
use crate::names::ServerId;
use crate::store::SERVER_FORGOTTEN_AFTER;

/// What the numbers were before, which is read and changed in one transaction.
pub(super) fn raise(
    connection: &Connection,
    floor: Sequence,
) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
    let before = heads(connection)?;
    connection
        .prepare_cached(
            "UPDATE tenant SET sequence = ?1, skipped_after = sequence, skipped_before = ?1
             WHERE sequence < ?1",
        )?
        .execute([floor.stored()])?;
    Ok(before)
}

pub(super) fn report(connection: &Connection, report: &Report) -> Result<bool, Fault> {
    let server = report.server.as_str();
    let number = i64::try_from(report.number).unwrap_or(i64::MAX);
    // The same report again is one whose answer was lost.
    let next = connection
        .prepare_cached(
            "UPDATE server SET seen = ?3, report = ?2 WHERE id = ?1 AND report IN (?2 - 1, ?2)",
        )?
        .execute(params![server, number, report.at.unix()])?;
    if next == 0 {
        connection
            .prepare_cached(
                "INSERT INTO server (id, report, seen) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET report = excluded.report, seen = excluded.seen",
            )?
            .execute(params![server, number, report.at.unix()])?;
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO follower (tenant, server, count, least, slowest) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (tenant, server) DO UPDATE SET
             count = excluded.count, least = excluded.least, slowest = excluded.slowest",
    )?;
    for one in &report.followers {
        put.execute(params![
            one.tenant.as_str(),
            server,
            i64::try_from(one.count).unwrap_or(i64::MAX),
            one.least.stored(),
            one.slowest.as_str(),
        ])?;
    }
    forget_servers(connection, report.at.plus(-SERVER_FORGOTTEN_AFTER))?;
    Ok(next > 0 || report.number == 1)
}

fn forget_servers(connection: &Connection, before: Time) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "DELETE FROM follower WHERE count = 0
                 OR server IN (SELECT id FROM server WHERE seen < ?1)",
        )?
        .execute([before.unix()])?;
    connection
        .prepare_cached("DELETE FROM server WHERE seen < ?1")?
        .execute([before.unix()])?;
    Ok(())
}

pub(super) fn followers(
    connection: &Connection,
    tenant: &TenantId,
    besides: &ServerId,
    since: Time,
) -> Result<Vec<Followers>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT count, least, slowest FROM follower JOIN server ON server.id = follower.server
         WHERE tenant = ?1 AND server <> ?2 AND seen >= ?3 AND count > 0 ORDER BY server",
    )?;
    let found = params![tenant.as_str(), besides.as_str(), since.unix()];
    let mut rows = statement.query(found)?;
    let mut followers = Vec::new();
    while let Some(row) = rows.next()? {
        let slowest: String = row.get("slowest")?;
        let count: i64 = row.get("count")?;
        followers.push(Followers {
            tenant: tenant.clone(),
            count: u64::try_from(count).unwrap_or_default(),
            least: Sequence::from_stored(row.get("least")?)?,
            slowest: SpiffeId::parse(&slowest)
                .map_err(|_| Fault::Corrupt("a follower cannot be read".to_owned()))?,
        });
    }
    Ok(followers)
}
