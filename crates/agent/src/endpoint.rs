//! The socket that workloads call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
use crate::open_files;
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
    /// The most connections of one user at once. By default an eighth of the files that this process
    /// may have open when it is asked, of which each connection takes two, and never more than 2048.
    pub connections_per_user: usize,
    /// The most connections of all users at once: by default a quarter of the files, so that half of
    /// them are left for what else this process does, and never more than 16,384.
    pub connections: usize,
    /// The largest executable that is read for its digest, in bytes.
    pub executable_bytes: u64,
    /// How long a connection goes on over which nobody has called who is let in as a broker: a minute
    /// by default. Workloads are known from the start, and have their places by their users.
    pub until_known: Duration,
}

impl Limits {
    /// A connection that is idle takes some 20 KB of memory, so this is 40 MB.
    const MOST_CONNECTIONS_PER_USER: usize = 2048;

    /// Brokers call as soon as they have connected.
    const UNTIL_KNOWN: Duration = Duration::from_secs(60);

    /// As many as eight users may have.
    const MOST_CONNECTIONS: usize = 8 * Self::MOST_CONNECTIONS_PER_USER;

    /// Those of a process that may have so many files open.
    fn with_files(files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        Self {
            connections_per_user: (files / 8).min(Self::MOST_CONNECTIONS_PER_USER),
            connections: (files / 4).min(Self::MOST_CONNECTIONS),
            executable_bytes: Executables::LARGEST,
            until_known: Self::UNTIL_KNOWN,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::with_files(open_files::limit())
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
        self.socket.serve(router, self.limits, stop).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_no_more_than_half_of_the_files() {
        for files in [64, 1024, 20_000, 524_288, u64::MAX] {
            let limits = Limits::with_files(files);
            let taken = 2 * limits.connections as u64;
            assert!(taken <= files / 2, "{files}: {limits:?}");
            assert!(limits.connections_per_user > 0 && limits.connections > 0);
            assert!(limits.connections >= 2 * limits.connections_per_user);
        }
    }
}
