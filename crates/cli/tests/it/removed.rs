//! Tenants that are removed on two servers of one PostgreSQL, one of which is killed meanwhile.

#![expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is chosen by time, which is what makes it any moment"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
