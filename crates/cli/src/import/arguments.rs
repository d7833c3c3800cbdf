//! The arguments of `import`.

use std::path::PathBuf;

use avouch_audit::System;
use clap::{Args, Subcommand};

/// The arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// What is read.
    #[command(subcommand)]
    pub what: ImportCommand,
}

/// Whose configuration.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// The trust policy of a role of AWS: the document, or what `aws iam get-role` prints
    #[command(after_help = EXAMPLES)]
    AwsTrustPolicy(ImportFile),
    /// A workload identity provider of Google Cloud, as `gcloud iam workload-identity-pools providers
    /// describe --format=json` prints it, or a list of them
    #[command(after_help = EXAMPLES)]
    GcpWif(ImportFile),
    /// The structured authentication configuration of a Kubernetes API server
    #[command(after_help = EXAMPLES)]
    KubernetesAuthentication(ImportFile),
}

impl ImportCommand {
    /// The system and the file.
    pub fn parts(&self) -> (System, &ImportFile) {
        match self {
            Self::AwsTrustPolicy(file) => (System::Aws, file),
            Self::GcpWif(file) => (System::Gcp, file),
            Self::KubernetesAuthentication(file) => (System::Kubernetes, file),
        }
    }
}

/// A file, and what is asked about it.
#[derive(Args, Debug)]
pub struct ImportFile {
    /// The configuration, in JSON or YAML (`-` for standard input)
    pub file: PathBuf,
    /// Say whether a token with the claims in FILE (JSON) would be admitted there, and what comes of
    /// each condition
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub claims: Option<PathBuf>,
    /// The same for a token (JWT). Its signature is not checked, and nothing rests on it
    #[arg(long, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// Print the tightest trust document and exchange rule that cover what is meant; ids come from
    /// --claims or --token
    #[arg(long)]
    pub as_rules: bool,
}

const EXAMPLES: &str = "\
Examples:
  aws iam get-role --role-name deploy | avouch import aws-trust-policy -
  avouch import gcp-wif provider.json -o sarif > findings.sarif
  avouch import kubernetes-authentication authentication.yaml
  avouch import aws-trust-policy trust.json --token workflow.jwt
  avouch import aws-trust-policy trust.json --claims claims.json --as-rules

Exit codes:
  0   nothing is found; with --claims or --token: admitted
  11, 12, 13, 14   the gravest finding is info, low, medium, high or critical
  3   the file is refused; with --claims or --token: not admitted
  4   with --claims or --token: not known, for an expression has what is not evaluated here

What is found, and what to do: docs/how-to/import-trust.md";
