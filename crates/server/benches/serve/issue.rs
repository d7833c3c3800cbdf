//! SVIDs over mutual TLS, each with its intent on disk before it is signed.

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{IssueJwtRequest, IssueX509Request, KeyForEntry};
use avouch_testkit::key::Key;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::deployment::{self, TENANT};
use crate::measure::{ROUNDS, report, round};

/// How many calls are under way at once.
const AT_ONCE: usize = 8;

/// How many SVIDs a round asks for.
const PER_ROUND: usize = 20_000;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    deployment::write_entries(&plane, 0, 1_000, "node-1");
    let runtime = Runtime::new().unwrap();
    let (client, _stop) = runtime.block_on(deployment::serve(&plane));
    println!(
        "SVIDs over mutual TLS with intents in SQLite, {AT_ONCE} calls at once, {ROUNDS} rounds: median (least to most)"
    );
    println!(
        "  beside it: SPIRE 1.16 signs some 2,400 X.509-SVIDs per processor second (measured before, not here)"
    );
    for (name, batch, limit) in [
        ("X.509-SVIDs, batches of 50", 50, "wanted 10,000 per core"),
        ("X.509-SVIDs, one by one", 1, "wanted 4,000 per core"),
    ] {
        let count = if batch == 1 { PER_ROUND / 4 } else { PER_ROUND };
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| round(|| runtime.block_on(x509(&client, batch, count))))
            .collect();
        report(name, count, &rounds, limit);
    }
    let count = PER_ROUND / 2;
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| round(|| runtime.block_on(jwt(&client, count))))
        .collect();
    report(
        "JWT-SVIDs, one by one",
        count,
        &rounds,
        "wanted 12,000 per core",
    );
}

async fn x509(client: &NodeClient<Channel>, batch: usize, count: usize) {
    let key = Key::p256("workload").public_key_info();
    let mut calls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (mut client, key) = (client.clone(), key.clone());
        calls.spawn(async move {
            for call in 0..count / batch / AT_ONCE {
                let items = (0..batch).map(|number| KeyForEntry {
                    entry: format!("entry-{}", (call * batch + number) % 1_000),
                    public_key: key.clone(),
                    facts: Vec::new(),
                });
                let request = IssueX509Request {
                    tenant: TENANT.to_owned(),
                    items: items.collect(),
                };
                let answers = client
                    .issue_x509(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .answers;
                assert!(answers.iter().all(|answer| answer.certificates.len() == 2));
            }
        });
    }
    calls.join_all().await;
}

async fn jwt(client: &NodeClient<Channel>, count: usize) {
    let mut calls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut client = client.clone();
        calls.spawn(async move {
            for call in 0..count / AT_ONCE {
                let request = IssueJwtRequest {
                    tenant: TENANT.to_owned(),
                    entry: format!("entry-{}", call % 1_000),
                    audiences: vec!["vault".to_owned()],
                    facts: Vec::new(),
                };
                let answer = client.issue_jwt(request).await.unwrap().into_inner();
                assert!(!answer.token.is_empty());
            }
        });
    }
    calls.join_all().await;
}
