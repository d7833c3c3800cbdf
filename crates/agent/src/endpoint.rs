//! The socket that workloads call.

use std::path::Path;
use std::sync::Arc;

use avouch_api::grpc::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use avouch_api::grpc::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use avouch_api::grpc::{WORKLOAD_DESCRIPTORS, WORKLOAD_HEADER};
use tokio::sync::watch;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Status};

use crate::caller::Callers;
use crate::executable::Executables;
use crate::identities::Identities;
use crate::kubelet::Kubelet;
use crate::sds::Secrets;
use crate::socket::{Fault, Socket};
use crate::workload::Workload;

/// The longest request in bytes: a token of the longest header that servers take, and room.
pub(crate) const LONGEST_REQUEST: usize = 64 << 10;

/// The longest request of a proxy in bytes: Envoy 1.40 begins with the names of all
/// its extensions, which are 60 KB, and room.
const LONGEST_REQUEST_OF_ENVOY: usize = 1 << 20;

/// How many requests one connection may have open; a client has one for each of five methods.
pub(crate) const MOST_REQUESTS: u32 = 100;

/// How much one user may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections of one user at once. By default half of the 1024 files that a process
    /// may usually open, so that no user alone can use them up.
    pub connections_per_user: usize,
    /// The largest executable that is read for its digest, in bytes.
    pub executable_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_user: 512,
            executable_bytes: Executables::LARGEST,
        }
    }
}

/// A SPIFFE Workload Endpoint: a socket that every process of the machine may call.
#[derive(Debug)]
pub struct Endpoint {
    socket: Socket,
    limits: Limits,
    kubelet: Option<Arc<Kubelet>>,
}

impl Endpoint {
    /// Opens the socket at an absolute path, in a folder that is made if there is none. A socket
    /// that was left there and that nobody serves is replaced. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the path cannot be a socket, or when another process serves it.
    pub fn bind(path: &Path, limits: Limits) -> Result<Self, Fault> {
        // Workloads of every user may call: who they are, the kernel tells.
        let socket = Socket::open(path, 0o777)?;
        Ok(Self {
            socket,
            limits,
            kubelet: None,
        })
    }

    /// Asks the kubelet of this node about workloads in pods.
    #[must_use]
    pub fn with_kubelet(self, kubelet: Option<Arc<Kubelet>>) -> Self {
        Self { kubelet, ..self }
    }

    /// What clients are given as `SPIFFE_ENDPOINT_SOCKET` (SPIFFE Workload Endpoint 4).
    pub fn address(&self) -> String {
        self.socket.address()
    }

    /// Serves the Workload API and Envoy's Secret Discovery Service until `stop`, then ends each
    /// stream as `Unavailable` and removes the socket.
    ///
    /// # Errors
    ///
    /// When serving ends by itself.
    pub async fn serve(
        self,
        identities: Arc<dyn Identities>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Fault> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(WORKLOAD_DESCRIPTORS)
        };
        let reflection_v1 = reflection().build_v1()?;
        let reflection_v1alpha = reflection().build_v1alpha()?;
        let (stopping, is_stopping) = watch::channel(false);
        let callers = Callers::new(self.limits, self.kubelet);
        let secrets = Secrets {
            identities: Arc::clone(&identities),
            callers: callers.clone(),
            stopping: is_stopping.clone(),
        };
        let workload = Workload {
            identities,
            callers,
            stopping: is_stopping,
        };
        let workload =
            SpiffeWorkloadApiServer::new(workload).max_decoding_message_size(LONGEST_REQUEST);
        let secrets = SecretDiscoveryServiceServer::new(secrets)
            .max_decoding_message_size(LONGEST_REQUEST_OF_ENVOY);
        let router = Server::builder()
            .max_concurrent_streams(MOST_REQUESTS)
            .add_service(InterceptedService::new(workload, require_header))
            // Envoy has no way to send the header.
            .add_service(secrets)
            .add_service(InterceptedService::new(reflection_v1, require_header))
            .add_service(InterceptedService::new(reflection_v1alpha, require_header));
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        self.socket
            .serve(router, self.limits.connections_per_user, stop)
            .await
    }
}

/// Refuses a request without `workload.spiffe.io: true` (SPIFFE Workload Endpoint 3).
fn require_header(request: Request<()>) -> Result<Request<()>, Status> {
    let mut values = request.metadata().get_all(WORKLOAD_HEADER).iter();
    let is_there = values.next().is_some_and(|value| value == "true") && values.next().is_none();
    if is_there {
        return Ok(request);
    }
    Err(Status::invalid_argument(
        "the request has no metadata `workload.spiffe.io: true`",
    ))
}
