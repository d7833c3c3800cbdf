//! A drill: every key of a trust domain is replaced, and a node that holds thousands of SVIDs has
//! others issued, for new keys.

use std::sync::Arc;
use std::time::Duration;

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{FollowRequest, IssueX509Request, KeyForEntry};
use avouch_core::id::TrustDomain;
use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::client::Client;
use crate::deployment::{self, TENANT};
use crate::measure::{ROUNDS, percentile, round};

/// How many SVIDs are held.
const HELD: usize = 10_000;

/// How many are asked for in one call, and how many calls are under way at once.
const BATCH: usize = 100;
const AT_ONCE: usize = 8;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    deployment::write_entries(&plane, 0, HELD, "node-1");
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(deployment::serve(&plane));
    let identity = deployment::enrol(&plane, "node-1");
    let mut client = Client::start(&address, &identity);
    let tenant = deployment::tenant(&plane);
    let domain = TrustDomain::parse("bench.avouch.test").unwrap();
    let (mut times, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        client.begin(&format!("rekey {HELD} {BATCH}"));
        assert_eq!(client.await_end(), "held", "it holds all of them first");
        let drill = round(|| {
            plane.replace_all(&tenant, &domain, false).unwrap();
            client.await_end();
        });
        times.push(drill.wall);
        busy.push(drill.processor);
    }
    println!(
        "{HELD} SVIDs of one node after all keys of its trust domain were tainted, until the node has the last of the new ones for new keys, {ROUNDS} rounds"
    );
    println!(
        "  median {:.0} ms, most {:.0} ms, of which the server is busy {:.0} ms; wanted 10,000 ms",
        percentile(&mut times, 0.5),
        percentile(&mut times, 1.0),
        percentile(&mut busy, 0.5),
    );
}

/// Holds so many SVIDs, says so, waits until they are to be replaced, and replaces them.
pub(crate) async fn rekey(client: &NodeClient<Channel>, held: usize, batch: usize) -> Value {
    let (asked, asking) = mpsc::channel(4);
    asked.send(FollowRequest::default()).await.unwrap();
    let followed = client.clone().follow(ReceiverStream::new(asking)).await;
    let mut updates = followed.unwrap().into_inner();
    let mut known = Vec::new();
    loop {
        let update = updates.message().await.unwrap().unwrap();
        if update.current {
            break;
        }
        known.extend(update.distrust.map(|all| all.authorities.len()));
    }
    let old = issue(client, held, batch).await;
    println!("{}", json!("held"));
    loop {
        let update = updates.message().await.unwrap().unwrap();
        let distrusted = update.distrust.map(|all| all.authorities.len());
        if distrusted > known.last().copied() {
            break;
        }
    }
    let new = issue(client, held, batch).await;
    assert!(old != new, "another authority has signed");
    Value::Null
}

/// Has SVIDs issued for new keys, and gives the certificate that signed the last of them.
async fn issue(client: &NodeClient<Channel>, count: usize, batch: usize) -> Vec<u8> {
    let mut calls = JoinSet::new();
    let starts: Vec<usize> = (0..count).step_by(batch).collect();
    let starts = Arc::new(std::sync::Mutex::new(starts));
    for _ in 0..AT_ONCE {
        let (mut client, starts) = (client.clone(), Arc::clone(&starts));
        calls.spawn(async move {
            let mut signed_by = Vec::new();
            loop {
                let Some(start) = starts.lock().unwrap().pop() else {
                    return signed_by;
                };
                let items = (start..start + batch).map(|number| KeyForEntry {
                    entry: format!("entry-{number}"),
                    public_key: SoftwareKey::generate(SigningKind::P256)
                        .unwrap()
                        .public_half()
                        .info()
                        .to_vec(),
                    facts: Vec::new(),
                });
                let request = IssueX509Request {
                    tenant: TENANT.to_owned(),
                    items: items.collect(),
                };
                let answered = client.issue_x509(request).await.unwrap();
                let mut answers = answered.into_inner().answers;
                assert!(answers.iter().all(|answer| answer.certificates.len() == 2));
                signed_by = answers.pop().unwrap().certificates.pop().unwrap();
            }
        });
    }
    let all = calls.join_all().await;
    tokio::time::sleep(Duration::ZERO).await;
    all.into_iter().find(|one| !one.is_empty()).unwrap()
}
