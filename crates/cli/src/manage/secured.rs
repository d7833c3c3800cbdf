//! TLS to the server: whom the command believes, and what it shows.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use avouch_api::grpc::workload::{X509svid, X509svidRequest, X509svidResponse};
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::x509::Certificate;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_server::clock::SystemClock;
use avouch_server::tls::SpiffePeer;
use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned, WantsVerifier,
};
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::arguments::Remote;
use super::client::secret;
use crate::fault::Fault;
use crate::fetch;
use crate::input;

/// Speaks TLS on connections that others make.
pub(crate) struct Secured {
    config: Arc<ClientConfig>,
    /// What decides on an X.509-SVID of the server.
    peer: Option<Arc<SpiffePeer>>,
}

impl Secured {
    /// Reads what is to be believed and shown.
    pub(super) fn of(remote: &Remote) -> Result<Self, Fault> {
        if let Some(wanted) = &remote.as_workload {
            let (config, peer) = as_workload(remote, wanted.as_ref())?;
            return Ok(Self {
                config: Arc::new(config),
                peer: Some(peer),
            });
        }
        let (certificate, key) = (remote.cert.as_deref(), remote.key.as_deref());
        Self::of_files(remote.ca.as_deref(), certificate, key)
    }

    /// What decides on an X.509-SVID of the server, if one is expected of it.
    pub(super) fn peer(&self) -> Option<Arc<SpiffePeer>> {
        self.peer.clone()
    }

    /// Believes the certificates of a file, or those that the system believes, and shows a
    /// certificate if there is one.
    pub(crate) fn of_files(
        ca: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self, Fault> {
        let config = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                shown(believing(ca)?, certificates(certificate)?, key_of(key)?)?
            }
            (None, None) => believing(ca)?.with_no_client_auth(),
            (Some(_), None) | (None, Some(_)) => {
                let detail = "a certificate and its key go together (--cert and --key)";
                return Err(Fault::Usage(detail.to_owned()));
            }
        };
        Ok(Self {
            config: Arc::new(config),
            peer: None,
        })
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    builder.map_err(|error| Fault::Run(error.to_string()))
}

/// Believes the certificates of a file, or those that the system believes.
fn believing(file: Option<&Path>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Fault> {
    let found = match file {
        Some(file) => certificates(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    Ok(builder()?.with_root_certificates(roots))
}

fn shown(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, Fault> {
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| {
        Fault::Usage(format!(
            "the certificate and its key are of no use: {error}"
        ))
    })
}

/// Shows an X.509-SVID that the Workload API gives this process, and believes the server of the trust
/// domain that it is called by, if this process may rely on that one, or else of the same.
fn as_workload(
    remote: &Remote,
    wanted: Option<&SpiffeId>,
) -> Result<(ClientConfig, Arc<SpiffePeer>), Fault> {
    let fetched = fetched(remote)?;
    let called = called_by(&remote.address());
    let svid = chosen(&fetched.svids, wanted, called.as_ref())?;
    let id = SpiffeId::parse(&svid.spiffe_id).map_err(|reason| Fault::Run(reason.sentence()))?;
    let of_called = called.and_then(|domain| Some((bundle_of(&fetched, &domain)?, domain)));
    let (bundle, trust_domain) = match &of_called {
        Some((bundle, domain)) => (*bundle, domain),
        None => (svid.bundle.as_slice(), id.trust_domain()),
    };
    let server = format!("spiffe://{trust_domain}/avouch/server");
    let server = SpiffeId::parse(&server).map_err(|reason| Fault::Run(reason.sentence()))?;
    let authorities = fetch::certificates(bundle)
        .into_iter()
        .filter_map(|der| Certificate::parse(&der).ok().map(Arc::new));
    let bundle = Bundle::of_authorities(trust_domain.clone(), authorities.collect());
    let peer = Arc::new(SpiffePeer::new(server, bundle, Arc::new(SystemClock)));
    let chain = fetch::certificates(&svid.x509_svid).into_iter();
    let key = PrivatePkcs8KeyDer::from(svid.x509_svid_key.clone());
    let verifier = Arc::clone(&peer);
    let config = shown(
        builder()?
            .dangerous()
            .with_custom_certificate_verifier(verifier),
        chain.map(CertificateDer::from).collect(),
        PrivateKeyDer::Pkcs8(key),
    );
    Ok((config?, peer))
}

/// The trust domain that the host of an address is, if it is one.
fn called_by(address: &str) -> Option<TrustDomain> {
    let address: Uri = address.parse().ok()?;
    TrustDomain::parse(address.host()?).ok()
}

/// The one that is wanted, or else the first of the trust domain that the server is called by, or else the
/// first: it is the one to be used where none is chosen (SPIFFE Workload API 4.4).
fn chosen<'a>(
    svids: &'a [X509svid],
    wanted: Option<&SpiffeId>,
    called: Option<&TrustDomain>,
) -> Result<&'a X509svid, Fault> {
    if let Some(wanted) = wanted {
        let found = svids.iter().find(|svid| svid.spiffe_id == wanted.as_str());
        return found.ok_or_else(|| Fault::NotThis(wanted.clone()));
    }
    let is_of_called = |svid: &&X509svid| {
        let id = SpiffeId::parse(&svid.spiffe_id).ok();
        id.is_some_and(|id| Some(id.trust_domain()) == called)
    };
    let found = svids.iter().find(is_of_called);
    found.or(svids.first()).ok_or(Fault::NoIdentity)
}

/// The CA certificates of a trust domain, if this process may rely on them.
fn bundle_of<'a>(fetched: &'a X509svidResponse, domain: &TrustDomain) -> Option<&'a [u8]> {
    let own = fetched.svids.iter().find(|svid| {
        let id = SpiffeId::parse(&svid.spiffe_id).ok();
        id.is_some_and(|id| id.trust_domain() == domain)
    });
    let foreign = || fetched.federated_bundles.get(&format!("spiffe://{domain}"));
    let bundle = own.map(|svid| &svid.bundle).or_else(foreign)?;
    Some(bundle)
}

/// What the Workload API gives this process.
fn fetched(remote: &Remote) -> Result<X509svidResponse, Fault> {
    let socket = std::env::var("SPIFFE_ENDPOINT_SOCKET").ok();
    let socket = socket.filter(|socket| !socket.is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Run(format!("a thread cannot be started: {error}")))?;
    runtime.block_on(async {
        let address = fetch::address(socket.as_deref(), &remote.data);
        let mut client = fetch::connect(&address).await?;
        let fetched = client.fetch_x509svid(X509svidRequest {}).await;
        let mut stream = fetched
            .map_err(|status| fetch::denied(&status))?
            .into_inner();
        fetch::first(&mut stream).await
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let text = std::fs::read(path).map_err(|why| Fault::Read {
        what: input::name_of(path),
        why,
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| {
        Fault::Usage(format!(
            "{}: it holds no certificate in PEM",
            input::name_of(path)
        ))
    })
}

fn key_of(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let open = File::open(path).map_err(|why| Fault::Read {
        what: input::name_of(path),
        why,
    })?;
    let text = secret(path, &open)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        Fault::Usage(format!(
            "{}: it holds no private key in PEM",
            input::name_of(path)
        ))
    })
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secured")
    }
}

impl<In: Transport> Connector<In> for Secured {
    type Out = Speaking;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Speaking>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| ureq::Error::Tls("the host has no name that a certificate could have"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name)?;
        let boxed: Box<dyn Transport> = Box::new(transport);
        let mut socket = TransportAdapter::new(boxed, details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        Ok(Some(Speaking {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: StreamOwned {
                conn: connection,
                sock: socket,
            },
        }))
    }
}

/// A connection over TLS.
pub(crate) struct Speaking {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Speaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Speaking")
    }
}

impl Transport for Speaking {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
