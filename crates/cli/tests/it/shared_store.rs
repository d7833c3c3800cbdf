//! Several `avouch up` on one PostgreSQL, each with an agent of its own.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in other processes, and no longer than it may take"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use avouch_testkit::postgresql::Cluster;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::plane::Plane;

/// The nodes of the deployment by name.
fn nodes(plane: &Plane) -> BTreeSet<String> {
    let listed = plane.run(&["node", "list", "--tenant", "root", "-o", "json"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    let listed = listed.json();
    let nodes = listed["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until a process beside the agent of a plane is given an identity.
fn until_given(plane: &Plane, id: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let fetched = plane.run(&["fetch", "x509", "-o", "json"]);
        let told = format!("{}{}", fetched.out, fetched.err);
        if fetched.code == 0 && told.contains(id) {
            return;
        }
        assert!(Instant::now() < end, "{id} is not given: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn register(plane: &Plane, name: &str) -> String {
    let id = format!("spiffe://demo.avouch.test/{name}");
    let selector = format!("unix:uid:{}", nix::unistd::getuid());
    let create = ["entry", "create", "--tenant", "demo", "--spiffe-id", &id];
    let created = plane.run(&[&create[..], &["--selector", &selector]].concat());
    assert_eq!(created.code, 0, "{}", created.err);
    id
}

#[test]
fn each_agent_of_several_planes_on_one_store_is_a_node_and_told_of_what_is_new() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => return println!("skipped: two `up` on one PostgreSQL: {why}"),
    };
    let database = cluster.new_database();
    let more = ["--store", database.as_str()];
    let first = Plane::start("shared-store-first", &more);
    // Its folder has joined as `local` before, and long ago.
    let second = first.up_beside("shared-store-second", &more, |data| {
        let agent = data.join("agent");
        std::fs::create_dir(&agent).unwrap();
        let kept = json!({"spiffe_id": "spiffe://avouch.test/avouch/node/local"});
        let file = agent.join("node.json");
        std::fs::write(&file, Value::to_string(&kept)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
    });
    let named = nodes(&first);
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.contains("local"), "{named:?}");
    let new = register(&first, "new");
    until_given(&first, &new);
    until_given(&second, &new);
    // Started again without what it has joined with, it is the same node.
    std::fs::remove_dir_all(first.folder.path().join("avouch-data/agent")).unwrap();
    let first = first.again(Signal::SIGTERM, &more);
    assert_eq!(nodes(&first), named);
    let newer = register(&second, "newer");
    until_given(&first, &newer);
    until_given(&second, &newer);
}
