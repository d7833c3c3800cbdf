//! Connections of brokers: TLS over a socket of this machine or over the network.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use avouch_core::id::SpiffeId;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::access::Brokers;
use crate::authority::Mending;
use crate::quiet::Quiet;
use crate::seats::{Seat, Seats};
use crate::socket::Lasting;

/// How long a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// How many handshakes there are at once, on the socket and over the network each.
const MOST_HANDSHAKES: usize = 64;

/// How many connections there are at once, on the socket and over the network each: a node has few
/// brokers.
const MOST_CONNECTIONS: usize = 128;

/// How many of them one broker may have, and all who are no brokers together.
const MOST_CONNECTIONS_OF_ONE: usize = 16;

/// How long to wait when no connection can be accepted, mostly because files ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// What each request knows of the connection that it came over.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// What the caller showed: its certificate and those above it.
    pub(super) chain: Arc<Vec<Vec<u8>>>,
    /// Whether it is on this machine.
    pub(super) is_local: bool,
    is_known: Arc<AtomicBool>,
}

impl Connection {
    /// A call over it was let in.
    pub(super) fn is_known_now(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }
}

/// A stream of bytes in both directions: over the socket, or over the network.
type Wire = Either<UnixStream, TcpStream>;

/// A connection whose other end has shown who it is.
pub(super) struct Secured {
    stream: TlsStream<Wire>,
    connection: Connection,
    /// When it ends if no call was let in by then: who says nothing at all is not asked by HTTP/2
    /// whether it is there, and would keep its seat.
    end_of_stranger: Option<Pin<Box<Sleep>>>,
    /// On a socket of this machine the authority of a request may be its path.
    mending: Option<Mending>,
    _seat: Seat<Holder>,
}

/// Whose seats a connection takes: those of a broker, or of whoever is none.
type Holder = Option<SpiffeId>;

/// Takes connections for as long as someone wants them.
pub(super) fn accept(
    socket: Lasting,
    network: Option<TcpListener>,
    config: Arc<ServerConfig>,
    brokers: &Arc<Brokers>,
    until_known: Duration,
) -> ReceiverStream<io::Result<Secured>> {
    let (accepted, connections) = mpsc::channel(16);
    let listeners = [
        Some(Listener::Local(socket)),
        network.map(Listener::Network),
    ];
    for listener in listeners.into_iter().flatten() {
        // Each has places of its own, so that whoever reaches the network does not keep out who is
        // on this machine.
        let accepting = Accepting {
            acceptor: TlsAcceptor::from(Arc::clone(&config)),
            brokers: Arc::clone(brokers),
            handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
            seats: Seats::new(MOST_CONNECTIONS_OF_ONE, MOST_CONNECTIONS),
            accepted: accepted.clone(),
            until_known,
        };
        tokio::spawn(Arc::new(accepting).run(listener));
    }
    ReceiverStream::new(connections)
}

enum Listener {
    Local(Lasting),
    Network(TcpListener),
}

impl Listener {
    async fn accept(&mut self) -> io::Result<Wire> {
        match self {
            Self::Local(socket) => socket.accept().await.map(Wire::Left),
            Self::Network(listener) => listener.accept().await.map(|(one, _)| Wire::Right(one)),
        }
    }
}

struct Accepting {
    acceptor: TlsAcceptor,
    brokers: Arc<Brokers>,
    handshakes: Arc<Semaphore>,
    seats: Seats<Holder>,
    accepted: mpsc::Sender<io::Result<Secured>>,
    until_known: Duration,
}

/// Whoever connects again and again in vain may not fill the log with it.
static COMPLAINTS: Quiet = Quiet::new();

impl Accepting {
    async fn run(self: Arc<Self>, mut listener: Listener) {
        loop {
            let Ok(handshake) = Arc::clone(&self.handshakes).acquire_owned().await else {
                return;
            };
            let wire = tokio::select! {
                wire = listener.accept() => wire,
                () = self.accepted.closed() => return,
            };
            let wire = match wire {
                Ok(wire) => wire,
                Err(error) => {
                    COMPLAINTS.tell(|left_out| {
                        tracing::error!(%error, left_out, "no connection of a broker can be accepted");
                    });
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let accepting = Arc::clone(&self);
            tokio::spawn(async move {
                let secured = accepting.shake_hands(wire).await;
                drop(handshake);
                if let Some(secured) = secured {
                    // Whoever stops takes no more.
                    drop(accepting.accepted.send(Ok(secured)).await);
                }
            });
        }
    }

    async fn shake_hands(&self, wire: Wire) -> Option<Secured> {
        let is_local = matches!(wire, Wire::Left(_));
        let shaken = tokio::time::timeout(LONGEST_HANDSHAKE, self.acceptor.accept(wire)).await;
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                COMPLAINTS.tell(|left_out| {
                    tracing::warn!(%error, left_out, "a broker does not get in");
                });
                return None;
            }
            Err(_) => {
                COMPLAINTS.tell(|left_out| {
                    tracing::warn!(left_out, "a broker takes too long to say who it is");
                });
                return None;
            }
        };
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default().iter();
        let chain: Vec<Vec<u8>> = chain.map(|one| one.to_vec()).collect();
        let connection = Connection {
            chain: Arc::new(chain),
            is_local,
            is_known: Arc::default(),
        };
        let holder = self.brokers.permitted(&connection);
        let Some(seat) = self.seats.take(holder.clone()) else {
            COMPLAINTS.tell(|left_out| {
                let broker = holder.map(|id| id.to_string());
                tracing::warn!(
                    broker,
                    left_out,
                    "a connection was closed, as there are too many"
                );
            });
            return None;
        };
        Some(Secured {
            connection,
            stream,
            mending: is_local.then(Mending::default),
            end_of_stranger: Some(Box::pin(tokio::time::sleep(self.until_known))),
            _seat: seat,
        })
    }
}

impl Secured {
    /// Whether nobody has come to be known on it for too long.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        if self.connection.is_known.load(Ordering::Relaxed) {
            self.end_of_stranger = None;
        }
        let end = self.end_of_stranger.as_mut();
        end.is_some_and(|end| end.as_mut().poll(context).is_ready())
    }
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
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(mending) = &mut self.mending {
            mending.read(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
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
