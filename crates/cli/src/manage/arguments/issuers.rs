//! The arguments of commands on issuers of tokens.

use std::path::PathBuf;

use clap::Subcommand;

/// Commands on issuers.
#[derive(Debug, Subcommand)]
pub enum IssuerCommand {
    /// What stops, and when, if an issuer cannot be reached for a while
    #[command(after_help = "Examples:\n  avouch issuer impact ci --for 2h --tenant demo")]
    Impact {
        /// Its name
        name: String,
        /// For how long: a number with s, m, h or d behind it
        #[arg(long = "for", value_name = "DURATION", default_value = "1d")]
        duration: String,
    },
    /// The issuers of the tenant, and how each stands
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Everyone from elsewhere who vouches, whoever is relied on the most first, with the share of
        /// the decisions and of the relying parties that rest on them alone
        #[arg(long)]
        by_reliance: bool,
    },
    /// Well-known issuers: what each pins a customer by, which names it holds to ids, whether it can
    /// say how someone signed in, and the facts of its tokens with their claims. Needs no server
    #[command(after_help = "Examples:\n  avouch issuer presets\n  avouch issuer presets -o json")]
    Presets,
    /// Trust an issuer, in the place of what had its name
    #[command(after_help = ISSUER_PUT_EXAMPLES)]
    Put {
        /// A name for it
        name: String,
        /// What is wanted of it, JSON or YAML (`-` for standard input)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Believe nothing of an issuer any more, by whatever anchor, until someone releases it
    #[command(after_help = QUARANTINE_EXAMPLES)]
    Quarantine {
        /// Its name
        name: String,
        /// Why
        #[arg(long, value_name = "TEXT", required_unless_present = "preview")]
        reason: Option<String>,
        /// Only show what would stop
        #[arg(long)]
        preview: bool,
    },
    /// Fetch the keys of an issuer now
    #[command(after_help = "Examples:\n  avouch issuer refresh ci --tenant demo")]
    Refresh {
        /// Its name
        name: String,
    },
    /// Believe an issuer again, and the key set that waits for it
    #[command(after_help = RELEASE_EXAMPLES)]
    Release {
        /// Its name
        name: String,
        /// What was looked at: the ETAG that `avouch issuer show` tells
        #[arg(long, value_name = "ETAG")]
        etag: String,
    },
    /// Trust an issuer no more, and forget its keys
    #[command(
        visible_alias = "delete",
        after_help = "Examples:\n  avouch issuer remove ci --tenant demo"
    )]
    Remove {
        /// Its name
        name: String,
    },
    /// Whom an issuer lets in, its keys with their history, and what has happened
    #[command(after_help = "Examples:\n  avouch issuer show ci --tenant demo")]
    Show {
        /// Its name
        name: String,
    },
}

/// Commands that suppose the worst, and change nothing.
#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// Someone has the keys of an issuer: what they get, what a quarantine stops, and who can still act
    #[command(after_help = DRILL_EXAMPLES)]
    Issuer {
        /// Its name
        name: String,
    },
}

const DRILL_EXAMPLES: &str = "\
Examples:
  avouch drill issuer ci --tenant demo
  avouch drill issuer ci --tenant demo -o json

Exit codes:
  0   passed: the thief can change nothing here, and someone can act who does not need the issuer
  14  not passed; what is wrong and what to do stands below FINDINGS";

const LIST_EXAMPLES: &str = "\
Examples:
  avouch issuer list --tenant demo
  avouch issuer list --by-reliance --tenant demo";

const ISSUER_PUT_EXAMPLES: &str = "\
Examples:
  avouch issuer put ci -f ci.yaml --tenant demo

A file:
  issuer: https://token.actions.githubusercontent.com
  audiences: [\"https://vault.example.com\"]
  rules:
    - name: deploy
      facts:
        github.repository_id: \"74\"
        github.environment: prod
  owner: the platform team
  reason: workflows deploy with short-lived credentials";

const RELEASE_EXAMPLES: &str = "\
Examples:
  avouch issuer show ci --tenant demo
  avouch issuer release ci --etag 4b227777d4dd1fc6... --tenant demo";

const QUARANTINE_EXAMPLES: &str = "\
Examples:
  avouch issuer quarantine ci --preview --tenant demo
  avouch issuer quarantine ci --reason 'its signing key may be stolen' --tenant demo";
