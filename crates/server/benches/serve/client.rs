//! The other side of the wire, in a process of its own, so that what it takes is not counted as the
//! server's. It does what it reads from its input, one order a line, and answers each with a line. It
//! has one thread: to wake another for each answer would be counted as the server's.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{
    IssueJwtRequest, IssueJwtsRequest, IssueX509Request, KeyForEntry, TokenForEntry,
};
use avouch_testkit::key::Key;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::deployment::TENANT;
use crate::measure::processor;

/// A node, as it can call.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) pkcs8: Vec<u8>,
}

impl Identity {
    pub(crate) fn to_json(&self) -> Value {
        json!({ "chain": self.chain, "key": self.pkcs8 })
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let bytes = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        let chain = value["chain"].as_array().unwrap();
        Self {
            chain: chain.iter().map(bytes).collect(),
            pkcs8: bytes(&value["key"]),
        }
    }
}

/// The client process, seen from the server's.
pub(crate) struct Client {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it as this node.
    pub(crate) fn start(address: &str, identity: &Identity) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--bench", "client"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self {
            child,
            orders,
            answers,
        };
        client.order(&json!({ "address": address, "identity": identity.to_json() }).to_string());
        client
    }

    /// Has it do something, and waits until it has.
    pub(crate) fn order(&mut self, order: &str) -> Value {
        self.begin(order);
        self.await_end()
    }

    pub(crate) fn begin(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    pub(crate) fn await_end(&mut self) -> Value {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("the client ended: {answer}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The client process itself.
pub(crate) fn run() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut orders = std::io::stdin().lines().map(Result::unwrap);
    let first: Value = serde_json::from_str(&orders.next().unwrap()).unwrap();
    let address = first["address"].as_str().unwrap().to_owned();
    let identity = Identity::from_json(&first["identity"]);
    let _in_runtime = runtime.enter();
    let client = NodeClient::new(connect(&identity, address.clone()));
    println!("{{}}");
    let mut fleet = None;
    for order in orders {
        let words: Vec<&str> = order.split(' ').collect();
        let number = |place: usize| words[place].parse().unwrap();
        let busy = processor();
        let answer = match words[0] {
            "x509" => {
                runtime.block_on(x509(&client, number(1), number(2), number(3)));
                Value::Null
            }
            "jwt" => {
                runtime.block_on(jwt(&client, number(1), number(2), number(3)));
                Value::Null
            }
            "rekey" => runtime.block_on(crate::rekey::rekey(&client, number(1), number(2))),
            "fleet" => {
                let (made, answer) =
                    runtime.block_on(crate::agents::Fleet::start(words[1], &address));
                fleet = Some(made);
                answer
            }
            "show" => fleet.as_ref().unwrap().show(words[1]),
            "arrival" => runtime.block_on(fleet.as_mut().unwrap().arrival(number(1))),
            "renewals" => runtime.block_on(fleet.as_ref().unwrap().renewals(number(1), number(2))),
            other => panic!("no order is called {other}"),
        };
        let busy = (processor() - busy).as_secs_f64();
        println!("{}", json!({ "answer": answer, "processor": busy }));
    }
}

async fn x509(client: &NodeClient<Channel>, batch: usize, count: usize, at_once: usize) {
    let key = Key::p256("workload").public_key_info();
    let mut calls = JoinSet::new();
    for _ in 0..at_once {
        let (mut client, key) = (client.clone(), key.clone());
        calls.spawn(async move {
            for call in 0..count / batch / at_once {
                let items = (0..batch).map(|number| KeyForEntry {
                    entry: format!("entry-{}", (call * batch + number) % 1_000),
                    public_key: key.clone(),
                    facts: Vec::new(),
                });
                let request = IssueX509Request {
                    tenant: TENANT.to_owned(),
                    items: items.collect(),
                };
                let answered = client.issue_x509(request).await.unwrap();
                let answers = answered.into_inner().answers;
                assert!(answers.iter().all(|answer| answer.certificates.len() == 2));
            }
        });
    }
    calls.join_all().await;
}

async fn jwt(client: &NodeClient<Channel>, batch: usize, count: usize, at_once: usize) {
    let mut calls = JoinSet::new();
    for _ in 0..at_once {
        let mut client = client.clone();
        calls.spawn(async move {
            for call in 0..count / batch / at_once {
                let item = |number: usize| TokenForEntry {
                    entry: format!("entry-{}", (call * batch + number) % 1_000),
                    audiences: vec!["vault".to_owned()],
                    facts: Vec::new(),
                };
                if batch == 1 {
                    let item = item(0);
                    let request = IssueJwtRequest {
                        tenant: TENANT.to_owned(),
                        entry: item.entry,
                        audiences: item.audiences,
                        facts: item.facts,
                    };
                    let answered = client.issue_jwt(request).await.unwrap();
                    assert!(!answered.into_inner().token.is_empty());
                } else {
                    let request = IssueJwtsRequest {
                        tenant: TENANT.to_owned(),
                        items: (0..batch).map(item).collect(),
                    };
                    let answered = client.issue_jwts(request).await.unwrap();
                    let answers = answered.into_inner().answers;
                    assert!(answers.iter().all(|answer| !answer.token.is_empty()));
                }
            }
        });
    }
    calls.join_all().await;
}

/// A connection of a node.
pub(crate) fn connect(identity: &Identity, address: String) -> Channel {
    let chain = identity.chain.iter().cloned().map(CertificateDer::from);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_auth_cert(
            chain.collect(),
            PrivatePkcs8KeyDer::from(identity.pkcs8.clone()).into(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_with_connector_lazy(service_fn(move |_| {
        let (connector, address) = (connector.clone(), address.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    }))
}

/// Who the server is, is not what is measured here.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
