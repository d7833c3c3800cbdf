//! Connections of nodes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::Session;

/// How long a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted, mostly because files ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections for as long as someone wants them.
pub(super) fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, connections) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                stream = listener.accept() => stream,
                () = accepted.closed() => return,
            };
            match stream {
                Ok((stream, _)) => {
                    let accepted = accepted.clone();
                    let acceptor = TlsAcceptor::from(Arc::clone(&config));
                    tokio::spawn(async move {
                        if let Some(connection) = shake_hands(acceptor, stream).await {
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

async fn shake_hands(acceptor: TlsAcceptor, stream: TcpStream) -> Option<Connection> {
    // Small messages in both directions: waiting to fill packets would only delay them.
    drop(stream.set_nodelay(true));
    let shaken = tokio::time::timeout(LONGEST_HANDSHAKE, acceptor.accept(stream)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::info!(%error, "a connection was not made");
            return None;
        }
        Err(_) => return None,
    };
    let address = stream.get_ref().0.peer_addr().ok();
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = certificates.iter().map(|one| one.to_vec()).collect();
    Some(Connection {
        peer: Peer {
            session: Arc::new(Session::new(chain)),
            address,
        },
        stream,
    })
}

/// Whose a connection is.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) session: Arc<Session>,
    pub(super) address: Option<SocketAddr>,
}

/// A connection and whose it is.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
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
