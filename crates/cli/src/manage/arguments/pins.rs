//! The arguments of commands on pins.

use std::path::PathBuf;

use avouch_core::pin::{Pinned, Place};
use avouch_core::time::Time;
use clap::{Args, Subcommand, ValueEnum};

use super::time;

/// Commands on pins of issuers.
#[derive(Debug, Subcommand)]
pub enum PinCommand {
    /// Look at what the servers of an issuer show now, and at its keys; tell what is about to break
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// The name of the issuer
        issuer: String,
    },
    /// Take an issuer and its thumbprints over from a command line of AWS, which is read, not run
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(PinImportArguments),
    /// All pins of the tenant, or those of one issuer with what its servers show
    #[command(
        after_help = "Examples:\n  avouch pin list --tenant demo\n  avouch pin list ci --tenant demo"
    )]
    List {
        /// The name of an issuer
        issuer: Option<String>,
    },
    /// Pin a certificate or a key by its digest
    #[command(after_help = PUT_EXAMPLES)]
    Put(PinPutArguments),
    /// Pin something no more
    #[command(
        visible_alias = "delete",
        after_help = "Examples:\n  avouch pin remove ci sha1:a031c46782e6e6c662c2c87c76da9aa62ccabd8e --tenant demo"
    )]
    Remove {
        /// The name of the issuer
        issuer: String,
        /// The pin
        #[arg(value_parser = pinned)]
        pin: Pinned,
    },
    /// One pin of an issuer
    #[command(
        after_help = "Examples:\n  avouch pin show ci sha1:a031c46782e6e6c662c2c87c76da9aa62ccabd8e --tenant demo"
    )]
    Show {
        /// The name of the issuer
        issuer: String,
        /// The pin
        #[arg(value_parser = pinned)]
        pin: Pinned,
    },
    /// Pin what was seen, because you know that it is meant
    #[command(after_help = STAGE_EXAMPLES)]
    Stage(PinStageArguments),
}

/// Whether a pin is consulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PinMode {
    /// Keys are fetched over it, or believed by it, alone
    Enforced,
    /// It is kept and shown, and not consulted
    Vestigial,
}

impl PinMode {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Vestigial => "vestigial",
        }
    }
}

/// The arguments of `pin put`.
#[derive(Args, Debug)]
pub struct PinPutArguments {
    /// The name of the issuer
    pub issuer: String,
    /// sha1:, sha256: or spki-sha256: with hexadecimal digits, of a certificate or its key; jwk: with
    /// the thumbprint of a key of tokens (RFC 7638)
    #[arg(value_parser = pinned)]
    pub pin: Pinned,
    /// Whether it is consulted
    #[arg(long, value_enum)]
    pub mode: PinMode,
    /// Where on the path it stands: end-entity, issuing, top, anchor or any [default: top]
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub place: Option<Place>,
    /// The only host that it is about, with its port unless that is 443
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Pin what it has signed, or what has its key, by itself
    #[arg(long)]
    pub auto_stage: bool,
    /// Who answers for it, why, and until when.
    #[command(flatten)]
    pub said: PinSaid,
}

/// Who answers for a pin.
#[derive(Args, Debug)]
pub struct PinSaid {
    /// Who answers for it
    #[arg(long, value_name = "WHO")]
    pub owner: String,
    /// What it is for
    #[arg(long, value_name = "WHY")]
    pub reason: String,
    /// Until when it holds
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires: Option<Time>,
}

/// The arguments of `pin stage`.
#[derive(Args, Debug)]
pub struct PinStageArguments {
    /// The name of the issuer
    pub issuer: String,
    /// What was seen and is meant
    #[arg(value_parser = pinned, required_unless_present = "all", conflicts_with = "all")]
    pub pins: Vec<Pinned>,
    /// All that was seen and that no pin holds
    #[arg(long)]
    pub all: bool,
    /// Who answers for it, why, and until when.
    #[command(flatten)]
    pub said: PinSaid,
}

/// The arguments of `pin import`.
#[derive(Args, Debug)]
pub struct PinImportArguments {
    /// A name for the issuer
    pub issuer: String,
    /// The file with `aws iam create-open-id-connect-provider …` (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    pub aws_command: PathBuf,
    /// What else is wanted of the issuer, such as `rules`: JSON or YAML as `issuer put` takes it
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Whether the thumbprints are consulted
    #[arg(long, value_enum, default_value_t = PinMode::Vestigial)]
    pub mode: PinMode,
    /// Only show what would be put
    #[arg(long)]
    pub dry_run: bool,
    /// Who answers for it, why, and until when.
    #[command(flatten)]
    pub said: PinSaid,
}

fn pinned(text: &str) -> Result<Pinned, String> {
    Pinned::parse(text).ok_or_else(|| {
        "a pin is sha1:, sha256: or spki-sha256: with hexadecimal digits, or jwk: with base64url"
            .to_owned()
    })
}

fn place(text: &str) -> Result<Place, String> {
    let names = Place::ALL.map(Place::name).join(", ");
    Place::parse(text).ok_or_else(|| format!("one of {names}"))
}

const CHECK_EXAMPLES: &str = "\
Examples:
  avouch pin check ci --tenant demo

Exit codes:
  0   nothing to look at
  11  a pin has no backup, or names nothing that is shown
  12  a pin ends soon
  13  a rotation is under way or near: pin what comes next
  14  what is shown is not pinned";

const PUT_EXAMPLES: &str = "\
Examples:
  avouch pin put ci sha1:6938fd4d98bab03faadb97b34396831e3780aea1 --mode vestigial \\
    --owner 'the platform team' --reason 'as in AWS IAM' --tenant demo
  avouch pin put ci spki-sha256:… --mode enforced --place issuing --auto-stage \\
    --owner 'the platform team' --reason 'its CA' --expires 2027-06-30T00:00:00Z --tenant demo
  avouch pin put ci jwk:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --mode enforced \\
    --owner 'the platform team' --reason 'read out by the issuer' --tenant demo";

const STAGE_EXAMPLES: &str = "\
Examples:
  avouch pin check ci --tenant demo
  avouch pin stage ci sha256:… --owner 'the platform team' --reason 'confirmed by ticket 7' --tenant demo
  avouch pin stage ci --all --owner 'the platform team' --reason 'confirmed by ticket 7' --tenant demo";

const IMPORT_EXAMPLES: &str = "\
Examples:
  avouch pin import ci --aws-command provider.sh --dry-run --owner me --reason 'from AWS'
  avouch pin import ci --aws-command - -f rules.yaml --owner 'the platform team' \\
    --reason 'from AWS' --tenant demo < provider.sh

The command line says whose tokens are taken, and not from whom: that stands in the trust policy of
each role. Give it as `rules` in --file.";
