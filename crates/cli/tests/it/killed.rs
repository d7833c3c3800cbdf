//! A plane that is killed again and again while someone writes to it: what was acknowledged is there
//! afterwards, and so are its keys. `AVOUCH_KILL_ROUNDS` says how often; 5 times unless it does.

#![expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is chosen by time, which is what makes it any moment"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::plane::Plane;

/// How many write at once.
const WRITERS: usize = 3;

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_the_keys_are_the_same() {
    let rounds = std::env::var("AVOUCH_KILL_ROUNDS");
    let rounds = rounds.map_or(5, |rounds| rounds.parse().unwrap());
    let mut plane = Plane::start("killed", &[]);
    let keys = bundles(&plane);
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let killed = AtomicBool::new(false);
        let written = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (plane, killed) = (&plane, &killed);
                    scope.spawn(move || write(plane, &format!("{round}-{writer}"), killed))
                })
                .collect();
            // Another moment in each round, in steps that no period of the program has.
            thread::sleep(Duration::from_millis(60 + round * 37 % 211));
            killed.store(true, Ordering::SeqCst);
            plane.send(Signal::SIGKILL);
            let written = writers.into_iter().map(|writer| writer.join().unwrap());
            written.collect::<Vec<_>>().concat()
        });
        acknowledged.extend(written);
        plane = plane.again(Signal::SIGKILL, &[]);
        let there = entries(&plane);
        let missing: Vec<&String> = acknowledged.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "round {round}: {missing:?} of {}",
            acknowledged.len()
        );
        assert_eq!(bundles(&plane), keys, "round {round}");
    }
    assert!(
        acknowledged.len() >= usize::try_from(rounds).unwrap(),
        "{}",
        acknowledged.len()
    );
    println!(
        "{rounds} kills, {} entries acknowledged, none missing",
        acknowledged.len()
    );
}

/// The authorities of the tenant, by what they sign and how, of those that do.
fn signing(plane: &Plane) -> Vec<String> {
    let list = plane.run(&["authority", "list", "--tenant", "demo", "-o", "json"]);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    let all = list["authorities"].as_array().unwrap().iter();
    let signing = all.filter(|one| one["state"] == "active");
    let mut signing: Vec<String> = signing
        .map(|one| {
            format!(
                "{} {}",
                one["kind"].as_str().unwrap(),
                one["role"].as_str().unwrap()
            )
        })
        .collect();
    signing.sort();
    signing
}

#[test]
fn a_plane_that_is_killed_while_it_replaces_every_key_has_one_of_each_that_signs() {
    let mut plane = Plane::start("killed-replacing", &[]);
    let expected = signing(&plane);
    assert_eq!(expected.len(), 4, "{expected:?}");
    let mut replaced = 0;
    for round in 0..5 {
        thread::scope(|scope| {
            let replacing = scope.spawn(|| {
                let replace = [
                    "authority",
                    "replace",
                    "demo.avouch.test",
                    "--tenant",
                    "demo",
                ];
                let mut done = 0;
                while plane.run(&replace).code == 0 {
                    done += 1;
                }
                done
            });
            thread::sleep(Duration::from_millis(40 + round * 53 % 197));
            plane.send(Signal::SIGKILL);
            replaced += replacing.join().unwrap();
        });
        plane = plane.again(Signal::SIGKILL, &[]);
        assert_eq!(signing(&plane), expected, "round {round}");
        // Its key is there: what it signs is believed.
        let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
        assert_eq!(fetched.code, 0, "round {round}: {}", fetched.err);
        let verified = plane.run(&[
            "verify",
            "svid/svid.pem",
            "--trust",
            "svid/bundle.pem",
            "--spiffe",
            "demo.avouch.test",
        ]);
        assert_eq!(
            verified.code, 0,
            "round {round}: {}{}",
            verified.out, verified.err
        );
    }
    println!("5 kills, {replaced} replacements acknowledged");
}

/// Creates entries one after the other until the plane is gone; the names of those that were
/// acknowledged.
fn write(plane: &Plane, name: &str, killed: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let id = format!("{name}-{number}");
        let spiffe_id = format!("spiffe://demo.avouch.test/{id}");
        let created = plane.run(&[
            "entry",
            "create",
            "--tenant",
            "demo",
            "--id",
            &id,
            "--spiffe-id",
            &spiffe_id,
            "--selector",
            "unix:uid:4000000000",
        ]);
        if created.code == 0 {
            acknowledged.push(id);
        } else {
            assert!(killed.load(Ordering::SeqCst), "{}", created.err);
            break;
        }
    }
    acknowledged
}

fn entries(plane: &Plane) -> BTreeSet<String> {
    let listed = plane.run(&["entry", "list", "--tenant", "demo", "-o", "json"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let entries = listed["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

fn bundles(plane: &Plane) -> Value {
    let fetched = plane.run(&["fetch", "bundle", "-o", "json"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    serde_json::from_str(&fetched.out).unwrap()
}
