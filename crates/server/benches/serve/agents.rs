//! Thousands of agents that follow one server, each over a connection of its own with mutual TLS.
//! They are simulated in another process on the same machine.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{FollowRequest, IssueX509Request, KeyForEntry, Update};
use avouch_core::ended::{Ending, Endings, Mark, Standing};
use avouch_core::id::Digest;
use avouch_core::time::Time;
use avouch_testkit::key::Key;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::client::{Client, Identity, connect};
use crate::deployment::{self, TENANT};
use crate::measure::{memory, percentile, processor, round};
use crate::verifier::Shown;

/// How many agents there are, and how many entries each serves.
const AGENTS: usize = 5_000;
pub(crate) const ENTRIES_EACH: usize = 20;

/// How many of them connect at once when all of them have to.
const AT_ONCE: usize = 64;

/// How many changes for one agent each are made one after another, and how long one waits for the
/// next.
const CHANGES: usize = 2_000;
const PAUSE: Duration = Duration::from_millis(5);

/// How many changes for all of them are made, each when the one before has arrived everywhere.
const CHANGES_FOR_ALL: usize = 40;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    let mut identities = tempfile::NamedTempFile::new().unwrap();
    for number in 0..AGENTS {
        let identity = deployment::enrol(&plane, &format!("node-{number}"));
        writeln!(identities, "{}", identity.to_json()).unwrap();
    }
    let tenant = deployment::tenant(&plane);
    for agents in (0..AGENTS).collect::<Vec<_>>().chunks(50) {
        let drafts = agents.iter().flat_map(|agent| {
            let entries = agent * ENTRIES_EACH..(agent + 1) * ENTRIES_EACH;
            entries.map(move |number| deployment::entry(number, &format!("node-{agent}")))
        });
        let answers = plane.put_entries(&tenant, drafts.collect()).unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
    let before = memory();
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(deployment::serve(&plane));
    let first = deployment::enrol(&plane, "first");
    let mut client = Client::start(&address, &first);

    println!(
        "{AGENTS} agents with {ENTRIES_EACH} entries each follow one server, simulated in a process beside it on the same processors"
    );
    let mut answer = Value::Null;
    let file = identities.path().display().to_string();
    let connecting = round(|| answer = client.order(&format!("fleet {file}")));
    println!(
        "  all connect, {AT_ONCE} at once: {:.1} s, of which the server is busy {:.1} s; from the first byte until one has all it serves: median {} ms, p99 {} ms; wanted p99 1,000 ms",
        connecting.wall.as_secs_f64(),
        connecting.processor.as_secs_f64(),
        answer["answer"]["median"],
        answer["answer"]["p99"],
    );
    println!(
        "  memory of the server: {} MiB, {before} MiB before",
        memory()
    );

    let idle = processor();
    std::thread::sleep(Duration::from_secs(10));
    let idle = (processor() - idle).as_secs_f64();
    println!(
        "  nothing happens for 10 s: the server is busy {:.2} % of a core",
        idle * 10.0
    );

    changes_for_one(&plane, &mut client);
    change_for_all(&plane, &mut client);

    let count = AGENTS * 4;
    let renewing = round(|| drop(client.order(&format!("renewals 4 {AT_ONCE}"))));
    println!(
        "  each renews 4 SVIDs, {AT_ONCE} calls at once: {:.1} s, {:.0}/s; the server is busy {:.1} s",
        renewing.wall.as_secs_f64(),
        count as f64 / renewing.wall.as_secs_f64(),
        renewing.processor.as_secs_f64(),
    );
}

fn changes_for_one(plane: &Arc<avouch_server::Plane>, client: &mut Client) {
    let tenant = deployment::tenant(plane);
    client.begin(&format!("arrival {CHANGES}"));
    let mut changed: BTreeMap<String, f64> = BTreeMap::new();
    let busy = processor();
    let started = Instant::now();
    for number in 0..CHANGES {
        let node = format!("node-{}", number * 7 % AGENTS);
        let draft = deployment::entry(AGENTS * ENTRIES_EACH + number, &node);
        changed.insert(draft.id.clone().unwrap(), now());
        assert!(plane.put_entries(&tenant, vec![draft]).unwrap()[0].is_ok());
        std::thread::sleep(PAUSE);
    }
    let arrived = client.await_end();
    let took = started.elapsed();
    let busy = processor() - busy;
    let mut times: Vec<Duration> = arrived["answer"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one[1].as_f64().unwrap() - changed[one[0].as_str().unwrap()])
        .map(Duration::from_secs_f64)
        .collect();
    println!(
        "  {CHANGES} changes, each for one of them, {:.0}/s, with their commits: median {:.1} ms, p99 {:.1} ms, most {:.1} ms; the server is busy {:.0} % of a core; wanted p99 1,000 ms",
        CHANGES as f64 / took.as_secs_f64(),
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        percentile(&mut times, 1.0),
        100.0 * busy.as_secs_f64() / took.as_secs_f64(),
    );
}

fn change_for_all(plane: &Arc<avouch_server::Plane>, client: &mut Client) {
    let tenant = deployment::tenant(plane);
    let mut times = Vec::new();
    let mut commits = Vec::new();
    let mut rounds = Vec::new();
    let busy = processor();
    for number in 0..CHANGES_FOR_ALL {
        client.begin(&format!("arrival {AGENTS}"));
        let mut draft = deployment::entry(number, "every");
        draft.id = Some(format!("for-all-{number}"));
        draft.parent = None;
        let changed = now();
        assert!(plane.put_entries(&tenant, vec![draft]).unwrap()[0].is_ok());
        commits.push(Duration::from_secs_f64(now() - changed));
        let arrived = client.await_end();
        let arrived = arrived["answer"].as_array().unwrap().iter();
        let arrived =
            arrived.map(|one| Duration::from_secs_f64(one[1].as_f64().unwrap() - changed));
        let mut arrived: Vec<Duration> = arrived.collect();
        rounds.push(percentile(&mut arrived, 1.0).round());
        times.extend(arrived);
    }
    let busy = (processor() - busy).as_secs_f64() / CHANGES_FOR_ALL as f64;
    println!(
        "  one change for all of them, {CHANGES_FOR_ALL} times: median {:.0} ms, p99 {:.0} ms, most {:.0} ms; until it was stored {:.1} ms, most {:.1} ms; the server is busy {busy:.2} s each; wanted p99 1,000 ms",
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        percentile(&mut times, 1.0),
        percentile(&mut commits, 0.5),
        percentile(&mut commits, 1.0),
    );
    println!("  the last of them in each, in ms: {rounds:?}");
}

/// Seconds by a clock that both processes see.
pub(crate) fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The agents, in the process of the client.
pub(crate) struct Fleet {
    nodes: Vec<NodeClient<Channel>>,
    /// What they were shown as verifiers.
    shown: Shown,
    arrivals: mpsc::UnboundedReceiver<(String, f64)>,
}

impl Fleet {
    /// Connects all of them, and waits until each has all it serves.
    pub(crate) async fn start(identities: &str, address: &str) -> (Self, Value) {
        let text = std::fs::read_to_string(identities).unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let shown = Shown::default();
        let limit = Arc::new(Semaphore::new(AT_ONCE));
        let mut agents = JoinSet::new();
        for line in text.lines() {
            let identity = Identity::from_json(&serde_json::from_str(line).unwrap());
            let (limit, arrived) = (Arc::clone(&limit), arrived.clone());
            let shown = shown.clone();
            let address = address.to_owned();
            agents.spawn(async move {
                let _permit = limit.acquire().await.unwrap();
                let started = Instant::now();
                let client = NodeClient::new(connect(&identity, address));
                let (asked, asking) = mpsc::channel(4);
                asked.send(FollowRequest::default()).await.unwrap();
                let followed = client.clone().follow(ReceiverStream::new(asking)).await;
                let mut updates = followed.unwrap().into_inner();
                let mut entries = 0;
                loop {
                    let update = updates.message().await.unwrap().unwrap();
                    entries += update.entries.len();
                    if update.current {
                        break;
                    }
                    acknowledge(&asked, &update).await;
                }
                assert_eq!(entries, ENTRIES_EACH, "each has what it serves");
                let took = started.elapsed();
                tokio::spawn(read(updates, asked, arrived, shown));
                (client, took)
            });
        }
        let (nodes, mut times): (Vec<_>, Vec<_>) = agents.join_all().await.into_iter().unzip();
        let answer = json!({
            "median": percentile(&mut times, 0.5).round(),
            "p99": percentile(&mut times, 0.99).round(),
        });
        let fleet = Self {
            nodes,
            shown,
            arrivals,
        };
        (fleet, answer)
    }

    /// Shows a credential to all of them, as a file tells it.
    pub(crate) fn show(&self, file: &str) -> Value {
        let text = std::fs::read_to_string(file).unwrap();
        self.shown.show(&serde_json::from_str(&text).unwrap());
        Value::Null
    }

    /// The next so many entries that arrive anywhere, each with when it did.
    pub(crate) async fn arrival(&mut self, count: usize) -> Value {
        let mut arrived = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, at) = self.arrivals.recv().await.unwrap();
            arrived.push(json!([name, at]));
        }
        Value::from(arrived)
    }

    /// Each of them has so many SVIDs issued.
    pub(crate) async fn renewals(&self, each: usize, at_once: usize) -> Value {
        let key = Key::p256("workload").public_key_info();
        let limit = Arc::new(Semaphore::new(at_once));
        let mut calls = JoinSet::new();
        for (number, client) in self.nodes.iter().enumerate() {
            let (mut client, key, limit) = (client.clone(), key.clone(), Arc::clone(&limit));
            calls.spawn(async move {
                let _permit = limit.acquire().await.unwrap();
                let items = (0..each).map(|place| KeyForEntry {
                    entry: format!("entry-{}", number * ENTRIES_EACH + place),
                    public_key: key.clone(),
                    facts: Vec::new(),
                });
                let request = IssueX509Request {
                    tenant: TENANT.to_owned(),
                    items: items.collect(),
                };
                // The order in which they joined is not that in which they are numbered.
                drop(client.issue_x509(request).await.unwrap());
            });
        }
        calls.join_all().await;
        Value::Null
    }
}

/// Notes what arrives for as long as there is a server.
async fn read(
    mut updates: Streaming<Update>,
    asked: mpsc::Sender<FollowRequest>,
    arrived: mpsc::UnboundedSender<(String, f64)>,
    shown: Shown,
) {
    let mut endings = Endings::default();
    while let Ok(Some(update)) = updates.message().await {
        for told in &update.ended {
            let digest: [u8; 32] = told.mark.as_slice().try_into().unwrap();
            let mark = Mark::from_digest(Digest::from_bytes(digest));
            let before = Time::from_unix(told.before);
            let ending = Ending::standing(
                before,
                Standing::UNSAID,
                told.event.clone(),
                told.by.clone(),
            );
            endings.put(mark, ending);
            shown.assert_refused(&endings);
            drop(arrived.send((mark.digest().to_string(), now())));
        }
        let at = now();
        for entry in &update.entries {
            drop(arrived.send((entry.id.clone(), at)));
        }
        acknowledge(&asked, &update).await;
    }
}

async fn acknowledge(asked: &mpsc::Sender<FollowRequest>, update: &Update) {
    if !update.more {
        let held = [(update.tenant.clone(), update.sequence)].into();
        drop(asked.send(FollowRequest { held }).await);
    }
}
