//! How brokers connect: TLS over the socket or over the network.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::world::{pkcs8_of, svid};

/// TLS as whoever has this SPIFFE ID, or as no one.
pub(super) fn config(who: Option<&str>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier::Provider));
    let mut config = match who {
        Some(who) => {
            let svid = svid(who, None);
            let chain = std::iter::once(svid.certificate).chain(svid.intermediates);
            let key = PrivatePkcs8KeyDer::from(pkcs8_of(who));
            let chain = chain.map(CertificateDer::from).collect();
            builder.with_client_auth_cert(chain, key.into()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Believes the provider that is expected and no other (K-03).
mod verifier {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::crypto::verify_tls13_signature;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct Provider;

    impl ServerCertVerifier for Provider {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            let chain = std::iter::once(end_entity).chain(intermediates);
            let chain: Vec<Vec<u8>> = chain.map(|one| one.to_vec()).collect();
            match crate::world::chain_is_of(&chain) {
                Ok(id) if id.as_str() == super::super::PROVIDER => {
                    Ok(ServerCertVerified::assertion())
                }
                other => Err(Error::General(format!("not the provider: {other:?}"))),
            }
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.3".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = default_provider().signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signed, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let algorithms = default_provider().signature_verification_algorithms;
            algorithms.supported_schemes()
        }
    }
}

/// A connection of a client: over the socket, or over the network.
pub(super) type Stream = Either<TlsStream<UnixStream>, TlsStream<TcpStream>>;
