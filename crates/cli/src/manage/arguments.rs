//! The arguments of commands that ask a server.

mod anchors;
mod authority;
pub mod cluster;
mod issuers;
mod pins;

use std::path::PathBuf;

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::time::Time;
use clap::{Args, Subcommand};

pub use super::audit::AuditCommand;
pub use super::bound::Bound;
pub use anchors::{
    AnchorDeleteArguments, AnchorImportArguments, AnchorPutArguments, AnchorShowArguments,
    IMPORT_EXAMPLES as ANCHOR_IMPORT_EXAMPLES, PUT_EXAMPLES as ANCHOR_PUT_EXAMPLES,
};
pub use authority::{
    AuthorityCommand, BootstrapTokenArguments, IssuedArguments, ReplayArguments, SignArguments,
    SignCsrArguments,
};
pub use issuers::{DrillCommand, IssuerCommand};
pub use pins::{
    PinCommand, PinImportArguments, PinMode, PinPutArguments, PinSaid, PinStageArguments,
};

use crate::up::ADDRESS_FILE;
use crate::values::{spiffe_id, trust_domain};

/// Where a server listens that was told nothing else.
const USUAL_SERVER: &str = "http://127.0.0.1:8080";

/// Which server, and with what it is asked.
#[derive(Args, Clone, Debug)]
pub struct Remote {
    /// The server [default: the one whose folder --data is, or else http://127.0.0.1:8080]
    #[arg(
        long,
        value_name = "URL",
        env = "AVOUCH_SERVER",
        global = true,
        display_order = 902
    )]
    pub server: Option<String>,
    /// The folder of the plane, where your credential is (operator.jwt)
    #[arg(
        long,
        value_name = "DIR",
        env = "AVOUCH_DATA",
        global = true,
        default_value = "avouch-data",
        display_order = 903
    )]
    pub data: PathBuf,
    /// Believe these certificates (PEM) about the server, instead of what the system believes
    #[arg(
        long,
        value_name = "FILE",
        env = "AVOUCH_CA",
        global = true,
        display_order = 904
    )]
    pub ca: Option<PathBuf>,
    /// Show this X.509-SVID (PEM, with the intermediates above it) instead of operator.jwt, as
    /// `avouch fetch x509 --write` writes it
    #[arg(
        long,
        value_name = "FILE",
        env = "AVOUCH_CERT",
        global = true,
        display_order = 905
    )]
    pub cert: Option<PathBuf>,
    /// The private key of --cert (PEM, mode 0600)
    #[arg(
        long,
        value_name = "FILE",
        env = "AVOUCH_KEY",
        global = true,
        display_order = 906
    )]
    pub key: Option<PathBuf>,
    /// Show the X.509-SVID of this process, from the Workload API at SPIFFE_ENDPOINT_SOCKET, to a
    /// server that shows its own (`--spiffe-listen`). Of several it is the one that is named, or else the
    /// first of the trust domain that the server is called by, or else the first
    #[arg(
        long,
        value_name = "SPIFFE-ID",
        value_parser = spiffe_id,
        num_args = 0..=1,
        require_equals = true,
        global = true,
        display_order = 907,
        conflicts_with_all = ["cert", "key", "ca"]
    )]
    pub as_workload: Option<Option<SpiffeId>>,
}

impl Remote {
    /// The address of the server, without a slash at its end.
    pub(super) fn address(&self) -> String {
        let there = || std::fs::read_to_string(self.data.join(ADDRESS_FILE)).ok();
        let address = self.server.clone().or_else(there);
        let address = address.unwrap_or_else(|| USUAL_SERVER.to_owned());
        address.trim().trim_end_matches('/').to_owned()
    }
}

macro_rules! noun {
    ($(#[$attribute:meta])* $name:ident: $command:ident) => {
        $(#[$attribute])*
        #[derive(Args, Debug)]
        pub struct $name {
            /// What to do.
            #[command(subcommand)]
            pub command: $command,
            /// Which server.
            #[command(flatten)]
            pub remote: Remote,
        }
    };
}

noun! { /// The arguments of `tenant`.
TenantArguments: TenantCommand }
noun! { /// The arguments of `trust-domain`.
TrustDomainArguments: TrustDomainCommand }
noun! { /// The arguments of `audit`.
AuditArguments: AuditCommand }
noun! { /// The arguments of `drill`.
DrillArguments: DrillCommand }
noun! { /// The arguments of `entry`.
EntryArguments: EntryCommand }
noun! { /// The arguments of `authority`.
AuthorityArguments: AuthorityCommand }
noun! { /// The arguments of `federation`.
FederationArguments: FederationCommand }
noun! { /// The arguments of `node`.
NodeArguments: NodeCommand }
noun! { /// The arguments of `admin`.
AdminArguments: AdminCommand }
noun! { /// The arguments of `rule`.
RuleArguments: RuleCommand }
noun! { /// The arguments of `issuer`.
IssuerArguments: IssuerCommand }
noun! { /// The arguments of `pin`.
PinArguments: PinCommand }

/// Commands on relations to foreign trust domains.
#[derive(Debug, Subcommand)]
pub enum FederationCommand {
    /// End the relation to a foreign trust domain, and take its bundle back
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  avouch federation delete partner.example --tenant demo"
    )]
    Delete {
        /// Its name
        trust_domain: String,
    },
    /// The relations of the tenant, and how it goes with each
    #[command(after_help = "Examples:\n  avouch federation list --tenant demo")]
    List,
    /// Say where the bundle of a foreign trust domain is, and by what its endpoint is known
    #[command(after_help = FEDERATION_PUT_EXAMPLES)]
    Put {
        /// Its name
        trust_domain: String,
        /// Where and by what.
        #[command(flatten)]
        members: FederationMembers,
    },
    /// Ask the endpoint now
    #[command(after_help = FEDERATION_REFRESH_EXAMPLES)]
    Refresh {
        /// The name of the trust domain
        trust_domain: String,
    },
    /// One relation: when it was fetched last and is next, why not, and which nodes hold it
    #[command(after_help = "Examples:\n  avouch federation show partner.example --tenant demo")]
    Show {
        /// The name of the trust domain
        trust_domain: String,
    },
}

/// The members of a relation to a foreign trust domain.
#[derive(Args, Debug)]
pub struct FederationMembers {
    /// Where the bundle is
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// By what the endpoint is known [default: https_spiffe with --endpoint-id, else https_web]
    #[arg(
        long,
        value_name = "https_web|https_spiffe",
        value_parser = ["https_web", "https_spiffe"],
        hide_possible_values = true
    )]
    pub profile: Option<String>,
    /// The SPIFFE ID of the endpoint, for https_spiffe
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub endpoint_id: Option<SpiffeId>,
    /// Certificates (PEM) that are believed about an endpoint of https_web instead of what the
    /// system believes. May be repeated
    #[arg(long, value_name = "FILE")]
    pub root: Vec<PathBuf>,
    /// The bundle of the trust domain (JSON) that is believed until the endpoint is asked; needed
    /// for an endpoint of https_spiffe in the same trust domain
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Who answers for it
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// What it is for
    #[arg(long, value_name = "WHY")]
    pub reason: Option<String>,
}

/// Commands on tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant
    #[command(
        after_help = "Examples:\n  avouch tenant create shop --trust-domain shop.example.com\n  avouch tenant create staging --parent shop --kind environment"
    )]
    Create {
        /// Its name
        name: String,
        /// The tenant above it [default: the root]
        #[arg(long, value_name = "TENANT")]
        parent: Option<String>,
        /// What it is [default: tenant, or environment below a tenant]
        #[arg(long, value_name = "organisation|tenant|environment")]
        kind: Option<String>,
        /// A trust domain for it
        #[arg(long, value_name = "NAME")]
        trust_domain: Option<String>,
    },
    /// Remove a tenant and all below it, with all that they have
    #[command(visible_alias = "remove", after_help = TENANT_DELETE_EXAMPLES)]
    Delete {
        /// Its name
        name: String,
        /// How it is confirmed what goes.
        #[command(flatten)]
        removal: Removal,
    },
    /// The tenants in which you have a role
    #[command(after_help = "Examples:\n  avouch tenant list\n  avouch tenant list -o json")]
    List,
    /// How much a tenant may have and do together with all below it; with options, says so
    #[command(
        after_help = "Examples:\n  avouch tenant quota shop\n  avouch tenant quota shop --entries 10000 --issuances-per-minute 6000\n  avouch tenant quota shop --entries none\n  avouch tenant quota shop --workload unix:uid:1001 --workload k8s:ns:shop"
    )]
    Quota {
        /// Its name [default: that of --tenant]
        name: Option<String>,
        /// Registration entries, or `none` for no bound
        #[arg(long, value_name = "COUNT")]
        entries: Option<Bound>,
        /// Nodes, or `none` for no bound
        #[arg(long, value_name = "COUNT")]
        nodes: Option<Bound>,
        /// Trust domains, or `none` for no bound
        #[arg(long, value_name = "COUNT")]
        trust_domains: Option<Bound>,
        /// Credentials issued in a minute by each server, or `none` for no bound
        #[arg(long, value_name = "COUNT")]
        issuances_per_minute: Option<Bound>,
        /// A fact of workloads of which each entry must ask for one, such as unix:uid:1000, or `none`
        /// for any workload. May be repeated
        #[arg(long = "workload", value_name = "SELECTOR")]
        workloads: Vec<String>,
    },
    /// One tenant
    #[command(after_help = "Examples:\n  avouch tenant show demo")]
    Show {
        /// Its name [default: that of --tenant]
        name: Option<String>,
    },
}

/// Commands on trust domains.
#[derive(Debug, Subcommand)]
pub enum TrustDomainCommand {
    /// Give the tenant a trust domain with all its authorities
    #[command(
        after_help = "Examples:\n  avouch trust-domain create shop.example.com --tenant shop"
    )]
    Create {
        /// Its name
        name: String,
    },
    /// Remove a trust domain with its authorities and all that is in it
    #[command(visible_alias = "remove", after_help = TRUST_DOMAIN_DELETE_EXAMPLES)]
    Delete {
        /// Its name
        name: String,
        /// How it is confirmed what goes.
        #[command(flatten)]
        removal: Removal,
    },
    /// The trust domains of the tenant
    #[command(after_help = "Examples:\n  avouch trust-domain list --tenant demo")]
    List,
    /// One trust domain
    #[command(after_help = "Examples:\n  avouch trust-domain show demo.avouch.test --tenant demo")]
    Show {
        /// Its name
        name: String,
    },
}

/// How it is confirmed what goes.
#[derive(Args, Debug)]
pub struct Removal {
    /// The tenants and trust domains that go, with commas between; what goes is refused to go else,
    /// unless nothing of it is in use
    #[arg(long, value_name = "NAMES")]
    pub confirm: Option<String>,
    /// Only tell what would go
    #[arg(long)]
    pub dry_run: bool,
}

const TENANT_DELETE_EXAMPLES: &str = "\
Examples:
  avouch tenant delete shop --dry-run
  avouch tenant delete shop --confirm shop,shop.example.com
  avouch tenant delete shop --confirm shop,shop.example.com,unread:shop   # although it is damaged

How to go on: docs/how-to/remove.md";

const TRUST_DOMAIN_DELETE_EXAMPLES: &str = "\
Examples:
  avouch trust-domain delete old.example.com --tenant shop --dry-run
  avouch trust-domain delete old.example.com --tenant shop --confirm old.example.com";

/// Commands on registration entries.
#[derive(Debug, Subcommand)]
pub enum EntryCommand {
    /// All identities that registration entries can ever give
    #[command(after_help = ENTRY_BOUNDS_EXAMPLES)]
    Bounds {
        /// To the workloads of the node with this SPIFFE ID [default: of any node]
        #[arg(long, value_name = "ID", value_parser = spiffe_id)]
        node: Option<SpiffeId>,
        /// Only entries that could ever give this one
        #[arg(long, value_name = "ID", value_parser = spiffe_id)]
        could: Option<SpiffeId>,
    },
    /// Say which workloads get which identity
    #[command(after_help = ENTRY_CREATE_EXAMPLES)]
    Create(EntryMembers),
    /// Take registration entries away
    #[command(after_help = "Examples:\n  avouch entry delete web --tenant demo")]
    Delete {
        /// Their names
        #[arg(required = true, value_name = "ENTRY")]
        entries: Vec<String>,
    },
    /// The registration entries of the tenant
    #[command(
        after_help = "Examples:\n  avouch entry list --tenant demo\n  avouch entry list --tenant demo -o json > entries.json"
    )]
    List,
    /// One registration entry
    #[command(after_help = "Examples:\n  avouch entry show web --tenant demo -o json")]
    Show {
        /// Its name
        entry: String,
    },
    /// Change what is named of a registration entry, or put another in its place
    #[command(after_help = ENTRY_UPDATE_EXAMPLES)]
    Update {
        /// Its name
        entry: String,
        /// What is to be changed.
        #[command(flatten)]
        members: EntryMembers,
    },
}

/// The members of a registration entry.
#[derive(Args, Debug)]
pub struct EntryMembers {
    /// Read it from FILE, JSON or YAML (`-` for standard input): one entry, or `entries` with many
    #[arg(short, long, value_name = "FILE", conflicts_with_all = [
        "id", "spiffe_id", "node", "node_selector", "selector", "dns", "federates_with", "hint", "x509_ttl",
        "jwt_ttl", "owner", "purpose", "expires",
    ])]
    pub file: Option<PathBuf>,
    /// Its name [default: a new one]
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// The identity, or one with places for facts: spiffe://example.org/ns/{k8s.ns}/sa/{k8s.sa}
    #[arg(long, value_name = "ID")]
    pub spiffe_id: Option<String>,
    /// What must be attested of a workload, such as unix:uid:1000. May be repeated; all must hold
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Vec<String>,
    /// The SPIFFE ID of the one node whose workloads it is for [default: every node]
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub node: Option<SpiffeId>,
    /// What must have been attested of a node for it to serve the entry, such as
    /// x509pop:subject:cn:web-1. May be repeated; all must hold
    #[arg(long, value_name = "SELECTOR")]
    pub node_selector: Vec<String>,
    /// A DNS name to put in X.509-SVIDs. May be repeated
    #[arg(long, value_name = "NAME")]
    pub dns: Vec<String>,
    /// A trust domain whose bundle the workload gets as well. May be repeated
    #[arg(long, value_name = "NAME", value_parser = trust_domain)]
    pub federates_with: Vec<TrustDomain>,
    /// What tells several identities of one workload apart
    #[arg(long)]
    pub hint: Option<String>,
    /// How long X.509- and WIT-SVIDs are valid
    #[arg(long, value_name = "SECONDS")]
    pub x509_ttl: Option<u32>,
    /// How long JWT-SVIDs are valid
    #[arg(long, value_name = "SECONDS")]
    pub jwt_ttl: Option<u32>,
    /// Who answers for it
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// What it is for
    #[arg(long, value_name = "WHY")]
    pub purpose: Option<String>,
    /// Until when, such as 2026-01-31T09:30:00Z or 2026-01-31
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires: Option<Time>,
}

/// Commands on nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// What the tenant accepts from nodes that join without a token
    Attestor(AttestorArguments),
    /// Give a node nothing any more
    #[command(after_help = "Examples:\n  avouch node ban web-1 --tenant demo")]
    Ban {
        /// Its name
        node: String,
    },
    /// Forget a node: it gets nothing until it joins again
    #[command(after_help = "Examples:\n  avouch node evict web-1 --tenant demo")]
    Evict {
        /// Its name
        node: String,
    },
    /// The nodes of the tenant
    #[command(after_help = "Examples:\n  avouch node list --tenant demo")]
    List,
    /// The last nodes that the server did not let in, or why it did not let in one
    #[command(
        after_help = "Examples:\n  avouch node refused --tenant demo\n  avouch node refused 0193f2c1-7c1e-7bb4-8f5e-3a1c9d2e4b60 --tenant demo"
    )]
    Refused {
        /// The id that the agent was told
        decision: Option<String>,
    },
    /// One node: how it joined, and what was attested of it
    #[command(after_help = "Examples:\n  avouch node show web-1 --tenant demo")]
    Show {
        /// Its name
        node: String,
    },
    /// Make a token with which one node joins, once; it is shown only now
    #[command(
        after_help = "Examples:\n  avouch node token web-1 --tenant demo\n  avouch node token web-1 --tenant demo --ttl 3600 -o json"
    )]
    Token {
        /// The name that the node will have
        node: String,
        /// How long the token can be used [default: 600]
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u32>,
    },
    /// Let a banned node come back
    #[command(after_help = "Examples:\n  avouch node unban web-1 --tenant demo")]
    Unban {
        /// Its name
        node: String,
    },
}

/// Commands on exchange rules.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Let nobody exchange anything under a rule any more
    #[command(after_help = "Examples:\n  avouch rule delete deploy --tenant demo")]
    Delete {
        /// Its name
        rule: String,
    },
    /// Names that mean something else than when a rule first admitted them, and what to change
    #[command(after_help = DRIFT_EXAMPLES)]
    Drift,
    /// Let a rule hold a name anew, to the id that it has at its next use
    #[command(after_help = "Examples:\n  avouch rule forget deploy octo-org/shop --tenant demo")]
    Forget {
        /// The name of the rule
        rule: String,
        /// The name to forget, as `rule drift` shows it
        name: String,
    },
    /// The exchange rules of the tenant, whom each admits and what it gives
    #[command(after_help = "Examples:\n  avouch rule list --tenant demo")]
    List,
    /// Whom a rule would admit, what it would give, and what is wrong with it; nothing is stored
    #[command(
        after_help = "Examples:\n  avouch rule preview --tenant demo -f deploy.yaml\n\nExit codes:\n  0   it can be used\n  3   it would be refused"
    )]
    Preview {
        /// The rule, JSON or YAML (`-` for standard input)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Let some exchange what they have for an identity of the tenant
    #[command(after_help = "Examples:\n  avouch rule put deploy --tenant demo -f deploy.yaml")]
    Put {
        /// A name for it
        rule: String,
        /// The rule, JSON or YAML (`-` for standard input)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// One exchange rule
    #[command(after_help = "Examples:\n  avouch rule show deploy --tenant demo -o json")]
    Show {
        /// Its name
        rule: String,
    },
}

/// The arguments of `node attestor`.
#[derive(Args, Debug)]
pub struct AttestorArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: AttestorCommand,
}

/// Commands on attestors.
#[derive(Debug, Subcommand)]
pub enum AttestorCommand {
    /// Accept nothing by an attestor any more; nodes that it let join stay
    #[command(
        alias = "remove",
        after_help = "Examples:\n  avouch node attestor delete x509pop --tenant demo"
    )]
    Delete {
        /// Its name
        name: String,
    },
    /// The attestors of the tenant
    #[command(after_help = "Examples:\n  avouch node attestor list --tenant demo -o json")]
    List,
    /// Accept nodes by a method, from those whom a file names
    #[command(
        after_help = "Examples:\n  avouch node attestor put x509pop -f machines.yaml --tenant demo"
    )]
    Put {
        /// Its name; agents ask for the one that is called like their method
        name: String,
        /// Read it from FILE, JSON or YAML (`-` for standard input)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// One attestor, as it was put
    #[command(after_help = "Examples:\n  avouch node attestor show x509pop --tenant demo")]
    Show {
        /// Its name
        name: String,
    },
}

/// Commands on administrators.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Take a role away
    #[command(after_help = "Examples:\n  avouch admin delete anna --tenant demo")]
    Delete {
        /// The name under which it was given
        name: String,
    },
    /// Who administers the tenant
    #[command(after_help = "Examples:\n  avouch admin list --tenant demo")]
    List,
    /// Give someone a role in the tenant and all below it
    #[command(
        after_help = "Examples:\n  avouch admin put anna --tenant demo --subject spiffe://demo.avouch.test/user/anna --role registrar"
    )]
    Put {
        /// A name for it
        name: String,
        /// Who: a SPIFFE ID of a trust domain of the tenant, or of one above it
        #[arg(long, value_name = "ID")]
        subject: String,
        /// What it may do
        #[arg(
            long,
            value_name = "operator|administrator|auditor|registrar|node-manager|authority-manager"
        )]
        role: String,
    },
    /// Who has a role, and since when
    #[command(after_help = "Examples:\n  avouch admin show anna --tenant demo")]
    Show {
        /// The name under which it was given
        name: String,
    },
}

/// The arguments of `why-not`.
#[derive(Args, Debug)]
pub struct WhyNotArguments {
    /// What is attested of the workload, such as unix:uid:1000. May be repeated
    #[arg(long, value_name = "SELECTOR", required = true)]
    pub selector: Vec<String>,
    /// The SPIFFE ID of the node it runs on [default: any]
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub node: Option<SpiffeId>,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

const ENTRY_CREATE_EXAMPLES: &str = "\
Examples:
  avouch entry create --tenant demo --spiffe-id spiffe://demo.avouch.test/web --selector unix:uid:1000
  avouch entry create --tenant demo --spiffe-id 'spiffe://demo.avouch.test/user/{unix.user}'
  avouch entry create --tenant demo -f entries.yaml

A file with many:
  entries:
    - spiffe_id: spiffe://demo.avouch.test/web
      selectors: [\"unix:uid:1000\"]
      owner: the web team

Exit codes:
  0   all were stored
  3   at least one was refused; the others are stored";

const ENTRY_BOUNDS_EXAMPLES: &str = "\
Examples:
  avouch entry bounds --tenant demo --node spiffe://demo.avouch.test/avouch/node/web-1
  avouch entry bounds --tenant demo --could spiffe://demo.avouch.test/user/root

Exit codes:
  0   here they are
  3   no entry could ever give it";

const ENTRY_UPDATE_EXAMPLES: &str = "\
Examples:
  avouch entry update web --tenant demo --owner 'the web team'
  avouch entry show web --tenant demo -o json > web.json; avouch entry update web --tenant demo -f web.json";

const FEDERATION_PUT_EXAMPLES: &str = "\
Examples:
  avouch federation put partner.example --tenant demo --url https://spiffe.partner.example/bundle
  avouch federation put partner.example --tenant demo --url https://10.0.0.7:8443/ \\
      --endpoint-id spiffe://partner.example/spire/server --bundle partner.json

How to go on: docs/how-to/federate.md";

const FEDERATION_REFRESH_EXAMPLES: &str = "\
Examples:
  avouch federation refresh partner.example --tenant demo

Exit codes:
  0   the bundle is what the endpoint gives now
  3   there is no newer bundle; the answer says why";

fn time(text: &str) -> Result<Time, String> {
    Time::parse_or_day(text)
        .map_err(|_| "a time such as 2027-01-31T12:00:00Z or a day such as 2027-01-31".to_owned())
}

/// Examples of `why-not`.
pub const WHY_NOT_EXAMPLES: &str = "\
Examples:
  avouch why-not --tenant demo --selector unix:uid:1000 --selector unix:path:/usr/bin/web

Exit codes:
  0   at least one registration entry matches
  3   none does; those that come near are shown with what is missing
  4   some do on some nodes, and `--node` does not say on which it runs";

const DRIFT_EXAMPLES: &str = "\
Examples:
  avouch rule drift --tenant demo
  avouch rule drift --tenant demo -o json

Exit codes:
  0   nothing has drifted
  11  something has another name, and its rule admits it all the same
  13  something has another name, or another form of subject
  14  someone else has a name, or it was made anew

What it means: docs/how-to/drift.md";
