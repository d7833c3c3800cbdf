//! What a server has decided, explained to whoever administers the tenant: by the id that whoever was
//! refused can quote.

use avouch_testkit::postgresql::Cluster;
use nix::sys::signal::Signal;

use crate::exchanged::{PUBLIC, token_of, trusting};
use crate::plane::Plane;

/// The id that whoever was refused is told, and nothing of why.
fn refused(plane: &Plane) -> String {
    plane.folder.file("dev.jwt", token_of("dev-1", "dev"));
    let exchange = ["token", "exchange", "--tenant", "demo"];
    let ran = plane.run(&[&exchange[..], &["--subject-token", "dev.jwt"]].concat());
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("`avouch explain`"), "{ran:?}");
    assert!(!ran.err.contains("environment"), "{ran:?}");
    let id = ran
        .err
        .lines()
        .find_map(|line| line.trim().strip_prefix("decision: "));
    id.unwrap().to_owned()
}

fn explained(plane: &Plane, id: &str) -> String {
    let ran = plane.run(&["explain", id, "--tenant", "demo"]);
    assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{ran:?}");
    ran.out
}

#[test]
fn a_refused_exchange_is_explained_by_its_id_and_after_a_restart_too() {
    let more = ["--public-url", PUBLIC];
    let mut plane = Plane::start("decided", &more);
    trusting(&plane);
    let id = refused(&plane);
    let told = explained(&plane, &id);
    for said in [
        "rejected[issue.exchange_not_admitted]",
        "signed by https://ci.example.com",
        "what was asked for ✗ issue.exchange_not_admitted",
        "claims.environment",
        &id,
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let json = plane.run(&["explain", &id, "--tenant", "demo", "-o", "json"]);
    assert_eq!(
        (json.code, &json.json()["decision"]),
        (3, &id.as_str().into())
    );
    assert_eq!(json.json()["verdict"], "reject");
    let record = plane.run(&["decision", "show", &id, "--tenant", "demo", "-o", "json"]);
    assert_eq!(record.json()["credential"]["claims"]["environment"], "dev");
    let signature = token_of("dev-1", "dev");
    let (_, signature) = signature.rsplit_once('.').unwrap();
    assert!(!record.out.contains(signature));

    // As soon as it is answered it is on its way, and a server that is told to end stores it first.
    plane = plane.again(Signal::SIGTERM, &more);
    assert_eq!(explained(&plane, &id), told);
    let listed = plane.run(&[
        "decision",
        "list",
        "--tenant",
        "demo",
        "--verdict",
        "reject",
    ]);
    assert!(listed.out.contains(&id), "{listed:?}");
    let none = "01a20260-162c-70d5-8221-32d10c913395";
    let ran = plane.run(&["explain", none, "--tenant", "demo"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("for 7 days"), "{ran:?}");
}

#[test]
fn the_flow_of_what_was_given_is_drawn_from_its_record() {
    let plane = Plane::start("decided-flow", &["--public-url", PUBLIC]);
    trusting(&plane);
    let given = crate::exchanged::exchange(&plane, &token_of("prod-1", "prod"));
    assert_eq!(given.as_deref(), Some("given"));
    let list = [
        "decision",
        "list",
        "--tenant",
        "demo",
        "--verdict",
        "accept",
    ];
    let listed = plane.run(&[&list[..], &["-o", "json"]].concat()).json();
    let id = listed["decisions"][0]["decision"].as_str().unwrap();
    let explain = ["explain", id, "--tenant", "demo"];
    let ran = plane.run(&explain);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in ["accepted", "spiffe://demo.avouch.test/job", "job"] {
        assert!(ran.out.contains(said), "{said}: {ran:?}");
    }
    let flow = plane.run(&[&explain[..], &["--flow", "text"]].concat());
    assert_eq!(flow.code, 0, "{flow:?}");
    assert_eq!(flow.out.lines().count(), 11, "{flow:?}");
    assert!(
        flow.out
            .contains("identity provider  https://ci.example.com"),
        "{flow:?}"
    );
    let svg = plane.run(&[&explain[..], &["--flow", "svg"]].concat());
    assert_eq!(svg.out.matches("<g class=\"node\">").count(), 5);
}

#[test]
fn what_one_server_refused_another_on_the_same_database_explains() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: decisions of two servers on one PostgreSQL: {why}");
            return;
        }
    };
    let database = cluster.new_database();
    let more = ["--public-url", PUBLIC, "--store", &database];
    let mut first = Plane::start("decided-first", &more);
    trusting(&first);
    let second = first.beside("decided-second", &more);
    let id = refused(&first);
    let told = explained(&first, &id);
    first.signal(Signal::SIGTERM);
    let credential = first.folder.path().join("avouch-data/operator.jwt");
    let copied = second.folder.path().join("avouch-data/operator.jwt");
    std::fs::copy(credential, copied).unwrap();
    assert_eq!(explained(&second, &id), told);
}
