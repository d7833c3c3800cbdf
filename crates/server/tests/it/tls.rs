//! HTTPS in a few lines: one request a connection, believing what the test says.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use avouch_testkit::asn1;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension;
use avouch_testkit::key::Key;
use avouch_testkit::name::GeneralName;
use avouch_testkit::world::Authority;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::http::{Answer, read};

/// From when until when: whoever connects reads the clock of the machine.
const VALID: (&str, &str) = ("2020-01-01T00:00:00Z", "2049-01-01T00:00:00Z");

/// A chain of certificates with the key of the first.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Key,
}

/// A root that is valid today.
pub(crate) fn root(name: &str) -> Authority {
    Authority::root_with(name, Key::ed25519(name), |forge| {
        forge.valid(VALID.0, VALID.1)
    })
}

/// A certificate of a Web server.
pub(crate) fn server(root: &Authority, dns: &str, seed: &str) -> Identity {
    let key = Key::ed25519(seed);
    let forge = CertificateForge::bare(dns, &key)
        .valid(VALID.0, VALID.1)
        .with(extension::key_usage(&[
            extension::KeyUsage::DigitalSignature,
        ]))
        .with(extension::extended_key_usage(&[extension::SERVER_AUTH]))
        .with(extension::subject_alternative_names(&[GeneralName::dns(
            dns,
        )]));
    Identity {
        chain: vec![root.issue(forge)],
        key,
    }
}

/// An Ed25519 key as PKCS#8 (RFC 8410 7).
pub(crate) fn pkcs8(key: &Key) -> Vec<u8> {
    asn1::sequence([
        asn1::number(0),
        asn1::sequence([asn1::oid("1.3.101.112")]),
        asn1::octet_string(&asn1::octet_string(key.private())),
    ])
}

/// Who calls, and what it believes.
pub(crate) struct Caller {
    versions: Vec<&'static SupportedProtocolVersion>,
    believes: Believes,
    shows: Option<Identity>,
}

enum Believes {
    Root(Vec<u8>),
    Verifier(Arc<dyn ServerCertVerifier>),
}

impl Caller {
    pub(crate) fn believing(root: &Authority) -> Self {
        Self::of(Believes::Root(root.certificate.clone()))
    }

    pub(crate) fn verifying(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self::of(Believes::Verifier(verifier))
    }

    fn of(believes: Believes) -> Self {
        Self {
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            believes,
            shows: None,
        }
    }

    pub(crate) fn showing(self, identity: Identity) -> Self {
        Self {
            shows: Some(identity),
            ..self
        }
    }

    pub(crate) fn with_version(self, version: &'static SupportedProtocolVersion) -> Self {
        Self {
            versions: vec![version],
            ..self
        }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap();
        let builder = match &self.believes {
            Believes::Root(root) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(root.clone())).unwrap();
                builder.with_root_certificates(roots)
            }
            Believes::Verifier(verifier) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(verifier)),
        };
        match &self.shows {
            Some(identity) => {
                let chain = identity.chain.iter().cloned().map(CertificateDer::from);
                let key = PrivatePkcs8KeyDer::from(pkcs8(&identity.key));
                let key = aws_lc_rs::sign::any_eddsa_type(&key).unwrap();
                // Not checked here whether they go together: a thief does not, either.
                let shown = CertifiedKey::new(chain.collect(), key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// A connection whose handshake is done.
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Secured> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    pub(crate) fn send(&self, address: SocketAddr, name: &str, request: &[u8]) -> Answer {
        let mut stream = self.connect(address, name).unwrap();
        stream.write_all(request).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        read(&text)
    }
}

pub(crate) type Secured = StreamOwned<ClientConnection, TcpStream>;
