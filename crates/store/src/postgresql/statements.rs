//! What is said to PostgreSQL. Every statement names a tenant, except the operator's.

use std::collections::BTreeMap;

use avouch_core::id::{Digest, SpiffeId, TenantId};
use avouch_core::time::Time;
use postgres::Row as SqlRow;
use postgres::fallible_iterator::FallibleIterator;

use super::listener::CHANNEL;
use super::removal::add_again;
use super::session::Session;
use crate::change::{Sequence, Snapshot};
use crate::codec::{Row, TRUST_DOMAIN};
use crate::fault::{Conflict, Fault};
use crate::intent::{CredentialKind, IntentRow};
use crate::keyring::WrappedKey;
use crate::names::{AuthorityId, EntryId, IntentId};
use crate::plan::{Brought, Changed, Plan};
use crate::store::MOST_FORGOTTEN;
use crate::tenant::{TenantKind, TenantRecord};

/// The most rows in one statement: beyond this, more in one round trip saves nothing.
const MOST_ROWS: usize = 5_000;

pub(super) fn add_tenant(session: &mut Session, tenant: &TenantRecord) -> Result<(), Fault> {
    if let Some(found) = find_tenant(session, &tenant.id)? {
        return same_tenant(&found, tenant);
    }
    let parent = match &tenant.parent {
        Some(parent) => find_parent(session, parent)?
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
    if add_again(session, tenant)? {
        return Ok(());
    }
    let inserted = session.execute(
        "INSERT INTO tenant (id, parent, kind, created, wrapped_key)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
        &[
            &tenant.id.as_str(),
            &tenant.parent.as_ref().map(TenantId::as_str),
            &tenant.kind.name(),
            &tenant.created.unix(),
            &tenant.key.bytes(),
        ],
    )?;
    if inserted == 1 {
        return tell(session, &tenant.id, Sequence::START);
    }
    // Another server added it between the look and the insertion.
    match find_tenant(session, &tenant.id)? {
        Some(found) => same_tenant(&found, tenant),
        None => Err(Fault::Bug("a tenant was removed".to_owned())),
    }
}

fn same_tenant(found: &TenantRecord, wanted: &TenantRecord) -> Result<(), Fault> {
    if found == wanted {
        return Ok(());
    }
    Err(Conflict::TenantTaken(wanted.id.clone()).into())
}

pub(super) fn find_tenant(
    session: &mut Session,
    id: &TenantId,
) -> Result<Option<TenantRecord>, Fault> {
    let rows = session.query(
        "SELECT id, parent, kind, created, wrapped_key FROM tenant WHERE id = $1 AND NOT removed",
        &[&id.as_str()],
    )?;
    rows.first().map(read_tenant).transpose()
}

/// Held until this is over, so that it is not removed meanwhile.
fn find_parent(session: &mut Session, id: &TenantId) -> Result<Option<TenantRecord>, Fault> {
    let rows = session.query(
        "SELECT id, parent, kind, created, wrapped_key FROM tenant
         WHERE id = $1 AND NOT removed FOR KEY SHARE",
        &[&id.as_str()],
    )?;
    rows.first().map(read_tenant).transpose()
}

pub(super) fn tenants(session: &mut Session) -> Result<Vec<TenantRecord>, Fault> {
    // In the order of bytes, whatever the database was told to sort by.
    let rows = session.query(
        "SELECT id, parent, kind, created, wrapped_key FROM tenant
         WHERE NOT removed ORDER BY id COLLATE \"C\"",
        &[],
    )?;
    rows.iter().map(read_tenant).collect()
}

fn read_tenant(row: &SqlRow) -> Result<TenantRecord, Fault> {
    let id: String = row.try_get("id")?;
    let parent: Option<String> = row.try_get("parent")?;
    let kind: String = row.try_get("kind")?;
    let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
    Ok(TenantRecord {
        parent: match parent {
            Some(parent) => Some(TenantId::parse(&parent).ok_or_else(damaged)?),
            None => None,
        },
        kind: TenantKind::parse(&kind).ok_or_else(damaged)?,
        created: Time::from_unix(row.try_get("created")?),
        key: WrappedKey::from_stored(row.try_get("wrapped_key")?),
        id: TenantId::parse(&id).ok_or_else(damaged)?,
    })
}

pub(super) fn heads(session: &mut Session) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
    let rows = session.query("SELECT id, sequence FROM tenant WHERE NOT removed", &[])?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get("id")?;
            let damaged = || Fault::Corrupt(format!("the tenant `{id}` cannot be read"));
            let tenant = TenantId::parse(&id).ok_or_else(damaged)?;
            Ok((tenant, sequence_of(row)?))
        })
        .collect()
}

pub(super) fn sequence_of(row: &SqlRow) -> Result<Sequence, Fault> {
    Sequence::from_stored(row.try_get("sequence")?)
}

pub(super) fn apply(
    session: &mut Session,
    tenant: &TenantId,
    held: Sequence,
    expected: Option<Sequence>,
    plan: &Plan,
) -> Result<Sequence, Fault> {
    let found = lock(session, tenant, held)?;
    if let Some(expected) = expected
        && expected != found
    {
        return Err(Conflict::Moved { expected, found }.into());
    }
    if plan.rows.is_empty() {
        return Ok(found);
    }
    let next = found.next();
    session.execute(
        "UPDATE tenant SET sequence = $2 WHERE id = $1",
        &[&tenant.as_str(), &next.stored()],
    )?;
    claim_trust_domains(session, tenant, plan)?;
    let claimed = claim_keys(session, tenant, plan)?;
    for rows in plan.rows.chunks(MOST_ROWS) {
        put_rows(session, tenant, next, rows)?;
        remove_rows(session, tenant, next, rows)?;
    }
    check_keys(session, &claimed)?;
    check_trust_domains(session, tenant, plan)?;
    tell(session, tenant, next)?;
    Ok(next)
}

/// The number of the last change of the tenant that someone holds. Whoever else changes it waits here until
/// this transaction is over.
fn lock(session: &mut Session, tenant: &TenantId, held: Sequence) -> Result<Sequence, Fault> {
    let locked = session.query(
        "SELECT sequence FROM tenant
         WHERE id = $1 AND NOT removed AND begins <= $2 FOR NO KEY UPDATE",
        &[&tenant.as_str(), &held.stored()],
    )?;
    match locked.first() {
        Some(row) => sequence_of(row),
        None => Err(Conflict::UnknownTenant(tenant.clone()).into()),
    }
}

/// Refuses where the tenant has changed since `at`.
pub(super) fn check_at(
    session: &mut Session,
    tenant: &TenantId,
    expected: Sequence,
) -> Result<(), Fault> {
    let found = lock(session, tenant, expected)?;
    if expected == found {
        return Ok(());
    }
    Err(Conflict::Moved { expected, found }.into())
}

/// Tells whoever listens once this is committed, and nobody if it is not.
pub(super) fn tell(
    session: &mut Session,
    tenant: &TenantId,
    sequence: Sequence,
) -> Result<(), Fault> {
    let notice = format!("{tenant} {sequence}");
    session.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &notice])?;
    Ok(())
}

fn claim_trust_domains(session: &mut Session, tenant: &TenantId, plan: &Plan) -> Result<(), Fault> {
    for name in &plan.claimed {
        let owner = session.query(
            "INSERT INTO trust_domain (name, tenant) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET tenant = trust_domain.tenant
             RETURNING tenant",
            &[&name.as_str(), &tenant.as_str()],
        )?;
        let owner: Option<String> = owner.first().map(|row| row.try_get(0)).transpose()?;
        if owner.as_deref() != Some(tenant.as_str()) {
            return Err(Conflict::TrustDomainTaken(name.clone()).into());
        }
    }
    Ok(())
}

/// Lets go of keys that were brought along, and takes others, in this order: a key may pass from one
/// authority of the tenant to another. Those that had no authority before.
fn claim_keys<'a>(
    session: &mut Session,
    tenant: &TenantId,
    plan: &'a Plan,
) -> Result<Vec<&'a Brought>, Fault> {
    let tenant = tenant.as_str();
    if !plan.without.is_empty() {
        let without: Vec<&str> = plan.without.iter().map(AuthorityId::as_str).collect();
        session.execute(
            "DELETE FROM brought_key WHERE tenant = $1 AND authority = ANY($2::text[])",
            &[&tenant, &without],
        )?;
    }
    let mut claimed = Vec::new();
    for (key, brought) in &plan.brought {
        let authority = &brought.authority;
        let (key, id) = (key.to_string(), authority.as_str());
        // Whoever else takes it waits here, and sees in the next statement whose it has become.
        let made = session.query(
            "INSERT INTO brought_key (key, tenant, authority) VALUES ($1, $2, $3)
             ON CONFLICT (key) DO NOTHING RETURNING 1",
            &[&key, &tenant, &id],
        )?;
        if !made.is_empty() {
            claimed.push(brought);
            continue;
        }
        let own = session.query(
            "SELECT 1 FROM brought_key WHERE key = $1 AND tenant = $2 AND authority = $3",
            &[&key, &tenant, &id],
        )?;
        if own.is_empty() {
            return Err(Conflict::KeyTaken(authority.clone()).into());
        }
    }
    Ok(claimed)
}

/// Refuses to bring along what was made or taken in here for an authority of any tenant: what says so
/// where the key is kept can be changed there.
fn check_keys(session: &mut Session, claimed: &[&Brought]) -> Result<(), Fault> {
    for brought in claimed {
        let taken = session.query(
            "SELECT 1 FROM object WHERE public_key = $1 LIMIT 1",
            &[&brought.public_key],
        )?;
        if !taken.is_empty() {
            return Err(Conflict::KeyTaken(brought.authority.clone()).into());
        }
    }
    Ok(())
}

fn put_rows(
    session: &mut Session,
    tenant: &TenantId,
    sequence: Sequence,
    rows: &[Row],
) -> Result<(), Fault> {
    let put: Vec<&Row> = rows.iter().filter(|row| row.body.is_some()).collect();
    if put.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = put.iter().map(|row| row.kind.as_str()).collect();
    let ids: Vec<&str> = put.iter().map(|row| row.id.as_str()).collect();
    let trust_domains: Vec<Option<&str>> =
        put.iter().map(|row| row.trust_domain.as_deref()).collect();
    let bodies: Vec<Option<&str>> = put.iter().map(|row| row.body.as_deref()).collect();
    let secrets: Vec<Option<&[u8]>> = put.iter().map(|row| row.secret.as_deref()).collect();
    let public_keys: Vec<Option<&str>> = put.iter().map(|row| row.public_key.as_deref()).collect();
    session.execute(
        "INSERT INTO object (tenant, sequence, kind, id, trust_domain, body, secret, public_key)
         SELECT $1, $2, * FROM unnest(
             $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[])
         ON CONFLICT (tenant, kind, id) DO UPDATE SET
             trust_domain = excluded.trust_domain,
             sequence = excluded.sequence,
             body = excluded.body,
             secret = excluded.secret,
             public_key = excluded.public_key",
        &[
            &tenant.as_str(),
            &sequence.stored(),
            &kinds,
            &ids,
            &trust_domains,
            &bodies,
            &secrets,
            &public_keys,
        ],
    )?;
    Ok(())
}

/// What was never there leaves no row when it is removed, nor does its second removal.
pub(super) fn remove_rows(
    session: &mut Session,
    tenant: &TenantId,
    sequence: Sequence,
    rows: &[Row],
) -> Result<(), Fault> {
    let gone: Vec<&Row> = rows.iter().filter(|row| row.body.is_none()).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = gone.iter().map(|row| row.kind.as_str()).collect();
    let ids: Vec<&str> = gone.iter().map(|row| row.id.as_str()).collect();
    session.execute(
        "UPDATE object SET
             trust_domain = NULL, sequence = $2, body = NULL, secret = NULL, public_key = NULL
         FROM unnest($3::text[], $4::text[]) AS gone (kind, id)
         WHERE object.tenant = $1 AND object.kind = gone.kind AND object.id = gone.id
             AND object.body IS NOT NULL",
        &[&tenant.as_str(), &sequence.stored(), &kinds, &ids],
    )?;
    Ok(())
}

fn check_trust_domains(session: &mut Session, tenant: &TenantId, plan: &Plan) -> Result<(), Fault> {
    for name in &plan.needed {
        let there = session.query(
            "SELECT 1 FROM object
             WHERE tenant = $1 AND kind = $2 AND id = $3 AND body IS NOT NULL",
            &[&tenant.as_str(), &TRUST_DOMAIN, &name.as_str()],
        )?;
        if there.is_empty() {
            return Err(Conflict::UnknownTrustDomain(name.clone()).into());
        }
    }
    for name in &plan.dropped {
        let in_use = session.query(
            "SELECT 1 FROM object WHERE tenant = $1 AND trust_domain = $2 LIMIT 1",
            &[&tenant.as_str(), &name.as_str()],
        )?;
        if !in_use.is_empty() {
            return Err(Conflict::TrustDomainInUse(name.clone()).into());
        }
    }
    Ok(())
}

/// The number of the last change of a tenant, or nothing if there is no such tenant.
pub(super) fn head(session: &mut Session, tenant: &TenantId) -> Result<Option<Sequence>, Fault> {
    let rows = session.query(
        "SELECT sequence FROM tenant WHERE id = $1 AND NOT removed",
        &[&tenant.as_str()],
    )?;
    rows.first().map(sequence_of).transpose()
}

pub(super) fn load(session: &mut Session, tenant: &TenantId) -> Result<Snapshot, Fault> {
    let Some(head) = head(session, tenant)? else {
        return Ok(Snapshot::default());
    };
    let mut snapshot = Snapshot::at(head);
    let mut rows = session.stream(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = $1 AND body IS NOT NULL",
        &[&tenant.as_str()],
    )?;
    while let Some(row) = rows.next()? {
        snapshot.change(read_object(&row)?.into_change()?);
    }
    Ok(snapshot)
}

pub(super) fn changes_after(
    session: &mut Session,
    tenant: &TenantId,
    after: Sequence,
) -> Result<Option<Changed>, Fault> {
    let found = session.query(
        "SELECT sequence, begins,
                forgotten > $2 OR (skipped_after < $2 AND $2 < skipped_before) AS is_lost
         FROM tenant WHERE id = $1 AND NOT removed",
        &[&tenant.as_str(), &after.stored()],
    )?;
    let Some(row) = found.first() else {
        return Ok(Some(Changed::default()));
    };
    let head = sequence_of(row)?;
    let begins = Sequence::from_stored(row.try_get("begins")?)?;
    let is_lost: bool = row.try_get("is_lost")?;
    // Who was there before this one began holds another.
    if begins <= after && is_lost {
        return Ok(None);
    }
    let mut found = session.stream(
        "SELECT kind, id, sequence, body, secret FROM object
         WHERE tenant = $1 AND sequence > $2",
        &[&tenant.as_str(), &after.stored()],
    )?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((sequence_of(&row)?, read_object(&row)?));
    }
    Ok(Some(Changed { head, begins, rows }))
}

pub(super) fn forget_removals(
    session: &mut Session,
    tenant: &TenantId,
    up_to: Sequence,
) -> Result<u64, Fault> {
    // The row of the tenant is taken first, as whoever changes an object of it does.
    session.query(
        "SELECT 1 FROM tenant WHERE id = $1 FOR UPDATE",
        &[&tenant.as_str()],
    )?;
    let rows = session.query(
        "DELETE FROM object WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM object WHERE tenant = $1 AND sequence <= $2 AND body IS NULL
             ORDER BY sequence LIMIT $3))
         RETURNING sequence",
        &[&tenant.as_str(), &up_to.stored(), &MOST_FORGOTTEN],
    )?;
    let mut last = Sequence::START;
    for row in &rows {
        last = last.max(sequence_of(row)?);
    }
    if !rows.is_empty() {
        session.execute(
            "UPDATE tenant SET forgotten = greatest(forgotten, $2) WHERE id = $1",
            &[&tenant.as_str(), &last.stored()],
        )?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

pub(super) fn read_object(row: &SqlRow) -> Result<Row, Fault> {
    Ok(Row {
        kind: row.try_get("kind")?,
        id: row.try_get("id")?,
        trust_domain: None,
        body: row.try_get("body")?,
        secret: row.try_get("secret")?,
        public_key: None,
    })
}

pub(super) fn record_intents(
    session: &mut Session,
    tenant: &TenantId,
    intents: &[IntentRow],
) -> Result<(), Fault> {
    if head(session, tenant)?.is_none() {
        return Err(Conflict::UnknownTenant(tenant.clone()).into());
    }
    for intents in intents.chunks(MOST_ROWS) {
        let inserted = insert_intents(session, tenant, intents)?;
        if usize::try_from(inserted).ok() != Some(intents.len()) {
            check_intents(session, tenant, intents)?;
        }
    }
    Ok(())
}

fn insert_intents(
    session: &mut Session,
    tenant: &TenantId,
    intents: &[IntentRow],
) -> Result<u64, Fault> {
    fn column<'a, T>(rows: &'a [IntentRow], of: impl Fn(&'a IntentRow) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    session.execute(
        "INSERT INTO intent (tenant, id, kind, authority, entry, subject, content,
                             not_before, not_after, recorded, lineage, node, decision)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                                  $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[],
                                  $11::text[], $12::text[], $13::text[])
         ON CONFLICT (tenant, id) DO NOTHING",
        &[
            &tenant.as_str(),
            &column(intents, |intent| intent.id.as_str()),
            &column(intents, |intent| intent.kind.name()),
            &column(intents, |intent| intent.authority.as_str()),
            &column(intents, |intent| intent.entry.as_ref().map(EntryId::as_str)),
            &column(intents, |intent| intent.subject.as_str()),
            &column(intents, |intent| intent.content.as_bytes().as_slice()),
            &column(intents, |intent| intent.not_before.unix()),
            &column(intents, |intent| intent.not_after.unix()),
            &column(intents, |intent| intent.recorded.unix()),
            &column(intents, IntentRow::lineage_text),
            &column(intents, |intent| intent.node.as_ref().map(SpiffeId::as_str)),
            &column(intents, |intent| intent.decision.as_deref()),
        ],
    )
}

/// Whether what is stored under these names says what these intents say.
fn check_intents(
    session: &mut Session,
    tenant: &TenantId,
    intents: &[IntentRow],
) -> Result<(), Fault> {
    let ids: Vec<&str> = intents.iter().map(|intent| intent.id.as_str()).collect();
    let rows = session.query(
        "SELECT * FROM intent WHERE tenant = $1 AND id = ANY($2)",
        &[&tenant.as_str(), &ids],
    )?;
    let stored: BTreeMap<IntentId, IntentRow> = rows
        .iter()
        .map(|row| read_intent(row).map(|intent| (intent.id.clone(), intent)))
        .collect::<Result<_, _>>()?;
    match intents
        .iter()
        .find(|intent| stored.get(&intent.id) != Some(intent))
    {
        Some(intent) => Err(Conflict::IntentTaken(intent.id.clone()).into()),
        None => Ok(()),
    }
}

pub(super) fn intents(
    session: &mut Session,
    tenant: &TenantId,
    from: Time,
    limit: u32,
) -> Result<Vec<IntentRow>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    let rows = session.query(
        "SELECT * FROM intent WHERE tenant = $1 AND recorded >= $2
         ORDER BY recorded, id COLLATE \"C\" LIMIT $3",
        &[&tenant.as_str(), &from.unix(), &i64::from(limit)],
    )?;
    rows.iter().map(read_intent).collect()
}

pub(super) fn find_intent(
    session: &mut Session,
    tenant: &TenantId,
    id: &IntentId,
) -> Result<Option<IntentRow>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(None);
    }
    let rows = session.query(
        "SELECT * FROM intent WHERE tenant = $1 AND id = $2",
        &[&tenant.as_str(), &id.as_str()],
    )?;
    rows.first().map(read_intent).transpose()
}

pub(super) fn intents_called(
    session: &mut Session,
    tenant: &TenantId,
    beginning: &str,
    limit: u32,
) -> Result<Vec<IntentRow>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(Vec::new());
    }
    // In the order of the index, whatever the database sorts by: digits and the first letters stand
    // alike everywhere, and whoever writes letters large comes in between.
    let end = format!("{beginning}g");
    let rows = session.query(
        "SELECT * FROM intent WHERE tenant = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT $4",
        &[&tenant.as_str(), &beginning, &end, &i64::from(limit)],
    )?;
    let intents = rows.iter().map(read_intent);
    let begins = |intent: &Result<IntentRow, Fault>| match intent {
        Ok(intent) => intent.id.as_str().starts_with(beginning),
        Err(_) => true,
    };
    intents.filter(begins).collect()
}

fn read_intent(row: &SqlRow) -> Result<IntentRow, Fault> {
    let id: String = row.try_get("id")?;
    let kind: String = row.try_get("kind")?;
    let authority: String = row.try_get("authority")?;
    let entry: Option<String> = row.try_get("entry")?;
    let subject: String = row.try_get("subject")?;
    let content: Vec<u8> = row.try_get("content")?;
    let lineage: Option<String> = row.try_get("lineage")?;
    let node: Option<String> = row.try_get("node")?;
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
        content: Digest::from_bytes(content.try_into().map_err(|_| damaged())?),
        not_before: Time::from_unix(row.try_get("not_before")?),
        not_after: Time::from_unix(row.try_get("not_after")?),
        recorded: Time::from_unix(row.try_get("recorded")?),
        lineage: IntentRow::read_lineage(lineage.as_deref()).ok_or_else(damaged)?,
        decision: row.try_get("decision")?,
        id: IntentId::parse(&id).ok_or_else(damaged)?,
    })
}

pub(super) fn forget_intents(
    session: &mut Session,
    tenant: &TenantId,
    before: Time,
) -> Result<u64, Fault> {
    session.execute(
        // Nothing is recorded after its end, so what is looked for is in the head of the index.
        "DELETE FROM intent WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM intent WHERE tenant = $1 AND recorded < $2 AND not_after < $2
             ORDER BY recorded LIMIT $3 FOR UPDATE SKIP LOCKED))",
        &[&tenant.as_str(), &before.unix(), &MOST_FORGOTTEN],
    )
}

pub(super) fn forget_answers(
    session: &mut Session,
    tenant: &TenantId,
    before: Time,
) -> Result<u64, Fault> {
    session.execute(
        // They are named alike and in the order of time, so they stand together in the primary key.
        "DELETE FROM intent WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM intent WHERE tenant = $1 AND id >= 'ocsp' AND id < 'ocsq'
             AND kind = 'status_response' AND not_after < $2
             ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED))",
        &[&tenant.as_str(), &before.unix(), &MOST_FORGOTTEN],
    )
}
