//! What ends by itself, in PostgreSQL. The column `ends` is worked out of the body, so it is what the
//! body says, whoever wrote it.

use std::collections::BTreeSet;

use avouch_core::id::TenantId;

use super::session::Session;
use super::statements::{remove_rows, sequence_of, tell};
use crate::change::Sequence;
use crate::codec::Row;
use crate::fault::Fault;
use crate::over::Over;
use crate::store::MOST_FORGOTTEN;

pub(super) fn tenants_with_over(
    session: &mut Session,
    over: &[Over],
) -> Result<BTreeSet<TenantId>, Fault> {
    let mut tenants = BTreeSet::new();
    for Over { kind, by } in over {
        let rows = session.query(
            // One look for each tenant: what is not over yet may be much more.
            "SELECT tenant.id FROM tenant, LATERAL (
                 SELECT 1 FROM object
                 WHERE object.kind = $1 AND object.tenant = tenant.id AND ends <= $2 LIMIT 1
             ) AS over
             WHERE NOT tenant.removed",
            &[&kind.name(), &by.unix()],
        )?;
        for row in &rows {
            let id: String = row.try_get(0)?;
            let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
            tenants.insert(TenantId::parse(&id).ok_or_else(damaged)?);
        }
    }
    Ok(tenants)
}

pub(super) fn remove_over(
    session: &mut Session,
    tenant: &TenantId,
    over: &[Over],
) -> Result<Option<Sequence>, Fault> {
    // Whoever changes this tenant waits here, so what is found next is as it stays until this is over.
    let locked = session.query(
        "SELECT sequence FROM tenant WHERE id = $1 AND NOT removed FOR NO KEY UPDATE",
        &[&tenant.as_str()],
    )?;
    let Some(head) = locked.first().map(sequence_of).transpose()? else {
        return Ok(None);
    };
    let mut gone = Vec::new();
    for Over { kind, by } in over {
        let rows = session.query(
            "SELECT id FROM object WHERE tenant = $1 AND kind = $2 AND ends <= $3
             ORDER BY ends LIMIT $4",
            &[&tenant.as_str(), &kind.name(), &by.unix(), &MOST_FORGOTTEN],
        )?;
        for row in &rows {
            gone.push(Row::removed(kind.name(), row.try_get("id")?));
        }
    }
    if gone.is_empty() {
        return Ok(None);
    }
    let next = head.next();
    session.execute(
        "UPDATE tenant SET sequence = $2 WHERE id = $1",
        &[&tenant.as_str(), &next.stored()],
    )?;
    remove_rows(session, tenant, next, &gone)?;
    tell(session, tenant, next)?;
    Ok(Some(next))
}
