//! A deployment on a disk, and a node that calls it over mutual TLS.

use std::path::Path;
use std::sync::Arc;

use avouch_api::grpc::node::node_client::NodeClient;
use avouch_core::id::{TenantId, TrustDomain};
use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use avouch_server::clock::SystemClock;
use avouch_server::entries::EntryDraft;
use avouch_server::node_api;
use avouch_server::plane::Founding;
use avouch_server::tenant::Tenant;
use avouch_server::tls::ServerIdentity;
use avouch_server::{Plane, Settings};
use avouch_store::TenantKind;
use avouch_store::keyring::RootKey;
use avouch_store::sqlite::SqliteStore;
use avouch_testkit::asn1;
use avouch_testkit::key::{Kind, Scheme};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// The tenant that everything is about.
pub(crate) const TENANT: &str = "bench";

/// Opens the deployment in a folder, or founds it.
pub(crate) fn open(folder: &Path) -> Arc<Plane> {
    let store = Arc::new(SqliteStore::open(folder).unwrap());
    let founding = Founding {
        tenant: TenantId::parse("root").unwrap(),
        trust_domain: TrustDomain::parse("root.avouch.test").unwrap(),
    };
    let root_key = |tenants: &[_]| Ok(RootKey::open_or_create(folder, tenants)?);
    let clock = Arc::new(SystemClock);
    let plane = Plane::open(store, root_key, &founding, Settings::default(), clock).unwrap();
    if plane.tenant_named(TENANT).is_none() {
        let id = TenantId::parse(TENANT).unwrap();
        let tenant = plane.add_tenant(&id, Some(&founding.tenant), TenantKind::Tenant);
        let domain = TrustDomain::parse("bench.avouch.test").unwrap();
        plane.add_trust_domain(&tenant.unwrap(), &domain).unwrap();
    }
    plane
}

pub(crate) fn tenant(plane: &Plane) -> Arc<Tenant> {
    plane.tenant_named(TENANT).unwrap()
}

/// The entry of this number, for the node of this name.
pub(crate) fn entry(number: usize, node: &str) -> EntryDraft {
    EntryDraft {
        id: Some(format!("entry-{number}")),
        spiffe_id: format!("spiffe://bench.avouch.test/ns/payments/sa/service-{number}"),
        parent: Some(format!("spiffe://bench.avouch.test/avouch/node/{node}")),
        selectors: vec![
            format!("unix:uid:{}", number % 60_000),
            "unix:path:/usr/bin/service".to_owned(),
        ],
        ..EntryDraft::default()
    }
}

/// Writes entries `from` to `to` in batches of a thousand.
pub(crate) fn write_entries(plane: &Plane, from: usize, to: usize, node: &str) {
    let tenant = tenant(plane);
    for start in (from..to).step_by(1_000) {
        let drafts = (start..to.min(start + 1_000)).map(|number| entry(number, node));
        let answers = plane.put_entries(&tenant, drafts.collect()).unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
}

/// A server for nodes, and a node of the tenant that calls it.
pub(crate) async fn serve(plane: &Arc<Plane>) -> (NodeClient<Channel>, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopping) = watch::channel(false);
    let identity = ServerIdentity::new(Arc::clone(plane)).unwrap();
    tokio::spawn(node_api::serve(
        listener,
        identity,
        Arc::clone(plane),
        stopping,
    ));
    let channel = connect(plane, "node-1", address);
    (NodeClient::new(channel), stop)
}

fn connect(plane: &Plane, node: &str, address: String) -> Channel {
    let key = SoftwareKey::generate(SigningKind::P256).unwrap();
    let token = plane.new_join_token(&tenant(plane), node, 600).unwrap();
    let member = plane.join(&token.token, &signing_request(&key)).unwrap();
    let chain = member.certificates.into_iter().map(CertificateDer::from);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_auth_cert(
            chain.collect(),
            PrivatePkcs8KeyDer::from(key.to_pkcs8().unwrap().to_vec()).into(),
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

/// A PKCS#10 request (RFC 2986) for a key, signed by it.
fn signing_request(key: &SoftwareKey) -> Vec<u8> {
    let info = asn1::sequence([
        asn1::number(0),
        asn1::sequence::<Vec<u8>>([]),
        key.public_half().info().to_vec(),
        asn1::constructed(0, &[]),
    ]);
    let signature = key.sign(&info).unwrap();
    let (r, s) = signature.as_bytes().split_at(32);
    let signature = asn1::sequence([r, s].map(positive));
    let algorithm = Scheme::EcdsaSha256.identifier_for(Kind::P256);
    asn1::sequence([info, algorithm, asn1::bit_string(0, &signature)])
}

/// A positive INTEGER in DER: no zeros in front but the one that keeps it positive.
fn positive(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let mut shortest = octets[zeros..].to_vec();
    if shortest.first().is_none_or(|head| head & 0x80 != 0) {
        shortest.insert(0, 0);
    }
    asn1::integer(&shortest)
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
