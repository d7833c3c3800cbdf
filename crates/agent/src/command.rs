//! The agent as a command: `avouch-agent`, and `avouch agent run`.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use clap::{Args, Command, ValueEnum};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::node::{Attesting, Evidence, Joining, LinkFault, Node, ServerTrust};
use crate::told::Told;
use crate::{
    AdminEndpoint, BrokerEndpoint, BrokerRule, Credentials, Endpoint, Fault, Identities, Kubelet,
    KubeletAccess, KubeletFault, Limits, open_files,
};

/// A command that takes a variable of the environment that is empty as one that is not set, as
/// `${TENANT:-}` of a compose file makes it.
pub fn without_empty_variables(command: Command) -> Command {
    unless_empty(command, &|name| {
        std::env::var_os(name).is_some_and(|value| value.is_empty())
    })
}

fn unless_empty(command: Command, is_empty: &dyn Fn(&OsStr) -> bool) -> Command {
    let command = command.mut_args(|argument| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(None::<&'static str>),
        _ => argument,
    });
    command.mut_subcommands(|below| unless_empty(below, is_empty))
}

/// What the agent is told.
#[derive(Args, Debug)]
pub struct AgentArguments {
    /// The host and port of the server's address for nodes
    #[arg(long, value_name = "HOST:PORT", env = "AVOUCH_NODE_SERVER")]
    pub server: String,
    /// By what the server is known: the file server.json from its folder
    #[arg(long, value_name = "FILE")]
    pub server_trust: PathBuf,
    /// The token to join with, needed on the first start and after a long absence. On a command
    /// line everyone on the machine can read it; the environment is safer
    #[arg(
        long,
        value_name = "TOKEN",
        env = "AVOUCH_JOIN_TOKEN",
        hide_env_values = true
    )]
    pub join_token: Option<String>,
    /// How the node shows who it is, if not by a token.
    #[command(flatten)]
    pub attestation: AttestationArguments,
    /// Where the node keeps its own identity
    #[arg(long, value_name = "DIR", default_value = "avouch-agent-data")]
    pub agent_data: PathBuf,
    /// The socket for workloads
    #[arg(long, value_name = "PATH", default_value = "/run/avouch/agent.sock")]
    pub socket: PathBuf,
    /// Whom it serves beside workloads.
    #[command(flatten)]
    pub serving: ServingArguments,
    /// How much the log tells, on standard error
    #[arg(long, value_enum, default_value_t = LogLevel::Warn)]
    pub log: LogLevel,
}

/// Whom an agent serves beside workloads, and how it tells pods from each other.
#[derive(Args, Clone, Debug)]
pub struct ServingArguments {
    /// Who may fetch the identities of others, and where.
    #[command(flatten)]
    pub delegation: DelegationArguments,
    /// How pods are told from each other.
    #[command(flatten)]
    pub kubelet: KubeletArguments,
    /// Who may act as a broker, and where.
    #[command(flatten)]
    pub brokers: BrokerArguments,
}

/// How a node shows who it is, if not by a token.
#[derive(Args, Clone, Debug)]
pub struct AttestationArguments {
    /// Show who the node is in this way instead of with a join token
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        requires = "attest_tenant",
        conflicts_with = "join_token"
    )]
    pub attest: Option<Method>,
    /// The tenant whose node it is
    #[arg(long, value_name = "TENANT", requires = "attest")]
    pub attest_tenant: Option<String>,
    /// The attestor of the tenant [default: the one that is called like the method]
    #[arg(long, value_name = "NAME", requires = "attest")]
    pub attestor: Option<String>,
    /// The certificate of the node: for x509pop in PEM, with the intermediates above it; for sshpop
    /// that of the host [default there: /etc/ssh/ssh_host_ed25519_key-cert.pub]; for tpm that of the
    /// endorsement key, in PEM, with the intermediates above it [default there: what is in the TPM]
    #[arg(long, value_name = "FILE", required_if_eq("attest", "x509pop"))]
    pub cert: Option<PathBuf>,
    /// The key of that certificate: for x509pop in PEM; for sshpop in the form of OpenSSH, Ed25519 or
    /// ECDSA [default there: /etc/ssh/ssh_host_ed25519_key]
    #[arg(long, value_name = "FILE", required_if_eq("attest", "x509pop"))]
    pub key: Option<PathBuf>,
    /// The token of the pod, for k8s-psat
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/tokens/avouch-agent"
    )]
    pub token_path: PathBuf,
    /// The TPM, for tpm: a device, or the socket of a TPM in software
    #[arg(long, value_name = "PATH", default_value = "/dev/tpmrm0")]
    pub tpm: PathBuf,
}

/// How a node shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// By a token that Kubernetes projects into its pod
    #[value(name = "k8s-psat", alias = "k8s_psat")]
    K8sPsat,
    /// By the certificate of a host of SSH and its key
    #[value(name = "sshpop")]
    SshPop,
    /// By a TPM, in which the key of the node then stays
    #[value(name = "tpm")]
    Tpm,
    /// By a certificate and its key
    #[value(name = "x509pop")]
    X509Pop,
}

impl AttestationArguments {
    fn attesting(&self) -> Option<Attesting> {
        let or = |path: &Option<PathBuf>, usual: &str| {
            let path = path.clone();
            path.unwrap_or_else(|| PathBuf::from(usual))
        };
        let evidence = match self.attest? {
            Method::K8sPsat => Evidence::K8sPsat {
                token: self.token_path.clone(),
            },
            Method::SshPop => Evidence::SshPop {
                certificate: or(&self.cert, "/etc/ssh/ssh_host_ed25519_key-cert.pub"),
                key: or(&self.key, "/etc/ssh/ssh_host_ed25519_key"),
            },
            Method::Tpm => Evidence::Tpm {
                device: self.tpm.clone(),
                certificate: self.cert.clone(),
            },
            Method::X509Pop => Evidence::X509Pop {
                certificate: or(&self.cert, ""),
                key: or(&self.key, ""),
            },
        };
        let named = self.attestor.clone();
        Some(Attesting {
            tenant: self.attest_tenant.clone()?,
            attestor: named.unwrap_or_else(|| evidence.method().to_owned()),
            evidence,
        })
    }
}

/// How pods are told from each other.
#[derive(Args, Clone, Debug)]
pub struct KubeletArguments {
    /// The kubelet of this node, which says whose pods are whose: its address, or http:// and its
    /// read-only port
    #[arg(long, value_name = "URL")]
    pub kubelet: Option<String>,
    /// A file with the token that the kubelet is shown, read each time
    #[arg(long, value_name = "FILE", requires = "kubelet")]
    pub kubelet_token: Option<PathBuf>,
    /// A file with the authorities (PEM) of the kubelet's certificate
    #[arg(long, value_name = "FILE", requires = "kubelet")]
    pub kubelet_ca: Option<PathBuf>,
    /// Do not check the kubelet's certificate: whoever takes its port says who pods are
    #[arg(long, requires = "kubelet", conflicts_with = "kubelet_ca")]
    pub kubelet_unchecked: bool,
}

impl KubeletArguments {
    fn open(&self) -> Result<Option<Arc<Kubelet>>, KubeletFault> {
        let Some(address) = self.kubelet.clone() else {
            return Ok(None);
        };
        let kubelet = Kubelet::new(KubeletAccess {
            address,
            token: self.kubelet_token.clone(),
            authorities: self.kubelet_ca.clone(),
            is_unchecked: self.kubelet_unchecked,
        });
        Ok(Some(Arc::new(kubelet?)))
    }
}

/// Who may act as a broker, and where (incubating).
#[derive(Args, Clone, Debug)]
pub struct BrokerArguments {
    /// A socket for the SPIFFE Broker API, which may still change
    #[arg(long, value_name = "PATH", requires = "broker")]
    pub broker_socket: Option<PathBuf>,
    /// Who may fetch the identities of others there, with its X.509-SVID, and how it may name them:
    /// by process (only on the socket), by pod (needs --kubelet). May be repeated
    #[arg(long, value_name = "ID=pid,pod", requires = "broker_socket")]
    pub broker: Vec<BrokerRule>,
    /// An address of the network for brokers, too
    #[arg(long, value_name = "HOST:PORT", requires = "broker_socket")]
    pub broker_listen: Option<SocketAddr>,
}

impl BrokerArguments {
    async fn open(&self, kubelet: Option<Arc<Kubelet>>) -> Result<Option<BrokerEndpoint>, Fault> {
        let Some(path) = &self.broker_socket else {
            return Ok(None);
        };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let endpoint = BrokerEndpoint::bind(&path, self.broker.clone(), Limits::default())?;
        let endpoint = endpoint.with_kubelet(kubelet);
        Ok(Some(match self.broker_listen {
            Some(address) => endpoint.and_listen(address).await?,
            None => endpoint,
        }))
    }
}

/// Who may fetch the identities of others, and where.
#[derive(Args, Clone, Debug)]
pub struct DelegationArguments {
    /// A socket for the Delegated Identity API, open to the user and the group of the agent
    #[arg(long, value_name = "PATH", requires = "delegate")]
    pub admin_socket: Option<PathBuf>,
    /// The SPIFFE ID of a workload that may fetch the identities of others there. May be repeated
    #[arg(long, value_name = "ID", requires = "admin_socket", value_parser = spiffe_id)]
    pub delegate: Vec<SpiffeId>,
}

fn spiffe_id(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::parse(text).map_err(|reason| reason.sentence())
}

/// The sockets of an agent.
pub struct Sockets {
    workloads: Endpoint,
    admin: Option<AdminEndpoint>,
    brokers: Option<BrokerEndpoint>,
}

impl Sockets {
    /// Opens them: `socket` for workloads, and those that `serving` names. To be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    ///
    /// As for [`Endpoint::bind`], and where the kubelet cannot be asked.
    pub async fn open(socket: &Path, serving: &ServingArguments) -> Result<Self, CommandFault> {
        let kubelet = serving.kubelet.open()?;
        let workloads = Endpoint::bind(&std::path::absolute(socket)?, Limits::default())?;
        let delegation = &serving.delegation;
        let admin = match &delegation.admin_socket {
            Some(path) => {
                let path = std::path::absolute(path)?;
                let delegates = delegation.delegate.iter().cloned();
                let admin = AdminEndpoint::bind(&path, delegates, Limits::default())?;
                Some(admin.with_kubelet(kubelet.clone()))
            }
            None => None,
        };
        Ok(Self {
            workloads: workloads.with_kubelet(kubelet.clone()),
            admin,
            brokers: serving.brokers.open(kubelet).await?,
        })
    }

    /// What clients are given as `SPIFFE_ENDPOINT_SOCKET`.
    pub fn address(&self) -> String {
        self.workloads.address()
    }

    /// Serves what the node holds on all of them until `stop`.
    ///
    /// # Errors
    ///
    /// When serving one of them ends by itself.
    pub async fn serve(self, node: Node, stop: impl Future<Output = ()>) -> Result<(), Fault> {
        let identities: Arc<dyn Identities> = Arc::new(node.clone());
        let stopped_node = node.clone();
        let (stopping, mut stopped) = watch::channel(false);
        let mut admin_stopped = stopping.subscribe();
        let admin = async {
            let Some(admin) = self.admin else {
                return Ok(());
            };
            let stop = async move { drop(admin_stopped.wait_for(|stop| *stop).await) };
            admin.serve(Arc::clone(&identities), stop).await
        };
        let mut brokers_stopped = stopping.subscribe();
        let brokers = async {
            let Some(endpoint) = self.brokers else {
                return Ok(());
            };
            let stop = async move { drop(brokers_stopped.wait_for(|stop| *stop).await) };
            let credentials: Arc<dyn Credentials> = Arc::new(node);
            let identities = Arc::clone(&identities);
            endpoint.serve(identities, credentials, stop).await
        };
        let workloads = self.workloads.serve(Arc::clone(&identities), async move {
            drop(stopped.wait_for(|stop| *stop).await);
        });
        let stop = async {
            stop.await;
            stopped_node.stops();
            stopping.send_replace(true);
        };
        let serving = async { tokio::try_join!(workloads, admin, brokers) };
        tokio::pin!(serving, stop);
        tokio::select! {
            ended = &mut serving => ended.map(drop),
            () = &mut stop => serving.await.map(drop),
        }
    }
}

/// How much a log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what someone should look at.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
}

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum CommandFault {
    /// The file that says by what the server is known.
    #[error("{}: {why}", path.display())]
    ServerTrust {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The kubelet could not be asked.
    #[error("--kubelet: {0}")]
    Kubelet(#[from] KubeletFault),
    /// The node could not join.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// The socket could not be served.
    #[error(transparent)]
    Socket(#[from] Fault),
    /// Threads or signals of the system.
    #[error("the system does not let the agent run: {0}")]
    System(#[from] std::io::Error),
}

/// What kind of end a fault is, on which the number depends with which a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Our side failed, or nobody answered.
    Fault,
    /// The server answered, and refuses.
    Refused,
    /// What the agent was told cannot be meant.
    Usage,
}

impl Ending {
    /// The number; scripts rely on them, and they are those of the command `avouch`.
    pub fn code(self) -> u8 {
        match self {
            Self::Fault => 1,
            Self::Usage => 2,
            Self::Refused => 3,
        }
    }
}

impl CommandFault {
    /// How a program ends for it.
    pub fn ending(&self) -> Ending {
        match self {
            Self::Link(LinkFault::Refused(_)) => Ending::Refused,
            Self::Link(LinkFault::Address(_))
            | Self::Kubelet(
                KubeletFault::Address(_)
                | KubeletFault::Unprotected(_)
                | KubeletFault::NoAuthorities,
            ) => Ending::Usage,
            Self::Kubelet(KubeletFault::Authorities { .. })
            | Self::Link(_)
            | Self::ServerTrust { .. }
            | Self::Socket(_)
            | Self::System(_) => Ending::Fault,
        }
    }
}

/// Runs the agent until it is told to stop. `ready` is called with what clients are given as
/// `SPIFFE_ENDPOINT_SOCKET`.
///
/// # Errors
///
/// Why it could not start, or why it ended by itself.
pub fn run(arguments: &AgentArguments, ready: impl FnOnce(&str)) -> Result<(), CommandFault> {
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run_until_told(arguments, ready))
}

async fn run_until_told(
    arguments: &AgentArguments,
    ready: impl FnOnce(&str),
) -> Result<(), CommandFault> {
    let joining = Joining {
        server: arguments.server.clone(),
        trust: server_trust(&arguments.server_trust)?,
        folder: arguments.agent_data.clone(),
        token: arguments.join_token.clone().map(Zeroizing::new),
        attesting: arguments.attestation.attesting(),
        beside: None,
    };
    // Before the token is used up: a socket that cannot be served would cost it.
    let sockets = Sockets::open(&arguments.socket, &arguments.serving).await?;
    let node = Node::join(joining).await?;
    // Before it is said that it is up: whoever waits for that may stop it at once.
    let mut told = Told::listen()?;
    ready(&sockets.address());
    tracing::info!(node = %node.id(), socket = sockets.address(), "the agent is up");
    Ok(sockets.serve(node, told.awaited()).await?)
}

fn server_trust(path: &Path) -> Result<ServerTrust, CommandFault> {
    let fault = |why: String| CommandFault::ServerTrust {
        path: path.to_owned(),
        why,
    };
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    ServerTrust::read(&text).ok_or_else(|| {
        let expected =
            "it is not `{\"trust_domain\": …, \"bundle\": …}`, as `server.json` of a server";
        fault(expected.to_owned())
    })
}
