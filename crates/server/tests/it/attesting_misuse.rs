//! Whoever wants to be attested and does not keep to the order, over a real connection: it learns
//! that much, and takes nobody's place.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use avouch_api::attestation::statement;
use avouch_api::grpc::node::attest_reply::Step as Reply;
use avouch_api::grpc::node::attest_request::Step;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{AttestReply, AttestRequest, Evidence, JoinRequest, X509Possession};
use avouch_core::credential::jose::bundle::Bundle;
use avouch_server::clock::SystemClock;
use avouch_server::node_api;
use avouch_server::tls::{ServerIdentity, SpiffePeer};
use avouch_testkit::key::Key;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::service_fn;

use crate::attesting::{by, machine, machines, put, x509pop};
use crate::world::{World, signing_request};

/// How long nobody has to wait here.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Where whoever calls here calls from, and another who does.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server for nodes, and a way to it.
pub(crate) struct Served {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Served {
    pub(crate) fn new() -> Self {
        let world = World::new();
        put(&world, "x509pop", &x509pop());
        let (stop, stopping) = watch::channel(false);
        let listener = world.runtime().block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = ServerIdentity::new(Arc::clone(&world.plane)).unwrap();
        let plane = Arc::clone(&world.plane);
        world
            .runtime()
            .spawn(node_api::serve(listener, identity, plane, stopping));
        Self {
            world,
            address,
            _stop: stop,
        }
    }

    /// A connection of someone who is nobody yet, to the server under its own name.
    pub(crate) fn connect(&self) -> Channel {
        self.connect_from(HERE)
    }

    fn connect_from(&self, from: Ipv4Addr) -> Channel {
        let bundle = self.world.get("/t/top/bundle/top.test").json();
        let bundle = Bundle::read("top.test", &bundle).unwrap();
        let server = self.world.plane.server_id().clone();
        let peer = SpiffePeer::new(server, bundle, Arc::new(SystemClock));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(peer))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let address = self.address;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let _entered = self.world.runtime().enter();
        endpoint.connect_with_connector_lazy(service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = connect_from(from, address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                let stream = connector.connect(name, stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        }))
    }

    fn call(&self) -> Call<'_> {
        self.call_on(self.connect())
    }

    pub(crate) fn call_from(&self, from: Ipv4Addr) -> Call<'_> {
        self.call_on(self.connect_from(from))
    }

    fn call_on(&self, channel: Channel) -> Call<'_> {
        self.try_call_on(channel).unwrap()
    }

    /// A call, if there is a place for one more.
    pub(crate) fn try_call_on(&self, channel: Channel) -> Result<Call<'_>, Status> {
        let (steps, asked) = mpsc::channel(8);
        let mut client = NodeClient::new(channel);
        let runtime = self.world.runtime();
        let answer = runtime.block_on(client.attest(ReceiverStream::new(asked)));
        Ok(Call {
            served: self,
            steps: Some(steps),
            replies: answer?.into_inner(),
        })
    }

    /// A node that keeps to the order joins, whatever others do elsewhere.
    pub(crate) fn lets_others_in(&self) {
        let mut call = self.call_from(ELSEWHERE);
        let challenge = call.challenge();
        call.send(Step::Evidence(evidence("good", &challenge)));
        let Ok(Some(Reply::Membership(member))) = call.reply() else {
            panic!("a good node does not get in");
        };
        assert!(member.spiffe_id.contains("/avouch/node/x509pop-"));
    }
}

/// A connection from one of the addresses that a machine has for itself.
pub(crate) async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// One call for attestation, step by step.
pub(crate) struct Call<'a> {
    served: &'a Served,
    steps: Option<mpsc::Sender<AttestRequest>>,
    replies: Streaming<AttestReply>,
}

impl Call<'_> {
    pub(crate) fn send(&mut self, step: Step) {
        self.send_raw(AttestRequest { step: Some(step) });
    }

    fn send_raw(&mut self, request: AttestRequest) {
        let steps = self.steps.as_ref().unwrap();
        let sent = self.served.world.runtime().block_on(steps.send(request));
        sent.unwrap();
    }

    /// Says nothing more.
    fn close(&mut self) {
        self.steps = None;
    }

    fn reply(&mut self) -> Result<Option<Reply>, Status> {
        let replies = &mut self.replies;
        let answered = self.served.world.runtime().block_on(async {
            tokio::time::timeout(LONGEST, replies.message())
                .await
                .unwrap()
        });
        Ok(answered?.and_then(|reply| reply.step))
    }

    pub(crate) fn challenge(&mut self) -> Vec<u8> {
        self.send(Step::Intention(by("x509pop")));
        match self.reply() {
            Ok(Some(Reply::Challenge(challenge))) => challenge,
            other => panic!("no challenge: {other:?}"),
        }
    }

    /// What ends the call.
    pub(crate) fn refused(&mut self) -> Code {
        match self.reply() {
            Err(status) => status.code(),
            Ok(other) => panic!("it goes on: {other:?}"),
        }
    }
}

fn evidence(name: &str, challenge: &[u8]) -> Evidence {
    let (chain, key) = machine(&machines(), name);
    let request = signing_request(&Key::p256(name));
    let statement = statement("top.test", &by("x509pop"), challenge, &request);
    Evidence {
        signing_request: request,
        shown: Some(Shown::X509pop(X509Possession {
            certificates: chain,
            scheme: 0x0807,
            signature: key.sign(key.scheme(), &statement),
        })),
    }
}

#[test]
fn whoever_shows_something_before_it_is_asked_or_says_twice_what_it_means_is_told_the_order() {
    let served = Served::new();
    let mut early = served.call();
    early.send(Step::Evidence(evidence("early", &[0; 32])));
    assert_eq!(early.refused(), Code::InvalidArgument);
    let mut empty = served.call();
    empty.send_raw(AttestRequest { step: None });
    assert_eq!(empty.refused(), Code::InvalidArgument);
    let mut twice = served.call();
    twice.challenge();
    twice.send(Step::Intention(by("x509pop")));
    assert_eq!(twice.refused(), Code::InvalidArgument);
    served.lets_others_in();
}

#[test]
fn of_two_answers_to_one_challenge_the_first_counts_and_the_second_is_not_looked_at() {
    let served = Served::new();
    let mut call = served.call();
    let challenge = call.challenge();
    call.send(Step::Evidence(evidence("first", &challenge)));
    call.send(Step::Evidence(evidence("second", &challenge)));
    assert!(matches!(call.reply(), Ok(Some(Reply::Membership(_)))));
    assert!(matches!(call.reply(), Ok(None)), "it answers twice");
    let one = served.world.plane.tenant_named("one").unwrap().unwrap();
    assert_eq!(one.read(|snapshot| snapshot.nodes.len()), 1);
    // Nor does an answer that was refused get a second try.
    let mut wrong = served.call();
    wrong.challenge();
    wrong.send(Step::Evidence(evidence("third", &[1; 32])));
    assert_eq!(wrong.refused(), Code::PermissionDenied);
    served.lets_others_in();
}

#[test]
fn an_answer_to_the_challenge_of_another_call_is_refused() {
    let served = Served::new();
    let (mut one, mut two) = (served.call(), served.call());
    let (first, second) = (one.challenge(), two.challenge());
    assert_ne!(first, second);
    two.send(Step::Evidence(evidence("node", &first)));
    assert_eq!(two.refused(), Code::PermissionDenied);
    one.send(Step::Evidence(evidence("node", &first)));
    assert!(matches!(one.reply(), Ok(Some(Reply::Membership(_)))));
}

#[test]
fn what_is_too_long_is_refused_and_whoever_hangs_up_in_the_middle_holds_nothing() {
    let served = Served::new();
    let mut long = served.call();
    let mut intention = by("x509pop");
    intention.attestor = "a".repeat(2 << 20);
    long.send(Step::Intention(intention));
    assert_eq!(long.refused(), Code::OutOfRange);
    let mut request = served.call();
    let challenge = request.challenge();
    let mut shown = evidence("long", &challenge);
    shown.signing_request = vec![0x30; 100_000];
    request.send(Step::Evidence(shown));
    assert_eq!(request.refused(), Code::PermissionDenied);

    // More of them than there are places.
    let channel = served.connect();
    for round in 0..600 {
        let mut call = served.call_on(channel.clone());
        if round % 2 == 0 {
            call.send(Step::Intention(by("x509pop")));
        } else {
            call.close();
            assert_eq!(call.refused(), Code::InvalidArgument);
        }
    }
    served.lets_others_in();
}

/// The decision that a node is told of when it is refused.
fn decision(status: &Status) -> String {
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    let told = status.message().rsplit(' ').next().unwrap();
    told.to_owned()
}

#[test]
fn a_node_that_is_not_let_in_is_a_decision_of_the_tenant_under_the_id_that_it_was_told() {
    let served = Served::new();
    let world = &served.world;
    let operator = world.operator();
    let kept = |tenant: &str, id: &str| {
        let path = format!("/v1/tenants/{tenant}/decisions/{id}");
        world.send(&operator, "GET", &path, &Value::Null)
    };
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let token = world.plane.new_join_token(&one, "n1", 600).unwrap();
    let join = |token: &str| {
        let request = JoinRequest {
            join_token: token.to_owned(),
            signing_request: signing_request(&Key::p256("n1")),
        };
        let mut client = NodeClient::new(served.connect());
        let answer = world.runtime().block_on(client.join(request));
        answer.map(drop)
    };
    join(&token.token).unwrap();
    let used = decision(&join(&token.token).unwrap_err());
    let mut call = served.call();
    call.challenge();
    call.send(Step::Evidence(evidence("third", &[1; 32])));
    let forged = decision(&call.reply().unwrap_err());
    for (id, code, method) in [
        (&used, "issue.join_token_used", "join_token"),
        (&forged, "issue.attestation_not_proven", "x509pop"),
    ] {
        // It waits, and is stored.
        for _ in 0..2 {
            let answer = kept("one", id);
            assert_eq!(answer.status, 200, "{answer:?}");
            let record = answer.json();
            assert_eq!(record["decision"], **id);
            assert_eq!(record["request"], "join");
            assert_eq!(record["refused"]["code"], code, "{record}");
            assert_eq!(record["verdict"]["verdict"], "reject", "{record}");
            assert_eq!(record["asked"]["method"], method);
            assert!(record["asked"]["address"].is_string(), "{record}");
            let shown = record["credential"].as_object().unwrap();
            let members: Vec<&str> = shown.keys().map(String::as_str).collect();
            assert_eq!(members, ["digest", "kind"], "{record}");
            let secret = token.token.split_once('.').unwrap().1;
            assert!(!record.to_string().contains(secret), "{record}");
            world.plane.store_decisions().unwrap();
        }
        assert_eq!(kept("two", id).status, 404);
    }
    let list = "/v1/tenants/one/decisions?verdict=reject&code=issue.join_token_used";
    let listed = world.send(&operator, "GET", list, &Value::Null).json();
    assert_eq!(listed["decisions"][0]["decision"], *used, "{listed}");
    // Whoever names no tenant that is here has none whose decisions it fills.
    let nobody = decision(&join("nobody.x").unwrap_err());
    assert_eq!(kept("top", &nobody).status, 404);
}
