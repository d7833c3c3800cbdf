//! What servers tell each other, in PostgreSQL.

use std::collections::BTreeMap;

use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::time::Time;

use super::session::Session;
use super::statements::{heads, sequence_of};
use crate::change::Sequence;
use crate::fault::Fault;
use crate::follower::{Followers, Report};
use crate::names::ServerId;
use crate::store::SERVER_FORGOTTEN_AFTER;

/// What the numbers were before. Whoever changes a tenant meanwhile waits, and those who raise at
/// once take the rows in one order.
pub(super) fn raise(
    session: &mut Session,
    floor: Sequence,
) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
    session.query(
        "SELECT 1 FROM tenant ORDER BY id COLLATE \"C\" FOR NO KEY UPDATE",
        &[],
    )?;
    let before = heads(session)?;
    session.execute(
        "UPDATE tenant SET sequence = $1, skipped_after = sequence, skipped_before = $1
         WHERE sequence < $1",
        &[&floor.stored()],
    )?;
    Ok(before)
}

pub(super) fn report(session: &mut Session, report: &Report) -> Result<bool, Fault> {
    let server = report.server.as_str();
    let number = i64::try_from(report.number).unwrap_or(i64::MAX);
    let seen = report.at.unix();
    // The same report again is one whose answer was lost.
    let next = session.execute(
        "UPDATE server SET seen = $3, report = $2::bigint
         WHERE id = $1 AND report IN ($2::bigint - 1, $2::bigint)",
        &[&server, &number, &seen],
    )?;
    if next == 0 {
        session.execute(
            "INSERT INTO server (id, report, seen) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET report = excluded.report, seen = excluded.seen",
            &[&server, &number, &seen],
        )?;
    }
    put(session, server, &report.followers)?;
    forget_servers(session, report.at.plus(-SERVER_FORGOTTEN_AFTER))?;
    Ok(next > 0 || report.number == 1)
}

fn put(session: &mut Session, server: &str, followers: &[Followers]) -> Result<(), Fault> {
    if followers.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = followers.iter().map(|one| one.tenant.as_str()).collect();
    let counts: Vec<i64> = followers
        .iter()
        .map(|one| i64::try_from(one.count).unwrap_or(i64::MAX))
        .collect();
    let least: Vec<i64> = followers.iter().map(|one| one.least.stored()).collect();
    let slowest: Vec<&str> = followers.iter().map(|one| one.slowest.as_str()).collect();
    session.execute(
        "INSERT INTO follower (server, tenant, count, least, slowest)
         SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[])
         ON CONFLICT (tenant, server) DO UPDATE SET
             count = excluded.count, least = excluded.least, slowest = excluded.slowest",
        &[&server, &tenants, &counts, &least, &slowest],
    )?;
    Ok(())
}

fn forget_servers(session: &mut Session, before: Time) -> Result<(), Fault> {
    // Several servers may forget at once; each takes what the others leave.
    session.execute(
        "DELETE FROM follower WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM follower
             WHERE count = 0 OR server IN (SELECT id FROM server WHERE seen < $1)
             FOR UPDATE SKIP LOCKED))",
        &[&before.unix()],
    )?;
    session.execute(
        "DELETE FROM server WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM server WHERE seen < $1 FOR UPDATE SKIP LOCKED))",
        &[&before.unix()],
    )?;
    Ok(())
}

pub(super) fn followers(
    session: &mut Session,
    tenant: &TenantId,
    besides: &ServerId,
    since: Time,
) -> Result<Vec<Followers>, Fault> {
    let rows = session.query(
        "SELECT count, least AS sequence, slowest
         FROM follower JOIN server ON server.id = follower.server
         WHERE tenant = $1 AND server <> $2 AND seen >= $3 AND count > 0 ORDER BY server",
        &[&tenant.as_str(), &besides.as_str(), &since.unix()],
    )?;
    let followers = rows.iter().map(|row| {
        let (slowest, count): (String, i64) = (row.try_get("slowest")?, row.try_get("count")?);
        Ok(Followers {
            tenant: tenant.clone(),
            count: u64::try_from(count).unwrap_or_default(),
            least: sequence_of(row)?,
            slowest: SpiffeId::parse(&slowest)
                .map_err(|_| Fault::Corrupt("a follower cannot be read".to_owned()))?,
        })
    });
    followers.collect()
}
