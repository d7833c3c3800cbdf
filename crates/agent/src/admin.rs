//! The socket that delegates call.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use avouch_api::grpc::spire::api::agent::delegatedidentity::v1::delegated_identity_server::DelegatedIdentityServer;
use avouch_core::id::SpiffeId;
use tokio::sync::watch;
use tonic::transport::Server;

use crate::caller::Callers;
use crate::delegated::Delegated;
use crate::endpoint::{LONGEST_REQUEST, Limits, MOST_REQUESTS};
use crate::identities::Identities;
use crate::kubelet::Kubelet;
use crate::socket::{Fault, Socket};

/// How many requests one connection may have open; a delegate has a stream for each workload.
const MOST_REQUESTS_OF_DELEGATES: u32 = 100 * MOST_REQUESTS;

/// An endpoint for delegates: programs that act on behalf of every workload of the machine, such as
/// a proxy that all of them share. A delegate can be any workload, so there should be few.
#[derive(Debug)]
pub struct AdminEndpoint {
    socket: Socket,
    delegates: Arc<BTreeSet<SpiffeId>>,
    limits: Limits,
    kubelet: Option<Arc<Kubelet>>,
}

impl AdminEndpoint {
    /// Opens the socket at an absolute path, for the user and the group of the agent and for no
    /// one else; a folder and a socket that was left behind are treated as by
    /// [`Endpoint::bind`](crate::Endpoint::bind). Of those who can reach it, only workloads that
    /// are one of `delegates` are served. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the path cannot be a socket, or when another process serves it.
    pub fn bind(
        path: &Path,
        delegates: impl IntoIterator<Item = SpiffeId>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        Ok(Self {
            socket: Socket::open(path, 0o770)?,
            delegates: Arc::new(delegates.into_iter().collect()),
            limits,
            kubelet: None,
        })
    }

    /// Asks the kubelet of this node about workloads in pods.
    #[must_use]
    pub fn with_kubelet(self, kubelet: Option<Arc<Kubelet>>) -> Self {
        Self { kubelet, ..self }
    }

    /// What delegates are given.
    pub fn address(&self) -> String {
        self.socket.address()
    }

    /// Serves the Delegated Identity API until `stop`, then ends each stream as `Unavailable` and
    /// removes the socket.
    ///
    /// # Errors
    ///
    /// When serving ends by itself.
    pub async fn serve(
        self,
        identities: Arc<dyn Identities>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Fault> {
        let (stopping, is_stopping) = watch::channel(false);
        let delegated = Delegated {
            identities,
            callers: Callers::new(self.limits, self.kubelet),
            delegates: self.delegates,
            stopping: is_stopping,
        };
        let service =
            DelegatedIdentityServer::new(delegated).max_decoding_message_size(LONGEST_REQUEST);
        let router = Server::builder()
            .max_concurrent_streams(MOST_REQUESTS_OF_DELEGATES)
            .add_service(service);
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        // There are few delegates, who are one user or two: together they have as much as one user.
        let limits = Limits {
            connections: self.limits.connections_per_user,
            ..self.limits
        };
        self.socket.serve(router, limits, stop).await
    }
}
