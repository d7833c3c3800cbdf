//! The arguments of `avouch anchor` that ask a server.

use std::path::PathBuf;

use avouch_core::anchor::StoreLabel;
use avouch_core::time::Time;
use clap::Args;

use super::{Remote, time};

/// The arguments of `anchor delete`.
#[derive(Args, Debug)]
pub struct AnchorDeleteArguments {
    /// Its name
    pub name: String,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `anchor show`.
#[derive(Args, Debug)]
pub struct AnchorShowArguments {
    /// Its name
    pub name: String,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `anchor import`.
#[derive(Args, Debug)]
pub struct AnchorImportArguments {
    /// What kind of store it is
    #[arg(value_name = "web-pki", value_parser = store_label)]
    pub store: StoreLabel,
    /// Where it is: certificates in PEM or DER, or `system` for the store of this system
    #[arg(long, value_name = "FILE", default_value = "system")]
    pub from: PathBuf,
    /// What the store is called for a reader, such as "roots of Mozilla, 2026-11" [default: the file]
    #[arg(long)]
    pub source: Option<String>,
    /// How old it is: when its maker gave it out [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub as_of: Option<Time>,
    /// The name of the anchor [default: the kind of the store]
    #[arg(long)]
    pub name: Option<String>,
    /// Who answers for it
    #[arg(long)]
    pub owner: Option<String>,
    /// Why it is trusted
    #[arg(long)]
    pub reason: Option<String>,
    /// Until when it is trusted
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires: Option<Time>,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// The arguments of `anchor put`.
#[derive(Args, Debug)]
pub struct AnchorPutArguments {
    /// A name for it
    pub name: String,
    /// The anchor, JSON or YAML (`-` for standard input): one element of `anchors` of a trust
    /// document
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

fn store_label(text: &str) -> Result<StoreLabel, String> {
    StoreLabel::parse(text).ok_or_else(|| "a public store is web-pki".to_owned())
}

/// Examples of `anchor import`.
pub const IMPORT_EXAMPLES: &str = "\
Examples:
  avouch anchor import web-pki --tenant demo --owner 'platform team'
  avouch anchor import web-pki --tenant demo --from roots.pem --source 'roots of Mozilla' --as-of 2026-11-01

Its members vouch for servers by their names, and for nobody else: neither for clients nor for SPIFFE
IDs. A verdict that rests on one says so.";

/// Examples of `anchor put`.
pub const PUT_EXAMPLES: &str = "\
Examples:
  avouch anchor put partner --tenant demo -f partner.yaml";
