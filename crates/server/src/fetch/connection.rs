//! One connection: to an address that was judged, and to no other.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use avouch_core::pin::Pinned;
use avouch_core::reason::Reason;

use super::address::Permitted;
use super::budget::Place;
use super::path::{Found, Pinning, VerifiedChain, verified};
use super::request::{Request, Trust};
use super::resolve::Lookups;
use super::target::Target;
use crate::fault::{Fault, Refused};

/// How many addresses of one host are tried.
const MOST_TRIED: usize = 3;

/// How connections are made.
pub(super) struct Connector {
    permitted: Permitted,
    lookups: Lookups,
    provider: Arc<CryptoProvider>,
    system: OnceLock<RootCertStore>,
}

/// A connection whose other side has shown who it is.
pub(super) struct Connection {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) address: SocketAddr,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The pin that held, if one was asked for.
    pub(super) pinned: Option<Pinned>,
}

/// What one connection to a server has shown, whatever is pinned.
#[derive(Debug)]
pub struct Look {
    /// The address that was called.
    pub address: SocketAddr,
    /// The verified paths of what it showed, or why it has not shown who it is.
    pub paths: Result<Vec<VerifiedChain>, Reason>,
}

/// How the other side is known.
struct Known {
    verifier: Arc<dyn ServerCertVerifier>,
    found: Arc<Found>,
    /// What a path ends at; empty for who brings a verifier.
    roots: Arc<RootCertStore>,
}

impl Connector {
    pub(super) fn of(permitted: Permitted, lookups: Lookups) -> Self {
        Self {
            permitted,
            lookups,
            provider: Arc::new(aws_lc_rs::default_provider()),
            system: OnceLock::new(),
        }
    }

    /// Connects within the time that is allowed for it.
    pub(super) async fn connect(
        &self,
        request: &Request,
        target: &Target,
        place: &Place,
    ) -> Result<Connection, Refused> {
        let allowed = request.limits.connect;
        let connecting = self.connect_patiently(request, target, place);
        match tokio::time::timeout(allowed, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(too_slow(target, "connecting", allowed).into()),
        }
    }

    async fn connect_patiently(
        &self,
        request: &Request,
        target: &Target,
        place: &Place,
    ) -> Result<Connection, Refused> {
        let addresses = self.addresses(target, place).await?;
        self.connect_to(request, target, &addresses).await
    }

    async fn connect_to(
        &self,
        request: &Request,
        target: &Target,
        addresses: &[SocketAddr],
    ) -> Result<Connection, Refused> {
        let (socket, address) = open(target, addresses, request.limits.connect).await?;
        let name = ServerName::try_from(target.host())
            .map_err(|error| tls_failed(target, &error.to_string()))?;
        let known = self.known(request)?;
        let config = Arc::new(self.tls(Arc::clone(&known.verifier))?);
        let stream = TlsConnector::from(config).connect(name, socket).await;
        let stream = stream.map_err(|error| {
            let missed = known.found.missed(&target.host());
            missed.unwrap_or_else(|| tls_failed(target, &error.to_string()))
        })?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(Connection {
            certificates: shown.iter().map(|one| one.clone().into_owned()).collect(),
            pinned: known.found.held(),
            stream,
            address,
        })
    }

    /// What a server shows on so many connections, over all of its addresses in turn: behind one
    /// name there may be machines with different certificates, and behind one address too.
    pub(super) async fn look(
        &self,
        request: &Request,
        place: &Place,
        times: usize,
    ) -> Result<Vec<Look>, Refused> {
        let target = &request.target;
        let allowed = request.limits.connect;
        let addresses = tokio::time::timeout(allowed, self.addresses(target, place)).await;
        let addresses = match addresses {
            Ok(addresses) => addresses?,
            Err(_) => return Err(too_slow(target, "connecting", allowed).into()),
        };
        let roots = self.known(request)?.roots;
        let mut looks = Vec::new();
        for address in addresses.iter().cycle().take(times) {
            let one = [*address];
            let connecting = self.connect_to(request, target, &one);
            let connected = match tokio::time::timeout(allowed, connecting).await {
                Ok(Ok(connected)) => Ok(connected),
                Ok(Err(Refused::Reason(reason))) => Err(*reason),
                Ok(Err(fault)) => return Err(fault),
                Err(_) => Err(too_slow(target, "connecting", allowed)),
            };
            // Whoever lets one wait would let all.
            let is_slow = matches!(connected, Err(Reason::FetchSlow { .. }));
            let paths = connected.map(|connected| {
                let now = UnixTime::now();
                verified(&connected.certificates, &roots, &self.provider, now)
            });
            looks.push(Look {
                address: *address,
                paths,
            });
            if is_slow {
                break;
            }
        }
        Ok(looks)
    }

    /// The addresses of the host, if all of them may be called: a host that resolves to one that may
    /// and one that may not is feeling its way.
    async fn addresses(&self, target: &Target, place: &Place) -> Result<Vec<SocketAddr>, Reason> {
        let host = target.host();
        let addresses = match target.address() {
            Some(address) => vec![SocketAddr::new(address, target.port())],
            None => self
                .lookups
                .addresses(&host, target.port(), Arc::clone(place))
                .await
                .map_err(|detail| Reason::FetchUnresolved {
                    host: host.clone(),
                    detail,
                })?,
        };
        for address in &addresses {
            if let Some(range) = self.permitted.forbids(&host, address.ip()) {
                return Err(Reason::FetchAddress {
                    host,
                    address: address.ip().to_string(),
                    range,
                });
            }
        }
        Ok(addresses)
    }

    /// By what the other side must show who it is, its pins included.
    fn known(&self, request: &Request) -> Result<Known, Refused> {
        let roots = match &request.trust {
            Trust::Verifier(verifier) if request.pins.is_none() => {
                return Ok(Known {
                    verifier: Arc::clone(verifier),
                    found: Arc::default(),
                    roots: Arc::new(RootCertStore::empty()),
                });
            }
            Trust::Verifier(_) => {
                let why = "pins are compared with paths, and a verifier of one's own has none";
                return Err(Fault::Bug(why.to_owned()).into());
            }
            Trust::System => self.system().clone(),
            Trust::SystemAnd(more) => {
                let mut roots = self.system().clone();
                add(&mut roots, more)?;
                roots
            }
            Trust::Only(these) => {
                let mut roots = RootCertStore::empty();
                add(&mut roots, these)?;
                roots
            }
        };
        let roots = Arc::new(roots);
        let inner = self.verifier(Arc::clone(&roots))?;
        let found: Arc<Found> = Arc::default();
        let verifier: Arc<dyn ServerCertVerifier> = match &request.pins {
            None => inner,
            Some(check) => Arc::new(Pinning {
                inner,
                roots: Arc::clone(&roots),
                provider: Arc::clone(&self.provider),
                check: check.clone(),
                found: Arc::clone(&found),
            }),
        };
        Ok(Known {
            verifier,
            found,
            roots,
        })
    }

    fn tls(&self, verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Refused> {
        let bug = |error: rustls::Error| Fault::Bug(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(bug)?;
        // Whoever brings a verifier answers for it; the others end at `WebPkiServerVerifier`.
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each connection shows its certificates anew: pins are compared with them, and what one
        // tenant was shown says nothing to another.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn verifier(&self, roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, Reason> {
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
            .build()
            .map_err(|error| Reason::FetchTls {
                host: "any host".to_owned(),
                detail: format!("there is nothing to believe it by: {error}"),
            })
    }

    /// The trust store of the operating system, read once.
    fn system(&self) -> &RootCertStore {
        self.system.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a part of the system's trust store cannot be read");
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            roots
        })
    }
}

/// Opens a socket to one of the addresses; the first few get a share of the time each.
async fn open(
    target: &Target,
    addresses: &[SocketAddr],
    allowed: Duration,
) -> Result<(TcpStream, SocketAddr), Reason> {
    let tried = addresses.len().clamp(1, MOST_TRIED);
    let share = allowed / u32::try_from(tried).unwrap_or(1);
    let mut last = String::new();
    for address in addresses.iter().take(tried) {
        last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok((socket, *address)),
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address}: nobody answered"),
        };
    }
    Err(Reason::FetchUnreachable {
        host: target.host(),
        detail: last,
    })
}

fn add(roots: &mut RootCertStore, more: &[CertificateDer<'static>]) -> Result<(), Reason> {
    for certificate in more {
        roots
            .add(certificate.clone())
            .map_err(|error| Reason::FetchTls {
                host: "any host".to_owned(),
                detail: format!("a CA certificate that was given cannot be used: {error}"),
            })?;
    }
    Ok(())
}

fn tls_failed(target: &Target, detail: &str) -> Reason {
    Reason::FetchTls {
        host: target.host(),
        detail: detail.chars().take(256).collect(),
    }
}

pub(super) fn too_slow(target: &Target, phase: &'static str, allowed: Duration) -> Reason {
    Reason::FetchSlow {
        host: target.host(),
        phase,
        milliseconds: u32::try_from(allowed.as_millis()).unwrap_or(u32::MAX),
    }
}
