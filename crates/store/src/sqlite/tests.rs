//! What only this engine can show: its file, its disk, and calls that are committed together.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::{Barrier, mpsc};
use std::thread;

use super::*;
use crate::keyring::WrappedKey;
use crate::{AnchorId, AnchorRecord, AttemptId, Conflict, Key, Object, TenantKind};

const OPERATOR: Operator = Operator::of_this_deployment();

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn opened(folder: &Path) -> SqliteStore {
    let store = SqliteStore::open(folder).unwrap();
    let root = TenantRecord {
        id: tenant(),
        parent: None,
        kind: TenantKind::Root,
        created: Time::from_unix(0),
        key: WrappedKey::from_stored(vec![1]),
    };
    store.add_tenant(&OPERATOR, &root).unwrap();
    store
}

fn anchor(name: &str, bytes: usize) -> Change {
    Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(name).unwrap(),
        document: "x".repeat(bytes),
    }))
}

#[test]
fn the_database_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    store.apply(&tenant(), &[anchor("a", 10)]).unwrap();
    let mut files = 0;
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{file:?}");
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and the index of the log");
}

#[test]
fn a_full_disk_is_a_fault_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let before = store.apply(&tenant(), &[anchor("a", 10)]).unwrap();
    store
        .writer
        .write(|connection| {
            let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            connection.pragma_update(None, "max_page_count", pages + 4)?;
            Ok(())
        })
        .unwrap();

    let fault = store.apply(&tenant(), &[anchor("b", 1 << 20)]).unwrap_err();
    assert_eq!(fault, Fault::Full);
    assert!(fault.retryable());
    let operator = Operator::of_this_deployment();
    let limited = store.check(&operator);
    assert_eq!(
        limited,
        Ok(()),
        "what is written in its place takes no room"
    );
    let snapshot = store.load(&tenant()).unwrap();
    assert_eq!((snapshot.sequence, snapshot.anchors.len()), (before, 1));

    let unlimit = |connection: &Connection| {
        connection.pragma_update(None, "max_page_count", 1 << 30)?;
        Ok(())
    };
    store.writer.write(unlimit).unwrap();
    store.apply(&tenant(), &[anchor("b", 1 << 20)]).unwrap();
    assert_eq!(store.load(&tenant()).unwrap().anchors.len(), 2);
}

#[test]
fn a_database_held_by_another_process_is_busy_and_still_read() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    let file = || DatabaseFile {
        path: folder.path().join(DATABASE_FILE),
        patience: Duration::from_millis(20),
    };
    let store = SqliteStore::open_file(file()).unwrap();
    let other = file().connect().unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let fault = store.apply(&tenant(), &[anchor("a", 10)]).unwrap_err();
    assert!(matches!(fault, Fault::Busy(_)), "{fault}");
    assert!(fault.retryable());
    assert_eq!(store.load(&tenant()).unwrap().sequence, Sequence::START);

    other.execute_batch("ROLLBACK").unwrap();
    store.apply(&tenant(), &[anchor("a", 10)]).unwrap();
}

#[test]
fn a_commit_that_is_refused_fails_every_call_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let refuse = |connection: &Connection| {
        // Checked when the transaction ends: this row has no tenant.
        connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON;
             INSERT INTO intent VALUES ('nobody', 'i', 'x509', 'a', NULL, 's', x'', 0, 0, 0)",
        )?;
        Ok(())
    };
    store.writer.write(refuse).unwrap_err();
    assert_eq!(store.load(&tenant()).unwrap().sequence, Sequence::START);
    store.apply(&tenant(), &[anchor("a", 10)]).unwrap();
}

#[test]
fn a_call_that_conflicts_takes_none_of_its_neighbours_with_it() {
    const THREADS: usize = 16;
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..20 {
                    let name = format!("a{number}-{round}");
                    let good = store.apply(&tenant(), &[anchor(&name, 10)]);
                    assert!(good.is_ok(), "{good:?}");
                    let unknown = TenantId::parse("nobody").unwrap();
                    let bad = store.apply(&unknown, &[anchor(&name, 10)]);
                    assert_eq!(bad, Err(Conflict::UnknownTenant(unknown).into()));
                }
            });
        }
    });
    let snapshot = store.load(&tenant()).unwrap();
    assert_eq!(snapshot.anchors.len(), THREADS * 20);
    assert_eq!(snapshot.sequence.number(), 320);
}

#[test]
fn half_of_a_call_that_fails_is_not_kept_alone_nor_among_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let half = |connection: &Connection| -> Result<(), Fault> {
        let row = "INSERT INTO single_use VALUES ('acme', 'token', x'01', x'02', 0, 0)";
        connection.execute(row, [])?;
        Err(Fault::Bug("halfway".to_owned()))
    };
    store.writer.write(half).unwrap_err();

    // Those that come while the first is held wait together.
    let (release, held) = mpsc::channel::<()>();
    let hold = move |_: &Connection| {
        held.recv().unwrap_err();
        Ok(())
    };
    let (tell, told) = mpsc::channel();
    store.writer.write_later(hold, drop);
    for number in 0..6 {
        let is_half = number % 2 == 1;
        let tell = tell.clone();
        let tell = move |outcome: Result<(), Fault>| tell.send((is_half, outcome)).unwrap();
        if is_half {
            store.writer.write_later(half, tell);
            continue;
        }
        let plan = Plan::of(&[anchor(&format!("a{number}"), 10)]).unwrap();
        let whole = move |connection: &Connection| {
            statements::apply(connection, &tenant(), Sequence::LATEST, None, &plan).map(drop)
        };
        store.writer.write_later(whole, tell);
    }
    drop((release, tell));
    for (is_half, outcome) in told {
        assert_eq!(outcome.is_err(), is_half, "{outcome:?}");
    }
    let uses = store.readers.read(|connection| {
        let count = "SELECT count(*) FROM single_use";
        Ok(connection.query_row(count, [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(uses, Ok(0));
    let snapshot = store.load(&tenant()).unwrap();
    assert_eq!((snapshot.anchors.len(), snapshot.sequence.number()), (3, 3));
}

#[test]
fn a_damaged_file_is_told_from_a_missing_one_and_from_a_foreign_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE_FILE);

    fs::write(&path, "this is not a database, although it is long enough").unwrap();
    let fault = SqliteStore::open(folder.path()).err().unwrap();
    assert!(matches!(fault, Fault::Corrupt(_)), "{fault}");
    assert!(!fault.retryable());

    fs::remove_file(&path).unwrap();
    let foreign = Connection::open(&path).unwrap();
    foreign
        .execute_batch("PRAGMA user_version = 1; CREATE TABLE t (c)")
        .unwrap();
    drop(foreign);
    let fault = SqliteStore::open(folder.path()).err().unwrap();
    assert!(matches!(fault, Fault::Denied(_)), "{fault}");

    let missing = folder.path().join("missing");
    let fault = SqliteStore::open(&missing).err().unwrap();
    assert!(matches!(fault, Fault::Denied(_)), "{fault}");
}

#[test]
fn a_row_that_cannot_be_read_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    store.apply(&tenant(), &[anchor("a", 10)]).unwrap();
    let spoil = |connection: &Connection| {
        connection.execute_batch("UPDATE object SET body = '{'")?;
        Ok(())
    };
    store.writer.write(spoil).unwrap();
    let fault = store.load(&tenant()).unwrap_err();
    assert_eq!(
        fault,
        Fault::Corrupt("the anchor `a` cannot be read".to_owned())
    );
}

#[test]
fn how_long_was_lived_before_it_was_noted_is_read_from_what_was_issued() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let intent = |id: &str, kind, from: i64, seconds: i64| IntentRow {
        id: IntentId::parse(id).unwrap(),
        kind,
        authority: crate::AuthorityId::parse("k").unwrap(),
        entry: None,
        node: None,
        subject: avouch_core::id::SpiffeId::parse("spiffe://a.test/x").unwrap(),
        content: Digest::of(id.as_bytes()),
        not_before: Time::from_unix(from),
        not_after: Time::from_unix(from + seconds),
        recorded: Time::from_unix(from),
        lineage: Vec::new(),
        decision: None,
    };
    use crate::CredentialKind::{Authority, Certificate, Jwt, X509};
    let rows = [
        intent("1", X509, 10, 7_200),
        intent("2", X509, 50, 60),
        intent("3", Jwt, 90, 300),
        intent("4", Certificate, 20, 500_000),
        intent("5", Authority, 20, 9_000_000),
    ];
    store.record_intents(&tenant(), &rows).unwrap();
    drop(store);
    let before = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    before
        .execute_batch(
            "ALTER TABLE tenant DROP COLUMN skipped_after;
             ALTER TABLE tenant DROP COLUMN skipped_before;
             DROP TABLE decision; DROP TABLE lifetime; DROP INDEX object_by_public_key;
             ALTER TABLE object DROP COLUMN public_key;
             DROP INDEX object_by_end; ALTER TABLE object DROP COLUMN ends; PRAGMA user_version = 10",
        )
        .unwrap();
    drop(before);
    let store = SqliteStore::open(folder.path()).unwrap();
    let operator = Operator::of_this_deployment();
    let noted = store.lifetimes(&operator).unwrap();
    let told = noted
        .iter()
        .map(|one| (one.kind, one.seconds, one.last.unix()));
    let expected = [
        (crate::LifetimeKind::Component, 500_000, 20),
        (crate::LifetimeKind::Svid, 7_200, 90),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn a_key_that_was_made_here_before_that_was_kept_apart_is_brought_along_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let name = TrustDomain::parse("a.test").unwrap();
    let record = |id: &str, public_key: u8| crate::AuthorityRecord {
        id: crate::AuthorityId::parse(id).unwrap(),
        trust_domain: name.clone(),
        kind: crate::AuthorityKind::X509,
        role: crate::AuthorityRole::Root,
        state: crate::AuthorityState::Prepared,
        since: Time::from_unix(1),
        not_before: Time::from_unix(2),
        not_after: Time::from_unix(3),
        public_key: vec![public_key; 91],
        certificates: Vec::new(),
        private_key: None,
        key_address: Some(format!("pkcs11:token=t;id=%{public_key:02}")),
        key_is_brought: false,
        used_for: crate::AuthorityUse::Services,
        revoked: Vec::new(),
        revocation_list: None,
    };
    let put = |record: &crate::AuthorityRecord| Change::Put(Object::Authority(record.clone()));
    let brought = |id: &str, public_key: u8| crate::AuthorityRecord {
        key_is_brought: true,
        ..record(id, public_key)
    };
    let sealed = crate::AuthorityRecord {
        private_key: Some(crate::keyring::Sealed::from_stored(vec![7; 40])),
        key_address: None,
        ..record("sealed", 1)
    };
    let without = crate::AuthorityRecord {
        key_address: None,
        ..record("without", 3)
    };
    let domain = Change::Put(Object::TrustDomain(crate::TrustDomainRecord {
        name: name.clone(),
        created: Time::from_unix(0),
        upstream: crate::Upstream::Own,
    }));
    let all = [
        domain,
        put(&sealed),
        put(&record("in-token", 2)),
        put(&without),
        put(&brought("brought", 4)),
        put(&record("damaged", 5)),
    ];
    store.apply(&tenant(), &all).unwrap();
    drop(store);
    let before = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    before
        .execute_batch(
            "ALTER TABLE tenant DROP COLUMN skipped_after;
             ALTER TABLE tenant DROP COLUMN skipped_before;
             DROP TABLE decision; DROP INDEX object_by_public_key;
             ALTER TABLE object DROP COLUMN public_key;
             DROP INDEX object_by_end; ALTER TABLE object DROP COLUMN ends;
             UPDATE object SET body = '{' WHERE id = 'damaged'; PRAGMA user_version = 11",
        )
        .unwrap();
    drop(before);
    let store = SqliteStore::open(folder.path()).unwrap();
    for (public_key, is_taken) in [(1, true), (2, true), (3, false), (4, true), (5, false)] {
        let applied = store.apply(&tenant(), &[put(&brought("mine", public_key))]);
        assert_eq!(applied.is_err(), is_taken, "{public_key}: {applied:?}");
    }
}

#[test]
fn what_is_over_of_one_tenant_is_found_without_reading_of_another() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    let file = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    for look in [over::TENANTS, over::OF_ONE] {
        let look = ["?1", "?2", "?3", "?4"]
            .iter()
            .fold(look.to_owned(), |look, place| look.replace(place, "0"));
        let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {look}")).unwrap();
        let steps = plan.query_map([], |row| row.get("detail")).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        let by_end = "INDEX object_by_end (kind=? AND tenant=? AND ends<?)";
        assert!(steps.iter().any(|step| step.ends_with(by_end)), "{steps:?}");
    }
}

#[test]
fn a_database_of_a_later_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    let later = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    later.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(later);
    let fault = SqliteStore::open(folder.path()).err().unwrap();
    assert!(matches!(fault, Fault::Newer { found: 99, .. }), "{fault}");
}

#[test]
fn what_was_used_before_uses_were_kept_in_order_is_still_used() {
    const BEFORE: usize = 9;
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    for step in &schema::MIGRATIONS[..BEFORE] {
        old.execute_batch(step).unwrap();
    }
    old.execute_batch(&format!(
        "PRAGMA application_id = {}; PRAGMA user_version = {BEFORE};
         INSERT INTO tenant (id, kind, created, wrapped_key) VALUES ('acme', 'root', 0, x'01');",
        schema::APPLICATION
    ))
    .unwrap();
    let use_of = |number: u8| SingleUse {
        kind: UseKind::Token,
        digest: Digest::of(&[number]),
        attempt: AttemptId::from_bytes([number; 16]),
        at: Time::from_unix(i64::from(100 - number)),
        until: Time::from_unix(1_000 + i64::from(number)),
    };
    for number in 0..50 {
        uses::use_and_record(&old, &tenant(), Sequence::LATEST, &[use_of(number)], &[]).unwrap();
    }
    drop(old);

    let store = SqliteStore::open(folder.path()).unwrap();
    for number in 0..50 {
        let again = SingleUse {
            attempt: AttemptId::from_bytes([99; 16]),
            ..use_of(number)
        };
        let told = store.use_and_record(&tenant(), &[again], &[]).unwrap();
        let at = Time::from_unix(i64::from(100 - number));
        assert_eq!(told, [Used::Before { at }]);
    }
    let forgotten = store.forget_uses(&OPERATOR, Time::from_unix(1_010));
    assert_eq!(forgotten, Ok(10), "those that ended, and no other");
    let used = |number| store.used(&tenant(), UseKind::Token, &use_of(number).digest);
    assert_eq!(
        (used(9), used(10)),
        (Ok(None), Ok(Some(Time::from_unix(90))))
    );
}

#[test]
fn a_file_that_cannot_be_written_is_refused_without_retry() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    let path = folder.path().join(DATABASE_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let store = SqliteStore::open(folder.path());
    // Whoever may read and write everything is not held by permissions.
    if let Err(fault) = store {
        assert!(matches!(fault, Fault::Denied(_)), "{fault}");
    } else {
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
    }
}

#[test]
fn what_is_removed_leaves_no_content_in_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    store.apply(&tenant(), &[anchor("a", 10)]).unwrap();
    let gone = Key::Anchor(AnchorId::parse("a").unwrap());
    store.apply(&tenant(), &[Change::Remove(gone)]).unwrap();
    let left = store.readers.read(|connection| {
        let left: i64 = connection.query_row(
            "SELECT count(*) FROM object WHERE body IS NOT NULL OR secret IS NOT NULL",
            [],
            |row| row.get(0),
        )?;
        Ok(left)
    });
    assert_eq!(left, Ok(0));
}
