//! The SPIFFE Broker API (incubating): identities of workloads for those who act on their behalf and
//! prove by mutual TLS who they are.
//!
//! ```text
//! TLS ──► Broker ──────► Workload ──► Entitlement ──► messages
//! whose   what its       what the     what the        all of it
//! SVID    operator lets  kernel or    workload        each time
//!         it name        kubelet      may hold
//!                        says of it
//! ```
//!
//! A broker is whoever shows an X.509-SVID of an ID that the operator of the agent has named, and
//! may name workloads in the ways that were permitted to it: processes, by their number, over the
//! socket of this machine alone; and pods of this node, as the kubelet knows them.

mod access;
mod listener;
mod reference;
mod service;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avouch_api::grpc::BROKER_DESCRIPTORS;
use avouch_api::grpc::broker::api_server::ApiServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use crate::caller::Callers;
use crate::endpoint::{LONGEST_REQUEST, Limits, MOST_REQUESTS};
use crate::identities::Identities;
use crate::kubelet::Kubelet;
use crate::socket::{Fault, Socket};

pub use access::{BrokerMalformed, BrokerRule, ReferenceKind};
pub use tls::{Credentials, OwnSvid};

use access::{Brokers, Door};
use service::Service;

/// How many requests one connection may have open; a broker has some for each workload.
const MOST_REQUESTS_OF_BROKERS: u32 = 100 * MOST_REQUESTS;

/// How long after the last that was heard of a broker it is asked whether it is there, and how long it
/// may take to say so: over the network the end of one is not always told, and it would keep its place.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A SPIFFE Broker Endpoint.
#[derive(Debug)]
pub struct BrokerEndpoint {
    socket: Socket,
    listener: Option<TcpListener>,
    brokers: Vec<BrokerRule>,
    limits: Limits,
    kubelet: Option<Arc<Kubelet>>,
}

impl BrokerEndpoint {
    /// Opens the socket at an absolute path, for the user and the group of the agent, and for those
    /// who show the X.509-SVID of one of `brokers`. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// As for [`Endpoint::bind`](crate::Endpoint::bind).
    pub fn bind(path: &Path, brokers: Vec<BrokerRule>, limits: Limits) -> Result<Self, Fault> {
        Ok(Self {
            socket: Socket::open(path, 0o770)?,
            listener: None,
            brokers,
            limits,
            kubelet: None,
        })
    }

    /// Listens on an address of the network, too; nobody is found by the number of a process there.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn and_listen(self, address: SocketAddr) -> Result<Self, Fault> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| Fault::Address { address, source })?;
        Ok(Self {
            listener: Some(listener),
            ..self
        })
    }

    /// Asks the kubelet of this node about pods; without it there are none.
    #[must_use]
    pub fn with_kubelet(self, kubelet: Option<Arc<Kubelet>>) -> Self {
        Self { kubelet, ..self }
    }

    /// What brokers are given as `SPIFFE_BROKER_SOCKET` (SPIFFE Broker Endpoint 4).
    pub fn address(&self) -> String {
        self.socket.address()
    }

    /// Serves the Broker API until `stop`, then ends each stream as `Unavailable` and removes the
    /// socket.
    ///
    /// # Errors
    ///
    /// When serving ends by itself.
    pub async fn serve(
        self,
        identities: Arc<dyn Identities>,
        credentials: Arc<dyn Credentials>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Fault> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(BROKER_DESCRIPTORS)
        };
        let reflection_v1 = reflection().build_v1()?;
        let reflection_v1alpha = reflection().build_v1alpha()?;
        let (stopping, is_stopping) = watch::channel(false);
        let brokers = Arc::new(Brokers::new(self.brokers, Arc::clone(&credentials)));
        let service = Service {
            identities,
            callers: Callers::new(self.limits, self.kubelet.clone()),
            brokers: Arc::clone(&brokers),
            kubelet: self.kubelet,
            stopping: is_stopping.clone(),
        };
        let service = ApiServer::new(service).max_decoding_message_size(LONGEST_REQUEST);
        let door = Door(Arc::clone(&brokers));
        let router = Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .max_concurrent_streams(MOST_REQUESTS_OF_BROKERS)
            .add_service(InterceptedService::new(service, door.clone()))
            .add_service(InterceptedService::new(reflection_v1, door.clone()))
            .add_service(InterceptedService::new(reflection_v1alpha, door));
        let config = Arc::new(tls::config(credentials)?);
        let socket = self.socket.into_listener();
        let place = socket.place();
        let until_known = self.limits.until_known;
        let connections = listener::accept(socket, self.listener, config, &brokers, until_known);
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        let served = router.serve_with_incoming_shutdown(connections, stop).await;
        place.clear();
        Ok(served?)
    }
}
