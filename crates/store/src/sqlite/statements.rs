//! What is said to SQLite. Every statement names a tenant, except the operator's.

use std::collections::BTreeMap;

use avouch_core::id::{Digest, SpiffeId, TenantId};
use avouch_core::time::Time;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::removal::add_again;
use crate::change::{Sequence, Snapshot};
use crate::codec::{Row, TRUST_DOMAIN};
use crate::fault::{Conflict, Fault};
use crate::intent::{CredentialKind, IntentRow};
use crate::keyring::WrappedKey;
use crate::names::{AuthorityId, EntryId, IntentId};
use crate::plan::{Brought, Changed, Plan};
use crate::store::MOST_FORGOTTEN;
use crate::tenant::{TenantKind, TenantRecord};

pub(super) fn add_tenant(connection: &Connection, tenant: &TenantRecord) -> Result<(), Fault> {
    if let Some(found) = find_tenant(connection, &tenant.id)? {
        if found == *tenant {
            return Ok(());
        }
        return Err(Conflict::TenantTaken(tenant.id.clone()).into());
    }
    let parent = match &tenant.parent {
        Some(parent) => find_tenant(connection, parent)?
            .ok_or_else(|| Conflict::UnknownTenant(parent.clone()))
            .map(|parent| Some(parent.kind))?,
        None => None,
    };
    if !tenant.kind.may_stand_below(parent) {
        return Err(Conflict::Misplaced {
            tenant: tenant.id.clone(),
            parent: tenant.parent.clone(),
        }
        .into());
    }
    if add_again(connection, tenant)? {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO tenant (id, parent, kind, created, wrapped_key)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            tenant.id.as_str(),
            tenant.parent.as_ref().map(TenantId::as_str),
            tenant.kind.name(),
            tenant.created.unix(),
            tenant.key.bytes(),
        ])?;
    Ok(())
}

pub(super) fn find_tenant(
    connection: &Connection,
    id: &TenantId,
) -> Result<Option<TenantRecord>, Fault> {
    connection
        .prepare_cached(
            "SELECT id, parent, kind, created, wrapped_key FROM tenant
             WHERE id = ?1 AND removed = 0",
        )?
        .query_row([id.as_str()], |row| Ok(read_tenant(row)))
        .optional()?
        .transpose()
}

pub(super) fn tenants(connection: &Connection) -> Result<Vec<TenantRecord>, Fault> {
    connection
        .prepare_cached(
            "SELECT id, parent, kind, created, wrapped_key FROM tenant
             WHERE removed = 0 ORDER BY id",
        )?
        .query_map([], |row| Ok(read_tenant(row)))?
        .map(|read| read?)
        .collect()
}

fn read_tenant(row: &SqlRow<'_>) -> Result<TenantRecord, Fault> {
    let id: String = row.get("id")?;
    let parent: Option<String> = row.get("parent")?;
    let kind: String = row.get("kind")?;
    let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
    Ok(TenantRecord {
        parent: match parent {
            Some(parent) => Some(TenantId::parse(&parent).ok_or_else(damaged)?),
            None => None,
        },
        kind: TenantKind::parse(&kind).ok_or_else(damaged)?,
        created: Time::from_unix(row.get("created")?),
        key: WrappedKey::from_stored(row.get("wrapped_key")?),
        id: TenantId::parse(&id).ok_or_else(damaged)?,
    })
}

pub(super) fn heads(connection: &Connection) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT id, sequence FROM tenant WHERE removed = 0")?;
    let mut rows = statement.query([])?;
    let mut heads = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get("id")?;
        let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
        let tenant = TenantId::parse(&id).ok_or_else(damaged)?;
        heads.insert(tenant, sequence_of(row)?);
    }
    Ok(heads)
}

pub(super) fn sequence_of(row: &SqlRow<'_>) -> Result<Sequence, Fault> {
    Sequence::from_stored(row.get("sequence")?)
}

pub(super) fn apply(
    connection: &Connection,
    tenant: &TenantId,
    held: Sequence,
    expected: Option<Sequence>,
    plan: &Plan,
) -> Result<Sequence, Fault> {
    let found = head_of(connection, tenant, held)?;
    if let Some(expected) = expected
        && expected != found
    {
        return Err(Conflict::Moved { expected, found }.into());
    }
    if plan.rows.is_empty() {
        return Ok(found);
    }
    let next = found.next();
    connection
        .prepare_cached("UPDATE tenant SET sequence = ?2 WHERE id = ?1")?
        .execute(params![tenant.as_str(), next.stored()])?;
    claim_trust_domains(connection, tenant, plan)?;
    let claimed = claim_keys(connection, tenant, plan)?;
    write_rows(connection, tenant, next, &plan.rows)?;
    check_keys(connection, &claimed)?;
    check_trust_domains(connection, tenant, plan)?;
    Ok(next)
}

/// Refuses where the tenant has changed since `at`.
pub(super) fn check_at(
    connection: &Connection,
    tenant: &TenantId,
    expected: Sequence,
) -> Result<(), Fault> {
    let found = head_of(connection, tenant, expected)?;
    if expected == found {
        return Ok(());
    }
    Err(Conflict::Moved { expected, found }.into())
}

/// The number of the last change of a tenant, or nothing if there is no such tenant.
pub(super) fn head(connection: &Connection, tenant: &TenantId) -> Result<Option<Sequence>, Fault> {
    connection
        .prepare_cached("SELECT sequence FROM tenant WHERE id = ?1 AND removed = 0")?
        .query_row([tenant.as_str()], |row| Ok(sequence_of(row)))
        .optional()?
        .transpose()
}

/// The number of the last change of the tenant that someone holds: no other of its name.
pub(super) fn head_of(
    connection: &Connection,
    tenant: &TenantId,
    held: Sequence,
) -> Result<Sequence, Fault> {
    let found = connection
        .prepare_cached(
            "SELECT sequence FROM tenant WHERE id = ?1 AND removed = 0 AND begins <= ?2",
        )?
        .query_row(params![tenant.as_str(), held.stored()], |row| {
            Ok(sequence_of(row))
        })
        .optional()?;
    found.ok_or_else(|| Conflict::UnknownTenant(tenant.clone()))?
}

fn claim_trust_domains(
    connection: &Connection,
    tenant: &TenantId,
    plan: &Plan,
) -> Result<(), Fault> {
    let mut claim = connection.prepare_cached(
        "INSERT INTO trust_domain (name, tenant) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET tenant = tenant
         RETURNING tenant",
    )?;
    for name in &plan.claimed {
        let owner: String =
            claim.query_row([name.as_str(), tenant.as_str()], |row| row.get("tenant"))?;
        if owner != tenant.as_str() {
            return Err(Conflict::TrustDomainTaken(name.clone()).into());
        }
    }
    Ok(())
}

/// Lets go of keys that were brought along, and takes others, in this order: a key may pass from one
/// authority of the tenant to another. Those that had no authority before.
fn claim_keys<'a>(
    connection: &Connection,
    tenant: &TenantId,
    plan: &'a Plan,
) -> Result<Vec<&'a Brought>, Fault> {
    let mut release = connection
        .prepare_cached("DELETE FROM brought_key WHERE tenant = ?1 AND authority = ?2")?;
    for authority in &plan.without {
        release.execute([tenant.as_str(), authority.as_str()])?;
    }
    let mut claim = connection.prepare_cached(
        "INSERT INTO brought_key (key, tenant, authority) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO NOTHING",
    )?;
    let mut own = connection.prepare_cached(
        "SELECT 1 FROM brought_key WHERE key = ?1 AND tenant = ?2 AND authority = ?3",
    )?;
    let mut claimed = Vec::new();
    for (key, brought) in &plan.brought {
        let authority = &brought.authority;
        let of = [&key.to_string(), tenant.as_str(), authority.as_str()];
        if claim.execute(of)? > 0 {
            claimed.push(brought);
        } else if !own.exists(of)? {
            return Err(Conflict::KeyTaken(authority.clone()).into());
        }
    }
    Ok(claimed)
}

/// Refuses to bring along what was made or taken in here for an authority of any tenant: what says so
/// where the key is kept can be changed there.
fn check_keys(connection: &Connection, claimed: &[&Brought]) -> Result<(), Fault> {
    let mut taken = connection.prepare_cached("SELECT 1 FROM object WHERE public_key = ?1")?;
    for brought in claimed {
        if taken.exists([&brought.public_key])? {
            return Err(Conflict::KeyTaken(brought.authority.clone()).into());
        }
    }
    Ok(())
}

pub(super) fn write_rows(
    connection: &Connection,
    tenant: &TenantId,
    sequence: Sequence,
    rows: &[Row],
) -> Result<(), Fault> {
    let mut put = connection.prepare_cached(
        "INSERT INTO object (tenant, kind, id, trust_domain, sequence, body, secret, public_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (tenant, kind, id) DO UPDATE SET
             trust_domain = excluded.trust_domain,
             sequence = excluded.sequence,
             body = excluded.body,
             secret = excluded.secret,
             public_key = excluded.public_key",
    )?;
    // What was never there leaves no row when it is removed, nor does its second removal.
    let mut remove = connection.prepare_cached(
        "UPDATE object SET
             trust_domain = NULL, sequence = ?4, body = NULL, secret = NULL, public_key = NULL
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND body IS NOT NULL",
    )?;
    for row in rows {
        match &row.body {
            Some(body) => put.execute(params![
                tenant.as_str(),
                row.kind,
                row.id,
                row.trust_domain,
                sequence.stored(),
                body,
                row.secret,
                row.public_key,
            ])?,
            None => remove.execute(params![
                tenant.as_str(),
                row.kind,
                row.id,
                sequence.stored()
            ])?,
        };
    }
    Ok(())
}

fn check_trust_domains(
    connection: &Connection,
    tenant: &TenantId,
    plan: &Plan,
) -> Result<(), Fault> {
    let mut there = connection.prepare_cached(
        "SELECT 1 FROM object
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND body IS NOT NULL",
    )?;
    for name in &plan.needed {
        if !there.exists(params![tenant.as_str(), TRUST_DOMAIN, name.as_str()])? {
            return Err(Conflict::UnknownTrustDomain(name.clone()).into());
        }
    }
    let mut in_use = connection
        .prepare_cached("SELECT 1 FROM object WHERE tenant = ?1 AND trust_domain = ?2 LIMIT 1")?;
    for name in &plan.dropped {
        if in_use.exists(params![tenant.as_str(), name.as_str()])? {
            return Err(Conflict::TrustDomainInUse(name.clone()).into());
        }
    }
    Ok(())
}

pub(super) fn load(connection: &Connection, tenant: &TenantId) -> Result<Snapshot, Fault> {
    let Some(head) = head(connection, tenant)? else {
        return Ok(Snapshot::default());
    };
    let mut snapshot = Snapshot::at(head);
    let mut statement = connection.prepare_cached(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = ?1 AND body IS NOT NULL",
    )?;
    let mut rows = statement.query([tenant.as_str()])?;
    while let Some(row) = rows.next()? {
        snapshot.change(read_object(row)?.into_change()?);
    }
    Ok(snapshot)
}

pub(super) fn changes_after(
    connection: &Connection,
    tenant: &TenantId,
    after: Sequence,
) -> Result<Option<Changed>, Fault> {
    let found = connection
        .prepare_cached(
            "SELECT sequence, begins,
                    forgotten > ?2 OR (skipped_after < ?2 AND ?2 < skipped_before) AS is_lost
             FROM tenant WHERE id = ?1 AND removed = 0",
        )?
        .query_row(params![tenant.as_str(), after.stored()], |row| {
            Ok((sequence_of(row), row.get("begins")?, row.get("is_lost")?))
        })
        .optional()?;
    let Some((head, begins, is_lost)) = found else {
        return Ok(Some(Changed::default()));
    };
    let (head, begins) = (head?, Sequence::from_stored(begins)?);
    // Who was there before this one began holds another.
    if begins <= after && is_lost {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = ?1 AND sequence > ?2",
    )?;
    let mut found = statement.query(params![tenant.as_str(), after.stored()])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((sequence_of(row)?, read_object(row)?));
    }
    Ok(Some(Changed { head, begins, rows }))
}

pub(super) fn forget_removals(
    connection: &Connection,
    tenant: &TenantId,
    up_to: Sequence,
) -> Result<u64, Fault> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM object WHERE rowid IN (
             SELECT rowid FROM object WHERE tenant = ?1 AND sequence <= ?2 AND body IS NULL
             ORDER BY sequence LIMIT ?3)
         RETURNING sequence",
    )?;
    let mut rows = delete.query(params![tenant.as_str(), up_to.stored(), MOST_FORGOTTEN])?;
    let (mut count, mut last) = (0, Sequence::START);
    while let Some(row) = rows.next()? {
        (count, last) = (count + 1, last.max(sequence_of(row)?));
    }
    if count > 0 {
        connection
            .prepare_cached("UPDATE tenant SET forgotten = max(forgotten, ?2) WHERE id = ?1")?
            .execute(params![tenant.as_str(), last.stored()])?;
    }
    Ok(count)
}

pub(super) fn read_object(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        kind: row.get("kind")?,
        id: row.get("id")?,
        trust_domain: None,
        body: row.get("body")?,
        secret: row.get("secret")?,
        public_key: None,
    })
}

/// Writes down intents of a tenant that is there.
pub(super) fn record_intents(
    connection: &Connection,
    tenant: &TenantId,
    intents: &[IntentRow],
) -> Result<(), Fault> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO intent (tenant, id, kind, authority, entry, subject, content,
                             not_before, not_after, recorded, lineage, node, decision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (tenant, id) DO NOTHING",
    )?;
    for intent in intents {
        let inserted = insert.execute(params![
            tenant.as_str(),
            intent.id.as_str(),
            intent.kind.name(),
            intent.authority.as_str(),
            intent.entry.as_ref().map(EntryId::as_str),
            intent.subject.as_str(),
            intent.content.as_bytes(),
            intent.not_before.unix(),
            intent.not_after.unix(),
            intent.recorded.unix(),
            intent.lineage_text(),
            intent.node.as_ref().map(SpiffeId::as_str),
            intent.decision,
        ])?;
        if inserted == 0 && find_intent(connection, tenant, &intent.id)?.as_ref() != Some(intent) {
            return Err(Conflict::IntentTaken(intent.id.clone()).into());
        }
    }
    Ok(())
}

pub(super) fn find_intent(
    connection: &Connection,
    tenant: &TenantId,
    id: &IntentId,
) -> Result<Option<IntentRow>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(None);
    }
    connection
        .prepare_cached("SELECT * FROM intent WHERE tenant = ?1 AND id = ?2")?
        .query_row([tenant.as_str(), id.as_str()], |row| Ok(read_intent(row)))
        .optional()?
        .transpose()
}

pub(super) fn intents(
    connection: &Connection,
    tenant: &TenantId,
    from: Time,
    limit: u32,
) -> Result<Vec<IntentRow>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    connection
        .prepare_cached(
            "SELECT * FROM intent WHERE tenant = ?1 AND recorded >= ?2
             ORDER BY recorded, id LIMIT ?3",
        )?
        .query_map(params![tenant.as_str(), from.unix(), limit], |row| {
            Ok(read_intent(row))
        })?
        .map(|read| read?)
        .collect()
}

pub(super) fn intents_called(
    connection: &Connection,
    tenant: &TenantId,
    beginning: &str,
    limit: u32,
) -> Result<Vec<IntentRow>, Fault> {
    if head(connection, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    let end = format!("{beginning}g");
    connection
        .prepare_cached(
            "SELECT * FROM intent WHERE tenant = ?1 AND id >= ?2 AND id < ?3
             ORDER BY id LIMIT ?4",
        )?
        .query_map(params![tenant.as_str(), beginning, end, limit], |row| {
            Ok(read_intent(row))
        })?
        .map(|read| read?)
        .collect()
}

fn read_intent(row: &SqlRow<'_>) -> Result<IntentRow, Fault> {
    let id: String = row.get("id")?;
    let kind: String = row.get("kind")?;
    let authority: String = row.get("authority")?;
    let entry: Option<String> = row.get("entry")?;
    let subject: String = row.get("subject")?;
    let lineage: Option<String> = row.get("lineage")?;
    let node: Option<String> = row.get("node")?;
    let damaged = || Fault::Corrupt(format!("the intent `{id}` cannot be read"));
    Ok(IntentRow {
        kind: CredentialKind::parse(&kind).ok_or_else(damaged)?,
        authority: AuthorityId::parse(&authority).ok_or_else(damaged)?,
        entry: match entry {
            Some(entry) => Some(EntryId::parse(&entry).ok_or_else(damaged)?),
            None => None,
        },
        node: node
            .map(|node| SpiffeId::parse(&node))
            .transpose()
            .map_err(|_| damaged())?,
        subject: SpiffeId::parse(&subject).map_err(|_| damaged())?,
        content: Digest::from_bytes(row.get("content")?),
        not_before: Time::from_unix(row.get("not_before")?),
        not_after: Time::from_unix(row.get("not_after")?),
        recorded: Time::from_unix(row.get("recorded")?),
        lineage: IntentRow::read_lineage(lineage.as_deref()).ok_or_else(damaged)?,
        decision: row.get("decision")?,
        id: IntentId::parse(&id).ok_or_else(damaged)?,
    })
}

pub(super) fn forget_intents(
    connection: &Connection,
    tenant: &TenantId,
    before: Time,
) -> Result<u64, Fault> {
    let forgotten = connection
        // Nothing is recorded after its end, so what is looked for is in the head of the index.
        .prepare_cached(
            "DELETE FROM intent WHERE rowid IN (
                 SELECT rowid FROM intent WHERE tenant = ?1 AND recorded < ?2 AND not_after < ?2
                 ORDER BY recorded LIMIT ?3)",
        )?
        .execute(params![tenant.as_str(), before.unix(), MOST_FORGOTTEN])?;
    Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
}

pub(super) fn forget_answers(
    connection: &Connection,
    tenant: &TenantId,
    before: Time,
) -> Result<u64, Fault> {
    let forgotten = connection
        // They are named alike and in the order of time, so they stand together in the primary key.
        .prepare_cached(
            "DELETE FROM intent WHERE rowid IN (
                 SELECT rowid FROM intent WHERE tenant = ?1 AND id >= 'ocsp' AND id < 'ocsq'
                 AND kind = 'status_response' AND not_after < ?2 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![tenant.as_str(), before.unix(), MOST_FORGOTTEN])?;
    Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
}
