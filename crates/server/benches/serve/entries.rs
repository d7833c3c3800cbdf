//! Registration entries: written, loaded at the start, pushed to a node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{FollowRequest, Update};
use avouch_server::Plane;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::client::connect;
use crate::deployment::ABOVE;
use crate::exchanger::send;
use crate::measure::{ROUNDS, Round, report, report_changes, round};
use crate::opening::open_elsewhere;
use crate::{deployment, exchange};

/// How many are written in a round.
const PER_ROUND: usize = 50_000;

/// How many are there at the start.
const MANY: usize = 1_000_000;

/// How many are there while changes are pushed.
const PUSHED_BESIDE: usize = 100_000;

/// How many changes are pushed.
const CHANGES: usize = 500;

pub(crate) fn write() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    println!("Entries in batches of 1,000 into SQLite, {ROUNDS} rounds: median (least to most)");
    let rounds = write_on_from(&plane, 0);
    report("entries", PER_ROUND, &rounds, "wanted 20,000/s");
    bound_above(&plane);
    let rounds = write_on_from(&plane, ROUNDS);
    report("entries, below a quota above", PER_ROUND, &rounds, "");
}

fn write_on_from(plane: &Plane, first: usize) -> Vec<Round> {
    let rounds = (first..first + ROUNDS).map(|number| {
        let from = number * PER_ROUND;
        round(|| deployment::write_entries(plane, from, from + PER_ROUND, "other"))
    });
    rounds.collect()
}

/// Bounds how many entries the tenant above and all below it may have, so that each write counts them.
fn bound_above(plane: &Arc<Plane>) {
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(exchange::serve(plane));
    let token = plane.operator_token().unwrap().token;
    let quota = json!({ "entries": MANY }).to_string();
    let path = format!("/v1/tenants/{ABOVE}/quota");
    let status = send(&address, "PUT", &path, &token, &quota);
    assert_eq!(status, 200, "the quota");
}

pub(crate) fn start() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    deployment::write_entries(&plane, 0, MANY, "other");
    drop(plane);
    let opened = open_elsewhere(folder.path(), ROUNDS, 1);
    println!(
        "Start with {MANY} entries in SQLite until they are served, {ROUNDS} times in a new process: median {:.0} ms, most {:.0} ms; wanted 5,000 ms",
        opened.median, opened.most,
    );
    println!(
        "  memory with all of them {} MiB; wanted 500 MB",
        opened.memory
    );
}

pub(crate) fn push() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    deployment::write_entries(&plane, 0, PUSHED_BESIDE, "other");
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(deployment::serve(&plane));
    let identity = deployment::enrol(&plane, "node-1");
    let _in_runtime = runtime.enter();
    let mut client = NodeClient::new(connect(&identity, address));
    let (asked, asking) = tokio::sync::mpsc::channel(1);
    let mut updates = runtime.block_on(async {
        asked.send(FollowRequest::default()).await.unwrap();
        let followed = client.follow(ReceiverStream::new(asking)).await;
        let mut updates = followed.unwrap().into_inner();
        let first = updates.message().await.unwrap().unwrap();
        assert!(first.anew && !first.more);
        assert!(updates.message().await.unwrap().unwrap().current);
        updates
    });
    let tenant = deployment::tenant(&plane);
    let (mut created, mut removed) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let draft = deployment::entry(PUSHED_BESIDE + number, "node-1");
        let name = draft.id.clone().unwrap();
        let writing = Arc::clone(&plane);
        let of_tenant = Arc::clone(&tenant);
        created.push(runtime.block_on(arrives(&mut updates, move || {
            drop(writing.put_entries(&of_tenant, vec![draft]).unwrap());
        })));
        let writing = Arc::clone(&plane);
        let of_tenant = Arc::clone(&tenant);
        removed.push(runtime.block_on(arrives(&mut updates, move || {
            drop(writing.remove_entries(&of_tenant, &[name]).unwrap());
        })));
    }
    println!(
        "A change at {PUSHED_BESIDE} entries until a node has it, with its commit, {CHANGES} times each"
    );
    report_changes(&mut created, &mut removed);
}

async fn arrives(
    updates: &mut Streaming<Update>,
    change: impl FnOnce() + Send + 'static,
) -> Duration {
    let started = Instant::now();
    let changing = tokio::task::spawn_blocking(change);
    let update = updates.message().await.unwrap().unwrap();
    assert!(update.entries.len() + update.removed.len() == 1);
    let arrived = started.elapsed();
    changing.await.unwrap();
    arrived
}
