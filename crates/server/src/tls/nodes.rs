//! TLS among nodes and servers.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use avouch_core::time::Time;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use super::Svid;
use crate::fault::{Fault, Refused};
use crate::plane::{Plane, Readings};

/// The X.509-SVID that this server shows to nodes, replaced in time.
pub struct ServerIdentity {
    plane: Arc<Plane>,
    held: RwLock<Option<HeldIdentity>>,
}

struct HeldIdentity {
    key: Arc<CertifiedKey>,
    renew_at: Time,
    /// When the authorities it comes from changed last.
    bundle_sequence: u64,
}

impl ServerIdentity {
    /// Has the first one issued.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn new(plane: Arc<Plane>) -> Result<Arc<Self>, Refused> {
        let identity = Self {
            plane,
            held: RwLock::new(None),
        };
        identity.renew()?;
        Ok(Arc::new(identity))
    }

    /// Has the next one issued when half of the life of this one is over, or when the authorities
    /// that it comes from have changed.
    ///
    /// # Errors
    ///
    /// Why there is no new one; then the old one is shown on.
    pub fn renew(&self) -> Result<(), Refused> {
        let root = self.plane.root()?;
        let bundle_sequence = root.held().bundle_sequence.number();
        let now = self.plane.now();
        let is_fresh = self
            .held()
            .as_ref()
            .is_some_and(|held| now < held.renew_at && held.bundle_sequence == bundle_sequence);
        if is_fresh {
            return Ok(());
        }
        let svid = Svid::issue(&self.plane, &root, self.plane.server_id().clone())?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(HeldIdentity {
            key: svid.key,
            renew_at: svid.renew_at,
            bundle_sequence,
        });
        Ok(())
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Option<HeldIdentity>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity")
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.held().as_ref().map(|held| Arc::clone(&held.key))
    }
}

/// What nodes connect to: TLS 1.3 (RFC 8446) with an X.509-SVID on each side; only a node that has
/// yet to join may come without. One whose certificate is not believed any more is let in as far as that,
/// to be told why when it calls: an alert would say to it that the server is away.
///
/// # Errors
///
/// [`Fault::Bug`].
pub fn for_nodes(identity: Arc<ServerIdentity>) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = ClientVerifier {
        plane: Arc::clone(&identity.plane),
        readings: Readings::new(MOST_READING, MOST_WAITING),
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Fault::Bug(error.to_string()))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// How many tenants are read at once for those who have yet to show who they are.
const MOST_READING: usize = 16;

/// How many of those wait for that. Each of them takes a thread, and there are twice as many.
const MOST_WAITING: usize = 256;

/// Asks the core who a client is, and has the tenant read that would know.
struct ClientVerifier {
    plane: Arc<Plane>,
    readings: Readings,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientVerifier")
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.to_vec()).collect();
        match self.plane.identify_in_handshake(chain, &self.readings) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            // Whoever speaks for a connection asks again, gets no further than that, and is noted then.
            Err(Refused::Reason(_)) => Ok(ClientCertVerified::assertion()),
            Err(Refused::Fault(fault)) => {
                tracing::error!(%fault, "it could not be told whose a certificate is");
                Err(Error::General(
                    "it could not be told whose the certificate is".to_owned(),
                ))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
