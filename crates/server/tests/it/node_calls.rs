//! What a node may call over its connection: nothing of another tenant, which answers as one that
//! there is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{
    FollowRequest, IssueJwtRequest, IssueJwtsRequest, IssueWitRequest, IssueX509Request,
    KeyForEntry, TokenForEntry, Update,
};
use avouch_core::credential::jose::bundle::Bundle;
use avouch_server::clock::SystemClock;
use avouch_server::node_api;
use avouch_server::tls::{ServerIdentity, SpiffePeer};
use avouch_testkit::key::Key;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls::{Caller, Identity};
use crate::world::{World, signing_request};

/// A node that has joined the tenant `one`, and the way to the server.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    connector: TlsConnector,
}

impl Way {
    /// The same by way of someone in between; and what ends once the server has closed the connection.
    pub(crate) fn watched(&self, world: &World) -> (Self, JoinHandle<()>) {
        let _in_runtime = world.runtime().enter();
        let listener = world.runtime().block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), self.address);
        let closed = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(server).await.unwrap();
            // However it ends, it has.
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        });
        let connector = self.connector.clone();
        (Self { address, connector }, closed)
    }

    /// Another connection of it.
    pub(crate) fn connect(&self) -> NodeClient<Channel> {
        let (address, connector) = (self.address, self.connector.clone());
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        NodeClient::new(endpoint.connect_with_connector_lazy(service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                let stream = connector.connect(name, stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        })))
    }
}

/// A connection of a node that has joined the tenant `one`.
fn connected(world: &World, stopping: watch::Receiver<bool>) -> NodeClient<Channel> {
    let way = way(world, stopping);
    let _in_runtime = world.runtime().enter();
    way.connect()
}

pub(crate) fn way(world: &World, stopping: watch::Receiver<bool>) -> Way {
    let shown = ServerIdentity::new(Arc::clone(&world.plane)).unwrap();
    let _in_runtime = world.runtime().enter();
    let listener = world.runtime().block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    let plane = Arc::clone(&world.plane);
    tokio::spawn(node_api::serve(listener, shown, plane, stopping));
    way_of(world, "n1", address)
}

/// The way of another node of the tenant `one` to the same server.
pub(crate) fn way_of(world: &World, name: &str, address: SocketAddr) -> Way {
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let token = world.plane.new_join_token(&one, name, 600).unwrap();
    let key = Key::ed25519(name);
    let joined = world.plane.join(&token.token, &signing_request(&key));
    let identity = Identity {
        chain: joined.unwrap().certificates,
        key,
    };
    let document = world.get("/t/top/bundle").json();
    let bundle = Bundle::read("top.test", &document).unwrap();
    let server = world.plane.server_id().clone();
    let server = SpiffePeer::new(server, bundle, Arc::new(SystemClock));
    let mut config = Caller::verifying(Arc::new(server))
        .showing(identity)
        .with_version(&rustls::version::TLS13)
        .config();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Way {
        address,
        connector: TlsConnector::from(Arc::new(config)),
    }
}

fn keys() -> Vec<KeyForEntry> {
    vec![KeyForEntry {
        entry: "web".to_owned(),
        public_key: Key::p256("web").public_key_info(),
        facts: Vec::new(),
    }]
}

/// A refused call, as the caller sees it.
fn told(status: &Status) -> String {
    format!(
        "{:?} {} {:?}",
        status.code(),
        status.message(),
        status.details()
    )
}

#[test]
fn the_node_of_a_tenant_cannot_tell_another_tenant_from_none() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    world.token("spiffe://two.test/web");
    let (_stop, stopping) = watch::channel(false);
    let client = connected(&world, stopping);
    let calls = |tenant: &str| {
        let (mut client, tenant) = (client.clone(), tenant.to_owned());
        world.runtime().block_on(async move {
            let tenant = || tenant.clone();
            let items = keys();
            let x509 = client.issue_x509(IssueX509Request {
                tenant: tenant(),
                items,
            });
            let x509 = x509
                .await
                .map(|told| told.into_inner().answers[0].refusal.clone());
            let items = keys();
            let wit = client.issue_wit(IssueWitRequest {
                tenant: tenant(),
                items,
            });
            let wit = wit
                .await
                .map(|told| told.into_inner().answers[0].refusal.clone());
            let items = vec![TokenForEntry {
                entry: "web".to_owned(),
                audiences: vec!["vault".to_owned()],
                facts: Vec::new(),
            }];
            let jwts = client.issue_jwts(IssueJwtsRequest {
                tenant: tenant(),
                items,
            });
            let jwts = jwts
                .await
                .map(|told| told.into_inner().answers[0].refusal.clone());
            let jwt = client.issue_jwt(IssueJwtRequest {
                tenant: tenant(),
                entry: "web".to_owned(),
                audiences: vec!["vault".to_owned()],
                facts: Vec::new(),
            });
            let jwt = jwt.await.map(|told| told.into_inner().refusal);
            [x509, wit, jwts, jwt].map(|one| match one {
                Ok(refusal) => format!("{refusal:?}"),
                Err(status) => told(&status),
            })
        })
    };
    assert_eq!(calls("one"), ["None"; 4], "its own");
    let (other, none, above) = (calls("two"), calls("zzz"), calls("top"));
    for (number, refused) in other.iter().enumerate() {
        assert!(refused.contains("issue.object_unknown"), "{refused}");
        assert_eq!(refused.replace("two", "zzz"), none[number]);
        assert_eq!(above[number].replace("top", "zzz"), none[number]);
    }
}

#[test]
fn a_node_that_says_what_it_holds_of_another_tenant_is_told_nothing_of_it() {
    let world = World::new();
    world.token("spiffe://two.test/web");
    let (_stop, stopping) = watch::channel(false);
    let client = connected(&world, stopping);
    let number = |name: &str| {
        let tenant = world.plane.tenant_named(name).unwrap().unwrap();
        tenant.read(|snapshot| snapshot.sequence.number())
    };
    let two = number("two");
    let follow = |held: &[(&str, u64)]| -> Vec<Update> {
        let held = held
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number));
        let request = FollowRequest {
            held: held.collect(),
        };
        let mut client = client.clone();
        world.runtime().block_on(async move {
            // The stream of requests stays open for as long as the answers are read.
            let asked = tokio_stream::once(request).chain(tokio_stream::pending());
            let mut answers = client.follow(asked).await.unwrap().into_inner();
            let mut told = Vec::new();
            let patience = Duration::from_secs(10);
            while let Ok(Some(Ok(update))) = timeout(patience, answers.next()).await {
                let is_all = update.current;
                told.push(update);
                if is_all {
                    break;
                }
            }
            told
        })
    };
    let plain = follow(&[]);
    assert!(
        plain.iter().any(|update| update.tenant == "one"),
        "{plain:?}"
    );
    assert!(plain.last().is_some_and(|last| last.current), "{plain:?}");
    for claim in [("two", two), ("two", two - 1), ("top", 1), ("zzz", 7)] {
        let told = follow(&[claim]);
        // What it may not serve is gone for it, whether it is there or not.
        let gone = Update {
            tenant: claim.0.to_owned(),
            gone: true,
            ..Update::default()
        };
        let (first, rest) = told.split_first().unwrap();
        assert_eq!((first, rest), (&gone, plain.as_slice()), "{claim:?}");
    }
}

#[test]
fn a_node_that_has_ended_is_told_so_on_the_connection_that_it_has() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    let (_stop, stopping) = watch::channel(false);
    let client = connected(&world, stopping);
    let issue = || {
        let mut client = client.clone();
        world.runtime().block_on(async move {
            let tenant = "one".to_owned();
            let items = keys();
            client.issue_x509(IssueX509Request { tenant, items }).await
        })
    };
    let issued = issue().unwrap().into_inner();
    assert_eq!(issued.answers[0].refusal, None);
    let ending = json!({
        "issuer": "spiffe://one.test", "subject": "spiffe://one.test/avouch/node/n1",
        "reason": "it was stolen",
    });
    let ended = world.send(&world.operator(), "POST", "/v1/tenants/one/ended", &ending);
    assert_eq!(ended.status, 200, "{}", ended.body);
    let refused = issue().unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(
        refused.message().contains("revocation.subject_ended"),
        "{refused:?}"
    );
}
