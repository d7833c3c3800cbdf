//! Connections of nodes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::Session;
use crate::files;
use crate::plain_http::{NODES_ONLY, unless_plain};
use crate::plane::Plane;
use crate::shares::{Share, Shares};
use crate::turned_away::Crowd;

/// How long a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted, mostly because files ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// How many connections there may be of those who are not known: who shake hands, or have not called as
/// a node that is let in.
const MOST_STRANGERS: usize = 1_024;

/// Which part of them one address may have. Nodes that share an address and come back all at once are
/// strangers for as long as that takes.
const PART_OF_EACH: usize = 4;

/// For how long one may be a stranger: longer than it takes to join.
const LONGEST_STRANGER: Duration = Duration::from_secs(75);

/// How many of them may have called as a node and been refused, apart from the others: evicted nodes try
/// again for as long as they run, and keep no place that nodes need which are let in.
const MOST_REFUSED: usize = 512;

/// For how long a connection that was refused goes on where there are so many: long enough for its answer,
/// and shorter than evicted nodes wait before they try again.
const LONGEST_LEAVING: Duration = Duration::from_secs(1);

/// Takes connections for as long as someone wants them.
pub(super) fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    plane: Arc<Plane>,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, connections) = mpsc::channel(64);
    let strangers = shared_out(files::part_of_all(MOST_STRANGERS, 4));
    let refused = shared_out(files::part_of_all(MOST_REFUSED, 8));
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                stream = listener.accept() => stream,
                () = accepted.closed() => return,
            };
            match stream {
                Ok((stream, address)) => {
                    // Whoever has too many has this one closed, and may try again.
                    let Some(place) = strangers.take(Some(address.ip())) else {
                        plane.turn_away(Crowd::Node, Some(address));
                        continue;
                    };
                    let stranger = Stranger::new(place, Arc::clone(&refused), address.ip());
                    let accepted = accepted.clone();
                    let acceptor = TlsAcceptor::from(Arc::clone(&config));
                    tokio::spawn(async move {
                        if let Some(connection) = shake_hands(acceptor, stream, stranger).await {
                            // Whoever stops takes no more.
                            drop(accepted.send(Ok(connection)).await);
                        }
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    ReceiverStream::new(connections)
}

fn shared_out(most: usize) -> Arc<Shares> {
    Shares::of(most, (most / PART_OF_EACH).max(1))
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    stranger: Stranger,
) -> Option<Connection> {
    // Small messages in both directions: waiting to fill packets would only delay them.
    drop(stream.set_nodelay(true));
    let shaken = async {
        let stream = unless_plain(stream, &NODES_ONLY).await?;
        Some(acceptor.accept(stream).await)
    };
    let stream = match tokio::time::timeout(LONGEST_HANDSHAKE, shaken).await {
        Ok(Some(Ok(stream))) => stream,
        Ok(Some(Err(error))) => {
            tracing::info!(%error, "a connection was not made");
            return None;
        }
        Ok(None) | Err(_) => return None,
    };
    let address = stream.get_ref().0.peer_addr().ok();
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = certificates.iter().map(|one| one.to_vec()).collect();
    Some(Connection {
        peer: Peer {
            session: Arc::new(Session::new(chain).calling_from(address)),
            stranger: Arc::new(stranger),
            address,
        },
        stream,
        end_of_stranger: Some(Box::pin(tokio::time::sleep(LONGEST_STRANGER))),
        is_leaving: false,
    })
}

/// Whose a connection is.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) session: Arc<Session>,
    pub(super) stranger: Arc<Stranger>,
    pub(super) address: Option<SocketAddr>,
}

/// Whoever is at the other end, until it has called as a node that is let in: until then it takes one
/// of the few places of those who are not known.
pub(super) struct Stranger {
    standing: Mutex<Standing>,
    /// The places of those who were refused.
    refused: Arc<Shares>,
    address: IpAddr,
}

/// How someone stands, and the place that it takes for that.
enum Standing {
    Unknown(Share),
    /// It called as a node and was refused.
    Refused {
        _place: Share,
    },
    /// Likewise, and there are too many of those.
    Leaving {
        _place: Share,
    },
    Known,
}

impl Stranger {
    fn new(place: Share, refused: Arc<Shares>, address: IpAddr) -> Self {
        Self {
            standing: Mutex::new(Standing::Unknown(place)),
            refused,
            address,
        }
    }

    /// It has called as a node that is let in.
    pub(super) fn is_known_now(&self) {
        *self.lock() = Standing::Known;
    }

    /// It has called as a node, and was refused.
    pub(super) fn is_refused_now(&self) {
        let mut standing = self.lock();
        *standing = match std::mem::replace(&mut *standing, Standing::Known) {
            Standing::Unknown(place) => match self.refused.take(Some(self.address)) {
                Some(place) => Standing::Refused { _place: place },
                None => Standing::Leaving { _place: place },
            },
            same => same,
        };
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection and whose it is.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// When it ends if nobody has come to be known by then.
    end_of_stranger: Option<Pin<Box<Sleep>>>,
    /// Whether that is soon, since there is no place for it.
    is_leaving: bool,
}

impl Connection {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let Some(end) = self.end_of_stranger.as_mut() else {
            return false;
        };
        match *self.peer.stranger.lock() {
            Standing::Known => {
                self.end_of_stranger = None;
                return false;
            }
            Standing::Leaving { .. } if !self.is_leaving => {
                self.is_leaving = true;
                end.as_mut().reset(Instant::now() + LONGEST_LEAVING);
            }
            Standing::Unknown(_) | Standing::Refused { .. } | Standing::Leaving { .. } => {}
        }
        end.as_mut().poll(context).is_ready()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
}
