//! Connections of brokers: TLS over a socket of this machine or over the network.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// How long a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// How many handshakes and connections there are at once: a node has few brokers.
const MOST_CONNECTIONS: usize = 128;

/// How long to wait when no connection can be accepted, mostly because files ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// What each request knows of the connection that it came over.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// What the caller showed: its certificate and those above it.
    pub(super) chain: Arc<Vec<Vec<u8>>>,
    /// Whether it is on this machine.
    pub(super) is_local: bool,
}

/// A stream of bytes in both directions.
pub(super) enum Wire {
    Local(UnixStream),
    Network(TcpStream),
}

/// A connection whose other end has shown who it is.
pub(super) struct Secured {
    stream: TlsStream<Wire>,
    connection: Connection,
    _seat: tokio::sync::OwnedSemaphorePermit,
}

/// Takes connections for as long as someone wants them.
pub(super) fn accept(
    socket: UnixListener,
    network: Option<TcpListener>,
    config: Arc<ServerConfig>,
) -> ReceiverStream<io::Result<Secured>> {
    let (accepted, connections) = mpsc::channel(16);
    let accepting = Accepting {
        acceptor: TlsAcceptor::from(config),
        seats: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        accepted,
    };
    tokio::spawn(accepting.run(socket, network));
    ReceiverStream::new(connections)
}

struct Accepting {
    acceptor: TlsAcceptor,
    seats: Arc<Semaphore>,
    accepted: mpsc::Sender<io::Result<Secured>>,
}

impl Accepting {
    async fn run(self, socket: UnixListener, network: Option<TcpListener>) {
        loop {
            let Ok(seat) = Arc::clone(&self.seats).acquire_owned().await else {
                return;
            };
            let wire = tokio::select! {
                accepted = socket.accept() => accepted.map(|(one, _)| Wire::Local(one)),
                wire = next_of_network(network.as_ref()) => wire,
                () = self.accepted.closed() => return,
            };
            let wire = match wire {
                Ok(wire) => wire,
                Err(error) => {
                    tracing::error!(%error, "no connection of a broker can be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (acceptor, accepted) = (self.acceptor.clone(), self.accepted.clone());
            tokio::spawn(async move {
                if let Some(secured) = shake_hands(acceptor, wire, seat).await {
                    // Whoever stops takes no more.
                    drop(accepted.send(Ok(secured)).await);
                }
            });
        }
    }
}

async fn next_of_network(listener: Option<&TcpListener>) -> io::Result<Wire> {
    match listener {
        Some(listener) => listener.accept().await.map(|(one, _)| Wire::Network(one)),
        None => std::future::pending().await,
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    wire: Wire,
    seat: tokio::sync::OwnedSemaphorePermit,
) -> Option<Secured> {
    let is_local = matches!(wire, Wire::Local(_));
    let shaken = tokio::time::timeout(LONGEST_HANDSHAKE, acceptor.accept(wire)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a broker does not get in");
            return None;
        }
        Err(_) => {
            tracing::warn!("a broker takes too long to say who it is");
            return None;
        }
    };
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default().iter();
    let chain: Vec<Vec<u8>> = chain.map(|one| one.to_vec()).collect();
    Some(Secured {
        connection: Connection {
            chain: Arc::new(chain),
            is_local,
        },
        stream,
        _seat: seat,
    })
}

impl Connected for Secured {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
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
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Local(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Network(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Local(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Network(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Local(stream) => Pin::new(stream).poll_flush(context),
            Self::Network(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Local(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Network(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
