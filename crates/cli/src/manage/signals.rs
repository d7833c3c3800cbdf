//! `signal`: what others tell the tenant of subjects of theirs, and what ended by that.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::Remote;
use super::client::Client;
use super::table::{Column, members, table};
use super::{list_of, path, pretty, read, segment, tell_list, tell_one, tell_removed};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::output;

/// The arguments of `signal`.
#[derive(Args, Debug)]
pub struct SignalArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: SignalCommand,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// Commands on signals.
#[derive(Debug, Subcommand)]
pub enum SignalCommand {
    /// End a subject, a session or a token of an issuer, and all that was exchanged for it
    #[command(after_help = END_EXAMPLES)]
    End {
        /// The issuer whose it is, as its tokens name it; `spiffe://NAME` for a trust domain
        #[arg(long, value_name = "ISSUER")]
        issuer: String,
        /// What is meant.
        #[command(flatten)]
        what: What,
        /// Believe nothing of it any more, however new, until it is opened
        #[arg(long, conflicts_with = "open")]
        close: bool,
        /// Believe what it gets from now on
        #[arg(long)]
        open: bool,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// What ended, the latest first
    #[command(after_help = "Examples:\n  avouch signal ended --tenant demo")]
    Ended,
    /// The streams of events that the tenant takes, and how each stands
    #[command(after_help = "Examples:\n  avouch signal list --tenant demo")]
    List,
    /// Take the events of a transmitter, in the place of the stream that had this name
    #[command(after_help = PUT_EXAMPLES)]
    Put {
        /// A name for it
        name: String,
        /// What is wanted of it, JSON or YAML (`-` for standard input)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Take no events of a stream any more; what it ended stays ended
    #[command(after_help = "Examples:\n  avouch signal remove idp --tenant demo")]
    Remove {
        /// Its name
        name: String,
    },
    /// Set a stream up at its transmitter, and ask that whether it is there
    #[command(after_help = "Examples:\n  avouch signal verify idp --tenant demo")]
    Verify {
        /// Its name
        name: String,
    },
    /// When a stream was heard of, and what came of its last events
    #[command(after_help = "Examples:\n  avouch signal show idp --tenant demo")]
    Show {
        /// Its name
        name: String,
    },
}

/// What is to end: one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct What {
    /// A subject (`sub`)
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
    /// A session (`sid`)
    #[arg(long, value_name = "SID")]
    session: Option<String>,
    /// One token (`jti`)
    #[arg(long, value_name = "JTI")]
    token: Option<String>,
    /// Whoever has this address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Whoever has this number
    #[arg(long, value_name = "NUMBER")]
    phone_number: Option<String>,
}

const END_EXAMPLES: &str = "\
Examples:
  avouch signal end --issuer https://idp.example.com --subject 00u1abcd --reason 'left' --tenant demo
  avouch signal end --issuer spiffe://demo.avouch.test --subject spiffe://demo.avouch.test/web \\
    --close --reason 'host was broken into' --tenant demo";

const PUT_EXAMPLES: &str = "\
Examples:
  avouch signal put idp -f idp.yaml --tenant demo

A file:
  issuer: https://idp.example.com
  audience: https://avouch.example.com/t/demo
  owner: the identity team
  reason: sessions that end there end here";

const STREAM: [Column; 7] = [
    ("NAME", "name"),
    ("ISSUER", "issuer"),
    ("STATE", "state"),
    ("HEARD", "heard"),
    ("ENDED", "ended"),
    ("NOTED", "noted"),
    ("HOLDS", "holds"),
];

const ENDED: [Column; 5] = [
    ("WHAT", "name"),
    ("BEFORE", "before"),
    ("CLOSED BY", "closed_by"),
    ("BECAUSE", "event"),
    ("BY", "by"),
];

const EVENT: [Column; 4] = [
    ("AT", "at"),
    ("EVENT", "event"),
    ("SUBJECT", "subject"),
    ("OUTCOME", "outcome"),
];

/// `signal`.
pub fn signal(arguments: &SignalArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("signals/{}", segment(name)?));
    match &arguments.command {
        SignalCommand::End {
            issuer,
            what,
            close,
            open,
            reason,
        } => {
            let turn = match (close, open) {
                (true, _) => "closed",
                (false, true) => "opened",
                (false, false) => "ended",
            };
            let mut ending = json!({ "issuer": issuer, "turn": turn, "reason": reason });
            for (name, value) in what.named() {
                if let (Some(value), Some(members)) = (value, ending.as_object_mut()) {
                    members.insert(name.to_owned(), value.as_str().into());
                }
            }
            let answer = client.post(&path(common, "ended")?, &ending)?;
            tell_one(
                common,
                &answer,
                &[("MARK", "marks"), ("CHANGED", "changed")],
            )
        }
        SignalCommand::Ended => {
            let answer = client.get(&path(common, "ended")?)?;
            tell_list(common, &answer, "ended", &ENDED)
        }
        SignalCommand::List => {
            let answer = client.get(&path(common, "signals")?)?;
            tell_list(common, &answer, "signals", &STREAM)
        }
        SignalCommand::Put { name, file } => {
            let answer = client.put(&at(name)?, &read(file)?)?;
            tell(common, &answer)
        }
        SignalCommand::Remove { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
        SignalCommand::Verify { name } => {
            let answer = client.post(&format!("{}/verify", at(name)?), &json!({}))?;
            tell(common, &answer)
        }
        SignalCommand::Show { name } => tell(common, &client.get(&at(name)?)?),
    }
}

impl What {
    fn named(&self) -> [(&'static str, Option<&String>); 5] {
        [
            ("subject", self.subject.as_ref()),
            ("session", self.session.as_ref()),
            ("token", self.token.as_ref()),
            ("email", self.email.as_ref()),
            ("phone_number", self.phone_number.as_ref()),
        ]
    }
}

fn tell(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    output::formatted(common.output, || drawn(answer), || pretty(answer))?;
    Ok(Exit::Accepted)
}

fn drawn(answer: &Value) -> String {
    const ONE: [Column; 14] = [
        ("NAME", "name"),
        ("ISSUER", "issuer"),
        ("SPEAKS OF", "of"),
        ("AUDIENCE", "audience"),
        ("KEYS", "keys"),
        ("DELIVERY", "delivery"),
        ("STATE", "state"),
        ("BECAUSE", "why"),
        ("HEARD", "heard"),
        ("ENDED", "ended"),
        ("NOTED", "noted"),
        ("CAME AGAIN", "repeated"),
        ("HOLDS", "holds"),
        ("OF AT MOST", "most_ended"),
    ];
    let mut parts = vec![members(&ONE, answer)];
    if let Some(failing) = answer.get("failing").filter(|failing| failing.is_object()) {
        let columns = [("FAILING SINCE", "since"), ("BECAUSE", "sentence")];
        parts.push(members(&columns, failing));
    }
    if answer.get("keys").is_some_and(Value::is_null) {
        parts.push(
            "None of its events can be checked: put its issuer (`avouch issuer put`), or give its `jwks` \
             here.\n"
                .to_owned(),
        );
    }
    let events = list_of(answer, "events");
    if !events.is_empty() {
        parts.push(table(&EVENT, events));
    }
    parts.join("\n")
}

/// The arguments of `receiver`.
#[derive(Args, Debug)]
pub struct ReceiverArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ReceiverCommand,
    /// Which server.
    #[command(flatten)]
    pub remote: Remote,
}

/// Commands on receivers.
#[derive(Debug, Subcommand)]
pub enum ReceiverCommand {
    /// Those whom the tenant tells of what ended, and how it goes
    #[command(after_help = "Examples:\n  avouch receiver list --tenant demo")]
    List,
    /// Let someone ask for events of the tenant, in the place of who had this name
    #[command(after_help = RECEIVER_EXAMPLES)]
    Put {
        /// A name for it
        name: String,
        /// What is wanted, JSON or YAML (`-` for standard input)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Tell a receiver nothing any more
    #[command(after_help = "Examples:\n  avouch receiver remove billing --tenant demo")]
    Remove {
        /// Its name
        name: String,
    },
    /// What a receiver asked for, and what it has still to be told
    #[command(after_help = "Examples:\n  avouch receiver show billing --tenant demo")]
    Show {
        /// Its name
        name: String,
    },
}

const RECEIVER_EXAMPLES: &str = "\
Examples:
  avouch receiver put billing -f billing.yaml --tenant demo

A file:
  subject: spiffe://demo.avouch.test/billing
  audience: https://billing.example.com
  owner: the billing team
  reason: it ends its own sessions when ours end";

const RECEIVER: [Column; 8] = [
    ("NAME", "name"),
    ("SUBJECT", "subject"),
    ("AUDIENCE", "audience"),
    ("STATE", "state"),
    ("BECAUSE", "why"),
    ("DELIVERY", "delivery"),
    ("WAITING", "waiting"),
    ("SENT", "sent"),
];

/// `receiver`.
pub fn receiver(arguments: &ReceiverArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("receivers/{}", segment(name)?));
    match &arguments.command {
        ReceiverCommand::List => {
            let answer = client.get(&path(common, "receivers")?)?;
            tell_list(common, &answer, "receivers", &RECEIVER)
        }
        ReceiverCommand::Put { name, file } => {
            let answer = client.put(&at(name)?, &read(file)?)?;
            tell_one(common, &answer, &RECEIVER)
        }
        ReceiverCommand::Remove { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
        ReceiverCommand::Show { name } => tell_one(common, &client.get(&at(name)?)?, &RECEIVER),
    }
}
