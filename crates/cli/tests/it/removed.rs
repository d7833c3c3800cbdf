//! Tenants that are removed on two servers of one PostgreSQL, one of which is killed meanwhile.

#![expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is chosen by time, which is what makes it any moment"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use avouch_core::id::TenantId;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{Change, Object, SignalId, SignalKey, SignalKind, SignalRecord, Store};
use avouch_testkit::postgresql::Cluster;
use nix::sys::signal::Signal;

use crate::plane::Plane;

const ROUNDS: u64 = 6;

/// Waits until something holds, and no longer than it may take.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The entries of a tenant; none if the tenant is not there, which then answers like any that never was.
fn entries(plane: &Plane, tenant: &str) -> Option<BTreeSet<String>> {
    let listed = plane.run(&["entry", "list", "--tenant", tenant, "-o", "json"]);
    if listed.code == 3 {
        assert!(
            listed.err.contains("issue.object_unknown"),
            "{}",
            listed.err
        );
        return None;
    }
    assert_eq!(listed.code, 0, "{}", listed.err);
    let listed = listed.json();
    let all = listed["entries"].as_array().unwrap().iter();
    Some(
        all.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect(),
    )
}

/// Creates entries until that is refused or nobody answers; those that were acknowledged.
fn write(plane: &Plane, tenant: &str, writer: usize, is_over: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let id = format!("{writer}-{number}");
        let spiffe_id = format!("spiffe://{tenant}.test/{id}");
        let command = ["entry", "create", "--tenant", tenant, "--id", &id];
        let more = [
            "--spiffe-id",
            &spiffe_id,
            "--selector",
            "unix:uid:4000000000",
        ];
        let created = plane.run(&[command.as_slice(), &more].concat());
        if created.code != 0 || is_over.load(Ordering::SeqCst) {
            return acknowledged;
        }
        acknowledged.push(id);
    }
    acknowledged
}

/// Removes a tenant at one server, which is killed a moment later, while entries of it are written at
/// both. Whether that was answered, and what was acknowledged of the entries.
fn remove_under_load(
    asked: &Plane,
    other: &Plane,
    tenant: &str,
    moment: Duration,
) -> (bool, BTreeSet<String>) {
    let is_over = AtomicBool::new(false);
    let confirm = format!("{tenant},{tenant}.test");
    thread::scope(|scope| {
        let writers: Vec<_> = [asked, other, other]
            .into_iter()
            .enumerate()
            .map(|(number, plane)| {
                let is_over = &is_over;
                scope.spawn(move || write(plane, tenant, number, is_over))
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        let removing = scope.spawn(|| {
            let command = ["tenant", "delete", tenant, "--confirm", &confirm];
            asked.run(&command).code == 0
        });
        thread::sleep(moment);
        asked.send(Signal::SIGKILL);
        let is_answered = removing.join().unwrap();
        is_over.store(true, Ordering::SeqCst);
        let written = writers.into_iter().flat_map(|one| one.join().unwrap());
        (is_answered, written.collect())
    })
}

/// How many removals have marked their tenant as removed, and wait for its secrets.
const IN_THE_MIDDLE: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE object SET secret = NULL%'";

#[test]
fn a_removal_in_the_middle_of_which_its_server_is_killed_has_not_happened() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => return println!("skipped: a kill in the middle of a removal: {why}"),
    };
    let database = cluster.new_database();
    let more = ["--store", database.as_str()];
    let mut first = Plane::start("removed-middle", &more);
    let second = first.beside("removed-middle-beside", &more);
    let create = ["tenant", "create", "shop", "--trust-domain", "shop.test"];
    assert_eq!(first.run(&create).code, 0);
    let entry = [
        "entry",
        "create",
        "--tenant",
        "shop",
        "--id",
        "web",
        "--spiffe-id",
        "spiffe://shop.test/web",
        "--selector",
        "unix:uid:4000000000",
    ];
    assert_eq!(first.run(&entry).code, 0);
    let all = Some(BTreeSet::from(["web".to_owned()]));
    until("the other server has it", || {
        entries(&second, "shop") == all
    });

    // Somebody has hold of what is sealed with the key of the tenant.
    let mut holding = { cluster.psql(&database) }
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = holding.stdin.take().unwrap();
    let hold = "BEGIN; SELECT 1 FROM avouch.object
        WHERE tenant = 'shop' AND secret IS NOT NULL FOR UPDATE;\n";
    said.write_all(hold.as_bytes()).unwrap();
    let mut held = BufReader::new(holding.stdout.take().unwrap());
    let mut line = String::new();
    held.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "1");
    let is_answered = thread::scope(|scope| {
        let removing = scope.spawn(|| {
            let confirm = ["--confirm", "shop,shop.test"];
            let command = ["tenant", "delete", "shop"];
            first.run(&[command.as_slice(), &confirm].concat()).code == 0
        });
        until("the removal is in its middle", || {
            let told = { cluster.psql(&database) }
                .args(["-c", IN_THE_MIDDLE])
                .output();
            String::from_utf8(told.unwrap().stdout).unwrap().trim() == "1"
        });
        first.send(Signal::SIGKILL);
        removing.join().unwrap()
    });
    assert!(!is_answered);
    drop(said);
    holding.wait().unwrap();
    first = first.again(Signal::SIGKILL, &more);
    until("nothing waits any more", || {
        let told = { cluster.psql(&database) }
            .args(["-c", IN_THE_MIDDLE])
            .output();
        String::from_utf8(told.unwrap().stdout).unwrap().trim() == "0"
    });
    for plane in [&first, &second] {
        assert_eq!(entries(plane, "shop"), all);
    }
    let removed = first.run(&["tenant", "delete", "shop", "--confirm", "shop,shop.test"]);
    assert_eq!(removed.code, 0, "{}", removed.err);
    until("it is gone on both", || {
        entries(&first, "shop").is_none() && entries(&second, "shop").is_none()
    });
}

#[test]
fn a_tenant_that_is_removed_at_a_server_that_is_killed_is_whole_or_gone_on_both() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => return println!("skipped: removals by two servers on one PostgreSQL: {why}"),
    };
    let database = cluster.new_database();
    let more = ["--store", database.as_str()];
    let mut first = Plane::start("removed-first", &more);
    let mut second = first.beside("removed-second", &more);
    let (mut answered, mut gone) = (0, 0);
    for round in 0..ROUNDS {
        let name = format!("gone-{round}");
        let domain = format!("{name}.test");
        let create = ["tenant", "create", &name, "--trust-domain", &domain];
        assert_eq!(first.run(&create).code, 0);
        until("the other server has it", || {
            entries(&second, &name).is_some()
        });
        let moment = Duration::from_millis(20 + round * 97 % 311);
        let by_first = round % 2 == 0;
        let (asked, other) = if by_first {
            (&first, &second)
        } else {
            (&second, &first)
        };
        let (is_answered, written) = remove_under_load(asked, other, &name, moment);
        if by_first {
            first = first.again(Signal::SIGKILL, &more);
        } else {
            second = first.beside(&format!("removed-second-{round}"), &more);
        }
        // Both come to see the same: all of it, or nothing.
        until("both see the same", || {
            entries(&first, &name) == entries(&second, &name)
        });
        match entries(&first, &name) {
            Some(there) => {
                assert!(!is_answered, "{name} came back");
                let lost: Vec<&String> = written.difference(&there).collect();
                assert!(lost.is_empty(), "{name} has lost {lost:?}");
                let confirm = format!("{name},{domain}");
                let removed = second.run(&["tenant", "delete", &name, "--confirm", &confirm]);
                assert_eq!(removed.code, 0, "{}", removed.err);
            }
            None => gone += 1,
        }
        answered += usize::from(is_answered);
        until("it is gone on both", || {
            entries(&first, &name).is_none() && entries(&second, &name).is_none()
        });
    }
    // The name is free again, with nothing of the former.
    let create = [
        "tenant",
        "create",
        "gone-0",
        "--trust-domain",
        "gone-0.test",
    ];
    assert_eq!(second.run(&create).code, 0);
    until("there is a new one on both", || {
        let none = Some(BTreeSet::new());
        entries(&first, "gone-0") == none && entries(&second, "gone-0") == none
    });
    println!("{ROUNDS} kills, {answered} removals acknowledged, {gone} gone with the kill");
}

#[test]
fn a_damaged_tenant_is_removed_once_that_is_named_too() {
    let plane = Plane::start("removed-damaged", &[]);
    let create = ["tenant", "create", "shop", "--trust-domain", "shop.test"];
    assert_eq!(plane.run(&create).code, 0);
    let unreadable = SignalRecord {
        key: SignalKey {
            kind: SignalKind::Ended,
            id: SignalId::parse(&"a".repeat(64)).unwrap(),
        },
        document: "{".to_owned(),
        ends: None,
        secret: None,
    };
    let store = SqliteStore::open(&plane.folder.path().join("avouch-data")).unwrap();
    let shop = TenantId::parse("shop").unwrap();
    let damage = [Change::Put(Object::Signal(unreadable))];
    store.apply(&shop, &damage).unwrap();
    drop(store);
    let plane = plane.again(Signal::SIGTERM, &[]);
    let told = plane.run(&["tenant", "delete", "shop", "--dry-run"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(
        told.out.contains("unread of the tenant shop"),
        "{}",
        told.out
    );
    assert!(told.out.contains("keys in a PKCS #11 token may stay there"));
    let delete = |confirm: &str| plane.run(&["tenant", "delete", "shop", "--confirm", confirm]);
    let refused = delete("shop,shop.test");
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused.err.contains("--confirm shop,shop.test,unread:shop"),
        "{}",
        refused.err
    );
    let removed = delete("shop,shop.test,unread:shop");
    assert_eq!(removed.code, 0, "{}", removed.err);
    let listed = plane.run(&["tenant", "list"]);
    assert!(!listed.out.contains("shop"), "{}", listed.out);
}
