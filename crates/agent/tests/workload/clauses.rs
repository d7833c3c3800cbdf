//! What the standards ask of every answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use avouch_agent::{Endpoint, Fault, Limits, NotIssued};
use avouch_api::grpc::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use avouch_api::grpc::workload::{
    JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, WitBundlesRequest, WitsvidRequest,
    X509BundlesRequest, X509svidRequest,
};
use avouch_api::grpc::{WORKLOAD_DESCRIPTORS, WORKLOAD_HEADER};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use der::{Decode, SliceReader};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tower::ServiceExt;

use crate::world::{
    Client, DATABASE, FOREIGN, HEADER, Header, OWN, WEB, World, channel, entitled, jwt, now, root,
    svid,
};

/// The status of each method of the two profiles that are served, by its name.
async fn served(client: &mut Client) -> Vec<(&'static str, Result<(), Status>)> {
    let audience = vec!["db".to_owned()];
    let token = jwt(OWN, WEB, &audience, now());
    vec![
        (
            "FetchX509SVID",
            first(client.fetch_x509svid(X509svidRequest {}).await).await,
        ),
        (
            "FetchX509Bundles",
            first(client.fetch_x509_bundles(X509BundlesRequest {}).await).await,
        ),
        (
            "FetchJWTSVID",
            client.fetch_jwtsvid(for_audience("db")).await.map(drop),
        ),
        (
            "FetchJWTBundles",
            first(client.fetch_jwt_bundles(JwtBundlesRequest {}).await).await,
        ),
        (
            "ValidateJWTSVID",
            client
                .validate_jwtsvid(ValidateJwtsvidRequest {
                    audience: "db".to_owned(),
                    svid: token,
                })
                .await
                .map(drop),
        ),
    ]
}

async fn not_served(client: &mut Client) -> Vec<(&'static str, Result<(), Status>)> {
    let everything = WitsvidRequest::default();
    vec![
        (
            "FetchWITSVID",
            client.fetch_witsvid(everything).await.map(drop),
        ),
        (
            "FetchWITBundles",
            client
                .fetch_wit_bundles(WitBundlesRequest {})
                .await
                .map(drop),
        ),
    ]
}

/// Whether a stream begins with a message.
async fn first<M>(
    stream: Result<tonic::Response<tonic::Streaming<M>>, Status>,
) -> Result<(), Status> {
    let message = stream?.into_inner().message().await?;
    message
        .map(drop)
        .ok_or_else(|| Status::unknown("the stream ended"))
}

fn for_audience(audience: &str) -> JwtsvidRequest {
    JwtsvidRequest {
        audience: vec![audience.to_owned()],
        spiffe_id: String::new(),
    }
}

#[tokio::test]
async fn a01_e02_e05_e06_both_profiles_are_served_to_whoever_opens_the_socket() {
    let world = World::start().await;
    for (method, answer) in served(&mut world.client().await).await {
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn a02_e11_the_socket_answers_the_methods_of_the_standard_and_no_others() {
    let world = World::start().await;
    let channel = channel(&world.address).await;
    // Of no use to most of them, so that what is there answers, if only that it cannot be read.
    let code = async |method: &'static str| {
        let elsewhere = move |mut request: http::Request<Body>| {
            *request.uri_mut() = http::Uri::from_static(method);
            let value = http::HeaderValue::from_static("true");
            request.headers_mut().insert(WORKLOAD_HEADER, value);
            request
        };
        let mut client = SpiffeWorkloadApiClient::new(channel.clone().map_request(elsewhere));
        let asked = client.fetch_jwtsvid(for_audience("db"));
        match tokio::time::timeout(Duration::from_secs(2), asked).await {
            // A stream that goes on is an answer.
            Err(_) | Ok(Ok(_)) => Code::Ok,
            Ok(Err(status)) => status.code(),
        }
    };
    for method in [
        "/SpiffeWorkloadAPI/FetchX509SVID",
        "/SpiffeWorkloadAPI/FetchX509Bundles",
        "/SpiffeWorkloadAPI/FetchJWTSVID",
        "/SpiffeWorkloadAPI/FetchJWTBundles",
        "/SpiffeWorkloadAPI/ValidateJWTSVID",
    ] {
        assert_ne!(code(method).await, Code::Unimplemented, "{method}");
    }
    for method in [
        "/SpiffeWorkloadAPI/FetchSSHSVID",
        "/SpiffeWorkloadAPI/FetchX509SVIDs",
        "/SpiffeWorkloadAPI/fetchX509SVID",
        "/SpiffeBrokerAPI/FetchX509SVID",
        "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/SubscribeToX509SVIDs",
        "/avouch.node.v1.Node/IssueX509",
    ] {
        assert_eq!(code(method).await, Code::Unimplemented, "{method}");
    }
    // And it says so of itself.
    let descriptors = FileDescriptorSet::decode(WORKLOAD_DESCRIPTORS).unwrap();
    let services = descriptors.file.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    assert_eq!(methods.count(), 7);
}

#[tokio::test]
async fn a07_an_empty_mandatory_field_is_an_invalid_argument() {
    let world = World::start().await;
    let mut client = world.client().await;
    let nobody = JwtsvidRequest::default();
    let empty = for_audience("");
    let not_an_id = JwtsvidRequest {
        spiffe_id: "https://demo.avouch.test/web".to_owned(),
        ..for_audience("db")
    };
    for asked in [nobody, empty, not_an_id] {
        let status = client.fetch_jwtsvid(asked.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{asked:?}");
    }
    for (audience, svid) in [("", "a.b.c"), ("db", "")] {
        let asked = ValidateJwtsvidRequest {
            audience: audience.to_owned(),
            svid: svid.to_owned(),
        };
        let status = client.validate_jwtsvid(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{audience} {svid}");
    }
}

#[tokio::test]
async fn a08_an_x509_svid_comes_with_its_chain_leaf_first_its_own_key_and_its_bundle() {
    let world = World::start().await;
    let mut stream = world
        .client()
        .await
        .fetch_x509svid(X509svidRequest {})
        .await
        .unwrap()
        .into_inner();
    let message = stream.message().await.unwrap().unwrap();
    let [svid] = message.svids.as_slice() else {
        panic!("there is one identity");
    };
    assert_eq!(svid.spiffe_id, WEB);
    let chain = certificates(&svid.x509_svid);
    assert_eq!(chain.len(), 2, "the leaf and its intermediate");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &svid.x509_svid_key);
    let public = pair.unwrap().public_key().as_ref().to_vec();
    assert!(
        contains(&chain[0], &public),
        "the first certificate is of the key"
    );
    assert!(
        contains(&chain[0], WEB.as_bytes()),
        "the first certificate is of the identity"
    );
    assert_eq!(certificates(&svid.bundle), [root(OWN).certificate]);
    assert_eq!(message.crl.len(), 1);
    let foreign: Vec<(&str, &Vec<u8>)> = message
        .federated_bundles
        .iter()
        .map(|(name, bundle)| (name.as_str(), bundle))
        .collect();
    let foreign_root = root(FOREIGN).certificate;
    assert_eq!(foreign, [("spiffe://partner.avouch.test", &foreign_root)]);
}

#[tokio::test]
async fn a09_hints_reach_the_workload_and_no_two_are_alike() {
    let svids = vec![
        svid(WEB, Some("internal")),
        svid(DATABASE, Some("internal")),
        svid("spiffe://demo.avouch.test/edge", Some("external")),
    ];
    let world = World::start_with(Ok(entitled(svids))).await;
    let mut client = world.client().await;
    let mut stream = client
        .fetch_x509svid(X509svidRequest {})
        .await
        .unwrap()
        .into_inner();
    let x509 = stream.message().await.unwrap().unwrap().svids;
    let hints: Vec<&str> = x509.iter().map(|svid| svid.hint.as_str()).collect();
    assert_eq!(hints, ["internal", "", "external"]);
    let jwt = client
        .fetch_jwtsvid(for_audience("db"))
        .await
        .unwrap()
        .into_inner()
        .svids;
    let hints: Vec<&str> = jwt.iter().map(|svid| svid.hint.as_str()).collect();
    assert_eq!(hints, ["internal", "", "external"]);
}

#[tokio::test]
async fn a10_e10_every_method_is_denied_to_a_workload_without_an_identity() {
    let world = World::start_with(Err(NotIssued::nearest([]))).await;
    for (method, answer) in served(&mut world.client().await).await {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{method}");
        assert_eq!(status.message(), "no identity issued", "{method}");
    }
}

#[tokio::test]
async fn an_identity_that_cannot_be_made_now_is_unavailable_and_not_denied() {
    let why = "the disk is full".to_owned();
    let world = World::start_with(Err(NotIssued::Unavailable { why })).await;
    for (method, answer) in served(&mut world.client().await).await {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{method}");
        assert!(!status.message().contains("disk"), "{method}");
    }
}

#[tokio::test]
async fn a07_what_is_at_fault_in_a_request_is_told_to_who_made_it() {
    let world = World::start_with(Err(NotIssued::Refused {
        code: "issue.audience_invalid".to_owned(),
        sentence: "9 are named, and 8 are allowed.".to_owned(),
    }))
    .await;
    let request = JwtsvidRequest {
        audience: vec!["vault".to_owned()],
        spiffe_id: String::new(),
    };
    let asked = world.client().await.fetch_jwtsvid(request).await;
    let status = asked.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let told = "issue.audience_invalid: 9 are named, and 8 are allowed.";
    assert_eq!(status.message(), told);
}

#[tokio::test]
async fn a13_the_bundles_of_both_profiles_hold_the_own_trust_domain() {
    let world = World::start().await;
    let mut client = world.client().await;
    let names = ["spiffe://demo.avouch.test", "spiffe://partner.avouch.test"];
    let mut x509 = client
        .fetch_x509_bundles(X509BundlesRequest {})
        .await
        .unwrap()
        .into_inner();
    let x509 = x509.message().await.unwrap().unwrap();
    assert!(x509.bundles.keys().eq(&names));
    assert_eq!(x509.bundles[names[0]], root(OWN).certificate);
    assert_eq!(x509.crl.len(), 1);
    let mut jwt = client
        .fetch_jwt_bundles(JwtBundlesRequest {})
        .await
        .unwrap()
        .into_inner();
    let jwt = jwt.message().await.unwrap().unwrap();
    assert!(jwt.bundles.keys().eq(&names));
}

#[tokio::test]
async fn a12_a15_the_jwt_bundles_hold_no_keys_for_certificates() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut stream = client
        .fetch_jwt_bundles(JwtBundlesRequest {})
        .await
        .unwrap()
        .into_inner();
    for (name, bundle) in stream.message().await.unwrap().unwrap().bundles {
        let bundle: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        let keys = bundle["keys"].as_array().unwrap();
        let uses: Vec<&str> = keys.iter().filter_map(|key| key["use"].as_str()).collect();
        assert_eq!(uses, ["jwt-svid"], "{name}");
        assert_eq!(keys[0]["kid"], "one", "{name}");
    }
}

#[tokio::test]
async fn a18_the_wit_profile_is_unimplemented() {
    let world = World::start().await;
    for (method, answer) in not_served(&mut world.client().await).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{method}");
    }
}

#[tokio::test]
async fn a21_the_default_identity_is_the_first_and_the_order_stays() {
    let svids = || vec![svid(WEB, None), svid(DATABASE, None)];
    let world = World::start_with(Ok(entitled(svids()))).await;
    let mut client = world.client().await;
    for _ in 0..3 {
        let mut stream = client
            .fetch_x509svid(X509svidRequest {})
            .await
            .unwrap()
            .into_inner();
        let message = stream.message().await.unwrap().unwrap();
        let names: Vec<&str> = message
            .svids
            .iter()
            .map(|svid| svid.spiffe_id.as_str())
            .collect();
        assert_eq!(names, [WEB, DATABASE]);
    }
}

#[tokio::test]
async fn e04_every_method_without_the_header_is_an_invalid_argument() {
    let world = World::start().await;
    let wrong: [&[(&'static str, &'static str)]; 6] = [
        &[],
        &[("workload.spiffe.io", "false")],
        &[("workload.spiffe.io", "True")],
        &[("workload.spiffe.io", "")],
        &[("broker.spiffe.io", "true")],
        &[
            ("workload.spiffe.io", "true"),
            ("workload.spiffe.io", "false"),
        ],
    ];
    for metadata in wrong {
        let mut client = world.client_with(metadata).await;
        let mut answers = served(&mut client).await;
        answers.extend(not_served(&mut client).await);
        assert_eq!(answers.len(), 7);
        for (method, answer) in answers {
            let code = answer.unwrap_err().code();
            assert_eq!(code, Code::InvalidArgument, "{method} {metadata:?}");
        }
        let channel = channel(&world.address).await;
        let asked = services(channel, Header(metadata.to_vec()));
        let status = asked.await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::InvalidArgument,
            "reflection {metadata:?}"
        );
    }
}

#[test]
fn e03_what_is_no_path_of_this_machine_is_no_place_to_serve_at() {
    for address in ["tcp://127.0.0.1:8081", "127.0.0.1:8081", "agent.sock"] {
        let bound = Endpoint::bind(Path::new(address), Limits::default());
        assert!(matches!(bound, Err(Fault::NotAbsolute(_))), "{bound:?}");
    }
}

#[tokio::test]
async fn e09_who_was_denied_may_come_back_over_the_same_connection() {
    let world = World::start_with(Err(NotIssued::nearest([]))).await;
    let mut client = world.client().await;
    let denied = first(client.fetch_x509svid(X509svidRequest {}).await).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    world.office.change(Ok(entitled(vec![svid(WEB, None)])));
    let served = first(client.fetch_x509svid(X509svidRequest {}).await).await;
    assert!(served.is_ok(), "{served:?}");
}

#[tokio::test]
async fn e11_reflection_tells_of_the_workload_api_and_of_itself_alone() {
    let world = World::start().await;
    let channel = channel(&world.address).await;
    let services = services(channel, Header(vec![HEADER])).await.unwrap();
    let expected = ["SpiffeWorkloadAPI", "grpc.reflection.v1.ServerReflection"];
    assert_eq!(services, BTreeSet::from(expected.map(str::to_owned)));
}

/// The services that reflection lists.
pub(crate) async fn services(channel: Channel, header: Header) -> Result<BTreeSet<String>, Status> {
    let mut client = ServerReflectionClient::with_interceptor(channel, header);
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut stream = client
        .server_reflection_info(tokio_stream::iter([asked]))
        .await?
        .into_inner();
    let message = stream.message().await?.unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = message.message_response else {
        panic!("a list was asked for");
    };
    Ok(list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect())
}

/// The certificates that stand one after the other.
fn certificates(concatenated: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = SliceReader::new(concatenated).unwrap();
    let mut found = Vec::new();
    while !der::Reader::is_finished(&reader) {
        let whole = der::Reader::tlv_bytes(&mut reader).unwrap();
        assert!(der::AnyRef::from_der(whole).is_ok());
        found.push(whole.to_vec());
    }
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
