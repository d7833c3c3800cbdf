//! `egress`: APIs of others that know only a key, which workloads use without seeing it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::arguments::Remote;
use super::client::Client;
use super::table::Column;
use super::{list_of, path, pretty, read, said, segment, tell_list, tell_one, tell_removed};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::output;

/// The longest file with a key.
const LONGEST_KEY: usize = 8 << 10;

const IN_LIST: [Column; 4] = [
    ("API", "name"),
    ("AT", "url"),
    ("KEYS", "keys"),
    ("LAST USED", "last_used"),
];

const USES: [Column; 6] = [
    ("DAY", "day"),
    ("WORKLOAD", "workload"),
    ("DONE", "done"),
    ("REFUSED", "refused"),
    ("FAILED", "failed"),
    ("DENIED", "denied"),
];

/// The arguments of `egress`.
#[derive(Args, Debug)]
pub struct EgressArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: EgressCommand,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// Commands on APIs of others.
#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// Let nobody use an API any more, and forget its keys
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  avouch egress delete stripe --tenant demo"
    )]
    Delete {
        /// Its name
        name: String,
    },
    /// The APIs that workloads of the tenant may use, and digests of their keys
    #[command(after_help = "Examples:\n  avouch egress list --tenant demo")]
    List,
    /// Forget the earlier of two keys, once the later one is used
    #[command(after_help = "Examples:\n  avouch egress promote stripe --tenant demo")]
    Promote {
        /// The name of the API
        name: String,
    },
    /// Let workloads use an API: who, by which methods, on which paths
    #[command(after_help = PUT_EXAMPLES)]
    Put {
        /// A name for it, which stands in the address that workloads call
        name: String,
        /// What is wanted.
        #[command(flatten)]
        members: Box<EgressMembers>,
    },
    /// Give an API the key that comes next; both are good until `promote`
    #[command(
        after_help = "Examples:\n  avouch egress rotate stripe --key-file new.key --tenant demo"
    )]
    Rotate {
        /// The name of the API
        name: String,
        /// A file with the key and nothing else (`-` for standard input)
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
        /// Drop a key that waits to be promoted, even if another server uses it already
        #[arg(long)]
        force: bool,
    },
    /// One API, without its keys, as it can be changed and put again
    #[command(after_help = "Examples:\n  avouch egress show stripe --tenant demo -o json")]
    Show {
        /// Its name
        name: String,
    },
    /// Which workloads have used an API in the last 30 days, and how that ended
    #[command(after_help = "Examples:\n  avouch egress uses stripe --tenant demo -o json")]
    Uses {
        /// The name of the API
        name: String,
    },
}

/// What may be done with an API: by a file, or in one rule.
#[derive(Args, Debug)]
pub struct EgressMembers {
    /// Read it from FILE, JSON or YAML (`-` for standard input)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["url", "allow"])]
    file: Option<PathBuf>,
    /// Where the API is
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "file",
        requires = "allow"
    )]
    url: Option<String>,
    /// The header that carries the key [default: Authorization: Bearer {key}]
    #[arg(long, value_name = "NAME: VALUE", conflicts_with = "file")]
    header: Option<String>,
    /// A file with the authorities (PEM) of the API's certificate instead of those of the system
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    ca: Option<PathBuf>,
    /// A SPIFFE ID that may use it, or all below one (`ID/*`). May be repeated
    #[arg(long, value_name = "ID")]
    allow: Vec<String>,
    /// A method they may use [default: GET]. May be repeated
    #[arg(long, value_name = "METHOD", conflicts_with = "file")]
    method: Vec<String>,
    /// A path below which they may use it [default: /]. May be repeated
    #[arg(long, value_name = "PATH", conflicts_with = "file")]
    path: Vec<String>,
    /// How often each of them may use it in a minute
    #[arg(long, value_name = "COUNT", conflicts_with = "file")]
    per_minute: Option<u32>,
    /// A header of workloads that is passed on. May be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pass: Vec<String>,
    /// A file with the key and nothing else (`-` for standard input); without it the key stays
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A file with what its webhooks are signed with; without it what is known stays. Up to three
    #[arg(long, value_name = "FILE", requires = "file")]
    webhook_secret_file: Vec<PathBuf>,
}

const PUT_EXAMPLES: &str = "Examples:
  avouch egress put stripe --url https://api.stripe.com --key-file stripe.key \\
    --allow spiffe://shop.example/billing --method GET --path /v1/charges --tenant shop
  avouch egress put stripe -f stripe.yaml --key-file stripe.key --tenant shop";

/// `egress`.
pub fn egress(arguments: &EgressArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("egress/{}", segment(name)?));
    match &arguments.command {
        EgressCommand::Delete { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
        EgressCommand::List => {
            let answer = client.get(&path(common, "egress")?)?;
            if common.output == Format::Json {
                return tell_list(common, &answer, "egress", &IN_LIST);
            }
            let rows: Vec<Value> = list_of(&answer, "egress").iter().map(row).collect();
            tell_list(common, &json!({ "egress": rows }), "egress", &IN_LIST)
        }
        EgressCommand::Promote { name } => {
            let answer = client.post(&format!("{}/promote", at(name)?), &json!({}))?;
            tell_one(common, &row(&answer), &IN_LIST)
        }
        EgressCommand::Put { name, members } => {
            let answer = client.put(&at(name)?, &members.document()?)?;
            tell_one(common, &row(&answer), &IN_LIST)
        }
        EgressCommand::Rotate {
            name,
            key_file,
            force,
        } => {
            let key = json!({ "key": secret_in(key_file)?.as_str(), "force": force });
            let answer = client.post(&format!("{}/rotate", at(name)?), &key)?;
            tell_one(common, &row(&answer), &IN_LIST)
        }
        EgressCommand::Show { name } => {
            let answer = client.get(&at(name)?)?;
            if common.output == Format::Json {
                let document = answer.get("egress").cloned().unwrap_or_default();
                output::data(&pretty(&document))?;
                return Ok(Exit::Accepted);
            }
            tell_one(common, &row(&answer), &IN_LIST)?;
            if list_of(&answer, "uses").is_empty() {
                return Ok(Exit::Accepted);
            }
            output::data("")?;
            tell_list(common, &answer, "uses", &USES)
        }
        EgressCommand::Uses { name } => {
            let answer = client.get(&at(name)?)?;
            let uses = json!({ "name": name, "uses": answer.get("uses") });
            tell_list(common, &uses, "uses", &USES)
        }
    }
}

impl EgressMembers {
    fn document(&self) -> Result<Value, Fault> {
        let mut document = match &self.file {
            Some(file) => read(file)?,
            None => self.of_one_rule()?,
        };
        if let Some(file) = &self.key_file
            && let Some(members) = document.as_object_mut()
        {
            members.insert("key".to_owned(), json!(secret_in(file)?.as_str()));
        }
        if !self.webhook_secret_file.is_empty()
            && let Some(members) = document.as_object_mut()
        {
            let secrets = self.webhook_secret_file.iter();
            let secrets = secrets.map(|file| secret_in(file).map(|text| json!(text.as_str())));
            let secrets = secrets.collect::<Result<Vec<_>, Fault>>()?;
            members.insert("webhook_secrets".to_owned(), Value::Array(secrets));
        }
        Ok(document)
    }

    fn of_one_rule(&self) -> Result<Value, Fault> {
        let or = |given: &[String], usual: &str| match given {
            [] => vec![usual.to_owned()],
            given => given.to_vec(),
        };
        let rule = said([
            ("ids", Some(json!(self.allow))),
            ("methods", Some(json!(or(&self.method, "GET")))),
            ("paths", Some(json!(or(&self.path, "/")))),
            ("per_minute", self.per_minute.map(|most| json!(most))),
        ]);
        let ca = self.ca.as_ref().map(|ca| text(ca, LONGEST_KEY * 16));
        let ca = ca.transpose()?;
        Ok(said([
            ("url", self.url.as_ref().map(|url| json!(url))),
            ("rules", Some(json!([rule]))),
            ("header", self.header.as_ref().map(|header| json!(header))),
            ("ca", ca.map(|ca| json!(ca.as_str()))),
            ("passes", (!self.pass.is_empty()).then(|| json!(self.pass))),
        ]))
    }
}

fn row(answer: &Value) -> Value {
    let url = answer.get("egress").and_then(|egress| egress.get("url"));
    json!({
        "name": answer.get("name"),
        "url": url,
        "keys": answer.get("keys"),
        "last_used": answer.get("last_used"),
    })
}

/// The key or the secret in a file: the line end at its end is not a part of it.
pub(super) fn secret_in(file: &Path) -> Result<Zeroizing<String>, Fault> {
    let text = text(file, LONGEST_KEY)?;
    Ok(Zeroizing::new(text.trim_end().to_owned()))
}

fn text(file: &Path, longest: usize) -> Result<Zeroizing<String>, Fault> {
    let refuse = |why: String| Fault::Usage(format!("{}: {why}", input::name_of(file)));
    let bytes = match input::read(file, "file", longest) {
        Ok(bytes) => bytes,
        Err(Stop::Fault(fault)) => return Err(fault),
        Err(Stop::Refused { reason, .. }) => return Err(refuse(reason.sentence())),
    };
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text))
}
