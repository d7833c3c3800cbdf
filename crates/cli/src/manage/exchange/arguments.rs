//! The arguments of `token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::manage::arguments::Remote;

/// The arguments of `token`.
#[derive(Args, Debug)]
pub struct TokenArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// Commands on tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Exchange a credential of someone else's for one of the tenant (RFC 8693)
    #[command(after_help = EXCHANGE_EXAMPLES)]
    Exchange(Box<ExchangeArguments>),
}

/// The arguments of `token exchange`.
#[derive(Args, Debug)]
pub struct ExchangeArguments {
    /// What is exchanged, in a file (`-` for standard input)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["github_actions", "ssh_key"])]
    pub subject_token: Option<PathBuf>,
    /// What it is: jwt, id-token, access-token, jwt-svid, ssh, wit-svid, x509-svid, saml2, api-key, or a
    /// URN [default: x509-svid for certificates in PEM, saml2 for XML, else jwt]
    #[arg(long, value_name = "TYPE", value_parser = token_type, conflicts_with = "github_actions")]
    pub subject_token_type: Option<String>,
    /// Who has issued it, where only its issuer can read it and several could be asked
    #[arg(long, value_name = "ISSUER", conflicts_with = "github_actions")]
    pub subject_issuer: Option<String>,
    /// The proof of possession (WPT) that goes with a WIT-SVID
    #[arg(long, value_name = "FILE", conflicts_with = "github_actions")]
    pub subject_token_proof: Option<PathBuf>,
    /// Exchange this certificate of SSH, as in a file `-cert.pub`, or this key, as in a file `.pub`
    /// [default: those that stand beside --ssh-key, the certificate first]
    #[arg(long, value_name = "FILE", requires = "ssh_key")]
    pub ssh_certificate: Option<PathBuf>,
    /// The private key that goes with it, with which `ssh-keygen -Y sign` signs the challenge of the
    /// server; a file `.pub` where the private half is in an agent
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "github_actions", "subject_token", "subject_token_proof", "subject_token_type",
    ])]
    pub ssh_key: Option<PathBuf>,
    /// Exchange the token of this job of GitHub Actions, which needs `permissions: id-token: write`
    #[arg(long, conflicts_with = "subject_token")]
    pub github_actions: bool,
    /// The token of whoever acts for the subject
    #[arg(long, value_name = "FILE")]
    pub actor_token: Option<PathBuf>,
    /// What that is [default: as for the subject]
    #[arg(long, value_name = "TYPE", value_parser = token_type, requires = "actor_token")]
    pub actor_token_type: Option<String>,
    /// What is wanted: access-token, jwt-svid, x509-svid, or a URN [default: what the rule gives
    /// first, or x509-svid with --out]
    #[arg(long, value_name = "TYPE", value_parser = token_type)]
    pub requested_token_type: Option<String>,
    /// For whom it is wanted [default: whom the rule names]. May be repeated
    #[arg(long, value_name = "NAME")]
    pub audience: Vec<String>,
    /// How much it is to allow, at most what the rule gives [default: all of it]. May be repeated
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// The private key that what is given is bound to (PEM, P-256, mode 0600), proved with the
    /// request; made if there is no such file. Without it nothing is proved, which few rules permit
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Write svid.pem, key.pem (mode 0600) and bundle.pem into this folder, or token.jwt (mode 0600)
    /// where a token is wanted. The key is a new one unless --key names one
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only tell what would be given, and to whom, or why nothing: nothing is used up. Needs a
    /// credential of yours that may read the rules of the tenant (operator.jwt)
    #[arg(long = "try", conflicts_with_all = [
        "actor_token", "key", "out", "ssh_key", "subject_token_proof",
    ])]
    pub is_trial: bool,
    /// The issuer identifier of the tenant, if the server is reached by another name [default: the
    /// address of --server and `/t/TENANT`]
    #[arg(long, value_name = "URL", display_order = 901)]
    pub issuer: Option<String>,
    /// The server [default: the one whose folder --data is, or else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "AVOUCH_SERVER", display_order = 902)]
    pub server: Option<String>,
    /// The folder of the plane, where your credential is, for --try
    #[arg(
        long,
        value_name = "DIR",
        env = "AVOUCH_DATA",
        default_value = "avouch-data",
        display_order = 903
    )]
    pub data: PathBuf,
    /// Believe these certificates (PEM) about the server, instead of what the system believes
    #[arg(long, value_name = "FILE", env = "AVOUCH_CA", display_order = 904)]
    pub ca: Option<PathBuf>,
}

impl ExchangeArguments {
    /// The server, to which no certificate is shown.
    pub(super) fn remote(&self) -> Remote {
        Remote {
            server: self.server.clone(),
            data: self.data.clone(),
            ca: self.ca.clone(),
            cert: None,
            key: None,
            as_workload: None,
        }
    }
}

/// The short names of types, and the names of RFC 8693 3 and of Avouch.
const TYPES: [(&str, &str); 9] = [
    (
        "access-token",
        "urn:ietf:params:oauth:token-type:access_token",
    ),
    ("api-key", "urn:avouch:params:token-type:api-key"),
    ("id-token", "urn:ietf:params:oauth:token-type:id_token"),
    ("jwt", JWT),
    ("jwt-svid", "urn:avouch:params:token-type:jwt-svid"),
    ("saml2", SAML2),
    ("ssh", SSH),
    ("wit-svid", "urn:avouch:params:token-type:wit-svid"),
    ("x509-svid", X509_SVID),
];

/// A token that its issuer signed.
pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// An assertion or a response of SAML.
pub(super) const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";

/// Keys and certificates of SSH.
pub(super) const SSH: &str = "urn:avouch:params:token-type:ssh";

/// Certificates.
pub(super) const X509_SVID: &str = "urn:avouch:params:token-type:x509-svid";

fn token_type(text: &str) -> Result<String, String> {
    if text.starts_with("urn:") {
        return Ok(text.to_owned());
    }
    let found = TYPES.iter().find(|(short, _)| *short == text);
    found.map(|(_, name)| (*name).to_owned()).ok_or_else(|| {
        format!(
            "a type is {}, or a URN",
            TYPES.map(|(short, _)| short).join(", ")
        )
    })
}

const EXCHANGE_EXAMPLES: &str = "\
Examples:
  avouch token exchange --tenant shop --subject-token id.jwt --key key.pem
  avouch token exchange --tenant shop --github-actions --out . --server https://avouch.example.com
  avouch token exchange --tenant shop --subject-token - --audience https://cloud.example.com \\
    --scope deploy --requested-token-type access-token --key key.pem < id.jwt
  avouch token exchange --tenant shop --subject-token svid.pem --key svid.key.pem
  avouch token exchange --tenant shop --subject-token assertion.xml --key key.pem
  avouch token exchange --tenant shop --ssh-key ~/.ssh/id_ed25519 --out .
  avouch token exchange --tenant shop --subject-token id.jwt --try

Exit codes:
  0   given; with --try: it would be
  1   a fault: no server answers, a file cannot be read or written
  2   the arguments do not go together
  3   refused; with -o json the answer of the server is on standard output

What may be presented, and the rules: docs/how-to/exchange.md";
