//! From the name of a host to its addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::Place;

/// Finds the addresses of a host. It blocks.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, each with `port`.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// As every program of this machine resolves names.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs()?.collect())
    }
}

/// The most addresses of one host that are looked at.
const MOST_ADDRESSES: usize = 16;

/// How many names are looked up at once: each holds a thread, for as long as its name servers
/// please.
const AT_ONCE: usize = 64;

/// Looks names up, a bounded number at once.
pub(super) struct Lookups {
    resolver: Arc<dyn Resolve>,
    at_once: Arc<Semaphore>,
}

impl Lookups {
    pub(super) fn of(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            resolver,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The addresses of a host. The place of the tenant is held until the system has answered, also
    /// when nobody waits for it any more: a name that hangs is paid by who asked for it.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
        place: Place,
    ) -> Result<Vec<SocketAddr>, String> {
        let slot = Arc::clone(&self.at_once).acquire_owned().await;
        let slot = slot.map_err(|error| error.to_string())?;
        let resolver = Arc::clone(&self.resolver);
        let host = host.to_owned();
        let looked_up = tokio::task::spawn_blocking(move || {
            let found = resolver.resolve(&host, port);
            drop((slot, place));
            found
        });
        let found = looked_up.await.map_err(|error| error.to_string())?;
        let mut found = found.map_err(|error| error.to_string())?;
        found.truncate(MOST_ADDRESSES);
        if found.is_empty() {
            return Err("it has no address".to_owned());
        }
        Ok(found)
    }
}
