//! The schema, and how a database of any earlier version becomes one of this.

use super::session::Session;
use crate::fault::Fault;

/// One step to each version. A step that was released is never changed.
const MIGRATIONS: [&str; 14] = [
    "
    CREATE TABLE avouch.tenant (
        id TEXT PRIMARY KEY,
        parent TEXT REFERENCES avouch.tenant (id),
        kind TEXT NOT NULL,
        created BIGINT NOT NULL,
        wrapped_key BYTEA NOT NULL,
        sequence BIGINT NOT NULL DEFAULT 0
    );

    -- Every object as it was last; one without a body was removed by the change of that number.
    CREATE TABLE avouch.object (
        tenant TEXT NOT NULL REFERENCES avouch.tenant (id),
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        trust_domain TEXT,
        sequence BIGINT NOT NULL,
        body TEXT,
        secret BYTEA,
        PRIMARY KEY (tenant, kind, id)
    );
    CREATE INDEX object_by_sequence ON avouch.object (tenant, sequence);

    -- Who has, or once had, a trust domain. Rows are never removed.
    CREATE TABLE avouch.trust_domain (
        name TEXT PRIMARY KEY,
        tenant TEXT NOT NULL REFERENCES avouch.tenant (id)
    );

    CREATE TABLE avouch.intent (
        tenant TEXT NOT NULL REFERENCES avouch.tenant (id),
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        authority TEXT NOT NULL,
        entry TEXT,
        subject TEXT NOT NULL,
        content BYTEA NOT NULL,
        not_before BIGINT NOT NULL,
        not_after BIGINT NOT NULL,
        recorded BIGINT NOT NULL,
        PRIMARY KEY (tenant, id)
    );
    CREATE INDEX intent_by_time ON avouch.intent (tenant, recorded);
",
    "
    -- What may be used once and was, as long as it would be accepted. Without a reference to the
    -- tenant, which would lock its row thousands of times a second; tenants are never removed.
    CREATE TABLE avouch.single_use (
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        digest BYTEA NOT NULL,
        attempt BYTEA NOT NULL,
        used BIGINT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (tenant, kind, digest)
    );
    CREATE INDEX single_use_by_end ON avouch.single_use (until);
",
    "
    -- Servers on this database, and how far those have come who follow there.
    CREATE TABLE avouch.server (
        id TEXT PRIMARY KEY,
        report BIGINT NOT NULL,
        seen BIGINT NOT NULL
    );
    CREATE TABLE avouch.follower (
        tenant TEXT NOT NULL REFERENCES avouch.tenant (id),
        server TEXT NOT NULL,
        count BIGINT NOT NULL,
        least BIGINT NOT NULL,
        slowest TEXT NOT NULL,
        PRIMARY KEY (tenant, server)
    );
",
    "
    -- What was given in exchange, and for what: a list of ancestors in JSON.
    ALTER TABLE avouch.intent ADD COLUMN lineage TEXT;
",
    "
    -- The node that asked for it.
    ALTER TABLE avouch.intent ADD COLUMN node TEXT;
",
    "
    -- Removals up to this number may be forgotten: who is behind it loads everything anew.
    ALTER TABLE avouch.tenant ADD COLUMN forgotten BIGINT NOT NULL DEFAULT 0;
    CREATE INDEX object_removed ON avouch.object (tenant, sequence) WHERE body IS NULL;
",
    "
    -- Whether a tenant was removed, and with which number the one began that took its name after.
    ALTER TABLE avouch.tenant ADD COLUMN removed BOOLEAN NOT NULL DEFAULT FALSE;
    ALTER TABLE avouch.tenant ADD COLUMN begins BIGINT NOT NULL DEFAULT 0;
",
    "
    -- What was decided besides, in JSON.
    ALTER TABLE avouch.intent ADD COLUMN decision TEXT;
",
    "
    -- Keys that were brought along, by their digest: each signs for one authority.
    CREATE TABLE avouch.brought_key (
        key TEXT PRIMARY KEY,
        tenant TEXT NOT NULL REFERENCES avouch.tenant (id),
        authority TEXT NOT NULL
    );
",
    "
    -- How long what is signed may live, as it was settled at any time.
    CREATE TABLE avouch.lifetime (
        kind TEXT NOT NULL,
        seconds BIGINT NOT NULL,
        last BIGINT NOT NULL,
        PRIMARY KEY (kind, seconds)
    );
    INSERT INTO avouch.lifetime (kind, seconds, last)
        SELECT CASE kind WHEN 'certificate' THEN 'component' ELSE 'svid' END,
               max(not_after - recorded), max(recorded)
        FROM avouch.intent
        WHERE kind IN ('x509', 'jwt', 'wit', 'certificate') AND not_after > recorded
        GROUP BY 1;
",
    "
    -- Of authorities whose private key was made or taken in here, as in the body: nobody brings that
    -- key along. What is damaged stays as it is.
    ALTER TABLE avouch.object ADD COLUMN public_key TEXT;
    UPDATE avouch.object
        SET public_key = substring(body from '\"public_key\":\"([^\"]*)\"')
        WHERE kind = 'authority'
            AND (secret IS NOT NULL OR body LIKE '%\"key_address\":%')
            AND body NOT LIKE '%\"key_is_brought\":true%';
    CREATE INDEX object_by_public_key ON avouch.object (public_key) WHERE public_key IS NOT NULL;
",
    // No text in a body looks like a member of it: a quotation mark in one is escaped. Numbers of 19
    // digits, which may be none of 64 bits, are times that nobody lives to see.
    "
    -- When what ends by itself is over, as its body says. What is damaged never is.
    ALTER TABLE avouch.object ADD COLUMN ends BIGINT GENERATED ALWAYS AS (
        CASE kind
            WHEN 'entry' THEN
                substring(body from '\"expires\":(-?[0-9]{1,18})[,}]')::bigint
            WHEN 'join_token' THEN coalesce(
                substring(body from '\"used\":(-?[0-9]{1,18})[,}]'),
                substring(body from '\"expires\":(-?[0-9]{1,18})[,}]'))::bigint
            WHEN 'ended' THEN
                substring(body from '\"ends\":(-?[0-9]{1,18})[,}]')::bigint
            WHEN 'notice' THEN
                substring(body from '\"ends\":(-?[0-9]{1,18})[,}]')::bigint
        END
    ) STORED;
    CREATE INDEX object_by_end ON avouch.object (kind, tenant, ends) WHERE ends IS NOT NULL;
",
    // The names are in the order of time byte by byte, whatever the database was told to sort by.
    "
    -- What was decided on credentials that others have shown, as long as it is kept. Without a
    -- reference to the tenant, which would lock its row with each.
    CREATE TABLE avouch.decision (
        tenant TEXT NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        at BIGINT NOT NULL,
        verdict TEXT NOT NULL,
        code TEXT,
        document TEXT NOT NULL,
        PRIMARY KEY (tenant, id)
    );
    CREATE INDEX decision_by_time ON avouch.decision (at);
",
    "
    -- No number between these two was ever given, as far as the database knows: who holds one was told
    -- it by a database that is gone.
    ALTER TABLE avouch.tenant ADD COLUMN skipped_after BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE avouch.tenant ADD COLUMN skipped_before BIGINT NOT NULL DEFAULT 0;
",
];

/// A step may rewrite a table of millions of rows, and whoever waits for it waits as long: what bounds
/// other statements does not hold here.
const UNHURRIED: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";

/// Held while migrating, so that of two servers that start at once the second waits and finds it
/// done. The number is ours alone ("AVCH").
const LOCK: &str = "SELECT pg_advisory_xact_lock(1096172360)";

pub(super) fn migrate(session: &mut Session) -> Result<(), Fault> {
    session.write(|session| {
        session.batch(UNHURRIED)?;
        session.batch(LOCK)?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let found = version(session)?;
        if found > known {
            return Err(Fault::Newer { found, known });
        }
        if found == known {
            return Ok(());
        }
        let done = usize::try_from(found).map_err(|_| Fault::Corrupt("its version".to_owned()))?;
        for step in MIGRATIONS.iter().skip(done) {
            session.batch(step)?;
        }
        session.execute("UPDATE avouch.schema_version SET version = $1", &[&known])?;
        Ok(())
    })
}

/// Writes the version as it is.
pub(super) fn rewrite_version(session: &mut Session) -> Result<(), Fault> {
    session.execute("UPDATE avouch.schema_version SET version = version", &[])?;
    Ok(())
}

/// The version of the schema, which is 0 after this made its table.
fn version(session: &mut Session) -> Result<i64, Fault> {
    let there = "SELECT to_regclass('avouch.schema_version') IS NOT NULL";
    let there = session.query(there, &[])?;
    let there: bool = there
        .first()
        .map(|row| row.try_get(0))
        .transpose()?
        .unwrap_or(false);
    if !there {
        session.batch(
            "CREATE SCHEMA IF NOT EXISTS avouch;
             CREATE TABLE avouch.schema_version (version BIGINT NOT NULL);
             INSERT INTO avouch.schema_version VALUES (0)",
        )?;
    }
    let rows = session.query("SELECT version FROM avouch.schema_version", &[])?;
    let [row] = rows.as_slice() else {
        return Err(Fault::Corrupt("its version is missing".to_owned()));
    };
    Ok(row.try_get(0)?)
}
