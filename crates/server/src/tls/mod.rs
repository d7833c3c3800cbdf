//! TLS: rustls carries it, and who someone is, the core decides.
//!
//! | who connects | is shown | may show |
//! |---|---|---|
//! | nodes | an X.509-SVID of the root's trust domain | an X.509-SVID, which the core believes |
//! | administrators, verifiers | a certificate of the Web PKI, from files | whatever they have |
//! | peers that federate, administrators | an X.509-SVID of the trust domain they name | the same |

mod anyone;
mod endpoint;
mod nodes;
mod spiffe_peer;
mod web;

use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use avouch_issuer::x509_svid::X509Request;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

pub use endpoint::SpiffeEndpoint;
pub use nodes::{ServerIdentity, for_nodes};
pub use spiffe_peer::SpiffePeer;
pub use web::{WebCertificate, WebFiles};

use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What a listener of HTTP shows to those who connect.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Nothing: it speaks without TLS.
    Nothing,
    /// A certificate from files.
    Web(Arc<WebCertificate>),
    /// An X.509-SVID of a trust domain here.
    Spiffe(Arc<SpiffeEndpoint>),
}

impl Shown {
    /// How to shake hands with whoever asks for `name`, if there is a way.
    ///
    /// # Errors
    ///
    /// Why there is nothing to show.
    pub(crate) async fn config(
        &self,
        name: Option<String>,
    ) -> Result<Option<Arc<ServerConfig>>, Refused> {
        match self {
            Self::Nothing => Ok(None),
            Self::Web(certificate) => Ok(Some(certificate.config())),
            Self::Spiffe(endpoint) => {
                let endpoint = Arc::clone(endpoint);
                // It may have to be issued first, which the store takes part in.
                let shown = tokio::task::spawn_blocking(move || endpoint.config(name.as_deref()));
                let shown = shown.await.map_err(|error| Fault::Bug(error.to_string()))?;
                shown.map(Some)
            }
        }
    }
}

/// TLS 1.2 and 1.3 with the suites of rustls, which are those of Mozilla's intermediate
/// configuration with forward secrecy from elliptic curves (SPIFFE Federation 5.2). Whoever connects
/// may show a certificate and need not (5.2.1).
fn config(key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, Fault> {
    let bug = |error: rustls::Error| Fault::Bug(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let anyone = anyone::Anyone::new(&provider);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bug)?
        .with_client_cert_verifier(Arc::new(anyone))
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// An X.509-SVID of the server itself, with its key.
struct Svid {
    key: Arc<CertifiedKey>,
    renew_at: Time,
    not_after: Time,
}

impl Svid {
    fn issue(plane: &Plane, tenant: &Arc<Tenant>, id: SpiffeId) -> Result<Self, Refused> {
        let now = plane.now();
        let key = SoftwareKey::generate(SigningKind::P256)?;
        let request = X509Request {
            id,
            public_half: PublicHalf::clone(key.public_half()),
            ttl: Some(plane.settings().node_ttl),
            dns_names: Vec::new(),
            mark: None,
        };
        let svid = plane.sign_x509(tenant, request)?;
        let pkcs8 = PrivatePkcs8KeyDer::from(key.to_pkcs8()?.to_vec());
        let signing = aws_lc_rs::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(pkcs8))
            .map_err(|error| Fault::Bug(error.to_string()))?;
        let chain = svid.chain.into_iter().map(CertificateDer::from).collect();
        let half_life = svid.not_after.since(now) / 2;
        Ok(Self {
            key: Arc::new(CertifiedKey::new(chain, signing)),
            renew_at: now.plus(half_life),
            not_after: svid.not_after,
        })
    }
}
