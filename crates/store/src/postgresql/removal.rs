//! Tenants that were removed, in PostgreSQL. A row without a key is left of each, so that its name and
//! its trust domains are nobody else's.

use std::collections::BTreeMap;

use avouch_core::id::TenantId;

use super::session::Session;
use super::statements::{read_object, sequence_of, tell};
use crate::change::Sequence;
use crate::codec::AUTHORITY;
use crate::fault::{Conflict, Fault};
use crate::store::MOST_FORGOTTEN;
use crate::tenant::TenantRecord;

pub(super) fn remove_tenants(
    session: &mut Session,
    tenants: &[(TenantId, Sequence)],
) -> Result<(), Fault> {
    // In the order in which everyone takes several of them.
    let in_order: BTreeMap<&TenantId, Sequence> =
        tenants.iter().map(|(tenant, at)| (tenant, *at)).collect();
    for (tenant, at) in in_order {
        remove(session, tenant, at)?;
    }
    for (tenant, _) in tenants {
        let below = session.query(
            "SELECT 1 FROM tenant WHERE parent = $1 AND NOT removed LIMIT 1",
            &[&tenant.as_str()],
        )?;
        if !below.is_empty() {
            return Err(Conflict::TenantInUse(tenant.clone()).into());
        }
    }
    Ok(())
}

fn remove(session: &mut Session, tenant: &TenantId, at: Sequence) -> Result<(), Fault> {
    // Whoever adds one below it, or records something for it, waits here until this is over.
    let locked = session.query(
        "SELECT sequence, removed FROM tenant WHERE id = $1 FOR UPDATE",
        &[&tenant.as_str()],
    )?;
    let unknown = || Conflict::UnknownTenant(tenant.clone());
    let row = locked.first().ok_or_else(unknown)?;
    let (found, is_removed): (Sequence, bool) = (sequence_of(row)?, row.try_get("removed")?);
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
    session.execute(
        "UPDATE tenant SET removed = TRUE, wrapped_key = ''::bytea, sequence = $2 WHERE id = $1",
        &[&tenant.as_str(), &at.next().stored()],
    )?;
    // What the key sealed goes at once; the rest is of no use to anyone, and may be much.
    session.execute(
        "UPDATE object SET secret = NULL WHERE tenant = $1 AND secret IS NOT NULL",
        &[&tenant.as_str()],
    )?;
    session.execute(
        "DELETE FROM brought_key WHERE tenant = $1",
        &[&tenant.as_str()],
    )?;
    tell(session, tenant, at.next())
}

pub(super) fn keys_of_removed(session: &mut Session) -> Result<Vec<(TenantId, String)>, Fault> {
    let rows = session.query(
        "SELECT tenant, kind, id, sequence, body, secret FROM object
         WHERE kind = $1 AND body IS NOT NULL
             AND tenant IN (SELECT id FROM tenant WHERE removed)",
        &[&AUTHORITY],
    )?;
    let mut keys = Vec::new();
    for row in &rows {
        let tenant: String = row.try_get("tenant")?;
        keys.extend(read_object(row)?.key_kept_elsewhere(&tenant));
    }
    Ok(keys)
}

/// Several servers may clear at once; each takes what the others leave.
pub(super) fn clear_removed(session: &mut Session) -> Result<u64, Fault> {
    let mut cleared = 0;
    for statement in [
        "DELETE FROM object WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM object WHERE tenant IN (SELECT id FROM tenant WHERE removed)
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM intent WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM intent WHERE tenant IN (SELECT id FROM tenant WHERE removed)
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM single_use WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM single_use WHERE tenant IN (SELECT id FROM tenant WHERE removed)
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM follower WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM follower WHERE tenant IN (SELECT id FROM tenant WHERE removed)
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM decision WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM decision WHERE tenant IN (SELECT id FROM tenant WHERE removed)
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
    ] {
        cleared += session.execute(statement, &[&MOST_FORGOTTEN])?;
    }
    Ok(cleared)
}

/// Adds a tenant in the place of one that was removed. Whether there was one there: below the same
/// tenant, or else the name is still that one's.
pub(super) fn add_again(session: &mut Session, tenant: &TenantRecord) -> Result<bool, Fault> {
    let id = tenant.id.as_str();
    let locked = session.query(
        "SELECT parent, sequence FROM tenant WHERE id = $1 AND removed FOR UPDATE",
        &[&id],
    )?;
    let Some(row) = locked.first() else {
        return Ok(false);
    };
    let parent: Option<String> = row.try_get("parent")?;
    if parent.as_deref() != tenant.parent.as_ref().map(TenantId::as_str) {
        return Err(Conflict::TenantTaken(tenant.id.clone()).into());
    }
    for statement in [
        "DELETE FROM object WHERE tenant = $1",
        "DELETE FROM intent WHERE tenant = $1",
        "DELETE FROM single_use WHERE tenant = $1",
        "DELETE FROM follower WHERE tenant = $1",
        "DELETE FROM decision WHERE tenant = $1",
    ] {
        session.execute(statement, &[&id])?;
    }
    let begins = sequence_of(row)?.next();
    session.execute(
        "UPDATE tenant SET removed = FALSE, kind = $2, created = $3, wrapped_key = $4,
                           sequence = $5, begins = $5
         WHERE id = $1",
        &[
            &id,
            &tenant.kind.name(),
            &tenant.created.unix(),
            &tenant.key.bytes(),
            &begins.stored(),
        ],
    )?;
    tell(session, &tenant.id, begins)?;
    Ok(true)
}
