//! How long it takes from a registration entry that is created until a workload has its SVID on a
//! stream that it holds open at an agent, and from one that is removed until the SVID is gone from there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avouch_api::grpc::workload::X509svidResponse;
use avouch_server::Plane;
use tokio::runtime::Runtime;
use tonic::Streaming;

use crate::agent::Agent;
use crate::deployment;
use crate::measure::report_changes;

/// How many entries there are beside those that change.
const BESIDE: usize = 100_000;

/// How many are created and removed.
const CHANGES: usize = 200;

/// Whose the entries beside are: of other nodes, as where there are many, or all of the agent's own.
const WHOSE: [(&str, &str); 2] = [
    ("other", "of other nodes"),
    ("node-1", "all of its own node"),
];

pub(crate) fn run() {
    for (node, whose) in WHOSE {
        let folder = tempfile::tempdir().unwrap();
        let plane = deployment::open(folder.path());
        deployment::write_entries(&plane, 0, BESIDE, node);
        put(&plane, BESIDE);
        let runtime = Runtime::new().unwrap();
        let (address, _stop) = runtime.block_on(deployment::serve(&plane));
        let Some(agent) = Agent::start(&plane, &address, folder.path(), "stream") else {
            return;
        };
        let (mut created, mut removed) = runtime.block_on(changed(&plane, &agent));
        println!(
            "An agent with {BESIDE} entries on its server, {whose}: a change until the workload has seen it on its stream, {CHANGES} times each"
        );
        report_changes(&mut created, &mut removed);
    }
}

async fn changed(plane: &Arc<Plane>, agent: &Agent) -> (Vec<Duration>, Vec<Duration>) {
    let mut stream = agent.follow().await;
    until(&mut stream, 1).await;
    let (mut created, mut removed) = (Vec::new(), Vec::new());
    for number in BESIDE + 1..=BESIDE + CHANGES {
        let (writing, started) = (Arc::clone(plane), Instant::now());
        let change = tokio::task::spawn_blocking(move || put(&writing, number));
        until(&mut stream, 2).await;
        created.push(started.elapsed());
        change.await.unwrap();

        let (writing, started) = (Arc::clone(plane), Instant::now());
        let change = tokio::task::spawn_blocking(move || {
            let name = deployment::own_entry(number, "node-1").id.unwrap();
            let tenant = deployment::tenant(&writing);
            let answers = writing.remove_entries(&tenant, &[name]).unwrap();
            assert!(answers.iter().all(Result::is_ok));
        });
        until(&mut stream, 1).await;
        removed.push(started.elapsed());
        change.await.unwrap();
    }
    (created, removed)
}

fn put(plane: &Plane, number: usize) {
    let tenant = deployment::tenant(plane);
    let draft = deployment::own_entry(number, "node-1");
    let answers = plane.put_entries(&tenant, vec![draft]).unwrap();
    assert!(answers.iter().all(Result::is_ok));
}

/// Reads until there are as many SVIDs.
async fn until(stream: &mut Streaming<X509svidResponse>, svids: usize) {
    while stream.message().await.unwrap().unwrap().svids.len() != svids {}
}
