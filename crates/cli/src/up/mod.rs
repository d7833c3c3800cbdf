//! `avouch up`: the whole plane from one command, with something real in it for a newcomer.
//!
//! ```text
//! folder ──► store, root key ──► Plane ──► HTTP, nodes
//!                                  │ join token, made here
//!                                Node ──► socket of the Workload API
//! ```
//!
//! The agent is one like any other: it joins over mutual TLS, and knows nothing but what the server
//! tells it.

mod demo;
mod folder;
mod greeting;
mod traces;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avouch_agent::command::{AgentArguments, Sockets};
use avouch_agent::node::{Beside, Joining, Node, ServerTrust};
use avouch_agent::told::Told;
use avouch_agent::{logging, open_files};
use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_server::clock::SystemClock;
use avouch_server::fetch::Permitted;
use avouch_server::keys::{TokenAddress, TokenKeys};
use avouch_server::plane::Founding;
use avouch_server::run::{self, Listeners};
use avouch_server::tls::{WebCertificate, WebFiles};
use avouch_server::{Plane, Refused, Settings};
use avouch_store::Store;
use avouch_store::keyring::RootKey;
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::sqlite::SqliteStore;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::arguments::{Common, RootKeyPlace, ServerArguments, SpiffeListen, UpArguments};
use crate::fault::{Exit, Fault};
use crate::output;
use folder::{Folder, SERVER_FILE};
use greeting::Greeting;
use traces::Traces;

/// The file that tells commands on this machine where the server is.
pub(crate) const ADDRESS_FILE: &str = "address";

/// The name of the local node, where no other server has one.
const LOCAL_NODE: &str = "local";

/// How long a join token for the local node can be used: it is used at once.
const TOKEN_TTL: u32 = 60;

/// How often the files for the command and for agents are looked at.
const FILES_PERIOD: Duration = Duration::from_secs(10);

/// How long after a signal what is under way may take to end.
const LONGEST_END: Duration = Duration::from_secs(10);

/// Runs the plane until it is told to stop.
pub fn up(arguments: &UpArguments, common: &Common) -> Result<Exit, Fault> {
    let _traces = Traces::start(arguments.server.log)?;
    open_files::raise_limit();
    run_on_threads(async {
        let started = Started::open(&arguments.server, true).await?;
        let socket = started.folder.socket(arguments.socket.as_deref());
        started.folder.warn_of_unreached(&socket);
        let sockets = Sockets::open(&socket, &arguments.serving).await?;
        let mut running = started.run();
        let node = join(&running).await;
        let node = match node {
            Ok(node) => node,
            // What has ended by itself says more than that nobody answered.
            Err(away) => return Err(running.ended_meanwhile().await.unwrap_or(away)),
        };
        let address = sockets.address();
        running.node = Some(node.clone());
        let workloads = sockets.serve(node, until(running.stopping.clone()));
        running.workloads = Some(tokio::spawn(workloads));
        // Before it is said that it is up: whoever waits for that may stop it at once.
        let told = listen()?;
        running.greet(Some(&address), common)?;
        running.until(told).await
    })
}

/// Runs a server until it is told to stop.
pub fn server(arguments: &ServerArguments, common: &Common) -> Result<Exit, Fault> {
    let _traces = Traces::start(arguments.log)?;
    open_files::raise_limit();
    run_on_threads(async {
        let running = Started::open(arguments, false).await?.run();
        let told = listen()?;
        running.greet(None, common)?;
        running.until(told).await
    })
}

/// Runs the agent of a node until it is told to stop.
pub fn agent(arguments: &AgentArguments, common: &Common) -> Result<Exit, Fault> {
    logging::start(arguments.log);
    let mut written = Ok(());
    avouch_agent::command::run(arguments, |address| {
        written = output::formatted(
            common.output,
            || avouch_agent::shell::endpoint_socket(address),
            || json!({ "workloads": address }).to_string(),
        );
    })?;
    written.map(|()| Exit::Accepted)
}

fn run_on_threads(work: impl Future<Output = Result<(), Fault>>) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Run(format!("threads cannot be started: {error}")))?;
    let ended = runtime.block_on(work);
    // What blocks for good must not keep the process alive.
    runtime.shutdown_timeout(LONGEST_END);
    ended.map(|()| Exit::Accepted)
}

/// A server that has all it needs.
struct Started {
    listeners: Listeners,
    addresses: Addresses,
    endpoints: Vec<SocketAddr>,
    folder: Folder,
    plane: Arc<Plane>,
    is_alone: bool,
    /// The operator's credential, as it was written.
    credential: Credential,
}

impl Started {
    async fn open(arguments: &ServerArguments, with_demo: bool) -> Result<Self, Fault> {
        // Before anything is made on disk: a taken address is the most common mistake.
        let (listeners, endpoints) = listeners(arguments).await?;
        let folder = Folder::open(&arguments.data)?;
        folder.check_database(arguments.store.is_some())?;
        let addresses = Addresses {
            http: listeners.http_address()?,
            nodes: listeners.node_address()?,
            scheme: match arguments.tls_cert {
                Some(_) => "https",
                None => "http",
            },
        };
        let plane = open(arguments, &folder, addresses, with_demo).await?;
        let credential = {
            let (plane, folder) = (Arc::clone(&plane), folder.clone());
            let address = addresses.local_url(arguments.public_url.as_deref());
            // Before anything is said, so that whoever waits for the greeting can use them.
            blocking(move || {
                Ok(folder
                    .write_public(ADDRESS_FILE, &address)
                    .and_then(|()| write_files(&plane, &folder, None)))
            })
            .await??
        };
        Ok(Self {
            plane,
            credential,
            is_alone: arguments.store.is_none(),
            listeners,
            addresses,
            endpoints,
            folder,
        })
    }

    fn run(self) -> Running {
        let is_alone = self.is_alone;
        let (stop, stopping) = watch::channel(false);
        let plane = Arc::clone(&self.plane);
        let serving = run::run(plane, self.listeners, is_alone, stopping.clone());
        Running {
            serving: tokio::spawn(serving),
            files: tokio::spawn(keep_files(
                Arc::clone(&self.plane),
                self.folder.clone(),
                self.credential,
            )),
            workloads: None,
            node: None,
            is_alone,
            addresses: self.addresses,
            endpoints: self.endpoints,
            folder: self.folder,
            plane: self.plane,
            stop,
            stopping,
        }
    }
}

/// A server that serves.
struct Running {
    serving: JoinHandle<Result<(), Refused>>,
    files: JoinHandle<()>,
    workloads: Option<JoinHandle<Result<(), avouch_agent::Fault>>>,
    /// The local node, if there is one.
    node: Option<Node>,
    is_alone: bool,
    addresses: Addresses,
    endpoints: Vec<SocketAddr>,
    folder: Folder,
    plane: Arc<Plane>,
    stop: watch::Sender<bool>,
    stopping: watch::Receiver<bool>,
}

impl Running {
    /// Says that all is up. For a program it is one line, so that it can be read while this runs.
    fn greet(&self, workloads: Option<&str>, common: &Common) -> Result<(), Fault> {
        let greeting = Greeting {
            http: &self.addresses.url(),
            endpoints: &self.endpoints,
            nodes: self.addresses.nodes,
            workloads,
            data: self.folder.path(),
            plane: &self.plane,
        };
        output::formatted(
            common.output,
            || greeting.to_string(),
            || greeting.to_json().to_string(),
        )
    }

    /// What has ended by itself, if anything has.
    async fn ended_meanwhile(&mut self) -> Option<Fault> {
        if !self.serving.is_finished() {
            return None;
        }
        Some(ended_early((&mut self.serving).await))
    }

    /// Until a signal comes, or until something ends by itself.
    async fn until(mut self, mut told: Told) -> Result<(), Fault> {
        let ended = tokio::select! {
            () = told.awaited() => Ok(()),
            ended = &mut self.serving => Err(ended_early(ended)),
            ended = ended(&mut self.workloads) => Err(ended_early(ended)),
        };
        if ended.is_ok() {
            tracing::info!("stopping; what is under way is ended first");
        }
        self.files.abort();
        // Before the server stops, whose end it would tell of.
        if let Some(node) = &self.node {
            node.stops();
        }
        self.stop.send_replace(true);
        let all = async {
            if let Some(workloads) = self.workloads.filter(|one| !one.is_finished()) {
                drop(workloads.await);
            }
            if !self.serving.is_finished() {
                drop(self.serving.await);
            }
        };
        if tokio::time::timeout(LONGEST_END, all).await.is_err() {
            tracing::warn!("not all that was under way has ended in time");
        }
        ended
    }
}

/// How a task ends, if there is one.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Where it listens.
#[derive(Clone, Copy)]
struct Addresses {
    http: SocketAddr,
    nodes: SocketAddr,
    scheme: &'static str,
}

impl Addresses {
    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.http)
    }

    /// How commands on this machine reach it. A certificate for TLS holds for the public name.
    fn local_url(&self, public_url: Option<&str>) -> String {
        match public_url {
            Some(public) if self.scheme == "https" => public.to_owned(),
            Some(_) | None => format!("{}://{}", self.scheme, reachable(self.http)),
        }
    }
}

/// Opens what the server listens on, and says where X.509-SVIDs are shown.
async fn listeners(arguments: &ServerArguments) -> Result<(Listeners, Vec<SocketAddr>), Fault> {
    check_protected(arguments)?;
    let mut listeners = Listeners::open(arguments.listen, arguments.grpc_listen).await?;
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        let certificate = WebCertificate::read(WebFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })?;
        listeners = listeners.with_certificate(certificate);
    }
    let mut endpoints = Vec::new();
    for SpiffeListen {
        address,
        trust_domain,
    } in &arguments.spiffe_listen
    {
        let opened = listeners.open_endpoint(*address, trust_domain.clone());
        endpoints.push(opened.await?);
    }
    Ok((listeners, endpoints))
}

/// Who can read what is on its way can be who sent it: administrators show tokens.
fn check_protected(arguments: &ServerArguments) -> Result<(), Fault> {
    let is_safe =
        arguments.listen.ip().is_loopback() || arguments.tls_cert.is_some() || arguments.plain_http;
    if is_safe {
        return Ok(());
    }
    Err(Fault::Usage(format!(
        "--listen {}: other machines reach this address, and the credentials of administrators \
         would cross the network unprotected; give --tls-cert and --tls-key, or say --plain-http if \
         something before it ends TLS",
        arguments.listen
    )))
}

async fn open(
    arguments: &ServerArguments,
    folder: &Folder,
    addresses: Addresses,
    with_demo: bool,
) -> Result<Arc<Plane>, Fault> {
    let mut settings = Settings {
        public_url: addresses.url(),
        bundle_refresh_hint: arguments.bundle_refresh,
        federation_interval: arguments.federation_interval,
        ..Settings::default()
    };
    settings
        .set_x509_ttl(arguments.x509_ttl)
        .map_err(|error| Fault::Usage(format!("--x509-ttl: {error}")))?;
    settings.fetch =
        Permitted::read(arguments.allow_fetch.iter().map(String::as_str)).map_err(|text| {
            Fault::Usage(format!(
                "--allow-fetch: `{text}` is no block, address or host"
            ))
        })?;
    if let Some(seconds) = arguments.keep_issued {
        settings.intents_kept = seconds;
    }
    if let Some(url) = &arguments.public_url {
        settings
            .set_public_url(url)
            .map_err(|why| Fault::Usage(format!("--public-url {url}: {why}")))?;
    }
    if let Some(ttl) = arguments.authority_ttl {
        settings.authorities.intermediate = ttl;
        settings.authorities.token = ttl;
    }
    let founding = Founding {
        tenant: TenantId::parse("root").ok_or_else(|| bug("`root` is no tenant"))?,
        trust_domain: TrustDomain::parse(&arguments.trust_domain)
            .map_err(|reason| Fault::Usage(reason.sentence()))?,
    };
    if with_demo && founding.trust_domain.as_str() == demo::TRUST_DOMAIN {
        return Err(Fault::Usage(format!(
            "--trust-domain {0}: `avouch up` gives {0} to the tenant `{1}` that it makes; choose another one",
            demo::TRUST_DOMAIN,
            demo::TENANT,
        )));
    }
    let store = arguments.store.clone();
    let path = folder.path().to_owned();
    let (keys, place) = (arguments.keys.clone(), arguments.root_key);
    let token = keys.map(|keys| TokenAddress::parse(&keys)).transpose();
    let token = token.map_err(|error| Fault::Usage(format!("--keys: {error}")))?;
    if token.is_none() && place == RootKeyPlace::Token {
        return Err(Fault::Usage(
            "--root-key token: name the token with --keys".to_owned(),
        ));
    }
    blocking(move || {
        let store = open_store(store.as_deref(), &path)?;
        let token = token.map(TokenKeys::open).transpose()?.map(Arc::new);
        if let Some(token) = &token {
            settings.keys = Arc::<TokenKeys>::clone(token);
        }
        let root_key = |tenants: &[_]| match (place, &token) {
            (RootKeyPlace::Token, Some(token)) => Ok(token.root_key(tenants)?),
            (RootKeyPlace::File | RootKeyPlace::Token, _) => {
                Ok(RootKey::open_or_create(&path, tenants)?)
            }
        };
        let plane = Plane::open(store, root_key, &founding, settings, Arc::new(SystemClock))?;
        if with_demo {
            demo::make(&plane)?;
        }
        Ok(plane)
    })
    .await
}

fn open_store(address: Option<&str>, folder: &Path) -> Result<Arc<dyn Store>, Refused> {
    Ok(match address {
        Some(address) => Arc::new(PostgresqlStore::connect(address)?),
        None => Arc::new(SqliteStore::open(folder)?),
    })
}

/// Takes up the membership of the local node, or lets it join: now, and whenever its identity has ended.
async fn join(running: &Running) -> Result<Node, Fault> {
    let trust = trust_of_server(&running.plane)?;
    let trust = ServerTrust::read(&trust).ok_or_else(|| bug("the own bundle cannot be read"))?;
    let (plane, folder) = (Arc::clone(&running.plane), running.folder.clone());
    let is_alone = running.is_alone;
    let new_token = move || {
        let name = folder
            .node_name(is_alone)
            .map_err(|fault| fault.to_string())?;
        let root = plane.root().map_err(|fault| fault.to_string())?;
        let made = plane.new_join_token(&root, &name, TOKEN_TTL);
        let made = made.map_err(|refused| match &refused {
            Refused::Reason(reason) => reason.sentence(),
            Refused::Fault(fault) => fault.to_string(),
        })?;
        Ok(made.token)
    };
    let joining = Joining {
        server: reachable(running.addresses.nodes).to_string(),
        trust,
        folder: running.folder.agent(),
        token: None,
        attesting: None,
        beside: Some(Beside {
            new_token: Arc::new(new_token),
        }),
    };
    Ok(Node::join(joining).await?)
}

/// The address by which this machine reaches itself, also where it listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) if address.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

/// By what agents know the server: an anchor of a trust document.
fn trust_of_server(plane: &Plane) -> Result<String, Fault> {
    let trust_domain = plane.server_id().trust_domain();
    let bundle = plane.bundle(&plane.root()?, trust_domain)?;
    Ok(json!({"trust_domain": trust_domain.as_str(), "bundle": bundle}).to_string())
}

/// Keeps the operator's credential and what agents know the server by.
async fn keep_files(plane: Arc<Plane>, folder: Folder, mut credential: Credential) {
    loop {
        tokio::time::sleep(FILES_PERIOD).await;
        let (plane, folder) = (Arc::clone(&plane), folder.clone());
        let before = credential.clone();
        let kept = blocking(move || Ok(write_files(&plane, &folder, Some(before))));
        match kept.await.and_then(|kept| kept) {
            Ok(next) => credential = next,
            Err(error) => {
                tracing::error!(%error, "the operator's credential could not be written");
            }
        }
    }
}

/// The operator's credential in its file.
#[derive(Clone, Debug)]
struct Credential {
    renew_at: Time,
    /// The key that has signed it.
    key: String,
}

/// Writes what is due: the credential when half of its life is over, and when another key signs, since
/// the one before may be taken back at any moment.
fn write_files(
    plane: &Plane,
    folder: &Folder,
    credential: Option<Credential>,
) -> Result<Credential, Fault> {
    folder.write_public(SERVER_FILE, &trust_of_server(plane)?)?;
    // Asked before it is signed: at worst it is signed once more.
    let key = plane.operator_key()?;
    if let Some(credential) = credential
        && plane.now() < credential.renew_at
        && key == credential.key
    {
        return Ok(credential);
    }
    let token = plane.operator_token()?;
    folder.write_secret("operator.jwt", &token.token)?;
    let half = token.expires.since(token.issued) / 2;
    Ok(Credential {
        renew_at: token.issued.plus(half),
        key,
    })
}

fn ended_early<E: Into<Fault>>(ended: Result<Result<(), E>, tokio::task::JoinError>) -> Fault {
    match ended {
        Ok(Ok(())) => Fault::Run("serving has ended by itself".to_owned()),
        Ok(Err(error)) => error.into(),
        Err(error) => bug(&error.to_string()),
    }
}

fn listen() -> Result<Told, Fault> {
    Told::listen().map_err(|error| Fault::Run(format!("signals cannot be heard: {error}")))
}

async fn until(mut stopping: watch::Receiver<bool>) {
    // The sender lives as long as the command; its end is an end too.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| bug(&error.to_string()))??)
}

fn bug(detail: &str) -> Fault {
    Fault::Run(format!("a bug, please report it: {detail}"))
}
