//! The SPIFFE Broker API over real sockets, clause by clause.

mod connection;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use avouch_agent::{BrokerEndpoint, Credentials, Kubelet, Limits, OwnSvid, Selector};
use avouch_api::grpc::broker::api_client::ApiClient;
use avouch_api::grpc::broker::{
    FetchJwtsvidRequest, KubernetesObjectKey, KubernetesObjectReference, KubernetesObjectType,
    SubscribeToJwtBundlesRequest, SubscribeToX509BundlesRequest, SubscribeToX509svidRequest,
    SubscribeToX509svidResponse, WorkloadPidReference, WorkloadReference,
};
use avouch_api::grpc::google::rpc::{DetailedStatus, ErrorInfo};
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use hyper_util::rt::TokioIo;
use prost::Message;
use prost_types::{Any, FileDescriptorSet};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::service_fn;

use self::connection::{Stream, config};
use crate::kubelet::{MockKubelet, list, pod};
use crate::outside::go_workload;
use crate::world::{
    DATABASE, FOREIGN, Header, Office, PATIENCE, WEB, World, chain_is_of, entitled, svid, web,
};

const MESH: &str = "spiffe://demo.avouch.test/mesh";
const PODS: &str = "spiffe://demo.avouch.test/pods";
const PROVIDER: &str = "spiffe://demo.avouch.test/avouch/node/one";
const HEADER: (&str, &str) = ("broker.spiffe.io", "true");
const UID: &str = "a1b2c3d4-e5f6-7890-abcd-ef1234567890";

type Client = ApiClient<InterceptedService<Channel, Header>>;

/// Who is who to the endpoint: by the roots of the tests, as long as the test lets it be.
struct Roots {
    forgets: AtomicBool,
}

impl Credentials for Roots {
    fn own(&self) -> Option<OwnSvid> {
        let own = svid(PROVIDER, None);
        let chain = std::iter::once(own.certificate).chain(own.intermediates);
        Some(OwnSvid {
            chain: chain.collect(),
            signing_key: own.private_key.signing_key()?,
        })
    }

    fn identify(&self, chain: &[Vec<u8>]) -> Result<SpiffeId, Box<Reason>> {
        if self.forgets.load(Ordering::SeqCst) {
            return Err(Box::new(Reason::CertificatesMissing {}));
        }
        chain_is_of(chain)
    }
}

/// A broker endpoint of an agent.
struct Brokers {
    world: World,
    socket: PathBuf,
    network: SocketAddr,
    roots: Arc<Roots>,
    _stop: oneshot::Sender<()>,
}

impl Brokers {
    async fn start(kubelet: Option<Arc<Kubelet>>) -> Self {
        Self::start_for(&[format!("{MESH}=pid,pod"), format!("{PODS}=pod")], kubelet).await
    }

    /// With these brokers.
    async fn start_for(rules: &[String], kubelet: Option<Arc<Kubelet>>) -> Self {
        Self::start_within(rules, kubelet, Limits::default()).await
    }

    /// The same, within these limits.
    async fn start_within(rules: &[String], kubelet: Option<Arc<Kubelet>>, limits: Limits) -> Self {
        let world = World::start().await;
        let socket = world.folder.path().join("broker.sock");
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let endpoint = BrokerEndpoint::bind(&socket, rules, limits).unwrap();
        let endpoint = endpoint.with_kubelet(kubelet);
        // A port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let network = free.local_addr().unwrap();
        drop(free);
        let endpoint = endpoint.and_listen(network).await.unwrap();
        let roots = Arc::new(Roots {
            forgets: AtomicBool::new(false),
        });
        let (stop, stopped) = oneshot::channel();
        let identities: Arc<Office> = world.office.clone();
        let credentials: Arc<dyn Credentials> = roots.clone();
        tokio::spawn(endpoint.serve(identities, credentials, async {
            stopped.await.ok();
        }));
        Self {
            world,
            socket,
            network,
            roots,
            _stop: stop,
        }
    }

    /// Over the socket, as the broker of this name, with the header.
    async fn client(&self, broker: &str) -> Client {
        let channel = self.channel(Some(broker), false).await.unwrap();
        ApiClient::with_interceptor(channel, Header(vec![HEADER]))
    }

    /// A connection on the socket over which whoever has this name says nothing.
    async fn silent(&self, who: &str) -> tokio_rustls::client::TlsStream<UnixStream> {
        let connector = TlsConnector::from(Arc::new(config(Some(who))));
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let name = ServerName::try_from("broker").unwrap();
        connector.connect(name, stream).await.unwrap()
    }

    async fn channel(
        &self,
        broker: Option<&str>,
        network: bool,
    ) -> Result<Channel, tonic::transport::Error> {
        let connector = TlsConnector::from(Arc::new(config(broker)));
        let (socket, address) = (self.socket.clone(), self.network);
        let connect = service_fn(move |_| {
            let (connector, socket) = (connector.clone(), socket.clone());
            async move {
                let name = ServerName::try_from("broker").unwrap();
                if network {
                    let stream = TcpStream::connect(address).await?;
                    let stream = connector.connect(name, stream).await?;
                    return Ok::<_, io::Error>(TokioIo::new(Stream::Right(stream)));
                }
                let stream = UnixStream::connect(socket).await?;
                let stream = connector.connect(name, stream).await?;
                Ok(TokioIo::new(Stream::Left(stream)))
            }
        });
        let endpoint = Endpoint::from_static("http://broker");
        endpoint.connect_with_connector(connect).await
    }
}

fn reference(name: &str, message: &impl Message) -> Option<WorkloadReference> {
    Some(WorkloadReference {
        reference: Some(Any {
            type_url: format!("type.googleapis.com/spiffe.broker.{name}"),
            value: message.encode_to_vec(),
        }),
    })
}

fn process(pid: i32) -> SubscribeToX509svidRequest {
    SubscribeToX509svidRequest {
        reference: reference("WorkloadPIDReference", &WorkloadPidReference { pid }),
    }
}

fn object(
    plural: &str,
    group: &str,
    key: Option<(&str, &str)>,
    uid: &str,
) -> SubscribeToX509svidRequest {
    let object = KubernetesObjectReference {
        r#type: Some(KubernetesObjectType {
            plural: plural.to_owned(),
            group: group.to_owned(),
        }),
        key: key.map(|(namespace, name)| KubernetesObjectKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        uid: uid.to_owned(),
    };
    SubscribeToX509svidRequest {
        reference: reference("KubernetesObjectReference", &object),
    }
}

/// A process that sleeps, as this user.
struct Sleeper(Child);

impl Sleeper {
    fn start(user: Option<u32>) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600");
        if let Some(user) = user {
            command.uid(user);
        }
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn next<M>(stream: &mut Streaming<M>) -> Result<M, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    message
        .expect("an answer comes")?
        .ok_or_else(|| Status::ok("the end"))
}

/// The first message for a reference.
async fn first(
    client: &mut Client,
    asked: SubscribeToX509svidRequest,
) -> Result<SubscribeToX509svidResponse, Status> {
    let mut stream = client.subscribe_to_x509svid(asked).await?.into_inner();
    next(&mut stream).await
}

fn names(response: &SubscribeToX509svidResponse) -> Vec<&str> {
    let svids = response.svids.iter();
    svids.map(|svid| svid.spiffe_id.as_str()).collect()
}

/// The code of a failure, and the reason that the standard has for it.
fn told(status: &Status) -> (Code, String) {
    let details = DetailedStatus::decode(status.details()).unwrap_or_default();
    let Some(any) = details.details.first() else {
        return (status.code(), String::new());
    };
    assert_eq!(any.type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    let info = ErrorInfo::decode(any.value.as_slice()).unwrap();
    assert_eq!(info.domain, "spiffe.io");
    (status.code(), info.reason)
}

fn invalid() -> (Code, String) {
    let reason = "WORKLOAD_REFERENCE_INVALID".to_owned();
    (Code::InvalidArgument, reason)
}

#[tokio::test]
async fn k01_k03_k08_k16_k19_k21_a_broker_gets_all_that_a_process_holds_and_follows_it() {
    let brokers = Brokers::start(None).await;
    let workload = Sleeper::start(None);
    let mut client = brokers.client(MESH).await;
    let asked = process(workload.pid());
    let mut stream = client
        .subscribe_to_x509svid(asked.clone())
        .await
        .unwrap()
        .into_inner();
    let held = next(&mut stream).await.unwrap();
    assert_eq!(names(&held), [WEB]);
    let svid_of = &held.svids[0];
    assert!(!svid_of.x509_svid_key.is_empty() && !svid_of.bundle.is_empty());
    assert_eq!(held.crl.len(), 1);
    let foreign: Vec<&String> = held.federated_bundles.keys().collect();
    assert_eq!(foreign, [&format!("spiffe://{FOREIGN}")]);

    let bundles = SubscribeToX509BundlesRequest {
        reference: asked.reference.clone(),
    };
    let bundles = client.subscribe_to_x509_bundles(bundles).await.unwrap();
    let bundles = next(&mut bundles.into_inner()).await.unwrap().bundles;
    assert!(bundles.contains_key("spiffe://demo.avouch.test"));

    let keys = SubscribeToJwtBundlesRequest {
        reference: asked.reference.clone(),
    };
    let keys = client.subscribe_to_jwt_bundles(keys).await.unwrap();
    let keys = next(&mut keys.into_inner()).await.unwrap().bundles;
    let own = String::from_utf8(keys["spiffe://demo.avouch.test"].clone()).unwrap();
    assert!(
        own.contains("jwt-svid") && !own.contains("x509-svid"),
        "{own}"
    );

    // Two identities with one hint: the first keeps it.
    let both = vec![svid(WEB, Some("in")), svid(DATABASE, Some("in"))];
    brokers.world.office.change(Ok(entitled(both)));
    let held = next(&mut stream).await.unwrap();
    assert_eq!(names(&held), [WEB, DATABASE]);
    assert_eq!([&*held.svids[0].hint, &*held.svids[1].hint], ["in", ""]);

    let ask = |audience: &[&str], spiffe_id: &str| FetchJwtsvidRequest {
        reference: asked.reference.clone(),
        audience: audience.iter().map(|one| (*one).to_owned()).collect(),
        spiffe_id: spiffe_id.to_owned(),
    };
    let tokens = client.fetch_jwtsvid(ask(&["db"], "")).await.unwrap();
    assert_eq!(tokens.into_inner().svids.len(), 2);
    let one = client.fetch_jwtsvid(ask(&["db"], DATABASE)).await.unwrap();
    assert_eq!(one.into_inner().svids[0].spiffe_id, DATABASE);
    for audience in [&[][..], &[""][..]] {
        let status = client.fetch_jwtsvid(ask(audience, "")).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let other = "spiffe://demo.avouch.test/other";
    let status = client.fetch_jwtsvid(ask(&["db"], other)).await.unwrap_err();
    assert_eq!(told(&status).1, "WORKLOAD_NOT_ENTITLED");
}

#[tokio::test]
async fn k02_a_request_without_the_header_is_an_invalid_argument() {
    let brokers = Brokers::start(None).await;
    let channel = brokers.channel(Some(MESH), false).await.unwrap();
    for header in [
        vec![],
        vec![("broker.spiffe.io", "True")],
        vec![("workload.spiffe.io", "true")],
        vec![HEADER, HEADER],
    ] {
        let mut client = ApiClient::with_interceptor(channel.clone(), Header(header.clone()));
        let status = first(&mut client, process(1)).await.unwrap_err();
        assert_eq!(
            told(&status),
            (Code::InvalidArgument, String::new()),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn k03_k06_who_shows_no_x509_svid_or_an_unknown_one_does_not_get_in() {
    let brokers = Brokers::start(None).await;
    for who in [None, Some("spiffe://unknown.avouch.test/mesh")] {
        let denied = match brokers.channel(who, false).await {
            Err(_) => true,
            // With TLS 1.3 a client hears of it when it first reads.
            Ok(channel) => {
                let mut client = ApiClient::with_interceptor(channel, Header(vec![HEADER]));
                let status = first(&mut client, process(1)).await.unwrap_err();
                status.code() != Code::InvalidArgument && status.code() != Code::Ok
            }
        };
        assert!(denied, "{who:?}");
    }
}

#[tokio::test]
async fn k05_k06_who_is_no_broker_is_denied_and_who_is_not_believed_any_more_is_unauthenticated() {
    let brokers = Brokers::start(None).await;
    let workload = Sleeper::start(None);
    let asked = process(workload.pid());
    let mut other = brokers.client(WEB).await;
    let status = first(&mut other, asked.clone()).await.unwrap_err();
    assert_eq!(told(&status), (Code::PermissionDenied, String::new()));

    let mut mesh = brokers.client(MESH).await;
    let stream = mesh.subscribe_to_x509svid(asked.clone()).await;
    let mut stream = stream.unwrap().into_inner();
    next(&mut stream).await.unwrap();
    brokers.roots.forgets.store(true, Ordering::SeqCst);
    let status = first(&mut mesh, asked).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    // Nor is it sent any more on a stream that is open.
    brokers
        .world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    let status = next(&mut stream).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn nobody_keeps_the_brokers_of_this_machine_out_by_holding_connections() {
    let brokers = Brokers::start(None).await;
    let workload = Sleeper::start(None);
    let asked = process(workload.pid());
    // Who says nothing over the network, and who is no broker here.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(brokers.network).await.unwrap());
    }
    let mut others = Vec::new();
    for _ in 0..16 {
        let mut other = brokers.client(WEB).await;
        let status = first(&mut other, asked.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        others.push(other);
    }
    let one_more = async {
        let channel = brokers.channel(Some(WEB), false).await.map_err(drop)?;
        let mut client = ApiClient::with_interceptor(channel, Header(vec![HEADER]));
        let status = first(&mut client, asked.clone()).await.err();
        // It is not answered at all.
        status
            .filter(|one| one.code() == Code::PermissionDenied)
            .ok_or(())
    };
    assert!(one_more.await.is_err());
    let mut mesh = brokers.client(MESH).await;
    first(&mut mesh, asked).await.unwrap();
}

#[tokio::test]
async fn who_asks_whether_anyone_is_there_and_takes_no_answer_loses_its_seat_too() {
    let limits = Limits {
        until_known: Duration::from_secs(2),
        ..Limits::default()
    };
    let brokers = Brokers::start_within(&[format!("{MESH}=pid")], None, limits).await;
    let mut flooding = brokers.silent(WEB).await;
    // RFC 9113 3.4, then one PING (6.7) after the other, whose answers nobody reads.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings].concat();
    flooding.write_all(&preface).await.unwrap();
    let pings = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8].repeat(1_000);
    let flood = async {
        loop {
            if let Err(error) = flooding.write_all(&pings).await {
                return error;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, flood).await;
    let error = ended.expect("who takes no answers is not waited for");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
}

/// gRPC of C, C++, Python and Ruby names the path of a socket as the authority, which is none.
#[tokio::test]
async fn k07_who_names_the_path_of_the_socket_as_the_authority_is_answered() {
    let brokers = Brokers::start(None).await;
    let mut stream = brokers.silent(MESH).await;
    let authority = b"run%2Fbroker.sock";
    let mut fields = vec![0x83, 0x87];
    for (name, value) in [
        (&[0x04][..], &b"/none"[..]),
        (&[0x01], authority),
        (&[0x0f, 0x10], b"application/grpc"),
        (b"\x00\x02te", b"trailers"),
    ] {
        fields.extend_from_slice(name);
        fields.push(u8::try_from(value.len()).unwrap());
        fields.extend_from_slice(value);
    }
    let length = u8::try_from(fields.len()).unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    sent.extend([0, 0, length, 1, 5, 0, 0, 0, 1]);
    sent.extend(fields);
    stream.write_all(&sent).await.unwrap();
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        if header[8] == 1 {
            // Header fields, and no RST_STREAM.
            assert_eq!(header[3], 1);
            return;
        }
    }
}

#[tokio::test]
async fn who_connects_and_does_not_call_as_a_broker_loses_its_seat_and_who_has_called_keeps_it() {
    let limits = Limits {
        until_known: Duration::from_secs(2),
        ..Limits::default()
    };
    let rules = [format!("{MESH}=pid")];
    let brokers = Brokers::start_within(&rules, None, limits).await;
    let workload = Sleeper::start(None);
    let asked = process(workload.pid());
    let mut mesh = brokers.client(MESH).await;
    let stream = mesh.subscribe_to_x509svid(asked.clone()).await;
    let mut stream = stream.unwrap().into_inner();
    next(&mut stream).await.unwrap();

    // One that speaks HTTP/2 and is no broker, and others that say nothing, on all seats there are.
    let mut other = brokers.client(WEB).await;
    let status = first(&mut other, asked.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let mut silent = Vec::new();
    for _ in 0..15 {
        silent.push(brokers.silent(MESH).await);
        silent.push(brokers.silent(WEB).await);
    }
    for one in &mut silent {
        let end = tokio::time::timeout(PATIENCE, one.read_to_end(&mut Vec::new())).await;
        drop(end.expect("who says nothing is not waited for"));
    }

    // Its stream goes on, and so do its calls.
    let changed = Ok(entitled(vec![svid(DATABASE, None)]));
    brokers.world.office.change(changed);
    assert_eq!(names(&next(&mut stream).await.unwrap()), [DATABASE]);
    first(&mut mesh, asked.clone()).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..15 {
        let mut one = brokers.client(MESH).await;
        first(&mut one, asked.clone()).await.unwrap();
        others.push(one);
    }
    for _ in 0..16 {
        let mut one = brokers.client(WEB).await;
        let status = first(&mut one, asked.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "the seat is free");
        others.push(one);
    }
}

#[tokio::test]
async fn k05_k11_a_broker_names_workloads_in_the_ways_it_may_and_processes_on_this_machine_alone() {
    let brokers = Brokers::start(None).await;
    let workload = Sleeper::start(None);
    let asked = process(workload.pid());
    let mut pods = brokers.client(PODS).await;
    let status = first(&mut pods, asked.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    let channel = brokers.channel(Some(MESH), true).await.unwrap();
    let mut remote = ApiClient::with_interceptor(channel, Header(vec![HEADER]));
    let status = first(&mut remote, asked.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let mut local = brokers.client(MESH).await;
    assert!(first(&mut local, asked).await.is_ok());
}

#[tokio::test]
async fn k07_the_service_has_the_methods_of_the_standard_and_reflection_tells_of_it_to_brokers() {
    let described = FileDescriptorSet::decode(avouch_api::grpc::BROKER_DESCRIPTORS).unwrap();
    let services = described.file.iter().flat_map(|file| {
        let services = file.service.iter();
        services.map(move |service| (file.package().to_owned(), service))
    });
    let methods: BTreeSet<String> = services
        .flat_map(|(package, service)| {
            let methods = service.method.iter();
            methods.map(move |one| format!("{package}.{}/{}", service.name(), one.name()))
        })
        .collect();
    let expected = [
        "spiffe.broker.API/FetchJWTSVID",
        "spiffe.broker.API/SubscribeToJWTBundles",
        "spiffe.broker.API/SubscribeToX509Bundles",
        "spiffe.broker.API/SubscribeToX509SVID",
    ];
    assert!(
        methods.iter().map(String::as_str).eq(expected),
        "{methods:?}"
    );

    let brokers = Brokers::start(None).await;
    let services = crate::clauses::services(
        brokers.channel(Some(MESH), false).await.unwrap(),
        Header(vec![HEADER]),
    );
    let services = services.await.unwrap();
    assert!(services.contains("spiffe.broker.API"), "{services:?}");
    let channel = brokers.channel(Some(WEB), false).await.unwrap();
    let denied = crate::clauses::services(channel, Header(vec![HEADER])).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn k09_k12_k13_a_reference_that_says_of_no_one_who_it_is_is_an_invalid_argument() {
    let mock = MockKubelet::start(vec![list(&[])]).await;
    let kubelet = Arc::new(Kubelet::new(mock.access()).unwrap());
    let brokers = Brokers::start(Some(kubelet)).await;
    let mut client = brokers.client(MESH).await;
    let of_type = |name: &str| SubscribeToX509svidRequest {
        reference: reference(name, &WorkloadPidReference { pid: 1 }),
    };
    let broken = SubscribeToX509svidRequest {
        reference: Some(WorkloadReference {
            reference: Some(Any {
                type_url: "type.googleapis.com/spiffe.broker.WorkloadPIDReference".to_owned(),
                value: vec![0xff],
            }),
        }),
    };
    for asked in [
        SubscribeToX509svidRequest { reference: None },
        SubscribeToX509svidRequest {
            reference: Some(WorkloadReference { reference: None }),
        },
        of_type("SystemdUnitReference"),
        broken,
        process(0),
        process(-1),
        object("pods", "core", None, ""),
        object("pods", "core", Some(("", "web")), ""),
        object("pods", "core", Some(("shop", "")), ""),
        object("pods", "core", None, "not a UID"),
        object("pods", "", None, UID),
        object("", "core", None, UID),
        object("deployments", "apps", Some(("shop", "web")), ""),
    ] {
        let status = first(&mut client, asked.clone()).await.unwrap_err();
        assert_eq!(told(&status), invalid(), "{asked:?}");
    }
    // Where no kubelet is asked, there are no pods.
    let without = Brokers::start(None).await;
    let mut client = without.client(MESH).await;
    let status = first(&mut client, object("pods", "core", None, UID)).await;
    assert_eq!(told(&status.unwrap_err()), invalid());
}

#[tokio::test]
async fn k10_k15_k17_k20_what_is_not_there_is_not_found_and_a_denial_is_about_one_workload() {
    let brokers = Brokers::start(None).await;
    let mut client = brokers.client(MESH).await;
    let workload = Sleeper::start(None);
    let stream = client.subscribe_to_x509svid(process(workload.pid())).await;
    let mut stream = stream.unwrap().into_inner();
    next(&mut stream).await.unwrap();

    let gone = Sleeper::start(None);
    let pid = gone.pid();
    drop(gone);
    let status = first(&mut client, process(pid)).await.unwrap_err();
    assert_eq!(
        told(&status),
        (Code::NotFound, "WORKLOAD_NOT_FOUND".to_owned())
    );

    let nobody = Sleeper::start(Some(65_534));
    let status = first(&mut client, process(nobody.pid())).await.unwrap_err();
    let denied = (Code::PermissionDenied, "WORKLOAD_NOT_ENTITLED".to_owned());
    assert_eq!(told(&status), denied);
    assert!(!status.message().contains("web"), "{status}");

    // The other is served on.
    brokers
        .world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    assert_eq!(names(&next(&mut stream).await.unwrap()), [DATABASE]);
}

#[tokio::test]
async fn k01_k03_k04_the_broker_client_of_go_spiffe_gets_what_a_process_holds() {
    let program = match go_workload() {
        Ok(program) => program,
        Err(why) => return println!("skipped: go-spiffe as a broker: {why}"),
    };
    // What the tests are to the agent is a broker, too.
    let brokers = Brokers::start_for(&[format!("{WEB}=pid")], None).await;
    let workload = Sleeper::start(None);
    let address = format!("unix://{}", brokers.socket.display());
    let asking = tokio::process::Command::new(program)
        .args(["broker", &address, PROVIDER, &workload.pid().to_string()])
        .env("SPIFFE_ENDPOINT_SOCKET", &brokers.world.address)
        .output();
    let output = tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        said,
        format!("brokered x509 {WEB}\nbrokered jwt {WEB}\n"),
        "{complaint}"
    );
}

#[tokio::test]
async fn k18_nothing_more_is_sent_when_the_process_has_ended() {
    let brokers = Brokers::start(None).await;
    let mut client = brokers.client(MESH).await;
    let workload = Sleeper::start(None);
    let stream = client.subscribe_to_x509svid(process(workload.pid())).await;
    let mut stream = stream.unwrap().into_inner();
    next(&mut stream).await.unwrap();
    drop(workload);
    let status = next(&mut stream).await.unwrap_err();
    assert_eq!(
        told(&status),
        (Code::NotFound, "WORKLOAD_NOT_FOUND".to_owned())
    );
}

#[tokio::test]
async fn k13_k14_k18_a_pod_is_named_by_its_name_by_its_uid_or_by_both_until_it_is_gone() {
    let mock = MockKubelet::start(vec![list(&[pod(UID, None)])]).await;
    let kubelet = Arc::new(Kubelet::new(mock.access()).unwrap());
    let brokers = Brokers::start(Some(kubelet)).await;
    let shop = Selector::parse("k8s:ns:shop").unwrap();
    brokers.world.office.register(shop, Ok(web()));
    let mut client = brokers.client(PODS).await;
    let name = Some(("shop", "web-7c9f-abcde"));
    for asked in [
        object("pods", "core", None, UID),
        object("pods", "core", name, ""),
        object("pods", "core", name, UID),
    ] {
        assert_eq!(names(&first(&mut client, asked).await.unwrap()), [WEB]);
    }
    let other = "00000000-e5f6-7890-abcd-ef1234567890";
    for asked in [
        object("pods", "core", name, other),
        object("pods", "core", Some(("other", "web-7c9f-abcde")), UID),
        object("pods", "core", None, other),
    ] {
        let status = first(&mut client, asked).await.unwrap_err();
        assert_eq!(told(&status).1, "WORKLOAD_NOT_FOUND");
    }
    // Pods are named over the network, too.
    let channel = brokers.channel(Some(PODS), true).await.unwrap();
    let mut remote = ApiClient::with_interceptor(channel, Header(vec![HEADER]));
    let asked = object("pods", "core", name, "");
    let mut stream = remote
        .subscribe_to_x509svid(asked)
        .await
        .unwrap()
        .into_inner();
    next(&mut stream).await.unwrap();
    // Another pod takes the name.
    *mock.answers.lock().unwrap() = vec![list(&[pod(other, None)])];
    let status = next(&mut stream).await.unwrap_err();
    assert_eq!(
        told(&status),
        (Code::NotFound, "WORKLOAD_NOT_FOUND".to_owned())
    );
}
