//! The suite on a real PostgreSQL, and what only this engine can show.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use avouch_store::postgresql::PostgresqlStore;
use avouch_store::{AuthorityRecord, Change, Fault, Object, Store};
use avouch_testkit::postgresql::Cluster;

use crate::objects::*;
use crate::suite::{Engine, on_every_case};

struct Postgresql {
    _cluster: Arc<Cluster>,
    address: String,
}

impl Engine for Postgresql {
    fn open(&self) -> Box<dyn Store> {
        Box::new(PostgresqlStore::connect(&self.address).unwrap())
    }
}

fn fresh(case: &str) -> Option<Postgresql> {
    let cluster = or_skipped(case, Cluster::shared())?;
    let address = cluster.new_database();
    Some(Postgresql {
        _cluster: cluster,
        address,
    })
}

/// The cluster, or a line that names the test that was skipped.
#[expect(clippy::print_stdout, reason = "`cargo xtask test` reads it")]
pub(crate) fn or_skipped<T>(case: &str, cluster: Result<T, String>) -> Option<T> {
    match cluster {
        Ok(cluster) => Some(cluster),
        Err(why) => {
            println!("skipped: store on PostgreSQL, {case}: {why}");
            None
        }
    }
}

on_every_case!(fresh);

#[test]
fn a_lost_database_is_a_fault_and_is_found_again() {
    let name = "a_lost_database_is_a_fault_and_is_found_again";
    let Some(cluster) = or_skipped(name, Cluster::start()) else {
        return;
    };
    let store = PostgresqlStore::connect(&cluster.new_database()).unwrap();
    add_tenant(&store, "acme");
    store.apply(&tenant("acme"), &[anchor("before")]).unwrap();

    cluster.crash().unwrap();
    for _ in 0..3 {
        let fault = store
            .apply(&tenant("acme"), &[anchor("while")])
            .unwrap_err();
        assert!(matches!(fault, Fault::Lost(_)), "{fault:?}");
        assert!(fault.retryable());
        let fault = store.load(&tenant("acme")).unwrap_err();
        assert!(matches!(fault, Fault::Lost(_)), "{fault:?}");
    }

    cluster.up().unwrap();
    store.apply(&tenant("acme"), &[anchor("after")]).unwrap();
    let snapshot = store.load(&tenant("acme")).unwrap();
    let names: Vec<&str> = snapshot.anchors.keys().map(|id| id.as_str()).collect();
    assert_eq!(names, ["after", "before"]);
}

#[test]
fn an_idle_connection_that_broke_is_replaced_unseen() {
    let name = "an_idle_connection_that_broke_is_replaced_unseen";
    let Some(cluster) = or_skipped(name, Cluster::start()) else {
        return;
    };
    let store = PostgresqlStore::connect(&cluster.new_database()).unwrap();
    add_tenant(&store, "acme");
    for _ in 0..2 * PostgresqlStore::CONNECTIONS {
        store.apply(&tenant("acme"), &[anchor("a")]).unwrap();
    }
    cluster.crash().unwrap();
    cluster.up().unwrap();
    for _ in 0..2 * PostgresqlStore::CONNECTIONS {
        store.apply(&tenant("acme"), &[anchor("a")]).unwrap();
    }
}

#[test]
fn a_database_that_would_forget_is_refused() {
    let name = "a_database_that_would_forget_is_refused";
    let Some(cluster) = or_skipped(name, Cluster::start()) else {
        return;
    };
    let address = cluster.new_database();
    let mut client = postgres::Client::connect(&address, postgres::NoTls).unwrap();
    client
        .batch_execute("ALTER SYSTEM SET fsync TO off")
        .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    cluster.crash().unwrap();
    cluster.up().unwrap();
    let fault = PostgresqlStore::connect(&address).err().unwrap();
    assert!(matches!(fault, Fault::Forgetful(_)), "{fault:?}");
    assert!(!fault.retryable());
}

#[test]
fn commits_are_durable_even_where_the_default_is_that_they_are_not() {
    let name = "commits_are_durable_even_where_the_default_is_that_they_are_not";
    let Some(cluster) = or_skipped(name, Cluster::start()) else {
        return;
    };
    let address = cluster.new_database();
    let mut client = postgres::Client::connect(&address, postgres::NoTls).unwrap();
    let lax = "ALTER DATABASE d0 SET synchronous_commit TO off";
    client.batch_execute(lax).unwrap();
    let store = PostgresqlStore::connect(&address).unwrap();
    add_tenant(&store, "acme");
    for round in 0..3 {
        store
            .apply(&tenant("acme"), &[anchor(&format!("a{round}"))])
            .unwrap();
        cluster.crash().unwrap();
        cluster.up().unwrap();
        assert_eq!(
            store.load(&tenant("acme")).unwrap().anchors.len(),
            round + 1
        );
    }
}

#[test]
fn a_key_that_was_made_here_before_that_was_kept_apart_is_brought_along_for_nobody() {
    let name = "a_key_that_was_made_here_before_that_was_kept_apart_is_brought_along_for_nobody";
    let Some(engine) = fresh(name) else {
        return;
    };
    let store = engine.open();
    let key = add_tenant(&*store, "acme");
    let put = |record: &AuthorityRecord| Change::Put(Object::Authority(record.clone()));
    let sealed = authority("sealed", "a.test", &key, b"secret");
    let without = AuthorityRecord {
        private_key: None,
        public_key: vec![3],
        ..authority("without", "a.test", &key, b"")
    };
    let all = [domain("a.test"), put(&sealed), put(&without)];
    store.apply(&tenant("acme"), &all).unwrap();
    drop(store);
    let mut client = postgres::Client::connect(&engine.address, postgres::NoTls).unwrap();
    let before = "ALTER TABLE avouch.tenant DROP COLUMN skipped_after, DROP COLUMN skipped_before;
                  DROP TABLE avouch.decision; ALTER TABLE avouch.object DROP COLUMN public_key, DROP COLUMN ends;
                  UPDATE avouch.schema_version SET version = 10";
    client.batch_execute(before).unwrap();
    let store = engine.open();
    for (one, is_taken) in [(&sealed, true), (&without, false)] {
        let brought = AuthorityRecord {
            private_key: None,
            key_address: Some("pkcs11:token=t;id=%07".to_owned()),
            key_is_brought: true,
            public_key: one.public_key.clone(),
            ..authority("mine", "a.test", &key, b"")
        };
        let applied = store.apply(&tenant("acme"), &[put(&brought)]);
        assert_eq!(applied.is_err(), is_taken, "{applied:?}");
    }
}

#[test]
fn a_database_of_a_later_program_is_left_alone() {
    let Some(engine) = fresh("a_database_of_a_later_program_is_left_alone") else {
        return;
    };
    drop(engine.open());
    let mut client = postgres::Client::connect(&engine.address, postgres::NoTls).unwrap();
    let later = "UPDATE avouch.schema_version SET version = 99";
    client.batch_execute(later).unwrap();
    let fault = PostgresqlStore::connect(&engine.address).err().unwrap();
    assert!(matches!(fault, Fault::Newer { found: 99, .. }), "{fault:?}");
}

#[test]
fn a_database_that_is_not_there_is_refused_without_retry() {
    let Some(engine) = fresh("a_database_that_is_not_there_is_refused_without_retry") else {
        return;
    };
    let missing = engine.address.replace("dbname=", "dbname=missing_");
    let fault = PostgresqlStore::connect(&missing).err().unwrap();
    assert!(matches!(fault, Fault::Denied(_)), "{fault:?}");
    assert!(!fault.retryable());
}

#[test]
fn servers_that_start_at_once_make_the_schema_once() {
    let Some(engine) = fresh("servers_that_start_at_once_make_the_schema_once") else {
        return;
    };
    thread::scope(|scope| {
        for number in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                let store = engine.open();
                let name = format!("x{number}");
                assert_eq!(store.load(&tenant(&name)).unwrap().sequence.number(), 0);
            });
        }
    });
}

#[test]
fn what_bounds_other_statements_bounds_no_migration_and_nobody_who_waits_for_one() {
    let name = "what_bounds_other_statements_bounds_no_migration_and_nobody_who_waits_for_one";
    let Some(engine) = fresh(name) else {
        return;
    };
    let mut other = postgres::Client::connect(&engine.address, postgres::NoTls).unwrap();
    other
        .batch_execute(
            "CREATE TABLE public.seen (bound TEXT);
             CREATE FUNCTION public.see() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.seen VALUES (current_setting('statement_timeout'));
             END $$;
             CREATE EVENT TRIGGER see ON ddl_command_start EXECUTE FUNCTION public.see()",
        )
        .unwrap();
    // Another server migrates, for longer than anyone waits for a lock otherwise.
    let migrates = "BEGIN; SELECT pg_advisory_xact_lock(1096172360)";
    other.batch_execute(migrates).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| PostgresqlStore::connect(&engine.address).err());
        let done = "SELECT pg_sleep(5.5); COMMIT";
        other.batch_execute(done).unwrap();
        assert_eq!(waiting.join().unwrap(), None);
    });
    let bounds = other.query("SELECT DISTINCT bound FROM public.seen", &[]);
    let bounds: Vec<String> = bounds.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(bounds, ["0"]);
    // What is bounded again is what comes after.
    let store = engine.open();
    add_tenant(&*store, "acme");
    let held = "BEGIN; SELECT 1 FROM avouch.tenant FOR UPDATE";
    other.batch_execute(held).unwrap();
    let fault = store.apply(&tenant("acme"), &[anchor("a")]).unwrap_err();
    assert!(matches!(fault, Fault::Busy(_)), "{fault:?}");
}

#[test]
fn what_is_over_of_one_tenant_is_found_without_reading_of_another() {
    let name = "what_is_over_of_one_tenant_is_found_without_reading_of_another";
    let Some(engine) = fresh(name) else {
        return;
    };
    drop(engine.open());
    let mut client = postgres::Client::connect(&engine.address, postgres::NoTls).unwrap();
    let definition = "SELECT indexdef FROM pg_indexes WHERE indexname = 'object_by_end'";
    let definition: String = client.query_one(definition, &[]).unwrap().get(0);
    assert!(definition.contains("(kind, tenant, ends)"), "{definition}");
}

#[test]
fn a_row_held_for_too_long_is_busy() {
    let Some(engine) = fresh("a_row_held_for_too_long_is_busy") else {
        return;
    };
    let store = engine.open();
    add_tenant(&*store, "acme");
    let mut other = postgres::Client::connect(&engine.address, postgres::NoTls).unwrap();
    other
        .batch_execute("BEGIN; SELECT 1 FROM avouch.tenant FOR UPDATE")
        .unwrap();
    let fault = store.apply(&tenant("acme"), &[anchor("a")]).unwrap_err();
    assert!(matches!(fault, Fault::Busy(_)), "{fault:?}");
    assert!(fault.retryable());
    assert!(store.load(&tenant("acme")).unwrap().anchors.is_empty());
    other.batch_execute("ROLLBACK").unwrap();
    store.apply(&tenant("acme"), &[anchor("a")]).unwrap();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how fast it is heard of is what is tested"
)]
fn a_change_is_heard_of_by_all_servers_at_once() {
    let Some(engine) = fresh("a_change_is_heard_of_by_all_servers_at_once") else {
        return;
    };
    const LONG: Duration = Duration::from_secs(20);
    let (writer, listener) = (engine.open(), engine.open());
    add_tenant(&*writer, "acme");
    // The first time it says what is there; after that only what is new.
    let heads = listener.wait_for_change(&OPERATOR, LONG).unwrap();
    assert_eq!(heads.len(), 2);
    let begun = Instant::now();
    let quiet = Duration::from_millis(50);
    assert!(
        listener
            .wait_for_change(&OPERATOR, quiet)
            .unwrap()
            .is_empty()
    );
    assert!(begun.elapsed() >= quiet);

    let mut delays: Vec<Duration> = (0..100)
        .map(|round| {
            let name = format!("a{round}");
            thread::scope(|scope| {
                let heard = scope.spawn(|| {
                    let heads = listener.wait_for_change(&OPERATOR, LONG).unwrap();
                    (heads, Instant::now())
                });
                let number = writer.apply(&tenant("acme"), &[anchor(&name)]).unwrap();
                let committed = Instant::now();
                let (heads, heard) = heard.join().unwrap();
                assert_eq!(heads.get(&tenant("acme")), Some(&number));
                heard.saturating_duration_since(committed)
            })
        })
        .collect();
    delays.sort_unstable();
    println!(
        "heard after: median {:?}, longest {:?}",
        delays[50], delays[99]
    );
    assert!(delays[50] < Duration::from_millis(100), "{delays:?}");

    // What is undone is not told, and a new tenant is.
    writer
        .apply(&tenant("acme"), &[entry("e", "spiffe://no.test/x")])
        .unwrap_err();
    add_tenant(&*writer, "other");
    let heads = listener.wait_for_change(&OPERATOR, LONG).unwrap();
    assert_eq!(heads.keys().collect::<Vec<_>>(), [&tenant("other")]);
}

#[test]
fn listening_goes_on_after_the_server_was_away() {
    let name = "listening_goes_on_after_the_server_was_away";
    let Some(cluster) = or_skipped(name, Cluster::start()) else {
        return;
    };
    let store = PostgresqlStore::connect(&cluster.new_database()).unwrap();
    add_tenant(&store, "acme");
    let wait = || store.wait_for_change(&OPERATOR, Duration::from_secs(5));
    assert_eq!(wait().unwrap().len(), 2);
    cluster.crash().unwrap();
    for _ in 0..3 {
        let fault = wait().unwrap_err();
        assert!(matches!(fault, Fault::Lost(_)), "{fault:?}");
    }
    cluster.up().unwrap();
    let number = store.apply(&tenant("acme"), &[anchor("a")]).unwrap();
    // Whatever was missed is told when listening begins again.
    assert_eq!(wait().unwrap()[&tenant("acme")], number);
    let number = store.apply(&tenant("acme"), &[anchor("b")]).unwrap();
    assert_eq!(wait().unwrap()[&tenant("acme")], number);
}
