//! What an agent takes that holds a thousand SVIDs for one workload.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::agent::Agent;
use crate::deployment;
use crate::measure::memory_of;

/// How many SVIDs it holds.
const SVIDS: usize = 1_000;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    let drafts = (0..SVIDS).map(|number| deployment::own_entry(number, "node-1"));
    let tenant = deployment::tenant(&plane);
    let answers = plane.put_entries(&tenant, drafts.collect()).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(deployment::serve(&plane));
    let Some(agent) = Agent::start(&plane, &address, folder.path(), "agent-memory") else {
        return;
    };
    let before = memory_of(agent.id());
    let started = Instant::now();
    let held = runtime.block_on(fetch(&agent));
    let took = started.elapsed();
    runtime.block_on(async { tokio::time::sleep(Duration::from_secs(5)).await });
    let after = memory_of(agent.id());
    println!(
        "An agent with {held} SVIDs: {after} MiB, {before} MiB before it had any; they were there after {} ms; wanted 25 MB",
        took.as_millis()
    );
}

/// Fetches as a workload until all are there, and keeps listening no longer.
async fn fetch(agent: &Agent) -> usize {
    let mut answers = agent.follow().await;
    loop {
        let answer = answers.message().await.unwrap().unwrap();
        if answer.svids.len() >= SVIDS {
            return answer.svids.len();
        }
    }
}
