//! A socket, and connections whose peers are known.

mod lasting;

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, Router};

use crate::authority::Mending;
use crate::caller::Caller;
use crate::endpoint::Limits;
use crate::peer::Peer;
use crate::quiet::Quiet;
use crate::seats::{Seat, Seats};
pub(crate) use lasting::Lasting;

/// The longest path of a socket in bytes, without the zero at its end (`unix(7)`, `sun_path`).
const LONGEST_PATH: usize = 107;

/// How long to wait when no connection can be accepted, mostly because files ran out.
const PAUSE: Duration = Duration::from_millis(50);

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
    /// An address of the network.
    #[error("{address} cannot be listened on: {source}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be spoken.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
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
            Self::Taken(_) | Self::Address { .. } | Self::Io { .. } | Self::Serving(_) => true,
            Self::NotAbsolute(_)
            | Self::TooLong(_)
            | Self::NotASocket(_)
            | Self::Tls(_)
            | Self::Descriptors(_) => false,
        }
    }
}

/// A socket that is open.
#[derive(Debug)]
pub(crate) struct Socket(Lasting);

impl Socket {
    /// Opens the socket at an absolute path, with these permissions. To be called within a Tokio
    /// runtime.
    pub(crate) fn open(path: &Path, permissions: u32) -> Result<Self, Fault> {
        if !path.is_absolute() {
            return Err(Fault::NotAbsolute(path.to_owned()));
        }
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(Fault::TooLong(path.to_owned()));
        }
        Lasting::open(path, permissions).map(Self)
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.0.path().display())
    }

    /// What accepts connections.
    pub(crate) fn into_listener(self) -> Lasting {
        self.0
    }

    /// Serves until `stop`, then removes the socket.
    pub(crate) async fn serve(
        self,
        router: Router,
        limits: Limits,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Fault> {
        let (accepted, connections) = mpsc::channel(16);
        let seats = Seats::new(limits.connections_per_user, limits.connections);
        let listener = self.into_listener();
        let place = listener.place();
        let accepting = tokio::spawn(accept(listener, seats, accepted));
        let served = router
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop)
            .await;
        accepting.abort();
        place.clear();
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

/// Whoever connects again and again in vain, or uses up the files, may not fill the log with it.
static COMPLAINTS: Quiet = Quiet::new();

/// Takes connections until nobody wants them any more.
async fn accept(
    mut listener: Lasting,
    seats: Seats,
    connections: mpsc::Sender<io::Result<Connection>>,
) {
    while !connections.is_closed() {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                COMPLAINTS.tell(|left_out| {
                    tracing::error!(%error, left_out, "no connection can be accepted");
                });
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                COMPLAINTS.tell(|left_out| {
                    tracing::warn!(
                        %error, left_out,
                        "a connection was closed, as nobody knows whose it is"
                    );
                });
                continue;
            }
        };
        let Some(seat) = seats.take(peer.user()) else {
            if let Some(left_out) = COMPLAINTS.admit(peer.user(), Instant::now()) {
                tracing::warn!(
                    process = peer.process(),
                    user = peer.user(),
                    left_out,
                    "a connection was closed, as its user has too many, or all users together"
                );
            }
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
