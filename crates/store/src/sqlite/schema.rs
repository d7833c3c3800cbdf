//! The schema, and how a file of any earlier version becomes one of this.

use rusqlite::{Connection, TransactionBehavior};

use crate::fault::Fault;

/// Marks a file as ours in its header ("AVCH"), so that no other database is taken for one.
pub(super) const APPLICATION: i64 = 0x4156_4348;

/// One step to each version. A step that was released is never changed.
pub(super) const MIGRATIONS: [&str; 15] = [
    "
    CREATE TABLE tenant (
        id TEXT PRIMARY KEY,
        parent TEXT REFERENCES tenant (id),
        kind TEXT NOT NULL,
        created INTEGER NOT NULL,
        wrapped_key BLOB NOT NULL,
        sequence INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;

    -- Every object as it was last; one without a body was removed by the change of that number.
    CREATE TABLE object (
        tenant TEXT NOT NULL REFERENCES tenant (id),
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        trust_domain TEXT,
        sequence INTEGER NOT NULL,
        body TEXT,
        secret BLOB,
        PRIMARY KEY (tenant, kind, id)
    ) STRICT;
    CREATE INDEX object_by_sequence ON object (tenant, sequence);

    -- Who has, or once had, a trust domain. Rows are never removed.
    CREATE TABLE trust_domain (
        name TEXT PRIMARY KEY,
        tenant TEXT NOT NULL REFERENCES tenant (id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE intent (
        tenant TEXT NOT NULL REFERENCES tenant (id),
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        authority TEXT NOT NULL,
        entry TEXT,
        subject TEXT NOT NULL,
        content BLOB NOT NULL,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        recorded INTEGER NOT NULL,
        PRIMARY KEY (tenant, id)
    ) STRICT;
    CREATE INDEX intent_by_time ON intent (tenant, recorded);
",
    "
    -- What may be used once and was, as long as it would be accepted.
    CREATE TABLE single_use (
        tenant TEXT NOT NULL REFERENCES tenant (id),
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        attempt BLOB NOT NULL,
        used INTEGER NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (tenant, kind, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX single_use_by_end ON single_use (until);
",
    "
    -- Servers on this database, and how far those have come who follow there.
    CREATE TABLE server (
        id TEXT PRIMARY KEY,
        report INTEGER NOT NULL,
        seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE follower (
        tenant TEXT NOT NULL REFERENCES tenant (id),
        server TEXT NOT NULL,
        count INTEGER NOT NULL,
        least INTEGER NOT NULL,
        slowest TEXT NOT NULL,
        PRIMARY KEY (tenant, server)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What was given in exchange, and for what: a list of ancestors in JSON.
    ALTER TABLE intent ADD COLUMN lineage TEXT;
",
    "
    -- The node that asked for it.
    ALTER TABLE intent ADD COLUMN node TEXT;
",
    "
    -- Removals up to this number may be forgotten: who is behind it loads everything anew.
    ALTER TABLE tenant ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX object_removed ON object (tenant, sequence) WHERE body IS NULL;
",
    "
    -- Whether a tenant was removed, and with which number the one began that took its name after.
    ALTER TABLE tenant ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN begins INTEGER NOT NULL DEFAULT 0;
",
    "
    -- What was decided besides, in JSON.
    ALTER TABLE intent ADD COLUMN decision TEXT;
",
    "
    -- Keys that were brought along, by their digest: each signs for one authority.
    CREATE TABLE brought_key (
        key TEXT PRIMARY KEY,
        tenant TEXT NOT NULL REFERENCES tenant (id),
        authority TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- In the order of use: rows and their ends are added at one place each, so that of what is used
    -- together only the index of digests, which are random, takes a page for each. Without a
    -- reference to the tenant: whoever writes here has just looked whether it is there.
    CREATE TABLE single_use_in_order (
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        attempt BLOB NOT NULL,
        used INTEGER NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (tenant, kind, digest)
    ) STRICT;
    INSERT INTO single_use_in_order (tenant, kind, digest, attempt, used, until)
        SELECT tenant, kind, digest, attempt, used, until FROM single_use ORDER BY used;
    DROP TABLE single_use;
    ALTER TABLE single_use_in_order RENAME TO single_use;
    CREATE INDEX single_use_by_end ON single_use (until);
",
    "
    -- How long what is signed may live, as it was settled at any time.
    CREATE TABLE lifetime (
        kind TEXT NOT NULL,
        seconds INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (kind, seconds)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO lifetime (kind, seconds, last)
        SELECT CASE kind WHEN 'certificate' THEN 'component' ELSE 'svid' END,
               max(not_after - recorded), max(recorded)
        FROM intent
        WHERE kind IN ('x509', 'jwt', 'wit', 'certificate') AND not_after > recorded
        GROUP BY 1;
",
    "
    -- Of authorities whose private key was made or taken in here, as in the body: nobody brings that
    -- key along. What is damaged stays as it is.
    ALTER TABLE object ADD COLUMN public_key TEXT;
    UPDATE object
        SET public_key =
            CASE WHEN json_valid(body) THEN CAST(json_extract(body, '$.public_key') AS TEXT) END
        WHERE kind = 'authority'
            AND (secret IS NOT NULL OR body LIKE '%\"key_address\":%')
            AND body NOT LIKE '%\"key_is_brought\":true%';
    CREATE INDEX object_by_public_key ON object (public_key) WHERE public_key IS NOT NULL;
",
    "
    -- When what ends by itself is over, as its body says. What is damaged never is.
    ALTER TABLE object ADD COLUMN ends INTEGER GENERATED ALWAYS AS (
        CASE
            WHEN kind = 'entry' AND instr(body, '\"expires\":') > 0 AND json_valid(body)
                THEN CASE json_type(body, '$.expires')
                    WHEN 'integer' THEN CAST(json_extract(body, '$.expires') AS INTEGER)
                END
            WHEN kind = 'join_token' AND json_valid(body)
                THEN CASE 'integer'
                    WHEN json_type(body, '$.used')
                        THEN CAST(json_extract(body, '$.used') AS INTEGER)
                    WHEN json_type(body, '$.expires')
                        THEN CAST(json_extract(body, '$.expires') AS INTEGER)
                END
            WHEN kind IN ('ended', 'notice') AND json_valid(body)
                THEN CASE json_type(body, '$.ends')
                    WHEN 'integer' THEN CAST(json_extract(body, '$.ends') AS INTEGER)
                END
        END
    ) VIRTUAL;
    CREATE INDEX object_by_end ON object (kind, tenant, ends) WHERE ends IS NOT NULL;
",
    "
    -- What was decided on credentials that others have shown, as long as it is kept. Without a
    -- reference to the tenant: whoever writes here has just looked whether it is there.
    CREATE TABLE decision (
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        at INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        code TEXT,
        document TEXT NOT NULL,
        PRIMARY KEY (tenant, id)
    ) STRICT;
    CREATE INDEX decision_by_time ON decision (at);
",
    "
    -- No number between these two was ever given, as far as the database knows: who holds one was told
    -- it by a database that is gone.
    ALTER TABLE tenant ADD COLUMN skipped_after INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN skipped_before INTEGER NOT NULL DEFAULT 0;
",
];

pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    // Immediate, so that of two processes that start at once the second waits and finds it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let application: i64 =
        transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION && (application, found) != (0, 0) {
        return Err(Fault::Denied(
            "the file is the database of another program".to_owned(),
        ));
    }
    if found > known {
        return Err(Fault::Newer { found, known });
    }
    let done = usize::try_from(found).map_err(|_| Fault::Corrupt("its version".to_owned()))?;
    for step in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// Writes the version as it is.
pub(super) fn rewrite_version(connection: &Connection) -> Result<(), Fault> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", found)?;
    Ok(())
}
