//! Envoy's Secret Discovery Service, as a client made from its protocol files sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use avouch_agent::{Entitled, NotIssued, Tenants};
use avouch_api::grpc::envoy::config::core::v3::data_source::Specifier;
use avouch_api::grpc::envoy::config::core::v3::node::UserAgentVersionType;
use avouch_api::grpc::envoy::config::core::v3::{BuildVersion, DataSource, Node};
use avouch_api::grpc::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use avouch_api::grpc::envoy::extensions::transport_sockets::tls::v3::{
    Secret, SpiffeCertValidatorConfig,
};
use avouch_api::grpc::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use avouch_api::grpc::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use avouch_api::grpc::envoy::r#type::v3::SemanticVersion;
use avouch_api::grpc::google::rpc;
use der::pem;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::world::{
    DATABASE, FOREIGN, OWN, PATIENCE, WEB, World, channel, entitled,
    entitled_without_foreign_roots, eventually, root, svid, svid_with_key, web, x509_bundles,
};

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const SILENCE: Duration = Duration::from_millis(200);

type Client = SecretDiscoveryServiceClient<Channel>;

/// Without any metadata, as Envoy sends none.
async fn client(world: &World) -> Client {
    SecretDiscoveryServiceClient::new(channel(&world.address).await)
}

/// An Envoy of today.
fn envoy(minor_number: u32) -> Option<Node> {
    let version = SemanticVersion {
        major_number: 1,
        minor_number,
        patch: 0,
    };
    Some(Node {
        id: "sidecar".to_owned(),
        user_agent_name: "envoy".to_owned(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(BuildVersion {
            version: Some(version),
        })),
        ..Node::default()
    })
}

fn ask(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: envoy(40),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        type_url: SECRET.to_owned(),
        ..DiscoveryRequest::default()
    }
}

/// One open stream.
struct Proxy {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Proxy {
    async fn start(world: &World, names: &[&str]) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(8);
        requests.send(ask(names)).await.unwrap();
        let responses = client(world)
            .await
            .stream_secrets(ReceiverStream::new(stream))
            .await?;
        Ok(Self {
            requests,
            responses: responses.into_inner(),
        })
    }

    async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        let message = tokio::time::timeout(PATIENCE, self.responses.message());
        let message = message
            .await
            .expect("a stream does not keep anyone waiting");
        message.map(|message| message.expect("the stream goes on"))
    }

    async fn hears_nothing(&mut self) -> bool {
        let message = tokio::time::timeout(SILENCE, self.responses.message());
        message.await.is_err()
    }

    /// Says that it took a response, and what it wants from now on.
    async fn accept(&mut self, response: &DiscoveryResponse, names: &[&str]) {
        let taken = DiscoveryRequest {
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            node: None,
            ..ask(names)
        };
        self.requests.send(taken).await.unwrap();
    }

    /// Says that it did not take a response, and stays with `version`.
    async fn reject(&mut self, response: &DiscoveryResponse, version: &str, names: &[&str]) {
        let rejected = DiscoveryRequest {
            version_info: version.to_owned(),
            response_nonce: response.nonce.clone(),
            error_detail: Some(rpc::Status {
                code: 13,
                message: "Failed to load certificate chain\nfrom <inline>".to_owned(),
            }),
            node: None,
            ..ask(names)
        };
        self.requests.send(rejected).await.unwrap();
    }
}

/// The secrets of a response by their names.
fn secrets(response: &DiscoveryResponse) -> BTreeMap<String, Type> {
    assert_eq!(response.type_url, SECRET);
    let secrets = response.resources.iter().map(|resource| {
        assert_eq!(resource.type_url, SECRET);
        let secret = Secret::decode(resource.value.as_slice()).unwrap();
        (secret.name, secret.r#type.unwrap())
    });
    let count = response.resources.len();
    let secrets: BTreeMap<_, _> = secrets.collect();
    assert_eq!(secrets.len(), count, "each name once");
    secrets
}

fn names(response: &DiscoveryResponse) -> Vec<String> {
    secrets(response).into_keys().collect()
}

/// The certificates or the key that stand one after the other.
fn ders(source: Option<&DataSource>, label: &str) -> Vec<Vec<u8>> {
    let Some(Specifier::InlineBytes(bytes)) = source.and_then(|source| source.specifier.as_ref())
    else {
        panic!("the bytes are there");
    };
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_inclusive(&format!("-----END {label}-----\n"))
        .map(|block| {
            let (found, der) = pem::decode_vec(block.as_bytes()).unwrap();
            assert_eq!(found, label);
            der
        })
        .collect()
}

/// The certificates of an X.509-SVID and its key.
fn identity(secret: &Type) -> (Vec<Vec<u8>>, Vec<u8>) {
    let Type::TlsCertificate(certificate) = secret else {
        panic!("it is an identity");
    };
    let chain = ders(certificate.certificate_chain.as_ref(), "CERTIFICATE");
    let key = ders(certificate.private_key.as_ref(), "PRIVATE KEY");
    (chain, key.concat())
}

/// The roots that are believed for everything.
fn roots(secret: &Type) -> Vec<Vec<u8>> {
    let Type::ValidationContext(context) = secret else {
        panic!("it is what peers are checked with");
    };
    assert_eq!(context.custom_validator_config, None);
    ders(context.trusted_ca.as_ref(), "CERTIFICATE")
}

/// The roots by the trust domain that they are believed for.
fn roots_by_trust_domain(secret: &Type) -> BTreeMap<String, Vec<Vec<u8>>> {
    let Type::ValidationContext(context) = secret else {
        panic!("it is what peers are checked with");
    };
    assert_eq!(context.trusted_ca, None);
    let extension = context.custom_validator_config.as_ref().unwrap();
    assert_eq!(extension.name, "envoy.tls.cert_validator.spiffe");
    let configuration = extension.typed_config.as_ref().unwrap();
    assert_eq!(
        configuration.type_url,
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
    );
    let configuration = SpiffeCertValidatorConfig::decode(configuration.value.as_slice()).unwrap();
    let domains = configuration.trust_domains.into_iter();
    domains
        .map(|domain| {
            let bundle = ders(domain.trust_bundle.as_ref(), "CERTIFICATE");
            (domain.name, bundle)
        })
        .collect()
}

fn chain_of(entitled: &Entitled, index: usize) -> Vec<Vec<u8>> {
    let svid = &entitled.x509_svids()[index];
    [vec![svid.certificate.clone()], svid.intermediates.clone()].concat()
}

fn foreign_id() -> String {
    format!("spiffe://{FOREIGN}")
}

fn own_id() -> String {
    format!("spiffe://{OWN}")
}

#[tokio::test]
async fn each_name_brings_what_spire_documents_it_to_bring() {
    let held = entitled(vec![svid(WEB, None), svid(DATABASE, None)]);
    let world = World::start_with(Ok(held.clone())).await;
    let (own, foreign) = (own_id(), foreign_id());
    let asked = [WEB, DATABASE, "default", "ROOTCA", "ALL", &own, &foreign];
    let mut proxy = Proxy::start(&world, &asked).await.unwrap();
    let response = proxy.next().await.unwrap();
    let mut expected = asked.map(str::to_owned);
    expected.sort();
    assert_eq!(names(&response), expected);

    let secrets = secrets(&response);
    assert_eq!(identity(&secrets[WEB]).0, chain_of(&held, 0));
    assert_eq!(identity(&secrets[DATABASE]).0, chain_of(&held, 1));
    assert_eq!(secrets["default"], secrets[WEB]);
    let root = |name| vec![root(name).certificate];
    let only_own = BTreeMap::from([(OWN.to_owned(), root(OWN))]);
    assert_eq!(roots_by_trust_domain(&secrets["ROOTCA"]), only_own);
    assert_eq!(roots_by_trust_domain(&secrets[&own]), only_own);
    let only_foreign = BTreeMap::from([(FOREIGN.to_owned(), root(FOREIGN))]);
    assert_eq!(roots_by_trust_domain(&secrets[&foreign]), only_foreign);
    let both = only_own.into_iter().chain(only_foreign).collect();
    assert_eq!(roots_by_trust_domain(&secrets["ALL"]), both);
}

#[tokio::test]
async fn the_key_belongs_to_the_certificate() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &["default"]).await.unwrap();
    let response = proxy.next().await.unwrap();
    let (chain, key) = identity(&secrets(&response)["default"]);
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        &key,
    )
    .unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
    let has_it = chain[0]
        .windows(public.as_ref().len())
        .any(|window| window == public.as_ref());
    assert!(has_it);
}

#[tokio::test]
async fn a_proxy_without_the_extension_gets_the_roots_of_one_trust_domain_alone() {
    let world = World::start().await;
    let (own, foreign) = (own_id(), foreign_id());
    for node in [None, envoy(17), Some(Node::default())] {
        let asked = DiscoveryRequest {
            node,
            ..ask(&["ROOTCA", &own, &foreign])
        };
        let response = client(&world).await.fetch_secrets(asked).await.unwrap();
        let secrets = secrets(response.get_ref());
        assert_eq!(roots(&secrets["ROOTCA"]), [root(OWN).certificate]);
        assert_eq!(roots(&secrets[&own]), [root(OWN).certificate]);
        assert_eq!(roots(&secrets[&foreign]), [root(FOREIGN).certificate]);
    }
}

#[tokio::test]
async fn who_names_nothing_gets_every_identity_and_every_bundle() {
    let held = entitled(vec![svid(WEB, None), svid(DATABASE, None)]);
    let world = World::start_with(Ok(held)).await;
    let all = [own_id(), DATABASE.to_owned(), WEB.to_owned(), foreign_id()];
    let fetched = client(&world).await.fetch_secrets(ask(&[])).await.unwrap();
    assert_eq!(names(fetched.get_ref()), all);

    let mut proxy = Proxy::start(&world, &[]).await.unwrap();
    let first = proxy.next().await.unwrap();
    assert_eq!(names(&first), all);
    // An answer that names nothing either still wants all.
    proxy.accept(&first, &[]).await;
    assert!(proxy.hears_nothing().await);
    world.office.change(Ok(web()));
    let rest = [own_id(), WEB.to_owned(), foreign_id()];
    assert_eq!(names(&proxy.next().await.unwrap()), rest);
    // Envoy takes no roots that are none.
    let withdrawn = entitled_without_foreign_roots(WEB);
    world.office.change(Ok(withdrawn));
    assert_eq!(names(&proxy.next().await.unwrap()), [&own_id(), WEB]);
}

#[tokio::test]
async fn a_renewed_identity_is_pushed_to_whoever_asked_for_it_and_to_no_one_else() {
    let world = World::start().await;
    let mut identity_of = Proxy::start(&world, &[WEB]).await.unwrap();
    let mut bundle_of = Proxy::start(&world, &["ROOTCA"]).await.unwrap();
    let before = identity_of.next().await.unwrap();
    identity_of.accept(&before, &[WEB]).await;
    let bundle = bundle_of.next().await.unwrap();
    bundle_of.accept(&bundle, &["ROOTCA"]).await;
    assert!(
        identity_of.hears_nothing().await,
        "an answer is no question"
    );

    let renewed = svid_with_key(WEB, None, "the next key");
    world.office.change(Ok(entitled(vec![renewed])));
    let after = identity_of.next().await.unwrap();
    assert_ne!(secrets(&before)[WEB], secrets(&after)[WEB]);
    assert_ne!(before.version_info, after.version_info);
    assert_ne!(before.nonce, after.nonce);
    assert!(bundle_of.hears_nothing().await);
}

#[tokio::test]
async fn what_was_not_wanted_for_a_while_is_sent_once_it_is_wanted_again() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &["default"]).await.unwrap();
    let first = proxy.next().await.unwrap();
    proxy.accept(&first, &["default"]).await;
    proxy.accept(&first, &[]).await;
    assert!(proxy.hears_nothing().await);
    proxy.accept(&first, &["default"]).await;
    let again = proxy.next().await.unwrap();
    assert_eq!(names(&again), ["default"]);
    assert_eq!(secrets(&again), secrets(&first));
    assert_ne!(again.nonce, first.nonce);
}

#[tokio::test]
async fn a_new_bundle_is_pushed_to_whoever_checks_with_it() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &["ALL"]).await.unwrap();
    let before = proxy.next().await.unwrap();
    assert_eq!(roots_by_trust_domain(&secrets(&before)["ALL"]).len(), 2);
    let mut bundles = x509_bundles();
    bundles.retain(|name, _| name.as_str() == OWN);
    let jwt_bundles = crate::world::jwt_bundles();
    let alone = Entitled::new(
        vec![svid(WEB, None)],
        bundles,
        BTreeMap::new(),
        jwt_bundles,
        Tenants::new(),
    );
    world.office.change(Ok(alone.unwrap()));
    let after = proxy.next().await.unwrap();
    let domains = roots_by_trust_domain(&secrets(&after)["ALL"]);
    assert_eq!(domains.into_keys().collect::<Vec<_>>(), [OWN]);
}

#[tokio::test]
async fn a_proxy_that_rejects_a_secret_is_sent_the_next_one_and_not_the_same_again() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &[WEB]).await.unwrap();
    let first = proxy.next().await.unwrap();
    proxy.accept(&first, &[WEB]).await;
    let renewed = |key| Ok(entitled(vec![svid_with_key(WEB, None, key)]));
    world.office.change(renewed("a key that it does not like"));
    let second = proxy.next().await.unwrap();
    for _ in 0..3 {
        proxy.reject(&second, &first.version_info, &[WEB]).await;
    }
    assert!(proxy.hears_nothing().await, "it is not asked to try again");
    world.office.change(renewed("a better key"));
    let third = proxy.next().await.unwrap();
    assert_ne!(third.nonce, second.nonce);
    assert_ne!(secrets(&third)[WEB], secrets(&second)[WEB]);
}

#[tokio::test]
async fn a_rejection_may_ask_for_something_else() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &[WEB]).await.unwrap();
    let first = proxy.next().await.unwrap();
    proxy.reject(&first, "", &["ROOTCA"]).await;
    assert_eq!(names(&proxy.next().await.unwrap()), ["ROOTCA"]);
}

#[tokio::test]
async fn a_proxy_may_ask_for_more_and_for_less_on_the_same_stream() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &[WEB]).await.unwrap();
    let first = proxy.next().await.unwrap();
    proxy.accept(&first, &[WEB, "ALL"]).await;
    let second = proxy.next().await.unwrap();
    assert_eq!(names(&second), ["ALL", WEB]);
    proxy.accept(&second, &["ALL"]).await;
    let third = proxy.next().await.unwrap();
    assert_eq!(names(&third), ["ALL"]);
    // Who named something and now names nothing wants nothing.
    proxy.accept(&third, &[]).await;
    assert!(proxy.hears_nothing().await);
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    assert!(proxy.hears_nothing().await);
}

#[tokio::test]
async fn an_answer_to_an_older_response_changes_nothing() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &[WEB]).await.unwrap();
    let first = proxy.next().await.unwrap();
    let renewed = svid_with_key(WEB, None, "the next key");
    world.office.change(Ok(entitled(vec![renewed])));
    let second = proxy.next().await.unwrap();
    proxy.accept(&first, &["no such secret"]).await;
    assert!(proxy.hears_nothing().await);
    proxy.accept(&second, &["default"]).await;
    assert_eq!(names(&proxy.next().await.unwrap()), ["default"]);
}

#[tokio::test]
async fn an_unknown_name_ends_the_stream_and_says_no_more_than_that_it_is_unknown() {
    let world = World::start().await;
    let foreign = "spiffe://other.avouch.test";
    for unknown in [DATABASE, foreign, "rootca", "spiffe://demo.avouch.test/"] {
        let mut proxy = Proxy::start(&world, &[WEB, unknown]).await.unwrap();
        let status = proxy.next().await.unwrap_err();
        let fetched = client(&world).await.fetch_secrets(ask(&[unknown])).await;
        for status in [status, fetched.unwrap_err()] {
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(
                status.message(),
                format!("workload is not authorized for the requested identities [{unknown:?}]")
            );
        }
    }
}

#[tokio::test]
async fn a_secret_that_goes_away_ends_the_stream() {
    let world = World::start().await;
    let mut proxy = Proxy::start(&world, &[WEB]).await.unwrap();
    proxy.next().await.unwrap();
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    let status = proxy.next().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn ten_thousand_unknown_names_are_answered_in_one_line() {
    let world = World::start().await;
    let names: Vec<String> = (0..10_000).map(|number| format!("name {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let status = client(&world).await.fetch_secrets(ask(&names)).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().len() < 1200, "{}", status.message().len());
}

#[tokio::test]
async fn a_workload_without_identity_is_denied_and_one_that_loses_it_too() {
    let world = World::start_with(Err(NotIssued::nearest([]))).await;
    let mut proxy = Proxy::start(&world, &["default"]).await.unwrap();
    assert_eq!(
        proxy.next().await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let fetched = client(&world).await.fetch_secrets(ask(&[])).await;
    assert_eq!(fetched.unwrap_err().code(), Code::PermissionDenied);

    world.office.change(Ok(web()));
    let mut proxy = Proxy::start(&world, &["default"]).await.unwrap();
    proxy.next().await.unwrap();
    world.office.change(Err(NotIssued::nearest([])));
    let status = proxy.next().await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "no identity issued");
}

#[tokio::test]
async fn other_types_than_secrets_are_not_served() {
    let world = World::start().await;
    let asked = DiscoveryRequest {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        ..ask(&["default"])
    };
    let fetched = client(&world).await.fetch_secrets(asked.clone()).await;
    assert_eq!(fetched.unwrap_err().code(), Code::InvalidArgument);
    let unsaid = DiscoveryRequest {
        type_url: String::new(),
        ..asked
    };
    let fetched = client(&world).await.fetch_secrets(unsaid).await;
    assert_eq!(names(fetched.unwrap().get_ref()), ["default"]);
}

#[tokio::test]
async fn a_stopping_agent_ends_the_stream_and_a_proxy_that_left_is_let_go() {
    let world = World::start().await;
    let mut left = Proxy::start(&world, &["default"]).await.unwrap();
    left.next().await.unwrap();
    eventually("the stream waits for changes", || {
        world.office.streams() == 1
    })
    .await;
    drop(left);
    eventually("the stream is let go", || world.office.streams() == 0).await;

    let mut proxy = Proxy::start(&world, &["default"]).await.unwrap();
    proxy.next().await.unwrap();
    world.stop().await.unwrap();
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unavailable);
}
