//! The socket that workloads call.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use avouch_api::grpc::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use avouch_api::grpc::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use avouch_api::grpc::{WORKLOAD_DESCRIPTORS, WORKLOAD_HEADER};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::authority::Mending;
use crate::caller::{Caller, Callers};
use crate::executable::Executables;
use crate::identities::Identities;
use crate::peer::Peer;
use crate::sds::Secrets;
use crate::seats::{Seat, Seats};
use crate::workload::Workload;

/// The longest path of a socket in bytes, without the zero at its end (`unix(7)`, `sun_path`).
const LONGEST_PATH: usize = 107;

/// The longest request in bytes: a token of the longest header that servers take, and room.
const LONGEST_REQUEST: usize = 64 << 10;

/// The longest request of a proxy in bytes: Envoy 1.40 begins with the names of all
/// its extensions, which are 60 KB, and room.
const LONGEST_REQUEST_OF_ENVOY: usize = 1 << 20;

/// How many requests one connection may have open; a client has one for each of five methods.
const MOST_REQUESTS: u32 = 100;

/// How long to wait when no connection can be accepted, mostly because files ran out.
const PAUSE: Duration = Duration::from_millis(50);

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

/// Why there is no socket to call.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Clients can only be told of an absolute path.
    #[error("the path of the socket, {}, is not absolute", .0.display())]
    NotAbsolute(PathBuf),
    /// The kernel takes no longer one.
    #[error("the path of the socket, {}, is longer than {LONGEST_PATH} bytes", .0.display())]
    TooLong(PathBuf),
    /// Another process serves it.
    #[error("another process serves the socket {}", .0.display())]
    Taken(PathBuf),
    /// It would have to be deleted, and nobody said that it may be.
    #[error("{} exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The disk or the kernel failed.
    #[error("the socket {} cannot be {what}: {source}", path.display())]
    Io {
        /// What was to be done with it.
        what: &'static str,
        /// The socket or its folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Serving ended by itself.
    #[error("the socket is not served any more: {0}")]
    Serving(#[from] tonic::transport::Error),
    /// A bug of ours: the description of the protocol that was built in cannot be read.
    #[error("the built-in description of the protocol cannot be read: {0}; please report this")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

impl Fault {
    /// Whether the same may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Taken(_) | Self::Io { .. } | Self::Serving(_) => true,
            Self::NotAbsolute(_)
            | Self::TooLong(_)
            | Self::NotASocket(_)
            | Self::Descriptors(_) => false,
        }
    }
}

/// A SPIFFE Workload Endpoint: a socket that every process of the machine may call.
#[derive(Debug)]
pub struct Endpoint {
    path: PathBuf,
    listener: UnixListener,
    limits: Limits,
}

impl Endpoint {
    /// Opens the socket at an absolute path, in a folder that is made if there is none. A socket
    /// that was left there and that nobody serves is replaced. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the path cannot be a socket, or when another process serves it.
    pub fn bind(path: &Path, limits: Limits) -> Result<Self, Fault> {
        if !path.is_absolute() {
            return Err(Fault::NotAbsolute(path.to_owned()));
        }
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(Fault::TooLong(path.to_owned()));
        }
        let fault = |what| {
            let path = path.to_owned();
            move |source| Fault::Io { what, path, source }
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fault("put into a folder"))?;
        }
        make_way(path)?;
        let listener = UnixListener::bind(path).map_err(fault("opened"))?;
        // Workloads of every user may call: who they are, the kernel tells.
        fs::set_permissions(path, Permissions::from_mode(0o777))
            .map_err(fault("opened to every user"))?;
        Ok(Self {
            path: path.to_owned(),
            listener,
            limits,
        })
    }

    /// What clients are given as `SPIFFE_ENDPOINT_SOCKET` (SPIFFE Workload Endpoint 4).
    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Serves the Workload API and Envoy's Secret Discovery Service until `stop`, then ends each stream as `Unavailable` and removes
    /// the socket.
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
        let callers = Callers::new(Executables::new(self.limits.executable_bytes));
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

        let (accepted, connections) = mpsc::channel(16);
        let seats = Seats::new(self.limits.connections_per_user);
        let accepting = tokio::spawn(accept(self.listener, seats, accepted));
        let served = Server::builder()
            .max_concurrent_streams(MOST_REQUESTS)
            .add_service(InterceptedService::new(workload, require_header))
            // Envoy has no way to send the header.
            .add_service(secrets)
            .add_service(InterceptedService::new(reflection_v1, require_header))
            .add_service(InterceptedService::new(reflection_v1alpha, require_header))
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), async {
                stop.await;
                stopping.send_replace(true);
            })
            .await;
        accepting.abort();
        let removed = fs::remove_file(&self.path);
        if let Err(error) = removed.as_ref() {
            tracing::debug!(path = %self.path.display(), %error, "the socket was not removed");
        }
        Ok(served?)
    }
}

/// Removes a socket that nobody serves.
fn make_way(path: &Path) -> Result<(), Fault> {
    let fault = |what, source| Fault::Io {
        what,
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault("examined", error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(Fault::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(Fault::Taken(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| fault("replaced", error))
        }
        Err(error) => Err(fault("examined", error)),
    }
}

/// Takes connections until nobody wants them any more.
async fn accept(
    listener: UnixListener,
    seats: Seats,
    connections: mpsc::Sender<io::Result<Connection>>,
) {
    while !connections.is_closed() {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "a connection was closed, as nobody knows whose it is");
                continue;
            }
        };
        let Some(seat) = seats.take(peer.user()) else {
            tracing::warn!(
                process = peer.process(),
                user = peer.user(),
                "a connection was closed, as its user has too many"
            );
            continue;
        };
        let caller = Caller {
            peer: Arc::new(peer),
            turn: Arc::new(Mutex::new(())),
        };
        let connection = Connection {
            stream,
            caller,
            mending: Mending::default(),
            _seat: seat,
        };
        if connections.send(Ok(connection)).await.is_err() {
            return;
        }
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

/// A connection and whose it is.
struct Connection {
    stream: UnixStream,
    caller: Caller,
    mending: Mending,
    _seat: Seat,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        this.mending.read(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
