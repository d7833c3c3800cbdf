//! The arguments of `authority`.

use std::path::PathBuf;

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::time;
use crate::values::spiffe_id;

/// Commands on authorities.
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Have a prepared authority sign in the place of the one that does
    #[command(after_help = "Examples:\n  avouch authority activate 3f2a… --tenant demo")]
    Activate {
        /// The authority
        // The name of a key may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        authority: String,
        /// Also while connected nodes do not know it yet
        #[arg(long)]
        anyway: bool,
    },
    /// Add an intermediate for people, devices or a cluster
    #[command(after_help = ADD_EXAMPLES)]
    Add(NewAuthority),
    /// Make a key for an intermediate whose certificate another CA signs, and the request for it
    #[command(after_help = UPSTREAM_EXAMPLES)]
    Csr {
        /// The trust domain
        trust_domain: String,
    },
    /// Take the certificate that another CA has signed for a request; or a root, with --key or --key-address
    #[command(after_help = UPSTREAM_EXAMPLES)]
    Import {
        /// The trust domain
        trust_domain: String,
        /// PEM: its own certificate and all above it, up to the root (`-` for standard input)
        #[arg(value_name = "FILE")]
        certificates: PathBuf,
        /// The private key of a root, ECDSA on P-256, Ed25519 or RSA: PEM, not encrypted
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Where the private key of a root is, in the token of the server's --keys (RFC 7512):
        /// pkcs11:token=…;id=%…
        #[arg(long, value_name = "ADDRESS", conflicts_with = "key")]
        key_address: Option<String>,
    },
    /// The authorities of the tenant, and how many nodes know each
    #[command(after_help = "Examples:\n  avouch authority list --tenant demo")]
    List,
    /// Prepare successors for the authorities of a trust domain before their time
    #[command(after_help = "Examples:\n  avouch authority prepare demo.avouch.test --tenant demo")]
    Prepare {
        /// Its name
        trust_domain: String,
    },
    /// Replace every key of a trust domain, as if all were in the wrong hands
    #[command(after_help = REPLACE_EXAMPLES)]
    Replace {
        /// Its name
        trust_domain: String,
        /// Stay until every connected node holds the new keys, and tell how many do
        #[arg(long)]
        wait: bool,
        /// Also where nothing would sign in the place of an authority below a root elsewhere
        #[arg(long)]
        anyway: bool,
    },
    /// Take a tainted authority out of the bundle and destroy its key
    #[command(after_help = "Examples:\n  avouch authority revoke 3f2a… --tenant demo")]
    Revoke {
        /// The authority
        // The name of a key may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        authority: String,
        /// Also while nodes may still hold what it signed
        #[arg(long)]
        anyway: bool,
    },
    /// What was issued, for as long as it stays on record
    #[command(after_help = ISSUED_EXAMPLES)]
    Issued(IssuedArguments),
    /// Every decision to issue something or to take it back, one to a line, each with the digest of the
    /// line before, and at the end what the server holds to live
    #[command(after_help = LOG_EXAMPLES)]
    Log,
    /// What a log comes to, without a server, and whether that is what the server held
    #[command(after_help = LOG_EXAMPLES)]
    Replay(ReplayArguments),
    /// Revoke certificates before their end: that of a serial number, all of an identity, or all that
    /// were given in exchange for something
    #[command(after_help = REVOKE_CERTIFICATES_EXAMPLES)]
    RevokeCertificates {
        /// The serial number, in hexadecimal
        #[arg(
            long,
            value_name = "HEX",
            conflicts_with_all = ["spiffe_id", "descended_from"],
            required_unless_present_any = ["spiffe_id", "descended_from"]
        )]
        serial: Option<String>,
        /// The identity
        #[arg(long, value_name = "ID", conflicts_with = "descended_from")]
        spiffe_id: Option<String>,
        /// What they were given for: an anchor, an issuer or a key by its name, or a token by the digest
        /// in its `lineage`
        #[arg(long, value_name = "NAME")]
        descended_from: Option<String>,
        /// Why: unspecified, key_compromise, superseded, cessation_of_operation, … (RFC 5280 5.3.1)
        #[arg(long, value_name = "REASON", default_value = "unspecified")]
        reason: String,
    },
    /// Let an authority sign no more, and have all that it signed replaced
    #[command(after_help = "Examples:\n  avouch authority taint 3f2a… --tenant demo")]
    Taint {
        /// The authority
        // The name of a key may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        authority: String,
        /// Also where nothing would sign in its place
        #[arg(long)]
        anyway: bool,
    },
    /// One authority, and how many nodes know it
    #[command(after_help = "Examples:\n  avouch authority show 3f2a… --tenant demo")]
    Show {
        /// Its name, as `authority list` shows it
        authority: String,
    },
    /// Make a token with which the kubelet of one node gets its first certificate, once; it is shown
    /// only now
    #[command(after_help = BOOTSTRAP_TOKEN_EXAMPLES)]
    BootstrapToken(BootstrapTokenArguments),
    /// Sign a request of a component of a Kubernetes cluster, as its CA
    #[command(after_help = SIGN_EXAMPLES)]
    Sign(SignArguments),
    /// Sign a certificate for a signing request that someone brings by hand, of a registered identity
    #[command(after_help = SIGN_CSR_EXAMPLES)]
    SignCsr(SignCsrArguments),
}

/// The arguments of `authority sign-csr`.
#[derive(Args, Debug)]
pub struct SignCsrArguments {
    /// A certification request (PEM); only its key is taken. `-` for standard input
    #[arg(value_name = "FILE")]
    pub request: PathBuf,
    /// The identity of a registration entry
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub spiffe_id: SpiffeId,
    /// How long it is valid; no longer than the entry says
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u32>,
    /// The intermediate that signs, and so what the certificate is for [default: services]
    #[arg(
        long = "use",
        value_name = "services|people|devices",
        value_parser = ["services", "people", "devices"],
        hide_possible_values = true
    )]
    pub used_for: Option<String>,
}

const SIGN_CSR_EXAMPLES: &str = "\
Examples:
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout web.key -subj / -out web.csr
  avouch authority sign-csr web.csr --spiffe-id spiffe://demo.avouch.test/web --tenant demo > web.pem
  avouch authority sign-csr web.csr --spiffe-id spiffe://demo.avouch.test/web --ttl 600 --tenant demo -o json

The identity must be registered: create an entry for it first.";

const LOG_EXAMPLES: &str = "\
Examples:
  avouch authority log --tenant demo > log.jsonl
  avouch authority replay log.jsonl
  avouch authority replay log.jsonl --against last-week.jsonl";

/// The arguments of `authority replay`.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// What `authority log` wrote (`-` for standard input)
    #[arg(value_name = "FILE")]
    pub log: PathBuf,
    /// A log that was written before and kept elsewhere: whether all of it still stands, and nothing was
    /// put in
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// The arguments of `authority bootstrap-token`.
#[derive(Args, Debug)]
pub struct BootstrapTokenArguments {
    /// The node, as it is called in system:node:NAME
    pub node: String,
    /// How long the token can be used [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u32>,
    /// The trust domain whose intermediate signs for the cluster [default: the only one that has one]
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<String>,
    /// The address of the API server; then the data of kube-public/cluster-info is shown, signed with
    /// the token (with -o json)
    #[arg(long, value_name = "URL")]
    pub api_server: Option<String>,
}

/// The arguments of `authority sign`.
#[derive(Args, Debug)]
pub struct SignArguments {
    /// A CertificateSigningRequest of certificates.k8s.io/v1 (YAML or JSON), or a certification
    /// request (PEM); `-` for standard input
    #[arg(value_name = "FILE")]
    pub request: PathBuf,
    /// Who signs; needed for PEM
    #[arg(long, value_name = "kubernetes.io/…")]
    pub signer: Option<String>,
    /// What the certificate may be used for; of PEM. May be repeated [default: digital signature, and
    /// client auth or server auth]
    #[arg(long, value_name = "USAGE")]
    pub usage: Vec<String>,
    /// How long it is valid, in seconds, 600 at least; of PEM
    #[arg(long, value_name = "SECONDS")]
    pub expiration_seconds: Option<u32>,
    /// The trust domain whose intermediate signs for the cluster [default: the only one that has one]
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<String>,
}

const REPLACE_EXAMPLES: &str = "\
Examples:
  avouch authority replace demo.avouch.test --tenant demo

What was signed is replaced at once and still believed; then revoke each tainted authority, and what
it signed is believed no more.";

const ADD_EXAMPLES: &str = "\
Examples:
  avouch authority add demo.avouch.test --tenant demo --use devices
  avouch authority add demo.avouch.test --tenant demo --use people --permit-dns corp.example

The extended key usages of the intermediate say for whom it signs: a certificate for a device is no
certificate of a server.";

const UPSTREAM_EXAMPLES: &str = "\
Examples:
  avouch authority csr demo.avouch.test --tenant demo > request.pem
  (have your CA sign it)
  avouch authority import demo.avouch.test chain.pem --tenant demo
  avouch authority activate 3f2a… --tenant demo

  avouch authority import demo.avouch.test root.pem --key root.key.pem --tenant demo
  avouch authority import demo.avouch.test root.pem --tenant demo \
      --key-address 'pkcs11:token=avouch;id=%C0%FF%EE'";

const REVOKE_CERTIFICATES_EXAMPLES: &str = "\
Examples:
  avouch authority revoke-certificates --tenant demo --spiffe-id spiffe://demo.avouch.test/web --reason key_compromise
  avouch authority revoke-certificates --tenant demo --serial 5c01…
  avouch authority revoke-certificates --tenant demo --descended-from https://ci.example.com

The revocation list of the authority names them from now on; every agent has it within a second, and
everyone else at /t/TENANT/crl/AUTHORITY.";

const SIGN_EXAMPLES: &str = "\
Examples:
  kubectl get csr jane -o yaml | avouch authority sign - --tenant shop
  avouch authority sign jane.csr.pem --signer kubernetes.io/kube-apiserver-client --tenant shop

Whoever runs this approves the request. How to go on: docs/how-to/cluster.md";

const BOOTSTRAP_TOKEN_EXAMPLES: &str = "\
Examples:
  avouch authority bootstrap-token worker-1 --tenant shop
  avouch authority bootstrap-token worker-1 --tenant shop --ttl 600 --api-server https://10.0.0.1:6443 -o json

How to go on: docs/how-to/cluster.md";

/// The arguments of `authority add`.
#[derive(Args, Debug)]
pub struct NewAuthority {
    /// The trust domain
    pub(in crate::manage) trust_domain: String,
    /// For whom it signs
    #[arg(long = "use", value_name = "people|devices|cluster")]
    used_for: String,
    /// Only SPIFFE IDs of the trust domain, by a name constraint; rustls refuses all below it
    #[arg(long)]
    constrain_ids: bool,
    /// Only DNS names below NAME, by a name constraint. May be repeated
    #[arg(long, value_name = "NAME")]
    permit_dns: Vec<String>,
}

impl NewAuthority {
    /// What is asked of a server.
    pub(in crate::manage) fn members(&self) -> Value {
        json!({
            "used_for": self.used_for,
            "constrain_ids": self.constrain_ids,
            "permit_dns": self.permit_dns,
        })
    }
}

/// The arguments of `authority issued`.
#[derive(Args, Debug)]
pub struct IssuedArguments {
    /// The one with this serial number in hexadecimal, or this `jti` of a token
    #[arg(
        long,
        value_name = "HEX",
        conflicts_with_all = ["spiffe_id", "entry", "node", "since"]
    )]
    pub serial: Option<String>,
    /// All of this identity
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub spiffe_id: Option<SpiffeId>,
    /// All for this registration entry
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// All that this node asked for
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    pub node: Option<SpiffeId>,
    /// All since this time or day
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Time>,
}

const ISSUED_EXAMPLES: &str = "\
Examples:
  avouch authority issued --tenant demo --serial 5c01…
  avouch authority issued --tenant demo --spiffe-id spiffe://demo.avouch.test/web --since 2026-01-31
  avouch authority issued --tenant demo --node spiffe://demo.avouch.test/avouch/node/web-1 -o json";
