//! A server from its start to its end: what it listens on, and what it does in time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_store::Sequence;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::blocking::blocking;
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tls::{ServerIdentity, Shown, SpiffeEndpoint, WebCertificate};
use crate::{decisions, federation, http, issuers, node_api, signals};

/// How often it is looked for what is over: entries, join tokens, what ended and what is to be told of.
const OVER_PERIOD: Duration = Duration::from_secs(5);

/// How often what was counted of decisions is stored.
const TALLIES_PERIOD: Duration = Duration::from_secs(60);

/// How often single uses are looked through for those that need not be remembered any more.
const USES_PERIOD: Duration = Duration::from_secs(60);

/// How often intents are looked through for those that are kept no longer.
const INTENTS_PERIOD: Duration = Duration::from_secs(600);

/// How long a removal is kept for servers that have yet to see it. They see it within seconds; one that
/// could not for so long takes up everything anew.
const REMOVALS_PERIOD: Duration = Duration::from_secs(3_600);

/// How often other servers on the store are told how far followers have come.
const REPORT_PERIOD: Duration = Duration::from_secs(5);

/// How long the store is listened to at a time, which is how long a server that stops waits for it.
const STORE_PERIOD: Duration = Duration::from_millis(500);

/// How often the store is asked what it has, in periods, should a notice have been lost.
const STORE_LOOK: u32 = 10;

/// How often the files of the certificate are looked at.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(2);

/// What a server listens on.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    certificate: Option<Arc<WebCertificate>>,
    nodes: TcpListener,
    endpoints: Vec<(TcpListener, Option<TrustDomain>)>,
}

impl Listeners {
    /// Opens both addresses, for administrators and verifiers and for nodes.
    ///
    /// # Errors
    ///
    /// [`Fault::Listen`].
    pub async fn open(http: SocketAddr, nodes: SocketAddr) -> Result<Self, Fault> {
        Ok(Self {
            http: listen(http, "--listen").await?,
            certificate: None,
            nodes: listen(nodes, "--grpc-listen").await?,
            endpoints: Vec::new(),
        })
    }

    /// Has HTTP spoken over TLS, with a certificate that is read anew when its files change.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Arc<WebCertificate>) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Opens an address where an X.509-SVID is shown: that of the trust domain whose name a client
    /// asks for, or else that of `trust_domain`, or else that of the root.
    ///
    /// # Errors
    ///
    /// [`Fault::Listen`].
    pub async fn open_endpoint(
        &mut self,
        address: SocketAddr,
        trust_domain: Option<TrustDomain>,
    ) -> Result<SocketAddr, Fault> {
        let listener = listen(address, "--spiffe-listen").await?;
        let address = local(&listener)?;
        self.endpoints.push((listener, trust_domain));
        Ok(address)
    }

    /// Where administrators and verifiers call.
    ///
    /// # Errors
    ///
    /// [`Fault::Bug`].
    pub fn http_address(&self) -> Result<SocketAddr, Fault> {
        local(&self.http)
    }

    /// Where nodes call.
    ///
    /// # Errors
    ///
    /// [`Fault::Bug`].
    pub fn node_address(&self) -> Result<SocketAddr, Fault> {
        local(&self.nodes)
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, Fault> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| Fault::Listen {
        address: address.to_string(),
        flag,
        source,
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Fault> {
    let address = listener.local_addr();
    address.map_err(|error| Fault::Bug(error.to_string()))
}

/// Serves until `stopping` becomes true, then ends what is under way.
///
/// # Errors
///
/// What failed first; then everything else is ended, too.
pub async fn run(
    plane: Arc<Plane>,
    listeners: Listeners,
    is_alone: bool,
    stopping: watch::Receiver<bool>,
) -> Result<(), Refused> {
    let identity = {
        let plane = Arc::clone(&plane);
        blocking(move || ServerIdentity::new(plane)).await?
    };
    let mut serving: JoinSet<Result<(), Fault>> = JoinSet::new();
    let shown = match &listeners.certificate {
        Some(certificate) => Shown::Web(Arc::clone(certificate)),
        None => Shown::Nothing,
    };
    let mut of_http = vec![(listeners.http, shown)];
    for (listener, trust_domain) in listeners.endpoints {
        let endpoint = SpiffeEndpoint::new(Arc::clone(&plane), trust_domain);
        of_http.push((listener, Shown::Spiffe(Arc::new(endpoint))));
    }
    for (listener, shown) in of_http {
        let plane = Arc::clone(&plane);
        serving.spawn(http::serve(listener, shown, plane, stopping.clone()));
    }
    serving.spawn(node_api::serve(
        listeners.nodes,
        Arc::clone(&identity),
        Arc::clone(&plane),
        stopping.clone(),
    ));
    let mut jobs = JoinSet::new();
    jobs.spawn(tend(Arc::clone(&plane), identity));
    jobs.spawn(remove_over(Arc::clone(&plane)));
    jobs.spawn(federation::follow(Arc::clone(&plane)));
    jobs.spawn(issuers::keep(Arc::clone(&plane)));
    jobs.spawn(signals::keep(Arc::clone(&plane)));
    jobs.spawn(forget_uses(Arc::clone(&plane)));
    jobs.spawn(forget_intents(Arc::clone(&plane)));
    jobs.spawn(forget_removals(Arc::clone(&plane)));
    jobs.spawn(store_tallies(Arc::clone(&plane)));
    jobs.spawn(decisions::store(Arc::clone(&plane)));
    if let Some(certificate) = listeners.certificate {
        jobs.spawn(follow_files(certificate));
    }
    let counting = Arc::clone(&plane);
    if !is_alone {
        jobs.spawn(follow_store(Arc::clone(&plane)));
        jobs.spawn(report_followers(plane));
    }
    let mut first = Ok(());
    while let Some(ended) = serving.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(Fault::Bug(error.to_string())));
        // Serving ends when it is told to; whatever ends by itself takes the rest with it.
        if ended.is_err() || !*stopping.borrow() {
            first = first.and(ended);
            serving.abort_all();
        }
    }
    // What was counted since the last minute, and what was decided since the last moment.
    blocking(move || {
        let counted = counting.store_tallies();
        counting.store_decisions()?;
        counted
    })
    .await?;
    Ok(first?)
}

/// Tends authorities and the server's own identity.
async fn tend(plane: Arc<Plane>, identity: Arc<ServerIdentity>) {
    let lifetimes = plane.settings().authorities;
    let shortest = lifetimes
        .root
        .min(lifetimes.intermediate)
        .min(lifetimes.token)
        .min(plane.settings().node_ttl);
    // A hundred looks in a life are enough to be in time.
    let period = Duration::from_secs(u64::from((shortest / 100).clamp(1, 30)));
    // At once, since of most tenants nothing was looked at with the start.
    loop {
        let (plane, identity) = (Arc::clone(&plane), Arc::clone(&identity));
        let tended = blocking(move || {
            // Neither waits for the other: nodes of all tenants look at this identity.
            let tended = plane.tend_all();
            identity.renew().and(tended)
        });
        if let Err(error) = tended.await {
            tracing::error!(%error, "what is due could not be done; it is tried again");
        }
        tokio::time::sleep(period).await;
    }
}

async fn follow_files(certificate: Arc<WebCertificate>) {
    loop {
        tokio::time::sleep(CERTIFICATE_PERIOD).await;
        let certificate = Arc::clone(&certificate);
        let followed = tokio::task::spawn_blocking(move || certificate.follow());
        drop(followed.await);
    }
}

async fn remove_over(plane: Arc<Plane>) {
    // While the store is away nothing is, and that need not be said each time.
    let mut is_told = false;
    loop {
        tokio::time::sleep(OVER_PERIOD).await;
        let plane = Arc::clone(&plane);
        let removed = blocking(move || plane.remove_over()).await;
        if let Err(error) = &removed
            && !is_told
        {
            tracing::error!(%error, "what is over could not be removed; it is tried again");
        }
        is_told = removed.is_err();
    }
}

async fn forget_uses(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(USES_PERIOD).await;
        let plane = Arc::clone(&plane);
        let forgotten = blocking(move || {
            plane.forget_uses()?;
            plane.forget_decisions()?;
            plane.clear_removed()?;
            plane.forget_endings()?;
            plane.forget_notices()
        });
        if let Err(error) = forgotten.await {
            tracing::error!(%error, "what has ended could not be forgotten");
        }
    }
}

async fn forget_intents(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(INTENTS_PERIOD).await;
        let plane = Arc::clone(&plane);
        let forgotten = blocking(move || {
            plane.keep_lifetimes()?;
            Ok(plane.forget_intents()?)
        });
        match forgotten.await {
            Ok(0) => {}
            Ok(intents) => tracing::info!(intents, "intents of what ended long ago are forgotten"),
            Err(error) => tracing::error!(%error, "intents could not be forgotten"),
        }
    }
}

async fn forget_removals(plane: Arc<Plane>) {
    let mut heads = BTreeMap::new();
    let mut done = BTreeMap::new();
    loop {
        let (plane, done_before) = (Arc::clone(&plane), done.clone());
        let mut due: BTreeMap<TenantId, Sequence> = heads.clone();
        let work = move || {
            due.retain(|id, head| done_before.get(id) != Some(head));
            let forgotten = plane.forget_removals(&due)?;
            Ok((forgotten, plane.heads()?))
        };
        match blocking(work).await {
            Ok((forgotten, now)) => {
                done = heads;
                heads = now;
                if forgotten > 0 {
                    tracing::info!(
                        forgotten,
                        "what was removed an hour ago or more is forgotten"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "what was removed could not be forgotten"),
        }
        tokio::time::sleep(REMOVALS_PERIOD).await;
    }
}

async fn store_tallies(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(TALLIES_PERIOD).await;
        let plane = Arc::clone(&plane);
        if let Err(error) = blocking(move || plane.store_tallies()).await {
            tracing::error!(%error, "what was counted could not be stored; it is counted on");
        }
    }
}

async fn report_followers(plane: Arc<Plane>) {
    loop {
        let reported = {
            let plane = Arc::clone(&plane);
            blocking(move || Ok(plane.report_followers()?))
        };
        if let Err(error) = reported.await {
            tracing::error!(%error, "other servers could not be told how far followers have come");
        }
        tokio::time::sleep(REPORT_PERIOD).await;
    }
}

async fn follow_store(plane: Arc<Plane>) {
    let mut is_told = false;
    let mut until_look = 0;
    loop {
        let looks = until_look == 0;
        until_look = if looks { STORE_LOOK } else { until_look - 1 };
        let followed = {
            let plane = Arc::clone(&plane);
            blocking(move || {
                if looks {
                    plane.follow_store()?;
                }
                Ok(plane.follow_news(STORE_PERIOD)?)
            })
        };
        match followed.await {
            Ok(()) => is_told = false,
            Err(error) => {
                if !is_told {
                    tracing::error!(%error, "the store does not answer; what is held is served on");
                }
                is_told = true;
                tokio::time::sleep(STORE_PERIOD).await;
            }
        }
    }
}
