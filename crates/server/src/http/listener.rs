//! Connections of administrators and verifiers: so many, and none that says nothing for long.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::files;
use crate::plain_http::{TLS_REQUIRED, unless_plain};
use crate::plane::Plane;
use crate::shares::{Share, Shares};
use crate::tls::Shown;
use crate::turned_away::Crowd;

/// The most connections at once; more wait in the queue of the system.
const MOST_CONNECTIONS: usize = 4_096;

/// Which part of them one address may have, so that it takes several to keep out all others: a proxy in
/// front of the server has no more either.
const PART_OF_EACH: usize = 4;

/// For how long a connection may be silent.
const LONGEST_SILENCE: Duration = Duration::from_secs(75);

/// How long it may take from the first byte of a request to the first of its answer: more than its body
/// and its work may take. Bytes that come one by one do not make it longer.
const LONGEST_REQUEST: Duration = Duration::from_secs(100);

/// How long a handshake may take.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// How many connections whose handshake is done may wait to be served.
const MOST_WAITING: usize = 64;

/// A listener that takes so many connections at once.
pub(super) struct Patient {
    address: SocketAddr,
    connections: mpsc::Receiver<(Connection, SocketAddr)>,
}

impl Patient {
    /// Takes connections for as long as someone wants them; with TLS where something is shown.
    pub(super) fn open(listener: TcpListener, shown: Shown, plane: Arc<Plane>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (accepted, connections) = mpsc::channel(MOST_WAITING);
        tokio::spawn(take(listener, shown, plane, accepted));
        Ok(Self {
            address,
            connections,
        })
    }
}

impl Listener for Patient {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            // What takes them ends only after this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn take(
    mut listener: TcpListener,
    shown: Shown,
    plane: Arc<Plane>,
    accepted: mpsc::Sender<(Connection, SocketAddr)>,
) {
    let most = files::part_of_all(MOST_CONNECTIONS, 2);
    let places = Arc::new(Semaphore::new(most));
    let shares = Shares::of(most, (most / PART_OF_EACH).max(1));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.ok();
        let (stream, address) = tokio::select! {
            taken = Listener::accept(&mut listener) => taken,
            () = accepted.closed() => return,
        };
        // Whoever has too many has this one closed.
        let Some(share) = shares.take(Some(address.ip())) else {
            plane.turn_away(Crowd::Http, Some(address));
            continue;
        };
        // Small answers: waiting to fill packets would only delay them.
        drop(stream.set_nodelay(true));
        let (shown, accepted) = (shown.clone(), accepted.clone());
        // By itself, so that nobody waits for the handshake of another.
        tokio::spawn(async move {
            let stream = match timeout(LONGEST_HANDSHAKE, secured(stream, &shown)).await {
                Ok(Some(stream)) => stream,
                Ok(None) | Err(_) => return,
            };
            let connection = Connection {
                stream,
                patience: Patience::default(),
                end: Box::pin(sleep(LONGEST_SILENCE)),
                _place: (place, share),
            };
            // Whoever stops takes no more.
            drop(accepted.send((connection, address)).await);
        });
    }
}

/// Shakes hands, where TLS is spoken.
async fn secured(stream: TcpStream, shown: &Shown) -> Option<Stream> {
    if matches!(shown, Shown::Nothing) {
        return Some(Stream::Plain(stream));
    }
    let stream = unless_plain(stream, &TLS_REQUIRED).await?;
    let failed = |error: io::Error| tracing::info!(%error, "a connection was not made");
    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let started = started.map_err(failed).ok()?;
    let name = started.client_hello().server_name().map(str::to_owned);
    let config = match shown.config(name).await {
        Ok(config) => config?,
        Err(error) => {
            tracing::warn!(%error, "there is nothing to show to who connects");
            return None;
        }
    };
    let shaken = started.into_stream(config).await;
    Some(Stream::Secured(Box::new(shaken.map_err(failed).ok()?)))
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// As far as TLS tells: the chain of certificates whose key it holds, the end entity first, not
    /// yet believed.
    pub(super) certificates: Arc<Vec<Vec<u8>>>,
}

impl Connected<IncomingStream<'_, Patient>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        let certificates = match &stream.io().stream {
            Stream::Plain(_) => None,
            Stream::Secured(stream) => stream.get_ref().1.peer_certificates(),
        };
        let certificates = certificates.unwrap_or_default().iter();
        Self {
            // One that speaks IPv4 is the same whatever the listener speaks.
            address: stream.remote_addr().ip().to_canonical(),
            certificates: Arc::new(certificates.map(|one| one.to_vec()).collect()),
        }
    }
}

/// A connection that ends when nothing has come for too long, or not all of a request.
pub(super) struct Connection {
    stream: Stream,
    patience: Patience,
    end: Pin<Box<Sleep>>,
    _place: (Option<OwnedSemaphorePermit>, Share),
}

/// For how long is waited, by what has happened last.
#[derive(Default)]
struct Patience {
    is_asked: bool,
}

impl Patience {
    /// Something has come: for how long is waited from now on, if that changes.
    fn heard(&mut self) -> Option<Duration> {
        let was_asked = std::mem::replace(&mut self.is_asked, true);
        (!was_asked).then_some(LONGEST_REQUEST)
    }

    /// Something was answered: likewise.
    fn answered(&mut self) -> Duration {
        self.is_asked = false;
        LONGEST_SILENCE
    }
}

enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn reading(&mut self) -> &mut (dyn AsyncRead + Send + Unpin) {
        match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Secured(stream) => stream,
        }
    }

    fn writing(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Secured(stream) => stream,
        }
    }

    /// Waits from now on.
    fn wait(&mut self, longest: Duration) {
        self.end.as_mut().reset(Instant::now() + longest);
    }

    /// What of it is still waited for; or that it was waited for too long.
    fn or_over<T>(
        &mut self,
        done: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if done.is_pending() && self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }

    /// Likewise, for something that is written.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            let longest = self.patience.answered();
            self.wait(longest);
        }
        self.or_over(written, context)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(self.reading()).poll_read(context, buffer);
        if read.is_ready()
            && let Some(longest) = self.patience.heard()
        {
            self.wait(longest);
        }
        self.or_over(read, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.writing()).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.writing()).poll_write_vectored(context, slices);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.writing()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.writing()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_come_one_by_one_are_not_waited_for_longer() {
        let mut patience = Patience::default();
        assert_eq!(patience.heard(), Some(LONGEST_REQUEST));
        assert_eq!(patience.heard(), None);
        assert_eq!(patience.answered(), LONGEST_SILENCE);
        assert_eq!(patience.heard(), Some(LONGEST_REQUEST));
    }
}
