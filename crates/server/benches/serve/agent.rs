//! The program `avouch-agent`, as `cargo build --release -p avouch-agent` makes it, and a workload that
//! follows its own SVIDs there.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use avouch_api::grpc::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use avouch_api::grpc::workload::{X509svidRequest, X509svidResponse};
use avouch_server::Plane;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};
use tower::service_fn;

use crate::deployment;

/// One agent, which ends with this value.
pub(crate) struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    /// Starts the agent of the node `node-1` with all it keeps in `folder`, and waits until it serves.
    /// `None` where the program is not built, which is told as `skipped: what`.
    pub(crate) fn start(plane: &Plane, server: &str, folder: &Path, what: &str) -> Option<Self> {
        let program = program();
        if !program.exists() {
            println!("skipped: {what}: {} is not built", program.display());
            return None;
        }
        let domain = plane.server_id().trust_domain().clone();
        let bundle = plane.bundle(&plane.root().unwrap(), &domain).unwrap();
        let trust = json!({ "trust_domain": domain.as_str(), "bundle": bundle });
        let trust_file = folder.join("server.json");
        std::fs::write(&trust_file, trust.to_string()).unwrap();
        let tenant = deployment::tenant(plane);
        let token = plane.new_join_token(&tenant, "node-1", 600).unwrap();
        let socket = folder.join("agent.sock");
        let mut process = Command::new(&program)
            .args(["--server", server, "--socket"])
            .arg(&socket)
            .arg("--server-trust")
            .arg(&trust_file)
            .arg("--agent-data")
            .arg(folder.join("agent"))
            .env("AVOUCH_JOIN_TOKEN", token.token.as_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut greeting).unwrap();
        Some(Self { process, socket })
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The X.509-SVIDs of this process as the agent gives them, from now on.
    pub(crate) async fn follow(&self) -> Streaming<X509svidResponse> {
        let endpoint = Endpoint::from_static("http://agent");
        let socket = self.socket.clone();
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
        client.fetch_x509svid(request).await.unwrap().into_inner()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Beside the folder that this program is in.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|folder| folder.parent()).unwrap();
    profile.join("avouch-agent")
}
