//! How long what is signed may live, and how much of it does, in PostgreSQL.

use avouch_core::id::TenantId;
use avouch_core::time::Time;

use super::session::Session;
use super::statements::head;
use crate::fault::Fault;
use crate::intent::CredentialKind;
use crate::lifetime::{Lasting, Lifetime, LifetimeKind, Living};

pub(super) fn living(
    session: &mut Session,
    tenant: &TenantId,
    lasting: Lasting<'_>,
) -> Result<Vec<Living>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    let (first, end) = lasting.subjects();
    // In the order of bytes, whatever the database was told to sort by.
    let rows = session.query(
        "SELECT kind, count(*) AS count, max(not_after) AS until FROM intent
         WHERE tenant = $1 AND recorded >= $2 AND not_after >= $3
             AND subject COLLATE \"C\" >= $4 AND subject COLLATE \"C\" < $5
         GROUP BY kind",
        &[
            &tenant.as_str(),
            &lasting.from.unix(),
            &lasting.at.unix(),
            &first,
            &end,
        ],
    )?;
    let living = rows.iter().map(|row| -> Result<Living, Fault> {
        let kind: String = row.try_get("kind")?;
        let count: i64 = row.try_get("count")?;
        Ok(Living {
            kind: CredentialKind::parse(&kind).ok_or_else(|| unknown(&kind))?,
            count: u64::try_from(count).unwrap_or_default(),
            until: Time::from_unix(row.try_get("until")?),
        })
    });
    living.collect()
}

pub(super) fn keep(session: &mut Session, lifetimes: &[Lifetime]) -> Result<(), Fault> {
    for one in lifetimes {
        session.execute(
            "INSERT INTO lifetime (kind, seconds, last) VALUES ($1, $2, $3)
             ON CONFLICT (kind, seconds)
             DO UPDATE SET last = greatest(lifetime.last, excluded.last)",
            &[&one.kind.name(), &i64::from(one.seconds), &one.last.unix()],
        )?;
    }
    let Some(now) = lifetimes.iter().map(|one| one.last).max() else {
        return Ok(());
    };
    for one in all(session)?.iter().filter(|one| !one.counts_at(now)) {
        // Unless another server has said so again meanwhile.
        session.execute(
            "DELETE FROM lifetime WHERE kind = $1 AND seconds = $2 AND last = $3",
            &[&one.kind.name(), &i64::from(one.seconds), &one.last.unix()],
        )?;
    }
    Ok(())
}

pub(super) fn all(session: &mut Session) -> Result<Vec<Lifetime>, Fault> {
    let rows = session.query(
        "SELECT kind, seconds, last FROM lifetime ORDER BY 1, 2",
        &[],
    )?;
    let lifetimes = rows.iter().map(|row| -> Result<Lifetime, Fault> {
        let kind: String = row.try_get("kind")?;
        let seconds: i64 = row.try_get("seconds")?;
        Ok(Lifetime {
            kind: LifetimeKind::parse(&kind).ok_or_else(|| unknown(&kind))?,
            seconds: u32::try_from(seconds)
                .map_err(|_| Fault::Corrupt("a lifetime is out of bounds".to_owned()))?,
            last: Time::from_unix(row.try_get("last")?),
        })
    });
    lifetimes.collect()
}

fn unknown(kind: &str) -> Fault {
    Fault::Corrupt(format!("there is no kind `{kind}`"))
}
