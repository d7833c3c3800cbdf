//! Decisions that are kept, in PostgreSQL.

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use postgres::Row;

use super::session::Session;
use super::statements::head;
use crate::change::Sequence;
use crate::decision::{DecisionRow, WantedDecisions};
use crate::fault::{Conflict, Fault};
use crate::names::DecisionId;
use crate::store::MOST_FORGOTTEN;

pub(super) fn keep(
    session: &mut Session,
    tenant: &TenantId,
    held: Sequence,
    decisions: &[DecisionRow],
    most: u32,
) -> Result<(), Fault> {
    let there = session.query(
        // Whoever removes it waits until this is over.
        "SELECT 1 FROM tenant WHERE id = $1 AND NOT removed AND begins <= $2 FOR KEY SHARE",
        &[&tenant.as_str(), &held.stored()],
    )?;
    if there.is_empty() {
        return Err(Conflict::UnknownTenant(tenant.clone()).into());
    }
    let ids: Vec<&str> = decisions.iter().map(|one| one.id.as_str()).collect();
    let times: Vec<i64> = decisions.iter().map(|one| one.at.unix()).collect();
    let verdicts: Vec<&str> = decisions.iter().map(|one| one.verdict.as_str()).collect();
    let codes: Vec<Option<&str>> = decisions.iter().map(|one| one.code.as_deref()).collect();
    let documents: Vec<&str> = decisions.iter().map(|one| one.document.as_str()).collect();
    session.execute(
        "INSERT INTO decision (tenant, id, at, verdict, code, document)
         SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
         ON CONFLICT (tenant, id) DO NOTHING",
        &[
            &tenant.as_str(),
            &ids,
            &times,
            &verdicts,
            &codes,
            &documents,
        ],
    )?;
    // Several servers may do so at once; each takes what the others leave.
    session.execute(
        "DELETE FROM decision WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM decision WHERE tenant = $1 AND id <= (
                 SELECT id FROM decision WHERE tenant = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)
             FOR UPDATE SKIP LOCKED))",
        &[&tenant.as_str(), &i64::from(most)],
    )?;
    Ok(())
}

pub(super) fn find(
    session: &mut Session,
    tenant: &TenantId,
    id: &DecisionId,
) -> Result<Option<DecisionRow>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(None);
    }
    let rows = session.query(
        "SELECT id, at, verdict, code, document FROM decision WHERE tenant = $1 AND id = $2",
        &[&tenant.as_str(), &id.as_str()],
    )?;
    rows.first().map(read).transpose()
}

pub(super) fn latest(
    session: &mut Session,
    tenant: &TenantId,
    wanted: &WantedDecisions,
) -> Result<Vec<DecisionRow>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    let before = wanted.before.as_ref().map(DecisionId::as_str);
    let rows = session.query(
        "SELECT id, at, verdict, code, document FROM decision
         WHERE tenant = $1 AND ($2::text IS NULL OR id < $2)
             AND ($3::text IS NULL OR verdict = $3) AND ($4::text IS NULL OR code = $4)
         ORDER BY id DESC LIMIT $5",
        &[
            &tenant.as_str(),
            &before,
            &wanted.verdict,
            &wanted.code,
            &i64::from(wanted.limit),
        ],
    )?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<DecisionRow, Fault> {
    let id: String = row.try_get("id")?;
    Ok(DecisionRow {
        id: DecisionId::parse(&id).ok_or_else(|| Fault::Corrupt(format!("decision `{id}`")))?,
        at: Time::from_unix(row.try_get("at")?),
        verdict: row.try_get("verdict")?,
        code: row.try_get("code")?,
        document: row.try_get("document")?,
    })
}

/// Several servers may forget at once; each takes what the others leave.
pub(super) fn forget(session: &mut Session, before: Time) -> Result<u64, Fault> {
    session.execute(
        "DELETE FROM decision WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM decision WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        &[&before.unix(), &MOST_FORGOTTEN],
    )
}
