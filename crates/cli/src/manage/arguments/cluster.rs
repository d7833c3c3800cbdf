//! The arguments of `cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Remote;

/// The arguments of `cluster`.
#[derive(Args, Debug)]
pub struct ClusterArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// Commands of the nodes of a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Get the first certificate of the kubelet of this node for a bootstrap token, and write a
    /// kubeconfig with it
    #[command(after_help = EXAMPLES)]
    Bootstrap(Box<BootstrapArguments>),
}

/// The arguments of `cluster bootstrap`.
#[derive(Args, Debug)]
pub struct BootstrapArguments {
    /// The node, as it is called in system:node:NAME
    pub node: String,
    /// The hash of the cluster CA that came with the token
    #[arg(
        long,
        value_name = "sha256:HEX",
        value_parser = hash,
        required_unless_present = "unsafe_skip_ca_verification",
        conflicts_with = "unsafe_skip_ca_verification"
    )]
    pub ca_cert_hash: Option<String>,
    /// Believe the CA of whoever answers. Anyone between this node and the server can then be the
    /// cluster
    #[arg(long)]
    pub unsafe_skip_ca_verification: bool,
    /// The token, in a file (`-` for standard input) [default: AVOUCH_BOOTSTRAP_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token, which everyone on the machine reads on a command line.
    #[arg(
        long,
        env = "AVOUCH_BOOTSTRAP_TOKEN",
        hide = true,
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// The address of the API server, which the kubeconfig names
    #[arg(long, value_name = "URL", value_parser = api_server)]
    pub api_server: String,
    /// Where the kubeconfig is written (mode 0600)
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/kubernetes/kubelet.conf"
    )]
    pub kubeconfig: PathBuf,
    /// Where kubelet-client.key (mode 0600), kubelet-client.pem and cluster-ca.pem are written. A key
    /// that is there is used
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet/pki")]
    pub cert_dir: PathBuf,
    /// What the kubeconfig calls the cluster
    #[arg(long, value_name = "NAME", default_value = "kubernetes")]
    pub cluster_name: String,
    /// The server
    #[arg(long, value_name = "URL", env = "AVOUCH_SERVER", display_order = 902)]
    pub server: String,
    /// Believe these certificates (PEM) about the server, instead of what the system believes
    #[arg(long, value_name = "FILE", env = "AVOUCH_CA", display_order = 904)]
    pub ca: Option<PathBuf>,
}

impl BootstrapArguments {
    /// The server, to which nothing is shown but the token.
    pub(in crate::manage) fn remote(&self) -> Remote {
        Remote {
            server: Some(self.server.clone()),
            data: PathBuf::new(),
            ca: self.ca.clone(),
            cert: None,
            key: None,
            as_workload: None,
        }
    }
}

fn hash(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:");
    let is_hash = digits.is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    match is_hash {
        true => Ok(text.to_owned()),
        false => Err("a hash is sha256: and 64 hexadecimal digits".to_owned()),
    }
}

fn api_server(text: &str) -> Result<String, String> {
    match text.strip_prefix("https://") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("an API server is called over https://".to_owned()),
    }
}

const EXAMPLES: &str = "\
Examples:
  AVOUCH_BOOTSTRAP_TOKEN=k3v9x1.8d0q… avouch cluster bootstrap worker-1 --tenant shop \\
    --server https://avouch.example.com --ca-cert-hash sha256:9f2c… --api-server https://10.0.0.1:6443
  kubelet --kubeconfig /etc/kubernetes/kubelet.conf …

Whatever fails, the same command can be run again: the key stays, and for five minutes the token is good
once more for that key.

Exit codes:
  0   the certificate and the kubeconfig are written
  1   a fault: no server answers, a file cannot be written, the answer is not of this node
  2   the arguments do not go together
  3   refused: by the server, or because its CA is not the one of --ca-cert-hash

How the token is made: docs/how-to/cluster.md";
