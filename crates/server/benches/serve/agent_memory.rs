//! What an agent takes that holds a thousand SVIDs for one workload: the program `avouch-agent`, as
//! `cargo build --release -p avouch-agent` makes it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use avouch_api::grpc::workload::X509svidRequest;
use avouch_api::grpc::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::transport::Endpoint;
use tower::service_fn;

use crate::deployment;
use crate::measure::memory_of;

/// How many SVIDs it holds.
const SVIDS: usize = 1_000;

pub(crate) fn run() {
    let program = program();
    if !program.exists() {
        println!("skipped: agent-memory: {} is not built", program.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let drafts = (0..SVIDS).map(|number| {
        let mut draft = deployment::entry(number, "node-1");
        draft.selectors = vec![format!("unix:uid:{own}")];
        draft
    });
    let tenant = deployment::tenant(&plane);
    let answers = plane.put_entries(&tenant, drafts.collect()).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(deployment::serve(&plane));
    let domain = plane.server_id().trust_domain().clone();
    let bundle = plane.bundle(&plane.root().unwrap(), &domain).unwrap();
    let trust = json!({ "trust_domain": domain.as_str(), "bundle": bundle });
    let trust_file = folder.path().join("server.json");
    std::fs::write(&trust_file, trust.to_string()).unwrap();
    let token = plane.new_join_token(&tenant, "node-1", 600).unwrap();
    let socket = folder.path().join("agent.sock");

    let mut agent = Command::new(&program)
        .args(["--server", &address, "--socket"])
        .arg(&socket)
        .arg("--server-trust")
        .arg(&trust_file)
        .arg("--agent-data")
        .arg(folder.path().join("agent"))
        .env("AVOUCH_JOIN_TOKEN", token.token.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut said = BufReader::new(agent.stdout.take().unwrap());
    said.read_line(&mut greeting).unwrap();
    let before = memory_of(agent.id());
    let started = Instant::now();
    let held = runtime.block_on(fetch(socket));
    let took = started.elapsed();
    runtime.block_on(async { tokio::time::sleep(Duration::from_secs(5)).await });
    let after = memory_of(agent.id());
    drop(agent.kill());
    drop(agent.wait());
    println!(
        "An agent with {held} SVIDs: {after} MiB, {before} MiB before it had any; they were there after {} ms; wanted 25 MB",
        took.as_millis()
    );
}

/// Fetches as a workload until all are there, and keeps listening no longer.
async fn fetch(socket: PathBuf) -> usize {
    let endpoint = Endpoint::from_static("http://agent");
    let connector = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let mut client = SpiffeWorkloadApiClient::new(channel).max_decoding_message_size(1 << 26);
    let mut request = Request::new(X509svidRequest {});
    let security = "true".parse().unwrap();
    request
        .metadata_mut()
        .insert("workload.spiffe.io", security);
    let mut answers = client.fetch_x509svid(request).await.unwrap().into_inner();
    loop {
        let answer = answers.message().await.unwrap().unwrap();
        if answer.svids.len() >= SVIDS {
            return answer.svids.len();
        }
    }
}

/// Beside the folder that this program is in.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|folder| folder.parent()).unwrap();
    profile.join("avouch-agent")
}
