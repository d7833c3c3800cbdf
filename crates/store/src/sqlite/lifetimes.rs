//! How long what is signed may live, and how much of it does, in SQLite.

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use rusqlite::{Connection, params};

use super::statements::head;
use crate::fault::Fault;
use crate::intent::CredentialKind;
use crate::lifetime::{Lasting, Lifetime, LifetimeKind, Living};

pub(super) fn living(
    connection: &Connection,
    tenant: &TenantId,
    lasting: Lasting<'_>,
) -> Result<Vec<Living>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    let (first, end) = lasting.subjects();
    let mut statement = connection.prepare_cached(
        "SELECT kind, count(*) AS count, max(not_after) AS until FROM intent
         WHERE tenant = ?1 AND recorded >= ?2 AND not_after >= ?3
             AND subject >= ?4 AND subject < ?5
         GROUP BY kind",
    )?;
    let (from, at) = (lasting.from.unix(), lasting.at.unix());
    let mut rows = statement.query(params![tenant.as_str(), from, at, first, end])?;
    let mut living = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get("kind")?;
        let count: i64 = row.get("count")?;
        living.push(Living {
            kind: CredentialKind::parse(&kind).ok_or_else(|| unknown(&kind))?,
            count: u64::try_from(count).unwrap_or_default(),
            until: Time::from_unix(row.get("until")?),
        });
    }
    Ok(living)
}

pub(super) fn keep(connection: &Connection, lifetimes: &[Lifetime]) -> Result<(), Fault> {
    let mut put = connection.prepare_cached(
        "INSERT INTO lifetime (kind, seconds, last) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, seconds) DO UPDATE SET last = max(last, excluded.last)",
    )?;
    for one in lifetimes {
        put.execute(params![one.kind.name(), one.seconds, one.last.unix()])?;
    }
    let Some(now) = lifetimes.iter().map(|one| one.last).max() else {
        return Ok(());
    };
    let mut forget =
        connection.prepare_cached("DELETE FROM lifetime WHERE kind = ?1 AND seconds = ?2")?;
    for one in all(connection)?.iter().filter(|one| !one.counts_at(now)) {
        forget.execute(params![one.kind.name(), one.seconds])?;
    }
    Ok(())
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Lifetime>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT kind, seconds, last FROM lifetime ORDER BY kind, seconds")?;
    let mut rows = statement.query([])?;
    let mut lifetimes = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get("kind")?;
        lifetimes.push(Lifetime {
            kind: LifetimeKind::parse(&kind).ok_or_else(|| unknown(&kind))?,
            seconds: row.get("seconds")?,
            last: Time::from_unix(row.get("last")?),
        });
    }
    Ok(lifetimes)
}

fn unknown(kind: &str) -> Fault {
    Fault::Corrupt(format!("there is no kind `{kind}`"))
}
