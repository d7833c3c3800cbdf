//! The Delegated Identity API, as a client made from its protocol files sees it, and as the
//! `spire-api` crate does, which other people wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use avouch_agent::{AdminEndpoint, Identities, Limits, NotIssued, Selector};
use avouch_api::grpc::spire::api::agent::delegatedidentity::v1::delegated_identity_client::DelegatedIdentityClient;
use avouch_api::grpc::spire::api::agent::delegatedidentity::v1::{
    FetchJwtsviDsRequest, SubscribeToJwtBundlesRequest, SubscribeToX509BundlesRequest,
    SubscribeToX509sviDsRequest, SubscribeToX509sviDsResponse,
};
use avouch_api::grpc::spire::api::types;
use avouch_core::credential::x509::Certificate;
use spire_api::selectors::Selector as GenericSelector;
use spire_api::{DelegateAttestationRequest, DelegatedIdentityClient as OutsideClient};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::world::{
    DATABASE, FOREIGN, OWN, Office, PATIENCE, WEB, World, channel, entitled,
    entitled_without_foreign_roots, eventually, id, root, svid, svid_with_key, web,
};

const PROXY: &str = "spiffe://demo.avouch.test/proxy";
/// A group that no test runs as, and the workload that is of it.
const GROUP: u32 = 4711;

type Client = DelegatedIdentityClient<Channel>;

/// An agent with a socket for delegates beside that for workloads.
struct Node {
    world: World,
    address: String,
}

impl Node {
    /// The tests themselves are [`PROXY`], who is a delegate; [`GROUP`] is [`WEB`].
    async fn start() -> Self {
        Self::start_with(&[PROXY]).await
    }

    async fn start_with(delegates: &[&str]) -> Self {
        let world = World::start_with(Ok(entitled(vec![svid(PROXY, None)]))).await;
        world.office.register(Selector::UnixGid(GROUP), Ok(web()));
        let socket = world.folder.path().join("admin/admin.sock");
        let delegates = delegates.iter().map(|delegate| id(delegate));
        let endpoint = AdminEndpoint::bind(&socket, delegates, Limits::default()).unwrap();
        let address = endpoint.address();
        assert_eq!(address, format!("unix://{}", socket.display()));
        let permissions = fs::metadata(&socket).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o770);
        let office: Arc<Office> = Arc::clone(&world.office);
        let identities: Arc<dyn Identities> = office;
        tokio::spawn(endpoint.serve(identities, std::future::pending()));
        Self { world, address }
    }

    async fn client(&self) -> Client {
        DelegatedIdentityClient::new(channel(&self.address).await)
    }

    /// The workload of [`GROUP`] now holds something else.
    fn change(&self, entitlement: avouch_agent::Entitlement) {
        let office = &self.world.office;
        office.register(Selector::UnixGid(GROUP), entitlement);
    }
}

fn group(number: u32) -> types::Selector {
    types::Selector {
        r#type: "unix".to_owned(),
        value: format!("gid:{number}"),
    }
}

fn of_group(number: u32) -> SubscribeToX509sviDsRequest {
    SubscribeToX509sviDsRequest {
        selectors: vec![group(number)],
        pid: 0,
    }
}

fn of_process(process: u32) -> SubscribeToX509sviDsRequest {
    SubscribeToX509sviDsRequest {
        selectors: Vec::new(),
        pid: i32::try_from(process).unwrap(),
    }
}

fn tokens(audience: &[&str], selectors: Vec<types::Selector>, pid: i32) -> FetchJwtsviDsRequest {
    FetchJwtsviDsRequest {
        audience: audience
            .iter()
            .map(|audience| (*audience).to_owned())
            .collect(),
        selectors,
        pid,
    }
}

async fn next<M>(stream: &mut Streaming<M>) -> Result<M, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message());
    let message = message
        .await
        .expect("a stream does not keep anyone waiting");
    message.map(|message| message.expect("the stream goes on"))
}

fn names(response: &SubscribeToX509sviDsResponse) -> Vec<String> {
    let svids = response.x509_svids.iter();
    let ids = svids.map(|svid| svid.x509_svid.as_ref().unwrap().id.as_ref().unwrap());
    ids.map(|id| format!("spiffe://{}{}", id.trust_domain, id.path))
        .collect()
}

/// The status of each method, by its name.
async fn every_method(client: &mut Client) -> BTreeMap<&'static str, Result<(), Status>> {
    async fn first<M>(stream: Result<tonic::Response<Streaming<M>>, Status>) -> Result<(), Status> {
        next(&mut stream?.into_inner()).await.map(drop)
    }
    let svids = client.subscribe_to_x509svi_ds(of_group(GROUP)).await;
    let bundles = client
        .subscribe_to_x509_bundles(SubscribeToX509BundlesRequest {})
        .await;
    let keys = client
        .subscribe_to_jwt_bundles(SubscribeToJwtBundlesRequest {})
        .await;
    let made = client
        .fetch_jwtsvi_ds(tokens(&["db"], vec![group(GROUP)], 0))
        .await;
    BTreeMap::from([
        ("SubscribeToX509SVIDs", first(svids).await),
        ("SubscribeToX509Bundles", first(bundles).await),
        ("SubscribeToJWTBundles", first(keys).await),
        ("FetchJWTSVIDs", made.map(drop)),
    ])
}

#[tokio::test]
async fn a_delegate_gets_the_identities_of_a_workload_by_what_it_says_of_it() {
    let node = Node::start().await;
    let held = web();
    node.change(Ok(held.clone()));
    let mut client = node.client().await;
    let stream = client.subscribe_to_x509svi_ds(of_group(GROUP)).await;
    let response = next(&mut stream.unwrap().into_inner()).await.unwrap();
    assert_eq!(names(&response), [WEB]);
    assert_eq!(response.federates_with, [format!("spiffe://{FOREIGN}")]);
    let expected = &held.x509_svids()[0];
    let got = response.x509_svids[0].x509_svid.as_ref().unwrap();
    let chain = [
        vec![expected.certificate.clone()],
        expected.intermediates.clone(),
    ]
    .concat();
    assert_eq!(got.cert_chain, chain);
    let certificate = Certificate::parse(&got.cert_chain[0]).unwrap();
    assert_eq!(got.expires_at, certificate.not_after().unix());
    assert!(got.expires_at > 2_000_000_000);
    assert!(!response.x509_svids[0].x509_svid_key.is_empty());
}

#[tokio::test]
async fn a_delegate_follows_what_becomes_of_a_workload() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let stream = client.subscribe_to_x509svi_ds(of_group(GROUP)).await;
    let mut stream = stream.unwrap().into_inner();
    let first = next(&mut stream).await.unwrap();
    node.change(Ok(entitled(vec![svid_with_key(WEB, None, "next")])));
    let second = next(&mut stream).await.unwrap();
    assert_ne!(first.x509_svids[0], second.x509_svids[0]);
    // It loses all it had, which is no end: its delegate must forget the rest.
    node.change(Err(NotIssued::nearest([])));
    let third = next(&mut stream).await.unwrap();
    assert_eq!(third, SubscribeToX509sviDsResponse::default());
    node.change(Ok(entitled(vec![svid(DATABASE, None)])));
    assert_eq!(names(&next(&mut stream).await.unwrap()), [DATABASE]);
    let why = "the server is away".to_owned();
    node.change(Err(NotIssued::Unavailable { why }));
    let end = next(&mut stream).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_workload_that_has_no_identity_yet_is_waited_for() {
    let node = Node::start().await;
    node.change(Err(NotIssued::nearest([])));
    let mut client = node.client().await;
    let stream = client.subscribe_to_x509svi_ds(of_group(GROUP)).await;
    let mut stream = stream.unwrap().into_inner();
    assert!(next(&mut stream).await.unwrap().x509_svids.is_empty());
    node.change(Ok(web()));
    assert_eq!(names(&next(&mut stream).await.unwrap()), [WEB]);
    node.change(Err(NotIssued::nearest([])));
    next(&mut stream).await.unwrap();
    let asked = tokens(&["db"], vec![group(GROUP)], 0);
    let denied = client.fetch_jwtsvi_ds(asked).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_delegate_gets_the_bundles_of_every_trust_domain_that_it_may_rely_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let asked = SubscribeToX509BundlesRequest {};
    let stream = client.subscribe_to_x509_bundles(asked).await;
    let mut stream = stream.unwrap().into_inner();
    let bundles = next(&mut stream).await.unwrap().ca_certificates;
    let expected = [OWN, FOREIGN].map(|name| (format!("spiffe://{name}"), root(name).certificate));
    assert_eq!(bundles, BTreeMap::from(expected));
    let asked = SubscribeToJwtBundlesRequest {};
    let keys = client.subscribe_to_jwt_bundles(asked).await;
    let keys = next(&mut keys.unwrap().into_inner()).await.unwrap();
    assert!(keys.bundles.keys().eq(bundles.keys()));
    // A new identity of its own is no news about bundles.
    let renewed = svid_with_key(PROXY, None, "next");
    node.world.office.change(Ok(entitled(vec![renewed])));
    let more = tokio::time::timeout(std::time::Duration::from_millis(200), stream.message());
    assert!(more.await.is_err());
    // B-06: of who has no roots there is nothing to check with.
    let withdrawn = entitled_without_foreign_roots(PROXY);
    node.world.office.change(Ok(withdrawn));
    let bundles = next(&mut stream).await.unwrap().ca_certificates;
    let names: Vec<String> = bundles.into_keys().collect();
    assert_eq!(names, [format!("spiffe://{OWN}")]);
}

#[tokio::test]
async fn a_token_tells_when_it_was_made_and_when_it_expires() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let asked = tokens(&["db", "cache"], vec![group(GROUP)], 0);
    let made = client.fetch_jwtsvi_ds(asked).await.unwrap().into_inner();
    let svid = &made.svids[0];
    assert_eq!(svid.expires_at, svid.issued_at + 300);
    let now = crate::world::now().unix();
    assert!((now - 60..=now + 60).contains(&svid.issued_at));
    assert_eq!(svid.id.as_ref().unwrap().path, "/web");
}

#[tokio::test]
async fn whoever_is_not_a_delegate_is_denied_every_method() {
    for delegates in [&[][..], &[WEB], &["spiffe://demo.avouch.test"]] {
        let node = Node::start_with(delegates).await;
        for (method, answer) in every_method(&mut node.client().await).await {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{method}");
            let words = "caller not configured as an authorized delegate";
            assert_eq!(status.message(), words, "{method}");
        }
    }
}

#[tokio::test]
async fn whoever_has_no_identity_is_denied_every_method() {
    let node = Node::start().await;
    for (method, answer) in every_method(&mut node.client().await).await {
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
    node.world.office.change(Err(NotIssued::nearest([])));
    for (method, answer) in every_method(&mut node.client().await).await {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{method}");
    }
}

#[tokio::test]
async fn a_delegate_that_is_one_no_more_is_sent_no_more() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let svids = client.subscribe_to_x509svi_ds(of_group(GROUP)).await;
    let mut svids = svids.unwrap().into_inner();
    let asked = SubscribeToX509BundlesRequest {};
    let bundles = client.subscribe_to_x509_bundles(asked).await;
    let mut bundles = bundles.unwrap().into_inner();
    next(&mut svids).await.unwrap();
    next(&mut bundles).await.unwrap();
    let other = entitled(vec![svid(DATABASE, None)]);
    node.world.office.change(Ok(other));
    let denied = Code::PermissionDenied;
    assert_eq!(next(&mut svids).await.unwrap_err().code(), denied);
    assert_eq!(next(&mut bundles).await.unwrap_err().code(), denied);
}

#[tokio::test]
async fn what_cannot_be_a_workload_is_an_invalid_argument() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mistyped = types::Selector {
        r#type: "unix".to_owned(),
        value: "udi:1000".to_owned(),
    };
    let long = types::Selector {
        r#type: "unix".to_owned(),
        value: format!("user:{}\n", "x".repeat(20_000)),
    };
    let asked = [
        SubscribeToX509sviDsRequest::default(),
        SubscribeToX509sviDsRequest {
            selectors: vec![group(GROUP)],
            pid: 1,
        },
        SubscribeToX509sviDsRequest {
            selectors: Vec::new(),
            pid: -1,
        },
        SubscribeToX509sviDsRequest {
            selectors: vec![group(GROUP), mistyped],
            pid: 0,
        },
        SubscribeToX509sviDsRequest {
            selectors: vec![long],
            pid: 0,
        },
    ];
    for asked in asked {
        let status = client.subscribe_to_x509svi_ds(asked.clone()).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{asked:?}");
    }
    for audience in [&[][..], &[""]] {
        let asked = tokens(audience, vec![group(GROUP)], 0);
        let status = client.fetch_jwtsvi_ds(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_process_is_found_out_about_like_any_caller_and_until_it_ends() {
    let node = Node::start().await;
    // A workload that does nothing.
    let mut process = Command::new("sleep")
        .arg("3600")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut client = node.client().await;
    let stream = client
        .subscribe_to_x509svi_ds(of_process(process.id()))
        .await;
    let mut stream = stream.unwrap().into_inner();
    // It is of the same user as the tests, so it is the same workload.
    assert_eq!(names(&next(&mut stream).await.unwrap()), [PROXY]);
    let seen = node.world.office.seen();
    let path = seen.iter().find_map(|selector| match selector {
        Selector::UnixPath(path) => Some(path.clone()),
        _ => None,
    });
    let path = path.expect("its executable is known");
    assert!(!path.contains("workload"), "not that of the caller: {path}");
    let pid = i32::try_from(process.id()).unwrap();
    let made = client
        .fetch_jwtsvi_ds(tokens(&["db"], Vec::new(), pid))
        .await;
    assert_eq!(
        made.unwrap().into_inner().svids[0]
            .id
            .as_ref()
            .unwrap()
            .path,
        "/proxy"
    );

    process.kill().unwrap();
    assert_eq!(next(&mut stream).await.unwrap_err().code(), Code::NotFound);
    process.wait().unwrap();
    let stream = client
        .subscribe_to_x509svi_ds(of_process(process.id()))
        .await;
    assert_eq!(stream.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn the_workload_api_and_the_api_of_delegates_are_not_on_the_same_socket() {
    let node = Node::start().await;
    let mut client = DelegatedIdentityClient::new(channel(&node.world.address).await);
    for (method, answer) in every_method(&mut client).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{method}");
    }
}

#[tokio::test]
async fn a_delegate_that_left_is_let_go() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let asked = SubscribeToX509BundlesRequest {};
    let stream = client.subscribe_to_x509_bundles(asked).await;
    let mut stream = stream.unwrap().into_inner();
    next(&mut stream).await.unwrap();
    assert!(node.world.office.streams() > 0);
    drop(stream);
    let office = &node.world.office;
    eventually("the stream is let go", || office.streams() == 0).await;
}

#[tokio::test]
async fn the_spire_api_crate_gets_what_it_needs() {
    let node = Node::start().await;
    let client = OutsideClient::connect_to(&node.address).await.unwrap();
    let by_group = || {
        let group = GenericSelector::Generic(("unix".to_owned(), format!("gid:{GROUP}")));
        DelegateAttestationRequest::for_selectors(vec![group]).unwrap()
    };
    let svid = client.fetch_x509_svid(by_group()).await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), WEB);
    let tokens = client.fetch_jwt_svids(&["db"], by_group()).await.unwrap();
    assert_eq!(tokens[0].spiffe_id().to_string(), WEB);
    assert_eq!(client.fetch_x509_bundles().await.unwrap().len(), 2);
    assert_eq!(client.fetch_jwt_bundles().await.unwrap().len(), 2);

    let own = DelegateAttestationRequest::for_pid(std::process::id()).unwrap();
    let svid = client.fetch_x509_svid(own).await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), PROXY);
}
