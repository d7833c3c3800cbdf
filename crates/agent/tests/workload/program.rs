//! The program `avouch-agent`, as whoever starts it sees it end.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::Server;

use crate::world::{OWN, PATIENCE, pkcs8_of, spiffe_bundle, svid};

const SERVER: &str = "spiffe://demo.avouch.test/avouch/server";

/// The node API of a server that lets nobody in.
#[derive(Clone)]
struct Refusing;

impl NamedService for Refusing {
    const NAME: &'static str = "avouch.node.v1.Node";
}

impl Service<http::Request<Body>> for Refusing {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        ready(Ok(Status::permission_denied("you are banned").into_http()))
    }
}

/// The address of a server that refuses all nodes, and is who it should be.
async fn refusing() -> String {
    let own = svid(SERVER, None);
    let chain = std::iter::once(own.certificate).chain(own.intermediates);
    let key = PrivatePkcs8KeyDer::from(pkcs8_of(SERVER));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(CertificateDer::from).collect(), key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (accepted, connections) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let (mut here, there) = tokio::io::duplex(64 << 10);
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut stream, &mut here).await },
            );
            drop(accepted.send(Ok::<_, Infallible>(there)).await);
        }
    });
    let router = Server::builder().add_service(Refusing);
    tokio::spawn(router.serve_with_incoming(ReceiverStream::new(connections)));
    address
}

/// The address of a server that speaks HTTP, and no TLS.
async fn plain() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let refused = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
            drop(stream.write_all(refused).await);
        }
    });
    address
}

/// Runs an agent that must not come up.
async fn ended(folder: &Path, server: &str, more: &[&str]) -> Output {
    let trust = json!({"trust_domain": OWN, "bundle": spiffe_bundle(OWN)});
    std::fs::write(folder.join("server.json"), trust.to_string()).unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_avouch-agent"))
        .args(["--server", server, "--server-trust", "server.json"])
        .args(["--agent-data", "data", "--socket", "agent.sock"])
        .args(more)
        .current_dir(folder)
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(PATIENCE, program).await;
    ended.expect("an agent that cannot join ends").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_refused_ends_otherwise_than_one_that_finds_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = refusing().await;
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let plain = plain().await;
    let token = ["--join-token", "a-token"];
    for (server, more, code, words) in [
        (&*refusing, &token[..], 3, "refuses: you are banned"),
        (&*nobody, &token[..], 1, "does not answer"),
        (&*plain, &token[..], 1, "not the server's address for nodes"),
        (&*nobody, &[], 1, "no identity of this node"),
        ("nowhere", &token[..], 2, "not a host and a port"),
        (&*nobody, &["--no-such"], 2, "--no-such"),
    ] {
        let ended = ended(folder.path(), server, more).await;
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(told.contains(words), "{told}");
        assert!(ended.stdout.is_empty());
    }
}
