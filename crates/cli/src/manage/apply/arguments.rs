//! The arguments of commands on files of objects.

use std::path::PathBuf;

use clap::Args;

pub use super::KindName;
use crate::manage::arguments::Remote;

/// Which files, and what is done with what is in none of them.
#[derive(Args, Debug)]
pub struct FileArguments {
    /// Files of objects, YAML or JSON (`-` for standard input), or folders of them. May be repeated
    #[arg(short, long, value_name = "FILE|DIR", required = true)]
    pub file: Vec<PathBuf>,
    /// Also remove what --owner owns in the tenants of the files and what no file names
    #[arg(long, requires = "owner")]
    pub prune: bool,
    /// Whose objects --prune may remove: those that say exactly this `owner`
    #[arg(long, value_name = "WHO", requires = "prune")]
    pub owner: Option<String>,
}

/// The arguments of `apply`.
#[derive(Args, Debug)]
pub struct ApplyArguments {
    /// Which files.
    #[command(flatten)]
    pub files: FileArguments,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `plan`.
#[derive(Args, Debug)]
pub struct PlanArguments {
    /// Which files.
    #[command(flatten)]
    pub files: FileArguments,
    /// End with 11 if anything is not as the files want it
    #[arg(long)]
    pub check: bool,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArguments {
    /// Only objects of this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<KindName>,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// Examples of `apply`.
pub const APPLY_EXAMPLES: &str = "\
Examples:
  avouch apply -f shop.yaml
  avouch apply -f config/ --prune --owner 'the shop team'

A file:
  kind: entry
  tenant: shop
  name: web
  spec:
    spiffe_id: spiffe://shop.example.com/web
    selectors: [\"unix:uid:1000\"]
  ---
  kind: trust-domain
  tenant: shop
  name: shop.example.com

Kinds: tenant, trust-domain, quota, admin, anchor, federation, issuer, pin, signal, attestor, rule,
entry.
A `spec` is what the command of the kind takes with -f. What is needed is made first.

Exit codes:
  0   all is as the files want it
  2   the arguments do not go together
  3   something was refused; what was done and what was not is told

How to go on: docs/how-to/apply.md";

/// Examples of `plan`.
pub const PLAN_EXAMPLES: &str = "\
Examples:
  avouch plan -f shop.yaml
  avouch plan -f config/ --check -o json

Nothing is changed. The server is asked what it would refuse of each object, beside what is there now.
What needs another object of the files can be known only after that one is there; the plan says so.

Exit codes:
  0   here it is
  3   the files cannot be applied, or something in them would be refused; all of it is told
  11  with --check: something would be done

How to go on: docs/how-to/apply.md";

/// Examples of `export`.
pub const EXPORT_EXAMPLES: &str = "\
Examples:
  avouch export --tenant shop > shop.yaml
  avouch export --tenant shop --kind rule -o json

It is what `avouch apply -f` takes. Keys and other secrets are not in it.";
