//! Names that are held to ids by several servers on one database, which are killed, or lose it.

#![expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is chosen by time, which is what makes it any moment"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use avouch_testkit::key::Key;
use avouch_testkit::postgresql::Cluster;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::exchanged::{PUBLIC, exchange, now};
use crate::plane::Plane;

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Has the tenant `demo` trust workflows of one owner, whatever their repositories are called.
fn trusting(plane: &Plane) {
    let issuer = json!({
        "issuer": GITHUB, "jwks": jwks(&[jwk(&Key::p256("github"), "k1")]),
        "rules": [{"name": "ours", "facts": {"github.repository_owner_id": "65"}}],
        "owner": "the platform team",
    });
    let rule = json!({
        "from": {"anchor": "github", "facts": {"github.repository_owner_id": "65"}},
        "gives": {
            "spiffe_id": "spiffe://demo.avouch.test/ci", "audiences": ["https://cloud.test"],
        },
        "bearer": {"reason": "no key at hand", "expires": "2100-01-01T00:00:00Z"},
        "owner": "the platform team", "reason": "deploys",
    });
    plane.folder.file("github.yaml", issuer.to_string());
    plane.folder.file("ci.yaml", rule.to_string());
    for (noun, name, file) in [
        ("anchor", "github", "github.yaml"),
        ("rule", "ci", "ci.yaml"),
    ] {
        let put = plane.run(&[noun, "put", name, "--tenant", "demo", "-f", file]);
        assert_eq!(put.code, 0, "{}", put.err);
    }
}

/// A workflow of a repository.
#[derive(Clone)]
struct Workflow {
    name: String,
    id: u32,
    token: String,
}

/// One of the repository that has this name and this id.
fn workflow(name: &str, id: u32) -> Workflow {
    let now = now();
    let claims = json!({
        "iss": GITHUB, "aud": format!("{PUBLIC}/t/demo"), "jti": format!("{name}-{id}-{}", serial()),
        "sub": format!("repo:octo-org@65/{name}@{id}:environment:prod"),
        "iat": now, "nbf": now - 600, "exp": now + 600,
        "repository": format!("octo-org/{name}"), "repository_id": id.to_string(),
        "repository_owner": "octo-org", "repository_owner_id": "65",
        "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push",
        "environment": "prod", "runner_environment": "github-hosted",
        "job_workflow_ref": format!("octo-org/{name}/.github/workflows/a.yml@refs/heads/main"),
    });
    Workflow {
        name: name.to_owned(),
        id,
        token: TokenForge::saying(claims).sign(&Key::p256("github"), "k1"),
    }
}

/// The id of a repository that nobody has seen yet: one may have only so many names.
fn new_id() -> u32 {
    u32::try_from(1_000 + serial()).unwrap()
}

fn serial() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

/// What came of it: `given`, or the code of the refusal; nothing if there was no answer.
fn told(plane: &Plane, one: &Workflow) -> Option<String> {
    exchange(plane, &one.token)
}

/// The names of repositories that the tenant holds, each with its id.
fn held(plane: &Plane) -> Vec<(String, String)> {
    let drift = plane.run(&["rule", "drift", "--tenant", "demo", "-o", "json"]);
    let drift: Value = serde_json::from_str(&drift.out).unwrap();
    let names = drift["names"].as_array().unwrap().iter();
    let text = |name: &Value, member: &str| name[member].as_str().unwrap().to_owned();
    names
        .filter(|name| name["fact"] == "github.repository")
        .map(|name| (text(name, "name"), text(name, "id")))
        .collect()
}

/// Two with one name, who ask two servers at once.
fn contest(servers: [&Plane; 2], name: &str) -> [(Workflow, Option<String>); 2] {
    let both = [workflow(name, 100), workflow(name, 200)];
    let answers = thread::scope(|scope| {
        let asking = [0, 1].map(|side: usize| {
            let (server, one) = (servers[side], &both[side]);
            scope.spawn(move || told(server, one))
        });
        asking.map(|one| one.join().unwrap())
    });
    let [first, second] = both;
    let [of_first, of_second] = answers;
    [(first, of_first), (second, of_second)]
}

#[test]
fn hostile_38_of_two_servers_one_holds_a_name_and_a_kill_changes_nothing() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            return println!("skipped: names held by two servers on one PostgreSQL: {why}");
        }
    };
    let database = cluster.new_database();
    let more = ["--public-url", PUBLIC, "--store", &database];
    let first = Plane::start("drifted-first", &more);
    trusting(&first);
    let second = first.beside("drifted-second", &more);
    for number in 0..12 {
        let name = format!("contested-{number}");
        let both = contest([&first, &second], &name);
        let given: Vec<&Workflow> = both
            .iter()
            .filter(|(_, told)| told.as_deref() == Some("given"))
            .map(|(one, _)| one)
            .collect();
        let [winner] = given[..] else {
            panic!("{name}: {:?}", both.map(|(_, told)| told));
        };
        let loser = if winner.id == 100 { 200 } else { 100 };
        for server in [&first, &second] {
            let refused = told(server, &workflow(&name, loser));
            assert_eq!(refused.as_deref(), Some("issue.name_resurrected"), "{name}");
            let again = told(server, &workflow(&name, winner.id));
            assert_eq!(again.as_deref(), Some("given"), "{name}");
        }
    }
    // Killed while it holds names: whoever was given something has theirs.
    let killed = AtomicBool::new(false);
    let given: Vec<Workflow> = thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|thread| {
                let (first, killed) = (&first, &killed);
                scope.spawn(move || {
                    let mut given = Vec::new();
                    for number in 0.. {
                        let one = workflow(&format!("killed-{thread}-{number}"), new_id());
                        match told(first, &one) {
                            Some(told) => assert_eq!(told, "given"),
                            None => {
                                assert!(killed.load(Ordering::SeqCst), "no answer without a kill");
                                break;
                            }
                        }
                        given.push(one);
                    }
                    given
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(400));
        killed.store(true, Ordering::SeqCst);
        first.send(Signal::SIGKILL);
        let given = asking.into_iter().map(|one| one.join().unwrap());
        given.collect::<Vec<_>>().concat()
    });
    assert!(!given.is_empty());
    let first = first.again(Signal::SIGKILL, &more);
    for (server, one) in given.iter().flat_map(|one| [(&first, one), (&second, one)]) {
        let other = told(server, &workflow(&one.name, new_id()));
        assert_eq!(
            other.as_deref(),
            Some("issue.name_resurrected"),
            "{}",
            one.name
        );
        assert_eq!(told(server, one).as_deref(), Some("issue.token_used"));
    }
    assert_eq!(held(&first), held(&second));
}

/// Asks until the servers have found their database again.
fn told_at_last(plane: &Plane, one: &Workflow) -> String {
    let begun = Instant::now();
    loop {
        match told(plane, one).as_deref() {
            Some(told @ ("given" | "issue.token_used" | "issue.name_resurrected")) => {
                return told.to_owned();
            }
            other => assert!(begun.elapsed() < Duration::from_secs(60), "{other:?}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Asks both servers at once for the same, under names that two want each, until the database is gone:
/// what was asked for, each with how often something was given for it.
fn asked_until_crashed(
    servers: [&Plane; 2],
    name: &str,
    crashed: &AtomicBool,
) -> Vec<(Workflow, usize)> {
    let mut asked = Vec::new();
    for number in 0.. {
        for id in [new_id(), new_id()] {
            let one = workflow(&format!("{name}-{number}"), id);
            let given = thread::scope(|scope| {
                let both = servers.map(|server| {
                    let one = &one;
                    scope.spawn(move || told(server, one))
                });
                let told = both.map(|one| one.join().unwrap());
                let given = told.iter().flatten().filter(|told| *told == "given");
                given.count()
            });
            asked.push((one, given));
        }
        if crashed.load(Ordering::SeqCst) {
            break;
        }
    }
    asked
}

/// Of each that was asked for, what came of it after all; how many were given.
fn settled(servers: [&Plane; 2], asked: &[(Workflow, usize)]) -> usize {
    let mut given_by_name = BTreeMap::new();
    for (one, before) in asked {
        let after = servers.map(|server| told_at_last(server, one));
        let given = before + after.iter().filter(|told| *told == "given").count();
        assert!(
            given <= 1,
            "{} {} was given {given} times",
            one.name,
            one.id
        );
        if *before == 1 {
            assert_eq!(
                after,
                ["issue.token_used", "issue.token_used"].map(str::to_owned)
            );
        }
        if given == 1 {
            let other = given_by_name.insert(one.name.clone(), one.id);
            assert_eq!(other, None, "{} was given to two", one.name);
        }
    }
    given_by_name.len()
}

#[test]
fn hostile_61_nothing_is_given_twice_when_the_database_of_two_servers_is_killed() {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => {
            return println!(
                "skipped: exchange by two servers on a PostgreSQL that is killed: {why}"
            );
        }
    };
    let database = cluster.new_database();
    let more = ["--public-url", PUBLIC, "--store", &database];
    let first = Plane::start("crashed-first", &more);
    trusting(&first);
    let second = first.beside("crashed-second", &more);
    let servers = [&first, &second];
    let mut all_given = 0;
    for round in 0..3 {
        let crashed = AtomicBool::new(false);
        let asked: Vec<(Workflow, usize)> = thread::scope(|scope| {
            let asking: Vec<_> = (0..3)
                .map(|thread| {
                    let (name, crashed) = (format!("crashed-{round}-{thread}"), &crashed);
                    scope.spawn(move || asked_until_crashed(servers, &name, crashed))
                })
                .collect();
            thread::sleep(Duration::from_millis(500 + round * 37 % 211));
            cluster.crash().unwrap();
            crashed.store(true, Ordering::SeqCst);
            let asked = asking.into_iter().map(|one| one.join().unwrap());
            asked.collect::<Vec<_>>().concat()
        });
        cluster.up().unwrap();
        all_given += settled(servers, &asked);
        // Near miss: what is new is given.
        for (number, server) in servers.into_iter().enumerate() {
            let new = workflow(&format!("after-{round}-{number}"), 100);
            assert_eq!(told_at_last(server, &new), "given");
        }
    }
    assert!(all_given > 0);
    println!("3 crashes of the database, {all_given} exchanged, none twice");
}
