//! The commands and their arguments.

mod examples;

use std::net::SocketAddr;
use std::path::PathBuf;

use avouch_agent::command::{AgentArguments, LogLevel, ServingArguments};
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{ExpectedName, Profile, Purpose};
use avouch_core::time::Time;
use avouch_core::verdict::TrustModel;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use const_oid::ObjectIdentifier;

use crate::import::arguments::ImportArguments;
use crate::manage::apply::arguments::{
    APPLY_EXAMPLES, ApplyArguments, EXPORT_EXAMPLES, ExportArguments, PLAN_EXAMPLES, PlanArguments,
};
use crate::manage::arguments::cluster::ClusterArguments;
use crate::manage::arguments::{
    ANCHOR_IMPORT_EXAMPLES, ANCHOR_PUT_EXAMPLES, AdminArguments, AnchorDeleteArguments,
    AnchorImportArguments, AnchorPutArguments, AnchorShowArguments, AuditArguments,
    AuthorityArguments, DrillArguments, EntryArguments, FederationArguments, IssuerArguments,
    NodeArguments, PinArguments, Remote, RuleArguments, TenantArguments, TrustDomainArguments,
    WHY_NOT_EXAMPLES, WhyNotArguments,
};
use crate::manage::exchange::arguments::TokenArguments;
use crate::manage::{
    DecisionArguments, EgressArguments, ReceiverArguments, ServiceArguments, SignalArguments,
};
use crate::values::{model, policy, profile, purpose, spiffe, spiffe_id, tenant, time};
use examples::{
    DIFF_EXAMPLES, EXIT_CODES, EXPLAIN_EXAMPLES, FETCH_EXAMPLES, LIST_EXAMPLES, UP_EXAMPLES,
    VERIFY_EXAMPLES,
};

/// A trust plane for machine identities: decides on credentials, and issues them.
///
/// `avouch verify` takes a certificate, a token or an API key and what you trust, and answers with
/// one verdict: accepted, with the path down to the trust anchor, or rejected, with every path that
/// failed, why, and the smallest fix. It works offline, on files. `avouch up` starts a server and an
/// agent that give SPIFFE identities to workloads.
#[derive(Debug, Parser)]
#[command(name = "avouch", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// What every command takes.
#[derive(Args, Debug)]
pub struct Common {
    /// How to write the answer
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Human,
          display_order = 900)]
    pub output: Format,
    /// The tenant that is meant. Commands to a server need it named; a decision on files does not
    #[arg(long, global = true, env = "AVOUCH_TENANT", default_value = TenantId::LOCAL,
          value_parser = tenant, display_order = 901)]
    pub tenant: TenantId,
}

/// How to write an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person. All others are for programs.
    Human,
    /// For a program.
    Json,
    /// For a code host or an editor (SARIF 2.1.0); findings only.
    Sarif,
    /// For Graphviz: who vouches for whom; of `explain` only.
    Dot,
    /// As a picture of the same.
    Svg,
}

impl Format {
    /// Whether it draws who vouches for whom.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Dot | Self::Svg)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ways to live with an API that knows only a key, and what each costs
    #[command(after_help = "Examples:\n  avouch advise stripe\n  avouch advise stripe -o json")]
    Advise(AdviseArguments),
    /// Who administers a tenant
    Admin(AdminArguments),
    /// The agent of a node
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Look at what is trusted
    #[command(subcommand)]
    Anchor(AnchorCommand),
    /// Have a server be as files want it
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(ApplyArguments),
    /// Look at a tenant as an auditor does: nothing is changed
    Audit(AuditArguments),
    /// What signs for a tenant, and what to do when a key may be in the wrong hands
    Authority(AuthorityArguments),
    /// What a node of a Kubernetes cluster does whose CA is a tenant
    Cluster(ClusterArguments),
    /// What a server has decided on credentials that were shown to it
    Decision(DecisionArguments),
    /// Suppose the worst and see what would come of it: nothing is changed
    Drill(DrillArguments),
    /// APIs of others that know only a key: workloads use them without seeing it
    #[command(alias = "broker")]
    Egress(EgressArguments),
    /// Which workloads get which identity
    Entry(EntryArguments),
    /// The same verdict drawn in full: every check, or every path that failed; of a credential, or as a
    /// server gave it, by the id of the decision
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArguments),
    /// What a tenant has, in the shape that `apply` takes
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArguments),
    /// Where bundles of foreign trust domains are fetched, and how it goes
    Federation(FederationArguments),
    /// What the Workload API gives to this process, as to any workload
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch(FetchArguments),
    /// What other systems trust: whom it admits, what is wrong with it, and the same in Avouch
    Import(ImportArguments),
    /// Whose tokens a tenant believes, and how their keys are doing
    Issuer(IssuerArguments),
    /// What the trust models are, and which of your anchors rest on each
    #[command(subcommand)]
    Model(ModelCommand),
    /// The machines whose workloads get identities
    Node(NodeArguments),
    /// What issuers must show beside what is believed of them, and what is about to break it
    Pin(PinArguments),
    /// What `apply` would do
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(PlanArguments),
    /// Whom the tenant tells of what ended, so that they end it too
    Receiver(ReceiverArguments),
    /// Who may exchange what they have for an identity of the tenant
    Rule(RuleArguments),
    /// A server for many nodes
    #[command(subcommand)]
    Server(ServerCommand),
    /// Which trust models may decide for a service, and which have
    Service(ServiceArguments),
    /// What others tell the tenant of subjects of theirs, and what ended by that
    Signal(SignalArguments),
    /// Who shares the server, each apart from the others
    Tenant(TenantArguments),
    /// What is had for a credential of someone else's
    Token(TokenArguments),
    /// The trust domains of a tenant
    TrustDomain(TrustDomainArguments),
    /// Start everything: server, store and one agent, with a tenant to begin with
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArguments),
    /// Decide on a credential, or on a file of questions
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArguments),
    /// Why a workload gets no identity: which registration entries come near, and what is missing
    #[command(after_help = WHY_NOT_EXAMPLES)]
    WhyNot(WhyNotArguments),
}

/// The arguments of `advise`.
#[derive(Args, Debug)]
pub struct AdviseArguments {
    /// Which API
    #[arg(value_enum, value_name = "API")]
    pub api: Api,
}

/// An API about which there is advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Api {
    /// Payments
    Stripe,
}

/// The arguments of `up`.
#[derive(Args, Debug)]
pub struct UpArguments {
    /// What the server is told.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The socket for workloads [default: agent.sock in the folder of --data]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Whom the agent serves beside workloads.
    #[command(flatten)]
    pub serving: ServingArguments,
}

/// What a server is told.
#[derive(Args, Debug)]
pub struct ServerArguments {
    /// Where everything is kept
    #[arg(
        long,
        value_name = "DIR",
        env = "AVOUCH_DATA",
        default_value = "avouch-data"
    )]
    pub data: PathBuf,
    /// The address for administrators and verifiers (HTTP)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The certificate for --listen (PEM, with the intermediates above it), which then speaks HTTPS;
    /// read anew when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Let --listen speak without TLS on an address that other machines reach, where something
    /// before it ends TLS
    #[arg(long, conflicts_with = "tls_cert")]
    pub plain_http: bool,
    /// An address where the same is served with an X.509-SVID (`https_spiffe`): that of the trust
    /// domain whose name a client asks for, or else of the one named here, or else of the root. May
    /// be repeated
    #[arg(long, value_name = "[TRUST-DOMAIN=]ADDRESS", value_parser = spiffe_listen)]
    pub spiffe_listen: Vec<SpiffeListen>,
    /// The address for nodes (gRPC over mutual TLS)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub grpc_listen: SocketAddr,
    /// A database instead of the file in the folder: postgres://user@host/name
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "AVOUCH_STORE",
        hide_env_values = true
    )]
    pub store: Option<String>,
    /// The token in which keys of new authorities are made and stay, instead of the store:
    /// `pkcs11:token=LABEL?module-path=LIBRARY&pin-source=FILE` (RFC 7512). FILE holds the PIN and
    /// has mode 0600
    #[arg(long, value_name = "ADDRESS", env = "AVOUCH_KEYS")]
    pub keys: Option<String>,
    /// Where the key is that wraps the keys of tenants: `root.key` in the folder of --data, or the
    /// token of --keys. Taken on the first start, and to be told on each
    #[arg(long, value_enum, default_value_t = RootKeyPlace::File)]
    pub root_key: RootKeyPlace,
    /// The address under which verifiers reach this server, the head of every `iss` [default:
    /// http:// or https:// and the address of --listen]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// What may be fetched from besides the public Internet: a block of addresses or the name of a
    /// host, as often as needed
    #[arg(long, value_name = "CIDR|HOST")]
    pub allow_fetch: Vec<String>,
    /// How often verifiers should look for a new bundle, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub bundle_refresh: u32,
    /// How often endpoints of foreign bundles are asked at most, in seconds, whatever they say
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub federation_interval: u32,
    /// The trust domain of servers, nodes and operators; taken on the first start
    #[arg(long, value_name = "NAME", default_value = "root.avouch.test")]
    pub trust_domain: String,
    /// How long intermediate authorities and keys of tokens live, in seconds [default: 30 days]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(60..))]
    pub authority_ttl: Option<u32>,
    /// For how long it stays on record what was issued, after it has ended, in seconds [default: 7
    /// days]
    #[arg(long, value_name = "SECONDS")]
    pub keep_issued: Option<u32>,
    /// How long X.509- and WIT-SVIDs are valid for which nothing else is said, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600,
          value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub x509_ttl: u32,
    /// How much the log tells, on standard error
    #[arg(long, value_enum, default_value_t = LogLevel::Warn)]
    pub log: LogLevel,
}

/// An address where X.509-SVIDs are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeListen {
    /// Of which trust domain, where a client names none.
    pub trust_domain: Option<TrustDomain>,
    /// The address.
    pub address: SocketAddr,
}

/// Where the root key of a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RootKeyPlace {
    /// In a file with mode 0600.
    File,
    /// In the token of `--keys`, which it does not leave.
    Token,
}

/// Commands on servers.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// A server without an agent, as several may run on one database
    Run(ServerArguments),
}

/// Commands on agents.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// The agent of one node, as `avouch-agent` does
    Run(AgentArguments),
}

/// The arguments of `fetch`.
#[derive(Args, Debug)]
pub struct FetchArguments {
    /// What to fetch.
    #[command(subcommand)]
    pub what: FetchCommand,
    /// The socket of the Workload API, a path or `unix:///path` [default: agent.sock in the folder
    /// of --data]
    #[arg(
        long,
        value_name = "SOCKET",
        env = "SPIFFE_ENDPOINT_SOCKET",
        global = true
    )]
    pub socket: Option<String>,
    /// The folder of the plane on this machine
    #[arg(
        long,
        value_name = "DIR",
        env = "AVOUCH_DATA",
        default_value = "avouch-data",
        global = true
    )]
    pub data: PathBuf,
}

/// What can be fetched.
#[derive(Debug, Subcommand)]
pub enum FetchCommand {
    /// The CA certificates and keys of the trust domains that this process may rely on
    Bundle(FetchBundleArguments),
    /// JWT-SVIDs for an audience
    Jwt(FetchJwtArguments),
    /// WIT-SVIDs, which are worth something only with the key they name
    Wit(FetchWitArguments),
    /// X.509-SVIDs, with their keys and bundles
    X509(FetchX509Arguments),
}

/// The arguments of `fetch bundle`.
#[derive(Args, Debug)]
pub struct FetchBundleArguments {}

/// The arguments of `fetch jwt`.
#[derive(Args, Debug)]
pub struct FetchJwtArguments {
    /// Who will receive the token. May be repeated
    #[arg(long, value_name = "NAME", required = true)]
    pub audience: Vec<String>,
    /// As which identity [default: each of this process]
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub spiffe_id: Option<SpiffeId>,
}

/// The arguments of `fetch wit`.
#[derive(Args, Debug)]
pub struct FetchWitArguments {
    /// As which identity [default: each of this process]
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub spiffe_id: Option<SpiffeId>,
    /// Write wit.jwt and its private key wit.jwk (both mode 0600) into this folder. Files of further
    /// identities that are no more are removed; those of the last one stay
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// The arguments of `fetch x509`.
#[derive(Args, Debug)]
pub struct FetchX509Arguments {
    /// This identity alone [default: each of this process]
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub spiffe_id: Option<SpiffeId>,
    /// Write svid.pem, key.pem (mode 0600), bundle.pem and the revocation lists crl.pem into this
    /// folder, and the bundle of each foreign trust domain to federated/TRUST-DOMAIN.pem. Files of
    /// further identities and trust domains that are no more are removed; those of the last identity
    /// stay
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
    /// Stay, and write them again whenever anything of it changes
    #[arg(long, requires = "write")]
    pub watch: bool,
    /// A command for the shell after each time they were written, such as `nginx -s reload`
    #[arg(long, value_name = "COMMAND", requires = "watch")]
    pub run: Option<String>,
}

/// Commands on trust anchors.
#[derive(Debug, Subcommand)]
pub enum AnchorCommand {
    /// Have a tenant of a server trust an anchor no more
    #[command(after_help = "Examples:\n  avouch anchor delete partner --tenant demo")]
    Delete(AnchorDeleteArguments),
    /// What has changed between two trust documents, and how grave it is
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArguments),
    /// Have a tenant of a server trust a public store, labelled so, in the place of what it had of it
    #[command(after_help = ANCHOR_IMPORT_EXAMPLES)]
    Import(AnchorImportArguments),
    /// The anchors of trust documents, with who answers for them and until when; without --trust,
    /// those of a tenant of a server
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArguments),
    /// Have a tenant of a server trust an anchor
    #[command(after_help = ANCHOR_PUT_EXAMPLES)]
    Put(AnchorPutArguments),
    /// One anchor of a tenant of a server
    #[command(after_help = "Examples:\n  avouch anchor show partner --tenant demo -o json")]
    Show(AnchorShowArguments),
}

/// Commands on trust models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Who is authoritative in a model, how its trust is established and how it propagates
    Show(ModelArguments),
}

/// The arguments of `model show`.
#[derive(Args, Debug)]
pub struct ModelArguments {
    /// The model [default: all]
    #[arg(value_name = "pki|federation|shared_secret", value_parser = model)]
    pub model: Option<TrustModel>,
    /// What is trusted, to name the anchors that rest on each model. May be repeated
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
}

/// The arguments of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// Files with the credential (`-` for standard input): a certificate or chain in PEM or DER, a
    /// JWT, a SAML response, a key or certificate of SSH, an API key, told apart by what is in them.
    /// Several files make one chain
    #[arg(value_name = "CREDENTIAL", required_unless_present = "batch")]
    pub credentials: Vec<PathBuf>,
    /// Read questions from FILE, one JSON object a line, and write a verdict a line in the same
    /// order (`-` for standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "credentials", "intermediates", "dns", "ip", "email", "spiffe", "audience", "nonce",
        "recipient", "in_response_to", "proof", "purpose", "profile", "max_path_length", "require_revocation", "policy",
    ])]
    pub batch: Option<PathBuf>,
    /// How many threads decide at once in a batch [default: one for each core]
    #[arg(long, value_name = "N", requires = "batch",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// The question.
    #[command(flatten)]
    pub question: QuestionArguments,
    /// The server that decides, if one is named and --trust is not.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArguments {
    /// Files with the credential (`-` for standard input): a certificate or chain in PEM or DER, a
    /// JWT, a SAML response, a key or certificate of SSH, an API key, told apart by what is in them.
    /// Several files make one chain. Or the id of a decision that a server has made for a tenant
    #[arg(value_name = "CREDENTIAL|DECISION-ID", required = true)]
    pub credentials: Vec<PathBuf>,
    /// Draw how the client of an accepted token came from its identity provider to what it shares
    #[arg(long, value_name = "FORM")]
    pub flow: Option<FlowForm>,
    /// The question.
    #[command(flatten)]
    pub question: QuestionArguments,
    /// The server that decides, if one is named and --trust is not.
    #[command(flatten)]
    pub remote: Remote,
}

/// How a flow is drawn; with `-o json` as JSON in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowForm {
    /// As a picture, which stands alone.
    Svg,
    /// In lines.
    Text,
}

/// A question put together from arguments.
#[derive(Args, Debug)]
pub struct QuestionArguments {
    /// What to trust: a trust document (YAML or JSON), certificates (PEM or DER), or `system` for
    /// the system's own store, which is the public Web PKI. May be repeated
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
    /// A revocation list (PEM or DER), or a status list of tokens. May be repeated
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,
    /// Certificates that may help to reach an anchor. May be repeated
    #[arg(long, value_name = "FILE")]
    pub intermediates: Vec<PathBuf>,
    /// The host name the credential must be for. May be repeated, as the next three; all must hold
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub dns: Vec<String>,
    /// The IP address it must be for
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Vec<std::net::IpAddr>,
    /// The mailbox it must be for
    #[arg(long, value_name = "MAILBOX", value_parser = NonEmptyStringValueParser::new())]
    pub email: Vec<String>,
    /// The SPIFFE ID, or the trust domain, it must be for
    #[arg(long, value_name = "ID", value_parser = spiffe)]
    pub spiffe: Vec<ExpectedName>,
    /// A name by which you, who are shown the token, know yourself. May be repeated; the token
    /// must be for one of them
    #[arg(long, value_name = "NAME")]
    pub audience: Vec<String>,
    /// The nonce you sent, which the ID token must carry
    #[arg(long)]
    pub nonce: Option<String>,
    /// The address at which an assertion of SAML was shown to you. May be repeated
    #[arg(long, value_name = "URL")]
    pub recipient: Vec<String>,
    /// The ID of the request that an assertion of SAML answers
    #[arg(long, value_name = "ID")]
    pub in_response_to: Option<String>,
    /// The proof of possession that came with a workload identity token (a WPT), or with a key of
    /// SSH (a signature of `ssh-keygen -Y sign -n proof@avouch`)
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// What the certificate is to be used for [default: server, or any for spiffe and private]
    #[arg(long, value_parser = purpose, value_name = "server|client|any")]
    pub purpose: Option<Purpose>,
    /// Which rules hold for certificates [default: spiffe when a SPIFFE ID is expected, else
    /// webpki]
    #[arg(long, value_parser = profile, value_name = "webpki|rfc5280|spiffe|private")]
    pub profile: Option<Profile>,
    /// The time of the check, such as 2026-01-31T09:30:00Z or 2026-01-31 [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<Time>,
    /// The most intermediates between end entity and anchor
    #[arg(long, value_name = "N")]
    pub max_path_length: Option<u32>,
    /// A certificate policy under which the path must hold, such as 2.23.140.1.2.1. May be
    /// repeated; one of them must hold
    #[arg(long, value_name = "OID", value_parser = policy)]
    pub policy: Vec<ObjectIdentifier>,
    /// Refuse when it cannot be told whether a certificate is revoked
    #[arg(long)]
    pub require_revocation: bool,
}

/// The arguments of `anchor list`.
#[derive(Args, Debug)]
pub struct ListArguments {
    /// A trust document, certificates in PEM or DER, or `system`. May be repeated
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `anchor diff`.
#[derive(Args, Debug)]
pub struct DiffArguments {
    /// What was trusted
    pub old: PathBuf,
    /// What is trusted now
    pub new: PathBuf,
}

fn spiffe_listen(text: &str) -> Result<SpiffeListen, String> {
    let (trust_domain, address) = match text.split_once('=') {
        Some((name, address)) => {
            let parsed = TrustDomain::parse(name).map_err(|reason| reason.sentence())?;
            (Some(parsed), address)
        }
        None => (None, text),
    };
    let address = address.parse().map_err(|_| {
        "an address looks like 127.0.0.1:8443 or demo.example.com=127.0.0.1:8443".to_owned()
    })?;
    Ok(SpiffeListen {
        trust_domain,
        address,
    })
}
