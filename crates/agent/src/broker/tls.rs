//! Mutual TLS with X.509-SVIDs: rustls carries it, and who someone is, the core decides.

use std::fmt;
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::quiet::Quiet;
use crate::socket::Fault;

/// Who the agent is, and who others are, to those who call it over TLS.
pub trait Credentials: Send + Sync + 'static {
    /// The X.509-SVID of the agent as it is now; none if there is none.
    fn own(&self) -> Option<OwnSvid>;

    /// Whose X.509-SVID this chain is, by the bundles that trust domains publish themselves.
    ///
    /// # Errors
    ///
    /// The reason why it is not to be believed.
    fn identify(&self, chain: &[Vec<u8>]) -> Result<SpiffeId, Box<Reason>>;
}

/// An X.509-SVID with its key.
#[derive(Clone, Debug)]
pub struct OwnSvid {
    /// Its certificate and the intermediates above it, each as DER.
    pub chain: Vec<Vec<u8>>,
    /// Its key, wherever that is.
    pub signing_key: Arc<dyn SigningKey>,
}

/// TLS 1.3, where both sides show an X.509-SVID. No session is taken up again: who calls is found
/// out anew for each connection.
pub(super) fn config(credentials: Arc<dyn Credentials>) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = Arc::new(Judge {
        credentials: Arc::clone(&credentials),
        algorithms: provider.signature_verification_algorithms,
    });
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Fault::Tls)?;
    let mut config = builder
        .with_client_cert_verifier(judge)
        .with_cert_resolver(Arc::new(Own(credentials)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Shows the X.509-SVID that the agent has at the moment.
struct Own(Arc<dyn Credentials>);

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.0.own()?;
        let chain = own.chain.into_iter().map(CertificateDer::from);
        let own = CertifiedKey::new(chain.collect(), own.signing_key);
        Some(Arc::new(own))
    }
}

/// Whoever reaches the address may come again and again with what nobody believes.
static COMPLAINTS: Quiet = Quiet::new();

/// Asks whether a client is someone at all; whether it is a broker is asked for each call.
struct Judge {
    credentials: Arc<dyn Credentials>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

impl ClientCertVerifier for Judge {
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
        let chain: Vec<Vec<u8>> = chain.map(|certificate| certificate.to_vec()).collect();
        match self.credentials.identify(&chain) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(reason) => {
                let (code, sentence) = (reason.code(), reason.sentence());
                COMPLAINTS.tell(|left_out| {
                    tracing::warn!(code, sentence, left_out, "a caller is not who it should be");
                });
                Err(CertificateError::ApplicationVerificationFailure.into())
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
